"""Solvers that need gradients only: limited-memory BFGS and accelerated proximal gradient, for many GLMs at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine.iterate import iterate_while
from recurra.glm.newton import HALVINGS, State, advance, residual, sizes
from recurra.glm.objective import Data, Family, dot, gradient, smooth_part
from recurra.glm.penalty import Penalty

PAIRS = 15


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Memory:
    """Hold the last steps and changes of the gradient, newest first, `(PAIRS, features + 1, columns, outputs)`."""

    steps: Array
    changes: Array

    @staticmethod
    def empty(coef: Array) -> Memory:
        """Return the memory before the first step, for coefficients `(features + 1, columns, outputs)`."""
        none = jnp.zeros((PAIRS, *coef.shape), coef.dtype)
        return Memory(none, none)


@functools.partial(jax.jit, static_argnums=0)
def lbfgs_step(
    family: Family, data: Data, penalty: Penalty, tol: Array, state: State, memory: Memory
) -> tuple[State, Memory]:
    """Take one step of limited-memory BFGS (Liu & Nocedal 1989), every column with its own memory and line search."""
    bend, size = dot(memory.steps[0], memory.changes[0]), dot(memory.changes[0], memory.changes[0])
    plain = 1 / jnp.maximum(1, jnp.sqrt(dot(state.slope, state.slope)))
    scale = jnp.where(size > 0, bend / jnp.where(size > 0, size, 1), plain)[None, :, None]
    way = two_loops(memory, state.slope, lambda v: v * scale)
    after = advance(family, data, penalty, state, way, tol)
    return after, push(memory, after.coef - state.coef, after.slope - state.slope)


def two_loops(memory: Memory, slope: Array, solve: Callable[[Array], Array]) -> Array:
    """Return the direction of limited-memory BFGS (Nocedal 1980); `solve` is the inverse Hessian without memory."""
    way, shares = -slope, []
    bends = [dot(memory.steps[i], memory.changes[i]) for i in range(PAIRS)]
    inverse = [jnp.where(b > 0, 1 / jnp.where(b > 0, b, 1), 0) for b in bends]
    for i in range(PAIRS):
        shares.append(inverse[i] * dot(memory.steps[i], way))
        way = way - shares[i][None, :, None] * memory.changes[i]
    way = solve(way)
    for i in reversed(range(PAIRS)):
        way = way + (shares[i] - inverse[i] * dot(memory.changes[i], way))[None, :, None] * memory.steps[i]
    return way


@jax.jit
def push(memory: Memory, step: Array, change: Array) -> Memory:
    """Return the memory with one more step and change of the gradient, for the columns that have moved."""
    # A pair without curvature would make the next direction rise.
    kept = (dot(step, change) > 1e-14 * dot(change, change))[None, None, :, None]

    def pushed(old: Array, new: Array) -> Array:
        return jnp.where(kept, jnp.concatenate([new[None], old[:-1]]), old)

    return Memory(pushed(memory.steps, step), pushed(memory.changes, change))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Momentum:
    """Hold the point ahead of the last one, its predictor, the momentum and the pace of each column."""

    coef: Array
    eta: Array
    momentum: Array
    pace: Array


def no_momentum(state: State) -> Momentum:
    """Return the momentum before the first step."""
    one = jnp.ones_like(state.value)
    # Steps begin far too long, so that the first search finds the longest that will do.
    return Momentum(state.coef, state.eta, one, 1e3 * one)


@functools.partial(jax.jit, static_argnums=0)
def accelerated_step(
    family: Family, data: Data, penalty: Penalty, tol: Array, state: State, ahead: Momentum
) -> tuple[State, Momentum]:
    """Take one step of accelerated proximal gradient (Beck & Teboulle 2009) with restarts (O'Donoghue & Candès 2015).

    The length of a step is halved until the quadratic bound holds. It never grows: near the minimum rounding would hide
    that a step is too long.
    """
    value = smooth_part(family, data, penalty, ahead.coef, ahead.eta)
    slope, _ = gradient(family, data, penalty, ahead.coef, ahead.eta)
    slack = 8 * jnp.finfo(value.dtype).eps * (jnp.abs(value) + 1)

    def at(pace: Array) -> tuple[Array, Array, Array]:
        coef = ahead.coef - pace[None, :, None] * slope
        coef = coef.at[:-1].set(penalty.proximal(coef[:-1], pace))
        eta, way = data.predictor(coef), coef - ahead.coef
        bound = value + dot(slope, way) + dot(way, way) / (2 * pace) + slack
        return coef, eta, smooth_part(family, data, penalty, coef, eta) <= bound

    def shorter(carry: tuple) -> tuple:
        k, pace, (_, _, fine) = carry
        pace = jnp.where(fine, pace, pace / 2)
        return k + 1, pace, at(pace)

    # The first round of the loop keeps the pace, so that the objective is compiled once.
    none = (ahead.coef, ahead.eta, jnp.zeros(value.shape, bool))
    _, pace, (coef, eta, _) = iterate_while(
        lambda c: (c[0] <= HALVINGS) & ~jnp.all(c[2][2]), shorter, (0, 2 * ahead.pace, none)
    )
    moves = state.going[None, :, None]
    coef, eta = jnp.where(moves, coef, state.coef), jnp.where(moves, eta, state.eta)
    again = dot(ahead.coef - coef, coef - state.coef) > 0
    momentum = jnp.where(again, 1.0, (1 + jnp.sqrt(1 + 4 * ahead.momentum**2)) / 2)
    share = jnp.where(again, 0.0, (ahead.momentum - 1) / momentum)[None, :, None]
    slope, spread = gradient(family, data, penalty, coef, eta)
    left = residual(sizes(data.x), penalty, coef, slope, spread, tol)
    whole = smooth_part(family, data, penalty, coef, eta) + penalty.rest(coef[:-1])
    after = replace(state, coef=coef, eta=eta, value=whole, slope=slope, residual=left, steps=state.steps + state.going)
    point = Momentum(coef + share * (coef - state.coef), eta + share * (eta - state.eta), momentum, pace)
    return after, point
