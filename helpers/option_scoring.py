"""How likely is each of a few fixed answers, for hundreds of prompts, without reading anything twice?

What all prompts begin with (instruction, examples) is read once. Then each prompt is one row: the rest of it, followed by the words
of all options side by side, where an attention mask lets every option see the prompt and itself, but no other option (tree attention:
Miao et al. 2023, SpecInfer, arXiv 2305.09781). `Generator.option_log_likelihoods` gives the same numbers for one chat.
Used by `baselines`; taught in `04_fine_tuning_classifiers`. Leaves out: answers in free text (`generation`).
"""

import os
from collections.abc import Sequence

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers.cache_utils import Cache

from helpers.generation import Generator, batches_by_length
from helpers.kv_cache import PrefixTree, empty_cache

BATCH_SIZE = 32  # prompts that are read together
TOKENS_TOGETHER = 8_000  # of these prompts, with what they begin with in common
LOGITS_TOGETHER = 512  # rows of the vocabulary's size that are held at once


def option_scores(generator: Generator, prompts: Sequence[str], options: Sequence[str]) -> np.ndarray:
    """Log-probability (natural, summed over tokens) of each option right after each prompt: float64 [n_prompts, n_options].

    Prompts are plain texts, not chats; options begin with the blank that parts them from the prompt, if any.
    Raises `ValueError` for no prompts, no or empty options, and a prompt that is too long for the model.
    """
    if not prompts or isinstance(options, str) or not options or not all(option.strip() for option in options):
        raise ValueError(f"Expected prompts and a list of options, none empty; got {len(prompts)} and {options!r}.")
    ids, tails = generator.tokenizer(list(prompts))["input_ids"], _tails(generator, options)
    if (longest := max(map(len, ids)) + max(map(len, tails))) > generator.max_tokens:
        raise ValueError(
            f"The longest prompt and option have {longest} tokens, the model reads {generator.max_tokens}. "
            "Shorten the texts, or give fewer examples."
        )
    return _scores(generator, ids, tails)


def _tails(generator: Generator, options: Sequence[str]) -> list[tuple[int, ...]]:
    """The options' tokens; with the end of the text if one option is how another begins, which it would always beat."""
    tails = [tuple(tail) for tail in generator.tokenizer(list(options), add_special_tokens=False)["input_ids"]]
    if set(tails) & set(branches(tails)):
        return [(*tail, generator.tokenizer.eos_token_id) for tail in tails]
    return tails


def branches(tails: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """What the next token of an option can follow on: the distinct beginnings of the options, shorter ones first.

    >>> branches([(7, 8, 9), (7, 8, 5), (6,)])
    [(), (7,), (7, 8)]
    """
    return sorted({tuple(tail[:n]) for tail in tails for n in range(len(tail))}, key=lambda b: (len(b), b))


@torch.inference_mode()
def _scores(generator: Generator, ids: list[list[int]], tails: list[tuple[int, ...]]) -> np.ndarray:
    n_shared = min(len(os.path.commonprefix(ids)), min(map(len, ids)) - 1)
    tree = PrefixTree(generator.model, [ids[0][:n_shared]]) if n_shared else None
    begun, scores = branches(tails), np.empty((len(ids), len(tails)))
    size = max(1, min(BATCH_SIZE, LOGITS_TOGETHER // len(begun)))
    batches = batches_by_length(range(len(ids)), [len(i) + len(begun) for i in ids], size, n_tokens=TOKENS_TOGETHER)
    for batch in tqdm(batches, desc="prompts", unit="batch", leave=False, disable=len(batches) < 2):
        cache = tree.cache_of([0] * len(batch)) if tree else empty_cache()
        rows = _next_tokens(generator.model, cache, [ids[i][n_shared:] for i in batch], begun)
        for option, tail in enumerate(tails):
            steps = [begun.index(tail[:n]) for n in range(len(tail))]
            scores[batch, option] = rows[:, steps, tail].sum(dim=1).numpy()
    return scores


def _next_tokens(
    model: torch.nn.Module, cache: Cache, rests: list[list[int]], begun: list[tuple[int, ...]]
) -> torch.Tensor:
    """Log-probabilities of the next token after each prompt and each beginning of an option: [n_rows, n_begun, n_vocabulary].

    `cache` holds what comes before the `rests`, without padding; these are padded on the left. The first of `begun` is the empty one.
    """
    n_past, longest = cache.get_seq_length(), max(map(len, rests))
    padding = [longest - len(rest) for rest in rests]
    last = [branch[-1] for branch in begun[1:]]
    ids = torch.tensor([[0] * pad + list(rest) + last for pad, rest in zip(padding, rests, strict=True)])
    steps = torch.tensor([*range(longest), *(longest - 1 + len(branch) for branch in begun[1:])])
    positions = (n_past + steps - torch.tensor(padding)[:, None]).clamp(min=0)
    logits = model(
        ids,
        attention_mask=_visible(n_past, padding, longest, begun),
        position_ids=positions,
        past_key_values=cache,
        logits_to_keep=len(begun),
    ).logits
    return logits.log_softmax(dim=-1)


def _visible(n_past: int, padding: list[int], longest: int, begun: list[tuple[int, ...]]) -> torch.Tensor:
    """Which tokens each new token sees: bool [n_rows, 1, n_new, n_past + n_new]."""
    n_new = longest + len(begun) - 1
    sees = torch.ones(n_new, n_new, dtype=torch.bool).tril()
    sees[-len(begun) :, -len(begun) :] = torch.tensor([[b[: len(a)] == a for a in begun] for b in begun])
    mask = torch.cat([torch.ones(n_new, n_past, dtype=torch.bool), sees], dim=1).repeat(len(padding), 1, 1, 1)
    for row, pad in zip(mask, padding, strict=True):
        row[:, :, n_past : n_past + pad] = False
    mask[..., n_past:] |= torch.eye(n_new, dtype=torch.bool)  # padding sees itself: nothing to see is not a number
    return mask
