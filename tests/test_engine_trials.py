"""Trials: runs side by side with noise and inputs of their own, each what it is by itself."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup, Recorder, Result, simulate, sweep
from recurra.circuits import CircuitTemplate, NodeTemplate, OperatorTemplate
from recurra.errors import CapabilityError, OptionError, RecurraError, ShapeError

STEPS, TRIALS = 40, 3
PATH = {"x": "all/op/x"}


def circuit(delay: float = 0.0) -> CircuitTemplate:
    operator = OperatorTemplate(
        "op", "x' = (u - x + r)/tau + 0.3*xi", {"x": "output(0.2)", "u": "input(0.1)", "r": "input", "tau": 2.0}
    )
    node = NodeTemplate("p", operator)
    edges = [("a/op/x", "b/op/r", None, {"weight": 0.5, **({"delay": delay} if delay else {})})]
    return CircuitTemplate("two", nodes={"a": node, "b": node}, edges=edges)


def alone(trial: int, seed: int = 0) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), trial)


def series(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


@pytest.mark.parametrize("solver", ["euler_maruyama", "stochastic_heun"])
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_a_trial_is_the_run_with_its_seed(solver: str, delay: float) -> None:
    common = {"dt": 0.1, "record": PATH, "solver": solver}
    found = simulate(circuit(delay), 4.0, trials=TRIALS, seed=5, **common)
    assert found["x"].shape == (TRIALS, STEPS, 2)
    for trial in range(TRIALS):
        one = simulate(circuit(delay), 4.0, seed=alone(trial, 5), **common)
        assert np.abs(found["x"][trial] - one["x"]).max() < 1e-12
    spread = np.abs(found["x"][0] - found["x"][1])[1:]
    assert spread.min() > 0


def test_without_noise_and_inputs_trials_are_equal_runs() -> None:
    quiet = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    found = simulate(quiet, 4.0, dt=0.1, trials=2, record="p/vdp_op/x")["p/vdp_op/x"]
    one = simulate(quiet, 4.0, dt=0.1, record="p/vdp_op/x")["p/vdp_op/x"]
    assert np.abs(found - one).max() < 1e-12


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        ((TRIALS, STEPS, 1), {}),
        ((TRIALS, STEPS, 2), {"b/op/r": 0.7}),
        ((TRIALS, STEPS + 1, 2), {"b/op/r": series(STEPS)}),
    ],
)
def test_trials_have_inputs_of_their_own(shape: tuple[int, ...], more: dict) -> None:
    drive = series(*shape)
    common = {"dt": 0.1, "record": PATH}
    found = simulate(circuit(), 4.0, inputs={"all/op/u": drive, **more}, trials=TRIALS, **common)
    for trial in range(TRIALS):
        one = simulate(circuit(), 4.0, inputs={"all/op/u": drive[trial], **more}, seed=alone(trial), **common)
        assert np.abs(found["x"][trial] - one["x"]).max() < 1e-12


def test_inputs_of_trials_beside_shared_ones_of_the_same_variable() -> None:
    first, second = series(TRIALS, STEPS, 1), series(STEPS)
    common = {"dt": 0.1, "record": PATH}
    found = simulate(circuit(), 4.0, inputs={"a/op/u": first, "b/op/u": second}, trials=TRIALS, **common)
    for trial in range(TRIALS):
        own = {"a/op/u": first[trial], "b/op/u": second}
        one = simulate(circuit(), 4.0, inputs=own, seed=alone(trial), **common)
        assert np.abs(found["x"][trial] - one["x"]).max() < 1e-12


def test_trials_of_a_batch_share_their_noise_between_its_runs() -> None:
    values, drive = [1.0, 2.0], series(TRIALS, STEPS, 1)
    common = {"dt": 0.1, "record": PATH, "inputs": {"a/op/u": drive}}
    found = simulate(circuit(), 4.0, batch={"a/op/tau": values}, trials=TRIALS, **common)
    assert found["x"].shape == (2, TRIALS, STEPS, 2)
    for run, tau in enumerate(values):
        one = simulate(circuit(), 4.0, params={"a/op/tau": tau}, trials=TRIALS, **common)
        assert np.abs(found["x"][run] - one["x"]).max() < 1e-12
    dataset = found.to_xarray()
    assert dataset["x"].dims == ("batch", "trial", "time", "x_unit")


def test_trials_of_networks_with_different_delays() -> None:
    common = {"dt": 0.1, "record": PATH, "trials": 2}
    delays = [0.0, 0.3, 0.6]
    found = simulate(circuit(0.3), 4.0, batch={"a/op/x->b/op/r/delay": delays}, **common)
    for run, delay in enumerate(delays):
        one = simulate(circuit(delay), 4.0, **common)
        assert np.abs(found["x"][run] - one["x"]).max() < 1e-12


def test_half_and_the_rest_is_the_whole_and_one_state_begins_many_trials() -> None:
    common = {"dt": 0.1, "record": PATH}
    whole = simulate(circuit(0.3), 4.0, trials=TRIALS, **common)
    half = simulate(circuit(0.3), 2.0, trials=TRIALS, **common)
    rest = simulate(circuit(0.3), 2.0, trials=TRIALS, state=half.final, **common)
    assert np.array_equal(np.concatenate([half["x"], rest["x"]], axis=1), whole["x"])
    begun = simulate(circuit(0.3), 2.0, **common)
    many = simulate(circuit(0.3), 2.0, trials=TRIALS, state=begun.final, **common)
    assert np.abs(many["x"][:, 0] - many["x"][0, 0]).max() == 0 and np.ptp(many["x"][:, 5], axis=0).min() > 0


def test_a_result_of_trials_comes_back_from_a_file_and_from_a_store(tmp_path) -> None:
    plain = simulate(circuit(), 4.0, dt=0.1, record=PATH, trials=TRIALS)
    for name in ("a.npz", "a.nc"):
        plain.save(tmp_path / name)
        again = Result.load(tmp_path / name)
        assert again.to_xarray()["x"].identical(plain.to_xarray()["x"])
    options = {"dt": 0.1, "record": PATH, "store": tmp_path / "s.zarr"}
    stored = simulate(circuit(), 4.0, trials=TRIALS, **options)
    assert np.array_equal(np.asarray(stored["x"]), plain["x"])
    with pytest.raises(RecurraError, match="trials"):
        simulate(circuit(), 4.0, trials=TRIALS + 1, **options)
    with pytest.raises(OptionError, match="axis more"):
        plain.to_dataframe()


def test_a_sweep_measures_every_trial(tmp_path) -> None:
    drive, values = series(TRIALS, STEPS, 1), [0.5, 1.0, 4.0]
    common = {"dt": 0.1, "record": PATH, "inputs": {"a/op/u": drive}, "trials": TRIALS}

    def measure(result: Result) -> dict:
        return {"mean": result["x"].mean(), "last": result["x"][-1]}

    found = sweep(circuit(), {"a/op/tau": values}, 4.0, measure=measure, progress=False, **common)
    assert found["mean"].dims == ("a/op/tau", "trial") and found["last"].dims[:2] == ("a/op/tau", "trial")
    rows = sweep(
        circuit(), {"a/op/tau": values}, 4.0, progress=False, batch=2, store=tmp_path / "s.zarr", **common
    )
    assert rows["x"].dims == ("a/op/tau", "trial", "time", "x_unit")
    for run, tau in enumerate(values):
        one = simulate(circuit(), 4.0, params={"a/op/tau": tau}, **common)["x"]
        assert np.abs(rows["x"].values[run] - one).max() < 1e-12
        assert np.abs(found["mean"].values[run] - one.mean(axis=(1, 2))).max() < 1e-12
        assert np.abs(found["last"].values[run] - one[:, -1]).max() < 1e-12


def test_a_point_of_which_one_trial_diverges_has_failed() -> None:
    drive = np.zeros((2, STEPS, 1))
    drive[1, 10] = np.finfo(float).max
    found = sweep(
        circuit(), {"a/op/tau": [1e-3, 1.0]}, 4.0, dt=0.1, record=PATH, inputs={"a/op/u": drive}, trials=2,
        progress=False, measure=lambda result: result["x"].mean(),
    )  # fmt: skip
    assert found["failed"].values.tolist() == [True, False] and "diverged" in str(found["error"].values[0])


class Walk(Behavior):
    def initialize(self, cells):
        cells.v = cells.vector()

    def iteration(self, cells):
        cells.v += cells.vector("normal(0, 1)")


def test_trials_of_a_network_of_nodes_and_groups() -> None:
    net = Network(dt=0.1, seed=4)
    net.add_diffeq_node("x", "x' = -x + u + 0.1*xi", variables={"x": "output", "u": "input(0.0)"})
    NeuronGroup(net=net, tag="cells", size=4, behavior={1: Walk(), 2: Recorder("v")})
    net.initialize()
    drive = series(TRIALS, STEPS, 1)
    found = net.run({"x": drive}, trials=TRIALS)
    for trial in range(TRIALS):
        one = net.run({"x": drive[trial]}, seed=alone(trial, 4))
        for name in ("out", "cells/v"):
            assert np.abs(found[name][trial] - one[name]).max() < 1e-12, name
    assert np.ptp(found["cells/v"][:, -1], axis=0).min() > 0


@pytest.mark.parametrize("trials", [0, True, 2.5, "a", -1])
def test_a_number_of_trials_that_is_none(trials) -> None:
    with pytest.raises(OptionError, match="trials: expected a whole number of at least 1"):
        simulate(circuit(), 4.0, dt=0.1, trials=trials)


def test_what_trials_cannot_do_is_said() -> None:
    quiet = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    with pytest.raises(CapabilityError, match="cannot run trials; use a fixed step"):
        simulate(quiet, 1.0, dt=0.1, trials=2, solver="tsit5")
    with pytest.raises(ShapeError, match="For 3 trials at once say trials=3"):
        simulate(circuit(), 4.0, dt=0.1, inputs={"a/op/u": series(TRIALS, STEPS, 1)})
    with pytest.raises(ShapeError, match=r"or \(2, 40, 1\) for 2 trials"):
        simulate(circuit(), 4.0, dt=0.1, inputs={"a/op/u": series(TRIALS, STEPS, 1)}, trials=2)
    net = Network(dt=0.1)
    net.add_diffeq_node("x", "x' = -x + u", variables={"x": "output", "u": "input(0.0)"})
    with pytest.raises(ShapeError, match="For 3 trials at once say trials=3"):
        net.run(series(TRIALS, STEPS, 1))
