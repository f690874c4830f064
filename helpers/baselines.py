"""How well do texts sort themselves without any fine-tuning?

Five classifiers that a sceptic asks for before a model is tuned: the largest class, a list of words, the nearest neighbours of an
embedding, a logistic regression on it, and a prompted generator. All have the same interface, `Classifier`, as the tuned encoder has.
Taught in `04_fine_tuning_classifiers`. Leaves out: bags of words, texts with several labels.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from helpers.generation import Generator
from helpers.labelled import LabelledText
from helpers.option_scoring import option_scores
from helpers.prompts import classification
from helpers.runtime import ROOT

LEXICON = ROOT / "data/reviews/lexicon.csv"
REACH = 3  # words after a negation that it turns round
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # C of a logistic regression: the greater, the closer it follows the training texts
CONTENT_FREE = ("N/A", "[MASK]", "")  # texts that say nothing (Zhao et al. 2021)
_NEGATION = re.compile(
    r"not|no|never|none|nothing|nobody|neither|nor|hardly|barely|scarcely|without|cannot|\w+n't|(?:ca|do|does|did|is|was|wo)nt"
)


class Classifier(Protocol):
    """Anything that gives each label a probability."""

    labels: tuple[str, ...]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """float64 [n_texts, n_labels] in the order of `labels`; rows add up to 1."""


class Encoder(Protocol):
    """Anything that turns texts into vectors, such as `embeddings.Embedder`."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors [n_texts, n_dimensions]."""


def predict(classifier: Classifier, texts: Sequence[str]) -> list[str]:
    """The most probable label of each text; the first in `labels` of equals."""
    return [classifier.labels[i] for i in classifier.probabilities(texts).argmax(axis=1)]


class Majority:
    """Reads nothing: every label is as probable as it is frequent in training. The floor."""

    def __init__(self, train: Sequence[LabelledText]) -> None:
        counts = Counter(item.label for item in _checked_train(train))
        self.labels = tuple(sorted(counts))
        self.shares = np.array([counts[label] for label in self.labels]) / len(train)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(self.shares, (len(_checked(texts)), 1))


class Lexicon:
    """Adds up the weights of known words: a word within three words after a negation counts the other way round.

    A negation ends at a punctuation mark; two of them cancel out. The probability is the logistic function of the sum: 0.5 for a text
    without any known word. English, and two labels only. `weights` is a table with the columns word, weight.
    """

    def __init__(self, *, positive: str = "positive", negative: str = "negative", weights: Path = LEXICON) -> None:
        self.labels = tuple(sorted((positive, negative)))
        self.positive = positive
        with weights.open(encoding="utf-8", newline="") as file:
            self.weights = {row["word"]: float(row["weight"]) for row in csv.DictReader(file)}

    def score(self, text: str) -> float:
        """The sum of the weights, turned round by negations: above 0 for praise.

        >>> lexicon = Lexicon()
        >>> lexicon.score("A good pump."), lexicon.score("Not a very good pump."), lexicon.score("No. Good pump!")
        (1.0, -1.0, 1.0)
        """
        text, total = text.casefold().replace("’", "'"), 0.0
        for clause in re.split(r"[.,;:!?()]", text):
            words = re.findall(r"[\w']+", clause)
            negated = [bool(_NEGATION.fullmatch(word)) for word in words]
            for i, word in enumerate(words):
                total += self.weights.get(word, 0.0) * (-1) ** sum(negated[max(0, i - REACH) : i])
        return total

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        praise = expit([self.score(text) for text in _checked(texts)])
        return np.stack([praise if label == self.positive else 1 - praise for label in self.labels], axis=1)


class OnEmbeddings:
    """A scikit-learn classifier on the vectors of a frozen encoder; made by `knn` or `logistic`, or from any fitted one."""

    def __init__(self, encoder: Encoder, fitted: ClassifierMixin) -> None:
        self.encoder, self.fitted = encoder, fitted
        self.labels = tuple(str(label) for label in fitted.classes_)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return self.fitted.predict_proba(_vectors(self.encoder, _checked(texts)))


def knn(encoder: Encoder, train: Sequence[LabelledText], *, k: int = 15) -> OnEmbeddings:
    """The labels of the `k` nearest training texts by cosine (all of them, if there are fewer), each with one vote."""
    vectors = _vectors(encoder, [item.text for item in _checked_train(train)])
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine")
    return OnEmbeddings(encoder, model.fit(vectors, [item.label for item in train]))


def logistic(encoder: Encoder, train: Sequence[LabelledText], dev: Sequence[LabelledText]) -> OnEmbeddings:
    """A logistic regression whose strength C is the one of `STRENGTHS` with the lowest log loss on `dev`.

    Texts of `dev` with a label that `train` lacks are left out of the choice.
    """
    labels = [item.label for item in _checked_train(train)]
    known = [item for item in dev if item.label in set(labels)]
    if len(set(labels)) < 2 or not known:
        raise ValueError(f"Expected two labels or more in train and one of them in dev, got {sorted(set(labels))}.")
    vectors = _vectors(encoder, [item.text for item in [*train, *known]])
    shown, tried = vectors[: len(train)], vectors[len(train) :]
    models = [LogisticRegression(C=strength, max_iter=2_000).fit(shown, labels) for strength in STRENGTHS]
    gold = np.searchsorted(models[0].classes_, [item.label for item in known])
    losses = [-model.predict_log_proba(tried)[np.arange(len(gold)), gold].mean() for model in models]
    return OnEmbeddings(encoder, models[int(np.argmin(losses))])


class Prompted:
    """A generator that goes on with "Text: … Label:"; the probability of each label as its next words, without training.

    `shots` are examples that it reads first (see `draw_shots`). A label is read with blanks for underscores; name it by words that say
    what it means. `calibrated` divides by the mean probabilities of texts that say nothing, since a small model prefers some
    labels whatever it reads (contextual calibration: Zhao et al. 2021, arXiv 2102.09690). `names`: see `prompts.classification`.
    """

    def __init__(
        self,
        generator: Generator,
        labels: Sequence[str],
        *,
        shots: Sequence[LabelledText] = (),
        calibrated: bool = False,
        names: tuple[str, str] = ("Text", "Label"),
    ) -> None:
        self.labels = tuple(labels)
        if isinstance(labels, str) or len(set(map(_spoken, self.labels))) != len(self.labels) or len(self.labels) < 2:
            raise ValueError(f"Expected a list of at least two labels, all different, got {labels!r}.")
        self.generator, self.calibrated, self.names = generator, calibrated, names
        self.shots = [(shot.text, _spoken(shot.label)) for shot in shots]

    def prompt(self, text: str) -> str:
        """What the generator reads."""
        return classification(text, shots=self.shots, names=self.names)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        asked = [*_checked(texts), *(CONTENT_FREE if self.calibrated else ())]
        options = [f" {_spoken(label)}" for label in self.labels]
        found = softmax(option_scores(self.generator, [self.prompt(text) for text in asked], options), axis=1)
        if self.calibrated:
            found = found[: len(texts)] / found[len(texts) :].mean(axis=0)
        return found / found.sum(axis=1, keepdims=True)


def draw_shots(train: Sequence[LabelledText], n: int, *, seed: int = 0) -> list[LabelledText]:
    """`n` examples in random order, as many of each label as can be; which labels have one more, or any, is drawn too."""
    if not 0 <= n <= len(train):
        raise ValueError(f"Expected a number of examples from 0 to {len(train)}, got {n}.")
    rng = np.random.default_rng(seed)
    shuffled = [train[i] for i in rng.permutation(len(train))]
    turn: Counter[str] = Counter()
    turns = []
    for item in shuffled:
        turns.append(turn[item.label])
        turn[item.label] += 1
    chosen = np.argsort(turns, kind="stable")[:n]  # the first of each label, then the second of each
    return [shuffled[i] for i in rng.permutation(chosen)]


def _spoken(label: str) -> str:
    return label.replace("_", " ").strip()


def _vectors(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    return np.asarray(encoder.encode(texts), dtype=np.float64)


def _checked(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str) or not len(texts) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"Expected a list of texts, at least one and none of them empty, got {str(texts)[:80]!r}.")
    return texts


def _checked_train(train: Sequence[LabelledText]) -> Sequence[LabelledText]:
    if not len(train):
        raise ValueError("Expected at least one labelled text to learn from, got none.")
    return train
