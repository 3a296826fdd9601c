"""The numbers of many runs at once: parameter sets side by side, and trials with noise of their own."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine.checks import as_mapping, as_numbers
from recurra.engine.program import Program
from recurra.engine.randomness import fold_in, seed_key
from recurra.errors import OptionError, ShapeError


def check_trials(trials: object) -> int | None:
    """Return a number of trials.

    Raises:
        OptionError: it is neither `None` nor a whole number of at least 1.
    """
    if trials is None:
        return None
    if isinstance(trials, bool) or not isinstance(trials, int | np.integer) or trials < 1:
        raise OptionError(f"trials: expected a whole number of at least 1, got {trials!r}.")
    return int(trials)


def trial_seeds(seed: int | Array, trials: int, sets: int = 1) -> Array:
    """Return a key for every trial, the same for every parameter set: that of `jax.random.fold_in(key(seed), trial)`.

    Arguments:
        seed: seed of all.
        trials: how many.
        sets: how many parameter sets, each of which has all the trials.

    Returns:
        `(sets * trials,)`.

    >>> first = trial_seeds(3, 2)[0]
    >>> bool(first == jax.random.fold_in(jax.random.key(3), 0))
    True
    """
    key = seed_key(seed)
    return jnp.tile(jax.vmap(lambda trial: fold_in(key, trial))(jnp.arange(trials, dtype=jnp.uint32)), sets)


def check_finite(program: Program, numbers: Mapping[str, np.ndarray]) -> None:
    """NaN among the numbers would only show up as a divergence, far from where it came from."""
    for key, value in numbers.items():
        if key not in program.system.rule_keys and np.isnan(value).any():
            unit = np.argwhere(np.isnan(value))[0]
            raise ShapeError(f"{program.layout.describe(key, int(unit[0]))}: the value is NaN; give it a number.")


def batch_numbers(program: Program, batch: Mapping[str, object] | None) -> dict[str, np.ndarray]:
    """Lay out parameters (and initial states) with a leading axis of runs."""
    rows = {path: as_numbers(value, f"batch: {path}") for path, value in as_mapping(batch, "batch").items()}
    if not rows:
        return {}
    sizes = {path: len(value) if value.ndim else 0 for path, value in rows.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ShapeError(f"batch: every path needs the same number of runs as its first axis, got {sizes}.")
    count = next(iter(sizes.values()))
    found: dict[str, np.ndarray] = {}
    for path, value in rows.items():
        for target, _ in program.split(path, value[0]):
            own = program.state if target.kind == "state" else program.params
            if target.key not in found:
                found[target.key] = np.repeat(own[target.key][None], count, axis=0)
            if value.ndim == 1:  # without a Python loop over what may be thousands of runs
                at = target.index if isinstance(target.index, tuple) else (target.index,)
                wide = found[target.key][(slice(None), *at)].ndim - 1
                found[target.key][(slice(None), *at)] = value.reshape(count, *(1,) * wide)
        if value.ndim > 1:
            for run, one in enumerate(value):
                for target, part in program.split(path, one):
                    found[target.key][run, ...][target.index] = part
    check_finite(program, {k: v.reshape(-1, *v.shape[2:]) for k, v in found.items()})
    return found
