"""How does the generator turn a prompt into an answer, and how fast can two cores do it?

`Generator` decodes greedily in batches: prompts are sorted by length so that little is padded, and padded so that all
continue at the same place, since one step for many prompts costs little more than one for a single prompt. What they begin
with in common is read once, and answers that have ended leave the batch. `option_log_likelihoods` scores fixed answers
instead of free text. `benchmarks` compares it with the plain loop. Taught in `03_generation`. Leaves out: sampling,
streaming, and servers (`10_beyond_one_machine`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from helpers.models import GENERATOR, fetch_model

Messages = list[dict[str, str]]
ROUND = 8  # tokens between two looks at which answers have ended
TOKENS_AT_ONCE = 1_600  # read together


@dataclass(frozen=True)
class Answer:
    """What the generator said to one prompt, with the tokens it read and wrote."""

    text: str
    n_prompt_tokens: int
    n_new_tokens: int


class Generator:
    """A causal language model on the CPU in float32; `model` is a folder or a name for `fetch_model`."""

    def __init__(self, model: str = GENERATOR) -> None:
        folder = fetch_model(model)
        self.name = model
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        how = {"dtype": torch.float32, "attn_implementation": _attention()}
        self.model = AutoModelForCausalLM.from_pretrained(folder, **how).eval()
        self.max_tokens: int = self.model.config.max_position_embeddings
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        ends = self.model.generation_config.eos_token_id
        self.stop_ids = sorted({*(ends if isinstance(ends, list) else [ends]), *self._newline_ids()})

    def _newline_ids(self) -> set[int]:
        """Tokens that begin a new line: an answer is one line."""
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return {i for i, text in enumerate(texts) if text.startswith("\n")}

    def render(self, messages: Messages) -> str:
        """The text that the model reads: the chat in its own format, up to where its answer begins."""
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def n_tokens(self, messages: Messages) -> int:
        """How many tokens the rendered prompt has."""
        return len(self._ids(messages))

    def _ids(self, messages: Messages) -> list[int]:
        return self.tokenizer(self.render(messages), add_special_tokens=False)["input_ids"]

    def generate(self, prompts: Sequence[Messages], *, max_new_tokens: int = 24, batch_size: int = 64) -> list[Answer]:
        """One-line greedy answers, in the order of `prompts`.

        Batched and one-by-one answers agree but for near-ties in logits.
        Raises `ValueError` for no prompts, or a prompt that leaves no room for an answer in the model's
        context.
        """
        ids = [self._fitting(prompt, max_new_tokens) for prompt in prompts]
        if not ids:
            raise ValueError("Expected at least one prompt, got none.")
        answers: dict[int, Answer] = {}
        for batch in batches_by_length(range(len(ids)), [len(i) for i in ids], batch_size):
            answers |= zip(batch, self._decode([ids[i] for i in batch], max_new_tokens), strict=True)
        return [answers[i] for i in range(len(ids))]

    def _fitting(self, messages: Messages, max_new_tokens: int) -> list[int]:
        ids = self._ids(messages)
        if len(ids) + max_new_tokens > self.max_tokens:
            raise ValueError(
                f"A prompt of {len(ids)} tokens and an answer of {max_new_tokens} exceed the model's context "
                f"of {self.max_tokens} tokens. Use fewer or shorter passages, or a shorter question."
            )
        return ids

    @torch.inference_mode()
    def _decode(self, ids: list[list[int]], max_new_tokens: int) -> list[Answer]:
        """Continue all prompts of a batch together, a few tokens a round; those that have ended leave the batch."""
        n_shared = n_common(ids) if len(ids) > 1 else 0
        inputs = self._padded(ids, n_shared)
        cache = self._read(inputs, n_shared) if len(ids) > 1 else DynamicCache()
        new: list[list[int]] = [[] for _ in ids]
        going = list(range(len(ids)))
        while going:
            n_steps = min(ROUND if len(ids) > 1 else max_new_tokens, max_new_tokens - len(new[going[0]]))
            before = inputs["input_ids"].shape[1]
            output = self._continue(inputs, cache, n_steps)
            for row, i in enumerate(going):
                new[i] += output[row, before:].tolist()
            kept = [row for row, i in enumerate(going) if not self._ended(new[i], max_new_tokens)]
            going = [going[row] for row in kept]
            mask = torch.nn.functional.pad(inputs["attention_mask"], (0, output.shape[1] - before), value=1)
            inputs = {"input_ids": output[kept], "attention_mask": mask[kept]}
            cache.batch_select_indices(torch.tensor(kept, dtype=torch.long))
        return [self._answer(prompt, tokens) for prompt, tokens in zip(ids, new, strict=True)]

    def _continue(self, inputs: dict[str, torch.Tensor], cache: DynamicCache, n_steps: int) -> torch.Tensor:
        """Prompts and up to `n_steps` new tokens each; `cache` grows on the way."""
        return self.model.generate(
            **inputs,
            past_key_values=cache,
            max_new_tokens=n_steps,
            do_sample=False,
            eos_token_id=self.stop_ids,
            pad_token_id=self.tokenizer.pad_token_id,
        )

    def _ended(self, new: list[int], max_new_tokens: int) -> bool:
        return len(new) >= max_new_tokens or not set(new).isdisjoint(self.stop_ids)

    def _padded(self, ids: list[list[int]], n_shared: int) -> dict[str, torch.Tensor]:
        """Prompts [n, longest] with the padding between the shared beginning and the rest, so that all end together."""
        longest, pad = max(map(len, ids)), self.tokenizer.pad_token_id
        gaps = [longest - len(prompt) for prompt in ids]
        tokens = [p[:n_shared] + [pad] * gap + p[n_shared:] for p, gap in zip(ids, gaps, strict=True)]
        mask = [[1] * n_shared + [0] * gap + [1] * (longest - n_shared - gap) for gap in gaps]
        return {"input_ids": torch.tensor(tokens), "attention_mask": torch.tensor(mask)}

    def _read(self, inputs: dict[str, torch.Tensor], n_shared: int) -> DynamicCache:
        """Keys and values of all but the last token of every prompt.

        What the prompts begin with in common is read once, not once each; the rest a few prompts at a time, since the
        numbers of more would not fit into the processor's cache.
        """
        ids, mask = inputs["input_ids"][:, :-1], inputs["attention_mask"][:, :-1]
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        n_rows = max(1, TOKENS_AT_ONCE // ids.shape[1])
        read = []
        for rows in torch.arange(len(ids)).split(n_rows):
            cache = DynamicCache()
            if n_shared:
                self.model(ids[:1, :n_shared], past_key_values=cache, logits_to_keep=1)
                cache.batch_repeat_interleave(len(rows))
            if ids.shape[1] > n_shared:
                rest = {"input_ids": ids[rows, n_shared:], "position_ids": positions[rows, n_shared:]}
                self.model(**rest, attention_mask=mask[rows], past_key_values=cache, logits_to_keep=1)
            read.append(cache)
        return _stacked(read)

    def _answer(self, prompt: list[int], new: list[int]) -> Answer:
        end = next((i for i, token in enumerate(new) if token in self.stop_ids), len(new))
        return Answer(self.tokenizer.decode(new[:end]).strip(), len(prompt), min(end + 1, len(new)))

    @torch.inference_mode()
    def option_log_likelihoods(self, messages: Messages, options: Sequence[str]) -> list[float]:
        """Log-probability (natural, summed over tokens) of each option as the answer to the prompt.

        Longer options have lower sums; divide by their tokens to compare options of different length.
        """
        if isinstance(options, str) or not options or not all(option.strip() for option in options):
            raise ValueError(f"Expected a list of at least one option, none of them empty, got {options!r}.")
        tails = [self.tokenizer(option.strip(), add_special_tokens=False)["input_ids"] for option in options]
        longest = max(map(len, tails))
        prompt = self._fitting(messages, longest)
        inputs = self.tokenizer.pad({"input_ids": [prompt + tail for tail in tails]}, return_tensors="pt")
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        logits = self.model(**inputs, position_ids=positions, logits_to_keep=longest + 1).logits
        log_probabilities = logits[:, :-1].log_softmax(dim=-1)
        return [float(row[-len(t) :][range(len(t)), t].sum()) for row, t in zip(log_probabilities, tails, strict=True)]


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention that, for one new token per prompt, copies no keys.

    Query heads that share keys (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245) are folded into the place of
    the query's length; transformers would copy all keys and values once for each of them, at every step.
    """
    n, n_heads, length, size = query.shape
    n_groups = key.shape[1]
    if length > 1 or n_heads == n_groups:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    folded = query.reshape(n, n_groups, n_heads // n_groups, size)
    attend = torch.nn.functional.scaled_dot_product_attention
    output = attend(folded, key, value, attn_mask=attention_mask, scale=options.get("scaling"))
    return output.reshape(n, n_heads, 1, size).transpose(1, 2).contiguous(), None


def _attention() -> str:
    """Make `grouped_attention` known to transformers; return its name there."""
    AttentionInterface.register("grouped", grouped_attention)
    AttentionMaskInterface.register("grouped", sdpa_mask)
    return "grouped"


def _stacked(caches: Sequence[DynamicCache]) -> DynamicCache:
    together = DynamicCache()
    for number, layers in enumerate(zip(*(cache.layers for cache in caches), strict=True)):
        keys, values = (torch.cat([getattr(layer, part) for layer in layers]) for part in ("keys", "values"))
        together.update(keys, values, number)
    return together


def n_common(ids: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with in common, leaving each at least one of its own.

    >>> n_common([[5, 6, 7, 8], [5, 6, 9]]), n_common([[5, 6], [5, 6]])
    (2, 1)
    """
    longest = min(map(len, ids)) - 1
    return next((i for i in range(longest) if len({prompt[i] for prompt in ids}) > 1), longest)


def batches_by_length(items: Sequence, lengths: Sequence[int], batch_size: int) -> list[list]:
    """Cut `items` into batches of similar length, longest first (so that a too large batch fails at once).

    >>> batches_by_length("abc", [5, 1, 4], 2)
    [['a', 'c'], ['b']]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    order = sorted(range(len(items)), key=lambda i: (-lengths[i], i))
    return [[items[i] for i in order[start : start + batch_size]] for start in range(0, len(order), batch_size)]


def questions_per_second(run: Callable[[], Sequence], *, repeats: int = 1) -> float:
    """Answers per second that `run` gives, best of `repeats`. Compare ratios: the values vary by machine."""
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        rates.append(len(run()) / (time.perf_counter() - started))
    return max(rates)
