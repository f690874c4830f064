"""Exact search finds what a full sort finds, in an order that never depends on chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpus import Passage
from helpers.embeddings import Embedder
from helpers.retrieval import DenseRetriever, Ranking, check_k, check_passages


class Lookup:
    """An encoder for tests: a text is its own vector, "1 0" is (1, 0). Small whole numbers: no rounding."""

    def encode(self, texts):
        return np.array([[float(x) for x in text.split()] for text in texts], dtype=np.float32)


def passages_of(*texts: str) -> list[Passage]:
    return [Passage(f"p{i}", f"d{i}", "", "", text) for i, text in enumerate(texts)]


def test_the_nearest_passages_come_first_with_their_cosines():
    retriever = DenseRetriever(passages_of("0 1", "1 0", "0.6 0.8"), Lookup())
    first, second = retriever.search(["1 0", "0 1"], 2)
    assert (first.query, first.ids, second.ids) == ("1 0", ["p1", "p2"], ["p0", "p2"])
    assert first.scores == pytest.approx((1.0, 0.6))
    assert first.passages[0] is retriever.passages[1]


def test_equals_among_which_not_all_fit_are_taken_in_the_order_of_the_passages():
    retriever = DenseRetriever(passages_of(*["1 0"] * 6, "2 0", "0 1", "2 0"), Lookup())
    (ranking,) = retriever.search(["1 0"], 4)
    assert ranking.ids == ["p6", "p8", "p0", "p1"]  # FAISS alone keeps others of the six


numbers = st.lists(st.integers(-1, 1), min_size=2, max_size=2).map(lambda row: " ".join(map(str, row)))


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=40), st.lists(numbers, min_size=1, max_size=25), st.data())
def test_the_search_equals_a_full_sort_even_among_equals(texts, queries, data):
    k = data.draw(st.integers(1, len(texts)))
    scores = Lookup().encode(queries) @ Lookup().encode(texts).T
    for row, ranking in zip(scores, DenseRetriever(passages_of(*texts), Lookup()).search(queries, k), strict=True):
        order = sorted(range(len(texts)), key=lambda i: (-row[i], i))[:k]
        assert ranking.ids == [f"p{i}" for i in order]
        assert ranking.scores == tuple(row[order])


@pytest.mark.parametrize("k", [0, -1, 3, 2.0, "2", None])
def test_k_must_lie_between_one_and_the_number_of_passages(k):
    retriever = DenseRetriever(passages_of("0 1", "1 0"), Lookup())
    with pytest.raises(ValueError, match=rf"k must be a whole number from 1 to .* passages \(2\), got {k!r}"):
        retriever.search(["1 0"], k)


def test_any_whole_number_will_do_for_k():
    check_k(np.int64(2), 2)


def test_an_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="The corpus is empty: expected at least one passage"):
        DenseRetriever([], Lookup())


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match="Passage ids must differ"):
        check_passages([*passages_of("a"), *passages_of("b")])


def test_a_ranking_knows_its_ids():
    assert Ranking("q", tuple(passages_of("a", "b")), (0.9, 0.1)).ids == ["p0", "p1"]


@pytest.fixture(scope="module")
def real() -> DenseRetriever:
    texts = ("The pump needs oil every week.", "Refunds take ten days.", "The office opens at nine.")
    return DenseRetriever(passages_of(*texts), Embedder())


@pytest.mark.weights
def test_meaning_is_found_without_shared_words(real):
    asked = ["When do I get my money back?", "How often must the machine be lubricated?"]
    assert [r.ids[0] for r in real.search(asked, 1)] == ["p1", "p0"]


@pytest.mark.weights
def test_a_query_finds_the_same_alone_and_among_others(real):
    asked = [p.body for p in real.passages] * 8
    together = real.search(asked, 3)
    for query, ranking in list(zip(asked, together, strict=True))[:3]:
        (alone,) = real.search([query], 3)
        assert alone.ids == ranking.ids
        assert alone.scores == pytest.approx(ranking.scores, abs=1e-5)


@pytest.mark.weights
def test_a_question_of_ten_thousand_words_is_searched_by_its_beginning(real):
    (ranking,) = real.search(["Refunds take how long? " + "word " * 10_000], 3)
    assert len(ranking.ids) == 3


@pytest.mark.weights
@pytest.mark.parametrize("queries", [[], [""], ["fine", "  "], "one string", [None]])
def test_what_is_no_list_of_questions_is_refused(real, queries):
    with pytest.raises(ValueError, match="Expected|must be non-empty strings"):
        real.search(queries, 1)
