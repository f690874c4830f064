"""What does an encoder keep of a text, and what does it lose?

Two probes: triplets that differ in one decisive detail (`measure_probes`), and facts that stand beyond the encoder's limit
(`fact_depths`). Taught in `01_embeddings`. Leaves out: what lost nuances do to answers (`03_generation`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from helpers import experiments
from helpers.corpus import Corpus, Document, Passage, Question, read_jsonl
from helpers.embeddings import Embedder, cosine
from helpers.retrieval import DenseRetriever
from helpers.runtime import ROOT

PROBES = ROOT / "data/probes/probes.jsonl"


@dataclass(frozen=True)
class Probe:
    """A triplet: `same` means what `anchor` means, `different` does not. `rewording` tells how far `same` is reworded."""

    id: str
    kind: str
    rewording: str
    anchor: str
    same: str
    different: str


def load_probes(*, n_per_kind: int = 1_000, seed: int = 0) -> list[Probe]:
    """The probes, at most `n_per_kind` of each kind (drawn with `seed`), in the order of the file."""
    probes = [Probe(**record) for record in read_jsonl(PROBES)]
    kept: set[str] = set()
    for kind in dict.fromkeys(probe.kind for probe in probes):
        ids = [probe.id for probe in probes if probe.kind == kind]
        kept |= set(random.Random(seed).sample(ids, min(n_per_kind, len(ids))))
    return [probe for probe in probes if probe.id in kept]


def measure_probes(embedder: Embedder, probes: Sequence[Probe]) -> pd.DataFrame:
    """One row per probe: condition (its kind), rewording, both cosines, and score 1.0 if `same` is nearer than `different`."""

    def measure_batch(batch: Sequence[Probe]) -> list[dict]:
        texts = [[getattr(probe, part) for probe in batch] for part in ("anchor", "same", "different")]
        anchor, same, different = (embedder.encode(part) for part in texts)
        pairs = zip(batch, cosine(anchor, same).tolist(), cosine(anchor, different).tolist(), strict=True)
        return [_row(probe, near, far) for probe, near, far in pairs]

    batches = [[probe for probe in probes if probe.kind == kind] for kind in dict.fromkeys(p.kind for p in probes)]
    return experiments.measure("probes", batches, measure_batch, settings={"model": embedder.name})


def _row(probe: Probe, near: float, far: float) -> dict:
    return {
        "condition": probe.kind,
        "rewording": probe.rewording,
        "cosine_same": round(near, 5),
        "cosine_different": round(far, 5),
        "score": float(near > far),
    }


def fact_depths(corpus: Corpus, questions: Sequence[Question], *, sections: DenseRetriever) -> pd.DataFrame:
    """Does a question find its document first, by where its fact stands in it? One row per question.

    `condition` says whether the fact ends before the encoder's limit; `score` is for documents embedded whole, `score_sections` for the
    control, `sections` of the same documents, where nothing is cut off. `depth` counts tokens up to the end of the fact.
    """
    embedder, documents = sections.embedder, {d.id: d for d in corpus.documents}
    whole = DenseRetriever([_as_passage(d) for d in corpus.documents], embedder)
    asked = [q.question for q in questions]
    first_whole = [r.passages[0].document_id for r in whole.search(asked, 1)]
    first_section = [r.passages[0].document_id for r in sections.search(asked, 1)]
    depths = embedder.n_tokens([_up_to_fact(documents[q.document_ids[0]], q.evidence[0]) for q in questions])
    rows = zip(questions, depths, first_whole, first_section, strict=True)
    return pd.DataFrame([_depth_row(embedder.max_tokens, *row) for row in rows])


def _depth_row(limit: int, question: Question, depth: int, whole: str, section: str) -> dict:
    gold = question.document_ids[0]
    condition = f"fact {'before' if depth <= limit else 'after'} token {limit}"
    scores = {"score": float(whole == gold), "score_sections": float(section == gold)}
    return {"condition": condition, "item_id": question.id, "depth": depth, **scores}


def _as_passage(document: Document) -> Passage:
    return Passage(document.id, document.id, document.title, "", document.text)


def _up_to_fact(document: Document, evidence: str) -> str:
    """The document as it is embedded, cut off right after the fact."""
    text = " ".join(f"{document.title}\n{document.text}".split())
    return text[: text.index(evidence) + len(evidence)]
