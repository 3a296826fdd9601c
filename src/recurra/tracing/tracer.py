"""Compile bodies, Python code that changes arrays and numbers of ordinary objects, into one pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from recurra.engine import events
from recurra.errors import OptionError, RecurraError, unknown
from recurra.tracing import products
from recurra.tracing.ahead import Column, table
from recurra.tracing.asking import STOPPED
from recurra.tracing.containers import entries_of, filled
from recurra.tracing.escapes import Bake, Refusal, Untraceable
from recurra.tracing.leaves import Body, Plan, Run
from recurra.tracing.randomness import Addressed
from recurra.tracing.session import Facts, as_value
from recurra.tracing.slots import Container, Inventory, Slot, Tree
from recurra.tracing.surroundings import Surroundings
from recurra.tracing.words import from_words, to_words_now, words_shape

MAX_PASSES = 60
TROUBLE = "the guards"  # among what a step puts out
SPARSE_BELOW = 0.3  # filled part of a matrix below which lists of entries are quicker than whole rows


class Traced:
    """One step of all bodies as a pure function of numbers.

    Attributes:
        state: path -> initial value of the slots that a step writes.
        params: path -> value of the floating-point slots that a step reads and does not write; they may be changed
            without compiling anew.
        baked: path -> value of the slots that shaped the code: whole numbers, truth values, and what was needed as
            a number. `stale` names those that have changed.
        emitted: "body/key" -> shape and type of what the bodies return.
        inputs: path -> shape and type of the slots whose values come from outside in every step.
        guards: number -> (body, file, line, text, reason) of what must not happen when the step runs.
        speaks: whether bodies print something; `voice` can silence them.
        columns: name -> what is computed ahead of the step, of its number alone.
        explanation: body -> branches, random draws and event-driven products in words.
        narrowest: bytes of the narrowest floating-point numbers that a step computes with; 8 if there are none.
        weak: paths of the state that are Python numbers, whose type gives way to an array's.
        jaxpr, tree: the step as JAX's program, and how what it returns is laid out.
    """

    def __init__(
        self,
        plan: Plan,
        again: Callable[[Mapping[str, int]], Any],
        inputs: Mapping[str, jax.ShapeDtypeStruct],
        widths: Mapping[str, int],
    ):
        slots, facts = plan.inventory.slots, plan.facts
        self._plan, self._again, self.widths = plan, again, dict(widths)
        self.jaxpr, self.tree = again(widths)
        self._wanted = sorted(p for p in facts.transposed if p in slots and plan.is_param(slots[p]))
        self.state = {p: np.array(s.value) for p, s in slots.items() if plan.is_state(s)}
        self.params = {p: np.array(s.value) for p, s in slots.items() if plan.is_param(s) and p in facts.read}
        self.baked = {p: _copy(s.value) for p, s in slots.items() if _is_baked(plan, s)}
        self.inputs = dict(inputs)
        self.emitted = {f"{name}/{key}": jax.ShapeDtypeStruct(shape, np.dtype(kind))
                        for name, shapes in facts.emitted.items() for key, (shape, kind) in shapes.items()}  # fmt: skip
        self.narrowest = min(_float_sizes(self.jaxpr.jaxpr), default=8)
        self.weak = frozenset(p for p in self.state if slots[p].kind == "python")
        self.guards = {number: place for place, number in facts.guards.items()}
        self.speaks, self.voice = facts.speaks, plan.voice
        self.columns: dict[str, Column] = dict(sorted(facts.columns.items()))
        self.explanation = {name: _explain(notes) for name, notes in facts.notes.items()}

    def derive(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Add to the parameters what is computed from them once, outside of the time loop.

        Arguments:
            params: the parameters by path.

        Returns:
            The parameters, and what spikes are delivered with, under "path:transposed": transposed copies of matrices,
            or lists of their entries.
        """
        found = {}
        for p in self._wanted:
            if p in self.widths:
                found[f"{p}:transposed"] = events.list_entries(np.asarray(params[p]), self.widths[p])
            else:
                found[f"{p}:transposed"] = products.transpose(params[p])
        return {**params, **found}

    def compressed(self) -> Traced:
        """Return the same step, with lists of entries for the matrices that are read only and mostly 0.

        It is quicker, but neither differentiated nor vectorised over matrices, and no column may get more entries than
        the fullest has now.
        """
        widths = {}
        for p in self._wanted:
            filled = np.count_nonzero(self.params[p], axis=0)
            if self.params[p].size >= events.WORTHWHILE and filled.sum() < SPARSE_BELOW * self.params[p].size:
                widths[p] = max(1, int(filled.max()))
        return Traced(self._plan, self._again, self.inputs, widths) if widths else self

    def fits(self, params: Mapping[str, Any]) -> bool:
        """Tell whether the lists of entries are long enough for these parameters."""
        return all(np.count_nonzero(params[p], axis=0).max() <= width for p, width in self.widths.items())

    def update(
        self,
        state: Mapping[str, Any],
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        k: Any,
        key: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Do one step. Pure; may be jitted, vmapped and differentiated, under `jax.enable_x64(True)`.

        Arguments:
            state: path -> value now.
            params: the parameters, best after `derive`.
            inputs: the values from outside, by path.
            k: number of the step.
            key: a `jax.random.key`; draws are addressed by it, the body, the number of the draw, and k.

        Returns:
            The state after the step, of the same shapes and types, and what the bodies emit.

        Raises:
            RecurraError: if a path is missing or unknown.
        """
        return self.update_checked(state, params, inputs, k, key)[:2]

    def update_checked(
        self,
        state: Mapping[str, Any],
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        k: Any,
        key: Any,
        ahead: Mapping[str, Any] | None = None,
        stopped: Any = False,
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Do what `update` does; return also the number of the guard that the step has gone past, or 0.

        What such a step gives is worth nothing: NumPy would do something else, such as raising an error. `ahead` is
        the row of the table of `columns` for this step; without it Python is asked in every step. If it is `stopped`,
        nothing is printed.
        """
        with jax.enable_x64(True):
            arguments = self.arguments(state, params, inputs, k, key, ahead, stopped)
            flat = jax.extend.core.jaxpr_as_fun(self.jaxpr)(*arguments)
            new, emitted = jax.tree.unflatten(self.tree, flat)
            return new, emitted, emitted.pop(TROUBLE, jnp.int32(0))

    def __identity__(self) -> tuple:
        """Return what tells this step from others."""
        return self.jaxpr, str(self.tree), self.widths

    def writers(self, path: str) -> list[str]:
        """Return the names of the bodies that change a slot, or what it shows the memory of."""
        owner, writes = self._plan.owner(path), self._plan.facts.writes
        return [name for name, paths in writes.items() if any(self._plan.owner(p) == owner for p in paths)]

    def kinds(self) -> dict[str, type]:
        """Return the classes of the objects whose methods are the bodies, by path."""
        return {path: type(obj) for path, obj in self._plan.inventory.roots.items()}

    def arguments(
        self,
        state: Mapping[str, Any],
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        k: Any,
        key: Any,
        ahead: Mapping[str, Any] | None = None,
        stopped: Any = False,
    ) -> list[Any]:
        """Return what the step is a function of, in the order of `jaxpr`: first the state, sorted by paths."""
        given = {"state": (state, self.state), "params": (params, self.params), "inputs": (inputs, self.inputs)}
        values = {kind: _select(kind, got, wanted) for kind, (got, wanted) in given.items()}
        rows = {p: params.get(f"{p}:transposed") for p in self._wanted}
        if any(row is None for row in rows.values()):
            made = self.derive(params)
            rows = {p: made[f"{p}:transposed"] for p in rows}
        if self.columns and not ahead:
            shapes = _ahead_shapes(self.columns, False)
            words = jax.tree.map(lambda s: words_shape(s.shape, s.dtype), shapes)
            got = jax.pure_callback(self._ask, words, jnp.asarray(k, np.int32), vmap_method="sequential")
            ahead = jax.tree.map(lambda s, w: from_words(w, s.dtype), shapes, got)
        beside = {**(ahead or {}), **({STOPPED: {"value": stopped}} if self.speaks else {})}
        return jax.tree.leaves((*values.values(), rows, jnp.asarray(k, np.int32), key, beside))

    def _ask(self, k: Any) -> dict[str, dict[str, np.ndarray]]:
        made = table(self.columns, int(k), 1, 1)
        return {name: {kind: to_words_now(rows[0]) for kind, rows in parts.items()} for name, parts in made.items()}

    def current(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return state and parameters as the objects hold them now: copies of the state, the parameters themselves."""
        state, params = self.held()
        return {p: np.array(value) for p, value in state.items()}, params

    def held(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return state and parameters in the memory of the objects, which changes when these do."""
        now = Inventory(self._plan.inventory.roots).slots
        return {p: np.asarray(now[p].value) for p in self.state}, {p: np.asarray(now[p].value) for p in self.params}

    def stale(self, roots: Mapping[str, object] | None = None) -> list[str]:
        """Return the paths of what has changed since and needs another trace.

        Arguments:
            roots: the objects, by default those that were traced.
        """
        if self._plan.surroundings.changed():
            return ["what the code reads outside of its objects, or the code"]
        now = Inventory(self._plan.inventory.roots if roots is None else roots)
        before = self._plan.inventory.slots
        changed = [p for p in before if p not in now.slots and (p in self.baked or p in self.state or p in self.params)]
        structure, known = now.structure(), self._plan.inventory.structure()
        changed += [p for p, value in known.items() if p in structure and structure[p] != value]
        changed += self._new(now)
        changed += [p for p in self.baked if p in now.slots and not _equal(now.slots[p].value, self.baked[p])]
        for path in (*self.state, *self.params):
            if path in now.slots and _form(now.slots[path]) != _form(before[path]):
                changed.append(path)
        return sorted(set(changed))

    def _new(self, now: Inventory) -> list[str]:
        """Return the paths of attributes that were not there and that the code may ask for."""
        before, names = self._plan.inventory, self._plan.surroundings.mentioned
        known = {holder.path: holder.trees for holder in before.holders}
        return [
            f"{holder.path}/{name}"
            for holder in now.holders
            if holder.path in known
            for name in holder.space
            if name not in known[holder.path]
            if name in names or hasattr(type(before.roots.get(holder.path)), name)
        ]

    def write_back(self, state: Mapping[str, Any]) -> None:
        """Put values into the objects' attributes, in place where an attribute is an array.

        Arguments:
            state: path -> value, e.g. the state after the last step.
        """
        self._write({p: np.asarray(v) for p, v in _select("state", state, self.state, np).items()})

    def put(self, numbers: Mapping[str, Any]) -> None:
        """Put some states and parameters into the objects' attributes, in place where an attribute is an array.

        Arguments:
            numbers: path -> a value of the same shape.
        """
        known = {**self.state, **self.params}
        self._write({p: np.asarray(_typed(p, v, known[p], np)) for p, v in numbers.items()})

    def _write(self, values: Mapping[str, np.ndarray]) -> None:
        # What shows the memory of others now and then is replaced, or theirs would change.
        shared = {p for pair in self._plan.facts.entangled | self._plan.inventory.entangled for p in pair}
        for holder in self._plan.inventory.holders:
            for name, tree in holder.trees.items():
                if name not in holder.inherited and name in holder.space:
                    holder.space[name] = _put(tree, holder.space[name], values, shared)


def trace(
    bodies: Sequence[Body],
    roots: Mapping[str, object],
    *,
    random: Addressed | None = None,
    given: Mapping[str, jax.ShapeDtypeStruct] | None = None,
    smooth: bool = False,
    clock: str = "",
    loud: bool = True,
) -> Traced:
    """Compile what bodies do to the numbers of some objects; the objects are left exactly as they were found.

    Run every body once before, so that attributes made in the first step exist. One trace at a time: NumPy's makers
    of arrays and random numbers are replaced while the bodies run.

    Arguments:
        bodies: what a step does, in order.
        roots: path -> object whose attributes hold the numbers.
        random: the addressed randomness; by default `Addressed(0)`.
        given: slots whose values come from outside in every step, with shape and type.
        smooth: make a step that can be differentiated in reverse as a whole, for :class:`recurra.tracing.Smooth`;
            changes of single rows of large matrices then cost as much as those of all rows.
        clock: the slot that is the number of the step when a step begins. What Python must know of it, for
            `math.sin(number)` or an entry of a list, is then computed ahead.
        loud: whether what the bodies print is printed when the step runs.

    Returns:
        The step as a pure function, with its state and parameters.

    Raises:
        Untraceable: if something cannot be compiled; names body, file, line and construct.
        OptionError: if two bodies have one name, or `given` names no slot.

    >>> class Neurons:
    ...     def __init__(self):
    ...         self.voltage = np.array([0.2, 0.8])
    ...         self.decay = 0.5
    >>> def decay(neurons):
    ...     neurons.voltage *= neurons.decay
    >>> neurons = Neurons()
    >>> traced = trace([Body("decay", lambda: decay(neurons))], {"neurons": neurons})
    >>> state, _ = traced.update(traced.state, traced.params, {}, 0, jax.random.key(0))
    >>> state["neurons/voltage"].tolist(), list(traced.params)
    ([0.1, 0.4], ['neurons/decay'])
    """
    names = [body.name for body in bodies]
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise OptionError(f"two bodies are named {twice!r}; names address random numbers and must differ")
    inventory, inputs = Inventory(roots), dict(given or {})
    for path in inputs:
        if path not in inventory.slots:
            raise OptionError(unknown("slot", path, inventory.slots, "given"))
    for path, (owner, _) in inventory.layout.items():
        if path in inputs or owner in inputs:  # what comes from outside are values, each for itself
            inventory.layout[path] = (path, None)
    facts = Facts()
    outside, around = frozenset(inputs), Surroundings(inventory.objects)
    plan = Plan(inventory, facts, random or Addressed(0), outside, around, smooth, clock, loud and not smooth)
    facts.written |= set(inputs)
    wanted: set[str] | None = None
    for _ in range(MAX_PASSES):
        facts.changed, before = False, set(facts.transposed)
        facts.read, facts.emitted = set(), {}
        attempt = _attempt(plan, bodies, inputs, wanted)
        if attempt is None:
            continue
        read = {p for p in facts.read if plan.is_param(inventory.slots[p])}
        if not facts.changed and wanted == read and before == facts.transposed:
            return Traced(plan, _remade(plan, bodies, inputs, wanted, attempt), inputs, {})
        wanted = read
    raise Untraceable(names[0] if names else "", "", 0, f"no stable result after {MAX_PASSES} passes over the bodies")


def _attempt(
    plan: Plan,
    bodies: Sequence[Body],
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    wanted: set[str] | None,
    widths: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Any, Any] | None:
    """Make one pass; None if something was learned that asks for another at once."""
    slots, facts = plan.inventory.slots, plan.facts
    run: Run | None = None

    def step(
        state: dict, params: dict, given: dict, rows: dict, k: Any, key: Any, ahead: dict
    ) -> tuple[dict, dict]:
        nonlocal run
        run = Run(plan, rows, k, key, ahead)
        values = {path: slot.value for path, slot in slots.items()} | state | params | given
        values |= {p: values[plan.owner(p)] for p in slots if plan.inventory.layout.get(p, (p, None))[1] is None}
        emitted = run.bodies(bodies, values)
        if facts.guards:
            emitted[TROUBLE] = run.code
        return {path: values[path] for path in state}, emitted

    def numbers(chosen: list[str]) -> dict[str, jax.ShapeDtypeStruct]:
        return {p: jax.ShapeDtypeStruct(np.shape(slots[p].value), as_value(slots[p].value).dtype) for p in chosen}

    state = numbers([p for p, s in slots.items() if plan.is_state(s)])
    params = numbers([p for p, s in slots.items() if plan.is_param(s) and (wanted is None or p in wanted)])
    wide = numbers([p for p in sorted(facts.transposed) if plan.is_param(slots[p])])
    rows = {p: _row_shapes(v, widths.get(p)) for p, v in wide.items()}
    ahead = _ahead_shapes(facts.columns, facts.speaks)
    example = (state, params, dict(inputs), rows, jax.ShapeDtypeStruct((), np.int32), jax.random.key(0), ahead)
    try:
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            jaxpr, shape = jax.make_jaxpr(step, return_shape=True)(*example)
    except Bake as bake:
        facts.baked |= bake.paths
        return None
    except Refusal as refusal:
        name = run.session.body if run else ""
        body = next((b for b in bodies if b.name == name), None)
        if body is not None and body.through is not None and name not in facts.understood:
            facts.understood[name] = refusal
            return None
        before = facts.understood.get(name)
        chosen = refusal if refusal.line or before is None else before
        raise chosen.to_untraceable(name) from None
    return jaxpr, jax.tree.structure(shape)


def _ahead_shapes(columns: Mapping[str, Column], speaks: bool) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    valid = jax.ShapeDtypeStruct((), np.dtype(bool))
    found = {name: {"value": jax.ShapeDtypeStruct(c.shape, c.dtype), "valid": valid} for name, c in columns.items()}
    return {**found, STOPPED: {"value": valid}} if speaks else found


def _float_sizes(jaxpr: Any) -> Iterator[int]:
    """Yield the sizes of the real floating-point numbers in a step."""
    for equation in jaxpr.eqns:
        for variable in (*equation.invars, *equation.outvars):
            kind = getattr(variable.aval, "dtype", None)
            if kind is not None and jnp.issubdtype(kind, jnp.floating):
                yield kind.itemsize
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _float_sizes(inner)


def _row_shapes(matrix: jax.ShapeDtypeStruct, width: int | None) -> Any:
    """Return the shape of a transposed matrix, or of the lists of its entries."""
    if width is None:
        return jax.ShapeDtypeStruct(matrix.shape[::-1], matrix.dtype)
    shape = (matrix.shape[1], width)
    targets, weights = (jax.ShapeDtypeStruct(shape, kind) for kind in (np.int32, matrix.dtype))
    return targets, weights, jax.ShapeDtypeStruct((2,), np.int32)


def _remade(
    plan: Plan, bodies: Sequence[Body], inputs: Mapping[str, Any], wanted: set[str] | None, attempt: Any
) -> Callable[[Mapping[str, int]], Any]:
    """Return a function that gives the step, made again where matrices come as lists of entries."""

    def again(widths: Mapping[str, int]) -> Any:
        return _attempt(plan, bodies, inputs, wanted, widths) if widths else attempt

    return again


def _is_baked(plan: Plan, slot: Slot) -> bool:
    if slot.path in plan.facts.written or slot.path in plan.given:
        return False
    return slot.path in plan.facts.baked or (slot.kind != "array" and slot.is_exact)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _equal(now: Any, before: Any) -> bool:
    if type(now) is not type(before) or np.shape(now) != np.shape(before):
        return False
    return as_value(now).dtype == as_value(before).dtype and np.array_equal(now, before, equal_nan=True)  # type: ignore


def _form(slot: Slot) -> tuple:
    value = as_value(slot.value)
    return slot.kind, value.dtype, value.shape  # type: ignore[attr-defined]


def _select(kind: str, got: Mapping[str, Any], wanted: Mapping[str, Any], xp: Any = jnp) -> dict[str, Any]:
    for path in got:
        if path not in wanted and not path.endswith(":transposed"):
            raise RecurraError(unknown(f"path in {kind}", path, wanted))
    missing = [p for p in wanted if p not in got]
    if missing:
        raise RecurraError(f"{kind}: {missing[0]!r} is missing; expected {', '.join(wanted)}")
    return {p: _typed(p, got[p], wanted[p], xp) for p in wanted}


def _typed(path: str, value: Any, model: Any, xp: Any) -> Any:
    if np.shape(value) != model.shape:
        raise RecurraError(f"{path!r} has shape {np.shape(value)}, expected {model.shape}")
    return xp.asarray(value, model.dtype)


def _explain(notes: Mapping[str, int]) -> str:
    many = {"branch": "branches", "change of single rows": "changes of single rows"}
    said = (f"{count} {what if count == 1 else many.get(what, f'{what}s')}" for what, count in notes.items())
    return ", ".join(said) or "plain arithmetic"


def _put(tree: Tree, now: Any, values: Mapping[str, np.ndarray], shared: set[str]) -> Any:
    if isinstance(tree, Container):
        held = entries_of(now) if type(now) is type(tree.original) else {}
        if list(held) != list(tree.items):
            return now
        items = {key: _put(item, held[key], values, shared) for key, item in tree.items.items()}
        return now if all(items[key] is held[key] for key in items) else filled(now, items)
    if not isinstance(tree, Slot) or tree.path not in values:
        return now
    value = values[tree.path]
    if tree.kind == "python":
        return value.item()
    if tree.kind == "scalar":
        return value.astype(as_value(tree.value).dtype)[()]  # type: ignore[attr-defined]
    alone = isinstance(now, np.ndarray) and now.flags.writeable and tree.path not in shared
    if alone and (now.shape, now.dtype) == (value.shape, value.dtype):
        now[...] = value
        return now
    return value.copy()
