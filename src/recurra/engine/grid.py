"""The time grid: durations and intervals as whole numbers of steps. `round`, never `int(T/dt)`."""

from __future__ import annotations

import math
from numbers import Real

from recurra.errors import TimeError

MOST_STEPS = 2**31 - 2  # steps are counted in 32 bits, as random numbers are addressed by them
_TOLERANCE = 1e-6  # of a step: far above the rounding of any decimal duration, far below what anyone means


def read_step(dt: object) -> float:
    """Return a step, a finite number > 0.

    Raises:
        TimeError: it is none.
    """
    if not isinstance(dt, Real) or isinstance(dt, bool) or not 0 < float(dt) < math.inf:
        raise TimeError(f"dt must be a finite number > 0, got {dt!r}.")
    return float(dt)


def check_step(own: float | None, dt: float, what: str) -> None:
    """Refuse a step that something was not written for.

    Arguments:
        own: the step that it was written for; `None` for any.
        dt: the step.
        what: what was written for it.

    Raises:
        TimeError: the steps differ.

    >>> check_step(0.1, 0.1, "the network")
    """
    # A step in float32 is the same one.
    if own is not None and not math.isclose(own, dt, rel_tol=1e-6):
        raise TimeError(
            f"{what} is written for steps of {own:g} and cannot take steps of {dt:g}: run it with dt={own:g}, or make"
            " it again for the other step."
        )


def count_steps(duration: float, dt: float, what: str = "duration") -> int:
    """Return how many steps of `dt` a duration has.

    Arguments:
        duration: a time > 0.
        dt: the step.
        what: how messages call the duration.

    Raises:
        TimeError: not a positive finite number, or not a whole number of steps.

    >>> count_steps(0.3, 0.1)
    3
    """
    for name, value in (("dt", dt), (what, duration)):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
            raise TimeError(f"{name} must be a finite number > 0, got {value!r}.")
    ratio = duration / dt
    if ratio > MOST_STEPS:
        raise TimeError(
            f"{what} {duration:g} has more than {MOST_STEPS} steps of {dt:g}, which is the most that are counted."
            " Make it shorter, or dt larger."
        )
    steps = round(ratio)
    if steps == 0 or abs(ratio - steps) > _TOLERANCE * max(1.0, steps * 1e-6):
        low = math.floor(ratio)
        near = f"{low * dt:.12g} or {(low + 1) * dt:.12g}" if low else f"{dt:.12g}"
        raise TimeError(f"{what} {duration:g} is not a whole number of steps of {dt:g}: use {near}.")
    return steps
