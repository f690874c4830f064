"""All facts are asked for, and each is looked for by its place."""

import pandas as pd
import pytest

from helpers.experiments import check_rows
from helpers.generation import Answer, Generator
from helpers.listing import BEGUN, draw_notes, in_order, list_all, middle_minus_outer, request
from helpers.scoring import find_tokens


class Says:
    """A generator for tests: it lists the towns at these places."""

    name = "says"

    def __init__(self, places: list[int], notes: list) -> None:
        self.places, self.known = places, {request(n)[0]["content"]: n for n in notes}

    def over_lines(self):
        return self

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        towns = [self.known[prompt[0]["content"]].towns for prompt in prompts]
        return [Answer(", ".join(some[i] for i in self.places), 9, 9) for some in towns]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


def test_notes_name_their_towns_in_order_once_and_no_other():
    for notes in draw_notes(30, 9, seed=0):
        lines = notes.text.split("\n\n")
        assert len(set(notes.towns)) == len(lines) == 9
        for place, town in enumerate(notes.towns):
            assert [i for i, line in enumerate(lines) if find_tokens(line, town) >= 0] == [place]


def test_notes_are_the_same_for_the_same_seed_and_nested_in_number():
    assert draw_notes(5, 9, seed=0) == draw_notes(8, 9, seed=0)[:5] != draw_notes(5, 9, seed=1)


@pytest.mark.parametrize("n", [2, 99])
def test_too_few_or_too_many_facts_are_refused(n):
    with pytest.raises(ValueError, match=rf"from 3 to 30 facts a context, got {n}"):
        draw_notes(1, n, seed=0)
    with pytest.raises(ValueError, match="at least one context"):
        list_all(Says([], []), [])


def test_the_reply_is_begun_as_a_list():
    assert request(draw_notes(1, 3, seed=0)[0])[-1] == {"role": "assistant", "content": BEGUN}


def test_recall_and_order_by_hand():
    notes = draw_notes(4, 9, seed=0)
    rows = list_all(Says([8, 0, 1], notes), notes)
    check_rows(rows, n=36, scores="recalled")
    assert rows.groupby("position").recalled.mean().tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert middle_minus_outer(rows, seed=0).value == pytest.approx(-0.5)
    assert in_order(rows) == pytest.approx([-1 / 3] * 4)  # of three pairs, one in order


def test_a_list_of_one_town_has_no_order_and_a_complete_one_has():
    notes, others = draw_notes(2, 6, seed=0), draw_notes(2, 6, seed=1)
    assert in_order(list_all(Says([2], notes), notes)) == []
    assert in_order(list_all(Says([0, 1, 2, 3, 4, 5], others), others)) == pytest.approx([1, 1])


@pytest.mark.weights
def test_the_model_lists_towns_of_the_context_and_hardly_any_other():
    notes = draw_notes(6, 6, seed=0)
    rows = list_all(Generator(), notes)
    others = pd.Series(
        [float(find_tokens(rows.prediction[i * 6], t) >= 0) for i in range(6) for t in notes[i - 1].towns]
    )
    assert rows.recalled.mean() > 0.4 > others.mean()
