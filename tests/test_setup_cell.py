"""The set-up cell of every lesson: wherever a notebook is opened, it finds the workbook, fetches it or says what to do."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from checkouts import ROOT, copy_workbook, make_repository

from helpers.execution import lesson_paths
from helpers.runtime import NEVER_REPLACED

POSIX = pytest.mark.skipif(os.name == "nt", reason="the stand-in for git is a script with a #! line")
WAYS = ["(1) open this notebook inside a copy of it,", "(2) set WORKBOOK_REPO to ", "(3) upload workbook.zip beside it"]
SMALL = {  # the least that the cell takes for a workbook
    "pyproject.toml": "[project]\ndependencies = []\n",
    "helpers/__init__.py": "",
    "helpers/runtime.py": "def start():\n    return 'here'\n\n\ndef describe(this):\n    return f'{this}: {__file__}'\n",
}
# What the cell is run with in a kernel of Colab that lacks two packages, until the stand-in for pip has been called.
COLAB = """
import importlib.util, sys, types
from pathlib import Path
sys.modules["google.colab"] = types.ModuleType("google.colab")
find, absent = importlib.util.find_spec, {absent!r}
hidden = lambda name: name in absent and not Path({called!r}).exists()
importlib.util.find_spec = lambda name, package=None: None if hidden(name) else find(name, package)
"""
PIP = """
import json, sys
from pathlib import Path
held = Path(sys.argv[sys.argv.index("--constraint") + 1]).read_text().split()
with open({called!r}, "a") as calls:
    calls.write(json.dumps([sys.argv[1:], held]) + "\\n")
"""


def setup_cell(path: Path) -> str:
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def cell() -> str:
    return setup_cell(lesson_paths()[0])


@pytest.fixture
def alone(tmp_path) -> Path:
    """A folder with nothing in it but one notebook, and nothing above it either."""
    folder = tmp_path / "my downloads ü"
    folder.mkdir()
    shutil.copy(lesson_paths()[0], folder)
    return folder


def small_workbook(folder: Path) -> Path:
    for name, text in SMALL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def address(tmp_path) -> str:
    """Where a small workbook can be cloned from."""
    return make_repository(small_workbook(tmp_path / "small"))


def zipped(folder: Path, target: Path, *, inside: str = ".") -> None:
    """Zip what is in `folder`, at the root of the archive or, as GitHub does, inside one folder."""
    holder = target.parent.parent / f"to zip {target.stat().st_ino if target.exists() else 0}"
    shutil.copytree(folder, holder / inside, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
    shutil.make_archive(str(target.with_suffix("")), "zip", holder)


def run(cell: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the cell in `folder`; what it shows goes to stdout, what git or a traceback says to stderr."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("WORKBOOK_", "GIT_", "PYTHONPATH"))
    }
    command = [sys.executable, "-c", cell]
    return subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=60)


def found(done: subprocess.CompletedProcess) -> Path:
    """Where the small workbook is that the cell has found."""
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("here: ")
    return Path(done.stdout.removeprefix("here: ").strip()).parent.parent


def refused(done: subprocess.CompletedProcess) -> str:
    """The one error that the cell ends with, which names the three ways, each once."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("Error: ") - done.stderr.count("fatal: Error: ") == 1, done.stderr
    assert done.stderr.count("Traceback") == 1, done.stderr
    message = done.stderr.splitlines()[-1]
    assert message.startswith("RuntimeError: The workbook was not found (")
    assert [message.count(way) for way in WAYS] == [1, 1, 1], message
    assert "(4)" not in message
    return message


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- what it is ---


def test_all_lessons_have_the_same_cell():
    cells = {path.stem: setup_cell(path) for path in lesson_paths()}
    assert len(set(cells.values())) == 1, f"its text differs in some of {list(cells)}"
    assert len(next(iter(cells.values())).splitlines()) <= 28


@POSIX
@pytest.mark.parametrize("environment", [{}, {"WORKBOOK_REPO": ""}])
def test_without_a_word_it_clones_the_project_s_own_repository(cell, alone, tmp_path, environment):
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\nexit 128\n')
    git.chmod(0o755)
    refused(run(cell, alone, PATH=f"{git.parent}:{os.environ['PATH']}", **environment))
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "clone"
    assert asked[-2:] == [urls["Repository"], "workbook.new"]


# --- where it finds a workbook ---


@pytest.mark.parametrize("inside", [".", "notebooks", "runs/of mine/today"])
def test_a_workbook_above_the_notebook_is_used(cell, tmp_path, inside):
    workbook = small_workbook(tmp_path / "workbook ü")
    (workbook / inside).mkdir(parents=True, exist_ok=True)
    before = contents(workbook / inside)
    assert found(run(cell, workbook / inside, PATH="", WORKBOOK_REPO="no address")) == workbook
    assert contents(workbook / inside) - before <= {"helpers"}


def test_a_workbook_is_cloned_beside_the_notebook(cell, alone, address):
    before = contents(alone)
    assert found(run(cell, alone, WORKBOOK_REPO=address)) == alone / "workbook"
    assert contents(alone) == before | {"workbook"}


@pytest.mark.parametrize("inside", [".", "workbook-main"])
def test_an_uploaded_zip_is_unpacked_and_needs_no_git(cell, alone, tmp_path, inside):
    zipped(small_workbook(tmp_path / "small"), alone / "workbook.zip", inside=inside)
    assert found(run(cell, alone, PATH="", WORKBOOK_REPO="no address")) == alone / "workbook"
    assert (alone / "workbook/pyproject.toml").exists()


@pytest.mark.parametrize("way", ["git", "zip"])
def test_the_second_run_fetches_nothing(cell, alone, tmp_path, address, way):
    if way == "zip":
        zipped(tmp_path / "small", alone / "workbook.zip")
    found(run(cell, alone, WORKBOOK_REPO=address))
    (alone / "workbook/my notes.txt").write_text("kept")
    shutil.rmtree(tmp_path / "small")
    (alone / "workbook.zip").unlink(missing_ok=True)
    again = run(f"{cell}\n{cell}", alone, PATH="", WORKBOOK_REPO="no address")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [f"here: {alone / 'workbook/helpers/runtime.py'}"] * 2
    assert (alone / "workbook/my notes.txt").read_text() == "kept"


# --- what it says when it can't ---


def test_nothing_to_be_had_is_one_error_with_the_three_ways(cell, alone):
    before = contents(alone)
    done = run(cell, alone, WORKBOOK_REPO=(alone / "no such repository").as_uri())
    assert "git" in refused(done)
    assert "fatal: " in done.stderr, "git's own words are shown"
    assert contents(alone) == before


def test_no_git_is_told(cell, alone, address):
    assert "'git'" in refused(run(cell, alone, PATH="", WORKBOOK_REPO=address))


def test_an_address_is_never_taken_for_an_option(cell, alone):
    refused(run(cell, alone, WORKBOOK_REPO=f"--upload-pack=touch {alone / 'pwned'};"))
    assert "pwned" not in contents(alone)


def broken_zips() -> dict[str, bytes]:
    """Zip files as an upload or a learner may spoil them, by what is said of them."""
    import io
    import zipfile

    def archive(name: str) -> bytes:
        with zipfile.ZipFile(held := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, SMALL["helpers/runtime.py"] * 20)
        return held.getvalue()

    whole = archive("helpers/runtime.py")
    middle = len(whole) // 4
    return {
        "is not a zip file": b"<!doctype html>",
        "not a zip file": whole[: len(whole) // 2],
        "": whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 8]) + whole[middle + 8 :],
        "wrong contents": archive("holiday.txt"),
    }


@pytest.mark.parametrize(("said", "data"), broken_zips().items(), ids=["a page", "half", "bits flipped", "another zip"])
def test_a_broken_zip_is_told_and_a_good_one_mends_it(cell, alone, tmp_path, said, data):
    (alone / "workbook.zip").write_bytes(data)
    assert said in refused(run(cell, alone, PATH=""))
    assert "workbook" not in contents(alone), "what is there is whole"
    zipped(small_workbook(tmp_path / "small"), alone / "workbook.zip")
    assert found(run(cell, alone, PATH="")) == alone / "workbook"


def test_a_repository_of_something_else_is_told(cell, alone, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/holiday.txt").touch()
    assert "wrong contents" in refused(run(cell, alone, WORKBOOK_REPO=make_repository(tmp_path / "other")))


@pytest.mark.parametrize("way", ["git", "zip"])
def test_a_damaged_folder_is_told_and_left_to_its_owner(cell, alone, tmp_path, address, way):
    if way == "zip":
        zipped(tmp_path / "small", alone / "workbook.zip")
    (alone / "workbook/.git").mkdir(parents=True)
    (alone / "workbook/helpers").mkdir()
    assert "delete the damaged folder workbook" in refused(run(cell, alone, WORKBOOK_REPO=address))
    assert contents(alone / "workbook") == {".git", "helpers"}
    shutil.rmtree(alone / "workbook")
    assert found(run(cell, alone, WORKBOOK_REPO=address)) == alone / "workbook"


@pytest.mark.parametrize("way", ["git", "zip"])
def test_what_a_killed_attempt_left_is_cleared_away(cell, alone, tmp_path, address, way):
    if way == "zip":
        zipped(tmp_path / "small", alone / "workbook.zip")
    (alone / "workbook.new/helpers").mkdir(parents=True)
    (alone / "workbook.new/helpers/runtime.py").write_text("half a li")
    assert found(run(cell, alone, WORKBOOK_REPO=address)) == alone / "workbook"


# --- the real workbook ---


def test_the_workbook_itself_is_cloned_and_starts_in_a_colab_that_lacks_two_packages(cell, alone, tmp_path):
    """Only what is missing is asked for; what a running kernel uses is held, even if it seems to be missing."""
    address, called = make_repository(copy_workbook(tmp_path / "repository")), str(tmp_path / "calls.jsonl")
    (tmp_path / "stand-in/pip").mkdir(parents=True)
    (tmp_path / "stand-in/pip/__init__.py").touch()
    (tmp_path / "stand-in/pip/__main__.py").write_text(PIP.format(called=called))
    colab = COLAB.format(absent=[*NEVER_REPLACED, "faiss", "gguf"], called=called)
    environment = {"WORKBOOK_REPO": address, "PYTHONPATH": str(tmp_path / "stand-in"), "OMP_NUM_THREADS": "1"}
    done = run(f"{colab}\n{cell}\n{cell}", alone, **environment)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^full run · 1 cores, .* · torch \S+, .*numpy \S+", done.stdout, re.M)) == 2, done.stdout
    [(asked, held)] = [json.loads(line) for line in Path(called).read_text().splitlines()]
    wanted = asked[asked.index("--constraint") + 2 :]
    assert [re.match(r"[\w-]+", name)[0] for name in wanted] == ["faiss-cpu", "gguf"]
    assert {"numpy", "pandas", "torch", "ipython", "ipykernel", "ipywidgets"} <= NEVER_REPLACED
    assert {line.split("==")[0] for line in held} >= {"numpy", "pandas", "torch", "ipython", "ipykernel", "ipywidgets"}
    assert not {"--upgrade", "-U", "--force-reinstall"} & set(asked)
