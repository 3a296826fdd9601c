"""Ready behaviors: models of neurons, sources, synapses, rules of learning, homeostasis.

They are written as users write theirs; what they agree on is in :mod:`recurra.behaviors.conventions`.
"""

from recurra.behaviors.conductances import HodgkinHuxley
from recurra.behaviors.homeostasis import (
    AdaptiveThreshold,
    InstantHomeostasis,
    IntrinsicHomeostasis,
    Synaptic_Normalization,
    SynapticNormalization,
    SynapticScaling,
    TimeIntegrationHomeostasis,
)
from recurra.behaviors.neurons import (
    AdaptiveExponential,
    AdEx,
    BinaryUnits,
    CurrentInput,
    Izhikevich,
    KWinnersTakeAll,
    LeakyIntegrateAndFire,
    NoiseInput,
    RateUnits,
    Refractoriness,
)
from recurra.behaviors.plasticity import BCM, STDP, Hebbian, Oja, RewardModulatedSTDP, TraceSTDP, TripletSTDP
from recurra.behaviors.sources import ImageStimulus, PoissonInput, PoissonSource, SpikeGenerator, TextStimulus
from recurra.behaviors.synapses import (
    AlphaSynapse,
    CreateWeights,
    ExponentialSynapse,
    ShortTermPlasticity,
    SpikeInput,
    SynapticDelay,
)

__all__ = [
    "BCM",
    "STDP",
    "AdEx",
    "AdaptiveExponential",
    "AdaptiveThreshold",
    "AlphaSynapse",
    "BinaryUnits",
    "CreateWeights",
    "CurrentInput",
    "ExponentialSynapse",
    "Hebbian",
    "HodgkinHuxley",
    "ImageStimulus",
    "InstantHomeostasis",
    "IntrinsicHomeostasis",
    "Izhikevich",
    "KWinnersTakeAll",
    "LeakyIntegrateAndFire",
    "NoiseInput",
    "Oja",
    "PoissonInput",
    "PoissonSource",
    "RateUnits",
    "Refractoriness",
    "RewardModulatedSTDP",
    "ShortTermPlasticity",
    "SpikeGenerator",
    "SpikeInput",
    "SynapticDelay",
    "SynapticNormalization",
    "SynapticScaling",
    "Synaptic_Normalization",
    "TextStimulus",
    "TimeIntegrationHomeostasis",
    "TraceSTDP",
    "TripletSTDP",
]
