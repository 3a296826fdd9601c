"""Text into equations: checked token by token, read by Python's own grammar, and taken over node by node."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from recurra.equations.lexer import MAX_DEPTH, Line, Token, check_name, read_line, too_deep
from recurra.equations.table import FUNCTIONS
from recurra.equations.tree import (
    Binary,
    Boolean,
    Call,
    Compare,
    Equation,
    Expr,
    Index,
    Name,
    Number,
    Past,
    Span,
    Unary,
    is_noise,
)
from recurra.errors import EquationError, unknown

MAX_TOTAL_LENGTH = 100_000

_LEFT_FORMS = "the left side is x' or d/dt * x or dx/dt (differential equation), or x (assignment)"
_ASSIGNING = ("+=", "-=", "*=", "/=", "%=", "^=", "**=", "//=")
_BINARY: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip
_COMPARE: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


def parse_expression(text: str, where: str = "") -> Expr:
    """Read an expression, such as the right side of an equation.

    Arguments:
        text: the expression; `^` and `**` are both powers.
        where: the path of the operator that holds it, for messages.

    Returns:
        The tree.

    Raises:
        EquationError: the text is no expression of the language; the message points at the spot.

    >>> parse_expression("-x^2")
    Unary(op='-', operand=Binary(op='**', left=Name(id='x'), right=Number(value=2.0)))
    """
    line, tokens = read_line(text, where)
    return _expression(line, tokens)


def parse_equation(text: str, where: str = "") -> Equation:
    """Read one equation.

    Arguments:
        text: `x' = ...`, `d/dt * x = ...`, `d/dt x = ...` or `dx/dt = ...`; algebraic: `x = ...`.
        where: the path of the operator that holds it, for messages.

    Returns:
        The equation.

    Raises:
        EquationError: the text is no equation of the language; the message points at the spot.

    >>> equation = parse_equation("d/dt * v = -v/tau")
    >>> equation.target, equation.derivative
    ('v', True)
    """
    line, tokens = read_line(text, where)
    equals = _equals_sign(line, tokens)
    left, right = tokens[:equals], tokens[equals + 1 :]
    target, derivative = _left_side(line, left, tokens[equals])
    if not right:
        raise line.error("there is nothing on the right of '='", tokens[equals].start)
    return Equation(target, derivative, _expression(line, right), line.text)


def parse_equations(text: str | Iterable[str], where: str = "") -> tuple[Equation, ...]:
    """Read the equations of one operator.

    Arguments:
        text: equations separated by line ends (but not inside brackets) or `;`, or several such texts.
        where: the path of the operator that holds them, for messages.

    Returns:
        The equations in the order of the text.

    Raises:
        EquationError: one of them is no equation of the language, or two of them define one variable.

    >>> [e.target for e in parse_equations("v' = -v + w; w' = -w")]
    ['v', 'w']
    """
    texts = [text] if isinstance(text, str) or not isinstance(text, Iterable) else list(text)
    pieces: list[object] = []
    for each in texts:
        pieces.extend(_pieces(each, where) if isinstance(each, str) else [each])
    found: dict[str, Equation] = {}
    for piece in pieces:
        equation = parse_equation(piece, where)  # type: ignore[arg-type]
        if equation.target in found:
            other = found[equation.target].text
            message = f"{equation.target!r} has two equations, the other one is {other!r}; join them into one"
            raise EquationError(message, equation.text, (0, len(equation.text)), where)
        found[equation.target] = equation
    return tuple(found.values())


def _pieces(text: str, where: str) -> list[str]:
    """Split a text at line ends and semicolons that stand in no bracket."""
    if len(text) > MAX_TOTAL_LENGTH:
        limit = f"longer than {MAX_TOTAL_LENGTH} characters; give them as a list of texts"
        raise EquationError(f"the equations are {len(text)} characters long, {limit}", where=where)
    pieces, start, depth = [], 0, 0
    for position, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == ";" or (character in "\r\n" and depth <= 0):
            pieces.append(text[start:position])
            start, depth = position + 1, 0
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def _equals_sign(line: Line, tokens: Sequence[Token]) -> int:
    """Find the one `=` of an equation."""
    for token in tokens:
        if token.text in _ASSIGNING:
            message = f"{token.text!r} cannot be used: each variable has one equation, written with one ="
            raise line.error(f"{message}; what edges bring is summed by itself", token.start, token.end)
    found: list[int] = []
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if token.text == "=" and depth:
            message = "arguments have no names here; give them in order, and compare with =="
            raise line.error(message, token.start)
        if token.text == "=":
            found.append(place)
    if len(found) > 1:
        message = "there is a second '='; write one equation for each variable, == to compare"
        raise line.error(message, tokens[found[1]].start)
    if not found:
        compares = any(token.text == "==" for token in tokens)
        hint = "== compares and does not define" if compares else _LEFT_FORMS
        raise line.error(f"an equation needs one '='; {hint}", 0, len(line.text))
    return found[0]


def _left_side(line: Line, tokens: Sequence[Token], equals: Token) -> tuple[str, bool]:
    if not tokens:
        raise line.error(f"there is nothing on the left of '='; {_LEFT_FORMS}", equals.start)
    start, end = tokens[0].start, tokens[-1].end
    words = [token.text for token in tokens]
    _refuse_second_derivative(line, words, start, end)
    if "(" in words or "[" in words:
        message = "an equation defines a whole variable; its entries or its past cannot be set"
        raise line.error(message, start, end)
    match words:
        case [name] | ["d", "/", "dt", "*", name] | ["d", "/", "dt", name]:
            target, token, derivative = name, tokens[-1], len(words) > 1
        case [name, "'"]:
            target, token, derivative = name, tokens[0], True
        case [name, "/", "dt"] if len(name) > 1 and name.startswith("d") and name[1:].isidentifier():
            target, token, derivative = check_name(name[1:], line.where), tokens[0], True
        case _:
            raise line.error(f"cannot read the left side; {_LEFT_FORMS}", start, end)
    if token.kind != "name":
        raise line.error(f"cannot read the left side; {_LEFT_FORMS}", start, end)
    if target == "t" or is_noise(target):
        meaning = "time and goes on by itself" if target == "t" else "noise and is drawn by itself"
        raise line.error(f"{target!r} is {meaning}; choose another name", start, end)
    return target, derivative


def _refuse_second_derivative(line: Line, words: list[str], start: int, end: int) -> None:
    powers = "^" in words or "**" in words
    leibniz = words[0][0] == "d" and ("dt2" in words or words.count("dt") > 1 or ("dt" in words and powers))
    if words.count("'") > 1 or leibniz:
        x = words[0] if words[1] == "'" else "x"
        message = "a second derivative cannot be used; write two first-order equations"
        raise line.error(f"{message}: {x}' = {x}_dot and {x}_dot' = ...", start, end)


def _expression(line: Line, tokens: Sequence[Token]) -> Expr:
    _check_order(line, tokens)
    # Python gets every number as a float and one blank between tokens: no surprises from its tokeniser.
    source, starts, ends = "", {}, {}
    size = 0
    for token in tokens:
        piece = _as_python(token)
        starts[size] = token.start
        ends[size + len(piece.encode())] = token.end
        size += len(piece.encode()) + 1
        source += piece + " "
    whole = (tokens[0].start, tokens[-1].end)
    try:
        tree = ast.parse(source.rstrip(), mode="eval").body
        return _Reader(line, starts, ends).read(tree)
    except (RecursionError, MemoryError):
        raise too_deep(line, *whole) from None
    except (SyntaxError, ValueError) as problem:
        if isinstance(problem, EquationError):
            raise
        if "nested" in str(problem):
            raise too_deep(line, *whole) from None
        raise line.error(
            f"cannot read this; put brackets around its parts ({problem.args[0]})", *whole
        ) from None


def _as_python(token: Token) -> str:
    if token.kind == "number":
        return repr(complex(token.text) if token.text[-1] in "jJ" else float(token.text))
    return "**" if token.text == "^" else token.text


def _check_order(line: Line, tokens: Sequence[Token]) -> None:
    """Check that operands and operators take turns, so that a slip is shown where it is."""
    previous: Token | None = None
    for token in tokens:
        if token.text == "=":
            message = "an expression has no '='; compare with ==, give arguments in order without names"
            raise line.error(message, token.start)
        if token.text == "'":
            message = "a derivative can stand on the left of an equation only, and text in quotes nowhere"
            raise line.error(message, token.start)
        if token.text in _ASSIGNING:
            raise line.error(f"{token.text!r} cannot be used in an expression", token.start, token.end)
        after_operand = previous is not None and (previous.kind != "operator" or previous.text in (")", "]"))
        if after_operand:
            _check_after_operand(line, previous, token)  # type: ignore[arg-type]
        else:
            _check_after_operator(line, previous, token)
        previous = token
    if previous is not None and previous.kind == "operator" and previous.text not in (")", "]"):
        raise line.error(f"something is missing after {previous.text!r}", previous.start, previous.end)


def _check_after_operand(line: Line, previous: Token, token: Token) -> None:
    callable_before = previous.kind == "name"
    indexable_before = previous.kind == "name" or previous.text in (")", "]")
    fits = token.kind == "operator" and token.text != "not"
    if token.text == "(":
        fits = callable_before
    elif token.text == "[":
        fits = indexable_before
    if not fits:
        message = (
            f"an operator is missing between {previous.text!r} and {token.text!r}; a product is written a*b"
        )
        raise line.error(message, token.start, token.end)


def _check_after_operator(line: Line, previous: Token | None, token: Token) -> None:
    if (
        token.text == "not"
        and previous is not None
        and previous.text not in ("(", "[", ",", "not", "and", "or")
    ):
        message = f"put brackets around what begins with `not` after {previous.text!r}"
        raise line.error(message, token.start, token.end)
    if token.kind != "operator" or token.text in ("(", "+", "-", "not"):
        return
    if token.text == "[":
        raise line.error(
            "lists cannot stand in an equation; join vectors with concatenate(a, b)", token.start
        )
    if previous is not None and previous.text == "(" and token.text == ")":
        return  # an empty call, or an empty bracket: the tree tells which
    raise line.error(f"something is missing before {token.text!r}", token.start, token.end)


class _Reader:
    """Take over the nodes of Python's tree that belong to the language and refuse all others."""

    def __init__(self, line: Line, starts: dict[int, int], ends: dict[int, int]):
        self.line, self.starts, self.ends = line, starts, ends

    def span(self, node: ast.expr) -> Span:
        return self.starts[node.col_offset], self.ends[node.end_col_offset or 0]

    def error(self, message: str, node: ast.expr) -> EquationError:
        return self.line.error(message, *self.span(node))

    def read(self, node: ast.expr, depth: int = 1) -> Expr:
        if depth > MAX_DEPTH:
            raise too_deep(self.line, *self.span(node))
        span, below = self.span(node), depth + 1
        match node:
            case ast.Constant(value=float() | complex() as value):
                return Number(value, span)
            case ast.Name(id=name):
                return Name(name, span)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Boolean("not", (self.read(operand, below),), span)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                return Unary("-" if isinstance(op, ast.USub) else "+", self.read(operand, below), span)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return Binary(_BINARY[type(op)], self.read(left, below), self.read(right, below), span)
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return Boolean(word, tuple(self.read(v, below) for v in values), span)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return Compare(_COMPARE[type(op)], self.read(left, below), self.read(right, below), span)
            case ast.Compare():
                raise self.error("comparisons cannot be chained; write a < b and b < c", node)
            case ast.Subscript(value=value, slice=index):
                indices = index.elts if isinstance(index, ast.Tuple) else [index]
                return Index(self.read(value, below), tuple(self.read(i, below) for i in indices), span)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(name, node, arguments, below)
            case ast.Tuple(elts=[]):
                raise self.error("there is nothing in the brackets", node)
            case ast.Tuple():
                message = "a comma can stand between arguments only; join vectors with concatenate(a, b)"
                raise self.error(message, node)
        raise self.error(f"{type(node).__name__} cannot stand in an equation", node)

    def call(self, name: str, node: ast.Call, arguments: list[ast.expr], depth: int) -> Expr:
        if name == "past":
            return self.past(node, arguments, depth)
        if name not in FUNCTIONS:
            match arguments:
                case [ast.BinOp(left=ast.Name(id="t"), op=ast.Sub(), right=delay)]:
                    return self.delayed(name, node.func, delay, self.span(node), depth)
            raise self.unknown_function(name, node.func, arguments)
        function = FUNCTIONS[name]
        least, most = function.arity
        if len(arguments) < least or (most is not None and len(arguments) > most):
            wanted = (
                str(least) if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            )
            plural = "" if wanted == "1" else "s"
            raise self.error(f"{name} takes {wanted} argument{plural}, got {len(arguments)}", node)
        return Call(function.name, tuple(self.read(a, depth) for a in arguments), self.span(node))

    def past(self, node: ast.Call, arguments: list[ast.expr], depth: int) -> Past:
        match arguments:
            case [ast.Name(id=variable) as first, delay]:
                return self.delayed(variable, first, delay, self.span(node), depth)
        raise self.error("past takes the name of a variable and a delay: past(x, tau)", node)

    def delayed(self, name: str, place: ast.expr, delay: ast.expr, span: Span, depth: int) -> Past:
        if name in ("t", "pi") or is_noise(name):
            raise self.error(f"{name!r} has no past; only variables have", place)
        return Past(name, self.read(delay, depth), span)

    def unknown_function(self, name: str, place: ast.expr, arguments: list[ast.expr]) -> EquationError:
        if any(isinstance(node, ast.Name) and node.id == "t" for a in arguments for node in ast.walk(a)):
            message = f"{name!r} is no function; a delayed variable is {name}(t - tau) or past({name}, tau)"
            return self.error(f"{message}, with brackets around a delay of several terms", place)
        message = unknown("function", name, [*FUNCTIONS, "past"])
        return self.error(f"{message} A product is written {name}*(...).", place)
