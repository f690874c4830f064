"""Can you tell a real difference between two arms from a mistake or from luck?

The exercises of `07_rag_vs_fine_tuning`. Leaves out: anything that needs a model; the marks are made up here.
"""

from collections.abc import Sequence

import numpy as np

from helpers.exercise import Exercise, as_list, as_number, cannot_be_called, nothing_in, short
from helpers.statistics import difference, paired_difference

MARKS = {  # 0 to 10, for the replies of two arms to the same 32 questions, in the same order; invented
    "RAG": (7, 5, 8, 4, 3, 10, 8, 4, 8, 8, 2, 7, 6, 7, 3, 4, 10, 6, 6, 2, 9, 8, 6, 9, 2, 9, 5, 10, 4, 7, 9, 2),
    "fine-tuned": (6, 3, 8, 5, 2, 7, 9, 4, 6, 10, 1, 7, 5, 8, 3, 6, 9, 4, 7, 2, 8, 5, 6, 9, 3, 7, 4, 10, 6, 5, 8, 3),
}
SWAPPED = """\
1  marks = pd.DataFrame(MARKS)  # a row per question, a column per arm
2  means = marks.mean()
3  errors = marks.sem()
4  means = means.sort_values()
5  errors = errors[means.index]
6  arms = list(marks.columns)
7  fig, ax = plt.subplots()
8  ax.bar(arms, means, yerr=errors)
9  ax.set_ylabel("mean mark, 0 to 10")"""


def line_that_swaps() -> int:
    """The names are taken in the table's order, but since line 4 the means stand in another."""
    return 6


_LINES = {  # what to say to those who stop there
    4: "sorting alone does no harm: each mean keeps its name in `means.index`. Which line takes names from elsewhere?",
    5: "that one is right, and shows how: it looks each error up by the name of its mean. Which line doesn't?",
    8: "it draws what it is given, and the names it is given are wrong already. Which line made them?",
}


def _wrong_line_that_swaps(attempt: object) -> str:
    line = as_number(attempt)
    if line is None:
        return f"expected the number of a line, got {short(attempt)}"
    if line == line_that_swaps():
        return ""
    if line not in range(1, 10):
        return f"the lines are 1 to 9, got {short(attempt)}"
    return _LINES.get(int(line), "numbers and names still belong together there; follow RAG's mean from line to line")


def interval_of_the_gap() -> tuple[float, float]:
    """Each question's two marks stay together: what is resampled is their difference."""
    gap = paired_difference(MARKS["RAG"], MARKS["fine-tuned"])
    return gap.low, gap.high


def _wrong_interval_of_the_gap(attempt: object) -> str:
    ends = [as_number(end) for end in as_list(attempt) or []]
    if len(ends) != 2 or None in ends:
        return f"expected two numbers, (low, high), got {short(attempt)}"
    low, high = interval_of_the_gap()
    if _near(ends, low, high):
        return ""
    if ends[0] > ends[1]:
        return "the low end comes first"
    return _typical_interval(ends, np.subtract(*MARKS.values())) or (
        "take the difference of each question's two marks, RAG minus fine-tuned; where could the mean of 32 such differences lie?"
    )


def _typical_interval(ends: list[float], gaps: np.ndarray) -> str:
    """What was computed in place of the paired interval; an empty text if it is none of the usual."""
    low, high = interval_of_the_gap()
    apart = difference(*MARKS.values())
    spread, error = gaps.std(ddof=1), gaps.std(ddof=1) / len(gaps) ** 0.5
    if _near(ends, -high, -low):
        return "that is fine-tuned minus RAG; turn it round"
    if abs(ends[0] - apart.low) < 0.15 and abs(ends[1] - apart.high) < 0.15:
        return "that is for two different sets of questions; here both arms answered the same 32, so compare them pair by pair"
    if _near(ends, gaps.mean() - error, gaps.mean() + error):
        return "that is one standard error either way, which holds about 68 %; 95 % takes about two"
    if ends[1] - ends[0] > 4 or _near(ends, gaps.mean() - spread, gaps.mean() + spread):
        return "single differences spread as far as that; where does their mean lie?"
    return ""


def _near(ends: list[float], low: float, high: float) -> bool:
    return abs(ends[0] - low) < 0.05 and abs(ends[1] - high) < 0.05


def holm(p_values: Sequence[float]) -> list[bool]:
    """The smallest against 0.05 over the number of tests that are left; the first one above it ends the series."""
    significant = [False] * len(p_values)
    for n_done, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] > 0.05 / (len(p_values) - n_done):
            break
        significant[i] = True
    return significant


_FAMILIES = (  # p values, by hand, what to say to typical other answers
    (
        [0.04, 0.01, 0.03],
        [False, True, False],  # 0.01 <= 0.05 / 3, but 0.03 > 0.05 / 2: stop
        {
            (True, True, True): "0.03 is the second smallest of three: it has to be at most 0.05 / 2",
            (True, True, False): "0.03 failed, so the series ends there: 0.04, which is larger, fails too",
            (True, False, False): "give the answers in the order of the p values, not in sorted order",
            (False, False, False): "0.01 is at most 0.05 / 3",
        },
    ),
    (
        [0.03, 0.01],
        [True, True],  # 0.01 <= 0.05 / 2, 0.03 <= 0.05 / 1
        {(False, True): "that is Bonferroni's: 0.01 has passed, so one test is left, and 0.03 is at most 0.05 / 1"},
    ),
    (
        [0.02, 0.02, 0.02],
        [False, False, False],  # 0.02 > 0.05 / 3: stop
        {(True, True, True): "start with the smallest: 0.02 is above 0.05 / 3, so the series ends before it began"},
    ),
    ([0.3, 0.012, 0.001, 0.02], [False, True, True, True], {}),  # against 0.05 / 4, / 3, / 2, / 1
)


def _wrong_holm(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "p_values"):
        return problem
    for p_values, expected, typical in _FAMILIES:
        found = attempt(list(p_values))
        if problem := nothing_in(found, "the list of True and False"):
            return problem
        said = as_list(found)
        if said is None or not all(isinstance(one, bool | np.bool_) for one in said):
            return f"expected a list of True and False, one a p value, got {short(found)}"
        said = [bool(one) for one in said]
        if said != expected:
            why = f": {typical[tuple(said)]}" if tuple(said) in typical else ""
            return f"{p_values} should give {expected}, got {short(said)}{why}"
    return ""


COMPARISON = {
    "07.1": Exercise(
        "Find the bug: the figure of this code shows fine-tuned ahead of RAG. It runs without a warning, but in the table, `MARKS` in "
        f"`helpers.exercises_comparison`, RAG has the higher mean.\n\n```text\n{SWAPPED}\n```\n\nWhich line is wrong? Give its number.",
        (
            "Follow one number, RAG's mean, from line to line: which name stands beside it?",
            "From line 4 on, the means stand in another order than the columns. Which lines know that?",
        ),
        line_that_swaps,
        _wrong_line_that_swaps,
        "`list(means.index)` keeps names and numbers together. A public comparison of RAG and fine-tuning has its arms labelled the wrong way "
        "round in its plots. Had the lower mean stood first in the table, this code would have been right by luck: so take one bar and compute "
        "it again from the rows.",
    ),
    "07.2": Exercise(
        "Predict, then compute: `MARKS` in `helpers.exercises_comparison` holds invented marks for the replies of two arms to the same 32 questions; "
        "the means are 6.19 for RAG and 5.81 for fine-tuned. Give the 95 % interval (low, high) of the difference, RAG minus fine-tuned, to "
        "within 0.05. And, for yourself: is RAG better?",
        (
            "The same questions, so the marks come in pairs: a hard question is hard for both.",
            "`paired_difference` in `helpers.statistics` returns an estimate with `low` and `high`.",
            '`paired_difference(MARKS["RAG"], MARKS["fine-tuned"])`.',
        ),
        interval_of_the_gap,
        _wrong_interval_of_the_gap,
        "It covers 0: 32 questions can't tell which arm is better, nor that they are equally good. The public comparison had 32 pairs too, and "
        "its intervals cover 0 on all three of its metrics. With the pairs torn apart this one would be more than twice as wide.",
    ),
    "07.3": Exercise(
        "Extend: who tests often finds something by luck. Write `holm(p_values)`, Holm's correction: for each p value, in the order given, "
        "True if it is significant at 0.05, else False. The smallest of m has to be at most 0.05 / m, the next 0.05 / (m - 1), and so on; "
        "the first one that isn't ends the series, and all larger ones fail too.",
        (
            "Sort the places, not the values: `sorted(range(len(p_values)), key=lambda i: p_values[i])`.",
            "Begin with a list of False and set True at those places, until one fails.",
            "`break` ends the loop.",
        ),
        holm,
        _wrong_holm,
        "The chance of even one false find among all tests stays at most 5 %, as with Bonferroni's, and Holm's never finds less.",
    ),
}
