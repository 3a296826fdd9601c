"""Spikes and large matrices: what is done costs as much as there are spikes, and is what NumPy does."""

from __future__ import annotations

import re

import numpy as np
import pytest

import recurra.engine.run as run_module
from corpus import agree, holdings, one_group, run_in_numpy, same
from recurra import Behavior, afferent

SIZE = 260  # 260 * 260 entries are a large matrix
LARGE = np.where(np.arange(SIZE) % 2 == 0, np.inf, 1.0)


class Spikes(Behavior):
    """A few spikes in every step, and sometimes none."""

    def initialize(self, n):
        n.x = n.vector()
        n.old = n.x > 1
        n.spike = n.x > 1
        for s in n.synapses(afferent):
            s.W = s.matrix("uniform", density=self.parameter("density", 0.9))

    def iteration(self, n):
        n.old = n.spike
        n.spike = n.vector("uniform") < self.parameter("chance", 0.03) * (n.iteration % 3)
        n.x *= 0.9


class Dot(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.x += s.W.dot(s.src.spike)


class Columns(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.x += np.sum(s.W[:, s.src.spike], axis=1)


class Rows(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.x += np.sum(s.W[s.src.spike], axis=0)


class Vector(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            n.x += s.src.spike @ s.W


class Outer(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W += 0.1 * s.dst.spike[:, None] * s.src.old[None, :] * (s.W > 0)
            s.W -= np.outer(s.dst.old, s.src.spike) * 0.05


class Ix(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W[np.ix_(s.dst.spike, s.src.old)] += 0.1
            s.W[np.ix_(s.dst.old, s.src.spike)] *= 0.9
            s.W[np.ix_(s.dst.spike, s.src.spike)] = s.dst.x[s.dst.spike][:, None]


class Clipped(Behavior):
    """Weights as rows of their senders, whose changed part is read again."""

    def iteration(self, n):
        for s in n.synapses(afferent):
            both = np.ix_(s.src.old, s.dst.spike)
            s.W[both] += 0.7
            s.W[both] = np.clip(s.W[both] - n.x[s.dst.spike], 0.0, 1.0)


class Scalars(Behavior):
    """Factors of one row or column, or of neither."""

    def iteration(self, n):
        for s in n.synapses(afferent):
            any_spike = np.any(n.spike, keepdims=True)[:, None]
            s.W += 0.1 * any_spike * n.spike[:, None] * n.x[None, :]
            s.W -= n.old * (0.01 * n.spike[:, None] * np.abs(s.W))
            s.W += 0.1 * n.spike[:, None] * any_spike


class Unbounded(Behavior):
    """A product with what may be infinite is no row by row change: 0 times infinity is not 0."""

    def initialize(self, n):
        n.large = np.full(n.size, np.inf)

    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W += s.dst.spike[:, None] * n.large[None, :]
            s.W[np.isnan(s.W)] = 0.5


class UnboundedConstant(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W += s.dst.spike[:, None] * LARGE[None, :]
            s.W[np.isnan(s.W)] = 0.5


class Branch(Behavior):
    def iteration(self, n):
        for s in n.synapses(afferent):
            total = s.W.dot(n.spike)
            if total.sum() > 300:
                s.W -= 0.1 * n.spike[:, None] * n.old[None, :]
            else:
                s.W += 0.1 * n.old[:, None] * (n.spike[None, :] * 2.0)
            n.x += total + s.W.dot(n.old)


class Wrong(Behavior):
    """Look like the others without being so: the rows of the second factor are not those that spike."""

    def iteration(self, n):
        for s in n.synapses(afferent):
            s.W += 0.1 * (1 - n.spike[:, None]) * n.old[None, :]
            s.W += 0.1 * n.spike[None, :] * (n.x > 0.5)[:, None] - 0.001
            s.W = s.W * (1 + n.old[:, None])
            s.W /= 2.0


def build(*rules: Behavior, density: float = 0.9, chance: float = 0.03):
    spikes = Spikes(density=density, chance=chance)
    return one_group(spikes, *rules, size=SIZE, record=("np.sum(x)",), synapses=1, events="spike")


def line(net, name: str) -> str:
    return next(text for text in net.explain().splitlines() if f"cells/{name}:" in text)


@pytest.mark.parametrize("rule", [Dot, Columns, Rows, Vector])
@pytest.mark.parametrize("density", [0.9, 0.05])
def test_products_with_spikes_are_event_driven(rule, density: float) -> None:
    net = agree(lambda: build(rule(), density=density), 14)
    assert "1 event-driven product" in line(net, rule.__name__)


@pytest.mark.parametrize(
    ("rules", "changes"), [((Outer, Dot), 2), ((Dot, Outer), 2), ((Ix, Columns), 3), ((Branch,), 2)]
)
def test_weights_that_learn_change_row_by_row(rules, changes: int) -> None:
    net = agree(lambda: build(*(rule() for rule in rules)), 14)
    learning = next(rule.__name__ for rule in rules if rule in (Outer, Ix, Branch))
    assert f"{changes} changes of single rows" in line(net, learning)


@pytest.mark.parametrize("chance", [0.004, 0.4], ids=["few", "many"])
@pytest.mark.parametrize("rules", [(Ix, Columns), (Rows, Clipped), (Outer, Scalars)])
def test_weights_change_where_some_rows_and_columns_meet(rules, chance: float) -> None:
    net = agree(lambda: build(*(rule() for rule in rules), chance=chance), 14)
    assert "changes of single rows" in net.explain()


@pytest.mark.parametrize("rules", [(Rows, Clipped), (Ix, Columns), (Dot, Outer)])
def test_no_step_copies_the_weights(rules, monkeypatch) -> None:
    called = []
    real = run_module.run_chunk
    monkeypatch.setattr(run_module, "run_chunk", lambda *args: called.append(args) or real(*args))
    build(*(rule() for rule in rules)).simulate_iterations(6, compile=True)
    text = real.lower(*called[-1]).compile().as_text()
    loop, _ = text.split("\nENTRY ")
    assert f"[{SIZE},{SIZE}]" in loop
    copies = [row.strip() for row in loop.splitlines() if re.search(rf"= \w+\[{SIZE},{SIZE}\]\S* copy\(", row)]
    assert not copies


@pytest.mark.parametrize("rule", [Unbounded, UnboundedConstant, Wrong])
def test_what_is_no_change_of_single_rows_is_done_whole(rule) -> None:
    with np.errstate(invalid="ignore"):
        net = agree(lambda: build(rule()), 14)
    assert "single rows" not in line(net, rule.__name__) or rule is Wrong


@pytest.mark.parametrize(
    "change",
    [
        lambda w, full, empty: w.__setitem__(full, w[full] * 2.0),
        lambda w, full, empty: w.__setitem__(full, 0.0),
        lambda w, full, empty: w.__setitem__(empty, 3.0),
        # As many entries as before, the same numbers, elsewhere.
        lambda w, full, empty: (w.__setitem__(empty, w[full]), w.__setitem__(full, 0.0)),
        lambda w, full, empty: w.__setitem__(slice(None), np.asfortranarray(w[::-1])),
    ],
    ids=["another number", "one less", "one more", "moved", "turned over"],
)
def test_a_sparse_matrix_that_is_changed_between_runs_counts(change) -> None:
    nets = [build(Dot(), density=0.05) for _ in range(2)]
    run_in_numpy(nets[0], 6)
    nets[1].simulate_iterations(6, compile=True)
    for net in nets:
        w = net.SynapseGroups[0].W
        full, empty = (tuple(np.argwhere((w != 0) == filled)[7]) for filled in (True, False))
        change(w, full, empty)
    run_in_numpy(nets[0], 8)
    nets[1].simulate_iterations(8, compile=True)
    same(holdings(nets[1]), holdings(nets[0]), "")
