"""Go-NoGo, XOR and the context task of Kim et al. (2019), and the task classes of document 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.rate.tasks import XOR, GoNoGo, GoNogoTask, Mante, ManteTask, TaskFactory, XORTask

GOLDEN = Path(__file__).parent / "golden" / "spikernn_forward_small.npz"
# Steps: T, stim_on, stim_dur, delay.
SETTINGS = {
    "go_nogo": {"T": 200, "stim_on": 50, "stim_dur": 25},
    "xor": {"T": 300, "stim_on": 50, "stim_dur": 50, "delay": 10},
    "mante": {"T": 500, "stim_on": 50, "stim_dur": 200},
}


def pulses(total, *spans):
    """Return zeros with values on spans, step by step."""
    found = []
    for step in range(total):
        found.append(sum(value for start, stop, value in spans if start <= step < stop))
    return np.array(found, float)


@pytest.mark.parametrize("go", [0, 1])
def test_go_nogo_is_as_published(go):
    trials = GoNoGo().trials(1, conditions={"go": go})
    np.testing.assert_array_equal(trials.inputs[0, :, 0], pulses(200, (50, 75, go)))
    np.testing.assert_array_equal(trials.targets[0, :, 0], pulses(200, (75, 200, go)))
    np.testing.assert_array_equal(trials.mask, 1.0)
    assert trials.dt == 5.0


@pytest.mark.parametrize("first", [1, -1])
@pytest.mark.parametrize("second", [1, -1])
def test_xor_is_as_published(first, second):
    trials = XOR().trials(1, conditions={"sign 1": first, "sign 2": second})
    np.testing.assert_array_equal(trials.inputs[0, :, 0], pulses(300, (50, 100, first)))
    np.testing.assert_array_equal(trials.inputs[0, :, 1], pulses(300, (110, 160, second)))
    np.testing.assert_array_equal(trials.targets[0, :, 0], pulses(300, (170, 270, first * second)))
    assert trials.conditions["choice"][0] == (1 if first == second else -1)


def test_mante_with_constant_evidence_is_as_published():
    trials = Mante(coding="constant").trials(400, seed=2)
    found = trials.conditions
    for name in ("color", "motion"):
        assert np.abs(found[name]).max() <= 1.25 and abs(found[name].var() - 2.5**2 / 12) < 0.08
    for trial in range(0, 400, 20):
        context, color, motion = (found[name][trial] for name in ("context", "color", "motion"))
        choice = np.sign(color if context == 1 else motion)
        for channel, value in enumerate((context, color, motion, 0.0)):
            np.testing.assert_array_equal(trials.inputs[trial, :, channel], pulses(500, (50, 250, value)))
        np.testing.assert_array_equal(trials.targets[trial, :, 0], pulses(500, (250, 500, choice)))


def test_mante_with_noisy_evidence_is_as_published():
    n = 200
    trials = Mante().trials(n, seed=2)
    found = trials.conditions
    outside = np.r_[0:50, 250:500]
    np.testing.assert_array_equal(trials.inputs[:, outside, :2], 0.0)
    shown = trials.inputs[:, 50:250, :2]
    rest = shown - np.stack([found["color"], found["motion"]], axis=1)[:, None]
    assert set(found["color"]) == set(found["motion"]) == {-0.5, 0.5}
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size) and abs(rest.std() - 1) < 4.5 / np.sqrt(2 * rest.size)
    lag = np.mean(rest[:, 1:] * rest[:, :-1])
    assert abs(lag) < 4.5 / np.sqrt(rest.size)
    np.testing.assert_array_equal(trials.inputs[..., 2], np.repeat(found["context"][:, None] == 1, 500, axis=1))
    np.testing.assert_array_equal(trials.inputs[..., 3], np.repeat(found["context"][:, None] == -1, 500, axis=1))
    attended = np.where(found["context"] == 1, found["color"], found["motion"])
    np.testing.assert_array_equal(trials.targets[:, 250:, 0], np.repeat(np.sign(attended)[:, None], 250, axis=1))
    np.testing.assert_array_equal(trials.targets[:, :250], 0.0)


@pytest.mark.parametrize(
    ("case", "task", "conditions"),
    [
        ("gonogo_sigmoid", GoNoGo(fixation=75, stimulus=50, response=175), {"go": 1}),
        ("gonogo_nogo", GoNoGo(fixation=75, stimulus=50, response=175), {"go": 0}),
        (
            "xor_sigmoid",
            XOR(fixation=25, stimulus=50, delay=25, wait=50, response=100, rest=0),
            {"sign 1": 1, "sign 2": -1},
        ),
        ("mante_sigmoid", Mante(coding="constant", fixation=50, stimulus=125, response=125), None),
    ],
)
def test_trials_are_those_of_the_original(case, task, conditions):
    with np.load(GOLDEN) as golden:
        u, z, label = (golden[f"{case}/{what}"] for what in ("u", "target", "label"))
    if conditions is None:
        conditions = {"context": u[0, 20], "color": u[1, 20], "motion": u[2, 20]}
    trials = task.trials(1, conditions=conditions)
    np.testing.assert_array_equal(trials.stimulus(), u)
    np.testing.assert_array_equal(trials.target(), z.ravel())
    labels = {"gonogo_sigmoid": 1, "gonogo_nogo": 0, "xor_sigmoid": "diff", "mante_sigmoid": -1}
    assert str(label) == str(labels[case])


def answers(total, *spans):
    return pulses(total, *spans)[None, :, None]


@pytest.mark.parametrize(
    ("task", "conditions", "spans", "right"),
    [
        (GoNoGo(), {"go": 1}, [(190, 191, 0.71)], True),
        (GoNoGo(), {"go": 1}, [(75, 200, 0.69)], False),
        (GoNoGo(), {"go": 1}, [(0, 75, 1.0)], False),  # too early
        (GoNoGo(threshold=0.3), {"go": 1}, [(190, 191, 0.31)], True),
        (GoNoGo(), {"go": 0}, [(75, 200, 0.29)], True),
        (GoNoGo(), {"go": 0}, [(120, 121, 0.31)], False),
        (GoNoGo(), {"go": 0}, [(120, 121, -0.31)], False),
        (GoNoGo(), {"go": 0}, [(0, 75, 1.0)], True),
        (GoNoGo(silence=0.5), {"go": 0}, [(120, 121, 0.31)], True),
        (XOR(), {"sign 1": 1, "sign 2": 1}, [(170, 171, 0.71)], True),
        (XOR(), {"sign 1": 1, "sign 2": 1}, [(170, 270, 0.69)], False),
        (XOR(), {"sign 1": 1, "sign 2": 1}, [(160, 170, 1.0), (270, 300, 1.0)], False),
        (XOR(), {"sign 1": -1, "sign 2": 1}, [(170, 270, -1.0)], True),
        (XOR(), {"sign 1": -1, "sign 2": 1}, [(170, 270, 1.0)], False),
        (XOR(), {"sign 1": -1, "sign 2": 1}, [(170, 220, -1.0), (220, 270, 1.0)], True),
        (XOR(strict=True), {"sign 1": -1, "sign 2": 1}, [(170, 220, -1.0), (220, 270, 1.0)], False),
        (XOR(strict=True), {"sign 1": -1, "sign 2": 1}, [(170, 220, -1.0), (220, 270, 0.6)], True),
        (Mante(), {"context": 1, "color": 0.5, "motion": -0.5}, [(250, 500, 1.0)], True),
        (Mante(), {"context": -1, "color": 0.5, "motion": -0.5}, [(250, 500, 1.0)], False),
        (Mante(), {"context": -1, "color": 0.5, "motion": -0.5}, [(499, 500, -0.71)], True),
        (Mante(), {"context": -1, "color": 0.5, "motion": -0.5}, [(0, 250, -1.0)], False),
    ],
)
def test_answers_are_judged_as_in_the_paper(task, conditions, spans, right):
    trials = task.trials(1, conditions=conditions)
    assert task.accuracy(answers(trials.steps, *spans), trials).tolist() == [right]
    assert task.accuracy(answers(trials.steps, *spans)[..., 0], trials).tolist() == [right]


@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [
        ("go_nogo", "go", 1),
        ("go_nogo", "nogo", 0),
        ("xor", "++", "same"),
        ("xor", "--", "same"),
        ("xor", "+-", "diff"),
        ("xor", "-+", "diff"),
    ],
)
def test_published_classes_give_the_trial_that_is_asked_for(name, kind, label):
    task = TaskFactory.create_task(name, SETTINGS[name])
    u, z, found = task.simulate_trial(kind)
    assert found == label and u.shape[1] == SETTINGS[name]["T"] and z.shape == (SETTINGS[name]["T"] - 1,)
    np.testing.assert_array_equal(task.generate_target(label), z)
    again, same = task.generate_stimulus(kind)
    np.testing.assert_array_equal(again, u)
    assert same == label
    if name == "xor":
        np.testing.assert_array_equal(u[:, [60, 120]].diagonal(), [1 if sign == "+" else -1 for sign in kind])


@pytest.mark.parametrize("kind", [GoNogoTask, XORTask, ManteTask])
def test_published_classes_draw_by_seed(kind):
    name = {GoNogoTask: "go_nogo", XORTask: "xor", ManteTask: "mante"}[kind]
    task = kind({**SETTINGS[name], "DeltaT": 1})
    seen = [task.simulate_trial() for _ in range(60)]
    again = kind(SETTINGS[name])
    for u, z, label in seen:
        other = again.simulate_trial()
        np.testing.assert_array_equal(other[0], u)
        np.testing.assert_array_equal(other[1], z)
        assert other[2] == label
        np.testing.assert_array_equal(task.generate_target(label), z)
    assert len({label for _, _, label in seen}) == 2
    np.testing.assert_array_equal(task.generate_stimulus(seed=True)[0], task.generate_stimulus(seed=42)[0])
    u, label = task.generate_stimulus(seed=5)
    np.testing.assert_array_equal(u, task.task.trials(1, seed=5).stimulus())


def test_mante_class_attends_what_its_type_says():
    task = ManteTask(SETTINGS["mante"])
    for kind, row in (("color", 1), ("motion", 2)):
        u, z, label = task.simulate_trial(kind, seed=3)
        assert label == np.sign(u[row, 100]) and z[-1] == label and np.all(u[3] == 0)
    assert TaskFactory.list_available_tasks() == ["go_nogo", "xor", "mante"]


def test_xor_class_keeps_its_response_within_a_short_trial():
    task = XORTask({"T": 60, "stim_on": 5, "stim_dur": 10, "delay": 5})
    with np.load(GOLDEN) as golden:
        np.testing.assert_array_equal(task.simulate_trial("+-")[0], golden["xor_sigmoid/u"])
        np.testing.assert_array_equal(task.simulate_trial("+-")[1], golden["xor_sigmoid/target"].ravel())
