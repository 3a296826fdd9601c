"""The stand-in for an array or a number while a body is traced.

A `Box` behaves like what it stands for: arrays can be changed in place and have views, numbers cannot. Its value
is a JAX tracer where it is only known when the model runs, and an ordinary NumPy array where it is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from recurra.engine import events
from recurra.tracing import indexing, operations
from recurra.tracing.escapes import user_site
from recurra.tracing.operators import Operators
from recurra.tracing.promotion import PYTHON
from recurra.tracing.session import MAX_ITERATED, Session, as_value, is_traced


class Step(Protocol):
    """One way from an array to a view of it and back."""

    def get(self, value: Any) -> Any:
        """Return the view of an array."""
        ...

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        ...


class Box(Operators):
    """Stand in for an array, a NumPy scalar or a Python number.

    Arguments:
        session: the pass it lives in.
        value: what is known of it: a tracer, or an array.
        sources: the slots its value depends on; "" for anything that no slot holds.
        kind: "array", "scalar" (of NumPy) or "python".
        slot: the slot that it was put into, if any.
        parent: the box that this one is a view of.
        step: the way from the parent to here.
    """

    __slots__ = ("_ahead", "_changed", "_echo", "_foreign", "_inner", "_kind", "_parent", "_session", "_slot", "_step",
                 "_tied")  # fmt: skip

    def __init__(
        self,
        session: Session,
        value: Any,
        sources: frozenset[str] = frozenset(),
        kind: str | None = None,
        slot: str | None = None,
        parent: Box | None = None,
        step: Step | None = None,
    ):
        self._session, self._inner, self._tied, self._slot = session, value, sources, slot
        self._parent, self._step, self._changed = parent, step, False
        self._echo: Callable[[Box], None] | None = None
        self._ahead: Any = None  # how Python computes it of the step's number, if it depends on nothing else
        self._foreign = False  # whether its memory belongs to something that is no attribute
        self._kind = kind or ("array" if parent is not None or np.ndim(value) else "scalar")

    # -- value --------------------------------------------------------------------------------------------------

    def _read(self) -> Any:
        if self._parent is not None and self._step is not None:
            return self._step.get(self._parent._read())
        if self._slot is not None:
            self._session.facts.read.add(self._slot)
            if not is_traced(self._inner):
                self._session.facts.baked.add(self._slot)
        return self._inner

    def _peek(self) -> Any:
        """Return the value without counting as a reader; for its shape and type."""
        return self._inner if self._parent is None else self._step.get(self._parent._peek())  # type: ignore

    def _root(self) -> Box:
        return self if self._parent is None else self._parent._root()

    def _sources(self) -> frozenset[str]:
        return self._root()._tied

    def _write(self, new: Any, sources: frozenset[str], through_view: bool = False) -> None:
        if self._parent is not None and self._step is not None:
            self._parent._write(self._step.put(self._parent._read(), new), sources, True)
            return
        if self._kind != "array":
            raise TypeError(f"'{type(self._peek()).__name__}' object does not support item assignment")
        if self._foreign:
            raise self._session.refuse("changes in place an array that is no attribute of the model")
        self._ahead = None
        if self._slot is not None:
            self._session.facts.add("inplace", self._slot)
            self._session.facts.changers.setdefault(self._slot, (self._session.body, *user_site()))
            self._session.facts.add("written", self._slot)
        self._inner, self._changed = new, True
        self._tied = self._tied | sources
        if self._echo is not None and not through_view:
            self._echo(self)

    def _view(self, step: Step) -> Box:
        return Box(self._session, None, parent=self, step=step)

    def _number(self, what: str) -> Any:
        """Return the value, which must be known now."""
        value = self._read()
        if is_traced(value):
            raise self._session.need(self._sources(), what)
        return value

    # -- what Python asks of numbers ----------------------------------------------------------------------------

    @property
    def __class__(self) -> type:  # type: ignore[override]
        if self._kind == "array":
            return np.ndarray
        return PYTHON[self.dtype.kind] if self._kind == "python" else self.dtype.type

    def __bool__(self) -> bool:
        value = self._read()
        if not is_traced(value):
            return bool(value)
        if value.size != 1:
            return bool(np.zeros(value.shape))  # raises NumPy's own error
        return self._session.decide(value.reshape(()) != 0, self._sources())

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __index__(self) -> int:
        return self._number("an index, a length or range()").__index__()

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return round(self._number("round()").item())
        return operations.call(self, np.round, digits)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._number("a key of a dict or a set").item())

    def __repr__(self) -> str:
        return repr(self._plain("printing or formatting"))

    def __str__(self) -> str:
        return str(self._plain("printing or formatting"))

    def __format__(self, spec: str) -> str:
        return format(self._plain("printing or formatting"), spec)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        """Give a copy to code that needs a real array; it is read-only, since writes to it would be lost."""
        value = np.array(self._number("code that takes a real array (or stores into one)"), dtype=dtype)  # type: ignore
        value.flags.writeable = False
        return value

    def __reduce_ex__(self, protocol: object) -> Any:
        raise self._session.refuse("an array of the step is pickled")

    def _plain(self, what: str) -> Any:
        value = self._number(what)
        if self._kind == "array":
            return value
        return value.item() if self._kind == "python" else value[()]

    # -- what NumPy's arrays have -------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self._peek()))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(as_value(self._peek()).dtype)  # type: ignore[attr-defined]

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def T(self) -> Box:
        return self.transpose()

    @property
    def real(self) -> Box:
        return self._view(indexing.Part("real")) if self.dtype.kind == "c" else self

    @property
    def imag(self) -> Box:
        if self.dtype.kind == "c":
            return self._view(indexing.Part("imag"))
        return Box(self._session, np.zeros(self.shape, self.dtype), kind=self._kind)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        if len(self) > MAX_ITERATED and is_traced(self._peek()):
            raise self._session.refuse(f"a Python loop over {len(self)} traced elements; use NumPy's functions")
        for i in range(len(self)):
            yield self[i]

    def __contains__(self, item: object) -> bool:
        same: Any = self == item
        return bool(same.any())

    def __getitem__(self, index: object) -> Any:
        return indexing.get(self, index)

    def __setitem__(self, index: object, value: object) -> None:
        indexing.put(self, index, value)

    def __copy__(self) -> Box:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> Box:
        return self.copy()

    def copy(self, order: str = "C") -> Box:
        made = Box(self._session, self._read(), self._sources(), self._kind)
        made._ahead = self._ahead
        return made

    def astype(
        self, dtype: object, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Box:
        if not copy and self._kind == "array" and np.dtype(dtype) == self.dtype:  # type: ignore[arg-type]
            if order != "K":
                raise self._session.refuse(f"astype with copy=False and order={order!r}")
            return self
        return operations.astype(self, dtype, casting)

    def fill(self, value: object) -> None:
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C") -> Box:
        return indexing.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def ravel(self, order: str = "C") -> Box:
        return indexing.reshape(self, -1, order)

    def flatten(self, order: str = "C") -> Box:
        return indexing.reshape(self.copy(), -1, order)

    def transpose(self, *axes: Any) -> Box:
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self._view(indexing.Transpose(self.ndim, tuple(axes) if axes else None)) if self.ndim > 1 else self

    def swapaxes(self, first: int, second: int) -> Box:
        return operations.call(self, np.swapaxes, first, second)

    def squeeze(self, axis: Any = None) -> Box:
        return operations.call(self, np.squeeze, axis)

    def diagonal(self, offset: int = 0) -> Any:
        return operations.call(self, np.diagonal, offset)

    def item(self, *index: Any) -> Any:
        one = self[index] if index else self
        value = one._read()
        if is_traced(value) and value.size == 1 and not self._session.bakeable(one._sources()):
            kind = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64, "c": np.complex128}[one.dtype.kind]
            return Box(self._session, value.reshape(()).astype(kind), one._sources(), "python")
        return one._number("item()").item()

    def tolist(self) -> Any:
        return self._number("tolist()").tolist()

    def is_integer(self) -> bool:
        return bool(operations.call(self, np.floor) == self)

    def dot(self, other: object, out: object = None) -> Any:
        return operations.call(self, np.dot, other, out=out)

    def put(self, indices: object, values: object) -> None:
        operations.call(self, np.put, indices, values)

    def nonzero(self) -> Any:
        return operations.call(self, np.nonzero)

    def argsort(self, axis: int = -1, kind: object = None) -> Any:
        return operations.call(self, np.argsort, axis=axis, kind=kind)

    def argpartition(self, kth: object, axis: int = -1) -> Any:
        return operations.call(self, np.argpartition, kth, axis=axis)

    def sort(self, axis: int = -1, kind: object = None) -> None:
        self[...] = operations.call(self, np.sort, axis=axis, kind=kind)

    def partition(self, kth: object, axis: int = -1) -> None:
        self[...] = operations.call(self, np.partition, kth, axis=axis)

    def searchsorted(self, values: object, side: str = "left") -> Any:
        return operations.call(self, np.searchsorted, values, side=side)

    def ptp(self, axis: object = None) -> Any:
        return operations.call(self, np.ptp, axis=axis)

    def trace(self, offset: int = 0) -> Any:
        return operations.call(self, np.trace, offset)

    def conjugate(self) -> Any:
        return self.conj()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{self.__class__.__name__!r} object has no attribute {name!r}")
        value = self._peek()
        # All others (`flat`, `data`, `flags`, ...) give a hold on the memory of the user's own array.
        if is_traced(value) or name not in ("itemsize", "nbytes", "strides", "device"):
            raise self._session.refuse(f"{name} of an array is not understood")
        return getattr(self._number(name), name)


def box(session: Session, value: Any, sources: frozenset[str], kind: str | None = None) -> Box:
    """Wrap a computed value; what has no axes is a scalar."""
    return Box(session, value if is_traced(value) else np.asarray(value), sources, kind)


def echoing(found: object, write: Callable[[Any], None]) -> Any:
    """Return a copy of a stand-in that calls `write` with itself whenever it is changed; None for anything else."""
    if type(found) is not Box:
        return None
    made = found.copy()
    made._echo = write
    return made


def packed(value: object) -> Any:
    """Return the bits of where a traced vector is not 0, 32 in a word; None for anything else."""
    if type(value) is not Box or value.ndim != 1 or not is_traced(value._peek()):
        return None
    truths: Any = value if value.dtype == bool else value != 0
    return Box(value._session, events.pack(truths._read()), value._sources(), "array")


def traced_value(value: Any) -> Any:
    """Return a value as a JAX array."""
    return value if is_traced(value) else jnp.asarray(value)
