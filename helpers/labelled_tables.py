"""How do the rows of somebody's table become labelled texts or tagged sentences?

Accepts the column names that other people use, and lists *all* that is wrong with a table at once. Used by `own_labelled`; files become
tables in `own_tables`. Leaves out: texts with several labels.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from helpers.labelled import LabelledText
from helpers.labelled_conll import Items, Token, tagged
from helpers.own_tables import Table, text_of

COLUMNS = {  # our name: names that other people use
    "text": ("text", "sentence", "review", "query", "question", "content", "body"),
    "label": ("label", "category", "class", "sentiment", "intent", "target"),
    "tokens": ("tokens", "words"),
    "tags": ("ner_tags", "tags", "labels"),
}


def from_lines(text: str) -> Items:
    """`text<TAB>label` on each line, or the other way round if that gives fewer labels. Only a line feed ends a line."""
    lines = [(f"line {i}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    problems = [f"{place}: no tab between text and label: {line[:40]!r}" for place, line in lines if "\t" not in line]
    if problems:
        hint = "no line has a tab: expected text, a tab and its label (or a .csv file with a header, or CoNLL)"
        return Items((), [hint] if len(problems) == len(lines) else problems)
    last, first = ([line.rsplit("\t", 1) for _, line in lines], [line.split("\t", 1)[::-1] for _, line in lines])
    turned = len({label for _, label in first}) < len({label for _, label in last})
    frame = pd.DataFrame(first if turned else last, columns=["text", "label"])
    found = from_table(Table(frame, [place for place, _ in lines]))
    return replace(found, notes=["the first column was read as the label"] * turned)


def from_table(table: Table) -> Items:
    """Rows as labelled texts, or as tagged sentences where there are columns of tokens and tags instead."""
    frame, names = table.frame, [str(column).strip().casefold() for column in table.frame.columns]
    places = {ours: next((names.index(n) for n in known if n in names), None) for ours, known in COLUMNS.items()}
    wanted = [names[place] for place in places.values() if place is not None]
    problems = [f"{n} columns are called {x!r}" for x, n in Counter(names).items() if n > 1 and x in wanted]
    ours = ("text", "label")
    if None in (places["text"], places["label"]) and None not in (places["tokens"], places["tags"]):
        ours = ("tokens", "tags")
    for name in (name for name in ours if places[name] is None):
        expected = f"no {name} column: expected one of {', '.join(COLUMNS[name])}; found {names[:12]}"
        problems.append(f"{expected}. Rename yours: frame.rename(columns={{'yours': '{name}'}})")
    if problems or not len(frame):
        return Items((), [*table.problems, *problems] or ["the table has no rows"])
    left, right = (frame.iloc[:, places[name]].tolist() for name in ours)
    read = _texts if ours[0] == "text" else _sentences
    found = read(table.places, left, right)
    return replace(found, problems=[*table.problems, *found.problems])


def _texts(places: Sequence[str], texts: Sequence, labels: Sequence) -> Items:
    read = [[_tried(_text, text), _tried(_label, label)] for text, label in zip(texts, labels, strict=True)]
    pairs = zip(places, read, strict=True)
    problems = [f"{place}: {cell}" for place, row in pairs for cell in row if isinstance(cell, ValueError)]
    return Items([] if problems else [LabelledText("", *row) for row in read], problems)


def _tried(read: Callable[[object], str], value: object) -> str | ValueError:
    try:
        return read(value)
    except ValueError as error:
        return error


def _text(value: object) -> str:
    return text_of(value, "text")


def _label(value: object) -> str:
    """A label as text; 1.0, as pandas has it in a column with gaps, is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    plain = pd.api.types.is_integer(value) or pd.api.types.is_bool(value)
    return str(value) if plain else text_of(value, "label")


def _sentences(places: Sequence[str], tokens: Sequence, tags: Sequence) -> Items:
    sentences, problems = [], []
    for place, *lists in zip(places, tokens, tags, strict=True):
        words, marks = (list(x) if pd.api.types.is_list_like(x) else None for x in lists)
        if words is None or marks is None or len(words) != len(marks) or not words:
            problems.append(f"{place}: expected a list of tokens and a list of as many tags")
        elif not all(isinstance(mark, str) for mark in marks):
            problems.append(f"{place}: tags should be names such as B-PART, got {marks[:3]}")
        else:
            sentences.append([Token(place, str(word).strip(), mark) for word, mark in zip(words, marks, strict=True)])
    return tagged(sentences, problems)
