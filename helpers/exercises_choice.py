"""Can you tell a real difference from a mistake or from luck, and choose by it?

The exercises of `07_rag_vs_fine_tuning` and `08_which_one_when`. Leaves out: anything that needs a model; marks and costs are made up here.
"""

from collections.abc import Sequence

import numpy as np

from helpers.exercise import Exercise, as_list, as_name, as_number, cannot_be_called, nothing_in, short
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


def arms_for_three_cases() -> tuple[str, str, str]:
    """Facts that change are read, a skill that stays is trained, and who needs both does both."""
    return "RAG", "fine-tuned", "both"


_ARMS = ("base", "RAG", "fine-tuned", "both")
_CASES = (  # what to say to other choices
    {
        "base": "0.10 is far below the bar; what does it lack?",
        "fine tuned": "what does a tuned model say on Monday, when prices change?",
        "both": "RAG alone is over the bar; what would you tune, and tune again?",
    },
    {
        "base": "0.55 is below the bar; what do you have that would raise it?",
        "rag": "which text would it look the queue up in?",
        "both": "which text would it look the queue up in?",
    },
    {
        "base": "the instructions alone gave neither",
        "rag": "it names the stock, but the form fails in 6 of 10 replies",
        "fine tuned": "it keeps the form, but where would it know today's stock from?",
    },
)


def _wrong_arms_for_three_cases(attempt: object) -> str:
    arms = [as_name(str(arm)) for arm in as_list(attempt) or []]
    if len(arms) != 3:
        return f"expected three names, one a case, got {short(attempt)}"
    if not set(arms) <= {as_name(arm) for arm in _ARMS}:
        return f"the names are: {', '.join(_ARMS)}"
    wrong = ((i, case[arm]) for i, (arm, case) in enumerate(zip(arms, _CASES, strict=True), 1) if arm in case)
    return next((f"case {i}: {why}" for i, why in wrong), "")


def queries_to_break_even() -> float:
    """What tuning costs more at first, over what it saves with every query."""
    return (1800 - 60) / (1.0 - 0.4)


def _wrong_queries_to_break_even(attempt: object) -> str:
    n = as_number(attempt)
    if n is None:
        return f"expected a number, got {short(attempt)}"
    if abs(n - queries_to_break_even()) <= 1:
        return ""
    if n == 1800 - 60:
        return "that is how many seconds tuning is behind; how many queries does it take to win them back?"
    if abs(n - 1800 / 0.6) < 1:
        return "that forgets what RAG costs before its first query"
    if abs(n - 1860 / 0.6) < 1:
        return "RAG's 60 s count against RAG: tuning is behind by 1800 - 60, not by the sum"
    if abs(n - 1740 / 1.4) < 1:
        return "a tuned query does not save 1.0 + 0.4 s, but the difference"
    if abs(n - 1800 / 0.4) < 1 or abs(n - 1740 / 0.4) < 1:
        return "a tuned query costs 0.4 s; how much does it save against RAG's?"
    return "after n queries tuning has cost 1800 + 0.4 n seconds; what has RAG cost, and when are they equal?"


def flip_point(levels: Sequence[float], gaps: Sequence[float]) -> float | None:
    """The first level at which the straight line from gap to gap meets 0; `None` if it never does."""
    for i in range(1, len(levels)):
        before, after = gaps[i - 1], gaps[i]
        if before * after <= 0 and before != after:
            return levels[i - 1] + (levels[i] - levels[i - 1]) * before / (before - after)
    return None


_SWEEPS = (  # levels, gaps, the flip point by hand, what to say to all who miss it
    ([0, 0.5, 1], [-0.2, 0.1, 0.4], 1 / 3, "-0.2 to 0.1 is two thirds below 0, so go two thirds of the way"),
    ([1, 2, 10], [0.3, 0.2, -0.2], 6, "gaps may fall, and levels may be unevenly spaced"),
    ([0, 1, 2, 3], [0.2, -0.2, 0.1, 0.3], 0.5, "there are two; give the first"),
    ([0, 1, 2], [-0.1, 0, 0.2], 1, "a gap of 0 is where it flips"),
)


def _wrong_flip_point(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "levels", "gaps"):
        return problem
    for k, (levels, gaps, expected, why) in enumerate(_SWEEPS):
        found = attempt(list(levels), list(gaps))
        if k == 0 and (problem := nothing_in(found, "the level")):
            return problem
        level = as_number(found)
        if level is None or abs(level - expected) > 0.001:
            return f"levels={levels}, gaps={gaps} should give {expected:.3g}, got {short(found)}: {why}"
    found = attempt([0, 1], [0.1, 0.3])
    return "" if found is None else f"gaps=[0.1, 0.3] never flip: return None, where yours returns {short(found)}"


CHOICE = {
    "07.1": Exercise(
        "Find the bug: the figure of this code shows fine-tuned ahead of RAG. It runs without a warning, but in the table, `MARKS` in "
        f"`helpers.exercises_choice`, RAG has the higher mean.\n\n```text\n{SWAPPED}\n```\n\nWhich line is wrong? Give its number.",
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
        "Predict, then compute: `MARKS` in `helpers.exercises_choice` holds invented marks for the replies of two arms to the same 32 questions; "
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
    "08.1": Exercise(
        "Recall: base, RAG, fine-tuned or both? Give three names, one a case; a name may serve twice, or not at all. "
        "(1) Customers ask for prices, which change every Monday. Right answers: base 0.10, RAG 0.90; 0.85 is asked for. "
        "(2) Mails go to one of 12 queues of your own, which stay as they are. You have 5,000 sorted mails and nothing to look a queue up in; "
        "base is right 0.55 of the time, and 0.85 is asked for. "
        "(3) Replies must name today's stock and keep a strict form. RAG names it in 0.90 of them and keeps the form in 0.40; a tuned model "
        "keeps the form in 0.95 and names the stock in 0.10; base fails at both. Which three?",
        (
            "What is missing in each: something to know, something to be able to do, or two things?",
            "What changes is read; what stays can be trained.",
        ),
        arms_for_three_cases,
        _wrong_arms_for_three_cases,
        "And base? Whenever it is over the bar: nothing to build, nothing to keep current. So measure it first. Whether both arms add up in "
        "case 3 has to be measured too: tuning can unlearn reading.",
    ),
    "08.2": Exercise(
        "Predict, then compute: tuning takes 1,800 s once, and 0.4 s a query. RAG takes 60 s once, to index, and 1.0 s a query, since it reads "
        "passages. After how many queries have both cost the same?",
        (
            "How far is tuning behind before the first query? How much of that does each query win back?",
            "1800 + 0.4 n = 60 + 1.0 n.",
        ),
        queries_to_break_even,
        _wrong_queries_to_break_even,
        "From then on tuning is cheaper, if nothing changes: who has to tune again after every 1,000 queries never gets there.",
    ),
    "08.3": Exercise(
        "Extend: write `flip_point(levels, gaps)`. `levels` rise (how many facts change a month, say), and `gaps` are RAG's score minus the "
        "tuned model's at each. Return the first level at which the straight line from one gap to the next meets 0, or None if it "
        "never does.",
        (
            "Look at neighbours: between which two does the sign change?",
            "`before * after <= 0` holds where the sign changes, or where one of them is 0.",
            "The share of the way is `before / (before - after)`.",
        ),
        flip_point,
        _wrong_flip_point,
        "A flip point has an interval too: resample the questions and look how far it moves before you build on it.",
    ),
}
