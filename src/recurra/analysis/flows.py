"""What analyses of dynamics ask of a model: its right-hand side on flat vectors, with a name for every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.engine import as_program, vector_field
from recurra.engine.interrupts import check
from recurra.errors import CapabilityError, PathError, ShapeError, unknown


class Flow:
    """Hold `dy/dt = rate(y)` of a model, with constant inputs and at time 0; noise is left out.

    Arguments:
        model: anything that has a Program, without ring-buffer delays and rules.
        inputs: path -> constant value.
        params: path -> value, for those that differ from the model's.
        parameter: path of one number that `rate` and `jacobian` take as their second argument.

    Raises:
        CapabilityError: the network is no single ordinary differential equation of real numbers.
        PathError: there is no such parameter.
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
        self.program, self.parameter = program, parameter
        self._field = vector_field(program, inputs)
        if np.iscomplexobj(self._field.y0):
            raise CapabilityError("the states are complex; write the model with real and imaginary parts as states.")
        self.start = np.asarray(self._field.y0, float)
        if parameter is not None:
            if parameter not in self._field.params:
                raise PathError(unknown("parameter", parameter, self._field.params))
            if self._field.params[parameter].size != 1:
                raise ShapeError(
                    f"{parameter}: has {self._field.params[parameter].size} values; a branch follows one number."
                )
            self.value = float(self._field.params[parameter].reshape(()))
        self.names: list[str] = [""] * len(self.start)
        for path, place in self._field.index.items():
            if isinstance(place, tuple):
                for unit in range(*place):
                    self.names[unit] = f"{path}[{unit - place[0]}]"
            else:
                self.names[place] = path

    def _params(self, value: float | None) -> dict[str, object]:
        return {} if value is None or self.parameter is None else {self.parameter: np.float64(value)}

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
        """Return the derivative of dy/dt by the parameter, by a central difference of 1e-6 of its size."""
        step = 1e-6 * max(abs(value), 1.0)
        return (self.rate(y, value + step) - self.rate(y, value - step)) / (2 * step)

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


def eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Return the eigenvalues, the largest real part first."""
    values = np.linalg.eigvals(matrix)
    return values[np.lexsort((-values.imag, -values.real))]
