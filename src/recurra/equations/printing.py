"""Trees back into text, and into LaTeX."""

from __future__ import annotations

import re

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
    Unary,
    fold,
)
from recurra.errors import EquationError

# How tightly a node holds together, in the order of Python's grammar; a looser one in a tighter
# one gets brackets.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(1, 10)
_TIGHTNESS = {
    "or": _OR,
    "and": _AND,
    "not": _NOT,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
    "%": _PRODUCT,
}

_GREEK = frozenset(
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon "
        "phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
    )
)
_LATEX_COMPARE = {"<": "<", "<=": r"\leq", ">": ">", ">=": r"\geq", "==": "=", "!=": r"\neq"}
_LATEX_BOOLEAN = {"and": r" \wedge ", "or": r" \vee "}
# What surrounds the only argument of functions that have a notation of their own.
_LATEX_AROUND = {
    "sqrt": (r"\sqrt{", "}"),
    "abs": (r"\left|", r"\right|"),
    "floor": (r"\left\lfloor ", r"\right\rfloor"),
    "ceil": (r"\left\lceil ", r"\right\rceil"),
    "conj": (r"\overline{", "}"),
    "mean": (r"\left\langle ", r"\right\rangle"),
    "exp": ("e^{", "}"),
}

Printed = tuple[str, int]


def to_text(expression: Expr) -> str:
    """Write an expression so that reading it gives the same tree again.

    A negative or complex number that was put in by hand has no literal; it comes back as a sign or a sum.

    Arguments:
        expression: the tree.

    Returns:
        The text, with as few brackets as the order of operations needs.

    >>> from recurra.equations import parse_expression
    >>> to_text(parse_expression("((a) + (b*c))^(-2)"))
    '(a + b*c)**-2'
    """
    return fold(expression, _text)[0]


def to_latex(expression: Expr) -> str:
    r"""Write an expression in LaTeX, Greek letters and subscripts included.

    Arguments:
        expression: the tree.

    Returns:
        LaTeX for math mode.

    >>> from recurra.equations import parse_expression
    >>> print(to_latex(parse_expression("-x/tau_e + sqrt(eta)")))
    -\frac{x}{\tau_{e}} + \sqrt{\eta}
    """
    return fold(expression, _latex)[0]


def equation_to_latex(equation: Equation) -> str:
    r"""Write an equation in LaTeX.

    Arguments:
        equation: the equation.

    Returns:
        LaTeX for math mode.

    >>> from recurra.equations import parse_equation
    >>> print(equation_to_latex(parse_equation("v' = -v/tau")))
    \frac{\mathrm{d} v}{\mathrm{d} t} = -\frac{v}{\tau}
    """
    target = _latex_name(equation.target)
    left = rf"\frac{{\mathrm{{d}} {target}}}{{\mathrm{{d}} t}}" if equation.derivative else target
    return f"{left} = {to_latex(equation.expression)}"


def _held(part: Printed, least: int, opening: str = "(", closing: str = ")") -> str:
    """Return the text of a part, in brackets if it holds less tightly than `least`."""
    text, tightness = part
    return text if tightness >= least else opening + text + closing


def _text(node: Expr, parts: tuple[Printed, ...]) -> Printed:
    texts = [text for text, _ in parts]
    match node:
        case Number(value=value):
            return _number(value)
        case Name(id=name):
            return name, _ATOM
        case Unary(op=op):
            return op + _held(parts[0], _SIGN), _SIGN
        case Binary(op="**"):
            return f"{_held(parts[0], _ATOM)}**{_held(parts[1], _SIGN)}", _POWER
        case Binary(op=op):
            level = _TIGHTNESS[op]
            sign = f" {op} " if level == _SUM else op
            return _held(parts[0], level) + sign + _held(parts[1], level + 1), level
        case Compare(op=op):
            return f"{_held(parts[0], _SUM)} {op} {_held(parts[1], _SUM)}", _COMPARE
        case Boolean(op="not"):
            return "not " + _held(parts[0], _NOT), _NOT
        case Boolean(op=op):
            level = _TIGHTNESS[op]
            return f" {op} ".join(_held(part, level + 1) for part in parts), level
        case Call(function=function):
            return f"{function}({', '.join(texts)})", _ATOM
        case Index():
            # `2[0]` reads like a slip and is refused, `(2)[0]` is not.
            value = f"({texts[0]})" if isinstance(node.children[0], Number) else _held(parts[0], _ATOM)
            return f"{value}[{', '.join(texts[1:])}]", _ATOM
        case Past(name=name):
            return f"past({name}, {texts[0]})", _ATOM
    raise EquationError(f"{type(node).__name__} is no part of an expression")


def _number(value: float | complex) -> Printed:
    if isinstance(value, complex):
        text = repr(value)
        return text, _SIGN if text.startswith("-") else _ATOM
    text = repr(float(value))
    text = text.removesuffix(".0") if text != "-0.0" else text
    return text, _SIGN if text.startswith("-") else _ATOM


def _latex_held(part: Printed, least: int) -> str:
    return _held(part, least, r"\left(", r"\right)")


def _latex_right(part: Printed, least: int) -> str:
    """Hold a part that follows an operator: two signs in a row need brackets."""
    return _latex_held(part, _ATOM + 1 if part[0][0] in "+-" else least)


def _latex(node: Expr, parts: tuple[Printed, ...]) -> Printed:
    texts = [text for text, _ in parts]
    match node:
        case Number(value=value):
            return _latex_number(value)
        case Name(id=name):
            return _latex_name(name), _ATOM
        case Unary(op=op):
            return op + _latex_right(parts[0], _PRODUCT), _SIGN
        case Binary(op="**"):
            return f"{_latex_held(parts[0], _ATOM)}^{{{texts[1]}}}", _POWER
        case Binary(op="/"):
            sign, above = (
                ("-", texts[0][1:]) if parts[0][1] == _SIGN and texts[0][0] == "-" else ("", texts[0])
            )
            return rf"{sign}\frac{{{above}}}{{{texts[1]}}}", _PRODUCT
        case Binary(op="*"):
            right = _latex_right(parts[1], _PRODUCT)
            # A digit right after a factor would read as one number with it.
            sign = r" \cdot " if right[0].isdigit() else r" \, "
            return _latex_held(parts[0], _PRODUCT) + sign + right, _PRODUCT
        case Binary(op="%"):
            return rf"{_latex_held(parts[0], _PRODUCT)} \bmod {_latex_right(parts[1], _SIGN)}", _PRODUCT
        case Binary(op=op):
            return f"{_latex_held(parts[0], _SUM)} {op} {_latex_right(parts[1], _PRODUCT)}", _SUM
        case Compare(op=op):
            left, right = (_latex_held(part, _SUM) for part in parts)
            return f"{left} {_LATEX_COMPARE[op]} {right}", _COMPARE
        case Boolean(op="not"):
            return r"\neg " + _latex_held(parts[0], _ATOM), _NOT
        case Boolean(op=op):
            level = _TIGHTNESS[op]
            return _LATEX_BOOLEAN[op].join(_latex_held(part, level + 1) for part in parts), level
        case Call(function=function):
            return _latex_call(function, texts)
        case Index():
            return f"{{{_latex_held(parts[0], _ATOM)}}}_{{{', '.join(texts[1:])}}}", _ATOM
        case Past(name=name):
            held = _latex_right(parts[0], _PRODUCT)
            return rf"{_latex_name(name)}\left(t - {held}\right)", _ATOM
    raise EquationError(f"{type(node).__name__} is no part of an expression")


def _latex_call(function: str, texts: list[str]) -> Printed:
    if function in _LATEX_AROUND:
        before, after = _LATEX_AROUND[function]
        return before + texts[0] + after, _POWER if function == "exp" else _ATOM
    if function == "square":
        return rf"\left({texts[0]}\right)^{{2}}", _POWER
    if function == "where":
        condition, then, otherwise = texts
        rows = rf"{then} & \text{{if }} {condition} \\ {otherwise} & \text{{otherwise}}"
        return rf"\begin{{cases}}{rows}\end{{cases}}", _SUM
    return rf"{FUNCTIONS[function].latex}\left({', '.join(texts)}\right)", _ATOM


def _latex_number(value: float | complex) -> Printed:
    text, tightness = _number(value)
    mantissa, e, exponent = text.partition("e")
    if e and not isinstance(value, complex):
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}", _SIGN if text.startswith("-") else _PRODUCT
    if isinstance(value, complex):
        return text.replace("j", r"\,\mathrm{i}"), _PRODUCT if tightness == _ATOM else tightness
    return text, tightness


def _latex_name(name: str) -> str:
    base, *subscripts = [part for part in name.split("_") if part] or [r"\_"]
    stem = base.rstrip("0123456789")
    if stem and stem != base:
        base, subscripts = stem, [base[len(stem) :], *subscripts]
    if not subscripts:
        return _latex_word(base)
    return f"{_latex_word(base)}_{{{','.join(_latex_word(s) for s in subscripts)}}}"


def _latex_word(word: str) -> str:
    if word in _GREEK:
        return "\\" + word
    return word if len(word) == 1 or word.isdigit() or not word.isalnum() else rf"\mathrm{{{word}}}"
