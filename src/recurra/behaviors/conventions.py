"""What the behaviors of this package agree on: the names of variables, the time step, who uses up an input.

========================  ============================================================================================
variable                  meaning
========================  ============================================================================================
`neurons.v`               membrane potential (mV)
`neurons.I`               input of the present step. Behaviors add to it; the model of the neuron uses it up, that is
                          sets it to 0 when it has read it. What comes behind the model counts in the next step.
`neurons.conductance`     what open channels conduct in the present step. Their current is in `I` already, as it flows
                          at the potential that they found; a model that has marked its group by `takes_conductance`
                          lets it change with the potential within the step, so that nothing leaves the range of the
                          reversal potentials, and uses both up.
`neurons.conductance_v`   the same, times the potential that they found
`neurons.spike`           which neurons fired in the present step (truth values)
`neurons.rate`            activity of neurons without spikes, or the rate of a source (Hz)
`neurons.threshold`       where a neuron fires, if that may change
`neurons.excess`          by how much a neuron was above its threshold in the present step, before the reset
`synapses.W`              weights `W[dst, src]` (the other way round in a network with `syn_dim` SxD)
`synapses.enabled`        which synapses exist: True, or truth values of the shape of W
`synapses.spike`          spikes that arrive now, if the synapses have a delay; otherwise `synapses.src.spike` counts
`synapses.release`        what an arriving spike releases, if that may change (short-term plasticity)
========================  ============================================================================================

Times are in ms and rates in Hz. Step k (the first is 1) begins at `(k - 1) * dt`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurra.errors import OptionError, TimeError, unknown
from recurra.groups import Behavior

# float32 rounds by up to 6e-8 of a value, which is less than a thousandth of changes from this size on.
SLOW = 1e-4
# Of the summed sizes of some weights, what their sum must come to if they are to be normalised.
LEAST = 0.1


def time_step(behavior: Behavior, parent: Any) -> float:
    """Return the step of a behavior, which is that of its network (ms).

    A network that was not given one takes that of its behaviors' `dt`, else 1 ms.

    Raises:
        TimeError: the behavior's parameter `dt` is no number > 0, or not the step of the network.
    """
    own = behavior.parameter("dt", None)
    return parent.network.pace.take(own, f"{type(behavior).__name__} of {parent.tag!r}")


def positive(behavior: Behavior, name: str, value: Any) -> Any:
    """Return a number, or an array of numbers, that must be finite and > 0."""
    return _checked(behavior, name, value, lambda x: x > 0, "> 0")


def not_negative(behavior: Behavior, name: str, value: Any) -> Any:
    """Return a number, or an array of numbers, that must be finite and >= 0."""
    return _checked(behavior, name, value, lambda x: x >= 0, ">= 0")


def _checked(behavior: Behavior, name: str, value: Any, good: Any, words: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array) & good(array)):
        raise OptionError(f"{type(behavior).__name__}: {name} must be a finite number {words}, got {value!r}.")
    return value


def at_most_one(behavior: Behavior, name: str, rate: Any, dt: float) -> Any:
    """Return a rate (Hz), or several, of which a step (ms) holds one spike at most.

    Raises:
        TimeError: it is higher.
    """
    highest = float(np.max(rate, initial=0.0))
    if highest * dt / 1000 > 1 + 1e-6:  # which float32 may add
        raise TimeError(
            f"{type(behavior).__name__}: {name} is {highest:g} Hz, but with steps of {dt:g} ms there are at most"
            f" {1000 / dt:g} spikes in a second; take a dt of {1000 / highest:.3g} ms or less."
        )
    return rate


def one_of(behavior: Behavior, name: str, value: Any, known: Any) -> Any:
    """Return a value that must be among some names."""
    if value not in known:
        raise OptionError(unknown(name, value, known, type(behavior).__name__))
    return value


def whole_number(behavior: Behavior, name: str, value: Any, least: int) -> int:
    """Return a number that must be whole and not too small."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{type(behavior).__name__}: {name} must be a whole number >= {least}, got {value!r}.")
    return int(value)


def steps_of(behavior: Behavior, name: str, duration: Any, dt: float) -> Any:
    """Return how many steps durations (ms) take.

    One number must lie on the grid of time; of an array, which was drawn as a rule, each is rounded.

    Raises:
        TimeError: it is negative or between two steps.
    """
    array = np.asarray(not_negative(behavior, name, duration), dtype=float)
    steps = np.round(array / dt).astype(np.int64)
    if array.ndim == 0 and not math.isclose(float(steps) * dt, float(array), rel_tol=1e-9, abs_tol=1e-12):
        low = math.floor(float(array) / dt)
        raise TimeError(
            f"{type(behavior).__name__}: {name}={float(array):g} ms is no multiple of dt={dt:g} ms;"
            f" the nearest are {low * dt:g} and {(low + 1) * dt:g}."
        )
    return int(steps) if array.ndim == 0 else steps


def decay(behavior: Behavior, name: str, tau: Any, dt: float) -> Any:
    """Return the factor `exp(-dt / tau)` by which something decays in a step: a number, or an array of tau's type.

    Where that is so near to 1 that float32 cannot tell, the array is in double precision; see :func:`keep`.
    """
    factor = np.exp(-dt / np.asarray(positive(behavior, name, tau), dtype=float))
    # A Python number, unlike a NumPy one, leaves the type of the arrays that it multiplies as it is.
    if np.ndim(factor) == 0:
        return float(factor)
    return factor if is_slow(1 - factor) else factor.astype(np.asarray(tau).dtype)


def mean_of_decay(tau: Any, dt: float) -> Any:
    """Return the mean over a step of `exp(-t / tau)`, by which what decays exactly acts on what is constant in a step.

    >>> mean_of_decay(2.0, 2.0) == (1 - np.exp(-1)) * 1.0
    np.True_
    """
    x = dt / np.asarray(tau, dtype=float)
    mean = -np.expm1(-x) / x
    return float(mean) if np.ndim(mean) == 0 else mean.astype(np.asarray(tau).dtype if np.ndim(tau) else float)


def refractory_steps(behavior: Behavior, name: str, duration: Any, dt: float) -> Any:
    """Return how many steps after that of a spike a neuron is held, so that the time counts from spike to release.

    A time of no more than a step holds nothing, as in Brian2: the reset has taken this step.
    """
    steps = np.maximum(np.asarray(steps_of(behavior, name, duration, dt)) - 1, 0)
    return int(steps) if steps.ndim == 0 else steps


def is_slow(change: Any) -> bool:
    """Tell whether something changes in a step by so small a part of itself that float32 would round it badly."""
    sizes = np.abs(np.asarray(change, dtype=float))
    return bool(np.any((sizes > 0) & (sizes < SLOW)))


def keep(obj: Any, change: Any, *names: str) -> None:
    """Keep variables of a group in double precision if they are slow, whatever the network's precision.

    Arguments:
        obj: a group, a sub-group or synapses.
        change: by how much of themselves they change in a step, a number or several.
        names: their names.
    """
    if is_slow(change):
        keep_wide(obj, *names)


def keep_wide(obj: Any, *names: str) -> None:
    """Keep variables of a group, or of the group of a sub-group, in double precision whatever the network's."""
    getattr(obj, "BaseNeuronGroup", obj).keep_wide(*names)


def begin(group: Any, name: str, mode: Any = "zeros()") -> None:
    """Make a variable of a group, unless another behavior has made it before."""
    if name not in vars(getattr(group, "BaseNeuronGroup", group)):
        base = getattr(group, "BaseNeuronGroup", group)
        setattr(base, name, base.array_of(mode))


def values(group: Any, name: str) -> Any:
    """Return a variable of the neurons of a group or a sub-group, to be read only."""
    whole = group.BaseNeuronGroup
    found = getattr(whole, name)
    return found if group is whole else found[group.id]


def add(group: Any, name: str, amount: Any) -> None:
    """Add to a variable of the neurons of a group or a sub-group, in place."""
    whole = group.BaseNeuronGroup
    found = getattr(whole, name)
    if group is whole:
        found += amount
    else:
        found[group.id] += amount


def take_conductance(neurons: Any) -> None:
    """Mark a group: its model sees to what open channels conduct; see :func:`conduct`."""
    neurons.takes_conductance = True


def open_channels(neurons: Any) -> bool:
    """Tell whether anything opens channels of a group."""
    return "conductance" in vars(neurons)


def conduct(group: Any, conductance: Any, reversal: Any) -> None:
    """Let a current `conductance (reversal - v)` flow into the neurons of a group or a sub-group."""
    v = values(group, "v")
    add(group, "I", conductance * (reversal - v))
    if "takes_conductance" in vars(group.BaseNeuronGroup):
        add(group, "conductance", conductance)
        add(group, "conductance_v", conductance * v)


def close_channels(neurons: Any) -> None:
    """Use up what the channels have conducted."""
    neurons.conductance.fill(0)
    neurons.conductance_v.fill(0)


def check_sums(behavior: Behavior, sums: Any, sizes: Any, total: float) -> None:
    """Refuse weights whose sums are almost nothing, or of the other sign than what they are to come to.

    Arguments:
        behavior: what normalises.
        sums, sizes: the sums of the weights, and of their absolute values.
        total: what the sums are to be.

    Raises:
        OptionError: to normalise would blow weights up, or turn them round.
    """
    if np.any(sums * np.sign(total) < LEAST * sizes):
        raise OptionError(
            f"{type(behavior).__name__}: some weights add up to almost nothing, or to the other sign than"
            f" norm_factor={total:g}, and to normalise them would blow them up or turn them round. Draw weights of one"
            " sign (and give scale=-1 for inhibition), or do not normalise them."
        )


def weights(synapses: Any) -> Any:
    """Return the weights as `W[dst, src]`, whatever the network's order: a view that can be written to."""
    return synapses.ignore_transpose_mode(synapses.W)


def arriving(synapses: Any, variable: str = "spike") -> Any:
    """Return which spikes (or which values of another variable) arrive now: `(src,)`."""
    if variable == "spike" and "spike" in vars(synapses):
        return synapses.spike
    return values(synapses.src, variable)


def transmitted(synapses: Any, variable: str = "spike") -> Any:
    """Return by how much the weights are multiplied now: spikes, or what they release: `(src,)`."""
    if variable == "spike" and "release" in vars(synapses):
        return synapses.release
    return arriving(synapses, variable)


def received(synapses: Any, variable: str = "spike") -> Any:
    """Return the weighted sum that each target gets now: `(dst,)`."""
    sent = transmitted(synapses, variable)
    # A sum over the columns of those that fired costs as much as there are spikes.
    return np.sum(weights(synapses)[:, sent], axis=1) if sent.dtype == bool else weights(synapses).dot(sent)
