"""Does what was measured support the claim, by the threshold that was written down before?

Claims and thresholds live in `data/claims.yaml`. `judge` compares intervals with them; `record` keeps the
verdict as a file. No verdict is ever typed by hand. Used by every lesson from `01_embeddings`. Leaves out:
rendering (`lesson`).
"""

import json
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from helpers.runtime import ROOT, is_quick, machine, machine_row, results_folder
from helpers.seals import sealed
from helpers.statistics import Estimate, n_to_decide

LEDGER = ROOT / "data/claims.yaml"
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_OPPOSITE = {">=": "<", "<=": ">", ">": "<=", "<": ">="}


@dataclass(frozen=True)
class Part:
    """One measurable part of a claim; `supported` and `refuted` are conditions such as `">= 0.20"`."""

    name: str
    metric: str
    supported: str
    refuted: str = ""

    @property
    def threshold(self) -> float:
        """The number that the part is judged by."""
        return float(self.supported.split()[1])


@dataclass(frozen=True)
class Claim:
    """A claim on trial, as the ledger states it."""

    id: str
    claim: str
    lessons: tuple[str, ...]
    hypothesis: str
    n: int
    parts: tuple[Part, ...]
    refuted_by: str = "all"


@dataclass(frozen=True)
class PartVerdict:
    """What was measured for one part, and what follows.

    `n_needed` is a guess of the n that would settle it; `None` if it is settled, or if no n would do: the
    value lies on a line, or between the two lines.
    """

    name: str
    verdict: str
    estimate: Estimate
    supported: str
    refuted: str
    n_needed: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim from the parts measured so far. `open_parts` are tried in other lessons."""

    claim_id: str
    claim: str
    lesson: str
    verdict: str
    parts: tuple[PartVerdict, ...]
    open_parts: tuple[str, ...]
    provisional: bool


def load_claims(path: Path = LEDGER) -> dict[str, Claim]:
    """All claims of the ledger by id.

    Raises `ValueError` for repeated ids, for a condition that is not like `">= 0.20"`, and for conditions
    which one result could satisfy both.
    """
    claims = {}
    for entry in yaml.safe_load(path.read_text("utf-8"))["claims"]:
        if entry["id"] in claims:
            raise ValueError(f"{path.name} states {entry['id']} twice. Ids must differ.")
        claims[entry["id"]] = _claim(entry)
    return claims


def _claim(entry: dict) -> Claim:
    parts = tuple(Part(**part) for part in entry["parts"])
    for part in parts:
        _check_lines(entry["id"], part)
    claim = Claim(**entry | {"parts": parts, "lessons": tuple(entry["lessons"])})
    if claim.refuted_by not in ("all", "any"):
        raise ValueError(f"{claim.id}: refuted_by must be all or any, got {claim.refuted_by!r}.")
    return claim


def _check_lines(claim_id: str, part: Part) -> None:
    """The refutation line must lie on the other side of the threshold: no result may do both."""
    sign, threshold = _parse(part.supported)
    if not part.refuted:
        return
    other, line = _parse(part.refuted)
    reversed_sign = other[0] != sign[0]
    apart = line < threshold if sign[0] == ">" else line > threshold
    touching = line == threshold and not (sign.endswith("=") and other.endswith("="))
    if not reversed_sign or not (apart or touching):
        raise ValueError(
            f"{claim_id}, {part.name}: one result could satisfy both {part.supported!r} and {part.refuted!r}."
            " Put the refutation line on the other side of the threshold."
        )


def _parse(condition: str) -> tuple[str, float]:
    match = re.fullmatch(r"(>=|<=|>|<) (-?\d+(?:\.\d+)?)", condition)
    if not match:
        raise ValueError(f"A condition is a comparison and a number such as '>= 0.20', got {condition!r}.")
    return match[1], float(match[2])


def _holds(condition: str, estimate: Estimate) -> bool:
    """Whether the whole interval satisfies the condition."""
    sign, number = _parse(condition)
    return _COMPARE[sign](estimate.low, number) and _COMPARE[sign](estimate.high, number)


def judge_part(part: Part, estimate: Estimate) -> PartVerdict:
    """`supported`, `refuted` or `inconclusive`, from where the whole interval lies."""
    sign, _ = _parse(part.supported)
    refuted = part.refuted or f"{_OPPOSITE[sign]} {part.supported.split()[1]}"
    if _holds(part.supported, estimate):
        return PartVerdict(part.name, "supported", estimate, part.supported, refuted)
    if _holds(refuted, estimate):
        return PartVerdict(part.name, "refuted", estimate, part.supported, refuted)
    return PartVerdict(
        part.name,
        "inconclusive",
        estimate,
        part.supported,
        refuted,
        _n_needed(estimate, part.supported, refuted),
    )


def _n_needed(estimate: Estimate, *conditions: str) -> int | None:
    """The n at which the condition that holds for the value would hold for its interval, if there is one."""
    lines = [line for sign, line in map(_parse, conditions) if _COMPARE[sign](estimate.value, line)]
    return n_to_decide(estimate, lines[0]) if lines else None


def judge(claim: Claim, estimates: Mapping[str, Estimate], *, lesson: str) -> Verdict:
    """The verdict on `claim` from estimates by part name.

    Raises `ValueError` for unknown parts, no parts, or no finite interval. Whether there are as many items as
    `claim.n` asks for is for the lesson to check: parts differ in their items.
    """
    known = {part.name: part for part in claim.parts}
    if not estimates or set(estimates) - set(known):
        raise ValueError(f"{claim.id} has the parts {list(known)}; got estimates for {list(estimates)}.")
    for name, e in estimates.items():
        if not all(map(math.isfinite, (e.value, e.low, e.high))):
            raise ValueError(f"{claim.id}, {name}: expected a finite estimate, got {e}. Check the rows behind it.")
    parts = tuple(judge_part(known[name], estimates[name]) for name in known if name in estimates)
    open_parts = tuple(name for name in known if name not in estimates)
    return Verdict(claim.id, claim.claim, lesson, together(claim, parts), parts, open_parts, is_quick())


def together(claim: Claim, parts: tuple[PartVerdict, ...]) -> str:
    """The verdict on a claim from those on its parts, by the claim's rule."""
    found = {part.verdict for part in parts}
    if claim.refuted_by == "any" and "refuted" in found:
        return "refuted"
    if len(found) == 1:
        return found.pop()
    supported = [part.name for part in parts if part.verdict == "supported"]
    return f"supported only if limited to: {', '.join(supported)}" if supported else "inconclusive"


def record(verdict: Verdict) -> Path:
    """Write the verdict, the machine it was measured on and its seal into the results folder; return the path."""
    path = results_folder() / f"{verdict.claim_id}-{verdict.lesson}.json"
    row = sealed(asdict(verdict) | {"machine": machine_row(machine())})
    path.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", "utf-8", newline="\n")
    return path
