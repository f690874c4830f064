"""Greedy decoding in batches: the same answers as one by one, in the order asked, from the real weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpus import Passage
from helpers.generation import Answer, Generator, batches_by_length, questions_per_second
from helpers.prompts import closed_book, with_passages

FACTS = [
    ("The Orlin pump weighs 41 kilograms.", "How much does the Orlin pump weigh?"),
    ("The office in Tarsk opens at nine in the morning.", "When does the office in Tarsk open?"),
    ("Refunds are paid within ten days. " * 6, "How long do refunds take?"),
    ("Mara Veldt has led the service team since 2019.", "Who leads the service team?"),
    ("The filter of the Brack 7 is green, its tank is grey and its lid is black.", "What colour is the lid?"),
    ("Error E-17 means that the inlet valve is blocked. Clean it. " * 3, "What does error E-17 mean?"),
]
PROMPTS = [with_passages(q, [Passage("p", "d", "", "", text)]) for text, q in FACTS]
NEAR_TIE = 0.01  # difference of logits below which rounding may decide


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@torch.inference_mode()
def next_logits(generator: Generator, ids: list[int]) -> torch.Tensor:
    """Logits [n_vocabulary] of the next token: plain transformers, no batch, no padding, no cache."""
    return generator.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def prompt_ids(generator: Generator, prompt: list[dict]) -> list[int]:
    return generator.tokenizer(generator.render(prompt), add_special_tokens=False)["input_ids"]


def is_near_tie(generator: Generator, prompt: list[dict], one: str, other: str) -> bool:
    """Whether two answers part at a token where the model itself can hardly choose."""
    a, b = (generator.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other))
    same = next(i for i in range(max(len(a), len(b))) if a[i : i + 1] != b[i : i + 1])
    best = next_logits(generator, prompt_ids(generator, prompt) + a[:same]).topk(2).values
    return float(best[0] - best[1]) < NEAR_TIE


@pytest.mark.weights
def test_the_prompt_is_the_chat_up_to_where_the_answer_begins(generator):
    text = generator.render(closed_book("Why?"))
    assert text.startswith("<|im_start|>system\n") and text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert f"<|im_start|>user\n{closed_book('Why?')[0]['content']}<|im_end|>" in text


@pytest.mark.weights
def test_what_is_read_is_answered(generator):
    (answer,) = generator.generate(PROMPTS[:1])
    assert "41" in answer.text
    assert answer.n_prompt_tokens == generator.n_tokens(PROMPTS[0]) == len(prompt_ids(generator, PROMPTS[0]))
    assert 1 <= answer.n_new_tokens <= 24


@pytest.mark.weights
def test_greedy_answers_equal_a_plain_loop_over_the_likeliest_token(generator):
    ids, new = prompt_ids(generator, PROMPTS[3]), []
    while len(new) < 12:
        new.append(int(next_logits(generator, ids + new).argmax()))
        if new[-1] in generator.stop_ids:
            break
    (answer,) = generator.generate([PROMPTS[3]], max_new_tokens=12)
    said = generator.tokenizer.decode([i for i in new if i not in generator.stop_ids]).strip()
    assert answer == Answer(said, len(ids), len(new))


@pytest.mark.weights
def test_batched_answers_equal_those_one_by_one_but_for_near_ties_and_come_in_the_order_asked(generator):
    together = generator.generate(PROMPTS, max_new_tokens=10)
    alone = generator.generate(PROMPTS, max_new_tokens=10, batch_size=1)
    assert [a.n_prompt_tokens for a in together] == [generator.n_tokens(p) for p in PROMPTS]
    differing = [i for i in range(len(PROMPTS)) if together[i].text != alone[i].text]
    assert all(is_near_tie(generator, PROMPTS[i], together[i].text, alone[i].text) for i in differing)
    assert len(differing) <= 1
    assert together == generator.generate(PROMPTS, max_new_tokens=10)  # the same call, the same answers


@pytest.mark.weights
def test_a_long_neighbour_pads_a_prompt_on_the_left_and_changes_nothing(generator):
    assert generator.tokenizer.padding_side == "left"
    long = with_passages("What is said here?", [Passage("p", "d", "", "", "Nothing is said here. " * 60)])
    alone, beside = generator.generate(PROMPTS[:1]), generator.generate([PROMPTS[0], long])
    assert beside[0] == alone[0] or is_near_tie(generator, PROMPTS[0], beside[0].text, alone[0].text)


@pytest.mark.weights
def test_an_answer_is_one_line(generator):
    asked = [{"role": "user", "content": "List four colours, one per line, each after a dash."}]
    (answer,) = generator.generate([asked], max_new_tokens=40)
    assert "\n" not in answer.text
    assert answer.n_new_tokens < 40
    texts = generator.tokenizer.batch_decode([[i] for i in generator.stop_ids])
    assert all(text.startswith("\n") or text == "<|im_end|>" for text in texts)
    assert {"\n", "\n\n", "<|im_end|>"} <= set(texts)


@pytest.mark.weights
def test_what_follows_the_first_stop_is_cut_off(generator):
    ids = generator.tokenizer("ten days\nmore", add_special_tokens=False)["input_ids"]
    assert generator._answer([1, 2, 3], ids).text == "ten days"
    assert generator._answer([1, 2, 3], generator.stop_ids[:1]) == Answer("", 3, 1)


@pytest.mark.weights
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_read(generator):
    question = "word " * 10_000
    said = r"A prompt of 1\d{4} tokens and an answer of 24 exceed the model's context of 8192 tokens. Use fewer"
    with pytest.raises(ValueError, match=said):
        generator.generate([PROMPTS[0], closed_book(question)])
    with pytest.raises(ValueError, match="exceed the model's context of 8192 tokens"):
        generator.option_log_likelihoods(closed_book(question), ["yes"])


@pytest.mark.weights
def test_nothing_to_answer_is_refused(generator):
    with pytest.raises(ValueError, match="Expected at least one prompt, got none"):
        generator.generate([])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        generator.generate(PROMPTS[:1], batch_size=0)
    with pytest.raises(ValueError, match="max_new_tokens"):
        generator.generate(PROMPTS[:1], max_new_tokens=0)


@torch.inference_mode()
def log_likelihood(generator: Generator, prompt: list[dict], option: str) -> float:
    """The definition: sum of log p(token | everything before it), unbatched."""
    ids = prompt_ids(generator, prompt)
    tail = generator.tokenizer(option, add_special_tokens=False)["input_ids"]
    rows = generator.model(input_ids=torch.tensor([ids + tail]), use_cache=False).logits[0].log_softmax(-1)
    return float(sum(rows[len(ids) + i - 1, token] for i, token in enumerate(tail)))


@pytest.mark.weights
def test_log_likelihoods_equal_the_plain_unbatched_computation(generator):
    options = ["41 kilograms", "7", "The Orlin pump weighs about as much as a small car.", " 41 kilograms "]
    found = generator.option_log_likelihoods(PROMPTS[0], options)
    expected = [log_likelihood(generator, PROMPTS[0], option.strip()) for option in options]
    assert found == pytest.approx(expected, abs=1e-3)
    assert found[0] == pytest.approx(found[3], abs=1e-3)
    assert max(found) < 0
    assert found[0] == pytest.approx(generator.option_log_likelihoods(PROMPTS[0], options[:1])[0], abs=1e-3)


@pytest.mark.weights
@pytest.mark.parametrize("options", [[], ["yes", " "], "yes"])
def test_options_must_be_a_list_of_texts(generator, options):
    with pytest.raises(ValueError, match="Expected a list of at least one option, none of them empty, got"):
        generator.option_log_likelihoods(PROMPTS[0], options)


def test_batches_of_similar_length_longest_first():
    assert batches_by_length("abcde", [3, 9, 1, 9, 4], 2) == [["b", "d"], ["e", "a"], ["c"]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 8))
def test_batches_are_a_partition(lengths, batch_size):
    batches = batches_by_length(range(len(lengths)), lengths, batch_size)
    flat = [i for batch in batches for i in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_a_rate_is_the_best_of_its_repeats():
    calls = []

    def run() -> list[int]:
        calls.append(1)
        return [1, 2, 3]

    assert questions_per_second(run, repeats=4) > 3
    assert len(calls) == 4


@pytest.mark.weights
def test_equal_prompts_are_answered_once(generator, monkeypatch):
    read = []
    answers = generator._answers
    monkeypatch.setattr(generator, "_answers", lambda ids, *rest: read.extend(ids) or answers(ids, *rest))
    one, other = closed_book("What is the capital of France?"), closed_book("Who are you?")
    said = generator.generate([one, other, one], max_new_tokens=4)
    assert said[0] == said[2] != said[1]
    assert len(read) == 2


@pytest.mark.weights
def test_an_answer_that_is_begun_is_gone_on_with(generator):
    begun = [
        *closed_book("What is the capital of France?"),
        {"role": "assistant", "content": "The capital of France is"},
    ]
    assert generator.render(begun).endswith("The capital of France is")
    assert generator.generate([begun], max_new_tokens=6)[0].text.startswith("Paris")
