"""The waist of the hourglass: everything a user can describe becomes a Program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.courtesy import brief, returns_changed
from recurra.engine.checks import as_mapping, as_numbers
from recurra.engine.graph import Graph
from recurra.engine.layout import EDGE_PARTS, Layout, Target
from recurra.engine.refit import TIMING, refit
from recurra.engine.system import System
from recurra.errors import PathError, ShapeError

if TYPE_CHECKING:
    from pathlib import Path


class Clock(NamedTuple):
    """Say what time it is: step number `k`, time `t = t0 + k*dt`, step `dt`, and the key of all randomness.

    Arguments:
        k: number of the step.
        t: time at its beginning.
        dt: step.
        key: of all randomness.

    >>> Clock(k=10, t=1.0, dt=0.1).t
    1.0
    """

    k: Any
    t: Any
    dt: Any
    key: Any = 0


@dataclass(frozen=True)
class Port:
    """Describe an input or output: its number of units, its default, its unit and its kind.

    Arguments:
        size: number of units.
        default: an input's value where nothing arrives, `(units,)` or `None`.
        unit: of its numbers, for people.
        kind: `"input"`, or what is recorded: `"state"`, `"algebraic"` and others.

    >>> from recurra import CircuitTemplate
    >>> program = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC").program
    >>> program.inputs["e/se_op/r_in"]
    Port(size=1, default=[0.0])
    """

    size: int
    default: object = None
    unit: str = ""
    kind: str = "input"

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Program:
    """Hold a network ready to run: a static system and the numbers it works on.

    A program never changes; `update` makes another one that shares all compiled code.

    Arguments:
        system: what is computed, in which order; without numbers.
        layout: where the numbers of a path are.
        graph: what the program was made from.
        params: every number a user may edit, sweep or fit, by storage key.
        state: initial value of every state variable, by storage key.
        tables: index lists, which are part of the structure.
        solver: name of the solver; `None` lets the system choose.
        remake: what makes a program of a graph, for numbers that are part of the structure; `None` refuses nothing and
            leaves the structure as it is.

    >>> from recurra import CircuitTemplate
    >>> program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> list(program.outputs), program.get("p/vdp_op/mu")
    (['p/vdp_op/x', 'p/vdp_op/z', 'p/vdp_op/inp'], array([1.]))
    >>> program.update({"p/vdp_op/mu": 3.0}).get("p/vdp_op/mu"), program.get("p/vdp_op/mu")  # it has not changed
    (array([3.]), array([1.]))
    """

    system: System
    layout: Layout
    graph: Graph
    params: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]
    tables: Mapping[str, Any]
    solver: str | None = None
    remake: Callable[[Graph], Program] | None = None

    def __identity__(self) -> tuple:
        """Return what tells this program from others."""
        from recurra.engine.origin import parts_of

        return parts_of(self), dict(self.state), self.solver

    @property
    def inputs(self) -> dict[str, Port]:
        """Map the path of every input to its port."""
        return {t.path: self._port(t) for t in self.layout.targets(("input",))}

    @property
    def outputs(self) -> dict[str, Port]:
        """Map the path of everything that can be recorded to its port."""
        return {t.path: self._port(t) for t in self.layout.targets(("state", "algebraic", "input"))}

    def _port(self, target: Target) -> Port:
        store = self.state if target.kind == "state" else self.params
        default = np.array(store[target.key][target.index]) if target.key in store else None
        return Port(target.size, default, target.unit, target.kind)

    def __repr__(self) -> str:
        """Say in a line what the program holds; `explain` says what it does."""
        groups = self.system.groups
        name = f"{self.graph.name!r}, " if getattr(self.graph, "name", "") else ""
        nodes, units = sum(group.nodes for group in groups), sum(group.units for group in groups)
        parts = [f"{nodes} node(s) of {units} unit(s) in {len(groups)} group(s)"] if groups else []
        parts += [f"{len(self.system.rules)} rule(s)"] if self.system.rules else []
        parts += [f"{len(self.layout.edges)} edge(s)", f"solver {self.solver!r}"]
        return f"Program({name}{', '.join(parts)}; .explain() says more)"

    @property
    def paths(self) -> list[str]:
        """List every path that `get` and `update` take: parameters, inputs, states, weights and delays."""
        found = self.layout.names(("parameter", "input", "state"))
        for label, place in self.layout.edges.items():
            found += [f"{label}/{what}" for what in EDGE_PARTS if place.part(what)[0]]
        return found

    def get(self, path: str) -> np.ndarray:
        """Return a parameter, an input's default, a weight, a delay or an initial state by its path.

        Raises:
            PathError: there is no such path, or it names a variable that is computed.
        """
        parts = [np.array(self._store(t)[t.key][t.index]) for t in self.layout.resolve(path)]
        return parts[0] if len(parts) == 1 else np.concatenate([np.atleast_1d(p) for p in parts])

    @returns_changed
    def update(self, values: Mapping[str, object]) -> Program:
        """Return a program with other numbers; nothing is compiled again.

        A delay that becomes 0, or no longer is, and a delay or spread that changes the number of stages of a gamma
        chain are part of the structure: then the program is lowered again.

        Arguments:
            values: path -> a number, or one per addressed unit. Paths of states set initial values.

        Raises:
            PathError: there is no such path, or it names a variable that is computed.
            ShapeError: a value has the wrong shape.
        """
        params, state, timing = dict(self.params), dict(self.state), False
        for path, value in as_mapping(values, "update").items():
            for target, part in self.split(path, value):
                store = state if target.kind == "state" else params
                store[target.key] = store[target.key].copy()
                store[target.key][target.index] = part
                timing |= target.kind in TIMING
        changed = replace(self, params=params, state=state)
        return refit(changed) if timing else changed

    def split(self, path: str, value: object) -> list[tuple[Target, np.ndarray]]:
        """Split a value, which JAX may be tracing, over the places that a path addresses: one number, or one for each
        node or unit.

        Raises:
            PathError: nothing has this path.
            ShapeError: not as many numbers as places, or complex ones for a real variable.
        """
        targets = self.layout.resolve(path)
        for target in targets:
            self._store(target)
        array: Any = value if isinstance(value, jax.Array) else as_numbers(value, path)
        if jnp.iscomplexobj(array) and any(not np.iscomplexobj(self._store(t)[t.key]) for t in targets):
            raise ShapeError(f"{path}: got the complex value {value}, the variable is real.")
        if array.ndim == 0:
            return [(t, array) for t in targets]
        total, place = sum(t.size for t in targets), np.shape(self._store(targets[0])[targets[0].key][targets[0].index])
        if len(targets) == 1 and (array.shape == place or (array.shape == (total,) and len(place) < 2)):
            return [(targets[0], array.reshape(place))]
        if len(targets) > 1 and array.shape == (total,):
            ends = np.cumsum([t.size for t in targets])
            return [(t, array[end - t.size : end]) for t, end in zip(targets, ends, strict=True)]
        if len(targets) > 1 and array.shape == (len(targets),):
            return [(t, array[i]) for i, t in enumerate(targets)]
        raise ShapeError(
            f"{path}: got shape {array.shape}, expected a number or shape {place if len(targets) == 1 else (total,)}."
        )

    def _store(self, target: Target) -> Mapping[str, np.ndarray]:
        if target.kind == "algebraic":
            raise PathError(f"{target.path!r} is computed by an equation and cannot be set; change what it depends on.")
        if target.kind == "emitted":
            raise PathError(f"{target.path!r} is put out by a rule at every step: it can be recorded, not set or got.")
        return self.state if target.kind == "state" else self.params

    def init(self, dt: float, history: Mapping[str, object] | None = None) -> dict[str, np.ndarray]:
        """Return the whole state before the first step: states, and rings of the past where there are delays.

        Arguments:
            dt: the step; it decides how many rows a ring has.
            history: path of a delayed variable -> what it was before the start.
        """
        from recurra.engine.stepping import initial_state

        return initial_state(self, dt, history or {})

    def flow(
        self, t: Array | float, state: Mapping[str, Array], params: Mapping, inputs: Mapping | None = None
    ) -> dict:
        """Return the time derivative of every state variable, where the network is one ordinary differential equation.

        Arguments:
            t: time.
            state: by storage key, as `program.state`.
            params: by storage key, as `program.params`.
            inputs: path or storage key of an input -> its value now.

        Raises:
            CapabilityError: the network has ring-buffer delays.
        """
        from recurra.engine.stepping import flow

        return flow(self, t, state, params, inputs or {})

    def step(
        self, state: Mapping[str, Array], params: Mapping, inputs: Mapping | None, clock: Clock
    ) -> tuple[dict, dict]:
        """Advance by one step; pure, and can be jitted, vmapped and differentiated.

        Arguments:
            state: as `init` returns it, or a former step.
            params: by storage key, as `program.params`.
            inputs: path or storage key of an input -> its value during the step.
            clock: step number, time, step and key.

        Returns:
            The state after the step, and the value of every variable before it, by storage key.
        """
        from recurra.engine.stepping import step

        return step(self, state, params, inputs or {}, clock)

    def explain(self, dt: float | None = None) -> str:
        """Say in words what one step does: groups, equations, solver, projections, delays, precision and memory."""
        from recurra.engine.explain import explain

        return explain(self, dt)

    def save(self, path: str | Path) -> None:
        """Write the program to one `.npz` file, without pickle; :func:`recurra.engine.load` reads it back."""
        from recurra.engine.store import save

        save(self, path)
