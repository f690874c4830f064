"""What the README promises exists: its commands, files, lessons and environment variables; its verdicts are the recorded ones."""

import re
from pathlib import Path

import workbook
from helpers.execution import lesson_paths
from helpers.verdict_page import as_markdown, load_verdicts, problems, with_page
from helpers.verdicts import load_claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_every_command_is_one_of_workbook_py(capsys):
    commands = re.findall(r"python workbook\.py(?: ([a-z]+))?((?: --[a-z-]+)*)", README)
    workbook.main(["--help"])
    said = capsys.readouterr().out
    assert {"", "test", "check", "run", "build", "verdicts"} <= {command for command, _ in commands}
    for command, options in commands:
        assert not command or f"workbook.py {command}" in said, command
        assert all(option in said for option in options.split()), options


def test_every_link_and_picture_leads_to_a_file():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 4
    assert [t for t in targets if not t.startswith("https://") and not (ROOT / t).exists()] == []


def test_every_lesson_is_listed_with_its_runtimes():
    listed = dict(re.findall(r"\]\(notebooks/(\w+)\.ipynb\) \| [^|]+ \| ([^|]+ \| [^|]+) \|", README))
    assert set(listed) == {path.stem for path in lesson_paths()}
    assert all(re.fullmatch(r"\d+ min \| \d+ min", runtimes) for runtimes in listed.values()), listed


def test_every_claim_has_a_verdict_they_all_stand_and_the_readme_shows_them():
    assert with_page(README, as_markdown(load_verdicts())) == README, "run: python workbook.py verdicts --readme"
    assert {verdict.claim_id for verdict in load_verdicts()} == set(load_claims())
    assert problems() == []


def test_what_is_where_is_there_and_the_address_is_the_stated_one():
    assert all((ROOT / folder).is_dir() for folder in re.findall(r"^\| `(\w+)/` \|", README, re.M))
    address = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)[1]
    assert f"git clone {address}\n" in README
