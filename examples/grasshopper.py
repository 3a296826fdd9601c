"""A mean-field model driven by a real sound, against the spikes a grasshopper's ear answered with.

The data come with the package nitime (examples of Rokem et al. 2006, J. Neurophysiol. 95,
2541-2552): ten seconds of a tone whose loudness wanders like Gaussian noise below 200 Hz (one value
every 50 microseconds), and the times of the spikes of one auditory receptor of Locusta migratoria,
in microseconds.

The model is a population of quadratic integrate-and-fire cells with spike-frequency adaptation in
the mean-field limit (Montbrio, Pazo & Roxin 2015; Gast, Schmidt & Knosche 2020), without
recurrence, since receptors do not excite each other. Its parameters are chosen on the first five
seconds only and judged on the last five, next to three references: the model
without adaptation, the loudness itself, delayed as fits best, and a linear filter of it.
"""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

from recurra import CircuitTemplate, grid_search

DT = 0.1  # ms, the step of the model
ROW = 0.5  # ms, from one compared value to the next
KERNEL = 5.0  # ms, standard deviation of the Gaussian that turns spikes into a rate
TRANSIENT = 200.0  # ms, left out of every comparison

# The sound: volts -> decibels -> standard score. The score uses the first half only, as all fitting does.
spec = importlib.util.find_spec("nitime")
if spec is None or not spec.submodule_search_locations:
    raise SystemExit("this example needs the recordings in nitime: pip install 'nitime>=0.12,<0.13'")
data = Path(spec.submodule_search_locations[0]) / "data"
sound = 20 * np.log10(np.loadtxt(data / "grasshopper_stimulus1.txt", usecols=1))
sound = sound.reshape(-1, round(DT / 0.05)).mean(axis=1)
sound = (sound - sound[: len(sound) // 2].mean()) / sound[: len(sound) // 2].std()
duration = len(sound) * DT  # ms

# The answer: spike times in microseconds -> spikes per second, smoothed.
spikes = np.loadtxt(data / "grasshopper_spike_times1.txt") / 1000
rows = round(duration / ROW)
counts = np.histogram(spikes, bins=np.arange(rows + 1) * ROW)[0]
measured = gaussian_filter1d(counts * 1000 / ROW, KERNEL / ROW)
loudness = gaussian_filter1d(sound[:: round(ROW / DT)], KERNEL / ROW)

train = slice(round(TRANSIENT / ROW), rows // 2)
test = slice(rows // 2 + round(TRANSIENT / ROW), rows)


def score(prediction, part):
    """Return the correlation with the measured rate over a part of the rows."""
    return float(np.corrcoef(prediction[part], measured[part])[0, 1])


def best_delay(signal):
    """Delay a signal as fits the first half best; the recording includes the travel of sound and spike."""
    late = {delay: np.roll(signal, round(delay / ROW)) for delay in np.arange(0.0, 8.5, 0.5)}
    return max(((score(s, train), delay, s) for delay, s in late.items()), key=lambda found: found[:2])


# The model, at every combination of a few values of each parameter, in one batched run for each gain.
model = CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif_sfa")
model = model.update_var(edge_vars=[("p/qif_sfa_op/r", "p/qif_sfa_op/r_in", {"weight": 0.0})])
grid = {
    "tau": [3.0, 4.0, 6.0],  # ms
    "eta": [1.0, 2.0, 4.0, 8.0],
    "alpha": [0.0, 1.0, 2.0, 4.0, 8.0],
    "tau_a": [5.0, 10.0, 20.0],  # ms
}
where = {name: {"vars": [f"qif_sfa_op/{name}"], "nodes": ["p"]} for name in grid}
tried = []
for gain in (0.5, 1.0, 2.0):
    rates, sets = grid_search(
        model,
        grid,
        where,
        step_size=DT,
        simulation_time=duration,
        sampling_step_size=ROW,
        outputs={"r": "p/qif_sfa_op/r"},
        inputs={"p/qif_sfa_op/I_ext": gain * sound},
        permute_grid=True,
        solver="heun",
    )
    for position, name in enumerate(sets.index):
        rate = gaussian_filter1d(1000 * rates.iloc[:, position].to_numpy(), KERNEL / ROW)
        tried.append((*best_delay(rate), {**sets.loc[name].to_dict(), "gain": gain}))

fitted = max(tried, key=lambda found: found[0])
without = max((found for found in tried if found[3]["alpha"] == 0), key=lambda found: found[0])
heard = best_delay(loudness)

# The usual statistical reference: a linear filter over the last 40 ms, by ridge regression on the first half.
past = np.stack([np.roll(loudness, lag) for lag in range(round(40 / ROW))], axis=1)
gram = past[train].T @ past[train] + 100 * np.eye(past.shape[1])
linear = past @ np.linalg.solve(gram, past[train].T @ (measured[train] - measured[train].mean()))

numbers = {
    "spikes in 10 s": len(spikes),
    "parameter sets tried": len(tried),
    "chosen on the first half": ", ".join(f"{k} = {v:g}" for k, v in fitted[3].items())
    + f", delay {fitted[1]:g} ms",
    "correlation, first half (fitted)": f"{fitted[0]:.3f}",
    "correlation, second half (held out)": f"{score(fitted[2], test):.3f}",
    "same, model without adaptation": f"{score(without[2], test):.3f}",
    f"same, loudness delayed by {heard[1]:g} ms": f"{score(heard[2], test):.3f}",
    "same, linear filter over 40 ms": f"{score(linear, test):.3f}",
    "mean rate in the second half, measured": f"{measured[test].mean():.1f} spikes/s",
    "mean rate in the second half, model": f"{fitted[2][test].mean():.1f} spikes/s",
}
for name, value in numbers.items():
    print(f"{name}: {value}")

time = np.arange(rows) * ROW / 1000
shown = slice(round(7000 / ROW), round(8000 / ROW))
figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(9, 5.5), sharex=True, layout="constrained", height_ratios=[1, 2]
)
top.plot(time[shown], loudness[shown], color="#666666", linewidth=0.9)
top.set(ylabel="loudness\n(standard score)", title="One second of the held-out half")
fit = np.polyfit(fitted[2][train], measured[train], 1)
bottom.plot(time[shown], measured[shown], color="#0072B2", label="measured, smoothed by 5 ms")
scaled = np.polyval(fit, fitted[2][shown])
bottom.plot(time[shown], scaled, color="#D55E00", label="model, scaled on the first half")
inside = spikes[(spikes >= 7000) & (spikes < 8000)] / 1000
bottom.plot(inside, np.full_like(inside, -8), "|", color="black", markersize=9, label="spikes")
bottom.set(xlabel="time (s)", ylabel="firing rate (spikes/s)", xlim=(7, 8))
bottom.legend(loc="upper right", frameon=False, ncols=3)
bottom.set_ylim(top=1.2 * measured[shown].max())
plt.show()
