"""What `helpers/statistics.py` promises: intervals that hold what they say, and sample sizes that suffice."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import statistics
from helpers.statistics import (
    Estimate,
    difference,
    mean,
    n_for_half_width,
    n_to_decide,
    paired_difference,
    rate,
    ratio_of_means,
)

QUICKLY = settings(max_examples=40, deadline=None)
BITS = st.lists(st.integers(0, 1), min_size=1, max_size=60)
Z = 1.959963984540054


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson (1927): the p at which the observed rate is exactly z standard errors of p away."""
    centre, reach = k / n + Z**2 / (2 * n), Z * math.sqrt(k / n * (1 - k / n) / n + Z**2 / (4 * n**2))
    return (centre - reach) / (1 + Z**2 / n), (centre + reach) / (1 + Z**2 / n)


def test_an_estimate_reads_as_value_interval_and_n():
    assert str(Estimate(0.5, 0.401, 0.599, 100)) == "0.50 [0.40, 0.60], n = 100"


def test_rate_by_hand():
    estimate = rate([1] * 8 + [0] * 2)  # Wilson's interval for 8 of 10, as printed in textbooks
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@QUICKLY
@given(BITS)
def test_rate_is_wilsons(bits):
    estimate = rate(bits)
    low, high = wilson(sum(bits), len(bits))
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high > estimate.low  # even if all are right: few items prove little


def test_a_rate_takes_bools_and_arrays():
    assert rate([True, False]) == rate(np.array([1.0, 0.0])) == rate([1, 0])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=30), st.integers(0, 3))
def test_a_mean_is_the_mean_within_its_interval_and_the_same_for_the_same_seed(scores, seed):
    estimate = mean(scores, seed=seed)
    assert estimate.value == pytest.approx(np.mean(scores))
    assert min(scores) - 1e-9 <= estimate.low <= estimate.high <= max(scores) + 1e-9
    assert estimate == mean(scores, seed=seed)


def test_equal_scores_have_an_interval_without_width():
    assert mean([0.5, 0.5, 0.5]) == Estimate(0.5, 0.5, 0.5, 3)
    assert mean([0.25]) == Estimate(0.25, 0.25, 0.25, 1)


def test_the_bootstrap_agrees_with_a_plain_one():
    scores = np.random.default_rng(1).beta(2, 5, size=80)
    draws = np.random.default_rng(2).choice(scores, size=(4000, 80)).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    estimate = mean(scores)
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says(monkeypatch):
    """200 experiments with 60 paired items; 0.95 of 200 has a standard error of 0.015."""
    monkeypatch.setattr(statistics, "N_RESAMPLES", 999)
    rng, truth, covered = np.random.default_rng(0), 0.3 * (1 - 2 * 0.2), 0
    for trial in range(200):
        hard = rng.random(60)
        a, b = (hard < 0.7).astype(float), (hard < 0.4).astype(float)
        swapped = rng.random(60) < 0.2
        estimate = paired_difference(np.where(swapped, b, a), np.where(swapped, a, b), seed=trial)
        covered += estimate.low <= truth <= estimate.high
    assert 0.89 <= covered / 200 <= 0.99


def test_a_paired_difference_by_hand():
    estimate = paired_difference([1, 1, 0, 1], [0, 1, 0, 0])
    assert (estimate.value, estimate.n) == (0.5, 4)
    assert estimate.low >= 0


def test_pairing_uses_that_both_conditions_answered_the_same_items():
    a = np.random.default_rng(0).random(50)
    paired = paired_difference(a + 0.1, a)
    shuffled = paired_difference(a + 0.1, np.random.default_rng(1).permutation(a))
    assert paired.value == pytest.approx(shuffled.value)
    assert paired.high - paired.low < 0.01 < shuffled.high - shuffled.low


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_a_difference_the_other_way_round_has_the_other_sign(pairs):
    a, b = zip(*pairs, strict=True)
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == (
        pytest.approx(-back.high, abs=0.07),
        pytest.approx(-back.low, abs=0.07),
    )


def test_a_difference_of_two_groups_by_hand_and_its_interval_is_that_of_the_normal():
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, 400), rng.normal(1, 2, 300)
    estimate = difference(a, b)
    assert estimate.value == pytest.approx(a.mean() - b.mean()) and estimate.n == 300
    reach = 1.96 * np.sqrt(a.var() / 400 + b.var() / 300)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(reach, rel=0.05)
    assert difference([1, 1], [0, 0, 0]) == Estimate(1.0, 1.0, 1.0, 2)


def test_a_ratio_of_means_is_paired_and_knows_no_units():
    rng = np.random.default_rng(0)
    b = rng.uniform(1, 9, 200)
    a = 3 * b * rng.uniform(0.9, 1.1, 200)
    ratio = ratio_of_means(a, b)
    assert ratio.value == pytest.approx(a.sum() / b.sum()) and ratio.n == 200
    assert 2.9 < ratio.low < ratio.value < ratio.high < 3.1
    assert ratio_of_means(a * 1000, b * 1000).value == pytest.approx(ratio.value)
    assert ratio_of_means([2, 4, 6], [1, 2, 3]) == Estimate(2.0, 2.0, 2.0, 3)


def test_a_ratio_to_nothing_is_refused():
    with pytest.raises(ValueError, match="A ratio needs numbers above 0 below the line"):
        ratio_of_means([1, 2], [0, 2])
    with pytest.raises(ValueError, match="needs the same items: got 2 and 1 scores"):
        ratio_of_means([1, 2], [1])


@QUICKLY
@given(st.floats(0.005, 0.5), st.floats(0.0, 1.0))
def test_n_for_half_width_is_the_least_n_that_suffices(half_width, p):
    n = n_for_half_width(half_width, p=p)

    def reach(items: int) -> float:
        return Z * math.sqrt(p * (1 - p) / items)

    assert n >= 1
    assert reach(n) <= half_width * (1 + 1e-9)
    assert n == 1 or reach(n - 1) > half_width * (1 - 1e-9)


@QUICKLY
@given(st.floats(0.02, 0.3))
def test_n_for_half_width_and_wilson_agree(half_width):
    n = n_for_half_width(half_width)
    bits = [1] * (n // 2) + [0] * (n - n // 2)
    assert (rate(bits).high - rate(bits).low) / 2 <= half_width * 1.01


def test_n_to_decide_by_hand():
    estimate = Estimate(0.5, 0.4, 0.6, 100)
    assert n_to_decide(estimate, 0.55) == 401  # half the width takes four times the items, and one more
    assert n_to_decide(estimate, 0.45) == 401
    assert n_to_decide(estimate, 0.56) == 278  # 277.8 would do
    assert n_to_decide(estimate, 0.9) == 100  # decided already
    assert n_to_decide(estimate, 0.6) == 101  # the end touches the threshold
    assert n_to_decide(estimate, 0.5) is None
    assert n_to_decide(Estimate(0.1 + 0.2, 0.2, 0.4, 10), 0.3) is None  # the same but for rounding


@QUICKLY
@given(st.floats(0.0, 1.0), st.floats(0.01, 0.3), st.floats(0.0, 1.0), st.integers(1, 500))
def test_at_n_to_decide_the_interval_leaves_the_threshold(value, reach, threshold, n):
    needed = n_to_decide(Estimate(value, value - reach, value + reach, n), threshold)
    gap = abs(value - threshold)
    if needed is None:
        assert gap < 1e-6
    else:
        assert needed >= n
        assert reach * math.sqrt(n / needed) <= gap * (1 + 1e-4)


@pytest.mark.parametrize("measure", [rate, mean])
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], r"Expected a flat, non-empty sequence of scores, got shape \(0,\)"),
        ([[1, 0], [0, 1]], r"Expected a flat, non-empty sequence of scores, got shape \(2, 2\)"),
        (1.0, r"Expected a flat, non-empty sequence of scores, got shape \(\)"),
        ([1, None, float("inf")], "2 of 3 scores are missing or infinite. Check the rows"),
        (
            ["right", "wrong"],
            r"Expected a flat sequence of numbers, got \['right', 'wrong'\]. Score the answers",
        ),
        ([[1], [1, 2]], "Expected a flat sequence of numbers"),
    ],
)
def test_scores_that_are_none_are_refused(measure, scores, message):
    with pytest.raises(ValueError, match=message):
        measure(scores)


def test_a_rate_of_other_scores_is_refused():
    with pytest.raises(ValueError, match="zeros and ones, got 0.5. For other scores use `mean`"):
        rate([1, 0.5])


def test_a_difference_of_other_items_is_refused():
    with pytest.raises(ValueError, match="the same items: got 2 and 1 scores. Keep only the items that both"):
        paired_difference([1, 0], [1])


@pytest.mark.parametrize(("half_width", "p"), [(0, 0.5), (1, 0.5), (5, 0.5), (-0.1, 0.5), (0.1, 1.5), (math.nan, 0.5)])
def test_impossible_sample_sizes_are_refused(half_width, p):
    with pytest.raises(ValueError, match="Expected 0 < half_width < 1 and 0 <= p <= 1, got .*fractions"):
        n_for_half_width(half_width, p=p)


def test_the_first_level_that_reaches_the_reference_and_one_more_than_the_last_if_none_does():
    rng = np.random.default_rng(0)
    scores = np.stack([rng.random(200) < p for p in (0.1, 0.5, 0.9)], axis=1)
    reached = statistics.first_to_reach([1, 3, 10], scores, rng.random(200) < 0.3)
    assert (reached.value, reached.low, reached.high, reached.n) == (3, 3, 3, 200)
    assert statistics.first_to_reach([1, 3, 10], scores * 0, np.ones(200)).low == 11


def test_a_level_near_the_reference_is_uncertain():
    rng = np.random.default_rng(0)
    scores = np.stack([rng.random(100) < p for p in (0.1, 0.5, 0.9)], axis=1)
    reached = statistics.first_to_reach([1, 3, 10], scores, rng.random(100) < 0.5)
    assert reached.low == 3 and reached.high == 10


def test_a_reference_of_other_items_is_refused():
    with pytest.raises(ValueError, match="same items"):
        statistics.first_to_reach([1, 3, 10], np.zeros((4, 3)), [1, 0])
