"""What `helpers/experiments.py` promises: nothing lost, measured twice or stale, whatever interrupts it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import experiments, runtime
from helpers.experiments import TIMES, check_order, check_rows, fingerprint, measure, read_rows

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"condition": "toy", "seed": 7, "model": "none"}
# measures 24 toy items in batches of 2, says so in calls.txt, and takes its time
WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests_toy import Toy, batches, SETTINGS
from helpers.experiments import measure

def measure_batch(batch):
    time.sleep({pause})
    with Path({folder!r}, "calls.txt").open("a") as calls:
        calls.write("".join(item.id + "\\n" for item in batch))
    return [{{"score": int(item.id[1:]) % 3 / 2, "said": "né " + item.id}} for item in batch]

measure("toy", batches(24, 2), measure_batch, settings=SETTINGS)
"""


@dataclass(frozen=True)
class Toy:
    """An item."""

    id: str


def batches(n: int, size: int) -> list[list[Toy]]:
    items = [Toy(f"t{i:02}") for i in range(n)]
    return [items[start : start + size] for start in range(0, n, size)]


class Measuring:
    """A stand-in for a model that counts what it was asked, and can fail."""

    def __init__(self, *, fail_at: str = "") -> None:
        self.asked: list[str] = []
        self.fail_at = fail_at

    def __call__(self, batch: list[Toy]) -> list[dict]:
        if any(item.id == self.fail_at for item in batch):
            raise KeyboardInterrupt
        self.asked += [item.id for item in batch]
        return [{"score": int(item.id[1:]) % 3 / 2, "said": f"né {item.id}"} for item in batch]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def toy(measure_batch, *, n: int = 24, size: int = 2, **changed) -> pd.DataFrame:
    again = changed.pop("again", False)
    return measure("toy", batches(n, size), measure_batch, settings=SETTINGS | changed, again=again)


def stored(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.drop(columns=TIMES), other.drop(columns=TIMES))


def worker(folder: Path, pause: float) -> subprocess.Popen:
    """A process of its own that measures the toy items."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tests_toy.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Toy:\n    id: str\n"
        f"SETTINGS = {SETTINGS!r}\n"
        "def batches(n, size):\n    items = [Toy(f't{i:02}') for i in range(n)]\n"
        "    return [items[s : s + size] for s in range(0, n, size)]\n"
    )
    code = WORKER.format(root=str(ROOT), pause=pause, folder=str(folder))
    places = {"WORKBOOK_RESULTS": str(folder), "PYTHONPATH": str(folder)}
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | places, stderr=subprocess.DEVNULL)


def n_stored(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def test_rows_by_hand(folder):
    rows = measure("toy", [[Toy("b")], [Toy("a")]], lambda batch: [{"score": 1.0} for _ in batch], settings=SETTINGS)
    assert list(rows.columns) == ["experiment", "condition", "seed", "item_id", "score", "seconds"]
    assert rows.drop(columns=TIMES).values.tolist() == [
        ["toy", "toy", 7, "a", 1.0],
        ["toy", "toy", 7, "b", 1.0],
    ]
    assert stored(folder).name == f"toy-{fingerprint(SETTINGS, [[Toy('b')], [Toy('a')]])}.jsonl"


def test_a_finished_run_is_read_back_and_not_measured_again(folder):
    first, second = Measuring(), Measuring()
    rows = toy(first)
    pd.testing.assert_frame_equal(toy(second), rows)
    assert len(first.asked) == 24
    assert second.asked == []


def test_again_measures_anew_into_the_same_file(folder):
    toy(Measuring())
    again = Measuring()
    toy(again, again=True)
    assert len(again.asked) == n_stored(folder) == 24


@pytest.mark.parametrize("changed", [{"n": 22}, {"size": 3}, {"seed": 8}, {"condition": "other"}, {"prompt": "x"}])
def test_changed_items_or_settings_start_a_new_file(folder, changed):
    toy(Measuring())
    before = stored(folder).read_bytes()
    other = Measuring()
    toy(other, **changed)
    assert len(other.asked) == changed.get("n", 24)
    assert len(list(folder.glob("*.jsonl"))) == 2
    assert before in [path.read_bytes() for path in folder.glob("*.jsonl")]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(0, 23).map("t{:02}".format), max_size=4))
def test_an_interrupted_run_goes_on_where_it_was(folder, stops):
    whole = toy(Measuring(), seed=0)
    measured = []
    for stop in stops:
        interrupted = Measuring(fail_at=stop)
        try:
            toy(interrupted, again=not measured)
        except KeyboardInterrupt:
            measured += interrupted.asked
        else:
            measured += interrupted.asked
    last = Measuring()
    rows = toy(last, again=not measured)
    assert sorted(measured + last.asked) == list(rows["item_id"])
    same(rows.drop(columns="seed"), whole.drop(columns="seed"))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_file_torn_at_any_byte_is_finished_without_losing_a_complete_row(folder, share):
    whole = toy(Measuring(), again=True)
    content = stored(folder).read_bytes()
    torn = content[: round(share * len(content))]
    stored(folder).write_bytes(torn)
    again = Measuring()
    rows = toy(again)
    kept = torn.count(b"\n")
    assert len(set(again.asked)) == len(again.asked) == 24 - kept + kept % 2  # whole batches of two
    assert n_stored(folder) == 24
    assert stored(folder).read_bytes().startswith(content[: torn.rfind(b"\n") + 1])
    same(rows, whole)
    same(rows, pd.DataFrame(read_rows(stored(folder))))


def test_a_row_measured_again_with_its_batch_stays_as_it_was_stored(folder):
    toy(Measuring())
    lines = stored(folder).read_bytes().splitlines(keepends=True)
    first = json.loads(lines[0]) | {"seconds": 99.0}
    stored(folder).write_text(json.dumps(first, ensure_ascii=False) + "\n", "utf-8")
    rows = toy(Measuring())
    assert rows["seconds"][0] == 99.0
    assert read_rows(stored(folder))[0] == first


def test_a_last_line_without_its_newline_is_measured_again(folder):
    whole = toy(Measuring())
    stored(folder).write_bytes(stored(folder).read_bytes().rstrip(b"\n"))
    again = Measuring()
    same(toy(again), whole)
    assert again.asked == ["t22", "t23"]
    assert n_stored(folder) == 24


def test_blank_lines_do_no_harm_and_foreign_lines_are_named(folder):
    toy(Measuring())
    content = stored(folder).read_bytes()
    head, tail = content.split(b"\n", 1)
    stored(folder).write_bytes(head + b"\n\n" + tail)
    again = Measuring()
    toy(again)
    assert again.asked == []
    for foreign in (b"<<<<<<< HEAD", b"5", b"{}"):
        stored(folder).write_bytes(head + b"\n" + foreign + b"\n" + tail)
        with pytest.raises(ValueError, match=r"toy-\w+\.jsonl, line 2 is no measured row: .*Delete that line"):
            toy(Measuring())
        assert stored(folder).read_bytes().endswith(tail)


def test_reading_rows_never_changes_a_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    path.write_bytes(b'{"item_id": "a"}\n{"item_id": "b')
    assert read_rows(path) == [{"item_id": "a"}]
    assert path.read_bytes().endswith(b'{"item_id": "b')


def test_a_process_killed_again_and_again_loses_no_row_and_measures_none_twice(tmp_path, folder):
    """Three times SIGKILL at a random row; then the same rows as without, but for the seconds."""
    rng, rows_before = random.Random(0), 0
    for _ in range(3):
        process = worker(folder, pause=0.02)
        wanted = rows_before + rng.randint(1, 5)
        deadline = time.monotonic() + 60
        while n_stored(folder) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        assert n_stored(folder) >= wanted
        rows_before = n_stored(folder)
    assert rows_before < 24
    assert worker(folder, pause=0).wait(60) == 0
    ids = [row["item_id"] for row in read_rows(stored(folder))]
    assert ids == [f"t{i:02}" for i in range(24)]
    asked = (folder / "calls.txt").read_text().split()
    assert len(asked) <= 24 + 3 * 2  # at most the batch that was under way is asked again
    killed = pd.DataFrame(read_rows(stored(folder)))
    same(killed, toy(Measuring(), again=True))


def test_two_processes_at_once_share_the_work_of_one(folder):
    processes = [worker(folder, pause=0.02) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    asked = (folder / "calls.txt").read_text().split()
    assert sorted(asked) == [row["item_id"] for row in read_rows(stored(folder))] == [f"t{i:02}" for i in range(24)]


def test_a_failing_batch_keeps_what_was_measured_before(folder):
    def fails(batch: list[Toy]) -> list[dict]:
        if batch[0].id == "t10":
            raise MemoryError("too long")
        return [{"score": 1.0} for _ in batch]

    with pytest.raises(MemoryError):
        toy(fails)
    assert [row["item_id"] for row in read_rows(stored(folder))] == [f"t{i:02}" for i in range(10)]


def test_a_folder_that_cannot_be_written_gives_one_clear_message(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"Results can't be written to .*file \(.+\). Set WORKBOOK_RESULTS to"):
        toy(Measuring())
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    monkeypatch.setattr(runtime.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=r"\(no permission to write\). Set WORKBOOK_RESULTS to a folder that you"):
        toy(Measuring())


def test_repeated_ids_and_no_items_are_refused(folder):
    twice = [[Toy("a"), Toy("b")], [Toy("b"), Toy("c"), Toy("a")]]
    with pytest.raises(ValueError, match=r"toy: item ids must differ, but these repeat: \['a', 'b'\]. Drop or rename"):
        measure("toy", twice, Measuring(), settings=SETTINGS)
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="toy: expected at least one item to measure, got none. Check how"):
            measure("toy", nothing, Measuring(), settings=SETTINGS)
    assert not list(folder.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([{"score": 1.0}], "must return one row per item: 2 items, 1 rows"),
        (None, "must return a list of dicts, one per item, got None"),
        ([1.0, 0.0], r"must return a list of dicts, one per item, got \[1.0, 0.0\]"),
        ([{"score": np.float32(1)}] * 2, r"must hold plain values .*float32.*Convert with float\(\)"),
        ([{"item_id": "t01"}, {"item_id": "t00"}], "in the order of the items, without another item_id"),
    ],
)
def test_rows_that_are_none_are_refused_before_anything_is_stored(folder, returned, message):
    with pytest.raises(ValueError, match=f"toy: .*{message}"):
        toy(lambda batch: returned)
    assert n_stored(folder) == 0


def test_what_is_returned_is_what_will_be_read_back(folder):
    def pairs(batch: list[Toy]) -> list[dict]:
        return [{"score": 1.0, "pair": (1, 2), "missing": float("nan")} for _ in batch]

    pd.testing.assert_frame_equal(toy(pairs), toy(pairs))


def test_fingerprints_by_hand():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) == fingerprint({"a": 1, "b": (2,)})
    different = [
        {"a": 1},
        {"a": "1"},
        {"a": 1.5},
        {"b": 1},
        [1],
        {"a": None},
        Toy("a"),
        Toy("b"),
        np.arange(5000),
    ]
    different += [
        np.arange(5000) + (np.arange(5000) == 2500),
        {"a": {"x", "y"}},
        {"a": {"x", "z"}},
        Path("x"),
    ]
    assert len({fingerprint(thing) for thing in different}) == len(different)
    assert len(fingerprint()) == 10


def test_fingerprints_are_the_same_in_every_process():
    code = "from helpers.experiments import fingerprint; print(fingerprint({'s': set('abcdef'), 'n': 0.1}))"
    places = os.environ | {"PYTHONHASHSEED": "1"}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=places, text=True)
    assert said.strip() == fingerprint({"s": set("abcdef"), "n": 0.1})


@pytest.mark.parametrize("thing", [lambda: 1, object(), Measuring()])
def test_settings_without_a_lasting_description_are_refused(thing):
    with pytest.raises(ValueError, match="must be plain values, got <.*at 0x.*Use its name or its parameters"):
        fingerprint({"model": thing})


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_check_rows_passes_what_is_right():
    check_rows(frame(condition=["a", "a", "b", "b"], item_id=["1", "2"] * 2, score=[0, 0.5, 1, 1.0]), n=2)
    check_rows(frame(item_id=["1", "2"], accuracy=[0, 1]), n=2, scores="accuracy")


def test_check_rows_lists_all_that_is_wrong():
    rows = frame(condition=["a", "a", "b"], item_id=["1", "1", "2"], score=[None, 1.5, 0.5])
    with pytest.raises(ValueError, match="These rows are not what") as said:
        check_rows(rows, n=2)
    for problem in (
        "b: 1 rows, expected 2",
        "1 scores are missing",
        "leave 0…1: 0.5 to 1.5",
        "measured twice",
    ):
        assert problem in str(said.value)


def test_check_rows_refuses_no_rows_and_no_scores():
    with pytest.raises(ValueError, match="all: 0 rows, expected 2"):
        check_rows(frame(condition=[], item_id=[], score=[]), n=2)
    with pytest.raises(ValueError, match=r"no column 'score'; they have \['item_id'\]"):
        check_rows(frame(item_id=["1"]), n=1)


def test_check_order_by_hand():
    rows = frame(condition=["floor", "floor", "rag", "oracle"], score=[0, 0.5, 0.25, 1])
    check_order(rows, ["floor", "rag", "oracle"])
    check_order(rows, ["floor", "oracle"])
    with pytest.raises(ValueError, match="out of order: oracle 1.00, rag 0.25. A floor above a ceiling"):
        check_order(rows, ["oracle", "rag"])


def test_check_order_lists_all_that_is_missing():
    rows = frame(condition=["floor", "rag"], score=[0, None])
    with pytest.raises(ValueError, match=r"No rows for \['oracle', 'chance'\]; there are \['floor', 'rag'\]"):
        check_order(rows, ["floor", "oracle", "chance"])
    with pytest.raises(ValueError, match="out of order: floor 0.00, rag nan"):
        check_order(rows, ["floor", "rag"])
    with pytest.raises(ValueError, match="no column 'condition'"):
        check_order(frame(score=[1]), ["floor"])


def test_the_module_writes_no_row_twice_when_a_batch_was_stored_in_part(folder, monkeypatch):
    written = []
    append = experiments._append
    monkeypatch.setattr(experiments, "_append", lambda path, rows: (written.extend(rows), append(path, rows)))
    toy(Measuring(), n=4, size=4)
    lines = stored(folder).read_bytes().splitlines(keepends=True)
    stored(folder).write_bytes(b"".join(lines[:3]))
    written.clear()
    toy(Measuring(), n=4, size=4)
    assert [row["item_id"] for row in written] == ["t03"]
