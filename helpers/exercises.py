"""The exercises of the lessons: task, graded hints, a solution that runs, and a test that says what is off.

Shown by `lesson.exercise`, checked by `lesson.check`. The solutions are ordinary functions, so the workbook's
own tests run them. Leaves out: exercises without a checkable answer (the lessons ask those in prose).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.corpus import Corpus, Document, Passage
from helpers.retrieval import Ranking
from helpers.statistics import n_for_half_width


@dataclass(frozen=True)
class Exercise:
    """`wrong_with(attempt)` returns what is off, or an empty text when the attempt is right."""

    task: str
    hints: tuple[str, ...]
    solution: Callable
    wrong_with: Callable[[object], str]
    afterwards: str


def _number(attempt: object) -> float | None:
    """The attempt as a number (Python's, NumPy's or a tensor of one); `None` for anything else."""
    if isinstance(attempt, str | bytes | bool | np.bool_):
        return None
    try:
        number = float(attempt)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return None if np.isnan(number) else number


def _cannot_be_called(attempt: object, *parameters: str) -> str:
    """Why the attempt is no function of these parameters; an empty text if it is one."""
    wanted = f"a function of {', '.join(parameters)}"
    if not callable(attempt):
        return f"expected {wanted}, got {_short(attempt)}: give its name, without calling it"
    try:
        inspect.signature(attempt).bind(*parameters)
    except TypeError as error:
        return f"expected {wanted}, but yours can't be called so: {error}"
    except ValueError:  # some built-in functions have no signature
        return ""
    return ""


def _short(thing: object) -> str:
    text = " ".join(repr(thing).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def floor_and_ceiling() -> tuple[str, str]:
    """Nothing to read is the floor; the right passage is the ceiling for anything that retrieval can do."""
    return "closed book", "oracle"


def _wrong_floor_and_ceiling(attempt: object) -> str:
    if not isinstance(attempt, tuple | list) or len(attempt) != 2:
        return f"expected two names, (floor, ceiling), got {_short(attempt)}"
    names = [" ".join(str(name).casefold().replace("-", " ").split()) for name in attempt]
    if names == list(floor_and_ceiling()):
        return ""
    if names[::-1] == list(floor_and_ceiling()):
        return "the right two, the wrong way round: the floor comes first"
    return "which condition can't be helped by any retriever, and which would not gain from a better one?"


def questions_for_five_points() -> int:
    """Solve z * sqrt(p * (1 - p) / n) = 0.05 for n at p = 0.5, where a rate is least certain."""
    return n_for_half_width(0.05)


def _wrong_questions_for_five_points(attempt: object) -> str:
    n = _number(attempt)
    if n is None:
        return f"expected a number, got {_short(attempt)}"
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
    if problem := _cannot_be_called(attempt, "corpus"):
        return problem
    found = attempt(_toy_corpus())
    if found is None or found is ...:
        return "your function returns nothing yet: put the list of passages after `return`"
    ids = [getattr(passage, "id", passage) for passage in found] if isinstance(found, Sequence) else found
    if repr(ids) == "['a#1', 'a#2']":
        return ""
    return f"a corpus with the public document 'a' alone should give ['a#1', 'a#2'], got {_short(ids)}"


def cosine_of_45_degrees() -> float:
    """1 * 1 + 0 * 1 over the lengths 1 and √2."""
    return 1 / 2**0.5


def _wrong_cosine_of_45_degrees(attempt: object) -> str:
    cosine = _number(attempt)
    if cosine is None:
        return f"expected a number, got {_short(attempt)}"
    if abs(cosine - 1.0) < 1e-9:
        return "that is the dot product; divide by both lengths"
    right = abs(cosine - cosine_of_45_degrees()) < 0.005
    return "" if right else f"the angle is 45 degrees; {cosine:g} belongs to another"


def cosine_after_doubling() -> float:
    """Doubling a vector changes its length, not its direction: the cosine of 0.6 stays."""
    return 0.6


def _wrong_cosine_after_doubling(attempt: object) -> str:
    cosine = _number(attempt)
    if cosine is None:
        return f"expected a number, got {_short(attempt)}"
    return "" if abs(cosine - cosine_after_doubling()) < 1e-6 else "what does the cosine divide by?"


def mean_of_real_tokens(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average [n_tokens, d] over the tokens where mask is 1, then scale to length 1."""
    pooled = (vectors * mask[:, None]).sum(axis=0) / mask.sum()
    return pooled / np.linalg.norm(pooled)


def _wrong_mean_of_real_tokens(attempt: object) -> str:
    if problem := _cannot_be_called(attempt, "vectors", "mask"):
        return problem
    vectors, mask = np.array([[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]), np.array([1, 1, 0])
    found = attempt(vectors, mask)
    if found is None or found is ...:
        return "your function returns nothing yet: put the vector after `return`"
    try:
        found = np.asarray(found, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        return f"expected one vector of shape (2,), got {_short(found)}"
    if found.shape != (2,):
        return f"expected one vector of shape (2,), got {found.shape}"
    if np.allclose(found, [3.0, 4.0]):
        return "the average is right; now scale it to length 1"
    if np.allclose(found, [0.6, 0.8]):
        return ""
    return f"tokens (3, 0), (3, 8) and a masked (9, 9) should give (0.6, 0.8), got {found}"


def ndcg_of_rank_3() -> float:
    """The gain 1 / log2(3 + 1) over the best possible, 1 / log2(1 + 1) = 1."""
    return 1 / 2


def _wrong_ndcg_of_rank_3(attempt: object) -> str:
    ndcg = _number(attempt)
    if ndcg is None:
        return f"expected a number, got {_short(attempt)}"
    if abs(ndcg - 1 / 3) < 0.005:
        return "that is the reciprocal rank; nDCG punishes a late hit less: 1 / log2(rank + 1)"
    return "" if abs(ndcg - ndcg_of_rank_3()) < 0.005 else "divide 1 by log2(rank + 1), then by what rank 1 would gain"


def n_pieces_with_overlap() -> int:
    """The first piece reads 100 tokens, each further one 75 new ones: 1 + (1000 - 100) / 75."""
    return 1 + (1000 - 100) // 75


def _wrong_n_pieces_with_overlap(attempt: object) -> str:
    n = _number(attempt)
    if n is None:
        return f"expected a number, got {_short(attempt)}"
    if n == 10:
        return "that is without overlap: each piece but the first brings only 75 new tokens"
    return (
        ""
        if n == n_pieces_with_overlap()
        else "the first piece covers 100 tokens; how many new ones does each other cover?"
    )


def fuse(first: list[str], second: list[str]) -> list[str]:
    """Ids by the sum of 1 / (60 + rank) over the rankings that hold them, highest first."""
    scores: dict[str, float] = {}
    for ranking in (first, second):
        for rank, passage_id in enumerate(ranking, 1):
            scores[passage_id] = scores.get(passage_id, 0) + 1 / (60 + rank)
    return sorted(scores, key=scores.get, reverse=True)


def _wrong_fuse(attempt: object) -> str:
    if problem := _cannot_be_called(attempt, "first", "second"):
        return problem
    found = attempt(["a", "b", "c"], ["b", "d", "a"])
    if found is None or found is ...:
        return "your function returns nothing yet: put the list of ids after `return`"
    ids = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else found
    if repr(ids) == "['b', 'a', 'd', 'c']":
        return ""
    return f"the rankings a b c and b d a should give ['b', 'a', 'd', 'c'], got {_short(ids)}"


def failure_name() -> str:
    """The passage was read, so retrieval did its part; the reply is fluent and about something else."""
    return "reader miss"


def _wrong_failure_name(attempt: object) -> str:
    from helpers.failures import FAILURES  # not at the top: it leads to the models, which exercises do without

    if not isinstance(attempt, str):
        return f"expected the name of a failure, got {_short(attempt)}"
    name = " ".join(attempt.casefold().replace("-", " ").split())
    if name == failure_name():
        return ""
    return "was the right passage read?" if name in FAILURES else f"the names are: {', '.join(FAILURES)}"


def accuracy_at_a_quarter() -> float:
    """A quarter of the questions is answered as with full coverage, the rest as with none."""
    return 0.25 * 0.60 + 0.75 * 0.04


def _wrong_accuracy_at_a_quarter(attempt: object) -> str:
    accuracy = _number(attempt)
    if accuracy is None:
        return f"expected a number, got {_short(attempt)}"
    if abs(accuracy - 0.15) < 1e-6:
        return "that is the covered quarter alone; what do the others contribute?"
    return "" if abs(accuracy - accuracy_at_a_quarter()) < 0.001 else "mix the two accuracies, 1 part to 3"


def answers_or_refuses(ranking: Ranking, threshold: float) -> bool:
    """Answer only if the best passage is near enough to the question."""
    return ranking.scores[0] >= threshold


def _wrong_answers_or_refuses(attempt: object) -> str:
    if problem := _cannot_be_called(attempt, "ranking", "threshold"):
        return problem
    passages = tuple(Passage(i, i, "", "", "text") for i in "ab")
    for scores, expected in (((0.7, 0.2), True), ((0.3, 0.2), False), ((0.5, 0.1), True)):
        found = attempt(Ranking("Why?", passages, scores), 0.5)
        if found is None or found is ...:
            return "your function returns nothing yet: put True or False after `return`"
        if not isinstance(found, bool | np.bool_) or bool(found) != expected:
            return f"with scores {scores} and the threshold 0.5 it should give {expected}, got {_short(found)}"
    return ""


EXERCISES = {
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
    "01.1": Exercise(
        "Recall: what is the cosine of the vectors (1, 0) and (1, 1)?",
        ("Dot product over the product of the lengths.", "The second vector has length √2."),
        cosine_of_45_degrees,
        _wrong_cosine_of_45_degrees,
        "45 degrees apart.",
    ),
    "01.2": Exercise(
        "Predict: two vectors have the cosine 0.6. You double every number of the first. What is the cosine now?",
        ("Which of direction and length changed?",),
        cosine_after_doubling,
        _wrong_cosine_after_doubling,
        "Only the direction counts, which is why vectors are stored at length 1.",
    ),
    "01.3": Exercise(
        "Extend: write `mean_of_real_tokens(vectors, mask)`: average the token vectors [n, d] where `mask` "
        "is 1, and scale to length 1.",
        (
            "`mask[:, None]` has shape [n, 1] and multiplies every number of a row.",
            "Divide by `mask.sum()`, not by the number of rows.",
        ),
        mean_of_real_tokens,
        _wrong_mean_of_real_tokens,
        "Forgetting the mask is a classic bug: the same sentence gets another vector in every batch.",
    ),
    "02.1": Exercise(
        "Recall: a question has one gold passage, and a retriever ranks it third. What is its nDCG@10?",
        ("What does rank 3 gain? What would rank 1 have gained?", "log2(4) = 2."),
        ndcg_of_rank_3,
        _wrong_ndcg_of_rank_3,
        "The reciprocal rank would be 1/3. Both give 1 for the first place and less for each later one, but not equally fast.",
    ),
    "02.2": Exercise(
        "Predict: a document of 1,000 tokens is cut into pieces of 100 tokens. Without overlap that makes 10. How many does it make "
        "with an overlap of 25? Then set `SIZES` to other sizes and see what overlap does to the figure of experiment 2.",
        ("How many new tokens does the second piece bring?", "The first brings 100, every other 75."),
        n_pieces_with_overlap,
        _wrong_n_pieces_with_overlap,
        "Overlap of a quarter makes about a third more pieces: to embed, to store, and to crowd each other out of the first three.",
    ),
    "02.3": Exercise(
        "Extend: write `fuse(first, second)`, reciprocal rank fusion of two lists of ids, best first: an id scores the sum of "
        "1 / (60 + rank) over the lists that hold it, ranks from 1.",
        (
            "`enumerate(ranking, 1)` counts from 1.",
            "Collect the sums in a dict; an id that only one list holds counts too.",
            "`sorted(scores, key=scores.get, reverse=True)`.",
        ),
        fuse,
        _wrong_fuse,
        "Only ranks count, so scores of different kinds never have to be compared: that is the whole trick.",
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
