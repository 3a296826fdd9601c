"""Printing from compiled steps: what `print` was given is handed to Python, in the right order."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from recurra.tracing import operations
from recurra.tracing.ahead import Opaque, recipe_of
from recurra.tracing.session import Session, as_value, is_traced
from recurra.tracing.words import from_words_now, to_words

Maker = Callable[[Sequence[np.ndarray], int], Any]


class Voice:
    """Print for compiled steps, but nothing twice where a step is done again."""

    def __init__(self) -> None:
        self.silent = False
        self._last, self._text = -1, ""  # what was printed in the last step

    def tell(self, k: int, write: Callable[[Any], None]) -> None:
        """Print something in step k; `write` prints it into what it is given."""
        if self.silent:
            return
        buffer = io.StringIO()
        write(buffer)
        self._text = buffer.getvalue() if k != self._last else self._text + buffer.getvalue()
        self._last = k
        sys.stdout.write(buffer.getvalue())

    @contextlib.contextmanager
    def again(self, k: int) -> Iterator[None]:
        """Leave out what was printed of step k already, while it is done in NumPy."""
        rest = _Rest(sys.stdout, self._text if k == self._last else "")
        with contextlib.redirect_stdout(rest):  # type: ignore[type-var]
            yield


class _Rest:
    """Hand over what is written, but for its beginning."""

    def __init__(self, stream: Any, told: str):
        self._stream, self._told = stream, told

    def write(self, text: str) -> int:
        pairs = zip(self._told, text, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self._told), len(text)))
        self._told = self._told[same:] if same == len(text) or same == len(self._told) else ""
        self._stream.write(text[same:])
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Late:
    """Stand in for a text with numbers in it that are only known when the model runs; it can be printed."""

    def __init__(self, session: Session, function: Callable, parts: tuple):
        self._session, self.function, self.parts = session, function, parts

    def __str__(self) -> str:
        raise self._session.refuse("a text with numbers that are only known when the model runs")

    __repr__ = __str__

    def _refuse(self, *_: Any) -> Any:
        return str(self)

    __format__ = __getitem__ = __len__ = __iter__ = __contains__ = __mod__ = __rmod__ = __mul__ = __rmul__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __index__ = __fspath__ = _refuse

    def __bool__(self) -> bool:
        return bool(str(self))

    def __eq__(self, other: object) -> bool:
        return str(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._session.refuse(f"{name} of a text with numbers that are only known when the model runs")

    def __add__(self, other: Any) -> Late:
        return Late(self._session, lambda a, b: a + b, (self, other))

    def __radd__(self, other: Any) -> Late:
        return Late(self._session, lambda a, b: b + a, (self, other))


def say(session: Session, args: tuple, options: dict[str, Any]) -> None:
    """Note that a body prints something; :func:`speak` lets it happen."""
    values: list[Any] = []
    makers = [_maker(session, arg, values) for arg in args]
    if any(isinstance(v, Late | Opaque) or operations.is_ours(v) for v in options.values()):
        raise session.refuse("options of print that are only known when the model runs")

    def tell(arrays: Sequence[np.ndarray], k: int, file: Any) -> None:
        print(*(m(arrays, k) for m in makers), **({"file": file} | options))

    session.said.append((tell, values))
    session.note("print")


def _maker(session: Session, value: Any, values: list[Any]) -> Maker:
    """Return what makes a value of numbers that are handed over, which are added to `values`, and the step's number."""
    if isinstance(value, Late):
        function, parts = value.function, [_maker(session, part, values) for part in value.parts]
        return lambda arrays, k: function(*(p(arrays, k) for p in parts))
    recipe = recipe_of(session, value)
    if recipe is not None and not recipe.slots:
        return lambda arrays, k: recipe.run(k)
    if isinstance(value, list | tuple):
        kind, parts = type(value), [_maker(session, part, values) for part in value]
        return lambda arrays, k: kind(p(arrays, k) for p in parts)
    if not operations.is_box(value):
        raise session.refuse("printing this")
    place, kind = len(values), value._kind
    values.append(value._read())
    if kind == "python":
        return lambda arrays, k: arrays[place].item()
    return lambda arrays, k: arrays[place] if kind == "array" else arrays[place][()]


def speak(session: Session, step: Any, conditions: Sequence[Any], voice: Voice) -> None:
    """Let a leaf print what it has said, where all conditions hold when the model runs."""
    active: Any = jnp.asarray(True)
    for condition in conditions:
        active = active & condition
    for tell, values in session.said:
        traced = [jnp.asarray(as_value(v)) for v in values if is_traced(v)]
        known = {i: np.asarray(as_value(v)) for i, v in enumerate(values) if not is_traced(v)}

        forms = [(v.shape, v.dtype) for v in traced]

        def aloud(
            k: Any, *words: Any, tell: Callable = tell, known: dict = known, n: int = len(values), forms: list = forms
        ) -> None:
            late = iter(from_words_now(w, *form) for w, form in zip(words, forms, strict=True))
            found = [known[i] if i in known else next(late) for i in range(n)]
            voice.tell(int(k), lambda file: tell(found, int(k), file))

        def do(aloud: Callable = aloud, traced: list = traced) -> None:
            io_callback(aloud, None, step, *map(to_words, traced), ordered=True)

        jax.lax.cond(active, do, lambda: None)
