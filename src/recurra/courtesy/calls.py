"""Answers to calls: near names for a keyword that does not exist, a warning for a result that is thrown away."""

from __future__ import annotations

import dis
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType
from typing import Any, TypeVar

from recurra.courtesy.warning import warn
from recurra.errors import CallError, DiscardedResult, RecurraError, near, unknown

F = TypeVar("F", bound=Callable[..., Any])
_POP_TOP = dis.opmap["POP_TOP"]


def guard(names: dict[str, Any], public: Iterable[str]) -> None:
    """Let the public functions of a package, and the methods of its classes, answer calls that do not fit.

    Called once at the end of a package's `__init__`. Where a call fits nothing changes: it takes some 0.1 us more.

    Arguments:
        names: the package's names, `globals()`.
        public: those that are guarded, `__all__`.
    """
    for name in public:
        thing = names[name]
        if isinstance(thing, FunctionType) and _is_ours(thing):
            names[name] = guarded = _guarded(thing)
            # Whoever loads it from its own module, such as a worker process, finds the same.
            setattr(sys.modules[thing.__module__], thing.__name__, guarded)
        elif isinstance(thing, type) and not issubclass(thing, BaseException):
            for kind in thing.__mro__:
                if _is_ours(kind):
                    _guard_methods(kind)


def returns_changed(method: F) -> F:
    """Mark a method that leaves its object as it is and returns a changed one: a call whose result is lost is told.

    >>> import warnings
    >>> from recurra import NodeTemplate, OperatorTemplate
    >>> leak = NodeTemplate("leak", OperatorTemplate("op", "x' = -k*x", {"x": "output(1.0)", "k": 2.0}))
    >>> def script(leak):
    ...     leak = leak.update_var("op", "k", 3.0)
    ...     leak.update_var("op", "k", 4.0)
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     script(leak)
    >>> [warning.category.__name__ for warning in told]
    ['DiscardedResult']
    """
    return _guarded(method, changed=True)


def _guard_methods(kind: type) -> None:
    for name, member in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, classmethod | staticmethod) and isinstance(member.__func__, FunctionType):
            if not hasattr(member.__func__, "_guarded"):
                setattr(kind, name, type(member)(_guarded(member.__func__)))
        elif isinstance(member, FunctionType) and not hasattr(member, "_guarded"):
            setattr(kind, name, _guarded(member))


def _guarded(function: F, changed: bool = False) -> F:
    if hasattr(function, "_guarded"):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = function(*args, **kwargs)
        except (TypeError, RecurraError) as error:
            # Raised by the call itself, and not by anything that the function does.
            if isinstance(error, TypeError) and error.__traceback__ and error.__traceback__.tb_next is None:
                raise CallError(_answer(function, args, str(error))) from None
            if kwargs:
                _add_near(error, function, kwargs)
            raise
        if changed and _is_lost(sys._getframe(1), function.__name__):
            _tell(function, args[0])
        return found

    call._guarded = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _is_ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("recurra.")


def _add_near(error: Exception, function: Callable, kwargs: dict[str, Any]) -> None:
    """Where a function that passes keywords on has found one unknown, say which of its own look like it."""
    parameters = inspect.signature(function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    text, known = str(error), [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    for name in kwargs:
        close = near(name, known)
        told = name in known or not close or any(repr(other) in text for other in close)
        if not told and (repr(name) in text or f"{name}=" in text):
            error.args = (f"{text} Did you mean {' or '.join(map(repr, close))}?", *error.args[1:])
            return


def _answer(function: Callable, args: tuple, problem: str) -> str:
    """Word what is wrong with a call, and what would be right."""
    shown, parameters = _shown(function, args), list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    wrong = re.search(r"unexpected keyword argument '(.*)'$", problem)
    if wrong:
        return unknown("keyword", wrong[1], named, f"{shown}()")
    what = re.sub(r"^\S+\(\) ", "", problem)
    marks = ["*" if p.kind is p.KEYWORD_ONLY else "" for p in parameters]
    texts, starred = [], any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for mark, parameter in zip(marks, parameters, strict=True):
        if mark and not starred:
            texts.append("*")
            starred = True
        default = "" if parameter.default is parameter.empty else "=..."
        texts.append({parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "") +
                     parameter.name + default)  # fmt: skip
    return f"{shown}() {what}; expected {shown}({', '.join(texts)})."


def _shown(function: Callable, args: tuple) -> str:
    """Return what a user calls a function: the class for its `__init__`, class and name of a method, else its name."""
    *owners, name = function.__qualname__.split(".")
    if not owners or owners[-1] == "<locals>":
        return name
    owner = owners[-1]
    if args and next(iter(inspect.signature(function).parameters), "") in ("self", "cls"):
        owner = args[0].__name__ if isinstance(args[0], type) else type(args[0]).__name__
    return owner if name == "__init__" else f"{owner}.{name}"


def _is_lost(frame: FrameType | None, name: str) -> bool:
    """Say whether the statement that calls a method throws the result away: then the call is followed by POP_TOP."""
    if frame is None:
        return False
    code, at = frame.f_code.co_code, frame.f_lasti + 2
    while at < len(code) and code[at] == 0:  # the cache of the call
        at += 2
    return at < len(code) and code[at] == _POP_TOP and not _is_handed_over(frame.f_code, frame.f_lasti, name)


@functools.lru_cache(maxsize=64)
def _is_handed_over(code: CodeType, at: int, name: str) -> bool:
    """Say whether what code calls there is another method, to which this one was given.

    As in `kept.extend(map(m.update, values))`. Then the attribute that is looked up where the call begins, and last,
    has another name.
    """
    steps = list(dis.get_instructions(code))
    call = next((step.positions for step in steps if step.offset == at), None)
    if call is None or call.lineno is None:
        return False
    looked_up = [
        step.argval
        for step in steps
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.positions is not None
        if (step.positions.lineno, step.positions.col_offset) == (call.lineno, call.col_offset)
        if (step.positions.end_lineno, step.positions.end_col_offset) < (call.end_lineno, call.end_col_offset)
    ]
    return bool(looked_up) and looked_up[-1] != name


def _tell(method: Callable, owner: object) -> None:
    kind, name = type(owner).__name__, method.__name__
    warn(
        f"{kind}.{name} leaves the {kind} as it is and returns a changed one, which is lost here: write"
        f" `model = model.{name}(...)` with the name of yours.",
        DiscardedResult,
    )
