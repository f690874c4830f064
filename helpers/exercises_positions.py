"""Can you tell what a place in the prompt is worth, and what it costs to try them all? The exercises of `06_lost_in_the_middle`.

Leaves out: anything that needs a model; accuracies, token counts and rankings are made up here.
"""

from collections.abc import Sequence

from helpers.exercise import Exercise, as_list, as_number, cannot_be_called, nothing_in, short


def ends_above_the_middle() -> float:
    """The mean of the two ends minus the mean of the places between them."""
    return (0.62 + 0.50) / 2 - (0.46 + 0.40 + 0.43) / 3


_TYPICAL_GAPS = (  # a gap, what to say to those who give it
    (0.56 - 0.40, "that takes the worst place for the middle; take the mean of all three between the ends"),
    (0.62 - 0.43, "that is the first place alone; the claim is about both ends: take the mean of first and last"),
    (0.50 - 0.43, "that is the last place alone; the claim is about both ends: take the mean of first and last"),
    (0.62 - 0.50, "that is the first minus the last: how far are both from the places between them?"),
    (0.56 - 0.482, "the middle leaves the ends out: take the mean of the three places between them"),
    (0.56, "that is the mean of the ends; now subtract the mean of the places between them"),
)


def _wrong_ends_above_the_middle(attempt: object) -> str:
    gap = as_number(attempt)
    if gap is None:
        return f"expected a number, got {short(attempt)}"
    right = ends_above_the_middle()
    if abs(gap - right) < 0.001:
        return ""
    if abs(gap + right) < 0.001:
        return "the right size, but ends minus middle: it is above 0 where the ends are better"
    if abs(gap) > 1:
        return "it lies between -1 and 1: write shares, not per cents"
    said = (text for typical, text in _TYPICAL_GAPS if abs(gap - typical) < 0.001)
    return next(said, "what is the mean of 0.62 and 0.50, and what is the mean of the other three?")


def reading_saved_by_reuse() -> float:
    """Tokens read plainly over tokens read with reuse, for one block."""
    n, t, p, q = 20, 45, 5, 25
    plain = n * p * (n * t + q)  # every prompt from its first token
    reused = n * (n * t) + n * p * q  # every context once, and every question
    return plain / reused


def _wrong_reading_saved_by_reuse(attempt: object) -> str:
    ratio = as_number(attempt)
    if ratio is None:
        return f"expected a number, got {short(attempt)}"
    right = reading_saved_by_reuse()
    if abs(ratio - right) <= 0.02:
        return ""
    if abs(ratio - 1 / right) < 0.02:
        return "that is reuse over plain; divide the larger by the smaller"
    if abs(ratio - 5) < 0.02:
        return "that would be it if asking five times were free: a question's own 25 tokens are read at every position"
    if abs(ratio - 92_500 / 3_400) < 0.05:
        return "that is one context for the whole block; each of the 20 has another order, and has to be read"
    if ratio in (92_500, 20_500, 72_000):
        return "you have the tokens; how many times as many does plain reading read?"
    return "plain: 100 prompts of 900 + 25 tokens. With reuse: 20 contexts of 900 tokens, and 100 questions of 25"


def ends_first(ranked: Sequence) -> Sequence:
    """1st, 3rd, 5th … from the front; 2nd, 4th, 6th … from the back; the worst meet in the middle."""
    return ranked[::2] + ranked[1::2][::-1]


_TYPICAL_ORDERS = {  # of a b c d e
    "abcde": "that is the order it came in: the second best has to stand last",
    "edcba": "that puts the best last and the second best next to it; they belong at the two ends",
    "bdeca": "that is its mirror image: the best has to stand first, the second best last",
    "acebd": "the front half is right; the other half runs the wrong way: the second best has to stand last",
    "acdeb": "both ends are right; the fourth best belongs next to the second best, at the back",
}


def _wrong_ends_first(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "ranked"):
        return problem
    for ranked in ("abcde", "abcdef", "a", ""):
        found = attempt(list(ranked))
        if problem := nothing_in(found, "the list of passages"):
            return problem
        order, expected = as_list(found), list(ends_first(ranked))
        if order is None:
            return f"expected a list of passages, got {short(found)}"
        order = [str(passage) for passage in order]
        if order != expected:
            lost = "" if sorted(order) == list(ranked) else ": each passage has to stand there once"
            said = _TYPICAL_ORDERS.get("".join(order)) if ranked == "abcde" else None
            return said or f"ranked {list(ranked)} should give {expected}, got {short(order)}{lost}"
    return ""


POSITIONS = {
    "06.1": Exercise(
        "Recall and compute: of 10 passages, the right one stood at position 0, 2, 4, 7 or 9, and accuracy was 0.62, 0.46, 0.40, 0.43 and "
        "0.50. The claim is judged by both ends minus the middle. How much is that here?",
        (
            "The ends count half each; the middle is all that lies between them.",
            "(first + last) / 2 - mean of the three others.",
        ),
        ends_above_the_middle,
        _wrong_ends_above_the_middle,
        "A U, but between the lines that were drawn before: 0.15 for support and 0.05 against. First minus last would have judged another "
        "claim, and the worst place was picked after seeing the numbers.",
    ),
    "06.2": Exercise(
        "Predict, then compute: a block has n = 20 questions, and one passage of t = 45 tokens for each. Its 20 contexts hold all 20 passages, "
        "each turned on by one place. Every question, q = 25 tokens long, is asked with its passage at p = 5 positions, after the context. "
        "Read plainly, every prompt is read from its first token; with reuse, each context is read once, and only questions are "
        "added. How many times as many tokens does plain reading read? Two decimals will do.",
        (
            "How many prompts are there, and how long is each? How many different contexts?",
            "Plain: n * p prompts of n * t + q tokens.",
            "With reuse: n contexts of n * t tokens, and n * p questions of q tokens.",
        ),
        reading_saved_by_reuse,
        _wrong_reading_saved_by_reuse,
        "Five prompts share a context, so it can't be more than 5; asked at all 20 positions the ratio is 13.2. With the question first, "
        "prompts share next to nothing.",
    ),
    "06.3": Exercise(
        "Extend: write `ends_first(ranked)`: from a list of passages, best first, a list with the best first, the second best last, the "
        "third best second, the fourth best last but one, and so on, so that the worst stand in the middle.",
        (
            "Which of them go to the front, counted from 0? In which order do the others follow?",
            "`ranked[::2]` takes every second one, from the first; `ranked[1::2]` the others.",
            "`[::-1]` turns a list round.",
        ),
        ends_first,
        _wrong_ends_first,
        "Try it on a retriever's ranking in place of best first. It can only help where the position matters, and where the ranking is right.",
    ),
}
