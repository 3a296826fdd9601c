"""What is known while bodies are traced: the facts that outlive a pass, and the run of one leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from recurra.tracing.escapes import Bake, Escape, Fork, refuse, source_line, user_site

MAX_ITERATED = 256
MOST_COMPUTED = 8000  # values in all branches of a body: each takes up to a millisecond to trace and to compile


@dataclass
class Facts:
    """What passes over the bodies have found out; it only grows, so tracing again comes to an end.

    Attributes:
        written: slots that some body writes.
        baked: slots whose value was needed concretely.
        read: slots whose value an operation used in the last pass.
        inplace: slots whose array some body changes in place.
        entangled: pairs of slots that share memory in a way that is not carried from step to step.
        writes: per body, the slots it writes.
        layouts: per body, how the slots share memory after it.
        emitted: per body, the shape and type of what it returns.
        transposed: read-only matrices whose transpose is wanted.
        notes: per body, what was met on the way.
        guards: what must not happen while the model runs, as (body, file, line, text, reason) -> its number, from 1.
        columns: what is computed ahead, by name; `names` has the name of each recipe.
        changers: for slots whose array is changed in place: the body that does so, its file and line.
        speaks: whether something is printed.
        understood: the bodies that are written again to be understood, and why they could not be traced as they are.
    """

    written: set[str] = field(default_factory=set)
    baked: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    inplace: set[str] = field(default_factory=set)
    entangled: set[tuple[str, str]] = field(default_factory=set)
    writes: dict[str, set[str]] = field(default_factory=dict)
    layouts: dict[str, dict] = field(default_factory=dict)
    emitted: dict[str, dict] = field(default_factory=dict)
    transposed: set[str] = field(default_factory=set)
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    guards: dict[tuple[str, str, int, str, str], int] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    names: dict[tuple, str] = field(default_factory=dict)
    understood: dict[str, Any] = field(default_factory=dict)
    changers: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    speaks: bool = False
    changed: bool = False

    def add(self, kind: str, item: object) -> None:
        """Add an item to one of the sets, and remember that there was something new."""
        known = getattr(self, kind)
        if item not in known:
            known.add(item)
            self.changed = True


class Session:
    """One pass over all bodies.

    Arguments:
        facts: what earlier passes found.
        scalars: slots that hold a single number.
        smooth: whether truth values will have derivatives, so that they must enter sums as factors.
    """

    def __init__(self, facts: Facts, scalars: frozenset[str], smooth: bool = False):
        self.facts, self.scalars, self.smooth = facts, scalars, smooth
        self.body = ""
        self.decisions: list[bool] = []
        self.asked = self.count = 0
        self.escape: Escape | None = None
        self.checks: list[tuple[int, jax.Array]] = []
        self.said: list[tuple[Callable, list]] = []  # what this leaf prints: how, and of which values
        self.step: Any = 0
        self.past: Any = 0  # the number of the guard that an earlier body of this step has gone past
        self.slots: Mapping[str, Any] = {}
        self.given: Mapping[str, Any] = {}  # what is computed ahead, by name: value, and whether there is one
        self.first = 0  # number of the step that follows
        self.memos: list[dict] = [{}]
        self.drawn: list[dict] = [{}]  # as `memos`, of draws: leaves that are computed together draw the same
        self.transposes: dict[str, jax.Array] = {}
        # By the id of a large value: how it was computed; the values are kept alive.
        self.origins: dict[int, tuple[str, tuple, np.dtype, Any]] = {}

    # -- asking -------------------------------------------------------------------------------------------------

    def computed(self) -> None:
        """Count a value that a branch computes; refuse a body whose branches would take long to compile.

        They double with every `if` that depends on what is only known when the model runs.
        """
        self.count += bool(self.decisions)
        if self.count > MOST_COMPUTED:
            raise self.refuse(
                f"its {self.facts.notes[self.body].get('branch', 0)} branches on traced data compute more than"
                f" {MOST_COMPUTED} values, which would take long to compile; write np.where(condition, a, b) or"
                " v[condition] = a for some of the `if`s"
            )

    def leave(self, escape: Escape) -> Escape:
        """Remember the escape, so that a bare `except:` of the user cannot hide it, and return it."""
        if self.escape is None:
            self.escape = escape
        return escape

    def refuse(self, reason: str) -> Escape:
        """Make the refusal of what the user's code does right now."""
        return self.leave(refuse(reason))

    def bakeable(self, sources: frozenset[str]) -> bool:
        """Tell whether a value depends on nothing but slots that no body writes."""
        return bool(sources) and "" not in sources and not (sources & self.facts.written)

    def need(self, sources: frozenset[str], what: str) -> Escape:
        """Return the escape for a value that is needed as a number now."""
        if self.bakeable(sources):
            return self.leave(Bake(sources))
        return self.refuse(f"{what} needs a number now, but the value is only known when the model runs")

    def decide(self, condition: object, sources: frozenset[str]) -> bool:
        """Answer the truth of a traced value: as decided for this leaf, or fork."""
        if self.bakeable(sources) and sources <= self.scalars:
            raise self.leave(Bake(sources))
        if self.asked < len(self.decisions):
            self.asked += 1
            return self.decisions[self.asked - 1]
        line = source_line(*user_site())
        if line.startswith("while "):
            raise self.refuse("a loop on traced data")
        raise self.leave(Fork(condition, line))

    # -- guarding ------------------------------------------------------------------------------------------------

    def guard(self, bad: Any, reason: str) -> None:
        """Note what must not happen when the model runs; such a step is left to NumPy.

        Arguments:
            bad: a traced truth value.
            reason: what NumPy or Python would do then.
        """
        if not is_traced(bad) or self.smooth:
            return
        filename, line = user_site()
        place = (self.body, filename, line, source_line(filename, line), reason)
        if place not in self.facts.guards:
            self.facts.guards[place] = len(self.facts.guards) + 1
            self.facts.changed = True
        self.checks.append((self.facts.guards[place], jnp.any(bad)))

    def code(self) -> jax.Array:
        """Return the number of the first guard of this leaf that something has gone past; 0 if there is none."""
        found = jnp.zeros((), np.int32)
        for number, bad in reversed(self.checks):
            found = jnp.where(bad, jnp.int32(number), found)
        return found

    # -- remembering --------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Count something for the explanation of the body."""
        notes = self.facts.notes.setdefault(self.body, {})
        notes[what] = notes.get(what, 0) + 1

    def memo(self, key: tuple, keep: tuple, make: Callable[[], Any]) -> Any:
        """Return the same traced value for the same operation on the same values.

        Arguments:
            key: what identifies the operation; ids of values in it are kept alive by `keep`.
            keep: the values.
            make: computes the value.
        """
        for memo in self.memos:
            if key in memo:
                return memo[key][0]
        made = make()
        self.memos[-1][key] = (made, keep)
        return made

    def draw(self, key: tuple, keep: tuple, make: Callable[[], Any]) -> Any:
        """Return the same numbers for the same address, as :meth:`memo`, in all leaves that are computed together."""
        for drawn in self.drawn:
            if key in drawn:
                return drawn[key][0]
        made = make()
        self.drawn[-1][key] = made, keep
        return made

    def recall(self, key: tuple) -> Any:
        """Return what `memo` keeps under a key, or None."""
        return next((memo[key][0] for memo in reversed(self.memos) if key in memo), None)


def is_traced(value: object) -> TypeGuard[jax.Array]:
    """Tell whether a value is only known when the model runs."""
    return isinstance(value, jax.Array)


def as_value(value: Any) -> Any:
    """Return an array or NumPy scalar for any number; leave traced values alone."""
    return value if isinstance(value, jax.Array | np.ndarray | np.generic) else np.asarray(value)
