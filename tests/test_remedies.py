"""Each remedy changes what its name says, and loses no passage unless it says so."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.corpus import Passage, Question
from helpers.embeddings import Embedder
from helpers.generation import Generator
from helpers.remedies import best_at_both_ends, best_last, bill, compressed, in_random_order, one_at_a_time

READINGS = st.dictionaries(
    st.text(min_size=1), st.lists(st.integers(), min_size=1, max_size=12, unique=True), max_size=4
)


@given(READINGS)
def test_an_order_keeps_all_passages(reading):
    for ordered in (in_random_order(reading, seed=0), best_last(reading), best_at_both_ends(reading)):
        assert {i: sorted(found) for i, found in ordered.items()} == {i: sorted(found) for i, found in reading.items()}


def test_orders_by_hand():
    reading = {"q": [1, 2, 3, 4, 5]}
    assert best_last(reading) == {"q": [5, 4, 3, 2, 1]}
    assert best_at_both_ends(reading) == {"q": [1, 3, 5, 4, 2]}


def test_the_lot_depends_on_seed_and_question_alone():
    reading = {"a": list(range(9)), "b": list(range(9))}
    drawn = in_random_order(reading, seed=0)
    assert drawn == in_random_order(dict(reversed(reading.items())), seed=0) != in_random_order(reading, seed=1)
    assert drawn["a"] != drawn["b"]


def test_a_bill_by_hand():
    floor = pd.DataFrame(
        {"item_id": ["a", "b"], "score": [0.0, 1.0], "n_prompt_tokens": [400, 400], "seconds": [1.0, 1.0]}
    )
    better = pd.DataFrame(
        {"item_id": ["b", "a"], "score": [1.0, 1.0], "n_prompt_tokens": [500, 500], "seconds": [1.5, 1.5]}
    )
    cheaper = better.assign(n_prompt_tokens=100, seconds=0.5)
    arms = {"floor": floor, "better": better, "cheaper": cheaper, "prepared": better}
    table = bill(arms, "floor", extra_tokens={"prepared": 100})
    assert list(table.index) == ["better", "cheaper", "prepared"] and set(table.gain) == {0.5}
    costs = ["tokens more", "seconds more", "gain per 100 tokens", "gain per second"]
    assert table.loc["better", costs].tolist() == [100, 0.5, 0.5, 1]
    assert table.loc["cheaper", ["gain per 100 tokens", "gain per second"]].isna().all()
    assert table.loc["prepared", ["tokens more", "gain per 100 tokens"]].tolist() == [200, 0.25]
    assert table.loc["prepared", ["seconds more", "gain per second"]].isna().all()


@pytest.mark.weights
def test_compression_keeps_the_sentence_that_answers():
    text = "The kettle is painted grey. It holds 17 litres of water. Send it back within two weeks."
    passages = [Passage("p", "d", "Kettle", "", text), Passage("r", "d", "Rain", "", "One sentence.")]
    question = Question("q", "How much water does the kettle hold?")
    cut = compressed({"q": passages}, [question], Embedder())["q"]
    assert [p.body for p in cut] == ["It holds 17 litres of water.", "One sentence."]
    assert [p.id for p in cut] == ["p", "r"]


@pytest.mark.weights
def test_one_at_a_time_gives_one_of_the_answers_and_counts_all_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    bodies = ["The kettle holds 17 litres of water.", "The van is kept in Tarnmoor.", "Ask Ilse for the keys."]
    passages = [Passage(f"p{i}", "d", "", "", body) for i, body in enumerate(bodies)]
    question = Question("q", "How much water does the kettle hold?", answer="17 litres")
    rows = one_at_a_time(Generator(), [question], {"q": passages})
    assert len(rows) == 1 and rows.n_prompt_tokens[0] > 3 * 30
    assert rows.passage_id[0] in {"p0", "p1", "p2"} and rows.score[0] == float("17 litres" in rows.prediction[0])
