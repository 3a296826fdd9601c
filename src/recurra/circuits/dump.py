"""Write a circuit with all it is made of to one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import errors
from recurra.circuits.edges import CircuitEdge, Connectivity
from recurra.circuits.nodes import OperatorStack, PopulationTemplate
from recurra.circuits.operators import OperatorTemplate
from recurra.circuits.templates import Template
from recurra.circuits.values import Declaration, show

if TYPE_CHECKING:
    from recurra.circuits.circuit import CircuitTemplate


def write_yaml(circuit: CircuitTemplate, path: str | Path) -> str:
    """Write the file in one go; see :meth:`CircuitTemplate.to_yaml`."""
    from ruamel.yaml import YAML

    from recurra.engine.store import write_atomically

    file = Path(path)
    if file.suffix not in (".yaml", ".yml"):
        file = file.with_name(file.name + ".yaml")
    entries = _Entries()
    name = entries.add(circuit)
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.allow_unicode = True
    yaml.width = 110
    yaml.Representer = _representer()
    try:
        write_atomically(file, lambda stream: yaml.dump(entries.found, stream))
    except UnicodeError as error:
        raise errors.StoreError(f"{file}: cannot be written ({error}).") from error
    return f"{file.as_posix()}/{name}"


class _Entries:
    """Collect templates under names that are unique in the file."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._keys: dict[Template, str] = {}

    def add(self, template: Template) -> str:
        """Return the key of a template, written once however often it is used."""
        if template not in self._keys:
            fields = self._fields(template)
            key, count = template.name, 1
            while key in self.found:
                count += 1
                key = f"{template.name}_{count}"
            entry: dict[str, Any] = {"base": type(template).__name__}
            if key != template.name:
                entry["label"] = template.name
            text = {"description": template.description, "reference": template.reference}
            entry.update({field: value for field, value in text.items() if value})
            entry.update({field: value for field, value in fields.items() if value})
            self.found[key] = entry
            self._keys[template] = key
        return self._keys[template]

    def _fields(self, template: Any) -> dict[str, Any]:
        if isinstance(template, OperatorTemplate):
            return {
                "equations": list(template.equations),
                "variables": {name: _declaration(entry) for name, entry in template.variables.items()},
                "units": dict(template.units),
            }
        if isinstance(template, OperatorStack):
            return {
                "operators": {
                    self.add(operator): {name: _plain(value) for name, value in values.items()}
                    for operator, values in template.operators.items()
                }
            }
        if isinstance(template, PopulationTemplate):
            params = {key: _plain(value) for key, value in template.params.items()}
            return {"node": self.add(template.node), "n": template.n, "params": params}
        return {
            **{
                part: {label: self.add(each) for label, each in getattr(template, part).items()}
                for part in ("circuits", "nodes", "populations")
            },
            "edges": [self._edge(edge) for edge in template.edges],
            "connections": [self._connection(each) for each in template.connections],
        }

    def _edge(self, edge: CircuitEdge) -> list[Any]:
        template = self.add(edge.template) if edge.template else None
        return [edge.source, edge.target, template, {key: _plain(value) for key, value in edge.values.items()}]

    def _connection(self, each: Connectivity) -> dict[str, Any]:
        entry: dict[str, Any] = {"source": each.source, "target": each.target, "weights": _plain(each.weights)}
        if each.edge is not None:
            entry.update(edge=self.add(each.edge), edge_var_map=dict(each.edge_var_map))
        timing = {"delays": each.delays, "spread": each.spread}
        entry.update({key: _plain(value) for key, value in timing.items() if value is not None})
        return entry


def _representer() -> type:
    """Return what writes texts: as ruamel does, but in quotes where its plain text could not be read again."""
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        pass

    def represent(representer: Any, text: str) -> Any:
        style = '"' if text.startswith("?") or not text.isprintable() else None
        return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Representer.add_representer(str, represent)
    return Representer


def _plain(value: object) -> Any:
    """Return numbers, lists and texts only; complex numbers as texts."""
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()] if value.ndim == 1 else [_plain(row) for row in value]
    return show(value) if isinstance(value, complex) else value


def _declaration(entry: Declaration) -> Any:
    if not isinstance(entry.value, np.ndarray):
        return str(entry) if entry.role != "constant" else _plain(entry.value)
    dtype = "complex" if np.iscomplexobj(entry.value) else "float"
    found: Mapping[str, Any] = {"vtype": entry.role, "dtype": dtype, "value": _plain(entry.value)}
    return dict(found)
