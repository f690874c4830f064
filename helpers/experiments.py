"""How is an experiment run so that nothing is lost, nothing is measured twice and nothing stale is shown?

An experiment is a list of batches of items and a function that measures one batch. Every finished batch is
appended to a file as tidy rows; an interrupted run goes on where it stopped; a finished one is read back. The
file's name holds a fingerprint of everything that decides the rows, so changed data, prompts or settings
start a new file. Used by every lesson from `00_start_here`. Leaves out: several machines.
"""

import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
from filelock import FileLock
from tqdm.auto import tqdm

from helpers.runtime import results_folder

TIMES = ["seconds"]  # columns that differ from run to run; everything else is the same for the same seed


class Item(Protocol):
    """Anything with an id can be measured."""

    @property
    def id(self) -> str: ...


def fingerprint(*parts: object) -> str:
    """Ten hexadecimal digits that change when any of `parts` does (records, dicts, lists, sets, arrays, text).

    They are the same in every process. Raises `ValueError` for what has no lasting description, such as a
    function.
    """
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _plain(thing: object) -> object:
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    if isinstance(thing, set | frozenset):
        return sorted(map(repr, thing))
    if hasattr(thing, "tolist"):
        return thing.tolist()
    if " at 0x" in (text := repr(thing)):
        raise ValueError(
            f"Settings and items must be plain values, got {text}. Use its name or its parameters instead."
        )
    return text


def measure(
    name: str,
    batches: Sequence[Sequence[Item]],
    measure_batch: Callable[[Sequence[Item]], list[dict]],
    *,
    settings: dict,
    again: bool = False,
) -> pd.DataFrame:
    """Measure all batches once and return one row per item, sorted by item id, whatever the batches.

    `measure_batch` returns one dict of plain values per item. `settings` is everything besides the items that
    decides the rows (model, prompt, seed); condition and seed in it become columns. Rows lie in
    `results_folder()` as `name-fingerprint.jsonl`. `again=True` measures anew. Raises `ValueError` for no
    items, repeated ids, and rows that are not one dict of plain values per item.
    """
    ids = _checked_ids(name, batches)
    path = results_folder() / f"{name}-{fingerprint(settings, list(batches))}.jsonl"
    with FileLock(f"{path}.lock"):  # the lock file stays: removing it would let two processes in
        if again:
            path.unlink(missing_ok=True)
        path.touch()  # in use: `python workbook.py build` removes what is not
        _cut_torn_line(path)
        done = {row["item_id"]: row for row in read_rows(path)}
        missing = [batch for batch in batches if any(item.id not in done for item in batch)]
        for batch in tqdm(missing, desc=name, unit="batch", leave=False, disable=not missing):
            rows = [row for row in _measured(name, batch, measure_batch, settings) if row["item_id"] not in done]
            _append(path, rows)
            done.update({row["item_id"]: row for row in rows})
    return pd.DataFrame([done[i] for i in sorted(ids)])


def _checked_ids(name: str, batches: Sequence[Sequence[Item]]) -> list[str]:
    ids = [item.id for batch in batches for item in batch]
    if not ids:
        raise ValueError(f"{name}: expected at least one item to measure, got none. Check how the items were selected.")
    if repeated := sorted(i for i, n in Counter(ids).items() if n > 1):
        raise ValueError(f"{name}: item ids must differ, but these repeat: {repeated[:5]}. Drop or rename the copies.")
    return ids


def _measured(name: str, batch: Sequence[Item], measure_batch: Callable, settings: dict) -> list[dict]:
    started = time.perf_counter()
    rows = measure_batch(batch)
    seconds = round((time.perf_counter() - started) / len(batch), 4)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name}: measure_batch must return a list of dicts, one per item, got {str(rows)[:80]}.")
    if len(rows) != len(batch):
        raise ValueError(f"{name}: measure_batch must return one row per item: {len(batch)} items, {len(rows)} rows.")
    kept = {key: settings[key] for key in ("condition", "seed") if key in settings}
    pairs = zip(batch, rows, strict=True)
    rows = [{"experiment": name, **kept, "item_id": item.id, **row, "seconds": seconds} for item, row in pairs]
    if [row["item_id"] for row in rows] != [item.id for item in batch]:
        raise ValueError(
            f"{name}: measure_batch must return its rows in the order of the items, without another item_id."
        )
    try:
        return json.loads(json.dumps(rows))  # as they will be read back
    except TypeError as error:
        raise ValueError(
            f"{name}: rows must hold plain values (text, numbers, lists): {error}. "
            "Convert with float(), int() or str()."
        ) from None


def read_rows(path: Path) -> list[dict]:
    """The complete rows of a JSON-lines file, none if there is no file; a line torn by a crash is left out.

    Raises `ValueError` for a line that is no row and not the last one: no crash does that.
    """
    if not path.exists():
        return []
    *lines, _torn = path.read_bytes().split(b"\n")
    return [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, number: int, line: bytes) -> dict:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or "item_id" not in row:
        raise ValueError(
            f"{path}, line {number} is no measured row: {line[:60]!r}. Delete that line to measure its item again."
        )
    return row


def _cut_torn_line(path: Path) -> None:
    """Remove what a crash left after the last complete line, so that the run can go on."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _append(path: Path, rows: list[dict]) -> None:
    """Write rows in one go and make sure that they reach the disk."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def check_rows(rows: pd.DataFrame, *, n: int, scores: str = "score") -> None:
    """Raise `ValueError` listing all that is wrong: rows per condition, repeated items, scores outside 0…1."""
    _check_column(rows, scores)
    groups = rows.groupby("condition") if "condition" in rows and len(rows) else [("all", rows)]
    problems = [f"{name}: {len(group)} rows, expected {n}" for name, group in groups if len(group) != n]
    if rows[scores].isna().any():
        problems.append(f"{int(rows[scores].isna().sum())} scores are missing")
    if not rows[scores].dropna().between(0, 1).all():
        problems.append(f"scores leave 0…1: {rows[scores].min()} to {rows[scores].max()}")
    if rows.duplicated([c for c in ("condition", "item_id", "seed") if c in rows]).any():
        problems.append("some items were measured twice")
    if problems:
        raise ValueError("These rows are not what the experiment should give: " + "; ".join(problems) + ".")


def check_order(rows: pd.DataFrame, conditions: Sequence[str], *, scores: str = "score") -> None:
    """Raise `ValueError` unless the mean scores of `conditions` do not fall, floor first and ceiling last."""
    _check_column(rows, "condition")
    _check_column(rows, scores)
    means = rows.groupby("condition")[scores].mean()
    if absent := [c for c in conditions if c not in means]:
        raise ValueError(f"No rows for {absent}; there are {sorted(means.index)}.")
    ordered = [float(means[c]) for c in conditions]
    if any(math.isnan(mean) for mean in ordered) or ordered != sorted(ordered):
        found = ", ".join(f"{c} {m:.2f}" for c, m in zip(conditions, ordered, strict=True))
        raise ValueError(
            f"Controls are out of order: {found}. A floor above a ceiling means the measurement is broken."
        )


def _check_column(rows: pd.DataFrame, name: str) -> None:
    if name not in rows:
        raise ValueError(f"These rows have no column {name!r}; they have {list(rows.columns)}.")
