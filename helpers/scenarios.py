"""How sure is a recommendation (`decision`), where does it flip, and does popular advice hold over many circumstances?

Scenarios are drawn from a prior that says what anyone might face; of each piece of advice it is said which of them it speaks of. All
these constants were fixed before any measured score was put in. Taught in `08_which_one_when`. Leaves out: how often a circumstance
is met in practice (the prior spreads scenarios over what is possible, it is no survey), and how sure latency, CPU-seconds and
agreement are: only scores are resampled.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np

from helpers import decision
from helpers.decision import ITEMS, NONE, SCORES, TIE, Measured, Scenario, check_arms
from helpers.statistics import CONFIDENCE, Estimate, rate

N_RESAMPLES = 500
CORE_MONTH = 30 * 24 * 3600  # CPU-seconds of one core that is busy all month

LOG_UNIFORM = {  # knob: from, to. For knobs that matter by their order of magnitude
    "changed_share": (0.001, 0.5),  # one fact in a thousand a month (statutes) to every other (prices)
    "update_every_months": (0.25, 12),  # training every week to every year
    "queries_per_month": (100, 100_000),  # a small team to a busy support desk
    "latency_limit": (1, 10),  # seconds: what keeps a reader's train of thought, and attention (Nielsen 1993)
    "cpu_budget": (CORE_MONTH / 10, CORE_MONTH * 4),  # a tenth of a core to a small server
}
UNIFORM = {  # knob: from, to. For shares that nothing is known of
    "unseen_share": (0, 0.5),  # where most questions are about unlabelled facts, labelling has hardly begun
    "reworded_share": (0, 1),
    "min_agreement": (0, 0.8),  # nobody minds, to what is "almost perfect" among raters (Landis and Koch 1977)
}
NEEDED = 0.25  # the chance that citations are needed, and that access control is: the exception, but no rare one

DYNAMIC = 0.1  # C25, "information is dynamic, currency is critical": more changes in a year than there are facts
UNPREDICTABLE = 0.2  # C25, "queries are unpredictable": one question in five is about a fact that nobody foresaw
STABLE = 0.02  # C26 presupposes facts that stay: in a year, less than a quarter of them change
RICH = 0.1  # C26, "data is rich": nine questions in ten are about labelled facts
LOW_LATENCY = math.sqrt(
    math.prod(LOG_UNIFORM["latency_limit"])
)  # C26, "latency must be low": the prior's stricter half
CONSISTENT = 0.5  # C26, "consistency is required": more than every other fact is answered the same in two wordings
C25_ADVISED = frozenset({"RAG", "both"})  # an arm with retrieval
C26_ADVISED = frozenset({"fine-tuned"})

Fits = Callable[[Scenario], bool]


def scenarios(n: int, *, seed: int) -> list[Scenario]:
    """`n` scenarios from the prior, each knob drawn by itself.

    >>> 0.001 <= scenarios(1, seed=0)[0].changed_share <= 0.5
    True
    """
    if n < 1:
        raise ValueError(f"Expected at least 1 scenario, got n = {n}.")
    rng = np.random.default_rng(seed)
    knobs = {
        name: np.exp(rng.uniform(math.log(low), math.log(high), n)).tolist()
        for name, (low, high) in LOG_UNIFORM.items()
    }
    knobs |= {name: rng.uniform(low, high, n).tolist() for name, (low, high) in UNIFORM.items()}
    knobs |= {name: (rng.random(n) < NEEDED).tolist() for name in ("needs_citations", "needs_access_control")}
    return [Scenario(**dict(zip(knobs, values, strict=True))) for values in zip(*knobs.values(), strict=True)]


def fits_rag(s: Scenario) -> bool:
    """Whether C25 speaks of this scenario: dynamic information, unpredictable queries, currency critical.

    Where citations or access control are needed, only an arm with retrieval is admissible, whatever its accuracy. Neither claim speaks of
    such needs, and they would decide both by definition; so neither is tried there.
    """
    return s.changed_share >= DYNAMIC and s.unseen_share >= UNPREDICTABLE and not _settled_by_needs(s)


def fits_tuning(s: Scenario) -> bool:
    """Whether C26 speaks of this scenario: data rich (and stable), latency low, consistency required. See also `fits_rag`."""
    rich = s.changed_share <= STABLE and s.unseen_share <= RICH
    return rich and s.latency_limit < LOW_LATENCY and s.min_agreement > CONSISTENT and not _settled_by_needs(s)


def _settled_by_needs(s: Scenario) -> bool:
    return s.needs_citations or s.needs_access_control


def winners(arms: Sequence[Measured], scenarios: Sequence[Scenario]) -> list[str]:
    """`decision.recommend(arms, scenario).winner` for every scenario, all at once."""
    shares, cpu, allowed = _standing(arms, scenarios)
    means = np.array([[getattr(arm, name).mean() for name in SCORES] for arm in arms])
    found = _choose(_expected(shares, means), cpu, allowed)
    return [NONE if i < 0 else arms[i].name for i in found]


def resampled_winners(arms: Sequence[Measured], scenarios: Sequence[Scenario], *, seed: int, n: int) -> np.ndarray:
    """Who wins in each of `n` bootstrap resamples of the items: an index into `arms`, -1 for none, int8 [n, n_scenarios].

    Paired: in a resample, every arm is scored on the same items, and so are all scores of the same items (`decision.ITEMS`).
    """
    if n < 1:
        raise ValueError(f"Expected at least 1 resample, got n = {n}.")
    shares, cpu, allowed = _standing(arms, scenarios)
    means = _resampled_means(arms, seed=seed, n=n)
    return np.array([_choose(_expected(shares, drawn), cpu, allowed) for drawn in means], dtype=np.int8)


def confidence(arms: Sequence[Measured], scenario: Scenario, *, seed: int, n: int = N_RESAMPLES) -> dict[str, float]:
    """The share of bootstrap resamples in which each arm wins; all 0 if none is admissible."""
    found = resampled_winners(arms, [scenario], seed=seed, n=n)
    return {arm.name: float((found == i).mean()) for i, arm in enumerate(arms)}


def expected(arms: Sequence[Measured], scenario: Scenario, *, seed: int, n: int = N_RESAMPLES) -> dict[str, Estimate]:
    """`decision.expected_accuracy` of every arm, with a 95 % percentile interval over `n` resamples of the items, which are counted."""
    shares, _, _ = _standing(arms, [scenario])
    found = np.array([_expected(shares, drawn)[0] for drawn in _resampled_means(arms, seed=seed, n=n)])
    lows, highs = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0).tolist()
    n_items = sum(getattr(arms[0], names[0]).size for names in ITEMS)
    values = [decision.expected_accuracy(arm, scenario) for arm in arms]
    return {
        arm.name: Estimate(v, low, high, n_items) for arm, v, low, high in zip(arms, values, lows, highs, strict=True)
    }


def flip_points(arms: Sequence[Measured], scenario: Scenario, knob: str, values: Iterable) -> list[tuple]:
    """The pairs (value, winner) at the first of `values`, and wherever the winner is another than at the value before."""
    names = [field.name for field in fields(Scenario)]
    if knob not in names:
        raise ValueError(f"There is no knob {knob!r}. Those there are: {', '.join(names)}.")
    tried = list(values)
    found = winners(arms, [replace(scenario, **{knob: value}) for value in tried])
    return [(tried[i], found[i]) for i in range(len(tried)) if i == 0 or found[i] != found[i - 1]]


def advice_holds(
    arms: Sequence[Measured], scenarios: Sequence[Scenario], fits: Fits, advised: Collection[str]
) -> np.ndarray:
    """1 for every scenario that `fits` in which an advised arm wins, else 0 (also if no arm is admissible), int [n_fitting]."""
    fitting = _fitting(arms, scenarios, fits, advised)
    return np.array([winner in advised for winner in winners(arms, fitting)], dtype=int)


def advice_share(
    arms: Sequence[Measured], scenarios: Sequence[Scenario], fits: Fits, advised: Collection[str], *, seed: int
) -> Estimate:
    """The mean of `advice_holds`, with a 95 % percentile interval over both draws: of the items and of the scenarios.

    Scenarios are free: an interval over them alone shrinks at will and says nothing of how few items were measured. Yet it is never
    narrower than that one (`rate`), as the bootstrap gives no width to a share of 0 or 1.
    """
    held = advice_holds(arms, scenarios, fits, advised)
    listed = [i for i, arm in enumerate(arms) if arm.name in advised]
    found = resampled_winners(arms, _fitting(arms, scenarios, fits, advised), seed=seed, n=N_RESAMPLES)
    drawn = np.random.default_rng([seed, 1]).integers(len(held), size=found.shape)
    shares = np.take_along_axis(np.isin(found, listed), drawn, axis=1).mean(axis=1)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    alone = rate(held)
    return Estimate(alone.value, min(float(low), alone.low), max(float(high), alone.high), alone.n)


def _fitting(
    arms: Sequence[Measured], scenarios: Sequence[Scenario], fits: Fits, advised: Collection[str]
) -> list[Scenario]:
    names = [arm.name for arm in arms]
    if not advised or not set(advised) <= set(names):
        raise ValueError(f"Expected advised arms among {names}, got {sorted(advised)}. Measure them first.")
    fitting = [s for s in scenarios if fits(s)]
    if not fitting:
        raise ValueError(f"None of the {len(scenarios)} scenarios fits the advice. Draw more of them.")
    return fitting


def _standing(arms: Sequence[Measured], scenarios: Sequence[Scenario]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By scenario and arm: the weights of the scores [s, a, 5], CPU-seconds a month [s, a], whether it is admissible [s, a]."""
    check_arms(arms)
    if not scenarios:
        raise ValueError("Expected at least one scenario or value of a knob, got none.")
    s = SimpleNamespace(**{f.name: np.array([getattr(one, f.name) for one in scenarios]) for f in fields(Scenario)})
    shares = np.stack([np.stack(decision.weights(arm, s), axis=-1) for arm in arms], axis=1)
    cpu = np.stack([decision.cpu_per_month(arm, s) for arm in arms], axis=1)
    against = [np.any([holds for holds, _ in decision.objections(arm, s)], axis=0) for arm in arms]
    return shares, cpu, ~np.stack(against, axis=1)


def _expected(shares: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Expected accuracies [s, a], from weights [s, a, 5] and mean scores [a, 5]."""
    return np.einsum("sap,ap->sa", shares, means)


def _choose(expected: np.ndarray, cpu: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The winner's index for every scenario, from arrays [s, a], by the rule of `decision.recommend`; -1 if none is admissible."""
    highest = np.where(allowed, expected, -np.inf).max(axis=1, keepdims=True)
    tied = allowed & (np.round(highest - expected, 9) <= TIE)
    least = np.where(tied, cpu, np.inf).min(axis=1, keepdims=True)
    found = np.where(tied & (cpu == least), np.round(expected, 9), -np.inf).argmax(axis=1)
    return np.where(allowed.any(axis=1), found, -1)


def _resampled_means(arms: Sequence[Measured], *, seed: int, n: int) -> np.ndarray:
    """Mean scores [n, n_arms, 5] of items drawn with replacement."""
    rng = np.random.default_rng(seed)
    columns = []
    for names in ITEMS:
        size = getattr(arms[0], names[0]).size
        drawn = rng.integers(size, size=(n, size))
        columns += [np.stack([getattr(arm, name)[drawn].mean(axis=1) for arm in arms], axis=1) for name in names]
    return np.stack(columns, axis=-1)
