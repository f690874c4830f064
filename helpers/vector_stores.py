"""Where are vectors kept, and does it matter which product keeps them?

Three stores behind one protocol (`store_protocol`): the same vectors, metadata and filters go in, so what comes out can be compared.

- `FaissStore`: **real product**. FAISS, a library in this process (`faiss_store`).
- `ChromaStore`: **real product**. Chroma, a database in this process; telemetry off, no embedding model, nothing downloaded.
- `PineconeStore`: **real client, our stub**. Pinecone's official client, talking to `pinecone_stub` on this machine, or, where
  `PINECONE_API_KEY` is set, to the hosted service, against which this module has *not* been tried. There a new vector may be
  missing from searches for some seconds: wait before measuring.

Taught in `02_retrieval`. Leaves out: embedding models inside the database. Equally near vectors come in any order.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from helpers.corpus import Corpus, Passage
from helpers.embeddings import Embedder
from helpers.faiss_store import FaissStore
from helpers.pinecone_stub import PineconeStub
from helpers.retrieval import Ranking, check_passages
from helpers.runtime import n_threads
from helpers.store_protocol import CheckedStore, Condition, Hits, Metadata, VectorStore, Where, conditions

__all__ = ["ChromaStore", "FaissStore", "Hits", "PineconeStore", "StoreRetriever", "VectorStore"]

PINECONE_BATCH = 100  # vectors in one request, well below Pinecone's limit of 2 MB
PINECONE_VECTOR = "_values"  # the field in which Pinecone's vector operations look
QUERY_NAMES = {"=": "$eq", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}


class ChromaStore(CheckedStore):
    """Chroma in a folder: a graph (HNSW) over the vectors, metadata in SQLite. Beyond 1,000 vectors Chroma itself saves a part
    of its index in pickle's format; open no folder that a stranger gave you. Chroma keeps the folder open: `close()` the store
    before you delete its folder.
    """

    def __init__(self, folder: str | Path, *, name: str = "passages") -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(str(Path(folder).expanduser()), settings=settings)
        graph = {"space": "cosine", "num_threads": n_threads()}
        try:
            self._collection = self._client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": graph}
            )
        except chromadb.errors.InvalidArgumentError as error:
            expected = "3 to 512 letters, digits, . _ or -, with a letter or digit at both ends"
            raise ValueError(f"A Chroma collection is named with {expected}, got {name!r}.") from error
        if (space := self._collection.configuration_json["hnsw"]["space"]) != "cosine":
            advice = "Choose another name."
            raise ValueError(f"The collection {name!r} is there already and measures {space!r}, not cosine. {advice}")

    @property
    def n_dimensions(self) -> int | None:
        return (self._collection.metadata or {}).get("n_dimensions")

    def __len__(self) -> int:
        return self._collection.count()

    def _upsert(self, ids: list[str], vectors: np.ndarray, metadata: list[dict]) -> None:
        if self.n_dimensions is None:
            self._collection.modify(metadata={"n_dimensions": vectors.shape[1]})
        for part in _slices(len(ids), self._client.get_max_batch_size()):
            before = self._collection.get(ids=ids[part], include=["metadatas"])
            old = dict(
                zip(before["ids"], before["metadatas"], strict=True)
            )  # Chroma keeps keys that are not set to None
            new = [dict.fromkeys(old.get(i, ())) | one for i, one in zip(ids[part], metadata[part], strict=True)]
            self._collection.upsert(ids=ids[part], embeddings=vectors[part], metadatas=new)

    def _query(self, vectors: np.ndarray, k: int, wanted: list[Condition]) -> list[Hits]:
        found = self._collection.query(
            query_embeddings=vectors, n_results=k, where=_as_query(wanted), include=["distances"]
        )
        pairs = zip(found["ids"], found["distances"], strict=True)
        return [Hits(tuple(ids), tuple(1 - distance for distance in distances)) for ids, distances in pairs]

    def _delete(self, ids: list[str]) -> None:
        for part in _slices(len(ids), self._client.get_max_batch_size()):
            self._collection.delete(ids=ids[part])

    def close(self) -> None:
        """Let go of the folder; the store can't be used any more."""
        self._client.close()


def _as_query(wanted: list[Condition]) -> dict | None:
    """A filter in the language that Chroma and Pinecone share."""
    parts = [{key: {QUERY_NAMES[op]: value}} for key, op, value in wanted]
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None


def _slices(n: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, n, size)]


class PineconeStore(CheckedStore):
    """An index at `host`: Pinecone's service (`None`; needs `PINECONE_API_KEY` or `api_key`) or the stub's address.

    With `n_dimensions`, an index that is not there is made (on the service: in its default region, at your account's cost).
    Each query is a request of its own. Raises `ValueError` for an unknown index, one that does not measure cosines, and where
    nothing answers.
    """

    def __init__(
        self, name: str, *, api_key: str | None = None, host: str | None = None, n_dimensions: int | None = None
    ) -> None:
        import pinecone

        api_key = api_key or os.environ.get("PINECONE_API_KEY") or ("any" if host else None)
        if not api_key:
            raise ValueError(
                "Pinecone needs a key. Set PINECONE_API_KEY, or use the stub: `with pinecone_host() as host:`."
            )
        try:
            client = pinecone.Pinecone(api_key=api_key, host=host)
            if n_dimensions and not client.indexes.exists(name):
                vector = {"type": "dense_vector", "dimension": n_dimensions, "metric": "cosine"}
                client.indexes.create(name=name, schema={"fields": {PINECONE_VECTOR: vector}})
            field = client.indexes.describe(name).schema.fields.get(PINECONE_VECTOR)
            self._index = client.index(name=name)
        except pinecone.NotFoundError as error:
            advice = "Check the name, or give n_dimensions (384 for the workbook's encoder) to make it."
            raise ValueError(f"Pinecone has no index named {name!r}. {advice}") from error
        except pinecone.PineconeError as error:
            advice = "Check the name (a-z, 0-9, -), the key, the address and the network."
            raise ValueError(f"Pinecone could not open {name!r}: {error}. {advice}") from error
        if getattr(field, "metric", None) != "cosine":
            raise ValueError(
                f"The index {name!r} does not hold vectors that are compared by cosine. Choose another name."
            )
        self._n_dimensions = field.dimension

    @property
    def n_dimensions(self) -> int | None:
        return self._n_dimensions

    def __len__(self) -> int:
        return self._index.describe_index_stats().total_vector_count

    def _upsert(self, ids: list[str], vectors: np.ndarray, metadata: list[dict]) -> None:
        for part in _slices(len(ids), PINECONE_BATCH):
            records = zip(map(quote, ids[part]), vectors[part].tolist(), metadata[part], strict=True)
            self._index.upsert(vectors=list(records))  # quoted: Pinecone's ids are ASCII

    def _query(self, vectors: np.ndarray, k: int, wanted: list[Condition]) -> list[Hits]:
        answers = [self._index.query(vector=v, top_k=k, filter=_as_query(wanted)).matches for v in vectors.tolist()]
        return [Hits(tuple(unquote(m.id) for m in found), tuple(m.score for m in found)) for found in answers]

    def _delete(self, ids: list[str]) -> None:
        for part in _slices(len(ids), PINECONE_BATCH):
            self._index.delete(ids=list(map(quote, ids[part])))


@contextmanager
def pinecone_host() -> Iterator[str | None]:
    """Where `PineconeStore` should look: the service (`None`) if `PINECONE_API_KEY` is set, else a stub, for a `with` block."""
    if os.environ.get("PINECONE_API_KEY"):
        yield None
    else:
        with PineconeStub() as host:
            yield host


def passage_metadata(corpus: Corpus) -> dict[str, Metadata]:
    """`{"document_id", "audience", "date", "type"}` for each passage id, from the front matter of its document."""
    of = {d.id: {"document_id": d.id, "audience": d.audience, "date": d.date, "type": d.type} for d in corpus.documents}
    return {p.id: dict(of[p.document_id]) for p in corpus.passages}


def fill_store(store: VectorStore, corpus: Corpus, embedder: Embedder) -> None:
    """Embed all passages and upsert them with their `passage_metadata`. What else is in the store stays."""
    check_passages(corpus.passages)
    described = passage_metadata(corpus)
    store.upsert(list(described), embedder.encode([p.text for p in corpus.passages]), list(described.values()))


class StoreRetriever:
    """A filled store as a `Retriever`: embeds the queries, asks the store, returns the passages.

    Under a filter `where`, or from an approximate store, a ranking can hold fewer than `k` passages.
    """

    def __init__(
        self, store: VectorStore, passages: Sequence[Passage], embedder: Embedder, *, where: Where | None = None
    ) -> None:
        check_passages(passages)
        conditions(where)  # a filter that can't be asked is refused now
        self.store, self.embedder, self.where = store, embedder, where
        self.passages, self._known = list(passages), {passage.id: passage for passage in passages}

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """The `k` nearest passages for each query. Raises `ValueError` if the store knows passages that we do not."""
        hits = self.store.query(self.embedder.encode(queries), k, where=self.where)
        if unknown := sorted({i for hit in hits for i in hit.ids} - set(self._known)):
            raise ValueError(
                f"The store holds other passages than these: {unknown[:5]}. Fill it anew from this corpus."
            )
        pairs = zip(queries, hits, strict=True)
        return [Ranking(query, tuple(self._known[i] for i in hit.ids), hit.scores) for query, hit in pairs]
