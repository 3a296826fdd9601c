"""While a body is traced, what acts beside the objects is out of its reach: files, clocks, iterators, draws.

What a body's code finds under the name of such a thing is a stand-in that refuses any use, so an attempt to trace that
fails has opened no file, and has taken nothing out of an iterator. A name that is only mentioned refuses nothing.
"""

from __future__ import annotations

import contextlib
import io
import random
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from recurra.engine.anatomy import shared
from recurra.tracing.code import codes_in, words

# Modules that act beside the program, or whose answers differ from call to call; and functions of other modules.
_ACTING = words(
    "asyncio atexit bz2 concurrent ctypes datetime dbm ftplib getpass glob gzip http imaplib logging lzma mmap"
    " multiprocessing os pathlib posix queue sched secrets select shelve shutil signal smtplib socket sqlite3 ssl"
    " subprocess tarfile tempfile threading time tracemalloc urllib uuid warnings zipfile _datetime _io _thread"
    " _warnings"
    " matplotlib tqdm h5py zarr tables requests wandb seaborn plotly"
)
_ACTS = {
    "sys": {"exit", "setrecursionlimit", "settrace", "setprofile"},
    "json": {"dump", "load"},
    "_csv": {"writer", "reader"},
    "csv": {"DictWriter", "DictReader"},
    "pickle": {"dump", "load"},
    "_pickle": {"dump", "load"},
}
_BUILTINS = (open, input, breakpoint)
_HIDING = (io.IOBase, np.random.Generator, np.random.RandomState, random.Random)


class Hidden:
    """Stand in for what must not be used while a body is traced: any use of it is refused.

    Arguments:
        refusal: makes the refusal of the reason.
        reason: why.
    """

    def __init__(self, refusal: Callable[[str], BaseException], reason: str):
        self._refusal, self._reason = refusal, reason

    def _use(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refusal(self._reason)

    def __bool__(self) -> bool:
        return True

    __next__ = __iter__ = __call__ = __getitem__ = __setitem__ = __enter__ = __len__ = __contains__ = _use

    def __getattr__(self, name: str) -> Any:
        raise self._refusal(self._reason)


class Module(types.ModuleType):
    """Stand in for a module, and hide what of it acts.

    Arguments:
        module: the module.
        refusal: as for :class:`Hidden`.
    """

    def __init__(self, module: types.ModuleType, refusal: Callable[[str], BaseException]):
        super().__init__(module.__name__)
        self._module, self._refusal = module, refusal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        reason = why_hidden(value, f"{self._module.__name__}.{name}")
        return value if reason is None else Hidden(self._refusal, reason)


def why_hidden(value: Any, name: str) -> str | None:
    """Say why a value must not be used while a body is traced; None if it may be.

    >>> import itertools, time
    >>> why_hidden(itertools.count(), "ticks")
    'ticks is a count, whose state cannot be followed'
    >>> why_hidden(time.time, "time.time")
    'time.time acts outside of the model, or differs from call to call'
    >>> why_hidden(np.exp, "np.exp")
    """
    if isinstance(value, (*_HIDING, Iterator)):
        return None if shared(value) else f"{name} is a {type(value).__name__}, whose state cannot be followed"
    if not callable(value):
        return None
    owner = getattr(value, "__self__", None)
    if isinstance(owner, (*_HIDING, Iterator)) and not shared(owner):
        return f"{name} is a method of a {type(owner).__name__}, whose state cannot be followed"
    module = getattr(value, "__module__", None) or ""
    top, own = module.split(".")[0], getattr(value, "__name__", "")
    acts = value in _BUILTINS or top in _ACTING or own in _ACTS.get(top, ()) if own else False
    return f"{name} acts outside of the model, or differs from call to call" if acts else None


class Guards:
    """Hide from functions what acts beside the objects.

    Arguments:
        functions: the functions that a body may call.
    """

    def __init__(self, functions: Iterable[types.FunctionType]):
        self._hidden: dict[tuple[int, str], tuple[Any, str, Any, str | None]] = {}
        for function in functions:
            space = function.__globals__
            builtin = space.get("__builtins__", {})
            builtin = builtin if isinstance(builtin, dict) else vars(builtin)
            for name in sorted({name for code in codes_in(function.__code__) for name in code.co_names}):
                value = space[name] if name in space else builtin.get(name)
                self._add(space, name, value, name in space)
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
                with contextlib.suppress(ValueError):
                    self._add(cell, name, cell.cell_contents, True)

    def _add(self, holder: Any, name: str, value: Any, there: bool) -> None:
        reason = None
        if isinstance(value, types.ModuleType):
            top = value.__name__.split(".")[0]
            if top not in _ACTING and top not in _ACTS:
                return
        else:
            reason = why_hidden(value, name)
            if reason is None:
                return
        self._hidden[id(holder), name] = holder, name, value if there else None, reason

    @contextlib.contextmanager
    def up(self, refusal: Callable[[str], BaseException]) -> Iterator[None]:
        """Hide them for the time of a block; `refusal` makes the error of a reason."""
        try:
            for holder, name, value, reason in self._hidden.values():
                if reason is None:
                    _set(holder, name, Module(value, refusal))
                else:
                    _set(holder, name, Hidden(refusal, reason))
            yield
        finally:
            for holder, name, value, _ in self._hidden.values():
                if value is None and isinstance(holder, dict):
                    holder.pop(name, None)  # what was hidden is a function of Python's own
                else:
                    _set(holder, name, value)


def _set(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[name] = value
    else:
        holder.cell_contents = value
