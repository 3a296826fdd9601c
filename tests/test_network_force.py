"""Recursive least squares on masked, sparse, delayed and feedback edges, against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from recurra import Network
from recurra.errors import TimeError, TrainingError
from recurra.training import rls

N, STEPS, DT = 8, 60, 0.1
RNG = np.random.default_rng(0)
W0 = RNG.standard_normal((N, N)) / np.sqrt(N)
V0 = RNG.standard_normal(N)
MASK = RNG.random((N, N)) < 0.5
MASK[0] = True
GOAL = np.sin(0.2 * np.arange(STEPS)[:, None] + np.arange(N))
DELAYS = RNG.integers(0, 4, (N, N))


def net_of(weights, **edge):
    net = Network(dt=DT)
    net.add_diffeq_node("x", ["v' = -v + u", "r = tanh(v)"], N=N, input_var="u", output_var="r", node_vars={"v": V0},
                        variables={"v": "variable", "r": "output", "u": "input"})  # fmt: skip
    net.add_edge("x", "x", weights, label="rec", train="rls", **edge)
    return net


def loop(connected, delays=None, inputs=None, learns=None, compare=False, alpha=1.0, forgetting=1.0, goal=GOAL):
    """Teach the units one by one: each has the inverse correlation of what reaches it (Laje & Buonomano 2013)."""
    delays = np.zeros((N, N), int) if delays is None else delays
    learns = np.ones((len(goal), N), bool) if learns is None else learns
    weights, v, past, carried = np.where(connected, W0, 0.0), V0.copy(), [], []
    own = [np.flatnonzero(row) for row in connected]
    inverse = [np.eye(len(index)) / alpha for index in own]
    for k in range(len(goal)):
        r = np.tanh(v)
        past.append(r)
        seen = [np.array([past[k - d][j] if k >= d else 0.0 for j, d in zip(own[i], delays[i, own[i]], strict=True)])
                for i in range(N)]  # fmt: skip
        fed = np.array([weights[i, own[i]] @ seen[i] for i in range(N)])
        carried.append(fed)
        for i in range(N):
            if learns[k, i]:
                x, p = seen[i], inverse[i]
                gain = p @ x / (forgetting + x @ p @ x)
                inverse[i] = (p - np.outer(gain, p @ x)) / forgetting
                weights[i, own[i]] -= ((r[i] if compare else fed[i]) - goal[k, i]) * gain
        v = v + DT * (-v + fed + (0 if inputs is None else inputs[k]))
    return weights, np.array(carried), v


def compare_with(net, expected, inputs=None, **options):
    weights, carried, v = expected
    found = net.fit_rls(inputs, GOAL, **options)
    assert np.abs(found.weights - weights).max() < 1e-10
    assert np.abs(found.outputs - carried).max() < 1e-10
    new = net.get_var("rec", "weights")
    dense = weights if new.ndim == 2 else weights[weights != 0]
    assert np.abs(np.sort(np.ravel(new)) - np.sort(np.ravel(dense))).max() < 1e-10
    assert np.abs(found.final.state["g0/0/v"] - v).max() < 1e-10 if "g0/0/v" in found.final.state else True
    net.state = found.final  # a state of the network itself, from which it goes on
    return found


def test_a_masked_edge_keeps_its_zeros():
    net = net_of(W0, mask=MASK)
    found = compare_with(net, loop(MASK))
    assert not net.get_var("rec", "weights")[~MASK].any()
    assert found.inverse.shape == (N, N, N) and np.array_equal(found.connections, MASK)


def test_a_sparse_edge_is_a_masked_one():
    matrix = scipy.sparse.csr_array(np.where(MASK, W0, 0.0))
    compare_with(net_of(matrix), loop(MASK))


def test_forgetting_and_several_pieces():
    net = net_of(W0, mask=MASK)
    compare_with(net, loop(MASK, forgetting=0.9, alpha=0.5), forgetting=0.9, alpha=0.5)
    first = net_of(W0, mask=MASK).fit_rls(None, GOAL[:25])
    second = net_of(W0, mask=MASK).fit_rls(None, GOAL[25:], weights=first.weights, inverse=first.inverse,
                                           state=first.final)  # fmt: skip
    assert np.abs(second.weights - loop(MASK)[0]).max() < 1e-10


def test_all_connections_share_one_inverse():
    found = compare_with(net_of(W0), loop(np.ones((N, N), bool)))
    assert found.inverse.shape == (N, N) and found.connections is None


def test_units_may_learn_at_their_own_times():
    learns = RNG.random((STEPS, N)) < 0.5
    learns[:, ::3] = False
    learns[:, 1] = True
    net = net_of(W0, mask=MASK)
    compare_with(net, loop(MASK, learns=learns), mask=learns)
    assert np.array_equal(net.get_var("rec", "weights")[::3], np.where(MASK, W0, 0.0)[::3])


def test_innate_training_compares_the_rates():
    compare_with(net_of(W0, mask=MASK), loop(MASK, compare=True), compare="x")


@pytest.mark.parametrize("given", [{"delays": 2}, {"delays": DELAYS}, {"feedback": True}])
@pytest.mark.parametrize("mask", [None, MASK])
def test_delayed_and_feedback_edges(given, mask):
    late = {"feedback": np.ones((N, N), int)}.get(next(iter(given)), np.broadcast_to(given.get("delays", 0), (N, N)))
    compare_with(net_of(W0, mask=mask, **given), loop(np.ones((N, N), bool) if mask is None else mask, late))


def test_a_delayed_edge_goes_on_from_a_state():
    whole = net_of(np.zeros((N, N)), delays=DELAYS, mask=MASK)
    warm = net_of(np.zeros((N, N)), delays=DELAYS, mask=MASK)
    rests = np.ones(STEPS)
    rests[:20] = 0
    found = whole.fit_rls(None, GOAL, mask=rests, alpha=0.1)
    warm.state = warm.run(steps=20, record_output=False, record_vars=["x/v"]).final
    later = warm.fit_rls(None, GOAL[20:], alpha=0.1)
    assert np.abs(found.weights - later.weights).max() < 1e-12


def test_what_is_fed_besides_is_added():
    drive = RNG.standard_normal((STEPS, N))
    compare_with(net_of(W0, mask=MASK), loop(MASK, inputs=drive), {"x": drive})


def test_a_feedback_edge_from_a_node_that_acts_at_once():
    net = Network(dt=DT)
    net.add_func_node("a", 2, "tanh")
    net.add_edge("a", "a", np.array([[0.1, 0.4], [-0.3, 0.2]]), feedback=True, train="rls", label="e")
    drive, goal = RNG.standard_normal((30, 2)), RNG.standard_normal((30, 2))
    weights, inverse, before, rows = np.array([[0.1, 0.4], [-0.3, 0.2]]), np.eye(2), np.zeros(2), []
    for k in range(30):
        fed = weights @ before
        rows.append(fed)
        gain = inverse @ before / (1 + before @ inverse @ before)
        inverse = inverse - np.outer(gain, inverse @ before)
        weights = weights - np.outer(fed - goal[k], gain)
        before = np.tanh(fed + drive[k])
    found = net.fit_rls({"a": drive}, goal)
    assert np.abs(found.outputs - rows).max() < 1e-12 and np.abs(found.weights - weights).max() < 1e-12


def test_forgetting_what_rests_is_named():
    x = np.zeros((3000, 3))
    x[:50], x[50:2900, 0], x[2900:] = RNG.standard_normal((50, 3)), 1.0, RNG.standard_normal((100, 3))
    turned = x @ np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    for rows in (x, turned):
        with pytest.raises(TrainingError, match=r"runs away at row \d+: with forgetting=0.95.*forgetting=1"):
            rls(rows, rows @ np.ones((3, 1)), forgetting=0.95)
        assert np.isfinite(rls(rows, rows @ np.ones((3, 1))).weights).all()
        moved = rows + 0.1 * RNG.standard_normal(rows.shape)
        kept = 0.95 ** np.arange(2999, -1, -1)
        expected = np.linalg.solve((moved.T * kept) @ moved, (moved.T * kept) @ (moved @ np.ones((3, 1)) + 1))
        found = rls(moved, moved @ np.ones((3, 1)) + 1, forgetting=0.95)
        assert np.abs(found.weights.T - expected).max() < 1e-10


def test_a_network_that_diverges_is_named():
    net = Network(dt=DT)
    net.add_diffeq_node("a", "v' = v*v", variables={"v": "output(5.0)"})
    net.add_func_node("o", 1, "identity")
    net.add_edge("a", "o", np.zeros((1, 1)), train="rls")
    with pytest.raises(TrainingError, match=r"is not finite at row .*the network itself diverges"):
        net.fit_rls(None, np.zeros((60, 1)))


def test_delays_between_steps_are_refused():
    net = net_of(W0, delays=2)
    net.set_var("rec", "delay", 0.25)
    with pytest.raises(TimeError, match="between whole steps"):
        net.fit_rls(None, GOAL)
