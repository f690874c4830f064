"""Does a follow-up question find its answer, when half of it was said before?

"And what does it cost?" tells a retriever next to nothing. So a follow-up is *rewritten*: all that was asked is put before it
(`with_history`, which needs no model), or the generator is asked to make it stand alone (`by_generator`). Floor: `as_typed`.
Ceiling: `standalone`, the question in full. Taught in `08_which_one_when`. Leaves out: dialogues that change their subject for
good, tuned rewriters, and questions that need an earlier answer to be looked up.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from helpers.answering import replies
from helpers.corpus import Corpus, Passage, Question
from helpers.generation import Generator, Messages
from helpers.scoring import find_tokens

REWRITE = "Rewrite the follow-up question so that it can be understood alone. Name what it is about."
SHOWN = (  # earlier questions with their answers, follow-up, rewriting; chosen on invented dialogues, none of them from the data
    (
        (("Who painted the door of the town library?", "Ruth"),),
        "And where does she live?",
        "Where does Ruth, who painted the door of the town library, live?",
    ),
    (
        (("How old is the cat Minka?", "4 years"), ("Does she bite?", "no")),
        "What about her food?",
        "What is the food of the cat Minka?",
    ),
    (
        (("Where does the night train to Vienna leave?", "platform 9"),),
        "And how long does it take?",
        "How long does the night train to Vienna take?",
    ),
)


@dataclass(frozen=True)
class FollowUp:
    """A question as it was typed, the earlier questions with their right answers, and what it means when it stands alone."""

    id: str
    question: Question
    history: tuple[tuple[str, str], ...]
    standalone: str


def follow_ups(corpus: Corpus, dialogues: Sequence[dict]) -> list[FollowUp]:
    """Every turn but the first of each dialogue (`corpus.load_dialogues`), unless it stands alone as typed.

    Gold are the passages of the turn's document that hold its answer at token boundaries, or, if none does, its first alias that
    stands in one. Raises `ValueError` naming the turns whose document holds no accepted answer.
    """
    passages: dict[str, list[Passage]] = defaultdict(list)
    for passage in corpus.passages:
        passages[passage.document_id].append(passage)
    made = [
        _follow_up(dialogue, place, passages)
        for dialogue in dialogues
        for place, turn in enumerate(dialogue["turns"])
        if place > 0 and turn["question"] != turn["standalone"]
    ]
    if lost := [f.id for f in made if not f.question.gold_ids]:
        raise ValueError(
            f"{len(lost)} of {len(made)} follow-ups have no accepted answer in their document in {corpus.name!r}: {lost[:5]}. "
            "Correct the answers, or leave these turns out."
        )
    return made


def _follow_up(dialogue: dict, place: int, passages: dict[str, list[Passage]]) -> FollowUp:
    *earlier, turn = dialogue["turns"][: place + 1]
    name, home = f"{dialogue['id']}-t{place + 1}", turn["document_id"]
    typed = (turn["question"], "follow_up", turn["answer"], tuple(turn["aliases"]))
    question = Question(name, *typed, document_ids=(home,), split="test")
    held = ([p.id for p in passages[home] if find_tokens(p.text, said) >= 0] for said in question.answers)
    question = replace(question, gold_ids=tuple(next(filter(None, held), [])))
    return FollowUp(name, question, tuple((t["question"], t["answer"]) for t in earlier), turn["standalone"])


def as_typed(asked: Sequence[FollowUp]) -> list[str]:
    """No rewriting: the floor."""
    return [f.question.question for f in asked]


def with_history(asked: Sequence[FollowUp]) -> list[str]:
    """All earlier questions of the dialogue, without their answers, then this one: the subject is carried over, and more than that."""
    return [" ".join([*(question for question, _ in f.history), f.question.question]) for f in asked]


def by_generator(generator: Generator, asked: Sequence[FollowUp]) -> list[str]:
    """What the generator makes of them in the light of the dialogue; as typed where it says nothing. Measured once (`replies`)."""
    rows = replies(generator, {"rewriting": {f.id: rewriting_prompt(f) for f in asked}})
    said = dict(zip(rows["item_id"], rows["prediction"], strict=True))
    return [said[f.id].strip() or f.question.question for f in asked]


def standalone(asked: Sequence[FollowUp]) -> list[str]:
    """The question in full, as the data has it: the ceiling."""
    return [f.standalone for f in asked]


def reworded(asked: Sequence[FollowUp], texts: Sequence[str]) -> list[Question]:
    """The follow-ups as questions in these words, one text each: what `answering` takes."""
    return [replace(f.question, question=text) for f, text in zip(asked, texts, strict=True)]


def rewriting_prompt(asked: FollowUp) -> Messages:
    """Chat messages that ask for one rewriting, after three examples as earlier turns of the chat."""
    turns = [{"role": "system", "content": REWRITE}]
    for history, typed, rewritten in SHOWN:
        turns.append({"role": "user", "content": _dialogue(history, typed)})
        turns.append({"role": "assistant", "content": rewritten})
    return [*turns, {"role": "user", "content": _dialogue(asked.history, asked.question.question)}]


def _dialogue(history: Sequence[tuple[str, str]], typed: str) -> str:
    said = [line for question, answer in history for line in (f"Question: {question}", f"Answer: {answer}")]
    return "\n".join([*said, f"Follow-up: {typed}"])
