"""What `helpers/verdict_page.py` promises: all lessons' verdicts joined, in order, and everything that is wrong with them named."""

import json
from pathlib import Path

import pytest
from small_workbooks import MAYBE, NO, YES, change, entry, make_workbook, write_claims, write_lesson, write_verdict

from helpers.statistics import Estimate
from helpers.verdict_page import BEGIN, END, as_html, as_markdown, load_verdicts, main, problems, with_page

TWO = ("03_reading", "07_comparing")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("QUICK", raising=False)
    return make_workbook(tmp_path / "workbook")


def table_rows(page: str) -> list[list[str]]:
    """The cells of each claim's row."""
    lines = [line for line in page.splitlines() if line.startswith("| C")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


# --- joining ---


def test_parts_of_two_lessons_make_one_verdict(root):
    write_claims(root, entry("C01", "a", "b", lessons=TWO))
    write_verdict(root, "C01", "03_reading", a=YES)
    (half,) = load_verdicts(root)
    assert (half.verdict, half.said, half.open_parts) == ("supported", "supported so far", ("b",))
    write_verdict(root, "C01", "07_comparing", b=NO)
    (whole,) = load_verdicts(root)
    assert whole.said == whole.verdict == "supported only if limited to: a"
    assert [(part.name, part.estimate) for part in whole.parts] == [("a", YES), ("b", NO)]
    assert (whole.lessons, whole.open_parts) == (TWO, ())


def test_a_part_counts_as_the_last_lesson_measured_it(root):
    write_claims(root, entry("C01", "a", "b", lessons=TWO))
    write_verdict(root, "C01", "07_comparing", a=NO)
    write_verdict(root, "C01", "03_reading", a=YES, b=NO)
    (joined,) = load_verdicts(root)
    assert (joined.verdict, joined.lessons) == ("refuted", ("07_comparing", "03_reading"))


def test_refuted_by_any_holds_across_lessons(root):
    write_claims(root, entry("C01", "a", "b", lessons=TWO, refuted_by="any"))
    write_verdict(root, "C01", "03_reading", a=YES)
    write_verdict(root, "C01", "07_comparing", b=NO)
    assert [verdict.verdict for verdict in load_verdicts(root)] == ["refuted"]


def test_claims_that_nobody_tried_and_results_of_this_machine_are_left_out(root):
    write_claims(root, entry("C01", "a"), entry("C02", "a"))
    path = write_verdict(root, "C02", "03_reading", a=YES)
    local = root / "data/results/local" / path.name
    local.parent.mkdir()
    path.rename(local)
    assert load_verdicts(root) == []


def test_a_file_that_is_no_verdict_is_named_with_its_remedy(root):
    path = write_verdict(root, "C01", "03_reading", a=YES)
    for text in ("<<<<<<< mine", "[]", "{}"):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"C01-03_reading\.json: this is no verdict\. Run: .* build 03"):
            load_verdicts(root)


# --- problems ---


def test_verdicts_that_stand_have_no_problems(root):
    write_verdict(root, "C01", "03_reading", a=YES)
    assert problems(root) == []


def test_missing_claims_and_parts_are_named_with_the_lessons_that_try_them(root):
    write_claims(root, entry("C01", "a"), entry("C02", "a", "b", "c", lessons=TWO), entry("C03", "a", "b"))
    write_lesson(root, "07_comparing", "x = 1")
    write_verdict(root, "C02", "03_reading", b=YES)
    write_verdict(root, "C03", "03_reading", a=YES)
    assert problems(root) == [
        "C01: no verdict yet. Run: python workbook.py build 03",
        "C02: not measured yet: a, c. Run: python workbook.py build 07",
        "C03: not measured yet: b. Run: python workbook.py build 03",
    ]


def test_a_part_that_waits_for_a_lesson_yet_to_be_written_is_no_problem_but_said(root):
    write_claims(root, entry("C01", "a", "b", lessons=TWO))
    write_verdict(root, "C01", "03_reading", a=YES)
    assert problems(root) == [] and load_verdicts(root)[0].said == "supported so far"


def test_a_quick_run_is_provisional(root, monkeypatch):
    monkeypatch.setenv("QUICK", "1")
    write_verdict(root, "C01", "03_reading", a=YES)
    assert problems(root) == ["C01 in 03_reading: provisional: a quick run. Run: python workbook.py build 03"]
    assert [verdict.said for verdict in load_verdicts(root)] == ["supported (provisional)"]


def test_a_verdict_on_no_claim_of_the_ledger_is_a_problem(root):
    write_claims(root, entry("C01", "a"), entry("C09", "a"))
    write_verdict(root, "C01", "03_reading", a=YES)
    write_verdict(root, "C09", "03_reading", a=YES)
    write_claims(root, entry("C01", "a"))
    said = problems(root)
    assert said[0] == "C09 in 03_reading: not in data/claims.yaml. Run: python workbook.py build 03"
    assert [verdict.claim_id for verdict in load_verdicts(root)] == ["C01"]


def changed_cell(root: Path) -> None:
    write_lesson(root, "03_reading", "x = 2")


def changed_threshold(root: Path) -> None:
    change(root / "data/claims.yaml", ">= 0.50", ">= 0.55")


def changed_data(root: Path) -> None:
    change(root / "data/company/air.md", "hums", "howls")


def changed_estimate(root: Path) -> None:
    change(root / "data/results/03_reading/C01-03_reading.json", '"value": 0.7', '"value": 0.9')


def removed_seal(root: Path) -> None:
    change(root / "data/results/03_reading/C01-03_reading.json", '"seal"', '"no seal"')


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (changed_cell, "stale: the claim, the lesson's code or the code that judges has changed"),
        (changed_threshold, "stale: the claim, the lesson's code or the code that judges has changed"),
        (changed_data, "stale: the data have changed"),
        (changed_estimate, "changed by hand"),
        (removed_seal, "not sealed"),
    ],
)
def test_what_no_longer_fits_is_named_with_its_remedy_and_still_shown(root, what, said):
    write_verdict(root, "C01", "03_reading", a=YES)
    what(root)
    assert problems(root) == [f"C01 in 03_reading: {said}. Run: python workbook.py build 03"]
    assert len(table_rows(as_markdown(load_verdicts(root)))) == 1


def test_a_part_that_the_ledger_renamed_is_open_and_the_old_one_not_shown(root):
    write_verdict(root, "C01", "03_reading", a=YES)
    write_claims(root, entry("C01", "b"))
    (verdict,) = load_verdicts(root)
    assert (verdict.said, verdict.parts, verdict.open_parts) == ("inconclusive so far", (), ("b",))


# --- the page ---


def test_a_row_by_hand(root):
    write_claims(root, entry("C01", "a", "b", lessons=TWO))
    write_verdict(root, "C01", "03_reading", a=Estimate(0.7, 0.6, 0.8, 90))
    write_verdict(root, "C01", "07_comparing", b=NO)
    page = as_markdown(load_verdicts(root))
    assert page == (
        "- **supported only if limited** (1): some parts hold with their whole interval;"
        " others don't, or can't be told yet\n\n"
        "| claim | verdict | part: estimate [interval], n | lesson |\n|---|---|---|---|\n"
        "| C01: Claim C01. | supported only if limited to: a | a: 0.70 [0.60, 0.80], n = 90, needs >= 0.50: supported"
        "<br>b: 0.05 [0.00, 0.10], n = 80, needs >= 0.50: refuted"
        " | [03](notebooks/03_reading.ipynb), [07](notebooks/07_comparing.ipynb) |"
    )


def test_refuted_and_limited_claims_come_first_then_inconclusive_then_supported_and_each_group_is_explained(root):
    estimates = {"C01": (YES, YES), "C02": (MAYBE, MAYBE), "C03": (YES, NO), "C04": (NO, NO), "C05": (NO, NO)}
    write_claims(root, *(entry(claim_id, "a", "b") for claim_id in estimates))
    for claim_id, (a, b) in estimates.items():
        write_verdict(root, claim_id, "03_reading", a=a, b=b)
    page = as_markdown(load_verdicts(root))
    assert [cells[0][:3] for cells in table_rows(page)] == ["C04", "C05", "C03", "C02", "C01"]
    assert page == as_markdown(load_verdicts(root)[::-1])
    explained = [line.partition(":")[0] for line in page.splitlines() if line.startswith("- ")]
    assert explained == [
        "- **refuted** (2)",
        "- **supported only if limited** (1)",
        "- **inconclusive** (1)",
        "- **supported** (1)",
    ]


def test_texts_of_the_ledger_cannot_break_the_table(root):
    claim = entry("C01", "p | q", claim="Either | or \\| both,\n<!-- all --> <b>of</b> them: 1 < 2.")
    write_claims(root, claim)
    write_verdict(root, "C01", "03_reading", **{"p | q": YES})
    (cells,) = table_rows(as_markdown(load_verdicts(root)).replace("\\|", "PIPE"))
    assert len(cells) == 4
    assert cells[0] == "C01: Either PIPE or \\\\PIPE both, &lt;!-- all --> &lt;b>of&lt;/b> them: 1 < 2."
    assert cells[2].startswith("p PIPE q: 0.70")


def test_the_lessons_table_is_escaped_and_has_a_row_per_part(root):
    write_claims(root, entry("C01", "a", "<b>", claim="<script>x</script>"), entry("C02", "c"))
    write_verdict(root, "C01", "03_reading", a=YES, **{"<b>": MAYBE})
    write_verdict(root, "C02", "03_reading", c=NO)
    page = as_html(load_verdicts(root)).data
    assert page.count("<tr") == 1 + 3
    assert "<script>" not in page and "<b>" not in page and page.count("&lt;script&gt;") == 1
    assert page.index("C02") < page.index("C01")


# --- the README and the command ---


def test_the_page_stands_between_the_markers_and_the_rest_is_left_alone():
    text = f"# Title\n\n{BEGIN}\nold | one\n{END}\n\nEnd.\n"
    written = with_page(text, "new")
    assert written == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nEnd.\n"
    assert with_page(written, "new") == written


@pytest.mark.parametrize(
    "text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", f"{BEGIN}{BEGIN}{END}"]
)
def test_a_readme_without_the_two_markers_is_refused(text):
    with pytest.raises(ValueError, match=r"README\.md must have one line <!-- verdicts: begin --> and after it"):
        with_page(text, "new")


def test_the_command_prints_the_page_and_fails_when_something_is_wrong(root, capsys):
    write_verdict(root, "C01", "03_reading", a=YES)
    assert main([], root=root) == 0
    assert capsys.readouterr().out == as_markdown(load_verdicts(root)) + "\n\nEvery verdict stands.\n"
    changed_data(root)
    assert main([], root=root) == 1
    assert capsys.readouterr().out.splitlines()[-1] == problems(root)[0]


def test_the_command_writes_the_readme_only_when_asked_and_even_with_problems(root, capsys):
    readme = root / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n", "utf-8")
    write_verdict(root, "C01", "03_reading", a=YES)
    changed_estimate(root)
    main([], root=root)
    assert readme.read_text("utf-8") == f"{BEGIN}\n{END}\n"
    assert main(["--readme"], root=root) == 1
    assert readme.read_text("utf-8") == f"{BEGIN}\n\n{as_markdown(load_verdicts(root))}\n\n{END}\n"
    assert "0.90 [0.60, 0.80]" in readme.read_text("utf-8")


def test_the_command_tells_of_a_broken_file_or_readme_in_one_line(root, capsys):
    path = write_verdict(root, "C01", "03_reading", a=YES)
    (root / "README.md").write_text("no markers", "utf-8")
    assert main(["--readme"], root=root) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("README.md must have one line")
    path.write_text(json.dumps({"claim": "C01"}), "utf-8")
    assert main([], root=root) == 1
    assert capsys.readouterr().out == f"{path}: this is no verdict. Run: python workbook.py build 03\n"
