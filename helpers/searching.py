"""Which way of searching finds the passage, for which wording of a question, and why?

Asks the same questions in five wordings, ranks with any retrievers and their controls, and says how many words a question
shares with its passage. Taught in `02_retrieval`. Leaves out: how a ranking is scored (`ranking_metrics`), judging by reading
(`reranking`), cutting documents (`cutting`), products (`store_trials`).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from helpers.corpus import Corpus, Passage, Question, sample
from helpers.ranking_metrics import evaluate
from helpers.retrieval import Ranking, RerankedRetriever, Retriever, Score, check_passages, check_search, keywords

METRICS = ("nDCG@10", "recall@3", "recall@10", "hit@1", "MRR")
RARE = 0.01  # a word is rare if at most this share of the passages holds it


@dataclass(frozen=True)
class Asked:
    """A question as it is typed, in one of its wordings, with the passages that answer it."""

    id: str
    wording: str
    text: str
    gold_ids: tuple[str, ...]


def wordings(corpus: Corpus, n: int, *, seed: int) -> list[Asked]:
    """At most `n` questions each: direct, paraphrase, typo (the same facts three times), negated and multi-hop.

    Paraphrases rotate: the first question gives its first one, the second its second, so that no style of rewording decides.
    """
    facts = [
        q for q in sample(corpus.of_kind("single_fact", split="wording"), n, seed=seed) if q.paraphrases and q.typo
    ]
    rotated = [q.paraphrases[place % len(q.paraphrases)] for place, q in enumerate(facts)]
    negated, chained = (sample(corpus.of_kind(kind), n, seed=seed) for kind in ("negated", "multi_hop"))
    return [
        *as_asked(facts, "direct"),
        *as_asked(facts, "paraphrase", texts=rotated),
        *as_asked(facts, "typo", texts=[q.typo for q in facts]),
        *as_asked(negated, "negated"),
        *as_asked(chained, "multi-hop"),
    ]


def as_asked(questions: Sequence[Question], wording: str, *, texts: Sequence[str] | None = None) -> list[Asked]:
    """Questions with gold passages, as `texts` say them (else as they are); those without gold can't be scored and are left out."""
    said = texts or [q.question for q in questions]
    pairs = zip(questions, said, strict=True)
    return [Asked(f"{q.id}, {wording}", wording, text, q.gold_ids) for q, text in pairs if q.gold_ids]


def few_of_each(asked: Sequence[Asked], n: int, *, seed: int) -> list[Asked]:
    """`n` of each wording, drawn with `seed`, in their order; all of a wording that has no more."""
    by_wording = defaultdict(list)
    for one in asked:
        by_wording[one.wording].append(one)
    return [one for group in by_wording.values() for one in sample(group, n, seed=seed)]


class RandomRetriever:
    """The floor: passages in an order that knows nothing, another for each query, the same for each `seed`."""

    def __init__(self, passages: Sequence[Passage], *, seed: int) -> None:
        check_passages(passages)
        self.passages, self.seed = list(passages), seed

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """`k` passages for each query, drawn without replacement. Raises `ValueError` unless 1 <= k <= n_passages."""
        check_search(queries, k, len(self.passages))
        n = len(self.passages)
        drawn = [random.Random(f"{self.seed} {query}").sample(self.passages, n)[:k] for query in queries]
        scores = tuple(-float(rank) for rank in range(k))
        return [Ranking(query, tuple(found), scores) for query, found in zip(queries, drawn, strict=True)]


def perfect_judge(asked: Sequence[Asked]) -> Score:
    """The ceiling for `RerankedRetriever`: 1 for a gold passage of the query, 0 for any other."""
    gold = defaultdict(set)
    for one in asked:
        gold[one.text].update(one.gold_ids)
    return lambda queries, found: [[float(p.id in gold[q]) for p in ps] for q, ps in zip(queries, found, strict=True)]


def random_judge(*, seed: int) -> Score:
    """The floor for `RerankedRetriever`: scores that know nothing, the same for the same seed, query and passage."""

    def score(queries: Sequence[str], found: Sequence[Sequence[Passage]]) -> list[list[float]]:
        pairs = zip(queries, found, strict=True)
        return [[random.Random(f"{seed} {p.id} {query}").random() for p in passages] for query, passages in pairs]

    return score


def controls(passages: Sequence[Passage], asked: Sequence[Asked], *, seed: int) -> dict[str, Retriever]:
    """Floor and ceiling of every ranking of these passages: `"random order"` and `"oracle"` (all gold passages first)."""
    floor = RandomRetriever(passages, seed=seed)
    return {"random order": floor, "oracle": RerankedRetriever(floor, perfect_judge(asked), depth=len(passages))}


def compare(
    retrievers: Mapping[str, Retriever], asked: Sequence[Asked], *, k: int = 10, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """One row per retriever (`condition`) and question, in this order: wording, item_id and the metrics of the first `k`.

    MRR counts 0 beyond `k`. With fewer than `k` passages, all are ranked.
    """
    rows = []
    for name, retriever in retrievers.items():
        rankings = retriever.search([one.text for one in asked], min(k, len(retriever.passages)))
        scores = evaluate(rankings, [one.gold_ids for one in asked], metrics=metrics)
        known = {"condition": name, "wording": [a.wording for a in asked], "item_id": [a.id for a in asked]}
        rows.append(scores.assign(**known)[[*known, *metrics]])
    return pd.concat(rows, ignore_index=True)


def shared_words(asked: Sequence[Asked], passages: Sequence[Passage]) -> pd.DataFrame:
    """What keyword search has to go by: one row per question with `n_words`, `shared` and `n_rare`.

    `shared` is the share of the question's different words (`retrieval.keywords`) that stand in a gold passage; `n_rare` counts
    those of them that at most 1 % of all passages hold (at least one passage): names, codes and other rare words.
    """
    words = {passage.id: set(keywords(passage.text)) for passage in passages}
    n_passages_with = Counter(word for one in words.values() for word in one)
    most = max(1, RARE * len(passages))
    rows = []
    for one in asked:
        own = set(keywords(one.text))
        both = own & set().union(*(words[i] for i in one.gold_ids))
        n_rare = sum(n_passages_with[word] <= most for word in both)
        row = {"item_id": one.id, "wording": one.wording, "n_words": len(own)}
        rows.append(row | {"shared": len(both) / max(1, len(own)), "n_rare": n_rare})
    return pd.DataFrame(rows)
