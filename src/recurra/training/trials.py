"""What is learned from: inputs, targets and masks, as trials of equal length or of unequal."""

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
from recurra.training.stacking import as_list, stacked, trial_arrays


@dataclass(frozen=True, eq=False)
class Trials:
    """Hold checked trials.

    Arguments:
        inputs: path -> `(trials, steps + 1, units)`; the row after the last step repeats the last one.
        targets: `(trials, steps, units)`, or `(trials, steps)` class numbers.
        mask: `(trials, steps, units)` or `(trials, steps, 1)`: how much a row (of a unit) counts; 0 after the end of a
            trial.
        lengths: `(trials,)`, the number of steps of each; shorter ones are filled up.
        batched: whether the user gave an axis of trials.
    """

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray
    batched: bool

    __repr__ = brief

    def __identity__(self) -> dict[str, object]:
        return {"inputs": self.inputs, "targets": self.targets, "mask": self.mask, "lengths": self.lengths}

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
            self.lengths,
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


def make_trials(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    units: int | None,
    loss: str = "mse",
    mask: ArrayLike | None = None,
    *,
    dt: float = 1.0,
    state: Snapshot | None = None,
) -> Trials:
    """Check inputs and targets against the program and each other.

    Arguments:
        program: the program.
        inputs: path -> `(steps,)`, `(steps, units)` or `(trials, steps, units)`, or a list of trials.
        targets: `(steps, units)` or `(trials, steps, units)`, or a list of trials, which may be of unequal length; for
            `nll` and `ce` whole numbers of one axis less are class numbers. They say how many steps there are.
        units: number of units of the output; `None` for any.
        loss: name of the loss.
        mask: `(steps,)`, `(steps, units)`, `(trials, steps)` or `(trials, steps, units)`, numbers >= 0; or a list.
        dt: the step, with which what has a time axis is aligned.
        state: where the trials begin, `None` for time 0.

    Raises:
        ShapeError: shapes or lengths do not fit, or numbers are not finite.
        PathError: a path is no input.
        TimeError: the time axis of a series does not fit the steps.
    """
    begin = time_of(state)
    rows, lengths = read_targets(targets, units, dt, begin, loss)
    goal, batched = _targets(rows, units, loss, _shapes(inputs))
    given, count = make_inputs(program, inputs, goal.shape[1], lengths, dt=dt, begin=begin)
    if batched and count not in (None, len(goal)):
        raise ShapeError(f"inputs have {count} trials, targets have {len(goal)}; give one target for every trial.")
    trials = len(goal) if batched else count or 1
    goal = np.broadcast_to(goal, (trials, *goal.shape[1:]))
    lengths = np.full(trials, goal.shape[1]) if lengths is None else lengths
    weights = _mask(mask, goal, lengths)
    goal = _checked(goal, weights, loss)
    spread = {path: np.broadcast_to(value, (trials, *value.shape[1:])) for path, value in given.items()}
    return Trials(spread, goal, weights, lengths, batched or count is not None)


def read_targets(
    targets: object, units: int | None, dt: float, begin: float, loss: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return targets as an array, aligned by their time axis, and the length of each trial if they are a list."""
    items = trial_arrays(targets, "targets", units, lambda item, at, _: rows_of(item, dt, begin, None, at))
    if items is None:
        return np.asarray(rows_of(targets, dt, begin, None, "targets")), None
    found, lengths = stacked(items)
    classes = loss in CLASSES and found.dtype.kind in "biu"
    return (found[..., None] if found.ndim == 2 and not classes else found), lengths


def row_mask(mask: object, shape: tuple[int, ...], lengths: np.ndarray | None) -> object:
    """Return a mask of rows `(trials, rows)` that is false after the end of trials; as it is where there is no list.

    Raises:
        ShapeError: the mask is a list for trials of other lengths.
    """
    items = trial_arrays(mask, "mask", 1, lambda item, *_: item)
    if items is not None:
        mask, own = stacked(items, 0)
        if lengths is None or own.shape != lengths.shape or (own != lengths).any():
            raise _other_lengths(own, lengths)
    if lengths is None:
        return mask
    there = np.arange(shape[-1]) < lengths[:, None]
    return there if mask is None else (np.asarray(mask) > 0) & there


def _other_lengths(own: np.ndarray, lengths: np.ndarray | None) -> ShapeError:
    theirs = "one array" if lengths is None else f"trials of {', '.join(map(str, lengths[:9]))} steps"
    return ShapeError(f"mask: it is for trials of {', '.join(map(str, own[:9]))} steps, targets are {theirs}.")


def _shapes(inputs: object) -> list[tuple[int, ...]]:
    """Return the shapes of inputs, a list of trials counted as an axis, as far as they are clear."""
    found: list[tuple[int, ...]] = []
    for value in inputs.values() if isinstance(inputs, Mapping) else ():
        items = as_list(value)
        if items is None:
            found.append(np.shape(value))
        else:
            found.append((len(items), *max((np.shape(item) for item in items), key=lambda shape: shape[:1])))
    return found


def _targets(goal: np.ndarray, units: int | None, loss: str, inputs: list[tuple[int, ...]]) -> tuple[np.ndarray, bool]:
    if goal.dtype.kind not in "biuf" or goal.size == 0:
        raise ShapeError(f"targets: expected real numbers, got an array {goal.shape} of type {goal.dtype}.")
    if loss in CLASSES and goal.dtype.kind in "biu" and goal.ndim < 3 and _are_classes(goal, units, inputs):
        return _classes(goal, units, loss)
    shape = goal.shape
    if goal.ndim == 1:
        goal = goal[:, None]
    if goal.ndim not in (2, 3) or (units is not None and goal.shape[-1] != units):
        wanted = "units" if units is None else units
        classes = " Class numbers are whole: write targets.astype(int)." if loss in CLASSES and units != 1 else ""
        raise ShapeError(
            f"targets: got shape {shape}, expected (steps, {wanted}) or (trials, steps, {wanted}).{classes}"
        )
    return goal[None].astype(float) if goal.ndim == 2 else goal.astype(float), goal.ndim == 3


def _are_classes(goal: np.ndarray, units: int | None, inputs: list[tuple[int, ...]]) -> bool:
    """Tell class numbers `(steps,)` or `(trials, steps)` from one trial of distributions `(steps, units)`.

    Whole numbers can be a distribution only if each row is 0 but for a single 1; then the axes of the inputs decide.
    """
    if goal.ndim == 1 or goal.shape[1] != units:
        return True
    if not (np.isin(goal, (0, 1)).all() and (goal.sum(axis=1) == 1).all()):
        return True
    rows, columns = goal.shape
    trials = [shape[0] for shape in inputs if len(shape) == 3]
    steps = [(*shape, 1)[-2 if len(shape) == 1 else -3] for shape in inputs if shape]
    as_classes = all(n == columns for n in steps) and all(n == rows for n in trials)
    as_rows = all(n == rows for n in steps)
    if as_classes and as_rows and not inputs:
        raise ShapeError(
            f"targets: {goal.shape} whole numbers could be the classes of {rows} trials, or one trial of distributions"
            f" over {units} classes. Write targets.astype(float)[None] for distributions, or zeros and ones"
            " (trials, steps, classes) for classes."
        )
    # Where all of it is equal in number, a first axis of trials in the inputs says that the targets have one as well.
    return as_classes and (bool(trials) or not as_rows)


def _classes(goal: np.ndarray, units: int | None, loss: str) -> tuple[np.ndarray, bool]:
    if goal.min() < 0 or (units is not None and goal.max() >= units):
        raise ShapeError(
            f"targets: the class numbers of loss {loss!r} must be 0 ... {(units or 1) - 1}, got {goal.min()} ..."
            f" {goal.max()}."
        )
    goal = goal.astype(np.int64)
    return (goal[None], False) if goal.ndim == 1 else (goal, True)


def _checked(goal: np.ndarray, weights: np.ndarray, loss: str) -> np.ndarray:
    """Return targets without the numbers that do not count; refuse what a loss cannot be computed from."""
    if goal.dtype.kind != "f":
        return goal
    counts = np.broadcast_to(weights, goal.shape) > 0
    missing = ~np.isfinite(goal) & counts
    if missing.any():
        raise ShapeError(
            f"targets: not finite at (trial, step, unit) {_first(missing)}; give it a number, or a mask that is 0"
            " there."
        )
    goal = np.where(np.isfinite(goal), goal, 0.0)
    wanted, odd = "", np.zeros(goal.shape, bool)
    if loss in (*CLASSES, "kld"):
        wanted, odd = "probabilities, from 0 to 1", (goal < 0) | (goal > 1 + 1e-6)
    elif loss == "hinge":
        wanted, odd = "-1 or 1", np.abs(goal) != 1
    if (odd & counts).any():
        at = _first(odd & counts)
        classes = "; class numbers are whole: write targets.astype(int)" if loss in CLASSES else ""
        raise ShapeError(
            f"targets of loss {loss!r} are {wanted}, got {goal[at]:g} at (trial, step, unit) {at}{classes}."
        )
    return goal


def _first(odd: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(odd)[0])


def make_inputs(
    program: Program,
    inputs: Mapping[str, object] | None,
    steps: int,
    lengths: np.ndarray | None = None,
    *,
    dt: float = 1.0,
    begin: float = 0.0,
) -> tuple[dict[str, np.ndarray], int | None]:
    """Check inputs, give each an axis of trials, and repeat its last row.

    Arguments:
        program: the program.
        inputs: path -> a number, `(steps,)`, `(steps, units)` or `(trials, steps, units)`, or a list of trials.
        steps: number of steps of the longest trial.
        lengths: number of steps of each trial, where they are given as a list.
        dt, begin: the step and the time at which a trial begins, with which what has a time axis is aligned.

    Returns:
        Path -> `(trials, steps + 1, units)`, 1 trial where there was no such axis; and the number of trials, if any
        had that axis.

    Raises:
        ShapeError: shapes or lengths do not fit, or numbers are not finite.
        PathError: a path is no input.
        TimeError: the time axis of a series does not fit the steps.
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
        array = _input(path, value, size, (steps, lengths), dt, begin)
        if array.ndim == 3:
            counts[path] = len(array)
        array = (array if array.ndim == 3 else array[None]).astype(float)
        found[path] = np.concatenate([array, array[:, -1:]], axis=1)
    if len(set(counts.values())) > 1:
        raise ShapeError(f"inputs must have the same number of trials, got {counts}.")
    return found, next(iter(counts.values()), None)


def _input(
    path: str, value: object, size: int, wanted: tuple[int, np.ndarray | None], dt: float, begin: float
) -> np.ndarray:
    """Return an input as an array of two or three axes, checked."""
    steps, lengths = wanted
    where = f"inputs: {path!r}"

    def read(item: object, at: str, i: int) -> object:
        own = steps if lengths is None else int(lengths[min(i, len(lengths) - 1)])
        rows = rows_of(item, dt, begin, own, at)
        return rows if rows is item else rows[:own]

    items = trial_arrays(value, where, size, read)
    own = None
    if items is not None:
        array, own = stacked(items)
        got = array.shape
        array = array[..., None] if array.ndim == 2 else array
    else:
        rows = rows_of(value, dt, begin, steps, where)
        array = np.asarray(rows if rows is value else rows[:steps])
        got = array.shape
        array = np.full((steps, 1), array) if array.ndim == 0 else array
        array = array[:, None] if array.ndim == 1 else array
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.shape[-1] not in (1, size):
        raise ShapeError(
            f"{where} has shape {got} and type {array.dtype}, expected"
            f" numbers (steps, {size}) or (trials, steps, {size})."
        )
    _compare_lengths(where, array, own, steps, lengths)
    if not np.all(np.isfinite(array)):
        raise ShapeError(f"{where} holds values that are not finite.")
    return array


def _compare_lengths(
    where: str, array: np.ndarray, own: np.ndarray | None, steps: int, lengths: np.ndarray | None
) -> None:
    """Refuse an input that has other steps than the targets, in any trial; an input of all trials may be longer."""
    if array.ndim == 3 and (own is not None or lengths is not None):
        mine = np.full(len(array), array.shape[1]) if own is None else own
        theirs = np.full(len(mine), steps) if lengths is None else lengths
        if len(mine) != len(theirs):
            raise ShapeError(f"{where} has {len(mine)} trials, targets have {len(theirs)}; give one for every trial.")
        if (mine != theirs).any():
            at = int(np.argmax(mine != theirs))
            raise ShapeError(
                f"{where} has {mine[at]} steps in trial {at}, targets have {theirs[at]}. Give one target for every step"
                " of each trial, in a list as well, or pad both and say in mask= what counts."
            )
    elif array.shape[-2] != steps:
        short = "shorter" if steps < array.shape[-2] else "longer"
        raise ShapeError(
            f"targets are {short} than {where}: it has {array.shape[-2]} steps, targets are for {steps}. Give"
            " one target for every step, and a mask of 0 for those that do not count."
        )


def _mask(mask: object, goal: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return how much each row counts, `(trials, steps, units or 1)`; nothing counts after the end of a trial."""
    trials, steps = goal.shape[:2]
    there = (np.arange(steps) < lengths[:, None])[:, :, None]
    found = np.ones((trials, steps, 1)) if mask is None else _read_mask(mask, goal, lengths)
    found = np.broadcast_to(found, (trials, *found.shape[1:])) * there
    if np.any(np.sum(found, axis=(1, 2)) == 0):
        raise ShapeError(f"mask: trial {int(np.argmax(np.sum(found, axis=(1, 2)) == 0))} counts nowhere.")
    return found


def _read_mask(mask: object, goal: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    trials, steps = goal.shape[:2]
    width = goal.shape[2] if goal.ndim == 3 else 1
    items = trial_arrays(mask, "mask", 1, lambda item, *_: item)
    if items is None:
        array = np.asarray(mask)
    else:
        array, own = stacked(items, 0)
        if own.shape != lengths.shape or (own != lengths).any():
            raise _other_lengths(own, lengths)
        array = array[:, :, None] if array.ndim == 2 else array
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
    return shapes[array.shape].astype(float)
