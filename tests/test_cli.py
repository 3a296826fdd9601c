"""The command line: what it prints and writes, its exit codes, and one clear line for everything that is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recurra
from recurra.cli import main

WC = "model_templates.neural_mass_models.wilsoncowan.WC"
VDP = "model_templates.oscillators.vanderpol.vdp"
SOURCE = str(Path(recurra.__file__).parent.parent)

MODELS = """
decay_op:
  base: OperatorTemplate
  equations: "x' = k*x + u"
  variables: {x: output(1.0), k: -1.0, u: input(0.0)}
noise_op:
  base: OperatorTemplate
  equations: "x' = -x + xi"
  variables: {x: output(0.0)}
decay: {base: NodeTemplate, operators: decay_op}
noisy: {base: NodeTemplate, operators: noise_op}
growth_op:
  base: decay_op
  equations: "x' = k*x^2 + u"
  variables: {k: 1.0}
growth: {base: NodeTemplate, operators: growth_op}
pair:
  base: CircuitTemplate
  nodes: {a: decay, b: decay}
  edges: [[a/decay_op/x, b/decay_op/u, null, {weight: 0.5}]]
broken_op:
  base: OperatorTemplate
  equations: "x' = k*x + * u"
  variables: {x: output(1.0), k: -1.0, u: input(0.0)}
broken: {base: NodeTemplate, operators: broken_op}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.yaml").write_text(MODELS)
    return tmp_path


def started(*words, **options):
    """Start the command line as a process of its own."""
    environment = os.environ | {"PYTHONPATH": SOURCE}
    return subprocess.Popen(
        [sys.executable, "-m", "recurra", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recurra {recurra.__version__}\n"


def test_help_of_every_command(capsys):
    for words in ([], ["templates"], ["describe"], ["explain"], ["run"], ["sweep"]):
        assert main([*words, "--help"]) == 0
        assert "usage: recurra" in capsys.readouterr().out


def test_templates_lists_every_template_of_the_library(capsys):
    assert main(["templates"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    listed = {words[0]: words[1] for words in lines}
    assert listed[WC] == "circuit"
    assert listed[VDP] == "circuit"
    assert listed["model_templates.base_templates.li_op"] == "operator"
    assert listed["model_templates.base_templates.li_node"] == "node"
    assert len(listed) == len(lines) > 50
    assert all(len(words) > 2 for words in lines), "every template has a description"
    for path in list(listed)[::20]:
        assert main(["describe", path]) == 0


def test_templates_search_looks_at_paths_and_descriptions(capsys):
    assert main(["templates", "--search", "STUART"]) == 0
    assert all("stuart" in line.lower() for line in capsys.readouterr().out.splitlines())


def test_describe_and_explain_name_the_variables(capsys):
    assert main(["describe", WC]) == 0
    assert "r_ext" in capsys.readouterr().out
    assert main(["explain", WC, "--dt", "0.1"]) == 0
    assert "rate_op" in capsys.readouterr().out


def test_run_of_the_published_example_gives_the_golden_rows(capsys):
    words = ["--duration", "125", "--dt", "5e-4", "--sampling", "0.01", "--solver", "euler"]
    words += ["--input", "e/se_op/r_ext=step:25:100:1", "--record", "E=e/rate_op/r", "I=i/rate_op/r"]
    assert main(["run", WC, *words, "--plot", "wc.png", "--save", "wc.csv"]) == 0
    out = capsys.readouterr().out
    assert "12500 rows from 0 to 124.99" in out
    frame = pd.read_csv("wc.csv", index_col=0)
    with np.load(Path(__file__).parent / "golden" / "seed_wilsoncowan_euler_float64.npz") as golden:
        for name in ("E", "I"):
            np.testing.assert_allclose(frame[name], golden[name], rtol=0, atol=1e-12)
    assert Path("wc.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in Path().iterdir()) == ["models.yaml", "wc.csv", "wc.png"]


def run_decay(*words, model="./models.yaml/decay"):
    return main(["run", model, "--duration", "2", "--dt", "0.5", "--solver", "euler", *words])


@pytest.mark.parametrize("ending", ["npz", "csv", "nc"])
def test_save_in_each_format(ending):
    if ending == "nc":
        pytest.importorskip("h5netcdf")
        pytest.importorskip("h5py")
    assert run_decay("--record", "y=node/decay_op/x", "--save", f"out.{ending}") == 0
    if ending == "npz":
        with np.load("out.npz") as found:
            values = found["data:y"].ravel()
    elif ending == "csv":
        values = pd.read_csv("out.csv", index_col=0)["y"].to_numpy()
    else:
        import xarray

        with xarray.open_dataset("out.nc") as found:
            values = found["y"].to_numpy()
    np.testing.assert_allclose(values, [1, 0.5, 0.25, 0.125], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "node/decay_op/k=-2"], [1, 0, 0, 0]),
        (["--set", "node/decay_op/x=4"], [4, 2, 1, 0.5]),
        (["--set", "node/decay_op/x=4", "node/decay_op/k=0"], [4, 4, 4, 4]),
        (["--set", "node/decay_op/x=4", "--set", "node/decay_op/k=0"], [4, 4, 4, 4]),
        (["--input", "node/decay_op/u=constant:1"], [1, 1, 1, 1]),
        (["--every", "2"], [1, 0.25]),
        (["--sampling", "1.0"], [1, 0.25]),
        (["--no-progress", "--seed", "3", "--precision", "float64"], [1, 0.5, 0.25, 0.125]),
    ],
)
def test_options_change_the_run(words, expected):
    assert run_decay(*words, "--record", "x=node/decay_op/x", "--save", "out.csv") == 0
    values = pd.read_csv("out.csv", index_col=0)["x"].to_numpy()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-15)


def test_precision_is_passed_on():
    words = ["--set", "node/decay_op/k=-0.1", "--record", "x=node/decay_op/x", "--save", "out.csv"]
    assert run_decay(*words, "--precision", "float32") == 0
    x = np.float32(1) + np.float32(0.5) * (np.float32(-0.1) * np.float32(1))
    assert np.float32(pd.read_csv("out.csv")["x"][1]) == x


def test_file_as_input():
    np.save("drive.npy", [0.0, 1.0, 0.0, 0.0])
    words = ["--input", "node/decay_op/u=file:drive.npy", "--record", "x=node/decay_op/x"]
    assert run_decay(*words, "--save", "out.csv") == 0
    values = pd.read_csv("out.csv", index_col=0)["x"].to_numpy()
    np.testing.assert_allclose(values, [1, 0.5, 0.75, 0.375], rtol=0, atol=1e-15)


def test_all_states_are_recorded_unless_told_and_summarised(capsys):
    assert run_decay(model="./models.yaml/pair") == 0
    out = capsys.readouterr().out
    assert "a/decay_op/x" in out and "b/decay_op/x" in out and "4 rows from 0 to 1.5" in out


def test_same_seed_gives_the_same_noise():
    for name, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        words = ["--duration", "5", "--dt", "0.1", "--seed", seed, "--save", f"{name}.csv"]
        assert main(["run", "./models.yaml/noisy", *words]) == 0
    assert Path("one.csv").read_bytes() == Path("again.csv").read_bytes()
    assert Path("one.csv").read_bytes() != Path("other.csv").read_bytes()


RUN = ["run", "./models.yaml/decay", "--duration", "2", "--dt", "0.5"]

MISTAKES = [
    ([], "the following arguments are required: COMMAND"),
    (["rum"], "invalid choice: 'rum'"),
    (["run", VDP, "--dt", "1"], "the following arguments are required: --duration"),
    (["run", VDP, "--duration", "ten", "--dt", "1"], "expected a number, got 'ten'"),
    ([*RUN, "--every", "2", "--sampling", "1"], "not allowed with argument"),
    ([*RUN, "--precision", "float16"], "invalid choice: 'float16'"),
    ([*RUN, "--durration", "3"], "unrecognized arguments: --durration"),
    ([*RUN, "--every", "0"], "--every: expected at least 1, got 0"),
    ([*RUN, "--sampling", "0.7"], "0.7 is no multiple of dt = 0.5; near are 0.5 or 1"),
    ([*RUN, "--sampling", "0"], "expected positive times"),
    (["run", "./models.yaml/decay", "--duration", "2", "--dt", "0"], "dt"),
    (["run", "./models.yaml/decay", "--duration", "2.2", "--dt", "0.5"], "2"),
    ([*RUN, "--solver", "eulr"], "unknown solver 'eulr'. Did you mean 'euler'"),
    ([*RUN, "--input", "node/decay_op/u"], "--input: expected PATH=WAVE, got 'node/decay_op/u'"),
    ([*RUN, "--input", "node/decay_op/u=stp:1:2:3"], "node/decay_op/u: unknown waveform 'stp'"),
    ([*RUN, "--input", "node/decay_op/w=constant:1"], "unknown variable 'w'. Known: x, k, u."),
    ([*RUN, "--input", "node/decay_op/u=file:none.csv"], "there is no file 'none.csv'"),
    ([*RUN, "--record", "x=node/decay_op/y"], "unknown variable 'y'. Known: x, k, u."),
    ([*RUN, "--record", "x=node/decay_op/x", "x=node/decay_op/x"], "--record: 'x' is given twice"),
    ([*RUN, "--input", "node/decay_op/u=constant:1", "node/decay_op/u=constant:2"], "'node/decay_op/u' is given twice"),
    ([*RUN, "--set", "node/decay_op/k=1", "node/decay_op/k=2"], "--set: 'node/decay_op/k' is given twice"),
    ([*RUN, "--set", "node/decay_op/k=fast"], "--set node/decay_op/k: expected a number, got 'fast'"),
    ([*RUN, "--set", "node/decay_op/kk=1"], "kk"),
    ([*RUN, "--set", "k"], "--set: expected PATH=VALUE, got 'k'"),
    ([*RUN, "--save", "out.txt"], "--save: 'out.txt' must end in one of .nc, .npz, .csv"),
    ([*RUN, "--plot", "out.csv"], "--plot: 'out.csv' must end in one of .png, .pdf, .svg"),
    ([*RUN, "--save", "none/out.csv"], "there is no folder 'none'; make it first"),
    (["run", "./models.yaml/decay_op", "--duration", "1", "--dt", "1"], "cannot be run by itself"),
    (["run", "./models.yaml/broken", "--duration", "1", "--dt", "1"], "^"),
    (["describe", "./models.yaml/deca"], "decay"),
    (["describe", "./model.yaml/decay"], "Did you mean 'models'"),
    (["describe", WC + "x"], "WC"),
    (["templates", "--search", "wilsoncovan"], "Did you mean 'wilsoncowan'"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES)
def test_mistakes_are_one_line_and_exit_code_two(words, expected, capsys, folder):
    assert main(words) == 2
    out = capsys.readouterr()
    assert out.err.startswith("recurra: error: ")
    assert expected in out.err
    assert "Traceback" not in out.err and out.out == ""
    assert [p.name for p in folder.iterdir()] == ["models.yaml"]


def test_divergence_is_exit_code_one_and_names_the_variable(capsys, folder):
    words = ["--duration", "50", "--dt", "0.5", "--no-progress", "--save", "out.csv"]
    assert main(["run", "./models.yaml/growth", *words]) == 1
    out = capsys.readouterr()
    assert re.match(r"recurra: error: .*node/growth_op/x", out.err)
    assert not (folder / "out.csv").exists()


def test_process_has_the_exit_codes_and_no_traceback():
    process = started("describe", "nothing.at.all")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("recurra: error: ") and "Traceback" not in err


def test_closed_pipe_is_no_error():
    process = started("templates")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_with_130_and_leaves_no_half_file(folder):
    words = ["--duration", "1e6", "--dt", "1e-3", "--every", "1000", "--no-progress"]
    words += ["--save", "out.npz", "--plot", "p.png"]
    # Where the tests run in the background of a shell, Ctrl-C is ignored; the process must not inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = started("run", VDP, *words, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    time.sleep(6)
    assert process.poll() is None, process.stderr.read()
    for _ in range(3):  # one that comes while Python collects garbage is lost
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=10)
            break
        except subprocess.TimeoutExpired:
            pass
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    assert sorted(p.name for p in folder.iterdir()) in (["models.yaml"], ["models.yaml", "out.npz"])
