"""Which model numbers belong to: what is kept with a state, and the parts of a program's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recurra.engine.identity import Identity, differences, identify
from recurra.engine.system import System

if TYPE_CHECKING:
    from recurra.engine.program import Program

BEHAVIORS = "behaviors"
_OF_EQUATIONS = (
    "schedule",
    "derivatives",
    "chains",
    "rings",
    "past_reads",
    "noises",
    "spikes",
    "shapes",
    "complex_keys",
)


def parts_of(program: Program) -> dict[str, Any]:
    """Return everything that makes a program, under the names that messages use, for :func:`identify`.

    The initial state is left out: a run may start elsewhere.
    """
    system = program.system
    return {
        "equations": tuple(getattr(system, name) for name in _OF_EQUATIONS),
        "connections": _connections(program),
        "rules": {
            rule.label or BEHAVIORS: (rule.update, rule.derive, rule.state, rule.params, rule.inputs, rule.emits)
            for rule in system.rules
        },
        "params": by_path(program, program.params),
    }


def _connections(program: Program) -> dict[str, Any]:
    """Return how variables are joined, by the label of the edge, and the other lists of numbers of units."""
    found: dict[str, Any] = {}
    tables = dict(program.tables)
    for each in program.system.projections:
        lists = [tables.pop(key, key) for key in (each.rows, each.columns) if key]
        name = each.label or f"{each.source}->{each.target}"
        found[f"{name} ({len(found)})" if name in found else name] = (each, lists)
    return found | {"other tables": tables} if tables else found


def by_path(program: Program, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lies under storage keys under the path of the first variable of each."""
    paths: dict[str, str] = {}
    for target in program.layout.targets(("state", "parameter", "input")):
        paths.setdefault(target.key, target.path)
    for label, place in program.layout.edges.items():
        for key, what in ((place.weight_key, "weight"), (place.delay_key, "delay")):
            paths.setdefault(key, f"{label}/{what}")
    found: dict[str, Any] = {}
    for key, value in numbers.items():
        name = paths.get(key, key)
        found[key if name in found else name] = value
    return found


@dataclass(frozen=True, eq=False)
class Origin:
    """Say which model a state belongs to: its equations and the code of its rules, but none of its numbers.

    A state may go on in a model with other parameters, weights or connections, but not with other equations. What it
    takes to tell is found out only when a state goes on in another program, or into a file.

    Arguments:
        system: what was computed; `None` for a state out of a file.
        told: its identity, if it is known already.
    """

    system: System | None
    told: Identity = field(default_factory=dict)

    @property
    def parts(self) -> Identity:
        """Return the identity that is kept in files."""
        if self.system is not None and not self.told:
            object.__setattr__(self, "told", _read(self.system))
        return self.told

    def differs(self, system: System) -> list[str]:
        """Name what is another thing in a system than where the state comes from."""
        if self.system is system or (self.system is not None and self.system == system):
            return []
        before, now = self.parts, Origin(system).parts
        # What is only in one of them is wiring: where states differ, their shapes tell.
        both = before.keys() & now.keys()
        return differences({k: v for k, v in before.items() if k in both}, {k: v for k, v in now.items() if k in both})

    def __reduce__(self) -> tuple[Any, ...]:
        return Origin, (None, self.parts)  # the code of a rule cannot be sent to another process


def _read(system: System) -> Identity:
    equations = {a.target: ("d/dt", a.expression, a.names) for a in system.derivatives}
    for step in (*system.schedule, *system.past_reads):
        if hasattr(step, "names"):
            equations[step.target] = step  # type: ignore[union-attr]
    equations |= {f"{c.state} (delay)": (c.output, c.source, c.order) for c in system.chains}
    equations |= {f"{n.target} (noise)": (n.streams, n.size) for n in system.noises}
    equations |= {
        f"{s.variable} (spikes)": (s.signal, bool(s.reset), bool(s.refractory), s.memory) for s in system.spikes
    }
    rules = {
        rule.label or BEHAVIORS: getattr(rule.update, "__model__", lambda u=rule.update: u)() for rule in system.rules
    }
    return identify({"equation": equations, "rule": rules}, lasting=True)
