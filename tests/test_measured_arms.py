"""What lesson 07 measured is what lesson 08 decides by."""

import numpy as np
import pandas as pd
import pytest

from helpers import measured_arms
from helpers.decision import SCORES, Scenario, recommend
from helpers.measured_arms import FILE, keep, kept, measured

KNOWN = {"cpu_per_query": 1.0, "cpu_per_update": 2.0, "latency_p95": 0.5, "update_delay": 0.0, "agreement": 0.4}
KNOWN |= {"cites": True, "filters_access": True}


def scored(arm: str, value: float) -> dict[str, pd.DataFrame]:
    rows = pd.DataFrame({"arm": [arm, arm, "other"], "item_id": ["b", "a", "a"], "score": [value, 1.0, 0.0]})
    return dict.fromkeys(SCORES, rows)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "own"))
    monkeypatch.setattr(measured_arms, "COMMITTED", tmp_path / "committed.json")
    return tmp_path


def test_scores_are_those_of_the_arm_in_the_order_of_the_items():
    assert measured("retrieved", "RAG", scored("retrieved", 0.0), **KNOWN).trained.tolist() == [1.0, 0.0]


def test_an_arm_without_rows_is_an_error():
    with pytest.raises(ValueError, match="'both' has no rows for trained, reworded"):
        measured("both", "both", scored("retrieved", 0.0), **KNOWN)


def test_what_is_kept_is_read_back_and_decides_the_same(folder):
    arms = [
        measured("retrieved", name, scored("retrieved", value), **KNOWN)
        for name, value in (("RAG", 1.0), ("tuned", 0.0))
    ]
    path = keep(arms)
    found, where = kept()
    assert where == path and [a.name for a in found] == ["RAG", "tuned"]
    assert all(np.array_equal(getattr(a, s), getattr(b, s)) for a, b in zip(arms, found, strict=True) for s in SCORES)
    assert recommend(found, Scenario()).winner == recommend(arms, Scenario()).winner == "RAG"


def test_own_arms_come_before_the_committed_ones_and_without_any_one_is_told_what_to_do(folder):
    with pytest.raises(ValueError, match="Run lesson 07 first"):
        kept()
    path = keep([measured("retrieved", "RAG", scored("retrieved", 1.0), **KNOWN)])
    path.rename(folder / "committed.json")
    assert kept()[1] == folder / "committed.json"


@pytest.mark.parametrize("content", ["", "[{}]", "[1]", '{"a": 1}'])
def test_a_file_that_holds_no_arms_is_named(folder, content):
    (folder / "committed.json").write_text(content)
    with pytest.raises(ValueError, match=r"committed\.json does not hold arms"):
        kept()


def test_file_name_is_one_that_a_build_keeps():
    assert FILE.endswith(".json")
