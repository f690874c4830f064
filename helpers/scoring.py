"""Is this answer right, and was the right passage found?

Answers are compared token by token after normalising, never as substrings: "no" does not stand in "I do not know", and
"10 bar" does not stand in "3.10 bar". Ranking metrics follow the standard definitions of information retrieval.
Taught in `00_start_here` (answers) and `02_retrieval` (rankings). Leaves out: a language model as judge, partial credit;
the answers that it gets wrong are listed in `tests/scorer_cases.py`.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_VALUES = {word: number for number, word in enumerate(NUMBER_WORDS)} | {
    word: 10 * number
    for number, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)
}
_POWERS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" if month[3:] else month for month in _MONTHS)
_ARTICLES = {"a", "an", "the"}
_MARKS = set(".,;:!?()")


def _digits(match: re.Match) -> str:
    words = re.split("[ -]", match[0])
    return str(sum(_VALUES[word] for word in words))


def _times(match: re.Match) -> str:
    number = Decimal(match["number"] or 1) * _POWERS[match["power"]] + int(match["rest"] or 0)
    return f"{number.normalize():f}"


def _date(match: re.Match) -> str:
    month = match["month"]
    name = _MONTHS[int(month) - 1] if month.isdigit() else next(m for m in _MONTHS if m[:3] == month[:3])
    return f"{int(match['day'])} {name}" + (f" {match['year']}" if match["year"] else "")


_TENS = "|".join(word for word, value in _VALUES.items() if value >= 20)
_NUMBER = r"(?:(?P<number>\d+(?:\.\d+)?) |\ba )"
_M, _D = r"(?P<month>0?[1-9]|1[0-2])", r"(?P<day>0?[1-9]|[12]\d|3[01])"
_RULES = [  # one spelling for things that have several; applied in this order to text without capitals and accents
    (r"\bcan'?t\b|\bcannot\b", "can not"),
    (r"\b(is|are|was|were|do|does|did|has|have|could|would|should)n'?t\b", r"\1 not"),
    (r"\bi'?m\b", "i am"),
    (r"(?<=\w)'s\b|(?<=\w)'(?=\w)", ""),  # Taveller's, 58'300
    (r"\bn/a\b", "unknown"),
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)", lambda match: match[0].replace(",", "")),  # 58,300
    (r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,])", r"\1.\2"),  # 3,5 bar
    (r"(?<![\w.])\.(?=\d)", "0."),
    (r"(?<![\d.])(\d+)\.0+(?![\d.]*\d)", r"\1"),  # 214.00
    (r"(?<=\d)(?:st|nd|rd|th)\b", ""),
    (rf"\b(?P<year>\d{{4}})-{_M}-{_D}\b", _date),
    (rf"\b{_D}\.{_M}\.(?P<year>\d{{4}})\b", _date),
    (rf"\b{_D} (?:of )?(?P<month>{_MONTH})\b\.?(?:,? (?P<year>\d{{4}})\b)?", _date),
    (rf"\b(?P<month>{_MONTH})\b\.? (?:the )?{_D}(?:,? (?P<year>\d{{4}})\b|(?= ?(?:[.,;!?)]|$)))", _date),
    (rf"\b(?:{_TENS})[ -](?:{'|'.join(NUMBER_WORDS[1:10])})\b", _digits),
    (rf"\b(?:{'|'.join(_VALUES)})\b", _digits),
    (rf"{_NUMBER}(?P<power>hundred)\b(?:(?: and)? (?P<rest>\d{{1,2}})(?![\d.]))?", _times),
    (rf"{_NUMBER}(?P<power>thousand)\b(?:(?: and)? (?P<rest>\d{{1,3}})(?![\d.]))?", _times),
    (rf"{_NUMBER}(?P<power>million|billion)\b(?P<rest>)", _times),
    (r"\bbetween (-?[\d.]+(?: \w+)?) and (?=-?\d)", r"\1 – "),
    (r"(?<=\d)\s?-\s?(?=\d)", " – "),  # a range; all other dashes are hyphens or minus signs here
    (r"(?<=[^\W\d_])-(?=\d)", " "),  # E-41
    (r"\bminus (?=\d)", "-"),
    (r"%|\bper cent\b", " percent "),
    (r"°", " degrees "),
    (r"€|\beuros?\b", " eur "),
    (r"\$|\bdollars?\b", " usd "),
    (r"£", " gbp "),
    (r"(?<!\d)\s*\b(eur|usd|gbp)\s+(-?\d+(?:\.\d+)?)", r" \2 \1 "),  # EUR 730 = 730 EUR
    (r"(\.\d*?)0+(?=\s+(?:eur|usd|gbp)\b)", r"\1"),  # 23.60 EUR = 23.6 EUR
    (r"\n", " . "),
]
_RULES = [(re.compile(pattern), replacement) for pattern, replacement in _RULES]

_SOURCE = (
    r"(?:passage|text|document|context|source|article|page|material|information|excerpt|answer|detail|data)s?"
)
_STATED = r"(?:mentioned|stated|specified|known|disclosed|indicated|answerable)"
_SOLVE = r"(?:answer|determine|tell|say|know|find|infer|help|assist|provide|guess)"
REFUSALS = (  # patterns over normalised text without articles, in which "don't" is "do not"
    rf"\b(?:i|we) (?:\w+ )?(?:do|did|can|could) not (?:\w+ )?(?:{_SOLVE}|have (?:access|enough|any|that|this|information))\b",
    rf"(?:^|[.,;:!?] )(?:sorry )?(?:do|can) not {_SOLVE}\b",
    r"(?:\b(?:i|am|we|are) |^)not (?:sure|certain)\b",
    r"\b(?:do|does|did) not (?:\w+ ){0,2}(?:mention|state|specify|disclose|indicate)\b",
    rf"\b{_SOURCE} (?:\w+ )?(?:do|does|did) not (?:\w+ ){{0,2}}(?:say|contain|include|provide|give|answer|tell|list|cover)\b",
    rf"\bnot (?:\w+ly |yet |been )?{_STATED}\b",
    rf"\bnot (?:\w+ )?(?:given|provided|available|found|included|listed|present|covered)? ?(?:in|by|from) (?:\w+ )?{_SOURCE}\b",
    rf"\b{_SOURCE} (?:is|are|was|were) not (?:\w+ly )?(?:available|provided|given|found|included|there)\b",
    r"^not (?:given|provided|available|found)\b",
    rf"\b(?:unable|not able|impossible|not possible) to (?:be )?{_SOLVE}\b",
    r"\bcan not be (?:answered|determined|known|inferred|told|found in)\b",
    rf"\bnone of (?:\w+ )?{_SOURCE} (?:mention|state|specify|say|contain|answer)s?\b",
    r"\b(?:no|not any) (?:such )?(?:information|mention|answer|indication|details?)"
    r"(?: (?:is |are |was )?(?:about|on|regarding|in|of|given|provided|available|found|mentioned|to)\b| ?[.,;:!?]|$)",
    r"\b(?:not enough|insufficient|not sufficient|lack) (?:of )?(?:information|context|data|details?)\b",
    rf"\bnothing (?:\w+ ){{0,3}}{_SOURCE}\b",
    r"\bno (?:idea|clue)\b",
    r"\bunknown(?: (?:whether|if|how|what|when|who|where|why|to|from|in)\b| ?[.,;:!?)]|$)",
    r"\b(?:unanswerable|unspecified|undisclosed|^unclear|unclear (?:from|whether|what|how|if))\b",
)  # fmt: skip
_REFUSED = re.compile("|".join(REFUSALS))
_DENIED = re.compile(
    r"(?:\b(?:not|never|no|nor|neither|instead of)(?: (?:exactly|about|really|actually|even))?"
    r"|(?<!\bno )(?<!\bnot )\b\w+ than)$"
)
_REJECTED = re.compile(r"(?:is|are|was|were) (?:wrong|incorrect|false|not (?:right|correct|true|answer))\b")
_HEDGED_BEFORE = re.compile(r"(?:\b(?:or|either)|–)$")
_HEDGED_AFTER = re.compile(r"(?:, (?:[^ .,;:]+ ){1,3})*(?:[,(] )?(?:or (?!so |thereabouts )|– )")


def _folded(text: str) -> str:
    """No capitals, accents, invisible characters; one kind of apostrophe, dash and space."""
    if not isinstance(text, str):
        raise ValueError(f"Expected text to score, got {text!r}. Store an empty text where nothing was said.")
    text = re.sub(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text.replace("™", ""))
    text = re.sub(r"(?<=\w[ -])A\b", "letterA", text)  # Hall A: a name, not an article
    text = re.sub(r"(\d*)([¼-¾⅐-⅞])", lambda m: f"{int(m[1] or 0) + unicodedata.numeric(m[2]):g}", text)
    text = re.sub("[’‘ʼ´`′]", "'", re.sub("[‐-―−]", "-", text))
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf"))
    return re.sub(r"[^\S\n]+", " ", text.casefold()).strip()


def _words(text: str) -> list[str]:
    """Tokens in one spelling, without articles, with punctuation marks in their places."""
    text = _folded(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    found = re.findall(r"-?\d+(?:[.:]\d+)*|[^\W\d_]+|[–.,;:!?()]", text)
    return [token for token in found if token not in _ARTICLES]


def _singular(token: str) -> str:
    if len(token) < 4 or not token.endswith("s") or token.endswith(("ss", "us", "is")):
        return token
    return token[:-3] + "y" if token.endswith("ies") else token[:-1]


def tokens(text: str) -> list[str]:
    """Normalised tokens: no case, accents, articles, punctuation or plural s; numbers, dates and money in one spelling.

    >>> tokens("The pump holds −1,250.5 litres (about forty-three %)"), tokens("E-41 costs €23.60")
    (['pump', 'hold', '-1250.5', 'litre', 'about', '43', 'percent'], ['e', '41', 'cost', '23.6', 'eur'])
    """
    return [_singular(word) for word in _words(text) if word not in _MARKS]


def find_tokens(text: str, phrase: str) -> int:
    """Where (token index) the tokens of `phrase` first stand in a row in `text`; -1 if nowhere or if it has none.

    >>> find_tokens("It lasts 410 litres.", "410 litres"), find_tokens("I do not know", "no")
    (2, -1)
    """
    return next(_places(tokens(text), tokens(phrase)), -1)


def _places(haystack: list[str], needle: list[str]):  # noqa: ANN202  (an iterator of indices)
    n = len(needle)
    return (i for i in range(len(haystack) - n + 1) if n and haystack[i : i + n] == needle)


def is_correct(prediction: str, answers: Sequence[str]) -> bool:
    """Whether one of the accepted `answers` stands in `prediction` at token boundaries, said plainly.

    An answer that is denied ("not 410 litres") or offered among others ("410 or 560 litres") does not count. A bare
    number that is all of the prediction may leave out its unit. Raises `ValueError` if no answer has a token to compare.
    """
    if isinstance(answers, str):
        raise ValueError(f"Expected a list of accepted answers, got one text. Write [{answers!r}].")
    needles = [needle for needle in map(tokens, answers) if needle]
    if not needles:
        raise ValueError(
            f"Expected at least one answer with a letter or digit, got {list(answers)!r}. Unanswerable: use `outcome` with []."
        )
    words = _words(prediction)
    return any(_said_plainly(words, needle) or _is_bare_number(words, needle) for needle in needles)


def _said_plainly(words: list[str], needle: list[str]) -> bool:
    places = [i for i, word in enumerate(words) if word not in _MARKS]
    for start in _places([_singular(words[i]) for i in places], needle):
        before = " ".join(words[: places[start]])
        after = " ".join(words[places[start + len(needle) - 1] + 1 :]) + " "
        denied = _DENIED.search(before) or _REJECTED.match(after)
        if not denied and not _HEDGED_BEFORE.search(before) and not _HEDGED_AFTER.match(after):
            return True
    return False


def _is_bare_number(words: list[str], needle: list[str]) -> bool:
    """ "17" for "17 litres", but not "17" for "17 May" or for "17 to 20 litres"."""
    said, (number, *unit) = [word for word in words if word not in _MARKS], needle
    is_number = number.lstrip("-").replace(".", "", 1).isdigit()
    return said == [number] and is_number and all(u.isalpha() and u not in _MONTHS for u in unit)


def is_refusal(prediction: str) -> bool:
    """Whether the prediction says that it does not know (or says nothing at all).

    >>> is_refusal("I don't know."), is_refusal("Ask a customer who does not know it")
    (True, False)
    """
    words = _words(prediction)
    return not set(words) - _MARKS or bool(_REFUSED.search(" ".join(words)))


def outcome(prediction: str, answers: Sequence[str]) -> str:
    """`"correct"`, `"refused"` or `"wrong"`. Empty `answers` mean an unanswerable question: refusing is correct."""
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
