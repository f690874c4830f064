"""The promises that the labelled sets make: see data/README.md. Every failure names the offending ids."""

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

from helpers.corpus import read_jsonl
from helpers.labelled import (
    ENTITIES,
    PARTS,
    REVIEWS,
    Labelled,
    LabelledText,
    TaggedSentence,
    entities,
    is_seen,
    load_entities,
    load_reviews,
    near_duplicates,
    spans,
)

DIVISIONS = ("water", "air", "kitchen", "garden", "cloud")
PAIRED = ("garden", "cloud")  # reviews of these were written in pairs: lines 1 and 2, 3 and 4, …
PHENOMENA = ("plain", "negation", "mixed", "sarcasm", "domain")
REGISTERS = {"shop review", "forum", "email", "chat", "social", "phone note"}
FIELDS = ["id", "text", "label", "phenomenon", "difficulty", "register", "split"]
TYPES = ("ERROR_CODE", "ORDER", "PART", "PRODUCT", "SITE", "SUPPLIER", "VERSION")
MARKED = re.compile(r"\{([A-Z_]+) ([^{}]+)\}")


@pytest.fixture(scope="module")
def reviews() -> Labelled:
    return load_reviews()


@pytest.fixture(scope="module")
def notes() -> Labelled:
    return load_entities()


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return read_jsonl(REVIEWS)


@pytest.fixture(scope="module")
def marked() -> dict[str, str]:
    """The sentences as they were written, entities between braces, by id."""
    text = "\n".join((ENTITIES / f"{part}.conll").read_text("utf-8") for part in PARTS)
    return dict(re.findall(r"^# id = (.+)\n# text = (.+)$", text, re.M))


def none(problems: Iterable) -> None:
    """Fail unless there are none, listing all."""
    __tracebackhide__ = True
    if listed := [str(problem) for problem in problems]:
        pytest.fail(f"{len(listed)} offend:\n" + "\n".join(listed))


def every(data: Labelled) -> list:
    return [*data.train, *data.dev, *data.test]


def written_together(left: Iterable, right: Iterable, threshold: float = 0.9) -> list[str]:
    left, right = list(left), list(right)
    pairs = near_duplicates([x.text for x in left], [x.text for x in right], threshold=threshold)
    return [f"{left[i].id} and {right[j].id}: {left[i].text}" for i, j in pairs if left[i].id != right[j].id]


# both sets


@pytest.fixture(params=["reviews", "notes"])
def data(request: pytest.FixtureRequest) -> Labelled:
    return request.getfixturevalue(request.param)


def test_no_text_and_no_id_occurs_twice(data):
    items = every(data)
    none(text for text, n in Counter(" ".join(x.text.casefold().split()) for x in items).items() if n > 1)
    none(name for name, n in Counter(x.id for x in items).items() if n > 1)


def test_no_test_or_dev_text_is_nearly_a_training_text(data):
    none(written_together(data.test, [*data.train, *data.dev]))
    none(written_together(data.dev, data.train))


def test_texts_that_share_two_words_of_three_are_few_and_listed(data):
    pairs = written_together(every(data), every(data), threshold=2 / 3)
    if pairs:
        warnings.warn(f"{len(pairs) // 2} pairs of {data.name} are much alike: {pairs}", stacklevel=1)
    assert len(pairs) <= 10, pairs


def test_labels_stand_in_every_part(data):
    for part in (data.train, data.dev, data.test):
        found = {label for x in part for label in ([x.label] if isinstance(x, LabelledText) else dict(entities(x)))}
        assert sorted(found) == list(data.labels)


# reviews


def test_there_are_enough_reviews(reviews):
    assert [len(reviews.train), len(reviews.dev), len(reviews.test)] == [1000, 200, 600]
    assert reviews.labels == ("negative", "positive")


def test_every_row_has_its_fields_with_known_values(rows):
    none(row for row in rows if list(row) != FIELDS or row["split"] not in PARTS)
    known = (("label", {"positive", "negative"}), ("phenomenon", {*PHENOMENA}), ("difficulty", {1, 2, 3}))
    none((row["id"], field) for row in rows for field, values in known if row[field] not in values)
    none(row["id"] for row in rows if row["register"] not in REGISTERS)
    none(row["id"] for row in rows if row["text"] != " ".join(row["text"].split()))
    none(row["id"] for row in rows if not re.fullmatch(rf"({'|'.join(DIVISIONS)})-r\d{{3}}", row["id"]))


@pytest.mark.parametrize(("part", "n"), [("train", 20), ("dev", 4), ("test", 12)])
def test_every_division_phenomenon_and_label_is_as_frequent_in_every_part(rows, part, n):
    found = Counter((r["id"].split("-")[0], r["phenomenon"], r["label"]) for r in rows if r["split"] == part)
    assert len(found) == len(DIVISIONS) * len(PHENOMENA) * 2
    none(f"{cell}: {count}, expected {n}" for cell, count in found.items() if count != n)


def test_every_register_has_both_labels_in_every_part(rows):
    found = Counter((r["split"], r["register"], r["label"]) for r in rows)
    assert len(found) == len(PARTS) * len(REGISTERS) * 2
    for part, register in {(part, register) for part, register, _ in found}:
        assert (
            0.3
            <= found[part, register, "positive"]
            / (found[part, register, "positive"] + found[part, register, "negative"])
            <= 0.7
        ), (part, register)


def test_reviews_that_were_written_in_pairs_stay_in_one_part(rows):
    part = {row["id"]: row["split"] for row in rows}
    pairs = [(f"{d}-r{k:03}", f"{d}-r{k + 1:03}") for d in PAIRED for k in range(1, 360, 2)]
    assert len(pairs) == 360
    none((a, b) for a, b in pairs if part[a] != part[b])
    label = {row["id"]: row["label"] for row in rows}
    assert sum(label[a] != label[b] for a, b in pairs) >= 358


def test_reviews_have_the_promised_lengths(reviews):
    n = [len(review.text.split()) for review in every(reviews)]
    assert min(n) >= 4 and max(n) <= 80
    for low, high in ((0, 14), (15, 35), (36, 80)):
        assert 0.25 <= sum(low <= words <= high for words in n) / len(n) <= 0.42


def test_the_length_of_a_review_hardly_tells_its_label(reviews):
    n = defaultdict(list)
    for review in every(reviews):
        n[review.label].append(len(review.text.split()))
    means = {label: sum(found) / len(found) for label, found in n.items()}
    assert abs(means["positive"] - means["negative"]) < 3, means


# entities


def recovered(sentence: TaggedSentence) -> list[tuple[str, str]]:
    """Type and text of every entity without blanks: tokenising may only add blanks."""
    return [(kind, "".join(sentence.tokens[a:b])) for kind, a, b in spans(sentence.tags)]


def test_there_are_enough_sentences_and_types(notes):
    assert [len(notes.train), len(notes.dev), len(notes.test)] == [820, 100, 400]
    assert notes.labels == TYPES


def test_every_tagged_spans_text_is_recovered(notes, marked):
    assert len(marked) == 1320
    for sentence in every(notes):
        written = [(kind, text.replace(" ", "")) for kind, text in MARKED.findall(marked[sentence.id])]
        assert recovered(sentence) == written, sentence.id


def test_tokens_are_the_words_as_written_in_their_order(notes, marked):
    for sentence in every(notes):
        plain = MARKED.sub(r"\2", marked[sentence.id])
        assert "".join(sentence.tokens) == plain.replace(" ", ""), sentence.id
        words = sentence.text.split()
        assert list(sentence.tokens) == words, sentence.id  # no blanks within tokens


def test_codes_stay_whole_and_punctuation_is_split_off(notes):
    tokens = {token for sentence in every(notes) for token in sentence.tokens}
    assert {"E-17", "v6.4.1", "OT-88401", "40-1193", "don't", "non-return", "'s", ",", '"', "a.m.", "4,000"} <= tokens
    single = re.compile(r"[.,;:!?)\"'(]")
    odd = [t for t in tokens if len(t) > 1 and (single.match(t) or single.match(t[-1]))]
    assert sorted(odd) == ["'s", "S.A.", "a.m."]


def test_tags_are_valid_iob2_of_known_types(notes):
    for sentence in every(notes):
        assert len(sentence.tokens) == len(sentence.tags) > 0
        before = "O"
        for tag in sentence.tags:
            assert tag == "O" or tag[:2] in ("B-", "I-") and tag[2:] in TYPES, (sentence.id, tag)
            assert not tag.startswith("I-") or before[1:] == tag[1:], (sentence.id, tag)
            before = tag


def test_files_are_utf8_with_one_blank_line_after_each_sentence():
    for part in PARTS:
        content = (ENTITIES / f"{part}.conll").read_bytes()
        assert b"\r" not in content and not content.startswith(b"\xef\xbb\xbf")
        blocks = content.decode("utf-8").removesuffix("\n\n").split("\n\n")
        none(b[:60] for b in blocks if not re.fullmatch(r"# id = e\d{4}\n# text = .+(\n\S+\t\S+)+", b))


def test_ids_go_through_and_stand_in_order(notes):
    ids = [[sentence.id for sentence in part] for part in (notes.train, notes.dev, notes.test)]
    assert all(found == sorted(found) for found in ids)
    assert sorted(sum(ids, [])) == [f"e{i:04}" for i in range(1, 1321)]


def test_a_seventh_of_the_sentences_has_no_entity_in_every_part(notes):
    for part in (notes.train, notes.dev, notes.test):
        assert 0.12 <= sum(not entities(s) for s in part) / len(part) <= 0.17


def test_every_type_is_as_frequent_in_test_as_in_all(notes):
    share = [
        Counter(kind for sentence in sentences for kind, _ in entities(sentence))
        for sentences in (notes.test, every(notes))
    ]
    for kind in TYPES:
        in_test, in_all = (found[kind] / found.total() for found in share)
        assert in_test == pytest.approx(in_all, abs=0.01), kind


def test_over_a_third_of_the_test_entities_have_a_form_that_training_never_tags(notes):
    seen = [flag for flags in is_seen(notes.test, notes.train) for flag in flags]
    assert len(seen) >= 900
    assert 0.28 <= seen.count(False) / len(seen) <= 0.40


def test_every_type_has_seen_and_unseen_entities_in_test(notes):
    found = Counter()
    for sentence, flags in zip(notes.test, is_seen(notes.test, notes.train), strict=True):
        found.update((kind, flag) for (kind, _), flag in zip(entities(sentence), flags, strict=True))
    least = {kind: min(found[kind, True], found[kind, False]) for kind in TYPES}
    assert least.pop("ORDER") >= 5  # nearly every order number occurs once
    assert min(least.values()) >= 25, least
    for kind in ("PRODUCT", "SITE", "SUPPLIER"):
        assert 0.2 <= found[kind, False] / (found[kind, True] + found[kind, False]) <= 0.4, kind
