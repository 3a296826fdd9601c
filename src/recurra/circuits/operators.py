"""Operators: equations and the declarations of the variables they speak of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from recurra import errors
from recurra.circuits.templates import Template, expect_mapping, frozen, short
from recurra.circuits.values import Declaration, parse_declaration, show
from recurra.engine.graph import Kind, Operator, Variable
from recurra.equations import Equation, check_name, names, noises, parse_equations, pasts

_EDITS = ("replace", "remove", "append", "prepend", "add")
_MAX_TEXT = 10_000
_MAX_PIECE = 1_000


class OperatorTemplate(Template):
    """Hold a set of equations and say what each name in them is.

    Arguments:
        name: the name of the operator; it is part of the paths of its variables.
        equations: one text (equations separated by line ends or `;`) or a list of texts.
        variables: name -> declaration: a number is a parameter; `"output(0.1)"`, `"variable(0.1)"` have an
            equation and start at the value; `"input(0.1)"` is fed from outside and has the value if nothing feeds
            it. At most one output. More forms: :func:`recurra.circuits.values.parse_declaration`.
        path: where it was loaded from.
        description: what it is.
        reference: the paper it comes from.
        units: variable -> unit, for people.

    Raises:
        EquationError: if an equation cannot be understood or uses a name that is not declared.
        TemplateError: if a declaration cannot be understood or has no equation.

    >>> op = OperatorTemplate("decay", "x' = -x/tau", {"x": "output(1.0)", "tau": 2.0})
    >>> op.update_template(variables={"tau": 3.0})["tau"].value
    3.0
    """

    _fields = ("equations", "variables", "units")

    equations: tuple[str, ...]

    def __init__(
        self,
        name: str,
        equations: str | Iterable[str],
        variables: Mapping[str, object] | None = None,
        path: str | None = None,
        description: str = "",
        reference: str = "",
        units: Mapping[str, str] | None = None,
    ):
        where = str(name)
        parsed = read_equations(equations, where)
        declared = read_variables(variables, where)
        labels = _read_units(units, declared, where)
        super().__init__(
            name,
            path,
            description,
            reference,
            equations=tuple(equation.text for equation in parsed),
            _variables=declared,
            _units=labels,
            _operator=_build(parsed, declared, labels, where),
        )

    @property
    def variables(self) -> Mapping[str, Declaration]:
        """Map names to declarations, in the order in which they were declared."""
        return frozen(self.__dict__["_variables"])

    @property
    def units(self) -> Mapping[str, str]:
        """Map names to units, for people."""
        return frozen(self.__dict__["_units"])

    def __getitem__(self, variable: str) -> Declaration:
        """Return the declaration of a variable."""
        declared = self.__dict__["_variables"]
        if variable not in declared:
            raise errors.PathError(errors.unknown("variable", variable, declared, self.name))
        return declared[variable]

    def __contains__(self, variable: object) -> bool:
        return variable in self.__dict__["_variables"]

    def __repr__(self) -> str:
        return f"OperatorTemplate({self.name!r}, {len(self.equations)} equation(s), {len(self.variables)} variable(s))"

    def to_operator(self) -> Operator:
        """Return the operator that the engine understands."""
        return self.__dict__["_operator"]

    def describe(self) -> str:
        """Return a text for people: equations, variables by kind, values, units and the source.

        >>> print(OperatorTemplate("decay", "x' = -x/tau", {"x": "output(1.0)", "tau": 2.0}).describe())
        OperatorTemplate decay
          x' = -x/tau
          output x = 1.0
          parameter tau = 2.0
        """
        return "\n".join([*self._heading(), *(f"  {text}" for text in self.equations), *self.list_variables()])

    def list_variables(self, values: Mapping[str, object] | None = None) -> list[str]:
        """Return one line for each variable: kind, name, value and unit; `values` replace the declared ones."""
        lines = []
        for key, entry in self.to_operator().variables.items():
            kind = "output" if key == self.to_operator().output else entry.kind
            value = (values or {}).get(key, entry.value)
            text = "" if entry.kind == "algebraic" else f" = {show(value)}"
            lines.append(f"  {kind} {key}{text}{f' {entry.unit}' if entry.unit else ''}")
        return lines

    @classmethod
    def _merge(cls, old: dict[str, Any], new: Mapping[str, Any], where: str) -> dict[str, Any]:
        merged = {**old, **new}
        declared = {**read_variables(old.get("variables"), where), **read_variables(new.get("variables"), where)}
        merged["units"] = {**(old.get("units") or {}), **expect_mapping(new.get("units"), where, "{v: mV}")}
        if isinstance(new.get("equations"), Mapping):
            texts = [equation.text for equation in read_equations(old.get("equations", ()), where)]
            merged["equations"] = edit_equations(texts, new["equations"], where)
        # A parent declares what the child's equations may no longer need.
        used = set().union(*(_mentioned(each) for each in read_equations(merged.get("equations", ()), where)))
        inherited = read_variables(old.get("variables"), where).keys()
        merged["variables"] = {key: entry for key, entry in declared.items() if key in used or key not in inherited}
        units = merged["units"].items()
        merged["units"] = {key: unit for key, unit in units if key in merged["variables"] or key not in inherited}
        return merged


def read_equations(equations: object, where: str) -> tuple[Equation, ...]:
    """Parse equations, and say so if they are no text."""
    if isinstance(equations, Mapping):
        raise errors.TemplateError(
            f"{where}: equations {short(equations)} edit those of another operator; an operator of its own needs a "
            "text or a list of texts."
        )
    if isinstance(equations, str) or not isinstance(equations, Iterable):
        equations = [equations]
    texts: list[str] = []
    for text in equations:
        if not isinstance(text, str):
            raise errors.TemplateError(f'{where}: an equation must be a text such as "x\' = -x", got {short(text)}.')
        texts.append(text)
    return parse_equations(texts, where)


def read_variables(variables: object, where: str) -> dict[str, Declaration]:
    """Parse a mapping of declarations."""
    found = {}
    for key, raw in expect_mapping(variables, f"{where}, variables", "{x: output(0.1), tau: 2.0}").items():
        name = check_name(key, where)
        if name in found:
            raise errors.TemplateError(f"{where}: the variable {name!r} is declared twice.")
        found[name] = parse_declaration(raw, f"{where}/{name}")
    return found


def _read_units(units: object, declared: Mapping[str, Declaration], where: str) -> dict[str, str]:
    found = {}
    for key, unit in expect_mapping(units, f"{where}, units", "{v: mV}").items():
        if key not in declared:
            raise errors.TemplateError(errors.unknown("variable", key, declared, f"{where}, units"))
        found[key] = str(unit)
    return found


def _mentioned(equation: Equation) -> set[str]:
    found = {equation.target, *(past.name for past in pasts(equation.expression))}
    # Taking every name as declared lists those that are spelled like `t` or noise, too.
    return found | names(equation.expression, {"t", "pi", *noises(equation.expression)})


def _build(
    parsed: tuple[Equation, ...], declared: dict[str, Declaration], units: Mapping[str, str], where: str
) -> Operator:
    """Check equations against declarations and say what kind each variable is."""
    if not parsed:
        raise errors.TemplateError(f"{where}: an operator needs at least one equation.")
    outputs = [key for key, entry in declared.items() if entry.role == "output"]
    if len(outputs) > 1:
        raise errors.TemplateError(
            f"{where}: an operator has at most one output, got {', '.join(outputs)}. Declare the others as variable: "
            "they can be recorded and joined by edges all the same."
        )
    known = {key: entry for key, entry in declared.items() if not _is_time(key, entry, where)}
    for equation in parsed:
        _check_equation(equation, known, where)
    derivative = {equation.target: equation.derivative for equation in parsed}
    used = set().union(*(_mentioned(equation) for equation in parsed))
    variables = {}
    for key, entry in known.items():
        if key not in used:
            if entry.role in ("variable", "output"):
                raise errors.TemplateError(_without_equation(key, entry, derivative, where))
            continue
        if entry.role in ("variable", "output"):
            if key not in derivative:
                raise errors.TemplateError(_without_equation(key, entry, derivative, where))
            kind: Kind = "state" if derivative[key] else "algebraic"
        else:
            kind = "parameter" if entry.role == "constant" else "input"
        variables[key] = Variable(kind, entry.value, units.get(key, ""))
    return Operator(parsed, variables, outputs[0] if outputs else None)


def _is_time(name: str, entry: Declaration, where: str) -> bool:
    if name != "t":
        return False
    if entry.role == "constant" or entry.role == "output":
        raise errors.TemplateError(f"{where}: 't' is time and cannot be declared as {entry}; choose another name.")
    return True


def _check_equation(equation: Equation, declared: Mapping[str, Declaration], where: str) -> None:
    target = equation.target
    entry = declared.get(target)
    needed = {*names(equation.expression, declared), *(past.name for past in pasts(equation.expression)), target}
    for name in sorted(needed - declared.keys()):
        raise errors.EquationError(
            f"{errors.unknown('variable', name, declared)} Declare it under variables.",
            equation.text,
            _span(equation.text, name),
            where,
        )
    if entry is not None and entry.role in ("constant", "input"):
        what = "a constant" if entry.role == "constant" else "an input"
        raise errors.TemplateError(
            f"{where}: {target!r} is declared as {what} ({entry}) but has the equation {equation.text!r}. "
            f"Declare it as variable({show(entry.value)}) or output({show(entry.value)})."
        )


def _without_equation(name: str, entry: Declaration, targets: Iterable[str], where: str) -> str:
    close = errors.near(name, targets)
    hint = f" Is {close[0]!r} meant?" if close else ""
    return (
        f'{where}: {name!r} is declared as {entry} but has no equation.{hint} Add "{name}\' = ...", or declare it as '
        f"a number or input({show(entry.value)})."
    )


def _span(text: str, name: str) -> tuple[int, int] | None:
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    return match.span() if match else None


def edit_equations(texts: list[str], edits: Mapping[str, Any], where: str) -> list[str]:
    """Apply the edits of a child template to the equations of its parent.

    Arguments:
        texts: the parent's equations.
        edits: `replace` ({old: new}, whole names or pieces of text, on both sides), `remove` (pieces of text),
            `append` and `prepend` (to every equation), `add` (new equations); applied in this order. Replacing is
            done on the text: put brackets where they are needed.
        where: the name of the child, for errors.

    Returns:
        The equations of the child.

    Raises:
        TemplateError: if an edit is unknown, or what it looks for is not there.

    >>> edit_equations(["x' = -k*x + c"], {"replace": {"k": "k*g"}, "add": "w' = -w"}, "decay2")
    ["x' = -k*g*x + c", "w' = -w"]
    """
    for key in edits:
        if key not in _EDITS:
            raise errors.TemplateError(errors.unknown("edit of equations", key, _EDITS, where))
    replace = expect_mapping(edits.get("replace"), f"{where}, replace", "{old: new}")
    for old, new in replace.items():
        texts = _exchange(texts, _text(old, where), _text(new, where), where)
    for old in _texts(edits.get("remove"), where):
        texts = _exchange(texts, old, "", where)
    for piece in _texts(edits.get("append"), where):
        texts = _checked([f"{text} {piece}" for text in texts], where)
    for piece in _texts(edits.get("prepend"), where):
        texts = _checked([f"{piece} {text}" for text in texts], where)
    return texts + _texts(edits.get("add"), where)


def _exchange(texts: list[str], old: str, new: str, where: str) -> list[str]:
    """Replace a piece of text, however it is spaced, where it does not continue a name or a number."""
    if len(old) > _MAX_PIECE:
        raise errors.TemplateError(f"{where}: what is replaced or removed is longer than {_MAX_PIECE} characters.")
    tokens = re.findall(r"\w+|\S", old)
    if not tokens:
        raise errors.TemplateError(f"{where}: nothing is given to be replaced or removed.")
    before = r"(?<![\w.])" if re.match(r"\w", tokens[0]) else ""
    after = r"(?![\w.])" if re.match(r"\w", tokens[-1]) else ""
    pattern = re.compile(before + r"\s*".join(map(re.escape, tokens)) + after)
    done = _checked([pattern.sub(lambda _: new, text) for text in texts], where)
    if done == texts and not any(pattern.search(text) for text in texts):
        words = {word for text in texts for word in re.findall(r"[^\W\d]\w*", text)}
        raise errors.TemplateError(
            f"{where}: {old!r} is to be replaced or removed but is in none of the equations. "
            + errors.unknown("name", old, sorted(words))
        )
    return done


def _checked(texts: list[str], where: str) -> list[str]:
    # A chain of templates that each double an equation would fill the memory.
    if any(len(text) > _MAX_TEXT for text in texts):
        raise errors.TemplateError(f"{where}: an equation has grown beyond {_MAX_TEXT} characters.")
    return texts


def _text(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise errors.TemplateError(f"{where}: expected a text, got {short(value)}.")
    return str(value)


def _texts(value: object, where: str) -> list[str]:
    entries = [] if value is None else (value if isinstance(value, list | tuple) else [value])
    return [_text(entry, where) for entry in entries]
