"""The errors of Recurra, and the search for near names.

Every error says where it happened, what was got, what was expected and how to mend it.
All of them are ``ValueError``s, so code that catches ``ValueError`` on bad input goes on working. A name that does not
exist is a ``KeyError``, too, a file that cannot be read an ``OSError``, a missing package an ``ImportError``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_MESSAGE = 2_000  # characters: texts come from files of strangers, and a message is for people
_MAX_SHOWN = 200  # of the equation that a message shows
_MAX_NAME, _MAX_KNOWN = 80, 5_000  # what is compared when near names are searched, which takes the square of a length


class RecurraError(ValueError):
    """Say what is wrong with something the user gave; the base of every error of the library.

    >>> from recurra.equations import parse_equation
    >>> try:
    ...     parse_equation("x'' = -x")
    ... except RecurraError as error:  # of which kind ever
    ...     print(type(error).__name__, isinstance(error, ValueError))
    EquationError True
    """

    def __init__(self, *args: object):
        super().__init__(*(cut(each, MAX_MESSAGE) if isinstance(each, str) else each for each in args))


class EquationError(RecurraError):
    """Point at the spot of an equation that cannot be understood.

    Arguments:
        message: what is wrong and how to mend it.
        source: the text of the equation; shown with a caret under the spot.
        span: start and end column of the spot in `source`.
        where: the path of the operator that holds the equation.

    >>> from recurra.equations import parse_equation
    >>> try:
    ...     parse_equation("x' = -x + tau(x")
    ... except EquationError as error:
    ...     print(error)
    '(' is never closed
      x' = -x + tau(x
                   ^
    """

    def __init__(
        self, message: str, source: str | None = None, span: tuple[int, int] | None = None, where: str = ""
    ):
        self.message, self.source, self.span, self.where = message, source, span, where
        text = f"{where}: {message}" if where else message
        if source is not None:
            text = cut(text, MAX_MESSAGE // 2) + self._spot(source, span)
        super().__init__(text)

    @staticmethod
    def _spot(source: str, span: tuple[int, int] | None) -> str:
        """Show an equation with a caret under the spot; of a long one, what is around the spot."""
        start, end = span or (0, 0)
        first = max(0, start - _MAX_SHOWN // 2) if len(source) > _MAX_SHOWN else 0
        last = min(len(source), first + _MAX_SHOWN)
        before, after = "... " if first else "", " ..." if last < len(source) else ""
        text = f"\n  {before}{source[first:last]}{after}"
        if span is not None:
            width = max(1, min(end, last) - start)
            text += "\n  " + " " * (len(before) + start - first) + "^" * width
        return text


class TemplateError(RecurraError):
    """Say what is wrong with a template, a YAML file or a network definition.

    >>> from recurra import NodeTemplate, OperatorTemplate
    >>> leak = OperatorTemplate("leak", "x' = -x", {"x": "output(1.0)"})
    >>> NodeTemplate("cell", [leak, leak])
    Traceback (most recent call last):
        ...
    recurra.errors.TemplateError: cell: two operators are called 'leak'; give one of them another name (`label:`).
    """


class PathError(RecurraError, KeyError):
    """Say that a template, node, operator, variable or file does not exist, and what is near it; a `KeyError`, too.

    >>> from recurra import CircuitTemplate
    >>> try:
    ...     CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdb")
    ... except PathError as error:
    ...     print(str(error).split(": ", 1)[1])  # before it stands the file
    unknown template 'vdb'. Did you mean 'vdp'? Known: vdp_op, vdp_pop, vdp.
    """

    # A KeyError shows its message in quotes, as if it were a key.
    __str__ = Exception.__str__


class UnknownTag(PathError):
    """Say that a network has nothing with a tag, no recording of that name, or not so many, and what is near.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, tag="cells")
    >>> try:
    ...     net["cell", 0]
    ... except UnknownTag as error:
    ...     print(str(error).partition(" Known:")[0])
    unknown tag or recorded variable 'cell'. Did you mean 'cells'?
    """


class OptionError(RecurraError):
    """Say that a keyword, a solver, a backend or an option's value is unknown or out of range.

    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> try:
    ...     simulate(vdp, 1.0, dt=0.1, solver="eulr")
    ... except OptionError as error:
    ...     print(str(error).partition(" Known:")[0])
    unknown solver 'eulr'. Did you mean 'euler'?
    """


class CallError(OptionError, TypeError):
    """Say that a function does not take these arguments, and which it takes; a `TypeError`, too.

    >>> from recurra import CircuitTemplate
    >>> try:
    ...     CircuitTemplate.from_yaml(pathh="model_templates.oscillators.vanderpol.vdp")
    ... except CallError as error:
    ...     print(str(error).partition(" Known:")[0])
    CircuitTemplate.from_yaml(): unknown keyword 'pathh'. Did you mean 'path'?
    """


class ShapeError(RecurraError):
    """Say that an array has the wrong shape, length or type.

    >>> import numpy as np
    >>> from recurra.training import ridge
    >>> try:
    ...     ridge(np.ones((5, 2)), np.ones(4))
    ... except ShapeError as error:
    ...     print(str(error).partition(";")[0])
    features have shape (5, 2) and targets (4,)
    """


class TimeError(RecurraError):
    """Say that a duration, a step, a delay or a sampling interval does not fit the time grid.

    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> simulate(vdp, 1.05, dt=0.1)
    Traceback (most recent call last):
        ...
    recurra.errors.TimeError: duration 1.05 is not a whole number of steps of 0.1: use 1 or 1.1.
    """


class CapabilityError(RecurraError):
    """Say that a model and a solver (or back-end) do not go together, and which one does.

    >>> from recurra.engine import Graph, Node, Operator, Spike, Variable, lower, simulate
    >>> from recurra.equations import parse_equation
    >>> ramp = Operator((parse_equation("v' = 1"),), {"v": Variable("state")})
    >>> cell = Node({"op": ramp}, spikes=(Spike("op/v", None, threshold=1.0, reset=0.0),))
    >>> try:
    ...     simulate(lower(Graph({"cell": cell})), 2.0, dt=0.25, solver="scipy")
    ... except CapabilityError as error:
    ...     print(str(error).partition(" Use")[0])
    solver 'scipy' chooses its own steps and cannot handle the threshold of 'cell/op/v'.
    """


class MissingPackageError(CapabilityError, ImportError):
    """Say that something needs a package that is not installed, and how to install it; an `ImportError`, too.

    >>> try:
    ...     raise MissingPackageError("files of NIR need the package nir: pip install 'recurra[nir]'.")
    ... except ImportError as error:
    ...     print(error)
    files of NIR need the package nir: pip install 'recurra[nir]'.
    """


class StoreError(RecurraError, OSError):
    """Say that a file cannot be read as, or written as, what was asked; an `OSError`, too.

    >>> from recurra.engine import load
    >>> load("not_there.npz")
    Traceback (most recent call last):
        ...
    recurra.errors.StoreError: not_there.npz: no such file.
    """


class DivergenceError(RecurraError):
    """Say which variable of which unit stopped being finite, and when.

    Attributes:
        variable: the path of the variable.
        step: the first step after which it was not finite.
        time: the time of that step.
        result: what was recorded before it.

    >>> from recurra.engine import Graph, Node, Operator, Variable, lower, simulate
    >>> from recurra.equations import parse_equation
    >>> blow_up = Operator((parse_equation("x' = x^2"),), {"x": Variable("state", 10.0)})
    >>> try:
    ...     simulate(lower(Graph({"n": Node({"op": blow_up})})), 10.0, dt=0.1)
    ... except DivergenceError as error:
    ...     print(error.variable, error.step, len(error.result.time))
    n/op/x 11 11
    """

    def __init__(self, message: str, variable: str, step: int, time: float, result: object = None):
        super().__init__(message)
        self.variable, self.step, self.time, self.result = variable, step, time, result


class TrainingError(RecurraError):
    """Say at which update a training stopped being finite.

    Attributes:
        update: number of the update, counted from 0, whose loss or gradient was not finite.
        result: the training up to there, with the last good parameters.

    >>> import numpy as np
    >>> from recurra import Network
    >>> from recurra.training import fit_bptt
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("n", "v' = I - k*v", variables={"v": "output", "k": 2.0, "I": "input"})
    >>> try:
    ...     fit_bptt(net.program, {"n/op/I": np.ones((20, 1))}, np.zeros((20, 1)), output="n/op/v", train=["n/op/k"],
    ...              dt=0.1, epochs=9, lr=1e30)
    ... except TrainingError as error:
    ...     print(error.update, error.result.params["n/op/k"])
    1 [2.]
    """

    def __init__(self, message: str, update: int, result: object = None):
        super().__init__(message)
        self.update, self.result = update, result


class NotCompiled(UserWarning):
    """Tell that a behavior runs in Python, which behavior, and because of which line.

    >>> import warnings
    >>> from recurra.groups import Behavior, GroupNetwork, NeuronGroup
    >>> class Digits(Behavior):
    ...     def initialize(self, neurons):
    ...         neurons.v = neurons.vector("uniform")
    ...     def iteration(self, neurons):
    ...         neurons.v[0] = float(str(neurons.v[0])[:3])
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 2, tag="cells", behavior={1: Digits()})
    >>> net.initialize()
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", NotCompiled)  # "error" instead makes it an error
    ...     net.simulate_iterations(5)
    >>> who, line, why = str(told[0].message).split(": ")
    >>> print(who)
    cells/Digits runs in Python, ahead of each block of steps
    >>> print(why)
    printing or formatting needs a number now, but the value is only known when the model runs
    """


class UnusedWeights(UserWarning):
    """Warn that synapses have weights which nothing in the network reads.

    >>> issubclass(UnusedWeights, UserWarning)
    True
    """


class DiscardedResult(UserWarning):
    """Tell that a method which returns a changed object was called, and its result thrown away.

    >>> import warnings
    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> def script():
    ...     vdp.update_var({"p/vdp_op/mu": 0.0})
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", DiscardedResult)  # "error" instead makes it an error
    ...     script()
    >>> print(str(told[0].message).partition(":")[0])
    CircuitTemplate.update_var leaves the CircuitTemplate as it is and returns a changed one, which is lost here
    """


def near(name: object, known: Iterable[object], count: int = 3) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`.

    Arguments:
        name: what was written.
        known: what there is.
        count: most names.

    Returns:
        The nearest first; none if nothing is like it.

    >>> near("tua", ["tau", "gamma", "Delta"])
    ['tau']
    """
    names = list(dict.fromkeys(str(k) for k in known))[:_MAX_KNOWN]
    by_lower: dict[str, str] = {}
    if len(str(name)) > _MAX_NAME:
        return []
    for candidate in names:
        if len(candidate) <= _MAX_NAME:
            by_lower.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=count, cutoff=0.6)
    return [by_lower[f] for f in found]


def unknown(what: str, name: object, known: Iterable[object], where: str = "") -> str:
    """Word the message for an unknown name: what was got, near names, and what there is.

    Arguments:
        what: the kind of thing, for people.
        name: what was written.
        known: what there is.
        where: the place, put in front.

    Returns:
        The message.

    >>> unknown("solver", "eulr", ["euler", "heun"])
    "unknown solver 'eulr'. Did you mean 'euler'? Known: euler, heun."
    """
    names = list(dict.fromkeys(str(k) for k in known))
    text = f"{where}: " if where else ""
    text += f"unknown {what} {cut(str(name), _MAX_NAME)!r}."
    close = near(name, names)
    if close:
        text += " Did you mean " + " or ".join(repr(c) for c in close) + "?"
    if names:
        shown = ", ".join(cut(each, _MAX_NAME) for each in names[:12])
        text += f" Known: {shown}{f' and {len(names) - 12} more' if len(names) > 12 else ''}."
    else:
        text += " There is none here."
    return text


def cut(text: str, most: int) -> str:
    """Return a text of at most about `most` characters: all of it, or its two ends.

    Arguments:
        text: any text, such as one that a file holds.
        most: characters that are kept.

    Returns:
        The text for a message.

    >>> cut("0123456789" * 10, 20)
    '01234567890123 ... 456789'
    """
    return text if len(text) <= most else f"{text[: most - most // 3]} ... {text[-(most // 3) :]}"
