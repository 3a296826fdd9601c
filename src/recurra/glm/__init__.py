"""Generalised linear models of spikes, and their simulation as recurrent networks."""

from recurra.glm import basis
from recurra.glm.convolve import create_convolutional_predictor
from recurra.glm.links import find_inverse_link
from recurra.glm.observations import (
    Bernoulli,
    Categorical,
    Gamma,
    Gaussian,
    NegativeBinomial,
    ObservationModel,
    Poisson,
    find_observation_model,
)

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gamma",
    "Gaussian",
    "NegativeBinomial",
    "ObservationModel",
    "Poisson",
    "basis",
    "create_convolutional_predictor",
    "find_inverse_link",
    "find_observation_model",
]
