"""Generalised linear models of spikes, and their simulation as recurrent networks."""

from recurra.courtesy import guard
from recurra.glm import basis
from recurra.glm.archive import load
from recurra.glm.chunks import ChunkedData
from recurra.glm.classifier import ClassifierGLM, ClassifierPopulationGLM
from recurra.glm.convolve import create_convolutional_predictor
from recurra.glm.filters import difference_of_gammas, regress_filter
from recurra.glm.hmm import GLMHMM
from recurra.glm.identifiability import (
    apply_identifiability_constraints,
    apply_identifiability_constraints_by_basis_component,
)
from recurra.glm.inference import Evaluation, Posterior, bits_per_spike
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
from recurra.glm.population import GLM, PopulationGLM
from recurra.glm.regularizers import ARD, ElasticNet, GroupLasso, Lasso, Ridge, Smoothness, UnRegularized
from recurra.glm.rescaling import TimeRescaling, time_rescaling
from recurra.glm.selection import CrossValidation, Path, cross_validate, regularization_path
from recurra.glm.simulation import simulate_recurrent
from recurra.glm.stability import StabilityReport, analyse_stability

__all__ = [
    "ARD",
    "GLM",
    "GLMHMM",
    "Bernoulli",
    "Categorical",
    "ChunkedData",
    "ClassifierGLM",
    "ClassifierPopulationGLM",
    "CrossValidation",
    "ElasticNet",
    "Evaluation",
    "Gamma",
    "Gaussian",
    "GroupLasso",
    "Lasso",
    "NegativeBinomial",
    "ObservationModel",
    "Path",
    "Poisson",
    "PopulationGLM",
    "Posterior",
    "Ridge",
    "Smoothness",
    "StabilityReport",
    "TimeRescaling",
    "UnRegularized",
    "analyse_stability",
    "apply_identifiability_constraints",
    "apply_identifiability_constraints_by_basis_component",
    "basis",
    "bits_per_spike",
    "create_convolutional_predictor",
    "cross_validate",
    "difference_of_gammas",
    "find_inverse_link",
    "find_observation_model",
    "load",
    "regress_filter",
    "regularization_path",
    "simulate_recurrent",
    "time_rescaling",
]

guard(globals(), __all__)
