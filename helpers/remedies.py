"""What helps when the right passage gets lost in a long prompt?

Each remedy changes what is read, or in which order, and nothing else: a *reading* for `answering.answer`, as in `readings`. Taught in
`06_lost_in_the_middle`. Leaves out: models trained on long prompts.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers import experiments
from helpers.answering import scored
from helpers.attention import look
from helpers.chunking import sentences
from helpers.corpus import Passage, Question
from helpers.embeddings import Embedder
from helpers.generation import Answer, Generator
from helpers.positions import MAX_NEW_TOKENS
from helpers.prompts import BEGUN, DOCUMENTS, short_answer
from helpers.readings import Reading
from helpers.statistics import paired_difference

QUESTIONS_AT_ONCE = 8


def in_random_order(reading: Reading, *, seed: int) -> Reading:
    """The same passages in an order drawn by lot, the floor: nothing is known of which is best."""
    return {i: random.Random(f"{seed} {i}").sample(list(found), len(found)) for i, found in reading.items()}


def best_last(reading: Reading) -> Reading:
    """The best passage next to the question at the end."""
    return {i: list(found)[::-1] for i, found in reading.items()}


def best_at_both_ends(reading: Reading) -> Reading:
    """The best passage first, the second best last, and so on towards the middle."""
    return {i: [*found[::2], *found[1::2][::-1]] for i, found in reading.items()}


def compressed(reading: Reading, questions: Sequence[Question], embedder: Embedder) -> Reading:
    """Each passage cut down to the sentence whose vector is nearest to the question's."""
    made = {}
    for question in questions:
        parts = [[s.strip() for s in sentences(p.body)] for p in reading[question.id]]
        vectors = embedder.encode([question.question, *(s for some in parts for s in some)])
        near, kept = iter(vectors[1:] @ vectors[0]), []
        for passage, some in zip(reading[question.id], parts, strict=True):
            scores = [float(next(near)) for _ in some]
            kept.append(replace(passage, body=some[int(np.argmax(scores))]))
        made[question.id] = kept
    return made


@dataclass(frozen=True)
class _Alone:
    """A question with the passages that are read one at a time: one item of the experiment."""

    id: str
    question: str
    texts: tuple[Passage, ...]


def one_at_a_time(generator: Generator, questions: Sequence[Question], reading: Reading) -> pd.DataFrame:
    """Every passage is read alone; of the answers, the one with the greatest mean log-probability a token is given.

    One row per question. Columns: item_id, prediction, passage_id, n_prompt_tokens and n_new_tokens (of all its prompts), seconds,
    outcome, score.
    """

    def measure_batch(batch: Sequence[_Alone]) -> list[dict]:
        pairs = [(one, passage) for one in batch for passage in one.texts]
        asked = [short_answer(one.question, [passage]) for one, passage in pairs]
        said = generator.generate(asked, max_new_tokens=MAX_NEW_TOKENS)
        texts = [[passage.text] for _, passage in pairs]
        sure = [found.mean_log_likelihood for found in look(generator, asked, texts, [a.text or "-" for a in said])]
        return [_surest({i: p for i, (one, p) in enumerate(pairs) if one is item}, said, sure) for item in batch]

    items = [_Alone(q.id, q.question, tuple(reading[q.id])) for q in questions]
    batches = [items[i : i + QUESTIONS_AT_ONCE] for i in range(0, len(items), QUESTIONS_AT_ONCE)]
    settings = {"model": generator.name, "asked": DOCUMENTS + BEGUN, "max_new_tokens": MAX_NEW_TOKENS}
    rows = experiments.measure("one-at-a-time", batches, measure_batch, settings=settings)
    return scored(rows, questions)


def _surest(places: Mapping[int, Passage], said: Sequence[Answer], sure: Sequence[float]) -> dict:
    """The surest of these answers, and the tokens of them all; `places` says which passage each was read from."""
    best = max(places, key=lambda i: sure[i])
    tokens = {name: sum(getattr(said[i], name) for i in places) for name in ("n_prompt_tokens", "n_new_tokens")}
    return {"prediction": said[best].text, "passage_id": places[best].id, **tokens}


def bill(
    arms: Mapping[str, pd.DataFrame], floor: str, *, extra_tokens: Mapping[str, float] | None = None, seed: int = 0
) -> pd.DataFrame:
    """What each arm gains on the arm `floor` on the same questions (with its interval), and what it costs more for a question.

    Columns: gain, low, high, tokens more (of the prompt; `extra_tokens` were read beforehand, in seconds unknown), seconds more, and the
    gain for 100 tokens and for a second more: none where the arm costs no more than the floor.
    """
    scores = {name: rows.set_index("item_id").score.sort_index() for name, rows in arms.items()}
    tokens = {name: rows.n_prompt_tokens.mean() + (extra_tokens or {}).get(name, 0) for name, rows in arms.items()}
    lines = {}
    for name, rows in arms.items():
        gain = paired_difference(scores[name], scores[floor], seed=seed)
        more = {
            "tokens more": tokens[name] - tokens[floor],
            "seconds more": rows.seconds.mean() - arms[floor].seconds.mean(),
        }
        lines[name] = {"gain": gain.value, "low": gain.low, "high": gain.high, **more}
    table = pd.DataFrame(lines).T.drop(index=floor)
    table.loc[list(extra_tokens or {}), "seconds more"] = (
        np.nan
    )  # what was read beforehand took seconds that are not in the rows
    dearer = table["tokens more"] > 0  # where they are the same, so is the cost: seconds then only differ by chance
    table["gain per 100 tokens"] = (100 * table.gain / table["tokens more"]).where(dearer)
    table["gain per second"] = (table.gain / table["seconds more"]).where(dearer & (table["seconds more"] > 0))
    return table
