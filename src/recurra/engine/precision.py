"""In which precision a run or a training computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.graph import Rule
from recurra.engine.program import Program
from recurra.errors import OptionError, unknown

if TYPE_CHECKING:
    from recurra.engine.run import Run


def read_precision(program: Program, precision: str | None, default: str = "float64") -> str:
    """Return the precision of a run or a training: what it was asked for, else what the program was made for.

    Arguments:
        program: the program.
        precision: what was asked for, `None` for nothing.
        default: what it is if nobody says anything.

    Raises:
        OptionError: there is no such precision, or a rule of the program computes in another.
    """
    chosen = precision or program.graph.precision or default
    if chosen not in ("float32", "float64"):
        raise OptionError(unknown("precision", chosen, ("float32", "float64")))
    rules = {label: node for label, node in program.graph.nodes.items() if isinstance(node, Rule)}
    wide = next((label or "the groups" for label, rule in rules.items() if rule.precision != "float32"), None)
    if chosen == "float32" and wide is not None:
        raise OptionError(
            f"precision: the arrays of a rule have types of their own, and {wide} computes in float64; leave the"
            " precision at float64, or make it for float32 (a network with groups: Network(precision='float32'))."
        )
    return chosen


def needs_wide(program: Program, precision: str) -> bool:
    """Say whether JAX must know 64 bits for a run: in float64, and for rules, whose arrays have types of their own."""
    return precision == "float64" or bool(program.system.rules)


def as_precision(value: np.ndarray, precision: str) -> np.ndarray:
    """Return floats and complex numbers in the precision of a run; whole numbers stay as they are."""
    if value.dtype.kind == "c":
        return value.astype(np.complex64 if precision == "float32" else np.complex128, copy=False)
    return value.astype(precision, copy=False) if value.dtype.kind == "f" else value


def in_precision(run: Run, numbers: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return parameters or states in the precision of a run; those of rules keep their types."""
    own = run.program.system.rule_keys
    return {k: v if k in own else as_precision(np.asarray(v), run.precision) for k, v in numbers.items()}
