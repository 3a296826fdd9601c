"""Ready sources and stimuli: statistics, given times, images, texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from behavior_runs import one_group, run
from recurra import Behavior, Network, NeuronGroup
from recurra.behaviors import ImageStimulus, PoissonInput, PoissonSource, SpikeGenerator, TextStimulus
from recurra.errors import RecurraError


def test_poisson_source_draws_once_per_neuron_and_step(compile):
    if compile:
        pytest.skip("compiled runs have random numbers of their own")
    rates = np.array([0.0, 5.0, 100.0, 800.0])
    net, _ = one_group(4, {1: PoissonSource(rate=rates, dt=0.5)}, ["spike"], seed=7)
    run(net, 400, compile)
    draws = np.random.RandomState(7).uniform(size=(400, 4))
    assert np.array_equal(net["spike", 0], draws < rates * 0.5e-3)


def test_poisson_source_has_the_statistics_of_independent_spikes(compile):
    steps, rate, dt = 4000, 40.0, 1.0
    net, _ = one_group(50, {1: PoissonSource(rate=rate, dt=dt)}, ["spike"], seed=3)
    run(net, steps, compile)
    spikes, p = net["spike", 0], rate * dt / 1000
    counts = spikes.sum(axis=0)
    deviation = math.sqrt(steps * p * (1 - p))
    assert np.max(np.abs(counts - steps * p)) < 4.5 * deviation
    assert counts.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * 50))
    intervals = np.concatenate([np.diff(np.flatnonzero(column)) for column in spikes.T])
    # Geometric intervals: mean 1 / p, squared coefficient of variation 1 - p.
    assert intervals.mean() == pytest.approx(1 / p, rel=0.05)
    assert intervals.std() / intervals.mean() == pytest.approx(math.sqrt(1 - p), abs=0.05)
    correlation = np.corrcoef(spikes.T.astype(float))[np.triu_indices(50, 1)]
    assert np.max(np.abs(correlation)) < 5 / math.sqrt(steps)
    lagged = np.mean(spikes[1:] & spikes[:-1])
    assert lagged == pytest.approx(p * p, abs=5 * p / math.sqrt(steps * 50))


def test_poisson_source_follows_a_changed_rate(compile):
    net, cells = one_group(100, {1: PoissonSource(rate=0.0)}, ["spike"])
    run(net, 50, compile)
    cells.rate[:50] = 1000.0
    net.simulate_iterations(50, progress=False, compile=compile)
    assert np.array_equal(net["spike", 0], np.outer(np.arange(100) >= 50, np.arange(100) < 50))


class Faster(Behavior):
    def iteration(self, neurons):
        neurons.rate[:] = np.where(neurons.iteration > 30, 5000.0, 10.0)


def test_poisson_source_refuses_what_it_cannot_fire(compile):
    """Steps of 1 ms hold no more than 1,000 spikes in a second."""
    net, cells = one_group(3, {1: PoissonSource(rate=10.0)}, ["spike"])
    run(net, 5, compile)
    for wrong, message in ((5000.0, "5000 Hz, but with steps of 1 ms there are at most 1000"), (-1.0, ">= 0, got")):
        cells.rate[:] = wrong
        with pytest.raises(RecurraError, match=message):
            net.simulate_iterations(5, progress=False, compile=compile)
    cells.rate[:] = 1000.0
    net.simulate_iterations(5, progress=False, compile=compile)
    assert net["spike", 0][5:].all()
    changing, _ = one_group(3, {0: Faster(), 1: PoissonSource(rate=10.0)}, ["spike"])
    run(changing, 20, compile)
    with pytest.raises(RecurraError, match="5000 Hz"):
        changing.simulate_iterations(20, progress=False, compile=compile)


def test_poisson_source_refuses_in_pure_runs_too():
    net = Network(dt=1.0, seed=1)
    NeuronGroup(net=net, size=3, tag="cells", behavior={0: Faster(), 1: PoissonSource(rate=10.0)})
    net.initialize()
    net.simulate_iterations(5)
    net.run(steps=20, record_vars=["cells/rate"])
    with pytest.raises(RecurraError, match="5000 Hz"):
        net.run(steps=40, record_vars=["cells/rate"])


def test_spike_generator_needs_memory_for_its_spikes_only(compile):
    """3,000 spikes in one step and one 50,000 steps later were a table of 150 million places."""
    source = SpikeGenerator(times=np.r_[np.full(3000, 3.0), 50_000.0], indices=np.r_[np.arange(3000), 5])
    net, cells = one_group(3000, {1: source}, ["np.sum(spike)"])
    run(net, 6, compile)
    assert net["np.sum(spike)", 0].ravel().tolist() == [0, 0, 0, 3000, 0, 0]
    assert sum(np.asarray(v).nbytes for v in vars(source).values() if isinstance(v, np.ndarray)) < 200_000
    net.iteration = 49_999
    net.simulate_iterations(3, progress=False, compile=False)
    assert net["np.sum(spike)", 0].ravel()[-3:].tolist() == [0, 1, 0] and not cells.spike.any()


def test_poisson_input_has_mean_and_variance(compile):
    net, cells = one_group(400, {1: PoissonInput(rate=20.0, sources=50, weight=0.2, dt=0.5)}, ["v"], seed=1)
    run(net, 200, compile)
    mean = 20 * 50 * 0.5e-3 * 200  # spikes in all steps
    assert cells.v.mean() == pytest.approx(0.2 * mean, abs=4 * 0.2 * math.sqrt(mean / 400))
    assert cells.v.var() == pytest.approx(0.04 * mean, rel=4 * math.sqrt(2 / 400))
    assert np.max(np.abs(cells.v / 0.2 - np.round(cells.v / 0.2))) < 1e-9


@pytest.mark.parametrize("period", [None, 3.0])
def test_spike_generator_fires_at_the_given_times(period, compile):
    times, indices = [2.1, 0.0, 0.4, 2.1, 1.0], [0, 2, 0, 1, 0]
    net, _ = one_group(3, {1: SpikeGenerator(times=times, indices=indices, period=period, dt=0.5)}, ["spike"])
    run(net, 15, compile)
    expected = np.zeros((15, 3), bool)
    for time, index in zip(times, indices, strict=True):
        step = round(time / 0.5)
        while step < 15:
            expected[step, index] = True
            step += 6 if period else 99
    assert np.array_equal(net["spike", 0], expected)


def test_spike_generator_may_be_empty(compile):
    net, _ = one_group(3, {1: SpikeGenerator(times=[], indices=[])}, ["spike"])
    run(net, 4, compile)
    assert not net["spike", 0].any()


@pytest.mark.parametrize("order", ["sequence", [2, 0], "random"])
def test_images_are_shown_in_turn(order, compile):
    images = np.random.default_rng(0).random((3, 2, 2))
    stimulus = ImageStimulus(images=images, duration=2.0, pause=1.0, gain=5.0, order=order, dt=0.5)
    net, cells = one_group(4, {1: stimulus}, ["I", "image", "shown"], seed=4)
    run(net, 30, compile)
    turn = {"sequence": [0, 1, 2], "random": list(cells.ImageStimulus.order)}.get(str(order), order)
    assert sorted(set(turn)) == sorted(turn) and (order == [2, 0] or len(turn) == 3)
    total = np.zeros(4)
    for k in range(30):
        which, shown = turn[k // 6 % len(turn)], k % 6 < 4
        assert net["image", 0][k] == which and net["shown", 0][k] == shown
        total = total + 5 * images[which].ravel() * shown
        assert np.max(np.abs(net["I", 0][k] - total)) < 1e-12


def test_images_may_drive_a_poisson_source(compile):
    images = np.array([[0.0, 1.0], [1.0, 0.0]])
    net, _ = one_group(
        2, {1: ImageStimulus(images=images, duration=10.0, gain=1000.0, target="rate"), 2: PoissonSource()}, ["spike"]
    )
    run(net, 40, compile)
    assert np.array_equal(net["spike", 0], images[np.arange(40) // 10 % 2] > 0)


def test_text_is_read_character_by_character(compile):
    texts = ["hello", "go"]
    net, cells = one_group(10, {1: TextStimulus(texts)}, ["spike", "character"])
    run(net, 20, compile)
    alphabet = cells.TextStimulus.alphabet
    assert alphabet == "eghlo"
    read = "".join(alphabet[i] for i in net["character", 0])
    assert read == ("hellogo" * 3)[:20]
    for k, character in enumerate(read):
        assert np.array_equal(np.flatnonzero(net["spike", 0][k]) // 2, [alphabet.index(character)] * 2)


def test_random_texts_are_all_read_to_their_end(compile):
    texts = ["abc", "de", "f"]
    net, cells = one_group(6, {1: TextStimulus(texts, order="random", target="I", gain=2.0)}, ["character", "I"])
    run(net, 600, compile)
    read = "".join(cells.TextStimulus.alphabet[i] for i in net["character", 0])
    words = read.replace("abc", "0").replace("de", "1").replace("f", "2").rstrip("abde")
    assert set(words) == {"0", "1", "2"}
    share = [words.count(word) / len(words) for word in "012"]
    assert max(abs(s - 1 / 3) for s in share) < 4 * math.sqrt(2 / 9 / len(words))
    assert np.array_equal(net["I", 0][-1], 2.0 * np.array([read.count(c) for c in "abcdef"]))


def test_numbers_and_brackets_are_characters_too(compile):
    net, cells = one_group(4, {1: TextStimulus("1(0)", alphabet="01()")}, ["character"])
    run(net, 4, compile)
    assert cells.TextStimulus.alphabet == "01()"
    assert net["character", 0].tolist() == [1, 2, 0, 3]
