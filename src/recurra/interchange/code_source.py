"""What is written as source code: the arrays of a program by harmless names, laid out in flat vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.engine import Program, vector_field
from recurra.engine.system import System
from recurra.errors import CapabilityError

Place = tuple[int, int] | list[int]
_PLAIN = re.compile(r"[^A-Za-z0-9_]+")
_SHOWN = re.compile(r"[^A-Za-z0-9_ .,:=+<>()\[\]/-]")
_LONGEST = 40


@dataclass(frozen=True)
class Slot:
    """Say where an array is: its name in the code, its place in a flat vector, its shape, and whether it is complex.

    `start` is None for what the code computes.
    """

    name: str
    shape: tuple[int, ...]
    complex: bool
    start: int | None = None

    @property
    def size(self) -> int:
        """Count its numbers."""
        return int(np.prod(self.shape))

    @property
    def stop(self) -> int:
        """Give the place behind its last number."""
        return (self.start or 0) + self.size


class Source:
    """Hold a program as code needs it.

    Arguments:
        program: one ordinary differential equation.
        name: what it is, for people.

    Raises:
        CapabilityError: the network has rules, delays or thresholds.
    """

    def __init__(self, program: Program, name: str):
        if not program.state:
            raise CapabilityError("the network has no state, so there is no right-hand side.")
        field = vector_field(program)
        if program.system.spikes:
            raise CapabilityError(
                f"the network has thresholds (of {program.system.spikes[0].variable!r}), so it is no ordinary"
                " differential equation, and no function f(t, y, params)."
            )
        self.system: System = program.system
        self.name = name
        self.slots: dict[str, Slot] = {}
        self.states = self._laid_out(program.state)
        self.params = self._laid_out(program.params)
        self.y0 = np.asarray(field.y0)
        self.p0 = _flat([program.params[key] for key in self.params])
        self.state_index: dict[str, Place] = {
            path: place if isinstance(place, tuple) else (place, place + 1) for path, place in field.index.items()
        }
        self.param_index = self._places(program)
        for key, shape in self.system.shapes:
            if key not in self.slots:
                self._add(key, shape, key in self.system.complex_keys)
        for noise in self.system.noises:
            if noise.target not in self.slots:
                self._add(noise.target, (noise.streams * noise.size,), False)
        for chain in self.system.chains:
            if chain.output not in self.slots:
                self._add(chain.output, self.slots[chain.state].shape[1:], self.slots[chain.state].complex)
        self.table_names = {key: f"table_{i}" for i, key in enumerate(self._read_tables())}
        self.tables = {name: (key, np.asarray(program.tables[key])) for key, name in self.table_names.items()}

    def _add(self, key: str, shape: tuple[int, ...], is_complex: bool, start: int | None = None) -> Slot:
        slot = Slot(f"{_identifier(key)}_k{len(self.slots)}", tuple(shape), is_complex, start)
        self.slots[key] = slot
        return slot

    def _laid_out(self, arrays: Mapping[str, Any]) -> list[str]:
        """Lay arrays side by side, sorted by their keys, as `vector_field` does with states."""
        start = 0
        for key in sorted(arrays):
            value = np.asarray(arrays[key])
            start = self._add(key, value.shape, bool(np.iscomplexobj(value)), start).stop
        return sorted(arrays)

    def _places(self, program: Program) -> dict[str, Place]:
        """Return for every path of a parameter where it is in the flat vector."""
        targets = {t.path: t for t in program.layout.targets(("parameter", "input"))}
        for label, edge in program.layout.edges.items():
            for what, key in (("weight", edge.weight_key), ("delay", edge.delay_key)):
                if key:
                    targets[f"{label}/{what}"] = program.layout.one(f"{label}/{what}")
        found: dict[str, Place] = {}
        for path, target in targets.items():
            slot = self.slots[target.key]
            numbers = np.arange(slot.start or 0, slot.stop).reshape(slot.shape)
            places = np.ravel(numbers[target.index]).tolist()
            whole = places == list(range(places[0], places[-1] + 1)) if places else False
            found[path] = (places[0], places[-1] + 1) if whole else places
        return found

    def _read_tables(self) -> list[str]:
        found: dict[str, None] = {}
        for projection in self.system.projections:
            if projection.delivery in ("gather", "sparse"):
                found[projection.columns] = None
            if projection.delivery == "sparse":
                found[projection.rows] = None
        for chain in self.system.chains:
            if chain.columns:
                found[chain.columns] = None
        for item in self.system.schedule:
            if getattr(item, "base", "") == "mixed":
                found[f"{item.target}/open"] = None
        return list(found)

    @property
    def is_complex(self) -> bool:
        """Say whether any number is complex."""
        return any(slot.complex for slot in self.slots.values())


def shown(text: str) -> str:
    """Return a text that does nothing in a comment of any language.

    >>> shown("a*/ ?? b")
    'a_/ __ b'
    """
    return _SHOWN.sub("_", text)


def _identifier(key: str) -> str:
    """Return a name of ASCII letters, digits and _ that begins with a letter; the caller makes it unique."""
    last = _PLAIN.sub("_", key.rpartition("/")[2])[:_LONGEST].strip("_")
    return last if last[:1].isalpha() else f"x{last}"


def _flat(arrays: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(a)) for a in arrays]) if arrays else np.zeros(0)

