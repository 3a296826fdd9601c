"""simulate_recurrent: empty and bad input, activity that runs away, and a single step of it."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coupled_model import B, K, N, T, W, difference, loop_rates, model
from recurra.engine import Clock
from recurra.errors import DivergenceError, OptionError, ShapeError
from recurra.glm import find_observation_model, simulate_recurrent
from recurra.glm.coupled import Coupled
from recurra.glm.observations import Poisson

EMPTY = [
    ({"feedforward_input": np.zeros((0, N, K))}, (0, N)),
    ({"feedforward_input": np.zeros((T, N, 0)), "feedforward_coef": np.zeros((N, 0))}, (T, N)),
    ({"coupling_coef": np.zeros((N, N, 0)), "coupling_basis_matrix": np.zeros((W, 0))}, (T, N)),
    ({"feedforward_input": None, "feedforward_coef": None, "n_time_bins": 6, "init_y": None}, (6, N)),
]


@pytest.mark.parametrize(("change", "shape"), EMPTY)
def test_empty_parts_work(change, shape):
    y, rates = simulate_recurrent(**(model() | change), random_key=0, inverse_link_function="exp")
    assert y.shape == rates.shape == shape
    assert np.all(np.isfinite(rates))


def test_without_an_input_it_is_coupling_alone():
    m = model()
    m["inverse_link_function"] = "exp"
    silent = simulate_recurrent(**(m | {"feedforward_input": 0 * m["feedforward_input"]}), random_key=0)
    without = simulate_recurrent(**(m | {"feedforward_input": None}), random_key=0, n_time_bins=T)
    assert np.array_equal(silent[0], without[0])
    assert difference(silent[1], without[1]) < 1e-15


BAD = [
    ({"intercepts": np.zeros(4)}, ShapeError, "number of neurons is inconsistent.*intercepts \\(n_neurons\\): 4"),
    ({"coupling_coef": np.zeros((2, 3, B))}, ShapeError, "number of neurons is inconsistent.*sender\\)\\): 3"),
    ({"feedforward_coef": np.zeros((2, K))}, ShapeError, "number of neurons is inconsistent"),
    ({"feedforward_input": np.zeros((T, 2, K))}, ShapeError, "number of neurons is inconsistent"),
    ({"init_y": np.zeros((W, 2))}, ShapeError, "number of neurons is inconsistent"),
    ({"init_y": np.zeros((W + 1, N))}, ShapeError, "window size is inconsistent"),
    ({"feedforward_coef": np.zeros((N, K + 1))}, ShapeError, "number of feedforward functions is inconsistent"),
    ({"coupling_coef": np.zeros((N, N, 7))}, ShapeError, "number of coupling functions is inconsistent"),
    ({"feedforward_input": np.zeros((T, N))}, ShapeError, r"expected \(n_time_bins, n_neurons, n_basis_input\)"),
    ({"init_y": np.zeros(N)}, ShapeError, "init_y: expected"),
    ({"intercepts": np.zeros((N, 1))}, ShapeError, r"intercepts: expected \(n_neurons\)"),
    ({"intercepts": 1.0}, ShapeError, "intercepts: expected"),
    ({"coupling_basis_matrix": np.zeros(W)}, ShapeError, "coupling_basis_matrix: expected"),
    ({"coupling_basis_matrix": np.zeros((0, B)), "init_y": np.zeros((0, N))}, ShapeError, "window_size must be above"),
    ({"coupling_basis_matrix": None}, TypeError, "coupling_basis_matrix is missing"),
    ({"feedforward_input": np.full((T, N, K), np.nan)}, OptionError, r"feedforward_input: nan at \(0, 0, 0\)"),
    ({"coupling_coef": np.full((N, N, B), np.inf)}, OptionError, "coupling_coef: inf"),
    ({"init_y": np.full((W, N), np.nan)}, OptionError, "init_y: nan"),
    ({"coupling_coef": {"a": 1}}, TypeError, "coupling_coef: expected an array of real numbers"),
    ({"feedforward_coef": None}, ShapeError, "feedforward_coef: a feedforward_input needs coefficients"),
    ({"feedforward_input": None}, OptionError, "without feedforward_input give the number of bins"),
    ({"feedforward_input": None, "n_time_bins": -1}, OptionError, "zero or above"),
    ({"n_time_bins": 3}, ShapeError, "leave it out"),
    ({"inverse_link_function": "exq"}, OptionError, "unknown inverse link function 'exq'. Did you mean 'exp'"),
    ({"inverse_link_function": np.exp}, OptionError, "jnp.exp, not np.exp"),
    ({"inverse_link_function": jnp.sum}, OptionError, "keep the shape|cannot be traced"),
    ({"inverse_link_function": 3}, TypeError, "expected a name"),
    ({"observation_model": "Poison"}, OptionError, "Did you mean 'Poisson'"),
    ({"observation_model": Poisson}, OptionError, "give an instance"),
    ({"scale": np.ones(2)}, ShapeError, "scale: expected a number or one for each of 3"),
    ({"trials": 0}, OptionError, "trials must be a whole number above zero"),
    ({"on_runaway": "wam"}, OptionError, "unknown value of on_runaway"),
    ({"random_key": 1.5}, TypeError, "random_key: expected a key"),
    ({"random_key": True}, TypeError, "random_key: expected a key"),
    ({"inverse_link_function": "identity"}, DivergenceError, "the mean of neuron . in bin . is -.*exp or softplus"),
]


@pytest.mark.parametrize(("change", "kind", "message"), BAD)
def test_bad_input_is_told(change, kind, message):
    with pytest.raises(kind, match=message):
        simulate_recurrent(**({"random_key": 0} | model() | change))


def runaway(**more):
    return simulate_recurrent(np.full((2, 2, 1), 3.0), None, np.array([-8.0, 0.0]), 0, None, np.ones((3, 1)),
                              None, "exp", n_time_bins=60, **more)  # fmt: skip


def test_runaway_activity_is_named_and_does_not_overflow():
    with pytest.warns(RuntimeWarning, match=r"ran away: the mean of neuron (\d) in bin (\d+).*weaken it"):
        y, rates = runaway()
    assert np.all(np.isfinite(rates)) and np.all(np.asarray(y) >= 0) and int(y.max()) < 2**31 - 1
    assert float(rates.max()) == 1e6
    with pytest.raises(DivergenceError) as caught:
        runaway(on_runaway="raise")
    place = int(np.argmax((np.asarray(rates) >= 1e6).any(axis=1)))
    assert caught.value.step == place
    assert caught.value.variable == f"neuron {int(np.argmax(np.asarray(rates)[place] >= 1e6))}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = runaway(on_runaway="ignore")
    assert np.array_equal(silent[0], y)


def test_runaway_names_the_trial_and_obeys_the_limit():
    with pytest.warns(RuntimeWarning, match="limit of 50, .*|of trial"):
        _, rates = runaway(trials=2, max_rate=50.0)
    assert float(rates.max()) == 50.0


@pytest.mark.parametrize("observation", ["Poisson", "Gaussian"])
def test_a_single_step_is_a_step_of_the_simulation(observation):
    m = {name: jnp.asarray(value) for name, value in model().items()}
    link = {"Poisson": jnp.exp, "Gaussian": lambda x: x}[observation]
    plan = Coupled(link, find_observation_model(observation), 1e6)
    coupling, basis = m["coupling_coef"], m["coupling_basis_matrix"]
    params = plan.parameters(coupling, basis, m["intercepts"], jnp.asarray(0.1))
    state = plan.start(coupling, basis, m["init_y"]) | {"spikes": jnp.zeros(N)}
    step = jax.jit(plan.step)
    drives = np.einsum("ik,tik->ti", m["feedforward_coef"], m["feedforward_input"])
    seen = []
    for k in range(2 * W + 3):
        clock = Clock(jnp.asarray(k), jnp.asarray(0.0), jnp.asarray(1.0), jax.random.key(2))
        state, out = step(state, params, {"drive": jnp.asarray(drives[k])}, clock)
        assert np.array_equal(state["spikes"], out["spikes"])
        seen.append((out["spikes"], out["rate"]))
    y, rates = (np.array(s) for s in zip(*seen, strict=True))
    assert len(np.unique(y)) > 1
    reference = loop_rates(model(), y, {"Poisson": "exp", "Gaussian": "identity"}[observation])
    assert difference(rates, reference) < 1e-12
