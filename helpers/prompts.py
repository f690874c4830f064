"""What exactly is the generator asked?

One instruction, with or without passages, in the chat format that the model was tuned on. Every prompt of the
workbook is made here, so that arms differ in what the model reads and in nothing else. Taught in
`00_start_here` and `03_generation`. Leaves out: prompt search. One wording is fixed; `06_lost_in_the_middle`
varies it.
"""

from collections.abc import Sequence

from helpers.corpus import Passage

CLOSED_BOOK = "Answer the question in a few words."
GROUNDED = "Answer the question in a few words, using only the passages."


def closed_book(question: str) -> list[dict[str, str]]:
    """Chat messages that ask `question` with nothing to read."""
    return [{"role": "user", "content": f"{CLOSED_BOOK}\n\nQuestion: {_checked(question)}\nAnswer:"}]


def with_passages(question: str, passages: Sequence[Passage]) -> list[dict[str, str]]:
    """Chat messages that ask `question` after the passages, in the order given (best first, as a rule)."""
    if not passages:
        raise ValueError("Expected at least one passage; to ask without any, use `closed_book`.")
    shown = "\n\n".join(f"Passage {i}: {passage.text}" for i, passage in enumerate(passages, 1))
    content = f"{GROUNDED}\n\n{shown}\n\nQuestion: {_checked(question)}\nAnswer:"
    return [{"role": "user", "content": content}]


def _checked(question: str) -> str:
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"Expected a question in words, got {question!r}.")
    return question.strip()
