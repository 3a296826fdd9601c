"""Pictures of trials show what the trials hold."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recurra.rate.tasks import TASKS, get


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", ["go_nogo", "mante", "context_decision", "match_to_category", "yang_dms", "yang19"])
def test_every_channel_has_a_lane(name):
    task = TASKS[name]
    trials = task.trials(2)
    ax = task.plot(trials, 1)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    names = [*task.channels, *task.outputs]
    assert all(any(label.split(" at ")[0] in name for name in names) for label in labels)
    assert all(any(name.startswith(label) for label in labels) for name in names)
    assert ax.get_xlim() == (0, trials.lengths[1] * task.dt) and ax.get_xlabel() == "time (ms)"


def test_lines_are_the_values_scaled():
    task = get("xor")
    trials = task.trials(1, conditions={"sign 1": 1, "sign 2": -1})
    ax = task.plot(trials)
    first, second = ax.get_lines()[:2]
    # The inputs of this trial go from -1 to 1; the lanes are 1 high and 0.35 apart.
    for line, top, values in ((first, 0.0, trials.inputs[0, :, 0]), (second, -1.35, trials.inputs[0, :, 1])):
        np.testing.assert_allclose(line.get_ydata(), top - 1 + (values + 1) / 2, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(line.get_xdata(), 5.0 * np.arange(300))
    (target,) = [line for line in ax.get_lines() if line.get_color() == "#000000" and line.get_alpha() is None]
    np.testing.assert_allclose(target.get_ydata(), -3.7 + trials.targets[0, :, 0] + 1, rtol=0, atol=1e-12)


def test_pictures_are_the_rings():
    task = get("delayed_match_to_sample", noise=0.0)
    trials = task.trials(1)
    (picture,) = task.plot(trials).get_images()
    np.testing.assert_array_equal(picture.get_array(), trials.inputs[0].T)


def test_answers_are_drawn_on_top_and_targets_only_where_they_count():
    task = get("perceptual_discrimination")
    trials = task.trials(2)
    ax = plt.subplots()[1]
    answers = 0.5 * trials.targets[:, :-1]
    assert task.plot(trials, 0, answers, ax) is ax
    drawn = [line for line in ax.get_lines() if line.get_color() == "#D55E00"]
    assert [len(line.get_xdata()) for line in drawn] == [task.steps - 1] * 2
    bold = [line for line in ax.get_lines() if line.get_color() == "#000000" and line.get_alpha() is None]
    for line in bold:
        np.testing.assert_array_equal(~np.isnan(line.get_ydata()), trials.mask[0, :, 0] > 0)


def test_without_axes_a_figure_is_made():
    before = plt.get_fignums()
    ax = get("go_nogo").plot(get("go_nogo").trials(1))
    assert len(plt.get_fignums()) == len(before) + 1 and ax.figure.number == plt.get_fignums()[-1]
