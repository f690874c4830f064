"""How is a document cut into passages, and which of them still hold the answer?

By a number of tokens, wherever that falls, or by whole sentences; `corpus.split_sections` cuts at headings. A piece is
always an exact slice of its document, never tokens turned back into text. `regold` points the questions at the pieces
that hold their whole evidence; where there is none, cutting has made the question unanswerable. Taught in
`02_retrieval`. Leaves out: cutting by meaning, and sentences beyond one rule (they end at ". ", "! " or "? " before
anything but a small letter, and at empty lines).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from helpers.corpus import Corpus, Document, Passage, Question

_SENTENCE_END = re.compile(r"""[.!?]["'”’)\]]*\s+(?=[^\sa-z])|\n\s*\n""")
_PLAIN = {"add_special_tokens": False, "truncation": False, "verbose": False}


def chunk_by_tokens(
    document: Document, tokenizer: PreTrainedTokenizerBase, *, size: int, overlap: int = 0
) -> list[Passage]:
    """Pieces of `size` tokens, the last perhaps shorter; each repeats the last `overlap` tokens of the one before.

    Words are cut wherever the count falls. Tokens are counted in the document, without its title and special tokens: a
    piece that begins within a word may have a token more or less when it is encoded alone. A character of several
    tokens (한 is three) is never cut, so a piece may be shorter by as much, or longer where `size` is less than that.
    Raises `ValueError` unless 0 <= overlap < size, and for a tokenizer that does not know where its tokens stand.
    """
    _check(size, overlap)
    if not tokenizer.is_fast:
        raise ValueError(f"Expected a fast tokenizer, which knows where tokens stand, got {type(tokenizer).__name__}.")
    starts, counts = _characters(document.text, tokenizer)
    return _passages(document, starts, _pack(counts, size, weights=counts, overlap=overlap))


def chunk_by_sentences(
    document: Document, tokenizer: PreTrainedTokenizerBase, *, size: int, overlap: int = 0
) -> list[Passage]:
    """Pieces of as many whole sentences as fit into `size` tokens; a longer sentence is a piece of its own.

    Each piece but the first repeats the last `overlap` *sentences* before it, or fewer where the next sentence would
    not fit otherwise. Title and special tokens are not counted. Raises `ValueError` unless 0 <= overlap < size.
    """
    _check(size, overlap)
    parts = sentences(document.text)
    starts = [0, *accumulate(map(len, parts[:-1]))]
    counts = [len(ids) for ids in tokenizer(parts, **_PLAIN)["input_ids"]]
    return _passages(document, starts, _pack(counts, size, weights=[1] * len(counts), overlap=overlap))


def sentences(text: str) -> list[str]:
    """The sentences of a text, with the blanks behind them: joined, they are the text again.

    >>> sentences("It holds 1.5 litres. Fill it, e.g. by hand! Then wait.")
    ['It holds 1.5 litres. ', 'Fill it, e.g. by hand! ', 'Then wait.']
    """
    starts = [0, *(end.end() for end in _SENTENCE_END.finditer(text))]
    return [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def gold_chunks(question: Question, chunks: Sequence[Passage]) -> tuple[str, ...]:
    """Ids of the chunks that hold the question's evidence whole, whatever the line ends; none: it can't be answered.

    A question with several pieces of evidence needs a chunk for each: without one of them, there is none at all.

    >>> chunks = [Passage("d#1", "d", "", "", "Oil it on"), Passage("d#2", "d", "", "", "it on\\nSundays. Call us.")]
    >>> question = Question("q", "When?", document_ids=("d",), evidence=("Oil it on Sundays.",))
    >>> gold_chunks(question, chunks), gold_chunks(replace(question, evidence=("on Sundays.",)), chunks)
    ((), ('d#2',))
    """
    if not question.evidence:
        return ()
    bodies = [(chunk, _fold(chunk.body)) for chunk in chunks if chunk.document_id in question.document_ids]
    pieces = zip(question.document_ids, map(_fold, question.evidence), strict=True)
    found = [[c.id for c, body in bodies if c.document_id == document and said in body] for document, said in pieces]
    return tuple(dict.fromkeys(i for ids in found for i in ids)) if all(found) else ()


def regold(corpus: Corpus, passages: Sequence[Passage]) -> Corpus:
    """The corpus cut into `passages` instead, with the `gold_ids` of its questions among these (see `gold_chunks`).

    Raises `ValueError` naming the questions whose gold passage is known but not the words in it that answer.
    """
    if bare := [q.id for q in corpus.questions if q.gold_ids and not q.evidence]:
        raise ValueError(
            f"{len(bare)} of {len(corpus.questions)} questions have no evidence to look for in other passages: "
            f"{bare[:5]}. Give them the sentence that answers them, or leave them out."
        )
    cut: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        cut[passage.document_id].append(passage)
    nearby = [[p for document in dict.fromkeys(q.document_ids) for p in cut[document]] for q in corpus.questions]
    questions = [replace(q, gold_ids=gold_chunks(q, p)) for q, p in zip(corpus.questions, nearby, strict=True)]
    return replace(corpus, passages=tuple(passages), questions=tuple(questions))


def _characters(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Where the smallest pieces of `text` start and how many tokens each has: 1, but for a character of several."""
    starts, counts, end = [0], [0], 0
    for start, stop in tokenizer(text, return_offsets_mapping=True, **_PLAIN)["offset_mapping"]:
        if start >= end and counts[-1]:
            starts.append(start)
            counts.append(0)
        counts[-1] += 1
        end = max(end, stop)
    return starts, counts


def _pack(counts: Sequence[int], size: int, *, weights: Sequence[int], overlap: int) -> Iterator[tuple[int, int]]:
    """Ranges [first, end) of units, as long as fit; each repeats units before it, of a `weight` up to `overlap`."""
    tokens, weight, end = [0, *accumulate(counts)], [0, *accumulate(weights)], 0
    while end < len(counts):
        first, end = end, end + 1
        while first and weight[end - 1] - weight[first - 1] <= overlap and tokens[end] - tokens[first - 1] <= size:
            first -= 1
        while end < len(counts) and tokens[end + 1] - tokens[first] <= size:
            end += 1
        yield first, end


def _passages(document: Document, starts: Sequence[int], ranges: Iterator[tuple[int, int]]) -> list[Passage]:
    """The slices of the document, without blanks around them; blank ones are left out."""
    edges = [*starts, len(document.text)]
    bodies = [document.text[edges[first] : edges[end]].strip() for first, end in ranges]
    named = enumerate(filter(None, bodies), 1)
    return [Passage(f"{document.id}#{i}", document.id, document.title, "", body) for i, body in named]


def _check(size: int, overlap: int) -> None:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a whole number of tokens from 1, got {size!r}.")
    if not isinstance(overlap, int) or not 0 <= overlap < size:
        raise ValueError(
            f"overlap must be a whole number from 0 to below size ({size}), got {overlap!r}. Make it smaller."
        )


def _fold(text: str) -> str:
    return " ".join(text.split())
