"""Newton's method for many GLMs at once: exact steps, truncated steps by conjugate gradients, proximal steps.

For a canonical link an exact step is one of iteratively reweighted least squares (McCullagh & Nelder 1989). Every
column has its own step, line search and stopping rule, so a column's result does not depend on its neighbours.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine.iterate import iterate_while, map_items
from recurra.glm.objective import (
    Data,
    Family,
    dot,
    finite,
    gradient,
    predictor,
    smooth_part,
    transposed,
    without_intercept,
)
from recurra.glm.penalty import Penalty

HALVINGS = 40
# Up to here the products X' W X of all columns are formed at once, beyond one column at a time.
AT_ONCE = 2**22


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Hold where the columns stand.

    Arguments:
        coef: `(features + 1, columns, outputs)`.
        eta: the linear predictor, `(time, columns, outputs)`.
        value: the objective, `(columns,)`.
        slope: gradient of its differentiable part, as `coef`.
        residual: how far a column is from a minimum in units of its tolerance, `(columns,)`.
        steps: steps taken, `(columns,)`.
        stuck: steps in a row without progress, `(columns,)`.
        first: the residual at the start, `(columns,)`.
    """

    coef: Array
    eta: Array
    value: Array
    slope: Array
    residual: Array
    steps: Array
    stuck: Array
    first: Array

    @property
    def going(self) -> Array:
        """For each column whether it needs another step."""
        return (self.residual > 1) & (self.stuck < 3)


def residual(size: Array, penalty: Penalty, coef: Array, slope: Array, spread: Array, tol: Array) -> Array:
    """Return the largest entry of the (proximal) gradient of each column, in units of its tolerance.

    The unit is `tol`, or more where a feature (of root mean square `size`) and the slope of the loss (`spread`) are
    large: rounding then leaves a gradient of that order.
    """
    moved = slope[:-1]
    if penalty.rough:
        moved = coef[:-1] - penalty.proximal(coef[:-1] - moved, jnp.ones_like(spread))
    unit = tol * jnp.maximum(1, size[:, None] * spread[None, :])
    inner = jnp.max(jnp.abs(moved) / unit[..., None], axis=(0, 2), initial=0)
    return jnp.maximum(inner, jnp.max(jnp.abs(slope[-1]), axis=1) / (tol * jnp.maximum(1, spread)))


def sizes(x: Array) -> Array:
    """Return the root mean square of each feature, `(features,)`."""
    return jnp.sqrt(jnp.mean(x**2, axis=0))


@functools.partial(jax.jit, static_argnums=0)
def begin(family: Family, data: Data, penalty: Penalty, coef: Array, tol: Array) -> State:
    """Evaluate the objective where a fit starts."""
    if penalty.rough:
        coef = coef.at[:-1].set(penalty.proximal(coef[:-1], jnp.zeros(coef.shape[1], coef.dtype)))
    eta = data.predictor(coef)
    value = smooth_part(family, data, penalty, coef, eta) + penalty.rest(coef[:-1])
    slope, spread = gradient(family, data, penalty, coef, eta)
    left = residual(sizes(data.x), penalty, coef, slope, spread, tol)
    none = jnp.zeros(coef.shape[1], int)
    return State(coef, eta, value, slope, left, none, none, left)


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(family: Family, method: str, data: Data, penalty: Penalty, state: State, tol: Array) -> State:
    """Take one step with every column that is not finished.

    Arguments:
        family: static.
        method: `"exact"`, `"truncated"` or `"proximal"`; static.
        data, penalty: the problems.
        state: where they stand.
        tol: largest gradient of a finished column.
    """
    if method == "truncated":
        way = truncated_direction(family, data, penalty, state)
    else:
        hessian = hessians(family, data, state.eta)
        if method == "exact":
            way = exact_direction(hessian, penalty, state.slope)
        else:
            way = proximal_direction(hessian, penalty, state.coef, state.slope)
    return advance(family, data, penalty, state, without_intercept(family, way), tol)


def advance(family: Family, data: Data, penalty: Penalty, state: State, way: Array, tol: Array) -> State:
    """Go along a direction as far as the objective falls enough (Armijo 1966)."""
    way = jnp.where((state.going & finite(way))[None, :, None], way, 0)
    if not penalty.rough:
        # A direction that rises comes from rounding only.
        way = jnp.where((dot(way, state.slope) <= 0)[None, :, None], way, -state.slope)
        way = jnp.where(state.going[None, :, None], way, 0)
    moved = predictor(data.x, way)
    descent = dot(way, state.slope)
    if penalty.rough:
        whole = state.coef[:-1] + way[:-1]
        descent += penalty.rest(whole) - penalty.rest(state.coef[:-1])
    dtype = state.value.dtype
    slack = 8 * jnp.finfo(dtype).eps * (jnp.abs(state.value) + 1)

    def value_at(length: Array) -> Array:
        coef = state.coef + length[None, :, None] * way
        eta = state.eta + length[None, :, None] * moved
        return smooth_part(family, data, penalty, coef, eta) + penalty.rest(coef[:-1])

    def enough(length: Array, value: Array) -> Array:
        return value <= state.value + 1e-4 * length * jnp.minimum(descent, 0) + slack

    def shorter(carry: tuple) -> tuple:
        k, length, value = carry
        length = jnp.where(enough(length, value), length, length / 2)
        return k + 1, length, value_at(length)

    # The first round of the loop makes the full step, so that the objective is compiled once.
    twice = jnp.full_like(state.value, 2)
    _, length, value = iterate_while(
        lambda c: (c[0] <= HALVINGS) & ~jnp.all(enough(c[1], c[2])), shorter, (0, twice, jnp.inf * twice)
    )
    fell = enough(length, value)
    length = jnp.where(fell & state.going, length, 0)
    coef = state.coef + length[None, :, None] * way
    eta = state.eta + length[None, :, None] * moved
    slope, spread = gradient(family, data, penalty, coef, eta)
    left = residual(sizes(data.x), penalty, coef, slope, spread, tol)
    # Near the minimum values differ by rounding only; there a smaller gradient is progress as well.
    better = (value < state.value - slack) | (left < 0.9 * state.residual)
    return State(
        coef,
        eta,
        jnp.where(length > 0, value, state.value),
        slope,
        left,
        state.steps + state.going,
        jnp.where(better & (length > 0), 0, state.stuck + 1),
        state.first,
    )


def hessians(family: Family, data: Data, eta: Array) -> Array:
    """Return the second derivative of the weighted loss of each column, `(columns, features + 1, features + 1)`."""
    second = family.curvature(data.y, eta)[0][..., 0]
    weight = (jnp.where(data.weight > 0, second, 0) * data.weight).T
    gram = weighted_gram(data.x, weight)
    return gram if family.intercept else gram.at[:, -1].set(0).at[:, :, -1].set(0)


def weighted_gram(x: Array, weight: Array) -> Array:
    """Return `[x, 1]' diag(w) [x, 1]` for every row w of `weight`, `(rows, features + 1, features + 1)`."""

    def one(w: Array) -> Array:
        scaled = x * w[:, None]
        edge = jnp.sum(scaled, axis=0)
        return jnp.block([[scaled.T @ x, edge[:, None]], [edge[None, :], jnp.sum(w)[None, None]]])

    many = weight.shape[0] * x.size > AT_ONCE
    return map_items(one, weight) if many else jax.vmap(one)(weight)


def with_penalty(hessian: Array, penalty: Penalty) -> Array:
    """Add the second derivative of the quadratic penalty to second derivatives of the loss."""
    columns, size, _ = hessian.shape
    return hessian.at[:, :-1, :-1].add(penalty.hessian(columns, size - 1, hessian.dtype))


def exact_direction(hessian: Array, penalty: Penalty, slope: Array) -> Array:
    """Return the Newton direction of each column; where the Hessian is singular, the shortest one.

    Features are brought to one scale first, so that the cut between small and zero does not depend on units.
    """
    whole = with_penalty(hessian, penalty)
    diagonal = jax.vmap(jnp.diagonal)(whole)
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    values, vectors = jnp.linalg.eigh(whole / (scale[:, :, None] * scale[:, None, :]))
    cut = 4 * whole.shape[-1] * jnp.finfo(whole.dtype).eps * values[:, -1:]
    inverse = jnp.where(values > cut, 1 / jnp.where(values > cut, values, 1), 0)
    right = -slope[..., 0].T / scale
    turned = inverse * jnp.einsum("pfg,pf->pg", vectors, right)
    return (jnp.einsum("pfg,pg->pf", vectors, turned) / scale).T[..., None]


def truncated_direction(family: Family, data: Data, penalty: Penalty, state: State) -> Array:
    """Return the Newton direction of each column by conjugate gradients, as exactly as it is worth it.

    The products with the Hessian need no more than the digits of `data.coarse`, since the gradient is exact. The
    forcing terms are those of Dembo, Eisenstat & Steihaug (1982).
    """
    second, product = family.curvature(data.y, state.eta)
    x = data.x if data.coarse is None else data.coarse
    weight = data.weight[..., None].astype(x.dtype)
    if family.outputs == 1:
        curve = jnp.where(weight > 0, second.astype(x.dtype), 0) * weight

        def curved(v: Array) -> Array:
            return curve * v
    else:

        def curved(v: Array) -> Array:
            return jnp.where(weight > 0, product(v.astype(state.eta.dtype)).astype(x.dtype), 0) * weight

    def times(v: Array) -> Array:
        found = transposed(x, curved(predictor(x, v.astype(x.dtype)))).astype(v.dtype)
        return without_intercept(family, found.at[:-1].add(penalty.slope(v[:-1])))

    inverse = preconditioner(x, jnp.where(weight > 0, second.astype(x.dtype), 0) * weight, penalty, state.slope.dtype)

    def solve(v: Array) -> Array:
        return without_intercept(family, inverse(v))

    ratio = state.residual / jnp.maximum(state.first, 1e-300 if state.slope.dtype == jnp.float64 else 1e-30)
    forcing = jnp.clip(ratio, 1e-4, 0.03)
    return conjugate_gradients(times, solve, -state.slope, forcing, state.going)


def conjugate_gradients(times, solve, right: Array, forcing: Array, going: Array, most: int = 250) -> Array:
    """Solve one positive definite system for each column until the residual has shrunk by `forcing`."""
    first = solve(right)
    start = dot(right, first)

    def body(carry: tuple) -> tuple:
        k, found, left, way, size, active = carry
        turned = times(way)
        bend = dot(way, turned)
        active &= bend > 0
        length = jnp.where(active, size / jnp.where(bend > 0, bend, 1), 0)
        found = found + length[None, :, None] * way
        left = left - length[None, :, None] * turned
        solved = solve(left)
        after = dot(left, solved)
        way = solved + jnp.where(active, after / jnp.where(size > 0, size, 1), 0)[None, :, None] * way
        return k + 1, found, left, way, after, active & (after > forcing**2 * start)

    carry = (0, jnp.zeros_like(right), right, first, start, going & (start > 0))
    return iterate_while(lambda c: (c[0] < most) & jnp.any(c[5]), body, carry)[1]


def preconditioner(x: Array, curve: Array, penalty: Penalty, dtype: jnp.dtype) -> SharedInverse:
    """Return an approximate inverse of all Hessians at once.

    The Hessian of column p is taken to be c_p G + s_p S, with G the Gram matrix under the mean curvature of all
    columns and S the mean penalty; one generalised eigenvalue problem of the two inverts it for every p.
    """
    typical = jnp.sum(curve, axis=0)
    shape = jnp.where(typical > 0, curve / jnp.where(typical > 0, typical, 1)[None], 0)
    count = jnp.maximum(jnp.sum(typical > 0), 1).astype(curve.dtype)
    gram = weighted_gram(x, jnp.sum(shape, axis=(1, 2))[None] / count)[0].astype(dtype)
    return shared_inverse(gram, typical, penalty, 1e-6 if x.dtype == jnp.float32 else 1e-12)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SharedInverse:
    """Hold approximate inverses of the Hessians of all columns, which share their eigenvectors.

    Arguments:
        change: to the common basis, `(features + 1, features + 1)`.
        level: eigenvalues, `(features + 1, columns, outputs)`.
    """

    change: Array
    level: Array

    def __call__(self, v: Array) -> Array:
        """Return the product with `(features + 1, columns, outputs)`."""
        return jnp.tensordot(self.change, jnp.tensordot(self.change.T, v, 1) / self.level, 1)


def shared_inverse(gram: Array, typical: Array, penalty: Penalty, lift: float) -> SharedInverse:
    """Return the inverse of c_p G + s_p S for every column p, with S the mean shape of the penalties.

    Arguments:
        gram: G, `(features + 1, features + 1)`.
        typical: c, `(columns, outputs)`.
        penalty: the penalty; s_p is its size in column p.
        lift: what is added to the diagonal of G, as a share of its mean.
    """
    columns, size, dtype = len(typical), gram.shape[0], gram.dtype
    weights = penalty_size(penalty, columns, size - 1, dtype)
    mean = mean_penalty(penalty, weights, size, dtype)
    base = jnp.trace(gram) / size
    other = jnp.trace(mean) / size
    balance = jnp.where(other > 0, base / jnp.where(other > 0, other, 1), 0)
    factor = jnp.linalg.cholesky(gram + balance * mean + lift * base * jnp.eye(size, dtype=dtype))
    half = jax.scipy.linalg.solve_triangular(factor, mean, lower=True)
    inner = jax.scipy.linalg.solve_triangular(factor, half.T, lower=True)
    values, vectors = jnp.linalg.eigh((inner + inner.T) / 2)
    base_change = jax.scipy.linalg.solve_triangular(factor.T, vectors, lower=False)
    level = (
        typical[None].astype(dtype) * jax.nn.relu(1 - balance * values)[:, None, None]
        + weights[None, :, None] * jax.nn.relu(values)[:, None, None]
    )
    level = jnp.where(level > 0, level, jnp.maximum(typical[None].astype(dtype), jnp.finfo(dtype).tiny))
    level = jnp.maximum(level, 1e-9 * jnp.max(level, axis=0, keepdims=True))
    return SharedInverse(base_change, level)


def penalty_size(penalty: Penalty, columns: int, features: int, dtype: jnp.dtype) -> Array:
    """Return the mean diagonal of the quadratic penalty of each column, `(columns,)`."""
    found = jnp.zeros(columns, dtype)
    if penalty.diagonal is not None:
        found += jnp.mean(penalty.diagonal, axis=0)
    if penalty.matrix is not None and penalty.factor is not None:
        found += penalty.factor * (jnp.trace(penalty.matrix) / features)
    return found


def mean_penalty(penalty: Penalty, weights: Array, size: int, dtype: jnp.dtype) -> Array:
    """Return the mean shape of the quadratic penalty, `(features + 1, features + 1)`, of mean diagonal 1 or 0."""
    found = jnp.zeros((size, size), dtype)
    share = jnp.where(weights > 0, 1 / jnp.where(weights > 0, weights, 1), 0) / jnp.maximum(jnp.sum(weights > 0), 1)
    if penalty.diagonal is not None:
        found = found.at[:-1, :-1].add(jnp.diag(penalty.diagonal @ share))
    if penalty.matrix is not None and penalty.factor is not None:
        found = found.at[:-1, :-1].add(jnp.sum(penalty.factor * share) * penalty.matrix)
    return found


def proximal_direction(hessian: Array, penalty: Penalty, coef: Array, slope: Array) -> Array:
    """Minimise the quadratic model plus the rough penalty (Lee, Sun & Saunders 2014), and return the way there.

    The intercept is eliminated first. The rest is done by accelerated proximal gradient (Beck & Teboulle 2009) with
    restarts (O'Donoghue & Candès 2015).
    """
    whole = with_penalty(hessian, penalty)
    edge, corner = whole[:, :-1, -1], jnp.maximum(whole[:, -1, -1], jnp.finfo(coef.dtype).tiny)
    inner = whole[:, :-1, :-1] - edge[:, :, None] * edge[:, None, :] / corner[:, None, None]
    lead = slope[:-1, :, 0].T - edge * (slope[-1, :, 0] / corner)[:, None]
    bound = jnp.maximum(jax.vmap(jnp.linalg.norm)(inner), jnp.finfo(coef.dtype).tiny)
    largest = jax.vmap(lambda m: jnp.linalg.eigvalsh(m)[-1])(inner) * (1 + 1e-6)
    pace = 1 / jnp.where(jnp.isfinite(largest) & (largest > 0), largest, bound)
    origin = coef[:-1, :, 0].T

    def model_slope(point: Array) -> Array:
        return lead + jnp.einsum("pfg,pg->pf", inner, point - origin)

    def go(carry: tuple) -> tuple:
        k, point, ahead, momentum, change, start = carry
        lower = ahead - pace[:, None] * model_slope(ahead)
        after = penalty.proximal(lower.T[..., None], pace)[..., 0].T
        again = jnp.sum((ahead - after) * (after - point), axis=1) > 0
        faster = jnp.where(again, 1.0, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
        share = jnp.where(again, 0.0, (momentum - 1) / faster)
        change = jnp.max(jnp.abs(after - ahead) / pace[:, None], axis=1)
        start = jnp.where(k == 0, change, start)
        return k + 1, after, after + share[:, None] * (after - point), faster, change, start

    one = jnp.ones_like(pace)
    carry = (0, origin, origin, one, one, one)
    enough = 1e-4 if coef.dtype == jnp.float64 else 1e-2

    def going(c: tuple) -> Array:
        return (c[0] < 5) | ((c[0] < 20_000) & jnp.any(c[4] > enough * c[5]))

    point = iterate_while(going, go, carry)[1]
    way = point - origin
    last = -(slope[-1, :, 0] + jnp.sum(edge * way, axis=1)) / corner
    return jnp.concatenate([way, last[:, None]], axis=1).T[..., None]


@jax.jit
def better(state: State, other: State) -> State:
    """Return for each column the state that is finished, or else the one with the smaller value."""
    first = ~state.going | (state.value <= other.value)

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(first.reshape(-1, *[1] * (a.ndim - 2)) if a.ndim > 1 else first, a, b)

    chosen = jax.tree.map(choose, state, other)
    # Whether a column goes on is that of the last state.
    return replace(chosen, steps=state.steps, stuck=state.stuck)


def restart(state: State) -> State:
    """Return the state with a clean record, to go on by another method."""
    return replace(state, stuck=jnp.zeros_like(state.stuck))
