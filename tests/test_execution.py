"""How lessons are run without a reader: what they are given, what comes back, what an early end leaves."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.execution import (
    WIDGET,
    LessonError,
    execute,
    lesson_path,
    main,
    normalise,
    run_lesson,
    values_of,
    write_notebook,
)

ROOT = Path(__file__).resolve().parent.parent
NOISY = [  # all that differs between two runs, or that GitHub can't show
    "import sys, time\nfor step in range(3):\n    print(step, flush=True)\n"
    "    print('|' * step, file=sys.stderr)\n"
    "    sys.stderr.flush()\n    time.sleep(0.05)",
    "import ipywidgets\nipywidgets.IntSlider()",
    "",
    "from tqdm.auto import tqdm\ntotal = sum(tqdm(range(3)))\ntotal",
    "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()",
]


def lesson(folder: Path, *sources: str, name: str = "03_toy") -> Path:
    """Write a lesson of a title and code cells, as if an earlier run had left a number in each."""
    cells = [new_markdown_cell("# A toy", id="title")]
    for number, source in enumerate(sources):
        stale = [new_output("stream", text="of an earlier run")]
        cells.append(new_code_cell(source, id=f"cell-{number}", outputs=stale, execution_count=90 + number))
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What the code cells printed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in code]


# --- finding lessons ---


@pytest.mark.parametrize("given", ["3", "03", "generation", "03_generation", "03_generation.ipynb"])
def test_a_lesson_is_found_by_number_or_name(tmp_path, given):
    for name in ["02_retrieval", "03_generation", "13_generations"]:
        lesson(tmp_path, name=name)
    assert lesson_path(given, folder=tmp_path) == tmp_path / "03_generation.ipynb"


@pytest.mark.parametrize("given", ["4", "gen", "", "../03_generation"])
def test_an_unknown_lesson_is_told_with_all_there_are(tmp_path, given):
    for name in ["03_generation", "00_start_here"]:
        lesson(tmp_path, name=name)
    with pytest.raises(ValueError, match="Give a number or a name of these: 00_start_here, 03_generation."):
        lesson_path(given, folder=tmp_path)


# --- what a lesson is given ---


def test_values_come_back_as_json(tmp_path):
    path = lesson(tmp_path, "import numpy as np\nrows = ['a', 'ü']\nscores = np.array([[1, 2]])\nprint('x', end='')")
    got = values_of(path, ["rows", "scores", "scores.mean()", "len(rows)"])
    assert got == {"rows": ["a", "ü"], "scores": [[1, 2]], "scores.mean()": 1.5, "len(rows)": 2}
    assert "json" not in path.read_text("utf-8"), "the lesson itself stays as it is"


def test_data_and_quick_reach_the_lesson_at_their_places(tmp_path):
    path = lesson(
        tmp_path,
        "import os\nTITLE = 'MY_DATA = None'\nMY_DATA = None  # yours\nquick = os.environ.get('QUICK')",
    )
    data = 'C:\\new\\it\'s "mine".csv'
    assert values_of(path, ["MY_DATA", "TITLE", "quick"], data=data, quick=True) == {
        "MY_DATA": data,
        "TITLE": "MY_DATA = None",
        "quick": "1",
    }


def test_a_full_run_is_full_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("QUICK", "1")
    path = lesson(tmp_path, "import os\nMY_DATA = None")
    assert values_of(path, ["os.environ.get('QUICK')", "MY_DATA"]) == {
        "os.environ.get('QUICK')": None,
        "MY_DATA": None,
    }


def test_data_for_a_lesson_that_takes_none_is_refused_before_anything_runs(tmp_path):
    path = lesson(tmp_path, "open('ran', 'w')\nMY_DATA = [1]\nprint('MY_DATA = None')")
    with pytest.raises(ValueError, match="03_toy takes no data of yours: it has no line 'MY_DATA = None'"):
        execute(path, data="mine.csv")
    assert not (tmp_path / "ran").exists()


def test_a_lesson_runs_in_its_folder_with_this_python_whatever_kernels_are_registered(tmp_path, monkeypatch):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["no-such-python"], "display_name": "", "language": ""}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    path = lesson(tmp_path, "import os, sys")
    got = values_of(path, ["sys.executable", "os.getcwd()"])
    assert Path(got["sys.executable"]) == Path(sys.executable)
    assert Path(got["os.getcwd()"]) == tmp_path.resolve()


# --- an end before the end ---


def test_a_failing_cell_is_told_with_source_and_error_and_the_work_until_then_is_kept(tmp_path):
    path = lesson(
        tmp_path, "print('first')", "x = 1\nprint(x)\nraise ValueError('expected 2, got 1')", "print('third')"
    )
    counted = []
    with pytest.raises(LessonError) as stopped:
        execute(path, on_cell=lambda number, total: counted.append((number, total)))
    said = str(stopped.value)
    assert said.startswith("03_toy stopped in code cell 2 of 3:\n    x = 1\n    print(x)\n    raise ValueError")
    assert said.endswith("\nValueError: expected 2, got 1")
    assert texts(stopped.value.notebook) == ["first\n", "1\n", ""], "nothing of an earlier run"
    assert counted == [(1, 3), (2, 3)]


def test_a_long_cell_that_fails_is_shown_shortened(tmp_path):
    path = lesson(tmp_path, "\n".join([*(f"x{i} = {i}" for i in range(40)), "1 / 0"]))
    with pytest.raises(LessonError) as stopped:
        execute(path)
    assert str(stopped.value).count("\n") < 16 and str(stopped.value).endswith("ZeroDivisionError: division by zero")


def test_a_kernel_that_dies_is_told_as_want_of_memory(tmp_path):
    path = lesson(tmp_path, "print('first')", "import os\nos._exit(1)")
    with pytest.raises(LessonError, match="code cell 2 of 2(.|\n)*kernel died.*memory.*--quick") as stopped:
        execute(path)
    assert texts(stopped.value.notebook)[0] == "first\n"


def test_a_cell_that_takes_too_long_is_stopped(tmp_path):
    path = lesson(tmp_path, "import time\ntime.sleep(60)")
    started = time.monotonic()
    with pytest.raises(LessonError, match="still running after 1 s"):
        execute(path, timeout_s=1)
    assert time.monotonic() - started < 30


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_the_run_without_a_traceback_and_without_blaming_memory(tmp_path):
    path = lesson(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')\nimport time\ntime.sleep(60)")
    found = f"e.lesson_path = lambda _: pathlib.Path({str(path)!r})"
    code = f"import helpers.execution as e, pathlib, sys\n{found}\nsys.exit(e.main(['run', '03']))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "started").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.strip() == "Stopped."


# --- what is kept ---


def test_two_runs_differ_in_nothing_once_normalised(tmp_path):
    path = lesson(tmp_path, *NOISY)
    one, other = (nbformat.writes(normalise(execute(path))) for _ in range(2))
    assert one == other
    kept = nbformat.reads(one, as_version=4)
    assert texts(kept)[0] == "0\n1\n2\n", "stdout whole, stderr gone"
    assert WIDGET not in one and "widgets" not in kept.metadata
    assert "image/png" in kept.cells[-1].outputs[0].data
    nbformat.validate(kept)


def noisy_notebook() -> nbformat.NotebookNode:
    """A notebook with everything that `normalise` is there for, made by hand."""
    view = {WIDGET: {"model_id": "5f3a"}, "text/plain": "IntSlider(value=0)"}
    outputs = [
        new_output("stream", name="stdout", text="one "),
        new_output("stream", name="stderr", text="100%|####|"),
        new_output("stream", name="stdout", text="two"),
        new_output("display_data", data=view),
        new_output("execute_result", data={"text/plain": "3"}, execution_count=17),
    ]
    code = new_code_cell("1 + 2", id="mine", execution_count=17, outputs=outputs)
    code.metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    code.metadata["tags"] = ["exercise"]
    cells = [new_markdown_cell("text", id="intro"), code, new_code_cell("# not run", id="after")]
    kernel = {"name": "conda-env-mine", "display_name": "mine", "language": "python"}
    metadata = {
        "widgets": {"x": {}},
        "kernelspec": kernel,
        "language_info": {"name": "python", "version": "3.11.7"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def test_normalise_drops_what_differs_and_keeps_what_is_ours():
    before = noisy_notebook()
    after = normalise(before)
    assert after.metadata == {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    assert [cell.id for cell in after.cells] == ["intro", "mine", "after"]
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    code = after.cells[1]
    assert code.metadata == {"tags": ["exercise"]} and code.execution_count == 1
    assert [output.get("text") or output.data["text/plain"] for output in code.outputs] == ["one two", "3"]
    assert code.outputs[1].execution_count == 1
    assert after.cells[2].execution_count is None, "a cell that was not run has no number"
    assert before == noisy_notebook(), "the notebook that was given stays as it was"


def test_normalising_twice_is_normalising_once():
    once = normalise(noisy_notebook())
    assert normalise(once) == once


def test_run_leaves_a_notebook_and_a_page_even_of_a_lesson_that_fails(tmp_path, capsys):
    path, out = lesson(tmp_path, "print('kept')", "1 / 0"), tmp_path / "new" / "out"
    assert run_lesson(path, out=out) is False
    assert texts(nbformat.read(out / "03_toy.ipynb", as_version=4))[0] == "kept\n"
    page = (out / "03_toy.html").read_text("utf-8")
    assert "kept" in page and "ZeroDivisionError" in page and "<title>03_toy</title>" in page
    said = capsys.readouterr().out
    assert "03_toy: cell 2 of 2, " in said and "    1 / 0\nZeroDivisionError: division by zero" in said
    assert re.search(
        rf"03_toy: FAILED after \d+ s, (peak memory \d+ MB, )?see {re.escape(str(out / '03_toy.html'))}", said
    )


def test_an_interrupted_writing_leaves_the_old_notebook(tmp_path, monkeypatch):
    path = lesson(tmp_path, "1")
    before = path.read_bytes()

    def full(self, *_, **__):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_notebook(new_notebook(), path)
    assert path.read_bytes() == before


# --- the command line ---


def test_the_command_line_names_what_it_does_not_know(capsys, monkeypatch):
    assert main(["run", "nonsense"]) == 1
    assert "There is no lesson 'nonsense'" in capsys.readouterr().err
    monkeypatch.setenv("QUICK", "maybe")
    assert main(["build"]) == 1
    assert "QUICK must be 0 or 1, got 'maybe'" in capsys.readouterr().err


def test_one_lesson_that_fails_makes_the_exit_code_1_and_the_others_still_run(tmp_path, monkeypatch):
    paths = {
        "1": lesson(tmp_path, "1 / 0", name="01_bad"),
        "2": lesson(tmp_path, "import os", name="02_good"),
    }
    monkeypatch.setattr("helpers.execution.lesson_path", lambda name: paths[name])
    assert main(["run", "1", "2", f"--out={tmp_path / 'out'}"]) == 1
    assert (tmp_path / "out" / "02_good.html").exists()
    assert main(["run", "2", f"--out={tmp_path / 'out'}"]) == 0
