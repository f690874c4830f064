"""Documents, passages and questions: how they are cut, found and loaded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import corpus as corpus_module
from helpers.corpus import (
    Corpus,
    Document,
    Passage,
    Question,
    load_company,
    read_jsonl,
    sample,
    split_sections,
)

TOY = Corpus(
    "toy",
    (Document("d", "Pump", "text"),),
    (Passage("d#1", "d", "Pump", "Care", "Oil it."), Passage("d#2", "d", "Pump", "", "Call us.")),
    (
        Question("q1", "How?", answer="Oil", aliases=("oil it",), gold_ids=("d#1",)),
        Question("q2", "Whom?", answer="us", gold_ids=("d#2",), split="fact"),
        Question("q3", "Why?", kind="unanswerable"),
    ),
)


@pytest.fixture(scope="module")
def company() -> Corpus:
    return load_company()


def sections(text: str) -> list[tuple[str, str]]:
    return [(p.heading, p.body) for p in split_sections(Document("d", "T", text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Only text.", [("", "Only text.")]),
        ("# A\nOne.\n## B ##\nTwo.\n\nThree.", [("A", "One."), ("B", "Two.\n\nThree.")]),
        ("Before.\n# A\nOne.", [("A", "Before.\n\n\nOne.")]),
        ("# A\n```\n# code\n## more\n```\n# B\nTwo.", [("A", "```\n# code\n## more\n```"), ("B", "Two.")]),
        ("# A\n# B\nTwo.", [("B", "Two.")]),
        ("# A", []),
        ("", []),
        ("#hashtag and C# stay text", [("", "#hashtag and C# stay text")]),
        ("# A\nOne.\n# A\nTwo.", [("A", "One."), ("A", "Two.")]),
    ],
)
def test_a_section_is_a_heading_with_what_stands_below_it(text, expected):
    assert sections(text) == expected


def test_passages_know_their_document_and_are_numbered_from_1():
    found = split_sections(Document("doc", "Title", "# A\nOne.\n# Empty\n# B\nTwo."))
    assert [(p.id, p.document_id, p.title) for p in found] == [
        ("doc#1", "doc", "Title"),
        ("doc#2", "doc", "Title"),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["# H", "## I", "text one", "more", "", "#no", "x # y"]), max_size=12))
def test_no_line_of_text_is_lost_or_moved(lines):
    kept = [line for line in lines if line and not line.startswith(("# ", "## "))]
    found = [line for _, body in sections("\n".join(lines)) for line in body.split("\n") if line]
    assert found == kept


@pytest.mark.parametrize(
    ("title", "heading", "text"), [("T", "H", "T: H\nb"), ("T", "", "T\nb"), ("", "H", "H\nb"), ("", "", "b")]
)
def test_a_passages_text_is_what_it_is_called_and_its_body(title, heading, text):
    assert Passage("p", "d", title, heading, "b").text == text


def test_answers_are_the_answer_and_its_aliases_or_none():
    assert [q.answers for q in TOY.questions] == [("Oil", "oil it"), ("us",), ()]


def test_a_passage_is_found_by_its_id():
    assert TOY.passage("d#2").body == "Call us."
    with pytest.raises(KeyError, match="No passage 'd#9' in 'toy'"):
        TOY.passage("d#9")


def test_questions_are_found_by_kind_and_split():
    assert [q.id for q in TOY.of_kind("single_fact")] == ["q1", "q2"]
    assert [q.id for q in TOY.of_kind("single_fact", split="fact")] == ["q2"]


def test_a_kind_without_questions_says_which_there_are():
    with pytest.raises(ValueError, match=r"No 'multi_hop' questions in 'toy'; kinds: .'single_fact': 2, 'una"):
        TOY.of_kind("multi_hop")
    with pytest.raises(ValueError, match="No 'unanswerable' questions of the split 'fact' in 'toy'"):
        TOY.of_kind("unanswerable", split="fact")


def test_a_sample_keeps_the_order_repeats_with_its_seed_and_never_draws_twice():
    questions = [Question(f"q{i}", "?") for i in range(20)]
    drawn = sample(questions, 7, seed=1)
    assert drawn == sample(questions, 7, seed=1) != sample(questions, 7, seed=2)
    assert len(set(drawn)) == 7
    assert drawn == [q for q in questions if q in drawn]
    assert sample(questions, 99, seed=1) == questions


def test_notes_do_not_decide_whether_two_corpora_are_the_same():
    assert Corpus("a", (), (), notes=("x",)) == Corpus("a", (), ())


def test_the_company_is_cut_into_its_sections(company):
    assert company.name == "Ondravelle (current)"
    assert company.passages == tuple(p for d in company.documents for p in split_sections(d))
    assert len({p.id for p in company.passages}) == len(company.passages)


def test_gold_passages_hold_the_evidence(company):
    for question in company.of_kind("single_fact"):
        bodies = [" ".join(company.passage(i).body.split()) for i in question.gold_ids]
        assert bodies, question.id
        assert all(any(" ".join(e.split()) in b for b in bodies) for e in question.evidence), question.id
    assert all(not q.gold_ids for q in company.of_kind("unanswerable"))


def test_the_updated_company_has_the_same_questions_and_changes_only_what_the_updates_name(company):
    updated = load_company("updated")
    changes = {row["question_id"]: row for row in corpus_module.load_updates()}
    assert [q.id for q in updated.questions] == [q.id for q in company.questions]
    for before, after in zip(company.questions, updated.questions, strict=True):
        if before.id in changes:
            assert after.answer == changes[before.id]["answer"] != before.answer
            assert after.gold_ids, after.id
        else:
            assert (after.question, after.answers) == (before.question, before.answers)
    changed = {row["document_id"] for row in changes.values()}
    texts = {d.id: d.text for d in company.documents}
    assert changed <= {d.id for d in updated.documents if d.text != texts.get(d.id)}


def test_an_unknown_version_says_which_there_are():
    with pytest.raises(ValueError, match="version must be 'current' or 'updated', got 'newest'"):
        load_company("newest")


def test_loading_twice_gives_the_same(company):
    assert load_company() == company


def test_a_bad_line_of_json_lines_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"b": "x\u2028y"}\n', "utf-8")
    assert read_jsonl(path) == [{"a": 1}, {"b": "x\u2028y"}]
    path.write_text('{"a": 1}\n\n{"a"\n', "utf-8")
    with pytest.raises(ValueError, match=r"rows.jsonl, line 3: not valid JSON"):
        read_jsonl(path)


def test_the_table_of_counts_counts_everything(company, capsys):
    assert corpus_module.counts()["questions"].total() == len(company.questions)
    corpus_module.main()
    assert f"{len(company.documents):>6}" in capsys.readouterr().out.splitlines()[0]
