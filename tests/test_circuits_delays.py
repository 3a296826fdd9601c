"""Delays of circuits: a matrix of them, edges with operators, templates without, chains with other delays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse

from recurra import (
    CircuitTemplate,
    Connectivity,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
    grid_search,
    simulate,
    sweep,
)
from recurra.engine import as_function
from recurra.engine.reference import simulate as simulate_in_numpy
from recurra.errors import CapabilityError, ShapeError, TemplateError, TimeError
from recurra.training import fit_bptt

DT, STEPS, N = 0.05, 60, 3
OP = OperatorTemplate("op", "x' = -x + u", {"x": "output(0.0)", "u": "input(0.0)"})
NODE = NodeTemplate("n", OP)
RNG = np.random.default_rng(4)
W, X0 = RNG.normal(size=(N, N)), RNG.normal(size=N)
BACK = RNG.integers(0, 20, (N, N)) * (1 - np.eye(N, dtype=int))  # in steps; the diagonal has none


def population(delays, weights=W, **options):
    links = [Connectivity("p/op/x", "p/op/u", weights, delays=delays, **options)]
    return CircuitTemplate("c", populations={"p": PopulationTemplate("p", NODE, N, {"op/x": X0})}, connections=links)


def loop(back, before=0.0, weights=W):
    x = np.zeros((STEPS, N))
    x[0] = X0
    for k in range(STEPS - 1):
        past = np.array([[x[k - b, j] if k >= b else before for j, b in enumerate(row)] for row in back])
        x[k + 1] = x[k] + DT * (-x[k] + (weights * past).sum(1))
    return x


def states(circuit, **options):
    return simulate(circuit, STEPS * DT, dt=DT, record={"x": "p/op/x"}, progress=False, **options)["x"]


def test_a_matrix_of_delays():
    """With and without history; entries of 0 have none; changed, written and read, with one weight for all."""
    circuit = population(BACK * DT)
    assert np.abs(states(circuit) - loop(BACK)).max() < 1e-13
    assert np.abs(states(circuit, history={"p/op/x": 0.7}) - loop(BACK, 0.7)).max() < 1e-13
    again = circuit.update_var(edge_vars=[("p/op/x", "p/op/u", {"delay": 2 * BACK * DT})])
    assert np.abs(states(again) - loop(2 * BACK)).max() < 1e-13
    one = circuit.update_var(edge_vars=[("p/op/x", "p/op/u", {"delay": 0.2})])
    assert np.abs(states(one) - loop(np.full((N, N), 4))).max() < 1e-13
    alike = population(BACK * DT, 0.3)
    assert np.abs(states(alike) - loop(BACK, weights=np.full((N, N), 0.3))).max() < 1e-13
    few = sparse.csr_array(W * (RNG.random((N, N)) < 0.5))
    assert np.abs(states(population(BACK * DT, few)) - loop(BACK, weights=few.toarray())).max() < 1e-13
    program = circuit.program
    assert np.array_equal(program.get("p/op/x->p/op/u/delay"), BACK * DT)
    moved = states(circuit, params={"p/op/x->p/op/u/delay": (BACK + 1) * DT})
    assert np.abs(moved - loop(BACK + 1)).max() < 1e-13
    assert circuit.connections[0] == pickle.loads(pickle.dumps(circuit.connections[0]))
    assert "delay 0 to" in circuit.describe()


def test_through_a_file(tmp_path):
    circuit = population(BACK * DT)
    assert CircuitTemplate.from_yaml(circuit.to_yaml(str(tmp_path / "model"))) == circuit


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4", "exponential_euler"])
def test_batches_and_sweeps_of_matrices_are_single_runs(solver):
    path = "p/op/x->p/op/u/delay"
    several = np.array([BACK * DT, (BACK + 2) * DT, BACK * DT * 1.5])
    circuit = population(BACK * DT)
    single = [states(population(d), solver=solver) for d in several]
    swept = sweep(circuit, {path: [0.4, 0.85]}, STEPS * DT, dt=DT, record={"x": "p/op/x"}, solver=solver,
                  progress=False)["x"].values  # fmt: skip
    for row, d in zip(swept, (0.4, 0.85), strict=True):
        assert np.abs(row - states(population(d), solver=solver)).max() < 1e-13
    rows = states(circuit, batch={path: several}, solver=solver)
    for row, one in zip(rows, single, strict=True):
        assert np.abs(row - one).max() < 1e-13


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: population(np.ones((2, 2))), ShapeError, "delays have shape (2, 2), expected a number or a"),
        (lambda: population(-np.ones((N, N))), TemplateError, "the delay must not be negative, got -1"),
        (lambda: population(np.full((N, N), np.nan)), TemplateError, "nan"),
        (lambda: population([[1.0, 2.0], [3.0]]), ShapeError, "expected"),
        (lambda: population(1.0, sparse.coo_array((10**6, 10**6))), ShapeError, "too large for a circuit"),
        (lambda: population(np.ones((N, N)), spread=0.1), TemplateError, "a spread needs one delay for all pairs"),
        (lambda: states(population(BACK * DT * 0.01)), TimeError, "shorter than the step 0.05"),
        (lambda: states(population(np.where(BACK > 0, 1e-9, 0.0))), TimeError, "a delay of 1e-09 is shorter than"),
    ],
)  # fmt: skip
def test_matrices_that_cannot_be(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


# Edges with operators

PHASE = NodeTemplate("n", OperatorTemplate("op", "th' = w + s", {"th": "output(0.0)", "w": 1.0, "s": "input"}))
SINE = EdgeTemplate("e", OperatorTemplate("eo", "o = sin(a - b)", {"o": "output", "a": "input", "b": "input"}))


def sine_loop(delay, weights, frequencies, start, before=0.0):
    th = np.zeros((STEPS, N))
    th[0] = start
    for k in range(STEPS - 1):
        s = np.zeros(N)
        for i in range(N):
            for j in range(N):
                b = round(delay[i, j] / DT)
                old = th[k - b, j] if k >= b else before
                s[i] += weights[i, j] * np.sin(old - th[k, i])
        th[k + 1] = th[k] + DT * (frequencies + s)
    return th


@pytest.mark.parametrize("delay", [0.0, 0.35, "matrix"])
def test_operators_see_the_old_source_and_the_present_target(delay):
    times = BACK * DT if isinstance(delay, str) else np.full((N, N), delay)
    frequencies = np.array([1.0, 1.3, 0.8])
    circuit = CircuitTemplate(
        "k",
        populations={"p": PopulationTemplate("p", PHASE, N, {"op/th": X0, "op/w": frequencies})},
        connections=[Connectivity("p/op/th", "p/op/s", W, SINE, {"e/eo/a": "source", "e/eo/b": "p/op/th"},
                                  times if isinstance(delay, str) else delay)],
    )  # fmt: skip
    found = simulate(circuit, STEPS * DT, dt=DT, record={"x": "p/op/th"}, progress=False)["x"]
    assert np.abs(found - sine_loop(times, W, frequencies, X0)).max() < 1e-13
    if delay == 0.35:
        known = simulate(circuit, STEPS * DT, dt=DT, record={"x": "p/op/th"}, history={"p/op/th": 0.4})["x"]
        assert np.abs(known - sine_loop(times, W, frequencies, X0, 0.4)).max() < 1e-13
        path = "p/op/th->p/op/s/delay"
        assert np.all(circuit.program.get(path) == 0.35)
        moved = simulate(circuit, STEPS * DT, dt=DT, record={"x": "p/op/th"}, params={path: 0.6})["x"]
        assert np.abs(moved - sine_loop(np.full((N, N), 0.6), W, frequencies, X0)).max() < 1e-13
    if delay:
        for solver in ("euler", "heun", "rk4"):  # the plain back-end knows what operators see, too
            both = [f(circuit.to_graph(), 1.0, dt=DT, solver=solver, record={"x": "p/op/th"})["x"]
                    for f in (simulate, simulate_in_numpy)]  # fmt: skip
            assert np.abs(both[0] - both[1]).max() < 1e-12


def test_two_inputs_cannot_both_be_old():
    both = {"weight": 1.0, "delay": 1.0, "e/eo/a": "source", "e/eo/b": "source"}
    three = OperatorTemplate("eo", "o = a*b - c", {"o": "output", "a": "input", "b": "input", "c": "input"})
    wires = {**both, "e/eo/c": "q/op/th"}
    pair = CircuitTemplate("k", nodes={"p": PHASE, "q": PHASE},
                           edges=[("p/op/th", "q/op/s", EdgeTemplate("e", three), wires)])  # fmt: skip
    with pytest.raises(TemplateError, match="read the delayed source; let one of them read it"):
        pair.program.get("p/op/th")


def test_a_template_without_operators_is_a_plain_edge(tmp_path):
    nodes = {"a": NODE, "b": NODE}
    values = {"weight": 2.0, "delay": 0.2}
    plain, empty = (CircuitTemplate("c", nodes=nodes, edges=[("a/op/x", "b/op/u", template, values)])
                    for template in (None, EdgeTemplate("nothing", [])))  # fmt: skip
    start = {"a/op/x": 1.0}
    runs = [c.run(2.0, DT, initial=start) for c in (plain, empty)]
    assert np.array_equal(*[table.to_numpy() for table in runs])
    assert EdgeTemplate("nothing").output == ""
    joined = [population(0.1, edge=edge) for edge in (None, EdgeTemplate("nothing", []))]
    assert np.array_equal(*[states(c) for c in joined])
    assert CircuitTemplate.from_yaml(empty.to_yaml(str(tmp_path / "model"))) == plain
    with pytest.raises(TemplateError, match="Only an edge with a template has variables of its own"):
        CircuitTemplate("c", nodes=nodes, edges=[("a/op/x", "b/op/u", EdgeTemplate("nothing", []), {"op/k": 1.0})])


# Gamma chains

SPREAD, LINK = 0.45, ("a/op/x", "b/op/u")
EDGE = "a/op/x->b/op/u"
CHAIN = CircuitTemplate(
    "c", nodes={"a": NODE, "b": NODE}, edges=[(*LINK, None, {"weight": 2.0, "delay": 1.5, "spread": SPREAD})]
).update_var(node_vars={"a/op/x": 1.0})


def chain_loop(delay, spread):
    """Euler steps of the chain; without a spread a ring, without a delay the source itself."""
    order = max(1, round((delay / spread) ** 2)) if spread else 0
    a, b, z, out, past = 1.0, 0.0, np.zeros(order), [], []
    for k in range(STEPS):
        out.append(b)
        past.append(a)
        back = round(delay / DT)
        u = z[-1] if order else past[k - back] if k >= back else 0.0
        below = np.r_[a, z[:-1]] if order else z
        a, b = a - DT * a, b + DT * (-b + 2.0 * u)
        z = z + DT * order / delay * (below - z) if order else z
    return np.array(out)


POINTS = [(1.5, 0.45), (0.9, 0.45), (2.25, 0.45), (1.5, 0.9), (1.52, 0.45), (1.5, 0.0)]


def b_of(program, **options):
    return simulate(program, STEPS * DT, dt=DT, record={"b": "b/op/x"}, progress=False, **options)["b"][:, 0]


@pytest.mark.parametrize(("delay", "spread"), POINTS)
def test_delay_and_spread_set_are_as_defined(delay, spread):
    numbers = {f"{EDGE}/delay": delay, f"{EDGE}/spread": spread}
    right = chain_loop(delay, spread)
    assert np.abs(b_of(CHAIN.program.update(numbers)) - right).max() < 1e-12
    assert np.abs(b_of(CHAIN, params=numbers) - right).max() < 1e-12
    assert np.abs(b_of(CHAIN.update_var(edge_vars=[(*LINK, {"delay": delay, "spread": spread})])) - right).max() < 1e-12
    alike = {path: np.full(2, value) for path, value in numbers.items()}
    rows = simulate(CHAIN, STEPS * DT, dt=DT, record={"b": "b/op/x"}, batch=alike, progress=False)["b"]
    assert np.abs(rows[:, :, 0] - right).max() < 1e-12


def test_sweeps_and_grids_over_delay_and_spread_are_single_runs():
    delays, spreads = (np.array(v) for v in zip(*POINTS, strict=True))
    right = np.array([chain_loop(*point) for point in POINTS])
    values = {f"{EDGE}/delay": delays, f"{EDGE}/spread": spreads}
    found = sweep(CHAIN, values, STEPS * DT, dt=DT, mode="zip", record={"b": "b/op/x"}, progress=False)["b"].values
    assert np.abs(found - right).max() < 1e-12
    places = {"d": {"vars": ["delay"], "edges": [LINK]}, "s": {"vars": ["spread"], "edges": [LINK]}}
    table, _ = grid_search(CHAIN, {"d": delays, "s": spreads}, places, DT, STEPS * DT, {"b": "b/op/x"})
    assert np.abs(table.to_numpy().T - right).max() < 1e-12
    with_params = sweep(CHAIN, {f"{EDGE}/delay": delays[:3]}, STEPS * DT, dt=DT, record={"b": "b/op/x"}, progress=False,
                        params={f"{EDGE}/spread": 0.9})["b"].values  # fmt: skip
    assert np.abs(with_params - [chain_loop(d, 0.9) for d in delays[:3]]).max() < 1e-12
    rows = simulate(CHAIN, STEPS * DT, dt=DT, record={"b": "b/op/x"}, batch=values, progress=False)["b"]
    assert np.abs(rows[:, :, 0] - right).max() < 1e-12
    with pytest.raises(CapabilityError, match=r"no state or store in common; use recurra\.sweep"):
        simulate(CHAIN, 1.0, dt=DT, batch={f"{EDGE}/delay": delays}, store="x")


def test_a_point_that_cannot_be_fails_alone():
    delays = {f"{EDGE}/delay": [0.9, -1.0, 2.25]}
    found = sweep(CHAIN, delays, STEPS * DT, dt=DT, record={"b": "b/op/x"}, progress=False)
    assert found["failed"].values.tolist() == [False, True, False]
    assert np.abs(found["b"].values[2] - chain_loop(2.25, SPREAD)).max() < 1e-12


def test_training_keeps_the_stages_and_says_so():
    """The target has a longer delay; the program that comes back is the one that was trained."""
    goal = chain_loop(2.0, 2.0 / np.sqrt(11))[:, None]
    with pytest.warns(RuntimeWarning, match="was trained with the 11 stages that it had; with them its spread is"):
        fit = fit_bptt(CHAIN.program, None, goal, output="b/op/x", train=[f"{EDGE}/delay"], dt=DT, lr=0.05, epochs=80,
                       precision="float64", progress=False)  # fmt: skip
    assert fit.params[f"{EDGE}/delay"] == pytest.approx(2.0, abs=0.02)
    assert fit.program.system.chains[0].order == 11
    run = as_function(CHAIN.program, STEPS * DT, dt=DT, record={"b": "b/op/x"})
    trained = np.asarray(run({f"{EDGE}/delay": fit.params[f"{EDGE}/delay"]})["b"])[:, 0]
    assert np.abs(b_of(fit.program) - trained).max() < 1e-12
