"""Does it matter for what is found which product keeps the vectors, and how much faster is the fastest index?

Fills stores with the very same vectors, asks them the same questions, and compares each with exact search. Taught in
`02_retrieval`. Leaves out: the stores (`vector_stores`), the indexes (`indexes`), verdicts.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers import experiments
from helpers.corpus import Corpus, Passage
from helpers.index_choice import Choice, fastest_with_recall
from helpers.indexes import KINDS
from helpers.ranking_metrics import evaluate
from helpers.retrieval import DenseRetriever, Ranking
from helpers.searching import Asked
from helpers.statistics import Estimate, paired_difference
from helpers.store_protocol import Hits, VectorStore
from helpers.vector_stores import passage_metadata

METRIC = "nDCG@10"


def fill_stores(stores: Mapping[str, VectorStore], corpus: Corpus, retriever: DenseRetriever) -> None:
    """Put the retriever's own vectors into every store, with the metadata of their documents: nothing is embedded anew."""
    described = passage_metadata(corpus)
    ids = [passage.id for passage in retriever.passages]
    for store in stores.values():
        store.upsert(ids, retriever.vectors, [described[i] for i in ids])


def compare_stores(
    stores: Mapping[str, VectorStore], asked: Sequence[Asked], retriever: DenseRetriever, *, k: int = 10
) -> pd.DataFrame:
    """One row per store (`condition`) and question: nDCG@10, agreement and query_seconds; stored (`experiments.measure`).

    The first store is the reference: `agreement` is the share of its `k` passages that a store found too. Questions are embedded
    once for all stores, which get their vectors one at a time; the seconds are those of the store alone.
    """
    vectors = retriever.embedder.encode([one.text for one in asked])
    vector_of = {one.id: vector for one, vector in zip(asked, vectors, strict=True)}
    passages = {passage.id: passage for passage in retriever.passages}
    expected = dict(zip(vector_of, next(iter(stores.values())).query(vectors, k), strict=True))

    def measured(store: VectorStore, batch: Sequence[Asked]) -> list[dict]:
        found = [_timed(store, vector_of[one.id], k) for one in batch]
        scores = evaluate(
            [_ranking(one, hits, passages) for one, (hits, _) in zip(batch, found, strict=True)],
            [one.gold_ids for one in batch],
            metrics=[METRIC],
        )[METRIC]
        return [
            {METRIC: score, "agreement": _agreement(hits, expected[one.id]), "query_seconds": round(seconds, 6)}
            for one, score, (hits, seconds) in zip(batch, scores, found, strict=True)
        ]

    rows = [
        experiments.measure(
            "stores",
            [asked],
            lambda batch, one=store: measured(one, batch),
            settings=_settings(name, store, retriever, k=k),
        )
        for name, store in stores.items()
    ]
    return pd.concat(rows, ignore_index=True)


def _settings(name: str, store: VectorStore, retriever: DenseRetriever, *, k: int) -> dict:
    """What decides a store's rows besides the questions. FAISS's stores have a `variant` and `search`, others have neither."""
    how = {part: getattr(store, part, "") for part in ("variant", "search")}
    texts = experiments.fingerprint([passage.text for passage in retriever.passages])
    return {
        "condition": name,
        "store": type(store).__name__,
        "k": k,
        "model": retriever.embedder.name,
        "texts": texts,
    } | how


def _timed(store: VectorStore, vector: np.ndarray, k: int) -> tuple[Hits, float]:
    started = time.perf_counter()
    (hits,) = store.query(vector[None], k)
    return hits, time.perf_counter() - started


def _ranking(one: Asked, hits: Hits, passages: Mapping[str, Passage]) -> Ranking:
    return Ranking(one.text, tuple(passages[i] for i in hits.ids), hits.scores)


def _agreement(hits: Hits, expected: Hits) -> float:
    return len(set(hits.ids) & set(expected.ids)) / len(expected.ids)


def gains_over(rows: pd.DataFrame, reference: str, *, seed: int) -> dict[str, Estimate]:
    """nDCG@10 of every other condition minus `reference` on the same questions, largest first, with paired intervals."""
    scores = rows.pivot(index="item_id", columns="condition", values=METRIC)
    if reference not in scores:
        raise ValueError(f"No rows for {reference!r}; there are {sorted(scores)}. Measure it first.")
    others = [name for name in dict.fromkeys(rows["condition"]) if name != reference]
    gains = {name: paired_difference(scores[name], scores[reference], seed=seed) for name in others}
    return dict(sorted(gains.items(), key=lambda pair: -pair[1].value))


def fastest_approximate(rows: pd.DataFrame, n: int, *, recall: float = 0.95) -> Choice | None:
    """Of the approximate indexes measured with `n` vectors, the fastest with this recall; `None` if none reaches it.

    Kind and setting are both chosen on the even questions; the `Choice` reports the odd ones, which had no part in it.
    """
    there = set(rows.loc[rows["n_vectors"] == n, "kind"])
    found = [fastest_with_recall(rows, kind, n, recall=recall) for kind in KINDS if kind != "exact" and kind in there]
    return min((c for c in found if c), key=lambda choice: _seconds_when_chosen(rows, choice), default=None)


def _seconds_when_chosen(rows: pd.DataFrame, choice: Choice) -> float:
    same = (rows["kind"] == choice.kind) & (rows["n_vectors"] == choice.n) & (rows["value"] == choice.value)
    return sum(rows.loc[same, "query_seconds"].iloc[0][::2])
