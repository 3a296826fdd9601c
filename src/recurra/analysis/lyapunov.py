"""How fast neighbouring trajectories part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow
from recurra.courtesy import warn
from recurra.engine.grid import count_steps
from recurra.engine.interrupts import check, interruptible, next_size
from recurra.engine.iterate import iterate_while
from recurra.errors import DivergenceError, OptionError

COARSE = 0.1  # part of the largest exponent by which growth over steps may differ from what the Jacobian says
UNSURE = 0.2  # part of the largest exponent by which the averages over both halves may differ


def lyapunov_exponents(
    model: Any,
    duration: float,
    *,
    dt: float,
    count: int | None = None,
    transient: float = 0.0,
    start: ArrayLike | Mapping[str, float] | None = None,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> np.ndarray:
    """Compute the largest Lyapunov exponents (Benettin et al. 1980: tangent vectors made orthonormal in every step).

    State and tangent vectors advance together by classical Runge-Kutta steps. Averages over a first and a second half
    that differ by more than a fifth of the largest exponent are warned of: they have not converged. So are steps that
    are too long: volumes grow by the trace of the Jacobian on the tangent vectors (Liouville), whatever the step.

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        duration: how long to average, in the model's unit of time.
        dt: the step.
        count: how many; all if `None`.
        transient: time before the average begins.
        start: where to begin; the initial state if `None`.

    Returns:
        The exponents per unit of time, the largest first, `(count,)`.

    Raises:
        CapabilityError: the network has ring-buffer delays, rules or complex states.
        DivergenceError: the trajectory stopped being finite.
        KeyboardInterrupt: Ctrl-C came; an average over a part of the time is not returned.
        OptionError: more exponents than states.

    A limit cycle has one exponent of 0:

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> found = lyapunov_exponents(vdp, 100.0, dt=0.02, transient=50.0)
    >>> bool(abs(found[0]) < 0.02 and found[1] < -1.0)
    True
    """
    flow = Flow(model, inputs, params)
    size = len(flow.start)
    many = size if count is None else positive(count, "count", 1)
    if many > size:
        raise OptionError(f"count: the model has {size} states, and so many exponents; got {many}.")
    before = count_steps(transient, dt) if transient else 0
    steps = count_steps(duration, dt)
    middle = before + steps - steps // 2
    rate = flow.traceable()

    def both(y: Array, spread: Array) -> tuple[Array, Array]:
        slope, push = jax.linearize(rate, y)
        return slope, jax.vmap(push, in_axes=1, out_axes=1)(spread)

    def advance(carry: tuple) -> tuple:
        j, y, spread, sums, rates = carry
        k1, s1 = both(y, spread)
        k2, s2 = both(y + 0.5 * dt * k1, spread + 0.5 * dt * s1)
        k3, s3 = both(y + 0.5 * dt * k2, spread + 0.5 * dt * s2)
        k4, s4 = both(y + dt * k3, spread + dt * s3)
        rates = rates + jnp.where(j >= before, jnp.stack([jnp.sum(spread * s1), jnp.sqrt(jnp.sum(s1**2))]), 0.0)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        spread, stretch = jnp.linalg.qr(spread + dt / 6 * (s1 + 2 * s2 + 2 * s3 + s4))
        grown = jnp.log(jnp.abs(jnp.diagonal(stretch)))
        part = jnp.where(jnp.arange(2)[:, None] == (j >= middle), grown, 0.0)  # of the first and the second half
        return j + 1, y, spread, sums + jnp.where(j >= before, part, 0.0), rates

    @jax.jit
    def piece(carry: tuple, until: Array) -> tuple:
        return iterate_while(lambda c: c[0] < until, advance, carry)

    done, ahead = 0, 256
    with interruptible(), jax.enable_x64(True):
        carry = (np.int32(0), jnp.asarray(flow.point(start)), jnp.eye(size, many), jnp.zeros((2, many)), jnp.zeros(2))
        while done < before + steps:
            check()
            begun, done = time.perf_counter(), min(done + ahead, before + steps)
            carry = jax.block_until_ready(piece(carry, np.int32(done)))
            ahead = next_size(ahead, time.perf_counter() - begun, 1 << 24)
        end, sums, rates = carry[1], np.asarray(carry[3]), np.asarray(carry[4]) / steps
    exponents = sums.sum(axis=0) / duration
    if not (np.isfinite(np.asarray(end)).all() and np.isfinite(exponents).all()):
        raise DivergenceError(
            f"the trajectory is not finite after {before + steps} steps of {dt:g}: try a smaller dt.",
            flow.names[0], before + steps, (before + steps) * dt, None,
        )  # fmt: skip
    _doubt(sums, exponents, rates, steps, dt, duration)
    return -np.sort(-exponents)


def _doubt(
    sums: np.ndarray, exponents: np.ndarray, rates: np.ndarray, steps: int, dt: float, duration: float
) -> None:
    """Warn where averages have not converged or steps are too long."""
    largest = np.abs(exponents).max()
    off = float(abs(exponents.sum() - rates[0]))
    if off > max(COARSE * largest, 1e-2 * rates[1]):
        warn(
            f"lyapunov_exponents: the step dt={dt:g} is too long: the exponents add up to {exponents.sum():.3g}, and"
            f" the Jacobian along the trajectory says {rates[0]:.3g}. Give a smaller dt=.",
            RuntimeWarning,
        )
    parts = dt * np.array([[steps - steps // 2], [steps // 2]])
    halves = sums / parts if steps > 1 else np.array([np.full_like(exponents, np.inf), exponents])
    apart = float(np.abs(halves[0] - halves[1]).max())
    if not apart <= UNSURE * largest:
        warn(
            f"lyapunov_exponents: not converged after {duration:g}: the averages over both halves differ by"
            f" {apart:.2g}. Give a longer duration=, or a longer transient=.",
            RuntimeWarning,
        )  # fmt: skip
