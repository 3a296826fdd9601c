"""Several constraints at once: all of them hold for any free numbers, or the whole is refused."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra import Network
from recurra.errors import OptionError
from recurra.training import Bounds, Compose, Constraint, Dale, Fixed, LowRank, Mask, Shared
from recurra.training.composition import present_only
from recurra.training.factors import nonnegative_factors

RNG = np.random.default_rng(0)
SIGNS = np.array([1, 1, -1, 1, -1])
PRESENT = RNG.random((4, 5)) < 0.7
KEPT = RNG.random((4, 5)) < 0.3
ROWS = np.outer([1, 0, 1, 1], [1, 1, 1, 0, 1]).astype(bool)
PARTS = {"dale": Dale(SIGNS), "mask": Mask(PRESENT), "bounds": Bounds(-0.5, 2.0), "fixed": Fixed(KEPT)}


def holds(part, value, origin):
    if isinstance(part, Dale):
        return np.all(value * np.asarray(part.signs) >= 0)
    if isinstance(part, Mask):
        return np.all(value[~np.broadcast_to(part.present, value.shape)] == 0)
    if isinstance(part, Bounds):
        return np.all((value >= part.low) & (value <= part.high))
    if isinstance(part, Fixed):
        return np.array_equal(value[part.entries], origin[part.entries])
    if isinstance(part, LowRank):
        sizes = np.linalg.svd(value, compute_uv=False)
        return np.all(sizes[part.rank :] <= 1e-12 * max(sizes[0], 1e-300))
    return np.ptp(value) == 0


def check(together, start, parts=None):
    """Hold a composition against its parts, for free numbers far away too, and its slopes against differences."""
    origin = together.project(start)
    free = together.free(origin, "w")
    with jax.enable_x64(True):
        assert np.allclose(together.value(jax.tree.map(jnp.asarray, free), jnp.asarray(origin)), origin, atol=1e-9)
        for spread in (0.1, 1.0, 30.0):
            moved = jax.tree.map(lambda leaf, s=spread: leaf + s * RNG.standard_normal(np.shape(leaf)), free)
            value = np.asarray(together.value(jax.tree.map(jnp.asarray, moved), jnp.asarray(origin)))
            assert not np.signbit(value[value == 0]).any()
            for part in together.parts if parts is None else parts:
                assert holds(part, value, origin), (part, spread)

        weights = jnp.arange(1.0, origin.size + 1).reshape(origin.shape)

        def loss(free):
            return jnp.sum(jnp.sin(together.value(free, jnp.asarray(origin)) * weights))

        moved = jax.tree.map(lambda leaf: jnp.asarray(leaf + 0.05), free)
        slope, way = jax.grad(loss)(moved), jax.tree.map(lambda leaf: RNG.standard_normal(np.shape(leaf)), free)
        sides = [float(loss(jax.tree.map(lambda a, b, s=s: a + s * 1e-6 * b, moved, way))) for s in (1, -1)]
        along = sum(float(jnp.sum(a * b)) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True))
    assert abs((sides[0] - sides[1]) / 2e-6 - along) < 1e-5 * (1 + abs(along))
    return origin


@pytest.mark.parametrize("names", [n for k in (2, 3, 4) for n in itertools.permutations(PARTS, k)][::3])
def test_constraints_of_entries_hold_in_any_order(names):
    check(Compose(*(PARTS[name] for name in names)), RNG.standard_normal((4, 5)))


def test_order_changes_nothing():
    start = RNG.standard_normal((4, 5))
    one, other = Compose(*PARTS.values()), Compose(*reversed(PARTS.values()))
    origin = one.project(start)
    assert np.array_equal(origin, other.project(start))
    free = one.free(origin, "w") + 0.3
    assert np.array_equal(one.value(free, jnp.asarray(origin)), other.value(free, jnp.asarray(origin)))


@pytest.mark.parametrize("others", [(Dale(SIGNS),), (Mask(ROWS),), (Dale(SIGNS), Mask(ROWS)), (LowRank(4),)])
@pytest.mark.parametrize("rank", [1, 2])
def test_low_rank_keeps_its_rank_with_signs_and_empty_rows(rank, others):
    for parts in ((LowRank(rank), *others), (*others, LowRank(rank))):
        check(Compose(*parts), RNG.standard_normal((4, 5)))


def test_full_rank_with_signs_is_what_signs_ask_for():
    check(Compose(LowRank(4), Dale(SIGNS)), RNG.standard_normal((4, 5)))


@pytest.mark.parametrize("others", [(Bounds(0.1, 3.0),), (Dale(np.ones(5)), Bounds(-1.0, 1.0)), (LowRank(2),)])
def test_one_number_stays_one(others):
    origin = check(Compose(*others, Shared()), np.abs(RNG.standard_normal((4, 5))))
    assert np.ptp(origin) == 0


def test_factors_of_small_rank_are_exact():
    for _ in range(20):
        m, n = RNG.integers(2, 8, 2)
        left, right = RNG.random((m, 2)) * (RNG.random((m, 2)) < 0.7), RNG.random((2, n)) * (RNG.random((2, n)) < 0.7)
        for matrix in (left @ right, left[:, :1] @ right[:1]):
            a, b = nonnegative_factors(matrix, 2)
            assert (a >= 0).all() and (b >= 0).all() and np.abs(a @ b - matrix).max() < 1e-12


class Normalised(Constraint):
    """The weights that reach a unit add up to 1."""

    def free(self, value, where):
        return value

    def value(self, free, origin):
        return free / free.sum(axis=1, keepdims=True)

    def project(self, value):
        return np.asarray(value) / np.asarray(value).sum(axis=1, keepdims=True)


def test_constraints_of_the_users_own():
    start = np.abs(RNG.standard_normal((4, 5)))
    keeps = Compose(Dale(np.ones(5)), Normalised())
    origin = keeps.project(start)
    value = np.asarray(keeps.value(keeps.free(origin, "w") + 0.5, jnp.asarray(origin)))
    assert np.all(value >= 0) and np.abs(value.sum(axis=1) - 1).max() < 1e-6
    with pytest.raises(OptionError, match="Normalised does not hold where Normalised, Bounds are applied"):
        both = Compose(Normalised(), Bounds(-9.0, 9.0))
        both.free(np.full((4, 5), 0.2), "w")


W = np.full((4, 5), 0.5)
BAD = {
    "nothing between": (Compose(Bounds(0.0, 1.0), Bounds(2.0, 3.0)), "the bounds contradict"),
    "mask and bounds": (Compose(Bounds(0.1, 1.0), Mask(PRESENT)), "they contradict. Give the mask to the edge"),
    "signs and bounds": (Compose(Bounds(0.1, 1.0), Dale(SIGNS)), "Dale asks for the sign -.*contradict in 8 entries"),
    "two signs": (Compose(Dale(SIGNS), Dale(-SIGNS)), "two Dale ask for different signs"),
    "shared and fixed": (Compose(Shared(), Fixed(KEPT)), "Shared and Fixed contradict"),
    "shared and mask": (Compose(Mask(PRESENT), Shared()), "Shared and Mask contradict"),
    "shared and signs": (Compose(Shared(), Dale(SIGNS)), "Shared and Dale contradict"),
    "rank and fixed": (Compose(LowRank(2), Fixed(KEPT)), "LowRank goes with Dale.*but not with Fixed"),
    "rank and bounds": (Compose(Bounds(0.0, 1.0), LowRank(2)), "but not with Bounds"),
    "rank and entries": (Compose(LowRank(2), Mask(PRESENT)), "LowRank and a Mask of single entries contradict"),
    "rank 3 and signs": (Compose(LowRank(3), Dale(np.ones(5))), "above rank 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_contradicts_is_refused(case):
    together, text = BAD[case]
    with pytest.raises(OptionError, match=text):
        together.free(W, "w")


def test_starts_that_break_a_part_are_refused():
    broken = Compose(Dale(SIGNS), Fixed(np.ones((4, 5), bool)))
    with pytest.raises(OptionError, match="break Dale"):
        broken.free(W, "w")
    with pytest.raises(OptionError, match=r"fixed entries are not within Bounds\(lower=0.0, upper=0.2\)"):
        Compose(Bounds(0.0, 0.2), Fixed(np.ones((4, 5), bool))).free(W, "w")
    with pytest.raises(OptionError, match="no product of rank 2"):
        Compose(LowRank(2), Dale(np.ones(4))).free(np.eye(4) + 0.1, "w")


def masked(mask, weights):
    net = Network(dt=0.1)
    for label in "ab":
        net.add_func_node(label, 5 if label == "a" else 4, "identity")
    net.add_edge("a", "b", weights, mask=mask, label="w")
    return net


ON_EDGES = [Bounds(0.1, 1.0), Shared(), Dale(np.ones(5)), Compose(Shared(), Bounds(0.0, 1.0))]


@pytest.mark.parametrize("constraint", ON_EDGES)
def test_absent_connections_are_no_parameters(constraint):
    net = masked(PRESENT, W)
    x = RNG.standard_normal((6, 5))
    net.fit_bptt(x, 9 * RNG.standard_normal((6, 4)), train={"w/weights": constraint}, lr=0.1, epochs=3, progress=False)
    value = net.get_var("w", "weights")
    assert np.all(value[~PRESENT] == 0) and np.all(value[PRESENT] > 0) and np.any(value[PRESENT] != 0.5)
    assert constraint.high == np.inf or value.max() <= 1.0
    if isinstance(constraint, Shared):
        assert np.ptp(value[PRESENT]) == 0
    assert present_only(None, PRESENT).project(W)[~PRESENT].max() == 0


def test_weights_that_can_never_move_are_named():
    start = np.where(PRESENT, W, 0.0)
    options = {"lr": 0.1, "epochs": 1, "progress": False}
    x, y = RNG.standard_normal((6, 5)), RNG.standard_normal((6, 4))
    with pytest.warns(RuntimeWarning, match=rf"{int((~PRESENT).sum())} of 20 entries of 'w/weight' start at 0"):
        masked(None, start).fit_bptt(x, y, train={"w/weights": Dale(np.ones(5))}, **options)
    with pytest.warns(RuntimeWarning, match="start at 0"):
        masked(None, start).fit_bptt(x, y, train={"w/weights": Compose(Dale(np.ones(5)), Fixed(KEPT))}, **options)
    with pytest.warns(RuntimeWarning, match="of 20 entries of 'w/weight' have come to 0.*they stay there"):
        masked(None, W * 1e-3).fit_bptt(x, y, train={"w/weights": Dale(np.ones(5))}, **options)


@pytest.mark.filterwarnings("error")
def test_weights_that_are_absent_are_not_named():
    start = np.where(PRESENT, 5.0, 0.0)
    x, y = RNG.standard_normal((6, 5)), RNG.standard_normal((6, 4))
    for net, constraint in (
        (masked(PRESENT, start), Dale(np.ones(5))),
        (masked(None, start), Compose(Mask(PRESENT), Dale(np.ones(5)))),
        (masked(None, start), Compose(Dale(np.ones(5)), Fixed(~PRESENT))),
    ):
        net.fit_bptt(x, y, train={"w/weights": constraint}, lr=1e-3, epochs=1, progress=False)
