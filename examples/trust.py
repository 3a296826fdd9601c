"""Delayed oscillators beside theory, a run that is stopped again and again, and a store that knows what it holds."""

import signal
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq

from recurra import CircuitTemplate, EdgeTemplate, NodeTemplate, OperatorTemplate, simulate, sweep
from recurra.errors import StoreError

K = 0.5
oscillator = OperatorTemplate("op", "theta' = 1.0 + s", {"theta": "output(0.0)", "s": "input"})
node = NodeTemplate("oscillator", oscillator)
# The source is old when it arrives, the target is as it is now: sin(theta_j(t - tau) - theta_i(t)).
pull = OperatorTemplate("pull", "out = sin(old - now)", {"out": "output", "old": "input", "now": "input"})
edge = EdgeTemplate("sine", pull)


def pair(delay):
    """Return two Kuramoto oscillators that pull each other after a delay."""

    def link(source, target):
        here = f"{target}/op/theta"
        what = {"weight": K, "delay": delay, "sine/pull/old": "source", "sine/pull/now": here}
        return f"{source}/op/theta", f"{target}/op/s", edge, what

    return CircuitTemplate("pair", nodes={"p": node, "q": node}, edges=[link("p", "q"), link("q", "p")])


# 1. One frequency for each delay, beside the condition of Yeung and Strogatz (1999): W = 1 - K sin(W tau).
delays = np.arange(0.2, 2.61, 0.2)
both = {f"{one}/op/theta->{other}/op/s/delay": delays for one, other in ("pq", "qp")}
found = sweep(pair(1.0), both, 150.0, mode="zip", dt=0.01, solver="heun", every=100, record={"theta": "p/op/theta"},
              measure=lambda run: {"frequency": (run["theta"][-1, 0] - run["theta"][-51, 0]) / 50.0}, progress=False)
measured = found["frequency"].values
theory = [brentq(lambda w, tau=tau: 1.0 - K * np.sin(w * tau) - w, 0.3, 1.3) for tau in delays]

# 2. x decays, and y gets it one time unit later: y = 2 (t - 1) exp(1 - t). The start of the past is a jump.
leak = NodeTemplate("leak", OperatorTemplate("op", "x' = -x + u", {"x": "output(0.0)", "u": "input"}))
line = CircuitTemplate("line", nodes={"a": leak, "b": leak},
                       edges=[("a/op/x", "b/op/u", None, {"weight": 2.0, "delay": 1.0})])
line = line.update_var(node_vars={"a/op/x": 1.0})
steps, errors = np.array([0.1, 0.05, 0.02, 0.01]), {}
for solver in ("euler", "heun", "rk4"):
    errors[solver] = []
    for dt in steps:
        run = simulate(line, 4.0, dt=dt, solver=solver, record={"y": "b/op/x"}, progress=False)
        t = np.maximum(run.time - 1.0, 0.0)
        errors[solver].append(np.abs(run["y"][:, 0] - 2 * t * np.exp(-t)).max())
order = {solver: np.polyfit(np.log(steps), np.log(values), 1)[0] for solver, values in errors.items()}

# 3. A noisy run goes into a store and is stopped after every half million steps; the same call goes on.
walk = NodeTemplate("walk", OperatorTemplate("op", "x' = -x + xi", {"x": "output(0.0)"}))
noisy = CircuitTemplate("noisy", nodes={"n": walk})
options = {"dt": 0.01, "seed": 7, "record": {"x": "n/op/x"}, "every": 20}
undisturbed = simulate(noisy, 20_000.0, progress=False, **options)["x"]
stops, told = 0, ""
with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    store = Path(folder) / "run.zarr"
    while True:
        gone = []

        def stop(done, gone=gone):
            """Press Ctrl-C once half a million steps are done."""
            gone.append(done)  # first what was there already
            if sum(gone[1:]) >= 500_000:
                signal.raise_signal(signal.SIGINT)

        run = simulate(noisy, 20_000.0, store=store, progress=stop, **options)
        if not run.interrupted:
            break
        stops += 1
    same = np.array_equal(run["x"], undisturbed)

    # 4. Another measure is another sweep.
    kept = Path(folder) / "sweep.zarr"
    points = {"a/op/x": [0.5, 1.0]}
    go = {"dt": 0.1, "record": {"y": "b/op/x"}, "store": kept, "progress": False}
    sweep(line, points, 5.0, measure=lambda r: {"m": r["y"].max()}, **go)
    try:
        sweep(line, points, 5.0, measure=lambda r: {"m": r["y"].mean()}, **go)
    except StoreError as error:
        told = str(error).split("something else; ")[-1].split(". ")[0]

numbers = {
    "frequency of delayed oscillators, largest distance from theory": f"{np.abs(measured - theory).max():.1e}",
    "order with a delay": ", ".join(f"{solver} {value:.2f}" for solver, value in order.items()),
    "times that the run was stopped": stops,
    "bits of the stopped run and of the undisturbed one": "equal" if same else "NOT EQUAL",
    "the store of a sweep, asked with another measure": f"refused; {told}",
}
for name, value in numbers.items():
    print(f"{name}: {value}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(delays, theory, color="#999999", label="Yeung and Strogatz (1999)")
left.plot(delays, measured, "o", color="#0072B2", label="simulated")
left.set(xlabel="delay", ylabel="frequency of the pair")
left.legend(frameon=False)
for (solver, values), colour in zip(errors.items(), ("#D55E00", "#0072B2", "#009E73"), strict=True):
    right.loglog(steps, values, "o-", color=colour, label=f"{solver}: order {order[solver]:.2f}")
right.set(xlabel="step dt", ylabel="largest error")
right.legend(frameon=False)
plt.show()
