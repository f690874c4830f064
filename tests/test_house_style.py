"""The rules of the house, as a program checks them."""

import pytest

from helpers.corpus import Question, load_company, load_wordings, sample
from helpers.house_style import Styled, agree, chatbot, desk_of, in_style, parse, prompted, training_examples


@pytest.mark.parametrize("reply", ["17 litres (Water desk)", "  17 litres (Water desk)\n"])
def test_a_bare_answer_and_its_desk_follow_the_rules(reply):
    assert parse(reply) == Styled("17 litres", "Water")


@pytest.mark.parametrize(
    "reply",
    [
        "17 litres",
        "(Water desk)",
        " (Water desk)",
        "17 litres (Wine desk)",
        "17 litres (water desk)",
        "17 litres(Water desk)",
        "17 litres (Water desk).",
        "17 litres (Water desk) Anything else?",
        " ".join(["so"] * 13) + " (Water desk)",
        "",
    ],
)
def test_anything_else_does_not(reply):
    assert parse(reply) is None


def test_every_right_answer_can_be_given_in_style():
    for question in load_company().of_kind("single_fact"):
        assert parse(in_style(question.answer, desk_of(question))) == Styled(question.answer, desk_of(question))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("17 litres (Water desk)", "17 litres (Air desk)", True),
        ("17 litres (Water desk)", "seventeen litres.", True),
        ("17 litres", "18 litres", False),
        ("17 litres", "It is 17 litres", False),
        ("", "", False),
    ],
)
def test_replies_agree_if_they_answer_the_same(one, other, same):
    assert agree(one, other) == same


def test_the_prompted_model_gets_the_rules_and_examples_and_the_tuned_one_only_its_name():
    shown = [Question("air-01-q1", "How loud?", answer="30 dB")]
    messages = prompted("How tall?", shown)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert parse(messages[2]["content"]) and "(Air desk)" in messages[0]["content"]
    assert [m["role"] for m in chatbot("How tall?")] == ["system", "user"]


def test_training_examples_hold_no_test_wording_and_every_answer_in_style():
    company = load_company()
    facts = sample(company.of_kind("single_fact", split="wording"), 300, seed=0)
    examples = training_examples(facts, load_wordings(company), 10)
    asked = {example.messages[-1]["content"] for example in examples}
    assert len(examples) == 3000 and all(parse(example.answer) for example in examples)
    assert not asked & {w for q in company.questions for w in (q.question, q.typo, *q.paraphrases[:1])}


def test_too_few_wordings_are_refused_by_name():
    with pytest.raises(ValueError, match="fewer than 2 training wordings.*a-1"):
        training_examples([Question("a-1", "?", answer="x")], {"a-1": ("one",)}, 2)
