"""Train excitatory and inhibitory rate units on Go-NoGo, lesion them, and turn them into spiking neurons."""

import matplotlib.pyplot as plt
import numpy as np

from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.pictures import plot_outputs
from recurra.rate.tasks import GoNoGo
from recurra.rate.training import Criterion, train
from recurra.spiking import firing_rates, scaling_search
from recurra.spiking.pictures import plot_raster, plot_search

SEED, N = 2, 200
task = GoNoGo()
rng = np.random.default_rng(SEED)
net = FR_RNN_dale(
    N, 0.2, 0.2, rng.normal(size=(N, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, N)) / 100, seed=SEED
)

# As in the paper: one trial an update, mean loss below 7, more than 95 of 100 right, more than 1,500 trials.
trained = train(net, task, seed=SEED, criterion=Criterion(after=1501), progress=False)
after = evaluate(trained.net, task, 60, seed=1000)

fractions = np.arange(0, 0.75, 0.1)
lesioned = []
for fraction in fractions:
    hurt = trained.net.copy()
    hurt.lesion_w(fraction, seed=SEED)
    lesioned.append(evaluate(hurt, task, 60, seed=1000).accuracy)

search = scaling_search(trained.net, task, factors=[15, 20, 25, 30, 40, 50, 60], trials=20, batch=20, seed=SEED)
spiking = search.network
pair = task.trials(2, conditions={"go": [1, 0]})
runs = [spiking.simulate(pair.stimulus(i), seed=i, record=("o", "spikes")) for i in (0, 1)]
rates = np.mean([firing_rates(run["spikes"], spiking.parameters.dt) for run in runs], axis=0)

figure, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
history = trained.history.to_dataframe()
axes[0, 0].plot(history["updates"], history["accuracy"], color="#2c5f9e", label="accuracy")
axes[0, 0].plot(history["updates"], history["evaluation_loss"] / 10, color="grey", label="loss / 10")
axes[0, 0].set(xlabel="trials learned from", title="Training", ylim=(0, 1.3))
axes[0, 0].legend(frameon=False)
plot_outputs(after, "go", ax=axes[0, 1]).set_title("The trained rate network: 60 new trials")
axes[0, 2].plot(100 * fractions, lesioned, "o-", color="#2c5f9e")
axes[0, 2].set(xlabel="connections removed (%)", ylabel="accuracy", ylim=(0, 1.05), title="Lesions of the rate network")
plot_search(search, ax=axes[1, 0]).set_title("Spiking: accuracy over the scaling factor")
for ax, run, name in zip(axes[1, 1:], runs, ("Go", "NoGo"), strict=True):
    plot_raster(spiking, run["spikes"], ax=ax)
    ax.axvspan(250, 375, color="orange" if name == "Go" else "none", alpha=0.25, lw=0)
    ax.set_title(f"Spikes in a {name} trial (inhibitory units on top)")
    trace = ax.twinx()
    trace.plot(run.time, run["o"][:, 0], color="black", lw=1.2)
    trace.set(ylim=(-0.5, 4.0), ylabel="output")

numbers = {
    "updates to the criterion": trained.updates,
    "seconds of training, compiling included": round(float(np.sum(trained.history["seconds"])), 1),
    "accuracy of the rate network": f"{after.accuracy:.2f} of {len(after.right)} new trials",
    "time constants": f"{5 * trained.net.tau.mean():.0f} +- {5 * trained.net.tau.std():.0f} ms (from 20 to 100)",
    "signs broken": int(np.sum(trained.net.effective_w[:, net.inh[:, 0]] > 0)
                        + np.sum(trained.net.effective_w[:, net.exc[:, 0]] < 0)),
    "scaling factor": f"{search.best:g} (f-I curves alone suggest {search.guess:.0f})",
    "accuracy of the spiking network": f"{search.accuracy.max():.2f} of 20 trials",
    "firing rates": f"excitatory {rates[net.exc[:, 0]].mean():.1f} Hz, inhibitory {rates[net.inh[:, 0]].mean():.1f} Hz",
}  # fmt: skip
