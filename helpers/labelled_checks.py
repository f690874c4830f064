"""Can labelled data be learned from, and is its test a fair one?

Draws the parts that are missing, takes test texts out of training, and says what is wrong or odd. Used by `own_labelled`. Leaves out:
wrong labels, which no program sees.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from helpers.labelled import PARTS, LabelledText, TaggedSentence, labels_of, near_duplicates

Item = LabelledText | TaggedSentence
MIN_ITEMS = 20
MAX_LABELS = 200
TEST_STEP, DEV_STEP = 5, 10  # every fifth item for test, every tenth of the rest for dev
SEED = 0


def with_all_parts(parts: dict[str, Sequence[Item]]) -> dict[str, list[Item]]:
    """`parts` with a test and a dev part, drawn from train where there are none: labels in proportion, the same at every call."""
    train, test, dev = (list(parts.get(part, ())) for part in ("train", "test", "dev"))
    if "test" not in parts:
        train, test = _drawn_apart(train, TEST_STEP)
    if "dev" not in parts:
        train, dev = _drawn_apart(train, DEV_STEP)
    return {"train": train, "dev": dev, "test": test}


def _drawn_apart(items: list[Item], step: int) -> tuple[list[Item], list[Item]]:
    """The items without every `step`-th, and those, shuffled by a seed and sorted by label (sentences: by their rarest type)."""
    n = Counter(label for item in items for label in labels_of(item))
    order = random.Random(SEED).sample(range(len(items)), len(items))
    order.sort(key=lambda i: min(((n[label], label) for label in labels_of(items[i])), default=(0, "")))
    taken = set(order[step // 2 :: step])
    kept = [item for i, item in enumerate(items) if i not in taken]
    return kept, [items[i] for i in sorted(taken)]


def fold(item: Item) -> str:
    """The text without capitals and doubled blanks."""
    return " ".join(item.text.casefold().split())


def without_shared(parts: dict[str, list[Item]]) -> tuple[dict[str, list[Item]], list[str]]:
    """`parts` without the texts of a later part (train, dev, test) in an earlier one, and a note for each pair that shared some."""
    parts, notes = dict(parts), []
    for later, earlier in (("test", "train"), ("test", "dev"), ("dev", "train")):
        held = {fold(item) for item in parts[later]}
        kept = [item for item in parts[earlier] if fold(item) not in held]
        if n := len({fold(item) for item in parts[earlier]} & held):
            parts[earlier], gone = kept, len(parts[earlier]) - len(kept)
            notes.append(f"{earlier} and {later} share {n} texts: taken out of {earlier} ({gone} rows)")
    return parts, notes


def problems_of(parts: dict[str, list[Item]]) -> list[str]:
    """All reasons why nothing should be learned from these parts."""
    n = {part: Counter(label for item in parts[part] for label in labels_of(item)) for part in PARTS}
    total, n_items = n["train"] + n["dev"] + n["test"], sum(map(len, parts.values()))
    problems = [f"{part} has no rows" for part in PARTS if not parts[part]]
    if n_items < MIN_ITEMS:
        problems.append(f"{n_items} rows in all; expected at least {MIN_ITEMS} to learn from and to test on")
    if not total:
        problems.append("no sentence has an entity: every tag is O")
    elif len(total) == 1 and isinstance(next(i for items in parts.values() for i in items), LabelledText):
        problems.append(f"every text has the label {next(iter(total))!r}; expected at least 2 different ones")
    if len(total) > MAX_LABELS:
        shown = sorted(total)[:3]
        return [*problems, f"{len(total)} labels such as {shown}, at most {MAX_LABELS}: is this the right column?"]
    for part in ("dev", "test"):
        lacking = sorted(set(n[part]) - set(n["train"]))
        problems += [f"{part} has {label!r}, and train does not ({total[label]} in all)" for label in lacking]
    few = sorted(label for label, found in n["train"].items() if found < 2)
    advice = "give it more (5, if test and dev are drawn), join it with another label or leave it out"
    return problems + [f"{label!r} occurs once in train ({total[label]} in all): {advice}" for label in few]


def disputed(parts: dict[str, list[Item]]) -> list[str]:
    """A note if texts occur with different labels, in whatever part."""
    targets = defaultdict(set)
    for item in (item for items in parts.values() for item in items):
        targets[fold(item)].add(_target(item))
    torn = [text for text, found in targets.items() if len(found) > 1]
    return [f"{len(torn)} texts occur with different labels, such as {torn[0][:60]!r}"] if torn else []


def oddities_of(parts: dict[str, list[Item]]) -> list[str]:
    """What else the learner should know before believing a score."""
    train, test = parts["train"], parts["test"]
    repeated = len(train) - len({(item.text, _target(item)) for item in train})
    notes = [f"train has {repeated} exact duplicates"] * bool(repeated)
    pairs = near_duplicates([item.text for item in test], [item.text for item in train])
    near = list(dict.fromkeys(i for i, _ in pairs))
    if near:
        such = test[near[0]].text[:60]
        notes.append(f"{len(near)} test texts have a near-duplicate in train, such as {such!r}: scores may flatter")
    return notes + _imbalance(Counter(label for item in train for label in labels_of(item)))


def _target(item: Item) -> str | tuple[str, ...]:
    return item.label if isinstance(item, LabelledText) else item.tags


def _imbalance(n: Counter) -> list[str]:
    (large, most), (small, least) = max(n.items(), key=lambda x: x[1]), min(n.items(), key=lambda x: x[1])
    if len(n) < 2 or (most <= 10 * least and most <= 0.8 * n.total()):
        return []
    return [f"labels are uneven in train: {large!r} {most} times, {small!r} {least} times; look at every label's score"]
