"""Spikes: a threshold before the step, a reset after it, and derivatives in place of that of the step function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from recurra.engine.system import System
from recurra.errors import OptionError, unknown

# Each is a function of slope * (variable - threshold) and falls from 1 at the threshold; times the slope it is the
# derivative that reverse mode sees.
SURROGATES: Mapping[str, Callable[[Array], Array]] = {
    # Zenke & Vogels 2021.
    "fast_sigmoid": lambda x: 1.0 / (1.0 + jnp.abs(x)) ** 2,
    # Zenke & Ganguli 2018, eq. 14: of the same form.
    "superspike": lambda x: 1.0 / (1.0 + jnp.abs(x)) ** 2,
    # Fang et al. 2021, eq. 13.
    "atan": lambda x: 1.0 / (1.0 + (0.5 * jnp.pi * x) ** 2),
    # Bellec et al. 2018, eq. 4.
    "triangle": lambda x: jax.nn.relu(1.0 - jnp.abs(x)),
    # Shrestha & Orchard 2018.
    "exponential": lambda x: jnp.exp(-jnp.abs(x)),
    # Yin et al. 2021.
    "gaussian": lambda x: jnp.exp(-0.5 * x**2),
    "none": jnp.zeros_like,
}


def check_surrogate(name: str) -> str:
    """Return the name of a surrogate, or refuse it with near names."""
    if name not in SURROGATES:
        raise OptionError(unknown("surrogate", name, SURROGATES))
    return name


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def spike(surrogate: str, slope: Array, distance: Array) -> Array:
    """Return 1 where `distance` to the threshold is 0 or more, else 0; in reverse mode with a surrogate derivative.

    Arguments:
        surrogate: a name in `SURROGATES`.
        slope: how steep the surrogate is.
        distance: variable minus threshold.
    """
    return (distance >= 0).astype(distance.dtype)


@spike.defjvp
def _spike_jvp(surrogate: str, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    slope, distance = primals
    return spike(surrogate, slope, distance), slope * SURROGATES[surrogate](slope * distance) * tangents[1]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def truth(surrogate: str, slope: float, holds: Array, larger: Array, smaller: Array) -> Array:
    """Return 1 where a comparison `larger > smaller` holds, else 0; with a surrogate derivative of `larger - smaller`.

    Arguments:
        surrogate: a name in `SURROGATES`.
        slope: how steep the surrogate is.
        holds: what the comparison says.
        larger, smaller: its two sides, which may be broadcast; floating-point numbers of one type.
    """
    return holds.astype(jnp.result_type(larger))


@truth.defjvp
def _truth_jvp(surrogate: str, slope: float, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    holds, larger, smaller = primals
    distance = jnp.where(larger == smaller, 0.0, larger - smaller)  # equal infinities too have no distance
    height = slope * SURROGATES[surrogate](slope * distance)
    return truth(surrogate, slope, holds, larger, smaller), height * (tangents[1] - tangents[2])


@jax.custom_jvp
def differentiated_as(value: Array, other: Array) -> Array:
    """Return `value`, with the derivative of `value + other`; both of the same shape and type."""
    return value


@differentiated_as.defjvp
def _differentiated_as_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return differentiated_as(*primals), tangents[0] + tangents[1]


def find_spikes(system: System, state: Mapping[str, Array], params: Mapping[str, Array], dt: Array) -> dict[str, Array]:
    """Return the spikes of the step by their keys: 1/dt where a unit spikes."""
    found = {}
    for rule in system.spikes:
        distance = state[rule.variable] - params[rule.threshold]
        fires = spike(rule.surrogate, params[rule.slope], distance)
        if rule.countdown:
            fires = jnp.where(state[rule.countdown] > 0, 0.0, fires)
        found[rule.signal] = fires / dt
    return found


def reset_spikes(
    system: System, state: Mapping[str, Array], spikes: Mapping[str, Array], params: Mapping[str, Array], dt: Array
) -> dict[str, Array]:
    """Return the state with those units reset that spiked, and those held that are refractory."""
    changed = dict(state)
    for rule in system.spikes:
        if not rule.reset:
            continue
        # The reset itself is not differentiated: only the way through the spikes is.
        fired = lax.stop_gradient(spikes[rule.signal]) > 0
        held = fired
        if rule.countdown:
            left = jnp.where(fired, params[rule.refractory], state[rule.countdown] - dt)
            # Half a step of grace, so that rounding does not add a step to the refractory time.
            left = jnp.where(left > 0.5 * dt, left, 0.0)
            changed[rule.countdown] = left
            held = fired | (state[rule.countdown] > 0)
        changed[rule.variable] = jnp.where(held, params[rule.reset], state[rule.variable])
    return changed
