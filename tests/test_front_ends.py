"""One suite for all front-ends: the same leaky rate network written five ways, and what every program can do.

`x' = (W sigmoid(x) + u - x)/tau`, Euler steps of 1. The GLM remembers by filters: x is the exponentially filtered past
of what W and u send, so its mean is r = sigmoid(x) with a sigmoid as inverse link and no noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from recurra import (
    Behavior,
    CircuitTemplate,
    Network,
    NeuronGroup,
    NodeTemplate,
    OperatorTemplate,
    Program,
    SynapseGroup,
    simulate,
    sweep,
)
from recurra.engine import as_program
from recurra.errors import RecurraError, StoreError
from recurra.glm import PopulationGLM
from recurra.rate.model import FR_RNN_dale

SIZE, TAU, STEPS = 3, 4.0, 60
W = np.random.default_rng(5).normal(size=(SIZE, SIZE))
U = np.array([0.3, -0.2, 0.1])


def by_hand(weights=W, drive=U, tau=TAU) -> np.ndarray:
    """Return r at every step."""
    x, rows = np.zeros(SIZE), []
    for _ in range(STEPS):
        r = 1 / (1 + np.exp(-x))
        rows.append(r)
        x = x + (weights @ r + drive - x) / tau
    return np.array(rows)


@dataclass(frozen=True)
class Way:
    """Hold one of the five: the program, what r is called, the path of one drive, and its value as a drive."""

    program: Program
    record: dict
    knob: str


def circuit() -> Way:
    operator = OperatorTemplate(
        "op", ["x' = (s + u - x)/tau", "r = sigmoid(x)"],
        {"x": "variable(0.0)", "r": "output", "s": "input(0.0)", "u": 0.0, "tau": TAU},
    )  # fmt: skip
    node = NodeTemplate("unit", operator)
    nodes = {f"p{i}": node for i in range(SIZE)}
    edges = [(f"p{j}/op/r", f"p{i}/op/s", None, {"weight": W[i, j]}) for i in range(SIZE) for j in range(SIZE)]
    made = CircuitTemplate("five", nodes=nodes, edges=edges)
    made = made.update_var(node_vars={f"p{i}/op/u": U[i] for i in range(SIZE)})
    return Way(made.program, {"r": [f"p{i}/op/r" for i in range(SIZE)]}, "p0/op/u")


def network() -> Way:
    net = Network(dt=1.0)
    net.add_diffeq_node(
        "n", ["x' = (s + u - x)/tau", "r = sigmoid(x)"], weights=W, source_var="r", target_var="s", output_var="r",
        variables={"x": "variable(0.0)", "r": "output", "s": "input(0.0)", "u": 0.0, "tau": TAU},
    )  # fmt: skip
    net.set_var("n", "u", U)
    return Way(net.program, {"r": "n/op/r"}, "n/op/u[0]")


class Leaky(Behavior):
    """Advance x; synapses come later in a step, so `r` holds what was sent before."""

    def initialize(self, neurons):
        neurons.x, neurons.u = neurons.vector(), np.array(U)
        neurons.r = 1 / (1 + np.exp(-neurons.x))
        neurons.s = neurons.vector()
        self.tau = self.parameter("tau", TAU)

    def iteration(self, neurons):
        neurons.s = neurons.vector()
        for synapse in neurons.synapses(0, "SYN"):
            neurons.s += synapse.W.dot(synapse.src.r)
        neurons.x += (neurons.s + neurons.u - neurons.x) / self.tau
        neurons.r = 1 / (1 + np.exp(-neurons.x))


def groups() -> Way:
    net = Network(settings={"dtype": np.float64})
    cells = NeuronGroup(net=net, tag="cells", size=SIZE, behavior={1: Leaky()})
    synapses = SynapseGroup(net=net, src=cells, dst=cells, tag="SYN")
    net.initialize(info=False)
    synapses.W = W.copy()
    return Way(net.program, {"r": "cells/r"}, "cells/u[0]")


def glm() -> Way:
    window = 160
    kernel = ((1 - 1 / TAU) ** np.arange(window) / TAU)[:, None]
    model = PopulationGLM("Gaussian", jax.nn.sigmoid)
    model.coef_ = {"coupling": W.reshape(SIZE, SIZE).T.reshape(SIZE, SIZE)}
    model.intercept_, model.scale_ = np.zeros(SIZE), np.zeros(SIZE)
    model.null_rate_, model.coupling_basis_ = np.full(SIZE, 0.5), kernel
    return Way(as_program(model), {"r": "glm/rate"}, "")


def dale() -> Way:
    net = FR_RNN_dale(SIZE, 0.0, 1.0, U[:, None], 0, "gaus", 1.5, False, np.ones((1, SIZE)), seed=0, taus=TAU)
    net.w, net.mask = W.copy(), np.eye(SIZE)
    program = net.to_program(noise="none")
    return Way(program.update({"input/op/u": 1.0}), {"r": "units/op/r"}, "input/op/u")


WAYS = {"circuit": circuit, "network": network, "groups": groups, "glm": glm, "dale": dale}
EQUATIONS = ("circuit", "network", "dale")


@pytest.fixture(scope="module", params=WAYS)
def way(request) -> Way:
    return WAYS[request.param]()


def run(way: Way, steps: int = STEPS, **more) -> np.ndarray:
    """Run a program; the filtered drive of the GLM is what a leaky unit makes of a constant one."""
    inputs = {}
    if way.knob == "":
        first = more["state"].step if more.get("state") is not None else 0
        inputs = {"glm/drive": U * (1 - (1 - 1 / TAU) ** (first + np.arange(steps)))[:, None]}
    return simulate(way.program, float(steps), dt=1.0, record=way.record, inputs=inputs, **more)


def test_all_ways_give_the_same_trajectory(way):
    found = run(way)["r"]
    # What a group holds in row k is what it has after the step k; others record before the step.
    assert np.abs(found - by_hand()).max() < 1e-12


def test_half_and_half_is_the_whole_bit_for_bit(way):
    whole = run(way)
    first = run(way, 23)
    rest = run(way, STEPS - 23, state=first.final)
    assert np.array_equal(np.concatenate([first["r"], rest["r"]]), whole["r"])
    assert all(np.array_equal(rest.final.state[key], value) for key, value in whole.final.state.items())


def test_two_runs_of_one_call_are_equal_bit_for_bit(way):
    assert np.array_equal(run(way)["r"], run(way)["r"])


def test_a_sweep_equals_runs_with_the_numbers_set(way):
    if way.knob == "":
        way = Way(way.program, way.record, "glm/intercepts[0]")
    values = [0.0, 0.5]
    found = sweep(way.program, {way.knob: values}, 20.0, dt=1.0, record=way.record)
    for value, rows in zip(values, found["r"].values, strict=True):
        alone = simulate(way.program.update({way.knob: value}), 20.0, dt=1.0, record=way.record)
        assert np.abs(rows - alone["r"]).max() < 1e-12


def test_the_derivative_is_that_of_finite_differences(way):
    from recurra.engine import as_function

    if not way.knob:
        pytest.skip("what a GLM observed is held fixed in derivatives; test_glm_simulation holds these")
    function = as_function(way.program, 10.0, dt=1.0, record=way.record)
    with jax.enable_x64(True):
        slope = jax.grad(lambda value: function({way.knob: value})["r"][-1].sum())(0.2)
        step = 1e-6
        above, below = (function({way.knob: 0.2 + sign * step})["r"][-1].sum() for sign in (1, -1))
        finite = (above - below) / (2 * step)
    assert abs(float(slope) - float(finite)) < 1e-7 * max(1.0, abs(float(finite)))


def test_unknown_paths_and_wrong_shapes_are_errors(way):
    with pytest.raises(RecurraError, match="unknown"):
        way.program.update({"nowhere/op/x": 1.0})
    with pytest.raises(RecurraError):
        simulate(way.program, 3.0, dt=1.0, record="nowhere/op/x")
    with pytest.raises(RecurraError):
        simulate(way.program, 3.5, dt=1.0)


def test_single_precision_where_it_is_offered(request, way):
    name = request.node.callspec.params["way"]
    if name in EQUATIONS:
        single = run(way, precision="float32")
        assert single["r"].dtype == np.float32 and np.abs(single["r"] - by_hand()).max() < 1e-5
    else:
        with pytest.raises(RecurraError, match="precision"):
            run(way, precision="float32")


def test_saved_and_loaded_programs_run_alike(request, way, tmp_path):
    from recurra.engine import load

    if request.node.callspec.params["way"] in EQUATIONS:
        way.program.save(tmp_path / "program.npz")
        again = Way(load(tmp_path / "program.npz"), way.record, way.knob)
        assert np.array_equal(run(again)["r"], run(way)["r"])
    else:
        with pytest.raises(StoreError, match="rule"):
            way.program.save(tmp_path / "program.npz")
    state = run(way, 10).final
    state.save(tmp_path / "state.npz")
    back = type(state).load(tmp_path / "state.npz")
    assert np.array_equal(run(way, 10, state=back)["r"], run(way, 10, state=state)["r"])


def test_all_explain_themselves(way):
    assert len(way.program.explain(1.0)) > 100


def test_all_five_in_one_network():
    net = Network(dt=1.0)
    net.add_node("circuit", circuit().program.graph)
    net.add_node("network", network().program.graph)
    net.add_node("glm", glm().program.graph)
    net.add_node("dale", dale().program.graph)
    assert {"circuit", "network", "glm", "dale"} <= {path.split("/")[0] for path in net.program.paths}


