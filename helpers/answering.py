"""What does the generator answer when it reads nothing, what retrieval found, or just the right passage?

One function asks the same questions under several conditions and returns tidy rows, checkpointed by
`experiments`. Taught in `00_start_here` and `03_generation`. Leaves out: fine-tuned generators
(`07_rag_vs_fine_tuning`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from helpers import experiments, prompts
from helpers.corpus import Corpus, Passage, Question
from helpers.generation import Answer, Generator, Messages, batches_by_length
from helpers.readings import Reading
from helpers.retrieval import Retriever
from helpers.scoring import hit_at_k, outcome
from helpers.statistics import Estimate, rate

MAX_NEW_TOKENS = 32
PROMPTS_AT_ONCE = (
    128  # between two checkpoints; all conditions of a question are among them and share what they begin with
)


@dataclass(frozen=True)
class Prompt:
    """A question under one condition, as the generator gets it: one item of the experiment."""

    id: str
    condition: str
    question_id: str
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
    conditions: Mapping[str, Reading | None],
    *,
    template: str = prompts.GROUNDED,
    again: bool = False,
) -> pd.DataFrame:
    """Answer all questions under each condition: after reading these passages (`None`: nothing, a closed book).

    `template` is one of `prompts`. One row per condition and question, in that order. Columns: experiment, item_id (the
    question's), condition, prediction, n_prompt_tokens, n_new_tokens, seconds (a mean over conditions), outcome (correct,
    refused, wrong), score (1.0 if correct) and, where passages were read, `hit` (1.0 if a gold passage was among them).
    """
    made = {q.id: _prompts(q, conditions, template) for q in _checked(questions, conditions)}
    return _with_hits(_measured(generator, made, list(conditions), again=again), questions, conditions)


def replies(
    generator: Generator, asked: Mapping[str, Mapping[str, Messages]], *, max_new_tokens: int = MAX_NEW_TOKENS
) -> pd.DataFrame:
    """What the generator says to prompts made elsewhere: `asked` gives chat messages by condition and item id.

    Columns: experiment, item_id, condition, prediction, n_prompt_tokens, n_new_tokens, seconds. Conditions may ask different items.
    """
    made: dict[str, list[Prompt]] = {}
    for condition, prompts_of in asked.items():
        for item_id, messages in prompts_of.items():
            prompt = Prompt(f"{condition}: {item_id}", condition, item_id, messages)
            made.setdefault(item_id, []).append(prompt)
    return _measured(generator, made, list(asked), max_new_tokens=max_new_tokens)


def scored(rows: pd.DataFrame, questions: Sequence[Question]) -> pd.DataFrame:
    """Rows of `replies` with outcome (correct, refused, wrong) and score (1.0 if correct), by the answers of these questions."""
    known = {q.id: q for q in questions}
    found = [outcome(r.prediction, known[r.item_id].answers) for r in rows.itertuples()]
    return rows.assign(outcome=found, score=[float(one == "correct") for one in found])


def _measured(
    generator: Generator,
    asked: Mapping[str, list[Prompt]],
    conditions: Sequence[str],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    again: bool = False,
) -> pd.DataFrame:
    """Rows of all prompts, in the order of `conditions`; those of one item are read together, since they begin alike."""
    lengths = [max(generator.n_tokens(prompt.messages) for prompt in made) for made in asked.values()]
    together = batches_by_length(list(asked), lengths, max(1, PROMPTS_AT_ONCE // len(conditions)))

    def answer_batch(batch: Sequence[Prompt]) -> list[dict]:
        answers = generator.generate([p.messages for p in batch], max_new_tokens=max_new_tokens)
        return [_row(*pair) for pair in zip(batch, answers, strict=True)]

    batches = [[prompt for i in ids for prompt in asked[i]] for ids in together]
    settings = {"model": generator.name, "max_new_tokens": max_new_tokens}
    rows = experiments.measure("answers", batches, answer_batch, settings=settings, again=again)
    rows["item_id"] = rows.pop("question_id")
    order = pd.Series(range(len(conditions)), list(conditions))
    return rows.sort_values("condition", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _row(prompt: Prompt, said: Answer) -> dict:
    asked = {"condition": prompt.condition, "question_id": prompt.question_id}
    return asked | {"prediction": said.text, "n_prompt_tokens": said.n_prompt_tokens, "n_new_tokens": said.n_new_tokens}


def _checked(questions: Sequence[Question], conditions: Mapping[str, Reading | None]) -> Sequence[Question]:
    """Raise `ValueError` for no questions or conditions, or naming the questions with nothing to read."""
    if not questions or not conditions:
        raise ValueError("Expected at least one question and one condition, got none.")
    for name, read in conditions.items():
        if read is not None and (bare := [q.id for q in questions if not read.get(q.id)]):
            raise ValueError(
                f"{name}: {len(bare)} of {len(questions)} questions have no passages to read: {bare[:5]}. Leave them out "
                "(unanswerable ones have no gold passage), or give None in place of passages to ask with a closed book."
            )
    return questions


def _prompts(question: Question, conditions: Mapping[str, Reading | None], template: str) -> list[Prompt]:
    """The question's prompt under each condition."""
    return [
        Prompt(f"{name}: {question.id}", name, question.id, _messages(question, read, template))
        for name, read in conditions.items()
    ]


def _messages(question: Question, read: Reading | None, template: str) -> Messages:
    if read is None:
        return prompts.closed_book(question.question)
    return prompts.with_passages(question.question, read[question.id], template=template)


def _with_hits(
    rows: pd.DataFrame, questions: Sequence[Question], conditions: Mapping[str, Reading | None]
) -> pd.DataFrame:
    """Add what follows from the predictions; never stored, so a better scorer needs no new measurement."""
    known = {q.id: q for q in questions}
    hits = [_hit(conditions[r.condition], known[r.item_id]) for r in rows.itertuples()]
    return scored(rows, questions).assign(hit=hits)


def _hit(read: Reading | None, question: Question) -> float | None:
    if read is None:
        return None
    found = [passage.id for passage in read[question.id]]
    return hit_at_k(found, question.gold_ids, len(found))


def accuracies(rows: pd.DataFrame) -> dict[str, Estimate]:
    """Accuracy with its interval for each condition, in the order in which they were measured."""
    return {condition: rate(group["score"]) for condition, group in rows.groupby("condition", sort=False)}
