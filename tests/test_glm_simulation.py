"""simulate_recurrent: the golden spikes, an independent loop, gradients, trials, other models."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coupled_model import B, N, T, W, difference, loop_rates, model
from recurra.glm import NegativeBinomial, create_convolutional_predictor, simulate_recurrent
from recurra.glm.simulation import BLOCK

GOLDEN = np.load(Path(__file__).parent / "golden" / "nemos_simulate_recurrent.npz")
META = json.loads(str(GOLDEN["meta_json"]))
# Every shape compiles anew, so single precision is tested on two of the cases only.
CASES = sorted({name.split("__")[0] for name in GOLDEN if name.endswith("x64__spikes")} | {"tiny_x32", "seed_doc_x32"})

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
    assert traces.count((N,)) == 1  # the loop; the other traces check the function with arrays of their own shape


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
