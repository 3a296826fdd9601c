"""Look into any model: where it rests, how it turns, how it spreads, and what its spikes and spectra say.

Functions on dynamics take anything that has a Program: a Network, a circuit, a rate network. Functions on
recordings take arrays with time first and the unit last.
"""

from recurra.analysis.components import Components, participation_ratio, principal_components
from recurra.analysis.continuation import Bifurcation, Branch, continuation
from recurra.analysis.cycles import LimitCycle, limit_cycle
from recurra.analysis.lyapunov import lyapunov_exponents
from recurra.analysis.planes import PhasePlane, phase_plane
from recurra.analysis.points import Points, fixed_points, jacobian
from recurra.analysis.spectra import Spectrum, coherence, power_spectrum
from recurra.analysis.spikes import (
    coefficient_of_variation,
    fano_factor,
    firing_rates,
    interspike_intervals,
    psth,
    spike_correlations,
)
from recurra.courtesy import guard

__all__ = [
    "Bifurcation",
    "Branch",
    "Components",
    "LimitCycle",
    "PhasePlane",
    "Points",
    "Spectrum",
    "coefficient_of_variation",
    "coherence",
    "continuation",
    "fano_factor",
    "firing_rates",
    "fixed_points",
    "interspike_intervals",
    "jacobian",
    "limit_cycle",
    "lyapunov_exponents",
    "participation_ratio",
    "phase_plane",
    "power_spectrum",
    "principal_components",
    "psth",
    "spike_correlations",
]

guard(globals(), __all__)
