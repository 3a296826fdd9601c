"""Batches of trials of a rate network, as pure functions of its numbers, and what its training starts from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine import Program, as_function
from recurra.engine.interrupts import check, interruptible
from recurra.engine.randomness import seed_key
from recurra.errors import OptionError, ShapeError, unknown
from recurra.rate.lowering import (
    NOISES,
    OUTPUT,
    PATHS,
    STEP_MS,
    STIMULUS,
    check_step,
    effective_weights,
    time_constants,
)
from recurra.rate.model import KIM_NOISE, START_NOISE, FR_RNN_dale
from recurra.rate.tasks import Trials
from recurra.training.constraints import Constraint

#: What a training changes, and what it can change besides.
TRAINED = ("w", "w_out", "b_out", "taus_gaus")
FREE = (*TRAINED, "w_in")
KEPT_BYTES = 1e9
RECORDS: Mapping[str, str] = {"o": OUTPUT, "r": "units/op/r", "x": PATHS["x"]}


def free_numbers(
    net: FR_RNN_dale, precision: str, constraints: Mapping[str, Constraint] | None = None
) -> dict[str, Any]:
    """Return the numbers that an optimiser moves: those of the network, or what is behind them under a constraint.

    Raises:
        ShapeError: a constraint does not fit.
        OptionError: the network does not obey a constraint.
    """
    found: dict[str, Any] = {name: np.array(getattr(net, name), float) for name in FREE}
    found["b_out"] = found["b_out"].reshape(-1)
    for name, constraint in (constraints or {}).items():
        found[name] = constraint.free(found[name], name)
    return jax.tree.map(lambda leaf: np.asarray(leaf, precision), found)


def fixed_numbers(net: FR_RNN_dale, precision: str, constraints: Mapping[str, Constraint] | None = None) -> dict:
    """Return what the values of a network need besides the free numbers: signs, masks, what constraints start from."""
    arrays = {"signs": net.signs, "som_mask": net.som_mask}
    arrays |= {f"origin {name}": np.atleast_1d(getattr(net, name)) for name in constraints or {}}
    return {name: np.asarray(array, precision) for name, array in arrays.items()}


def constrained(
    free: Mapping[str, Any], fixed: Mapping[str, Any], constraints: Mapping[str, Constraint]
) -> dict[str, Any]:
    """Return name -> number of the network, as `vars` holds it, of free numbers."""
    return dict(free) | {name: rule.value(free[name], fixed[f"origin {name}"]) for name, rule in constraints.items()}


def values(
    numbers: Mapping[str, Any], fixed: Mapping[str, Any], taus: tuple[float, float], dale: bool
) -> dict[str, Any]:
    """Return path -> value in the program: whatever the numbers are, Dale's principle and the masks hold."""
    return {
        PATHS["w"]: effective_weights(numbers["w"], fixed["signs"], fixed["som_mask"], dale),
        PATHS["w_in"]: numbers["w_in"],
        PATHS["w_out"]: numbers["w_out"],
        PATHS["b_out"]: numbers["b_out"],
        PATHS["tau"]: time_constants(taus, numbers["taus_gaus"]),
    }


def with_free(
    net: FR_RNN_dale,
    free: Mapping[str, Any],
    still: Collection[str] = (),
    constraints: Mapping[str, Constraint] | None = None,
) -> FR_RNN_dale:
    """Return a copy of a network with other free numbers but for those that stay `still`, which are not rounded.

    Constraints hold to the last bit of float64.
    """
    made = net.copy()
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, float), dict(free))
        numbers = constrained(wide, fixed_numbers(net, "float64", constraints), constraints or {})
    for name in FREE:
        if name not in still:
            setattr(made, name, np.array(numbers[name], float))
    made.b_out = float(np.ravel(made.b_out)[0]) if len(net.w_out) == 1 else made.b_out
    return made


def batch_function(
    program: Program, steps: int, step: float, precision: str, record: tuple[str, ...] = ("o",), noisy: bool = True,
    batch: int = 1,
) -> Callable[[Mapping[str, Any], Array, Array], dict[str, Array]]:  # fmt: skip
    """Return a function of path -> value, inputs `(batch, steps, inputs)` and keys `(batch,)`.

    It returns name -> `(batch, steps - 1, units)`, from the row after the first step on.

    Arguments:
        program: the network.
        steps: number of rows of a trial.
        step: duration of a step in the program's unit.
        precision: `"float32"` or `"float64"`.
        record: names in `RECORDS`.
        noisy: whether the start is drawn too.
        batch: how many trials there will be; where they would take much memory in reverse mode, more is computed
            again.
    """
    size = program.get(PATHS["x"]).size
    # Reverse mode keeps about five numbers for each unit and step.
    kept = 5 * 4 * steps * size * batch
    run = as_function(
        program,
        steps * step,
        dt=step,
        record={name: RECORDS[name] for name in record},
        precision=precision,
        segment=0 if kept < KEPT_BYTES else None,
    )

    def one(numbers: Mapping[str, Any], inputs: Array, key: Array) -> dict[str, Array]:
        start, noise = jax.random.split(key)
        x0 = START_NOISE * jax.random.normal(start, (size,), precision) if noisy else jnp.zeros(size, precision)
        rows = run({**numbers, PATHS["x"]: x0}, {STIMULUS: inputs}, seed=noise)
        return {name: value[1:] for name, value in rows.items()}

    return lambda numbers, inputs, keys: jax.vmap(lambda u, k: one(numbers, u, k))(inputs, keys)


def trial_keys(seed: int | Array, start: int | Array, count: int) -> Array:
    """Return a key for each trial, made of the seed and the trial's number."""
    key = seed_key(seed)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(start + jnp.arange(count))


def check_fits(net: Any, trials: Trials) -> None:
    """Refuse trials with other numbers of inputs or outputs than a network has."""
    for what, has, needs in (
        ("inputs", net.w_in.shape[1], len(trials.channels)),
        ("outputs", len(net.w_out), len(trials.outputs)),
    ):
        if has != needs:
            names = ", ".join(trials.channels if what == "inputs" else trials.outputs)
            raise ShapeError(f"the network has {has} {what}, the task {needs}: {names}.")


def steps_of(milliseconds: float) -> float:
    """Return the duration of a step in the unit of the time constants."""
    return milliseconds / STEP_MS


def respond(
    net: FR_RNN_dale,
    trials: Trials,
    *,
    seed: int = 0,
    noise: str = "kim",
    level: float = KIM_NOISE,
    record: tuple[str, ...] = ("o",),
    batch: int = 100,
    precision: str = "float32",
) -> dict[str, np.ndarray]:
    """Run a rate network on a batch of trials.

    Arguments:
        net: the network.
        trials: what it is given.
        seed: of noise and starts; trial i has the same whatever the batch.
        noise, level: as for `FR_RNN_dale.to_graph`.
        record: of `"o"`, `"r"`, `"x"`.
        batch: how many trials run at once.
        precision: `"float32"` or `"float64"`.

    Returns:
        Name -> `(trials, T - 1, units)`.

    Raises:
        ShapeError: the trials have other inputs or outputs than the network.
        OptionError: an unknown name.
        TimeError: a step of the trials is longer than a time constant.

    >>> from recurra.rate.tasks import GoNoGo
    >>> net = FR_RNN_dale(10, 0.2, 0.5, np.ones((10, 1)), 0, "gaus", 1.5, True, np.ones((1, 10)))
    >>> respond(net, GoNoGo().trials(3))["o"].shape
    (3, 199, 1)
    """
    check_fits(net, trials)
    for name in record:
        if name not in RECORDS:
            raise OptionError(unknown("recording", name, RECORDS))
    if noise not in NOISES:
        raise OptionError(unknown("noise", noise, NOISES))
    step = steps_of(trials.dt)
    check_step(step, float(np.min(net.tau)), "respond")
    program = net.to_program(noise=noise, level=level, step=step)
    noisy = noise != "none"
    run = batch_function(program, trials.steps, step, precision, record, noisy)
    found: list[dict[str, np.ndarray]] = []
    with interruptible(), jax.enable_x64(precision == "float64"):
        for first in range(0, len(trials), batch):
            check()
            part = trials.inputs[first : first + batch].astype(precision)
            rows = run({}, jnp.asarray(part), trial_keys(seed, first, len(part)))
            found.append({name: np.asarray(value, float) for name, value in rows.items()})
    return {name: np.concatenate([rows[name] for rows in found]) for name in record}
