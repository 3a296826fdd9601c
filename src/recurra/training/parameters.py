"""What is trained: paths of a program, the free numbers behind their values, and penalties on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.courtesy import warn
from recurra.engine import Program
from recurra.engine.gradients import reads_past
from recurra.errors import CapabilityError, OptionError, PathError, unknown
from recurra.training.constraints import Constraint

TRAINABLE = ("parameter", "weight", "delay", "state", "input")


@dataclass(frozen=True, eq=False)
class Parameters:
    """Hold what is trained.

    Arguments:
        program: the program, with every trained delay at the longest that its constraint allows, so that rings of the
            past are long enough.
        origin: path -> value before the training.
        constraints: path -> constraint, or `None`.
        states: the paths that are initial states.
    """

    program: Program
    origin: Mapping[str, np.ndarray]
    constraints: Mapping[str, Constraint | None]
    states: frozenset[str]

    def free(self) -> dict[str, Any]:
        """Return the free numbers to start from, in float64."""
        return {
            path: self.origin[path] if constraint is None else constraint.free(self.origin[path], path)
            for path, constraint in self.constraints.items()
        }

    def values(self, free: Mapping[str, Any]) -> dict[str, Array]:
        """Return path -> value of free numbers; traced."""
        found = {}
        for path, constraint in self.constraints.items():
            if constraint is None:
                found[path] = free[path]
            else:
                dtype = jax.tree.leaves(free[path])[0].dtype
                found[path] = constraint.value(free[path], jnp.asarray(self.origin[path], dtype))
        return found

    def final(self, free: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return path -> value in float64, where constraints hold to the last bit."""
        with jax.enable_x64(True):
            wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), free)
            return {path: np.asarray(value) for path, value in self.values(wide).items()}


def make_parameters(program: Program, train: object, dt: float) -> Parameters:
    """Check what is to be trained.

    Arguments:
        program: the program.
        train: a path, a list of paths, or a dict path -> constraint or `None`.
        dt: the step; no delay may become shorter.

    Raises:
        PathError: a path does not exist, cannot be trained, or two paths address the same number.
        OptionError: something else than a constraint, or a delay without bounds.
    """
    constraints = _constraints(train)
    origin, states, taken, longest = {}, set(), {}, {}
    for path, constraint in constraints.items():
        targets = program.layout.resolve(path)
        for target in targets:
            if target.kind not in TRAINABLE:
                names = [*program.layout.edges, *program.layout.names(("parameter", "state", "input"))]
                raise PathError(f"train: {path!r} is computed by an equation. {unknown('parameter', path, names)}")
            store = program.state if target.kind == "state" else program.params
            units = np.arange(store[target.key].size).reshape(store[target.key].shape)[target.index]  # type: ignore
            for unit in np.ravel(units):
                other = taken.setdefault((target.key, int(unit)), path)
                if other != path:
                    raise PathError(f"train: {path!r} and {other!r} address the same number; name it once.")
        value = program.get(path)
        if np.iscomplexobj(value):
            raise CapabilityError(f"train: {path!r} is complex; split it into two real ones in the equations.")
        origin[path] = np.asarray(value, float)
        _name_stuck(path, constraint, origin[path])
        if any(t.kind == "state" for t in targets):
            states.add(path)
        if any(_on_ring(program, t.key) or reads_past(program, t.key) for t in targets):
            longest[path] = np.full(np.shape(value), _longest(path, constraint, dt))
    return Parameters(program.update(longest), origin, constraints, frozenset(states))


def name_silenced(parameters: Parameters, values: Mapping[str, np.ndarray]) -> None:
    """Warn of entries that a training has brought to where they can never move again."""
    for path, constraint in parameters.constraints.items():
        if constraint is not None:
            new = int(np.sum(constraint.stuck(values[path]) & ~constraint.stuck(parameters.origin[path])))
            if new:
                warn(
                    f"train: {new} of {values[path].size} entries of {path!r} have come to 0, where Dale's transform"
                    " has no slope: they stay there, however long it is trained. A smaller lr leaves more of them.",
                    RuntimeWarning,
                )


def _name_stuck(path: str, constraint: Constraint | None, value: np.ndarray) -> None:
    stuck = 0 if constraint is None else int(np.sum(constraint.stuck(value)))
    if stuck:
        warn(
            f"train: {stuck} of {value.size} entries of {path!r} start at 0, where Dale's transform has no slope, so"
            " they can never move. Give a Mask (or mask= to the edge) for those that are absent, and let the others"
            " start from a small number of their sign.",
            RuntimeWarning,
        )


def _constraints(train: object) -> dict[str, Constraint | None]:
    if isinstance(train, str):
        train = [train]
    found = dict(train) if isinstance(train, Mapping) else dict.fromkeys(train)  # type: ignore[call-overload]
    if not found:
        raise OptionError("train: give at least one path of a parameter, as a list or as a dict path -> constraint.")
    for path, constraint in found.items():
        if constraint is not None and not isinstance(constraint, Constraint):
            raise OptionError(
                f"train: {path!r} has {type(constraint).__name__} as constraint; expected None or one of"
                " recurra.training's Dale, Mask, Bounds, Fixed, LowRank, Shared, Compose."
            )
    return found


def _on_ring(program: Program, key: str) -> bool:
    return any(p.delays == key and p.ring >= 0 for p in program.system.projections)


def _longest(path: str, constraint: Constraint | None, dt: float) -> float:
    if constraint is None or not np.isfinite(constraint.high) or constraint.low < dt * (1 - 1e-6):
        raise OptionError(
            f"train: {path!r} is a delay; the longest must be known before, and none may be shorter than a step. Write"
            f" train={{{path!r}: Bounds({dt:g}, longest)}}."
        )
    return constraint.high


KINDS = ("l1", "l2", "rate")


@dataclass(frozen=True, eq=False)
class Penalties:
    """Add to the loss what parameters or activity cost.

    Arguments:
        terms: kind, path and coefficient of each term.
    """

    terms: tuple[tuple[str, str, float], ...]

    @property
    def recorded(self) -> list[str]:
        """The paths of the variables whose activity is penalised."""
        return [path for kind, path, _ in self.terms if kind == "rate"]

    def of_values(self, values: Mapping[str, Array]) -> Array | float:
        """Return what the values of parameters cost."""
        total: Array | float = 0.0
        for kind, path, coefficient in self.terms:
            if kind == "l1":
                total = total + coefficient * jnp.sum(jnp.abs(values[path]))
            elif kind == "l2":
                total = total + coefficient * jnp.sum(values[path] ** 2)
        return total

    def of_activity(self, recorded: Mapping[str, Array], lengths: Array, dtype: Any) -> Array:
        """Return what the activity of each trial costs, `(trials,)`; what comes after the end of a trial is free.

        Arguments:
            recorded: path -> `(trials, steps, units)`.
            lengths: `(trials,)`, how many rows belong to each trial.
            dtype: of what is returned.
        """
        total = jnp.zeros(lengths.shape, dtype)
        for kind, path, coefficient in self.terms:
            if kind == "rate":
                values = recorded[path]
                there = (jnp.arange(values.shape[1])[None, :] < lengths[:, None])[:, :, None]
                # Zeros before squaring: what lies beyond a trial may be infinite.
                squares = jnp.where(there, values, 0) ** 2
                count = jnp.maximum(lengths, 1) * values.shape[2]
                total = total + coefficient * jnp.sum(squares, axis=(1, 2)) / count.astype(dtype)
        return total


def make_penalties(penalties: Mapping[str, Mapping[str, float]] | None, origin: Mapping[str, object]) -> Penalties:
    """Check penalties: kind -> path -> coefficient.

    `l1` is the sum of absolute values and `l2` the sum of squares of a trained parameter; `rate` is the mean over
    trials of the mean over time and units of the square of a variable.
    """
    terms = []
    for kind, paths in (penalties or {}).items():
        if kind not in KINDS:
            raise OptionError(unknown("penalty", kind, KINDS))
        if not isinstance(paths, Mapping):
            raise OptionError(f"penalties: {kind!r} needs a dict of path -> coefficient, got {paths!r}.")
        for path, coefficient in paths.items():
            if kind != "rate" and path not in origin:
                raise OptionError(f"penalties: {kind!r} of what is not trained. {unknown('path', path, origin)}")
            if not coefficient >= 0:
                raise OptionError(f"penalties: the coefficient of {path!r} must be a number >= 0, got {coefficient!r}.")
            terms.append((kind, path, float(coefficient)))
    return Penalties(tuple(terms))
