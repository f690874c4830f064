"""Which arm is best under given circumstances, by what was measured of each?

The arms are the bare model, RAG, the tuned model, and both; the circumstances are a `Scenario`. What rules an arm out (too slow, no
sources) comes first, accuracy second; cost decides ties. Taught in `08_which_one_when`. Leaves out: what errors and labour cost, and
how sure all this is (`scenarios`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import SimpleNamespace

import numpy as np

from helpers.own_tables import DataProblems

TIE = 0.02  # expected accuracies this near count as equal: 300 items cannot tell them apart (their half-width is 0.06)
REMEMBERED = 12  # months in which a changed fact scores as `updated`; then everything is trained or indexed anew
NIGHTLY = 30  # updates a month of an arm that waits for no training
ITEMS = (("trained", "reworded"), ("untrained",), ("stale", "updated"))  # scores of the same items stand together
SCORES = ("trained", "reworded", "untrained", "stale", "updated")
NONE = "none"


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one arm. Scores are 0 or 1 per item, the items in the same order for every arm.

    `trained` [n]: facts of the training set or the corpus, in a new direct wording; `reworded` [n]: the same facts, paraphrased;
    `untrained` [m]: facts of the corpus that were never trained; `stale` [c] and `updated` [c]: changed facts, before and after the
    arm's update. CPU-seconds per query and per update, `latency_p95` in seconds; `update_delay` in months: 0 for an arm that reads an
    index, above 0 for one that must be trained. `agreement`: share of facts of which two wordings are answered the same.
    """

    name: str
    trained: np.ndarray
    reworded: np.ndarray
    untrained: np.ndarray
    stale: np.ndarray
    updated: np.ndarray
    cpu_per_query: float
    cpu_per_update: float
    latency_p95: float
    update_delay: float
    agreement: float
    cites: bool
    filters_access: bool

    def __post_init__(self) -> None:
        costs = dict.fromkeys(("cpu_per_query", "cpu_per_update", "latency_p95"), (0, 1e12))
        ranges = costs | {"update_delay": (0, 120), "agreement": (0, 1)}
        problems = _off(self, ranges, ("cites", "filters_access"))
        if not isinstance(self.name, str) or self.name in ("", NONE):
            problems.append(f"name must be a text other than {NONE!r}, got {self.name!r}")
        for name in SCORES:
            given = getattr(self, name)
            object.__setattr__(self, name, _scores(given))
            if not getattr(self, name).size:
                problems.append(f"{name} must be a flat list of zeros and ones, at least one, got {str(given)[:40]}")
        for names in ITEMS:
            sizes = [getattr(self, name).size for name in names]
            if len({*sizes}) > 1 and 0 not in sizes:
                problems.append(f"{' and '.join(names)} must score the same items, got {sizes} scores")
        if problems:
            raise DataProblems(f"arm {self.name}", problems)


@dataclass(frozen=True)
class Scenario:
    """The circumstances. By default nothing changes, every question is about a labelled fact in a direct wording, nothing is limited.

    `changed_share`: share of the facts that change in a month; `update_every_months`: from one training to the next, for arms that
    must be trained; `unseen_share`: share of the questions about facts that nobody labelled; `reworded_share`: of the others, the
    share in another wording; `latency_limit` in seconds; `min_agreement`: see `Measured`; `cpu_budget`: CPU-seconds a month.
    """

    changed_share: float = 0.0
    update_every_months: float = 1.0
    queries_per_month: float = 1_000
    unseen_share: float = 0.0
    reworded_share: float = 0.0
    latency_limit: float = float("inf")
    needs_citations: bool = False
    needs_access_control: bool = False
    min_agreement: float = 0.0
    cpu_budget: float = float("inf")

    def __post_init__(self) -> None:
        ranges = dict.fromkeys(("changed_share", "unseen_share", "reworded_share", "min_agreement"), (0, 1))
        ranges |= dict.fromkeys(("latency_limit", "cpu_budget"), (0, float("inf")))
        ranges |= {"update_every_months": (1 / NIGHTLY, 120), "queries_per_month": (0, 1e12)}
        if problems := _off(self, ranges, ("needs_citations", "needs_access_control")):
            raise DataProblems("the scenario", problems)


def _off(record: object, ranges: Mapping[str, tuple[float, float]], flags: Sequence[str]) -> list[str]:
    """What is wrong with the numbers and the flags of a record, in words."""
    wanted = {name: f"a number from {low:g} to {high:g}" for name, (low, high) in ranges.items()}
    wanted |= dict.fromkeys(flags, "True or False")
    values = {name: getattr(record, name) for name in wanted}
    right = {name for name, (low, high) in ranges.items() if isinstance(x := values[name], Real) and low <= x <= high}
    right |= {name for name in flags if isinstance(values[name], bool | np.bool_)}
    return [f"{name} must be {what}, got {values[name]!r}" for name, what in wanted.items() if name not in right]


def _scores(values: Sequence[float]) -> np.ndarray:
    """A copy as float64 [n], empty if these are no scores."""
    scores = np.asarray(values, dtype=object)
    right = scores.ndim == 1 and np.isin(scores, (0, 1)).all()
    return np.array(scores if right else [], dtype=float)


@dataclass(frozen=True)
class Recommendation:
    """The winner and the next best (or "none"), the expected accuracy of every arm, why some are ruled out, and the reason."""

    winner: str
    runner_up: str
    expected: dict[str, float]
    ruled_out: dict[str, list[str]]
    reason: str


def weights(arm: Measured, s: Scenario | SimpleNamespace) -> list:
    """The share of the questions that each of `SCORES` stands for; they add up to 1. `s` may hold arrays [n_scenarios]."""
    wait = arm.update_delay + s.update_every_months / 2 if arm.update_delay > 0 else 0.0
    stale = np.minimum(1, s.changed_share * wait)
    updated = np.maximum(0, np.minimum(1, s.changed_share * REMEMBERED) - stale)
    labelled = 1 - s.unseen_share
    same = (1 - stale - updated) * labelled
    direct = same * (1 - s.reworded_share)
    return [direct, same - direct, (1 - stale) * s.unseen_share, stale, updated * labelled]


def expected_accuracy(arm: Measured, scenario: Scenario) -> float:
    """The share of questions that the arm is expected to answer rightly: a weighted mean of its measured scores.

    A change waits half the time between two trainings on average, and then `update_delay`; an index takes it in at once.
    `changed_share` times that wait, at most 1, is the share of facts that score as `stale`. Of the others, those that nobody labelled
    score as `untrained`; labelled ones that changed in the last `REMEMBERED` months score as `updated`; all others mix `trained` and
    `reworded`. Facts are asked about equally often; one that changes twice counts twice.
    """
    return float(np.dot(weights(arm, scenario), [getattr(arm, name).mean() for name in SCORES]))


def cpu_per_month(arm: Measured, s: Scenario | SimpleNamespace) -> float | np.ndarray:
    """CPU-seconds a month for queries and updates: one per training, or one a night for an index; none if nothing changes."""
    updates = 1 / s.update_every_months if arm.update_delay > 0 else NIGHTLY
    return s.queries_per_month * arm.cpu_per_query + (s.changed_share > 0) * updates * arm.cpu_per_update


def objections(arm: Measured, s: Scenario | SimpleNamespace) -> Iterator[tuple[bool | np.ndarray, str]]:
    """What could rule the arm out: whether it does, for each scenario of `s`, and a template of the words for it."""
    slow = f"answers in {arm.latency_p95:.2f} s (95th percentile), {{latency_limit:.2f}} s is the limit"
    fickle = f"answers {arm.agreement:.2f} of facts the same in two wordings, {{min_agreement:.2f}} is needed"
    yield arm.latency_p95 > s.latency_limit, slow
    yield s.needs_citations & (not arm.cites), "names no source, and citations are needed"
    yield s.needs_access_control & (not arm.filters_access), "cannot withhold a document from a reader, as is needed"
    yield arm.agreement < s.min_agreement, fickle
    yield cpu_per_month(arm, s) > s.cpu_budget, "needs {cpu:,.0f} CPU-seconds a month, {cpu_budget:,.0f} are there"


def admissible(arm: Measured, scenario: Scenario) -> list[str]:
    """The reasons against the arm in words; an empty list if it is admissible."""
    said = vars(scenario) | {"cpu": cpu_per_month(arm, scenario)}
    return [words.format(**said) for against, words in objections(arm, scenario) if against]


def check_arms(arms: Sequence[Measured]) -> None:
    """Raises `ValueError` for no arms, for names that repeat, and for arms that did not answer the same items."""
    sizes = {arm.name: [getattr(arm, name).size for name in SCORES] for arm in arms}
    problems = [] if arms else ["there are none; measure at least one"]
    if len(sizes) < len(arms):
        problems.append(f"names must differ, got {[arm.name for arm in arms]}")
    if len({*map(tuple, sizes.values())}) > 1:
        problems.append(f"all must answer the same items, got so many scores of {', '.join(SCORES)}: {sizes}")
    if problems:
        raise DataProblems("the arms", problems)


def recommend(arms: Sequence[Measured], scenario: Scenario) -> Recommendation:
    """The admissible arm of the highest expected accuracy; of those within `TIE` of it, the one of fewest CPU-seconds a month.

    Of equally cheap ones, the more accurate, then the first. The runner-up is what would win without the winner.
    """
    check_arms(arms)
    expected = {arm.name: expected_accuracy(arm, scenario) for arm in arms}
    cpu = {arm.name: cpu_per_month(arm, scenario) for arm in arms}
    ruled_out = {arm.name: reasons for arm in arms if (reasons := admissible(arm, scenario))}
    left = [name for name in expected if name not in ruled_out]
    winner = _best(left, expected, cpu)
    rest = [name for name in left if name != winner]
    return Recommendation(winner, _best(rest, expected, cpu), expected, ruled_out, _reason(winner, rest, expected, cpu))


def _best(names: Sequence[str], expected: Mapping[str, float], cpu: Mapping[str, float]) -> str:
    highest = max((expected[name] for name in names), default=0.0)
    tied = [name for name in names if round(highest - expected[name], 9) <= TIE]
    return min(tied, key=lambda name: (cpu[name], -round(expected[name], 9)), default=NONE)


def _reason(winner: str, others: Sequence[str], expected: Mapping[str, float], cpu: Mapping[str, float]) -> str:
    if not others:
        return "no arm is admissible" if winner == NONE else "it is the only admissible arm"
    rival = max(others, key=expected.__getitem__)
    if (gap := round(expected[winner] - expected[rival], 9)) > TIE:
        return f"its expected accuracy is the highest, {gap:.2f} above {rival}"
    costs = f"it needs {cpu[winner]:,.0f} CPU-seconds a month, {rival} {cpu[rival]:,.0f}"
    return f"it is within {TIE:.2f} of {rival} in expected accuracy, so that cost decides: {costs}"


def explain(recommendation: Recommendation, scenario: Scenario) -> str:
    """What is recommended and why, in plain words, with the numbers that it rests on."""
    r, s = recommendation, scenario
    change = f"{s.changed_share:.1%} of the facts change in a month"
    asked = f"{s.unseen_share:.0%} of the questions are about facts that nobody labelled"
    standing = ", ".join(f"{name} {accuracy:.2f}" for name, accuracy in r.expected.items())
    said = f"Where {change}, {asked}, and {s.reworded_share:.0%} of the others are reworded: {r.winner}, because {r.reason}."
    ruled_out = [f" Ruled out: {name} ({'; '.join(why)})." for name, why in r.ruled_out.items()]
    return f"{said} Expected accuracy: {standing}. Next best: {r.runner_up}.{''.join(ruled_out)}"
