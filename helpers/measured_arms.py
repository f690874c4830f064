"""What the comparison of the arms measured, kept for the decision.

`07_rag_vs_fine_tuning` keeps it (`keep`), `08_which_one_when` decides by it (`kept`): the learner's own measurement if there is one, else
the one that comes with the workbook. Leaves out: how the arms are weighed (`decision`).
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pandas as pd

from helpers.decision import SCORES, Measured
from helpers.runtime import ROOT, results_folder

FILE = "arms.json"
COMMITTED = ROOT / "data/results/07_rag_vs_fine_tuning" / FILE


def measured(arm: str, name: str, scored: Mapping[str, pd.DataFrame], **known: object) -> Measured:
    """The arm `arm` of the rows in `scored` (by the names of `decision.SCORES`; columns arm, item_id, score) under its name for the decision.

    `known` is the rest of `Measured`: costs, latency, agreement, what it can do. Items are sorted by id, so they are the same for all arms.
    """
    parts = {part: rows[rows.arm == arm].sort_values("item_id") for part, rows in scored.items()}
    if bare := [part for part, rows in parts.items() if not len(rows)]:
        raise ValueError(f"The arm {arm!r} has no rows for {', '.join(bare)}. Measure them first.")
    return Measured(name=name, **{part: rows.score.to_numpy() for part, rows in parts.items()}, **known)


def keep(arms: list[Measured]) -> Path:
    """Write the arms into the results folder; return the path."""
    plain = [{f.name: getattr(arm, f.name) for f in fields(arm)} for arm in arms]
    rows = [row | {name: [int(score) for score in row[name]] for name in SCORES} for row in plain]
    path = results_folder() / FILE
    path.write_text(json.dumps(rows) + "\n", "utf-8", newline="\n")
    return path


def kept() -> tuple[list[Measured], Path]:
    """The arms, and the file they were read from: the learner's own, else the committed one. Raises `ValueError` for a file that is none."""
    path = next((p for p in (results_folder() / FILE, COMMITTED) if p.exists()), None)
    if path is None:
        raise ValueError("No measured arms were found. Run lesson 07 first: it measures them.")
    try:
        return [Measured(**row) for row in json.loads(path.read_text("utf-8"))], path
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold arms as lesson 07 keeps them ({error}). Run lesson 07 again."
        ) from error
