"""A network of noisy oscillators, coupled as the regions of a brain correlate, against its fMRI.

The series come with the package nitime: 28 regions of one resting person, 250 volumes, one each
1.89 s (and three columns of white matter, ventricles and whole brain, which are not regions and are
left out). Each region is a Hopf oscillator below its bifurcation with noise, read directly as BOLD
(Deco et al. 2017, Scientific Reports 7, 3095).

There is no map of this person's fibres, so the coupling is the positive correlation in the first
half of the scan. The coupling strength is chosen on that half; the second half is only compared
with.
"""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from recurra import CircuitTemplate, Connectivity, NodeTemplate, OperatorTemplate, PopulationTemplate

TR = 1.89  # s
DT = 0.09  # s; 21 steps for each volume
DURATION = 600 * TR  # s, of which the first 100 volumes are left out

spec = importlib.util.find_spec("nitime")
if spec is None or not spec.submodule_search_locations:
    raise SystemExit("this example needs the recordings in nitime: pip install 'nitime>=0.12,<0.13'")
table = Path(spec.submodule_search_locations[0]) / "data" / "fmri_timeseries.csv"
names = [name.strip('"') for name in table.read_text().splitlines()[0].split(",")][3:]
series = np.loadtxt(table, delimiter=",", skiprows=1)[:, 3:]
regions = len(names)


def band(signal, low=0.01, high=0.1):
    """Keep the frequencies (Hz) in which resting fluctuations are read, in columns sampled every TR."""
    spectrum = np.fft.rfft(signal - signal.mean(axis=0), axis=0)
    frequency = np.fft.rfftfreq(len(signal), TR)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return np.fft.irfft(spectrum, n=len(signal), axis=0)


def pairs(matrix):
    """Return the entries above the diagonal."""
    return matrix[np.triu_indices(regions, 1)]


def similarity(one, other):
    """Return the correlation of two matrices over all pairs of regions."""
    return float(np.corrcoef(pairs(one), pairs(other))[0, 1])


first, second = (band(part) for part in np.split(series, 2))
connectivity = np.corrcoef(first.T)
held_out = np.corrcoef(second.T)
coupling = np.clip(connectivity, 0, None)
np.fill_diagonal(coupling, 0)

# The frequency of each region: the mean of its power spectrum in the first half.
power = np.abs(np.fft.rfft(first, axis=0)) ** 2
frequency = (np.fft.rfftfreq(len(first), TR) @ power) / power.sum(axis=0)

operator = OperatorTemplate(
    "hopf_op",
    equations=[
        "x' = (a - x^2 - y^2)*x - omega*y + G*(x_in - strength*x) + sigma*xi_x",
        "y' = (a - x^2 - y^2)*y + omega*x + G*(y_in - strength*y) + sigma*xi_y",
    ],
    variables={
        "x": "output(0.0)",
        "y": "variable(0.0)",
        "x_in": "input(0.0)",
        "y_in": "input(0.0)",
        "a": -0.02,
        "omega": 0.3,
        "G": 0.0,
        "strength": 1.0,
        "sigma": 0.02,
    },
)
node = NodeTemplate("region", operators=[operator])
population = PopulationTemplate(
    "brain",
    node=node,
    n=regions,
    params={"hopf_op/omega": 2 * np.pi * frequency, "hopf_op/strength": coupling.sum(axis=1)},
)
brain = CircuitTemplate(
    "whole_brain",
    populations={"brain": population},
    connections=[
        Connectivity("brain/hopf_op/x", "brain/hopf_op/x_in", weights=coupling),
        Connectivity("brain/hopf_op/y", "brain/hopf_op/y_in", weights=coupling),
    ],
)


def simulated(strength, seed):
    """Return the model's volumes (time, region) at a coupling strength."""
    rows = brain.update_var(node_vars={"brain/hopf_op/G": strength}).run(
        DURATION,
        DT,
        sampling_step_size=TR,
        outputs={"x": "brain/hopf_op/x"},
        solver="euler_maruyama",
        seed=seed,
    )
    return band(rows.to_numpy()[100:])


strengths = np.array([0.0, *(0.002 * 2.0 ** np.arange(9))])
models = [np.mean([np.corrcoef(simulated(g, seed).T) for seed in range(3)], axis=0) for g in strengths]
on_first = [similarity(model, connectivity) for model in models]
on_second = [similarity(model, held_out) for model in models]
best = int(np.argmax(on_first))
model = models[best]

numbers = {
    "regions, volumes": f"{regions}, {len(series)}",
    "coupling strength chosen on the first half": f"{strengths[best]:g}",
    "model and first half (fitted)": f"{on_first[best]:.3f}",
    "model and second half (held out)": f"{on_second[best]:.3f}",
    "first half and second half, no model": f"{similarity(connectivity, held_out):.3f}",
    "uncoupled model and second half": f"{on_second[0]:.3f}",
    "mean correlation: second half, model": f"{pairs(held_out).mean():.2f}, {pairs(model).mean():.2f}",
}
for name, value in numbers.items():
    print(f"{name}: {value}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained", width_ratios=[1, 1, 0.95])
for ax, matrix, title in zip(axes, (held_out, model), ("measured, second half", "model"), strict=False):
    picture = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(title=title, xlabel="region", ylabel="region")
figure.colorbar(picture, ax=axes[:2], label="correlation", shrink=0.85)
axes[2].semilogx(strengths[1:], on_first[1:], "o-", color="#0072B2", label="first half (fitted)")
axes[2].semilogx(strengths[1:], on_second[1:], "s--", color="#D55E00", label="second half (held out)")
plain = similarity(connectivity, held_out)
axes[2].axhline(plain, color="#666666", linewidth=1, label="half against half, no model")
axes[2].set(xlabel="coupling strength G (1/s)", ylabel="similarity of model and data", ylim=(-0.1, 1.1))
axes[2].legend(loc="upper left", frameon=False, fontsize=9)
plt.show()
