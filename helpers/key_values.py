"""Can the model copy the value of a key out of a long list, wherever its pair stands?

As in *Lost in the middle* (Liu et al. 2023, arXiv 2307.03172), but the paper moves one pair through a JSON object; here the question moves,
so that an object is read once for all positions. Taught in `06_lost_in_the_middle`. Leaves out: passages and questions (`positions`).
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import experiments
from helpers.generation import Generator, Messages
from helpers.own_data import read_text_file
from helpers.own_tables import DataProblems, read_json_lines

MAX_NEW_TOKENS = 40  # the paper's values are UUIDs of about 30 tokens
CONTEXTS_AT_ONCE = 4  # between two checkpoints
ASK = "Extract the value of a key from this JSON object.\n\n{pairs}\n\nKey: {key}\nValue:"
WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class KeyValues:
    """A context: keys and their values in the order in which they are read. No key occurs twice."""

    id: str
    pairs: tuple[tuple[str, str], ...]


def draw(n_contexts: int, n_pairs: int, *, seed: int) -> list[KeyValues]:
    """Contexts of random keys and values of four hexadecimal digits, all of them distinct (so 32,768 pairs are the most there can be)."""
    words = (f"{n:04x}" for n in random.Random(seed).sample(range(16**4), 2 * n_contexts * n_pairs))
    return [KeyValues(f"kv-{i}", tuple((next(words), next(words)) for _ in range(n_pairs))) for i in range(n_contexts)]


def load_key_values(path: str | Path, *, limit: int = 500) -> list[KeyValues]:
    """The first `limit` contexts of a file such as the paper's kv-retrieval-75_keys.jsonl.gz. Raises `DataProblems`, which lists all."""
    text, problem = read_text_file(Path(path))
    table = read_json_lines(text, Path(path), limit)
    rows = zip(table.places, table.frame.to_dict("records"), strict=True)
    found = [(place, row.get("ordered_kv_records")) for place, row in rows]
    expected = 'expected {"ordered_kv_records": [["key", "value"], …]} of letters, digits and hyphens, each key once'
    problems = [*table.problems, *(f"{place}: {expected}" for place, pairs in found if not _are_pairs(pairs))]
    if problems or not found:
        raise DataProblems(path, problems or [problem or f"the file is empty, {expected}"])
    return [KeyValues(place, tuple(map(tuple, pairs))) for place, pairs in found]


def _are_pairs(value: object) -> bool:
    listed = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    words = listed and all(isinstance(text, str) and WORD.fullmatch(text) for pair in value for text in pair)
    return bool(words) and len(dict(value)) == len(value) > 0


def prompt(context: KeyValues, key: str) -> Messages:
    """Chat messages that ask for the value of `key`, and the answer begun, so that all that is left is to copy."""
    asked = ASK.format(pairs=json.dumps(dict(context.pairs), indent=0), key=key)
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": f'{{\n"{key}": "'}]


def ask_values(generator: Generator, contexts: Sequence[KeyValues], positions: Sequence[int]) -> pd.DataFrame:
    """Ask every context for the values at `positions` (from 0). One row per context and position, position by position.

    Columns: item_id (the context's), condition, n_pairs, position, value, prediction, seconds and score: 1.0 if the prediction has the
    value as a word of its own (between any signs but letters, digits and hyphens); a part of it or a longer one does not count.
    """
    pairs, positions = {c.id: c.pairs for c in contexts}, list(positions)
    if missing := [(i, p) for i, held in pairs.items() for p in positions if not 0 <= p < len(held)]:
        raise ValueError(f"Positions count pairs from 0; these contexts have none there: {missing[:5]}.")

    def measure_batch(batch: Sequence[KeyValues]) -> list[dict]:
        asked = [prompt(c, c.pairs[p][0]) for c in batch for p in positions]
        said = iter(generator.generate(asked, max_new_tokens=MAX_NEW_TOKENS))
        return [{"position": positions, "prediction": [next(said).text for _ in positions]} for _ in batch]

    batches = [contexts[i : i + CONTEXTS_AT_ONCE] for i in range(0, len(contexts), CONTEXTS_AT_ONCE)]
    how = {"model": generator.name, "prompt": prompt(KeyValues("", ()), ""), "max_new_tokens": MAX_NEW_TOKENS}
    rows = experiments.measure("key_values", batches, measure_batch, settings=how | {"positions": positions})
    rows["seconds"] /= len(positions)
    rows = rows.explode(["position", "prediction"], ignore_index=True).astype({"position": int})
    rows["n_pairs"] = [len(pairs[i]) for i in rows["item_id"]]
    rows["condition"] = [f"{row.n_pairs} pairs, asked at {row.position}" for row in rows.itertuples()]
    rows["value"] = [pairs[row.item_id][row.position][1] for row in rows.itertuples()]
    rows["score"] = [float(row.value in WORD.findall(row.prediction)) for row in rows.itertuples()]
    return rows.sort_values(["position", "item_id"], ignore_index=True)
