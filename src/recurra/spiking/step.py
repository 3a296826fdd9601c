"""One step of a network of integrate-and-fire units with double-exponential synapses, as a rule of the engine.

Equations and their order are those of the discrete model of Kim, Li & Sejnowski (2019), their code: decays are exact,
the current sees the synapses' rise of the step before, and the time constant belongs to the unit that receives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine import Clock
from recurra.engine.randomness import fold_in, normal, threefry, uniform
from recurra.engine.spiking import spike

MS_PER_S = 1000.0
COIN = 1  # folded into the key, so that coins and noise are not the same numbers


@dataclass(frozen=True)
class SpikingStep:
    """Advance all units by one step; equal steps share compiled code.

    Arguments:
        unit: `"lif"` or `"qif"`.
        single: whether synapses have no rise time.
        given: whether noise and coins are inputs instead of being drawn.
        lit: whether there is light.
        clock: whether the refractory time ends by comparing floating-point times in seconds, as the published code
            does, instead of by counting steps.
        dtype: of all arrays.
    """

    unit: str
    single: bool
    given: bool
    lit: bool
    clock: bool
    dtype: str

    def __call__(
        self, state: Mapping[str, Array], params: Mapping[str, Array], inputs: Mapping[str, Array], clock: Clock
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the state after the step, and what it puts out."""
        dt = clock.dt.astype(self.dtype)
        v = self._membrane(state, params, inputs, clock, dt)
        # A step function, with a derivative of its own in reverse mode.
        one = jnp.ones((), v.dtype)
        fires = spike("fast_sigmoid", one, one, v - params["threshold"])
        # Time constants are in ms, rates per second.
        seconds, fall, rise = dt / MS_PER_S, params["fall"] / MS_PER_S, params["rise"] / MS_PER_S
        arriving = fires @ params["w"].T / params["scale"]
        new = {"v": jnp.where(fires > 0, params["reset"], v), "left": self._left(state, params, fires, clock)}
        leak = jnp.exp(-seconds / fall)
        if self.single:
            new["i"], new["r"] = state["i"] * leak + arriving / fall, state["r"] * leak + fires / fall
        else:
            slack, unit = jnp.exp(-seconds / rise), 1 / (rise * fall)
            new["i"], new["r"] = state["i"] * leak + state["h"] * seconds, state["r"] * leak + state["hr"] * seconds
            new["h"] = state["h"] * slack + arriving * unit
            new["hr"] = state["hr"] * slack + fires * unit
        out = params["w_out"] @ new["r"] / params["scale"]
        return new, {"o": out, "spikes": fires > 0, "voltage": jnp.where(fires > 0, params["peak"], v)}

    def __model__(self) -> tuple:
        """Return what a state of it depends on; light may be switched on later."""
        return self.unit, self.single, self.clock, self.dtype

    def _membrane(
        self, state: Mapping, params: Mapping, inputs: Mapping, clock: Clock, dt: Array
    ) -> Array:
        """Return v before anyone is reset."""
        v = state["v"]
        outside = (params["w_in"] @ inputs["u"] + inputs["current"]).astype(self.dtype)
        drive = state["i"] + params["bias"] + outside
        slope = (drive - v if self.unit == "lif" else v * v + drive) / params["tm"]
        if self.clock:
            now = params["step_s"] * (clock.k + 1)
            free = now > state["left"] + params["tref"] / MS_PER_S
        else:
            free = state["left"] == 0
        if self.given:
            noise = inputs["noise"].astype(self.dtype)
        else:
            noise = draw_noise(clock.key, clock.k, v.shape[0], self.dtype)
        v = v + jnp.where(free, dt * slope, 0) + params["noise_sd"] * noise
        if not self.lit:
            return v
        coin = inputs["coin"][0] if self.given else self._coin(clock)
        window = (clock.k >= params["light"][0]) & (clock.k < params["light"][1])
        return v + jnp.where(window & (coin < params["light"][2]), params["push"], 0)

    def _coin(self, clock: Clock) -> Array:
        return uniform(fold_in(jax.random.fold_in(clock.key, COIN), clock.k))

    def _left(self, state: Mapping, params: Mapping, fires: Array, clock: Clock) -> Array:
        """Return for how many more steps each unit rests, or (in `clock` mode) the time of its last spike."""
        if self.clock:
            now = params["step_s"] * (clock.k + 1)
            return state["left"] + (now - state["left"]) * fires
        rest = jnp.round(params["tref"] / clock.dt).astype(state["left"].dtype)
        return jnp.where(fires > 0, rest, jnp.where(state["left"] > 0, state["left"] - 1, 0))


def draw_noise(key: Array, step: Array, size: int, dtype: str) -> Array:
    """Draw standard normal numbers for a step, `(size,)`.

    Noise takes most of the time of a small network. In float32 each call of the cipher (Salmon et al. 2011) gives two
    numbers, with the numbers of unit and step as its counter, where `normal` gives one and needs a key for the step.

    >>> draws = draw_noise(jax.random.key(0), jnp.int32(3), 20_001, "float32")
    >>> draws.shape, bool(abs(draws.mean()) < 0.03), bool(abs(draws.std() - 1) < 0.02)
    ((20001,), True, True)
    """
    words = jax.random.key_data(key)
    if dtype != "float32" or words.shape != (2,):
        return normal(fold_in(key, step), (size,), jnp.dtype(dtype))
    units = jnp.arange((size + 1) // 2, dtype=jnp.uint32)
    pair = threefry(words[0], words[1], units, jnp.broadcast_to(jnp.asarray(step).astype(jnp.uint32), units.shape))
    # 24 bits in the middle of their intervals: between -1 and 1, neither of them reached.
    middle = (jnp.concatenate(pair)[:size] >> 8).astype(jnp.float32) * 2.0**-23 + (2.0**-24 - 1.0)
    return jnp.sqrt(jnp.float32(2.0)) * jax.lax.erf_inv(middle)


def start(size: int, step: SpikingStep, rest: int, voltage: np.ndarray) -> dict[str, np.ndarray]:
    """Return the state before the first step; every unit begins with a refractory time."""
    zeros = np.zeros(size, step.dtype)
    left: Any = np.zeros(size) if step.clock else np.full(size, rest, np.int32)
    found = {"v": voltage.astype(step.dtype), "i": zeros, "r": zeros, "left": left}
    return found if step.single else found | {"h": zeros, "hr": zeros}
