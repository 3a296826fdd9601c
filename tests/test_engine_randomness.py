"""The generator written out gives JAX's numbers: the same bits, scaled up to rounding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate, simulate
from recurra.engine import Graph, Node, Operator, Variable, lower, randomness
from recurra.engine.randomness import fold_in, normal, seed_key, stream_address, stream_key, stream_keys, uniform
from recurra.equations import parse_equation
from recurra.errors import OptionError, TemplateError
from recurra.training import fit_bptt


@given(seed=st.integers(-(2**63), 2**63 - 1), data=st.integers(0, 2**32 - 1))
def test_fold_in_is_that_of_jax(seed: int, data: int) -> None:
    key = jax.random.key(seed)
    expected = jax.random.key_data(jax.random.fold_in(key, jnp.uint32(data)))
    assert np.array_equal(jax.random.key_data(fold_in(key, jnp.uint32(data))), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (128,), (3, 5), (2, 3, 4), (0,)])
def test_draws_are_those_of_jax(shape: tuple[int, ...], dtype) -> None:
    for seed in range(3):
        key = jax.random.fold_in(jax.random.key(seed), 5)
        assert np.array_equal(uniform(key, shape, dtype), jax.random.uniform(key, shape, dtype))
        few = 8 * jnp.finfo(dtype).eps
        pairs = (
            (uniform(key, shape, dtype, -2.0, 3.5), jax.random.uniform(key, shape, dtype, -2.0, 3.5)),
            (normal(key, shape, dtype), jax.random.normal(key, shape, dtype)),
        )
        for ours, theirs in pairs:
            assert np.allclose(ours, theirs, rtol=few, atol=few)
        assert uniform(key, shape, dtype).dtype == dtype


def test_draws_under_jit_and_vmap_are_those_of_jax() -> None:
    keys = jax.random.split(jax.random.key(1), 4)
    ours = jax.jit(jax.vmap(lambda key: normal(fold_in(key, 3), (9,), jnp.float64)))(keys)
    theirs = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 3), (9,), jnp.float64))(keys)
    assert np.abs(ours - theirs).max() < 1e-15  # fused, the compiler may contract a product and a sum


def test_another_generator_is_left_to_jax() -> None:
    key = jax.random.key(0, impl="rbg")
    assert np.array_equal(normal(fold_in(key, 2), (5,)), jax.random.normal(jax.random.fold_in(key, 2), (5,)))


def test_streams_of_different_addresses_have_different_keys_for_certain() -> None:
    """Encrypting is one-to-one; the addresses of 100,000 names are different, and so are the keys made of them."""
    addresses = np.array([stream_address(f"node_{i}/op/xi@x") for i in range(100_000)])
    assert len(np.unique(addresses, axis=0)) == 100_000
    keys = jax.random.key_data(stream_keys(jax.random.key(3), jnp.asarray(addresses)))
    assert len(np.unique(np.asarray(keys), axis=0)) == 100_000
    assert not np.array_equal(stream_address("a", "rule"), stream_address("a", "noise"))


def test_names_whose_32_bit_hashes_are_equal_have_independent_noise() -> None:
    """The first four bytes of the BLAKE2s digests of these two paths are the same."""
    noise = NodeTemplate("n", OperatorTemplate("op", "x' = xi", {"x": "output(0.0)"}))
    pair = ("column_26714", "column_43459")
    circuit = CircuitTemplate("c", nodes=dict.fromkeys(pair, noise))
    found = simulate(circuit, 20.0, dt=0.01, seed=3, record={label: f"{label}/op/x" for label in pair}, progress=False)
    first, second = (np.diff(found[label][:, 0]) for label in pair)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(first))


def test_two_streams_with_one_address_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness, "stream_address", lambda path, purpose="noise": np.zeros(2, np.uint32))
    operator = Operator((parse_equation("x' = xi"),), {"x": Variable("state")})
    assert lower(Graph({"a": Node({"op": operator}, 5)})).get("a/op/x").shape == (5,)
    with pytest.raises(TemplateError, match="'b/op/xi@x' and 'a/op/xi@x' would draw the same random numbers"):
        lower(Graph({label: Node({"op": operator}) for label in "ab"}))


@given(seed=st.integers(-(2**63), 2**63 - 1))
def test_a_seed_means_the_same_in_every_precision(seed: int) -> None:
    expected = jax.random.key_data(jax.random.key(seed))
    with jax.enable_x64(False):
        assert np.array_equal(jax.random.key_data(seed_key(seed)), expected)


def test_an_address_is_folded_into_every_kind_of_key() -> None:
    addresses = [stream_address(name) for name in "ab"]
    for impl in ("threefry2x32", "rbg"):
        key = jax.random.key(0, impl=impl)
        first, second = (jax.random.uniform(stream_key(key, address)) for address in addresses)
        assert first != second


NO_SEEDS = [2.0, True, None, "3", [3], np.random.default_rng(3), 2**63, jax.random.split(jax.random.key(1))]


@pytest.mark.parametrize("seed", NO_SEEDS)
def test_what_is_no_seed_is_refused_everywhere(seed) -> None:
    net = Network(dt=0.1)
    net.add_diffeq_node("n", "v' = -v + xi", variables={"v": "output"}, N=1, train_params=[])
    for call in (
        lambda: seed_key(seed),
        lambda: simulate(net, 1.0, dt=0.1, seed=seed),
        lambda: fit_bptt(net.program, None, np.zeros(5), train=["n/op/v"], output="n/op/v", dt=0.1, seed=seed),
    ):
        with pytest.raises(OptionError, match="seed must"):
            call()
