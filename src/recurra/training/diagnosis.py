"""Why a loss is not a number: which variable stopped being finite first, and which part of its equation made it so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from recurra.engine import Program, Rule, simulate
from recurra.engine.randomness import seed_key
from recurra.equations import Equation, Expr, Name, Past, evaluate_numpy, fold, names, to_text
from recurra.errors import DivergenceError, RecurraError
from recurra.training.objective import Batch, Objective

MOST_TRIALS = 64  # that are run again, one by one


def explain_loss(objective: Objective, program: Program, data: Batch, chosen: np.ndarray, key: Any) -> str:
    """Run the trials of a batch again, one by one, until something is not finite, and say what and why.

    Arguments:
        objective: what the loss was made with.
        program: with the numbers that gave the loss.
        data: the trials.
        chosen: the batch.
        key: the key of its randomness.

    Returns:
        A sentence; empty if nothing was found.
    """
    steps = data.targets.shape[1]
    options = {"dt": objective.dt, "solver": objective.solver, "history": objective.history, "state": objective.state,
               "precision": objective.precision, "progress": False}  # fmt: skip
    for trial in chosen[:MOST_TRIALS].tolist():
        inputs = {path: np.asarray(value[trial]) for path, value in data.inputs.items()}
        own: dict[str, Any] = {**options, "inputs": inputs, "seed": jax.random.fold_in(seed_key(key), trial)}
        try:
            found = simulate(program, steps * objective.dt, record={"output": objective.output}, **own)
        except DivergenceError as error:
            path, step = error.variable, error.step
        except RecurraError:
            return ""
        else:
            bad = np.argwhere(~np.isfinite(found["output"]))
            if not len(bad):
                continue
            path, step = found.labels["output"][bad[0][1]], objective.first + int(bad[0][0]) + 1
        where = f" of trial {trial}" if len(data.targets) > 1 else ""
        before = step - 1 - objective.first
        text = f"{path!r} stopped being finite in step {step - 1}{where}"
        duration = steps * objective.dt
        return f"{text}{_explain_equation(program, path, before, duration, objective, own)}."
    return "Every variable is finite: the loss or a penalty itself is not."


def explain_gradient(objective: Objective, free: Any, batch: Batch, steps: int, state: Any, first: Any) -> str:
    """Say which parameters have a gradient that is not finite."""
    gradient = jax.grad(lambda free: objective(free, batch, steps, state, first)[0])(free)
    bad = [path for path, leaves in gradient.items()
           if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(leaves))]  # fmt: skip
    return f"It is not finite for {', '.join(bad)}." if bad else "It is finite for each parameter, its norm overflows."


def _explain_equation(
    program: Program, path: str, row: int, duration: float, objective: Objective, options: Mapping[str, Any]
) -> str:
    """Return the part of an equation that made its variable infinite or no number, with the numbers in it."""
    plain, unit = re.sub(r"\[\d+\]$", "", path), re.search(r"\[(\d+)\]$", path)
    label, operator, variable = [*plain.rsplit("/", 2), "", ""][:3]
    node = program.graph.nodes.get(label)
    if node is None or isinstance(node, Rule) or operator not in node.operators:
        return ""
    variables = node.operators[operator].variables
    equation = next((e for e in node.operators[operator].equations if e.target == variable), None)
    if equation is None:
        return ""
    known = sorted(names(equation.expression, variables))
    record = {name: f"{label}/{operator}/{name}" for name in known if variables[name].kind != "parameter"}
    values: dict[str, Any] = {
        name: program.get(f"{label}/{operator}/{name}") for name in known if variables[name].kind == "parameter"
    }
    values |= {"t": (objective.first + row) * objective.dt}
    try:
        found = simulate(program, duration, record=record or None, **options)
    except DivergenceError as error:
        found = error.result
    except RecurraError:
        return ""
    if len(found.time) <= row:  # type: ignore[union-attr]
        return ""
    values |= {name: found[name][row] for name in record}  # type: ignore[index]
    place = int(unit[1]) if unit else 0
    one = {name: np.asarray(_of_unit(value, place), objective.precision) for name, value in values.items()}
    for name in record:
        if variables[name].kind == "algebraic" and not np.isfinite(one[name]):  # the reason lies before it
            before = f"{label}/{operator}/{name}[{place}]"
            return _explain_equation(program, before, row, duration, objective, options)
    return _blame(equation, one)


def _of_unit(value: Any, unit: int) -> Any:
    flat = np.ravel(value)
    return flat[unit if len(flat) > unit else 0] if len(flat) else value


def _blame(equation: Equation, values: Mapping[str, Any]) -> str:
    """Find the first part of an expression that is not finite though all that it is made of is."""
    guilty: list[tuple[Expr, Any]] = []

    def finite(node: Expr, below: tuple[bool, ...]) -> bool:
        try:
            with np.errstate(all="ignore"):
                value = evaluate_numpy(node, {**values, "xi": 0.0}, lambda past: values.get(past.name, 0.0))
        except (RecurraError, TypeError, ValueError, IndexError):  # what a single unit cannot tell, as sums over units
            return True
        fine = bool(np.isfinite(value).all())
        if not fine and all(below) and not isinstance(node, Name | Past):
            guilty.append((node, value))
        return fine

    fold(equation.expression, finite, into_delays=False)
    text = f", by its equation {equation.text!r}"
    if not guilty:
        return text
    node, value = guilty[0]
    numbers = ", ".join(f"{name} = {float(values[name]):.6g}" for name in sorted(names(node)) if name in values)
    return f"{text}: {to_text(node)} is {float(np.ravel(value)[0]):g}{f' for {numbers}' if numbers else ''}"
