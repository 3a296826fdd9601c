"""The twenty tasks of Yang et al. (2019), against an observer who sees nothing but the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.rate.tasks import TASKS, Yang, get
from recurra.rate.tasks.yang import RULES

UNITS = 32
ANGLES = 2 * np.pi * np.arange(UNITS) / UNITS


def see(row):
    """Return what one row of inputs shows: (ring, direction in degrees, strength) for each peak.

    A bump is Gaussian, so the logarithms at the peak and beside it lie on a parabola.
    """
    found = []
    for ring in (1, 2):
        activity = row[1 + (ring - 1) * UNITS : 1 + ring * UNITS]
        for unit in range(UNITS):
            left, here, right = activity[unit - 1], activity[unit], activity[(unit + 1) % UNITS]
            if here > 0.2 and here >= left and here > right:
                a, b, c = np.log([left, here, right])
                shift = 0.5 * (a - c) / (a - 2 * b + c)
                height = np.exp(b - 0.25 * (a - c) * shift)
                found.append((ring, 360 / UNITS * (unit + shift) % 360, height / 0.8))
    return found


def apart(one, other):
    return abs((one - other + 180) % 360 - 180)


def grouped(seen):
    """Join what both rings show: (direction, {ring: strength}) for each direction."""
    found = []
    for ring, direction, strength in seen:
        for known, strengths in found:
            if apart(known, direction) < 20:
                strengths[ring] = strength
                break
        else:
            found.append((direction, {ring: strength}))
    return found


def answer(rule, rows):
    """Return the response (degrees, None to keep fixating) to what the rows show, by the words of the paper."""
    sights = [see(row) for row in rows]
    if rule in ("go", "rtgo", "dlygo", "anti", "rtanti", "dlyanti"):
        (seen,) = {(ring, round(direction, 6)) for sight in sights for ring, direction, _ in sight}
        return (seen[1] + 180 * ("anti" in rule)) % 360
    if rule in ("dms", "dnms", "dmc", "dnmc"):
        first, second = sights[0][0][1], sights[-1][0][1]
        same = (first >= 180) == (second >= 180) if rule.endswith("mc") else apart(first, second) < 1
        return second if same != rule.startswith("dn") else None
    options = grouped(sights[0]) if len(sights) == 1 else grouped(sights[0]) + grouped(sights[1])
    (one, left), (other, right) = options
    rings = (1, 2) if "multi" in rule else (int(rule[-1]),)
    return one if sum(left[r] for r in rings) > sum(right[r] for r in rings) else other


def shown_rows(inputs):
    """Return one row for each stretch of time in which the rings stay the same and show something."""
    rings = inputs[:, 1 : 1 + 2 * UNITS]
    changes = [0, *(k for k in range(1, len(rings)) if np.any(rings[k] != rings[k - 1]))]
    return [inputs[k] for k in changes if np.any(rings[k] > 0.2)]


@pytest.mark.parametrize("rule", RULES)
def test_the_right_answer_follows_from_the_inputs_alone(rule):
    task = Yang(rule=rule, noise=0.0)
    trials = task.trials(40, seed=3)
    responses = trials.conditions["response"]
    for trial in range(40):
        expected = answer(rule, shown_rows(trials.inputs[trial, : trials.lengths[trial]]))
        if expected is None:
            assert np.isnan(responses[trial])
        else:
            assert apart(responses[trial], expected) < 0.1


@pytest.mark.parametrize("rule", RULES)
def test_cues_targets_and_mask(rule):
    task = get(f"yang_{rule}")
    trials = Yang(rule=rule, noise=0.0).trials(12, seed=1)
    assert task.channels[-20:] == tuple(f"rule {name}" for name in RULES) and len(task.channels) == 85
    inside = np.arange(task.steps) < trials.lengths[:, None]
    for position, name in enumerate(RULES):
        np.testing.assert_array_equal(trials.inputs[..., 65 + position], inside if name == rule else 0.0)
    for trial in range(12):
        start, stop = trials.periods["response"][trial]
        cue = np.ones(stop) if rule.startswith("rt") else np.arange(stop) < start
        np.testing.assert_array_equal(trials.inputs[trial, :stop, 0], cue)
        weight = np.where(np.arange(stop) < start, 1.0, np.where(np.arange(stop) < start + 5, 0.0, 5.0))
        np.testing.assert_array_equal(trials.mask[trial, :stop, 0], 2 * weight)
        np.testing.assert_array_equal(trials.mask[trial, :stop, 1:], np.repeat(weight[:, None], 32, axis=1))
        direction = trials.conditions["response"][trial]
        before, after = trials.targets[trial, :start], trials.targets[trial, start:stop]
        np.testing.assert_allclose(before, [[0.85] + [0.05] * 32] * start, atol=1e-15)
        if np.isnan(direction):
            np.testing.assert_allclose(after, [[0.85] + [0.05] * 32] * (stop - start), atol=1e-15)
        else:
            away = np.abs((ANGLES - np.radians(direction) + np.pi) % (2 * np.pi) - np.pi)
            ring = 0.05 + 0.8 * np.exp(-0.5 * (8 * away / np.pi) ** 2)
            np.testing.assert_allclose(after, np.tile([0.05, *ring], (stop - start, 1)), atol=1e-12)


@pytest.mark.parametrize("rule", [rule for rule in RULES if RULES[rule].family == "match"])
def test_half_of_the_matching_trials_ask_for_a_response(rule):
    responses = Yang(rule=rule, noise=0.0, units=4).trials(1500).conditions["response"]
    assert abs(np.mean(np.isnan(responses)) - 0.5) < 4.5 * 0.5 / np.sqrt(1500)


@pytest.mark.parametrize("rule", ["ctxdm1", "ctxdm2", "multidm", "ctxdlydm1", "ctxdlydm2", "multidlydm"])
def test_one_ring_alone_does_not_give_the_answer_away(rule):
    task = Yang(rule=rule, noise=0.0)
    found = task.trials(600).conditions
    if "multi" in rule:
        alone = (1 + found["split 1"]) * (found["strength"] + found["contrast"]) > (1 + found["split 2"]) * (
            found["strength"] - found["contrast"]
        )
        assert 0.5 < np.mean(alone == (found["evidence"] > 0)) < 0.9
    else:
        other = found[f"contrast {3 - int(rule[-1])}"]
        assert abs(np.mean((other > 0) == (found["evidence"] > 0)) - 0.5) < 4.5 * 0.5 / np.sqrt(600)
        np.testing.assert_array_equal(found["evidence"], found[f"contrast {rule[-1]}"])


def test_noise_is_in_cue_and_rings_only_and_has_its_strength():
    task = Yang(rule="go", noise=0.02, dt=20.0)
    noise = task.trials(30).inputs - Yang(rule="go", noise=0.0).trials(30).inputs
    inside = np.arange(task.steps) < task.trials(30).lengths[:, None]
    np.testing.assert_array_equal(noise[..., 65:], 0.0)
    found = noise[inside][:, :65]
    expected = 0.02 * np.sqrt(2 * 100 / 20)
    assert abs(found.std() / expected - 1) < 4.5 / np.sqrt(2 * found.size)
    np.testing.assert_array_equal(noise[~inside], 0.0)


def respond(task, trials, direction, fixation_before=0.85, fixation_after=0.05):
    """Return the targets of a response to another direction, and other heights of the fixation output."""
    found = np.full(trials.targets.shape, 0.05)
    due = trials.during("response")
    away = np.abs((ANGLES - np.radians(direction)[:, None] + np.pi) % (2 * np.pi) - np.pi)
    found[..., 1:] += due[..., None] * (0.8 * np.exp(-0.5 * (8 * away / np.pi) ** 2))[:, None]
    found[..., 0] = np.where(due, fixation_after, fixation_before)
    return task.accuracy(found, trials)


@pytest.mark.parametrize(
    ("off", "before", "after", "right"),
    [
        (0, 0.85, 0.05, True),
        (35, 0.85, 0.05, True),
        (-35, 0.85, 0.05, True),
        (37, 0.85, 0.05, False),
        (-37, 0.85, 0.05, False),
        (180, 0.85, 0.05, False),
        (0, 0.51, 0.49, True),
        (0, 0.49, 0.05, False),  # fixation was broken
        (0, 0.85, 0.51, False),  # it never went
    ],
)
def test_answers_are_judged_as_in_the_paper(off, before, after, right):
    task = TASKS["yang_anti"]
    trials = task.trials(20)
    assert respond(task, trials, trials.conditions["response"] + off, before, after).tolist() == [right] * 20


def test_where_no_response_is_due_fixation_decides():
    task = TASKS["yang_dms"]
    trials = task.trials(20, conditions={"match": 0})
    nowhere = np.zeros(20)
    assert np.isnan(trials.conditions["response"]).all()
    assert respond(task, trials, nowhere, fixation_after=0.85).all()
    assert not respond(task, trials, nowhere, fixation_after=0.05).any()


def test_an_early_response_breaks_fixation():
    task = TASKS["yang_go"]
    trials = task.trials(10)
    early = trials.targets.copy()
    rows = np.arange(10)
    early[rows, trials.periods["response"][:, 0] - 1, 0] = 0.3
    assert not task.accuracy(early, trials).any()
    late = trials.targets.copy()
    late[rows, trials.periods["response"][:, 0], 0] = 0.9  # a step late is no mistake
    assert task.accuracy(late, trials).all()


def test_durations_can_be_given():
    task = Yang(rule="dms", timing={"delay": 100, "sample": 200})
    trials = task.trials(5)
    np.testing.assert_array_equal(np.diff(trials.periods["delay"]), 5)
    np.testing.assert_array_equal(np.diff(trials.periods["sample"]), 10)
    assert task.timing == (("delay", 100), ("sample", 200))
