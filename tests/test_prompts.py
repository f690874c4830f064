"""What the generator is asked, word for word."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpus import Passage
from helpers.prompts import GROUNDED, MAY_REFUSE, closed_book, with_passages

PASSAGES = [Passage("p1", "d", "Pump", "Care", "Oil it."), Passage("p2", "d", "", "", "Call us.")]


def test_a_closed_book_prompt_word_for_word():
    (message,) = closed_book(" How often? ")
    assert message == {"role": "user", "content": "Answer briefly: How often?"}


def test_a_prompt_with_passages_word_for_word():
    (message,) = with_passages("How often?", PASSAGES)
    assert message["role"] == "user"
    assert message["content"] == (
        "Question: How often?\n\nPump: Care\nOil it.\n\nCall us.\n\nUsing the text above, answer briefly: How often?"
    )


def test_a_prompt_that_allows_a_refusal_word_for_word():
    (message,) = with_passages(" How often? ", PASSAGES, template=MAY_REFUSE)
    assert message == {
        "role": "user",
        "content": (
            "Question: How often?\n\nPump: Care\nOil it.\n\nCall us.\n\nUsing the text above, answer briefly. "
            "If the text does not say, answer: I don't know. How often?"
        ),
    }


def test_the_wording_is_the_grounded_one_unless_another_is_asked_for():
    assert with_passages("How?", PASSAGES) == with_passages("How?", PASSAGES, template=GROUNDED)
    assert with_passages("How?", PASSAGES) != with_passages("How?", PASSAGES, template=MAY_REFUSE)


@pytest.mark.parametrize("template", [GROUNDED, MAY_REFUSE])
def test_every_wording_has_the_question_before_and_after_the_passages(template):
    assert [name for _, name, _, _ in string.Formatter().parse(template) if name] == [
        "question",
        "passages",
        "question",
    ]


def test_passages_are_shown_in_the_order_given():
    content = with_passages("?q", PASSAGES[::-1])[0]["content"]
    assert content.index("Call us.") < content.index("Pump: Care")


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_question_and_passages_stand_in_the_prompt_as_they_are(question, bodies):
    """Braces too: a learner's text is no template."""
    passages = [Passage(str(i), "d", "", "", body) for i, body in enumerate(bodies)]
    content = with_passages(question, passages)[0]["content"]
    assert content.startswith(f"Question: {question.strip()}\n\n") and content.endswith(f"briefly: {question.strip()}")
    assert "\n\n".join(bodies) in content
    assert closed_book(question)[0]["content"].endswith(f"briefly: {question.strip()}")
    other = with_passages(question, passages, template=MAY_REFUSE)[0]["content"]
    assert other.startswith(f"Question: {question.strip()}\n\n") and other.endswith(f"don't know. {question.strip()}")
    assert "\n\n".join(bodies) in other


@pytest.mark.parametrize("question", ["", "  \n", None, 5, ["How?"]])
def test_what_is_no_question_is_refused(question):
    with pytest.raises(ValueError, match="Expected a question in words, got"):
        closed_book(question)
    for template in (GROUNDED, MAY_REFUSE):
        with pytest.raises(ValueError, match="Expected a question in words, got"):
            with_passages(question, PASSAGES, template=template)


def test_no_passages_are_refused_with_the_other_way_to_ask():
    with pytest.raises(ValueError, match="at least one passage; to ask without any, use `closed_book`"):
        with_passages("How?", [])
    with pytest.raises(ValueError, match="at least one passage"):
        with_passages("How?", [], template=MAY_REFUSE)


@pytest.mark.parametrize(
    "template", ["{question}", "{passages}", "{question} {passages} {}", "{question} {passages} {0}", ""]
)
def test_a_template_without_its_fields_is_refused(template):
    with pytest.raises(ValueError, match="A template needs the fields {question} and {passages}, and no other; got"):
        with_passages("Why?", [Passage("p", "d", "", "", "So.")], template=template)
