"""Training of any Program: by gradients through time, by least squares, online, and by e-prop.

This package stands above the engine and below the front-ends; it imports the engine, the equations and the errors only.
"""

from recurra.courtesy import guard
from recurra.training.bptt import fit_bptt
from recurra.training.composition import Compose
from recurra.training.constraints import Bounds, Constraint, Dale, Fixed, LowRank, Mask, Shared
from recurra.training.eprop import fit_eprop
from recurra.training.evaluation import Evaluation, evaluate
from recurra.training.fitting import Epoch
from recurra.training.history import History, Training
from recurra.training.losses import LOSSES, METRICS
from recurra.training.optimizers import OPTIMIZERS
from recurra.training.readout import Readout, fit_ridge, ridge
from recurra.training.rls import OnlineReadout, fit_rls, rls

__all__ = [
    "LOSSES",
    "METRICS",
    "OPTIMIZERS",
    "Bounds",
    "Compose",
    "Constraint",
    "Dale",
    "Epoch",
    "Evaluation",
    "Fixed",
    "History",
    "LowRank",
    "Mask",
    "OnlineReadout",
    "Readout",
    "Shared",
    "Training",
    "evaluate",
    "fit_bptt",
    "fit_eprop",
    "fit_ridge",
    "fit_rls",
    "ridge",
    "rls",
]

guard(globals(), __all__)
