"""What `helpers/scoring.py` promises: the marks of a fair human marker, and ranking metrics as defined."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from helpers.scoring import (
    find_tokens,
    hit_at_k,
    is_correct,
    is_refusal,
    outcome,
    reciprocal_rank,
    tokens,
)
from tests.scorer_cases import CASES, KNOWN_LIMITS, LITRES

QUICKLY = settings(max_examples=60, deadline=None)
WORDS = st.lists(st.text(string.ascii_letters, min_size=1, max_size=9), min_size=1, max_size=6).map(" ".join)
RANKINGS = st.permutations(list("abcdefgh"))


def marks(cases: list) -> dict:
    """How the scorer marks cases that it does not mark as they say: empty when all is well."""
    return {(said, why): outcome(said, answers) for said, answers, mark, why in cases if outcome(said, answers) != mark}


def test_the_scorer_marks_as_a_fair_human_would():
    assert len(CASES) >= 60
    assert marks(CASES) == {}


def test_known_limits_are_as_stated_and_few():
    assert marks(KNOWN_LIMITS) == {}
    assert len(KNOWN_LIMITS) <= len(CASES) / 5


def test_no_case_is_listed_twice():
    listed = [(said, tuple(answers)) for said, answers, _, _ in CASES + KNOWN_LIMITS]
    assert len(listed) == len(set(listed))


def test_tokens_by_hand():
    assert tokens("The Café's 2 valves — don’t cost €1,250.00!") == [
        "cafe",
        "2",
        "valve",
        "do",
        "not",
        "cost",
        "1250.00",
        "eur",
    ]
    assert tokens("E-41") == tokens("e 41") == ["e", "41"]
    assert tokens("twelve to 15%") == ["12", "to", "15", "percent"]
    assert tokens("11:40") == ["11:40"]
    assert tokens(" .,;!? ") == []


@QUICKLY
@given(st.text(max_size=40))
def test_tokens_of_any_text_are_clean_and_stay_as_they_are_when_joined(text):
    found = tokens(text)
    assert all(token and token == token.casefold() and not token.isspace() for token in found)
    assert isinstance(is_refusal(text), bool)
    assert outcome(text, LITRES) in ("correct", "refused", "wrong")


@QUICKLY
@given(st.integers(0, 999_999))
def test_numbers_with_and_without_separators_are_the_same(number):
    assert tokens(f"{number:,}") == tokens(str(number)) == [str(number)]


@QUICKLY
@given(WORDS, WORDS, WORDS)
def test_a_phrase_is_found_where_it_stands_at_token_boundaries(before, phrase, after):
    haystack, needle = tokens(f"{before} {phrase} {after}"), tokens(phrase)
    found = find_tokens(f"{before} {phrase} {after}", phrase)
    if needle and found >= 0:
        assert haystack[found : found + len(needle)] == needle
    assert find_tokens(phrase, phrase) == (0 if needle else -1)


@QUICKLY
@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_a_number_is_right_only_if_it_is_the_number(said, gold):
    assert is_correct(f"It lasts {said} litres.", [f"{gold} litres"]) == (said == gold)


@pytest.mark.parametrize("answers", [[""], ["?!", " "], ["the"]])
def test_answers_without_a_token_are_refused(answers):
    with pytest.raises(ValueError, match=r"at least one answer with a letter or digit, got \[.*Unanswerable: use"):
        is_correct("410 litres", answers)


def test_one_text_instead_of_a_list_of_answers_is_refused():
    with pytest.raises(ValueError, match=r"list of accepted answers, got one text. Write \['410 litres'\]"):
        outcome("410 litres", "410 litres")


@pytest.mark.parametrize("nothing", [None, float("nan"), 410])
def test_what_is_no_text_is_refused(nothing):
    with pytest.raises(ValueError, match="Expected text to score, got (None|nan|410). Store an empty text"):
        outcome(nothing, ["410 litres"])
    with pytest.raises(ValueError, match="Expected text to score"):
        is_refusal(nothing)


def test_ranking_metrics_by_hand():
    assert hit_at_k(["c", "a", "b"], ["a", "z"], 1) == 0.0
    assert hit_at_k(["c", "a", "b"], ["a", "z"], 2) == 1.0
    assert hit_at_k([], ["a"], 3) == hit_at_k(["a"], [], 3) == hit_at_k(["a"], ["a"], 0) == 0.0
    assert reciprocal_rank(["c", "a", "b"], ["b", "a"]) == 0.5
    assert reciprocal_rank([], ["a"]) == reciprocal_rank(["b"], ["a"]) == 0.0


@QUICKLY
@given(RANKINGS, st.sampled_from("abcdefgh"), st.integers(1, 7))
def test_ranking_metrics_are_those_of_scikit_learn(ranked, gold, k):
    names = sorted(ranked)
    scores = np.array([[-ranked.index(name) for name in names]], dtype=float)
    truth = np.array([[name == gold for name in names]])
    with_labels = top_k_accuracy_score([names.index(gold)], scores, k=k, labels=range(len(names)))
    assert hit_at_k(ranked, [gold], k) == with_labels
    assert reciprocal_rank(ranked, [gold]) == pytest.approx(label_ranking_average_precision_score(truth, scores))


@QUICKLY
@given(RANKINGS, st.sets(st.sampled_from("abcdefghxyz")), st.integers(0, 9))
def test_ranking_metrics_are_those_of_their_definitions(ranked, gold, k):
    ranks = [rank for rank, found in enumerate(ranked, start=1) if found in gold]
    assert hit_at_k(ranked, list(gold), k) == float(any(rank <= k for rank in ranks))
    assert reciprocal_rank(ranked, list(gold)) == (1 / min(ranks) if ranks else 0.0)
    assert hit_at_k(ranked, list(gold), k) <= hit_at_k(ranked, list(gold), k + 1)


def test_ranking_metrics_refuse_what_would_silently_be_wrong():
    with pytest.raises(ValueError, match="k of 0 or more, got -1"):
        hit_at_k(["a"], ["a"], -1)
    with pytest.raises(ValueError, match=r"list of gold ids, got one text. Write \['ab'\]"):
        hit_at_k(["a"], "ab", 1)
    with pytest.raises(ValueError, match="list of gold ids"):
        reciprocal_rank(["a"], "ab")
