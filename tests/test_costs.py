"""What `helpers/costs.py` promises: costs that add up, break-even by hand, and arms that are measured fairly and once."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import costs
from helpers.corpus import Question
from helpers.costs import (
    Cost,
    Prices,
    break_even_queries,
    cost_ratio,
    latencies,
    measure_cost,
    money,
    percentiles,
    surface,
    total,
)
from helpers.generation import Answer

TUNED = Cost(setup=900, per_query=1, per_update=900)
RAG = Cost(setup=20, per_query=2, per_update=5)
QUESTIONS = [Question(f"q{i}", f"Question {i}?") for i in range(5)]
SETTINGS = {"models": ["a", "b"]}
some_costs = st.builds(Cost, *[st.integers(0, 10_000)] * 3)


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Rows of these tests go to a folder of their own."""
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    return tmp_path


class Arms:
    """Arms that take 2 ("tuned") and 6 ("rag") seconds of a clock that only they move, and tell what they were asked."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.asked = 0.0, []
        monkeypatch.setattr(costs, "time", SimpleNamespace(process_time=lambda: self.now))

    def many(self, arm: str, seconds: float):
        def ask(questions):
            self.asked.append((arm, [q.id for q in questions]))
            self.now += seconds * len(questions)
            return [Answer(f"{arm} {q.id}", int(100 * seconds), 3) for q in questions]

        return ask

    def both(self) -> dict:
        return {"tuned": self.many("tuned", 2), "rag": self.many("rag", 6)}


@pytest.fixture
def arms(monkeypatch) -> Arms:
    return Arms(monkeypatch)


def test_a_total_is_the_set_up_and_what_every_question_and_update_take():
    assert total(TUNED, queries=0, updates=0) == 900
    assert total(TUNED, queries=100, updates=2) == 900 + 100 + 1_800
    assert total(RAG, queries=100, updates=2) == 20 + 200 + 10


@pytest.mark.parametrize(
    ("a", "b", "updates", "expected"),
    [
        (TUNED, RAG, 0, 880),  # 900 + q = 20 + 2 q
        (TUNED, RAG, 2, 2_670),  # 2,700 + q = 30 + 2 q
        (TUNED, Cost(20, 1, 5), 0, None),  # as dear to ask: never made up for
        (TUNED, Cost(20, 0.5, 5), 0, None),  # dearer to ask as well
        (Cost(7, 1, 0), Cost(7, 2, 0), 3, 0),  # the same fixed cost: the cheaper one to ask, from the first question on
        (TUNED, TUNED, 1, None),
    ],
)
def test_break_even_by_hand_whichever_is_named_first(a, b, updates, expected):
    assert break_even_queries(a, b, updates=updates) == expected
    assert break_even_queries(b, a, updates=updates) == expected


@given(some_costs, some_costs, st.integers(0, 100))
def test_at_break_even_both_cost_the_same_and_beyond_it_the_dearer_start_is_the_cheaper_one(a, b, updates):
    queries = break_even_queries(a, b, updates=updates)
    dear, cheap = sorted((a, b), key=lambda cost: -total(cost, queries=0, updates=updates))

    def extra(n: float) -> float:
        return total(dear, queries=n, updates=updates) - total(cheap, queries=n, updates=updates)

    if queries is None:
        assert extra(10**9) >= extra(0) >= 0
    elif queries > 0:
        assert extra(queries) == pytest.approx(0, abs=1e-9 * total(dear, queries=queries, updates=updates))
        assert extra(queries / 2) > 0 > extra(queries * 2)


def test_the_surface_by_hand_has_updates_down_and_queries_across():
    ratios = surface(TUNED, RAG, queries=[0, 880, 980], updates=[0, 2])
    assert ratios.shape == (2, 3) and ratios.dtype == np.float64
    np.testing.assert_allclose(ratios, [[900 / 20, 1, 1_880 / 1_980], [2_700 / 30, 3_580 / 1_790, 3_680 / 1_990]])


@given(some_costs, some_costs, st.integers(0, 100))
def test_the_surface_is_1_at_break_even(a, b, updates):
    queries = break_even_queries(a, b, updates=updates)
    if queries is not None and total(b, queries=queries, updates=updates) > 0:
        assert surface(a, b, queries=[queries], updates=[updates]).item() == pytest.approx(1, abs=1e-9)


def test_money_adds_computing_labels_and_documents():
    prices = Prices(cpu_hour=0.5, label=0.25, document=2)
    assert money(7_200, prices=prices) == 1
    assert money(7_200, labels=100, documents=3, prices=prices) == 1 + 25 + 6
    assert money(3_600, labels=100, documents=3, prices=Prices()) == 0.05


def test_every_arm_answers_every_question_in_turn_and_rows_say_what_it_took(arms):
    rows = measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=2)
    assert arms.asked == [
        ("tuned", ["q0", "q1"]), ("rag", ["q0", "q1"]), ("rag", ["q2", "q3"]), ("tuned", ["q2", "q3"]),
        ("tuned", ["q4"]), ("rag", ["q4"]),
    ]  # fmt: skip
    assert list(rows["condition"]) == ["tuned"] * 5 + ["rag"] * 5
    assert list(rows["item_id"]) == [q.id for q in QUESTIONS] * 2
    assert list(rows["batch"]) == [0, 0, 1, 1, 2] * 2
    assert list(rows["cpu_seconds"]) == [2.0] * 5 + [6.0] * 5
    assert list(rows["n_prompt_tokens"]) == [200] * 5 + [600] * 5
    assert set(rows["n_new_tokens"]) == {3} and rows["seconds"].notna().all()


def test_what_was_measured_is_read_back_and_no_arm_is_asked_again(arms):
    first = measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=2)
    arms.asked.clear()
    assert measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=2).equals(first)
    assert arms.asked == []
    measure_cost(arms.both(), QUESTIONS, settings=SETTINGS | {"k": 3}, batch_size=2)
    assert len(arms.asked) == 6


def test_an_interrupted_run_goes_on_where_it_stopped(arms):
    def interrupted(questions):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_cost(arms.both() | {"rag": interrupted}, QUESTIONS, settings=SETTINGS, batch_size=3)
    assert arms.asked == [("tuned", ["q0", "q1", "q2"])]
    arms.asked.clear()
    rows = measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=3)
    assert arms.asked == [("rag", ["q0", "q1", "q2"]), ("rag", ["q3", "q4"]), ("tuned", ["q3", "q4"])]
    assert len(rows) == 10


def test_real_work_takes_real_cpu_time():
    def works(questions):
        return [Answer(str(sum(range(200_000))), 1, 1) for _ in questions]

    def idles(questions):
        return [Answer("", 1, 1) for _ in questions]

    rows = measure_cost({"works": works, "idles": idles}, QUESTIONS, settings={})
    spent = rows.groupby("condition")["cpu_seconds"].sum()
    assert spent["works"] > 10 * spent["idles"] >= 0


def test_the_ratio_of_costs_is_that_of_all_questions_and_counts_batches(arms):
    rows = measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=2)
    found = cost_ratio(rows, "tuned", "rag")
    assert (found.value, found.n) == (pytest.approx(2 / 6), 3)
    assert cost_ratio(rows, "rag", "tuned").value == pytest.approx(3)
    rows.loc[(rows["condition"] == "tuned") & (rows["batch"] == 2), "cpu_seconds"] = 7.0
    assert cost_ratio(rows, "tuned", "rag").value == pytest.approx((4 * 2 + 7) / (5 * 6))  # the short batch weighs less


def test_latencies_are_those_of_single_questions_once(arms):
    ask = {name: lambda question, many=many: many([question])[0] for name, many in arms.both().items()}
    rows = latencies(ask, QUESTIONS[:2], settings=SETTINGS)
    assert arms.asked == [("tuned", ["q0"]), ("rag", ["q0"]), ("rag", ["q1"]), ("tuned", ["q1"])]
    assert list(rows["item_id"]) == ["q0", "q1"] * 2 and (rows["seconds"] >= 0).all()
    assert latencies(ask, QUESTIONS[:2], settings=SETTINGS).equals(rows)
    assert len(arms.asked) == 4


def test_percentiles_by_hand(arms):
    rows = measure_cost(arms.both(), QUESTIONS, settings=SETTINGS)
    rows["seconds"] = [1, 2, 3, 4, 5] + [10, 10, 10, 10, 20]
    found = percentiles(rows)
    assert list(found.index) == ["tuned", "rag"] and list(found.columns) == ["p50", "p95", "n"]
    np.testing.assert_allclose(found, [[3, 4.8, 5], [10, 18, 5]])


def test_costs_below_nothing_are_refused():
    with pytest.raises(ValueError, match=r"CPU-seconds of 0 or more, got Cost\(setup=1, per_query=-2, per_update=0\)"):
        Cost(1, -2, 0)
    with pytest.raises(ValueError, match="CPU-seconds of 0 or more"):
        Cost(float("nan"), 0, 0)
    with pytest.raises(ValueError, match="Expected 0 or more queries and updates, got -1 and 0"):
        total(RAG, queries=-1, updates=0)
    with pytest.raises(ValueError, match="needs a cost above 0 below the line"):
        surface(RAG, Cost(0, 1, 1), queries=[0], updates=[0])


def test_no_arms_no_questions_and_empty_batches_are_refused(arms, results):
    for asked, questions, size in (({}, QUESTIONS, 2), (arms.both(), [], 2), (arms.both(), QUESTIONS, 0)):
        with pytest.raises(ValueError, match="at least one arm, one question and a batch_size of 1, got"):
            measure_cost(asked, questions, settings={}, batch_size=size)
    with pytest.raises(ValueError, match="got 0 arms, 5 questions"):
        latencies({}, QUESTIONS, settings={})
    assert list(results.iterdir()) == []


def test_an_arm_that_answers_too_little_is_refused_and_nothing_is_kept(arms):
    silent = arms.both() | {"tuned": lambda questions: []}
    with pytest.raises(ValueError, match="query-cost: .*one row per item: 2 items, 0 rows"):
        measure_cost(silent, QUESTIONS, settings=SETTINGS, batch_size=2)
    measure_cost(arms.both(), QUESTIONS, settings=SETTINGS, batch_size=2)
    assert len(arms.asked) == 6
