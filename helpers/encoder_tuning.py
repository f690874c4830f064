"""What changes when an encoder is trained for one task, and how much of it must change?

An encoder gives each token a vector; a new linear layer, the head, turns vectors into scores for labels. Three ways to train them: the
head alone on frozen vectors ("head"), the head and thin matrices beside the encoder's own ("lora", Hu et al. 2021, arXiv 2106.09685, by
the library `peft`), or all weights ("full"). Taught in `04_fine_tuning_classifiers`; `tagging` uses the same parts for labels of words.
Leaves out: several labels for one text, and contrastive training of the embeddings themselves.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from helpers.experiments import fingerprint
from helpers.fine_tuning import Plan, n_trainable, train
from helpers.models import EMBEDDER, fetch_model

MAX_TOKENS = 256  # as the embedder: what stands further back is not read
IGNORED = -100  # the target of what has no label, for PyTorch's cross-entropy
READ_AT_ONCE = 64  # texts, when nothing is trained
RANK = 8  # of the thin matrices
MATRICES = ["query", "key", "value", "dense"]  # all that a BERT layer multiplies with
PLANS = {  # chosen on a tenth of the reviews' training part, by how surprised they were by it and by what they cost
    "head": Plan(epochs=50, learning_rate=3e-3),
    "lora": Plan(epochs=4, learning_rate=3e-3),
    "full": Plan(epochs=3, learning_rate=2e-4, batch_size=16),
}


class EncoderWithHead(torch.nn.Module):
    """An encoder and a linear head that scores the mean of a text's token vectors, or each token (`per_token`)."""

    def __init__(self, encoder: torch.nn.Module, n_labels: int, *, per_token: bool = False) -> None:
        super().__init__()
        self.encoder, self.per_token = encoder, per_token
        self.head = torch.nn.Linear(encoder.config.hidden_size, n_labels)

    def features(self, texts: Sequence[list[int]]) -> torch.Tensor:
        """What the head sees of texts as token ids: float32 [n_texts, d], or [n_texts, longest, d] per token."""
        ids = pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
        sizes = torch.tensor([len(text) for text in texts])[:, None]
        mask = (torch.arange(ids.shape[1]) < sizes).long()  # 0 for padding, which is neither read nor averaged
        vectors = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return vectors if self.per_token else (vectors * mask[:, :, None]).sum(dim=1) / sizes

    def forward(self, texts: Sequence[list[int]]) -> torch.Tensor:
        """Scores before the softmax: [n_texts, n_labels], or [n_texts, longest, n_labels] per token."""
        return self.head(self.features(texts))


@dataclass(frozen=True)
class TunedClassifier:
    """A trained classifier of texts, its loss at each step (nats), and how many weights were trained."""

    labels: tuple[str, ...]
    model: EncoderWithHead = field(repr=False)
    tokenizer: PreTrainedTokenizerFast = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    n_trained: int

    @property
    def encoder(self) -> torch.nn.Module:
        """The trained encoder with plain matrices, as it would be shipped."""
        return merged(self.model.encoder)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each label: float64 [n_texts, n_labels], rows sum to 1."""
        scores = in_batches(self.model.forward, token_ids(self.tokenizer, texts))
        return torch.stack(scores).double().softmax(dim=1).numpy()

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """The means that the head sees, scaled to length 1, as `Embedder.encode` gives them: float32 [n_texts, d]."""
        means = torch.stack(in_batches(self.model.features, token_ids(self.tokenizer, texts)))
        return torch.nn.functional.normalize(means, dim=1).numpy()


def tune_classifier(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    how: str,
    plan: Plan | None = None,
    checkpoint: Path | None = None,
    model: str = EMBEDDER,
) -> TunedClassifier:
    """Train a classifier of `texts`, one label each. `how` is a key of `PLANS`, and so is the plan unless one is given.

    A `checkpoint` (see `fine_tuning.train`) continues a stopped training and gives back a finished one. The same seed gives the same
    weights. Raises `ValueError` for texts that are empty, labels that do not go with them, and a single label.
    """
    plan = plan_for(how, plan, PLANS)
    _check_labels(texts, labels)
    names = tuple(sorted(set(labels)))
    parts, tokenizer = new_model(model, len(names), how=how, seed=plan.seed)
    ids, targets = token_ids(tokenizer, texts), [[names.index(label)] for label in labels]
    losses = fit(parts, ids, targets, plan=plan, checkpoint=checkpoint)
    return TunedClassifier(names, parts, tokenizer, tuple(losses), n_trainable(parts))


def plan_for(how: str, plan: Plan | None, plans: Mapping[str, Plan]) -> Plan:
    """`plan`, or the one of `plans` if there is none. Raises `ValueError` if `how` is no key of `plans`."""
    if how not in plans:
        raise ValueError(f"Expected how to train, one of {', '.join(plans)}; got {how!r}.")
    return plan or plans[how]


def new_model(
    model: str, n_labels: int, *, how: str, seed: int, per_token: bool = False
) -> tuple[EncoderWithHead, PreTrainedTokenizerFast]:
    """A pretrained encoder with a new head, where only what `how` trains has gradients; and its tokenizer.

    What is new, the head and the thin matrices, is drawn with `seed`; the caller's random numbers go on as if nothing had happened.
    """
    folder = fetch_model(model)
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # a layer after the first token's vector, which nothing here reads
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for something by its former name
        torch.manual_seed(seed)
        if how == "lora":
            encoder = get_peft_model(encoder, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=MATRICES))
        parts = EncoderWithHead(encoder, n_labels, per_token=per_token)
    if how == "head":
        parts.encoder.requires_grad_(False)
    return parts.eval(), AutoTokenizer.from_pretrained(folder)


def fit(
    model: EncoderWithHead,
    texts: Sequence[list[int]],
    targets: Sequence[list[int]],
    *,
    plan: Plan,
    checkpoint: Path | None = None,
) -> list[float]:
    """Train what may be trained; return the loss of each step. `targets` holds one label's place per text, or one per token.

    For a frozen encoder the features are computed once, without dropout, and the head alone goes through the steps.
    """
    frozen = n_trainable(model.encoder) == 0
    kept = in_batches(model.features, texts) if frozen else []

    def loss_of(batch: list[int]) -> torch.Tensor:
        features = (
            pad_sequence([kept[i] for i in batch], batch_first=True)
            if frozen
            else model.features([texts[i] for i in batch])
        )
        wanted = pad_sequence([torch.tensor(targets[i]) for i in batch], batch_first=True, padding_value=IGNORED)
        scores = model.head(features).flatten(0, -2)
        loss = torch.nn.functional.cross_entropy(scores, wanted.flatten(), ignore_index=IGNORED, reduction="sum")
        return loss / (wanted != IGNORED).sum().clamp(min=1)

    trained = model.head if frozen else model
    made_for = fingerprint(Path(model.encoder.name_or_path).name, texts, targets)
    lengths = [len(text) for text in texts]
    return train(trained, loss_of, lengths=lengths, plan=plan, checkpoint=checkpoint, made_for=made_for)


def merged(encoder: torch.nn.Module) -> torch.nn.Module:
    """The encoder with the thin matrices added into its own, as a copy; an encoder without any is returned itself."""
    return copy.deepcopy(encoder).merge_and_unload() if isinstance(encoder, PeftModel) else encoder


def token_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """The first `MAX_TOKENS` tokens of each text, with the two that mark its beginning and end."""
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"Expected a list of at least one text, got {texts!r}.")
    if bad := [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]:
        raise ValueError(f"Texts must be non-empty strings; these are not: positions {bad[:5]}.")
    return tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]


@torch.no_grad()
def in_batches(compute: Callable[[list[list[int]]], torch.Tensor], texts: Sequence[list[int]]) -> list[torch.Tensor]:
    """What `compute` makes of each text, padding cut off, without gradients. Texts of similar length are computed together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found: dict[int, torch.Tensor] = {}
    for start in range(0, len(order), READ_AT_ONCE):
        chunk = order[start : start + READ_AT_ONCE]
        results = compute([texts[i] for i in chunk])
        per_token = results.dim() == 3  # [n_texts, longest, …], not [n_texts, …]
        found |= {i: row[: len(texts[i])] if per_token else row for i, row in zip(chunk, results, strict=True)}
    return [found[i] for i in range(len(texts))]


def _check_labels(texts: Sequence[str], labels: Sequence[str]) -> None:
    if len(texts) != len(labels):
        raise ValueError(f"Expected one label for each text, got {len(texts)} texts and {len(labels)} labels.")
    if len(set(labels)) < 2:
        raise ValueError(f"Expected at least two different labels to tell apart, got {sorted(set(labels))}.")
