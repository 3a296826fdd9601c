"""A state that was set is kept when nodes and edges come and go: against loops in NumPy and uninterrupted runs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from recurra import Network
from recurra.errors import RecurraError

DT, N = 0.1, 3
RNG = np.random.default_rng(0)
W = RNG.standard_normal((N, N))
X = RNG.standard_normal((30, N))
PARTS = {"v": "output", "u": "input"}


def net_of(delay=0, **options):
    net = Network(dt=DT)
    net.add_diffeq_node("a", "v' = -v + u", variables=PARTS, N=N, node_vars={"v": np.arange(N)})
    net.add_diffeq_node("b", "v' = -2*v + u", variables=PARTS, N=N)
    net.add_edge("a", "b", W, delays=delay, **options)
    return net


def run(net, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return net.run(record_vars=["a/v", "b/v"], record_output=False, **options)


@pytest.mark.parametrize("delay", [0, 4])
def test_everything_that_stays_goes_on(delay):
    whole = run(net_of(delay), inputs={"a": X})
    net = net_of(delay)
    net.state = net.run({"a": X[:12]}).final
    net.add_diffeq_node("c", "v' = -v + u", variables=PARTS, N=N, node_vars={"v": 7.0})
    net.add_edge("b", "c", np.eye(N))
    net.add_func_node("d", N, "tanh")
    rest = run(net, inputs={"a": X[12:]})
    for name in ("a/v", "b/v"):
        assert np.abs(rest[name] - whole[name][12:]).max() < 1e-14
    assert net.state.step == 12 and net.get_var("c/v")[0] == 7.0
    net.pop_node("c")
    net.pop_node("d")
    again = run(net, inputs={"a": X[12:]})
    assert np.abs(again["b/v"] - whole["b/v"][12:]).max() < 1e-14


def test_a_new_edge_joins_what_stands():
    net = net_of()
    net.state = run(net, inputs={"a": X}).final
    net.add_edge("b", "a", W.T)
    rest = run(net, steps=20)
    a, b = net.get_var("a/v"), net.get_var("b/v")
    for k in range(20):
        assert np.abs(rest["a/v"][k] - a).max() < 1e-12 and np.abs(rest["b/v"][k] - b).max() < 1e-12
        a, b = a + DT * (-a + W.T @ b), b + DT * (-2 * b + W @ a)


def test_a_past_that_nobody_remembered_is_named():
    net = net_of()
    net.state = run(net, inputs={"a": X}).final
    kept = net.get_var("a/v")
    net.add_edge("a", "b", W, delays=5)
    with pytest.warns(RuntimeWarning, match="nothing is known of the past of a/op/v: an edge that is delayed now sees"):
        found = net.run(steps=5, record_vars=["a/v"], record_output=False)
    assert np.array_equal(found["a/v"][0], kept)
    # Whose past is as long as what is asked for now needs no word, nor what stands at its beginning.
    for longer, known in ((3, True), (6, False)):
        net = net_of(4)
        net.state = run(net, inputs={"a": X}).final
        net.add_edge("a", "b", W, delays=longer)
        if known:
            run(net, steps=5)
        else:
            with pytest.warns(RuntimeWarning, match="nothing is known of the past of a/op/v"):
                net.run(steps=5, record_vars=["a/v"], record_output=False)


def test_a_longer_delay_remembers_what_there_is():
    net, whole = net_of(4), net_of(4)
    whole.add_edge("a", "b", -W, delays=3)
    expected = run(whole, inputs={"a": X})
    net.add_edge("a", "b", -W, delays=3)
    net.state = net.run({"a": X[:12]}).final
    net.add_func_node("e", 2, "identity")
    found = run(net, inputs={"a": X[12:]})
    assert np.abs(found["b/v"] - expected["b/v"][12:]).max() < 1e-14


def test_spikes_and_their_refractory_times_go_on():
    def lif():
        net = Network(dt=DT)
        net.add_diffeq_node("s", "v' = -v + u + z", N=2, input_var="u", spike_var="z", reset_var="v",
                            variables={"v": "output", "u": "input", "z": "input"}, spike_threshold=0.5, spike_reset=0.0,
                            refractory=0.5)  # fmt: skip
        return net

    drive = np.array([[1.5, 2.5]]).repeat(40, axis=0)
    whole, net = lif().run({"s": drive})["out"], lif()
    net.state = net.run({"s": drive[:15]}).final
    net.add_func_node("t", 2, "identity")
    net.add_edge("s", "t", np.eye(2))
    rest = net.run({"s": drive[15:]}, record_vars=["s/v"], record_output=False)["s/v"]
    assert np.abs(rest - whole[15:]).max() < 1e-14


def test_reset_forgets_it_and_a_structure_that_is_none_says_so():
    net = net_of()
    net.state = run(net, inputs={"a": X}).final
    net.add_func_node("c", 1, "identity")
    net.reset()
    assert net.state.step == 0 and np.array_equal(net.get_var("a/v"), np.arange(N))
    old = run(net_of(), inputs={"a": X}).final
    net.pop_node("b")
    with pytest.raises(RecurraError, match="belongs to another"):
        net.state = old


def test_delays_that_appear_keep_the_states():
    net = net_of()
    net.state = run(net, inputs={"a": X}).final
    kept = net.get_var("b/v")
    net.set_var("a->b", "delay", 0.3)
    with pytest.warns(RuntimeWarning, match="nothing is known of the past"):
        assert np.array_equal(net.get_var("b/v"), kept)
