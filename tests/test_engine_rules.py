"""Rules: functions among the nodes of a graph, held against loops in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import Edge, Emission, Graph, Node, Operator, Program, Rule, Variable, as_function, lower, simulate
from recurra.equations import parse_equation
from recurra.errors import CapabilityError, OptionError, PathError, RecurraError, ShapeError, StoreError, TemplateError

RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(size=(4, 4))
THRESHOLD = 0.5


def update(state, params, inputs, clock):
    """Leak, spike, learn; put out the voltage and the spikes of the step."""
    spike = state["v"] > params["threshold"]
    v = jnp.where(spike, 0.0, state["v"]) * 0.9 + inputs["current"] + state["W"] @ state["spike"]
    v = v + 0.1 * jax.random.normal(jax.random.fold_in(clock.key, clock.k), v.shape)
    w = state["W"] * jnp.where(spike[:, None], 0.99, 1.0)
    count = state["count"] + jnp.sum(spike)
    return {"v": v, "spike": spike, "W": w, "count": count}, {"fired": spike, "mean": jnp.mean(v)}


def rule() -> Rule:
    return Rule(
        update,
        {"v": np.zeros(4), "spike": np.zeros(4, bool), "W": WEIGHTS, "count": np.int64(0)},
        {"threshold": np.float64(THRESHOLD)},
        {"current": np.array([0.1, 0.2, 0.3, 0.4])},
        {"fired": Emission((4,), np.dtype(bool)), "mean": Emission((), np.dtype(float))},
        text="leaky units",
    )


def leak() -> Node:
    variables = {"x": Variable("state", 0.0), "k": Variable("parameter", 2.0), "i": Variable("input", 0.5)}
    return Node({"op": Operator((parse_equation("x' = -k*x + i"),), variables)}, 4)


def loop(steps: int, dt: float, keys, current, w_in=None, w_out=None, delay=0):
    """Advance rule and leaky node one after the other: the node first, with the rule's state before the step."""
    v, spike, w, count, x = np.zeros(4), np.zeros(4, bool), WEIGHTS.copy(), 0, np.zeros(4)
    rows: dict[str, list] = {"v": [], "x": [], "spike": [], "mean": []}
    past = [np.zeros(4)] * delay
    for k in range(steps):
        rows["v"].append(v)
        rows["x"].append(x)
        seen = past[k] if delay else v
        past.append(v)
        arriving = w_out @ seen if w_out is not None else 0.5
        x = x + dt * (-2.0 * x + arriving)
        fed = current[k] + (w_in @ x if w_in is not None else 0)
        fired = v > THRESHOLD
        v, spike, w, count = (
            np.where(fired, 0.0, v) * 0.9 + fed + w @ spike + 0.1 * keys(k),
            fired,
            w * np.where(fired[:, None], 0.99, 1.0),
            count + fired.sum(),
        )
        rows["spike"].append(fired)
        rows["mean"].append(v.mean())
    return {name: np.array(value) for name, value in rows.items()}, w, count


def noise_of(label: str, seed: int):
    from recurra.engine.rules import rule_key

    def draw(k: int) -> np.ndarray:
        key = rule_key(jax.random.key(seed), label)
        return np.asarray(jax.random.normal(jax.random.fold_in(key, k), (4,)))

    return draw


@pytest.mark.parametrize("label", ["", "cells"])
def test_a_rule_alone_runs_like_a_loop(label: str) -> None:
    program = lower(Graph({label: rule()}))
    path = (lambda name: f"{label}/{name}") if label else (lambda name: name)
    current = RNG.normal(0.2, 0.1, (60, 4))
    result = simulate(
        program, 60.0, dt=1.0, inputs={path("current"): current}, seed=5,
        record={name: path(name) for name in ("v", "W", "spike", "count")} | {"mean": path("mean")},
    )  # fmt: skip
    expected, w, count = loop(60, 1.0, noise_of(label, 5), current)
    assert np.abs(result["v"] - expected["v"]).max() < 1e-13
    assert np.abs(result["mean"][:, 0] - expected["mean"]).max() < 1e-13
    assert result.final.state[path("W")].dtype == WEIGHTS.dtype
    assert np.abs(result.final.state[path("W")] - w).max() < 1e-13
    assert result.final.state[path("count")] == count > 0
    assert result.final.state[path("spike")].dtype == bool
    assert result["W"].shape == (60, 16)


def test_rules_and_equations_take_turns() -> None:
    w_in, w_out = RNG.normal(size=(4, 4)), RNG.normal(size=(4, 4))
    for delay in (0, 3):
        graph = Graph(
            {"leak": leak(), "cells": rule()},
            (
                Edge("leak/op/x", "cells/current", w_in),
                Edge("cells/v", "leak/op/i", w_out, delay=0.5 * delay),
            ),
        )
        current = RNG.normal(size=(40, 4))
        result = simulate(
            lower(graph), 20.0, dt=0.5, inputs={"cells/current": current}, seed=1,
            record={"v": "cells/v", "x": "leak/op/x", "fired": "cells/fired"},
        )  # fmt: skip
        expected, _, _ = loop(40, 0.5, noise_of("cells", 1), current, w_in, w_out, delay)
        assert np.abs(result["v"] - expected["v"]).max() < 1e-12 * np.abs(expected["v"]).max()
        assert np.abs(result["x"] - expected["x"]).max() < 1e-12 * np.abs(expected["x"]).max()
        assert np.array_equal(result["fired"], expected["spike"])
        assert result["fired"].dtype == bool


def small() -> Graph:
    edges = (Edge("leak/op/x", "cells/current", 0.3 * np.eye(4)), Edge("cells/v", "leak/op/i", WEIGHTS, delay=2.0))
    return Graph({"leak": leak(), "cells": rule()}, edges)


def test_half_and_resumed_equals_whole() -> None:
    program = lower(small())
    record = {"v": "cells/v", "x": "leak/op/x", "fired": "cells/fired"}
    whole = simulate(program, 60.0, dt=0.5, record=record, seed=2)
    first = simulate(program, 25.0, dt=0.5, record=record, seed=2)
    second = simulate(program, 35.0, dt=0.5, record=record, seed=2, state=first.final)
    for name in record:
        assert np.array_equal(whole[name], np.concatenate([first[name], second[name]]))
    for key, value in whole.final.state.items():
        assert np.array_equal(value, second.final.state[key])


def test_rows_of_several_steps_hold_states_before_and_emissions_after() -> None:
    program = lower(small())
    record = {"v": "cells/v", "fired": "cells/fired"}
    fine = simulate(program, 60.0, dt=0.5, record=record)
    coarse = simulate(program, 60.0, dt=0.5, record=record, every=4)
    assert np.array_equal(coarse["v"], fine["v"][::4])
    assert np.array_equal(coarse["fired"], fine["fired"][3::4])


def test_a_batch_runs_each_with_its_own_numbers() -> None:
    program = lower(small())
    thresholds = np.array([0.2, 0.5, 1.0])
    batch = simulate(program, 30.0, dt=0.5, record={"v": "cells/v"}, batch={"cells/threshold": thresholds})
    for i, threshold in enumerate(thresholds):
        single = simulate(program, 30.0, dt=0.5, record={"v": "cells/v"}, params={"cells/threshold": threshold})
        assert np.abs(batch["v"][i] - single["v"]).max() < 1e-12
    assert np.abs(batch["v"][0] - batch["v"][2]).max() > 0.1


def test_gradients_go_through_rules_and_equations() -> None:
    program = lower(small())
    run = as_function(program, 10.0, dt=0.5, record={"x": "leak/op/x"})

    def loss(scale):
        return jnp.sum(run({"leak/op/k": scale, "cells/current": 0.1 * scale})["x"] ** 2)

    with jax.enable_x64(True):
        slope = float(jax.grad(loss)(1.5))
        differences = float(loss(1.5 + 1e-6) - loss(1.5 - 1e-6)) / 2e-6
    assert abs(slope - differences) < 1e-6 * abs(differences)


def test_get_and_update_take_arrays_of_any_shape() -> None:
    program = lower(small())
    assert program.get("cells/W").shape == (4, 4)
    assert program.update({"cells/W": np.eye(4)}).get("cells/W").sum() == 4
    assert program.update({"cells/v": 0.25}).get("cells/v").tolist() == [0.25] * 4
    assert program.get("cells/v[2]") == 0
    assert "cells/W" in program.paths
    assert "leaky units" in program.explain()


def stretch(state, params, inputs, clock):
    return {"v": jnp.zeros(5)}, {}


def alone() -> Program:
    return lower(Graph({"": rule()}))


def twice() -> Rule:
    return Rule(update, rule().state, {"v": np.zeros(4)})


WRONG = [
    (lambda: lower(Graph({"": Rule(stretch, {"v": np.zeros(4)})})), "changed its shape from (4,) to (5,)", ShapeError),
    (lambda: lower(Graph({"c": Rule(stretch, {}, {}, {"i": np.zeros((2, 2))})})), "an input is a vector", ShapeError),
    (lambda: lower(small()).get("cells/w"), "Did you mean 'cells/W'", PathError),
    (lambda: lower(small()).get("cells/W[3]"), "is no vector", PathError),
    (lambda: lower(Graph(small().nodes, (Edge("cells/W", "leak/op/i"),))), "is no vector", TemplateError),
    (lambda: lower(Graph(small().nodes, (Edge("cells/fired", "leak/op/i"),))), "of kind emitted", TemplateError),
    (lambda: simulate(lower(small()), 1.0, dt=0.5, precision="float32"), "types of their own", OptionError),
    (lambda: simulate(alone(), 1.0, dt=0.5, solver="scipy"), "a rule is called once a step", CapabilityError),
    (lambda: lower(Graph({"": twice()})), "two arrays", TemplateError),
    (lambda: lower(small()).flow(0.0, {}, {}), "no ordinary differential equation", CapabilityError),
    (lambda: lower(small()).save("x.npz"), "is code, which a file does not hold", StoreError),
]


@pytest.mark.parametrize(("wrong", "message", "kind"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_use_is_told(wrong, message: str, kind: type[RecurraError]) -> None:
    with pytest.raises(kind) as caught:
        found = wrong()
        simulate(found, 1.0, dt=1.0)
    assert message in str(caught.value)
