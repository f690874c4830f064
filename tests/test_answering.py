"""The same questions under every condition, as tidy rows that are measured once."""

import pandas as pd
import pytest

from helpers.answering import accuracies, answer, oracle_passages, retrieved_passages
from helpers.corpus import Corpus, Passage, Question
from helpers.generation import Answer, Generator
from helpers.prompts import GROUNDED, MAY_REFUSE, closed_book, with_passages
from helpers.retrieval import Ranking

PASSAGES = (
    Passage("p1", "d", "", "", "The Orlin pump weighs 41 kilograms."),
    Passage("p2", "d", "", "", "Refunds take ten days."),
)
WEIGHT = Question("q1", "How much does the Orlin pump weigh?", answer="41 kilograms", gold_ids=("p1",))
REFUND = Question("q2", "How long do refunds take?", answer="10 days", aliases=("ten",), gold_ids=("p2",))
NOWHERE = Question("q3", "Who owns the moon?", kind="unanswerable")
CLOSED = {"closed book": None}
CORPUS = Corpus("toy", (), PASSAGES, (WEIGHT, REFUND, NOWHERE))
COLUMNS = [
    "experiment", "item_id", "condition", "prediction", "n_prompt_tokens", "n_new_tokens", "seconds",
    "outcome", "score", "hit",
]  # fmt: skip


class Parrot:
    """A generator for tests: it says the first passage it reads, or that it does not know."""

    name = "parrot"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def n_tokens(self, messages: list[dict]) -> int:
        return len(messages[0]["content"].split())

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.asked += [p[0]["content"] for p in prompts]
        return [self._said(p) for p in prompts]

    def _said(self, prompt: list[dict]) -> Answer:
        content = prompt[0]["content"]
        found = sorted((content.index(p.body), p.body) for p in PASSAGES if p.body in content)
        return Answer(found[0][1] if found else "I do not know.", self.n_tokens(prompt), 5)


class Shelf:
    """A retriever for tests: always the passages in their order."""

    def search(self, queries, k):
        return [Ranking(q, PASSAGES[:k], (0.9, 0.8)[:k]) for q in queries]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Rows of these tests go to a folder of their own."""
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    return tmp_path


def test_closed_book_rows():
    rows = answer(Parrot(), CORPUS.questions, CLOSED)
    assert list(rows.columns) == COLUMNS
    assert list(rows["item_id"]) == ["q1", "q2", "q3"]
    assert list(rows["outcome"]) == ["refused", "refused", "correct"]
    assert list(rows["score"]) == [0.0, 0.0, 1.0]
    assert set(rows["condition"]) == {"closed book"}


def test_rows_after_reading_say_whether_a_gold_passage_was_read():
    read = retrieved_passages(Shelf(), [WEIGHT, REFUND], 1)
    assert read == {"q1": [PASSAGES[0]], "q2": [PASSAGES[0]]}
    rows = answer(Parrot(), [REFUND, WEIGHT], {"retrieved": read})
    assert list(rows.columns) == COLUMNS
    assert rows.set_index("item_id")["outcome"].to_dict() == {"q1": "correct", "q2": "wrong"}
    assert rows.set_index("item_id")["hit"].to_dict() == {"q1": 1.0, "q2": 0.0}


def test_the_oracle_reads_exactly_the_gold_passages():
    read = oracle_passages(CORPUS, CORPUS.questions)
    assert read == {"q1": [PASSAGES[0]], "q2": [PASSAGES[1]], "q3": []}
    rows = answer(Parrot(), [WEIGHT, REFUND], {"oracle": read})
    assert list(rows["score"]) == list(rows["hit"]) == [1.0, 1.0]


def test_conditions_come_in_the_order_given_and_each_has_every_question():
    conditions = {"z": oracle_passages(CORPUS, [WEIGHT, REFUND]), **CLOSED}
    rows = answer(Parrot(), [REFUND, WEIGHT], conditions)
    assert list(zip(rows["condition"], rows["item_id"], strict=True)) == [
        (condition, item) for condition in ("z", "closed book") for item in ("q1", "q2")
    ]
    assert list(rows["hit"].isna()) == [False, False, True, True]


def test_finished_rows_are_read_back_and_only_again_measures_anew():
    parrot = Parrot()
    first = answer(parrot, CORPUS.questions, CLOSED)
    second = answer(parrot, CORPUS.questions, CLOSED)
    pd.testing.assert_frame_equal(first, second)
    assert len(parrot.asked) == 3
    answer(parrot, CORPUS.questions, CLOSED, again=True)
    assert len(parrot.asked) == 6


def test_an_interrupted_run_goes_on_where_it_stopped(results, monkeypatch):
    monkeypatch.setattr("helpers.answering.PROMPTS_AT_ONCE", 1)
    whole = answer(Parrot(), CORPUS.questions, CLOSED)
    (path,) = results.glob("answers-*.jsonl")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:20], "utf-8")
    parrot = Parrot()
    resumed = answer(parrot, CORPUS.questions, CLOSED)
    assert len(parrot.asked) == 2
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_other_passages_are_another_experiment():
    parrot = Parrot()
    for passage in PASSAGES:
        answer(parrot, [WEIGHT], {"retrieved": {"q1": [passage]}})
    assert len(parrot.asked) == 2


def test_the_wording_asked_for_reaches_the_generator():
    parrot, read = Parrot(), oracle_passages(CORPUS, [WEIGHT])
    answer(parrot, [WEIGHT], {"oracle": read})
    answer(parrot, [WEIGHT], {"oracle": read}, template=MAY_REFUSE)
    messages = [with_passages(WEIGHT.question, read["q1"], template=template) for template in (GROUNDED, MAY_REFUSE)]
    assert parrot.asked == [message[0]["content"] for message in messages]


def test_another_wording_is_another_experiment_with_rows_of_the_same_form(results):
    parrot, conditions = Parrot(), {"oracle": oracle_passages(CORPUS, [WEIGHT, REFUND])}
    rows = [answer(parrot, [WEIGHT, REFUND], conditions, template=t) for t in (GROUNDED, MAY_REFUSE, GROUNDED)]
    assert len(parrot.asked) == 4  # the third is read back
    assert len(list(results.glob("answers-*.jsonl"))) == 2
    assert all(list(r.columns) == COLUMNS and list(r["outcome"]) == ["correct", "correct"] for r in rows)
    pd.testing.assert_frame_equal(rows[0], rows[2])
    assert (rows[1]["n_prompt_tokens"] > rows[0]["n_prompt_tokens"]).all()


def test_a_closed_book_is_asked_the_same_under_every_wording():
    parrot = Parrot()
    conditions = CLOSED | {"oracle": oracle_passages(CORPUS, [WEIGHT])}
    answer(parrot, [WEIGHT], conditions, template=MAY_REFUSE)
    assert closed_book(WEIGHT.question)[0]["content"] in parrot.asked
    first = answer(parrot, [WEIGHT], CLOSED, template=MAY_REFUSE)
    pd.testing.assert_frame_equal(first, answer(parrot, [WEIGHT], CLOSED))
    assert len(parrot.asked) == 3  # so its rows are measured once for all wordings


def test_questions_with_nothing_to_read_are_named():
    read = oracle_passages(CORPUS, CORPUS.questions)
    with pytest.raises(
        ValueError, match=r"oracle: 1 of 3 questions have no passages to read: \['q3'\]. Leave them out"
    ):
        answer(Parrot(), CORPUS.questions, {"oracle": read})
    with pytest.raises(ValueError, match=r"oracle: 2 of 2 questions have no passages to read: \['q1', 'q2'\]"):
        answer(Parrot(), [WEIGHT, REFUND], CLOSED | {"oracle": {}})


@pytest.mark.parametrize(("questions", "conditions"), [([], CLOSED), ([WEIGHT], {})])
def test_nothing_to_ask_is_refused(questions, conditions):
    with pytest.raises(ValueError, match="Expected at least one question and one condition, got none"):
        answer(Parrot(), questions, conditions)


def test_accuracies_keep_the_order_in_which_conditions_were_measured():
    conditions = CLOSED | {"a oracle": oracle_passages(CORPUS, [WEIGHT, REFUND])}
    found = accuracies(answer(Parrot(), [WEIGHT, REFUND], conditions))
    assert list(found) == ["closed book", "a oracle"]
    assert [(e.value, e.n) for e in found.values()] == [(0.0, 2), (1.0, 2)]


@pytest.mark.weights
def test_the_real_generator_answers_what_it_reads():
    read = oracle_passages(CORPUS, [WEIGHT, REFUND])
    rows = answer(Generator(), [WEIGHT, REFUND], {"oracle": read})
    assert list(rows.columns) == COLUMNS
    assert list(rows["outcome"]) == ["correct", "correct"]
    assert rows["n_prompt_tokens"].between(30, 120).all() and (rows["seconds"] > 0).all()
