"""Gradients through time: against central differences, under truncation and batching, and what they cost in memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import changed
from recurra.engine import as_function, gradients, simulate
from recurra.engine.loop import scan_rows
from recurra.errors import OptionError, PathError, ShapeError, TimeError
from recurra.training import Bounds, Compose, Fixed, fit_bptt
from recurra.training.losses import LOSSES
from recurra.training.objective import Batch, Objective, gather, on_device
from recurra.training.parameters import make_parameters, make_penalties
from recurra.training.trials import count_units, make_trials
from training_nets import lif_net, rate_net

DT = 0.1


def objective(program, train, output, solver=None, penalties=None):
    parameters = make_parameters(program, train, DT)
    paths, _ = count_units(program, output)
    return Objective(
        parameters, make_penalties(penalties, parameters.origin), paths, LOSSES["mse"], DT, solver, "float64"
    )


def batch_of(program, inputs, targets, output):
    data = make_trials(program, inputs, targets, count_units(program, output)[1])
    return gather(on_device(data, "float64"), np.arange(data.count), jax.random.key(0))


def central(function, free, step=1e-6):
    """Differentiate by central differences, entry by entry."""
    leaves, tree = jax.tree.flatten(free)
    found = []
    for i, leaf in enumerate(leaves):
        slope = np.zeros(np.shape(leaf))
        for at in np.ndindex(np.shape(leaf)):
            sides = []
            for sign in (1, -1):
                moved = np.array(leaf, float)
                moved[at] += sign * step
                sides.append(float(function(jax.tree.unflatten(tree, [*leaves[:i], moved, *leaves[i + 1 :]]))))
            slope[at] = (sides[0] - sides[1]) / (2 * step)
        found.append(slope)
    return jax.tree.unflatten(tree, found)


def assert_close(found, expected, tolerance=1e-6):
    for name in expected:
        for a, b in zip(jax.tree.leaves(found[name]), jax.tree.leaves(expected[name]), strict=True):
            error = np.max(np.abs(np.asarray(a) - np.asarray(b)))
            assert error < tolerance * (np.max(np.abs(b)) + 0.01), (name, error)


CASES = {
    "weights and tau": (rate_net(3, outputs=2), ["w/weight", "out/weight", "p/op/tau"], None),
    "initial state": (rate_net(3, outputs=2), ["p/op/v", "w/weight"], None),
    "heun": (rate_net(3, outputs=2), ["w/weight", "p/op/tau"], "heun"),
    "exponential euler": (rate_net(2, outputs=2), ["w/weight", "p/op/tau"], "exponential_euler"),
    "ring": (rate_net(3, delay=0.4, outputs=2), ["w/weight", "p/op/tau"], None),
    "delays": (
        rate_net(2, delay=np.array([[0.25, 0.43], [0.33, 0.71]]), outputs=2),
        {"w/delay": Bounds(DT, 1.0), "w/weight": None},
        None,
    ),
    "one delay": (rate_net(2, delay=0.43, outputs=2), {"w/delay": Bounds(DT, 1.0)}, "heun"),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_central_differences(name):
    program, train, solver = CASES[name]
    rng = np.random.default_rng(1)
    n = program.inputs["p/op/I"].size
    inputs, targets = {"p/op/I": rng.standard_normal((2, 30, n))}, rng.standard_normal((2, 30, 2))
    goal = objective(program, train, "o/op/y", solver, {"rate": {"p/op/v": 0.1}})
    batch = batch_of(program, inputs, targets, "o/op/y")
    run = jax.jit(lambda free: goal(free, batch, 30)[0])
    free = goal.parameters.free()
    assert_close(jax.grad(run)(jax.tree.map(jnp.asarray, free)), central(run, free))


def test_segments_change_no_number():
    program = rate_net(4, delay=0.3)
    drive = {"p/op/I": np.random.default_rng(0).standard_normal((103, 4))}
    reference = simulate(program, 10.3, dt=DT, inputs=drive, record={"r": "p/op/r"})["r"]
    slopes = []
    for segment, most in ((0, 0), (10, 0), (50, 0), (None, 0), (None, 10**6)):
        with changed(gradients, KEPT_WHOLE=most):
            run = as_function(program, 10.3, dt=DT, inputs=drive, record={"r": "p/op/r"}, segment=segment)
        slope = jax.grad(lambda w, run=run: jnp.sum(run({"w/weight": w})["r"] ** 2))(
            jnp.asarray(program.get("w/weight"))
        )
        assert np.max(np.abs(run({})["r"] - reference)) < 1e-13, segment
        slopes.append(slope)
    for slope in slopes[1:]:
        assert np.max(np.abs(slope - slopes[0])) < 1e-11


def test_scan_rows_is_a_loop():
    for segment in (0, 3, 4, 11, 12):
        carry, found = scan_rows(lambda c, j: (c * 0.5 + j, c), jnp.asarray(1.0), 11, segment)
        expected, c = [], 1.0
        for j in range(11):
            expected.append(c)
            c = c * 0.5 + j
        assert np.array_equal(found, expected) and carry == c


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_a_run_in_windows_is_the_whole_run(solver):
    """State, delays, step number and the interpolated inputs of later stages go over the border."""
    program = rate_net(3, delay=0.35)
    drive = np.random.default_rng(2).standard_normal((50, 3))
    options = {"dt": DT, "solver": solver, "record": {"r": "p/op/r"}}
    whole = simulate(program, 5.0, inputs={"p/op/I": drive}, **options)["r"]
    run = jax.jit(as_function(program, 2.5, final=True, **options))
    padded = np.concatenate([drive, drive[-1:]])
    first, state = run({}, {"p/op/I": padded[:26]})
    second, _ = run({}, {"p/op/I": padded[25:51]}, state=state, step=25)
    error = np.max(np.abs(np.concatenate([first["r"], second["r"]]) - whole))
    assert error < 1e-13


def test_batch_is_the_mean_over_trials():
    program = rate_net(4, outputs=2)
    rng = np.random.default_rng(3)
    inputs, targets = rng.standard_normal((5, 20, 4)), rng.standard_normal((5, 20, 2))
    goal = objective(program, ["w/weight", "p/op/tau"], "o/op/y")
    free = jax.tree.map(jnp.asarray, goal.parameters.free())
    slope = jax.grad(lambda f, b: goal(f, b, 20)[0])
    whole = slope(free, batch_of(program, {"p/op/I": inputs}, targets, "o/op/y"))
    each = [slope(free, batch_of(program, {"p/op/I": inputs[i]}, targets[i], "o/op/y")) for i in range(5)]
    assert_close(whole, {name: np.mean([e[name] for e in each], axis=0) for name in whole}, 1e-13)


def test_truncation_beyond_the_end_is_no_truncation():
    program = rate_net(4, outputs=2)
    rng = np.random.default_rng(4)
    data = {"p/op/I": rng.standard_normal((3, 25, 4))}, rng.standard_normal((3, 25, 2))
    options = {"output": "o/op/y", "train": ["w/weight"], "dt": DT, "epochs": 5, "precision": "float64"}
    whole = fit_bptt(program, *data, **options)
    for truncate in (25, 1000):
        other = fit_bptt(program, *data, truncate=truncate, **options)
        assert np.array_equal(other.params["w/weight"], whole.params["w/weight"])
    cut = fit_bptt(program, *data, truncate=10, **options)
    assert cut.updates == 15 and whole.updates == 5


def test_truncated_updates_equal_a_loop_by_hand():
    """Windows of 10, 10 and 5 steps: gradient descent on each, the state going on, no gradient across the border."""
    program = rate_net(3)
    rng = np.random.default_rng(5)
    drive, goal = rng.standard_normal((25, 3)), rng.standard_normal((25, 3))
    weights, tau, v = program.get("w/weight"), 1.5, np.full(3, 0.1)
    found = fit_bptt(
        program, {"p/op/I": drive}, goal, output="p/op/r", train=["w/weight"], dt=DT, truncate=10, epochs=1,
        optimizer="sgd", lr=0.5, precision="float64",
    )  # fmt: skip
    for start, stop in ((0, 10), (10, 20), (20, 25)):
        states, slope = [v], np.zeros_like(weights)
        for k in range(start, stop):
            v = v + DT * (-v / tau + weights @ np.tanh(v) + drive[k])
            states.append(v)
        back = np.zeros(3)
        for k in range(stop - 1, start - 1, -1):
            # back is the derivative by the state after step k.
            r = np.tanh(states[k - start])
            slope += DT * np.outer(back, r)
            through = back * (1 - DT / tau) + (1 - r**2) * (DT * weights.T @ back)
            back = through + 2 * (r - goal[k]) * (1 - r**2) / (3 * (stop - start))
        weights = weights - 0.5 * slope
    assert np.max(np.abs(found.params["w/weight"] - weights)) < 1e-13


def test_spikes_have_surrogate_gradients():
    program = lif_net(5, 3, recurrent=0.5)
    rng = np.random.default_rng(6)
    goal = objective(program, ["in/weight", "w/weight"], "p/op/s")
    goal = Objective(goal.parameters, goal.penalties, goal.output, goal.loss, 1.0, None, "float64")
    batch = batch_of(program, {"x/op/x": 5 * rng.random((2, 40, 3))}, np.zeros((2, 40, 5)), "p/op/s")
    slope = jax.grad(lambda f: goal(f, batch, 40)[0])(jax.tree.map(jnp.asarray, goal.parameters.free()))
    assert all(np.any(s != 0) and np.all(np.isfinite(s)) for s in slope.values())


def test_one_column_for_all_units_stays_one_column():
    program, options = rate_net(100, outputs=1), {"dt": DT, "record": {"y": "o/op/y"}, "precision": "float32"}
    run = as_function(program, 320.0, **options)

    def size():
        shape = jax.ShapeDtypeStruct((3200, 1), "float32")
        slope = jax.grad(lambda w, rows: jnp.sum(run({"w/weight": w}, {"p/op/I": rows})["y"]))
        with jax.enable_x64(False):
            compiled = jax.jit(slope).lower(jax.ShapeDtypeStruct((100, 100), "float32"), shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert size() < 3200 * 100 * 4 / 2  # the samples, spread over the units, would be twice as much


def temporary(program, steps, trials, units, precision="float32"):
    """Return the bytes that the compiled update of a batch needs beside its arguments."""
    parameters = make_parameters(program, ["w/weight"], DT)
    goal = Objective(parameters, make_penalties(None, {}), ["o/op/y"], LOSSES["mse"], DT, None, precision)
    with jax.enable_x64(False):
        free = jax.tree.map(lambda a: jnp.asarray(a, precision), parameters.free())
        shape = {"p/op/I": jax.ShapeDtypeStruct((trials, steps + 1, units), precision)}

        def loss(free, inputs):
            zeros = jnp.zeros((trials, steps, 1), precision)
            keys, lengths = jax.random.split(jax.random.key(0), trials), jnp.full(trials, steps)
            return goal(free, Batch(inputs, zeros, zeros + 1, keys, lengths), steps)[0]

        compiled = jax.jit(jax.value_and_grad(loss)).lower(free, shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_square_root_of_time():
    program = rate_net(100, outputs=1)
    short, long = temporary(program, 1600, 8, 100), temporary(program, 25_600, 8, 100)
    # The outputs and the inputs in scan order grow with time; states must not: 16 times the steps, 4 times the memory.
    rows = 8 * 4 * (25_600 * 2 - 1600) * 4
    assert long < 4.5 * short + rows, (short, long)
    assert long < 0.2 * 25_600 * 100 * 8 * 4, long


def test_update_of_64_trials_of_2000_steps_fits_in_two_gigabytes():
    size = temporary(rate_net(200, outputs=1), 2000, 64, 200)
    assert size < 2e9, size


BAD = [
    ({"train": ["w/wieght"]}, PathError, "w/wieght"),
    ({"train": []}, OptionError, "at least one path"),
    ({"train": ["p/op/r"]}, PathError, "computed by an equation"),
    ({"train": {"w/weight": 3}}, OptionError, "expected None or one of"),
    ({"train": ["w/weight", "w/weight[0]"]}, PathError, "w/weight"),
    ({"train": ["p/op/tau", "all/op/tau"]}, PathError, "same number"),
    ({"train": ["w/delay"]}, PathError, "no delay"),
    ({"output": "p/op/tau"}, PathError, "p/op/tau"),
    ({"output": []}, OptionError, "output"),
    ({"targets": np.zeros((3, 10, 5))}, ShapeError, "expected (steps, 3)"),
    ({"targets": np.zeros((2, 9, 3))}, ShapeError, "targets are shorter than inputs"),
    ({"targets": np.zeros((4, 10, 3))}, ShapeError, "4; give one target"),
    ({"targets": np.full((2, 10, 3), np.nan)}, ShapeError, "not finite at (trial, step, unit) (0, 0, 0)"),
    ({"inputs": {"p/op/I": np.zeros((2, 10, 4))}}, ShapeError, "p/op/I"),
    ({"inputs": {"p/op/v": np.zeros((2, 10, 3))}}, PathError, "kind state"),
    ({"inputs": {"p/op/J": np.zeros((2, 10, 3))}}, PathError, "p/op/J"),
    ({"inputs": {"p/op/I": np.full((2, 10, 3), np.inf)}}, ShapeError, "not finite"),
    ({"inputs": 3}, ShapeError, "expected a dict"),
    ({"mask": np.zeros(10)}, ShapeError, "counts nowhere"),
    ({"mask": np.ones(9)}, ShapeError, "mask: got shape (9,)"),
    ({"mask": -np.ones(10)}, ShapeError, ">= 0"),
    ({"loss": "msee"}, OptionError, "Did you mean 'mse'"),
    ({"optimizer": "adma"}, OptionError, "or 'adam'"),
    ({"lr": -1.0}, OptionError, "lr must be"),
    ({"lr": "fast"}, OptionError, "lr must be"),
    ({"clip": 0}, OptionError, "clip"),
    ({"epochs": 0}, OptionError, "epochs must be a whole number >= 1"),
    ({"batch_size": 2.5}, OptionError, "batch_size"),
    ({"truncate": -1}, OptionError, "truncate"),
    ({"patience": 0}, OptionError, "patience"),
    ({"seed": "a"}, OptionError, "seed"),
    ({"penalties": {"l3": {}}}, OptionError, "unknown penalty 'l3'. Known: l1, l2, rate"),
    ({"penalties": {"l2": {"w/wieght": 1.0}}}, OptionError, "Did you mean 'w/weight'"),
    ({"penalties": {"l2": {"w/weight": -1.0}}}, OptionError, ">= 0"),
    ({"validation": 3}, OptionError, "validation"),
    ({"precision": "float16"}, OptionError, "precision"),
    ({"solver": "tsit5"}, ValueError, "tsit5"),
    ({"solver": "eulr"}, OptionError, "euler"),
    ({"dt": -0.1}, TimeError, "dt must be"),
]


@pytest.mark.parametrize("change, error, text", BAD, ids=[f"{next(iter(c))}-{i}" for i, (c, _, _) in enumerate(BAD)])
def test_bad_input_is_refused(change, error, text):
    options = {
        "inputs": {"p/op/I": np.zeros((2, 10, 3))}, "targets": np.zeros((2, 10, 3)), "output": "p/op/r",
        "train": ["w/weight"], "dt": DT, "epochs": 1,
    } | change  # fmt: skip
    with pytest.raises(error) as caught:
        fit_bptt(rate_net(3), options.pop("inputs"), options.pop("targets"), **options)
    assert text in str(caught.value)


def test_a_trained_delay_needs_bounds():
    program = rate_net(2, delay=0.4)
    for constraint in (None, Bounds(DT), Bounds(0.0, 1.0), Fixed(np.zeros((2, 2), bool))):
        with pytest.raises(OptionError, match=r"Bounds\(0.1, longest\)"):
            make_parameters(program, {"w/delay": constraint}, DT)
    assert make_parameters(program, {"w/delay": Compose(Bounds(DT, 2.0), Fixed(np.eye(2, dtype=bool)))}, DT)
