"""Decisions on traced data, and values whose length is only known when the model runs."""
# ruff: noqa: NPY002

import random

import numpy as np
import pytest

from recurra.tracing import Untraceable
from tracing_checks import Thing, check, compile_rule, run_compiled


def group(size=8):
    rng = np.random.default_rng(2)
    return Thing(
        v=rng.uniform(size=size).astype(np.float32),
        u=rng.uniform(size=size),
        w=rng.uniform(size=(size, size)).astype(np.float32),
        wide=rng.uniform(size=(3, size)),
        spike=np.zeros(size, bool),
        count=np.zeros(size, np.int64),
        i=0,
        t=0.0,
        mode=0,
        found=0.0,
        best=np.int64(0),
    )


def simple(n):
    n.v *= 0.9
    if n.v.sum() > 2.5:
        n.v *= 0.5
        n.mode = 1
    else:
        n.v += 0.2


def nested(n):
    n.u *= 1.3
    if n.u.max() > 1:
        if n.u.min() < 0.2:
            n.u[:] = n.u[::-1] * 0.3
        elif n.u.mean() > 0.5:
            n.u -= 0.4
        else:
            n.u *= 0.1
            return
        n.count += 1
    n.i += 1


def counters(n):
    n.i += 1
    n.t += 0.25
    if n.i % 3 == 0:
        n.v[:] = 0
    if n.i > 2 and n.t < 1.1:
        n.u += 1
    n.mode = 2 if n.i % 2 else 3
    n.v += 0.1 if n.mode != 2 else 0.2


def builtins_on_numbers(n):
    n.t = max(n.t, min(0.5, 0.7)) + 0.1
    if any(x > 0.9 for x in n.v[:2]):
        n.v *= 0.5
    if all(n.u[:2] > 0.1):
        n.u *= 0.9
    n.found = n.found + abs(-n.t) + sum(n.v[:3].astype(float)) + n.v[0]
    if n.i in (1,):
        n.v += 0.5
    n.i += 1


def same_memory(n):
    if np.allclose(n.v, 0.0, atol=0.3):
        n.v += 0.7
    n.v *= 0.6
    if np.array_equal(n.spike, n.v > 0.3):
        n.count += 1
    n.spike[:] = n.v > 0.3


def early_return(n):
    n.v *= 1.2
    winners = n.v > 1.0
    if not winners.any():
        return
    n.v[winners] = 0
    n.count[winners] += 1


FORKS = [simple, nested, counters, builtins_on_numbers, same_memory, early_return]


@pytest.mark.parametrize("rule", FORKS, ids=lambda rule: rule.__name__)
def test_both_branches_are_kept(rule):
    n = group()
    if rule is builtins_on_numbers:
        n.found = np.float64(0)
    traced = check(rule, n, steps=8, tolerance=3e-6)
    assert "branch" in traced.explanation[f"0_{rule.__name__}"]


def test_branches_of_large_states_are_conditions():
    import jax

    n = Thing(v=np.linspace(0, 1, 5000), count=np.zeros(5000, np.int64))
    traced = check(early_return, n, steps=6)
    text = str(jax.make_jaxpr(traced.update)(traced.state, traced.params, {}, 0, jax.random.key(0)))
    assert "cond[" in text


def test_the_explanation_counts():
    def rule(n):
        if n.v.sum() > 0:
            n.v += np.random.rand(8)
        n.u += n.w @ (n.v > 0.5)

    said = compile_rule(rule, group()).explanation["0_rule"]
    assert "1 branch" in said and "1 event-driven product" not in said.split(",")[0]


def masked_gathers(n):
    n.v *= 1.3
    s = n.v > 0.8
    n.found = float(0) + np.mean(n.u[s]) if False else n.found
    n.v[s] -= n.v[s] * 0.5 + 0.25
    n.u[s] = np.sqrt(n.u[s]) * n.v[s]
    n.t = 1.0
    n.wide[:, s] *= 0.5
    n.wide[0][s] += 1.0
    n.wide[1, s] = n.u[s]
    n.w[s] += 0.25
    n.w[s] *= 0.5
    n.w[s, 0] = 1.0
    n.wide %= 1.0


def masked_sums(n):
    s = n.v > 0.4
    n.found = n.v[s].sum() + n.u[s].max() + n.u[s].min() + np.mean(n.u[s]) + n.u[s].std()
    n.best = n.v[s].size + np.count_nonzero(n.u[s] > 0.5) + s.sum()
    n.u += np.sum(n.w[:, s], axis=1) * 0.01
    n.u += np.sum(n.w[s], axis=0) * 0.01
    n.u += n.w[:, s].sum(1) * 0.01 + n.w[s].sum(axis=0) * 0.01
    n.u += n.w[:, s] @ n.u[s] * 0.01
    n.u += n.w[:, s].mean(axis=1) * 0.01
    n.u += n.w[s][:, s].sum() * 0.001
    n.v += (n.u[s] > 0.2).any() * 0.01
    n.v += (n.u[s] > 0.2).all() * 0.01
    n.v[s] *= 0.9
    n.u %= 1.0


def outer_updates(n):
    pre = n.v > 0.3
    post = n.u > 0.4
    n.w[np.ix_(post, pre)] += 0.01
    n.w[np.ix_(pre, post)] -= np.outer(n.v[pre], n.u[post]) * 0.1
    n.w[post[:, None] & pre] *= 0.9
    n.w[:, pre] += n.u[:, None] * 0.01
    n.w[post, :] -= n.v * 0.01
    n.w[n.w > 0.8] = 0.5
    n.w[n.w < 0] += n.w[n.w < 0] * -1
    n.v = np.roll(n.v, 1)
    n.u = np.roll(n.u, 3)


def places(n):
    n.v *= 1.25
    idx = np.where(n.v > 0.7)[0]
    n.u[idx] += 1
    n.count[idx] += idx
    n.v[idx] = n.v[idx] * 0.3
    n.best = idx.size + np.int64(0)
    rows, columns = np.nonzero(n.w > 0.6)
    n.w[rows, columns] -= n.u[rows] * 0.1 + n.v[columns] * 0.1
    n.w[np.where(n.w > 0.9)] = 0.1
    n.u[np.flatnonzero(n.u > 1.5)] = 0
    n.u[(idx + 1) % 8] += 0.125
    np.add.at(n.count, idx, 1)
    n.wide[:, idx] *= 0.5
    n.w[np.ix_(idx, idx)] += 0.01
    chosen = idx[n.u[idx] > 0.5]
    n.v[chosen] += 0.01


def masked_where(n):
    s = n.v > 0.5
    n.v[s] = np.where(n.u[s] > 0.5, n.v[s] - 0.5, 0.25)
    n.u[s] = np.clip(n.u[s] * 2, 0, 1)
    n.v[s] += np.exp(-n.u[s]).astype(np.float32)
    n.v %= 0.9
    part = n.u[s].copy()
    part += 1
    part[:] if False else None
    n.u[s] = part * 0.5
    n.count[s] = part.astype(int)
    n.spike = s


MASKS = [masked_gathers, masked_sums, outer_updates, places, masked_where]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", MASKS, ids=lambda rule: rule.__name__)
def test_values_under_a_traced_mask(rule):
    n = group()
    n.best = np.int64(0)
    n.found = np.float64(0)
    check(rule, n, steps=6, tolerance=2e-5)


def test_an_error_of_the_user_is_the_users():
    def rule(n):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        compile_rule(rule, group())

    def shapes(n):
        n.v += np.ones(3)

    with pytest.raises(ValueError, match=r"could not be broadcast|shape mismatch"):
        compile_rule(shapes, group())

    def types(n):
        n.count += n.u

    with pytest.raises(TypeError, match="Cannot cast ufunc 'add' output"):
        compile_rule(types, group())

    def ambiguous(n):
        if n.v > 0:
            n.v += 1

    with pytest.raises(ValueError, match="truth value of an array"):
        compile_rule(ambiguous, group())


def loop(n):
    while n.v.sum() > 1:
        n.v *= 0.5


def python_number(n):
    n.v[: int(n.u.sum())] = 0
    n.u += 1


def over_range(n):
    n.i += 1
    for _ in range(n.i):
        n.v += 1


def printing(n):
    n.v += 1
    print(f"{n.v.mean():.2f}")


def appended(n):
    n.history.append(n.v.copy())


def text(n):
    n.v += 1
    n.name = n.name + "x"


def length(n):
    n.v += 1
    if len(n.v[n.v > 0.5]) > 0:
        n.v -= 1


def other_mask(n):
    n.v[n.v > 0.5] = n.u[n.u > 0.5]
    n.u += 1


def kept_masked(n):
    n.v += 1
    n.u = n.u[n.v > 0.5]


def too_many(n):
    for x in n.v:
        if x > 0.5:
            n.u += 1
    n.v *= 0.9


def converted(n):
    n.v *= 0.9
    n.u[0] = np.float64(n.v.sum())


def mathematics(n):
    import math

    n.t += 0.1
    n.v += math.exp(n.t)


def dictionary(n):
    n.i += 1
    n.v += {1: 0.5, 2: 0.25}.get(n.i, 0)


def unseen_random(n):
    n.v += HIDDEN(8)


def python_random(n):
    import random

    n.v += random.random()


def sparse(n):
    from scipy import sparse as s

    n.v[:] = s.csr_matrix(np.eye(8)) @ n.v


def swallowed(n):
    n.v *= 0.9
    try:
        n.u[0] = int(n.v.sum())
    except:  # noqa: E722
        n.u[0] = 1


def module_array(n):
    OUTSIDE[:] = n.v
    n.v *= 0.5


def dtype_change(n):
    n.count = n.count * 0.5


def kind_change(n):
    n.t = n.t + np.float64(0.5)


def picking_mask_loop(n):
    n.v *= 0.9
    for i in np.where(n.v > 0.5)[0]:
        n.u[i] += 1


def dynamic_slice(n):
    n.i += 1
    n.v[: n.i] = 0


def new_attribute(n):
    n.fresh = n.v * 2


def removed(n):
    n.v += 1
    del n.u


def random_size(n):
    s = n.v > 0.5
    n.v[s] = np.random.rand(s.sum())


def seeding(n):
    np.random.seed(0)
    n.v += np.random.rand(8)


def unknown_draw(n):
    n.v += np.random.zipf(2, 8)


def integer_power(n):
    n.count += 1
    n.u += 2**n.count


def iterator(n):
    n.v[:] = next(n.numbers)


def own_random(n):
    n.v += n.dice.random()


HIDDEN = np.random.rand
OUTSIDE = np.zeros(8)

REFUSED = [
    (loop, r"`while n.v.sum\(\) > 1`: a loop on traced data"),
    (python_number, "needs a number now"),
    (over_range, "range.* needs a number now"),
    (printing, "printing or formatting needs a number now"),
    (appended, "n/history changes its length"),
    (text, "n/name changes from 'a' to 'ax'"),
    (length, r"len\(\) of values picked by a traced mask"),
    (other_mask, "picked by different masks"),
    (kept_masked, "n/u gets a length that is only known"),
    (too_many, "more than 64 branches"),
    (converted, r"needs a number now"),
    (mathematics, r"float\(\) needs a number now"),
    (dictionary, "a key of a dict or a set needs a number now"),
    (unseen_random, "random numbers that are not drawn through"),
    (python_random, "random numbers that are not drawn through"),
    (sparse, "real array"),
    (swallowed, r"int\(\) needs a number now"),
    (module_array, "real array"),
    (dtype_change, r"n/count changes from int64\[8\] to float64\[8\]"),
    (kind_change, "n/t changes from a Python number .* to a NumPy float64"),
    (picking_mask_loop, "a Python loop over values picked by a traced mask"),
    (dynamic_slice, "needs a number now"),
    (new_attribute, "creates the attribute n/fresh"),
    (removed, "deletes the attribute n/u"),
    (random_size, "needs a number now"),
    (seeding, "numpy.random.seed"),
    (unknown_draw, "numpy.random.zipf"),
    (iterator, "n/numbers is a list_iterator, whose state cannot be followed"),
    (own_random, "n/dice is a Random, whose state cannot be followed"),
    (integer_power, "integer power with a traced exponent"),
]


@pytest.mark.parametrize(("rule", "reason"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_compiled_is_named(rule, reason):
    n = group()
    n.v += 0.4
    n.history, n.name, n.numbers, n.dice = [], "a", iter([1, 2]), random.Random(0)
    before = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in vars(n).items()}
    identities = {name: id(value) for name, value in vars(n).items()}
    zeros, rand, state = np.zeros, np.random.rand, np.random.get_state()[1].copy()
    with pytest.raises(Untraceable, match=reason) as caught:
        compile_rule(rule, n)
    assert caught.value.body == f"0_{rule.__name__}"
    if caught.value.line:
        assert caught.value.filename.endswith("test_tracing_branches.py")
        first = rule.__code__.co_firstlineno
        assert first < caught.value.line <= first + 8
    assert {name: id(value) for name, value in vars(n).items()} == identities
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(n, name), value)
    assert np.zeros is zeros and np.random.rand is rand
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert n.history == [] and list(n.numbers) == [1, 2]


def test_the_message_says_body_file_line_and_construct():
    with pytest.raises(Untraceable) as caught:
        compile_rule(loop, group())
    line = loop.__code__.co_firstlineno + 1
    assert str(caught.value) == (f"0_loop at {__file__}:{line}: `while n.v.sum() > 1`: a loop on traced data")


def test_a_branch_that_never_ran_is_right_too():
    def rule(n):
        n.i += 1
        if n.i == 50:
            n.v[:] = -1

    n = Thing(v=np.zeros(3), i=0)
    traced = compile_rule(rule, n)
    state, _ = run_compiled(traced, 50)
    np.testing.assert_array_equal(state["n/v"], -1)


def test_draws_are_shared_by_branches_that_are_computed_together():
    """Draw j of a body is the same number in every branch, so that an `if` more does not draw everything twice."""

    def rule(n):
        for i in range(4):
            if np.random.rand() < 0.5:
                n.v[i] = np.random.normal()
        n.v[5] = np.random.rand()

    traced = check(rule, group())
    assert traced.explanation["0_rule"] == "9 random draws, 15 branches"


def test_branches_that_would_take_long_to_compile_are_refused():
    def rule(n):
        for i in range(6):
            for _ in range(30):
                n.u = n.u * 0.9 + n.v
            if n.v[i] < 0.5:
                n.v[i] += n.u[i]

    n = group()
    with pytest.raises(Untraceable, match="branches on traced data compute more than"):
        compile_rule(rule, n)
