"""Merged weights that any server reads, the real server on this machine, and answers that outlive the way through both."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open

from helpers import serving as module
from helpers.benchmarks import gap_where_they_part
from helpers.chat_tuning import MATRICES, save_adapter, with_adapter
from helpers.corpus import Passage
from helpers.generation import Answer, Generator
from helpers.prompts import closed_book, with_passages
from helpers.serving import ROUTES, ServedGenerator, export, has_route, serving, training_routes

PROMPTS = [
    with_passages("How much does the pump weigh?", [Passage("p", "d", "", "", "The Orlin pump weighs 41 kilograms.")]),
    with_passages(
        "When does it open?", [Passage("p", "d", "", "", "The office in Tarsk opens at nine in the morning.")]
    ),
    with_passages("What colour is the lid?", [Passage("p", "d", "", "", "The tank is grey and its lid is black.")]),
    *map(closed_book, ["What is the capital of France?", "Who wrote Hamlet?", "What is 2 + 2?", "Name a red fruit."]),
    [{"role": "user", "content": "List four colours, one per line, each after a dash."}],
]
CHANGED = "model.layers.20.mlp.down_proj.weight"
NEAR_TIE = 0.01  # nats, below which rounding may decide
SAID = {
    "choices": [{"message": {"content": " Paris \nor Lyon"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5},
}


def children() -> set[int]:
    """The processes that this one has started and that still run."""
    running = psutil.Process().children(recursive=True)
    return {p.pid for p in running if p.status() != psutil.STATUS_ZOMBIE}


@contextmanager
def stub(reply: dict, status: int = 200):
    """A server that gives the same reply to everything, `status` with it to what is posted: its base address and the requests it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got.append(
                SimpleNamespace(path=self.path, key=self.headers["Authorization"], body=json.loads(body or "{}"))
            )
            content = json.dumps(reply).encode()
            self.send_response(status if self.command == "POST" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815  (the names that http.server looks for)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", got
        server.shutdown()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.fixture(scope="module")
def tuned(generator, tmp_path_factory) -> Generator:
    """The generator with an adapter drawn at random, small enough that it still makes sense."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=MATRICES, layers_to_transform=list(range(15, 30)), init_lora_weights=False)
    model = get_peft_model(copy.deepcopy(generator.model), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(0.3 if "lora_B" in name else 1)
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(model, folder)
    return with_adapter(generator, folder)


@pytest.fixture(scope="module")
def folder(tuned, tmp_path_factory):
    return export(tuned, tmp_path_factory.mktemp("exported") / "tuned-model.v1")


@pytest.fixture(scope="module")
def address(folder):
    before = children()
    with serving(folder) as address:
        yield address
    assert children() == before


@pytest.fixture
def weightless(tmp_path):
    """A folder that passes for a model's until a server tries to load it."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text("{}")
    return tmp_path / "empty"


@pytest.mark.weights
def test_an_exported_folder_is_a_generator_of_its_own_with_the_merged_weights_in_float32(folder, tuned, generator):
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118  (not a dict)
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "float32"
    again, merged = Generator(str(folder)), tuned.model.state_dict()
    assert again.model.state_dict().keys() == generator.model.state_dict().keys() == merged.keys()
    assert all(torch.equal(weight, merged[name]) for name, weight in again.model.state_dict().items())
    assert not torch.equal(merged[CHANGED], generator.model.state_dict()[CHANGED])
    assert [again.render(prompt) for prompt in PROMPTS] == [tuned.render(prompt) for prompt in PROMPTS]


def test_weights_are_not_exported_into_an_adapters_folder(tmp_path):
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(ValueError, match="Expected a folder for merged weights, got .*, an adapter's own. Choose"):
        export(None, tmp_path)


@pytest.mark.weights
def test_served_answers_are_the_local_ones_but_for_near_ties(address, folder, tuned, generator):
    local = tuned.generate(PROMPTS, max_new_tokens=12)
    served = ServedGenerator(address, folder.name).generate(PROMPTS, max_new_tokens=12)
    assert [answer.n_prompt_tokens for answer in served] == [tuned.n_tokens(prompt) for prompt in PROMPTS]
    assert all(1 <= answer.n_new_tokens <= 12 and "\n" not in answer.text for answer in served)
    differing = [i for i in range(len(PROMPTS)) if served[i].text != local[i].text]
    assert len(differing) <= 1
    assert all(gap_where_they_part(tuned, PROMPTS[i], served[i].text, local[i].text) < NEAR_TIE for i in differing)
    (untuned,) = generator.generate(PROMPTS[:1], max_new_tokens=12)
    assert served[0].text != untuned.text  # the adapter was served


@pytest.mark.weights
def test_an_unknown_model_is_refused_with_those_that_the_server_has(address):
    said = rf"Expected one of the models at {address}/, tuned-model.v1; got 'other'. .*pinned to 'tuned-model.v1'"
    with pytest.raises(ValueError, match=said):
        ServedGenerator(address, "other").generate(PROMPTS[:1])


@pytest.mark.weights
def test_an_address_without_v1_is_explained(address, folder):
    with pytest.raises(
        ValueError, match=r"Expected OpenAI's API at .*, as a rule an address that ends in /v1\. It said 404"
    ):
        ServedGenerator(address.removesuffix("/v1"), folder.name).generate(PROMPTS[:1])


@pytest.mark.weights
def test_the_server_has_no_route_that_trains(address):
    routes = training_routes(address)
    assert routes.keys() == ROUTES.keys()
    assert [route for route, status in routes.items() if has_route(status)] == ["GET /v1/models"]


@pytest.mark.weights
def test_the_server_is_told_to_stay_off_the_network_and_listens_on_this_machine_only(address):
    (server,) = (p for p in psutil.Process().children() if "serve" in p.cmdline())
    assert server.environ()["HF_HUB_OFFLINE"] == server.environ()["HF_HUB_DISABLE_UPDATE_CHECK"] == "1"
    port = int(address.removesuffix("/v1").rpartition(":")[2])
    assert [c.laddr for c in server.net_connections() if c.status == "LISTEN"] == [("127.0.0.1", port)]


@pytest.mark.weights
def test_a_taken_port_is_refused(address, folder):
    port = int(address.removesuffix("/v1").rpartition(":")[2])
    with (
        pytest.raises(ValueError, match=f"Expected a free port, got {port} .*Take another, or 0 for any"),
        serving(folder, port=port),
    ):
        pass


def test_a_server_that_ends_before_it_answers_is_reported_with_its_last_words(weightless, monkeypatch):
    monkeypatch.setattr(
        module, "PROGRAM", "print(*range(20), sep='\\n', flush=True); raise SystemExit('no weights here')"
    )
    said = (
        r"Expected `transformers serve` at .*, but it ended with code 1\. Its last words:\n6\n(\d+\n)*no weights here$"
    )
    with pytest.raises(RuntimeError, match=said), serving(weightless):
        pass


def test_a_server_that_takes_too_long_is_stopped(weightless):
    before = children()
    with (
        pytest.raises(RuntimeError, match="it did not answer within 0.3 s. Its last words:\nnothing"),
        serving(weightless, seconds=0.3),
    ):
        pass
    assert children() == before


def test_an_interrupt_while_waiting_stops_the_server(weightless):
    before = children()
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt), serving(weightless):
        pass
    assert children() == before


def test_a_block_that_raises_stops_the_server(weightless, monkeypatch):
    monkeypatch.setattr(module, "_wait", lambda *_: None)
    before = children()
    with pytest.raises(ZeroDivisionError), serving(weightless):
        assert len(children() - before) == 1
        raise ZeroDivisionError
    assert children() == before


def test_a_server_ends_with_the_process_that_started_it(weightless, tmp_path):
    server = module._start(weightless, 1, tmp_path / "log")
    server.stdin.close()  # as the system does when this process is killed
    assert server.wait(timeout=5) == 0


def test_a_server_is_stopped_with_its_children_even_if_they_will_not(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stubborn!r}])"
    before = children()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", parent], **pipes) as server:
        server.stdout.readline()
        assert len(children() - before) == 2
        module._stop(server)
        assert children() == before


@pytest.mark.parametrize("name", ["model@main", "a--b", "two words", "a" * 60 + "@"])
def test_a_folder_whose_name_the_server_would_misread_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").touch()
    with pytest.raises(ValueError, match="Expected a folder named by letters.*Rename it"), serving(tmp_path / name):
        pass


def test_a_folder_without_a_model_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="Expected a folder written by `export`, got .*no config.json"),
        serving(tmp_path),
    ):
        pass


def test_any_server_is_asked_for_its_likeliest_answer_which_ends_with_the_line(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a secret for another server")
    with stub(SAID) as (address, got):
        answers = ServedGenerator(address, "llama3").generate(PROMPTS[:2], max_new_tokens=9)
    assert answers == [Answer("Paris", 7, 5)] * 2
    assert [request.path for request in got] == ["/v1/chat/completions"] * 2
    assert [request.body["messages"] for request in got] == PROMPTS[:2]
    assert got[0].body | {"messages": []} == {"model": "llama3", "messages": [], "temperature": 0, "max_tokens": 9}
    assert got[0].key == "Bearer none"


def test_a_proxy_from_the_environment_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with stub(SAID) as (address, _):
        assert ServedGenerator(address, "llama3").generate(PROMPTS[:1]) == [Answer("Paris", 7, 5)]
        assert training_routes(address)["GET /v1/models"] == 200


def test_nothing_to_answer_is_refused():
    with pytest.raises(ValueError, match="Expected at least one prompt, got none"):
        ServedGenerator("http://127.0.0.1:9/v1", "any").generate([])


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "127.0.0.1:9/v1", ""])
def test_an_address_where_nothing_listens_is_refused(address):
    said = r"Expected a server at .*, but nothing answers there \(.+\)\. Start the server, or correct the address"
    with pytest.raises(ValueError, match=said):
        ServedGenerator(address, "any").generate(PROMPTS[:1])
    with pytest.raises(ValueError, match=said):
        training_routes(address)


def test_a_server_that_gives_no_answer_in_time_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(ValueError, match=rf"{address}/ gave no answer within 0.2 s. Allow more `seconds`"):
            ServedGenerator(address, "any", seconds=0.2).generate(PROMPTS[:1])
        with pytest.raises(ValueError, match="nothing answers there .*timed out"):
            training_routes(address, seconds=0.2)


def test_a_server_that_speaks_something_else_is_reported():
    with (
        stub({}) as (address, _),
        pytest.raises(ValueError, match="Expected OpenAI's API at .* It said: "),
    ):
        ServedGenerator(address, "any").generate(PROMPTS[:1])


def test_what_a_server_says_about_a_request_that_it_refuses_is_passed_on():
    listed = {"object": "list", "data": [{"id": "mine", "object": "model"}], "message": "the prompt is too long"}
    said = "Expected an answer from mine at .*, got none. It said 400: .*the prompt is too long"
    with stub(listed, 400) as (address, _), pytest.raises(ValueError, match=said):
        ServedGenerator(address, "mine").generate(PROMPTS[:1])


def test_routes_are_asked_with_nothing_that_could_start_a_training_and_a_server_that_has_any_route_is_found_out():
    with stub({}) as (address, got):
        routes = training_routes(address)
    assert all(request.body == {} for request in got)
    assert [request.path for request in got] == [route.split()[1] for route in ROUTES]
    assert has_route(routes["POST /v1/no_such_route"])  # the control fails: such answers say nothing


@pytest.mark.weights
def test_an_exported_folder_is_gone_afterwards():
    with module.exported(Generator(), name="bot") as folder:
        assert folder.name == "bot" and (folder / "model.safetensors").exists()
    assert not folder.exists()
