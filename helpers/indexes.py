"""What does an approximate index cost and gain, from a thousand to a million vectors?

Exact search compares a question with every vector. The three approximate indexes of FAISS look at a part: IVF at the nearest of many
cells, HNSW along a graph of neighbours, IVF-PQ in cells that keep a short code of every vector. Each has one setting that trades recall
for speed; `KINDS` is the table. `measure_indexes` measures; `synthetic` makes as many vectors as wanted out of real ones, and
`index_choice` reads the rows. Taught in `02_retrieval`. Leaves out: intervals (`statistics`), filters, deletion,
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
from helpers.synthetic import check_unit

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
    vectors = check_unit(vectors, "vectors")
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
    vectors, queries = check_unit(vectors, "vectors"), check_unit(queries, "queries")
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
    vectors, queries = check_unit(vectors, "vectors"), check_unit(queries, "queries")
    if not len(sizes) or not all(k <= n <= len(vectors) for n in sizes):
        raise ValueError(
            f"Expected sizes from k = {k} to the {len(vectors)} vectors there are, got {list(sizes)}. Try `synthetic.enlarge`."
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


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"There is no index {kind!r}. Those there are: {', '.join(KINDS)}.")


def _digest(vectors: np.ndarray) -> str:
    return hashlib.sha256(vectors.reshape(-1).view(np.uint8)).hexdigest()
