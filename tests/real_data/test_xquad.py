"""The encoder and the own-data path on data that nobody here wrote; run by naming a folder with it in WORKBOOK_REAL_DATA.

XQuAD in English (Artetxe et al. 2020, CC BY-SA 4.0): 1,190 questions on 240 paragraphs, as `xquad_en/xquad.en.json`.
"""

import os
from pathlib import Path

import pytest

from helpers.embeddings import Embedder
from helpers.execution import lesson_path, values_of
from helpers.own_data import load_own
from helpers.retrieval import DenseRetriever
from helpers.scoring import hit_at_k

XQUAD = Path(os.environ.get("WORKBOOK_REAL_DATA", "real data, named by WORKBOOK_REAL_DATA,")) / "xquad_en/xquad.en.json"


def test_dense_hit_at_1_is_what_others_measured():
    corpus = load_own(XQUAD)
    rankings = DenseRetriever(corpus.passages, Embedder()).search([q.question for q in corpus.questions], 1)
    hits = [hit_at_k(r.ids, q.gold_ids, 1) for r, q in zip(rankings, corpus.questions, strict=True)]
    assert (len(corpus.passages), len(hits)) == (240, 1190)
    assert sum(hits) / len(hits) == pytest.approx(0.885, abs=0.005)


def test_lesson_01_takes_it_by_one_edited_line():
    names = ["curves['your data'][0].value", "curves['your data'][0].n", "mine.name"]
    hit, n, _ = values_of(lesson_path("01"), names, data=str(XQUAD.resolve())).values()
    assert n == 1190 and hit == pytest.approx(0.885, abs=0.005)
