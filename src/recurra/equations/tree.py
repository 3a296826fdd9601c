"""The expression tree: small immutable nodes, one way to walk them, and the questions asked of them.

Nothing here recurses, so trees grown by substitution may be deeper than any equation a person writes.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from recurra.errors import EquationError

Span = tuple[int, int]
T = TypeVar("T")

_RESERVED = frozenset({"t", "pi"})


class Expr:
    """Stand for any node of an expression; compared and hashed by content, not by place in the text.

    The hash is made once, from the hashes of the children, so it costs the same for every depth.

    >>> from recurra.equations import parse_expression, to_text
    >>> sum_of_two = parse_expression("tau*x + 1")
    >>> sum_of_two == parse_expression("tau * x+1"), sum_of_two == parse_expression("1 + tau*x")
    (True, False)
    >>> [to_text(child) for child in sum_of_two.children]
    ['tau*x', '1']
    """

    __slots__ = ("_hash",)
    _hash: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((type(self).__name__, self._label(), self.children)))

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the nodes right below this one, from left to right."""
        return ()

    def _label(self) -> object:
        """Return what tells this node from another of its type with equal children."""
        return None

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        """Return this node with other children."""
        return self

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Expr):
            return NotImplemented
        pairs: list[tuple[Expr, Expr]] = [(self, other)]
        seen: set[tuple[int, int]] = set()
        while pairs:
            a, b = pairs.pop()
            if a is b or (id(a), id(b)) in seen:
                continue
            if type(a) is not type(b) or a._hash != b._hash or a._label() != b._label():
                return False
            if len(a.children) != len(b.children):
                return False
            seen.add((id(a), id(b)))
            pairs.extend(zip(a.children, b.children, strict=True))
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        # Hashes of strings differ from process to process, so a copy makes its own.
        return type(self), tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False, slots=True)
class Number(Expr):
    """Hold a literal number. Integers become floats, so `2/3` divides floats.

    Arguments:
        value: a finite float or complex number.
        span: where it stands in the text.

    Raises:
        EquationError: the value is not finite.

    >>> from recurra.equations import parse_expression
    >>> parse_expression("2") == Number(2.0), Number(2.0).value
    (True, 2.0)
    """

    value: float | complex
    span: Span | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        value = complex(self.value) if isinstance(self.value, complex) else float(self.value)
        object.__setattr__(self, "value", value)
        if not cmath.isfinite(self.value):
            raise EquationError(f"a number in an expression must be finite, got {self.value}")
        Expr.__post_init__(self)

    def _label(self) -> object:
        return repr(self.value)  # tells 1.0 from 1+0j and 0.0 from -0.0, which compare equal


@dataclass(frozen=True, eq=False, slots=True)
class Name(Expr):
    """Read the present value of a variable, of time `t`, of `pi` or of a noise `xi`.

    Arguments:
        id: the name.
        span: where it stands in the text.

    >>> Name("tau").id
    'tau'
    """

    id: str
    span: Span | None = field(default=None, repr=False)

    def _label(self) -> object:
        return self.id


@dataclass(frozen=True, eq=False, slots=True)
class Unary(Expr):
    """Apply a sign, `-` or `+`.

    Arguments:
        op: `"-"` or `"+"`.
        operand: what has the sign.
        span: where it stands in the text.

    >>> Unary("-", Name("x")).children
    (Name(id='x'),)
    """

    op: str
    operand: Expr
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    def _label(self) -> object:
        return self.op

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return Unary(self.op, *children, span=self.span)


@dataclass(frozen=True, eq=False, slots=True)
class Pair(Expr):
    """Join two expressions by an operator; what :class:`Binary` and :class:`Compare` have in common."""

    op: str
    left: Expr
    right: Expr
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)

    def _label(self) -> object:
        return self.op

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return type(self)(self.op, *children, span=self.span)


@dataclass(frozen=True, eq=False, slots=True)
class Binary(Pair):
    """Join two expressions by `+`, `-`, `*`, `/`, `%` or `**`.

    Arguments:
        op: the operator.
        left, right: its operands.
        span: where it stands in the text.

    >>> Binary("+", Name("x"), Number(2)).children
    (Name(id='x'), Number(value=2.0))
    """


@dataclass(frozen=True, eq=False, slots=True)
class Compare(Pair):
    """Compare two expressions by `<`, `<=`, `>`, `>=`, `==` or `!=`.

    Arguments:
        op: the operator.
        left, right: what is compared.
        span: where it stands in the text.

    >>> Compare(">", Name("v"), Number(1)).op
    '>'
    """


@dataclass(frozen=True, eq=False, slots=True)
class Boolean(Expr):
    """Join truth values by `and`, `or` (two or more operands) or `not` (one operand).

    Arguments:
        op: `"and"`, `"or"` or `"not"`.
        operands: two or more, or one for `"not"`.
        span: where it stands in the text.

    >>> Boolean("not", (Compare(">", Name("v"), Number(1)),)).op
    'not'
    """

    op: str
    operands: tuple[Expr, ...]
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.operands

    def _label(self) -> object:
        return self.op

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return Boolean(self.op, children, span=self.span)


@dataclass(frozen=True, eq=False, slots=True)
class Call(Expr):
    """Call a function of the table by its first name: `atan(x)` is held as `arctan(x)`.

    Arguments:
        function: the first name of the function.
        arguments: what it is called with.
        span: where it stands in the text.

    >>> functions(Call("exp", (Name("x"),)))
    frozenset({'exp'})
    """

    function: str
    arguments: tuple[Expr, ...]
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.arguments

    def _label(self) -> object:
        return self.function

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return Call(self.function, children, span=self.span)


@dataclass(frozen=True, eq=False, slots=True)
class Index(Expr):
    """Take entries of a vector or a matrix, counted from 0: `x[2]`, `A[i, j]`.

    Arguments:
        value: the vector or matrix.
        indices: one for each axis.
        span: where it stands in the text.

    >>> Index(Name("x"), (Number(2),)).children
    (Name(id='x'), Number(value=2.0))
    """

    value: Expr
    indices: tuple[Expr, ...]
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.value, *self.indices)

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return Index(children[0], children[1:], span=self.span)


@dataclass(frozen=True, eq=False, slots=True)
class Past(Expr):
    """Read the value that a variable had `delay` ago: `past(x, tau)` or `x(t - tau)`.

    Arguments:
        name: the variable.
        delay: how long ago; it does not depend on time.
        span: where it stands in the text.

    >>> pasts(Past("x", Name("tau")))
    (Past(name='x', delay=Name(id='tau')),)
    """

    name: str
    delay: Expr
    span: Span | None = field(default=None, repr=False)

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.delay,)

    def _label(self) -> object:
        return self.name

    def _with_children(self, children: tuple[Expr, ...]) -> Expr:
        return Past(self.name, *children, span=self.span)


@dataclass(frozen=True)
class Equation:
    """Hold `target' = expression` (derivative) or `target = expression` (algebraic).

    Arguments:
        target: the variable that the equation defines.
        derivative: whether it defines the derivative by time.
        expression: the right side.
        text: the equation as written; two equations that differ only in it are equal.

    >>> from recurra.equations import parse_equation, to_text
    >>> equation = parse_equation("dv/dt = -v/tau + I")
    >>> equation.target, equation.derivative, to_text(equation.expression), sorted(names(equation.expression))
    ('v', True, '-v/tau + I', ['I', 'tau', 'v'])
    """

    target: str
    derivative: bool
    expression: Expr
    text: str = field(default="", compare=False)


def fold(expression: Expr, combine: Callable[[Expr, tuple[T, ...]], T], into_delays: bool = True) -> T:
    """Work through a tree from the leaves to the root, left before right, each shared node once.

    Arguments:
        expression: the tree.
        combine: gets a node and the results of its children, returns the result of the node.
        into_delays: whether the delay of a `Past` node is worked through too; if not, it has no children.

    Returns:
        The result of the root.

    >>> fold(Binary("+", Name("x"), Number(2)), lambda node, results: 1 + sum(results))
    3
    """
    done: dict[int, T] = {}
    stack = [expression]
    while stack:
        node = stack[-1]
        if id(node) in done:
            stack.pop()
            continue
        children = () if isinstance(node, Past) and not into_delays else node.children
        waiting = [child for child in children if id(child) not in done]
        if waiting:
            stack.extend(reversed(waiting))
        else:
            stack.pop()
            done[id(node)] = combine(node, tuple(done[id(child)] for child in children))
    return done[id(expression)]


def no_history(node: Past) -> EquationError:
    """Make the error for a delayed value where there is no history to take it from."""
    return EquationError(f"past({node.name}, ...) needs the history of {node.name!r}; there is none here")


def _nodes(expression: Expr) -> list[Expr]:
    found: list[Expr] = []
    fold(expression, lambda node, _: found.append(node))
    return found


def is_noise(name: str) -> bool:
    """Tell whether a name stands for noise: `xi`, or `xi_` and anything.

    Arguments:
        name: a name in an expression.

    Returns:
        Whether it is one.

    >>> is_noise("xi"), is_noise("xi_exc"), is_noise("xis")
    (True, True, False)

    >>> is_noise("xi_v"), is_noise("xiv")
    (True, False)
    """
    return name == "xi" or name.startswith("xi_")


def names(expression: Expr, declared: Iterable[str] = ()) -> frozenset[str]:
    """List the variables whose present values an expression reads.

    The variable inside `past(x, tau)` is not among them (its present value is not read; see `pasts`), those
    of the delay are. `t`, `pi` and noise are left out unless they are declared.

    Arguments:
        expression: the tree.
        declared: names that are variables even if they are spelled like `t`, `pi` or noise.

    Returns:
        The names.

    >>> from recurra.equations import parse_expression
    >>> sorted(names(parse_expression("-x/tau + sin(2*pi*t) + xi")))
    ['tau', 'x']
    """
    declared = frozenset(declared)
    found = {node.id for node in _nodes(expression) if isinstance(node, Name)}
    return frozenset(n for n in found if n in declared or not (n in _RESERVED or is_noise(n)))


def noises(expression: Expr, declared: Iterable[str] = ()) -> frozenset[str]:
    """List the noises that an expression reads, `xi` or `xi_NAME`.

    Arguments:
        expression: the tree.
        declared: names that are variables even if they are spelled like noise.

    Returns:
        The names.

    >>> noises(Binary("*", Call("exp", (Name("x"),)), Name("xi")))
    frozenset({'xi'})
    """
    declared = frozenset(declared)
    found = {node.id for node in _nodes(expression) if isinstance(node, Name)}
    return frozenset(n for n in found if is_noise(n) and n not in declared)


def functions(expression: Expr) -> frozenset[str]:
    """List the functions that an expression calls, by their first names in the table.

    Arguments:
        expression: the tree.

    Returns:
        The names.

    >>> functions(Binary("*", Call("exp", (Name("x"),)), Name("xi")))
    frozenset({'exp'})
    """
    return frozenset(node.function for node in _nodes(expression) if isinstance(node, Call))


def pasts(expression: Expr) -> tuple[Past, ...]:
    """List the delayed values that an expression reads, each once, in the order of the text.

    Arguments:
        expression: the tree.

    Returns:
        The `Past` nodes.

    >>> pasts(Binary("+", Name("x"), Past("x", Number(1))))
    (Past(name='x', delay=Number(value=1.0)),)
    """
    return tuple(dict.fromkeys(node for node in _nodes(expression) if isinstance(node, Past)))


def substitute(expression: Expr, replacements: Mapping[str, Expr]) -> Expr:
    """Put expressions in the place of names.

    What `past` looks back at keeps its name, since the history of a variable is no expression; see `rename`.

    Arguments:
        expression: the tree.
        replacements: name -> what stands in its place, all put in at once.

    Returns:
        A new tree; parts without any of the names are shared with the old one.

    >>> from recurra.equations import parse_expression, to_text
    >>> to_text(substitute(parse_expression("2*m"), {"m": parse_expression("a + b")}))
    '2*(a + b)'
    """

    def combine(node: Expr, children: tuple[Expr, ...]) -> Expr:
        if isinstance(node, Name):
            return replacements.get(node.id, node)
        return rebuild(node, children)

    return fold(expression, combine)


def rename(expression: Expr, mapping: Mapping[str, str]) -> Expr:
    """Rename variables, also those inside `past`.

    Arguments:
        expression: the tree.
        mapping: old name -> new name, all changed at once (so two names may be swapped).

    Returns:
        A new tree; parts without any of the names are shared with the old one.

    >>> rename(Name("x"), {"x": "v"})
    Name(id='v')
    """

    def combine(node: Expr, children: tuple[Expr, ...]) -> Expr:
        node = rebuild(node, children)
        if isinstance(node, Name) and node.id in mapping:
            return replace(node, id=mapping[node.id])
        if isinstance(node, Past) and node.name in mapping:
            return replace(node, name=mapping[node.name])
        return node

    return fold(expression, combine)


def rebuild(node: Expr, children: tuple[Expr, ...]) -> Expr:
    """Return a node with other children, or itself if they are its own."""
    if all(new is old for new, old in zip(children, node.children, strict=True)):
        return node
    return node._with_children(children)
