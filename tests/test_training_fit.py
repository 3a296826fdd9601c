"""Training by BPTT from end to end: losses, optimisers, masks, history, stopping, checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, rel_entr

from recurra.engine import Graph, Node, Variable, as_function, lower, simulate
from recurra.errors import CapabilityError, OptionError, ShapeError, StoreError, TrainingError
from recurra.training import LOSSES, OPTIMIZERS, Bounds, Shared, evaluate, fit_bptt
from recurra.training.losses import mean_loss, trial_loss
from recurra.training.optimizers import find_optimizer
from training_nets import lif_net, operator, rate_net

DT = 0.1
RNG = np.random.default_rng(0)
DRIVE, GOAL = {"p/op/I": RNG.standard_normal((6, 15, 3))}, RNG.standard_normal((6, 15, 3))
OPTIONS = {"output": "p/op/r", "train": ["w/weight"], "dt": DT, "epochs": 4, "lr": 0.05}


def fit(program=None, drive=DRIVE, goal=GOAL, **options):
    return fit_bptt(rate_net(3) if program is None else program, drive, goal, **(OPTIONS | options))


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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns(name):
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


# What a training learns.


def test_readout_weights_are_recovered():
    """Fact 27 of the reference: adam with lr 0.1 recovers W_out."""
    program = rate_net(8, outputs=2)
    rng = np.random.default_rng(1)
    drive = {"p/op/I": rng.standard_normal((4, 40, 8))}
    goal = evaluate(program, drive, np.zeros((4, 40, 2)), output="o/op/y", dt=DT, precision="float64").outputs
    blank = program.update({"out/weight": np.zeros((2, 8))})
    found = fit_bptt(blank, drive, goal, output="o/op/y", train=["out/weight"], dt=DT, lr=0.1, epochs=600)
    assert np.max(np.abs(found.params["out/weight"] - program.get("out/weight"))) < 1e-3
    assert blank.get("out/weight").any() == np.False_


def test_shared_time_constant_and_gain_from_a_trace():
    tau, k = Variable("parameter", 8.0), Variable("parameter", 0.5)
    cell = operator(["v' = -v/tau + k*I"], v=Variable("state"), tau=tau, k=k, I=Variable("input"))
    program = lower(Graph({"n": Node({"op": cell}, 3)}))
    drive = {"n/op/I": np.random.default_rng(2).standard_normal((200, 3))}
    trace = simulate(program, 20.0, dt=DT, inputs=drive, params={"n/op/tau": 3.0, "n/op/k": 1.2})["n/op/v"]
    found = fit_bptt(
        program, drive, trace, output="n/op/v", dt=DT, lr=0.1, epochs=300, precision="float64",
        train={"n/op/tau": Bounds(0.5, 20.0), "n/op/k": Shared()},
    )  # fmt: skip
    assert np.max(np.abs(found.params["n/op/tau"] - 3.0)) < 1e-2
    assert np.max(np.abs(found.params["n/op/k"] - 1.2)) < 1e-2 and np.ptp(found.params["n/op/k"]) == 0


def test_a_delay_is_found():
    program = rate_net(1, delay=1.5, gain=3.0)
    drive = {"p/op/I": np.random.default_rng(3).standard_normal((1, 120, 1)).cumsum(1) * 0.3}
    goal = evaluate(program, drive, np.zeros((1, 120, 1)), output="p/op/v", dt=DT, precision="float64").outputs
    start = program.update({"w/delay": 1.0})
    found = fit_bptt(
        start, drive, goal, output="p/op/v", dt=DT, lr=0.03, epochs=150, train={"w/delay": Bounds(DT, 3.0)},
        precision="float64",
    )  # fmt: skip
    assert abs(float(found.params["w/delay"].ravel()[0]) - 1.5) < 0.02


def test_spiking_net_learns_through_surrogates():
    program = lif_net(10, 4)
    drive = {"x/op/x": 4 * np.random.default_rng(4).random((4, 40, 4))}
    goal = np.ones((4, 40, 10)) * 1.5
    found = fit_bptt(program, drive, goal, output="p/op/s", train=["in/weight"], dt=1.0, lr=0.02, epochs=30)
    assert found.history["loss"][-1] < 0.7 * found.history["loss"][0]


# Batches, noise, seeds.


def test_batches_see_every_trial_once_and_follow_the_seed():
    first, again, other = fit(batch_size=4, seed=1), fit(batch_size=4, seed=1), fit(batch_size=4, seed=2)
    assert first.updates == 8
    assert np.array_equal(first.params["w/weight"], again.params["w/weight"])
    assert not np.array_equal(first.params["w/weight"], other.params["w/weight"])


def test_noise_is_drawn_anew_for_every_trial_and_epoch():
    cell = operator(["v' = -v + k + 0.1*xi"], v=Variable("state"), k=Variable("parameter", 0.0))
    program = lower(Graph({"n": Node({"op": cell})}))
    found = evaluate(program, None, np.zeros((3, 10, 1)), output="n/op/v", dt=DT, precision="float64")
    assert len({float(v) for v in found.outputs[:, -1, 0]}) == 3
    again = evaluate(program, None, np.zeros((3, 10, 1)), output="n/op/v", dt=DT, precision="float64", batch_size=1)
    assert np.max(np.abs(found.outputs - again.outputs)) < 1e-15
    options = {"output": "n/op/v", "train": ["n/op/k"], "dt": DT, "epochs": 2, "lr": 0.0}
    loss = fit_bptt(program, None, np.zeros((3, 10, 1)), **options).history["loss"]
    assert loss[0] != loss[1]


def test_evaluate_is_simulate():
    program = rate_net(3)
    found = evaluate(program, DRIVE, GOAL, output="p/op/r", dt=DT, precision="float64", batch_size=4)
    for i in range(6):
        drive = {"p/op/I": DRIVE["p/op/I"][i]}
        rows = simulate(program, 1.5, dt=DT, inputs=drive, record={"r": "p/op/r"})["r"]
        assert np.max(np.abs(found.outputs[i] - rows)) < 1e-14
        assert abs(found.losses[i] - np.mean((rows - GOAL[i]) ** 2)) < 1e-14
    assert abs(found.loss - found.losses.mean()) < 1e-15
    one = evaluate(program, {"p/op/I": DRIVE["p/op/I"][0]}, GOAL[0], output="p/op/r", dt=DT, precision="float64")
    assert np.max(np.abs(one.outputs - found.outputs[0])) < 1e-15


def test_class_numbers():
    program = rate_net(3)
    for goal in (np.arange(90).reshape(6, 15) % 3, np.arange(15) % 3):
        assert np.isfinite(fit(program, goal=goal, loss="ce").loss)
    with pytest.raises(ShapeError, match=r"must be 0 ... 2, got 0 ... 3"):
        fit(program, goal=np.full((6, 15), 3) * (np.arange(15) > 1), loss="nll")


# History, validation, early stopping.


def test_history_is_a_table():
    found = fit(validation=(DRIVE, GOAL), batch_size=3)
    table = found.history.to_dataframe()
    assert list(table.columns) == ["updates", "loss", "penalty", "validation_loss", "gradient_norm", "lr", "seconds"]
    assert len(table) == len(found.history) == 4 and list(table["updates"]) == [2, 4, 6, 8]
    assert len(found.history.losses) == 8
    assert np.allclose(np.reshape(found.history.losses, (4, 2)).mean(1), table["loss"])
    last = evaluate(found.program, DRIVE, GOAL, output="p/op/r", dt=DT).loss
    assert abs(last - table["validation_loss"].min()) < 1e-6 and found.loss == table["validation_loss"].min()
    with pytest.raises(ValueError, match="loss"):
        found.history["los"]


def test_the_best_epoch_is_kept():
    """The validation trials ask for the opposite of what is learned, so the first epoch is the best."""
    program = rate_net(3)
    found = fit(program, validation=(DRIVE, -GOAL), patience=2, epochs=50, lr=0.3)
    assert found.stopped == "no smaller loss in 2 epochs"
    assert len(found.history) == found.best_epoch + 3
    loss = evaluate(found.program, DRIVE, -GOAL, output="p/op/r", dt=DT).loss
    assert abs(loss - found.history["validation_loss"].min()) < 1e-6


# Losses that are not finite.


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_parameters():
    cell = operator(["v' = a*v"], v=Variable("state", 1.0), a=Variable("parameter", 1.0))
    program = lower(Graph({"n": Node({"op": cell})}))
    # The second step is so long that v overflows in the third run.
    options = {"optimizer": "sgd", "lr": lambda k: jnp.where(k < 1, 1e-3, 1e30)}
    with pytest.raises(TrainingError, match="not finite at update 2") as caught:
        fit_bptt(program, None, np.zeros((20, 1)), output="n/op/v", train=["n/op/a"], dt=DT, **options)
    error = caught.value
    assert error.update == 2 and "update 2" in error.result.stopped
    good = float(error.result.params["n/op/a"][0])
    assert np.isfinite(good) and good != 1.0 and abs(good) < 10
    assert np.isfinite(simulate(error.result.program, 2.0, dt=DT)["n/op/v"]).all()


def test_a_gradient_that_is_not_finite_stops_too():
    cell = operator(["v' = 0*sqrt(a)"], v=Variable("state", 1.0), a=Variable("parameter", 0.0))
    program = lower(Graph({"n": Node({"op": cell})}))
    with pytest.raises(TrainingError, match="gradient is not finite at update 0") as caught:
        fit_bptt(program, None, np.zeros((5, 1)), output="n/op/v", train=["n/op/a"], dt=DT)
    assert float(caught.value.result.params["n/op/a"][0]) == 0.0


# Checkpoints.


def same(a, b):
    assert all(np.array_equal(a.params[path], b.params[path]) for path in b.params)
    assert a.history.losses == b.history.losses
    for name in ("loss", "penalty", "validation_loss", "gradient_norm", "lr", "updates"):
        assert np.array_equal(a.history[name], b.history[name], equal_nan=True), name
    assert (a.updates, a.best_epoch, a.stopped) == (b.updates, b.best_epoch, b.stopped)


def test_a_resumed_training_equals_an_undisturbed_one(tmp_path):
    options = {"batch_size": 3, "truncate": 5, "validation": (DRIVE, -GOAL)}
    whole = fit(epochs=9, **options)
    path = tmp_path / "training.npz"
    fit(epochs=4, checkpoint=path, **options)
    same(fit(epochs=9, checkpoint=path, resume=True, **options), whole)
    same(fit(epochs=9, checkpoint=path, resume=True, **options), whole)  # nothing is left to do
    fresh = tmp_path / "none.npz"
    same(fit(epochs=9, checkpoint=fresh, resume=True, checkpoint_every=4, **options), whole)
    assert fresh.exists() and not list(tmp_path.glob(".*"))


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "training.npz"
    fit(checkpoint=path)
    changes = [
        ({"lr": 0.1}, "lr was 0.05, now it is 0.1"), ({"goal": GOAL + 1}, "data was"),
        ({"optimizer": "sgd"}, "optimizer was adam"), ({"program": rate_net(3, seed=1)}, "program was"),
    ]  # fmt: skip
    for change, text in changes:
        with pytest.raises(StoreError, match=text):
            fit(checkpoint=path, resume=True, **change)
    path.write_bytes(b"not an archive")
    with pytest.raises(StoreError, match="not an archive"):
        fit(checkpoint=path, resume=True)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_training_fit import fit
found = fit(epochs=4000, batch_size=4, checkpoint=sys.argv[1], checkpoint_every=3)
"""


def test_a_killed_process_is_resumed_bit_for_bit(tmp_path):
    path = tmp_path / "training.npz"
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment)
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was not killed in the middle"
    with np.load(path) as archive:
        done = len(archive["column:epoch"])
    assert 0 < done < 4000
    same(fit(epochs=done + 5, batch_size=4, checkpoint=path, resume=True), fit(epochs=done + 5, batch_size=4))
