"""Delays of the edges of a network have paths: read, set, swept, trained."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from recurra import Network, sweep
from recurra.errors import CapabilityError, PathError, ShapeError, TimeError
from recurra.training import Bounds

DT, STEPS = 0.1, 60
W = np.array([[1.0, -0.5], [0.3, 0.8]])
DRIVE = np.sin(np.arange(STEPS)[:, None] * 0.3 + np.arange(2))
CELL = {"variables": {"v": "output", "u": "input"}, "N": 2, "op": "leak"}


def network(delays, weights=W, **options):
    net = Network(dt=DT)
    for name in "ab":
        net.add_diffeq_node(name, "v' = -v + u", **CELL)
    net.add_edge("a", "b", weights, delays=delays, label="e", **options)
    return net


def loop(times, weights=W):
    """Euler steps in NumPy; a delay off the grid is read between two rows, 0 is none, before the start is nothing."""
    back = np.broadcast_to(times, (2, 2)) / DT
    a, b = np.zeros((STEPS, 2)), np.zeros((STEPS, 2))

    def row(k, j):
        return a[k, j] if k >= 0 else 0.0

    for k in range(STEPS - 1):
        u = np.zeros(2)
        for i in range(2):
            for j in range(2):
                at = round(k - back[i, j], 9)
                low = int(np.floor(at))
                part = at - low
                u[i] += weights[i, j] * (row(low, j) * (1 - part) + (row(low + 1, j) * part if part else 0.0))
        b[k + 1] = b[k] + DT * (-b[k] + u)
        a[k + 1] = a[k] + DT * (-a[k] + DRIVE[k])
    return b


def out(net):
    return net.run({"a": DRIVE}, progress=False)["out"]


MATRIX = np.array([[0.2, 0.0], [0.35, 0.7]])


@pytest.mark.parametrize("first", [None, 4, [2, 5], [[1, 2], [3, 4]], [[0, 2], [3, 0]]])
@pytest.mark.parametrize("times", [0.0, 0.5, [0.3, 0.9], MATRIX, 0.25])
def test_set_and_get(first, times):
    """Whatever an edge had before: with the delay set it is what it would be if it had been built so."""
    net = network(first)
    out(net)
    net.set_var("e", "delay", times)
    assert np.array_equal(np.broadcast_to(net.get_var("e/delay"), (2, 2)), np.broadcast_to(times, (2, 2)))
    assert np.abs(out(net) - loop(times)).max() < 1e-12


def test_given_in_steps_and_read_as_times():
    assert network(4).get_var("e", "delay") == pytest.approx(0.4)
    assert network(None).get_var("e", "delay") == 0
    assert network([[0, 2], [3, 0]]).get_var("e/delay") == pytest.approx(np.array([[0, 0.2], [0.3, 0]]))
    assert np.abs(out(network([[0, 2], [3, 0]])) - loop(np.array([[0, 0.2], [0.3, 0]]))).max() < 1e-12


def test_sparse_edges_and_recurrent_ones():
    net = network(2, scipy.sparse.csr_array(W))
    net.set_var("e", "delay", MATRIX)
    assert np.abs(out(net) - loop(MATRIX)).max() < 1e-12
    net.set_var("e", "delay", [0.1, 0.2, 0.3, 0.4])  # one for each entry
    assert np.abs(out(net) - loop([[0.1, 0.2], [0.3, 0.4]])).max() < 1e-12
    own = network(1)
    own.add_edge("b", "b", np.eye(2), delays=2, label="back")
    assert own.get_var("back/delay") == pytest.approx(0.2)


def test_a_sweep_over_delays_is_single_runs():
    """Over 0, too, which is no delay."""
    times = [0.2, 0.0, 0.45, 0.7]
    found = sweep(network(4), {"e/delay": times}, 6.0, dt=DT, inputs={"a/leak/u": DRIVE}, record={"b": "b/leak/v"},
                  progress=False)["b"].values  # fmt: skip
    for row, one in zip(found, times, strict=True):
        assert np.abs(row - loop(one)).max() < 1e-12


def test_delays_are_trained():
    """From what a delay of 0.62 put out, by gradients through the ring."""
    goal = loop(0.62)
    net = network(3)
    found = net.fit_bptt({"a": DRIVE}, goal, train={"e/delay": Bounds(0.1, 1.0)}, epochs=150, lr=0.02, progress=False,
                         precision="float64")  # fmt: skip
    assert found.history["loss"][-1] < 1e-3 * found.history["loss"][0]
    assert np.abs(net.get_var("e", "delay") - 0.62).max() < 0.02
    assert np.abs(out(net) - loop(net.get_var("e", "delay"))).max() < 1e-9  # times are rounded in the loop


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: net.set_var("e", "delay", -0.1), TimeError, "edge e: a delay is 0 or a time of at least"),
        (lambda net: net.set_var("e", "delay", 0.04), TimeError, "at least a step, 0.1, got 0.04"),
        (lambda net: net.set_var("e", "delay", MATRIX * 0.01), TimeError, "got 0.002"),
        (lambda net: net.set_var("e", "delay", np.nan), TimeError, "got nan"),
        (lambda net: net.set_var("e", "delay", np.ones(3)), ShapeError, "delays have shape (3,)"),
        (lambda net: net.set_var("e", "delay", "long"), ShapeError, "delays must be real numbers, got str"),
        (lambda net: net.get_var("e", "dealy"), PathError, "Did you mean 'delay'"),
        (lambda net: net.get_var("a", "delay"), PathError, "'delay'"),
        (lambda net: net.fit_bptt({"a": DRIVE}, DRIVE, train=["f/delay"]), CapabilityError, "it has none"),
    ],
)  # fmt: skip
def test_what_is_no_delay(call, error, message):
    net = network(2)
    net.add_edge("a", "b", W, label="f")
    with pytest.raises(error) as caught:
        call(net)
    assert message in str(caught.value)
