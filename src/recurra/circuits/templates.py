"""What all templates share: a name, a description, a source, equality by content, and no way to change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import numpy as np

from recurra import errors
from recurra.courtesy import returns_changed

if TYPE_CHECKING:
    from typing import Self

WILDCARD = "all"
_FORBIDDEN = ("/", "->", "#", "[", "]")
_Kind = TypeVar("_Kind", bound="Template")


class Template:
    """Hold what is common to operators, nodes, edges, populations and circuits.

    A template never changes: every update returns a new one. Two templates are equal if their content is, where
    they were loaded from does not count.

    Arguments:
        name: the name, without `/`.
        path: where it was loaded from, for people.
        description: what it is.
        reference: the paper it comes from.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    name: str
    path: str | None
    description: str
    reference: str

    def __init__(self, name: str, path: str | None, description: str, reference: str, **content: object):
        text = {"description": description or "", "reference": reference or ""}
        for key, value in text.items():
            if not isinstance(value, str):
                raise errors.TemplateError(f"{name}: {key} must be a text, got {value!r}.")
        self.__dict__.update(name=check_name(name, type(self).__name__), path=path, **text, **content)

    @classmethod
    def from_yaml(cls, path: str) -> Self:
        """Load a template of this kind from a YAML file.

        Arguments:
            path: `"package.module.file.Name"` or `"directory/file/Name"`, as in :func:`recurra.circuits.from_yaml`.

        Returns:
            A new template.

        Raises:
            PathError: if there is no such file or name.
            TemplateError: if the file or the template cannot be understood, or is of another kind.
        """
        from recurra.circuits.yaml_files import from_yaml

        return expect_kind(from_yaml(path), cls, str(path))

    @returns_changed
    def update_template(self, name: str | None = None, path: str | None = None, **changes: Any) -> Self:
        """Return a new template with some of its parts changed, by the rules of inheritance in YAML files.

        Arguments:
            name: the new name; unchanged if `None`.
            path: where the new one comes from.
            **changes: the constructor's other arguments. Operators: `equations` (a text or a list replaces; a
                mapping with `replace`, `remove`, `append`, `prepend`, `add` edits), `variables` and `units`
                (merged). Nodes and edges: `operators` (replaces). Circuits: `nodes`, `circuits`, `populations`
                (merged), `edges` (appended; `{"remove": [...], "add": [...]}` edits), `connections` (appended).

        Returns:
            A new template.

        Raises:
            TemplateError: if a change is unknown or does not fit.
        """
        where = name or self.name
        self._check_keys(changes, where)
        given = {key: value for key, value in changes.items() if value is not None}
        return type(self)(name=where, path=path, **self._merge(self._settings(), given, where))

    def describe(self) -> str:
        """Return a text for people: what is in the template, its values, units and source."""
        raise NotImplementedError

    @classmethod
    def _check_keys(cls, changes: Mapping[str, object], where: str) -> None:
        known = (*cls._fields, "description", "reference")
        for key in changes:
            if key not in known:
                raise errors.TemplateError(errors.unknown(f"part of {_article(cls.__name__)}", key, known, where))

    def _settings(self) -> dict[str, Any]:
        """Give the constructor's arguments, except name and path, that make this template again."""
        names = ("description", "reference", *self._fields)
        return {key: getattr(self, key) for key in names}

    @classmethod
    def _merge(cls, old: dict[str, Any], new: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Combine a parent's arguments with a child's."""
        return {**old, **new}

    def _heading(self) -> list[str]:
        lines = [f"{type(self).__name__} {self.name}"]
        lines += [f"  {line}" for line in self.description.strip().splitlines()]
        if self.reference:
            lines.append(f"  Reference: {' '.join(self.reference.split())}")
        return lines

    def _content(self) -> tuple[Any, ...]:
        if "_content_key" not in self.__dict__:
            self.__dict__["_content_key"] = (type(self).__name__, self.name, content_of(self._settings()))
        return self.__dict__["_content_key"]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Template):
            return NotImplemented
        return self is other or self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __setattr__(self, key: str, value: object) -> NoReturn:
        raise errors.TemplateError(
            f"{self.name}: a template cannot be changed (tried to set {key!r}). update_template and update_var "
            "return a new one."
        )

    def __delattr__(self, key: str) -> NoReturn:
        raise errors.TemplateError(f"{self.name}: a template cannot be changed (tried to delete {key!r}).")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # What was computed from the content (the lowered program above all) is not worth sending to a process.
        return _rebuild, (type(self), self.name, self.path, _thawed(self._settings()))


def _rebuild(kind: type[Template], name: str, path: str | None, settings: dict[str, Any]) -> Template:
    return kind(name=name, path=path, **settings)


def _thawed(value: Any) -> Any:
    """Replace views of mappings, which cannot be sent to another process, by dicts."""
    if isinstance(value, Mapping):
        return {key: _thawed(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        parts = [_thawed(entry) for entry in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def check_name(name: object, what: str) -> str:
    """Return the name, or say why it cannot stand in a path."""
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name.strip():
        raise errors.TemplateError(f"the name of {_article(what)} must be a text, got {name!r}.")
    for mark in _FORBIDDEN:
        if mark in name:
            raise errors.TemplateError(
                f"the name {name!r} of {_article(what)} must not hold {mark!r}: it has a meaning in paths."
            )
    if name == WILDCARD or name != name.strip():
        reason = "stands for every node in paths" if name == WILDCARD else "begins or ends with a space"
        raise errors.TemplateError(f"{_article(what)} cannot be called {name!r}: it {reason}.")
    return name


def expect_kind(template: object, kind: type[_Kind], where: str) -> _Kind:
    """Return the template if it is of the wanted kind, or say what it is."""
    if not isinstance(template, kind):
        got = f"the {type(template).__name__} {template.name!r}" if isinstance(template, Template) else repr(template)
        raise errors.TemplateError(f"{where}: expected {_article(kind.__name__)}, got {got}.")
    return template


def as_template(value: object, kind: type[_Kind], where: str) -> _Kind:
    """Take a template as it is, and load a path to one."""
    if isinstance(value, str):
        return kind.from_yaml(value)
    return expect_kind(value, kind, where)


def expect_mapping(value: object, where: str, example: str) -> Mapping[Any, Any]:
    """Return the mapping, or an empty one for None, or say what was expected."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise errors.TemplateError(f"{where}: expected a mapping such as {example}, got {short(value)}.")
    return value


def listed(value: object, where: str, what: str) -> list[Any]:
    """Return what was given as a list, an empty one for None."""
    if value is None:
        return []
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise errors.TemplateError(f"{where}: {what} must be a list, got {short(value)}.")
    return list(value)


def frozen(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a copy of the mapping that cannot be changed."""
    return MappingProxyType(dict(mapping))


def content_of(value: object) -> Any:
    """Return something hashable that is equal for equal content."""
    if isinstance(value, Template):
        return value._content()
    if isinstance(value, np.ndarray):
        return "array", value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, Mapping):
        return tuple((content_of(key), content_of(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return tuple(content_of(entry) for entry in value)
    return value


def short(value: object, width: int = 60) -> str:
    """Return the start of what `repr` gives."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "AEIOUaeiou" else f"a {noun}"
