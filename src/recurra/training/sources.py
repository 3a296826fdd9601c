"""Where the trials of an epoch come from: arrays, or batches that are made while a training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recurra.errors import OptionError, ShapeError

TASK_BATCH = 32  # trials of an update that are drawn from a task, unless batch_size says otherwise


@dataclass(frozen=True, eq=False)
class Item:
    """Hold what a user gave as trials, unchecked: inputs, targets and a mask."""

    inputs: Any
    targets: Any
    mask: Any = None


@dataclass(frozen=True, eq=False)
class Source:
    """Make the trials of every epoch anew.

    Arguments:
        of_epoch: number of an epoch -> what is learned from in it, one set of trials after the other; nothing at all
            if there are no more.
        known: what tells this source from others, for a checkpoint; `None` where nobody can know.
        endless: whether there is always one more epoch.
    """

    of_epoch: Callable[[int], Iterable[Item]]
    known: Any
    endless: bool = True

    def map(self, change: Callable[[Item], Item]) -> Source:
        """Return the source of changed items."""
        return replace(self, of_epoch=lambda epoch: map(change, self.of_epoch(epoch)))


def read_item(value: Any, where: str) -> Item:
    """Return what somebody gave as trials: (inputs, targets), (inputs, targets, mask), or the trials of a task.

    Raises:
        OptionError: it is something else.
    """
    if isinstance(value, Item):
        return value
    if isinstance(value, tuple | list) and len(value) in (2, 3):
        return Item(*value)
    found = [getattr(value, name, None) for name in ("inputs", "targets", "mask")]
    if found[1] is not None:
        return Item(*found)
    raise OptionError(
        f"{where}: expected (inputs, targets) or (inputs, targets, mask), or the trials of a task; got"
        f" {type(value).__name__}{f' of {len(value)}' if isinstance(value, tuple | list) else ''}."
    )


def find_source(inputs: Any, targets: Any, mask: Any, batch_size: int | None, seed: int) -> Source | None:
    """Return the source that is given in place of inputs, with `None` as targets; `None` if arrays are given.

    Arguments:
        inputs: a function of the number of the epoch, a task, something that is gone through once in every epoch (a
            `DataLoader`), or an iterator, each item of which is an epoch.
        targets, mask: what was given beside it.
        batch_size: how many trials of a task make an update.
        seed: of the trials of a task.

    Raises:
        OptionError: a mask is given beside a source.
        ShapeError: there are no targets.
    """
    if isinstance(inputs, Source):
        return inputs
    makes = callable(inputs) or callable(getattr(inputs, "trials", None))
    if targets is not None:
        if makes or hasattr(inputs, "__next__"):
            raise OptionError("targets: batches that are made bring their own targets; give None.")
        return None
    loops = hasattr(inputs, "__iter__") and not isinstance(inputs, Mapping | str) and not hasattr(inputs, "__array__")
    if not makes and not loops:
        raise ShapeError("targets: none were given; without, inputs must make batches of (inputs, targets).")
    if mask is not None:
        raise OptionError("mask: batches that are made bring their own mask, as (inputs, targets, mask).")
    if callable(getattr(inputs, "trials", None)):
        return _of_task(inputs, batch_size or TASK_BATCH, seed)
    if callable(inputs):
        return Source(lambda epoch: [read_item(inputs(epoch), "what the function of the epoch returned")], inputs)
    if hasattr(inputs, "__next__"):
        return _of_iterator(iter(inputs))
    return Source(lambda _: (read_item(item, f"batch {i}") for i, item in enumerate(inputs)), inputs)


def _of_task(task: Any, count: int, seed: int) -> Source:
    def draw(epoch: int) -> list[Item]:
        return [read_item(task.trials(count, seed, start=epoch * count), "the trials of the task")]

    return Source(draw, (task, count))


def _of_iterator(items: Iterator[Any]) -> Source:
    def take(epoch: int) -> Iterable[Item]:
        for item in items:
            return [read_item(item, f"batch {epoch}")]
        return []

    return Source(take, None, endless=False)


def gone_through(source: Source, epoch: int) -> Iterator[Item]:
    """Yield the items of an epoch; a source that must always have one may not be empty."""
    found = 0
    for item in source.of_epoch(epoch):
        found += 1
        yield item
    if not found and source.endless:
        raise ShapeError(f"inputs: there was no batch in epoch {epoch}; an iterator ends there, nothing else may.")


def order_of(count: int, size: int | None, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of an epoch: a shuffle that depends on seed and epoch only."""
    if not size or size >= count:
        # One batch is not shuffled: the order would change nothing but the rounding.
        return [np.arange(count)]
    shuffled = np.random.default_rng([seed, epoch]).permutation(count)
    return [np.sort(shuffled[chosen]) for chosen in in_batches(count, size)]


def in_batches(count: int, size: int | None) -> list[np.ndarray]:
    """Split the numbers of trials into batches, in their order."""
    return np.array_split(np.arange(count), range(size, count, size)) if size else [np.arange(count)]
