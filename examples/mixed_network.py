"""One network of four kinds: a neural mass, a trained rate network, spiking cells with an update rule, a fitted GLM.

A Wilson-Cowan mass (1972) is kicked. It drives noisy spiking cells, whose rule is Python, and an excitatory-inhibitory
rate network that has learned Go-NoGo (Kim, Li and Sejnowski 2019). Both drive a GLM that was fitted to spikes of such
cells, and the GLM's spikes inhibit the cells. All of it is one program: it is run, swept, trained and saved as a whole.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from recurra import Behavior, CircuitTemplate, Network, NeuronGroup, Recorder, SynapseGroup, afferent, sweep
from recurra.glm import PopulationGLM, basis
from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import GoNoGo
from recurra.rate.training import train

SMALL = globals().get("SMALL", False)  # the tests run this file with a network that has hardly learned
UPDATES, BINS, STEPS, EPOCHS = (20, 2000, 300, 5) if SMALL else (500, 20_000, 800, 40)
CELLS, FITTED = 60, 6
rng = np.random.default_rng(3)


class Leaky(Behavior):
    """Noisy leaky integrate-and-fire cells, one step a millisecond."""

    def initialize(self, neurons):
        neurons.voltage = neurons.vector("uniform")
        neurons.spike = neurons.voltage > 1.0
        self.threshold, self.drive, self.noise = 1.0, 0.03, 0.12

    def iteration(self, neurons):
        neurons.voltage += self.drive - 0.05 * neurons.voltage + self.noise * neurons.vector("normal(0, 1)")
        for synapse in neurons.synapses(afferent, "REC"):
            neurons.voltage += synapse.W.dot(synapse.src.spike)
        neurons.spike = neurons.voltage > self.threshold
        neurons.voltage[neurons.spike] = 0.0


class Weights(Behavior):
    """Set the weights, W[dst, src]."""

    def initialize(self, synapses):
        synapses.W = np.array(self.parameter("W"))


class FromMass(Behavior):
    """Let the mass drive the cells."""

    def iteration(self, synapses):
        synapses.dst.voltage += synapses.W.dot(synapses.src.y)


class FromGLM(Behavior):
    """Let the neurons of the GLM inhibit the cells."""

    def iteration(self, synapses):
        synapses.dst.voltage += synapses.W.dot(synapses.src.spikes)


class ToActivity(Behavior):
    """Tell a node of equations how many cells fire."""

    def iteration(self, synapses):
        synapses.dst.u += synapses.W.dot(synapses.src.spike)


signs = np.where(np.arange(CELLS) < 0.8 * CELLS, 0.03, -0.12)
recurrent = signs * (rng.random((CELLS, CELLS)) < 0.2)


def add_cells(net):
    """Add the cells, with weights among each other."""
    cells = NeuronGroup(net=net, size=CELLS, tag="cells", behavior={3: Leaky(), 9: Recorder(["spike"])})
    SynapseGroup(net=net, src=cells, dst=cells, tag="REC", behavior={0: Weights(W=recurrent)})
    return cells


# The GLM is fitted to some of the cells while these are by themselves.
alone = Network(dt=1.0, seed=1, dtype=np.float64)
add_cells(alone)
alone.initialize()
recorded = alone.run(steps=BINS)["cells/spike"][:, :FITTED].astype(float)
glm = PopulationGLM("Bernoulli").fit_spikes(recorded, basis.RaisedCosineLogConv(4, window_size=30))

# The rate network learns Go-NoGo in steps of 5 ms.
dale = FR_RNN_dale(60, 0.2, 0.2, rng.normal(size=(60, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, 60)) / 100, seed=2)
dale = train(dale, GoNoGo(), updates=UPDATES, batch=4, seed=2, progress=False).net


def build():
    """Put everything into one network; times are in ms."""
    net = Network(dt=1.0, seed=1, dtype=np.float64)
    mass = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    net.add_node("mass", mass, input_var="e/se_op/r_ext", output_var="e/rate_op/r")
    net.add_node("dale", dale.to_graph(noise="none", taus=5.0 * np.array(dale.taus)))
    net.add_node("glm", glm)
    net.add_func_node("relay", 1, "relu")
    net.add_diffeq_node("activity", "v' = (u - v)/tau", variables={"v": "output", "u": "input", "tau": 20.0})
    net.add_edge("mass", "relay", 1.0)
    net.add_edge("relay", "dale", 1.0, label="kick")
    net.add_edge("activity", "glm", np.full((FITTED, 1), 0.03))
    net.add_edge("dale", "glm", np.full((FITTED, 1), 1.5))
    cells = add_cells(net)
    w_in, w_back, w_out = np.full((CELLS, 1), 0.4), np.full((CELLS, FITTED), -0.05), np.full((1, CELLS), 1000 / CELLS)
    SynapseGroup(net=net, src="relay", dst=cells, tag="IN", behavior={0: Weights(W=w_in), 1: FromMass()})
    SynapseGroup(net=net, src="glm", dst=cells, tag="BACK", behavior={0: Weights(W=w_back), 2: FromGLM()})
    SynapseGroup(net=net, src=cells, dst="activity", tag="OUT", behavior={0: Weights(W=w_out), 5: ToActivity()})
    net.initialize()
    return net


kick = np.zeros((STEPS, 1))
kick[STEPS // 5 : STEPS // 5 + 150] = 1.0
late = np.arange(STEPS) >= STEPS // 5 + 200
record = {"mass": "mass/e/rate_op/r", "dale": "dale/output/op/o", "spikes": "glm/glm/spikes", "rate": "glm/glm/rate",
          "cells": "cells/spike", "activity": "activity/op/v"}  # fmt: skip
net = build()
before = net.run({"mass": kick}, record_vars=record, record_output=False)

# First the weight with which the mass reaches the rate network is trained, which should answer 1 after the kick. The
# gradient comes back through the equations of all sixty units, while cells and GLM run along.
fit = net.fit_bptt(
    {"mass": kick}, np.ones((STEPS, 1)), train=["kick/weights"], output="dale", mask=late.astype(float), epochs=EPOCHS,
    lr=0.3, progress=False,
)  # fmt: skip
# Then those with which it reaches the cells, which should fire at 60 Hz while it is up. The gradient comes back through
# their spikes, each of which has the derivative of a smooth function of voltage and threshold.
up = slice(STEPS // 5 + 50, STEPS // 5 + 150)
mask = np.zeros(up.stop)
mask[up] = 1.0
spiking_fit = net.fit_bptt(
    {"mass": kick[: up.stop]}, np.full((up.stop, 1), 60.0), train=["IN/W"], output="activity", mask=mask,
    surrogate="superspike", slope=2.0, epochs=EPOCHS // 2, lr=0.02, progress=False,
)  # fmt: skip
after = net.run({"mass": kick}, record_vars=record, record_output=False)

# A parameter of the mass is swept, all values at once; the effect is looked at in the spikes of the GLM.
thetas = np.linspace(1.0, 5.0, 9)
found = sweep(
    net, {"mass/e/se_op/theta": thetas}, STEPS * net.dt, dt=net.dt, inputs={"mass/e/se_op/r_ext": kick}, seed=net.seed,
    record={"spikes": "glm/glm/spikes"}, measure=lambda run: {"rate": 1000 * run["spikes"][late].mean()},
    progress=False,
)  # fmt: skip
rates = found["rate"].values

# Numbers and state go through a file into a network that is built again.
with tempfile.TemporaryDirectory() as folder:
    net.save(Path(folder) / "mixed.npz")
    again = build()
    again.load_values(Path(folder) / "mixed.npz")
reloaded = again.run({"mass": kick}, record_vars=record, record_output=False)
same = all(np.array_equal(reloaded[name], after[name]) for name in record)

figure, axes = plt.subplots(2, 4, figsize=(16, 6.5), layout="constrained")
axes[0, 0].plot(before.time, before["mass"][:, 0], color="#0072B2")
axes[0, 0].axvspan(*before.time[np.flatnonzero(kick[:, 0])[[0, -1]]], color="orange", alpha=0.25, linewidth=0)
axes[0, 0].set(title="Wilson-Cowan mass, kicked", ylabel="E", xlabel="time (ms)")
before.raster("cells", ax=axes[0, 1])
axes[0, 1].set(title="Spiking cells (Python rule)", ylabel="cell", xlabel="time (ms)")
for obs, label, colour in ((before, "before", "#999999"), (after, "after training", "#D55E00")):
    axes[0, 2].plot(obs.time, obs["dale"][:, 0], color=colour, label=label)
    axes[0, 3].plot(obs.time, obs["activity"][:, 0], color=colour, label=label)
axes[0, 2].set(title="Output of the rate network", xlabel="time (ms)")
axes[0, 3].plot(after.time[up], np.full(up.stop - up.start, 60.0), "k--", label="target")
axes[0, 3].set(title="Firing of the cells", xlabel="time (ms)", ylabel="Hz")
axes[0, 2].legend(frameon=False)
axes[0, 3].legend(frameon=False)
after.raster("spikes", ax=axes[1, 0])
axes[1, 0].set(title="Spikes of the fitted GLM", ylabel="neuron", xlabel="time (ms)")
for fitted, which in ((fit, axes[1, 1]), (spiking_fit, axes[1, 2])):
    which.semilogy(fitted.history["loss"], color="#D55E00")
axes[1, 1].set(title="Training through equations", xlabel="epoch", ylabel="loss")
axes[1, 2].set(title="Training through spikes", xlabel="epoch", ylabel="loss")
axes[1, 3].plot(thetas, rates, "o-", color="#0072B2")
axes[1, 3].set(title="Sweep", xlabel="threshold of the mass", ylabel="spikes of the GLM (Hz)")

numbers = {
    "nodes and groups": f"{len(net)}: {', '.join(net)}",
    "accuracy of the rate network in Go-NoGo": f"{evaluate(dale, GoNoGo(), 60, seed=1000).accuracy:.2f}",
    "spikes the GLM was fitted to": f"{int(recorded.sum()):,}",
    "weight from mass to rate network": f"1.00, after training {net.get_var('kick/weights'):.2f}",
    "loss before and after": f"{fit.history['loss'][0]:.4f}, {fit.history['loss'][-1]:.4f}",
    "firing of the cells while the mass is up": f"{before['activity'][up].mean():.1f} Hz, after training "
    f"{after['activity'][up].mean():.1f} Hz",
    "rate of the GLM after the kick, over the sweep": f"{rates.min():.1f} to {rates.max():.1f} Hz",
    "saved, built again and loaded, it runs to the same bits": same,
}
for name, value in numbers.items():
    print(f"{name}: {value}")
plt.show()
