"""Asked for *all* facts in its context, which does the model leave out?

Short notes that each name a town are given in random order, and the model is asked to list the towns. Recall by position says whether
answers from long contexts are fragmentary; the order of the list, whether it reads from top to bottom. Taught in
`06_lost_in_the_middle`. Leaves out: real documents, in which nobody knows how many facts there are; people and towns are invented and the
sentences made from a few patterns, so that nothing but the position differs.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from helpers import experiments
from helpers.generation import Generator, Messages
from helpers.runtime import ROOT
from helpers.scoring import find_tokens
from helpers.statistics import Estimate, mean

WORDS = ROOT / "data/prompts/notes.json"  # towns, people, and patterns of sentences
REQUEST = "{notes}\n\nList the towns that are named above."  # chosen, with `BEGUN`, on contexts of another seed
BEGUN = "1."  # a list with numbers
TOKENS_PER_FACT = 9  # room in the reply
PROMPTS_AT_ONCE = 20


@dataclass(frozen=True)
class Notes:
    """One context: the towns in the order of their notes. An item of the experiment."""

    id: str
    towns: tuple[str, ...]
    text: str


def draw_notes(n_contexts: int, n_facts: int, *, seed: int) -> list[Notes]:
    """Contexts of `n_facts` notes each, with towns, people and patterns drawn anew for each.

    >>> draw_notes(1, 3, seed=0)[0].towns == draw_notes(1, 3, seed=0)[0].towns
    True
    """
    words = json.loads(WORDS.read_text("utf-8"))
    if not 3 <= n_facts <= len(words["towns"]):
        raise ValueError(f"Expected from 3 to {len(words['towns'])} facts a context, got {n_facts}.")
    made = []
    for number in range(n_contexts):
        rng = random.Random(f"{seed} {n_facts} {number}")
        towns, people = rng.sample(words["towns"], n_facts), rng.sample(words["people"], n_facts)
        lines = [rng.choice(words["patterns"]).format(town=t, person=p) for t, p in zip(towns, people, strict=True)]
        made.append(Notes(f"{n_facts} notes, {number}", tuple(towns), "\n\n".join(lines)))
    return made


def request(notes: Notes) -> Messages:
    """Chat messages that ask for all towns, the reply begun."""
    return [
        {"role": "user", "content": REQUEST.format(notes=notes.text)},
        {"role": "assistant", "content": BEGUN},
    ]


def list_all(generator: Generator, some: Sequence[Notes]) -> pd.DataFrame:
    """Ask for all towns of every context. One row per fact.

    Columns: item_id, context_id, position, n_facts, recalled (1.0 if the town stands in the reply), place (token index in the
    reply, none if it isn't there), prediction.
    """
    if not some:
        raise ValueError("Expected at least one context, got none.")

    def measure_batch(batch: Sequence[Notes]) -> list[dict]:
        room = TOKENS_PER_FACT * max(len(notes.towns) for notes in batch)
        said = generator.over_lines().generate([request(notes) for notes in batch], max_new_tokens=room)
        return [{"prediction": a.text, "n_prompt_tokens": a.n_prompt_tokens} for a in said]

    batches = [some[i : i + PROMPTS_AT_ONCE] for i in range(0, len(some), PROMPTS_AT_ONCE)]
    settings = {"model": generator.name, "request": REQUEST, "begun": BEGUN, "tokens": TOKENS_PER_FACT}
    rows = experiments.measure("listing", batches, measure_batch, settings=settings).set_index("item_id")
    return pd.DataFrame([fact for notes in some for fact in _facts(notes, rows.prediction[notes.id])])


def _facts(notes: Notes, said: str) -> list[dict]:
    found = [find_tokens(said, town) for town in notes.towns]
    shared = {"context_id": notes.id, "n_facts": len(notes.towns), "prediction": said}
    return [
        shared
        | {
            "item_id": f"{notes.id}, note {i}",
            "position": i,
            "recalled": float(p >= 0),
            "place": p if p >= 0 else np.nan,
        }
        for i, p in enumerate(found)
    ]


def middle_minus_outer(rows: pd.DataFrame, *, seed: int) -> Estimate:
    """Recall in the middle third of the positions minus the outer thirds, contexts resampled."""
    table = rows.pivot(index="context_id", columns="position", values="recalled")
    third = len(table.columns) // 3
    middle, outer = table.iloc[:, third:-third], pd.concat([table.iloc[:, :third], table.iloc[:, -third:]], axis=1)
    return mean(middle.mean(axis=1) - outer.mean(axis=1), seed=seed)


def in_order(rows: pd.DataFrame) -> list[float]:
    """Kendall's rank correlation of the list's order with the order of the notes, for each context with two towns or more in its reply."""
    found = [part.dropna(subset=["place"]) for _, part in rows.groupby("context_id")]
    return [float(stats.kendalltau(part.position, part.place).statistic) for part in found if len(part) > 1]
