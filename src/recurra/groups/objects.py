"""What networks, neuron groups and synapse groups share: behaviors, tags, and arrays to begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import OptionError, ShapeError, TemplateError, UnknownTag, unknown
from recurra.groups import initialisers
from recurra.groups.behavior import Behavior
from recurra.groups.schedule import Entry, check_key
from recurra.groups.tags import Tagged, is_number, read_tags, walk

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork

Behaviors = Mapping[Any, Behavior] | Sequence[Behavior] | None


class NetworkObject(Tagged):
    """Carry behaviors; the base of :class:`Network`, :class:`NeuronGroup` and :class:`SynapseGroup`."""

    network: GroupNetwork

    def _set_up(self, network: GroupNetwork, tags: list[str]) -> None:
        self.network, self.tags = network, tags
        self._behavior: dict[float, Behavior] = {}
        self._wide: set[str] = set()
        self.recording = True

    @property
    def behavior(self) -> Mapping[float, Behavior]:
        """Map numbers to behaviors; :meth:`add_behavior` and :meth:`remove_behavior` change it."""
        return MappingProxyType(self.__dict__.get("_behavior", {}))

    @property
    def iteration(self) -> int:
        """Give the number of the present step; the first is 1."""
        return self.network.iteration

    @property
    def def_dtype(self) -> Any:
        """Give the type of the numbers of new arrays."""
        return self.network.def_dtype

    # Behaviors

    def add_behavior(self, key: float, behavior: Behavior, initialize: bool = True) -> Behavior:
        """Add a behavior; it is executed after those that have its number already.

        Arguments:
            key: its number.
            behavior: the behavior.
            initialize: whether it is initialised: now, if the network is, and with the network otherwise.

        Returns:
            The behavior.

        Raises:
            OptionError: the number is taken, or is none.
        """
        (key, behavior), *_ = read_behaviors({key: behavior}, repr(self)).items()
        if key in self.behavior:
            raise OptionError(
                f"{self!r}: number {key:g} is taken by {self.behavior[key]!r}; choose another, or remove that first."
            )
        self._attach(Entry(key, behavior, self, ready=not initialize), now=initialize and self.network.initialized)
        return behavior

    def _attach(self, entry: Entry, now: bool) -> None:
        if not any(obj is self for obj in self.network.all_objects()):
            raise TemplateError(f"{self!r}: it has left the network, so {entry.behavior!r} would never be executed.")
        self._behavior[entry.key] = entry.behavior
        self.network.schedule.insert(entry)
        if now or (entry.behavior.initialize_on_init and not entry.ready):
            with self.network.random_lent():
                entry.initialize()
            if self.network.initialized:
                for obj in self.network.all_objects():
                    obj.widen()

    # The synapses of a new group are not there yet, so its behaviors wait for the network to be initialised.
    def _add_own(self, behaviors: Mapping[float, Behavior]) -> None:
        for key in sorted(behaviors):
            self._attach(Entry(key, behaviors[key], self), now=False)

    def add_behaviors(self, behaviors: Behaviors) -> None:
        """Add several behaviors: a dict number -> behavior, or a list (numbers 0, 1, ...)."""
        for key, behavior in sorted(read_behaviors(behaviors, repr(self)).items(), key=lambda item: item[0]):
            self.add_behavior(key, behavior)

    def remove_behavior(self, which: float | str | Behavior | type) -> None:
        """Remove the behaviors with a number, a tag or a class, or this one.

        Raises:
            UnknownTag: there is none.
        """
        for key in self._keys(which):
            behavior = self._behavior.pop(key)
            self.network.schedule.remove(behavior, self)

    def set_behaviors(self, tag: str, enabled: bool) -> None:
        """Let the behaviors with a tag, here and below, be executed or not.

        Raises:
            UnknownTag: no behavior has the tag.
        """
        behaviors = [obj for obj in walk(self) if isinstance(obj, Behavior)]
        found = [b for b in behaviors if tag in b.tags]
        if not found:
            raise UnknownTag(unknown("tag of a behavior", tag, [t for b in behaviors for t in b.tags]))
        for behavior in found:
            behavior.behavior_enabled = bool(enabled)

    def activate_behaviors(self, tag: str) -> None:
        """Let the behaviors with a tag, here and below, be executed."""
        self.set_behaviors(tag, True)

    def deactivate_behaviors(self, tag: str) -> None:
        """Let the behaviors with a tag, here and below, be skipped."""
        self.set_behaviors(tag, False)

    def _keys(self, which: object) -> list[float]:
        if is_number(which):
            found = [key for key in self.behavior if key == which]
        elif isinstance(which, str):
            found = [key for key, b in self.behavior.items() if which in b.tags]
        elif isinstance(which, type):
            found = [key for key, b in self.behavior.items() if isinstance(b, which)]
        else:
            found = [key for key, b in self.behavior.items() if b is which]
        if not found:
            shown = which.__name__ if isinstance(which, type) else which
            known = [*(f"{key:g}" for key in self.behavior), *(t for b in self.behavior.values() for t in b.tags)]
            raise UnknownTag(unknown("behavior", shown, known, repr(self)))
        return found

    def _children(self) -> Iterable[Tagged]:
        return [behavior for _, behavior in sorted(self.behavior.items(), key=lambda item: item[0])]

    # Arrays

    def array_of(self, mode: Any, *, plot: bool = False, where: str = "") -> Any:
        """Make an array with one number for each unit, or each synapse; see :meth:`NeuronGroup.vector`.

        Raises:
            TemplateError: the object has neither.
        """
        raise TemplateError(f"{where or repr(self)}: a network has no units to draw {mode!r} for; give it a group.")

    def make_array(
        self,
        mode: Any,
        shape: tuple[int, ...],
        scale: Any = None,
        density: Any = None,
        plot: bool = False,
        where: object = None,
    ) -> Any:
        """Make an array of any shape; `mode`, `scale` and `density` as for :meth:`NeuronGroup.vector`."""
        return initialisers.make(
            mode,
            shape,
            self.network.def_dtype,
            self.network.random,
            scale=scale,
            density=density,
            plot=plot,
            where=where or self,
        )

    def keep_wide(self, *names: str) -> None:
        """Keep variables in double precision, whatever the network's: those that move by less than it can tell.

        Arguments:
            names: attributes, which may be made later by another behavior's `initialize`.

        >>> from recurra.groups import Behavior, GroupNetwork, NeuronGroup
        >>> class Drift(Behavior):
        ...     def initialize(self, neurons):
        ...         neurons.x = neurons.vector(1.0)
        ...         neurons.keep_wide("x")
        ...     def iteration(self, neurons):
        ...         neurons.x += 1e-9
        >>> net = GroupNetwork(precision="float32")
        >>> cells = NeuronGroup(net, 1, behavior={1: Drift()})
        >>> net.initialize()
        >>> net.simulate_iterations(1000)
        >>> round(float(cells.x[0] - 1) * 1e6, 6)
        1.0
        """
        self._wide.update(names)

    def widen(self) -> None:
        """Bring the variables that are to be kept in double precision to it."""
        for name in self._wide:
            value = vars(self).get(name)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype.itemsize < 8:
                setattr(self, name, value.astype(np.float64))

    def get_nparray(self, dim: int | tuple[int, ...]) -> np.ndarray:
        """Return zeros of any shape in the network's type."""
        return np.zeros(dim, self.def_dtype)

    def get_buffer_mat(self, dim: int | tuple[int, ...], size: int) -> np.ndarray:
        """Return zeros for the last `size` values of something with the shape `dim`: `(size, *dim)`."""
        shape = dim if isinstance(dim, tuple) else (dim,)
        return np.zeros((check_count(size, f"{self!r}: the size of a buffer"), *shape), self.def_dtype)

    def buffer_roll(self, mat: Any, new: Any = None, counter: bool = False) -> Any:
        """Shift a buffer by one row in place, and put new values into the row that is free.

        Arguments:
            mat: `(rows, ...)`.
            new: the new values, for row 0 (for the last row with `counter`).
            counter: whether it is shifted to smaller indices.

        Returns:
            The buffer.
        """
        if counter:
            mat[:-1] = mat[1:].copy()
        else:
            mat[1:] = mat[:-1].copy()
        if new is not None:
            mat[-1 if counter else 0] = new
        return mat


def read_behaviors(behaviors: Any, where: str) -> dict[float, Behavior]:
    """Return number -> behavior from what a user gave, or say what is wrong with it."""
    if behaviors is None:
        return {}
    if isinstance(behaviors, list | tuple):
        behaviors = dict(enumerate(behaviors))
    if not isinstance(behaviors, Mapping):
        raise OptionError(f"{where}: behavior must be a dict {{number: behavior}} or a list, got {behaviors!r}.")
    for key, behavior in behaviors.items():
        check_key(key, where)
        name = getattr(behavior, "__name__", type(behavior).__name__)
        if isinstance(behavior, type):
            raise OptionError(f"{where}: behavior {key:g} is the class {name}; write {name}().")
        if not isinstance(behavior, Behavior):
            raise OptionError(f"{where}: behavior {key:g} must be a Behavior, got {behavior!r}.")
        if "init_kwargs" not in vars(behavior):
            raise OptionError(f"{where}: {name}.__init__ must call super().__init__(**kwargs).")
    return dict(behaviors)


def check_count(value: object, what: str, least: int = 1) -> int:
    """Return a whole number, or say what it should be."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ShapeError(f"{what} must be a whole number >= {least}, got {value!r}.")
    return int(value)


def object_tags(tag: object, kinds: tuple[str, ...], default: str, where: str) -> list[str]:
    """Return the tags of a new object: those of the user, then those of its kind."""
    return list(dict.fromkeys([*(read_tags(tag, where) or [default]), *kinds]))
