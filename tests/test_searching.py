"""The experiments of the lesson on retrieval: wordings, controls, judges, cuts and stores, each worked out by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpus import Corpus, Document, Passage, Question, load_company
from helpers.cutting import cut_corpus, measure_cut, n_read_within
from helpers.reranking import REQUEST, query_likelihood
from helpers.retrieval import DenseRetriever, KeywordRetriever, RerankedRetriever
from helpers.searching import (
    METRICS,
    Asked,
    RandomRetriever,
    as_asked,
    compare,
    controls,
    few_of_each,
    perfect_judge,
    random_judge,
    shared_words,
    wordings,
)
from helpers.store_trials import compare_stores, fastest_approximate, fill_stores, gains_over
from helpers.vector_stores import FaissStore

TEXTS = ("bees like clover", "bread needs salt", "clover and salt", "boats")
PASSAGES = [Passage(f"p{i}", f"d{i}", "", "", text) for i, text in enumerate(TEXTS)]
ASKED = [Asked("q1", "direct", "What do bees like?", ("p0",)), Asked("q2", "typo", "slat in bread", ("p1", "p2"))]


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path / "results"))


class Lookup:
    """An encoder for tests: a text is its own vector."""

    name = "lookup"

    def encode(self, texts):
        rows = np.array([[float(x) for x in text.split()] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- wordings -----------------------------------------------------------


def test_the_same_facts_are_asked_in_three_wordings_and_two_kinds_more():
    company = load_company()
    asked = wordings(company, 12, seed=3)
    by_wording = pd.Series([one.wording for one in asked]).value_counts()
    assert dict(by_wording) == dict.fromkeys(["direct", "paraphrase", "typo", "negated", "multi-hop"], 12)
    facts = [{one.id.split(",")[0] for one in asked if one.wording == w} for w in ("direct", "paraphrase", "typo")]
    assert facts[0] == facts[1] == facts[2]
    questions = {q.id: q for q in company.questions}
    assert all(
        one.text != questions[one.id.split(",")[0]].question for one in asked if one.wording in ("paraphrase", "typo")
    )
    rotated = [questions[o.id.split(",")[0]].paraphrases.index(o.text) for o in asked if o.wording == "paraphrase"]
    assert rotated == [place % 4 for place in range(12)]
    assert all(one.gold_ids for one in asked) and wordings(company, 12, seed=3) == asked


def test_questions_without_gold_are_left_out():
    questions = [Question("a", "A?", gold_ids=("p0",)), Question("b", "B?")]
    assert as_asked(questions, "direct") == [Asked("a, direct", "direct", "A?", ("p0",))]


def test_a_few_of_each_wording_keep_their_order():
    asked = [Asked(f"{w}{i}", w, "?", ("p",)) for w in "ab" for i in range(9)]
    few = few_of_each(asked, 2, seed=0)
    assert [one.wording for one in few] == ["a", "a", "b", "b"]
    assert few == sorted(few, key=asked.index) and few_of_each(asked, 99, seed=0) == asked


# --- controls and rows --------------------------------------------------


def test_chance_is_the_same_for_the_same_seed_and_another_for_each_query():
    passages = [Passage(f"p{i}", "d", "", "", "x") for i in range(50)]
    first, second = RandomRetriever(passages, seed=1).search(["a", "b"], 50)
    assert first.ids != second.ids and sorted(first.ids) == sorted(p.id for p in passages)
    assert RandomRetriever(passages, seed=1).search(["a"], 5)[0].ids == first.ids[:5]
    assert RandomRetriever(passages, seed=1).search(["a"], 50)[0] == first
    assert RandomRetriever(passages, seed=2).search(["a"], 50)[0].ids != first.ids
    with pytest.raises(ValueError, match="k must be a whole number from 1"):
        RandomRetriever(passages, seed=1).search(["a"], 51)


def test_the_oracle_scores_1_and_the_rows_are_one_per_retriever_and_question():
    rows = compare({"keywords": KeywordRetriever(PASSAGES)} | controls(PASSAGES, ASKED, seed=0), ASKED)
    assert list(rows.columns) == ["condition", "wording", "item_id", *METRICS]
    assert rows.condition.tolist() == ["keywords"] * 2 + ["random order"] * 2 + ["oracle"] * 2
    assert (rows.loc[rows.condition == "oracle", list(METRICS)] == 1).all(axis=None)
    found = rows.iloc[1]  # "slat in bread" finds p1 by a word; p0, p2 and p3 are tied at 0, so p2 is third
    assert found["nDCG@10"] == pytest.approx((1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)))
    assert (found["hit@1"], found["MRR"], found["recall@3"]) == (1, 1, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 4))
def test_a_perfect_judge_of_the_first_few_is_never_worse_than_no_judge(seed, depth):
    floor = RandomRetriever(PASSAGES, seed=seed)
    judged = RerankedRetriever(floor, perfect_judge(ASKED), depth=depth)
    rows = compare({"floor": floor, "judged": judged}, ASKED).pivot(
        index="item_id", columns="condition", values="nDCG@10"
    )
    assert (rows.judged >= rows.floor - 1e-9).all()


def test_a_random_judge_knows_nothing_and_repeats_itself():
    many = [[Passage(f"p{i}", "d", "", "", "x") for i in range(400)]]
    (scores,) = random_judge(seed=1)(["bees"], many)
    assert np.mean(scores) == pytest.approx(0.5, abs=0.06) and 0 <= min(scores) < max(scores) < 1
    assert random_judge(seed=1)(["bees"], many) == [scores]
    assert random_judge(seed=2)(["bees"], many) != [scores] != random_judge(seed=1)(["salt"], many)


def test_shared_and_rare_words_by_hand():
    rows = shared_words(ASKED, PASSAGES)
    assert rows.to_dict("list") == {
        "item_id": ["q1", "q2"],
        "wording": ["direct", "typo"],
        "n_words": [4, 2],  # what, do, bee, like · slat, bread: "in" is a stop word
        "shared": [0.5, 0.5],
        "n_rare": [2, 1],  # in one of four passages: bee, like · bread
    }


# --- the generator as a judge -------------------------------------------


class Counting:
    """A generator for tests: a question is as likely as it shares words with the passage; remembers what it read."""

    name = "counting"

    def __init__(self):
        self.read = []

    def option_log_likelihoods(self, messages, options):
        text = messages[0]["content"]
        self.read.append((text, tuple(options)))
        return [-10.0 + sum(word in text for word in option.split()) for option in options]


def test_a_passage_is_read_once_for_all_its_questions_and_never_again():
    generator = Counting()
    score = query_likelihood(generator)
    found = score(["bees", "salt", "bees"], [PASSAGES[:2], PASSAGES[1:3], PASSAGES[:1]])
    assert found == [[-9.0, -10.0], [-9.0, -9.0], [-9.0]]
    assert generator.read == [
        (REQUEST.format(text=TEXTS[0]), ("bees",)),
        (REQUEST.format(text=TEXTS[1]), ("bees", "salt")),
        (REQUEST.format(text=TEXTS[2]), ("salt",)),
    ]
    assert score(["bees", "salt", "bees"], [PASSAGES[:2], PASSAGES[1:3], PASSAGES[:1]]) == found
    assert len(generator.read) == 3


def test_a_changed_passage_is_read_anew():
    generator = Counting()
    query_likelihood(generator)(["bees"], [PASSAGES[:1]])
    changed = Passage("p0", "d0", "", "", "bees and bees")
    assert query_likelihood(generator)(["bees and"], [[changed]]) == [[-8.0]]
    assert len(generator.read) == 2


def test_the_judge_puts_the_likelier_passage_first():
    reranked = RerankedRetriever(RandomRetriever(PASSAGES, seed=0), query_likelihood(Counting()), depth=4)
    assert reranked.search(["boats"], 2)[0].ids[0] == "p3"


@pytest.mark.weights
def test_the_real_generator_finds_the_question_likelier_after_its_passage():
    from helpers.generation import Generator

    company = load_company()
    asked = as_asked(company.of_kind("single_fact", split="fact")[:4], "direct")
    gold = [company.passage(one.gold_ids[0]) for one in asked]
    other = company.passages[200]
    scores = query_likelihood(Generator())([one.text for one in asked], [[passage, other] for passage in gold])
    assert sum(right > wrong for right, wrong in scores) >= 3


# --- cutting ------------------------------------------------------------


class Letters:
    """A tokenizer for tests: a token is a character."""

    is_fast = True

    def __call__(self, text, *, return_offsets_mapping=False, **_):
        if return_offsets_mapping:
            return {"offset_mapping": [(i, i + 1) for i in range(len(text))]}
        return {"input_ids": [list(one) for one in text]}


DOCUMENT = Document("d", "T", "Oil it daily. Rest on Sundays.")
QUESTION = Question("q", "When do I rest?", document_ids=("d",), evidence=("Rest on Sundays.",), gold_ids=("x",))
CORPUS = Corpus("toy", (DOCUMENT,), (Passage("x", "d", "T", "", DOCUMENT.text),), (QUESTION,))


def lengths(texts):
    return [len(text.split()) for text in texts]


def test_every_way_of_cutting_at_every_size():
    cuts = cut_corpus(CORPUS, Letters(), sizes=[8, 16])
    assert list(cuts) == [(way, size) for way in ("fixed", "overlap", "sentences") for size in (8, 16)]
    assert [p.body for p in cuts["fixed", 16]] == ["Oil it daily. Re", "st on Sundays."]
    assert [p.body for p in cuts["overlap", 16]] == [
        "Oil it daily. Re",
        ". Rest on Sunday",
        "ndays.",
    ]
    assert [p.body for p in cuts["sentences", 16]] == ["Oil it daily.", "Rest on Sundays."]


def test_a_cut_through_the_evidence_loses_it_and_a_whole_sentence_is_found():
    cuts = cut_corpus(CORPUS, Letters(), sizes=[16])
    through = measure_cut(CORPUS, [QUESTION], KeywordRetriever(cuts["fixed", 16]), count=lengths, budget=99)
    whole = measure_cut(CORPUS, [QUESTION], KeywordRetriever(cuts["sentences", 16]), count=lengths, budget=99)
    assert through.to_dict("records")[0] == dict(
        item_id="q", whole=0.0, found_3=0.0, score=0.0, n_read=2, n_tokens_read=9
    )
    assert whole.to_dict("records")[0] == dict(
        item_id="q", whole=1.0, found_3=1.0, score=1.0, n_read=2, n_tokens_read=8
    )


def test_what_does_not_fit_into_the_budget_is_not_read():
    pieces = cut_corpus(CORPUS, Letters(), sizes=[16])["sentences", 16]
    question = Question("q", "daily oil", document_ids=("d",), evidence=("Rest on Sundays.",))
    rows = measure_cut(CORPUS, [question], KeywordRetriever(pieces), count=lengths, budget=7)
    assert rows[["whole", "found_3", "score", "n_read", "n_tokens_read"]].iloc[0].tolist() == [1, 1, 0, 1, 4]
    with pytest.raises(
        ValueError, match="No passage fits into 3 tokens: the shortest has 4. Read more, or cut smaller"
    ):
        measure_cut(CORPUS, [question], KeywordRetriever(pieces), count=lengths, budget=3)


@given(st.lists(st.integers(1, 50), max_size=9), st.integers(0, 200))
def test_as_many_are_read_as_fit_and_no_more(n_tokens, budget):
    n = n_read_within(n_tokens, budget)
    assert sum(n_tokens[:n]) <= budget
    assert n == len(n_tokens) or sum(n_tokens[: n + 1]) > budget


# --- stores -------------------------------------------------------------


@pytest.fixture
def toy():
    texts = ("1 0 0", "0.9 0.1 0", "0 1 0", "0 0 1")
    passages = tuple(Passage(f"p{i}", f"d{i}", "", "", text) for i, text in enumerate(texts))
    documents = tuple(Document(f"d{i}", "T", text, date="2026-01-01") for i, text in enumerate(texts))
    return Corpus("toy", documents, passages), DenseRetriever(passages, Lookup())


def test_stores_of_the_same_vectors_are_compared_with_the_first(toy, tmp_path):
    corpus, retriever = toy
    stores = {"exact": FaissStore(tmp_path / "a"), "codes": FaissStore(tmp_path / "b", variant="SQ8")}
    fill_stores(stores, corpus, retriever)
    asked = [Asked("q1", "direct", "1 0 0", ("p0",)), Asked("q2", "direct", "0 0.1 1", ("p2",))]
    rows = compare_stores(stores, asked, retriever, k=2)
    assert rows.condition.tolist() == ["exact", "exact", "codes", "codes"]
    assert rows["nDCG@10"].tolist()[:2] == pytest.approx([1, 1 / math.log2(3)])
    assert (rows.agreement[:2] == 1).all() and (rows.query_seconds > 0).all()
    again = compare_stores(stores, asked, retriever, k=2)
    assert rows.equals(again), "measured once, then read back"


def test_a_store_that_misses_agrees_less_and_ranks_worse(toy):
    corpus, retriever = toy

    class Forgetful:
        def __init__(self, *, forgets):
            self.forgets = forgets

        def upsert(self, ids, vectors, metadata):
            self.stored = [(i, v) for i, v in zip(ids, vectors, strict=True) if i != self.forgets]

        def query(self, vectors, k, *, where=None):
            ranked = [sorted(self.stored, key=lambda pair: -float(pair[1] @ v)) for v in vectors]
            return [SimpleNamespace(ids=tuple(i for i, _ in r[:k]), scores=(0.0,) * k) for r in ranked]

    stores = {"exact": Forgetful(forgets=None), "lossy": Forgetful(forgets="p0")}
    fill_stores(stores, corpus, retriever)
    rows = compare_stores(stores, [Asked(f"q{i}", "direct", "1 0 0", ("p0",)) for i in range(3)], retriever, k=2)
    assert rows.agreement.tolist() == [1, 1, 1, 0.5, 0.5, 0.5]
    gains = gains_over(rows, "exact", seed=0)
    assert list(gains) == ["lossy"] and gains["lossy"].value == -1
    with pytest.raises(ValueError, match=r"No rows for 'HNSW'; there are \['exact', 'lossy'\]. Measure it first"):
        gains_over(rows, "HNSW", seed=0)


def index_rows(**kinds):
    made = [
        {
            "kind": kind,
            "n_vectors": 99,
            "value": value,
            "parameter": "p",
            "recalls": [recall] * 4,
            "query_seconds": list(seconds),
        }
        for kind, settings_of in kinds.items()
        for value, recall, seconds in settings_of
    ]
    return pd.DataFrame(made)


def test_the_fastest_index_is_chosen_on_one_half_of_the_questions_and_reported_on_the_other():
    rows = index_rows(
        exact=[(0, 1.0, (9, 9, 9, 9))],
        IVF=[(1, 0.5, (1, 1, 1, 1)), (2, 0.96, (3, 8, 3, 8))],
        HNSW=[(16, 0.97, (4, 2, 4, 2))],
    )
    choice = fastest_approximate(rows, 99)
    assert (choice.kind, choice.value, choice.seconds) == (
        "IVF",
        2,
        (8, 8),
    )  # HNSW only looks better on the judged half
    assert fastest_approximate(rows, 99, recall=0.99) is None
