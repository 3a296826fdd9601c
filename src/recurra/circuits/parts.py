"""Read the parts of a circuit in the forms that users and YAML files give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recurra import errors
from recurra.circuits.nodes import PopulationTemplate
from recurra.circuits.templates import as_template, check_name, expect_mapping, listed


def read_parts(parts: object, kind: type[Any], where: str) -> dict[str, Any]:
    """Read label -> template; a text is a path to load."""
    found = {}
    for label, raw in expect_mapping(parts, where, "{label: template}").items():
        name = check_name(label, "node")
        if name in found:
            raise errors.TemplateError(f"{where}: the label {name!r} is given twice.")
        found[name] = as_template(raw, kind, f"{where}/{name}")
    return found


def read_populations(populations: object, where: str) -> dict[str, PopulationTemplate]:
    """Read label -> population; a mapping holds `node`, `n` and `params`."""
    found = {}
    for label, raw in expect_mapping(populations, f"{where}, populations", "{label: population}").items():
        name = check_name(label, "population")
        if isinstance(raw, Mapping):
            for key in raw:
                if key not in ("node", "n", "params"):
                    raise errors.TemplateError(
                        errors.unknown("part of a population", key, ("node", "n", "params"), f"{where}/{name}")
                    )
            raw = PopulationTemplate(name, raw.get("node"), raw.get("n"), raw.get("params"))  # pyright: ignore
        found[name] = as_template(raw, PopulationTemplate, f"{where}/{name}")
    return found


def node_list(value: object, where: str, what: str) -> list[str]:
    """Return a list of paths of nodes."""
    if isinstance(value, str):
        raise errors.TemplateError(
            f"{where}: {what} must be a list of nodes, got the text {value!r}; write [{value!r}]."
        )
    return [str(node) for node in listed(value, where, what)]
