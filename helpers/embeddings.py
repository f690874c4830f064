"""How does a text become a vector?

A thin layer over sentence-transformers: the encoder cuts a text into tokens, gives each a vector, averages
them and scales the result to length 1, so that a dot product is the cosine. `01_embeddings` builds the same
from the parts and compares. Leaves out: training (`04_fine_tuning_classifiers`), sparse and multi-vector
embeddings.
"""

from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from helpers.models import EMBEDDER, fetch_model


class Embedder:
    """A sentence encoder on the CPU. `model` is a folder or a hub name (see `models.fetch_model`)."""

    def __init__(self, model: str = EMBEDDER) -> None:
        self.name = model
        self.model = SentenceTransformer(str(fetch_model(model)), device="cpu", local_files_only=True)
        self.max_tokens: int = self.model.max_seq_length

    def encode(self, texts: Sequence[str], *, batch_size: int = 32, progress: bool = False) -> np.ndarray:
        """Embeddings of `texts`: float32 [n_texts, n_dimensions], each row of length 1.

        Tokens past `max_tokens` are not read.
        Raises `ValueError` for an empty list and for texts that are empty or no strings.
        """
        if isinstance(texts, str):
            raise ValueError("Expected a list of texts, got one string. Put it in a list: [text].")
        if not len(texts):
            raise ValueError("Expected at least one text, got none.")
        if bad := [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]:
            raise ValueError(f"Texts must be non-empty strings; these are not: positions {bad[:5]}.")
        return self.model.encode(
            list(texts),
            batch_size=batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=progress,
        )

    def n_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has before truncation, with the two that mark its beginning and end."""
        encoded = self.model.tokenizer(list(texts), truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of rows: [n, d] with [n, d] gives [n], row by row. Vectors need not be normalised.

    >>> cosine(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]))
    array([0.96])
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"Expected two arrays of the same shape [n, d], got {a.shape} and {b.shape}.")
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not norms.all():
        raise ValueError("A vector of zeros has no direction, so it has no cosine.")
    return (a * b).sum(axis=1) / norms


def project_2d(vectors: np.ndarray) -> np.ndarray:
    """The two directions of largest variance (principal components): [n, d] to [n, 2].

    Signs are fixed, so maps repeat.
    A map keeps little of 384 dimensions: use it to look, never to measure.
    """
    if len(vectors) < 3:
        raise ValueError(f"A map needs at least 3 texts, got {len(vectors)}.")
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    axes = directions[:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    return centred @ (axes * signs[:, None]).T
