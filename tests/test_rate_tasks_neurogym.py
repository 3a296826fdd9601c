"""Environments of NeuroGym as tasks: a small one of our own, and, where it is installed, those of the package."""

from __future__ import annotations

import re
from importlib.util import find_spec

import numpy as np
import pytest

from recurra.errors import CapabilityError, OptionError
from recurra.rate.tasks import from_neurogym

needs_neurogym = pytest.mark.skipif(find_spec("neurogym") is None, reason="neurogym is not installed")


class Space:
    def __init__(self, name=None, **rest):
        self.name = name
        for key, value in rest.items():
            setattr(self, key, value)

    def seed(self, seed):
        pass


class Environment:
    """Show a cue for a drawn time, then ask which it was; does what environments of NeuroGym do."""

    def __init__(self, actions=3):
        self.dt = 50
        self.actions = actions
        self.observation_space = Space({"fixation": 0, "cue": [1, 2]})
        self.action_space = Space({"fixation": 0, "choice": [1, 2]}, n=actions) if actions else Space(shape=(1,))

    @property
    def unwrapped(self):
        return self

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def new_trial(self, choice=None):
        choice = int(self.rng.integers(2)) if choice is None else choice
        length = int(self.rng.integers(3, 8))
        self.ob = np.zeros((length + 2, 3), np.float32)
        self.ob[:length, 0] = 1
        self.ob[:length, 1 + choice] = self.rng.normal(1, 0.1, length)
        self.gt = np.zeros(length + 2, int if self.actions else float)
        self.gt[length:] = 1 + choice
        self.start_ind, self.end_ind = {"cue": 0, "decision": length}, {"cue": length, "decision": length + 2}
        return {"choice": choice, "word": "left"}


def test_trials_are_those_of_the_environment():
    task = from_neurogym(Environment())
    assert task.channels == ("fixation", "cue 0", "cue 1") and task.outputs == ("fixation", "choice 0", "choice 1")
    assert task.dt == 50.0 and task.steps == 12  # a quarter more than the longest, 9
    trials = task.trials(60, seed=1)
    assert set(trials.conditions) == {"choice"} and set(trials.lengths) == set(range(5, 10))
    for trial in range(60):
        length, choice = int(trials.lengths[trial]), int(trials.conditions["choice"][trial])
        cue = trials.inputs[trial, : length - 2]
        assert np.all(cue[:, 0] == 1) and abs(cue[:, 1 + choice].mean() - 1) < 0.3 and np.all(cue[:, 2 - choice] == 0)
        expected = np.zeros((12, 3))
        expected[: length - 2, 0] = 1
        expected[length - 2 : length, 1 + choice] = 1
        np.testing.assert_array_equal(trials.targets[trial], expected)
        np.testing.assert_array_equal(trials.mask[trial, :, 0], np.arange(12) < length)
        assert trials.periods["decision"][trial].tolist() == [length - 2, length]


def test_trials_have_addresses_and_conditions():
    task = from_neurogym(Environment(), steps=9)
    whole, part = task.trials(20, seed=4), task.trials(5, seed=4, start=10)
    np.testing.assert_array_equal(whole.inputs[10:15], part.inputs)
    assert not np.array_equal(task.trials(20, seed=5).inputs, whole.inputs)
    assert task.trials(3, conditions={"choice": [1, 0, 1]}).conditions["choice"].tolist() == [1, 0, 1]


def test_answers_are_judged_in_every_stretch():
    task = from_neurogym(Environment())
    trials = task.trials(30)
    assert task.accuracy(trials.targets, trials).all()
    assert not task.accuracy(np.zeros_like(trials.targets), trials).any()
    wrong = trials.targets.copy()
    wrong[:, :, 1:] = wrong[:, :, :0:-1]
    assert not task.accuracy(wrong, trials).any()


def test_continuous_actions_are_targets():
    task = from_neurogym(Environment(actions=0), tolerance=0.1)
    trials = task.trials(10)
    assert task.outputs == ("action 0",) or task.outputs == ("fixation",)
    assert set(np.unique(trials.targets)) <= {0.0, 1.0, 2.0}
    assert task.accuracy(trials.targets + 0.09, trials).all()
    assert not task.accuracy(trials.targets + 0.11, trials).any()


class Rewarding(Environment):
    def new_trial(self, **settings):
        super().new_trial(**settings)
        self.gt = None
        return {}


class Angles(Environment):
    def new_trial(self, **settings):
        super().new_trial(**settings)
        self.gt = np.full(len(self.ob), 1.5)
        return {}


WRONG = [
    (lambda: from_neurogym(Rewarding()), CapabilityError, "Rewarding has no right answers for the steps of a trial"),
    (lambda: from_neurogym(Angles()), CapabilityError, "the right answers of Angles are not among its 3 actions."),
    (lambda: from_neurogym(Environment(actions=2)), CapabilityError, "are not among its 2 actions."),
    (lambda: from_neurogym(Environment(), steps=1), OptionError, "steps must be a whole number >= 2, got 1."),
    (
        lambda: from_neurogym(Environment(), steps=5).trials(20),
        OptionError,
        "more than the 5 of every batch; say steps=",
    ),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=[words[:40] for _, _, words in WRONG])
def test_what_cannot_be_learned_is_refused(call, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        call()


@pytest.mark.skipif(find_spec("neurogym") is not None, reason="neurogym is installed")
def test_without_neurogym_an_id_is_refused():
    with pytest.raises(CapabilityError, match=r"install recurra\[neurogym\]"):
        from_neurogym("PerceptualDecisionMaking-v0")


NATIVE = {
    "AntiReach-v0": (33, 33),
    "ContextDecisionMaking-v0": (5, 3),
    "DelayComparison-v0": (2, 3),
    "DelayMatchSample-v0": (3, 3),
    "DualDelayMatchSample-v0": (7, 3),
    "GoNogo-v0": (3, 2),
    "HierarchicalReasoning-v0": (5, 5),
    "IntervalDiscrimination-v0": (3, 3),
    "MultiSensoryIntegration-v0": (5, 3),
    "PerceptualDecisionMaking-v0": (3, 3),
    "ProbabilisticReasoning-v0": (41, 3),
    "ReadySetGo-v0": (3, 2),
    "ReachingDelayResponse-v0": (2, 2),
}


@needs_neurogym
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NATIVE)
def test_environments_of_the_package(name):
    import neurogym

    task = from_neurogym(name)
    assert (len(task.channels), len(task.outputs)) == NATIVE[name]
    trials = task.trials(20, seed=2)
    np.testing.assert_array_equal(task.trials(4, seed=2, start=11).inputs, trials.inputs[11:15])
    assert task.accuracy(trials.targets, trials).all()
    assert trials.dt == neurogym.make(name).unwrapped.dt
    for name_of_period, steps in trials.periods.items():
        assert np.all(steps[:, 1] >= steps[:, 0]), name_of_period


@needs_neurogym
@pytest.mark.filterwarnings("ignore")
def test_a_perceptual_decision_of_the_package_is_what_it_says():
    import neurogym

    env = neurogym.make("PerceptualDecisionMaking-v0", dt=20, sigma=0.0)
    task = from_neurogym(env)
    trials = task.trials(30)
    assert task.channels[0] == "fixation" and trials.dt == 20
    for trial in range(30):
        on, off = trials.periods["stimulus"][trial]
        first, second = trials.inputs[trial, on:off, 1:].mean(axis=0)
        coherence, right = trials.conditions["coh"][trial], int(trials.conditions["ground_truth"][trial])
        assert abs(abs(first - second) - coherence / 100) < 1e-6
        if coherence > 0:
            assert (first < second) == bool(right)
        on, off = trials.periods["decision"][trial]
        np.testing.assert_array_equal(trials.targets[trial, on:off].argmax(axis=1), 1 + right)


@needs_neurogym
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["Bandit-v0", "DawTwoStep-v0", "Reaching1D-v0"])
def test_environments_without_right_actions_are_refused(name):
    with pytest.raises(CapabilityError, match="right answers"):
        from_neurogym(name)


@needs_neurogym
@pytest.mark.filterwarnings("ignore")
def test_an_unknown_id_is_refused():
    with pytest.raises(OptionError, match="NeuroGym cannot make 'GoNoGoo-v0'"):
        from_neurogym("GoNoGoo-v0")
