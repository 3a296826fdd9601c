"""Random behaviors do the same compiled and in NumPy, or fall back and say so; `grammar_run.py` tries many more."""

from __future__ import annotations

import pytest

from behavior_grammar import Writer
from grammar_run import difference, kind_of
from recurra.groups.agreement import Sampled


@pytest.mark.parametrize("seed", range(4))
def test_random_behaviors_do_as_in_numpy(seed):
    wrong, _, text = difference(Writer(seed, bodies=3))
    assert not wrong, f"{wrong}\n{text}"


def test_comparing_later_steps_is_not_noticed(monkeypatch):
    monkeypatch.setattr(Sampled, "is_due", lambda self: True)
    monkeypatch.setattr(Sampled, "room", lambda self: 1)
    wrong, told, text = difference(Writer(8, wild=0.0, bodies=3))
    assert not wrong and kind_of(told) == "compiled", f"{wrong}\n{told}\n{text}"
