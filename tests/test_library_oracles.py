"""Hold the models that the library adds against hand-written fields, and against what their papers say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import root

import circuit_oracles as oracles
from circuit_checks import accurate_run, close, load, rises
from recurra.circuits import CircuitTemplate, NodeTemplate, OperatorTemplate

OSCILLATORS = "model_templates.oscillators"
MASSES = "model_templates.neural_mass_models"
CONDUCTANCES = "model_templates.conductance_based"
HH, WB = f"{CONDUCTANCES}.hodgkinhuxley.hodgkinhuxley", f"{CONDUCTANCES}.wangbuzsaki.wangbuzsaki"


class Model(NamedTuple):
    """Say how to run a one-node circuit and its hand-written field."""

    template: str
    field: oracles.Field
    operator: str
    states: str  # in the order of the field; with a slash where it is a state of another operator
    start: list[float]
    dt: float
    drive: str = ""
    scale: float = 1.0


MODELS = {
    "fitzhughnagumo": Model(
        f"{OSCILLATORS}.fitzhughnagumo.FHN",
        oracles.fitzhugh_nagumo,
        "fhn_op",
        "v w",
        [0.0, 0.0],
        0.05,
        "I_ext",
    ),
    "lorenz": Model(f"{OSCILLATORS}.lorenz.lorenz", oracles.lorenz, "lorenz_op", "x y z", [1.0, 1.0, 1.0], 0.005),
    "hopf": Model(f"{OSCILLATORS}.hopf.hopf", oracles.hopf, "hopf_op", "x y", [0.1, 0.0], 0.01, "x_in"),
    "hindmarshrose": Model(
        f"{OSCILLATORS}.hindmarshrose.HR",
        oracles.hindmarsh_rose,
        "hr_op",
        "x y z",
        [-1.6, -11.8, 0.0],
        0.02,
        "I_ext",
    ),
    "elliptic burster": Model(
        f"{OSCILLATORS}.stuartlandau.sl_burst",
        oracles.elliptic_burster,
        "sl_burst_op",
        "x z u",
        [1.0, 0.0, 0.0],
        0.01,
    ),
    "wongwang": Model(
        f"{MASSES}.wongwang.wongwang", oracles.wong_wang, "wongwang_op", "S", [0.001], 1e-3, "I_ext", 0.1
    ),
    "larterbreakspear": Model(
        f"{MASSES}.larterbreakspear.larterbreakspear",
        oracles.larter_breakspear,
        "lb_op",
        "V W Z",
        [0.1, 0.1, 0.1],
        0.1,
        "I_ext",
        0.1,
    ),
    "epileptor": Model(
        f"{MASSES}.epileptor.epileptor",
        oracles.epileptor,
        "epileptor_op",
        "x1 y1 z x2 y2 g",
        [0.0, -5.0, 3.0, 0.0, 0.0, 0.0],
        0.05,
        "I_ext1",
    ),
    "hodgkinhuxley": Model(
        HH, oracles.hodgkin_huxley, "hh_op", "V m h n", [-65.0, 0.0529, 0.5961, 0.3177], 0.01, "I_ext", 10.0
    ),
    "wangbuzsaki": Model(
        WB, oracles.wang_buzsaki, "wb_op", "V h n gaba_op/s", [-64.0, 0.78, 0.09, 0.0], 0.01, "I_ext", 2.0
    ),
}


def paths_of(operator: str, names: str) -> list[str]:
    """Return the paths of variables of the node p; a name with a slash names its own operator."""
    return [f"p/{name}" if "/" in name else f"p/{operator}/{name}" for name in names.split()]


def eigenvalues_at(circuit: CircuitTemplate, point: dict[str, float]) -> np.ndarray:
    """Return the eigenvalues at the equilibrium nearest to `point`, the largest real part first."""
    func, args, _, index = circuit.get_run_func("field", step_size=1e-3)
    jacobian, _, _, _ = circuit.get_jacobian_func("jacobian", step_size=1e-3)
    start = np.array(args[1])
    for path, value in point.items():
        start[index[path]] = value
    found = root(lambda y: np.asarray(func(0.0, y, *args[2:])), start, tol=1e-12)
    close([found.x[index[path]] for path in point], list(point.values()), 1e-3)
    values = np.linalg.eigvals(np.asarray(jacobian(0.0, found.x, *args[2:])))
    return values[np.argsort(-values.real)]


@pytest.mark.parametrize(
    ("name", "driven"),
    [(name, driven) for name, model in MODELS.items() for driven in (False, True) if model.drive or not driven],
)
def test_a_model_follows_its_hand_written_equations(name, driven):
    model = MODELS[name]
    steps = 500
    wave = model.scale * driven * np.sin(np.arange(steps) * 0.02)
    frame = load(model.template).run(
        steps * model.dt,
        model.dt,
        outputs=paths_of(model.operator, model.states),
        inputs={f"p/{model.operator}/{model.drive}": wave} if driven else None,
    )
    close(frame.to_numpy(), oracles.euler(model.field, model.start, model.dt, steps, drive=wave), 1e-9)


def test_the_decision_model_follows_its_hand_written_equations():
    dt, steps = 1e-3, 800
    nodes = ["p1/wongwang_decision_op", "p2/wongwang_decision_op"]
    drive = 15.0 * np.sin(np.arange(steps) * 0.01)
    frame = load(f"{MASSES}.wongwang.wongwang_decision").run(
        steps * dt,
        dt,
        outputs=[f"{node}/S" for node in nodes],
        inputs={f"{nodes[0]}/mu": 30 + drive, f"{nodes[1]}/mu": 30 - drive},
    )
    close(frame.to_numpy(), oracles.euler(oracles.wong_wang_decision, [0.1, 0.1], dt, steps, drive=drive), 1e-9)


# oscillators


@pytest.mark.parametrize("sign", [1, -1])
def test_lorenz_has_two_unstable_equilibria(sign):
    # Lorenz 1963; the eigenvalues are those of every textbook, e.g. Sparrow 1982
    x = sign * np.sqrt(8 / 3 * 27)
    point = {f"p/lorenz_op/{k}": v for k, v in zip("xyz", (x, x, 27.0), strict=True)}
    values = eigenvalues_at(load(f"{OSCILLATORS}.lorenz.lorenz"), point)
    close(
        sorted(values, key=lambda z: (-z.real, -z.imag)),
        [0.093956 + 10.194505j, 0.093956 - 10.194505j, -13.854578],
        1e-5,
    )


def test_lorenz_is_at_rest_for_small_rho():
    frame = load(f"{OSCILLATORS}.lorenz.lorenz", p__lorenz_op__rho=0.5).run(40.0, 1e-2)
    close(frame.to_numpy()[-1], 0.0, 1e-6)


@pytest.mark.parametrize(("current", "stable"), [(0.0, True), (0.5, False)])
def test_fitzhugh_nagumo_is_excitable_or_oscillates(current, stable):
    circuit = load(f"{OSCILLATORS}.fitzhughnagumo.FHN", p__fhn_op__I=current)
    rest = root(lambda y: oracles.fitzhugh_nagumo(y, 0.0, current), [-1.0, -0.5], tol=1e-13).x
    values = eigenvalues_at(circuit, dict(zip(["p/fhn_op/v", "p/fhn_op/w"], rest, strict=True)))
    v = rest[0]  # the trace and the determinant of the Jacobian, by hand
    close(values.sum(), 1 - v * v - 0.8 / 12.5, 1e-10)
    close(values.prod(), (-(1 - v * v) * 0.8 + 1) / 12.5, 1e-10)
    assert (values[0].real < 0) == stable


def test_the_limit_cycle_of_fitzhugh_nagumo():
    frame = accurate_run(load(f"{OSCILLATORS}.fitzhughnagumo.FHN"), 300.0, 0.02, ["p/fhn_op/v"])
    time, v = frame.index.to_numpy()[7500:], frame.to_numpy()[7500:, 0]
    reference = oracles.accurate(oracles.fitzhugh_nagumo, [0.0, 0.0], frame.index.to_numpy())[7500:, 0]
    close(v, reference, 1e-6)
    close(np.diff(rises(time, v, 0.0)), 39.475, 0.01)


@pytest.mark.parametrize("a", [-0.5, 0.25, 1.0])
def test_hopf_follows_the_exact_solution(a):
    # r^2 = a / (1 + (a / r0^2 - 1) exp(-2 a t)), phase omega t (Kuznetsov 2004, section 3.4)
    frame = accurate_run(
        load(f"{OSCILLATORS}.hopf.hopf", p__hopf_op__a=a, p__hopf_op__omega=3.0),
        20.0,
        0.1,
        ["p/hopf_op/x", "p/hopf_op/y"],
    )
    t = frame.index.to_numpy()
    r = np.sqrt(a / (1 + (a / 0.01 - 1) * np.exp(-2 * a * t)))
    close(frame.to_numpy(), np.stack([r * np.cos(3 * t), r * np.sin(3 * t)], 1), 1e-8)
    if a > 0:
        close(r[-1], np.sqrt(a), 0.02)


@pytest.mark.parametrize(
    ("current", "spikes", "ratio"), [(0.0, 0, None), (2.0, 15, (5.0, 10.0)), (4.0, 49, (1.0, 1.01))]
)
def test_hindmarsh_rose_rests_bursts_and_fires(current, spikes, ratio):
    frame = load(f"{OSCILLATORS}.hindmarshrose.HR", p__hr_op__I=current).run(
        1500.0, 0.01, sampling_step_size=0.05, outputs=["p/hr_op/x"], solver="rk4"
    )
    times = rises(frame.index.to_numpy(), frame.to_numpy()[:, 0], 0.5)
    times = times[times > 500]
    assert len(times) == spikes
    if ratio:
        gaps = np.diff(times)
        assert ratio[0] <= gaps.max() / gaps.min() <= ratio[1]


def test_the_elliptic_burster_alternates_between_rest_and_oscillation():
    frame = load(f"{OSCILLATORS}.stuartlandau.sl_burst").run(
        400.0, 0.01, sampling_step_size=0.1, outputs=["p/sl_burst_op/x", "p/sl_burst_op/z"], solver="rk4"
    )
    radius = np.hypot(*frame.to_numpy().T)
    starts = rises(frame.index.to_numpy(), radius, 0.7)
    close(np.diff(starts), 50.63, 0.02)
    assert radius[1000:].min() < 0.01 and radius[1000:].max() > np.sqrt(2)


# neural masses


def test_the_transfer_function_of_wong_wang_is_smooth_where_the_formula_is_not():
    # at 270 x = 108 the formula of the paper is 0/0; its limit is 1/d
    circuit = load(f"{MASSES}.wongwang.wongwang", p__wongwang_op__I_0=0.4, p__wongwang_op__S=0.0)
    frame = circuit.run(2e-3, 1e-3, outputs=["p/wongwang_op/H", "p/wongwang_op/S"])
    close(frame.to_numpy()[0, 0], 1 / 0.154, 1e-9)
    close(frame.to_numpy()[1, 1], 1e-3 * 0.641 / 0.154, 1e-12)


@pytest.mark.parametrize("start", [0.001, 0.5, 0.9])
def test_wong_wang_settles_at_one_low_rate(start):
    frame = load(f"{MASSES}.wongwang.wongwang", p__wongwang_op__S=start).run(
        5.0, 1e-3, sampling_step_size=0.1, outputs=["p/wongwang_op/S", "p/wongwang_op/H"]
    )
    fixed = root(lambda y: oracles.wong_wang(y, 0.0), [0.03], tol=1e-14).x[0]
    close(frame.to_numpy()[-1], [fixed, oracles.wong_wang_rate(0.9 * 0.2609 * fixed + 0.3)], 1e-6)


@pytest.mark.parametrize(("coherence", "threshold_time"), [(0.064, 0.596), (0.512, 0.252), (-0.512, None)])
def test_the_decision_model_decides_faster_for_stronger_evidence(coherence, threshold_time):
    nodes = ["p1/wongwang_decision_op", "p2/wongwang_decision_op"]
    frame = load(f"{MASSES}.wongwang.wongwang_decision").run(
        3.0,
        1e-3,
        outputs=[f"{node}/H" for node in nodes],
        inputs={f"{nodes[0]}/mu": 30 * (1 + coherence), f"{nodes[1]}/mu": 30 * (1 - coherence)},
        solver="rk4",
    )
    rates = frame.to_numpy()
    winner = 0 if coherence > 0 else 1
    assert rates[-1, winner] > 30 and rates[-1, 1 - winner] < 3
    if threshold_time:  # 15 Hz is the threshold of Wong & Wang 2006
        close(frame.index.to_numpy()[np.argmax(rates[:, winner] > 15)], threshold_time, 2e-3)


def test_the_decision_model_without_evidence_or_noise_stays_undecided():
    nodes = ["p1/wongwang_decision_op", "p2/wongwang_decision_op"]
    frame = load(f"{MASSES}.wongwang.wongwang_decision").run(2.0, 1e-3, outputs=[f"{node}/S" for node in nodes])
    close(frame.to_numpy()[:, 0], frame.to_numpy()[:, 1], 1e-12)
    close(frame.to_numpy()[-1], 0.10265, 1e-3)


def test_larter_breakspear_oscillates():
    frame = load(f"{MASSES}.larterbreakspear.larterbreakspear").run(
        1500.0, 0.05, sampling_step_size=0.5, outputs=["p/lb_op/V", "p/lb_op/W", "p/lb_op/Z"], solver="rk4"
    )
    late = frame.to_numpy()[1000:]
    close(np.diff(rises(frame.index.to_numpy()[1000:], late[:, 0], 0.0)), 91.13, 0.1)
    reference = oracles.accurate(oracles.larter_breakspear, [0.1, 0.1, 0.1], np.arange(1000, 3000) * 0.5)
    close([late.min(0), late.max(0)], [reference.min(0), reference.max(0)], 1e-3)


@pytest.mark.parametrize(("x0", "seizures"), [(-1.6, True), (-2.5, False)])
def test_the_epileptor_has_seizures_if_it_is_excitable_enough(x0, seizures):
    frame = load(f"{MASSES}.epileptor.epileptor", p__epileptor_op__x0=x0).run(
        12000.0, 0.1, sampling_step_size=1.0, outputs=["p/epileptor_op/x1", "p/epileptor_op/z"], solver="rk4"
    )
    x1 = frame.to_numpy()[5000:, 0]
    smooth = np.convolve(x1, np.ones(100) / 100, "valid")
    onsets = rises(np.arange(len(smooth), dtype=float), smooth, -0.5)
    if seizures:
        assert len(onsets) == 4
        close(np.diff(onsets), 1933, 20)
    else:
        assert len(onsets) == 0 and x1.max() < -1.5


def test_the_interictal_state_of_the_epileptor():
    # for x1 < 0 the equilibrium solves x1^3 + 2 x1^2 + 4 (x1 - x0) = 4.1 (Jirsa et al. 2014 with g at 100 x1)
    x0 = -2.5
    roots = np.roots([1.0, 2.0, 4.0, -4 * x0 - 4.1])
    x1 = roots[np.isreal(roots)].real[0]
    point = {"p/epileptor_op/x1": x1, "p/epileptor_op/y1": 1 - 5 * x1**2, "p/epileptor_op/z": 4 * (x1 - x0)}
    start = {"x0": x0, "g": 100 * x1, "x2": -1.0}
    circuit = load(
        f"{MASSES}.epileptor.epileptor",
        **{f"p__epileptor_op__{name}": value for name, value in start.items()},
    )
    assert eigenvalues_at(circuit, point)[0].real < 0


# conductance-based neurons


def test_hodgkin_huxley_rests_at_minus_65_mv():
    frame = load(HH).run(200.0, 0.01, sampling_step_size=1.0, outputs=["p/hh_op/V"])
    close(frame.to_numpy()[:, 0], -65.0, 0.01)
    rest = root(lambda y: oracles.hodgkin_huxley(y, 0.0), [-65.0, 0.05, 0.6, 0.32], tol=1e-13).x
    close(frame.to_numpy()[-1, 0], rest[0], 1e-6)


@pytest.mark.parametrize(("current", "spikes", "frequency"), [(6.0, 2, None), (6.5, 28, 55.06), (10.0, 35, 68.32)])
def test_hodgkin_huxley_fires_above_its_rheobase(current, spikes, frequency):
    frame = load(HH).run(
        500.0,
        0.01,
        sampling_step_size=0.05,
        outputs=["p/hh_op/V"],
        inputs={"p/hh_op/I_ext": current},
        solver="rk4",
    )
    times = rises(frame.index.to_numpy(), frame.to_numpy()[:, 0], 0.0)
    assert len(times) == spikes
    if frequency:
        close(1000 / np.mean(np.diff(times[-5:])), frequency, 0.1)


@pytest.mark.parametrize("path", [HH, WB])
@pytest.mark.parametrize("voltage", [-40.0, -55.0, -35.0, -34.0])
def test_the_rates_are_smooth_where_the_formulas_are_not(path, voltage):
    operator = "hh_op" if path == HH else "wb_op"
    field = oracles.hodgkin_huxley if path == HH else oracles.wang_buzsaki
    names = "V m h n" if path == HH else "V h n gaba_op/s"
    circuit = CircuitTemplate.from_yaml(path).update_var(node_vars={f"p/{operator}/V": voltage})
    outputs = paths_of(operator, names)
    frame = circuit.run(2e-3, 1e-3, outputs=outputs)
    first, second = frame.to_numpy()
    close((second - first) / 1e-3, field(list(first), 0.0), 1e-6)
    jacobian, args, _, _ = circuit.get_jacobian_func("jacobian", step_size=1e-3)
    assert np.all(np.isfinite(np.asarray(jacobian(0.0, args[1], *args[2:]))))


@pytest.mark.parametrize(
    ("current", "frequency"), [(0.15, 0.0), (0.2, 8.62), (0.5, 32.22), (1.0, 59.70), (2.0, 101.79)]
)
def test_wang_buzsaki_starts_to_fire_at_any_low_frequency(current, frequency):
    # type I excitability with a rheobase of about 0.16 uA/cm^2 (Wang & Buzsáki 1996, figure 1)
    frame = load(WB).run(
        1500.0,
        0.01,
        sampling_step_size=0.05,
        outputs=["p/wb_op/V"],
        inputs={"p/wb_op/I_ext": current},
        solver="rk4",
    )
    times = rises(frame.index.to_numpy(), frame.to_numpy()[:, 0], 0.0)
    times = times[times > 300]
    got = 1000 / np.mean(np.diff(times)) if len(times) > 1 else 0.0
    close(got, frequency, 0.2)


# repaired models of the catalogue


def test_without_gap_junctions_the_qif_population_is_the_plain_one():
    plain = load(f"{MASSES}.qif.qif").run(10.0, 1e-3, outputs=["p/qif_op/r", "p/qif_op/v"])
    gap = load(f"{MASSES}.qif.qif_gap").run(10.0, 1e-3, outputs=["p/qif_gap_op/r", "p/qif_gap_op/v"])
    close(plain.to_numpy(), gap.to_numpy(), 1e-13)


def test_gap_junctions_pull_the_cells_together():
    def field(y, u):
        r, v = y
        return [1 / np.pi + r * (2 * v - 0.5), v * v - 5 + 15 * r - (np.pi * r) ** 2]

    gap = load(f"{MASSES}.qif.qif_gap", p__qif_gap_op__g=0.5)
    frame = gap.run(2.0, 1e-3, outputs=["p/qif_gap_op/r", "p/qif_gap_op/v"])
    close(frame.to_numpy(), oracles.euler(field, [0.01, -2.0], 1e-3, 2000), 1e-11)


def test_the_alpha_synapse_of_the_qif_population():
    def field(y, u):
        r, v, s, x = y
        return [1 / np.pi + 2 * r * v, v * v - 5 + u + 15 * s - (np.pi * r) ** 2, x, r - 2 * x - s]

    drive = np.full(5000, 2.0)
    frame = load(f"{MASSES}.qif.qif_alpha_syn").run(
        5.0, 1e-3, outputs=["p/qif_op/r", "p/qif_op/v"], inputs={"p/qif_op/I_ext": drive}
    )
    close(frame.to_numpy(), oracles.euler(field, [0.01, -2.0, 0.0, 0.0], 1e-3, 5000, drive=drive)[:, :2], 1e-10)


def test_depressing_synapses_with_gamma_delays():
    def field(y, u):
        r, v, x, *chain = y
        flow = [8 * (p - q) for p, q in zip([r * x, *chain[:5]], chain, strict=True)]
        v_rate = v * v - 5 + u + 15 * chain[5] - (np.pi * r) ** 2
        return [1 / np.pi + 2 * r * v, v_rate, (1 - x) / 100 - x * r, *flow]

    drive = np.full(5000, 5.0)
    frame = load(f"{MASSES}.qif.qif_sd").run(
        5.0, 1e-3, outputs=["p/qif_op/r", "p/qif_op/v"], inputs={"p/qif_op/I_ext": drive}
    )
    start = [0.01, -2.0, 1.0, *[0.0] * 6]
    close(frame.to_numpy(), oracles.euler(field, start, 1e-3, 5000, drive=drive)[:, :2], 1e-10)


def test_the_conductance_based_theta_population_is_the_qif_population():
    drive = {"I_ext": 3.0}
    theta = load(f"{MASSES}.theta.kmo_conductance")
    qif = load(f"{MASSES}.qif.qif_conduct", p__qif_conduct_op__v=-2.0)
    z = accurate_run(
        theta, 20.0, 0.1, ["p/conductance_op/z"], {f"p/conductance_op/{k}": v for k, v in drive.items()}
    ).to_numpy()[:, 0]
    w = (1 - z.conj()) / (1 + z.conj())
    rv = accurate_run(
        qif,
        20.0,
        0.1,
        ["p/qif_conduct_op/r", "p/qif_conduct_op/v"],
        {f"p/qif_conduct_op/{k}": v for k, v in drive.items()},
    ).to_numpy()
    close(np.stack([w.real / np.pi, w.imag], 1), rv, 1e-7)


def test_activity_facilitates():
    # Tsodyks et al. 1998: u settles at U0 (1 + tau r) / (1 + U0 tau r), above U0
    source = OperatorTemplate("source", equations=["r' = 0.0*r"], variables={"r": "output(0.02)"})
    target = NodeTemplate.from_yaml("model_templates.base_templates.li_node")
    circuit = CircuitTemplate(
        "facilitation",
        nodes={"a": NodeTemplate("a_node", operators=[source]), "b": target},
        edges=[
            (
                "a/source/r",
                "b/li_op/m_in",
                "model_templates.neural_mass_models.synaptic_plasticity.facilitation_edge",
                {"weight": 1.0},
            )
        ],
    )
    frame = circuit.run(1000.0, 0.05, sampling_step_size=1.0, outputs=["b/li_op/r"])
    u = 0.2 * (1 + 100 * 0.02) / (1 + 0.2 * 100 * 0.02)
    close(frame.to_numpy()[-1, 0], 0.02 * u, 1e-8)


# inputs from other nodes


def test_wang_buzsaki_inhibits_itself_through_its_synapse():
    def field(y, u):
        slopes = oracles.wang_buzsaki(y, u)
        slopes[0] -= 0.1 * 2.5 * y[3] * (y[0] + 75)
        return slopes

    circuit = load(WB, p__wb_op__V=0.0).update_template(edges=[("p/gaba_op/s", "p/wb_op/s_in", None, {"weight": 2.5})])
    frame = circuit.run(5.0, 0.01, outputs=paths_of("wb_op", "V h n gaba_op/s"))
    rows = oracles.euler(field, [0.0, 0.78, 0.09, 0.0], 0.01, 500)
    assert rows[:, 3].max() > 0.1
    close(frame.to_numpy(), rows, 1e-9)


def test_wong_wang_listens_to_other_areas():
    def field(y, u):
        return [-y[0] / 0.1 + 0.641 * (1 - y[0]) * oracles.wong_wang_rate(0.2609 * (0.9 * y[0] + 2 * u) + 0.3)]

    drive = 0.3 + 0.2 * np.sin(np.arange(500) * 0.02)
    circuit = load(f"{MASSES}.wongwang.wongwang", p__wongwang_op__G=2.0)
    frame = circuit.run(0.5, 1e-3, outputs=["p/wongwang_op/S"], inputs={"p/wongwang_op/S_in": drive})
    close(frame.to_numpy(), oracles.euler(field, [0.001], 1e-3, 500, drive=drive), 1e-9)


def test_larter_breakspear_shares_its_excitation_with_other_masses():
    def field(y, u):
        rate = (1 + np.tanh(y[0] / 0.65)) / 2
        more = 0.3 * 0.4 * (u - rate)  # the share C of a_ee Q is replaced
        slopes = oracles.larter_breakspear(y, 0.0)
        slopes[0] -= more * (0.25 * (1 + np.tanh((y[0] + 0.01) / 0.15)) / 2 * (y[0] - 1) + y[0] - 0.53)
        return slopes

    drive = 0.5 + 0.3 * np.sin(np.arange(500) * 0.02)
    circuit = load(f"{MASSES}.larterbreakspear.larterbreakspear", p__lb_op__C=0.3)
    frame = circuit.run(50.0, 0.1, outputs=paths_of("lb_op", "V W Z"), inputs={"p/lb_op/Q_in": drive})
    close(frame.to_numpy(), oracles.euler(field, [0.1, 0.1, 0.1], 0.1, 500, drive=drive), 1e-9)
