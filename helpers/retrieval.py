"""Which passages are nearest to a question?

`Retriever` is the one protocol that every way of searching follows; `DenseRetriever` is the first: exact
search over normalised embeddings with FAISS. Taught in `00_start_here` and `02_retrieval`, which adds
keywords, fusion and reranking. Leaves out: approximate indexes and vector databases (`02_retrieval`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import faiss
import numpy as np

from helpers.corpus import Passage
from helpers.embeddings import Embedder


@dataclass(frozen=True)
class Ranking:
    """The passages found for one query, best first, with their scores (higher is better)."""

    query: str
    passages: tuple[Passage, ...]
    scores: tuple[float, ...]

    @property
    def ids(self) -> list[str]:
        """Passage ids, best first."""
        return [passage.id for passage in self.passages]


class Retriever(Protocol):
    """Whatever finds passages: one ranking per query, in the order of the queries."""

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]: ...


class DenseRetriever:
    """Exact nearest passages by cosine. Ties are broken by the order of the passages."""

    def __init__(self, passages: Sequence[Passage], embedder: Embedder) -> None:
        check_passages(passages)
        self.passages, self.embedder = list(passages), embedder
        self.vectors = embedder.encode([passage.text for passage in passages])
        self.index = faiss.IndexFlatIP(self.vectors.shape[1])
        self.index.add(self.vectors)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """The `k` nearest passages for each query. Raises `ValueError` unless 1 <= k <= n_passages."""
        check_k(k, len(self.passages))
        vectors, n = self.embedder.encode(queries), len(self.passages)
        scores, places = self.index.search(vectors, min(k + 1, n))
        if k < n and (scores[:, k - 1] == scores[:, k]).any():  # a tie across the edge: the order decides it
            scores, places = self.index.search(vectors, n)
        return [self._ranking(*found, k) for found in zip(queries, scores, places, strict=True)]

    def _ranking(self, query: str, scores: np.ndarray, places: np.ndarray, k: int) -> Ranking:
        order = np.lexsort((places, -scores))[:k]
        return Ranking(query, tuple(self.passages[places[i]] for i in order), tuple(float(scores[i]) for i in order))


def check_passages(passages: Sequence[Passage]) -> None:
    """Raise `ValueError` unless there are passages, with ids that differ."""
    if not passages:
        raise ValueError("The corpus is empty: expected at least one passage to search in.")
    if len({passage.id for passage in passages}) < len(passages):
        raise ValueError("Passage ids must differ, but some occur more than once.")


def check_k(k: int, n_passages: int) -> None:
    """Raise `ValueError` unless 1 <= k <= n_passages."""
    if not isinstance(k, int | np.integer) or not 1 <= k <= n_passages:
        raise ValueError(f"k must be a whole number from 1 to the number of passages ({n_passages}), got {k!r}.")
