"""Taggers without tuning: patterns and remembered names, word vectors, and the floor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from helpers.embeddings import Embedder
from helpers.entity_baselines import Nothing, OnTokenEmbeddings, Rules, gazetteer, word_vectors
from helpers.labelled import TaggedSentence, as_iob2, spans

QUICKLY = settings(max_examples=60, deadline=None)
TYPES = ("ERROR_CODE", "ORDER", "VERSION")


def sentence(marked: str) -> TaggedSentence:
    """Words between blanks, `word/TYPE` an entity's first, `word/-` its further words."""
    tokens, tags = [], []
    for part in marked.split():
        word, _, kind = part.rpartition("/") if part.endswith("/-") or part.split("/")[-1].isupper() else (part, "", "")
        tokens.append(word)
        tags.append("O" if not kind else f"I-{tags[-1][2:]}" if kind == "-" else f"B-{kind}")
    return TaggedSentence(marked, tuple(tokens), tuple(tags))


def entities(tagger, text: str) -> list[tuple[str, str]]:
    words = text.split()
    (tags,) = tagger.tags([words])
    assert as_iob2(tags) == tags and len(tags) == len(words)
    return [(" ".join(words[first:end]), kind) for kind, first, end in spans(tags)]


TRAIN = [
    sentence("The Orlin/PRODUCT at Tarsk/SITE lost its pump/PART seal/- again"),
    sentence("A pump/PART for the Orlin/PRODUCT 7/-"),
    sentence("It shows E-1/ERROR_CODE on 1.2/VERSION says OT-1/ORDER"),
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_the_floor_finds_nothing():
    assert Nothing().tags([["a", "b"], ["c"]]) == [("O", "O"), ("O",)]


# --- names


def test_the_longest_name_wins_and_case_is_ignored():
    rules = Rules(TRAIN, patterns=())
    assert entities(rules, "the PUMP SEAL of the orlin 7") == [("PUMP SEAL", "PART"), ("orlin 7", "PRODUCT")]
    assert entities(rules, "an Orlin in Tarsk") == [("Orlin", "PRODUCT"), ("Tarsk", "SITE")]
    assert entities(rules, "a seal and Tarsks") == []


def test_two_names_side_by_side_are_two_entities():
    assert entities(Rules(TRAIN), "Orlin Orlin Tarsk") == [("Orlin", "PRODUCT")] * 2 + [("Tarsk", "SITE")]


def test_an_ambiguous_name_takes_its_most_frequent_type():
    train = [sentence("Brack/SITE"), sentence("Brack/PRODUCT"), sentence("brack/PRODUCT")]
    assert gazetteer(train) == {("brack",): "PRODUCT"}
    assert gazetteer(train[:2]) == {("brack",): "PRODUCT"}, "the first in the alphabet of equals"


def test_a_name_that_is_mostly_an_ordinary_word_is_left_alone():
    train = [sentence("a Lull/PRODUCT"), sentence("in the lull the lull came")]
    assert gazetteer(train) == {}
    assert gazetteer([*train, sentence("Lull/PRODUCT")]) == {("lull",): "PRODUCT"}


def test_a_word_inside_a_longer_name_does_not_count_as_ordinary():
    assert gazetteer([sentence("pump/PART"), sentence("pump/PART seal/- , pump/PART seal/-")])["pump",] == "PART"


@QUICKLY
@given(st.lists(st.lists(st.sampled_from(["Orlin/PRODUCT", "Tarsk/SITE", "leaks", "in"]), min_size=1), min_size=1))
def test_names_that_are_always_tagged_alike_are_all_found_again(drawn):
    train = [sentence(" ".join(words)) for words in drawn]
    assert Rules(train).tags([s.tokens for s in train]) == [s.tags for s in train]


# --- patterns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It throws F04 and e-17 .", [("F04", "ERROR_CODE"), ("e-17", "ERROR_CODE")]),
        ("error 9 or fault 31 B", [("error 9", "ERROR_CODE"), ("fault 31 B", "ERROR_CODE")]),
        ("It says 31 and beeps", [("31", "ERROR_CODE")]),
        ("We sold 31 for 40 at 90 degrees in 2023", []),
        (
            "ticket 90233 and OT-88213 , claim 40-1177",
            [("90233", "ORDER"), ("OT-88213", "ORDER"), ("40-1177", "ORDER")],
        ),
        ("paid 90233 crowns", []),
        ("firmware 3.2 , v6.4.1 , build 2207", [("3.2", "VERSION"), ("v6.4.1", "VERSION"), ("build 2207", "VERSION")]),
        ("1.2 litres of v oil", []),
        ("6 . 4 . 1", [("6 . 4 . 1", "VERSION")]),  # cut apart by another tokenizer
        ("E - 17", [("E - 17", "ERROR_CODE")]),
    ],
)
def test_patterns_by_hand(text, expected):
    train = [TaggedSentence("t", TYPES, tuple(f"B-{kind}" for kind in TYPES))]
    assert entities(Rules(train), text) == expected


def test_patterns_of_types_that_training_lacks_are_not_used():
    assert entities(Rules([sentence("Tarsk/SITE")]), "E-17 in Tarsk") == [("Tarsk", "SITE")]


def test_own_patterns_can_be_given():
    rules = Rules([sentence("x/ZIP")], patterns=[("ZIP", "zip ", r"\d{5}")])
    assert entities(rules, "zip 12345 not 12345 nor zip 123456") == [("12345", "ZIP")]


@QUICKLY
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=8), min_size=1))
def test_any_words_get_one_tag_each_in_strict_iob2(words):
    (tags,) = Rules(TRAIN).tags([words])
    assert len(tags) == len(words) and as_iob2(tags) == tags


# --- word vectors


@pytest.mark.weights
def test_a_words_vector_is_the_mean_of_its_pieces(embedder):
    words = ["The", "Orlin-7", "leaks", "unbelievably", "fast"]
    (vectors,) = word_vectors(embedder, [words])
    encoded = embedder.model.tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.inference_mode():
        states = embedder.model.transformers_model(**encoded).last_hidden_state[0].numpy()
    for word in range(len(words)):
        pieces = [state for state, owner in zip(states, encoded.word_ids(), strict=True) if owner == word]
        np.testing.assert_allclose(vectors[word], np.mean(pieces, axis=0), atol=1e-5)
    assert encoded.word_ids().count(1) > 1


@pytest.mark.weights
def test_vectors_do_not_depend_on_what_is_read_along(embedder):
    sentences = [list(s.tokens) for s in TRAIN]
    for one, alone in zip(word_vectors(embedder, sentences), sentences, strict=True):
        np.testing.assert_allclose(one, word_vectors(embedder, [alone])[0], atol=1e-5)


@pytest.mark.weights
def test_the_same_word_among_other_words_has_another_vector(embedder):
    river, money = word_vectors(
        embedder, [["the", "bank", "of", "the", "river"], ["the", "bank", "lent", "us", "money"]]
    )
    assert np.abs(river[1] - money[1]).max() > 0.1


@pytest.mark.weights
@pytest.mark.parametrize(
    "estimator", [None, KNeighborsClassifier(3, metric="cosine")], ids=["regression", "neighbours"]
)
def test_new_names_are_found_by_what_stands_around_them(embedder, estimator):
    towns, people = (
        ["Paris", "Rome", "Oslo", "Bonn", "Cairo", "Lima"],
        ["Anna", "Peter", "Maria", "James", "Laura", "Tom"],
    )
    train = [sentence(f"we live in {town}/SITE with {name}/PERSON") for town, name in zip(towns, people, strict=True)]
    tagger = OnTokenEmbeddings(embedder, train, estimator=estimator)
    assert entities(tagger, "we live in Madrid with Susan") == [("Madrid", "SITE"), ("Susan", "PERSON")]
    assert estimator is None or not hasattr(estimator, "classes_"), "the learner's own is left as it was"


@pytest.mark.weights
def test_words_that_are_not_read_are_outside(embedder):
    tagger = OnTokenEmbeddings(embedder, [sentence("Oslo/SITE Rome/SITE Bonn/SITE"), sentence("of the and")])
    words = ["Oslo", "\u200b", *["Oslo"] * 400]
    read = word_vectors(embedder, [words])[0].any(axis=1)
    assert read.tolist() == [True, False, *[True] * 253, *[False] * 147], "256 tokens with the two at beginning and end"
    (tags,) = tagger.tags([words])
    assert len(tags) == len(words) and tags[0] == "B-SITE"
    assert {tag for tag, seen in zip(tags, read, strict=True) if not seen} == {"O"}


@pytest.mark.weights
def test_every_sentence_of_several_batches_gets_its_own_tags(embedder):
    tagger = OnTokenEmbeddings(embedder, TRAIN)
    few = [list(s.tokens) for s in TRAIN]
    assert tagger.tags(few * 12) == [tagger.tags([words])[0] for words in few] * 12
    assert tagger.tags(few) != Nothing().tags(few)


@pytest.mark.weights
def test_one_tag_alone_and_empty_sentences_are_refused(embedder):
    with pytest.raises(ValueError, match=r"at least two different tags, got \['O'\]"):
        OnTokenEmbeddings(embedder, [sentence("of the")])
    for sentences in ([], [["a"], []]):
        with pytest.raises(ValueError, match="lists of words, at least one and none of them empty"):
            word_vectors(embedder, sentences)
