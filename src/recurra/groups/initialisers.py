"""Texts that say how an array begins, such as `"uniform(0, 1)"`, read through Python's grammar and never run."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from recurra.errors import EquationError, ShapeError, unknown

MAX_LENGTH = 1000
_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?%?")

# The names of the arguments of each draw, in their order; those in brackets may be left out.
_DRAWS: dict[str, str] = {
    "uniform": "[low] [high]", "random_sample": "", "sample": "", "ranf": "", "randn": "", "standard_normal": "",
    "normal": "[loc] [scale]", "lognormal": "[mean] [sigma]", "poisson": "[lam]", "exponential": "[scale]",
    "standard_exponential": "", "beta": "a b", "gamma": "shape [scale]", "standard_gamma": "shape", "binomial": "n p",
    "negative_binomial": "n p", "randint": "low [high]", "choice": "a [replace] [p]", "laplace": "[loc] [scale]",
    "logistic": "[loc] [scale]", "gumbel": "[loc] [scale]", "rayleigh": "[scale]", "weibull": "a", "pareto": "a",
    "power": "a", "triangular": "left mode right", "vonmises": "mu kappa", "wald": "mean scale", "geometric": "p",
    "hypergeometric": "ngood nbad nsample", "logseries": "p", "zipf": "a", "chisquare": "df",
    "noncentral_chisquare": "df nonc", "f": "dfnum dfden", "noncentral_f": "dfnum dfden nonc", "standard_cauchy": "",
    "standard_t": "df", "lognormal_real_mean": "mean sigma", "uniform_gap": "mean gap_percent",
    "zeros": "", "ones": "", "full": "value",
}  # fmt: skip
_ALIASES = {"random": "uniform", "rand": "uniform", "rnd": "uniform", "lognormal_rm": "lognormal_real_mean"}
_CALLED = {"randn": "standard_normal", "sample": "random_sample", "ranf": "random_sample"}
_KINDS = {"bool": np.bool_, "int": np.int64}
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """Hold one call of a text: the name of a distribution and its arguments by name."""

    name: str
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Operation:
    """Hold two sides of an arithmetic operation."""

    do: Callable[[Any, Any], Any]
    left: Any
    right: Any


def names() -> list[str]:
    """List the names that a text may call."""
    return [*_DRAWS, *_ALIASES, *_KINDS]


def read_number(text: str) -> float | int | None:
    """Return the number in a text, or `None` if it is none.

    >>> read_number("10%"), read_number("-3"), read_number("x")
    (0.1, -3, None)
    """
    text = text.strip()
    if len(text) > 300 or not _NUMBER.fullmatch(text):
        return None
    value = float(text.removesuffix("%"))
    if not math.isfinite(value):
        return None
    if text.endswith("%"):
        return value / 100
    return int(text) if text.lstrip("+-").isdigit() and abs(value) < 2**63 else value


def is_call(text: str) -> bool:
    """Tell whether a text calls something, rather than naming it or being a number."""
    return "(" in text and ")" in text


@lru_cache(maxsize=1024)  # a pure function of the text: users draw in every step
def parse(text: str) -> Any:
    """Read a text into a tree of numbers, draws and operations.

    Arguments:
        text: numbers, distributions of `numpy.random` with numbers as arguments, `+ - * / **` and brackets.

    Returns:
        A number, a :class:`Draw`, an :class:`Operation`, or a type for zeros of this type.

    Raises:
        EquationError: it is anything else.

    >>> parse("uniform(0, 2)")
    Draw(name='uniform', arguments=(('low', 0), ('high', 2)))
    """
    if len(text) > MAX_LENGTH:
        raise EquationError(f"the text has {len(text)} characters, more than {MAX_LENGTH}.")
    number = read_number(text)
    if number is not None:
        return number
    stripped = text.strip()
    if stripped in _KINDS:
        return _KINDS[stripped]
    try:
        tree = ast.parse(stripped, mode="eval").body
        return _Reader(stripped).node(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, EquationError):
            raise
        detail = getattr(error, "msg", None) or "it is nested too deeply or holds a character that cannot be read"
        raise EquationError(
            f"this is no initialiser ({detail}); write for instance 'uniform(0, 1)', '5*ones()' or '0.5'.",
            text,
        ) from None


class _Reader:
    """Take the tree of Python's grammar over, node by node; whatever is not listed here is refused."""

    def __init__(self, text: str):
        self.text = text

    def node(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return self.finite(node.value, node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                inner = self.node(node.operand)
                if isinstance(node.op, ast.UAdd):
                    return inner
                return Operation(operator.mul, -1, inner) if _draws(inner) else -inner
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self.operation(node)
            case ast.Name():
                return self.draw(node.id, [], [], node)
            case ast.Call(func=ast.Name(id=name)):
                return self.draw(name, node.args, node.keywords, node)
        raise self.error("only numbers, distributions, + - * / ** and brackets may stand here.", node)

    def operation(self, node: ast.BinOp) -> Any:
        left, right, do = self.node(node.left), self.node(node.right), _OPERATORS[type(node.op)]
        if _draws(left) or _draws(right):
            return Operation(do, left, right)
        try:
            if isinstance(node.op, ast.Pow) and (abs(left) > 1e6 or not 0 <= right <= 50):
                left = float(left)
            return self.finite(do(left, right), node)
        except (ArithmeticError, TypeError):
            raise self.error("this has no finite value.", node) from None

    def draw(self, name: str, args: list[ast.expr], keywords: list[ast.keyword], node: ast.expr) -> Draw:
        name = _ALIASES.get(name, name)
        if name not in _DRAWS:
            raise self.error(unknown("distribution", name, names()), node)
        expected = _DRAWS[name].split()
        wanted = [word.strip("[]") for word in expected]
        if len(args) > len(wanted):
            takes = ", ".join(wanted) or "no argument"
            raise self.error(f"{name} takes {takes}; got {len(args)} arguments.", node)
        given = {word: self.argument(arg) for word, arg in zip(wanted, args, strict=False)}
        for keyword in keywords:
            if keyword.arg not in wanted:
                raise self.error(unknown("argument", keyword.arg or "**", wanted, name), keyword.value)
            if keyword.arg in given:
                raise self.error(f"{name} got {keyword.arg} twice.", keyword.value)
            given[keyword.arg] = self.argument(keyword.value)
        missing = [word for word in expected if word[0] != "[" and word not in given]
        if missing:
            raise self.error(f"{name} needs {', '.join(missing)}; write {name}({', '.join(wanted)}).", node)
        return Draw(name, tuple(given.items()))

    def argument(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self.argument(item) for item in node.elts)
        value = self.node(node)
        if _draws(value):
            raise self.error("an argument of a distribution must be a number.", node)
        return value

    def finite(self, value: Any, node: ast.expr) -> Any:
        # Whole numbers of Python have no bound; those beyond 64 bits become floating-point numbers.
        if isinstance(value, complex) or not -1.7e308 < value < 1.7e308:
            raise self.error("this has no finite value.", node)
        return value if abs(value) < 2**63 else float(value)

    def error(self, message: str, node: ast.expr) -> EquationError:
        return EquationError(message, self.text, (node.col_offset, node.end_col_offset or 0))


def _draws(value: object) -> bool:
    return isinstance(value, Draw | Operation)


def fill(tree: Any, shape: tuple[int, ...], dtype: Any, random: Any) -> Any:
    """Make the array that a tree of :func:`parse` describes.

    Each draw is cast to `dtype` by itself, in the order of the text.

    Arguments:
        tree: what :func:`parse` gave.
        shape, dtype: of the array.
        random: what draws, with the names of `numpy.random`.

    Returns:
        The array.

    Raises:
        EquationError: a distribution does not take these numbers.

    >>> fill(parse("5*ones()"), (2,), np.float32, np.random.RandomState(0)).tolist()
    [5.0, 5.0]
    """
    if isinstance(tree, type):
        return np.zeros(shape, tree)
    value = _value(tree, shape, dtype, random)
    return value if _draws(tree) else np.full(shape, value, dtype)


def _value(tree: Any, shape: tuple[int, ...], dtype: Any, random: Any) -> Any:
    if isinstance(tree, Operation):
        left = _value(tree.left, shape, dtype, random)
        right = _value(tree.right, shape, dtype, random)
        return tree.do(left, right)
    if not isinstance(tree, Draw):
        return tree
    arguments = dict(tree.arguments)
    if tree.name in ("zeros", "ones", "full"):
        return np.full(shape, arguments.get("value", float(tree.name == "ones")), dtype)
    name, arguments = _standard(tree.name, arguments)
    try:
        return getattr(random, name)(**arguments, size=shape).astype(dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise EquationError(f"{tree.name} does not take these numbers ({error}): {arguments}.") from None


def _standard(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Express a distribution by one of `numpy.random`."""
    if name == "lognormal_real_mean":
        # The mean of a lognormal is exp(mu + sigma^2/2) (Johnson, Kotz and Balakrishnan 1994).
        mean, sigma = arguments["mean"], arguments["sigma"]
        if mean <= 0:
            raise EquationError(f"lognormal_real_mean needs a mean > 0, got {mean}.")
        return "lognormal", {"mean": math.log(mean) - sigma * sigma / 2, "sigma": sigma}
    if name == "uniform_gap":
        half = abs(arguments["mean"]) * arguments["gap_percent"] / 100
        return "uniform", {"low": arguments["mean"] - half, "high": arguments["mean"] + half}
    if name == "choice":
        arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    return _CALLED.get(name, name), arguments


def make(
    mode: Any,
    shape: tuple[int, ...],
    dtype: Any,
    random: Any,
    *,
    scale: Any = None,
    density: Any = None,
    plot: bool = False,
    where: object = "",
) -> Any:
    """Make an array from whatever `vector` and `matrix` accept.

    Arguments:
        mode: a text for :func:`parse`, a number, an array of the shape, or the type `bool` or `int` (zeros of it).
        shape, dtype: of the array.
        random: what draws, with the names of `numpy.random`.
        scale: what it is multiplied with.
        density: probability that an entry stays; the others become 0. A number, an array of the shape, or for a
            matrix one number for each row.
        plot: draw a histogram with matplotlib.
        where: what it is for, for messages: a text, or the object.

    Returns:
        The array.

    Raises:
        EquationError: the text cannot be read.
        ShapeError: an array does not fit.
    """
    if isinstance(mode, str):
        try:
            values = fill(parse(mode), shape, dtype, random)
        except EquationError as error:
            raise EquationError(error.message, error.source, error.span, str(where)) from None
    elif isinstance(mode, type):
        if mode not in (bool, int, float, np.bool_, np.int64):
            message = f"expected a text, a number or an array, got the type {mode.__name__}."
            raise EquationError(message, where=str(where))
        values = np.zeros(shape, dtype if mode is float else mode)
    elif np.ndim(mode) == 0:
        values = np.full(shape, _real(mode[()] if isinstance(mode, np.ndarray) else mode, where), dtype)
    else:
        values = _spread(mode, shape, "values", where).astype(dtype)
    if density is not None:
        values *= random.random_sample(shape) <= _density(density, shape, where)
    if scale is not None:
        values *= scale
    if plot:
        import matplotlib.pyplot as plt

        plt.figure()
        plt.hist(np.ravel(values), bins="auto")
    return values


def _real(value: Any, where: object) -> Any:
    if not isinstance(value, bool | int | float | np.bool_ | np.number) or isinstance(value, np.complexfloating):
        raise EquationError(
            f"expected a text such as 'uniform(0, 1)', a number or an array, got {value!r}.", where=str(where)
        )
    return value


def _density(density: Any, shape: tuple[int, ...], where: object) -> Any:
    if type(density) is float and 0 <= density <= 1:
        return density
    found = np.asarray(density)
    if found.dtype.kind not in "bifu" or not np.all((found >= 0) & (found <= 1)):
        raise ShapeError(f"{where}: density must be a probability from 0 to 1, or an array of these, got {density!r}.")
    return density if found.ndim == 0 else _spread(density, shape, "density", where)


def _spread(value: Any, shape: tuple[int, ...], what: str, where: object) -> Any:
    """Return an array of the shape; for a matrix, one number for each row will do."""
    found = value if hasattr(value, "__array_function__") else np.array(value)
    if found.shape == shape:
        return found
    if what == "density" and len(shape) == 2 and found.shape in ((shape[0],), (shape[0], 1)):
        return np.broadcast_to(found.reshape(-1, 1), shape)
    rows = f", or ({shape[0]},) for its rows" if what == "density" and len(shape) == 2 else ""
    raise ShapeError(f"{where}: the {what} must have the shape {shape}{rows}, got {found.shape}.")
