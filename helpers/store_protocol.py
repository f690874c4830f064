"""What does every vector store promise, whichever product it is?

`VectorStore` is the protocol; `CheckedStore` checks everything once, before a product sees it, so that wrong input gets the same
message from all; `conditions` is the filter language, the part that all products can express. Taught in `02_retrieval`; the
stores are in `vector_stores`. Leaves out: namespaces, several writers at once, filters with "or", texts beside vectors.
"""

import operator
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np

Value = str | int | float
Metadata = Mapping[str, Value]
Where = Mapping[str, Value | Mapping[str, Value]]
Condition = tuple[str, str, str | float]  # a key, an operator, a stored value

OPERATORS = {"=": operator.eq, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
LARGEST = 2**53  # Pinecone keeps numbers as 64-bit floats, which are exact up to here


@dataclass(frozen=True)
class Hits:
    """What a store found for one query: ids and cosines, best first."""

    ids: tuple[str, ...]
    scores: tuple[float, ...]


class VectorStore(Protocol):
    """Whatever keeps vectors under ids, each with flat metadata, and finds the nearest by cosine (higher is better).

    `where` names what metadata must be: `{"audience": "public"}` (equal), `{"date": {">=": "2026-03-01", "<": "2026-04-01"}}`
    (numbers and dates only); all conditions must hold. It is the part that all three products can express.
    """

    def upsert(self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Metadata]) -> None: ...
    def query(self, vectors: np.ndarray, k: int, *, where: Where | None = None) -> list[Hits]: ...
    def delete(self, ids: Sequence[str]) -> None: ...
    def __len__(self) -> int: ...


def stored(value: Value) -> str | float:
    """A metadata value as all stores keep it: a number as a float, an ISO date as the number YYYYMMDD, other text as it is.

    Chroma and Pinecone order numbers only, so dates have to be numbers. Pinecone has no whole numbers, and Chroma cuts 1.5 to 1
    before it compares it with one, so numbers have to be floats. This is the one place that makes them so.

    >>> stored("2026-03-01"), stored(3), stored("public"), stored("2026-02-30")
    (20260301.0, 3.0, 'public', '2026-02-30')
    """
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) else None
        except ValueError:  # no such day
            day = None
        return float(value.replace("-", "")) if day else value
    if type(value) in (int, float) and abs(value) <= LARGEST:
        return float(value)
    expected = f"text or a number up to {LARGEST:,}, no bool, list or NaN"
    raise ValueError(f"Metadata must be {expected}, got {value!r}. Convert it or leave it out.")


def conditions(where: Where | None) -> list[Condition]:
    """A filter as (key, operator, stored value); none for `None` and `{}`. Raises `ValueError` for what no store can ask.

    >>> conditions({"audience": "public", "date": {">=": "2026-03-01"}})
    [('audience', '=', 'public'), ('date', '>=', 20260301.0)]
    """
    found = []
    if not isinstance(where or {}, Mapping):
        raise ValueError(f"A filter is a dict such as {{'audience': 'public'}}, got {where!r}.")
    for key, wanted in (where or {}).items():
        if wanted == {}:
            raise ValueError(f"The filter asks nothing of {key!r}. Give a value, or a comparison such as {{'>=': 3}}.")
        for op, value in (wanted if isinstance(wanted, Mapping) else {"=": wanted}).items():
            if op not in OPERATORS:
                raise ValueError(f"Filters know {', '.join(OPERATORS)}; got {op!r} for {key!r}.")
            if op != "=" and isinstance(stored(value), str):
                raise ValueError(f"Only numbers and dates (YYYY-MM-DD) can be compared; got {key} {op} {value!r}.")
            found.append((_checked_key(key), op, stored(value)))
    return found


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z]\w*", key, re.ASCII):
        raise ValueError(f"A metadata key is a name such as 'audience' (letters, digits, _), got {key!r}. Rename it.")
    return key


class CheckedStore(ABC):
    """What all three have in common: whatever is checked is checked here, once, before a product sees it.

    Vectors are scaled to length 1 on the way in, for whoever forgot. A store keeps the dimension that it began with.
    """

    @property
    @abstractmethod
    def n_dimensions(self) -> int | None:
        """The length of every vector; `None` until the first is in."""

    def upsert(self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Metadata]) -> None:
        """Store vectors [n, n_dimensions] and their metadata under `ids`; what stands there already is replaced as a whole.

        Raises `ValueError` if the lengths differ, an id is repeated or no text, a vector has another dimension, no direction or
        numbers that are not finite, or metadata is no flat dict of text and numbers.
        """
        ids, metadata, vectors = _checked_ids(ids), list(metadata), self._checked_vectors(vectors)
        if not len(ids) == len(vectors) == len(metadata):
            counted = f"{len(ids)} ids, {len(vectors)} vectors and {len(metadata)} metadata"
            raise ValueError(f"Expected one vector and one dict of metadata per id, got {counted}.")
        if bad := [i for i, one in zip(ids, metadata, strict=True) if not isinstance(one, Mapping) or not one]:
            raise ValueError(f"Metadata is a dict with at least one key; that of {bad[:5]} is not.")
        self._upsert(ids, vectors, [{_checked_key(key): stored(v) for key, v in one.items()} for one in metadata])

    def query(self, vectors: np.ndarray, k: int, *, where: Where | None = None) -> list[Hits]:
        """The `k` nearest of those that match `where`, for each row of `vectors` [n_queries, n_dimensions]; all if fewer match.

        An approximate store may find fewer. Raises `ValueError` for k < 1, an empty store, and vectors or filters it cannot use.
        """
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k must be a whole number from 1, got {k!r}.")
        if not (n := len(self)):
            raise ValueError("The store is empty: upsert vectors before you query.")
        return self._query(self._checked_vectors(vectors), min(int(k), n), conditions(where))

    def delete(self, ids: Sequence[str]) -> None:
        """Delete these vectors and their metadata: no query finds them again. Ids that are not there are passed over.

        The bytes are gone from FAISS's files too; Chroma's file can still hold deleted metadata.
        """
        self._delete(_checked_ids(ids))

    def _checked_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Rows of length 1 as float32 [n, n_dimensions], a copy."""
        rows = np.array(vectors, dtype=np.float32, order="C")
        wanted = self.n_dimensions or "n_dimensions"
        if rows.ndim != 2 or not rows.size or wanted not in ("n_dimensions", rows.shape[1]):
            raise ValueError(f"Expected vectors of shape [n, {wanted}] with n >= 1, got {list(rows.shape)}.")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if bad := np.flatnonzero(~np.isfinite(lengths) | (lengths == 0)).tolist():
            raise ValueError(
                f"Vectors of zeros, or with NaN or infinity, have no direction: rows {bad[:5]}. Leave them out."
            )
        return rows / lengths

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _upsert(self, ids: list[str], vectors: np.ndarray, metadata: list[dict]) -> None: ...

    @abstractmethod
    def _query(self, vectors: np.ndarray, k: int, wanted: list[Condition]) -> list[Hits]: ...

    @abstractmethod
    def _delete(self, ids: list[str]) -> None: ...


def _checked_ids(ids: Sequence[str]) -> list[str]:
    if isinstance(ids, str) or not len(ids):
        raise ValueError(f"Expected a list of at least one id, got {ids!r}.")
    if bad := [i for i in ids if not isinstance(i, str) or not i]:
        raise ValueError(f"Ids must be non-empty text, got {bad[:5]}.")
    if repeated := [i for i, n in Counter(ids).items() if n > 1]:
        raise ValueError(f"Ids must differ within a call, but these repeat: {repeated[:5]}.")
    return list(ids)


def matches(metadata: Metadata, wanted: list[Condition]) -> bool:
    """Text and numbers are never equal nor ordered, and a key that is missing matches nothing, as in Chroma and Pinecone."""
    for key, op, value in wanted:
        found = metadata.get(key)
        if isinstance(found, str) != isinstance(value, str) or found is None or not OPERATORS[op](found, value):
            return False
    return True
