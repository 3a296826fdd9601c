"""The long calls that `kill_and_interrupt.py` disturbs, and what of them must be equal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """Hold a long call.

    Arguments:
        make: folder -> what the call returns.
        arrays: what it returns -> the numbers that must be equal.
        marked: tells whether what it returns says that it is a part.
        rest: folder, a part -> the numbers of the whole, by going on; `None` to make the call again.
        keeps: whether the call keeps anything in the folder from which another process goes on.
    """

    make: Callable[[Path], Any]
    arrays: Callable[[Any], Arrays]
    marked: Callable[[Any], bool] = lambda found: False
    rest: Callable[[Path, Any], Arrays] | None = None
    keeps: bool = False


def decay() -> Any:
    """Return a model of one number that decays."""
    from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate

    operator = OperatorTemplate("op", "x' = -x/tau + 0.1*xi", {"x": "output(1.0)", "tau": 5.0})
    return CircuitTemplate("decay", nodes={"p": NodeTemplate("p", operator)})


def van_der_pol() -> Any:
    """Return an oscillator."""
    from recurra import CircuitTemplate

    return CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")


def network(N: int = 6) -> Any:
    """Return a network whose weights can be trained."""
    from recurra import Network

    net = Network(dt=0.1, seed=1)
    weights = np.random.default_rng(0).standard_normal((N, N)) / N
    net.add_diffeq_node(
        "a", "v' = -v/tau + tanh(r) + u", variables={"v": "output(0.1)", "r": "input", "u": "input", "tau": 2.0}, N=N,
        weights=weights, source_var="v", target_var="r", input_var="u", output_var="v", train_params=["weights"],
    )  # fmt: skip
    return net


def drive(steps: int, N: int = 6) -> np.ndarray:
    """Return an input."""
    return np.random.default_rng(1).standard_normal((steps, N))


def last(result: Any) -> dict[str, Any]:
    """Measure where a run ends."""
    return {"x": result["x"][-1, 0]}


def run_arrays(result: Any) -> Arrays:
    """Return recordings and last state."""
    return {**{n: np.asarray(result[n]) for n in result}, **{f"final {k}": v for k, v in result.final.state.items()}}


def simulated(**options: Any) -> Call:
    """Return a run, with or without a store."""
    keeps = options.pop("keeps", False)
    steps = options.pop("steps", 2_000_000)
    given: dict[str, Any] = {"dt": 0.01, "record": {"x": "p/op/x"}, "every": 10, "progress": False, **options}

    def make(folder: Path) -> Any:
        from recurra import simulate

        extra = {"store": folder / "run.zarr"} if keeps else {}
        return simulate(decay(), steps * 0.01, **given, **extra)

    def rest(folder: Path, part: Any) -> Arrays:
        from recurra import simulate

        left = steps - part.final.step
        found = run_arrays(simulate(decay(), left * 0.01, state=part.final, **given)) if left else run_arrays(part)
        return found | {"x": np.concatenate([part["x"], found["x"]])} if left else found

    return Call(make, run_arrays, lambda r: r.interrupted, None if keeps else rest, keeps)


def adaptive(solver: str) -> Call:
    """Return a run with a solver that chooses its own steps."""

    def make(folder: Path) -> Any:
        from recurra import simulate

        return simulate(van_der_pol(), 2000.0 if solver == "scipy" else 40_000.0, dt=0.5, solver=solver)

    return Call(make, run_arrays, lambda r: r.interrupted)


def swept(keeps: bool) -> Call:
    """Return a sweep, with or without a store."""

    def make(folder: Path) -> Any:
        from recurra import sweep

        extra = {"store": folder / "sweep.zarr"} if keeps else {}
        values = {"p/op/tau": np.linspace(0.5, 3.0, 120)}
        return sweep(
            decay(), values, 200.0, dt=0.01, record={"x": "p/op/x"}, measure=last, batch=6, progress=False, **extra
        )

    def arrays(found: Any) -> Arrays:
        return {"x": found["x"].values, "failed": found["failed"].values}

    def marked(found: Any) -> bool:
        good = ~found["failed"].values
        if np.isfinite(found["x"].values).tolist() != good.tolist():
            raise SystemExit("a point that was not run has a number")
        return bool(found.attrs.get("interrupted"))

    return Call(make, arrays, marked, keeps=keeps)


def grid(folder: Path) -> Any:
    """Run a grid of parameters."""
    from recurra import grid_search

    sets = {"tau": np.linspace(1.0, 3.0, 50)}
    return grid_search(
        decay(), sets, {"tau": {"vars": ["op/tau"], "nodes": ["p"]}}, 0.01, 2000.0, {"x": "p/op/x"},
        sampling_step_size=1.0, progress=False,
    )[0]  # fmt: skip


def trained(keeps: bool) -> Call:
    """Return a training by gradients through time, with or without a checkpoint."""

    def make(folder: Path) -> Any:
        extra = {"checkpoint": folder / "fit.npz", "resume": True, "checkpoint_every": 3} if keeps else {}
        net = network()
        found = net.fit_bptt(
            {"a": drive(60)}, np.sin(np.arange(360).reshape(60, 6) / 9), epochs=400, progress=False, seed=3, **extra
        )
        return found, net

    def arrays(found: Any) -> Arrays:
        fit, net = found
        return {**fit.params, "loss": fit.history["loss"], "weights": np.asarray(net.get_var("a", "weights"))}

    return Call(make, arrays, lambda found: found[0].stopped == "interrupted", keeps=keeps)


def ran(total: int = 1_000_000) -> Call:
    """Return a run of a network, which goes on from what it has."""

    def make(folder: Path) -> Any:
        return network().run(steps=total, sampling_steps=100, progress=False)

    def rest(folder: Path, part: Any) -> Arrays:
        left = total - part.final.step
        if not left:
            return run_arrays(part)
        found = network().run(steps=left, sampling_steps=100, progress=False, state=part.final)
        return run_arrays(found) | {name: np.concatenate([part[name], found[name]]) for name in part}

    return Call(make, run_arrays, lambda r: r.interrupted, rest)


def by_eprop(folder: Path) -> Any:
    """Train forwards in time."""
    net = network()
    net.add_func_node("out", 1, "identity")
    net.add_edge("a", "out", np.ones((1, 6)) / 6, label="readout")
    goal = np.sin(np.arange(2000) / 9)[:, None]
    found = net.fit_eprop({"a": drive(2000)}, goal, train=["a/weights"], epochs=60, progress=False)
    return found, net


def trained_rates(folder: Path) -> Any:
    """Train a rate network on a task, with a checkpoint."""
    from recurra.rate.model import FR_RNN_dale
    from recurra.rate.tasks import GoNoGo
    from recurra.rate.training import train

    net = FR_RNN_dale(12, 0.2, 0.5, np.ones((12, 1)), 0, "gaus", 1.5, True, np.ones((1, 12)) * 0.01, seed=1)
    return train(
        net, GoNoGo(), updates=60, evaluate_every=6, progress=False, checkpoint=folder / "rates.npz", resume=True
    )


def behaviors(compiled: bool) -> Call:
    """Return a network of behaviors that goes on from where an interrupt left it."""
    total = 400_000 if compiled else 20_000

    def make(folder: Path) -> Any:
        from recurra import Behavior, Network, NeuronGroup, Recorder

        class Walk(Behavior):
            def initialize(self, n: Any) -> None:
                n.v = n.vector()

            def iteration(self, n: Any) -> None:
                n.v += n.vector("uniform") - 0.5

        net = Network(seed=1)
        NeuronGroup(net=net, size=20, tag="g", behavior={1: Walk(), 2: Recorder("v", gapwidth=100)})
        net.initialize()
        while net.iteration < total:
            try:
                net.simulate_iterations(total - net.iteration, compile=None if compiled else False, progress=False)
            except KeyboardInterrupt:
                told()
        return net

    return Call(make, lambda net: {"v": np.asarray(net["g", 0].v), "rows": np.asarray(net["v", 0])})


def told() -> None:
    """Say that an interrupt has come out of a call within a call."""
    print("out", flush=True)


def simple(make: Callable[[], Mapping[str, Any]]) -> Call:
    """Return a call that has no part to give: it ends, or raises KeyboardInterrupt."""
    return Call(lambda folder: make(), lambda found: {k: np.asarray(v) for k, v in found.items()})


def ridge() -> Mapping[str, Any]:
    """Fit a readout."""
    net = network()
    found = net.fit_ridge({"a": drive(100_000)}, drive(100_000, 1), add_readout_node=False)
    return {"weights": found.weights}


def rls() -> Mapping[str, Any]:
    """Learn a readout step by step."""
    from recurra.training import fit_rls

    net, goal = network(), drive(50_000, 1)
    found = fit_rls(net.program, {"a/op/u": drive(50_000)}, goal, output="a/op/v", dt=0.1)
    return {"weights": found.weights, "outputs": found.outputs}


def tested() -> Mapping[str, Any]:
    """Compare outputs with targets."""
    found, loss = network().test({"a": drive(100_000)}, drive(100_000))
    return {"out": found["out"], "loss": loss}


def lyapunov() -> Mapping[str, Any]:
    """Compute Lyapunov exponents."""
    from recurra import analysis

    return {"exponents": analysis.lyapunov_exponents(van_der_pol(), 5000.0, dt=0.01)}


def branch() -> Mapping[str, Any]:
    """Follow a resting state."""
    from recurra import analysis

    found = analysis.continuation(van_der_pol(), "p/vdp_op/mu", (-1.0, 1.0), step=0.005)
    return {"values": found.values}


def rests() -> Mapping[str, Any]:
    """Search for resting states."""
    from recurra import analysis

    return {"points": analysis.fixed_points(van_der_pol(), 60).values}


def cycle() -> Mapping[str, Any]:
    """Find a cycle."""
    from recurra import analysis

    return {"values": analysis.limit_cycle(van_der_pol(), transient=100.0, longest=20.0).values}


def counts(neurons: int = 5, bins: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return features and counts."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((bins, 20))
    return x, rng.poisson(np.exp(0.3 * x[:, :neurons]))


def glm_fit() -> Mapping[str, Any]:
    """Fit a population."""
    from recurra import glm

    model = glm.PopulationGLM(regularizer="Lasso", regularizer_strength=1e-3).fit(*counts())
    return {"coef": model.coef_, "intercept": model.intercept_}


def glm_states() -> Mapping[str, Any]:
    """Fit a model with hidden states."""
    from recurra.glm.hmm import GLMHMM

    x, y = counts(bins=3000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GLMHMM(2, maxiter=15, n_init=2).fit(x, y[:, 0] > 0)
    return {"coef": model.coef_}


def glm_run() -> Mapping[str, Any]:
    """Simulate coupled neurons."""
    import jax

    from recurra import glm

    rng = np.random.default_rng(0)
    y, rates = glm.simulate_recurrent(
        rng.standard_normal((50, 50, 2)) * 0.005, np.ones((50, 1)), -3 * np.ones(50), jax.random.key(0),
        np.zeros((400_000, 50, 1), np.float32), rng.random((20, 2)), np.zeros((20, 50)),
    )  # fmt: skip
    return {"y": y, "rates": rates}


def glm_classes() -> Mapping[str, Any]:
    """Fit a model of classes."""
    from recurra import glm

    x, y = counts()
    model = glm.ClassifierGLM(n_classes=3, regularizer="Lasso", regularizer_strength=1e-3)
    return {"coef": model.fit(x, np.minimum(y[:, 0], 2)).coef_}


def glm_scores() -> Mapping[str, Any]:
    """Choose how strongly to regularise."""
    from recurra import glm

    found = glm.cross_validate(glm.PopulationGLM(regularizer="Lasso"), *counts(bins=5000), np.geomspace(1e-4, 0.1, 20))
    return {"scores": found.scores, "coef": found.best.coef_}


def spiked(folder: Path) -> Any:
    """Run a network of spiking units."""
    from recurra.spiking import SpikingNetwork

    rng = np.random.default_rng(0)
    w = rng.standard_normal((50, 50)) / 7
    ends = rng.random((50, 1)), rng.standard_normal((1, 50))
    net = SpikingNetwork(w, *ends, np.full(50, 50.0), np.zeros((50, 1), bool), 40.0)
    return net.simulate(np.ones((1, 500)), record=("o", "r"), every=100)


def scaling() -> Mapping[str, Any]:
    """Search for a scaling factor of a spiking network."""
    from recurra.rate.model import FR_RNN_dale
    from recurra.rate.tasks import GoNoGo
    from recurra.spiking import scaling_search

    net = FR_RNN_dale(20, 0.2, 0.5, np.ones((20, 1)), 0, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    return {"accuracy": scaling_search(net, GoNoGo(), factors=[20, 40, 60], trials=20, batch=10).accuracy}


def all_calls() -> dict[str, Call]:
    """Return every long call by name."""

    def rate_arrays(found: Any) -> Arrays:
        return {"w": found.net.w, "loss": found.history["loss"]}

    return {
        "simulate, store": simulated(keeps=True),
        "sweep, store": swept(True),
        "fit_bptt, checkpoint": trained(True),
        "rate.train, checkpoint": Call(trained_rates, rate_arrays, lambda r: r.stopped == "interrupted", keeps=True),
        "simulate": simulated(),
        "simulate, rare rows": simulated(every=500_000),
        "simulate, scipy": adaptive("scipy"),
        "simulate, tsit5": adaptive("tsit5"),
        "sweep": swept(False),
        "Network.run": ran(),
        "fit_eprop": Call(
            by_eprop, lambda f: {**f[0].params, "loss": f[0].history["loss"]}, lambda f: f[0].stopped == "interrupted"
        ),
        "grid_search": Call(grid, lambda table: {"x": table.to_numpy()}),
        "fit_bptt": trained(False),
        "behaviors, compiled": behaviors(True),
        "behaviors, NumPy": behaviors(False),
        "fit_ridge": simple(ridge),
        "fit_rls": simple(rls),
        "test": simple(tested),
        "lyapunov_exponents": simple(lyapunov),
        "continuation": simple(branch),
        "fixed_points": simple(rests),
        "limit_cycle": simple(cycle),
        "PopulationGLM.fit": simple(glm_fit),
        "ClassifierGLM.fit": simple(glm_classes),
        "cross_validate": simple(glm_scores),
        "SpikingNetwork.simulate": Call(spiked, run_arrays, lambda r: r.interrupted),
        "GLMHMM.fit": simple(glm_states),
        "simulate_recurrent": simple(glm_run),
        "scaling_search": simple(scaling),
    }
