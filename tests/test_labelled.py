"""Spans are what seqeval finds, a form is seen only with its type, and near-duplicates are all found and soon."""

import random
import time
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities

from helpers.labelled import (
    LabelledText,
    TaggedSentence,
    as_iob2,
    entities,
    is_seen,
    labels_of,
    load_entities,
    load_reviews,
    make_labelled,
    near_duplicates,
    spans,
)

QUICKLY = settings(max_examples=200, deadline=None)
any_tags = st.lists(st.sampled_from(["O", "B-PART", "I-PART", "B-creative-work", "I-creative-work"]), max_size=12)


def sentence(*pairs: str) -> TaggedSentence:
    """From "word/tag" pairs; without a tag, outside."""
    split = [pair.split("/") if "/" in pair else (pair, "O") for pair in pairs]
    return TaggedSentence("s", tuple(word for word, _ in split), tuple(tag for _, tag in split))


# --- spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], []),
        (["O", "O"], []),
        (["B-PART"], [("PART", 0, 1)]),
        (["B-PART", "B-PART"], [("PART", 0, 1), ("PART", 1, 2)]),
        (["B-PART", "I-PART", "I-PART", "O"], [("PART", 0, 3)]),
        (["O", "I-PART", "I-PART"], [("PART", 1, 3)]),  # a stray I- begins
        (["B-PART", "I-SITE", "I-SITE"], [("PART", 0, 1), ("SITE", 1, 3)]),  # another type begins too
        (["B-PART", "O", "I-PART"], [("PART", 0, 1), ("PART", 2, 3)]),
    ],
)
def test_spans_by_hand(tags, expected):
    assert spans(tags) == expected


@QUICKLY
@given(any_tags)
def test_spans_are_what_seqeval_finds_in_its_default_mode(tags):
    assert spans(tags) == [(kind, first, last + 1) for kind, first, last in get_entities(tags)]


@QUICKLY
@given(any_tags)
def test_strict_tags_have_the_same_spans_and_are_valid_iob2(tags):
    strict = as_iob2(tags)
    assert spans(strict) == spans(tags)
    found = Entities([list(strict)], IOB2).entities[0] if strict else []
    assert [(e.tag, e.start, e.end) for e in found] == spans(tags)
    assert as_iob2(strict) == strict


def test_a_texts_label_is_one_and_a_sentences_labels_are_its_types():
    assert labels_of(LabelledText("t", "Fine.", "positive")) == ["positive"]
    assert labels_of(sentence("a/B-PART", "b/I-PART", "in", "c/B-SITE", "d/B-PART")) == ["PART", "SITE", "PART"]


# --- seen and unseen


def test_a_form_is_seen_if_training_tags_it_with_that_type_whatever_its_capitals():
    train = [sentence("the", "Pump/B-PART", "SEAL/I-PART"), sentence("Orlin/B-SITE", "orlin/B-PRODUCT", "valve")]
    test = [
        sentence("pump/B-PART", "seal/I-PART", "at", "ORLIN/B-SITE"),
        sentence("pump/B-PART", "and", "Orlin/B-PRODUCT"),  # a part of a form is another form
        sentence("Orlin/B-PART", "valve/B-PART"),  # another type, and a word that was not tagged
        sentence("nothing"),
    ]
    assert is_seen(test, train) == [(True, True), (False, True), (False, False), ()]


def test_everything_is_seen_in_itself_and_nothing_in_nothing():
    sentences = load_entities().test
    assert all(all(seen) for seen in is_seen(sentences, sentences))
    assert not any(any(seen) for seen in is_seen(sentences, []))


def test_seen_flags_stand_in_the_order_of_the_spans():
    sentences = load_entities().test
    assert [len(seen) for seen in is_seen(sentences, [])] == [len(spans(s.tags)) for s in sentences]
    assert entities(sentence("x", "Hall/B-SITE", "C/I-SITE", "E-17/B-CODE")) == [("SITE", "hall c"), ("CODE", "e-17")]


# --- near-duplicates


def overlap(a: str, b: str) -> float:
    left, right = set(a.split()), set(b.split())
    return len(left & right) / len(left | right) if left | right else 0.0


short_texts = st.lists(st.lists(st.sampled_from("abcdefghijklm"), max_size=12).map(" ".join), max_size=12)


@QUICKLY
@given(short_texts, short_texts, st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]))
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(left, right, threshold):
    expected = [
        (i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a and b and overlap(a, b) >= threshold
    ]
    assert near_duplicates(left, right, threshold=threshold) == expected


def test_near_duplicates_ignore_capitals_order_repeats_and_punctuation():
    assert near_duplicates(["Send it, send it back!"], ["back it SEND"]) == [(0, 0)]
    assert near_duplicates(["!!!", ""], ["???", ""]) == []


def test_ten_thousand_texts_are_compared_with_three_thousand_in_seconds():
    chance = random.Random(0)
    words = [f"w{int(chance.paretovariate(0.6)) % 4000}" for _ in range(200_000)]
    texts = [" ".join(chance.sample(words, 14)) for _ in range(13_000)]
    texts[3_000] = texts[17]
    started = time.perf_counter()
    assert (17, 0) in near_duplicates(texts[:3_000], texts[3_000:])
    assert time.perf_counter() - started < 10


# --- the workbook's own sets


def test_a_review_is_read_with_all_that_is_known_of_it():
    review = next(r for r in load_reviews().test if r.id == "water-r003")
    expected = "Quick delivery, sweet driver, rotten filter. No second date."
    assert review == LabelledText("water-r003", expected, "negative", "mixed", "social", 1)


def test_a_sentence_is_read_with_its_tokens_and_tags():
    read = next(s for s in load_entities().test if s.id == "e0004")
    assert read.text.startswith("Can anyone tell me whether ticket 90417 was closed")
    assert entities(read) == [("ORDER", "90417")] and read.tags[6] == "B-ORDER"


def test_labels_are_sorted_and_those_of_any_part():
    item = LabelledText("1", "a", "b")
    made = make_labelled("x", {"train": [item], "dev": [], "test": [LabelledText("2", "c", "a")]}, notes=["n"])
    assert (made.labels, made.dev, made.notes) == (("a", "b"), (), ("n",))
    assert load_reviews().labels == ("negative", "positive")


def test_records_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        load_reviews().train[0].label = "negative"
