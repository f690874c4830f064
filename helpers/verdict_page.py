"""What came out for each claim, on one page, and does every verdict still stand?

A claim tried in several lessons has a file from each. Each part counts as the last lesson measured it, and the claim's own rule makes
one verdict of its parts. `python workbook.py verdicts` prints the page and what is wrong with it; the README shows the same page.
Leaves out: judging (`verdicts`), what a seal covers (`seals`).
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from helpers.runtime import ROOT
from helpers.seals import broken
from helpers.statistics import Estimate
from helpers.verdicts import Claim, PartVerdict, load_claims, together

LEDGER, BEGIN, END = "data/claims.yaml", "<!-- verdicts: begin -->", "<!-- verdicts: end -->"
GROUPS = {  # in the order of the page: what is most worth knowing comes first
    "refuted": "every part measured, or one where one is enough, lies with its whole interval beyond the line that refutes it",
    "supported only if limited": "some parts hold with their whole interval; others don't, or can't be told yet",
    "inconclusive": "no part holds, and some interval lies across a line or between the two",
    "supported": "every part measured holds with its whole interval",
}


@dataclass(frozen=True)
class JointVerdict:
    """The verdict on a claim from all lessons that tried it; `lessons` names for each of `parts` the one that measured it."""

    claim_id: str
    claim: str
    verdict: str
    parts: tuple[PartVerdict, ...]
    lessons: tuple[str, ...]
    open_parts: tuple[str, ...]
    provisional: bool

    @property
    def group(self) -> str:
        """Its key in `GROUPS`."""
        return next(group for group in GROUPS if self.verdict.startswith(group))

    @property
    def said(self) -> str:
        """The verdict and what it lacks."""
        return self.verdict + " so far" * bool(self.open_parts) + " (provisional)" * self.provisional


def load_verdicts(root: Path = ROOT) -> list[JointVerdict]:
    """The verdicts on the claims that were tried, in the order of the ledger. Raises `ValueError` for a file that is none."""
    rows = _rows(root)
    return [_joined(claim, rows[claim.id]) for claim in load_claims(root / LEDGER).values() if claim.id in rows]


def _rows(root: Path) -> dict[str, list[dict]]:
    """The committed verdict files by claim, in the order of the lessons; without those of this machine, in `local`."""
    found = defaultdict(list)
    for path in sorted((root / "data/results").glob("[0-9][0-9]_*/C??-*.json")):
        try:
            row = json.loads(path.read_text("utf-8"))
            found[row["claim_id"]].append(row)
        except (ValueError, TypeError, KeyError):
            raise ValueError(_problem(f"{path}", "this is no verdict", [path.parent.name])) from None
    return dict(found)


def _joined(claim: Claim, rows: Sequence[dict]) -> JointVerdict:
    measured = {part["name"]: (part, row) for row in rows for part in row["parts"]}
    used = [measured[part.name] for part in claim.parts if part.name in measured]
    parts = tuple(PartVerdict(**part | {"estimate": Estimate(**part["estimate"])}) for part, _ in used)
    lessons = tuple(row["lesson"] for _, row in used)
    open_parts = tuple(part.name for part in claim.parts if part.name not in measured)
    provisional = any(row["provisional"] for _, row in used)
    return JointVerdict(claim.id, claim.claim, together(claim, parts), parts, lessons, open_parts, provisional)


def problems(root: Path = ROOT) -> list[str]:
    """Why the page does not stand as it is, a line each: what is missing, provisional, stale or changed by hand.

    Parts that wait for a lesson yet to be written are no problem: the page says "so far".
    """
    rows, claims, found = _rows(root), load_claims(root / LEDGER), []
    for claim in claims.values():
        there = rows.get(claim.id, [])
        if missing := _joined(claim, there).open_parts:
            untried = [lesson for lesson in claim.lessons if lesson not in {row["lesson"] for row in there}]
            if there and untried and not any((root / f"notebooks/{lesson}.ipynb").exists() for lesson in untried):
                continue
            what = f"not measured yet: {', '.join(missing)}" if there else "no verdict yet"
            found.append(_problem(claim.id, what, untried or claim.lessons))
    for row in sum(rows.values(), []):
        claim_id, lesson = row["claim_id"], row["lesson"]
        wrong = [f"not in {LEDGER}"] * (claim_id not in claims) + ["provisional: a quick run"] * row["provisional"]
        found += [_problem(f"{claim_id} in {lesson}", what, [lesson]) for what in wrong + broken(row, root=root)]
    return found


def _problem(where: str, what: str, lessons: Sequence[str]) -> str:
    return f"{where}: {what}. Run: python workbook.py build {' '.join(lesson[:2] for lesson in lessons)}"


def _in_order(verdicts: Sequence[JointVerdict]) -> list[JointVerdict]:
    return sorted(verdicts, key=lambda verdict: (list(GROUPS).index(verdict.group), verdict.claim_id))


def _measured(part: PartVerdict) -> str:
    return f"{part.name}: {part.estimate}, needs {part.supported}: {part.verdict}"


def as_markdown(verdicts: Sequence[JointVerdict]) -> str:
    """The page as GitHub shows it: what the verdicts mean, then a table with a row per claim."""
    counts = Counter(verdict.group for verdict in verdicts)
    lines = [f"- **{group}** ({counts[group]}): {meaning}" for group, meaning in GROUPS.items() if counts[group]]
    lines += ["", "| claim | verdict | part: estimate [interval], n | lesson |", "|---|---|---|---|"]
    for verdict in _in_order(verdicts):
        cells = [_cell(f"{verdict.claim_id}: {verdict.claim}"), _cell(verdict.said)]
        cells.append("<br>".join(_cell(_measured(part)) for part in verdict.parts))
        cells.append(", ".join(f"[{name[:2]}](notebooks/{name}.ipynb)" for name in dict.fromkeys(verdict.lessons)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """A text that neither ends its cell nor begins a tag."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def as_html(verdicts: Sequence[JointVerdict]) -> HTML:
    """The table for a lesson, with a row per part; texts are escaped."""
    from helpers.lesson import table  # brings widgets and figures, which the command does without

    rows = []
    for verdict in _in_order(verdicts):
        firsts = [(f"{verdict.claim_id}: {verdict.claim}", verdict.said)] + [("", "")] * len(verdict.parts)
        rows += [(*first, _measured(p), s) for first, p, s in zip(firsts, verdict.parts, verdict.lessons, strict=False)]
    return table(pd.DataFrame(rows, columns=["claim", "verdict", "part: estimate [interval], n", "lesson"]))


def with_page(text: str, page: str) -> str:
    """A Markdown text with `page` between its markers, blank lines around it. Raises `ValueError` unless each is there once, in order."""
    parts = re.split(f"({BEGIN}|{END})", text)
    if parts[1::2] != [BEGIN, END]:
        raise ValueError(f"README.md must have one line {BEGIN} and after it one line {END}. Put them there.")
    return "".join([*parts[:2], f"\n\n{page}\n\n", *parts[3:]])


def update_readme(root: Path = ROOT) -> None:
    """Write the page into the README, between its markers."""
    path = root / "README.md"
    path.write_text(with_page(path.read_text("utf-8"), as_markdown(load_verdicts(root))), "utf-8", newline="\n")


def main(arguments: Sequence[str], *, root: Path = ROOT) -> int:
    """`python -m helpers.verdict_page [--readme]`: print the page and its problems; 1 if there are any."""
    try:
        print(as_markdown(load_verdicts(root)), end="\n\n")
        if "--readme" in arguments:
            update_readme(root)
        found = problems(root)
    except ValueError as error:
        found = [str(error)]
    print(*(found or ["Every verdict stands."]), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
