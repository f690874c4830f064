"""Can you tell what reading brings, and when it fails? The exercises of `00_start_here` and `03_generation`.

Leaves out: anything that needs a model; passages and rankings are made up here.
"""

from collections.abc import Sequence

import numpy as np

from helpers.corpus import Corpus, Document, Passage
from helpers.exercise import Exercise, as_name, as_number, cannot_be_called, nothing_in, short
from helpers.retrieval import Ranking
from helpers.statistics import n_for_half_width


def floor_and_ceiling() -> tuple[str, str]:
    """Nothing to read is the floor; the right passage is the ceiling for anything that retrieval can do."""
    return "closed book", "oracle"


def _wrong_floor_and_ceiling(attempt: object) -> str:
    if not isinstance(attempt, tuple | list) or len(attempt) != 2:
        return f"expected two names, (floor, ceiling), got {short(attempt)}"
    names = [as_name(str(name)) for name in attempt]
    if names == list(floor_and_ceiling()):
        return ""
    if names[::-1] == list(floor_and_ceiling()):
        return "the right two, the wrong way round: the floor comes first"
    return "which condition can't be helped by any retriever, and which would not gain from a better one?"


def questions_for_five_points() -> int:
    """Solve z * sqrt(p * (1 - p) / n) = 0.05 for n at p = 0.5, where a rate is least certain."""
    return n_for_half_width(0.05)


def _wrong_questions_for_five_points(attempt: object) -> str:
    n = as_number(attempt)
    if n is None:
        return f"expected a number, got {short(attempt)}"
    if abs(n - questions_for_five_points()) <= 1:
        return ""
    return f"±5 points need {'more' if n < questions_for_five_points() else 'fewer'} than that"


def public_passages(corpus: Corpus) -> list[Passage]:
    """The passages that a customer may see."""
    public = {document.id for document in corpus.documents if document.audience == "public"}
    return [passage for passage in corpus.passages if passage.document_id in public]


def _toy_corpus() -> Corpus:
    documents = tuple(
        Document(i, i, "text", audience=a) for i, a in (("a", "public"), ("b", "confidential"), ("c", "internal"))
    )
    passages = tuple(Passage(f"{d.id}#{n}", d.id, d.title, "", "text") for d in documents for n in (1, 2))
    return Corpus("toy", documents, passages)


def _wrong_public_passages(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "corpus"):
        return problem
    found = attempt(_toy_corpus())
    if problem := nothing_in(found, "the list of passages"):
        return problem
    ids = [getattr(passage, "id", passage) for passage in found] if isinstance(found, Sequence) else found
    if repr(ids) == "['a#1', 'a#2']":
        return ""
    return f"a corpus with the public document 'a' alone should give ['a#1', 'a#2'], got {short(ids)}"


def failure_name() -> str:
    """The passage was read, so retrieval did its part; the reply is fluent and about something else."""
    return "reader miss"


def _wrong_failure_name(attempt: object) -> str:
    from helpers.failures import FAILURES  # not at the top: it leads to the models, which exercises do without

    if not isinstance(attempt, str):
        return f"expected the name of a failure, got {short(attempt)}"
    name = as_name(attempt)
    if name == failure_name():
        return ""
    return "was the right passage read?" if name in FAILURES else f"the names are: {', '.join(FAILURES)}"


def accuracy_at_a_quarter() -> float:
    """A quarter of the questions is answered as with full coverage, the rest as with none."""
    return 0.25 * 0.60 + 0.75 * 0.04


def _wrong_accuracy_at_a_quarter(attempt: object) -> str:
    accuracy = as_number(attempt)
    if accuracy is None:
        return f"expected a number, got {short(attempt)}"
    if abs(accuracy - 0.15) < 1e-6:
        return "that is the covered quarter alone; what do the others contribute?"
    return "" if abs(accuracy - accuracy_at_a_quarter()) < 0.001 else "mix the two accuracies, 1 part to 3"


def answers_or_refuses(ranking: Ranking, threshold: float) -> bool:
    """Answer only if the best passage is near enough to the question."""
    return ranking.scores[0] >= threshold


def _wrong_answers_or_refuses(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "ranking", "threshold"):
        return problem
    passages = tuple(Passage(i, i, "", "", "text") for i in "ab")
    for scores, expected in (((0.7, 0.2), True), ((0.3, 0.2), False), ((0.5, 0.1), True)):
        found = attempt(Ranking("Why?", passages, scores), 0.5)
        if problem := nothing_in(found, "True or False"):
            return problem
        if not isinstance(found, bool | np.bool_) or bool(found) != expected:
            return f"with scores {scores} and the threshold 0.5 it should give {expected}, got {short(found)}"
    return ""


READING = {
    "00.1": Exercise(
        "Recall: of the four conditions, which one is the floor and which one the ceiling for retrieval? "
        "Give two names.",
        (
            "A floor is what you get without the thing you are testing.",
            "A ceiling is what you get when that thing is perfect.",
        ),
        floor_and_ceiling,
        _wrong_floor_and_ceiling,
        "Every comparison in this workbook has both: without them, 0.6 could be good or bad.",
    ),
    "00.2": Exercise(
        "Predict, then compute: how many questions do you need so that the interval of an accuracy near 0.5 "
        "is at most ± 0.05?",
        (
            "Look at the intervals above: how wide are they, and with how many questions?",
            "`n_for_half_width` in `helpers.statistics`.",
        ),
        questions_for_five_points,
        _wrong_questions_for_five_points,
        "Half the width takes four times the questions.",
    ),
    "00.3": Exercise(
        "Extend: write `public_passages(corpus)`, which keeps the passages of public documents, and build a "
        "retriever over them.",
        (
            "A passage knows its `document_id`; a document knows its `audience`.",
            "Collect the ids of public documents in a set first.",
        ),
        public_passages,
        _wrong_public_passages,
        "Which questions can't be answered any more? That is access control, and fine-tuned weights don't have it.",
    ),
    "03.1": Exercise(
        "Recall: the right passage was the second of three that were read; the reply names the price of another product, in a "
        "full sentence. Which name does this failure get?",
        ("Names go by the first thing that went wrong.", "`FAILURES` in `helpers.failures` explains each name."),
        failure_name,
        _wrong_failure_name,
        "So a better retriever would not have helped; a better reader, or fewer passages, might.",
    ),
    "03.2": Exercise(
        "Predict: accuracy is 0.60 when all documents are there and 0.04 when a question's document is missing. What do you expect "
        "when a quarter of the questions is covered?",
        ("Each question is either covered or not.", "0.25 of them have one accuracy, 0.75 the other."),
        accuracy_at_a_quarter,
        _wrong_accuracy_at_a_quarter,
        "Half the documents, half the accuracy: so measure your coverage before you tune your prompt.",
    ),
    "03.3": Exercise(
        "Extend: write `answers_or_refuses(ranking, threshold)`: True if the best passage scores at least `threshold`, so that "
        "a bot answers, else False, so that it says that it doesn't know.",
        ("`ranking.scores` holds the scores, best first.", "A comparison is True or False already."),
        answers_or_refuses,
        _wrong_answers_or_refuses,
        "Try it on `kinds['unanswerable']` and `some`: is there a threshold that tells them apart?",
    ),
}
