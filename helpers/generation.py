"""How does the generator turn a prompt into an answer, and how fast can two cores do it?

`Generator` decodes greedily in batches: prompts are sorted by length so that little is padded, and padded on the left so that all
continue at the same place, since one step for many prompts costs little more than one for a single prompt. What they begin
with in common is read once (`kv_cache`), and answers that have ended leave the batch. `option_log_likelihoods` scores fixed answers
instead of free text. `benchmarks` compares it with the plain loop. Taught in `03_generation`. Leaves out: sampling,
streaming, and servers (`10_beyond_one_machine`).
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import Cache

from helpers.kv_cache import PrefixTree, empty_cache
from helpers.models import GENERATOR, fetch_model

Messages = list[dict[str, str]]
BATCH_SIZE = 64  # prompts that are continued together
ROUND = 8  # tokens between two looks at which answers have ended
OPTIONS_AT_ONCE = 32
TOKENS_IN_MEMORY = 32_000  # of prompts that are read together; of SmolLM2, a token's keys and values take 46 kB
TOKENS_TOGETHER = 24_000  # of prompts that are continued together


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
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.max_tokens: int = self.model.config.max_position_embeddings
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        ends = self.model.generation_config.eos_token_id
        self.end_ids: list[int] = ends if isinstance(ends, list) else [ends]
        self.stop_ids = sorted({*self.end_ids, *self._newline_ids()})
        self.n_tokens_read = 0  # of prompts, by `generate` so far

    def _newline_ids(self) -> set[int]:
        """Tokens that begin a new line: an answer is one line."""
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return {i for i, text in enumerate(texts) if text.startswith("\n")}

    def over_lines(self) -> "Generator":
        """The same generator, whose answers may run over several lines."""
        other = copy.copy(self)
        other.stop_ids = self.end_ids
        return other

    def render(self, messages: Messages) -> str:
        """The text that the model reads: the chat in its own format, up to where its answer begins, or goes on if it is begun."""
        begun = bool(messages) and messages[-1]["role"] == "assistant"
        how = {"continue_final_message": True} if begun else {"add_generation_prompt": True}
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **how)

    def n_tokens(self, messages: Messages) -> int:
        """How many tokens the rendered prompt has."""
        return len(self._ids(messages))

    def _ids(self, messages: Messages) -> list[int]:
        return self.tokenizer(self.render(messages), add_special_tokens=False)["input_ids"]

    def generate(
        self, prompts: Sequence[Messages], *, max_new_tokens: int = 24, batch_size: int = BATCH_SIZE
    ) -> list[Answer]:
        """One-line greedy answers, in the order of `prompts`.

        What prompts begin with in common is read once, and equal prompts are answered once. Batched and one-by-one answers agree but
        for near-ties in logits.
        Raises `ValueError` for no prompts, or a prompt that leaves no room for an answer in the model's
        context.
        """
        if not prompts:
            raise ValueError("Expected at least one prompt, got none.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        asked = [tuple(self._fitting(prompt, max_new_tokens)) for prompt in prompts]
        ids = list(dict.fromkeys(asked))
        answers: dict[tuple[int, ...], Answer] = {}
        for portion in _portions(ids, 1 if batch_size == 1 else TOKENS_IN_MEMORY):
            found = self._answers({i: list(ids[i]) for i in portion}, max_new_tokens, batch_size)
            answers |= {ids[i]: answer for i, answer in found.items()}
        return [answers[prompt] for prompt in asked]

    def _fitting(self, messages: Messages, max_new_tokens: int) -> list[int]:
        ids = self._ids(messages)
        if len(ids) + max_new_tokens > self.max_tokens:
            raise ValueError(
                f"A prompt of {len(ids)} tokens and an answer of {max_new_tokens} exceed the model's context "
                f"of {self.max_tokens} tokens. Use fewer or shorter passages, or a shorter question."
            )
        return ids

    @torch.inference_mode()
    def _answers(self, ids: dict[int, list[int]], max_new_tokens: int, batch_size: int) -> dict[int, Answer]:
        """Read these prompts as a tree, all but the last token of each, then decode them in batches of similar length."""
        tree = PrefixTree(self.model, [prompt[:-1] for prompt in ids.values()]) if len(ids) > 1 else None
        self.n_tokens_read += tree.n_tokens_read + len(ids) if tree else sum(map(len, ids.values()))
        lengths = [len(prompt) for prompt in ids.values()]
        answers: dict[int, Answer] = {}
        for batch in batches_by_length(range(len(ids)), lengths, batch_size, n_tokens=TOKENS_TOGETHER):
            asked = [list(ids)[i] for i in batch]
            read = self._decode(
                [ids[i] for i in asked], tree.cache_of(batch) if tree else empty_cache(), max_new_tokens
            )
            answers |= zip(asked, read, strict=True)
        return answers

    def _decode(self, ids: list[list[int]], cache: Cache, max_new_tokens: int) -> list[Answer]:
        """Continue all prompts of a batch together, a few tokens a round; those that have ended leave the batch."""
        inputs = dict(self.tokenizer.pad({"input_ids": ids}, return_tensors="pt"))
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

    def _continue(self, inputs: dict[str, torch.Tensor], cache: Cache, n_steps: int) -> torch.Tensor:
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
        *beginning, last = self._fitting(messages, max(map(len, tails)))
        tree = PrefixTree(self.model, [beginning])
        found = []
        for start in range(0, len(tails), OPTIONS_AT_ONCE):
            found += self._log_likelihoods(tree, last, tails[start : start + OPTIONS_AT_ONCE])
        return found

    def _log_likelihoods(self, tree: PrefixTree, last: int, tails: list[list[int]]) -> list[float]:
        """Log-probability of each of the `tails` after the only prompt of the tree and the token `last`."""
        longest = max(map(len, tails))
        ids = torch.tensor(
            [[last, *tail, *[last] * (longest - len(tail))] for tail in tails]
        )  # padding comes last: unseen
        logits = self.model(ids, past_key_values=tree.cache_of([0] * len(tails))).logits
        rows = logits[:, :-1].log_softmax(dim=-1)  # [n_options, longest, n_vocabulary]
        return [float(row[range(len(tail)), tail].sum()) for row, tail in zip(rows, tails, strict=True)]


def _portions(ids: Sequence[Sequence[int]], n_tokens: int) -> list[list[int]]:
    """Cut the places of prompts into portions of at most `n_tokens` (or one prompt); prompts that begin alike stay together."""
    portions: list[list[int]] = []
    held = 0
    for i in sorted(range(len(ids)), key=lambda i: ids[i]):
        if not portions or held + len(ids[i]) > n_tokens:
            portions.append([])
            held = 0
        portions[-1].append(i)
        held += len(ids[i])
    return portions


def batches_by_length(
    items: Sequence, lengths: Sequence[int], batch_size: int, *, n_tokens: int | None = None
) -> list[list]:
    """Cut `items` into batches of similar length, longest first (so that a too large batch fails at once).

    A batch has at most `batch_size` items and, padded, at most `n_tokens` tokens (or one item).

    >>> batches_by_length("abc", [5, 1, 4], 2), batches_by_length("abc", [5, 1, 4], 2, n_tokens=9)
    ([['a', 'c'], ['b']], [['a'], ['c', 'b']])
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    batches: list[list] = []
    room = 0
    for i in sorted(range(len(items)), key=lambda i: (-lengths[i], i)):
        if room == 0:
            batches.append([])
            room = batch_size if n_tokens is None else max(1, min(batch_size, n_tokens // max(1, lengths[i])))
        batches[-1].append(items[i])
        room -= 1
    return batches


def questions_per_second(run: Callable[[], Sequence], *, repeats: int = 1) -> float:
    """Answers per second that `run` gives, best of `repeats`. Compare ratios: the values vary by machine."""
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        rates.append(len(run()) / (time.perf_counter() - started))
    return max(rates)
