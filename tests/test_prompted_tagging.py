"""A generator asked for entities: what it is shown, and how its answer becomes tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.generation import Generator
from helpers.labelled import TaggedSentence, as_iob2
from helpers.prompted_tagging import PromptedTagger, read_back, written_out

TYPES = ["PART", "SITE"]
TRAIN = [
    TaggedSentence("a", ("Lift", "the", "lid", "in", "Tarsk", "."), ("O", "O", "B-PART", "O", "B-SITE", "O")),
    TaggedSentence("b", ("Good", "morning", "."), ("O", "O", "O")),
    TaggedSentence("c", ("The", "pump", "leaks", "."), ("O", "B-PART", "O", "O")),
]


@given(st.lists(st.sampled_from(["O", "B-PART", "I-PART", "B-SITE"]), min_size=1, max_size=8))
def test_what_is_written_out_is_read_back(tags):
    words, strict = [f"w{i}" for i in range(len(tags))], as_iob2(tags)
    assert read_back(written_out(words, strict), words, TYPES) == strict


@pytest.mark.parametrize(
    "text", ["none", "", "PART", "PART:", "PART: the moon", "COLOUR: pump", ";;:;", "The part is the pump."]
)
def test_what_is_not_in_the_form_or_not_in_the_sentence_counts_for_nothing(text):
    assert read_back(text, ["the", "pump"], TYPES) == ("O", "O")


def test_the_examples_hold_as_many_types_as_can_be():
    tagger = PromptedTagger(None, TRAIN, n_shots=1)
    assert tagger.messages(["Hello"])[2]["content"] == "PART: lid; SITE: Tarsk"


def test_more_examples_than_there_are_is_refused():
    with pytest.raises(ValueError, match="from 1 to 3"):
        PromptedTagger(None, TRAIN, n_shots=4)


@pytest.mark.weights
def test_the_generator_answers_for_every_word():
    tags = PromptedTagger(Generator(), TRAIN, n_shots=3).tags([("The", "lid", "in", "Tarsk"), ("Hi",)])
    assert list(map(len, tags)) == [4, 1] and {tag for row in tags for tag in row} <= {
        "O",
        "B-PART",
        "I-PART",
        "B-SITE",
        "I-SITE",
    }
