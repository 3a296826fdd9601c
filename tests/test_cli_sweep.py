"""The command that sweeps: its table, its file, its errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recurra import CircuitTemplate, sweep
from recurra.cli import main

VDP = "model_templates.oscillators.vanderpol.vdp"
RUN = ["sweep", VDP, "--duration", "1", "--dt", "0.1"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_table_holds_what_the_library_computes(capsys):
    words = ["--over", "p/vdp_op/mu=0.5:1.5:3", "p/vdp_op/x=1,2", "--record", "x=p/vdp_op/x", "--after", "0.5"]
    assert main([*RUN, *words, "--measure", "mean", "last", "--save", "a.csv", "--store", "a.zarr"]) == 0
    assert capsys.readouterr().out == "6 points, 0 failed\nsaved a.csv\n"
    table = pd.read_csv("a.csv")
    found = sweep(
        CircuitTemplate.from_yaml(VDP), {"p/vdp_op/mu": [0.5, 1.0, 1.5], "p/vdp_op/x": [1.0, 2.0]}, 1.0, dt=0.1,
        record={"x": "p/vdp_op/x"},
    )["x"].values.reshape(6, 10)  # fmt: skip
    assert np.abs(table["x_mean"] - found[:, 5:].mean(axis=1)).max() < 1e-15
    assert np.abs(table["x_last"] - found[:, -1]).max() < 1e-15
    assert table["p/vdp_op/mu"].tolist() == [0.5, 0.5, 1.0, 1.0, 1.5, 1.5]
    # The same command finds everything in the store.
    assert main([*RUN, *words, "--measure", "mean", "last", "--save", "b.csv", "--store", "a.zarr"]) == 0
    assert pd.read_csv("b.csv").equals(table)


def test_random_points_and_failures(capsys):
    words = ["--over", "p/vdp_op/mu=1:1e9", "--mode", "random", "--samples", "4", "--set", "p/vdp_op/x=3"]
    assert main([*RUN, *words, "--save", "a.nc"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("4 points, ") and said[1].startswith("first failure: diverged")
    import xarray

    with xarray.open_dataset("a.nc", engine="h5netcdf") as kept:
        assert kept["p.vdp_op.mu"].shape == (4,) and kept["failed"].values.any()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--save", "a.csv"], "--over"),
        (["--over", "p/vdp_op/mu=1,2", "p/vdp_op/mu=3,4", "--save", "a.csv"], "--over: 'p/vdp_op/mu' is given twice"),
        (["--over", "p/vdp_op/mu", "--save", "a.csv"], "expected PATH=VALUES"),
        (["--over", "p/vdp_op/mu=a", "--save", "a.csv"], "expected LOW:HIGH:COUNT"),
        (["--over", "p/vdp_op/mu=1:2:3:4", "--save", "a.csv"], "expected LOW:HIGH:COUNT"),
        (["--over", "p/vdp_op/mu=1:2:0", "--save", "a.csv"], "expected LOW:HIGH:COUNT"),
        (["--over", "p/vdp_op/mu=1:2:99999999999", "--save", "a.csv"], "expected LOW:HIGH:COUNT"),
        (["--over", "p/vdp_op/nu=1,2", "--save", "a.csv"], "unknown variable 'nu'"),
        (["--over", "p/vdp_op/mu=1,2", "--save", "a.txt"], "must end in one of .csv, .nc"),
        (["--over", "p/vdp_op/mu=1,2"], "--save"),
        (["--over", "p/vdp_op/mu=1,2", "--save", "a.csv", "--after", "1"], "--after"),
        (["--over", "p/vdp_op/mu=1,2", "--save", "a.csv", "--measure", "median"], "invalid choice"),
        (["--over", "p/vdp_op/mu=1:2", "--save", "a.csv", "--mode", "lhs"], "needs samples="),
        (["--over", "p/vdp_op/mu=1,2", "--save", "a.csv", "--store", "no/folder"], "there is no folder"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_two(words, says, capsys):
    code = None
    try:
        code = main([*RUN, *words])
    except SystemExit as left:
        code = left.code
    err = capsys.readouterr().err
    assert code == 2 and says in err and err.count("\n") == 1
