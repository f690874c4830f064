"""Copies of this workbook as it stands, with changes that are not committed: a folder, or a repository to clone."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "local*", "*.unfinished")
ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # no hooks, signatures or templates of the user


def copy_workbook(folder: Path) -> Path:
    """Copy the workbook without what git ignores, results of this machine and other people's hidden folders."""
    return shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)


def make_repository(folder: Path) -> str:
    """Commit all that is in `folder`; return the address from which it can be cloned."""
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    for command in [["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "All of it"]]:
        subprocess.run(["git", *command], cwd=folder, check=True, env=os.environ | ALONE)
    return folder.resolve().as_uri()
