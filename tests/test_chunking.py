"""However a document is cut, its pieces are slices of it, nothing is lost, and gold follows the evidence."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from helpers.chunking import chunk_by_sentences, chunk_by_tokens, gold_chunks, regold
from helpers.corpus import Corpus, Document, Passage, Question, load_company, split_sections
from helpers.embeddings import Embedder
from helpers.models import GENERATOR, fetch_model

QUICKLY = settings(max_examples=60, deadline=None)
PARTS = [
    "The pump",
    " hums",
    ". ",
    "! ",
    "? ",
    ".",
    "\n\n",
    "\n",
    "  ",
    "E-41",
    "3.5 bar",
    "unscrewable",
    "한국",
    "🙂",
    "x\u200by",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join) | st.text(max_size=60)
CUTTERS = [chunk_by_tokens, chunk_by_sentences]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return Embedder().model.tokenizer


def document(text: str) -> Document:
    return Document("d", "Title", text)


def bodies(pieces: list[Passage]) -> list[str]:
    return [piece.body for piece in pieces]


def bare(text: str) -> str:
    return "".join(text.split())


def tokens(text: str, tokenizer) -> list[str]:
    return tokenizer.tokenize(text)


@pytest.mark.weights
def test_tokens_by_hand(tokenizer):
    text = "The pump hums. It is loud."
    assert tokens(text, tokenizer) == ["the", "pump", "hum", "##s", ".", "it", "is", "loud", "."]
    assert bodies(chunk_by_tokens(document(text), tokenizer, size=3)) == ["The pump hum", "s. It", "is loud."]
    overlapping = chunk_by_tokens(document(text), tokenizer, size=4, overlap=2)
    assert bodies(overlapping) == ["The pump hums", "hums. It", ". It is loud", "is loud."]


@pytest.mark.weights
def test_sentences_by_hand(tokenizer):
    text = "Oil it. Use 3.5 l, e.g. tap water.\n\nWhy? It howls."  # 3, 13, 2 and 4 tokens
    cut = [bodies(chunk_by_sentences(document(text), tokenizer, size=size)) for size in (1, 6, 16, 99)]
    oil, use, why, howls = alone = ["Oil it.", "Use 3.5 l, e.g. tap water.", "Why?", "It howls."]
    assert [len(tokens(sentence, tokenizer)) for sentence in alone] == [3, 13, 2, 4]
    assert cut == [alone, [oil, use, f"{why} {howls}"], [f"{oil} {use}", f"{why} {howls}"], [text]]


@pytest.mark.weights
def test_sentences_overlap_by_sentences_as_far_as_they_fit(tokenizer):
    text = "One. Two. Three four five six seven. Eight."
    assert bodies(chunk_by_sentences(document(text), tokenizer, size=4, overlap=1)) == [
        "One. Two.",
        "Three four five six seven.",  # longer than size: alone
        "Eight.",
    ]
    assert bodies(chunk_by_sentences(document(text), tokenizer, size=8, overlap=1)) == [
        "One. Two.",
        "Two. Three four five six seven.",
        "Three four five six seven. Eight.",
    ]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said "Go." She went.', ['He said "Go."', "She went."]),
        ("About 3.5 bar, approx. five.", ["About 3.5 bar, approx. five."]),
        ("No full stop\n\nNext paragraph", ["No full stop", "Next paragraph"]),
        ("One line\nand the next.", ["One line\nand the next."]),
        ("See No. 4.", ["See No.", "4."]),  # the rule does not know abbreviations
        ("  \n\n Padded. \n", ["Padded."]),
    ],
)
def test_where_a_sentence_ends(tokenizer, text, expected):
    assert bodies(chunk_by_sentences(document(text), tokenizer, size=1)) == expected


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
def test_pieces_know_their_document_and_are_numbered_from_1(tokenizer, cut):
    pieces = cut(Document("doc", "Title", "One. Two. Three."), tokenizer, size=2)
    assert [(p.id, p.document_id, p.title, p.heading) for p in pieces] == [
        (f"doc#{i}", "doc", "Title", "") for i in range(1, len(pieces) + 1)
    ]
    assert len(pieces) == 3


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_document_has_no_pieces(tokenizer, cut, text):
    assert cut(document(text), tokenizer, size=5) == []


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
@QUICKLY
@given(TEXTS, st.integers(1, 9))
def test_without_overlap_every_character_stands_in_one_piece_in_order(tokenizer, cut, text, size):
    pieces = bodies(cut(document(text), tokenizer, size=size))
    assert bare("".join(pieces)) == bare(text)
    assert all(piece and piece == piece.strip() and piece in text for piece in pieces)


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
@QUICKLY
@given(TEXTS, st.integers(2, 9), st.data())
def test_with_overlap_nothing_is_lost_and_no_piece_lies_within_another(tokenizer, cut, text, size, data):
    overlap = data.draw(st.integers(1, size - 1))
    ways = {
        (0, 0)
    }  # where the last piece may begin and end: a text that repeats itself, such as ". . .", leaves several
    for piece in bodies(cut(document(text), tokenizer, size=size, overlap=overlap)):
        places = [i for i in range(len(text)) if text.startswith(piece, i)]
        further = [(i, end) for i in places for at, end in ways if i >= at and i + len(piece) > end]
        ways = {(i, i + len(piece)) for i, end in further if i <= end or not text[end:i].strip()}
        assert ways, piece
    assert any(not text[end:].strip() for _, end in ways)


@pytest.mark.weights
@QUICKLY
@given(st.lists(st.sampled_from(["pump", "oil", "hub", "fan", "cap"]), min_size=1, max_size=40), st.data())
def test_windows_of_tokens_are_those_of_a_list(tokenizer, words, data):
    size = data.draw(st.integers(1, 12))
    overlap = data.draw(st.integers(0, size - 1))
    step = size - overlap
    starts = range(0, max(len(words) - overlap, 1), step)  # each of these words is one token
    expected = [" ".join(words[i : i + size]) for i in starts]
    assert bodies(chunk_by_tokens(document(" ".join(words)), tokenizer, size=size, overlap=overlap)) == expected


@pytest.mark.weights
@QUICKLY
@given(TEXTS, st.integers(1, 9), st.integers(0, 8))
def test_sizes_are_respected_but_for_a_sentence_that_is_longer(tokenizer, text, size, overlap):
    pieces = chunk_by_sentences(document(text), tokenizer, size=size, overlap=min(overlap, size - 1))
    alone = bodies(chunk_by_sentences(document(text), tokenizer, size=1))  # every sentence of a token or more
    for body in bodies(pieces):
        assert len(tokens(body, tokenizer)) <= size or body in alone


@pytest.mark.weights
@pytest.mark.parametrize("size", [16, 64, 200])
def test_the_companys_windows_begin_at_every_size_th_token(tokenizer, size):
    for text in (d.text for d in load_company().documents[:20]):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        edges = [start for start, _ in encoded["offset_mapping"]][::size] + [len(text)]
        expected = [text[a:b].strip() for a, b in pairwise(edges)]
        assert bodies(chunk_by_tokens(document(text), tokenizer, size=size)) == expected


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
def test_tokens_that_are_bytes_are_cut_between_characters_too(cut):
    of_generator = AutoTokenizer.from_pretrained(fetch_model(GENERATOR))
    text = "Oil 🙂🙃 it.\n\nWhy? 한국 é. ½ and ﬁne 🇩🇪!"
    for size in range(1, 12):
        pieces = bodies(cut(document(text), of_generator, size=size))
        assert bare("".join(pieces)) == bare(text)
        assert all(piece in text for piece in pieces)


@pytest.mark.weights
def test_a_character_of_several_tokens_is_never_cut(tokenizer):
    assert len(tokens("한국", tokenizer)) == 6
    for size, expected in [(1, ["한", "국"]), (2, ["한", "국"]), (4, ["한", "국"]), (6, ["한국"])]:
        assert bodies(chunk_by_tokens(document("한국"), tokenizer, size=size)) == expected


@pytest.mark.weights
@pytest.mark.parametrize("cut", CUTTERS)
@pytest.mark.parametrize(
    ("size", "overlap", "said"),
    [
        (0, 0, "size must be a whole number of tokens from 1, got 0"),
        (2.5, 0, "size must be a whole number of tokens from 1, got 2.5"),
        (4, 4, r"overlap must be a whole number from 0 to below size \(4\), got 4. Make it smaller"),
        (4, 9, "got 9. Make it smaller"),
        (4, -1, "got -1"),
        (4, 0.5, "got 0.5"),
    ],
)
def test_impossible_sizes_are_refused(tokenizer, cut, size, overlap, said):
    with pytest.raises(ValueError, match=said):
        cut(document("Text."), tokenizer, size=size, overlap=overlap)


def test_a_tokenizer_that_does_not_know_where_its_tokens_stand_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="a fast tokenizer, which knows where tokens stand, got Slow"):
        chunk_by_tokens(document("Text."), Slow(), size=2)


CHUNKS = [
    Passage("d#1", "d", "", "", "Oil it on\n  Sundays. Call"),
    Passage("d#2", "d", "", "", "on Sundays. Call us."),
    Passage("e#1", "e", "", "", "Oil it on Sundays."),
]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([("d", "Oil it on Sundays.")], ("d#1",)),  # not e#1: the words stand in another document
        ([("d", "on  Sundays.")], ("d#1", "d#2")),
        ([("d", "Oil it on Sundays. Call us.")], ()),
        ([("d", "Call us."), ("e", "Oil it")], ("d#2", "e#1")),
        ([("d", "on Sundays."), ("d", "Call us.")], ("d#1", "d#2")),
        ([("d", "Call us."), ("e", "Call us.")], ()),  # half of what is needed is not enough
        ([], ()),
    ],
)
def test_gold_chunks_hold_the_whole_evidence(pieces, expected):
    documents, evidence = tuple(d for d, _ in pieces), tuple(said for _, said in pieces)
    assert gold_chunks(Question("q", "When?", document_ids=documents, evidence=evidence), CHUNKS) == expected


def test_cut_at_headings_the_company_is_what_it_was():
    company = load_company()
    assert regold(company, [p for d in company.documents for p in split_sections(d)]) == company


@pytest.mark.weights
def test_another_cut_moves_gold_and_nothing_else(tokenizer):
    company = load_company()
    pieces = [p for d in company.documents for p in chunk_by_sentences(d, tokenizer, size=64)]
    cut = regold(company, pieces)
    assert (cut.documents, cut.passages, len(cut.questions)) == (
        company.documents,
        tuple(pieces),
        len(company.questions),
    )
    held = {p.id: " ".join(p.body.split()) for p in pieces}
    for before, after in zip(company.questions, cut.questions, strict=True):
        assert (before.id, before.question, before.answers) == (after.id, after.question, after.answers)
        assert bool(after.gold_ids) == (before.kind != "unanswerable")  # evidence here is one sentence: all survive
        assert all(any(" ".join(said.split()) in held[i] for said in after.evidence) for i in after.gold_ids)


@pytest.mark.weights
def test_smaller_windows_of_tokens_lose_more_answers(tokenizer):
    company = load_company()

    def share(size: int) -> float:
        pieces = [p for d in company.documents for p in chunk_by_tokens(d, tokenizer, size=size)]
        known = [q for q in regold(company, pieces).questions if q.evidence]
        return sum(bool(q.gold_ids) for q in known) / len(known)

    assert share(16) < share(64) < share(256)


def test_questions_without_evidence_are_named():
    corpus = Corpus("own", (), tuple(CHUNKS), (Question("q1", "A?", gold_ids=("d#1",)), Question("q2", "B?")))
    with pytest.raises(
        ValueError, match=r"1 of 2 questions have no evidence .* passages: \['q1'\]. Give them the sent"
    ):
        regold(corpus, CHUNKS)
