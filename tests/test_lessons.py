"""Every lesson: its anatomy, that it is committed executed and clean, and that it runs and measures what it should."""

import re
from pathlib import Path

import nbformat
import pytest

from helpers.execution import lesson_path, lesson_paths, normalise, values_of

BEATS = ["Question", "Hypothesis", "Predict", "Measure", "Check", "Plot", "Read", "Conclude"]
LESSONS = pytest.mark.parametrize("path", lesson_paths(), ids=lambda path: path.stem)


def cells_of(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def measured_in(lesson: str, names: dict[str, str], data: Path | None = None) -> dict:
    """Run a lesson quick; the values of its expressions, by our names for them."""
    values = values_of(lesson_path(lesson), list(names.values()), quick=True, data=str(data) if data else None)
    return dict(zip(names, values.values(), strict=True))


COLOURS = [
    "red",
    "blue",
    "green",
    "black",
    "white",
    "amber",
    "olive",
    "ivory",
    "coral",
    "copper",
    "silver",
    "golden",
    "plum",
    "lilac",
]


def boxes(path: Path) -> Path:
    """A learner's table with passages, questions and answers."""
    rows = [f"The {c} box is kept in room {i}.,Where is the {c} box kept?,room {i}" for i, c in enumerate(COLOURS, 100)]
    path.write_text("\n".join(["passage,question,answer", *rows, ""]), "utf-8")
    return path


@LESSONS
def test_a_lesson_has_the_anatomy(path):
    code, prose = cells_of(path, "code"), "\n\n".join(cells_of(path, "markdown"))
    assert re.match(rf"# {path.stem[:2]} · .+\?\n", prose), "the title asks a question"
    assert "**Time:**" in prose and "**After this lesson you can**" in prose
    for beat in BEATS:
        assert re.search(rf"\*\*{beat}\b", prose), f"no beat {beat}"
    assert any(re.search(r"^SEED = \d+$", cell, re.M) and re.search(r"^MY_DATA = None\b", cell, re.M) for cell in code)
    assert "## Failure gallery" in prose and "published number" in prose and "## Your own data" in prose
    assert sum("exercise(" in cell for cell in code if "import" not in cell) == 3
    assert "## Decision card" in prose


@LESSONS
def test_a_lesson_reads_well(path):
    """Prose between code, small cells, no leftovers; see the style of a lesson: about 1.3 texts per code cell is too many for some."""
    cells = nbformat.read(path, as_version=4).cells
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert "ccc" not in kinds, "three code cells in a row"
    sizes = sorted(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code" and cell.id != "setup")
    assert sizes[len(sizes) // 2] <= 5 and sizes[-1] <= 25, sizes
    assert max(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown") <= 180
    assert len({cell.id for cell in cells}) == len(cells)
    for cell in cells:
        assert not re.search(r"TODO|FIXME|^\s*[!%]", cell.source if cell.cell_type == "code" else "", re.M), cell.source


@LESSONS
def test_prose_states_no_measured_number(path):
    """Measured numbers are rendered from rows. Prose may hold thresholds, sizes and published numbers, never an interval of ours."""
    prose = "\n".join(cells_of(path, "markdown"))
    assert not re.search(r"\[0?\.\d+, ?0?\.\d+\]|n = \d", prose)


@LESSONS
def test_a_lesson_is_committed_executed_in_full_and_normalised(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook == normalise(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run: python workbook.py build"
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output.ename for output in outputs if output.output_type == "error"]
    text = "\n".join(str(output) for output in outputs)
    assert "full run" in text and "provisional: yes" not in text
    assert not re.search(r"/(?:home|root|Users|tmp)/\w", text), "a path of the machine it ran on"
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2 - (path.stem[:2] == "00")


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_00_runs_its_arms_stand_in_order_and_it_takes_own_data(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text(
        "question,answer,passage\nWho keeps bees?,Ada,Ada keeps bees.\nWho bakes?,Ben,Ben bakes bread.\n", "utf-8"
    )
    names = {
        "means": "rows.groupby('condition').score.mean().to_dict()",
        "sizes": "rows.groupby('condition').size().to_dict()",
        "gain": "gains['retrieved, top 3 − closed book'].low",
        "mine": "my_rows.groupby('condition').size().to_dict()",
    }
    found = measured_in("00", names, table)
    arms = ["closed book", "retrieved, top 1", "retrieved, top 3", "oracle"]
    assert found["sizes"] == dict.fromkeys(arms, 24) and found["mine"] == dict.fromkeys(arms, 2)
    assert found["means"]["closed book"] <= 0.1 < found["means"]["retrieved, top 1"]
    assert found["means"]["retrieved, top 1"] <= found["means"]["oracle"] + 0.1
    assert found["gain"] > 0


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_01_runs_finds_what_vectors_lose_and_takes_pythons_documentation():
    names = [
        "len(rows)",
        "estimates['control'].value",
        "verdict.parts[0].verdict",
        "len(curves)",
        "curves['your data'][0].n",
    ]
    found = list(values_of(lesson_path("01"), names, quick=True, data="python-docs").values())
    assert found[0] == 400
    assert found[1] >= 0.9
    assert found[2] == "supported"
    assert found[3] == 2 and found[4] >= 50


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_02_runs_compares_ways_cuts_and_stores_and_takes_own_data(tmp_path):
    table = tmp_path / "mine.csv"
    rows = [f"What does part ZK-{i} do?,Part ZK-{i} turns wheel {i} of the mill." for i in range(20, 32)]
    table.write_text("question,passage\n" + "\n".join(rows) + "\n", "utf-8")
    names = {
        "ways": "rows.groupby('condition')['nDCG@10'].mean().to_dict()",
        "wordings": "counted",
        "judged": "judged_rows.groupby('condition')['nDCG@10'].mean().to_dict()",
        "cuts": "cut.groupby('condition')[['whole', 'score']].mean().to_dict('index')",
        "exact recall": "timings.loc[timings.kind == 'exact', 'recall'].min()",
        "agreement": "stored.groupby('condition').agreement.mean().to_dict()",
        "verdicts": "{part.name: part.verdict for part in verdict.parts}",
        "speed": "measured_4['speed'].value",
        "mine": "my_rows.groupby('condition')['hit@1'].mean().to_dict()",
    }
    found = measured_in("02", names, table)
    ways = found["ways"]
    assert ways["random order"] < 0.1 and ways["oracle"] == pytest.approx(1)
    assert 0.6 < ways["meaning"] < ways["keywords"] < 1 and ways["fused"] > ways["meaning"]
    assert found["wordings"] == dict.fromkeys(["direct", "paraphrase", "typo", "negated", "multi-hop"], 60)
    assert found["judged"]["random order"] < found["judged"]["reranked"] <= found["judged"]["oracle"] + 1e-9
    assert found["cuts"]["fixed, 32"]["whole"] < 0.5 < found["cuts"]["sentences, 64"]["whole"] == 1
    assert found["cuts"]["overlap, 64"]["whole"] >= found["cuts"]["fixed, 64"]["whole"]
    assert found["exact recall"] > 0.999 and found["agreement"]["Chroma"] > 0.99 > found["agreement"]["FAISS IVF-PQ"]
    assert found["verdicts"]["relevance"] == "refuted" and found["speed"] > 1
    assert found["mine"]["keywords"] == 1 and found["mine"]["meaning"] > 1 / 12


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_03_runs_its_verdicts_come_from_rows_and_it_takes_own_data(tmp_path):
    table = tmp_path / "mine.csv"
    rows = [f"What does part ZK-{i} turn?,wheel {i},Part ZK-{i} turns wheel {i} of the mill." for i in range(20, 26)]
    table.write_text("question,answer,passage\n" + "\n".join(rows) + "\n", "utf-8")
    names = {
        "sizes": "rows.groupby('condition').size().to_dict()",
        "means": "rows.groupby('condition').score.mean().to_dict()",
        "errors": "(int(counted.values.sum()), int((names.score == 0).sum()))",
        "kinds": "{kind: len(part) for kind, part in by_kind.items()}",
        "rates": "[float(rates[rates.condition == level].hit.mean()) for level in levels]",
        "facts": "{name: e.value for name, e in facts.items()}",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c01, c02, c03, c04, c05, c06, c08)}",
        "parts": "[part.name for part in c03.parts]",
        "mine": "my_rows.groupby('condition').score.mean().to_dict()",
    }
    found = measured_in("03", names, table)
    arms = ["closed book", "retrieved, top 1", "retrieved, top 3", "retrieved, top 5", "oracle"]
    assert found["sizes"] == dict.fromkeys(arms, 16) | {"retrieved, top 5": 8}
    assert found["means"]["closed book"] <= 0.1 < found["means"]["retrieved, top 3"] <= found["means"]["oracle"] + 0.1
    assert found["errors"][0] == found["errors"][1] > 0, "the names of failures add up to all errors"
    assert set(found["kinds"].values()) == {8}
    intact, one, two, three = found["rates"]
    assert intact > 0.5 and one >= two > three == 0
    assert found["facts"]["old index"] == 0 < found["facts"]["old index: the old fact"]
    assert found["facts"]["re-indexed: the old fact"] == 0 < found["facts"]["re-indexed"]
    n_parts = {"C01": 1, "C02": 1, "C03": 4, "C04": 1, "C05": 1, "C06": 2, "C08": 2}
    assert found["verdicts"] == {claim: [n, True] for claim, n in n_parts.items()}
    assert found["parts"] == ["paraphrases", "typing errors", "multi-hop", "out of scope"]
    assert found["mine"]["closed book"] < found["mine"]["oracle"]


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_04_runs_climbs_the_ladder_and_takes_own_labels(tmp_path):
    table = tmp_path / "mine.csv"
    said = [("arrived late again", "delivery"), ("the pump drips on the floor", "repair")]
    rows = [f"{text} case {i},{label}" for i in range(12) for text, label in said]
    table.write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
    names = {
        "sizes": "rows.groupby('condition').size().to_dict()",
        "repeats": "len(repeats)",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c09, c10, c22, c23)}",
        "floors": "[estimates['majority'].value, scores['nothing'].value]",
        "changed": "[[bool(x) for x in moved[name].changed] for name in ('fine-tuned, head', 'fine-tuned, full')]",
        "trained": "costs.set_index('condition').n_trained.to_dict()",
        "search": "{name: e.value for name, e in search.items()}",
        "calibration": "errors['fine-tuned, full'].n",
        "mine": "{name: e.value for name, e in my_scores.items()}",
    }
    found = measured_in("04", names, table)
    arms = ["majority", "lexicon", "nearest neighbours", "logistic regression", "prompted generator"]
    arms += ["fine-tuned, head", "fine-tuned, lora", "fine-tuned, full"]
    assert found["sizes"] == dict.fromkeys(arms, 60) and found["repeats"] == found["calibration"] == 60
    assert found["verdicts"] == {"C09": [2, True], "C10": [2, True], "C22": [2, True], "C23": [3, True]}
    assert found["floors"][0] < 0.7 and found["floors"][1] == 0
    assert not any(found["changed"][0]) and all(found["changed"][1])
    head, lora, full = (found["trained"][name] for name in arms[-3:])
    assert found["trained"]["majority"] == 0 < head < lora / 100 < full / 1000
    assert found["search"]["before"] > 0.5 and len(found["search"]) == 3
    assert found["mine"]["majority"] <= 0.6 < found["mine"]["logistic regression"]


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_05_runs_with_its_adapters_and_its_verdicts_come_from_rows(tmp_path):
    names = {
        "adapters": "sorted(folder.parent.name for folder in folders.values())",
        "styles": "{name: e.value for name, e in styles.items()}",
        "right": "[direct[most].score.mean(), seen[most].score.mean(), never[most].score.mean()]",
        "reading": "read.groupby('condition').size().to_dict()",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c11, c12, c13, c14, c24)}",
        "leaks": "{name: e.value for name, e in told_all.items()}",
        "served": "equal.value",
    }
    found = measured_in("05", names)
    assert found["adapters"] == ["adapters"] * 4, "trained as the lesson says, and committed"
    assert found["styles"]["closed book, no rules"] < found["styles"]["fine-tuned"] > 0.9
    new, trained, never = found["right"]
    assert never < new <= trained and trained > 0.5
    assert found["reading"] == dict.fromkeys(["closed book", "retrieved, top 1", "retrieved, top 3", "oracle"], 16)
    n_parts = {"C11": 3, "C12": 1, "C13": 1, "C14": 1, "C24": 3}
    assert found["verdicts"] == {claim: [n, True] for claim, n in n_parts.items()}
    assert found["leaks"]["untuned, begun"] == 0 < found["leaks"]["fine-tuned, begun"]
    assert found["leaks"]["retrieved, by the public"] == found["leaks"]["retrieved, notes deleted"] == 0
    assert found["leaks"]["retrieved, by staff (allowed)"] > 0
    assert found["served"] > 0.8


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_06_runs_its_curves_have_all_points_and_it_takes_own_passages(tmp_path):
    table = boxes(tmp_path / "mine.csv")
    names = {
        "sizes": "{n: part.groupby('position').size().tolist() for n, part in swept.items()}",
        "levels": "{name: e.value for name, e in levels.items()}",
        "read": "speed.n_tokens_read.tolist()",
        "varied": "len(varied)",
        "pairs": "{n: len(part) for n, part in pairs.items()}",
        "attention": "float(seen.attention.mean())",
        "listed": "len(listed)",
        "arms": "{name: len(part) for name, part in arms.items()}",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c17, c18)}",
        "mine": "my_rows.groupby('position').size().tolist()",
    }
    found = measured_in("06", names, table)
    assert found["sizes"] == {"5": [5] * 3, "10": [10] * 3, "20": [20] * 3}
    assert found["levels"]["closed book"] < found["levels"]["oracle"] > found["levels"]["chance"]
    assert found["read"][1] < found["read"][0] / 2 and found["varied"] == 8 and found["listed"] == 27
    assert found["pairs"] == {"10": 6, "30": 6} and 0 < found["attention"] < 1
    assert set(found["arms"].values()) == {2} and len(found["arms"]) == 11
    assert found["verdicts"] == {"C17": [2, True], "C18": [1, True]}
    assert found["mine"] == [10] * 3


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_07_runs_all_arms_with_the_committed_adapters_keeps_what_decides_and_tunes_on_own_questions(tmp_path):
    names = {
        "arms": "rows.groupby('arm').size().to_dict()",
        "right": "{arm: e.value for arm, e in right.items()}",
        "adapters": "[folder.parent.name for folder in [*folders.values(), again, patch]]",
        "followed": "{name: e.value for name, e in followed.items()}",
        "unchanged": "unchanged.value",
        "in_year": "{name: e.value for name, e in in_year.items()}",
        "tokens": "per_query.n_prompt_tokens.to_dict()",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c02, c15, c16)}",
        "kept": "{a.name: [len(a.trained), len(a.stale)] for a in measured_arms.kept()[0]}",
        "mine": "my_rows.groupby('trained').size().to_dict()",
    }
    found = measured_in("07", names, boxes(tmp_path / "mine.csv"))
    sizes = {"closed book": 10, "retrieved": 10, "oracle": 10, "fine-tuned": 30, "both": 30, "oracle, fine-tuned": 30}
    assert found["arms"] == sizes and found["adapters"] == ["adapters"] * 5
    assert found["right"]["closed book"] < found["right"]["retrieved"] <= found["right"]["oracle"]
    assert found["right"]["fine-tuned"] > found["right"]["closed book"] + 0.3
    assert found["followed"]["retrieved: passage"] > found["followed"]["retrieved: memory"] and found["unchanged"] == 1
    assert found["in_year"]["fine-tuned, stale"] < found["in_year"]["fine-tuned, again"]
    assert found["tokens"]["fine-tuned"] < found["tokens"]["retrieved"]
    assert found["verdicts"] == {"C02": [3, True], "C15": [2, True], "C16": [1, True]}
    assert found["kept"] == dict.fromkeys(["base", "RAG", "fine-tuned", "both"], [6, 6])
    assert found["mine"] == {"trained": 5 * 6, "not trained": 5 * 6}


@pytest.mark.lesson
@pytest.mark.weights
def test_lesson_08_runs_its_uses_decides_by_measured_arms_and_takes_own_passages(tmp_path):
    table = boxes(tmp_path / "mine.csv")
    names = {
        "desk": "{name: e.value for name, e in served.items()}",
        "talk": "{way: [len(part), part.score.mean()] for way, part in talk.items()}",
        "reports": "{name: e.value for name, e in supported.items()}",
        "fitting": "{name: len(some) for name, some in fitting.items()}",
        "arms": "[a.name for a in arms]",
        "verdicts": "{v.claim_id: [len(v.parts), v.provisional] for v in (c19, c20, c21, c25, c26)}",
        "advised": "advised.winner",
        "mine": "len(my_desk)",
    }
    found = measured_in("08", names, table)
    desk, talk = found["desk"], found["talk"]
    assert desk["right and rightly cited"] <= desk["right"] <= desk["right, if it never refused"]
    assert {n for n, _ in talk.values()} == {12} and talk["as typed"][1] <= talk["in full"][1]
    assert found["reports"]["shuffled"] < found["reports"]["documents"]
    assert min(found["fitting"].values()) >= 100 and found["arms"] == ["base", "RAG", "fine-tuned", "both"]
    assert found["advised"] in found["arms"]
    n_parts = {"C19": 2, "C20": 2, "C21": 1, "C25": 1, "C26": 1}
    assert found["verdicts"] == {claim: [n, True] for claim, n in n_parts.items()}
    assert found["mine"] == 7
