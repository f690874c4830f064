"""The encoder and the own-data path on data that nobody here wrote; run by naming a folder with it in WORKBOOK_REAL_DATA.

XQuAD in English (Artetxe et al. 2020, CC BY-SA 4.0): 1,190 questions on 240 paragraphs, as `xquad_en/xquad.en.json`.
"""

import os
from pathlib import Path

import pytest

from helpers.embeddings import Embedder
from helpers.execution import lesson_path, values_of
from helpers.own_data import load_own
from helpers.retrieval import DenseRetriever, FusedRetriever, KeywordRetriever
from helpers.scoring import hit_at_k
from helpers.searching import as_asked, compare

XQUAD = Path(os.environ.get("WORKBOOK_REAL_DATA", "real data, named by WORKBOOK_REAL_DATA,")) / "xquad_en/xquad.en.json"


def test_dense_hit_at_1_is_what_others_measured():
    corpus = load_own(XQUAD)
    rankings = DenseRetriever(corpus.passages, Embedder()).search([q.question for q in corpus.questions], 1)
    hits = [hit_at_k(r.ids, q.gold_ids, 1) for r, q in zip(rankings, corpus.questions, strict=True)]
    assert (len(corpus.passages), len(hits)) == (240, 1190)
    assert sum(hits) / len(hits) == pytest.approx(0.885, abs=0.005)


def test_keyword_hit_at_1_is_what_others_measured():
    corpus = load_own(XQUAD)
    rankings = KeywordRetriever(corpus.passages).search([q.question for q in corpus.questions], 1)
    hits = [hit_at_k(r.ids, q.gold_ids, 1) for r, q in zip(rankings, corpus.questions, strict=True)]
    assert len(hits) == 1190
    assert sum(hits) / len(hits) == pytest.approx(0.93, abs=0.01)


def test_lesson_01_takes_it_by_one_edited_line():
    names = ["curves['your data'][0].value", "curves['your data'][0].n", "mine.name"]
    hit, n, _ = values_of(lesson_path("01"), names, data=str(XQUAD.resolve())).values()
    assert n == 1190 and hit == pytest.approx(0.885, abs=0.005)


def test_the_ways_of_lesson_02_with_all_questions():
    corpus = load_own(XQUAD)
    words, meaning = KeywordRetriever(corpus.passages), DenseRetriever(corpus.passages, Embedder())
    ways = {"keywords": words, "meaning": meaning, "fused": FusedRetriever([words, meaning])}
    rows = compare(ways, as_asked(corpus.questions, "yours"), metrics=["hit@1", "nDCG@10"])
    hit = rows.groupby("condition")["hit@1"].agg(["mean", "size"])
    assert (hit["size"] == 1190).all()
    assert hit["mean"]["meaning"] == pytest.approx(0.885, abs=0.005)
    assert hit["mean"]["keywords"] == pytest.approx(0.93, abs=0.01)
    assert hit["mean"]["fused"] > hit["mean"]["meaning"]


def test_lesson_02_takes_it_by_one_edited_line():
    """A quick run, which takes 200 of the questions: so the tolerance is that of 200. All 1,190 are in the test above."""
    names = ["my_rows.groupby('condition')['hit@1'].mean().to_dict()", "my_rows.groupby('condition').size().to_dict()"]
    hit, n = values_of(lesson_path("02"), names, quick=True, data=str(XQUAD.resolve())).values()
    assert n == dict.fromkeys(["fused", "keywords", "meaning"], 200)
    assert hit["meaning"] == pytest.approx(0.885, abs=0.05) and hit["keywords"] == pytest.approx(0.93, abs=0.05)
