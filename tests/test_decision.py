"""The best arm is found by hand-worked rules, flips where it is computed to, and advice is judged without favour."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from helpers.decision import (
    ITEMS,
    SCORES,
    Measured,
    Scenario,
    admissible,
    cpu_per_month,
    expected_accuracy,
    explain,
    recommend,
    weights,
)
from helpers.scenarios import (
    C25_ADVISED,
    C26_ADVISED,
    LOG_UNIFORM,
    LOW_LATENCY,
    UNIFORM,
    advice_holds,
    advice_share,
    confidence,
    expected,
    fits_rag,
    fits_tuning,
    flip_points,
    resampled_winners,
    scenarios,
    winners,
)
from helpers.statistics import rate

QUICKLY = settings(max_examples=100, deadline=None)
N = 20


def right(k: int, n: int = N) -> list[int]:
    """Scores of `n` items, `k` of them right."""
    return [1] * k + [0] * (n - k)


def arm(name: str, *scores: int, **measured) -> Measured:
    """An arm from the numbers of right answers (of 20) for each of `SCORES`, read from an index unless stated otherwise."""
    costs = {"cpu_per_query": 2.0, "cpu_per_update": 1.0, "latency_p95": 3.0, "update_delay": 0.0, "agreement": 0.6}
    found = dict(zip(SCORES, map(right, scores), strict=True))
    return Measured(name, **found, **(costs | {"cites": True, "filters_access": True} | measured))


TRAINED = {"cites": False, "filters_access": False, "latency_p95": 1.0, "agreement": 0.9, "update_delay": 1.0}
TRAINED |= {"cpu_per_query": 1.0, "cpu_per_update": 1_000.0}
BASE = arm("base", 0, 0, 0, 0, 0, cites=False, filters_access=False, cpu_per_query=0.5, cpu_per_update=0.0)
RAG = arm("RAG", 14, 14, 14, 0, 14)
TUNED = arm("fine-tuned", 20, 16, 0, 0, 18, **TRAINED)
BOTH = arm("both", 13, 13, 13, 0, 13)
ARMS = [BASE, RAG, TUNED, BOTH]
CHANGING = Scenario(changed_share=0.2, update_every_months=4)

shares = st.floats(0, 1)
circumstances = st.builds(
    Scenario,
    changed_share=shares,
    update_every_months=st.floats(0.1, 24),
    queries_per_month=st.floats(0, 1e6),
    unseen_share=shares,
    reworded_share=shares,
    latency_limit=st.sampled_from([0.5, 1.0, 2.0, 3.0, 9.0]),
    needs_citations=st.booleans(),
    needs_access_control=st.booleans(),
    min_agreement=st.sampled_from([0.0, 0.6, 0.7, 0.95]),
    cpu_budget=st.floats(0, 1e6),
)
counts = st.tuples(*[st.integers(0, N)] * len(SCORES))


# --- what an arm is expected to do


def test_expected_accuracy_by_hand():
    """Waits 1 + 2/2 months: a tenth is stale. Six tenths changed within the year, so half the facts are updated ones."""
    s = Scenario(changed_share=0.05, update_every_months=2, unseen_share=0.2, reworded_share=0.25)
    assert weights(TUNED, s) == pytest.approx([0.8 * 0.4 * 0.75, 0.8 * 0.4 * 0.25, 0.9 * 0.2, 0.1, 0.8 * 0.5])
    assert expected_accuracy(TUNED, s) == pytest.approx(0.8 * (0.5 * 0.9 + 0.4 * (0.75 * 1.0 + 0.25 * 0.8)))
    assert expected_accuracy(RAG, s) == pytest.approx(0.7)


def test_where_nothing_changes_and_all_is_labelled_it_is_the_accuracy_on_direct_questions():
    assert expected_accuracy(TUNED, Scenario()) == 1.0
    assert expected_accuracy(TUNED, Scenario(reworded_share=1)) == pytest.approx(0.8)
    assert expected_accuracy(TUNED, Scenario(unseen_share=1)) == 0.0


@QUICKLY
@given(counts, circumstances, st.floats(0, 24))
def test_it_is_a_weighted_mean_of_the_scores(scores, s, delay):
    this = arm("this", *scores, update_delay=delay)
    assert sum(weights(this, s)) == pytest.approx(1) and min(weights(this, s)) >= -1e-12
    assert min(scores) / N - 1e-9 <= expected_accuracy(this, s) <= max(scores) / N + 1e-9


@QUICKLY
@given(counts, circumstances, st.floats(0.01, 24), shares, shares)
def test_more_change_never_helps_the_arm_that_waits_more_than_the_one_that_does_not(scores, s, delay, one, other):
    """Both score the same, stale facts worst, and no more change than makes every fact stale."""
    values = [min(scores) if name == "stale" else score for name, score in zip(SCORES, scores, strict=True)]
    at_once, waits = arm("at once", *values), arm("waits", *values, update_delay=delay)
    most = min(1, 1 / (delay + s.update_every_months / 2))
    few, many = (replace(s, changed_share=share * most) for share in sorted((one, other)))
    gaps = [expected_accuracy(waits, at) - expected_accuracy(at_once, at) for at in (few, many)]
    assert gaps[1] <= gaps[0] + 1e-9 and gaps[0] <= 1e-9


def test_the_stale_share_is_that_of_a_simulation_in_which_facts_change_at_random():
    """Trained every 4 months, in use a month later; 1 % of the facts change in a month."""
    rng = np.random.default_rng(0)
    asked, changed = rng.uniform(200, 300, 400_000), rng.uniform(100, 300, 400_000)  # a change each, in 200 months
    in_use = np.ceil(changed / 4) * 4 + 1
    waiting = ((changed <= asked) & (asked < in_use)).mean() * (0.01 * 200)
    s = Scenario(changed_share=0.01, update_every_months=4)
    assert weights(TUNED, s)[SCORES.index("stale")] == pytest.approx(waiting, abs=0.002) and waiting > 0.02


def test_cpu_seconds_a_month_by_hand():
    s = Scenario(changed_share=0.1, update_every_months=2, queries_per_month=100)
    assert cpu_per_month(TUNED, s) == 100 * 1 + 1_000 / 2
    assert cpu_per_month(RAG, s) == 100 * 2 + 30 * 1
    assert cpu_per_month(TUNED, replace(s, changed_share=0.0)) == 100


# --- what is recommended


def test_the_tuned_arm_wins_where_facts_are_frozen_and_labelled():
    found = recommend(ARMS, Scenario())
    assert (found.winner, found.runner_up, found.ruled_out) == ("fine-tuned", "RAG", {})
    assert found.expected == pytest.approx({"base": 0.0, "RAG": 0.7, "fine-tuned": 1.0, "both": 0.65})
    assert found.reason == "its expected accuracy is the highest, 0.30 above RAG"


def test_rag_wins_where_facts_change():
    found = recommend(ARMS, CHANGING)  # the tuned arm waits 3 months: six facts in ten are stale, the rest updated
    assert (found.winner, found.runner_up) == ("RAG", "both")
    assert found.expected["fine-tuned"] == pytest.approx(0.4 * 0.9)


def test_only_arms_with_retrieval_are_left_where_citations_or_access_control_are_needed():
    for need in ("needs_citations", "needs_access_control"):
        found = recommend(ARMS, Scenario(**{need: True}))
        assert (found.winner, found.runner_up) == ("RAG", "both") and set(found.ruled_out) == {"base", "fine-tuned"}


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"latency_limit": 2.9}, "answers in 3.00 s (95th percentile), 2.90 s is the limit"),
        ({"min_agreement": 0.61}, "answers 0.60 of facts the same in two wordings, 0.61 is needed"),
        ({"cpu_budget": 1_999}, "needs 2,000 CPU-seconds a month, 1,999 are there"),
    ],
)
def test_an_arm_is_ruled_out_with_its_reason_beyond_a_limit_and_admissible_at_it(limit, reason):
    assert admissible(RAG, Scenario(**limit)) == [reason]
    assert admissible(RAG, Scenario(latency_limit=3, min_agreement=0.6, cpu_budget=2_000)) == []


def test_all_reasons_are_given_at_once():
    s = Scenario(latency_limit=0.5, needs_citations=True, needs_access_control=True, min_agreement=1, cpu_budget=0)
    assert len(admissible(TUNED, s)) == 5


def test_none_is_recommended_where_none_is_admissible():
    s = Scenario(latency_limit=0.1)
    found = recommend(ARMS, s)
    assert (found.winner, found.runner_up, found.reason) == ("none", "none", "no arm is admissible")
    assert list(found.ruled_out) == [a.name for a in ARMS] and found.expected["fine-tuned"] == 1.0
    assert winners(ARMS, [s]) == ["none"] and not any(confidence(ARMS, s, seed=0, n=20).values())


def test_the_only_admissible_arm_wins_without_a_runner_up():
    found = recommend(ARMS, Scenario(min_agreement=0.8))
    assert (found.winner, found.runner_up, found.reason) == ("fine-tuned", "none", "it is the only admissible arm")


def test_cost_decides_a_tie_and_only_a_tie():
    """0.50 and 0.52 are a tie, 0.50 and 0.53 none."""
    dear, cheap = (
        Measured(
            name,
            **dict.fromkeys(SCORES, right(k, 100)),
            cpu_per_query=cost,
            cpu_per_update=0,
            latency_p95=1,
            update_delay=0,
            agreement=1,
            cites=True,
            filters_access=True,
        )
        for name, k, cost in (("dear", 52, 3), ("cheap", 50, 1))
    )
    dearer = replace(dear, name="dearer", **dict.fromkeys(SCORES, right(53, 100)))
    assert recommend([dear, cheap], Scenario()).winner == "cheap"
    assert "cost decides: it needs 1,000 CPU-seconds a month, dear 3,000" in recommend([dear, cheap], Scenario()).reason
    assert recommend([dearer, cheap], Scenario()).winner == "dearer"
    as_cheap = replace(dear, name="as cheap", cpu_per_query=1)
    assert recommend([cheap, as_cheap], Scenario()).winner == "as cheap"  # then accuracy
    assert recommend([cheap, replace(cheap, name="twin")], Scenario()).winner == "cheap"  # then the first


@QUICKLY
@given(circumstances, st.randoms(use_true_random=False))
def test_the_runner_up_wins_without_the_winner_and_the_order_of_the_arms_does_not_matter(s, shuffle):
    s = replace(s, queries_per_month=1 + s.queries_per_month)
    arms = [replace(this, cpu_per_query=this.cpu_per_query + i / 7) for i, this in enumerate(ARMS)]  # no equal costs
    found = recommend(arms, s)
    others = [this for this in arms if this.name != found.winner]
    assert recommend(others, s).winner == found.runner_up
    shuffle.shuffle(arms)
    assert recommend(arms, s).winner == found.winner


@QUICKLY
@given(st.lists(circumstances, min_size=1, max_size=8), st.lists(counts, min_size=1, max_size=4))
def test_many_scenarios_at_once_are_judged_as_one_by_one(many, scores):
    arms = [arm(f"arm {i}", *k, **(TRAINED if i % 2 else {})) for i, k in enumerate(scores)]
    assert winners(arms, many) == [recommend(arms, s).winner for s in many]


def test_the_explanation_has_the_circumstances_the_numbers_and_the_reasons():
    s = Scenario(changed_share=0.025, unseen_share=0.2, reworded_share=0.5, needs_citations=True)
    said = explain(recommend(ARMS, s), s)
    assert "2.5% of the facts change in a month, 20% of the questions" in said and "50% of the others" in said
    assert "RAG, because its expected accuracy is the highest, 0.05 above both." in said and "Next best: both." in said
    assert "RAG 0.70" in said and "Ruled out: fine-tuned (names no source, and citations are needed)." in said
    nothing = Scenario(latency_limit=0.1)
    assert "none, because no arm is admissible." in explain(recommend(ARMS, nothing), nothing)


# --- how sure, and where it flips


@pytest.mark.parametrize(("rag_costs", "last"), [(2.0, 0.16), (0.5, 0.14 - 1e-6)])
def test_the_winner_flips_exactly_where_computed_by_hand(rag_costs, last):
    """The tuned arm waits 2 months, so it scores 1 - 2 × share; RAG 0.7. A tie goes to the cheaper one: to 0.68, or from 0.72 on."""
    arms = [replace(RAG, cpu_per_query=rag_costs), arm("fine-tuned", 20, 20, 20, 0, 20, **TRAINED)]
    values = [0.0, 0.1, last, last + 1e-6, 0.3, 1.0]
    found = flip_points(arms, Scenario(update_every_months=2), "changed_share", values)
    assert found == [(0.0, "fine-tuned"), (last + 1e-6, "RAG")]


def test_flip_points_go_along_limits_and_yes_or_no_too_and_back_again():
    assert flip_points(ARMS, CHANGING, "latency_limit", [0.5, 1, 2, 3, 9]) == [
        (0.5, "none"),
        (1, "fine-tuned"),
        (3, "RAG"),
    ]
    assert flip_points(ARMS, Scenario(), "needs_citations", [False, True]) == [(False, "fine-tuned"), (True, "RAG")]
    back = flip_points(ARMS, Scenario(), "unseen_share", [0, 1, 0])
    assert back == [(0, "fine-tuned"), (1, "RAG"), (0, "fine-tuned")]


def test_resamples_are_those_of_recommending_anew_each_time():
    many, n, rng = scenarios(12, seed=3), 15, np.random.default_rng(5)
    drawn = [rng.integers(N, size=(n, N)) for _ in ITEMS]
    found = resampled_winners(ARMS, many, seed=5, n=n)
    for i in range(n):
        again = {name: items[i] for names, items in zip(ITEMS, drawn, strict=True) for name in names}
        arms = [replace(a, **{name: getattr(a, name)[at] for name, at in again.items()}) for a in ARMS]
        names = [recommend(arms, s).winner for s in many]
        assert ["none" if k < 0 else ARMS[k].name for k in found[i]] == names


def test_confidence_is_the_probability_that_a_binomial_draw_decides():
    """Four questions in ten are unlabelled: RAG answers those, the tuned arm the others. It must get 15 of 20 to be above the tie."""
    rag = arm("RAG", 0, 0, 20, 0, 0, cpu_per_query=0.1)
    found = confidence([rag, arm("fine-tuned", 15, 0, 0, 0, 0, **TRAINED)], Scenario(unseen_share=0.4), seed=0, n=4_000)
    assert found["fine-tuned"] == pytest.approx(binom.sf(14, 20, 15 / 20), abs=0.03)
    assert sum(found.values()) == pytest.approx(1)


def test_expected_accuracies_have_the_interval_of_a_binomial_draw():
    """All questions are about facts that nobody labelled, of which 12 of 20 are answered: what matters is one share of 20 items."""
    scenario = Scenario(unseen_share=1)
    rag = arm("RAG", 0, 0, 12, 0, 0)
    found = expected([rag, arm("fine-tuned", 15, 0, 0, 0, 0, **TRAINED)], scenario, seed=0, n=4_000)
    assert found["RAG"].value == pytest.approx(expected_accuracy(rag, scenario)) and found["RAG"].n == 3 * N
    assert [found["RAG"].low, found["RAG"].high] == pytest.approx(binom.ppf([0.025, 0.975], 20, 0.6) / 20, abs=0.051)
    assert (found["fine-tuned"].low, found["fine-tuned"].high) == (0, 0)


def test_resamples_are_paired_over_the_arms():
    """Of two arms with the same answers the cheaper wins always; with items of their own, the other would win by chance."""
    assert confidence([RAG, replace(RAG, name="cheaper", cpu_per_query=1.0)], Scenario(), seed=0)["cheaper"] == 1.0


def test_resamples_are_paired_over_the_wordings_of_a_fact():
    """One fact in two is answered in one wording, the others in the other: a half is right whichever facts are drawn."""
    one, other = [0, 1] * 10, [1, 0] * 10
    halves = replace(arm("halves", 0, 0, 0, 0, 0), trained=one, reworded=other)
    found = confidence(
        [halves, arm("unlabelled", 0, 0, 20, 0, 0)], Scenario(unseen_share=0.3, reworded_share=0.5), seed=0
    )
    assert found["halves"] == 1.0  # 0.35 to 0.30


def test_the_same_seed_gives_the_same_and_another_seed_something_else():
    s = Scenario(changed_share=0.1, update_every_months=1, unseen_share=0.05)
    assert confidence(ARMS, s, seed=1) == confidence(ARMS, s, seed=1)
    assert scenarios(50, seed=1) == scenarios(50, seed=1) != scenarios(50, seed=2)
    assert (resampled_winners(ARMS, [s], seed=1, n=50) == resampled_winners(ARMS, [s], seed=1, n=50)).all()


def test_a_thousand_scenarios_and_500_resamples_take_less_than_ten_seconds():
    rng = np.random.default_rng(0)
    sizes = dict(zip(SCORES, (300, 300, 100, 60, 60), strict=True))
    arms = [replace(a, **{name: rng.integers(0, 2, n) for name, n in sizes.items()}) for a in ARMS]
    many, start = scenarios(1_000, seed=0), perf_counter()
    assert resampled_winners(arms, many, seed=0, n=500).shape == (500, 1_000)
    assert perf_counter() - start < 10


# --- the prior and the advice


def test_scenarios_lie_within_the_prior_and_spread_over_it():
    many = scenarios(4_000, seed=0)
    for knob, (low, high) in (LOG_UNIFORM | UNIFORM).items():
        values = np.array([getattr(s, knob) for s in many])
        middle = np.sqrt(low * high) if knob in LOG_UNIFORM else (low + high) / 2
        assert low <= values.min() and values.max() <= high and abs((values < middle).mean() - 0.5) < 0.03
    assert np.mean([s.needs_citations for s in many]) == pytest.approx(0.25, abs=0.03)


FOR_RAG = Scenario(changed_share=0.1, unseen_share=0.2)
FOR_TUNING = Scenario(changed_share=0.02, unseen_share=0.1, latency_limit=LOW_LATENCY - 0.01, min_agreement=0.51)


@pytest.mark.parametrize(
    "but", [{"changed_share": 0.09}, {"unseen_share": 0.19}, {"needs_citations": True}, {"needs_access_control": True}]
)
def test_the_advice_for_rag_speaks_of_change_and_unforeseen_questions(but):
    assert fits_rag(FOR_RAG) and not fits_rag(replace(FOR_RAG, **but)) and not fits_tuning(FOR_RAG)


@pytest.mark.parametrize(
    "but",
    [
        {"changed_share": 0.03},
        {"unseen_share": 0.11},
        {"latency_limit": LOW_LATENCY},
        {"min_agreement": 0.5},
        {"needs_citations": True},
        {"needs_access_control": True},
    ],
)
def test_the_advice_for_tuning_speaks_of_rich_data_low_latency_and_consistency(but):
    assert fits_tuning(FOR_TUNING) and not fits_tuning(replace(FOR_TUNING, **but)) and not fits_rag(FOR_TUNING)


def test_20_000_scenarios_are_enough_for_the_hundred_of_each_claim():
    many = scenarios(20_000, seed=0)
    assert sum(map(fits_rag, many)) >= 100 and sum(map(fits_tuning, many)) >= 100


def test_advice_holds_where_an_advised_arm_wins_and_not_where_none_is_admissible():
    many = [FOR_RAG, Scenario(), replace(FOR_RAG, latency_limit=1.0), replace(FOR_RAG, latency_limit=0.1)]
    assert advice_holds(ARMS, many, fits_rag, C25_ADVISED).tolist() == [1, 0, 0]
    assert advice_holds(ARMS, [FOR_TUNING, FOR_RAG], fits_tuning, C26_ADVISED).tolist() == [1]


def test_either_advice_can_fail_by_what_was_measured():
    """Nothing in the prior or in what fits decides the claims: with other scores, the other arms win."""
    many = scenarios(20_000, seed=1)
    useless = [replace(a, **dict.fromkeys(SCORES, right(0))) for a in (RAG, BOTH)]
    unlimited = {"latency_p95": 0.5, "agreement": 1.0, "cpu_per_query": 0.1, "cpu_per_update": 0.0}
    fine = [replace(a, **unlimited) for a in ARMS]
    assert advice_holds([*useless, replace(TUNED, **unlimited)], many, fits_rag, C25_ADVISED).mean() == 0
    assert advice_holds(fine, many, fits_rag, C25_ADVISED).mean() > 0.9
    assert advice_holds(fine, many, fits_tuning, C26_ADVISED).mean() > 0.9
    untrained = replace(fine[2], trained=right(0), reworded=right(0), updated=right(0))
    assert advice_holds([*fine[:2], untrained, fine[3]], many, fits_tuning, C26_ADVISED).mean() == 0


def test_the_interval_of_the_share_covers_the_items_and_not_only_the_scenarios():
    """Two arms that a few items decide between: more scenarios narrow the interval over scenarios alone, and not this one."""
    many = [replace(s, latency_limit=9, min_agreement=0, cpu_budget=1e9) for s in scenarios(4_000, seed=0)]
    close = arm("fine-tuned", 18, 18, 15, 15, 15, **TRAINED)
    held = advice_holds([RAG, close, BOTH], many, fits_rag, C25_ADVISED)
    share = advice_share([RAG, close, BOTH], many, fits_rag, C25_ADVISED, seed=0)
    assert (share.value, share.n) == (held.mean(), len(held)) and share.low <= share.value <= share.high
    assert share.high - share.low > 3 * (rate(held).high - rate(held).low)
    assert share == advice_share([RAG, close, BOTH], many, fits_rag, C25_ADVISED, seed=0)


def test_a_share_of_one_keeps_the_width_that_its_scenarios_leave_it():
    always = replace(RAG, latency_p95=0.5, agreement=1.0, cpu_per_query=0.0)
    many = scenarios(1_000, seed=0)
    share = advice_share([always, replace(always, name="both")], many, fits_rag, C25_ADVISED, seed=0)
    assert share == rate(advice_holds([always, replace(always, name="both")], many, fits_rag, C25_ADVISED))
    assert share.value == share.high == 1.0 > share.low


# --- what is refused


def test_all_that_is_wrong_with_a_scenario_is_said_at_once():
    with pytest.raises(ValueError) as error:
        Scenario(changed_share=30, update_every_months=0, latency_limit=float("nan"), needs_citations="yes")
    for problem in ("changed_share must be a number from 0 to 1, got 30", "update_every", "latency_limit", "'yes'"):
        assert problem in str(error.value)


def test_all_that_is_wrong_with_an_arm_is_said_at_once():
    with pytest.raises(ValueError) as error:
        replace(
            RAG, name="none", trained=[0.5], untrained=[], updated=[1], update_delay=-1, agreement="0.7", cites=None
        )
    for problem in (
        "name must",
        "trained must",
        "untrained must",
        "stale and updated",
        "update_delay",
        "agreement",
        "cites",
    ):
        assert problem in str(error.value)


@pytest.mark.parametrize("scores", [[[1, 0]], [[1], [1, 0]], ["1"], [None], [float("nan")], 1, "110", [2]])
def test_scores_are_flat_zeros_and_ones(scores):
    with pytest.raises(ValueError, match="untrained must be a flat list of zeros and ones"):
        replace(RAG, untrained=scores)


def test_scores_may_be_any_numbers_or_booleans_and_are_copied():
    given_scores = np.array([True, False])
    this = replace(RAG, untrained=given_scores)
    given_scores[0] = False
    assert this.untrained.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([], "there are none"),
        ([RAG, RAG], "names must differ"),
        ([RAG, replace(TUNED, untrained=[1])], "same items"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(arms, said):
    for judge in (lambda: recommend(arms, Scenario()), lambda: winners(arms, [Scenario()])):
        with pytest.raises(ValueError, match=said):
            judge()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: flip_points(ARMS, Scenario(), "latency", [1]), "no knob 'latency'.*latency_limit"),
        (lambda: flip_points(ARMS, Scenario(), "unseen_share", []), "got none"),
        (lambda: flip_points(ARMS, Scenario(), "unseen_share", [0, 2]), "unseen_share must be"),
        (lambda: advice_holds([RAG], [FOR_RAG], fits_rag, C25_ADVISED), "among.*RAG.*both"),
        (lambda: advice_holds(ARMS, [Scenario()], fits_rag, C25_ADVISED), "None of the 1 scenarios fits"),
        (lambda: confidence(ARMS, Scenario(), seed=0, n=0), "at least 1 resample"),
        (lambda: scenarios(0, seed=0), "at least 1 scenario"),
    ],
)
def test_questions_without_an_answer_are_refused(ask, said):
    with pytest.raises(ValueError, match=said):
        ask()
