"""Advance a network of groups: compiled where that is possible, in NumPy where not, with the same random numbers.

Random numbers are addressed by seed, behavior, draw and step, so it changes nothing how a run is cut into pieces, and
NumPy draws what the compiled step draws. With `compile=False` they come from one stream instead, as from
`numpy.random.seed(seed)`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax

from recurra.courtesy import warn
from recurra.engine import Program
from recurra.engine.interrupts import check
from recurra.engine.randomness import seed_key
from recurra.engine.rules import rule_key
from recurra.errors import CapabilityError, NotCompiled
from recurra.groups.apart import RESTRUCTURING, Apart, place_apart, tied
from recurra.groups.compiled import Compiled
from recurra.groups.foresight import private_generators, texts_in
from recurra.groups.roster import COUNTER, Roster
from recurra.groups.schedule import begin_step
from recurra.tracing import Access, Addressed, Body, Untraceable, watch
from recurra.tracing.slots import Inventory

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork

MOST_APART = 16
MOST_KEPT = 4
MOST_TRIES = 4  # for an attribute that still changes its type: after 1, 2, 4 and 8 steps
LONGEST_WAIT = 256  # steps in NumPy, for an attribute that some step makes


@dataclass(frozen=True)
class Refused:
    """Say why a network runs in NumPy: what it was then, the behavior, and the construct."""

    signature: tuple
    behavior: str
    why: str


class Runner:
    """Advance a network, and remember what was compiled.

    Arguments:
        network: the network.
        seed: seed of the random numbers.
    """

    def __init__(self, network: GroupNetwork, seed: int):
        self.network, self.seed = network, seed
        self._random: Addressed | None = None
        self._compiled: Compiled | None = None
        self._known: dict[tuple, Compiled] = {}
        self._refused: Refused | None = None
        self._told: Refused | None = None
        self._told_apart: list[str] = []
        self._warm: tuple | None = None
        self._waiting: tuple[str, str] | None = None  # path and name of an attribute that some step will make
        self._patience, self._tries = LONGEST_WAIT, 0

    @property
    def random(self) -> Addressed:
        """Give the addressed randomness: the numbers that the engine's rule draws."""
        if self._random is None:
            with jax.enable_x64(True):
                self._random = Addressed(rule_key(seed_key(self.seed), ""))
        return self._random

    def forget(self) -> None:
        """Forget what was compiled; the next run finds out anew."""
        self._compiled = self._refused = self._warm = self._random = None
        self._known = {}

    def update_nodes(self, values: Mapping[str, object]) -> None:
        """Give the equations among the groups other numbers, by path, in all that was compiled."""
        for compiled in self._known.values():
            compiled.update_nodes(values)

    def advance(self, steps: int, must_compile: bool, progress: Callable[[int], None]) -> None:
        """Do steps.

        Arguments:
            steps: how many.
            must_compile: whether it is an error if not all behaviors can be compiled.
            progress: told about the steps that are done.

        Raises:
            CapabilityError: `must_compile`, and something runs in Python.
        """
        with self._lent():
            steps -= self._prepare(steps, must_compile, progress)
            if steps and self._compiled is not None:
                steps -= self._run_compiled(self._compiled, steps, must_compile, progress)
            roster = Roster(self.network)
            for _ in range(steps):
                check(f"interrupted after step {self.network.iteration}")
                self.step(roster)
                progress(1)
                if Roster(self.network).signature != roster.signature:  # a behavior has changed the schedule
                    roster = Roster(self.network)

    def _run_compiled(
        self, compiled: Compiled, steps: int, must_compile: bool, progress: Callable[[int], None]
    ) -> int:
        """Run compiled steps; return how many were done before something happened that only NumPy can do."""
        done = compiled.run(steps, self.seed, progress, lambda does: self.step(Roster(self.network), does))
        if compiled.trouble is not None:
            name, filename, line, text, reason = compiled.trouble
            self._known.pop(compiled.roster.signature, None)
            self._compiled = None
            construct = f"`{text}`: {reason}" if text else reason
            why = self._place(Untraceable(name, filename, line, f"{construct} in step {self.network.iteration}"))
            self._refused = Refused(compiled.roster.signature, name, why)
            self._refuse(self._refused, must_compile)
        return done

    def step(self, roster: Roster, does: Mapping[str, Callable[[], None]] = MappingProxyType({})) -> None:
        """Do one step in NumPy, with addressed random numbers.

        Arguments:
            roster: who is executed.
            does: what is done in place of some behaviors, by their names.
        """
        k = self.network.iteration
        begin_step(self.network)
        members = {id(member.entry): member for member in roster.members}
        for entry in self.network.schedule:
            if not entry.active:
                continue
            if id(entry) not in members:  # another behavior has just switched it on
                members |= {id(member.entry): member for member in Roster(self.network).members}
            member = members[id(entry)]
            with self.random.at(member.name, k, roots=roster.roots):
                does.get(member.name, member.execute)()

    def _prepare(self, steps: int, must_compile: bool, progress: Callable[[int], None]) -> int:
        """Compile if needed, and check what was compiled; return the number of steps done on the way, in NumPy."""
        done, roster = 0, Roster(self.network)
        # Recorders and behaviors are switched off and on again, so a few schedules are kept.
        self._compiled = self._known.get(roster.signature)
        if self._compiled is not None and self._compiled.stale():
            self._compiled = self._known.pop(roster.signature) and None
        if self._refused is not None and self._refused.signature == roster.signature:
            self._refuse(self._refused, must_compile)
            return 0
        if self._warm != roster.signature and steps:
            # Many behaviors create variables when they first run.
            self.step(roster)
            progress(1)
            self._warm, done = roster.signature, 1
        while self._compiled is None and self._refused is None and done < steps:
            done += self._compile(must_compile, progress)
            done += self._wait(steps - done, progress) if self._compiled is None and self._refused is None else 0
        while self._compiled is not None and self._compiled.unchecked and done < steps:
            wrong = self._compiled.compare(lambda does: self.step(Roster(self.network), does), self.seed)
            self._compiled.unchecked -= 1
            done += 1
            progress(1)
            if wrong:
                self._refused = self._differs(self._compiled, wrong)
                self._known.pop(self._compiled.roster.signature, None)
                self._compiled = None
                self._refuse(self._refused, must_compile)
        return done

    def _compile(self, must_compile: bool, progress: Callable[[int], None]) -> int:
        """Trace the schedule, keeping apart what cannot be traced; return the number of steps done on the way."""
        apart: dict[str, Apart] = {}
        accesses: dict[str, Access] | None = None
        signature = Roster(self.network).signature
        while True:
            try:
                self._keep(Compiled(self.network, self.random, apart))
                break
            except Untraceable as problem:
                name, why, whole = problem.body, self._place(problem), problem.whole
                self._waiting = _created(problem)
            patient = self._patience > 0 and self._tries < MOST_TRIES
            if self._waiting is not None and not apart and patient:
                return 0 if accesses is None else 1
            done = 0 if accesses is None else 1
            if accesses is None:
                accesses, done = self._watch(), 1
                progress(1)
            found = None
            if name in accesses and name not in apart and len(apart) < MOST_APART and not whole:
                found = place_apart(name, why, accesses, Roster(self.network).slots())
                if found is not None and found.kind != "fed" and self._looks_back(name):
                    found = None if found.slots or found.kind == "called" else replace(found, kind="fed")
                shares = tied(name, accesses, Inventory(Roster(self.network).roots))
                if shares and found is not None and found.kind == "called":
                    found, why = None, f"{why}; nor can it run in Python beside compiled behaviors, since {shares}"
            if found is None:
                self._refused = Refused(signature, name, why)
                self._refuse(self._refused, must_compile)
                return done
            apart[name] = found
        if apart:
            self._tell(apart, must_compile)
        return 0 if accesses is None else 1

    def _looks_back(self, name: str) -> bool:
        """Tell whether a behavior looks at what was recorded, or has texts that say so."""
        members = Roster(self.network).members
        kept = {key for m in members if m.watcher is not None for key in (*m.watcher.kept, *m.watcher.tags)}
        own = next(m.entry.behavior for m in members if m.name == name)
        return name in self.network.looking.lookers or bool(texts_in(type(own).iteration) & kept)

    def _wait(self, steps: int, progress: Callable[[int], None]) -> int:
        """Do steps in NumPy until an attribute is there, or has its lasting type; return how many."""
        (path, name), done = self._waiting or ("", ""), 0
        for done in range(steps):
            roots = Roster(self.network).roots
            made = name in vars(roots.get(path, self)) if name else done >= 1 << self._tries
            if self._patience <= 0 or (done and made):
                break
            self.step(Roster(self.network))
            self._patience -= 1
            progress(1)
        else:
            done = steps
        self._tries += not name
        return done

    def _place(self, problem: Untraceable) -> str:
        """Say what cannot be compiled and where; where only a variable is known, the line that mentions it."""
        member = next((m for m in Roster(self.network).members if m.name == problem.body), None)
        if problem.line or member is None:
            return str(problem)
        named = re.findall(r"/(\w*[A-Za-z_]\w*)|changes (\w+)", problem.construct)
        named = [name for pair in named for name in pair if name]
        place = _line_of(member.entry.behavior, sorted(RESTRUCTURING) if problem.whole else named, False)
        return f"{problem.body} at {place}: {problem.construct}" if place else str(problem)

    def _differs(self, compiled: Compiled, path: str) -> Refused:
        """Say that a compiled step makes something else of a variable than NumPy does, and who changes it."""
        behaviors = {m.name: m.entry.behavior for m in compiled.roster.members}
        writers = {name: behaviors[name] for name in compiled.traced.writers(path) if name in behaviors}
        places = [_line_of(behavior, [path.rpartition("/")[2]], True) for behavior in writers.values()]
        said = ", ".join(f"{name} at {place}" if place else name for name, place in zip(writers, places, strict=True))
        why = f"compiled, {path!r} is not what NumPy makes of it in step {self.network.iteration}"
        name = next(iter(writers)) if len(writers) == 1 else "the network"
        return Refused(compiled.roster.signature, name, f"{said}: {why}" if said else why)

    def _keep(self, compiled: Compiled) -> None:
        while len(self._known) >= MOST_KEPT:
            self._known.pop(next(iter(self._known)))
        self._compiled = self._known[compiled.roster.signature] = compiled
        self.random.given_up = False  # by a behavior that is no longer there

    def _watch(self) -> dict[str, Access]:
        """Do a step in NumPy, and find out what each behavior reads and writes."""
        roster, k = Roster(self.network), self.network.iteration
        begin_step(self.network)
        nodes = {f"{group.tag}/{name}" for group in self.network.node_groups for name in (*group.reads, *group.fed)}
        behaviors = [member.entry.behavior for member in roster.members if member.watcher is None]
        private = private_generators(roster.roots.values(), behaviors)
        # Nobody can write these, and nobody else draws from those.
        fixed = {f"{group.tag}/{name}" for group in self.network.node_groups for name in group.reads}
        found = {COUNTER: Access(frozenset(), frozenset(nodes), frozenset())}
        for member in roster.members:
            behavior, parent = member.entry.behavior, member.entry.parent
            with self.random.at(member.name, k, roots=roster.roots):
                if member.watcher is None:
                    with self.network.looking.closed(member.name, lambda what: RuntimeError(what)):  # only to see
                        seen = watch(Body(member.name, partial(behavior.iteration, parent)), roster.roots)
                    found[member.name] = replace(
                        seen,
                        writes=seen.writes - fixed,
                        names=seen.names - private,
                        touched=seen.touched - private,
                    )
                    continue
                member.execute()
                names = member.watcher.names_read
                reads = frozenset(path for path in roster.slots() if path.rpartition("/")[2] in names)
                found[member.name] = Access(reads, frozenset(), frozenset())
        return found

    def _tell(self, apart: dict[str, Apart], must_compile: bool) -> None:
        lines = [f"{name} runs in Python, {_PLACES[one.kind]}: {one.why}" for name, one in apart.items()]
        if must_compile:
            self.forget()
            raise CapabilityError("compile=True: " + "; ".join(lines))
        if lines != self._told_apart:
            self._told_apart = lines
            warn("; ".join(lines), NotCompiled)

    def _refuse(self, refused: Refused, must_compile: bool) -> None:
        if must_compile:
            raise CapabilityError(f"compile=True: {refused.behavior} cannot be compiled: {refused.why}")
        if refused is not self._told:
            self._told = refused
            message = f"the network runs in NumPy, because {refused.behavior} cannot be compiled: {refused.why}"
            warn(message, NotCompiled)

    @contextmanager
    def _lent(self) -> Iterator[None]:
        """Let everything in the network draw addressed numbers; what cannot draws from the network's own stream."""
        before = self.network.random
        with self.network.random_lent():
            self.network.random = self.random
            try:
                yield
            finally:
                self.network.random = before

    @property
    def compiled(self) -> Compiled:
        """Give the compiled schedule, compiling it if needed, without doing a step.

        Raises:
            CapabilityError: it cannot be compiled whole.
        """
        self._compiled = self._known.get(Roster(self.network).signature)
        if self._compiled is None or self._compiled.stale():
            self.network.schedule.check_ready()
            try:
                with self._lent():
                    self._keep(Compiled(self.network, self.random, {}))
            except Untraceable as problem:
                raise CapabilityError(
                    f"the behaviors cannot be compiled into one program: {problem}. If a variable is made in the first"
                    " step, call simulate_iterations(1) before; else only simulate_iterations(steps) can run this."
                ) from None
        apart = self._compiled.apart if self._compiled is not None else {}
        if self._compiled is None or apart:
            raise CapabilityError(
                f"{', '.join(apart)} runs in Python, so there is no one program; use simulate_iterations(steps)."
            )
        return self._compiled

    def smooth_program(self, surrogate: str, slope: float, scale: float) -> Program:
        """Return the program of everything with derivatives through spikes."""
        compiled = self.compiled
        with self._lent():
            return compiled.smooth_program(surrogate, slope, scale)

    def explain(self) -> str:
        """Say of each behavior in its order whether it is compiled, kept apart, or runs in NumPy, and why."""
        lines = ["Behaviors in the order of their execution:"]
        compiled = self._compiled
        if compiled is not None and compiled.roster.signature != Roster(self.network).signature:
            compiled = None
        if compiled is not None and compiled.stale():
            lines[0] += "\n  (something that they were compiled with has changed since; the next run compiles anew)"
        names = {id(m.entry): m.name for m in Roster(self.network).members}
        for entry in self.network.schedule:
            name = names.get(id(entry))
            if name is None:
                name = f"{entry.parent.tag}/{entry.behavior.tag}"
                state = "has no iteration" if entry.behavior.behavior_enabled else "switched off"
            else:
                state = self._state(name, compiled)
            lines.append(f"  {entry.key:g} {name}: {state}")
        return "\n".join(lines)

    def _state(self, name: str, compiled: Compiled | None) -> str:
        if compiled is not None:
            apart = compiled.apart.get(name)
            if apart is not None:
                return f"{apart.kind} (runs in Python, {_PLACES[apart.kind]}), because of {apart.why}"
            return f"compiled ({compiled.traced.explanation.get(name, 'recorded')})"
        if self._refused is not None:
            why = f": {self._refused.why}" if name == self._refused.behavior else ""
            return f"eager (NumPy){why}"
        return "not compiled yet; the first run with simulate_iterations does it"


def _line_of(behavior: Any, names: Collection[str], stored: bool) -> str:
    """Return file and line where a behavior's method mentions a name, if possible one that it stores; or nothing."""
    method = type(behavior).iteration
    try:
        lines, start = inspect.getsourcelines(method)
    except (OSError, TypeError):
        return ""
    there = [i for i, text in enumerate(lines) if any(re.search(rf"\b{name}\b", text) for name in names)]
    to = [i for i in there if any(re.search(rf"\b{name}\b[^=]*[^=<>!]=[^=]", lines[i]) for name in names)]
    line = next(iter([*(to if stored else []), *there]), 0)
    return f"{method.__code__.co_filename}:{start + line}"


def _created(problem: Untraceable) -> tuple[str, str] | None:
    """Return path and name of the attribute that a step makes, if it is this that cannot be compiled.

    Both are empty where an attribute still changes its type.
    """
    found = re.match(r"creates the attribute (?:(.*)/)?(\w+); run one step", problem.construct)
    if found:
        return found.group(1) or "", found.group(2)
    changing = problem.construct.endswith("if it is so only in the first step, run one step before tracing")
    return ("", "") if changing else None


_PLACES: dict[str, Any] = {"hoisted": "ahead of each block of steps", "fed": "after each block of steps",
                           "called": "within each step"}  # fmt: skip
