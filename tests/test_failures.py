"""Every error gets one name, and a citation is what the words of a reply say it is."""

import copy
import itertools
import math
import random
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from helpers.answering import MAX_NEW_TOKENS, retrieved_passages
from helpers.corpus import Corpus, Passage, Question, load_company, sample
from helpers.failures import FAILURES, Citer, failure_of, name_failures
from helpers.readings import HOSTILE_WORD, with_hostile
from helpers.retrieval import KeywordRetriever
from helpers.scoring import outcome, tokens

QUICKLY = settings(max_examples=60, deadline=None)
WEIGHT = Question("weight", "How much does it weigh?", answer="41 kilograms", aliases=("41 kg",), gold_ids=("p1",))
NOWHERE = Question("nowhere", "Who owns it?", kind="unanswerable")
SAID = ["It weighs 41 kg.", "41 kilograms", "not 41 kilograms", "41 kg or 35 kg", "35 kilograms", "I do not know.", ""]


def row_of(question: Question, said: str, *, hit: float = 1.0, n_new_tokens: int = 5) -> dict:
    """One row as `answering.answer` gives it."""
    scored = {"outcome": outcome(said, question.answers), "hit": hit}
    return {"item_id": question.id, "prediction": said, "n_new_tokens": n_new_tokens, **scored}


# --- names


@pytest.mark.parametrize(
    ("said", "hit", "n_new_tokens", "expected"),
    [
        ("It weighs 41 kg.", 1.0, 5, ""),
        ("It weighs 41 kg.", 0.0, 5, ""),  # right by another passage, or by luck
        ("It weighs 41 kg, as all of them have done since", 1.0, MAX_NEW_TOKENS, ""),
        ("35 kilograms", 0.0, 5, "retrieval miss"),
        ("I do not know.", 0.0, 5, "retrieval miss"),
        ("not 41 kilograms", 0.0, 5, "retrieval miss"),  # the first thing that went wrong
        ("It weighs as much as", 0.0, MAX_NEW_TOKENS, "retrieval miss"),
        ("not 41 kilograms", 1.0, 5, "format miss"),
        ("41 kg or 35 kg", 1.0, 5, "format miss"),
        ("It weighs as much as", 1.0, MAX_NEW_TOKENS, "cut off"),
        ("41 kg or 35 kg, as far as", 1.0, MAX_NEW_TOKENS, "format miss"),
        ("35 kilograms", 1.0, 5, "reader miss"),
        ("41 grams", 1.0, 5, "reader miss"),
        ("It weighs as much as", 1.0, MAX_NEW_TOKENS - 1, "reader miss"),
        ("I do not know.", 1.0, 5, "reader miss"),
        ("", 1.0, 1, "reader miss"),
    ],
)
def test_names_by_hand(said, hit, n_new_tokens, expected):
    row = row_of(WEIGHT, said, hit=hit, n_new_tokens=n_new_tokens)
    assert failure_of(SimpleNamespace(**row), WEIGHT) == expected


def test_a_cut_off_reply_that_said_something_else_counts_as_cut_off_all_the_same():
    """What it would have said next is not known; to know it, ask again with a higher limit."""
    row = row_of(WEIGHT, "It weighs 35 kilograms, and two people", n_new_tokens=MAX_NEW_TOKENS)
    assert failure_of(SimpleNamespace(**row), WEIGHT) == "cut off"


@pytest.mark.parametrize(("said", "expected"), [("The town.", "should have refused"), ("I do not know.", ""), ("", "")])
@pytest.mark.parametrize("n_new_tokens", [5, MAX_NEW_TOKENS])
def test_an_unanswerable_question_is_answered_rightly_by_a_refusal(said, expected, n_new_tokens):
    row = row_of(NOWHERE, said, hit=0.0, n_new_tokens=n_new_tokens)
    assert failure_of(SimpleNamespace(**row), NOWHERE) == expected


rows_said = st.lists(
    st.builds(
        row_of,
        st.sampled_from([WEIGHT, NOWHERE]),
        st.sampled_from(SAID) | st.text(max_size=20),
        hit=st.sampled_from([0.0, 1.0]),
        n_new_tokens=st.integers(1, MAX_NEW_TOKENS),
    ),
    min_size=1,
    max_size=30,
)


@QUICKLY
@given(rows_said)
def test_names_add_up_to_all_errors_and_every_error_has_one(rows):
    frame = pd.DataFrame(rows).set_axis([f"row {i}" for i in range(len(rows))])
    names = name_failures(frame, [NOWHERE, WEIGHT])
    assert list(names.index) == list(frame.index)
    assert list(names != "") == list(frame["outcome"] != "correct")
    assert sum(int((names == name).sum()) for name in FAILURES) == int((frame["outcome"] != "correct").sum())


def test_every_name_is_explained_and_given():
    said = [
        (NOWHERE, "The town.", 0.0),
        (WEIGHT, "35 kg", 0.0),
        (WEIGHT, "not 41 kg", 1.0),
        (WEIGHT, "It is as heavy as", 1.0),
        (WEIGHT, "35 kg", 1.0),
    ]
    rows = pd.DataFrame([row_of(question, text, hit=hit) for question, text, hit in said])
    rows.loc[3, "n_new_tokens"] = MAX_NEW_TOKENS
    assert list(name_failures(rows, [WEIGHT, NOWHERE])) == list(FAILURES)
    assert all(FAILURES.values())


def test_no_rows_have_no_names():
    assert len(name_failures(pd.DataFrame([row_of(WEIGHT, "41 kg")]).head(0), [WEIGHT])) == 0


@pytest.mark.parametrize("hit", [None, float("nan")])
def test_a_closed_book_is_refused(hit):
    rows = pd.DataFrame([row_of(WEIGHT, "41 kg"), row_of(WEIGHT, "35 kg", hit=hit)])
    with pytest.raises(ValueError, match="named for answers that read passages; leave the closed book out"):
        name_failures(rows, [WEIGHT])


def test_rows_of_questions_that_were_not_given_are_named():
    rows = pd.DataFrame([row_of(WEIGHT, "41 kg"), row_of(NOWHERE, "The town.", hit=0.0)])
    with pytest.raises(ValueError, match=r"1 questions of these rows were not given: \['nowhere'\]. Pass all"):
        name_failures(rows, [WEIGHT])


# --- citations


def passages_of(*bodies: str) -> list[Passage]:
    return [Passage(f"p{i}", f"p{i}", "", "", body) for i, body in enumerate(bodies)]


PUMPS = passages_of("The pump weighs 41 kilograms.", "The pump needs oil.", "The pump is celadon, never oil-green.")


def test_rarity_by_hand():
    rarity = Citer(PUMPS).rarity
    assert rarity["pump"] == 0.0
    assert rarity["oil"] == math.log(3 / 2)
    assert rarity["41"] == rarity["celadon"] == math.log(3)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("41 kg", "p0"),
        ("Forty-one? No: 41 KILOGRAMS!", "p0"),
        ("It is celadon", "p2"),
        ("It needs oil", "p1"),  # "needs" decides
        ("oil", "p1"),  # the first of equals
        ("It weighs nothing, is celadon, and green", "p2"),  # two words against one
        ("oil oil oil, 41", "p0"),  # a repeated word counts once
    ],
)
def test_citations_by_hand(said, expected):
    assert Citer(PUMPS).cite(said, PUMPS).id == expected


def test_the_first_of_equals_is_cited_whatever_the_order_of_the_passages():
    assert Citer(PUMPS).cite("oil", PUMPS[::-1]).id == "p2"


@pytest.mark.parametrize("said", ["", "?!", "the pump", "PUMPS", "pineapple", "I do not know."])
def test_words_that_tell_nothing_cite_nothing(said):
    assert Citer(PUMPS).cite(said, PUMPS) is None


def test_nothing_is_cited_among_no_passages():
    assert Citer(PUMPS).cite("41", []) is None


def test_titles_and_headings_count():
    shelf = [Passage("a", "d", "Orlin", "", "It is small."), Passage("b", "d", "", "Care", "It is oiled.")]
    assert [Citer(shelf).cite(said, shelf).id for said in ("the Orlin", "with care")] == ["a", "b"]


words = st.lists(
    st.sampled_from(["oil", "pump", "valve", "celadon", "ostrel", "41", "E-41", "x", "y", "z"]), min_size=1, max_size=9
)


@QUICKLY
@given(st.lists(words.map(" ".join), min_size=1, max_size=8), words.map(" ".join))
def test_shares_are_the_sums_of_scikit_learns_inverse_document_frequencies(bodies, said):
    """Its idf is log(n / df) + 1 without smoothing."""
    passages, count = passages_of(*bodies), CountVectorizer(analyzer=tokens, binary=True)
    there = count.fit_transform(bodies)
    rarity = TfidfTransformer(smooth_idf=False).fit(there).idf_ - 1
    shares = (there.toarray() * count.transform([said]).toarray()) @ rarity
    cited = Citer(passages).cite(said, passages)
    if cited is None:
        assert shares.max() == pytest.approx(0, abs=1e-12)
    else:
        assert shares[passages.index(cited)] == pytest.approx(shares.max())


@pytest.mark.parametrize("seed", range(40))
def test_passages_of_the_same_words_are_equals_whatever_their_order(seed):
    """Sums of floats depend on the order of their parts, and sets have none to rely on."""
    chance = random.Random(seed)
    vocabulary = ["".join(letters) for letters in itertools.product("bdfgk", "aeiou", "lmnr", "o")]
    same = [" ".join(chance.sample(vocabulary, len(vocabulary))) for _ in range(10)]
    others = [" ".join(chance.sample(vocabulary, n)) for n in range(1, 61, 3)] + ["other"] * chance.randrange(1, 300)
    assert Citer(passages_of(*same, *others)).cite(" ".join(vocabulary), passages_of(*same)).id == "p0"


@pytest.fixture(scope="module")
def company() -> Corpus:
    return load_company()


@pytest.fixture(scope="module")
def asked(company) -> list[tuple[Question, list[Passage]]]:
    """100 questions with three retrieved passages, of which one is gold."""
    questions = sample(company.of_kind("single_fact"), 110, seed=0)
    read = retrieved_passages(KeywordRetriever(company.passages), questions, 3)
    pairs = [(q, read[q.id]) for q in questions if {p.id for p in read[q.id]} & {*q.gold_ids}][:100]
    assert len(pairs) == 100
    return pairs


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("said", ["evidence", "answer"])
def test_in_the_company_what_stands_in_the_gold_passage_cites_it(company, asked, said, turned):
    """Also with the passages turned round, where citing the first one would be wrong."""
    citer = Citer(company.passages)
    cited = [
        citer.cite(
            question.evidence[0] if said == "evidence" else question.answer, passages[::-1] if turned else passages
        )
        for question, passages in asked
    ]
    right = sum(c is not None and c.id in q.gold_ids for c, (q, _) in zip(cited, asked, strict=True))
    assert right >= 95


def test_a_passage_of_orders_is_cited_only_for_words_that_the_corpus_knows(company, asked):
    """It is text like any other: its own word is none of the corpus, so a reply that obeys rests on nothing."""
    read = with_hostile({question.id: passages for question, passages in asked})
    citer = Citer(company.passages)
    assert all(citer.cite(HOSTILE_WORD, passages) is None for passages in read.values())
    for question, _ in asked[:20]:
        assert citer.cite(question.evidence[0], read[question.id]).id != "hostile"


def test_a_corpus_without_passages_is_refused():
    with pytest.raises(ValueError, match="The corpus is empty: expected at least one passage"):
        Citer([])


def test_inputs_are_left_as_they_are():
    rows, passages = pd.DataFrame([row_of(WEIGHT, said) for said in SAID]), list(PUMPS)
    before = copy.deepcopy((rows, passages))
    name_failures(rows, [WEIGHT])
    Citer(passages).cite("41 kg", passages)
    pd.testing.assert_frame_equal(rows, before[0])
    assert passages == before[1]
