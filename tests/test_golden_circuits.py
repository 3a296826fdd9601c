"""Hold the circuits of the library against trajectories of PyRates 1.2.3 (see golden/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import circuit_oracles as oracles
from circuit_checks import close
from recurra.circuits import CircuitTemplate, NodeTemplate, OperatorTemplate

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
LIBRARY = "model_templates."

# name of the file -> field, its start, and which of its states the columns of the file are
LOOPS = {
    "base_templates.li_node__input": (oracles.li, [0.0], [0]),
    "base_templates.tanh_node__input": (oracles.li, [0.0], [0]),
    "neural_mass_models.jansenrit.JRC": (oracles.jansen_rit, [0.0] * 8, range(8)),
    "neural_mass_models.qif.qif__input": (oracles.qif, [0.01, -2.0], range(2)),
    "neural_mass_models.qif.qif_sfa__input": (oracles.qif_sfa, [0.01, -2.0, 0.0, 0.0], range(4)),
    "neural_mass_models.theta.kmo_theta__input": (oracles.theta, [-0.6 - 0.8j], [0]),
    "neural_mass_models.wilsoncowan.WC__input": (oracles.wilson_cowan, [0.0, 0.0], range(2)),
    "oscillators.kuramoto.kmo_2coupled__input": (oracles.kuramoto_pair, [0.0, 0.0], range(2)),
    "oscillators.stuartlandau.sl__x0.5": (oracles.stuart_landau_shipped, [0.5, 0.0], range(2)),
    "oscillators.vanderpol.vdp": (oracles.van_der_pol, [0.0, 1.0], range(2)),
    "test_resources.test_backend.net13__input": (oracles.gamma_pair, [0.0] * 14, range(2)),
}
ALL = [*LOOPS, "test_resources.test_backend.net10"]


@dataclass
class Golden:
    """One golden file: what to run, with which drive, and the rows to expect."""

    template: str
    T: float
    dt: float
    dts: float
    outputs: list[str]
    updates: dict[str, float]
    params: dict[str, str]
    edges: list
    inputs: dict[str, np.ndarray]
    time: np.ndarray
    values: np.ndarray

    @property
    def steps(self) -> int:
        return round(self.T / self.dt)

    @property
    def every(self) -> int:
        return round(self.dts / self.dt)


def drive_at_steps(sampled: np.ndarray, every: int) -> np.ndarray:
    """Repeat the samples of a drive that is constant or a pulse with flanks on the rows of the file."""
    return np.repeat(np.asarray(sampled, dtype=float), every)


def load(name: str) -> Golden:
    with np.load(HERE / "golden" / f"{name}.npz", allow_pickle=False) as data:
        meta = json.loads(str(data["meta"]))
        every = round(meta["dts"] / meta["dt"])
        return Golden(
            template=meta["template"],
            T=float(meta["T"]),
            dt=meta["dt"],
            dts=meta["dts"],
            outputs=meta["outputs"],
            updates=meta["updates"],
            params=meta["params"],
            edges=meta["edges"],
            inputs={
                key.removeprefix("input:").replace(".", "/"): drive_at_steps(data[key], every)
                for key in data.files
                if key.startswith("input:")
            },
            time=data["time"],
            values=np.stack([data[output.replace("/", ".")] for output in meta["outputs"]], axis=1),
        )


def circuit_of(golden: Golden) -> CircuitTemplate:
    """Return the circuit of a golden file: nodes wrapped, test-only templates from beside this file."""
    path = golden.template
    if path.endswith("_node"):
        return CircuitTemplate("wrapped", nodes={"p": NodeTemplate.from_yaml(path)})
    if "test_resources" in path:
        path = f"{TEMPLATES}/test_backend/{path.rsplit('.', 1)[1]}"
    if path.endswith("stuartlandau.sl"):
        path = f"{TEMPLATES}/stuartlandau_shipped/sl"
    circuit = CircuitTemplate.from_yaml(path)
    return circuit.update_var(node_vars=golden.updates) if golden.updates else circuit


def run(circuit: CircuitTemplate, golden: Golden):
    return circuit.run(
        simulation_time=golden.T,
        step_size=golden.dt,
        sampling_step_size=golden.dts,
        outputs={output: output for output in golden.outputs},
        inputs=golden.inputs,
        solver="euler",
        precision="float64",
    )


@pytest.mark.parametrize("name", ALL)
def test_a_circuit_follows_its_golden_trajectory(name):
    golden = load(LIBRARY + name)
    frame = run(circuit_of(golden), golden)
    assert list(frame.columns) == golden.outputs
    close(frame.index.to_numpy(), golden.time, 1e-12)
    close(frame.to_numpy(), golden.values, 1e-9)


@pytest.mark.parametrize("name", LOOPS)
def test_a_golden_trajectory_follows_a_plain_loop(name):
    field, start, columns = LOOPS[name]
    golden = load(LIBRARY + name)
    drive = next(iter(golden.inputs.values()), None)
    rows = oracles.euler(field, start, golden.dt, golden.steps, golden.every, drive)
    close(rows[:, list(columns)], golden.values, 1e-11)


def test_the_golden_delays_follow_a_plain_loop():
    golden = load(LIBRARY + "test_resources.test_backend.net10")
    a = np.zeros((golden.steps + 1, 2))
    for k in range(golden.steps):
        late = a[k - 500, 1] if k >= 500 else 0.0
        later = a[k - 1000, 0] if k >= 1000 else 0.0
        a[k + 1] = a[k] + golden.dt * np.array([0.5 * late + 2, 2 * later + 2])
    close(a[:-1:10], golden.values, 1e-11)


def test_lorenz_from_its_equations_follows_the_golden_trajectory():
    golden = load("custom.lorenz")
    operator = OperatorTemplate(
        "lorenz_op",
        equations=["x' = sigma*(yy - x)", "yy' = x*(rho - z) - yy", "z' = x*yy - b*z"],
        variables={
            "x": "output(1.0)",
            "yy": "variable(1.0)",
            "z": "variable(1.0)",
            "sigma": 10.0,
            "rho": 28.0,
            "b": 8 / 3,
        },
    )
    circuit = CircuitTemplate("lorenz", nodes={"p": NodeTemplate("lorenz_pop", operators=[operator])})
    close(run(circuit, golden).to_numpy(), golden.values, 1e-9)


def test_lorenz_of_the_library_follows_the_golden_trajectory():
    golden = load("custom.lorenz")
    golden.outputs = [f"p/lorenz_op/{v}" for v in "xyz"]
    circuit = CircuitTemplate.from_yaml("model_templates.oscillators.lorenz.lorenz")
    close(run(circuit, golden).to_numpy(), golden.values, 1e-9)
    rows = oracles.euler(oracles.lorenz, [1.0, 1.0, 1.0], golden.dt, golden.steps, golden.every)
    close(rows, golden.values, 1e-9)


def test_the_document_on_the_wilson_cowan_model_gives_the_golden_trajectory():
    # the lines of the published example, as they are
    wc = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    T = 125.0
    dt = 5e-4
    dts = 1e-2
    steps = int(np.round(T / dt))
    inp = np.zeros((steps,))
    inp[int(25 / dt) : int(100 / dt)] = 1.0
    results = wc.run(
        simulation_time=T,
        step_size=dt,
        sampling_step_size=dts,
        outputs={"E": "e/rate_op/r", "I": "i/rate_op/r"},
        inputs={"e/se_op/r_ext": inp},
        backend="default",
        solver="euler",
    )
    with np.load(HERE / "golden" / "seed_wilsoncowan_euler_float64.npz", allow_pickle=False) as data:
        expected = np.stack([data["E"], data["I"]], axis=1)
        close(results.index.to_numpy(), data["time"], 1e-9)
    assert list(results.columns) == ["E", "I"]
    close(results.to_numpy(), expected, 1e-9)
    rows = oracles.euler(oracles.wilson_cowan, [0.0, 0.0], dt, steps, 20, inp)
    close(rows, expected, 1e-11)


@pytest.mark.parametrize("name", [n for n in ALL if "stuartlandau" not in n])
def test_a_circuit_has_the_declarations_of_its_golden_file(name):
    """Each variable of the file that PyRates really used has the same declared value in the library."""
    golden = load(LIBRARY + name)
    circuit = circuit_of(golden)
    leftovers = {"pro/r"}  # PyRates keeps unused variables of a parent operator
    for path, declaration in golden.params.items():
        node, operator, variable = path.rsplit("/", 2)
        if f"{operator}/{variable}" in leftovers:
            continue
        ours = circuit.get_node_template(node).get_op(operator)[variable]
        assert kind_and_value(ours) == kind_and_value(declaration), path


def kind_and_value(declaration) -> tuple[str, complex]:
    """Split `kind(value)`; a number is a constant; a bare kind is 0; the output counts as a variable."""
    text = str(declaration)
    kind, _, rest = text.partition("(") if text[0].isalpha() else ("constant", "", text)
    return {"output": "variable"}.get(kind, kind), complex(rest.rstrip(")").replace(" ", "") or 0)
