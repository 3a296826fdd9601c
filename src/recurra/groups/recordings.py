"""Buffers of recorders: rows of numbers that grow by doubling, or keep the last ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.errors import ShapeError
from recurra.groups.gate import RECORDS, Gate


class Rows:
    """Collect rows of one shape; adding n rows one by one takes time in proportion to n.

    Arguments:
        where: what the rows are, for messages.
        max_length: how many of the last rows are kept; all if `None`.
        gate: is asked before the rows are read.
    """

    def __init__(self, where: str, max_length: int | None = None, gate: Gate | None = None):
        self.where, self.max_length, self.gate = where, max_length, gate or Gate()
        self._array: np.ndarray | None = None
        self._first = self._end = 0

    def __len__(self) -> int:
        self.gate.check(RECORDS)
        return self._end - self._first

    def append(self, row: Any) -> None:
        """Add one row."""
        row = np.asarray(row)
        if row.dtype.kind not in "biufc":
            raise ShapeError(f"{self.where}: only numbers can be recorded, got {row.tolist()!r}.")
        self._reserve(1, row.shape, row.dtype)[0] = row

    def extend(self, rows: Any) -> None:
        """Add rows at once: `(rows, ...)`."""
        rows = np.asarray(rows)
        if self.max_length is not None:
            rows = rows[-self.max_length :]
        self._reserve(len(rows), rows.shape[1:], rows.dtype)[:] = rows

    def array(self) -> np.ndarray:
        """Return a copy of the rows: `(rows, ...)`."""
        self.gate.check(RECORDS)
        return np.zeros(0) if self._array is None else self._array[self._first : self._end].copy()

    def clear(self) -> None:
        """Forget the rows."""
        self._array, self._first, self._end = None, 0, 0

    def _reserve(self, count: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return the place for `count` further rows."""
        if self._array is None:
            self._array = np.empty((max(count, 16), *shape), dtype)
        if self._array.dtype == dtype and self._array.shape[1:] == shape and self._end + count <= len(self._array):
            return self._grown(count)
        if self._array.shape[1:] != shape:
            raise ShapeError(
                f"{self.where}: its shape was {self._array.shape[1:]} and is {shape} now; a recording has one shape."
            )
        kind = np.promote_types(self._array.dtype, dtype)
        if self._end + count > len(self._array) or kind != self._array.dtype:
            kept = self._array[self._first : self._end]
            grown = np.empty((max(16, 2 * (len(kept) + count)), *shape), kind)
            grown[: len(kept)] = kept
            self._array, self._first, self._end = grown, 0, len(kept)
        return self._grown(count)

    def _grown(self, count: int) -> np.ndarray:
        self._end += count
        if self.max_length is not None:
            self._first = max(self._first, self._end - self.max_length)
        return self._array[self._end - count : self._end]  # type: ignore[index]


class Recording:
    """Hold what was recorded of one variable, and when.

    Arguments:
        name: the variable in its standard form.
        where: for messages.
        gapwidth: 1 for every step, 2 for the steps 2, 4, 6, ...
        max_length: how many of the last rows are kept; all if `None`.
        gate: is asked before the rows are read.
    """

    def __init__(
        self, name: str, where: str, gapwidth: int = 1, max_length: int | None = None, gate: Gate | None = None
    ):
        self.name, self.gapwidth = name, gapwidth
        self._rows, self._iterations = Rows(where, max_length, gate), Rows(where, max_length, gate)

    def append(self, value: Any, iteration: int) -> None:
        """Record the value after a step, if it is this step's turn."""
        if iteration % self.gapwidth == 0:
            self._rows.append(value)
            self._iterations.append(np.int64(iteration))

    def extend(self, rows: Any, first_iteration: int, every: int = 1) -> None:
        """Record the values after several steps at once, those whose turn it is.

        Arguments:
            rows: `(steps, ...)`.
            first_iteration: the number of the first of these steps.
            every: how many steps lie between two rows.
        """
        steps = first_iteration + every * np.arange(len(rows), dtype=np.int64)
        turn = steps % self.gapwidth == 0
        if len(rows) and turn.all():  # the usual case needs no copy
            self._rows.extend(rows)
            self._iterations.extend(steps)
        elif turn.any():
            self._rows.extend(np.asarray(rows)[turn])
            self._iterations.extend(steps[turn])

    def data(self) -> np.ndarray:
        """Return the rows: `(rows,)` of a number, `(rows, units)` of a vector; a copy."""
        return self._rows.array()

    def iterations(self) -> np.ndarray:
        """Return the step after which each row was recorded: `(rows,)`."""
        return self._iterations.array().astype(np.int64)

    def clear(self) -> None:
        """Forget the rows."""
        self._rows.clear()
        self._iterations.clear()

    def __len__(self) -> int:
        return len(self._rows)


class Events:
    """Hold where and when a variable was not 0.

    Arguments:
        name: the variable in its standard form.
        where: for messages.
        max_length: how many of the last events are kept; all if `None`.
        gate: is asked before the events are read.
    """

    def __init__(self, name: str, where: str, max_length: int | None = None, gate: Gate | None = None):
        self.name, self.where = name, where
        self._rows = Rows(where, max_length, gate)
        self._columns = 2

    def append(self, value: Any, iteration: int) -> None:
        """Record the events of one step: `value` is `(units,)`, or a matrix."""
        places = np.nonzero(np.atleast_1d(value))
        self._columns = 1 + len(places)
        if len(places[0]):
            steps = np.full(len(places[0]), iteration, np.int64)
            self._rows.extend(np.stack([steps, *places], axis=1))

    def extend(self, rows: Any, first_iteration: int, every: int = 1) -> None:
        """Record the events of several steps at once: `rows` is `(steps, units)`; see :meth:`Recording.extend`."""
        rows = np.asarray(rows)
        steps, *places = np.nonzero(rows.reshape(len(rows), -1) if rows.ndim == 1 else rows)
        self._columns = 1 + len(places)
        if len(steps):
            self._rows.extend(np.stack([first_iteration + every * steps, *places], axis=1).astype(np.int64))

    def extend_packed(self, words: np.ndarray, first_iteration: int, every: int = 1) -> None:
        """Record the events of several steps, given as bits: `(steps, words of 32 bits)`, neuron 0 the lowest bit."""
        steps, places = np.nonzero(words)
        hits, bits = np.nonzero(words[steps, places][:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1))
        if len(hits):
            numbers = first_iteration + every * steps[hits]
            self._rows.extend(np.stack([numbers, 32 * places[hits] + bits], axis=1).astype(np.int64))

    def extend_events(self, events: Any) -> None:
        """Record events that were found already: `(events, 2)`, step and unit."""
        events = np.asarray(events, np.int64)
        if events.ndim != 2 or events.shape[1] < 2:
            raise ShapeError(f"{self.where}: events must have the shape (events, 2), got {events.shape}.")
        self._columns = events.shape[1]
        if len(events):
            self._rows.extend(events)

    def data(self) -> np.ndarray:
        """Return `(events, 2)`: step and unit; `(events, 3)` of a matrix. A copy."""
        return self._rows.array() if len(self._rows) else np.zeros((0, self._columns), np.int64)

    def clear(self) -> None:
        """Forget the events."""
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._rows)


class Column:
    """Look at one column of events, under a name of its own: `spike.t`, `spike.i`, `spike.j`."""

    LETTERS = "tij"

    def __init__(self, events: Events, letter: str):
        self.events, self.place = events, self.LETTERS.index(letter)
        self.name = f"{events.name}.{letter}"

    def data(self) -> np.ndarray:
        """Return the column: `(events,)`."""
        table = self.events.data()
        if self.place >= table.shape[1]:
            raise ShapeError(f"{self.name}: only events of a matrix have a second index; use {self.events.name}.i.")
        return table[:, self.place]


Kept = Recording | Events | Column
"""What can be found under the name of a variable."""
