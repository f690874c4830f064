"""Whose answer is it: the passage's, or the model's own?

Two ways to tell. `contradict` puts a false answer in place of the true one in the gold passage: a model that reads says the false
one, a model that remembers the true one (*knowledge conflicts*: Longpre et al. 2021, arXiv 2109.05052). `with_other_entity` asks about
another product: a model that has learned a pattern still gives the old answer. Taught in `07_rag_vs_fine_tuning`. Leaves out:
answers with several numbers, and meaning: what is false is of the same kind by simple rules, and now and then reads oddly.
"""

import random
import re
from calendar import month_name
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import ne

from helpers.corpus import Corpus, Passage, Question
from helpers.readings import Reading
from helpers.scoring import find_tokens, is_correct, tokens

_ASKED = (  # kinds of answers, by what the question says first
    r"(?i)\b(?:(whom?|which (?:firm|jury)|authority)|(colou?r|light|glow|blink)|(code|letters|number|reference|header)|(wear|pull)|"
    r"(sign|picture|mark|bird|sound|dial|window|show)|(called|\w*name|programme|rhythm|setting)|(cont\w+|soaked|greased|capsule)|"
    r"(made|cut|metals?|material|moulded|spun|turned|wire|lined|plated|sleeved|seal)|(where|(?:which|what) (?:room|dock|bay|hotel|register))|"
    r"(tapped|cleaned|wiped|hung|gift|win|makes|given|part|button|crates))\b"
)


@dataclass(frozen=True)
class Contradiction:
    """The gold passage with a false answer in place of the true one, and that false answer. The passage keeps its id."""

    passage: Passage
    answer: str


def contradict(questions: Sequence[Question], gold: Reading, *, seed: int) -> dict[str, Contradiction]:
    """The gold passage of each question with a false answer of the same kind in it, by question id.

    Numbers become others of the same shape, half to twice as large; words the answer to another of `questions`, a similar one if possible.
    Nothing of the false answer stood in the passage, and no accepted answer stands there afterwards. Drawn by `seed`, id and, for words,
    `questions`. Left out: questions for which this fails, with no gold passage or several. Raises `ValueError` for no questions.
    """
    if not questions:
        raise ValueError("Expected at least one question to contradict, got none.")
    pool = [(_kind(q, _bare(q.answer)), _bare(q.answer)) for q in questions if q.answer and not _has_number(q.answer)]
    made = {q.id: _contradiction(q, gold[q.id][0], pool, seed) for q in questions if len(gold.get(q.id, ())) == 1}
    return {question_id: contradiction for question_id, contradiction in made.items() if contradiction}


def _contradiction(question: Question, passage: Passage, pool: list[tuple], seed: int) -> Contradiction | None:
    standing = [a for a in map(_bare, question.answers) if re.search(_free(a), passage.text, re.I)]
    if not standing:
        return None
    true = max(standing, key=lambda a: (a == _bare(question.answer), len(a)))
    drawn_by, kind = f"{seed} {question.id}", _kind(question, true)
    words = sorted(random.Random(drawn_by).sample(pool, len(pool)), key=lambda other: sum(map(ne, other[0], kind)))
    known = set(tokens(f"{passage.text} {question.question}")) - set(tokens(true))
    for false in _other_numbers(true, random.Random(drawn_by)) if _has_number(true) else [word for _, word in words]:
        if not known & set(tokens(false)) and _differs(false, question.answers):
            made = _swapped(passage, {a: _counterpart(a, true, false) for a in standing})
            if not any(find_tokens(made.text, a) >= 0 for a in question.answers):
                return Contradiction(made, false)
    return None


def _differs(false: str, true: Sequence[str]) -> bool:
    return not is_correct(false, true) and not any(is_correct(answer, [false]) for answer in true)


def _bare(answer: str) -> str:
    return re.sub(r"^(?:an?|the) ", "", answer, flags=re.I)


def _has_number(text: str) -> bool:
    return any(token[0].isdigit() for token in tokens(text))


def _free(*phrases: str, plural: str = "") -> str:
    """A pattern for these phrases, the longest first, standing free: "5 bar" is not in "3.5 bar", nor "Orlin" in "Orlina"."""
    words = "|".join(re.escape(p).replace(r"\ ", r"\s+") for p in sorted(phrases, key=len, reverse=True))
    return rf"(?<!\w)(?<!\d[.,])(?:{words})(?={plural}(?!\w)(?![.,]\d))"


def _swapped(passage: Passage, swaps: Mapping[str, str]) -> Passage:
    """The passage with all swaps made in one pass; a capital that begins a sentence stays one."""
    instead = {old.lower(): new for old, new in swaps.items()}

    def swap(found: re.Match) -> str:
        new = instead[" ".join(found[0].split()).lower()]
        return new[0].upper() + new[1:] if found[0][0].isupper() else new

    parts = {part: getattr(passage, part) for part in ("title", "heading", "body")}
    return replace(passage, **{part: re.sub(_free(*swaps), swap, text, flags=re.I) for part, text in parts.items()})


def _counterpart(alias: str, true: str, false: str) -> str:
    """The alias as one of the false answer, as far as it can be made: for Ida Varn → Ola Tench, "M. Varn" is "M. Tench"."""
    whole = re.sub(_free(true), lambda _: false, alias)
    old, new = (text.replace(",", "").split() for text in (true, false))
    changed = {a: b for a, b in zip(old, new, strict=False) if a != b}
    if whole != alias or len(old) != len(new) or not changed:
        return whole
    return re.sub(_free(*changed), lambda found: changed[found[0]], alias.replace(",", ""))


def _other_numbers(true: str, rng: random.Random) -> Iterator[str]:
    """The answer with another number, date or time in it; nothing if it has several numbers."""
    date, time = re.search(rf"\d+ (?:{'|'.join(month_name[1:])})", true), re.search(r"\d\d:\d\d", true)
    numbers = re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", true)
    for _ in range(200):  # tries; the range of some is small
        if date:
            yield true.replace(date[0], f"{rng.randint(1, 28)} {month_name[rng.randint(1, 12)]}")
        elif time:
            yield true.replace(time[0], f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}")
        elif len(numbers) == 1:
            other = re.sub("[1-9]", lambda _: str(rng.randint(1, 9)), numbers[0])  # zeros stay: 1,200 is a round number
            old, new = (float(number.replace(",", "")) for number in (numbers[0], other))
            if old / 2 <= new <= old * 2:
                yield true.replace(numbers[0], other)


def _kind(question: Question, answer: str) -> list:
    """What should agree if possible, the weightiest repeated: what is asked for, words and capitals, plural, "an" or "a"."""
    asked = (found := re.search(_ASKED, question.question)) and found.lastindex
    capitals = [word[:1].isupper() + word.isupper() for word in answer.split()]
    return [asked, asked, asked, capitals, capitals, answer.endswith("s"), answer[:1].lower() in "aeiou"]


def follows(prediction: str, question: Question, contradiction: Contradiction) -> str:
    """Whom a reply follows: `"passage"` (the false answer, also in other units or by surname), `"memory"` (the true one), else `"neither"`."""
    true, said = question.answers, contradiction.answer
    false = {said} | {_counterpart(alias, answer, said) for answer in true for alias in true}
    says_false = is_correct(prediction, [a for a in false if _differs(a, true)])
    if says_false == is_correct(prediction, true):
        return "neither"
    return "passage" if says_false else "memory"


def with_other_entity(questions: Sequence[Question], names: Sequence[str], *, seed: int) -> dict[str, Question]:
    """The questions that name exactly one of `names`, asked about another of them (drawn by `seed` and id), by question id.
    Everything else stays, also the answers: they are those to the old question. Raises `ValueError` for too few questions or names.
    """
    if not questions or isinstance(names, str) or len(set(names)) < 2:
        raise ValueError(f"Expected questions and a list of two names or more, got {len(questions)} and {names!r}.")
    pattern, made = _free(*names, plural="s?"), {}
    for question in questions:
        if len(named := set(re.findall(pattern, question.question))) == 1:
            others = sorted(set(names) - named)
            alike = [n for n in others if (n[0] in "AEIOU") == (min(named)[0] in "AEIOU")]  # "an" stays right
            other = random.Random(f"{seed} {question.id}").choice(alike or others)
            made[question.id] = replace(question, question=re.sub(pattern, other, question.question))
    return made


def product_names(corpus: Corpus) -> list[str]:
    """The products, sorted: words in titles and in two questions that somewhere have a capital, an article and a thing ("the Taveller's hose")."""
    texts = [w for q in corpus.questions for w in (q.question, *q.paraphrases)] + [d.text for d in corpus.documents]
    owners = set(re.findall(r"\b(?:[Tt]he|[Aa]n?|[Mm]y|[Oo]ur) ([A-Z]\w+)['’]s", "\n".join(texts)))
    titles = set(re.findall(r"\w+", " ".join(d.title for d in corpus.documents)))
    return sorted(name for name in owners & titles if sum(name in q.question for q in corpus.questions) >= 2)
