"""Random numbers of behaviors: one stream per network, also for code that calls `numpy.random` itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from recurra.errors import OptionError, unknown


class Draws:
    """Draw random numbers under the names of `numpy.random`, from a stream of its own.

    The stream is that of `numpy.random.seed(seed)` (Mersenne Twister; Matsumoto and Nishimura 1998), so the draws of
    a model equal those of the same calls of `numpy.random` after that.

    Arguments:
        seed: a whole number >= 0.

    >>> Draws(42).uniform(size=2).tolist() == np.random.RandomState(42).uniform(size=2).tolist()
    True
    """

    def __init__(self, seed: int = 0):
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise OptionError(f"seed must be a whole number >= 0, got {seed!r}.")
        seed, words = int(seed), []
        while seed or not words:
            words.append(seed & 0xFFFFFFFF)
            seed >>= 32
        self._own = np.random.RandomState(words[0] if len(words) == 1 else words)
        self._lent = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        # While the stream is lent to numpy.random, its next number is there.
        source: Any = np.random if self._lent else self._own
        found = getattr(source, name, None)
        if found is None or not hasattr(self._own, name):
            names = [n for n in dir(self._own) if not n.startswith("_")]
            raise AttributeError(unknown("random draw", name, names), name=name, obj=self)
        return found

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let `numpy.random` continue this stream for a while; afterwards it is as it was before."""
        if self._lent:
            yield
            return
        outside: Any = np.random.get_state(legacy=False)  # noqa: NPY002
        np.random.set_state(self._own.get_state(legacy=False))  # noqa: NPY002
        self._lent += 1
        try:
            yield
        finally:
            self._lent -= 1
            self._own.set_state(np.random.get_state(legacy=False))  # noqa: NPY002
            np.random.set_state(outside)  # noqa: NPY002
