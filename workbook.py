"""Start, test, run, build and check the workbook. Needs nothing but Python; `--help` tells all.

Packages go into a virtual environment of the workbook's own, never into the Python that runs this file.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
FIRST_LESSON = "notebooks/00_start_here.ipynb"
OLDEST_PYTHON = (3, 11)
NEEDED = "the workbook needs {}.{} or newer".format(*OLDEST_PYTHON)
CPU_TORCH = "https://download.pytorch.org/whl/cpu"  # on Linux, PyPI's torch is the CUDA build: several GB
DISK_GB, MEMORY_GB, FREE_MEMORY_GB = 4, 8, 3
ON_DEBIAN = "On Debian or Ubuntu run 'sudo apt install python3-venv', then the same command again."
INSTALL = "Run: python workbook.py install"
HELP = """
python workbook.py              install what is missing and open the first lesson in JupyterLab
  --no-browser  --port 8890       the same on a server: open no browser, use this port
python workbook.py install      only install: packages and model weights
python workbook.py test         run the tests; what follows goes to pytest, such as: test -x -k chunking
python workbook.py run 03 06    run lessons without JupyterLab, each into a notebook and a web page
  --quick                         small samples: minutes, and provisional verdicts
  --data my_faq.csv               on your own folder, file or Hugging Face data set
  --out DIR                       where notebooks and pages go (default: runs)
python workbook.py build 03     run a lesson and write it back over itself (no lesson: all); --quick as above
python workbook.py verdicts     every claim's verdict on one page, and which are missing, provisional or out of date
  --readme                        write that page into README.md too
python workbook.py check        look at this computer: what is missing, and how to mend it

environment variables:
  WORKBOOK_VENV=folder            where the virtual environment is (default: .venv)
  WORKBOOK_CACHE=folder           where the model weights are (default: a cache of yours)
  WORKBOOK_CUDA=1                 on Linux, install PyTorch's CUDA build instead of the smaller CPU build
"""


class Problem(Exception):  # noqa: N818 - the reader is told of a problem and what to do, never of an error
    """Something the reader has to mend; its text is all that is shown."""


def venv_folder() -> Path:
    """The folder of the virtual environment: `WORKBOOK_VENV`, else `.venv` beside this file."""
    return Path(os.environ.get("WORKBOOK_VENV") or ROOT / ".venv").expanduser().absolute()


def venv_python() -> str:
    """The Python in the virtual environment, whether or not it is there yet."""
    return str(venv_folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def output_of(*command: str) -> str:
    """What a command prints; empty if it can't be run or fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version, without zeros at the end: `"2.10.0+cpu"` is `(2, 10)`."""
    release = re.match(r"\d+(\.\d+)*", version)[0]
    return tuple(int(number) for number in re.sub(r"(\.0)+$", "", release).split("."))


def requirements(part: str) -> list[str]:
    """What pyproject.toml asks for: `"run"` is what lessons need, `"test"` what the tests need besides."""
    import tomllib  # not at the top: an older Python must come as far as saying that it is too old

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["dependencies"] if part == "run" else project["optional-dependencies"][part]


def install(parts: list[str]) -> None:
    """Bring the virtual environment up to what `parts` ask for; a part with the right stamp costs nothing.

    The stamp is written last, so an installation that was interrupted is done again.
    """
    version = make_venv()
    for part in parts:
        stamp = venv_folder() / f"workbook-{part}.stamp"
        wanted = fingerprint(part, version)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            install_part(part, version)
            stamp.write_text(wanted, "utf-8")


def fingerprint(part: str, python_version: str) -> str:
    """A hash of all that decides what is installed: the dependencies, the lock and the Python version."""
    decides = [requirements(part), LOCK.read_text("utf-8"), python_version]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def venv_version() -> str:
    """The version of the virtual environment's Python; empty if there is none that runs."""
    return output_of(venv_python(), "-c", "import platform; print(platform.python_version())")


def make_venv() -> str:
    """Make the virtual environment unless one works already; return the version of its Python."""
    folder, version = venv_folder(), venv_version()
    if not version:
        is_venv = (folder / "pyvenv.cfg").exists()  # one whose Python is gone, and that may be cleared
        if folder.exists() and not is_venv and (folder.is_file() or any(folder.iterdir())):
            raise Problem(f"{folder} is no virtual environment. Set WORKBOOK_VENV to a new or empty folder.")
        print(f"Making a virtual environment in {folder}", flush=True)
        clear = ["--clear"] if is_venv else []
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", *clear, str(folder)])
        version = venv_version()
    if not version:
        raise Problem(f"No virtual environment could be made in {folder}: see above. {ON_DEBIAN}")
    if numbers(version) < OLDEST_PYTHON:
        raise Problem(f"{folder} has Python {version}; {NEEDED}. Remove that folder or set WORKBOOK_VENV.")
    return version


def install_part(part: str, version: str) -> None:
    """Let pip install one part: the tested versions if this system has them, else the newest there are."""
    if not output_of(venv_python(), "-m", "pip", "--version"):
        output_of(venv_python(), "-m", "ensurepip", "--upgrade", "--default-pip")
        if not output_of(venv_python(), "-m", "pip", "--version"):
            raise Problem(f"{venv_folder()} has no pip and can't get it. {ON_DEBIAN}")
    cost = "about 4 minutes and 2.6 GB the first time" if part == "run" else "less than a minute"
    print(f"Installing the packages to {part} the workbook: {cost}", flush=True)
    if pip_install(part, locked=True):
        return
    print(f"\nThe tested versions don't all install here (Python {version}). Trying the newest.", flush=True)
    if not pip_install(part, locked=False):
        why = "pip says why above; most often it is the network or a full disk"
        raise Problem(f"The packages could not be installed: {why}. Mend it and run the same command again.")
    print("The newest versions are installed; results may differ a little from the printed ones.", flush=True)


def pip_install(part: str, *, locked: bool) -> bool:
    """Run pip, first for torch's CPU build where PyPI has another one; True if all is installed."""
    pip = [venv_python(), "-m", "pip", "install", "--disable-pip-version-check"]
    torch = [name for name in requirements(part) if re.match(r"torch\b", name)]
    if torch and sys.platform == "linux" and os.environ.get("WORKBOOK_CUDA") != "1":
        tested = re.search(r"^torch==\S+", LOCK.read_text("utf-8"), re.MULTILINE)
        wanted = tested[0] if locked and tested else torch[0]
        once = ["--retries", "0", "--timeout", "15", "--no-deps", "--index-url", CPU_TORCH]
        if subprocess.run([*pip, *once, wanted], stderr=subprocess.DEVNULL).returncode:
            print(f"{wanted} can't be had from {CPU_TORCH} now: taking PyPI's.", flush=True)
    constraint = ["--constraint", str(LOCK)] if locked else []
    return subprocess.run([*pip, *constraint, *requirements(part)]).returncode == 0


def hand_over(*arguments: str) -> int:
    """Run the virtual environment's Python; return its exit code. Ctrl-C is its affair: we wait for it."""
    process = subprocess.Popen([venv_python(), *arguments], cwd=ROOT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def prepare(*parts: str) -> None:
    """Packages, then weights: after this every lesson runs without a network."""
    install(["run", *parts])
    code = hand_over("-m", "helpers.models")
    if code == 130:  # interrupted: it has said so
        raise KeyboardInterrupt
    if code:
        raise Problem("The model weights are not ready: mend what is said above, then run this again.")


def is_root() -> bool:
    """Whether this runs as the superuser of a Unix system."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def open_lab(options: argparse.Namespace) -> int:
    """Open the first lesson in JupyterLab and stay until it is closed."""
    arguments = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}"]
    arguments += ["--no-browser"] if options.no_browser else []
    arguments += [f"--port={options.port}"] if options.port else []
    arguments += ["--allow-root"] if is_root() else []  # in a container, say; JupyterLab refuses otherwise
    return hand_over("-m", "jupyterlab", *arguments)


def run_lessons(options: argparse.Namespace) -> int:
    """Let `helpers.execution` run or build lessons. It runs in another folder, so paths are made absolute."""
    if options.quick:
        os.environ["QUICK"] = "1"
    arguments = [options.command, *options.lessons]
    if options.out:
        arguments.append(f"--out={Path(options.out).expanduser().absolute()}")
    if options.data:
        source = Path(options.data).expanduser()
        arguments.append(f"--data={source.absolute() if source.exists() else options.data}")
    return hand_over("-m", "helpers.execution", *arguments)


def check() -> int:
    """Print all findings about this computer, each problem with how to mend it; 1 if there is one."""
    problems = 0
    for fine, found, remedy in findings():
        print(f"ok       {found}" if fine else f"PROBLEM  {found}\n         {remedy}", flush=True)
        problems += not fine
    print(f"\nTo mend: {problems}, see above." if problems else "\nAll is well.")
    return 1 if problems else 0


def findings() -> Iterator[tuple[bool, str, str]]:
    """Yield (whether it is fine, what was found, how to mend it)."""
    yield True, f"Python {sys.version.split()[0]}: {NEEDED}", ""
    yield memory_finding(memory_gb())
    ask = "from helpers.models import cache_folder; print(cache_folder())"  # before it is installed, a guess:
    cache = output_of(venv_python(), "-c", ask) or os.environ.get("WORKBOOK_CACHE") or Path.home()
    yield from folder_findings("the workbook", ROOT, "move the workbook elsewhere")
    yield from folder_findings("packages", venv_folder(), "set WORKBOOK_VENV to another folder")
    yield from folder_findings("weights", Path(cache).expanduser(), "set WORKBOOK_CACHE to another folder")
    problems = package_problems()
    yield not problems, f"packages in {venv_folder()}: {', '.join(problems) or 'all there'}", INSTALL
    if not problems:
        yield weights_finding()


def memory_finding(memory: tuple[float, float] | None) -> tuple[bool, str, str]:
    """Judge (total, available) GB. A machine sold as 8 GB may show a tenth less: graphics and firmware."""
    if memory is None:
        return True, f"memory: this system doesn't tell; {MEMORY_GB} GB are needed", ""
    total, free = memory
    found = f"memory: {total:.1f} GB, {free:.1f} GB free ({MEMORY_GB} and {FREE_MEMORY_GB} are needed)"
    if total < 0.9 * MEMORY_GB:
        return False, found, "Use --quick, which needs less, or another machine."
    return free >= FREE_MEMORY_GB, found, "Close other programs."


def memory_gb() -> tuple[float, float] | None:
    """Total and available memory in GB (10^9 bytes); None where this system doesn't tell."""
    try:
        if sys.platform == "win32":
            status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: its own length, then total and available
            ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
            return status[1] / 1e9, status[2] / 1e9
        if sys.platform == "darwin":
            return int(output_of("sysctl", "-n", "hw.memsize")) / 1e9, mac_free_gb(output_of("vm_stat"))
        kilobytes = dict(re.findall(r"(\w+): +(\d+) kB", Path("/proc/meminfo").read_text("utf-8")))
        return int(kilobytes["MemTotal"]) * 1024 / 1e9, int(kilobytes["MemAvailable"]) * 1024 / 1e9
    except (OSError, KeyError, ValueError, TypeError):
        return None


def mac_free_gb(vm_stat: str) -> float:
    """What macOS can hand out, from `vm_stat`: free pages and those it keeps only as a cache."""
    page = int(re.search(r"page size of (\d+)", vm_stat)[1])
    pages = re.findall(r"Pages (?:free|inactive|speculative|purgeable): +(\d+)", vm_stat)
    return sum(map(int, pages)) * page / 1e9


def folder_findings(use: str, folder: Path, otherwise: str) -> Iterator[tuple[bool, str, str]]:
    """Whether `folder`, or the nearest parent there is, can be written to and has room."""
    there = next(place for place in [folder, *folder.parents] if place.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
        yield True, f"{use}: {folder} can be written to", ""
    except OSError as error:
        yield (
            False,
            f"{use}: can't write to {there}: {error.strerror}",
            f"Change its permissions or {otherwise}.",
        )
    free = shutil.disk_usage(there).free / 1e9
    found = f"{use}: {free:.1f} GB free on the disk of {folder} ({DISK_GB} are needed)"
    yield free >= DISK_GB, found, f"Make room there or {otherwise}."


def package_problems() -> list[str]:
    """What of the lessons' dependencies is missing in the virtual environment, or older than its bound."""
    listed = json.loads(output_of(venv_python(), "-m", "pip", "list", "--format=json") or "[]")
    if not listed:
        return ["nothing is installed yet"]
    found = {re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"] for package in listed}
    wanted = [requirement.split(">=") for requirement in requirements("run")]
    missing = [f"{name} is missing" for name, _ in wanted if name not in found]
    old = [(name, bound) for name, bound in wanted if name in found and numbers(found[name]) < numbers(bound)]
    return missing + [f"{name} {found[name]} is older than {bound}" for name, bound in old]


def weights_finding() -> tuple[bool, str, str]:
    """Let `helpers.models` compare the weights with their hashes."""
    command = [venv_python(), "-m", "helpers.models", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = (done.stderr if done.returncode else done.stdout).strip() or "nothing was said"
    return done.returncode == 0, "model weights: " + said.replace("\n", "\n         "), INSTALL


def arguments_of(argv: list[str]) -> argparse.Namespace:
    """Parse the command line; all that follows `test` is pytest's."""
    parser = argparse.ArgumentParser(prog="python workbook.py", usage=HELP, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--port", type=int)
    parser.set_defaults(quick=False, data=None, out=None)
    commands = parser.add_subparsers(dest="command", prog=parser.prog)
    for command in ["install", "check"]:
        commands.add_parser(command)
    commands.add_parser("test", add_help=False)  # every option is pytest's
    for command, at_least in [("run", "+"), ("build", "*")]:
        lessons = commands.add_parser(command)
        lessons.add_argument("lessons", nargs=at_least, metavar="LESSON", help="number or name, such as 03")
        lessons.add_argument("--quick", action="store_true", help="small samples, provisional verdicts")
    commands.choices["run"].add_argument("--data", metavar="SOURCE", help="your folder, file or data set")
    commands.choices["run"].add_argument("--out", metavar="DIR", help="where the results go (default: runs)")
    commands.add_parser("verdicts").add_argument("--readme", action="store_true", help="write the page into README.md")
    options, options.pytest = parser.parse_known_args(argv)
    if options.pytest and options.command != "test":
        raise Problem(f"Unknown: {' '.join(options.pytest)}. 'python workbook.py --help' tells what there is.")
    return options


def follow(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit code."""
    if options.help:
        print(f"{__doc__}{HELP}", end="")
        return 0
    if options.command == "check":
        return check()
    if options.command == "verdicts":
        install(["run"])  # no weights: nothing is measured
        return hand_over("-m", "helpers.verdict_page", *["--readme"] * options.readme)
    prepare(*(["test"] if options.command == "test" else []))
    if options.command == "install":
        print("Ready: 'python workbook.py' opens the first lesson.")
        return 0
    if options.command == "test":
        return hand_over("-m", "pytest", *options.pytest)
    return run_lessons(options) if options.command else open_lab(options)


def main(argv: list[str]) -> int:
    """Run one command of this file. What the reader can mend is told in one line, without a traceback."""
    os.environ.setdefault("PYTHONIOENCODING", ":replace")  # a console that lacks a letter must not stop a run
    try:
        if sys.version_info[:2] < OLDEST_PYTHON:
            raise Problem(f"This is Python {sys.version.split()[0]}; {NEEDED}. Get one from python.org.")
        return follow(arguments_of(argv))
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing is lost: run the same command again.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
