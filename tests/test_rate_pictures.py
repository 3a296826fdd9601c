"""Figures of rate networks."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from recurra.errors import ShapeError
from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.pictures import (
    order_by_type,
    plot_outputs,
    plot_psychometric,
    plot_time_constants,
    plot_weights,
)
from recurra.rate.tasks import GoNoGo
from recurra.spiking import convert
from recurra.spiking.pictures import plot_raster

matplotlib.use("agg")


def make(size: int = 6, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(3)
    return FR_RNN_dale(
        size, 0.3, 0.6, rng.normal(size=(size, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, size)), seed=3, **more
    )


def test_excitatory_units_come_first():
    net = make(30)
    assert np.all(np.diff(net.inh[order_by_type(net), 0].astype(int)) >= 0)


def test_figures_hold_what_they_should():
    net = make(30)
    task = GoNoGo(fixation=20.0, stimulus=20.0, response=40.0)
    found = evaluate(net, task, 8)
    lines = plot_outputs(found).get_lines()
    assert len(lines) == 8 and np.array_equal(lines[2].get_ydata(), found.outputs[2, :, 0])
    assert lines[0].get_xdata()[0] == task.dt
    image = plot_weights(net).get_images()[0].get_array()
    order = order_by_type(net)
    assert np.array_equal(np.asarray(image), net.effective_w[np.ix_(order, order)])
    bars = plot_time_constants(net).patches
    assert sum(bar.get_height() for bar in bars) == 30
    assert plot_psychometric(found, "go").get_xlabel() == "go"
    spiking = convert(net, 40.0)
    spikes = np.zeros((10, 30), bool)
    spikes[3, np.flatnonzero(net.inh)[0]] = True
    dots = plot_raster(spiking, spikes).get_lines()
    assert dots[1].get_xdata() == pytest.approx([0.2]) and dots[1].get_ydata().tolist() == [net.NE]
    assert len(dots[0].get_xdata()) == 0


def test_a_raster_of_another_network_is_refused():
    with pytest.raises(ShapeError):
        plot_raster(convert(make(), 40.0), np.ones((3, 2)))
