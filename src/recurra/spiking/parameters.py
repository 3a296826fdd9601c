"""The numbers of a spiking unit, and of light that is shone on some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from recurra.errors import OptionError, unknown

UNITS = ("lif", "qif")


@dataclass(frozen=True)
class SpikingParameters:
    """Hold the numbers of a leaky or a quadratic integrate-and-fire unit, in ms and mV.

    The defaults are those of Kim, Li & Sejnowski (2019, table S1 and their code).

    Arguments:
        unit: `"lif"`: tm v' = -v + I + bias, or `"qif"`: tm v' = v^2 + I + bias.
        dt: step.
        tm: time constant of the membrane.
        tref: refractory time, in which v follows nothing but its noise.
        reset: what v is set to after a spike.
        threshold: what v must reach to spike.
        peak: highest v at the start, and what v is recorded as at a spike.
        bias: constant input.
        rise: rise time of synapses; 0 for a single exponential.
        noise: standard deviation of what is added to v in each step, whatever dt is.

    Raises:
        OptionError: the unit is unknown, or a number is out of range.

    >>> standard = SpikingParameters()
    >>> standard.threshold - standard.reset, round(standard.tref / standard.dt)  # mV, and steps
    (25.0, 40)
    >>> SpikingParameters(reset=-30.0)
    Traceback (most recent call last):
        ...
    recurra.errors.OptionError: expected reset < threshold <= peak, got -30, -40 and 30.
    """

    unit: str = "lif"
    dt: float = 0.05
    tm: float = 10.0
    tref: float = 2.0
    reset: float = -65.0
    threshold: float = -40.0
    peak: float = 30.0
    bias: float = -40.0
    rise: float = 2.0
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise OptionError(unknown("unit", self.unit, UNITS))
        for item in fields(self)[1:]:
            value = getattr(self, item.name)
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not np.isfinite(value):
                raise OptionError(f"{item.name} must be a finite number, got {value!r}.")
        for name, positive in (("dt", self.dt > 0), ("tm", self.tm > 0), ("tref", self.tref >= 0),
                               ("rise", self.rise >= 0), ("noise", self.noise >= 0)):  # fmt: skip
            if not positive:
                raise OptionError(f"{name} must not be negative{'' if name in ('tref', 'rise', 'noise') else ' or 0'},"
                                  f" got {getattr(self, name)!r}.")  # fmt: skip
        if self.unit == "lif" and self.dt > self.tm:
            raise OptionError(
                f"dt, {self.dt:g} ms, must not be longer than the membrane time constant tm, {self.tm:g} ms: potentials"
                " would swing from step to step and grow without bound."
            )
        if not self.reset < self.threshold <= self.peak:
            raise OptionError(
                f"expected reset < threshold <= peak, got {self.reset:g}, {self.threshold:g} and {self.peak:g}."
            )


def quadratic(**changes: float) -> SpikingParameters:
    """Return the numbers of quadratic units: threshold 30 mV, no bias (Kim, Li & Sejnowski 2019, table S1).

    Arguments:
        changes: numbers that are to differ.

    Returns:
        The numbers.

    >>> quadratic(tref=5.0).tref
    5.0
    """
    return SpikingParameters(**{"unit": "qif", "threshold": 30.0, "bias": 0.0, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stimulation:
    """Shine light on some units: v is pushed in about half of the steps of a window, in all of them at once.

    Arguments:
        mode: `"exc"` pushes up, `"inh"` down.
        start, stop: the window, in ms.
        units: numbers of the units.
        amplitude: of each push, in mV.
        probability: of a push in each step.

    Raises:
        OptionError: the mode is unknown, or a number is out of range.

    >>> Stimulation("inh", 100.0, 200.0, units=[0, 2], amplitude=0.3).push(4).tolist()
    [-0.3, 0.0, -0.3, 0.0]
    >>> from recurra.rate.model import FR_RNN_dale
    >>> from recurra.spiking import convert
    >>> net = FR_RNN_dale(20, 0.2, 0.5, np.ones((20, 1)), 0, "gaus", 1.5, True, np.ones((1, 20)), seed=1)
    >>> light = Stimulation("inh", 100.0, 200.0, units=range(20), probability=1.0)
    >>> spikes = convert(net, 40.0).simulate(np.zeros((1, 60)), stimulation=light)["spikes"]  # 300 ms, a row each 0.05
    >>> [bool(part.any()) for part in np.split(spikes, 3)]  # before, during and after the light
    [True, False, True]
    """

    mode: str
    start: float
    stop: float
    units: Sequence[int]
    amplitude: float = 0.5
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.mode not in ("exc", "inh"):
            raise OptionError(unknown("mode", self.mode, ("exc", "inh")))
        if not 0 <= self.start < self.stop:
            raise OptionError(f"stimulation: expected 0 <= start < stop in ms, got {self.start!r} and {self.stop!r}.")
        if not 0 <= self.probability <= 1 or not self.amplitude >= 0:
            raise OptionError(
                "stimulation: expected a probability from 0 to 1 and an amplitude >= 0, got"
                f" {self.probability!r} and {self.amplitude!r}."
            )

    def push(self, size: int) -> np.ndarray:
        """Return what is added to each unit by a push, `(size,)`.

        Raises:
            OptionError: a unit does not exist.
        """
        units = np.asarray(self.units, int)
        if units.size == 0 or units.min() < 0 or units.max() >= size:
            raise OptionError(f"stimulation: units must be numbers from 0 to {size - 1}, got {list(self.units)[:5]}.")
        found = np.zeros(size)
        found[units] = self.amplitude if self.mode == "exc" else -self.amplitude
        return found
