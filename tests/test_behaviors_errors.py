"""What a ready behavior says when it is given something that does not fit, and what all of them have in common."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

import recurra.behaviors
from recurra.behaviors import (
    BCM,
    STDP,
    AdaptiveThreshold,
    AdEx,
    CreateWeights,
    HodgkinHuxley,
    ImageStimulus,
    InstantHomeostasis,
    IntrinsicHomeostasis,
    Izhikevich,
    KWinnersTakeAll,
    LeakyIntegrateAndFire,
    NoiseInput,
    PoissonSource,
    RateUnits,
    Refractoriness,
    RewardModulatedSTDP,
    ShortTermPlasticity,
    SpikeGenerator,
    SpikeInput,
    SynapticDelay,
    SynapticNormalization,
    TextStimulus,
    TraceSTDP,
)
from recurra.errors import RecurraError
from recurra.groups import Behavior, GroupNetwork, NeuronGroup, SynapseGroup

LIF = LeakyIntegrateAndFire
NEURONS = [
    (lambda: LIF(tau=0), "LeakyIntegrateAndFire: tau must be a finite number > 0, got 0"),
    (lambda: LIF(tau=np.array([1.0, -1.0, 2.0, 1.0])), "tau must be a finite number > 0"),
    (lambda: LIF(dt=-0.1), "dt must be a finite number > 0, got -0.1"),
    (
        lambda: LIF(refractory=0.25, dt=0.1),
        "refractory=0.25 ms is no multiple of dt=0.1 ms; the nearest are 0.2 and 0.3",
    ),
    (lambda: LIF(refractory=-1.0), "refractory must be a finite number >= 0, got -1.0"),
    (lambda: LIF(treshold=-50), "Did you mean 'threshold'"),
    (lambda: LIF(tau="uniform(1, 2"), "tau"),
    (lambda: Izhikevich(kind="regular"), "unknown kind 'regular'. Did you mean 'regular spiking'"),
    (lambda: AdEx(Delta_T=0.0), "AdaptiveExponential: Delta_T must be a finite number > 0"),
    (lambda: AdEx(C=float("nan")), "C must be a finite number > 0, got nan"),
    (lambda: HodgkinHuxley(compartments=3), "4 neurons cannot be cells of 3 compartments"),
    (lambda: HodgkinHuxley(compartments=2.0), "compartments must be a whole number >= 1, got 2.0"),
    (lambda: HodgkinHuxley(compartments=2, parents=[0, -1]), "parents must be 2 numbers"),
    (lambda: HodgkinHuxley(compartments=4, C="uniform(0.9, 1.1)"), "with several compartments C must be one number"),
    (lambda: HodgkinHuxley(substeps=0), "substeps must be a whole number >= 1, got 0"),
    (lambda: HodgkinHuxley(g_Na=-1.0), "g_Na must be a finite number >= 0"),
    (lambda: Refractoriness(period=2.5), "period=2.5 ms is no multiple of dt=1 ms; the nearest are 2 and 3"),
    (lambda: RateUnits(activation="Relu"), "unknown activation 'Relu'. Did you mean 'relu'"),
    (lambda: RateUnits(tau=-1.0), "tau must be a finite number > 0"),
    (lambda: PoissonSource(rate=1000.1), "rate is 1000.1 Hz, but with steps of 1 ms there are at most 1000 spikes"),
    (lambda: PoissonSource(rate=5000.0, dt=0.5), "at most 2000 spikes in a second; take a dt of 0.2 ms or less"),
    (lambda: ImageStimulus(images=np.eye(4), gain=1e4, target="rate"), "a pixel times the gain is 10000 Hz"),
    (lambda: KWinnersTakeAll(k=0), "k must be a whole number >= 1, got 0"),
    (lambda: NoiseInput(std=-1.0), "std must be a finite number >= 0"),
    (lambda: PoissonSource(rate=-5.0), "PoissonSource: rate must be a finite number >= 0, got -5.0"),
    (lambda: SpikeGenerator(times=[1.0], indices=[0, 1]), "1 times, but 2 indices"),
    (lambda: SpikeGenerator(times=[1.0], indices=[4]), "indices must be whole numbers from 0 to 3"),
    (lambda: SpikeGenerator(times=[1.0], indices=[0.5]), "indices must be whole numbers from 0 to 3"),
    (lambda: SpikeGenerator(times=[-1.0], indices=[0]), "times must be a finite number >= 0"),
    (
        lambda: SpikeGenerator(times=[1.0, 1.2], indices=[0, 0]),
        "two spikes within one step of 1 ms",
    ),
    (lambda: SpikeGenerator(times=[5.0], indices=[0], period=3.0), "a spike lies behind the end of the period of 3 ms"),
    (lambda: SpikeGenerator(indices=[0]), "parameter 'times': it is required"),
    (lambda: ImageStimulus(images=np.zeros((2, 3))), "images must be (images, 4), a pixel for each neuron, got (2, 3)"),
    (lambda: ImageStimulus(images=np.zeros((2, 4)), order=[2]), "order must be indices from 0 to 1, got [2]"),
    (lambda: ImageStimulus(images=np.zeros((2, 4)), order="randm"), "unknown order 'randm'. Did you mean 'random'"),
    (lambda: ImageStimulus(images=np.zeros((2, 4)), target="v"), "unknown target 'v'"),
    (lambda: ImageStimulus(images=np.zeros((2, 4)), duration=0.0), "duration must be a finite number > 0"),
    (lambda: TextStimulus("abc"), "4 neurons cannot be divided among 3 characters"),
    (lambda: TextStimulus(["ab", ""]), "none of them empty"),
    (lambda: TextStimulus(5), "texts must be a text or a list of texts"),
    (lambda: TextStimulus("abx", alphabet="abcd"), "unknown character 'x'"),
    (lambda: IntrinsicHomeostasis(rate=0.0), "rate must be a finite number > 0"),
    (lambda: AdaptiveThreshold(), "has no threshold yet; give the model of the neuron a smaller number"),
    (lambda: SpikeInput(synapse_tag="GLUU"), None),
    (lambda: SynapticNormalization(syn_type="GLUU"), "unknown tag of synapses 'GLUU'. Did you mean 'GLU'"),
    (lambda: InstantHomeostasis(adjustment_param="x"), "give threshold, or min_th, or max_th"),
    (lambda: InstantHomeostasis(threshold=1.0, measurement_param="spike +"), "InstantHomeostasis"),
    (lambda: SynapticNormalization(interval=0), "interval must be a whole number >= 1"),
]
SYNAPSES = [
    (lambda: STDP(), "has no weights W yet; give it CreateWeights"),
    (lambda: CreateWeights(distribution="unifrom(0,1)"), "Did you mean 'uniform'"),
    (lambda: CreateWeights(density=1.5), "density must be a probability"),
    (lambda: SynapticDelay(delay=1.5), "delay=1.5 ms is no multiple of dt=1 ms; the nearest are 1 and 2"),
    (lambda: SynapticDelay(delay=-1.0), "delay must be a finite number >= 0"),
    (lambda: ShortTermPlasticity(U=1.5), "U must be a share from 0 to 1"),
    (lambda: ShortTermPlasticity(tau_rec=0.0), "tau_rec must be a finite number > 0"),
]
PLASTIC = [
    (lambda: STDP(w_min=1.0, w_max=0.5), "w_min=1.0 must be less than w_max=0.5"),
    (lambda: STDP(bounds="sotf"), "unknown bounds 'sotf'. Did you mean 'soft'"),
    (lambda: STDP(bounds="soft", w_max=None), "bounds='soft' needs w_min and w_max"),
    (lambda: STDP(pairing="every"), "unknown pairing 'every'"),
    (lambda: STDP(tau_plus=-1.0), "tau_plus must be a finite number > 0"),
    (lambda: STDP(A_plsu=0.1), "Did you mean 'A_plus'"),
    (lambda: TraceSTDP(w_max=None), "mu needs w_max"),
    (lambda: RewardModulatedSTDP(bounds="soft"), "bounds must be 'hard'"),
    (lambda: BCM(y0=0.0), "y0 must be a finite number > 0"),
]


def net_with(neurons=None, synapses=None):
    net = GroupNetwork()
    cells = NeuronGroup(net, 4, tag="cells", behavior={3: neurons} if neurons else {})
    SynapseGroup(net, cells, cells, tag="GLU", behavior=synapses or {})
    return net


@pytest.mark.parametrize(("make", "message"), NEURONS)
def test_wrong_parameters_of_neurons(make, message):
    net = net_with(neurons=make())
    with pytest.raises(RecurraError) as error:
        net.initialize()
        net.simulate_iterations(1, progress=False)
    assert (message or "unknown tag of synapses 'GLUU'") in str(error.value)


@pytest.mark.parametrize(("make", "message"), SYNAPSES)
def test_wrong_parameters_of_synapses(make, message):
    net = net_with(synapses={1: make()})
    with pytest.raises(RecurraError) as error:
        net.initialize()
    assert message in str(error.value)


@pytest.mark.parametrize(("make", "message"), PLASTIC)
def test_wrong_parameters_of_rules(make, message):
    net = net_with(synapses={1: CreateWeights(), 2: make()})
    with pytest.raises(RecurraError) as error:
        net.initialize()
    assert message in str(error.value)


def test_autapses_need_synapses_that_lead_back():
    net = GroupNetwork()
    a, b = NeuronGroup(net, 2, tag="a"), NeuronGroup(net, 2, tag="b")
    SynapseGroup(net, a, b, behavior={1: CreateWeights(autapses=False)})
    with pytest.raises(RecurraError, match="autapses=False is for synapses that lead back"):
        net.initialize()


CLASSES = list(dict.fromkeys(getattr(recurra.behaviors, name) for name in recurra.behaviors.__all__))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_docstring_names_every_parameter(kind):
    """What `initialize` asks for, in this class or those above it, stands in the docstring."""
    assert issubclass(kind, Behavior)
    asked = set()
    for base in kind.__mro__:
        if base.__module__.startswith("recurra.behaviors"):
            for node in ast.walk(ast.parse(inspect.getsource(base))):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parameter":
                    asked.add(ast.literal_eval(node.args[0]))
    documented = kind.__doc__
    for other in CLASSES:
        if f":class:`{other.__name__}`" in kind.__doc__:
            documented += other.__doc__
    assert [name for name in sorted(asked) if name not in documented] == []


def test_all_names_exist_and_are_sorted_by_kind():
    assert sorted(recurra.behaviors.__all__) == sorted(set(recurra.behaviors.__all__))
    assert all(hasattr(recurra.behaviors, name) for name in recurra.behaviors.__all__)
