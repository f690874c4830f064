"""Can you say what a vector keeps, and find with it? The exercises of `01_embeddings` and `02_retrieval`.

Leaves out: anything that needs a model; all is checked on numbers that fit into a head.
"""

import numpy as np

from helpers.exercise import Exercise, as_list, as_number, cannot_be_called, nothing_in, short


def cosine_of_45_degrees() -> float:
    """1 * 1 + 0 * 1 over the lengths 1 and √2."""
    return 1 / 2**0.5


def _wrong_cosine_of_45_degrees(attempt: object) -> str:
    cosine = as_number(attempt)
    if cosine is None:
        return f"expected a number, got {short(attempt)}"
    if abs(cosine - 1.0) < 1e-9:
        return "that is the dot product; divide by both lengths"
    right = abs(cosine - cosine_of_45_degrees()) < 0.005
    return "" if right else f"the angle is 45 degrees; {cosine:g} belongs to another"


def cosine_after_doubling() -> float:
    """Doubling a vector changes its length, not its direction: the cosine of 0.6 stays."""
    return 0.6


def _wrong_cosine_after_doubling(attempt: object) -> str:
    cosine = as_number(attempt)
    if cosine is None:
        return f"expected a number, got {short(attempt)}"
    return "" if abs(cosine - cosine_after_doubling()) < 1e-6 else "what does the cosine divide by?"


def mean_of_real_tokens(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average [n_tokens, d] over the tokens where mask is 1, then scale to length 1."""
    pooled = (vectors * mask[:, None]).sum(axis=0) / mask.sum()
    return pooled / np.linalg.norm(pooled)


def _wrong_mean_of_real_tokens(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "vectors", "mask"):
        return problem
    vectors, mask = np.array([[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]), np.array([1, 1, 0])
    found = attempt(vectors, mask)
    if problem := nothing_in(found, "the vector"):
        return problem
    try:
        found = np.asarray(found, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        return f"expected one vector of shape (2,), got {short(found)}"
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
    ndcg = as_number(attempt)
    if ndcg is None:
        return f"expected a number, got {short(attempt)}"
    if abs(ndcg - 1 / 3) < 0.005:
        return "that is the reciprocal rank; nDCG punishes a late hit less: 1 / log2(rank + 1)"
    return "" if abs(ndcg - ndcg_of_rank_3()) < 0.005 else "divide 1 by log2(rank + 1), then by what rank 1 would gain"


def n_pieces_with_overlap() -> int:
    """The first piece reads 100 tokens, each further one 75 new ones: 1 + (1000 - 100) / 75."""
    return 1 + (1000 - 100) // 75


def _wrong_n_pieces_with_overlap(attempt: object) -> str:
    n = as_number(attempt)
    if n is None:
        return f"expected a number, got {short(attempt)}"
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
    if problem := cannot_be_called(attempt, "first", "second"):
        return problem
    found = attempt(["a", "b", "c"], ["b", "d", "a"])
    if problem := nothing_in(found, "the list of ids"):
        return problem
    if repr(as_list(found)) == "['b', 'a', 'd', 'c']":
        return ""
    return f"the rankings a b c and b d a should give ['b', 'a', 'd', 'c'], got {short(found)}"


VECTORS = {
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
}
