"""What does batching gain, and are the answers still the same?

`python -m helpers.benchmarks` answers the same questions one by one and in batches, in one run on one machine, and writes ratios and
counts to `data/results/benchmarks.json`. Answers may differ where two tokens are nearly tied (sums in another order round
differently); the gap in log-probability where they part is reported. Leaves out: absolute speed, which differs by machine.
"""

import json
import os
import sys
import time

import torch

from helpers import prompts, runtime
from helpers.answering import MAX_NEW_TOKENS, oracle_passages
from helpers.corpus import load_company, sample
from helpers.generation import BATCH_SIZE, Answer, Generator, Messages

N_QUESTIONS = 96
NEAR_TIE = 0.05  # nats


def timed(generator: Generator, asked: list[Messages], batch_size: int) -> tuple[list[Answer], float]:
    """Answers and seconds."""
    started = time.perf_counter()
    answers = generator.generate(asked, max_new_tokens=MAX_NEW_TOKENS, batch_size=batch_size)
    return answers, time.perf_counter() - started


@torch.inference_mode()
def gap_where_they_part(generator: Generator, messages: Messages, one: str, other: str) -> float:
    """Difference in log-probability (nats) of the two first tokens that differ, given what both answers share."""
    tokenizer = generator.tokenizer
    prompt = tokenizer(generator.render(messages), add_special_tokens=False)["input_ids"]
    ends = [tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] for text in (one, other)]
    shared = next(i for i, (a, b) in enumerate(zip(*ends, strict=False)) if a != b)
    logits = generator.model(torch.tensor([prompt + ends[0][:shared]]), logits_to_keep=1).logits[0, -1]
    log_probabilities = logits.log_softmax(dim=-1)
    return abs(float(log_probabilities[ends[0][shared]] - log_probabilities[ends[1][shared]]))


def compare(generator: Generator, asked: list[Messages]) -> dict:
    """Questions per second one by one and batched, their ratio, and how the answers differ."""
    generator.generate(asked[:2], max_new_tokens=2)  # warm up
    batched, batched_seconds = timed(generator, asked, BATCH_SIZE)
    single, single_seconds = timed(generator, asked, 1)
    different = [(m, a.text, b.text) for m, a, b in zip(asked, single, batched, strict=True) if a.text != b.text]
    gaps = [gap_where_they_part(generator, *parted) for parted in different]
    return {
        "n": len(asked),
        "batch_size": BATCH_SIZE,
        "one_by_one_per_second": round(len(asked) / single_seconds, 3),
        "batched_per_second": round(len(asked) / batched_seconds, 3),
        "ratio": round(single_seconds / batched_seconds, 2),
        "prompt_tokens": sum(a.n_prompt_tokens for a in single),
        "new_tokens": sum(a.n_new_tokens for a in single),
        "different_answers": len(different),
        "near_ties": sum(gap < NEAR_TIE for gap in gaps),
        "largest_gap_nats": round(max(gaps, default=0.0), 4),
    }


def main() -> int:
    """Measure both conditions, print and store them."""
    machine = runtime.start()
    company = load_company()
    questions = sample(company.of_kind("single_fact", split="wording"), N_QUESTIONS, seed=0)
    gold, generator = oracle_passages(company, questions), Generator()
    arms = {
        "closed book": [prompts.closed_book(q.question) for q in questions],
        "oracle": [prompts.with_passages(q.question, gold[q.id]) for q in questions],
    }
    row = {name: compare(generator, asked) for name, asked in arms.items()} | {"machine": runtime.machine_row(machine)}
    text = json.dumps(row, indent=1)
    folder = runtime.ROOT / "data/results" if not os.environ.get("WORKBOOK_RESULTS") else runtime.results_folder()
    (folder / "benchmarks.json").write_text(text + "\n", "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
