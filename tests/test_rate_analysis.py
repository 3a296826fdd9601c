"""Principal components, fixed points and figures of rate networks."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from recurra.errors import OptionError, ShapeError
from recurra.rate.analysis import fixed_points, flow, principal_components
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


def test_components_are_those_of_the_covariance():
    rows = np.random.default_rng(0).normal(size=(4, 50, 5)) * [3.0, 2.0, 1.0, 0.5, 0.1]
    found = principal_components(rows, 3)
    values, vectors = np.linalg.eigh(np.cov(rows.reshape(-1, 5).T))
    assert np.abs(np.abs(found.axes @ vectors[:, ::-1][:, :3]) - np.eye(3)).max() < 1e-9
    assert np.abs(found.explained - values[::-1][:3] / values.sum()).max() < 1e-12
    assert found.project(rows).shape == (4, 50, 3)
    assert np.abs(found.project(found.mean)).max() < 1e-12


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "clipped_relu"])
def test_the_flow_is_that_of_the_program(activation):
    net = make(activation=activation)
    rng = np.random.default_rng(1)
    x, u = rng.normal(size=6), rng.normal(size=1)
    slope, derivative = flow(net, x, u)
    moved = net.simulate(u[:, None].repeat(2, 1), x0=x, noise="none", step=1e-3)["x"]
    assert np.abs(slope - (moved[1] - moved[0]) / 1e-3).max() < 1e-9
    for unit in range(6):
        step = np.eye(6)[unit] * 1e-6
        finite = (flow(net, x + step, u)[0] - flow(net, x - step, u)[0]) / 2e-6
        assert np.abs(derivative[:, unit] - finite).max() < 1e-7


def test_two_units_that_excite_themselves_have_the_fixed_points_of_the_scalar_equation():
    net = make(1, taus=10.0)
    # x = w sigmoid(x) + w_in u with w = 10, w_in u = -5: by symmetry x = 0 is a root, unstable as 10/4 > 1.
    net.w, net.mask, net.w_in = np.array([[10.0]]), np.eye(1), np.array([[-5.0]])
    found = fixed_points(net, np.linspace(-8, 8, 17)[:, None], u=[1.0])
    assert len(found) == 3
    order = np.argsort(found.x[:, 0])
    assert found.stable[order].tolist() == [True, False, True]
    assert abs(found.x[order[1], 0]) < 1e-8
    assert found.x[order[0], 0] == pytest.approx(-found.x[order[2], 0])
    assert found.eigenvalues[order[1], 0] == pytest.approx((10 / 4 - 1) / 10)
    high = found.x[order[2], 0]
    assert high == pytest.approx(10 / (1 + np.exp(-high)) - 5)


def test_fixed_points_do_not_move():
    net = make()
    found = fixed_points(net, 5, seed=1)
    assert len(found) >= 1
    for x in found.x:
        stays = net.simulate(np.zeros((1, 50)), x0=x, noise="none")["x"]
        assert np.abs(stays - x).max() < 1e-6
    assert len(fixed_points(net, 3, slow=10.0)) >= 1


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


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda: principal_components(np.ones(3)), ShapeError),
        (lambda: principal_components(np.ones((3, 2)), 3), OptionError),
        (lambda: fixed_points(make(), np.ones((2, 3))), ShapeError),
        (lambda: flow(make(), np.ones(5)), ShapeError),
        (lambda: plot_raster(convert(make(), 40.0), np.ones((3, 2))), ShapeError),
    ],
)
def test_bad_input_is_refused(wrong, kind):
    with pytest.raises(kind):
        wrong()
