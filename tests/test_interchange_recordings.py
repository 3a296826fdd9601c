"""NWB and pynapple: what is written comes back, and other people's files do no harm."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from recurra import Network, simulate
from recurra.engine import Result
from recurra.errors import OptionError, PathError, RecurraError, ShapeError, StoreError, TimeError
from recurra.interchange import from_nwb, from_pynapple, to_nwb, to_pynapple

DT = 0.1


def make_result(rows=60):
    net = Network(dt=DT, seed=4)
    variables = {"v": "output", "tau": 2.0, "u": "input"}
    net.add_diffeq_node("cell", "v' = -v/tau + u", variables=variables, N=3)
    x = (np.random.default_rng(0).random((rows, 3)) > 0.7) * 1.0
    x[:, 2] = 0.0  # a silent unit
    return net.run(x, record_vars={"spikes": "cell/op/u", "one": ("cell", "op/v", True)})


RESULT = make_result()
SPIKES = [np.arange(60)[column > 0] * DT for column in RESULT["spikes"].T]


# pynapple


def test_pynapple_objects_hold_the_recordings():
    nap = pytest.importorskip("pynapple")
    found = to_pynapple(RESULT, spikes="spikes", seconds=1e-3)
    assert set(found) == {"out", "spikes", "one"}
    frame, single, group = found["out"], found["one"], found["spikes"]
    assert (type(frame), type(single), type(group)) == (nap.TsdFrame, nap.Tsd, nap.TsGroup)
    assert np.array_equal(frame.values, RESULT["out"])
    assert np.array_equal(single.values, RESULT["one"][:, 0])
    assert list(frame.columns) == RESULT.labels["out"]
    assert np.max(np.abs(frame.t - RESULT.time * 1e-3)) < 1e-9
    assert list(group["label"]) == RESULT.labels["spikes"]
    for unit, times in enumerate(SPIKES):
        assert len(group[unit].t) == len(times)
        assert np.max(np.abs(group[unit].t - times * 1e-3), initial=0.0) < 1e-9
    assert np.allclose(frame.time_support.values, [[0.0, 60 * DT * 1e-3]], atol=1e-9)
    assert type(to_pynapple(RESULT, "out")) is nap.TsdFrame


@pytest.mark.parametrize("seconds", [1.0, 1e-3])
def test_pynapple_and_back(seconds):
    pytest.importorskip("pynapple")
    found = to_pynapple(RESULT, spikes=["spikes"], seconds=seconds)
    values, dt = from_pynapple(found["out"], seconds=seconds)
    assert np.array_equal(values, RESULT["out"])
    assert abs(dt - DT) < 1e-6
    counts, dt = from_pynapple(found["spikes"], DT, seconds=seconds)
    assert np.array_equal(counts, RESULT["spikes"])
    assert dt == DT
    coarse, _ = from_pynapple(found["spikes"], 4 * DT, seconds=seconds)
    assert np.array_equal(coarse, RESULT["spikes"].reshape(15, 4, 3).sum(1))


def test_counts_agree_with_a_loop():
    nap = pytest.importorskip("pynapple")
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(2.0, 7.0, 200))
    counts, _ = from_pynapple(nap.Ts(t=times, time_support=nap.IntervalSet(2.0, 7.05)), 0.3)
    expected = [sum(2.0 + 0.3 * k <= t < 2.0 + 0.3 * (k + 1) for t in times) for k in range(16)]
    assert counts[:, 0].tolist() == expected


def test_events_at_the_edge_of_a_bin_belong_to_the_later_one():
    nap = pytest.importorskip("pynapple")
    events = nap.Ts(t=np.array([0.3, 0.6, 0.7]), time_support=nap.IntervalSet(0.0, 1.0))  # 0.3/0.1 is less than 3
    counts, _ = from_pynapple(events, 0.1)
    assert np.flatnonzero(counts[:, 0]).tolist() == [3, 6, 7]
    assert len(counts) == 10


def two_epochs(nap):
    return nap.Ts(t=np.array([0.1, 2.5]), time_support=nap.IntervalSet([0.0, 2.0], [1.0, 3.0]))


PYNAPPLE_ERRORS = [
    (lambda nap: to_pynapple(5), OptionError, "expected the result of a run, got int"),
    (lambda nap: to_pynapple(RESULT, "ot"), PathError, "unknown recording 'ot'.*'out'"),
    (lambda nap: to_pynapple(RESULT, spikes="spike"), PathError, "unknown recording 'spike'.*'spikes'"),
    (lambda nap: to_pynapple(RESULT, seconds=0), TimeError, "a number > 0; got 0"),
    (lambda nap: from_pynapple(np.ones(3)), OptionError, "expected a Tsd, TsdFrame, Ts or TsGroup, got ndarray"),
    (lambda nap: from_pynapple(nap.Ts(np.arange(3.0))), TimeError, "events need dt"),
    (lambda nap: from_pynapple(nap.Ts(np.arange(3.0)), -1.0), TimeError, "dt must be a number > 0, got -1"),
    (lambda nap: from_pynapple(nap.Ts(np.arange(3.0)), 5.0), TimeError, "less than one bin"),
    (lambda nap: from_pynapple(two_epochs(nap), 0.1), OptionError, "have 2 epochs"),
    (lambda nap: from_pynapple(nap.Tsd(np.array([0.0, 1.0, 3.0]), np.ones(3))), TimeError, "not evenly spaced"),
    (lambda nap: from_pynapple(nap.Tsd(np.arange(3.0), np.ones(3)), 0.5), TimeError, "1 apart, not dt=0.5"),
]


@pytest.mark.parametrize(("call", "error", "message"), PYNAPPLE_ERRORS, ids=range(len(PYNAPPLE_ERRORS)))
def test_bad_calls_with_pynapple(call, error, message):
    nap = pytest.importorskip("pynapple")
    with pytest.raises(error, match=message):
        call(nap)


# NWB


def test_nwb_round_trip(tmp_path):
    pytest.importorskip("pynwb")
    file = tmp_path / "run.nwb"
    start = datetime(2024, 5, 6, 7, tzinfo=UTC)
    to_nwb(RESULT, file, spikes=["spikes"], seconds=1e-3, description="a test", start=start, units={"out": "mV"})
    found = from_nwb(file)
    assert set(found.series) == {"out", "one"}
    out = found.series["out"]
    assert np.array_equal(out.values, RESULT["out"])
    assert out.labels == RESULT.labels["out"]
    assert out.unit == "mV"
    assert np.max(np.abs(out.time - RESULT.time * 1e-3)) < 1e-15
    assert list(found.spikes) == RESULT.labels["spikes"]
    for (label, times), expected in zip(found.spikes.items(), SPIKES, strict=True):
        assert np.max(np.abs(times - expected * 1e-3), initial=0.0) < 1e-15, label
        assert len(times) == len(expected)
    assert (found.meta["description"], found.meta["start"]) == ("a test", start)
    assert found.meta["run"]["seed"] == 4
    assert found.meta["run"]["dt"] == DT


def test_nwb_files_are_valid_and_read_by_pynwb(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    file = tmp_path / "run.nwb"
    to_nwb(RESULT, file, spikes="spikes")
    assert not pynwb.validate(path=str(file))
    with pynwb.NWBHDF5IO(file, "r") as io:
        nwb = io.read()
        assert abs(nwb.acquisition["out"].rate - 1 / DT) < 1e-9
        assert len(nwb.units) == 3
        assert np.max(np.abs(nwb.units["spike_times"][0] - SPIKES[0])) < 1e-12


def test_uneven_rows_have_timestamps_and_names_may_hold_slashes(tmp_path):
    pytest.importorskip("pynwb")
    time = np.array([0.0, 0.1, 0.5, 0.6])
    data = {"cell/op/v": np.arange(8.0).reshape(4, 2), "fires": np.ones((4, 1), bool)}
    uneven = Result(time, data, {"cell/op/v": ["a", "b"], "fires": ["f"]}, RESULT.final)
    to_nwb(uneven, tmp_path / "run.nwb")
    found = from_nwb(tmp_path / "run.nwb").series
    assert np.array_equal(found["cell/op/v"].time, time)
    assert np.array_equal(found["cell/op/v"].values, data["cell/op/v"])
    assert np.array_equal(found["fires"].values, np.ones((4, 1)))


def test_files_of_others_are_read(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    nwb = pynwb.NWBFile("other", "id", datetime(2020, 1, 1, tzinfo=UTC), notes="no json")
    nwb.add_acquisition(pynwb.TimeSeries(name="volt", data=np.arange(5, dtype="i2"), unit="V", rate=2.0,
                                         starting_time=1.0, conversion=0.5, offset=1.0))  # fmt: skip
    nwb.add_acquisition(pynwb.TimeSeries(name="film", data=np.ones((5, 2, 2)), unit="a", rate=2.0))
    module = nwb.create_processing_module("ecephys", "x")
    module.add(pynwb.TimeSeries(name="lfp", data=np.ones((3, 2)), unit="V", timestamps=[0.0, 1.0, 4.0]))
    nwb.add_unit(spike_times=[0.5, 1.5])
    nwb.add_unit(spike_times=[2.5])
    with pynwb.NWBHDF5IO(tmp_path / "o.nwb", "w") as io:
        io.write(nwb)
    found = from_nwb(tmp_path / "o.nwb")
    assert set(found.series) == {"volt", "ecephys/lfp"}
    assert found.series["volt"].values.ravel().tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert found.series["volt"].time.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert found.series["ecephys/lfp"].time.tolist() == [0.0, 1.0, 4.0]
    assert {k: v.tolist() for k, v in found.spikes.items()} == {"0": [0.5, 1.5], "1": [2.5]}
    assert found.meta["run"] == {}


def batch():
    net = Network(dt=DT)
    net.add_diffeq_node("cell", "v' = -v/tau", variables={"v": "output", "tau": 2.0})
    return simulate(net.program, 1.0, dt=DT, batch={"cell/op/tau": [1.0, 2.0]}, record={"v": "cell/op/v"})


NWB_ERRORS = [
    (lambda p: to_nwb("x", p), OptionError, "expected the result of a run, got str"),
    (lambda p: to_nwb(batch(), p), ShapeError, r"'v' has shape \(2, 10, 1\)"),
    (lambda p: to_nwb(RESULT, p, spikes=["nothing"]), PathError, "unknown recording 'nothing'"),
    (lambda p: to_nwb(RESULT, p, seconds="ms"), TimeError, "got 'ms'"),
    (lambda p: to_nwb(RESULT, p, start=datetime(2020, 1, 1)), OptionError, "with a time zone"),
    (lambda p: to_nwb(RESULT, p, units={"in": "mV"}), PathError, "unknown recording 'in'"),
    (lambda p: to_nwb(RESULT, p.parent / "none" / "x.nwb"), StoreError, "cannot write there"),
    (lambda p: from_nwb(p), StoreError, "no such file"),
]


@pytest.mark.parametrize(("call", "error", "message"), NWB_ERRORS, ids=range(len(NWB_ERRORS)))
def test_bad_calls_with_nwb(call, error, message, tmp_path):
    pytest.importorskip("pynwb")
    with pytest.raises(error, match=message):
        call(tmp_path / "x.nwb")


@pytest.mark.filterwarnings("ignore")
def test_broken_nwb_files_give_store_errors(tmp_path):
    pytest.importorskip("pynwb")
    file = tmp_path / "run.nwb"
    to_nwb(make_result(8), file, spikes="spikes")
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    broken = [b"", b"not HDF5", whole[: len(whole) // 2]]
    for _ in range(60):
        garbled = bytearray(whole)
        for at in rng.integers(0, len(whole), 300):
            garbled[at] = int(rng.integers(256))
        broken.append(bytes(garbled))
    failures = 0
    for data in broken:
        file.write_bytes(data)
        try:
            from_nwb(file)
        except RecurraError as error:
            assert isinstance(error, StoreError)
            failures += 1
    assert failures >= 4
