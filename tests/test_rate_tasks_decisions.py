"""Decisions, matching and timing: what is shown, how much noise there is, and what an ideal observer makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recurra.rate.tasks import Choice, ReadySetGo, get
from recurra.rate.tasks.choosing import angle_between, ring_angles, ring_bump, ring_direction


def near(found, expected, n):
    """Say whether a part of n trials is within 4.5 standard errors of what is expected."""
    return abs(np.mean(found) - expected) <= 4.5 * math.sqrt(max(expected * (1 - expected), 1e-4) / n)


def normal_cdf(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def quiet(name, n, seed=0, **conditions):
    task = get(name, noise=0.0)
    return task, task.trials(n, seed=seed, conditions=conditions)


def middle(trials, period):
    """Return the inputs of each trial in the middle of a period."""
    return trials.inputs[np.arange(len(trials)), trials.periods[period].mean(axis=1).astype(int)]


def test_perceptual_discrimination_shows_its_evidence():
    _, trials = quiet("perceptual_discrimination", 200)
    found = trials.conditions
    np.testing.assert_array_equal(found["evidence"], found["side"] * found["coherence"])
    shown = middle(trials, "stimulus")
    np.testing.assert_allclose(shown[:, 0] - shown[:, 1], found["evidence"], atol=1e-15)
    np.testing.assert_allclose(shown.sum(axis=1), 1.0, atol=1e-15)
    np.testing.assert_array_equal(found["choice"], np.where(shown[:, 0] > shown[:, 1], 0, 1))
    np.testing.assert_array_equal(trials.inputs[~trials.during("stimulus")], 0.0)


@pytest.mark.parametrize("dt", [5.0, 20.0])
def test_an_ideal_observer_is_right_as_often_as_theory_says(dt):
    n, coherence, noise = 4000, 0.032, 0.3
    task = get("perceptual_discrimination", dt=dt, noise=noise, stimulus=200.0, coherence=coherence)
    trials = task.trials(n, seed=1)
    difference = np.where(trials.during("stimulus"), trials.inputs[..., 0] - trials.inputs[..., 1], 0).sum(axis=1)
    answers = np.stack([difference > 0, difference <= 0], axis=1)[:, None] * np.ones((1, task.steps, 1))
    # The sum over K steps has mean K c and variance 2 K (noise^2 200 / dt): independent of dt.
    expected = normal_cdf(coherence * math.sqrt(200 / dt / 2) / (noise * math.sqrt(200 / dt)))
    assert near(task.accuracy(answers, trials), expected, n)


@pytest.mark.parametrize("dt", [1.0, 10.0])
def test_noise_has_its_strength_behind_a_leak_whatever_the_step(dt):
    task = get("perceptual_discrimination", dt=dt, noise=0.25, stimulus=1500.0, response=500.0)
    trials = task.trials(300, conditions={"side": 1})
    signal = (
        trials.inputs[..., 0] - np.where(trials.during("stimulus"), 1 + trials.conditions["evidence"][:, None], 0) / 2
    )
    leak, state, kept = dt / 100.0, np.zeros(300), []
    for step in range(task.steps):
        state = state + leak * (signal[:, step] - state)
        if step * dt > 1000 and step % round(200 / dt) == 0:
            kept.append(state.copy())
    # The discrete leak has variance noise^2 / (1 - leak / 2).
    expected = 0.25 / math.sqrt(1 - leak / 2)
    assert abs(np.std(kept) / expected - 1) < 4.5 / math.sqrt(2 * np.size(kept))


def test_delayed_discrimination_shows_the_pairs_of_romo():
    _, trials = quiet("delayed_discrimination", 200)
    found = trials.conditions
    pairs = set(zip(found["f1"], found["f2"], strict=True))
    slow = [(18, 10), (22, 14), (26, 18), (30, 22), (34, 26)]
    assert pairs == {*slow, *((b, a) for a, b in slow)}
    for period, f in (("first", "f1"), ("second", "f2")):
        shown = middle(trials, period)
        np.testing.assert_allclose(shown[:, 0], 0.5 + 0.4 * (found[f] - 22) / 12, atol=1e-15)
        np.testing.assert_allclose(shown[:, 1], 1 - shown[:, 0], atol=1e-15)
    np.testing.assert_array_equal(trials.inputs[trials.during("fixation", "delay", "response")], 0.0)
    np.testing.assert_array_equal(found["choice"], np.where(found["f1"] > found["f2"], 0, 1))
    np.testing.assert_array_equal(found["evidence"], found["f1"] - found["f2"])


def test_multisensory_integration_uses_the_senses_it_says():
    _, trials = quiet("multisensory_integration", 300)
    found, shown = trials.conditions, middle(trials, "stimulus")
    slope = 0.4 * (found["rate"] - 12.5) / 3.5
    for first, used in ((0, found["modality"] != 1), (2, found["modality"] != 0)):
        np.testing.assert_allclose(shown[:, first], used * (0.5 + slope), atol=1e-15)
        np.testing.assert_allclose(shown[:, first + 1], used * (0.5 - slope), atol=1e-15)
    np.testing.assert_array_equal(found["choice"], np.where(found["rate"] > 12.5, 0, 1))
    assert set(found["modality"]) == {0, 1, 2} and set(found["rate"]) == set(range(9, 17))


def test_two_senses_are_better_than_one_by_the_square_root_of_two():
    n, noise = 3000, 1.5
    task = get("multisensory_integration", noise=noise, stimulus=200.0, rate=Choice((12, 13)))
    distance = 0.4 * 0.5 / 3.5 * math.sqrt(2) / noise  # of the sum of a rising minus a falling input, in sds
    for modality, columns, senses in ((0, [0], 1), (1, [2], 1), (2, [0, 2], 2)):
        trials = task.trials(n, seed=modality, conditions={"modality": modality})
        during = trials.during("stimulus")
        total = sum(np.where(during, trials.inputs[..., c] - trials.inputs[..., c + 1], 0).sum(axis=1) for c in columns)
        right = (total > 0) == (trials.conditions["choice"] == 0)
        assert near(right, normal_cdf(distance * math.sqrt(senses)), n)


def test_context_decision_asks_for_what_its_cue_says():
    task, trials = quiet("context_decision", 400)
    found, shown = trials.conditions, middle(trials, "stimulus")
    motion, color = shown[:, 0] - shown[:, 1], shown[:, 2] - shown[:, 3]
    np.testing.assert_allclose(motion, found["motion evidence"], atol=1e-15)
    np.testing.assert_allclose(color, found["color evidence"], atol=1e-15)
    np.testing.assert_array_equal(shown[:, 4:].argmax(axis=1), found["context"])
    inside = np.arange(task.steps) < trials.lengths[:, None]
    np.testing.assert_array_equal(trials.inputs[..., 4:].sum(axis=2), inside)
    attended = np.where(shown[:, 4] == 1, motion, color)
    np.testing.assert_array_equal(found["choice"], np.where(attended > 0, 0, 1))
    other = np.where(shown[:, 4] == 1, color, motion)
    assert near(found["choice"] == np.where(other > 0, 0, 1), 0.5, 400)


@pytest.mark.parametrize("categories", [2, 4, 8])
def test_categories_are_sectors_of_the_circle(categories):
    task = get("match_to_category", categories=categories, noise=0.0)
    trials = task.trials(16, conditions={"direction": np.arange(16)})
    angle = ring_direction(middle(trials, "stimulus"))
    expected = np.floor((angle + 1e-9) % (2 * np.pi) / (2 * np.pi / categories)).astype(int)
    np.testing.assert_array_equal(trials.conditions["choice"], expected)
    assert task.outputs == tuple(f"category {k}" for k in range(categories))


def test_a_match_is_where_test_and_sample_are_the_same():
    _, trials = quiet("delayed_match_to_sample", 600)
    sample, test = (ring_direction(middle(trials, period)) for period in ("sample", "test"))
    same = angle_between(sample, test) < 1e-6
    np.testing.assert_array_equal(trials.conditions["choice"], np.where(same, 0, 1))
    assert near(same, 0.5, 600)
    steps = np.round((test - sample) * 8 / (2 * np.pi)).astype(int) % 8
    counts = np.bincount(steps[~same], minlength=8)[1:]
    assert counts.min() > 0 and np.abs(counts - counts.mean()).max() < 4.5 * math.sqrt(counts.mean())
    assert get("delayed_match_to_sample", match_probability=1.0).trials(50).conditions["choice"].max() == 0


def test_ring_follows_the_formula():
    directions = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    for units in (8, 32):
        bump = ring_bump(directions, units)
        for row, direction in enumerate(directions):
            for unit, angle in enumerate(ring_angles(units)):
                apart = abs(direction - angle)
                apart = min(apart, 2 * math.pi - apart)
                assert abs(bump[row, unit] - 0.8 * math.exp(-0.5 * (8 * apart / math.pi) ** 2)) < 1e-14
    np.testing.assert_allclose(angle_between(ring_direction(ring_bump(directions, 32)), directions), 0, atol=1e-4)


@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_ready_set_go_is_laid_out_around_its_pulses(gain):
    task = ReadySetGo(gain=gain, dt=10.0)
    trials = task.trials(60, seed=2)
    intervals = trials.conditions["interval"]
    assert set(intervals) == {500, 600, 700, 800, 900, 1000}
    for trial in range(0, 60, 3):
        ready = np.flatnonzero(trials.inputs[trial, :, 0])
        set_ = np.flatnonzero(trials.inputs[trial, :, 1])
        assert len(ready) == len(set_) == 10 and (set_[0] - ready[0]) * 10 == intervals[trial]
        due = set_[0] + round(gain * intervals[trial] / 10)
        ramp = [min(max((step - set_[0]) / (due - set_[0]), 0.0), 1.0) for step in range(task.steps)]
        ramp = np.where(np.arange(task.steps) < due + 50, ramp, 0.0)
        np.testing.assert_allclose(trials.targets[trial, :, 0], ramp, atol=1e-15)
        assert trials.lengths[trial] == due + 50


@pytest.mark.parametrize(
    ("factor", "right"), [(0.75, False), (0.81, True), (1.0, True), (1.19, True), (1.25, False), (3.0, False)]
)
def test_ready_set_go_allows_a_share_of_the_interval(factor, right):
    task = ReadySetGo(dt=5.0)
    trials = task.trials(6, conditions={"interval": [500, 600, 700, 800, 900, 1000]})
    since = (np.arange(task.steps) - trials.periods["set"][:, :1]) * task.dt
    ramp = np.clip(since / (factor * trials.conditions["interval"][:, None]), 0, None)[..., None]
    assert task.accuracy(ramp, trials).tolist() == [right] * 6
    early = np.where(np.arange(task.steps) < 30, 1.0, 0.0) * np.ones((6, 1))
    assert not task.accuracy(early, trials).any()
