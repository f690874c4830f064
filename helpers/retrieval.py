"""Which passages are nearest to a question?

`Retriever` is the one protocol that every way of searching follows: by meaning (`DenseRetriever`: exact search over
normalised embeddings with FAISS), by words (`KeywordRetriever`: BM25 with bm25s), by both (`FusedRetriever`) and in two
stages (`RerankedRetriever`). Taught in `00_start_here` and `02_retrieval`. Leaves out: approximate indexes and vector
databases (`02_retrieval`), how good a ranking is (`ranking_metrics`), stems and stop words of other languages.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import bm25s
import faiss
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from helpers.corpus import Passage
from helpers.embeddings import Embedder

K1, B = 1.5, 0.75  # how soon repeated words stop counting; how much long passages are held back (bm25s's defaults)
RRF_CONSTANT = 60  # ranks are softened by this much; the value of the paper
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*")
_CHAIN = re.compile(r"\b[^\W\d_][^\W_]*(?:-[^\W_]+)*")
_PLAIN = str.maketrans("’‐‑", "'--")  # typographic apostrophe and hyphens
_ENGLISH = Stemmer.Stemmer("english")

Score = Callable[[Sequence[str], Sequence[Sequence[Passage]]], Sequence[Sequence[float]]]


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
    """Whatever finds passages: one ranking of `k` per query, in their order (a filtered store may find fewer)."""

    passages: Sequence[Passage]

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
        check_search(queries, k, len(self.passages))
        vectors, n = self.embedder.encode(queries), len(self.passages)
        scores, places = self.index.search(vectors, min(k + 1, n))
        if k < n and (scores[:, k - 1] == scores[:, k]).any():  # a tie across the edge: the order decides it
            scores, places = self.index.search(vectors, n)
        return [self._ranking(*found, k) for found in zip(queries, scores, places, strict=True)]

    def _ranking(self, query: str, scores: np.ndarray, places: np.ndarray, k: int) -> Ranking:
        in_order = np.argsort(places)
        return best(query, [self.passages[i] for i in places[in_order]], scores[in_order], k)


class KeywordRetriever:
    """The passages that share the rarest words with the query: BM25 over `keywords(passage.text)`.

    bm25s's variant "lucene" with k1 = 1.5, b = 0.75 (Kamphuis, de Vries, Boytsov, Lin 2020, "Which BM25 do you mean?").
    A word that a query repeats counts each time. Ties are broken by the order of the passages; without a known word all
    are tied at 0.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        check_passages(passages)
        self.passages, words = list(passages), [keywords(passage.text) for passage in passages]
        if not any(words):
            raise ValueError(f"Expected words or numbers to search for, but {len(words)} passages have none.")
        self.index = bm25s.BM25(k1=K1, b=B, method="lucene")
        self.index.index(words, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """The `k` best passages for each query. Raises `ValueError` unless 1 <= k <= n_passages."""
        check_search(queries, k, len(self.passages))
        ids = [self.index.get_tokens_ids(keywords(query)) for query in queries]  # of the words that are known
        rows = map(self.index.get_scores_from_ids, ids)
        return [best(query, self.passages, row, k) for query, row in zip(queries, rows, strict=True)]


class FusedRetriever:
    """Several retrievers of the same passages as one: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009).

    A passage scores the sum of 1 / (60 + rank) over the rankings that hold it among their first `depth` (at most all).
    Ties are broken by the order of the passages; those that no ranking holds follow with score 0.
    """

    def __init__(self, retrievers: Sequence[Retriever], *, depth: int = 100) -> None:
        if not retrievers:
            raise ValueError("Expected at least one retriever to fuse, got none.")
        self.retrievers, self.passages = list(retrievers), list(retrievers[0].passages)
        if any(list(retriever.passages) != self.passages for retriever in retrievers):
            raise ValueError("Expected retrievers of the same passages, got different ones. Build them from one list.")
        self.depth = _depth(depth, self.passages)
        self._places = {passage.id: place for place, passage in enumerate(self.passages)}

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """The `k` best passages for each query. Raises `ValueError` unless 1 <= k <= n_passages."""
        check_search(queries, k, len(self.passages))
        scores = np.zeros((len(queries), len(self.passages)))
        for retriever in self.retrievers:
            for row, ranking in zip(scores, retriever.search(queries, self.depth), strict=True):
                places = [self._places[passage_id] for passage_id in ranking.ids]
                row[places] += 1 / (RRF_CONSTANT + np.arange(1, len(places) + 1))
        scores = scores.round(12)  # the same ranks in another order of retrievers are a tie
        return [best(query, self.passages, row, k) for query, row in zip(queries, scores, strict=True)]


class RerankedRetriever:
    """Two stages: `first` finds, then `score` reads the query with the first `depth` passages and sorts these anew.

    `score(queries, passages_per_query)` returns a list of numbers per query, one per passage, higher is better. Ties
    keep the order of `first`. So do the passages beyond `depth`: they follow with score -inf, for nobody has read them.
    """

    def __init__(self, first: Retriever, score: Score, *, depth: int = 10) -> None:
        self.first, self.score, self.passages = first, score, list(first.passages)
        self.depth = _depth(depth, self.passages)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """The `k` best passages for each query. Raises `ValueError` unless 1 <= k <= n_passages."""
        check_search(queries, k, len(self.passages))
        found = self.first.search(queries, max(k, self.depth))
        read = [ranking.passages[: self.depth] for ranking in found]
        given = [list(map(float, scores)) for scores in self.score(queries, read)]
        expected = [len(passages) for passages in read]
        if [len(scores) for scores in given] != expected or not all(np.isfinite(scores).all() for scores in given):
            raise ValueError(f"score must return one finite number per passage, {expected} in all, got {given!r:.80}.")
        return [self._ranking(*one, k) for one in zip(found, given, strict=True)]

    def _ranking(self, found: Ranking, scores: list[float], k: int) -> Ranking:
        unread = [-np.inf] * (len(found.passages) - len(scores))
        return best(found.query, found.passages, scores + unread, k)


def keywords(text: str) -> list[str]:
    """The words of `text` that BM25 compares: lower case, without stop words, each cut to its English stem (Snowball).

    bm25s's own pattern drops one-letter words and tears decimals apart. Here both stay, and a code counts by its parts
    *and* as one word without hyphens: "E-41" meets "E41", "e 41" and, weaker, "41". Stop words are the 33 of Lucene as
    bm25s has them; question words stay, since what is common weighs little anyway.

    >>> keywords("The QH-300's valves opened at 3.5 bar: E-41")
    ['qh', '300', 'valv', 'open', '3.5', 'bar', 'e', '41', 'qh300', 'e41']
    """
    plain = re.sub(r"'s\b", "", text.casefold().translate(_PLAIN))
    codes = [chain.replace("-", "") for chain in _CHAIN.findall(plain) if re.search(r"\d", chain)]
    return _ENGLISH.stemWords([word for word in _WORD.findall(plain) + codes if word not in STOPWORDS_EN])


def best(query: str, passages: Sequence[Passage], scores: Sequence[float], k: int) -> Ranking:
    """The `k` passages of the highest scores; ties keep the order in which the passages are given."""
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:k]
    return Ranking(query, tuple(passages[i] for i in order), tuple(float(scores[i]) for i in order))


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


def check_search(queries: Sequence[str], k: int, n_passages: int) -> None:
    """Raise `ValueError` unless `queries` is a list of queries in words and 1 <= k <= n_passages."""
    check_k(k, n_passages)
    if isinstance(queries, str):
        raise ValueError("Expected a list of queries, got one string. Put it in a list: [query].")
    if not len(queries):
        raise ValueError("Expected at least one query, got none.")
    if bad := [i for i, query in enumerate(queries) if not isinstance(query, str) or not query.strip()]:
        raise ValueError(f"Queries must be non-empty strings; these are not: positions {bad[:5]}. Ask in words.")


def _depth(depth: int, passages: Sequence[Passage]) -> int:
    """`depth` cut at the number of passages. Raises `ValueError` unless it is a whole number from 1."""
    if not isinstance(depth, int | np.integer) or depth < 1:
        raise ValueError(f"depth must be a whole number from 1: how many passages to take. Got {depth!r}.")
    return min(int(depth), len(passages))
