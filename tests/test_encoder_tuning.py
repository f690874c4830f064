"""A tuned encoder is the embedder plus a head: what is trained moves, what is not keeps every bit, and stopping changes nothing."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from helpers import fine_tuning
from helpers.embeddings import Embedder
from helpers.encoder_tuning import (
    MATRICES,
    PLANS,
    RANK,
    EncoderWithHead,
    TunedClassifier,
    merged,
    new_model,
    tune_classifier,
)
from helpers.fine_tuning import Plan
from helpers.models import EMBEDDER, fetch_model

pytestmark = pytest.mark.weights

TEXTS = [
    "It works, and quietly.",
    "Best pump we ever had.",
    "A joy to use every day.",
    "Thank you for the quick repair!",
    "It leaks.",
    "Broken again after two days.",
    "I want my money back, all of it.",
    "Never again.",
]
LABELS = ["positive"] * 4 + ["negative"] * 4
LONG = "The pump needs oil every week. " * 60  # beyond the limit
PLAN = Plan(epochs=6, learning_rate=1e-3, batch_size=4)  # 12 steps
QUICK = {
    "head": replace(PLAN, epochs=20, learning_rate=1e-2),
    "lora": PLAN,
    "full": replace(PLAN, epochs=4, learning_rate=3e-4),
}
WAYS = sorted(PLANS)


def tuned_as(how: str, **others) -> TunedClassifier:
    return tune_classifier(TEXTS, LABELS, **{"how": how, "plan": QUICK[how]} | others)


@pytest.fixture(scope="module")
def tuned() -> dict[str, TunedClassifier]:
    return {how: tuned_as(how) for how in WAYS}


@pytest.fixture(scope="module")
def pretrained() -> dict[str, torch.Tensor]:
    return AutoModel.from_pretrained(fetch_model(EMBEDDER)).state_dict()


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: weight.numpy().tobytes() for name, weight in model.state_dict().items()}


# --- the model


def test_an_untuned_encoder_embeds_as_the_embedder_does():
    model, tokenizer = new_model(EMBEDDER, 2, how="full", seed=0)
    untuned = TunedClassifier(("a", "b"), model, tokenizer, (), 0)
    np.testing.assert_allclose(untuned.embeddings([*TEXTS, LONG]), Embedder().encode([*TEXTS, LONG]), atol=1e-6)


@torch.no_grad()
def test_the_scores_are_a_linear_map_of_the_mean_token_vector(tuned):
    """Text by text, without padding."""
    model, tokenizer = tuned["full"].model, AutoTokenizer.from_pretrained(fetch_model(EMBEDDER))
    for text, found in zip(TEXTS, tuned["full"].probabilities(TEXTS), strict=True):
        mean = model.encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        scores = model.head.weight @ mean + model.head.bias
        np.testing.assert_allclose(found, scores.softmax(dim=0), atol=1e-5)


@torch.no_grad()
def test_per_token_every_token_has_its_own_scores_whatever_stands_beside_the_text():
    model, _ = new_model(EMBEDDER, 3, how="full", seed=0, per_token=True)
    short, long = [101, 2009, 102], [101, 2009, 29324, 2015, 1012, 102]
    scores = model([short, long])
    assert scores.shape == (2, 6, 3)
    torch.testing.assert_close(scores[0, :3], model([short])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", WAYS)
def test_probabilities_are_those_of_each_text_in_the_order_given(tuned, how):
    found = tuned[how].probabilities(TEXTS)
    assert (found.shape, found.dtype) == ((8, 2), np.float64)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(tuned[how].probabilities([*TEXTS[::-1], LONG])[7::-1], found, atol=1e-5)
    assert np.array_equal(tuned[how].probabilities(TEXTS), found)  # no dropout


# --- what is trained


@pytest.mark.parametrize("how", WAYS)
def test_the_loss_falls_and_the_examples_are_learned(tuned, how):
    classifier = tuned[how]
    n = fine_tuning.n_steps(len(TEXTS), QUICK[how])
    assert len(classifier.losses) == n
    assert np.mean(classifier.losses[-3:]) < 0.7 * np.mean(classifier.losses[:3])
    found = classifier.probabilities(TEXTS).argmax(axis=1)
    assert [classifier.labels[i] for i in found] == LABELS
    assert classifier.labels == ("negative", "positive")


@pytest.mark.parametrize("how", WAYS)
def test_all_that_is_trained_has_a_finite_gradient_and_moved(tuned, how):
    """New parts started as `new_model` draws them, the encoder's own where pretraining left them."""
    started = bits(new_model(EMBEDDER, 2, how=how, seed=0)[0])
    ended = bits(tuned[how].model)
    for name, weight in tuned[how].model.named_parameters():
        assert (ended[name] != started[name]) == weight.requires_grad, name
        assert (weight.grad is not None) == weight.requires_grad, name
        assert weight.grad is None or torch.isfinite(weight.grad).all(), name


@pytest.mark.parametrize("how", ["head", "lora"])
def test_what_is_not_trained_keeps_every_bit_of_the_pretrained_weights(tuned, pretrained, how):
    own = {
        name.removeprefix("base_model.model.").replace("base_layer.", ""): weight
        for name, weight in tuned[how].model.encoder.state_dict().items()
        if "lora_" not in name
    }
    assert {*own} == {name for name in pretrained if not name.startswith("pooler")}
    assert all(torch.equal(weight, pretrained[name]) for name, weight in own.items())


def test_the_number_of_trained_weights_by_hand(tuned, pretrained):
    head, d, wide = 384 * 2 + 2, 384, 1536
    thin = RANK * (4 * (d + d) + 2 * (d + wide))  # query, key, value, output; up and down
    whole = sum(weight.numel() for name, weight in pretrained.items() if not name.startswith("pooler"))
    found = {how: classifier.n_trained for how, classifier in tuned.items()}
    assert found == {"head": head, "lora": head + 6 * thin, "full": head + whole}


def test_thin_matrices_stand_beside_every_matrix_that_a_layer_multiplies_with():
    encoder = AutoModel.from_pretrained(fetch_model(EMBEDDER), add_pooling_layer=False)
    linear = {name.split(".")[-1] for name, part in encoder.named_modules() if isinstance(part, torch.nn.Linear)}
    assert linear == set(MATRICES)


def test_lora_merged_equals_lora_unmerged(tuned):
    classifier = tuned["lora"]
    plain = EncoderWithHead(classifier.encoder, 2)
    plain.head = classifier.model.head
    found = replace(classifier, model=plain)
    assert not any("lora" in name for name in plain.state_dict())
    np.testing.assert_allclose(found.probabilities(TEXTS), classifier.probabilities(TEXTS), atol=1e-5)
    np.testing.assert_allclose(found.embeddings(TEXTS), classifier.embeddings(TEXTS), atol=1e-5)
    assert not np.allclose(found.embeddings(TEXTS), Embedder().encode(TEXTS), atol=1e-2)


def test_merging_makes_a_copy_and_leaves_plain_encoders_alone(tuned):
    before = bits(tuned["lora"].model)
    assert merged(tuned["lora"].model.encoder) is not merged(tuned["lora"].model.encoder)
    assert bits(tuned["lora"].model) == before
    assert tuned["full"].encoder is tuned["full"].model.encoder


@pytest.mark.parametrize(("how", "expected"), [("head", set()), ("lora", {True}), ("full", {True})])
def test_dropout_is_on_in_training_and_the_frozen_encoder_is_read_once_without(monkeypatch, how, expected):
    seen, features = [], EncoderWithHead.features
    monkeypatch.setattr(EncoderWithHead, "features", lambda self, ids: seen.append(self) or features(self, ids))
    modes = []
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: modes.append(self.training) or x)
    tuned_as(how, plan=replace(QUICK[how], epochs=1))
    assert len(seen) == (1 if how == "head" else 2)
    assert set(modes) == (expected or {False})


# --- the same again


@pytest.mark.parametrize("how", WAYS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tuned, how):
    torch.manual_seed(99)  # what others draw does not matter
    again = tuned_as(how)
    other = tuned_as(how, plan=replace(QUICK[how], seed=1, epochs=1))
    assert bits(again.model) == bits(tuned[how].model)
    assert again.losses == tuned[how].losses
    assert bits(other.model)["head.weight"] != bits(again.model)["head.weight"]
    if how == "lora":
        started = [bits(new_model(EMBEDDER, 2, how=how, seed=seed)[0]) for seed in (0, 1)]
        assert any(started[0][name] != started[1][name] for name in started[0] if "lora_A" in name)


@pytest.mark.parametrize(("how", "stop_at"), [("lora", 0), ("lora", 11), ("full", 6)])
def test_stopped_and_resumed_it_ends_with_the_same_bits(tuned, monkeypatch, tmp_path, how, stop_at):
    monkeypatch.setattr(fine_tuning, "EVERY", 5)
    features, steps = EncoderWithHead.features, itertools.count()

    def stopping(self, texts):
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        return features(self, texts)

    monkeypatch.setattr(EncoderWithHead, "features", stopping)
    kept = tmp_path / f"{how}.safetensors"
    with pytest.raises(KeyboardInterrupt):
        tuned_as(how, checkpoint=kept)
    resumed = tuned_as(how, checkpoint=kept)
    kept.unlink()  # pytest would keep it, and it is large
    assert resumed.losses == tuned[how].losses
    assert bits(resumed.model) == bits(tuned[how].model)


def test_a_checkpoint_of_a_head_is_its_trained_weights_and_of_these_examples_alone(tuned, tmp_path):
    kept = tmp_path / "head.safetensors"
    tuned_as("head", checkpoint=kept)
    again = tuned_as("head", checkpoint=kept)
    assert bits(again.model) == bits(tuned["head"].model)
    with pytest.raises(ValueError, match="other examples"):
        tune_classifier(TEXTS, LABELS[::-1], how="head", plan=QUICK["head"], checkpoint=kept)
    with pytest.raises(ValueError, match="other examples"):
        tune_classifier([t.replace("It", "He") for t in TEXTS], LABELS, how="head", plan=QUICK["head"], checkpoint=kept)
    with pytest.raises(ValueError, match="another plan"):
        tune_classifier(TEXTS, LABELS, how="head", plan=replace(QUICK["head"], seed=5), checkpoint=kept)


def test_the_plan_may_be_left_to_the_workbook(monkeypatch):
    monkeypatch.setitem(PLANS, "head", replace(PLAN, epochs=2))
    assert len(tune_classifier(TEXTS, LABELS, how="head").losses) == 4


def test_more_than_two_labels_are_told_apart():
    labels = ["b", "b", "c", "c", "a", "a", "d", "d"]
    classifier = tune_classifier(TEXTS, labels, how="head", plan=replace(QUICK["head"], epochs=60))
    assert classifier.labels == ("a", "b", "c", "d")
    assert [classifier.labels[i] for i in classifier.probabilities(TEXTS).argmax(axis=1)] == labels


# --- what is refused


@pytest.mark.parametrize(
    ("texts", "labels", "how", "told"),
    [
        (TEXTS, LABELS, "adapter", "one of head, lora, full; got 'adapter'"),
        (TEXTS, LABELS[:-1], "head", "got 8 texts and 7 labels"),
        ("It leaks.", list("abababaab"), "head", "Expected a list of at least one text, got 'It leaks.'"),
        ([*TEXTS[:6], " ", None], LABELS, "head", r"positions \[6, 7\]"),
        (TEXTS, ["positive"] * 8, "head", r"two different labels to tell apart, got \['positive'\]"),
        ([], [], "head", "two different labels"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts, labels, how, told):
    with pytest.raises(ValueError, match=told):
        tune_classifier(texts, labels, how=how)


@pytest.mark.parametrize("texts", [[], "It leaks.", ["It leaks.", ""]])
def test_what_cannot_be_read_is_refused(tuned, texts):
    with pytest.raises(ValueError, match="Expected a list of at least one text|must be non-empty strings"):
        tuned["head"].probabilities(texts)
