"""What a training says where a loss is no number; losses at the edges; validation by the label of a node."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra import Network
from recurra.errors import TrainingError
from recurra.training.losses import LOSSES

FAULTS = [
    ("x' = -x + k + exp(-s*(u - 1))", -20.0, {"s": 5.0}, "exp(-s*(u - 1)) is inf for s = 5, u = -20"),
    ("x' = -x + log(k - 1)*u", 1.0, {}, "log(k - 1) is nan for k = 0.5"),
    (["x' = -x + y*k", "y = sqrt(u)"], -1.0, {"y": "variable"}, "'y = sqrt(u)': sqrt(u) is nan for u = -1"),
    ("x' = -x + k/u", 0.0, {}, "k/u is inf for k = 0.5, u = 0"),
]


def net_of(equations, **more) -> Network:
    net = Network(dt=0.1, seed=0)
    net.add_diffeq_node("a", equations, variables={"x": "output(0.0)", "u": "input", "k": 0.5, **more}, N=2)
    return net


@pytest.mark.parametrize(("equations", "input", "more", "said"), FAULTS)
def test_a_loss_that_is_no_number_names_the_expression(equations, input, more, said):
    inputs, targets = np.ones((3, 10, 2)), np.zeros((3, 10, 2))
    inputs[2, 4:, 1] = input  # only one unit of one trial, from one step on
    if "k - 1" in str(equations):
        inputs[:] = input
    with pytest.raises(TrainingError) as caught:
        net_of(equations, **more).fit_bptt(inputs, targets, train=["a/k"], epochs=2, progress=False)
    text = str(caught.value)
    assert said in text and "Try a smaller lr" in text
    place = "a/op/x[0]' stopped being finite in step 0 of trial 0" if "k - 1" in said else (
        "a/op/x[1]' stopped being finite in step 4 of trial 2"
    )  # fmt: skip
    assert place in text


def test_a_gradient_that_is_no_number_names_the_parameter():
    net = net_of("x' = k - x + 0*u")
    with pytest.raises(TrainingError, match=r"the gradient is not finite at update 0 .* is not finite for a/op/k\."):
        net.fit_bptt(np.ones((10, 2)), np.ones((10, 2)), train=["a/k"], loss=lambda o, t: jnp.sqrt(o - o), epochs=2,
                     progress=False)  # fmt: skip


def test_a_loss_of_its_own_that_is_no_number_is_told_apart():
    net = net_of("x' = k - x + 0*u")
    with pytest.raises(TrainingError, match="Every variable is finite: the loss or a penalty itself is not"):
        net.fit_bptt(np.ones((10, 2)), np.ones((10, 2)), train=["a/k"], loss=lambda o, t: jnp.log(o - 5.0), epochs=2,
                     progress=False)  # fmt: skip


@pytest.mark.parametrize("name", ["nll", "kld"])
def test_what_never_happens_costs_nothing(name):
    """0 log 0 is 0: a class of probability 0 that has the log-probability -inf; by hand."""
    targets, log_p = jnp.array([[0.0, 0.25, 0.75]]), jnp.array([[-jnp.inf, jnp.log(0.5), jnp.log(0.5)]])
    expected = -np.log(0.5) + (0.25 * np.log(0.25) + 0.75 * np.log(0.75) if name == "kld" else 0.0)
    value, slope = jax.value_and_grad(lambda p: LOSSES[name](p, targets).sum())(log_p)
    assert abs(value - expected) < 1e-15
    assert np.array_equal(slope, -targets)


def test_validation_takes_inputs_by_the_label_of_a_node():
    x, y = np.random.default_rng(0).normal(size=(4, 20, 2)), np.full((4, 20, 2), 0.3)
    losses = []
    for inputs, held in (({"a": x}, ({"a": x}, y)), (x, (x, y)), ({"a": x}, (x, y, np.ones((4, 20, 1))))):
        fit = net_of("x' = -k*x + u").fit_bptt(
            inputs, y, train=["a/k"], epochs=3, validation=held, precision="float64", progress=False
        )
        losses.append(fit.history["validation_loss"])
        # The loss of an epoch is that before its update, the validation comes after it.
        assert np.abs(fit.history["validation_loss"][:-1] - fit.history["loss"][1:]).max() < 1e-14
    assert np.array_equal(losses[0], losses[1]) and np.array_equal(losses[0], losses[2])
