"""How do we draw what was measured so that nobody is misled?

Every rate stands on 0 to 1 with its 95 % interval and n; colours and markers mean the same in every lesson;
controls are thin and grey; the learner's prediction is a hollow diamond. Plotters take estimates and an
optional `ax` and return it; `describe` says the same in words. Used by every lesson. Leaves out: saving and
showing (`lesson.figure`).
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from helpers.statistics import Estimate

SIZE = (6.4, 3.6)  # inches
BLUE, ORANGE, GREEN, PINK, RED, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#6E6E6E",
)  # Okabe & Ito
MEANING = {  # condition: (colour, marker); the same in every lesson
    "closed book": (GREY, "o"),
    "retrieved": (BLUE, "s"),
    "fine-tuned": (ORANGE, "^"),
    "both": (GREEN, "D"),
    "oracle": (PINK, "P"),
    "your data": (RED, "v"),
    "wrong": ("black", "*"),
    "keywords": ("#882255", "X"),
    "meaning": ("#56B4E9", "h"),
    "fused": (GREEN, "p"),
    "reranked": ("black", ">"),
    "random order": (GREY, "x"),
}
ALSO_CALLED = {"base": "closed book", "RAG": "retrieved"}  # in the decision, whose arms have names of their own
MEANING |= {name: MEANING[other] for name, other in ALSO_CALLED.items()}
OTHERS = (
    (BLUE, "o"),
    (ORANGE, "X"),
    (GREEN, "p"),
    (PINK, "h"),
    ("black", ">"),
    (GREY, "<"),
)  # for names without a meaning


def new_axes(*, height: float = SIZE[1], width: float = SIZE[0]) -> Axes:
    """Empty axes of the workbook's one size, without the frame's upper and right sides."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plain(text: str) -> str:
    """`text` for a label: otherwise Matplotlib takes what stands between two dollar signs for a formula."""
    return text.replace("$", r"\$")


def look_of(condition: str) -> tuple[str, str]:
    """Colour and marker of a condition: `"retrieved, top 3"` looks like `"retrieved"`."""
    return next((look for name, look in MEANING.items() if condition.startswith(name)), (BLUE, "o"))


def _looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A look for each line of a figure: its own meaning's, else the next of `OTHERS`."""
    others, looks = cycle(OTHERS), {}
    for name in names:
        looks[name] = look_of(name) if any(name.startswith(known) for known in MEANING) else next(others)
    return looks


def plot_rates(
    estimates: Mapping[str, Estimate],
    *,
    title: str,
    xlabel: str,
    prediction: Mapping[str, float] | None = None,
    controls: Sequence[str] = (),
    beside: Mapping[str, Mapping[str, Estimate]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One row per condition, first on top: a point with its interval, on 0 to 1.

    Conditions named in `controls` are thin and grey; `prediction` gives hollow diamonds; `beside` holds
    further sets of estimates (`{"your data": {...}}`), drawn a little below each row. Raises `ValueError` for
    no estimates.
    """
    if not estimates:
        raise ValueError("Expected at least one estimate to draw, got none.")
    ax = ax or new_axes(height=1.3 + 0.42 * len(estimates) * (1 + 0.5 * len(beside or {})))
    for y, (name, estimate) in enumerate(estimates.items()):
        colour, marker = (GREY, "o") if name in controls else look_of(name)
        _point(ax, estimate, y, colour, marker, thin=name in controls)
        side = "left" if estimate.value < 0.05 else "center"  # else the axis goes through the number
        where = {"xytext": (0, 7), "textcoords": "offset points", "ha": side, "fontsize": 9}
        ax.annotate(f"{estimate.value:.2f}", (estimate.value, y), **where)
        for offset, (label, others) in enumerate((beside or {}).items(), 1):
            if name in others:
                named = f"{label} (n = {others[name].n})"
                _point(ax, others[name], y + 0.28 * offset, *look_of(label), label=named)
        if prediction and name in prediction:
            ax.plot(prediction[name], y, "d", mfc="none", mec="black", ms=9, label="your prediction", zorder=4)
    ax.set(xlim=(-0.03, 1.03), ylim=(len(estimates) - 0.4, -0.6), xlabel=f"{xlabel} (95 % interval)")
    rows = [f"{plain(name)}  (n = {estimate.n})" for name, estimate in estimates.items()]
    ax.set_yticks(range(len(estimates)), rows)
    ax.set_title(title, loc="left", fontsize=11)
    return _with_legend(ax)


def _point(
    ax: Axes,
    estimate: Estimate,
    y: float,
    colour: str,
    marker: str,
    *,
    thin: bool = False,
    label: str | None = None,
) -> None:
    reach = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
    width, size = (1.0, 5) if thin else (2.2, 8)
    ax.errorbar(
        estimate.value,
        y,
        xerr=np.maximum(reach, 0),
        fmt=marker,
        color=colour,
        ms=size,
        lw=width,
        capsize=3,
        label=label,
    )


def plot_curves(
    curves: Mapping[str, Sequence[Estimate]],
    x: Sequence[float],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """One line per name over `x`, each with its 95 % band and n; rates on 0 to 1."""
    if not curves:
        raise ValueError("Expected at least one curve to draw, got none.")
    for name, curve in curves.items():
        if len(curve) != len(x):
            raise ValueError(f"{name!r} has {len(curve)} points for {len(x)} values of x.")
    ax = ax or new_axes()
    looks = _looks(curves)
    for name, curve in curves.items():
        colour, marker = looks[name]
        ax.plot(x, [e.value for e in curve], marker=marker, color=colour, label=f"{name} ({_n_of(curve)})")
        ax.fill_between(x, [e.low for e in curve], [e.high for e in curve], color=colour, alpha=0.18, lw=0)
    ax.set(ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=f"{ylabel} (band: 95 %)", xticks=list(x))
    ax.set_title(title, loc="left", fontsize=11)
    return _with_legend(ax)


def add_levels(ax: Axes, levels: Mapping[str, Estimate]) -> Axes:
    """Controls that do not depend on x: thin grey lines across the figure, named with their values beside it."""
    for (name, estimate), style in zip(levels.items(), cycle(("-", "--", ":", "-.")), strict=False):
        ax.axhline(estimate.value, color=GREY, lw=1, ls=style, label=f"{plain(name)}: {estimate.value:.2f}", zorder=1)
    return _with_legend(ax)


def add_line(ax: Axes, x: Sequence[float], values: Sequence[float], *, label: str, faded: bool = False) -> Axes:
    """One more line without an interval: dashed with hollow diamonds (a prediction), or faded (an earlier experiment)."""
    look = (
        {"color": GREY, "alpha": 0.45, "lw": 3}
        if faded
        else {"color": "black", "ls": "--", "marker": "d", "mfc": "none"}
    )
    ax.plot(x, values, label=plain(label), zorder=1 if faded else 4, **look)
    return _with_legend(ax)


def _n_of(curve: Sequence[Estimate]) -> str:
    least, most = (pick(estimate.n for estimate in curve) for pick in (min, max))
    return f"n = {least}" if least == most else f"n = {least} to {most}"


def plot_scaling(
    curves: Mapping[str, Mapping[float, Estimate]], *, title: str, xlabel: str, ylabel: str, ax: Axes | None = None
) -> Axes:
    """One line per name, from x to its estimate, with 95 % intervals and n; both axes are logarithmic.

    Equal steps are equal factors, so a cost that grows with x is a straight line that rises by as much as it goes right. Raises
    `ValueError` for nothing to draw, and for what has no logarithm.
    """
    points = [(x, e.low) for curve in curves.values() for x, e in curve.items()]
    if not points or min(min(point) for point in points) <= 0:
        raise ValueError(f"Expected points above 0, intervals and all, got {points[:3]}. A logarithm needs them.")
    ax, looks = ax or new_axes(), _looks(curves)
    for name, curve in curves.items():
        colour, marker = looks[name]
        reach = np.array([(e.value - e.low, e.high - e.value) for e in curve.values()]).T.clip(min=0)
        label = f"{plain(name)} (n = {min((e.n for e in curve.values()), default=0)})"
        values = [e.value for e in curve.values()]
        ax.errorbar(
            list(curve), values, yerr=reach.reshape(2, -1), fmt=f"{marker}-", color=colour, capsize=3, label=label
        )
    ax.set(xscale="log", yscale="log", xlabel=f"{xlabel} (log)", ylabel=f"{ylabel} (log, bars: 95 %)")
    ax.set_title(title, loc="left", fontsize=11)
    return _with_legend(ax)


def plot_lines(
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    x: Sequence | None = None,
    log: bool = False,
) -> Axes:
    """One line per name of numbers that have no interval, such as the loss of each step; `x` are numbers or names of places."""
    if not lines or not all(len(values) for values in lines.values()):
        raise ValueError("Expected at least one line to draw, none of them empty.")
    ax = new_axes()
    for (name, values), (colour, marker) in zip(lines.items(), cycle(OTHERS), strict=False):
        places = range(len(values)) if x is None else x
        ax.plot(places, values, color=colour, marker=marker if len(values) < 30 else None, label=plain(name))
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    ax.tick_params(axis="x", labelsize=8)
    ax.set_title(title, loc="left", fontsize=11)
    return _with_legend(ax)


def plot_strips(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    names: tuple[str, str],
    title: str,
    xlabel: str,
) -> Axes:
    """Two rows of dots per group: `names[0]` above in blue, `names[1]` below in red; bars are medians."""
    ax = new_axes(height=1.2 + 0.55 * len(groups))
    rng = np.random.default_rng(0)
    for y, pair in enumerate(groups.values()):
        for values, shift, colour, marker, name in zip(
            pair, (-0.18, 0.18), (BLUE, RED), ("s", "v"), names, strict=True
        ):
            heights = y + shift + rng.uniform(-0.09, 0.09, len(values))
            ax.plot(values, heights, marker, color=colour, ms=3, alpha=0.45, mew=0, label=name)
            ax.plot([np.median(values)] * 2, [y + shift - 0.15, y + shift + 0.15], color="black", lw=1.6)
    ax.set(ylim=(len(groups) - 0.4, -0.6), xlabel=xlabel)
    ax.set_yticks(range(len(groups)), [f"{name}  (n = {len(pair[0])})" for name, pair in groups.items()])
    ax.set_title(title, loc="left", fontsize=11)
    return _with_legend(ax)


def plot_map(
    points: np.ndarray, groups: Sequence[str], *, title: str, stars: Mapping[str, np.ndarray] | None = None
) -> Axes:
    """Points [n, 2] coloured and marked by group; `stars` are extra points, labelled where they lie."""
    ax = new_axes(height=4.6)
    names = list(dict.fromkeys(groups))
    for i, name in enumerate(names):
        own = points[[group == name for group in groups]]
        colour = (BLUE, ORANGE, GREEN, PINK, RED, GREY)[i % 6]
        ax.plot(
            *own.T,
            "osD^vP"[i % 6],
            color=colour,
            ms=5,
            alpha=0.55,
            mew=0,
            label=f"{plain(name)} ({len(own)})",
        )
    for label, point in (stars or {}).items():
        ax.plot(*point, "*", color="black", ms=14, mec="white")
        ax.annotate(plain(label), point, xytext=(6, 6), textcoords="offset points", fontsize=9, fontweight="bold")
    ax.set(xlabel="first direction of variance", ylabel="second direction", xticks=[], yticks=[])
    ax.set_title(title, loc="left", fontsize=11)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def _with_legend(ax: Axes) -> Axes:
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    handles = {label: handle for label, handle in handles.items() if label and not label.startswith("_")}
    if len(handles) > 0:
        ax.legend(
            handles.values(),
            handles.keys(),
            frameon=False,
            fontsize=9,
            loc="upper left",
            bbox_to_anchor=(1, 1),
        )
    return ax


def plot_surface(
    values: np.ndarray,
    *,
    x: Sequence[float],
    y: Sequence[float],
    title: str,
    xlabel: str,
    ylabel: str,
    labels: tuple[str, str],
) -> Axes:
    """Ratios [n_y, n_x] of what `labels[0]` costs to what `labels[1]` costs, in colour; all three scales are logarithmic.

    The black line is where they break even (ratio 1); either side says which of the two is cheaper there. Raises `ValueError` unless
    `x` and `y` rise from above 0, two values each or more, and every place has a ratio above 0. Take many (`np.geomspace`): between
    values far apart the line is only a guess.
    """
    logs = _checked_logs(values, x, y)
    ax, reach = new_axes(), max(float(np.abs(logs).max()), 0.01)
    ax.set(xscale="log", yscale="log", xlabel=f"{xlabel} (log)", ylabel=f"{ylabel} (log)")
    mesh = ax.pcolormesh(x, y, logs, cmap="PuOr", vmin=-reach, vmax=reach, shading="gouraud")
    if logs.min() < 0 < logs.max():
        ax.clabel(ax.contour(x, y, logs, levels=[0.0], colors="black"), fmt={0.0: "break-even"}, fontsize=9)
    for label, cheaper in zip(labels, (logs < 0, logs > 0), strict=True):
        if cheaper.any():
            row, column = _middle(cheaper)
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2}
            ax.text(x[column], y[row], f"{plain(label)}\ncheaper", ha="center", va="center", fontsize=9, bbox=box)
    bar = ax.figure.colorbar(mesh, ax=ax, label=f"cost, {plain(labels[0])} : {plain(labels[1])} (log)")
    ends = min(logs.min(), -reach / 9), max(logs.max(), reach / 9)  # of what is there, and 1
    bar.ax.set_ylim(*ends)
    bar.set_ticks(marks := [ends[0], 0, ends[1]], labels=[f"{10**mark:.3g}" for mark in marks])
    ax.set_title(title, loc="left", fontsize=11)
    return ax


def _checked_logs(values: np.ndarray, x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    """Logarithms to base 10 of ratios [n_y, n_x]."""
    ratios = np.asarray(values, dtype=float)
    rising = all(len(steps) > 1 and steps[0] > 0 and (np.diff(steps) > 0).all() for steps in (x, y))
    if not rising or ratios.shape != (len(y), len(x)) or not (np.isfinite(ratios) & (ratios > 0)).all():
        raise ValueError(
            f"Expected ratios above 0 for each of {len(y)} y and {len(x)} x, which rise from above 0; got shape "
            f"{ratios.shape}. Zero has no place on a logarithmic scale."
        )
    return np.log10(ratios)


def _middle(region: np.ndarray) -> tuple[int, int]:
    """Row and column of the cell of a region [n_y, n_x] that is nearest to the middle of all its cells."""
    cells = np.argwhere(region)
    row, column = cells[np.linalg.norm(cells - cells.mean(axis=0), axis=1).argmin()]
    return int(row), int(column)


def describe(estimates: Mapping[str, Estimate]) -> str:
    """The same in words, for readers who can't see the figure."""
    return "; ".join(f"{name}: {estimate}" for name, estimate in estimates.items()) + " (95 % intervals)."


def to_png(ax: Axes) -> bytes:
    """The figure of `ax` as PNG bytes of at most 128 colours (a third of the size); the figure is closed."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(ax.figure)
    smaller = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(128).save(smaller, format="png", optimize=True)
    return smaller.getvalue()
