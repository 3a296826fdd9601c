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
from recurra.glm.simulation import simulate_recurrent
from recurra.glm.stability import StabilityReport, analyse_stability

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gamma",
    "Gaussian",
    "NegativeBinomial",
    "ObservationModel",
    "Poisson",
    "StabilityReport",
    "analyse_stability",
    "basis",
    "create_convolutional_predictor",
    "find_inverse_link",
    "find_observation_model",
    "simulate_recurrent",
]
