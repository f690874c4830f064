"""What does the generator answer when it reads nothing, what retrieval found, or just the right passage?

One function asks the same questions under any of these conditions and returns tidy rows, checkpointed by
`experiments`. Taught in `00_start_here` and `03_generation`. Leaves out: fine-tuned generators
(`07_rag_vs_fine_tuning`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from helpers import experiments, prompts
from helpers.corpus import Corpus, Passage, Question
from helpers.generation import Generator, Messages, batches_by_length
from helpers.retrieval import Retriever
from helpers.scoring import hit_at_k, outcome
from helpers.statistics import Estimate, rate

MAX_NEW_TOKENS = 32
BATCH_SIZE = 64


@dataclass(frozen=True)
class Prompt:
    """A question as the generator gets it: one item of the experiment."""

    id: str
    messages: Messages


def oracle_passages(corpus: Corpus, questions: Sequence[Question]) -> dict[str, list[Passage]]:
    """The gold passages of each question, by question id: what a perfect retriever would find."""
    passages = {passage.id: passage for passage in corpus.passages}
    return {q.id: [passages[i] for i in q.gold_ids] for q in questions}


def retrieved_passages(retriever: Retriever, questions: Sequence[Question], k: int) -> dict[str, list[Passage]]:
    """The `k` best passages of each question, by question id, best first."""
    rankings = retriever.search([q.question for q in questions], k)
    return {q.id: list(ranking.passages) for q, ranking in zip(questions, rankings, strict=True)}


def answer(
    generator: Generator,
    questions: Sequence[Question],
    *,
    condition: str,
    read: Mapping[str, Sequence[Passage]] | None = None,
    again: bool = False,
) -> pd.DataFrame:
    """Answer all questions after reading `read[question.id]` (nothing: closed book); one row per question.

    Columns: experiment, condition, item_id, prediction, n_prompt_tokens, n_new_tokens, seconds, outcome
    (correct, refused, wrong), score (1.0 if correct) and, where passages were read, `hit` (1.0 if a gold
    passage was among them).
    """
    asked = _prompts(questions, read)
    batches = batches_by_length(asked, [generator.n_tokens(p.messages) for p in asked], BATCH_SIZE)

    def answer_batch(batch: Sequence[Prompt]) -> list[dict]:
        answers = generator.generate([p.messages for p in batch], max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH_SIZE)
        return [
            {"prediction": a.text, "n_prompt_tokens": a.n_prompt_tokens, "n_new_tokens": a.n_new_tokens}
            for a in answers
        ]

    settings = {"condition": condition, "model": generator.name, "max_new_tokens": MAX_NEW_TOKENS}
    rows = experiments.measure("answers", batches, answer_batch, settings=settings, again=again)
    return _scored(rows, questions, read)


def _prompts(questions: Sequence[Question], read: Mapping[str, Sequence[Passage]] | None) -> list[Prompt]:
    """One prompt per question. Raises `ValueError` for no questions, or naming those with nothing to read."""
    if not questions:
        raise ValueError("Expected at least one question, got none.")
    if read is None:
        return [Prompt(q.id, prompts.closed_book(q.question)) for q in questions]
    if bare := [q.id for q in questions if not read.get(q.id)]:
        raise ValueError(
            f"{len(bare)} of {len(questions)} questions have no passages to read: {bare[:5]}. Leave them out "
            "(unanswerable ones have no gold passage), or leave `read` out to ask with a closed book."
        )
    return [Prompt(q.id, prompts.with_passages(q.question, read[q.id])) for q in questions]


def _scored(
    rows: pd.DataFrame, questions: Sequence[Question], read: Mapping[str, Sequence[Passage]] | None
) -> pd.DataFrame:
    """Add what follows from the predictions; never stored, so a better scorer needs no new measurement."""
    known = {q.id: q for q in questions}
    rows["outcome"] = [outcome(r.prediction, known[r.item_id].answers) for r in rows.itertuples()]
    rows["score"] = (rows["outcome"] == "correct").astype(float)
    if read is not None:
        found = {i: [passage.id for passage in passages] for i, passages in read.items()}
        rows["hit"] = [hit_at_k(found[i], known[i].gold_ids, len(found[i])) for i in rows["item_id"]]
    return rows


def accuracies(rows: pd.DataFrame) -> dict[str, Estimate]:
    """Accuracy with its interval for each condition, in the order in which they were measured."""
    return {condition: rate(group["score"]) for condition, group in rows.groupby("condition", sort=False)}
