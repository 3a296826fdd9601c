"""Numbers and declarations of variables: read by hand, never evaluated."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from recurra import errors
from recurra.circuits.templates import short
from recurra.engine.checks import refuse_masked

Value = float | complex | np.ndarray
Role = Literal["constant", "variable", "input", "output"]

_ROLES: Mapping[str, Role] = {
    "output": "output",
    "variable": "variable",
    "state_var": "variable",
    "input": "input",
    "constant": "constant",
}
_TYPES = {"float": 0.0, "complex": 0j, "int": 0.0}
_CALL = re.compile(r"([A-Za-z_]\w*)\s*(?:\((.*)\))?", re.DOTALL)  # of a text without blanks around it
_NUMBER = re.compile(r"[-+0-9.eEjJ_() ]{1,100}|\s*[-+]?inf\s*")
_KEYS = ("vtype", "dtype", "shape", "value")
MAX_LENGTH = 1_000_000

_MOST_ENTRIES = 2**28  # of a sparse matrix that is written out: 2 GB


class Declaration(NamedTuple):
    """Say what a variable is for and where it starts.

    Arguments:
        role: `"constant"`, `"variable"` (has an equation), `"output"` (has an equation and is offered to other
            operators), or `"input"` (fed from outside).
        value: the constant, the initial value, or the value of an input that nothing feeds; a read-only array for
            a variable that is itself a vector.

    >>> from recurra import OperatorTemplate
    >>> op = OperatorTemplate("decay", "x' = -x/tau + u", {"x": "output(1.0)", "tau": 2.0, "u": "input(0.5)"})
    >>> {name: (each.role, each.value) for name, each in op.variables.items()}
    {'x': ('output', 1.0), 'tau': ('constant', 2.0), 'u': ('input', 0.5)}
    """

    role: Role
    value: Value

    def __str__(self) -> str:
        return show(self.value) if self.role == "constant" else f"{self.role}({show(self.value)})"


def show(value: object) -> str:
    """Write a value for people.

    >>> show(1.0), show(0.5 + 0.1j), show(np.array([1.0, 2.0]))
    ('1.0', '0.5+0.1j', '[1. 2.]')
    """
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=6, separator=" ")
    if isinstance(value, complex):
        return repr(complex(value)).strip("()")
    return repr(value)


def _written_out(sparse: Any, where: str) -> np.ndarray:
    """Return a sparse matrix of SciPy as an array; a circuit finds its zeros by itself."""
    if math.prod(sparse.shape) > _MOST_ENTRIES:
        raise errors.ShapeError(
            f"{where}: the sparse matrix of shape {sparse.shape} is too large for a circuit, which writes it out; an"
            " edge of a Network keeps it sparse."
        )
    return sparse.toarray()


def as_value(raw: object, where: str) -> Value:
    """Return a float, a complex or a read-only array.

    Arguments:
        raw: a number, a text such as `"0.0+1.0j"`, or a (nested) list or array of those.
        where: what is read, for the error.

    Returns:
        The value; whole numbers become floats.

    Raises:
        TemplateError: if it is not a number.
        ShapeError: if it is an empty or ragged list.

    >>> as_value(3, "x"), as_value("0.0+1.0j", "x")
    (3.0, 1j)
    """
    if isinstance(raw, str):
        return _number_from_text(raw, where)
    if isinstance(raw, bool | np.bool_) or raw is None or isinstance(raw, Mapping):
        raise errors.TemplateError(f"{where}: expected a number, got {short(raw)}.")
    if isinstance(raw, int | float | complex | np.number):
        return _scalar(raw, where)
    refuse_masked(raw, where)
    if hasattr(raw, "toarray"):
        raw = _written_out(raw, where)
    try:
        array = np.asarray(raw)
    except (ValueError, TypeError) as error:
        raise errors.ShapeError(f"{where}: expected a number or an array, got {short(raw)}.") from error
    if array.dtype.kind == "O" and array.ndim == 0:
        raise errors.TemplateError(f"{where}: expected a number, got {short(raw)}.")
    if array.dtype.kind in "UO":
        entries = [as_value(entry, where) for entry in array.ravel().tolist()]
        if any(isinstance(entry, np.ndarray) for entry in entries):
            raise errors.ShapeError(f"{where}: expected rows of equal length, got {short(raw)}.")
        array = np.array(entries).reshape(array.shape)
    if array.dtype.kind not in "iufc":
        raise errors.TemplateError(f"{where}: expected a number or an array of numbers, got {short(raw)}.")
    if array.size == 0:
        raise errors.ShapeError(f"{where}: expected at least one number, got an empty array.")
    if array.ndim == 0:
        return _scalar(array.item(), where)
    array = np.array(array, dtype=complex if array.dtype.kind == "c" else float)
    if np.isnan(array).any():
        raise errors.TemplateError(f"{where}: expected numbers, got nan.")
    array.setflags(write=False)
    return array


def as_float(raw: object, where: str) -> float:
    """Return a finite real number, or say what was got."""
    value = as_value(raw, where)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, float) or math.isinf(value):
        raise errors.TemplateError(f"{where}: expected one finite real number, got {short(raw)}.")
    return value


def as_count(raw: object, where: str, most: int) -> int:
    """Return a whole number from 1 to `most`, or say what was got."""
    number = raw.strip() if isinstance(raw, str) else raw
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 20:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 1 <= number <= most:
        raise errors.TemplateError(f"{where}: expected a whole number from 1 to {most}, got {short(raw)}.")
    return int(number)


def _scalar(raw: Any, where: str) -> float | complex:
    try:
        value = complex(raw) if np.iscomplexobj(raw) else float(raw)
    except OverflowError as error:
        raise errors.TemplateError(f"{where}: the number {short(raw)} is too large.") from error
    if value != value:
        raise errors.TemplateError(f"{where}: expected a number, got nan.")
    return value


def _number_from_text(text: str, where: str) -> float | complex:
    if _NUMBER.fullmatch(text):
        plain = text.replace(" ", "")
        try:
            return _scalar(complex(plain) if "j" in plain.lower() else float(plain), where)
        except ValueError:
            pass
    raise errors.TemplateError(f"{where}: expected a number, got the text {short(text)}.")


def parse_declaration(raw: object, where: str) -> Declaration:
    """Read the declaration of a variable.

    Arguments:
        raw: a number (a constant); `"output"`, `"variable"` or `"input"`, followed by nothing, by `(value)`, by
            `(float)` or `(complex)`, or by `(value, length)`; a mapping with `vtype` and, if wanted, `dtype`,
            `shape` and `value`; or a :class:`Declaration`.
        where: the path of the variable, for the error.

    Returns:
        The declaration.

    Raises:
        TemplateError: if it cannot be understood.

    >>> str(parse_declaration("output(0.1)", "x"))
    'output(0.1)'
    >>> parse_declaration(2, "k")
    Declaration(role='constant', value=2.0)
    """
    if isinstance(raw, Declaration):
        return raw
    if isinstance(raw, Mapping):
        return _from_mapping(raw, where)
    if not isinstance(raw, str):
        return Declaration("constant", as_value(raw, where))
    match = _CALL.fullmatch(raw.strip())
    if match is None or match[1] == "inf":
        return Declaration("constant", _declared_number(raw, where))
    word, inside = match.groups()
    if word not in _ROLES:
        raise errors.TemplateError(errors.unknown("kind of variable", word, _ROLES, where) + _FORMS)
    parts = [part.strip() for part in inside.split(",")] if inside and inside.strip() else []
    if len(parts) > 2:
        raise errors.TemplateError(f"{where}: expected {word}(value) or {word}(value, length), got {short(raw)}.")
    value: Value = 0.0
    if parts:
        value = _TYPES[parts[0]] if parts[0] in _TYPES else _declared_number(parts[0], where)
    if len(parts) == 2:
        value = as_value(np.full(as_count(parts[1], f"{where}, length", MAX_LENGTH), value), where)
    return Declaration(_ROLES[word], value)


_FORMS = " Write a number, output(0.1), variable(0.1), input(0.1), or kind(value, length)."


def _declared_number(text: str, where: str) -> float | complex:
    try:
        return _number_from_text(text, where)
    except errors.TemplateError as error:
        raise errors.TemplateError(f"{error}{_FORMS}") from None


def _from_mapping(raw: Mapping[object, object], where: str) -> Declaration:
    if "default" in raw:
        raise errors.TemplateError(
            f"{where}: the form {{default: ...}} is not read. Write for example output(0.1), or "
            "{vtype: output, value: 0.1}."
        )
    for key in raw:
        if key not in _KEYS:
            raise errors.TemplateError(errors.unknown("part of a declaration", key, _KEYS, where))
    vtype = raw.get("vtype")
    if vtype not in _ROLES:
        raise errors.TemplateError(errors.unknown("vtype", vtype, _ROLES, where))
    dtype = short(raw.get("dtype", "float")).strip("'")
    if not re.fullmatch(r"(float|complex|int)\d{0,3}", dtype):
        raise errors.TemplateError(errors.unknown("dtype", dtype, ("float", "complex"), where))
    value = as_value(raw.get("value", 0.0), where)
    shape = raw.get("shape")
    sizes = [] if shape is None else (list(shape) if isinstance(shape, list | tuple) else [shape])
    sizes = [as_count(size, f"{where}, shape", MAX_LENGTH) for size in sizes]
    if math.prod(sizes) > MAX_LENGTH:
        raise errors.TemplateError(f"{where}: a shape of {sizes} holds more than {MAX_LENGTH} numbers.")
    try:
        array = np.broadcast_to(np.asarray(value), sizes) if sizes else np.asarray(value)
    except ValueError as error:
        raise errors.ShapeError(f"{where}: a value of shape {np.shape(value)} does not fill {sizes}.") from error
    if dtype.startswith("complex"):
        array = array.astype(complex)
    elif array.dtype.kind == "c":
        raise errors.TemplateError(f"{where}: dtype {dtype} cannot hold the complex value {show(value)}.")
    return Declaration(_ROLES[str(vtype)], as_value(array, where))
