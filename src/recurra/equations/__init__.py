"""Equations: text into checked trees, trees into values, text and LaTeX."""

from recurra.courtesy import guard
from recurra.equations.evaluation import evaluate
from recurra.equations.lexer import check_name
from recurra.equations.oracle import evaluate_numpy
from recurra.equations.parser import parse_equation, parse_equations, parse_expression
from recurra.equations.printing import equation_to_latex, to_latex, to_text
from recurra.equations.table import FUNCTIONS, Function
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
    functions,
    is_noise,
    names,
    noises,
    pasts,
    rename,
    substitute,
)

__all__ = [
    "FUNCTIONS",
    "Binary",
    "Boolean",
    "Call",
    "Compare",
    "Equation",
    "Expr",
    "Function",
    "Index",
    "Name",
    "Number",
    "Past",
    "Unary",
    "check_name",
    "equation_to_latex",
    "evaluate",
    "evaluate_numpy",
    "fold",
    "functions",
    "is_noise",
    "names",
    "noises",
    "parse_equation",
    "parse_equations",
    "parse_expression",
    "pasts",
    "rename",
    "substitute",
    "to_latex",
    "to_text",
]

guard(globals(), __all__)
