"""A trial of every task: inputs above, what should come out below."""

import matplotlib.pyplot as plt
import numpy as np

from recurra.rate.tasks import TASKS

SHORT = [name for name in TASKS if not name.startswith("yang")]
YANG = [name for name in TASKS if name.startswith("yang_")]


def draw(names, columns, size, titles):
    _, axes = plt.subplots(-(-len(names) // columns), columns, figsize=size, layout="constrained")
    for seed, (ax, name, title) in enumerate(zip(axes.flat, names, titles, strict=True)):
        task = TASKS[name]
        task.plot(task.trials(1, seed=seed), ax=ax)
        ax.set_title(title, fontsize=10)
        ax.tick_params(labelsize=7)
        ax.set_xlabel("")
    for ax in axes[-1]:
        ax.set_xlabel("time (ms)", fontsize=8)


draw(SHORT, 2, (11, 14), [name.replace("_", " ") for name in SHORT])
draw(YANG, 4, (13, 14), [name.removeprefix("yang_") for name in YANG])

right, silent = [], []
for task in TASKS.values():
    trials = task.trials(100)
    right.append(task.accuracy(trials.targets, trials).mean())
    silent.append(task.accuracy(np.zeros_like(trials.targets), trials).mean())

numbers = {
    "tasks": f"{len(TASKS) - 1}, and the last twenty as one",
    "right, if the targets come out": f"{min(right):.0%} in every task",
    "right, if nothing comes out": f"from {min(silent):.0%} to {max(silent):.0%}",
}
plt.show()
