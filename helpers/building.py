"""How do the committed lessons, their rows and the README's picture come about?

`python workbook.py build` runs a lesson in full, writes it back over itself, keeps the rows it measured in
`data/results/<lesson>/` and the figure of its cell `plot` beside them. Rows that are already there are read back, not measured
again; rows that the lesson no longer asks for are removed. Taught in no lesson. Leaves out: quick runs, which leave no trace.
"""

import base64
import json
import os
import time
from pathlib import Path

from nbformat import NotebookNode

from helpers.execution import watched, write_notebook
from helpers.runtime import ROOT, machine_row
from helpers.runtime import machine as machine_here

RESULTS = ROOT / "data/results"


def build_lesson(path: Path, *, quick: bool = False, results: Path = RESULTS) -> bool:
    """Run a lesson and write it back over itself. One that stops leaves its file as it was: False."""
    if quick:
        notebook, finished = watched(path, quick)
    else:
        notebook, finished = _measured_into(results / path.stem, path)
    if finished:
        write_notebook(notebook, path)
        if not quick:
            write_picture(notebook, results / f"{path.stem}.png")
    print(f"written to {path}" if finished else f"{path} is left as it was", flush=True)
    return finished


def _measured_into(folder: Path, path: Path) -> tuple[NotebookNode, bool]:
    started = time.time()
    before = os.environ.get("WORKBOOK_RESULTS")
    os.environ["WORKBOOK_RESULTS"] = str(folder)
    try:
        notebook, finished = watched(path, False)
    finally:
        if before is None:
            del os.environ["WORKBOOK_RESULTS"]
        else:
            os.environ["WORKBOOK_RESULTS"] = before
    if finished and folder.exists():
        remove_unused(folder, started)
        machine = json.dumps(machine_row(machine_here()), indent=1)
        (folder / "machine.json").write_text(machine + "\n", "utf-8", newline="\n")
    return notebook, finished


def remove_unused(folder: Path, since: float) -> list[str]:
    """Remove rows and verdicts in `folder` that no experiment has touched `since` (seconds since 1970); return their names."""
    unused = [
        file for file in sorted(folder.glob("*.json*")) if file.suffix != ".lock" and file.stat().st_mtime < since
    ]
    for file in unused:
        file.unlink()
    return [file.name for file in unused]


def write_picture(notebook: NotebookNode, path: Path) -> bool:
    """Write the first figure of the cell with the id `plot`; False if there is none."""
    cells = [cell for cell in notebook.cells if cell.get("id") == "plot"]
    images = [
        output.data["image/png"] for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    if images:
        path.write_bytes(base64.b64decode(images[0]))
    return bool(images)
