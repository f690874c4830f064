"""A lesson as a learner meets it: JupyterLab in a real browser, with mouse and keyboard.

`WORKBOOK_SCREENSHOTS=folder` keeps the pictures that are taken on the way.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from checkouts import copy_workbook
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect, sync_playwright

pytestmark = pytest.mark.browser
LESSON = "01_embeddings"
TOKEN = "of-this-test"
NO_BROWSER = "The browser tests need Chromium in the PATH: install it ('sudo apt install chromium' on Debian), then run them again."
OPTIONS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
SETTINGS = {  # every cell is in the page, nothing is asked of the network
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
FOLDERS = {  # so that nothing of the user's own Jupyter is used or changed
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "WORKBOOK_RESULTS": "results",
}
PROMPTS = "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.innerText)"
ENDED = """() => document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]') &&
    [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every(prompt => !prompt.innerText.includes('*'))"""
ERRORS = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"
SILENT_FIGURES = """() => [...document.querySelectorAll('.jp-OutputArea-child:has(.jp-RenderedImage)')]
    .filter(child => !child.nextElementSibling?.innerText.trim()).map(child => child.parentElement.innerText)"""
EVIL = """<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1"> & 'so on'"""
QUESTION_BOX = """import sys
from html import escape

sys.path.insert(0, "..")
from helpers.lesson import question_box


def ask(question):
    if "?" not in question:
        raise ValueError(f"Ask a question, not {question!r}.")
    return f"<p class='reply'>You asked: {escape(question)}</p>"


question_box(ask, example="Who is it?")"""


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


@pytest.fixture(scope="module")
def workbook(tmp_path_factory) -> Path:
    """A copy of the workbook with no output in its lessons, and one notebook more."""
    copy = copy_workbook(tmp_path_factory.mktemp("browser") / "workbook")
    for path in (copy / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell |= {"outputs": [], "execution_count": None} if cell.cell_type == "code" else {}
        nbformat.write(notebook, path)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    box = new_notebook(cells=[new_code_cell(QUESTION_BOX, id="box")], metadata=kernel)
    nbformat.write(box, copy / "notebooks/question_box.ipynb")
    return copy


@pytest.fixture(scope="module")
def lab(workbook, tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab that knows nothing but the copy, and is ended with all its kernels."""
    own, port = tmp_path_factory.mktemp("jupyter"), free_port()
    for name, text in SETTINGS.items():
        path = own / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = os.environ | {name: str(own / folder) for name, folder in FOLDERS.items()} | {"QUICK": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--port-retries=0"]
    command += [f"--ServerApp.root_dir={workbook}", f"--IdentityProvider.token={TOKEN}"]
    with (own / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for_server(server, f"http://127.0.0.1:{port}/api?token={TOKEN}", own / "log")
            yield f"http://127.0.0.1:{port}/lab/workspaces/"
        finally:
            server.terminate()  # Lab ends its kernels and itself
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL) if os.name == "posix" else server.kill()


def wait_for_server(server: subprocess.Popen, address: str, log: Path) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()[-2000:]
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a fresh browser; any error in a script of the page fails the test."""
    chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if chromium is None:
        pytest.fail(NO_BROWSER, pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[f"--{name}" for name in OPTIONS.split()])
        page, errors = browser.new_page(viewport={"width": 1280, "height": 1000}), []
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
    assert errors == []


@pytest.fixture
def keep(page, tmp_path):
    """A function that takes a picture of the page or of a part of it."""
    folder = Path(os.environ.get("WORKBOOK_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(name: str, part: Locator | None = None) -> None:
        (part or page).screenshot(path=tmp_path / f"{name}.png")
        if folder != tmp_path:
            shutil.copy(tmp_path / f"{name}.png", folder)

    return take


class Notebook:
    """A notebook that is open in JupyterLab; cells are named by their ids."""

    def __init__(self, page: Page, lab: str, path: Path) -> None:
        self.page = page
        self.ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
        page.goto(f"{lab}{path.stem}/tree/notebooks/{path.name}?token={TOKEN}")
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
        self.wait_until_idle()
        page.wait_for_timeout(2000)

    def wait_until_idle(self) -> None:
        self.page.wait_for_selector(
            ".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000, state="attached"
        )

    def cell(self, name: str) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.ids.index(name))

    def run_all(self, *, timeout_s: int) -> list[str]:
        """Run all cells by the menu until none is waiting any more; return their numbers as they stand there."""
        for _ in range(5):  # cells that are run before the kernel is ready are dropped in silence
            self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
            self.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
            self.page.wait_for_timeout(1500)
            if any(re.search(r"[*\d]", prompt) for prompt in self.page.evaluate(PROMPTS)):
                break
        self.page.wait_for_function(ENDED, timeout=1000 * timeout_s)
        return self.page.evaluate(PROMPTS)

    def run(self, name: str) -> Locator:
        """Run one cell by the keyboard; return its outputs when they are there."""
        cell = self.cell(name)
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        expect(prompt).to_have_text(re.compile(rf"^(?!{re.escape(before)})\[\d+\]:$"))
        self.wait_until_idle()
        return cell.locator(".jp-OutputArea")

    def errors(self) -> list[str]:
        """Tracebacks, and whatever else stands on a red ground."""
        return self.page.locator(ERRORS).all_inner_texts()


def test_a_lesson_runs_and_answers_to_mouse_and_keyboard(page, lab, workbook, keep):
    notebook = Notebook(page, lab, workbook / f"notebooks/{LESSON}.ipynb")
    keep("01 opened")
    prompts = notebook.run_all(timeout_s=240)
    assert notebook.errors() == []
    assert prompts == [f"[{number}]:" for number in range(1, len(prompts) + 1)]
    for name in ["map", "plot", "conclude", "gallery"]:
        keep(f"02 {name}", notebook.cell(name))

    surprise = notebook.cell("surprise").locator(".jp-OutputArea")
    row = surprise.locator("tr", has_text="negation").locator("td").first
    expect(row).to_have_text(re.compile(r"^0\.60?$"))
    figure = notebook.cell("plot").locator("img").first.get_attribute("src")
    slider = notebook.cell("predict").locator(".widget-slider", has_text="negation")
    slider.locator("[role=slider]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(slider.locator(".widget-readout")).to_have_text("0.65")
    keep("03 predict", notebook.cell("predict"))
    notebook.run("surprise")
    expect(row).to_have_text("0.65")
    notebook.run("plot")
    assert notebook.cell("plot").locator("img").first.get_attribute("src") != figure

    explorer = notebook.cell("explore").locator(".jp-OutputArea")
    live = explorer.locator(".widget-html img")
    shown, said = live.get_attribute("src"), live.get_attribute("alt")
    explorer.locator("[role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(live).not_to_have_attribute("src", shown)
    assert live.get_attribute("src").startswith("data:image/png;base64,")
    assert said and live.get_attribute("alt") not in ("", said)
    keep("04 explore", notebook.cell("explore"))

    quiz = notebook.cell("quiz").locator(".jp-OutputArea").first
    for choice, said in [(0, "It returns the same wrong neighbour sooner"), (1, "Right: ")]:
        quiz.locator("input[type=radio]").nth(choice).click()
        expect(quiz.locator(".widget-html")).to_contain_text(said)
        keep(f"05 quiz {choice}", notebook.cell("quiz"))
    assert page.locator(".jp-OutputArea .jp-RenderedImage").count() > 5
    assert page.evaluate(SILENT_FIGURES) == [], (
        "every figure has its text below, since JupyterLab drops what stands in alt"
    )
    assert notebook.errors() == []
    keep("06 end")


def test_a_typed_question_is_answered_and_never_run_as_a_script(page, lab, workbook, keep):
    notebook = Notebook(page, lab, workbook / "notebooks/question_box.ipynb")
    notebook.run_all(timeout_s=60)
    assert notebook.errors() == []
    box = notebook.cell("box").locator(".widget-vbox")
    field, reply = box.locator("input[type=text]"), box.locator(".reply")
    expect(notebook.cell("box").locator(".reply")).to_have_text("You asked: Who is it?")  # the example, below the box
    field.fill(f"Who? {EVIL}")
    box.locator("button").click()
    expect(reply).to_have_text(f"You asked: Who? {EVIL}")
    field.fill("And who by Enter?")
    field.press("Enter")
    expect(reply).to_have_text("You asked: And who by Enter?")
    field.fill(EVIL.replace("?", ""))
    box.locator("button").click()
    expect(box.locator(".widget-html")).to_contain_text("Ask a question, not")
    expect(box.locator(".widget-html")).to_contain_text("<script>window.pwned = 1</script>")
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.pwned") is None
    keep("07 question box", notebook.cell("box"))
