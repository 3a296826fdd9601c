"""The code and the commands in the README work as they are written."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recurra.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.removeprefix("recurra ")
    for _, text in BLOCKS
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("recurra ")
]


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_python_blocks_run_and_the_first_gives_the_golden_rows(tmp_path, capsys):
    script = tmp_path / "readme.py"
    script.write_text("\n".join([PYTHON[0], "first = results", *PYTHON[1:]]), "utf-8")
    names = runpy.run_path(str(script))
    plt.close("all")
    with np.load(Path(__file__).parent / "golden" / "seed_wilsoncowan_euler_float64.npz") as golden:
        np.testing.assert_allclose(names["first"].index, golden["time"], atol=1e-9)
        for key in ("E", "I"):
            np.testing.assert_allclose(names["first"][key], golden[key], rtol=0, atol=1e-12)
    assert names["sets"].shape[0] == names["results"].shape[1] == 100
    assert np.isfinite(names["results"].to_numpy()).all()
    assert "rate_op" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c.split()[:2]))
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0
    out = capsys.readouterr()
    assert out.out and "error" not in out.err


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
