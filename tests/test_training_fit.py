"""Training by BPTT from end to end: what it learns, batches, history, stopping."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import Graph, Node, Variable, lower, simulate
from recurra.errors import ShapeError, TrainingError
from recurra.training import Bounds, Shared, evaluate, fit_bptt
from training_nets import DRIVE, DT, GOAL, fit, lif_net, operator, rate_net

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
    # Single precision ends at 3e38: the loss is some 1e20, its slope 1e40.
    variables = {"v": Variable("state", 1.0), "y": Variable("algebraic"), "a": Variable("parameter", 0.0)}
    program = lower(Graph({"n": Node({"op": operator(["v' = 0*v", "y = 1e30*a*v"], **variables)})}))
    with pytest.raises(TrainingError, match="gradient is not finite at update 0") as caught:
        fit_bptt(program, None, np.full((5, 1), 1e10), output="n/op/y", train=["n/op/a"], dt=DT)
    assert float(caught.value.result.params["n/op/a"][0]) == 0.0
