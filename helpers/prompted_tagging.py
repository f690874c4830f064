"""How many entities does a generator find that is only asked, with a few examples?

It is shown sentences with their entities written out as "TYPE: words; TYPE: words", and writes the same for a new one; what then stands word
by word in the sentence is tagged. Taught in `04_fine_tuning_classifiers`. Leaves out: constrained decoding, which would keep it to
the form.
"""

from collections.abc import Sequence

from helpers.generation import Generator, Messages
from helpers.labelled import TaggedSentence, spans

MAX_NEW_TOKENS = 48
NONE = "none"


class PromptedTagger:
    """A generator asked for entities, after `n_shots` examples of `train` that hold the most different types."""

    def __init__(
        self,
        generator: Generator,
        train: Sequence[TaggedSentence],
        *,
        n_shots: int = 4,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        if not 0 < n_shots <= len(train):
            raise ValueError(f"Expected a number of examples from 1 to {len(train)}, got {n_shots}.")
        self.generator, self.max_new_tokens = generator, max_new_tokens
        self.shots = _richest(train, n_shots)
        self.types = sorted({kind for sentence in train for kind, _, _ in spans(sentence.tags)})

    def messages(self, words: Sequence[str]) -> Messages:
        """The chat that asks for the entities of one sentence."""
        turns = [{"role": "system", "content": f"List the entities of the sentence. Types: {', '.join(self.types)}."}]
        for shot in self.shots:
            turns.append({"role": "user", "content": " ".join(shot.tokens)})
            turns.append({"role": "assistant", "content": written_out(shot.tokens, shot.tags)})
        return [*turns, {"role": "user", "content": " ".join(words)}]

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        """One IOB2 tag a word. What the generator writes in another form, or about words that are not there, counts for nothing."""
        said = self.generator.generate(
            [self.messages(words) for words in sentences], max_new_tokens=self.max_new_tokens
        )
        return [read_back(answer.text, words, self.types) for answer, words in zip(said, sentences, strict=True)]


def written_out(words: Sequence[str], tags: Sequence[str]) -> str:
    """The entities in words.

    >>> written_out(["Orlin", "shows", "E", "9"], ["B-PRODUCT", "O", "B-ERROR_CODE", "I-ERROR_CODE"])
    'PRODUCT: Orlin; ERROR_CODE: E 9'
    """
    return "; ".join(f"{kind}: {' '.join(words[a:b])}" for kind, a, b in spans(tags)) or NONE


def read_back(text: str, words: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
    """The tags of what `text` lists, each at its first free place in the sentence, without regard to case.

    >>> read_back("PRODUCT: orlin; SITE: Mars; nonsense", ["Orlin", "shows"], ["PRODUCT", "SITE"])
    ('B-PRODUCT', 'O')
    """
    tags, folded = ["O"] * len(words), [word.casefold() for word in words]
    for part in text.split(";"):
        kind, _, name = (piece.strip() for piece in part.partition(":"))
        wanted = name.casefold().split()
        places = range(len(words) - len(wanted) + 1) if wanted and kind in types else ()
        free = (i for i in places if folded[i : i + len(wanted)] == wanted and set(tags[i : i + len(wanted)]) == {"O"})
        if (first := next(free, None)) is not None:
            tags[first : first + len(wanted)] = [f"B-{kind}", *[f"I-{kind}"] * (len(wanted) - 1)]
    return tuple(tags)


def _richest(train: Sequence[TaggedSentence], n: int) -> list[TaggedSentence]:
    """The first `n` sentences, each the one that adds most types to those shown; of equals the shortest."""
    shown: set[str] = set()
    chosen: list[TaggedSentence] = []
    for _ in range(n):
        rest = [sentence for sentence in train if sentence not in chosen]
        kinds = {sentence.id: {kind for kind, _, _ in spans(sentence.tags)} for sentence in rest}
        best = min(rest, key=lambda sentence: (-len(kinds[sentence.id] - shown), len(sentence.tokens)))
        chosen.append(best)
        shown |= kinds[best.id]
    return chosen
