"""Lessons where Google Colab's versions are installed: slow (5 minutes, 2 GB), so run by name only.

    python workbook.py test tests/colab -s

The versions are those of Colab's image of August 2026. It has Python 3.13, for which PyPI's torch is the CUDA build of
several GB; so what needs no torch is tested on 3.13 (or 3.12), and a whole lesson on 3.11. Both environments are made anew
and removed, unless `WORKBOOK_COLAB=folder` says where to keep them. Leaves out Colab's own page: no account, no browser.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from helpers.execution import WIDGET, lesson_path
from tests.checkouts import copy_workbook, make_repository

pytestmark = pytest.mark.colab
JUPYTER = ["ipython==7.34.*", "ipykernel==6.17.*", "ipywidgets==7.7.1"]
ARRAYS = ["numpy==2.1.3", "pandas==2.2.3", "matplotlib==3.10.*", "datasets==4.0.*"]
MODELS = ["torch==2.13.0", "transformers==5.15.*", "sentence-transformers==5.7.*", "accelerate==1.14.*"]
SMALL = [
    "nbclient",
    "scipy",
    "pyyaml",
    "psutil",
    "tqdm",
    "filelock",
    "faiss-cpu",
    "huggingface-hub",
    "pytest",
    "hypothesis",
    "bm25s",
    "pystemmer",
    "pytrec-eval-terrier",
    "chromadb",
    "pinecone",
]
SPECS = ["lesson", "plots", "statistics", "verdicts", "corpus", "own_data", "prompts", "experiments"]
NEEDS_TORCH = "tests/test_verdicts.py::test_a_record_is_json_the_same_each_time_and_tells_nothing_about_who_ran_it"
LESSON = "01_embeddings"
IMPORTS = """
import importlib
done = []
for path in sorted((folders[-1] / "helpers").glob("*.py")):
    try:
        importlib.import_module(f"helpers.{path.stem}")
        done.append(path.stem)
    except ModuleNotFoundError as error:
        assert error.name in ("torch", "transformers", "nbconvert"), error
print(*done)
"""
WIDGETS = """
import ipywidgets
from helpers.lesson import exercise, live_figure, predict, question_box, quiz
from helpers.plots import describe, plot_rates
from helpers.statistics import rate

def draw(share):
    estimates = {"a": rate([1.0] * share + [0.0] * (10 - share))}
    return plot_rates(estimates, title="How many?", xlabel="share"), describe(estimates)

prediction = predict({"a": 0.5})
live_figure(draw, share=[5, 6, 7])
quiz("Which?", {"this": "Yes.", "that": "No."}, answer="this")
question_box(lambda question: f"<p>{len(question)}</p>", example="Who?")
print(ipywidgets.__version__)
"""


class Colab:
    """A virtual environment that takes itself for Colab: `google.colab` is imported in every Python it starts."""

    def __init__(self, folder: Path, python: str, packages: list[str]) -> None:
        self.folder, self.python = folder, str(folder / "bin/python")
        if not (folder / "ready").exists():
            started = time.monotonic()
            subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run(
                [self.python, "-m", "pip", "install", "--quiet", *packages], check=True, stderr=subprocess.DEVNULL
            )
            (self.site_packages() / "google/colab").mkdir(parents=True)
            (self.site_packages() / "google/colab/__init__.py").touch()
            (self.site_packages() / "colab.pth").write_text("import google.colab\n")
            (folder / "ready").touch()
            print(f"\n{folder.name} made in {time.monotonic() - started:.0f} s")

    def site_packages(self) -> Path:
        ask = "import site; print(site.getsitepackages()[0])"
        return Path(subprocess.check_output([self.python, "-c", ask], text=True).strip())

    def versions(self) -> dict[str, str]:
        listed = subprocess.check_output([self.python, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL)
        return {package["name"].lower(): package["version"] for package in json.loads(listed)}

    def run(self, notebook: NotebookNode, folder: Path, **environment: str) -> list[str]:
        """Run a notebook in a kernel of this environment; return what the code cells have printed."""
        specs = folder.parent / "kernels"
        (specs / "colab").mkdir(parents=True, exist_ok=True)
        argv = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (specs / "colab/kernel.json").write_text(
            json.dumps({"argv": argv, "display_name": "Colab", "language": "python"})
        )
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(
            notebook, kernel_name="colab", timeout=900, resources=resources, store_widget_state=False
        )
        client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(specs)])
        client.execute(env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"} | environment)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return ["".join(o.text for o in cell.outputs if o.get("name") == "stdout").strip() for cell in code]


def python_of(*versions: str) -> str:
    """The first Python of these versions on this machine, in the path or of pyenv."""
    for version in versions:
        pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
        for python in [shutil.which(f"python{version}"), *map(str, pyenv)]:
            ask = "import sys; print('%d.%d' % sys.version_info[:2])"
            if python and subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip() == version:
                return python
    pytest.fail(f"These tests need Python {' or '.join(versions)}: 'pyenv install {versions[0]}'.", pytrace=False)


@pytest.fixture(scope="module")
def environments() -> Iterator[Path]:
    if kept := os.environ.get("WORKBOOK_COLAB"):
        yield Path(kept).absolute()
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    return make_repository(copy_workbook(tmp_path_factory.mktemp("colab") / "repository"))


@pytest.fixture(scope="module")
def light(environments) -> Colab:
    """Colab's Python and Jupyter, without torch; an empty class stands in for the one encoder that is imported by name."""
    colab = Colab(environments / "light", python_of("3.13", "3.12"), [*JUPYTER, *ARRAYS, *SMALL])
    (colab.site_packages() / "sentence_transformers.py").write_text("class SentenceTransformer: ...\n")
    return colab


@pytest.fixture
def empty(tmp_path) -> Path:
    """A folder with a lone notebook."""
    (tmp_path / "content").mkdir()
    shutil.copy(lesson_path(LESSON), tmp_path / "content")
    return tmp_path / "content"


def setup_cell() -> str:
    cells = nbformat.read(lesson_path(LESSON), as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


def test_colabs_jupyter_fetches_the_workbook_and_shows_the_widgets(light, address, empty):
    find = "\n".join(setup_cell().splitlines()[:-1])  # all but the start, which needs torch
    notebook = new_notebook(cells=[new_code_cell(source) for source in [find, find, IMPORTS, WIDGETS]])
    printed = light.run(notebook, empty, WORKBOOK_REPO=address)
    assert {"corpus", "lesson", "own_data", "plots", "retrieval", "runtime", "statistics", "verdicts"} <= set(
        printed[2].split()
    )
    assert printed[3] == "7.7.1"
    outputs = notebook.cells[3].outputs
    assert [WIDGET in output.get("data", {}) for output in outputs].count(True) == 4
    assert not [output for output in outputs if output.get("name") == "stderr"]
    version = subprocess.check_output([light.python, "-V"], text=True).strip()
    print(f"\n{version}: imported {printed[2]}")


def test_the_helpers_keep_their_promises_with_colabs_versions(light, tmp_path):
    """The same specifications as everywhere, of all that needs no torch: every widget under ipywidgets 7.7.1, for one."""
    copy = copy_workbook(tmp_path / "workbook")
    specs = [f"tests/test_{name}.py" for name in SPECS]
    command = [light.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--deselect", NEEDS_TORCH, *specs]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    print("\n" + done.stdout.splitlines()[-1])


def test_a_lone_lesson_runs_to_its_end_with_colabs_libraries(environments, address, empty):
    colab = Colab(environments / "full", python_of("3.11"), [*JUPYTER, *ARRAYS, *MODELS])
    added = ["faiss-cpu", "gguf"]  # a kept environment has them from the last time
    subprocess.run([colab.python, "-m", "pip", "uninstall", "--quiet", "--yes", *added], check=True)
    before, started = colab.versions(), time.monotonic()
    notebook = nbformat.read(empty / f"{LESSON}.ipynb", as_version=4)
    results = str(empty.parent / "results")
    printed = colab.run(notebook, empty, WORKBOOK_REPO=address, WORKBOOK_RESULTS=results, QUICK="1")
    seconds, after = time.monotonic() - started, colab.versions()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert (empty / "workbook/helpers").is_dir()
    assert printed[0].startswith("quick run: ")
    installed = {name: version for name, version in after.items() if name not in before}
    assert set(installed) >= set(added)
    assert {name: after.get(name) for name in before} == before, "nothing that Colab has is replaced"
    print(
        f"\n{printed[0]}\ninstalled {installed}; {len(code)} cells in {seconds:.0f} s, Python of the tests {sys.version.split()[0]}"
    )
