"""A desk that answers, names its source, and refuses what lies too far from every document."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.corpus import Passage, Question, load_company
from helpers.embeddings import Embedder
from helpers.generation import Answer, Generator
from helpers.retrieval import DenseRetriever, Ranking
from helpers.support_desk import REFUSAL, answer_desk, best_cosines, development, threshold

PASSAGES = [
    Passage("p#1", "p", "Orlin pump", "Weight", "The Orlin pump weighs 41 kilograms."),
    Passage("p#2", "p", "Orlin pump", "Colour", "The Orlin pump is celadon."),
    Passage("r#1", "r", "Refunds", "", "Refunds take ten days, whatever it weighs."),
]
WEIGHT = Question(
    "weight", "How much does the Orlin pump weigh?", answer="41 kilograms", document_ids=("p",), gold_ids=("p#1",)
)
REFUND = Question(
    "refund", "How long do refunds take?", answer="10 days", gold_ids=("r#1",)
)  # own data name no document
NOWHERE = Question("nowhere", "Who owns the moon?", kind="unanswerable")
ASKED = [WEIGHT, REFUND, NOWHERE]
NEAREST = {"weight": (0, 0.9), "refund": (2, 0.6), "nowhere": (1, 0.3)}


class Shelf:
    """A retriever for tests: one nearest passage with its cosine, then the others."""

    passages = PASSAGES

    def search(self, queries, k):
        found = [NEAREST[next(q.id for q in ASKED if q.question == query)] for query in queries]
        orders = [[PASSAGES[place], *(p for i, p in enumerate(PASSAGES) if i != place)] for place, _ in found]
        return [
            Ranking(query, tuple(order[:k]), (cosine, 0.1, 0.0)[:k])
            for query, order, (_, cosine) in zip(queries, orders, found, strict=True)
        ]


class Reader:
    """A generator for tests: it says what it is told to, or the body of the first passage it reads."""

    name = "reader"

    def __init__(self, says: str = "") -> None:
        self.says, self.n_asked = says, 0

    def n_tokens(self, messages: list[dict]) -> int:
        return 1

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.n_asked += len(prompts)
        read = [
            min((p for p in PASSAGES if p.body in m[0]["content"]), key=lambda p: m[0]["content"].index(p.body))
            for m in prompts
        ]
        return [Answer(self.says or passage.body, 1, 1) for passage in read]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Rows of these tests go to a folder of their own."""
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


def by_question(rows, column: str) -> list:
    return list(rows.set_index("item_id")[column][[q.id for q in ASKED]])


def test_without_a_threshold_everything_is_answered():
    rows = answer_desk(Reader(), Shelf(), ASKED, refuse_below=None)
    assert by_question(rows, "outcome") == ["correct", "correct", "wrong"]
    assert by_question(rows, "refused") == [0.0, 0.0, 0.0]
    assert by_question(rows, "cosine") == [0.9, 0.6, 0.3]
    assert by_question(rows, "cited") == ["p#1", "r#1", "p#2"]
    assert by_question(rows, "cited_right") == [1.0, 1.0, 0.0]
    assert by_question(rows, "hit") == [1.0, 1.0, 0.0]


def test_what_is_too_far_is_refused_and_cites_nothing():
    rows = answer_desk(Reader(), Shelf(), ASKED, refuse_below=0.7)
    assert by_question(rows, "prediction") == [PASSAGES[0].body, REFUSAL, REFUSAL]
    assert by_question(rows, "outcome") == ["correct", "refused", "correct"]
    assert by_question(rows, "score") == [1.0, 0.0, 1.0]
    assert by_question(rows, "refused") == [0.0, 1.0, 1.0]
    assert by_question(rows, "cited_right") == [1.0, 0.0, 0.0]
    assert rows["cited"].notna().sum() == 1


def test_a_cosine_at_the_threshold_is_near_enough():
    assert by_question(answer_desk(Reader(), Shelf(), ASKED, refuse_below=0.6), "refused") == [0.0, 0.0, 1.0]


def test_another_threshold_needs_no_new_answers():
    reader = Reader()
    for limit in (None, 0.5, 0.95):
        answer_desk(reader, Shelf(), ASKED, refuse_below=limit)
    assert reader.n_asked == 3


def test_a_refusal_of_the_generator_counts_as_one():
    rows = answer_desk(Reader("The text does not mention it."), Shelf(), ASKED, refuse_below=None)
    assert by_question(rows, "refused") == [1.0, 1.0, 1.0]
    assert by_question(rows, "score") == [0.0, 0.0, 1.0]


def test_right_words_from_another_document_are_not_rightly_cited():
    rows = answer_desk(Reader("41 kilograms, says Refunds, in ten days"), Shelf(), [WEIGHT], refuse_below=None, k=3)
    assert list(rows["score"]) == [1.0] and list(rows["cited"]) == ["r#1"] and list(rows["cited_right"]) == [0.0]


def test_words_that_stand_in_no_passage_cite_none():
    rows = answer_desk(Reader("bananas"), Shelf(), [WEIGHT], refuse_below=None)
    assert rows["cited"].isna().all() and list(rows["cited_right"]) == [0.0]


# --- the threshold

cosines = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=8)


def mean_share(limit: float, answerable: list[float], unanswerable: list[float]) -> float:
    answered = sum(c >= limit for c in answerable) / len(answerable)
    return (answered + sum(c < limit for c in unanswerable) / len(unanswerable)) / 2


@given(cosines, cosines)
def test_no_other_threshold_is_better_and_no_lower_one_as_good(answerable, unanswerable):
    chosen = threshold(answerable, unanswerable)
    best = mean_share(chosen, answerable, unanswerable)
    for limit in {*answerable, *unanswerable, 1.0}:
        other = mean_share(limit, answerable, unanswerable)
        assert other <= best or math.isclose(other, best)
        assert limit >= chosen or not math.isclose(other, best)


@pytest.mark.parametrize(
    ("answerable", "unanswerable", "expected"),
    [
        ([0.9, 0.8], [0.3, 0.2], 0.8),  # apart: the lowest answerable one
        ([0.5], [0.5], 0.5),  # alike: refuse nothing
        ([0.2], [0.9], 0.2),  # the wrong way round: refuse nothing
    ],
)
def test_thresholds_by_hand(answerable, unanswerable, expected):
    assert threshold(answerable, unanswerable) == expected


def test_a_threshold_needs_both_sorts_of_question():
    with pytest.raises(ValueError, match="got 1 of answerable and 0 of unanswerable"):
        threshold([0.5], [])


def test_the_threshold_is_chosen_on_questions_that_are_not_tested():
    company = load_company()
    answerable, unanswerable = development(company)
    assert {q.split for q in answerable} == {"fact"}
    rest = company.of_kind("unanswerable")[1::2]
    assert len(unanswerable) == len(rest) and not {q.id for q in unanswerable} & {q.id for q in rest}


@pytest.mark.weights
def test_a_question_from_far_away_is_refused_and_a_near_one_answered_with_its_source():
    retriever = DenseRetriever(PASSAGES, Embedder())
    near, far = best_cosines(retriever, [WEIGHT, NOWHERE])
    limit = threshold([near], [far])
    rows = answer_desk(Generator(), retriever, [WEIGHT, NOWHERE], refuse_below=limit).set_index("item_id")
    assert far < near == limit
    assert list(rows.loc["weight", ["score", "cited", "cited_right", "refused"]]) == [1.0, "p#1", 1.0, 0.0]
    assert list(rows.loc["nowhere", ["score", "prediction", "refused"]]) == [1.0, REFUSAL, 1.0]
