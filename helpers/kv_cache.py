"""How does a model read many prompts that begin alike without reading, or copying, anything twice?

Keys and values of a token depend only on the tokens before it. So prompts are folded into a tree of what they begin with in
common (a radix tree, as servers use it: Zheng et al. 2023, arXiv 2312.07104), and every stretch of the tree is read once, many
stretches at a time. New tokens are then written behind the old ones, in room kept for them. Used by `generation`; taught in
`06_lost_in_the_middle`. Leaves out: keeping the tree from one call to the next.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

SHORTEST = 16  # shared tokens for which a stretch of their own is worth it
ROOM = 32  # new tokens that a cache has room for before it is copied
TOKENS_AT_ONCE = 1_600  # read together; the numbers of more do not fit into the processor's cache


@dataclass(frozen=True)
class Stretch:
    """Tokens that follow on those of `parent` (a place in the list of stretches; none: a beginning) from position `start`."""

    tokens: tuple[int, ...]
    start: int
    parent: int | None


def fold(prompts: Sequence[Sequence[int]], *, shortest: int = SHORTEST) -> tuple[list[Stretch], list[int]]:
    """The stretches of the tree, parents first, and for each prompt the place of the stretch that it ends with.

    Prompts that share fewer than `shortest` tokens after a branch are kept apart there. No prompt may be empty.

    >>> fold([[5, 6, 7], [5, 6, 8], [5, 6]], shortest=2)[0][0]
    Stretch(tokens=(5, 6), start=0, parent=None)
    >>> fold([[5, 6, 7], [5, 6, 8], [5, 6]], shortest=2)[1]
    [1, 2, 0]
    """
    if not all(prompts):
        raise ValueError("Expected prompts of at least one token each, got an empty one.")
    stretches, ends = [], [0] * len(prompts)
    waiting = [(list(range(len(prompts))), 0, None)]
    while waiting:
        members, start, parent = waiting.pop()
        alike = defaultdict(list)
        for i in members:
            alike[tuple(prompts[i][start : start + shortest])].append(i)
        for group in alike.values():
            end = start + _n_common([prompts[i][start:] for i in group])
            place = len(stretches)
            stretches.append(Stretch(tuple(prompts[group[0]][start:end]), start, parent))
            for i in group:
                ends[i] = place
            if longer := [i for i in group if len(prompts[i]) > end]:
                waiting.append((longer, end, place))
    return stretches, ends


def _n_common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with in common: that of the least and the greatest."""
    least, greatest = min(prompts), max(prompts)
    return next((i for i, (a, b) in enumerate(zip(least, greatest, strict=False)) if a != b), len(least))


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer with room behind them, where transformers' own layer copies all of them at every new token."""

    _held: list[torch.Tensor] | None = None

    @classmethod
    def holding(cls, keys: torch.Tensor, values: torch.Tensor, n: int) -> "RoomyLayer":
        """A layer of these keys and values [n_rows, n_heads, n + room, head_size], of which `n` tokens are there so far."""
        layer = cls()
        layer.lazy_initialization(keys, values)
        layer._held = [keys, values]
        layer.keys, layer.values = keys[:, :, :n], values[:, :, :n]
        return layer

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add new keys and values [n_rows, n_heads, n_new, head_size]; return all of them, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        n, new = self.get_seq_length(), [key_states, value_states]
        end = n + key_states.shape[-2]
        if self._held is None or self._held[0].shape[-2] < end:
            old = [self.keys, self.values]
            n_rows, n_heads, _, size = key_states.shape
            self._held = [torch.empty(n_rows, n_heads, end + ROOM, size, dtype=part.dtype) for part in new]
            for held, part in zip(self._held, old if n else [], strict=False):
                held[:, :, :n] = part
        for held, part in zip(self._held, new, strict=True):
            held[:, :, n:end] = part
        self.keys, self.values = (held[:, :, :end] for held in self._held)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows, in ascending order: they move up in place, so that no memory is taken for a copy."""
        n, rows = self.get_seq_length(), indices.tolist()
        if rows != sorted(set(rows)):
            raise ValueError(f"Expected rows in ascending order, got {rows}.")
        for to, row in enumerate(rows):
            for held in self._held if to != row else []:
                held[to, :, :n] = held[row, :, :n]
        self._held = [held[: len(rows)] for held in self._held]
        self.keys, self.values = (held[:, :, :n] for held in self._held)


def empty_cache() -> Cache:
    """A cache in which nothing is yet."""
    return Cache(layer_class_to_replicate=RoomyLayer)


class PrefixTree:
    """Prompts (token ids) that a causal language model has read, each shared beginning once. Call it in inference mode.

    `n_tokens_read` counts what the model had to read.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        self.model = model
        self.stretches, self.ends = fold(prompts)
        self.n_tokens_read = sum(len(stretch.tokens) for stretch in self.stretches)
        self._read: dict[int, torch.Tensor] = {}  # place: keys and values [2, n_layers, n_heads, n_tokens, head_size]
        for level in self._levels():
            for places in _portions(level, self.stretches):
                self._read |= zip(places, self._read_together(places), strict=True)

    def _levels(self) -> list[list[int]]:
        """Places of the stretches by their depth: those of one level need only those of the levels before."""
        depths, levels = {None: -1}, defaultdict(list)
        for place, stretch in enumerate(self.stretches):
            depths[place] = depths[stretch.parent] + 1
            levels[depths[place]].append(place)
        return [levels[depth] for depth in sorted(levels)]

    def _read_together(self, places: list[int]) -> list[torch.Tensor]:
        """Read these stretches in one pass: what comes before them is padded on the left, they themselves on the right."""
        rows = [self.stretches[place] for place in places]
        n_past, n_new = max(row.start for row in rows), max(len(row.tokens) for row in rows)
        ids = torch.tensor([[*row.tokens, *[0] * (n_new - len(row.tokens))] for row in rows])
        positions = torch.tensor([[row.start] for row in rows]) + torch.arange(n_new)
        mask = torch.zeros(len(rows), n_past + n_new, dtype=torch.long)
        for i, row in enumerate(rows):
            mask[i, n_past - row.start : n_past + len(row.tokens)] = 1
        cache = self._cache([row.parent for row in rows], room=n_new)
        self.model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1)
        new = [torch.stack([layer.keys[:, :, n_past:], layer.values[:, :, n_past:]], dim=1) for layer in cache.layers]
        together = torch.stack(new, dim=2)  # [n_rows, 2, n_layers, n_heads, n_new, head_size]
        return [one[..., : len(row.tokens), :].clone() for one, row in zip(together, rows, strict=True)]

    def _chain(self, place: int | None) -> list[torch.Tensor]:
        """Keys and values of the stretch and of all before it, in the order of the text."""
        chain = []
        while place is not None:
            chain.append(self._read[place])
            place = self.stretches[place].parent
        return chain[::-1]

    def _cache(self, places: Sequence[int | None], *, room: int = ROOM) -> Cache:
        """Keys and values up to the end of each stretch, one row each, padded on the left to the longest, with room behind."""
        chains = [self._chain(place) for place in places]
        lengths = [sum(part.shape[-2] for part in chain) for chain in chains]
        if not (longest := max(lengths)):
            return empty_cache()
        two, n_layers, n_heads, _, size = next(iter(self._read.values())).shape
        held = torch.zeros(two, n_layers, len(places), n_heads, longest + room, size)
        for row, (chain, length) in enumerate(zip(chains, lengths, strict=True)):
            at = longest - length
            for part in chain:
                held[:, :, row, :, at : at + part.shape[-2]] = part
                at += part.shape[-2]
        return Cache(layers=[RoomyLayer.holding(*held[:, layer], longest) for layer in range(n_layers)])

    def cache_of(self, prompts: Sequence[int]) -> Cache:
        """A cache with one row for each of these prompts (places in the list given), padded on the left to the longest."""
        return self._cache([self.ends[i] for i in prompts])


def _portions(places: list[int], stretches: Sequence[Stretch]) -> list[list[int]]:
    """Cut places into portions of similar length that are read together."""
    portions: list[list[int]] = []
    for place in sorted(places, key=lambda p: (-len(stretches[p].tokens), stretches[p].start)):
        longest = len(stretches[portions[-1][0]].tokens) if portions else 0
        if not portions or (len(portions[-1]) + 1) * longest > TOKENS_AT_ONCE:
            portions.append([])
        portions[-1].append(place)
    return portions
