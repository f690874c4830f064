"""Attention and likelihood in batches: those of plain passes over one prompt at a time, from the real weights."""

from itertools import accumulate

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from helpers import attention
from helpers.attention import Look, look
from helpers.corpus import Passage
from helpers.generation import Generator
from helpers.kv_cache import PrefixTree
from helpers.models import GENERATOR, fetch_model
from helpers.prompts import with_passages

QUESTION = "How much does the Orlin pump weigh?"
PUMP = "The Orlin pump weighs 41 kilograms."
TEXTS = [
    [PUMP],
    ["The office in Tarsk opens at nine.", PUMP, "Refunds are paid within ten days. " * 8 + "Ask twice."],
    ["Mara Veldt has led the team since 2019.", "Its lid is black.", PUMP],
    ["Mara Veldt has led the team since 2019.", "Its lid is black.", "Müller wrote: “27 °C”, 한국.", PUMP],
]
ANSWERS = ["41 kilograms", "It weighs about as much as a small car.", " 41 ", "7"]


def prompt(texts: list[str]) -> list[dict]:
    return with_passages(QUESTION, [Passage("p", "d", "", "", text) for text in texts])


PROMPTS = [prompt(texts) for texts in TEXTS]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.fixture(scope="module")
def together(generator) -> list[Look]:
    """All prompts in one batch: they are of different length, and so are their answers."""
    return look(generator, PROMPTS, TEXTS, ANSWERS)


@pytest.fixture(scope="module")
def plain() -> PreTrainedModel:
    """The same weights, loaded by transformers alone with the attention that gives its weights back."""
    how = {"dtype": torch.float32, "attn_implementation": "eager"}
    return AutoModelForCausalLM.from_pretrained(fetch_model(GENERATOR), **how).eval()


@torch.inference_mode()
def shares(plain: PreTrainedModel, generator: Generator, messages: list[dict], texts: list[str]) -> np.ndarray:
    """The definition [n_layers, n_passages]: one pass, no cache, no padding; tokens are placed by the bytes they stand for."""
    text = generator.render(messages)
    ids = generator.tokenizer(text, add_special_tokens=False)["input_ids"]
    rows = plain(torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    weights = torch.stack([layer[0, :, -1].mean(dim=0) for layer in rows]).numpy()
    ends = list(accumulate(n_bytes(generator, i) for i in ids))
    assert ends[-1] == len(text.encode())
    columns = []
    for passage in texts:
        start = len(text[: text.index(passage)].encode())
        own = [start < end <= start + len(passage.encode()) for end in ends]
        columns.append(weights[:, own].sum(axis=1))
    return np.stack(columns, axis=1)


def n_bytes(generator: Generator, token: int) -> int:
    """How many bytes a token stands for: in a byte-level vocabulary, one for each of its characters."""
    return len(generator.tokenizer.convert_ids_to_tokens(token))


@pytest.mark.weights
def test_attention_is_that_of_one_plain_pass_over_each_prompt_alone(generator, together, plain):
    assert len({generator.n_tokens(messages) for messages in PROMPTS}) == len(PROMPTS)
    for found, messages, texts in zip(together, PROMPTS, TEXTS, strict=True):
        expected = shares(plain, generator, messages, texts)
        assert found.attention.shape == expected.shape == (plain.config.num_hidden_layers, len(texts))
        assert found.attention.dtype == np.float32
        np.testing.assert_allclose(found.attention, expected, atol=1e-4)


@pytest.mark.weights
def test_likelihoods_are_those_of_the_generator_in_the_order_of_the_prompts(generator, together):
    for found, messages, answer in zip(together, PROMPTS, ANSWERS, strict=True):
        (expected,) = generator.option_log_likelihoods(messages, [answer])
        n_tokens = len(generator.tokenizer(answer.strip(), add_special_tokens=False)["input_ids"])
        assert found.log_likelihood == pytest.approx(expected, abs=1e-3)
        assert found.mean_log_likelihood == pytest.approx(expected / n_tokens, abs=1e-3)
    assert together[0].log_likelihood > together[1].log_likelihood, "what is read is likely"


@pytest.mark.weights
def test_what_falls_on_passages_is_a_share_and_what_does_not_is_elsewhere(together):
    for found in together:
        assert (found.attention >= 0).all()
        assert (found.attention.sum(axis=1) < 1).all(), "some falls on the question and on the chat's own tokens"
        assert (found.attention.sum(axis=1) > 0).all()


@pytest.mark.weights
@pytest.mark.parametrize("cut", [41, 42, 43, 44])
def test_all_of_the_prompt_gets_all_of_the_attention_and_a_cut_token_counts_once(generator, cut):
    text = generator.render(PROMPTS[0])
    (found,) = look(generator, PROMPTS[:1], [[text[:cut], text[cut:]]], ANSWERS[:1])
    np.testing.assert_allclose(found.attention.sum(axis=1), 1, atol=1e-5)


@pytest.mark.weights
@pytest.mark.parametrize(("batch_size", "tokens_in_memory"), [(1, 32_000), (2, 300)])
def test_neighbours_and_shared_beginnings_change_nothing(
    generator, together, monkeypatch, batch_size, tokens_in_memory
):
    monkeypatch.setattr(attention, "BATCH_SIZE", batch_size)
    monkeypatch.setattr(attention, "TOKENS_IN_MEMORY", tokens_in_memory)
    for found, expected in zip(look(generator, PROMPTS, TEXTS, ANSWERS), together, strict=True):
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-3)
        np.testing.assert_allclose(found.attention, expected.attention, atol=1e-4)


@pytest.mark.weights
def test_what_prompts_begin_with_in_common_is_read_once(generator, together, monkeypatch):
    trees = []
    monkeypatch.setattr(attention, "PrefixTree", lambda *given: trees.append(PrefixTree(*given)) or trees[-1])
    found = look(generator, [PROMPTS[2], PROMPTS[3], PROMPTS[2]], [TEXTS[2], TEXTS[3], TEXTS[2]], [ANSWERS[2]] * 3)
    assert len(trees) == 1
    assert trees[0].n_tokens_read < sum(generator.n_tokens(PROMPTS[i]) for i in (2, 3)) - 30
    np.testing.assert_allclose(found[0].attention, together[2].attention, atol=1e-4)
    np.testing.assert_allclose(found[2].attention, together[2].attention, atol=1e-4)


@pytest.mark.weights
def test_the_generator_is_as_it_was_afterwards_even_after_an_error(generator):
    def fail(model: torch.nn.Module, _: tuple) -> None:
        if generator.model.config._attn_implementation == "eager":
            raise RuntimeError("no more memory")

    how, said = generator.model.config._attn_implementation, generator.generate(PROMPTS[:1], max_new_tokens=3)
    look(generator, PROMPTS[:1], TEXTS[:1], ANSWERS[:1])
    assert generator.model.config._attn_implementation == how != "eager"
    assert generator.generate(PROMPTS[:1], max_new_tokens=3) == said
    hook = generator.model.lm_head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no more memory"):
        look(generator, PROMPTS[:1], TEXTS[:1], ANSWERS[:1])
    hook.remove()
    assert generator.model.config._attn_implementation == how
    assert generator.generate(PROMPTS[:1], max_new_tokens=3) == said


@pytest.mark.weights
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["Its lid is red."], "Passage 1 of prompt 2 is not there, or not behind the one before it: 'Its lid is red.'"),
        (TEXTS[2][::-1], "Passage 2 of prompt 2 is not there, or not behind the one before it: 'Its lid is black.'"),
        ([PUMP, PUMP], "Passage 2 of prompt 2 is not there"),
        ([PUMP, " "], "Passage 2 of prompt 2 is not there"),
    ],
)
def test_a_passage_that_is_not_in_its_place_in_the_prompt_is_named(generator, texts, said):
    with pytest.raises(ValueError, match=said):
        look(generator, [PROMPTS[0], PROMPTS[2]], [TEXTS[0], texts], ANSWERS[:2])


@pytest.mark.weights
def test_a_text_that_occurs_twice_is_found_behind_the_passage_before_it(generator):
    texts = ["Its lid is black.", PUMP, "Its lid is black."]
    (found,) = look(generator, [prompt(texts)], [texts], ["black"])
    (last,) = look(generator, [prompt(texts)], [texts[1:]], ["black"])
    np.testing.assert_allclose(found.attention[:, 1:], last.attention, atol=1e-6)
    assert not np.allclose(found.attention[:, 0], found.attention[:, 2], atol=1e-4)


@pytest.mark.weights
def test_nothing_to_look_at_and_what_does_not_fit_are_refused(generator):
    with pytest.raises(
        ValueError, match="Expected at least one prompt, .* got 0 prompts, 0 lists of passages and 0 answ"
    ):
        look(generator, [], [], [])
    with pytest.raises(ValueError, match="got 2 prompts, 1 lists of passages and 2 answers"):
        look(generator, PROMPTS[:2], TEXTS[:1], ANSWERS[:2])
    for texts, answer in ([[], "41"], [PUMP, "41"], [[PUMP], " "]):
        with pytest.raises(ValueError, match="Expected a list of passages and an answer for prompt 1, got"):
            look(generator, PROMPTS[:1], [texts], [answer])
    long = ["word " * 10_000]
    with pytest.raises(
        ValueError, match=r"The 1\d{4} tokens of prompt 1 and 1 of .* the model's context of 8192 tokens"
    ):
        look(generator, [prompt(long)], [long], ["7"])
