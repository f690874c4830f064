"""pyproject.toml is the one place where dependencies are stated; everything else agrees with it."""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
STATED = [
    *PROJECT["dependencies"],
    *(r for extra in PROJECT["optional-dependencies"].values() for r in extra),
]
ON_CONDA_FORGE = {"torch": "pytorch-cpu", "huggingface-hub": "huggingface_hub"}  # other names than on PyPI
NOT_ON_CONDA_FORGE = {"pytrec-eval-terrier"}
IMPORTED_AS = {  # other names than on PyPI
    "faiss-cpu": "faiss",
    "pystemmer": "Stemmer",
    "pytrec-eval-terrier": "pytrec_eval",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
COMES_WITH = {
    "IPython": "ipykernel",
    "jupyter_client": "nbclient",
    "packaging": "pytest",
    "tokenizers": "transformers",
    "PIL": "matplotlib",
}
OUR_OWN = {"helpers", "tests", "workbook"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
COLAB = {  # what Colab has; no lower bound may ask for more, or a lesson's first cell breaks it
    "torch": "2.11.0",
    "transformers": "5.15.0",
    "accelerate": "1.14.0",
    "sentence-transformers": "5.7.0",
    "datasets": "4.0.0",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
}


def locked_versions() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def imported_by(source: str) -> set[str]:
    """The top-level modules that a Python source imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    return {name.split(".")[0] for name in found}


def code_of(notebook: Path) -> str:
    """The Python of a notebook, without lines for the shell."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", lines, flags=re.MULTILINE)


def undeclared(modules: set[str]) -> set[str]:
    """Those of `modules` that neither Python, nor the workbook, nor a stated dependency brings."""
    distributions = {Requirement(stated).name for stated in STATED}
    brought = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in distributions}
    brought |= {module for module, name in COMES_WITH.items() if name in distributions}
    return modules - brought - OUR_OWN - sys.stdlib_module_names - {"google"}  # google.colab is Colab's own


def test_every_dependency_has_one_lower_bound_and_a_reason_beside_it():
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    for stated in STATED:
        assert re.fullmatch(r"[a-z0-9-]+>=\d+(\.\d+)*", stated), "name>=bound is what workbook.py reads"
        (line,) = [line for line in lines if f'"{stated}"' in line]
        assert re.search(r'",\s+# \w.{8,}', line), f"why {stated}?"


def test_no_dependency_is_stated_twice():
    names = [Requirement(stated).name for stated in STATED]
    assert sorted(set(names)) == sorted(names)


def test_the_lock_is_sorted_exact_and_without_local_builds():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    assert entries == sorted(set(entries))
    assert [entry for entry in entries if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", entry)] == []
    assert text.startswith("# The versions that were tested together"), "says how it was made"


@pytest.mark.parametrize("stated", STATED)
def test_the_lock_has_a_version_that_satisfies_each_bound(stated):
    wanted = Requirement(stated)
    assert wanted.specifier.contains(locked_versions()[wanted.name])


@pytest.mark.parametrize(("name", "version"), COLAB.items())
def test_the_bounds_admit_what_colab_has(name, version):
    (wanted,) = [Requirement(stated) for stated in STATED if Requirement(stated).name == name]
    assert wanted.specifier.contains(version)


def test_conda_gets_the_same_dependencies_by_its_own_names():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    stated = [Requirement(requirement) for requirement in PROJECT["dependencies"]]
    expected = [
        f"{ON_CONDA_FORGE.get(r.name, r.name)}{r.specifier}" for r in stated if r.name not in NOT_ON_CONDA_FORGE
    ]
    from_pip = {"pip": [f"{r.name}{r.specifier}" for r in stated if r.name in NOT_ON_CONDA_FORGE]}
    assert environment["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", *expected, from_pip]
    assert environment["channels"] == ["conda-forge", "nodefaults"]


def sources() -> list[Path]:
    python = [*ROOT.glob("helpers/**/*.py"), *ROOT.glob("tests/**/*.py")]
    return sorted([*python, *ROOT.glob("notebooks/*.ipynb")])


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_every_import_is_a_stated_dependency(path):
    source = code_of(path) if path.suffix == ".ipynb" else path.read_text("utf-8")
    assert undeclared(imported_by(source)) == set()


def test_workbook_py_needs_nothing_but_python():
    imported = imported_by((ROOT / "workbook.py").read_text("utf-8"))
    assert imported - sys.stdlib_module_names == set()


def test_an_import_that_nobody_stated_is_found_wherever_it_hides(tmp_path):
    lines = [
        "%matplotlib inline\n",
        "!pip list\n",
        "import yaml, os.path\n",
        "def f():\n",
        "    from lightgbm.x import y",
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": lines}]}))
    imported = imported_by(code_of(tmp_path / "a.ipynb"))
    assert imported == {"yaml", "os", "lightgbm"}
    assert undeclared(imported) == {"lightgbm"}
