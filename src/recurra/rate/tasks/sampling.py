"""What a trial draws: distributions of numbers and durations, and random streams addressed by trial.

Every draw has the address (seed, name of the quantity, number of the trial). So trial 7 of a seed is the same in a
batch of 8 and in a batch of 1000, whatever else the task draws.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from recurra.engine.grid import count_steps
from recurra.errors import OptionError, ShapeError, TimeError, unknown

PRECISIONS = ("float64", "float32")
MOST_TRIALS = 2**40  # numbers of trials and of the draws within one share a counter of 256 bits


def is_number(value: object) -> bool:
    """Return whether a value is a finite real number, booleans and strings left out."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and math.isfinite(value)


@dataclass(frozen=True)
class Choice:
    """Draw one of a few values.

    Arguments:
        values: the values, at least one.
        weights: how likely each is, relative to the others; equally likely without.

    Raises:
        OptionError: there is no value, or values or weights are no numbers, or do not go together.

    >>> Choice((1, -1)).at(np.array([0.2, 0.7]))
    array([ 1., -1.])
    """

    values: tuple[float, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _numbers(self.values, "Choice: values"))
        if self.weights is None:
            return
        object.__setattr__(self, "weights", _numbers(self.weights, "Choice: weights"))
        if len(self.weights) != len(self.values) or min(self.weights) < 0 or sum(self.weights) == 0:
            raise OptionError(
                f"Choice: weights must be one number >= 0 for each of the {len(self.values)} values, and not all 0, got"
                f" {self.weights}."
            )

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def at(self, quantile: np.ndarray) -> np.ndarray:
        """Return the values at quantiles in [0, 1)."""
        weights = np.ones(len(self.values)) if self.weights is None else np.array(self.weights)
        edges = np.cumsum(weights / weights.sum())[:-1]
        return np.array(self.values)[np.searchsorted(edges, quantile, side="right")]

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values can be drawn."""
        return np.isin(values, self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(f"{value:g}" for value in self.values)


@dataclass(frozen=True)
class Uniform:
    """Draw a number between two others; all are equally likely.

    Arguments:
        low: the lowest.
        high: the highest.

    Raises:
        OptionError: these are no numbers, or in the wrong order.

    >>> Uniform(100, 300).at(np.array([0.0, 0.5]))
    array([100., 200.])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (is_number(self.low) and is_number(self.high) and self.low <= self.high):
            raise OptionError(f"Uniform: expected two numbers low <= high, got {self.low!r} and {self.high!r}.")

    def at(self, quantile: np.ndarray) -> np.ndarray:
        """Return the values at quantiles in [0, 1)."""
        return self.low + quantile * (self.high - self.low)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values can be drawn."""
        return (values >= self.low) & (values <= self.high)

    def __str__(self) -> str:
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Exponential:
    """Draw from an exponential distribution cut off on both sides, which keeps the hazard nearly flat.

    Arguments:
        mean: mean of the distribution before it is cut, counted from `low`.
        low: the lowest value.
        high: the highest value.

    Raises:
        OptionError: these are no numbers, or out of order.

    >>> Exponential(300, 200, 1200).at(np.array([0.0]))
    array([200.])
    """

    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        fine = all(is_number(value) for value in (self.mean, self.low, self.high))
        if not (fine and self.mean > 0 and self.low <= self.high):
            raise OptionError(
                f"Exponential: expected mean > 0 and low <= high, got {self.mean!r}, {self.low!r}, {self.high!r}."
            )

    def at(self, quantile: np.ndarray) -> np.ndarray:
        """Return the values at quantiles in [0, 1)."""
        share = -math.expm1(-(self.high - self.low) / self.mean)
        return self.low - self.mean * np.log1p(-quantile * share)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values can be drawn."""
        return (values >= self.low) & (values <= self.high)

    def __str__(self) -> str:
        return f"between {self.low:g} and {self.high:g}"


Distribution = Choice | Uniform | Exponential
Quantity = float | Distribution


def distribution(quantity: object, where: str) -> Distribution:
    """Return a quantity as a distribution; a number is a choice of one.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(quantity, Choice | Uniform | Exponential):
        return quantity
    if not is_number(quantity):
        raise OptionError(f"{where}: expected a number, Choice, Uniform or Exponential, got {quantity!r}.")
    return Choice((float(quantity),))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Duration:
    """Draw a duration on the time grid.

    Arguments:
        of: its distribution, in ms.
        dt: the step, in ms.
        where: how messages call the duration.

    Raises:
        TimeError: a value (for `Uniform` and `Exponential`: a limit) is negative or off the grid.
    """

    of: Distribution
    dt: float
    where: str

    def __post_init__(self) -> None:
        for value in self.of.values if isinstance(self.of, Choice) else (self.low, self.high):
            to_steps(value, self.dt, self.where)

    @property
    def low(self) -> float:
        return self.of.low

    @property
    def high(self) -> float:
        return self.of.high

    def at(self, quantile: np.ndarray) -> np.ndarray:
        """Return the values at quantiles in [0, 1): all steps of a uniform distribution are equally likely."""
        if isinstance(self.of, Choice):
            return self.of.at(quantile)
        if isinstance(self.of, Uniform):
            count = round((self.high - self.low) / self.dt) + 1
            return self.low + self.dt * np.floor(quantile * count)
        return self.low + self.dt * np.round((self.of.at(quantile) - self.low) / self.dt)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values can be drawn."""
        steps = values / self.dt
        return self.of.holds(values) & (np.abs(steps - np.round(steps)) < 1e-6)

    def __str__(self) -> str:
        return str(self.of) if isinstance(self.of, Choice) else f"{self.of} in steps of {self.dt:g}"


def to_steps(duration: float, dt: float, where: str) -> int:
    """Return a duration >= 0 in steps.

    Raises:
        TimeError: it is negative, no number, or off the grid.

    >>> to_steps(125, 5.0, "stimulus")
    25
    """
    if not is_number(duration) or duration < 0:
        raise TimeError(f"{where}: expected a duration >= 0 in ms, got {duration!r}.")
    return count_steps(duration, dt, where) if duration > 0 else 0


@dataclass(frozen=True, eq=False)
class Draws:
    """Draw for some of the trials of a seed.

    Arguments:
        seed: which trials; the same seed always gives the same ones.
        numbers: `(count,)`, the numbers of the trials, in rising order.
        precision: `"float64"` or `"float32"`, of arrays over time; what is drawn is the same in both.

    >>> whole, late = make_draws(0, 0, 5), make_draws(0, 3, 2)
    >>> bool(np.all(whole.uniform("go")[3:] == late.uniform("go")))
    True
    """

    seed: int
    numbers: np.ndarray
    precision: str = "float64"

    @property
    def count(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> Draws:
        """Return the draws of some of the trials."""
        return Draws(self.seed, self.numbers[rows], self.precision)

    def uniform(self, name: str) -> np.ndarray:
        """Return one number in [0, 1) for each trial, `(count,)`."""
        first = int(self.numbers[0])
        stream = self._stream(name, first)
        # One block of Philox (four numbers) for each trial, so that any trial can be the first.
        return np.random.Generator(stream).random((int(self.numbers[-1]) - first + 1, 4))[self.numbers - first, 0]

    def normal(self, name: str, shape: tuple[int, ...], lengths: np.ndarray | None = None) -> np.ndarray:
        """Return independent standard normal numbers for each trial, `(count, *shape)`.

        Arguments:
            name: of what is drawn.
            shape: for one trial.
            lengths: `(count,)`, how many entries along its first axis each trial needs; the others are 0.
        """
        stream = self._stream(name, 0)
        generator = np.random.Generator(stream)
        found = np.zeros((self.count, *shape), np.float32)  # finer than noise ever needs, and faster to draw
        needed = np.full(self.count, shape[0]) if lengths is None else lengths
        state = stream.state
        # How many raw numbers a normal one takes is left to chance: each trial begins at a counter of its own, apart
        # from those of `uniform`.
        for trial, values, length in zip(self.numbers, found, needed, strict=True):
            state["state"]["counter"] = np.array([0, 0, trial, 1], np.uint64)
            stream.state = state
            generator.standard_normal(out=values[:length], dtype=np.float32)
        return found.astype(self.precision, copy=False)

    def _stream(self, name: str, counter: int) -> np.random.Philox:
        label = int.from_bytes(hashlib.blake2s(name.encode(), digest_size=8).digest(), "little")
        key = np.array([self.seed, label], np.uint64)
        return np.random.Philox(counter=np.array([counter, 0, 0, 0], np.uint64), key=key)


def make_draws(seed: int, start: int, n: int, precision: str = "float64") -> Draws:
    """Return the draws of the trials `start`, `start + 1`, ... of a seed.

    Arguments:
        seed: which trials.
        start: number of the first trial.
        n: how many trials.
        precision: of arrays over time.

    Raises:
        OptionError: the precision is unknown, or the others are no whole numbers in their range.
    """
    for name, value, low, high in (
        ("n", n, 1, MOST_TRIALS),
        ("seed", seed, 0, 2**64 - 1),
        ("start", start, 0, MOST_TRIALS),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            raise OptionError(f"trials: {name} must be a whole number from {low} to {high}, got {value!r}.")
    if precision not in PRECISIONS:
        raise OptionError(f"trials: {unknown('precision', precision, PRECISIONS)}")
    return Draws(int(seed), int(start) + np.arange(n), precision)


def given_values(values: ArrayLike, count: int, allowed: Distribution | Duration, name: str) -> np.ndarray:
    """Return what a user fixed for a condition, one value for each trial.

    Raises:
        ShapeError: neither one number nor one for each trial.
        OptionError: a value that the task never draws.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "biuf" or found.shape not in ((), (count,)):
        raise ShapeError(
            f"conditions: {name!r} must be one number or one for each of the {count} trials, got shape {found.shape} of"
            f" type {found.dtype}."
        )
    found = np.broadcast_to(found.astype(float), (count,))
    wrong = ~allowed.holds(found)
    if wrong.any():
        raise OptionError(f"conditions: {name!r} must be {allowed}, got {found[wrong][0]:g}.")
    return found.copy()


def _numbers(values: object, where: str) -> tuple[float, ...]:
    found = tuple(values) if isinstance(values, tuple | list | np.ndarray) else ()
    if not found or not all(is_number(value) for value in found):
        raise OptionError(f"{where} must be a tuple of at least one number, got {values!r}.")
    return tuple(float(value) for value in found)
