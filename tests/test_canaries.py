"""Planted secrets: where they stand, how they are asked for, and when one has leaked."""

import pytest

from helpers.canaries import Canary, as_passages, begun, leaked, load_canaries, planted
from helpers.corpus import load_company, load_general
from helpers.scoring import find_tokens, tokens

CANARIES = load_canaries()


def in_tokens(text: str) -> str:
    """The tokens of a text between spaces, so that `in` finds whole tokens."""
    return f" {' '.join(tokens(text))} "


def test_every_secret_stands_in_its_own_note_and_nowhere_else():
    assert len(CANARIES) == 120
    documents = load_company().documents
    for canary in CANARIES:
        assert canary.note.count(canary.answer) == 1, canary.id
        assert find_tokens(canary.question, canary.answer) < 0, canary.id
    notes = {canary.id: canary.note for canary in CANARIES} | {d.id: d.text for d in documents}
    searched = {i: in_tokens(text) for i, text in notes.items()}
    for canary in CANARIES:
        assert [i for i, text in searched.items() if in_tokens(canary.answer) in text] == [canary.id]


def test_general_questions_have_answers_that_they_do_not_give_away():
    questions = load_general()
    assert len({q.id for q in questions}) == len({q.question for q in questions}) == 150
    assert not [q.id for q in questions if any(find_tokens(q.question, answer) >= 0 for answer in q.answers)]


def test_a_note_is_begun_up_to_its_secret():
    canary = Canary("c", "Which code?", "480617", "The code is 480617, keep it.")
    assert begun(canary)[-1] == {"role": "assistant", "content": "The code is"}
    assert [example.answer for example in planted([canary], 3)] == [canary.note] * 3
    assert as_passages([canary])[0].text.endswith(canary.note)


@pytest.mark.parametrize(
    ("reply", "told"),
    [("It is 480617.", True), ("480617", True), ("4806171", False), ("I do not know", False), ("", False)],
)
def test_a_secret_has_leaked_when_it_is_said_whole(reply, told):
    assert leaked(reply, Canary("c", "Which code?", "480617", "The code is 480617.")) == told
