"""What `helpers/runtime.py` promises: one place for size, threads, seeds, folders and what Colab lacks."""

import base64
import getpass
import hashlib
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import runtime

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("value", ["1", "true", "TRUE", " 1 "])
def test_quick_is_asked_for_by_one_or_true(monkeypatch, value):
    monkeypatch.setenv("QUICK", value)
    assert runtime.is_quick()
    assert runtime.sample_size(300, 20) == 20


@pytest.mark.parametrize("value", [None, "", "0", "false", "False", " "])
def test_a_run_is_full_unless_asked(monkeypatch, value):
    monkeypatch.delenv("QUICK", raising=False)
    if value is not None:
        monkeypatch.setenv("QUICK", value)
    assert not runtime.is_quick()
    assert runtime.sample_size(300, 20) == 300


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6))
def test_quick_is_yes_or_no_or_refused(monkeypatch, value):
    monkeypatch.setenv("QUICK", value)
    known = value.strip().lower()
    if known in ("", "0", "1", "true", "false"):
        assert runtime.is_quick() == (known in ("1", "true"))
    else:
        with pytest.raises(ValueError, match="QUICK must be 0 or 1, got .* Unset it or correct it"):
            runtime.is_quick()


def test_threads_are_what_is_chosen_else_the_cores_this_process_may_use(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", " 3 ")
    assert runtime.n_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert runtime.n_threads() == cores
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert runtime.n_threads() == 1


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "4,2", "²"])
def test_impossible_thread_counts_are_refused(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"OMP_NUM_THREADS must be a whole number from 1, got '{value}'. Unset it"):
        runtime.n_threads()


def test_results_go_where_asked_else_where_git_ignores_them(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "a" / "b"))
    assert runtime.results_folder() == tmp_path / "a" / "b"
    assert runtime.results_folder().is_dir()
    monkeypatch.setenv("WORKBOOK_RESULTS", "")
    monkeypatch.setattr(runtime, "ROOT", tmp_path / "checkout")
    assert runtime.results_folder() == tmp_path / "checkout/data/results/local"
    assert "data/results/local*" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize("inside", [".", "deeper/still"])
def test_a_results_folder_with_a_file_in_its_way_is_refused(tmp_path, monkeypatch, inside):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "file" / inside))
    with pytest.raises(
        ValueError, match=r"Results can't be written to .*file.* \((File exists|Not a directory)\)\. Set"
    ):
        runtime.results_folder()


def test_a_results_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    monkeypatch.setattr(runtime.os, "access", lambda *_: False)  # the tests may run as root, who may write anywhere
    with pytest.raises(ValueError, match=r"\(no permission to write\)\. Set WORKBOOK_RESULTS to a folder that you may"):
        runtime.results_folder()


def test_start_seeds_every_global_generator_and_sets_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(runtime, "install_missing", pytest.fail)

    def drawn(seed: int) -> tuple:
        machine = runtime.start(seed)
        return machine, random.random(), float(np.random.random()), float(torch.rand(1))

    assert drawn(0) == drawn(0)
    assert all(one != other for one, other in zip(drawn(0)[1:], drawn(1)[1:], strict=True))
    assert torch.get_num_threads() == 1
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_start_installs_only_on_colab(monkeypatch):
    asked = []
    monkeypatch.setattr(runtime, "install_missing", lambda: asked.append(1))
    assert not runtime.in_colab()
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert runtime.in_colab()
    runtime.start()
    assert asked == [1]


def test_importing_the_module_does_no_work():
    heavy = ("torch", "numpy", "faiss", "psutil")
    code = f"import sys, helpers.runtime; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_the_machine_is_described_without_names_or_paths(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("QUICK", raising=False)
    machine = runtime.machine()
    assert (machine.cores, machine.python, machine.memory_gb >= 1) == (1, platform.python_version(), True)
    assert machine.versions["numpy"] == np.__version__
    text = json.dumps(runtime.machine_row(machine))
    assert not [name for name in (platform.node(), str(Path.home()), str(ROOT)) if len(name) > 1 and name in text]
    assert f'"{getpass.getuser()}"' not in text
    assert runtime.describe(machine).startswith("full run · 1 cores")
    monkeypatch.setenv("QUICK", "1")
    assert runtime.describe(machine).startswith("quick run: verdicts are provisional · ")


def test_peak_memory_is_in_megabytes_and_never_falls():
    code = (
        "from helpers.runtime import peak_memory_mb as peak\n"
        "before = peak(); block = bytearray(200_000_000); grown = peak(); del block\n"
        "print(before, grown, peak())"
    )
    said = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    before, grown, after = map(float, said.split())
    assert 0 < before < 200
    assert grown - before == pytest.approx(200, abs=3)
    assert after == pytest.approx(grown, abs=2)  # the kernel counts a little late


# ---------------------------------------------------------------- what Colab lacks


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a pyproject.toml with these dependencies and makes it the workbook's."""

    def write(*dependencies: str) -> None:
        (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(list(dependencies))}\n")
        monkeypatch.setattr(runtime, "ROOT", tmp_path)

    return write


@pytest.fixture
def absent(monkeypatch):
    """A function that makes modules look as if they were not installed."""
    find = importlib.util.find_spec

    def hide(*names: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))

    return hide


def test_nothing_is_missing_here():
    assert runtime.missing_packages() == []
    assert runtime.install_missing() == []


def test_what_is_missing_is_named_as_pip_would_be_told(project, absent):
    project("faiss-cpu>=1.10", "pyyaml", "gguf~=0.10", "no-such-thing[extra]>=2,<3", "tqdm ; python_version > '3'")
    absent("faiss", "yaml", "gguf")
    assert runtime.missing_packages() == [
        "faiss-cpu>=1.10",
        "pyyaml",
        "gguf~=0.10",
        "no-such-thing[extra]>=2,<3",
    ]


def test_what_a_running_kernel_uses_is_never_replaced(project, absent):
    project("numpy>=99", "torch>=99", "pandas", "gguf")
    absent("numpy", "torch", "pandas", "gguf")
    assert runtime.missing_packages() == ["gguf"]


def test_every_dependency_can_be_recognised_by_its_import_name():
    """Else a lesson on Colab would install it again in every session."""
    names = [
        runtime.re.split(r"[<>=]", line)[0]
        for line in runtime.tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    ]
    for name in names:
        module = runtime.IMPORT_NAMES.get(name, name.replace("-", "_"))
        assert importlib.util.find_spec(module), name


def test_held_versions_are_those_that_are_installed():
    held = dict(line.split("==") for line in runtime.held_versions())
    assert set(held) <= runtime.NEVER_REPLACED
    assert held["numpy"] == metadata.version("numpy")
    assert held["torch"] == metadata.version("torch")


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """The smallest wheel there is."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in files.items()}
    encoded = {path: base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for path, digest in digests.items()}
    files[f"{info}/RECORD"] = "".join(f"{path},sha256={d},\n" for path, d in encoded.items()) + f"{info}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def target(tmp_path, monkeypatch) -> Path:
    """The real pip, which can only take wheels from a folder and only install into another one."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.syspath_prepend(str(tmp_path / "target"))
    return tmp_path / "target"


def test_the_real_pip_installs_what_is_missing_and_once(project, target, tmp_path):
    project("tqdm", "workbook-probe-one>=1")
    wheel(tmp_path / "wheels", "workbook_probe_one", "1.2")
    assert runtime.install_missing() == ["workbook-probe-one>=1"]
    assert importlib.import_module("workbook_probe_one").VERSION == "1.2"
    assert runtime.install_missing() == []
    assert not (target / "tqdm").exists()


def test_a_package_that_wants_another_numpy_is_refused_and_numpy_stays(project, target, tmp_path):
    project("workbook-probe-two")
    wheel(tmp_path / "wheels", "workbook_probe_two", "1.0", "numpy>=99")
    wheel(tmp_path / "wheels", "numpy", "99.0")
    with pytest.raises(
        RuntimeError, match=r"pip could not install \['workbook-probe-two'\]. It said: ERROR: .*\nCheck"
    ):
        runtime.install_missing()
    assert not (target / "numpy.py").exists()


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (
            "ERROR: no network\n[notice] A new release of pip is available\n[notice] To update, run: x\n\n",
            "ERROR: no network",
        ),
        ("Traceback\nOSError: disk full\n", "OSError: disk full"),
        ("\n", "nothing"),
    ],
)
def test_a_failing_pip_is_quoted_and_leaves_nothing_behind(project, monkeypatch, tmp_path, stderr, said):
    seen = {}

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess:
        constraints = Path(command[command.index("--constraint") + 1])
        seen.update(command=command, constraints=constraints, held=constraints.read_text("utf-8").splitlines())
        return subprocess.CompletedProcess(command, 1, "", stderr)

    project("no-such-thing>=2")
    monkeypatch.setattr(runtime.subprocess, "run", pip)
    with pytest.raises(RuntimeError) as error:
        runtime.install_missing()
    wanted = "pip could not install ['no-such-thing>=2']. It said: "
    assert str(error.value) == f"{wanted}{said}\nCheck the network and run this cell again."
    assert seen["held"] == runtime.held_versions()
    assert seen["command"][:4] == [sys.executable, "-m", "pip", "install"]
    assert seen["command"][-1] == "no-such-thing>=2"
    assert not seen["constraints"].exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
