"""Hold the templates that have no golden trajectory against hand-written loops and exact solutions."""

from __future__ import annotations

from math import exp, pi

import numpy as np
import pytest

import circuit_oracles as oracles
from circuit_checks import close
from recurra.circuits import CircuitTemplate, NodeTemplate, OperatorTemplate, PopulationTemplate

MASSES = "model_templates.neural_mass_models"
OSCILLATORS = "model_templates.oscillators"
BASE = "model_templates.base_templates"
NEURONS = "neuron_model_templates"


# neural masses and oscillators


def ik_dimensional(source, loss):
    """Return the field of an Izhikevich population from its two terms that depend on what is heterogeneous."""

    def field(y, u):
        r, v, w, s = y
        q = pi * 100 * r
        return [
            (source(v) + r * (2 * v + 110 - 0.5 * s)) / 100,
            (v * (v + 110) + 2800 + u - w - 0.5 * s * v - loss(q)) / 100,
            0.008 * (-0.01 * (v + 70) - w) + 10 * r,
            -s / 5 + r,
        ]

    return field


def qif_tsodyks(y, u):
    r, v, x, p = y
    return [
        1 / pi + 2 * r * v,
        v * v - 5 + u + 15 * r * x * p - (pi * r) ** 2,
        (1 - x) / 100 - 0.1 * x * p * r,
        (0.6 - p) / 200 + 0.6 * (1 - p) * r,
    ]


def order_parameters(y, u):
    a, b = y
    s = 2 * (a - b)

    def flow(z, drive):
        return (10j - 1) * z + (drive - drive.conjugate() * z * z) / 2

    return [flow(a, s + u), flow(b, -s)]


def two_columns(y, u):
    """Two Jansen-Rit columns (8 states each), then the chains of order 16 from the first and from the second."""
    first, second, forth, back = y[:8], y[8:16], y[16:32], y[32:]
    d_first, d_second = oracles.jansen_rit(first, u), oracles.jansen_rit(second, 0.0)
    d_first[1] += 3.25e-3 / 0.01 * 40 * back[-1]
    d_second[1] += 3.25e-3 / 0.01 * 20 * forth[-1]

    def chain(stages, column):
        rate = 5 / (1 + exp(560 * (0.006 - column[0] - column[2])))
        return [16 / 4e-3 * (p - q) for p, q in zip([rate, *stages[:-1]], stages, strict=True)]

    return [*d_first, *d_second, *chain(forth, first), *chain(back, second)]


IK_ETA = ik_dimensional(lambda v: 0.02 / (pi * 100), lambda q: q * q)
IK_THETA = ik_dimensional(lambda v: 0.02 * (v + 70) / (pi * 100), lambda q: q * (0.02 + q))
COLUMNS = [f"jrc{k}/{variable}" for k in (1, 2) for variable in ("pc/rpo_e_in/v", "ein/rpo_e/v")]
CIRCUITS = {
    # template: field, start, dt, input, its height, outputs, the states that they are
    "ik_nodim": (
        f"{MASSES}.ik.ik_nodim",
        oracles.ik_nodim,
        [0.0, 0.0, 0.0, 0.0],
        1e-2,
        ("p/ik_nodim_op/I_ext", 0.15),
        [f"p/ik_nodim_op/{v}" for v in "rvus"],
        [0, 1, 2, 3],
    ),
    "ik_eta": (
        f"{MASSES}.ik.ik_eta",
        IK_ETA,
        [0.0, -60.0, 0.0, 0.0],
        1e-2,
        ("p/ik_eta_op/I_ext", 60.0),
        [f"p/ik_eta_op/{v}" for v in "rvus"],
        [0, 1, 2, 3],
    ),
    "ik_theta": (
        f"{MASSES}.ik.ik_theta",
        IK_THETA,
        [0.0, -60.0, 0.0, 0.0],
        1e-2,
        ("p/ik_theta_op/I_ext", 60.0),
        [f"p/ik_theta_op/{v}" for v in "rvus"],
        [0, 1, 2, 3],
    ),
    "qif_tsodyks": (
        f"{MASSES}.qif.qif_tsodyks",
        qif_tsodyks,
        [0.01, -2.0, 1.0, 0.6],
        1e-3,
        ("p/qif_op/I_ext", 5.0),
        ["p/qif_op/r", "p/qif_op/v"],
        [0, 1],
    ),
    "kmo_mf": (
        f"{OSCILLATORS}.kuramoto.kmo_mf",
        lambda y, u: [oracles.order_parameter(y, 0.0)[0] + (u - u * y[0] ** 2) / 2],
        [0.5 + 0.1j],
        1e-3,
        ("p/kmo_op/s_ext", 0.5),
        ["p/kmo_op/z"],
        [0],
    ),
    "kmo_mf_2coupled": (
        f"{OSCILLATORS}.kuramoto.kmo_mf_2coupled",
        lambda y, u: order_parameters([complex(z) for z in y], u),
        [0.5 + 0.1j, 0.5 + 0.1j],
        1e-3,
        ("p1/kmo_op/s_ext", 0.5),
        ["p1/kmo_op/z", "p2/kmo_op/z"],
        [0, 1],
    ),
    "JRC_2delaycoupled": (
        f"{MASSES}.jansenrit.JRC_2delaycoupled",
        two_columns,
        [0.0] * 48,
        1e-4,
        ("jrc1/pc/rpo_e_in/u", 270.0),
        COLUMNS,
        [0, 4, 8, 12],
    ),
}
BACKGROUND = {"JRC_2delaycoupled": 220.0}  # part of the field already


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_follows_its_hand_written_equations(name):
    template, field, start, dt, (path, height), outputs, columns = CIRCUITS[name]
    steps = 2000
    drive = np.full(steps, height)
    frame = CircuitTemplate.from_yaml(template).run(steps * dt, dt, outputs=outputs, inputs={path: drive})
    rows = oracles.euler(field, start, dt, steps, drive=drive - BACKGROUND.get(name, 0.0))[:, columns]
    assert np.max(np.abs(rows[-1] - rows[0])) > 1e-4  # something happened
    close(frame.to_numpy(), rows, 1e-9)


def test_the_whole_column_keeps_the_ratios_of_the_paper():
    # Jansen & Rit 1995: C1 = C, C2 = 0.8 C, C3 = C4 = 0.25 C; the column at C = 68 by hand
    def field(y, u):
        ve, xe, vi, xi, vn, xn, vm, xm = y

        def rate(v):
            return 5 / (1 + exp(560 * (0.006 - v)))

        def synapse(v, x, gain, tau, m):
            return [x, gain * m / tau - 2 * x / tau - v / tau**2]

        return [
            *synapse(ve, xe, 3.25e-3, 0.01, 0.8 * 68 * rate(vn) + 220),
            *synapse(vi, xi, 22e-3, 0.02, 0.25 * 68 * rate(vm)),
            *synapse(vn, xn, 3.25e-3, 0.01, 68 * rate(ve - vi)),
            *synapse(vm, xm, 3.25e-3, 0.01, 0.25 * 68 * rate(ve - vi)),
        ]

    circuit = CircuitTemplate.from_yaml(f"{MASSES}.jansenrit.JRC2").update_var(node_vars={"jrc/jrc_op/c": 68.0})
    names = [f"jrc/jrc_op/{v}" for v in ("V_e", "V_i", "V_ein", "V_iin")]
    frame = circuit.run(0.2, 1e-4, outputs=names)
    close(frame.to_numpy(), oracles.euler(field, [0.0] * 8, 1e-4, 2000)[:, [0, 2, 4, 6]], 1e-12)


# synapses


@pytest.mark.parametrize(
    ("operator", "response"),
    [
        ("monoexp_op", lambda t: 1 - np.exp(-t)),
        ("biexp_op", lambda t: 1 - (10 * np.exp(-t / 10) - np.exp(-t)) / 9),
        ("alpha_op", lambda t: 1 - (1 + t) * np.exp(-t)),
    ],
)
def test_a_synapse_has_its_kernel(operator, response):
    """The answer to a step of input is the integral of the kernel."""
    template = OperatorTemplate.from_yaml(f"{BASE}.{operator}")
    circuit = CircuitTemplate("synapse", nodes={"p": NodeTemplate("p", operators=[template])})
    frame = circuit.run(
        20.0,
        0.1,
        outputs=[f"p/{operator}/v"],
        inputs={f"p/{operator}/r_in": 1.0},
        solver="scipy",
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    close(frame.to_numpy()[:, 0], response(frame.index.to_numpy()), 1e-9)


def test_the_transfer_functions_of_the_base_templates():
    values = {"sigmoid_op/m_max": 3.0, "sigmoid_op/s": 2.0, "sigmoid_op/r_thr": 0.5, "li_op/r": 0.8}
    node = NodeTemplate.from_yaml(f"{BASE}.nonlinear_li_node")
    circuit = CircuitTemplate("c", nodes={"p": node}).update_var(
        node_vars={f"p/{path}": value for path, value in values.items()}
    )
    frame = circuit.run(0.1, 0.1, outputs=["p/sigmoid_op/m"])
    close(frame.to_numpy()[0, 0], 3 / (1 + exp(2 * (0.5 - 0.8))), 1e-15)
    sine = NodeTemplate.from_yaml(f"{OSCILLATORS}.kuramoto.sin_pop")
    circuit = CircuitTemplate("c", nodes={"p": sine}).update_var(node_vars={"p/phase_op/theta": 0.2})
    frame = circuit.run(0.02, 0.01, outputs=["p/sin_op/s"])
    close(frame.to_numpy()[:, 0], np.sin(2 * np.pi * np.array([0.2, 0.3])), 1e-14)


# neurons, three units each: spikes are drawn at random and fed in


def lif(y, u, spike):
    return {"v": -y["v"] / 10 + u, "s": -y["s"] / 0.5 + spike}


def qif(y, u, spike):
    return {"v": y["v"] ** 2 - 5 + u, "s": -y["s"] + spike}


def qif_sfa(y, u, spike):
    return {"v": y["v"] ** 2 - 5 + u - y["x"], "s": -y["s"] + spike, "x": -y["x"] / 10 + spike}


def izhikevich(together: bool, slow: bool):
    def field(y, u, spike):
        v, drive = (np.full(3, y["v"].mean()), np.full(3, spike.mean())) if together else (y["v"], spike)
        found = {
            "v": (0.7 * (y["v"] + 60) * (y["v"] + 40) - y["u"] + u) / 100,
            "u": (-2 * (v + 60) - y["u"]) / 33.33 + 10 * drive,
            "s": -y["s"] / 6 + (y["x"] if slow else spike),
        }
        return found | ({"x": -y["x"] / 2 + spike} if slow else {})

    return field


SPIKING = {
    "lif.lif": ("lif_op", lif, {"v": 0.0}),
    "qif.qif": ("qif_op", qif, {"v": -2.0}),
    "qif.qif_sfa": ("qif_sfa_op", qif_sfa, {"v": -2.0, "x": 0.0}),
    "ik.ik": ("ik_op", izhikevich(together=False, slow=False), {"v": -60.0, "u": 0.0}),
    "ik.iku": ("iku_op", izhikevich(together=True, slow=False), {"v": -60.0, "u": 0.0}),
    "ik.ik_biexp": ("ik_biexp_op", izhikevich(together=True, slow=True), {"v": -60.0, "u": 0.0, "x": 0.0}),
}


@pytest.mark.parametrize("path", SPIKING)
def test_spiking_neurons_between_their_spikes(path):
    operator, field, start = SPIKING[path]
    dt, steps, rng = 1e-2, 400, np.random.default_rng(3)
    drive = np.stack([k + np.sin(np.arange(steps) * 0.05 * (k + 1)) for k in range(3)], 1)
    spikes = (rng.random((steps, 3)) < 0.02) / dt
    node = NodeTemplate.from_yaml(f"{NEURONS}.spiking_neurons.{path}")
    circuit = CircuitTemplate("cells", populations={"p": PopulationTemplate("cells", node, n=3)})
    y = {name: np.full(3, value) for name, value in {**start, "s": 0.0}.items()}
    outputs = {name: f"p/{operator}/{name}" for name in y}
    frame = circuit.run(
        steps * dt,
        dt,
        outputs=outputs,
        inputs={f"p/{operator}/I_ext": drive, f"p/{operator}/spike": spikes},
    )
    rows: dict[str, list] = {name: [] for name in y}
    for k in range(steps):
        for name, values in y.items():
            rows[name].append(values)
        flow = field(y, drive[k], spikes[k])
        y = {name: values + dt * flow[name] for name, values in y.items()}
    for name in rows:
        close(frame[name].to_numpy(), rows[name], 1e-10)


@pytest.mark.parametrize(
    ("name", "operator", "transfer"),
    [("tanh", "tanh_op", np.tanh), ("sigmoid", "sigmoid_op", lambda v: 1 / (1 + np.exp(-v)))],
)
def test_rate_neurons(name, operator, transfer):
    dt, steps = 0.05, 300
    drive = np.sin(np.arange(steps) * 0.1)
    node = NodeTemplate.from_yaml(f"{NEURONS}.rate_neurons.leaky_integrator.{name}")
    circuit = CircuitTemplate(
        "pair", nodes={"p": node}, edges=[(f"p/{operator}/r", "p/li_op/r_in", None, {"weight": -2.0})]
    )
    frame = circuit.run(steps * dt, dt, outputs=["p/li_op/v", f"p/{operator}/r"], inputs={"p/li_op/I_ext": drive})
    v, rows = 0.0, []
    for k in range(steps):
        rows.append([v, transfer(v)])
        v += dt * (-v / 10 - 2 * transfer(v) + drive[k])
    close(frame.to_numpy(), rows, 1e-12)
