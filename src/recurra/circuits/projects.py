"""Read all templates of somebody's project, mend what can be mended, and say what was done and what was not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recurra import errors
from recurra.circuits.mends import mend_base, mend_fields, mend_reference
from recurra.circuits.templates import Template, short
from recurra.circuits.yaml_files import (
    ENDINGS,
    KINDS,
    LIBRARY,
    MAX_LISTED,
    Key,
    Loader,
    is_there,
    with_ending,
    yaml_files,
)
from recurra.circuits.yaml_text import YamlFile

_MAX_FAILED = 500  # each failure is searched for all over the library; a folder with more is no project
Status = Literal["read", "mended", "failed"]


@dataclass(frozen=True)
class Entry:
    """Say what became of one template, or of a file that could not be opened.

    Arguments:
        file: the file, as a path relative to the project.
        template: its name in the file; `""` for a file as a whole.
        status: `"read"` as it stands, `"mended"`, or `"failed"`.
        notes: what was mended; why it failed.
    """

    file: str
    template: str
    status: Status
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = f"{self.file}/{self.template}" if self.template else self.file
        return "\n".join([f"{self.status}: {name}", *(f"    {note}" for note in self.notes)])


@dataclass(frozen=True)
class ProjectReport:
    """Hold what became of every template of a project; its text has a line for each mend and each failure.

    Arguments:
        entries: one for each template.

    >>> import tempfile
    >>> text = "op: {base: OperatorTemplate, equations: x' = -k*x, variables: {x: output(1.0), k: {default: 2.0}}}"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "old.yaml").write_text(text, "utf-8")
    ...     templates, report = read_project(folder)
    >>> print(report)
    0 read, 1 mended, 0 failed
    mended: old.yaml/op
        k: {default: 2.0} was read as 2.0
    """

    entries: tuple[Entry, ...]

    @property
    def mended(self) -> tuple[Entry, ...]:
        """List what was read with mends."""
        return tuple(entry for entry in self.entries if entry.status == "mended")

    @property
    def failed(self) -> tuple[Entry, ...]:
        """List what could not be read."""
        return tuple(entry for entry in self.entries if entry.status == "failed")

    def __str__(self) -> str:
        counts = {s: sum(entry.status == s for entry in self.entries) for s in ("read", "mended", "failed")}
        told = [str(entry) for entry in self.entries if entry.status != "read"]
        return "\n".join([", ".join(f"{count} {status}" for status, count in counts.items()), *told])


def read_project(path: str | Path) -> tuple[dict[str, Template], ProjectReport]:
    """Read every template of a folder or file that was written for any version of PyRates.

    Unlike :func:`from_yaml`, this mends what older versions and the documentation write otherwise: old names of kinds
    and functions, `label`, `{default: ...}`, values under `variables`, edges of three entries, paths that begin with
    the package's name, and templates that have moved in the library. A template that cannot be read does not stop the
    others.

    Arguments:
        path: a folder, with all below it, or one file.

    Returns:
        `(templates, report)`: templates by `"folder/file/Name"` relative to the folder, and what was done to them. The
        text of the report is for people.

    Raises:
        PathError: there is no such folder or file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = "op: {base: OperatorTemplate, equations: x' = -k*x, variables: {x: output(1.0), k: {default: 2.0}}}"
    ...     _ = (Path(folder) / "old.yaml").write_text(text, "utf-8")
    ...     templates, report = read_project(folder)
    >>> list(templates), len(report.mended)
    (['old/op'], 1)
    """
    if not isinstance(path, str | Path) or not is_there(Path(path)):
        raise errors.PathError(f"expected a folder or a YAML file, there is nothing at {short(str(path))}.")
    root = Path(path).absolute()
    folder = root if root.is_dir() else root.parent
    files = yaml_files(folder) if root.is_dir() else [root]
    loader = _MendingLoader(folder)
    templates: dict[str, Template] = {}
    entries: list[Entry] = []
    failed = 0
    for file in files[:MAX_LISTED]:
        shown = file.relative_to(folder).as_posix()
        try:
            names = loader.open(file).names()
        except Exception as error:
            entries.append(Entry(shown, "", "failed", (_reason(error),)))
            continue
        stem = shown.removesuffix(file.suffix)
        for name in names:
            key = Key(file, name)
            if failed == _MAX_FAILED:
                why = f"{name} and what follows: not tried after {failed} failures"
                entries.append(Entry(shown, "", "failed", (why,)))
                break
            try:
                templates[f"{stem}/{name}"] = loader.get(key)
            except Exception as error:  # whatever one template does, the others are still read
                entries.append(Entry(shown, name, "failed", (*loader.told(key), _reason(error))))
                failed += 1
                continue
            notes = loader.told(key)
            entries.append(Entry(shown, name, "mended" if notes else "read", notes))
    return templates, ProjectReport(tuple(entries))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, errors.RecurraError) else f"{type(error).__name__}: {short(str(error), 200)}"


class _MendingLoader(Loader):
    """Load templates of a project, and keep what was mended in which of them."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.notes: dict[Key, list[str]] = {}

    def get(self, key: Key) -> Template:
        """Return a template by its file and name."""
        self.chain.clear()
        self.keys[key.name, key.file] = key
        return self.load(key.name, key.file)

    def told(self, key: Key) -> tuple[str, ...]:
        """Return what was mended in a template, each thing once."""
        return tuple(dict.fromkeys(self.notes.get(key, ())))

    def open(self, file: Path) -> YamlFile:
        inside = file.is_relative_to(self.folder)
        if inside and file not in self.files and not file.resolve().is_relative_to(self.folder.resolve()):
            raise errors.TemplateError(f"{file}: a link that leads out of the project, which is not followed.")
        return super().open(file)

    def fields(self, key: Key) -> Any:
        fields = super().fields(key)
        if not isinstance(fields, dict) or "base" not in fields:
            return fields
        tell = self.notes.setdefault(key, []).append
        base = mend_base(fields["base"], tell)
        kind = base if isinstance(base, str) and base in KINDS else ""
        return mend_fields({**fields, "base": base}, kind, tell)

    def locate(self, reference: str, origin: Path | None) -> Key:
        try:
            return super().locate(reference, origin)
        except errors.PathError as error:
            failure = error
        found = self._elsewhere(mend_reference(reference), origin)
        if found is None:
            raise failure
        if self.chain:
            self.notes.setdefault(self.chain[-1], []).append(f"the path {reference!r} was read as {_name(found)}")
        return found

    def _elsewhere(self, reference: str, origin: Path | None) -> Key | None:
        """Look in the project, then for a file of the same name in the library."""
        stem, _, name = reference.rpartition("/" if "/" in reference else ".")
        inner = re.sub(r"^(\.{0,2}/)+", "", stem) if "/" in reference else stem.replace(".", "/")
        if not inner or not name:
            return None
        roots = [self.folder, self.folder.parent, LIBRARY]
        candidates = [file for root in roots for file in with_ending(root / inner)]
        moved = [file for file in yaml_files(LIBRARY) if _bare(file.stem) == _bare(Path(inner).name)]
        for file in [*candidates, *(moved if len(moved) == 1 else [])]:
            if is_there(file) and file.suffix in ENDINGS and name in self.open(file):
                return Key(file, name)
        return None


def _bare(name: str) -> str:
    """Return a name as one would compare it across versions: `simple_jansen_rit` and `jansenrit` agree."""
    return re.sub(r"_|simple|\.ya?ml$", "", name.lower())


def _name(key: Key) -> str:
    inside = key.file.is_relative_to(LIBRARY)
    return f"'{key.file.relative_to(LIBRARY) if inside else key.file.name}/{key.name}'"
