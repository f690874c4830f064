"""What turns an experiment into a lesson: predict, look, check, conclude.

Everything shown here also exists without a kernel: predictions have defaults, quizzes a folded answer, live
figures a plain twin. A learner's text is escaped before it is shown. Widgets use the API that ipywidgets 7
(Colab) and 8 share, and never an Output widget. Used by every lesson. Leaves out: what is drawn (`plots`) and
what is judged (`verdicts`).
"""

import base64
import inspect
from collections.abc import Callable, Mapping, Sequence
from html import escape

import ipywidgets as widgets
import pandas as pd
from IPython.display import HTML, Image, Markdown, display

from helpers.exercises import EXERCISES
from helpers.plots import Axes, to_png
from helpers.retrieval import Ranking
from helpers.scoring import tokens
from helpers.statistics import Estimate
from helpers.verdicts import PartVerdict, Verdict

_COLOURS = {"supported": "#009E73", "refuted": "#D55E00", "inconclusive": "#6E6E6E"}
_MEASURES = {"description_width": "220px"}


def _card(colour: str, inside: str) -> str:
    style = f"border-left:5px solid {colour};padding:0.5em 1em;margin:0.5em 0;max-width:52em"
    return f'<div style="{style}">{inside}</div>'


def _sorry(error: Exception) -> str:
    """An error as safe HTML: a `ValueError` speaks for itself, any other is named."""
    said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return _card(_COLOURS["refuted"], escape(said))


def show_source(thing: Callable | type) -> Markdown:
    """The source of a helper, shown where it is used."""
    return Markdown(f"`{thing.__module__}`\n```python\n{inspect.getsource(thing).rstrip()}\n```")


def predict(defaults: Mapping[str, float], *, low: float = 0.0, high: float = 1.0) -> dict[str, float]:
    """Sliders for the learner's prediction, one per name; the dict follows them, defaults at first."""
    if outside := {name: value for name, value in defaults.items() if not low <= value <= high}:
        raise ValueError(f"Expected predictions from {low:g} to {high:g}, got {outside}.")
    prediction = dict(defaults)
    sliders = []
    for name, value in defaults.items():
        slider = widgets.FloatSlider(
            value, min=low, max=high, step=(high - low) / 100, description=name, style=_MEASURES
        )
        slider.layout.width = "520px"
        slider.observe(lambda change, name=name: prediction.update({name: change["new"]}), names="value")
        sliders.append(slider)
    display(widgets.VBox(sliders))
    return prediction


def figure(ax: Axes, summary: str) -> None:
    """Show a figure and close it, with the same in words below for those who can't see it."""
    title = ax.get_title(loc="left") or ax.get_title()
    display(Image(to_png(ax), format="png", metadata={"alt": f"{title} {summary}"}))
    display(HTML(f'<div style="max-width:52em;font-size:90%;opacity:0.85">{escape(summary)}</div>'))


def _controls(options: Mapping[str, Sequence]) -> dict[str, widgets.SelectionSlider]:
    """A slider over the choices of each option, at the first one."""
    controls = {
        name: widgets.SelectionSlider(
            options=list(choices), value=choices[0], description=name.replace("_", " "), style=_MEASURES
        )
        for name, choices in options.items()
    }
    for control in controls.values():
        control.layout.width = "520px"
    return controls


def live_figure(draw: Callable[..., tuple], **options: Sequence) -> None:
    """A figure that follows its controls, with a plain twin below it for pages without a kernel.

    `draw(**choices)` returns axes, a summary in words, and safe HTML to show below, if any; each option is a sequence of choices, the
    first one shown at the start.
    """
    if not options or not all(len(choices) for choices in options.values()):
        raise ValueError("Expected at least one control, each with at least one choice.")
    view, controls = widgets.HTML(), _controls(options)

    def redraw(_: object = None) -> None:
        try:
            ax, summary, *below = draw(**{name: control.value for name, control in controls.items()})
        except Exception as error:  # ipywidgets only logs it, and the old figure would stand as if it were new
            view.value = _sorry(error)
            raise
        data = base64.b64encode(to_png(ax)).decode()
        said = escape(summary)
        view.value = f'<img alt="{said}" src="data:image/png;base64,{data}"><div>{said}</div>{"".join(below)}'

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    display(widgets.VBox([*controls.values(), view]))
    ax, summary, *below = draw(**{name: choices[0] for name, choices in options.items()})
    figure(ax, summary)
    for html in below:
        display(HTML(html))


def question_box(ask: Callable[..., str], *, example: str, **options: Sequence) -> None:
    """A text field whose question is answered by `ask` (question to safe HTML), on Enter or by the button.

    Each option is a sequence of choices that `ask` gets by name, the first one shown at the start. The example is answered at
    once, below, with the first choices. An error of `ask` is shown in place of an answer.
    """
    field = widgets.Text(example, description="question", layout=widgets.Layout(width="560px"))
    button = widgets.Button(description="ask", button_style="primary")
    view, controls = widgets.HTML(), _controls(options)

    def answer(_: object = None) -> None:
        button.disabled = True
        view.value = "<i>reading …</i>"
        try:
            view.value = ask(field.value, **{name: control.value for name, control in controls.items()})
        except Exception as error:
            view.value = _sorry(error)
            if not isinstance(error, ValueError):
                raise
        finally:
            button.disabled = False

    button.on_click(answer)
    field.on_msg(lambda _, content, buffers: answer() if content.get("event") == "submit" else None)
    for control in controls.values():
        control.observe(answer, names="value")
    display(widgets.VBox([widgets.HBox([field, button]), *controls.values(), view]))
    display(HTML(ask(example, **{name: choices[0] for name, choices in options.items()})))


def ranking_html(ranking: Ranking, *, answer: str = "", max_words: int = 60, measure: str = "cosine") -> str:
    """Ranked passages as safe HTML, the longer words of the query in bold, the generator's answer (if any) on top.

    `measure` says what the scores are.
    """
    asked = {token for token in tokens(ranking.query) if len(token) > 3 or token.isdigit()}  # not "is", "the"
    items = []
    for passage, score in zip(ranking.passages, ranking.scores, strict=True):
        words = passage.body.split()
        marked = [f"<b>{escape(w)}</b>" if asked & set(tokens(w)) else escape(w) for w in words[:max_words]]
        more = " …" if len(words) > max_words else ""
        label = " · ".join(part for part in (passage.title, passage.heading) if part)
        said = f"{escape(measure)} {score:.3g}" if measure != "cosine" else f"cosine {score:.2f}"
        items.append(f"<li><i>{escape(label)}</i> ({said})<br>{' '.join(marked)}{more}</li>")
    said = f"<b>answer:</b> {escape(answer)}" if answer else ""
    return _card("#0072B2", f"<i>{escape(ranking.query)}</i><br>{said}<ol>{''.join(items)}</ol>")


def said(text: str) -> str:
    """What a model said, as safe HTML."""
    return _card(_COLOURS["inconclusive"], escape(text) or "(nothing)")


def folded(summary: str, text: str) -> str:
    """A long text as safe HTML behind a line to click on."""
    style = "white-space:pre-wrap;max-width:52em;font-size:90%"
    return f'<details><summary>{escape(summary)}</summary><pre style="{style}">{escape(text)}</pre></details>'


def conclude(verdict: Verdict, *, prediction: Mapping[str, float] | None = None, published: str = "") -> HTML:
    """The rendered verdict: estimates, intervals, thresholds, distance from the prediction, open parts."""
    colour = _COLOURS.get(verdict.verdict, "#946200")  # supported only if limited: neither of them
    said = f"{verdict.verdict} so far" if verdict.open_parts else verdict.verdict
    lines = [
        f'<b>{escape(verdict.claim_id)} · <span style="color:{colour}">{escape(said)}</span></b>',
        f"<i>{escape(verdict.claim)}</i>",
    ]
    lines += [_part_line(part, prediction) for part in verdict.parts]
    if verdict.open_parts:
        lines.append(f"still open here, tried in another lesson: {escape(', '.join(verdict.open_parts))}")
    if published:
        lines.append(escape(published))
    lines.append(f"provisional: {'yes, a quick run' if verdict.provisional else 'no, a full run'}")
    return HTML(_card(colour, "<br>".join(lines)))


def _part_line(part: PartVerdict, prediction: Mapping[str, float] | None) -> str:
    line = f"<b>{escape(part.name)}: {escape(part.verdict)}</b> · {part.estimate}"
    line += escape(f" · supported when {part.supported}, refuted when {part.refuted}")
    if part.n_needed:
        line += f" · about n = {part.n_needed:,} would decide it"
    if prediction and part.name in prediction:
        line += f" · your prediction was off by {abs(prediction[part.name] - part.estimate.value):.2f}"
    return line


def table(frame: pd.DataFrame) -> HTML:
    """A frame of texts, aligned to the left and whole; its texts are escaped."""
    left = frame.to_html(index=False, border=0, justify="left", max_rows=None, float_format="{:.2f}".format)
    return HTML(left.replace("<td>", '<td style="text-align:left;vertical-align:top">'))


def off_by(prediction: Mapping[str, float], measured: Mapping[str, Estimate]) -> pd.DataFrame:
    """Prediction, measurement and their distance, a row per name: what surprised you most stands first."""
    rows = [(name, value, measured[name].value) for name, value in prediction.items() if name in measured]
    table = pd.DataFrame(rows, columns=["", "you predicted", "measured"]).set_index("")
    table["off by"] = (table["you predicted"] - table["measured"]).abs()
    return table.sort_values("off by", ascending=False).round(2)


def quiz(question: str, options: Mapping[str, str], *, answer: str) -> None:
    """A question with options, each with its comment; a folded answer for pages without a kernel.

    `options` maps each option to what is said when it is chosen. Raises `ValueError` if `answer` is none of
    them.
    """
    if answer not in options:
        raise ValueError(f"The answer {answer!r} is none of the options {list(options)}.")
    choice = widgets.RadioButtons(options=list(options), value=None, layout=widgets.Layout(width="max-content"))
    view = widgets.HTML()

    def respond(change: dict) -> None:
        colour = _COLOURS["supported" if change["new"] == answer else "refuted"]
        view.value = _card(colour, escape(options[change["new"]])) if change["new"] in options else ""

    choice.observe(respond, names="value")
    display(HTML(f"<b>{escape(question)}</b>"), widgets.VBox([choice, view]))
    listed = "".join(f"<li>{escape(option)}</li>" for option in options)
    why = f"{escape(answer)}: {escape(options[answer])}"
    display(HTML(f"<details><summary>options and answer</summary><ul>{listed}</ul>{why}</details>"))


def exercise(name: str) -> Markdown:
    """An exercise with graded hints and its solution, folded. The solution is the code that the tests run."""
    this = _exercise(name)
    hints = [f"<details><summary>hint {i}</summary>\n\n{hint}\n\n</details>" for i, hint in enumerate(this.hints, 1)]
    source = inspect.getsource(this.solution).rstrip()
    solution = f"<details><summary>solution</summary>\n\n```python\n{source}\n```\n\n</details>"
    return Markdown("\n\n".join([f"**Exercise {name}.** {this.task}", *hints, solution]))


def check(name: str, attempt: object) -> HTML:
    """Whether an attempt at an exercise is right, at once and offline; `None` or `...` is not tried yet."""
    this = _exercise(name)
    if attempt is None or attempt is ...:
        return HTML(
            _card(
                _COLOURS["inconclusive"],
                f"{escape(name)}: not tried yet. Put your answer in place of the dots.",
            )
        )
    wrong = this.wrong_with(attempt)
    said = escape(wrong) if wrong else f"right. {escape(this.afterwards)}"
    return HTML(_card(_COLOURS["refuted" if wrong else "supported"], f"{escape(name)}: {said}"))


def _exercise(name: str):  # noqa: ANN202  (a record of `exercises`)
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}. Those there are: {', '.join(EXERCISES)}.")
    return EXERCISES[name]
