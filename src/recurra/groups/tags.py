"""Tags: every object has some, and `network["tag", 0, "np"]` finds whatever has one, recordings included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from recurra.courtesy import warn
from recurra.errors import OptionError, UnknownTag, unknown
from recurra.groups.recordings import Kept


def read_tags(tag: object, where: str) -> list[str]:
    """Return the tags in a text, separated by commas, or in a list of texts.

    >>> read_tags("a, b", "group")
    ['a', 'b']
    """
    if tag is None:
        return []
    pieces = tag.split(",") if isinstance(tag, str) else tag
    if not isinstance(pieces, list | tuple) or not all(isinstance(piece, str) for piece in pieces):
        raise OptionError(f"{where}: tag must be a text such as 'a' or 'a,b', or a list of texts, got {tag!r}.")
    names = [piece.strip() for piece in pieces]
    if not all(names):
        raise OptionError(f"{where}: a tag is empty in {tag!r}.")
    return list(dict.fromkeys(names))


class Tagged:
    """Have tags and be searched by them; the base of networks, groups and behaviors.

    `obj[key]` lists everything in `obj` (itself, its behaviors, their recordings, its groups) that the key means: a
    tag, the text of a recorded variable, a class, or the number of a behavior. `obj[key, i]` is the i-th of these, and
    `obj[key, i, "np"]` the i-th that is data, as an array. Nothing found is an error.
    """

    tags: list[str]
    # Looking up by a number is no sequence: `for x in group` would list behaviors and end in an error.
    __iter__: Any = None

    @property
    def tag(self) -> str:
        """Give the first tag."""
        return self.tags[0]

    def add_tag(self, tag: str) -> None:
        """Add a tag, or several separated by commas."""
        self.tags += [name for name in read_tags(tag, self.tag) if name not in self.tags]

    def find_objects(self, key: object) -> list[Any]:
        """List what a key means; an empty list if it means nothing.

        Arguments:
            key: a tag, a recorded variable, a class, or the number of a behavior.

        Returns:
            The objects, and the recordings as arrays `(time, units)`.
        """
        return [as_data(found) for found in self._matches(key)]

    def __getitem__(self, key: object) -> Any:
        name, *rest = key if isinstance(key, tuple) and key else (key,)
        if not isinstance(name, str | type) and not is_number(name):
            raise UnknownTag(f"[{name!r}]: expected a tag, a recorded variable, a class or a behavior's number.")
        index, as_array = _read_rest(name, rest)
        found = self._matches(name)
        kept = [f for f in found if isinstance(f, Kept)]
        if as_array:
            found = kept or found
        elif kept and index is not None:
            # A group that is called I must not hide a recorded variable I.
            found = kept + [f for f in found if not isinstance(f, Kept)]
            _tell_apart(name, index, len(kept), found)
        if not found:
            raise UnknownTag(unknown(*self._missing(name)))
        if index is None:
            return [as_data(f) for f in found]
        if not -len(found) <= index < len(found):
            raise UnknownTag(
                f"[{_shown(name)}, {index}]: there is only {len(found)} of this; the last is"
                f" [{_shown(name)}, {len(found) - 1}]."
            )
        if as_array and not isinstance(found[index], Kept):
            raise UnknownTag(
                f"[{_shown(name)}, {index}, 'np']: {_shown(name)} is a tag of {found[index]!r}, not a recording; leave"
                " out 'np', or record the variable with a Recorder."
            )
        return as_data(found[index])

    def __contains__(self, key: object) -> bool:
        return bool(self._matches(key))

    # Each object with a tag becomes an attribute of what it belongs to, unless the name is taken. Looked up when it is
    # needed, so that nothing is left behind when a behavior is removed.
    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            for child in self._children():
                if name in child.tags:
                    return child
        own = self.__dict__.get("tags") or [type(self).__name__]
        raise AttributeError(
            f"{type(self).__name__} {own[0]!r} has no attribute {name!r}: no behavior has made it yet, and nothing in"
            " it has this tag.",
            name=name,
            obj=self,
        )

    def _children(self) -> Iterable[Tagged]:
        return ()

    def _recordings(self, name: str | None) -> Sequence[Kept]:
        """List the recordings of this object alone that a text means; all if `None`."""
        return []

    def _matches(self, key: object) -> list[Any]:
        found: list[Any] = []
        for obj in walk(self):
            if isinstance(key, str):
                found += [obj] if key in obj.tags else []
                found += obj._recordings(key)
            elif isinstance(key, type):
                found += [obj] if isinstance(obj, key) else []
            elif is_number(key):
                behaviors = getattr(obj, "behavior", {})
                found += [behaviors[key]] if key in behaviors else []
        return list({id(f): f for f in found}.values())

    def _missing(self, key: object) -> tuple[str, str, list[str]]:
        """Word what is missing: what it was taken for, its name, and which names there are."""
        everything = list(walk(self))
        if isinstance(key, type):
            return "class", key.__name__, list(dict.fromkeys(type(obj).__name__ for obj in everything))
        if not isinstance(key, str):
            keys = {k for obj in everything for k in getattr(obj, "behavior", {})}
            return "behavior number", str(key), [f"{k:g}" for k in sorted(keys)]
        recorded = [recording.name for obj in everything for recording in obj._recordings(None)]
        tags = [tag for obj in everything for tag in obj.tags]
        return "tag or recorded variable", key, [*dict.fromkeys(recorded), *dict.fromkeys(tags)]


def _tell_apart(name: Any, index: int, count: int, found: list[Any]) -> None:
    """Say that a name is that of recordings and of something else, where a recording is returned."""
    others = [f for f in found[count:] if isinstance(f, Tagged)]
    if others and 0 <= index < count:
        warn(
            f"[{name!r}, {index}] is the recording {name!r}; {others[0]!r} has this tag too: it is [{name!r}, {count}],"
            f" or the attribute {name}. Give it another tag to tell them apart.",
            UserWarning,
        )


def walk(obj: Tagged) -> Iterator[Tagged]:
    """Yield an object and everything below it, in the order in which tags are searched."""
    yield obj
    for child in obj._children():
        yield from walk(child)


def as_data(found: Any) -> Any:
    """Return the array of a recording, and anything else as it is."""
    return found.data() if isinstance(found, Kept) else found


def is_number(key: object) -> bool:
    """Tell whether something can be the number of a behavior."""
    return isinstance(key, Real) and not isinstance(key, bool | np.bool_)


def _read_rest(name: object, rest: list[object]) -> tuple[int | None, bool]:
    if not rest:
        return None, False
    index = rest[0]
    if not isinstance(index, Integral) or isinstance(index, bool):
        hint = f"; write [{_shown(name)}, 0, 'np']" if index == "np" else ""
        raise UnknownTag(f"[{_shown(name)}, {index!r}]: the second place is the index of the match, a number{hint}.")
    if rest[1:] not in ([], ["np"]):
        raise UnknownTag(f"[{_shown(name)}, {index}, {rest[1]!r}]: the third place can only be 'np', for an array.")
    return int(index), len(rest) == 2


def _shown(name: object) -> str:
    return name.__name__ if isinstance(name, type) else repr(name)


def free_name(name: str, taken: set[str]) -> str:
    """Return a name that nobody has, made of this one, and take it.

    >>> taken = {"cells"}
    >>> free_name("cells", taken), free_name("cells", taken)
    ('cells#2', 'cells#3')
    """
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}#{count}"
    taken.add(free)
    return free
