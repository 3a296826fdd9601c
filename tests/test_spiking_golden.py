"""Spiking networks against the spikes of the published code, and against an independent loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.rate.files import load_net
from recurra.rate.lowering import effective_weights
from recurra.spiking import SpikingNetwork, SpikingParameters, Stimulation, convert, firing_rates, quadratic

FOLDER = Path(__file__).parent / "golden"
ARCHIVE = np.load(FOLDER / "spikernn_lif_small.npz")
CASES = sorted({name.split("/")[0] for name in ARCHIVE.files})


def golden(case: str) -> dict[str, np.ndarray]:
    return {name.split("/")[1]: ARCHIVE[name] for name in ARCHIVE.files if name.startswith(case + "/")}


def run(case: dict[str, np.ndarray], clock: bool):
    skip, steps = int(case["downsample"]), int(case["nt"])
    w = case["model_w0" if bool(case["use_initial_weights"]) else "model_w"]
    w = effective_weights(w, case["model_m"], case["model_som_m"], False)
    size, dt = len(w), 0.05 * skip
    fall = np.broadcast_to(case["td"] * 1000.0, (size,))
    net = SpikingNetwork(
        w, case["model_w_in"], case["model_w_out"], fall, case["model_inh"].astype(bool),
        float(case["scaling_factor"]), SpikingParameters(dt=dt),
    )  # fmt: skip
    light = coins = None
    if str(case["stim_mode"]) != "none":
        begin, end = (int(step) for step in case["stim_dur"])
        light = Stimulation(str(case["stim_mode"]), begin * dt, end * dt, case["stim_units"])  # type: ignore[arg-type]
        coins = np.ones(steps)
        coins[begin:end] = case["coins"][: end - begin]  # the published code throws coins inside the window only
    noise = case.get("noise_std_normal", np.zeros((steps, size)))
    return net, net.simulate(
        case["u"][:, ::skip], row=100 * dt, duration=steps * dt, stimulation=light, noise=noise, coins=coins,
        v0=case["v0"], clock=clock, record=("o", "spikes", "voltage", "r", "i"),
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_spike_is_that_of_the_published_code(name):
    case = golden(name)
    net, found = run(case, clock=True)
    step, unit = np.nonzero(found["spikes"])
    expected = np.lexsort((case["spike_unit"], case["spike_step"]))
    assert np.array_equal(step, case["spike_step"][expected])
    assert np.array_equal(unit, case["spike_unit"][expected])
    assert np.abs(found["o"][:, 0] - case["out"]).max() < 1e-9
    assert np.abs(found["voltage"][:200].T - case["REC_first200"]).max() < 1e-9
    # r is recorded before a step, the golden file holds it after.
    assert np.abs(found["r"][1::100].T - case["rs_every100"]).max() < 1e-9
    assert np.abs(firing_rates(found["spikes"], net.parameters.dt) - case["all_fr"]).max() < 1e-9


@pytest.mark.parametrize("name", ["two_tau", "inh_noise"])
def test_counting_steps_moves_few_spikes(name):
    case = golden(name)
    _, found = run(case, clock=False)
    assert found["spikes"].sum() == len(case["spike_step"])
    assert np.abs(found["o"][:, 0] - case["out"]).max() < 0.1


def loop(net: SpikingNetwork, drive: np.ndarray, noise: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step the published equations in plain NumPy, refractory times counted in steps."""
    p = net.parameters
    i, h, r, hr = (np.zeros(net.N) for _ in range(4))
    rest = np.full(net.N, round(p.tref / p.dt))
    fall, rise, dt = net.fall / 1000, p.rise / 1000, p.dt / 1000
    spikes, out = [], []
    for k in range(len(drive)):
        slope = (v**2 if p.unit == "qif" else -v) + i + p.bias + net.w_in @ drive[k]
        v = v + np.where(rest == 0, p.dt * slope / p.tm, 0) + p.noise * noise[k]
        fires = v >= p.threshold
        arriving = net.w @ fires / net.scale
        if rise == 0:
            i = i * np.exp(-dt / fall) + arriving / fall
            r = r * np.exp(-dt / fall) + fires / fall
        else:
            i = i * np.exp(-dt / fall) + h * dt
            h = h * np.exp(-dt / rise) + arriving / (rise * fall)
            r = r * np.exp(-dt / fall) + hr * dt
            hr = hr * np.exp(-dt / rise) + fires / (rise * fall)
        rest = np.where(fires, round(p.tref / p.dt), np.maximum(rest - 1, 0))
        v = np.where(fires, p.reset, v)
        spikes.append(fires)
        out.append(net.w_out @ r / net.scale)
    return np.array(spikes), np.array(out)


@pytest.mark.parametrize(
    "parameters", [SpikingParameters(), SpikingParameters(rise=0.0, tref=5.0), quadratic(bias=20.0)],
    ids=["lif", "single", "qif"],
)  # fmt: skip
def test_units_of_each_kind_are_those_of_a_plain_loop(parameters):
    rng = np.random.default_rng(5)
    net = SpikingNetwork(
        rng.normal(size=(12, 12)), rng.normal(size=(12, 2)), rng.normal(size=(1, 12)), rng.uniform(20, 100, 12),
        np.zeros((12, 1), bool), 25.0, parameters,
    )  # fmt: skip
    stim, noise = rng.normal(size=(2, 8)), rng.normal(size=(800, 12))
    start = rng.uniform(-65, 30, 12)
    found = net.simulate(stim, noise=noise, v0=start)
    held = np.minimum((np.arange(800) / 100 + 0.5).astype(int), 7)
    spikes, out = loop(net, stim.T[held], noise, start)
    assert spikes.sum() > 10
    assert np.array_equal(found["spikes"], spikes)
    assert np.abs(found["o"] - out).max() < 1e-10


def test_the_trained_network_of_the_published_code_loads_and_spikes():
    net = load_net(FOLDER / "spikernn_trained_gonogo.mat")
    assert (net.N, net.NI, net.activation, net.taus) == (200, 48, "sigmoid", (4.0, 20.0))
    # Two thirds of its connections are negative and must not act.
    assert int((net.w < 0).sum()) == 5343
    assert int((net.effective_w != 0).sum()) == int((net.w > 0).sum())
    assert np.all(net.effective_w[:, net.inh[:, 0]] <= 0) and np.all(net.effective_w[:, net.exc[:, 0]] >= 0)
    assert convert(net, 25.0).w is not net.w
