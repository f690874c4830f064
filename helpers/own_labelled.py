"""Can the learner's own labelled data stand where the workbook's stood?

`load_labelled` reads texts with labels or sentences with tagged entities from files, a pandas frame or a Hugging Face data set, with or
without parts of their own, and lists *all* that is wrong at once. Used by `04_fine_tuning_classifiers`. Leaves out: how tables and CoNLL
are read (`labelled_tables`, `labelled_conll`) and what makes data unfit (`labelled_checks`).
"""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from helpers import own_data
from helpers.labelled import PARTS, Labelled, make_labelled
from helpers.labelled_checks import (
    MIN_ITEMS,
    SEED,
    disputed,
    oddities_of,
    problems_of,
    with_all_parts,
    without_shared,
)
from helpers.labelled_conll import Items, looks_tagged, read_conll
from helpers.labelled_tables import from_lines, from_table
from helpers.own_tables import DataProblems, read_frame

CONLL = (".conll", ".bio", ".iob", ".iob2", ".annotated")
ENDINGS = (*own_data.TABLES, *CONLL, ".txt")
SPLITS = {"train": "train", "validation": "dev", "valid": "dev", "dev": "dev", "test": "test"}  # a data set's: ours
KINDS = (
    f"a table ({', '.join(own_data.TABLES)}), CoNLL ({', '.join(CONLL)} or .txt), a .txt file with a tab before each label, a pandas "
    "frame, a Hugging Face data set name, or a dict of these with the keys train, test and dev"
)
ALL_ROWS = 10**9
Source = str | Path | pd.DataFrame


def load_labelled(source: Source | dict[str, Source | list[Source]], *, limit: int = 50_000) -> Labelled:
    """The learner's labelled texts or tagged sentences. Raises `DataProblems`, which lists everything at once.

    Tables need a text column and a label column, or lists of `tokens` and `tags`. In a dict, a list of files is joined. Without a test
    part a fifth is drawn, without a dev part a tenth of train; a part of more than `limit` rows is a draw of so many. Texts that train
    shares with test or dev are taken out of train. `Labelled.notes` tells of that, and of what may mislead.
    """
    if limit < MIN_ITEMS:
        raise ValueError(f"limit must be at least {MIN_ITEMS}, got {limit}: there must be something to learn from.")
    read = _parts(source, limit)
    problems = [problem for found in read.values() for problem in found.problems]
    if len(kinds := {type(item).__name__ for found in read.values() for item in found.items}) > 1:
        problems.append("some parts are labelled texts, others tagged sentences: give all in one form")
    if problems or not kinds:
        raise DataProblems(source, problems or ["there are no rows"])
    named = {part: _numbered(found, part if len(read) > 1 else "row") for part, found in read.items()}
    drawn = with_all_parts({part: _at_most(items, limit) for part, items in named.items()})
    parts, shared = without_shared(drawn)
    if problems := problems_of(parts):
        raise DataProblems(source, [*problems, *shared])
    notes = [note for found in read.values() for note in found.notes]
    notes += [_limit_note(part, len(items), limit) for part, items in named.items() if len(items) > limit]
    return make_labelled(
        _name(source), parts, notes=dict.fromkeys([*notes, *disputed(drawn), *shared, *oddities_of(parts)])
    )


def _parts(source: object, limit: int) -> dict[str, Items]:
    """Every given part, read; a lone source without parts of its own is all train."""
    if isinstance(source, list):
        return {"train": _joined("train", source, limit)}
    if not isinstance(source, dict):
        return {part or "train": found for part, found in _read(source, limit).items()}
    if "train" not in source or set(source) - set(PARTS):
        expected = "expected the keys train and, if you have them, test and dev"
        raise DataProblems(source, [f"{expected}; got {[str(key) for key in source]}"])
    return {part: _joined(part, given if isinstance(given, list) else [given], limit) for part, given in source.items()}


def _joined(part: str, sources: Sequence[Source], limit: int) -> Items:
    """The rows of several sources, one after another; problems and notes say whose they are."""
    found = [_part_of(part, source, limit) for source in sources]
    whose = [f"{part}, {_name(source)}" for source in sources]
    pairs = list(zip(whose, found, strict=True))
    return Items(
        [item for each in found for item in each.items],
        [f"{name}: {problem}" for name, each in pairs for problem in each.problems]
        or [f"{part}: no file"] * (not found),
        [f"{name}: {note}" for name, each in pairs for note in each.notes],
    )


def _part_of(part: str, source: Source, limit: int) -> Items:
    try:
        read = _read(source, limit)
    except DataProblems as error:
        return Items((), error.problems)
    missing = Items((), [f"the data set has no split for {part}: name one, as 'owner/name:split'"])
    return read.get("", read.get(part, missing))


def _read(source: Source, limit: int) -> dict[str, Items]:
    """What one source holds by part; a source that is no part by itself has the key ""."""
    if isinstance(source, pd.DataFrame):
        return {"": from_table(read_frame(source))}
    if not isinstance(source, str | Path) or not str(source).strip():
        raise DataProblems(source, [f"expected {KINDS}"])
    try:
        path = Path(source).expanduser()
        if path.is_file():
            return {"": _from_file(path)}
        if path.is_dir():
            raise DataProblems(source, [f"a folder: name its files, as {{'train': …, 'test': …}}. Expected {KINDS}"])
    except (OSError, RuntimeError) as error:
        raise DataProblems(source, [f"it can't be opened ({error}). Expected {KINDS}"]) from error
    if re.search(r"^[./~]|\\|\.[a-zA-Z]\w{1,8}$", str(source)) or isinstance(source, Path):
        raise DataProblems(source, [f"no such file (looked in {Path.cwd().name}/). Expected {KINDS}"])
    return _from_hub(source, limit)


def _from_file(path: Path) -> Items:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return Items((), [f"files ending in {path.suffix!r} are not read. Expected {KINDS}"])
    text, problem = own_data.read_text_file(path)
    if problem or not text.strip():
        return Items((), [problem or "the file is empty"])
    if ending in own_data.TABLES:
        return from_table(own_data.TABLES[ending](text, path, ALL_ROWS))
    return read_conll(text) if ending in CONLL or looks_tagged(text) else from_lines(text)


def _from_hub(name: str, limit: int) -> dict[str, Items]:
    """A data set of the Hugging Face hub, or of its cache: the split that is named, or all that are parts."""
    from datasets import load_dataset

    parts = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?::([\w.-]+))?", name)
    if not parts:
        named = "a data set is named with its owner, as 'owner/name' or 'owner/name:split'"
        raise DataProblems(name, [f"no such file, and {named}. Expected {KINDS}"])
    repository, config, split = parts.groups()
    try:
        with own_data.offline_if_unreachable() as offline:
            rows = load_dataset(repository, config, split=split)
    except Exception as error:  # datasets passes on those of pyarrow, fsspec and its HTTP library
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = f"no network, and it is not in the cache ({said})" if offline else f"{type(error).__name__}: {said}"
        raise DataProblems(name, [f"the data set could not be loaded: {reason}", f"Expected {KINDS}"]) from error
    splits = {"": rows} if split else {SPLITS[s]: rows[s] for s in rows if s in SPLITS}
    if not split and "train" not in splits:
        raise DataProblems(name, [f"no split train; name one of {list(rows)}: '{repository}:split'"])
    return {part: _from_split(part or split, found, limit) for part, found in splits.items()}


def _from_split(part: str, rows: object, limit: int) -> Items:
    """A split's rows, with the names of classes in place of their numbers (-1: none)."""
    kept = rows.select(_at_most(range(len(rows)), limit))
    frame = kept.to_pandas()
    for column, feature in kept.features.items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            frame[column] = [_class_names(value, names) for value in frame[column]]
    notes = [_limit_note(part, len(rows), limit)] * (len(rows) > limit)
    return replace(from_table(read_frame(frame)), notes=notes)


def _class_names(value: object, names: Sequence[str]) -> object:
    if pd.api.types.is_list_like(value):
        return [_class_names(number, names) for number in value]
    return names[int(value)] if value is not None and value >= 0 else None


def _numbered(found: Items, name: str) -> list:
    return [replace(item, id=f"{name}-{number}") for number, item in enumerate(found.items, 1)]


def _at_most(items: Sequence, limit: int) -> list:
    """All, or a draw of `limit` of them in their order: files are often sorted by label, so the first would not do."""
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in sorted(random.Random(SEED).sample(range(len(items)), limit))]


def _limit_note(part: str, n: int, limit: int) -> str:
    return f"{part} has {n:,} rows, of which {limit:,} were drawn (limit={limit})"


def _name(source: object) -> str:
    """What to call a source: a file's name, a data set's, or that of train."""
    if isinstance(source, dict):
        return _name(source["train"])
    if isinstance(source, list):
        return " + ".join(map(_name, source))
    if isinstance(source, pd.DataFrame):
        return "your data frame"
    name = str(source)
    return Path(name).name if name.lower().endswith(ENDINGS) else name
