"""A contradicted passage differs in its answer and in nothing else, and a reply tells whom it follows."""

import copy
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.attribution import Contradiction, contradict, follows, product_names, with_other_entity
from helpers.corpus import Corpus, Passage, Question, load_company, sample
from helpers.scoring import find_tokens, outcome

QUICKLY = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def company() -> Corpus:
    return load_company()


@pytest.fixture(scope="module")
def asked(company) -> list[Question]:
    return company.of_kind("single_fact", split="wording")


@pytest.fixture(scope="module")
def gold(company) -> dict[str, list[Passage]]:
    passages = {passage.id: passage for passage in company.passages}
    return {q.id: [passages[i] for i in q.gold_ids] for q in company.questions}


@pytest.fixture(scope="module")
def made(asked, gold) -> dict[str, Contradiction]:
    return contradict(asked, gold, seed=0)


def one(body: str, *answers: str, title: str = "", heading: str = "", **others: str) -> Contradiction | None:
    """The contradiction of one question, among others whose answers (by question) may be borrowed."""
    asked = Question("q", "What is it?", answer=answers[0], aliases=answers[1:])
    pool = [Question(f"other {i}", "What is it?", answer=answer) for i, answer in enumerate(others.values())]
    return contradict([asked, *pool], {"q": [Passage("p", "d", title, heading, body)]}, seed=0).get("q")


# --- contradict


def test_nearly_every_fact_of_the_company_can_be_contradicted(asked, made):
    print(f"{len(made)} of {len(asked)} facts contradicted")
    assert len(asked) == 399 and len(made) >= 390
    assert list(made) == [q.id for q in asked if q.id in made]


def test_only_the_answer_has_changed(asked, gold, made):
    """Whatever stands around the places that changed is as it was, and what has changed was an accepted answer."""
    for question in asked:
        if question.id not in made:
            continue
        (was,), now = gold[question.id], made[question.id].passage
        assert (now.id, now.document_id) == (was.id, was.document_id)
        accepted = sorted((re.sub("^(an?|the) ", "", a) for a in question.answers), key=len, reverse=True)
        parts = re.split("|".join(map(re.escape, accepted)), was.text, flags=re.I)
        assert re.fullmatch(".{1,60}?".join(map(re.escape, parts)), now.text, re.S), (was.text, now.text)
        assert now.text != was.text


def test_the_passage_says_the_false_answer_which_stood_nowhere_and_no_more_the_true_one(asked, gold, made):
    for question in asked:
        if question.id in made:
            false, text = made[question.id].answer, made[question.id].passage.text
            assert find_tokens(text, false) >= 0 > find_tokens(gold[question.id][0].text, false)
            assert not [a for a in question.answers if find_tokens(text, a) >= 0]


def test_true_and_false_are_never_taken_for_each_other(asked, made):
    for question in sample(asked, 150, seed=0):
        if question.id in made:
            false = made[question.id].answer
            assert outcome(false, question.answers) == "wrong"
            assert not [a for a in question.answers if outcome(a, [false]) == "correct"]
            assert follows(false, question, made[question.id]) == "passage"
            assert {follows(a, question, made[question.id]) for a in question.answers} == {"memory"}


def test_numbers_stay_numbers_of_their_kind_and_words_stay_words(asked, made):
    for question in asked:
        if question.id in made:
            false = made[question.id].answer
            shapes = {re.sub(r"\d", "0", a) for a in question.answers}
            dated = re.search(r"\d+ [A-Z][a-z]+( \d{4})?$", question.answer)
            if re.search(r"\d", question.answer) and not dated:
                assert re.sub(r"\d", "0", false) in shapes, (question.answer, false)
            assert bool(re.search(r"\d", question.answer)) == bool(re.search(r"\d", false))


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ("EUR 38.60", r"EUR [1-7]\d\.\d0"),  # half to twice as much
        ("1,340 litres", r"[1-2],\d\d0 litres"),
        ("0.87 litres", r"0\.\d\d litres"),
        ("17 litres", r"[1-3][1-9] litres"),
        ("minus 6.5 degrees", r"minus \d\.\d degrees"),
        ("TV-Carbon-9", r"TV-Carbon-\d"),
        ("D19", r"D[1-3]\d"),
        ("30 April 2028", r"([1-9]|1\d|2[0-8]) [A-Z][a-z]+ 2028"),
        ("8 November", r"([1-9]|1\d|2[0-8]) [A-Z][a-z]+"),
        ("Thursday at 10:20", r"Thursday at ([01]\d|2[0-3]):[0-5]\d"),
    ],
)
def test_numbers_dates_and_times_by_hand(answer, shape):
    for seed in range(20):
        question = Question("q", "What is it?", answer=answer)
        (changed,) = contradict([question], {"q": [Passage("p", "d", "", "", f"It is {answer}.")]}, seed=seed).values()
        assert re.fullmatch(shape, changed.answer) and changed.answer != answer
        assert changed.passage.body == f"It is {changed.answer}."


def test_of_a_date_the_day_changes_too_since_it_may_stand_for_the_date():
    question = Question("q", "When?", answer="8 November", aliases=("November 8",))
    read = {"q": [Passage("p", "d", "", "", "Closes on 8 November.")]}
    days = {contradict([question], read, seed=seed)["q"].answer.split()[0] for seed in range(60)}
    assert len(days) > 15 and "8" not in days


@QUICKLY
@given(st.decimals(min_value=1, max_value=99_999, places=1), st.integers(0, 99))
def test_any_number_is_changed_or_left_alone_but_stays_within_half_and_twice(value, seed):
    answer = f"{value:,} litres"
    read = {"q": [Passage("p", "d", "", "", f"It holds {answer}, not 7.")]}
    for changed in contradict([Question("q", "How much?", answer=answer)], read, seed=seed).values():
        number, unit = changed.answer.split()
        assert unit == "litres" and re.sub(r"\d", "0", number) == re.sub(r"\d", "0", f"{value:,}")
        assert value / 2 <= type(value)(number.replace(",", "")) <= value * 2
        assert number.replace(",", "") != str(value)


def test_a_number_that_stands_in_the_passage_already_is_not_chosen():
    taken = [n for n in range(4, 17) if n not in (8, 9)]
    changed = one(f"It takes 8 litres. {taken}", "8 litres")
    assert changed.answer == "9 litres"


def test_words_come_from_a_similar_question_and_look_alike():
    pool = [
        Question("q", "In which colour does it glow?", answer="cerise"),
        Question("name", "What is it called?", answer="Moonflap"),
        Question("number", "How many?", answer="17"),
        Question("part", "What holds it?", answer="a cork ring"),
        Question("colour", "What colour is the lid?", answer="teal"),
        Question("who", "Who found it?", answer="Ida Varn"),
    ]
    read = {"q": [Passage("p", "d", "", "", "It glows cerise.")], "who": [Passage("p", "d", "", "", "By Ida Varn.")]}
    for seed in range(5):
        changed = contradict(pool, read, seed=seed)
        assert changed["q"].answer == "teal" and changed["q"].passage.body == "It glows teal."
        assert "17" not in changed["who"].answer


def test_every_place_changes_also_the_title_and_aliases_that_are_parts_of_the_answer():
    changed = one(
        "Ida Varn led it. Varn's\nreport was late; Savarn wrote none. IDA\nVARN!",
        "Ida Varn",
        "Varn",
        title="Ida Varn",
        heading="What Varn saw",
        other="Ola Tench",
    )
    assert changed.answer == "Ola Tench"
    assert changed.passage.title == "Ola Tench" and changed.passage.heading == "What Tench saw"
    assert changed.passage.body == "Ola Tench led it. Tench's\nreport was late; Savarn wrote none. Ola Tench!"


def test_a_capital_at_the_beginning_stays():
    assert one("Cork is best. Use cork.", "cork", other="felt").passage.body == "Felt is best. Use felt."


def test_the_answer_itself_is_replaced_and_if_it_does_not_stand_there_the_longest_alias():
    assert re.fullmatch("[1-6][1-9]0 hours", one("It lasts 340 hours.", "340 running hours", "340", "340 hours").answer)
    assert one("Made of black felt.", "felt", "black felt", other="cork").passage.body == "Made of black cork."
    assert one("Tap it with a pin.", "a rolling pin", "a pin", other="a spoon").passage.body == "Tap it with a spoon."


@pytest.mark.parametrize(
    ("body", "answers", "other"),
    [
        ("It is heavy.", ["17 kg"], "felt"),  # not there
        ("It holds 3.17 kg or 170.", ["17"], "felt"),  # only inside other numbers
        ("It takes 3 hours 52 minutes.", ["3 hours 52 minutes"], "felt"),  # several numbers
        ("It stands nine paces off.", ["nine paces"], "felt"),  # a number word
        ("Made of felt.", ["felt"], "17 kg"),  # no other words
        ("Made of felt, not of cork.", ["felt"], "cork"),  # stands there
        ("Made of felt; the felts dry.", ["felt"], "cork"),  # the answer would stay, in the plural
        ("Made of felt.", ["felt"], "grey felt"),  # taken for the true one
        ("Made of grey felt.", ["grey felt"], "felt"),  # the true one is taken for it
        ("It holds 0 litres.", ["0 litres"], "felt"),
    ],
)
def test_what_cannot_be_contradicted_is_left_out(body, answers, other):
    assert one(body, *answers, other=other) is None


def test_questions_with_no_gold_passage_or_several_are_left_out():
    passage = Passage("p", "d", "", "", "It holds 17 litres.")
    questions = [Question(i, "How much?", answer="17 litres") for i in ("none", "missing", "two", "one")]
    unanswerable = Question("nothing", "Why?", kind="unanswerable")
    read = {"none": [], "two": [passage, passage], "one": [passage], "nothing": [passage]}
    assert list(contradict([*questions, unanswerable], read, seed=0)) == ["one"]


def test_draws_are_fixed_by_the_seed_and_not_by_order_or_global_state(asked, gold, made):
    random.seed(7)
    state = random.getstate()
    few = asked[:60]
    before = copy.deepcopy((few, gold))
    assert contradict(few, gold, seed=0) == contradict(few, gold, seed=0) != contradict(few, gold, seed=1)
    assert random.getstate() == state and before == (few, gold)
    numbers = [q for q in asked[:40] if re.search(r"\d", q.answer)]
    assert contradict(numbers, gold, seed=0) == {q.id: made[q.id] for q in numbers if q.id in made}


def test_no_questions_are_an_error():
    with pytest.raises(ValueError, match="Expected at least one question to contradict, got none"):
        contradict([], {}, seed=0)


# --- follows

LITRES = Question("q", "How much?", answer="1,340 litres", aliases=("1340 l", "1,340 liters", "a bathful"))
PERSON = Question("q", "Who?", answer="Ida Varn", aliases=("Varn", "Mrs Varn"))
COLOUR = Question("q", "Which colour?", answer="a lilac drop", aliases=("lilac drop", "drop in lilac", "lilac"))
DATE = Question("q", "When?", answer="30 April 2026", aliases=("April 30, 2026", "30th of April 2026", "30.04.2026"))
COUNT = Question("q", "How many Pipwens?", answer="22 Pipwens", aliases=("22", "twenty-two"))


@pytest.mark.parametrize(
    ("question", "false", "prediction", "expected"),
    [
        (LITRES, "2,210 litres", "2,210 litres", "passage"),
        (LITRES, "2,210 litres", "It holds 2210 LITRES.", "passage"),
        (LITRES, "2,210 litres", "2210 l, says the text", "passage"),
        (LITRES, "2,210 litres", "The answer is 2210.", "passage"),
        (LITRES, "2,210 litres", "1340 litres", "memory"),
        (LITRES, "2,210 litres", "a bathful", "memory"),
        (LITRES, "2,210 litres", "1,340.", "memory"),
        (LITRES, "2,210 litres", "2,210 litres, not 1,340 litres", "passage"),
        (LITRES, "2,210 litres", "not 2,210 litres; it is 1,340 litres", "memory"),
        (LITRES, "2,210 litres", "The text says 2,210 litres. I think 1,340 litres.", "neither"),
        (LITRES, "2,210 litres", "1,340 or 2,210 litres", "neither"),
        (LITRES, "2,210 litres", "12,210 litres", "neither"),
        (LITRES, "2,210 litres", "1,775 litres", "neither"),
        (LITRES, "2,210 litres", "I don't know.", "neither"),
        (LITRES, "2,210 litres", "", "neither"),
        (PERSON, "Ola Tench", "ola tench", "passage"),
        (PERSON, "Ola Tench", "Mrs Tench did.", "passage"),
        (PERSON, "Ola Tench", "Varn", "memory"),
        (PERSON, "Ola Tench", "Ola Varn", "memory"),  # the surname alone is accepted
        (PERSON, "Ola Tench", "Ola", "neither"),
        (PERSON, "Ola Tench", "Tench and Varn", "neither"),
        (COLOUR, "amber drop", "An amber drop", "passage"),
        (COLOUR, "amber drop", "the drop in amber", "passage"),
        (COLOUR, "amber drop", "amber", "passage"),
        (COLOUR, "amber drop", "a drop", "neither"),
        (COLOUR, "amber drop", "Lilac.", "memory"),
        (COLOUR, "brass", "Brass.", "passage"),
        (COLOUR, "brass", "a lilac brass", "neither"),
        (DATE, "12 May 2026", "on May 12, 2026", "passage"),
        (DATE, "12 May 2026", "12 May", "neither"),
        (DATE, "12 May 2026", "30th of April 2026", "memory"),
        (DATE, "12 May 2026", "12 April 2026", "neither"),
        (COUNT, "31 Pipwens", "31 of them", "passage"),
        (COUNT, "31 Pipwens", "22 of them", "memory"),
        (COUNT, "31 Pipwens", "thirty-one", "neither"),  # a limit: number words have no counterpart
    ],
)
def test_whose_answer_follows(question, false, prediction, expected):
    assert follows(prediction, question, Contradiction(Passage("p", "d", "", "", ""), false)) == expected


def test_repeating_the_passage_or_refusing_is_never_memory(asked, made):
    for question in sample(asked, 80, seed=0):
        if question.id in made:
            assert follows(made[question.id].passage.body, question, made[question.id]) != "memory"
            assert follows("I don't know.", question, made[question.id]) == "neither"


# --- with_other_entity


def test_only_the_name_changes(company):
    names = product_names(company)
    swapped = with_other_entity(company.questions, names, seed=0)
    known = {q.id: q for q in company.questions}
    assert len(swapped) > 200 and list(swapped) == [q.id for q in company.questions if q.id in swapped]
    for question_id, question in swapped.items():
        was = known[question_id]
        assert replace(question, question=was.question) == was and question.question != was.question
        (old,) = {n for n in names if n in was.question}
        (new,) = {n for n in names if n in question.question}
        assert question.question == was.question.replace(old, new)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("How tall is the Orlin? Is my Orlin's lid blue?", "How tall is the Varn? Is my Varn's lid blue?"),
        ("How many Orlins fit?", "How many Varns fit?"),
        ("Do an Orlin and a Varn fit?", None),
        ("How tall is the Orlina?", None),
        ("How tall is it?", None),
    ],
)
def test_questions_that_name_exactly_one_are_asked_about_another(asked, expected):
    swapped = with_other_entity([Question("q", asked)], ["Orlin", "Varn"], seed=0)
    assert [q.question for q in swapped.values()] == ([expected] if expected else [])


def test_an_stays_right_if_there_are_names_for_it():
    questions = [Question(f"q{i}", "Is an Orlin or its lid tall?") for i in range(20)]
    swapped = with_other_entity(questions, ["Orlin", "Varn", "Aubrey", "Tench"], seed=0)
    assert {q.question for q in swapped.values()} == {"Is an Aubrey or its lid tall?"}


def test_a_longer_name_is_not_taken_for_the_shorter_one_in_it():
    swapped = with_other_entity([Question("q", "Is the Orlin 2 tall?")], ["Orlin", "Orlin 2"], seed=0)
    assert swapped["q"].question == "Is the Orlin tall?"


def test_other_entities_are_fixed_by_the_seed_and_the_questions_id(company):
    names, questions = product_names(company), company.of_kind("single_fact")
    all_of_them = with_other_entity(questions, names, seed=3)
    some = with_other_entity(questions[40:80], names[::-1], seed=3)
    assert some == {q.id: all_of_them[q.id] for q in questions[40:80] if q.id in all_of_them}
    assert with_other_entity(questions, names, seed=4) != all_of_them


@pytest.mark.parametrize(("questions", "names"), [([], ["A", "B"]), (["?"], ["A"]), (["?"], ["A", "A"]), (["?"], "AB")])
def test_too_little_to_swap_is_an_error(questions, names):
    with pytest.raises(ValueError, match="Expected questions and a list of two names or more, got"):
        with_other_entity([Question("q", text) for text in questions], names, seed=0)


def test_product_names_are_the_machines_and_no_places_people_or_brands(company):
    names = product_names(company)
    assert names == sorted(set(names)) and 20 <= len(names) <= 30
    assert {"Taveller", "Brastowe", "Fescombe", "Ostrel", "Huffelin"} <= set(names)
    others = {"Skarnholt", "Pellisbrook", "Kelderby", "Tendril", "Brinmoor", "Sorrelby", "Ondravelle", "Nettlecrown"}
    assert not others & set(names)
    for name in names:
        assert sum(name in q.question for q in company.questions) >= 2
        assert any(name in document.title for document in company.documents)


def test_a_corpus_without_products_has_no_names():
    assert product_names(Corpus("none", (), ())) == []
