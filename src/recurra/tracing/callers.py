"""Who called: only Python code that names NumPy gets a stand-in from NumPy's replaced functions.

Compiled code (NumPy's own generators, Cython modules) also calls `numpy.empty`, without a frame of its own, and
would crash on anything but a real array.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType, ModuleType

_LIBRARIES = ("jax.", "jaxlib.", "numpy.", "scipy.", "ml_dtypes.", "recurra.tracing.", "recurra.engine.")


def is_library(frame: FrameType) -> bool:
    """Tell whether a frame belongs to a library that needs real arrays."""
    return (frame.f_globals.get("__name__", "") + ".").startswith(_LIBRARIES)


def calls_by_name(frame: FrameType, module: ModuleType, name: str) -> bool:
    """Tell whether a frame is just executing `module.name(...)`, spelled with the name of the module.

    Arguments:
        frame: the caller's frame.
        module: the module that holds the function.
        name: the function's name there.
    """
    if frame.f_globals.get("__name__", "").startswith("recurra."):
        return True
    done = [i for i in dis.get_instructions(frame.f_code) if i.offset <= frame.f_lasti]
    start = _start(done[-1]) if done else None  # a call and the name it calls begin at the same place of the text
    chain: list[str] = []
    for instruction in done[:-1]:
        if start is not None and _start(instruction) == start and instruction.opname.startswith("LOAD_"):
            chain = [] if not instruction.opname.endswith(("ATTR", "METHOD")) else chain
            chain.append(str(instruction.argval))
    if len(chain) < 2 or chain[-1] != name:
        return False
    here = {**frame.f_builtins, **frame.f_globals, **frame.f_locals}.get(chain[0])
    for attribute in chain[1:-1]:
        here = getattr(here, attribute, None) if isinstance(here, ModuleType) else None
    return here is module


def _start(instruction: dis.Instruction) -> tuple[int | None, int | None] | None:
    positions = instruction.positions
    return None if positions is None or positions.col_offset is None else (positions.lineno, positions.col_offset)


def caller() -> FrameType:
    """Return the frame that called the function that calls this."""
    return sys._getframe(2)
