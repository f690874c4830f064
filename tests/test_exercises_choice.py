"""What the exercises on positions, comparing and choosing promise beyond what `test_exercises` asks of all."""

import re
from fractions import Fraction
from html import unescape
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import lesson
from helpers.costs import Cost, break_even_queries
from helpers.exercises import EXERCISES
from helpers.exercises_choice import flip_point, queries_to_break_even
from helpers.exercises_comparison import MARKS, SWAPPED, holm, interval_of_the_gap, line_that_swaps
from helpers.exercises_positions import ends_above_the_middle, ends_first, reading_saved_by_reuse
from helpers.remedies import best_at_both_ends
from helpers.statistics import difference, paired_difference
from helpers.verdicts import load_claims

RAG, TUNED = MARKS.values()
GAPS = np.subtract(RAG, TUNED)


def said(name: str, attempt: object) -> str:
    """What a learner reads."""
    return unescape(re.sub("<[^>]*>", "", lesson.check(name, attempt).data))


def around_the_mean(half_width: float) -> tuple[float, float]:
    return GAPS.mean() - half_width, GAPS.mean() + half_width


def never_stopping(p_values):
    ranks = np.argsort(np.argsort(p_values))
    return [bool(p <= 0.05 / (len(p_values) - rank)) for p, rank in zip(p_values, ranks, strict=True)]


def last_flip(levels, gaps):
    return -flip_point([-level for level in levels[::-1]], gaps[::-1])


def by_sign_change_alone(levels, gaps):
    for a, b, before, after in zip(levels, levels[1:], gaps, gaps[1:], strict=False):
        if before * after < 0:
            return a + (b - a) * before / (before - after)
    return None


def by_interpolation(levels, gaps):
    order = np.argsort(gaps)
    return np.interp(0, np.array(gaps)[order], np.array(levels)[order])


WRONG = [
    ("06.1", "0.13", "expected a number, got '0.13'"),
    ("06.1", -0.13, "it is above 0 where the ends are better"),
    ("06.1", 13, "write shares, not per cents"),
    ("06.1", 0.16, "that takes the worst place for the middle"),
    ("06.1", 0.19, "that is the first place alone"),
    ("06.1", 0.07, "that is the last place alone"),
    ("06.1", 0.12, "that is the first minus the last"),
    ("06.1", 0.56 - 0.482, "the middle leaves the ends out"),
    ("06.1", 0.56, "now subtract the mean of the places between them"),
    ("06.1", 0.3, "what is the mean of the other three?"),
    ("06.2", "4.5", "expected a number, got '4.5'"),
    ("06.2", 0.22, "divide the larger by the smaller"),
    ("06.2", 5, "a question's own 25 tokens are read at every position"),
    ("06.2", 27.2, "each of the 20 has another order"),
    ("06.2", 92_500, "how many times as many does plain reading read?"),
    ("06.2", 20_500, "how many times as many does plain reading read?"),
    ("06.2", 4.4, "plain: 100 prompts of 900 + 25 tokens"),
    ("06.3", lambda ranked: ranked, "that is the order it came in"),
    ("06.3", lambda ranked: ranked[::-1], "that puts the best last"),
    ("06.3", lambda ranked: ends_first(ranked)[::-1], "that is its mirror image"),
    ("06.3", lambda ranked: ranked[::2] + ranked[1::2], "the other half runs the wrong way"),
    ("06.3", lambda ranked: [ranked[0], *ranked[2:], ranked[1]], "the fourth best belongs next to the second best"),
    ("06.3", lambda ranked: ranked[::2], "got ['a', 'c', 'e']: each passage has to stand there once"),
    (
        "06.3",
        lambda ranked: ends_first(ranked)[:5],
        "ranked ['a', 'b', 'c', 'd', 'e', 'f'] should give ['a', 'c', 'e', 'f', 'd', 'b'], got ['a', 'c', 'e', 'f', 'd']: each",
    ),
    ("06.3", lambda ranked: iter(ranked), "expected a list of passages, got <list_iterator"),
    ("07.1", "line 6", "expected the number of a line, got 'line 6'"),
    ("07.1", 4, "sorting alone does no harm"),
    ("07.1", 5, "that one is right, and shows how"),
    ("07.1", 8, "it draws what it is given"),
    ("07.1", 2, "numbers and names still belong together there"),
    ("07.1", 10, "the lines are 1 to 9, got 10"),
    ("07.1", 6.5, "the lines are 1 to 9, got 6.5"),
    ("07.2", 0.34, "expected two numbers, (low, high), got 0.34"),
    ("07.2", paired_difference(RAG, TUNED), "expected two numbers, (low, high), got Estimate("),
    ("07.2", interval_of_the_gap()[::-1], "the low end comes first"),
    ("07.2", tuple(-end for end in interval_of_the_gap()[::-1]), "that is fine-tuned minus RAG"),
    ("07.2", (difference(RAG, TUNED).low, difference(RAG, TUNED).high), "compare them pair by pair"),
    ("07.2", tuple(stats.ttest_ind(RAG, TUNED).confidence_interval()), "compare them pair by pair"),
    ("07.2", around_the_mean(stats.sem(GAPS)), "that is one standard error either way"),
    ("07.2", around_the_mean(GAPS.std()), "single differences spread as far as that"),
    ("07.2", tuple(np.quantile(GAPS, [0.025, 0.975])), "single differences spread as far as that"),
    ("07.2", (0.2, 1.4), "where could the mean of 32 such differences lie?"),
    ("07.3", lambda p: [x <= 0.05 for x in p], "0.03 is the second smallest of three"),
    ("07.3", never_stopping, "got [True, True, False]: 0.03 failed, so the series ends there"),
    ("07.3", lambda p: holm(sorted(p)), "not in sorted order"),
    ("07.3", lambda p: [False] * len(p), "0.01 is at most 0.05 / 3"),
    ("07.3", lambda p: [x <= 0.05 / len(p) for x in p], "that is Bonferroni's"),
    (
        "07.3",
        lambda p: [True] * 3 if min(p) == max(p) else holm(p),
        "start with the smallest: 0.02 is above 0.05 / 3",
    ),
    (
        "07.3",
        lambda p: holm(p) if len(p) < 4 else [x < 0.0125 for x in p],
        "[0.3, 0.012, 0.001, 0.02] should give [False, True, True, True], got [False, True, True, False]",
    ),
    ("07.3", lambda p: [0, 1, 0], "expected a list of True and False, one a p value, got [0, 1, 0]"),
    ("07.3", lambda p: True, "expected a list of True and False, one a p value, got True"),
    ("08.1", "RAG", "expected three names, one a case, got 'RAG'"),
    ("08.1", ("RAG", "tuned", "both"), "the names are: base, RAG, fine-tuned, both"),
    ("08.1", ("fine-tuned", "RAG", "both"), "case 1: what does a tuned model say on Monday"),
    ("08.1", ("both", "both", "both"), "case 1: RAG alone is over the bar"),
    ("08.1", ("base", "base", "base"), "case 1: 0.10 is far below the bar"),
    ("08.1", ("RAG", "both", "both"), "case 2: which text would it look the queue up in?"),
    ("08.1", ("RAG", "base", "both"), "case 2: 0.55 is below the bar"),
    ("08.1", ("RAG", "fine-tuned", "RAG"), "case 3: it names the stock, but the form fails"),
    ("08.1", ("RAG", "fine-tuned", "fine-tuned"), "case 3: it keeps the form"),
    ("08.1", ("RAG", "fine-tuned", "base"), "case 3: the instructions alone gave neither"),
    ("08.2", "2,900", "expected a number, got '2,900'"),
    ("08.2", 1740, "how many queries does it take to win them back?"),
    ("08.2", 3000, "that forgets what RAG costs before its first query"),
    ("08.2", 3100, "RAG's 60 s count against RAG"),
    ("08.2", 2000, "what has RAG cost, and when are they equal?"),
    ("08.2", 1740 / 1.4, "but the difference"),
    ("08.2", 4500, "how much does it save against RAG's?"),
    ("08.3", lambda levels, gaps: levels[0], "levels=[0, 0.5, 1], gaps=[-0.2, 0.1, 0.4] should give 0.333, got 0: "),
    ("08.3", lambda levels, gaps: (levels[0] + levels[1]) / 2, "got 0.25: -0.2 to 0.1 is two thirds below 0"),
    (
        "08.3",
        lambda levels, gaps: float(np.interp(0, gaps, levels)),
        "gaps may fall, and levels may be unevenly spaced",
    ),
    ("08.3", last_flip, "there are two; give the first"),
    ("08.3", by_sign_change_alone, "should give 1, got None: a gap of 0 is where it flips"),
    (
        "08.3",
        lambda levels, gaps: flip_point(levels, gaps) or by_interpolation(levels, gaps),
        "gaps=[0.1, 0.3] never flip: return None, where yours returns ",
    ),
    ("08.3", lambda levels, gaps: "0.33", "got '0.33'"),
]
RIGHT = [
    *[("06.1", x) for x in (0.13, np.float32(0.13), Fraction(13, 100), torch.tensor(0.13))],
    *[("06.2", x) for x in (4.51, 4.5, 4.53, np.float32(4.512), Fraction(185, 41))],
    ("06.3", lambda ranked: tuple(ends_first(ranked))),
    ("06.3", lambda ranked: np.array(ends_first(ranked))),
    ("06.3", lambda ranked: [*ranked[::2], *reversed(ranked[1::2])]),
    *[("07.1", line) for line in (6, 6.0, np.int64(6))],
    ("07.2", list(interval_of_the_gap())),
    ("07.2", np.array(interval_of_the_gap())),
    ("07.2", tuple(round(end, 1) for end in interval_of_the_gap())),
    ("07.2", tuple(stats.ttest_rel(RAG, TUNED).confidence_interval())),
    ("07.2", around_the_mean(1.96 * stats.sem(GAPS))),
    ("07.2", around_the_mean(1.96 * GAPS.std() / len(GAPS) ** 0.5)),
    *[("07.3", f) for f in (lambda p: tuple(holm(p)), lambda p: np.array(holm(p)), lambda p: torch.tensor(holm(p)))],
    ("07.3", lambda p: [np.bool_(one) for one in holm(p)]),
    *[("08.1", arms) for arms in (["rag", "Fine-Tuned", " Both "], np.array(["RAG", "fine tuned", "both"]))],
    *[("08.2", n) for n in (2900, 2901, 2900.0, np.int64(2900), (1800 - 60) / (1 - 0.4))],
    ("08.3", lambda levels, gaps: None if (level := flip_point(levels, gaps)) is None else np.float32(level)),
]


@pytest.mark.parametrize(("name", "attempt", "message"), WRONG)
def test_typical_wrong_attempts_are_told_what_is_off(name, attempt, message):
    assert message in EXERCISES[name].wrong_with(attempt)
    assert "right." not in said(name, attempt)


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_right_attempts_pass_however_they_are_written(name, attempt):
    assert EXERCISES[name].wrong_with(attempt) == ""


def test_the_ends_of_the_exercise_lie_between_the_lines_of_the_ledger():
    for part in load_claims()["C17"].parts:
        assert float(part.refuted.split()[1]) < ends_above_the_middle() < part.threshold


def test_the_tokens_of_the_exercise_are_those_of_a_counted_block():
    """Prompt by prompt: a context is read again only if it is another than the one before."""

    def ratio(n, t, positions, q):
        prompts = [(turn, position) for turn in range(n) for position in positions]
        plain = sum(n * t + q for _ in prompts)
        reused = sum(q + (n * t if i == 0 or prompts[i - 1][0] != turn else 0) for i, (turn, _) in enumerate(prompts))
        return plain / reused

    assert ratio(20, 45, (0, 5, 10, 14, 19), 25) == pytest.approx(reading_saved_by_reuse())
    assert ratio(20, 45, range(20), 25) == pytest.approx(13.2, abs=0.05)
    assert "the ratio is 13.2" in EXERCISES["06.2"].afterwards


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12))
def test_ends_first_puts_every_better_passage_nearer_to_an_end(n):
    order = list(ends_first(list(range(n))))
    assert sorted(order) == list(range(n))
    depth = [min(order.index(i), n - 1 - order.index(i)) for i in range(n)]
    assert depth == sorted(depth)
    assert order[:1] == list(range(n))[:1] and order[1:][-1:] == list(range(n))[1:2]
    assert order == best_at_both_ends({"q": range(n)})["q"]


def lines_of(code: str) -> list[str]:
    return [line.split("  ", 1)[1] for line in code.splitlines()]


def drawn(code: list[str]) -> dict[str, float]:
    """The height of the bar over each name, as a learner sees it."""
    names = {"MARKS": MARKS, "pd": pd, "plt": plt}
    exec("\n".join(code), names)
    heights = {arm: bar.get_height() for arm, bar in zip(names["arms"], names["ax"].patches, strict=True)}
    plt.close(names["fig"])
    return heights


def test_the_bug_of_the_exercise_swaps_the_arms_and_its_line_alone_repairs_it():
    code, true = lines_of(SWAPPED), {arm: np.mean(marks) for arm, marks in MARKS.items()}
    shown = drawn(code)
    assert shown["fine-tuned"] > shown["RAG"]
    assert shown == pytest.approx({"RAG": true["fine-tuned"], "fine-tuned": true["RAG"]})
    code[line_that_swaps() - 1] = "arms = list(means.index)"
    assert "`list(means.index)` keeps" in EXERCISES["07.1"].afterwards
    assert drawn(code) == pytest.approx(true)
    assert [line[0] for line in SWAPPED.splitlines()] == list("123456789")


def test_the_marks_of_the_exercise_are_those_it_speaks_of():
    assert len(RAG) == len(TUNED) == 32 and set(RAG + TUNED) <= set(range(11))
    assert f"{np.mean(RAG):.2f} for RAG and {np.mean(TUNED):.2f} for fine-tuned" in EXERCISES["07.2"].task
    low, high = interval_of_the_gap()
    apart = difference(RAG, TUNED)
    assert low < 0 < high
    assert apart.high - apart.low > 2 * (high - low)


@pytest.mark.parametrize("seed", range(3))
def test_another_seed_passes_too(seed):
    estimate = paired_difference(RAG, TUNED, seed=seed)
    assert EXERCISES["07.2"].wrong_with((estimate.low, estimate.high)) == ""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.001, 0.01, 0.0126, 0.0167, 0.02, 0.03, 0.05, 0.06]), max_size=5))
def test_holm_finds_what_closed_testing_with_bonferroni_finds(p_values):
    """Closed testing: a test counts if every family that holds it has a p value of at most 0.05 over its size."""
    n = len(p_values)
    families = [family for size in range(1, n + 1) for family in combinations(range(n), size)]
    passed = {family: min(p_values[i] for i in family) <= 0.05 / len(family) for family in families}
    assert holm(p_values) == [all(passed[f] for f in families if i in f) for i in range(n)]


def test_both_arms_have_cost_the_same_at_break_even_and_tuning_anew_each_1000_never_does():
    n = queries_to_break_even()
    assert 1800 + 0.4 * n == pytest.approx(60 + 1.0 * n)
    assert break_even_queries(Cost(1800, 0.4, 1800), Cost(60, 1.0, 0), updates=0) == pytest.approx(n)
    assert all(1800 * -(-n // 1000) + 0.4 * n > 60 + 1.0 * n for n in range(1, 50_000))


@settings(max_examples=60, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 3), st.booleans())
def test_the_flip_point_of_a_straight_line_is_its_root(root, slope, falls):
    levels = [-6.0, -1.0, 2.5, 6.0]
    gaps = [(-slope if falls else slope) * (level - root) for level in levels]
    assert flip_point(levels, gaps) == pytest.approx(root, abs=1e-9)
    assert flip_point(levels, [abs(gap) + 0.1 for gap in gaps]) is None
