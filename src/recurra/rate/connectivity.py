"""Who is inhibitory, who connects to whom how strongly, and which connections a lesion takes: seeded draws in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from recurra.errors import OptionError, unknown

DISTRIBUTIONS = ("gaus", "gamma")
GAMMA_SHAPE, GAMMA_SCALE = 2.0, 0.003  # Kim, Li & Sejnowski 2019, their code
PAIRS = ("EE", "EI", "IE", "II")  # target, source: EI is to an excitatory unit from an inhibitory one
PURPOSES: Mapping[str, int] = MappingProxyType({"types": 1, "weights": 2, "time constants": 3, "start": 4, "lesion": 5})


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of a seed for one purpose, so that no purpose changes another's numbers.

    Raises:
        OptionError: the seed is no whole number >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"seed must be a whole number >= 0, got {seed!r}.")
    return np.random.default_rng([int(seed), PURPOSES[purpose]])


def fraction(value: object, name: str) -> float:
    """Return a number from 0 to 1.

    Raises:
        OptionError: it is something else.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        raise OptionError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)  # type: ignore[arg-type]


def draw_inhibitory(size: int, probability: float, seed: int) -> np.ndarray:
    """Return which units are inhibitory, `(N, 1)`; each is with this probability."""
    return generator(seed, "types").random((size, 1)) < probability


def draw_weights(size: int, probability: float, distribution: str, gain: float, seed: int) -> np.ndarray:
    """Draw weights for a random part of all ordered pairs of units, a unit and itself included.

    `gaus` has the standard deviation gain / sqrt(N P) (Kim, Li & Sejnowski 2019), `gamma` the shape 2 and scale 0.003.

    Raises:
        OptionError: an unknown distribution.
    """
    draws = generator(seed, "weights")
    present = draws.random((size, size)) < probability
    if distribution == "gaus":
        values = draws.normal(size=(size, size)) * (gain / np.sqrt(size * probability) if probability else 0.0)
    elif distribution == "gamma":
        values = draws.gamma(GAMMA_SHAPE, GAMMA_SCALE, (size, size))
    else:
        raise OptionError(unknown("w_dist", distribution, DISTRIBUTIONS))
    return np.where(present, values, 0.0)


def somatostatin_mask(inhibitory: np.ndarray, count: int) -> np.ndarray:
    """Return `(N, N)`: 0 where an inhibitory unit would reach one of the first `count` inhibitory units, else 1.

    These stand for cells with somatostatin, which no inhibitory unit reaches, not even themselves.

    Raises:
        OptionError: there are not as many inhibitory units.
    """
    units = np.flatnonzero(inhibitory)
    if count > units.size:
        raise OptionError(
            f"som_N = {count} is more than the {units.size} inhibitory units that were drawn; use a smaller som_N, a"
            " larger P_inh or another seed."
        )
    mask = np.ones((inhibitory.size, inhibitory.size))
    mask[np.ix_(units[:count], units)] = 0.0
    return mask


def choose_lesions(
    effective: np.ndarray, inhibitory: np.ndarray, part: float, by_type: bool, exclude_self: bool, seed: int
) -> np.ndarray:
    """Choose connections at random.

    Arguments:
        effective: `(N, N)` weights that act; only those that are not 0 are chosen from.
        inhibitory: `(N, 1)` booleans.
        part: how many of them, from 0 to 1; rounded down.
        by_type: choose the same part of each of the four pairings of types.
        exclude_self: never choose what a unit sends to itself.
        seed: of the choice.

    Returns:
        `(N, N)` booleans.
    """
    draws = generator(seed, "lesion")
    present = effective != 0
    if exclude_self:
        present &= ~np.eye(len(present), dtype=bool)
    chosen = np.zeros(present.shape, bool)
    for pool in pairings(inhibitory).values() if by_type else [np.ones(present.shape, bool)]:
        places = np.flatnonzero(present & pool)
        # A hair more, so that 0.29 of 100 connections are 29.
        chosen.flat[draws.choice(places, int(part * places.size + 1e-9), replace=False)] = True
    return chosen


def pairings(inhibitory: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each pairing of types, target first, which entries of `W[post, pre]` it covers."""
    types = {"E": ~inhibitory.reshape(-1), "I": inhibitory.reshape(-1)}
    return {pair: np.outer(types[pair[0]], types[pair[1]]) for pair in PAIRS}
