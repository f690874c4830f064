"""How is a generator taught answers of the house, with weights small enough to mail?

Low-rank adaptation (LoRA, Hu et al. 2021, arXiv 2106.09685, by the library `peft`): beside each matrix of the upper layers stand two thin
ones, and only these are trained. The lower layers never change, so what they make of a question is computed once and kept. The loss
is the mean negative log-likelihood (nats a token) of the answer alone. Taught in `05_fine_tuning_a_chatbot`. Leaves out: preference
tuning, and quantised weights.
"""

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import PreTrainedModel

from helpers.experiments import fingerprint
from helpers.fine_tuning import Plan, n_trainable, train
from helpers.generation import Generator
from helpers.runtime import ROOT, results_folder

ADAPTERS = ROOT / "data/adapters"
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
READ_AT_ONCE = 64  # examples whose lower layers are computed together


@dataclass(frozen=True)
class ChatExample:
    """What is asked, as chat messages, and what the tuned model should say."""

    messages: tuple[dict[str, str], ...]
    answer: str


@dataclass(frozen=True)
class Adapter:
    """The shape of the added weights: their rank, their scale, and the first layer that gets them."""

    rank: int = 8
    alpha: int = 16
    first_layer: int = 15


def tune(
    generator: Generator, examples: Sequence[ChatExample], name: str, *, plan: Plan, adapter: Adapter = Adapter()
) -> Path:
    """The folder of an adapter trained on `examples` (float16, with `record.json`): the committed one if it was trained so, else a new one.

    `generator` is left as it was. New ones go to the results folder, under a name that says what they were trained on; a stopped
    training goes on where it was. Raises `ValueError` for no examples and for empty answers.
    """
    if not examples or not all(example.answer.strip() for example in examples):
        raise ValueError("Expected examples with answers to learn from; some are empty or there are none.")
    asked = {
        "model": generator.name,
        "examples": fingerprint(list(examples)),
        "plan": asdict(plan),
        "adapter": asdict(adapter),
    }
    folders = [ADAPTERS / name, results_folder() / "adapters" / f"{name}-{fingerprint(asked)}"]
    for folder in folders:
        if (folder / "record.json").exists() and asked.items() <= record_of(folder).items():
            return folder
    _train_into(folders[-1], generator, examples, plan, adapter, asked)
    return folders[-1]


def record_of(folder: Path) -> dict:
    """How an adapter was trained: model, examples, plan, losses (nats a token, one a step), tokens, seconds, threads."""
    return json.loads((folder / "record.json").read_text("utf-8"))


def _train_into(
    folder: Path, generator: Generator, examples: Sequence[ChatExample], plan: Plan, adapter: Adapter, asked: dict
) -> None:
    """Train, write the adapter, and as the last step its record."""
    started, cpu = time.perf_counter(), time.process_time()
    checkpoint = folder / "training.safetensors"
    tuned, losses, n_tokens = _train(generator, examples, plan, adapter, checkpoint)
    save_adapter(tuned, folder)
    record = asked | {
        "n_examples": len(examples),
        "n_tokens": n_tokens,
        "n_trained_weights": n_trainable(tuned),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "losses": [round(loss, 4) for loss in losses],
    }
    (folder / "record.json").write_text(json.dumps(record) + "\n", "utf-8")
    checkpoint.unlink()


def _train(
    generator: Generator, examples: Sequence[ChatExample], plan: Plan, adapter: Adapter, checkpoint: Path
) -> tuple[PeftModel, list[float], int]:
    """The model with its trained adapter, the losses, and how many tokens the examples have."""
    torch.manual_seed(plan.seed)
    n_layers = generator.model.config.num_hidden_layers
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=MATRICES,
        layers_to_transform=list(range(adapter.first_layer, n_layers)),
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(copy.deepcopy(generator.model), config)
    lower, upper = halves(tuned.get_base_model(), adapter.first_layer)
    encoded = [encode(generator, example) for example in examples]
    kept = _lower_states(lower, [ids for ids, _ in encoded])

    def loss_of(batch: list[int]) -> torch.Tensor:
        hidden = torch.nn.utils.rnn.pad_sequence([kept[i] for i in batch], batch_first=True)
        hidden = upper(
            inputs_embeds=hidden, use_cache=False
        ).last_hidden_state  # [n, longest, d]; padding comes last: unseen
        said = [hidden[row, encoded[i][1] - 1 : len(encoded[i][0]) - 1] for row, i in enumerate(batch)]
        wanted = [encoded[i][0][encoded[i][1] :] for i in batch]
        logits = tuned.get_base_model().lm_head(
            torch.cat(said)
        )  # of the answers' tokens only: [n_tokens, n_vocabulary]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(sum(wanted, [])))

    lengths = [len(ids) for ids, _ in encoded]
    losses = train(tuned, loss_of, lengths=lengths, plan=plan, checkpoint=checkpoint, made_for=fingerprint(encoded))
    return tuned, losses, sum(len(ids) for ids, _ in encoded)


def encode(generator: Generator, example: ChatExample) -> tuple[list[int], int]:
    """The tokens of prompt, answer and the sign that ends it; and where the answer begins."""
    tokenizer = generator.tokenizer
    prompt = tokenizer(generator.render(list(example.messages)), add_special_tokens=False)["input_ids"]
    answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
    return [*prompt, *answer, tokenizer.eos_token_id], len(prompt)


def halves(model: PreTrainedModel, first_layer: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The layers below `first_layer` (without the final norm) and the rest, sharing the model's weights.

    `upper(inputs_embeds=lower(input_ids).last_hidden_state)` is what the whole model computes, padding on the right.
    """
    body, layers = model.model, model.model.layers
    lower, upper = copy.copy(body), copy.copy(body)
    lower._modules = body._modules | {"layers": layers[:first_layer], "norm": torch.nn.Identity()}
    upper._modules = body._modules | {"layers": layers[first_layer:]}
    return lower, upper


@torch.inference_mode()
def _lower_states(lower: torch.nn.Module, prompts: Sequence[list[int]]) -> list[torch.Tensor]:
    """What the lower layers make of each prompt: float32 [n_tokens, d]."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    states: dict[int, torch.Tensor] = {}
    for start in range(0, len(order), READ_AT_ONCE):
        chunk = order[start : start + READ_AT_ONCE]
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(prompts[i]) for i in chunk], batch_first=True)
        hidden = lower(input_ids=ids, use_cache=False).last_hidden_state
        states |= {i: hidden[row, : len(prompts[i])].clone() for row, i in enumerate(chunk)}
    return [states[i] for i in range(len(prompts))]


def save_adapter(tuned: PeftModel, folder: Path) -> None:
    """Write the adapter alone, as float16: half the size, and far below what its training noise is worth."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: w.half() for name, w in tuned.state_dict().items() if "lora_" in name}
    tuned.save_pretrained(folder, state_dict=half)
    (folder / "README.md").unlink(missing_ok=True)  # a form for a hub's page, not filled in
    config = folder / "adapter_config.json"
    settings = json.loads(config.read_text("utf-8")) | {"base_model_name_or_path": None}  # else a path of this machine
    config.write_text(json.dumps(settings, indent=2, sort_keys=True), "utf-8")


def with_adapter(generator: Generator, folder: Path) -> Generator:
    """A generator whose weights are those of `generator` plus the adapter's, merged into plain matrices.

    Its name carries the adapter's fingerprint, so rows of different adapters are never mixed. Raises `ValueError` for a folder without
    an adapter, or with one for another model.
    """
    files = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    if not all(file.exists() for file in files):
        raise ValueError(f"Expected an adapter written by `tune` in {folder}, found none. Train it, or check the path.")
    tuned = copy.copy(generator)
    try:
        tuned.model = PeftModel.from_pretrained(copy.deepcopy(generator.model), folder).merge_and_unload().eval()
    except (RuntimeError, ValueError, SafetensorError) as error:
        said = str(error).strip().splitlines()[0]
        raise ValueError(f"The adapter in {folder} does not fit {generator.name}: {said}") from error
    tuned.name = f"{generator.name} + {folder.name} {fingerprint(*(file.read_bytes().hex() for file in files))}"
    return tuned
