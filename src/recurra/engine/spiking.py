"""Spikes: a threshold before the step, a reset after it, and derivatives in place of that of the step function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from recurra.engine.system import SpikeRule, System
from recurra.errors import OptionError, unknown

# Each is a function of slope * (variable - threshold) and falls from 1 at the threshold; times the scale, which is 1 if
# nothing else is said, it is the derivative that reverse mode sees. So have RectiPy, snnTorch, Norse and SpyTorch it;
# where a paper has the derivative of a sigmoid that rises from 0 to 1, its scale is the slope.
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
def spike(surrogate: str, slope: Array, scale: Array, distance: Array) -> Array:
    """Return 1 where `distance` to the threshold is 0 or more, else 0; in reverse mode with a surrogate derivative.

    Arguments:
        surrogate: a name in `SURROGATES`.
        slope: how steep the surrogate is: how fast it falls with the distance.
        scale: the derivative at the threshold.
        distance: variable minus threshold.
    """
    return (distance >= 0).astype(distance.dtype)


@spike.defjvp
def _spike_jvp(surrogate: str, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    slope, scale, distance = primals
    return spike(surrogate, *primals), scale * SURROGATES[surrogate](slope * distance) * tangents[2]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def truth(surrogate: str, slope: float, scale: float, holds: Array, larger: Array, smaller: Array) -> Array:
    """Return 1 where a comparison `larger > smaller` holds, else 0; with a surrogate derivative of `larger - smaller`.

    Arguments:
        surrogate: a name in `SURROGATES`.
        slope, scale: how steep the surrogate is, and the derivative where both sides are equal.
        holds: what the comparison says.
        larger, smaller: its two sides, which may be broadcast; floating-point numbers of one type.
    """
    return holds.astype(jnp.result_type(larger))


@truth.defjvp
def _truth_jvp(surrogate: str, slope: float, scale: float, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    holds, larger, smaller = primals
    distance = jnp.where(larger == smaller, 0.0, larger - smaller)  # equal infinities too have no distance
    height = scale * SURROGATES[surrogate](slope * distance)
    return truth(surrogate, slope, scale, holds, larger, smaller), height * (tangents[1] - tangents[2])


@jax.custom_jvp
def differentiated_as(value: Array, other: Array) -> Array:
    """Return `value`, with the derivative of `value + other`; both of the same shape and type."""
    return value


@differentiated_as.defjvp
def _differentiated_as_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return differentiated_as(*primals), tangents[0] + tangents[1]


def find_spikes(system: System, state: Mapping[str, Array], params: Mapping[str, Array], dt: Array) -> dict[str, Array]:
    """Return the spikes of the step by their keys: 1/dt where a unit spikes."""
    return {
        rule.signal: (state[rule.fired] if rule.fired else _fires(rule, state[rule.variable], state, params)) / dt
        for rule in system.spikes
    }


def _fires(rule: SpikeRule, value: Array, state: Mapping[str, Array], params: Mapping[str, Array]) -> Array:
    """Return 1 where a value is above the threshold, and neither refractory nor above it all the time, else 0."""
    fires = spike(rule.surrogate, params[rule.slope], params[rule.scale], value - params[rule.threshold])
    for silent in (rule.countdown, rule.above):
        if silent:
            fires = jnp.where(state[silent] > 0, 0.0, fires)
    return fires


def reset_spikes(
    system: System,
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    spikes: Mapping[str, Array],
    params: Mapping[str, Array],
    dt: Array,
) -> dict[str, Array]:
    """Return the state with those units reset that spiked, and those held that are refractory.

    Arguments:
        system: whose thresholds.
        before, after: the state before the step, and what the solver has made of it.
        spikes: what :func:`find_spikes` found before the step.
        params: thresholds and the like.
        dt: the step.
    """
    changed = dict(after)
    for rule in system.spikes:
        compared = after if rule.fired else before
        # The reset itself is not differentiated: only the way through the spikes is.
        if rule.fired:
            changed[rule.fired] = _fires(rule, after[rule.variable], before, params)
            fired = lax.stop_gradient(changed[rule.fired]) > 0
        else:
            fired = lax.stop_gradient(spikes[rule.signal]) > 0
        if rule.above:
            reached = compared[rule.variable] >= params[rule.threshold]
            changed[rule.above] = reached.astype(before[rule.above].dtype)
        held = fired
        if rule.countdown:
            # The time counts from the spike, and what is left of it from the end of this step. Half a step of grace,
            # so that rounding does not add a step.
            left = jnp.where(fired, params[rule.refractory], before[rule.countdown]) - dt
            changed[rule.countdown] = jnp.where(left > 0.5 * dt, left, 0.0)
            held = fired | (before[rule.countdown] > 0)
        if rule.reset:
            changed[rule.variable] = jnp.where(held, params[rule.reset], after[rule.variable])
    return changed
