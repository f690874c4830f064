"""A sentence is supported when its cited passage says it, by a rule whose limits are listed here."""

import pandas as pd
import pytest

from helpers.corpus import Corpus, Document, Passage, load_company
from helpers.failures import Citer
from helpers.generation import Answer, Generator
from helpers.reports import (
    MAX_NEW_TOKENS,
    Topic,
    check,
    report_prompt,
    sentences,
    supported,
    topics,
    write_reports,
)

FILTER = Passage(
    "f#1",
    "f",
    "Taveller filter",
    "Care",
    "The Taveller's cartridge lasts 1,340 litres, which takes about nine months. The Taveller does not remove nitrate. "
    "Denture tablets must not be used on its tap. The ring glows cerise when it is spent. Below -5 degrees it mustn't run. "
    "The Osgrith softener, made in Kelderby, takes away limescale.",
)
PUMP = Passage("p#1", "p", "Orlin pump", "Weight", "The Orlin pump weighs 41 kilograms. It was built in Tarsk.")
TOPICS = [Topic("f", "Taveller filter", (FILTER,)), Topic("p", "Orlin pump", (PUMP,))]

SUPPORTED = [
    "The Taveller's cartridge lasts 1,340 litres, which takes about nine months.",
    "A cartridge of the Taveller lasts 1340 litres.",
    "CARTRIDGES last 1,340 litres.",
    "It lasts about 9 months.",
    "The Taveller doesn't remove nitrate.",
    "Denture tablets are never used on the tap.",
    "Nitrate isn't something that it removes, but limescale goes.",
    "The ring glows cerise once the cartridge is spent.",
    "The ring is glowing cerise, which shows one spent cartridge.",  # all but one content word
    "It mustn't run below minus 5 degrees.",
]
UNSUPPORTED = {
    "The Taveller's cartridge lasts 1,430 litres.": "changed number",
    "The cartridge lasts 340 litres.": "part of a number",
    "It takes ninety months.": "changed number in words",
    "It lasts 10 months.": "changed number in figures",
    "The Quillhame's cartridge lasts 1,340 litres.": "swapped name",
    "In Vessany, the Osgrith takes away limescale.": "swapped place",
    "The Taveller does remove nitrate.": "negation left out",
    "Denture tablets must be used on the tap.": "negation left out",
    "The ring never glows cerise.": "negation put in",
    "No ring glows.": "negation put in",
    "The Taveller does not take away limescale.": "negation moved",
    "Below 5 degrees it mustn't run.": "sign left out",
    "The Taveller's cartridge lasts 1,340 litres and weighs 41 kilograms.": "facts of two passages, a number",
    "The ring of the Orlin glows cerise.": "facts of two passages, a name",
    "It has a beautiful modern design that everybody will love.": "invented",
    "The ring glows, sings, dances, jumps and blinks.": "mostly invented",
    "It is what it is.": "says nothing",
    "": "says nothing",
}
BLIND = [  # wrong, and yet supported by this rule
    "The Osgrith softener does not remove nitrate.",  # names of one passage swapped
    "The Taveller, made in Kelderby, takes away limescale.",  # its facts mixed up
    "Quillhame cartridges last 1,340 litres in about nine months.",  # a name in first place is only one word of many
    "The ring stops to glow cerise when it is spent.",  # one word turns the sense
]
TOO_STRICT = [  # right, and yet not supported by this rule
    "The Taveller does not take away nitrate.",  # other words for what is denied
    "Used cartridges reveal themselves by a reddish light.",  # all in other words
]


@pytest.mark.parametrize("sentence", SUPPORTED)
def test_what_the_passage_says_is_supported(sentence):
    assert supported(sentence, FILTER)


@pytest.mark.parametrize(("sentence", "why"), UNSUPPORTED.items())
def test_what_it_does_not_say_is_not(sentence, why):
    assert not supported(sentence, FILTER), why


@pytest.mark.parametrize("sentence", BLIND)
def test_what_the_rule_does_not_see(sentence):
    assert supported(sentence, FILTER)


@pytest.mark.parametrize("sentence", TOO_STRICT)
def test_where_the_rule_is_too_strict(sentence):
    assert not supported(sentence, FILTER)


def test_title_and_heading_are_part_of_what_a_passage_says():
    assert supported("Weight: the Orlin weighs 41 kilograms.", PUMP)


def test_every_sentence_of_the_company_is_supported_by_its_own_passage():
    passages = load_company().passages[::5]
    lost = [s for p in passages for s in sentences(p.body) if len(s.split()) > 4 and not supported(s, p)]
    assert lost == []


# --- topics and reports


def test_topics_are_runs_of_passages_of_public_documents():
    company = load_company()
    drawn = topics(company, 9, seed=1, n_passages=2)
    public = {d.id: d.title for d in company.documents if d.audience == "public"}
    used = [p for topic in drawn for p in topic.passages]
    assert len(drawn) == 9 and len(set(used)) == 18 and used == sorted(used, key=company.passages.index)
    for topic in drawn:
        first, second = topic.passages
        assert first.document_id == second.document_id and first.document_id in public
        assert (topic.id, topic.title) == (first.id, public[first.document_id])
        assert company.passages.index(second) == company.passages.index(first) + 1
    assert topics(company, 9, seed=1, n_passages=2) == drawn != topics(company, 9, seed=2, n_passages=2)


def test_longer_runs_make_fewer_topics_and_there_may_be_fewer_than_asked_for():
    company = load_company()
    n_public = sum(d.audience == "public" for d in company.documents)
    assert len(topics(company, 9_999, seed=0)) == n_public  # of four or five sections
    assert len(topics(company, 9_999, seed=0, n_passages=2)) == 2 * n_public


def test_documents_with_too_few_passages_are_no_topics():
    documents = (
        Document("f", "Filter", ""),
        Document("p", "Pump", ""),
        Document("s", "Secret", "", audience="internal"),
    )
    passages = (
        FILTER,
        PUMP,
        Passage("p#2", "p", "", "", "More."),
        *(Passage(f"s#{i}", "s", "", "", "No.") for i in "12"),
    )
    (topic,) = topics(Corpus("toy", documents, passages), 9, seed=0, n_passages=2)
    assert (topic.id, topic.title, [p.id for p in topic.passages]) == ("p#1", "Pump", ["p#1", "p#2"])


def test_sentences_are_whole_and_come_once():
    assert sentences("It lasts 3.5 hours. Why? It lasts 3.5 hours.") == ["It lasts 3.5 hours.", "Why?"]
    assert sentences("") == []


class Copyist:
    """A generator for tests: it says the passage's first sentence, invents another, and is cut off."""

    name = "copyist"

    def __init__(self) -> None:
        self.n_asked = 0

    def generate(self, prompts: list, *, max_new_tokens: int) -> list[Answer]:
        self.n_asked += len(prompts)
        bodies = [next(t.passages[0].body for t in TOPICS if t.passages[0].body in p[0]["content"]) for p in prompts]
        return [
            Answer(f"{body.split('. ')[0]}. It won 7 prizes. It won 7 prizes. And", 99, max_new_tokens)
            for body in bodies
        ]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """Rows of these tests go to a folder of their own."""
    monkeypatch.setenv("WORKBOOK_RESULTS", str(tmp_path))


def test_reports_are_measured_once():
    copyist = Copyist()
    written = write_reports(copyist, TOPICS)
    pd.testing.assert_frame_equal(written, write_reports(copyist, TOPICS))
    assert copyist.n_asked == 2
    columns = ["experiment", "item_id", "prediction", "n_prompt_tokens", "n_new_tokens", "seconds"]
    assert list(written.columns) == columns and list(written["n_new_tokens"]) == [MAX_NEW_TOKENS] * 2


def test_whole_sentences_are_checked_between_a_floor_and_a_ceiling():
    rows = check(write_reports(Copyist(), TOPICS), TOPICS, Citer([FILTER, PUMP]))
    report = rows[rows["condition"] == "report"]
    assert list(report["item_id"]) == ["f s1", "f s2", "p s1", "p s2"]
    assert list(report["sentence"])[2:] == ["The Orlin pump weighs 41 kilograms.", "It won 7 prizes."]
    assert list(report["score"]) == list(report["copied"]) == [1.0, 0.0, 1.0, 0.0]
    assert list(report["cited"]) == ["f#1", "", "p#1", ""]
    means = rows.groupby("condition")["score"].mean()
    assert means.to_dict() == {"report": 0.5, "shuffled": 0.0, "documents": 1.0}
    assert set(rows["topic_id"]) == {"f", "p"}


def test_a_single_topic_has_no_floor():
    with pytest.raises(ValueError, match="at least two topics, since the floor needs another one, got 1"):
        check(pd.DataFrame({"item_id": ["f"], "prediction": ["It is."]}), TOPICS[:1], Citer([FILTER]))


@pytest.mark.weights
def test_the_generator_writes_about_its_topic():
    written = write_reports(Generator(), TOPICS).set_index("item_id")["prediction"]
    assert "Taveller" in written["f"] and "Orlin" in written["p"]
    assert report_prompt(TOPICS[0])[0]["content"].count(FILTER.body) == 1
