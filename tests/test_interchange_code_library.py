"""Exported right-hand sides of every model of the library, against the engine's vector field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import recurra
from exported_code import agree, load_c, load_numpy, needs_cc
from recurra.circuits import CircuitTemplate, NodeTemplate, from_yaml
from recurra.engine import Graph, as_program, vector_field
from recurra.errors import CapabilityError
from recurra.interchange import export_function

LIBRARY = Path(recurra.__file__).parent / "library"


def library_models():
    """Yield every circuit and node of the library that is one ordinary differential equation."""
    for file in sorted(LIBRARY.rglob("*.yaml")):
        package = ".".join(file.relative_to(LIBRARY).with_suffix("").parts)
        entries = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        yield from (f"{package}.{name}" for name, entry in entries.items() if name != "aliases" and "base" in entry)


def program_of(path: str):
    """Return the program of a template, or None where it is no ordinary differential equation."""
    template = from_yaml(path)
    if isinstance(template, NodeTemplate):
        model = Graph({"n": template.to_node()})
    elif isinstance(template, CircuitTemplate):
        model = template
    else:
        return None
    program = as_program(model)
    if not program.state or program.system.has_ring:
        return None
    return program


def programs():
    """Yield path and program of all of them."""
    yield from ((path, program) for path in library_models() if (program := program_of(path)) is not None)


def test_numpy_text_of_the_library_agrees(tmp_path):
    count = 0
    for path, program in programs():
        field, module = vector_field(program), load_numpy(export_function(program), tmp_path)
        assert np.array_equal(module.Y0, field.y0), path
        agree(field.function, module.f, module.Y0, module.P0)
        count += 1
    assert count > 60


@needs_cc
def test_c_text_of_the_library_agrees_with_numpy(tmp_path):
    count = 0
    for _, program in programs():
        module = load_numpy(export_function(program), tmp_path)
        if np.iscomplexobj(module.Y0):
            with pytest.raises(CapabilityError, match="complex numbers, which cannot be written in C"):
                export_function(program, "c")
            continue
        f, _ = load_c(export_function(program, "c"), tmp_path)
        agree(module.f, f, module.Y0, module.P0)
        count += 1
    assert count > 55
