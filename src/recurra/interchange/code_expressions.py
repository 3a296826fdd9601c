"""Checked expression trees as source code; every name, function and number comes from tables, never from the user."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recurra.equations import (
    FUNCTIONS,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    Index,
    Name,
    Number,
    Past,
    Unary,
    evaluate_numpy,
    fold,
)
from recurra.errors import CapabilityError, EquationError
from recurra.interchange.code_source import Slot

# How tightly a piece of code holds together; a looser one in a tighter one gets brackets.
SUM, PRODUCT, ATOM = range(3)
_LEVELS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}
# Compilers bound how deep brackets may be nested.
_DEEPEST = 50


@dataclass(frozen=True)
class Piece:
    """Hold the code of a part of an expression.

    Arguments:
        text: the code.
        level: how tightly it holds together.
        truth: whether it is a truth value.
        shape: the shape of its value; `()` for a number.
        constant: its value, where no variable is in it.
        depth: how deep it is nested.
    """

    text: str
    level: int = ATOM
    truth: bool = False
    shape: tuple[int, ...] = ()
    constant: float | complex | None = None
    depth: int = 0

    def held(self, least: int) -> str:
        """Return the code, in brackets if it holds less tightly than `least`."""
        return self.text if self.level >= least else f"({self.text})"


class Printer(ABC):
    """Write one expression after the other; statements that have to stand before one are put into `lines`.

    Arguments:
        slots: storage key -> its name in the code.
    """

    def __init__(self, slots: Mapping[str, Slot]):
        self.slots = slots
        self.lines: list[str] = []
        self.used: set[str] = set()  # helpers
        self._count = 0

    def write(self, expression: Expr, names: Mapping[str, str], where: str) -> Piece:
        """Return the code of an expression.

        Arguments:
            expression: the tree.
            names: name in the expression -> storage key.
            where: what is computed, for errors.
        """

        def combine(node: Expr, parts: tuple[Piece, ...]) -> Piece:
            if isinstance(node, Number):
                return self.number(node.value)
            if isinstance(node, Name):
                return self._name(node.id, names)
            if isinstance(node, Past):
                raise CapabilityError(f"{where}: past({node.name}, ...) needs a history; f(t, y, params) has none.")
            if parts and all(part.constant is not None for part in parts):
                value = np.asarray(evaluate_numpy(node, {}))
                if value.ndim == 0:
                    return self.number(value.astype(float).item() if value.dtype.kind == "b" else value.item())
            try:
                piece = self._node(node, parts, where)
            except KeyError as error:
                raise CapabilityError(f"{where}: {error.args[0]!r} cannot be written in this language.") from None
            piece = Piece(piece.text, piece.level, piece.truth, piece.shape, None, 1 + max(p.depth for p in parts))
            return self.stored(piece) if piece.depth >= _DEEPEST else piece

        return self.counted(fold(expression, combine))

    def fresh(self) -> str:
        """Return a name that nothing has yet."""
        self._count += 1
        return f"m_{self._count}"

    def number(self, value: float | complex) -> Piece:
        """Return a literal."""
        text = self.literal(value)
        return Piece(text, SUM if text.startswith("-") else ATOM, constant=value)

    def _name(self, name: str, names: Mapping[str, str]) -> Piece:
        if name in names:
            return self.variable(self.slots[names[name]])
        if name == "t":
            return Piece("t")
        if name == "pi":
            return self.number(math.pi)
        raise EquationError(f"{name!r} has no value.")

    def _node(self, node: Expr, parts: tuple[Piece, ...], where: str) -> Piece:
        if isinstance(node, Compare):
            return self.comparison(node.op, *map(self.counted, parts))
        if isinstance(node, Boolean):
            return self.boolean(node.op, parts)
        if isinstance(node, Call) and FUNCTIONS[node.function].name == "where":
            condition, *branches = parts
            return self.choice(condition, *map(self.counted, branches))
        parts = tuple(map(self.counted, parts))
        if isinstance(node, Unary):
            if node.op == "+":
                return parts[0]
            return Piece(f"-{parts[0].held(ATOM)}", SUM, shape=parts[0].shape)
        if isinstance(node, Binary) and node.op in _LEVELS:
            level = _LEVELS[node.op]
            text = f"{parts[0].held(level)} {node.op} {parts[1].held(level + 1)}"
            return Piece(text, level, shape=self.joined(parts, where))
        if isinstance(node, Binary):
            return self.call({"%": "mod", "**": "power"}[node.op], parts, where)
        if isinstance(node, Index):
            return self.call("index" if len(parts) == 2 else "index_2d" if len(parts) == 3 else "[...]", parts, where)
        if isinstance(node, Call):
            return self.call(FUNCTIONS[node.function].name, parts, where)
        raise EquationError(f"{type(node).__name__} is no part of an expression")

    @abstractmethod
    def literal(self, value: float | complex) -> str:
        """Return a number as code."""

    @abstractmethod
    def variable(self, slot: Slot) -> Piece:
        """Return the value of a variable."""

    @abstractmethod
    def counted(self, piece: Piece) -> Piece:
        """Return a truth value as 0 or 1, anything else as it is."""

    @abstractmethod
    def comparison(self, op: str, left: Piece, right: Piece) -> Piece:
        """Return a truth value."""

    @abstractmethod
    def boolean(self, op: str, parts: tuple[Piece, ...]) -> Piece:
        """Return a truth value of truth values."""

    @abstractmethod
    def choice(self, condition: Piece, then: Piece, otherwise: Piece) -> Piece:
        """Return one of two values."""

    @abstractmethod
    def call(self, function: str, parts: tuple[Piece, ...], where: str) -> Piece:
        """Return a call of a function by its first name; KeyError if there is no such function."""

    @abstractmethod
    def stored(self, piece: Piece) -> Piece:
        """Keep a value in a variable of its own."""

    @abstractmethod
    def joined(self, parts: tuple[Piece, ...], where: str) -> tuple[int, ...]:
        """Return the shape of values that are computed entry by entry."""
