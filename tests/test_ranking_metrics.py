"""trec_eval's metrics, the definitions in a few lines, and scikit-learn say the same of every ranking."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from helpers.corpus import Passage
from helpers.ranking_metrics import evaluate, ndcg_at_k, recall_at_k
from helpers.retrieval import Ranking
from helpers.scoring import hit_at_k, reciprocal_rank

QUICKLY = settings(max_examples=80, deadline=None)
NAMES = [f"p{i}" for i in range(12)]
RANKED = st.permutations(NAMES).flatmap(lambda ids: st.integers(0, 12).map(lambda n: ids[:n]))
GOLD = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6)  # repeats are allowed, and count once


def ranking(ids, *, query: str = "q") -> Ranking:
    """A ranking whose scores are all the same: metrics must follow the order alone."""
    return Ranking(query, tuple(Passage(i, i, "", "", i) for i in ids), (0.5,) * len(ids))


def test_metrics_by_hand():
    found = evaluate(
        [ranking(["a", "x", "b"]), ranking(["x", "a", "y"])],
        [["a", "b"], ["a"]],
        metrics=("nDCG@3", "recall@1", "hit@1", "MRR"),
    )
    assert list(found.columns) == ["nDCG@3", "recall@1", "hit@1", "MRR"]
    possible = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found, [[1.5 / possible, 0.5, 1, 1], [1 / np.log2(3), 0, 0, 0.5]], atol=1e-9)


def test_without_a_choice_the_three_usual_metrics_are_given():
    assert list(evaluate([ranking("ab")], [["a"]]).columns) == ["nDCG@10", "recall@10", "MRR"]


def test_rows_are_in_the_order_of_the_queries_even_beyond_ten():
    rankings = [ranking(NAMES[i:] + NAMES[:i]) for i in range(12)]
    found = evaluate(rankings, [["p0"]] * 12, metrics=["MRR"])
    assert found["MRR"].tolist() == pytest.approx([1.0] + [1 / (13 - i) for i in range(1, 12)])


@QUICKLY
@given(RANKED, GOLD, st.integers(1, 15))
def test_the_definitions_equal_trec_eval_to_six_digits(ranked, gold, k):
    scores = {name: 100.0 - place for place, name in enumerate(ranked)}
    measures = {f"ndcg_cut.{k}", f"recall.{k}", f"success.{k}", "recip_rank"}
    reference = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(gold, 1)}, measures).evaluate({"q": scores})["q"]
    expected = [
        reference[f"ndcg_cut_{k}"],
        reference[f"recall_{k}"],
        reference[f"success_{k}"],
        reference["recip_rank"],
    ]
    ours = [ndcg_at_k(ranked, gold, k), recall_at_k(ranked, gold, k)]
    ours += [hit_at_k(ranked, gold, k), reciprocal_rank(ranked, gold)]
    assert ours == pytest.approx(expected, abs=1e-6)
    (row,) = evaluate([ranking(ranked)], [gold], metrics=[f"nDCG@{k}", f"recall@{k}", f"hit@{k}", "MRR"]).to_numpy()
    assert row.tolist() == pytest.approx(ours, abs=1e-6)
    assert all(0 <= value <= 1 for value in row)


@QUICKLY
@given(st.permutations(NAMES), GOLD, st.integers(1, 12))
def test_ndcg_equals_scikit_learn_where_every_passage_is_ranked(ranked, gold, k):
    truth = [[float(name in gold) for name in ranked]]
    assert ndcg_at_k(ranked, gold, k) == pytest.approx(ndcg_score(truth, [range(len(ranked), 0, -1)], k=k), abs=1e-9)


@QUICKLY
@given(st.permutations(NAMES), GOLD)
def test_gold_first_is_perfect_and_recall_never_falls_with_k(ranked, gold):
    first = sorted(ranked, key=lambda name: name not in gold)
    assert ndcg_at_k(first, gold, 12) == pytest.approx(1)
    recalls = [recall_at_k(ranked, gold, k) for k in range(1, 13)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1


def test_queries_without_gold_are_named():
    rankings = [ranking("ab", query="Who?"), ranking("ab", query="How far?"), ranking("ab", query="Why?")]
    with pytest.raises(ValueError, match=r"2 of 3 queries have no gold passage: \['Who\?', 'Why\?'\]. Leave them out"):
        evaluate(rankings, [[], ["a"], ()])


@pytest.mark.parametrize("metric", ["ndcg@10", "nDCG", "nDCG@0", "recall@-1", "MRR@10", "MAP", "hit@1.5", ""])
def test_unknown_metrics_are_refused(metric):
    with pytest.raises(ValueError, match=rf"a metric such as nDCG@10, recall@5, hit@1 or MRR, got '{metric}'"):
        evaluate([ranking("a")], [["a"]], metrics=["MRR", metric])


@pytest.mark.parametrize("metrics", ["MRR", [], ()])
def test_metrics_must_be_a_list(metrics):
    with pytest.raises(ValueError, match=r"list of at least one metric, got .*Write \[\"MRR\"\]"):
        evaluate([ranking("a")], [["a"]], metrics=metrics)


@pytest.mark.parametrize(("n", "gold"), [(0, []), (1, []), (1, [["a"], ["b"]])])
def test_every_ranking_needs_its_gold_ids(n, gold):
    with pytest.raises(ValueError, match=rf"got {n} rankings and gold ids for {len(gold)}. Take both from the same"):
        evaluate([ranking("a")] * n, gold)


def test_what_would_silently_be_wrong_is_refused():
    with pytest.raises(ValueError, match=r"list of gold ids for each query, got one text. Put it in a list"):
        evaluate([ranking("ab")], ["a"])
    with pytest.raises(ValueError, match=r"these hold one twice: \['q'\]. Drop the copies"):
        evaluate([ranking("aba")], [["a"]])


@pytest.mark.parametrize("metric", [ndcg_at_k, recall_at_k])
def test_the_definitions_refuse_what_has_no_value(metric):
    with pytest.raises(ValueError, match=r"at least one gold id, got \[\]. Leave unanswerable questions out"):
        metric(["a"], [], 1)
    with pytest.raises(ValueError, match="list of at least one gold id, got 'ab'"):
        metric(["a"], "ab", 1)
    with pytest.raises(ValueError, match="k of 1 or more, got 0"):
        metric(["a"], ["a"], 0)
