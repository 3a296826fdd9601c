"""Behaviors: what users write to say what a group does."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recurra.errors import OptionError, ShapeError, near, unknown
from recurra.groups import initialisers
from recurra.groups.foresight import texts_in
from recurra.groups.settings import Home, change
from recurra.groups.tags import Tagged, read_tags

if TYPE_CHECKING:
    from recurra.groups.objects import NetworkObject

_OLD = {"set_variables": "initialize", "new_iteration": "iteration"}
_HOOKS: dict[str, tuple[str, ...]] = {
    "initialize": ("initialise", "initialization", "initialisation", "init", "setup", "set_up"),
    "iteration": ("iterate", "iterations", "step", "update"),
}


class Behavior(Tagged):
    """Say what a network, a neuron group or a synapse group does; write a subclass of it.

    Arguments:
        *args: called `arg_0`, `arg_1`, ... (or by the names in the class's `positional`).
        tag: one tag or several, separated by commas; the name of the class is a tag too.
        behavior_enabled: whether it is executed.
        **kwargs: what :meth:`parameter` gives to `initialize`. One that is never asked for is an error.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> class Leak(Behavior):
    ...     def initialize(self, neurons):
    ...         self.factor = self.parameter("factor", 0.9)
    ...         neurons.v = neurons.vector("ones")
    ...     def iteration(self, neurons):
    ...         neurons.v *= self.factor
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, behavior={1: Leak(factor=0.5)})
    >>> net.initialize()
    >>> net.simulate_iterations(3)
    >>> cells.v.tolist()
    [0.125, 0.125]
    """

    # Beside the attributes, so that neither the user nor the tracing of `iteration` meets it.
    __slots__ = ("_home",)
    _home: Home

    initialize_on_init: ClassVar[bool] = False
    """Whether it is initialised when it is given to its object, rather than by the network's `initialize()`."""
    initialize_last: ClassVar[bool] = False
    """Whether it is initialised after the others, whatever its number."""
    positional: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments that are given without one."""

    def __init__(self, *args: Any, tag: str | None = None, behavior_enabled: bool = True, **kwargs: Any):
        name = type(self).__name__
        for old, new in _OLD.items():
            if hasattr(type(self), old):
                raise OptionError(f"{name}: the method {old} is called {new} now; rename it.")
        _check_hooks(type(self))
        if not isinstance(behavior_enabled, bool | np.bool_):
            raise OptionError(f"{name}: behavior_enabled must be True or False, got {behavior_enabled!r}.")
        self._home = Home()
        self.init_kwargs: dict[str, Any] = {}
        for i, value in enumerate(args):
            self.init_kwargs[self.positional[i] if i < len(self.positional) else f"arg_{i}"] = value
        twice = [key for key in kwargs if key in self.init_kwargs]
        if twice:
            raise OptionError(f"{name}: {twice[0]} is given twice, with and without its name.")
        self.init_kwargs |= kwargs
        self.tags = [*(t for t in read_tags(tag, name) if t != name), name]
        self.behavior_enabled = bool(behavior_enabled)
        self._asked: set[str] = set()

    def __setattr__(self, name: str, value: Any) -> None:
        home = getattr(self, "_home", None)
        if home is None or not home.settled or home.changing is not None:
            object.__setattr__(self, name, value)
        elif name in home.names or not (name in home.known or name in self.__dict__):
            change(self, name, value)
        else:
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy has: it belongs to no network."""
        return self.__dict__

    def initialize(self, neurons: Any) -> None:
        """Prepare the object; called once. Override it; its second parameter may have any name."""

    def check_run(self, obj: Any, end: Mapping[str, Any] | None = None) -> None:
        """Complain of what a run cannot do, or could not do; called before and after every run.

        Arguments:
            obj: what the behavior belongs to.
            end: attributes of the behavior at the end of a run that has left the objects as they were.
        """

    def iteration(self, neurons: Any) -> None:
        """Do one step; called in every one. Override it; its second parameter may have any name."""

    def parameter(
        self,
        key: str,
        default: Any = None,
        neurons: NetworkObject | None = None,
        do_not_diversify: bool = False,
        search_other_behaviors: bool = False,
        required: bool = False,
    ) -> Any:
        """Return a keyword that the behavior was given.

        Arguments:
            key: its name.
            default: what it is if it was not given. A text becomes a number if this is one (`"10%"` is 0.1).
            neurons: the group; then a text such as `"normal(0.3, 0.1)"` becomes an array with one number for each
                unit (each synapse, for a synapse group), and `"same(tag, name)"` a copy of what another object has.
            do_not_diversify: leave such a text as it is.
            search_other_behaviors: if it was not given, take it from another behavior of `neurons` that was given it.
            required: whether it must be given.

        Returns:
            The value.

        Raises:
            OptionError: it is required and missing, or its text cannot be read.
            ShapeError: it is neither one number nor one for each unit.
        """
        where = f"{type(self).__name__}, parameter {key!r}"
        self._asked.add(key)
        home = getattr(self, "_home", None)
        if home is not None and home.changing is not None and key in home.values:
            return home.values[key]  # on trial, so that nothing is drawn again
        found = self._found_parameter(key, default, neurons, do_not_diversify, search_other_behaviors, required, where)
        if home is not None:
            home.values[key] = found
        return found

    def _found_parameter(
        self, key: str, default: Any, neurons: Any, do_not_diversify: bool, search: bool, required: bool, where: str
    ) -> Any:
        value = self.init_kwargs.get(key, default)
        if key not in self.init_kwargs and search:
            if neurons is None:
                raise OptionError(f"{where}: search_other_behaviors needs the group as neurons=.")
            for other in neurons.behavior.values():
                if key in other.init_kwargs:
                    value = other.init_kwargs[key]
                    break
        elif key not in self.init_kwargs and required:
            given = near(key, set(self.init_kwargs) - self._asked)
            hint = f" Did you mean it by {given[0]!r}?" if given else ""
            raise OptionError(f"{where}: it is required; write {type(self).__name__}({key}=...).{hint}")
        if not isinstance(value, str):
            # Where the default is no number, it may be anything: a table, a list of names.
            if isinstance(default, int | float | np.number) and hasattr(neurons, "vector"):
                check_length(value, neurons, where)
            return value
        return self._from_text(value, default, None if do_not_diversify else neurons, where)

    def _from_text(self, value: str, default: Any, neurons: NetworkObject | None, where: str) -> Any:
        text, plot = value.removesuffix(";plot").strip(), value.endswith(";plot")
        if neurons is not None and text.startswith("same("):
            return _same(text, neurons, where)
        if neurons is not None and initialisers.is_call(text):
            return neurons.array_of(text, plot=plot, where=where)
        numeric = isinstance(default, int | float | np.number)
        if isinstance(default, str) and not initialisers.is_call(default):
            return value
        number = initialisers.read_number(text)
        if number is not None:
            if isinstance(default, np.number):
                return np.asarray(number, default.dtype)[()]
            # A whole number as default does not cut a fraction off.
            return float(number) if isinstance(default, float) else number
        if numeric and neurons is not None:
            return neurons.array_of(text, plot=plot, where=where)
        if numeric and not initialisers.is_call(text):
            raise OptionError(f"{where}: expected a number, got the text {value!r}.")
        return value

    def set_parameters_as_variables(self, obj: Any) -> None:
        """Make each keyword an attribute of a group (or of the behavior itself)."""
        group = None if obj is self else obj
        for key in self.init_kwargs:
            setattr(obj, key, self.parameter(key, None, group))

    get_init_attr = parameter

    def check_keywords(self, where: str) -> None:
        """Complain of keywords that nobody has asked for.

        Raises:
            OptionError: there is one.
        """
        later = texts_in(type(self).iteration)
        nameless = [key for key in self.init_kwargs if key.startswith("arg_") and key not in self._asked | later]
        if nameless and not any(word.startswith("arg_") for word in self._asked):
            value, names = self.init_kwargs[nameless[0]], sorted(self._asked - {nameless[0]})
            hint = f", for example {names[0]}={value!r}. Known: {', '.join(names)}" if names else ""
            raise OptionError(
                f"{where}: {value!r} was given without a name; the parameters of {type(self).__name__} are given by"
                f" name{hint}."
            )
        for key in self.init_kwargs:
            if key not in self._asked and key not in later:
                how = "" if self._asked else f" A keyword is read by self.parameter({key!r}, default)."
                raise OptionError(unknown("keyword", key, sorted(self._asked), where) + how)

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.init_kwargs.items())
        return f"{type(self).__name__}({given})"


def _check_hooks(kind: type[Behavior]) -> None:
    """Refuse a class whose method is called almost as one of the two that the network calls.

    Helpers may have any name beside the method that is meant, any number of arguments but one, or a call in the class.
    A generator or a coroutine, whose call does nothing, is refused as well.
    """
    for hook in _HOOKS:
        method = getattr(kind, hook)
        if inspect.isgeneratorfunction(method) or inspect.iscoroutinefunction(method):
            word = "yield" if inspect.isgeneratorfunction(method) else "async"
            raise OptionError(f"{kind.__name__}: {hook} would never run, because of its `{word}`: leave that out.")
    bases = [base for base in kind.__mro__ if not issubclass(Behavior, base)]
    methods = {name: value for base in bases for name, value in vars(base).items() if inspect.isfunction(value)}
    # What another method of the class calls is a helper, whatever its name.
    helpers = {word for name, m in methods.items() for word in m.__code__.co_names if word != name}
    own = {name for name, method in methods.items() if method.__code__.co_argcount == 2} - helpers
    for hook, mistaken in _HOOKS.items():
        if hook in methods:
            continue
        wrong = sorted(n for n in own if n in mistaken or difflib.get_close_matches(n, [hook], cutoff=0.8))
        if wrong:
            raise OptionError(
                f"{kind.__name__}: the network calls initialize(neurons) once and iteration(neurons) in each step, and"
                f" never {wrong[0]}(); did you mean {hook}? Rename it, or give a helper another name."
            )


def check_length(value: Any, neurons: Any, where: str) -> None:
    """Refuse a vector that does not fit a group.

    Raises:
        ShapeError: it has neither one number nor one for each unit.
    """
    shape = np.shape(value) if isinstance(value, np.ndarray | list | tuple) else ()
    flat = not hasattr(neurons, "matrix_dim")
    if shape and (shape[-1] not in (1, neurons.size) or (flat and len(shape) > 1)):
        raise ShapeError(
            f"{where}: expected one number, or one for each of the {neurons.size} units, got an array of shape {shape}."
        )


def _same(text: str, neurons: Any, where: str) -> Any:
    pieces = [piece.strip(" '\"") for piece in text.removeprefix("same(").removesuffix(")").split(",")]
    if not text.endswith(")") or len(pieces) != 2 or not all(pieces) or pieces[1].startswith("_"):
        raise OptionError(f"{where}: write same(tag, name of a variable), got {text!r}.")
    found = [obj for obj in neurons.network.find_objects(pieces[0]) if isinstance(obj, Tagged)]
    other = found[0] if found else neurons.network[pieces[0], 0]
    if not hasattr(other, pieces[1]):
        names = [n for n in vars(other) if not n.startswith("_")]
        raise OptionError(unknown("variable", pieces[1], names, f"{where}: {pieces[0]}"))
    value = getattr(other, pieces[1])
    return value.copy() if hasattr(value, "copy") else value
