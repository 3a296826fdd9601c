"""The ways in which update rules change their attributes: each held against NumPy over several steps."""

import jax
import numpy as np
import pytest

from recurra.tracing import Body, Untraceable, trace
from tracing_checks import Thing, check, compile_rule, run_compiled


def group():
    rng = np.random.default_rng(1)
    return Thing(
        v=rng.uniform(size=8).astype(np.float32),
        u=rng.uniform(size=8),
        m=rng.uniform(size=(3, 8)),
        w=rng.uniform(size=(8, 8)).astype(np.float32),
        spike=np.zeros(8, bool),
        count=np.zeros(8, dtype=np.int64),
        mask=np.array([True, False, True, True, False, False, True, False]),
        order=np.array([3, 1, 1, 7]),
        t=0.0,
        i=0,
        flag=False,
        name="n",
        none=None,
    )


def augmented(n):
    n.v *= 0.9
    n.v += 0.1
    n.v -= n.u
    n.v /= 1.5
    n.count += 1
    n.count -= n.spike
    n.spike |= n.v > 0.2
    n.spike &= n.u > 0.1
    n.u **= 2
    n.count //= 2
    n.count %= 5


def rebind(n):
    n.v = n.v * 0.9
    n.spike = n.v > 0.3
    n.u = n.u + n.v


def out_argument(n):
    np.multiply(n.v, 0.9, out=n.v)
    np.add(n.v, n.u, out=n.v, casting="same_kind")
    np.clip(n.v, 0, 1, out=n.v)
    np.exp(-n.u, out=n.u, where=n.mask)
    np.divide(1.0, n.v, out=np.zeros_like(n.v), where=n.v != 0)
    np.dot(n.w, n.v, out=n.v)
    n.m.sum(axis=0, out=n.u)
    n.v *= 0.1


def whole_assignment(n):
    n.v[:] = n.u
    n.u[...] = n.v * 0.5 + 0.1
    n.spike[:] = n.v > 0.2
    n.m[:] = n.u
    n.m[1] = 0.5
    n.m[:, 2] = n.m[:, 1] * 2
    n.m[-1, ::2] += 1
    n.count[:3] = 2.9
    n.count[3:] += n.spike[3:]
    n.v[0] = 1
    n.v[-1] += 0.25


def scalar_mask_assignment(n):
    n.v[n.v > 0.5] = 0.0
    n.v[n.spike] -= 0.1
    n.u[n.v < 0.2] += 0.3
    n.count[n.v < 0.3] += 1
    n.m[n.m > 0.5] *= 0.5
    n.m[:, n.v > 0.2] += 0.01
    n.spike = n.u > 0.6


def array_mask_assignment(n):
    s = n.v > 0.4
    n.v[s] = n.u[s]
    n.u[s] += n.v[s] * 2 - 1
    n.u[~s] = n.m[0][~s]
    n.m[1, s] = n.u[s]
    n.u %= 1.0
    n.v *= 1.1
    n.v %= 0.9


def constant_mask(n):
    n.v[n.mask] *= 0.5
    n.v[n.mask] += n.u[n.mask]
    n.u[n.mask] = np.arange(4) * 0.1
    n.m[:, n.mask] = n.m[:, ~n.mask] * 0.5
    n.v %= 1.0
    n.t += float(n.mask.sum())


def indices(n):
    n.v[n.order] += 1
    n.u[n.order] = np.array([0.1, 0.2, 0.3, 0.4])
    n.v[[0, 2]] = n.u[[1, 3]]
    n.m[0, n.order] *= 0.5
    n.m[[0, 1], [2, 3]] = 7
    np.add.at(n.u, n.order, 0.25)
    np.subtract.at(n.v, n.order, n.u[n.order])
    np.add.at(n.count, n.order, 1)
    np.maximum.at(n.v, [0, 0, 1], [0.1, 0.2, 0.3])
    n.w[np.ix_(n.order[:2], n.order[2:])] += 1
    n.w[np.ix_(n.mask, ~n.mask)] *= 0.5


def traced_indices(n):
    winner = np.argmax(n.v)
    n.v[winner] = 0
    n.count[winner] += 1
    n.m[0, winner] = 2.0
    n.m[winner % 3] *= 0.5
    n.u[np.argsort(n.u)[-3:]] *= 0.5
    k = np.argpartition(n.v, -2)[-2:]
    n.spike[:] = False
    n.spike[k] = True
    n.u[n.count] = n.v
    n.v += n.u[n.i % 8]
    n.i += 1


def filling(n):
    n.v.fill(0.25)
    n.u.fill(n.v[0])
    np.copyto(n.count, 3)
    np.copyto(n.u, n.v, where=n.mask)
    np.put(n.u, [0, 1], [9, 8])
    n.v.put([2], 4)
    np.putmask(n.u, n.u > 5, 1)
    np.fill_diagonal(n.w, 0)
    n.w.sort(axis=1)


def swapping(n):
    n.v, n.w = n.v * 2, n.w
    n.u, n.extra = n.extra, n.u
    n.u += 0.1
    n.extra *= 0.5


def by_name(n):
    setattr(n, "v", getattr(n, "v") * 0.5)  # noqa: B009, B010
    n.__dict__["u"] = n.__dict__["u"] + 1
    vars(n)["t"] += 0.5
    for name in ("v", "u"):
        setattr(n, name, getattr(n, name) + getattr(n, "w")[0, 0])  # noqa: B009


def rolling(n):
    n.m = np.roll(n.m, 1, axis=0)
    n.m[0] = n.u
    n.w[1:] = n.w[:-1]
    n.w[0] = n.v
    n.u *= 0.9
    n.v += 0.1


def views(n):
    row = n.m[0]
    row *= 0.5
    part = n.v[2:5]
    part += 1
    part[1] = -1
    n.w.T[0] = 0.5
    n.w.T[1:3] *= 0.5
    flat = n.m.reshape(-1)
    flat[10] = 5
    n.m.ravel()[3] += 1
    column = n.m[:, None, 4]
    column += 1
    n.w[2:][0][1:3] = 4
    n.w[::2][:, 1] -= 1
    copied = n.m[[0, 1]]
    copied += 100
    again = n.v.copy()
    again[:] = 100
    for r in n.m:
        r += 0.125
    np.transpose(n.w)[3] = 0.0
    n.u[...][2] += 1


def temporaries(n):
    buffer = np.zeros(8)
    buffer[2:] = n.v[:-2]
    buffer[0] = n.u[0]
    buffer[n.v > 0.3] += 1
    table = np.empty((3, 8), dtype=np.float32)
    for row in range(3):
        table[row] = n.v * row
    ones = np.ones(8, dtype=bool)
    ones[3] = n.v[0] > 5
    n.u = buffer + table.sum(axis=0) * ones
    n.v = n.v * np.float32(0.5)
    listed = np.array([n.v[0], n.v[1], 0.5])
    n.t = 0.5
    n.u[:3] += listed


def numbers(n):
    n.i += 1
    n.t += 0.1
    n.flag = not n.i
    n.v[n.i % 8] += n.t
    n.count += n.i
    n.u *= n.t / (1 + n.i)


def counting_constants(n):
    for i in range(len(n.order)):
        n.v[n.order[i]] += 0.5
    for i, value in enumerate(n.order):
        n.u[i] += value
    if n.name == "n" and n.none is None:
        n.u *= 0.5


def no_change(n):
    return None


def same_value(n):
    n.flag = False
    n.i = 0
    n.name = "n"
    n.v += 1


RULES = [
    augmented, rebind, out_argument, whole_assignment, scalar_mask_assignment, array_mask_assignment, constant_mask,
    indices, traced_indices, filling, by_name, rolling, views, temporaries, numbers, counting_constants, no_change,
    same_value,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_does_what_numpy_does(rule):
    check(rule, group(), tolerance=3e-6)


def test_swapped_attributes_stay_swapped():
    n = group()
    n.extra = n.u[::-1].copy()
    check(swapping, n, writes=["v", "u", "extra"])


def test_what_is_written_read_and_needed_is_told_apart():
    n = group()
    traced = check(scalar_mask_assignment, n)
    assert set(traced.params) == set()
    assert set(traced.baked) == {"n/i", "n/flag"}

    def rule(n):
        n.v += n.w @ n.v * n.scale
        n.v[n.mask] = 0

    n = group()
    n.scale = 0.5
    traced = compile_rule(rule, n)
    assert set(traced.state) == {"n/v"}
    assert set(traced.params) == {"n/w", "n/scale"}
    assert set(traced.baked) == {"n/mask", "n/i", "n/flag"}
    assert traced.stale() == []
    n.mask[0] = False
    n.i = 3
    n.scale = 0.7
    n.w += 1
    assert traced.stale() == ["n/i", "n/mask"]
    assert traced.stale({"n": group()}) == ["n/scale"]


def test_a_parameter_may_change_without_another_trace():
    def rule(n):
        n.v *= n.decay
        n.v += n.drive

    n = Thing(v=np.ones(3), decay=0.5, drive=np.zeros(3))
    traced = compile_rule(rule, n)
    traced.params |= {"n/decay": np.array(0.25), "n/drive": np.array([1.0, 2.0, 3.0])}
    state, _ = run_compiled(traced, 1)
    np.testing.assert_allclose(state["n/v"], [1.25, 2.25, 3.25], atol=1e-12)


def test_a_float_that_is_needed_as_a_number_is_baked():
    def rule(n):
        for _ in range(int(n.repeats)):
            n.v += 1
        if n.gain > 0.5:
            n.v *= n.gain
        n.v *= np.float32(n.fixed)

    n = Thing(v=np.zeros(3), repeats=3.0, gain=0.75, fixed=np.float64(0.5), free=1.0)
    traced = check(rule, n, writes=["v"])
    assert set(traced.baked) == {"n/repeats", "n/gain", "n/fixed"}
    assert traced.params == {}


def test_one_array_under_two_names_is_one_slot():
    def rule(n):
        n.a *= 0.5
        n.b += 1
        m = n.b
        m[0] = 7

    n = Thing(a=np.ones(3), other=0)
    n.b = n.a
    traced = check(rule, n, writes=["a"])
    traced.write_back({"n/a": np.full(3, 9.0)})
    assert n.b is n.a


def test_sharing_between_two_objects_and_bodies():
    def first(n, o):
        n.old = n.v
        n.v = n.v * 0.5

    def second(n, o):
        o.seen = n.old
        n.v += o.gain

    n, o = Thing(v=np.ones(3), old=np.zeros(3)), Thing(seen=np.zeros(3), gain=2.0)
    check([first, second], n, o, warm=2)


def test_an_alias_that_a_body_makes_is_seen_by_the_next():
    def first(n):
        n.trace = n.v

    def second(n):
        n.v *= 0.5

    def third(n):
        n.total = n.total + n.trace

    check([first, second, third], Thing(v=np.ones(3), trace=np.zeros(3), total=np.zeros(3)), warm=1)


def test_an_attribute_that_is_a_view_of_another():
    def rule(n):
        n.buffer[1:] = n.buffer[:-1]
        n.buffer[0] = n.v
        n.late = n.buffer[-1]
        n.v = n.v * 0.9 + n.late

    n = Thing(v=np.arange(4.0), buffer=np.zeros((3, 4)), late=None)
    n.late = n.buffer[-1]
    check(rule, n, steps=6)


def test_writing_through_an_attribute_that_is_a_view():
    def rule(n):
        n.row *= 2
        n.matrix += n.row[0]
        n.column[0] = 1

    def make():
        n = Thing(matrix=np.ones((3, 3)))
        n.row, n.column = n.matrix[1], n.matrix.T[2]
        return n

    n, other = make(), make()
    traced = compile_rule(rule, n)
    assert list(traced.state) == ["n/matrix"]
    state, _ = run_compiled(traced, 5)
    for _ in range(5):
        rule(other)
    traced.write_back(state)
    np.testing.assert_array_equal(n.matrix, other.matrix)
    np.testing.assert_array_equal(n.column, other.column)
    assert np.shares_memory(n.row, n.matrix)


def test_a_list_used_as_a_delay_line():
    from collections import deque

    def rule(n):
        n.line.insert(0, n.v.copy())
        n.v = n.v * 0.5 + n.line.pop()
        n.queue.append(n.v)
        n.v = n.v + n.queue[0]
        n.parts["a"] = n.parts["a"] + 1
        n.parts["b"][0] *= 0.5
        n.pair = (n.pair[1], n.pair[0] + 1.0)
        n.numbers[1] += n.numbers[0]

    n = Thing(
        v=np.ones(2),
        line=[np.zeros(2), np.full(2, 0.5)],
        queue=deque([np.zeros(2), np.ones(2)], maxlen=2),
        parts={"a": np.zeros(3), "b": [np.ones(2), 3]},
        pair=(1.0, 2.0),
        numbers=[1, 2],
    )
    check(rule, n, warm=1)


def test_classes_methods_properties_and_super():
    class Base:
        gain = 0.5

        def __init__(self):
            self.v = np.ones(3)
            self.helper = Filter()

        @property
        def doubled(self):
            return self.v * 2

        @doubled.setter
        def doubled(self, value):
            self.v = value / 2

        def iteration(self):
            self.v += self.gain

    class Derived(Base):
        bias = np.array([0.1, 0.2, 0.3])

        def iteration(self):
            super().iteration()
            self.doubled = self.doubled + self.bias
            self.v = self.helper.smooth(self.v)
            self.step()

        def step(self):
            self.v[0] *= 0.5

    class Filter:
        def __init__(self):
            self.memory = np.zeros(3)
            self.calls = 0

        def smooth(self, v):
            self.memory *= 0.5
            self.memory += v
            self.calls += 1
            return self.memory / self.calls

    model = Derived()
    traced = compile_rule(lambda n: n.iteration(), model)
    assert set(traced.state) == {"n/v", "n/helper/memory", "n/helper/calls"}
    assert set(traced.params) == {"n/gain", "n/bias"}
    state, _ = run_compiled(traced, 4)
    other = Derived()
    for _ in range(4):
        other.iteration()
    np.testing.assert_allclose(state["n/v"], other.v, atol=1e-12)
    np.testing.assert_allclose(state["n/helper/memory"], other.helper.memory, atol=1e-12)
    assert "gain" not in vars(model)


def test_what_a_body_returns_is_emitted():
    def rule(n):
        n.v += 1
        return {"v": n.v, "mean": np.mean(n.v), "i": 3, "some": n.v > 2}

    n = Thing(v=np.arange(3.0))
    traced = compile_rule(rule, n)
    assert {k: (v.shape, str(v.dtype)) for k, v in traced.emitted.items()} == {
        "0_rule/v": ((3,), "float64"),
        "0_rule/mean": ((), "float64"),
        "0_rule/i": ((), "int64"),
        "0_rule/some": ((3,), "bool"),
    }
    _, history = run_compiled(traced, 3)
    assert [h["0_rule/mean"] for h in history] == [2.0, 3.0, 4.0]


def test_what_is_emitted_is_what_was_there_then():
    def recorder(n):
        return {"v": n.v}

    def rule(n):
        n.v += 1

    traced = compile_rule([recorder, rule], Thing(v=np.zeros(1)))
    _, history = run_compiled(traced, 2)
    assert [h["0_recorder/v"][0] for h in history] == [0.0, 1.0]


def test_write_back_keeps_the_arrays_and_the_types():
    def rule(n):
        n.v = n.v + 1
        n.i += 1
        n.t += 0.5
        n.f = n.f * 2
        n.flag = n.i > 1
        n.parts = (n.parts[0] + 1, n.parts[1])

    n = Thing(v=np.zeros(2), i=0, t=0.0, f=np.float32(1), flag=False, parts=(1, "x"))
    kept = n.v
    traced = compile_rule(rule, n)
    state, _ = run_compiled(traced, 2)
    traced.write_back(state)
    assert n.v is kept
    np.testing.assert_array_equal(kept, [2.0, 2.0])
    assert (n.i, n.t, n.flag, n.parts) == (2, 1.0, True, (3, "x"))
    assert [type(x) for x in (n.i, n.t, n.flag, n.f)] == [int, float, bool, np.float32]


def test_an_attribute_made_in_the_step_needs_one_step_before():
    def rule(n):
        n.spike = n.v > 0.5
        n.v *= 0.9

    with pytest.raises(Untraceable, match="creates the attribute n/spike; run one step before tracing"):
        compile_rule(rule, Thing(v=np.ones(3)))
    check(rule, Thing(v=np.ones(3)), warm=1)


def test_values_from_outside():
    import jax

    def rule(n):
        n.v += n.drive

    n = Thing(v=np.zeros(2), drive=np.zeros(2))
    traced = compile_rule(rule, n, given={"n/drive": jax.ShapeDtypeStruct((2,), np.float64)})
    assert set(traced.state) == {"n/v"} and set(traced.inputs) == {"n/drive"} and not traced.params
    with jax.enable_x64(True):
        state, _ = traced.update(traced.state, {}, {"n/drive": np.array([1.0, 2.0])}, 0, jax.random.key(0))
    np.testing.assert_array_equal(state["n/v"], [1.0, 2.0])


def test_what_is_written_to_all_of_an_array_is_reversed():
    # A scatter of one number to all of an array, reversed, ends the process in XLA.
    class Space:
        def __init__(self):
            self.v, self.u, self.w, self.z = np.arange(4.0), np.arange(4.0), np.arange(6.0).reshape(2, 3), np.ones(4)

    def run(space):
        space.v[:] = 0.5 * space.z[0]
        space.u[:] = space.v[::-1] + 1
        space.v[::-1] = space.u * np.arange(4.0)
        space.w[:, ::-1] = space.w + 1
        space.w[0:2, 0:3] *= 2
        np.add.at(space.u, slice(None), 0.25)
        space.z = space.v[::-1] + space.u[::-1] + space.w[::-1, ::-1].sum()

    eager, space = Space(), Space()
    traced = trace([Body("b", lambda: run(space))], {"s": space})
    state = traced.state
    for k in range(3):
        run(eager)
        state, _ = jax.jit(traced.update)(state, traced.params, {}, k, jax.random.key(0))
    for name in "vuwz":
        np.testing.assert_allclose(state[f"s/{name}"], getattr(eager, name))
