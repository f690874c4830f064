"""Does it matter where in a long prompt the right passage stands?

As in *Lost in the middle* (Liu et al. 2023, arXiv 2307.03172), the same question is asked with its passage at every place. Here n
questions and the n short passages that answer them make one block of n contexts: each context is the one before, turned on by one
place. So every passage stands at every place once (a Latin square), distractors are always the same, and a context is read once for all
that is asked about it. Taught in `06_lost_in_the_middle`. Leaves out: keys and values (`key_values`), what happens inside
(`attention`).
"""

import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers import experiments
from helpers.answering import replies, scored
from helpers.chunking import sentences
from helpers.corpus import Corpus, Passage, Question
from helpers.generation import BATCH_SIZE, Answer, Generator, Messages
from helpers.prompts import DOCUMENTS, short_answer
from helpers.readings import Reading
from helpers.scoring import find_tokens, tokens
from helpers.statistics import Estimate, mean

MAX_NEW_TOKENS = 16  # a fact of a few words: the reply is begun for it
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the passage: 0 is the first, 1 the last place in the prompt


@dataclass(frozen=True)
class Block:
    """Questions, the passage that answers each (in the same order; none answers another's question), and others' questions."""

    id: str
    questions: tuple[Question, ...]
    passages: tuple[Passage, ...]
    others: tuple[Question, ...] = ()  # as many, that nothing here answers: a control


@dataclass(frozen=True)
class Trial:
    """One question about one context: an item of the experiment. `gold_id` is the question whose answer is looked for."""

    id: str
    condition: str
    gold_id: str
    position: int
    messages: Messages


def excerpt(passage: Passage, said: str, *, n_words: int, titled: bool = False) -> Passage:
    """The sentence that holds `said`, with its neighbours for as long as there are fewer than `n_words` words; no heading.

    `said` is evidence or an answer; `titled` keeps the title, for passages that don't say what they are about. Raises `ValueError` if no
    sentence holds `said`: then evidence runs over several.
    """
    parts = sentences(passage.body)
    first = next((i for i, part in enumerate(parts) if _fold(said) in _fold(part)), None)
    first = next((i for i, part in enumerate(parts) if find_tokens(part, said) >= 0), None) if first is None else first
    if first is None:
        raise ValueError(f"{passage.id}: no sentence holds {said[:60]!r}. Give its evidence, or leave it out.")
    last = first
    while sum(len(part.split()) for part in parts[first : last + 1]) < n_words and last - first + 1 < len(parts):
        first, last = (first, last + 1) if last + 1 < len(parts) else (first - 1, last)
    body = " ".join(" ".join(parts[first : last + 1]).split())
    return replace(passage, title=passage.title if titled else "", heading="", body=body)


def with_fact_at(passage: Passage, said: str, *, end: bool) -> Passage:
    """The same sentences with the one that holds `said` moved to the beginning or to the end of the passage."""
    parts = sentences(passage.body)
    fact = [part for part in parts if _fold(said) in _fold(part)]
    rest = [part for part in parts if part not in fact]
    return replace(passage, body=" ".join([*rest, *fact] if end else [*fact, *rest]))


def _fold(text: str) -> str:
    return " ".join(text.split())


def evidence_of(question: Question) -> str:
    """What the gold passage says about it: its evidence, else its answer."""
    return question.evidence[0] if question.evidence else question.answer


def excerpts(
    corpus: Corpus, questions: Sequence[Question], *, n_words: int, titled: bool = False
) -> dict[str, Passage]:
    """The gold passage of each question, by its id, cut down to `excerpt`; questions with none, or with several, are left out."""
    found = {}
    for question in questions:
        if len(question.gold_ids) == 1 and question.answer:
            passage = corpus.passage(question.gold_ids[0])
            try:
                found[question.id] = excerpt(passage, evidence_of(question), n_words=n_words, titled=titled)
            except ValueError:
                continue
    return found


def blocks(
    questions: Sequence[Question], gold: Mapping[str, Passage], n: int, *, seed: int, vectors: np.ndarray | None = None
) -> list[Block]:
    """As many blocks of `n` questions as there are, each passage in one block only, none of which answers another's question.

    By lot; or, with `vectors` (unit length, [n_questions, d], of the passages), each block as alike as can be: its first passage and the
    nearest ones to it. Raises `ValueError` if there are not even enough questions for one block.
    """
    order = random.Random(seed).sample(range(len(questions)), len(questions))
    one_each = {gold[questions[i].id].id: i for i in order[::-1] if questions[i].id in gold}
    left = [i for i in order if i in set(one_each.values())]
    words = {
        q.id: [f" {' '.join(tokens(said))} " for said in (gold[q.id].text, *q.answers)]
        for q in questions
        if q.id in gold
    }
    made: list[list[int]] = []
    while len(left) >= n:
        near = left if vectors is None else sorted(left, key=lambda i: -float(vectors[i] @ vectors[left[0]]))
        chosen: list[int] = []
        for i in near:
            if len(chosen) < n and all(_apart(words[questions[i].id], words[questions[j].id]) for j in chosen):
                chosen.append(i)
        if len(chosen) == n:
            made.append(chosen)
        left = [i for i in left if i not in chosen] if len(chosen) == n else left[1:]
    if not made:
        raise ValueError(f"Expected at least {n} questions with one passage each, got {len(left)} that go together.")
    return [_block(k, made, questions, gold, words) for k in range(len(made))]


def _apart(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether neither passage holds the other's answer; each is given by its words, followed by those of its answers."""
    return not any(said in other[0] for said in one[1:]) and not any(said in one[0] for said in other[1:])


def _block(
    k: int, made: list[list[int]], questions: Sequence[Question], gold: Mapping[str, Passage], words: dict
) -> Block:
    own = [questions[i] for i in made[k]]
    texts = "".join(words[q.id][0] for q in own)
    strangers = [questions[i] for other in made[k + 1 :] + made[:k] for i in other]
    others = [q for q in strangers if not any(said in texts for said in words[q.id][1:])][: len(own)]
    return Block(f"block {k + 1}", tuple(own), tuple(gold[q.id] for q in own), tuple(others))


def dressed(block: Block, gold: Mapping[str, Passage]) -> Block:
    """The same questions with other versions of their passages, by question id. They should say no more than before."""
    return replace(block, passages=tuple(gold[question.id] for question in block.questions))


def places(n: int, fractions: Sequence[float] = PLACES) -> list[int]:
    """The positions (from 0) of those places among `n` passages, each once.

    >>> places(10), places(3)
    ([0, 2, 4, 7, 9], [0, 1, 2])
    """
    return sorted({round(fraction * (n - 1)) for fraction in fractions})


def contexts(block: Block) -> Iterator[list[int]]:
    """For each of the n contexts: which passage (its place in the block) stands first, second, and so on."""
    n = len(block.passages)
    for turn in range(n):
        yield [(place - turn) % n for place in range(n)]


def trials(
    block: Block,
    positions: Sequence[int],
    *,
    only: Collection[str] | None = None,
    template: str = DOCUMENTS,
    other_question: bool = False,
) -> list[Trial]:
    """Every question of the block, or those with the ids `only`, with its passage at each of the positions, context by context.

    `other_question` asks in its place one that nothing here answers: what then comes out as the answer was not asked for.
    """
    made = []
    for order in contexts(block):
        read = [block.passages[i] for i in order]
        for position in positions:
            question = block.questions[order[position]]
            if only is not None and question.id not in only:
                continue
            asked = block.others[order[position] % len(block.others)] if other_question else question
            messages = short_answer(asked.question, read, template=template)
            condition = f"{len(order)} passages, gold at {position}"
            made.append(Trial(f"{condition}: {question.id}", condition, question.id, position, messages))
    return made


def sweep(generator: Generator, some: Sequence[Block], positions: Sequence[int], **how: object) -> pd.DataFrame:
    """Ask everything that `trials` makes of the blocks, one block at a time (checkpointed); `how` goes to `trials`.

    One row per question and position. Columns: item_id (the question's), passage_id, condition, position, n_passages, prediction,
    n_prompt_tokens, n_new_tokens, seconds, outcome, score (1.0 if right).
    """
    asked = [trials(block, positions, **how) for block in some]

    def measure_batch(batch: Sequence[Trial]) -> list[dict]:
        said = generator.generate([trial.messages for trial in batch], max_new_tokens=MAX_NEW_TOKENS)
        return [_row(trial, answer) for trial, answer in zip(batch, said, strict=True)]

    settings = {"model": generator.name, "max_new_tokens": MAX_NEW_TOKENS}
    rows = experiments.measure("positions", asked, measure_batch, settings=settings)
    return _scored(rows, some)


def _row(trial: Trial, said: Answer) -> dict:
    where = {"condition": trial.condition, "question_id": trial.gold_id, "position": trial.position}
    return where | {"prediction": said.text, "n_prompt_tokens": said.n_prompt_tokens, "n_new_tokens": said.n_new_tokens}


def _scored(rows: pd.DataFrame, some: Sequence[Block]) -> pd.DataFrame:
    known = {
        q.id: (q, p, len(block.passages))
        for block in some
        for q, p in zip(block.questions, block.passages, strict=True)
    }
    rows["item_id"] = rows.pop("question_id")
    rows["passage_id"] = [known[i][1].id for i in rows.item_id]
    rows["n_passages"] = [known[i][2] for i in rows.item_id]
    questions = [question for question, _, _ in known.values()]
    return scored(rows, questions).sort_values(["position", "item_id"], ignore_index=True)


def ask_about(
    generator: Generator, questions: Sequence[Question], reading: Reading, *, condition: str, template: str = DOCUMENTS
) -> pd.DataFrame:
    """Each question once about these passages (none: a closed book), asked as in a sweep. Columns: those of `replies`, outcome, score.

    Raises `ValueError` for no questions.
    """
    if not questions:
        raise ValueError(
            "Expected at least one question, got none. Does each answer stand word for word in its passage?"
        )
    asked = {q.id: short_answer(q.question, reading.get(q.id, ()), template=template) for q in questions}
    return scored(replies(generator, {condition: asked}, max_new_tokens=MAX_NEW_TOKENS), questions)


def ends_minus_middle(rows: pd.DataFrame, *, seed: int) -> Estimate:
    """Mean score at the two ends minus the mean over the positions between them; the same questions at each, resampled."""
    table = rows.pivot(index="item_id", columns="position", values="score")
    first, *middle, last = sorted(table.columns)
    if not middle:
        raise ValueError(f"Expected at least three positions, got {sorted(table.columns)}.")
    return mean((table[first] + table[last]) / 2 - table[middle].mean(axis=1), seed=seed)


@dataclass(frozen=True)
class _Way:
    """One way to read all prompts of a block: an item of the benchmark."""

    id: str
    batch_size: int


def reuse_benchmark(generator: Generator, block: Block, positions: Sequence[int]) -> pd.DataFrame:
    """The same prompts one by one, and together with what they share read once; both in one run on one machine.

    One row each: item_id (the way), n_prompts, n_tokens_read, took (seconds for all), and same, the share of answers that are the same.
    """
    asked = [trial.messages for trial in trials(block, positions)]

    def measure_batch(ways: Sequence[_Way]) -> list[dict]:
        rows, texts = [], []
        for way in ways:
            before, started = generator.n_tokens_read, time.perf_counter()
            said = generator.generate(asked, max_new_tokens=MAX_NEW_TOKENS, batch_size=way.batch_size)
            took = round(time.perf_counter() - started, 2)
            texts.append([answer.text for answer in said])
            same = sum(a == b for a, b in zip(texts[0], texts[-1], strict=True)) / len(asked)
            read = generator.n_tokens_read - before
            rows.append({"n_prompts": len(asked), "n_tokens_read": read, "took": took, "same": same})
        return rows

    ways = [_Way("one by one", 1), _Way("shared once", BATCH_SIZE)]
    settings = {"model": generator.name, "asked": asked}
    return experiments.measure("prefix-reuse", [ways], measure_batch, settings=settings)
