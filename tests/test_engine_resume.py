"""Half a run, and a run that goes on from its end: the whole, for every solver, with inputs."""

from __future__ import annotations

import numpy as np
import pytest

import networks as nets
from recurra import Network
from recurra.engine import Edge, Graph, Node, Snapshot, lower, simulate
from recurra.errors import StoreError

CELL = nets.operator("x' = -x/tau + u^2 - x^3", {"x": 0.2}, {"tau": 1.5}, {"u": 0.0})
DT, STEPS = 0.1, 24
DRIVE = np.random.default_rng(0).standard_normal((STEPS, 2))
FIXED = ["euler", "heun", "rk4", "exponential_euler"]


def program(delay=0.33, edge=True):
    edges = (Edge("a/op/x", "b/op/u", np.array([[0.5, -1.0]]), delay=delay),) if edge else ()
    return lower(Graph({"a": Node({"op": CELL}, 2), "b": Node({"op": CELL})}, edges))


def run(steps, drive, model=None, **options):
    return simulate(model or program(), steps * DT, dt=DT, inputs={"a/op/u": drive}, progress=False, **options)


def halves(cut, model=None, **options):
    first = run(cut, DRIVE[:cut], model, **options)
    return first, run(STEPS - cut, DRIVE[cut:], model, state=first.final, **options)


def joined(first, second, name):
    return np.concatenate([first[name], second[name]], axis=-2)


@pytest.mark.parametrize("solver", FIXED)
@pytest.mark.parametrize("cut", [1, 2, 12])
def test_two_halves_are_the_whole(solver, cut):
    """Bit for bit, also before the delay has passed: the first half does not know the sample at its end."""
    whole = run(STEPS, DRIVE, solver=solver)
    first, second = halves(cut, solver=solver)
    for name in whole:
        assert np.array_equal(joined(first, second, name), whole[name])
    for key, value in whole.final.state.items():
        assert np.array_equal(second.final.state[key], value)


BATCH = {"batch": {"all/op/tau": [1.0, 2.0, 3.0]}}


@pytest.mark.parametrize("options", [{"every": 4}, BATCH, {"precision": "float32"}])
def test_rows_of_several_steps_batches_and_single_precision(options):
    first, second = halves(12, solver="heun", **options)
    whole = run(STEPS, DRIVE, solver="heun", **options)
    assert all(np.array_equal(joined(first, second, name), whole[name]) for name in whole)


def test_the_second_part_may_record_other_rows():
    first = run(12, DRIVE[:12], solver="rk4", every=4)
    second = run(12, DRIVE[12:], solver="rk4", every=3, state=first.final)
    whole = run(STEPS, DRIVE, solver="rk4")
    assert np.array_equal(second["b/op/x"], whole["b/op/x"][12::3])


def test_three_parts_and_a_part_with_its_end_point():
    whole = run(STEPS, DRIVE, solver="heun")
    parts, state = [], None
    for begin, end, more in ((0, 5, 0), (5, 6, 1), (6, 24, 0)):
        parts.append(run(end - begin, DRIVE[begin : end + more], solver="heun", state=state))
        state = parts[-1].final
    assert np.array_equal(np.concatenate([part["b/op/x"] for part in parts]), whole["b/op/x"])


@pytest.mark.parametrize(("solver", "tolerance"), [("scipy", 2e-6), ("tsit5", 2e-6)])
def test_solvers_that_choose_their_steps(solver, tolerance):
    """To their tolerance: they choose other steps."""
    if solver != "scipy":
        pytest.importorskip("diffrax")
    model = program(edge=False)
    options = {"solver": solver, "rtol": 1e-8, "atol": 1e-10}
    whole = run(STEPS, DRIVE, model, **options)
    first, second = halves(12, model, **options)
    assert np.abs(joined(first, second, "a/op/x") - whole["a/op/x"]).max() < tolerance


def test_through_files(tmp_path):
    first = run(12, DRIVE[:12], solver="heun")
    first.final.save(tmp_path / "end.npz")
    first.save(tmp_path / "half.npz")
    whole = run(STEPS, DRIVE, solver="heun")
    for state in (Snapshot.load(tmp_path / "end.npz"), type(first).load(tmp_path / "half.npz").final):
        second = run(12, DRIVE[12:], solver="heun", state=state)
        assert np.array_equal(joined(first, second, "b/op/x"), whole["b/op/x"])
    arrays = dict(np.load(tmp_path / "end.npz"))
    del arrays["end:mark"]
    np.savez(tmp_path / "damaged.npz", **arrays)
    with pytest.raises(StoreError, match="not a complete state"):
        Snapshot.load(tmp_path / "damaged.npz")


def test_where_something_else_goes_on_nothing_is_computed_again():
    """With other numbers, another seed or other inputs the run begins where the first one ended."""
    first = run(12, DRIVE[:12], solver="heun")
    ends = {name: first.final.state[key] for name, key in (("a/op/x", "a..b/op/x"),)}
    for options in ({"params": {"a/op/tau": 2.0}}, {"seed": 1}, {"solver": "rk4"}):
        second = run(12, DRIVE[12:], **{"solver": "heun", **options}, state=first.final)
        assert np.array_equal(second["a/op/x"][0], ends["a/op/x"][:2])
    none = simulate(program(), 1.2, dt=DT, solver="heun", state=first.final, progress=False)
    assert np.array_equal(none["a/op/x"][0], ends["a/op/x"][:2])


@pytest.mark.parametrize("solver", ["heun", "rk4"])
def test_networks_go_on_as_well(solver):
    net = Network(dt=DT)
    net.add_diffeq_node("p", "x' = -x + u", variables={"x": "output(0.1)", "u": "input(0.0)"}, N=2)
    whole = net.run(DRIVE, solver=solver, progress=False)
    first = net.run(DRIVE[:10], solver=solver, progress=False)
    net.state = first.final
    second = net.run(DRIVE[10:], solver=solver, progress=False)
    assert np.array_equal(joined(first, second, "out"), whole["out"])
