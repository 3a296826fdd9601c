"""Go on after an earlier training, with its optimiser, and with its compiled step where nothing else has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from recurra.engine.identity import identify
from recurra.errors import CapabilityError, OptionError
from recurra.training.fitting import Fit, Standing
from recurra.training.history import History, Training
from recurra.training.objective import Objective


@dataclass(frozen=True, eq=False)
class MadeOf:
    """Hold what a compiled update depends on.

    Arguments:
        objective: the loss as a function of free numbers.
        options: name -> what was chosen: loss, optimiser, penalties, constraints.
    """

    objective: Objective
    options: Mapping[str, Any]

    def serves(self, other: MadeOf) -> bool:
        """Say whether an update that was compiled for this does for another, whose free numbers go on from it."""
        mine, theirs = self.objective, other.objective
        if any(getattr(mine, name) != getattr(theirs, name) for name in ("dt", "solver", "precision", "output")):
            return False
        if mine.state is not theirs.state or mine.history is not theirs.history:
            return False
        first, second = mine.parameters, theirs.parameters
        if first.program.system != second.program.system or not _same(self.options, other.options):
            return False
        trained = set(first.origin)
        before, now = first.program.update(_zeros(first.origin)), second.program.update(_zeros(second.origin))
        return trained == set(second.origin) and _equal(before.params, now.params) and _equal(before.state, now.state)


def _zeros(origin: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return other numbers for all that is trained, so that only the rest is compared."""
    return {path: np.ones_like(value) for path, value in origin.items()}


def _equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if all(first[key] is second[key] for key in first):
        return True
    try:
        return identify(first) == identify(second)
    except CapabilityError:
        return False  # nobody can tell, so the step is compiled again


def go_on(fit: Fit, after: Training | None, made_of: MadeOf) -> None:
    """Let a fresh training begin where an earlier one ended.

    Raises:
        OptionError: it trained something else, or with another kind of optimiser.
    """
    fit.made_of = made_of
    if after is None:
        return
    standing = getattr(after, "standing", None)
    if not isinstance(standing, Standing) or not isinstance(standing.made_of, MadeOf):
        raise OptionError(f"after: expected what fit_bptt returned, got {type(after).__name__}.")
    before, now = standing.made_of.objective.parameters, made_of.objective.parameters
    if {p: v.shape for p, v in before.origin.items()} != {p: v.shape for p, v in now.origin.items()}:
        raise OptionError(f"after: that one trained {', '.join(before.origin)}; this one {', '.join(now.origin)}.")
    if not _same({"train": standing.made_of.options["train"]}, {"train": made_of.options["train"]}):
        raise OptionError("after: that training had other constraints; begin a new one.")
    shapes = [jax.tree.map(lambda leaf: (np.shape(leaf), np.asarray(leaf).dtype), each)
              for each in (standing.momenta, fit.momenta)]  # fmt: skip
    if jax.tree.structure(standing.momenta) != jax.tree.structure(fit.momenta) or shapes[0] != shapes[1]:
        raise OptionError("after: that training had another optimizer or precision; begin a new one.")
    untouched = all(np.array_equal(after.params[path], value) for path, value in now.origin.items())
    if untouched:
        fit.free = fit.good = fit.best = standing.free
        if standing.made_of.serves(made_of):
            fit.compiled, fit.made_of = standing.compiled, standing.made_of
    fit.momenta, fit.updates = standing.momenta, standing.updates
    fit.epoch = fit.first = standing.epoch
    columns = {name: list(column) for name, column in standing.history.columns.items()}
    fit.history = History(columns, list(standing.history.losses))
    if fit.settings.epochs is not None:
        fit.settings = replace(fit.settings, epochs=fit.settings.epochs + standing.epoch)
