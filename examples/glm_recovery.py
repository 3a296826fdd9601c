"""Coupled spiking neurons, simulated, fitted, and simulated again from the fit.

Fifteen neurons excite and inhibit each other through filters of 40 bins. A GLM is fitted to their spikes, by Newton's
method, with nothing but the spikes given. What it finds is compared with the truth in units of its standard errors, and
the fitted neurons run by themselves.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np

from recurra.glm import PopulationGLM, basis, simulate_recurrent

SMALL = globals().get("SMALL", False)  # the tests run this file with few neurons and bins
NEURONS, BINS = (4, 8_000) if SMALL else (15, 100_000)
rng = np.random.default_rng(2)
filters = basis.RaisedCosineLogConv(4, window_size=40)
functions = filters.n_basis_funcs

# Every neuron pauses after its own spikes; one pair in four is coupled, as strongly as the sign of the sender says.
coupled = rng.random((NEURONS, NEURONS)) < 0.25
sign = np.where(rng.random(NEURONS) < 0.7, 1.0, -1.0)
truth = coupled[:, :, None] * sign[None, :, None] * rng.uniform(0.0, 0.25, (NEURONS, NEURONS, functions))
truth[range(NEURONS), range(NEURONS)] = -np.linspace(1.5, 0.1, functions)

spikes, _ = simulate_recurrent(
    truth,
    None,
    np.full(NEURONS, np.log(0.05)),
    jax.random.key(1),
    None,
    filters.kernel_,
    np.zeros((40, NEURONS)),
    "exp",
    n_time_bins=BINS,
)
spikes = np.asarray(spikes)

model = PopulationGLM().fit_spikes(spikes, filters)
again, _ = model.simulate(BINS, seed=5)

features = {"coupling": np.asarray(filters.compute_features(spikes.astype(float))).reshape(BINS, -1)}
errors = model.posterior(features, spikes).coef_errors["coupling"].T.reshape(truth.shape)
distance = np.abs(model.coupling() - truth) / errors
rescaled = model.time_rescaling(features, spikes)[0]

kernel = np.asarray(filters.kernel_, float)
weights = model.coupling_weights()
true_weights = np.einsum("lm,ijm->ij", kernel, truth)

figure, axes = plt.subplots(1, 4, figsize=(15, 3.8), layout="constrained")
limit = np.abs(true_weights).max()
for ax, matrix, title in zip(axes, (true_weights, weights), ("simulated", "fitted"), strict=False):
    picture = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(title=title, xlabel="from neuron", ylabel="to neuron")
figure.colorbar(picture, ax=axes[:2], label="summed filter", shrink=0.8)
axes[2].plot(spikes.mean(axis=0), again.mean(axis=0), "o", color="#0072B2")
top = 1.1 * max(spikes.mean(axis=0).max(), again.mean(axis=0).max())
axes[2].plot([0, top], [0, top], color="#666666", linewidth=1)
axes[2].set(xlabel="spikes a bin, simulated", ylabel="spikes a bin, from the fit", title="rates")
rescaled.plot(ax=axes[3])
axes[3].set_title("time rescaling, neuron 0")

report = model.stability()
numbers = {
    "neurons, bins, spikes": f"{NEURONS}, {BINS:,}, {int(spikes.sum()):,}",
    "coefficients of couplings": f"{truth.size:,}",
    "within 3 standard errors": f"{np.mean(distance < 3):.2%} (99.73% expected)",
    "largest distance": f"{distance.max():.2f} standard errors",
    "correlation of summed filters": f"{np.corrcoef(weights.ravel(), true_weights.ravel())[0, 1]:.3f}",
    "mean spikes a bin, simulated and from the fit": f"{spikes.mean():.4f}, {again.mean():.4f}",
    "spectral radius, branching ratio": f"{report.spectral_radius:.3f}, {report.branching_ratio:.3f}",
    "time rescaling of neuron 0": f"KS distance {rescaled.statistic:.4f} (95% band {rescaled.bound:.4f})",
}
for name, value in numbers.items():
    print(f"{name}: {value}")
plt.show()
