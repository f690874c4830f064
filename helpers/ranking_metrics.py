"""How good is a ranking?

`evaluate` gives each query its metrics by trec_eval (in Python: pytrec_eval), the usual program of information
retrieval. The definitions stand beside it in a few lines each, for the lesson to assert equal; hit@k and the reciprocal
rank are in `scoring`. Taught in `02_retrieval`. Relevance is binary: a passage is gold or it is not. Leaves out: grades
of relevance, passages that nobody judged, intervals (`statistics`).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd
import pytrec_eval

from helpers.retrieval import Ranking

TREC_NAMES = {"nDCG": "ndcg_cut", "recall": "recall", "hit": "success"}


def evaluate(
    rankings: Sequence[Ranking],
    gold_ids: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = ("nDCG@10", "recall@10", "MRR"),
) -> pd.DataFrame:
    """One row per query, in order, and one column per metric, each 0…1; the mean of a column is the usual figure.

    Metrics: "nDCG@k", "recall@k", "hit@k" (any gold passage among the first k: success@k) and "MRR" (1 / rank of the
    first gold passage, 0 if the ranking ends before it). Only the order counts: trec_eval sorts by score and breaks
    ties by id, so it is given scores that fall with the rank. Raises `ValueError` for unknown metrics, for numbers of
    rankings and gold ids that differ, for a passage ranked twice, and naming the queries without gold.
    """
    names = {metric: _trec_name(metric) for metric in _checked(rankings, gold_ids, metrics)}
    gold = {str(i): dict.fromkeys(ids, 1) for i, ids in enumerate(gold_ids)}
    run = {str(i): {p: -float(rank) for rank, p in enumerate(r.ids)} for i, r in enumerate(rankings)}
    found = pytrec_eval.RelevanceEvaluator(gold, set(names.values())).evaluate(run)
    return pd.DataFrame([{metric: found[i][name] for metric, name in names.items()} for i in run])


def ndcg_at_k(ranked_ids: Sequence[str], gold_ids: Sequence[str], k: int) -> float:
    """Gain of the gold passages among the first `k` over the best possible; rank r counts 1 / log2(r + 1).

    Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) for binary relevance. Gold at ranks 1 and 3
    gains 1 + 1/2, where ranks 1 and 2 would have gained 1 + 1/log2(3) = 1.631:

    >>> round(ndcg_at_k(["a", "x", "b"], ["a", "b"], 3), 3)
    0.92
    """
    gold = _gold(gold_ids, k)
    gain = sum(1 / math.log2(rank + 1) for rank, found in enumerate(ranked_ids[:k], 1) if found in gold)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(gold)) + 1))


def recall_at_k(ranked_ids: Sequence[str], gold_ids: Sequence[str], k: int) -> float:
    """The share of the gold passages that stand among the first `k`.

    >>> recall_at_k(["a", "x", "b"], ["a", "b"], 2)
    0.5
    """
    gold = _gold(gold_ids, k)
    return len(gold & set(ranked_ids[:k])) / len(gold)


def _gold(gold_ids: Sequence[str], k: int) -> set[str]:
    if isinstance(gold_ids, str) or not gold_ids:
        raise ValueError(
            f"Expected a list of at least one gold id, got {gold_ids!r}. Leave unanswerable questions out."
        )
    if k < 1:
        raise ValueError(f"Expected k of 1 or more, got {k}.")
    return set(gold_ids)


def _trec_name(metric: str) -> str:
    if metric == "MRR":
        return "recip_rank"
    if parts := re.fullmatch(r"(nDCG|recall|hit)@([1-9][0-9]*)", metric):
        return f"{TREC_NAMES[parts[1]]}_{parts[2]}"
    raise ValueError(f"Expected a metric such as nDCG@10, recall@5, hit@1 or MRR, got {metric!r}. Correct its name.")


def _checked(rankings: Sequence[Ranking], gold_ids: Sequence[Sequence[str]], metrics: Sequence[str]) -> Sequence[str]:
    """`metrics`, once all else is as it must be."""
    if isinstance(metrics, str) or not metrics:
        raise ValueError(f'Expected a list of at least one metric, got {metrics!r}. Write ["MRR"].')
    if not rankings or len(rankings) != len(gold_ids):
        raise ValueError(
            f"Expected gold ids for each of at least one ranking, got {len(rankings)} rankings and gold ids for "
            f"{len(gold_ids)}. Take both from the same questions."
        )
    if any(isinstance(ids, str) for ids in gold_ids):
        raise ValueError("Expected a list of gold ids for each query, got one text. Put it in a list: [gold_id].")
    if bare := [r.query for r, ids in zip(rankings, gold_ids, strict=True) if not ids]:
        raise ValueError(f"{len(bare)} of {len(rankings)} queries have no gold passage: {bare[:5]}. Leave them out.")
    if twice := [r.query for r in rankings if max(Counter(r.ids).values(), default=1) > 1]:
        raise ValueError(f"A ranking holds a passage once, but these hold one twice: {twice[:5]}. Drop the copies.")
    return metrics
