"""Approximate indexes are measured against exact search, on vectors that anyone can make again, within the stated memory."""

import subprocess
import sys

import faiss
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from helpers import indexes, runtime, synthetic
from helpers.index_choice import Choice, crossover, fastest_with_recall
from helpers.indexes import (
    KINDS,
    best_scores,
    build_index,
    measure_index,
    measure_indexes,
    n_bytes,
    n_cells,
    recall_at_k,
    values_to_try,
)
from helpers.synthetic import CHUNK, check_unit, enlarge

QUICKLY = settings(max_examples=40, deadline=None)


def unit(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Random vectors of length 1, float32 [n, d]."""
    vectors = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def topical(n: int, d: int) -> np.ndarray:
    """Vectors that vary more in some directions than in others, as passages do."""
    vectors = np.random.default_rng(1).normal(size=(n, d)) / np.arange(1, d + 1) + 0.2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return enlarge(topical(300, 16), 2_000, seed=0)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return topical(340, 16)[300:]


# --- enlarge


def test_the_real_vectors_come_first_and_all_have_length_1():
    real = topical(50, 8)
    larger = enlarge(real, 1_000, seed=0)
    assert (larger.shape, larger.dtype) == ((1_000, 8), np.float32)
    np.testing.assert_array_equal(larger[:50], real)
    np.testing.assert_allclose(np.linalg.norm(larger, axis=1), 1, atol=1e-6)
    assert len(np.unique(larger, axis=0)) == 1_000


def test_the_same_seed_gives_the_same_vectors_and_another_one_others():
    real = topical(50, 8)
    np.testing.assert_array_equal(enlarge(real, 500, seed=3), enlarge(real, 500, seed=3))
    assert np.abs(enlarge(real, 500, seed=3)[50:] - enlarge(real, 500, seed=4)[50:]).mean() > 0.05


@QUICKLY
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 9), st.integers(0, 99))
def test_neither_the_size_of_the_pieces_nor_a_larger_n_changes_the_vectors(n, more, chunk, seed):
    real = topical(20, 4)
    reference = enlarge(real, n + more, seed=seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(synthetic, "CHUNK", chunk)
        np.testing.assert_allclose(enlarge(real, n, seed=seed), reference[:n], atol=1e-6)


def test_synthetic_vectors_vary_where_real_ones_do_by_as_much_as_stated(monkeypatch):
    real = topical(200, 6)
    monkeypatch.setattr(np.linalg, "norm", lambda rows, **_: np.ones((len(rows), 1)))  # see them before they are scaled
    found = np.cov(enlarge(real, 60_200, seed=0, noise=0.5)[200:], rowvar=False)
    covariance = np.cov(real, rowvar=False, ddof=0)
    stated = covariance + 0.5**2 * covariance / np.trace(covariance)  # a real vector, plus the noise
    np.testing.assert_allclose(found, stated, atol=0.03 * np.trace(stated))


def test_less_noise_stays_nearer_to_the_real_vectors():
    real = topical(100, 16)
    nearest = [(enlarge(real, 1_000, seed=0, noise=noise)[100:] @ real.T).max(axis=1).mean() for noise in (0.1, 0.5, 2)]
    assert nearest[0] > 0.99 and nearest == sorted(nearest, reverse=True)


def test_fewer_than_there_are_is_the_beginning_as_a_copy():
    real = topical(20, 4)
    some = enlarge(real, 7, seed=0)
    np.testing.assert_array_equal(some, real[:7])
    assert not np.shares_memory(some, real)


def test_what_cannot_be_enlarged_is_refused():
    with pytest.raises(ValueError, match="Expected n of 1 or more and noise above 0, got 0 and 1.5"):
        enlarge(unit(3, 4), 0, seed=0)
    with pytest.raises(ValueError, match="noise above 0, got 5 and 0"):
        enlarge(unit(3, 4), 5, seed=0, noise=0)
    for alone in (unit(1, 4), np.repeat(unit(1, 4), 3, axis=0)):
        with pytest.raises(ValueError, match="Expected at least two different vectors: one alone"):
            enlarge(alone, 5, seed=0)


# --- what is no vectors


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones(4), r"Expected vectors as an array \[n, d\] with at least one row, got shape \(4,\)"),
        (np.ones((0, 4)), r"got shape \(0, 4\)"),
        (np.array([[1, 0], [3, 4]]), "Expected vectors of length 1, but row 1 has length 5. Divide each by its length"),
        (np.array([[1, 0], [0, 0], [0.9, 0]]), "row 1 has length 0"),
        (np.array([[1, 0], [2, 0], [np.nan, 0]]), "row 2 has length nan"),
    ],
)
def test_vectors_must_be_rows_of_length_1(vectors, said):
    for use in (
        lambda v: enlarge(v, 9, seed=0),
        lambda v: build_index("exact", v),
        lambda v: measure_index("IVF", v, v),
    ):
        with pytest.raises(ValueError, match=said):
            use(vectors)


def test_vectors_that_are_as_faiss_wants_them_are_not_copied():
    rows = unit(5, 4)
    assert check_unit(rows, "vectors") is rows
    assert check_unit(rows.astype(np.float64)[:, ::-1], "vectors").flags.c_contiguous


# --- cells and settings


@given(st.integers(1, 10_000_000))
def test_cells_follow_faiss_advice(n):
    cells = n_cells(n)
    assert 1 <= cells <= 4 * np.sqrt(n) + 1
    assert cells == 1 or n / cells >= faiss.ClusteringParameters().min_points_per_centroid


@given(st.sampled_from(list(KINDS)), st.integers(1, 2_000_000))
def test_values_to_try_rise_and_never_exceed_the_cells(kind, n):
    values = values_to_try(kind, n)
    assert list(values) == sorted(set(values))
    assert KINDS[kind].parameter != "nprobe" or values[-1] <= n_cells(n)
    assert n < 20_000 or values == KINDS[kind].values


@pytest.mark.parametrize("use", [lambda: values_to_try("LSH", 9), lambda: build_index("LSH", unit(9, 4))])
def test_an_unknown_kind_is_refused(use):
    with pytest.raises(ValueError, match="There is no index 'LSH'. Those there are: exact, IVF, HNSW, IVF-PQ."):
        use()


# --- building


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("exact", faiss.IndexFlat),
        ("IVF", faiss.IndexIVFFlat),
        ("HNSW", faiss.IndexHNSWFlat),
        ("IVF-PQ", faiss.IndexIVFPQ),
    ],
)
def test_every_kind_is_what_it_says_and_holds_every_vector(kind, of, vectors):
    index = build_index(kind, vectors)
    assert isinstance(index, of)
    assert (index.ntotal, index.d, index.metric_type) == (2_000, 16, faiss.METRIC_INNER_PRODUCT)


@pytest.mark.parametrize("n", [1, 2, 38, 39, 80])
def test_few_vectors_are_enough_but_for_codes(n, capfd):
    rows = unit(n, 4)
    for kind in ("exact", "IVF", "HNSW"):
        assert build_index(kind, rows).search(rows, 1)[1].ravel().tolist() == list(range(n))
    with pytest.raises(
        ValueError, match=rf"IVF-PQ needs at least 256 vectors, of a length that 4 divides, got \[{n}, 4\]"
    ):
        build_index("IVF-PQ", rows)
    assert build_index("IVF-PQ", unit(256, 4)).nlist == 6
    assert "WARNING" not in "".join(capfd.readouterr())


def test_codes_need_a_length_that_4_divides():
    with pytest.raises(ValueError, match=r"got \[300, 6\]. Use another kind"):
        build_index("IVF-PQ", unit(300, 6))


def test_training_looks_at_no_more_than_stated_spread_over_all_vectors(monkeypatch):
    seen = []
    monkeypatch.setattr(faiss.IndexIVFFlat, "train", lambda self, x: seen.append(x))
    monkeypatch.setattr(faiss.IndexIVFFlat, "add", lambda self, x: None)
    rows = unit(20_000, 2)
    monkeypatch.setattr(indexes, "n_cells", lambda n: 100)
    build_index("IVF", rows)
    assert seen[0].shape == (4_000, 2)
    places = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in seen[0][::400]] + [19_999]
    assert np.diff(places).min() >= 1_990
    np.testing.assert_array_equal(seen[0][[0, -1]], rows[[0, -1]])


def test_bytes_per_vector_by_hand():
    rows = unit(4_000, 32)
    assert n_bytes(build_index("exact", rows)) / 4_000 == pytest.approx(32 * 4, abs=0.1)
    cells = n_cells(4_000) * 32 * 4 / 4_000  # the centres of the cells
    assert n_bytes(build_index("IVF", rows)) / 4_000 == pytest.approx(
        32 * 4 + 8 + cells, abs=1
    )  # 8: whose vector it is
    codebooks = 256 * 32 * 4 / 4_000
    assert n_bytes(build_index("IVF-PQ", rows)) / 4_000 == pytest.approx(32 / 4 + 8 + cells + codebooks, abs=1)
    links = 2 * indexes.NEIGHBOURS * 4  # on the lowest level; a sixteenth has more
    assert 32 * 4 + links < n_bytes(build_index("HNSW", rows)) / 4_000 < 32 * 4 + links * 1.3 + 16


def test_bytes_are_those_of_the_file(tmp_path, vectors):
    for kind in KINDS:
        index = build_index(kind, vectors)
        faiss.write_index(index, str(tmp_path / "index"))
        assert n_bytes(index) == (tmp_path / "index").stat().st_size


# --- recall


def test_recall_of_three_vectors_by_hand():
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    asked = rows[:1]
    best = best_scores(rows, asked, 2)
    np.testing.assert_allclose(best, [[1, 0.8]])
    shares = {(0, 1): 1.0, (1, 0): 1.0, (0, 2): 0.5, (2, 0): 0.5, (1, -1): 0.5, (-1, -1): 0.0, (2, -1): 0.0}
    for places, share in shares.items():
        assert recall_at_k(np.array([places]), rows, asked, best=best).tolist() == [share]


def test_equals_may_stand_in_for_each_other():
    rows = np.array([[1, 0], [0.6, 0.8], [0.6, -0.8], [0.6, 0.8]], dtype=np.float32)
    best = best_scores(rows, rows[:1], 2)
    for second in (1, 2, 3):
        assert recall_at_k(np.array([[0, second]]), rows, rows[:1], best=best) == [1.0]


@QUICKLY
@given(st.integers(1, 12), st.integers(0, 999))
def test_recall_equals_the_overlap_with_scikit_learn(k, seed):
    rows, asked = unit(40, 5, seed=seed), unit(7, 5, seed=seed + 1_000)
    found = np.random.default_rng(seed).permuted(np.tile(np.arange(40), (7, 1)), axis=1)[:, :k]
    truth = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows).kneighbors(asked)
    overlap = [len(set(a) & set(b)) / k for a, b in zip(found, truth[1], strict=True)]
    best = best_scores(rows, asked, k)
    np.testing.assert_allclose(best, 1 - truth[0], atol=1e-6)
    np.testing.assert_allclose(recall_at_k(found, rows, asked, best=best), overlap)


def test_k_must_fit():
    with pytest.raises(ValueError, match=r"k must be a whole number from 1 to the number of passages \(3\), got 4"):
        best_scores(unit(3, 2), unit(1, 2), 4)


# --- measuring


def test_exact_search_finds_everything(vectors, queries):
    (row,) = measure_index("exact", vectors, queries)
    assert row["recall"] == 1.0 and row["recalls"] == [1.0] * 40
    assert row["bytes_per_vector"] == pytest.approx(16 * 4, abs=0.1)
    assert (row["parameter"], row["value"], row["n_vectors"], row["k"]) == ("", 0, 2_000, 10)


@pytest.mark.parametrize("kind", ["IVF", "HNSW"])
def test_looking_everywhere_finds_all_and_looking_nowhere_much_does_not(kind, vectors, queries):
    rows = measure_index(kind, vectors, queries)
    assert [row["value"] for row in rows] == list(values_to_try(kind, 2_000))
    assert rows[-1]["recall"] >= 0.999
    assert rows[0]["recall"] < rows[-1]["recall"] or kind == "HNSW"
    recalls = [row["recall"] for row in rows]
    assert recalls == sorted(recalls) or kind == "HNSW"


def test_codes_cost_recall_that_no_number_of_cells_brings_back(vectors, queries):
    rows = measure_index("IVF-PQ", vectors, queries)
    assert 0.2 < rows[-1]["recall"] < 0.99
    assert rows[-1]["value"] == n_cells(2_000)
    assert rows[0]["bytes_per_vector"] < 16 * 4 / 2


def test_a_row_holds_plain_values_that_agree_with_each_other(vectors, queries):
    for row in measure_index("IVF", vectors, queries, k=3):
        assert row["recall"] == pytest.approx(np.mean(row["recalls"]))
        assert row["queries_per_second"] == pytest.approx(40 / sum(row["query_seconds"]), rel=0.01)
        assert len(row["query_seconds"]) == 40 and min(row["query_seconds"]) > 0
        assert row["build_seconds"] > 0
        assert {type(value) for value in row.values()} <= {str, int, float, list}


def test_the_truth_may_come_from_outside(vectors, queries):
    best = best_scores(vectors, queries, 10)
    same = [[row["recalls"] for row in measure_index("exact", vectors, queries, best=b)] for b in (None, best)]
    assert same[0] == same[1]
    (strict,) = measure_index("exact", vectors, queries, best=np.full_like(best, 2.0))
    assert strict["recall"] == 0.0


def test_a_slow_pass_is_made_once_and_a_fast_one_three_times(vectors, queries, monkeypatch):
    passes = []

    def one_pass(index, asked, k):
        passes.append(len(passes))
        return np.zeros((len(asked), k), dtype=np.int64), np.full(len(asked), [5.0, 1.0, 3.0][len(passes) % 3])

    monkeypatch.setattr(indexes, "_one_pass", one_pass)
    _, seconds = indexes._timed_search(build_index("exact", vectors), queries[:1], 1)
    assert (len(passes), seconds.tolist()) == (3, [3.0])  # the median of 1, 3 and 5
    passes.clear()
    monkeypatch.setattr(indexes, "SLOW_PASS", 0.5)
    assert indexes._timed_search(build_index("exact", vectors), queries[:1], 1)[1].tolist() == [1.0]
    assert len(passes) == 1


def test_every_search_has_one_thread_and_the_others_come_back_even_after_an_error(vectors, queries, monkeypatch):
    before, seen = faiss.omp_get_max_threads(), []
    faiss.omp_set_num_threads(2)
    try:
        index = build_index("exact", vectors)
        monkeypatch.setattr(index, "search", lambda *_: seen.append(faiss.omp_get_max_threads()))
        with pytest.raises(TypeError):  # this search finds nothing that can be unpacked
            indexes._timed_search(index, queries, 1)
        assert (seen, faiss.omp_get_max_threads()) == ([1, 1], 2)
    finally:
        faiss.omp_set_num_threads(before)


def test_queries_must_be_as_long_as_vectors():
    with pytest.raises(ValueError, match="Expected queries of length 4, as the vectors, got 5"):
        measure_index("exact", unit(20, 4), unit(3, 5))


# --- the experiment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    return tmp_path


def test_rows_of_all_kinds_and_sizes_are_kept(folder, vectors, queries, monkeypatch):
    truths = []
    monkeypatch.setattr(indexes, "best_scores", lambda v, q, k: truths.append(len(v)) or best_scores(v, q, k))
    kinds = ("exact", "IVF", "HNSW")
    rows = measure_indexes(vectors, queries, sizes=(2_000, 500), kinds=kinds)
    assert truths == [500, 2_000]  # once per size, small sizes first
    expected = [(n, kind, value) for n in (500, 2_000) for kind in kinds for value in values_to_try(kind, n)]
    assert list(zip(rows["n_vectors"], rows["kind"], rows["value"], strict=True)) == expected
    assert (rows.loc[rows["kind"] == "exact", "recall"] == 1).all()
    pd.testing.assert_frame_equal(measure_indexes(vectors, queries, sizes=(500, 2_000), kinds=kinds), rows)
    assert truths == [500, 2_000]  # read back, not measured again
    assert len(list(folder.glob("*.jsonl"))) == 1


def test_an_interrupted_run_keeps_the_indexes_that_are_done(folder, vectors, queries, monkeypatch):
    built = []

    def fail_at_hnsw(kind, rows):
        built.append(kind)
        if kind == "HNSW" and built.count("HNSW") == 1:
            raise KeyboardInterrupt
        return build_index(kind, rows)

    monkeypatch.setattr(indexes, "build_index", fail_at_hnsw)
    how = {"sizes": (500,), "kinds": ("exact", "IVF", "HNSW")}
    with pytest.raises(KeyboardInterrupt):
        measure_indexes(vectors, queries, **how)
    measure_indexes(vectors, queries, **how)
    assert built == ["exact", "IVF", "HNSW", "HNSW"]


def test_other_vectors_queries_threads_or_k_start_a_new_file(folder, vectors, queries, monkeypatch):
    def measured(v=vectors, q=queries, **changed):
        measure_indexes(v, q, **{"sizes": (100,), "kinds": ("exact",)} | changed)
        return len(list(folder.glob("*.jsonl")))

    assert [measured(), measured(vectors[1:]), measured(q=queries[1:]), measured(k=3)] == [1, 2, 3, 4]
    assert measured(vectors[:100]) == 4  # what lies beyond the largest size does not matter
    monkeypatch.setenv("OMP_NUM_THREADS", str(runtime.n_threads() + 1))
    assert measured() == 5


@pytest.mark.parametrize(("sizes", "shown"), [((), r"\[\]"), ((9,), r"\[9\]"), ((100, 2_001), r"\[100, 2001\]")])
def test_sizes_must_lie_between_k_and_what_there_is(folder, vectors, queries, sizes, shown):
    with pytest.raises(ValueError, match=rf"Expected sizes from k = 10 to the 2000 vectors there are, got {shown}"):
        measure_indexes(vectors, queries, sizes=sizes)


# --- reading the rows


def row(kind: str, n: int, value: int, *, recalls: list[float], seconds: list[float]) -> dict:
    return {
        "kind": kind,
        "n_vectors": n,
        "parameter": "nprobe",
        "value": value,
        "recalls": recalls,
        "query_seconds": seconds,
    }


HAND_MADE = pd.DataFrame(
    [
        row("exact", 100, 0, recalls=[1, 1, 1, 1], seconds=[2, 4, 2, 4]),
        row("IVF", 100, 1, recalls=[0.9, 1, 0.9, 1], seconds=[1, 1, 1, 1]),  # too little where it is chosen
        row("IVF", 100, 2, recalls=[1, 0.8, 0.9, 0.9], seconds=[3, 5, 3, 5]),  # 0.95 there, and the fastest
        row("IVF", 100, 4, recalls=[1, 1, 1, 1], seconds=[4, 1, 4, 1]),
        row("exact", 200, 0, recalls=[1, 1, 1, 1], seconds=[4, 8, 4, 8]),
        row("IVF", 200, 2, recalls=[1, 1, 0.9, 1], seconds=[3, 5, 3, 5]),
        row("IVF-PQ", 200, 9, recalls=[0.8, 1, 0.8, 1], seconds=[1, 1, 1, 1]),
    ]
)


def test_a_setting_is_chosen_on_one_half_and_judged_on_the_other():
    choice = fastest_with_recall(HAND_MADE, "IVF", 100)
    assert choice == Choice("IVF", 100, "nprobe", 2, recalls=(0.8, 0.9), seconds=(5, 5))
    assert choice.queries_per_second == 0.2
    assert fastest_with_recall(HAND_MADE, "IVF", 100, recall=0.9).value == 1
    assert fastest_with_recall(HAND_MADE, "IVF", 100, recall=0.96).value == 4
    assert fastest_with_recall(HAND_MADE, "IVF-PQ", 200) is None
    assert fastest_with_recall(HAND_MADE, "exact", 100).seconds == (4, 4)


def test_the_crossover_is_the_smallest_size_at_which_it_is_faster_than_exact_search():
    assert crossover(HAND_MADE, "IVF") == 200  # with 100 vectors it takes 5 seconds where exact search takes 4
    assert crossover(HAND_MADE, "IVF", recall=0.9) == 100
    assert crossover(HAND_MADE, "IVF", recall=0.96) == 100
    assert crossover(HAND_MADE, "IVF-PQ") is None


@QUICKLY
@given(st.data())
def test_the_choice_is_the_fastest_of_those_that_find_enough(data):
    recalls, times = (
        st.lists(st.sampled_from([0.8, 0.9, 1.0]), min_size=6, max_size=6),
        st.lists(st.integers(1, 9), min_size=6, max_size=6),
    )
    made = [row("HNSW", 50, v, recalls=data.draw(recalls), seconds=data.draw(times)) for v in range(4)]
    choice = fastest_with_recall(pd.DataFrame(made), "HNSW", 50, recall=0.9)
    halves = {r["value"]: (sum(r["recalls"][::2]) / 3, sum(r["query_seconds"][::2])) for r in made}
    enough = {value: seconds for value, (share, seconds) in halves.items() if share >= 0.9 - 1e-9}
    assert (choice is None) == (not enough)
    assert choice is None or enough[choice.value] == min(enough.values())


def test_what_was_not_measured_is_named():
    for read in (lambda: fastest_with_recall(HAND_MADE, "HNSW", 100), lambda: crossover(HAND_MADE, "HNSW")):
        with pytest.raises(
            ValueError, match=r"No rows for 'HNSW'; there are \['IVF', 'IVF-PQ', 'exact'\]. Measure it first"
        ):
            read()
    with pytest.raises(ValueError, match=r"No rows for 'IVF-PQ' with 100 vectors; it was measured with \[200\]"):
        fastest_with_recall(HAND_MADE, "IVF-PQ", 100)
    with pytest.raises(ValueError, match=r"No rows for 'exact'; there are \['IVF', 'IVF-PQ'\]"):
        crossover(HAND_MADE[HAND_MADE["kind"] != "exact"], "IVF")


def test_one_query_cannot_choose_and_judge():
    one = pd.DataFrame([row("exact", 9, 0, recalls=[1.0], seconds=[1.0])])
    with pytest.raises(
        ValueError, match="at least two queries: one half chooses the setting, the other half judges it"
    ):
        fastest_with_recall(one, "exact", 9)


# --- memory

GROWTH = """
import numpy as np
from helpers import indexes
from helpers.indexes import best_scores, build_index, measure_index, n_bytes
from helpers.synthetic import enlarge
from helpers.runtime import peak_memory_mb
indexes.n_cells = lambda n: 100  # quick, and with few vectors to learn from, as with a million
real = enlarge(np.eye(384, dtype=np.float32), 500, seed=0)
for kind in ("exact", "IVF"):
    measure_index(kind, enlarge(real, 2_000, seed=0), real[:20])  # what the libraries keep for themselves
peaks = [peak_memory_mb()]
vectors = enlarge(real, 50_000, seed=0)
peaks.append(peak_memory_mb())
best_scores(vectors, real[:50], 10)
peaks.append(peak_memory_mb())
n_bytes(build_index("exact", vectors))
peaks.append(peak_memory_mb())
n_bytes(build_index("IVF", vectors))
peaks.append(peak_memory_mb())
print(*peaks)
"""


def test_memory_is_one_array_of_vectors_and_one_index_at_a_time():
    done = subprocess.run([sys.executable, "-c", GROWTH], cwd=runtime.ROOT, capture_output=True, text=True, check=True)
    start, enlarged, searched, exact, cells = map(float, done.stdout.split())
    size = 50_000 * 384 * 4 / 1e6
    pieces = 3 * CHUNK * 384 * 4 / 1e6  # of noise, of parents, of what numpy squares
    assert enlarged - start < size + pieces
    assert searched - enlarged < 0.2 * size
    assert exact - start < 2.1 * size + pieces
    assert cells - start < 2.6 * size + pieces  # lists that grow, and a copy of what they learn from
