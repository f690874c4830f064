"""What does each classifier or tagger make of the same test items, and what did its training cost?

Tidy rows, checkpointed by `experiments`: one a test item and condition, and one for each training. A model is trained only if rows are
missing. Taught in `04_fine_tuning_classifiers`. Leaves out: what the models are (`baselines`, `encoder_tuning`).
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from helpers import encoder_tuning, experiments, tagging
from helpers.baselines import Classifier
from helpers.entity_baselines import Tagger
from helpers.experiments import fingerprint
from helpers.fine_tuning import Plan, n_steps
from helpers.labelled import LabelledText, TaggedSentence
from helpers.models import EMBEDDER
from helpers.runtime import peak_memory_mb, results_folder, sample_size

ITEMS_AT_ONCE = 200  # between two checkpoints
LEAST_STEPS = 100  # of a training, however few its examples


class Trained:
    """A model that is trained when it is first needed; `settings` (plain values) say all that decides its weights.

    `condition` names it in rows and figures, `seed` in its settings tells its repeats apart.
    """

    def __init__(
        self, condition: str, train: Callable[[], object], settings: dict, *, checkpoint: Path | None = None
    ) -> None:
        self.id = self.condition = condition
        self.settings, self.checkpoint = settings, checkpoint
        self.train = train

    @cached_property
    def model(self) -> object:
        """The model, trained the first time; its checkpoint, as large as three models, has then done its work."""
        model = self.train()
        if self.checkpoint:
            self.checkpoint.unlink(missing_ok=True)
        return model

    def __repr__(self) -> str:  # what an experiment's fingerprint sees
        return f"{self.condition} {fingerprint(self.settings)}"


def classify(trained: Trained, items: Sequence[LabelledText]) -> pd.DataFrame:
    """Every item's predicted label and probabilities.

    Columns: item_id, condition, label, predicted, score (1.0 if right), confidence (of the predicted label), probabilities (a list in the
    order of the classifier's labels), seconds.
    """

    def measure_batch(batch: Sequence[LabelledText]) -> list[dict]:
        classifier: Classifier = trained.model
        found = classifier.probabilities([item.text for item in batch])
        return [_class_row(item, p, classifier.labels) for item, p in zip(batch, found, strict=True)]

    return _measured("classes", trained, items, measure_batch)


def _class_row(item: LabelledText, probabilities: Sequence[float], labels: Sequence[str]) -> dict:
    best = int(probabilities.argmax())
    found = {"label": item.label, "predicted": labels[best], "score": float(labels[best] == item.label)}
    return found | {
        "confidence": float(probabilities[best]),
        "probabilities": [round(float(p), 5) for p in probabilities],
    }


def tag(trained: Trained, sentences: Sequence[TaggedSentence]) -> pd.DataFrame:
    """Every sentence's predicted tags. Columns: item_id, condition, gold, found (lists of IOB2 tags), seconds."""

    def measure_batch(batch: Sequence[TaggedSentence]) -> list[dict]:
        tagger: Tagger = trained.model
        found = tagger.tags([item.tokens for item in batch])
        return [{"gold": list(s.tags), "found": list(tags)} for s, tags in zip(batch, found, strict=True)]

    return _measured("tags", trained, sentences, measure_batch)


def _measured(name: str, trained: Trained, items: Sequence, measure_batch: Callable) -> pd.DataFrame:
    batches = [items[i : i + ITEMS_AT_ONCE] for i in range(0, len(items), ITEMS_AT_ONCE)]
    settings = {"condition": trained.condition, **trained.settings}
    return experiments.measure(name, batches, measure_batch, settings=settings)


def training_cost(trained: Trained) -> pd.DataFrame:
    """One row: what training took. Columns: condition, train_seconds, cpu_seconds, n_trained (weights), peak_mb.

    Ask for it before the model is used: training is what is timed. `peak_mb` is the process's peak so far, so it only rises.
    """

    def measure_batch(_: Sequence) -> list[dict]:
        started, cpu = time.perf_counter(), time.process_time()
        model = trained.model
        row = {
            "train_seconds": round(time.perf_counter() - started, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }
        return [row | {"n_trained": getattr(model, "n_trained", 0), "peak_mb": round(peak_memory_mb())}]

    settings = {"condition": trained.condition, **trained.settings}
    return experiments.measure("training", [[trained]], measure_batch, settings=settings)


def tuned_classifier(
    items: Sequence[LabelledText], how: str, *, seed: int = 0, condition: str = "", model: str = EMBEDDER
) -> Trained:
    """A classifier that will be tuned on `items`; `how` is `"head"`, `"lora"` or `"full"`. A stopped training goes on."""
    columns = [item.text for item in items], [item.label for item in items]
    return _tuned(encoder_tuning.tune_classifier, columns, encoder_tuning.PLANS[how], how, condition, seed, model)


def tuned_tagger(
    items: Sequence[TaggedSentence], how: str, *, seed: int = 0, condition: str = "", model: str = EMBEDDER
) -> Trained:
    """The same for a tagger."""
    columns = [item.tokens for item in items], [item.tags for item in items]
    return _tuned(tagging.tune_tagger, columns, tagging.PLANS[how], how, condition, seed, model)


def _tuned(tune: Callable, columns: tuple, plan: Plan, *named: object) -> Trained:
    how, condition, seed, model = named
    least = sample_size(full=LEAST_STEPS, quick=LEAST_STEPS // 5)
    plan = replace(enough_steps(plan, len(columns[0]), least=least), seed=seed)
    settings = {"how": how, "plan": asdict(plan), "seed": seed, "model": model, "train": fingerprint(columns)}
    checkpoint = results_folder() / "checkpoints" / f"{fingerprint(settings)}.safetensors"
    train = partial(tune, *columns, how=how, plan=plan, checkpoint=checkpoint, model=model)
    return Trained(condition or f"fine-tuned, {how}", train, settings, checkpoint=checkpoint)


def enough_steps(plan: Plan, n_examples: int, *, least: int) -> Plan:
    """The plan with as many more epochs as it takes to make `least` steps: few examples are seen more often.

    >>> enough_steps(Plan(epochs=5, learning_rate=1e-4, batch_size=32), 64, least=80).epochs
    40
    """
    return replace(plan, epochs=max(plan.epochs, math.ceil(least / n_steps(n_examples, replace(plan, epochs=1)))))


def with_noise(items: Sequence[LabelledText], share: float, *, seed: int) -> list[LabelledText]:
    """The items with the labels of a share of them replaced by another label, as careless annotation would. Draws are nested.

    Raises `ValueError` for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected a share from 0 to 1, got {share}. Use fractions, not percent.")
    rng, labels = random.Random(seed), sorted({item.label for item in items})
    order = rng.sample(range(len(items)), len(items))
    other = {i: rng.choice([label for label in labels if label != items[i].label]) for i in order}
    wrong = set(order[: round(share * len(items))])
    return [replace(item, label=other[i]) if i in wrong else item for i, item in enumerate(items)]
