"""Inputs that bring a time axis: aligned by it, refused, or resampled when asked, in every front-end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import recurra
from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate, grid_search, resample, simulate, sweep
from recurra.engine import as_function
from recurra.errors import OptionError, ShapeError, TimeError
from recurra.training import fit_bptt, fit_ridge

nap = pytest.importorskip("pynapple")
DT, STEPS = 0.1, 20
TIMES = np.arange(-5, STEPS + 8) * DT
VALUES = np.sin(TIMES * 3) + TIMES
PLAIN = VALUES[5 : 5 + STEPS + 1]  # what belongs to the steps of the run, its end included
U, X = "p/op/u", "p/op/x"
OP = OperatorTemplate("op", "x' = -x + u", {"x": "output(0.0)", "u": "input"})
MODEL = CircuitTemplate("m", nodes={"p": NodeTemplate("p", OP)})


def forms(times, values):
    """Return the same series in every form."""
    return {
        "series": pd.Series(values, index=times),
        "table": pd.DataFrame({"a": values}, index=pd.Index(times, name="time")),
        "array": xr.DataArray(values, dims="time", coords={"time": times}),
        "units first": xr.DataArray(values[None], dims=("unit", "time"), coords={"time": times}),
        "tsd": nap.Tsd(times, values),
        "frame": nap.TsdFrame(times, values[:, None]),
    }


FORMS = forms(TIMES, VALUES)


def run(u, steps=STEPS, **options):
    return simulate(MODEL, steps * DT, dt=DT, solver="heun", inputs={U: u}, progress=False, **options)[X]


@pytest.mark.parametrize("form", FORMS)
def test_aligned_by_their_time(form):
    """The run takes its own samples: those from time 0 on, and the one at its end."""
    assert np.array_equal(run(FORMS[form]), run(PLAIN))


def test_a_run_that_goes_on_takes_the_samples_of_its_time():
    whole, u = run(PLAIN), FORMS["series"]
    half = simulate(MODEL, 1.0, dt=DT, solver="heun", inputs={U: u}, progress=False)
    rest = simulate(MODEL, 1.0, dt=DT, solver="heun", inputs={U: u}, state=half.final, progress=False)
    assert np.array_equal(np.concatenate([half[X], rest[X]]), whole)


def test_arrays_without_times_are_as_before():
    for u in (pd.Series(PLAIN), pd.DataFrame(PLAIN), xr.DataArray(PLAIN), xr.DataArray(PLAIN[None], dims=("a", "time")),
              pd.Series(PLAIN, name="time")):
        assert np.array_equal(run(u), run(PLAIN))
    with pytest.raises(ShapeError, match=r"too short: it has 5 samples, the run has 20 steps.*recurra.resample"):
        run(pd.Series(PLAIN[:5]))


def test_rounded_times_are_on_the_grid():
    u = pd.Series(VALUES, index=np.cumsum(np.full(len(TIMES), DT)) - 0.6)  # adds up rounding errors
    assert np.array_equal(run(u), run(PLAIN))
    assert np.array_equal(run(pd.Series(VALUES, index=TIMES.astype(np.float32))), run(PLAIN))


LATER = TIMES + 0.03
JUMP = np.where(np.arange(len(TIMES)) < 20, TIMES, TIMES + 2 * DT)


@pytest.mark.parametrize(
    ("u", "message"),
    [
        (pd.Series(VALUES, index=TIMES * 10), "every 1 (times -5 to 27), the run has steps of 0.1. Resample"),
        (pd.Series(VALUES, index=TIMES / 2), "every 0.05"),
        (pd.Series(VALUES, index=LATER), "a sample at -0.47, between the steps of the run, 0 + k*0.1"),
        (pd.Series(VALUES, index=JUMP), "every 0.1 to 0.3"),
        (pd.Series(VALUES, index=TIMES + 1.0), "covers times 0.5 to 3.7, the run needs samples from 0 to 1.9"),
        (pd.Series(VALUES, index=TIMES - 3.0), "covers times -3.5 to -0.3, the run needs samples from 0 to 1.9"),
        (pd.Series(VALUES[:20], index=TIMES[:20]), "covers times -0.5 to 1.4"),
        (pd.Series(VALUES, index=TIMES[::-1]), "times must increase; 2.7 is followed by 2.6"),
        (pd.Series(VALUES, index=np.repeat(TIMES, 2)[: len(TIMES)]), "times must increase; -0.5 comes twice"),
        (pd.Series(VALUES, index=np.where(TIMES > 1, np.nan, TIMES)), "the time of sample 16 is not finite"),
        (pd.Series(VALUES, index=pd.to_timedelta(TIMES, unit="s")), "the index is a TimedeltaIndex. A model"),
        (pd.Series(VALUES, index=pd.date_range("2020", periods=len(TIMES))), "the index is a DatetimeIndex"),
        (pd.Series(VALUES, index=[f"s{i}" for i in range(len(TIMES))]), "the index holds labels, no times"),
        (pd.DataFrame({"time": TIMES, "u": VALUES}), "the table has a column 'time'; make it the index"),
        (pd.DataFrame({"u": VALUES, "Time (ms)": TIMES}), "the table has a column 'Time (ms)'; make it the index"),
        (pd.Series(VALUES[:22], index=range(100, 122)), "every 1 (times 100 to 121)"),
        (xr.DataArray(VALUES, dims="sample", coords={"sample": TIMES}), "the dimension 'sample' has coordinates"),
        (xr.DataArray(VALUES, dims="time", coords={"time": pd.to_timedelta(TIMES, unit="s")}), "type timedelta64"),
        (xr.Dataset({"u": ("time", VALUES)}), "a Dataset holds several arrays"),
        (nap.Ts(TIMES), "a Ts of pynapple has no values at equal intervals"),
        (nap.Tsd(TIMES / 1000, VALUES), "every 0.0001"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(u, message):
    with pytest.raises(TimeError) as error:
        run(u)
    assert message in str(error.value) and U in str(error.value)


def test_resampling():
    """Straight lines and steps, against NumPy; a series that is resampled is an input."""
    times = np.array([0.0, 0.7, 1.1, 2.5])
    values = np.array([1.0, 3.0, -2.0, 4.0])
    grid = np.arange(26) * 0.1
    for form, series in forms(times, values).items():
        if form == "units first":
            continue
        found = resample(series, DT)
        assert found.index.name == "time" and np.abs(found.index - grid).max() < 1e-12
        assert np.abs(np.ravel(found) - np.interp(grid, times, values)).max() < 1e-12
        held = np.ravel(resample(series, DT, kind="hold"))
        assert held[[0, 6, 7, 10, 11, 24, 25]].tolist() == [1, 1, 3, 3, -2, -2, 4]
    assert np.array_equal(run(resample(pd.Series(values, index=times), DT)), run(np.interp(grid, times, values)[:21]))
    wide = resample(np.stack([values, 2 * values], 1), 0.5, spacing=1.0)
    assert wide.to_numpy().tolist() == [[v, 2 * v] for v in (1, 2, 3, 0.5, -2, 1, 4)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [("hold", [1, 2, 3, 3, 3, 3, 3, 3]), ("zero", [1, 2, 3, 0, 0, 0, 0, 0]), ("repeat", [1, 2, 3, 1, 2, 3, 1, 2])],
)
def test_how_a_series_goes_on(after, expected):
    found = resample([1.0, 2.0, 3.0], 1.0, spacing=1.0, stop=7.0, after=after)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: resample([1.0], 0.1), TimeError, "has no time axis; give the time between two samples as `spacing`"),
        (lambda: resample(pd.Series([1.0, 2.0], index=[0.5, 1.5]), 0.1, spacing=1.0), OptionError, "of its own"),
        (lambda: resample([1.0, 2.0], 0.1, spacing=1.0, stop=3.0), TimeError, "ends at 1, before stop=3; say how"),
        (lambda: resample([1.0, 2.0], 0.1, spacing=1.0, kind="cubic"), OptionError, "unknown kind 'cubic'"),
        (lambda: resample([1.0, 2.0], 0.1, spacing=1.0, after="mirror"), OptionError, "unknown after 'mirror'"),
        (lambda: resample([1.0, 2.0], 0.0, spacing=1.0), TimeError, "dt must be a finite number > 0"),
    ],
)
def test_wrong_resampling(call, error, message):
    with pytest.raises(error, match=message):
        call()


WRONG = pd.Series(VALUES, index=TIMES * 10)


def network():
    net = Network(dt=DT)
    net.add_diffeq_node("p", "x' = -x/tau + u", variables={"x": "output(0.0)", "tau": 1.0, "u": "input(0.0)"}, N=1,
                        op="op")  # fmt: skip
    return net


def test_every_front_end_aligns():
    """What comes out is what the plain samples give, to the last bit."""
    u, plain = FORMS["series"], PLAIN[:STEPS]
    frames = [MODEL.run(2.0, DT, inputs={U: each}, outputs={"x": X}).to_numpy() for each in (u, PLAIN)]
    assert np.array_equal(*frames)
    places = {"x": {"vars": ["op/x"], "nodes": ["p"]}}
    grids = [grid_search(MODEL, {"x": [0.1, 0.2]}, places, DT, 2.0, {"x": X}, {U: each})[0] for each in (u, PLAIN)]
    assert np.array_equal(*[table.to_numpy() for table in grids])
    swept = [sweep(MODEL, {X: [0.1, 0.2]}, 2.0, dt=DT, inputs={U: each}, record={"x": X}, progress=False)["x"].values
             for each in (u, PLAIN)]  # fmt: skip
    assert np.array_equal(*swept)
    net = network()
    alike = [net.run(each, steps=STEPS, progress=False)["out"] for each in (u, plain[:, None])]
    assert np.array_equal(*alike)
    assert len(net.run({"p": u}, progress=False)["out"]) == STEPS + 8  # as long as the series
    both = net.run({"p": u}, solver="heun", steps=STEPS, progress=False)["out"]
    assert np.array_equal(both, run(PLAIN))
    fields = [MODEL.get_run_func("f", DT, {U: each}) for each in (u, PLAIN)]
    assert len({float(func(0.73, *arguments[1:])[0]) for func, arguments, *_ in fields}) == 1
    function = as_function(MODEL.program, 2.0, dt=DT, record={"x": X}, inputs={U: u})
    assert np.array_equal(np.asarray(function({})["x"]), simulate(MODEL, 2.0, dt=DT, inputs={U: PLAIN})[X])


def test_training_aligns_inputs_and_targets():
    target = pd.Series(np.cos(TIMES), index=TIMES)[5:]
    goal = target.to_numpy()[:, None]
    u, plain = FORMS["series"], VALUES[5:]
    net = network()
    options = {"epochs": 2, "progress": False, "train": ["p/op/tau"]}
    fits = [network().fit_bptt(*data, **options).history["loss"] for data in ((u, target), (plain[:, None], goal))]
    assert np.array_equal(*fits)
    program = net.program
    options = {"output": X, "dt": DT, "epochs": 2, "progress": False, "train": ["p/op/tau"]}
    fits = [fit_bptt(program, {U: a}, b, **options).history["loss"] for a, b in ((u, target), (plain, goal))]
    assert np.array_equal(*fits)
    data = ((u, target), (plain, goal))
    readouts = [fit_ridge(program, {U: a}, b, output=X, dt=DT, alpha=0.1).weights for a, b in data]
    assert np.array_equal(*readouts)


@pytest.mark.parametrize(
    "call",
    [
        lambda: MODEL.run(2.0, DT, inputs={U: WRONG}),
        lambda: MODEL.run(2.0, DT, inputs={U: WRONG}, backend="numpy"),
        lambda: sweep(MODEL, {X: [0.1]}, 2.0, dt=DT, inputs={U: WRONG}, progress=False),
        lambda: MODEL.get_run_func("f", DT, {U: WRONG}),
        lambda: network().run(WRONG),
        lambda: network().run({"p": WRONG}, steps=STEPS),
        lambda: network().fit_bptt(WRONG, PLAIN[:, None], train=["p/op/tau"]),
        lambda: network().fit_bptt(PLAIN[:, None], WRONG, train=["p/op/tau"]),
        lambda: fit_ridge(network().program, {U: WRONG}, PLAIN, output=X, dt=DT),
        lambda: fit_bptt(network().program, {U: PLAIN}, WRONG, output=X, dt=DT, train=["p/op/tau"]),
        lambda: as_function(MODEL.program, 2.0, dt=DT, inputs={U: WRONG}),
    ],
)
def test_every_front_end_refuses(call):
    with pytest.raises((TimeError, recurra.errors.RecurraError), match="has a sample every 1 "):
        call()


def test_rate_networks_and_spiking_ones_align_too():
    from recurra.rate.model import FR_RNN_dale

    net = FR_RNN_dale(4, 0.2, 0.5, np.ones((4, 1)), 0, "gaus", 1.5, True, np.ones((1, 4)))
    stim = np.linspace(0, 1, 12)
    options = {"taus": [4, 20], "activation": "sigmoid", "noise": "none", "step": 0.5}
    found = net.simulate(pd.Series(stim, index=np.arange(12) * 0.5), **options)["o"]
    assert np.array_equal(found, net.simulate(stim[None], **options)["o"])
    with pytest.raises(TimeError, match="has a sample every 1 "):
        net.simulate(pd.Series(stim, index=np.arange(12.0)), **options)


HOLES = np.ma.masked_array(np.where(np.arange(STEPS) == 3, -9999.0, 1.0), mask=np.arange(STEPS) == 3)
NET = Network(dt=DT)
NET.add_diffeq_node("n", "v' = -v + u", variables={"v": "output", "u": "input"}, N=2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: run(HOLES),
        lambda: MODEL.run(STEPS * DT, DT, inputs={U: HOLES}),
        lambda: MODEL.run(STEPS * DT, DT, inputs={U: HOLES}, backend="numpy"),
        lambda: simulate(MODEL, 1.0, dt=DT, batch={U: HOLES}),
        lambda: simulate(MODEL, 1.0, dt=DT, history={X: HOLES}),
        lambda: sweep(MODEL, {U: HOLES}, 1.0, dt=DT),
        lambda: MODEL.update_var(node_vars={U: np.ma.masked}),
        lambda: resample(HOLES, DT, spacing=0.3),
        lambda: NET.run(np.ma.masked_less(np.arange(10.0), 2.0)),
        lambda: NET.run({"n": [HOLES]}),
        lambda: NET.fit_ridge(np.ones((STEPS, 2)), HOLES),
        lambda: NET.fit_bptt(np.ones((STEPS, 2)), HOLES, train=["n/op/v"]),
        lambda: NET.add_edge("n", "n", np.ma.masked_equal(np.eye(2), 1), feedback=True),
        lambda: fit_ridge(MODEL.program, {U: HOLES}, np.ones(STEPS), output=X, dt=DT),
    ],
)
def test_masked_values_are_no_values(call):
    """What lies below a mask, -9999 in many files, is never computed with."""
    with pytest.raises(ShapeError, match="masked"):
        call()


def test_numbers_of_other_types_are_numbers():
    """Counts without a sign, columns of objects, and masked arrays that miss nothing."""
    counts = np.arange(STEPS) % 3
    for u in (counts.astype(np.uint8), counts.astype(object), np.ma.masked_array(counts), counts.tolist()):
        assert np.array_equal(run(u), run(counts.astype(float)))
    with pytest.raises(ShapeError, match="expected numbers"):
        run([None, *counts[1:]])
