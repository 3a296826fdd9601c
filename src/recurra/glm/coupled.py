"""Neurons coupled through filters of their past: one step of them, as a pure function.

`y_i(t)` is drawn with mean `f(sum over j, l of F_ij(l) y_j(t-l) + drive_i(t))`, l = 1 ... W, with the filters
`F_ij(l) = sum over m of C_ijm Phi_lm` (Truccolo et al. 2005; Pillow et al. 2008). There are two ways to carry what
has been: counts are rare, so each is added, when it happens, to the input of the W steps to come; values of every
neuron at every step are kept, and projected on the basis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from recurra.engine.counts import for_each_event
from recurra.glm.convolve import convolve_valid
from recurra.glm.links import InverseLink
from recurra.glm.observations import Bernoulli, NegativeBinomial, ObservationModel, Poisson

if TYPE_CHECKING:
    from recurra.engine import Clock

State = dict[str, Array]
COUNTING = (Poisson, Bernoulli, NegativeBinomial)


@dataclass(frozen=True)
class Coupled:
    """Hold what is static about coupled neurons.

    Arguments:
        link: the inverse link function.
        observation: how what is observed is distributed around its mean.
        limit: where means are cut off, so that activity that runs away does not overflow.
    """

    link: InverseLink
    observation: ObservationModel
    limit: float

    @property
    def counts(self) -> bool:
        """Whether observations are counts, most of them zero."""
        return isinstance(self.observation, COUNTING)

    def mean(self, predictor: Array) -> Array:
        """Return the mean at a linear predictor, cut off at the limit."""
        return jnp.clip(self.link(predictor), -self.limit, self.limit)

    def parameters(self, coupling: Array, basis: Array, intercepts: Array, scale: Array) -> dict[str, Array]:
        """Return what no step changes.

        Arguments:
            coupling: `(receiver, sender, functions)`.
            basis: `(window, functions)`; row 0 is lag 1.
            intercepts: `(neurons,)`.
            scale: the scale of the observation model, a number or `(neurons,)`.
        """
        params = {"intercepts": intercepts, "scale": scale}
        if not self.counts:
            return params | {"coupling": coupling, "basis_twice": jnp.concatenate([basis, basis])}
        filters = jnp.einsum("lm,ijm->jli", basis, coupling)
        # Twice, one after the other: from any lag on, the next W rows are the filter, turned like the ring.
        return params | {"filters_twice": jnp.concatenate([filters, filters], axis=1)}

    def start(self, coupling: Array, basis: Array, history: Array) -> State:
        """Return the state after a history `(window, neurons)`, oldest row first."""
        slot = jnp.zeros((), jnp.int32)
        if not self.counts:
            return {"history": history, "slot": slot}
        ahead = jnp.concatenate([history, jnp.zeros_like(history[1:])])
        return {"ahead": jnp.einsum("tjm,ijm->ti", convolve_valid(basis, ahead), coupling), "slot": slot}

    def advance(
        self, state: State, params: Mapping[str, Array], drive: Array, draw: Callable[[Array], Array]
    ) -> tuple[State, Array, Array]:
        """Advance by one step.

        Arguments:
            state, params: as :meth:`start` and :meth:`parameters` return them.
            drive: `(neurons,)`, added to the linear predictor.
            draw: mean -> what is observed.

        Returns:
            The next state, what was observed, and its mean.
        """
        slot = state["slot"]
        window = state["ahead" if self.counts else "history"].shape[0]
        after = jnp.where(slot + 1 == window, 0, slot + 1)
        drive = drive + params["intercepts"]
        if not self.counts:
            # Slot s of the ring is lag (slot - s - 1) mod W + 1; rows of the basis, backwards, in the same order.
            turned = lax.dynamic_slice_in_dim(jnp.flip(params["basis_twice"], 0), window - slot, window)
            felt = jnp.einsum("wm,wj->jm", turned, state["history"])
            mean = self.mean(jnp.einsum("ijm,jm->i", params["coupling"], felt) + drive)
            y = draw(mean)
            history = lax.dynamic_update_index_in_dim(state["history"], y.astype(drive.dtype), slot, 0)
            return {"history": history, "slot": after}, y, mean
        mean = self.mean(lax.dynamic_index_in_dim(state["ahead"], slot, 0, keepdims=False) + drive)
        y = draw(mean)
        ahead = lax.dynamic_update_index_in_dim(state["ahead"], jnp.zeros_like(mean), slot, 0)
        filters = params["filters_twice"]

        def deliver(ahead: Array, sender: Array, count: Array) -> Array:
            begin = (sender, (window - 1 - slot).astype(sender.dtype), jnp.zeros_like(sender))
            rows = lax.dynamic_slice(filters, begin, (1, *ahead.shape))[0]
            return ahead + count.astype(ahead.dtype) * rows

        return {"ahead": for_each_event(y, ahead, deliver), "slot": after}, y, mean

    def step(
        self, state: State, params: Mapping[str, Array], inputs: Mapping[str, Array], clock: Clock
    ) -> tuple[State, dict[str, Array]]:
        """Advance by one step, in the form of a rule of the engine (:class:`recurra.engine.Rule`).

        Arguments:
            state: what :meth:`start` returns, and `spikes`, `(neurons,)`, what was observed last.
            params: what :meth:`parameters` returns.
            inputs: `drive`, `(neurons,)`.
            clock: the clock; its key and its step make the random numbers.

        Returns:
            The next state, and `spikes` and `rate` of this step.
        """
        key = jax.random.fold_in(clock.key, clock.k)
        own = {name: value for name, value in state.items() if name != "spikes"}

        def draw(mean: Array) -> Array:
            # What is drawn is held fixed in gradients, as in `simulate_recurrent`.
            return self.observation.sample(key, lax.stop_gradient(self.drawable(mean)), params["scale"])

        after, y, mean = self.advance(own, params, inputs["drive"], draw)
        spikes = y.astype(state["spikes"].dtype)
        return after | {"spikes": spikes}, {"spikes": spikes, "rate": mean}

    def drawable(self, mean: Array) -> Array:
        """Return a mean that counts can be drawn with: not below zero."""
        return jnp.maximum(mean, 0) if self.counts else mean

    def given(self, y: Array, coupling: Array, basis: Array, drive: Array, history: Array) -> Array:
        """Return the means `(time, neurons)` when the observations `(time, neurons)` are given; differentiable."""
        past = jnp.concatenate([history, y[:-1].astype(history.dtype)])
        felt = convolve_valid(basis, past)
        return self.mean(jnp.einsum("tjm,ijm->ti", felt, coupling) + drive)
