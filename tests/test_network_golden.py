"""Hold networks against trajectories of RectiPy 0.12.2 (see golden/README.md) and hand-written loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra import Network

GOLDEN = Path(__file__).parent / "golden"
TANH = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
NEURONS = "neuron_model_templates.spiking_neurons"
DT = 1e-3


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / name) as data:
        return {key: data[key] for key in data.files}


def tanh_network(J, **options) -> Network:
    net = Network(dt=DT, device="cpu")
    options = {
        "source_var": "tanh_op/r",
        "target_var": "li_op/r_in",
        "input_var": "li_op/I_ext",
        "output_var": "li_op/v",
        **options,
    }
    net.add_diffeq_node("tanh", TANH, weights=J, **options)
    return net


def close(got, expected, tolerance):
    error = np.max(np.abs(np.asarray(got) - np.asarray(expected)))
    assert error <= tolerance, f"largest error {error:g}"


def tanh_loop(J, inputs, steps, tau=10.0, k=1.0, eta=0.0):
    v = np.zeros(len(J))
    rows = []
    for n in range(steps):
        rows.append(v)
        v = v + DT * (-v / tau + k * (J @ np.tanh(v)) + inputs[n] + eta)
    return np.array(rows)


@pytest.fixture(scope="module")
def seed_run():
    data = golden("seed_rectipy_leaky_integrator.npz")
    obs = tanh_network(data["J"]).run(inputs=np.ones((10_000, 100)))
    return data, obs


def test_published_example_equals_rectipy(seed_run):
    data, obs = seed_run
    assert obs["out"].shape == (10_000, 100)
    close(obs["out"][data["steps"]], data["out"], 1e-9)


def test_published_example_equals_a_loop(seed_run):
    data, obs = seed_run
    close(obs["out"], tanh_loop(data["J"], np.ones(10_000), 10_000), 1e-10)


def test_published_example_facts():
    """Fact 25: numbers to the digits that were published."""
    J = np.random.default_rng(20240607).standard_normal((100, 100))
    out = tanh_network(J).run(inputs=np.ones((10_000, 100)))["out"]
    assert np.array_equal(out[0], np.zeros(100))
    assert np.array_equal(out[1], np.full(100, 1e-3))
    assert out[1000].mean() == pytest.approx(1.3055615478, abs=5e-11)
    close(out[9999, :3], (0.71595308, -15.47252094, -24.60499246), 5e-9)
    assert np.abs(out).max() == pytest.approx(129, abs=0.5)


def test_published_example_plots():
    import matplotlib

    matplotlib.use("agg")
    obs = tanh_network(np.eye(3)).run(inputs=np.ones((20, 3)))
    ax = obs.plot("out")
    assert len(ax.get_lines()) == 3
    close(ax.get_lines()[0].get_xdata(), np.arange(20) * DT, 1e-15)
    close(ax.get_lines()[1].get_ydata(), obs["out"][:, 1], 0)


def test_rate_neurons_equal_rectipy():
    data = golden("rectipy.neuron_model_templates.rate_neurons.leaky_integrator.tanh.npz")
    obs = tanh_network(data["J"]).run(inputs=np.full((10_000, 1), float(data["I"])), sampling_steps=10)
    close(obs.time, data["time"], 1e-12)
    close(obs["out"], data["v"], 1e-9)


SPIKING = {
    "lif.lif": "lif_op",
    "qif.qif": "qif_op",
}


def spiking_network(name, op, J) -> Network:
    net = Network(dt=DT)
    net.add_diffeq_node(
        "net",
        f"{NEURONS}.{name}",
        weights=J,
        source_var="s",
        target_var="s_in",
        input_var="I_ext",
        output_var="s",
        spike_var="spike",
        reset_var="v",
        op=op,
    )
    return net


@pytest.mark.parametrize(("name", "op"), SPIKING.items())
def test_spiking_neurons_equal_rectipy_spike_for_spike(name, op):
    data = golden(f"rectipy.{NEURONS}.{name}.npz")
    net = spiking_network(name, op, data["J"])
    obs = net.run(np.tile(data["I"], (5000, 1)), record_vars=[("net", "v"), ("net", "spike")])
    assert np.array_equal(obs["net", "spike"] > 0, data["v_node_y"] >= 100.0)
    assert np.array_equal(obs["net", "spike"][obs["net", "spike"] > 0], np.full((data["v_node_y"] >= 100).sum(), 1e3))
    close(obs["out"], data["s"], 1e-9)
    close(obs["net", "v"], data["v_node_y"], 1e-9)


def lif_rates(v, s, x, u, spike, current, drive):
    return {"v": -v / 10.0 + drive + current, "s": -s / 0.5 + spike}


def qif_rates(v, s, x, u, spike, current, drive):
    return {"v": (v * v + -5.0 + current) + drive, "s": -s + spike}


def qif_sfa_rates(v, s, x, u, spike, current, drive):
    return {"v": (v * v + -5.0 + current - x) + drive, "s": -s + spike, "x": -x / 10.0 + spike}


def ik_rates(v, s, x, u, spike, current, drive):
    return {
        "v": (0.7 * (v + 60.0) * (v + 40.0) - u + current + drive * (0.0 - v)) / 100.0,
        "u": (-2.0 * (v + 60.0) - u) / 33.33 + 10.0 * spike,
        "s": -s / 6.0 + spike,
    }


def iku_rates(v, s, x, u, spike, current, drive):
    return {
        "v": (0.7 * (v + 60.0) * (v + 40.0) - u + current + drive * (0.0 - v)) / 100.0,
        "u": (-2.0 * (v.mean() + 60.0) - u) / 33.33 + 10.0 * spike.mean(),
        "s": -s / 6.0 + spike,
    }


def ik_biexp_rates(v, s, x, u, spike, current, drive):
    rates = iku_rates(v, s, x, u, spike, current, drive)
    return {**rates, "s": -s / 6.0 + x, "x": -x / 2.0 + spike}


LOOPS = [
    ("lif.lif", "lif_op", lif_rates, 0.0, (80.0, 120.0)),
    ("qif.qif", "qif_op", qif_rates, -2.0, (10.0, 30.0)),
    ("qif.qif_sfa", "qif_sfa_op", qif_sfa_rates, -2.0, (10.0, 30.0)),
    ("ik.ik", "ik_op", ik_rates, -60.0, (2000.0, 6000.0)),
    ("ik.iku", "iku_op", iku_rates, -60.0, (2000.0, 6000.0)),
    ("ik.ik_biexp", "ik_biexp_op", ik_biexp_rates, -60.0, (2000.0, 6000.0)),
]


@pytest.mark.parametrize(("name", "op", "rates", "start", "current"), LOOPS, ids=[row[0] for row in LOOPS])
def test_spiking_neurons_equal_a_loop_spike_for_spike(name, op, rates, start, current):
    """Fact 26, for every spiking template."""
    rng = np.random.default_rng(7)
    n, steps, dt = 10, 3000, 1e-3 if "ik" not in name else 1e-2
    J = rng.standard_normal((n, n)) * 0.1
    drive = rng.uniform(*current, n)
    net = Network(dt=dt)
    net.add_diffeq_node(
        "net", f"{NEURONS}.{name}", weights=J, source_var="s", target_var="s_in", input_var="I_ext",
        output_var="s", spike_var="spike", reset_var="v", op=op, spike_threshold=100.0, spike_reset=-100.0,
    )  # fmt: skip
    obs = net.run(np.tile(drive, (steps, 1)), record_vars=[("net", "v")])
    values = {"v": np.full(n, start), "s": np.zeros(n), "x": np.zeros(n), "u": np.zeros(n)}
    expected, voltages = [], []
    for _ in range(steps):
        expected.append(values["s"])
        voltages.append(values["v"])
        fired = values["v"] >= 100.0
        moved = rates(**values, spike=fired / dt, current=drive, drive=J @ values["s"])
        values = {key: value + dt * moved.get(key, 0.0) for key, value in values.items()}
        values["v"] = np.where(fired, -100.0, values["v"])
    expected, voltages = np.array(expected), np.array(voltages)
    assert (voltages >= 100).sum() > 3
    assert np.array_equal(obs["net", "v"] >= 100, voltages >= 100)
    close(obs["out"], expected, 1e-9 * np.abs(expected).max())
    close(obs["net", "v"], voltages, 1e-7)
