"""How a trace is left early: what cannot be traced, where it stands, and the two requests to run again."""

from __future__ import annotations

import dis
import linecache
import sys
from pathlib import Path

import jax
import numpy as np

_LIBRARIES = tuple(str(Path(module.__file__).parent) + "/" for module in (np, jax) if module.__file__)
_INSTALLED = ("/site-packages/", "/dist-packages/", f"/python{sys.version_info[0]}.{sys.version_info[1]}/")
_OWN = str(Path(__file__).parent.parent) + "/"


class Untraceable(Exception):
    """Say which construct of which body cannot be compiled, and where it stands.

    Arguments:
        body: name of the body, as its `Body` says.
        filename: the user's file.
        line: line number in that file, from 1; 0 where there is no line.
        construct: the construct and why it cannot be compiled.
        whole: whether nothing else may be compiled either, as it changes what a step consists of.

    >>> str(Untraceable("Basic_Behavior", "model.py", 12, "`while v.sum() > 0`: a loop on traced data"))
    'Basic_Behavior at model.py:12: `while v.sum() > 0`: a loop on traced data'
    """

    def __init__(self, body: str, filename: str, line: int, construct: str, whole: bool = False):
        self.body, self.filename, self.line, self.construct, self.whole = body, filename, line, construct, whole
        place = f" at {filename}:{line}" if line else ""
        super().__init__(f"{body}{place}: {construct}")


class Escape(BaseException):
    """Leave the user's code; no `except Exception` of it may hold this back."""


class Refusal(Escape):
    """Leave because something cannot be traced; becomes an `Untraceable`."""

    def __init__(self, reason: str, filename: str, line: int, text: str, whole: bool = False):
        self.reason, self.filename, self.line, self.text, self.whole = reason, filename, line, text, whole
        super().__init__(reason)

    def to_untraceable(self, body: str) -> Untraceable:
        """Return the public error."""
        construct = f"`{self.text}`: {self.reason}" if self.text else self.reason
        return Untraceable(body, self.filename, self.line, construct, self.whole)


class Fork(Escape):
    """Leave because the truth of a traced value was asked; both answers are to be tried."""

    def __init__(self, condition: object, line_text: str):
        self.condition, self.line_text = condition, line_text
        super().__init__("fork")


class Bake(Escape):
    """Leave because a number was needed that only depends on slots which no body writes."""

    def __init__(self, paths: frozenset[str]):
        self.paths = paths
        super().__init__("bake")


def refuse(reason: str, whole: bool = False, here: bool = True) -> Refusal:
    """Make the refusal of whatever the user's code is doing right now; `whole` as in :class:`Untraceable`.

    It is not `here` where the user's code has returned already.
    """
    filename, line = user_site() if here else ("", 0)
    return Refusal(reason, filename, line, source_line(filename, line), whole)


def user_site() -> tuple[str, int]:
    """Return file and line of the innermost frame that belongs to no library."""
    frame = sys._getframe(1)
    while frame is not None:
        if not _is_library(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def error_site(error: BaseException) -> tuple[str, int]:
    """Return file and line of the innermost frame of the user's code that an error passed."""
    place, traceback = ("", 0), error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        place = (name, traceback.tb_lineno) if not _is_library(name) else place
        traceback = traceback.tb_next
    return place


def raised_by_user(error: BaseException) -> bool:
    """Tell whether an error comes of a `raise` or an `assert` in the user's code."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None or _is_library(traceback.tb_frame.f_code.co_filename):
        return False
    instructions = dis.get_instructions(traceback.tb_frame.f_code)
    return any(i.offset == traceback.tb_lasti and i.opname in ("RAISE_VARARGS", "RERAISE") for i in instructions)


def _is_library(filename: str) -> bool:
    return filename.startswith((*_LIBRARIES, _OWN, "<")) or any(part in filename for part in _INSTALLED)


def source_line(filename: str, line: int) -> str:
    """Return the text of a line without its indentation and final colon."""
    return linecache.getline(filename, line).strip().rstrip(":") if line else ""
