"""States, and saved numbers, go on in the model that they are of, and in no other of equal shapes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from identities import behaviors, equations
from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate, Result, simulate
from recurra.engine import Edge, Graph, Node, Operator, Rule, Snapshot, Variable, lower
from recurra.equations import parse_equation
from recurra.errors import PathError, StoreError


def circuit(*texts: str, **numbers):
    operator = OperatorTemplate("op", list(texts), {"x": "output(1.0)", **numbers})
    return CircuitTemplate("c", nodes={"p": NodeTemplate("p", operator)}).program


def run(program, **options):
    return simulate(program, 1.0, dt=0.1, progress=False, **options)


def test_another_equation_is_refused_and_named():
    final = run(circuit("x' = -k*x", k=1.0)).final
    with pytest.raises(PathError, match=r"belongs to another model; what differs: equation: p/op/x\..*origin=None"):
        run(circuit("x' = -k*x^3", k=1.0), state=final)
    given = run(circuit("x' = -k*x^3", k=1.0), state=replace(final, origin=None))
    assert given.time[0] == 1.0 and given["p/op/x"][0, 0] == final.state["p/op/x"][0]


def test_other_numbers_and_other_text_of_the_same_equation_go_on():
    final = run(circuit("x' = -k*x", k=1.0)).final
    for other in (circuit("x' = -k*x", k=2.0), circuit("x'  =  -k * x", k=1.0), circuit("d/dt * x = -k*x", k=1.0)):
        assert run(other, state=final)["p/op/x"][0, 0] == final.state["p/op/x"][0]
    net = equations()
    end = run(net.program).final
    assert run(net.program.update({"rec/weight": 0.1}), state=end).time[0] == pytest.approx(1.0)


def edges(*more: Edge):
    unit = Operator((parse_equation("x' = u - x"),), {"x": Variable("state", 1.0), "u": Variable("input")})
    return lower(Graph({"a": Node({"op": unit}), "b": Node({"op": unit})}, (Edge("a/op/x", "b/op/u", 0.5), *more)))


def test_a_new_edge_is_no_new_model():
    final = run(edges()).final
    found = run(edges(Edge("b/op/x", "a/op/u", 0.1)), state=final)
    assert found["a/op/x"][0] == final.state[next(iter(final.state))][0]


def counter(step: float, gain: float = 1.0, name: str = "total"):
    if step == 1.0:

        def update(state, params, inputs, clock):
            return {name: state[name] + gain}, {}
    else:

        def update(state, params, inputs, clock):
            return {name: 2.0 * state[name] + gain}, {}

    return lower(Graph({"count": Rule(update, {name: np.zeros(2)})}))


def test_rules_with_other_code_are_refused():
    final = run(counter(1.0)).final
    assert run(counter(1.0, gain=3.0), state=final).final.state["count/total"][0] == pytest.approx(
        40.0
    )  # numbers may differ
    with pytest.raises(PathError, match="rule: count: its code"):
        run(counter(2.0), state=final)


def test_states_out_of_files_know_their_model(tmp_path):
    result = run(circuit("x' = -k*x", k=1.0))
    result.final.save(tmp_path / "state.npz")
    result.save(tmp_path / "result.npz")
    states = [Snapshot.load(tmp_path / "state.npz"), Result.load(tmp_path / "result.npz").final]
    states.append(pickle.loads(pickle.dumps(result.final)))
    for state in states:
        assert run(circuit("x' = -k*x", k=2.0), state=state).time[0] == 1.0
        with pytest.raises(PathError, match="another model; what differs: equation: p/op/x"):
            run(circuit("x' = k*x", k=1.0), state=state)


def walk(forward: bool):
    from recurra import Behavior, NeuronGroup

    class Walk(Behavior):
        def initialize(self, n):
            n.x = n.vector()
            self.step = 1.0

        if forward:

            def iteration(self, n):
                n.x += self.step
        else:

            def iteration(self, n):
                n.x -= self.step

    net = Network(dt=0.1, seed=1, dtype=np.float64)
    NeuronGroup(net=net, size=3, tag="g", behavior={1: Walk()})
    net.initialize()
    net.simulate_iterations(2)
    return net


def test_the_numbers_of_other_behaviors_are_refused(tmp_path):
    net = walk(forward=True)
    net.save(tmp_path / "values.npz")
    again = walk(forward=True)
    again.set_var("g/Walk/step", None, 5.0)
    again.load_values(tmp_path / "values.npz")
    assert again.get_var("g/Walk/step") == 1.0 and again.get_var("g/x").tolist() == [2.0, 2.0, 2.0]
    other = walk(forward=False)
    with pytest.raises(StoreError, match="rule: behaviors: g/Walk"):
        other.load_values(tmp_path / "values.npz")
    assert other.get_var("g/x").tolist() == [-2.0, -2.0, -2.0]
    other.load_values(tmp_path / "values.npz", check=False)
    assert other.get_var("g/x").tolist() == [2.0, 2.0, 2.0]


def test_surrogates_and_other_forms_of_the_same_behaviors_go_on():
    net = behaviors()
    step = net.snapshot.dt
    end = simulate(net.program, 10 * step, dt=step, state=net.snapshot, progress=False).final
    smooth = net.program_with("fast_sigmoid", 5.0)
    assert simulate(smooth, 10 * step, dt=step, state=end, progress=False).final.step == end.step + 10
