"""Running a program: in parts, in chunks, in batches, again, interrupted, and stored."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest

import networks as nets
from recurra.engine import Clock, Edge, Graph, Node, Snapshot, lower, simulate, trace_count
from recurra.engine import run as run_module
from recurra.engine.interrupts import interruptible
from recurra.errors import DivergenceError

DT = 0.05
ALL = [*nets.NOISY, "a/op/u", "p/op/v[1]"]


@pytest.mark.parametrize("solver", ["euler", "rk4", "scipy", "tsit5"])
@pytest.mark.parametrize("path", ["n/op/u", "n/op/u[1]", "all/op/u"])
def test_one_column_drives_all_units_alike(solver, path):
    """Whole inputs, some of the units, and two nodes that one array holds."""
    op = nets.operator("x' = u - x", {"x": 0.5}, inputs={"u": 0.25})
    program = lower(Graph({"n": Node({"op": op}, 3), "m": Node({"op": op}, 2)}))
    wave = np.sin(np.arange(40) * 0.3)[:, None]
    units = {"n/op/u": 3, "n/op/u[1]": 1, "all/op/u": 5}[path]
    options = {"dt": DT, "solver": solver, "record": {"x": "all/op/x", "u": "all/op/u"}}
    one = simulate(program, 40 * DT, inputs={path: wave}, **options)
    many = simulate(program, 40 * DT, inputs={path: np.tile(wave, (1, units))}, **options)
    assert_same(one.data, many.data)
    driven = {"n/op/u": [0, 1, 2], "n/op/u[1]": [1], "all/op/u": [0, 1, 2, 3, 4]}[path]
    expected = np.full((40, 5), 0.25)
    expected[:, driven] = wave
    assert np.max(np.abs(one["u"] - expected)) < 1e-15


def test_columns_and_one_column_drive_one_array_together():
    op = nets.operator("x' = u - x", {"x": 0.5}, inputs={"u": 0.25})
    program = lower(Graph({"n": Node({"op": op}, 3), "m": Node({"op": op}, 2)}))
    rows = np.random.default_rng(1).normal(size=(40, 3))
    got = simulate(program, 40 * DT, dt=DT, inputs={"m/op/u": rows[:, :1], "n/op/u": rows}, record="all/op/u")
    assert np.array_equal(got["all/op/u"], np.concatenate([rows, rows[:, [0, 0]]], axis=1))


def test_infinite_and_undefined_numbers_pass_a_product():
    op = nets.operator("y = sqrt(u)", inputs={"u": 0.0}, algebraic={"y": 0.0})
    reader = nets.operator("z = v", inputs={"v": 0.0}, algebraic={"z": 0.0})
    weights = np.array([[2.0, 3.0], [0.5, -1e308]])
    graph = Graph({"a": Node({"op": op}, 2), "b": Node({"op": reader}, 2)}, (Edge("a/op/y", "b/op/v", weights),))
    rows = np.array([[4.0, 9.0], [1.0, 1e4], [-1.0, 1.0]])
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.sqrt(rows) @ weights.T
    assert np.isinf(expected).any() and np.isnan(expected).any()
    got = simulate(lower(graph), 3 * DT, dt=DT, inputs={"a/op/u": rows}, record="b/op/z")["b/op/z"]
    assert np.array_equal(got, expected, equal_nan=True)


def driven_program():
    return lower(nets.noisy_network())


PROGRAM = driven_program()
SERIES = np.random.default_rng(0).normal(size=(60, 3))


def run(program=PROGRAM, rows=slice(None), **options):
    inputs = {"p/op/u": SERIES[rows], "a/op/u": 0.2}
    options = {"record": ALL, "seed": 5, "solver": "stochastic_heun", **options}
    return simulate(program, len(SERIES[rows]) * DT, dt=DT, inputs=inputs, **options)


def assert_same(a, b) -> None:
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert np.array_equal(a[name], b[name]), name


def assert_same_state(a: Snapshot, b: Snapshot) -> None:
    assert (a.step, a.t0, a.dt) == (b.step, b.t0, b.dt)
    assert a.state.keys() == b.state.keys()
    for key in a.state:
        assert np.array_equal(a.state[key], b.state[key]), key


@pytest.mark.parametrize(("cut", "stored"), [(20, False), (31, True)])
def test_parts_join_to_the_whole_bitwise(cut, stored, tmp_path):
    # Between the samples of the cut the whole run has a straight line, the first part keeps its last sample; so it
    # is told of the sample after its end.
    first = simulate(PROGRAM, cut * DT, dt=DT, record=ALL, seed=5, solver="stochastic_heun",
                     inputs={"p/op/u": SERIES[: cut + 1], "a/op/u": 0.2})
    state = first.final
    if stored:
        state.save(tmp_path / "state.npz")
        state = Snapshot.load(tmp_path / "state.npz")
    second, whole = run(rows=slice(cut, None), state=state), run()
    for name in ALL:
        assert np.array_equal(np.concatenate([first[name], second[name]]), whole[name])
    assert_same_state(second.final, whole.final)
    assert np.array_equal(second.time, whole.time[cut:])


def test_chunks_do_not_matter():
    whole = run()
    for constants in ({"CHUNK_ROWS": 8, "CHUNK_SECONDS": 0.0}, {"CHUNK_BYTES": 200}):
        with nets.changed(run_module, **constants):
            assert_same(run(), whole)
    with nets.changed(run_module, CHUNK_ROWS=4):
        thinned = run(every=3)
    for name in ALL:
        assert np.array_equal(thinned[name], whole[name][::3])


def test_again_in_between_and_elsewhere():
    first = run()
    simulate(nets.program(nets.decay()), 1.0, dt=DT)
    simulate(lower(nets.noisy_network()), 1.0, dt=DT, seed=6, record="a/op/v")
    assert_same(run(), first)
    code = (
        "import sys; sys.path[:0] = [{tests!r}]; import conftest, test_engine_run as t, numpy as np;"
        "r = t.run(); sys.stdout.buffer.write(np.concatenate([r[n] for n in t.ALL], 1).tobytes())"
    ).format(tests=__file__.rpartition("/")[0])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    expected = np.concatenate([first[name] for name in ALL], axis=1)
    assert done.stdout == expected.tobytes()


def test_float64_without_flipping_the_flag_and_gpu_free():
    code = (
        "import sys; sys.path[:0] = [{tests!r}]; import jax; import networks as nets; from recurra.engine import *;"
        "import numpy as np;"
        "before = {{k: v for k, v in jax.config.values.items()}};"
        "r = simulate(lower(nets.noisy_network()), 1.0, dt=0.05);"
        "assert r['a/op/v'].dtype == np.float64 and all(v.dtype == np.float64 for v in r.final.state.values());"
        "assert {{k: v for k, v in jax.config.values.items()}} == before and not jax.config.jax_enable_x64;"
        "assert jax.numpy.ones(1).dtype == np.float32;"
        "vf = vector_field(lower(nets.single(nets.decay()))); assert vf.function(0.0, vf.y0).dtype == np.float64;"
        "f = as_function(lower(nets.single(nets.decay())), 1.0, dt=0.1); assert f({{}})['n/op/x'].dtype == np.float64;"
        "print(float(r['a/op/v'][-1, 0]).hex())"
    ).format(tests=__file__.rpartition("/")[0])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float.fromhex(done.stdout) == simulate(PROGRAM, 1.0, dt=DT)["a/op/v"][-1, 0]


def test_noise_does_not_see_its_surroundings():
    """A recording more, an unrelated node, another order or a batch leave the noise of a node as it is."""
    op = nets.noisy()
    a, b = Node({"op": op}), Node({"other": op}, 1, {"other/tau": 2.0})
    alone = simulate(lower(Graph({"a": a})), 1.0, dt=DT, seed=3)["a/op/v"]
    for graph in (Graph({"a": a, "b": b}), Graph({"b": b, "a": a}), Graph({"z": Node({"op": op}, 4), "a": a})):
        found = simulate(lower(graph), 1.0, dt=DT, seed=3, record=["a/op/u", "a/op/v"])["a/op/v"]
        assert np.abs(found - alone).max() < 1e-15
    batch = simulate(lower(Graph({"a": a})), 1.0, dt=DT, seed=3, batch={"a/op/u": [0.0, 0.0]})["a/op/v"]
    assert np.abs(batch - alone).max() < 1e-15
    assert np.abs(simulate(lower(Graph({"a": a})), 1.0, dt=DT, seed=4)["a/op/v"] - alone).max() > 0.1


def test_numbers_compile_nothing():
    program = PROGRAM
    run(program)
    before = trace_count()
    weight = "b/o2/v->p/op/u/weight"
    for i in range(100):
        changed = program.update({"a/op/tau": 1.0 + i, weight: np.full((3, 1), float(i)), "p/op/v": 0.1 * i})
        names = {f"{name} {i}": name for name in ALL}
        rows = slice(0, 60 - i % 7)
        simulate(changed, (60 - i % 7) * DT, dt=DT, solver="stochastic_heun", seed=i, record=names,
                 inputs={"p/op/u": SERIES[rows] + i, "a/op/u": 0.1 * i})
    assert trace_count() == before
    # An equal network that is built anew shares the code, too.
    run(driven_program())
    assert trace_count() == before


BATCH = {
    "a/op/tau": np.array([1.0, 0.5]),
    "p/op/v": np.array([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]]),
    "a/op/v->b/o2/u/delay": np.array([0.05, 0.13]),
    "b/o2/v->p/op/u/delay": np.array([0.3, 0.2]),
    "b/o2/v->p/op/u/spread": np.array([0.12, 0.08]),  # as many stages in both
    "p/op/v->a/op/u/weight": np.random.default_rng(2).normal(size=(2, 1, 3)),
}


def test_a_batch_is_a_loop():
    with nets.changed(run_module, CHUNK_ROWS=16):
        batch = run(batch=BATCH, every=2)
    for i in range(2):
        one = run(params={path: value[i] for path, value in BATCH.items()}, every=2)
        for name in ALL:
            assert np.abs(batch[name][i] - one[name]).max() < 1e-13, (i, name)
        for key, value in one.final.state.items():
            if not key.startswith("ring/"):  # the batch remembers as long as its longest delay takes
                assert np.abs(batch.final.state[key][i] - value).max() < 1e-13


def test_a_batch_goes_on_and_starts_from_one_state():
    first = run(rows=slice(0, 31), batch=BATCH, solver="euler")
    second = run(rows=slice(31, None), solver="euler", state=first.final,
                 batch={k: v for k, v in BATCH.items() if k != "p/op/v"})
    whole = run(batch=BATCH, solver="euler")
    for name in ALL:
        assert np.array_equal(np.concatenate([first[name], second[name]], axis=1), whole[name])
    taus = {"a/op/tau": [1.0, 2.0]}
    start = run(rows=slice(0, 31), solver="euler").final
    both = run(rows=slice(31, None), solver="euler", state=start, batch=taus)
    for i in range(2):
        one = run(rows=slice(31, None), solver="euler", state=start, params={"a/op/tau": taus["a/op/tau"][i]})
        assert np.abs(both["b/o2/v"][i] - one["b/o2/v"]).max() < 1e-14


def test_a_batch_of_pasts():
    """past(x, tau) of a batch: initial values and delays differ from run to run, with and without a history."""
    program = lower(nets.single(nets.operator("x' = -past(x, 0.3/k)", {"x": 1.0}, {"k": 1.0}), 2))
    batch = {"n/op/x": np.array([[1.0, 2.0], [3.0, 4.0]]), "n/op/k": np.array([[1.0, 0.5], [2.0, 1.5]])}
    for history in (None, {"n/op/x[1]": 0.7}):
        both = simulate(program, 2.0, dt=0.1, batch=batch, history=history)
        for i in range(2):
            one = simulate(program, 2.0, dt=0.1, params={k: v[i] for k, v in batch.items()}, history=history)
            assert np.abs(both["n/op/x"][i] - one["n/op/x"]).max() < 1e-15


def test_batched_delay_of_a_sum_over_a_population():
    graph = Graph({"a": Node({"op": nets.decay()}, 2), "b": Node({"op": nets.decay()}, 3)},
                  (Edge("a/op/x", "b/op/u", 0.5, delay=0.3, label="e"),))
    batch = {"e/delay": np.array([0.3, 0.5, 0.1]), "e/weight": np.array([1.0, 2.0, 3.0])}
    both = simulate(lower(graph), 1.0, dt=0.1, batch=batch)
    for i in range(3):
        one = simulate(lower(graph), 1.0, dt=0.1, params={k: v[i] for k, v in batch.items()})
        assert np.abs(both["b/op/x"][i] - one["b/op/x"]).max() < 1e-15


def test_rows_are_times_before_steps():
    program = nets.program(nets.operator("x' = 1", {"x": 0.0}))
    result = simulate(program, 10.0, dt=0.5, every=4)
    assert np.array_equal(result.time, [0, 2, 4, 6, 8])
    assert np.array_equal(result["n/op/x"][:, 0], result.time)
    assert result.final.state["n/op/x"] == 10.0
    cut = simulate(program, 10.0, dt=0.5, every=4, cutoff=3.9)
    assert np.array_equal(cut.time, [4, 6, 8])
    assert np.array_equal(cut["n/op/x"][:, 0], [4, 6, 8])
    assert_same_state(cut.final, result.final)
    on = simulate(program, 4.0, dt=0.5, state=result.final, cutoff=2.0)
    assert np.array_equal(on.time, [12, 12.5, 13, 13.5])


def test_thinned_samples_join_across_parts_and_series_of_different_length():
    """A series may hold its end point; beside one that does not it keeps it."""
    graph = Graph({"a": Node({"op": nets.decay()}), "b": Node({"op": nets.decay()})})
    long, short = np.arange(11.0), np.arange(10.0)
    both = simulate(lower(graph), 1.0, dt=0.1, solver="heun", inputs={"a/op/u": long, "b/op/u": short}).final
    one = simulate(lower(Graph({"a": graph.nodes["a"]})), 1.0, dt=0.1, solver="heun", inputs={"a/op/u": long}).final
    assert both.state["a..b/op/x"][0] == one.state["a/op/x"][0]
    assert both.state["a..b/op/x"][0] > both.state["a..b/op/x"][1]


def test_single_precision():
    double, single = run(solver="euler_maruyama"), run(solver="euler_maruyama", precision="float32")
    assert {v.dtype for v in single.final.state.values()} == {np.dtype(np.float32)}
    assert {single[name].dtype for name in ALL} == {np.dtype(np.float32)}
    assert {double[name].dtype for name in ALL} == {np.dtype(np.float64)}
    quiet = {"a/op/s": 0.0, "b/o2/s": 0.0, "p/op/s": 0.0}
    a, b = (run(solver="euler_maruyama", params=quiet, precision=p) for p in ("float32", "float64"))
    for name in ALL:
        assert 0 < np.abs(a[name] - b[name]).max() < 2e-6
    z = nets.program(nets.operator("z' = i*z", {"z": 1.0}, {"i": 1j}))
    result = simulate(z, 1.0, dt=0.1, precision="float32")
    assert result["n/op/z"].dtype == result.final.state["n/op/z"].dtype == np.complex64


def test_steps_by_hand():
    """Program.step, jitted or not, is what simulate does."""
    inputs = {"p/op/u": np.array([0.1, 0.2, 0.3])}
    program = lower(nets.noisy_network())
    samples = np.repeat([[0.1, 0.2, 0.3]], 10, axis=0)
    whole = simulate(program, 10 * DT, dt=DT, seed=9, inputs={"p/op/u": samples}, record=ALL)

    def plain(state, params, k, t):
        return program.step(state, params, inputs, Clock(k, t, DT, 9))

    step = jax.jit(plain)
    for advance in (step, plain):
        state, params = program.init(DT), program.params
        for k in range(10 if advance is step else 1):
            state, values = advance(state, params, k, k * DT)
            assert np.abs(values["p/op/v"] - whole["p/op/v"][k]).max() < 1e-15
            assert np.abs(values["a..b/op/u"][0] - whole["a/op/u"][k, 0]).max() < 1e-15
        if advance is step:
            assert all(np.abs(state[k] - v).max() < 1e-15 for k, v in whole.final.state.items())
    flow = nets.program(nets.decay(3.0)).flow
    assert flow(0.0, {"n/op/x": np.ones(1)}, {"n/op/tau": np.ones(1) * 2, "n/op/u": np.ones(1) * 3})["n/op/x"] == 2.5
    assert flow(0.0, {"n/op/x": np.ones(1)}, {"n/op/tau": np.ones(1), "n/op/u": np.ones(1)}, {"n/op/u": 5.0}) == {
        "n/op/x": 4.0
    }


def test_a_program_never_changes():
    program = driven_program()
    numbers = {**program.params, **program.state}
    before = {k: v.copy() for k, v in numbers.items()}
    other = program.update({"all/op/tau": 3.0, "p/op/v[1]": 5.0, "b/o2/v->p/op/u/weight[2]": 9.0})
    program.get("a/op/tau")[...] = 7.0
    program.inputs["a/op/u"].default[...] = 7.0
    run(program, params={"a/op/v": 2.0})
    for key, value in before.items():
        assert np.array_equal(numbers[key], value), key
    assert other.get("all/op/tau").tolist() == [3.0] * 4
    assert other.get("p/op/v").tolist() == [0.0, 5.0, 0.0]
    assert other.get("b/o2/v->p/op/u/weight")[:, 0].tolist() == [0.5, -0.5, 9.0]
    assert other.get("b/o2/tau") == 1.0


def signalled(monkeypatch, call: int, name: str = "run_chunk") -> None:
    """Let Ctrl-C come while a chunk is computed."""
    real, calls = getattr(run_module, name), []

    def run_chunk(*args):
        calls.append(args)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(run_module, name, run_chunk)


@pytest.mark.parametrize(("name", "large"), [("run_chunk", 1 << 26), ("run_chunk_in_place", 0)])
def test_interrupt_gives_the_rows_so_far(name, large, monkeypatch):
    whole = run()
    with monkeypatch.context() as patch, nets.changed(run_module, CHUNK_ROWS=16, IN_PLACE_BYTES=large):
        signalled(patch, 3, name)
        with pytest.warns(RuntimeWarning, match="interrupted after 48 of 60 rows"):
            part = run()
    assert part.interrupted and part.meta["interrupted"] is True and not whole.interrupted
    assert part.to_xarray().attrs["interrupted"] == 1 and part.final.step == whole.final.step - 12
    for name in ALL:
        assert np.array_equal(part[name], whole[name][:48])
    rest = run(rows=slice(48, None), state=part.final)
    assert np.array_equal(rest["a/op/v"], whole["a/op/v"][48:])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_of_a_run_of_one_piece_ends_what_called_it(monkeypatch):
    signalled(monkeypatch, 1)
    for _ in range(2):  # a loop over short runs can be left
        with pytest.raises(KeyboardInterrupt):
            run()
        break


def test_within_another_call_an_interrupted_run_is_none(monkeypatch):
    signalled(monkeypatch, 2)
    changed, raised = nets.changed(run_module, CHUNK_ROWS=16), pytest.raises(KeyboardInterrupt, match="after 32 of 60")
    with changed, raised, interruptible():
        run()


def test_a_handler_of_the_users_own_stays(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        signalled(monkeypatch, 2)
        with nets.changed(run_module, CHUNK_ROWS=16):
            assert len(run().time) == 60 and heard == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_does_not_wait(monkeypatch):
    def run_chunk(*args):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it waited")

    monkeypatch.setattr(run_module, "run_chunk", run_chunk)
    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.mark.parametrize("options", [{"record": []}, {"every": 10**6}, {"record": [], "every": 10**5}])
def test_a_run_may_have_any_length(options):
    """x' = 1 - x by Euler: x_k = 1 - (1 - dt)^k; chunks grow, but not beyond all bounds."""
    op = nets.operator("x' = 1 - x", {"x": 0.0})
    found = simulate(lower(Graph({"n": Node({"op": op})})), 1e5, dt=0.01, **options)
    assert found.final.step == 10**7 and found.final.state["n/op/x"][0] == pytest.approx(1.0, abs=1e-12)
    assert found.time.tolist() == ([] if "record" in options else [10_000.0 * k for k in range(10)])
    for rows in found.data.values():
        assert rows[:, 0] == pytest.approx([0.0] + [1.0] * 9, abs=1e-12)


def test_a_long_row_is_done_in_pieces(monkeypatch):
    """The same bits; and Ctrl-C within a row ends the run with the rows before."""
    whole = run(every=20)
    monkeypatch.setattr(run_module, "CHUNK_SECONDS", 1e-9)
    same = run(every=20)
    for name in ALL:
        assert np.array_equal(same[name], whole[name])
    for key, value in whole.final.state.items():
        assert np.array_equal(same.final.state[key], value), key
    signalled(monkeypatch, 4)  # two calls are a row
    with pytest.warns(RuntimeWarning, match="interrupted after 1 of 3 rows|interrupted after 2 of 3 rows"):
        part = run(every=20)
    assert part.final.step == 20 * len(part.time) and np.array_equal(part["a/op/v"], whole["a/op/v"][: len(part.time)])


def test_a_run_of_millions_of_rows():
    op = nets.operator("x' = 1 - x", {"x": 0.0})
    found = simulate(lower(Graph({"n": Node({"op": op})})), 40_000.0, dt=0.01)["n/op/x"][:, 0]
    right = 1 - 0.99 ** np.arange(4_000_000)
    assert np.abs(found - right).max() < 1e-12


def test_a_large_state_changes_in_place():
    whole = run()
    with nets.changed(run_module, IN_PLACE_BYTES=0, CHUNK_ROWS=16):
        program = driven_program()
        before = {k: v.copy() for k, v in program.state.items()}
        found = run(program)
    for key, value in before.items():
        assert np.array_equal(program.state[key], value), key
    for name in ALL:
        assert np.array_equal(found[name], whole[name])


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize(("rows", "in_place"), [(8192, False), (16, False), (16, True)])
def test_divergence_names_variable_unit_and_step(rows, in_place, every):
    op = nets.operator("x' = k*x*x\ny' = -y", {"x": 0.0, "y": 1.0}, {"k": 1.0})
    graph = Graph({"a": Node({"op": op}), "p": Node({"op": op}, 3, {"op/x": np.array([0.0, 0.1, 1.0])})})
    x, step = 1.0, 0
    with np.errstate(over="ignore"):
        while np.isfinite(x):
            x, step = x + 0.01 * (x * x), step + 1
    large = 0 if in_place else run_module.IN_PLACE_BYTES
    with nets.changed(run_module, CHUNK_ROWS=rows, IN_PLACE_BYTES=large), pytest.raises(DivergenceError) as error:
        simulate(lower(graph), 4.0, dt=0.01, every=every)
    found = error.value
    assert (found.variable, found.step, found.time) == ("p/op/x[2]", step, pytest.approx(step * 0.01))
    assert f"p/op/x[2] is not finite after step {step}" in str(found)
    result = found.result
    assert len(result.time) == -(-step // every)  # all rows before it
    assert all(np.isfinite(result[name]).all() for name in result)
    assert result.meta["diverged"] is True
    whole = simulate(lower(graph), step * 0.01 - 0.01 * (step % 4), dt=0.01, every=every)
    assert np.array_equal(whole["p/op/x"], result["p/op/x"][: len(whole.time)])


def test_divergence_of_what_is_remembered_names_it():
    op = nets.operator("x' = -1\nm = 1/(x*(x > 0))", {"x": 0.25}, algebraic={"m": 0.0})
    graph = Graph({"a": Node({"op": op}), "b": Node({"op": nets.decay()})}, (Edge("a/op/m", "b/op/u", delay=1.0),))
    with pytest.raises(DivergenceError, match="a/op/m is not finite after step 4"):
        simulate(lower(graph), 2.0, dt=0.1)


def test_nothing_is_printed_or_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
