"""What is wrong is refused, in words that help."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from recurra.errors import OptionError, PathError, ShapeError, TimeError
from recurra.rate.tasks import (
    XOR,
    Batches,
    Choice,
    DelayedMatchToSample,
    Exponential,
    GoNoGo,
    GoNogoTask,
    Mante,
    MatchToCategory,
    Mixture,
    MultisensoryIntegration,
    PerceptualDiscrimination,
    PeriodTask,
    ReadySetGo,
    TaskFactory,
    Uniform,
    XORTask,
    Yang,
    from_neurogym,
    get,
)

TASKS = [
    (lambda: get("go_nogoo"), OptionError, "unknown task 'go_nogoo'. Did you mean 'go_nogo'?"),
    (lambda: get(3), OptionError, "unknown task '3'."),
    (lambda: get("yang_dm3"), OptionError, "unknown task 'yang_dm3'. Did you mean 'yang_dm"),
    (lambda: get("xor", dely=3), OptionError, "XOR: unknown parameter 'dely'. Did you mean 'delay'?"),
    (lambda: get("mante", coding="noisi"), OptionError, "Mante: unknown coding 'noisi'. Did you mean 'noisy'?"),
    (lambda: Mante(offset=0), OptionError, "Mante: offset must be > 0, got 0."),
    (lambda: Mante(noise=-1), OptionError, "Mante: noise must be >= 0, got -1."),
    (lambda: GoNoGo(dt=0), TimeError, "GoNoGo: dt must be a number > 0 in ms, got 0."),
    (lambda: GoNoGo(dt="5"), TimeError, "GoNoGo: dt must be a number > 0 in ms, got '5'."),
    (lambda: GoNoGo(dt=float("nan")), TimeError, "dt must be a number > 0 in ms, got nan."),
    (
        lambda: GoNoGo(stimulus=127),
        TimeError,
        "GoNoGo: stimulus 127 is not a whole number of steps of 5: use 125 or 130.",
    ),
    (lambda: GoNoGo(stimulus=-5), TimeError, "GoNoGo: stimulus: expected a duration >= 0 in ms, got -5.0."),
    (lambda: GoNoGo(stimulus=Uniform(100, 201)), TimeError, "stimulus 201 is not a whole number of steps of 5"),
    (lambda: GoNoGo(stimulus=Choice((100, 102))), TimeError, "stimulus 102 is not a whole number of steps of 5"),
    (
        lambda: GoNoGo(stimulus="long"),
        OptionError,
        "GoNoGo: stimulus: expected a number, Choice, Uniform or Exponential",
    ),
    (lambda: GoNoGo(stimulus=None), OptionError, "got None."),
    (lambda: GoNoGo(fixation=0, stimulus=0, response=5), TimeError, "a trial has 1 steps of 5 ms; it needs at least 2"),
    (lambda: GoNoGo(go_probability=1.5), OptionError, "GoNoGo: go_probability must be from 0 to 1, got 1.5."),
    (lambda: GoNoGo(threshold=0), OptionError, "GoNoGo: threshold must be a number > 0, got 0."),
    (lambda: GoNoGo(silence=-0.1), OptionError, "GoNoGo: silence must be > 0, got -0.1."),
    (lambda: PerceptualDiscrimination(noise=None), OptionError, "noise must be a number >= 0, got None."),
    (lambda: PerceptualDiscrimination(coherence=1.2), OptionError, "coherence must be from 0 to 1, got 1.2."),
    (lambda: get("context_decision", coherence=Choice((-0.1, 0.5))), OptionError, "coherence must be from 0 to 1"),
    (lambda: MatchToCategory(categories=3), OptionError, "categories must be a whole number >= 2 that divides the 16"),
    (lambda: MatchToCategory(units=1), OptionError, "units must be a whole number >= 2, got 1."),
    (lambda: DelayedMatchToSample(match_probability=-1), OptionError, "match_probability must be from 0 to 1, got -1."),
    (lambda: ReadySetGo(gain=0), OptionError, "ReadySetGo: gain must be above 0 and below inf, got 0."),
    (lambda: ReadySetGo(threshold=1), OptionError, "threshold must be above 0 and below 1, got 1."),
    (lambda: ReadySetGo(pulse=600), OptionError, "no longer than the shortest interval, 500 ms, got 600."),
    (lambda: ReadySetGo(gain=0.1), OptionError, "no longer than the shortest interval, 50 ms, got 100.0."),
    (lambda: Yang(rule="dm3"), OptionError, "Yang: unknown rule 'dm3'. Did you mean 'dm"),
    (lambda: Yang(rule="go", timing={"delay": 100}), OptionError, "Yang: unknown period 'delay'."),
    (lambda: Yang(rule="go", units=2), OptionError, "Yang: units must be a whole number >= 4, got 2."),
    (lambda: Yang(rule="go", dt=30.0), TimeError, "is not a whole number of steps of 30"),
    (lambda: Mixture(tasks=()), OptionError, "Mixture: tasks must be a tuple of at least one task, got ()."),
    (lambda: Mixture(tasks=(GoNoGo(), XOR())), OptionError, "Mixture: task 1 has channels ('first', 'second')"),
    (lambda: Mixture(tasks=(GoNoGo(), GoNoGo(dt=2.5))), OptionError, "Mixture: task 1 has dt 2.5, the first has 5.0."),
    (lambda: Mixture(tasks=(GoNoGo(),), weights=(1, 2)), OptionError, "one number >= 0 for each of the 1 values"),
    (lambda: Choice(()), OptionError, "Choice: values must be a tuple of at least one number, got ()."),
    (lambda: Choice((1, 2), (0, 0)), OptionError, "and not all 0"),
    (lambda: Choice((1, "2")), OptionError, "Choice: values must be a tuple of at least one number"),
    (lambda: Uniform(2, 1), OptionError, "Uniform: expected two numbers low <= high, got 2 and 1."),
    (lambda: Exponential(0, 1, 2), OptionError, "Exponential: expected mean > 0 and low <= high, got 0, 1, 2."),
    (
        lambda: Batches(task=GoNoGo),
        OptionError,
        "Batches: expected a task, got the class GoNoGo; make one",
    ),
    (lambda: Batches(task=GoNoGo(), size=0), OptionError, "Batches: size must be a whole number >= 1, got 0."),
    (lambda: from_neurogym(3), OptionError, "expected an environment of NeuroGym or its id, got int."),
    (lambda: from_neurogym(GoNoGo(), dt=3), OptionError, "settings ['dt'] go with an id, not with an environment."),
    (lambda: GoNogoTask({"T": 200, "stim_on": 50}), OptionError, "GoNogoTask: settings need 'stim_dur', in steps"),
    (
        lambda: GoNogoTask({"T": 75, "stim_on": 50, "stim_dur": 25}),
        TimeError,
        "stimulus ends at step 75, but the trial",
    ),
    (lambda: GoNogoTask({"T": 2.5, "stim_on": 1, "stim_dur": 1}), TimeError, "'T' must be a whole number of steps"),
    (lambda: XORTask({"T": 9, "stim_onn": 1}), OptionError, "unknown setting 'stim_onn'. Did you mean 'stim_on' or"),
    (lambda: TaskFactory.create_task("gonogo", {}), OptionError, "unknown task 'gonogo'. Did you mean 'go_nogo'?"),
]


@pytest.mark.parametrize(("make", "kind", "words"), TASKS, ids=[words[:45] for _, _, words in TASKS])
def test_a_wrong_task_is_refused(make, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        make()


TRIALS = [
    ({"n": 0}, OptionError, "trials: n must be a whole number from 1 to"),
    ({"n": 2.0}, OptionError, "n must be a whole number from 1 to 1099511627776, got 2.0."),
    ({"n": True}, OptionError, "got True."),
    ({"n": 2, "seed": -1}, OptionError, "seed must be a whole number from 0 to 18446744073709551615, got -1."),
    ({"n": 2, "seed": None}, OptionError, "got None."),
    ({"n": 2, "start": -1}, OptionError, "start must be a whole number from 0"),
    ({"n": 2, "precision": "float16"}, OptionError, "unknown precision 'float16'. Did you mean"),
    ({"n": 2, "conditions": ["go"]}, OptionError, "conditions: expected a dict of name -> values, got list."),
    ({"n": 2, "conditions": {"goo": 1}}, OptionError, "GoNoGo: unknown condition 'goo'. Did you mean 'go'?"),
    ({"n": 2, "conditions": {"go": 2}}, OptionError, "conditions: 'go' must be one of 0, 1, got 2."),
    (
        {"n": 2, "conditions": {"go": [1, 0, 1]}},
        ShapeError,
        "one number or one for each of the 2 trials, got shape (3,)",
    ),
    ({"n": 2, "conditions": {"go": "yes"}}, ShapeError, "of type <U3"),
    ({"n": 2, "conditions": {"stimulus": 102}}, OptionError, "between 100 and 200 in steps of 5, got 102."),
    ({"n": 2, "conditions": {"stimulus": 205}}, OptionError, "between 100 and 200 in steps of 5, got 205."),
]


@pytest.mark.parametrize(("options", "kind", "words"), TRIALS, ids=[words[:45] for _, _, words in TRIALS])
def test_a_wrong_batch_is_refused(options, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        GoNoGo(stimulus=Uniform(100, 200)).trials(**options)


OUTPUTS = [
    (np.zeros((3, 200, 1)), "got shape (3, 200, 1) of type float64, expected (2, 200, 1), or 199 rows"),
    (np.zeros((2, 198, 1)), "expected (2, 200, 1), or 199 rows"),
    (np.zeros((2, 200, 2)), "expected (2, 200, 1)"),
    (np.zeros(200), "got shape (200,)"),
    ("outputs", "got shape () of type <U7"),
    (np.zeros((2, 200, 1), complex), "of type complex128"),
]


@pytest.mark.parametrize(("outputs", "words"), OUTPUTS)
def test_answers_to_other_trials_are_refused(outputs, words):
    with pytest.raises(ShapeError, match=re.escape(words)):
        GoNoGo().accuracy(outputs, GoNoGo().trials(2))


PUBLISHED = {"T": 200, "stim_on": 50, "stim_dur": 25}
NAMES = [
    (lambda: Mante().trials(2).during("stimulsu"), PathError, "unknown period 'stimulsu'. Did you mean 'stimulus'"),
    (lambda: Mante().trials(2).channel("colour"), PathError, "unknown channel 'colour'. Did you mean 'color'"),
    (lambda: Mante().trials(2).condition("contxt"), PathError, "unknown condition 'contxt'. Did you mean 'context'"),
    (lambda: Mante().plot(Mante().trials(2), 2), OptionError, "plot: trial must be a whole number below 2, got 2."),
    (
        lambda: get("yang19").trials(2, conditions={"direction": 3}),
        OptionError,
        "conditions: of a mixture only 'task' can be given, got 'direction'.",
    ),
    (
        lambda: GoNogoTask(PUBLISHED).simulate_trial("goo"),
        OptionError,
        "GoNogoTask: unknown trial type 'goo'. Did you mean 'go'",
    ),
    (lambda: GoNogoTask(PUBLISHED).generate_target(2), OptionError, "GoNogoTask: unknown label '2'"),
]


@pytest.mark.parametrize(("call", "kind", "words"), NAMES, ids=[words[:45] for _, _, words in NAMES])
def test_unknown_names_in_trials_are_refused(call, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_a_schedule_longer_than_the_batch_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Backwards(PeriodTask):
        channels = ("x",)
        outputs = ("y",)

        def drawn(self):
            return {"hurry": Choice((0, 1))}

        def durations(self):
            return {"run": 100}

        def schedule(self, conditions, durations):
            return {"run": durations["run"] * (2 - np.asarray(conditions["hurry"]))}

        def fill(self, trials, draws):
            pass

        def correct(self, outputs, trials):
            return np.ones(len(trials), bool)

    with pytest.raises(TimeError, match="a trial has 20 steps, more than the 10 of the longest durations"):
        Backwards().trials(10)


def test_a_name_for_two_things_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Twice(GoNoGo):
        def drawn(self):
            return {**super().drawn(), "stimulus": Choice((1, 2))}

    with pytest.raises(OptionError, match="Twice: 'stimulus' is both drawn and a duration"):
        Twice()


def test_multisensory_rate_at_the_border_counts_as_low():
    task = MultisensoryIntegration(rate=12.5, noise=0.0)
    assert task.trials(3).conditions["choice"].tolist() == [1, 1, 1]
