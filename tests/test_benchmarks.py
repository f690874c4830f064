"""The comparison of batched and one-by-one decoding, on a few real prompts."""

import pytest

from helpers import prompts
from helpers.benchmarks import NEAR_TIE, compare, gap_where_they_part
from helpers.generation import Generator

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


def test_a_comparison_counts_what_it_says(generator):
    asked = [prompts.closed_book(q) for q in ("What is the capital of France?", "Who wrote Hamlet?", "Name a colour.")]
    found = compare(generator, asked)
    assert found["n"] == 3 and found["ratio"] > 0
    assert found["prompt_tokens"] == sum(generator.n_tokens(messages) for messages in asked)
    assert found["different_answers"] >= found["near_ties"]
    assert (found["largest_gap_nats"] >= NEAR_TIE) == (found["different_answers"] > found["near_ties"])


def test_the_gap_is_large_where_answers_part_for_a_reason_and_none_for_the_same_token(generator):
    messages = prompts.closed_book("What is the capital of France?")
    gap = gap_where_they_part(
        generator, messages, "The capital of France is Paris.", "The capital of France is cheese."
    )
    assert gap > 2
