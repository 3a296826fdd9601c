"""Batches of trials of a rate network, as pure functions of its numbers, and what its training starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine import Program, as_function
from recurra.engine.interrupts import check, interruptible
from recurra.engine.randomness import seed_key
from recurra.errors import OptionError, ShapeError, unknown
from recurra.rate.lowering import NOISES, OUTPUT, PATHS, STEP_MS, STIMULUS, effective_weights, time_constants
from recurra.rate.model import KIM_NOISE, START_NOISE, FR_RNN_dale
from recurra.rate.tasks import Trials

#: What a training changes.
TRAINED = ("w", "w_out", "b_out", "taus_gaus")
KEPT_BYTES = 1e9
RECORDS: Mapping[str, str] = {"o": OUTPUT, "r": "units/op/r", "x": PATHS["x"]}


def free_numbers(net: FR_RNN_dale, precision: str) -> dict[str, np.ndarray]:
    """Return what is trained, as it is before any constraint."""
    found = {name: np.asarray(getattr(net, name), precision) for name in TRAINED}
    return found | {"b_out": found["b_out"].reshape(-1)}


def fixed_numbers(net: FR_RNN_dale, precision: str) -> dict[str, np.ndarray]:
    """Return what the values of a network need besides what is trained."""
    arrays = {"signs": net.signs, "som_mask": net.som_mask, "w_in": net.w_in}
    return {name: np.asarray(array, precision) for name, array in arrays.items()}


def values(free: Mapping[str, Any], fixed: Mapping[str, Any], taus: tuple[float, float], dale: bool) -> dict[str, Any]:
    """Return path -> value in the program: whatever the free numbers are, Dale's principle and the masks hold."""
    return {
        PATHS["w"]: effective_weights(free["w"], fixed["signs"], fixed["som_mask"], dale),
        PATHS["w_in"]: fixed["w_in"],
        PATHS["w_out"]: free["w_out"],
        PATHS["b_out"]: free["b_out"],
        PATHS["tau"]: time_constants(taus, free["taus_gaus"]),
    }


def with_free(net: FR_RNN_dale, free: Mapping[str, Any]) -> FR_RNN_dale:
    """Return a copy of a network with other trained numbers."""
    made = net.copy()
    for name in TRAINED:
        setattr(made, name, np.asarray(free[name], float))
    if len(net.w_out) == 1:
        made.b_out = float(np.ravel(free["b_out"])[0])
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
