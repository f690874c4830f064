"""When a classifier says 90 %, is it right nine times in ten?

`reliability` groups answers by the confidence in them and compares it with how often they were right; `calibration_error` makes that one number
(the expected calibration error: Guo et al. 2017, arXiv 1706.04599). Taught in `04_fine_tuning_classifiers`. Leaves out: mending it
(temperature scaling), and whether the probabilities of the labels not chosen are right.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.statistics import CONFIDENCE, Estimate

N_RESAMPLES = 2_000


def reliability(probabilities: ArrayLike, gold: Sequence[int], *, n_bins: int = 10) -> pd.DataFrame:
    """One row per bin of confidence that has answers in it: low, high, mean confidence, accuracy, n.

    `probabilities` [n_texts, n_labels], `gold` the right column of each. The answer is the largest probability (the first of equals),
    which is also the confidence. Bins are as wide as each other; a value on the line between two belongs to the lower one.

    >>> reliability([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45]], [0, 0, 0], n_bins=2)
       low  high  confidence  accuracy  n
    0  0.5   1.0        0.75  0.666667  3
    """
    confidence, right = _answers(probabilities, gold)
    bins, edges = _bins(confidence, n_bins), np.linspace(0, 1, n_bins + 1)
    rows = pd.DataFrame({"low": edges[bins], "high": edges[bins + 1], "confidence": confidence, "accuracy": right})
    means = rows.groupby(["low", "high"])[["confidence", "accuracy"]].mean()
    return means.assign(n=rows.groupby(["low", "high"]).size()).reset_index()


def calibration_error(probabilities: ArrayLike, gold: Sequence[int], *, n_bins: int = 10, seed: int = 0) -> Estimate:
    """The gap between confidence and accuracy, averaged over the bins of `reliability` by the answers in them: 0 is best, 1 worst.

    The interval is the percentile bootstrap over texts. With few texts the number is too high, even for a classifier that
    is right about itself: compare it with `calibration_floor`.

    >>> calibration_error([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45]], [0, 0, 0], n_bins=2).value
    0.08333333333333337
    """
    confidence, right = _answers(probabilities, gold)
    bins, gaps, n = _bins(confidence, n_bins), right - confidence, len(right)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(n, size=n) for _ in range(N_RESAMPLES))
    found = [_error(bins[texts], gaps[texts]) for texts in drawn]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(_error(bins, gaps), float(low), float(high), n)


def calibration_floor(probabilities: ArrayLike, *, n_bins: int = 10, seed: int = 0) -> float:
    """The mean error that chance alone would give these confidences if each were exactly right: the control for `calibration_error`."""
    confidence = _checked(probabilities).max(axis=1)
    bins, rng = _bins(confidence, n_bins), np.random.default_rng(seed)
    drawn = (rng.random(len(confidence)) < confidence for _ in range(N_RESAMPLES))
    return float(np.mean([_error(bins, right - confidence) for right in drawn]))


def _error(bins: np.ndarray, gaps: np.ndarray) -> float:
    """Sum over the bins of |accuracy - confidence|, each weighted by its share of the answers."""
    return float(np.abs(np.bincount(bins, gaps)).sum() / len(gaps))


def _bins(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of each confidence, counted from 0."""
    if n_bins < 1:
        raise ValueError(f"Expected at least one bin, got n_bins={n_bins}.")
    return np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)


def _answers(probabilities: ArrayLike, gold: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The confidence in each answer, and 1.0 where it is right."""
    table, right = _checked(probabilities), np.asarray(gold)
    if right.shape != (len(table),) or right.dtype.kind not in "iu":
        raise ValueError(
            f"Expected the column of the right label for each of {len(table)} texts, as whole numbers, "
            f"got shape {right.shape} of {right.dtype}. Use labels.index(label)."
        )
    if right.min() < 0 or right.max() >= table.shape[1]:
        raise ValueError(f"Columns go from 0 to {table.shape[1] - 1}, got {right.min()} to {right.max()}.")
    return table.max(axis=1), (table.argmax(axis=1) == right).astype(float)


def _checked(probabilities: ArrayLike) -> np.ndarray:
    table = np.asarray(probabilities, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"Expected probabilities [n_texts, n_labels], got shape {table.shape}.")
    if not (table >= 0).all() or not np.allclose(table.sum(axis=1), 1, atol=1e-4):
        raise ValueError("Expected probabilities: none below 0, every row adding up to 1. Are these logits?")
    return table
