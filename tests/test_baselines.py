"""Every classifier gives probabilities; each does what its name says; hundreds of prompts score as one by one."""

import csv
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from helpers import baselines, option_scoring
from helpers.baselines import (
    LEXICON,
    STRENGTHS,
    Lexicon,
    Majority,
    OnEmbeddings,
    Prompted,
    draw_shots,
    knn,
    logistic,
    predict,
)
from helpers.embeddings import Embedder
from helpers.generation import Generator
from helpers.labelled import LabelledText
from helpers.option_scoring import branches, option_scores
from helpers.prompts import classification, closed_book

QUICKLY = settings(max_examples=60, deadline=None)
PRAISE = [
    "It runs day and night.",
    "A joy to use.",
    "I bought a second one.",
    "My best purchase this year.",
    "Works well.",
]
BLAME = ["It broke after a day.", "A pain to use.", "I sent it back.", "My worst purchase this year.", "Never works."]
TRAIN = [
    LabelledText(f"{label}{i}", text, label)
    for label, texts in (("positive", PRAISE), ("negative", BLAME))
    for i, text in enumerate(texts)
]
TEXTS = [
    "It works every day.",
    "It stopped and I sent it back.",
    "The lid is blue and the tank holds two litres of water.",
]


class Letters:
    """An encoder that needs no weights: how often each letter occurs."""

    def encode(self, texts):
        return np.array([[text.casefold().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], "float32")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


def check_probabilities(classifier, texts=TEXTS) -> np.ndarray:
    found = classifier.probabilities(texts)
    assert found.shape == (len(texts), len(classifier.labels)) and found.dtype == np.float64
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    return found


# --- majority


@QUICKLY
@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_the_floor_gives_every_label_its_share_of_the_training_texts(labels):
    classifier = Majority([LabelledText(str(i), "text", label) for i, label in enumerate(labels)])
    assert classifier.labels == tuple(sorted(set(labels)))
    shares = [labels.count(label) / len(labels) for label in classifier.labels]
    np.testing.assert_allclose(check_probabilities(classifier), [shares] * len(TEXTS))
    assert labels.count(predict(classifier, ["any"])[0]) == max(map(labels.count, labels))


# --- lexicon


def test_the_list_has_about_150_words_of_both_kinds_once_each_in_lower_case():
    with LEXICON.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    words = [row["word"] for row in rows]
    assert 140 <= len(words) == len(set(words)) <= 180
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert {row["weight"] for row in rows} == {"-2", "-1", "1", "2"}
    assert 0.4 < sum(int(row["weight"]) > 0 for row in rows) / len(rows) < 0.6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The tank holds two litres.", 0),
        ("GOOD, and easy.", 2),
        ("Not a very good one.", -1),  # three words after the negation
        ("Not that it was any good.", 1),  # five words after
        ("It isn’t bad.", 1),
        ("dont buy, no good", -1),
        ("I can't say it is not good.", -1),
        ("Never not good.", 1),  # two negations cancel out
        ("Not loud. Good.", 1),  # a negation ends with its sentence
        ("A great waste of money.", 1),  # what a list of words gets wrong
        ("goodness", 0),
    ],
)
def test_scores_by_hand(text, expected):
    assert Lexicon().score(text) == expected


def test_the_probability_is_the_logistic_of_the_score_and_half_without_known_words():
    found = check_probabilities(Lexicon(), ["It is blue.", "Good.", "Bad."])
    assert Lexicon().labels == ("negative", "positive")
    np.testing.assert_allclose(found[:, 1], [0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


def test_a_learners_names_for_praise_and_blame_keep_their_columns_sorted():
    lexicon = Lexicon(positive="1 good", negative="2 bad")
    assert lexicon.labels == ("1 good", "2 bad")
    assert predict(lexicon, ["Good.", "Bad."]) == ["1 good", "2 bad"]


# --- on embeddings


def test_the_nearest_texts_vote_by_cosine():
    vectors = Letters().encode([item.text for item in TRAIN])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = Letters().encode(TEXTS)
    nearest = np.argsort(-asked @ unit.T, axis=1)[:, :3]
    naive = [np.mean([TRAIN[i].label == "positive" for i in row]) for row in nearest]
    classifier = knn(Letters(), TRAIN, k=3)
    assert classifier.labels == ("negative", "positive")
    np.testing.assert_allclose(check_probabilities(classifier)[:, 1], naive)


def test_with_fewer_texts_than_neighbours_all_of_them_vote():
    np.testing.assert_allclose(check_probabilities(knn(Letters(), TRAIN, k=15)), 0.5)


def test_the_strength_of_the_regression_is_the_best_on_dev(monkeypatch):
    dev = [LabelledText("d", "It broke.", "negative"), LabelledText("e", "I use it well.", "positive")]
    stranger = LabelledText("f", "Hm.", "unheard of")
    losses = {}
    for strength in STRENGTHS:
        monkeypatch.setattr(baselines, "STRENGTHS", (strength,))
        found = logistic(Letters(), TRAIN, dev).probabilities([item.text for item in dev])
        losses[strength] = log_loss([0, 1], found)
    monkeypatch.setattr(baselines, "STRENGTHS", STRENGTHS)
    classifier = logistic(Letters(), TRAIN, [*dev, stranger])
    check_probabilities(classifier)
    assert min(losses, key=losses.get) == classifier.fitted.C and len(set(losses.values())) == len(STRENGTHS)


def test_a_regression_needs_two_labels_and_something_to_choose_by():
    with pytest.raises(ValueError, match=r"got \['positive'\]"):
        logistic(Letters(), TRAIN[:3], TRAIN)
    with pytest.raises(ValueError, match="one of them in dev"):
        logistic(Letters(), TRAIN, [])


@pytest.mark.weights
def test_on_the_real_encoder_neighbours_and_regression_sort_texts_by_what_they_are_about():
    about = {
        "water": ["pump", "tap", "hose", "filter", "drain", "leak", "tank"],
        "money": ["price", "bill", "refund", "bank", "cost", "fee", "loan"],
    }
    train = [LabelledText(w, f"It is about the {w}.", label) for label, words in about.items() for w in words]
    embedder, texts = Embedder(), ["The pipe drips.", "It was too expensive."]
    for classifier in (knn(embedder, train, k=5), logistic(embedder, train[::2], train[1::2])):
        check_probabilities(classifier, texts)
        assert predict(classifier, texts) == ["water", "money"]


def test_any_fitted_estimator_will_do():
    fitted = knn(Letters(), TRAIN).fitted
    assert OnEmbeddings(Letters(), fitted).labels == ("negative", "positive")


# --- scoring options


def log_likelihood(generator: Generator, prompt: str, option: str) -> float:
    """Plain transformers: the whole text at once, no cache, no padding, no mask of ours."""
    before, after = (generator.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, option))
    with torch.inference_mode():
        logits = generator.model(torch.tensor([before + after]), use_cache=False).logits[0].numpy()
    rows = log_softmax(logits[len(before) - 1 : -1], axis=1)
    return float(sum(row[token] for row, token in zip(rows, after, strict=True)))


OPTIONS = [" positive", " negative", " card arrival", " card arrival date", " card not working", " Zubrowka"]
ASKED = [f"Text: {text}\nLabel:" for text in TEXTS]


@pytest.mark.weights
@pytest.mark.parametrize("options", [OPTIONS[:2], [*OPTIONS[:2], *OPTIONS[3:]]], ids=["one token each", "several"])
@pytest.mark.parametrize("n", [1, 3])
def test_options_score_as_each_does_alone(generator, options, n):
    assert max(len(generator.tokenizer(option)["input_ids"]) for option in options[-3:]) > len(options) - 3
    found = option_scores(generator, ASKED[:n], options)
    naive = [[log_likelihood(generator, prompt, option) for option in options] for prompt in ASKED[:n]]
    np.testing.assert_allclose(found, naive, atol=1e-3)


@pytest.mark.weights
def test_prompts_that_share_nothing_and_batches_of_one_score_the_same(generator, monkeypatch):
    prompts = ["Is it good? It is", "Labels follow. The lid is off:", "No", "No,"]
    naive = [[log_likelihood(generator, prompt, option) for option in OPTIONS[3:]] for prompt in prompts]
    for size in (option_scoring.BATCH_SIZE, 1):
        monkeypatch.setattr(option_scoring, "BATCH_SIZE", size)
        np.testing.assert_allclose(option_scores(generator, prompts, OPTIONS[3:]), naive, atol=1e-3)


@pytest.mark.weights
def test_a_chat_scores_as_the_generator_scores_it(generator):
    chats = [closed_book(text) for text in TEXTS]
    options = [option.strip() for option in OPTIONS[:2] + OPTIONS[3:]]
    expected = [generator.option_log_likelihoods(chat, options) for chat in chats]
    np.testing.assert_allclose(
        option_scores(generator, [generator.render(c) for c in chats], options), expected, atol=1e-3
    )


@pytest.mark.weights
def test_an_option_that_another_begins_with_does_not_win_by_being_shorter(generator):
    found = option_scores(generator, ASKED[:1], [" card", " card arrival"])[0]
    end = generator.tokenizer.eos_token
    assert found == pytest.approx(
        [log_likelihood(generator, ASKED[0], o + end) for o in (" card", " card arrival")], abs=1e-3
    )


@pytest.mark.weights
def test_what_prompts_share_is_read_once(generator, monkeypatch):
    read = []
    forward = generator.model.forward
    monkeypatch.setattr(generator.model, "forward", lambda ids, **how: read.append(ids.numel()) or forward(ids, **how))
    shots = [(item.text, item.label) for item in TRAIN]
    prompts = [classification(f"Number {n}.", shots=shots) for n in range(40)]
    option_scores(generator, prompts, OPTIONS[:2])
    n_tokens = [len(ids) for ids in generator.tokenizer(prompts)["input_ids"]]
    assert sum(read) < max(n_tokens) + 40 * 12 < sum(n_tokens) / 5


@QUICKLY
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6))
def test_branches_are_all_that_a_token_follows_on_once_each_and_parents_first(tails):
    begun = branches(tails)
    assert begun[0] == () and len(set(begun)) == len(begun)
    assert set(begun) == {tail[:n] for tail in tails for n in range(len(tail))}
    assert all(branch[:-1] in begun[:i] for i, branch in enumerate(begun) if branch)


@pytest.mark.weights
def test_no_prompts_no_options_and_too_long_prompts_are_refused(generator):
    for prompts, options in (([], [" a"]), (["a"], []), (["a"], [" "]), (["a"], " a")):
        with pytest.raises(ValueError, match="Expected prompts and a list of options, none empty"):
            option_scores(generator, prompts, options)
    with pytest.raises(ValueError, match="the model reads 8192. Shorten the texts, or give fewer examples"):
        option_scores(generator, ["word " * 9_000], [" a"])


# --- prompted


@pytest.mark.weights
def test_a_prompted_generator_tells_plain_praise_from_plain_blame(generator):
    classifier = Prompted(generator, ["negative", "positive"])
    right = [label == item.label for label, item in zip(predict(classifier, PRAISE + BLAME), TRAIN, strict=True)]
    assert np.mean(right) >= 0.8


@pytest.mark.weights
def test_probabilities_are_those_of_the_labels_words_among_each_other(generator):
    classifier = Prompted(
        generator, ["card_arrival", "refund"], shots=[LabelledText("s", "Where is\nit?", "card_arrival")]
    )
    prompt = "Text: Where is it?\nLabel: card arrival\n\nText: It works every day.\nLabel:"
    assert classifier.prompt(TEXTS[0]) == prompt
    scores = np.array([log_likelihood(generator, prompt, option) for option in (" card arrival", " refund")])
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(check_probabilities(classifier)[0], expected, atol=1e-3)


@pytest.mark.weights
def test_calibration_divides_by_what_texts_that_say_nothing_get(generator):
    labels = ["negative", "positive", "neutral"]
    plain, calibrated = (Prompted(generator, labels, calibrated=c) for c in (False, True))
    assert plain.prompt("") == "Text:\nLabel:"
    scores = option_scores(
        generator, [plain.prompt(t) for t in baselines.CONTENT_FREE], [f" {label}" for label in labels]
    )
    empty = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = plain.probabilities(TEXTS) / empty.mean(axis=0)
    found = check_probabilities(calibrated)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)
    assert np.abs(found - plain.probabilities(TEXTS)).max() > 0.01


@pytest.mark.weights
def test_many_labels_are_scored_at_once(generator):
    labels = [
        f"{thing}_{what}"
        for thing in ["card", "money", "pump", "order", "parcel"]
        for what in ["lost", "late", "wrong"]
    ]
    found = check_probabilities(Prompted(generator, labels, calibrated=True), ["My card is lost."])
    assert len(np.unique(found.round(9))) == len(labels)


@pytest.mark.parametrize("labels", ["positive", ["positive"], ["a", "a"], ["card_lost", "card lost"]])
def test_labels_that_read_alike_are_refused(labels):
    with pytest.raises(ValueError, match="at least two labels, all different"):
        Prompted(None, labels)


# --- examples


@QUICKLY
@given(st.integers(0, 10), st.integers(0, 5))
def test_examples_are_drawn_evenly_over_the_labels_and_repeat_with_the_seed(n, seed):
    shots = draw_shots(TRAIN, n, seed=seed)
    counts = [sum(shot.label == label for shot in shots) for label in ("negative", "positive")]
    assert len(set(shots)) == n == sum(counts) and max(counts) - min(counts) <= 1
    assert shots == draw_shots(TRAIN, n, seed=seed)


def test_the_order_of_the_examples_tells_nothing():
    first = [draw_shots(TRAIN, 4, seed=seed)[0].label for seed in range(40)]
    last = [draw_shots(TRAIN, 4, seed=seed)[-1].label for seed in range(40)]
    assert all(8 <= labels.count("positive") <= 32 for labels in (first, last))


def test_more_examples_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="from 0 to 10, got 11"):
        draw_shots(TRAIN, 11)


# --- what all refuse


@pytest.mark.parametrize("texts", ["one text", [], ["good", " "], ["good", None]])
def test_texts_that_are_none_are_refused(texts):
    for classifier in (Majority(TRAIN), Lexicon(), knn(Letters(), TRAIN), Prompted(None, ["a", "b"])):
        with pytest.raises(ValueError, match="Expected a list of texts"):
            classifier.probabilities(texts)


def test_nothing_is_learned_from_nothing():
    for learn in (Majority, lambda train: knn(Letters(), train), lambda train: logistic(Letters(), train, TRAIN)):
        with pytest.raises(ValueError, match="at least one labelled text"):
            learn([])
