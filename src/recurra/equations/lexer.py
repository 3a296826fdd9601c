"""Equations cut into tokens, with every character that cannot be part of one refused where it stands."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from recurra.errors import EquationError, cut

MAX_LENGTH = 10_000
MAX_DEPTH = 200

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[jJ]?)"
    r"|(?P<name>[^\W0-9][\w\u0300-\u036f]*)"
    r"|(?P<operator>\*\*=|//=|[-+*/%^]=|\*\*|//|[<>=!]=|[-+*/%^()\[\],<>='])"
)
_WORDS = ("and", "or", "not")

_INSTEAD = {
    ".": "attributes cannot be read in an equation, and a decimal point needs a digit beside it",
    ":": "ranges, dictionaries, lambda and := cannot stand in an equation; "
    "a range of units is index_range(x, i, j)",
    '"': "text in quotes cannot stand in an equation",
    "`": "text in quotes cannot stand in an equation",
    "{": "braces cannot stand in an equation; group with ( )",
    "}": "braces cannot stand in an equation; group with ( )",
    "&": "write `and`",
    "|": "write `or`, or abs(x) for |x|",
    "~": "write `not`",
    "!": "write `not` to negate, != to compare",
    "@": "write matmul(A, x)",
    "#": "a comment cannot stand in an equation",
    "\\": "a line goes on by itself while a bracket is open",
    "−": "write the plain minus sign -",
    "–": "write the plain minus sign -",
    "×": "write *",
    "·": "write *",
    "⋅": "write *",
    "÷": "write /",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "′": "write the plain apostrophe '",
    "’": "write the plain apostrophe '",
    "²": "write x**2",
    "³": "write x**3",
    "√": "write sqrt(x)",
    "∞": "a number must be finite",
}
_KEYWORDS = {
    "if": "a choice is written where(condition, a, b)",
    "else": "a choice is written where(condition, a, b)",
    "True": "write 1, or a comparison",
    "False": "write 0, or a comparison",
    "None": "write a number",
}


@dataclass(frozen=True)
class Token:
    """Hold a number, a name or an operator and its place in the text; names are NFKC-normalised."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Line:
    """Hold one line of text for messages that point into it.

    Arguments:
        text: the text, each blank character of which is one space.
        where: the path of the operator that holds it.
    """

    text: str
    where: str

    def error(self, message: str, start: int, end: int | None = None) -> EquationError:
        """Make an error that points at the columns from `start` to `end`."""
        return EquationError(message, self.text, (start, start + 1 if end is None else end), self.where)


def too_deep(line: Line, start: int, end: int | None = None) -> EquationError:
    """Make the error for an expression that is nested too deep."""
    message = f"nested deeper than {MAX_DEPTH} (each term of a sum counts); split it into several equations"
    return line.error(message, start, end)


def read_line(text: object, where: str) -> tuple[Line, tuple[Token, ...]]:
    """Cut a text into tokens.

    Arguments:
        text: what the user wrote.
        where: the path of the operator that holds it.

    Returns:
        The line, for messages, and its tokens.

    Raises:
        EquationError: it is no text, too long, empty, or holds something that is no part of an equation.
    """
    if not isinstance(text, str):
        raise EquationError(f"an equation is text, got {cut(repr(text), 80)} ({type(text).__name__})", where=where)
    if len(text) > MAX_LENGTH:
        limit = f"longer than {MAX_LENGTH} characters; split it into several"
        raise EquationError(f"the equation is {len(text)} characters long, {limit}", where=where)
    # One space for each blank character keeps the columns and lets the caret stand under the spot.
    line = Line(re.sub(r"\s", " ", text), where)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _bad_character(line, text[position], position)
        if found.lastgroup != "space":
            tokens.append(_token(line, str(found.lastgroup), found.group(), position))
        position = found.end()
    if not tokens:
        raise line.error("there is nothing here; an equation looks like x' = -x/tau", 0)
    _check_brackets(line, tokens)
    return line, tuple(tokens)


def check_name(name: object, where: str = "") -> str:
    """Check that a name can be a variable in equations.

    Arguments:
        name: the name as written, for instance in a declaration.
        where: the path of the operator that holds it.

    Returns:
        The name as equations hold it (NFKC-normalised, as Python does with names).

    Raises:
        EquationError: it is no identifier, a keyword of Python, or begins with two underscores.

    >>> check_name("tau_e")
    'tau_e'
    """
    if not isinstance(name, str):
        raise EquationError(f"a name is text, got {cut(repr(name), 80)} ({type(name).__name__})", where=where)
    return _normalise(Line(name, where), name, 0)


def _normalise(line: Line, name: str, start: int) -> str:
    normal = unicodedata.normalize("NFKC", name)
    end = start + len(name)
    if not name.isidentifier() or not normal.isidentifier():
        for offset in range(len(name)):
            if not ("x" + name[offset]).isidentifier():
                raise _bad_character(line, name[offset], start + offset)
        message = f"{name!r} is no name; a name has letters, digits and _, and begins with no digit"
        raise line.error(message, start, end)
    if keyword.iskeyword(normal):
        hint = _KEYWORDS.get(normal, f"call the variable {normal}_")
        raise line.error(f"{normal!r} is a keyword of Python and cannot be used here; {hint}", start, end)
    if normal.startswith("__"):
        message = f"{normal!r} begins with two underscores, which is reserved; use at most one"
        raise line.error(message, start, end)
    return normal


def _token(line: Line, kind: str, text: str, start: int) -> Token:
    end = start + len(text)
    if kind == "name" and text in _WORDS:
        kind = "operator"
    elif kind == "name":
        text = _normalise(line, text, start)
    elif kind == "number" and not math.isfinite(float(text.rstrip("jJ"))):
        raise line.error("the number is too large; the greatest is about 1.8e308", start, end)
    elif text == "//":
        raise line.error("// cannot be used; write floor(a/b)", start, end)
    return Token(kind, text, start, end)


def _bad_character(line: Line, character: str, position: int) -> EquationError:
    shown = repr(character) if character.isprintable() else f"U+{ord(character):04X}"
    hint = _INSTEAD.get(character, "it is no part of an equation; names have letters, digits and _")
    return line.error(f"cannot read {shown}: {hint}", position)


def _check_brackets(line: Line, tokens: Sequence[Token]) -> None:
    opened: list[Token] = []
    for token in tokens:
        if token.text in ("(", "["):
            opened.append(token)
            if len(opened) > MAX_DEPTH:
                raise too_deep(line, token.start)
        elif token.text in (")", "]"):
            if not opened:
                raise line.error(f"{token.text!r} closes a bracket that was never opened", token.start)
            if opened[-1].text + token.text not in ("()", "[]"):
                raise line.error(f"{token.text!r} cannot close {opened[-1].text!r}", token.start)
            opened.pop()
    if opened:
        raise line.error(f"{opened[-1].text!r} is never closed", opened[-1].start)
