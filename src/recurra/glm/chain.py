"""Hidden Markov chains in log space: filtering, smoothing, the most probable path (Rabiner 1989)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array

from recurra.engine.loop import scan_rows


@jax.jit
def smooth(evidence: Array, initial: Array, transition: Array, starts: Array) -> tuple[Array, Array, Array, Array]:
    """Return what a series of observations says about the states, by the forward-backward algorithm.

    Arguments:
        evidence: log-likelihood of each bin in each state, `(time, states)`; 0 for a bin that was not observed.
        initial: log-probability of each state at the start of a session, `(states,)`.
        transition: log-probability of going from a state (row) to a state (column).
        starts: `(time,)`, true where a session starts; bin 0 always does.

    Returns:
        Filtered log-probabilities `(time, states)`, smoothed ones, expected numbers of transitions `(states, states)`,
        and the log-likelihood of each bin given those before it, `(time,)`.
    """
    time = evidence.shape[0]

    def forward(before: Array, t: Array) -> tuple[Array, tuple[Array, Array]]:
        ahead = logsumexp(before[:, None] + transition, axis=0)
        joint = jnp.where(starts[t] | (t == 0), initial, ahead) + evidence[t]
        size = logsumexp(joint)
        return joint - size, (joint - size, size)

    _, (filtered, sizes) = scan_rows(forward, jnp.zeros_like(initial), time)

    def backward(after: Array, j: Array) -> tuple[Array, Array]:
        t = time - 2 - j
        arriving = evidence[t + 1] + after - sizes[t + 1]
        found = jnp.where(starts[t + 1], 0.0, logsumexp(transition + arriving[None, :], axis=1))
        return found, found

    last = jnp.zeros_like(initial)
    later = scan_rows(backward, last, time - 1)[1] if time > 1 else jnp.zeros((0, len(initial)))
    ahead = jnp.concatenate([later[::-1], last[None]])
    arriving = evidence[1:] + ahead[1:] - sizes[1:, None]
    pairs = filtered[:-1, :, None] + transition[None] + arriving[:, None, :]
    counts = jnp.sum(jnp.where(starts[1:, None, None], 0.0, jnp.exp(pairs)), axis=0)
    return filtered, filtered + ahead, counts, sizes


@jax.jit
def most_probable_path(evidence: Array, initial: Array, transition: Array, starts: Array) -> Array:
    """Return the most probable sequence of states, `(time,)` (Viterbi 1967); arguments as for :func:`smooth`."""
    time, states = evidence.shape

    def forward(best: Array, t: Array) -> tuple[Array, Array]:
        ways = best[:, None] + transition
        fresh = starts[t] | (t == 0)
        # At the start of a session the best end of the one before is kept, whatever follows.
        arrived = jnp.where(fresh, jnp.max(best) + initial, jnp.max(ways, axis=0))
        source = jnp.where(fresh, jnp.argmax(best), jnp.argmax(ways, axis=0))
        return arrived + evidence[t], source

    best, sources = scan_rows(forward, jnp.zeros(states, evidence.dtype), time)

    def backward(state: Array, j: Array) -> tuple[Array, Array]:
        return sources[time - 1 - j][state], state

    return scan_rows(backward, jnp.argmax(best), time)[1][::-1]
