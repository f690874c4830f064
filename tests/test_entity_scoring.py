"""An entity is right when its type and its limits are, as seqeval counts; intervals resample sentences."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report

from helpers.entity_scoring import entity_scores, f1, f1_difference, recall_by_seen

TAGS = ["O", "O", "B-PART", "I-PART", "B-SITE", "I-SITE"]
GOLD = [("B-PART", "I-PART", "O", "B-SITE"), ("B-SITE", "O"), ("O", "O", "O")]
FOUND = [("B-PART", "O", "O", "B-SITE"), ("B-SITE", "O"), ("O", "B-PART", "O")]


@st.composite
def tagged(draw) -> tuple[list, list]:
    """Two taggings of the same sentences, with stray I- tags."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    return tuple([draw(st.lists(st.sampled_from(TAGS), min_size=n, max_size=n)) for n in lengths] for _ in range(2))


def many(n: int, seed: int, *, right: float = 0.7) -> tuple[list, list]:
    """`n` sentences of three words; of their entities a share `right` is found."""
    rng = np.random.default_rng(seed)
    gold = [["B-PART" if x else "O" for x in row] for row in rng.random((n, 3)) < 0.5]
    found = [[t if rng.random() < right else "O" for t in row] for row in gold]
    return gold, found


def test_scores_by_hand():
    rows = entity_scores(GOLD, FOUND).set_index("type")
    assert rows.loc["PART"].tolist() == [0.0, 0.0, 0.0, 1], "half an entity is none"
    assert rows.loc["SITE"].tolist() == [1.0, 1.0, 1.0, 2]
    assert rows.loc["all"].tolist() == [0.5, 2 / 3, 4 / 7, 3]


@settings(max_examples=150, deadline=None)
@given(tagged())
def test_scores_are_those_of_seqeval(pair):
    gold, found = pair
    ours = entity_scores(gold, found).set_index("type")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {tag[2:] for side in pair for tags in side for tag in tags if tag != "O"}
        theirs = classification_report(gold, found, output_dict=True, zero_division=0) if kinds else {}
    assert set(ours.index) == {"all"} | kinds
    for kind, row in theirs.items():
        if kind in kinds or kind == "micro avg":
            expected = [row["precision"], row["recall"], row["f1-score"], row["support"]]
            np.testing.assert_allclose(ours.loc["all" if kind == "micro avg" else kind], expected)
    assert f1(gold, found).value == pytest.approx(ours.loc["all", "f1"])


def test_the_interval_is_that_of_resampled_sentences_counted_anew():
    gold, found = many(40, 0)
    rng = np.random.default_rng(7)
    naive = []
    for _ in range(300):
        drawn = rng.integers(len(gold), size=len(gold))
        rows = entity_scores([gold[i] for i in drawn], [found[i] for i in drawn])
        naive.append(rows["f1"].iloc[-1])
    ours = f1(gold, found)
    assert [ours.low, ours.high] == pytest.approx(list(np.quantile(naive, [0.025, 0.975])), abs=0.03)
    assert ours.low < ours.value < ours.high and ours.n == 40


def test_intervals_repeat_with_the_seed():
    gold, found = many(30, 1)
    assert f1(gold, found, seed=1) == f1(gold, found, seed=1) != f1(gold, found, seed=2)


def test_differences_are_paired_over_sentences():
    gold, good = many(150, 2, right=0.9)
    worse = [["O"] * 3 if i % 10 == 0 else tags for i, tags in enumerate(good)]
    gap = f1_difference(gold, good, worse)
    apart = f1(gold, good), f1(gold, worse)
    assert gap.value == pytest.approx(apart[0].value - apart[1].value)
    assert gap.low > 0 and apart[0].low < apart[1].high, "pairing decides what two intervals leave open"
    assert f1_difference(gold, worse, good).value == -gap.value
    same = f1_difference(gold, good, good)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_recall_by_seen_by_hand():
    gold = [["B-PART", "O", "B-SITE"], ["B-SITE", "O", "O"], ["O", "O", "O"]]
    found = [["B-PART", "O", "O"], ["B-SITE", "O", "O"], ["B-PART", "O", "O"]]
    recall = recall_by_seen(gold, found, [[True, False], [False], []])
    assert (recall["seen"].value, recall["seen"].n) == (1.0, 1)
    assert (recall["unseen"].value, recall["unseen"].n) == (0.5, 2)
    assert (recall["difference"].value, recall["difference"].n) == (0.5, 1)
    assert recall["seen"].low < 0.5, "one entity tells little"


def test_a_tagger_that_remembers_is_told_from_one_that_generalises():
    rng = np.random.default_rng(0)
    gold, seen = [["B-PART", "B-PART"]] * 80, [(True, False)] * 80
    remembers = [["B-PART", "B-PART" if rng.random() < 0.2 else "O"] for _ in gold]
    even = [["B-PART" if rng.random() < 0.6 else "O" for _ in range(2)] for _ in gold]
    assert recall_by_seen(gold, remembers, seen)["difference"].low > 0.5
    difference = recall_by_seen(gold, even, seen)["difference"]
    assert difference.low < 0 < difference.high


def test_the_difference_is_bounded_even_if_a_resample_lacks_a_kind():
    recall = recall_by_seen([["B-PART"], ["B-PART"]], [["B-PART"], ["O"]], [[True], [False]])
    assert (recall["difference"].low, recall["difference"].high) == (1.0, 1.0)


def test_both_kinds_are_needed_and_one_flag_per_entity():
    with pytest.raises(ValueError, match="entities of both kinds, got 1 seen and 0 unseen"):
        recall_by_seen([["B-PART"]], [["O"]], [[True]])
    with pytest.raises(ValueError, match="one value per gold entity"):
        recall_by_seen([["B-PART"]], [["O"]], [[True, False]])


@pytest.mark.parametrize("score", [entity_scores, f1, lambda gold, found: f1_difference(gold, gold, found)])
def test_tags_of_other_sentences_are_refused(score):
    with pytest.raises(ValueError, match="at least one; got 1 and 2"):
        score([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="at least one; got 0 and 0"):
        score([], [])
    with pytest.raises(ValueError, match=r"1 sentences have more tags in one.*places \[1\]"):
        score([["O"], ["O"]], [["O"], ["O", "O"]])
