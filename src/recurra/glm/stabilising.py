"""Weaken a coupling that would run away, and let everything else adapt."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import CapabilityError, OptionError
from recurra.glm.design import read_mask
from recurra.glm.observations import has_dispersion
from recurra.glm.regularizers import ARD
from recurra.glm.stability import analyse_stability
from recurra.glm.streaming import fit_estimator_chunks

if TYPE_CHECKING:
    from recurra.glm.population import PopulationGLM

DEFAULT_BOUND = 0.99
ROUNDS = 20
COUPLING = "coupling"


def read_bound(stabilise: object) -> float | None:
    """Return the largest spectral radius that is wanted; `None` for any.

    Raises:
        OptionError: neither a truth value nor a number between 0 and 1.
    """
    if stabilise is True or stabilise is False:
        return DEFAULT_BOUND if stabilise else None
    if not isinstance(stabilise, int | float | np.number) or not 0 < float(stabilise) < 1:
        raise OptionError(f"stabilise: expected True, False or a bound between 0 and 1, got {stabilise!r}.")
    return float(stabilise)


def stabilise_fit(model: PopulationGLM, chunks: Iterable[Any], bound: float) -> None:
    """Weaken the coupling of a fit until the spectral radius of its linearisation is at most a bound.

    All filters are multiplied by the largest factor for which the linearisation is as stable as wanted, so that their
    shapes and their proportions stay. Intercepts and weights of inputs are then fitted again with the filters held, so
    that the rates are those of the data; as this changes the gains, factor and fit are repeated until both hold. The
    factor is kept as `stabilised_`, 1 where nothing had to be done.

    Arguments:
        model: fitted by `fit_spikes`.
        chunks: what it was fitted to.
        bound: the largest spectral radius.

    Raises:
        CapabilityError: no factor was found.
    """
    if isinstance(model._plan().regularizer, ARD):
        raise CapabilityError("stabilise: ARD finds its strengths anew in every fit; use Ridge.")
    before, total, spent = model.coef_[COUPLING].copy(), 1.0, model.dof_resid_
    for _ in range(ROUNDS):
        if model.stability().spectral_radius <= bound:
            model.stabilised_ = total
            return
        total *= _factor(model, bound)
        start = np.concatenate([model._flat()[0], model.intercept_[None]])[..., None]
        start[: len(before), :, 0] = total * before
        mask = read_mask(model.feature_mask, model.layout_, start.shape[1])
        mask = np.ones((len(start) - 1, start.shape[1]), bool) if mask is None else mask
        mask[: len(before)] = False
        with warnings.catch_warnings():
            # Which neurons are silent has been said.
            warnings.filterwarnings("ignore", ".*never changed", UserWarning)
            warnings.filterwarnings("ignore", ".*sums of multiples of each other", UserWarning)
            fit_estimator_chunks(model, chunks, start, mask)
        # The held coefficients were spent as well.
        if has_dispersion(model._observed()):
            model.scale_ = model.scale_ * np.maximum(model.dof_resid_, 1) / np.maximum(spent, 1)
        model.dof_resid_ = spent
    raise CapabilityError(
        f"stabilise: the spectral radius is {model.stability().spectral_radius:.4g} after {ROUNDS} rounds, above"
        f" {bound:g}; use a stronger regularizer, or a larger bound."
    )


def _factor(model: PopulationGLM, bound: float) -> float:
    """Return the largest factor of the coupling that keeps to the bound if the gains stay as they are."""
    coupling, link = model.coupling(), model._plan().family.link
    held = model.coupling_weights() @ model.null_rate_

    def radius(factor: float) -> float:
        # What the coupling adds less, the intercepts add more, which leaves the gains alone.
        offset = model.intercept_ + model.mean_offset() + (1 - factor) * held
        return analyse_stability(
            factor * coupling, model.coupling_basis_, offset, link, rates=model.null_rate_
        ).spectral_radius

    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) <= bound else (low, middle)
    return max(low, 1e-4)
