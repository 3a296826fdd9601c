"""Read YAML files from anyone: into plain values, with bounds, without ever building objects that a file names.

The parser only composes nodes; turning them into values is done here, template by template, so that what a file
could do is bounded by what this module does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from recurra import errors
from recurra.circuits.templates import short

Node = Any  # a node of the parser; its classes do not declare what they hold
MAX_BYTES = 5_000_000
MAX_VALUES = 500_000
MAX_DEPTH = 64
_TAG = "tag:yaml.org,2002:"
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp")


class YamlFile:
    """Hold one parsed file: its top-level names, and their values on demand.

    Arguments:
        path: the file.

    Raises:
        PathError: if it is no readable file.
        TemplateError: if it is too large or no YAML mapping.
    """

    def __init__(self, path: Path):
        self.path = path
        self._visited = 0
        root = _compose(_read(path), path)
        if root is None:
            raise errors.TemplateError(f"{path}: the file is empty, expected a mapping from names to templates.")
        if root.id != "mapping":
            raise errors.TemplateError(
                f"{_where(path, root)}: expected a mapping from names to templates, got a {root.id}."
            )
        self._nodes: dict[str, Node] = {}
        for key, value in root.value:
            name = str(self._scalar(key)) if key.id == "scalar" else ""
            if not name:
                raise errors.TemplateError(f"{_where(path, key)}: the name of a template must be a text.")
            if name in self._nodes:
                raise errors.TemplateError(f"{_where(path, key)}: the name {short(name)} is given twice.")
            self._nodes[name] = value

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def names(self) -> list[str]:
        """List the names of the templates: the entries that have a `base`."""
        return [name for name, node in self._nodes.items() if _has_base(node)]

    def value(self, name: str) -> Any:
        """Return the value of a top-level name in dicts, lists, texts, numbers, booleans and None."""
        return self._value(self._nodes[name], ())

    def _value(self, node: Node, above: tuple[int, ...]) -> Any:
        self._visited += 1
        if self._visited > MAX_VALUES:
            raise errors.TemplateError(
                f"{self.path}: more than {MAX_VALUES} values (aliases count each time they are used)."
            )
        if id(node) in above:
            raise errors.TemplateError(f"{_where(self.path, node)}: an anchor contains itself.")
        if len(above) > MAX_DEPTH:
            raise errors.TemplateError(f"{_where(self.path, node)}: nested deeper than {MAX_DEPTH} levels.")
        if node.id == "scalar":
            return self._scalar(node)
        self._check_tag(node, ("seq", "map"))
        inside = (*above, id(node))
        if node.id == "sequence":
            return [self._value(entry, inside) for entry in node.value]
        return self._mapping(node, inside)

    def _mapping(self, node: Node, inside: tuple[int, ...]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(value_node, inside, merged)
                continue
            key = self._value(key_node, inside)
            if isinstance(key, dict | list):
                raise errors.TemplateError(f"{_where(self.path, key_node)}: a key must be a text, got {short(key)}.")
            if key in found:
                raise errors.TemplateError(f"{_where(self.path, key_node)}: the key {short(key)} is given twice.")
            found[key] = self._value(value_node, inside)
        return {**merged, **found}

    def _merge(self, node: Node, inside: tuple[int, ...], merged: dict[Any, Any]) -> None:
        """Take in what stands after a merge key `<<`; what comes first wins."""
        value = self._value(node, inside)
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise errors.TemplateError(f"{_where(self.path, node)}: only mappings can be merged with '<<'.")
            for key, entry in part.items():
                merged.setdefault(key, entry)

    def _scalar(self, node: Node) -> Any:
        kind = self._check_tag(node, _SCALARS)
        text = str(node.value)
        try:
            return _SCALAR_READERS[kind](text)
        except (ValueError, KeyError):
            raise errors.TemplateError(
                f"{_where(self.path, node)}: cannot read {short(text)} as {kind or 'a value'}."
            ) from None

    def _check_tag(self, node: Node, allowed: tuple[str, ...]) -> str:
        tag = str(node.tag)
        kind = tag.removeprefix(_TAG)
        if kind not in allowed:
            shown = "!!" + kind if tag.startswith(_TAG) else tag
            raise errors.TemplateError(
                f"{_where(self.path, node)}: the tag {short(shown)} is not allowed; a template is made of mappings, "
                "lists, texts and numbers."
            )
        return kind


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    if len(plain) > 300:
        raise ValueError("too long")
    return int(plain, 0) if re.match(r"[-+]?0[xob]", plain) else int(plain)


def _float(text: str) -> float:
    plain = text.replace("_", "").lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


_SCALAR_READERS = {
    "str": str,
    "timestamp": str,
    "int": _integer,
    "float": _float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "null": lambda text: None,
}


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise errors.PathError(f"{path}: this is no file.")
        if path.stat().st_size > MAX_BYTES:
            raise errors.TemplateError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which is more than is read.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, errors.RecurraError):
            raise
        raise errors.PathError(f"{path}: cannot be read ({error}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.TemplateError(f"{path}: not a text in UTF-8 (byte {error.start}).") from None


def _compose(text: str, path: Path) -> Node:
    from ruamel.yaml import YAML, YAMLError

    # Counted before the parser sees them: it needs a thousand bytes and twenty microseconds for each.
    if sum(map(text.count, ",:[{\n")) > MAX_VALUES:
        raise errors.TemplateError(f"{path}: more than {MAX_VALUES} values, which is more than is read.")
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _bounded(path)
    try:
        return yaml.compose(text)
    except YAMLError as error:
        raise errors.TemplateError(f"{path}: {_problem(error)}") from None
    except errors.TemplateError:
        raise
    except RecursionError:
        raise errors.TemplateError(f"{path}: nested too deep.") from None
    except Exception as error:
        # On broken input the parser fails in ways that it does not declare; a reader of files from anyone must not.
        raise errors.TemplateError(f"{path}: not valid YAML ({type(error).__name__}).") from None


def _bounded(path: Path) -> type:
    """Return the class that composes nodes, with a bound on how deep they are nested."""
    from ruamel.yaml.composer import Composer

    class Bounded(Composer):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > MAX_DEPTH + 2:
                raise errors.TemplateError(f"{path}: nested deeper than {MAX_DEPTH} levels.")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Bounded


def _problem(error: Any) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error).splitlines()[0]
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    problem = errors.cut(str(problem), 200)
    hint = " Indent with spaces, not with tabs." if "\\t" in str(problem) else ""
    return f"{place}not valid YAML: {problem}.{hint}"


def _where(path: Path, node: Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _has_base(node: Node) -> bool:
    return node.id == "mapping" and any(key.id == "scalar" and key.value == "base" for key, _ in node.value)
