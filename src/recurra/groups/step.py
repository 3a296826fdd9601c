"""The step of all behaviors as a rule of the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine import Emission, Rule
from recurra.tracing import Smooth, Traced, table

if TYPE_CHECKING:
    from recurra.engine import Clock

TROUBLE = "trouble:"  # the state in which a step says that the model must go on in NumPy
MOST_GUARDS = 1 << 20
SHOWN = "shown:"  # of states, what behaviors saw of nodes in the last step
AHEAD = "ahead:"  # what is computed ahead of a block, among the parameters


def spec_of(value: Any) -> jax.ShapeDtypeStruct:
    """Return shape and type of a number or an array."""
    return jax.ShapeDtypeStruct(np.shape(value), np.asarray(value).dtype)


def trouble_at(state: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return in which step a run went past a guard first, and the number of the guard; None if it did not."""
    found = int(state.get(TROUBLE, -1))
    return divmod(found, MOST_GUARDS) if found >= 0 else None


def table_of(traced: Traced, first: int, steps: int) -> dict[str, Any]:
    """Compute what is known ahead of a block of steps, as a part of what a step is given."""
    capacity = 1 << max(0, steps - 1).bit_length()
    rows = table(traced.columns, first, steps, capacity)
    return {AHEAD: {"first": np.int64(first), "rows": rows}}


class _Step:
    """Do a step of all behaviors as a rule of the engine.

    Arguments:
        traced: the step.
        outside: path -> shape and type of what comes from outside.
        told: name of what the rule puts out -> that of what the step emits.
        quick: whether it only advances the network: the state tells where a guard was gone past.
        shown: the paths among `outside` that the state remembers then, for the objects to have after a run.
    """

    def __init__(
        self,
        traced: Traced | Smooth,
        outside: Mapping[str, jax.ShapeDtypeStruct],
        told: Mapping[str, str],
        quick: bool,
        shown: tuple[str, ...],
    ):
        self.shown, self.traced, self.outside, self.told, self.quick = shown, traced, outside, told, quick

    def __call__(self, state: Mapping, params: Mapping, inputs: Mapping, clock: Clock) -> tuple[dict, dict]:
        fed = {path: inputs[path].reshape(s.shape).astype(s.dtype) for path, s in self.outside.items()}
        if not self.quick or isinstance(self.traced, Smooth):
            after, emitted = self.traced.update(state, params, fed, clock.k, clock.key)
        else:
            so_far = state.get(TROUBLE, jnp.int64(-1))
            own = {path: value for path, value in state.items() if path in self.traced.state}
            params, ahead = dict(params), None
            if AHEAD in params:
                block = params.pop(AHEAD)
                ahead = jax.tree.map(lambda rows: rows[clock.k - block["first"]], block["rows"])
            after, emitted, code = self.traced.update_checked(
                own, params, fed, clock.k, clock.key, ahead, so_far >= 0
            )
            now = jnp.where(code > 0, jnp.asarray(clock.k, np.int64) * MOST_GUARDS + code, -1)
            after |= {TROUBLE: jnp.where(so_far < 0, now, so_far)} if self.traced.guards else {}
            after |= {SHOWN + path: fed[path] for path in self.shown}
        return after, {name: emitted[source] for name, source in self.told.items()}

    def __identity__(self) -> tuple:
        """Return what tells this step from others."""
        return self.traced, {path: (s.shape, str(s.dtype)) for path, s in self.outside.items()}, self.told, self.quick

    def __model__(self) -> dict[str, Any]:
        """Return what a state of it depends on: the behaviors, but neither their numbers nor how they were compiled."""
        return self.traced.kinds()


def rule_of(
    traced: Traced | Smooth, outside: Mapping[str, jax.ShapeDtypeStruct], told: Mapping[str, str], early: bool,
    precision: str,
    shown: Mapping[str, np.ndarray],
) -> Rule:  # fmt: skip
    """Make a rule of a step.

    Arguments:
        told: what it puts out -> what the step emits.
        shown: what the state remembers of what comes from outside, before the first step.
        early: whether a row of several steps has what the first of them emits; the last, if not.
    """
    specs = {name: traced.emitted[source] for name, source in told.items()}
    emits = {name: Emission(tuple(s.shape), np.dtype(s.dtype), early) for name, s in specs.items()}
    inputs = {path: np.zeros(math.prod(spec.shape)) for path, spec in outside.items()}
    guarded = not early and isinstance(traced, Traced) and bool(traced.guards)
    state = {**traced.state, TROUBLE: np.array(-1)} if guarded else dict(traced.state)
    state |= {SHOWN + path: value for path, value in shown.items()} if not early else {}
    text, step = "the behaviors of the groups, in their order", _Step(traced, outside, told, not early, tuple(shown))
    return Rule(step, state, traced.params, inputs, emits, text, traced.derive, precision)
