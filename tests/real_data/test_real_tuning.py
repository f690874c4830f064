"""The ladder of lesson 04 on data that nobody here wrote: what its own-data cells do, and the scores that come out (about eight minutes).

Run by naming a folder in WORKBOOK_REAL_DATA (see `test_real_labelled`); `-s` prints the scores. Published: logistic regression on the same
embeddings is right on 0.930 of Banking77.
"""

import pytest

from helpers.baselines import logistic
from helpers.embeddings import Embedder
from helpers.entity_baselines import Rules
from helpers.entity_scoring import f1
from helpers.labelled_trials import Trained, classify, tag, tuned_classifier, tuned_tagger
from helpers.own_labelled import load_labelled
from helpers.statistics import rate
from tests.real_data.test_real_labelled import REAL, SENTIMENT, WNUT


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


def accuracies(data):
    """Of logistic regression on frozen embeddings and of the tuned encoder."""
    frozen = Trained("logistic", lambda: logistic(Embedder(), data.train, data.dev), {"data": data.name})
    arms = {"logistic": frozen, "tuned": tuned_classifier(data.train, "full")}
    found = {name: rate(classify(arm, data.test).score) for name, arm in arms.items()}
    print(f"\n{data.name}: {found}")
    return found


def test_banking77():
    found = accuracies(load_labelled({part: REAL / f"banking77/{part}.csv" for part in ("train", "test")}))
    assert found["logistic"].value > 0.91 and found["tuned"].value > 0.91


@pytest.mark.parametrize("other", sorted(SENTIMENT))
def test_sentiment_of_a_domain_that_was_not_trained_on(other):
    found = accuracies(
        load_labelled({"train": [SENTIMENT[n] for n in sorted(SENTIMENT) if n != other], "test": SENTIMENT[other]})
    )
    assert found["tuned"].low > 0.75


def test_wnut17():
    data = load_labelled(WNUT)
    found = {}
    for name, arm in {
        "rules": Trained("rules", lambda: Rules(data.train), {"data": data.name}),
        "tuned": tuned_tagger(data.train, "full"),
    }.items():
        rows = tag(arm, data.test)
        found[name] = f1(rows.gold.tolist(), rows.found.tolist())
    print(f"\nwnut17: {found}")
    assert found["tuned"].low > found["rules"].high
