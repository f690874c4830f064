"""Would a recorded verdict still come out the same: same claim, same lesson, same data, and nobody's hand in the file?

`verdicts.record` seals every file with three fingerprints: of what judged it, of the data, and of the file's own content. If one
no longer fits, the lesson has to be built again. What a measurement itself depends on (prompts, model, items) is not in the seal:
it is in the rows' file names (`experiments.fingerprint`). Taught in no lesson. Leaves out: packages and machines, intent.
"""

import ast
import hashlib
import json
from pathlib import Path

import yaml

from helpers.experiments import fingerprint
from helpers.runtime import ROOT

JUDGES = ("statistics.py", "verdicts.py", "scoring.py", "ranking_metrics.py")  # they turn rows into verdicts
NOT_MEASURED_ON = {"results", "adapters", "claims.yaml", "README.md"}  # in data/; a claim's own entry counts elsewhere


def sealed(row: dict, *, root: Path = ROOT) -> dict:
    """The row of a verdict with its seal: `{"judged_by": …, "data": …, "content": …}`."""
    seal = {"judged_by": judged_by(row["claim_id"], row["lesson"], root=root), "data": data_of(root)}
    return row | {"seal": seal | {"content": fingerprint(row | {"seal": seal})}}


def broken(row: dict, *, root: Path = ROOT) -> list[str]:
    """What is wrong with the seal of a verdict's row, in words; nothing if it fits."""
    if "seal" not in row:
        return ["not sealed"]
    seal = dict(row["seal"])
    content = seal.pop("content", "")
    found = [] if content == fingerprint(row | {"seal": seal}) else ["changed by hand"]
    if seal.get("judged_by") != judged_by(row["claim_id"], row["lesson"], root=root):
        found.append("stale: the claim, the lesson's code or the code that judges has changed")
    return found + ([] if seal.get("data") == data_of(root) else ["stale: the data have changed"])


def judged_by(claim_id: str, lesson: str, *, root: Path = ROOT) -> str:
    """The fingerprint of the ledger's entry, the lesson's code and the judging helpers; prose and comments don't count."""
    ledger = yaml.safe_load((root / "data/claims.yaml").read_text("utf-8"))["claims"]
    entry = [entry for entry in ledger if entry["id"] == claim_id]
    judges = {name: code((root / "helpers" / name).read_text("utf-8")) for name in JUDGES}
    return fingerprint(entry, lesson_code(root / "notebooks" / f"{lesson}.ipynb"), judges)


def lesson_code(path: Path) -> list:
    """The statements of a notebook's code cells, however they are cut into cells; none if there is no such notebook."""
    cells = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else []
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [statement for source in sources for statement in code(source)]


def code(source: str) -> list:
    """The statements of a source as plain lists, without comments, blank space and docstrings.

    Unlike `ast.dump` the same in every version of Python. A cell in IPython's own syntax is taken as it is.

    >>> code("x = 1  # one") == code("x=1"), code("x = 1") == code("x = 2")
    (True, False)
    """
    try:
        return _plain(ast.parse(source))[1].get("body", [])
    except SyntaxError:
        return [source]


def _plain(node: object) -> object:
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    kept = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and ast.get_docstring(node) is not None:
        kept["body"] = node.body[1:]
    return [type(node).__name__, {name: _plain(value) for name, value in kept.items()}]


def data_of(root: Path = ROOT) -> str:
    """The fingerprint of what lessons measure on: names and bytes in data/, whatever the line ends; no hidden files."""
    folder, digests = root / "data", {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in NOT_MEASURED_ON and "/." not in f"/{name.as_posix()}":
            content = path.read_bytes()
            text = b"\0" not in content
            digests[name.as_posix()] = hashlib.sha256(content.replace(b"\r\n", b"\n") if text else content).hexdigest()
    return fingerprint(digests)
