"""simulate_recurrent: the golden spikes, an independent loop, gradients, trials, other models, bad input."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import Clock
from recurra.errors import DivergenceError, OptionError, ShapeError
from recurra.glm import NegativeBinomial, create_convolutional_predictor, find_observation_model, simulate_recurrent
from recurra.glm.coupled import Coupled
from recurra.glm.observations import Poisson
from recurra.glm.simulation import BLOCK

GOLDEN = np.load(Path(__file__).parent / "golden" / "nemos_simulate_recurrent.npz")
META = json.loads(str(GOLDEN["meta_json"]))
# Every shape compiles anew, so single precision is tested on two of the cases only.
CASES = sorted({name.split("__")[0] for name in GOLDEN if name.endswith("x64__spikes")} | {"tiny_x32", "seed_doc_x32"})
LINKS = {"exp": np.exp, "softplus": lambda x: np.logaddexp(0, x), "identity": lambda x: x,
         "logistic": lambda x: 1 / (1 + np.exp(-x))}  # fmt: skip
N, W, B, T, K = 3, 5, 2, 40, 2


def model(seed=0, size=0.1):
    random = np.random.default_rng(seed)
    return {
        "coupling_coef": size * random.normal(size=(N, N, B)),
        "feedforward_coef": random.normal(size=(N, K)),
        "intercepts": -1.5 * np.ones(N),
        "feedforward_input": random.normal(size=(T, N, K)),
        "coupling_basis_matrix": random.uniform(size=(W, B)),
        "init_y": random.poisson(0.5, size=(W, N)).astype(float),
    }


def loop_rates(m, y, link):
    """Compute the rates lag by lag from given observations: the independent reference."""
    window = len(m["coupling_basis_matrix"])
    past, rates = np.concatenate([m["init_y"], np.asarray(y, float)]), []
    for t in range(len(y)):
        eta = np.array(m["intercepts"], float)
        for lag in range(1, window + 1):
            weights = m["coupling_coef"] @ m["coupling_basis_matrix"][lag - 1]
            eta += weights @ past[window + t - lag]
        rates.append(LINKS[link](eta + (m["feedforward_coef"] * m["feedforward_input"][t]).sum(axis=1)))
    return np.array(rates)


def difference(a, b):
    assert np.shape(a) == np.shape(b)
    return float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))))


@pytest.mark.parametrize("case", CASES)
def test_golden_spikes_bit_for_bit_and_rates(case):
    saved = {name.split("__")[1]: GOLDEN[name] for name in GOLDEN if name.startswith(case + "__")}
    key = jax.random.wrap_key_data(saved.pop("key_data"))
    spikes, rates, reference = (saved.pop(n) for n in ("spikes", "rates", "rates_numpy_ref_f64"))
    precise = case.endswith("x64")
    with jax.enable_x64(precise):
        link = {"exp": jnp.exp, "softplus": jax.nn.softplus}[META[case]["link"]]
        ours, our_rates = simulate_recurrent(**saved, random_key=key, inverse_link_function=link)
    assert ours.dtype == spikes.dtype and our_rates.dtype == rates.dtype
    assert np.array_equal(ours, spikes)
    assert np.max(np.abs(our_rates / reference - 1)) < (1e-12 if precise else 2e-6)


@pytest.mark.parametrize("place", range(7))
def test_a_single_spike_in_the_past_is_felt_at_its_lags(place):
    history = np.zeros((7, 2))
    history[place, 0] = 1
    coupling = np.zeros((2, 2, 7))
    coupling[1, 0] = np.arange(1, 8) / 2
    _, rates = simulate_recurrent(coupling, None, np.full(2, -30.0), 0, None, np.eye(7), history, "exp", n_time_bins=9)
    increments = np.log(np.asarray(rates)) + 30
    wanted = np.concatenate([np.arange(7 - place, 8) / 2, np.zeros(9 - place - 1)])
    assert difference(increments[:, 1], wanted) < 1e-12
    assert difference(increments[:, 0], np.zeros(9)) < 1e-12


def test_rates_are_those_of_a_fit_on_convolved_spikes():
    m = model(1)
    m["feedforward_coef"] = 0 * m["feedforward_coef"]
    y, rates = simulate_recurrent(**m, random_key=jax.random.key(5), inverse_link_function="exp")
    assert int(y.sum()) > 5
    features = create_convolutional_predictor(m["coupling_basis_matrix"], y.astype(float)).reshape(T, -1)
    weights = m["coupling_coef"].transpose(1, 2, 0).reshape(N * B, N)
    assert difference(np.exp(features @ weights + m["intercepts"][None, :])[W:], rates[W:]) < 1e-12


def test_blocks_of_random_numbers_change_nothing():
    key, rate, steps = jax.random.key(9), 0.3, 2 * BLOCK + 3
    y, _ = simulate_recurrent(np.zeros((2, 2, 1)), None, np.full(2, rate), key, None, np.ones((3, 1)),
                              inverse_link_function="identity", n_time_bins=steps)  # fmt: skip
    keys = jax.random.split(key, steps)
    assert np.array_equal(y, jax.vmap(lambda k: jax.random.poisson(k, jnp.full(2, rate)))(keys))


OTHERS = [("Bernoulli", "logistic", 1.0), ("Gaussian", "identity", 0.3),
          ("Gamma", "exp", 0.3), (NegativeBinomial(2.0), "softplus", 0.1)]  # fmt: skip


@pytest.mark.parametrize(("observation", "link", "scale"), OTHERS)
def test_rates_of_other_models_agree_with_the_loop(observation, link, scale):
    m = model(2)
    y, rates = simulate_recurrent(**m, random_key=jax.random.key(1), inverse_link_function=link,
                                  observation_model=observation, scale=scale)  # fmt: skip
    assert len(np.unique(y)) > 1
    assert difference(rates, loop_rates(m, y, link)) < 1e-12


def test_scale_reaches_the_noise():
    m = model(2, 0.0)
    given = {"random_key": 1, "inverse_link_function": "identity", "observation_model": "Gaussian"}
    y, rates = simulate_recurrent(**m, **given, scale=np.array([1.0, 4.0, 0.0]))
    z, _ = simulate_recurrent(**m, **given, scale=1.0)
    assert difference(np.asarray(y - rates), np.asarray(z - rates) * [1, 2, 0]) < 1e-12


def test_traced_and_batched_calls_give_the_same_numbers():
    m, keys = model(), jax.random.split(jax.random.key(3), 4)

    def run(key, coupling=m["coupling_coef"]):
        return simulate_recurrent(**{**m, "coupling_coef": coupling}, random_key=key, inverse_link_function=jnp.exp)

    y, rates = run(keys[2])
    for made in (jax.jit(run)(keys[2]), [a[2] for a in jax.jit(jax.vmap(run))(keys)]):
        assert np.array_equal(made[0], y)
        assert difference(made[1], rates) < 1e-14
    couplings = jnp.stack([m["coupling_coef"], 0 * m["coupling_coef"]])
    both = jax.vmap(run, in_axes=(None, 0))(keys[2], couplings)
    assert np.array_equal(both[0][0], y) and not np.array_equal(both[1][0], both[1][1])


def test_trials_are_the_runs_of_split_keys():
    m, key = model(), jax.random.key(3)
    y, rates = simulate_recurrent(**m, random_key=key, inverse_link_function="exp", trials=3)
    assert y.shape == rates.shape == (3, T, N)
    for trial, own in enumerate(jax.random.split(key, 3)):
        alone = simulate_recurrent(**m, random_key=own, inverse_link_function="exp")
        assert np.array_equal(alone[0], y[trial]) and np.array_equal(alone[1], rates[trial])


def test_rates_are_differentiated_with_the_spikes_held_fixed():
    m = model()
    names = list(m)

    def total(*values):
        given = dict(zip(names, values, strict=True))
        return jnp.sum(jnp.sin(simulate_recurrent(**given, random_key=3, inverse_link_function="exp")[1]))

    y, _ = simulate_recurrent(**m, random_key=3, inverse_link_function="exp")
    gradients = jax.grad(total, argnums=tuple(range(len(names))))(*m.values())
    forward = jax.jacfwd(total, argnums=2)(*m.values())
    assert difference(forward, gradients[2]) < 1e-12
    random = np.random.default_rng(4)
    for name, gradient in zip(names, gradients, strict=True):
        way, step = random.normal(size=m[name].shape), 1e-6
        ends = [np.sin(loop_rates({**m, name: m[name] + s * way}, y, "exp")).sum() for s in (step, -step)]
        assert abs(float(np.sum(gradient * way)) - (ends[0] - ends[1]) / (2 * step)) < 1e-6


def test_it_compiles_once_for_the_shapes():
    traces = []

    def link(x):
        traces.append(x.shape)
        return jnp.exp(x)

    for seed in range(3):
        simulate_recurrent(**model(seed), random_key=seed, inverse_link_function=link)
        if seed == 0:
            first = len(traces)
    # Each call traces the function twice to check it, itself and its slope; the first also to compile the loop.
    assert first == 3
    assert len(traces) == first + 2 * 2


def test_single_precision_of_the_arrays_is_kept():
    m = {name: value.astype(np.float32) for name, value in model().items()}
    y, rates = simulate_recurrent(**m, random_key=0, inverse_link_function="exp")
    assert rates.dtype == np.float32
    double = simulate_recurrent(**model(), random_key=0, inverse_link_function="exp")
    assert double[1].dtype == np.float64 and np.array_equal(y, double[0])


def test_keys_of_all_kinds_are_one():
    m = model()
    m["inverse_link_function"] = "exp"
    y, _ = simulate_recurrent(**m, random_key=jax.random.key(7))
    for key in (7, np.int64(7), jax.random.PRNGKey(7), np.asarray(jax.random.PRNGKey(7))):
        assert np.array_equal(simulate_recurrent(**m, random_key=key)[0], y)
    assert not np.array_equal(simulate_recurrent(**m, random_key=8)[0], y)


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
    ({"coupling_coef": np.zeros((2, 3, B))}, ShapeError, "number of neurons is inconsistent.*sender\\): 3"),
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
