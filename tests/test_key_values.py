"""Keys and values: how they are drawn, read from the paper's files, asked for and scored."""

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.generation import Answer, Generator
from helpers.key_values import KeyValues, ask_values, draw, load_key_values, prompt
from helpers.own_tables import DataProblems

SMALL = KeyValues("small", (("k1", "aa-1"), ("k2", "aa"), ("k3", "1")))


class Reader:
    """Looks up what it is asked for, as anybody can who reads the prompt; `says` may make something else of the value."""

    name = "reader"

    def __init__(self, says=lambda value, pairs: f'{value}",'):
        self.says, self.calls = says, []

    def generate(self, prompts, *, max_new_tokens):
        self.calls.append(len(prompts))
        return [Answer(self.answer(asked["content"], begun["content"]), 5, 3) for asked, begun in prompts]

    def answer(self, asked, begun):
        pairs = json.loads(re.search(r"\{.*?\}", asked, re.DOTALL)[0])
        key = re.search(r"Key: (.*)", asked)[1]
        assert begun == f'{{\n"{key}": "'
        return self.says(pairs[key], pairs)


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


# --- contexts


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 1000))
def test_drawn_keys_and_values_are_all_distinct_and_the_same_for_the_same_seed(n_contexts, n_pairs, seed):
    drawn = draw(n_contexts, n_pairs, seed=seed)
    assert [len(c.pairs) for c in drawn] == [n_pairs] * n_contexts and len({c.id for c in drawn}) == n_contexts
    words = [word for c in drawn for pair in c.pairs for word in pair]
    assert len(set(words)) == len(words) and all(re.fullmatch("[0-9a-f]{4}", word) for word in words)
    assert drawn == draw(n_contexts, n_pairs, seed=seed) != draw(n_contexts, n_pairs, seed=seed + 1)


@pytest.fixture
def put(tmp_path):
    """Write rows as gzipped JSON lines and return the path."""

    def write(*rows, name="kv.jsonl.gz"):
        text = "\n".join(row if isinstance(row, str) else json.dumps({"ordered_kv_records": row}) for row in rows)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return tmp_path / name

    return write


def problems_of(path):
    with pytest.raises(DataProblems) as caught:
        load_key_values(path)
    return caught.value.problems


@pytest.mark.parametrize("name", ["kv.jsonl.gz", "kv.jsonl"])
def test_the_papers_files_are_read_packed_or_not(put, name):
    path = put([["a", "b"], ["c", "d"]], [["a", "e"]], [["a", "f"]], name=name)
    assert load_key_values(path, limit=2) == [
        KeyValues("line 1", (("a", "b"), ("c", "d"))),
        KeyValues("line 2", (("a", "e"),)),
    ]
    assert len(load_key_values(str(path))) == 3


def test_all_lines_of_other_content_are_listed(put):
    bad = [
        None,
        [],
        {"a": "b"},
        ["ab"],
        [["a"]],
        [["a", 1]],
        [["a", ""]],
        [["a", "two words"]],
        [["a", "b"], ["a", "c"]],
    ]
    found = problems_of(put([["a", "b"]], "{broken", *bad))
    assert found[0] == "line 2 is not a JSON object: '{broken'"
    assert [problem.split(":")[0] for problem in found[1:]] == [f"line {i}" for i in range(3, 12)]
    assert 'expected {"ordered_kv_records": [["key", "value"], …]}' in found[1]


def test_questions_with_passages_are_no_keys_and_values(put):
    (problem,) = problems_of(put('{"question": "?", "ctxs": []}'))
    assert problem.startswith("line 1: expected")


def test_an_empty_or_damaged_file_is_one_problem(put):
    path = put("")
    assert problems_of(path)[0].startswith("the file is empty, expected")
    path.write_bytes(gzip.compress(b"x" * 99)[:-9])
    (problem,) = problems_of(path)
    assert problem.startswith("kv.jsonl.gz is damaged or not gzipped")


# --- prompts and answers


def test_the_prompt_has_a_pair_per_line_then_the_key_and_the_answer_begun():
    asked, begun = prompt(SMALL, "k2")
    assert asked["content"].split("\n\n") == [
        "Extract the value of a key from this JSON object.",
        '{\n"k1": "aa-1",\n"k2": "aa",\n"k3": "1"\n}',
        "Key: k2\nValue:",
    ]
    assert begun == {"role": "assistant", "content": '{\n"k2": "'}


def test_prompts_of_a_context_begin_alike_up_to_the_key():
    first, second = (prompt(SMALL, key)[0]["content"] for key in ("k1", "k2"))
    assert first.replace("Key: k1", "Key: k2") == second


def test_whoever_reads_the_prompt_is_always_right():
    rows = ask_values(Reader(), draw(3, 5, seed=0), [0, 2, 4])
    assert rows["score"].tolist() == [1.0] * 9
    assert rows["position"].tolist() == [0, 0, 0, 2, 2, 2, 4, 4, 4]
    assert rows["item_id"].tolist() == ["kv-0", "kv-1", "kv-2"] * 3
    assert set(rows["n_pairs"]) == {5} and rows["condition"][3] == "5 pairs, asked at 2"
    assert [value in said for value, said in zip(rows["value"], rows["prediction"], strict=True)] == [True] * 9


def test_whoever_says_the_first_value_is_right_at_the_first_position_only():
    rows = ask_values(Reader(lambda _, pairs: next(iter(pairs.values()))), draw(3, 5, seed=0), range(5))
    assert rows.groupby("position")["score"].mean().tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("aa", 1.0),
        ('aa",', 1.0),
        ("It is (aa).", 1.0),
        ('k2": "aa"', 1.0),
        ("aaa", 0.0),
        ("aa-1", 0.0),
        ("a", 0.0),
        ("", 0.0),
    ],
)
def test_a_value_counts_as_a_word_of_its_own_only(said, score):
    assert ask_values(Reader(lambda *_: said), [SMALL], [1])["score"].tolist() == [score]


def test_contexts_are_asked_a_few_at_a_time_and_measured_once():
    reader, drawn = Reader(), draw(5, 3, seed=1)
    first = ask_values(reader, drawn, [0, 2])
    assert reader.calls == [8, 2]  # four contexts, then the last one
    assert ask_values(reader, drawn, [0, 2]).equals(first) and reader.calls == [8, 2]
    ask_values(reader, drawn, [1])
    assert reader.calls == [8, 2, 4, 1]


@pytest.mark.parametrize("position", [3, -1])
def test_positions_that_are_not_there_are_refused(position):
    with pytest.raises(ValueError, match=rf"from 0; these contexts have none there: \[\('small', {position}\)\]"):
        ask_values(Reader(), [SMALL], [0, position])


def test_no_contexts_are_refused():
    with pytest.raises(ValueError, match="at least one item"):
        ask_values(Reader(), [], [0])


@pytest.mark.weights
def test_the_generator_copies_most_values_of_a_short_list():
    rows = ask_values(Generator(), draw(12, 6, seed=0), [0, 2, 5])
    assert rows["score"].mean() > 0.75
