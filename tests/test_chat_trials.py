"""A chatbot's answers: right, in style, and the same to both wordings."""

import pandas as pd
import pytest

from helpers.chat_trials import agreement, ask, asked_as
from helpers.corpus import Question
from helpers.generation import Answer

QUESTIONS = [
    Question("water-1", "How much?", answer="17 litres"),
    Question("air-1", "Where is the very long door?", answer="Tarsk"),
]


class Parrot:
    """Answers every prompt with the same words."""

    name = "parrot"

    def __init__(self, text):
        self.text = text

    def n_tokens(self, messages):
        return len(messages[-1]["content"])

    def generate(self, prompts, *, max_new_tokens):
        return [Answer(self.text, 5, 3) for _ in prompts]


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


def test_right_and_in_style_are_two_things():
    rows = ask(Parrot("17 litres (Water desk)"), QUESTIONS, condition="c").set_index("item_id")
    assert rows.score.to_dict() == {"water-1": 1.0, "air-1": 0.0} and rows.styled.eq(1).all()
    rows = ask(Parrot("It takes 17 litres."), QUESTIONS, condition="d").set_index("item_id")
    assert rows.score["water-1"] == 1 and rows.styled.eq(0).all()


def test_questions_are_asked_in_a_wording_they_were_trained_on():
    asked = asked_as(QUESTIONS, {"water-1": ["a", "b"], "air-1": ["c"]})
    assert [q.question for q in asked] == ["a", "c"] and [q.answer for q in asked] == ["17 litres", "Tarsk"]


def test_agreement_goes_by_question_whatever_the_order():
    one = pd.DataFrame({"item_id": ["a", "b"], "prediction": ["17 litres (Water desk)", "no"]})
    other = pd.DataFrame({"item_id": ["b", "a"], "prediction": ["yes", "17 litres."]})
    assert agreement(one, other).to_dict() == {"a": 1.0, "b": 0.0}


def test_nobody_to_ask_is_refused():
    with pytest.raises(ValueError, match="at least one question"):
        ask(Parrot(""), [], condition="c")
