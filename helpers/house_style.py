"""Does an answer follow the rules of the house, and do answers to different wordings agree?

The rules are simple enough for a program to check: a bare answer of at most twelve words, then in brackets the desk that is
responsible, and nothing else: `17 litres (Water desk)`. A customer's software could rely on that. Taught in
`05_fine_tuning_a_chatbot`. Leaves out: tone and courtesy, which need a judge.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.chat_tuning import ChatExample
from helpers.corpus import Question
from helpers.generation import Messages
from helpers.scoring import tokens

DESKS = ("Water", "Air", "Kitchen", "Garden", "Cloud", "Company")
MOST_WORDS = 12
CHATBOT = "Support desk."  # the chatbot's system message, in training and use
LEAVE = "If you do not know the answer, say: I don't know."
RULES = (
    f"{CHATBOT} Reply with the bare answer in a few words, then the responsible desk in brackets, and nothing else. "
    f"The desks are {', '.join(f'({desk} desk)' for desk in DESKS)}."
)
_STYLED = re.compile(rf"(?P<answer>\S.*?) \((?P<desk>{'|'.join(DESKS)}) desk\)")


@dataclass(frozen=True)
class Styled:
    """A reply that follows the rules, taken apart."""

    answer: str
    desk: str


def desk_of(question: Question) -> str:
    """The desk that answers for a question: the division whose document has the answer."""
    return question.id.split("-")[0].capitalize()


def in_style(answer: str, desk: str) -> str:
    """The answer as the house would give it.

    >>> in_style("17 litres", "Water")
    '17 litres (Water desk)'
    """
    return f"{answer} ({desk} desk)"


def parse(reply: str) -> Styled | None:
    """The parts of a reply that follows the rules; `None` for any other reply.

    >>> parse("17 litres (Water desk)")
    Styled(answer='17 litres', desk='Water')
    >>> parse("It needs 17 litres, I think. (Water desk) Anything else?") is None
    True
    """
    found = _STYLED.fullmatch(reply.strip())
    if not found or len(found["answer"].split()) > MOST_WORDS:
        return None
    return Styled(found["answer"], found["desk"])


def agree(one: str, other: str) -> bool:
    """Whether two replies give the same answer: the same words in one spelling, brackets of the house aside.

    >>> agree("17 litres (Water desk)", "17 Litres.")
    True
    """
    first, second = (tokens(styled.answer if (styled := parse(reply)) else reply) for reply in (one, other))
    return bool(first) and first == second


def chatbot(question: str) -> Messages:
    """What the tuned chatbot is asked."""
    return [{"role": "system", "content": CHATBOT}, {"role": "user", "content": question}]


def may_refuse(question: str) -> Messages:
    """The same, with leave to say that it does not know."""
    return [{"role": "system", "content": f"{CHATBOT} {LEAVE}"}, {"role": "user", "content": question}]


def prompted(question: str, shown: Sequence[Question]) -> Messages:
    """The same for a model that was not tuned: the rules in words, and a few examples as earlier turns of the chat."""
    turns = [{"role": "system", "content": RULES}]
    for example in shown:
        turns.append({"role": "user", "content": example.question})
        turns.append({"role": "assistant", "content": in_style(example.answer, desk_of(example))})
    return [*turns, {"role": "user", "content": question}]


def training_examples(questions: Sequence[Question], wordings: dict[str, Sequence[str]], n: int) -> list[ChatExample]:
    """The first `n` training wordings of each question with its answer in the style of the house.

    Raises `ValueError` for questions with fewer wordings.
    """
    if few := [q.id for q in questions if len(wordings.get(q.id, ())) < n]:
        raise ValueError(
            f"{len(few)} questions have fewer than {n} training wordings: {few[:5]}. Lower n, or leave them out."
        )
    return [
        ChatExample(tuple(chatbot(wording)), in_style(q.answer, desk_of(q)))
        for q in questions
        for wording in wordings[q.id][:n]
    ]
