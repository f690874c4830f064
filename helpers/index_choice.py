"""Which setting of an index is worth judging, and from which size on does it pay?

Reads the rows of `indexes.measure_indexes`. A setting is chosen on one half of the questions and judged on the other, so that the
choice doesn't flatter itself. Taught in `02_retrieval`. Leaves out: intervals (`statistics`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Choice:
    """A setting chosen on every other question, and what the remaining ones say of it, question by question."""

    kind: str
    n: int
    parameter: str
    value: int
    recalls: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def queries_per_second(self) -> float:
        """How many questions one after the other are answered in a second."""
        return len(self.seconds) / sum(self.seconds)


def fastest_with_recall(rows: pd.DataFrame, kind: str, n: int, *, recall: float = 0.95) -> Choice | None:
    """The setting with the most queries per second among those of mean recall >= `recall`; `None` if no setting reaches it.

    It is chosen on the even queries (the 1st, 3rd, …) and reported on the odd ones, which had no part in the choice: their recall may
    fall short. All kinds are reported on the same queries in the same order, so `seconds` of two choices are pairs.
    """
    found = _rows_of(rows, kind)
    found = found[found["n_vectors"] == n]
    if found.empty:
        there = sorted(set(_rows_of(rows, kind)["n_vectors"].tolist()))
        raise ValueError(f"No rows for {kind!r} with {n} vectors; it was measured with {there}. Measure it first.")
    if len(found["recalls"].iloc[0]) < 2:
        raise ValueError("Expected at least two queries: one half chooses the setting, the other half judges it.")
    enough = [row for row in found.to_dict("records") if np.mean(row["recalls"][::2]) >= recall - 1e-12]
    if not enough:
        return None
    row = min(enough, key=lambda row: sum(row["query_seconds"][::2]))
    judged = tuple(row["recalls"][1::2]), tuple(row["query_seconds"][1::2])
    return Choice(kind, n, row["parameter"], row["value"], *judged)


def crossover(rows: pd.DataFrame, kind: str, *, recall: float = 0.95) -> int | None:
    """The smallest measured number of vectors at which `kind`, with `recall`, answers faster than exact search; `None` if never.

    Both are judged by `fastest_with_recall`. It is a point between measured sizes at best: say which were measured.
    """
    for n in sorted(set(_rows_of(rows, kind)["n_vectors"].tolist())):
        choice, exact = fastest_with_recall(rows, kind, n, recall=recall), fastest_with_recall(rows, "exact", n)
        if choice and choice.queries_per_second > exact.queries_per_second:
            return n
    return None


def _rows_of(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    found = rows[rows["kind"] == kind]
    if found.empty:
        raise ValueError(f"No rows for {kind!r}; there are {sorted(set(rows['kind']))}. Measure it first.")
    return found
