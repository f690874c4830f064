"""What do we ask questions about: documents, passages and questions.

One record type for each, whatever the source; `load_company` reads the invented company in `data/company/`.
Used by every lesson from `00_start_here`. A learner's own data is read by `own_data`; passages are cut to
size in `02_retrieval`.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.runtime import ROOT

COMPANY = ROOT / "data/company"


@dataclass(frozen=True)
class Document:
    """A document and its front matter: `audience` public, internal or confidential; `date` YYYY-MM-DD."""

    id: str
    title: str
    text: str
    date: str = ""
    audience: str = "public"
    type: str = ""


@dataclass(frozen=True)
class Passage:
    """A piece of a document that is retrieved as one."""

    id: str
    document_id: str
    title: str
    heading: str
    body: str

    @property
    def text(self) -> str:
        """Title, heading and body: what is embedded, and what the generator reads."""
        label = ": ".join(part for part in (self.title, self.heading) if part)
        return f"{label}\n{self.body}" if label else self.body


@dataclass(frozen=True)
class Question:
    """A question with its accepted answers (none: unanswerable) and where the answer stands."""

    id: str
    question: str
    kind: str = "single_fact"
    answer: str = ""
    aliases: tuple[str, ...] = ()
    paraphrases: tuple[str, ...] = ()
    typo: str = ""
    document_ids: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    gold_ids: tuple[str, ...] = ()
    split: str = "wording"

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer and its aliases; empty for an unanswerable question."""
        return (self.answer, *self.aliases) if self.answer else ()


@dataclass(frozen=True)
class Corpus:
    """Documents, the passages cut from them, and questions about them."""

    name: str
    documents: tuple[Document, ...]
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def passage(self, passage_id: str) -> Passage:
        """The passage with this id. Raises `KeyError`."""
        return next((p for p in self.passages if p.id == passage_id), None) or _no_such(passage_id, self.name)

    def of_kind(self, kind: str, *, split: str | None = None) -> list[Question]:
        """The questions of one kind, in one split or both."""
        found = [q for q in self.questions if q.kind == kind and split in (None, q.split)]
        if not found:
            kinds = dict(Counter(q.kind for q in self.questions))
            where = f" of the split {split!r}" if split else ""
            raise ValueError(f"No {kind!r} questions{where} in {self.name!r}; kinds: {kinds}.")
        return found


def _no_such(passage_id: str, name: str) -> Passage:
    raise KeyError(f"No passage {passage_id!r} in {name!r}.")


def load_company(version: str = "current") -> Corpus:
    """The invented company: documents of 2026 (`"current"`), or with the changes of 2027 (`"updated"`)."""
    if version not in ("current", "updated"):
        raise ValueError(f"version must be 'current' or 'updated', got {version!r}.")
    paths = {p.stem: p for p in sorted((COMPANY / "documents").glob("*.md"))}
    if version == "updated":
        paths |= {p.stem: p for p in sorted((COMPANY / "updates").glob("*.md"))}
    documents = tuple(_read_document(path) for path in paths.values())
    passages = tuple(p for document in documents for p in split_sections(document))
    changes = {c["question_id"]: c for c in read_jsonl(COMPANY / "updates.jsonl")} if version == "updated" else {}
    records = [record | _changed(changes.get(record["id"])) for record in read_jsonl(COMPANY / "questions.jsonl")]
    return Corpus(f"Ondravelle ({version})", documents, passages, tuple(_question(r, passages) for r in records))


def sample(questions: Sequence[Question], n: int, *, seed: int) -> list[Question]:
    """`n` questions drawn without replacement, in their original order; all if there are no more."""
    chosen = random.Random(seed).sample(range(len(questions)), min(n, len(questions)))
    return [questions[i] for i in sorted(chosen)]


def load_dialogues() -> list[dict]:
    """Follow-ups: `{"id", "turns": [{"question", "standalone", "answer", "aliases", "document_id"}]}`."""
    return read_jsonl(COMPANY / "dialogues.jsonl")


def load_updates() -> list[dict]:
    """The facts that change in 2027: `{"question_id", "document_id", "answer", "aliases", "evidence"}`."""
    return read_jsonl(COMPANY / "updates.jsonl")


def load_general() -> list[Question]:
    """Easy questions of general knowledge, which a tuned model may forget; no passage answers them."""
    rows = read_jsonl(ROOT / "data/prompts/general.jsonl")
    return [
        Question(r["id"], r["question"], kind="general", answer=r["answer"], aliases=tuple(r["aliases"])) for r in rows
    ]


def load_wordings(company: Corpus) -> dict[str, tuple[str, ...]]:
    """The wordings of a question that a model may be trained on, by question id: all paraphrases but the first, and further ones.

    Only of single facts of the split `wording`; 300 of them have ten.
    """
    further = {row["question_id"]: row["wordings"] for row in read_jsonl(COMPANY / "wordings.jsonl")}
    facts = company.of_kind("single_fact", split="wording")
    return {q.id: (*q.paraphrases[1:], *further.get(q.id, ())) for q in facts}


def read_jsonl(path: Path) -> list[dict]:
    """The rows of a JSON-lines file. Raises `ValueError` naming the line that is not JSON."""
    rows = []
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{path.name}, line {number}: not valid JSON ({error}).") from error
    return rows


def _changed(change: dict | None) -> dict:
    return {k: change[k] for k in ("answer", "aliases", "evidence")} if change else {}


def _read_document(path: Path) -> Document:
    text = path.read_text("utf-8")
    front, body = re.match(r"---\n(.*?)\n---\n(.*)", text, re.S).groups()
    return Document(**dict(line.split(": ", 1) for line in front.splitlines()), text=body.strip())


def _question(record: dict, passages: Sequence[Passage]) -> Question:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    where = zip(record["document_ids"], record["evidence"], strict=True)
    gold = [
        p.id for document, said in where for p in passages if p.document_id == document and _fold(said) in _fold(p.body)
    ]
    return Question(**values, gold_ids=tuple(gold))


def _fold(text: str) -> str:
    return " ".join(text.split())


def split_sections(document: Document) -> list[Passage]:
    """One passage per section of a Markdown document (text before the first heading belongs to the first).

    >>> [p.heading for p in split_sections(Document("d", "Title", "## One\\nText.\\n## Two\\nMore."))]
    ['One', 'Two']
    """
    in_code = re.compile(r"^```.*?^```", flags=re.M | re.S)  # a # there is no heading
    text = in_code.sub(lambda code: code[0].replace("\n#", "\n\0#"), document.text)
    parts = re.split(r"^#{1,6} +(.+?) *#*$", text, flags=re.M)
    pairs = list(zip(parts[1::2], parts[2::2], strict=True)) or [("", "")]
    pairs[0] = (pairs[0][0], f"{parts[0]}\n{pairs[0][1]}")
    bodies = [(heading.strip(), body.replace("\0", "").strip()) for heading, body in pairs if body.strip()]
    return [Passage(f"{document.id}#{i}", document.id, document.title, h, b) for i, (h, b) in enumerate(bodies, 1)]


def counts() -> dict[str, Counter]:
    """How much there is of everything in `data/`, each by what it is divided into."""
    company, turns = load_company(), [len(dialogue["turns"]) for dialogue in load_dialogues()]
    return {
        "documents": Counter(d.audience for d in company.documents),
        "documents by type": Counter(d.type for d in company.documents),
        "sections": Counter(p.document_id.rsplit("-", 1)[0] for p in company.passages),
        "questions": Counter(q.kind for q in company.questions),
        "single_fact by split": Counter(q.split for q in company.of_kind("single_fact")),
        "dialogues": Counter(f"of {n} turns" for n in turns),
        "updates": Counter(row["document_id"].rsplit("-", 1)[0] for row in load_updates()),
        "probes": Counter(row["kind"] for row in read_jsonl(ROOT / "data/probes/probes.jsonl")),
    }


def main() -> None:
    """Print `counts()` as a table: `python -m helpers.corpus`."""
    for name, counted in counts().items():
        parts = ", ".join(f"{part} {n}" for part, n in counted.most_common())
        print(f"{name:<22}{counted.total():>6}   {parts}")


if __name__ == "__main__":
    main()
