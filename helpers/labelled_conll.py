"""How do the lines of somebody's tagged text become sentences with IOB2 tags?

CoNLL files have one token a line, its tag in the last column, and a blank line after each sentence; tables may have a list of tokens and
one of tags in a row. Used by `own_labelled`. Leaves out: files whose tag stands in a middle column, nested entities.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.labelled import LabelledText, TaggedSentence, as_iob2

IOB = re.compile(r"([BIESLU])[-_](.+)")
MEANING = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}  # BIOES and BILOU say more than IOB2 needs


@dataclass(frozen=True)
class Items:
    """What could be read, with ids yet to be given, what is wrong, and what the learner should know."""

    items: Sequence[LabelledText] | Sequence[TaggedSentence] = ()
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Token:
    """A token and its tag as they came, and where: "line 3"."""

    place: str
    token: str
    tag: str


def looks_tagged(text: str) -> bool:
    """Whether a text file is CoNLL: blank lines between its lines, of which at least half end in `O`, `B-…` or `I-…`."""
    lines = [line.split()[-1] for line in text.split("\n") if line.strip()]
    tagged = sum(word == "O" or bool(re.match(r"[BI]-.", word)) for word in lines)
    return bool(re.search(r"\n[ \t]*\n", text.strip())) and 2 * tagged >= len(lines)


def read_conll(text: str) -> Items:
    """The sentences of CoNLL text. `-DOCSTART-` lines and comments (`# …`) are left out; every bad line is listed."""
    lines = [_cells(line) for line in text.split("\n")]
    (n_columns, _), *_ = Counter(map(len, filter(None, lines))).most_common(1) or [(0, 0)]
    sentences, problems = [[]], []
    for number, (line, cells) in enumerate(zip(text.split("\n"), lines, strict=True), 1):
        if not cells or cells[0] == "-DOCSTART-":
            sentences.append([])
        elif line.startswith("# ") and not (len(cells) == n_columns and _is_tag(cells[-1])):
            continue
        elif len(cells) != n_columns or n_columns < 2:
            expected = "a token and its tag" if n_columns < 2 else f"{n_columns} columns, as most lines have"
            problems.append(f"line {number}: expected {expected}, got {line[:40]!r}")
        else:
            sentences[-1].append(Token(f"line {number}", cells[0], cells[-1]))
    return tagged([sentence for sentence in sentences if sentence], problems)


def _cells(line: str) -> list[str]:
    """The columns of a line: between tabs if it has any, else between blanks."""
    line = line.rstrip()
    cells = line.split("\t") if "\t" in line else re.split(r" +", line.strip(" "))
    return [cell.strip(" ") for cell in cells] if line.strip() else []


def _is_tag(tag: str) -> bool:
    return tag == "O" or bool(IOB.fullmatch(tag))


def tagged(sentences: Sequence[Sequence[Token]], problems: Sequence[str] = ()) -> Items:
    """Sentences in IOB2, from IOB1, IOB2, BIOES, BILOU or plain types (neighbours of one type are then one entity)."""
    rows = [row for sentence in sentences for row in sentence]
    notes, wrong = [], [f"{row.place}: the token is empty" for row in rows if not row.token]
    if rows and all(_is_tag(row.token) for row in rows) and not all(_is_tag(row.tag) for row in rows):
        sentences = [[Token(row.place, row.tag, row.token) for row in sentence] for sentence in sentences]
        rows = [row for sentence in sentences for row in sentence]
        notes.append("the first column was read as the tag and the last as the token")
    plain = not any(re.match(r"[BI][-_].", row.tag) for row in rows)
    if plain and rows and not any(row.tag == "O" for row in rows):
        wrong.append(f"no tag is O, B-… or I-…: is the last column the tag? It begins {[r.tag for r in rows[:4]]}")
    elif plain:
        wrong += [f"{r.place}: the tag {r.tag!r} names no type" for r in rows if r.tag in ("", "B", "I")]
        spoken = "tags are types without B- and I-: neighbours of one type were read as one entity"
        notes += [spoken] * any(row.tag != "O" for row in rows)
    else:
        bad = [row for row in rows if not _is_tag(row.tag)]
        wrong += [f"{r.place}: the tag {r.tag!r} is neither O nor B-… nor I-…" for r in bad]
    if problems or wrong:
        return Items((), [*problems, *wrong], notes)
    return Items([_sentence(sentence, plain) for sentence in sentences], (), notes)


def _sentence(rows: Sequence[Token], plain: bool) -> TaggedSentence:
    tags = [row.tag if row.tag == "O" else _iob(row.tag, plain) for row in rows]
    return TaggedSentence("", tuple(row.token for row in rows), as_iob2(tags))


def _iob(tag: str, plain: bool) -> str:
    """One spelling of the prefix. In strict IOB2 a stray `I-` will become `B-`, so plain types may all be inside."""
    if plain:
        return f"I-{tag}"
    prefix, kind = IOB.fullmatch(tag).groups()
    return f"{MEANING[prefix]}-{kind}"
