"""Where models rest, turn and become chaotic: folds of a mean field, a limit cycle, the exponents of Lorenz."""

import matplotlib.pyplot as plt
import numpy as np

from recurra import CircuitTemplate
from recurra.analysis import continuation, fixed_points, limit_cycle, lyapunov_exponents, phase_plane
from recurra.plotting import plot_branch, plot_phase_plane

qif = CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif")
branch = continuation(qif, "p/qif_op/eta", (-10.0, 0.0))
resting = fixed_points(qif, [[0.1, -2.0], [0.5, -0.3], [1.0, -0.2]])

oscillator = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
cycle = limit_cycle(oscillator, transient=50.0, longest=20.0)
plane = phase_plane(oscillator, "p/vdp_op/x", "p/vdp_op/z", x_range=(-3, 3), y_range=(-3.5, 3.5))

lorenz = CircuitTemplate.from_yaml("model_templates.oscillators.lorenz.lorenz")
exponents = lyapunov_exponents(lorenz, 200.0, dt=0.005, transient=20.0)

folds = [f"{b.value:.5f}" for b in branch.bifurcations]
numbers = {
    "folds of the mean field (eta)": " and ".join(folds),
    "its resting states at eta = -5": ", ".join(resting.kinds),
    "period of the oscillator": f"{cycle.period:.6f}",
    "its multipliers": ", ".join(f"{abs(m):.3g}" for m in cycle.multipliers),
    "exponents of Lorenz": ", ".join(f"{e:.3f}" for e in exponents),
}
for name, value in numbers.items():
    print(f"{name}: {value}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
plot_branch(branch, ax=left)
at = np.full(len(resting), -5.0)
left.plot(at, resting.values[:, 0], "k|", markersize=14, label="rests at eta = -5")
left.set(xlabel="eta", ylabel="firing rate r")
left.legend(frameon=False)
plot_phase_plane(plane, ax=right)
right.plot(cycle.values[:, 0], cycle.values[:, 1], color="#009E73", linewidth=2, label="limit cycle")
right.set(xlabel="x", ylabel="z")
right.legend(loc="upper right")
plt.show()
