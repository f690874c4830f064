"""Labelled data that nobody here wrote loads by one call; run by naming a folder with it in WORKBOOK_REAL_DATA.

Banking77 (Casanueva et al. 2020, CC BY 4.0) as `banking77/train.csv` and `test.csv`; the sentiment sentences of Kotzias et al. 2015 as
`uci_sentiment/*_labelled.txt`; WNUT 2017's emerging entities (Derczynski et al. 2017, CC BY 4.0) as `wnut17/`.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from helpers.labelled import Labelled, is_seen, labels_of
from helpers.own_labelled import load_labelled

REAL = Path(os.environ.get("WORKBOOK_REAL_DATA", "real data, named by WORKBOOK_REAL_DATA,"))
SENTIMENT = {name: REAL / f"uci_sentiment/{name}_labelled.txt" for name in ("amazon_cells", "imdb", "yelp")}
WNUT = {
    "train": REAL / "wnut17/wnut17train.conll",
    "dev": REAL / "wnut17/emerging.dev.conll",
    "test": REAL / "wnut17/emerging.test.annotated",
}


def sizes(data: Labelled) -> list[int]:
    return [len(data.train), len(data.dev), len(data.test)]


def test_banking77_has_its_77_intents_and_keeps_its_test():
    data = load_labelled({part: REAL / f"banking77/{part}.csv" for part in ("train", "test")})
    assert (len(data.labels), len(data.test)) == (77, 3080)
    assert set(Counter(item.label for item in data.test).values()) == {40}
    assert sizes(data) == [10_003 - 1_000 - 7 - 1, 1_000, 3_080]  # less dev, and what train shares with the others
    assert data.notes[:2] == (
        "train and test share 7 texts: taken out of train (7 rows)",
        "train and dev share 1 texts: taken out of train (1 rows)",
    )
    assert "103 test texts have a near-duplicate in train" in data.notes[-1]


def test_banking77_without_its_test_is_split_by_intent():
    data = load_labelled(REAL / "banking77/train.csv")
    assert len(data.labels) == 77 and len(data.test) == 2_001
    n_all = Counter(item.label for item in (*data.train, *data.dev, *data.test))
    n_test = Counter(item.label for item in data.test)
    assert all(abs(n_test[label] - n / 5) <= 1 for label, n in n_all.items())


@pytest.mark.parametrize("held", SENTIMENT)
def test_two_sources_of_sentiment_train_and_the_third_tests(held):
    """Each has 1,000 lines, half of each label, though U+0085 stands within some of them."""
    data = load_labelled({"train": [path for name, path in SENTIMENT.items() if name != held], "test": SENTIMENT[held]})
    assert data.labels == ("0", "1") and len(data.dev) == 200
    assert Counter(item.label for item in data.test) == {"0": 500, "1": 500}
    assert 1_790 <= len(data.train) <= 1_800  # a few short ones are in several


def test_wnut17_has_its_sentences_and_its_six_types():
    data = load_labelled(WNUT)
    assert sizes(data) == [3_394, 1_009, 1_287]
    assert data.labels == ("corporation", "creative-work", "group", "location", "person", "product")
    assert [sum(len(labels_of(s)) for s in part) for part in (data.train, data.dev, data.test)] == [1_975, 836, 1_079]
    assert not any("share" in note for note in data.notes)


def test_most_of_wnut17s_test_entities_are_unseen_as_its_authors_intended():
    data = load_labelled(WNUT)
    seen = [flag for flags in is_seen(data.test, data.train) for flag in flags]
    assert seen.count(False) / len(seen) > 0.9
