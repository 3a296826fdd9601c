"""From rows and a penalty to coefficients: padding, silent neurons, masks, blocks of columns, precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from recurra.errors import OptionError
from recurra.glm.design import Rows
from recurra.glm.frame import find_frame
from recurra.glm.links import INVERSE_LINKS, InverseLink
from recurra.glm.objective import Data, Family
from recurra.glm.observations import Gaussian
from recurra.glm.penalty import Penalty
from recurra.glm.solvers import Settings, Solution, solve

# Numbers of a `(time, columns)` array that are worked on at once.
BLOCK = 2**25


def fit_columns(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    penalty: Penalty,
    start: np.ndarray,
    settings: Settings,
    mask: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> Solution:
    """Fit every column of `y` to the same features.

    Arguments:
        family: the family.
        x: `(time, features)`.
        y: `(time, columns)`.
        weight: `(time,)` or `(time, columns)`, zero or above; only ratios count.
        penalty: the penalty.
        start: `(features + 1, columns, outputs)`.
        settings: the solver.
        mask: `(features, columns)`, false where a coefficient is held at 0; such features cost nothing.
        offset: added to the linear predictor, `(time, columns or 1, outputs)`; `None` for nothing.

    Returns:
        What was found, in float64.
    """
    frame = find_frame(x, weight, family.intercept, penalty.group is None)
    if frame is None:
        return _fit_columns(family, x, y, weight, penalty, start, settings, mask, offset)
    inside = frame.penalty_inside(penalty), frame.coefficients_inside(start)
    found = _fit_columns(family, frame.moved(x), y, weight, *inside, settings, mask, offset)
    return replace(found, coef=frame.coefficients_outside(found.coef))


def _fit_columns(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    penalty: Penalty,
    start: np.ndarray,
    settings: Settings,
    mask: np.ndarray | None,
    offset: np.ndarray | None,
) -> Solution:
    columns = y.shape[1]
    x, y, weight = padded(x, y, weight.reshape(len(weight), -1))
    if offset is not None:
        offset = np.pad(offset, ((0, len(x) - len(offset)), (0, 0), (0, 0)))
    weight = weight / weight.sum(axis=0)
    parts: list[tuple[np.ndarray, Solution]] = []
    for features, chosen in groups(mask, x.shape[1], columns):
        size = _wide(len(features)) if mask is None else min(_wide(x.shape[1]), _masked(len(features)))
        narrow = _fill(x if features.size == x.shape[1] else x[:, features], size)
        for at in range(0, len(chosen), most := max(1, BLOCK // len(x))):
            some = chosen[at : at + most]
            first = np.zeros((narrow.shape[1] + 1, len(some), start.shape[2]))
            first[: len(features)] = start[np.ix_(features, some)]
            first[-1] = start[-1, some]
            part = penalty.take(features, some, narrow.shape[1])
            shared = weight if weight.shape[1] == 1 else weight[:, some]
            added = offset if offset is None or offset.shape[1] == 1 else offset[:, some]
            with jax.enable_x64(settings.precision == "float64"):
                # The rows stay on the device; what is small is quicker handed over by each call.
                held = [np.asarray(a, settings.precision) for a in (narrow, y[:, some], shared)]
                data = Data(*jax.device_put(held))
                if added is not None:
                    data = replace(data, offset=jnp.asarray(added, settings.precision))
                made = np.asarray(first, settings.precision)
                found = solve(family, data, part.cast(settings.precision), made, settings)
            whole = np.zeros((x.shape[1] + 1, len(some), start.shape[2]))
            whole[features], whole[-1] = found.coef[: len(features)], found.coef[-1]
            parts.append((some, replace(found, coef=whole)))
    return _together(parts)


def _together(parts: list[tuple[np.ndarray, Solution]]) -> Solution:
    order = np.argsort(np.concatenate([chosen for chosen, _ in parts]))
    made = [s for _, s in parts]
    return Solution(
        np.concatenate([s.coef for s in made], axis=1)[:, order],
        *(np.concatenate([getattr(s, n) for s in made])[order] for n in ("value", "residual", "steps", "converged")),
        solver=made[0].solver,
    )


def groups(mask: np.ndarray | None, features: int, columns: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the sets of columns that use the same features, as numbers of features and of columns.

    >>> groups(np.array([[True, True, False], [True, True, True]]), 2, 3)
    [(array([1]), array([2])), (array([0, 1]), array([0, 1]))]
    """
    if mask is None:
        return [(np.arange(features), np.arange(columns))]
    kinds, member = np.unique(mask.T, axis=0, return_inverse=True)
    return [(np.flatnonzero(kind), np.flatnonzero(member.ravel() == i)) for i, kind in enumerate(kinds)]


def _round_up(count: int) -> int:
    """Return a size a little above a count, one of few, so that arrays of nearly equal sizes share compiled code.

    >>> [_round_up(count) for count in (1, 90, 800, 50_000)]
    [64, 128, 896, 50176]
    """
    if count <= 512:  # compiling takes far longer than what is added
        return max(64, 1 << (count - 1).bit_length())
    step = 128 if count <= 2048 else 2 ** (count.bit_length() - 6)
    return -(-count // step) * step


def _masked(count: int) -> int:
    """Return one of few numbers of features, so that neurons with masks of their own share compiled code."""
    step = max(4, 2 ** (count.bit_length() - 3))
    return max(step, -(-count // step) * step)


def _wide(count: int) -> int:
    """Return a number of features to fill up to; only few are added."""
    return max(4, 1 << (count - 1).bit_length()) if count <= 16 else count


def _fill(x: np.ndarray, size: int) -> np.ndarray:
    return x if x.shape[1] == size else np.pad(x, ((0, 0), (0, size - x.shape[1])))


def padded(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add rows of weight 0 up to one of few lengths, so that folds of nearly equal lengths share compiled code."""
    extra = _round_up(len(x)) - len(x)
    if extra == 0:
        return x, y, weight
    more = ((0, extra), (0, 0))
    return np.pad(x, more), np.pad(y, more, constant_values=1), np.pad(weight, more)


def intercept_of(link: InverseLink, mean: np.ndarray) -> np.ndarray:
    """Return the predictor at which an inverse link gives a mean; infinite or NaN where there is none."""
    known = {v: k for k, v in INVERSE_LINKS.items()}.get(link)
    with np.errstate(all="ignore"):
        if known == "exp":
            return np.log(mean)
        if known == "softplus":
            return mean + np.log(-np.expm1(-mean))
        if known == "logistic":
            return np.log(mean) - np.log1p(-mean)
        if known == "identity":
            return mean
        if known == "one_over_x":
            return 1 / mean
    with jax.enable_x64(True):
        low, high = np.full(mean.shape, -50.0), np.full(mean.shape, 50.0)
        ends = [np.asarray(link(jnp.asarray(end))) for end in (low, high)]
        rising = ends[1] > ends[0]
        for _ in range(80):
            middle = (low + high) / 2
            above = (np.asarray(link(jnp.asarray(middle))) > mean) == rising
            low, high = np.where(above, low, middle), np.where(above, middle, high)
    inside = (mean > np.minimum(*ends)) & (mean < np.maximum(*ends))
    return np.where(inside, low, np.nan)


@dataclass(frozen=True)
class Start:
    """Hold intercepts of models without features, and which neurons are silent.

    Arguments:
        intercept: `(columns,)`.
        silent: `(columns,)`, true where no finite intercept fits, as for a neuron without a spike.
    """

    intercept: np.ndarray
    silent: np.ndarray


def first_guess(family: Family, rows: Rows, penalty: Penalty) -> tuple[np.ndarray, np.ndarray]:
    """Return where a fit begins, `(features + 1, columns, 1)`, and which neurons are silent, `(columns,)`.

    Without an intercept no neuron counts as silent: how it is best explained depends on its features.
    """
    start = np.zeros((rows.x.shape[1] + 1, rows.y.shape[1], 1))
    if family.intercept:
        null = null_model(family, rows)
        start[-1, :, 0] = null.intercept
        return start, null.silent
    with jax.enable_x64(True):
        rate = float(family.link(jnp.zeros(())))
    if not 0 < rate < np.inf and not isinstance(family.observation, Gaussian):
        # Predictors of 0 are not allowed: begin near those that give the mean.
        wanted = np.broadcast_to(intercept_of(family.link, rows.mean), rows.y.shape)
        root = np.sqrt(rows.weight)[:, None]
        start[:-1, :, 0] = np.linalg.lstsq(rows.x * root, wanted * root, rcond=None)[0]
    return start, np.zeros(rows.y.shape[1], bool)


def null_model(family: Family, rows: Rows) -> Start:
    """Return the intercepts of models without features; see :func:`null_of_mean`."""
    null = null_of_mean(family, rows.mean, rows.count)
    if rows.offset is None:
        return null
    y = np.where(null.silent, (rows.mean * rows.count + 0.5) / (rows.count + 1), rows.y)
    middle = np.tensordot(rows.weight / rows.count, rows.offset[..., 0], 1)
    start = (null.intercept - middle).reshape(1, -1, 1)
    family, settings = replace(family, intercept=True), Settings(None, 1e-10, None, "float64")
    found = fit_columns(family, rows.x[:, :0], y, rows.weight, Penalty(), start, settings, None, rows.offset)
    return Start(found.coef[0, :, 0], null.silent)


def null_of_mean(family: Family, mean: np.ndarray, count: float) -> Start:
    """Return the intercepts that give the means of `y`.

    The maximum-likelihood rate of a neuron without a spike is 0, with an intercept of minus infinity. It gets the rate
    (0 + 1/2) / (bins + 1) instead (Krichevsky & Trofimov 1981), and one that fires in every Bernoulli bin the same
    from the other side.

    Raises:
        OptionError: the link does not reach the mean.
    """
    found = intercept_of(family.link, mean)
    silent = ~np.isfinite(found)
    if silent.any():
        shrunk = (mean * count + 0.5) / (count + 1)
        found = np.where(silent, intercept_of(family.link, shrunk), found)
        if not np.all(np.isfinite(found)) or np.any(silent & ~((mean == 0) | (mean == 1))):
            bad = int(np.flatnonzero(silent)[0])
            raise OptionError(
                f"inverse_link_function: it cannot reach {mean[bad]:.6g}, the mean of y (neuron {bad}); choose another"
                " link or observation model, or give init_params."
            )
    return Start(found, silent)
