"""How the widgets of a lesson behave, without a browser; what a learner typed is never HTML."""

import ast
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import ipywidgets as widgets
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from IPython.display import HTML, Image, Markdown

from helpers import lesson, plots
from helpers.corpus import Passage
from helpers.exercises import EXERCISES
from helpers.retrieval import Ranking
from helpers.statistics import Estimate
from helpers.verdicts import PartVerdict, Verdict

SCRIPT = "<script>alert(\"x\")</script> & 'y'"
ESCAPED = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#x27;y&#x27;"
SOURCE = Path(lesson.__file__).read_text("utf-8")
# What lesson.py uses of ipywidgets 7.7.1 (Colab's), with the arguments that both 7.7.1 and 8 know.
SHARED = {
    "FloatSlider": {"min", "max", "step", "description", "style"},
    "SelectionSlider": {"options", "value", "description", "style"},
    "RadioButtons": {"options", "value", "layout"},
    "Text": {"description", "layout"},
    "Button": {"description", "button_style"},
    "Layout": {"width"},
    "HTML": set(),
    "HBox": set(),
    "VBox": set(),
}


@pytest.fixture
def shown(monkeypatch) -> list:
    """All that is displayed, in order. Deprecated calls are errors, no figure stays open."""
    seen: list = []
    monkeypatch.setattr(lesson, "display", lambda *things: seen.extend(things))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.filterwarnings("ignore", message="The `ipykernel.comm.Comm` class")  # ipywidgets 7's own
        yield seen
    assert plt.get_fignums() == []


def all_widgets(shown: list) -> list[widgets.Widget]:
    found, left = [], [thing for thing in shown if isinstance(thing, widgets.Widget)]
    while left:
        found.append(left.pop(0))
        left = [*getattr(found[-1], "children", ()), *left]
    return found


def the(kind: type, shown: list) -> widgets.Widget:
    """The one widget of this kind."""
    (found,) = [widget for widget in all_widgets(shown) if type(widget) is kind]
    return found


def draw(k: int = 1, colour: str = "blue"):
    ax = plots.new_axes()
    ax.set_title(f"k = {k}", loc="left")
    return ax, f"with {k} and {colour}: {SCRIPT}"


# --- interface ------------------------------------------------------------


def test_only_what_ipywidgets_7_and_8_share_is_used_and_never_an_output_widget():
    calls = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if ast.unparse(call.func).startswith("widgets.")]
    used = {call.func.attr: {keyword.arg for keyword in call.keywords} for call in calls}
    assert used and set(used) <= set(SHARED)
    assert all(arguments <= SHARED[name] for name, arguments in used.items())
    assert "on_submit" not in SOURCE  # deprecated in 8
    assert all(hasattr(widgets, name) for name in SHARED)


def test_no_widget_shown_is_an_output_widget(shown):
    lesson.predict({"a": 0.5})
    lesson.live_figure(draw, k=[1, 2])
    lesson.question_box(str, example="Why?")
    lesson.quiz("Why?", {"a": "yes"}, answer="a")
    assert not [w for w in all_widgets(shown) if isinstance(w, widgets.Output)]


# --- predict ------------------------------------------------------------


def test_a_prediction_follows_its_sliders(shown):
    defaults = {"closed book": 0.1, "oracle": 0.9}
    prediction = lesson.predict(defaults)
    assert prediction == defaults
    sliders = [w for w in all_widgets(shown) if isinstance(w, widgets.FloatSlider)]
    assert [(s.description, s.value, s.min, s.max) for s in sliders] == [
        ("closed book", 0.1, 0, 1),
        ("oracle", 0.9, 0, 1),
    ]
    sliders[1].value = 0.75
    assert prediction == {"closed book": 0.1, "oracle": 0.75}
    assert defaults == {"closed book": 0.1, "oracle": 0.9}


def test_a_prediction_may_have_another_scale(shown):
    prediction = lesson.predict({"difference": -5}, low=-10, high=10)
    the(widgets.FloatSlider, shown).value = 3
    assert prediction == {"difference": 3.0}


def test_a_default_beyond_the_scale_is_refused(shown):
    with pytest.raises(ValueError, match=r"Expected predictions from 0 to 1, got {'oracle': 90}"):
        lesson.predict({"oracle": 90, "closed book": 0.1})
    assert not shown


# --- figures ------------------------------------------------------------


def test_a_figure_has_alt_text_and_its_summary_below(shown):
    lesson.figure(*draw())
    image, words = shown
    data, metadata = image._repr_mimebundle_()
    assert isinstance(image, Image) and data["image/png"]
    assert metadata["image/png"]["alt"] == f"k = 1 with 1 and blue: {SCRIPT}"
    assert isinstance(words, HTML) and ESCAPED in words.data and "<script" not in words.data


def test_a_live_figure_is_drawn_anew_when_a_control_moves_and_has_a_plain_twin(shown):
    asked = []

    def noted(**choices):
        asked.append(choices)
        return draw(**choices)

    lesson.live_figure(noted, k=[1, 5, 10], colour=("blue", "red"))
    view = the(widgets.HTML, shown)
    first = view.value
    assert f'<img alt="with 1 and blue: {ESCAPED}" src="data:image/png;base64,' in first
    assert "<script" not in first
    k, colour = [w for w in all_widgets(shown) if isinstance(w, widgets.SelectionSlider)]
    k.value = 10
    assert view.value != first and 'alt="with 10 and blue' in view.value
    colour.value = "red"
    assert 'alt="with 10 and red' in view.value
    assert asked[-2:] == [{"k": 10, "colour": "blue"}, {"k": 10, "colour": "red"}]
    assert [type(thing) for thing in shown] == [widgets.VBox, Image, HTML]


def test_a_live_figure_that_cannot_be_drawn_says_so_instead_of_keeping_the_old_one(shown):
    def fragile(k: int):
        if k == 2:
            raise ValueError(f"k must not be 2 {SCRIPT}")
        return draw(k)

    lesson.live_figure(fragile, k=[1, 2, 3])
    slider, view = the(widgets.SelectionSlider, shown), the(widgets.HTML, shown)
    with pytest.raises(ValueError):
        slider.value = 2
    assert f"k must not be 2 {ESCAPED}" in view.value and "<img" not in view.value
    slider.value = 3
    assert 'alt="with 3' in view.value


@pytest.mark.parametrize("options", [{}, {"k": []}, {"k": [1], "colour": ()}])
def test_a_live_figure_needs_something_to_choose(shown, options):
    with pytest.raises(ValueError, match="at least one control, each with at least one choice"):
        lesson.live_figure(draw, **options)


# --- question box ------------------------------------------------------------


def boxed(shown: list, ask) -> tuple[widgets.Text, widgets.Button, widgets.HTML]:
    lesson.question_box(ask, example="Why?")
    return the(widgets.Text, shown), the(widgets.Button, shown), the(widgets.HTML, shown)


def test_the_button_asks_what_stands_in_the_field_and_the_example_is_answered_below(shown):
    field, button, view = boxed(shown, lambda question: f"<b>{len(question)}</b>")
    assert shown[-1].data == "<b>4</b>" and view.value == ""
    field.value = "How many?"
    button.click()
    assert view.value == "<b>9</b>"
    assert not button.disabled


def test_the_choices_beside_a_question_go_to_ask_and_moving_one_asks_again(shown):
    def ask(question: str, *, way: str, k: int) -> str:
        return f"{question} {way} {k}"

    lesson.question_box(ask, example="Why?", way=["words", "meaning"], k=[3, 5])
    assert shown[-1].data == "Why? words 3"
    ways, ks = [w for w in all_widgets(shown) if isinstance(w, widgets.SelectionSlider)]
    assert (ways.description, ways.options, ks.options) == ("way", ("words", "meaning"), (3, 5))
    ks.value = 5
    ways.value = "meaning"
    assert the(widgets.HTML, shown).value == "Why? meaning 5"


def test_enter_asks_too_and_typing_does_not(shown):
    asked = []
    field, _, view = boxed(shown, lambda question: asked.append(question) or question)
    field.value = "Ho"
    field.value = "How?"
    assert asked == ["Why?"]
    field._handle_custom_msg({"event": "submit"}, [])  # what the browser sends on Enter
    assert asked == ["Why?", "How?"] and view.value == "How?"


def test_the_button_is_off_while_an_answer_is_made(shown):
    states: list = []

    def ask(question: str) -> str:
        found = all_widgets(shown)
        states.extend((w.disabled, v.value) for w, v in zip(found[3:4], found[4:5], strict=True))
        return question

    _, button, _ = boxed(shown, ask)
    assert states.pop() == (False, "")  # the example, before anything was clicked
    button.click()
    assert states == [(True, "<i>reading …</i>")]


def test_an_error_is_shown_as_text_and_the_button_comes_back(shown):
    def ask(question: str) -> str:
        if question == "Why?":
            return "fine"
        raise ValueError(f"Can't read {question}")

    field, button, view = boxed(shown, ask)
    field.value = SCRIPT
    button.click()
    assert f"Can&#x27;t read {ESCAPED}" in view.value and "<script" not in view.value
    assert not button.disabled
    field.value = "Why?"
    button.click()
    assert view.value == "fine"


def test_any_other_error_is_named_logged_and_the_button_comes_back(shown, caplog):
    def ask(question: str) -> str:
        return {"Why?": "fine"}[question]

    field, button, view = boxed(shown, ask)
    field.value = SCRIPT
    button.click()  # ipywidgets logs what a callback raises
    assert "KeyError: " in view.value and "&lt;script&gt;" in view.value and "<script" not in view.value
    assert not button.disabled


# --- text of others ------------------------------------------------------------


def test_a_ranking_marks_the_words_of_the_query_and_escapes_everything():
    passages = (
        Passage("p1", "d", SCRIPT, SCRIPT, f"The Pump, {SCRIPT}"),
        Passage("p2", "d", "", "", "word " * 70),
    )
    page = lesson.ranking_html(Ranking(f"pump {SCRIPT}", passages, (0.91, 0.2)), answer=SCRIPT)
    assert "<script" not in page
    assert page.count(ESCAPED) == 4  # query, answer, title and heading; in the body, words are marked one by one
    assert "The <b>Pump,</b>" in page and "(cosine 0.91)" in page
    assert page.count("word") == 60 and "word …" in page


def test_a_ranking_without_an_answer_says_nothing_of_one():
    page = lesson.ranking_html(Ranking("q", (Passage("p", "d", "T", "H", "b"),), (0.5,)))
    assert "answer:" not in page and "<i>T · H</i>" in page


def test_the_scores_of_a_ranking_are_named():
    ranking = Ranking("q", (Passage("p", "d", "T", "H", "b"),), (0.03252,))
    assert "(cosine 0.03)" in lesson.ranking_html(ranking)
    assert "(sum of 1/rank 0.0325)" in lesson.ranking_html(ranking, measure="sum of 1/rank")
    assert "(&lt;u&gt; 0.0325)" in lesson.ranking_html(ranking, measure="<u>")


def test_the_source_of_a_helper_is_shown_as_it_is():
    page = lesson.show_source(plots.describe)
    assert isinstance(page, Markdown)
    assert page.data.startswith("`helpers.plots`\n```python\ndef describe(") and page.data.endswith("\n```")


# --- verdicts ------------------------------------------------------------


def verdict(name: str, *, n_needed: int | None = None, open_parts: tuple = (), provisional: bool = False) -> Verdict:
    part = PartVerdict(f"gain {SCRIPT}", name, Estimate(0.3, 0.2, 0.4, 50), ">= 0.2", "< 0.2", n_needed)
    return Verdict(f"C1{SCRIPT}", f"RAG {SCRIPT}", "03", name, (part,), open_parts, provisional)


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("supported", "#009E73"),
        ("refuted", "#D55E00"),
        ("inconclusive", "#6E6E6E"),
        ("supported only if limited to: gain", "#946200"),
    ],
)
def test_every_verdict_has_its_colour_and_shows_how_it_was_judged(name, colour):
    page = lesson.conclude(verdict(name)).data
    assert f"border-left:5px solid {colour}" in page
    assert f'<span style="color:{colour}">{name}</span>' in page
    assert f"<b>gain {ESCAPED}: {name}</b> · 0.30 [0.20, 0.40], n = 50" in page
    assert "supported when &gt;= 0.2, refuted when &lt; 0.2" in page
    assert "provisional: no, a full run" in page
    assert "<script" not in page


def test_a_verdict_tells_the_distance_from_the_prediction_what_is_open_and_what_others_found():
    undecided = verdict("inconclusive", n_needed=1234, open_parts=("cost", SCRIPT), provisional=True)
    page = lesson.conclude(undecided, prediction={f"gain {SCRIPT}": 0.05, "x": 1}, published=f"0.5 {SCRIPT}").data
    assert "your prediction was off by 0.25" in page
    assert "about n = 1,234 would decide it" in page
    assert ">inconclusive so far</span>" in page
    assert f"still open here, tried in another lesson: cost, {ESCAPED}" in page
    assert f"0.5 {ESCAPED}" in page
    assert "provisional: yes, a quick run" in page
    assert "<script" not in page


def test_off_by_lists_the_greatest_surprise_first():
    measured = {"a": Estimate(0.5, 0.4, 0.6, 9), "b": Estimate(0.9, 0.8, 1.0, 9), "c": Estimate(0, 0, 0, 9)}
    table = lesson.off_by({"a": 0.6, "b": 0.2, "other": 1.0}, measured)
    assert table.reset_index().to_numpy().tolist() == [["b", 0.2, 0.9, 0.7], ["a", 0.6, 0.5, 0.1]]


# --- quiz and exercises ------------------------------------------------------------


def test_a_quiz_answers_each_choice_with_its_comment(shown):
    lesson.quiz("Which?", {"this": f"no {SCRIPT}", "that": "yes, that"}, answer="that")
    choice, view = the(widgets.RadioButtons, shown), the(widgets.HTML, shown)
    assert (choice.options, choice.value, view.value) == (("this", "that"), None, "")
    choice.value = "this"
    assert f"no {ESCAPED}" in view.value and "#D55E00" in view.value
    choice.value = "that"
    assert "yes, that" in view.value and "#009E73" in view.value
    choice.value = None
    assert view.value == ""


def test_a_quiz_can_be_read_without_a_kernel_and_escapes_everything(shown):
    lesson.quiz(
        f"Which {SCRIPT}?",
        {f"this {SCRIPT}": "no", f"that {SCRIPT}": f"yes {SCRIPT}"},
        answer=f"that {SCRIPT}",
    )
    page = "".join(thing.data for thing in shown if isinstance(thing, HTML))
    assert "<script" not in page
    assert f"<li>this {ESCAPED}</li>" in page
    assert f"</ul>that {ESCAPED}: yes {ESCAPED}</details>" in page


def test_an_answer_that_is_no_option_is_refused(shown):
    with pytest.raises(ValueError, match=r"The answer 'c' is none of the options \['a', 'b'\]"):
        lesson.quiz("Which?", {"a": "", "b": ""}, answer="c")
    assert not shown


@pytest.mark.parametrize("name", list(EXERCISES))
def test_an_exercise_folds_its_hints_and_the_solution_that_is_tested(name):
    page = lesson.exercise(name).data
    assert page.startswith(f"**Exercise {name}.**")
    assert page.count("<details>") == page.count("</details>") == len(EXERCISES[name].hints) + 1
    assert f"def {EXERCISES[name].solution.__name__}(" in page


@pytest.mark.parametrize("attempt", [None, ...])
def test_an_untouched_exercise_is_neither_right_nor_wrong(attempt):
    page = lesson.check("00.1", attempt).data
    assert "00.1: not tried yet" in page and "#6E6E6E" in page


def test_an_attempt_is_judged_at_once():
    assert "#009E73" in (page := lesson.check("00.1", ("closed book", "oracle")).data) and "right." in page
    page = lesson.check("00.1", SCRIPT).data
    assert "#D55E00" in page and "&lt;script&gt;" in page and "<script" not in page


def test_an_unknown_exercise_says_which_there_are():
    for ask in (lesson.exercise, lambda name: lesson.check(name, 1)):
        with pytest.raises(ValueError, match=r"There is no exercise '99.9'. Those there are: 00.1, 00.2"):
            ask("99.9")


def test_a_table_keeps_texts_whole_left_aligned_and_escaped():
    page = lesson.table(pd.DataFrame({"said": [f"long {'x' * 300} {SCRIPT}"], "cosine": [0.12345]})).data
    assert "x" * 300 in page and ESCAPED.split("&quot;")[0] in page and "<script" not in page
    assert 'style="text-align:left' in page and "0.12" in page and "0.123" not in page


def test_a_folded_text_is_whole_and_escaped():
    page = lesson.folded(SCRIPT, f"{SCRIPT}\n  indented")
    assert "<script" not in page and page.count(ESCAPED) == 2 and "\n  indented</pre></details>" in page


def test_what_a_model_said_is_shown_as_text():
    assert "&lt;b&gt;17&lt;/b&gt;" in lesson.said("<b>17</b>") and "(nothing)" in lesson.said("")
