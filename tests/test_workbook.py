"""What `python workbook.py` promises: install once and when needed, tell plainly, hand over, look around.

A stand-in for the virtual environment's Python writes down how it is called and answers as a test lays down,
so that installations which take minutes are specified in milliseconds.
"""

import ast
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import Version

import workbook

ROOT = Path(workbook.__file__).parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is PyPI's torch the CUDA build")
STAND_IN = """#!{python} -S
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent.parent
command = " ".join(sys.argv[1:])
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([command, os.environ.get("QUICK"), os.getcwd()]) + "\\n")
for beginning, (code, says, seconds) in json.loads((here / "answers.json").read_text()).items():
    if command.startswith(beginning):
        print(says, flush=True)
        time.sleep(seconds)
        sys.exit(code)
"""
PIP = "-m pip install --disable-pip-version-check"
LOCKED = f"{PIP} --constraint"
FROM_CPU_INDEX = f"{PIP} --retries 0 --timeout 15 --no-deps --index-url {workbook.CPU_TORCH} torch"


class Checkout:
    """A copy of what workbook.py needs, with a stand-in for the virtual environment's Python."""

    def __init__(self, folder: Path) -> None:
        self.root, self.venv = folder / "checkout", folder / "checkout" / ".venv"
        (self.venv / "bin").mkdir(parents=True)
        (self.venv / "pyvenv.cfg").touch()
        for name in ["workbook.py", "pyproject.toml", "requirements.lock"]:
            shutil.copy(ROOT / name, self.root)
        python = self.venv / "bin" / "python"
        python.write_text(STAND_IN.format(python=sys.executable))
        python.chmod(0o755)
        self.answers = {"-c import platform": (0, "3.12.1"), "-m pip --version": (0, "pip 25")}

    def start(self, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen:
        answers = {beginning: (*answer, 0)[:3] for beginning, answer in self.answers.items()}
        (self.venv / "answers.json").write_text(json.dumps(answers))
        (self.venv / "calls.jsonl").write_text("")
        clean = {k: v for k, v in os.environ.items() if k != "QUICK" and not k.startswith("WORKBOOK_")}
        command = [sys.executable, str(self.root / "workbook.py"), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=cwd or self.root, env=clean | environment, **pipes)

    def run(self, *arguments: str, **options: object) -> tuple[int, str]:
        process = self.start(*arguments, **options)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def calls(self, beginning: str = "") -> list[str]:
        lines = (self.venv / "calls.jsonl").read_text().splitlines()
        return [call for call, *_ in map(json.loads, lines) if call.startswith(beginning)]

    def stamps(self) -> list[str]:
        return sorted(path.name for path in self.venv.glob("*.stamp"))

    def wait_for(self, beginning: str) -> None:
        deadline = time.monotonic() + 20
        while not ((self.venv / "calls.jsonl").exists() and self.calls(beginning)):
            assert time.monotonic() < deadline, f"never called: {beginning}"
            time.sleep(0.02)


@pytest.fixture(autouse=True)
def no_real_installation(monkeypatch):
    """A command line that is taken for another must fail a test, not install gigabytes."""
    for name in ("prepare", "install"):
        monkeypatch.setattr(workbook, name, lambda *_: pytest.fail("would have installed"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def dependencies() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]


# --- installing ---


@POSIX
def test_the_first_installation_takes_all_dependencies_at_the_tested_versions(checkout, dependencies):
    code, said = checkout.run("install")
    assert code == 0, said
    (installed,) = checkout.calls(LOCKED)
    assert installed == f"{LOCKED} {checkout.root / 'requirements.lock'} {' '.join(dependencies)}"
    assert checkout.calls()[-1] == "-m helpers.models"
    assert said.rstrip().endswith("Ready: 'python workbook.py' opens the first lesson.")


@POSIX
def test_a_second_installation_has_nothing_to_do_but_looks_at_the_weights(checkout):
    checkout.run("install")
    code, _ = checkout.run("install")
    assert code == 0
    assert checkout.calls("-m") == ["-m helpers.models"]


@POSIX
@pytest.mark.parametrize("changed", ["dependencies", "lock", "Python"])
def test_whatever_decides_what_is_installed_makes_it_installed_again(checkout, changed):
    checkout.run("install")
    if changed == "Python":
        checkout.answers["-c import platform"] = (0, "3.12.2")
    else:
        path = checkout.root / {"dependencies": "pyproject.toml", "lock": "requirements.lock"}[changed]
        path.write_text(path.read_text("utf-8").replace('"tqdm>=', '"tqdm>=1').replace("tqdm==", "tqdm==1"), "utf-8")
    checkout.run("install")
    assert len(checkout.calls(LOCKED)) == 1


@POSIX
def test_a_comment_in_pyproject_makes_nothing_installed_again(checkout):
    checkout.run("install")
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# a remark\n")
    checkout.run("install")
    assert checkout.calls(PIP) == []


@POSIX
def test_where_the_tested_versions_do_not_install_the_newest_do(checkout, dependencies):
    checkout.answers[LOCKED] = (1, "ERROR: No matching distribution found")
    code, said = checkout.run("install")
    assert code == 0
    assert "The tested versions don't all install here (Python 3.12.1). Trying the newest." in said
    assert checkout.calls(PIP)[-1] == f"{PIP} {' '.join(dependencies)}"
    assert checkout.stamps() == ["workbook-run.stamp"]


@POSIX
def test_a_failed_installation_says_what_to_do_and_leaves_no_stamp_not_even_an_old_one(checkout):
    checkout.run("install")
    checkout.answers |= {"-c import platform": (0, "3.13.0"), PIP: (1, "ERROR: no network")}
    code, said = checkout.run("install")
    assert code == 1
    assert "could not be installed" in said and "network or a full disk" in said and "Traceback" not in said
    assert checkout.stamps() == []
    assert checkout.calls("-m helpers.models") == []


@POSIX
def test_an_interrupted_installation_leaves_no_stamp_and_is_done_again(checkout):
    checkout.answers[LOCKED] = (0, "", 20)
    process = checkout.start("install")
    checkout.wait_for(LOCKED)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 130 and "run the same command again" in said
    assert checkout.stamps() == []
    checkout.answers[LOCKED] = (0, "")
    checkout.run("install")
    assert len(checkout.calls(LOCKED)) == 1 and checkout.stamps() == ["workbook-run.stamp"]


@POSIX
@LINUX
def test_on_linux_the_cpu_build_of_the_tested_torch_is_tried_first_and_may_fail(checkout):
    tested = re.search(r"^torch==(.+)$", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)[1]
    checkout.answers[FROM_CPU_INDEX] = (1, "")
    code, said = checkout.run("install")
    assert code == 0
    assert checkout.calls(PIP)[0] == f"{FROM_CPU_INDEX}=={tested}"
    assert f"torch=={tested} can't be had from {workbook.CPU_TORCH} now: taking PyPI's." in said


@POSIX
def test_who_wishes_cuda_gets_the_usual_torch(checkout):
    checkout.run("install", WORKBOOK_CUDA="1")
    assert checkout.calls(FROM_CPU_INDEX) == [] and len(checkout.calls(LOCKED)) == 1


@POSIX
def test_an_environment_without_pip_gets_it_or_the_reader_is_told_how(checkout):
    checkout.answers["-m pip --version"] = (1, "No module named pip")
    code, said = checkout.run("install")
    assert code == 1
    assert checkout.calls("-m ensurepip") == ["-m ensurepip --upgrade --default-pip"]
    assert "has no pip" in said and "sudo apt install python3-venv" in said


@POSIX
def test_an_environment_of_an_old_python_is_refused(checkout):
    checkout.answers["-c import platform"] = (0, "3.10.4")
    code, said = checkout.run("install")
    assert code == 1
    assert "has Python 3.10.4; the workbook needs 3.11 or newer" in said


@POSIX
def test_without_the_weights_nothing_goes_on(checkout):
    checkout.answers["-m helpers.models"] = (1, "no network")
    code, said = checkout.run()
    assert code == 1
    assert "no network" in said and "weights are not ready" in said
    assert checkout.calls("-m jupyterlab") == []


def test_a_real_environment_is_made_where_there_is_none_and_kept_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_VENV", str(tmp_path / "with space" / "venv"))
    version = workbook.make_venv()
    assert version == ".".join(map(str, sys.version_info[:3]))
    (tmp_path / "with space" / "venv" / "mine.txt").touch()
    assert workbook.make_venv() == version
    assert (tmp_path / "with space" / "venv" / "mine.txt").exists()


@POSIX
def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_VENV", str(tmp_path))
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "uninstalled")
    (tmp_path / "workbook-run.stamp").write_text("of the old one")
    assert workbook.make_venv()
    assert not (tmp_path / "workbook-run.stamp").exists()


def test_a_folder_with_something_else_in_it_is_never_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_VENV", str(tmp_path))
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(workbook.Problem, match="is no virtual environment. Set WORKBOOK_VENV"):
        workbook.make_venv()
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


# --- handing over ---


@POSIX
def test_without_a_command_jupyterlab_opens_the_first_lesson(checkout):
    code, _ = checkout.run("--no-browser", "--port", "8899")
    assert code == 0
    called = checkout.calls()[-1].split()
    assert ("--allow-root" in called) == (os.geteuid() == 0), "JupyterLab refuses the superuser otherwise"
    assert called[:2] == ["-m", "jupyterlab"]
    wanted = {"--no-browser", "--port=8899", f"--ServerApp.root_dir={checkout.root}"}
    assert wanted | {"--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"} <= set(called)


@POSIX
def test_test_installs_the_test_extra_too_and_leaves_all_that_follows_to_pytest(checkout):
    checkout.answers["-m pytest"] = (5, "")
    code, _ = checkout.run("test", "-x", "-k", "chunking", "--port", "--help", "tests/test_a.py")
    assert code == 5, "pytest's exit code is ours"
    assert checkout.calls()[-1] == "-m pytest -x -k chunking --port --help tests/test_a.py"
    assert [("pytest>=" in call) for call in checkout.calls(LOCKED)] == [False, True]
    assert checkout.stamps() == ["workbook-run.stamp", "workbook-test.stamp"]
    checkout.run("install")
    assert checkout.calls(PIP) == [], "the test extra does not disturb the rest"


@POSIX
def test_run_gives_paths_that_hold_in_any_folder_and_leaves_names_as_they_are(checkout, tmp_path):
    (tmp_path / "faq.csv").touch()
    checkout.run("run", "03", "06", "--data", "faq.csv", "--out", "pages", cwd=tmp_path)
    called = f"-m helpers.execution run 03 06 --out={tmp_path / 'pages'} --data={tmp_path / 'faq.csv'}"
    assert checkout.calls()[-1] == called
    checkout.run("run", "03", "--data", "someone/faq", cwd=tmp_path)
    assert checkout.calls()[-1] == "-m helpers.execution run 03 --data=someone/faq"


@POSIX
@pytest.mark.parametrize(("options", "quick"), [(["--quick"], "1"), ([], None)])
def test_build_hands_over_lessons_quick_and_exit_code(checkout, options, quick):
    checkout.answers["-m helpers.execution"] = (1, "")
    code, _ = checkout.run("build", "03", *options)
    assert code == 1
    last = json.loads((checkout.venv / "calls.jsonl").read_text().splitlines()[-1])
    assert last == ["-m helpers.execution build 03", quick, str(checkout.root)]


@POSIX
@pytest.mark.parametrize("options", [[], ["--readme"]])
def test_verdicts_needs_packages_but_no_weights_and_hands_over_options_and_exit_code(checkout, options):
    checkout.answers["-m helpers.verdict_page"] = (1, "C01: no verdict yet")
    code, said = checkout.run("verdicts", *options)
    assert code == 1 and said.endswith("C01: no verdict yet\n")
    assert checkout.calls()[-1] == " ".join(["-m helpers.verdict_page", *options])
    assert checkout.stamps() == ["workbook-run.stamp"] and checkout.calls("-m helpers.models") == []


@POSIX
def test_ctrl_c_is_for_what_runs_and_its_exit_code_is_waited_for(checkout):
    checkout.answers["-m pytest"] = (7, "", 1.5)
    process = checkout.start("test")
    checkout.wait_for("-m pytest")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 7


# --- the command line ---


def test_help_tells_every_command_option_and_variable(capsys):
    assert workbook.main(["--help"]) == 0
    said = capsys.readouterr().out
    source = Path(workbook.__file__).read_text("utf-8")
    options = set(re.findall(r'add_argument\([^)]*?"(--[a-z-]+)"', source)) - {"--help"}
    variables = set(re.findall(r'environ(?:\.get\(|\[)"(WORKBOOK_\w+)"', source))
    assert options == {"--no-browser", "--port", "--quick", "--data", "--out", "--readme"}
    assert variables == {"WORKBOOK_VENV", "WORKBOOK_CACHE", "WORKBOOK_CUDA"}
    commands = {f"workbook.py {command}" for command in ["install", "test", "run", "build", "verdicts", "check"]}
    assert [words for words in commands | options | variables if words not in said] == []


@pytest.mark.parametrize("argv", [["--nonsense"], ["install", "--quick"], ["check", "03"], ["verdicts", "03"]])
def test_what_is_not_understood_is_named(argv, capsys):
    assert workbook.main(argv) == 1
    assert f"Unknown: {argv[-1]}. 'python workbook.py --help'" in capsys.readouterr().err


def test_run_without_a_lesson_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        workbook.main(["run"])
    assert ended.value.code == 2 and "LESSON" in capsys.readouterr().err


def test_an_old_python_is_told_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    assert workbook.main([]) == 1
    assert capsys.readouterr().err.strip() == (
        "This is Python 3.10.4; the workbook needs 3.11 or newer. Get one from python.org."
    )


def test_an_old_python_comes_as_far_as_that_line():
    tree = ast.parse(Path(workbook.__file__).read_text("utf-8"), feature_version=(3, 8))
    first = {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}
    assert "tomllib" not in first, "3.10 has none"
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    assert needed == ">={}.{}".format(*workbook.OLDEST_PYTHON)


# --- looking at this computer ---


@pytest.fixture
def healthy(checkout, dependencies):
    packages = [dict(zip(["name", "version"], d.split(">="), strict=True)) for d in dependencies]
    checkout.answers["-m pip list"] = (0, json.dumps(packages))
    checkout.answers["-m helpers.models --check"] = (0, "encoder fine\ngenerator fine")
    checkout.answers["-c from helpers.models"] = (0, str(checkout.root / "cache"))
    return checkout, packages


@POSIX
def test_check_finds_nothing_to_mend_on_a_good_machine(healthy):
    checkout, _ = healthy
    code, said = checkout.run("check")
    machine = [line for line in said.splitlines() if "memory:" not in line and "free on the disk" not in line]
    assert "PROBLEM" not in "\n".join(machine)
    for found in [": all there", f"weights: {checkout.root / 'cache'} can be written", "generator fine"]:
        assert found in said
    assert code == int("PROBLEM" in said) and ("All is well." in said) == (code == 0)


@POSIX
def test_check_names_each_missing_or_old_package_and_how_to_mend_it(healthy):
    checkout, packages = healthy
    by_name = {package["name"]: package for package in packages}
    by_name["torch"]["version"] = "2.9.1+cpu"
    by_name["huggingface-hub"]["name"] = "Huggingface_Hub"
    packages.remove(by_name["gguf"])
    checkout.answers["-m pip list"] = (0, json.dumps(packages))
    code, said = checkout.run("check")
    assert code == 1
    bound = next(r for r in workbook.requirements("run") if r.startswith("torch>")).split(">=")[1]
    assert f"gguf is missing, torch 2.9.1+cpu is older than {bound}\n         Run: python workbook.py install" in said


@POSIX
def test_check_says_what_is_wrong_with_the_weights(healthy):
    checkout, _ = healthy
    checkout.answers["-m helpers.models --check"] = (1, "")
    code, said = checkout.run("check")
    assert code == 1 and "PROBLEM  model weights:" in said


def test_check_before_the_installation_says_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBOOK_VENV", str(tmp_path / "venv"))
    assert workbook.main(["check"]) == 1
    said = capsys.readouterr().out
    assert "nothing is installed yet\n         Run: python workbook.py install" in said
    assert not (tmp_path / "venv").exists(), "check changes nothing"


@pytest.mark.parametrize(
    ("memory", "fine", "remedy"),
    [((16, 9), True, ""), ((7.6, 3.1), True, ""), ((16, 2.9), False, "Close"), ((4, 3.5), False, "--quick")],
)
def test_check_wants_8_gb_of_memory_and_3_of_it_free(memory, fine, remedy):
    was_fine, found, mend = workbook.memory_finding(memory)
    assert was_fine == fine and f"{memory[0]:.1f} GB, {memory[1]:.1f} GB free" in found
    assert fine or remedy in mend


def test_memory_that_cannot_be_read_is_no_problem(monkeypatch):
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr(Path, "read_text", lambda *_: "nothing known")
    assert workbook.memory_gb() is None
    assert workbook.memory_finding(None)[0]


@LINUX
def test_memory_on_linux_is_what_the_libraries_say():
    psutil = pytest.importorskip("psutil")
    total, free = workbook.memory_gb()
    assert total == pytest.approx(psutil.virtual_memory().total / 1e9, rel=0.01)
    assert free == pytest.approx(psutil.virtual_memory().available / 1e9, abs=2)


def test_memory_on_windows_comes_from_the_structure_windows_fills(monkeypatch):
    def fill(status):
        assert bytes(status)[:4] == (64).to_bytes(4, "little"), "the structure gives its own length"
        status[1], status[2] = 16 * 10**9, 5 * 10**9

    kernel32 = type("kernel32", (), {"GlobalMemoryStatusEx": staticmethod(fill)})
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", type("windll", (), {"kernel32": kernel32}), raising=False)
    assert workbook.memory_gb() == (16.0, 5.0)


def test_memory_on_a_mac_counts_pages_that_are_free_or_only_a_cache(monkeypatch):
    vm_stat = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            400000.
Pages inactive:                          200000.
Pages speculative:                         5000.
Pages wired down:                        100000.
Pages purgeable:                           1000."""
    answers = {"sysctl": "17179869184", "vm_stat": vm_stat}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(workbook, "output_of", lambda command, *_: answers[command])
    assert workbook.memory_gb() == pytest.approx((17.18, 216_000 * 16384 / 1e9), rel=1e-3)


def test_a_folder_that_is_not_there_yet_is_judged_by_its_nearest_parent(tmp_path):
    wanted = tmp_path / "not" / "yet"
    write, room = workbook.folder_findings("weights", wanted, "set WORKBOOK_CACHE")
    assert write == (True, f"weights: {wanted} can be written to", "")
    assert f"on the disk of {wanted} (4 are needed)" in room[1]
    assert not wanted.exists()


def test_a_full_disk_and_a_locked_folder_are_problems_with_a_remedy(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(workbook.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(
        workbook.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**11, 97 * 10**9, 3 * 10**9)
    )
    write, room = workbook.folder_findings("weights", tmp_path, "set WORKBOOK_CACHE to another folder")
    assert write[0] is False and os.strerror(errno.EACCES) in write[1] and "WORKBOOK_CACHE" in write[2]
    assert room[0] is False and "3.0 GB free" in room[1] and "Make room there or set WORKBOOK_CACHE" in room[2]


releases = st.lists(st.integers(0, 3000), min_size=1, max_size=4).map(lambda n: ".".join(map(str, n)))


@example("2.10", "2.10.0", "+cpu")
@given(releases, releases, st.sampled_from(["", "+cpu"]))
def test_versions_are_ordered_as_packaging_orders_them(one, other, local):
    assert (workbook.numbers(one + local) < workbook.numbers(other)) == (Version(one) < Version(other))
