"""Rate networks against trajectories, losses and gradients that the published code computed in float64."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import as_function, simulate
from recurra.rate.lowering import OUTPUT, PATHS, STIMULUS
from recurra.rate.model import FR_RNN_dale, eval_rnn, loss_op
from recurra.rate.running import TRAINED, batch_function, fixed_numbers, free_numbers, values
from recurra.rate.tasks import GoNoGo

GOLDEN = Path(__file__).parent / "golden" / "spikernn_forward_small.npz"
ARCHIVE = np.load(GOLDEN)
CASES = sorted({name.split("/")[0] for name in ARCHIVE.files})
WITH_GRADIENTS = sorted({name.split("/")[0] for name in ARCHIVE.files if "grad_w_l2" in name} - {"gonogo_noise"})


def golden(case: str) -> dict[str, np.ndarray]:
    return {name.split("/")[1]: ARCHIVE[name] for name in ARCHIVE.files if name.startswith(case + "/")}


def network(case: dict[str, np.ndarray]) -> FR_RNN_dale:
    size = len(case["w"])
    net = FR_RNN_dale(
        size, 0.2, 0.2, case["w_in"], 0, "gaus", 1.5, bool(case["apply_dale"]), case["w_out"], taus=case["taus"],
        activation=str(case["act"]),
    )  # fmt: skip
    net.w, net.mask, net.som_mask = case["w"], np.diag(case["mask_diag"]), case["som_mask"].astype(float)
    net.inh, net.exc, net.b_out, net.taus_gaus = case["inh"], case["exc"], float(case["b_out"]), case["taus_gaus"]
    return net


def run(case: dict[str, np.ndarray]) -> tuple:
    noise = case["noise_std_normal"]
    return network(case).forward(
        case["u"], case["taus"], {"activation": str(case["act"])},
        {"T": int(case["T"]), "DeltaT": float(case["DeltaT"])},
        noise=noise if noise.size else "none", x0=case["x0"],
    )  # fmt: skip


def test_there_are_twelve_cases():
    assert len(CASES) == 12 and len(WITH_GRADIENTS) >= 5


@pytest.mark.parametrize("name", CASES)
def test_trajectories_and_losses_are_those_of_the_published_code(name):
    case = golden(name)
    _, x, r, o, *_ = run(case)
    assert np.abs(np.array(x)[:, :, 0] - case["x"]).max() < 1e-9
    assert np.abs(np.array(r)[:, :, 0] - case["r"]).max() < 1e-9
    assert np.abs(np.array(o)[:, 0, 0] - case["o"]).max() < 1e-9
    for loss in ("l1", "l2"):
        assert loss_op(o, case["target"], {"loss_fn": loss}) == pytest.approx(case[f"loss_{loss}"], abs=1e-9)


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradients_are_those_of_the_published_code(name):
    case = golden(name)
    net, steps, step = network(case), int(case["T"]), float(case["DeltaT"])
    with jax.enable_x64(True):
        program = net.to_program(noise="none", step=step, x0=case["x0"])
        # The start of the golden run, instead of a drawn one.
        run = start_at(program, steps, step, case["x0"])
        free = {k: jnp.asarray(v) for k, v in free_numbers(net, "float64").items()}
        fixed = fixed_numbers(net, "float64")

        def loss(free, kind):
            o = run(values(free, fixed, net.taus, net.apply_dale), jnp.asarray(case["u"].T))
            return loss_op(o, case["target"], {"loss_fn": kind})

        for kind in ("l1", "l2"):
            gradient = jax.grad(loss)(free, kind)
            for part in TRAINED:
                found = gradient[part]
                if part == "taus_gaus" and len(case["taus"]) == 1:
                    assert np.all(np.asarray(found) == 0.0)
                    continue
                expected = case[f"grad_{part}_{kind}"]
                assert np.abs(np.asarray(found).reshape(expected.shape) - expected).max() < 1e-9, (kind, part)


def start_at(program, steps, step, x0):
    whole = as_function(program, steps * step, dt=step, record={"o": OUTPUT})
    return lambda numbers, inputs: whole(numbers, {STIMULUS: inputs})["o"][1:]


def test_dead_connections_get_no_gradient():
    case = golden("gonogo_sigmoid")
    net = network(case)
    with jax.enable_x64(True):
        run = start_at(net.to_program(noise="none"), 60, 1.0, None)
        free = {k: jnp.asarray(v) for k, v in free_numbers(net, "float64").items()}
        fixed = fixed_numbers(net, "float64")
        found = jax.grad(lambda f: run(values(f, fixed, net.taus, True), jnp.asarray(case["u"].T)).sum())(free)["w"]
    assert np.all(np.asarray(found)[case["w"] <= 0] == 0.0)
    assert np.any(np.asarray(found) != 0.0)


def test_batches_answer_as_single_trials_do():
    net = network(golden("gonogo_sigmoid"))
    trials = GoNoGo().trials(3, conditions={"go": [1, 0, 1]})
    with jax.enable_x64(True):
        run = batch_function(net.to_program(noise="none"), trials.steps, 1.0, "float64", ("o", "r"), False)
        found = run({}, jnp.asarray(trials.inputs), jax.random.split(jax.random.key(0), 3))
    for i in range(3):
        o, r, _ = eval_rnn(net, {"T": 200, "DeltaT": 1}, trials.stimulus(i), noise="none")
        assert np.abs(np.asarray(found["o"])[i, :, 0] - o).max() < 1e-12
        assert np.abs(np.asarray(found["r"])[i] - np.array(r)[1:, :, 0]).max() < 1e-12


def alone(size: int) -> FR_RNN_dale:
    """Units without any connection and with a time constant of 10 steps."""
    return FR_RNN_dale(size, 0.2, 0.0, np.zeros((size, 1)), 0, "gaus", 1.5, True, np.zeros((1, size)), taus=10.0)


def test_kim_noise_adds_a_tenth_at_every_step_whatever_the_step():
    net, alpha = alone(200), 1 / 10
    for step in (1.0, 0.5):
        x = np.array([net.simulate(np.zeros((1, 2)), step=step, x0=np.zeros(200), seed=s)["x"][1] for s in range(5)])
        assert x.std() == pytest.approx(0.1, rel=0.1)
    stationary = net.simulate(np.zeros((1, 2000)), seed=3)["x"][100:]
    assert stationary.std() == pytest.approx(0.1 / np.sqrt(1 - (1 - alpha) ** 2), rel=0.02)


def test_ou_noise_keeps_up_its_level():
    program = alone(200).to_program(noise="ou", level=0.3, step=0.5)
    x = simulate(program, 1000.0, dt=0.5, record=PATHS["x"], progress=False)[PATHS["x"]]
    # Euler-Maruyama: the variance is sigma^2 / (1 - alpha / 2), alpha = 0.5 / 10.
    assert x[200:].std() == pytest.approx(0.3 / np.sqrt(1 - 0.025), rel=0.02)
