"""Where does the generator look just before it answers, and how likely does it find the right answer?

Attention is read off at the last token of the prompt, from which the answer's first token is predicted: the share that falls on each
passage, in each layer, as a mean over the heads. What prompts begin with in common is read once (`kv_cache`). The likelihood is that
of `Generator.option_log_likelihoods`. Taught in `06_lost_in_the_middle`. Leaves out: single heads, and whether what is looked at is
also used (Jain and Wallace 2019, "Attention is not Explanation", arXiv 1902.10186).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from helpers.generation import TOKENS_IN_MEMORY, Generator, Messages, batches_by_length
from helpers.kv_cache import PrefixTree

BATCH_SIZE = 16  # prompts whose answers are read together
TOKENS_TOGETHER = 8_000  # of these prompts: their attention is held for all layers and heads at once


@dataclass(frozen=True)
class Look:
    """How likely the right answer is after a prompt, and how much the prompt's last token attends to each passage."""

    log_likelihood: float  # natural, summed over the answer's tokens
    mean_log_likelihood: float  # per token
    attention: (
        np.ndarray
    )  # float32 [n_layers, n_passages], shares of all attention; the rest falls outside the passages


@dataclass(frozen=True)
class _Asked:
    """A prompt and its right answer in tokens; `inside` (bool [n_passages, n_prompt_tokens]) says which tokens are a passage's."""

    prompt: list[int]
    answer: list[int]
    inside: np.ndarray


def look(
    generator: Generator, prompts: Sequence[Messages], passages: Sequence[Sequence[str]], answers: Sequence[str]
) -> list[Look]:
    """One `Look` per prompt, in their order, given the texts of its passages as they follow each other there, and the right answer.

    A passage is searched for behind the one before it; a token counts for the passage that it ends in. Raises `ValueError`
    for no prompts, unequal numbers, no or empty passages or answers, a passage that is not there, and a prompt that is too long.
    """
    if not prompts or not len(prompts) == len(passages) == len(answers):
        raise ValueError(
            "Expected at least one prompt, and for each its passages and its answer; "
            f"got {len(prompts)} prompts, {len(passages)} lists of passages and {len(answers)} answers."
        )
    rows = enumerate(zip(prompts, passages, answers, strict=True), start=1)
    return _looks(generator.model, [_asked(generator, f"prompt {number}", *row) for number, row in rows])


def _asked(generator: Generator, name: str, messages: Messages, passages: Sequence[str], answer: str) -> _Asked:
    if isinstance(passages, str) or not passages or not answer.strip():
        raise ValueError(f"Expected a list of passages and an answer for {name}, got {passages!r} and {answer!r}.")
    text = generator.render(messages)
    read = generator.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    prompt, tail = read["input_ids"], generator.tokenizer(answer.strip(), add_special_tokens=False)["input_ids"]
    if len(prompt) + len(tail) > generator.max_tokens:
        raise ValueError(
            f"The {len(prompt)} tokens of {name} and {len(tail)} of its answer exceed the model's context "
            f"of {generator.max_tokens} tokens. Use fewer or shorter passages."
        )
    ends = np.array(read["offset_mapping"])[:, 1]
    inside = [(start < ends) & (ends <= end) for start, end in _spans(text, passages, name)]
    return _Asked(prompt, tail, np.array(inside))


def _spans(text: str, passages: Sequence[str], name: str) -> Iterator[tuple[int, int]]:
    """Where each passage begins and ends in the text, in characters."""
    end = 0
    for number, passage in enumerate(passages, start=1):
        start = text.find(passage, end) if passage.strip() else -1
        if start < 0:
            raise ValueError(
                f"Passage {number} of {name} is not there, or not behind the one before it: {passage[:80]!r}. "
                "Give the texts exactly as they stand in the prompt, in the same order."
            )
        end = start + len(passage)
        yield start, end


@torch.inference_mode()
def _looks(model: PreTrainedModel, asked: Sequence[_Asked]) -> list[Look]:
    """Read all but the last token of prompts that begin alike as a tree; then that token and the answer, in batches."""
    order = sorted(range(len(asked)), key=lambda i: asked[i].prompt)
    at_once = max(1, TOKENS_IN_MEMORY // max(len(one.prompt) for one in asked))
    looks: dict[int, Look] = {}
    for portion in (order[start : start + at_once] for start in range(0, len(order), at_once)):
        tree = PrefixTree(model, [asked[i].prompt[:-1] for i in portion])
        lengths = [len(asked[i].prompt) + len(asked[i].answer) for i in portion]
        for batch in batches_by_length(range(len(portion)), lengths, BATCH_SIZE, n_tokens=TOKENS_TOGETHER):
            places = [portion[i] for i in batch]
            looks |= zip(places, _look_together(tree, batch, [asked[i] for i in places]), strict=True)
    return [looks[i] for i in range(len(asked))]


def _look_together(tree: PrefixTree, batch: list[int], asked: Sequence[_Asked]) -> Iterator[Look]:
    """Read each prompt's last token and its answer. Prompts are padded on the left, answers on the right, where nothing sees it."""
    n_past, n_new = max(len(one.prompt) for one in asked) - 1, max(len(one.answer) for one in asked) + 1
    ids = torch.tensor([[one.prompt[-1], *one.answer, *[0] * (n_new - 1 - len(one.answer))] for one in asked])
    starts = torch.tensor([[len(one.prompt) - 1] for one in asked])
    mask = (torch.arange(n_past + n_new) >= n_past - starts).long()
    how = {"attention_mask": mask, "position_ids": starts + torch.arange(n_new), "output_attentions": True}
    with _eager(tree.model):
        output = tree.model(ids, past_key_values=tree.cache_of(batch), **how)
    attention = torch.stack([layer[:, :, 0].mean(dim=1) for layer in output.attentions], dim=1).numpy()
    for one, row, weights in zip(asked, output.logits.log_softmax(dim=-1), attention, strict=True):
        total = float(row[range(len(one.answer)), one.answer].sum())
        seen = weights[:, n_past + 1 - len(one.prompt) : n_past + 1]  # [n_layers, n_prompt_tokens]
        yield Look(total, total / len(one.answer), seen @ one.inside.T.astype(np.float32))


@contextmanager
def _eager(model: PreTrainedModel) -> Iterator[None]:
    """Attention as plain products of matrices, which alone gives its weights back; afterwards as it was."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
