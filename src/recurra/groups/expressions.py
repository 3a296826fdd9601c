"""Expressions of recorders, such as `"np.mean(n.voltage)"`: read through Python's grammar, never run as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from recurra.errors import EquationError, unknown

MAX_LENGTH = 1000
PREFIXES = ("n", "s", "neurons", "synapse", "synapses", "network")

Value = Callable[[Any], Any]

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
# Functions of NumPy with the number of arguments that may be given without a name: never one that is written to.
_ONE = """abs absolute fabs sqrt cbrt square exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh
    cosh tanh arcsinh arccosh arctanh sign floor ceil rint trunc isnan isfinite isinf logical_not reciprocal negative
    positive count_nonzero ravel transpose diag diagonal trace corrcoef nan_to_num atleast_1d"""
_TWO = """minimum maximum fmin fmax arctan2 hypot power mod fmod add subtract multiply divide floor_divide less greater
    less_equal greater_equal equal not_equal logical_and logical_or logical_xor mean average median sum prod min max
    amin amax ptp std var any all argmax argmin cumsum cumprod sort dot matmul inner outer vdot round around nanmean
    nansum nanmax nanmin nanstd nanvar"""
_THREE = "where clip percentile quantile roll diff"
_FUNCTIONS = {name: most for most, names in enumerate((_ONE, _TWO, _THREE), start=1) for name in names.split()}
_METHODS: dict[str, int] = {
    "mean": 1, "sum": 1, "min": 1, "max": 1, "prod": 1, "std": 1, "var": 1, "any": 1, "all": 1, "argmax": 1,
    "argmin": 1, "cumsum": 1, "dot": 1, "copy": 0, "ravel": 0, "flatten": 0, "transpose": 2, "round": 1, "clip": 2,
}  # fmt: skip
_KEYWORDS = ("axis", "keepdims", "ddof", "n", "shift", "decimals", "q", "a_min", "a_max", "min", "max", "weights", "k")
_CONSTANTS = {"pi": np.pi, "e": np.e, "inf": np.inf, "nan": np.nan, "newaxis": None}
_WORDS = {
    ast.BoolOp: "join arrays by & and |, with brackets",
    ast.IfExp: "write np.where(condition, a, b)",
    ast.Lambda: "there are no functions of your own here; make the variable in a behavior",
}


@dataclass(frozen=True)
class Expression:
    """Hold an expression that was read.

    Arguments:
        name: its text in a standard form, without the prefix of the group.
        value: gives its value on a group.
        names: the attributes of the group that it begins with.
    """

    name: str
    value: Value
    names: tuple[str, ...]


@lru_cache(maxsize=1024)  # a pure function of the text
def read_expression(text: str, where: str = "") -> Expression:
    """Read an expression.

    Arguments:
        text: attributes of a group, with or without `n.` or `s.` before them, their attributes, numbers, arithmetic,
            comparisons, `& | ~`, indices, functions of NumPy (`np.mean`, ...) and methods such as `.mean()`.
        where: what it is for, for messages.

    Returns:
        The expression.

    Raises:
        EquationError: the text is anything else.

    >>> from types import SimpleNamespace
    >>> expression = read_expression("np.mean( n.v ) > 1")
    >>> expression.name, bool(expression.value(SimpleNamespace(v=np.array([1.0, 2.0]))))
    ('np.mean(v) > 1', True)
    """
    if not isinstance(text, str):
        raise EquationError(f"a recorded variable must be a text such as 'voltage', got {text!r}.", where=where)
    if len(text) > MAX_LENGTH:
        raise EquationError(f"the text has {len(text)} characters, more than {MAX_LENGTH}.", where=where)
    stripped = text.strip()
    try:
        tree = ast.parse(stripped, mode="eval").body
        reader = _Reader(stripped, where)
        value = reader.value(tree)
        name = ast.unparse(_Standard().visit(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, EquationError):
            raise
        detail = getattr(error, "msg", None) or "it is nested too deeply or holds a character that cannot be read"
        raise EquationError(f"this is no expression ({detail}).", text, where=where) from None
    return Expression(name, value, tuple(dict.fromkeys(reader.names)))


def standard_name(text: str) -> str | None:
    """Return the standard form of a recorded variable, or `None` if the text is no expression.

    >>> standard_name("n.voltage"), standard_name("np.mean( n.voltage)"), standard_name("my cells")
    ('voltage', 'np.mean(voltage)', None)
    """
    try:
        return read_expression(text).name
    except EquationError:
        return None


class _Standard(ast.NodeTransformer):
    """Take the prefix of the group away."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in PREFIXES:
            return ast.Name(node.attr, node.ctx)
        return self.generic_visit(node)


class _Reader:
    """Turn Python's tree into functions of the group; whatever is not listed here is refused."""

    def __init__(self, text: str, where: str):
        self.text, self.where = text, where
        self.names: list[str] = []

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | int() | float() | None as constant):
                return lambda parent: constant
            case ast.Name(id=name):
                return self.variable(name, node)
            case ast.Attribute():
                return self.attribute(node)
            case ast.UnaryOp(op=op) if type(op) in _UNARY:
                one, inner = _UNARY[type(op)], self.value(node.operand)
                return lambda parent: one(inner(parent))
            case ast.BinOp():
                return self.binary(node)
            case ast.Compare():
                return self.compare(node)
            case ast.Subscript():
                base, index = self.value(node.value), self.index(node.slice)
                return lambda parent: base(parent)[index(parent)]
            case ast.Call():
                return self.call(node)
            case ast.List():
                return self.list(node)
        hint = _WORDS.get(type(node), "write variables, numbers, arithmetic, comparisons, indices and np functions")
        raise self.error(f"this cannot stand here; {hint}.", node)

    def variable(self, name: str, node: ast.expr) -> Value:
        if name == "np":
            raise self.error("np must be followed by the name of a function, as in np.mean(voltage).", node)
        self.public(name, node)
        self.names.append(name)
        get = operator.attrgetter(name)
        return lambda parent: get(parent)

    def attribute(self, node: ast.Attribute) -> Value:
        self.public(node.attr, node)
        if isinstance(node.value, ast.Name) and node.value.id == "np":
            if node.attr in _CONSTANTS:
                constant = _CONSTANTS[node.attr]
                return lambda parent: constant
            if node.attr in _FUNCTIONS:
                raise self.error(f"np.{node.attr} is a function; write np.{node.attr}(...).", node)
            raise self.error(unknown("function of NumPy", node.attr, _FUNCTIONS), node)
        if isinstance(node.value, ast.Name) and node.value.id in PREFIXES:
            return self.variable(node.attr, node)
        base, get = self.value(node.value), operator.attrgetter(node.attr)
        return lambda parent: get(base(parent))

    def binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Pow):
            return lambda parent: _power(left(parent), right(parent))
        do = _BINARY.get(type(node.op))
        if do is None:
            raise self.error("this operator is not known here; write + - * / // % ** @ & | ^ ~.", node)
        return lambda parent: do(left(parent), right(parent))

    def compare(self, node: ast.Compare) -> Value:
        do = _COMPARE.get(type(node.ops[0]))
        if len(node.ops) > 1:
            raise self.error("write two comparisons joined by &, as in (0 < v) & (v < 1).", node)
        if do is None:
            raise self.error("this comparison is not known here; write < <= > >= == !=.", node)
        left, right = self.value(node.left), self.value(node.comparators[0])
        return lambda parent: do(left(parent), right(parent))

    def index(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Tuple):
            parts = [self.index(item) for item in node.elts]
            return lambda parent: tuple(part(parent) for part in parts)
        if isinstance(node, ast.Slice):
            ends = [None if e is None else self.value(e) for e in (node.lower, node.upper, node.step)]
            return lambda parent: slice(*(None if end is None else end(parent) for end in ends))
        if isinstance(node, ast.Constant) and node.value is Ellipsis:
            return lambda parent: Ellipsis
        return self.value(node)

    def list(self, node: ast.List) -> Value:
        numbers = []
        for item in node.elts:
            negative = isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.USub)
            inner = item.operand if negative and isinstance(item, ast.UnaryOp) else item
            if not isinstance(inner, ast.Constant) or not isinstance(inner.value, int | float):
                raise self.error("a list can only hold numbers.", item)
            numbers.append(-inner.value if negative else inner.value)
        array = np.array(numbers)
        return lambda parent: array

    def call(self, node: ast.Call) -> Value:
        function = node.func
        if not isinstance(function, ast.Attribute):
            raise self.error("only functions of NumPy can be called, as np.mean(voltage).", node)
        name = function.attr
        of_numpy = isinstance(function.value, ast.Name) and function.value.id == "np"
        what, known = ("function of NumPy", _FUNCTIONS) if of_numpy else ("method", _METHODS)
        if name not in known:
            raise self.error(unknown(what, name, known), function)
        if len(node.args) > known[name]:
            raise self.error(
                f"{name} takes at most {known[name]} argument(s) without a name, got {len(node.args)}.", node
            )
        positional = [self.value(arg) for arg in node.args]
        named = {str(keyword.arg): self.keyword(keyword) for keyword in node.keywords}
        called: Any = getattr(np, name) if of_numpy else None
        base = None if of_numpy else self.value(function.value)

        def result(parent: Any) -> Any:
            do = getattr(base(parent), name) if base is not None else called
            return do(*(p(parent) for p in positional), **{k: v(parent) for k, v in named.items()})

        return result

    def keyword(self, keyword: ast.keyword) -> Value:
        if keyword.arg not in _KEYWORDS:
            raise self.error(unknown("keyword", keyword.arg or "**", _KEYWORDS), keyword.value)
        if isinstance(keyword.value, ast.Tuple):
            return self.index(keyword.value)
        return self.value(keyword.value)

    def public(self, name: str, node: ast.expr) -> None:
        if name.startswith("_"):
            raise self.error(f"{name!r} is private and cannot be recorded.", node)

    def error(self, message: str, node: ast.expr) -> EquationError:
        return EquationError(message, self.text, (node.col_offset, node.end_col_offset or 0), self.where)


def _power(base: Any, exponent: Any) -> Any:
    # Python's whole numbers would grow without bound, and take the memory and the time with them.
    if isinstance(base, int) and isinstance(exponent, int) and not isinstance(base, bool):
        return float(base) ** exponent
    return base**exponent
