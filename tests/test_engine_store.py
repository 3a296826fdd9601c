"""Programs, snapshots and results in files and as tables; what a program says of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

import networks as nets
from recurra.engine import Edge, Graph, Node, Snapshot, load, lower, simulate
from recurra.errors import OptionError, PathError, StoreError


def edited_program():
    return lower(nets.everything()).update(
        {"all/op0/tau": 1.7, "p/op/x": np.array([0.3, -0.1, 1 / 3]), "n3/op1/m->p/op/r_in/weight": np.ones((3, 1)),
         "n1/q/y->n2/op0/r_in/delay": 0.31, "n0/op0/r_in": 0.7}
    )


def test_a_program_comes_back_bit_for_bit(tmp_path):
    program = edited_program()
    program.save(tmp_path / "program.npz")
    again = load(tmp_path / "program.npz")
    assert again.system == program.system
    for store in ("params", "state", "tables"):
        mine, theirs = getattr(program, store), getattr(again, store)
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert mine[key].dtype == theirs[key].dtype
            assert np.array_equal(mine[key], theirs[key]), key
    a, b = (simulate(p, 1.0, dt=0.1, record=nets.EVERYTHING) for p in (program, again))
    assert nets.largest_difference(a, b) == 0
    again.save(tmp_path / "again.npz")
    assert again.explain() == load(tmp_path / "again.npz").explain() == program.explain()


def test_odd_numbers_come_back(tmp_path):
    op = nets.operator("z' = i*z*W[0, 1] + xi", {"z": np.array([1j, 2.0])},
                       {"i": 1j, "W": np.arange(4.0).reshape(2, 2), "peak": np.inf})
    plain = Node({"op": nets.decay()}, np.int64(2), {"op/tau": np.float32(0.1), "op/x": [1, 2]})
    graph = Graph({"v": Node({"op": op}), "w": plain, "é/ü": plain},
                  (Edge("w/op/x", "é/ü/op/u", [[1, 2], [3, 4]], np.float32(0.3), np.float64(0.1), label="ω"),), "näme")
    program = lower(graph)
    program.save(tmp_path / "p.npz")
    again = load(tmp_path / "p.npz")
    assert again.graph.name == "näme"
    for key, value in {**program.params, **program.state}.items():
        assert np.array_equal({**again.params, **again.state}[key], value)
    assert again.get("v/op/peak") == np.inf


def test_damaged_files_are_errors(tmp_path):
    """Flip bytes all over a file, cut it anywhere: either an error of ours, or the same program."""
    program = lower(nets.single(nets.decay(), 2))
    path = tmp_path / "p.npz"
    program.save(path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    outcomes = {"error": 0, "same": 0}
    for trial in range(300):
        spoilt = bytearray(data)
        if trial < 40:
            spoilt = spoilt[: rng.integers(len(data))]
        else:
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                spoilt[at] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            again = load(path)
        except StoreError:
            outcomes["error"] += 1
        else:  # dates and other things that nobody reads
            assert all(np.array_equal(again.params[k], v) for k, v in program.params.items())
            outcomes["same"] += 1
    assert outcomes["error"] > 200


def doctored(path, change) -> None:
    """Write the file anew with another description, every checksum right."""
    with np.load(path) as archive:
        meta, arrays = json.loads(str(archive["meta"])), {k: archive[k] for k in archive.files if k != "meta"}
    change(meta, arrays)
    with path.open("wb") as file:
        np.savez(file, meta=np.array(json.dumps(meta)), **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, a: m.update(kind="recurra.Snapshot"), "expected a recurra.Program, found 'recurra.Snapshot'"),
        (lambda m, a: m.update(format=99), "format 99 is not known"),
        (lambda m, a: m.pop("graph"), "cannot be rebuilt"),
        (lambda m, a: m.update(graph=[1, 2]), "cannot be rebuilt"),
        (lambda m, a: m["graph"]["nodes"]["n"].update(size=10**12), "no array of the file has as many numbers"),
        (lambda m, a: m["graph"]["nodes"]["n"].update(size=-1), "at least one unit"),
        (lambda m, a: m["graph"]["nodes"]["n"]["operators"]["op"].update(equations=["x' = __import__('os')"]), "os"),
        (lambda m, a: m["graph"]["nodes"]["n"]["operators"]["op"]["variables"]["x"].update(kind="spike"), "spike"),
        (lambda m, a: a.update({"params:n/op/tau": np.ones(3)}), "params do not fit"),
        (lambda m, a: a.update({"params:n/op/tau": np.array(["a", "b"])}), "params do not fit"),
        (lambda m, a: a.pop("state:n/op/x"), "state do not fit"),
        (lambda m, a: a.update({"params:extra": np.ones(3)}), "params do not fit"),
    ],
)
def test_doctored_files_are_errors(tmp_path, change, message):
    path = tmp_path / "p.npz"
    lower(nets.single(nets.decay(), 2)).save(path)
    doctored(path, change)
    with pytest.raises(StoreError) as error:
        load(path)
    assert message in str(error.value)


def test_foreign_files_are_errors(tmp_path):
    path = tmp_path / "p.npz"
    with pytest.raises(StoreError, match="no such file"):
        load(path)
    for content in (b"", b"hello", b"PK\x03\x04" + bytes(100), b"\x93NUMPY" + bytes(50), b"\x80\x04."):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="not an archive of this library"):
            load(path)
    with pytest.raises(StoreError, match="not a file"):
        load(tmp_path)
    np.savez_compressed(path, meta=np.zeros(1000))
    with pytest.raises(StoreError, match="compressed"):
        load(path)
    np.savez(path, meta=np.array([object()], dtype=object))
    with pytest.raises(StoreError, match="not an archive"):
        load(path)
    result = simulate(nets.program(nets.decay()), 1.0, dt=0.1)
    result.final.save(path)
    with pytest.raises(StoreError, match="expected a recurra"):
        load(path)
    doctored(path, lambda meta, arrays: meta.pop("step"))
    with pytest.raises(StoreError, match="not a complete snapshot"):
        Snapshot.load(path)


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    program = nets.program(nets.decay())
    path = tmp_path / "p.npz"
    program.save(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot write there"):
        program.save(tmp_path / "missing" / "p.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(StoreError, match="cannot write there"):
        program.save(tmp_path / "folder.npz")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StoreError, match="No space left"):
        program.save(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.npz", "p.npz"]


@pytest.fixture(scope="module")
def result():
    return simulate(lower(nets.noisy_network()), 0.5, dt=0.05, record={"a": "a/op/v", "all": "p/op/v"})


def test_results_as_tables(result):
    frame = result.to_dataframe()
    assert frame.index.name == "time"
    assert np.array_equal(frame.index, result.time)
    assert list(frame.columns) == [("a", "a/op/v"), *[("all", f"p/op/v[{i}]") for i in range(3)]]
    assert np.array_equal(frame.to_numpy(), result.to_numpy())
    assert np.array_equal(result.to_numpy("all"), result["all"])
    single = simulate(nets.program(nets.decay()), 0.5, dt=0.1, record={"x": "n/op/x"}).to_dataframe()
    assert list(single.columns) == ["x"]
    assert result.keys() == ["a", "all"]
    assert "all" in result
    assert repr(result) == "Result(time 0 to 0.45, 10 rows; a (10, 1), all (10, 3))"
    with pytest.raises(PathError, match="Did you mean 'all'"):
        result["al"]
    batch = simulate(nets.program(nets.decay()), 0.5, dt=0.1, batch={"n/op/tau": [1.0, 2.0]})
    assert batch.to_xarray()["n/op/x"].dims == ("batch", "time")
    with pytest.raises(OptionError, match="an axis more"):
        batch.to_dataframe()


def test_results_carry_their_provenance(result):
    import jax

    import recurra

    assert result.meta == {
        "dt": 0.05, "every": 1, "solver": "euler_maruyama", "precision": "float64", "seed": 0, "network": "noisy",
        "recurra": recurra.__version__, "jax": jax.__version__,
    }


def test_results_as_datasets_and_files(result, tmp_path):
    data = result.to_xarray()
    assert data["a"].dims == ("time",)
    assert data["all"].dims == ("time", "all_unit")
    assert list(data["all_unit"].values) == [f"p/op/v[{i}]" for i in range(3)]
    assert data.attrs["solver"] == "euler_maruyama"
    result.save(tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as archive:
        assert np.array_equal(archive["data:all"], result["all"])
        assert json.loads(str(archive["meta"]))["labels"]["all"][2] == "p/op/v[2]"
    result.save(tmp_path / "r.csv")
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 13
    with pytest.raises(StoreError, match="cannot tell the format"):
        result.save(tmp_path / "r.pkl")


def test_netcdf_round_trip(result, tmp_path):
    pytest.importorskip("h5netcdf")
    pytest.importorskip("h5py")
    import xarray

    result.save(tmp_path / "r.nc")
    with xarray.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as again:
        assert np.array_equal(again["all"].values, result["all"])
        assert np.array_equal(again["time"].values, result.time)
        assert again.attrs["network"] == "noisy"
    unnamed = simulate(lower(nets.noisy_network()), 0.5, dt=0.05)
    unnamed.save(tmp_path / "s.nc")  # paths hold slashes, which netCDF does not take
    with xarray.open_dataset(tmp_path / "s.nc", engine="h5netcdf") as again:
        assert np.array_equal(again["p.op.v"].values, unnamed["p/op/v"])
    z = simulate(nets.program(nets.operator("z' = i*z", {"z": 1.0}, {"i": 1j})), 0.5, dt=0.1)
    with pytest.raises(StoreError, match="complex"):
        z.save(tmp_path / "z.nc")


def test_plot(result):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = result.plot()
    assert len(axes.lines) == 4
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", *[f"p/op/v[{i}]" for i in range(3)]]
    assert axes.get_xlabel() == "time"
    assert np.array_equal(axes.lines[2].get_ydata(), result["all"][:, 1])
    other = plt.figure().add_subplot()
    assert result.plot("a", ax=other) is other
    plt.close("all")


WILSON_COWAN = """Program WC

Groups (nodes with equal equations share arrays):
  e..i: 2 nodes, 2 units

One step, from t to t + dt:
  1. e..i/se/r_in <- W e..i/rate/r
  2. e..i/se/r_ext <- its default
  3. e..i/se/m = sigmoid(s*(r_in + r_ext - theta)) - sigmoid(-s*theta)
  4. e..i/rate/m <- e..i/se/m
  5. record
  6. advance by euler:
       e..i/rate/r' = (-r + (1 - k*r)*m)/tau

Projections (W[post, pre]):
  e..i/rate/r -> e..i/se/r_in: dense, 2 x 2, 4 weights

Precision: float64 unless a run asks for float32
Memory: 160 B of numbers"""

DELAYED_POPULATIONS = """Program (unnamed)

Groups (nodes with equal equations share arrays):
  p: 1 node, 40 units
  q: 1 node, 2 units; on its own: mean() runs over the units of the node

One step, from t to t + dt:
  1. look up the past of p/op/v (before the start: nothing)
  2. look up the past of q/op/x (before the start: its initial value)
  3. draw white noise p/op/xi@v: 1 stream of 40
  4. p/op/u <- W sum q/op/x
  5. q/op/u <- W past p/op/v + W gamma-delayed p/op/v
  6. record
  7. remember p/op/v
  8. remember q/op/x
  9. advance by euler_maruyama:
       p/op/v' = -v/tau + s*xi + u
       q/op/x' = -past(x, d) + mean(x) + u
       gamma chain of 4 stages on p/op/v: delay 0.4

Projections (W[post, pre]):
  q/op/x -> p/op/u: all_to_all, 40 x 2, 1 weight
  p/op/v -> q/op/u: dense, 2 x 40, 80 weights, delay 0.2 to 0.5
  gamma-delayed p/op/v -> q/op/u: dense, 2 x 40, 80 weights

Precision: float64 unless a run asks for float32
Memory: 4.56 kB of numbers, 8.27 kB of rings"""

COMPLEX = """Program (unnamed)

Groups (nodes with equal equations share arrays):
  n: 1 node, 1 unit

One step, from t to t + dt:
  1. record
  2. advance by rk4:
       n/op/z' = (i*w - 0.1)*z

Precision: float64 unless a run asks for float32; complex: n/op/i, n/op/z
Memory: 40 B of numbers"""


def wilson_cowan() -> Graph:
    se = nets.operator("m = sigmoid(s*(r_in + r_ext - theta)) - sigmoid(-s*theta)", {}, {"s": 1.0, "theta": 2.0},
                       {"r_in": 0.0, "r_ext": 0.0}, {"m": 0.0}, "m")
    rate = nets.operator("r' = (-r + (1 - k*r)*m)/tau", {"r": 0.0}, {"k": 1.0, "tau": 10.0}, {"m": 0.0}, output="r")
    nodes = {"e": Node({"rate": rate, "se": se}), "i": Node({"rate": rate, "si": se}, values={"si/theta": 2.5})}
    pairs = [("e", "se", "e", 15.0), ("e", "se", "i", -15.0), ("i", "si", "e", 15.0), ("i", "si", "i", -4.0)]
    edges = tuple(Edge(f"{source}/rate/r", f"{target}/{op}/r_in", w) for target, op, source, w in pairs)
    return Graph(nodes, edges, "WC")


def delayed_populations() -> Graph:
    mean = nets.operator("x' = -past(x, d) + mean(x) + u", {"x": 1.0}, {"d": 0.3}, {"u": 0.0})
    delays = np.linspace(0.2, 0.5, 80).reshape(2, 40)
    return Graph(
        {"p": Node({"op": nets.noisy()}, 40), "q": Node({"op": mean}, 2)},
        (Edge("p/op/v", "q/op/u", np.ones((2, 40)), delay=delays), Edge("q/op/x", "p/op/u", 0.5),
         Edge("p/op/v", "q/op/u", np.ones((2, 40)), delay=0.4, spread=0.2)),
    )


def test_explain_in_full():
    from dataclasses import replace

    assert lower(wilson_cowan()).explain() == WILSON_COWAN
    assert lower(delayed_populations()).explain(dt=0.05) == DELAYED_POPULATIONS
    spin = nets.program(nets.operator("z' = (i*w - 0.1)*z", {"z": 1.0}, {"i": 1j, "w": 10.0}))
    assert replace(spin, solver="rk4").explain() == COMPLEX
    assert "rings for the delays (explain(dt=...)" in lower(delayed_populations()).explain()
