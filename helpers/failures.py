"""Why is an answer wrong, and which passage does it rest on?

Every error of retrieval-augmented generation gets exactly one name, by the first thing that went wrong on its way, so that
the names add up to all errors. Taught in `03_generation`. Leaves out: partly right answers, errors of the questions
themselves, and questions of several hops (one of their passages is enough for a hit).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from helpers.answering import MAX_NEW_TOKENS
from helpers.corpus import Passage, Question
from helpers.retrieval import check_passages
from helpers.scoring import find_tokens, tokens

FAILURES = {
    "should have refused": "no document says it, and something was answered all the same",
    "retrieval miss": "the right passage was not among those read",
    "format miss": "the right passage was read and the answer's words were said, but denied or as one of several",
    "cut off": "the right passage was read, and the reply reached its limit before it came to the answer, if it ever would have",
    "reader miss": "the right passage was read, and something else was answered, or nothing",
}


def failure_of(row: object, question: Question) -> str:
    """The name of what went wrong (a key of `FAILURES`), or an empty text for a right answer.

    `row` has `outcome`, `prediction`, `hit` and `n_new_tokens`, as `answering.answer` gives them for a condition that reads.
    """
    if row.outcome == "correct":
        return ""
    if not question.answers:
        return "should have refused"
    if row.hit == 0:
        return "retrieval miss"
    if any(find_tokens(row.prediction, answer) >= 0 for answer in question.answers):
        return "format miss"
    return "cut off" if row.n_new_tokens >= MAX_NEW_TOKENS else "reader miss"


def name_failures(rows: pd.DataFrame, questions: Sequence[Question]) -> pd.Series:
    """`failure_of` every row, with the index of `rows`.

    Raises `ValueError` for rows of a closed book, where nothing was read, and for rows of other questions.
    """
    known = {q.id: q for q in questions}
    if rows["hit"].isna().any():
        raise ValueError("Failures are named for answers that read passages; leave the closed book out.")
    if strange := sorted(set(rows["item_id"]) - set(known)):
        raise ValueError(
            f"{len(strange)} questions of these rows were not given: {strange[:5]}. Pass all that were answered."
        )
    return pd.Series([failure_of(row, known[row.item_id]) for row in rows.itertuples()], rows.index)


class Citer:
    """Finds the passage that a reply rests on, by the words they share; rare words of the corpus count more."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        check_passages(passages)
        found = Counter(token for passage in passages for token in set(tokens(passage.text)))
        self.rarity: Mapping[str, float] = {token: math.log(len(passages) / n) for token, n in found.items()}

    def cite(self, prediction: str, passages: Sequence[Passage]) -> Passage | None:
        """The passage with the greatest sum of rarity over the words it shares with the reply; the first of equals.

        `None` if no passage shares a word that tells anything: one that does not stand in every passage of the corpus. Best
        first, the first passage is often right anyway: compare with always citing that one.
        """
        said = set(tokens(prediction))
        words = [said & set(tokens(passage.text)) for passage in passages]
        shares = [math.fsum(self.rarity.get(t, 0.0) for t in shared) for shared in words]  # exact, whatever the order
        best = max(shares, default=0.0)
        return passages[shares.index(best)] if best > 0 else None
