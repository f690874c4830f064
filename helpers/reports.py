"""Are the sentences of a report supported by the passages that they cite?

The generator sums up sections of a document, each sentence cites one (`Citer`), and a rule decides whether that one says so. Floor: the
same sentences, another topic. Ceiling: the documents' own. Taught in `08_which_one_when`. Leaves out: relevance, entailment by a model.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from helpers import chunking, experiments
from helpers.corpus import Corpus, Passage, sample
from helpers.failures import Citer
from helpers.generation import Generator, Messages
from helpers.scoring import find_tokens, normalise, tokens

INSTRUCTION = "{text}\n\nSummarise the text above in a few sentences."
MAX_NEW_TOKENS, BATCH_SIZE = 96, 16
SHARE = 0.6  # of a sentence's content words, names and numbers aside, that have to stand in the passage
NEGATIONS = {"not", "no", "never", "nor", "none", "neither", "nothing", "nobody", "without", "minus"}
NUMBERS = set(re.findall(r"\w+", "thirty forty fifty sixty seventy eighty ninety hundred thousand million half twice"))
_FUNCTION = {word for word in tokens(" ".join(ENGLISH_STOP_WORDS)) if word.isalpha()} - NEGATIONS - NUMBERS
_CLAUSE = re.compile(r"[,.;:!?]\s|\n")
_NAME = re.compile(r"(?<=\s)\W*[A-ZÀ-Þ]\S*")  # a capital, but not in first place
_ENDED = re.compile(r"""[.!?]["'”’)\]]*$""")


@dataclass(frozen=True)
class Topic:
    """What a report is about: passages of one document in a row; its id is that of the first."""

    id: str
    title: str
    passages: tuple[Passage, ...]


def topics(corpus: Corpus, n: int, *, seed: int, n_passages: int = 3) -> list[Topic]:
    """`n` runs of `n_passages` passages of a public document, no passage in two, drawn with `seed`; all if there are no more."""
    public = [d for d in corpus.documents if d.audience == "public"]
    held = {d.id: tuple(p for p in corpus.passages if p.document_id == d.id) for d in public}
    starts = [(d, i) for d in public for i in range(0, len(held[d.id]) - n_passages + 1, n_passages)]
    made = [Topic(held[d.id][i].id, d.title, held[d.id][i : i + n_passages]) for d, i in starts]
    return sample(made, n, seed=seed)


def report_prompt(topic: Topic) -> Messages:
    """Chat messages that ask for a summary of the topic's passages."""
    text = "\n\n".join([topic.title, *(f"{p.heading}\n{p.body}".strip() for p in topic.passages)])
    return [{"role": "user", "content": INSTRUCTION.format(text=text)}]


def write_reports(generator: Generator, topics: Sequence[Topic]) -> pd.DataFrame:
    """One row per topic, measured once: item_id, prediction (the report), n_prompt_tokens, n_new_tokens, seconds."""

    def write(batch: Sequence[Topic]) -> list[dict]:
        asked = [report_prompt(topic) for topic in batch]
        return [asdict(reply) for reply in generator.generate(asked, max_new_tokens=MAX_NEW_TOKENS)]

    batches = [topics[i : i + BATCH_SIZE] for i in range(0, len(topics), BATCH_SIZE)]
    settings = {"model": generator.name, "max_new_tokens": MAX_NEW_TOKENS, "instruction": INSTRUCTION}
    return experiments.measure("reports", batches, write, settings=settings).rename(columns={"text": "prediction"})


def sentences(text: str) -> list[str]:
    """The sentences of a text, each once, by the rule of `chunking`."""
    return list(dict.fromkeys(filter(None, map(str.strip, chunking.sentences(text)))))


def supported(sentence: str, passage: Passage) -> bool:
    """Whether the passage says so, judged by words alone: in one spelling, at token boundaries, without plural s (`scoring.tokens`).

    Must stand in it: all numbers; all words with a capital, but for the first; what a negation denies, denied there too. A word that
    it only denies must not be said plainly. Of the other content words `SHARE` is enough. Blind to: who does what to whom, a name
    in first place, single words that turn the sense, mixed-up facts of one passage.
    """
    said, there = _signed(sentence), _signed(passage.text)
    plain, known = ({word.removeprefix("not ") for word in words} for words in (said, there))
    named = {*tokens(" ".join(_NAME.findall(sentence)))} & plain
    strict = named | {word for word in plain if word[0].isdigit() or word in NUMBERS}
    turned = {word for word in said - there if word.startswith("not ") or f"not {word}" in there}
    others = plain - strict
    return bool(plain) and strict <= known and not turned and len(others & known) >= SHARE * len(others)


def _signed(text: str) -> set[str]:
    """Content words; the next one after a negation in the same clause is marked: "not remove". "One" is left out: it says too little."""
    spelt = [re.sub(r"\bone\b", " ", re.sub(r"n't\b", " not", normalise(clause))) for clause in _CLAUSE.split(text)]
    clauses = [["", *(word for word in tokens(clause) if word not in _FUNCTION)] for clause in spelt]
    return {"not " * (a in NEGATIONS) + b for words in clauses for a, b in pairwise(words) if b not in NEGATIONS}


def check(written: pd.DataFrame, topics: Sequence[Topic], citer: Citer) -> pd.DataFrame:
    """One row per condition and sentence: the passage that it cites, and score 1.0 if that one supports it.

    Conditions: report; shuffled (citing among the passages of the topic half the list away: the floor); documents (the topics' own
    sentences: the ceiling). `cited` may be empty; `copied` is 1.0 for a sentence that stands there word for word. Unfinished sentences
    are left out; those of one topic are not independent.
    """
    if len(topics) < 2:
        raise ValueError(f"Expected at least two topics, since the floor needs another one, got {len(topics)}.")
    said = {row.item_id: [s for s in sentences(row.prediction) if _ENDED.search(s)] for row in written.itertuples()}
    own = {topic.id: [s for passage in topic.passages for s in sentences(passage.body)] for topic in topics}
    away = [*topics[len(topics) // 2 :], *topics[: len(topics) // 2]]
    return pd.DataFrame(
        {"condition": condition, "item_id": f"{topic.id} s{place}", "topic_id": topic.id, "sentence": sentence}
        | _judged(sentence, citer.cite(sentence, read.passages) or Passage("", "", "", "", ""))
        for condition, texts, reads in [("report", said, topics), ("shuffled", said, away), ("documents", own, topics)]
        for topic, read in zip(topics, reads, strict=True)
        for place, sentence in enumerate(texts[topic.id], 1)
    )


def _judged(said: str, page: Passage) -> dict:
    return {"cited": page.id, "copied": float(find_tokens(page.text, said) >= 0), "score": float(supported(said, page))}
