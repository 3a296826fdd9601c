"""Spiking twins: scaling, light, lesions, files, batches, the search, and what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import simulate
from recurra.errors import OptionError, RecurraError, ShapeError, StoreError, TimeError
from recurra.rate.model import FR_RNN_dale
from recurra.rate.streams import seed_for
from recurra.rate.tasks import XOR, GoNoGo
from recurra.spiking import (
    SpikingNetwork,
    SpikingParameters,
    Stimulation,
    convert,
    firing_rates,
    guess_scale,
    quadratic,
    rate_curve,
    scaling_search,
)
from recurra.spiking.step import draw_noise

TASK = GoNoGo(fixation=20.0, stimulus=20.0, response=40.0)


def rate_net(size: int = 20, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(2)
    return FR_RNN_dale(
        size, 0.3, 0.4, rng.normal(size=(size, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, size)), seed=2, **more
    )


def test_conversion_takes_over_what_acts():
    net = rate_net()
    net.w0, net.w = net.w.copy(), np.where(net.w > 0.3, -1.0, net.w)
    spiking = convert(net, 40.0)
    assert np.array_equal(spiking.w, net.effective_w)
    assert np.array_equal(spiking.fall, 5.0 * net.tau) and spiking.scale == 40.0
    assert np.array_equal(convert(net, 40.0, use_initial_weights=True).w, (net.w0 @ net.mask) * net.som_mask)
    assert np.array_equal(convert(net, 40.0).with_scale(20.0).w, spiking.w)


def test_the_scaling_factor_divides_weights_and_readout():
    net, rng = convert(rate_net(), 40.0), np.random.default_rng(1)
    noise, start = rng.normal(size=(400, 20)), rng.uniform(-65, 30, 20)
    other = SpikingNetwork(net.w / 40, net.w_in, net.w_out / 40, net.fall, net.inh, 1.0)
    one, two = (n.simulate(np.ones((1, 4)), noise=noise, v0=start) for n in (net, other))
    assert one["spikes"].sum() > 10 and np.array_equal(one["spikes"], two["spikes"])
    assert np.abs(one["o"] - two["o"]).max() < 1e-12


def test_each_spike_adds_unit_area_to_its_trace():
    none = np.zeros((1, 1))
    net = SpikingNetwork(none, none, np.ones((1, 1)), np.array([20.0]), none.astype(bool), 1.0)
    noise = np.zeros((8000, 1))
    found = net.simulate(np.zeros((1, 80)), noise=noise, v0=np.array([0.0]), record=("o", "spikes"))
    assert found["spikes"].sum() == 1  # it starts above the threshold and rests at it afterwards
    # Two geometric series, which go to 1 with the step.
    area = 0.05**2 / (2.0 * 20.0) / ((1 - np.exp(-0.05 / 20)) * (1 - np.exp(-0.05 / 2)))
    assert found["o"].sum() * 0.05e-3 == pytest.approx(area, rel=1e-6)
    assert area == pytest.approx(1.0, rel=0.02)


def test_rates_of_a_single_unit_follow_the_formula_without_noise():
    p = SpikingParameters(noise=0.0)
    drives = np.array([1.0, 3.0, 8.0, 20.0])
    expected = 1000 / (p.tref + p.tm * np.log((drives + 25) / drives))
    assert np.abs(rate_curve(p, drives).rates - expected).max() < 0.5 + 0.02 * expected.max()


def test_the_guess_is_what_f_i_curves_predict():
    assert 40 < guess_scale() < 52


def test_batches_answer_as_single_trials_and_every_scale_alone():
    net, trials = convert(rate_net(), 30.0), TASK.trials(3, seed=4)
    scales = np.array([20.0, 30.0, 50.0])
    together = net.respond_scaled(trials, scales, seed=7, batch=2, precision="float64")
    assert together.shape == (3, 3, TASK.steps - 1, 1)
    for i, scale in enumerate(scales):
        alone = net.with_scale(scale).respond(trials, seed=7, batch=3, precision="float64")
        assert np.abs(together[i] - alone).max() < 1e-9
    assert not np.array_equal(net.respond(trials, seed=8), net.respond(trials, seed=7))


def test_light_pushes_the_units_it_falls_on():
    net = convert(rate_net(), 40.0)
    lit = Stimulation("exc", 5.0, 20.0, [0, 3])
    dark = net.simulate(np.zeros((1, 5)), seed=1)["spikes"]
    light = net.simulate(np.zeros((1, 5)), seed=1, stimulation=lit)["spikes"]
    assert np.array_equal(dark[:100], light[:100]), "nothing changes before the window"
    # Pushes of 0.5 mV in half of the steps are 5 mV in a ms: 25 mV from reset to threshold take 5 ms and a rest of 2.
    assert np.all(light[100:400, [0, 3]].sum(axis=0) >= 2) and not np.any(dark[100:400, [0, 3]])
    silent = net.simulate(np.zeros((1, 5)), seed=1, stimulation=Stimulation("inh", 1.0, 20.0, range(20)))["spikes"]
    assert silent[60:].sum() == 0


def test_lesions_make_another_network():
    net = convert(rate_net(), 40.0)
    lesioned = net.lesioned(0.5, seed=3)
    outside = ~np.eye(20, dtype=bool)
    count = int((net.w[outside] != 0).sum())
    assert int((lesioned.w[outside] != 0).sum()) == count - int(0.5 * count)
    assert np.array_equal(np.diag(lesioned.w), np.diag(net.w))
    assert not np.any(net.lesioned(1.0, by_type=True, exclude_self=False).w)


def test_files_keep_a_network(tmp_path):
    net = convert(rate_net(), 35.0, quadratic(tref=3.0))
    net.save(tmp_path / "net.npz")
    found = SpikingNetwork.load(tmp_path / "net.npz")
    stim = np.ones((1, 4))
    assert np.array_equal(found.simulate(stim, seed=3)["spikes"], net.simulate(stim, seed=3)["spikes"])
    assert found.parameters == net.parameters
    rate_net().save(tmp_path / "rate.npz")
    with pytest.raises(StoreError, match=r"expected a recurra\.SpikingNetwork"):
        SpikingNetwork.load(tmp_path / "rate.npz")


def test_it_is_an_ordinary_program():
    net = convert(rate_net(), 40.0)
    program = net.to_program(precision="float64")
    assert "20 lif units" in program.explain()
    runs = simulate(
        program, 5.0, dt=0.05, batch={"cells/scale": [20.0, 40.0]}, record="cells/v", seed=1, progress=False
    )
    assert runs["cells/v"].shape == (2, 100, 20)
    # The same without a batch; changing a number compiles nothing anew.
    alone = simulate(program, 5.0, dt=0.05, params={"cells/scale": 40.0}, record="cells/v", seed=1, progress=False)
    assert np.abs(runs["cells/v"][1] - alone["cells/v"]).max() < 1e-9


def test_the_search_returns_the_whole_curve():
    net = rate_net()
    found = scaling_search(net, TASK, factors=[20.0, 40.0, 60.0], trials=6, batch=3)
    assert found.right.shape == (3, 6) and found.best in (20.0, 40.0, 60.0) and found.network.scale == found.best
    for factor, right in zip(found.factors, found.right, strict=True):
        alone, trials = convert(net, factor), TASK.trials(6, seed_for("search", 0))
        outputs = alone.respond(trials, seed=seed_for("search", 0))
        assert np.array_equal(alone.judge(TASK, outputs, trials), right)
    assert set(found.to_mat()) == {"opt_scaling_factor", "all_perfs", "scaling_factors"}
    assert found.to_dataframe()["accuracy"].tolist() == found.accuracy.tolist()


def test_silence_may_lie_below_zero_where_no_target_does():
    net, trials = convert(rate_net(), 40.0), TASK.trials(2, conditions={"go": [0, 1]})
    low = np.full((2, TASK.steps - 1, 1), -2.0)
    assert net.judge(TASK, low, trials).tolist() == [True, False]
    assert TASK.accuracy(low, trials).tolist() == [False, False]


def test_rates_leave_out_the_first_steps():
    spikes = np.zeros((200, 1), bool)
    spikes[[0, 50, 60], 0] = True
    assert firing_rates(spikes, 0.05)[0] == 200.0


BAD = [
    (lambda: convert("net", 40.0), OptionError, "expected a FR_RNN_dale"),
    (lambda: convert(rate_net(), 0.0), OptionError, "scale, the scaling factor"),
    (lambda: convert(rate_net(), 40.0, SpikingParameters(unit="hh")), OptionError, "unknown unit 'hh'"),
    (lambda: SpikingParameters(dt=0.0), OptionError, "dt must not"),
    (lambda: SpikingParameters(noise=-1.0), OptionError, "noise must not be negative"),
    (lambda: SpikingParameters(reset=-30.0), OptionError, "reset < threshold"),
    (lambda: SpikingParameters(tm=float("nan")), OptionError, "tm must be a finite"),
    (lambda: Stimulation("blue", 0.0, 1.0, [0]), OptionError, "unknown mode"),
    (lambda: Stimulation("exc", 2.0, 1.0, [0]), OptionError, "start < stop"),
    (lambda: Stimulation("exc", 0.0, 1.0, [0], probability=2.0), OptionError, "probability"),
    (lambda: convert(rate_net(), 40.0).simulate(np.ones((2, 5))), ShapeError, "stim"),
    (lambda: convert(rate_net(), 40.0).simulate(np.ones((1, 5)), v0=np.ones(3)), ShapeError, "v0"),
    (lambda: convert(rate_net(), 40.0).simulate(np.ones((1, 5)), row=0.07), TimeError, "no whole number"),
    (lambda: convert(rate_net(), 40.0).simulate(np.ones((1, 5)), record=("spike",)), OptionError,
     "Did you mean 'spikes'"),
    (lambda: convert(rate_net(), 40.0).simulate(
        np.ones((1, 5)), stimulation=Stimulation("exc", 0.0, 1.0, [20])), OptionError, "units must be"),
    (lambda: convert(rate_net(), 40.0).respond(XOR().trials(1)), ShapeError, "the task 2"),
    (lambda: convert(rate_net(), 40.0).lesioned(2.0), OptionError, "percentage"),
    (lambda: scaling_search(rate_net(), TASK, factors=[0.0]), OptionError, "factors"),
    (lambda: convert(rate_net(), 40.0).to_program(precision="half"), OptionError, "unknown precision"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "message"), BAD)
def test_bad_input_is_refused(wrong, kind, message):
    with pytest.raises(RecurraError, match=message) as caught:
        wrong()
    assert isinstance(caught.value, kind)


def test_noise_in_float32_is_normal_and_independent():
    key = jax.random.key(4)
    rows = np.asarray(jax.vmap(lambda k: draw_noise(key, k, 21, "float32"))(jnp.arange(4000)))
    error = 1 / np.sqrt(rows.size)
    assert abs(rows.mean()) < 4 * error and abs(rows.var() - 1) < 4 * np.sqrt(2) * error
    assert abs((rows**4).mean() - 3) < 4 * np.sqrt(96) * error and 4 < np.abs(rows).max() < 6
    limit = 5 / np.sqrt(4000)
    assert np.abs(np.corrcoef(rows.T) - np.eye(21)).max() < limit
    assert np.abs((rows[1:] * rows[:-1]).mean(axis=0)).max() < limit
