"""The same question with its passage at every place, and nothing else that differs."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.corpus import Corpus, Passage, Question, load_company
from helpers.experiments import read_rows
from helpers.generation import Answer, Generator
from helpers.positions import (
    ask_about,
    blocks,
    contexts,
    dressed,
    ends_minus_middle,
    evidence_of,
    excerpt,
    excerpts,
    places,
    reuse_benchmark,
    sweep,
    trials,
    with_fact_at,
)
from helpers.prompts import BEGUN, DOCUMENTS, QUESTION_FIRST
from helpers.runtime import ROOT
from helpers.scoring import find_tokens

TEXT = "It is grey. It holds 17 litres. Clean it on Sundays. Then let it dry."


class Echo:
    """A generator for tests: it says the same to everything, and counts what it was asked."""

    name = "echo"

    def n_tokens(self, messages: list) -> int:
        return len(str(messages))

    def __init__(self) -> None:
        self.asked = []

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.asked += prompts
        return [Answer("It is answer 3.", len(str(prompt)), 4) for prompt in prompts]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def company() -> Corpus:
    return load_company()


@pytest.fixture(scope="module")
def facts(company) -> list[Question]:
    return company.of_kind("single_fact", split="wording")


def toy(n: int) -> tuple[list[Question], dict[str, Passage]]:
    questions = [Question(f"q{i}", f"What is {i}?", answer=f"answer {i}", gold_ids=(f"p{i}",)) for i in range(n)]
    return questions, {f"q{i}": Passage(f"p{i}", f"d{i}", "", "", f"Here stands answer {i}.") for i in range(n)}


def passage(text: str = TEXT) -> Passage:
    return Passage("p", "d", "Kettle", "Use", text)


# --- excerpts


@pytest.mark.parametrize(
    ("n_words", "kept"),
    [
        (1, "It holds 17 litres."),
        (5, "It holds 17 litres. Clean it on Sundays."),
        (10, "It holds 17 litres. Clean it on Sundays. Then let it dry."),
        (99, TEXT),
    ],
)
def test_an_excerpt_grows_by_whole_sentences_first_forwards(n_words, kept):
    assert excerpt(passage(), "It holds 17 litres.", n_words=n_words).body == kept


def test_an_excerpt_is_found_by_an_answer_too_and_is_a_bare_text_unless_titled():
    cut = excerpt(passage(), "17 litre", n_words=1)
    assert (cut.text, cut.id, cut.document_id) == ("It holds 17 litres.", "p", "d")
    assert excerpt(passage(), "17 litre", n_words=1, titled=True).text == "Kettle\nIt holds 17 litres."


def test_what_no_sentence_holds_is_an_error_that_says_so():
    with pytest.raises(ValueError, match=r"p: no sentence holds '18 litres'\. Give its evidence"):
        excerpt(passage(), "18 litres", n_words=1)


def test_every_excerpt_of_the_company_holds_its_answer_and_is_part_of_its_passage(company, facts):
    found, known = excerpts(company, facts, n_words=22), {q.id: q for q in facts}
    assert len(found) >= 300
    for i, cut in found.items():
        assert any(find_tokens(cut.text, said) >= 0 for said in known[i].answers), i
        assert cut.body in " ".join(company.passage(cut.id).body.split())
        assert len(cut.body.split()) <= 22 + max(len(s.split()) for s in company.passage(cut.id).body.split(". "))


@pytest.mark.parametrize("end", [False, True])
def test_a_fact_is_moved_within_its_passage_and_no_word_is_lost(end):
    moved = with_fact_at(passage(), "It holds 17 litres.", end=end).body
    assert Counter(moved.split()) == Counter(TEXT.split())
    assert (moved.strip().endswith if end else moved.startswith)("It holds 17 litres.")


def test_evidence_else_the_answer_says_where_the_fact_is():
    assert evidence_of(Question("q", "?", answer="a", evidence=("It is a.",))) == "It is a."
    assert evidence_of(Question("q", "?", answer="a")) == "a"


# --- blocks


def test_no_passage_of_a_block_answers_another_question_and_none_is_in_two_blocks(company, facts):
    gold = excerpts(company, facts, n_words=10_000)
    made = blocks(facts, gold, 10, seed=0)
    ids = [p.id for block in made for p in block.passages]
    assert len(made) >= 12 and len(set(ids)) == len(ids)
    for block in made:
        assert [gold[q.id] for q in block.questions] == list(block.passages)
        for question, own in zip(block.questions, block.passages, strict=True):
            holds = [p.id for p in block.passages if any(find_tokens(p.text, said) >= 0 for said in question.answers)]
            assert holds == [own.id]


def test_the_other_questions_of_a_block_are_answered_nowhere_in_it(company, facts):
    for block in blocks(facts, excerpts(company, facts, n_words=22), 10, seed=0):
        text = " ".join(p.text for p in block.passages)
        assert len(block.others) == 10 and not set(block.others) & set(block.questions)
        assert not any(find_tokens(text, said) >= 0 for q in block.others for said in q.answers)


def test_blocks_of_look_alikes_are_more_alike_than_those_by_lot():
    questions, gold = toy(30)
    angles = np.linspace(0, 3, 30)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    place = {q.id: i for i, q in enumerate(questions)}

    def spread(made):
        return np.mean([np.ptp([place[q.id] for q in block.questions]) for block in made])

    assert spread(blocks(questions, gold, 5, seed=0, vectors=vectors)) < spread(blocks(questions, gold, 5, seed=0)) / 2


def test_too_few_questions_for_a_block_is_an_error():
    questions, gold = toy(4)
    with pytest.raises(ValueError, match="at least 5 questions with one passage each, got 4"):
        blocks(questions, gold, 5, seed=0)


def test_the_same_seed_gives_the_same_blocks_and_another_one_others():
    questions, gold = toy(30)
    assert (
        blocks(questions, gold, 5, seed=1) == blocks(questions, gold, 5, seed=1) != blocks(questions, gold, 5, seed=2)
    )


def test_a_dressed_block_asks_the_same_about_other_passages():
    questions, gold = toy(5)
    block = blocks(questions, gold, 5, seed=0)[0]
    other = dressed(block, {i: passage() for i in gold})
    assert other.questions == block.questions and {p.id for p in other.passages} == {"p"}


# --- the Latin square


@pytest.mark.parametrize("n", [2, 5, 20])
def test_every_passage_stands_at_every_place_once(n):
    questions, gold = toy(n)
    orders = list(contexts(blocks(questions, gold, n, seed=0)[0]))
    assert all(sorted(order) == list(range(n)) for order in [*orders, *zip(*orders, strict=True)])


def test_a_trial_asks_its_question_with_its_passage_at_its_place():
    questions, gold = toy(5)
    made = trials(blocks(questions, gold, 5, seed=0)[0], [0, 3])
    assert len({t.id for t in made}) == len(made) == 10
    for trial in made:
        _, *read, asked = trial.messages[0]["content"].split("\n\n")
        assert read.index(gold[trial.gold_id].text) == trial.position and trial.messages[-1]["content"] == BEGUN
        assert asked.endswith(f"What is {trial.gold_id[1:]}?")


def test_another_question_is_asked_about_the_same_contexts():
    questions, gold = toy(10)
    block = blocks(questions, gold, 5, seed=0)[0]
    for own, other in zip(trials(block, [0, 4]), trials(block, [0, 4], other_question=True), strict=True):
        a, b = (t.messages[0]["content"].rsplit("\n\n", 1) for t in (own, other))
        assert a[0] == b[0] and b[1].split()[-1][:-1] in {q.id[1:] for q in block.others}


def test_half_the_questions_at_three_places_need_little_more_than_half_the_contexts():
    questions, gold = toy(40)
    block = blocks(questions, gold, 40, seed=0)[0]
    half = {q.id for i, q in enumerate(block.questions) if i % 20 < 10}
    made = trials(block, places(40, (0, 0.5, 1)), only=half)
    assert Counter(t.gold_id for t in made) == dict.fromkeys(half, 3) and {t.position for t in made} == {0, 20, 39}
    assert len({t.messages[0]["content"].rsplit("\n\n", 1)[0] for t in made}) == 22


def test_places_are_distinct_and_hold_both_ends():
    assert places(20) == [0, 5, 10, 14, 19] and places(2) == [0, 1] and places(10, (0, 0.5, 1)) == [0, 4, 9]


# --- sweeps


def test_a_sweep_has_a_row_for_every_question_and_position_and_scores_it(folder):
    questions, gold = toy(10)
    rows = sweep(Echo(), blocks(questions, gold, 5, seed=0), [0, 2, 4])
    assert len(rows) == 30 and set(rows.position) == {0, 2, 4} and set(rows.n_passages) == {5}
    assert rows.groupby("position").score.sum().tolist() == [1, 1, 1]  # the question whose answer is 3
    assert set(rows[rows.score == 1].passage_id) == {"p3"}


@pytest.mark.parametrize("template", [DOCUMENTS, QUESTION_FIRST])
def test_questions_are_asked_about_a_reading_as_in_a_sweep(folder, template):
    questions, gold = toy(4)
    reading, generator = {q.id: [gold["q0"], gold[q.id]] for q in questions}, Echo()
    rows = ask_about(generator, questions, reading, condition="two", template=template)
    assert rows.item_id.tolist() == ["q0", "q1", "q2", "q3"] and rows.score.tolist() == [0, 0, 0, 1]
    read = [prompt[0]["content"] for prompt in generator.asked]
    assert all(gold["q0"].text in text for text in read) and {prompt[-1]["content"] for prompt in generator.asked} == {
        BEGUN
    }
    assert ask_about(generator, questions, {}, condition="closed book").score.tolist() == [0, 0, 0, 1]


def test_no_question_at_all_is_an_error_that_says_what_to_look_at(folder):
    with pytest.raises(ValueError, match="word for word in its passage"):
        ask_about(Echo(), [], {}, condition="oracle")


def test_a_finished_sweep_is_not_asked_again(folder):
    questions, gold = toy(5)
    made, generator = blocks(questions, gold, 5, seed=0), Echo()
    first = sweep(generator, made, [0, 4])
    pd.testing.assert_frame_equal(sweep(generator, made, [0, 4]), first)
    assert len(generator.asked) == 10


def test_ends_minus_middle_by_hand():
    rows = pd.DataFrame(
        [
            ("a", 0, 1.0),
            ("a", 1, 0.0),
            ("a", 2, 1.0),
            ("a", 3, 1.0),
            ("b", 0, 1.0),
            ("b", 1, 0.0),
            ("b", 2, 0.0),
            ("b", 3, 0.0),
        ],
        columns=["item_id", "position", "score"],
    )
    estimate = ends_minus_middle(rows, seed=0)
    assert (estimate.value, estimate.n) == (0.5, 2)
    with pytest.raises(ValueError, match=r"at least three positions, got \[0, 1\]"):
        ends_minus_middle(rows[rows.position < 2], seed=0)


WORKER = """
import sys, time
sys.path.insert(0, {root!r})
sys.path.insert(0, {tests!r})
from test_positions import Echo, toy
from helpers.positions import blocks, sweep

class Slow(Echo):
    def generate(self, prompts, *, max_new_tokens):
        time.sleep(0.03)
        return super().generate(prompts, max_new_tokens=max_new_tokens)

questions, gold = toy(120)
sweep(Slow(), blocks(questions, gold, 2, seed=0), [0, 1])
"""


def test_killed_ten_times_at_random_a_sweep_loses_no_row_and_has_none_twice(folder):
    code = textwrap.dedent(WORKER).format(root=str(ROOT), tests=str(Path(__file__).parent))
    environment = os.environ | {"WORKBOOK_RESULTS": str(folder)}
    rng, before = random.Random(0), 0

    def stored() -> list[dict]:
        return [row for path in folder.glob("positions-*.jsonl") for row in read_rows(path)]

    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
        deadline, wanted = time.monotonic() + 60, before + rng.randint(1, 12)
        while len(stored()) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert len(stored()) >= before + 1
        before = len(stored())
    assert before < 240, "it was killed on the way"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL)
    ids = [row["item_id"] for row in stored()]
    assert len(ids) == len(set(ids)) == 240


# --- the real model


@pytest.mark.weights
def test_shared_reading_gives_the_same_answers_as_the_plain_loop_and_reads_half_or_less(company, facts, folder):
    generator, gold = Generator(), excerpts(company, facts, n_words=10)
    block = blocks(facts, gold, 5, seed=0)[0]
    speed = reuse_benchmark(generator, block, places(5)).set_index("item_id")
    plain, shared = speed.loc["one by one"], speed.loc["shared once"]
    assert plain.n_prompts == 25 and shared.n_tokens_read <= plain.n_tokens_read / 2
    assert shared.same >= 0.9  # but for near-ties


@pytest.mark.weights
def test_the_right_passage_alone_is_read_best(company, facts, folder):
    generator, gold = Generator(), excerpts(company, facts, n_words=10)
    made = blocks(facts, gold, 5, seed=0)[:1]
    rows = sweep(generator, made, [0, 2, 4])
    strangers = sweep(generator, made, [0, 2, 4], other_question=True)
    assert rows.score.mean() > strangers.score.mean() and rows[rows.position == 0].score.mean() >= 0.4
