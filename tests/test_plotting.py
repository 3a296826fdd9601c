"""Figures hold the numbers they were given, are drawn on the axes they were given, and are never shown."""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from recurra.analysis import Branch
from recurra.errors import PathError, ShapeError
from recurra.plotting import plot_branch, plot_heatmap, plot_phase, plot_traces, plot_weights

TIME = np.arange(50) * 0.1
FRAME = pd.DataFrame({"E": np.sin(TIME), "I": np.cos(TIME)}, index=pd.Index(TIME, name="time"))


class Recorded:
    """Stand in for a result: all that plotting asks of one."""

    def to_dataframe(self):
        return FRAME


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("show() was called"))
    yield
    plt.close("all")


def rendered(ax):
    """Draw for real and return the number of different colours in the picture."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    return len(np.unique(plt.imread(buffer).reshape(-1, 4), axis=0))


@pytest.mark.parametrize("data", [FRAME, Recorded()], ids=["frame", "result"])
def test_traces_draw_each_column_against_time(data):
    ax = plot_traces(data, xlabel="time (ms)", ylabel="rate")
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"E", "I"}
    np.testing.assert_array_equal(lines["E"].get_xdata(), TIME)
    np.testing.assert_array_equal(lines["I"].get_ydata(), np.cos(TIME))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (ms)", "rate")
    assert ax.get_legend() is not None
    assert rendered(ax) > 10


def test_traces_of_chosen_names_keep_their_order():
    assert [line.get_label() for line in plot_traces(FRAME, ["I", "E"]).get_lines()] == ["I", "E"]


def test_traces_join_the_levels_of_a_column():
    frame = pd.DataFrame(np.zeros((3, 2)))
    frame.columns = pd.MultiIndex.from_tuples([("r", "e", "rate_op/r"), ("r", "i", "rate_op/r")])
    assert [x.get_label() for x in plot_traces(frame).get_lines()] == ["r/e/rate_op/r", "r/i/rate_op/r"]


def test_one_line_is_named_on_its_axis_and_many_lines_have_no_legend():
    assert plot_traces(FRAME, ["E"]).get_ylabel() == "E"
    assert plot_traces(pd.DataFrame(np.zeros((3, 13)))).get_legend() is None


def test_complex_column_shows_its_real_part():
    line = plot_traces(pd.DataFrame({"z": np.exp(1j * TIME)}, index=TIME), ["z"]).get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), np.cos(TIME))


def test_phase_portrait_marks_start_and_end():
    ax = plot_phase(FRAME, "E", "I")
    path, start, end = ax.get_lines()
    np.testing.assert_array_equal(path.get_xydata(), FRAME[["E", "I"]].to_numpy())
    np.testing.assert_array_equal(start.get_xydata()[0], FRAME.iloc[0])
    np.testing.assert_array_equal(end.get_xydata()[0], FRAME.iloc[-1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("E", "I")
    assert rendered(ax) > 10


def test_heat_map_has_time_across_and_units_down():
    values = np.random.default_rng(0).normal(size=(50, 3))
    ax = plot_heatmap(values, TIME, label="rate")
    picture = ax.get_images()[0]
    np.testing.assert_array_equal(picture.get_array(), values.T)
    np.testing.assert_allclose(picture.get_extent(), (-0.05, 4.95, 2.5, -0.5), atol=1e-12)
    assert rendered(ax) > 20


def test_weights_are_drawn_as_they_are_with_zero_in_the_middle():
    weights = np.array([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.5]])
    ax = plot_weights(weights)
    picture = ax.get_images()[0]
    np.testing.assert_array_equal(picture.get_array(), weights)
    assert picture.get_clim() == (-2.0, 2.0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("from unit", "to unit")
    assert plot_weights(np.zeros((2, 2))).get_images()[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot_traces(FRAME, ax=ax),
        lambda ax: plot_phase(FRAME, "E", "I", ax=ax),
        lambda ax: plot_heatmap(np.zeros((4, 2)), ax=ax),
        lambda ax: plot_weights(np.eye(3), ax=ax),
    ],
)
def test_given_axes_are_used_and_settings_are_left_alone(draw):
    ax = plt.subplots()[1]
    before = dict(matplotlib.rcParams)
    assert draw(ax) is ax
    assert dict(matplotlib.rcParams) == before
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("draw", "error", "expected"),
    [
        (lambda: plot_traces(FRAME, ["EE"]), PathError, "unknown column 'EE'. Did you mean 'E'"),
        (lambda: plot_phase(FRAME, "E", "Q"), PathError, "unknown column 'Q'"),
        (lambda: plot_traces(FRAME.iloc[:0]), ShapeError, "no rows"),
        (lambda: plot_heatmap(np.zeros(3)), ShapeError, r"got an array of shape \(3,\)"),
        (lambda: plot_heatmap(np.zeros((3, 2)), np.zeros(4)), ShapeError, "`values` has 3 rows"),
        (lambda: plot_weights(np.zeros((2, 2, 2))), ShapeError, r"got an array of shape \(2, 2, 2\)"),
    ],
)
def test_bad_input_is_explained_and_leaves_no_figure(draw, error, expected):
    with pytest.raises(error, match=expected):
        draw()
    assert plt.get_fignums() == []


def test_a_branch_shows_where_it_was_given_up_and_what_is_unresolved():
    values, jumps = np.linspace(0.0, 1.0, 5), [(0.2, 0.4, 1)]
    branch = Branch("p", ["x"], values, values[:, None], -np.ones((5, 1), complex), [], "stopped at 1: x", False, jumps)
    ax = plot_branch(branch)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn["not followed on"] == [[1.0, 1.0]]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"not followed on", "unresolved"}
