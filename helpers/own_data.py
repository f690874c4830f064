"""Can the learner's own data stand where the company's stood?

`load_own` reads a folder of text or Markdown, a CSV, JSON-lines or SQuAD JSON file (gzipped or not), a pandas
frame, a Hugging Face data set or Python's own documentation into the same `Corpus` as everything else, and lists
*all* that is wrong with it at once.
Used by every lesson. Leaves out: PDF files; how a table is read (`own_tables`).
"""

import gzip
import pydoc
import re
import zlib
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from helpers.corpus import Corpus, Document, Passage, Question, split_sections
from helpers.own_tables import (
    DataProblems,
    known_item_questions,
    make_corpus,
    read_csv,
    read_frame,
    read_json,
    read_json_lines,
    table_corpus,
)

TEXT_ENDINGS = {".txt", ".md", ".markdown", ".rst"}
TABLES = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
}
MAX_FILE_MB = 200
MAX_WORDS = 150  # of a passage cut from a text file; about 200 tokens, below the encoder's 256
HUB_SECONDS = 5  # to wait for the hub's first answer before saying that there is no network
KINDS = (
    "a folder of .txt/.md files, a .csv, .jsonl or SQuAD .json file (also as .gz), a pandas frame, "
    "'python-docs', or a Hugging Face data set name"
)


def load_own(source: str | Path | pd.DataFrame, *, limit: int = 20_000) -> Corpus:
    """The learner's data as a `Corpus`. Raises `DataProblems`, which lists everything at once.

    A data set is named `"owner/name"`, `"owner/name:split"` or `"owner/name/config:split"` (split: train).
    Tables need a column `passage` (or context, text) and may have `question`, `answer` (text, a list or
    SQuAD's dict; empty: unanswerable), `title` and `id`. A row may have several passages in place of one: `ctxs`,
    a list of {"title", "text", "isgold"}. At most `limit` rows (of a folder: passages) are read; `Corpus.notes`
    says so. Without questions, headings become the questions.
    """
    if limit < 2:
        raise ValueError(f"limit must be at least 2, got {limit}: retrieval needs passages to choose from.")
    if isinstance(source, pd.DataFrame):
        return table_corpus(read_frame(source), source, limit)
    if not isinstance(source, str | Path) or not str(source).strip():
        raise DataProblems(source, [f"expected {KINDS}"])
    if source == "python-docs":
        return _from_python_docs()
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return _from_folder(path, limit)
        if path.is_file():
            return _from_file(path, limit)
    except (OSError, RuntimeError) as error:
        raise DataProblems(source, [f"it can't be opened ({error}). Expected {KINDS}"]) from error
    if re.search(r"^[./~]|\\|\.[a-zA-Z]\w{1,7}$", str(source)) or isinstance(source, Path):
        raise DataProblems(source, [f"no such file or folder (looked in {Path.cwd().name}/). Expected {KINDS}"])
    return _from_hub(source, limit)


def _from_file(path: Path, limit: int) -> Corpus:
    ending, packing = endings(path)
    if ending not in TEXT_ENDINGS | set(TABLES):
        raise DataProblems(path, [f"files ending in {ending + packing!r} are not read. Expected {KINDS}"])
    text, problem = read_text_file(path)
    if problem:
        raise DataProblems(path, [problem])
    if not text.strip():
        raise DataProblems(path, ["the file is empty"])
    if ending in TEXT_ENDINGS:
        return _from_texts({path.name.removesuffix(packing): text}, path, limit, notes=[])
    return table_corpus(TABLES[ending](text, path, limit + 1), path, limit)


def endings(path: Path) -> tuple[str, str]:
    """The ending that tells what a file holds, and ".gz" if it is packed, both in lower case.

    >>> endings(Path("Rows.JSONL.gz")), endings(Path("notes.md"))
    (('.jsonl', '.gz'), ('.md', ''))
    """
    name = path.name.lower()
    bare = name.removesuffix(".gz")
    return Path(bare).suffix, name.removeprefix(bare)


def read_text_file(path: Path) -> tuple[str, str]:
    """A file's text (unpacked, if its name ends in .gz) with plain line ends and what is wrong with it; one of the two is empty."""
    if (size := path.stat().st_size / 1e6) > MAX_FILE_MB:
        return "", f"{path.name} has {size:.0f} MB, at most {MAX_FILE_MB} MB are read: take a part of it"
    try:
        with gzip.open(path) if endings(path)[1] else path.open("rb") as file:
            data = file.read(MAX_FILE_MB * 10**6 + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return "", f"{path.name} is damaged or not gzipped ({error}). Fetch it again"
    if len(data) > MAX_FILE_MB * 10**6:
        return "", f"{path.name} unpacks to more than {MAX_FILE_MB} MB, the most that is read: take a part of it"
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        return "", f"{path.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8 and try again"
    if "\0" in text:
        return "", f"{path.name} has NUL bytes, so it is no UTF-8 text. Save it as UTF-8 and try again"
    return text, ""


def _from_folder(folder: Path, limit: int) -> Corpus:
    """All text files below `folder`; hidden ones (.git, .ipynb_checkpoints) are left out."""
    shown = sorted(p for p in folder.rglob("*") if not any(x.startswith(".") for x in p.relative_to(folder).parts))
    files = [p for p in shown if p.is_file() and p.suffix.lower() in TEXT_ENDINGS]
    others = Counter(p.suffix.lower() or "no ending" for p in shown if p.is_file() and p not in set(files))
    if not files:
        found = ", ".join(others) or "nothing"
        raise DataProblems(folder, [f"no file ends in {', '.join(sorted(TEXT_ENDINGS))}; found {found}"])
    read = {p.relative_to(folder).as_posix(): read_text_file(p) for p in files}
    problems = [problem for _, problem in read.values() if problem]
    texts = {name: text for name, (text, problem) in read.items() if not problem}
    kinds = ", ".join(f"{n} {ending}" for ending, n in sorted(others.items()))
    notes = [f"files that are no text were not read: {kinds}"] * bool(others)
    return _from_texts(texts, folder, limit, problems=problems, notes=notes)


def _from_texts(
    texts: dict[str, str], source: Path, limit: int, *, notes: list[str], problems: list[str] | None = None
) -> Corpus:
    problems = list(problems or [])
    passages: list[Passage] = []
    for name, text in texts.items():
        document = Document(name, Path(name).stem.replace("_", " "), text)
        pieces = [piece for section in split_sections(document) for piece in _cut(section)]
        if not pieces:
            wrong = "has headings but no text below them" if text.strip() else "is empty"
            problems.append(f"{name} {wrong}: fill it or take it out")
        passages += pieces
    if len(passages) > limit:
        notes = [*notes, f"only the first {limit:,} of {len(passages):,} passages were read (limit={limit})"]
    headed = ((p.heading, p) for p in passages[:limit] if p.heading and p.id.endswith(".1"))
    questions = known_item_questions(headed)
    return make_corpus(source, passages[:limit], questions, problems=problems, notes=notes)


def _cut(section: Passage) -> list[Passage]:
    """Pieces of at most `MAX_WORDS` words, cut at ends of sentences where there are any."""
    pieces: list[list[str]] = [[]]
    for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", section.body):
        words = sentence.split()
        for part in (words[i : i + MAX_WORDS] for i in range(0, len(words), MAX_WORDS)):
            if len(pieces[-1]) + len(part) > MAX_WORDS:
                pieces.append([])
            pieces[-1] += part
    texts = [" ".join(piece) for piece in pieces if piece]
    same = (section.document_id, section.title, section.heading)
    return [Passage(f"{section.id}.{i}", *same, text) for i, text in enumerate(texts, 1)]


def _from_python_docs() -> Corpus:
    """The language reference that ships with every CPython; its index (term → topic) gives the questions."""
    from pydoc_data.topics import topics

    documents = [Document(name, name, text) for name, text in sorted(topics.items())]
    passages = [p for d in documents for p in _cut(Passage(d.id, d.id, d.title, "", d.text))]
    questions = []
    index = {**pydoc.Helper.topics, **pydoc.Helper.keywords, **pydoc.Helper.symbols}
    for term in sorted(index):
        topic = _topic(term, index)
        gold = tuple(p.id for p in passages if p.document_id == topic)
        if gold:
            asked, number = f"Python {term.lower()}", len(questions) + 1
            questions.append(Question(f"term-{number}", asked, kind="known_item", gold_ids=gold))
    return make_corpus("python-docs", passages, questions, problems=[], notes=[])


def _topic(term: str, index: dict) -> str:
    """The topic a term leads to; some lead there by way of another term."""
    for _ in range(2):
        found = index.get(term, term)
        term = found[0] if isinstance(found, tuple) else found
    return term


def _from_hub(name: str, limit: int) -> Corpus:
    """A data set of the Hugging Face hub, or of its cache when the hub can't be reached."""
    from datasets import load_dataset

    parts = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?::([\w.-]+))?", name)
    if not parts:  # a bare name such as "csv" would make `datasets` read whatever lies here
        named = "a data set is named with its owner, as 'owner/name:split'"
        raise DataProblems(name, [f"no such file or folder, and {named}. Expected {KINDS}"])
    repository, config, split = parts.groups()
    try:
        with offline_if_unreachable() as offline:
            rows = load_dataset(repository, config, split=f"{split or 'train'}[:{limit + 1}]")
    except Exception as error:  # datasets passes on those of pyarrow, fsspec and its HTTP library
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = f"no network, and it is not in the cache ({said})" if offline else f"{type(error).__name__}: {said}"
        meant = f"if a file or folder was meant, check its path. Expected {KINDS}"
        raise DataProblems(name, [f"the data set could not be loaded: {reason}", meant]) from error
    return table_corpus(read_frame(rows.to_pandas()), name, limit)


@contextmanager
def offline_if_unreachable():  # noqa: ANN202  (yields whether it is offline)
    """Ask the hub once. Without an answer, go offline for a while: `datasets` would try for half a minute."""
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception:  # of the hub's HTTP library, which depends on its version
        constants.HF_HUB_OFFLINE = True
    try:
        yield constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before
