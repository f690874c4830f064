"""Change is measured layer by layer, and a layer that was not trained did not change."""

import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, BertConfig, BertModel

from helpers.encoder_tuning import MATRICES, EncoderWithHead, tune_classifier
from helpers.fine_tuning import Plan
from helpers.models import EMBEDDER, fetch_model
from helpers.weight_changes import change_per_layer

LAYERS = ["embeddings", "layer 0", "layer 1"]
SMALL = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)


@pytest.fixture
def small() -> BertModel:
    torch.manual_seed(0)
    return BertModel(SMALL, add_pooling_layer=False)


def changes(before, after) -> dict[str, float]:
    table = change_per_layer(before, after)
    return dict(zip(table["layer"], table["relative_change"], strict=True))


def test_by_hand():
    before = {"encoder.layer.0.a": torch.tensor([3.0, 0.0]), "encoder.layer.0.b": torch.tensor([[4.0]])}
    after = {"encoder.layer.0.a": torch.tensor([3.0, 2.0]), "encoder.layer.0.b": torch.tensor([[4.0]])}
    expected = {"layer": ["layer 0"], "n_weights": [3], "relative_change": [2 / 5], "changed": [True]}
    pd.testing.assert_frame_equal(change_per_layer(before, after), pd.DataFrame(expected))


def test_it_is_the_frobenius_norm_of_numpy(small):
    after = copy.deepcopy(small)
    with torch.no_grad():
        for weight in after.parameters():
            weight += 0.01 * torch.randn_like(weight)
    flat = [
        np.concatenate([w.detach().double().numpy().ravel() for w in model.encoder.layer[1].parameters()])
        for model in (small, after)
    ]
    expected = np.linalg.norm(flat[1] - flat[0]) / np.linalg.norm(flat[0])
    assert changes(small, after)["layer 1"] == pytest.approx(expected, rel=1e-9)


def test_the_layers_come_from_the_text_upwards_with_all_their_weights(small):
    table = change_per_layer(small, small)
    assert list(table["layer"]) == LAYERS
    assert table["n_weights"].sum() == sum(w.numel() for w in small.parameters())
    assert not table["changed"].any()
    assert set(table["relative_change"]) == {0.0}


def test_ten_layers_and_more_are_counted_not_spelled():
    state = {f"layer.{i}.w": torch.ones(1) for i in (10, 2, 0)} | {"head.bias": torch.ones(1), "norm": torch.ones(1)}
    assert list(changes(state, state)) == ["layer 0", "layer 2", "layer 10", "other", "head"]


def test_one_bit_is_a_change(small):
    after = copy.deepcopy(small)
    with torch.no_grad():
        weight = after.encoder.layer[0].output.dense.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert list(change_per_layer(small, after)["changed"]) == [False, True, False]


def test_weights_that_were_all_0_have_no_relative_change():
    table = change_per_layer({"head.bias": torch.zeros(2)}, {"head.bias": torch.ones(2)})
    assert math.isnan(table["relative_change"][0])
    assert table["changed"][0]


def test_whatever_holds_the_encoder_its_layers_are_the_same(small):
    held = EncoderWithHead(copy.deepcopy(small), 2)
    for other in (held, held.state_dict(), torch.nn.ModuleDict({"0": small}), small.state_dict()):
        assert changes(small, other) == dict.fromkeys(LAYERS, 0.0)
    assert changes(held, held) == dict.fromkeys([*LAYERS, "head"], 0.0)


def test_what_only_one_has_is_left_out(small):
    with_pooler = BertModel(SMALL)
    with_pooler.load_state_dict(small.state_dict(), strict=False)
    assert changes(with_pooler, EncoderWithHead(small, 2)) == dict.fromkeys(LAYERS, 0.0)


def test_thin_matrices_are_merged_first_and_count_as_a_change_of_their_layer(small):
    config = LoraConfig(r=2, target_modules=MATRICES, layers_to_transform=[1])
    thin = get_peft_model(copy.deepcopy(small), config)
    assert changes(small, thin) == dict.fromkeys(LAYERS, 0.0)  # they start as a product with 0
    for name, weight in thin.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(weight)
    held = EncoderWithHead(thin, 2)
    table = change_per_layer(small, held)
    assert list(table["changed"]) == [False, False, True]
    assert changes(small, copy.deepcopy(thin).merge_and_unload()) == changes(small, held)
    with pytest.raises(ValueError, match="got LoRA's thin ones beside them. Pass the encoder itself"):
        change_per_layer(small, thin.state_dict())


def test_models_of_other_shapes_are_refused(small):
    wide = BertModel(BertConfig(**SMALL.to_dict() | {"intermediate_size": 16}), add_pooling_layer=False)
    with pytest.raises(ValueError, match="the shapes of .*layer.0.intermediate.dense.weight.* differ"):
        change_per_layer(small, wide)
    with pytest.raises(ValueError, match="got weights named"):
        change_per_layer(small, torch.nn.Linear(2, 2))


@pytest.mark.weights
@pytest.mark.parametrize(("how", "moved"), [("head", []), ("lora", range(1, 7)), ("full", range(7))])
def test_training_moves_the_layers_it_may_move(how, moved):
    texts, labels = ["It works.", "It leaks.", "A joy.", "Never again."], ["good", "bad", "good", "bad"]
    plan = Plan(epochs=2, learning_rate=1e-3, batch_size=2)
    tuned = tune_classifier(texts, labels, how=how, plan=plan)
    table = change_per_layer(AutoModel.from_pretrained(fetch_model(EMBEDDER)), tuned.model)
    assert list(table["layer"]) == ["embeddings", *(f"layer {i}" for i in range(6))]
    assert list(table.index[table["changed"]]) == list(moved)
    assert (table["relative_change"] < 0.1).all()
    other = tune_classifier(texts, labels, how=how, plan=replace(plan, epochs=1))
    assert changes(other.model, tuned.model)["head"] > 0
