"""What does each arm cost to set up, to ask and to keep up to date, and where do they break even?

An arm is a way to answer: retrieval-augmented generation, a fine-tuned model. All arms are asked the same questions in turn, so that a
noisy machine is fair to all; `Cost` is the arithmetic that follows, in CPU-seconds, and `money` puts the learner's prices on it. Taught
in `07_rag_vs_fine_tuning`. Leaves out: memory, accelerators, and servers: only the CPU time of this process is counted.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from helpers import experiments
from helpers.corpus import Question
from helpers.generation import Answer
from helpers.statistics import Estimate, ratio_of_means

AskMany = Callable[[Sequence[Question]], list[Answer]]


@dataclass(frozen=True)
class Cost:
    """CPU-seconds of one arm: once, per question, and per change of the facts (`per_update`: to index what changed, or to train again)."""

    setup: float
    per_query: float
    per_update: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(part) and part >= 0 for part in astuple(self)):
            raise ValueError(f"Expected CPU-seconds of 0 or more, got {self}. Check how they were measured.")


@dataclass(frozen=True)
class Prices:
    """What a learner pays, in any one currency. The defaults are placeholders, not quotations: put in your own."""

    cpu_hour: float = 0.05  # per hour of one CPU core
    label: float = 0.0  # per labelled wording
    document: float = 0.0  # per document written or updated


@dataclass(frozen=True)
class Asked:
    """A question put to one arm in one batch: an item of the experiment."""

    id: str
    condition: str
    batch: int
    question: Question


def total(cost: Cost, *, queries: float, updates: float) -> float:
    """CPU-seconds of the set-up, so many questions and so many updates.

    >>> total(Cost(setup=100.0, per_query=2.0, per_update=10.0), queries=30, updates=4)
    200.0
    """
    if queries < 0 or updates < 0:
        raise ValueError(f"Expected 0 or more queries and updates, got {queries} and {updates}.")
    return cost.setup + cost.per_query * queries + cost.per_update * updates


def break_even_queries(a: Cost, b: Cost, *, updates: float) -> float | None:
    """From how many questions on the arm of the higher fixed cost (set-up and updates) is the cheaper one; `None` if it never is.

    >>> tuned, rag = Cost(setup=900, per_query=1, per_update=900), Cost(setup=20, per_query=2, per_update=5)
    >>> break_even_queries(tuned, rag, updates=0), break_even_queries(rag, tuned, updates=2)
    (880.0, 2670.0)
    """
    if a.per_query == b.per_query:
        return None
    higher = total(a, queries=0, updates=updates) - total(b, queries=0, updates=updates)
    queries = higher / (b.per_query - a.per_query)
    return abs(queries) if queries >= 0 else None  # below 0: the one of the higher fixed cost also costs more to ask


def surface(a: Cost, b: Cost, *, queries: Sequence[float], updates: Sequence[float]) -> np.ndarray:
    """Total cost of `a` over that of `b`: float64 [n_updates, n_queries]. Below 1 `a` is cheaper, above it `b`."""
    above, below = ([[total(cost, queries=q, updates=u) for q in queries] for u in updates] for cost in (a, b))
    if not np.all(below):
        raise ValueError("A ratio needs a cost above 0 below the line. Begin with more queries or updates.")
    return np.array(above, dtype=float) / np.array(below, dtype=float)


def money(cpu_seconds: float, *, labels: float = 0, documents: float = 0, prices: Prices) -> float:
    """The price of computing, labelled wordings and documents together, in the currency of `prices`.

    >>> money(7_200, labels=100, documents=3, prices=Prices(cpu_hour=0.5, label=0.25, document=2))
    32.0
    """
    return cpu_seconds / 3600 * prices.cpu_hour + labels * prices.label + documents * prices.document


def measure_cost(
    generator_by_arm: Mapping[str, AskMany], questions: Sequence[Question], *, settings: dict, batch_size: int = 32
) -> pd.DataFrame:
    """Ask all questions in batches, each batch under every arm in turn, once: one row per arm and question, in the order of the arms.

    A callable does all that a question needs: embedding it, searching, reading, answering. `settings` says what stands behind the arms
    (models, k, threads). Columns: item_id, condition (the arm), batch, n_prompt_tokens, n_new_tokens, cpu_seconds, seconds (wall). Times
    are a batch's divided by its size, so its rows are one measurement: compare arms by `cost_ratio`. Ask every arm a question beforehand,
    or the first pays for what a process does once.
    """
    if not generator_by_arm or not questions or batch_size < 1:
        got = f"{len(generator_by_arm)} arms, {len(questions)} questions and {batch_size}"
        raise ValueError(f"Expected at least one arm, one question and a batch_size of 1, got {got}.")

    def measure_batch(batch: Sequence[Asked]) -> list[dict]:
        started, arm = time.process_time(), batch[0].condition
        answers = generator_by_arm[arm]([one.question for one in batch])
        seconds = round((time.process_time() - started) / len(batch), 6)
        known = {"condition": arm, "batch": batch[0].batch, "cpu_seconds": seconds}
        return [known | {"n_prompt_tokens": a.n_prompt_tokens, "n_new_tokens": a.n_new_tokens} for a in answers]

    arms = list(generator_by_arm)
    rows = experiments.measure("query-cost", _in_turn(arms, questions, batch_size), measure_batch, settings=settings)
    rows["item_id"] = [r.item_id.removeprefix(f"{r.condition}: ") for r in rows.itertuples()]
    return rows.sort_values("condition", key=lambda names: names.map(arms.index), kind="stable", ignore_index=True)


def _in_turn(arms: list[str], questions: Sequence[Question], size: int) -> list[list[Asked]]:
    return [
        [Asked(f"{arm}: {q.id}", arm, number, q) for q in questions[start : start + size]]
        for number, start in enumerate(range(0, len(questions), size))
        for arm in arms[:: (-1) ** number]  # a, b, b, a, a, b: each is first in every other turn
    ]


def cost_ratio(rows: pd.DataFrame, a: str, b: str, *, seed: int = 0) -> Estimate:
    """CPU-seconds per question of arm `a` over those of `b`; the interval is over batches, and `n` counts them."""
    spent = rows.pivot_table("cpu_seconds", index="batch", columns="condition", aggfunc="sum")
    return ratio_of_means(spent[a], spent[b], seed=seed)


def latencies(
    ask: Mapping[str, Callable[[Question], Answer]], questions: Sequence[Question], *, settings: dict
) -> pd.DataFrame:
    """How long one waits: `measure_cost` one question at a time. `seconds` is what the clock on the wall says, on this machine."""
    one_by_one = {arm: lambda batch, one=one: [one(question) for question in batch] for arm, one in ask.items()}
    return measure_cost(one_by_one, questions, settings=settings, batch_size=1)


def percentiles(rows: pd.DataFrame) -> pd.DataFrame:
    """Median (p50) and 95th percentile (p95) of `seconds` and n, by arm; of few questions, p95 is hardly more than the slowest."""
    seconds = rows.groupby("condition", sort=False)["seconds"]
    return pd.DataFrame({"p50": seconds.quantile(0.5), "p95": seconds.quantile(0.95), "n": seconds.size()})
