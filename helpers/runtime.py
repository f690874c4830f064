"""On what machine does this run, with which threads, seed and size?

The one place that knows about Colab, thread counts, quick and full runs, and where results go. Lessons call
`start` once. Used by every lesson. Leaves out: accelerators (the workbook is written for two CPU cores).
"""

import importlib.util
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORT_NAMES = {
    "faiss-cpu": "faiss",
    "pystemmer": "Stemmer",
    "pytrec-eval-terrier": "pytrec_eval",
    "pyyaml": "yaml",
    "huggingface-hub": "huggingface_hub",
    "scikit-learn": "sklearn",
}
NEVER_REPLACED = {
    "numpy",
    "pandas",
    "torch",
    "ipython",
    "ipykernel",
    "ipywidgets",
    "jupyterlab",
}  # a running Colab breaks on these
TESTED = ["torch", "transformers", "sentence-transformers", "faiss-cpu", "numpy", "pandas"]


@dataclass(frozen=True)
class Machine:
    """What a stored row says about where it was measured: no host name, no user, no path."""

    system: str
    python: str
    cores: int
    memory_gb: int
    versions: dict[str, str]


def in_colab() -> bool:
    """Whether this Python is a Google Colab kernel."""
    return "google.colab" in sys.modules


def is_quick() -> bool:
    """Whether `QUICK=1` asks for small samples. Verdicts of a quick run are provisional."""
    value = os.environ.get("QUICK", "0").strip().lower()
    if value not in ("", "0", "1", "true", "false"):
        raise ValueError(f"QUICK must be 0 or 1, got {value!r}. Unset it or correct it.")
    return value in ("1", "true")


def sample_size(full: int, quick: int) -> int:
    """The number of items to measure: `full`, or `quick` in a quick run."""
    return quick if is_quick() else full


def results_folder() -> Path:
    """Where measured rows go: `WORKBOOK_RESULTS`, else a folder that git ignores. The committed rows lie beside it.

    It is made if need be. Raises `ValueError` if nothing can be written there.
    """
    folder = Path(os.environ.get("WORKBOOK_RESULTS") or ROOT / "data/results/local")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "no permission to write"
    if reason:
        raise ValueError(
            f"Results can't be written to {folder} ({reason}). Set WORKBOOK_RESULTS to a folder that you may write to."
        )
    return folder


def n_threads() -> int:
    """Cores this process may use, or `OMP_NUM_THREADS`. Two threads beside another busy process are 10 times slower."""
    if chosen := os.environ.get("OMP_NUM_THREADS", "").strip():
        if not chosen.isdecimal() or int(chosen) < 1:
            raise ValueError(f"OMP_NUM_THREADS must be a whole number from 1, got {chosen!r}. Unset it or correct it.")
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(seed: int = 0) -> Machine:
    """Set threads and seeds, make the libraries quiet and offline-safe, install what is missing on Colab.

    Returns the machine's description. Everything random in a lesson still takes its own `seed`; this only
    covers libraries that use a global generator.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if in_colab():
        install_missing()
    import faiss
    import numpy as np
    import pandas as pd
    import torch
    from transformers.utils import logging

    torch.set_num_threads(n_threads())
    faiss.omp_set_num_threads(n_threads())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    pd.set_option("display.max_colwidth", 160)
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # peft asks for it
    warnings.filterwarnings("ignore", "Unexpected keyword arguments", UserWarning)  # an adapter saved by a newer peft
    warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation", FutureWarning)  # pandas 2, of pandas 3
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return machine()


def machine() -> Machine:
    """Describe this machine and the versions that decide numbers."""
    import psutil

    versions = {name: metadata.version(name) for name in TESTED}
    memory = round(psutil.virtual_memory().total / 2**30)
    return Machine(platform.system(), platform.python_version(), n_threads(), memory, versions)


def peak_memory_mb() -> float:
    """The most memory (MB, resident) this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss also counts what the process that started this one held
        kibibytes = re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))[1]
        return int(kibibytes) * 1024 / 1e6
    if os.name == "nt":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def children_peak_mb() -> float:
    """The most memory (MB, resident) that a finished child process has held, such as a lesson's kernel. Not on Windows."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def describe(this: Machine) -> str:
    """One line for the top of a lesson."""
    versions = ", ".join(f"{name} {version}" for name, version in this.versions.items())
    size = "quick run: verdicts are provisional" if is_quick() else "full run"
    return f"{size} · {this.cores} cores, {this.memory_gb} GB · Python {this.python} · {versions}"


def machine_row(this: Machine) -> dict:
    """The machine as plain values, for a results file."""
    return asdict(this)


def missing_packages() -> list[str]:
    """The dependencies of `pyproject.toml` that can't be imported here, as pip would be told them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    missing = []
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
        importable = importlib.util.find_spec(IMPORT_NAMES.get(name, name.replace("-", "_")))
        if importable is None and name not in NEVER_REPLACED:
            missing.append(requirement)
    return missing


def held_versions() -> list[str]:
    """What must not be replaced under a running kernel, at the versions that are installed, as constraints for pip."""
    installed = {str(d.name).lower(): d.version for d in metadata.distributions()}
    return [f"{name}=={installed[name]}" for name in sorted(NEVER_REPLACED & set(installed))]


def install_missing() -> list[str]:
    """Install only what is missing, holding what is there at its version. Raises `RuntimeError` with pip's last error."""
    if not (wanted := missing_packages()):
        return []
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("".join(f"{line}\n" for line in held_versions()), "utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--constraint", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        said = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise RuntimeError(
            f"pip could not install {wanted}. It said: {said}\nCheck the network and run this cell again."
        )
    return wanted
