"""The code of functions as plain values: what it does, its constants, and the names that it looks up."""

from __future__ import annotations

import ast
import bisect
import dis
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HIDDEN = frozenset({"NOP", "EXTENDED_ARG", "CACHE", "RESUME", "PRECALL"})
_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *args, **kwargs, and the kinds of generators
_ASKS = ("LOAD_ATTR", "LOAD_METHOD")
_OF_CLASSES = frozenset({"__doc__", "__firstlineno__", "__static_attributes__", "__qualname__"})


@dataclass(frozen=True, eq=False)
class Code:
    """Hold what a code object does, those inside of it included.

    Arguments:
        shape: its instructions, without constants and places in files.
        constants: in the order in which they are used.
        globals: the names that it looks up outside.
        attributes: the names that it asks anything for; every text in it may be one.
        whole: the globals of which it takes more than an attribute: it hands them on, or looks into them.
        imports: the modules that it imports while it runs.
    """

    shape: tuple
    constants: tuple
    globals: tuple[str, ...]
    attributes: frozenset[str]
    imports: tuple[str, ...]
    whole: frozenset[str] = frozenset()


def read_code(code: types.CodeType) -> Code:
    """Read a code object.

    >>> def f(x):
    ...     "Say something."
    ...     return abs(x) + 2
    >>> read_code(f.__code__).constants, read_code(f.__code__).globals
    ((2,), ('abs',))
    """
    constants: list[Any] = []
    names: dict[str, set[str]] = {"globals": set(), "attributes": set(), "imports": set(), "whole": set()}
    shape = _shape(code, constants, names)
    texts = frozenset(each for each in constants if isinstance(each, str))
    found = tuple(sorted(names["globals"])), frozenset(names["attributes"] | texts), tuple(sorted(names["imports"]))
    return Code(shape, tuple(constants), *found, frozenset(names["whole"]))


def _shape(code: types.CodeType, constants: list[Any], names: dict[str, set[str]]) -> tuple:
    count = code.co_argcount + code.co_kwonlyargcount
    head = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames[:count])
    return (head, code.co_flags & _FLAGS, code.co_exceptiontable, tuple(_steps(code, constants, names)))


def _steps(code: types.CodeType, constants: list[Any], names: dict[str, set[str]]) -> Iterator[tuple]:
    """Yield the instructions; a jump goes to the number of an instruction."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in _HIDDEN]
    hidden = {
        j
        for i, step in enumerate(steps)
        if step.opname == "STORE_NAME" and step.argval in _OF_CLASSES
        for j in (i - 1, i)
    }
    steps = [step for i, step in enumerate(steps) if i not in hidden]
    offsets = [step.offset for step in steps]
    jumps = {*dis.hasjrel, *dis.hasjabs}
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        value = step.argval
        if step.opname == "KW_NAMES" and step.arg is not None:  # Python 3.11 does not look it up
            value = code.co_consts[step.arg]
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names["globals"].add(value)
            if after is None or not after.opname.startswith(_ASKS):
                names["whole"].add(value)
        elif step.opname.startswith((*_ASKS, "LOAD_SUPER_ATTR", "IMPORT_FROM")):
            names["attributes"].add(value)
        elif step.opname == "IMPORT_NAME":
            names["imports"].add(value)
        if step.opcode in jumps:
            yield step.opname, bisect.bisect_left(offsets, value)
        elif isinstance(value, types.CodeType):
            yield step.opname, _shape(value, constants, names)
        elif step.opcode in dis.hasconst:
            constants.append(value)
            yield (step.opname,)
        else:
            yield step.opname, value if isinstance(value, str | int | tuple | type(None)) else repr(value)


def source_of(module: str, installed: Callable[[str], bool]) -> dict[str, str]:
    """Return the code of a module's file and of the files that it imports, by name, without comments and docstrings.

    Arguments:
        module: its name.
        installed: tells whether a module is of an installed package; those are left out.
    """
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or installed(name):
            continue
        file = _file_of(name)
        try:
            tree = ast.parse(Path(file).read_text()) if file else None
        except (OSError, SyntaxError, ValueError):
            tree = None
        found[name] = "" if tree is None else ast.dump(_undocumented(tree))
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                waiting.append(node.module)
    return found


def _file_of(module: str) -> str | None:
    """Return the file of a module without importing it."""
    known = getattr(sys.modules.get(module), "__file__", None)
    if known is not None:
        return known
    path = None
    spec = None
    parts = module.split(".")
    for i in range(len(parts)):
        name = ".".join(parts[: i + 1])
        spec = next((s for f in sys.meta_path if (s := f.find_spec(name, path)) is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec is not None else None


def _undocumented(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
