"""Three products, one promise: the same vectors in, the same neighbours out, and the same words for the same mistake."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import chromadb
import faiss
import numpy as np
import pinecone
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.corpus import Corpus, Document, Passage, load_company
from helpers.faiss_store import FaissStore
from helpers.pinecone_stub import PineconeStub
from helpers.retrieval import DenseRetriever
from helpers.store_protocol import CheckedStore, Hits, conditions, matches, stored
from helpers.vector_stores import (
    ChromaStore,
    PineconeStore,
    StoreRetriever,
    fill_store,
    passage_metadata,
    pinecone_host,
)

ROOT = Path(__file__).resolve().parents[1]
KINDS = ["faiss", "chroma", "pinecone"]
QUICKLY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def without_key(monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)


@pytest.fixture(scope="module")
def stub():
    stub = PineconeStub()
    with stub:
        yield stub


@pytest.fixture
def open_store(tmp_path, stub):
    """Make a new, empty store of a kind, each time another one."""
    numbers = itertools.count()

    def opened(kind: str, n_dimensions: int = 3) -> CheckedStore:
        name = f"test-{next(numbers)}-{tmp_path.name[-9:].strip('_-').replace('_', '-').lower()}"
        if kind == "pinecone":
            stub.indexes.pop(name, None)
            return PineconeStore(name, host=stub.host, n_dimensions=n_dimensions)
        return FaissStore(tmp_path / name) if kind == "faiss" else ChromaStore(tmp_path / name)

    return opened


@pytest.fixture(params=KINDS)
def store(request, open_store) -> CheckedStore:
    return open_store(request.param)


VECTORS = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0, 5]], dtype=np.float32)
IDS = ["east", "between", "north", "up"]
METADATA = [
    {"audience": "public", "date": "2026-01-31", "pages": 3},
    {"audience": "internal", "date": "2026-03-01", "pages": 2.5},
    {"audience": "public", "date": "2026-03-01", "pages": 2},
    {"audience": "public", "date": "2027-01-01", "pages": "two"},
]
EAST = np.array([[1, 0, 0]], dtype=np.float32)


@pytest.fixture
def filled(store) -> CheckedStore:
    store.upsert(IDS, VECTORS, METADATA)
    return store


def found(store: CheckedStore, k: int = 10, **where: object) -> set[str]:
    return set(store.query(EAST, k, where=where or None)[0].ids)


# --- neighbours


def test_neighbours_by_hand(filled):
    (hits,) = filled.query(np.array([[3, 0.1, -0.1]]), 3)
    assert hits.ids == ("east", "between", "north")
    length = np.sqrt(9.02)
    assert hits.scores == pytest.approx((3 / length, (1.8 + 0.08) / length, 0.1 / length), abs=1e-6)
    assert filled.query(EAST, 1) == [Hits(("east",), (pytest.approx(1.0),))]
    assert len(filled) == 4


@pytest.mark.parametrize("kind", KINDS)
@QUICKLY
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 70), st.sampled_from([2, 5, 16]))
def test_the_same_vectors_in_give_the_same_neighbours_out_as_numpy(open_store, kind, seed, n, k, n_dimensions):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, n_dimensions)).astype(np.float32)
    queries = rng.normal(size=(3, n_dimensions))
    store = open_store(kind, n_dimensions)
    store.upsert([f"v{i}" for i in range(n)], vectors, [{"n": i} for i in range(n)])
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, vectors.astype(float))]
    for cosines, hits in zip(unit[0] @ unit[1].T, store.query(queries, k), strict=True):
        assert sorted(hits.ids) == sorted(set(hits.ids)) and len(hits.ids) == min(k, n)
        best = np.sort(cosines)[::-1][:k]
        assert hits.scores == pytest.approx(best, abs=1e-5)
        assert [cosines[int(i[1:])] for i in hits.ids] == pytest.approx(best, abs=1e-5)


def test_k_larger_than_what_there_is_or_matches_returns_what_there_is(filled):
    assert found(filled, 99) == set(IDS)
    assert found(filled, 99, audience="internal") == {"between"}
    assert filled.query(np.eye(3), 99, where={"audience": "nobody"}) == [Hits((), ())] * 3


def test_vectors_that_are_given_are_not_changed(store):
    vectors = VECTORS.copy()
    store.upsert(IDS, vectors, METADATA)
    store.query(vectors, 1)
    assert (vectors == VECTORS).all()


# --- filters


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, IDS),
        ({}, IDS),
        ({"audience": "public"}, ["east", "north", "up"]),
        ({"date": "2026-03-01"}, ["between", "north"]),
        ({"date": {">=": "2026-03-01"}}, ["between", "north", "up"]),
        ({"date": {">": "2026-03-01"}}, ["up"]),
        ({"date": {">=": "2026-01-01", "<": "2026-03-01"}}, ["east"]),
        ({"date": {"<=": "2026-03-01"}, "audience": "public"}, ["east", "north"]),
        ({"audience": {"=": "public"}, "pages": {">=": 2, "<": 2.5}}, ["north"]),
        ({"pages": {">=": 1.5}}, ["east", "between", "north"]),
        ({"pages": 2.0}, ["north"]),
        ({"pages": "two"}, ["up"]),
        ({"pages": "2"}, []),
        ({"audience": 2}, []),
        ({"colour": "red"}, []),
        ({"colour": {"<": 3}}, []),
    ],
)
def test_filters_by_hand(filled, where, expected):
    (hits,) = filled.query(EAST, 10, where=where)
    assert sorted(hits.ids) == sorted(expected)


VALUES = st.sampled_from(
    ["a", "b", "", "2", "2026-03-01", "2026-02-30", "2027-01-01", 0, -1, 2, 1.5, 2.0, 20260301, 2**53]
)
COMPARED = st.sampled_from(["2026-03-01", 0, 1.5, 2, -0.5, 20260301])
ASKED = st.one_of(VALUES, st.dictionaries(st.sampled_from([">", ">=", "<", "<="]), COMPARED, min_size=1, max_size=2))


def plainly_matches(metadata: dict, where: dict) -> bool:
    """The meaning of a filter in other words: each asked value as a Python expression over numbers, dates as in ISO order."""
    symbols = {">": "gt", ">=": "ge", "<": "lt", "<=": "le", "=": "eq"}
    for key, wanted in where.items():
        for op, value in (wanted if isinstance(wanted, dict) else {"=": wanted}).items():
            if key not in metadata or isinstance(stored(metadata[key]), str) != isinstance(stored(value), str):
                return False
            if not getattr(stored(metadata[key]), f"__{symbols[op]}__")(stored(value)):
                return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@settings(parent=QUICKLY, max_examples=15)
@given(
    st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES, min_size=1), min_size=1, max_size=12),
    st.lists(st.dictionaries(st.sampled_from("xyz"), ASKED, min_size=1), min_size=1, max_size=6),
)
def test_every_store_understands_a_filter_in_the_same_way(open_store, kind, metadata, filters):
    store = open_store(kind)
    ids = [str(i) for i in range(len(metadata))]
    store.upsert(ids, np.random.default_rng(0).normal(size=(len(ids), 3)), metadata)
    for where in filters:
        expected = {i for i, one in zip(ids, metadata, strict=True) if plainly_matches(one, where)}
        assert set(store.query(EAST, 99, where=where)[0].ids) == expected, where


def test_a_date_is_a_number_and_only_a_real_one():
    assert [stored(v) for v in ("2026-03-01", "0099-12-31", "2026-3-1", "2026-02-30", "on 2026-03-01")] == [
        20260301.0,
        991231.0,
        "2026-3-1",
        "2026-02-30",
        "on 2026-03-01",
    ]


def test_conditions_are_all_to_hold():
    asked = conditions({"a": "x", "b": {">": 1, "<=": 3}})
    assert asked == [("a", "=", "x"), ("b", ">", 1.0), ("b", "<=", 3.0)]
    assert matches({"a": "x", "b": 3.0}, asked)
    assert not matches({"a": "x", "b": 3.5}, asked)
    assert not matches({"a": "x"}, asked)


# --- changes


def test_an_update_replaces_the_vector_and_all_of_the_metadata(filled):
    filled.upsert(["east", "new"], np.array([[0, 0, 1], [1, 0, 0]]), [{"colour": "red"}, {"audience": "public"}])
    assert len(filled) == 5
    assert filled.query(EAST, 1)[0].ids == ("new",)
    assert found(filled, colour="red") == {"east"}
    assert "east" not in found(filled, audience="public"), "its old audience is gone"
    (hits,) = filled.query(EAST, 5)
    assert hits.scores[hits.ids.index("east")] == pytest.approx(0, abs=1e-6), "its old vector is gone"


def test_what_is_deleted_is_never_found_again(filled):
    filled.delete(["east", "never there"])
    assert len(filled) == 3
    assert found(filled) == {"between", "north", "up"}
    assert found(filled, audience="public") == {"north", "up"}
    filled.delete(["between", "north", "up"])
    assert len(filled) == 0
    with pytest.raises(ValueError, match="The store is empty"):
        filled.query(EAST, 1)
    filled.upsert(IDS, VECTORS, METADATA)
    assert found(filled) == set(IDS)


@pytest.mark.parametrize(("kind", "left"), [("faiss", False), ("chroma", True)])
def test_whether_deleted_metadata_is_gone_from_the_disk_too_is_as_stated(tmp_path, open_store, kind, left):
    store = open_store(kind)
    store.upsert(IDS, VECTORS, [{"note": "canary-4711"}, *METADATA[1:]])
    store.delete(["east"])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 1
    assert any(b"canary-4711" in path.read_bytes() for path in files) == left


def test_ids_may_be_any_text(store):
    ids = ["Grüße/aus Köln.md#1", "100% <b>", "a b", "你好"]
    store.upsert(ids, VECTORS, METADATA)
    assert found(store) == set(ids)
    store.delete(ids[:2])
    assert found(store) == set(ids[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_more_vectors_than_fit_into_one_request(open_store, kind, monkeypatch):
    monkeypatch.setattr(chromadb.api.client.Client, "get_max_batch_size", lambda _: 100)
    store = open_store(kind)
    n = 250
    angles = np.linspace(0, 3, n)
    ids = [str(i) for i in range(n)]
    store.upsert(ids, np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1), [{"n": i} for i in range(n)])
    assert len(store) == n
    assert store.query(EAST, 3, where={"n": {">=": 240}})[0].ids == ("240", "241", "242")
    store.delete(ids[:245])
    assert found(store) == set(ids[245:])


# --- persistence


WRITER = """
import sys
import numpy as np
from helpers.vector_stores import ChromaStore, FaissStore
kind, folder, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = {"faiss": FaissStore, "chroma": ChromaStore}[kind](folder)
vectors = np.random.default_rng(7).normal(size=(n, 8))
store.upsert([f"v{i}" for i in range(n)], vectors, [{"part": "odd" if i % 2 else "even", "date": "2026-03-01"} for i in range(n)])
store.delete(["v0"])
store.upsert(["v1"], -vectors[1:2], [{"part": "turned"}])
"""


@pytest.mark.parametrize(("kind", "n"), [("faiss", 40), ("chroma", 1200)])
def test_what_another_process_wrote_is_there(tmp_path, kind, n):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WRITER, kind, str(tmp_path / "store"), str(n)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    store = FaissStore(tmp_path / "store") if kind == "faiss" else ChromaStore(tmp_path / "store")
    vectors = np.random.default_rng(7).normal(size=(n, 8))
    assert (len(store), store.n_dimensions) == (n - 1, 8)
    assert [hits.ids[0] for hits in store.query(vectors[2:30], 1)] == [f"v{i}" for i in range(2, 30)]
    assert store.query(-vectors[1:2], 1)[0].ids == ("v1",)
    assert store.query(vectors[1:2], 99, where={"part": "turned"})[0].ids == ("v1",)
    assert "v0" not in store.query(vectors[:1], n, where={"part": "even", "date": {">": "2026-02-28"}})[0].ids


def test_a_faiss_folder_holds_one_index_one_json_and_no_pickle(tmp_path):
    store = FaissStore(tmp_path)
    store.upsert(IDS, VECTORS, METADATA)
    store.upsert(["up"], EAST, METADATA[:1])
    store.delete(["north"])
    (index,) = tmp_path.glob("*.faiss")
    assert sorted(tmp_path.iterdir()) == sorted([index, tmp_path / "store.json"])
    assert json.loads((tmp_path / "store.json").read_text("utf-8"))["file"] == index.name
    assert faiss.read_index(str(index)).ntotal == 3


@pytest.mark.parametrize("dies_at", ["write_index", "json"])
def test_a_crash_while_saving_leaves_the_last_state(tmp_path, monkeypatch, dies_at):
    FaissStore(tmp_path).upsert(IDS, VECTORS, METADATA)

    def die(*_: object, **__: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        target = {"write_index": (faiss, "write_index"), "json": (json, "dumps")}[dies_at]
        patch.setattr(*target, die)
        with pytest.raises(OSError, match="power cut"):
            FaissStore(tmp_path).delete(["east"])
    store = FaissStore(tmp_path)
    assert found(store) == set(IDS)
    store.delete(["east"])
    assert found(FaissStore(tmp_path)) == set(IDS[1:])


# --- FAISS's variants


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    """1,200 vectors around 12 centres."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.normal(size=(12, 16)), 100, axis=0) + 0.3 * rng.normal(size=(1200, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


VARIANTS = [
    ("Flat", "", 1.0),
    ("SQ8", "", 0.8),
    ("HNSW16,Flat", "efSearch=200", 0.95),
    ("HNSW32", "efSearch=200", 0.95),
]
VARIANTS += [("IVF8,Flat", "nprobe=8", 1.0), ("IVF8,SQ8", "nprobe=8", 0.8), ("IVF4,PQ4", "nprobe=4", 0.3)]


@pytest.mark.parametrize(("variant", "search", "recall"), VARIANTS)
def test_variants_find_most_neighbours_and_can_be_filtered_changed_and_reopened(
    tmp_path, clusters, variant, search, recall
):
    def recall_of(store: CheckedStore, kept: list[int], where: dict | None = None) -> float:
        exact = np.argsort(-(clusters[kept][:50] @ clusters[kept].T), axis=1)[:, :10]
        hits = store.query(clusters[kept][:50], 10, where=where)
        pairs = zip(exact, hits, strict=True)
        return np.mean([len({str(kept[i]) for i in row} & set(hit.ids)) / 10 for row, hit in pairs])

    store = FaissStore(tmp_path, variant=variant, search=search)
    store.upsert([str(i) for i in range(1200)], clusters, [{"third": i % 3} for i in range(1200)])
    assert recall_of(store, list(range(1200))) >= recall
    assert recall_of(store, list(range(1, 1200, 3)), {"third": 1}) >= recall
    store.delete([str(i) for i in range(600)])
    store = FaissStore(tmp_path, variant=variant, search=search)
    assert len(store) == 600
    assert recall_of(store, list(range(600, 1200))) >= recall
    store.upsert(["600"], -clusters[600:601], [{"third": 9}])
    assert store.query(-clusters[600:601], 1)[0].ids == ("600",)
    assert store.query(clusters[:1], 5, where={"third": 9})[0].ids == ("600",)
    store.delete([str(i) for i in range(600, 1200)])
    assert len(store) == 0


def test_how_hard_to_look_is_a_choice(tmp_path, clusters):
    ids, metadata = [str(i) for i in range(1200)], [{"x": 1}] * 1200
    FaissStore(tmp_path, variant="IVF32,Flat").upsert(ids, clusters, metadata)

    def share_found(**search: str) -> float:
        hits = FaissStore(tmp_path, variant="IVF32,Flat", **search).query(clusters[:100], 1200, where={"x": 1})
        return np.mean([len(hit.ids) for hit in hits]) / 1200

    assert share_found() < share_found(search="nprobe=4") < share_found(search="nprobe=32") == 1


@pytest.mark.parametrize("variant", ["LSH", "OPQ8,IVF4,PQ8", "HNSW16,PQ8", "flat", "", "IVF16"])
def test_variants_that_can_not_do_all_of_it_are_refused(tmp_path, variant):
    with pytest.raises(ValueError, match=rf"variant must be Flat, SQ8, HNSW32,Flat or .*, got {variant!r}"):
        FaissStore(tmp_path, variant=variant)


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("IVF16,Flat", r"of 4 vectors \[3\]: Number of training points \(4\)"),
        ("IVF2,PQ2", r"of 4 vectors \[3\]: The dim"),
    ],
)
def test_too_few_or_unfit_vectors_to_train_on_are_refused_and_nothing_is_lost(tmp_path, variant, said):
    store = FaissStore(tmp_path, variant=variant)
    with pytest.raises(ValueError, match=rf"FAISS can't make {variant!r} {said}.*Upsert more vectors at first"):
        store.upsert(IDS, VECTORS, METADATA)
    assert (len(store), store.n_dimensions, list(tmp_path.iterdir())) == (0, None, [])


def test_search_settings_of_another_variant_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'Flat' can't be searched with 'nprobe=8'. Expected efSearch=64 for HNSW"):
        FaissStore(tmp_path, search="nprobe=8").upsert(IDS, VECTORS, METADATA)


def test_a_folder_of_another_variant_is_refused(tmp_path):
    FaissStore(tmp_path).upsert(IDS, VECTORS, METADATA)
    with pytest.raises(ValueError, match="is 'Flat', not 'HNSW32,Flat'. Open it as that"):
        FaissStore(tmp_path, variant="HNSW32,Flat")


# --- mistakes: the same words from all three


@pytest.mark.parametrize("k", [0, -1, 2.0, "2", None, True])
def test_k_must_be_a_whole_number_from_1(filled, k):
    with pytest.raises(ValueError, match=rf"k must be a whole number from 1, got {k!r}"):
        filled.query(EAST, k)


def test_numpy_numbers_will_do_for_k(filled):
    assert len(filled.query(EAST, np.int64(2))[0].ids) == 2


def test_an_empty_store_says_so(store):
    assert len(store) == 0
    with pytest.raises(ValueError, match="The store is empty: upsert vectors before you query"):
        store.query(EAST, 1)


MISTAKES = [
    ((IDS[:3], VECTORS, METADATA), "one dict of metadata per id, got 3 ids, 4 vectors and 4 metadata"),
    ((IDS, VECTORS, METADATA[:2]), "got 4 ids, 4 vectors and 2 metadata"),
    (([], VECTORS, METADATA), r"list of at least one id, got \[\]"),
    (("east", VECTORS[:1], METADATA[:1]), "list of at least one id, got 'east'"),
    ((["a", "", "b", 7], VECTORS, METADATA), r"Ids must be non-empty text, got \['', 7\]"),
    ((["a", "b", "a", "c"], VECTORS, METADATA), r"these repeat: \['a'\]"),
    ((IDS, VECTORS * [[1], [0], [1], [1]], METADATA), r"have no direction: rows \[1\]. Leave them out"),
    ((IDS, VECTORS + [[0], [0], [np.nan], [np.inf]], METADATA), r"no direction: rows \[2, 3\]"),
    ((IDS, VECTORS[0], METADATA), r"shape \[n, .*\] with n >= 1, got \[3\]"),
    ((IDS, VECTORS[:0], METADATA), r"with n >= 1, got \[0, 3\]"),
    ((IDS, VECTORS, [*METADATA[:3], {}]), r"dict with at least one key; that of \['up'\] is not"),
    ((IDS, VECTORS, ["public", *METADATA[1:]]), r"that of \['east'\] is not"),
    ((IDS, VECTORS, [*METADATA[:3], {"$x": 1}]), r"key is a name such as 'audience' .*, got '\$x'. Rename it"),
    ((IDS, VECTORS, [*METADATA[:3], {3: 1}]), "got 3. Rename it"),
    *[
        (
            (IDS, VECTORS, [*METADATA[:3], {"x": bad}]),
            r"text or a number up to 9,007,199,254,740,992, no bool, list or NaN",
        )
        for bad in (None, True, ["a"], {"a": 1}, float("nan"), float("inf"), 2**53 + 1, b"x")
    ],
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_what_can_not_be_stored_is_refused_and_nothing_is_stored(store, arguments, said):
    with pytest.raises(ValueError, match=said):
        store.upsert(*arguments)
    assert len(store) == 0


def test_another_dimension_is_refused_even_when_all_has_been_deleted(filled):
    for rows in (np.ones((1, 2)), np.ones((1, 4))):
        with pytest.raises(ValueError, match=rf"shape \[n, 3\] with n >= 1, got \[1, {rows.shape[1]}\]"):
            filled.query(rows, 1)
        with pytest.raises(ValueError, match=r"shape \[n, 3\]"):
            filled.upsert(["x"], rows, [{"a": 1}])
    filled.delete(IDS)
    with pytest.raises(ValueError, match=r"shape \[n, 3\]"):
        filled.upsert(["x"], np.ones((1, 2)), [{"a": 1}])


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"date": {"≥": "2026-01-01"}}, "Filters know =, >, >=, <, <=; got '≥' for 'date'"),
        (
            {"audience": {">": "internal"}},
            r"Only numbers and dates \(YYYY-MM-DD\) can be compared; got audience > 'internal'",
        ),
        ({"date": {">": "2026-02-30"}}, "Only numbers and dates"),
        ({"audience": ["public", "internal"]}, "Metadata must be text or a number"),
        ({"audience": None}, "Metadata must be text or a number"),
        ({"date": {}}, "The filter asks nothing of 'date'"),
        ({"$or": "x"}, r"A metadata key is a name .* got '\$or'"),
        ("audience = public", "A filter is a dict such as {'audience': 'public'}, got 'audience = public'"),
    ],
)
def test_filters_that_not_all_can_ask_are_refused(filled, where, said):
    with pytest.raises(ValueError, match=said):
        filled.query(EAST, 1, where=where)


@pytest.mark.parametrize("ids", [[], "east", [None]])
def test_what_is_no_list_of_ids_can_not_be_deleted(filled, ids):
    with pytest.raises(ValueError, match="list of at least one id|non-empty text"):
        filled.delete(ids)
    assert len(filled) == 4


# --- Chroma


def test_chroma_needs_no_network_and_no_model(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Chroma went to the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    store = ChromaStore(tmp_path / "store")
    store.upsert(IDS, VECTORS, METADATA)
    assert found(store) == set(IDS)
    assert not (tmp_path / "home").exists(), "nothing is downloaded into a cache"
    assert store._collection._embedding_function is None
    assert not store._client.get_settings().anonymized_telemetry


def test_chroma_measures_cosines_or_refuses(tmp_path):
    store = ChromaStore(tmp_path, name="ours")
    assert store._collection.configuration_json["hnsw"]["space"] == "cosine"
    store._client.create_collection("theirs", embedding_function=None)
    with pytest.raises(ValueError, match="'theirs' is there already and measures 'l2', not cosine"):
        ChromaStore(tmp_path, name="theirs")


@pytest.mark.parametrize("name", ["ab", "a b c", "-abc", ""])
def test_chroma_names_are_checked(tmp_path, name):
    with pytest.raises(ValueError, match=rf"A Chroma collection is named with 3 to 512 .*, got {name!r}"):
        ChromaStore(tmp_path, name=name)


def test_a_closed_chroma_lets_go_of_its_folder(tmp_path):
    for _ in range(2):  # without close(), Chroma would go on with the folder that is gone
        store = ChromaStore(tmp_path / "store")
        assert len(store) == 0
        store.upsert(IDS, VECTORS, METADATA)
        store.close()
        shutil.rmtree(tmp_path / "store")


def test_chroma_keeps_collections_apart(tmp_path):
    first, second = ChromaStore(tmp_path, name="first"), ChromaStore(tmp_path, name="second")
    first.upsert(IDS, VECTORS, METADATA)
    assert (len(first), len(second)) == (4, 0)


# --- Pinecone's client and our stub


def test_it_is_the_official_client_that_speaks_to_the_stub():
    stub = PineconeStub()
    with stub as host:
        store = PineconeStore("docs", host=host, n_dimensions=3)
        assert isinstance(store._index, pinecone.Index)
        store.upsert(IDS, VECTORS, METADATA)
        store.query(EAST, 2)
        store.delete(["east"])
        assert stub.requests == [
            ("GET", "/indexes/docs"),
            ("POST", "/indexes"),
            ("GET", "/indexes/docs"),
            ("GET", "/indexes/docs"),
            ("POST", "/data/docs/vectors/upsert"),
            ("POST", "/data/docs/describe_index_stats"),
            ("POST", "/data/docs/query"),
            ("POST", "/data/docs/vectors/delete"),
        ]
        assert len(PineconeStore("docs", host=host)) == 3, "it is there for the next one, until the stub ends"


def test_an_unknown_index_is_one_clear_error(stub):
    with pytest.raises(ValueError, match="Pinecone has no index named 'missing'. Check the name, or give n_dimensions"):
        PineconeStore("missing", host=stub.host)
    assert "missing" not in stub.indexes


def test_names_metrics_and_keys_are_checked(stub):
    with pytest.raises(ValueError, match="Pinecone could not open 'Not A Name': .*Check the name"):
        PineconeStore("Not A Name", host=stub.host, n_dimensions=3)
    client = pinecone.Pinecone(api_key="any", host=stub.host)
    vector = {"type": "dense_vector", "dimension": 3, "metric": "euclidean"}
    client.indexes.create(name="euclid", schema={"fields": {"_values": vector}})
    with pytest.raises(ValueError, match="'euclid' does not hold vectors that are compared by cosine"):
        PineconeStore("euclid", host=stub.host)
    with pytest.raises(ValueError, match="Pinecone needs a key. Set PINECONE_API_KEY, or use the stub"):
        PineconeStore("docs")


def test_where_nobody_answers_the_error_says_what_to_check():
    with PineconeStub() as host:
        pass
    with pytest.raises(ValueError, match="Pinecone could not open 'docs': .*refused.*the address and the network"):
        PineconeStore("docs", host=host)


def test_the_stub_stands_in_only_where_there_is_no_key(monkeypatch):
    with pinecone_host() as host:
        assert host.startswith("http://127.0.0.1:")
    monkeypatch.setenv("PINECONE_API_KEY", "a key")
    with pinecone_host() as host:
        assert host is None


def test_the_stub_answers_the_clients_other_questions():
    with PineconeStub() as host:
        client = pinecone.Pinecone(api_key="any", host=host)
        PineconeStore("docs", host=host, n_dimensions=3).upsert(IDS, VECTORS, METADATA)
        index = client.index(name="docs")
        assert [one.name for one in client.indexes.list()] == ["docs"]
        assert index.fetch(ids=["east", "gone"]).vectors["east"].metadata["date"] == 20260301 - 170
        assert [item.id for page in index.list() for item in page.vectors] == sorted(IDS)
        assert index.query(vector=[1, 0, 0], top_k=1).matches[0].id == "east"
        with pytest.raises(pinecone.ApiError, match="does not match the dimension of the index 3"):
            index.upsert(vectors=[("x", [1.0])])
        with pytest.raises(pinecone.ConflictError, match="already exists"):
            client.indexes.create(name="docs", schema={"fields": {"_values": {"type": "dense_vector", "dimension": 3}}})
        with pytest.raises(pinecone.NotFoundError, match="no operation 'vectors/update'"):
            index.update(id="east", values=[0.0, 0.0, 1.0])
        with pytest.raises(pinecone.NotFoundError, match="The stub has no GET /collections"):
            list(client.collections.list())
        index.delete(delete_all=True)
        assert index.describe_index_stats().total_vector_count == 0
        client.indexes.delete("docs")
        assert not client.indexes.exists("docs")


# --- passages


class Lookup:
    """An encoder for tests: a text is its own vector, "1 0 0" is (1, 0, 0)."""

    def encode(self, texts):
        return np.array([[float(x) for x in text.split()] for text in texts], dtype=np.float32)


DOCUMENTS = (
    Document("d0", "", "", date="2026-01-31", audience="public", type="faq"),
    Document("d1", "", "", date="2026-03-01", audience="internal", type="guide"),
)
TEXTS = [("p0", "d0", "1 0 0"), ("p1", "d0", "0.6 0.8 0"), ("p2", "d1", "0.8 0.6 0"), ("p3", "d1", "0 0 1")]
CORPUS = Corpus("toy", DOCUMENTS, tuple(Passage(i, d, "", "", text) for i, d, text in TEXTS))


def test_passages_carry_the_front_matter_of_their_documents():
    assert passage_metadata(CORPUS)["p2"] == {
        "document_id": "d1",
        "audience": "internal",
        "date": "2026-03-01",
        "type": "guide",
    }
    company = load_company()
    described = passage_metadata(company)
    assert list(described) == [passage.id for passage in company.passages]
    assert {one["audience"] for one in described.values()} == {"public", "internal", "confidential"}
    assert all(isinstance(stored(one["date"]), float) for one in described.values())


def test_a_filled_store_is_a_retriever_like_the_others(store):
    fill_store(store, CORPUS, Lookup())
    retriever = StoreRetriever(store, CORPUS.passages, Lookup())
    assert retriever.passages == list(CORPUS.passages)
    queries = ["1 0 0", "0 0.6 0.8"]
    reference = DenseRetriever(CORPUS.passages, Lookup()).search(queries, 3)
    for ranking, expected in zip(retriever.search(queries, 3), reference, strict=True):
        assert (ranking.query, ranking.ids, ranking.passages) == (expected.query, expected.ids, expected.passages)
        assert ranking.scores == pytest.approx(expected.scores, abs=1e-6)


def test_a_filter_keeps_back_what_the_reader_may_not_see(store):
    fill_store(store, CORPUS, Lookup())
    public = StoreRetriever(store, CORPUS.passages, Lookup(), where={"audience": "public"})
    assert public.search(["0 0 1", "1 0 0"], 4)[1].ids == ["p0", "p1"]
    recent = StoreRetriever(store, CORPUS.passages, Lookup(), where={"date": {">=": "2026-02-01"}})
    assert recent.search(["1 0 0"], 1)[0].ids == ["p2"]


def test_a_retriever_refuses_what_it_can_not_use(store):
    fill_store(store, CORPUS, Lookup())
    with pytest.raises(ValueError, match=r"The store holds other passages than these: \['p2', 'p3'\]. Fill it anew"):
        StoreRetriever(store, CORPUS.passages[:2], Lookup()).search(["1 0 0"], 4)
    with pytest.raises(ValueError, match="Filters know"):
        StoreRetriever(store, CORPUS.passages, Lookup(), where={"date": {"since": "2026-01-01"}})
    with pytest.raises(ValueError, match="The corpus is empty"):
        StoreRetriever(store, [], Lookup())
    with pytest.raises(ValueError, match="The corpus is empty"):
        fill_store(store, Corpus("none", (), ()), Lookup())
