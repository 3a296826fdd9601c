"""Solvers that choose their own steps: SciPy's and diffrax's. For networks that are one ODE.

Samples of an input are joined by straight lines, as for every solver. An adaptive step could jump over a short pulse,
so the run is cut at the kinks of its inputs; where there are too many, no step is longer than a sample.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from recurra.engine.delays import NO_DELAYS
from recurra.engine.evaluation import derivatives, evaluate_system
from recurra.engine.feeds import Feed
from recurra.engine.interrupts import came, next_size
from recurra.engine.outcome import divergence, make_result, stopped
from recurra.engine.program import Program
from recurra.engine.results import Result
from recurra.engine.run import Run, check_batchable
from recurra.engine.stepping import base_drive
from recurra.errors import CapabilityError, MissingPackageError, OptionError, unknown

MANY_KINKS = 1000
SCIPY_METHODS = ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA")
DEFAULTS = {
    "scipy": {"method": "RK45", "rtol": 1e-6, "atol": 1e-9, "max_step": np.inf},
    "diffrax": {"rtol": 1e-6, "atol": 1e-9, "max_steps": 1_000_000},
}


class Flattened:
    """View the states of a program as one vector, for solvers that want one."""

    def __init__(self, state: Mapping[str, np.ndarray]):
        self.keys = sorted(state)
        self.shapes = [np.shape(state[k]) for k in self.keys]
        self.ends = np.cumsum([0, *(int(np.prod(s)) for s in self.shapes)])

    def pack(self, state: Mapping[str, Any]) -> Array:
        """Join the states."""
        return jnp.concatenate([jnp.ravel(state[k]) for k in self.keys])

    def unpack(self, y: Any, like: Mapping[str, np.ndarray]) -> dict[str, Array]:
        """Split the vector; states that are real stay real in a complex vector."""
        found = {}
        for key, shape, low, high in zip(self.keys, self.shapes, self.ends, self.ends[1:], strict=False):
            part = y[..., low:high].reshape(*y.shape[:-1], *shape)
            found[key] = part if np.iscomplexobj(like[key]) else part.real
        return found


def run_adaptive(run: Run, options: Mapping[str, object], device: Any, partly: bool) -> Result:
    """Run with a solver that chooses its own steps; see :func:`recurra.engine.simulate`.

    Arguments:
        run: the run.
        options: of the solver.
        device: where it computes.
        partly: whether a part may be returned after Ctrl-C.
    """
    check_batchable(run)
    family = "scipy" if run.solver == "scipy" else "diffrax"
    known = DEFAULTS[family]
    for name in options:
        if name not in known:
            raise OptionError(unknown("option", name, known, f"solver {run.solver!r}"))
    settings = {**known, **options}
    for name, value in settings.items():
        if name != "method" and not (isinstance(value, Real) and not isinstance(value, bool) and float(value) > 0):
            raise OptionError(f"solver {run.solver!r}: {name} must be a number > 0, got {value!r}.")
    state = _closed(run, options, device)
    with jax.enable_x64(run.precision == "float64"), jax.default_device(device):
        flat = Flattened(state)
        model = _Model(run, flat)
        times = (np.arange(run.rows + 1) * run.every) * run.start.dt
        solve = _scipy if family == "scipy" else _diffrax
        y0 = np.asarray(flat.pack(state))
        path = solve(model, y0, times, _kinks(run), settings, run)
        if not np.isfinite(path).all():
            bad = int(np.argwhere(~np.isfinite(path).all(axis=1))[0][0])
            states = {k: np.asarray(v) for k, v in flat.unpack(path[bad], state).items()}
            partial = _collect(run, model, path[: max(bad, 1)], times, {})
            raise divergence(run, states, run.start.step + bad * run.every, partial)
        extra = {} if len(path) == len(times) else stopped(len(path) - 1, run.rows, partly)
        return _collect(run, model, path, times, extra)


def _closed(run: Run, options: Mapping[str, object], device: Any) -> dict[str, np.ndarray]:
    """Return the state to start from: with the last row before it integrated again, if that lacked a sample."""
    end, rows = run.start.end, run.closing
    if end is None or rows is None:
        return dict(run.start.state)
    before = replace(run.start, state=end.state, step=run.start.step - end.steps, end=None)
    feeds = tuple(replace(feed, rows=own) for feed, own in zip(run.feeds, rows, strict=True))
    row = replace(run, start=before, feeds=feeds, steps=end.steps, every=end.steps)
    again = run_adaptive(row, options, device, partly=False)
    return dict(again.final.state)


class _Model:
    """The right-hand side and the observables of a run, as functions of time since its start and a flat state."""

    def __init__(self, run: Run, flat: Flattened):
        program, self.flat, self.like = run.program, flat, run.start.state
        self.system, self.tables = program.system, program.tables
        self.params = {k: jnp.asarray(v, _dtype(v, run.precision)) for k, v in program.params.items()}
        self.offset = run.start.t0 + run.start.step * run.start.dt
        self.recording = run.recording
        self._feeds = [
            (f, jnp.asarray(f.rows, _dtype(f.rows, run.precision)), run.start.dt) for f in run.feeds
        ]
        self.rate = jax.jit(lambda t, y, params: self.flat.pack(derivatives_at(self, t, y, params)))
        self.observe = jax.jit(jax.vmap(self._observe, in_axes=(0, 0, None)))

    def values(self, t: Array, y: Array, params: Mapping) -> dict[str, Array]:
        drive: dict[str, Array] = {}
        for feed, rows, dt in self._feeds:
            base = drive.get(feed.key, base_drive(self.system, feed.key, params, self.tables))
            drive[feed.key] = base.at[feed.index].set(_interpolate(feed, rows, t, dt)[feed.columns[feed.index]])
        state = self.flat.unpack(y, self.like)
        return evaluate_system(
            self.system, t + self.offset, state, params, self.tables, drive, {}, NO_DELAYS
        )[0]

    def _observe(self, t: Array, y: Array, params: Mapping) -> tuple[Array, ...]:
        values = self.values(t, y, params)
        recording = self.recording
        return tuple(values[t.key][units] for t, units in zip(recording.tracks, recording.units, strict=True))


def derivatives_at(model: _Model, t: Array, y: Array, params: Mapping) -> dict[str, Array]:
    """Return the derivative of every state at a time since the start of the run."""
    return derivatives(model.system, t + model.offset, model.values(t, y, params), model.tables)


def _interpolate(feed: Feed, rows: Array, t: Array, dt: float) -> Array:
    if not feed.series:
        return rows[0]
    at = jnp.clip(t / dt, 0.0, rows.shape[0] - 1.0)
    low = jnp.minimum(jnp.floor(at).astype(jnp.int32), max(rows.shape[0] - 2, 0))
    high = jnp.minimum(low + 1, rows.shape[0] - 1)
    return rows[low] + (at - low) * (rows[high] - rows[low])


def _dtype(value: np.ndarray, precision: str) -> np.dtype:
    single = precision == "float32"
    if np.iscomplexobj(value):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(precision)


def _kinks(run: Run) -> np.ndarray:
    """Return the times at which an input changes its slope."""
    kinks: set[int] = set()
    for feed in run.feeds:
        if feed.series and len(feed.rows) > 2:
            bend = np.abs(np.diff(feed.rows, 2, axis=0)).max(axis=1)
            kinks |= set((np.flatnonzero(bend > 1e-9 * np.abs(feed.rows).max()) + 1).tolist())
    return np.array(sorted(kinks)) * run.start.dt


def _scipy(
    model: _Model, y0: np.ndarray, times: np.ndarray, kinks: np.ndarray, settings: dict, run: Run
) -> Float[np.ndarray, "rows states"]:
    if settings["method"] not in SCIPY_METHODS:
        raise OptionError(unknown("method", settings["method"], SCIPY_METHODS, "solver 'scipy'"))
    if len(kinks) > MANY_KINKS:
        settings, kinks = {**settings, "max_step": min(settings["max_step"], run.start.dt)}, kinks[:0]

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        return np.asarray(model.rate(t, y, model.params))

    cuts = np.unique([0.0, *kinks[(kinks > 0) & (kinks < times[-1])], times[-1]])
    path, y = [y0[None]], y0
    for begin, end in itertools.pairwise(cuts):
        inside = times[(times > begin + 1e-12 * times[-1]) & (times <= end * (1 + 1e-12))]
        # The end of the piece is always asked for: the next piece starts there.
        asked = np.unique([*np.minimum(inside, end), end])
        found = _scipy_piece(rate, (begin, end), y, asked, settings)
        path.append(found[: len(inside)])
        if len(found) < len(asked):
            break
        y = found[-1]
    return np.concatenate(path)


def _scipy_piece(
    rate: Callable, span: tuple[float, float], y: np.ndarray, asked: np.ndarray, settings: dict
) -> np.ndarray:
    """Do what `scipy.integrate.solve_ivp` does, and look for Ctrl-C after every step; return the states at times."""
    import scipy.integrate

    options = {k: v for k, v in settings.items() if k != "method"}
    solver = getattr(scipy.integrate, settings["method"])(rate, span[0], y, span[1], **options)
    path, done = [np.zeros((0, len(y)), y.dtype)], 0
    while solver.status == "running" and not came():
        message = solver.step()
        if solver.status == "failed":
            raise CapabilityError(
                f"SciPy's {settings['method']} gave up at t = {solver.t:g}: {message}"
                " Try method='Radau' for a stiff model, or a fixed-step solver."
            )
        reached = int(np.searchsorted(asked, solver.t, side="right"))
        if reached > done:
            path.append(solver.dense_output()(asked[done:reached]).T)
            done = reached
    return np.concatenate(path)


def _diffrax(
    model: _Model, y0: np.ndarray, times: np.ndarray, kinks: np.ndarray, settings: dict, run: Run
) -> Float[np.ndarray, "rows states"]:
    try:
        import diffrax
    except ImportError:
        raise MissingPackageError(
            f"solver {run.solver!r} needs diffrax: pip install 'recurra[adaptive]', or use solver='scipy'."
        ) from None
    tolerances = {"rtol": settings["rtol"], "atol": settings["atol"]}
    control: Any = diffrax.PIDController(**tolerances)
    if run.solver == "kvaerno5":
        solver: Any = diffrax.Kvaerno5(root_finder=diffrax.VeryChord(**tolerances, norm=control.norm))
    else:
        solver = {"tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8}[run.solver]()
    if len(kinks) > MANY_KINKS:
        control = diffrax.PIDController(**tolerances, dtmax=run.start.dt)
    elif len(kinks):
        control = diffrax.ClipStepSizeController(control, jump_ts=jnp.asarray(kinks, run.precision))
    real_model, y_real = _as_real(model, y0)
    start = jnp.asarray(y_real, run.precision)
    steps = _DiffraxSteps(diffrax.ODETerm(real_model), solver, control, jnp.asarray(times, run.precision))
    carry = jax.jit(steps.begin)(start)
    advance, ahead = jax.jit(steps.advance), 64
    while steps.going(carry) and not came():
        if (done := int(carry["steps"])) >= settings["max_steps"]:
            carry["result"] = diffrax.RESULTS.max_steps_reached
            break
        begun = time.perf_counter()
        # Pieces are counted in the solver's own steps, so they change no number.
        carry = jax.block_until_ready(advance(carry, min(done + ahead, int(settings["max_steps"]))))
        ahead = next_size(ahead, time.perf_counter() - begun, 1 << 24)
    if not diffrax.is_successful(carry["result"]):
        raise CapabilityError(
            f"{run.solver} gave up: {diffrax.RESULTS[carry['result']]} Try max_steps=, looser tolerances, or"
            " 'kvaerno5' for a stiff model."
        )
    path: Any = np.asarray(carry["rows"])[: max(int(carry["row"]), 1)]  # the start is always there
    return path if not np.iscomplexobj(y0) else path[:, : len(y0)] + 1j * path[:, len(y0) :]


@dataclass(frozen=True)
class _DiffraxSteps:
    """Step with a solver of diffrax as `diffrax.diffeqsolve` does, some steps at a time.

    Arguments:
        term: the right-hand side.
        solver, control: of diffrax.
        times: at which rows are kept, from 0 to the end.
    """

    term: Any
    solver: Any
    control: Any
    times: Array

    def begin(self, y: Array) -> dict[str, Any]:
        """Return where the steps begin."""
        import diffrax

        first, end = self.times[0], self.times[-1]
        order = self.solver.error_order(self.term)
        to, control = self.control.init(self.term, first, end, y, None, None, self.solver.func, order)
        to = jnp.minimum(to, end)
        carry = {
            "t": first, "to": to, "y": y, "solver": self.solver.init(self.term, first, to, y, None),
            "control": control, "jump": False, "result": diffrax.RESULTS.successful, "steps": 0, "row": 0,
            "rows": jnp.full((len(self.times), *y.shape), jnp.inf, y.dtype).at[0].set(y),
        }  # fmt: skip
        return jax.tree.map(jnp.asarray, carry)

    def going(self, carry: Mapping[str, Any]) -> Array:
        """Tell whether there are steps to do."""
        import diffrax

        return (carry["t"] < self.times[-1]) & diffrax.is_successful(carry["result"])

    def advance(self, carry: dict[str, Any], until: Array) -> dict[str, Any]:
        """Step until so many steps are done in all."""
        return lax.while_loop(lambda c: self.going(c) & (c["steps"] < until), self.step, carry)

    def step(self, c: dict[str, Any]) -> dict[str, Any]:
        """Try one step, and keep the rows that lie in it."""
        import diffrax

        # A solver that reuses its last slope is told of jumps; without any it need not ask.
        jump = c["jump"] if isinstance(self.control, diffrax.ClipStepSizeController) else False
        y, error, dense, state, told = self.solver.step(self.term, c["t"], c["to"], c["y"], None, c["solver"], jump)
        error = jax.tree.map(lambda e: jnp.where(jnp.isnan(e), jnp.inf, e), error)
        kept, t, to, jump, control, stuck = self.control.adapt_step_size(
            c["t"], c["to"], c["y"], y, None, error, self.solver.error_order(self.term), c["control"]
        )
        told = diffrax.RESULTS.where(kept, told, diffrax.RESULTS.successful)
        result = diffrax.RESULTS.where(diffrax.is_okay(c["result"]), told, c["result"])
        result = diffrax.RESULTS.where(diffrax.is_okay(result), stuck, result)
        between = self.solver.interpolation_cls(t0=c["t"], t1=c["to"], **dense)

        def keep(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(kept, a, b), new, old)

        def inside(found: tuple) -> Array:
            return kept & (self.times[found[0]] <= c["to"]) & (found[0] < len(self.times))

        def put(found: tuple) -> tuple:
            row, rows = found
            return row + 1, rows.at[row].set(between.evaluate(self.times[row]))

        row, rows = lax.while_loop(inside, put, (c["row"], c["rows"]))
        end = self.times[-1]
        t = jnp.minimum(t, end)
        # A last step that is as short as rounding errors is not made, but added to the one before.
        near = to > end * (1 - 100 * jnp.finfo(end.dtype).eps)
        to = jnp.where(near, jnp.where(kept, end, t + 0.5 * (end - t)), to)
        new = {
            "t": t, "to": to, "y": keep(y, c["y"]), "solver": keep(state, c["solver"]), "control": control,
            "jump": keep(jnp.asarray(jump), c["jump"]), "result": result, "steps": c["steps"] + 1, "row": row,
            "rows": rows,
        }  # fmt: skip
        return jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), new, c)


def _as_real(model: _Model, y0: Any) -> tuple[Callable, np.ndarray]:
    """Split a complex state into real and imaginary parts, which is what diffrax integrates."""
    if not np.iscomplexobj(y0):
        return (lambda t, y, args: model.rate(t, y, model.params)), y0
    size = len(y0)

    def rate(t: Array, y: Array, args: object) -> Array:
        slope = model.rate(t, y[:size] + 1j * y[size:], model.params)
        return jnp.concatenate([slope.real, slope.imag])

    return rate, np.concatenate([y0.real, y0.imag])


def _collect(run: Run, model: _Model, path: np.ndarray, times: np.ndarray, extra: dict[str, object]) -> Result:
    """Make a result of states at the rows and, last, at the end."""
    rows = len(path) - 1
    observed = [np.asarray(v) for v in model.observe(times[:rows], path[:rows], model.params)]
    like = run.start.state
    before = model.flat.unpack(path[-2], like) if run.ends_open and rows else None
    return make_result(run, model.flat.unpack(path[-1], like), run.recording.named(observed), rows, extra, before)


class VectorField:
    """Offer a program as `dy/dt = function(t, y, params)` on flat vectors; see :func:`vector_field`.

    Arguments:
        program: a network without ring-buffer delays and rules; noise is left out.
        inputs: path -> constant value.

    Raises:
        CapabilityError: the network has ring-buffer delays or rules.

    >>> from recurra import CircuitTemplate
    >>> field = VectorField(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program)
    >>> field.index, field.y0.tolist()
    ({'p/vdp_op/x': 0, 'p/vdp_op/z': 1}, [0.0, 1.0])
    >>> field.jacobian(0.0, np.zeros(2)).tolist()  # mu = 1: the trace is above 0, so the origin is unstable
    [[0.0, 1.0], [-1.0, 1.0]]
    >>> field.jacobian(0.0, np.zeros(2), {"p/vdp_op/mu": -3.0}).tolist()
    [[0.0, 1.0], [-1.0, -3.0]]
    """

    def __init__(self, program: Program, inputs: Mapping[str, object] | None = None):
        if program.system.rules:
            raise CapabilityError("the network has a rule, which is called once a step, so it has no vector field.")
        if program.system.has_ring:
            raise CapabilityError(
                f"the network has a delay (of {program.system.rings[0].source!r}), so it has no plain vector field."
                " Give the edge a `spread`, which turns the delay into equations."
            )
        self._program, self._flat = program, Flattened(program.state)
        self._inputs = dict(inputs or {})
        kinds = ("parameter", "input")
        self._targets = {t.path: t for t in program.layout.targets(kinds)}
        for label in program.layout.edges:
            path = f"{label}/weight"
            self._targets[path] = program.layout.one(path)
        self.params = {p: np.asarray(program.params[t.key][t.index]) for p, t in self._targets.items()}
        self.y0 = np.concatenate([np.ravel(program.state[k]) for k in self._flat.keys])
        self.index = self._index()
        self._rate = jax.jit(self._function)
        self._jacobian = jax.jit(jax.jacfwd(self._function, argnums=1))

    def _index(self) -> dict[str, int | tuple[int, int]]:
        starts = dict(zip(self._flat.keys, self._flat.ends, strict=False))
        found: dict[str, int | tuple[int, int]] = {}
        for target in self._program.layout.targets(("state",)):
            low = int(starts[target.key]) + target.index.start  # type: ignore[attr-defined]
            found[target.path] = low if target.size == 1 else (low, low + target.size)
        return found

    def function(
        self, t: Array | float, y: Array | np.ndarray, params: Mapping[str, object] | None = None
    ) -> Array:
        """Return dy/dt, computed in float64.

        Arguments:
            t: time.
            y: `(states,)`, laid out as `index` says.
            params: path -> value, for those that differ from `self.params`.
        """
        with jax.enable_x64(True):
            return self._rate(t, y, dict(params or {}))

    def jacobian(
        self, t: Array | float, y: Array | np.ndarray, params: Mapping[str, object] | None = None
    ) -> Array:
        """Return d(dy/dt)/dy, `(states, states)`, computed in float64; arguments as for `function`."""
        with jax.enable_x64(True):
            return self._jacobian(t, y, dict(params or {}))

    def _function(self, t: Array, y: Array, params: Mapping[str, object]) -> Array:
        numbers = {k: jnp.asarray(v) for k, v in self._program.params.items()}
        for path, value in params.items():
            if path not in self._targets:
                raise OptionError(unknown("parameter", path, self._targets))
            target = self._targets[path]
            part = jnp.asarray(value).astype(numbers[target.key].dtype)
            numbers[target.key] = numbers[target.key].at[target.index].set(part)
        state = self._flat.unpack(y, self._program.state)
        slopes = self._program.flow(t, state, numbers, self._inputs)
        return self._flat.pack({k: v.astype(y.dtype) for k, v in slopes.items()})


def vector_field(program: Program, inputs: Mapping[str, object] | None = None) -> VectorField:
    """Return the right-hand side of a program on flat vectors, for root finders and other people's solvers.

    Arguments:
        program: a network without ring-buffer delays; noise is left out.
        inputs: path -> constant value.

    Returns:
        An object with `function(t, y, params)`, the initial state `y0`, the parameters by path, and `index`, which
        says where each state is in `y`: a number, or `(low, high)`.

    Raises:
        CapabilityError: the network has ring-buffer delays or rules.

    >>> from recurra import CircuitTemplate
    >>> field = vector_field(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program)
    >>> field.function(0.0, np.array([1.0, 0.5])).tolist()
    [0.5, -1.0]
    """
    return VectorField(program, inputs)
