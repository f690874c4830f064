"""Shared beginnings are read once, and every token still sees exactly what stands before it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer

from helpers import kv_cache
from helpers.kv_cache import ROOM, PrefixTree, RoomyLayer, Stretch, fold

PROMPTS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12).map(tuple), min_size=1, max_size=12)


def unfolded(stretches: list[Stretch], place: int | None) -> tuple[int, ...]:
    """The whole text that ends with this stretch."""
    if place is None:
        return ()
    return unfolded(stretches, stretches[place].parent) + stretches[place].tokens


def test_a_tree_by_hand():
    stretches, ends = fold([(1, 2, 3), (1, 2, 4), (1, 2), (5, 6)], shortest=2)
    assert stretches[0] == Stretch((1, 2), 0, None)
    assert {s for s in stretches[1:]} == {Stretch((5, 6), 0, None), Stretch((3,), 2, 0), Stretch((4,), 2, 0)}
    assert ends[2] == 0


@settings(max_examples=200, deadline=None)
@given(PROMPTS, st.integers(1, 4))
def test_every_prompt_can_be_read_off_the_tree_and_nothing_is_in_it_twice(prompts, shortest):
    stretches, ends = fold(prompts, shortest=shortest)
    assert [unfolded(stretches, end) for end in ends] == prompts
    assert all(s.parent is None or s.parent < place for place, s in enumerate(stretches))
    assert all(s.start == len(unfolded(stretches, s.parent)) and s.tokens for s in stretches)
    assert sum(len(s.tokens) for s in stretches) <= sum(map(len, set(prompts)))
    openings = [(s.parent, s.tokens[:shortest]) for s in stretches]
    assert len(set(openings)) == len(openings)


def test_with_shortest_1_every_shared_token_is_read_once():
    stretches, _ = fold([(1, 2, 3), (1, 4), (1, 2, 5)], shortest=1)
    assert sorted(s.tokens for s in stretches) == [(1,), (2,), (3,), (4,), (5,)]


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="Expected prompts of at least one token each, got an empty one"):
        fold([(1,), ()])


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """A tiny model of the generator's kind, with random weights and keys shared by query heads."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).eval()


@pytest.mark.parametrize("tokens_at_once", [1, 20, 10_000])
def test_the_cache_is_that_of_each_prompt_read_alone(model, monkeypatch, tokens_at_once):
    monkeypatch.setattr(kv_cache, "TOKENS_AT_ONCE", tokens_at_once)
    beginning, other = list(range(20)), list(range(20, 40))
    prompts = [beginning + [41], beginning, beginning + other + [42, 43], beginning + other + [44], [45, 46], beginning]
    with torch.inference_mode():
        tree = PrefixTree(model, prompts)
        cache = tree.cache_of(range(len(prompts)))
        for i, prompt in enumerate(prompts):
            alone = model(torch.tensor([prompt])).past_key_values
            for ours, theirs in zip(cache.layers, alone.layers, strict=True):
                torch.testing.assert_close(ours.keys[i, :, -len(prompt) :], theirs.keys[0], atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(ours.values[i, :, -len(prompt) :], theirs.values[0], atol=1e-5, rtol=1e-4)
                assert not ours.keys[i, :, : -len(prompt)].any(), "padded on the left with zeros"
    assert tree.n_tokens_read == 20 + 1 + 20 + 2 + 1 + 2 < sum(map(len, prompts))


def test_a_layer_with_room_holds_what_the_plain_one_holds_and_does_not_copy_at_every_token():
    torch.manual_seed(0)
    ours, theirs, places, rows = RoomyLayer(), DynamicLayer(), set(), 4
    for step in range(ROOM):
        new = torch.randn(rows, 3, 5 if step == 0 else 1, 4)
        for found, expected in zip(ours.update(new, -new), theirs.update(new, -new), strict=True):
            assert torch.equal(found, expected)
        places.add(ours.keys.data_ptr())
        if kept := {5: [0, 1, 2, 3], 8: [0, 2, 3], 11: [1]}.get(step):
            rows = len(kept)
            for layer in (ours, theirs):
                layer.batch_select_indices(torch.tensor(kept))
            assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)
    assert len(places) == 1
    ours.update(torch.randn(1, 3, ROOM, 4), torch.randn(1, 3, ROOM, 4))
    assert ours.keys.shape[-2] == 5 + ROOM - 1 + ROOM, "more than there was room for"
    ours.batch_select_indices(torch.tensor([], dtype=torch.long))
    assert ours.keys.shape[0] == 0


def test_rows_are_kept_in_ascending_order_only():
    layer = RoomyLayer()
    layer.update(torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"Expected rows in ascending order, got \[1, 0\]"):
        layer.batch_select_indices(torch.tensor([1, 0]))
