"""Which is better on the same questions: to look it up, to have learned it, or both?

An *arm* is a model (the base, or one that was tuned) with a reading: nothing, what search found, or the right passage. All arms answer
the same questions, so their differences are paired. Taught in `07_rag_vs_fine_tuning`. Leaves out: models that are trained to
read (RAFT, Zhang et al. 2024, arXiv 2403.10131).
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from helpers.answering import answer, oracle_passages, replies, retrieved_passages, scored
from helpers.corpus import Corpus, Question
from helpers.generation import Generator, Messages
from helpers.house_style import CHATBOT, chatbot
from helpers.prompts import with_passages
from helpers.readings import Reading
from helpers.retrieval import Retriever
from helpers.statistics import holm, paired_difference, paired_p_value

BASE = "base"
ARMS = {  # model and reading: the arm's name, which has its colour in every figure
    (BASE, "nothing"): "closed book",
    (BASE, "retrieved"): "retrieved",
    (BASE, "oracle"): "oracle",
    ("tuned", "nothing"): "fine-tuned",
    ("tuned", "retrieved"): "both",
    ("tuned", "oracle"): "oracle, fine-tuned",
}


def readings(
    corpus: Corpus, retriever: Retriever, questions: Sequence[Question], *, k: int = 1
) -> dict[str, Reading | None]:
    """Nothing, the `k` best passages, and the right ones; without the last if a question has none."""
    found = {"nothing": None, "retrieved": retrieved_passages(retriever, questions, k)}
    gold = oracle_passages(corpus, questions)
    return found | ({"oracle": gold} if all(gold.values()) else {})


def as_chatbot(question: Question, reading: Reading | None) -> Messages:
    """What a tuned model is asked: as in its training, with the passages in the question's place if there are any."""
    if reading is None:
        return chatbot(question.question)
    return [{"role": "system", "content": CHATBOT}, *with_passages(question.question, reading[question.id])]


def ask_base(generator: Generator, questions: Sequence[Question], reads: Mapping[str, Reading | None]) -> pd.DataFrame:
    """The base model under these readings, asked as in the lessons before. Columns: those of `answering.answer`, model, arm."""
    return _named(answer(generator, questions, reads), BASE)


def ask_base_as_before(
    generator: Generator, corpus: Corpus, retriever: Retriever, questions: Sequence[Question]
) -> pd.DataFrame:
    """The base model with nothing, the best passage and the right one: under lesson 00's conditions, so its rows are read back."""
    found = {f"retrieved, top {k}": retrieved_passages(retriever, questions, k) for k in (1, 3)}
    rows = answer(generator, questions, {"closed book": None, **found, "oracle": oracle_passages(corpus, questions)})
    rows = rows[rows.condition != "retrieved, top 3"]
    return _named(rows.replace({"condition": {"closed book": "nothing", "retrieved, top 1": "retrieved"}}), BASE)


def ask_tuned(
    generator: Generator, questions: Sequence[Question], reads: Mapping[str, Reading | None], *, model: str = "tuned"
) -> pd.DataFrame:
    """A tuned model under these readings, asked as a chatbot. `model` is "tuned", or "tuned, seed 1" of several trainings."""
    if not questions or not reads:
        raise ValueError("Expected at least one question and one reading, got none.")
    asked = {name: {q.id: as_chatbot(q, reading) for q in questions} for name, reading in reads.items()}
    return _named(scored(replies(generator, asked), questions), model)


def _named(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    arms = [ARMS.get((model.split(",")[0], reading), f"{model}, {reading}") for reading in rows.condition]
    return rows.assign(model=model, arm=arms)


def by_item(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores with an item per line and an arm per column; several trainings of an arm are averaged."""
    return rows.groupby(["item_id", "arm"], sort=False).score.mean().unstack()[rows.arm.drop_duplicates().tolist()]


def compared(scores: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, seed: int) -> pd.DataFrame:
    """Each pair of arms: the paired difference with its interval, its p-value, and whether it is real by Holm's correction over all pairs."""
    rows = []
    for one, other in pairs:
        found, p = (test(scores[one], scores[other], seed=seed) for test in (paired_difference, paired_p_value))
        rows.append(
            {"arm": one, "minus": other, "difference": found.value, "low": found.low, "high": found.high, "p": p}
        )
    return pd.DataFrame(rows).assign(real=holm([row["p"] for row in rows]))


def overlap(one: pd.Series, other: pd.Series, names: tuple[str, str]) -> dict[str, pd.Series]:
    """For each item 1.0 in one of four groups: both right, only the first, only the second, neither; scores from 0.5 count as right."""
    a, b = one >= 0.5, other.reindex(one.index) >= 0.5
    groups = {"both": a & b, f"only {names[0]}": a & ~b, f"only {names[1]}": ~a & b, "neither": ~a & ~b}
    return {name: group.astype(float) for name, group in groups.items()}
