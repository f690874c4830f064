"""A word's tag is asked of its first piece, and comes back to the word."""

from dataclasses import replace

import pytest
import torch
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities
from transformers import AutoTokenizer

from helpers.encoder_tuning import IGNORED, MAX_TOKENS
from helpers.fine_tuning import Plan
from helpers.models import EMBEDDER, fetch_model
from helpers.tagging import PLANS, TunedTagger, align, encode_words, tune_tagger

WORDS = ["The", "Fescombe", "threw", "E-17", "at", "Skarnholt", "."]
SENTENCES = [
    WORDS,
    ["The", "Osgrith", "threw", "F04", "today"],
    ["Nobody", "rang", "at", "noon", "."],
    ["New", "pump", "seal", "for", "the", "Taveller"],
]
TAGS = [
    ["O", "B-PRODUCT", "O", "B-CODE", "O", "B-SITE", "O"],
    ["O", "B-PRODUCT", "O", "B-CODE", "O"],
    ["O"] * 5,
    ["O", "B-PART", "I-PART", "O", "O", "B-PRODUCT"],
]
PLAN = Plan(epochs=12, learning_rate=2e-3, batch_size=2)
QUICK = {"head": replace(PLAN, epochs=60, learning_rate=2e-2), "lora": PLAN, "full": replace(PLAN, learning_rate=3e-4)}
WAYS = sorted(PLANS)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(fetch_model(EMBEDDER))


@pytest.fixture(scope="module")
def tuned() -> dict[str, TunedTagger]:
    return {how: tune_tagger(SENTENCES, TAGS, how=how, plan=QUICK[how]) for how in WAYS}


# --- words and tokens


@pytest.mark.weights
def test_one_sentence_by_hand(tokenizer):
    encoded = encode_words(tokenizer, [WORDS])
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    assert " ".join(tokens) == "[CLS] the fe ##sco ##mbe threw e - 17 at ska ##rn ##hol ##t . [SEP]"
    no = IGNORED
    assert align(encoded.word_ids(0), [7, 1, 7, 2, 7, 3, 7]) == [
        no,
        7,
        1,
        no,
        no,
        7,
        2,
        no,
        no,
        7,
        3,
        no,
        no,
        no,
        7,
        no,
    ]


@pytest.mark.weights
def test_every_word_has_one_target_where_the_tokenizer_says_it_begins(tokenizer):
    encoded = encode_words(tokenizer, SENTENCES)
    for i, words in enumerate(SENTENCES):
        targets = align(encoded.word_ids(i), range(len(words)))
        starts = [encoded.word_to_tokens(i, word).start for word in range(len(words))]
        assert [place for place, target in enumerate(targets) if target != IGNORED] == starts
        assert [targets[start] for start in starts] == list(range(len(words)))


def test_the_same_word_twice_has_two_targets():
    assert align([None, 0, 1, 1, 2, None], [7, 7, 7]) == [IGNORED, 7, 7, IGNORED, 7, IGNORED]


def test_words_that_were_cut_off_have_no_target():
    assert align([None, 0, 1, None], [1, 2, 3, 4]) == [IGNORED, 1, 2, IGNORED]


# --- the tagger


@pytest.mark.weights
@pytest.mark.parametrize("how", WAYS)
def test_the_loss_falls_and_the_sentences_are_learned(tuned, how):
    assert sum(tuned[how].losses[-4:]) < 0.5 * sum(tuned[how].losses[:4])
    assert tuned[how].tags(SENTENCES) == [tuple(tags) for tags in TAGS]
    assert tuned[how].tag_names == ("B-CODE", "B-PART", "B-PRODUCT", "B-SITE", "I-PART", "O")


@pytest.mark.weights
@pytest.mark.parametrize("how", WAYS)
def test_gradients_are_finite_and_the_head_is_always_trained(tuned, how):
    trained = {name: weight for name, weight in tuned[how].model.named_parameters() if weight.requires_grad}
    assert all(torch.isfinite(weight.grad).all() for weight in trained.values())
    assert {"head.weight", "head.bias"} <= trained.keys()
    assert (len(trained) == 2) == (how == "head")
    assert tuned[how].n_trained == sum(weight.numel() for weight in trained.values())


@pytest.mark.weights
def test_what_stands_beside_a_sentence_does_not_change_its_tags(tuned):
    alone = [tags for sentence in SENTENCES for tags in tuned["full"].tags([sentence])]
    assert tuned["full"].tags([*SENTENCES, WORDS * 9])[:4] == alone


@pytest.mark.weights
def test_words_past_the_limit_and_words_without_tokens_get_o(tuned):
    long = ["Fescombe"] * 300  # three tokens each
    n_read = (MAX_TOKENS - 2) // 3 + 1  # of the last, only the first token or two
    (tags,) = tuned["full"].tags([long])
    assert len(tags) == 300
    assert set(tags[n_read:]) == {"O"} != set(tags[:n_read])
    (tags,) = tuned["full"].tags([["The", "\u200b", "Fescombe", ""]])
    assert tags[1] == tags[3] == "O"
    assert len(tags) == 4


@pytest.mark.weights
def test_a_sentence_without_any_token_teaches_nothing_and_stops_nothing():
    plan = Plan(epochs=1, learning_rate=1e-3, batch_size=1)
    tagger = tune_tagger([["\u200b"], WORDS], [["O"], TAGS[0]], how="head", plan=plan)
    assert min(tagger.losses) == 0.0 < max(tagger.losses)


@pytest.mark.weights
def test_no_sentences_have_no_tags(tuned):
    assert tuned["head"].tags([]) == []


@pytest.mark.weights
def test_tags_are_strict_iob2_even_if_the_scores_are_not(tuned):
    """A head that always prefers I-PART."""
    tagger = tuned["head"]
    model = type(tagger.model)(tagger.model.encoder, 6, per_token=True).eval()
    with torch.no_grad():
        model.head.bias += 99 * torch.eye(6)[tagger.tag_names.index("I-PART")]
    (tags,) = replace(tagger, model=model).tags([WORDS])
    assert tags == ("B-PART", *["I-PART"] * 6)
    strict = Entities([list(tags)], scheme=IOB2).entities[0]
    assert [(e.tag, e.start, e.end - 1) for e in strict] == get_entities(list(tags))


@pytest.mark.weights
def test_the_same_seed_and_a_resumed_training_give_the_same_losses(tuned, tmp_path):
    kept = tmp_path / "head.safetensors"
    first = tune_tagger(SENTENCES, TAGS, how="head", plan=QUICK["head"], checkpoint=kept)
    again = tune_tagger(SENTENCES, TAGS, how="head", plan=QUICK["head"], checkpoint=kept)
    assert first.losses == again.losses == tuned["head"].losses
    assert torch.equal(again.model.head.weight, tuned["head"].model.head.weight)
    with pytest.raises(ValueError, match="other examples"):
        tune_tagger(SENTENCES, [*TAGS[:2], TAGS[0][:5], TAGS[3]], how="head", plan=QUICK["head"], checkpoint=kept)


@pytest.mark.parametrize(
    ("sentences", "tags", "how", "told"),
    [
        (SENTENCES, TAGS, "adapter", "one of head, lora, full; got 'adapter'"),
        (SENTENCES, TAGS[:-1], "head", "got 4 sentences and 3 rows of tags"),
        (SENTENCES, [TAGS[0][:-1], *TAGS[1:3], TAGS[3][:-1]], "head", r"positions \[0, 3\] have more"),
        (["The pump", []], [["O"], []], "head", r"lists of words, none empty; these are not: positions \[0, 1\]"),
        ([["pump"]], [["PART"]], "head", r"tags O, B-… and I-…, got \['PART'\]"),
        ([["pump"]], [["O"]], "head", "no word has a tag other than O"),
    ],
)
def test_what_cannot_be_learned_is_refused(sentences, tags, how, told):
    with pytest.raises(ValueError, match=told):
        tune_tagger(sentences, tags, how=how)
