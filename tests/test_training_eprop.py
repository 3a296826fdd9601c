"""e-prop: equal to BPTT where theory says so, near to it elsewhere, and able to learn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import Edge, Graph, Node, Spike, Variable, as_function, lower
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.training import Dale, fit_eprop
from recurra.training.eprop import make_rule
from recurra.training.losses import LOSSES
from recurra.training.objective import gather, on_device
from recurra.training.parameters import make_parameters
from recurra.training.trials import count_units, make_trials
from training_nets import LIF, lif_net, operator, rate_net

RNG = np.random.default_rng(0)
GOAL = RNG.standard_normal((3, 40, 2))
READOUT = RNG.standard_normal((2, 300))


def gradients(program, train, output, inputs, dt, decay=0.0, loss="mse", goal=GOAL):
    """Return the gradients of e-prop with symmetric feedback, and those of the whole run."""
    paths, size = count_units(program, output)
    parameters = make_parameters(program, train, dt)
    data = make_trials(program, inputs, goal, 2, loss)
    readout = jnp.asarray(READOUT[:, :size])
    rule = make_rule(parameters, paths, LOSSES[loss], dt, decay, None, "float64")
    batch = gather(on_device(data, "float64"), np.arange(3), jax.random.key(0))
    values = {path: jnp.asarray(value) for path, value in parameters.origin.items()}
    found = jax.jit(rule.gradient)(values, readout, readout.T, batch)
    run = as_function(program, data.steps * dt, dt=dt, record={"z": paths})
    # The readout forgets: y_k is a sum of weighted rows, as a matrix of powers of its decay.
    age = np.subtract.outer(np.arange(data.steps), np.arange(data.steps))
    kernel = jnp.asarray(np.where(age >= 0, float(decay) ** np.maximum(age, 0), 0.0))

    def whole(values, readout):
        rows = jax.vmap(lambda one, key: run(values, one, seed=key)["z"])(batch.inputs, batch.keys)
        y = jnp.einsum("jk,bkn,on->bjo", kernel, rows, readout)
        return jnp.mean(jax.vmap(lambda y, t: jnp.mean(LOSSES[loss](y, t)))(y, batch.targets))

    value, slopes = jax.jit(jax.value_and_grad(whole, (0, 1)))(values, readout)
    assert abs(float(found[0].loss - value)) < 1e-10 * max(1.0, float(value))
    return {**found[1], "readout": found[2]}, {**slopes[0], "readout": slopes[1]}


def assert_equal(found, expected):
    for name, slope in expected.items():
        assert np.any(slope != 0), name
        error = np.max(np.abs(found[name] - slope))
        assert error < 1e-10 * np.max(np.abs(slope)), (name, error)


SPIKING = {"x/op/x": 5 * RNG.standard_normal((3, 40, 4)) + 3}


@pytest.mark.parametrize("output, decay", [("p/op/s", 0.0), ("p/op/spike", 0.8), (["p/op/v", "p/op/s"], 0.5)])
def test_exact_without_recurrence_for_spiking_units(output, decay):
    """Also with resets, synapses and a surrogate derivative: they are part of the unit's own equations."""
    assert_equal(*gradients(lif_net(5, 4), ["in/weight"], output, SPIKING, 1.0, decay))


def test_exact_with_refractory_times():
    net = lif_net(5, 4)
    spikes = (Spike("op/v", "op/spike", 1.0, 0.0, refractory=3.0, slope=2.0),)
    nodes = {**net.graph.nodes, "p": Node({"op": LIF}, 5, spikes=spikes)}
    assert_equal(*gradients(lower(Graph(nodes, net.graph.edges)), ["in/weight"], "p/op/s", SPIKING, 1.0))


@pytest.mark.parametrize("loss, goal", [("l1", GOAL), ("ce", RNG.integers(0, 2, (3, 40)))])
def test_exact_for_every_loss(loss, goal):
    assert_equal(*gradients(lif_net(5, 4), ["in/weight"], "p/op/s", SPIKING, 1.0, 0.3, loss, goal))


SOURCE = operator(["y = x"], y=Variable("algebraic"), x=Variable("input"))
UNIT = operator(
    ["v' = -v + I - a", "a' = (v**3 - a)/3", "r = tanh(v + 0.1*I)"],
    v=Variable("state"), a=Variable("state"), r=Variable("algebraic"), I=Variable("input"),
)  # fmt: skip


def test_exact_for_rate_units_with_several_states_and_a_direct_path():
    nodes = {"x": Node({"op": SOURCE}, 4), "p": Node({"op": UNIT}, 5)}
    weights = np.random.default_rng(1).standard_normal((5, 4))
    program = lower(Graph(nodes, (Edge("x/op/y", "p/op/I", weights, label="in"),)))
    drive = {"x/op/x": np.random.default_rng(2).standard_normal((3, 40, 4))}
    assert_equal(*gradients(program, ["in/weight"], "p/op/r", drive, 0.1, 0.5))


@pytest.mark.parametrize("output", ["all/op/r", ["p3/op/r", "p3/op/v", "p7/op/v"]])
def test_exact_for_sparse_weights(output):
    rng = np.random.default_rng(3)
    nodes = {f"x{i}": Node({"op": SOURCE}) for i in range(30)} | {f"p{i}": Node({"op": UNIT}) for i in range(40)}
    chosen = np.argwhere(rng.random((40, 30)) < 0.04)
    edges = tuple(
        Edge(f"x{pre}/op/y", f"p{post}/op/I", float(rng.standard_normal()), label=f"w{k}")
        for k, (post, pre) in enumerate(chosen)
    )
    program = lower(Graph(nodes, edges))
    assert program.system.projections[0].delivery == "sparse"
    drive = {f"x{i}/op/x": rng.standard_normal((3, 40, 1)) for i in range(30)}
    train = [f"w{k}/weight" for k in range(0, len(edges), 2)]
    found, expected = gradients(program, train, output, drive, 0.1, 0.5)
    for path in expected:
        assert np.max(np.abs(found[path] - expected[path])) < 1e-12, path


def test_exact_for_one_step_of_a_recurrent_net():
    """What goes round through other units takes two steps to come back."""
    program = rate_net(5)
    drive = {"p/op/I": np.random.default_rng(4).standard_normal((3, 2, 5))}
    assert_equal(*gradients(program, ["w/weight"], "p/op/r", drive, 0.1, goal=GOAL[:, :2]))


@pytest.mark.parametrize("kind", ["rate", "spiking"])
def test_near_to_the_gradient_of_a_recurrent_net(kind):
    if kind == "rate":
        program, output, dt = rate_net(20, gain=0.3), "p/op/r", 0.1
        inputs = {"p/op/I": np.random.default_rng(5).standard_normal((3, 40, 20))}
    else:
        program, output, dt, inputs = lif_net(20, 4, recurrent=0.02), "p/op/s", 1.0, SPIKING
    found, expected = gradients(program, ["w/weight"], output, inputs, dt)
    a, b = np.ravel(found["w/weight"]), np.ravel(expected["w/weight"])
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.9
    assert np.max(np.abs(a - b)) > 1e-6 * np.max(np.abs(b)), "the net is not recurrent"
    assert np.max(np.abs(found["readout"] - expected["readout"])) < 1e-10 * np.max(np.abs(expected["readout"]))


TASK = {"p/op/I": 0.5 * RNG.standard_normal((4, 50, 30))}
WAVES = np.stack([np.sin(np.arange(50) / 8), np.cos(np.arange(50) / 5)], axis=1)


@pytest.mark.parametrize("feedback", ["symmetric", "random", "adaptive"])
def test_learns(feedback):
    program = rate_net(30)
    found = fit_eprop(
        program, TASK, np.broadcast_to(WAVES, (4, 50, 2)), output="p/op/r", train=["w/weight"], dt=0.1, lr=0.02,
        epochs=60, feedback=feedback, decay=0.2, seed=1,
    )  # fmt: skip
    loss = found.history["loss"]
    assert loss[-1] < 0.6 * loss[0]
    assert np.any(found.params["w/weight"] != program.get("w/weight"))
    assert found.params["readout"].shape == (2, 30) and found.params["feedback"].shape == (30, 2)
    if feedback == "symmetric":
        assert np.array_equal(found.params["feedback"], found.params["readout"].T)
    if feedback == "adaptive":
        a, b = np.ravel(found.params["feedback"]), np.ravel(found.params["readout"].T)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.3


def test_constraints_hold():
    signs = np.where(np.arange(30) < 24, 1, -1)
    dale = Dale(signs)
    program = rate_net(30)
    program = program.update({"w/weight": dale.project(program.get("w/weight"))})
    found = fit_eprop(
        program, TASK, np.broadcast_to(WAVES, (4, 50, 2)), output="p/op/r", train={"w/weight": dale}, dt=0.1, lr=0.05,
        epochs=5,
    )  # fmt: skip
    assert np.all(found.params["w/weight"] * signs >= 0)


BAD = [
    ({"feedback": "randm"}, OptionError, "Did you mean 'random'"),
    ({"feedback": np.zeros((2, 2))}, ShapeError, r"expected \(units, k\) = \(3, 1\)"),
    ({"decay": 1.0}, OptionError, "decay must be"),
    ({"readout": np.zeros((1, 7))}, ShapeError, r"readout: got shape \(1, 7\), expected \(1, 3\)"),
    ({"solver": "rk4"}, CapabilityError, "Euler steps"),
    ({"train": ["p/op/tau"]}, CapabilityError, "kind parameter"),
    ({"loss": "ce", "targets": np.zeros(10, int)}, ShapeError, "give a readout"),
    ({"output": "o/op/y"}, CapabilityError, "no learning signal"),
    ({"program": rate_net(3, delay=0.3)}, CapabilityError, "delayed edge"),
]


@pytest.mark.parametrize("change, error, text", BAD)
def test_bad_input_is_refused(change, error, text):
    options = {
        "program": rate_net(3, outputs=1), "targets": np.zeros((10, 1)), "output": "p/op/r", "train": ["w/weight"],
        "dt": 0.1, "epochs": 1,
    } | change  # fmt: skip
    with pytest.raises(error, match=text):
        fit_eprop(options.pop("program"), {"p/op/I": np.zeros((10, 3))}, options.pop("targets"), **options)
