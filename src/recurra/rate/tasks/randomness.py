"""Random numbers of programs that draw them on their own: a seed for each trial, and nothing left of earlier ones."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from recurra.errors import CapabilityError


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


def copied(source: Any, where: str) -> Any:
    """Return an independent copy of an object, so that nothing it remembers of a trial reaches the next.

    Raises:
        CapabilityError: it cannot be copied.
    """
    try:
        return copy.deepcopy(source)
    except Exception as problem:  # whatever an object of strangers raises
        raise CapabilityError(
            f"{where} cannot be copied ({type(problem).__name__}: {problem}), so its trials could depend on those"
            " before them. Keep open files, generator functions and locks out of it."
        ) from problem


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
