"""Draw a trial: inputs and outputs in lanes over time, rings as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError
from recurra.rate.tasks.trials import Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUT, TARGET, ANSWER = "#0072B2", "#000000", "#D55E00"
CROWD = 8  # so many channels of one kind are drawn as a picture
GAP = 0.25


def plot_trial(trials: Trials, trial: int = 0, outputs: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw one trial; see `Task.plot`.

    Arguments:
        trials: the trials.
        trial: which one.
        outputs: `(batch, time, outputs)`, what a network gave for all of them.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes: inputs above, outputs below. Each lane goes from the lowest to the highest value in it, zero included;
        targets are faint where the mask leaves them out.

    Raises:
        OptionError: there is no such trial.
        ShapeError: the outputs do not fit the trials.
    """
    if not isinstance(trial, int | np.integer) or not -len(trials) <= trial < len(trials):
        raise OptionError(f"plot: trial must be a whole number below {len(trials)}, got {trial!r}.")
    answers = None if outputs is None else trials.check_outputs(outputs)[trial]
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7.0, 4.5), layout="constrained")[1]
    length = int(trials.lengths[trial])
    ticks: list[tuple[float, str]] = []
    top = 0.0
    for label, columns in _groups(trials.channels):
        top -= _lane(ax, trials.inputs[trial, :length, columns], trials.dt, top, INPUT)
        ticks.append((top + GAP, label))
    ax.axhline(top + GAP / 2, color="0.6", linewidth=0.8)
    for label, columns in _groups(trials.outputs):
        goal = trials.targets[trial, :length, columns]
        counts = trials.mask[trial, :length, columns] > 0
        answer = None if answers is None else answers[:length, columns]
        top -= _lane(ax, goal.T if goal.ndim == 1 else goal, trials.dt, top, TARGET, counts, answer)
        ticks.append((top + GAP, label))
    ax.set_yticks([y + 0.5 for y, _ in ticks], [label for _, label in ticks])
    ax.set(xlim=(0, length * trials.dt), ylim=(top, GAP), xlabel="time (ms)")
    for start, _ in (steps[trial] for steps in trials.periods.values()):
        if 0 < start < length:
            ax.axvline(start * trials.dt, color="0.85", linewidth=0.8, zorder=0)
    return ax


def _groups(names: tuple[str, ...]) -> list[tuple[str, list[int]]]:
    """Return lanes: label and channels; crowds whose names differ in the last word only share one."""
    kinds: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        kinds.setdefault(name.rpartition(" at ")[0] or name.rpartition(" ")[0] or name, []).append(position)
    found = []
    for kind, columns in kinds.items():
        if len(columns) >= CROWD:
            found.append((kind, columns))
        else:
            found += [(names[column], [column]) for column in columns]
    return found


def _lane(
    ax: Axes,
    values: np.ndarray,
    dt: float,
    top: float,
    colour: str,
    counts: np.ndarray | None = None,
    answer: np.ndarray | None = None,
) -> float:
    """Draw one lane below `top` and return its height, gap included."""
    base = top - 1.0
    extent = (0.0, len(values) * dt, base, top)
    if values.shape[1] > 1:
        shown = values if answer is None else answer
        high = float(np.max(np.abs(shown))) or 1.0
        ax.imshow(shown.T, aspect="auto", origin="lower", extent=extent, cmap="Greys", vmin=0, vmax=high)
        return 1.0 + GAP
    lines = [values] if answer is None else [values, answer]
    low = min(0.0, *(float(line.min()) for line in lines))
    high = max(*(float(line.max()) for line in lines), low + 1e-9, 0.0)
    scale = 1.0 / max(high - low, 1e-9)
    time = np.arange(len(values)) * dt
    heights = base + (values[:, 0] - low) * scale
    ax.plot(time, heights, color=colour, linewidth=1.2, alpha=1.0 if counts is None else 0.25)
    if counts is not None:
        ax.plot(time, np.where(counts[:, 0], heights, np.nan), color=colour, linewidth=1.4)
    if answer is not None:
        ax.plot(np.arange(len(answer)) * dt, base + (answer[:, 0] - low) * scale, color=ANSWER, linewidth=1.2)
    return 1.0 + GAP
