"""What a learner may bring as labelled data, and what is said when it can't be used."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dataset_server import DatasetHub
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labelled import (
    ENTITIES,
    PARTS,
    REVIEWS,
    Labelled,
    LabelledText,
    TaggedSentence,
    labels_of,
    load_entities,
    spans,
)
from helpers.labelled_checks import MAX_LABELS, fold, with_all_parts, without_shared
from helpers.labelled_conll import looks_tagged, read_conll
from helpers.own_labelled import load_labelled
from helpers.own_tables import DataProblems

ROOT = Path(__file__).resolve().parents[1]
NAMES = "amber blue coral dun ecru fawn gold heather indigo jade khaki lilac mauve navy ochre pink ruby"
COLOURS = NAMES.split(" ")


def problems_of(source: object, **options: int) -> list[str]:
    """All that `load_labelled` says is wrong with `source`; the message shows each."""
    with pytest.raises(DataProblems) as caught:
        load_labelled(source, **options)
    assert "can't be used yet. To mend:" in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems[:20])
    return caught.value.problems


@pytest.fixture
def put(tmp_path: Path):
    """Write a file (text or bytes) into the test's folder and return its path."""

    def write(name: str, content: str | bytes) -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def words(i: int) -> str:
    """Three words that no other number below 4,913 has in that order, and few share."""
    return " ".join((COLOURS[i % 17], COLOURS[i // 17 % 17].upper(), COLOURS[i // 289 % 17] + str(i)))


def frame_of(n: int = 40, *, labels: tuple[str, ...] = ("bad", "good"), start: int = 0) -> pd.DataFrame:
    """`n` different texts with `labels` in turn."""
    return pd.DataFrame(
        {"text": [words(start + i) for i in range(n)], "label": [labels[i % len(labels)] for i in range(n)]}
    )


def items_of(frame: pd.DataFrame) -> list[LabelledText]:
    return [LabelledText(str(i), row.text, row.label) for i, row in enumerate(frame.itertuples())]


def conll_of(n: int = 30, *, start: int = 0, tag: str = "B-PART") -> str:
    """`n` different sentences of which each has one entity of one token."""
    return "\n".join(f"the\tO\nvalve{i}\t{tag}\nleaks{i}\tO\n" for i in range(start, start + n))


def every(data: Labelled) -> list:
    return [*data.train, *data.dev, *data.test]


def sizes(data: Labelled) -> list[int]:
    return [len(data.train), len(data.dev), len(data.test)]


# --- tables and texts


def test_a_frame_gives_texts_and_labels_in_three_parts():
    data = load_labelled(frame_of(100))
    assert sizes(data) == [72, 8, 20]
    assert (data.name, data.labels, data.notes) == ("your data frame", ("bad", "good"), ())
    assert {(x.id, x.text, x.label) for x in every(data)} == {
        (f"row-{i + 1}", row.text, row.label) for i, row in enumerate(frame_of(100).itertuples())
    }


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.json", "a.txt", "a.TXT"])
def test_every_kind_of_file_gives_the_same_as_its_frame(put, name):
    frame, ending = frame_of(), name[2:].lower()
    texts = {
        "csv": frame.to_csv(index=False),
        "tsv": frame.to_csv(index=False, sep="\t"),
        "json": frame.to_json(orient="records"),
        "txt": frame.to_csv(index=False, header=False, sep="\t"),
    }
    path = put(name, texts.get(ending) or frame.to_json(orient="records", lines=True))
    data = load_labelled(path)
    assert (data.train, data.dev, data.test) == (lambda d: (d.train, d.dev, d.test))(load_labelled(frame))
    assert (data.name, data.notes) == (name, ())
    assert load_labelled(str(path)) == data


@pytest.mark.parametrize("text", ["text", "Sentence", " REVIEW ", "query", "question", "content", "body"])
@pytest.mark.parametrize("label", ["label", "Category", "class", "sentiment", "intent", "target"])
def test_column_names_that_other_people_use(text, label):
    frame = frame_of().rename(columns={"text": text, "label": label}).assign(other=1)
    assert load_labelled(frame).train == load_labelled(frame_of()).train


@pytest.mark.parametrize(
    ("given_labels", "expected"),
    [
        ([0, 1], ("0", "1")),
        ([0.0, 1.0], ("0", "1")),
        ([True, False], ("False", "True")),
        (np.array([3, 4], dtype=np.int8), ("3", "4")),
        ([" yes ", "no"], ("no", "yes")),
    ],
)
def test_labels_may_be_numbers_or_truth_values(given_labels, expected):
    frame = pd.DataFrame({"text": frame_of()["text"], "label": np.resize(np.asarray(given_labels), 40)})
    assert load_labelled(frame).labels == expected
    assert load_labelled(frame.astype({"label": object})).labels == expected


def test_only_a_line_feed_ends_a_line_of_a_text_file(put):
    """The UCI sentiment sentences have U+0085 within lines."""
    lines = [f"{words(i)} so\x85 so\u2028 it went\t{i % 2}\n" for i in range(30)]
    data = load_labelled(put("a.txt", "".join(lines)))
    assert len(every(data)) == 30 and all("so\x85 so\u2028 it" in item.text for item in every(data))


def test_a_text_file_may_have_its_labels_first(put):
    frame = frame_of()
    lines = [f"{row.label}\t{row.text}\twith tab {row.Index}\n" for row in frame.itertuples()]
    data = load_labelled(put("a.txt", "".join(lines)))
    assert data.labels == ("bad", "good") and data.notes == ("the first column was read as the label",)
    assert {item.text for item in every(data)} == {f"{text}\twith tab {i}" for i, text in enumerate(frame["text"])}


# --- parts


def test_given_parts_are_kept_and_named_by_their_ids(put):
    train = put("train.csv", frame_of(50).to_csv(index=False))
    data = load_labelled({"train": train, "test": frame_of(10, start=50), "dev": frame_of(6, start=60)})
    assert sizes(data) == [50, 6, 10] and data.name == "train.csv"
    assert [part[0].id for part in (data.train, data.dev, data.test)] == ["train-1", "dev-1", "test-1"]
    assert [x.text for x in data.test] == list(frame_of(10, start=50)["text"])


def test_without_dev_a_tenth_of_train_is_drawn_and_test_is_left_as_it_is():
    data = load_labelled({"train": frame_of(50), "test": frame_of(10, start=50)})
    assert sizes(data) == [45, 5, 10]


def test_files_of_a_list_are_joined(put):
    a, b = (
        put(f"{name}.txt", frame_of(20, start=k).to_csv(index=False, header=False, sep="\t"))
        for name, k in (("a", 0), ("b", 20))
    )
    data = load_labelled({"train": [a, b], "test": frame_of(10, start=40)})
    assert data.name == "a.txt + b.txt" and sizes(data) == [36, 4, 10]
    assert {x.text for x in data.train} | {x.text for x in data.dev} == {words(i) for i in range(40)}
    assert sizes(load_labelled([a, b])) == [29, 3, 8]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=20, max_size=200))
def test_drawn_parts_hold_every_item_once_and_labels_in_proportion(labels):
    frame = pd.DataFrame({"text": [words(i) for i in range(len(labels))], "label": list(map(str, labels))})
    items = items_of(frame)
    parts = with_all_parts({"train": items})
    assert Counter(x.id for part in parts.values() for x in part) == Counter(x.id for x in items)
    assert abs(len(parts["test"]) - len(items) / 5) <= 1
    for label, n in Counter(x.label for x in items).items():
        assert abs(sum(x.label == label for x in parts["test"]) - n / 5) < 1
        assert sum(x.label == label for x in parts["train"]) >= min(n, 5) - 2
    assert with_all_parts({"train": items}) == parts


def test_a_rare_entity_type_is_drawn_in_proportion_too(put):
    text = conll_of(95) + "\n" + conll_of(5, start=95, tag="B-SITE")
    data = load_labelled(put("a.conll", text))
    found = [Counter(label for s in part for label in labels_of(s)) for part in (data.train, data.test)]
    assert found[0]["SITE"] >= 3 and found[1]["SITE"] == 1


def test_the_same_data_give_the_same_parts():
    assert load_labelled(frame_of(60)) == load_labelled(frame_of(60))


def test_a_large_part_is_a_draw_and_says_so():
    """A file is often sorted by label: its first rows would have one only."""
    frame = frame_of(400).sort_values("label", ignore_index=True)
    data = load_labelled({"train": frame, "test": frame_of(30, start=400)}, limit=100)
    assert sizes(data) == [90, 10, 30] and data.labels == ("bad", "good")
    assert "train has 400 rows, of which 100 were drawn (limit=100)" in data.notes
    assert [int(x.id[6:]) for x in data.train] == sorted(int(x.id[6:]) for x in data.train)


# --- CoNLL


def read(text: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    found = read_conll(text)
    assert not found.problems
    return [(s.tokens, s.tags) for s in found.items]


def test_conll_by_hand():
    text = "-DOCSTART-\tO\n\n# id = 1\nthe\tO\nHall\tB-SITE\nC\tI-SITE\n\n\n#\tO\n#sale\tO\nE-17\tB-CODE\n"
    assert read(text) == [
        (("the", "Hall", "C"), ("O", "B-SITE", "I-SITE")),
        (("#", "#sale", "E-17"), ("O", "O", "B-CODE")),
    ]
    assert read_conll(text).notes == []


def test_the_first_column_is_the_token_and_the_last_the_tag_between_tabs_or_blanks():
    by_blanks = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n# NN O O\n"
    assert read(by_blanks) == [(("EU", "rejects", "#"), ("B-ORG", "O", "O"))]
    assert read("# id 5239d808\tdomain=en\nEU _ _ B-ORG\nwon _ _ O\n") == [(("EU", "won"), ("B-ORG", "O"))]
    assert read("New York\tB-LOC\nwon\tO\n") == [(("New York", "won"), ("B-LOC", "O"))]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O I-X I-X O I-X B-X", "O B-X I-X O B-X B-X"),  # IOB1
        ("B-X I-X I-Y B-Y", "B-X I-X B-Y B-Y"),
        ("B-X I-X E-X S-X S-Y", "B-X I-X I-X B-X B-Y"),  # BIOES
        ("B-X I-X L-X U-X O", "B-X I-X I-X B-X O"),  # BILOU
        ("B_X I_X O B-X O", "B-X I-X O B-X O"),
        ("art-music art-music O art-film person", "B-art-music I-art-music O B-art-film B-person"),  # plain types
    ],
)
def test_other_schemes_become_iob2(tags, expected):
    text = "".join(f"w{i}\t{tag}\n" for i, tag in enumerate(tags.split()))
    assert [" ".join(found) for _, found in read(text)] == [expected]


def test_plain_types_are_told():
    (note,) = read_conll("a\tPER\nb\tO\n").notes
    assert note == "tags are types without B- and I-: neighbours of one type were read as one entity"


def test_a_file_with_its_tags_first_is_read_and_told():
    """As the MIT restaurant and movie queries have them."""
    found = read_conll("O\ta\nB-Rating\tfour\nI-Rating\tstar\n")
    assert [(s.tokens, s.tags) for s in found.items] == [(("a", "four", "star"), ("O", "B-Rating", "I-Rating"))]
    assert found.notes == ["the first column was read as the tag and the last as the token"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a\tO\nb\tB-X\nc\tPER\n\nd\tI-\n",
            ["line 3: the tag 'PER' is neither O nor B-… nor I-…", "line 5: the tag 'I-' is"],
        ),
        ("a\tO\nb\nc\tB-X\n", ["line 2: expected 2 columns, as most lines have, got 'b'"]),
        ("a O\nNew York B-X\nb O\n", ["line 2: expected 2 columns, as most lines have, got 'New York B-X'"]),
        ("a\nb\n\nc\n", ["line 1: expected a token and its tag", "line 2: ", "line 4: "]),
        ("a\tO\n\tB-X\n", ["line 2: the token is empty"]),
        ("a\tB\nb\tI\nc\tO\n", ["line 1: the tag 'B' names no type", "line 2: the tag 'I' names no type"]),
        ("a\tNN\nb\tVB\n", ["no tag is O, B-… or I-…: is the last column the tag? It begins ['NN', 'VB']"]),
    ],
)
def test_every_bad_line_of_conll_is_listed(text, expected):
    found = read_conll(text).problems
    assert len(found) == len(expected)
    assert all(problem.startswith(begins) for problem, begins in zip(found, expected, strict=True))
    assert not read_conll(text).items


tokens = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=5)
tags = st.sampled_from(["O", "B-PART", "I-PART", "B-SITE"])
sentences = st.lists(st.lists(st.tuples(tokens, tags), min_size=1, max_size=5), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(sentences)
def test_what_is_written_with_tabs_is_read_again(written):
    text = "\n".join("".join(f"{token}\t{tag}\n" for token, tag in sentence) for sentence in written)
    text += "\nx\tB-PART\n"  # so that tags are no plain types
    expected = [([t for t, _ in s], spans([tag for _, tag in s])) for s in written]
    assert [(list(found), spans(marks)) for found, marks in read(text)[:-1]] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tO\nb\tB-X\n\nc\tO\n", True),
        ("EU NNP B-ORG\nwon VB O\n\nI PRP O\n", True),
        ("It broke.\t0\nIt runs.\t1\n", False),
        ("It broke.\t0\n\nIt runs.\t1\n", False),
        ("a\tO\nb\tB-X\n", False),  # one sentence is none to learn from
    ],
)
def test_a_text_file_is_conll_if_its_lines_end_in_tags_and_blank_lines_divide_them(text, expected):
    assert looks_tagged(text) == expected


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob", "a.IOB2", "a.annotated", "a.txt"])
def test_tagged_files_of_every_ending_give_sentences_in_three_parts(put, name):
    data = load_labelled(put(name, conll_of(100).replace("\n", "\r\n")))
    assert sizes(data) == [72, 8, 20] and data.labels == ("PART",)
    assert {(s.id, s.tokens[1], s.tags) for s in every(data)} == {
        (f"row-{i + 1}", f"valve{i}", ("O", "B-PART", "O")) for i in range(100)
    }


def test_our_own_files_read_as_a_learners_give_the_same():
    ours = load_entities()
    data = load_labelled({part: ENTITIES / f"{part}.conll" for part in PARTS})
    assert [[(s.tokens, s.tags) for s in part] for part in (data.train, data.dev, data.test)] == [
        [(s.tokens, s.tags) for s in part] for part in (ours.train, ours.dev, ours.test)
    ]
    assert data.labels == ours.labels
    assert sizes(load_labelled(REVIEWS)) == [1296, 144, 360]


def test_rows_with_lists_of_tokens_and_tags_are_sentences(put):
    rows = [{"tokens": ["the", f"valve{i}"], "ner_tags": ["O", "B-PART"]} for i in range(30)]
    data = load_labelled(put("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert sizes(data) == [22, 2, 6] and isinstance(data.train[0], TaggedSentence)
    assert load_labelled(pd.DataFrame(rows)).train == data.train
    frame = pd.DataFrame(
        {"words": [np.array(row["tokens"]) for row in rows], "tags": [np.array(row["ner_tags"]) for row in rows]}
    )
    assert load_labelled(frame).train == data.train


def test_lists_that_do_not_match_are_listed():
    rows = [
        {"tokens": ["a"], "tags": ["O", "O"]},
        {"tokens": "a", "tags": "O"},
        {"tokens": ["a"], "tags": [3]},
        {"tokens": [], "tags": []},
    ]
    lists = "expected a list of tokens and a list of as many tags"
    named = "row 3: tags should be names such as B-PART, got [3]"
    assert problems_of(pd.DataFrame(rows)) == [f"row 1: {lists}", f"row 2: {lists}", named, f"row 4: {lists}"]


# --- problems


def test_all_empty_cells_are_listed_with_their_lines(put):
    path = put("a.csv", 'text,label\n,good\n"two\nlines",bad\nc,\n ,\nd,good\n')
    assert problems_of(path) == [
        "line 2: text is empty", "line 5: label is empty", "line 6: text is empty", "line 6: label is empty",
    ]  # fmt: skip


def test_missing_columns_are_both_named_with_what_was_found():
    found = problems_of(pd.DataFrame({"words_": ["a"], "stars": [1]}))
    assert len(found) == 2
    assert found[0].startswith(
        "no text column: expected one of text, sentence, review, query, question, content, body; found"
    )
    assert "['words_', 'stars']" in found[1] and "frame.rename(columns={'yours': 'label'})" in found[1]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frame_of(40, labels=("good",)), ["every text has the label 'good'; expected at least 2 different ones"]),
        (frame_of(19), ["19 rows in all; expected at least 20 to learn from and to test on"]),
        (frame_of(0), ["the table has no rows"]),
        (frame_of(450, labels=tuple(map(str, range(225)))), [f"225 labels such as ['0', '1', '10'], at most {MAX_LABELS}: is this the right"]),
        (pd.concat([frame_of(40), frame_of(1, labels=("odd",), start=40)]), ["'odd' occurs once in train (1 in all): give it more"]),
        (frame_of().assign(label=[["a"], "b"] * 20), [f"row {i}: label should be text, got list" for i in range(1, 41, 2)]),
        (frame_of().assign(text=1), [f"row {i}: text should be text, got int" for i in range(1, 41)]),
        (pd.concat([frame_of()] * 2, axis=1), ["2 columns are called 'text'", "2 columns are called 'label'"]),
    ],
)  # fmt: skip
def test_what_nothing_can_be_learned_from_is_refused(frame, expected):
    found = problems_of(frame)
    assert len(found) == len(expected)
    assert all(problem.startswith(begins) for problem, begins in zip(found, expected, strict=True))


def test_several_problems_of_one_set_come_at_once():
    parts = {
        "train": frame_of(10),
        "test": frame_of(4, labels=("new", "newer"), start=10),
        "dev": frame_of(2, start=14),
    }
    assert problems_of(parts) == [
        "16 rows in all; expected at least 20 to learn from and to test on",
        "test has 'new', and train does not (2 in all)",
        "test has 'newer', and train does not (2 in all)",
    ]


def test_problems_of_every_file_are_listed_with_its_name(put):
    bad = put("bad.csv", "text,label\na,\n")
    latin = put("latin.txt", "Gerät\t1\n".encode("latin-1"))
    conll = put("c.conll", "a\tO\nb\tB-X\nc\tX\n")
    missing = conll.with_name("none.csv")
    found = problems_of({"train": [bad, latin], "dev": conll, "test": missing})
    assert [problem.split(". ")[0] for problem in found] == [
        "train, bad.csv: line 2: label is empty",
        "train, latin.txt: latin.txt is not UTF-8 text (byte 3)",
        "dev, c.conll: line 3: the tag 'X' is neither O nor B-… nor I-…",
        f"test, none.csv: no such file (looked in {Path.cwd().name}/)",
    ]


def test_texts_and_tagged_sentences_do_not_mix(put):
    found = problems_of({"train": frame_of(), "test": put("a.conll", conll_of())})
    assert found == ["some parts are labelled texts, others tagged sentences: give all in one form"]


def test_sentences_without_any_entity_are_refused_and_types_must_be_in_train(put):
    plain = put("a.conll", conll_of(tag="O"))
    assert problems_of(plain) == ["no sentence has an entity: every tag is O"]
    parts = {"train": put("b.conll", conll_of()), "test": put("c.conll", conll_of(5, start=40, tag="B-SITE"))}
    assert problems_of(parts) == ["test has 'SITE', and train does not (5 in all)"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "expected a table (.csv, .tsv, .jsonl, .ndjson, .json), CoNLL"),
        ("", "expected a table"),
        (3, "expected a table"),
        ({}, "expected the keys train and, if you have them, test and dev; got []"),
        ({"train": "a.csv", "validation": "b.csv"}, "expected the keys train and, if you have them, test and dev; got"),
        ({"test": "a.csv"}, "expected the keys train"),
        ([], "train: no file"),
        ({"train": []}, "train: no file"),
        ("nowhere/a.csv", "no such file"),
        ("x" * 5000, "it can't be opened"),
        ("bare", "no such file, and a data set is named with its owner"),
    ],
)
def test_what_is_no_source_is_refused(source, expected):
    assert problems_of(source)[0].startswith(expected)


def test_folders_other_files_and_empty_ones_are_refused(put, tmp_path):
    assert problems_of(tmp_path)[0].startswith("a folder: name its files, as {'train': …, 'test': …}")
    assert problems_of(put("a.pdf", b"%PDF"))[0].startswith("files ending in '.pdf' are not read. Expected a table")
    assert problems_of(put("a.conll", " \n")) == ["the file is empty"]
    assert problems_of(put("b.conll", "# nothing\n\n")) == ["there are no rows"]


def test_a_text_file_without_tabs_says_what_it_should_have(put):
    (all_wrong,) = problems_of(put("a.txt", "It broke.\nIt runs.\n"))
    assert all_wrong.startswith("no line has a tab: expected text, a tab and its label")
    assert problems_of(put("b.txt", "It broke.\t0\nIt runs.\n")) == [
        "line 2: no tab between text and label: 'It runs.'"
    ]


def test_a_limit_below_the_least_number_is_refused():
    with pytest.raises(ValueError, match="limit must be at least 20, got 5"):
        load_labelled(frame_of(), limit=5)


# --- notes


def test_texts_that_train_shares_with_test_are_taken_out_of_train():
    shared = frame_of(3).assign(text=lambda f: f["text"].str.upper() + "  ")
    data = load_labelled(
        {"train": frame_of(50), "test": pd.concat([shared, frame_of(10, start=50)]), "dev": frame_of(5, start=90)}
    )
    assert sizes(data) == [47, 5, 13]
    assert data.notes == ("train and test share 3 texts: taken out of train (3 rows)",)


@settings(max_examples=60, deadline=None)
@given(*[st.lists(st.sampled_from([f"{c} {k}" for c in "aAbB" for k in range(4)]), max_size=15)] * 3)
def test_no_text_is_left_in_two_parts_and_test_loses_none(train, dev, test):
    given_parts = {
        part: [LabelledText("", text, "x") for text in found]
        for part, found in zip(PARTS, (train, dev, test), strict=True)
    }
    parts, notes = without_shared(given_parts)
    held = [{fold(item) for item in parts[part]} for part in PARTS]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    assert parts["test"] == given_parts["test"]
    assert set().union(*held) == {fold(item) for found in given_parts.values() for item in found}
    assert bool(notes) == (parts != given_parts)


def test_duplicates_disputed_labels_and_near_duplicates_are_told():
    long = "the hub went on in five minutes and has stayed on ever since"
    train = pd.concat(
        [frame_of(40), frame_of(2), pd.DataFrame({"text": ["so so", "So so", long], "label": ["good", "bad", "good"]})]
    )
    test = pd.concat([frame_of(10, start=50), pd.DataFrame({"text": [f"{long} Ever!"], "label": ["good"]})])
    data = load_labelled({"train": train, "test": test, "dev": frame_of(5, start=90)})
    assert sizes(data) == [45, 5, 11]  # all stays
    assert data.notes == (
        "1 texts occur with different labels, such as 'so so'",
        "train has 2 exact duplicates",
        f"1 test texts have a near-duplicate in train, such as {long[:60]!r}: scores may flatter",
    )


def uneven(labels: tuple[str, ...], n: int) -> tuple[str, ...]:
    """The notes on 35 texts with `labels` in turn and `n` that are rare."""
    train = pd.concat([frame_of(35, labels=labels), frame_of(n, labels=("rare",), start=40)])
    held = {"test": frame_of(10, labels=labels, start=60), "dev": frame_of(5, labels=labels, start=90)}
    return load_labelled({"train": train, **held}).notes


def test_uneven_labels_are_told():
    expected = "labels are uneven in train: {!r} {} times, 'rare' {} times; look at every label's score"
    assert uneven(("bad", "good"), 2) == ()  # 18 and 17 to 2
    assert uneven(("bad",), 9) == ()  # 35 of 44
    assert uneven(("bad",), 8) == (expected.format("bad", 35, 8),)  # over 0.8 of all
    assert uneven(("bad", "bad", "bad", "good", "good"), 2) == (expected.format("bad", 21, 2),)  # over ten times


def test_ten_thousand_texts_load_in_seconds():
    chance = random.Random(0)
    texts = [" ".join(chance.choices([f"{c}{k}" for c in COLOURS for k in range(90)], k=12)) for _ in range(13_000)]
    frame = pd.DataFrame({"text": texts, "label": [f"c{i % 77}" for i in range(13_000)]})
    started = time.perf_counter()
    assert sizes(load_labelled({"train": frame[:10_000], "test": frame[10_000:]})) == [9000, 1000, 3000]
    assert time.perf_counter() - started < 10


# --- the hub

ASK = """
import json, sys
from helpers.own_labelled import DataProblems, load_labelled
for name in map(json.loads, sys.argv[1:]):
    try:
        d = load_labelled(name)
        print(json.dumps([d.name, [len(d.train), len(d.dev), len(d.test)], d.labels, d.notes]))
    except DataProblems as error:
        print(json.dumps(error.problems))
"""


def ask_hub(url: str, home: Path, *names: object) -> list[list]:
    """What each name gives or what is wrong with it, asked in a process of its own with the hub at `url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *map(json.dumps, names)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def save(path: Path, **columns: tuple) -> None:
    """A Parquet file with the features that data sets carry: column=(values, feature)."""
    from datasets import Dataset, Features

    features = Features({name: feature for name, (_, feature) in columns.items()})
    path.parent.mkdir(exist_ok=True)
    Dataset.from_dict({name: values for name, (values, _) in columns.items()}, features=features).to_parquet(path)


@pytest.fixture(scope="module")
def repos(tmp_path_factory) -> dict[str, Path]:
    """Class labels and tags as numbers with names, as people publish them; one set without a training split."""
    from datasets import ClassLabel, Sequence, Value

    folder, text, named = tmp_path_factory.mktemp("repos"), Value("string"), ClassLabel(names=["bad", "good"])
    for split, n, start in (("train", 40, 0), ("validation", 6, 40), ("test", 10, 46)):
        texts = [words(start + i) for i in range(n)]
        save(folder / f"moods/{split}.parquet", sentence=(texts, text), label=([i % 2 for i in range(n)], named))
        hidden = [-1] * n if split == "test" else [i % 2 for i in range(n)]
        save(folder / f"hidden/{split}.parquet", sentence=(texts, text), label=(hidden, named))
    tags = Sequence(ClassLabel(names=["O", "B-PART", "I-PART"]))
    lists = [["the", f"valve{i}", "seal"] for i in range(40)]
    save(folder / "parts/train.parquet", tokens=(lists, Sequence(text)), ner_tags=([[0, 1, 2]] * 40, tags))
    save(folder / "only/test.parquet", sentence=(texts, text), label=([i % 2 for i in range(10)], named))
    return {f"org/{name}": folder / name for name in ("moods", "hidden", "parts", "only")}


def test_data_sets_of_the_hub_bring_their_splits_and_the_names_of_their_classes(repos, tmp_path):
    mixed = {"train": "org/moods", "test": "org/moods:validation"}
    with DatasetHub(repos) as hub:
        names = (
            "org/moods",
            "org/moods:train",
            mixed,
            "org/parts",
            "org/hidden",
            "org/only",
            {"train": "org/moods", "dev": "org/parts"},
        )
        moods, split, both, parts, hidden, only, lacking = ask_hub(hub.url, tmp_path, *names)
    assert moods == ["org/moods", [40, 6, 10], ["bad", "good"], []]
    assert split[1:3] == [[29, 3, 8], ["bad", "good"]]
    assert both == ["org/moods", [36, 4, 6], ["bad", "good"], []]
    assert parts[:3] == ["org/parts", [29, 3, 8], ["PART"]]
    assert hidden == [f"row {i}: label is empty" for i in range(1, 11)]
    assert only == ["no split train; name one of ['test']: 'org/only:split'"]
    assert lacking == ["dev, org/parts: the data set has no split for dev: name one, as 'owner/name:split'"]

    again, never = ask_hub(hub.url, tmp_path, "org/moods", "org/other")  # the hub is gone
    assert again == moods
    assert "no network, and it is not in the cache" in never[0]
