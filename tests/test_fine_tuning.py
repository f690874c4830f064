"""Training is the plain loop, and one that was stopped anywhere ends with the very bits of one that was not."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import get_linear_schedule_with_warmup

from helpers import fine_tuning
from helpers.fine_tuning import Plan, batches, n_steps, n_trainable, rate_at, train
from helpers.runtime import ROOT

QUICKLY = settings(max_examples=60, deadline=None)
PLAN = Plan(epochs=3, learning_rate=0.05, batch_size=4, seed=1)
LENGTHS = [5, 3, 9, 3, 7, 2, 2, 8, 6, 4, 4, 9, 1, 5, 5, 3]  # 16 examples: 12 steps
STEPS = n_steps(len(LENGTHS), PLAN)
INPUTS = torch.randn(len(LENGTHS), 6, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS.sum(dim=1) > 0).long()


class Stopped(Exception):  # noqa: N818  (no error: somebody pulled the plug)
    """The process ends here."""


def small_model(*, width: int = 8) -> torch.nn.Module:
    """Dropout makes it depend on random numbers; its first layer is frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(6, width), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(width, 2)]
    layers[0].requires_grad_(False)
    return torch.nn.Sequential(*layers)


def run(model: torch.nn.Module, *, plan: Plan = PLAN, stop_at: int | None = None, **arguments) -> list[float]:
    """Train on the toy examples; `stop_at` counts this run's steps."""
    steps = itertools.count()

    def loss_of(batch: list[int]) -> torch.Tensor:
        if next(steps) == stop_at:
            raise Stopped
        return torch.nn.functional.cross_entropy(model(INPUTS[batch]), TARGETS[batch])

    return train(model, loss_of, plan=plan, **{"lengths": LENGTHS} | arguments)


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: weight.detach().numpy().tobytes() for name, weight in model.state_dict().items()}


@pytest.fixture(autouse=True)
def checkpoints_every_5_steps(monkeypatch):
    monkeypatch.setattr(fine_tuning, "EVERY", 5)


@pytest.fixture(scope="module")
def unstopped() -> tuple[dict[str, bytes], list[float]]:
    model = small_model()
    losses = run(model)
    return bits(model), losses


# --- batches and rates

plans = st.builds(
    Plan,
    epochs=st.integers(1, 3),
    learning_rate=st.just(1.0),
    batch_size=st.integers(1, 7),
    warmup=st.floats(0, 0.99),
    seed=st.integers(0, 9),
)


@QUICKLY
@given(st.lists(st.integers(1, 50), min_size=1, max_size=150), plans)
def test_each_epoch_sees_every_example_once_in_as_many_steps_as_announced(lengths, plan):
    made = list(batches(lengths, plan))
    per_epoch = len(made) // plan.epochs
    assert len(made) == n_steps(len(lengths), plan)
    for epoch in range(plan.epochs):
        seen = sum(made[epoch * per_epoch : (epoch + 1) * per_epoch], [])
        assert sorted(seen) == list(range(len(lengths)))
    assert max(map(len, made)) <= plan.batch_size


def test_batches_follow_from_the_seed_and_differ_between_epochs():
    first, again = list(batches(LENGTHS, PLAN)), list(batches(LENGTHS, PLAN))
    assert first == again != list(batches(LENGTHS, replace(PLAN, seed=2)))
    assert first[:4] != first[4:8]


def test_similar_lengths_stand_together_so_little_is_padded():
    lengths = [1 + (i * 37) % 100 for i in range(256)]
    plan = Plan(epochs=1, learning_rate=1, batch_size=8)
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches(lengths, plan))
    at_random = sum(max(lengths[i : i + 8]) * 8 for i in range(0, 256, 8))
    assert padded < 1.15 * sum(lengths) < at_random


def test_long_and_short_batches_come_in_no_order():
    plan = Plan(epochs=1, learning_rate=1, batch_size=4)
    longest = [max(batch) for batch in batches(list(range(1, 33)), plan)]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


@QUICKLY
@given(st.integers(1, 200), plans)
def test_the_rate_rises_to_its_height_then_falls_as_the_one_of_transformers(steps, plan):
    rates = [rate_at(step, steps, plan) for step in range(steps)]
    rising = round(plan.warmup * steps)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, rising, steps).lr_lambdas[0]
    assert rates[rising:] == pytest.approx([theirs(step) for step in range(rising, steps)])
    shifted = [theirs(step + 1) for step in range(rising - 1)]  # ours wastes no step at a rate of 0
    assert rates[: max(rising - 1, 0)] == pytest.approx(shifted)
    assert 0 < min(rates) <= max(rates) == 1.0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"epochs": 0}, "epochs and batch_size from 1"),
        ({"batch_size": 0}, "epochs and batch_size from 1"),
        ({"seed": -1}, "a seed from 0"),
        ({"learning_rate": 0.0}, "learning_rate > 0"),
        ({"learning_rate": float("nan")}, "learning_rate > 0"),
        ({"learning_rate": float("inf")}, "learning_rate > 0"),
        ({"warmup": 1.0}, "warmup < 1"),
        ({"weight_decay": -0.1}, "weight_decay >= 0"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        replace(PLAN, **wrong)


# --- the loop


def test_it_is_the_loop_one_would_write_with_pytorch_alone():
    ours, theirs = small_model(), small_model()
    losses = run(ours)
    trained = [p for p in theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=PLAN.learning_rate, weight_decay=PLAN.weight_decay)
    for step, batch in enumerate(batches(LENGTHS, PLAN)):
        optimizer.param_groups[0]["lr"] = rate_at(step, STEPS, PLAN)
        torch.manual_seed(PLAN.seed * 1_000_000 + step)
        loss = torch.nn.functional.cross_entropy(theirs(INPUTS[batch]), TARGETS[batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        assert losses[step] == loss.item()
    assert bits(ours) == bits(theirs)


def test_the_loss_falls():
    losses = run(small_model(), plan=replace(PLAN, epochs=30))
    assert sum(losses[-12:]) < 0.8 * sum(losses[:12])


def test_what_is_trained_changes_and_what_is_frozen_keeps_every_bit():
    model, before = small_model(), bits(small_model())
    run(model)
    changed = {name for name, now in bits(model).items() if now != before[name]}
    assert changed == {"3.weight", "3.bias"}
    assert n_trainable(model) == 2 * 8 + 2


def test_gradients_are_finite():
    model = small_model()
    run(model)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(unstopped):
    model, other = small_model(), small_model()
    assert run(model) == unstopped[1]
    run(other, plan=replace(PLAN, seed=2))
    assert bits(model) == unstopped[0] != bits(other)


def test_the_callers_random_numbers_go_on_as_if_nothing_had_happened(unstopped):
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    model = small_model()
    run(model)
    assert torch.equal(before, torch.get_rng_state())
    assert bits(model) == unstopped[0]


@pytest.mark.parametrize("stop_at", [None, 0, 7])
def test_the_model_is_left_as_for_use_without_dropout(stop_at):
    model = small_model()
    try:
        run(model, stop_at=stop_at)
    except Stopped:
        assert stop_at is not None
    assert not model.training


def test_nothing_to_train_is_refused():
    frozen = small_model().requires_grad_(False)
    with pytest.raises(ValueError, match="Expected weights to train and examples, got 0 and 16"):
        run(frozen)
    with pytest.raises(ValueError, match="got 2 and 0"):
        run(small_model(), lengths=[])


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda w: (w * float("nan")).sum(), "the loss is nan"),
        (lambda w: (w.abs() * float("inf")).sum(), "the loss is inf"),
        (lambda w: (w - w).abs().sqrt().sum(), "its gradient's norm nan"),  # the loss is 0, its slope is none
    ],
)
def test_a_loss_or_gradient_that_is_no_number_stops_before_it_spoils_the_weights(loss, told):
    model = small_model()
    with pytest.raises(ValueError, match=f"At step 0 .*{told}.*Lower the learning rate"):
        train(model, lambda batch: loss(model[3].weight), lengths=LENGTHS, plan=PLAN)
    assert bits(model) == bits(small_model())


# --- stopped and resumed


@pytest.mark.parametrize("stop_at", range(STEPS))
def test_stopped_at_any_step_it_ends_with_the_same_bits(stop_at, tmp_path, unstopped):
    kept = tmp_path / "training.safetensors"
    with pytest.raises(Stopped):
        run(small_model(), stop_at=stop_at, checkpoint=kept)
    assert kept.exists() == (stop_at >= 5)
    model = small_model()
    assert run(model, checkpoint=kept) == unstopped[1]
    assert bits(model) == unstopped[0]


def test_stopped_again_and_again_it_ends_with_the_same_bits(tmp_path, unstopped):
    kept = tmp_path / "deep" / "training.safetensors"
    for stop_at in (6, 0, 5, 1):  # of the steps of each run: the checkpoints stand at 5, 5, 10, 10
        with pytest.raises(Stopped):
            run(small_model(), stop_at=stop_at, checkpoint=kept)
    model = small_model()
    assert run(model, checkpoint=kept, stop_at=2) == unstopped[1]  # two steps are left, a third would stop it
    assert bits(model) == unstopped[0]


def test_a_finished_training_is_read_and_not_repeated(tmp_path, unstopped):
    kept = tmp_path / "training.safetensors"
    run(small_model(), checkpoint=kept)
    model = small_model()
    assert run(model, checkpoint=kept, stop_at=0) == unstopped[1]
    assert bits(model) == unstopped[0]
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]


def test_weights_that_get_no_gradient_do_not_spoil_the_checkpoint(tmp_path):
    """Such as an encoder's pooling layer, which the loss does not reach."""

    def with_unused() -> torch.nn.Module:
        model = small_model()
        model.unused = torch.nn.Linear(2, 2)
        model.forward = lambda inputs: model[3](model[2](model[1](model[0](inputs))))
        torch.nn.init.ones_(model.unused.weight)
        return model

    kept, whole, model = tmp_path / "training.safetensors", with_unused(), with_unused()
    run(whole)
    with pytest.raises(Stopped):
        run(with_unused(), stop_at=7, checkpoint=kept)
    run(model, checkpoint=kept)
    assert bits(model)["3.weight"] == bits(whole)["3.weight"]
    assert model.unused.weight.tolist() == [[1, 1], [1, 1]]


SCRIPT = """
import os, sys
from pathlib import Path
from helpers import fine_tuning
from tests import test_fine_tuning as toy

def replace(*names, kept=[], replace=os.replace):
    if kept:
        os.kill(os.getpid(), 9)
    kept.append(replace(*names))

fine_tuning.EVERY, os.replace = 5, replace
toy.run(toy.small_model(), checkpoint=Path(sys.argv[1]))
"""


def test_a_process_killed_before_its_second_checkpoint_is_in_place_goes_on_from_the_first(tmp_path, unstopped):
    kept = tmp_path / "training.safetensors"
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", SCRIPT, str(kept)]
    killed = subprocess.run(command, cwd=ROOT, env=os.environ | threads, capture_output=True, timeout=120)
    assert abs(killed.returncode) == 9, killed.stderr  # SIGKILL
    assert kept.with_name("training.safetensors.incoming").exists()
    model = small_model()
    assert (
        run(model, checkpoint=kept, stop_at=STEPS - 5) == unstopped[1]
    )  # from step 5 on: a further step would stop it
    assert bits(model) == unstopped[0]


# --- checkpoints of something else


@pytest.fixture
def kept(tmp_path) -> Path:
    path = tmp_path / "training.safetensors"
    with pytest.raises(Stopped):
        run(small_model(), stop_at=7, checkpoint=path, made_for="these")
    return path


@pytest.mark.parametrize(
    "other",
    [
        {"plan": replace(PLAN, learning_rate=0.06)},
        {"plan": replace(PLAN, seed=2)},
        {"plan": replace(PLAN, epochs=4)},
        {"lengths": [*LENGTHS[:-1], 4]},
        {"made_for": "those"},
    ],
)
def test_a_checkpoint_of_another_plan_or_other_examples_is_refused(kept, other):
    model = small_model()
    with pytest.raises(ValueError, match="kept by a run with another plan, other examples or another model. Delete it"):
        run(model, checkpoint=kept, **{"made_for": "these"} | other)
    assert bits(model) == bits(small_model())


@pytest.mark.parametrize("other", [small_model(width=9), small_model().requires_grad_(True)])
def test_a_checkpoint_of_another_model_is_refused(kept, other):
    with pytest.raises(ValueError, match="or another model. Delete it"):
        run(other, checkpoint=kept, made_for="these")


DAMAGED = "Expected a checkpoint of a training in .*training.safetensors, found a damaged or other file. Delete it"


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_checkpoint_is_refused(kept, share):
    content = kept.read_bytes()
    kept.write_bytes(content[: int(share * len(content))])
    model = small_model()
    with pytest.raises(ValueError, match=DAMAGED):
        run(model, checkpoint=kept, made_for="these")
    assert bits(model) == bits(small_model())


def test_a_file_of_something_else_is_refused(kept):
    kept.write_text("Not weights at all, but a long enough text to be taken for some.")
    with pytest.raises(ValueError, match=DAMAGED):
        run(small_model(), checkpoint=kept)
    save_file({"weight": torch.ones(3)}, kept)
    with pytest.raises(ValueError, match=DAMAGED):
        run(small_model(), checkpoint=kept)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_whichever_byte_is_damaged_it_is_noticed_or_means_nothing(kept, unstopped, place, flip):
    """Means nothing: the file's own blanks, which fill its head up."""
    content = bytearray(kept.read_bytes())
    content[int(place * len(content))] ^= flip
    damaged, model = kept.with_name("damaged.safetensors"), small_model()
    damaged.write_bytes(content)
    try:
        run(model, checkpoint=damaged, made_for="these")
    except ValueError as error:
        assert "Delete it to train anew" in str(error)  # noqa: PT017
        assert bits(model) == bits(small_model())
    else:
        assert bits(model) == unstopped[0]


def test_lengths_may_be_an_array():
    model, same = small_model(), small_model()
    run(model, lengths=torch.tensor(LENGTHS).numpy())
    run(same)
    assert bits(model) == bits(same)


def test_progress_counts_what_an_earlier_run_has_done(kept, monkeypatch):
    told = Counter()

    def bar(steps, **options):
        told.update(total=options["total"], initial=options["initial"])
        return steps

    monkeypatch.setattr(fine_tuning, "tqdm", bar)
    run(small_model(), checkpoint=kept, made_for="these")
    assert told == {"total": STEPS, "initial": 5}
