"""What analyses of dynamics ask of a model: its right-hand side on flat vectors, with a name for every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.engine import Program, as_program, vector_field
from recurra.engine.checks import as_real
from recurra.engine.interrupts import check
from recurra.engine.system import Assign, System
from recurra.equations import names as names_of
from recurra.errors import CapabilityError, PathError, ShapeError, unknown

SINGULAR = 1e-13  # part of the largest singular value below which a direction counts as one in which nothing changes
POLISH = 60
ROUNDING = 1e-12  # part of the largest eigenvalue that is rounding error
REST = 1e-6  # part of the size of the states within which Newton's method puts a resting state


class Flow:
    """Hold `dy/dt = rate(y)` of a model, with constant inputs; noise is left out.

    Arguments:
        model: anything that has a Program, without ring-buffer delays, rules and thresholds, and whose equations do
            not read the time.
        inputs: path -> constant value, one number or one for each unit.
        params: path -> value, for those that differ from the model's.
        parameter: path of what `rate` and `jacobian` take as their second argument: one number, or one that all units
            of a node have in common, or with `all` as the node several nodes.

    Raises:
        CapabilityError: the network is no single ordinary differential equation of real numbers, or depends on time.
        PathError: there is no such parameter.
        ShapeError: an input is no number, or has a time axis.
    """

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        parameter: str | None = None,
    ):
        program = as_program(model)
        program = program.update(params) if params else program
        _check(program)
        self.program, self.parameter = program, parameter
        self._field = vector_field(program, _constant(program, inputs or {}))
        if np.iscomplexobj(self._field.y0):
            raise CapabilityError("the states are complex; write the model with real and imaginary parts as states.")
        self.start = np.asarray(self._field.y0, float)
        if parameter is not None:
            self._shapes = self._shared(parameter)
            # The model lives in the precision of its parameters; the derivative by one of them is exact in it.
            self._slope = jax.jit(
                jax.jacfwd(lambda value, y: self._field.function(0.0, y, self._params(value)))
            )
        self.names: list[str] = [""] * len(self.start)
        for path, place in self._field.index.items():
            if isinstance(place, tuple):
                for unit in range(*place):
                    self.names[unit] = f"{path}[{unit - place[0]}]"
            else:
                self.names[place] = path

    def _shared(self, parameter: str) -> dict[str, tuple[int, ...]]:
        """Return path -> shape of what a parameter stands for, whose numbers must be one."""
        own = self._field.params
        if parameter in own:
            paths = [parameter]
        else:
            try:
                paths = [target.path for target in self.program.layout.resolve(parameter) if target.path in own]
            except PathError:
                paths = []
        if not paths:
            raise PathError(unknown("parameter", parameter, own))
        values = np.concatenate([np.ravel(own[path]) for path in paths])
        if np.ptp(values) > 0:
            raise ShapeError(
                f"{parameter}: has {values.size} values, from {values.min():g} to {values.max():g}; a branch follows"
                " one number, so give all of them the same, or name one."
            )
        return {path: np.shape(own[path]) for path in paths}

    def _params(self, value: Any) -> dict[str, object]:
        if value is None or self.parameter is None:
            return {}
        make = jnp.full if isinstance(value, jax.Array) else np.full
        return {path: make(shape, value) for path, shape in self._shapes.items()}

    def rate(self, y: np.ndarray, value: float | None = None) -> np.ndarray:
        """Return dy/dt, `(states,)`; Ctrl-C ends whatever asks for it."""
        check()
        return np.asarray(self._field.function(0.0, np.asarray(y, float), self._params(value)))

    def jacobian(self, y: np.ndarray, value: float | None = None) -> np.ndarray:
        """Return the derivative of dy/dt by y, `(states, states)`."""
        return np.asarray(self._field.jacobian(0.0, np.asarray(y, float), self._params(value)))

    def traceable(self) -> Callable[[Array], Array]:
        """Return the right-hand side as a function that JAX may trace, in float64 mode."""
        return lambda y: self._field.function(0.0, y)

    def slope(self, y: np.ndarray, value: float) -> np.ndarray:
        """Return the derivative of dy/dt by the parameter."""
        with jax.enable_x64(True):
            return np.asarray(self._slope(np.float64(value), np.asarray(y, float)))

    def scale(self, states: ArrayLike) -> np.ndarray:
        """Return how large each state is among some, `(states,)`.

        A state that is always 0, up to rounding, gets the size of the largest, or 1.
        """
        sizes = np.abs(np.atleast_2d(np.asarray(states, float))).max(axis=0)
        largest = sizes.max(initial=0.0)
        return np.where(sizes > ROUNDING * largest, sizes, largest or 1.0)

    def newton(self, y: np.ndarray, value: float | None = None) -> np.ndarray:
        """Return the step of Newton's method from a state towards a resting one, the shortest where there are many."""
        matrix, rate = self.jacobian(y, value), self.rate(y, value)
        if not (np.isfinite(matrix).all() and np.isfinite(rate).all()):
            return np.full(len(y), np.nan)
        return np.linalg.lstsq(matrix, -rate, rcond=SINGULAR)[0]

    def blur(self, y: np.ndarray) -> np.ndarray:
        """Return how far rounding errors in dy/dt may move a resting state."""
        matrix, rate = self.jacobian(y), self.rate(y)
        ulps = [k * np.spacing(y) for k in (-3, -2, -1, 1, 2, 3)]
        noise = np.abs([self.rate(y + ulp) - rate - matrix @ ulp for ulp in ulps]).max(axis=0)
        return np.linalg.lstsq(matrix, noise, rcond=SINGULAR)[0] if np.isfinite(noise).all() else np.zeros(len(y))

    def polish(self, y: np.ndarray, value: float | None = None) -> np.ndarray:
        """Make Newton steps for as long as they bring dy/dt down, which leaves it at rounding error."""
        speed = np.linalg.norm(self.rate(y, value))
        for _ in range(POLISH):
            closer = y + self.newton(y, value)
            slower = np.linalg.norm(self.rate(closer, value))
            if not slower < 0.5 * speed:
                break
            y, speed = closer, slower
        return y

    def rests(self, y: np.ndarray, scale: np.ndarray, value: float | None = None) -> bool:
        """Say whether a state is a resting one.

        A small dy/dt alone says nothing: it depends on the units of time and states, and is small far out where a
        model slows down for ever. So Newton's method must put the resting state right here, within a part `REST` of
        the size of the states, and its linear equations must have a solution: beyond a fold they have none.

        Arguments:
            y: the state.
            scale: the size of each state.
            value: of the parameter.
        """
        matrix, rate, step = self.jacobian(y, value), self.rate(y, value), self.newton(y, value)
        size = np.maximum(np.abs(y), scale)
        near = np.all(np.abs(step) <= REST * size)  # False for NaN
        return bool(near and np.all(np.abs(rate + matrix @ step) <= 1e-10 * (np.abs(matrix) @ size)))

    def column(self, name: str) -> int:
        """Return where a state is in y.

        Raises:
            PathError: there is no such state, or it has several units and none is named.
        """
        if name in self.names:
            return self.names.index(name)
        raise PathError(unknown("state", name, self.names))

    def point(self, value: ArrayLike | Mapping[str, float] | None, what: str = "start") -> np.ndarray:
        """Return a state that the user gives as a vector, or as name -> number on top of the initial state.

        Raises:
            ShapeError: a vector of another length, or numbers that are not finite.
        """
        if value is None:
            return self.start.copy()
        if isinstance(value, Mapping):
            found = self.start.copy()
            for name, number in value.items():
                found[self.column(name)] = number
        else:
            found = np.array(value, float)
        if found.shape != self.start.shape:
            raise ShapeError(
                f"{what}: got shape {found.shape}, expected ({len(self.start)},): {', '.join(self.names[:6])}"
                f"{', ...' if len(self.names) > 6 else ''}."
            )
        if not np.all(np.isfinite(found)):
            raise ShapeError(f"{what}: holds values that are not finite.")
        return found


def _check(program: Program) -> None:
    """Refuse what the equations alone do not describe."""
    system = program.system
    if system.spikes:
        raise CapabilityError(
            f"the network has thresholds (of {program.layout.describe(system.spikes[0].variable, 0)!r}), and what"
            " happens there is no part of its differential equation. Simulate it, or analyse its mean field."
        )
    timed = _reads_time(system)
    if timed:
        raise CapabilityError(
            f"{program.layout.describe(timed, 0)!r} depends on the time `t`: such a model neither rests nor has a phase"
            " plane. Give what depends on time as an input and hold it (inputs=), or make the phase a state."
        )


def _reads_time(system: System) -> str:
    """Return the key of a state whose derivative depends on `t` itself, empty if there is none."""
    timed: set[str] = set()

    def reads(item: Assign) -> bool:
        here = dict(item.names)
        return ("t" not in here and "t" in names_of(item.expression, {"t"})) or not timed.isdisjoint(here.values())

    for item in system.schedule:
        if isinstance(item, Assign):
            late = reads(item)
        else:
            sources = {system.projections[i].source for i in item.projections}
            late = not timed.isdisjoint({*item.signals, *sources})
        if late:
            timed.add(item.target)
    found = [item.target for item in system.derivatives if reads(item)]
    return (found + [chain.state for chain in system.chains if chain.source in timed] + [""])[0]


def _constant(program: Program, inputs: Mapping[str, object]) -> dict[str, np.ndarray]:
    found = {}
    for path, value in inputs.items():
        size, numbers = program.layout.one(path).size, as_real(value, f"inputs: {path}")
        if numbers.shape not in ((), (1,), (size,)) or not np.isfinite(numbers).all():
            raise ShapeError(
                f"inputs: {path}: got shape {numbers.shape}, expected one finite number, or one for each of the {size}"
                " units: dynamics are analysed with inputs that are held."
            )
        found[path] = numbers
    return found


def eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Return the eigenvalues, the largest real part first."""
    values = np.linalg.eigvals(matrix)
    return values[np.lexsort((-values.imag, -values.real))]


def growing(values: np.ndarray, doubt: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return which eigenvalues grow, and which do neither for certain, with `doubt` about their real parts.

    Arguments:
        values: `(..., states)`.
        doubt: how far each may be off, besides rounding.
    """
    parts = np.real(values)
    limit = doubt + ROUNDING * np.abs(values).max(axis=-1, keepdims=True, initial=0.0)
    return parts > limit, np.abs(parts) <= limit
