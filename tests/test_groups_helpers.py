"""Weights by distance, fixed numbers of synapses, recordings with time last, behaviors tried out alone."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronDimension, NeuronGroup, Recorder, SynapseGroup
from recurra.errors import OptionError, PathError, ShapeError, TemplateError
from recurra.groups import behavior_test_environment


def synapses(order: str = "DxS", **options) -> SynapseGroup:
    net = Network(settings={"syn_dim": order, **options})
    src = NeuronGroup(net, NeuronDimension(width=4, height=3), tag="src")
    dst = NeuronGroup(net, NeuronDimension(width=2, height=1), tag="dst")
    return SynapseGroup(net, src=src, dst=dst, tag="GLU")


def expected(group: SynapseGroup, weight) -> np.ndarray:
    made = np.zeros((group.dst.size, group.src.size))
    for i in range(group.dst.size):
        for j in range(group.src.size):
            apart = np.hypot(group.dst.x[i] - group.src.x[j], group.dst.y[i] - group.src.y[j])
            made[i, j] = weight(apart)
        if made[i].max() > 0:
            made[i] /= made[i].max()
    return made


@pytest.mark.parametrize("order", ["DxS", "SxD"])
def test_weights_follow_the_distance(order: str) -> None:
    group = synapses(order)
    cases = [
        (group.get_distance_mat(1.7), lambda d: max(0.0, 1 - d / 1.7)),
        (group.get_ring_mat(1.7, 2.0), lambda d: (d / 1.7) ** 2 if d <= 1.7 else 0.0),
        (group.get_ring_mat(1.7), lambda d: d / 1.7 if d <= 1.7 else 0.0),
    ]
    for found, weight in cases:
        wanted = expected(group, weight)
        assert found.shape == group.matrix_dim() and found.dtype == np.float64 and found.flags.writeable
        assert 0 < np.count_nonzero(wanted) < wanted.size
        assert np.abs(group.ignore_transpose_mode(found) - wanted).max() < 1e-6


def test_targets_out_of_reach_have_no_weights() -> None:
    group = synapses()
    group.src.x += 100
    assert not group.get_distance_mat(1.0).any() and not group.get_ring_mat(1.0).any()


@pytest.mark.parametrize("order", ["DxS", "SxD"])
def test_every_target_has_the_same_number_of_synapses(order: str) -> None:
    group = synapses(order)
    weights = group.ignore_transpose_mode(group.get_random_synapse_mat_fixed(5))
    assert group.get_random_synapse_mat_fixed(5).shape == group.matrix_dim()
    assert np.count_nonzero(weights, axis=1).tolist() == [5, 5]
    assert weights.min() == 0 and 0.5 < weights.max() < 1
    every = np.stack([group.ignore_transpose_mode(group.get_random_synapse_mat_fixed(5)) for _ in range(400)])
    frequency = np.mean(every > 0, axis=0)  # of 400 draws with probability 5/12: standard error 0.025
    assert np.abs(frequency - 5 / 12).max() < 0.11
    again = synapses(order)
    assert np.array_equal(again.ignore_transpose_mode(again.get_random_synapse_mat_fixed(5)), weights)


class Ramp(Behavior):
    def initialize(self, neurons):
        neurons.x = neurons.vec()
        self.step = self.parameter("step", 1.0)

    def iteration(self, neurons):
        neurons.x += self.step * (1 + neurons.id)


def test_recordings_are_given_with_time_last() -> None:
    recorder = Recorder(["x", "np.sum(x)"])
    net = Network()
    cells = NeuronGroup(net, 3, behavior={1: Ramp(), 2: recorder})
    net.initialize()
    net.simulate_iterations(4, compile=False)
    assert recorder.swapped("n.x").tolist() == [[1, 2, 3, 4], [2, 4, 6, 8], [3, 6, 9, 12]]
    assert recorder.swapped("np.sum(x)").tolist() == [6, 12, 18, 24]
    with pytest.raises(PathError, match="Did you mean 'x'"):
        recorder.swapped("xx")
    others = cells.group_without_subGroup(cells.subGroup(cells.id == 1))
    assert others.x.tolist() == [4, 12] and others.vec("ones").tolist() == [1, 1]
    with pytest.raises(TemplateError, match="expected a sub-group of it"):
        cells.group_without_subGroup(NeuronGroup(net, 3).subGroup())


def test_a_behavior_is_tried_out_alone() -> None:
    group = behavior_test_environment(Ramp(step=0.5), size=2, iteration=3)
    assert group.x.tolist() == [1.5, 3.0] and group.iteration == 3
    assert not hasattr(behavior_test_environment(Ramp(), initialize=False), "x")
    assert behavior_test_environment(Ramp(), size=NeuronDimension(width=2, height=2)).x.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.get_distance_mat(0), OptionError, "radius must be a finite number > 0, got 0"),
        (lambda g: g.get_distance_mat("2"), OptionError, "radius must be a finite number > 0, got '2'"),
        (lambda g: g.get_ring_mat(np.inf), OptionError, "radius must be a finite number > 0, got inf"),
        (lambda g: g.get_ring_mat(1.0, -1), OptionError, "inner_exp must be a finite number > 0, got -1"),
        (lambda g: g.get_random_synapse_mat_fixed(13), OptionError, "at most 12, the number of sources, got 13"),
        (lambda g: g.get_random_synapse_mat_fixed(0), ShapeError, "get_random_synapse_mat_fixed: n"),
        (lambda g: behavior_test_environment(Ramp(), 1, False, 2), OptionError, "steps need initialize=True"),
        (lambda g: behavior_test_environment(Ramp(), iteration=-1), ShapeError, "iteration"),
    ],
)
def test_bad_arguments_are_named(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call(synapses())


def test_groups_without_positions_are_named() -> None:
    net = Network()
    cells = NeuronGroup(net, 4, tag="cells")
    with pytest.raises(ShapeError, match="'cells' has no positions"):
        SynapseGroup(net, src=cells, dst=cells).get_distance_mat(1.0)
