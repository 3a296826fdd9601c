"""Sources: neurons that fire at random or at given times, and stimuli from images and texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.behaviors.conventions import at_most_one, begin, not_negative, one_of, positive, steps_of, time_step
from recurra.errors import OptionError, ShapeError, TimeError, unknown
from recurra.groups import Behavior


class PoissonSource(Behavior):
    """Fire at random with a rate: independent spikes, of which a step holds one at most.

    A step has a spike with the probability `rate dt`, so the mean rate is `rate`. The rate may be changed while it
    runs, by other behaviors too, as `neurons.rate`. A run in which it comes to be above one spike in each step is
    refused.

    Arguments:
        rate: in Hz, at most one spike in each step; a text such as `"uniform(5, 20)"` gives each neuron its own.
        dt: step (ms).

    Variables: `rate`, `spike`.

    Raises:
        TimeError: a rate is higher than one spike in each step.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork(seed=1)
    >>> source = NeuronGroup(net, 100, behavior={1: PoissonSource(rate=20.0), 2: Recorder("np.sum(spike)")})
    >>> net.initialize()
    >>> net.simulate_iterations(1000)
    >>> bool(abs(net["np.sum(spike)", 0].sum() / 100 - 20) < 1)
    True
    """

    def initialize(self, neurons: Any) -> None:
        """Set the rates."""
        self.dt = time_step(self, neurons)
        rate = not_negative(self, "rate", self.parameter("rate", 10.0, neurons))
        neurons.rate = neurons.vector(at_most_one(self, "rate", rate, self.dt))
        neurons.spike = neurons.vector(bool)
        self.highest = np.float64(0)

    def check_run(self, neurons: Any, end: Any = None) -> None:
        """Refuse rates that nothing can fire, set before the run or by other behaviors in it."""
        if end is None:
            not_negative(self, "rate", neurons.rate)
            end, self.highest = {"highest": np.max(neurons.rate, initial=self.highest)}, np.float64(0)
        highest = float(np.max(end.get("highest", 0.0)))
        at_most_one(self, "rate", not_negative(self, "rate", highest), self.dt)

    def iteration(self, neurons: Any) -> None:
        """Draw who fires."""
        self.highest = np.maximum(self.highest, np.max(neurons.rate))
        neurons.spike = neurons.vector("uniform(0, 1)") < neurons.rate * (self.dt / 1000)


class PoissonInput(Behavior):
    """Add the spikes of many independent Poisson sources of one rate to each neuron, without simulating them.

    Arguments:
        rate: of one source (Hz).
        sources: number of sources of each neuron.
        weight: what one spike adds.
        target: what it is added to: `"v"` (a jump of the potential, by default) or `"I"`.
        dt: step (ms).

    >>> from recurra.behaviors import RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork(dtype=np.float64)
    >>> spikes = PoissonInput(rate=10.0, sources=100, weight=0.5, target="I")
    >>> cells = NeuronGroup(net, 1000, behavior={1: spikes, 2: RateUnits()})
    >>> net.initialize()
    >>> net.simulate_iterations(1)
    >>> bool(0.4 < cells.rate.mean() < 0.6)
    True
    """

    def initialize(self, neurons: Any) -> None:
        """Read how many spikes a step brings on average."""
        dt = time_step(self, neurons)
        rate = not_negative(self, "rate", self.parameter("rate", 10.0, neurons))
        self.mean = rate * not_negative(self, "sources", self.parameter("sources", 1, neurons)) * dt / 1000
        self.weight = self.parameter("weight", 0.1, neurons)
        self.target = self.parameter("target", "v")
        begin(neurons, self.target)

    def iteration(self, neurons: Any) -> None:
        """Add the spikes of the step."""
        value = getattr(neurons, self.target)
        value += self.weight * np.random.poisson(self.mean, neurons.size)  # noqa: NPY002


class SpikeGenerator(Behavior):
    """Fire at given times.

    Arguments:
        times: of the spikes (ms), `(spikes,)`; each falls into the nearest step; time 0 is the first step.
        indices: which neuron fires, `(spikes,)`.
        period: after which time it begins again (ms); never by default.
        dt: step (ms).

    Variables: `spike`.

    Raises:
        ShapeError: not as many indices as times, or no such neuron.
        TimeError: two spikes of a neuron in one step, or a spike behind the end of the period.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, EventRecorder
    >>> net = GroupNetwork()
    >>> source = SpikeGenerator(times=[0, 2, 2], indices=[1, 0, 1])
    >>> cells = NeuronGroup(net, 2, behavior={1: source, 2: EventRecorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(5)
    >>> net["spike", 0].tolist()
    [[1, 1], [3, 0], [3, 1]]
    """

    def initialize(self, neurons: Any) -> None:
        """Sort the spikes into steps."""
        dt = time_step(self, neurons)
        given = self.parameter("times", required=True)
        try:
            times = np.asarray(given, dtype=float).reshape(-1)
        except (TypeError, ValueError):
            raise ShapeError(f"SpikeGenerator: times must be numbers (ms), got {type(given).__name__}.") from None
        indices = np.asarray(self.parameter("indices", required=True)).reshape(-1)
        steps = steps_of(self, "times", times, dt)
        period = self.parameter("period", None)
        self.period = 0 if period is None else steps_of(self, "period", positive(self, "period", period), dt)
        if times.shape != indices.shape:
            raise ShapeError(f"SpikeGenerator: {times.size} times, but {indices.size} indices; each spike has both.")
        wrong = indices.dtype.kind not in "iu" or np.any((indices < 0) | (indices >= neurons.size))
        if indices.size and wrong:
            raise ShapeError(f"SpikeGenerator: indices must be whole numbers from 0 to {neurons.size - 1}.")
        pairs = np.unique(np.stack([steps, indices.astype(np.int64)]), axis=1)
        if pairs.shape[1] < times.size:
            raise TimeError(
                f"SpikeGenerator: a neuron has two spikes within one step of {dt:g} ms; choose a smaller dt."
            )
        if self.period and np.any(steps >= self.period):
            raise TimeError(f"SpikeGenerator: a spike lies behind the end of the period of {period:g} ms.")
        # Sorted by step, and behind them places of no step, so that a step can look at as many as any step has.
        most = int(np.unique(pairs[0], return_counts=True)[1].max(initial=1))
        self.when = np.concatenate([pairs[0], np.full(most, -1)]).astype(np.int64)
        self.who = np.concatenate([pairs[1], np.full(most, neurons.size)]).astype(np.int64)
        self.count, self.places = len(pairs[0]), np.arange(most)
        # One place more than there are neurons takes up those that are not of this step.
        self.fired = np.zeros(neurons.size + 1, dtype=bool)
        neurons.spike = neurons.vector(bool)

    def iteration(self, neurons: Any) -> None:
        """Fire those whose time it is."""
        step = neurons.iteration - 1
        if self.period:
            step = step % self.period
        place = np.searchsorted(self.when[: self.count], step) + self.places
        self.fired.fill(False)
        self.fired[np.where(self.when[place] == step, self.who[place], len(self.fired) - 1)] = True
        neurons.spike = self.fired[:-1].copy()


class ImageStimulus(Behavior):
    """Show images one after another, a pixel to each neuron.

    Arguments:
        images: `(images, neurons)` or `(images, height, width)`.
        duration: how long one is shown (ms).
        pause: time without any behind it (ms).
        gain: what the pixels are multiplied with.
        order: `"sequence"`, `"random"` (each once in a random order, the same again after the last), or indices.
        target: `"I"` (added to the input) or `"rate"` (Hz, set, for a :class:`PoissonSource` with a larger number).
        dt: step (ms).

    Variables: `image` (which one is shown), `shown` (whether one is).

    Raises:
        ShapeError: images have not a pixel for each neuron.
        TimeError: a rate is higher than one spike in each step.
        OptionError: the order is none of these.

    >>> from recurra.behaviors import RateUnits
    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork(dtype=np.float64)
    >>> images = ImageStimulus(images=[[1.0, 0.0], [0.0, 3.0]], duration=2.0)
    >>> cells = NeuronGroup(net, 2, behavior={1: images, 2: RateUnits(), 3: Recorder("rate")})
    >>> net.initialize()
    >>> net.simulate_iterations(4)
    >>> net["rate", 0].tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 3.0]]
    """

    def initialize(self, neurons: Any) -> None:
        """Bring images and order into shape."""
        dt = time_step(self, neurons)
        images = np.asarray(self.parameter("images", required=True))
        if images.ndim < 2 or len(images) == 0 or images[0].size != neurons.size:
            raise ShapeError(
                f"ImageStimulus: images must be (images, {neurons.size}), a pixel for each neuron, got {images.shape}."
            )
        gain = self.parameter("gain", 1.0)
        self.images = (gain * images.reshape(len(images), -1)).astype(neurons.def_dtype)
        self.order = self._read_order(len(images))
        self.on = steps_of(self, "duration", positive(self, "duration", self.parameter("duration", 100.0)), dt)
        self.steps = self.on + steps_of(self, "pause", self.parameter("pause", 0.0), dt)
        self.target = one_of(self, "target", self.parameter("target", "I"), ("I", "rate"))
        if self.target == "rate":
            at_most_one(self, "a pixel times the gain", not_negative(self, "images", self.images), dt)
        begin(neurons, self.target)
        neurons.image, neurons.shown = int(self.order[0]), False

    def _read_order(self, count: int) -> np.ndarray:
        order = self.parameter("order", "sequence")
        if isinstance(order, str):
            one_of(self, "order", order, ("sequence", "random"))
            return np.random.permutation(count) if order == "random" else np.arange(count)  # noqa: NPY002
        found = np.asarray(order)
        whole = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
        if not whole or found.min() < 0 or found.max() >= count:
            raise OptionError(f"ImageStimulus: order must be indices from 0 to {count - 1}, got {order!r}.")
        return found

    def iteration(self, neurons: Any) -> None:
        """Show the image whose time it is."""
        step = neurons.iteration - 1
        neurons.image = self.order[step // self.steps % len(self.order)]
        neurons.shown = step % self.steps < self.on
        pixels = self.images[neurons.image] * neurons.shown
        if self.target == "I":
            neurons.I += pixels
        else:
            neurons.rate = pixels


class TextStimulus(Behavior):
    """Read a text, a character in each step: the units of the character are on (one-hot).

    The neurons are divided among the characters of the alphabet: with n of each, character c has the neurons
    `c n ... c n + n - 1`. Behind the last character of a text the next one begins.

    Arguments:
        texts: a text, or a list of texts.
        order: `"sequence"` or `"random"` (the next text is drawn each time).
        alphabet: the characters; those of the texts, sorted, by default.
        target: `"spike"` (set) or `"I"` (added to the input).
        gain: what is added to the input.

    Variables: `character` (its number in the alphabet). The behavior's `alphabet` is the text of all characters.

    Raises:
        OptionError: a text is empty, or a character is not in the alphabet.
        ShapeError: the number of neurons is no multiple of that of characters.

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork()
    >>> letters = NeuronGroup(net, 3, behavior={1: TextStimulus("abac"), 2: Recorder("character")})
    >>> net.initialize()
    >>> net.simulate_iterations(6)
    >>> net["character", 0].tolist()
    [0, 1, 0, 2, 0, 1]
    """

    positional = ("texts",)

    def initialize(self, neurons: Any) -> None:
        """Turn the texts into numbers."""
        texts = self.parameter("texts", "", required=True)
        texts = [texts] if isinstance(texts, str) else texts
        if (
            not isinstance(texts, list | tuple)
            or not texts
            or not all(isinstance(text, str) and text for text in texts)
        ):
            raise OptionError(
                f"TextStimulus: texts must be a text or a list of texts, none of them empty, got {texts!r}."
            )
        self.alphabet = self.parameter("alphabet", "") or "".join(sorted(set("".join(texts))))
        number = {character: i for i, character in enumerate(self.alphabet)}
        for character in "".join(texts):
            if character not in number:
                raise OptionError(unknown("character", character, self.alphabet, "TextStimulus"))
        if neurons.size % len(number):
            raise ShapeError(
                f"TextStimulus: {neurons.size} neurons cannot be divided among {len(number)} characters;"
                " make the size of the group a multiple of their number."
            )
        self.lengths = np.array([len(text) for text in texts])
        self.codes = np.array([[number[c] for c in text.ljust(max(self.lengths), text[0])] for text in texts])
        self.owner = neurons.id // (neurons.size // len(number))
        self.random = one_of(self, "order", self.parameter("order", "sequence"), ("sequence", "random")) == "random"
        self.target = one_of(self, "target", self.parameter("target", "spike"), ("spike", "I"))
        self.gain = self.parameter("gain", 1.0)
        begin(neurons, self.target, "bool" if self.target == "spike" else "zeros()")
        neurons.character = np.int64(0)
        # Behind the end of the last text, so that the first step begins a text.
        self.text = np.int64(len(texts) - 1)
        self.position = np.int64(self.lengths[-1] - 1)

    def iteration(self, neurons: Any) -> None:
        """Read the next character."""
        self.position = self.position + 1
        ended = self.position >= self.lengths[self.text]
        following = (self.text + 1) % len(self.lengths)
        if self.random:
            following = np.random.randint(len(self.lengths))  # noqa: NPY002
        self.text = np.where(ended, following, self.text)
        self.position = np.where(ended, 0, self.position)
        neurons.character = self.codes[self.text, self.position]
        on = self.owner == neurons.character
        if self.target == "spike":
            neurons.spike = on
        else:
            neurons.I += self.gain * on
