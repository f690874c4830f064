"""What exactly is the generator asked?

One wording, with or without passages, in the chat format that the model was tuned on. Every prompt of the workbook is made
here, so that arms differ in what the model reads and in nothing else. The question stands before *and* after the passages,
which a small model needs. The wording `GROUNDED` was chosen among ten on questions of the split `fact`, never on test questions.
Taught in `00_start_here` and `03_generation`. Leaves out: other wordings (`06_lost_in_the_middle` varies them).
"""

from collections.abc import Sequence
from string import Formatter

from helpers.corpus import Passage

CLOSED_BOOK = "Answer briefly: {question}"
GROUNDED = "Question: {question}\n\n{passages}\n\nUsing the text above, answer briefly: {question}"
DOCUMENTS = "Here are some documents.\n\n{passages}\n\nQuestion: {question}"  # with `BEGUN`: for many short passages
QUESTION_FIRST = "Question: {question}\n\nHere are some documents.\n\n{passages}\n\nAnswer the question."
QUESTION_TWICE = "Question: {question}\n\nHere are some documents.\n\n{passages}\n\nQuestion: {question}"
USING_THE_TEXT = "{passages}\n\nUsing the text above, answer briefly: {question}"
BEGUN = "The short answer is:"  # how a reply is begun, so that it is short
MAY_REFUSE = (
    "Question: {question}\n\n{passages}\n\nUsing the text above, answer briefly. "
    "If the text does not say, answer: I don't know. {question}"
)


def closed_book(question: str) -> list[dict[str, str]]:
    """Chat messages that ask `question` with nothing to read."""
    return [{"role": "user", "content": CLOSED_BOOK.format(question=_checked(question))}]


def with_passages(question: str, passages: Sequence[Passage], *, template: str = GROUNDED) -> list[dict[str, str]]:
    """Chat messages that ask `question` around the passages, in the order given (best first, as a rule).

    `template` has the fields {question} and {passages}, and no other.
    """
    if not passages:
        raise ValueError("Expected at least one passage; to ask without any, use `closed_book`.")
    if {name for _, name, _, _ in Formatter().parse(template) if name is not None} != {"question", "passages"}:
        raise ValueError(f"A template needs the fields {{question}} and {{passages}}, and no other; got {template!r}.")
    shown = "\n\n".join(passage.text for passage in passages)
    return [{"role": "user", "content": template.format(question=_checked(question), passages=shown)}]


def short_answer(question: str, passages: Sequence[Passage], *, template: str = DOCUMENTS) -> list[dict[str, str]]:
    """Chat messages that ask `question` about the passages, if there are any, with the reply begun: the answer comes in a few tokens.

    `DOCUMENTS` and `BEGUN` were chosen among five wordings on questions of the split `fact`, for their accuracy over all places.
    """
    asked = with_passages(question, passages, template=template) if passages else closed_book(question)
    return [*asked, {"role": "assistant", "content": BEGUN}]


def _checked(question: str) -> str:
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"Expected a question in words, got {question!r}.")
    return question.strip()


def classification(
    text: str, *, shots: Sequence[tuple[str, str]] = (), names: tuple[str, str] = ("Text", "Label")
) -> str:
    """A plain text, no chat, whose natural next word is the label of `text`; `shots` are examples (text, label).

    Without examples, the generator labels plain sentences better so than when it is asked in a chat. `names` are the words for a
    text and its label.

    >>> classification("It broke.", shots=[("It runs.", "good")], names=("Review", "Sentiment"))
    'Review: It runs.\\nSentiment: good\\n\\nReview: It broke.\\nSentiment:'
    """
    asked, answered = names
    blocks = [(" ".join(shown.split()), f" {label}") for shown, label in [*shots, (text, "")]]
    return "\n\n".join(f"{asked}: {shown}".rstrip() + f"\n{answered}:{label}" for shown, label in blocks).rstrip()
