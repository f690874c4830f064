"""How does FAISS, a library that only knows numbered vectors, become a store that survives a restart?

`FaissStore` adds what a database brings: ids, metadata, filters, deletion, and a folder that is never half-written (an index file
of FAISS's own and JSON, no pickle). Taught in `02_retrieval`. Leaves out: accelerators, trained transformations before the index
(OPQ, PCA), indexes on disk. All is saved on every change: upsert in few large calls.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from helpers.store_protocol import CheckedStore, Condition, Hits, matches

VARIANTS = re.compile(r"Flat|SQ8|HNSW\d+(,Flat)?|IVF\d+,(Flat|SQ8|PQ\d+)")


class FaissStore(CheckedStore):
    """FAISS in a folder. `variant` is a factory string: "Flat" compares all vectors, "HNSW32,Flat" walks a graph of neighbours,
    "IVF16,PQ48" looks into a few of 16 clusters of compressed vectors. Except with "Flat", neighbours can be missed (more of
    them under a filter), and with SQ8 and PQ scores are approximate too.

    `search` is how hard to look, such as "efSearch=64" (HNSW) or "nprobe=8" (IVF). IVF and SQ8 are trained on the first upsert:
    at least one vector per cluster (PQ: 256), by FAISS's advice 39 times as many. Deleting from HNSW builds the graph anew.
    """

    def __init__(self, folder: str | Path, *, variant: str = "Flat", search: str = "") -> None:
        if not VARIANTS.fullmatch(variant):
            known = "Flat, SQ8, HNSW32,Flat or IVF16, with Flat, SQ8 or PQ48 (any numbers)"
            raise ValueError(f"variant must be {known}, got {variant!r}.")
        self.folder, self.variant, self.search = Path(folder).expanduser(), variant, search
        self._index: faiss.Index | None = None
        self._state: dict = {"variant": variant, "next": 0, "file": "", "numbers": {}, "metadata": {}}
        if (self.folder / "store.json").exists():
            self._load()

    @property
    def n_dimensions(self) -> int | None:
        return self._index.d if self._index else None

    def __len__(self) -> int:
        return len(self._state["numbers"])

    def _upsert(self, ids: list[str], vectors: np.ndarray, metadata: list[dict]) -> None:
        if self._index is None:
            self._index = self._trained(vectors)
        self._remove(ids)
        first = self._state["next"]  # FAISS knows vectors by numbers: these are never used twice
        self._index.add_with_ids(vectors, np.arange(first, first + len(ids)))
        self._state["numbers"] |= {i: first + place for place, i in enumerate(ids)}
        self._state["metadata"] |= dict(zip(ids, metadata, strict=True))
        self._state["next"] += len(ids)
        self._save()

    def _query(self, vectors: np.ndarray, k: int, wanted: list[Condition]) -> list[Hits]:
        kept = {n: i for i, n in self._state["numbers"].items() if matches(self._state["metadata"][i], wanted)}
        if not kept:
            return [Hits((), ())] * len(vectors)
        selected = self._selecting(list(kept)) if wanted else None
        scores, numbers = self._index.search(vectors, min(k, len(kept)), params=selected)
        found = [
            list(zip(n[n >= 0].tolist(), s[n >= 0].tolist(), strict=True)) for n, s in zip(numbers, scores, strict=True)
        ]
        return [Hits(tuple(kept[n] for n, _ in row), tuple(score for _, score in row)) for row in found]

    def _delete(self, ids: list[str]) -> None:
        if self._remove(ids):
            self._save()

    def _remove(self, ids: Sequence[str]) -> bool:
        """Take out what is there of `ids`; whether anything was."""
        known = [i for i in ids if i in self._state["numbers"]]
        gone = [self._state["numbers"].pop(i) for i in known]
        for i in known:
            del self._state["metadata"][i]
        if gone:
            try:
                self._index.remove_ids(np.array(gone))
            except RuntimeError:  # a graph can't lose a node
                self._rebuild()
        return bool(gone)

    def _rebuild(self) -> None:
        """Build the index anew from the vectors that are left: slow, but what was deleted is gone."""
        numbers = np.array(list(self._state["numbers"].values()), dtype=np.int64)
        vectors = self._index.reconstruct_batch(numbers) if len(numbers) else None
        self._index.reset()
        if len(numbers):
            self._index.add_with_ids(vectors, numbers)

    def _trained(self, vectors: np.ndarray) -> faiss.Index:
        n, d = vectors.shape
        try:
            index = faiss.index_factory(d, self.variant, faiss.METRIC_INNER_PRODUCT)
            for clustering in (part.cp for part in (index, getattr(index, "pq", None)) if hasattr(part, "cp")):
                clustering.min_points_per_centroid = 1  # FAISS would warn hundreds of times below 39
            if isinstance(index, faiss.IndexIVFPQ):
                index.do_polysemous_training = (
                    False  # minutes for codes compared by Hamming distance, which nobody does here
                )
            index.train(vectors)
        except RuntimeError as error:
            said = str(error).rsplit("failed: ", 1)[-1].strip()
            advice = "Upsert more vectors at first, or choose a smaller variant."
            raise ValueError(f"FAISS can't make {self.variant!r} of {n} vectors [{d}]: {said}. {advice}") from error
        numbered = index if faiss.try_extract_index_ivf(index) else faiss.IndexIDMap2(index)  # IVF keeps numbers itself
        return self._searching(numbered)

    def _searching(self, index: faiss.Index) -> faiss.Index:
        if self.search:
            try:
                faiss.ParameterSpace().set_index_parameters(index, self.search)
            except RuntimeError as error:
                expected = "efSearch=64 for HNSW, nprobe=8 for IVF, nothing for others"
                raise ValueError(
                    f"{self.variant!r} can't be searched with {self.search!r}. Expected {expected}."
                ) from error
        return index

    def _selecting(self, numbers: list[int]) -> faiss.SearchParameters:
        """The search settings that are in force, and which vectors may be found."""
        allowed = faiss.IDSelectorBatch(np.array(numbers))
        if ivf := faiss.try_extract_index_ivf(self._index):
            return faiss.SearchParametersIVF(sel=allowed, nprobe=ivf.nprobe)
        inner = faiss.downcast_index(self._index.index)
        if isinstance(inner, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(sel=allowed, efSearch=inner.hnsw.efSearch)
        return faiss.SearchParameters(sel=allowed)

    def _save(self) -> None:
        """Write the index under a new name, then the JSON that names it: whenever a crash comes, the JSON fits its index."""
        self.folder.mkdir(parents=True, exist_ok=True)
        old, self._state["file"] = self._state["file"], f"index-{self._state['next']}-{len(self)}.faiss"
        for name, write in {
            self._state["file"]: lambda path: faiss.write_index(self._index, str(path)),
            "store.json": lambda path: path.write_text(json.dumps(self._state, ensure_ascii=False), "utf-8"),
        }.items():
            unfinished = self.folder / f"{name}.unfinished"
            write(unfinished)
            unfinished.replace(self.folder / name)
        if old and old != self._state["file"]:
            (self.folder / old).unlink(missing_ok=True)

    def _load(self) -> None:
        state = json.loads((self.folder / "store.json").read_text("utf-8"))
        if state["variant"] != self.variant:
            advice = "Open it as that, or choose another folder."
            raise ValueError(f"The store in {self.folder} is {state['variant']!r}, not {self.variant!r}. {advice}")
        self._state = state
        self._index = self._searching(faiss.read_index(str(self.folder / state["file"])))
