"""Four hundred Wilson-Cowan pairs with different parameters, in one batched run."""

import time

import matplotlib.pyplot as plt
import numpy as np

from recurra import CircuitTemplate, grid_search

SIDE = 20
model = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
grid = {"coupling": np.linspace(14, 28, SIDE), "drive": np.linspace(0, 2, SIDE)}
where = {
    "coupling": {"vars": ["weight"], "edges": [("e/rate_op/r", "e/se_op/r_in")]},
    "drive": {"vars": ["se_op/r_ext"], "nodes": ["e"]},
}

begun = time.perf_counter()
results, sets = grid_search(
    model,
    grid,
    where,
    step_size=0.05,
    simulation_time=500.0,
    sampling_step_size=0.5,
    outputs={"E": "e/rate_op/r", "I": "i/rate_op/r"},
    permute_grid=True,
    solver="heun",
)
seconds = time.perf_counter() - begun

late = results.loc[300.0:, "E"]
swing = (late.max() - late.min()).to_numpy()
coupling, drive = sets["coupling"].to_numpy(), sets["drive"].to_numpy()
chosen = int(np.argmax(swing))

numbers = {
    "parameter sets": len(sets),
    "steps": f"{len(sets) * 10_000:,}",
    "sets that oscillate (swing of E above 0.01)": int((swing > 0.01).sum()),
    "largest swing": f"{swing[chosen]:.3f} at coupling {coupling[chosen]:.2f} and drive {drive[chosen]:.2f}",
    "time from template to table, compilation included": f"{seconds:.2f} s",
}
for name, value in numbers.items():
    print(f"{name}: {value}")

picture = np.full((SIDE, SIDE), np.nan)
rows = np.searchsorted(grid["coupling"], coupling - 1e-9)
columns = np.searchsorted(grid["drive"], drive - 1e-9)
picture[rows, columns] = swing
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
across, up = (np.diff(grid[name][:2])[0] / 2 for name in ("drive", "coupling"))
edges = (-across, 2 + across, 14 - up, 28 + up)
shown = left.imshow(picture, origin="lower", aspect="auto", extent=edges, cmap="viridis")
figure.colorbar(shown, ax=left, label="swing of E after t = 300")
left.plot(drive[chosen], coupling[chosen], "o", markerfacecolor="none", color="#D55E00", markersize=12)
left.set(xlabel="constant input to E", ylabel="weight from E to E")
for name, colour in (("E", "#0072B2"), ("I", "#D55E00")):
    right.plot(results.index, results[name].iloc[:, chosen], color=colour, label=name)
right.set(xlabel="time", ylabel="firing rate", xlim=(0, 500), title="the set at the circle")
right.set_ylim(top=1.2 * right.get_ylim()[1])
right.legend(frameon=False, loc="upper right", ncols=2)
plt.show()
