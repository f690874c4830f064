"""What `helpers/verdicts.py` promises: verdicts follow from intervals and lines drawn beforehand alone."""

import getpass
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.statistics import Estimate, mean
from helpers.verdicts import Claim, Part, judge, judge_part, load_claims, record

ROOT = Path(__file__).resolve().parent.parent
QUICKLY = settings(max_examples=80, deadline=None)
NUMBERS = st.integers(-100, 100).map(lambda hundredths: hundredths / 100)
SIGNS = st.sampled_from([">=", ">", "<=", "<"])


@pytest.fixture(autouse=True)
def full_run(monkeypatch):
    monkeypatch.delenv("QUICK", raising=False)


def between(low: float, high: float, n: int = 100) -> Estimate:
    return Estimate((low + high) / 2, low, high, n)


def part(supported: str, refuted: str = "", name: str = "gain") -> Part:
    return Part(name, "accuracy", supported, refuted)


def claim(*parts: Part, refuted_by: str = "all") -> Claim:
    return Claim("C99", "Water is wet.", ("03_generation",), "It is.", 300, parts, refuted_by)


def verdict_of(estimates: dict[str, Estimate], refuted_by: str = "all") -> str:
    """On a claim of the parts a, b and c, each supported from 0.5."""
    parts = (part(">= 0.50", "<= 0.20", name) for name in "abc")
    return judge(claim(*parts, refuted_by=refuted_by), estimates, lesson="03_generation").verdict


YES, NO, MAYBE = between(0.6, 0.8), between(0.0, 0.1), between(0.3, 0.7)


@pytest.mark.parametrize(
    ("supported", "refuted", "low", "high", "verdict"),
    [
        (">= 0.20", "", 0.20, 0.30, "supported"),
        ("> 0.20", "", 0.20, 0.30, "inconclusive"),
        ("> 0.20", "", 0.2001, 0.30, "supported"),
        ("<= 0.20", "", 0.10, 0.20, "supported"),
        ("< 0.20", "", 0.10, 0.20, "inconclusive"),
        ("< 0.20", "", 0.10, 0.1999, "supported"),
        # without a line of its own, refuted is the other side of the threshold
        (">= 0.20", "", 0.10, 0.1999, "refuted"),
        (">= 0.20", "", 0.10, 0.20, "inconclusive"),
        ("> 0.20", "", 0.10, 0.20, "refuted"),
        ("<= 0.20", "", 0.2001, 0.30, "refuted"),
        ("<= 0.20", "", 0.20, 0.30, "inconclusive"),
        ("< 0.20", "", 0.20, 0.30, "refuted"),
        # with one, there is room in between
        (">= 0.20", "<= 0.05", 0.00, 0.05, "refuted"),
        (">= 0.20", "<= 0.05", 0.00, 0.06, "inconclusive"),
        (">= 0.20", "<= 0.05", 0.10, 0.15, "inconclusive"),
        (">= 0.20", "< 0.05", 0.00, 0.05, "inconclusive"),
        ("<= -0.30", "> -0.10", -0.40, -0.30, "supported"),
        ("<= -0.30", "> -0.10", -0.05, 0.10, "refuted"),
        ("<= -0.30", "> -0.10", -0.10, 0.10, "inconclusive"),
        (">= 1", "", 1.0, 1.0, "supported"),
        (">= 1", "", 0.0, 0.0, "refuted"),
    ],
)
def test_a_part_by_hand(supported, refuted, low, high, verdict):
    assert judge_part(part(supported, refuted), between(low, high)).verdict == verdict


def test_a_part_tells_by_which_lines_it_was_judged():
    judged = judge_part(part(">= 0.20"), YES)
    assert (judged.name, judged.supported, judged.refuted, judged.estimate) == (
        "gain",
        ">= 0.20",
        "< 0.20",
        YES,
    )
    assert part("<= -0.30").threshold == -0.3


@QUICKLY
@given(SIGNS, NUMBERS, NUMBERS, st.floats(0, 0.5), st.floats(0, 0.5), st.integers(1, 999))
def test_a_verdict_is_one_of_three_and_never_both(sign, line, value, below, above, n):
    estimate = Estimate(value, value - below, value + above, n)
    opposite = {">=": "<", ">": "<=", "<=": ">", "<": ">="}[sign]
    there = judge_part(part(f"{sign} {line}"), estimate)
    back = judge_part(part(f"{opposite} {line}"), estimate)
    assert {there.verdict, back.verdict} in ({"supported", "refuted"}, {"inconclusive"})
    inside = estimate.low < line < estimate.high
    assert inside <= (there.verdict == "inconclusive")
    assert (there.verdict == "inconclusive") >= (there.n_needed is not None)


@QUICKLY
@given(NUMBERS, st.floats(0.01, 0.5), st.integers(2, 500))
def test_with_as_many_items_as_needed_the_same_value_decides(value, reach, n):
    judged = judge_part(part(">= 0.50", "<= 0.20"), Estimate(value, value - reach, value + reach, n))
    if judged.verdict == "inconclusive" and judged.n_needed:
        assert judged.n_needed > n
        narrower = reach * math.sqrt(n / judged.n_needed)
        settled = judge_part(
            part(">= 0.50", "<= 0.20"), Estimate(value, value - narrower, value + narrower, judged.n_needed)
        )
        assert settled.verdict == ("supported" if value > 0.5 else "refuted")


def test_n_needed_by_hand():
    lines = part(">= 0.50", "<= 0.20")
    assert judge_part(lines, Estimate(0.6, 0.4, 0.8, 100)).n_needed == 401  # half the width, four times the items
    assert judge_part(lines, Estimate(0.1, -0.1, 0.3, 100)).n_needed == 401  # towards the refutation line
    assert judge_part(lines, Estimate(0.35, 0.1, 0.6, 100)).n_needed is None  # between the lines more items don't help
    assert judge_part(lines, Estimate(0.5, 0.4, 0.6, 100)).n_needed is None  # on the line neither
    assert judge_part(lines, YES).n_needed is None
    assert judge_part(lines, NO).n_needed is None


@pytest.mark.parametrize(
    ("estimates", "refuted_by", "verdict"),
    [
        ((YES, YES, YES), "all", "supported"),
        ((NO, NO, NO), "all", "refuted"),
        ((MAYBE, MAYBE, MAYBE), "all", "inconclusive"),
        ((YES, NO, NO), "all", "supported only if limited to: a"),
        ((YES, MAYBE, YES), "all", "supported only if limited to: a, c"),
        ((NO, MAYBE, NO), "all", "inconclusive"),
        ((YES, NO, YES), "any", "refuted"),
        ((NO, MAYBE, MAYBE), "any", "refuted"),
        ((YES, YES, YES), "any", "supported"),
        ((YES, MAYBE, YES), "any", "supported only if limited to: a, c"),
        ((MAYBE, MAYBE, MAYBE), "any", "inconclusive"),
    ],
)
def test_a_claim_of_several_parts_by_hand(estimates, refuted_by, verdict):
    assert verdict_of(dict(zip("abc", estimates, strict=True)), refuted_by) == verdict


def test_a_partial_claim_is_judged_by_what_was_measured_and_names_what_is_open():
    whole = claim(*(part(">= 0.50", "<= 0.20", name) for name in "abc"))
    judged = judge(whole, {"c": YES, "a": NO}, lesson="03_generation")
    assert judged.verdict == "supported only if limited to: c"
    assert [p.name for p in judged.parts] == ["a", "c"]  # in the order of the claim
    assert judged.open_parts == ("b",)
    assert not judged.provisional


def test_a_quick_run_is_provisional(monkeypatch):
    monkeypatch.setenv("QUICK", "1")
    assert judge(claim(part("> 0")), {"gain": YES}, lesson="x").provisional


@pytest.mark.parametrize("estimates", [{}, {"gian": YES}, {"gain": YES, "b": NO}])
def test_estimates_of_unknown_parts_or_of_none_are_refused(estimates):
    with pytest.raises(ValueError, match=r"C99 has the parts \['gain'\]; got estimates for \[.*\]"):
        judge(claim(part("> 0")), estimates, lesson="x")


@pytest.mark.parametrize("broken", [Estimate(math.nan, 0, 1, 5), Estimate(0.5, 0.1, math.inf, 5)])
def test_estimates_without_a_finite_interval_are_refused(broken):
    with pytest.raises(ValueError, match="C99, gain: expected a finite estimate, got .*Check the rows"):
        judge(claim(part("> 0")), {"gain": broken}, lesson="x")


def test_a_record_is_json_the_same_each_time_and_tells_nothing_about_who_ran_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "results"))
    judged = judge(claim(part(">= 0.20")), {"gain": YES}, lesson="03_generation")
    path = record(judged)
    assert path == tmp_path / "results" / "C99-03_generation.json"
    text = path.read_bytes().decode("utf-8")
    row = json.loads(text, parse_constant=pytest.fail)
    assert (row["claim_id"], row["verdict"], row["parts"][0]["estimate"]["n"]) == ("C99", "supported", 100)
    assert row["machine"]["cores"] >= 1
    private = {str(tmp_path), str(ROOT), str(Path.home()), platform.node(), sys.prefix}
    assert not [word for word in private if len(word) > 1 and word in text]
    assert f'"{getpass.getuser()}"' not in text
    assert record(judged).read_bytes().decode("utf-8") == text
    assert text.endswith("}\n")
    assert "\r" not in text


def test_verdicts_are_the_same_in_another_process():
    code = (
        "from helpers.verdicts import *; from helpers.statistics import mean\n"
        "claim = load_claims()['C01']\n"
        "print(judge(claim, {claim.parts[0].name: mean([0, 1, 1, 0, 1] * 9)}, lesson='x'))"
    )
    tried = load_claims()["C01"]
    here = judge(tried, {tried.parts[0].name: mean([0, 1, 1, 0, 1] * 9)}, lesson="x")
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == repr(here)


def ledger(tmp_path: Path, *entries: dict) -> Path:
    base = {"claim": "c", "lessons": ["x"], "hypothesis": "h", "n": 3}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [base | entry for entry in entries]}), "utf-8")
    return path


def one_part(supported: str, refuted: str = "") -> dict:
    return {
        "id": "C99",
        "parts": [{"name": "gain", "metric": "m", "supported": supported, "refuted": refuted}],
    }


def test_the_ledger_has_claims_with_lessons_and_parts():
    claims = load_claims()
    assert list(claims) == [f"C{i:02}" for i in range(1, 27)]
    assert all(c.parts and c.lessons and c.n > 0 and c.id == name for name, c in claims.items())


def test_a_claim_is_read_as_stated(tmp_path):
    entry = one_part(">= 0.20", "< -0.1") | {"refuted_by": "any"}
    (read,) = load_claims(ledger(tmp_path, entry)).values()
    assert read == Claim("C99", "c", ("x",), "h", 3, (Part("gain", "m", ">= 0.20", "< -0.1"),), "any")


@pytest.mark.parametrize("condition", ["0.20", ">=0.20", "=> 0.20", "== 0.2", ">= a", ">= ", ">= 20 %", "at least 0.2"])
def test_conditions_that_are_none_are_refused(tmp_path, condition):
    message = "A condition is a comparison and a number such as '>= 0.20', got '"
    with pytest.raises(ValueError, match=message):
        load_claims(ledger(tmp_path, one_part(condition)))
    with pytest.raises(ValueError, match=message):
        load_claims(ledger(tmp_path, one_part("> 0", condition)))


@pytest.mark.parametrize(
    ("supported", "refuted"),
    [
        (">= 0.2", "<= 0.3"),
        (">= 0.2", "<= 0.2"),
        (">= 0.2", "> 0.1"),
        ("<= 0.2", ">= 0.1"),
        ("< 0.2", "< 0.1"),
    ],
)
def test_lines_that_one_result_could_satisfy_both_are_refused(tmp_path, supported, refuted):
    with pytest.raises(ValueError, match="C99, gain: one result could satisfy both .* Put the refutation line on"):
        load_claims(ledger(tmp_path, one_part(supported, refuted)))


@pytest.mark.parametrize(
    ("supported", "refuted"), [(">= 0.2", "< 0.2"), ("> 0.2", "<= 0.2"), ("> 0", "< 0"), ("< 1", ">= 1")]
)
def test_lines_that_only_touch_are_accepted(tmp_path, supported, refuted):
    assert "C99" in load_claims(ledger(tmp_path, one_part(supported, refuted)))


def test_repeated_ids_and_unknown_ways_to_refute_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"claims\.yaml states C99 twice\. Ids must differ"):
        load_claims(ledger(tmp_path, one_part("> 0"), one_part("> 0")))
    with pytest.raises(ValueError, match="C99: refuted_by must be all or any, got 'some'"):
        load_claims(ledger(tmp_path, one_part("> 0") | {"refuted_by": "some"}))
