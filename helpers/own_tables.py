"""How do the rows of somebody's table become passages and questions?

Reads CSV, JSON lines, SQuAD JSON and lists of objects, also with several passages a row (`ctxs`, as the data of
*Lost in the middle* have them); accepts the column names that other people use; lists *all* that is wrong with a
table at once. Used by `own_data`. Leaves out: spreadsheets, and telling good data from bad beyond what a program can see.
"""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.corpus import Corpus, Document, Passage, Question

COLUMNS = {  # our name: names that other people use
    "passage": ("passage", "context", "text", "document", "body", "content"),
    "contexts": ("ctxs",),  # several passages, of which some are gold
    "question": ("question", "query"),
    "answer": ("answer", "answers"),
    "title": ("title", "heading"),
    "id": ("id", "_id"),
}


class DataProblems(ValueError):  # noqa: N818  (it is shown to learners)
    """All that is wrong with a learner's data, in one message."""

    def __init__(self, source: object, problems: Sequence[str]) -> None:
        name = repr(str(source)) if isinstance(source, str | Path) else f"The {type(source).__name__}"
        shown = "\n".join(f"  - {p}" for p in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        super().__init__(f"{name} can't be used yet. To mend:\n{shown}{more}")
        self.problems = list(problems)


@dataclass(frozen=True)
class Table:
    """Rows that could be read, where each stands ("line 3"), and what is wrong with those that could not."""

    frame: pd.DataFrame
    places: Sequence[str]
    problems: Sequence[str] = ()


def read_csv(text: str, path: Path, limit: int) -> Table:
    """The first `limit` rows separated by commas, semicolons or tabs. Rows of another length are listed."""
    csv.field_size_limit(2**31 - 1)
    header = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    rows, places, problems, names, line = [], [], [], [], 1
    try:
        for cells in reader:
            if names and cells and len(cells) != len(names):
                problems.append(f"line {line} has {len(cells)} cells, the header has {len(names)}")
            elif names and cells and len(rows) < limit:
                rows.append(cells)
                places.append(f"line {line}")
            names = names or cells
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"line {line}: not a well-formed CSV table ({error}). Is a quote left open?")
    return Table(pd.DataFrame(rows, columns=names), places, problems)


def read_json_lines(text: str, path: Path, limit: int) -> Table:
    """The first `limit` objects of a JSON-lines file; blank lines are skipped, all bad lines listed."""
    rows, places, problems = [], [], []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            row = error
        if not isinstance(row, dict):
            problems += [f"line {number} is not a JSON object: {line[:40]!r}"] * bool(line.strip())
        elif len(rows) < limit:
            rows.append(row)
            places.append(f"line {number}")
    return Table(pd.DataFrame(rows), places, problems)


def read_json(text: str, path: Path, limit: int) -> Table:
    """The first `limit` rows of SQuAD JSON (1.1 or 2.0), or of a list of objects."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = " With one object per line, let its name end in .jsonl" if "Extra data" in str(error) else ""
        raise DataProblems(path, [f"not valid JSON: {error}.{hint}"]) from error
    try:
        items = list(enumerate(_squad_rows(content) if isinstance(content, dict) else content, 1))
    except (KeyError, TypeError, AttributeError) as error:
        expected = "neither SQuAD JSON (data → paragraphs → qas) nor a list of objects"
        raise DataProblems(path, [f"{expected}: {error!r}"]) from error
    problems = [f"item {i} is not a JSON object: {str(x)[:40]!r}" for i, x in items if not isinstance(x, dict)]
    rows = [(i, item) for i, item in items if isinstance(item, dict)][:limit]
    return Table(pd.DataFrame([row for _, row in rows]), [f"item {i}" for i, _ in rows], problems)


def read_frame(frame: pd.DataFrame) -> Table:
    """A pandas frame as it is; rows are counted from 1, whatever its index says."""
    return Table(frame, [f"row {i}" for i in range(1, len(frame) + 1)])


def _squad_rows(content: dict) -> Iterable[dict]:
    for article in content["data"]:
        title = article.get("title", "").replace("_", " ")
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                row = {"id": qa["id"], "title": title, "question": qa["question"]}
                answers = [answer["text"] for answer in qa.get("answers", [])]
                yield row | {"passage": paragraph["context"], "answer": answers}


def table_corpus(table: Table, source: object, limit: int) -> Corpus:
    """At most `limit` rows as passages (each text once) and questions; every row's problem is listed."""
    columns = _columns(table, source)
    rows = table.frame[list(columns.values())].head(limit).to_dict("records")
    passages: dict[str, Passage] = {}
    questions, problems = [], list(table.problems)
    for number, (place, row) in enumerate(zip(table.places, rows, strict=False), 1):
        values = {ours: row[theirs] for ours, theirs in columns.items()}
        try:
            gold = []
            for text, title, is_gold in _texts(values):
                name = f"p{len(passages) + 1}"
                passage = passages.setdefault(text, Passage(name, name, title, "", text))
                gold += [passage] * is_gold
            if "question" in columns:
                questions.append(_question(values, number, list(dict.fromkeys(gold))))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if repeated := [i for i, n in Counter(q.id for q in questions).items() if n > 1]:
        shown = ", ".join(map(repr, repeated[:5]))
        problems.append(f"column {columns.get('id')!r}: {len(repeated)} ids occur more than once ({shown})")
    if "question" not in columns:
        questions = known_item_questions((p.title, p) for p in passages.values() if p.title)
    notes = [f"only the first {limit:,} rows were read (limit={limit})"] * (len(table.frame) > limit)
    return make_corpus(source, list(passages.values()), questions, problems=problems, notes=notes)


def _columns(table: Table, source: object) -> dict[str, object]:
    """Our column names with theirs. Raises `DataProblems` for no passages, no rows or doubtful columns."""
    columns = table.frame.columns
    if columns.nlevels > 1:
        advice = "give each one name: frame.columns = ['_'.join(map(str, c)) for c in frame.columns]"
        raise DataProblems(source, [f"the columns have {columns.nlevels} levels: {advice}"])
    names = [str(column).strip().casefold() for column in columns]
    wanted = {name for names_ in COLUMNS.values() for name in names_}
    problems = [f"{n} columns are called {name!r}" for name, n in Counter(names).items() if n > 1 and name in wanted]
    theirs = dict(zip(names, columns, strict=True))
    found = {ours: next((theirs[n] for n in known if n in theirs), None) for ours, known in COLUMNS.items()}
    if found["passage"] is None and found["contexts"] is None:
        listed = ", ".join(COLUMNS["passage"] + COLUMNS["contexts"])
        came = [str(column) for column in columns[:12]]
        problems.append(f"no column with passages: expected one of {listed}; found {came}")
    if not len(table.frame):
        problems.append("the table has no rows")
    if problems:
        raise DataProblems(source, [*table.problems, *problems])
    return {ours: column for ours, column in found.items() if column is not None}


def _missing(value: object) -> bool:
    return value is None or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def text_of(value: object, column: str, *, empty: bool = False) -> str:
    """A cell's text without blanks around it. Raises `ValueError` if it is none, or empty and must not be."""
    text = "" if _missing(value) else value
    if not isinstance(text, str):
        raise ValueError(f"{column} should be text, got {type(value).__name__}")
    if not text.strip() and not empty:
        raise ValueError(f"{column} is empty")
    return text.strip()


def _texts(values: dict) -> list[tuple[str, str, bool]]:
    """Text, title and whether it is gold: of the row's passage, or of each of its contexts."""
    contexts = values.get("contexts")
    if _missing(contexts):
        text, title = values.get("passage"), values.get("title")
        return [(text_of(text, "passage"), text_of(title, "title", empty=True), True)]
    if not _missing(values.get("passage")):
        raise ValueError("there are a passage and ctxs: keep one of the two")
    if not pd.api.types.is_list_like(contexts) or not all(isinstance(c, dict) for c in contexts):
        raise ValueError("ctxs should be a list of objects with title, text and isgold")
    gold = [bool(c.get("isgold") == 1) for c in contexts]
    if not any(gold):
        raise ValueError("none of the ctxs has isgold: true")
    texts = [text_of(c.get("text"), "text in ctxs") for c in contexts]
    titles = [text_of(c.get("title"), "title in ctxs", empty=True) for c in contexts]
    return list(zip(texts, titles, gold, strict=True))


def _question(values: dict, number: int, gold: list[Passage]) -> Question:
    """Without a column of answers a known item, good for retrieval; with one, an empty cell: unanswerable."""
    question = text_of(values["question"], "question")
    answers = _answers(values.get("answer"))
    kind = "known_item" if "answer" not in values else "single_fact" if answers else "unanswerable"
    return Question(
        f"q{number}" if _missing(values.get("id")) else str(values["id"]),
        question,
        kind=kind,
        answer=answers[0] if answers else "",
        aliases=tuple(answers[1:]),
        document_ids=tuple(passage.document_id for passage in gold),
        gold_ids=() if kind == "unanswerable" else tuple(passage.id for passage in gold),
    )


def _answers(value: object) -> list[str]:
    """The distinct answers in a text, a number, a list of these or SQuAD's `{"text": [...]}`."""
    if isinstance(value, dict):
        value = value.get("text", [])
    several = isinstance(value, Iterable) and not isinstance(value, str)
    plain = [str(a) if pd.api.types.is_number(a) and not _missing(a) else a for a in (value if several else [value])]
    texts = [text_of(answer, "answer", empty=True) for answer in plain]
    return list(dict.fromkeys(text for text in texts if text))


def known_item_questions(terms: Iterable[tuple[str, Passage]]) -> list[Question]:
    """Heading → its passages, for corpora without questions. They share words with them, so they are easy."""
    gold: dict[str, list[str]] = defaultdict(list)
    for term, passage in terms:
        gold[term].append(passage.id)
    ids = enumerate(gold.items(), 1)
    return [Question(f"heading-{i}", term, kind="known_item", gold_ids=tuple(found)) for i, (term, found) in ids]


def make_corpus(
    source: object, passages: list[Passage], questions: list[Question], *, problems: Sequence[str], notes: Sequence[str]
) -> Corpus:
    """The corpus, or `DataProblems`. A document's text is that of its passages."""
    if not problems and len(passages) < 2:
        problems = [f"{len(passages)} passage(s) found; retrieval needs at least 2 to choose from"]
    if problems:
        raise DataProblems(source, problems)
    bodies: dict[str, list[str]] = defaultdict(list)
    for passage in passages:
        bodies[passage.document_id].append(passage.body)
    titles = {p.document_id: p.title for p in passages}
    documents = tuple(Document(i, titles[i], "\n\n".join(parts)) for i, parts in bodies.items())
    name = "your data frame" if isinstance(source, pd.DataFrame) else str(source)
    name = Path(name).name if Path(name).exists() else name
    return Corpus(name, documents, tuple(passages), tuple(questions), tuple(notes))
