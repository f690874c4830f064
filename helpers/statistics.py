"""How sure can we be of a measured number, and how many items would settle it?

Every number in the workbook is an `Estimate`: a value with a 95 % interval and the number of items behind it.
Rates get Wilson intervals; means and paired differences get bootstrap intervals (scipy). Taught in
`00_start_here`. Leaves out: clustered items and several tests at once (the lesson on RAG versus fine-tuning
adds Holm's correction).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
N_RESAMPLES = 9_999


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval `[low, high]` and the number of items `n`."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.n}"


def rate(successes: Sequence[float]) -> Estimate:
    """The share of ones in a sequence of zeros and ones, with Wilson's score interval (scipy's).

    >>> print(rate([1, 1, 1, 0]))
    0.75 [0.30, 0.95], n = 4
    """
    values = _checked(successes)
    if not np.isin(values, (0.0, 1.0)).all():
        other = values[~np.isin(values, (0.0, 1.0))][0]
        raise ValueError(f"A rate needs zeros and ones, got {other:g}. For other scores use `mean`.")
    n, k = len(values), int(values.sum())
    interval = stats.binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(k / n, float(interval.low), float(interval.high), n)


def mean(scores: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean with a bias-corrected bootstrap interval, of width 0 if all scores are the same."""
    values = _checked(scores)
    low, high = _bootstrap(values, seed)
    return Estimate(float(values.mean()), low, high, len(values))


def paired_difference(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean of `a - b` over the same items in the same order, with a paired bootstrap interval.

    >>> paired_difference([1, 1, 0, 1], [0, 1, 0, 0]).value
    0.5
    """
    first, second = _checked(a), _checked(b)
    if len(first) != len(second):
        raise ValueError(
            f"A paired difference needs the same items: got {len(first)} and {len(second)} scores. "
            "Keep only the items that both conditions answered."
        )
    return mean(first - second, seed=seed)


def n_for_half_width(half_width: float, *, p: float = 0.5) -> int:
    """Items needed so that the 95 % interval of a rate near `p` is at most ± `half_width` (by the normal).

    >>> n_for_half_width(0.1), n_for_half_width(0.044)
    (97, 497)
    """
    if not 0 < half_width < 1 or not 0 <= p <= 1:
        raise ValueError(
            f"Expected 0 < half_width < 1 and 0 <= p <= 1, got {half_width} and {p}. Use fractions, not percent."
        )
    z = stats.norm.ppf((1 + CONFIDENCE) / 2)
    return max(1, math.ceil(p * (1 - p) * (z / half_width) ** 2))


def n_to_decide(estimate: Estimate, threshold: float) -> int | None:
    """Items at which an interval of this kind would no longer cover `threshold` if the value stayed as it is.

    Intervals shrink with the square root of n. `None` when the value lies on the threshold itself.

    >>> n_to_decide(Estimate(0.5, 0.4, 0.6, 100), 0.55), n_to_decide(Estimate(0.5, 0.4, 0.6, 100), 0.5)
    (401, None)
    """
    gap = abs(estimate.value - threshold)
    if gap < 1e-9:
        return None
    reach = estimate.value - estimate.low if threshold < estimate.value else estimate.high - estimate.value
    return max(estimate.n, math.floor(estimate.n * round((reach / gap) ** 2, 9)) + 1)


def _checked(scores: Sequence[float]) -> np.ndarray:
    try:
        values = np.asarray(scores, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected a flat sequence of numbers, got {str(scores)[:80]}. Score the answers first."
        ) from None
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"Expected a flat, non-empty sequence of scores, got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} scores are missing or infinite. Check the rows."
        )
    return values


def _bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    if len(values) == 1 or np.ptp(values) == 0:
        return float(values.min()), float(values.max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=N_RESAMPLES,
            batch=500,
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(seed),
        )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high)
