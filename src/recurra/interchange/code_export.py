"""Right-hand sides as source code in other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.engine import as_program
from recurra.engine.store import write_atomically
from recurra.errors import OptionError, unknown
from recurra.interchange.code_c import write_c
from recurra.interchange.code_numpy import write_numpy
from recurra.interchange.code_source import Source

_LANGUAGES = {"numpy": write_numpy, "c": write_c}


def export_function(model: Any, language: str = "numpy", path: str | Path | None = None) -> str:
    """Write the right-hand side of a model as one function `f(t, y, params)` that needs nothing of this library.

    `y` and `params` are flat vectors of the states and of all parameters, inputs and weights. Noise is left out.

    Arguments:
        model: a circuit, a network or a Program that is one ordinary differential equation.
        language: `"numpy"` for a module of Python with `f(t, y, params=P0)`, the initial state `Y0`, the parameters
            `P0`, and dicts `STATES` and `PARAMETERS` from paths to places in them; `"c"` for C99 with
            `void f(double t, const double *y, const double *params, double *dy)` and the same tables
            (`f_y0`, `f_params0`, and unless there are more than 100,000 `f_state_names`, `f_parameter_names`).
        path: a file to write it to.

    Returns:
        The source code. Nothing in it is text of the user but what is quoted or in comments, made harmless.

    Raises:
        CapabilityError: the model has delays, thresholds or rules, or something that the language has not.
        OptionError: there is no such language.
        StoreError: the file cannot be written.

    >>> text = export_function("model_templates.oscillators.vanderpol.vdp")
    >>> [line for line in text.splitlines() if line.startswith("def f")]
    ['def f(t, y, params=P0):']
    """
    if language not in _LANGUAGES:
        raise OptionError(unknown("language", language, _LANGUAGES, "export_function"))
    if isinstance(model, str):
        from recurra.circuits import CircuitTemplate

        model = CircuitTemplate.from_yaml(model)
    name = getattr(model, "name", "")
    program = as_program(model)
    text = _LANGUAGES[language](Source(program, (name if isinstance(name, str) else "") or program.graph.name))
    if path is not None:
        write_atomically(path, lambda file: file.write(text.encode("ascii")))
    return text
