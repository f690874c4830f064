"""Can a support desk answer rightly, name its source, and keep quiet when no document says?

One passage or a few are retrieved, the generator answers from them, and `Citer` names the passage that the answer rests on. Whether
to answer at all is decided outside the model: a question whose best passage is too far away is refused. How far is too far is
chosen on questions for development (`threshold`). Taught in `08_which_one_when`. Leaves out: refusing by the model's own words
(`prompts.MAY_REFUSE`), handing over to a person, and who may read which document.
"""

from collections.abc import Sequence

import pandas as pd

from helpers.answering import answer, scored
from helpers.corpus import Corpus, Passage, Question
from helpers.failures import Citer
from helpers.generation import Generator
from helpers.retrieval import Ranking, Retriever
from helpers.scoring import is_refusal

K = 1  # passages that are read; a small model is easily led astray by a second one
REFUSAL = "I don't know."
CONDITION = "support desk"


def answer_desk(
    generator: Generator, retriever: Retriever, questions: Sequence[Question], *, refuse_below: float | None, k: int = K
) -> pd.DataFrame:
    """Answer every question from the `k` best passages, or refuse it if the best one's cosine is below `refuse_below` (`None`: never).

    One row per question. Columns: those of `answering.answer`, and cosine (the retriever's score of the best passage), refused (1.0 if
    the desk or the generator itself says that it does not know), cited (id of the passage that the answer rests on; none for a
    refusal and for words that stand in no passage read) and cited_right (1.0 if that passage is of a gold document).
    All are answered and refusals put in afterwards, so another threshold needs no new measurement; `seconds` includes that answer.
    """
    rankings = retriever.search([q.question for q in questions], k)
    found = {q.id: ranking for q, ranking in zip(questions, rankings, strict=True)}
    known = {q.id: q for q in questions}
    rows = answer(generator, questions, {CONDITION: {i: ranking.passages for i, ranking in found.items()}})
    rows["cosine"] = [found[i].scores[0] for i in rows["item_id"]]
    if refuse_below is not None:
        rows.loc[rows["cosine"] < refuse_below, "prediction"] = REFUSAL
    rows = scored(rows, questions)
    rows["refused"] = [float(is_refusal(said)) for said in rows["prediction"]]
    return _with_sources(rows, found, known, retriever.passages)


def _with_sources(
    rows: pd.DataFrame, found: dict[str, Ranking], known: dict[str, Question], passages: Sequence[Passage]
) -> pd.DataFrame:
    citer, home = Citer(passages), {passage.id: passage.document_id for passage in passages}
    cited = [
        None if row.refused else citer.cite(row.prediction, found[row.item_id].passages) for row in rows.itertuples()
    ]
    gold = [{*known[i].document_ids, *(home[g] for g in known[i].gold_ids if g in home)} for i in rows["item_id"]]
    rows["cited"] = [passage.id if passage else None for passage in cited]
    rows["cited_right"] = [
        float(bool(p) and p.document_id in documents) for p, documents in zip(cited, gold, strict=True)
    ]
    return rows


def development(corpus: Corpus) -> tuple[list[Question], list[Question]]:
    """Answerable and unanswerable questions to choose a threshold on: single facts of the split `fact`, every second unanswerable.

    The other half, `corpus.of_kind("unanswerable")[1::2]`, is for the test.
    """
    return corpus.of_kind("single_fact", split="fact"), corpus.of_kind("unanswerable")[::2]


def best_cosines(retriever: Retriever, questions: Sequence[Question]) -> list[float]:
    """How near the nearest passage is, for each question in order."""
    return [ranking.scores[0] for ranking in retriever.search([q.question for q in questions], 1)]


def threshold(cosines_answerable: Sequence[float], cosines_unanswerable: Sequence[float]) -> float:
    """The cosine below which to refuse: the mean of two shares is greatest, answerable questions answered and unanswerable refused.

    Only cosines that occur are tried; of equals the lowest is taken, which refuses least. Raises `ValueError` if either list is empty.

    Answering from 0.6 answers 2 of 3 and refuses 2 of 2, a mean of 0.83; from 0.4 it is 3 of 3 and 1 of 2, 0.75:

    >>> threshold([0.8, 0.6, 0.4], [0.5, 0.3])
    0.6
    """
    n_answerable, n_unanswerable = len(cosines_answerable), len(cosines_unanswerable)
    if not n_answerable or not n_unanswerable:
        raise ValueError(
            f"Expected cosines of both sorts of question, got {n_answerable} of answerable and {n_unanswerable} of "
            "unanswerable ones. A threshold can't be chosen without both."
        )

    def gain(limit: float) -> int:  # whole numbers, so that equals are equal
        answered = sum(cosine >= limit for cosine in cosines_answerable)
        refused = sum(cosine < limit for cosine in cosines_unanswerable)
        return answered * n_unanswerable + refused * n_answerable

    return float(max(sorted({*cosines_answerable, *cosines_unanswerable}), key=gain))
