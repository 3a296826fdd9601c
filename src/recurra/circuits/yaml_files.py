"""Load templates from YAML: find the file, follow the bases, build the template. Nothing is kept between calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recurra import errors
from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.nodes import EdgeTemplate, NodeTemplate, PopulationTemplate
from recurra.circuits.operators import OperatorTemplate
from recurra.circuits.templates import Template, expect_kind, short
from recurra.circuits.yaml_text import YamlFile

LIBRARY = Path(__file__).resolve().parent.parent / "library"
KINDS: dict[str, type[Template]] = {
    kind.__name__: kind for kind in (OperatorTemplate, NodeTemplate, EdgeTemplate, CircuitTemplate, PopulationTemplate)
}
ENDINGS = (".yaml", ".yml")
_MAX_CHAIN = 50
MAX_LISTED = 2000
_MAX_ENTRIES = 200_000  # of folders that are searched
_MAX_FOLDERS = 32  # one inside the other
_MAX_BYTES = 20_000_000  # of all files that one call reads
_MAX_NUMBERS = 10_000_000  # of all operators that one call loads: a text of twenty characters may declare a million


def from_yaml(path: str) -> Template:
    """Load a template of any kind from a YAML file.

    Arguments:
        path: `"package.module.file.Name"`: a file of the library that comes with Recurra, or else one below the
            current directory or a directory of `sys.path`; or `"directory/file/Name"`, with or without the ending
            of the file, relative to the current directory or absolute. Nothing is imported.

    Returns:
        A new template; loading twice gives two independent ones.

    Raises:
        PathError: if there is no such file or name; the message holds near ones.
        TemplateError: if the file or the template cannot be understood.
        EquationError: if an equation cannot be understood.

    >>> from_yaml("model_templates.neural_mass_models.wilsoncowan.WC").name
    'WC'
    """
    if isinstance(path, Path):
        path = path.as_posix()
    if not isinstance(path, str) or not path.strip():
        raise errors.PathError(f"expected the path of a template, such as 'file.yaml/Name', got {short(path)}.")
    return Loader().load(path, None)


def circuit_from_yaml(path: str) -> CircuitTemplate:
    """Load a circuit from a YAML file; the same as `CircuitTemplate.from_yaml`.

    Arguments:
        path: as in :func:`from_yaml`.

    Returns:
        A new circuit.

    >>> circuit_from_yaml("model_templates.neural_mass_models.qif.qif").name
    'qif'
    """
    return CircuitTemplate.from_yaml(path)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the name of the file in front of what is wrong with a template, which knows only its own name."""
    try:
        yield
    except errors.EquationError as error:
        if file.name in error.where:
            raise
        raise errors.EquationError(error.message, error.source, error.span, f"{file.name}/{error.where}") from None
    except (errors.TemplateError, errors.PathError, errors.ShapeError) as error:
        if file.name in str(error):
            raise
        raise type(error)(f"{file.name}/{error}") from None


class Key(NamedTuple):
    file: Path
    name: str

    def __str__(self) -> str:
        return f"{self.file.name}/{self.name}"


class _Draft(NamedTuple):
    """Hold the arguments from which a template is made; all references in them are templates already."""

    kind: type[Template]
    arguments: dict[str, Any]


class Loader:
    """Load one template and all it refers to; lives as long as one call."""

    def __init__(self) -> None:
        self.files: dict[Path, YamlFile] = {}
        self.keys: dict[tuple[str, Path | None], Key] = {}
        self.drafts: dict[Key, _Draft] = {}
        self.done: dict[Key, Template] = {}
        self.chain: list[Key] = []
        self.bytes = self.numbers = 0

    def load(self, reference: object, origin: Path | None) -> Template:
        """Return the template that a path speaks of, seen from a file (or from the user)."""
        key = self.find(reference, origin)
        if key not in self.done:
            draft = self.draft(key)
            name = draft.arguments.pop("label")
            with _naming(key.file):
                self.done[key] = draft.kind(name=name, path=f"{key.file}/{key.name}", **draft.arguments)
            self.count(self.done[key], key)
        return self.done[key]

    def count(self, template: Template, key: Key) -> None:
        """Bound the memory that vectors take which are declared in a few characters."""
        if isinstance(template, OperatorTemplate):
            self.numbers += sum(np.size(declared.value) for declared in template.variables.values())
        if self.numbers > _MAX_NUMBERS:
            raise errors.TemplateError(f"{key}: the operators hold more than {_MAX_NUMBERS} numbers in all.")

    def draft(self, key: Key) -> _Draft:
        """Follow the bases of a template and collect its arguments."""
        if key in self.chain:
            loop = [*self.chain[self.chain.index(key) :], key]
            raise errors.TemplateError(f"templates refer to each other in a circle: {' -> '.join(map(str, loop))}.")
        if len(self.chain) >= _MAX_CHAIN:
            raise errors.TemplateError(f"{key}: templates refer to each other over more than {_MAX_CHAIN} levels.")
        self.chain.append(key)
        if key not in self.drafts:
            self.drafts[key] = self.read(key)
        self.chain.pop()
        kind, arguments = self.drafts[key]
        return _Draft(kind, dict(arguments))

    def fields(self, key: Key) -> Any:
        """Return what a file says of one template."""
        return self.files[key.file].value(key.name)

    def read(self, key: Key) -> _Draft:
        """Read one entry of a file."""
        fields = self.fields(key)
        where = str(key)
        if not isinstance(fields, dict) or "base" not in fields:
            raise errors.TemplateError(f"{where}: a template is a mapping with a `base`, got {short(fields)}.")
        base = fields.pop("base")
        if not isinstance(base, str):
            raise errors.TemplateError(f"{where}: base must be a kind of template or a path, got {short(base)}.")
        parent = _Draft(KINDS[base], {}) if base in KINDS else self.base(base, key)
        label = fields.pop("label", key.name)
        parent.kind._check_keys(fields, where)
        own = {name: self.resolve(name, value, key) for name, value in fields.items() if value is not None}
        arguments = parent.kind._merge({k: v for k, v in parent.arguments.items() if k != "label"}, own, where)
        for needed in _NEEDED.get(parent.kind, ()):
            if arguments.get(needed) is None:
                raise errors.TemplateError(f"{where}: a {parent.kind.__name__} needs {needed!r}.")
        return _Draft(parent.kind, {**arguments, "label": label})

    def base(self, base: str, key: Key) -> _Draft:
        try:
            return self.draft(self.find(base, key.file))
        except errors.PathError as error:
            raise errors.PathError(f"{key}, base {base!r}: {error} Kinds of templates: {', '.join(KINDS)}.") from None

    def resolve(self, field: str, value: Any, key: Key) -> Any:
        """Replace the paths in a field by templates."""
        where = f"{key}, {field}"
        if field == "operators":
            return self.operators(value, key, where)
        if field == "node":
            return self.part(value, NodeTemplate, key, where)
        if field in ("nodes", "circuits") and isinstance(value, dict):
            kind = NodeTemplate if field == "nodes" else CircuitTemplate
            return {label: self.part(path, kind, key, f"{where}/{label}") for label, path in value.items()}
        if field == "populations" and isinstance(value, dict):
            return {label: self.population(entry, key, f"{where}/{label}") for label, entry in value.items()}
        if field == "edges":
            if isinstance(value, dict):
                return {part: self.edges(entry, key, where, part != "remove") for part, entry in value.items()}
            return self.edges(value, key, where, True)
        if field == "connections" and isinstance(value, list):
            return [self.swap(entry, "edge", EdgeTemplate, key, where) for entry in value]
        return value

    def operators(self, value: Any, key: Key, where: str) -> Any:
        if isinstance(value, dict):
            return {self.part(path, OperatorTemplate, key, where): own for path, own in value.items()}
        entries = value if isinstance(value, list) else [value]
        return [self.part(path, OperatorTemplate, key, where) for path in entries]

    def population(self, value: Any, key: Key, where: str) -> Any:
        if isinstance(value, dict):
            return self.swap(value, "node", NodeTemplate, key, where)
        return self.part(value, PopulationTemplate, key, where)

    def edges(self, value: Any, key: Key, where: str, resolve: bool) -> Any:
        if not resolve or not isinstance(value, list):
            return value
        found = []
        for entry in value:
            if isinstance(entry, dict):
                found.append(self.swap(entry, "template", EdgeTemplate, key, where))
            elif isinstance(entry, list) and len(entry) > 2 and entry[2] is not None:
                found.append([*entry[:2], self.part(entry[2], EdgeTemplate, key, where), *entry[3:]])
            else:
                found.append(entry)
        return found

    def swap(self, entry: Any, part: str, kind: type[Template], key: Key, where: str) -> Any:
        """Replace the path in one part of a mapping."""
        if isinstance(entry, dict) and entry.get(part) is not None:
            return {**entry, part: self.part(entry[part], kind, key, where)}
        return entry

    def part(self, path: Any, kind: type[Template], key: Key, where: str) -> Template:
        if not isinstance(path, str):
            raise errors.TemplateError(f"{where}: expected the name of a {kind.__name__}, got {short(path)}.")
        try:
            return expect_kind(self.load(path, key.file), kind, where)
        except errors.PathError as error:
            raise errors.PathError(f"{where}: {error}") from None

    def find(self, reference: object, origin: Path | None) -> Key:
        """Find file and name that a path speaks of."""
        if not isinstance(reference, str) or not reference.strip():
            raise errors.PathError(f"expected the path of a template, got {short(reference)}.")
        if (reference, origin) not in self.keys:
            self.keys[reference, origin] = self.locate(reference.strip(), origin)
        return self.keys[reference, origin]

    def locate(self, reference: str, origin: Path | None) -> Key:
        if origin is not None and reference in self.open(origin):
            return Key(origin, reference)
        if "/" in reference:
            stem, _, name = reference.rpartition("/")
            candidates = _files_by_path(stem, origin)
        else:
            stem, _, name = reference.rpartition(".")
            candidates = _files_by_dots(stem, origin) if stem else []
        whole = (origin.parent if origin else Path.cwd()) / reference
        if reference.endswith(ENDINGS) and is_there(whole):
            known = self.open(whole).names()
            raise errors.PathError(
                f"{reference!r} is a file; say which template of it: '{reference}/NAME' with one of {', '.join(known)}."
            )
        if not stem and origin is not None:
            raise errors.PathError(errors.unknown("template", reference, self.open(origin).names(), origin.name))
        file = next((each for each in candidates if is_there(each)), None)
        if file is None:
            raise errors.PathError(_no_file(reference, stem, candidates))
        if name not in self.open(file):
            raise errors.PathError(errors.unknown("template", name, self.open(file).names(), str(file)))
        return Key(file, name)

    def open(self, file: Path) -> YamlFile:
        if file not in self.files:
            self.files[file] = YamlFile(file)
            self.bytes += file.stat().st_size
            if self.bytes > _MAX_BYTES:
                raise errors.TemplateError(f"{file}: the files together are larger than {_MAX_BYTES // 10**6} MB.")
        return self.files[file]


_NEEDED: dict[type[Template], tuple[str, ...]] = {
    OperatorTemplate: ("equations",),
    NodeTemplate: ("operators",),
    EdgeTemplate: ("operators",),
    PopulationTemplate: ("node", "n"),
}


def _files_by_path(stem: str, origin: Path | None) -> list[Path]:
    """List the files that `directory/file` can mean, the best first."""
    roots = [Path.cwd()] if origin is None else [origin.parent, Path.cwd()]
    return [file for root in roots for file in with_ending(root / stem)]


def _files_by_dots(stem: str, origin: Path | None) -> list[Path]:
    """List the files that `package.module.file` can mean, the best first."""
    roots = [] if origin is None else [origin.parent]
    roots += [LIBRARY, Path.cwd(), *(Path(entry) for entry in sys.path if entry)]
    inner = Path(*[part for part in stem.split(".") if part])
    return [file for root in roots for file in with_ending(root / inner)]


def with_ending(path: Path) -> list[Path]:
    if path.suffix in ENDINGS:
        return [path]
    return [path.parent / (path.name + ending) for ending in ENDINGS]


def is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def _no_file(reference: str, stem: str, candidates: list[Path]) -> str:
    """Say that no file was found, and which are near."""
    if not stem:
        files = {name.rpartition(".")[2]: name for name in _library_names()}
        meant = [f"Did you mean a template in {files[name]!r}?" for name in errors.near(reference, files, 1)]
        return (
            f"{reference!r} names no file: write 'package.module.file.{reference}' or './file/{reference}'. "
            + (*meant, errors.unknown("template", reference, files.values()))[0]
        )
    if "/" in reference:
        folder = candidates[0].parent
        known = [file.stem for file in yaml_files(folder, deep=False)] if is_there(folder) else []
        name = candidates[0].stem
        missing = errors.cut(str(candidates[0]), 200)
        return f"{short(reference, 200)}: there is no file {missing}. " + errors.unknown("file", name, known)
    return f"{short(reference, 200)}: " + errors.unknown("file", stem, [*_library_names()])


def _library_names() -> list[str]:
    """List the files of the library as dotted paths."""
    files = yaml_files(LIBRARY)
    return [".".join(file.relative_to(LIBRARY).with_suffix("").parts) for file in files]


def yaml_files(folder: Path, deep: bool = True) -> list[Path]:
    """List the YAML files of a folder, without following links to other folders."""
    found: list[Path] = []
    seen = 0
    for place, inner, names in os.walk(folder):
        seen += len(inner) + len(names)
        found += [Path(place) / name for name in names if name.endswith(ENDINGS)]
        inner[:] = sorted(inner) if deep and len(Path(place).parts) - len(folder.parts) < _MAX_FOLDERS else []
        if seen > _MAX_ENTRIES:
            break
    return sorted(found)[:MAX_LISTED]
