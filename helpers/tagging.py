"""How does an encoder that reads pieces of words learn the tags of whole words?

Each word's tag is asked of its first piece alone; the other pieces, and the tokens that mark beginning and end, are ignored
(`encoder_tuning.IGNORED`), as Devlin et al. 2019 (arXiv 1810.04805) did for named entities. Taught in `04_fine_tuning_classifiers`. Leaves
out: layers that know which tags may follow each other (a stray I- simply begins an entity), and nested entities.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import BatchEncoding, PreTrainedTokenizerFast

from helpers.encoder_tuning import IGNORED, MAX_TOKENS, EncoderWithHead, fit, in_batches, new_model, plan_for
from helpers.fine_tuning import Plan, n_trainable
from helpers.labelled import as_iob2
from helpers.models import EMBEDDER

PLANS = {  # chosen on a tenth of the entities' training part, by F1 and by what they cost
    "head": Plan(epochs=30, learning_rate=1e-2, batch_size=16),
    "lora": Plan(epochs=4, learning_rate=5e-3, batch_size=16),
    "full": Plan(epochs=5, learning_rate=3e-4, batch_size=16),
}


@dataclass(frozen=True)
class TunedTagger:
    """A trained tagger of words, its loss at each step (nats a word), and how many weights were trained."""

    tag_names: tuple[str, ...]
    model: EncoderWithHead = field(repr=False)
    tokenizer: PreTrainedTokenizerFast = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    n_trained: int

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        """Each word's most probable tag, in strict IOB2. Words past `MAX_TOKENS` tokens, and words without any, get O."""
        _check_sentences(sentences)
        if not len(sentences):
            return []
        encoded = encode_words(self.tokenizer, sentences)
        scores = in_batches(self.model.forward, encoded["input_ids"])
        found = zip(sentences, scores, strict=True)
        return [
            self._tags(len(words), encoded.word_ids(i), best.argmax(dim=1)) for i, (words, best) in enumerate(found)
        ]

    def _tags(self, n_words: int, word_ids: Sequence[int | None], best: torch.Tensor) -> tuple[str, ...]:
        tags = ["O"] * n_words
        for word, tag in zip(align(word_ids, range(n_words)), best.tolist(), strict=True):
            if word != IGNORED:
                tags[word] = self.tag_names[tag]
        return as_iob2(tags)


def align(word_ids: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    """Each token's target: the tag of the word that begins with it, else `IGNORED`. `word_ids` is the tokenizer's: each token's word.

    >>> align([None, 0, 1, 1, 1, None], [2, 5])
    [-100, 2, 5, -100, -100, -100]
    """
    before = [None, *word_ids]
    return [IGNORED if word in (None, last) else tags[word] for last, word in zip(before, word_ids, strict=False)]


def encode_words(tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sequence[str]]) -> BatchEncoding:
    """The first `MAX_TOKENS` tokens of each sentence of words, and which word each token belongs to."""
    words = [list(sentence) for sentence in sentences]
    return tokenizer(words, is_split_into_words=True, truncation=True, max_length=MAX_TOKENS)


def tune_tagger(
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    *,
    how: str,
    plan: Plan | None = None,
    checkpoint: Path | None = None,
    model: str = EMBEDDER,
) -> TunedTagger:
    """Train a tagger of `sentences` (words), one IOB2 tag a word. `how`, `plan`, `checkpoint` as in `encoder_tuning.tune_classifier`.

    Raises `ValueError` for sentences without words, and tags that do not go with them or are not IOB.
    """
    plan = plan_for(how, plan, PLANS)
    _check_sentences(sentences)
    _check_tags(sentences, tags)
    names = tuple(sorted({tag for sentence in tags for tag in sentence}))
    parts, tokenizer = new_model(model, len(names), how=how, seed=plan.seed, per_token=True)
    encoded = encode_words(tokenizer, sentences)
    places = [[names.index(tag) for tag in sentence] for sentence in tags]
    targets = [align(encoded.word_ids(i), tags) for i, tags in enumerate(places)]
    losses = fit(parts, encoded["input_ids"], targets, plan=plan, checkpoint=checkpoint)
    return TunedTagger(names, parts, tokenizer, tuple(losses), n_trainable(parts))


def _check_sentences(sentences: Sequence[Sequence[str]]) -> None:
    if bad := [i for i, words in enumerate(sentences) if isinstance(words, str) or not len(words)]:
        raise ValueError(f"Expected sentences as lists of words, none empty; these are not: positions {bad[:5]}.")


def _check_tags(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> None:
    if len(sentences) != len(tags):
        raise ValueError(
            f"Expected tags for each sentence, got {len(sentences)} sentences and {len(tags)} rows of tags."
        )
    pairs = enumerate(zip(sentences, tags, strict=True))
    if bad := [i for i, (words, found) in pairs if len(words) != len(found)]:
        raise ValueError(
            f"Expected one tag a word; sentences at positions {bad[:5]} have more of one than of the other."
        )
    known = {tag for sentence in tags for tag in sentence}
    if strange := sorted(tag for tag in known if tag != "O" and not tag.startswith(("B-", "I-"))):
        raise ValueError(f"Expected tags O, B-… and I-…, got {strange[:5]}.")
    if known <= {"O"}:
        raise ValueError("Expected entities to learn from: no word has a tag other than O.")
