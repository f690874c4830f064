"""Where do a million vectors come from, when there are only a few hundred passages?

`enlarge` adds synthetic vectors to real ones, honestly: they measure speed, memory and agreement with exact search, never
relevance. Taught in `02_retrieval`. Leaves out: synthetic text.
"""

import numpy as np

NOISE = 1.5  # length of the noise beside vectors of length 1, see `enlarge`
CHUNK = 4_096  # vectors made at once


def enlarge(vectors: np.ndarray, n: int, *, seed: int, noise: float = NOISE) -> np.ndarray:
    """`n` vectors of length 1, float32 [n, d]: the real ones first (only the first `n` if there are more), then synthetic ones.

    A synthetic vector is a real one, drawn at random, plus Gaussian noise of expected squared length `noise`², scaled to length 1. The
    noise has the covariance of the real vectors, so it goes where passages differ: a smoothed bootstrap (Silverman and Young, 1987).
    How they differ from real passages: they fill equally blurred clouds around the few real ones instead of bringing new topics, and none
    is a near-copy of another, as real revisions are. With the default the nearest neighbour of a synthetic vector has a cosine of 0.57
    among 50,000 (0.66 among the real passages of `data/company`). Less noise makes islands, which suit cells (IVF), while HNSW loses
    its way between them. Nobody wrote them: they measure speed, memory and agreement with exact search, never relevance. A longer result
    begins with the shorter one of the same seed (but for rounding). Nothing of size [n, d] is made besides the result.
    """
    real = check_unit(vectors, "vectors")
    if n < 1 or not noise > 0:
        raise ValueError(f"Expected n of 1 or more and noise above 0, got {n} and {noise}.")
    if n <= len(real):
        return real[:n].copy()
    which, what = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    shape, parents = noise * _shape(real), which.integers(len(real), size=n - len(real))
    result = np.empty((n, real.shape[1]), dtype=np.float32)
    result[: len(real)] = real
    for start in range(len(real), n, CHUNK):
        part = result[start : start + CHUNK]
        np.matmul(what.standard_normal(part.shape, dtype=np.float32), shape, out=part)
        part += real[parents[start - len(real) :][: len(part)]]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return result


def _shape(real: np.ndarray) -> np.ndarray:
    """The matrix [d, d] that gives standard normal vectors the covariance of `real` and a mean squared length of 1."""
    centred = real - real.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    if variances.sum() < 1e-6:
        raise ValueError("Expected at least two different vectors: one alone does not show how passages differ.")
    lengths = np.sqrt(np.maximum(variances, 0) / variances.sum())
    return ((directions * lengths) @ directions.T).astype(np.float32)


def check_unit(vectors: np.ndarray, name: str) -> np.ndarray:
    """`vectors` as float32 in row order, a copy only if they are not. Raises `ValueError` unless [n, d] and of length 1."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"Expected {name} as an array [n, d] with at least one row, got shape {array.shape}.")
    lengths = np.sqrt(np.einsum("nd,nd->n", array, array))
    if not np.all(np.abs(lengths - 1) < 1e-3):
        worst = int(np.argmax(np.nan_to_num(np.abs(lengths - 1), nan=np.inf)))
        raise ValueError(
            f"Expected {name} of length 1, but row {worst} has length {lengths[worst]:.3g}. Divide each by its length."
        )
    return array
