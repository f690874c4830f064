"""Follow-ups, as typed and as they are made to stand alone."""

import pytest

from helpers.corpus import Corpus, Passage, load_company, load_dialogues
from helpers.dialogues import (
    SHOWN,
    FollowUp,
    as_typed,
    by_generator,
    follow_ups,
    reworded,
    rewriting_prompt,
    standalone,
    with_history,
)
from helpers.generation import Answer, Generator
from helpers.scoring import find_tokens

PASSAGES = (
    Passage("p#1", "p", "Orlin pump", "Weight", "It weighs 41 kilograms."),
    Passage("p#2", "p", "Orlin pump", "Colour", "It is celadon, and four hands carry it."),
    Passage("r#1", "r", "Other pumps", "", "This one is celadon too."),
)
CORPUS = Corpus("toy", (), PASSAGES)


def turn(question: str, whole: str, answer: str, *aliases: str) -> dict:
    return {"question": question, "standalone": whole, "answer": answer, "aliases": aliases, "document_id": "p"}


TALK = {
    "id": "d1",
    "turns": [
        turn("How heavy is the Orlin?", "How much does the Orlin pump weigh?", "41 kilograms"),
        turn("What colour is it?", "What colour is the Orlin pump?", "celadon"),
        turn("What colour is the Orlin pump?", "What colour is the Orlin pump?", "celadon"),
        turn("Who carries it?", "How many hands carry the Orlin pump?", "4 hands", "41"),
    ],
}


@pytest.fixture
def asked() -> list[FollowUp]:
    return follow_ups(CORPUS, [TALK])


def test_follow_ups_are_all_turns_but_the_first_that_do_not_stand_alone(asked):
    assert [f.id for f in asked] == [f.question.id for f in asked] == ["d1-t2", "d1-t4"]
    assert {f.question.kind for f in asked} == {"follow_up"}
    assert asked[0].history == (("How heavy is the Orlin?", "41 kilograms"),)
    assert [answer for _, answer in asked[1].history] == ["41 kilograms", "celadon", "celadon"]


def test_gold_are_the_passages_of_its_document_that_hold_the_answer(asked):
    """An alias ("41") only counts where the answer itself is nowhere."""
    assert [f.question.gold_ids for f in asked] == [("p#2",), ("p#2",)]
    alias = {"id": "d2", "turns": [TALK["turns"][0], turn("What is its weight?", "", "forty-odd", "41 kilograms")]}
    assert follow_ups(CORPUS, [alias])[0].question.gold_ids == ("p#1",)


def test_a_turn_without_an_answer_in_its_document_is_named():
    bad = {"id": "d3", "turns": [TALK["turns"][0], turn("And who made it?", "Who made the Orlin?", "nobody")]}
    with pytest.raises(ValueError, match=r"1 of 3 follow-ups have no accepted answer .*\['d3-t2'\]"):
        follow_ups(CORPUS, [TALK, bad])


def test_in_the_company_every_follow_up_has_gold_passages_that_hold_its_answer():
    company = load_company()
    asked = follow_ups(company, load_dialogues())
    assert len(asked) >= 60 and len({f.id for f in asked}) == len(asked)
    for f in asked:
        gold = [company.passage(i) for i in f.question.gold_ids]
        assert gold and all(max(find_tokens(p.text, a) for a in f.question.answers) >= 0 for p in gold)


def test_the_cheap_rewriting_carries_all_earlier_questions_over(asked):
    assert as_typed(asked) == ["What colour is it?", "Who carries it?"]
    assert with_history(asked)[0] == "How heavy is the Orlin? What colour is it?"
    assert standalone(asked)[0] == "What colour is the Orlin pump?"


def test_reworded_questions_keep_all_but_their_words(asked):
    questions = reworded(asked, standalone(asked))
    assert [q.question for q in questions] == standalone(asked)
    assert [(q.id, q.gold_ids, q.answers) for q in questions] == [
        (f.id, f.question.gold_ids, f.question.answers) for f in asked
    ]


class Rewriter:
    """A generator for tests: it rewrites the first kind of question and has nothing to say to others."""

    name = "rewriter"

    def __init__(self) -> None:
        self.n_asked = 0

    def n_tokens(self, messages: list[dict]) -> int:
        return len(messages[-1]["content"])

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.n_asked += len(prompts)
        return [Answer("What colour is the pump?" * p[-1]["content"].endswith("colour is it?"), 9, 5) for p in prompts]


def test_the_generators_words_or_where_it_says_nothing_the_ones_typed(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    rewriter = Rewriter()
    expected = {"d1-t2": "What colour is the pump?", "d1-t4": "Who carries it?"}
    for order in (asked, asked[::-1]):
        assert by_generator(rewriter, order) == [expected[f.id] for f in order]


def test_it_reads_examples_of_other_things_and_the_dialogue_so_far(asked):
    messages = rewriting_prompt(asked[0])
    assert [m["role"] for m in messages] == ["system", *["user", "assistant"] * len(SHOWN), "user"]
    assert all(f.standalone not in str(messages) for f in asked)
    assert messages[-1]["content"].index("41 kilograms") < messages[-1]["content"].index("What colour is it?")


def test_no_example_is_from_the_data():
    company = load_company()
    said = " ".join(p.text for p in company.passages)
    assert not [rewritten for _, _, rewritten in SHOWN if rewritten in said]
    assert not {rewritten for *_, rewritten in SHOWN} & {t["standalone"] for d in load_dialogues() for t in d["turns"]}


@pytest.mark.weights
def test_the_generator_writes_a_question(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))
    assert all("?" in text for text in by_generator(Generator(), asked))
