"""Behaviors that stay in Python and take part in every compiled step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np

from recurra.groups.gate import NUMBERS, RECORDS
from recurra.groups.roster import Member, Roster
from recurra.tracing import Addressed, ask, session_of


class Asides:
    """Execute such behaviors when a compiled step comes to them, each step once, however often it is computed.

    Arguments:
        roster: who is executed.
        random: the addressed randomness.
        parts: name of a behavior -> the paths that it is handed, and those of them that it gives back.

    Attributes:
        error: what one of them raised, and in which step.
    """

    def __init__(self, roster: Roster, random: Addressed, parts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]):
        self.roster, self.random, self.parts = roster, random, dict(parts)
        self.error: tuple[int, BaseException] | None = None
        self._done: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        self._models = roster.values({path for _, gives in self.parts.values() for path in gives})

    def __bool__(self) -> bool:
        return bool(self.parts)

    @contextmanager
    def lending(self, outside: Collection[str]) -> Iterator[None]:
        """Let objects hold, for a while, what such behaviors are handed; then they hold their own arrays again.

        What comes from `outside` in every step, they keep.

        What a behavior gives becomes a copy: it may have set an attribute to a row of a table, and numbers that are put
        back into the attribute later must not get into the table.
        """
        gives = {path for _, given in self.parts.values() for path in given}
        held = self.roster.values({path for handed, _ in self.parts.values() for path in handed} - gives - set(outside))
        try:
            yield
        finally:
            if self:
                jax.effects_barrier()
            held |= {p: v.copy() if isinstance(v, np.ndarray) else v for p, v in self.roster.values(gives).items()}
            for path, value in held.items():
                self.roster.replace(path, value)

    def forget(self) -> None:
        """Forget what was done; it will not be computed again."""
        self._done, self.error = {}, None

    def failure(self) -> tuple[int, BaseException]:
        """Return in which step something was raised, and what."""
        return self.error if self.error is not None else (-1, RuntimeError("nothing was raised"))

    def done_in(self, k: int) -> list[tuple[str, dict[str, np.ndarray]]]:
        """List who was executed in a step already, and what it gave."""
        return [(name, values) for (name, step), values in self._done.items() if step == k]

    def trace(self, member: Member) -> None:
        """Be what a compiled step does in place of a behavior."""
        handed, gives = self.parts[member.name]
        session = session_of(self.roster.objects[""]._iteration)
        if session is None:
            raise TypeError("a behavior that stays in Python takes part in traced steps only")
        models = {path: self._models[path] for path in gives}
        found = ask(session, partial(self._called, member), self.roster.values(handed), models)
        for path, value in found.items():
            self.roster.replace(path, value)

    def _called(self, member: Member, k: int, counts: bool, values: dict[str, np.ndarray]) -> Mapping[str, Any]:
        if (member.name, k) in self._done:
            return self._done[member.name, k]
        if not counts or self.error is not None:
            return values
        try:
            self.roster.put(values)
            self.roster.objects[""].iteration = k + 1
            with self.random.at(member.name, k, roots=self.roster.roots):
                self.execute(member, k, RECORDS, NUMBERS)
        except BaseException as error:  # it must not get lost in the engine
            self.error = k, error
            return values
        return self._done[member.name, k]

    def execute(self, member: Member, k: int, *closed: str) -> None:
        """Execute one of them in NumPy, and remember what it gives in this step; `closed` as in `Member.execute`."""
        member.execute(*closed)
        made = {path: np.array(value) for path, value in self.roster.values(self.parts[member.name][1]).items()}
        for path, value in made.items():
            model = np.asarray(self._models[path])
            if (value.shape, value.dtype) != (model.shape, model.dtype):
                raise TypeError(f"{member.name}: {path} changes from {model.dtype}{list(model.shape)} to"
                                f" {value.dtype}{list(value.shape)}; run with compile=False.")  # fmt: skip
        self._done[member.name, k] = made
