"""Is this answer right, and was the right passage found?

Answers are compared token by token after normalising, never as substrings: "no" does not stand in "I do not know", and
"10 bar" does not stand in "3.10 bar". Other spellings (units, dates, currencies) are the business of a question's aliases, not of
rules here. Ranking metrics follow the standard definitions of information retrieval. Taught in `00_start_here` (answers) and
`02_retrieval` (rankings). Leaves out: a language model as judge, partial credit; what it gets wrong is listed in `tests/scorer_cases.py`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

NUMBER_WORDS = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty",
)
_DIGITS = {word: str(number) for number, word in enumerate(NUMBER_WORDS)}
_ARTICLES = {"a", "an", "the"}
_SPELLINGS = [  # in this order, on text without capitals and accents
    (r"[‘’`´]", "'"),
    (r"[‐-―−]", "-"),
    (r"\b(?:can't|cannot)\b", "can not"),
    (r"\b(do|does|did|is|are|was|were)n'?t\b", r"\1 not"),
    (r"'s\b", ""),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),  # 58,300
    (r"(?<=\d),(?=\d{1,2}(?!\d))", "."),  # 3,5 bar
    (r"(?<!\d)\.(?=\d)", "0."),  # .5 bar
    (r"(?<=\d)\s*-\s*(?=\d)", " upto "),  # a range
    (r"(?<![\w.])-(?=\d)", " minus "),
    (r"%|\bper cent\b", " percent "),
    (r"°", " degree "),
    (r"€\s*(\d[\d.]*)", r"\1 eur "),
    (r"[$£]\s*(\d[\d.]*)", r"\1 money "),
]
_DENIED = {"not", "never", "no", "nor", "minus", "exactly"}
_ALTERNATIVE = {"or", "upto", "between", "either"}
_REFUSAL = re.compile(
    r"\b(?:i|we) (?:\w+ )?(?:do|can|could) not (?:\w+ )?(?:know|answer|say|tell|find|determine|have)\b"
    r"|\b(?:do|does|did) not (?:\w+ )?(?:mention|state|specify|say|provide|contain|include|indicate)\b"
    r"|\bnot (?:\w+ly )?(?:known|mentioned|stated|specified|given|provided|clear|found|(?:in|by) the (?:text|passage))"
    r"|\bno (?:information|mention|answer|idea)\b|\b(?:unable|impossible) to\b|\bcan not be (?:answered|determined|found)\b"
    r"|\bnot (?:sure|certain)\b|^do not know\b|\bunknown\W*$|\bnothing (?:\w+ ){0,2}in the (?:text|passage)"
)


def normalise(text: str) -> str:
    """One spelling for case, accents, apostrophes, dashes, thousands and a few signs.

    >>> normalise("It can’t hold −1,250.5 L (40%)")
    'it can not hold minus 1250.5 l (40 percent )'
    """
    if not isinstance(text, str):
        raise ValueError(f"Expected text to score, got {text!r}. Store an empty text where nothing was said.")
    text = unicodedata.normalize("NFKD", text.replace("\u202f", "").replace("\u2009", ""))
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf")).casefold()
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    return " ".join(text.split())


def tokens(text: str) -> list[str]:
    """Words and numbers in one spelling, without articles, punctuation and plural s; "E-41" and "E41" are the same.

    >>> tokens("The E-41 costs €23.60, or three litres")
    ['e', '41', 'cost', '23.60', 'eur', 'or', '3', 'litre']
    """
    found = re.findall(r"\d+(?:[.:]\d+)*|[^\W\d_]+", normalise(text))
    return [_singular(_DIGITS.get(token, token)) for token in found if token not in _ARTICLES]


def _singular(token: str) -> str:
    """Without a plural s, by rule: close enough, since both sides are treated alike."""
    if len(token) < 4 or not token.endswith("s") or token.endswith(("ss", "us", "is")):
        return token
    return token[:-3] + "y" if token.endswith("ies") else token[:-1]


def find_tokens(text: str, phrase: str) -> int:
    """Where (token index) the tokens of `phrase` first stand in a row in `text`; -1 if nowhere.

    >>> find_tokens("It lasts 410 litres.", "410 litres"), find_tokens("I do not know", "no")
    (2, -1)
    """
    return next(_places(tokens(text), tokens(phrase)), -1)


def _places(haystack: list[str], needle: list[str]) -> Iterator[int]:
    n = len(needle)
    return (i for i in range(len(haystack) - n + 1) if n and haystack[i : i + n] == needle)


def is_correct(prediction: str, answers: Sequence[str]) -> bool:
    """Whether one of the accepted `answers` stands in `prediction` at token boundaries, said plainly.

    An answer that is denied ("not 410 litres") or offered among others ("410 or 560 litres", "410-560 litres") does not
    count. A number may leave out its unit where it ends the reply. Raises `ValueError` if no answer has a token to compare.
    """
    if isinstance(answers, str):
        raise ValueError(f"Expected a list of accepted answers, got one text. Write [{answers!r}].")
    needles = [needle for needle in map(tokens, answers) if needle]
    if not needles:
        raise ValueError(
            f"Expected at least one answer with a letter or digit, got {list(answers)!r}. Unanswerable: use `outcome` with []."
        )
    words = tokens(prediction)
    return any(_said_plainly(words, needle) or _ends_with_number(words, needle) for needle in needles)


def _said_plainly(words: list[str], needle: list[str]) -> bool:
    for start in _places(words, needle):
        before, after = words[max(0, start - 1) : start], words[start + len(needle) :][:1]
        if not _DENIED & set(before) and not _ALTERNATIVE & {*before, *after}:
            return True
    return False


def _ends_with_number(words: list[str], needle: list[str]) -> bool:
    """Whether the reply ends with the answer's number, its only one, without the unit: "The answer is 17." for 17 litres."""
    wanted, said = ([word for word in part if word[0].isdigit()] for part in (needle, words))
    return len(needle) > 1 and wanted == said == needle[:1] == words[-1:]


def is_refusal(prediction: str) -> bool:
    """Whether the prediction says that it does not know (or says nothing at all).

    >>> is_refusal("I don't know."), is_refusal("The text does not mention it."), is_refusal("Press the knob.")
    (True, True, False)
    """
    return not tokens(prediction) or bool(_REFUSAL.search(normalise(prediction)))


def outcome(prediction: str, answers: Sequence[str]) -> str:
    """`"correct"`, `"refused"` or `"wrong"`. No `answers`: it is unanswerable, and refusing is correct."""
    if not answers:
        return "correct" if is_refusal(prediction) else "wrong"
    if is_correct(prediction, answers):
        return "correct"
    return "refused" if is_refusal(prediction) else "wrong"


def hit_at_k(ranked_ids: Sequence[str], gold_ids: Sequence[str], k: int) -> float:
    """1.0 if any gold passage is among the first `k`, else 0.0 (success@k).

    >>> hit_at_k(["b", "a"], ["a"], 1), hit_at_k(["b", "a"], ["a"], 2)
    (0.0, 1.0)
    """
    if k < 0:
        raise ValueError(f"Expected k of 0 or more, got {k}.")
    return float(bool(set(ranked_ids[:k]) & _ids(gold_ids)))


def reciprocal_rank(ranked_ids: Sequence[str], gold_ids: Sequence[str]) -> float:
    """1 / rank of the first gold passage (ranks from 1), 0.0 if it is not there.

    >>> reciprocal_rank(["b", "a"], ["a"])
    0.5
    """
    gold = _ids(gold_ids)
    return next((1 / rank for rank, found in enumerate(ranked_ids, 1) if found in gold), 0.0)


def _ids(gold_ids: Sequence[str]) -> set[str]:
    if isinstance(gold_ids, str):
        raise ValueError(f"Expected a list of gold ids, got one text. Write [{gold_ids!r}].")
    return set(gold_ids)
