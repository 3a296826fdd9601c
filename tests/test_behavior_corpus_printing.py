"""What behaviors print comes out of compiled steps too: the same lines, in the same order, once."""

from __future__ import annotations

import contextlib

import numpy as np

from corpus import STEPS, agree, one_group, run_in_numpy
from recurra import Behavior


class Talk(Behavior):
    def initialize(self, n):
        n.v, self.count = n.vector("uniform"), 0

    def iteration(self, n):
        n.v = n.v * 0.9 + n.vector("uniform") * 0.1
        if n.iteration % 5 == 0:
            print(f"step {n.iteration}: mean {n.v.mean():.4f}", n.v[0] > 0.5, sep=" | ")
        if n.v.max() > 0.8:
            self.count += 1
            print("large %d" % self.count, "at {:.3f}".format(n.v.max()), n.v[:2].round(3))  # noqa: UP031, UP032


class Answer(Behavior):
    def iteration(self, n):
        n.v = np.where(n.v > 0.85, 0.0, n.v)
        print("after", n.iteration, str(n.v.argmax()))


def build(size=9):
    return one_group(Talk(), Answer(), size=size)


def test_prints_are_the_same_lines(capsys):
    fast, slow = build(), build()
    fast.simulate_iterations(STEPS, compile=True)
    compiled = capsys.readouterr().out
    run_in_numpy(slow, STEPS)
    assert compiled == capsys.readouterr().out
    assert len(compiled.splitlines()) > STEPS
    agree(build)


def test_branches_that_are_chosen_when_the_model_runs_print_once(capsys):
    """Of more numbers than are selected between: only one side of a branch is computed."""
    fast, slow = build(5000), build(5000)
    fast.simulate_iterations(12, compile=True)
    compiled = capsys.readouterr().out
    run_in_numpy(slow, 12)
    assert compiled == capsys.readouterr().out


class Stop(Behavior):
    def iteration(self, n):
        if n.iteration > 9:
            raise StopIteration("enough")


def test_nothing_is_printed_of_steps_after_an_error(capsys):
    net = one_group(Answer(), Stop())
    net["cells", 0].v = net["cells", 0].vector("uniform")
    with contextlib.suppress(StopIteration):
        net.simulate_iterations(STEPS)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [str(k) for k in range(1, 11)]


def test_programs_that_are_swept_print_nothing(capsys):
    net = build()
    net.simulate_iterations(4)
    capsys.readouterr()
    net.run(steps=3, record_vars=["cells/v"], progress=False)
    assert capsys.readouterr().out == ""
