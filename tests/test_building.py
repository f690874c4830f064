"""How the committed lessons come about: written back, rows kept beside, nothing left of what is no longer used."""

import json
import os
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from helpers.building import build_lesson, remove_unused

MEASURE = """
from dataclasses import dataclass
from helpers.experiments import measure

@dataclass(frozen=True)
class Item:
    id: str

rows = measure("toy", [[Item("a"), Item("b")]], lambda batch: [{"score": 1.0} for _ in batch], settings={"condition": "c"})
print(len(rows))
"""
PLOT = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()"


def lesson(folder: Path, *sources: str, name: str = "03_toy") -> Path:
    cells = [new_code_cell(source, id="plot" if source == PLOT else f"cell-{i}") for i, source in enumerate(sources)]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_lesson_its_rows_and_its_picture_are_written_and_the_same_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    path, results = lesson(tmp_path, MEASURE, PLOT), tmp_path / "results"
    assert build_lesson(path, results=results)
    rows = list((results / "03_toy").glob("toy-*.jsonl"))
    assert len(rows) == 1 and len(rows[0].read_text("utf-8").splitlines()) == 2
    assert json.loads((results / "03_toy/machine.json").read_text("utf-8"))["cores"] >= 1
    assert (results / "03_toy.png").read_bytes().startswith(b"\x89PNG")
    first, measured = path.read_bytes(), rows[0].read_bytes()
    assert build_lesson(path, results=results)
    assert path.read_bytes() == first and rows[0].read_bytes() == measured
    assert "WORKBOOK_RESULTS" not in os.environ


def test_a_lesson_that_fails_and_its_rows_are_left_as_they_were(tmp_path, capsys):
    path, results = lesson(tmp_path, "1 / 0"), tmp_path / "results"
    (results / "03_toy").mkdir(parents=True)
    kept = results / "03_toy/toy-0.jsonl"
    kept.write_text("{}\n")
    before = path.read_bytes()
    assert not build_lesson(path, results=results)
    assert path.read_bytes() == before and kept.exists() and not (results / "03_toy.png").exists()
    assert f"{path} is left as it was" in capsys.readouterr().out


def test_a_quick_build_leaves_no_rows_and_no_picture(tmp_path):
    path, results = lesson(tmp_path, PLOT), tmp_path / "results"
    assert build_lesson(path, quick=True, results=results)
    assert not results.exists()


def test_only_what_was_not_touched_is_removed(tmp_path):
    old, new, other = tmp_path / "a-1.jsonl", tmp_path / "a-2.jsonl", tmp_path / "README.md"
    for file in (old, new, other):
        file.write_text("{}\n")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    assert remove_unused(tmp_path, time.time() - 60) == ["a-1.jsonl"]
    assert new.exists() and other.exists() and not old.exists()
