"""Run bodies on stand-ins: one leaf of the tree of decisions after another, joined by conditions."""

from __future__ import annotations

import contextlib
import random as python_random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.errors import RecurraError
from recurra.tracing import operations, patches
from recurra.tracing.ahead import STEP
from recurra.tracing.asking import STOPPED
from recurra.tracing.escapes import Fork, Refusal, Untraceable, error_site, raised_by_user, source_line
from recurra.tracing.generators import is_generator, is_seeded
from recurra.tracing.guards import Hidden, why_hidden
from recurra.tracing.indexing import Flat, places_of
from recurra.tracing.randomness import Addressed
from recurra.tracing.rewriting import rewritten
from recurra.tracing.saying import Voice, speak
from recurra.tracing.session import Facts, Session, as_value, is_traced
from recurra.tracing.slots import (
    Changed,
    Inventory,
    Layout,
    Other,
    Slot,
    kind_of,
    place,
    restore,
    same_layout,
    take_out,
)
from recurra.tracing.surroundings import Surroundings
from recurra.tracing.understanding import Understanding

MAX_LEAVES = 64
SELECT_BELOW = 4096  # numbers; below, both branches are computed and chosen between


@dataclass(frozen=True)
class Body:
    """One entry of the schedule.

    Arguments:
        name: the name for messages and for the address of random numbers; different for each body.
        run: does the work, e.g. `lambda: behavior.iteration(group)`. A mapping that it returns is emitted in every
            step, under "name/key".
        through: does the same after it has exchanged the user's function by what it is given, to understand more.
    """

    name: str
    run: Callable[[], Mapping[str, object] | None]
    through: Callable[[Callable], Mapping[str, object] | None] | None = None


@dataclass
class Plan:
    """What one pass starts from: which slots are traced, and how.

    Attributes:
        smooth: whether spikes will have derivatives.
        loud: whether what bodies print is printed; `voice` may silence it for a while.
        clock: the slot that is the number of the step at the beginning of a step, if any.
    """

    inventory: Inventory
    facts: Facts
    random: Addressed
    given: frozenset[str]
    surroundings: Surroundings
    smooth: bool = False
    clock: str = ""
    loud: bool = True

    @cached_property
    def hidden(self) -> dict[int, str | None]:
        """Map the ids of what bodies must not use while they are traced to why; to None where ours takes its place."""
        found: dict[int, str | None] = {}
        for tree, is_attribute in self.inventory.others():
            value, why = tree.original, why_hidden(tree.original, tree.path)
            if is_generator(value) and is_attribute and not is_seeded(value):
                found[id(tree)] = None
            elif is_generator(value) and why is not None:
                found[id(tree)] = f"{tree.path} is a generator with a seed, whose numbers only NumPy draws"
            elif why is not None:
                found[id(tree)] = why
        return found
    voice: Voice = field(default_factory=Voice)

    def owner(self, path: str) -> str:
        """Return the slot whose memory a slot shows."""
        return self.inventory.layout.get(path, (path, None))[0]

    def is_state(self, slot: Slot) -> bool:
        """Tell whether a slot is carried from step to step."""
        return slot.path in self.facts.written and self.owner(slot.path) == slot.path and slot.path not in self.given

    def is_param(self, slot: Slot) -> bool:
        """Tell whether a slot is a floating-point number that is only read and need not be known."""
        written = slot.path in self.facts.written or slot.path in self.given
        return not (written or slot.is_exact or slot.path in self.facts.baked) and self.owner(slot.path) == slot.path


class Run:
    """One pass over the bodies: runs leaves, and joins the branches between them."""

    def __init__(self, plan: Plan, transposes: Mapping[str, Any], step: Any, key: Any, given: Mapping[str, Any]):
        scalars = frozenset(p for p, s in plan.inventory.slots.items() if s.kind != "array" or s.value.size == 1)
        self.plan, self.step, self.key = plan, step, key
        self.session = Session(plan.facts, scalars, plan.smooth)
        self.session.transposes = dict(transposes)
        self.session.slots, self.session.given = plan.inventory.slots, given
        self.session.first = int(plan.inventory.slots[plan.clock].value) if plan.clock in plan.inventory.slots else 0
        self.recipes: dict[str, Any] = {plan.clock: STEP}  # of slots that depend on the number of the step alone
        self.found: dict[str, Any] = {}
        self.leaves = 0
        self.code = jnp.zeros((), np.int32)  # of the first guard that something has gone past in this step
        self.writes = {name: set(paths) for name, paths in plan.facts.writes.items()}

    def bodies(self, bodies: Sequence[Body], values: dict[str, Any]) -> dict[str, Any]:
        """Run all bodies in order; `values` is updated. Returns what they emit."""
        layout, emitted = dict(self.plan.inventory.layout), {}
        for body in bodies:
            self.session.body, self.leaves, self.session.count = body.name, 0, 0
            self.session.step, self.session.past = self.step, self.code
            self.plan.facts.notes[body.name] = {}
            new, out, code = self.explore(body, values, layout, [], ())
            self.code = jnp.where(self.code == 0, code, self.code)
            branched = bool(self.plan.facts.notes[body.name].get("branch"))
            self.recipes |= {path: None if branched else self.found.get(path) for path in new}
            values.update(new)
            emitted |= {f"{body.name}/{key}": value for key, value in out.items()}
            layout = self.plan.facts.layouts.get(body.name, layout)
        self._check_layout(layout)
        return emitted

    def explore(
        self, body: Body, values: dict[str, Any], layout: Layout, decisions: list[bool], under: tuple
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Run a body with decided answers; where another is asked for, run it with both and join the outcomes.

        `under` are the conditions of the answers, as far as both sides of a decision are computed.
        """
        try:
            outcome = self.leaf(body, values, layout, decisions)
            if self.session.said and self.plan.loud:
                if not self.plan.facts.speaks:
                    self.plan.facts.speaks = self.plan.facts.changed = True
                right = (self.code == 0, outcome[2] == 0, *under)
                stopped = self.session.given.get(STOPPED)
                right = right if stopped is None else (*right, ~stopped["value"])
                speak(self.session, self.step, right, self.plan.voice)
            return outcome
        except Fork as fork:
            if len(decisions) >= MAX_LEAVES:
                raise _refuse_body(f"more than {MAX_LEAVES} branches on traced data") from None
            condition: Any = fork.condition
        if not decisions:  # all but the draws is met again
            met = self.plan.facts.notes[body.name]
            self.plan.facts.notes[body.name] = {what: n for what, n in met.items() if what == "random draw"}
        self.session.note("branch")

        def branch(answer: bool, under: tuple = ()) -> Callable[[], tuple]:
            def explore() -> tuple:
                drawn = list(self.session.drawn)
                self.session.memos.append({})
                if not under:  # what one side computes, the other does not know
                    self.session.drawn.append({})
                try:
                    return self.explore(body, values, layout, [*decisions, answer], under)
                finally:
                    self.session.memos.pop()
                    self.session.drawn = drawn

            return explore

        writes = self.writes.get(body.name, set())
        if sum(self.plan.inventory.slots[p].value.size for p in writes if _is_array(self.plan, p)) < SELECT_BELOW:
            yes, no = branch(True, (*under, condition))(), branch(False, (*under, ~condition))()
            return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
        return jax.lax.cond(condition, branch(True), branch(False))

    def leaf(
        self, body: Body, values: dict[str, Any], layout: Layout, decisions: list[bool]
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Run a body once on stand-ins.

        Returns:
            The new values of the slots it writes, what it emits, and the number of the guard that it has gone past.
        """
        session, plan = self.session, self.plan
        session.decisions, session.asked, session.escape, session.checks = decisions, 0, None, []
        session.said = []
        self.leaves += 1
        if self.leaves > 2 * MAX_LEAVES:
            raise _refuse_body(f"more than {MAX_LEAVES} branches on traced data")
        stand_ins = self._stand_ins(values, layout)
        try:
            self._put_in(stand_ins)
            try:
                result = self._call(body)
            except Untraceable:
                raise
            except Refusal as refusal:
                if decisions and refusal.text.startswith(("raise ", "assert ")):  # the text of an error of the user's
                    place = (body.name, refusal.filename, refusal.line, refusal.text, "raises an error")
                    return self._raised(body, place, self._stand_ins(values, layout))
                raise
            except Exception as error:
                if session.escape is not None:
                    raise session.escape from None
                if decisions and raised_by_user(error):
                    where = error_site(error)
                    place = (body.name, *where, source_line(*where), f"raises {type(error).__name__}")
                    return self._raised(body, place, self._stand_ins(values, layout))
                if not decisions and (body.through is None or isinstance(error, RecurraError)):
                    raise
                raise refuse_error(error) from error  # NumPy will raise it, if it is the user's
            if session.escape is not None:
                raise session.escape
            outcome = (*self._outcome(body, result, stand_ins, layout), session.code())
        finally:
            restore(plan.inventory)
            # Only now: a list may be an attribute and a global too, and held stand-ins until here.
            changed = plan.surroundings.put_back()
        if changed:
            raise _refuse_body(f"changes {changed}, which belongs to no object of the model")
        return outcome

    def _call(self, body: Body) -> Any:
        states = np.random.mtrand._rand.get_state(), python_random.getstate()  # type: ignore[attr-defined]
        try:
            with (
                self.plan.random.at(body.name, self.step, self.key, self.session),
                patches.arrays_of(self.session),
                self.plan.surroundings.guards.up(self.session.refuse),
                contextlib.redirect_stdout(Silence(self.session)),  # type: ignore[type-var]
            ):
                if body.through is None or body.name not in self.plan.facts.understood:
                    return body.run()
                helper = Understanding(self.session)
                return body.through(lambda function: rewritten(function, helper))
        finally:
            after = np.random.mtrand._rand.get_state(), python_random.getstate()  # type: ignore[attr-defined]
            if not _same_states(states[0], after[0]) or states[1] != after[1]:
                np.random.mtrand._rand.set_state(states[0])  # type: ignore[attr-defined]
                python_random.setstate(states[1])
                why = "random numbers that are not drawn through `numpy.random.name` or a Generator attribute"
                self.session.leave(Refusal(why, "", 0, "", whole=True))  # their order is that of NumPy's calls

    def _stand_ins(self, values: dict[str, Any], layout: Layout) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for path, slot in self.plan.inventory.slots.items():
            owner, places = layout.get(path, (path, None))
            if slot.kind != "array" and slot.is_exact and not is_traced(values[owner]):
                made[path] = slot.value if values[owner] is slot.value else values[owner]
                continue
            if owner not in made:
                value = values[owner]
                made[owner] = operations.boxes.Box(
                    self.session,
                    value if is_traced(value) else as_value(value),
                    frozenset({owner} if owner not in self.plan.given else {""}),
                    self.plan.inventory.slots[owner].kind,
                    owner,
                )
                made[owner]._ahead = self.recipes.get(owner)
            if path not in made:
                made[path] = made[owner] if places is None else made[owner]._view(Flat(places))
        return made

    def _put_in(self, stand_ins: dict[str, Any]) -> None:
        def stand_in(tree: Slot | Other) -> Any:
            if isinstance(tree, Slot):
                return stand_ins[tree.path]
            why = self.plan.hidden.get(id(tree), "")
            return tree.original if why == "" else self.plan.random if why is None else Hidden(self.session.refuse, why)

        for holder in self.plan.inventory.holders:
            for name, tree in holder.trees.items():
                holder.space[name] = place(tree, stand_in)

    def _outcome(
        self, body: Body, result: Any, stand_ins: dict[str, Any], layout: Layout
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        now = dict(self._now(stand_ins))
        new_layout = self._layout(now, layout)
        facts = self.plan.facts
        known_layout = facts.layouts.get(body.name)
        if known_layout is None or not same_layout(known_layout, new_layout):
            new_layout = new_layout if known_layout is None else self._least_shared(known_layout, new_layout)
            if known_layout is None or not same_layout(known_layout, new_layout):
                facts.changed = True
            facts.layouts[body.name] = new_layout
        written = {p for p, value in now.items() if self._is_written(p, value, stand_ins[p], layout)}
        if fixed := sorted(written & self.plan.given):
            place, _, name = fixed[0].rpartition("/")
            raise _refuse_body(f"changes {name} of {place}, which it may only read")
        known = facts.writes.setdefault(body.name, set())
        for path in sorted(written):
            facts.add("written", path)
            if path not in known:
                known.add(path)
                facts.changed = True
        new = {}
        for path in sorted(self.writes.get(body.name, set()) if self.session.decisions else known):
            new[path] = self._final(path, now[path])
            self.found[path] = now[path]._ahead if operations.is_box(now[path]) else None
        return new, self._emitted(body, result)

    def _raised(self, body: Body, place: Any, stand_ins: dict[str, Any]) -> tuple[dict, dict, Any]:
        """Return the outcome of a leaf that ends with the user's own `raise`: NumPy will do that step."""
        number = self.plan.facts.guards.setdefault(place, len(self.plan.facts.guards) + 1)
        new = {path: self._final(path, stand_ins[path]) for path in sorted(self.writes.get(body.name, set()))}
        shapes = self.plan.facts.emitted.get(body.name, {})
        return new, {k: jnp.zeros(shape, kind) for k, (shape, kind) in shapes.items()}, jnp.int32(number)

    def _now(self, stand_ins: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for holder in self.plan.inventory.holders:
            names = set(holder.space)
            fresh = names - set(holder.trees)
            if fresh:
                name = sorted(fresh)[0]
                raise _refuse_body(f"creates the attribute {_join(holder.path, name)}; run one step before tracing")
            if set(holder.trees) - names:
                raise _refuse_body(f"deletes the attribute {_join(holder.path, sorted(set(holder.trees) - names)[0])}")
            for name, tree in holder.trees.items():
                value = holder.space[name]
                if value is self.plan.random or type(value) is Hidden:
                    continue
                try:
                    for slot, found in take_out(tree, value):
                        if name in holder.inherited and found is not stand_ins[slot.path]:
                            raise _refuse_body(f"creates the attribute {slot.path}, so far on the class only")
                        yield slot.path, found
                except Changed as change:
                    raise _refuse_body(str(change)) from None

    def _is_written(self, path: str, value: Any, stand_in: Any, layout: Layout) -> bool:
        if value is not stand_in:
            exact = not operations.is_ours(value) and not operations.is_ours(stand_in)
            return not (exact and type(value) is type(stand_in) and value == stand_in)
        return operations.is_box(value) and value._root()._changed

    def _final(self, path: str, value: Any) -> Any:
        """Return the value of a slot after the body; its shape, type and kind may not change."""
        slot = self.plan.inventory.slots[path]
        if operations.is_masked(value):
            raise _refuse_body(f"{path} gets a length that is only known when the model runs")
        if operations.is_box(value):
            kind, found = value._kind, value._read()
        else:
            kind, found = kind_of(value), value
            if kind is None:
                raise _refuse_body(f"{path} changes from a number or an array to {type(value).__name__}")
        found = as_value(found)
        old = as_value(slot.value)
        if (kind, found.dtype, found.shape) != (slot.kind, old.dtype, old.shape):  # type: ignore[attr-defined]
            raise _refuse_body(
                f"{path} changes from {_describe(slot.kind, old)} to {_describe(kind, found)}; if it is so only in the "
                "first step, run one step before tracing"
            )
        return jnp.asarray(found)

    def _layout(self, now: dict[str, Any], before: Layout) -> Layout:
        """Tell how the slots share memory after a body; note what cannot be said."""
        layout: Layout = {}
        groups: dict[int, list[str]] = {}
        for path, value in now.items():
            if path not in before:
                continue
            layout[path] = (path, None)
            if operations.is_box(value) and value._kind == "array" and value._root()._foreign:
                self._entangle(path, "an array that is no attribute")
            elif operations.is_box(value) and value._kind == "array":
                groups.setdefault(id(value._root()), []).append(path)
        for paths in groups.values():
            if len(paths) < 2:
                continue
            places = {p: None if now[p]._parent is None else places_of(now[p]) for p in paths}
            whole = [p for p in paths if now[p]._parent is None]
            whole.sort(key=lambda p: before[p] != (p, None))
            for path in paths:
                if not whole or (places[path] is None and path not in whole):
                    for other in paths:
                        if other != path:
                            self._entangle(path, other)
                elif path in whole:
                    layout[path] = (whole[0], None)
                else:
                    layout[path] = (whole[0], places[path])
        return layout

    def _entangle(self, first: str, second: str) -> None:
        self.plan.facts.add("entangled", (first, second))

    def _least_shared(self, first: Layout, second: Layout) -> Layout:
        joint: Layout = {}
        for path in first:
            if same_layout({path: first[path]}, {path: second[path]}):
                joint[path] = first[path]
            else:
                joint[path] = (path, None)
                for owner in (first[path][0], second[path][0]):
                    if owner != path:
                        self._entangle(path, owner)
        for path, (owner, places) in joint.items():
            if joint[owner][0] != owner:
                joint[path] = (path, None) if places is not None else joint[owner]
        return joint

    def _check_layout(self, layout: Layout) -> None:
        """Refuse memory that is shared only now and then, unless nobody changes it in place."""
        for path, (owner, _) in self.plan.inventory.layout.items():
            if not same_layout({path: (owner, _)}, {path: layout[path]}):
                if owner != path:  # it was a view, and now is of something else: taken for a copy of its own
                    self.plan.inventory.layout[path] = (path, None)
                    self.plan.facts.changed = True
                    self._entangle(path, owner)
                self._entangle(path, layout[path][0])
        for first, second in sorted(self.plan.facts.entangled | self.plan.inventory.entangled):
            for changed in (first, second) if first != second else ():
                if changed in self.plan.facts.inplace:
                    body, filename, line = self.plan.facts.changers.get(changed, (self.session.body, "", 0))
                    self.session.body = body
                    reason = f"{first} shares memory with {second}, and {changed} is changed in place"
                    raise Refusal(reason, filename, line, source_line(filename, line))

    def _emitted(self, body: Body, result: Any) -> dict[str, Any]:
        if result is None:
            result = {}
        if not isinstance(result, Mapping):
            raise _refuse_body(f"returns a {type(result).__name__}; a body returns a mapping of what it emits, or None")
        emitted = {}
        for key, value in result.items():
            if operations.is_masked(value):
                raise _refuse_body(f"emits {key}, whose length is only known when the model runs")
            emitted[str(key)] = jnp.asarray(operations.value_of(self.session, value))
        shapes = {k: (v.shape, str(v.dtype)) for k, v in emitted.items()}
        known = self.plan.facts.emitted.setdefault(body.name, shapes)
        if known != shapes:
            raise _refuse_body(f"emits {shapes} in one branch and {known} in another")
        return emitted


class Silence:
    """Stand in for the standard output: printing happens in every step, so it is refused."""

    def __init__(self, session: Session):
        self._session = session

    def write(self, text: str) -> int:
        raise self._session.refuse("printing")

    def flush(self) -> None:
        """Do nothing."""


def _same_states(first: Any, second: Any) -> bool:
    return first[0] == second[0] and np.array_equal(first[1], second[1]) and first[2:] == second[2:]


def _is_array(plan: Plan, path: str) -> bool:
    return plan.inventory.slots[path].kind == "array"


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _describe(kind: str | None, value: Any) -> str:
    if kind == "python":
        return f"a Python number ({value.dtype})"
    return f"{value.dtype}{list(value.shape)}" if kind == "array" else f"a NumPy {value.dtype}"


def _refuse_body(reason: str) -> Refusal:
    return Refusal(reason, "", 0, "")


def refuse_error(error: Exception) -> Refusal:
    """Refuse an error that the user's code raises on one side of a branch only."""
    site = error_site(error)
    return Refusal(f"raises {type(error).__name__} ({error}) depending on traced data", *site, source_line(*site))
