"""What `helpers/seals.py` promises: a seal breaks when the verdict could come out otherwise, and only then."""

import json
from pathlib import Path

import pytest
from small_workbooks import YES, change, entry, make_workbook, write_claims, write_lesson, write_verdict

from helpers.seals import JUDGES, broken, code, data_of, lesson_code, sealed
from helpers.verdicts import Claim, Part, judge, record

ROOT = Path(__file__).resolve().parent.parent
STALE_JUDGES = ["stale: the claim, the lesson's code or the code that judges has changed"]
STALE_DATA = ["stale: the data have changed"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("QUICK", raising=False)
    return make_workbook(tmp_path / "workbook")


@pytest.fixture
def path(root) -> Path:
    return write_verdict(root, "C01", "03_reading", a=YES)


def found(path: Path, root: Path) -> list[str]:
    return broken(json.loads(path.read_text("utf-8")), root=root)


def test_a_seal_fits_what_was_just_recorded(root, path):
    seal = json.loads(path.read_text("utf-8"))["seal"]
    assert list(seal) == ["judged_by", "data", "content"]
    assert len(set(seal.values())) == 3
    assert found(path, root) == []


def test_a_verdict_without_a_seal_is_told_so(root, path):
    row = json.loads(path.read_text("utf-8"))
    del row["seal"]
    assert broken(row, root=root) == ["not sealed"]


@pytest.mark.parametrize(
    ("old", "new"),
    [('"value": 0.7', '"value": 0.8'), ('"n": 90', '"n": 900'), ('"provisional": false', '"provisional": true')],
)
def test_a_change_by_hand_shows(root, path, old, new):
    change(path, old, new)
    assert found(path, root) == ["changed by hand"]


def test_a_seal_mended_by_hand_shows_too(root, path):
    (root / "data/company/air.md").write_text("It howls.", "utf-8")
    row = json.loads(path.read_text("utf-8"))
    row["seal"]["data"] = data_of(root)
    assert broken(row, root=root) == ["changed by hand"]


def test_how_the_file_is_laid_out_does_not_matter(root, path):
    row = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(reversed(row.items())), indent=4), "utf-8")
    assert found(path, root) == []


@pytest.mark.parametrize(
    "cells",
    [
        ("x = 2\n", "def f():\n    return x\n"),
        ("x = 1\n", "def f():\n    return x\n", "f()"),
        ("x = 1\n", "%time f()\n"),
        (),
    ],
)
def test_a_changed_cell_makes_the_verdict_stale(root, path, cells):
    write_lesson(root, "03_reading", *cells)
    assert found(path, root) == STALE_JUDGES


def test_prose_comments_blank_space_docstrings_and_cuts_between_cells_do_not(root, path):
    new = '# one\nx=1\n\n\ndef f( ):\n  """What it gives."""\n  return x  # that'
    write_lesson(root, "03_reading", new, "# nothing", prose="Read that.")
    assert found(path, root) == []


def test_outputs_of_a_lesson_do_not_matter(root, path):
    change(root / "notebooks/03_reading.ipynb", '"outputs": []', '"outputs": [{"text": "2"}]')
    assert found(path, root) == []


def test_a_lesson_in_ipythons_own_syntax_is_compared_as_it_is(root):
    write_lesson(root, "04_timing", "%time f()", "x = 1")
    write_lesson(root, "05_timing", "%time g()", "x = 1")
    first, second = (lesson_code(root / f"notebooks/{name}.ipynb") for name in ("04_timing", "05_timing"))
    assert first != second and first[1:] == second[1:] == code("x = 1")


@pytest.mark.parametrize("change_to", [{"supported": ">= 0.60"}, {"refuted": "<= 0.10"}, {"metric": "other"}])
def test_a_changed_threshold_makes_the_verdict_stale(root, path, change_to):
    claim = entry("C01", "a")
    claim["parts"][0] |= change_to
    write_claims(root, claim)
    assert found(path, root) == STALE_JUDGES


def test_another_claim_added_or_changed_does_not(root, path):
    write_claims(root, entry("C00", "z"), entry("C01", "a"))
    assert found(path, root) == []


@pytest.mark.parametrize("name", JUDGES)
def test_changed_code_that_judges_makes_the_verdict_stale_and_its_prose_does_not(root, path, name):
    helper = root / "helpers" / name
    helper.write_text("# a remark\n" + helper.read_text("utf-8").replace('"""', '"""So: ', 1), "utf-8")
    assert found(path, root) == []
    helper.write_text(helper.read_text("utf-8") + "\nMORE = 1\n", "utf-8")
    assert found(path, root) == STALE_JUDGES


def test_changed_renamed_added_or_removed_data_make_the_verdict_stale(root, path):
    air, before = root / "data/company/air.md", data_of(root)
    seen = {before}
    air.write_text("It howls.\n", "utf-8")
    seen.add(data_of(root))
    assert found(path, root) == STALE_DATA
    air.rename(root / "data/company/water.md")
    seen.add(data_of(root))
    air.write_text("It hums.\n", "utf-8")
    seen.add(data_of(root))
    assert len(seen) == 4
    (root / "data/company/water.md").unlink()
    air.write_bytes(b"It hums.\nSoftly.\n")
    assert data_of(root) == before


def test_line_ends_results_adapters_the_data_sheet_and_hidden_files_do_not(root, path):
    (root / "data/company/air.md").write_bytes(b"It hums.\r\nSoftly.\r\n")
    for name in ("results/rows.jsonl", "adapters/weights", "README.md", "company/.DS_Store", ".cache/rows"):
        (root / "data" / name).parent.mkdir(exist_ok=True)
        (root / "data" / name).write_text("new", "utf-8")
    assert found(path, root) == []


def test_a_file_that_is_no_text_is_compared_byte_by_byte(root):
    (root / "data/vectors").write_bytes(b"\0\r\n")
    before = data_of(root)
    (root / "data/vectors").write_bytes(b"\0\n")
    assert data_of(root) != before


def test_a_lesson_and_a_claim_that_do_not_exist_can_be_sealed(root):
    row = sealed({"claim_id": "C99", "lesson": "99_invented"}, root=root)
    assert broken(row, root=root) == []
    assert lesson_code(root / "notebooks/99_invented.ipynb") == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("f(1,\n  2)", "f(1, 2)", True),
        ("s = 'a'", 's = "a"', True),
        ('"""On this."""\nx = 1', "x = 1", True),
        ('class A:\n    """On A."""\n    x = 1', "class A:\n    x = 1", True),
        ("x = None", "x = 0", False),
        ("x = 1", "x = '1'", False),
        ("x = 1", "x = 1.0", False),
        ("x = []", "x = ()", False),
        ("x = 'a # b'", "x = 'a'", False),
        ("x = '''\n  a'''", "x = '''\n a'''", False),
        ("if x:\n    f()\ng()", "if x:\n    f()\n    g()", False),
    ],
)
def test_code_is_the_same_when_it_does_the_same(one, other, same):
    assert (code(one) == code(other)) == same


def test_what_is_recorded_is_sealed_in_this_workbook(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    claim = Claim("C99", "Water is wet.", ("99_invented",), "It is.", 3, (Part("a", "m", ">= 0.50"),))
    row = json.loads(record(judge(claim, {"a": YES}, lesson="99_invented")).read_text("utf-8"))
    assert broken(row, root=ROOT) == []
