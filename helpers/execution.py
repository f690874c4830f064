"""How is a lesson run with nobody clicking, and kept so that two runs of it differ in nothing?

`python workbook.py run` and `build` come here, and so do the tests of the lessons. Taught in no lesson: this
is the workbook's own workshop. Leaves out: running lessons in parallel (two of them starve each other on two
cores), and Output widgets (a cell that draws into one can block nbclient; the lessons use none).
"""

import argparse
import copy
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from helpers.runtime import ROOT, children_peak_mb, is_quick

NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
WIDGET = "application/vnd.jupyter.widget-view+json"
MY_DATA_LINE = re.compile(r"^MY_DATA = None\b", re.MULTILINE)


class LessonError(RuntimeError):
    """A lesson stopped before its end. `notebook` is the lesson as far as it came, with its outputs."""

    def __init__(self, message: str, notebook: NotebookNode) -> None:
        super().__init__(message)
        self.notebook = notebook


def lesson_paths(folder: Path = NOTEBOOKS) -> list[Path]:
    """All lessons in `folder`, in their order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def lesson_path(lesson: str, *, folder: Path = NOTEBOOKS) -> Path:
    """Return the path of a lesson by number (`3`, `03`), name (`generation`) or both (`03_generation`).

    `.ipynb` may follow. Raises `ValueError` with the list of lessons when there is no such lesson.
    """
    wanted = lesson.removesuffix(".ipynb")
    for path in lesson_paths(folder):
        number, _, name = path.stem.partition("_")
        if wanted in (path.stem, name) or (wanted.isdecimal() and int(wanted) == int(number)):
            return path
    there = ", ".join(path.stem for path in lesson_paths(folder)) or f"none in {folder}"
    raise ValueError(f"There is no lesson {lesson!r}. Give a number or a name of these: {there}.")


def execute(
    path: Path,
    *,
    quick: bool = False,
    data: str | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    timeout_s: int = 3600,
    extra_source: str | None = None,
) -> NotebookNode:
    """Run a notebook from top to bottom in its own folder, in a new kernel of the Python that runs this.

    `quick` sets `QUICK=1` for the lesson; without it `QUICK` is unset. `data` takes the place of `None` in
    the lesson's line `MY_DATA = None`. `on_cell(i, n)` is called before the i-th of n code cells starts, from
    1 on. `timeout_s` holds for each cell. `extra_source` becomes one more code cell at the end. The file
    stays as it is. Raises `LessonError` with the partly executed notebook, `ValueError` if `data` finds none.
    """
    notebook = _prepared(path, data, extra_source)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    current = 0

    def before_cell(**_: object) -> None:
        nonlocal current
        current += 1
        if on_cell:
            on_cell(current, len(code_cells))

    client = _client(notebook, folder=path.resolve().parent, timeout_s=timeout_s)
    client.on_cell_execute = before_cell
    try:
        return client.execute(env=_environment(quick))
    except Exception as error:
        if getattr(client, "_async_cleanup_kernel_future", None):  # Ctrl-C: nbclient has ended the kernel
            raise KeyboardInterrupt from None
        if not isinstance(error, CellExecutionError | CellTimeoutError | DeadKernelError):
            raise
        where = f"{path.stem} stopped in code cell {current} of {len(code_cells)}"
        source = code_cells[current - 1].source if current else ""
        raise LessonError(f"{where}:\n{_shortened(source)}\n{_reason(error, timeout_s)}", notebook) from error


def _prepared(path: Path, data: str | None, extra_source: str | None) -> NotebookNode:
    """Read the notebook without the outputs of earlier runs, so that a run which stops shows only its own."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if data is not None:
        _set_my_data(notebook, data, path.stem)
    if extra_source is not None:
        notebook.cells.append(nbformat.v4.new_code_cell(extra_source, id="extra-source"))
    return notebook


def _set_my_data(notebook: NotebookNode, data: str, lesson: str) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and MY_DATA_LINE.search(cell.source):
            cell.source = MY_DATA_LINE.sub(lambda _: f"MY_DATA = {data!r}", cell.source, count=1)
            return
    raise ValueError(f"{lesson} takes no data of yours: it has no line 'MY_DATA = None'. Run it without --data.")


def _client(notebook: NotebookNode, *, folder: Path, timeout_s: int) -> NotebookClient:
    """A client whose kernel is this very Python, whatever kernels are registered on the machine."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout_s,
        resources=resources,
        extra_arguments=["--log-level=CRITICAL"],  # what it logs of itself is no affair of the reader
        store_widget_state=False,
        record_timing=False,
    )
    client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    return client


def _environment(quick: bool) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "QUICK"}
    return inherited | {"QUICK": "1"} if quick else inherited


def _reason(error: Exception, timeout_s: int) -> str:
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    if isinstance(error, CellTimeoutError):
        return f"The cell was still running after {timeout_s} s, the most that is allowed here."
    advice = "Close other programs and run again, or run with --quick, which takes less."
    return f"The kernel died, most often because the memory was used up. {advice}"


def _shortened(source: str, n_lines: int = 12) -> str:
    lines = source.splitlines()
    shown = lines[:n_lines] + (["…"] if len(lines) > n_lines else [])
    return "\n".join(f"    {line}" for line in shown)


def values_of(path: Path, names: Sequence[str], **options: Any) -> dict[str, Any]:
    """Run a notebook (`options` as for `execute`) and return what `names` hold at its end, as JSON values.

    A name may be any expression, such as `len(rows)`. NumPy arrays and scalars come as lists and numbers.
    """
    pairs = ", ".join(f"{name!r}: {name}" for name in names)
    source = f"import json\nprint(json.dumps({{{pairs}}}, default=lambda value: value.tolist()))"
    printed = execute(path, extra_source=source, **options).cells[-1].outputs
    stdout = "".join(output.text for output in printed if output.get("name") == "stdout")
    return json.loads(stdout.splitlines()[-1])


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without all that differs between two runs or that GitHub can't show.

    Widgets and their state, timings, stderr (progress bars, warnings) and the machine's kernel go; stdout
    that came in pieces is joined; executed cells are counted from 1. Sources and cell ids stay as they are.
    """
    kept = copy.deepcopy(notebook)
    kept.metadata.pop("widgets", None)
    kept.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    kept.metadata["language_info"] = {"name": "python"}
    for cell in kept.cells:
        cell.metadata.pop("execution", None)
    executed = [cell for cell in kept.cells if cell.cell_type == "code" and cell.execution_count is not None]
    for count, cell in enumerate(executed, start=1):
        cell.execution_count = count
        cell.outputs = _kept_outputs(cell.outputs, count)
    return kept


def _kept_outputs(outputs: list[NotebookNode], count: int) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
            continue
        if output.output_type == "execute_result":
            output.execution_count = count
        kept.append(output)
    return kept


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook in one step (an interruption leaves the old file whole), with LF on every system."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    unfinished.replace(path)


def write_html(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook as one HTML page, figures inside it, titled by the file's name."""
    from nbconvert import HTMLExporter  # takes a second, which the tests of lessons need not spend

    page, _ = HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    path.write_text(page, encoding="utf-8")


def run_lesson(path: Path, *, out: Path = RUNS, quick: bool = False, data: str | None = None) -> bool:
    """Run a lesson and write `<out>/<lesson>.ipynb` and `.html`, even if it stops; True when it did not."""
    notebook, finished = watched(path, quick, data)
    out.mkdir(parents=True, exist_ok=True)
    write_notebook(notebook, out / path.name)
    write_html(notebook, out / f"{path.stem}.html")
    print(f"see {out / path.stem}.html", flush=True)
    return finished


def watched(path: Path, quick: bool, data: str | None = None) -> tuple[NotebookNode, bool]:
    """Execute and count the cells on one line (on a terminal) or on one line each (in a log).

    Returns the normalised notebook and whether it came to its end; prints time and peak memory.
    """
    started = time.monotonic()
    end = "\r" if sys.stdout.isatty() else "\n"

    def show(number: int, total: int) -> None:
        seconds = time.monotonic() - started
        print(f"{path.stem}: cell {number} of {total}, {seconds:.0f} s", end=end, flush=True)

    try:
        notebook, how = execute(path, quick=quick, data=data, on_cell=show), "done in"
    except LessonError as problem:
        notebook, how = problem.notebook, "FAILED after"
        print(f"\n{problem}")
    memory = f"peak memory {children_peak_mb():.0f} MB, " if os.name != "nt" else ""
    print(f"{path.stem}: {how} {time.monotonic() - started:.0f} s, {memory}", end="")
    return normalise(notebook), how == "done in"


def main(arguments: list[str]) -> int:
    """`python -m helpers.execution run|build …`, quick when `QUICK=1`; 0 when all came to their end."""
    parser = argparse.ArgumentParser(prog="python workbook.py")
    parser.add_argument("task", choices=["run", "build"])
    parser.add_argument("lessons", nargs="*")
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, default=RUNS)
    options = parser.parse_args(arguments)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else the kernel's debugger warns about itself
    try:
        quick = is_quick()
        paths = [lesson_path(lesson) for lesson in options.lessons] or lesson_paths()
        if options.task == "build":
            from helpers.building import build_lesson  # it needs this module

            done = [build_lesson(path, quick=quick) for path in paths]
        else:
            done = [run_lesson(path, out=options.out, quick=quick, data=options.data) for path in paths]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
