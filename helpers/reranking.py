"""Can the generator itself judge which of a few passages answers a question?

It reads each passage and says how likely the question is after it: a judge that nobody had to train. Its scores are for
`retrieval.RerankedRetriever`. Taught in `02_retrieval`. Leaves out: trained cross-encoders, and letting the generator choose
from a list of passages.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from helpers import experiments
from helpers.corpus import Passage
from helpers.generation import Generator, Messages
from helpers.retrieval import Score

REQUEST = "Passage: {text}\nPlease write a question based on this passage."  # the wording of the paper


@dataclass(frozen=True)
class _Reading:
    """A passage and the questions that are scored on it: one item of the experiment."""

    id: str
    text: str
    queries: tuple[str, ...]


def query_likelihood(generator: Generator) -> Score:
    """A `Score` for `RerankedRetriever`: log p(question | passage), summed over the question's tokens.

    The generator is asked to write a question on the passage, and is scored on the one that was typed (Sachan et al. 2022,
    arXiv 2204.07496; their mean over tokens orders the passages of one question in the same way). A passage is read once, however
    many questions it is scored on, and its row is stored at once (`experiments.measure`).
    """

    def measure_batch(batch: Sequence[_Reading]) -> list[dict]:
        found = [generator.option_log_likelihoods(_messages(one.text), one.queries) for one in batch]
        return [{"log_likelihoods": values} for values in found]

    def score(queries: Sequence[str], passages_per_query: Sequence[Sequence[Passage]]) -> list[list[float]]:
        readings = _readings(queries, passages_per_query)
        settings = {"model": generator.name, "request": REQUEST}
        rows = experiments.measure("query_likelihood", [[one] for one in readings], measure_batch, settings=settings)
        values = dict(zip(rows["item_id"], rows["log_likelihoods"], strict=True))
        scores = {(one.id, q): v for one in readings for q, v in zip(one.queries, values[one.id], strict=True)}
        return [[scores[p.id, q] for p in found] for q, found in zip(queries, passages_per_query, strict=True)]

    return score


def _messages(text: str) -> Messages:
    return [{"role": "user", "content": REQUEST.format(text=text)}]


def _readings(queries: Sequence[str], passages_per_query: Sequence[Sequence[Passage]]) -> list[_Reading]:
    """Each passage once, with the different queries that found it, in order."""
    texts: dict[str, str] = {}
    asked: dict[str, dict[str, None]] = defaultdict(dict)
    for query, found in zip(queries, passages_per_query, strict=True):
        for passage in found:
            texts[passage.id] = passage.text
            asked[passage.id][query] = None
    return [_Reading(passage_id, text, tuple(asked[passage_id])) for passage_id, text in texts.items()]
