"""Time rescaling: do spikes come when a model says they do (Brown et al. 2002), in discrete time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import ShapeError
from recurra.glm.observations import ObservationModel, Poisson

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class TimeRescaling:
    """Hold the outcome of a test by time rescaling.

    Arguments:
        intervals: the rescaled intervals in the order of time, uniform between 0 and 1 if the model is right.
        statistic: largest distance of their distribution from the uniform one (Kolmogorov & Smirnov).
        p_value: probability of so large a distance if the model is right.
        correlation: of an interval with the next one, after a transformation to normal numbers; near 0 if it is right.

    >>> rng = np.random.default_rng(0)
    >>> spikes = rng.poisson(np.full(20_000, 0.2))
    >>> right, wrong = time_rescaling(spikes, np.full(20_000, 0.2)), time_rescaling(spikes, np.full(20_000, 0.1))
    >>> bool(right.statistic < right.bound < wrong.statistic)
    True
    """

    intervals: np.ndarray
    statistic: float
    p_value: float
    correlation: float

    __repr__ = brief

    @property
    def bound(self) -> float:
        """The distance that a right model exceeds in 5 of 100 cases, for many intervals."""
        return 1.358 / np.sqrt(len(self.intervals))

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw the distribution of the intervals against the uniform one, with the 95% band.

        Arguments:
            ax: the axes to draw on; `None` makes a figure.

        Returns:
            The axes.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")[1]
        ordered = np.sort(self.intervals)
        expected = (np.arange(len(ordered)) + 0.5) / len(ordered)
        line = np.array([0.0, 1.0])
        ax.fill_between(line, line - self.bound, line + self.bound, color="#DDDDDD", label="95% band")
        ax.plot(line, line, color="#666666", linewidth=1)
        ax.plot(expected, ordered, color="#0072B2", label="rescaled intervals")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="uniform quantile", ylabel="quantile of the intervals")
        ax.legend(frameon=False, loc="upper left")
        return ax


def time_rescaling(
    y: ArrayLike,
    rate: ArrayLike,
    observation: ObservationModel | None = None,
    scale: float = 1.0,
    seed: int = 0,
    starts: ArrayLike | None = None,
) -> TimeRescaling:
    """Rescale the intervals between spikes by the model's rates, with the correction for bins of finite length.

    A bin without a spike has the probability exp(-q) under the model. From one bin with spikes to the next the q of the
    bins between them add up, and the last bin adds a random part: -log(1 - u (1 - exp(-q))), u uniform. Without this
    correction intervals look too long wherever bins are not short against them. Several spikes of a bin count as one.

    Source: Haslinger, Pipa & Brown (2010), Neural Computation 22, 2477-2506.

    Arguments:
        y: counts of consecutive bins, `(time,)`; NaN for missing ones.
        rate: the model's mean count of each bin, `(time,)`.
        observation: how counts are distributed; Poisson if `None`.
        scale: dispersion of the observation model.
        seed: of u.
        starts: `(time,)` of truth values, where a new epoch begins, which no interval reaches into; `None` for bin 0.

    Returns:
        The rescaled intervals and their comparison with the uniform distribution.

    Raises:
        ShapeError: shapes differ, or there are fewer than two spikes.

    >>> rng = np.random.default_rng(0)
    >>> rate = 0.2 + 0.2 * np.sin(np.arange(20_000) / 50) ** 2
    >>> time_rescaling(rng.poisson(rate), rate).p_value > 0.05
    True
    """
    counts, rates = np.asarray(y, float), np.asarray(rate, float)
    if counts.ndim != 1 or counts.shape != rates.shape:
        raise ShapeError(f"time rescaling: y has shape {counts.shape} and rate {rates.shape}; expected (time,) twice.")
    from scipy.special import ndtri
    from scipy.stats import kstest

    missing = np.isnan(counts) | np.isnan(rates)
    with jax.enable_x64(True):
        safe = jnp.asarray(np.where(missing, 1.0, rates))
        silence = (observation or Poisson()).log_likelihood(jnp.zeros_like(safe), safe, scale)
        hazard = np.where(missing, np.nan, -np.asarray(silence))
    spikes = np.flatnonzero(counts > 0)
    # A missing bin makes NaN of the interval that holds it, and of that one only.
    blanks = np.concatenate([[0], np.cumsum(missing)])
    total = np.concatenate([[0.0], np.cumsum(np.where(missing, 0, hazard))])
    first, last = spikes[:-1], spikes[1:]
    whole = blanks[last + 1] == blanks[first]
    if starts is not None:
        epoch = np.cumsum(np.asarray(starts, bool))
        if epoch.shape != counts.shape:
            raise ShapeError(f"time rescaling: starts has shape {epoch.shape}, expected {counts.shape}.")
        whole &= epoch[first] == epoch[last]
    first, last = first[whole], last[whole]
    if len(first) < 1:
        raise ShapeError(
            "time rescaling: it needs at least two bins with spikes, of one epoch and without a"
            " missing bin between them."
        )
    u = np.random.default_rng(seed).random(len(last))
    part = -np.log1p(u * np.expm1(-hazard[last]))
    intervals = -np.expm1(-(total[last] - total[first + 1] + part))
    statistic, p_value = kstest(intervals, "uniform")[:2]
    normal = ndtri(np.clip(intervals, 1e-12, 1 - 1e-12))
    correlation = float(np.corrcoef(normal[:-1], normal[1:])[0, 1]) if len(normal) > 2 else float("nan")
    return TimeRescaling(intervals, float(statistic), float(p_value), correlation)
