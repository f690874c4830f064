"""What does an approximate index cost and gain, from a thousand to a million vectors?

Exact search compares a question with every vector. The three approximate indexes of FAISS look at a part: IVF at the nearest of many
cells, HNSW along a graph of neighbours, IVF-PQ in cells that keep a short code of every vector. Each has one setting that trades recall
for speed; `KINDS` is the table. `enlarge` makes as many vectors as wanted out of real ones, `measure_indexes` measures, and
`fastest_with_recall` and `crossover` read the rows. Taught in `02_retrieval`. Leaves out: intervals (`statistics`), filters, deletion,
many questions at once, a second look at the candidates of IVF-PQ with whole vectors, indexes on disk or on a GPU.
"""

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import faiss
import numpy as np
import pandas as pd

from helpers import experiments
from helpers.retrieval import check_k
from helpers.runtime import n_threads

NOISE = 1.5  # length of the noise beside vectors of length 1, see `enlarge`
CHUNK = 4_096  # vectors made at once
TO_TRAIN_A_CELL = 40  # vectors; FAISS advises 39 to 256, and so few keep a million vectors affordable
TO_TRAIN_CODES = 10_000  # vectors; FAISS advises 39 to 256 for each of the 256 values of a byte
NUMBERS_PER_BYTE = 4  # IVF-PQ keeps 1 byte for 4 numbers, which take 16 bytes otherwise
ROUNDS = 5  # of k-means, for cells and codes alike
NEIGHBOURS, EFFORT = 32, 40  # HNSW's M and efConstruction
TIE = 1e-6  # float32 sums of another order differ by about this much
SLOW_PASS = 5.0  # seconds; a faster pass over the questions is made three times


@dataclass(frozen=True)
class Kind:
    """How an index searches, and the setting that trades recall for speed, with the values to try (0: it has none)."""

    looks_at: str
    parameter: str = ""
    values: tuple[int, ...] = (0,)


KINDS = {
    "exact": Kind("every vector"),
    "IVF": Kind("the vectors in the nearest nprobe cells", "nprobe", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
    "HNSW": Kind("neighbours of neighbours, keeping the best efSearch", "efSearch", (16, 32, 64, 128, 256, 512)),
    "IVF-PQ": Kind("short codes in the nearest nprobe cells", "nprobe", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
}


@dataclass(frozen=True)
class Setting:
    """One item of the experiment: an index of `n` vectors, searched with one value of its parameter."""

    id: str
    kind: str
    n: int
    value: int


@dataclass(frozen=True)
class Choice:
    """A setting chosen on every other question, and what the remaining ones say of it, question by question."""

    kind: str
    n: int
    parameter: str
    value: int
    recalls: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def queries_per_second(self) -> float:
        """How many questions one after the other are answered in a second."""
        return len(self.seconds) / sum(self.seconds)


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
    real = _checked(vectors, "vectors")
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
    if variances.sum() < TIE:
        raise ValueError("Expected at least two different vectors: one alone does not show how passages differ.")
    lengths = np.sqrt(np.maximum(variances, 0) / variances.sum())
    return ((directions * lengths) @ directions.T).astype(np.float32)


def n_cells(n: int) -> int:
    """IVF's number of cells for `n` vectors: about 4·√n, as FAISS advises, but never fewer than 39 vectors a cell.

    >>> n_cells(1_000), n_cells(100_000), n_cells(1_000_000)
    (25, 1265, 4000)
    """
    return max(1, min(round(4 * math.sqrt(n)), n // 39))


def values_to_try(kind: str, n: int) -> tuple[int, ...]:
    """The values of the kind's parameter that make sense for `n` vectors: never more cells than there are.

    >>> values_to_try("IVF", 1_000), values_to_try("exact", 1_000)
    ((1, 2, 4, 8, 16, 25), (0,))
    """
    _check_kind(kind)
    if KINDS[kind].parameter != "nprobe":
        return KINDS[kind].values
    return tuple(sorted({min(value, n_cells(n)) for value in KINDS[kind].values}))


def build_index(kind: str, vectors: np.ndarray) -> faiss.Index:
    """A FAISS index of vectors of length 1, float32 [n, d], by inner product (the cosine).

    Cells and codes are trained on evenly spaced vectors: 40 a cell, at least 10,000 for codes, or all there are. Every index but
    IVF-PQ keeps a copy of the vectors. With two threads, HNSW's graph may differ a little from run to run. Raises `ValueError` for another
    kind, and for IVF-PQ with fewer than 256 vectors or a d that 4 does not divide; with fewer than 9,984 its codes have less to learn
    from than FAISS advises, which does no harm as they learn from all that they will encode.
    """
    _check_kind(kind)
    vectors = _checked(vectors, "vectors")
    index = _empty_index(kind, *vectors.shape)
    if not index.is_trained:
        n_wanted = max(TO_TRAIN_A_CELL * index.nlist, TO_TRAIN_CODES if kind == "IVF-PQ" else 0)
        index.train(vectors[np.linspace(0, len(vectors) - 1, min(n_wanted, len(vectors)), dtype=np.int64)])
    index.add(vectors)
    return index


def _empty_index(kind: str, n: int, d: int) -> faiss.Index:
    if kind == "exact":
        return faiss.IndexFlatIP(d)
    if kind == "HNSW":
        index = faiss.IndexHNSWFlat(d, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EFFORT
        return index
    if kind == "IVF-PQ" and (n < 256 or d % NUMBERS_PER_BYTE):
        raise ValueError(
            f"IVF-PQ needs at least 256 vectors, of a length that {NUMBERS_PER_BYTE} divides, got [{n}, {d}]. "
            "Use another kind."
        )
    cells = faiss.IndexFlatIP(d), d, n_cells(n)
    if kind == "IVF":
        index = faiss.IndexIVFFlat(*cells, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexIVFPQ(*cells, d // NUMBERS_PER_BYTE, 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.niter, index.pq.cp.min_points_per_centroid = ROUNDS, 1
    index.cp.niter, index.cp.min_points_per_centroid = ROUNDS, 1  # with fewer points FAISS would print a warning
    return index


def n_bytes(index: faiss.Index) -> int:
    """How many bytes the index takes on disk, counted while it is written nowhere: no copy is made.

    >>> n_bytes(build_index("exact", np.eye(8, dtype=np.float32))) - 8 * 8 * 4 < 100
    True
    """
    total = 0

    def count(piece: bytes) -> int:
        nonlocal total
        total += len(piece)
        return len(piece)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))
    return total


def best_scores(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The `k` highest cosines of each query by exact search, highest first: float32 [n_queries, k]. No copy of the vectors is made."""
    check_k(k, len(vectors))
    return faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[0]


def recall_at_k(places: np.ndarray, vectors: np.ndarray, queries: np.ndarray, *, best: np.ndarray) -> np.ndarray:
    """The share of the true `k` nearest vectors that was found, for each query: [n_queries].

    `places` [n_queries, k] says which vectors were found (-1: none), `best` is from `best_scores`. What lies as near as the k-th nearest
    counts as found, so equals may stand in for each other (as in ann-benchmarks; Aumüller, Bernhardsson and Faithfull, 2020).

    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> best = best_scores(vectors, vectors[:1], 2)
    >>> recall_at_k(np.array([[0, 2]]), vectors, vectors[:1], best=best)
    array([0.5])
    """
    scores = np.einsum("qkd,qd->qk", vectors[places], queries)
    return ((places >= 0) & (scores >= best[:, -1:] - TIE)).mean(axis=1)


def measure_index(
    kind: str, vectors: np.ndarray, queries: np.ndarray, *, k: int = 10, best: np.ndarray | None = None
) -> list[dict]:
    """Build one index, search it with every value of its parameter, and return a row of plain values for each.

    Columns: kind, n_vectors, k, parameter, value, build_seconds, bytes_per_vector, recall (mean recall@k against exact search),
    queries_per_second, and per query `recalls` and `query_seconds`. Queries come one at a time, each searched by one thread, called from
    Python; the median of three passes, or one pass if it takes long. `best` is from `best_scores`, to compute it once for all kinds.
    """
    vectors, queries = _checked(vectors, "vectors"), _checked(queries, "queries")
    if vectors.shape[1] != queries.shape[1]:
        raise ValueError(f"Expected queries of length {vectors.shape[1]}, as the vectors, got {queries.shape[1]}.")
    best = best_scores(vectors, queries, k) if best is None else best
    started = time.perf_counter()
    index = build_index(kind, vectors)
    built = {
        "build_seconds": round(time.perf_counter() - started, 4),
        "bytes_per_vector": n_bytes(index) / len(vectors),
    }
    rows = []
    for value in values_to_try(kind, len(vectors)):
        if KINDS[kind].parameter:
            faiss.ParameterSpace().set_index_parameter(index, KINDS[kind].parameter, value)
        places, seconds = _timed_search(index, queries, k)
        recalls = recall_at_k(places, vectors, queries, best=best)
        rows.append(
            {"kind": kind, "n_vectors": len(vectors), "k": k, "parameter": KINDS[kind].parameter, "value": value}
            | built
            | {"recall": float(recalls.mean()), "queries_per_second": float(len(queries) / seconds.sum())}
            | {"recalls": recalls.tolist(), "query_seconds": np.round(seconds, 8).tolist()}
        )
    return rows


def _timed_search(index: faiss.Index, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What each query finds, searched for alone, [n_queries, k], and its seconds [n_queries]."""
    with _one_thread():
        index.search(queries[:1], k)  # warm up
        places, first = _one_pass(index, queries, k)
        if first.sum() > SLOW_PASS:
            return places, first
        return places, np.median([first, *(_one_pass(index, queries, k)[1] for _ in range(2))], axis=0)


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS divides only some searches among threads, and on a busy machine those then take four times as long."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _one_pass(index: faiss.Index, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    places, seconds = np.empty((len(queries), k), dtype=np.int64), np.empty(len(queries))
    for i in range(len(queries)):
        started = time.perf_counter()
        _, places[i : i + 1] = index.search(queries[i : i + 1], k)
        seconds[i] = time.perf_counter() - started
    return places, seconds


def measure_indexes(
    vectors: np.ndarray, queries: np.ndarray, *, sizes: Sequence[int], kinds: Sequence[str] = tuple(KINDS), k: int = 10
) -> pd.DataFrame:
    """The rows of `measure_index` for all `kinds` and the first n of `vectors`, n in `sizes`; sorted by size, kind, value.

    Each index is stored as soon as it is measured (`experiments.measure`); exact search settles what is right once per size. Memory, for
    n vectors of 384 numbers: 1.5 kB · n for the vectors, and as much again (HNSW a fifth, IVF up to half more) for one index at a time.
    """
    vectors, queries = _checked(vectors, "vectors"), _checked(queries, "queries")
    if not len(sizes) or not all(k <= n <= len(vectors) for n in sizes):
        raise ValueError(
            f"Expected sizes from k = {k} to the {len(vectors)} vectors there are, got {list(sizes)}. Try `enlarge`."
        )
    batches = [[_setting(kind, n, v) for v in values_to_try(kind, n)] for n in sorted(sizes) for kind in kinds]

    @cache
    def best_of(n: int) -> np.ndarray:
        return best_scores(vectors[:n], queries, k)

    def measure_batch(batch: Sequence[Setting]) -> list[dict]:
        kind, n = batch[0].kind, batch[0].n
        return measure_index(kind, vectors[:n], queries, k=k, best=best_of(n))

    settings = {
        "vectors": _digest(vectors[: max(sizes)]),
        "queries": _digest(queries),
        "k": k,
        "build": (TO_TRAIN_A_CELL, TO_TRAIN_CODES, NUMBERS_PER_BYTE, ROUNDS, NEIGHBOURS, EFFORT),
        "threads": n_threads(),
    }
    rows = experiments.measure("indexes", batches, measure_batch, settings=settings)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return rows.sort_values(
        ["n_vectors", "kind", "value"], key=lambda c: c.map(order) if c.name == "kind" else c, ignore_index=True
    )


def _setting(kind: str, n: int, value: int) -> Setting:
    return Setting(f"{kind}, {n} vectors, {KINDS[kind].parameter or 'all'} {value}", kind, n, value)


def fastest_with_recall(rows: pd.DataFrame, kind: str, n: int, *, recall: float = 0.95) -> Choice | None:
    """The setting with the most queries per second among those of mean recall >= `recall`; `None` if no setting reaches it.

    It is chosen on the even queries (the 1st, 3rd, …) and reported on the odd ones, which had no part in the choice: their recall may
    fall short. All kinds are reported on the same queries in the same order, so `seconds` of two choices are pairs.
    """
    found = _rows_of(rows, kind)
    found = found[found["n_vectors"] == n]
    if found.empty:
        there = sorted(set(_rows_of(rows, kind)["n_vectors"].tolist()))
        raise ValueError(f"No rows for {kind!r} with {n} vectors; it was measured with {there}. Measure it first.")
    if len(found["recalls"].iloc[0]) < 2:
        raise ValueError("Expected at least two queries: one half chooses the setting, the other half judges it.")
    enough = [row for row in found.to_dict("records") if np.mean(row["recalls"][::2]) >= recall - 1e-12]
    if not enough:
        return None
    row = min(enough, key=lambda row: sum(row["query_seconds"][::2]))
    judged = tuple(row["recalls"][1::2]), tuple(row["query_seconds"][1::2])
    return Choice(kind, n, row["parameter"], row["value"], *judged)


def crossover(rows: pd.DataFrame, kind: str, *, recall: float = 0.95) -> int | None:
    """The smallest measured number of vectors at which `kind`, with `recall`, answers faster than exact search; `None` if never.

    Both are judged by `fastest_with_recall`. It is a point between measured sizes at best: say which were measured.
    """
    for n in sorted(set(_rows_of(rows, kind)["n_vectors"].tolist())):
        choice, exact = fastest_with_recall(rows, kind, n, recall=recall), fastest_with_recall(rows, "exact", n)
        if choice and choice.queries_per_second > exact.queries_per_second:
            return n
    return None


def _rows_of(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    found = rows[rows["kind"] == kind]
    if found.empty:
        raise ValueError(f"No rows for {kind!r}; there are {sorted(set(rows['kind']))}. Measure it first.")
    return found


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"There is no index {kind!r}. Those there are: {', '.join(KINDS)}.")


def _checked(vectors: np.ndarray, name: str) -> np.ndarray:
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


def _digest(vectors: np.ndarray) -> str:
    return hashlib.sha256(vectors.reshape(-1).view(np.uint8)).hexdigest()
