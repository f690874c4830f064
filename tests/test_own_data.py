"""What a learner may bring in place of the company's data, and what is said when it can't be used."""

import gzip
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dataset_server import DatasetHub
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import own_data
from helpers.corpus import Corpus, Passage
from helpers.own_data import MAX_FILE_MB, MAX_WORDS, DataProblems, _cut, load_own

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "<script>alert('x')</script> & <b>bold</b>"


def problems_of(source: object, **options: int) -> list[str]:
    """All that `load_own` says is wrong with `source`; the message shows each."""
    with pytest.raises(DataProblems) as caught:
        load_own(source, **options)
    assert "can't be used yet. To mend:" in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems[:20])
    return caught.value.problems


@pytest.fixture
def put(tmp_path: Path):
    """Write a file (text or bytes) below the test's folder and return its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def bodies(corpus: Corpus) -> list[str]:
    return [passage.body for passage in corpus.passages]


# --- folders and text files ------------------------------------------------------------


def test_a_folder_gives_a_passage_per_section_and_its_headings_as_questions(put, tmp_path):
    put("pumps/blue_pump.md", "# Care\nOil it weekly.\n## Noise\nCall us.\n")
    put("notes.TXT", "No heading here.")
    corpus = load_own(tmp_path)
    assert corpus.name == tmp_path.name
    assert [(p.document_id, p.title, p.heading, p.body) for p in corpus.passages] == [
        ("notes.TXT", "notes", "", "No heading here."),
        ("pumps/blue_pump.md", "blue pump", "Care", "Oil it weekly."),
        ("pumps/blue_pump.md", "blue pump", "Noise", "Call us."),
    ]
    assert [(q.question, q.kind, corpus.passage(q.gold_ids[0]).body) for q in corpus.questions] == [
        ("Care", "known_item", "Oil it weekly."),
        ("Noise", "known_item", "Call us."),
    ]
    assert [d.text for d in corpus.documents] == ["No heading here.", "Oil it weekly.\n\nCall us."]


def test_the_folder_may_be_given_as_text_or_path(put, tmp_path):
    put("a.md", "One.")
    put("b.md", "Two.")
    assert load_own(str(tmp_path)).passages == load_own(tmp_path).passages


def test_a_heading_that_stands_in_two_files_is_one_question_with_two_right_passages(put, tmp_path):
    put("a.md", "# Use\nOf a.")
    put("b.md", "# Use\nOf b.")
    (question,) = load_own(tmp_path).questions
    assert question.gold_ids == ("a.md#1.1", "b.md#1.1")


def test_files_of_the_same_name_in_two_folders_stay_apart(put, tmp_path):
    put("x/readme.md", "One.")
    put("y/readme.md", "Two.")
    assert [d.id for d in load_own(tmp_path).documents] == ["x/readme.md", "y/readme.md"]


def test_files_of_other_kinds_are_noted_and_hidden_ones_left_alone(put, tmp_path):
    put("a.md", "One.")
    put("b.md", "Two.")
    put("c.pdf", b"%PDF")
    put("d.pdf", b"%PDF")
    put("Makefile", "all:")
    put(".ipynb_checkpoints/a-checkpoint.md", "Old one.")
    corpus = load_own(tmp_path)
    assert bodies(corpus) == ["One.", "Two."]
    assert corpus.notes == ("files that are no text were not read: 2 .pdf, 1 no ending",)


def test_everything_wrong_with_a_folder_is_listed_at_once(put, tmp_path):
    put("good.md", "Fine.")
    put("empty.md", " \n")
    put("headings.md", "# One\n## Two\n")
    put("latin.txt", "Gerät".encode("latin-1"))
    put("binary.txt", b"a\0b")
    assert problems_of(tmp_path) == [
        "binary.txt has NUL bytes, so it is no UTF-8 text. Save it as UTF-8 and try again",
        "latin.txt is not UTF-8 text (byte 3). Save it as UTF-8 and try again",
        "empty.md is empty: fill it or take it out",
        "headings.md has headings but no text below them: fill it or take it out",
    ]


def test_a_folder_without_text_says_what_it_found(put, tmp_path):
    put("a.pdf", b"%PDF")
    (problem,) = problems_of(tmp_path)
    assert problem == "no file ends in .markdown, .md, .rst, .txt; found .pdf"


def test_an_empty_folder_has_nothing(tmp_path):
    assert problems_of(tmp_path)[0].endswith("found nothing")


def test_byte_order_marks_and_windows_or_old_mac_line_ends_are_no_text(put, tmp_path):
    put("a.md", b"\xef\xbb\xbf# One\r\nFirst.\r\n\r\nSecond.\r\n")
    put("b.md", b"# Two\rThird.\r")
    put("c.md", "# Three\nFourth.".encode("utf-16"))
    corpus = load_own(tmp_path)
    assert bodies(corpus) == ["First. Second.", "Third.", "Fourth."]
    assert [p.heading for p in corpus.passages] == ["One", "Two", "Three"]


def test_symbolic_links_to_files_are_read_and_broken_ones_skipped(put, tmp_path):
    put("elsewhere/a.md", "One.")
    put("mine/b.md", "Two.")
    (tmp_path / "mine/a.md").symlink_to(tmp_path / "elsewhere/a.md")
    (tmp_path / "mine/gone.md").symlink_to(tmp_path / "nowhere.md")
    (tmp_path / "mine/loop").symlink_to(tmp_path / "mine")
    assert bodies(load_own(tmp_path / "mine")) == ["One.", "Two."]


def test_ten_megabytes_without_the_end_of_a_sentence_are_cut_quickly(put):
    path = put("long.txt", "word " * 2_000_000)
    started = time.perf_counter()
    corpus = load_own(path, limit=100_000)
    assert len(corpus.passages) == -(-2_000_000 // MAX_WORDS)
    assert time.perf_counter() - started < 10


def test_a_file_too_large_to_read_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate((MAX_FILE_MB + 1) * 10**6)
    assert problems_of(path) == ["huge.csv has 201 MB, at most 200 MB are read: take a part of it"]


def test_one_text_file_is_read_like_a_folder_of_one(put):
    corpus = load_own(put("guide.md", "# A\nOne.\n# B\nTwo."))
    assert corpus.name == "guide.md"
    assert [p.id for p in corpus.passages] == ["guide.md#1.1", "guide.md#2.1"]


def test_limit_counts_passages_of_text_and_a_note_says_what_was_left_out(put):
    path = put("guide.md", "".join(f"# {i}\nText {i}.\n" for i in range(5)))
    corpus = load_own(path, limit=3)
    assert (len(corpus.passages), len(corpus.questions)) == (3, 3)
    assert corpus.notes == ("only the first 3 of 5 passages were read (limit=3)",)
    assert load_own(path, limit=5).notes == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab.!? \n", max_size=30).map(lambda t: t * 20), max_size=12).map(" ".join))
def test_cutting_keeps_all_words_in_order_and_no_piece_too_long(text):
    pieces = _cut(Passage("s", "d", "", "", text))
    assert " ".join(p.body for p in pieces).split() == text.split()
    assert all(1 <= len(p.body.split()) <= MAX_WORDS for p in pieces)
    assert len({p.id for p in pieces}) == len(pieces)


def test_cuts_fall_at_ends_of_sentences_where_there_are_any():
    sentence = "one two three four. "
    first, second = _cut(Passage("s", "d", "", "", sentence * 40))
    assert (len(first.body.split()), first.body[-5:], len(second.body.split())) == (148, "four.", 12)


# --- tables: CSV ------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_may_be_separated_by_commas_semicolons_or_tabs(put, separator):
    rows = [["Context", " QUESTION ", "answer"], ["It has 3 legs.", "How many?", "3"], ["B.", "Why?", ""]]
    corpus = load_own(put("t.csv", "\n".join(separator.join(row) for row in rows)))
    assert bodies(corpus) == ["It has 3 legs.", "B."]
    first, second = corpus.questions
    assert (first.question, first.kind, first.answers, first.gold_ids) == (
        "How many?", "single_fact", ("3",), ("p1",),
    )  # fmt: skip
    assert (second.kind, second.answers, second.gold_ids) == ("unanswerable", (), ())


def test_quotes_may_hold_separators_line_ends_and_quotes(put):
    corpus = load_own(put("t.csv", 'passage,title\r\n"a, ""b""\r\nc",T\r\n\r\nd,\r\n'))
    assert bodies(corpus) == ['a, "b"\nc', "d"]


def test_texts_that_look_like_missing_values_stay_texts(put):
    assert bodies(load_own(put("t.csv", "passage\nNA\nnull\nNone\n007"))) == ["NA", "null", "None", "007"]


def test_all_ragged_rows_and_all_empty_cells_are_listed_with_the_lines_where_they_begin(put):
    path = put("t.csv", 'passage,question\na,b\nc\n"d\nd",e,f\n\n"g\ng",\n,h\n')
    assert problems_of(path) == [
        "line 3 has 1 cells, the header has 2",
        "line 4 has 3 cells, the header has 2",
        "line 7: question is empty",
        "line 9: passage is empty",
    ]


def test_a_column_that_does_not_matter_may_occur_twice(put):
    assert bodies(load_own(put("t.csv", "x,passage,x\n1,a,2\n3,b,4\n"))) == ["a", "b"]


def test_an_open_quote_is_named_with_its_line(put):
    (problem,) = problems_of(put("t.csv", 'passage,question\na,b\n"c,d\n'))
    assert problem.startswith("line 3: not a well-formed CSV table") and "quote left open" in problem


def test_a_header_alone_has_no_rows(put):
    assert problems_of(put("t.csv", "passage,question\n")) == ["the table has no rows"]


def test_two_columns_of_the_same_name_are_doubtful_and_reported_with_all_else(put):
    path = put("t.csv", "Answer,answer,x,x\n1,2,3,4\n")
    first, second = problems_of(path)
    assert first == "2 columns are called 'answer'"
    assert second == (
        "no column with passages: expected one of passage, context, text, document, body, content, ctxs; "
        "found ['Answer', 'answer', 'x', 'x']"
    )


def test_nul_bytes_mean_that_a_table_is_no_text(put):
    assert "NUL bytes" in problems_of(put("t.csv", b"passage\na\0b\n"))[0]


def test_utf_16_as_spreadsheets_write_it_is_read(put):
    assert bodies(load_own(put("t.csv", "passage\tid\nä\t1\nö\t2\n".encode("utf-16")))) == ["ä", "ö"]


def test_a_huge_cell_is_read(put):
    assert len(load_own(put("t.csv", f"passage\n{'x' * 1_000_000}\ny\n")).passages[0].body) == 1_000_000


def test_an_empty_file_is_empty(put):
    assert problems_of(put("t.csv", "\n \n")) == ["the file is empty"]


def test_only_so_many_rows_are_read_as_limit_says_and_a_note_says_so(put):
    path = put("t.csv", "passage\n" + "\n".join(f"text {i}" for i in range(10)))
    corpus = load_own(path, limit=4)
    assert len(corpus.passages) == 4
    assert corpus.notes == ("only the first 4 rows were read (limit=4)",)
    assert load_own(path, limit=10).notes == ()


def test_a_limit_below_two_makes_no_corpus(put):
    with pytest.raises(ValueError, match="limit must be at least 2, got 1"):
        load_own(put("t.csv", "passage\na\nb"), limit=1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1), min_size=2))
def test_whatever_pandas_writes_as_csv_comes_back(texts):
    import tempfile

    kept = list(dict.fromkeys(t.strip() for t in texts if t.strip()))
    if len(kept) < 2:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        pd.DataFrame({"passage": kept, "title": "t"}).to_csv(path, index=False)
        assert bodies(load_own(path)) == kept


# --- tables: JSON lines and JSON ------------------------------------------------------------


def test_json_lines_with_blank_lines_and_answers_of_any_shape(put):
    rows = [
        {"passage": "A.", "question": "1?", "answers": ["x", "y", "x"]},
        {"passage": "A.", "question": "2?", "answers": {"text": ["z"], "answer_start": [0]}},
        {"passage": "B.", "question": "3?", "answers": 1969},
        {"passage": "B.", "question": "4?", "answers": [1.5]},
        {"passage": "C.", "question": "5?", "answers": None},
    ]
    corpus = load_own(put("t.jsonl", "\n\n".join(map(json.dumps, rows)) + "\n"))
    assert bodies(corpus) == ["A.", "B.", "C."]
    assert [q.answers for q in corpus.questions] == [("x", "y"), ("z",), ("1969",), ("1.5",), ()]
    assert [q.gold_ids for q in corpus.questions] == [("p1",), ("p1",), ("p2",), ("p2",), ()]


def test_all_bad_lines_are_listed_and_more_than_twenty_are_counted(put):
    path = put("t.jsonl", '{"passage": "a"}\n{broken\n[1, 2]\n\n"text"\nnull\n' + "x\n" * 30)
    problems = problems_of(path)
    assert problems[:4] == [
        "line 2 is not a JSON object: '{broken'",
        "line 3 is not a JSON object: '[1, 2]'",
        "line 5 is not a JSON object: '\"text\"'",
        "line 6 is not a JSON object: 'null'",
    ]
    assert len(problems) == 34
    assert str(DataProblems("t", problems)).endswith("\n  … and 14 more")


def test_bad_lines_and_bad_rows_are_listed_together(put):
    path = put("t.jsonl", '{"text": ""}\n\n{bad\n{"text": 7}\n{"text": "a"}')
    assert problems_of(path) == [
        "line 3 is not a JSON object: '{bad'",
        "line 1: passage is empty",
        "line 4: passage should be text, got int",
    ]


def test_json_nested_deeper_than_python_goes_is_a_bad_line_too(put):
    assert "line 1" in problems_of(put("t.jsonl", "[" * 100_000))[0]


def squad(version: str) -> dict:
    qas = [
        {"id": "q1", "question": "Where?", "answers": [{"text": "Paris", "answer_start": 3}] * 2},
        {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    paragraphs = [{"context": "In Paris.", "qas": qas[: 1 if version == "1.1" else 2]}]
    paragraphs.append({"context": "More.", "qas": [qas[0] | {"id": "q3"}]})
    return {"version": version, "data": [{"title": "City_of_light", "paragraphs": paragraphs}]}


def test_squad_1_gives_each_paragraph_once_with_distinct_answers(put):
    corpus = load_own(put("s.json", json.dumps(squad("1.1"))))
    assert [(p.title, p.body) for p in corpus.passages] == [
        ("City of light", "In Paris."),
        ("City of light", "More."),
    ]
    assert [(q.id, q.answers) for q in corpus.questions] == [("q1", ("Paris",)), ("q3", ("Paris",))]


def test_impossible_questions_of_squad_2_are_unanswerable(put):
    corpus = load_own(put("s.json", json.dumps(squad("v2.0"))))
    assert [(q.id, q.kind) for q in corpus.questions if not q.answers] == [("q2", "unanswerable")]


def test_a_json_list_of_objects_is_a_table(put):
    assert bodies(load_own(put("t.json", '[{"text": "a"}, {"text": "b"}]'))) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"data": [{"para', "not valid JSON: Unterminated string"),
        ('{"text": "a"}\n{"text": "b"}', "let its name end in .jsonl"),
        ('{"data": [{"title": "x"}]}', "neither SQuAD JSON (data → paragraphs → qas) nor a list of objects"),
        ("5", "neither SQuAD JSON"),
        ('{"data": 5}', "neither SQuAD JSON"),
        ("[]", "no column with passages"),
    ],
)
def test_json_that_is_no_table_says_what_was_expected(put, content, said):
    assert said in problems_of(put("t.json", content))[0]


def test_items_that_are_no_objects_are_listed(put):
    path = put("t.json", '[{"text": "a"}, 1, "b", {"text": ""}]')
    assert problems_of(path) == [
        "item 2 is not a JSON object: '1'",
        "item 3 is not a JSON object: 'b'",
        "item 4: passage is empty",
    ]


# --- gzipped files ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", "passage\nOne.\nTwo.\n"),
        ("t.JSONL.GZ", '{"text": "One."}\r\n{"text": "Two."}'),
        ("t.json.gz", '[{"text": "One."}, {"text": "Two."}]'),
        ("my_guide.md.gz", "# A\nOne.\n# B\nTwo."),
    ],
)
def test_a_gzipped_file_is_read_as_what_its_name_says_before_gz(put, name, content):
    corpus = load_own(put(name, gzip.compress(content.encode())))
    assert bodies(corpus) == ["One.", "Two."] and corpus.name == name
    assert corpus.passages[0].title in ("", "my guide")


def test_a_gzipped_file_may_have_several_members(put):
    path = put("t.csv.gz", gzip.compress(b"passage\nOne.\n") + gzip.compress(b"Two.\n"))
    assert bodies(load_own(path)) == ["One.", "Two."]


PACKED = gzip.compress(b"passage\n" + "".join(f"text {i * i}\n" for i in range(500)).encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PACKED[:200], "ended before the end-of-stream marker"),
        (PACKED[:5], "ended before the end-of-stream marker"),
        (PACKED[:60] + b"\xff" * 60 + PACKED[120:], "Error -3 while decompressing"),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "CRC check failed"),
        (PACKED + b"more", "Not a gzipped file"),
        (b"passage\na\nb\n", "Not a gzipped file"),
    ],
)
def test_a_damaged_gzipped_file_is_one_problem(put, content, said):
    (problem,) = problems_of(put("t.csv.gz", content))
    assert problem.startswith("t.csv.gz is damaged or not gzipped (") and said in problem


def test_of_a_gzip_bomb_no_more_is_unpacked_than_may_be_read(put, monkeypatch):
    monkeypatch.setattr(own_data, "MAX_FILE_MB", 1)
    path = put("bomb.csv.gz", gzip.compress(b"passage\n" + b"a\n" * 25_000_000, compresslevel=1))
    assert path.stat().st_size < 10**6
    tracemalloc.start()
    try:
        assert problems_of(path) == ["bomb.csv.gz unpacks to more than 1 MB, the most that is read: take a part of it"]
        assert tracemalloc.get_traced_memory()[1] < 5 * 10**6
    finally:
        tracemalloc.stop()


def test_the_limit_itself_may_be_unpacked(put, monkeypatch):
    monkeypatch.setattr(own_data, "MAX_FILE_MB", 1)
    text = "passage\n" + "a" * 499_999 + "\n" + "b" * 499_992
    assert len(load_own(put("t.csv.gz", gzip.compress(text.encode()))).passages) == 2
    assert "more than 1 MB" in problems_of(put("t.csv.gz", gzip.compress(f"{text}b".encode())))[0]


def test_gzipped_text_is_unpacked_and_then_judged_like_any_other(put):
    assert problems_of(put("t.csv.gz", gzip.compress(b""))) == ["the file is empty"]
    assert "t.csv.gz is not UTF-8 text (byte 8)" in problems_of(put("t.csv.gz", gzip.compress(b"passage\n\xe4")))[0]


# --- rows with several passages, as Lost in the Middle has them ------------------------------------------------------------


def contexts(*texts: str, gold: str = "") -> list[dict]:
    """`ctxs` with these texts, of which those whose letter is in `gold` are right."""
    return [{"title": f"On {t}", "text": t, "isgold": t in gold, "hasanswer": True} for t in texts]


def with_contexts(*rows: list | dict) -> str:
    """JSON lines that ask question i about the i-th of `rows`, or have these keys in its place."""
    full = [
        row if isinstance(row, dict) else {"question": f"{i}?", "answers": ["x", "y"], "ctxs": row}
        for i, row in enumerate(rows, 1)
    ]
    return "\n".join(map(json.dumps, full))


def test_every_context_is_a_passage_once_and_the_gold_ones_belong_to_the_question(put):
    corpus = load_own(
        put("t.jsonl", with_contexts(contexts("A", "B", "C", gold="B"), contexts("C", "D", "A", gold="CA")))
    )
    assert [(p.title, p.body) for p in corpus.passages] == [("On A", "A"), ("On B", "B"), ("On C", "C"), ("On D", "D")]
    assert [(q.question, q.kind, q.answers) for q in corpus.questions] == [
        ("1?", "single_fact", ("x", "y")),
        ("2?", "single_fact", ("x", "y")),
    ]
    assert [[corpus.passage(i).body for i in q.gold_ids] for q in corpus.questions] == [["B"], ["C", "A"]]
    assert all(q.document_ids == q.gold_ids for q in corpus.questions)


def test_a_gold_context_that_is_listed_twice_is_one(put):
    corpus = load_own(put("t.jsonl", with_contexts(contexts("A", "B", "A", gold="A"))))
    assert [q.gold_ids for q in corpus.questions] == [("p1",)] and bodies(corpus) == ["A", "B"]


def test_rows_with_one_passage_and_rows_with_several_may_be_mixed(put):
    corpus = load_own(
        put("t.jsonl", with_contexts({"text": "A", "question": "1?", "answers": "x"}, contexts("B", "A", gold="A")))
    )
    assert [q.gold_ids for q in corpus.questions] == [("p1",), ("p1",)] and bodies(corpus) == ["A", "B"]


def test_contexts_of_a_frame_or_of_a_list_of_objects_do_too(put):
    rows = [{"question": "1?", "ctxs": contexts("A", "B", gold="B")}]
    frame = pd.DataFrame({"question": ["1?"], "ctxs": [np.array(rows[0]["ctxs"])]})  # as Parquet files give them
    for source in (put("t.json", json.dumps(rows)), frame):
        assert load_own(source).questions[0].gold_ids == ("p2",)


def test_all_rows_whose_contexts_are_not_right_are_listed_with_their_lines(put):
    several = contexts("A", "B", gold="B")
    bad = [
        contexts("A", "B"),
        [],
        [{"title": "T", "text": "A"}],
        {"question": "4?", "text": "A", "ctxs": several},
        {"question": "5?"},
        "A",
        ["A"],
        {"question": "8?", "ctxs": {"text": "A", "isgold": True}},
        [{"title": "T", "isgold": True}],
        [{"title": 5, "text": "A", "isgold": True}],
        several,
        {"ctxs": several},
    ]
    rows = [row if isinstance(row, list | dict) else {"question": "?", "ctxs": row} for row in bad]
    assert problems_of(put("t.jsonl", with_contexts(*rows))) == [
        "line 1: none of the ctxs has isgold: true",
        "line 2: none of the ctxs has isgold: true",
        "line 3: none of the ctxs has isgold: true",
        "line 4: there are a passage and ctxs: keep one of the two",
        "line 5: passage is empty",
        "line 6: ctxs should be a list of objects with title, text and isgold",
        "line 7: ctxs should be a list of objects with title, text and isgold",
        "line 8: ctxs should be a list of objects with title, text and isgold",
        "line 9: text in ctxs is empty",
        "line 10: title in ctxs should be text, got int",
        "line 12: question is empty",
    ]


# --- pandas frames ------------------------------------------------------------


def frame(**columns: list) -> pd.DataFrame:
    return pd.DataFrame({"passage": ["a", "b", "c"], **columns})


def test_a_frame_with_any_index_is_read_in_its_order_and_not_changed():
    table = frame(question=["1", "2", "3"], answer=["x", "y", "z"])
    table.index = [7, 7, "seven"]
    before = table.copy()
    corpus = load_own(table)
    assert corpus.name == "your data frame"
    assert [(q.id, q.answer, q.gold_ids) for q in corpus.questions] == [
        ("q1", "x", ("p1",)), ("q2", "y", ("p2",)), ("q3", "z", ("p3",)),
    ]  # fmt: skip
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, "", [], np.array([]), {"text": []}, [None]])
def test_every_way_of_having_no_answer_means_unanswerable(missing):
    corpus = load_own(frame(question=["1", "2", "3"], answer=["x", missing, "z"]))
    assert [q.kind for q in corpus.questions] == ["single_fact", "unanswerable", "single_fact"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("x", ("x",)),
        (3, ("3",)),
        (np.int64(3), ("3",)),
        (["x", "y", "x", ""], ("x", "y")),
        (("x", 2), ("x", "2")),
        (np.array(["x", "y"]), ("x", "y")),
        ({"text": ["x"], "answer_start": [4]}, ("x",)),
        ({"text": np.array(["x"], dtype=object)}, ("x",)),
    ],
)
def test_answers_may_have_any_of_these_shapes(answer, expected):
    corpus = load_own(frame(question=["1", "2", "3"], answer=["-", answer, "-"]))
    assert corpus.questions[1].answers == expected


def test_questions_without_a_column_of_answers_are_known_items():
    corpus = load_own(frame(question=["1", "2", "3"]))
    assert {(q.kind, q.answers) for q in corpus.questions} == {("known_item", ())}
    assert [q.gold_ids for q in corpus.questions] == [("p1",), ("p2",), ("p3",)]


def test_titles_become_questions_where_there_are_none():
    corpus = load_own(frame(title=["Pump", None, "Tank"]))
    assert [(q.question, q.gold_ids) for q in corpus.questions] == [("Pump", ("p1",)), ("Tank", ("p3",))]


def test_ids_may_be_numbers_and_missing_ones_are_made():
    corpus = load_own(frame(question=["1", "2", "3"], id=[11, None, "x"]))
    assert [q.id for q in corpus.questions] == ["11", "q2", "x"]


def test_everything_wrong_with_a_frame_is_listed_at_once():
    table = pd.DataFrame(
        {
            "passage": ["a", float("nan"), 5, "b", "c", "d"],
            "question": ["1", "2", "3", " ", "5", "6"],
            "answer": ["x", "x", "x", "x", [object()], "x"],
            "id": ["same", "i2", "i3", "i4", "i5", "same"],
        }
    )
    assert problems_of(table) == [
        "row 2: passage is empty",
        "row 3: passage should be text, got int",
        "row 4: question is empty",
        "row 5: answer should be text, got object",
        "column 'id': 1 ids occur more than once ('same')",
    ]


def test_columns_of_several_levels_are_refused_with_the_remedy():
    table = pd.DataFrame([["a", "b"]], columns=pd.MultiIndex.from_tuples([("text", "de"), ("text", "en")]))
    (problem,) = problems_of(table)
    assert problem.startswith("the columns have 2 levels") and "frame.columns = " in problem
    table.columns = ["_".join(map(str, c)) for c in table.columns]
    assert "found ['text_de', 'text_en']" in problems_of(table)[0]


def test_one_passage_is_too_few_to_choose_from():
    table = pd.DataFrame({"passage": ["a", "a"]})
    assert problems_of(table) == ["1 passage(s) found; retrieval needs at least 2 to choose from"]
    assert str(DataProblems(table, ["x"])).startswith("The DataFrame can't be used yet.")


def test_one_question_is_enough():
    assert len(load_own(pd.DataFrame({"passage": ["a", "b"], "title": ["one", ""]})).questions) == 1


def test_no_questions_at_all_are_no_questions():
    assert load_own(frame()).questions == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), min_size=1, max_size=8))
def test_a_frame_of_any_texts_gives_a_corpus_or_one_list_of_problems(rows):
    table = pd.DataFrame(rows, columns=["passage", "question"])
    blank = [i for i, row in enumerate(rows, 1) if not row[0].strip() or not row[1].strip()]
    try:
        corpus = load_own(table)
    except DataProblems as error:
        assert [int(p.split()[1].rstrip(":")) for p in error.problems if p.startswith("row")] == blank
        assert blank or len({passage.strip() for passage, _ in rows}) < 2
    else:
        assert not blank and len(corpus.questions) == len(rows)
        assert {p.id for p in corpus.passages} == {q.gold_ids[0] for q in corpus.questions}


def test_html_in_a_learners_data_comes_through_as_the_text_it_is(put):
    rows = [{"passage": f"{SCRIPT} {i}", "question": SCRIPT, "answer": SCRIPT} for i in range(2)]
    corpus = load_own(put("t.jsonl", "\n".join(map(json.dumps, rows))))
    assert corpus.passages[0].body == f"{SCRIPT} 0"
    assert (corpus.questions[0].question, corpus.questions[0].answer) == (SCRIPT, SCRIPT)


# --- what is no data at all ------------------------------------------------------------


def test_python_docs_are_a_corpus_on_every_machine():
    corpus = load_own("python-docs")
    assert len(corpus.documents) > 50 and len(corpus.questions) > 100
    assert max(len(p.body.split()) for p in corpus.passages) <= MAX_WORDS
    ids = {p.id for p in corpus.passages}
    assert all(set(q.gold_ids) <= ids for q in corpus.questions)
    (lam,) = [q for q in corpus.questions if q.question == "Python lambda"]
    assert corpus.passage(lam.gold_ids[0]).document_id == "lambda"


@pytest.mark.parametrize(
    "source", ["my_data.csv", "./mine", "/no/such/folder", "~/nothing-here", "C:\\mine", Path("mine")]
)
def test_a_wrong_path_is_called_that_and_no_network_is_asked(source):
    (problem,) = problems_of(source)
    assert problem.startswith(f"no such file or folder (looked in {Path.cwd().name}/). Expected a folder")


@pytest.mark.parametrize("source", ["mine", "json", "csv", "my data", "a/b/c/d", "owner/name:train[:5]"])
def test_what_is_neither_a_path_nor_a_data_sets_name_says_how_those_look(source):
    (problem,) = problems_of(source)
    assert "no such file or folder" in problem and "'owner/name:split'" in problem


@pytest.mark.parametrize("source", [None, "", " ", 5, ["a", "b"], {"passage": ["a"]}])
def test_other_types_say_what_is_expected(source):
    assert problems_of(source)[0].startswith("expected a folder of .txt/.md files, a .csv")


def test_a_text_in_place_of_a_path_is_no_crash():
    assert "can't be opened" in problems_of("word " * 5000)[0]


@pytest.mark.parametrize("name", ["t.xlsx", "t.pdf", "t.docx", "noending", "t.gz", "t.tar.gz"])
def test_files_of_other_kinds_say_what_is_read(put, name):
    (problem,) = problems_of(put(name, b"PK\x03\x04\0"))
    assert problem.startswith(f"files ending in {''.join(Path(name).suffixes)!r} are not read. Expected")


# --- the Hugging Face hub ------------------------------------------------------------

ASK = """
import json, sys, time
import datasets
from helpers.own_data import load_own
for name in sys.argv[1:]:
    started = time.perf_counter()
    try:
        c = load_own(name, limit=3)
        said = [c.name, [p.body for p in c.passages], [q.answers for q in c.questions], c.notes]
    except ValueError as error:
        said = str(error)
    print(json.dumps([said, time.perf_counter() - started]))
"""


def ask_hub(url: str, home: Path, *names: str) -> list[list]:
    """`[corpus or message, seconds]` of each name, loaded in a process of its own with the hub at `url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Retrying" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def repos(tmp_path_factory) -> dict[str, Path]:
    """Two data sets as people publish them: SQuAD's columns as Parquet, and JSON lines with two splits."""
    folder = tmp_path_factory.mktemp("repos")
    for name in ("squad", "lines"):
        (folder / name).mkdir()
    answers = [{"text": ["x"], "answer_start": [0]}, {"text": [], "answer_start": []}]
    table = pd.DataFrame({"context": ["A.", "B."], "question": ["1?", "2?"], "answers": answers})
    table.to_parquet(folder / "squad/train-00000-of-00001.parquet")
    for split, n in (("train", 5), ("test", 2)):
        rows = [json.dumps({"text": f"{split} {i} {SCRIPT}"}) for i in range(n)]
        (folder / f"lines/{split}.jsonl").write_text("\n".join(rows))
    return {"org/squad": folder / "squad", "org/lines": folder / "lines"}


def test_a_data_set_of_the_hub_is_read_by_name_and_split_and_from_the_cache_without_a_network(repos, tmp_path):
    with DatasetHub(repos) as hub:
        names = ("org/squad", "org/lines:test", "org/lines", "org/lines:dev", "org/lines/de:test", "org/none")
        squad, test, train, split, config, none = ask_hub(hub.url, tmp_path, *names)
    assert squad[0] == ["org/squad", ["A.", "B."], [["x"], []], []]
    assert test[0] == ["org/lines:test", [f"test 0 {SCRIPT}", f"test 1 {SCRIPT}"], [], []]
    assert [len(train[0][1]), train[0][3]] == [3, ["only the first 3 rows were read (limit=3)"]]
    assert 'Unknown split "dev". Should be one of [' in split[0]
    assert "BuilderConfig 'de' not found" in config[0]
    assert "'org/none' doesn't exist on the Hub or cannot be accessed" in none[0]
    assert "if a file or folder was meant, check its path" in none[0]
    assert hub.requests.count(("HEAD", "/")) == 6  # each name asks once whether there is a hub

    again, never = ask_hub(hub.url, tmp_path, "org/squad", "org/other")  # the hub is gone
    assert again[0] == squad[0]
    assert "no network, and it is not in the cache" in never[0]
    assert max(again[1], never[1]) < 10
