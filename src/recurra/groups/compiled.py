"""Compile the schedule of a network into a Program of the engine, and run it there.

The schedule is traced into one pure function, which becomes a rule of the engine. Behaviors that cannot be traced are
kept apart where that changes nothing: a source reads nothing that others write, so it is run in Python ahead of a block
of steps; nothing depends on a sink, so it is run in Python after the block, on what was put out for it.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra.engine import Graph, Program, Result, Snapshot, lower, simulate
from recurra.engine.interrupts import came, check, holding, taking_parts
from recurra.engine.origin import Origin
from recurra.errors import CapabilityError, PathError
from recurra.groups.agreement import Sampled, Shadow, alike, differing
from recurra.groups.apart import Apart
from recurra.groups.asides import Asides
from recurra.groups.gate import NUMBERS, RECORDS
from recurra.groups.kept import KeptParams
from recurra.groups.nodes import TAKE_OVER
from recurra.groups.recorders import Recorder
from recurra.groups.recordings import Recording
from recurra.groups.roster import CLOCK, COUNTER, PACKED, Member, Roster, count_step
from recurra.groups.schedule import begin_step
from recurra.groups.step import SHOWN, TROUBLE, rule_of, spec_of, table_of, trouble_at
from recurra.groups.tags import free_name
from recurra.tracing import Addressed, Body, Smooth, Traced, trace

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork

BLOCK_BYTES = 1 << 26
BLOCK_SECONDS, FIRST_PACE = 0.3, 1024  # of steps for which behaviors in Python run ahead
CHECKED_STEPS = 3
BEFORE = "before the step"



class Compiled:
    """Hold the compiled schedule of a network, until something changes that it was made of.

    Arguments:
        network: the network; all its behaviors have run at least once.
        random: its addressed randomness.
        apart: the behaviors that stay in Python, by name.

    `unchecked` counts the steps that are still to be compared with NumPy; `trouble` says where a compiled step went
    past a guard, as (body, file, line, text, reason), so that NumPy had to do it.

    Raises:
        Untraceable: a behavior cannot be traced.
    """

    def __init__(self, network: GroupNetwork, random: Addressed, apart: Mapping[str, Apart]):
        self.network, self.random, self.apart = network, random, dict(apart)
        self.sampled = Sampled()
        self.unchecked, self._pace = CHECKED_STEPS, FIRST_PACE
        self.trouble: tuple[str, str, int, str, str] | None = None
        self.roster = Roster(network)
        slots = self.roster.slots()
        called = {name: (one.slots, one.gives) for name, one in self.apart.items() if one.kind == "called"}
        self.asides = Asides(self.roster, random, called)
        hoisted = [path for one in self.apart.values() if one.kind == "hoisted" for path in one.slots]
        self.given = {path: spec_of(slots[path]) for path in hoisted}
        self.nodes = network.nodes_among_groups()
        self._seen = {f"{g.tag}/{name}": (g, name) for g in network.node_groups for name in g.reads}
        outside = {**self.given, **{path: spec_of(slots[path]) for path in self._seen}}
        self.traced: Traced = trace(self._bodies(), self.roster.roots, random=random, given=outside, clock=CLOCK)
        self._outside = outside
        # What advances the network is quicker; what others differentiate and sweep is general.
        self.quick = self.traced.compressed()
        self._told = {name: name for name in self.traced.emitted if not name.startswith(BEFORE)}
        self._program = self._lower(self.quick, self._told)
        self._kept = KeptParams(self.quick)
        # Before the first step of a run nothing was gone past, and nodes show what they showed last.
        self._beside = {TROUBLE: np.array(-1)} if self.quick.guards else {}
        self._beside |= {SHOWN + path: getattr(*place) for path, place in self._seen.items()}
        self._smooth: dict[tuple[str, float, float], tuple[Smooth, Program]] = {}

    def _lower(self, traced: Traced | Smooth, told: Mapping[str, str]) -> Program:
        # Recorders that record every so many steps do so after the last of them.
        shown = {path: getattr(*place) for path, place in self._seen.items()}
        rule = rule_of(traced, self._outside, told, told is not self._told, self.network.precision, shown)
        if self.nodes is not None:
            return lower(self.nodes.graph(rule))
        return lower(Graph({"": rule}, dt=self.network.dt, precision=self.network.chosen_precision))

    def _bodies(self) -> list[Body]:
        bodies = [Body(BEFORE, self._before), Body(COUNTER, lambda: count_step(self.network))]
        bodies += [Body(f"{g.tag}: {TAKE_OVER}", g.take_over) for g in self.network.node_groups]
        for member in self.roster.members:
            apart = self.apart.get(member.name)
            if apart is None:
                through = None if member.watcher is not None else member.trace
                bodies.append(Body(member.name, member.trace, through))
            elif apart.kind == "called":
                bodies.append(Body(member.name, partial(self.asides.trace, member)))
            elif apart.kind == "fed":
                bodies.append(Body(member.name, lambda paths=apart.slots: self.roster.values(paths)))
        return bodies

    def _before(self) -> dict[str, Any]:
        """Return what recorders would read before the step: rows of a result are states before a step."""
        found = {}
        for member in self.roster.members:
            if isinstance(member.watcher, Recorder) and member.entry.parent.recording:
                for name in member.watcher.kept:
                    with suppress(PathError):  # the first step makes it; the recorder itself will see it
                        found[f"{member.name}/{name}"] = member.watcher.value(name)
        return found

    def _shown(self, traced: Traced | Smooth) -> dict[str, str]:
        """Map what a program puts out to what the step emits: of a recorder, what it reads before the step."""
        before = {name.removeprefix(f"{BEFORE}/"): name for name in traced.emitted if name.startswith(BEFORE)}
        return {**self._told, **before}

    def stale(self) -> bool:
        """Tell whether the network is no longer what was compiled."""
        if self.roster.signature != Roster(self.network).signature:
            return True
        if not self._kept.fits(self.quick.held()[1]):
            return True
        changed = self.quick.stale(self.roster.roots)
        return any(not any(one.owns(path, name) for name, one in self.apart.items()) for path in changed)

    def run(self, steps: int, seed: int, progress: Callable[[int], None], in_numpy: Callable[..., None]) -> int:
        """Advance the network by compiled steps; objects and recorders are then as if it had run in NumPy.

        Arguments:
            steps: how many.
            seed: the seed of the randomness.
            progress: told about the steps that are done.
            in_numpy: does one step in NumPy, given what to do in place of some behaviors, by their names.

        Returns:
            The number of steps that were done; fewer if there was trouble.

        Raises:
            KeyboardInterrupt: someone interrupted; the network stands after the last step that was completed.
        """
        every, start, self.trouble = self._stride(), self.network.iteration, None
        self.sampled.begin()
        while steps and self.trouble is None:
            first = self.network.iteration
            if self.sampled.is_due():
                self._compare_later(seed)
            block = min(steps, self.sampled.room())
            in_python = bool(self.apart or self.quick.columns)
            block = min(block, self._block(), self._pace) if in_python else block
            if every > 1:  # begin and end on multiples of the stride, and run what is left over step by step
                block = min(block, every - first % every) if first % every else block - block % every or block
            stride = every if block % every == 0 and first % every == 0 else 1
            begun = time.perf_counter()
            self._run_block(block, seed, stride, progress, in_numpy)
            if self.quick.speaks:
                jax.effects_barrier()
            self.asides.forget()
            self.sampled.ran(block, time.perf_counter() - begun)
            if block == self._pace:  # so that a block takes no longer than someone waits who has pressed Ctrl-C
                share = BLOCK_SECONDS / (time.perf_counter() - begun)
                self._pace = max(1, int(block * min(max(share, 0.25), 4.0)))
            steps -= block
        return self.network.iteration - start

    def _run_block(
        self, steps: int, seed: int, every: int, progress: Callable[[int], None], in_numpy: Callable[..., None]
    ) -> None:
        first, done = self.network.iteration, 0
        # Sources that have run ahead cannot go back, so what they gave is used up before an interrupt is passed on.
        with holding() if any(one.kind == "hoisted" for one in self.apart.values()) else nullcontext():
            fed = self._run_sources(first, steps)
            late = self.trouble is not None  # the sources have done one step more than they have given rows for
            steps, every = (len(next(iter(fed.values()))), 1) if late else (steps, every)
            while done < steps and not came():
                rest = {path: rows[done:] for path, rows in fed.items()}
                # Behaviors that are called change the objects.
                start = self.snapshot() if self.asides else self._standing(self.quick.held()[0])
                with self.asides.lending(self._outside):
                    result = self._advance(start, steps - done, seed, rest, every, progress)
                place = trouble_at(result.final.state)
                if self.asides.error is not None and (place is None or self.asides.error[0] < place[0]):
                    self._stop_at_error(start, seed, rest)
                if place is not None:  # the steps before are done again, without the one that NumPy must do
                    self.trouble, every = self.traced.guards[place[1]], 1
                    right = place[0] - first - done
                    with self._silence():
                        result = self._advance(start, right, seed, rest, every) if right else None
                self.network.iteration = start.step
                if result is not None:
                    self.put(result.final)
                    self._deliver(result, first + done, every)
                    done = result.final.step - first
                if place is not None:
                    break
            if self.trouble is not None:
                self._do_in_numpy({path: rows[done:] for path, rows in fed.items()}, in_numpy, late)
        check(f"interrupted after step {self.network.iteration}")

    def _stop_at_error(self, start: Snapshot, seed: int, fed: Mapping[str, np.ndarray]) -> None:
        """Let the network stand before the step in which a behavior that is called raised an error; raise it."""
        k, error = self.asides.failure()
        if k > start.step:
            with self._silence():
                result = self._advance(start, k - start.step, seed, fed)
            self.put(result.final)
            self._deliver(result, start.step, 1)
        self.network.iteration = k + 1
        self.asides.forget()
        raise error

    def _do_in_numpy(self, rows: Mapping[str, np.ndarray], in_numpy: Callable[..., None], late: bool) -> None:
        """Do a step in NumPy, and all for which sources have run ahead already: one more than rows if it is `late`."""
        own, steps = self.roster.values(rows), late + max(map(len, rows.values())) if rows else 1
        for i in range(steps):
            last = i == steps - 1  # then they give what they have: it may share memory
            given = own if last else {p: row[i].reshape(self.given[p].shape) for p, row in rows.items()}
            sources = [name for name, one in self.apart.items() if one.kind == "hoisted"]
            # All at the place of the first: nothing before it reads what they give.
            does = {name: partial(self.roster.put, given if name == sources[0] else {}) for name in sources}
            # What was called in this step before it was given up has been done.
            done = self.asides.done_in(self.network.iteration)
            does |= {name: partial(self.roster.put, values) for name, values in done}
            with self.quick.voice.again(self.network.iteration):
                in_numpy(does)

    def _advance(
        self,
        start: Snapshot,
        steps: int,
        seed: int,
        fed: Mapping[str, np.ndarray],
        every: int = 1,
        progress: bool | Callable[[int], None] = False,
    ) -> Result:
        """Run steps from a snapshot; neither objects nor recorders get anything of it.

        Arguments:
            steps: how many.
            seed: the seed of the randomness.
            fed: what the sources give in every step: path -> `(steps, numbers)`.
            every: how many steps lie between two rows of what is put out.
            progress: told about the steps that are done.

        Returns:
            What was put out; of fewer steps if someone interrupted.
        """
        fed = {path: rows[:steps] for path, rows in fed.items()}
        return self._run_from(start, self.quick.held()[1], steps, seed, fed, every=every, progress=progress)

    def _run_from(
        self, start: Snapshot, params: Mapping, steps: int, seed: int, fed: Mapping, **options: Any
    ) -> Result:
        record = dict(self._told)
        params = self._kept.on_device(params)
        if self.quick.columns:
            params["derived:"] = {**params["derived:"], **table_of(self.quick, start.step, steps)}
        start = replace(start, state={**start.state, **self._beside})
        state = {path: start.state[path] for path in (*self.quick.state, *self._beside)}
        program = replace(self._program, params=self._program.params | params, state=self._program.state | state)  # type: ignore
        with warnings.catch_warnings(), taking_parts():
            warnings.filterwarnings("ignore", "interrupted after", RuntimeWarning)  # whoever called is told
            return simulate(
                program, steps * start.dt, dt=start.dt, record=record, inputs=fed, state=start, seed=seed, **options
            )

    def program_now(self) -> Program:
        """Return the program with the numbers that the objects hold now, for whatever is done with programs."""
        return self._with_numbers(self._general, self.traced)

    def smooth_program(self, surrogate: str, slope: float, scale: float) -> Program:
        """Return the program with the numbers that the objects hold now, and derivatives through spikes.

        Raises:
            OptionError: there is no such surrogate, or slope or scale is no finite number > 0.
        """
        if (surrogate, slope, scale) not in self._smooth:
            bodies, roots = self._bodies(), self.roster.roots
            again = trace(bodies, roots, random=self.random, given=self._outside, smooth=True, clock=CLOCK)
            smooth = Smooth(again, surrogate, slope, scale)
            self._smooth[surrogate, slope, scale] = smooth, self._lower(smooth, self._shown(smooth))
        smooth, program = self._smooth[surrogate, slope, scale]
        return self._with_numbers(program, smooth)

    def _with_numbers(self, program: Program, traced: Traced | Smooth) -> Program:
        state, params = traced.current()
        equations = {} if self.nodes is None else self.nodes.state()
        now = {key: np.array(value) for key, value in equations.items() if key in program.state} | state
        return replace(program, params={**program.params, **params}, state={**program.state, **now})

    def put_numbers(self, values: Mapping[str, object]) -> None:
        """Put numbers of groups and behaviors, path -> a number or an array, into the objects.

        Raises:
            PathError: there is no such path.
            ShapeError: a value has the wrong shape.
        """
        program = self.program_now()
        targets = [target for path in values for target in program.layout.resolve(path)]
        new = program.update(values)
        self.traced.put({t.key: (new.state if t.kind == "state" else new.params)[t.key] for t in targets})

    def update_nodes(self, values: Mapping[str, object]) -> None:
        """Give the equations among the groups other numbers, by path; nothing is traced again."""
        self._program = self._program.update(values)
        if "_general" in vars(self):
            self._general = self._general.update(values)

    def watched(self) -> dict[str, str]:
        """Map what Recorders record, under the names of :meth:`GroupNetwork.observer`, to its path in the program."""
        found: dict[str, str] = {}
        names, taken = {id(group): name for name, group in self.roster.objects.items()}, set()
        for member in self.roster.members:
            if isinstance(member.watcher, Recorder) and member.entry.parent.recording:
                place = names[id(member.entry.parent)] or member.entry.parent.tag
                for name, keeper in member.watcher.kept.items():
                    found[free_name(f"{place}/{keeper.name}", taken)] = f"{member.name}/{name}"
        return found

    @cached_property
    def _general(self) -> Program:
        traced = self.traced
        if traced.speaks:  # what is differentiated, swept or run elsewhere does not print
            bodies, roots = self._bodies(), self.roster.roots
            before, self.network.random = self.network.random, self.random
            try:
                traced = trace(bodies, roots, random=self.random, given=self._outside, clock=CLOCK, loud=False)
            finally:
                self.network.random = before
        return self._lower(traced, self._shown(traced))

    def snapshot(self) -> Snapshot:
        """Return where objects and equations stand now."""
        return self._standing(self.traced.current()[0])

    def _standing(self, state: Mapping[str, np.ndarray]) -> Snapshot:
        equations = {} if self.nodes is None else self.nodes.state()
        origin = Origin(self._program.system)
        return Snapshot({**equations, **state}, self.network.iteration, 0.0, self.network.dt, origin)

    def put(self, snapshot: Snapshot) -> None:
        """Let objects and equations stand where a snapshot says."""
        self.traced.write_back({path: snapshot.state[path] for path in self.traced.state})
        if self.nodes is not None:
            self.nodes.put_state(snapshot.state)
        for path, (group, name) in self._seen.items():
            if SHOWN + path in snapshot.state:
                group.show({name: snapshot.state[SHOWN + path]})

    def compare(self, step: Any, seed: int) -> str:
        """Execute one step in NumPy, and compare what it does with the compiled step.

        Arguments:
            step: executes the step in NumPy.
            seed: the seed of the randomness.

        Returns:
            What differs, or nothing. The network has done one step either way, that of NumPy.
        """
        begun = time.perf_counter()
        before, k = self.snapshot(), self.network.iteration
        called = [member for member in self.roster.members if member.name in self.asides.parts]
        step({member.name: partial(self.asides.execute, member, k) for member in called})
        fed = {path: np.ravel(np.array(value))[None] for path, value in self.roster.values(self.given).items()}
        now, params = self.quick.held()
        with self._silence():
            result = self._run_from(before, params, 1, seed, fed, progress=False)
        self.asides.forget()
        if trouble_at(result.final.state) is not None:
            return ""  # NumPy has done what the compiled step leaves to it
        check(f"interrupted after step {self.network.iteration}")
        found, now = result.final.state, self._standing(now).state
        narrow = self.traced.narrowest
        self.sampled.cost = 2 * (time.perf_counter() - begun)  # the first of them compiles; one more block is begun
        return next((p for p, value in now.items() if not alike(np.asarray(found[p]), np.asarray(value), narrow)), "")

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Let nothing be printed by compiled steps that were done before."""
        self.quick.voice.silent = True
        try:
            yield
        finally:
            jax.effects_barrier()
            self.quick.voice.silent = False

    def _compare_later(self, seed: int) -> None:
        """Compare the step that comes next, without doing it; what runs in Python is left out of it.

        Raises:
            CapabilityError: the compiled step does something else than NumPy.
        """
        with self.sampled.comparing():
            start, first = self.snapshot(), self.network.iteration
            if self.asides:  # they would do what they do twice
                return
            params = self.quick.held()[1]
            fed = {path: np.ravel(np.array(value))[None] for path, value in self.roster.values(self.given).items()}
            with self._silence():
                found = self._run_from(start, params, 1, seed, fed, progress=False).final.state
            if trouble_at(found) is not None:
                return
            try:
                shadow = Shadow(self.roster.roots, self.traced.state)
                wrong = differing(found, shadow, lambda: self._step_in_numpy(start), self.traced.narrowest)
            finally:
                self.network.iteration = first
                if self.nodes is not None:
                    self.nodes.put_state(start.state)
        if wrong:
            raise CapabilityError(
                f"step {first + 1}, compiled, makes something else of {wrong!r} than NumPy does, so the steps since the"
                " last comparison may be wrong too. Something that the behaviors depend on escapes the compiler: run"
                " with simulate_iterations(steps, compile=False)."
            )

    def _step_in_numpy(self, start: Snapshot) -> None:
        if self.nodes is not None:
            self.nodes.put_state(start.state)
        k = self.network.iteration
        begin_step(self.network)
        for member in self.roster.members:
            if member.watcher is None and member.name not in self.apart:
                with self.random.at(member.name, k, roots=self.roster.roots):
                    member.execute()

    def _stride(self) -> int:
        gaps = [
            keeper.gapwidth if isinstance(keeper, Recording) else 1
            for member in self.roster.members
            if member.watcher is not None and member.entry.parent.recording
            for keeper in member.watcher.kept.values()
        ]
        fed = any(apart.kind == "fed" for apart in self.apart.values())
        return 1 if fed or not gaps else math.gcd(*gaps)

    def _block(self) -> int:
        specs = (*self.given.values(), *(self.traced.emitted[name] for name in self._told))
        specs = (*specs, *(jax.ShapeDtypeStruct(c.shape, c.dtype) for c in self.quick.columns.values()))
        row = sum(np.prod(spec.shape, dtype=int) * 8 for spec in specs)
        return int(max(1, BLOCK_BYTES // max(row, 1)))

    def _run_sources(self, first: int, steps: int) -> dict[str, np.ndarray]:
        """Run the sources through a block of steps, and collect what they give to the others.

        After a step in which one of them gives something of another form there is `trouble`, and no row of this step.
        """
        sources = [m for m in self.roster.members if m.name in self.apart and self.apart[m.name].kind == "hoisted"]
        rows: dict[str, list[np.ndarray]] = {path: [] for path in self.given}
        for k in range(first, first + steps) if sources else ():
            self.network.iteration = k + 1
            for member in sources:
                with self.random.at(member.name, k, roots=self.roster.roots):
                    member.execute(RECORDS, NUMBERS)
                for path, value in self.roster.values(self.apart[member.name].slots).items():
                    rows[path].append(np.ravel(np.array(value)))
            self._notice_forms(sources)
            if self.trouble is not None:
                rows = {path: parts[:-1] for path, parts in rows.items()}
                break
        self.network.iteration = first
        empty = {path: np.zeros((0, math.prod(spec.shape)), spec.dtype) for path, spec in self.given.items()}
        return {path: np.stack(parts) if parts else empty[path] for path, parts in rows.items()} if sources else {}

    def _notice_forms(self, sources: list[Member]) -> None:
        for member in sources:
            for path, value in self.roster.values(self.apart[member.name].slots).items():
                now, then = spec_of(value), self.given[path]
                if (now.shape, now.dtype) != (then.shape, then.dtype):
                    change = f"{then.dtype}{list(then.shape)} to {now.dtype}{list(now.shape)}"
                    self.trouble = (member.name, "", 0, "", f"{path} changes from {change}")

    def _deliver(self, result: Result, first: int, every: int) -> None:
        """Hand to recorders and sinks what was put out for them; row r belongs to step first + every * (r + 1)."""
        if any(one.kind == "fed" for one in self.apart.values()):
            self._feed(result, first)
            return
        for member in self.roster.members:
            self._record(member, result, slice(None), first + every, every)

    def _record(self, member: Member, result: Result, rows: slice, first: int, every: int) -> None:
        """Let a recorder, if it is one, keep some rows of what was put out for it."""
        if member.watcher is None or not member.entry.parent.recording:
            return
        for name, keeper in member.watcher.kept.items():
            packed = f"{member.name}/{name}{PACKED}"
            if packed in self.traced.emitted:
                keeper.extend_packed(self._rows(result, packed)[rows], first, every)
            else:
                keeper.extend(self._rows(result, f"{member.name}/{name}")[rows], first, every)

    def _rows(self, result: Result, key: str) -> np.ndarray:
        return result[key].reshape(-1, *self.traced.emitted[key].shape)

    def _feed(self, result: Result, first: int) -> None:
        """Hand over step by step, so that sinks find recorded what is recorded before their turn, and no more."""
        sinks = {name: one.slots for name, one in self.apart.items() if one.kind == "fed"}
        rows = {name: {p: self._rows(result, f"{name}/{p}") for p in slots} for name, slots in sinks.items()}
        end, _ = self.traced.current()
        own = self.roster.values({path for slots in sinks.values() for path in slots} - self._outside.keys())
        for i in range(result.final.step - first):
            self.network.iteration = first + i + 1
            for member in self.roster.members:
                self._record(member, result, slice(i, i + 1), first + i + 1, 1)
                if member.name in sinks:
                    self.roster.put({path: row[i] for path, row in rows[member.name].items()})
                    with self.random.at(member.name, first + i, roots=self.roster.roots):
                        member.execute(NUMBERS)
        for path, value in own.items():  # in their own memory, which others may show
            self.roster.replace(path, value)
        self.traced.write_back(end)
