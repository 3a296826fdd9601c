"""The last row of a run whose inputs did not say how they go on.

Heun and Runge-Kutta, and solvers that choose their own steps, read an input at the end of a step. A series with one
sample for each step has none at the end of its run: there it keeps its last sample. Where the run goes on with inputs,
that sample is known, and the last row is computed again with it; so two halves are the whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.identity import identify
from recurra.errors import StoreError

if TYPE_CHECKING:
    from recurra.engine.feeds import Feed


def ends_open(feeds: tuple[Feed, ...], steps: int) -> bool:
    """Say whether a series has no sample for the end of a run of so many steps."""
    return any(feed.series and len(feed.rows) <= steps for feed in feeds)


@dataclass(frozen=True, eq=False)
class OpenEnd:
    """Hold what is needed to compute the last row of a run again.

    Arguments:
        state: the state before it.
        steps: how many steps it has.
        samples: key of an input -> its samples in these steps.
        told: what must be the same in a run that goes on, for the row to be computed again; or its mark, from a file.
    """

    state: Mapping[str, np.ndarray]
    steps: int
    samples: Mapping[str, np.ndarray]
    told: tuple | str

    @cached_property
    def mark(self) -> str:
        """Give a text that is equal where what was told is equal; made when it is asked for."""
        return self.told if isinstance(self.told, str) else mark_of(self.told)

    def closed_by(self, feeds: tuple[Feed, ...]) -> tuple[np.ndarray, ...] | None:
        """Return the samples of the row and the one after it, for each input; `None` if other inputs go on."""
        found = []
        for feed in feeds:
            if not feed.series:
                found.append(feed.rows)
                continue
            own = self.samples.get(feed.key)
            if own is None or own.shape[1:] != feed.rows.shape[1:]:
                return None
            found.append(own if len(own) > self.steps else np.concatenate([own, feed.rows[:1]]))
        return tuple(found)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for a file."""
        found = {f"end:state:{key}": np.asarray(value) for key, value in self.state.items()}
        found |= {f"end:samples:{key}": np.asarray(value) for key, value in self.samples.items()}
        return found | {"end:steps": np.array(self.steps), "end:mark": np.array(self.mark)}


def mark_of(told: tuple) -> str:
    """Return a text that is equal where what was told is equal."""
    return json.dumps(identify({"run": told}), sort_keys=True)


def open_end(before: Mapping[str, Any], feeds: tuple[Feed, ...], steps: int, every: int, told: tuple) -> OpenEnd:
    """Return the open end of a run of so many steps, given the state before its last row."""
    samples = {f.key: np.array(f.rows[steps - every : steps + 1]) for f in feeds if f.series}
    return OpenEnd({key: np.asarray(value) for key, value in before.items()}, every, samples, told)


def split_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], OpenEnd | None]:
    """Take the open end out of the arrays of a file.

    Raises:
        StoreError: a part of it is missing.
    """
    rest = {key: value for key, value in arrays.items() if not key.startswith("end:")}
    if len(rest) == len(arrays):
        return rest, None

    def those(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    try:
        end = OpenEnd(those("end:state:"), int(arrays["end:steps"]), those("end:samples:"), str(arrays["end:mark"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"not a complete state: what goes on from it is damaged ({error}).") from None
    return rest, end
