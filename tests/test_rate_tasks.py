"""What every task keeps: shapes, periods, addresses of trials, balance of conditions, and who is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.rate.tasks import TASKS, Batches, Choice, Exponential, GoNoGo, Mixture, PeriodTask, Uniform, Yang, get
from recurra.rate.tasks.sampling import Duration, distribution, make_draws

# How many trials are right if the network says nothing.
SILENT = dict.fromkeys(TASKS, 0.0) | {
    "go_nogo": 0.5,
    "perceptual_discrimination": 0.5,
    "delayed_discrimination": 0.5,
    "multisensory_integration": 0.5,
    "context_decision": 0.5,
    "match_to_category": 0.5,
    "delayed_match_to_sample": 0.5,
}
PERIOD_TASKS = [name for name, task in TASKS.items() if isinstance(task, PeriodTask)]
CHOICE_TASKS = [name for name, chance in SILENT.items() if chance == 0.5 and name != "go_nogo"]


def arrays(trials):
    return {
        "inputs": trials.inputs,
        "targets": trials.targets,
        "mask": trials.mask,
        "lengths": trials.lengths,
        **{f"condition {k}": v for k, v in trials.conditions.items()},
        **{f"period {k}": v for k, v in trials.periods.items()},
    }


@pytest.mark.parametrize("name", TASKS)
def test_shapes_and_names_go_together(name):
    task = TASKS[name]
    trials = task.trials(7)
    assert trials.inputs.shape == (7, task.steps, len(task.channels)) and trials.steps == task.steps
    assert trials.targets.shape == trials.mask.shape == (7, task.steps, len(task.outputs))
    assert len(set(task.channels)) == len(task.channels) and len(set(task.outputs)) == len(task.outputs)
    assert (trials.channels, trials.outputs, trials.dt, len(trials)) == (task.channels, task.outputs, task.dt, 7)
    for what, array in arrays(trials).items():
        assert len(array) == 7, what
    for array in (trials.inputs, trials.targets, trials.mask):
        assert array.dtype == np.float64 and np.all(np.isfinite(array))
    assert np.all(trials.mask >= 0) and np.all(trials.mask.sum(axis=(1, 2)) > 0)


@pytest.mark.parametrize("name", PERIOD_TASKS)
def test_periods_follow_each_other_and_padding_is_empty(name):
    task = TASKS[name]
    trials = task.trials(40, seed=1)
    starts, stops = np.stack(list(trials.periods.values())).transpose(2, 0, 1)
    np.testing.assert_array_equal(starts[0], 0)
    np.testing.assert_array_equal(starts[1:], stops[:-1])
    np.testing.assert_array_equal(stops[-1], trials.lengths)
    assert trials.lengths.max() <= task.steps
    for trial in range(0, 40, 8):
        after = slice(int(trials.lengths[trial]), None)
        for array in (trials.inputs, trials.targets, trials.mask):
            np.testing.assert_array_equal(array[trial, after], 0.0)
    covered = sum(trials.during(period).astype(int) for period in trials.periods)
    np.testing.assert_array_equal(covered, np.arange(task.steps) < trials.lengths[:, None])


@pytest.mark.parametrize("name", TASKS)
def test_a_trial_has_an_address(name):
    task = TASKS[name]
    whole = arrays(task.trials(20, seed=5))
    part = arrays(task.trials(5, seed=5, start=15))
    for what, array in part.items():
        np.testing.assert_array_equal(array, whole[what][15:], err_msg=what)
    other = arrays(task.trials(20, seed=6))
    assert any(not np.array_equal(array, other.get(what)) for what, array in whole.items())


@pytest.mark.parametrize("name", TASKS)
def test_precision_changes_rounding_only(name):
    task = TASKS[name]
    wide, narrow = task.trials(5, seed=2), task.trials(5, seed=2, precision="float32")
    for what in ("inputs", "targets", "mask"):
        assert getattr(narrow, what).dtype == np.float32
        np.testing.assert_allclose(getattr(narrow, what), getattr(wide, what), rtol=1e-5, atol=1e-6)
    for what, values in wide.conditions.items():
        np.testing.assert_array_equal(narrow.conditions[what], values)


@pytest.mark.parametrize("name", TASKS)
def test_targets_are_right_silence_is_chance_and_nonsense_is_wrong(name):
    task = TASKS[name]
    n = 400 if SILENT[name] else 60
    trials = task.trials(n, seed=3)
    assert task.accuracy(trials.targets, trials).all()
    assert task.accuracy(trials.targets[:, :-1], trials).all()
    silent = task.accuracy(np.zeros_like(trials.targets), trials)
    assert silent.dtype == bool and silent.shape == (n,)
    assert abs(silent.mean() - SILENT[name]) <= 4.5 * np.sqrt(SILENT[name] * (1 - SILENT[name]) / n)
    broken = trials.targets.copy()
    broken[0, 0] = np.nan
    assert not task.accuracy(broken, trials)[0] and task.accuracy(broken, trials)[1:].all()


@pytest.mark.parametrize("name", CHOICE_TASKS)
def test_the_other_choice_is_wrong(name):
    task = TASKS[name]
    trials = task.trials(50)
    assert not task.accuracy(trials.targets[..., ::-1], trials).any()
    rows = np.arange(50)
    due = trials.during("response")
    right = trials.conditions["choice"]
    np.testing.assert_array_equal(trials.targets[rows, :, right], np.where(due, 1.0, 0.2) * valid(trials))
    np.testing.assert_array_equal(trials.targets[rows, :, 1 - right], 0.2 * valid(trials))
    counts = trials.during("fixation", "response")
    np.testing.assert_array_equal(trials.mask, np.repeat(counts[..., None], 2, axis=2))


def valid(trials):
    return np.arange(trials.steps) < trials.lengths[:, None]


@pytest.mark.parametrize("name", PERIOD_TASKS)
def test_conditions_come_as_often_as_they_should(name):
    task = TASKS[name]
    n = 2000
    # Noise is left out: it costs time and changes nothing here.
    draws = make_draws(4, 0, n)
    for what, quantity in task.drawn().items():
        spread = distribution(quantity, what)
        values = spread.at(draws.uniform(what))
        assert spread.holds(values).all()
        if isinstance(spread, Choice):
            weights = np.array(spread.weights or np.ones(len(spread.values)))
            for value, p in zip(spread.values, weights / weights.sum(), strict=True):
                assert abs(np.mean(values == value) - p) <= 4.5 * np.sqrt(p * (1 - p) / n)
        else:
            middle = (spread.low + spread.high) / 2
            assert abs(values.mean() - middle) <= 4.5 * (spread.high - spread.low) / np.sqrt(12 * n)


@pytest.mark.parametrize("name", PERIOD_TASKS)
def test_conditions_are_drawn_independently_of_each_other(name):
    names = [*TASKS[name].drawn(), "another"]
    drawn = np.stack([make_draws(0, 0, 1000).uniform(what) for what in names])
    correlations = np.corrcoef(drawn) - np.eye(len(names))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(1000)


@pytest.mark.parametrize("name", PERIOD_TASKS)
def test_what_is_given_is_not_drawn_and_leaves_the_rest(name):
    task = TASKS[name]
    free = task.trials(6, seed=8)
    for what, quantity in task.drawn().items():
        allowed = distribution(quantity, what)
        value = allowed.low
        found = task.trials(6, seed=8, conditions={what: value})
        for other in task.drawn():
            if other not in (what, "difference"):
                np.testing.assert_array_equal(found.conditions[other], free.conditions[other])
        if what != "difference":  # which does not matter where sample and test are the same
            np.testing.assert_array_equal(found.conditions[what], value)


@pytest.mark.parametrize("name", ["xor", "mante", "perceptual_discrimination", "delayed_discrimination"])
def test_a_finer_grid_is_the_same_trial(name):
    coarse = TASKS[name]
    fine = replace(coarse, dt=coarse.dt / 5)
    one, other = coarse.trials(8), fine.trials(8)
    np.testing.assert_array_equal(5 * one.lengths, other.lengths)
    np.testing.assert_array_equal(one.targets, other.targets[:, ::5])
    np.testing.assert_array_equal(one.mask, other.mask[:, 4::5])


def test_normal_numbers_are_normal_and_differ_between_trials():
    found = make_draws(0, 0, 200).normal("noise", (50, 4))
    assert found.shape == (200, 50, 4)
    count = found.size
    assert abs(found.mean()) < 4.5 / np.sqrt(count)
    assert abs(found.var() - 1) < 4.5 * np.sqrt(2 / count)
    assert abs(np.mean(found**4) - 3) < 4.5 * np.sqrt(96 / count)
    between = np.corrcoef(found.reshape(200, -1)) - np.eye(200)
    assert np.abs(between).max() < 6 / np.sqrt(200)
    assert len(np.unique(found[:, 0, 0])) == 200


def test_draws_of_scattered_trials_are_those_of_the_whole():
    whole = make_draws(3, 10, 20)
    rows = np.array([0, 4, 5, 19])
    np.testing.assert_array_equal(whole.take(rows).uniform("x"), whole.uniform("x")[rows])
    np.testing.assert_array_equal(whole.take(rows).normal("x", (3,)), whole.normal("x", (3,))[rows])


QUANTILES = (np.arange(100_000) + 0.5) / 100_000


def test_exponential_is_the_cut_exponential():
    mean, low, high = 300.0, 200.0, 1200.0
    values = Exponential(mean, low, high).at(QUANTILES)
    grid = np.linspace(low, high, 50)
    expected = (1 - np.exp(-(grid - low) / mean)) / (1 - np.exp(-(high - low) / mean))
    np.testing.assert_allclose([np.mean(values <= x) for x in grid], expected, rtol=0, atol=2e-5)


def test_every_step_of_a_uniform_duration_is_equally_likely():
    values = Duration(Uniform(100, 200), 20.0, "x").at(QUANTILES)
    found, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(found, [100, 120, 140, 160, 180, 200])
    assert counts.max() - counts.min() <= 1


def test_an_exponential_duration_stays_on_the_grid_and_within():
    duration = Duration(Exponential(300, 200, 1200), 25.0, "x")
    values = duration.at(QUANTILES)
    assert duration.holds(values).all() and set(np.unique(np.diff(np.unique(values)))) == {25.0}


@settings(max_examples=40)
@given(
    dt=st.sampled_from([1.0, 2.5, 5.0]),
    fixation=st.integers(1, 40),
    low=st.integers(0, 30),
    extra=st.integers(0, 30),
    response=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
    start=st.integers(0, 2**39),
)
def test_durations_of_any_kind_fit_the_batch(dt, fixation, low, extra, response, seed, start):
    stimulus = Uniform(10 * low, 10 * (low + extra))
    task = GoNoGo(dt=dt, fixation=10 * fixation, stimulus=stimulus, response=10 * response)
    trials = task.trials(5, seed, start=start)
    assert task.steps == round(10 * (fixation + low + extra + response) / dt)
    duration = np.diff(trials.periods["stimulus"])[:, 0] * dt
    assert stimulus.holds(duration).all()
    assert task.accuracy(trials.targets, trials).all()
    for trial in range(5):
        on, off = trials.periods["stimulus"][trial]
        expected = np.zeros(task.steps)
        expected[on:off] = trials.conditions["go"][trial]
        np.testing.assert_array_equal(trials.inputs[trial, :, 0], expected)


def test_given_durations_are_in_ms():
    task = get("context_decision")
    trials = task.trials(3, conditions={"delay": [300, 310, 1500]})
    np.testing.assert_array_equal(np.diff(trials.periods["delay"])[:, 0], [30, 31, 150])
    np.testing.assert_array_equal(trials.conditions["delay"], [300, 310, 1500])


def test_take_keeps_trials_together():
    trials = get("context_decision").trials(10)
    for which in (slice(3, 6), [3, 4, 5], np.isin(np.arange(10), [3, 4, 5])):
        for what, array in arrays(trials.take(which)).items():
            np.testing.assert_array_equal(array, arrays(trials)[what][3:6])
    assert len(trials.take(2)) == 1


def test_layout_for_the_network_of_document_2():
    trials = get("mante").trials(3)
    assert trials.stimulus(2).shape == (4, 500) and trials.target(2).shape == (499,)
    np.testing.assert_array_equal(trials.stimulus(2), trials.inputs[2].T)
    np.testing.assert_array_equal(trials.target(2), trials.targets[2, :499, 0])
    assert get("yang_go").trials(1).target().shape == (132, 33)


def test_batches_are_a_sequence_of_disjoint_trials():
    task = get("delayed_discrimination")
    batches = Batches(task=task, size=6, count=3, seed=4, start=2)
    whole = task.trials(18, seed=4, start=2, precision="float32")
    found = list(batches)
    assert len(batches) == len(found) == 3
    for position, name in enumerate(("inputs", "targets", "mask")):
        joined = np.concatenate([batch[position] for batch in found])
        np.testing.assert_array_equal(joined, getattr(whole, name))
        np.testing.assert_array_equal(batches[-1][position], found[2][position])
    with pytest.raises(IndexError, match="batch 3 of 3"):
        batches[3]


def test_batches_go_through_the_loader_of_pytorch():
    data = pytest.importorskip("torch.utils.data")
    batches = Batches(task=get("xor"), size=4, count=3)
    loaded = list(data.DataLoader(batches, batch_size=None, shuffle=False))
    assert len(loaded) == 3
    for tensors, expected in zip(loaded, batches, strict=True):
        for tensor, array in zip(tensors, expected, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), array)


def test_a_mixture_holds_the_trials_of_its_tasks():
    go, anti = Yang(rule="go"), Yang(rule="dlyanti")
    both = Mixture(tasks=(go, anti), weights=(1, 3))
    trials = both.trials(100, seed=7)
    which = trials.conditions["task"]
    assert abs(np.mean(which) - 0.75) < 4.5 * np.sqrt(0.75 * 0.25 / 100)
    for number, task in enumerate((go, anti)):
        alone = task.trials(100, seed=7)
        rows = which == number
        np.testing.assert_array_equal(trials.inputs[rows, : task.steps], alone.inputs[rows])
        np.testing.assert_array_equal(trials.inputs[rows, task.steps :], 0.0)
        np.testing.assert_array_equal(trials.conditions["direction"][rows], alone.conditions["direction"][rows])
    assert np.isnan(trials.conditions["stimulus"]).sum() == 0
    assert np.isnan(trials.conditions["delay"]).tolist() == (which == 0).tolist()
    np.testing.assert_array_equal(trials.periods["delay"][which == 0], 0)


def test_tasks_are_values():
    assert get("yang_dms") == Yang(rule="dms") and hash(get("yang_dms")) == hash(Yang(rule="dms"))
    timed = Yang(rule="dms", timing={"delay": 100})
    assert hash(timed) != hash(get("yang_dms")) and timed.steps < get("yang_dms").steps
    assert get("Go-NoGo") == get("GO_NOGO") == GoNoGo()
