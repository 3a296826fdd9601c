"""Random numbers of programs that draw them on their own: a seed for each trial, and nothing left of earlier ones."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from recurra.errors import CapabilityError

MOST_PARTS = 100_000


def trial_seed(seed: int, number: int) -> int:
    """Return the seed of one trial, below 2^32: those of 2^30 trials in a row are all different.

    Environments take no longer seeds, and of so many drawn at random two are soon equal; this is a permutation
    instead (a Feistel network of six rounds; Luby & Rackoff 1988). Its two highest bits are those of the seed from 2^31
    on, which tell trials of a training from those of its evaluation: they are different for certain.

    >>> len({trial_seed(0, number) for number in range(10_000)})
    10000
    >>> trial_seed(0, 5) >> 30, trial_seed(3 * 2**31, 5) >> 30
    (0, 3)
    """
    left, right = number >> 15 & 0x7FFF, number & 0x7FFF
    for key in np.random.SeedSequence([seed, number >> 30]).generate_state(6, np.uint32).tolist():
        mixed = (right * 0x9E3779B1 + key) & 0xFFFFFFFF
        mixed = ((mixed ^ mixed >> 15) * 0x85EBCA6B) & 0xFFFFFFFF
        left, right = right, left ^ mixed >> 17
    return (seed >> 31 & 3) << 30 | left << 15 | right


class Pristine:
    """Hold an object as it was given, and make copies of it whose random numbers are those of a seed.

    A copy shares nothing with the object, so what one remembers of a trial reaches no other: the variables that its
    functions have captured are those of the copy too (`lambda: self.rng.uniform(...)` draws from the copy's `rng`), and
    every random generator that it holds is replaced by one of the seed.

    Arguments:
        source: the object.
        where: how messages call it.

    Raises:
        CapabilityError: it cannot be copied.

    >>> class Walk:
    ...     def __init__(self):
    ...         self.at, self.rng = 0, np.random.default_rng()
    ...         self.step = lambda: self.rng.integers(100)
    ...     def go(self):
    ...         self.at += self.step()
    ...         return self.at
    >>> walks = Pristine(Walk(), "Walk")
    >>> len({walks.copy(3).go() for _ in range(5)}), walks.source.at
    (1, 0)
    """

    def __init__(self, source: Any, where: str):
        self.where = where
        self.source = self._copied(source, *captured(source)[:1], {})
        self.functions, self.generators = captured(self.source)
        self.legacy = {id(one): np.random.RandomState(0) for one in self.generators
                       if isinstance(one, np.random.RandomState)}  # fmt: skip

    def copy(self, seed: int) -> Any:
        """Return a copy with the random numbers of a seed."""
        memo = {id(one): self._seeded(one, seed, position) for position, one in enumerate(self.generators)}
        return self._copied(self.source, self.functions, memo)

    def _seeded(self, one: Any, seed: int, position: int) -> Any:
        if isinstance(one, random.Random):
            return random.Random(f"{seed} {position}")
        fresh = np.random.SeedSequence([seed, position])
        if isinstance(one, np.random.Generator):
            return np.random.Generator(type(one.bit_generator)(fresh))
        found = self.legacy[id(one)]  # making one takes a millisecond, seeding it anew does not
        found.seed(int(fresh.generate_state(1)[0]))
        return found

    def _copied(self, source: Any, functions: list[FunctionType], memo: dict[int, Any]) -> Any:
        try:
            for one in functions:
                cells = tuple(CellType() for _ in one.__closure__ or ())
                memo[id(one)] = FunctionType(one.__code__, one.__globals__, one.__name__, one.__defaults__, cells)
                memo[id(one)].__kwdefaults__ = one.__kwdefaults__
            found = copy.deepcopy(source, memo)
            for one in functions:
                for cell, old in zip(memo[id(one)].__closure__, one.__closure__ or (), strict=True):
                    cell.cell_contents = copy.deepcopy(old.cell_contents, memo)
        except Exception as problem:  # whatever an object of strangers raises
            raise CapabilityError(
                f"{self.where} cannot be copied ({type(problem).__name__}: {problem}), so its trials could depend on"
                " those before them. Keep open files, generator functions and locks out of it."
            ) from problem
        return found


def captured(source: Any) -> tuple[list[FunctionType], list[Any]]:
    """Return the functions that hold variables of an outer one, and the random generators, that an object reaches."""
    functions, generators, seen, left = [], [], set(), [source]
    while left and len(seen) < MOST_PARTS:
        one = left.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | np.ndarray | type | ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, np.random.Generator | np.random.RandomState | random.Random):
            generators.append(one)
        elif isinstance(one, Mapping):
            left += one.values()
        elif isinstance(one, list | tuple | set):
            left += one
        elif isinstance(one, FunctionType):
            if one.__closure__:
                functions.append(one)
                left += [cell.cell_contents for cell in one.__closure__]
        elif isinstance(one, partial):
            left += [one.func, *one.args, *one.keywords.values()]
        elif isinstance(one, MethodType):
            left.append(one.__self__)
        elif hasattr(one, "__dict__"):
            left += vars(one).values()
    return functions, generators


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global random numbers of NumPy and Python while some lines run, and put them back after.

    >>> with global_seed(3):
    ...     first = np.random.rand()
    >>> with global_seed(3):
    ...     bool(np.random.rand() == first)
    True
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
