"""How does a tuned generator get out of the notebook, and does the server that takes it also train?

`export` writes plain weights, `serving` starts the real `transformers serve` on them, and `ServedGenerator` asks any server
that speaks OpenAI's chat API: a learner's own Ollama or vLLM needs another address and model name, and nothing else.
`training_routes` looks for an interface that trains. Taught in `05_fine_tuning_a_chatbot` and `10_beyond_one_machine`.
Leaves out: streaming, requests side by side, accelerators, and servers that are open to others (this one listens on 127.0.0.1 only).
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import openai
import psutil

from helpers.generation import Answer, Generator, Messages
from helpers.runtime import n_threads

PATIENCE = 5  # seconds that a server has to end when asked
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# `transformers serve`, in a process that ends when whoever holds its standard input does: a killed kernel leaves none behind.
PROGRAM = """
import os, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(0), daemon=True).start()
from transformers.cli.transformers import main
main()
"""
ROUTES = {  # what a server does that has the route
    "GET /v1/models": "control, which every server has: lists its models",
    "POST /v1/no_such_route": "control, which no server has",
    "POST /v1/fine_tuning/jobs": "OpenAI: trains",
    "POST /v1/files": "OpenAI: takes examples to train on",
    "POST /api/train": "trains, if Ollama's API had it",
    "POST /api/create": "Ollama: packs weights that were trained elsewhere",
    "POST /v1/load_lora_adapter": "vLLM: loads an adapter that was trained elsewhere",
}


def export(generator: Generator, folder: Path) -> Path:
    """Write the generator to `folder`, which is returned: float32 safetensors, config, and tokenizer with its chat format.

    For a tuned one pass what `chat_tuning.with_adapter` gives: its adapter is merged, so a server needs to know nothing of it. Raises
    `ValueError` for the folder of an adapter, which servers would add once more.
    """
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"Expected a folder for merged weights, got {folder}, an adapter's own. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    generator.model.save_pretrained(folder)
    generator.tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def exported(generator: Generator, *, name: str = "chatbot") -> Iterator[Path]:
    """`export` into a folder called `name` that is gone after the `with` block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        yield export(generator, Path(scratch) / name)


@contextmanager
def serving(folder: Path, *, port: int = 0, seconds: float = 120) -> Iterator[str]:
    """The base address of a `transformers serve` that has loaded `folder`, for the length of a `with` block.

    The model's name there is `folder.name`. It computes on the CPU in float32, with the threads of this process, and needs no network.
    `port` 0 takes a free one. However the block ends, so does the server. Raises `ValueError` for a folder or port that can't be
    served, and `RuntimeError` with its last words for a server that ends or, after `seconds`, doesn't answer.
    """
    name, port = _servable(folder), _free_port(port)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        log = Path(home) / "server.log"
        _register(folder / "config.json", name, Path(home) / "hub")
        server = _start(folder.absolute(), port, log)
        try:
            address = f"http://127.0.0.1:{port}/v1"
            _wait(server, address, log, seconds)
            yield address
        finally:
            _stop(server)


def _servable(folder: Path) -> str:
    """The folder's name, which will be the model's."""
    if not (folder / "config.json").exists():
        raise ValueError(f"Expected a folder written by `export`, got {folder}, which has no config.json.")
    name = folder.absolute().name
    if not re.fullmatch(r"\w+([.-]\w+)*", name, re.ASCII):  # @ begins a revision, -- stands for a slash
        raise ValueError(f"Expected a folder named by letters, digits, '.', '-' and '_', got {name!r}. Rename it.")
    return name


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; a used one is refused still
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"Expected a free port, got {port} ({error}). Take another, or 0 for any.") from error
        return probe.getsockname()[1]


def _register(config: Path, name: str, hub: Path) -> None:
    """Let the server list the model: it lists what the hub's cache has, and looks at no more than the config."""
    snapshot = hub / f"models--{name}/snapshots/local"
    snapshot.mkdir(parents=True)
    shutil.copy(config, snapshot)
    (hub / f"models--{name}/refs").mkdir()
    (hub / f"models--{name}/refs/main").write_text("local", "utf-8")


def _start(folder: Path, port: int, log: Path) -> subprocess.Popen:
    """The server's process, in a session of its own: a notebook's interrupt reaches the notebook only, which then stops it."""
    hub = {"HF_HOME": str(log.parent), "HF_HUB_CACHE": str(log.parent / "hub")}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as written:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, "serve", folder.name, *options],
            cwd=folder.parent,  # so the model's name is the folder's, not its path
            env=os.environ | hub | offline | {"OMP_NUM_THREADS": str(n_threads())},
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(server: subprocess.Popen, address: str, log: Path, seconds: float) -> None:
    """Return once the server answers; it does so when it has loaded the model."""
    until = time.monotonic() + seconds
    with _client(address, seconds=5) as client:
        while server.poll() is None and time.monotonic() < until:
            with suppress(openai.APIError):
                client.models.list()
                return
            time.sleep(0.1)
    what = f"did not answer within {seconds:g} s" if server.poll() is None else f"ended with code {server.returncode}"
    last = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:]) or "nothing"
    raise RuntimeError(f"Expected `transformers serve` at {address}, but it {what}. Its last words:\n{last}")


def _stop(server: subprocess.Popen) -> None:
    """End this process and its children: ask them, and those that still run after `PATIENCE`, kill."""
    if server.poll() is None:
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(server.pid)
            family = [leader, *leader.children(recursive=True)]
            for ask in (psutil.Process.terminate, psutil.Process.kill):
                for process in family:
                    with suppress(psutil.NoSuchProcess):
                        ask(process)
                _, family = psutil.wait_procs(family, timeout=PATIENCE)
    server.stdin.close()
    server.wait()


class ServedGenerator:
    """A generator behind an OpenAI-compatible address such as `http://127.0.0.1:11434/v1`; `seconds` is the limit for one answer."""

    def __init__(self, address: str, model: str, *, api_key: str = "none", seconds: float = 120) -> None:
        self.name = model
        self.client = _client(address, seconds=seconds, api_key=api_key)

    def generate(self, prompts: Sequence[Messages], *, max_new_tokens: int = 24) -> list[Answer]:
        """One-line greedy answers, in the order of `prompts`, asked one by one.

        They agree with `Generator`'s but for near-ties in logits. Tokens are those that the server counts, also of lines that are cut
        off here (`stop` would spare them, but slows `transformers serve` down where answers are one line anyway). Raises `ValueError` for no
        prompts, for an address where nothing answers in time, and for a model that the server doesn't have.
        """
        if not prompts:
            raise ValueError("Expected at least one prompt, got none.")
        return [self._answer(prompt, max_new_tokens) for prompt in prompts]

    def _answer(self, messages: Messages, max_new_tokens: int) -> Answer:
        address = self.client.base_url
        try:
            said = self.client.chat.completions.create(
                model=self.name, messages=messages, temperature=0, max_tokens=max_new_tokens
            )
        except openai.APITimeoutError as error:
            waited = f"{self.client.timeout:g} s"
            raise ValueError(f"{address} gave no answer within {waited}. Allow more `seconds`.") from error
        except openai.APIConnectionError as error:
            raise _unreachable(address, error.__cause__) from error
        except openai.APIStatusError as error:
            raise self._refused(error) from error
        if not (getattr(said, "choices", None) and said.usage):
            raise _not_openai(address, f"It said: {str(said)[:300]}")
        text = said.choices[0].message.content or ""
        return Answer(text.split("\n", 1)[0].strip(), said.usage.prompt_tokens, said.usage.completion_tokens)

    def _refused(self, error: openai.APIStatusError) -> ValueError:
        """What an HTTP status of 400 or more means."""
        address, said = self.client.base_url, f"It said {error.status_code}: {error.response.text[:300]}"
        try:
            known = [model.id for model in self.client.models.list()]
        except openai.APIError:
            return _not_openai(address, said)
        if self.name in known:
            return ValueError(f"Expected an answer from {self.name} at {address}, got none. {said}")
        has = ", ".join(known) or "of which it lists none"
        return ValueError(f"Expected one of the models at {address}, {has}; got {self.name!r}. {said}")


def training_routes(address: str, *, seconds: float = 30) -> dict[str, int]:
    """The HTTP status that the server gives to each of `ROUTES`, asked with an empty JSON object, which starts nothing.

    `has_route` tells what a status means. Trust the answers if the first two, the controls, came out as they should. Raises
    `ValueError` if nothing answers.
    """
    root = address.rstrip("/").removesuffix("/v1")
    opener = build_opener(ProxyHandler({}) if _is_local(address) else ProxyHandler())

    def status(route: str) -> int:
        method, path = route.split()
        data, headers = (b"{}" if method == "POST" else None), {"Content-Type": "application/json"}
        try:
            with opener.open(Request(root + path, data, headers, method=method), timeout=seconds) as response:
                return response.status
        except HTTPError as error:
            error.close()
            return error.code

    try:
        return {route: status(route) for route in ROUTES}
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error


def has_route(status: int) -> bool:
    """Whether a server that gives this HTTP status has the route: any but 404 (not found) and 405 (method not allowed).

    >>> [has_route(status) for status in (200, 400, 401, 404, 405)]
    [True, True, True, False, False]
    """
    return status not in (404, 405)


def _client(address: str, *, seconds: float, api_key: str = "none") -> openai.OpenAI:
    """OpenAI's client, asking once; a proxy from the environment is not asked for what is on this machine."""
    http = openai.DefaultHttpxClient(trust_env=not _is_local(address))
    return openai.OpenAI(base_url=address, api_key=api_key, timeout=seconds, max_retries=0, http_client=http)


def _is_local(address: str) -> bool:
    return urlsplit(address).hostname in LOOPBACK


def _unreachable(address: object, error: object) -> ValueError:
    advice = "Start the server, or correct the address: http://HOST:PORT/v1, as a rule."
    return ValueError(f"Expected a server at {address}, but nothing answers there ({error}). {advice}")


def _not_openai(address: object, said: str) -> ValueError:
    return ValueError(f"Expected OpenAI's API at {address}, as a rule an address that ends in /v1. {said}")
