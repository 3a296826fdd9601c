"""What can be asked of the training of a rate network: constraints, penalties, steps, tasks of one's own."""

from __future__ import annotations

import random
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.errors import CapabilityError, OptionError, ShapeError, TimeError
from recurra.rate.evaluation import Assessment, evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.running import respond
from recurra.rate.streams import PURPOSES, seed_for
from recurra.rate.tasks import (
    AbstractTask,
    GoNoGo,
    GoNogoTask,
    Mante,
    PerceptualDiscrimination,
    TaskFactory,
    Yang,
    from_neurogym,
    get,
)
from recurra.rate.training import Criterion, train
from recurra.spiking import SpikingParameters, scaling_search
from recurra.training.constraints import Fixed, LowRank, Mask

TASK = GoNoGo(fixation=50.0, stimulus=50.0, response=100.0)
NEVER = Criterion(loss=1e-9, trials=4)


def make(seed: int = 0, size: int = 12, dale: bool = True, inputs: int = 1, outputs: int = 1, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(seed)
    w_in, w_out = rng.normal(size=(size, inputs)), rng.normal(size=(outputs, size)) / 10
    return FR_RNN_dale(size, 0.3, more.pop("P_rec", 0.4), w_in, 0, "gaus", 1.5, dale, w_out, seed=seed, **more)


def short(net, task=TASK, **options):
    options = {"updates": 2, "evaluate_every": 2, "criterion": NEVER, "progress": False, **options}
    return train(net, task, **options)


def test_constraints_hold_exactly_and_absent_synapses_stay_absent():
    net = make(dale=False)
    present, kept = np.arange(12)[None] % 2 == 0, np.arange(12)[:, None] < 5
    net.w_out[~present] = 0.0
    rules = {"w_in": Fixed(kept), "w_out": Mask(present)}
    found = short(net, trained=("w", "w_in", "w_out"), constraints=rules, lr=0.1, optimizer="adamw").net
    assert np.all(found.w[net.w == 0] == 0) and np.mean(net.w == 0) > 0.4  # without Dale's principle too
    assert np.mean(found.w[net.w != 0] != net.w[net.w != 0]) > 0.8
    assert np.array_equal(found.w_in[kept], net.w_in[kept]) and np.all(found.w_in[~kept] != net.w_in[~kept])
    assert np.all(found.w_out[~present] == 0) and np.all(found.w_out[present] != net.w_out[present])
    assert found.b_out == net.b_out and np.array_equal(found.taus_gaus, net.taus_gaus)  # not among what is trained


def test_several_networks_keep_a_low_rank_side_by_side():
    nets, low = [make(seed, dale=False, P_rec=1.0) for seed in (0, 1)], LowRank(2)
    for net in nets:
        net.w = low.project(net.w)
    for net, found in zip(nets, short(nets, trained=("w",), constraints={"w": low}), strict=True):
        assert np.linalg.matrix_rank(found.net.w, 1e-9) == 2 and np.any(found.net.w != net.w)


def test_penalties_add_their_own_gradient():
    net, more = make(), {"updates": 1, "optimizer": "sgd", "lr": 0.1, "noise": "none", "precision": "float64"}
    plain = short(net, **more).net
    pulled = short(net, penalties={"l2": {"w": 0.5, "w_out": 0.25}, "l1": {"b_out": 2.0}}, **more).net
    # d/dw 0.5 sum w^2 = w for weights that act; none of b_out, which starts at 0.
    np.testing.assert_allclose(plain.w - pulled.w, 0.1 * net.w * (net.w > 0), atol=1e-12)
    np.testing.assert_allclose(plain.w_out - pulled.w_out, 0.1 * 0.5 * net.w_out, atol=1e-12)
    calm = short(net, penalties={"rate": {"r": 50.0}}, **{**more, "updates": 20, "evaluate_every": 20, "lr": 0.02}).net
    rates = [np.mean(respond(one, TASK.trials(4), record=("r",))["r"] ** 2) for one in (calm, plain)]
    assert rates[0] < 0.9 * rates[1]


def test_input_weights_are_trained_where_asked_for():
    net = make()
    more = {"updates": 1, "optimizer": "sgd", "lr": 0.05, "noise": "none", "precision": "float64"}
    found = short(net, trained=("w_in",), **more).net
    trials = TASK.trials(1, 0)

    def loss(w_in):
        """Unroll the published equations."""
        w, tau = jnp.asarray(net.effective_w), jnp.asarray(net.tau)
        x, total = jnp.zeros(net.N), 0.0
        for k in range(TASK.steps - 1):
            x = (1 - 1 / tau) * x + (w @ jax.nn.sigmoid(x) + w_in @ jnp.asarray(trials.inputs[0, k])) / tau
            total += jnp.sum((jnp.asarray(net.w_out) @ jax.nn.sigmoid(x) - trials.targets[0, k]) ** 2)
        return jnp.sqrt(total)

    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(loss)(jnp.asarray(net.w_in)))
    np.testing.assert_allclose(found.w_in, net.w_in - 0.05 * gradient, atol=1e-12)
    assert np.any(gradient != 0) and np.array_equal(found.w, net.w) and np.array_equal(found.w_out, net.w_out)


BAD = [
    (lambda: short(make(), trained="w"), OptionError, "give a list of names"),
    (lambda: short(make(), trained=("w_inn",)), OptionError, "unknown part 'w_inn'. Did you mean 'w_in'"),
    (lambda: short(make(), constraints={"w_in": Mask(True)}), OptionError, "of what is not trained"),
    (lambda: short(make(), constraints={"w": np.eye(12)}), OptionError, "needs one of recurra.training's Mask"),
    (lambda: short(make(), constraints={"w": Mask(np.eye(3, dtype=bool))}), ShapeError, r"\(3, 3\)"),
    (lambda: short(make(), constraints={"w": Mask(np.eye(12, dtype=bool))}), OptionError, "entries break Mask"),
    (lambda: short(make(), penalties={"l3": {"w": 1}}), OptionError, "unknown penalty 'l3'"),
    (lambda: short(make(), penalties={"l2": {"w_in": 1}}), OptionError, "of what is not trained"),
    (lambda: short(make(), penalties={"rate": {"rr": 1}}), OptionError, "Did you mean 'r'"),
    (lambda: short(make(), seed=2**31), OptionError, "seed must be a whole number from 0 to 2147483647"),
    (lambda: evaluate(make(), TASK, 2, seed=2**31), OptionError, "seed must be"),
    (lambda: evaluate(make(), TASK, TASK.trials(2), conditions={"go": 1}), OptionError, "Leave one out"),
    (lambda: evaluate(make(), TASK, Mante().trials(2)), ShapeError, "they are of another task"),
    (lambda: short(make(), noise="none", level=0.3), OptionError, "level=0.3 has no effect"),
    (lambda: respond(make(), TASK.trials(2), level=-0.3), OptionError, "level >= 0, got -0.3"),
    (lambda: make().simulate(np.zeros((1, 9)), step=0.0), OptionError, "step > 0, got 0.0"),
    (lambda: short(make(), task=GoNoGo), OptionError, "got the class GoNoGo; make one"),
    (lambda: short(make(), task="go_nogo"), OptionError, "get('go_nogo') finds one by name"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), BAD)
def test_bad_input_is_refused(wrong, kind, message):
    with pytest.raises(kind, match=message.replace("(", r"\(").replace(")", r"\)") if "get(" in message else message):
        wrong()


@pytest.mark.parametrize("where", ["respond", "train", "simulate", "to_graph"])
def test_a_step_longer_than_a_time_constant_is_refused(where):
    task = PerceptualDiscrimination(dt=50.0)  # 10 steps of 5 ms; time constants are 4 to 20
    net = make(inputs=2, outputs=2)
    calls = {
        "respond": lambda net: respond(net, task.trials(2), noise="none"),
        "train": lambda net: short(net, task, updates=1),
        "simulate": lambda net: net.simulate(np.zeros((2, 9)), step=10.0, noise="none"),
        "to_graph": lambda net: net.to_graph(step=10.0),
    }
    with pytest.raises(TimeError, match="a step of 50 ms is longer than the shortest time constant, "):
        calls[where](net)
    if where != "train":  # which takes seconds to compile
        calls[where](make(inputs=2, outputs=2, taus=[10.0, 20.0]))


def test_spiking_units_refuse_a_step_longer_than_their_membrane():
    with pytest.raises(OptionError, match="dt, 12 ms, must not be longer than the membrane time constant tm, 10 ms"):
        SpikingParameters(dt=12.0)


@pytest.mark.parametrize("step", [1.0, 2.0, 4.0])
def test_ou_noise_leaves_its_level_at_every_step(step):
    net = make(size=60, taus=[4.0], dale=False)
    net.w[:] = 0.0
    x = net.simulate(np.zeros((1, 4000)), noise="ou", step=step, seed=1)["x"]
    count = 60 * 4000 * step / 8  # independent samples: the correlation time is tau
    assert abs(x[100:].std() / 0.1 - 1) < 4.5 / np.sqrt(2 * count)


def test_kim_noise_is_added_in_each_step():
    net = make(size=60, taus=[4.0], dale=False)
    net.w[:] = 0.0
    x = net.simulate(np.zeros((1, 4000)), noise="kim", step=2.0, seed=1)["x"][100:]
    added = x[1:] - 0.5 * x[:-1]
    assert abs(added.std() / 0.1 - 1) < 4.5 / np.sqrt(2 * added.size)


@dataclass(frozen=True, kw_only=True)
class Spy(GoNoGo):
    def generate(self, draws, conditions):
        ASKED.update((int(draws.seed), int(n)) for n in draws.numbers)
        if draws.count > 1:
            raise InterruptedError  # what was asked for is known, nothing needs to be computed
        return super().generate(draws, conditions)


ASKED: set[tuple[int, int]] = set()


def test_no_one_is_tested_on_trials_of_a_training():
    spy, asked = Spy(fixation=50.0, stimulus=50.0, response=100.0), []
    net = make()
    for call in (
        lambda: short(net, spy, batch=5),
        lambda: evaluate(net, spy, 40),
        lambda: scaling_search(net, spy, factors=[20.0], trials=20),
    ):
        ASKED.clear()
        with pytest.raises(InterruptedError):
            call()
        asked.append(set(ASKED))
    assert not asked[0] & asked[1] and not asked[0] & asked[2] and not asked[1] & asked[2]
    assert [len(each) for each in asked] == [10, 40, 20] and (0, 0) in asked[0]
    assert len({seed_for(purpose, 7) for purpose in PURPOSES}) == len(PURPOSES)


class Counting:
    """Draw from everything there is, and remember the trials before: what an environment of NeuroGym may do."""

    dt = 100
    observation_space = type("Space", (), {"seed": lambda self, seed: None})()
    action_space = type("Space", (), {"n": 2, "seed": lambda self, seed: None})()

    def __init__(self):
        self.count, self.own = 0, np.random.default_rng(0)

    def seed(self, seed):
        self.random = np.random.default_rng(seed)

    def new_trial(self):
        self.count += 1
        drawn = [self.random.random(), np.random.random(), random.random(), self.count]  # noqa: NPY002
        self.ob, self.gt = np.array([drawn, drawn]), np.array([0, 1])
        self.start_ind, self.end_ind = {"wait": 0}, {"wait": 2}


def test_trials_of_an_environment_with_a_memory_are_always_the_same():
    env = Counting()
    task = from_neurogym(env, steps=2)
    whole = task.trials(6, seed=3).inputs
    env.seed(1)
    env.new_trial()  # its owner goes on using it
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    np.testing.assert_array_equal(task.trials(2, seed=3, start=4).inputs, whole[4:])
    assert np.array_equal(np.random.get_state()[1], before[0]) and random.getstate() == before[1]  # noqa: NPY002
    assert np.all(whole[..., 3] == 1) and len(np.unique(whole[..., :3])) == 18
    with pytest.raises(CapabilityError, match="Counting cannot be copied"):
        env.file = (k for k in range(3))
        from_neurogym(env)


class Mine(AbstractTask):
    """A task as the page of the published code has it."""

    def validate_settings(self):
        if "T" not in self.settings:
            raise ValueError("T")
        self.rng = np.random.default_rng(5)

    def generate_stimulus(self, trial_type=None, seed=False):
        sign = int(np.random.choice([1, -1])) * int(self.rng.choice([1, -1]))  # noqa: NPY002
        return sign * np.ones((1, self.settings["T"])), sign

    def generate_target(self, label, seed=False):
        return label * np.ones(self.settings["T"] - 1)


def test_a_task_of_ones_own_is_taken_wherever_a_task_is():
    task = Mine({"T": 20})
    u, z, label = task.simulate_trial()
    assert u.shape == (1, 20) and z.shape == (19,) and label in (1, -1)
    trials = task.batched().trials(40, seed=2)
    np.testing.assert_array_equal(task.batched().trials(10, seed=2, start=30).inputs, trials.inputs[30:])
    assert 0.1 < np.mean(trials.conditions["label"] > 0) < 0.9
    np.testing.assert_array_equal(trials.targets[:, 0, 0], trials.conditions["label"])
    assert task.batched().accuracy(trials.targets, trials).all()
    assert not task.batched().accuracy(-trials.targets, trials).any()
    assert short(make(), task).updates == 2 and get(Mine, T=20).steps == 20
    with pytest.raises(ValueError, match="T"):
        Mine({})


def test_names_of_tasks_are_given_once():
    TaskFactory.register_task("my-own", Mine)
    TaskFactory.register_task("My_Own", Mine)  # the same class again
    assert isinstance(TaskFactory.create_task("my_own", {"T": 20}), Mine)
    assert isinstance(TaskFactory.create_task(Mine, {"T": 20}), Mine)
    assert "my_own" in TaskFactory.list_available_tasks()
    for name, kind, message in (
        ("my_own", GoNogoTask, "is the name of Mine"),
        ("go_nogo", Mine, "is the name of GoNogoTask"),
        ("other", GoNoGo, "expected a subclass of AbstractTask"),
        ("", Mine, "must be a text"),
    ):
        with pytest.raises(OptionError, match=message):
            TaskFactory.register_task(name, kind)


def test_a_changed_task_of_the_publication_is_changed_in_batches_too():
    class Late(GoNogoTask):
        def generate_target(self, label, seed=False):
            return np.roll(super().generate_target(label), 5)

    settings = {"T": 60, "stim_on": 10, "stim_dur": 10}
    plain, late = GoNogoTask(settings).batched(), Late(settings).batched()
    assert isinstance(plain, GoNoGo) and not isinstance(late, GoNoGo)
    trials = late.trials(20)
    went = trials.conditions["label"] == 1
    assert went.any() and np.all(trials.targets[went, 24, 0] == 0) and np.all(trials.targets[went, 25:, 0] == 1)
    with pytest.raises(ShapeError, match="expected numbers"):
        type("Wrong", (Mine,), {"generate_target": lambda self, label, seed=False: np.ones(3)})({"T": 20}).batched()


@pytest.mark.parametrize("name", ["perceptual_discrimination", "delayed_discrimination", "multisensory_integration",
                                  "context_decision", "mante", "yang_dm1", "yang_multidlydm"])  # fmt: skip
def test_a_perfect_observer_has_a_step_for_a_psychometric_curve(name):
    task = get(name)
    trials = task.trials(200, seed=3)
    found = Assessment(task, trials, trials.targets[:, :-1], np.ones(200, bool), np.zeros(200), "l2")
    table = found.psychometric("evidence")
    np.testing.assert_array_equal(table["yes"], (table.index > 0).astype(float))
    assert table["trials"].sum() == 200 and not table["silent"].any()


def test_a_threshold_is_that_of_the_mean_in_the_response():
    task = Mante(coding="constant", fixation=50.0, stimulus=50.0, response=100.0)
    trials = task.trials(30, seed=1)
    outputs = np.zeros((30, task.steps - 1, 1))
    outputs[:, :20] = 9.0  # before the response
    outputs[:15, 20:] = 0.4
    found = Assessment(task, trials, outputs, np.ones(30, bool), np.zeros(30), "l2")
    for threshold, number in ((None, 15), (0.3, 15), (0.5, 0)):
        table = found.psychometric("context", threshold=threshold)
        assert round(float(table["yes"] @ table["trials"])) == number
    with pytest.raises(OptionError, match="output must be a whole number from 0 to 0"):
        found.psychometric("context", output=1)


@pytest.mark.parametrize("rule", ["go", "rtanti", "dlygo"])
def test_tasks_of_yang_are_learned(rule):
    """Shorter and for a small network; yang_tasks.py of the benchmarks trains on all twenty as they are."""
    short_ones = {"fixation": 100, "stimulus": 100, "delay": 200, "response": 200}
    known = ("fixation", "response") if rule == "rtanti" else ("fixation", "stimulus", "response")
    task = Yang(rule=rule, units=8, periods={name: short_ones[name] for name in known + ("delay",) * (rule == "dlygo")})
    draws, (inputs, outputs) = np.random.default_rng(0), (len(task.channels), len(task.outputs))
    net = FR_RNN_dale(
        48, 0.0, 1.0, draws.normal(size=(48, inputs)) / np.sqrt(inputs), 0, "gaus", 0.8, False,
        draws.normal(size=(outputs, 48)) / 7, taus=20.0, activation="clipped_relu",
    )  # fmt: skip
    found = train(
        net, task, updates=400, batch=32, lr=0.003, clip=1.0, noise="ou", level=0.05, evaluate_every=50, progress=False,
        criterion=Criterion(loss=1e9, accuracy=0.9, trials=200), trained=("w", "w_in", "w_out", "b_out"),
    )  # fmt: skip
    assert found.reached, found
    assert evaluate(found.net, task, 200, noise="ou", level=0.05).accuracy > 0.85
