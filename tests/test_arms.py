"""All arms answer the same questions, and each pair is compared on them."""

import re

import pandas as pd
import pytest

from helpers.answering import scored
from helpers.arms import ARMS, BASE, as_chatbot, ask_base, ask_tuned, by_item, compared, overlap, readings
from helpers.corpus import Corpus, Document, Passage, Question
from helpers.generation import Answer
from helpers.house_style import CHATBOT
from helpers.plots import MEANING, look_of
from helpers.retrieval import KeywordRetriever

PASSAGES = tuple(
    Passage(f"p{i}", f"d{i}", "", "", f"The {name} box holds answer {i}.")
    for i, name in enumerate(["red", "blue", "green"])
)
QUESTIONS = [
    Question(f"q{i}", f"What holds the {n} box?", answer=f"answer {i}", gold_ids=(f"p{i}",))
    for i, n in enumerate(["red", "blue", "green"])
]
CORPUS = Corpus("toy", tuple(Document(p.document_id, "", p.body) for p in PASSAGES), PASSAGES, tuple(QUESTIONS))


class Reads:
    """A generator for tests: it says what stands in the last passage, or answer 0."""

    name, max_tokens = "reads", 8192

    def __init__(self, name: str = "reads") -> None:
        self.name, self.asked = name, []

    def n_tokens(self, messages: list) -> int:
        return len(str(messages))

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.asked += prompts
        found = [re.findall(r"holds (answer \d)", prompt[-1]["content"]) for prompt in prompts]
        return [Answer(said[-1] if said else "answer 0", 9, 3) for said in found]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


@pytest.fixture
def reads():
    return readings(CORPUS, KeywordRetriever(PASSAGES), QUESTIONS)


def test_readings_are_nothing_what_was_found_and_the_right_passages(reads):
    assert list(reads) == ["nothing", "retrieved", "oracle"] and reads["nothing"] is None
    assert {i: [p.id for p in found] for i, found in reads["oracle"].items()} == {
        "q0": ["p0"],
        "q1": ["p1"],
        "q2": ["p2"],
    }
    bare = [*QUESTIONS, Question("q9", "And the van?")]
    assert list(readings(CORPUS, KeywordRetriever(PASSAGES), bare)) == ["nothing", "retrieved"]


def test_all_arms_have_their_own_name_and_a_look_that_is_theirs():
    assert len(set(ARMS.values())) == 6 == len(list(ARMS))
    assert {look_of(name) for name in ARMS.values()} <= set(MEANING.values())


def test_a_tuned_model_is_asked_as_in_its_training_with_passages_in_the_questions_place(reads):
    bare, reading = as_chatbot(QUESTIONS[1], None), as_chatbot(QUESTIONS[1], reads["oracle"])
    assert bare == [{"role": "system", "content": CHATBOT}, {"role": "user", "content": QUESTIONS[1].question}]
    assert reading[0] == bare[0] and PASSAGES[1].body in reading[1]["content"]


def test_every_question_is_asked_once_in_every_arm_and_scored(reads):
    rows = pd.concat(
        [
            ask_base(Reads(), QUESTIONS, reads),
            *(ask_tuned(Reads(f"t{s}"), QUESTIONS, reads, model=f"tuned, seed {s}") for s in (0, 1)),
        ]
    )
    assert rows.groupby("arm").size().to_dict() == {
        "closed book": 3,
        "retrieved": 3,
        "oracle": 3,
        "fine-tuned": 6,
        "both": 6,
        "oracle, fine-tuned": 6,
    }
    scores = by_item(rows)
    assert list(scores) == list(ARMS.values())
    assert scores.mean().round(2).tolist() == [0.33, 1, 1, 0.33, 1, 1]


def test_seeds_are_averaged_per_item():
    rows = pd.DataFrame({"item_id": ["a", "a", "b", "b"], "arm": ["both"] * 4, "score": [1.0, 0.0, 1.0, 1.0]})
    assert by_item(rows)["both"].to_dict() == {"a": 0.5, "b": 1.0}


def test_no_questions_is_an_error(reads):
    with pytest.raises(ValueError, match="at least one question"):
        ask_tuned(Reads(), [], reads)


def test_scores_follow_the_answers_that_are_given_now():
    rows = pd.DataFrame({"item_id": ["q0"], "prediction": ["It is answer 5."]})
    newer = [Question("q0", "?", answer="answer 5")]
    assert scored(rows, newer).score.tolist() == [1.0] and scored(rows, QUESTIONS).score.tolist() == [0.0]


def test_a_difference_that_chance_could_give_is_not_real():
    scores = pd.DataFrame({"a": [1.0] * 20, "b": [0.0] * 20, "c": [1.0] * 19 + [0.0]})
    found = compared(scores, [("a", "b"), ("a", "c")], seed=0)
    assert found.difference.tolist() == [1.0, 0.05] and found.real.tolist() == [True, False]
    assert (found.low <= found.difference).all() and (found.difference <= found.high).all()


def test_overlap_parts_every_item_into_one_group():
    one, other = (
        pd.Series({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.3}),
        pd.Series({"d": 0.0, "c": 0.7, "b": 0.0, "a": 1.0}),
    )
    groups = pd.DataFrame(overlap(one, other, ("RAG", "tuned")))
    assert (groups.sum(axis=1) == 1).all()
    assert groups.idxmax(axis=1).to_dict() == {"a": "both", "b": "only RAG", "c": "only tuned", "d": "neither"}


def test_the_base_is_named_as_the_lessons_before_did(reads):
    assert set(ask_base(Reads(), QUESTIONS, reads).model) == {BASE}
