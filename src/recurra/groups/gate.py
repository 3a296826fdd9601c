"""While compiled steps run, recorders and equations do not stand where a behavior would find them in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

RECORDS, NUMBERS = "what a recorder holds", "numbers of the network by their paths"


class Gate:
    """See to it that nothing is looked at that is not up to date; every network has one.

    Attributes:
        lookers: the names of the behaviors that have looked at records.

    >>> gate = Gate()
    >>> with gate.closed("cells/Plot", lambda what: RuntimeError(f"no {what} now"), NUMBERS):
    ...     gate.check(RECORDS)
    >>> gate.lookers
    {'cells/Plot'}
    """

    def __init__(self) -> None:
        self.lookers: set[str] = set()
        self._who: tuple[str, Callable[[str], BaseException], tuple[str, ...]] | None = None

    @contextmanager
    def closed(self, name: str, error: Callable[[str], BaseException], *what: str) -> Iterator[None]:
        """Refuse to let a behavior look at some things while it is executed.

        Arguments:
            name: the behavior's name.
            error: makes the error of what it looks at.
            what: `RECORDS`, `NUMBERS`, or both.
        """
        before, self._who = self._who, (name, error, what)
        try:
            yield
        finally:
            self._who = before

    def check(self, what: str) -> None:
        """Note that somebody looks; raise what was said if that may not be."""
        if self._who is None:
            return
        name, error, refused = self._who
        if what == RECORDS:
            self.lookers.add(name)
        if what in refused:
            raise error(what)
