"""Rules among the nodes of a graph: lay out their arrays, check them, call them once a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine.graph import Rule
from recurra.engine.layout import Target
from recurra.engine.randomness import stream_address, stream_key
from recurra.engine.system import RuleStep, System
from recurra.errors import ShapeError, TemplateError

if TYPE_CHECKING:
    from recurra.engine.lowering import Numbers
    from recurra.engine.program import Clock


def split_rules(nodes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Rule]]:
    """Split the nodes of a graph into those of equations and rules."""
    rules = {label: node for label, node in nodes.items() if isinstance(node, Rule)}
    return {label: node for label, node in nodes.items() if label not in rules}, rules


def lay_out_rules(
    rules: Mapping[str, Rule], shapes: dict[str, tuple[int, ...]], numbers: Numbers
) -> tuple[dict[str, Target], tuple[RuleStep, ...]]:
    """Give every array of the rules a storage key, which is its path, and store it.

    Returns:
        The place of every path, and the steps.

    Raises:
        TemplateError: a name is used twice.
        ShapeError: an input is no vector.
    """
    targets: dict[str, Target] = {}
    steps = []
    for label, rule in rules.items():
        stores: dict[str, Mapping[str, Any]] = {
            "state": rule.state, "parameter": rule.params, "input": rule.inputs, "emitted": rule.emits
        }  # fmt: skip
        names: dict[str, tuple[tuple[str, str], ...]] = {}
        for kind, store in stores.items():
            names[kind] = tuple((name, f"{label}/{name}" if label else name) for name in store)
            for name, key in names[kind]:
                if key in targets:
                    raise TemplateError(f"{key!r} is the name of two arrays of rules; rename one.")
                if kind != "emitted":
                    (numbers.state if kind == "state" else numbers.params)[key] = np.array(store[name])
                shapes[key] = tuple(np.shape(store[name]) if kind != "emitted" else store[name].shape)
                targets[key] = _target(key, kind, shapes[key])
                if kind == "input" and len(shapes[key]) != 1:
                    raise ShapeError(f"{key}: an input is a vector, one number for each unit; got {shapes[key]}.")
        parts = (names["state"], names["parameter"], names["input"])
        emits = tuple((n, key, str(rule.emits[n].dtype), rule.emits[n].early) for n, key in names["emitted"])
        steps.append(RuleStep(label, rule.update, *parts, emits, rule.derive, rule.text))
    return targets, tuple(steps)


def _target(key: str, kind: str, shape: tuple[int, ...]) -> Target:
    size = int(np.prod(shape))
    return Target(key, key, kind, slice(0, size) if len(shape) == 1 else ..., size)


def derive_params(system: System, params: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the parameters what rules derive from them, once a run."""
    found = dict(params)
    for rule in system.rules:
        if rule.derive is not None and rule.derived_key not in found:
            found[rule.derived_key] = rule.derive({name: params[k] for name, k in rule.params})
    return found


def rule_views(system: System, state: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the rest of the network sees of the state of rules: truth values and whole numbers as floats."""
    views = {}
    for key in (key for rule in system.rules for _, key in rule.state):
        value = state[key]
        views[key] = value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(float)
    return views


def rule_keys(system: System, key: Array) -> dict[str, Array]:
    """Make a key for the randomness of each rule, from that of the whole run and the rule's label."""
    return {_key_of(rule): rule_key(key, rule.label) for rule in system.rules}


def rule_key(key: Array, label: str) -> Array:
    """Make the key of a rule's randomness, from that of the whole run."""
    return stream_key(key, stream_address(label, "rule"))


def _key_of(rule: RuleStep) -> str:
    return f"rule:{rule.label}"


def call_rules(
    system: System, clock: Clock, keys: Mapping[str, Array], state: Mapping, params: Mapping, inputs: Mapping
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Advance the state of all rules.

    Arguments:
        clock: the clock of this step.
        keys: as :func:`rule_keys` makes them.
        state, params: by storage key.
        inputs: storage key of an input -> its value.

    Returns:
        The new state and what was put out, by storage key.
    """
    new: dict[str, Array] = {}
    emitted: dict[str, Array] = {}
    for rule in system.rules:
        own = {name: state[k] for name, k in rule.state}
        given = {name: params[k] for name, k in rule.params} | params.get(rule.derived_key, {})
        fed = {name: inputs[k] for name, k in rule.inputs}
        after, out = rule.update(own, given, fed, clock._replace(key=keys[_key_of(rule)]))
        for name, k in rule.state:
            new[k] = _unchanged(after[name], own[name], k)
        emitted |= {k: jnp.asarray(out[name]) for name, k, *_ in rule.emits}
    return new, emitted


def _unchanged(new: Array, old: Array, key: str) -> Array:
    if jnp.shape(new) != old.shape:
        raise ShapeError(f"{key}: a rule has changed its shape from {old.shape} to {jnp.shape(new)}.")
    return jnp.asarray(new).astype(old.dtype)


