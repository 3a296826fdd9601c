"""Arrays to begin with: every form of `vector` and `matrix`, bit for bit, and parameters of behaviors."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra import Behavior, Network, NeuronGroup, SynapseGroup
from recurra.errors import RecurraError
from recurra.groups import initialisers

SEED, N = 11, 7

ZEROS, ONES = np.zeros(N), np.ones(N)
CONSTANTS = [
    ("zeros", 0.0), ("zeros()", 0.0), ("ones", 1.0), ("ones()", 1.0), (0, 0.0), (2.5, 2.5), (-10, -10.0), (True, 1.0),
    ("0.5", 0.5), ("-1", -1.0), ("+2", 2.0), (" 3 ", 3.0), ("1e-3", 1e-3), (".5", 0.5), ("10%", 0.1), ("full(3)", 3.0),
    ("5*ones()", 5.0), ("-ones()", -1.0), ("2*(1+3)", 8.0), ("ones()/4", 0.25), ("2**3*ones", 8.0), ("2**-1", 0.5),
    (np.float64(1.5), 1.5), (np.int8(3), 3.0), (np.bool_(True), 1.0), (np.array(2.0), 2.0), ("1 - 3", -2.0),
    (False, 0.0), ("1" * 30, float("1" * 30)),
]  # fmt: skip


def group(dtype=np.float32):
    """Make a group in float32, where it can be seen that each draw is cast by itself."""
    return NeuronGroup(Network(seed=SEED, dtype=dtype), N)


@pytest.mark.parametrize(("mode", "value"), CONSTANTS)
def test_constants(mode, value):
    found = group().vector(mode)
    assert found.dtype == np.float32 and found.shape == (N,)
    assert np.array_equal(found, np.full(N, value, np.float32))


DRAWS = [
    ("uniform", lambda r: r.uniform(size=N)),
    ("random", lambda r: r.uniform(size=N)),
    ("rand", lambda r: r.uniform(size=N)),
    ("rnd()", lambda r: r.uniform(size=N)),
    ("uniform(0,2)", lambda r: r.uniform(0, 2, size=N)),
    ("uniform(high=3, low=-1)", lambda r: r.uniform(-1, 3, size=N)),
    ("uniform(-1, 0.5*2)", lambda r: r.uniform(-1, 1, size=N)),
    ("normal", lambda r: r.normal(size=N)),
    ("normal(0.3, 0.1)", lambda r: r.normal(0.3, 0.1, size=N)),
    ("normal(loc=1,scale=2)", lambda r: r.normal(1, 2, size=N)),
    ("lognormal(mean=1,sigma=1)", lambda r: r.lognormal(1, 1, size=N)),
    ("poisson(2)", lambda r: r.poisson(2, size=N)),
    ("exponential(1.0)", lambda r: r.exponential(1.0, size=N)),
    ("beta(1,2)", lambda r: r.beta(1, 2, size=N)),
    ("gamma(2.0)", lambda r: r.gamma(2.0, size=N)),
    ("gamma(shape=2.0, scale=3)", lambda r: r.gamma(2.0, 3, size=N)),
    ("binomial(10,0.5)", lambda r: r.binomial(10, 0.5, size=N)),
    ("randint(0,5)", lambda r: r.randint(0, 5, size=N)),
    ("randint(2**4)", lambda r: r.randint(16, size=N)),
    ("choice([1,2,3])", lambda r: r.choice([1, 2, 3], size=N)),
    ("choice([1,2], p=[0.1,0.9])", lambda r: r.choice([1, 2], p=[0.1, 0.9], size=N)),
    ("choice(20, replace=False)", lambda r: r.choice(20, replace=False, size=N)),
    ("standard_normal", lambda r: r.standard_normal(size=N)),
    ("randn", lambda r: r.randn(N)),
    ("random_sample", lambda r: r.random_sample(size=N)),
    ("triangular(0,1,2)", lambda r: r.triangular(0, 1, 2, size=N)),
    ("vonmises(0, 1)", lambda r: r.vonmises(0, 1, size=N)),
    ("laplace", lambda r: r.laplace(size=N)),
    ("lognormal_rm(2, 0.3)", lambda r: r.lognormal(np.log(2) - 0.3**2 / 2, 0.3, size=N)),
    ("lognormal_real_mean(mean=2, sigma=0.3)", lambda r: r.lognormal(np.log(2) - 0.3**2 / 2, 0.3, size=N)),
    ("uniform_gap(2, 10)", lambda r: r.uniform(1.8, 2.2, size=N)),
]


@pytest.mark.parametrize(("mode", "oracle"), DRAWS, ids=[mode for mode, _ in DRAWS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_equal_those_of_numpy(mode, oracle, dtype):
    expected = oracle(np.random.RandomState(SEED)).astype(dtype)
    found = group(dtype=dtype).vector(mode)
    assert found.dtype == dtype
    assert np.array_equal(found, expected)


def test_each_draw_of_a_sum_is_cast_by_itself_and_in_the_order_of_the_text():
    r = np.random.RandomState(SEED)
    u, n = r.uniform(0, 1, N).astype(np.float32), r.normal(0, 1, N).astype(np.float32)
    found = group().vector("2*uniform(0,1) + normal(0,1)/4 - 1")
    assert found.dtype == np.float32
    assert np.array_equal(found, 2 * u + n / 4 - 1)
    assert np.array_equal(group().vector("uniform()*2"), u * 2)
    assert np.array_equal(group().vector("-uniform"), -u)
    assert np.array_equal(group().vector("uniform**2"), u**2)


@pytest.mark.parametrize(("mode", "dtype"), [("bool", bool), (bool, bool), ("int", np.int64), (int, np.int64)])
def test_types_give_zeros_of_them(mode, dtype):
    found = group().vector(mode)
    assert found.dtype == dtype and not found.any()
    assert group().vector(float).dtype == np.float32


def test_arrays_are_copied_and_cast():
    given_ = np.arange(N)
    found = group().vector(given_)
    found[0] = 9
    assert given_[0] == 0 and found.dtype == np.float32 and np.array_equal(found[1:], given_[1:])
    assert group().vector(list(range(N))).tolist() == list(map(float, range(N)))


DENSITIES = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), np.full(N, 0.5), [0.5] * N]


@pytest.mark.parametrize("density", DENSITIES, ids=lambda d: type(d).__name__ + str(np.shape(d)))
def test_density_draws_after_the_values_whatever_its_type(density):
    r = np.random.RandomState(SEED)
    values = r.uniform(size=N).astype(np.float32)
    kept = r.random_sample(N) <= 0.5
    assert 0 < kept.sum() < N
    assert np.array_equal(group().vector("uniform", density=density), values * kept)
    assert np.array_equal(group().vector("uniform", scale=3, density=density), values * kept * np.float32(3))


def test_density_of_a_matrix_may_be_one_number_for_each_row():
    net = Network(seed=SEED)
    a, b = NeuronGroup(net, 4), NeuronGroup(net, 2)
    found = SynapseGroup(net, a, b).matrix("ones", density=[0.0, 1.0])
    assert found.tolist() == [[0.0] * 4, [1.0] * 4]
    whole = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert SynapseGroup(net, a, b).matrix("ones", density=whole).tolist() == whole.tolist()


@pytest.mark.parametrize("density", [0.0, 0.1, 0.7, 1.0])
def test_density_is_the_share_that_is_kept(density):
    net = Network(seed=SEED)
    a = NeuronGroup(net, 300)
    share = np.count_nonzero(SynapseGroup(net, a, a).matrix("ones", density=density)) / 300**2
    assert abs(share - density) <= 5 * np.sqrt(density * (1 - density)) / 300


def test_statistics_of_the_two_distributions_that_numpy_has_not():
    net = Network(seed=SEED, dtype=np.float64)
    cells = NeuronGroup(net, 200_000)
    x = cells.vector("lognormal_rm(2, 0.3)")
    spread = 2 * np.sqrt(np.exp(0.3**2) - 1)
    assert abs(x.mean() - 2) < 5 * spread / np.sqrt(len(x))
    y = cells.vector("uniform_gap(10, 20)")
    assert 8 <= y.min() < 8.01 and 11.99 < y.max() <= 12


def test_matrix_is_post_pre_or_the_other_way_round():
    for settings, shape in [
        ({}, (2, 3)), ({"syn_dim": "DxS"}, (2, 3)), ({"synapse_mode": "SxD"}, (3, 2)), ({"syn_dim": 0}, (3, 2)),
        ({"synapse_mode": 1, "syn_dim": "DxS"}, (2, 3)),
    ]:  # fmt: skip
        net = Network(settings=settings, seed=SEED)
        synapses = SynapseGroup(net, NeuronGroup(net, 3), NeuronGroup(net, 2))
        W = synapses.matrix("uniform(0, 1)")
        assert W.shape == synapses.matrix_dim() == shape
        assert np.array_equal(W, np.random.RandomState(SEED).uniform(size=shape))
        assert synapses.ignore_transpose_mode(W).shape == (2, 3)


def test_names_of_old_are_the_same_functions():
    net = Network()
    cells = NeuronGroup(net, 3)
    assert cells.get_neuron_vec("ones").tolist() == [1.0] * 3
    synapses = SynapseGroup(net, cells, cells)
    assert synapses.get_synapse_mat("ones").tolist() == [[1.0] * 3] * 3
    assert synapses.set_var("gain", 2) is synapses and synapses.gain == 2


def test_dtype_of_the_network_is_that_of_new_arrays():
    for net in (Network(dtype=np.float64), Network(settings={"dtype": np.float64}), Network(dtype="float64")):
        cells = NeuronGroup(net, 2)
        assert cells.vector().dtype == cells.vector_buffer(3).dtype == cells.get_nparray(3).dtype == np.float64
    assert NeuronGroup(Network(), 2).def_dtype is np.float64
    assert NeuronGroup(Network(precision="float32"), 2).def_dtype is np.float32


def test_buffers_shift_in_place():
    cells = NeuronGroup(Network(), 2)
    buffer = cells.vector_buffer(3)
    assert buffer.shape == (3, 2)
    for step in (1, 2, 3, 4):
        assert cells.buffer_roll(buffer, step) is buffer
    assert buffer[:, 0].tolist() == [4.0, 3.0, 2.0]
    back = cells.vector_buffer(3)
    for step in (1, 2, 3, 4):
        cells.buffer_roll(back, step, counter=True)
    assert back[:, 0].tolist() == [2.0, 3.0, 4.0]


def test_plot_draws_a_histogram():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    group().vector("uniform", plot=True)
    new = set(plt.get_fignums()) - before
    assert len(new) == 1
    plt.close(new.pop())


# Parameters


class Asks(Behavior):
    def initialize(self, n):
        self.got = self.parameter("x", self.default, n)

    default = None


def ask(default, *, size=4, **kwargs):
    behavior = Asks(**kwargs)
    behavior.default = default
    net = Network(seed=SEED)
    NeuronGroup(net, size, {1: behavior}, tag="cells")
    net.initialize()
    return behavior.got


@pytest.mark.parametrize(
    ("given_", "default", "expected"),
    [
        (0.5, 1.0, 0.5), ("0.5", 1.0, 0.5), ("10%", 1.0, 0.1), ("10%", None, 0.1), ("3", 1, 3), ("2.5", 1, 2.5),
        ("3", 1.0, 3.0), ("GLU", "GABA", "GLU"), ("GLU", None, "GLU"), ([1, 2], None, [1, 2]), (None, 1.0, None),
        ("5", "GABA", "5"), (True, False, True), ("7", "uniform(0,1)", 7),
    ],
)  # fmt: skip
def test_parameters_are_what_was_given_or_the_number_in_a_text(given_, default, expected):
    got = ask(default, x=given_)
    assert got == expected and type(got) is type(expected)


def test_parameters_that_were_not_given_are_the_default():
    assert ask(3.0) == 3.0
    assert ask(None) is None
    expected = np.random.RandomState(SEED).uniform(0, 1, 4)
    assert np.array_equal(ask("uniform(0,1)"), expected)


@pytest.mark.parametrize("text", ["normal(0.3,0.1)", "normal(0.3,0.1);plot"])
def test_parameters_differ_between_units_if_a_text_says_so(text):
    import matplotlib.pyplot as plt

    expected = np.random.RandomState(SEED).normal(0.3, 0.1, 4)
    assert np.array_equal(ask(0.5, x=text), expected)
    plt.close("all")


def test_a_distribution_without_brackets_stands_for_a_number_too():
    expected = np.random.RandomState(SEED).uniform(0, 1, 4)
    assert np.array_equal(ask(0.5, x="uniform"), expected)


def test_parameters_of_synapse_groups_are_matrices():
    behavior = Asks(x="uniform(0,1)")
    net = Network(seed=SEED)
    SynapseGroup(net, NeuronGroup(net, 2), NeuronGroup(net, 3), behavior={1: behavior})
    net.initialize()
    assert behavior.got.shape == (3, 2)


def test_other_ways_to_ask():
    class Other(Behavior):
        def initialize(self, n):
            n.v = n.vector("ones")
            self.plain = self.get_init_attr("plain", 1)

    class Taker(Behavior):
        def initialize(self, n):
            self.same = self.parameter("same_as", None, n)
            self.same[0] = 7
            self.shared = self.parameter("plain", 0, n, search_other_behaviors=True)
            self.text = self.parameter("w", None, n, do_not_diversify=True)
            self.first = self.parameter("arg_0", required=True)
            self.set_parameters_as_variables(n)

    net = Network()
    cells = NeuronGroup(net, 2, {1: Other(plain=5), 2: Taker(3, same_as="same(cells, v)", w="uniform(0,1)")}, "cells")
    net.initialize()
    taker = cells.Taker
    assert taker.same.tolist() == [7.0, 1.0] and cells.v.tolist() == [1.0, 1.0]
    assert (taker.shared, taker.text, taker.first) == (5, "uniform(0,1)", 3)
    assert cells.arg_0 == 3 and cells.w.shape == (2,)


def test_a_keyword_that_only_iteration_asks_for_is_known():
    class Late(Behavior):
        def iteration(self, n):
            n.late = self.parameter("late", 0)

    net = Network()
    cells = NeuronGroup(net, 1, {1: Late(late=4)})
    net.initialize()
    net.simulate_iterations(1, compile=False)
    assert cells.late == 4


# The parser runs nothing


WORDS = """__import__ ( ) os . system 'ls' " open eval exec lambda : uniform normal ones , = [ ] { } ** * + - / 9 9e99 1
    0 size None True if else for in x := @ ~ % # np random f'{1}' ... j choice randint ;"""
NASTY = st.sampled_from([*WORDS.split(), "\n", "\\", " "])


@given(st.one_of(st.text(max_size=60), st.lists(NASTY, max_size=25).map(" ".join), st.lists(NASTY).map("".join)))
def test_any_text_gives_an_array_or_an_error_of_recurra(text):
    def trap(*args, **kwargs):
        raise AssertionError("code was run")

    saved = {name: getattr(builtins, name) for name in ("open", "__import__", "eval", "exec")}
    tree = None
    try:
        for name in ("open", "eval", "exec"):
            setattr(builtins, name, trap)
        tree = initialisers.parse(text)
    except RecurraError:
        pass
    finally:
        for name, value in saved.items():
            setattr(builtins, name, value)
    if tree is not None:
        try:
            with np.errstate(all="ignore"):
                found = initialisers.fill(tree, (2,), np.float32, np.random.RandomState(0))
            assert found.shape == (2,)
        except RecurraError as error:
            assert "does not take these numbers" in str(error) or "needs a mean" in str(error)


@pytest.mark.parametrize(
    "text",
    ["(" * 500 + "1" + ")" * 500, "-" * 900 + "1", "9**" * 300 + "9", "1+" * 499 + "1", "[" * 200, "uniform(" * 90],
)
def test_texts_made_to_hang_the_parser_do_not(text):
    try:
        initialisers.parse(text)
    except RecurraError as error:
        assert str(error)
