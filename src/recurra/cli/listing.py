"""What the library of templates holds."""

from __future__ import annotations

from pathlib import Path

import recurra.errors

KINDS = {
    "CircuitTemplate": "circuit",
    "EdgeTemplate": "edge",
    "NodeTemplate": "node",
    "OperatorTemplate": "operator",
    "PopulationTemplate": "population",
}


def library() -> list[tuple[str, str, str]]:
    """Return path, kind and first line of the description of every template that comes with Recurra."""
    from ruamel.yaml import YAML

    root = Path(recurra.errors.__file__).parent / "library"
    files: dict[str, dict] = {}
    for file in sorted(root.rglob("*.yaml")):
        dotted = ".".join(file.relative_to(root).with_suffix("").parts)
        files[dotted] = YAML(typ="safe", pure=True).load(file.read_text("utf-8")) or {}
    return [
        (f"{dotted}.{name}", kind, _line(template))
        for dotted, entries in files.items()
        for name, template in entries.items()
        if isinstance(template, dict) and (kind := _kind(files, dotted, template))
    ]


def _kind(files: dict[str, dict], dotted: str, template: dict) -> str:
    """Follow `base` from template to template until it names a kind; empty for what is no template."""
    for _ in range(32):
        base = str(template.get("base", ""))
        if base in KINDS:
            return KINDS[base]
        file, _, name = base.rpartition(".")
        dotted = file or dotted
        template = files.get(dotted, {}).get(name, {})
    return ""


def _line(template: dict) -> str:
    text = " ".join(str(template.get("description", "")).split())
    return text if len(text) <= 100 else text[:97].rsplit(" ", 1)[0] + " ..."
