"""The vector field and the Jacobian of a circuit as plain functions, for other people's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recurra import errors
from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.running import check_options
from recurra.circuits.templates import expect_mapping
from recurra.circuits.values import as_value

Function = tuple[Callable[..., Any], tuple[Any, ...], tuple[str, ...], dict[str, Any]]


def run_func(
    circuit: CircuitTemplate, func_name: str, step_size: float, inputs: Mapping[str, object] | None, **options: Any
) -> Function:
    """Make the vector field; see :meth:`CircuitTemplate.get_run_func`."""
    return _make(circuit, func_name, step_size, inputs, options, lambda rate: rate)


def jacobian_func(
    circuit: CircuitTemplate, func_name: str, step_size: float, inputs: Mapping[str, object] | None, **options: Any
) -> Function:
    """Make the Jacobian; see :meth:`CircuitTemplate.get_jacobian_func`."""
    import jax
    import jax.numpy as jnp

    def derive(rate: Callable[..., Any]) -> Callable[..., Any]:
        def jacobian(t: Any, y: Any, *params: Any) -> Any:
            if not jnp.iscomplexobj(y):
                return jax.jacfwd(rate, argnums=1)(t, y, *params)
            # A complex model need not be holomorphic: its derivative is that of real and imaginary parts.
            size = y.shape[0]

            def parts(both: Any) -> Any:
                slope = rate(t, both[:size] + 1j * both[size:], *params)
                return jnp.concatenate([slope.real, slope.imag])

            return jax.jacfwd(parts)(jnp.concatenate([y.real, y.imag]))

        return jacobian

    return _make(circuit, func_name, step_size, inputs, options, derive)


def _make(
    circuit: CircuitTemplate,
    func_name: str,
    step_size: float,
    inputs: Mapping[str, object] | None,
    options: dict[str, Any],
    derive: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Function:
    import jax
    import jax.numpy as jnp

    from recurra.engine import vector_field

    backend, _, rest = check_options(options.pop("backend", None), options.pop("solver", None), options)
    if backend == "numpy":
        raise errors.OptionError("backend 'numpy' has no compiled function; use 'default' or 'jax'.")
    if rest:
        raise errors.OptionError(errors.unknown("option", next(iter(rest)), ("backend", "solver")))
    if not isinstance(func_name, str) or not func_name.isidentifier():
        raise errors.OptionError(f"func_name must be a name such as 'vector_field', got {func_name!r}.")
    program = circuit.program
    drives = _drives(circuit, inputs, step_size)
    field = vector_field(program, {path: rows[0] for path, rows in drives.items()})
    driven = {target.path for path in drives for target in program.layout.resolve(path)}
    params = {path: value for path, value in field.params.items() if path not in driven}
    names = tuple(params)

    def rate(t: Any, y: Any, *values: Any) -> Any:
        now = {path: _sample(jnp, rows, t / step_size) for path, rows in drives.items()}
        return vector_field(program, now).function(t, y, dict(zip(names, values, strict=False)))

    compiled = jax.jit(derive(rate))

    def function(t: Any, y: Any, *params: Any) -> Any:
        if len(params) > len(names):
            raise errors.ShapeError(f"{func_name}: got {len(params)} parameters, there are {len(names)}.")
        if np.shape(y) != field.y0.shape:
            raise errors.ShapeError(f"{func_name}: y must have shape {field.y0.shape}, got {np.shape(y)}.")
        with jax.enable_x64(True):
            state = jnp.asarray(y, dtype=field.y0.dtype)
            return compiled(jnp.asarray(t, dtype=float), state, *(jnp.asarray(value) for value in params))

    function.__name__ = function.__qualname__ = func_name
    args = (0.0, field.y0, *params.values())
    return function, args, ("t", "y", *names), dict(field.index)


def _drives(circuit: CircuitTemplate, inputs: Mapping[str, object] | None, step_size: float) -> dict[str, np.ndarray]:
    """Read inputs: one row for each step, or one row for all times."""
    from recurra.engine.series import rows_of

    found = {}
    for path, raw in expect_mapping(inputs, f"{circuit.name}, inputs", "{'p/op/u': 1.0}").items():
        for target in circuit.program.layout.resolve(path):
            if target.kind != "input":
                known = list(circuit.program.inputs)
                raise errors.PathError(
                    f"inputs: {path!r} is of kind {target.kind}. {errors.unknown('input', path, known)}"
                )
        raw = rows_of(raw, step_size, 0.0, None, f"inputs, {path}")
        rows = np.asarray(as_value(raw, f"inputs, {path}"))
        if rows.ndim > 2:
            raise errors.ShapeError(
                f"inputs, {path}: expected a number, (steps,) or (steps, nodes), got shape {rows.shape}."
            )
        found[path] = rows[None] if rows.ndim == 0 else (rows[:, 0] if rows.shape[1:] == (1,) else rows)
    return found


def _sample(jnp: Any, rows: np.ndarray, position: Any) -> Any:
    """Interpolate linearly between samples; before the first and after the last sample the input keeps its value."""
    place = jnp.clip(position, 0.0, len(rows) - 1.0)
    low = jnp.minimum(jnp.floor(place).astype(int), max(len(rows) - 2, 0))
    values = jnp.asarray(rows)
    high = jnp.minimum(low + 1, len(rows) - 1)
    return values[low] + (place - low) * (values[high] - values[low])
