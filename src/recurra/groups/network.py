"""The network of groups: its schedule, its steps, its random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine import Program, Result
from recurra.engine.grid import read_step
from recurra.engine.interrupts import check, interruptible
from recurra.engine.progress import Progress
from recurra.engine.spiking import check_surrogate
from recurra.errors import OptionError, TimeError, UnknownTag, unknown
from recurra.groups.behavior import Behavior
from recurra.groups.clock import Pace
from recurra.groups.draws import Draws
from recurra.groups.foresight import names_in
from recurra.groups.gate import Gate
from recurra.groups.objects import Behaviors, NetworkObject, object_tags, read_behaviors
from recurra.groups.recorders import Recorder, Watcher, observe
from recurra.groups.roster import named
from recurra.groups.schedule import Schedule, run_step
from recurra.groups.tags import Tagged

if TYPE_CHECKING:
    from recurra.groups.neurons import NeuronGroup
    from recurra.groups.nodes import NodeGroup, Nodes
    from recurra.groups.runner import Runner
    from recurra.groups.synapses import SynapseGroup

SxD = 0
"""Weights as `W[src, dst]`."""
DxS = 1
"""Weights as `W[dst, src]`, the default."""
_ORDERS = {SxD: SxD, DxS: DxS, "SxD": SxD, "DxS": DxS}
_SETTINGS = ("dtype", "syn_dim", "synapse_mode")
_PRECISIONS = ("float32", "float64")


class GroupNetwork(NetworkObject):
    """Hold groups of neurons and synapses, and execute their behaviors step by step.

    Arguments:
        tag: one tag or several, separated by commas; `"Network"` is a tag too.
        behavior: number -> :class:`Behavior` of the network itself.
        settings: `dtype` (of new arrays, float64 by default), and `syn_dim` or `synapse_mode` (`"DxS"`: weights are
            `W[dst, src]`; `"SxD"`: the other way round).
        seed: seed of all random numbers, those of `numpy.random` in the behaviors included.
        dtype: as in the settings.
        dt: how long a step is, in ms for the ready behaviors; 1 by default.
        precision: `"float64"` or `"float32"`, another word for the `dtype` of these names: one of them says both.

    Raises:
        OptionError: a setting or its value is unknown, or `dtype` and `precision` contradict each other.
        TimeError: `dt` is no finite number > 0.

    >>> from recurra.groups import Behavior, NeuronGroup
    >>> class Grow(Behavior):
    ...     def initialize(self, neurons):
    ...         neurons.v = neurons.vector(1.0)
    ...     def iteration(self, neurons):
    ...         neurons.v *= 2
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 3, tag="cells", behavior={1: Grow()})
    >>> net.initialize()
    >>> net.simulate_iterations(5)
    >>> net.iteration, net["cells", 0].v.tolist()
    (5, [32.0, 32.0, 32.0])
    """

    def __init__(
        self,
        *,
        tag: Any = None,
        behavior: Behaviors = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        dtype: Any = None,
        dt: float | None = None,
        precision: str | None = None,
    ):
        self.pace = Pace(dt)
        self._set_up(self, object_tags(tag, ("Network",), "Network", "Network"))
        self.NeuronGroups: list[NeuronGroup] = []
        self.SynapseGroups: list[SynapseGroup] = []
        self.node_groups: list[NodeGroup] = []
        self.schedule, self.looking = Schedule(), Gate()
        self.synapse_tags: set[str] = set()
        self._draws = Draws(seed)
        self._lent_draws: Any = self._draws
        self._seed = int(seed)
        self._runner: Runner | None = None
        self.initialized = False
        self._iteration = 0
        self._dtype, self.chosen_precision = _read_types(dict(settings or {}), dtype, precision)
        self.transposed_synapse_matrix_mode = _read_order(dict(settings or {}))
        self._add_own(read_behaviors(behavior, repr(self)))

    @property
    def iteration(self) -> int:
        """Give the number of the present step; the first is 1."""
        return self._iteration

    @iteration.setter
    def iteration(self, value: int) -> None:
        self._iteration = value

    @property
    def dt(self) -> float:
        """Give how long a step is, in ms for the ready behaviors; 1 if nobody has said it."""
        return self.pace.dt

    @property
    def precision(self) -> str:
        """Give the precision of runs; trainings take it too if it was asked for, and are in float32 otherwise."""
        return self.chosen_precision or "float64"

    @property
    def def_dtype(self) -> Any:
        """Give the type of the numbers of new arrays."""
        return self._dtype

    @property
    def random(self) -> Any:
        """Give what draws random numbers now: the network's own stream, or what a run has lent it."""
        lent = self._lent_draws
        return lent if lent is self._draws or not getattr(lent, "gives_way", False) else self._draws

    @random.setter
    def random(self, value: Any) -> None:
        self._lent_draws = value

    # Running

    def initialize(self, info: bool = False) -> None:
        """Initialise all behaviors, in the order of their numbers; again, if called again.

        Arguments:
            info: whether a summary of the network is printed.

        Raises:
            RecurraError: a behavior was given a keyword that it does not know, or something else does not fit.
        """
        if info:
            print(self)
        for synapses in self.SynapseGroups:
            synapses.find_ends()
        self.pace.forget()
        read_step(self.dt)  # which a network of nodes and groups must have been given
        with self.random_lent():
            self.schedule.initialize()
        for obj in self.all_objects():
            obj.widen()
        mentioned = names_in(self.all_behaviors())
        for group in self.node_groups:
            group.feed(mentioned)
        self.initialized = True
        self.runner.forget()

    def group_of_node(self, label: str) -> NodeGroup | None:
        """Return the group that stands for a node of equations; a network of groups has none."""
        return None

    def nodes_among_groups(self) -> Nodes | None:
        """Return the equations that behaviors are joined to, if there are any."""
        return None

    @property
    def runner(self) -> Runner:
        """Give what advances the network, and what it has compiled."""
        if self._runner is None:
            from recurra.groups.runner import Runner

            self._runner = Runner(self, self._seed)
        return self._runner

    def simulate_iteration(self, compile: bool | None = None) -> None:
        """Execute one step: every enabled behavior, in the order of the numbers; see :meth:`simulate_iterations`."""
        self.simulate_iterations(1, compile=compile)

    def simulate_iterations(
        self,
        iterations: int,
        batch_size: int = 100,
        measure_block_time: bool = False,
        disable_recording: bool = False,
        batch_progress_update_func: Callable[[float, Any], None] | None = None,
        *,
        compile: bool | None = None,
        progress: bool = True,
    ) -> float | None:
        """Execute steps: the behaviors are compiled by tracing them, and what cannot be traced runs in NumPy.

        Arguments:
            iterations: how many.
            batch_size: how many steps lie between two calls of `batch_progress_update_func`; -1 for all.
            measure_block_time: whether the time is returned.
            disable_recording: whether the recorders pause.
            batch_progress_update_func: called with the percentage that is done, and the network.
            compile: `None` compiles what can be compiled, and warns of what cannot; `True` makes that an error; `False`
                executes everything in NumPy, with the random numbers of `numpy.random.seed(seed)`.
            progress: show a bar if the run takes longer than a second.

        Returns:
            The time that all steps took, in milliseconds, if it was asked for.

        Raises:
            TimeError: `iterations` or `batch_size` is no such number.
            CapabilityError: `compile=True`, and something cannot be compiled.
            KeyboardInterrupt: someone interrupted. The network then stands after a completed step, and what was
                recorded up to there is kept; the next call goes on from there. A second Ctrl-C waits for nothing.
        """
        if compile not in (None, True, False):
            raise OptionError(f"compile must be None, True or False, got {compile!r}.")
        total, block = _read_steps(iterations, batch_size)
        self.schedule.check_ready()
        self.schedule.check_run()
        recording = [(obj, obj.recording) for obj in self.all_objects()] if disable_recording else []
        bar, start, done = Progress(total, progress), time.perf_counter(), 0
        for obj, _ in recording:
            obj.recording = False
        with interruptible():  # Ctrl-C waits for the end of a step
            try:
                while done < total:
                    steps = total - done if batch_progress_update_func is None else min(block, total - done)
                    self._advance(steps, compile, bar.update)
                    done += steps
                    if batch_progress_update_func is not None:
                        batch_progress_update_func(100 * done / total, self)
            finally:
                bar.close()
                for obj, before in recording:
                    obj.recording = before
        self.schedule.check_run()
        return (time.perf_counter() - start) * 1e3 if measure_block_time else None

    def _advance(self, steps: int, compile: bool | None, progress: Callable[[int], None]) -> None:
        if compile is not False:
            self.runner.advance(steps, bool(compile), progress)
            return
        with self.random_lent():
            for _ in range(steps):
                check(f"interrupted after step {self.iteration}")
                run_step(self.schedule, self)
                progress(1)

    def program_with(self, surrogate: str, slope: float = 25.0, scale: float = 1.0) -> Program:
        """Return the program of everything with derivatives through the spikes of behaviors, for training.

        All values are those of :attr:`program`. Where a comparison of floats such as `v > threshold` turns into a float
        (`W.dot(spikes)`, `W[:, spikes].sum(axis=1)`, `2.0 * spikes`, `np.where(spikes, 1.0, 0.0)`) it has the surrogate
        derivative of the difference of its two sides; `&`, `|` and `~` are differentiated as products. Where it selects
        (`v[spikes] = 0.0`, `np.where(spikes, a, b)`, `if`) it has none. Truth values, and numbers of spikes, that are
        remembered from step to step are floats in the state of this program.

        Arguments:
            surrogate: the derivative, a name in `recurra.engine.SURROGATES`.
            slope: how steep it is per unit of what is compared: how fast it falls with the distance of the two sides.
            scale: the derivative where they are equal; `scale=slope` makes it that of a sigmoid from 0 to 1.

        Returns:
            The program; its parameters are attributes: `"GLU/W"` is `W` of the synapses with the tag `GLU`.

        Raises:
            OptionError: there is no such surrogate, or slope or scale is no finite number > 0.
            CapabilityError: a behavior cannot be compiled.

        Source: Neftci, Mostafa and Zenke 2019, "Surrogate gradient learning in spiking neural networks".

        >>> import jax
        >>> from recurra.engine import as_function
        >>> from recurra.groups import NeuronGroup
        >>> class Cells(Behavior):
        ...     def initialize(self, neurons):
        ...         neurons.v, neurons.drive = neurons.vector(), neurons.vector("ones")
        ...         neurons.spikes = neurons.v > 1.0
        ...     def iteration(self, neurons):
        ...         neurons.v += 0.4 * neurons.drive
        ...         neurons.spikes = neurons.v > 1.0
        ...         neurons.v[neurons.spikes] = 0.0
        >>> net = GroupNetwork()
        >>> cells = NeuronGroup(net, 2, tag="cells", behavior={1: Cells()})
        >>> net.initialize()
        >>> program = net.program_with("fast_sigmoid")
        >>> run = as_function(program, 10.0, dt=1.0, record={"spikes": "cells/spikes"})
        >>> with jax.enable_x64(True):
        ...     slope = jax.grad(lambda drive: run({"cells/drive": drive})["spikes"].sum())(1.0)
        >>> float(slope) > 0
        True
        """
        check_surrogate(surrogate)
        return self.runner.smooth_program(surrogate, slope, scale)

    def explain(self) -> str:
        """Say of each behavior in its order whether it is compiled, or runs in NumPy, and why."""
        return self.runner.explain()

    def random_lent(self) -> AbstractContextManager[None]:
        """Let `numpy.random` draw from the stream of the network for a while, if it has one of its own."""
        return self.random.lent() if isinstance(self.random, Draws) else nullcontext()

    # Looking

    def all_objects(self) -> list[NetworkObject]:
        """List the network, its neuron groups and its synapse groups."""
        return [self, *self.NeuronGroups, *self.SynapseGroups]

    def all_behaviors(self) -> list[Behavior]:
        """List all behaviors in the order of their execution."""
        return [entry.behavior for entry in self.schedule]

    @property
    def sorted_behavior_execution_list(self) -> list[tuple[float, NetworkObject, Behavior]]:
        """List number, object and behavior in the order of execution."""
        return [(entry.key, entry.parent, entry.behavior) for entry in self.schedule]

    @property
    def behavior_timesteps(self) -> list[float]:
        """List the numbers at which something is executed."""
        return list(dict.fromkeys(entry.key for entry in self.schedule))

    def _children(self) -> Iterable[Tagged]:
        return [*super()._children(), *self.__dict__.get("NeuronGroups", ()), *self.__dict__.get("SynapseGroups", ())]

    def __iter__(self) -> Iterator[str]:
        return iter([group.tag for group in self.NeuronGroups])

    def __len__(self) -> int:
        return len(self.NeuronGroups)

    def __repr__(self) -> str:
        return f"Network({self.tag!r}, {len(self.NeuronGroups)} group(s), {len(self.SynapseGroups)} synapse group(s))"

    def __str__(self) -> str:
        neurons = sum(group.size for group in self.NeuronGroups)
        synapses = sum(s.src.size * s.dst.size for s in self.SynapseGroups)
        lines = [f"Network {self.tag!r}: {neurons} neurons, {synapses} synapses"]
        lines += [f"  {group.tag}: {group.size} neurons" for group in self.NeuronGroups]
        lines += [f"  {s.tag}: {s.src.tag} -> {s.dst.tag}, {s.matrix_dim()}" for s in self.SynapseGroups]
        return "\n".join(lines)

    # Changing

    def discard(self, obj: NetworkObject) -> None:
        """Take a group and its behaviors out of the network."""
        self.schedule.drop(obj)
        self.NeuronGroups = [group for group in self.NeuronGroups if group is not obj]
        self.SynapseGroups = [group for group in self.SynapseGroups if group is not obj]

    def recording_on(self) -> None:
        """Let all recorders record."""
        for obj in self.all_objects():
            obj.recording = True

    def recording_off(self) -> None:
        """Let all recorders pause."""
        for obj in self.all_objects():
            obj.recording = False

    def clear_recorder(self, keys: str | Sequence[str] | None = None) -> None:
        """Forget what was recorded.

        Arguments:
            keys: the tag, or tags, of the recorders; all of them if `None`.

        Raises:
            UnknownTag: no recorder has the tag.
        """
        recorders = [b for b in self.all_behaviors() if isinstance(b, Watcher)]
        tags = [keys] if isinstance(keys, str) else keys
        known = [tag for recorder in recorders for tag in recorder.tags]
        for tag in tags or ():
            if tag not in known:
                raise UnknownTag(unknown("tag of a recorder", tag, known))
        for recorder in recorders:
            if tags is None or set(tags) & set(recorder.tags):
                recorder.clear()

    def observer(self) -> Result:
        """Return what all Recorders hold as one labelled result, under names such as `"cells/voltage"`.

        Raises:
            OptionError: nothing was recorded yet, or the recorders recorded in different steps.
        """
        places = {id(self): self.tag} | {id(group): name for name, group in named(self, set()).items()}
        return observe([b for b in self.all_behaviors() if isinstance(b, Recorder)], places)


def _read_types(settings: dict[str, Any], dtype: Any, precision: str | None) -> tuple[Any, str | None]:
    """Return the type of new arrays, and the precision that it or the user says for everything else."""
    for key in settings:
        if key not in _SETTINGS:
            raise OptionError(unknown("setting", key, _SETTINGS, "Network"))
    if dtype is not None and settings.get("dtype", dtype) != dtype:
        raise OptionError(f"Network: dtype={dtype!r} and settings={{'dtype': {settings['dtype']!r}}} differ.")
    if precision is not None and precision not in _PRECISIONS:
        raise OptionError(unknown("precision", precision, _PRECISIONS))
    given = settings.get("dtype") if dtype is None else dtype
    try:
        kind = np.dtype((precision or "float64") if given is None else given)
    except TypeError:
        raise OptionError(f"Network: dtype must be a NumPy type such as np.float32, got {dtype!r}.") from None
    if kind.kind not in "biuf":
        raise OptionError(f"Network: dtype must be a type of real numbers, got {kind}.")
    if kind.kind == "f" and precision is not None and kind != np.dtype(precision):
        raise OptionError(f"Network: dtype={kind} and precision={precision!r} contradict each other; give one of them.")
    told = kind.name if given is not None and kind.name in _PRECISIONS else None
    return kind.type, precision or told


def _read_order(settings: dict[str, Any]) -> int:
    orders = {key: settings[key] for key in ("syn_dim", "synapse_mode") if key in settings}
    for key, value in orders.items():
        if isinstance(value, bool) or not isinstance(value, int | str) or value not in _ORDERS:
            raise OptionError(f"Network: {key} must be 'DxS' (W[dst, src]) or 'SxD' (W[src, dst]), got {value!r}.")
    chosen = {_ORDERS[value] for value in orders.values()}
    if len(chosen) > 1:
        raise OptionError(f"Network: syn_dim and synapse_mode are two names of one setting, got {orders}.")
    return chosen.pop() if chosen else DxS


def _read_steps(iterations: object, batch_size: object) -> tuple[int, int]:
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 0:
        raise TimeError(f"iterations must be a whole number >= 0, got {iterations!r}.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or not (
        batch_size == -1 or batch_size > 0
    ):
        raise TimeError(f"batch_size must be a whole number > 0, or -1 for one block, got {batch_size!r}.")
    return int(iterations), max(1, int(iterations)) if batch_size == -1 else int(batch_size)
