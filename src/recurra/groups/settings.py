"""Parameters of behaviors that are changed after they were read: they take effect, or are refused.

`initialize` turns parameters into numbers that `iteration` uses. Where that is done by a ready behavior, it is done
again when one of its parameters is changed, on a stage that keeps what is written away from the network. Elsewhere a
parameter that only `initialize` reads cannot be changed any more, and that is said.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import OptionError, near
from recurra.groups.foresight import names_in, names_of

if TYPE_CHECKING:
    from recurra.groups.behavior import Behavior

_READY = "recurra.behaviors"
MISSING: Any = object()


@dataclass(eq=False)
class Home:
    """Remember where a behavior was initialised, and what it read then.

    Arguments:
        parent: its object; `None` if it belongs to several.
        names: attributes whose change is looked at.
        known: all that its code mentions.
        values: parameter -> what was read, so that a random draw is not drawn again.
        changing: the parameter that is being changed, while it is tried out.
        settled: whether it was initialised, and what is changed from now on is changed by somebody else.
    """

    parent: Callable[[], Any] | None = None
    names: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    values: dict[str, Any] = field(default_factory=dict)
    changing: str | None = None
    settled: bool = False


class Stage:
    """Stand for an object while a behavior is initialised on trial: what is written stays here."""

    def __init__(self, obj: Any):
        self.__dict__.update(vars(obj), _real=obj)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_real"], name)

    def __repr__(self) -> str:
        return repr(self.__dict__["_real"])

    def written(self) -> dict[str, Any]:
        """Return what was written that the object does not have."""
        old = vars(self.__dict__["_real"])
        return {n: v for n, v in vars(self).items() if n != "_real" and v is not old.get(n, MISSING)}


def home_of(behavior: Behavior) -> Home | None:
    """Return where a behavior was initialised; `None` for a copy, or one that is not made yet."""
    return getattr(behavior, "_home", None)


def asked_of(behavior: Behavior) -> frozenset[str]:
    """List the parameters that a behavior has asked for."""
    return frozenset(vars(behavior).get("_asked", ()))


def unsettle(behavior: Behavior) -> None:
    """Let a behavior that is about to be initialised write what it likes."""
    home = home_of(behavior)
    if home is not None:
        home.settled = False


def settle(behavior: Behavior, parent: Any) -> None:
    """Look at changes of a behavior from now on: it was just initialised for an object."""
    home, kind = home_of(behavior), type(behavior)
    if home is None:
        return
    shared = home.parent is not None and home.parent() is not parent
    home.parent = weakref.ref(parent) if not shared else lambda: None
    used = names_of(kind, but=("initialize",))
    # What the iteration reads under the parameter's own name can be changed by anybody; ready ones check it first.
    free = _declared(kind) if _is_ready(kind) else used & vars(behavior).keys() | _declared(kind)
    home.names = asked_of(behavior) - free
    home.known = frozenset(used | names_of(kind) | asked_of(behavior))
    home.settled = True


def change(behavior: Behavior, name: str, value: Any) -> None:
    """Change a parameter that was read already, or refuse it.

    Raises:
        OptionError: the change would have no effect.
        RecurraError: the value is none that the parameter can have.
    """
    home: Any = home_of(behavior)
    if name not in home.names:
        close = near(name, asked_of(behavior)) if name not in home.known and name not in vars(behavior) else []
        if close:
            raise OptionError(
                f"{type(behavior).__name__}: it has no parameter {name!r}, and nothing would read it. Did you mean"
                f" {close[0]!r}?"
            )
        object.__setattr__(behavior, name, value)
        return
    parent = home.parent() if home.parent is not None else None
    kind = type(behavior)
    if _same(home.values.get(name, MISSING), value):
        return
    if not _is_ready(kind):
        if name in names_of(kind, but=("initialize",)):  # read by self.parameter(...) in every step
            behavior.init_kwargs[name] = value
        elif _read_by_others(behavior, name, parent):
            object.__setattr__(behavior, name, value)
        else:
            raise _refusal(behavior, name, "only its initialize() reads it, once; so a change would have no effect")
        return
    if parent is None:
        raise _refusal(behavior, name, "it belongs to several objects, or to none any more")
    _carry_over(behavior, home, parent, name, value)


def _carry_over(behavior: Behavior, home: Home, parent: Any, name: str, value: Any) -> None:
    """Initialise a behavior twice on trial, with the old value and the new, and take over what differs."""
    now, given = dict(vars(behavior)), dict(behavior.init_kwargs)
    kept = dict(home.values)
    try:
        with _lent(parent.network):
            before, made = _rehearse(behavior, home, parent, name, MISSING)
        behavior.__dict__.update(now)
        with _lent(parent.network):
            after, others = _rehearse(behavior, home, parent, name, value)
        changed = {n: v for n, v in after.items() if n != "init_kwargs" and not _same(v, before.get(n, MISSING))}
        stuck = [n for n in changed if n in now and not _same(now[n], before.get(n, MISSING))]
        if stuck:
            raise _refusal(behavior, name, f"what has built up in {', '.join(stuck)} depends on it")
        if not changed:
            made_of = [n for n, v in others.items() if not _same(v, made.get(n, MISSING))]
            where = " and ".join(f"{parent.tag}.{n}" for n in made_of[:2])
            why = f"it was used for {where}, which can be changed instead" if made_of else "nothing depends on it now"
            raise _refusal(behavior, name, why)
    except Exception:
        home.values.clear()
        home.values.update(kept)
        behavior.__dict__.clear()
        behavior.__dict__.update(now)
        behavior.init_kwargs.clear()
        behavior.init_kwargs.update(given)
        raise
    behavior.__dict__.clear()
    behavior.__dict__.update({**now, **changed})
    parent.widen()


def _rehearse(behavior: Behavior, home: Home, parent: Any, name: str, value: Any) -> tuple[dict, dict]:
    """Initialise on a stage; return the attributes of the behavior, and what it wrote to its object."""
    if value is not MISSING:
        behavior.init_kwargs[name] = value
        home.values.pop(name, None)
    stage = Stage(parent)
    home.changing = name
    try:
        behavior.initialize(stage)
    finally:
        home.changing = None
    return dict(vars(behavior)), stage.written()


@contextmanager
def _lent(network: Any) -> Iterator[None]:
    """Let a trial draw what the network would draw, without using it up."""
    random = network.random
    state = random.get_state()
    try:
        with network.random_lent():
            yield
    finally:
        random.set_state(state)


def _refusal(behavior: Behavior, name: str, why: str) -> OptionError:
    kind = type(behavior).__name__
    return OptionError(
        f"{kind}: {name} cannot be changed now: {why}. Give {kind}({name}=...) and initialize the network again."
    )


def _is_ready(kind: type) -> bool:
    """Tell whether the `initialize` of a class is one of the library's, and the class too."""
    return kind.__module__.startswith(_READY) and kind.initialize.__module__.startswith(_READY)


def _declared(kind: type) -> set[str]:
    """List what a class has properties for, which see to changes themselves."""
    return {n for base in kind.__mro__ for n, v in vars(base).items() if hasattr(v, "__set__")}


def _read_by_others(behavior: Behavior, name: str, parent: Any) -> bool:
    """Tell whether another behavior may look into this one and read an attribute that it has."""
    if name not in vars(behavior) or parent is None:
        return False
    for other in parent.network.all_behaviors():
        if other is not behavior and not _is_ready(type(other)):
            mentioned = names_in([other])
            if name in mentioned and mentioned & {"behavior", *behavior.tags}:
                return True
    return False


def _same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same, arrays entry by entry."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype.kind == "O" or b.dtype.kind == "O":
            return False
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, str | bytes | int | float | complex | bool | set | frozenset | np.generic):
        return bool(a == b)
    inside = getattr(a, "__dict__", None)
    return isinstance(inside, dict) and _same(inside, vars(b))
