"""Evaluate a system at one moment: all its variables, and the derivatives of its states."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine.delays import DelayPlan, delayed_key, present_entries, with_present
from recurra.engine.delivery import deliver, deliver_entries
from recurra.engine.system import Assign, Chain, Collect, System
from recurra.equations import Past, evaluate
from recurra.errors import ShapeError

Values = dict[str, Array]


def evaluate_system(
    system: System,
    t: Array,
    state: Mapping[str, Array],
    params: Mapping[str, Array],
    tables: Mapping[str, Array],
    drive: Mapping[str, Array],
    delayed: Mapping[str, Array],
    plan: DelayPlan,
    incoming: Mapping[int, Array] | None = None,
) -> tuple[Values, dict[int, Array]]:
    """Compute every variable of the system.

    Arguments:
        t: time.
        state: one array per state variable.
        params, tables: the numbers of the program.
        drive: storage key of an input -> what the user feeds into all its units, in place of its default.
        delayed: what delays and noise give at this moment, by key.
        plan: how delayed projections are read.
        incoming: what the projections bring, where that is held fixed instead of computed.

    Returns:
        The value of every storage key, and what each projection brought.
    """
    values: Values = {**params, **state, **delayed}
    if any(plan.past_none):
        values |= with_present(system, plan, state, params, values)
    for chain in system.chains:
        values[chain.output] = state[chain.state][-1]
    brought: dict[int, Array] = {}
    for item in system.schedule:
        if isinstance(item, Assign):
            result = _assigned(item, values, t)
        else:
            result = _collected(item, system, values, params, tables, drive, plan, incoming, brought)
        values[item.target] = _fitted(result, system.shape_of[item.target], item.target)
    return values, brought


def derivatives(system: System, t: Array, values: Values, tables: Mapping[str, Array]) -> Values:
    """Return the time derivative of every state variable, given all variables."""
    found = {}
    for item in system.derivatives:
        dtype = values[item.target].dtype
        slope = _fitted(_assigned(item, values, t), system.shape_of[item.target], item.target)
        # Lowering has seen to it that no complex value reaches a real state; this lifts real ones into complex states.
        found[item.target] = slope.astype(dtype)
    for rule in system.spikes:
        found |= {key: jnp.zeros_like(values[key]) for key in rule.memory}
    for chain in system.chains:
        z = values[chain.state]
        before = jnp.concatenate([chain_source(chain, values, tables)[None].astype(z.dtype), z[:-1]])
        found[chain.state] = chain_rate(chain, values) * (before - z)
    return found


def chain_rate(chain: Chain, values: Mapping[str, Array]) -> Array:
    """Return the rate of every chain, `(1, chains)`: number of stages by total delay."""
    return (chain.order / values[chain.delays])[None]


def chain_source(chain: Chain, values: Mapping[str, Array], tables: Mapping[str, Array]) -> Array:
    """Return what enters each chain."""
    source = values[chain.source]
    return source[tables[chain.columns]] if chain.columns else source


def _assigned(item: Assign, values: Mapping[str, Array], t: Array) -> Array:
    local: dict[str, Array] = {"t": t} | {name: values[key] for name, key in item.names}
    if not item.pasts:
        return evaluate(item.expression, local)
    reads = dict(item.pasts)

    def past(node: Past) -> Array:
        return values[reads[node]]

    return evaluate(item.expression, local, past)


def _collected(
    item: Collect,
    system: System,
    values: Values,
    params: Mapping[str, Array],
    tables: Mapping[str, Array],
    drive: Mapping[str, Array],
    plan: DelayPlan,
    incoming: Mapping[int, Array] | None,
    brought: dict[int, Array],
) -> Array:
    terms = []
    if item.target in drive:
        terms.append((drive[item.target], None))
    elif item.base == "open":
        terms.append((params[item.target], None))
    elif item.base == "mixed":
        terms.append((jnp.where(tables[f"{item.target}/open"], params[item.target], 0), None))
    terms += [(values[key], None) for key in item.signals]
    for index in item.projections:
        projection = system.projections[index]
        if incoming is not None:
            brought[index] = incoming[index]
        elif projection.ring < 0:
            brought[index] = deliver(projection, values[projection.source], params, tables)
        else:
            carry = deliver if plan.uniform[index] else deliver_entries
            seen = values[delayed_key(index)]
            if projection.present:
                seen = present_entries(projection, values[projection.source], seen, params, tables)
            brought[index] = carry(projection, seen, params, tables)
        terms.append((brought[index], projection.target_slice))
    return _sum(terms, system.shape_of[item.target])


def _sum(terms: list, shape: tuple[int, ...]) -> Array:
    total = None
    for term, target_slice in terms:
        if term.dtype == bool:
            term = jnp.where(term, 1.0, 0.0)  # two truth values that arrive together count as 2
        if target_slice is not None and target_slice != (0, shape[0]):
            total = jnp.zeros(shape, term.dtype) if total is None else jnp.broadcast_to(total, shape)
            total = total.at[slice(*target_slice)].add(term)
        else:
            total = term if total is None else total + term
    return total  # type: ignore[return-value]


def _fitted(value: Array, shape: tuple[int, ...], target: str) -> Array:
    """Give what an equation computes the shape of its variable."""
    if value.shape not in ((), (1,), shape):
        raise ShapeError(
            f"{target}: its equation has the shape {value.shape}, the variable {shape}. Declare a vector with a vector"
            " as its value."
        )
    return jnp.broadcast_to(value, shape)
