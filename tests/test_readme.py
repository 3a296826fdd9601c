"""The code and the commands in the README work as they are written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib

import code_blocks

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recurra.cli import main

PAGE = Path(__file__).parent.parent / "README.md"
README = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.removeprefix("recurra ")
    for _, text in BLOCKS
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("recurra ")
]


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_python_blocks_print_what_they_say_and_the_first_gives_the_golden_rows(tmp_path):
    printed, names = code_blocks.run(PAGE, tmp_path, tmp_path)
    plt.close("all")
    assert printed == [code_blocks.expected(block) for block in code_blocks.blocks(PAGE)]
    with np.load(Path(__file__).parent / "golden" / "seed_wilsoncowan_euler_float64.npz") as golden:
        np.testing.assert_allclose(names["results"].index, golden["time"], atol=1e-9)
        for key in ("E", "I"):
            np.testing.assert_allclose(names["results"][key], golden[key], rtol=0, atol=1e-12)
    assert names["sets"].shape[0] == names["grid"].shape[1] == 100
    assert np.isfinite(names["grid"].to_numpy()).all()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c.split()[:2]))
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0
    out = capsys.readouterr()
    assert out.out and "error" not in out.err


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
