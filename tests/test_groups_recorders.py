"""Recorders, event recorders, and everything that a look-up by tag can mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, Result, SynapseGroup
from recurra.errors import OptionError, PathError, RecurraError, ShapeError, UnknownTag
from recurra.groups import GroupNetwork
from recurra.groups.expressions import read_expression
from recurra.groups.recordings import Events, Recording, Rows

SIZE = 4


class Ramp(Behavior):
    """x of unit i after step k is k + i/10; unit i spikes in the steps that are multiples of i + 2."""

    def initialize(self, n):
        n.x = n.vector()
        n.b = np.zeros(n.size, bool)
        n.count = 0
        self.gain = self.parameter("gain", 2.0)

    def iteration(self, n):
        n.x = (n.iteration + n.id / 10).astype(np.float32)
        n.b[:] = n.iteration % (n.id + 2) == 0
        n.count += 1
        n.late = n.iteration % (n.id + 2) == 0


def x_of(steps, size=SIZE):
    return (np.asarray(steps)[:, None] + np.arange(size) / 10).astype(np.float32)


def build(*recorders, steps=6, Net=Network, size=SIZE, tag="cells"):
    net = Net()
    NeuronGroup(net, size, {1: Ramp(), **dict(enumerate(recorders, start=2))}, tag)
    net.initialize()
    net.simulate_iterations(steps, compile=False)
    return net


@pytest.mark.parametrize("Net", [Network, GroupNetwork])
@pytest.mark.parametrize("written", ["x", "n.x", "neurons.x", " n . x "])
@pytest.mark.parametrize("asked", ["x", "n.x", "s.x", "synapse.x", "neurons.x"])
def test_with_or_without_the_prefix_is_the_same(written, asked, Net):
    net = build(Recorder([written], tag="rec"), Net=Net)
    found = net[asked, 0]
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    assert np.array_equal(found, x_of(range(1, 7)))
    assert np.array_equal(net[asked, 0, "np"], found)
    assert np.array_equal(net["rec", 0][asked, 0], found)
    assert np.array_equal(net.cells[asked][0], found)


X = x_of(range(1, 7))
EXPRESSIONS = [
    ("np.mean(x)", X.mean(axis=1)),
    ("np.mean(n.x)", X.mean(axis=1)),
    ("x.mean()", X.mean(axis=1)),
    ("x > 3", X > 3),
    ("n.x>0.5", X > 0.5),
    ("np.clip(x,2,4)", np.clip(X, 2, 4)),
    ("(x > 2) & (x < 4)", (X > 2) & (X < 4)),
    ("~(x > 2)", ~(X > 2)),
    ("x[0]", X[:, 0]),
    ("x[1:3]", X[:, 1:3]),
    ("x[[0, -1]]", X[:, [0, -1]]),
    ("x[x > 0][0:2]", X[:, :2]),
    ("x[:, None]", X[:, :, None]),
    ("x*2 + 1", X * 2 + 1),
    ("-x", -X),
    ("x**2", X**2),
    ("x//2", X // 2),
    ("x%2", X % 2),
    ("x@x", np.einsum("ti,ti->t", X, X)),
    ("np.sum(x, axis=0)", X.sum(axis=1)),
    ("np.where(x > 2, x, 0)", np.where(X > 2, X, np.float32(0))),
    ("np.max(np.abs(x - np.mean(x)))", np.abs(X - X.mean(axis=1, keepdims=True)).max(axis=1)),
    ("np.pi", np.full(6, np.pi)),
    ("iteration", np.arange(1, 7)),
    ("count", np.arange(1, 7)),
    ("size + 1", np.full(6, SIZE + 1)),
    ("x.shape[0]", np.full(6, SIZE)),
    ("Ramp.gain", np.full(6, 2.0)),
    ("network.iteration", np.arange(1, 7)),
    ("b", np.arange(1, 7)[:, None] % (np.arange(SIZE) + 2) == 0),
    ("2**10", np.full(6, 1024.0)),
    ("True", np.full(6, True)),
]


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_expressions(text, expected):
    found = build(Recorder(text))[text, 0]
    assert found.shape == expected.shape
    assert found.dtype.kind == expected.dtype.kind
    assert np.max(np.abs(found.astype(float) - expected)) < 1e-5


class Duck:
    """An array of another kind, which speaks to NumPy by its protocols only; the names of what it passed through."""

    def __init__(self, array, trail=()):
        self.array, self.trail = np.asarray(array), trail

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        plain = [i.array if isinstance(i, Duck) else i for i in inputs]
        return Duck(getattr(ufunc, method)(*plain, **kwargs), (*self.trail, ufunc.__name__))

    def __array_function__(self, func, types, args, kwargs):
        plain = [a.array if isinstance(a, Duck) else a for a in args]
        return Duck(func(*plain, **kwargs), (*self.trail, func.__name__))

    def __getitem__(self, key):
        return Duck(self.array[key.array if isinstance(key, Duck) else key], (*self.trail, "getitem"))

    def __sub__(self, other):
        return np.subtract(self, other)

    def __gt__(self, other):
        return np.greater(self, other)


@pytest.mark.parametrize(
    ("text", "trail"),
    [
        ("np.mean(v)", ("mean",)),
        ("np.exp(v - np.mean(v))", ("subtract", "exp")),
        ("v[v > 1]", ("getitem",)),
        ("np.clip(v, 0, 1)[0]", ("clip", "getitem")),
        ("np.where(v > 1, v, 0)", ("greater", "where")),
        ("n.v", ()),
    ],
)
def test_expressions_work_on_arrays_of_another_kind(text, trail):
    class Parent:
        v = Duck([0.5, 2.0])

    class Plain:
        v = np.array([0.5, 2.0])

    expression = read_expression(text)
    found = expression.value(Parent())
    assert isinstance(found, Duck) and found.trail == trail
    assert np.array_equal(found.array, expression.value(Plain()))


def test_variables_that_the_first_step_makes_can_be_recorded():
    net = build(Recorder("late"), EventRecorder("late"))
    assert net["late", 0].dtype == bool and net["late", 0].shape == (6, SIZE)


def test_variables_that_a_function_outside_makes_can_be_recorded():
    class Calls(Behavior):
        def iteration(self, n):
            outside(n)

    net = Network()
    NeuronGroup(net, 2, {1: Calls(), 2: Recorder("made_outside")})
    net.initialize()
    net.simulate_iterations(2, compile=False)
    assert net["made_outside", 0].tolist() == [1, 2]


def outside(n):
    n.made_outside = n.iteration


GAPS = [(0, range(1, 10)), (1, range(1, 10)), (2, [2, 4, 6, 8]), (3, [3, 6, 9]), (20, [])]


@pytest.mark.parametrize(("gap", "steps"), GAPS)
def test_gapwidth(gap, steps):
    net = build(Recorder("x", gapwidth=gap), steps=9)
    steps = list(steps)
    assert net["x", 0].tolist() == (x_of(steps).tolist() if steps else [])


@pytest.mark.parametrize("length", [1, 3, 100])
@pytest.mark.parametrize("gap", [1, 2])
def test_max_length_keeps_the_last_rows(length, gap):
    net = build(Recorder("x", max_length=length, gapwidth=gap), steps=60)
    steps = np.arange(1, 61)
    assert np.array_equal(net["x", 0], x_of(steps[steps % gap == 0][-length:]))


def test_nothing_is_stale():
    net = build(Recorder("x", tag="rec"), EventRecorder("b", tag="events"), steps=2)
    assert len(net["x", 0]) == 2 and net["b", 0].tolist() == [[2, 0]]
    net.simulate_iterations(3, compile=False)
    assert np.array_equal(net["x", 0], x_of(range(1, 6)))
    first = net["x", 0]
    first[:] = -1
    assert np.array_equal(net["x", 0], x_of(range(1, 6)))
    net["rec", 0].reset()
    assert len(net["x", 0]) == 0 and len(net["b", 0]) > 0
    net.simulate_iterations(1, compile=False)
    assert np.array_equal(net["x", 0], x_of([6]))
    net.clear_recorder()
    assert len(net["x", 0]) == 0 and net["b", 0].shape == (0, 2)
    net.simulate_iterations(2, compile=False)
    net.clear_recorder("events")
    assert len(net["x", 0]) == 2 and len(net["b", 0]) == 0
    net.clear_recorder(["rec"])
    assert len(net["x", 0]) == 0
    net.simulate_iterations(1, compile=False)
    net.initialize()
    assert len(net["x", 0]) == 0


def test_pauses():
    net = build(Recorder("x"), EventRecorder("b"), steps=2)
    net.recording_off()
    net.simulate_iterations(1, compile=False)
    net.recording_on()
    net.simulate_iterations(1, compile=False)
    net.simulate_iterations(2, disable_recording=True, compile=False)
    net.cells.recording = False
    net.simulate_iterations(1, compile=False)
    net.cells.recording = True
    net.deactivate_behaviors("Recorder")
    net.simulate_iterations(1, compile=False)
    net.activate_behaviors("Recorder")
    net.simulate_iterations(1, compile=False)
    assert np.array_equal(net["x", 0], x_of([1, 2, 4, 9]))
    assert net.recording is True
    assert sorted(set(net["b.t", 0])) == [2, 4, 8, 9]


def test_recorded_arrays_are_copies_of_what_was():
    class InPlace(Behavior):
        def initialize(self, n):
            n.v = n.vector()

        def iteration(self, n):
            n.v += 1

    net = Network()
    NeuronGroup(net, 2, {1: InPlace(), 2: Recorder(["v", "v[0:1]", "np.ravel(v)"])})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    for text in ("v", "v[0:1]", "np.ravel(v)"):
        assert net[text, 0][:, 0].tolist() == [1.0, 2.0, 3.0]


def test_types_are_kept_and_widened_where_a_value_needs_it():
    class Widen(Behavior):
        def iteration(self, n):
            n.v = n.iteration > 2 if n.iteration < 4 else n.iteration / 8

    net = Network(behavior={1: Widen(), 2: Recorder("v")})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    assert net["v", 0].dtype == bool
    net.simulate_iterations(2, compile=False)
    assert net["v", 0].tolist() == [0.0, 0.0, 1.0, 0.5, 0.625]


def test_recorders_of_networks_and_synapse_groups():
    class Grow(Behavior):
        def initialize(self, s):
            s.W = s.matrix("ones")

        def iteration(self, s):
            s.W += 1

    net = Network(behavior={3: Recorder("iteration")})
    cells = NeuronGroup(net, 2, {1: Ramp()})
    SynapseGroup(net, cells, cells, "GLU", {1: Grow(), 2: Recorder(["W", "s.W[0]", "np.mean(s.src.x)"])})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    assert net["iteration", 0].tolist() == [1, 2, 3]
    assert net["W", 0].shape == (3, 2, 2) and net["s.W", 0][:, 1, 1].tolist() == [2.0, 3.0, 4.0]
    assert net["W[0]", 0].shape == (3, 2)
    assert np.max(np.abs(net["np.mean(src.x)", 0] - [1.05, 2.05, 3.05])) < 1e-6


def test_add_variable_later():
    net = build(Recorder("x", tag="rec"), steps=1)
    net["rec", 0].add_variable("x * 2")
    net.simulate_iterations(1, compile=False)
    assert net["x", 0].shape == (2, SIZE) and np.array_equal(net["x*2", 0], 2 * x_of([2]))


# Events


def test_events():
    net = build(EventRecorder("b"), steps=7)
    oracle = [(k, i) for k in range(1, 8) for i in range(SIZE) if k % (i + 2) == 0]
    assert net["b", 0].tolist() == [list(event) for event in oracle]
    assert net["b", 0].dtype == np.int64
    for spelling in ("b", "n.b"):
        assert net[f"{spelling}.t", 0].tolist() == [t for t, _ in oracle]
        assert net[f"{spelling}.i", 0, "np"].tolist() == [i for _, i in oracle]


def test_events_of_matrices_and_of_expressions():
    class Matrix(Behavior):
        def iteration(self, n):
            n.m = np.eye(3) * (n.iteration == 2)
            n.v = np.array([0.2, 0.7])

    net = Network()
    NeuronGroup(net, 3, {1: Matrix(), 2: EventRecorder(["m", "v > 0.5"])})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    assert net["m", 0].tolist() == [[2, 0, 0], [2, 1, 1], [2, 2, 2]]
    assert net["m.j", 0].tolist() == [0, 1, 2]
    assert net["v > 0.5", 0].tolist() == [[1, 1], [2, 1], [3, 1]]


def test_events_keep_the_last_ones_and_can_be_empty():
    net = build(EventRecorder("b", max_length=3), steps=7)
    oracle = [[k, i] for k in range(1, 8) for i in range(SIZE) if k % (i + 2) == 0]
    assert net["b", 0].tolist() == oracle[-3:]
    none = build(EventRecorder("b"), steps=0)
    assert none["b", 0].shape == (0, 2) and none["b.t", 0].shape == (0,)


# Whole blocks of rows, which compiled code delivers


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 4), st.one_of(st.none(), st.integers(1, 12)))
def test_blocks_of_rows_equal_rows_one_by_one(blocks, gap, length):
    one, many = Recording("x", "x", gap, length), Recording("x", "x", gap, length)
    first = 1
    for count in blocks:
        rows = np.random.default_rng(first).integers(0, 100, (count, 2))
        for k, row in enumerate(rows):
            one.append(row, first + k)
        many.extend(rows, first)
        first += count
    assert np.array_equal(one.data(), many.data())
    assert np.array_equal(one.iterations(), many.iterations())
    if len(one):
        assert one.iterations().tolist() == [k for k in range(1, first) if k % gap == 0][-(length or first) :]


@given(st.lists(st.integers(0, 5), max_size=6), st.one_of(st.none(), st.integers(1, 6)))
def test_blocks_of_events_equal_events_one_by_one(blocks, length):
    one, many, found = (Events("x", "x", length) for _ in range(3))
    first = 1
    for count in blocks:
        rows = np.random.default_rng(first).integers(0, 2, (count, 3)).astype(bool)
        for k, row in enumerate(rows):
            one.append(row, first + k)
        many.extend(rows, first)
        found.extend_events(np.argwhere(rows) + np.array([first, 0]))
        first += count
    assert np.array_equal(one.data(), many.data()) and np.array_equal(one.data(), found.data())


def test_rows_grow_by_doubling():
    rows, moved, array = Rows("x"), 0, None
    for k in range(5000):
        rows.append(np.float32(k))
        moved += rows._array is not array
        array = rows._array
    assert moved <= 12
    assert np.array_equal(rows.array(), np.arange(5000, dtype=np.float32))


def test_rows_of_limited_length_take_limited_memory():
    rows = Rows("x", max_length=5)
    for k in range(1000):
        rows.append(np.float32(k))
    rows.extend(np.arange(10_000, dtype=np.float32))
    assert len(rows._array) <= 32
    assert rows.array().tolist() == [9995.0, 9996.0, 9997.0, 9998.0, 9999.0]


def test_a_changing_shape_is_an_error_that_names_the_variable():
    class Changes(Behavior):
        def iteration(self, n):
            n.v = np.zeros(n.iteration)

    net = Network()
    NeuronGroup(net, 2, {1: Changes(), 2: Recorder("v")}, "cells")
    net.initialize()
    with pytest.raises(ShapeError, match=r"of 'cells', 'v': its shape was \(1,\) and is \(2,\) now"):
        net.simulate_iterations(2, compile=False)


# Labelled results


def test_recorders_give_labelled_results():
    net = build(Recorder(["x", "np.mean(x)"], gapwidth=2, tag="rec"), steps=6)
    result = net["rec", 0].observer()
    assert isinstance(result, Result)
    assert result.time.tolist() == [2.0, 4.0, 6.0]
    assert np.array_equal(result["x"], x_of([2, 4, 6])) and result["np.mean(x)"].shape == (3, 1)
    assert result["steps"].tolist() == [2, 4, 6] and result.final.step == 6
    assert result.meta["numpy"] == np.__version__ and "recurra" in result.meta
    dataset = net["rec", 0].to_xarray()
    assert dataset["x"].dims == ("time", "x_unit") and dataset["np.mean(x)"].dims == ("time",)
    assert dataset["time"].values.tolist() == [2.0, 4.0, 6.0]
    assert dataset["x_unit"].values.tolist() == [f"x[{i}]" for i in range(SIZE)]
    assert result.to_dataframe().shape == (3, SIZE + 1)


def test_the_network_gives_all_recordings_as_one_result():
    net = Network()
    for tag in ("a", "b"):
        NeuronGroup(net, 2, {1: Ramp(), 2: Recorder("x"), 3: EventRecorder("b")}, tag)
    net.initialize()
    with pytest.raises(OptionError, match="nothing was recorded yet"):
        net.observer()
    net.simulate_iterations(3, compile=False)
    assert net.observer().keys() == ["a/x", "b/x"]
    net.a.add_behavior(9, Recorder("x*2"))
    net.simulate_iterations(1, compile=False)
    with pytest.raises(OptionError, match=r"'a/x \* 2' and 'a/x' were recorded in different steps"):
        net.observer()


# Look-ups


@pytest.fixture(scope="module")
def net():
    net = Network(tag="main")
    a = NeuronGroup(net, 2, {1: Ramp(tag="ramp, first"), 2: Recorder("x", tag="rec")}, "a, exc")
    b = NeuronGroup(net, 3, {1: Ramp(), 2: Recorder("x"), 3: EventRecorder("b")}, ["b", "exc"])
    SynapseGroup(net, a, b, "GLU,fast")
    SynapseGroup(net, "b", "a")
    net.initialize()
    net.simulate_iterations(2, compile=False)
    return net


LOOKUPS = [
    ("main", lambda n: [n]),
    ("Network", lambda n: [n]),
    ("a", lambda n: [n.NeuronGroups[0]]),
    ("exc", lambda n: n.NeuronGroups),
    ("NeuronGroup", lambda n: n.NeuronGroups),
    ("ng", lambda n: n.NeuronGroups),
    ("GLU", lambda n: n.SynapseGroups[:1]),
    ("fast", lambda n: n.SynapseGroups[:1]),
    ("syn", lambda n: n.SynapseGroups),
    ("a_to_b", lambda n: n.SynapseGroups[:1]),
    ("b_to_a", lambda n: n.SynapseGroups[1:]),
    ("SynapseGroup_2", lambda n: n.SynapseGroups[1:]),
    ("first", lambda n: [n.a.behavior[1]]),
    ("Ramp", lambda n: [n.a.behavior[1], n.NeuronGroups[1].behavior[1]]),
    ("rec", lambda n: [n.a.behavior[2]]),
    (2, lambda n: [n.a.behavior[2], n.NeuronGroups[1].behavior[2]]),
    (3.0, lambda n: [n.NeuronGroups[1].behavior[3]]),
    (NeuronGroup, lambda n: n.NeuronGroups),
    (Ramp, lambda n: [n.a.behavior[1], n.NeuronGroups[1].behavior[1]]),
    (Recorder, lambda n: [n.a.behavior[2], n.NeuronGroups[1].behavior[2]]),
    (Network, lambda n: [n]),
]


@pytest.mark.parametrize(("key", "expected"), LOOKUPS, ids=[str(key) for key, _ in LOOKUPS])
def test_every_form_of_tag(net, key, expected):
    expected = expected(net)
    assert net[key] == expected == net.find_objects(key)
    assert net[key, 0] is expected[0] and net[key, -1] is expected[-1]
    assert key in net
    with pytest.raises(UnknownTag, match=f"there is only {len(expected)} of this"):
        net[key, len(expected)]


def test_recordings_of_several_groups_are_in_the_order_of_the_groups(net):
    assert [x.shape for x in net["x"]] == [(2, 2), (2, 3)]
    assert net["x", 1].shape == (2, 3) and net.a["x", 0].shape == (2, 2)


def test_tags_are_attributes_unless_the_name_is_taken(net):
    assert net.a is net.NeuronGroups[0] and net.GLU is net.SynapseGroups[0]
    assert net.a.ramp is net.a.Ramp is net.a.behavior[1]
    with pytest.raises(AttributeError, match="NeuronGroup 'a' has no attribute 'y'"):
        net.a.y


def test_a_tag_that_is_also_the_name_of_a_variable():
    class Current(Behavior):
        def initialize(self, n):
            n.I = n.vector("ones")

    net = Network()
    NeuronGroup(net, 2, {1: Current(tag="I"), 2: Recorder("I")}, "I")
    net.initialize()
    net.simulate_iterations(3, compile=False)
    with pytest.warns(UserWarning, match="NeuronGroup.'I', 2 neurons. has this tag too"):
        assert net["I", 0].shape == (3, 2)  # a group must not hide what was recorded
    assert net["I", 1] is net.I is net.NeuronGroups[0]
    assert net["I", 0, "np"].shape == (3, 2) and net["n.I", 0].shape == (3, 2)
    assert net.NeuronGroups[0].I.tolist() == [1.0, 1.0]


def test_add_tag():
    net = Network()
    cells = NeuronGroup(net, 2, tag="a")
    cells.add_tag("b, a, c")
    assert cells.tags == ["a", "NeuronGroup", "ng", "b", "c"] and net["c", 0] is cells


def test_nodes_and_groups_are_found_alike():
    net = Network(dt=0.1)
    node = net.add_diffeq_node("mass", "v' = -v", variables={"v": "output(1.0)"})
    cells = NeuronGroup(net, 2, {1: Ramp(), 2: Recorder("x")}, "cells")
    assert net["mass"].label == net["mass", 0].label == node.label == "mass"
    assert net["cells"] == [cells]
    assert list(net) == ["mass", "cells"] and len(net) == 2
    assert "mass" in net and "cells" in net and "Ramp" in net and "x" not in net and None not in net
    assert "1 node(s)" in repr(net) and "1 group(s)" in repr(net)
    with pytest.raises(UnknownTag, match=r"unknown tag or recorded variable 'mas'\. Did you mean 'mass'"):
        net["mas"]
    NeuronGroup(net, 2, tag="mass")
    with pytest.raises(PathError, match=r"both a node and NeuronGroup\('mass', 2 neurons\) are called 'mass'"):
        net["mass"]
    assert net["mass", 1].size == 2


# The reader of expressions runs nothing


WORDS = """x n . np ( ) [ ] , : mean clip __class__ __import__ 'a' 1 0 9 ** * + - / & | ~ > < == lambda if else for in
    eval open np.mean( n.x x.mean() x[0] { } := = @ % None True f'{1}' ..."""


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join)))
def test_any_text_is_an_expression_or_an_error_of_recurra(text):
    try:
        expression = read_expression(text)
    except RecurraError as error:
        assert str(error)
        return
    assert not any(name.startswith("_") for name in expression.names)
    assert read_expression(expression.name).name == expression.name


@pytest.mark.parametrize("text", ["(" * 300 + "x" + ")" * 300, "x" + ".T" * 450, "9**9**9**9", "-" * 900 + "x"])
def test_expressions_made_to_hang_do_not(text):
    class X:
        x = np.ones(2)

    try:
        value = read_expression(text).value(X())
    except (RecurraError, OverflowError):
        return
    assert np.size(value) <= 2


def test_what_is_recorded_twice_is_in_results_twice():
    net = Network(dt=0.5)
    for size in (2, 3):
        rules = {0: Recorder("x"), 1: Ramp(), 2: Recorder("x"), 3: EventRecorder("b")}
        NeuronGroup(net, size, tag="cells", behavior=rules)
    net.initialize()
    net.simulate_iterations(4, progress=False)
    found, steps = net.observer(), np.arange(1, 5)
    for name, rows, size in (
        ("cells/x", steps - 1, 2), ("cells/x#2", steps, 2), ("cells#2/x", steps - 1, 3), ("cells#2/x#2", steps, 3),
    ):  # fmt: skip
        exact = np.where(rows[:, None] > 0, x_of(rows, size), 0)
        assert np.array_equal(found[name], exact), name
    run = net.run(steps=3)  # rows of a run are states at its times, whoever records them
    for name, size in (("cells/x", 2), ("cells/x#2", 2), ("cells#2/x", 3), ("cells#2/x#2", 3)):
        assert np.array_equal(run[name], x_of([4, 5, 6], size)), name
    assert set(run.data) == set(found.data)
