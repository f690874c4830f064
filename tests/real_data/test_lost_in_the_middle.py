"""The official data of *Lost in the middle* load by one call; run by naming a folder with them in WORKBOOK_REAL_DATA.

Liu et al. 2023 (MIT; Natural Questions CC BY-SA 3.0): `lost_in_the_middle/nq-open-oracle.jsonl.gz`, 2,655 questions with their gold passage,
and `kv-retrieval-75_keys.jsonl.gz`, 500 JSON objects of 75 keys.
"""

import os
from pathlib import Path

from helpers.corpus import sample
from helpers.generation import Generator
from helpers.key_values import MAX_NEW_TOKENS, load_key_values, prompt
from helpers.own_data import load_own
from helpers.positions import ask_about, blocks, ends_minus_middle, excerpts, places, sweep
from helpers.scoring import find_tokens
from helpers.statistics import rate
from helpers.verdicts import judge_part, load_claims

FOLDER = Path(os.environ.get("WORKBOOK_REAL_DATA", "real data, named by WORKBOOK_REAL_DATA,")) / "lost_in_the_middle"


def test_every_question_has_one_gold_passage_and_nearly_all_of_them_hold_an_answer():
    corpus = load_own(FOLDER / "nq-open-oracle.jsonl.gz")
    gold = [[corpus.passage(i) for i in q.gold_ids] for q in corpus.questions]
    assert len(gold) == 2_655 and {len(passages) for passages in gold} == {1}
    assert all(passage.title and passage.body for (passage,) in gold)
    held = [any(find_tokens(p.text, a) >= 0 for a in q.answers) for q, (p,) in zip(corpus.questions, gold, strict=True)]
    assert sum(held) / len(held) >= 0.99


def test_keys_and_values_fit_into_the_models_context_and_into_an_answer():
    contexts, generator = load_key_values(FOLDER / "kv-retrieval-75_keys.jsonl.gz"), Generator()
    assert len(contexts) == 500 and {len(c.pairs) for c in contexts} == {75}
    lengths = [generator.n_tokens(prompt(c, c.pairs[0][0])) for c in contexts]
    assert max(lengths) + MAX_NEW_TOKENS <= generator.max_tokens
    values = generator.tokenizer([value for c in contexts for _, value in c.pairs], add_special_tokens=False)
    assert max(map(len, values["input_ids"])) < MAX_NEW_TOKENS


def test_the_papers_passages_can_be_moved_through_the_prompt(monkeypatch, tmp_path):
    """What the own-data cells of lesson 06 do, with 120 questions; about five minutes. `-s` prints the curve, which is not judged here."""
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    corpus, generator = load_own(FOLDER / "nq-open-oracle.jsonl.gz"), Generator()
    questions = sample([q for q in corpus.questions if q.answer], 600, seed=0)
    gold = excerpts(corpus, questions, n_words=30, titled=True)
    readable = [question for question in questions if question.id in gold]
    alone = ask_about(generator, readable, {i: [passage] for i, passage in gold.items()}, condition="oracle")
    able = set(alone[alone.score == 1].item_id)
    asked = [question for question in readable if question.id in able]
    squares = blocks(asked, gold, 10, seed=0)[:12]
    floor = ask_about(generator, [q for block in squares for q in block.questions], {}, condition="closed book")
    rows = sweep(generator, squares, places(10, (0, 0.5, 1)))
    ends = judge_part(load_claims()["C17"].parts[0], ends_minus_middle(rows, seed=0))
    curve = {place: str(rate(at.score)) for place, at in rows.groupby("position")}
    print(
        f"\npassage alone: {rate(alone.score)}; of these, closed book: {rate(floor.score)}, among ten: {curve}; "
        f"ends minus middle: {ends.estimate} {ends.verdict}; tokens a prompt: {rows.n_prompt_tokens.mean():.0f}"
    )
    assert len(rows) == 360 and set(rows.n_passages) == {10} and ends.estimate.n == 120
    assert rate(floor.score).high < rate(rows.score).low
