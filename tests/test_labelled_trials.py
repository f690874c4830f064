"""Rows of classifiers and taggers: trained when needed, once, with what it cost."""

import numpy as np
import pytest

from helpers.fine_tuning import Plan, n_steps
from helpers.labelled import LabelledText, TaggedSentence
from helpers.labelled_trials import (
    Trained,
    classify,
    enough_steps,
    tag,
    training_cost,
    tuned_classifier,
    tuned_tagger,
    with_noise,
)

TEXTS = [LabelledText(f"t{i}", text, label) for i, (text, label) in enumerate([("good", "yes"), ("bad", "no")] * 8)]
TAGGED = [TaggedSentence(f"s{i}", ("The", "lid"), ("O", "B-PART")) for i in range(8)]


class Always:
    """Says "yes" with 0.8."""

    labels = ("no", "yes")

    def probabilities(self, texts):
        return np.tile([0.2, 0.8], (len(texts), 1))


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    return tmp_path


def test_rows_say_what_was_predicted_how_surely_and_whether_it_was_right():
    rows = classify(Trained("always", Always, {"of": "nothing"}), TEXTS)
    assert list(rows.item_id) == sorted(item.id for item in TEXTS) and set(rows.predicted) == {"yes"}
    assert rows.score.tolist() == [float(label == "yes") for label in rows.label]
    assert rows.confidence.eq(0.8).all() and rows.probabilities.iloc[0] == [0.2, 0.8]


def test_a_model_is_trained_once_and_not_at_all_when_there_are_rows():
    trainings = []
    settings = {"of": "nothing"}

    def train():
        trainings.append(1)
        return Always()

    first = Trained("always", train, settings)
    training_cost(first), classify(first, TEXTS)
    again = Trained("always", train, settings)
    cost, rows = training_cost(again), classify(again, TEXTS)
    assert len(trainings) == 1 and len(rows) == len(TEXTS)
    assert cost.loc[0, "n_trained"] == 0 and cost.loc[0, "peak_mb"] > 0


def test_other_settings_are_another_experiment():
    one, other = (classify(Trained("always", Always, {"of": what}), TEXTS) for what in "ab")
    assert len(one) == len(other) == len(TEXTS)


@pytest.mark.weights
def test_tuned_models_leave_no_checkpoint_behind(results):
    assert len(classify(tuned_classifier(TEXTS, "head"), TEXTS)) == len(TEXTS)
    assert tag(tuned_tagger(TAGGED, "head"), TAGGED).found.map(len).eq(2).all()
    assert not list(results.glob("checkpoints/*"))


def test_few_examples_are_seen_more_often():
    plan = Plan(epochs=3, learning_rate=1e-4, batch_size=16)
    assert enough_steps(plan, 1000, least=100) == plan
    few = enough_steps(plan, 20, least=100)
    assert n_steps(20, few) == 100 and few.epochs == 50


def test_noise_changes_just_so_many_labels_to_others_and_is_nested():
    changed = {
        share: {a.id for a, b in zip(TEXTS, with_noise(TEXTS, share, seed=1), strict=True) if a.label != b.label}
        for share in (0, 0.25, 0.5, 1)
    }
    assert list(map(len, changed.values())) == [0, 4, 8, 16]
    assert changed[0.25] < changed[0.5] < changed[1]


@pytest.mark.parametrize("share", [-0.1, 1.1, 20])
def test_a_share_is_a_fraction(share):
    with pytest.raises(ValueError, match="fractions, not percent"):
        with_noise(TEXTS, share, seed=0)
