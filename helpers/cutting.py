"""How should documents be cut, if a reader may read only so many tokens?

Cuts a corpus in several ways and measures each on the same questions: does a piece still hold the whole evidence, and does
the reader get to see it within a budget of tokens? Taught in `02_retrieval`. Leaves out: the cutting itself (`chunking`), and
whether the reader then answers well (`03_generation`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from transformers import PreTrainedTokenizerBase

from helpers.chunking import chunk_by_sentences, chunk_by_tokens, regold
from helpers.corpus import Corpus, Passage, Question
from helpers.retrieval import Retriever

Cut = tuple[str, int]  # how, and into pieces of how many tokens at most
Count = Callable[[Sequence[str]], Sequence[int]]  # the number of tokens of each text


def cut_corpus(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, *, sizes: Sequence[int]) -> dict[Cut, list[Passage]]:
    """The documents in pieces of each size: `"fixed"` numbers of tokens, with a quarter as `"overlap"`, whole `"sentences"`."""
    ways = {
        "fixed": lambda d, size: chunk_by_tokens(d, tokenizer, size=size),
        "overlap": lambda d, size: chunk_by_tokens(d, tokenizer, size=size, overlap=size // 4),
        "sentences": lambda d, size: chunk_by_sentences(d, tokenizer, size=size),
    }
    pairs = [(way, size) for way in ways for size in sizes]
    return {(way, size): [p for d in corpus.documents for p in ways[way](d, size)] for way, size in pairs}


def n_read_within(n_tokens: Sequence[int], budget: int) -> int:
    """How many passages are read, best first, before the next one would exceed `budget` tokens.

    >>> n_read_within([100, 50, 30], 160), n_read_within([200], 160)
    (2, 0)
    """
    total = 0
    for place, n in enumerate(n_tokens):
        total += n
        if total > budget:
            return place
    return len(n_tokens)


def measure_cut(
    corpus: Corpus, questions: Sequence[Question], retriever: Retriever, *, count: Count, budget: int
) -> pd.DataFrame:
    """One row per question for one cut: the passages of `retriever` are its pieces, `count` gives the tokens of texts.

    Columns: item_id; `whole`: 1.0 if some piece holds the whole evidence (the ceiling); `found_3`: such a piece is among the
    first three; `score`: it is among those that are read within `budget` tokens, title and all; n_read; n_tokens_read. Raises
    `ValueError` for a budget that no passage fits into.
    """
    pieces = retriever.passages
    n_tokens = dict(zip([p.id for p in pieces], count([p.text for p in pieces]), strict=True))
    if (shortest := min(n_tokens.values())) > budget:
        raise ValueError(
            f"No passage fits into {budget} tokens: the shortest has {shortest}. Read more, or cut smaller."
        )
    cut = regold(replace(corpus, questions=tuple(questions)), pieces)
    k = min(len(pieces), max(3, budget // shortest))
    rankings = retriever.search([q.question for q in questions], k)
    return pd.DataFrame([_row(q, r.ids, n_tokens, budget) for q, r in zip(cut.questions, rankings, strict=True)])


def _row(question: Question, ids: Sequence[str], n_tokens: Mapping[str, int], budget: int) -> dict:
    gold, lengths = set(question.gold_ids), [n_tokens[i] for i in ids]
    n_read = n_read_within(lengths, budget)
    scores = {"whole": gold, "found_3": gold & set(ids[:3]), "score": gold & set(ids[:n_read])}
    read = {"n_read": n_read, "n_tokens_read": sum(lengths[:n_read])}
    return {"item_id": question.id} | {name: float(bool(found)) for name, found in scores.items()} | read
