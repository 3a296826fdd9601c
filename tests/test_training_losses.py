"""Losses, masks and optimisers of a training, against NumPy, SciPy and optax."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, rel_entr

from recurra.engine import as_function
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.training import LOSSES, OPTIMIZERS
from recurra.training.losses import mean_loss, trial_loss
from recurra.training.optimizers import find_optimizer
from training_nets import DRIVE, DT, GOAL, fit, rate_net

RNG = np.random.default_rng(0)

# Losses, against NumPy, SciPy and optax.

OUT = RNG.standard_normal((7, 4))
REAL = RNG.standard_normal((7, 4))
CLASS = RNG.integers(0, 4, 7)
SIGN = np.where(REAL > 0, 1.0, -1.0)
PROB = np.exp(log_softmax(REAL, axis=1))
LOG = log_softmax(OUT, axis=1)
EXPECTED = {
    "mse": (OUT, REAL, np.mean((OUT - REAL) ** 2)),
    "l1": (OUT, REAL, np.mean(np.abs(OUT - REAL))),
    "nll": (LOG, CLASS, -np.mean(LOG[np.arange(7), CLASS])),
    "ce": (OUT, CLASS, np.mean(optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(OUT), jnp.asarray(CLASS)))),
    "kld": (LOG, PROB, np.mean(np.sum(rel_entr(PROB, np.exp(LOG)), axis=1))),
    "hinge": (OUT, SIGN, np.mean(optax.hinge_loss(jnp.asarray(OUT), jnp.asarray(SIGN)))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    outputs, targets, expected = EXPECTED[name]
    found, _ = trial_loss(LOSSES[name], jnp.asarray(outputs), jnp.asarray(targets), jnp.ones((7, 1)))
    assert abs(float(found) - expected) < 1e-14
    keep = np.arange(7) < 3
    part = [jnp.asarray(a[:3]) for a in (outputs, targets)]
    mask = jnp.asarray(keep[:, None] * 1.0)
    masked, weight = trial_loss(LOSSES[name], jnp.asarray(outputs), jnp.asarray(targets), mask)
    assert abs(float(masked - trial_loss(LOSSES[name], *part, jnp.ones((3, 1)))[0])) < 1e-14
    assert float(weight) in (3.0, 12.0)


def test_losses_of_distributions():
    found, _ = trial_loss(LOSSES["ce"], jnp.asarray(OUT), jnp.asarray(PROB), jnp.ones((7, 1)))
    assert abs(float(found) - np.mean(optax.softmax_cross_entropy(jnp.asarray(OUT), jnp.asarray(PROB)))) < 1e-14
    sure, mask = jnp.asarray([[1.0, 0.0]]), jnp.ones((1, 1))
    slope = jax.grad(lambda p: trial_loss(LOSSES["kld"], jnp.log(p), sure, mask)[0])(jnp.asarray([[0.5, 0.5]]))
    assert np.array_equal(slope, [[-2.0, 0.0]])


def test_what_is_masked_touches_nothing():
    outputs = jnp.asarray([[1.0], [np.inf]])
    mask = jnp.asarray([[1.0], [0.0]])
    found, slope = jax.value_and_grad(lambda y: trial_loss(LOSSES["mse"], y, jnp.zeros((2, 1)), mask)[0])(outputs)
    assert float(found) == 1.0 and float(slope[0, 0]) == 2.0 and float(slope[1, 0]) == 0.0
    assert float(mean_loss(jnp.asarray([3.0, 9.0]), jnp.asarray([2.0, 0.0]))) == 3.0


def test_mask_equals_leaving_out():
    mask = np.ones((6, 15))
    mask[:, 10:] = 0
    spoilt = np.where(mask[:, :, None] > 0, GOAL, np.nan)
    short = {"p/op/I": DRIVE["p/op/I"][:, :10]}
    masked = fit(goal=spoilt, mask=mask, precision="float64").params["w/weight"]
    assert np.max(np.abs(masked - fit(drive=short, goal=GOAL[:, :10], precision="float64").params["w/weight"])) < 1e-13
    units = np.zeros((6, 15, 3))
    units[..., 1] = 1
    one = fit(mask=units, precision="float64").params["w/weight"]
    alone = fit(output="p/op/r[1]", goal=GOAL[..., 1:2], precision="float64").params["w/weight"]
    assert np.max(np.abs(one - alone)) < 1e-13


def test_a_callable_loss():
    own = fit(loss=lambda outputs, targets: (outputs - targets) ** 2).params["w/weight"]
    assert np.array_equal(own, fit().params["w/weight"])
    whole = fit(loss=lambda outputs, targets: jnp.mean((outputs - targets) ** 2)).params["w/weight"]
    assert np.max(np.abs(whole - own)) < 1e-6
    with pytest.raises(ShapeError, match="expected one number per row"):
        fit(loss=lambda outputs, targets: outputs[:4])


# Optimisers, against optax on the same gradients.


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_are_those_of_optax(name):
    x = y = jnp.asarray([1.0, -2.0])
    _, ours, rate = find_optimizer(name, 0.05)
    theirs = getattr(optax, name)(0.05)
    a, b = ours.init(x), theirs.init(y)
    for _ in range(5):
        step, a = ours.update(2 * x, a, x)
        x = x + step
        step, b = theirs.update(2 * y, b, y)
        y = y + step
    assert np.array_equal(x, y) and float(jnp.sum(x**2)) < 5.0 and rate(3) == 0.05


@pytest.mark.parametrize("name", ["sgd", "rprop", "adadelta"])
def test_optimisers_learn(name):
    rate = {"adadelta": 5.0, "sgd": 0.5}.get(name, 0.02)
    found = fit(optimizer=name, lr=rate, epochs=12)
    assert found.history["loss"][-1] < found.history["loss"][0]


def test_gradient_descent_with_clipping_by_hand():
    program = rate_net(3)
    run = as_function(program, 1.5, dt=DT, record={"r": "p/op/r"})
    weights = jnp.asarray(program.get("w/weight"))

    def loss(weights):
        rows = jnp.stack([run({"w/weight": weights}, {"p/op/I": d})["r"] for d in DRIVE["p/op/I"]])
        return jnp.mean((rows - GOAL) ** 2) + 0.1 * jnp.sum(jnp.abs(weights)) + 0.2 * jnp.sum(weights**2)

    schedule = optax.linear_schedule(0.5, 0.125, 3)
    norms, losses = [], []
    for k in range(3):
        slope = jax.grad(loss)(weights)
        norms.append(float(jnp.sqrt(jnp.sum(slope**2))))
        losses.append(float(loss(weights)))
        weights = weights - float(schedule(k)) * slope * min(1.0, 0.5 / norms[-1])
    found = fit(
        optimizer="sgd", lr=schedule, clip=0.5, epochs=3, precision="float64",
        penalties={"l1": {"w/weight": 0.1}, "l2": {"w/weight": 0.2}},
    )  # fmt: skip
    assert np.max(np.abs(found.params["w/weight"] - weights)) < 1e-13
    assert np.max(np.abs(found.history["gradient_norm"] - norms)) < 1e-12
    assert np.max(np.abs(found.history["loss"] + found.history["penalty"] - losses)) < 1e-13
    assert np.allclose(found.history["lr"], [0.5, 0.375, 0.25])


def test_optimiser_objects():
    assert np.array_equal(
        fit(optimizer=optax.adam(0.05), lr=1e-3).params["w/weight"], fit(optimizer="adam").params["w/weight"]
    )
    with pytest.raises(OptionError, match="has its own learning rate"):
        fit(optimizer=optax.adam(0.05), lr=0.1)
    with pytest.raises(OptionError, match="takes no schedule"):
        fit(optimizer="rprop", lr=optax.constant_schedule(0.1))


def test_without_optax_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(CapabilityError, match=r"pip install recurra\[training\]"):
        fit()
