"""Files of strangers: what is read is right, what is not is refused in one way, with bounds of memory and size."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import file_samples as samples
import fuzz_files as fuzz
from recurra import Result
from recurra.circuits import read_project
from recurra.engine import Snapshot
from recurra.engine.layout import matches
from recurra.errors import EquationError, RecurraError, StoreError, TemplateError, near, unknown
from recurra.files import check_zarr, plain_hdf5, read_array, read_arrays, read_bytes, read_matlab

KIND = "recurra.Snapshot"
META = json.dumps({"kind": KIND, "step": 3, "t0": 0.0, "dt": 0.1})


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Make good files of every kind."""
    folder = tmp_path_factory.mktemp("good")
    samples.make(folder)
    return folder


def member(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def archive(path: Path, members: list[tuple[str, bytes]], packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


# Archives


def test_archives_are_read_as_numpy_reads_them(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "b": np.array([True]),
        "c": np.array(1 + 2j), "u": np.array(["x", "yz"]), "e": np.zeros((0, 3)), "i": np.array(-3, np.int8),
        "big": np.arange(4, dtype=">f8"),
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", meta=np.array(META), **arrays)
    meta, found = read_arrays(tmp_path / "a.npz", KIND)
    assert meta == json.loads(META)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(found[name], array)
        assert found[name].flags.writeable


HEAD = "{'descr': '<f8', 'fortran_order': False, 'shape': %s}"
TEXT = ("meta.npy", member(META))
ARCHIVES = {
    "a member twice": ([TEXT, ("a.npy", member(1.0)), ("a.npy", member(2.0))], "'a.npy' is in it twice"),
    "20,000 members": ([TEXT, *((f"{i}.npy", b"") for i in range(20_000))], "more than 16384 members"),
    "a pickle": ([TEXT, ("a.npy", member(np.array([{}], object)))], "arrays of type object are not read"),
    "records": ([TEXT, ("a.npy", member(np.zeros(2, "i4,f8")))], "arrays of type .* are not read"),
    "dates": ([TEXT, ("a.npy", member(np.zeros(2, "m8[s]")))], "arrays of type timedelta64.* are not read"),
    "other files": ([TEXT, ("../a.txt", b"x")], "'../a.txt' is no array"),
    "too many numbers": ([TEXT, ("a.npy", header(HEAD % "(10**9,)"))], "a.npy"),
    "a huge shape": (
        [TEXT, ("a.npy", header(HEAD % "(9999999999,)"))],
        "a shape of .9999999999,. does not fit the file",
    ),
    "a huge empty shape": ([TEXT, ("a.npy", member(np.zeros((10**9, 0))))], "a shape of .* does not fit the file"),
    "a negative shape": (
        [TEXT, ("a.npy", header(HEAD % "(-1,)"))],
        "does not fit the file",
    ),
    "a huge type": (
        [TEXT, ("a.npy", header("{'descr': '<U9999999', 'fortran_order': False, 'shape': (0,)}"))],
        "are not read",
    ),
    "too few numbers": (
        [TEXT, ("a.npy", header(HEAD % "(3,)", bytes(16)))],
        "24 bytes are expected, the file has 16",
    ),
    "a header of Python 2": ([TEXT, ("a.npy", header(HEAD % "(3L,)"))], "a.npy"),
    "no description": ([("a.npy", member(1.0))], "it has no description"),
    "a description of numbers": ([("meta.npy", member(1.0))], "its description is no text"),
    "nested lists": ([("meta.npy", member("[" * 100_000))], "recursion"),
    "a list": ([("meta.npy", member("[1]"))], "expected a recurra.Snapshot, found something else"),
    "another kind": ([("meta.npy", member('{"kind": "x"}'))], "expected a recurra.Snapshot, found 'x'"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_are_refused(case, tmp_path):
    members, message = ARCHIVES[case]
    path = archive(tmp_path / "a.npz", members)
    with pytest.raises(StoreError, match=message) as caught:
        Snapshot.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_bytes_of_archives_are_checked(tmp_path):
    path = archive(tmp_path / "a.npz", [TEXT, ("a.npy", member(np.arange(100.0)))])
    data = path.read_bytes()
    at = data.index(np.float64(50.0).tobytes())
    for wrong, message in (
        (data[:at] + b"x" + data[at + 1 :], "CRC"),
        (data[:-1], "damaged, or no archive"),
        (data + b"comment", "damaged, or no archive"),
        (data[:-10] + b"\xff\xff\xff\x7f" + data[-6:], "more than 16384 members"),
        (b"", "damaged, or no archive"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(StoreError, match=message):
            read_arrays(path, KIND)
    archive(path, [TEXT, ("a.npy", bytes(10**6))], zipfile.ZIP_DEFLATED)
    with pytest.raises(StoreError, match="compressed"):
        read_arrays(path, KIND)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    path = archive(tmp_path / "a.npz", [(f"{i:04}.npy", member(np.zeros(1000))) for i in range(100)])
    data = bytearray(path.read_bytes())
    end = struct.unpack("<I", data[-6:-2])[0]
    first = bytes(data[end : end + 46 + 8])
    entries = b"".join(first[:46] + f"{i:04}.npy".encode() for i in range(100))
    path.write_bytes(data[: len(data) // 50] + entries + data[-22:-6] + struct.pack("<IH", len(data) // 50, 0))
    with pytest.raises(StoreError, match="members are larger than the file"):
        read_arrays(path, KIND)


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for name, message in (("", "not a file"), ("pipe.npz", "not a file"), ("nothing.npz", "no such file")):
        path = tmp_path / name
        with pytest.raises(StoreError, match=message):
            read_arrays(path, KIND)
        with pytest.raises(StoreError, match=message):
            read_bytes(path, 100)
    (tmp_path / "a").write_bytes(bytes(101))
    with pytest.raises(StoreError, match="larger than"):
        read_bytes(tmp_path / "a", 100)
    with pytest.raises(StoreError, match="no such file"):
        read_bytes("a\0b", 100)
    np.save(tmp_path / "a.npy", np.arange(3))
    assert read_array(tmp_path / "a.npy").tolist() == [0, 1, 2]


# MATLAB


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_are_read_as_scipy_reads_them(packed, tmp_path):
    from scipy.io import loadmat, savemat

    content = {
        "a": np.arange(6.0).reshape(2, 3), "whole": np.arange(3.0), "i": np.array([[-1, 2]], np.int16), "z": 1 - 2j,
        "f": np.float32([[1.5]]), "t": np.array([[True, False]]), "s": "text", "r": np.array(["ab", "cd"]), "u": "ä€",
        "cube": np.arange(24.0).reshape(2, 3, 4), "empty": np.zeros((0, 3)), "other": {"x": 1.0},
        "big": np.ones((60, 60)),
    }  # fmt: skip
    path = tmp_path / "a.mat"
    savemat(path, content, do_compression=packed)
    names = [name for name in content if name != "other"]
    found, known = read_matlab(path, names)
    expected = loadmat(path)
    assert known == list(content)
    assert sorted(found) == sorted(names)
    for name in names:
        assert found[name].shape == expected[name].shape, name
        assert np.array_equal(found[name], expected[name]), name
    assert found["t"].dtype == bool
    with pytest.raises(StoreError, match="'other' is a struct, expected an array"):
        read_matlab(path, ["other"])


def test_the_trained_network_of_the_published_code_is_read_as_scipy_reads_it():
    from scipy.io import loadmat

    names = ("w", "w_in", "w_out", "b_out", "m", "som_m", "inh", "taus", "taus_gaus", "activation")
    found, _ = read_matlab(samples.GOLDEN, names)
    expected = loadmat(samples.GOLDEN)
    assert all(np.array_equal(found[name], expected[name]) for name in names)


def variable(shape: list[int], data: bytes, flags: int = 6, name: bytes = b"w", kind: int = 9) -> bytes:
    def element(code: int, content: bytes) -> bytes:
        return struct.pack("<II", code, len(content)) + content + bytes(-len(content) % 8)

    body = element(6, struct.pack("<II", flags, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return body + element(1, name) + element(kind, data)


def matlab(path: Path, *variables: bytes, packed: bool = False, declared: int = 0) -> Path:
    data = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    for each in variables:
        whole = struct.pack("<II", 14, declared or len(each)) + each
        data += struct.pack("<II", 15, len(zlib.compress(whole))) + zlib.compress(whole) if packed else whole
    path.write_bytes(data)
    return path


MATLAB = {
    "a shape without numbers": ([variable([10**9, 0], b"")], "does not fit the file"),
    "a shape too large": ([variable([100, 100], bytes(80))], "does not have the 10000 numbers"),
    "a negative shape": ([variable([-1, -1], bytes(8))], "does not fit the file"),
    "numbers of no type": ([variable([1, 1], bytes(8), kind=99)], "does not have the 1 numbers"),
    "a sparse matrix": ([variable([1, 1], bytes(8), flags=5)], "is sparse, expected an array"),
    "no known class": ([variable([1, 1], bytes(8), flags=99)], "unknown class 99"),
    "twice": ([variable([1, 1], bytes(8))] * 2, "'w' is in it twice"),
    "a long name": ([variable([1, 1], bytes(8), name=b"w" * 500)], "name of a variable is damaged"),
    "many axes": ([variable([1] * 1000, bytes(8))], "shape of a variable is damaged"),
    "a text of another length": ([variable([1, 9], b"abc", flags=4, kind=16)], "does not have its shape"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", MATLAB)
def test_matlab_files_that_are_refused(case, packed, tmp_path):
    variables, message = MATLAB[case]
    with pytest.raises(StoreError, match=message) as caught:
        read_matlab(matlab(tmp_path / "a.mat", *variables, packed=packed), ["w"])
    assert str(caught.value).startswith(f"{tmp_path}/a.mat: not a readable .mat file (")


def test_matlab_files_of_other_formats_and_bombs_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    for content, message in ((b"", "version 5"), (b"MATLAB 7.3" + bytes(600), "7.3, which"), (bytes(500), "-v6")):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=message):
            read_matlab(path, ["w"])
    bomb = matlab(path, variable([10**4, 10**4], bytes(10**6)), packed=True, declared=8 * 10**8)
    with pytest.raises(StoreError, match="would unpack to 800 MB"):
        read_matlab(bomb, ["w"])
    assert read_matlab(bomb, ["x"]) == ({}, ["w"])  # what is not wanted is not unpacked


# HDF5


def test_a_copy_of_an_hdf5_file_holds_all_that_is_plain(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("group")
        group.attrs["text"], group.attrs["numbers"] = "é", np.arange(3)
        group.attrs["long"] = np.arange(20_000.0)  # more than the header of an object holds
        group["packed"] = np.arange(1000).reshape(10, 100)
        group.create_dataset("chunks", data=np.arange(1000.0), chunks=(10,), compression="gzip", shuffle=True)
        group["texts"] = np.array(["a", "bc"], object)
        group["ragged"] = np.array([np.arange(2), np.arange(3)], object).astype(h5py.vlen_dtype(np.int64))
        group["truth"], group["complex"], group["nothing"] = np.array([True, False]), 1 + 2j, np.zeros((0, 3))
        group["records"] = np.array([(1, 2.5)], [("n", "i4"), ("x", "f8")])
        file["void"] = h5py.Empty("f8")
        file["same"] = group["packed"]
        file["soft"] = h5py.SoftLink("/group/packed")
        file.attrs["points"] = group["packed"].ref
        file["pointers"] = np.array([group.ref, file["same"].ref], h5py.ref_dtype)
        group["packed"].dims[0].attach_scale(group["nothing"])
    with plain_hdf5(path, soft_links=True) as copy:
        assert copy.filename != str(path)
        group = copy["group"]
        assert group.attrs["text"] == "é"
        assert group.attrs["numbers"].tolist() == [0, 1, 2]
        assert np.array_equal(group.attrs["long"], np.arange(20_000.0))
        for name in ("packed", "chunks", "texts", "truth", "complex", "nothing", "records"):
            with h5py.File(path, "r") as file:
                assert np.array_equal(group[name][()], file["group"][name][()]), name
                assert group[name].dtype == file["group"][name].dtype, name
        assert [each.tolist() for each in group["ragged"][()]] == [[0, 1], [0, 1, 2]]
        assert copy["void"].shape is None
        assert copy["same"] == group["packed"]
        assert copy["soft"] == group["packed"]
        assert copy[copy.attrs["points"]] == group["packed"]
        assert [copy[each] for each in copy["pointers"][()]] == [group, group["packed"]]
        assert group["packed"].dims[0][0] == group["nothing"]


def hdf5_offences(tmp_path: Path) -> dict[str, tuple]:
    import h5py

    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(10.0)

    def deep(file):
        for _ in range(70):
            file = file.create_group("g")

    def virtual(file):
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource(other, "secret", (10,))
        file.create_virtual_dataset("bad", layout)

    def kind(file, dtype):
        file.create_dataset("bad", shape=(2,), dtype=dtype)

    return {
        "link": (lambda f: f.__setitem__("bad", h5py.ExternalLink(other, "secret")), "'bad' is a link"),
        "soft link": (lambda f: f.__setitem__("bad", h5py.SoftLink("/time")), "'bad' is a link"),
        "external": (lambda f: f.create_dataset("bad", (9,), "u1", external=[("/etc/passwd", 0, 9)]), "another file"),
        "virtual": (virtual, "in another file"),
        "huge": (lambda f: f.create_dataset("bad", (8 * 10**9,), "f8", chunks=(10**5,)), "more than 64 MB of numbers"),
        "huge in parts": (lambda f: [f.create_dataset(f"x{i}", (10**6,), "f8") for i in range(9)], "more than 64 MB"),
        "circle": (lambda f: f.create_group("bad").__setitem__("up", f), "'up' is in it twice, or in itself"),
        "deep": (deep, "nested deeper than 64"),
        "opaque": (lambda f: kind(f, "V5"), "of type .* which is not read"),
        "regions": (lambda f: kind(f, h5py.regionref_dtype), "which is not read"),
        "a type": (lambda f: f.__setitem__("bad", np.dtype("f8")), "neither a group nor an array"),
    }  # fmt: skip


def test_hdf5_files_that_are_refused(good, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.nc"
    for name, (change, message) in hdf5_offences(tmp_path).items():
        path.write_bytes((good / "netcdf" / "a.nc").read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(StoreError, match=message) as caught:
            Result.load(path)
        assert str(caught.value).startswith(f"{path}: "), name
        assert len(str(caught.value).splitlines()) == 1, name
    path.write_bytes(b"hello")
    with pytest.raises(StoreError, match="does not begin like one"):
        Result.load(path)


def test_a_reader_that_crashes_hangs_or_is_not_there_is_an_error(good, tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    path = good / "netcdf" / "a.nc"
    script = tmp_path / "reader.py"
    monkeypatch.setattr("recurra.files.hdf5.hdf5_copy.__file__", str(script))
    for text, message in (
        ("import os; os.kill(os.getpid(), 11)", "its reader crashes"),
        ("import os; os.kill(os.getpid(), 24)", "keeps the reader busy"),
        ("print('x' * 10000)", "xxx ... xxx"),
    ):
        script.write_text(text)
        with pytest.raises(StoreError, match=message) as caught:
            Result.load(path)
        assert len(str(caught.value)) < 600
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(StoreError, match="second process, which reads HDF5, cannot be started"):
        Result.load(path)
    monkeypatch.setattr("sys.executable", None)
    with pytest.raises(StoreError, match=r"sys\.executable does not name one"):
        Result.load(path)


# Zarr


def test_zarr_stores_of_strangers(good, tmp_path):
    import shutil

    def change(name: str, act) -> Path:
        path = tmp_path / f"{name}.zarr"
        shutil.copytree(good / "sweep_store" / "a.zarr", path)
        act(path)
        return path

    def meta(**changes):
        def act(path):
            file = path / "status" / "zarr.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | changes))

        return act

    def block(content: bytes):
        return lambda path: next((path / "status" / "c").rglob("*")).write_bytes(content)

    frame = b"\x28\xb5\x2f\xfd\xc0\x00" + struct.pack("<Q", 10**12) + bytes(20)
    check_zarr(good / "sweep_store" / "a.zarr", "a sweep")
    check_zarr(good / "run_store" / "a.zarr", "a run")
    for name, act, message in (
        ("link", lambda p: (p / "more").symlink_to("/etc"), "'more' is a link"),
        ("codec", meta(codecs=[{"name": "bytes"}, {"name": "vlen-utf8"}]), "codecs .* are not read"),
        ("grid", meta(chunk_grid={"name": "rectilinear", "configuration": {"chunk_shape": [1]}}), "another way"),
        ("huge", meta(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [10**12]}}), "makes no sense"),
        ("format", meta(zarr_format=2), "another format"),
        ("list", lambda p: (p / "zarr.json").write_text("[]"), "damaged"),
        ("bomb", block(frame), "more than its array has room for"),
        ("long", block(bytes(10**6)), "more than its array has room for"),
        ("pipe", lambda p: os.mkfifo(p / "pipe"), "neither a file nor a folder"),
    ):
        path = change(name, act)
        with pytest.raises(StoreError, match=message) as caught:
            check_zarr(path, "a sweep")
        assert str(caught.value).startswith(str(path)), name


# Texts

N = 200_000
SLOW = {
    "blanks in a declaration": ("'output" + " " * N + "x'", "x' = -x*k"),
    "blanks before a bracket": ("'output" + " " * N + "(1'", "x' = -x*k"),
    "digits": ("'" + "1" * N + "x'", "x' = -x*k"),
    "blanks in d/dt": ("1.0", "d/dt" + " " * N + "?"),
    "a long name": ("1.0", "x' = " + "y" * N),
}


@pytest.mark.parametrize("case", SLOW)
def test_long_texts_of_a_template_are_refused_in_short(case, tmp_path):
    declared, equation = SLOW[case]
    text = f"op: {{base: OperatorTemplate, equations: {equation!r}, variables: {{x: output(1.0), k: {declared}}}}}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(RecurraError) as caught:
        samples.CircuitTemplate.from_yaml(f"{tmp_path}/a.yaml/op")
    assert "a.yaml" in str(caught.value)
    assert len(str(caught.value)) < 2100
    _, report = read_project(tmp_path)  # which mends, with expressions of its own
    assert len(str(report)) < 4000


def test_messages_are_short_whatever_they_tell_of():
    error = EquationError("odd", "x' = " + "y + " * 3000 + "?", (12_005, 12_006), "a.yaml/op")
    lines = str(error).splitlines()
    assert len(str(error)) < 600
    assert lines[1][lines[2].index("^")] == "?"
    assert len(str(TemplateError("x" * 10**6))) < 2100
    assert len(unknown("name", "x" * 10**6, ["y" * 10**6] * 2)) < 400
    assert near("x" * 10**6, ["x" * 10**6]) == []


def test_paths_with_wildcards_match_as_the_expression_says():
    names = ["a", "b", "all"]
    patterns = ["/".join(p) for n in (1, 2, 3) for p in itertools.product(names, repeat=n)]
    paths = ["/".join(p) for n in (1, 2, 3, 4) for p in itertools.product("ab", repeat=n)]
    for pattern in patterns:
        expression = re.compile("/".join(".+" if part == "all" else part for part in pattern.split("/")))
        assert [matches(pattern, p) for p in paths] == [expression.fullmatch(p) is not None for p in paths], pattern
    deep = "/".join("a" * 60)
    assert not matches("/".join(["all", "a"] * 28 + ["b"]), deep)  # 10^15 ways for an expression


def test_memory_that_a_template_declares_is_bounded(tmp_path):
    names = ", ".join(f"k{i}: 'input(0, 1000000)'" for i in range(12))
    text = f"op: {{base: OperatorTemplate, equations: \"x' = -x\", variables: {{x: output(1.0), {names}}}}}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(TemplateError, match="more than 10000000 numbers in all"):
        samples.CircuitTemplate.from_yaml(f"{tmp_path}/a.yaml/op")


def test_projects_follow_no_links_out_of_them(tmp_path):
    project, outside = tmp_path / "project", tmp_path / "outside"
    for folder in (project, outside):
        folder.mkdir()
        (folder / "a.yaml").write_text(samples.OLD)
    (project / "link.yaml").symlink_to(outside / "a.yaml")
    (project / "inside.yaml").symlink_to(project / "a.yaml")
    (project / "more").symlink_to(outside)
    (project / "round").symlink_to(project)
    templates, report = read_project(project)
    assert sorted(templates) == ["a/op", "inside/op"]
    assert [entry.file for entry in report.failed] == ["link.yaml"]
    assert "a link that leads out of the project" in str(report)


def test_a_project_of_failures_ends(tmp_path):
    (tmp_path / "a.yaml").write_text("".join(f"t{i}: {{base: nowhere/at_all}}\n" for i in range(600)))
    _, report = read_project(tmp_path)
    assert len(report.failed) == 501
    assert report.failed[-1].notes == ("t500 and what follows: not tried after 500 failures",)


# Damaged files of every kind

SHARE = {"netcdf": 4, "nir": 4, "nwb": 3, "run_store": 6, "sweep_store": 6}


@pytest.mark.parametrize("kind", fuzz.COUNTS)
def test_damaged_files_are_read_or_refused(kind, good, tmp_path):
    outcomes = []
    for number in range(SHARE.get(kind, 25)):
        path = fuzz.damaged(kind, 1, number, good, tmp_path / "f")
        outcomes.append(fuzz.judge(kind, path))
    assert [each for each in outcomes if each[0] not in ("read", "refused")] == []


def test_good_files_are_read(good):
    for kind in fuzz.COUNTS:
        for path in samples.files(kind, good):
            assert fuzz.judge(kind, path) == ("read", ""), path
