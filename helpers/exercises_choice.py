"""Which arm do the numbers call for, and where does the choice flip?

The exercises of `08_which_one_when`. Leaves out: anything that needs a model; the costs are made up here.
"""

from collections.abc import Sequence

from helpers.exercise import Exercise, as_list, as_name, as_number, cannot_be_called, nothing_in, short


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
