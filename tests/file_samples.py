"""Good files of every kind, and how each is read; `fuzz_files.py` damages them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from recurra import CircuitTemplate, Network, Result, glm, simulate, sweep
from recurra.circuits import read_project
from recurra.cli.waveforms import waveform
from recurra.engine import Snapshot, load
from recurra.errors import RecurraError
from recurra.interchange import from_nir, from_nwb, to_nwb
from recurra.rate.files import load_net, save_net
from recurra.rate.model import FR_RNN_dale
from recurra.spiking import SpikingNetwork, convert
from recurra.training.checkpoint import Checkpoint
from recurra.training.history import History

MODEL = """
op:
  base: OperatorTemplate
  equations: ["x' = -x/tau + u*(1 - exp(-x^2)) + where(x > 0.5, 0.1, sin(t))", "y = tanh(x)"]
  variables: {x: "output(0.1)", y: variable, tau: 2.0, u: "input(0.5)"}
filter:
  base: OperatorTemplate
  equations: "m = k*r"
  variables: {m: output, k: 0.5, r: input}
child: {base: op, equations: {replace: {tau: "(tau + 1)"}, append: "+ 0.1"}, variables: {tau: 3.0}}
link: {base: EdgeTemplate, operators: [filter]}
a: {base: NodeTemplate, operators: {op: {tau: 4.0}}}
b: {base: NodeTemplate, operators: [child]}
model:
  base: CircuitTemplate
  nodes: {a: a, b: b, c: &again a, d: *again}
  edges:
    - [a/op/x, b/child/u, null, {weight: 0.5, delay: 1.0, spread: 0.5}]
    - [b/child/x, d/op/u, link, {weight: 1.5}]
"""
OLD = "op: {base: OperatorTemplate, equations: d/dt x = -k*x, variables: {x: 'output(1, float)', k: {default: 2.0}}}\n"
GOLDEN = Path(__file__).parent / "golden" / "spikernn_trained_gonogo.mat"


@cache
def oscillator() -> CircuitTemplate:
    return CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")


def network() -> Network:
    net = Network(dt=0.1)
    variables: dict[str, Any] = {"v": "output(0.0)", "tau": 2.0, "I": "input(0.0)"}
    net.add_diffeq_node("n", "v' = (-v + I)/tau", variables=variables, N=3, weights=np.eye(3), input_var="I")
    net.add_func_node("f", 2, "tanh")
    net.add_edge("f", "n", np.ones((3, 2)), delays=2)
    return net


def _grouped() -> Network:
    from recurra.groups import Behavior, NeuronGroup

    class Leak(Behavior):
        def initialize(self, neurons):
            neurons.v = neurons.vector("uniform")

        def iteration(self, neurons):
            neurons.v *= 0.9

    net = Network(dt=0.1)
    NeuronGroup(net, 4, tag="cells", behavior={1: Leak()})
    net.initialize()
    return net


@cache
def grouped() -> Network:
    return _grouped()


def _run(store: str | Path | None = None) -> Result:
    return simulate(oscillator(), 3.0, dt=0.1, record={"x": "p/vdp_op/x"}, store=store, progress=False)


def _sweep(store: str | Path) -> Any:
    return sweep(oscillator(), {"p/vdp_op/mu": np.array([0.5, 1.0, 2.0])}, 1.0, dt=0.1, store=store, progress=False)


def training() -> Any:
    """Return what a training keeps between epochs."""
    tree = {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2)}
    history = History({"loss": [1.0, 0.5]}, [1.0, 0.7, 0.5])
    return SimpleNamespace(
        history=history, free=tree, momenta=tree, good=tree, best=tree, epoch=2, updates=3, best_epoch=1, stopped=False
    )


def _checkpoint(path: Path) -> Checkpoint:
    return Checkpoint(path, {"model": "a"}, True)


def make(folder: Path) -> None:
    """Write a few good files of every kind, each kind into its own folder."""

    def place(kind: str, name: str) -> Path:
        (folder / kind).mkdir(exist_ok=True)
        return folder / kind / name

    rng = np.random.default_rng(0)
    CircuitTemplate.from_yaml("model_templates.neural_mass_models.jansenrit.JRC").program.save(
        place("program", "a.npz")
    )
    oscillator().program.save(place("program", "b.npz"))
    result = _run()
    result.save(place("result", "a.npz"))
    result.save(place("netcdf", "a.nc"))
    result.final.save(place("snapshot", "a.npz"))
    network().save(place("network", "a.npz"))
    grouped().save(place("values", "a.npz"))
    x, y = rng.normal(size=(60, 2)), rng.poisson(1.0, size=(60, 2))
    glm.GLM(regularizer="Ridge", regularizer_strength=0.1).fit(x, y[:, 0]).save(place("glm", "a.npz"))
    glm.PopulationGLM().fit({"a": x, "b": x[:, :1]}, y).save(place("glm", "b.npz"))
    glm.ClassifierGLM().fit(x, np.array(["no", "yes"])[y[:, 0] % 2]).save(place("glm", "c.npz"))
    net = FR_RNN_dale(6, 0.3, 0.5, rng.normal(size=(6, 1)), 1, "gaus", 1.5, True, rng.normal(size=(1, 6)), seed=1)
    save_net(net, place("dale", "a.npz"))
    save_net(net, place("mat", "a.mat"))
    from scipy.io import loadmat, savemat

    content = {k: v for k, v in loadmat(place("mat", "a.mat")).items() if not k.startswith("__")}
    savemat(place("mat", "b.mat"), content | {"more": {"cell": 1.0}}, do_compression=True)
    if GOLDEN.stat().st_size < 100_000:
        shutil.copy(GOLDEN, place("mat", "c.mat"))
    convert(net, 50.0).save(place("spiking", "a.npz"))
    _checkpoint(place("checkpoint", "a.npz")).write(training())
    place("yaml", "a.yaml").write_text(MODEL)
    place("project", "a.yaml").write_text(MODEL)
    place("project", "b.yaml").write_text(OLD)
    place("csv", "a.csv").write_text("time,one,two\n" + "".join(f"{k / 10},{k % 3},{k * 0.5}\n" for k in range(30)))
    place("csv", "b.csv").write_text("".join(f"{k * 0.1:.3e}\n" for k in range(30)))
    np.save(place("npy", "a.npy"), rng.normal(size=(30, 2)))
    np.save(place("npy", "b.npy"), np.arange(30))
    _run(place("run_store", "a.zarr"))
    _sweep(place("sweep_store", "a.zarr"))
    _graph(place("nir", "a.nir"))
    to_nwb(result, place("nwb", "a.nwb"), seconds=0.001)


def _graph(path: Path) -> None:
    import nir

    one = np.ones(2)
    graph = nir.NIRGraph.from_list(nir.Linear(np.eye(2)), nir.LIF(one, one, 0 * one, one), nir.Delay(0.1 * one))
    nir.write(path, graph)


def files(kind: str, folder: Path) -> list[Path]:
    """List the good files of a kind."""
    return sorted(path for path in (folder / kind).iterdir() if not path.name.endswith(".checkpoint.npz"))


def _read_values(path: Path) -> None:
    grouped().load_values(path)


def _read_model(path: Path) -> None:
    model = CircuitTemplate.from_yaml(f"{path}/model")
    with contextlib.suppress(RecurraError):  # the file was read; what is wrong with the model is another matter
        _ = model.program


def _read_series(path: Path) -> None:
    waveform(f"file:{path}" + (":one" if path.name == "a.csv" else ""), 3.0, 0.1)


def _read_run(path: Path) -> None:
    np.asarray(_run(path)["x"])


def _read_project(path: Path) -> None:
    _, report = read_project(path.parent)
    if any(len(str(entry)) > 20_000 for entry in report.entries):
        raise ValueError("a report without end")


READERS: dict[str, Callable[[Path], object]] = {
    "program": load,
    "result": Result.load,
    "snapshot": Snapshot.load,
    "network": Network.load,
    "values": _read_values,
    "glm": glm.load,
    "dale": load_net,
    "mat": load_net,
    "spiking": SpikingNetwork.load,
    "checkpoint": lambda path: _checkpoint(path).read(training()),
    "yaml": _read_model,
    "project": _read_project,
    "csv": _read_series,
    "npy": _read_series,
    "run_store": _read_run,
    "sweep_store": _sweep,
    "netcdf": Result.load,
    "nir": lambda path: from_nir(path, 0.1),
    "nwb": from_nwb,
}
