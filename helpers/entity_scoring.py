"""How many of the entities were found, with the right type and exactly the right words?

An entity counts when its type, its first and its last word are all right, as at CoNLL-2003 (Tjong Kim Sang & De Meulder 2003) and in
`seqeval`, with which these numbers agree. Words of one sentence are not independent, so intervals resample whole sentences.
Taught in `04_fine_tuning_classifiers`. Leaves out: credit for half an entity, nested entities.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from helpers.labelled import spans
from helpers.statistics import CONFIDENCE, Estimate, rate

N_RESAMPLES = 2_000
Tags = Sequence[Sequence[str]]  # IOB2 tags: one list per sentence, one tag per word


def entity_scores(gold: Tags, found: Tags) -> pd.DataFrame:
    """One row per type, in alphabetical order, then one for all together (micro average): type, precision, recall, f1, n.

    `n` counts the gold entities. A share of nothing (no entity found, or none there) is 0.

    >>> entity_scores([["B-PART", "I-PART", "O"]], [["B-PART", "I-PART", "B-SITE"]]).round(2)
       type  precision  recall    f1  n
    0  PART        1.0     1.0  1.00  1
    1  SITE        0.0     0.0  0.00  0
    2   all        0.5     1.0  0.67  1
    """
    pairs = _paired(gold, found)
    types = sorted({type_ for pair in pairs for entities in pair for type_, _, _ in entities})
    rows = []
    for name, kept in [*((type_, {type_}) for type_ in types), ("all", set(types))]:
        true, wrong, missed = _counts(pairs, kept).sum(axis=0)
        shares = {"precision": _share(true, true + wrong), "recall": _share(true, true + missed)}
        rows.append({"type": name, **shares, "f1": _share(2 * true, 2 * true + wrong + missed), "n": true + missed})
    return pd.DataFrame(rows)


def f1(gold: Tags, found: Tags, *, seed: int = 0) -> Estimate:
    """Micro-averaged F1 with a percentile bootstrap interval over sentences; `n` counts sentences.

    >>> print(f1([["B-PART"], ["O"]], [["B-PART"], ["O"]]))
    1.00 [0.00, 1.00], n = 2
    """
    counts = _counts(_paired(gold, found))
    return _resampled(lambda drawn: _f1(counts[drawn]), len(counts), seed)


def f1_difference(gold: Tags, a: Tags, b: Tags, *, seed: int = 0) -> Estimate:
    """F1 of the tags `a` minus F1 of `b` on the same sentences, with a paired bootstrap interval over them."""
    first, second = _counts(_paired(gold, a)), _counts(_paired(gold, b))
    return _resampled(lambda drawn: _f1(first[drawn]) - _f1(second[drawn]), len(first), seed)


def recall_by_seen(gold: Tags, found: Tags, seen: Sequence[Sequence[bool]], *, seed: int = 0) -> dict[str, Estimate]:
    """Recall of the entities that training had shown ("seen"), of the others ("unseen"), and their "difference".

    `seen` has one list per sentence, one value per gold entity in the order of the text. The two rates are over entities (Wilson);
    the difference is resampled over sentences, and its `n` is the smaller number of entities.
    Raises `ValueError` if there is no entity of one of the two kinds.
    """
    pairs = _paired(gold, found)
    if [len(flags) for flags in seen] != [len(entities) for entities, _ in pairs]:
        raise ValueError("`seen` needs one value per gold entity of every sentence. Was it made for these sentences?")
    hits = [[entity in there for entity in entities] for entities, there in pairs]
    cells = [_hits_by_seen(*sentence) for sentence in zip(hits, seen, strict=True)]
    counts = np.array(cells, dtype=int)  # [n_sentences, (unseen, seen), (missed, found)]
    total = counts.sum(axis=0)
    if not total.sum(axis=1).all():
        raise ValueError(f"Expected entities of both kinds, got {total[1].sum()} seen and {total[0].sum()} unseen.")
    rates = {name: rate([0] * total[i, 0] + [1] * total[i, 1]) for i, name in ((1, "seen"), (0, "unseen"))}
    gap = _resampled(lambda drawn: _gap(counts[drawn]), len(counts), seed)
    return rates | {"difference": Estimate(gap.value, gap.low, gap.high, int(total.sum(axis=1).min()))}


def _paired(gold: Tags, found: Tags) -> list[tuple[list, list]]:
    """The gold and the found entities of each sentence."""
    if len(gold) != len(found) or not len(gold):
        raise ValueError(f"Expected tags of the same sentences, at least one; got {len(gold)} and {len(found)}.")
    if bad := [i for i, (one, other) in enumerate(zip(gold, found, strict=True)) if len(one) != len(other)]:
        raise ValueError(
            f"{len(bad)} sentences have more tags in one than in the other; the first at places {bad[:5]}."
        )
    return [(spans(one), spans(other)) for one, other in zip(gold, found, strict=True)]


def _counts(pairs: list[tuple[list, list]], types: set[str] | None = None) -> np.ndarray:
    """Entities rightly found, wrongly found and missed: int [n_sentences, 3], of these types (default: all)."""
    rows = []
    for pair in pairs:
        there, said = ({e for e in entities if types is None or e[0] in types} for entities in pair)
        rows.append([len(there & said), len(said - there), len(there - said)])
    return np.array(rows)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _f1(counts: np.ndarray) -> float:
    """F1 from counts [n_sentences, 3]; 0 where there is no entity at all."""
    true, wrong, missed = counts.sum(axis=0)
    return _share(2 * true, 2 * true + wrong + missed)


def _hits_by_seen(hits: Sequence[bool], seen: Sequence[bool]) -> list[list[int]]:
    """How many entities of a sentence are [unseen, seen] and [missed, found]."""
    cells = [[0, 0], [0, 0]]
    for hit, flag in zip(hits, seen, strict=True):
        cells[bool(flag)][hit] += 1
    return cells


def _gap(counts: np.ndarray) -> float:
    """Recall of the seen minus recall of the unseen, from counts [n_sentences, 2, 2]; not a number if a kind is absent."""
    unseen, seen = counts.sum(axis=0)
    return float(seen[1] / seen.sum() - unseen[1] / unseen.sum()) if seen.any() and unseen.any() else np.nan


def _resampled(statistic: Callable[[np.ndarray], float], n: int, seed: int) -> Estimate:
    """`statistic` of all n sentences, with a percentile interval over sentences drawn with replacement."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(n, size=n)) for _ in range(N_RESAMPLES)]
    low, high = np.nanquantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(statistic(np.arange(n))), float(low), float(high), n)
