"""Sub-groups, synapse groups and their ends, grids, receptive fields and partitions."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import (
    Behavior,
    Network,
    NeuronDimension,
    NeuronGroup,
    Recorder,
    SynapseGroup,
    afferent,
    efferent,
    get_squared_dim,
)
from recurra.errors import UnknownTag
from recurra.groups import (
    Box_Receptive_Fields,
    Circle_Receptive_Fields,
    Partition,
    Remove_Autapses,
    get_partitioned_synapse_matrix,
    set_partitioned_synapse_matrix,
)
from recurra.groups.partition import get_sub_synapse_group

MASK = np.array([True, False, True, True, False])
PLACES = np.flatnonzero(MASK)


@pytest.fixture
def cells():
    group = NeuronGroup(Network(seed=2), 5, tag="cells")
    group.v = np.arange(5.0)
    group.m = np.arange(15.0).reshape(5, 3)
    group.buffer = np.arange(10.0).reshape(2, 5)
    group.flag = np.zeros(5, bool)
    group.gain = 3
    return group


# Writing into a sub-group is compared with the same statement on the whole group through the mask.
WRITES = [
    ("item", lambda s: s.v.__setitem__(0, 9), lambda g: g.v.__setitem__(PLACES[0], 9)),
    ("slice", lambda s: s.v.__setitem__(slice(1, 3), 9), lambda g: g.v.__setitem__(PLACES[1:3], 9)),
    ("mask", lambda s: s.v.__setitem__(s.v > 1, 0), lambda g: g.v.__setitem__(MASK & (g.v > 1), 0)),
    ("array", lambda s: setattr(s, "v", [7, 8, 9]), lambda g: g.v.__setitem__(PLACES, [7, 8, 9])),
    ("number", lambda s: setattr(s, "v", 7), lambda g: g.v.__setitem__(PLACES, 7)),
    ("rows", lambda s: setattr(s, "m", 1), lambda g: g.m.__setitem__(PLACES, 1)),
    ("entry", lambda s: s.m.__setitem__((0, 1), -1), lambda g: g.m.__setitem__((PLACES[0], 1), -1)),
    ("columns", lambda s: s.buffer.__setitem__((1, 2), -1), lambda g: g.buffer.__setitem__((1, PLACES[2]), -1)),
    ("fill", lambda s: s.v.fill(4), lambda g: g.v.__setitem__(PLACES, 4)),
    ("out", lambda s: np.add(s.v, 1, out=s.v), lambda g: g.v.__setitem__(PLACES, g.v[PLACES] + 1)),
    ("clip", lambda s: np.clip(s.v, 1, 2, out=s.v), lambda g: g.v.__setitem__(PLACES, np.clip(g.v[PLACES], 1, 2))),
    ("copyto", lambda s: np.copyto(s.v, 5), lambda g: g.v.__setitem__(PLACES, 5)),
    ("at", lambda s: np.add.at(s.v, [0, 0], 1), lambda g: g.v.__setitem__(PLACES[0], g.v[PLACES[0]] + 2)),
    ("sort", lambda s: s.v.sort(), lambda g: g.v.__setitem__(PLACES, np.sort(g.v[PLACES]))),
    ("flag", lambda s: setattr(s, "flag", s.v > 1), lambda g: g.flag.__setitem__(PLACES, g.v[PLACES] > 1)),
]


@pytest.mark.parametrize(("write", "oracle"), [w[1:] for w in WRITES], ids=[w[0] for w in WRITES])
def test_what_is_written_into_a_sub_group_is_written_into_the_group(cells, write, oracle):
    twin = NeuronGroup(Network(), 5)
    for name in ("v", "m", "buffer", "flag"):
        setattr(twin, name, getattr(cells, name).copy())
    before = {name: getattr(cells, name) for name in ("v", "m", "buffer", "flag")}
    write(cells.subGroup(MASK))
    oracle(twin)
    for name, array in before.items():
        assert getattr(cells, name) is array
        assert np.array_equal(array, getattr(twin, name))


def test_operators_in_place(cells):
    sub = cells.subGroup(MASK)
    sub.v += 1
    sub.v *= 2
    sub.v -= sub.v / 2
    sub.v[0] += 10
    sub.v[sub.v > 10] /= 2
    assert cells.v.tolist() == [5.5, 1.0, 3.0, 4.0, 4.0]
    sub.flag |= sub.v > 3
    assert cells.flag.tolist() == [True, False, False, True, False]


def test_what_is_read_from_a_sub_group_is_plain_once_it_is_computed_with(cells):
    sub = cells.subGroup(MASK)
    read, derived = sub.v, sub.v + 1
    assert isinstance(read, np.ndarray) and read.tolist() == [0.0, 2.0, 3.0]
    for plain in (derived, sub.v[0:2], sub.v.copy(), np.concatenate([sub.v, sub.v]), np.where(sub.v > 1, sub.v, 0)):
        assert type(plain) is np.ndarray
        plain[:] = -5
    assert cells.v.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert sub.v.sum() == 5 and np.mean(sub.v) == 5 / 3 and sub.v.max() == 3
    assert sub.m.tolist() == cells.m[MASK].tolist() and sub.buffer.tolist() == cells.buffer[:, MASK].tolist()
    assert sub.gain == 3 and sub.iteration == 0 and sub.network is cells.network


def test_sub_groups_of_sub_groups(cells):
    inner = cells.subGroup(MASK).subGroup([False, True, True])
    inner.v = 0
    assert inner.size == 2 and inner.id.tolist() == [2, 3] and inner.BaseNeuronGroup is cells
    assert cells.v.tolist() == [0.0, 1.0, 0.0, 0.0, 4.0]
    assert inner.vector("ones").shape == (2,) and inner.vector_buffer(3).shape == (3, 2)
    assert cells.subGroup().size == 5


def test_the_mask_of_a_sub_group_is_its_own(cells):
    mask = MASK.copy()
    sub = cells.subGroup(mask)
    mask[:] = False
    assert sub.v.tolist() == [0.0, 2.0, 3.0]


def test_a_behavior_that_works_on_a_sub_group_steps_like_a_loop():
    class Half(Behavior):
        def initialize(self, n):
            n.v = n.vector("ones")
            self.sub = n.subGroup(n.id % 2 == 0)

        def iteration(self, n):
            self.sub.v *= 0.5
            self.sub.v[0] += 1

    net = Network(dtype=np.float64)
    group = NeuronGroup(net, 5, {1: Half(), 2: Recorder("v")})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    v, rows = np.ones(5), []
    for _ in range(3):
        v[::2] *= 0.5
        v[0] += 1
        rows.append(v.copy())
    assert np.array_equal(net["v", 0], rows) and np.array_equal(group.v, v)


# Synapse groups


def test_ends_are_groups_tags_or_sub_groups_and_tags_may_come_later():
    net = Network()
    first = SynapseGroup(net, src="a", dst="b", tag="GLU")
    a, b = NeuronGroup(net, 2, tag="a"), NeuronGroup(net, 3, tag="b")
    second = SynapseGroup(net, a.subGroup([True, False]), "b", tag="GABA,GLU")
    third = SynapseGroup(net, b, b)
    net.initialize()
    assert first.src is a and first.dst is b and first.matrix_dim() == (3, 2) and second.matrix_dim() == (3, 1)
    assert first.tags == ["GLU", "SynapseGroup", "syn", "a_to_b"]
    assert (first.enabled, first.group_weighting, first.recording) == (True, 1, True)
    for mode in (afferent, "afferent", "pre", "dendrite", 0):
        assert b.synapses(mode) == [first, second, third]
        assert b.synapses(mode, "GLU") == [first, second] and a.synapses(mode, "GLU") == []
    for mode in (efferent, "efferent", "post", "axon", 1):
        assert a.synapses(mode) == [first, second] and a.synapses(mode, "GABA") == [second]
    assert b.afferent_synapses["All"] == [first, second, third] and b.afferent_synapses["GABA"] == [second]
    assert a.efferent_synapses["GLU"] == [first, second] and a.afferent_synapses["GLU"] == []
    with pytest.raises(UnknownTag, match=r"unknown tag of synapses 'GLUT'\. Did you mean 'GLU'"):
        b.afferent_synapses["GLUT"]


def test_a_group_made_after_the_last_synapse_group_has_the_tags_too():
    net = Network()
    a = NeuronGroup(net, 2)
    SynapseGroup(net, a, a, "GLU")
    late = NeuronGroup(net, 2)
    assert late.synapses(afferent, "GLU") == late.afferent_synapses["GLU"] == []


def test_require_synapses_declares_a_tag():
    net = Network()
    cells = NeuronGroup(net, 2)
    cells.require_synapses("GABA")
    assert cells.synapses(afferent, "GABA") == cells.efferent_synapses["GABA"] == []


# Grids


def test_grid():
    group = NeuronGroup(Network(), NeuronDimension(width=3, height=2, depth=2))
    i = np.arange(12)
    assert (group.size, group.width, group.height, group.depth) == (12, 3, 2, 2)
    assert np.array_equal(group.id, i) and isinstance(group.shape, NeuronDimension)
    assert np.array_equal(group.x, i % 3 - 1.0)
    assert np.array_equal(group.y, i // 3 % 2 - 0.5)
    assert np.array_equal(group.z, i // 6 - 0.5)
    assert group.x.dtype == np.float64
    corner = NeuronGroup(Network(), NeuronDimension(3, 2, centered=False))
    assert corner.x.tolist() == [0.0, 1.0, 2.0] * 2 and corner.y.tolist() == [0.0] * 3 + [1.0] * 3


@pytest.mark.parametrize(("n", "depth", "sides"), [
    (100, 1, (10, 10, 1)), (97, 1, (1, 97, 1)), (12, 1, (3, 4, 1)), (24, 2, (3, 4, 2)), (1, 1, (1, 1, 1)),
])  # fmt: skip
def test_get_squared_dim(n, depth, sides):
    group = NeuronGroup(Network(), get_squared_dim(n, depth))
    assert (group.width, group.height, group.depth) == sides and group.size == n


def test_a_grid_is_split_into_boxes():
    group = NeuronGroup(Network(), NeuronDimension(5, 4))
    masks = group.partition_masks([2, 2, 1])
    box = 2 * (group.x >= 0) + (group.y >= 0)
    assert [np.flatnonzero(m).tolist() for m in masks] == [np.flatnonzero(box == b).tolist() for b in range(4)]
    assert [part.size for part in group.split_grid_into_sub_group_blocks([1, 4, 1])] == [5, 5, 5, 5]
    assert np.all(np.sum(group.partition_masks([50, 50, 50]), axis=0) == 1)


def test_grids_are_moved_scaled_turned_and_shaken():
    group = NeuronGroup(Network(dtype=np.float64, seed=1), NeuronDimension(3, 3))
    grid, x, y = group.shape, group.x.copy(), group.y.copy()
    grid.rotate("z", np.pi / 2)
    assert np.max(np.abs(group.x + y)) < 1e-15 and np.max(np.abs(group.y - x)) < 1e-15
    grid.rotate("z", 0.3).rotate("x", 0.2).rotate("y", 0.1)
    radius = np.sqrt(group.x**2 + group.y**2 + group.z**2)
    assert np.max(np.abs(radius - np.sqrt(x**2 + y**2))) < 1e-14
    grid.set_positions(x, y, 0)
    grid.move(1, 2, 3).scale(2, 1, 1)
    assert np.array_equal(group.x, 2 * (x + 1)) and np.array_equal(group.y, y + 2)
    assert np.array_equal(group.z, np.full(9, 3.0))
    inside = (group.x >= 2) & (group.x <= 4) & (group.y <= 2)
    assert np.array_equal(grid.get_area_mask(xmin=2, xmax=4, ymax=2), inside) and 0 < inside.sum() < 9
    before = group.x.copy()
    grid.noise(x=0.5)
    moved = group.x - before
    assert np.all(np.abs(moved) <= 0.25) and len(np.unique(moved)) == 9 and np.array_equal(group.y, y + 2)
    wide = NeuronGroup(Network(dtype=np.float64), NeuronDimension(5, 2))
    wide.shape.stretch_to_equal_size(group)
    assert abs(np.ptp(wide.x) - np.ptp(group.x)) < 1e-14


# Receptive fields


def oracle(dst, src, rule):
    return np.array([[rule(abs(a - c), abs(b - d)) for c, d in zip(src.x, src.y, strict=True)]
                     for a, b in zip(dst.x, dst.y, strict=True)])  # fmt: skip


FIELDS = [
    (Box_Receptive_Fields(1), lambda dx, dy: max(dx, dy) <= 1),
    (Box_Receptive_Fields(range=[2, 0, 0]), lambda dx, dy: dx <= 2 and dy <= 0),
    (Circle_Receptive_Fields(1.5), lambda dx, dy: dx**2 + dy**2 <= 1.5**2),
    (Circle_Receptive_Fields(radius=1), lambda dx, dy: dx**2 + dy**2 <= 1),
    (Circle_Receptive_Fields(0), lambda dx, dy: dx == dy == 0),
    (Box_Receptive_Fields(1, remove_autapses=True), lambda dx, dy: 0 < max(dx, dy) <= 1),
]


@pytest.mark.parametrize("order", ["DxS", "SxD"])
@pytest.mark.parametrize("how", ["constructor", "later"])
@pytest.mark.parametrize(("field", "rule"), FIELDS, ids=[repr(f) for f, _ in FIELDS])
def test_receptive_fields(order, how, field, rule):
    net = Network(settings={"syn_dim": order})
    group = NeuronGroup(net, NeuronDimension(4, 3))
    if how == "constructor":
        synapses = SynapseGroup(net, group, group, behavior={1: field})
    else:
        synapses = SynapseGroup(net, group, group)
        synapses.add_behavior(1, field)
    assert synapses.enabled.shape == synapses.matrix_dim()
    assert np.array_equal(synapses.ignore_transpose_mode(synapses.enabled), oracle(group, group, rule))


@pytest.mark.parametrize("order", ["DxS", "SxD"])
def test_receptive_fields_between_groups_of_different_size_are_not_turned_round(order):
    net = Network(settings={"synapse_mode": order})
    src, dst = NeuronGroup(net, NeuronDimension(5, 3)), NeuronGroup(net, NeuronDimension(2, 2))
    synapses = SynapseGroup(net, src, dst, behavior={1: Box_Receptive_Fields(1), 2: Remove_Autapses()})
    expected = oracle(dst, src, lambda dx, dy: max(dx, dy) <= 1)
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(synapses.ignore_transpose_mode(synapses.enabled), expected)


@pytest.mark.parametrize("order", ["DxS", "SxD"])
def test_autapses_are_removed_in_the_constructor_also_for_sub_groups(order):
    net = Network(settings={"syn_dim": order})
    group = NeuronGroup(net, 4)
    whole = SynapseGroup(net, group, group, behavior={1: Remove_Autapses()})
    assert np.array_equal(whole.enabled, ~np.eye(4, dtype=bool))
    part = SynapseGroup(net, group.subGroup([False, True, True, False]), group, behavior={1: Remove_Autapses()})
    expected = np.ones((4, 2), bool)
    expected[1, 0] = expected[2, 1] = False
    assert np.array_equal(part.ignore_transpose_mode(part.enabled), expected)


# Partitions


class Spread(Behavior):
    """Carry v from the sources to the targets of each synapse group."""

    def initialize(self, n):
        n.v = n.vector("uniform(0, 1)")

    def iteration(self, n):
        new = n.v * 0.5
        old, n.v = n.v, new
        for s in n.synapses(afferent, "GLU"):
            s.dst.v += s.ignore_transpose_mode(s.W).dot(old[s.src.id])


@pytest.mark.parametrize("order", ["DxS", "SxD"])
@pytest.mark.parametrize("split", ["auto", [3, 2, 1], [1, 1, 1], [100, 100, 100]])
@pytest.mark.parametrize("field", [Box_Receptive_Fields, Circle_Receptive_Fields])
def test_a_partition_gives_the_same_as_the_whole(order, split, field):
    def run(*behaviors):
        net = Network(settings={"syn_dim": order}, dtype=np.float64, seed=5)
        group = NeuronGroup(net, NeuronDimension(9, 4), {1: Spread(), 2: Recorder("v")}, "cells")
        synapses = SynapseGroup(net, group, group, "GLU", dict(enumerate(behaviors)))
        set_partitioned_synapse_matrix(group, "GLU", "W", W)
        for s in net.SynapseGroups:
            s.W = s.W * s.enabled
        net.initialize()
        net.simulate_iterations(5, compile=False)
        return net, synapses

    positions = NeuronGroup(Network(), NeuronDimension(9, 4))
    rule = FIELDS[0][1] if field is Box_Receptive_Fields else FIELDS[3][1]
    mask = oracle(positions, positions, rule)
    W = np.random.default_rng(0).uniform(0, 0.1, (36, 36))
    whole, _ = run(field(1))
    split_net, synapses = run(field(1), Partition(split))
    assert np.max(np.abs(whole["v", 0] - split_net["v", 0])) < 1e-14
    blocks = split_net["GLU"]
    assert synapses not in blocks and (len(blocks) > 1) == (split in ("auto", [3, 2, 1], [1, 1, 1]))
    assert np.array_equal(get_partitioned_synapse_matrix(split_net.cells, "GLU", "W"), W * mask)
    entries = sum(s.src.size * s.dst.size for s in blocks)
    assert entries < 36**2 or split == [100, 100, 100]
    assert split_net.NeuronGroups == [split_net.cells]


def test_a_part_of_a_synapse_group_has_its_share_of_the_matrices():
    net = Network()
    a, b = NeuronGroup(net, 3), NeuronGroup(net, 2)
    synapses = SynapseGroup(net, a, b, "GLU")
    synapses.W = np.arange(6.0).reshape(2, 3)
    part = get_sub_synapse_group(synapses, [True, False, True], [False, True])
    assert part.W.tolist() == [[3.0, 5.0]] and part.enabled is True and part.matrix_dim() == (1, 2)
    b.x = np.zeros(2)
    part.dst.x += part.W.dot([1, -1]) + 3
    assert b.x.tolist() == [0.0, 1.0]
