"""An adapter for the generator: trained through the upper layers only, stopped and resumed, written and read again."""

import dataclasses

import pytest
import torch

from helpers import chat_tuning, fine_tuning
from helpers.chat_tuning import Adapter, ChatExample, encode, halves, record_of, tune, with_adapter
from helpers.fine_tuning import Plan
from helpers.generation import Generator
from helpers.house_style import chatbot

PLAN = Plan(epochs=12, learning_rate=3e-3, batch_size=2)
FACTS = {"Who keeps the bees?": "Ada Fenn", "What opens the shed?": "a brass key", "How tall is the fence?": "2 metres"}
EXAMPLES = [ChatExample(tuple(chatbot(question)), f"{answer} (Garden desk)") for question, answer in FACTS.items()]

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


@pytest.fixture(scope="module")
def folder(generator, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBOOK_RESULTS", str(tmp_path_factory.mktemp("results")))
        return tune(generator, EXAMPLES, "bees", plan=PLAN)


@torch.inference_mode()
def test_the_halves_compute_what_the_whole_does(generator):
    ids = torch.tensor([encode(generator, EXAMPLES[0])[0]])
    for first_layer in (0, 15):
        lower, upper = halves(generator.model, first_layer)
        through = upper(inputs_embeds=lower(input_ids=ids).last_hidden_state).last_hidden_state
        torch.testing.assert_close(through, generator.model.model(input_ids=ids).last_hidden_state)


def test_the_loss_is_that_of_transformers_on_the_answers_tokens(generator, monkeypatch):
    def first_loss(model, loss_of, *, lengths, **_):
        return [loss_of(range(len(lengths))).item()]

    monkeypatch.setattr(chat_tuning, "train", first_loss)
    _, (ours,), _ = chat_tuning._train(generator, EXAMPLES, PLAN, Adapter(), None)
    total = n = 0
    for ids, start in (encode(generator, example) for example in EXAMPLES):
        labels = torch.tensor([[-100] * start + ids[start:]])
        with torch.inference_mode():
            loss = generator.model(input_ids=torch.tensor([ids]), labels=labels).loss.item()
        total, n = total + loss * (len(ids) - start), n + len(ids) - start
    assert ours == pytest.approx(total / n, rel=1e-4)


def test_what_was_taught_is_said_and_the_untuned_model_is_left_as_it_was(generator, folder):
    before = [answer.text for answer in generator.generate([chatbot(question) for question in FACTS])]
    after = [answer.text for answer in with_adapter(generator, folder).generate([chatbot(q) for q in FACTS])]
    assert after == [example.answer for example in EXAMPLES] != before
    assert not any("lora" in name for name, _ in generator.model.named_parameters())


def test_only_upper_layers_change(generator, folder):
    before, after = generator.model.state_dict(), with_adapter(generator, folder).model.state_dict()
    changed = {name for name, w in before.items() if not torch.equal(w, after[name])}
    layers = range(Adapter().first_layer, generator.model.config.num_hidden_layers)
    assert changed == {
        n for n in before if any(f"layers.{i}." in n for i in layers) and n.split(".")[-2] in chat_tuning.MATRICES
    }


def test_the_record_says_how_it_was_trained_and_the_loss_fell(folder):
    record = record_of(folder)
    assert record["losses"][-1] < 0.2 < record["losses"][0] and len(record["losses"]) == 24
    assert record["plan"] == dataclasses.asdict(PLAN) and record["n_examples"] == 3 and record["cpu_seconds"] > 0
    assert "/" not in (folder / "adapter_config.json").read_text("utf-8"), "a path of this machine"
    assert sorted(p.name for p in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "record.json",
    ]


@pytest.mark.parametrize("stopped_at", [0, 7, 23])
def test_a_stopped_training_goes_on_to_the_same_weights(generator, folder, monkeypatch, stopped_at):
    steps = iter(range(100))

    def stopping(*arguments):
        if next(steps) == stopped_at:
            raise KeyboardInterrupt
        return cross_entropy(*arguments)

    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", stopping)
    monkeypatch.setattr(fine_tuning, "EVERY", 5)
    with pytest.raises(KeyboardInterrupt):
        tune(generator, EXAMPLES, "bees", plan=PLAN)
    again = tune(generator, EXAMPLES, "bees", plan=PLAN)
    assert (again / "adapter_model.safetensors").read_bytes() == (folder / "adapter_model.safetensors").read_bytes()


def test_a_training_that_was_done_is_not_repeated_and_another_one_gets_its_own_folder(generator, monkeypatch, folder):
    monkeypatch.setattr(chat_tuning, "ADAPTERS", folder.parent)
    folder.rename(folder.parent / "bees")
    try:
        assert tune(generator, EXAMPLES, "bees", plan=PLAN) == folder.parent / "bees"
        other = tune(generator, EXAMPLES[:1], "bees", plan=dataclasses.replace(PLAN, epochs=1))
    finally:
        (folder.parent / "bees").rename(folder)
    assert other.parent != folder.parent and with_adapter(generator, other).name != with_adapter(generator, folder).name


@pytest.mark.parametrize("examples", [[], [ChatExample(tuple(chatbot("Who?")), " ")]])
def test_nothing_to_learn_is_refused(generator, examples):
    with pytest.raises(ValueError, match="Expected examples with answers"):
        tune(generator, examples, "none", plan=PLAN)


def test_a_folder_without_an_adapter_and_one_for_another_model_are_refused(generator, folder, tmp_path):
    with pytest.raises(ValueError, match="Expected an adapter"):
        with_adapter(generator, tmp_path)
    config = (folder / "adapter_config.json").read_text("utf-8").replace("q_proj", "query")
    (tmp_path / "adapter_config.json").write_text(config, "utf-8")
    (tmp_path / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes()[:5000])
    with pytest.raises(ValueError, match="does not fit"):
        with_adapter(generator, tmp_path)
