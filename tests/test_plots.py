"""What every figure shows: labels, the scale from 0 to 1, intervals, n, and the same in words."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import plots
from helpers.statistics import Estimate, rate

RATES = {
    "closed book": Estimate(0.1, 0.05, 0.2, 60),
    "retrieved, top 3": Estimate(0.6, 0.5, 0.7, 60),
    "oracle": Estimate(1.0, 0.94, 1.0, 60),
}
TITLE = "Does reading help?"


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def intervals(ax) -> list[tuple[float, float, float]]:
    """Low end, high end and height of every error bar, in the order drawn."""
    lines = [container[2][0].get_segments()[0] for container in ax.containers]
    return [(float(line[0, 0]), float(line[1, 0]), float(line[0, 1])) for line in lines]


def test_rates_are_points_with_intervals_on_a_scale_from_0_to_1_first_on_top():
    ax = plots.plot_rates(RATES, title=TITLE, xlabel="accuracy")
    assert ax.get_title(loc="left") == TITLE
    assert ax.get_xlabel() == "accuracy (95 % interval)"
    assert ax.get_xlim() == pytest.approx((0, 1), abs=0.04)
    assert ax.yaxis_inverted()
    assert ticks(ax.yaxis) == ["closed book  (n = 60)", "retrieved, top 3  (n = 60)", "oracle  (n = 60)"]
    np.testing.assert_allclose(intervals(ax), [(0.05, 0.2, 0), (0.5, 0.7, 1), (0.94, 1, 2)])
    assert [t.get_text() for t in ax.texts] == ["0.10", "0.60", "1.00"]


def test_a_number_at_0_stands_beside_the_axis_and_not_on_it():
    estimates = {"nothing": Estimate(0.0, 0.0, 0.03, 60), "half": Estimate(0.5, 0.4, 0.6, 60)}
    ax = plots.plot_rates(estimates, title=TITLE, xlabel="accuracy")
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert boxes[0].x0 > ax.get_window_extent().x0
    assert (boxes[1].x0 + boxes[1].x1) / 2 == pytest.approx(ax.transData.transform((0.5, 0))[0], abs=1)


def test_a_prediction_is_a_hollow_diamond_and_stands_in_the_legend_once():
    prediction = {"closed book": 0.3, "oracle": 0.9, "unknown": 0.5}
    ax = plots.plot_rates(RATES, title=TITLE, xlabel="accuracy", prediction=prediction)
    diamonds = [line for line in ax.lines if line.get_marker() == "d"]
    assert [(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in diamonds] == [(0.3, 0), (0.9, 2)]
    assert all(d.get_markerfacecolor() == "none" for d in diamonds)
    assert legend(ax) == ["your prediction"]


def test_controls_are_thin_and_grey():
    ax = plots.plot_rates(RATES, title=TITLE, xlabel="accuracy", controls=["closed book", "oracle"])
    looks = [(c[0].get_color(), c[2][0].get_linewidth()[0]) for c in ax.containers]
    assert looks == [(plots.GREY, 1.0), (plots.BLUE, 2.2), (plots.GREY, 1.0)]


def test_other_estimates_stand_below_with_their_own_n():
    beside = {"your data": {"retrieved, top 3": Estimate(0.4, 0.2, 0.6, 17)}}
    ax = plots.plot_rates(RATES, title=TITLE, xlabel="accuracy", beside=beside)
    assert any(np.allclose(interval, (0.2, 0.6, 1.28)) for interval in intervals(ax))
    assert legend(ax) == ["your data (n = 17)"]


def test_a_plotter_draws_into_the_axes_it_is_given():
    ax = plots.new_axes()
    assert plots.plot_rates(RATES, title=TITLE, xlabel="accuracy", ax=ax) is ax
    curves = {"retrieved": [rate([0, 1])] * 2}
    assert plots.plot_curves(curves, [1, 2], title=TITLE, xlabel="k", ylabel="recall", ax=ax) is ax


def test_curves_have_bands_and_labels_with_n_and_a_scale_from_0_to_1():
    curve = [Estimate(0.2, 0.1, 0.3, 40), Estimate(0.8, 0.7, 0.9, 40)]
    ax = plots.plot_curves({"retrieved": curve}, [1, 10], title=TITLE, xlabel="passages", ylabel="recall")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("passages", "recall (band: 95 %)")
    assert ax.get_ylim() == pytest.approx((0, 1), abs=0.03)
    assert legend(ax) == ["retrieved (n = 40)"]
    assert ticks(ax.xaxis) == ["1", "10"]
    corners = {tuple(np.round(v, 6)) for v in ax.collections[0].get_paths()[0].vertices}
    assert {(1, 0.1), (1, 0.3), (10, 0.7), (10, 0.9)} <= corners


def test_strips_show_every_value_and_the_medians():
    groups = {"one": ([0.1, 0.2, 0.9], [0.5] * 4), "two": ([0.3], [0.4])}
    ax = plots.plot_strips(groups, names=("same", "other"), title=TITLE, xlabel="cosine")
    dots = [line for line in ax.lines if line.get_marker() in ("s", "v")]
    assert [len(d.get_xdata()) for d in dots] == [3, 4, 1, 1]
    medians = [float(line.get_xdata()[0]) for line in ax.lines if line.get_color() == "black"]
    assert medians == [0.2, 0.5, 0.3, 0.4]
    assert (legend(ax), ax.get_xlabel()) == (["same", "other"], "cosine")
    assert ticks(ax.yaxis) == ["one  (n = 3)", "two  (n = 1)"]


def test_scaling_is_drawn_on_two_logarithmic_axes_with_intervals_and_n():
    curves = {
        "exact": {1_000: Estimate(1.0, 0.5, 2.0, 9), 10_000: Estimate(10.0, 5.0, 20.0, 9)},
        "IVF": {1_000: Estimate(2, 2, 2, 1)},
    }
    ax = plots.plot_scaling(curves, title=TITLE, xlabel="vectors", ylabel="seconds")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("vectors (log)", "seconds (log, bars: 95 %)")
    assert legend(ax) == ["exact (n = 9)", "IVF (n = 1)"]
    points, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(points.get_xydata().astype(float), [(1_000, 1), (10_000, 10)])
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [(0.5, 2), (5, 20)])
    assert [c[0].get_color() for c in ax.containers] == [plots.BLUE, plots.ORANGE]
    with pytest.raises(ValueError, match="Expected points above 0, intervals and all, got .* A logarithm needs them"):
        plots.plot_scaling({"exact": {1_000: Estimate(1.0, 0.0, 2.0, 9)}}, title=TITLE, xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match=r"got \[\]"):
        plots.plot_scaling({"exact": {}}, title=TITLE, xlabel="x", ylabel="y")


def test_curves_without_a_meaning_of_their_own_can_be_told_apart():
    curve = [Estimate(0.5, 0.4, 0.6, 9)]
    ax = plots.plot_curves(dict.fromkeys(["one", "oracle", "two"], curve), [1], title=TITLE, xlabel="x", ylabel="y")
    looks = [(line.get_color(), line.get_marker()) for line in ax.lines]
    assert looks == [plots.OTHERS[0], plots.MEANING["oracle"], plots.OTHERS[1]]


def test_a_map_names_its_groups_with_their_sizes_and_its_stars():
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    ax = plots.plot_map(points, ["a", "b", "a"], title=TITLE, stars={"your text": np.array([1.0, 0.5])})
    assert legend(ax) == ["a (2)", "b (1)"]
    assert [t.get_text() for t in ax.texts] == ["your text"]
    assert ax.get_xlabel() and ax.get_ylabel()


@pytest.mark.parametrize("text", ["costs $5 or $6", "$\\frac{", "$x$", "50 % & <b>", "a\\b_c^d"])
def test_a_learners_text_is_never_read_as_a_formula(text):
    ax = plots.plot_map(np.zeros((3, 2)), [text] * 3, title=TITLE, stars={text: np.zeros(2)})
    shown = ax.texts[0]
    assert shown._preprocess_math(shown.get_text()) == (text, False)  # what Matplotlib draws; a formula?
    plots.to_png(ax)
    plots.to_png(plots.plot_rates({text: RATES["oracle"]}, title=TITLE, xlabel="accuracy"))


def test_conditions_look_the_same_everywhere_and_differ_in_colour_and_marker():
    assert plots.look_of("retrieved, top 3") == plots.look_of("retrieved") == (plots.BLUE, "s")
    looks = [look for name, look in plots.MEANING.items() if name not in plots.ALSO_CALLED]
    assert len(set(looks)) == len({marker for _, marker in looks}) == len(looks) > 5
    assert plots.look_of("RAG") == plots.look_of("retrieved") != plots.look_of("base")
    assert plots.look_of("anything else") == (plots.BLUE, "o")


def test_a_curve_whose_points_have_other_numbers_of_items_says_so():
    curve = [Estimate(0.5, 0.4, 0.6, n) for n in (30, 10)]
    ax = plots.plot_curves({"retrieved": curve}, [0, 1], title=TITLE, xlabel="x", ylabel="y")
    assert legend(ax) == ["retrieved (n = 10 to 30)"]


def test_the_same_in_words():
    words = plots.describe({"closed book": RATES["closed book"], "oracle": RATES["oracle"]})
    assert words == ("closed book: 0.10 [0.05, 0.20], n = 60; oracle: 1.00 [0.94, 1.00], n = 60 (95 % intervals).")


def test_png_bytes_repeat_and_the_figure_is_closed():
    first, second = (plots.to_png(plots.plot_rates(RATES, title=TITLE, xlabel="x")) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="Expected at least one estimate to draw, got none"):
        plots.plot_rates({}, title=TITLE, xlabel="accuracy")
    with pytest.raises(ValueError, match="Expected at least one curve to draw, got none"):
        plots.plot_curves({}, [1], title=TITLE, xlabel="k", ylabel="recall")
    with pytest.raises(ValueError, match="'retrieved' has 1 points for 2 values of x"):
        plots.plot_curves({"retrieved": [rate([1])]}, [1, 2], title=TITLE, xlabel="k", ylabel="recall")
    assert plt.get_fignums() == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=5))
def test_every_interval_drawn_is_the_interval_measured(outcomes):
    estimates = {f"c{i}": rate(scores) for i, scores in enumerate(outcomes)}
    ax = plots.plot_rates(estimates, title=TITLE, xlabel="accuracy")
    expected = [(e.low, e.high, i) for i, e in enumerate(estimates.values())]
    np.testing.assert_allclose(intervals(ax), expected, atol=1e-9)
    plt.close(ax.figure)


def test_lines_are_drawn_over_steps_or_over_names_and_empty_ones_are_refused():
    ax = plots.plot_lines({"a": [3.0, 1.0], "b": [2.0, 1.5]}, title="Loss?", xlabel="step", ylabel="loss")
    assert [list(line.get_ydata()) for line in ax.lines] == [[3.0, 1.0], [2.0, 1.5]]
    named = plots.plot_lines({"a": [1, 2]}, x=["layer 0", "head"], title="", xlabel="layer", ylabel="change", log=True)
    assert named.get_yscale() == "log" and [t.get_text() for t in named.get_xticklabels()] == ["layer 0", "head"]
    for nothing in ({}, {"a": []}):
        with pytest.raises(ValueError, match="at least one line"):
            plots.plot_lines(nothing, title="", xlabel="", ylabel="")


COSTS = {"title": "Which is cheaper?", "xlabel": "questions", "ylabel": "updates", "labels": ("tuned", "RAG")}


def test_a_surface_shows_where_costs_break_even_and_names_the_cheaper_on_either_side():
    x = y = np.geomspace(1, 1_000, 31)
    ax = plots.plot_surface(y[:, None] / x, x=x, y=y, **COSTS)  # they break even where x = y
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("questions (log)", "updates (log)")
    mesh, contour = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(31, 31), np.log10(y[:, None] / x), atol=1e-12)
    assert mesh.get_cmap().name == "PuOr" and -mesh.norm.vmin == mesh.norm.vmax == pytest.approx(3)  # 1 is the middle
    line = contour.get_paths()[0].vertices
    np.testing.assert_allclose(line[:, 0], line[:, 1], rtol=1e-6)
    assert contour.get_edgecolor()[0].tolist() == [0, 0, 0, 1]
    where = {text.get_text(): text.get_position() for text in ax.texts}
    assert set(where) == {"break-even", "tuned\ncheaper", "RAG\ncheaper"}
    assert (
        where["tuned\ncheaper"][0] > where["tuned\ncheaper"][1] and where["RAG\ncheaper"][0] < where["RAG\ncheaper"][1]
    )
    bar = ax.figure.axes[1]
    assert (bar.get_ylabel(), ticks(bar.yaxis)) == ("cost, tuned : RAG (log)", ["0.001", "1", "1e+03"])


@pytest.mark.parametrize(("ratio", "named"), [(4.0, ["RAG\ncheaper"]), (0.25, ["tuned\ncheaper"]), (1.0, [])])
def test_a_surface_without_break_even_has_no_line(ratio, named):
    ax = plots.plot_surface(np.full((2, 3), ratio), x=[1, 10, 100], y=[1, 2], **COSTS)
    assert [text.get_text() for text in ax.texts] == named and len(ax.collections) == 1
    assert plots.to_png(ax).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("values", "x"),
    [
        ([[1, 0], [1, 1]], [1, 2]),
        ([[1, np.nan], [1, 1]], [1, 2]),
        ([[1, 1], [1, 1]], [0, 2]),
        ([[1, 1], [1, 1]], [2, 1]),
        ([[1], [1]], [1]),
        ([[1, 1]], [1, 2]),
    ],
)
def test_a_surface_of_what_has_no_logarithm_or_another_shape_is_refused(values, x):
    with pytest.raises(
        ValueError, match="Expected ratios above 0 for each of 2 y and . x, which rise from above 0; got"
    ):
        plots.plot_surface(np.array(values), x=x, y=[1, 2], **COSTS)
    assert plt.get_fignums() == []


def test_the_scale_of_a_surface_ends_where_the_ratios_do():
    ax = plots.plot_surface(np.array([[0.5, 1], [1, 100]]), x=[1, 2], y=[1, 2], **COSTS)
    mesh, bar = ax.collections[0], ax.figure.axes[1]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-2, 2)
    assert ticks(bar.yaxis) == ["0.5", "1", "100"] and bar.get_ylim() == pytest.approx((np.log10(0.5), 2))
