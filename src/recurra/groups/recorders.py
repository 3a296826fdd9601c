"""Recorders: behaviors that keep what variables were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recurra.engine import Result, Snapshot
from recurra.errors import OptionError, PathError, ShapeError, unknown
from recurra.groups.behavior import Behavior
from recurra.groups.expressions import Expression, read_expression, standard_name
from recurra.groups.foresight import names_in
from recurra.groups.gate import Gate
from recurra.groups.objects import NetworkObject, check_count
from recurra.groups.recordings import Column, Events, Kept, Recording
from recurra.groups.tags import free_name

if TYPE_CHECKING:
    import xarray


class Watcher(Behavior):
    """Read expressions on the parent and keep something of them; what both recorders share."""

    initialize_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("variables",)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parent: NetworkObject | None = None
        self.kept: dict[str, Any] = {}
        self._read: dict[str, Expression] = {}
        self._max_length: int | None = None

    def initialize(self, neurons: NetworkObject) -> None:
        """Read the variables, check them on the parent, and start anew."""
        if self.parent is not None and self.parent is not neurons:
            raise OptionError(f"{self!r}: it records {self.parent!r} already; make another recorder for {neurons!r}.")
        self.parent = neurons
        variables, where = self.parameter("variables", required=True), self._where()
        if isinstance(variables, str):
            variables = [variables]
        if not isinstance(variables, list | tuple) or not variables:
            raise OptionError(f"{where}: variables must be a text or a list of texts, got {variables!r}.")
        self._max_length = self.parameter("max_length")
        if self._max_length is not None:
            check_count(self._max_length, f"{where}: max_length")
        self.kept, self._read = {}, {}
        for variable in variables:
            self.add_variable(variable)

    def add_variable(self, variable: str) -> None:
        """Record a further variable.

        Raises:
            EquationError: it is no expression.
            PathError: it names something that the parent has not, and that no behavior makes.
        """
        where = self._where()
        expression = read_expression(variable, where)
        self._check_names(expression, where)
        self._read[expression.name] = expression
        self.kept[expression.name] = self._keeper(expression.name, f"{where}, {expression.name!r}")

    def _keeper(self, name: str, where: str) -> Any:
        raise NotImplementedError

    def _gate(self) -> Gate | None:
        return None if self.parent is None else self.parent.network.looking

    def iteration(self, neurons: NetworkObject) -> None:
        """Record the variables, unless the parent's `recording` is off."""
        if not neurons.recording:
            return
        step = neurons.iteration
        for name, keeper in self.kept.items():
            if getattr(keeper, "gapwidth", 1) == 1 or step % keeper.gapwidth == 0:
                keeper.append(self.value(name), step)

    @property
    def names_read(self) -> set[str]:
        """List the names of the attributes that its expressions read."""
        return {name for expression in self._read.values() for name in expression.names}

    def observed(self) -> dict[str, Any]:
        """Return what a step would record, without recording it."""
        recording = self.parent is not None and self.parent.recording
        return {name: self.value(name) for name in self.kept} if recording else {}

    def value(self, name: str) -> Any:
        """Return what a variable is at present.

        Raises:
            PathError: something that it names does not exist.
        """
        expression = self._read[name]
        try:
            return expression.value(self.parent)
        except AttributeError as error:
            missing = error.name or expression.names[0]
            where = f"{self._where()}, {name!r}"
            raise PathError(unknown("variable", missing, self._names(error.obj), where)) from None
        except (TypeError, IndexError, ValueError, ArithmeticError) as error:
            raise ShapeError(f"{self._where()}, {name!r}: it has no value now ({error}).") from None

    def clear(self) -> None:
        """Forget what was recorded."""
        for keeper in self.kept.values():
            keeper.clear()

    clear_recorder = clear
    reset = clear

    def _where(self) -> str:
        return f"{type(self).__name__} {self.tag!r} of {self.parent.tag!r}" if self.parent is not None else self.tag

    def _names(self, obj: Any) -> list[str]:
        own = vars(obj) if hasattr(obj, "__dict__") else {}
        return [name for name in own if not name.startswith("_")]

    def _check_names(self, expression: Expression, where: str) -> None:
        parent = self.parent
        if parent is None:
            raise OptionError(f"{where}: add the recorder to a group, and call initialize() of the network first.")
        # Documents create variables in the first step ("neurons.spike = ..."): what any code mentions may still come.
        missing = [name for name in expression.names if not hasattr(parent, name)]
        if not missing:
            return
        later = names_in(b for b in parent.network.all_behaviors() if not isinstance(b, Watcher))
        for name in missing:
            if name not in later:
                made = sorted(later - set(dir(NetworkObject)) - set(dir(np)) - set(dir(Behavior)))
                known = [*self._names(parent), *(word for word in made if not word.startswith("_"))]
                message = unknown("variable", name, known, f"{where}, {expression.name!r}")
                raise PathError(message + " The object has no such attribute, and no behavior mentions one.")

    def _recordings(self, name: str | None) -> Sequence[Kept]:
        kept = self.__dict__.get("kept", {})
        if name is None:
            return list(kept.values())
        standard = standard_name(name)
        return [kept[standard]] if standard in kept else []


class Recorder(Watcher):
    """Record variables in every step: give it to a group under a number behind what it records.

    Arguments:
        variables: a text or a list of texts: `"voltage"`, `"n.voltage"` (the same), `"np.mean(voltage)"`,
            `"voltage[0:10]"`, `"voltage > 0.5"`; see :func:`recurra.groups.expressions.read_expression`.
        gapwidth: 2 records in the steps 2, 4, 6, ...; 0 and 1 in every step.
        max_length: how many of the last rows are kept; all by default.
        tag, behavior_enabled: as for :class:`Behavior`.

    What it holds is found by `network["voltage", 0]`: `(steps, units)`, one row for each step, read in the step where
    its number says. In the :class:`recurra.engine.Result` of a run, and wherever a program records, the same
    expressions are read before each step: row k is the state at `k*dt`, and row 0 the initial state.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> class Count(Behavior):
    ...     def initialize(self, neurons):
    ...         neurons.x = neurons.vector()
    ...     def iteration(self, neurons):
    ...         neurons.x += 1
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, behavior={1: Count(), 2: Recorder(["x", "np.sum(x)"])})
    >>> net.initialize()
    >>> net.simulate_iterations(3)
    >>> net["n.x", 0].tolist(), net["np.sum(x)", 0].tolist()
    ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], [2.0, 4.0, 6.0])
    """

    def initialize(self, neurons: NetworkObject) -> None:
        """Read the variables, check them on the parent, and start anew."""
        gap = check_count(self.parameter("gapwidth", 0), "Recorder: gapwidth", 0)
        self._gapwidth = max(gap, 1)
        super().initialize(neurons)

    def _keeper(self, name: str, where: str) -> Recording:
        return Recording(name, where, self._gapwidth, self._max_length, self._gate())

    def swapped(self, variable: str) -> np.ndarray:
        """Return what was recorded of a variable with time as the last axis: one row for each unit.

        Arguments:
            variable: as it was given to the recorder.

        Returns:
            `(units, steps)`; `(steps,)` of a variable that is one number.

        Raises:
            PathError: the variable is not recorded.
        """
        found = self._recordings(variable)
        if not found:
            raise PathError(unknown("variable", variable, self.kept, self._where()))
        return np.moveaxis(found[0].data(), 0, -1)

    def observer(self) -> Result:
        """Return what was recorded as a labelled result; time is that of the end of the step, n*dt after step n.

        Raises:
            OptionError: nothing was recorded yet.
        """
        return observe([self])

    def to_xarray(self) -> xarray.Dataset:
        """Return what was recorded as a dataset; `time` is that of the end of the step."""
        return self.observer().to_xarray()


class EventRecorder(Watcher):
    """Record when and where a variable is not 0, such as spikes.

    Arguments:
        variables: as for :class:`Recorder`.
        max_length: how many of the last events are kept; all by default.
        tag, behavior_enabled: as for :class:`Behavior`.

    `network["spike", 0]` gives `(events, 2)` whole numbers, step and unit; `network["spike.t", 0]` and
    `network["spike.i", 0]` the two columns. Of a matrix there is `"spike.j"` too. Steps are counted from 1, so a spike
    of step n has the time `(n - 1) * dt`.

    >>> from recurra.behaviors import SpikeGenerator
    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork()
    >>> spikes = SpikeGenerator(times=[2, 4], indices=[0, 2])
    >>> source = NeuronGroup(net, 3, behavior={1: spikes, 2: EventRecorder("spike")})
    >>> net.initialize()
    >>> net.simulate_iterations(6)
    >>> net["spike", 0].tolist()
    [[3, 0], [5, 2]]
    """

    def _keeper(self, name: str, where: str) -> Events:
        return Events(name, where, self._max_length, self._gate())

    def _recordings(self, name: str | None) -> Sequence[Kept]:
        found = super()._recordings(name)
        if name is None:
            return [*found, *(Column(events, letter) for events in self.kept.values() for letter in "ti")]
        stem, _, letter = name.strip().rpartition(".")
        events = self.kept.get(standard_name(stem) or "")
        return [Column(events, letter)] if not found and events is not None and letter in ("t", "i", "j") else found


def observe(recorders: Iterable[Recorder], places: Mapping[int, str] | None = None) -> Result:
    """Return what recorders hold as one labelled result.

    Arguments:
        recorders: recorders that recorded in the same steps.
        places: `id` of a group -> its name, with which names then begin: `"cells/voltage"`. What is recorded twice
            is there twice: the second is `"cells/voltage#2"`.

    Raises:
        OptionError: there is nothing, or the recorders recorded in different steps.
    """
    data: dict[str, np.ndarray] = {}
    labels: dict[str, list[str]] = {}
    taken: set[str] = set()
    time, first, last, dt = None, "", 0, 1.0
    for recorder in recorders:
        parent = recorder.parent
        for kept in recorder.kept.values():
            if parent is None or not len(kept):
                continue
            name = free_name(kept.name if places is None else f"{places[id(parent)]}/{kept.name}", taken)
            if time is None:
                time, first = kept.iterations(), name
            elif not np.array_equal(time, kept.iterations()):
                raise OptionError(
                    f"{name!r} and {first!r} were recorded in different steps; use observer() of each recorder."
                )
            last, dt = parent.iteration, parent.network.dt
            values = kept.data()
            data[name] = values.reshape(len(values), -1)
            labels[name] = _labels(name, values.shape[1:])
    if time is None:
        raise OptionError("nothing was recorded yet: give a group a Recorder, initialize and simulate.")
    from recurra import __version__

    meta = {"time": "end of the step", "dt": dt, "recurra": __version__, "numpy": np.__version__}
    return Result(time * dt, data, labels, Snapshot({}, last, 0.0, dt), meta)


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, place))}]" for place in np.ndindex(*shape)]
