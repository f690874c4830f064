"""Every retriever finds what its definition says, in an order that never depends on chance."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpus import Passage
from helpers.embeddings import Embedder
from helpers.retrieval import (
    DenseRetriever,
    FusedRetriever,
    KeywordRetriever,
    Ranking,
    RerankedRetriever,
    check_k,
    check_passages,
    keywords,
)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The pumps were pumping", ["pump", "were", "pump"]),
        ("E-41 E41 e41", ["e", "41", "e", "41", "e", "41", "e41", "e41", "e41"]),
        ("E 41", ["e", "41"]),
        ("E\u201141", ["e", "41", "e41"]),  # a hyphen that does not break
        ("QH-300, HM-25-Q.", ["qh", "300", "hm", "25", "q", "qh300", "hm25q"]),
        ("3.5 bar, 11:40, 6,715.", ["3.5", "bar", "11:40", "6,715"]),
        ("a walnut-shell core, 26-day", ["walnut", "shell", "core", "26", "day"]),
        ("the Taveller's, the Taveller’s", ["tavel", "tavel"]),
        ("don't, don’t", ["don't", "don't"]),
        ("vitamin C, plan B", ["vitamin", "c", "plan", "b"]),
        ("of the", []),
        ("?! -- _", []),
        ("Straße 東京", ["strass", "東京"]),
    ],
)
def test_keywords_by_hand(text, expected):
    assert keywords(text) == expected


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60))
def test_keywords_of_any_text_are_words_and_case_does_not_matter(text):
    assert all(word and not word.isspace() for word in keywords(text))
    assert keywords(text.casefold()) == keywords(text)


def bm25(query: list[str], texts: list[list[str]]) -> list[float]:
    """The formula: idf times saturated frequency, summed over the words of the query."""
    n, mean_length = len(texts), sum(map(len, texts)) / len(texts)
    known = Counter(word for text in texts for word in set(text))

    def weight(word: str, text: list[str]) -> float:
        idf = math.log(1 + (n - known[word] + 0.5) / (known[word] + 0.5))
        return idf * text.count(word) / (text.count(word) + 1.5 * (0.25 + 0.75 * len(text) / mean_length))

    return [sum(weight(word, text) for word in query) for text in texts]


words = st.lists(st.sampled_from(["pump", "oil", "hub", "E-41", "3.5", "fan"]), min_size=1, max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=12), st.lists(words, min_size=1, max_size=4), st.data())
def test_keyword_scores_are_those_of_the_formula(texts, queries, data):
    k = data.draw(st.integers(1, len(texts)))
    for query, ranking in zip(queries, KeywordRetriever(passages_of(*texts)).search(queries, k), strict=True):
        expected = bm25(keywords(query), [keywords(text) for text in texts])
        assert ranking.scores == pytest.approx(sorted(expected, reverse=True)[:k], rel=1e-5, abs=1e-6)
        assert [expected[int(i[1:])] for i in ranking.ids] == pytest.approx(ranking.scores, rel=1e-5, abs=1e-6)


def test_the_passage_with_the_rare_word_or_code_comes_first():
    retriever = KeywordRetriever(
        passages_of("The pump hums.", "The pump shows E-41.", "The pump shows E-14 after 41 h.")
    )
    for query in ["What is E-41?", "what is e41", "e 41", "E\u201141"]:
        assert retriever.search([query], 3)[0].ids[0] == "p1"
    assert retriever.search(["Does it hum?"], 1)[0].ids == ["p0"]


def test_title_and_heading_are_searched_too():
    titled = Passage("titled", "d", "Heron", "Care", "Oil it.")
    found = KeywordRetriever([*passages_of("Oil it.", "Oil it."), titled]).search(["heron", "care"], 1)
    assert [ranking.ids for ranking in found] == [["titled"], ["titled"]]


def test_without_a_known_word_all_are_tied_at_zero_and_equals_keep_their_order():
    retriever = KeywordRetriever(passages_of("oil", "", "pump", "oil", "oil"))
    unknown, stop_words, oil = retriever.search(["zebra", "of the ?!", "oil"], 5)
    assert unknown.ids == stop_words.ids == ["p0", "p1", "p2", "p3", "p4"]
    assert unknown.scores == stop_words.scores == (0.0,) * 5
    assert oil.ids == ["p0", "p3", "p4", "p1", "p2"]
    assert oil.scores[0] == oil.scores[1] == oil.scores[2] > 0


def test_passages_without_any_word_are_refused():
    with pytest.raises(ValueError, match="Expected words or numbers to search for, but 2 passages have none"):
        KeywordRetriever(passages_of("of the", "?!"))


class Fixed:
    """A retriever that finds the same for every query."""

    def __init__(self, passages, order: str) -> None:
        self.passages, self.order = passages, [passages[int(place)] for place in order]

    def search(self, queries, k):
        return [Ranking(query, tuple(self.order[:k]), tuple(-float(i) for i in range(k))) for query in queries]


ABC = passages_of("a", "b", "c")


def test_fusion_by_hand():
    fused = FusedRetriever([Fixed(ABC, "210"), Fixed(ABC, "201")])
    (ranking,) = fused.search(["q"], 3)
    assert ranking.ids == ["p2", "p0", "p1"]  # p0 and p1 are tied
    assert ranking.scores == pytest.approx((2 / 61, 1 / 62 + 1 / 63, 1 / 62 + 1 / 63), abs=1e-12)
    assert ranking.scores[1] == ranking.scores[2]


def test_beyond_the_depth_of_every_ranking_passages_follow_in_order_with_score_zero():
    fused = FusedRetriever([Fixed(ABC, "210"), Fixed(ABC, "201")], depth=1)
    (ranking,) = fused.search(["q"], 3)
    assert (ranking.ids, ranking.scores[1:]) == (["p2", "p0", "p1"], (0.0, 0.0))


ORDERS = st.integers(2, 9).flatmap(lambda n: st.lists(st.permutations("012345678"[:n]), min_size=1, max_size=4))


@settings(max_examples=60, deadline=None)
@given(ORDERS, st.integers(1, 12), st.data())
def test_fusion_is_a_sum_over_ranks_whatever_the_order_of_the_retrievers(orders, depth, data):
    passages = passages_of(*sorted(orders[0]))
    k = data.draw(st.integers(1, len(passages)))
    score = {p.id: 0.0 for p in passages}
    for order in orders:
        for rank, place in enumerate(order[:depth], 1):
            score[f"p{place}"] += 1 / (60 + rank)
    expected = sorted(score, key=lambda i: (-round(score[i], 9), i))[:k]
    for retrievers in ([Fixed(passages, o) for o in orders], [Fixed(passages, o) for o in orders[::-1]]):
        first, second = FusedRetriever(retrievers, depth=depth).search(["q", "r"], k)
        assert (first.query, second.query, first.ids, second.ids) == ("q", "r", expected, expected)
        assert first.scores == pytest.approx([score[i] for i in expected], abs=1e-9)


def test_what_cannot_be_fused_is_refused():
    with pytest.raises(ValueError, match="at least one retriever to fuse, got none"):
        FusedRetriever([])
    with pytest.raises(
        ValueError, match="retrievers of the same passages, got different ones. Build them from one list"
    ):
        FusedRetriever([Fixed(ABC, "012"), Fixed(ABC[::-1], "012")])


def by_name(queries, passages_per_query):
    """A reranker that likes b, then all others the same."""
    return [[float(p.body == "b") for p in passages] for passages in passages_per_query]


def test_reranking_sorts_the_first_and_leaves_the_rest_behind():
    reranked = RerankedRetriever(Fixed(passages_of(*"abcd"), "2103"), by_name, depth=3)
    (all_four,) = reranked.search(["q"], 4)
    assert (all_four.ids, all_four.scores) == (["p1", "p2", "p0", "p3"], (1.0, 0.0, 0.0, -math.inf))
    assert reranked.search(["q"], 1)[0].ids == ["p1"]  # read to depth 3, though only one was wanted
    assert RerankedRetriever(Fixed(ABC, "201"), by_name, depth=2).search(["q"], 3)[0].ids == ["p2", "p0", "p1"]


def test_the_scorer_gets_each_query_with_its_own_first_passages():
    asked = []

    def remember(queries, passages_per_query):
        asked.append((list(queries), [[p.id for p in passages] for passages in passages_per_query]))
        return np.zeros((len(queries), 2))

    first = KeywordRetriever(passages_of("oil", "pump", "fan"))
    found = RerankedRetriever(first, remember, depth=2).search(["fan", "pump"], 2)
    assert asked == [(["fan", "pump"], [["p2", "p0"], ["p1", "p0"]])]
    assert [ranking.ids for ranking in found] == [["p2", "p0"], ["p1", "p0"]]


@settings(max_examples=60, deadline=None)
@given(st.permutations("0123456"), st.lists(st.integers(0, 3), min_size=7, max_size=7), st.integers(1, 9), st.data())
def test_reranking_is_a_stable_sort_of_the_first(order, liking, depth, data):
    passages, k = passages_of(*"0123456"), data.draw(st.integers(1, 7))
    reranked = RerankedRetriever(
        Fixed(passages, order), lambda _, given: [[liking[int(p.body)] for p in g] for g in given], depth=depth
    )
    expected = sorted(order[:depth], key=lambda place: -liking[int(place)]) + order[depth:]
    assert reranked.search(["q"], k)[0].ids == [f"p{place}" for place in expected][:k]


@pytest.mark.parametrize("scores", [[], [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, 2.0]] * 2, [[1.0, math.nan]]])
def test_a_scorer_must_give_every_passage_a_number(scores):
    with pytest.raises(ValueError, match=r"score must return one finite number per passage, \[2\] in all, got \["):
        RerankedRetriever(Fixed(ABC, "012"), lambda *_: scores, depth=2).search(["q"], 1)


@pytest.mark.parametrize("depth", [0, -1, 1.5, None])
def test_a_depth_is_a_whole_number_from_1(depth):
    said = rf"depth must be a whole number from 1: how many passages to take. Got {depth!r}"
    with pytest.raises(ValueError, match=said):
        FusedRetriever([Fixed(ABC, "012")], depth=depth)
    with pytest.raises(ValueError, match=said):
        RerankedRetriever(Fixed(ABC, "012"), by_name, depth=depth)


EVERY_KIND = {
    "dense": lambda: DenseRetriever(passages_of("0 1", "1 0", "1 1"), Lookup()),
    "keyword": lambda: KeywordRetriever(ABC),
    "fused": lambda: FusedRetriever([KeywordRetriever(ABC), Fixed(ABC, "012")]),
    "reranked": lambda: RerankedRetriever(KeywordRetriever(ABC), by_name),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([""], r"Queries must be non-empty strings; these are not: positions \[0\]. Ask in words"),
        (["1 0", " \n", None], r"Queries must be non-empty strings; these are not: positions \[1, 2\]"),
        ("1 0", r"Expected a list of queries, got one string. Put it in a list: \[query\]"),
        ([], "Expected at least one query, got none"),
    ],
)
def test_all_refuse_what_is_no_list_of_queries_in_the_same_words(kind, queries, said):
    with pytest.raises(ValueError, match=said):
        EVERY_KIND[kind]().search(queries, 1)


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("k", [0, 4, 1.0])
def test_all_refuse_an_impossible_k(kind, k):
    with pytest.raises(ValueError, match=rf"k must be a whole number from 1 to .* passages \(3\), got {k!r}"):
        EVERY_KIND[kind]().search(["1 0"], k)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_fewer_results_are_the_beginning_of_more(kind):
    retriever = EVERY_KIND[kind]()
    (all_three,) = retriever.search(["0 1"], 3)
    assert [retriever.search(["0 1"], k)[0].ids for k in (1, 2)] == [all_three.ids[:1], all_three.ids[:2]]
    assert sorted(all_three.ids) == ["p0", "p1", "p2"]


@pytest.mark.parametrize(("kind", "first"), [("keyword", "p2"), ("reranked", "p1"), ("fused", "p0")])
def test_a_question_of_ten_thousand_words_is_searched_to_its_end(kind, first):
    (ranking,) = EVERY_KIND[kind]().search(["word " * 9_999 + "c"], 3)
    assert (ranking.ids[0], len(ranking.ids)) == (first, 3)


def test_a_word_counts_each_time_it_is_asked_for():
    retriever = KeywordRetriever(passages_of("oil", "pump", "fan"))
    once, often = retriever.search(["pump", "pump " * 10_000], 1)
    assert often.scores[0] == pytest.approx(10_000 * once.scores[0], rel=1e-3)


@pytest.mark.weights
def test_words_find_codes_and_meaning_finds_paraphrases_and_fusion_has_both(real):
    texts = [p.body for p in real.passages] + ["Error E-41 means that the filter is clogged.", "Error E-14: call us."]
    passages = passages_of(*texts)
    dense, keyword = DenseRetriever(passages, real.embedder), KeywordRetriever(passages)
    both = FusedRetriever([dense, keyword])
    asked = ["E-41", "When do I get my money back?"]
    assert keyword.search(asked[:1], 1)[0].ids == ["p3"]
    assert dense.search(asked[1:], 1)[0].ids == ["p1"]
    assert [r.ids[0] for r in both.search(asked, 1)] == ["p3", "p1"]
