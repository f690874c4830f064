"""A workbook of a few lines in a folder: a ledger, lessons, data and verdicts that a test can change one by one."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from helpers.seals import JUDGES, sealed
from helpers.statistics import Estimate
from helpers.verdicts import judge, load_claims

ROOT = Path(__file__).resolve().parent.parent
YES, NO, MAYBE = Estimate(0.7, 0.6, 0.8, 90), Estimate(0.05, 0.0, 0.1, 80), Estimate(0.5, 0.3, 0.7, 70)


def entry(claim_id: str, *parts: str, lessons: tuple[str, ...] = ("03_reading",), **more: str) -> dict:
    """A claim of the ledger, each of its parts supported from 0.50 and refuted up to 0.20."""
    lines = {"metric": "m", "supported": ">= 0.50", "refuted": "<= 0.20"}
    stated = {"id": claim_id, "claim": f"Claim {claim_id}.", "lessons": list(lessons), "hypothesis": "h", "n": 3}
    return stated | {"parts": [{"name": name, **lines} for name in parts]} | more


def write_claims(root: Path, *entries: dict) -> None:
    """Write the ledger."""
    (root / "data/claims.yaml").write_text(yaml.safe_dump({"claims": list(entries)}), "utf-8")


def write_lesson(root: Path, name: str, *cells: str, prose: str = "Read this.") -> None:
    """Write a lesson of code cells with prose before them."""
    markdown = {"cell_type": "markdown", "source": [prose]}
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []} for cell in cells]
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": [markdown, *code]}), "utf-8")


def write_verdict(root: Path, claim_id: str, lesson: str, **estimates: Estimate) -> Path:
    """Write what `record` would write for a claim in the ledger, a part per name; return the path."""
    verdict = judge(load_claims(root / "data/claims.yaml")[claim_id], estimates, lesson=lesson)
    path = root / "data/results" / lesson / f"{claim_id}-{lesson}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sealed(asdict(verdict), root=root)), "utf-8")
    return path


def change(path: Path, old: str, new: str) -> None:
    """Put `new` where `old` stands in a file, which it must."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def make_workbook(root: Path) -> Path:
    """A ledger with the claim C01 of the part a, the lesson 03, one document and the helpers that judge."""
    for folder in ("data/company", "notebooks", "helpers"):
        (root / folder).mkdir(parents=True)
    for name in JUDGES:
        shutil.copy(ROOT / "helpers" / name, root / "helpers")
    write_claims(root, entry("C01", "a"))
    write_lesson(root, "03_reading", "x = 1\n", "def f():\n    return x\n")
    (root / "data/company/air.md").write_bytes(b"It hums.\nSoftly.\n")
    return root
