"""Training of rate networks: one update by hand, Dale's principle, optimisers, evaluation, what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.errors import OptionError, RecurraError, ShapeError
from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import XOR, GoNoGo, Mante
from recurra.rate.training import Criterion, train

TASK = GoNoGo(fixation=50.0, stimulus=50.0, response=100.0)
NEVER = Criterion(loss=1e-9, trials=4)


def make(seed: int = 0, size: int = 16, inputs: int = 1, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(seed)
    w_in, w_out = rng.normal(size=(size, inputs)), rng.normal(size=(1, size)) / 10
    return FR_RNN_dale(size, 0.3, 0.4, w_in, more.pop("som", 0), "gaus", 1.5, True, w_out, seed=seed, **more)


def short(net, task=TASK, **options):
    options = {"updates": 6, "evaluate_every": 3, "criterion": NEVER, "progress": False, **options}
    return train(net, task, **options)


def loss_by_hand(free, net, u, z):
    """Unroll the published equations in plain JAX."""
    signs = jnp.asarray(net.signs)
    w = jnp.where(free["w"] > 0, free["w"], 0.0) * signs[None] * jnp.asarray(net.som_mask)
    low, high = net.taus
    tau = low + (high - low) / (1 + jnp.exp(-free["taus_gaus"][:, 0]))
    x, errors = jnp.zeros(net.N), []
    for k in range(len(u) - 1):
        x = (1 - 1 / tau) * x + (w @ (1 / (1 + jnp.exp(-x))) + jnp.asarray(net.w_in) @ u[k]) / tau
        o = free["w_out"] @ (1 / (1 + jnp.exp(-x))) + free["b_out"]
        errors.append(o - z[k])
    return jnp.sqrt(sum(jnp.sum(e**2) for e in errors))


def test_one_update_is_a_step_down_the_gradient_of_the_published_loss():
    net = make(som=1)
    found = short(net, updates=1, batch=2, optimizer="sgd", lr=0.05, noise="none", precision="float64").net
    trials = TASK.trials(2, 0)
    with jax.enable_x64(True):
        free = {"w": net.w, "w_out": net.w_out, "b_out": np.zeros(1), "taus_gaus": net.taus_gaus}

        def mean(free):
            pairs = zip(trials.inputs, trials.targets, strict=True)
            return sum(loss_by_hand(free, net, jnp.asarray(u), jnp.asarray(z)) for u, z in pairs) / 2

        gradient = jax.grad(mean)({name: jnp.asarray(value) for name, value in free.items()})
    for name, value in free.items():
        after = np.reshape(getattr(found, name), np.shape(value))
        assert np.abs(after - (value - 0.05 * np.asarray(gradient[name]))).max() < 1e-12, name


def test_dale_and_masks_hold_whatever_the_learning_rate():
    net = make(som=2, seed=3)
    found = short(net, lr=1.0, updates=12).net
    w = found.effective_w
    assert np.any(found.w != net.w) and np.any(found.taus_gaus != net.taus_gaus)
    assert np.all(w[:, net.inh[:, 0]] <= 0) and np.all(w[:, net.exc[:, 0]] >= 0)
    assert np.all(w[net.som_mask == 0] == 0)
    assert np.all(found.w[net.w == 0] == 0), "absent connections stay absent"
    assert np.all((found.tau >= 4) & (found.tau <= 20))
    assert np.array_equal(net.w, make(som=2, seed=3).w), "the network that was given is not changed"


def test_a_training_repeats_and_a_seed_matters():
    assert np.array_equal(short(make()).net.w, short(make()).net.w)
    assert not np.array_equal(short(make()).net.w, short(make(), seed=1).net.w)


def test_what_is_fixed_stays():
    net = make()
    found = short(net, fixed=("w", "taus_gaus")).net
    assert np.array_equal(net.w, found.w) and not np.array_equal(net.w_out, found.w_out)
    assert np.array_equal(net.taus_gaus, found.taus_gaus) and np.array_equal(net.w_in, found.w_in)


def test_exponentiated_gradient_keeps_signs_and_kills_nothing():
    net = make()
    found = short(net, optimizer="eg", lr=0.05).net
    assert np.array_equal(np.sign(found.w), np.sign(net.w)) and np.any(found.w != np.float32(net.w))
    assert np.array_equal(np.sign(found.w_out), np.sign(net.w_out)) and found.b_out != 0


def test_evaluation_by_condition_and_psychometric_curve():
    net = make()
    net.w_out, net.b_out = np.zeros((1, 16)), 1.0
    found = evaluate(net, TASK, 40, seed=2)
    went = found.trials.conditions["go"] == 1
    assert np.array_equal(found.right, went) and found.accuracy == went.mean()
    table = found.by("go")
    assert table["accuracy"].tolist() == [0.0, 1.0] and table["trials"].sum() == 40
    # The error is 1 at every step without a target, 0 where the target is 1.
    steps = TASK.steps - 1
    response = int(found.trials.targets[went][0, :steps].sum())
    assert found.losses[went] == pytest.approx(np.sqrt(steps - response))
    assert found.psychometric("go", threshold=0.5)["yes"].tolist() == [1.0, 1.0]


BAD = [
    (lambda: short(make(), loss_fn="l3"), OptionError, "unknown loss_fn 'l3'"),
    (lambda: short(make(), optimizer="adm"), OptionError, "unknown optimizer 'adm'. Did you mean 'adam'"),
    (lambda: short(make(), noise="white"), OptionError, "unknown noise"),
    (lambda: short(make(), updates=0), OptionError, "updates must be a whole number >= 1"),
    (lambda: short(make(), batch=1.5), OptionError, "batch"),
    (lambda: short(make(), fixed=("v",)), OptionError, "unknown part 'v'"),
    (lambda: short(make(), criterion=0.9), OptionError, "expected a Criterion"),
    (lambda: short(make(), precision="float16"), OptionError, "unknown precision"),
    (lambda: Criterion(accuracy=1.0), OptionError, "criterion"),
    (lambda: Criterion(trials=0), OptionError, "criterion.trials"),
    (lambda: short(make(), task="go_nogo"), OptionError, "expected a task"),
    (lambda: short([make(), "net"]), OptionError, "expected a FR_RNN_dale"),
    (lambda: short([]), OptionError, "expected a FR_RNN_dale"),
    (lambda: short([make(), make(size=8)]), ShapeError, "network 1 differs"),
    (lambda: short(make(), task=XOR()), ShapeError, "1 inputs, the task 2: first, second"),
    (lambda: evaluate(make(), Mante(), 2), ShapeError, "the task 4"),
    (lambda: evaluate("net", TASK), OptionError, "expected a rate or spiking network"),
    (lambda: evaluate(make(), "go"), OptionError, "expected a task"),
    (lambda: evaluate(make(), TASK, 2, loss_fn="mse"), OptionError, "unknown loss_fn"),
    (lambda: evaluate(make(), TASK, 2).by("side"), RecurraError, "unknown condition 'side'"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), BAD)
def test_bad_input_is_refused(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


def test_a_psychometric_curve_counts_in_bins():
    task = Mante(coding="constant")
    net = make(inputs=4)
    found = evaluate(net, task, 30, seed=1)
    table = found.psychometric("color", bins=[-1.5, 0.0, 1.5])
    assert table.index.tolist() == [-0.75, 0.75] and table["trials"].sum() == 30
    for middle, sign in ((-0.75, -1), (0.75, 1)):
        own = np.sign(found.trials.conditions["color"]) == sign
        # The response: the last 250 of 500 steps, of which the last has no output of its own.
        answers = np.concatenate([found.outputs[own, 250:, 0], found.outputs[own, -1:, 0]], axis=1)
        assert table.loc[middle, "trials"] == own.sum()
        assert table.loc[middle, "yes"] == np.mean(answers.mean(axis=1) > 0)
