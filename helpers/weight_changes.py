"""Which layers of an encoder did training change, and how much?

Compares the weights before and after, layer by layer. Taught in `04_fine_tuning_classifiers`. Leaves out: what a change does to the
vectors (look at the embeddings), and whether a layer had to change (freeze it, train and measure).
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping

import pandas as pd
import torch

from helpers.encoder_tuning import EncoderWithHead, merged

PART = re.compile(r"(?:^|\.)(embed|head\.|layers?\.(\d+)\.)")
Weights = torch.nn.Module | Mapping[str, torch.Tensor]


def change_per_layer(before: Weights, after: Weights) -> pd.DataFrame:
    """How far each layer moved: the Frobenius norm of its change, relative to that of its weights before.

    Takes encoders, with or without a head, or their state dicts; thin matrices (LoRA) are merged first. Columns: layer ("embeddings",
    "layer 0", …, "head"), n_weights, relative_change (nan if all were 0 before), changed (does any weight differ at all). Weights that only
    one of the two has are left out, such as a new head. Raises `ValueError` if there is nothing to compare, or shapes differ.
    """
    old, new = _weights(before), _weights(after)
    shared = [name for name in old if name in new]
    if not shared:
        raise ValueError(
            f"Expected one model before and after training, got weights named {[*old][:2]} and {[*new][:2]}."
        )
    if odd := [name for name in shared if old[name].shape != new[name].shape]:
        raise ValueError(f"Expected one model before and after training, but the shapes of {odd[:3]} differ.")
    layers: dict[str, list[str]] = defaultdict(list)
    for name in shared:
        layers[layer_of(name)].append(name)
    return pd.DataFrame(
        [_row(layer, [(old[n], new[n]) for n in layers[layer]]) for layer in sorted(layers, key=_place)]
    )


def layer_of(name: str) -> str:
    """The layer that a weight of this name belongs to.

    >>> [layer_of(name) for name in ("encoder.layer.3.output.dense.bias", "embeddings.LayerNorm.bias", "norm.weight")]
    ['layer 3', 'embeddings', 'other']
    """
    if not (part := PART.search(name)):
        return "other"
    return f"layer {part[2]}" if part[2] else {"embed": "embeddings", "head.": "head"}[part[1]]


def _place(layer: str) -> tuple[int, int]:
    """From the text upwards."""
    kind, _, number = layer.partition(" ")
    return ["embeddings", "layer", "other", "head"].index(kind), int(number or 0)


def _weights(model: Weights) -> dict[str, torch.Tensor]:
    """The weights by name, without what stands before the name of an encoder's part, which depends on what holds the encoder."""
    if isinstance(model, EncoderWithHead):
        heads = {f"head.{name}": weight for name, weight in model.head.state_dict().items()}
        return _weights(model.encoder) | heads
    state = merged(model).state_dict() if isinstance(model, torch.nn.Module) else model
    if any("lora_" in name for name in state):
        raise ValueError(
            "Expected plain matrices, got LoRA's thin ones beside them. Pass the encoder itself, to be merged."
        )
    found = {name: PART.search(name) for name in state}
    return {name[part.start(1) :] if part else name: state[name] for name, part in found.items()}


def _row(layer: str, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> dict:
    moved = math.sqrt(sum(float((b.double() - a.double()).square().sum()) for a, b in pairs))
    size = math.sqrt(sum(float(a.double().square().sum()) for a, _ in pairs))
    return {
        "layer": layer,
        "n_weights": sum(a.numel() for a, _ in pairs),
        "relative_change": moved / size if size else math.nan,
        "changed": not all(torch.equal(a, b) for a, b in pairs),
    }
