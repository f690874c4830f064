"""Confidence is compared with accuracy bin by bin, as the trusted library does it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from helpers.calibration import calibration_error, calibration_floor, reliability

QUICKLY = settings(max_examples=60, deadline=None)
confidences = st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=60)


def two_labels(answers: list[tuple[float, bool]]) -> tuple[np.ndarray, list[int]]:
    """Probabilities that choose the first of two labels, and the right column."""
    confidence = np.array([c for c, _ in answers])
    return np.stack([confidence, 1 - confidence], axis=1), [0 if right else 1 for _, right in answers]


def answers_of(n: int, overconfident: float, seed: int) -> tuple[np.ndarray, list[int]]:
    """Answers that are right as often as they say, less `overconfident`."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.7, 1, n)
    return two_labels(list(zip(confidence, rng.random(n) < confidence - overconfident, strict=True)))


def test_bins_by_hand():
    probabilities = [[0.95, 0.05], [0.15, 0.85], [0.6, 0.4], [0.3, 0.7]]
    rows = reliability(probabilities, [0, 0, 1, 1], n_bins=5)
    expected = [(0.4, 0.6, 0.6, 0.0, 1), (0.6, 0.8, 0.7, 1.0, 1), (0.8, 1.0, 0.9, 0.5, 2)]
    pd.testing.assert_frame_equal(rows, pd.DataFrame(expected, columns=rows.columns))
    found = calibration_error(probabilities, [0, 0, 1, 1], n_bins=5)
    assert found.value == pytest.approx((0.6 * 1 + 0.3 * 1 + 0.4 * 2) / 4) and found.n == 4


@QUICKLY
@given(confidences, st.integers(1, 15))
def test_bins_are_those_of_scikit_learn(answers, n_bins):
    probabilities, gold = two_labels(answers)
    rows = reliability(probabilities, gold, n_bins=n_bins)
    right = [probabilities[i].argmax() == label for i, label in enumerate(gold)]
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=n_bins)
    np.testing.assert_allclose(rows["accuracy"], accuracy)
    np.testing.assert_allclose(rows["confidence"], confidence)
    assert rows["n"].sum() == len(answers)
    assert (rows["low"] <= rows["confidence"] + 1e-12).all() and (rows["confidence"] <= rows["high"] + 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(confidences)
def test_the_error_is_the_weighted_gap_of_the_bins(answers):
    rows, found = reliability(*two_labels(answers)), calibration_error(*two_labels(answers))
    gap = ((rows["accuracy"] - rows["confidence"]).abs() * rows["n"]).sum() / rows["n"].sum()
    assert found.value == pytest.approx(gap)
    assert -1e-12 <= found.low <= found.high <= 1


def test_of_several_labels_the_largest_counts_and_the_first_of_equals():
    (row,) = reliability([[0.2, 0.4, 0.4]], [1]).itertuples()
    assert (row.confidence, row.accuracy) == (0.4, 1.0)


def test_intervals_cover_the_true_error_about_nineteen_times_in_twenty():
    found = [calibration_error(*answers_of(200, 0.15, seed), seed=seed) for seed in range(40)]
    assert sum(e.low <= 0.15 <= e.high for e in found) >= 34
    assert all(e.high < 0.4 for e in found), "and say something"


def test_the_same_seed_gives_the_same_interval():
    answers = answers_of(50, 0.1, 0)
    assert calibration_error(*answers, seed=3) == calibration_error(*answers, seed=3)
    assert calibration_error(*answers, seed=3) != calibration_error(*answers, seed=4)


def test_the_floor_is_what_a_perfectly_calibrated_classifier_gets_and_it_sinks_with_more_texts():
    floors = {}
    for n in (60, 600):
        found = [calibration_error(*answers_of(n, 0.0, seed)).value for seed in range(15)]
        floors[n] = calibration_floor(answers_of(n, 0.0, 99)[0])
        assert floors[n] == pytest.approx(np.mean(found), rel=0.3)
    assert floors[600] < floors[60] / 2


@pytest.mark.parametrize(
    ("probabilities", "gold", "message"),
    [
        ([0.5, 0.5], [0], r"Expected probabilities \[n_texts, n_labels\], got shape \(2,\)"),
        (np.empty((0, 2)), [], r"got shape \(0, 2\)"),
        ([[2.0, -1.0]], [0], "Are these logits"),
        ([[0.5, 0.4]], [0], "every row adding up to 1"),
        ([[float("nan"), 1.0]], [0], "Are these logits"),
        ([[0.5, 0.5]], [0, 1], "the right label for each of 1 texts"),
        ([[0.5, 0.5]], ["a"], r"Use labels.index\(label\)"),
        ([[0.5, 0.5]], [2], "Columns go from 0 to 1, got 2 to 2"),
        ([[0.5, 0.5]], [-1], "Columns go from 0 to 1, got -1"),
    ],
)
def test_what_are_no_probabilities_or_columns_is_refused(probabilities, gold, message):
    for measure in (reliability, calibration_error):
        with pytest.raises(ValueError, match=message):
            measure(probabilities, gold)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="at least one bin, got n_bins=0"):
        reliability([[1.0, 0.0]], [0], n_bins=0)
