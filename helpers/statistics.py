"""How sure can we be of a measured number, and how many items would settle it?

Every number in the workbook is an `Estimate`: a value with a 95 % interval and the number of items behind it.
Rates get Wilson intervals; means and paired differences get bootstrap intervals (scipy). Taught in
`00_start_here`; several tests at once (Holm's correction) in `07_rag_vs_fine_tuning`. Leaves out: clustered items.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
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
    _check_paired(first, second)
    return mean(first - second, seed=seed)


def paired_p_value(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> float:
    """How often chance alone gives a mean difference this large or larger (two-sided): each pair may as well be the other way round.

    scipy's permutation test; with `N_RESAMPLES` draws never below 1 / (`N_RESAMPLES` + 1).

    >>> paired_p_value([1, 1, 1], [0, 0, 0])
    0.25
    """
    first, second = _checked(a), _checked(b)
    _check_paired(first, second)
    how = {"permutation_type": "samples", "n_resamples": N_RESAMPLES, "rng": np.random.default_rng(seed), "batch": 500}
    found = stats.permutation_test((first, second), lambda x, y, axis: (x - y).mean(axis), vectorized=True, **how)
    return float(found.pvalue)


def holm(p_values: Sequence[float], *, level: float = 1 - CONFIDENCE) -> list[bool]:
    """Which of several tests are significant together: the smallest p against level / m, the next against level / (m - 1), and so on.

    Holm (1979): at the first that fails, all larger ones fail. The chance of one false alarm among all is at most `level`.

    >>> holm([0.01, 0.04, 0.03])
    [True, False, False]
    """
    order, real = np.argsort(p_values, kind="stable"), [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - rank):
            break
        real[i] = True
    return real


def difference(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean of `a` minus mean of `b`, for two different sets of items, with a bootstrap interval; `n` is the smaller number.

    >>> difference([1, 1, 0, 1], [0, 1]).value
    0.25
    """
    return _compared(lambda x, y, axis: x.mean(axis) - y.mean(axis), _checked(a), _checked(b), paired=False, seed=seed)


def ratio_of_means(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean of `a` over mean of `b` for the same items in the same order (seconds, say), with a paired bootstrap interval.

    >>> ratio_of_means([2, 4], [1, 2]).value
    2.0
    """
    first, second = _checked(a), _checked(b)
    _check_paired(first, second)
    if (second <= 0).any():
        raise ValueError("A ratio needs numbers above 0 below the line; some are 0 or less. Leave those items out.")
    return _compared(lambda x, y, axis: x.mean(axis) / y.mean(axis), first, second, paired=True, seed=seed)


def ratio_of_rates(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean of `a` over mean of `b` for the same items, where single scores may be 0; a paired bootstrap interval. Not for rates near 0.

    >>> ratio_of_rates([1, 0, 1, 0], [1, 1, 1, 1]).value
    0.5
    """
    first, second = _checked(a), _checked(b)
    _check_paired(first, second)
    if not second.mean() > 0:
        raise ValueError("A ratio needs a rate above 0 below the line, got 0.")
    return _compared(lambda x, y, axis: x.mean(axis) / y.mean(axis).clip(1e-9), first, second, paired=True, seed=seed)


def rank_correlation(levels: Sequence[float], scores: ArrayLike, *, seed: int = 0) -> Estimate:
    """Spearman's rank correlation of `levels` with the mean score at each, from scores [n_items, n_levels]; items are resampled.

    -1: every step up lowers the mean. With few levels it takes few values, and so does its interval.

    >>> print(rank_correlation([0, 1, 2], [[1, 1, 0], [1, 0, 0]]))
    -1.00 [-1.00, -0.87], n = 2
    """
    table = _checked_table(scores, levels)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(table), size=(N_RESAMPLES, len(table)))
    found = [_spearman(levels, means) for means in table[drawn].mean(axis=1)]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(_spearman(levels, table.mean(axis=0)), float(low), float(high), len(table))


def _spearman(levels: Sequence[float], means: np.ndarray) -> float:
    """The rank correlation; 0 if all means are the same."""
    return 0.0 if np.ptp(means) == 0 else float(stats.spearmanr(levels, means).statistic)


def first_to_reach(
    levels: Sequence[float], scores: ArrayLike, reference: Sequence[float], *, seed: int = 0
) -> Estimate:
    """The lowest of the rising `levels` at which the mean of scores [n_items, n_levels] reaches that of `reference` [n_items].

    Items are resampled, with their reference. Where no level reaches it, one more than the highest stands for "more than
    that".

    >>> print(first_to_reach([1, 3, 10], [[0, 0, 1], [0, 1, 1]], [1, 1]))
    10.00 [3.00, 10.00], n = 2
    """
    table, wanted = _checked_table(scores, levels), _checked(reference)
    _check_paired(table, wanted)
    steps = np.array([*levels, levels[-1] + 1], dtype=float)
    rng = np.random.default_rng(seed)
    drawn = np.vstack([np.arange(len(table)), rng.integers(len(table), size=(N_RESAMPLES, len(table)))])
    reached = table[drawn].mean(axis=1) >= wanted[drawn].mean(axis=1)[:, None] - 1e-12
    found = steps[np.where(reached.any(axis=1), reached.argmax(axis=1), len(levels))]
    low, high = np.quantile(found[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(found[0]), float(low), float(high), len(table))


def _checked_table(scores: ArrayLike, levels: Sequence[float]) -> np.ndarray:
    """Scores as an array [n_items, n_levels]."""
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(levels) or len(levels) < 3 or not np.isfinite(table).all():
        raise ValueError(
            f"Expected finite scores [n_items, {len(levels)}] of at least 3 levels, got shape {table.shape}."
        )
    return table


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


def _check_paired(first: np.ndarray, second: np.ndarray) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"A paired comparison needs the same items: got {len(first)} and {len(second)} scores. "
            "Keep only the items that both conditions answered."
        )


def _bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    if len(values) == 1 or np.ptp(values) == 0:
        return float(values.min()), float(values.max())
    return _interval((values,), np.mean, paired=False, method="BCa", seed=seed)


def _compared(statistic: Callable, a: np.ndarray, b: np.ndarray, *, paired: bool, seed: int) -> Estimate:
    value, n = float(statistic(a, b, axis=-1)), min(len(a), len(b))
    if n == 1 or np.ptp(a) == np.ptp(b) == 0:
        return Estimate(value, value, value, n)
    return Estimate(value, *_interval((a, b), statistic, paired=paired, method="percentile", seed=seed), n)


def _interval(
    samples: tuple[np.ndarray, ...], statistic: Callable, *, paired: bool, method: str, seed: int
) -> tuple[float, float]:
    """scipy's bootstrap interval: bias-corrected and accelerated (BCa) for means; percentiles for two samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            samples,
            statistic,
            n_resamples=N_RESAMPLES,
            batch=500,
            paired=paired,
            method=method,
            vectorized=True,
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(seed),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
