"""Import and compile exported right-hand sides, for their tests."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler")


def load_numpy(text: str, folder: Path):
    """Import the text as a module from a file of its own, so that no bytecode of another is taken for its."""
    file = folder / f"exported{len(list(folder.glob('*.py')))}.py"
    file.write_text(text, encoding="ascii")
    spec = importlib.util.spec_from_file_location("exported", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_c(text: str, folder: Path):
    """Compile the text and return `f(t, y, params)` and the library; every text becomes a library of its own."""
    name = f"exported{len(list(folder.glob('*.c')))}"
    (folder / f"{name}.c").write_text(text, encoding="ascii")
    options = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O0", "-ffp-contract=off", "-shared", "-fPIC"]
    command = [CC, *options, f"{name}.c", "-o", f"{name}.so", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(folder / f"{name}.so"))
    pointer = ctypes.POINTER(ctypes.c_double)
    library.f.argtypes, library.f.restype = [ctypes.c_double, pointer, pointer, pointer], None

    def f(t, y, params):
        y, params = (np.ascontiguousarray(v, float) for v in (y, params))
        dy = np.full(y.shape, 77.0)
        library.f(t, *(v.ctypes.data_as(pointer) for v in (y, params, dy)))
        return dy

    return f, library


def agree(expected, f, y0, p0, scale=0.3):
    """Compare at three random states and times."""
    rng = np.random.default_rng(1)
    for t in (0.0, 0.7, 2.5):
        y = y0 + scale * rng.normal(size=y0.shape)
        if np.iscomplexobj(y0):
            y = y + 0.1j * rng.normal(size=y0.shape)
        wanted, got = np.asarray(expected(t, y)), f(t, y, p0)
        assert got.shape == wanted.shape
        assert np.array_equal(np.isnan(got), np.isnan(wanted))
        error = np.abs(got - wanted) / np.maximum(1.0, np.abs(wanted))
        assert np.nanmax(error, initial=0.0) < 1e-12
