"""What is learned from: inputs, targets and masks, as trials of equal length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.engine import Program, Snapshot
from recurra.engine.results import time_of
from recurra.engine.series import rows_of
from recurra.errors import OptionError, PathError, ShapeError, unknown
from recurra.training.losses import CLASSES


@dataclass(frozen=True, eq=False)
class Trials:
    """Hold checked trials.

    Arguments:
        inputs: path -> `(trials, steps + 1, units)`; the row after the last step repeats the last one.
        targets: `(trials, steps, units)`, or `(trials, steps)` class numbers.
        mask: `(trials, steps, units)` or `(trials, steps, 1)`: how much a row (of a unit) counts.
        batched: whether the user gave an axis of trials.
    """

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray
    mask: np.ndarray
    batched: bool

    __repr__ = brief

    @property
    def count(self) -> int:
        return len(self.targets)

    @property
    def steps(self) -> int:
        return self.targets.shape[1]

    def cast(self, precision: str) -> Trials:
        """Return the trials in the precision of a training; class numbers stay whole."""
        classes = self.targets.dtype.kind == "i"
        return Trials(
            {path: value.astype(precision) for path, value in self.inputs.items()},
            self.targets.astype(np.int32 if classes else precision),
            self.mask.astype(precision),
            self.batched,
        )


def count_units(program: Program, output: object) -> tuple[list[str], int]:
    """Return the paths of an output and its number of units.

    Raises:
        PathError: a path does not exist, or does not change with time.
    """
    paths = [output] if isinstance(output, str) else list(output)  # type: ignore[call-overload]
    if not paths:
        raise OptionError("output: give the path of a variable, or a list of them.")
    total = 0
    for path in paths:
        for target in program.layout.resolve(path):
            if target.kind not in ("state", "algebraic", "input"):
                raise PathError(f"output: {unknown('variable', path, program.outputs)}")
            total += target.size
    return paths, total


def on_steps(
    inputs: Mapping[str, object] | None, targets: ArrayLike, dt: float, state: Snapshot | None
) -> tuple[Mapping[str, object] | None, ArrayLike]:
    """Align inputs and targets that have a time axis with the steps of a trial; others are left as they are.

    Arguments:
        inputs, targets: as for :func:`make_trials`; the targets say how many steps there are.
        dt: the step.
        state: where the trials begin, `None` for time 0.

    Raises:
        TimeError: the time axis of a series does not fit the steps.
    """
    begin = time_of(state)
    goal = np.asarray(rows_of(targets, dt, begin, None, "targets"))
    steps = goal.shape[1] if goal.ndim == 3 else len(goal) if goal.ndim else 1
    return inputs_on_steps(inputs, dt, begin, steps), goal


def inputs_on_steps(
    inputs: Mapping[str, object] | None, dt: float, begin: float, steps: int
) -> Mapping[str, object] | None:
    """Align inputs that have a time axis with the steps of a trial that begins at a time."""
    if not isinstance(inputs, Mapping):
        return inputs
    found = {}
    for path, value in inputs.items():
        rows = rows_of(value, dt, begin, steps, f"inputs: {path!r}")
        found[path] = value if rows is value else rows[:steps]
    return found


def make_trials(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    units: int | None,
    loss: str = "mse",
    mask: ArrayLike | None = None,
) -> Trials:
    """Check inputs and targets against the program and each other.

    Arguments:
        program: the program.
        inputs: path -> `(steps,)`, `(steps, units)` or `(trials, steps, units)`.
        targets: `(steps, units)` or `(trials, steps, units)`; for `nll` and `ce` also class numbers, `(steps,)` or
            `(trials, steps)`.
        units: number of units of the output; `None` for any.
        loss: name of the loss.
        mask: `(steps,)`, `(steps, units)`, `(trials, steps)` or `(trials, steps, units)`, numbers >= 0.

    Raises:
        ShapeError: shapes or lengths do not fit, or numbers are not finite.
        PathError: a path is no input.
    """
    goal, batched = _targets(targets, units, loss)
    given, count = make_inputs(program, inputs, goal.shape[1])
    if batched and count not in (None, len(goal)):
        raise ShapeError(f"inputs have {count} trials, targets have {len(goal)}; give one target for every trial.")
    trials = len(goal) if batched else count or 1
    goal = np.broadcast_to(goal, (trials, *goal.shape[1:]))
    weights = _mask(mask, goal, units)
    if goal.dtype.kind == "f":
        missing = ~np.isfinite(goal) & (np.broadcast_to(weights, goal.shape) > 0)
        if missing.any():
            at = tuple(int(i) for i in np.argwhere(missing)[0])
            raise ShapeError(
                f"targets: not finite at (trial, step, unit) {at}; give it a number, or a mask that is 0 there."
            )
        goal = np.where(np.isfinite(goal), goal, 0.0)
    spread = {path: np.broadcast_to(value, (trials, *value.shape[1:])) for path, value in given.items()}
    return Trials(spread, goal, weights, batched or count is not None)


def _targets(targets: ArrayLike, units: int | None, loss: str) -> tuple[np.ndarray, bool]:
    goal = np.asarray(targets)
    if goal.dtype.kind not in "biuf" or goal.size == 0:
        raise ShapeError(f"targets: expected real numbers, got {type(targets).__name__} of type {goal.dtype}.")
    whole = goal.dtype.kind in "biu"
    if loss in CLASSES and whole and (goal.ndim == 1 or (goal.ndim == 2 and goal.shape[1] != units)):
        return _classes(goal, units, loss)
    if goal.ndim == 1:
        goal = goal[:, None]
    if goal.ndim not in (2, 3) or (units is not None and goal.shape[-1] != units):
        wanted = "units" if units is None else units
        raise ShapeError(
            f"targets: got shape {np.shape(targets)}, expected (steps, {wanted}) or (trials, steps, {wanted})."
        )
    return goal[None].astype(float) if goal.ndim == 2 else goal.astype(float), goal.ndim == 3


def _classes(goal: np.ndarray, units: int | None, loss: str) -> tuple[np.ndarray, bool]:
    if goal.min() < 0 or (units is not None and goal.max() >= units):
        raise ShapeError(
            f"targets: the class numbers of loss {loss!r} must be 0 ... {(units or 1) - 1}, got {goal.min()} ..."
            f" {goal.max()}."
        )
    goal = goal.astype(np.int64)
    return (goal[None], False) if goal.ndim == 1 else (goal, True)


def make_inputs(
    program: Program, inputs: Mapping[str, object] | None, steps: int
) -> tuple[dict[str, np.ndarray], int | None]:
    """Check inputs, give each an axis of trials, and repeat its last row.

    Arguments:
        program: the program.
        inputs: path -> `(steps,)`, `(steps, units)` or `(trials, steps, units)`.
        steps: number of steps of a trial.

    Returns:
        Path -> `(trials, steps + 1, units)`, 1 trial where there was no such axis; and the number of trials, if any
        had that axis.

    Raises:
        ShapeError: shapes or lengths do not fit, or numbers are not finite.
        PathError: a path is no input.
    """
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ShapeError(f"inputs: expected a dict of path -> values, got {type(inputs).__name__}.")
    found, counts = {}, {}
    for path, value in (inputs or {}).items():
        targets = program.layout.resolve(path)
        if any(t.kind != "input" for t in targets):
            known = unknown("input", path, program.inputs)
            raise PathError(f"inputs: {path!r} is of kind {targets[0].kind}. {known}")
        size = sum(t.size for t in targets)
        array = np.asarray(value)
        got = array.shape
        array = array[:, None] if array.ndim == 1 else array
        if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.shape[-1] not in (1, size):
            raise ShapeError(
                f"inputs: {path!r} has shape {got} and type {array.dtype}, expected numbers (steps, {size})"
                f" or (trials, steps, {size})."
            )
        if array.shape[-2] != steps:
            short = "shorter" if steps < array.shape[-2] else "longer"
            raise ShapeError(
                f"targets are {short} than inputs: {path!r} has {array.shape[-2]} steps, targets are for {steps}. Give"
                " one target for every step, and a mask of 0 for those that do not count."
            )
        if not np.all(np.isfinite(array)):
            raise ShapeError(f"inputs: {path!r} holds values that are not finite.")
        if array.ndim == 3:
            counts[path] = len(array)
        array = (array if array.ndim == 3 else array[None]).astype(float)
        found[path] = np.concatenate([array, array[:, -1:]], axis=1)
    if len(set(counts.values())) > 1:
        raise ShapeError(f"inputs must have the same number of trials, got {counts}.")
    return found, next(iter(counts.values()), None)


def _mask(mask: ArrayLike | None, goal: np.ndarray, units: int | None) -> np.ndarray:
    trials, steps = goal.shape[:2]
    width = goal.shape[2] if goal.ndim == 3 else 1
    if mask is None:
        return np.ones((trials, steps, 1))
    array = np.asarray(mask)
    if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)) or np.any(array < 0):
        raise ShapeError("mask: expected booleans, or finite numbers >= 0.")
    shapes = {(steps,): array.reshape(1, -1, 1)} if array.ndim == 1 else {}
    if array.ndim == 2:
        if (trials, steps) == (steps, width):
            raise ShapeError(f"mask: shape {array.shape} could be (trials, steps) or (steps, units); give three axes.")
        shapes = {(trials, steps): array[:, :, None], (steps, width): array[None]}
    if array.ndim == 3:
        shapes = {(trials, steps, width): array, (trials, steps, 1): array}
    if array.shape not in shapes:
        raise ShapeError(
            f"mask: got shape {array.shape}, expected ({steps},), ({steps}, {width}), ({trials}, {steps}) or"
            f" ({trials}, {steps}, {width})."
        )
    found = shapes[array.shape].astype(float)
    found = np.broadcast_to(found, (trials, *found.shape[1:]))
    if np.any(np.sum(found, axis=(1, 2)) == 0):
        raise ShapeError(f"mask: trial {int(np.argmax(np.sum(found, axis=(1, 2)) == 0))} counts nowhere.")
    return found
