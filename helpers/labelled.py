"""What does a classifier or a tagger learn from, and what is it tested on?

Records for labelled texts and for sentences with tagged entities, the workbook's own two sets, the spans that tags stand for, and which
entities of a test set training has shown. Taught in `04_fine_tuning_classifiers`. A learner's own labelled data is read by
`own_labelled`. Leaves out: nested entities, texts with several labels.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.corpus import read_jsonl
from helpers.runtime import ROOT

REVIEWS = ROOT / "data/reviews/reviews.jsonl"
ENTITIES = ROOT / "data/entities"
PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class LabelledText:
    """A text and its one label. The reviews also tell what makes them hard (`phenomenon`; `difficulty` 1 to 3), and their register."""

    id: str
    text: str
    label: str
    phenomenon: str = ""
    register: str = ""
    difficulty: int = 0


@dataclass(frozen=True)
class TaggedSentence:
    """Tokens and as many tags in IOB2: `B-PRODUCT` begins an entity, `I-PRODUCT` goes on with it, `O` is outside."""

    id: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The tokens between blanks."""
        return " ".join(self.tokens)


@dataclass(frozen=True)
class Labelled:
    """Items to learn from, to choose settings by and to test on, all of one kind. `labels` are sorted; of sentences: the entity types."""

    name: str
    train: tuple[LabelledText, ...] | tuple[TaggedSentence, ...]
    dev: tuple[LabelledText, ...] | tuple[TaggedSentence, ...]
    test: tuple[LabelledText, ...] | tuple[TaggedSentence, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_reviews() -> Labelled:
    """The invented reviews of `data/reviews/`, positive or negative."""
    parts: dict[str, list[LabelledText]] = {part: [] for part in PARTS}
    for row in read_jsonl(REVIEWS):
        parts[row.pop("split")].append(LabelledText(**row))
    return make_labelled("Ondravelle's reviews", parts)


def load_entities() -> Labelled:
    """The invented sentences of `data/entities/` with seven types of entities."""
    blocks = {part: (ENTITIES / f"{part}.conll").read_text("utf-8").strip().split("\n\n") for part in PARTS}
    return make_labelled("Ondravelle's notes", {part: [_sentence(b) for b in found] for part, found in blocks.items()})


def _sentence(block: str) -> TaggedSentence:
    """A block of our own files: two lines of comment (id and text), then a token and its tag a line."""
    name, _text, *rows = block.split("\n")
    tokens, tags = zip(*(row.split("\t") for row in rows), strict=True)
    return TaggedSentence(name.removeprefix("# id = "), tokens, tags)


def make_labelled(name: str, parts: dict[str, list], *, notes: Sequence[str] = ()) -> Labelled:
    """The set made of `parts` (train, dev, test), with the labels that occur in any of them."""
    labels = sorted({label for items in parts.values() for item in items for label in labels_of(item)})
    return Labelled(name, *(tuple(parts[part]) for part in PARTS), tuple(labels), tuple(notes))


def labels_of(item: LabelledText | TaggedSentence) -> list[str]:
    """A text's one label, or the type of each entity of a sentence."""
    return [item.label] if isinstance(item, LabelledText) else [kind for kind, _, _ in spans(item.tags)]


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities that tags stand for: type, first token, one past the last. A stray `I-` begins one, as in seqeval's default mode.

    >>> spans(["B-PART", "I-PART", "O", "I-SITE", "B-SITE"])
    [('PART', 0, 2), ('SITE', 3, 4), ('SITE', 4, 5)]
    """
    found: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and found and (found[-1][0], found[-1][2]) == (kind, place):
            found[-1] = (kind, found[-1][1], place + 1)
        elif prefix != "O":
            found.append((kind, place, place + 1))
    return found


def as_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities in strict IOB2, where each begins with `B-`.

    >>> as_iob2(["I-PART", "I-PART", "I-SITE"])
    ('B-PART', 'I-PART', 'B-SITE')
    """
    strict = ["O"] * len(tags)
    for kind, first, end in spans(tags):
        strict[first:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - first - 1)]
    return tuple(strict)


def entities(sentence: TaggedSentence) -> list[tuple[str, str]]:
    """Type and surface form (case folded, between blanks) of each entity, in the order of `spans`."""
    return [(kind, " ".join(sentence.tokens[a:b]).casefold()) for kind, a, b in spans(sentence.tags)]


def is_seen(sentences: Sequence[TaggedSentence], train: Sequence[TaggedSentence]) -> list[tuple[bool, ...]]:
    """For each sentence, and each of its entities in the order of `spans`: does `train` tag that form, case folded, with that type?

    >>> sentence = TaggedSentence("s", ("an", "Orlin", "in", "Orlin"), ("O", "B-PRODUCT", "O", "B-SITE"))
    >>> is_seen([sentence], [TaggedSentence("t", ("orlin",), ("B-PRODUCT",))])
    [(True, False)]
    """
    known = {entity for sentence in train for entity in entities(sentence)}
    return [tuple(entity in known for entity in entities(sentence)) for sentence in sentences]


def near_duplicates(left: Sequence[str], right: Sequence[str], *, threshold: float = 0.9) -> list[tuple[int, int]]:
    """Places in `left` and `right` of the texts whose sets of words (case folded) have at least this Jaccard similarity.

    Such sets share one of their rarest words, so only texts that do are compared (prefix filtering: Chaudhuri, Ganti and Kaushik,
    "A primitive operator for similarity joins in data cleaning", ICDE 2006).

    >>> near_duplicates(["Send it back!", "no"], ["It ran.", "it: SEND back"])
    [(0, 1)]
    """
    sets = [[set(re.findall(r"\w+", text.casefold())) for text in texts] for texts in (left, right)]
    n_texts = Counter(word for side in sets for words in side for word in words)

    def rarest(words: set[str]) -> list[str]:
        n = len(words) - math.ceil(threshold * len(words) - 1e-9) + 1
        return sorted(words, key=lambda word: (n_texts[word], word))[:n]

    having: dict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(sets[1]):
        for word in rarest(words):
            having[word].append(place)
    found = []
    for place, words in enumerate(sets[0]):
        near = {other for word in rarest(words) for other in having[word]}
        found += [(place, i) for i in sorted(near) if len(words & sets[1][i]) >= threshold * len(words | sets[1][i])]
    return found
