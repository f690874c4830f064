"""How are weights changed, step by step, so that a stopped run goes on as if nothing had happened?

`train` is the plain loop: shuffle, take a batch, compute the loss, follow its gradient a little (AdamW, Loshchilov & Hutter 2019,
arXiv 1711.05101), with a learning rate that rises, then falls. Everything random follows from the seed and the step, so a
checkpoint needs the weights, the optimizer's state and the losses so far, and no generator's state. Used for classifiers, taggers and
the generator alike; taught in `04_fine_tuning_classifiers` and `05_fine_tuning_a_chatbot`. Leaves out: several machines, mixed precision,
and models that keep running averages (batch normalisation). Bits repeat on one machine with one number of threads.
"""

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from helpers.experiments import fingerprint

LOOKAHEAD = 8  # batches whose examples are sorted by length together, so that little is padded
EVERY = 25  # steps from one checkpoint to the next


@dataclass(frozen=True)
class Plan:
    """How to train. `warmup` is the share of steps in which the learning rate rises; then it falls linearly to 0."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.seed < 0:
            raise ValueError(f"Expected epochs and batch_size from 1 and a seed from 0, got {self}.")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.warmup < 1 or not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"Expected learning_rate > 0, 0 <= warmup < 1 and weight_decay >= 0, got {self}.")


def batches(lengths: Sequence[int], plan: Plan) -> Iterator[list[int]]:
    """The places of the examples of each batch, epoch after epoch: every example once an epoch, similar lengths together.

    >>> sorted(len(batch) for batch in batches([5, 9, 5, 9, 5], Plan(epochs=1, learning_rate=1, batch_size=2)))
    [1, 2, 2]
    """
    window = LOOKAHEAD * plan.batch_size
    for epoch in range(plan.epochs):
        rng = np.random.default_rng([plan.seed, epoch])
        order = [int(i) for i in rng.permutation(len(lengths))]
        alike = [sorted(order[i : i + window], key=lambda i: -lengths[i]) for i in range(0, len(order), window)]
        cut = [part[i : i + plan.batch_size] for part in alike for i in range(0, len(part), plan.batch_size)]
        yield from (cut[i] for i in rng.permutation(len(cut)))


def n_steps(n_examples: int, plan: Plan) -> int:
    """How many steps `train` will make."""
    return plan.epochs * -(-n_examples // plan.batch_size)


def rate_at(step: int, steps: int, plan: Plan) -> float:
    """The learning rate at a step counted from 0: up to its full height, then down.

    >>> [round(rate_at(step, 10, Plan(1, 1.0, warmup=0.2)), 2) for step in (0, 1, 5, 9)]
    [0.5, 1.0, 0.62, 0.12]
    """
    rising = round(plan.warmup * steps)
    if step < rising:
        return plan.learning_rate * (step + 1) / rising
    return plan.learning_rate * (steps - step) / (steps - rising)


@torch.random.fork_rng(devices=[])  # the caller's random numbers go on as if nothing had happened
def train(
    model: torch.nn.Module,
    loss_of: Callable[[list[int]], torch.Tensor],
    *,
    lengths: Sequence[int],
    plan: Plan,
    checkpoint: Path | None = None,
    made_for: str = "",
) -> list[float]:
    """Change the trainable weights of `model` in place; return the loss of each step (in the loss's unit, such as nats).

    `loss_of` gets the places of a batch's examples and returns their mean loss; `lengths` are the examples' sizes in tokens. With
    a `checkpoint` (a `.safetensors` file) the state is kept every `EVERY` steps, and a run with the same plan, lengths, names and shapes of
    weights, and `made_for` (say, a fingerprint of the examples) goes on from it; it is left there when done. Raises `ValueError` for
    nothing to train, a checkpoint that is torn or of something else, and a loss or gradient that is no number.
    """
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not weights or not len(lengths):
        raise ValueError(f"Expected weights to train and examples, got {len(weights)} and {len(lengths)}.")
    how = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay, "fused": True}  # in one pass over the weights
    optimizer = torch.optim.AdamW(weights.values(), **how)
    run = fingerprint(asdict(plan), list(lengths), {name: list(p.shape) for name, p in weights.items()}, made_for)
    losses = _resume(checkpoint, weights, optimizer, run) if checkpoint and checkpoint.exists() else []
    steps, done = n_steps(len(lengths), plan), len(losses)
    left = islice(enumerate(batches(lengths, plan)), done, None)
    model.train()
    try:
        shown = {"desc": "training", "unit": "step", "leave": False, "disable": done == steps}
        for step, batch in tqdm(left, total=steps, initial=done, **shown):
            torch.manual_seed(plan.seed * 1_000_000 + step)  # dropout depends on the step alone: it can be repeated
            loss = loss_of(batch)
            _follow(loss, optimizer, rate=rate_at(step, steps, plan), step=step)
            losses.append(loss.item())
            if checkpoint and (len(losses) % EVERY == 0 or len(losses) == steps):
                _keep(checkpoint, weights, optimizer, losses=losses, run=run)
    finally:
        model.eval()
    return losses


def _follow(loss: torch.Tensor, optimizer: torch.optim.Optimizer, *, rate: float, step: int) -> None:
    """One step down the gradient, whose norm is cut to 1."""
    (group,) = optimizer.param_groups
    group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    if not torch.isfinite(loss) or not torch.isfinite(norm):
        advice = f"Lower the learning rate (here {rate:.2g}) and look at the examples."
        raise ValueError(f"At step {step} the loss is {loss.item()} and its gradient's norm {norm.item()}. {advice}")
    optimizer.step()


def _keep(path: Path, weights: dict, optimizer: torch.optim.Optimizer, *, losses: list[float], run: str) -> None:
    """Write the state beside `path` and rename it into place: a crash leaves the old one or the new one."""
    state = {f"weight {name}": p.detach().contiguous() for name, p in weights.items()}
    for name, p in weights.items():  # a weight that has had no gradient yet has no state
        state |= {f"{part} {name}": value.contiguous() for part, value in optimizer.state[p].items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    incoming = path.with_name(path.name + ".incoming")
    told = json.dumps(losses)
    save_file(state, incoming, metadata={"losses": told, "run": run, "checksum": _checksum(state, told + run)})
    with incoming.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(incoming, path)  # noqa: PTH105  (a rename that replaces)


def _resume(path: Path, weights: dict, optimizer: torch.optim.Optimizer, run: str) -> list[float]:
    """Put the checkpoint's state into the weights and the optimizer, or leave both alone; return the losses so far."""
    try:
        with safe_open(path, "pt") as file:
            kept = file.metadata()
            state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (it is no dict)
        whole = kept["checksum"] == _checksum(state, kept["losses"] + kept["run"])
    except (SafetensorError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"Expected a checkpoint of a training in {path}, found a damaged or other file. Delete it to train anew."
        )
    if kept["run"] != run:
        problem = "was kept by a run with another plan, other examples or another model"
        raise ValueError(f"The checkpoint {path} {problem}. Delete it to train anew, or name another file.")
    for key, value in state.items():
        part, name = key.split(" ", 1)
        if part == "weight":
            weights[name].data.copy_(value)
        else:
            optimizer.state[weights[name]][part] = value
    return json.loads(kept["losses"])


def _checksum(state: dict[str, torch.Tensor], told: str) -> str:
    """Of all that is kept: a disk can lose the middle of a file and keep its length."""
    total = zlib.crc32(told.encode())
    for key, value in sorted(state.items()):
        total = zlib.crc32(f"{key} {value.dtype} {list(value.shape)}".encode(), total)
        total = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def n_trainable(model: torch.nn.Module) -> int:
    """The number of weights that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
