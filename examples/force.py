"""FORCE learning: a chaotic network learns to hum a piece of a person's EEG (Sussillo & Abbott 2009).

The recording comes with matplotlib (mpl-data/sample_data/eeg.dat, four channels). A piece of it is smoothed and
closed to a loop; recursive least squares changes the readout at every other step while the readout drives the
network. Then learning stops and the network goes on by itself.
"""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from recurra import Network

SMALL = globals().get("SMALL", False)  # the tests run this file with few neurons and rounds
N, ROUNDS = (120, 6) if SMALL else (400, 12)
DT, PERIOD = 0.1, 120.0  # in units of the neurons' time constant
rng = np.random.default_rng(3)

# 400 samples of one channel, as the sum of their first 12 harmonics: smooth, and a loop
path = matplotlib.cbook.get_sample_data("eeg.dat", asfileobj=False)
eeg = np.fromfile(path, float).reshape(800, 4)[:400, 0]
harmonics = np.fft.rfft(eeg - eeg.mean()) / len(eeg)
loop = round(PERIOD / DT)
spectrum = np.zeros(loop // 2 + 1, complex)
spectrum[:13] = harmonics[:13]
wave = np.fft.irfft(spectrum * loop, loop)
wave /= np.abs(wave).max()

net = Network(dt=DT)
net.add_diffeq_node(
    "rates",
    "neuron_model_templates.rate_neurons.leaky_integrator.tanh",
    weights=1.5 * rng.standard_normal((N, N)) / np.sqrt(N),
    target_var="r_in",
    input_var="I_ext",
    output_var="tanh_op/r",
    op="li_op",
    node_vars={"tau": 1.0, "li_op/v": 0.5 * rng.standard_normal(N)},
)
net.add_func_node("voice", 1, "identity")
net.add_edge("rates", "voice", np.zeros((1, N)), train="rls")
net.add_edge("voice", "rates", rng.uniform(-1, 1, (N, 1)))

goal = np.tile(wave, ROUNDS)[:, None]
silence = {"rates": 0.0}
learned = net.fit_rls(silence, goal, alpha=1.0, every=2)

# Learning is over: the weights stay, the network goes on from where it was.
net.state = learned.final
free = net.run(silence, steps=2 * loop, record_output=False, record_vars={"voice": "voice/func/y"})["voice"][:, 0]
target = np.tile(wave, 2)
error = np.sqrt(np.mean((free - target) ** 2)) / target.std()

figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5), layout="constrained")
time = np.arange(2 * loop) * DT
top.plot(time, learned.outputs[: 2 * loop, 0], color="#D55E00", label="while learning, first two rounds")
top.plot(time, target, color="black", linewidth=1, label="EEG")
bottom.plot(time, free, color="#0072B2", label="by itself, after learning")
bottom.plot(time, target, color="black", linewidth=1, label="EEG")
for ax in (top, bottom):
    ax.legend(loc="upper right", frameon=False)
bottom.set_xlabel("time (time constants)")

numbers = {
    "neurons": N,
    "rounds learned": ROUNDS,
    "error after learning": f"{error:.3f} standard deviations of the wave",
}
plt.show()
