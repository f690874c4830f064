"""How many entities can be found without tuning a model?

Three taggers that a sceptic asks for first: one that finds nothing, one that knows rules and the names of the training set, and a
classifier of each word's vector from a frozen encoder. All have the same interface, `Tagger`, as the tuned encoder has. Taught in
`04_fine_tuning_classifiers`. Leaves out: layers that know which tags may follow each other, nested entities.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression

from helpers.embeddings import Embedder
from helpers.labelled import TaggedSentence, as_iob2, spans
from helpers.tagging import encode_words

BATCH_SIZE = 32  # sentences that the encoder reads together
STRENGTH = 0.1  # C of the logistic regression; on our sentences kept for choosing it did better than 1 and 10
Sentences = Sequence[Sequence[str]]

NUMBER = r"\d+(?: ?\. ?\d+)*"
SHAPED = r"[a-z]{1,2} ?[-/] ?\d{1,3}|[a-z]{1,2}\d{1,3}"
PATTERNS = (  # type, what goes before, the entity itself; in order: what an earlier one took, a later one leaves alone
    ("ORDER", r"", r"[a-z]{1,3} ?- ?\d{4,}(?: ?- ?\d+)*|\d{2,4} ?- ?\d{3,}"),
    ("ORDER", r"(?:order|ticket|claim|case|serial|invoice|number|no \.|#) ", r"\d{4,}"),
    ("VERSION", r"", r"(?:v|version|release|build|rev) ?" + NUMBER + r"|\d+ ?\. ?\d+ ?\. ?\d+"),
    ("VERSION", r"(?:firmware|app|software|update to|since|on) ", r"\d+ ?\. ?\d+"),
    ("ERROR_CODE", r"", r"(?:error|err|fault|code) (?:" + SHAPED + r"|\d{1,3}(?: [a-z])?)"),
    ("ERROR_CODE", r"", SHAPED),
    ("ERROR_CODE", r"(?:shows|showing|says|reads|throws|throwing|displays|flashes|flashing|blinks) ", r"\d{1,3}"),
)


class Tagger(Protocol):
    """Anything that gives each word of a sentence a tag."""

    def tags(self, sentences: Sentences) -> list[tuple[str, ...]]:
        """One IOB2 tag per word, for each sentence (a list of words)."""


class Nothing:
    """Finds no entity. The floor."""

    def tags(self, sentences: Sentences) -> list[tuple[str, ...]]:
        return [("O",) * len(words) for words in sentences]


class Rules:
    """Patterns for what looks like a code, an order or a version, then the names that training showed, the longest first.

    Case is ignored. A name takes the type it most often had in training, and is left alone if it was more often no entity.
    `patterns` are (type, what goes before, the entity) as regular expressions on the words between blanks; those of types that
    `train` lacks are not used.
    """

    def __init__(self, train: Sequence[TaggedSentence], *, patterns: Sequence[tuple[str, str, str]] = PATTERNS) -> None:
        self.names = gazetteer(train)
        self.longest = max(map(len, self.names), default=0)
        types = {kind for sentence in train for kind, _, _ in spans(sentence.tags)}
        self.patterns = [
            (kind, re.compile(rf"(?<!\S){before}(?P<entity>{entity})(?!\S)", re.IGNORECASE))
            for kind, before, entity in patterns
            if kind in types
        ]

    def tags(self, sentences: Sentences) -> list[tuple[str, ...]]:
        return [self._tags(words) for words in sentences]

    def _tags(self, words: Sequence[str]) -> tuple[str, ...]:
        tags = ["O"] * len(words)
        for kind, first, end in [*self._patterned(words), *self._named(words)]:
            if set(tags[first:end]) == {"O"}:
                tags[first:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - first - 1)]
        return tuple(tags)

    def _patterned(self, words: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        text = " ".join(words)
        for kind, pattern in self.patterns:
            for match in pattern.finditer(text):
                first = text.count(" ", 0, match.start("entity"))
                yield kind, first, first + match["entity"].count(" ") + 1

    def _named(self, words: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        folded = [word.casefold() for word in words]
        for length in range(self.longest, 0, -1):
            for first in range(len(words) - length + 1):
                if kind := self.names.get(tuple(folded[first : first + length])):
                    yield kind, first, first + length


def gazetteer(train: Sequence[TaggedSentence]) -> dict[tuple[str, ...], str]:
    """The type that each name of `train` (its words, case folded) most often has there, the first in the alphabet of equals.

    Names that are more often no entity are left out.

    >>> gazetteer([TaggedSentence("t", ("The", "Orlin", "in", "Orlin"), ("O", "B-PRODUCT", "O", "B-PRODUCT"))])
    {('orlin',): 'PRODUCT'}
    """
    found: dict[tuple[str, ...], Counter] = defaultdict(Counter)
    folded = [tuple(word.casefold() for word in sentence.tokens) for sentence in train]
    for words, sentence in zip(folded, train, strict=True):
        for kind, first, end in spans(sentence.tags):
            found[words[first:end]][kind] += 1
    for words, sentence in zip(folded, train, strict=True):
        for length in {len(name) for name in found}:
            for first in range(len(words) - length + 1):
                name = words[first : first + length]
                if name in found and set(sentence.tags[first : first + length]) == {"O"}:
                    found[name]["O"] += 1
    usual = {name: min(kinds, key=lambda kind: (-kinds[kind], kind == "O", kind)) for name, kinds in found.items()}
    return {name: kind for name, kind in usual.items() if kind != "O"}


class OnTokenEmbeddings:
    """A scikit-learn classifier on each word's vector from a frozen encoder: the vectors of its pieces in the last layer, averaged.

    `estimator` is any that is not fitted yet, such as `KNeighborsClassifier(5, metric="cosine")`; a logistic regression by default.
    Words that the encoder does not read (past its limit, or without any piece it knows) get O.
    """

    def __init__(
        self, embedder: Embedder, train: Sequence[TaggedSentence], *, estimator: ClassifierMixin | None = None
    ) -> None:
        self.embedder = embedder
        vectors = np.concatenate(word_vectors(embedder, [sentence.tokens for sentence in train]))
        tags = np.array([tag for sentence in train for tag in as_iob2(sentence.tags)])
        read = vectors.any(axis=1)
        if len(set(tags[read])) < 2:
            raise ValueError(
                f"Expected words with at least two different tags, got {sorted(set(tags[read].tolist()))}."
            )
        self.fitted = clone(estimator or LogisticRegression(C=STRENGTH, max_iter=500)).fit(vectors[read], tags[read])

    def tags(self, sentences: Sentences) -> list[tuple[str, ...]]:
        vectors = word_vectors(self.embedder, sentences)
        together = np.concatenate(vectors)
        found = np.where(together.any(axis=1), self.fitted.predict(together), "O")
        ends = np.cumsum([len(words) for words in sentences])[:-1]
        return [as_iob2(tags.tolist()) for tags in np.split(found, ends)]


@torch.inference_mode()
def word_vectors(embedder: Embedder, sentences: Sentences) -> list[np.ndarray]:
    """For each sentence float32 [n_words, n_dimensions], not normalised; zeros for words that the encoder does not read."""
    if not len(sentences) or not all(len(words) for words in sentences):
        raise ValueError("Expected sentences as lists of words, at least one and none of them empty.")
    model, tokenizer = embedder.model.transformers_model, embedder.model.tokenizer
    vectors = []
    for start in range(0, len(sentences), BATCH_SIZE):
        batch = sentences[start : start + BATCH_SIZE]
        encoded = encode_words(tokenizer, batch)
        states = model(**tokenizer.pad(dict(encoded), return_tensors="pt")).last_hidden_state.numpy()
        vectors += [_averaged(states[i], encoded.word_ids(i), len(words)) for i, words in enumerate(batch)]
    return vectors


def _averaged(states: np.ndarray, word_ids: Sequence[int | None], n_words: int) -> np.ndarray:
    """The mean state of each word's pieces: [n_words, n_dimensions] from [n_tokens, n_dimensions]."""
    sums, counts = np.zeros((n_words, states.shape[1]), dtype=np.float32), np.zeros((n_words, 1), dtype=np.float32)
    for state, word in zip(states, word_ids, strict=False):
        if word is not None:
            sums[word] += state
            counts[word] += 1
    return sums / np.maximum(counts, 1)
