"""How well a network does a task: the same for rate networks and spiking ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import guard
from recurra.errors import OptionError, PathError, ShapeError, unknown
from recurra.rate.model import LOSSES, FR_RNN_dale, trial_loss
from recurra.rate.running import respond
from recurra.rate.streams import seed_for
from recurra.rate.tasks import AbstractTask, Task, Trials
from recurra.rate.tasks.base import as_task, check_output, full_length, mean_at, response_window

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Assessment:
    """Hold how a network did.

    Arguments:
        task: the task.
        trials: what it was given.
        outputs: what it gave, `(trials, T - 1, outputs)`.
        right: which trials were answered rightly, `(trials,)`.
        losses: loss of each trial, `(trials,)`.
        loss_fn: `"l1"` or `"l2"`.

    >>> from recurra.rate.tasks import GoNoGo
    >>> task = GoNoGo()
    >>> trials = task.trials(4, conditions={"go": [0, 0, 0, 1]})
    >>> silence = np.zeros((4, task.steps - 1, 1))
    >>> found = Assessment(task, trials, silence, task.accuracy(silence, trials), np.zeros(4), "l1")
    >>> found.accuracy, found.by("go")["accuracy"].to_dict()
    (0.75, {0.0: 1.0, 1.0: 0.0})
    """

    task: Task
    trials: Trials
    outputs: np.ndarray
    right: np.ndarray
    losses: np.ndarray
    loss_fn: str

    @property
    def accuracy(self) -> float:
        """Part of the trials that were answered rightly."""
        return float(np.mean(self.right))

    @property
    def loss(self) -> float:
        """Mean loss of a trial."""
        return float(np.mean(self.losses))

    def by(self, *conditions: str) -> pandas.DataFrame:
        """Return accuracy, loss and number of trials for each value of one or more conditions.

        Arguments:
            conditions: names; all that the trials have, if none is given.

        Raises:
            PathError: there is no such condition.
        """
        import pandas

        known = self.trials.conditions
        names = list(conditions) or list(known)
        for name in names:
            if name not in known:
                raise PathError(unknown("condition", name, known))
        if not names:
            return pandas.DataFrame({"accuracy": [self.accuracy], "loss": [self.loss], "trials": [len(self.right)]})
        table = pandas.DataFrame({name: known[name] for name in names})
        table["accuracy"], table["loss"], table["trials"] = self.right.astype(float), self.losses, 1
        return table.groupby(names).agg({"accuracy": "mean", "loss": "mean", "trials": "sum"})

    def psychometric(
        self,
        condition: str,
        *,
        output: int = 0,
        threshold: float | None = None,
        bins: int | ArrayLike | None = None,
    ) -> pandas.DataFrame:
        """Return how often the answer was yes.

        The answer is read in the period in which it is due (`response`, `decision`, or else the last). Where there are
        several outputs, yes means that `output` was chosen, with one output that it was on the upper side; a task may
        say otherwise in its `answers`. Trials without an answer do not count.

        Arguments:
            condition: along which; its values are put into bins if there are more than 12.
            output: which output is yes.
            threshold: if given, yes means that the mean of `output` in that period is above it, whatever the others.
            bins: number of bins of equal width, or their edges.

        Returns:
            A row for each value or bin: part of yes, its standard error, number of trials with an answer, and of those
            without.

        Raises:
            PathError: there is no such condition.
            OptionError: there is no such output.
        """
        import pandas

        known = self.trials.conditions
        if condition not in known:
            raise PathError(unknown("condition", condition, known))
        places, yes = np.asarray(known[condition], float), self._yes(output, threshold)
        kept = np.isfinite(places)  # nan: a condition that the task of this trial does not have
        places, yes = places[kept], yes[kept]
        if bins is not None or len(np.unique(places)) > 12:
            edges = np.histogram_bin_edges(places, 10 if bins is None else bins)  # type: ignore[arg-type]
            inside = (places >= edges[0]) & (places <= edges[-1])
            which = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
            yes, places = yes[inside], ((edges[1:] + edges[:-1]) / 2)[which][inside]
        levels, member = np.unique(places, return_inverse=True)
        answered = np.isfinite(yes)
        trials = np.bincount(member, answered, len(levels)).astype(int)
        with np.errstate(invalid="ignore"):
            part = np.bincount(member, np.where(answered, yes, 0.0), len(levels)) / trials
            error = np.sqrt(part * (1 - part) / trials)
        columns = {"yes": part, "error": error, "trials": trials, "silent": np.bincount(member) - trials}
        return pandas.DataFrame(columns, index=pandas.Index(levels, name=condition))

    def _yes(self, output: int, threshold: float | None) -> np.ndarray:
        """Return 1 for yes, 0 for no, nan for no answer, `(trials,)`."""
        outputs = full_length(self.outputs, self.trials)
        if threshold is None:
            return self.task.answers(outputs, self.trials, output)
        check_output(output, self.trials.outputs)
        means = mean_at(self.trials, outputs, response_window(self.trials))
        return (means[:, output] > threshold).astype(float)

    def plot(self, by: str | None = None, output: int = 0, ax: Axes | None = None) -> Axes:
        """Draw the output over time in every trial, coloured by a condition; wrong answers are dashed.

        Arguments:
            by: name of a condition; the first one if `None`.
            output: which output.
            ax: the axes to draw on; `None` makes a figure.
        """
        from recurra.rate.pictures import plot_outputs

        return plot_outputs(self, by, output, ax)

    def __repr__(self) -> str:
        return f"Assessment({self.task}: {self.accuracy:.3f} of {len(self.right)} trials right, loss {self.loss:.3g})"


def evaluate(
    net: Any,
    task: Task | AbstractTask,
    trials: int | Trials = 100,
    *,
    seed: int = 0,
    conditions: Mapping[str, ArrayLike] | None = None,
    loss_fn: str = "l2",
    **options: Any,
) -> Assessment:
    """Let a network do a task.

    Arguments:
        net: a :class:`FR_RNN_dale`, or a :class:`recurra.spiking.SpikingNetwork`.
        task: the task.
        trials: how many, or the trials themselves.
        seed: of the trials and of the noise; none of them are those of a training, whatever its seed.
        conditions: as for `task.trials`.
        loss_fn: `"l1"` or `"l2"`, see :func:`loss_op`.
        options: of the run, see :func:`recurra.rate.running.respond` and `SpikingNetwork.respond`.

    Returns:
        Answers, accuracy and losses.

    Raises:
        OptionError: this is no network, or a name is unknown.
        ShapeError: the task has other inputs or outputs than the network.

    >>> from recurra.rate.tasks import GoNoGo
    >>> net = FR_RNN_dale(10, 0.2, 0.5, np.ones((10, 1)), 0, "gaus", 1.5, True, np.zeros((1, 10)))
    >>> evaluate(net, GoNoGo(), 4, conditions={"go": [0, 0, 0, 1]}).accuracy
    0.75
    """
    task = as_task(task, "evaluate")
    kind = loss_fn.lower() if isinstance(loss_fn, str) else loss_fn
    if kind not in LOSSES:
        raise OptionError(unknown("loss_fn", loss_fn, LOSSES))
    address = seed_for("evaluation", seed)
    if isinstance(trials, Trials):
        check_trials(task, trials, conditions)
    given = trials if isinstance(trials, Trials) else task.trials(trials, address, conditions=conditions)
    if isinstance(net, FR_RNN_dale):
        outputs = respond(net, given, seed=address, **options)["o"]
        right = task.accuracy(outputs, given)
    elif hasattr(net, "respond"):
        outputs = net.respond(given, seed=address, **options)
        right = net.judge(task, outputs, given)
    else:
        raise OptionError(f"evaluate: expected a rate or spiking network, got {type(net).__name__}.")
    losses = trial_losses(outputs, given, kind)
    return Assessment(task, given, outputs, right, losses, kind)


def check_trials(task: Task, trials: Trials, conditions: object) -> None:
    """Refuse trials of another task, and conditions for trials that are there already."""
    if conditions is not None:
        raise OptionError("evaluate: conditions are for trials that are made here; these are given. Leave one out.")
    for what in ("channels", "outputs", "dt"):
        mine, theirs = getattr(task, what), getattr(trials, what)
        if mine != theirs:
            raise ShapeError(f"evaluate: the trials have {what} {theirs}, the task {mine}; they are of another task.")


def trial_losses(outputs: np.ndarray, trials: Trials, kind: str) -> np.ndarray:
    """Return the loss of each trial, the mask taken into account: `(trials,)`."""
    rows = outputs.shape[1]
    errors = (outputs - trials.targets[:, :rows]) * weight_of(trials.mask[:, :rows], kind)
    return np.array([trial_loss(error, kind, np) for error in errors])


def weight_of(mask: Any, kind: str) -> Any:
    """Return what errors are multiplied by, so that a mask weighs their sum or the sum of their squares."""
    return mask if kind == "l1" else mask**0.5


guard(globals(), ["evaluate"])
