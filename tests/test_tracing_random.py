"""Randomness by address, and the watching of bodies."""
# ruff: noqa: NPY002

import jax
import numpy as np
import pytest

from recurra.tracing import Addressed, Body, trace, watch
from tracing_checks import Thing, check, compile_rule, run_compiled

DRAWS = [
    lambda n: np.random.random(5),
    lambda n: np.random.uniform(-1, n.high, 5),
    lambda n: np.random.normal(n.mean, 2.0),
    lambda n: np.random.randn(3),
    lambda n: np.random.exponential(n.high, size=4),
    lambda n: np.random.poisson(n.high, 6),
    lambda n: np.random.randint(0, 10, 5),
    lambda n: np.random.randint(10),
    lambda n: np.random.random(),
    lambda n: np.random.choice(5, 3),
    lambda n: np.random.choice(5, 3, replace=False),
    lambda n: np.random.choice([1.5, 2.5]),
    lambda n: np.random.permutation(6),
    lambda n: n.rng.random(3),
    lambda n: n.rng.random(3, dtype=np.float32),
    lambda n: n.rng.integers(0, 4, 5),
    lambda n: n.rng.integers(7),
    lambda n: n.rng.normal(size=3),
    lambda n: n.rng.choice(4),
    lambda n: n.old.rand(2, 3),
    lambda n: np.random.choice(n.mean, 2, p=[0.1, 0.2, 0.7]),
]


def noisy():
    return Thing(
        high=1.5,
        mean=np.array([0.0, 1.0, 5.0]),
        v=np.arange(5.0),
        rng=np.random.default_rng(),
        old=np.random.RandomState(),
        results=[],
    )


def test_a_traced_step_draws_the_numbers_of_the_eager_one():
    numbers, n = Addressed(0), noisy()
    with numbers.at("0_rule", 0, roots={"n": n}):
        n.results = [draw(n) for draw in DRAWS]

    def rule(n):
        n.high += 0.5
        n.mean += 0.25
        for at, draw in enumerate(DRAWS):
            n.results[at] = draw(n)
        np.random.shuffle(n.v)

    traced = compile_rule(rule, n)
    assert traced.explanation["0_rule"] == "22 random draws"
    state, _ = run_compiled(traced, 2)
    for k in range(2):
        with numbers.at("0_rule", k, roots={"n": n}):
            rule(n)
    assert isinstance(n.rng, np.random.Generator)
    for path, value in state.items():
        expected = n.results[int(path.split("/")[2])] if "results" in path else getattr(n, path.split("/")[1])
        assert value.dtype == np.asarray(expected).dtype, path
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12, err_msg=path)


def test_types_are_those_of_numpy():
    np.random.seed(1)
    n = noisy()
    real = [draw(n) for draw in DRAWS]
    with Addressed(3).at("x", 0, roots={"n": n}):
        ours = [draw(n) for draw in DRAWS]
    for i, (a, b) in enumerate(zip(ours, real, strict=True)):
        assert (type(a), np.asarray(a).dtype, np.shape(a)) == (type(b), np.asarray(b).dtype, np.shape(b)), i


def test_an_address_depends_on_seed_body_draw_and_step():
    def first(seed, name, step):
        with Addressed(seed).at(name, step):
            return tuple(np.random.rand(2)), tuple(np.random.rand(2))

    a, b = first(0, "a", 0)
    assert a != b
    assert first(0, "a", 0) == (a, b)
    assert len({a, b, *first(1, "a", 0), *first(0, "b", 0), *first(0, "a", 1)}) == 8


def test_numpy_is_left_as_it_was():
    before = np.random.rand, np.random.get_state()[1].copy()
    with pytest.raises(RuntimeError), Addressed(0).at("a", 0):
        np.random.rand(3)
        raise RuntimeError
    assert np.random.rand is before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_distributions_have_the_right_moments():
    size = 10_000

    def rule(n):
        n.drawn[0] = np.random.rand(size)
        n.drawn[1] = np.random.normal(1, 2, size)
        n.drawn[2] = np.random.poisson(3, size)
        n.drawn[3] = np.random.exponential(0.5, size)
        n.drawn[4] = np.random.binomial(10, 0.3, size)
        n.drawn[5] = np.random.gamma(2.0, 1.5, size)
        n.drawn[6] = np.random.randint(0, 10, size)
        n.drawn[7] = np.random.beta(1, 2, size)

    state, _ = run_compiled(compile_rule(rule, Thing(drawn=np.zeros((8, size)))), 1, seed=5)
    moments = [(0.5, 1 / 12), (1.0, 4.0), (3.0, 3.0), (0.5, 0.25), (3.0, 2.1), (3.0, 4.5), (4.5, 8.25), (1 / 3, 1 / 18)]
    drawn = dict(zip(moments, state["n/drawn"], strict=True))
    for (mean, variance), values in drawn.items():
        assert abs(values.mean() - mean) < 5 * np.sqrt(variance / size)
        assert abs(values.var() - variance) < 0.1 * variance


def test_draws_are_the_same_whichever_branch_others_take():
    def rule(n):
        n.i += 1
        if n.i % 2:
            n.v += np.random.rand(3)
        n.v += np.random.normal(size=3)

    check(rule, Thing(i=0, v=np.zeros(3)), steps=6)


def test_a_batch_of_seeds():
    def rule(n):
        n.v += np.random.rand(3)

    traced = compile_rule(rule, Thing(v=np.zeros(3)))
    with jax.enable_x64(True):
        keys = jax.vmap(jax.random.key)(np.arange(4))
        out, _ = jax.vmap(lambda key: traced.update(traced.state, {}, {}, 2, key))(keys)
    for seed in range(4):
        with Addressed(seed).at("0_rule", 2):
            np.testing.assert_allclose(out["n/v"][seed], np.random.rand(3), atol=1e-15)


# -- watching ------------------------------------------------------------------------------------------------------


class Group:
    def __init__(self):
        self.drive, self.voltage, self.pattern = np.zeros(2), np.zeros(2), ["a", "b"]
        self.index, self.rate, self.seen, self.gain = 0, 2.0, np.zeros(2), 0.5

    def letter(self):
        self.index += 1
        return self.pattern[self.index % 2]


def source(group):
    group.drive = np.full(2, group.rate) if group.letter() == "a" else np.zeros(2)


def dynamics(group):
    group.voltage *= group.gain
    group.voltage += group.drive


def sink(group):
    group.seen[:] = group.voltage


def test_source_and_sink_are_told_from_what_they_touch():
    group = Group()
    found = {f.__name__: watch(Body(f.__name__, lambda f=f: f(group)), {"g": group}) for f in (source, dynamics, sink)}
    assert found["source"].reads >= {"g/rate", "g/index"}
    assert found["source"].writes == {"g/index", "g/drive"}
    assert found["dynamics"].reads == {"g/voltage", "g/drive", "g/gain"}
    assert found["dynamics"].writes == {"g/voltage"}
    assert found["sink"].writes == {"g/seen"} or found["sink"].writes == set()
    assert found["source"].is_source_for([found["dynamics"], found["sink"]])
    assert not found["dynamics"].is_source_for([found["source"]])
    assert found["sink"].is_sink_for([found["source"], found["dynamics"]])
    assert not found["source"].is_sink_for([found["dynamics"]])


def test_watching_runs_the_body_once_and_as_it_is():
    group, other = Group(), Group()
    for f in (source, dynamics):
        access = watch(Body("x", lambda f=f: f(group)), {"g": group})
        f(other)
        assert access.result is None
    for name, value in vars(other).items():
        assert type(getattr(group, name)) is type(value)
        np.testing.assert_array_equal(getattr(group, name), value)


def test_names_that_are_computed_count_as_everything():
    group = Group()

    def rule(g):
        g.seen = g.seen + getattr(g, "vol" + "tage")

    assert watch(Body("x", lambda: rule(group)), {"g": group}).reads >= {"g/voltage", "g/gain"}


def test_an_attribute_that_is_made_is_reported():
    group = Group()

    def rule(g):
        g.fresh = g.voltage * 2

    access = watch(Body("x", lambda: rule(group)), {"g": group})
    assert access.created == {"g/fresh"} <= access.writes


def test_two_bodies_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two bodies are named 'a'"):
        trace([Body("a", dict), Body("a", dict)], {})
    with pytest.raises(ValueError, match="unknown slot 'n/w'"):
        trace([Body("a", dict)], {"n": Thing(v=np.ones(2))}, given={"n/w": jax.ShapeDtypeStruct((2,), np.float64)})
