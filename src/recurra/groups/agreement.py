"""Whether compiled steps do what NumPy does: when a later step is compared, how, and what counts as the same."""

from __future__ import annotations

import contextlib
import io
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from recurra.tracing.slots import Inventory, restore

TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-9, 16: 1e-9}
PIECE = 1 << 15
SHARE = 0.015
"""How much of the time that a network has run may go into comparing later steps."""
FIRST_LATER, FIRST_BLOCK = 16, 4096
NUDGES = (-64.0, 64.0)


class Sampled:
    """Say which later steps are compared: each after twice as many as the last, and no more than time allows.

    What is compared changes nothing, so it does no harm that it depends on the time that things take.

    Attributes:
        cost: how long one comparison takes, in seconds.
    """

    def __init__(self) -> None:
        self._born = time.perf_counter()
        self._worked: float | None = None
        self._done, self._last, self._spent, self._pace = 0, FIRST_LATER // 2, 0.0, math.inf
        self.cost = math.inf

    def begin(self) -> None:
        """Count what has been done before the first block, the compiling, as time that the network has run."""
        if self._worked is None:
            self._worked = time.perf_counter() - self._born

    def is_due(self) -> bool:
        """Tell whether the next step is to be compared."""
        return self._done >= 2 * self._last and self._spent + self.cost <= SHARE * (self._worked or 0.0)

    def room(self) -> int:
        """Return after how many steps to ask again."""
        early, lacking = 2 * self._last - self._done, (self._spent + self.cost) / SHARE - (self._worked or 0.0)
        if lacking <= 0:
            return max(1, early)
        if self._pace == math.inf or self.cost == math.inf:
            return FIRST_BLOCK
        return int(min(max(1, early, lacking / max(self._pace, 1e-9)), 1e12))

    def ran(self, steps: int, seconds: float) -> None:
        """Count a block of steps."""
        self._done += steps
        self._worked = (self._worked or 0.0) + seconds
        self._pace = min(self._pace, seconds / max(steps, 1))

    @contextlib.contextmanager
    def comparing(self) -> Iterator[None]:
        """Count the time of a comparison."""
        begun = time.perf_counter()
        yield
        self.cost = time.perf_counter() - begun
        self._spent += self.cost
        self._last = max(self._done, self._last)


class Shadow:
    """Execute a step in NumPy as if nothing had happened: every object is put back as it was.

    Arguments:
        roots: path -> object.
        written: the paths of what a step writes; nothing else is copied.
    """

    def __init__(self, roots: Mapping[str, object], written: Iterable[str]):
        self._inventory = Inventory(roots)
        self._roots, self._paths = roots, [p for p in written if p in self._inventory.slots]
        self._copies = {p: np.array(self._inventory.slots[p].value) for p in self._paths}

    def after(self, step: Callable[[], None], nudge: float = 0.0) -> dict[str, np.ndarray]:
        """Execute a step.

        Arguments:
            step: executes it.
            nudge: by how many of their smallest parts floating-point numbers are changed before.

        Returns:
            What it writes: path -> value.
        """
        slots = self._inventory.slots
        try:
            for path in self._paths if nudge else ():
                value = slots[path].value
                if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.writeable:
                    value += nudge * np.spacing(np.abs(value))
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                step()
            now = Inventory(self._roots).slots
            return {p: np.array(now[p].value) for p in self._paths if p in now}
        finally:
            restore(self._inventory)
            for path, copy in self._copies.items():
                value = slots[path].value
                if isinstance(value, np.ndarray) and value.flags.writeable:
                    value[...] = copy


def differing(compiled: Mapping[str, np.ndarray], shadow: Shadow, step: Callable[[], None], narrow: int) -> str:
    """Compare a compiled step with the same step in NumPy.

    Where NumPy itself makes something else of numbers that differ in the last digits (a potential stands exactly at the
    threshold), either is right.

    Arguments:
        compiled: what the compiled step makes: path -> value.
        shadow: executes the step in NumPy.
        step: the step.
        narrow: bytes of the narrowest floating-point numbers.

    Returns:
        The path of what differs, or nothing.
    """
    expected = shadow.after(step)
    wrong = [p for p, value in expected.items() if not alike(np.asarray(compiled[p]), value, narrow)]
    for nudge in NUDGES if wrong else ():
        other = shadow.after(step, nudge)
        wrong = [p for p in wrong if p in other and alike(other[p], expected[p], narrow)]
    return wrong[0] if wrong else ""


def alike(found: np.ndarray, expected: np.ndarray, narrow: int) -> bool:
    """Tell whether two arrays are equal up to rounding; what comes of narrow floats is not more exact than they are.

    >>> alike(np.array([1.0]), np.array([1.0 + 1e-12]), 8), alike(np.array([1.0]), np.array([1.1]), 8)
    (True, False)
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if identical(found, expected):
        return True
    if found.dtype.kind not in "fc":
        return False
    tolerance = TOLERANCE[min(found.dtype.itemsize // (2 if found.dtype.kind == "c" else 1), narrow)]
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def identical(first: np.ndarray, second: np.ndarray) -> bool:
    """Compare in pieces, so that no long array of truth values is made.

    >>> identical(np.zeros(3), np.zeros(3)), identical(np.zeros(3), np.zeros(3, int))
    (True, False)
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.ndim < 2:
        return np.array_equal(first, second)
    step = max(1, PIECE // max(1, first[0].size))
    return all(np.array_equal(first[i : i + step], second[i : i + step]) for i in range(0, len(first), step))


__all__ = ["Sampled", "Shadow", "alike", "differing", "identical"]
