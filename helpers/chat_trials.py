"""How does a chatbot answer: rightly, in the style of the house, and the same however it is asked?

Rows of answers with what follows from them, for tuned, prompted and reading models alike. Taught in `05_fine_tuning_a_chatbot`. Leaves
out: how the chatbot was trained (`chat_tuning`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from helpers.answering import replies, scored
from helpers.corpus import Question
from helpers.generation import Generator, Messages
from helpers.house_style import agree, chatbot, parse


def ask(
    generator: Generator,
    questions: Sequence[Question],
    *,
    condition: str,
    prompt: Callable[[str], Messages] = chatbot,
) -> pd.DataFrame:
    """Ask every question once. Columns as of `answering.replies`, and outcome, score (1.0 if right), styled (1.0 if in the house's style)."""
    if not questions:
        raise ValueError("Expected at least one question, got none.")
    rows = scored(replies(generator, {condition: {q.id: prompt(q.question) for q in questions}}), questions)
    rows["styled"] = [float(parse(said) is not None) for said in rows["prediction"]]
    return rows


def asked_as(questions: Sequence[Question], wordings: Mapping[str, Sequence[str]]) -> list[Question]:
    """The questions in the first of their `wordings`: for a tuned model one that it was trained on."""
    return [replace(q, question=wordings[q.id][0]) for q in questions]


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """1.0 where two wordings of a question got the same answer, right or wrong, by item id."""
    first, second = (rows.set_index("item_id").prediction for rows in (one, other))
    return pd.Series({i: float(agree(first[i], second[i])) for i in first.index})
