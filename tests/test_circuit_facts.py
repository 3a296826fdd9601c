"""Facts about published models that hold for whoever implements them: equilibria, periods, amplitudes.

The numbers were derived independently (root finding, DOP853 with a relative tolerance of 1e-11), and are
checked twice where that is cheap: against the library and against the hand-written `circuit_oracles`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import root

import circuit_oracles as oracles
from circuit_checks import accurate_run, close, load, rises
from recurra.circuits import (
    CircuitTemplate,
    Connectivity,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
)

MASSES = "model_templates.neural_mass_models"
OSCILLATORS = "model_templates.oscillators"
TEST_BACKEND = f"{Path(__file__).parent}/templates/test_backend"


def field_of(circuit: CircuitTemplate):
    """Return the vector field as a function of the state, its first state, and where each state is in it."""
    func, args, _, index = circuit.get_run_func("field", step_size=1e-3)
    return lambda y: np.asarray(func(0.0, np.asarray(y), *args[2:])), np.asarray(args[1]), index


def equilibrium(circuit: CircuitTemplate, guess: dict[str, float]) -> tuple[dict[str, float], np.ndarray]:
    """Find an equilibrium near `guess`, and the eigenvalues there, the largest real part first."""
    field, start, index = field_of(circuit)
    for path, value in guess.items():
        start[index[path]] = value
    found = root(field, start, tol=1e-13)
    jacobian, args, _, _ = circuit.get_jacobian_func("jacobian", step_size=1e-3)
    eigenvalues = np.linalg.eigvals(np.asarray(jacobian(0.0, found.x, *args[2:])))
    return {path: found.x[i] for path, i in index.items()}, eigenvalues[np.argsort(-eigenvalues.real)]


def phases(circuit: CircuitTemplate, path: str, states: list[str], plan: list[tuple[float, float]], step: float):
    """Run with an input that is constant in each phase, a (duration, value); return the end of each."""
    start, ends = None, []
    for duration, value in plan:
        frame = accurate_run(circuit, duration, step, states, start, {path: value})
        start = dict(zip(states, frame.to_numpy()[-1], strict=True))
        ends.append(frame.to_numpy()[-1])
    return np.array(ends)


# 1


@pytest.mark.parametrize(("text", "value"), [("4.+5.*2.", 14), ("4.*5.^2.", 100), ("(4.+5.)*2.", 18), ("4.^2.", 16)])
def test_01_arithmetic(text, value):
    from recurra.equations import evaluate_numpy, parse_expression

    assert evaluate_numpy(parse_expression(text), {}) == value


# 2 to 7: integration, delays, kernels


def test_02_a_linear_pair_by_euler():
    outputs = ["pop0/op0/a", "pop0/op0/b"]
    coarse = load(f"{TEST_BACKEND}/net0").run(10.0, 0.1, outputs=outputs).to_numpy()
    close(coarse, oracles.euler(lambda y, u: [y[1] / 2, y[0] + 2], [0, 0], 0.1, 100), 1e-9)
    fine = load(f"{TEST_BACKEND}/net0").run(10.0, 1e-3, sampling_step_size=1e-2, outputs=outputs)
    close(fine.loc[9.99], [1164.194488, 1649.245648], 1e-6)


def test_03_discrete_delays():
    frame = load(f"{TEST_BACKEND}/net10").run(10.0, 1e-3, sampling_step_size=1e-2, outputs=["pop0/op8/a", "pop1/op8/a"])
    close(frame.to_numpy()[-1], [890.253142, 1520.504302], 1e-6)


def test_04_gamma_distributed_delays():
    frame = load(f"{TEST_BACKEND}/net13").run(
        20.0, 1e-3, sampling_step_size=1e-2, outputs=["p1/op9/a", "p2/op10/a"], inputs={"p1/op9/I_ext": 0.5}
    )
    close(frame.to_numpy()[-1], [2.0695445, 1.6023626], 1e-7)


def test_05_two_kuramoto_oscillators_after_one_step():
    node = NodeTemplate.from_yaml(f"{OSCILLATORS}.kuramoto.phase_pop")
    edge = EdgeTemplate.from_yaml(f"{OSCILLATORS}.kuramoto.sin_edge")
    edges = [
        (
            f"{a}/phase_op/theta",
            f"{b}/phase_op/s_in",
            edge,
            {
                "weight": 1.0,
                "sin_edge/coupling_op/theta_s": "source",
                "sin_edge/coupling_op/theta_t": f"{b}/phase_op/theta",
            },
        )
        for a, b in (("p1", "p2"), ("p2", "p1"))
    ]
    circuit = CircuitTemplate("pair", nodes={"p1": node, "p2": node}, edges=edges)
    circuit = circuit.update_var(node_vars={"p2/phase_op/theta": np.pi / 2})
    frame = circuit.run(2e-3, 1e-3, outputs=["p1/phase_op/theta", "p2/phase_op/theta"])
    close(frame.to_numpy()[1], [0.011, np.pi / 2 + 0.009], 1e-12)


WEIGHTS = np.array([[0.0, 0.5, -0.3], [1.0, 0.0, 0.2], [0.4, -0.7, 0.0]])
STARTS = np.array([0.3, -0.2, 0.5])


def population_circuit(**connection) -> CircuitTemplate:
    node = NodeTemplate.from_yaml("model_templates.base_templates.li_node")
    return CircuitTemplate(
        "population",
        populations={"p": PopulationTemplate("pop", node, n=3, params={"li_op/r": STARTS})},
        connections=[Connectivity("p/li_op/r", "p/li_op/m_in", weights=WEIGHTS, **connection)],
    )


def run_population(circuit: CircuitTemplate, dt: float, steps: int) -> np.ndarray:
    return circuit.run(steps * dt, dt, outputs={"r": "p/li_op/r"}).to_numpy()


def test_06_a_matrix_of_delayed_connections():
    dt, steps, lag = 1e-2, 200, 4
    r = np.zeros((steps, 3))
    r[0] = STARTS
    for k in range(steps - 1):
        late = r[k - lag] if k >= lag else np.zeros(3)
        r[k + 1] = r[k] + dt * (-r[k] + WEIGHTS @ late)
    close(run_population(population_circuit(delays=lag * dt), dt, steps), r, 1e-12)


def test_06_a_matrix_of_gamma_distributed_delays():
    dt, steps, delay, order = 1e-4, 400, 5e-3, 6
    rate, r, chain, rows = order / delay, STARTS.copy(), np.zeros((order, 3)), []
    for _ in range(steps):
        rows.append(r)
        flow = rate * (np.vstack([r, chain[:-1]]) - chain)
        r = r + dt * (-r + WEIGHTS @ chain[-1])
        chain = chain + dt * flow
    close(run_population(population_circuit(delays=delay, spread=2e-3), dt, steps), rows, 1e-12)


def test_06_a_matrix_of_dynamic_connections():
    dt, steps, tau = 1e-2, 200, 0.5
    low_pass = OperatorTemplate(
        "low_pass",
        equations=["q' = (w_in - q)/tau"],
        variables={"q": "output(0.0)", "w_in": "input", "tau": tau},
    )
    edge = EdgeTemplate("low_pass_edge", operators=[low_pass])
    r, q, rows = STARTS.copy(), np.zeros((3, 3)), []
    for _ in range(steps):
        rows.append(r)
        flow = (r[None, :] - q) / tau
        r = r + dt * (-r + (WEIGHTS * q).sum(1))
        q = q + dt * flow
    circuit = population_circuit(edge=edge, edge_var_map={"w_in": "source"})
    close(run_population(circuit, dt, steps), rows, 1e-12)


def test_07_a_delay_differential_equation():
    operator = OperatorTemplate("decay", equations=["x' = -past(x, tau)"], variables={"x": "output(1.0)", "tau": 0.1})
    circuit = CircuitTemplate("dde", nodes={"p": NodeTemplate("decay_node", operators=[operator])})
    dt = 1e-4
    x = np.ones(3001)
    for k in range(3000):
        x[k + 1] = x[k] - dt * (x[k - 1000] if k >= 1000 else 1.0)
    got = circuit.run(0.3 + dt, dt, outputs=["p/decay/x"]).to_numpy()[:, 0]
    close(got, x, 1e-12)
    close(got[[1000, 2000, 3000]], [0.9, 0.805, 0.7198333], 1e-4)  # the exact solution, by the method of steps


# 8 to 13: mean fields of spiking neurons


@pytest.mark.parametrize(
    ("r", "v", "eigenvalues"),
    [
        (0.08113444, -1.96161999, [-2.4487, -5.3977]),
        (0.47298034, -0.33649378, [1.6417, -2.9877]),
        (1.0305968, -0.15442988, [-0.30886 + 3.31863j, -0.30886 - 3.31863j]),
    ],
)
def test_08_equilibria_of_the_qif_population(r, v, eigenvalues):
    close(oracles.qif([r, v], 0.0), 0.0, 1e-6)
    found, values = equilibrium(load(f"{MASSES}.qif.qif"), {"p/qif_op/r": r, "p/qif_op/v": v})
    close([found["p/qif_op/r"], found["p/qif_op/v"]], [r, v], 1e-7)
    close(sorted(values, key=lambda z: (-z.real, -z.imag)), eigenvalues, 1e-4)


@pytest.mark.parametrize(("eta", "r"), [(-3.136134, 0.162570), (-5.743527, 0.753922)])
def test_09_folds_of_the_qif_population(eta, r):
    v = -1 / (2 * np.pi * r)
    circuit = load(f"{MASSES}.qif.qif", p__qif_op__eta=eta)
    field, y, index = field_of(circuit)
    y[index["p/qif_op/r"]], y[index["p/qif_op/v"]] = r, v
    close(field(y), 0.0, 1e-5)
    jacobian, args, _, _ = circuit.get_jacobian_func("jacobian", step_size=1e-3)
    close(np.linalg.det(np.asarray(jacobian(0.0, y, *args[2:]))), 0.0, 1e-4)


QIF = ["p/qif_op/r", "p/qif_op/v"]


def test_10_hysteresis_of_the_qif_population():
    plan = [(10.0, 0.0), (20.0, 3.0), (10.0, 0.0)]
    ends = phases(load(f"{MASSES}.qif.qif"), "p/qif_op/I_ext", QIF, plan, 0.1)
    expected = [(0.08113444, -1.96161999), (1.35919146, -0.14591155), (1.03623717, -0.17627198)]
    close(ends, expected, 2e-8)
    found, _ = equilibrium(load(f"{MASSES}.qif.qif", p__qif_op__eta=-2.0), {"p/qif_op/r": 1.3})
    close([found[p] for p in QIF], [1.3732441, -0.11589705], 1e-7)


def test_11_the_theta_mean_field_is_the_qif_mean_field():
    plan = [(10.0, 0.0), (20.0, 3.0), (10.0, 0.0)]
    theta = load(f"{MASSES}.theta.kmo_theta")
    z = phases(theta, "p/theta_op/I_ext", ["p/theta_op/z"], plan, 0.1)[:, 0]
    close(z[0], -0.53717147 - 0.72348390j, 2e-8)
    w = (1 - z.conj()) / (1 + z.conj())
    start = (1 - np.conj(-0.6 - 0.8j)) / (1 + np.conj(-0.6 - 0.8j))
    # z starts on the unit circle (r = 0), the QIF population a little inside: compare from the same start
    qif = load(f"{MASSES}.qif.qif", p__qif_op__r=start.real / np.pi, p__qif_op__v=start.imag)
    close(np.stack([w.real / np.pi, w.imag], 1), phases(qif, "p/qif_op/I_ext", QIF, plan, 0.1), 1e-7)
    close([w[0].real / np.pi, w[0].imag], [0.08113444, -1.96162], 1e-7)


def test_12_the_qif_population_with_adaptation():
    found, values = equilibrium(load(f"{MASSES}.qif.qif_sfa"), {})
    close([found[f"p/qif_sfa_op/{v}"] for v in "rva"], [0.07684201, -2.07119697, 0.38421006], 1e-8)
    close(found["p/qif_sfa_op/a"], 5 * found["p/qif_sfa_op/r"], 1e-12)
    assert values[0].real < 0


def test_12_adaptation_and_depression_lower_the_rate():
    def rate(name, operator):
        circuit = load(f"{MASSES}.qif.{name}")
        inputs = {f"p/{operator}/I_ext": 5.0}
        frame = circuit.run(50.0, 1e-2, outputs=[f"p/{operator}/r"], inputs=inputs, solver="heun")
        return frame.to_numpy()[4900, 0]

    assert rate("qif", "qif_op") > rate("qif_sfa", "qif_sfa_op") > rate("qif_sd", "qif_op")


def test_13_the_qif_population_with_conductances():
    found, values = equilibrium(load(f"{MASSES}.qif.qif_conduct"), {"p/qif_conduct_op/v": -1.7})
    close([found[f"p/qif_conduct_op/{v}"] for v in "rvs"], [0.07549957, -1.73052671, 0.15099914], 1e-8)
    assert values[0].real < 0


def test_13_izhikevich_without_recovery_is_qif_with_conductances():
    names = {"alpha": 0.0, "b": 0.0, "d": 0.0, "Delta": 1.0, "eta": -5.0, "g": 5.0, "tau_s": 2.0}
    ik = load(f"{MASSES}.ik.ik_nodim").update_var(node_vars={f"p/ik_nodim_op/{k}": v for k, v in names.items()})
    qif = load(f"{MASSES}.qif.qif_conduct")
    runs = [
        circuit.run(
            20.0,
            1e-3,
            sampling_step_size=0.1,
            outputs=[f"p/{op}/{v}" for v in "rvs"],
            inputs={f"p/{op}/I_ext": 3.0},
        )
        for circuit, op in ((ik, "ik_nodim_op"), (qif, "qif_conduct_op"))
    ]
    close(runs[0].to_numpy(), runs[1].to_numpy(), 1e-12)
    close(
        runs[0].to_numpy(),
        oracles.euler(oracles.qif_conduct, [0, 0, 0], 1e-3, 20000, 100, np.full(20000, 3.0)),
        1e-11,
    )


# 14 to 17: Wilson-Cowan

WC = ["e/rate_op/r", "i/rate_op/r"]


@pytest.mark.parametrize(
    ("drive", "guess", "point", "eigenvalues"),
    [
        (0.0, (0.0, 0.0), (0.0, 0.0), [0.03513, -0.08295]),
        (0.0, (0.066, 0.029), (0.06556929, 0.02917515), [-0.01117 + 0.08912j, -0.01117 - 0.08912j]),
        (1.0, (0.15, 0.14), (0.15255984, 0.1426252), [-0.03312 + 0.25516j, -0.03312 - 0.25516j]),
    ],
)
def test_14_15_equilibria_of_the_wilson_cowan_model(drive, guess, point, eigenvalues):
    close(oracles.wilson_cowan(list(point), drive), 0.0, 1e-8)
    circuit = load(f"{MASSES}.wilsoncowan.WC", e__se_op__r_ext=drive)
    found, values = equilibrium(circuit, dict(zip(WC, guess, strict=True)))
    close([found[p] for p in WC], point, 1e-8)
    close(sorted(values, key=lambda z: (-z.real, -z.imag)), eigenvalues, 1e-5)


def test_14_the_wilson_cowan_model_stays_at_the_origin():
    frame = load(f"{MASSES}.wilsoncowan.WC").run(50.0, 1e-2, outputs=WC)
    assert np.max(np.abs(frame.to_numpy())) < 1e-14


def test_16_the_published_wilson_cowan_run():
    drive = oracles.pulse(250000, 5e-4, 25.0, 100.0, 1.0)
    frame = load(f"{MASSES}.wilsoncowan.WC").run(
        125.0, 5e-4, sampling_step_size=1e-2, outputs=WC, inputs={"e/se_op/r_ext": drive}
    )
    e, time = frame.to_numpy()[:, 0], frame.index.to_numpy()
    close([e.max(), time[e.argmax()]], [0.2234944, 35.08], 1e-7)
    rows = frame.to_numpy()[[4000, 6000, 9999, 12499]]
    expected = [
        (0.17282116, 0.21489674),
        (0.17490879, 0.13183317),
        (0.14325090, 0.13751077),
        (-0.03290941, 0.01286169),
    ]
    close(rows, expected, 1e-8)


def test_16_the_wilson_cowan_run_without_the_error_of_euler():
    plan = [(25.0, 0.0), (75.0, 1.0), (24.99, 0.0)]
    ends = phases(load(f"{MASSES}.wilsoncowan.WC"), "e/se_op/r_ext", WC, plan, 0.01)
    close(ends[1:], [(0.14326100, 0.13749285), (-0.03290609, 0.01286374)], 2e-8)


def test_17_the_wilson_cowan_model_with_a_step_of_input():
    plan = [(10.0, 0.0), (30.0, 1.0), (10.0, 0.0)]
    ends = phases(load(f"{MASSES}.wilsoncowan.WC"), "e/se_op/r_ext", WC, plan, 0.1)
    close(ends[1:], [(0.12394500, 0.09215873), (0.05117097, 0.05591653)], 2e-8)


def stp(T: float, on: float, off: float, dt: float = 1e-3, every: int = 100):
    drive = oracles.pulse(round(T / dt), dt, on, off, 1.0)
    frame = load(f"{MASSES}.wilsoncowan.WC_stp").run(
        T, dt, sampling_step_size=dt * every, outputs=WC, inputs={"e/se_op/r_ext": drive}
    )
    return frame.to_numpy(), drive


def test_17_the_wilson_cowan_model_with_plastic_synapses():
    got, drive = stp(50.1, 10.0, 40.0)
    start = [0.0, 0.0, *[1.0, 0.6] * 4]
    close(got, oracles.euler(oracles.wilson_cowan_stp, start, 1e-3, 50100, 100, drive)[:, :2], 1e-11)
    close(got[[400, 500]], [(0.20415177, 0.05653393), (0.09292105, 0.03491056)], 1e-5)  # Euler's error at dt = 1e-3


def test_17_plasticity_raises_the_excitatory_rate():
    got, drive = stp(120.0, 50.0, 80.0)
    plain = load(f"{MASSES}.wilsoncowan.WC").run(
        120.0, 1e-3, sampling_step_size=0.1, outputs=WC, inputs={"e/se_op/r_ext": drive}
    )
    for row in (750, 1190):
        assert got[row, 0] > plain.to_numpy()[row, 0]


# 18 and 19: Jansen-Rit

PC = ["pc/rpo_e_in/v", "pc/rpo_i/v"]


def test_18_the_alpha_rhythm_of_the_jansen_rit_column():
    frame = accurate_run(load(f"{MASSES}.jansenrit.JRC"), 8.0, 1e-3, PC)
    v = 1e3 * frame.to_numpy().sum(1)
    close(v[[10, 50, 100]], [1.823763, 9.797499, 6.973829], 1e-6)
    close([v[2000:4000].min(), v[2000:4000].max()], [6.0576, 9.0713], 2e-3)
    # the cycle is reached slowly: 10.936 Hz is a mean over the third and fourth second, 10.93803 Hz the limit
    time = frame.index.to_numpy()
    close(1 / np.mean(np.diff(rises(time[7000:], v[7000:]))), 10.93803, 3e-4)
    close([v[7000:].min(), v[7000:].max()], [6.08825, 9.03439], 2e-3)


def test_18_the_focus_of_the_jansen_rit_column():
    guess = {"pc/rpo_e_in/v": 0.03, "pc/rpo_i/v": -0.0225, "ein/rpo_e/v": 0.0155, "iin/rpo_e/v": 0.0039}
    found, values = equilibrium(load(f"{MASSES}.jansenrit.JRC"), guess)
    close(1e3 * (found[PC[0]] + found[PC[1]]), 7.52029, 1e-5)
    close(values[0].real, 0.8332, 1e-4)
    assert abs(values[0].imag) > 1


def test_18_the_error_of_euler_shows_in_the_jansen_rit_column():
    frame = load(f"{MASSES}.jansenrit.JRC").run(4.0, 1e-4, sampling_step_size=1e-3, outputs=PC)
    v = 1e3 * frame.to_numpy()[2000:].sum(1)
    close([v.min(), v.max()], [5.876, 9.269], 2e-3)


def test_19_the_column_in_one_operator_is_the_column_in_three_nodes():
    settings = {"sampling_step_size": 1e-3}
    three = load(f"{MASSES}.jansenrit.JRC").run(1.0, 1e-4, outputs=["ein/rpo_e/v", *PC], **settings)
    names = [f"jrc/jrc_op/{v}" for v in ("V_ein", "V_e", "V_i")]
    one = load(f"{MASSES}.jansenrit.JRC2").run(1.0, 1e-4, outputs=names, **settings)
    close(one.to_numpy(), three.to_numpy() * [1, 1, -1], 1e-13)


# 20 to 24: oscillators


@pytest.mark.parametrize(("mu", "amplitude", "period"), [(1.0, 2.008620, 6.663287), (5.0, 2.021508, 11.612231)])
def test_20_limit_cycles_of_the_van_der_pol_oscillator(mu, amplitude, period):
    frame = accurate_run(load(f"{OSCILLATORS}.vanderpol.vdp", p__vdp_op__mu=mu), 80.0, 2e-3, ["p/vdp_op/x"])
    x, time = frame.to_numpy()[20000:, 0], frame.index.to_numpy()[20000:]
    close(x.max(), amplitude, 2e-5)
    close(np.mean(np.diff(rises(time, x))), period, 1e-4)


def test_20_the_harmonic_oscillator():
    frame = accurate_run(load(f"{OSCILLATORS}.vanderpol.vdp", p__vdp_op__mu=0.0), 20.0, 1e-2, ["p/vdp_op/x"])
    close(frame.to_numpy()[:, 0], np.sin(frame.index.to_numpy()), 1e-8)


def test_21_the_kuramoto_order_parameter():
    frame = accurate_run(load(f"{OSCILLATORS}.kuramoto.kmo_mf"), 10.0, 0.1, ["p/kmo_op/z"])
    size = np.abs(frame.to_numpy()[:, 0])
    close(size[[10, 20, 100]], [0.28661401, 0.16949517, 0.00306077], 1e-8)
    circuit = CircuitTemplate.from_yaml(f"{OSCILLATORS}.kuramoto.kmo_mf")
    strong = circuit.update_var(edge_vars=[("p/kmo_op/z", "p/kmo_op/s_in", {"weight": 4.0})])
    size = np.abs(accurate_run(strong, 40.0, 0.1, ["p/kmo_op/z"]).to_numpy()[-1])
    close(size, np.sqrt(1 - 2 / 4), 1e-8)


def test_22_two_repelling_oscillators_end_in_anti_phase():
    states = ["p1/phase_op/theta", "p2/phase_op/theta"]
    plan = [(0.2, 0.0), (0.6, 1.0), (1.2, 0.0)]
    ends = phases(load(f"{OSCILLATORS}.kuramoto.kmo_2coupled"), "p1/phase_op/s_ext", states, plan, 0.1)
    close(ends[1:], [(9.79685287, 6.80314713), (21.87079131, 18.72920869)], 2e-8)
    close(ends[2, 0] - ends[2, 1], np.pi, 1e-4)


def test_22_an_uncoupled_oscillator_turns_evenly():
    frame = load(f"{OSCILLATORS}.kuramoto.kmo").run(2.0, 1e-2, outputs=["p/phase_op/theta"])
    close(frame.to_numpy()[:, 0], 10 * frame.index.to_numpy(), 1e-12)


@pytest.mark.parametrize(
    ("current", "point"),
    [(0.15, (0.03584983, 0.2345126, 0.08727945, 0.09320956)), (0.0, (0.00974578, -0.02027834))],
)
def test_23_equilibria_of_the_izhikevich_population(current, point):
    circuit = load(f"{MASSES}.ik.ik_nodim", p__ik_nodim_op__I_ext=current)
    names = [f"p/ik_nodim_op/{v}" for v in "rvus"]
    found, _ = equilibrium(circuit, dict(zip(names, point, strict=False)))
    close([found[name] for name in names][: len(point)], point, 1e-7)
    close(oracles.ik_nodim([found[name] for name in names], current), 0.0, 1e-12)


@pytest.mark.parametrize(
    ("path", "field", "end"),
    [
        (f"{OSCILLATORS}.stuartlandau.sl", oracles.stuart_landau, (0.40808206, -0.91294525)),
        (
            f"{Path(__file__).parent}/templates/stuartlandau_shipped/sl",
            oracles.stuart_landau_shipped,
            (-0.52500016, -0.85110212),
        ),
    ],
)
def test_24_the_stuart_landau_oscillator(path, field, end):
    circuit = load(path, p__sl_op__x=0.5)
    got = accurate_run(circuit, 20.0, 0.1, ["p/sl_op/x", "p/sl_op/z"]).to_numpy()
    close(got[-1], end, 2e-8)
    close(got, oracles.accurate(field, [0.5, 0.0], np.arange(201) * 0.1), 1e-8)
    close(np.hypot(*got[-1]), 1.0, 1e-4)


def test_29_the_jacobian_of_the_qif_population():
    jacobian, args, _, index = load(f"{MASSES}.qif.qif").get_jacobian_func("jacobian", step_size=1e-3)
    y = np.zeros(2)
    y[index["p/qif_op/r"]], y[index["p/qif_op/v"]] = 0.01, -2.0
    order = [index["p/qif_op/r"], index["p/qif_op/v"]]
    matrix = np.asarray(jacobian(0.0, y, *args[2:]))[np.ix_(order, order)]
    by_hand = [[2 * -2.0, 2 * 0.01], [15 - 2 * np.pi**2 * 0.01, 2 * -2.0]]
    close(matrix, by_hand, 1e-12)
    close(matrix, [[-4, 0.02], [14.8026079, -4]], 1e-7)


# what the numbers above rest on, without the library


def test_the_oracles_have_the_same_facts():
    jansen = oracles.accurate(oracles.jansen_rit, [0.0] * 8, [0.0, 0.01, 0.05, 0.1])
    close(1e3 * (jansen[1:, 0] + jansen[1:, 2]), [1.823763, 9.797499, 6.973829], 1e-6)
    close(oracles.accurate(oracles.qif, [0.01, -2.0], [0.0, 10.0])[-1], (0.08113444, -1.96161999), 2e-8)
    circle = oracles.accurate(oracles.stuart_landau, [0.5, 0.0], [0.0, 20.0])[-1]
    close(circle, (0.40808206, -0.91294525), 2e-8)
    relaxed = oracles.accurate(partial(oracles.van_der_pol, mu=0.0), [0.0, 1.0], [0.0, 2 * np.pi])[-1]
    close(relaxed, (0.0, 1.0), 1e-9)
