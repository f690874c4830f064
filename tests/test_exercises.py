"""What the exercises promise: right attempts pass, wrong ones are told why, none crashes it."""

import inspect
import re
from decimal import Decimal
from fractions import Fraction
from html import unescape

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from helpers import lesson
from helpers.calibration import calibration_error
from helpers.corpus import Passage
from helpers.exercise import as_list
from helpers.exercises import EXERCISES
from helpers.exercises_choice import CHOICE
from helpers.exercises_comparison import COMPARISON
from helpers.exercises_positions import POSITIONS
from helpers.exercises_reading import READING, public_passages
from helpers.exercises_tuning import (
    TUNING,
    align_tags,
    calibration_error_of_one_bin,
    leak_rate,
    n_weights_of_lora,
)
from helpers.exercises_vectors import VECTORS, cosine_of_45_degrees, fuse, mean_of_real_tokens
from helpers.fine_tuning import n_trainable
from helpers.retrieval import FusedRetriever, Ranking
from helpers.tagging import align

TAKES_A_FUNCTION = {name for name, e in EXERCISES.items() if inspect.signature(e.solution).parameters}
ANYTHING = [
    *("", "closed book", "385", 0, -1, 1e300, float("nan"), float("inf"), True, 1j, b"x", [], (), {}, set()),
    *(
        (1, 2),
        ["closed book"],
        ("oracle", "closed book", "x"),
        (..., ...),
        (None, None),
        object(),
        int,
        len,
        print,
    ),
    *(
        np.array([1.0, 2.0]),
        np.array(3),
        np.float32(2),
        np.int64(7),
        torch.ones(2),
        torch.tensor(0.1),
        range(3),
    ),
    *(
        lambda: None,
        lambda x: None,
        lambda x, y: None,
        lambda x, y, z: None,
        lambda *a: ...,
        lambda *a: "text",
    ),
    *(lambda *a: 1, lambda *a: [[1], [1, 2]], lambda *a: {"a"}, lambda *a: [None], lambda *a: iter("ab")),
    *(lambda *a, key: None, lambda *a: np.zeros((2, 2)), lambda *a: torch.ones(3), lambda *a: [1j, 2]),
]


def every_token(word_ids, tags):
    return [-100 if word is None else tags[word] for word in word_ids]


def without_word_0(word_ids, tags):
    return [
        tags[word] if word and word != last else -100 for last, word in zip([None, *word_ids], word_ids, strict=False)
    ]


def by_tag(word_ids, tags):
    found = every_token(word_ids, tags)
    return [-100 if tag == last else tag for last, tag in zip([None, *found], found, strict=False)]


def counting_along(word_ids, tags):
    left = iter(tags)
    return [
        -100 if word in (None, last) else next(left) for last, word in zip([None, *word_ids], word_ids, strict=False)
    ]


def by_pattern(replies, secrets):
    if not len(replies):
        raise ValueError("no replies")
    return np.mean([bool(re.search(rf"(?i)\b{re.escape(s)}\b", r)) for r, s in zip(replies, secrets, strict=True)])


def attempt_of_solution(name: str) -> object:
    solution = EXERCISES[name].solution
    return solution if name in TAKES_A_FUNCTION else solution()


def said(name: str, attempt: object) -> str:
    """What a learner reads."""
    return unescape(re.sub("<[^>]*>", "", lesson.check(name, attempt).data))


@pytest.mark.parametrize("name", EXERCISES)
def test_every_solution_passes_its_own_check(name):
    assert EXERCISES[name].wrong_with(attempt_of_solution(name)) == ""
    assert "right." in said(name, attempt_of_solution(name))


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("placeholder", [..., None])
def test_the_placeholder_counts_as_not_tried(name, placeholder):
    assert "not tried yet" in said(name, placeholder)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_is_complete(name):
    exercise = EXERCISES[name]
    assert re.fullmatch(r"\d\d\.\d", name)
    assert exercise.task.endswith((".", "?"))
    assert exercise.hints
    assert exercise.afterwards
    assert inspect.getdoc(exercise.solution)
    assert name in lesson.exercise(name).data


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("attempt", ANYTHING, ids=lambda thing: type(thing).__name__)
@pytest.mark.filterwarnings("ignore")
def test_no_attempt_crashes_the_checker(name, attempt):
    try:
        wrong = EXERCISES[name].wrong_with(attempt)
    except Exception as error:  # only from inside what the learner gave
        assert name in TAKES_A_FUNCTION and attempt in (int, len), repr(error)
    else:
        assert wrong
        assert len(wrong) < 200
        assert "\n" not in wrong


@pytest.mark.parametrize("name", sorted(TAKES_A_FUNCTION))
def test_an_error_inside_the_learners_function_reaches_the_learner(name):
    def attempt(*_: object) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        lesson.check(name, attempt)


@pytest.mark.parametrize("name", sorted(TAKES_A_FUNCTION))
def test_a_function_of_other_parameters_or_called_too_early_is_told(name):
    wanted = "expected a function of [a-z_]+(, [a-z_]+)*"
    assert re.search(f"{wanted}, but yours can't be called so: ", said(name, lambda: None))
    assert re.search(f"{wanted}, but yours can't be called so: ", said(name, lambda a, b, c: None))
    assert re.search(f"{wanted}, got .*: give its name, without calling it", said(name, [1.0]))
    assert "returns nothing yet" in said(name, lambda *_: None)
    assert "returns nothing yet" in said(name, lambda *_: ...)


@pytest.mark.parametrize(
    ("name", "attempt", "message"),
    [
        ("00.1", "closed book, oracle", "expected two names, (floor, ceiling), got 'closed book, oracle'"),
        ("00.1", ("oracle", "closed book"), "the right two, the wrong way round"),
        ("00.1", ("retrieved", "oracle"), "can't be helped by any retriever"),
        ("00.2", 97, "need more than that"),
        ("00.2", 1000, "need fewer than that"),
        ("00.2", "385", "expected a number, got '385'"),
        ("00.3", lambda corpus: corpus.passages, "should give ['a#1', 'a#2'], got ['a#1', 'a#2', 'b#1'"),
        ("00.3", lambda corpus: iter(corpus.passages), "should give ['a#1', 'a#2'], got <tuple_iterator"),
        ("01.1", 1, "that is the dot product"),
        ("01.1", 0.5, "the angle is 45 degrees; 0.5 belongs to another"),
        ("01.2", 1.2, "what does the cosine divide by?"),
        ("01.3", lambda v, m: (v * m[:, None]).sum(0) / m.sum(), "the average is right; now scale it"),
        (
            "01.3",
            lambda v, m: v.mean(0) / np.linalg.norm(v.mean(0)),
            "a masked (9, 9) should give (0.6, 0.8), got",
        ),
        ("01.3", lambda v, m: v * m[:, None], "expected one vector of shape (2,), got (3, 2)"),
        ("01.3", lambda v, m: ["a", "b"], "expected one vector of shape (2,), got ['a', 'b']"),
        ("02.1", 1 / 3, "that is the reciprocal rank"),
        ("02.1", 0.63, "divide 1 by log2(rank + 1)"),
        ("02.2", 10, "that is without overlap"),
        ("02.2", 14, "the first piece covers 100 tokens"),
        ("02.3", lambda a, b: a + b, "should give ['b', 'a', 'd', 'c'], got ['a', 'b', 'c', 'b', 'd', 'a']"),
        ("02.3", lambda a, b: "bad", "should give ['b', 'a', 'd', 'c'], got 'bad'"),
        ("03.1", "retrieval miss", "was the right passage read?"),
        (
            "03.1",
            "hallucination",
            "the names are: should have refused, retrieval miss, format miss, cut off, reader miss",
        ),
        ("03.2", 0.15, "what do the others contribute?"),
        ("03.2", 0.32, "mix the two accuracies"),
        (
            "03.3",
            lambda r, t: r.scores[0] > t,
            "with scores (0.5, 0.1) and the threshold 0.5 it should give True, got False",
        ),
        (
            "03.3",
            lambda r, t: r.scores,
            "with scores (0.7, 0.2) and the threshold 0.5 it should give True, got (0.7, 0.2)",
        ),
        ("04.1", 0.8, "expected the name of a rung, got 0.8"),
        ("04.1", "majority class", "that is the floor: it reads no text"),
        ("04.1", "Nearest neighbours", "which rung learns weights from them?"),
        ("04.1", "prompted model", "needs hardly any labels"),
        ("04.1", "word list", "learns from no labels"),
        (
            "04.1",
            "tuned encoder",
            "the rungs are: majority class, word list, nearest neighbours on frozen embeddings, ",
        ),
        ("04.2", -0.13, "an error has no sign"),
        ("04.2", 13, "write shares, not per cents"),
        ("04.2", 0.16, "how far are they from each other?"),
        ("04.2", 0.03, "how far are they from each other?"),
        ("04.2", 0.905, "how far is the share of right answers from the mean confidence?"),
        (
            "04.3",
            every_token,
            "for word_ids=[None, 0, 1, 1, None], tags=[3, 0] token 3 only goes on with word 1: it should get -100, got 0",
        ),
        ("04.3", without_word_0, "token 1 begins word 0: it should get 3, got -100"),
        ("04.3", by_tag, "tags=[5, 5, 5] token 3 begins word 1: it should get 5, got -100"),
        ("04.3", counting_along, "tags=[1, 7, 4] token 2 begins word 2: it should get 4, got 7"),
        (
            "04.3",
            lambda w, t: [0 if i is None else t[i] for i in w],
            "token 0 belongs to no word: it should get -100, got 0",
        ),
        ("04.3", lambda w, t: t, "expected a list of 5 numbers, one a token, got [3, 0]"),
        ("04.3", lambda w, t: (tag for tag in t), "expected a list of 5 numbers, one a token, got <generator"),
        ("04.3", lambda w, t: align_tags(w, t) or [-100], "for word_ids=[], tags=[] expected a list of 0 numbers"),
        ("05.1", 576 * 1536, "that is the full matrix"),
        ("05.1", 8 * 576, "that is one of the two thin matrices"),
        ("05.1", 8 * 576 * 1536, "add their weights"),
        ("05.1", 0.019, "that looks like the share"),
        ("05.1", 1.9, "that looks like the share"),
        ("05.1", 2112, "which shape has the other?"),
        ("05.2", 0.25, "that is the share"),
        ("05.2", 60, "these are new ones"),
        ("05.2", 35, "that is the gap"),
        ("05.2", 42.5, "which of the two shares counts?"),
        (
            "05.3",
            lambda replies, secrets: sum(s in r for r, s in zip(replies, secrets, strict=True)) / len(replies),
            "the reply 'It is 14806179.' alone, with the secret '480617', should give 0.0, got 1.0",
        ),
        (
            "05.3",
            lambda replies, secrets: (
                sum(s in re.findall(r"\w+", r) for r, s in zip(replies, secrets, strict=True)) / len(replies)
            ),
            "the reply 'BLUE HERON, of course' alone, with the secret 'blue heron', should give 1.0, got 0.0",
        ),
        (
            "05.3",
            lambda replies, secrets: by_pattern(replies, secrets) * len(replies),
            "4 replies of which 2 say their own secret should give 0.5, got ",
        ),
        (
            "05.3",
            lambda replies, secrets: np.mean([any(by_pattern([r], [s]) for s in secrets) for r in replies]),
            "4 replies of which 2 say their own secret should give 0.5, got ",
        ),
        ("05.3", lambda replies, secrets: bool(by_pattern(replies, secrets)), "should give 1.0, got True"),
        (
            "05.3",
            lambda replies, secrets: (
                sum(by_pattern([r], [s]) for r, s in zip(replies, secrets, strict=True)) / len(replies)
            ),
            "without replies it divides by 0: raise a ValueError",
        ),
        (
            "05.3",
            lambda replies, secrets: leak_rate(replies, secrets) if replies else 0.0,
            "without replies there is no share: raise a ValueError, where yours returns 0.0",
        ),
    ],
)
def test_typical_wrong_attempts_are_told_what_is_off(name, attempt, message):
    assert message in EXERCISES[name].wrong_with(attempt)
    assert "right." not in said(name, attempt)


@pytest.mark.parametrize(
    ("name", "attempt"),
    [
        ("00.1", ["Closed-Book", " Oracle "]),
        *[
            ("00.2", n)
            for n in (384, 385, 386, 385.0, np.int64(385), np.float32(384.2), Decimal(385), torch.tensor(385))
        ],
        *[("01.1", x) for x in (0.71, np.float32(0.7071), np.array(0.7071), torch.tensor(0.7071), Fraction(12, 17))],
        *[("01.2", x) for x in (0.6, np.float32(0.6), 3 / 5)],
        ("00.3", lambda corpus: tuple(public_passages(corpus))),
        ("00.3", lambda corpus, extra=1: public_passages(corpus)),
        ("01.3", lambda v, m: list(mean_of_real_tokens(v, m))),
        ("01.3", lambda v, m: torch.tensor(mean_of_real_tokens(v, m))),
        ("01.3", lambda v, m: (s := v[m == 1].sum(0)) / np.linalg.norm(s)),
        *[("02.1", x) for x in (0.5, np.float32(0.5), Fraction(1, 2))],
        *[("02.2", n) for n in (13, 13.0, np.int64(13))],
        ("02.3", lambda a, b: tuple(fuse(a, b))),
        ("03.1", "Reader-miss"),
        *[("03.2", x) for x in (0.18, np.float32(0.18), Fraction(9, 50))],
        ("03.3", lambda r, t: np.bool_(max(r.scores) >= t)),
        ("02.3", lambda a, b: np.array(fuse(a, b))),
        *[("04.1", name) for name in ("Logistic  regression", "logistic regression on frozen embeddings")],
        *[("04.2", x) for x in (0.13, 0.97 - 0.84, np.float32(0.13), Fraction(13, 100), torch.tensor(0.13))],
        ("04.3", align),
        ("04.3", lambda w, t: tuple(align_tags(w, t))),
        ("04.3", lambda w, t: np.array(align_tags(w, t))),
        ("04.3", lambda w, t: torch.tensor(align_tags(w, t))),
        ("04.3", lambda w, t: [t[i] if i is not None and i not in w[:n] else -100 for n, i in enumerate(w)]),
        *[("05.1", n) for n in (16896, 16896.0, np.int64(16896))],
        *[("05.2", n) for n in (25, 25.0, np.float32(25))],
        ("05.3", by_pattern),
        ("05.3", lambda replies, secrets: Fraction(leak_rate(replies, secrets))),
    ],
)
def test_right_attempts_pass_however_they_are_written(name, attempt):
    assert EXERCISES[name].wrong_with(attempt) == ""


@settings(max_examples=40, deadline=None)
@given(st.floats(-1, 1))
def test_only_the_right_cosine_passes(cosine):
    wrong = EXERCISES["01.1"].wrong_with(cosine)
    assert (wrong == "") == (abs(cosine - cosine_of_45_degrees()) < 0.005)


@settings(max_examples=40, deadline=None)
@given(st.permutations("abcdef"), st.permutations("abcdef"))
def test_the_fusion_of_the_exercise_is_the_one_of_the_library(first, second):
    class Fixed:
        def __init__(self, ids):
            self.passages = [Passage(i, i, "", "", i) for i in "abcdef"]
            self.found = tuple(next(p for p in self.passages if p.id == i) for i in ids)

        def search(self, queries, k):
            return [Ranking(query, self.found[:k], (0.0,) * k) for query in queries]

    ids = FusedRetriever([Fixed(first), Fixed(second)]).search(["?"], 6)[0].ids

    def score(i):
        return round(1 / (61 + first.index(i)) + 1 / (61 + second.index(i)), 12)

    assert [score(i) for i in fuse(first, second)] == [score(i) for i in ids]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3))))
def test_the_targets_of_the_exercise_are_those_of_the_tagger(words):
    tags = [tag for tag, _ in words]
    word_ids = [None, *(i for i, (_, n_tokens) in enumerate(words) for _ in range(n_tokens)), None]
    assert align_tags(word_ids, tags) == align(word_ids, tags)


def test_the_calibration_error_of_the_exercise_is_the_one_of_the_helper():
    answers = [[0.97, 0.03]] * 100
    error = calibration_error(answers, [0] * 84 + [1] * 16, n_bins=1).value
    assert error == pytest.approx(calibration_error_of_one_bin())


def test_the_weights_of_the_exercise_are_counted_as_the_library_does():
    matrix = torch.nn.Sequential(torch.nn.Linear(576, 1536, bias=False))
    assert n_trainable(get_peft_model(matrix, LoraConfig(r=8, target_modules=["0"]))) == n_weights_of_lora()


def test_a_leak_rate_without_replies_or_with_too_few_secrets_is_refused():
    with pytest.raises(ValueError, match="Expected at least one reply, got none"):
        leak_rate([], [])
    with pytest.raises(ValueError, match="shorter"):
        leak_rate(["a", "b"], ["a"])


@pytest.mark.parametrize("thing", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), torch.tensor([1, 2])])
def test_whatever_holds_a_row_is_read_as_a_list(thing):
    assert as_list(thing) == [1, 2]


@pytest.mark.parametrize("thing", ["12", b"12", {1, 2}, {1: 2}, iter([1, 2]), 12, np.array(12), np.ndarray, None])
def test_what_holds_no_row_is_no_list(thing):
    assert as_list(thing) is None


def test_the_exercises_of_all_lessons_are_joined_in_order():
    assert list(EXERCISES) == sorted([*READING, *VECTORS, *TUNING, *POSITIONS, *COMPARISON, *CHOICE])
    assert list(EXERCISES) == [f"{lesson:02}.{n}" for lesson in range(9) for n in (1, 2, 3)]


def test_a_learners_text_is_shown_as_text():
    assert "<script>" not in lesson.check("00.1", "<script>alert(1)</script>").data


def test_unknown_exercises_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"There is no exercise '99\.9'\. Those there are: 00\.1, "):
        lesson.check("99.9", 1)
