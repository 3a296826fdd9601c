"""What older versions of PyRates, and its documentation, write otherwise: each mend is told, none is silent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from recurra import errors
from recurra.circuits.templates import short
from recurra.equations import parse_equations
from recurra.equations.parser import MAX_TOTAL_LENGTH

Tell = Callable[[str], None]

_KINDS = ("Operator", "Node", "Edge", "Circuit", "Population")
# Keys that say something about a template but nothing of the model.
_NOTES = ("name", "path", "version", "author", "authors", "comment", "comments", "doc", "docs", "date", "info")
_SINGULAR = {name: f"{name}s" for name in ("equation", "operator", "variable", "node", "edge")}
_FUNCTIONS = {
    "Abs": "abs", "Max": "maximum", "Min": "minimum", "Heaviside": "heaviside", "Mod": "mod", "ln": "log",
    "Sign": "sign", "asin": "arcsin", "acos": "arccos",
}  # fmt: skip
_CONSTANTS = {"PI": "pi", "E": repr(math.e), "I": "1j"}
_NAME = re.compile(r"([^\W\d]\w*)(\s*\()?")
_D_DT = re.compile(r"^\s*d\s*/\s*dt\s+(?=[^\W\d])")
# Both are for texts without blanks around them.
_VARIABLE = re.compile(r"(variable|state_var)\s*(\(.*\))?")
_TYPED = re.compile(r"(\w+)\s*\(([^,()]*),\s*(float|complex|int)\d*\s*\)")


def mend_fields(fields: Mapping[str, Any], kind: str, tell: Tell) -> dict[str, Any]:
    """Return what a file says of one template in today's form.

    Arguments:
        fields: keys and values as in the file.
        kind: `"OperatorTemplate"` and so on; `""` if the base is another template.
        tell: is called with a line for each mend.
    """
    found: dict[str, Any] = {}
    for key, value in fields.items():
        new = str(key)
        if new in _SINGULAR and _SINGULAR[new] not in fields and not (new == "node" and kind == "PopulationTemplate"):
            new = _SINGULAR[new]
            tell(f"the key {key!r} was read as {new!r}")
        if new == "label":
            tell(f"`label: {value}` names the template")
        if new in _NOTES:
            tell(f"the key {key!r} was left out")
            continue
        found[new] = value
    if "equations" in found or isinstance(found.get("variables"), Mapping):
        found = _operator(found, kind, tell)
    if isinstance(found.get("operators"), Mapping):
        found["operators"] = {path: _values(path, own, tell) for path, own in found["operators"].items()}
    if isinstance(found.get("edges"), list):
        found["edges"] = [_edge(entry, tell) for entry in found["edges"]]
    return found


def mend_base(base: object, tell: Tell) -> object:
    """Return the name of a kind of template in today's form, anything else as it is.

    >>> mend_base("pyrates.frontend.OperatorTemplate", print)
    base 'pyrates.frontend.OperatorTemplate' was read as 'OperatorTemplate'
    'OperatorTemplate'
    """
    if not isinstance(base, str):
        return base
    last = re.split(r"[./]", base.strip())[-1]
    for kind in _KINDS:
        spelled = (f"{kind}Template".lower(), f"{kind}_template".lower())
        plain = last == base.strip() and last.lower() == kind.lower()
        if last.lower() in spelled or plain:
            if base != f"{kind}Template":
                tell(f"base {base!r} was read as '{kind}Template'")
            return f"{kind}Template"
    return base


def mend_reference(reference: str) -> str:
    r"""Return the path of a template without the name of the package PyRates, and with `/` between folders.

    >>> mend_reference("pyrates.model_templates.oscillators.vanderpol.vdp"), mend_reference("sub\\file\\Name")
    ('model_templates.oscillators.vanderpol.vdp', 'sub/file/Name')
    """
    return re.sub(r"^(\./)?pyrates[./](?=.)", "", reference.strip().replace("\\", "/"), flags=re.IGNORECASE)


def _operator(fields: dict[str, Any], kind: str, tell: Tell) -> dict[str, Any]:
    declared = fields.get("variables")
    units: dict[str, Any] = dict(fields["units"]) if isinstance(fields.get("units"), Mapping) else {}
    if isinstance(declared, Mapping):
        declared = {key: _declaration(str(key), value, units, tell) for key, value in declared.items()}
    known = {str(key) for key in declared or {}}
    texts = fields.get("equations")
    if isinstance(texts, str):
        texts = _equation(texts, known, tell)
    elif isinstance(texts, list):
        texts = [_equation(each, known, tell) if isinstance(each, str) else each for each in texts]
    if isinstance(declared, dict) and kind == "OperatorTemplate" and texts is not None:
        declared = _without_equation(declared, texts, tell)
    changed = {"equations": texts, "variables": declared, "units": units or None}
    return {**fields, **{key: value for key, value in changed.items() if value is not None}}


def _declaration(name: str, raw: Any, units: dict[str, Any], tell: Tell) -> Any:
    if isinstance(raw, Mapping):
        entry = dict(raw)
        if "unit" in entry:
            units.setdefault(name, str(entry.pop("unit")))
            tell(f"{name}: its unit was moved to `units`")
        for key in ("description", "name"):
            if entry.pop(key, None) is not None:
                tell(f"{name}: its {key} was left out")
        if set(entry) == {"default"}:
            tell(f"{name}: {{default: {entry['default']}}} was read as {entry['default']}")
            raw = entry["default"]
        else:
            raw = entry
    typed = _TYPED.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if typed:
        raw = f"{typed[1]}({typed[2].strip()})"
        tell(f"{name}: the type {typed[3]} in its declaration was left out")
    return raw


def _equation(text: str, declared: set[str], tell: Tell) -> str:
    """Put today's names of functions and constants into an equation, and `*` behind `d/dt`."""
    if len(text) > MAX_TOTAL_LENGTH:
        return text  # the parser will say so
    new = _D_DT.sub("d/dt * ", text)

    def swap(match: re.Match[str]) -> str:
        name, bracket = match[1], match[2] or ""
        if name in declared:
            return match[0]
        return (_FUNCTIONS if bracket else _CONSTANTS).get(name, name) + bracket

    new = _NAME.sub(swap, new)
    if new != text:
        tell(f"the equation {short(text.strip(), 200)} was read as {short(new.strip(), 200)}")
    return new


def _without_equation(declared: dict[str, Any], texts: Any, tell: Tell) -> dict[str, Any]:
    """Make constants of variables that no equation defines; drop `t`, which needs no declaration."""
    try:
        targets = {equation.target for equation in parse_equations(texts if isinstance(texts, list) else [texts])}
    except errors.RecurraError:
        return declared  # the operator itself will say what is wrong
    found = dict(declared)
    for name, raw in declared.items():
        if name in targets or not isinstance(raw, str) or not _VARIABLE.fullmatch(raw.strip()):
            continue
        inside = raw.partition("(")[2].strip().removesuffix(")").strip() or "0.0"
        if name == "t":
            del found[name]
            tell("t: is the time and needs no declaration")
        elif "," not in inside and inside not in ("float", "complex", "int"):
            found[name] = inside
            tell(f"{name}: has no equation and was read as the constant {inside}")
    return found


def _values(path: object, own: Any, tell: Tell) -> Any:
    """Return the values of an operator in a node without the key `variables` around them."""
    if not isinstance(own, Mapping):
        return own
    if set(own) == {"variables"} and isinstance(own["variables"], Mapping):
        tell(f"operator {path}: its values were taken out of `variables`")
        own = own["variables"]
    found = {}
    for name, value in own.items():
        if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("value", "default"):
            (value,) = value.values()
            tell(f"operator {path}, {name}: was read as {value}")
        found[name] = value
    return found


def _edge(entry: Any, tell: Tell) -> Any:
    """Return an edge as source, target, template, attributes."""
    if not isinstance(entry, list):
        return entry
    if len(entry) == 3 and isinstance(entry[2], Mapping):
        tell(f"the edge from {entry[0]} to {entry[1]} has no template")
        entry = [*entry[:2], None, entry[2]]
    if len(entry) == 4 and isinstance(entry[3], Mapping) and any(value is None for value in entry[3].values()):
        tell(f"the edge from {entry[0]} to {entry[1]}: attributes without a value were left out")
        entry = [*entry[:3], {key: value for key, value in entry[3].items() if value is not None}]
    return entry
