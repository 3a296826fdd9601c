"""One step of a system: read delays, evaluate, push into the rings, let the solver advance. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from recurra.engine.checks import as_mapping, as_numbers
from recurra.engine.delays import (
    NO_DELAYS,
    DelayPlan,
    Moment,
    delayed_key,
    fresh_rings,
    plan_delays,
    push,
    read_delays,
    refill_rings,
    ring_key,
    with_jumps,
)
from recurra.engine.evaluation import Values, chain_rate, derivatives, evaluate_system
from recurra.engine.grid import check_step
from recurra.engine.program import Clock, Program
from recurra.engine.randomness import draw_normal, seed_key, stream_keys
from recurra.engine.rules import call_rules, rule_keys, rule_views
from recurra.engine.solvers import (
    FIXED_STEP,
    TABLEAUS,
    choose_solver,
    exponential_euler,
    own_derivative,
    runge_kutta,
)
from recurra.engine.spiking import find_spikes, reset_spikes
from recurra.engine.system import Collect, System
from recurra.errors import CapabilityError, PathError, unknown

Drive = Callable[[float], Mapping[str, Array]]


@dataclass(frozen=True)
class Stepper:
    """Hold everything static about a step.

    Arguments:
        system: what is computed.
        solver: one of the fixed-step solvers.
        delays: how the rings are read.
        rematerialise: forget intermediate results of the right-hand side and compute them again in reverse mode;
            3 to 5 times faster and 8 times smaller for elementwise models.
    """

    system: System
    solver: str
    delays: DelayPlan
    rematerialise: bool = False

    def values(
        self, clock: Clock, state: Mapping, params: Mapping, tables: Mapping, drive: Drive, noise: Mapping
    ) -> Values:
        """Compute every variable before the step."""
        spikes = find_spikes(self.system, state, params, clock.dt)
        delayed = {**self.given(clock, 0.0, state, params, tables), **noise, **spikes}
        return evaluate_system(
            self.system, clock.t, self.split(state)[0], params, tables, drive(0.0), delayed, self.delays
        )[0]

    def advance(
        self, clock: Clock, state: Mapping, params: Mapping, tables: Mapping, drive: Drive, noise: Mapping
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the state after the step, and what rules put out."""
        system = self.system
        rings: dict[str, Array] = {}
        if system.rings:
            values = self.values(clock, state, params, tables, drive, noise)
            rings = push(state, values, system, clock.k)
        known = {**state, **rings}
        own, _ = self.split(state)
        before, spikes = own, find_spikes(system, state, params, clock.dt)
        held = {**noise, **spikes}

        def rate_at(offset: float) -> Callable[[dict], dict]:
            # Delays are read outside of what is computed again in reverse mode: else every step would keep its rings.
            delayed = {**self.given(clock, offset, known, params, tables), **held}
            inputs, t = drive(offset), clock.t + offset * clock.dt

            def rate(moving: dict, params: Mapping, delayed: Mapping, inputs: Mapping) -> dict:
                values, _ = evaluate_system(system, t, moving, params, tables, inputs, delayed, self.delays)
                return derivatives(system, t, values, tables)

            if self.rematerialise:
                policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
                rate = jax.checkpoint(rate, prevent_cse=False, policy=policy)
            return lambda moving: rate(moving, params, delayed, inputs)

        if self.solver == "exponential_euler":
            own = self._exponential(clock, own, known, params, tables, drive, held)
        else:
            tableau = TABLEAUS[self.solver]
            rates = [rate_at(c) for c in tableau.nodes]
            own = runge_kutta(tableau, lambda stage, moving: rates[stage](moving), own, clock.dt)
        own = reset_spikes(system, before, own, spikes, params, clock.dt)
        if not system.rules:
            return {**own, **rings}, {}
        given = {**self._given_to_rules(clock, known, params, tables), **held}
        after, _ = evaluate_system(
            system, clock.t + clock.dt, own, params, tables, drive(0.0), given, self.delays
        )
        new, emitted = call_rules(system, clock, noise, state, params, after)
        return {**own, **new, **rings}, emitted

    def _exponential(
        self, clock: Clock, own: dict, known: Mapping, params: Mapping, tables: Mapping, drive: Drive, given: Mapping
    ) -> dict:
        system, inputs = self.system, drive(0.0)
        delayed = {**self.given(clock, 0.0, known, params, tables), **given}
        values, brought = evaluate_system(
            system, clock.t, own, params, tables, inputs, delayed, self.delays
        )
        slopes = derivatives(system, clock.t, values, tables)
        chains = {chain.state: chain for chain in system.chains}

        def held(moving: Mapping) -> dict:
            # What other units send is held fixed, so that a unit is differentiated by its own variables only.
            now, _ = evaluate_system(
                system, clock.t, moving, params, tables, inputs, delayed, self.delays, brought
            )
            return derivatives(system, clock.t, now, tables)

        def diagonal(key: str) -> Array:
            if key in chains:
                return -chain_rate(chains[key], params)
            return own_derivative(held, own, key)

        return exponential_euler(lambda _: slopes, diagonal, own, clock.dt)

    def given(
        self, clock: Clock, offset: float, state: Mapping, params: Mapping, tables: Mapping, left: bool = True
    ) -> dict[str, Array]:
        """Read what is given to the equations `offset` steps after the beginning of the step: delays and rules.

        `left` says that it is given to a stage of the step, and not to what comes after the step.
        """
        system = self.system
        views = rule_views(system, state) if system.rules else {}
        if not system.rings:
            return views
        moment = Moment(clock.k, offset, clock.dt, left)
        return views | read_delays(system, self.delays, state, params, tables, moment)  # type: ignore

    def _given_to_rules(self, clock: Clock, state: Mapping, params: Mapping, tables: Mapping) -> dict[str, Array]:
        """Read what is given to the equations when rules are called: they have advanced, the rules have not.

        So a delay counts from the end of the step for what equations send, and from its beginning for what rules send:
        then it means the same number of steps more than no delay.
        """
        found = self.given(clock, 1.0, state, params, tables, left=False)
        own = self.system.rule_state
        late = [delayed_key(i) for i, p in enumerate(self.system.projections) if p.ring >= 0 and p.source in own]
        now = self.given(clock, 0.0, state, params, tables) if late else {}
        return found | {key: now[key] for key in late}

    def split(self, state: Mapping[str, Array]) -> tuple[dict, dict]:
        """Split a whole state into the variables of the solver, and the rings and the states of rules."""
        rest = {ring_key(i) for i in range(len(self.system.rings))} | self.system.rule_state
        own = {k: v for k, v in state.items() if k not in rest}
        return own, {k: v for k, v in state.items() if k in rest}

    def streams(self, key: Array, tables: Mapping[str, Array]) -> dict[str, Array]:
        """Make the keys of every noise stream and every rule, once for a run."""
        found = {n.target: stream_keys(key, tables[n.seeds]) for n in self.system.noises}
        return found | rule_keys(self.system, key)

    def noise(self, streams: Mapping[str, Array], clock: Clock) -> dict[str, Array]:
        """Draw white noise for one step: standard deviation 1/sqrt(dt), the same at all stages of the step.

        The keys of rules go along; rules draw for themselves.
        """
        dt = jnp.asarray(clock.dt)
        drawn = {
            n.target: draw_normal(streams[n.target], clock.k, n.size, dt.dtype) / jnp.sqrt(dt)  # type: ignore
            for n in self.system.noises
        }
        return {**streams, **drawn} if self.system.rules else drawn


def initial_state(
    program: Program,
    dt: float,
    history: Mapping[str, object],
    numbers: Mapping[str, np.ndarray] | None = None,
    trials: int = 0,
) -> dict[str, np.ndarray]:
    """Return the state before the first step, rings included; see :meth:`Program.init`.

    Arguments:
        numbers: parameters and states of a batch, with a leading axis of runs; then the whole state has that axis.
        trials: number of runs that share all numbers; the same then.
    """
    check_step(program.graph.dt, dt, program.graph.name or "the network")
    plan = plan_delays(program.system, {**program.params, **(numbers or {})}, dt)
    given = [
        (path, program.layout.one(path), as_numbers(value, f"history of {path!r}"))
        for path, value in as_mapping(history, "history").items()
    ]
    state = {**program.state, **fresh_rings(program.system, plan, program.state, given)}
    numbers = numbers or {}
    if not numbers and not trials:
        return state
    runs = len(next(iter(numbers.values()))) if numbers else trials
    state = {k: numbers[k] if k in numbers else np.broadcast_to(v, (runs, *v.shape)) for k, v in state.items()}
    return {**state, **refill_rings(program.system, state, units_told(program, history), np.where)}


def units_told(program: Program, history: Mapping[str, object] | None) -> dict[str, np.ndarray]:
    """Say for each remembered variable which of its units the user has given a history."""
    told = {ring.source: np.zeros(program.system.shape_of[ring.source], bool) for ring in program.system.rings}
    for path in history or {}:
        target = program.layout.one(path)
        told[target.key][target.index] = True
    return told


def base_drive(system: System, key: str, params: Mapping, tables: Mapping) -> Array:
    """Return what an input's units get where the user drives nothing: their default, or nothing if they are wired."""
    base = next(c.base for c in system.schedule if c.target == key)  # type: ignore[union-attr]
    default = jnp.asarray(params[key])
    if base == "wired":
        return jnp.zeros_like(default)
    return jnp.where(tables[f"{key}/open"], default, 0) if base == "mixed" else default


def _drive(program: Program, inputs: Mapping[str, object], params: Mapping) -> Drive:
    drive: dict[str, Array] = {}
    inputs_by_key = {item.target for item in program.system.schedule if isinstance(item, Collect)}
    for path, value in inputs.items():
        key, index = path, slice(None)
        if path not in inputs_by_key:
            target = program.layout.one(path)
            key, index = target.key, target.index  # type: ignore[assignment]
            if target.kind != "input":
                raise PathError(f"inputs: {path!r} is of kind {target.kind}. {unknown('input', path, program.inputs)}")
        full = drive.get(key, base_drive(program.system, key, params, program.tables))
        drive[key] = full.at[index].set(value)
    return lambda offset: drive


def flow(program: Program, t: object, state: Mapping, params: Mapping, inputs: Mapping) -> dict:
    """Return the derivatives of all states; see :meth:`Program.flow`."""
    system = program.system
    if system.has_ring:
        raise CapabilityError(
            f"the network has a delay (of {system.rings[0].source!r}), so it is no ordinary differential equation."
            " Use `step`, or give the edge a `spread`."
        )
    if system.rules:
        raise CapabilityError(
            f"the network has a rule ({system.rules[0].text or system.rules[0].label or 'unnamed'}), so it is no"
            " ordinary differential equation. Use `step`."
        )
    if system.spikes:
        raise CapabilityError(
            f"the network has thresholds (of {system.spikes[0].variable!r}), so it is no ordinary differential"
            " equation. Use `step`."
        )
    silent = {n.target: jnp.zeros(n.streams * n.size) for n in system.noises}
    drive = _drive(program, inputs, params)(0.0)
    values, _ = evaluate_system(system, t, state, params, program.tables, drive, silent, NO_DELAYS)  # type: ignore
    return derivatives(system, t, values, program.tables)  # type: ignore[arg-type]


def step(
    program: Program, state: Mapping, params: Mapping, inputs: Mapping, clock: Clock
) -> tuple[dict, dict]:
    """Advance by one step; see :meth:`Program.step`."""
    solver = choose_solver(program.solver, program.system)
    if solver not in FIXED_STEP:
        raise CapabilityError(f"solver {solver!r} has no single steps; use one of {', '.join(FIXED_STEP)}.")
    if not isinstance(clock.dt, Tracer):
        check_step(program.graph.dt, float(clock.dt), program.graph.name or "the network")
    plan = NO_DELAYS
    if program.system.rings:
        # Delays that JAX traces are taken to be like the program's own: as long at most, and on the grid if they are.
        known = {k: v for k, v in params.items() if not isinstance(v, Tracer)}
        plan = plan_delays(program.system, {**program.params, **known}, float(clock.dt))
        if not any(isinstance(v, Tracer) for v in state.values()):
            plan = with_jumps(plan, state)
    stepper = Stepper(program.system, solver, plan)
    state, params = ({k: jnp.asarray(v) for k, v in numbers.items()} for numbers in (state, params))
    drive = _drive(program, inputs, params)
    clock = clock._replace(k=jnp.asarray(clock.k, jnp.int32), t=jnp.asarray(clock.t), dt=jnp.asarray(clock.dt))
    noise = stepper.noise(stepper.streams(seed_key(clock.key), program.tables), clock)
    values = stepper.values(clock, state, params, program.tables, drive, noise)
    after, emitted = stepper.advance(clock, state, params, program.tables, drive, noise)
    return after, {**values, **emitted}
