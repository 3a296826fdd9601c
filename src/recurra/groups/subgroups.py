"""Some neurons of a group, as a group whose attributes are those of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import ShapeError, TemplateError, unknown
from recurra.tracing import echoing

if TYPE_CHECKING:
    from recurra.groups.neurons import NeuronGroup

_WRITING = {"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"}


class NeuronSubGroup:
    """Read and write the attributes of some neurons of a group.

    `sub.v` gives the values of its neurons; `sub.v = x`, `sub.v += x` and `sub.v[0] = x` write into the whole group.

    Arguments:
        base: the group.
        mask: `(base.size,)`, true for those that belong to it.

    Raises:
        ShapeError: the mask has another shape or is not of truth values.

    >>> from recurra.groups import GroupNetwork, NeuronGroup
    >>> cells = NeuronGroup(GroupNetwork(), 4)
    >>> cells.v = cells.vector()
    >>> sub = cells.subGroup(np.array([True, False, True, False]))
    >>> sub.v[1] = 5
    >>> sub.v += 1
    >>> cells.v.tolist()
    [1.0, 0.0, 6.0, 0.0]
    """

    _own = ("BaseNeuronGroup", "mask", "size", "id", "tags")

    def __init__(self, base: NeuronGroup, mask: Any):
        found = np.asarray(mask)
        if found.dtype != bool or found.shape != (base.size,):
            raise ShapeError(
                f"{base!r}.subGroup: the mask must be an array of {base.size} truth values, got"
                f" {found.dtype} {found.shape}; of indices make one with np.isin({base.tag}.id, indices)."
            )
        self.__dict__.update(
            BaseNeuronGroup=base, mask=found.copy(), size=int(found.sum()), id=np.flatnonzero(found), tags=base.tags
        )

    def __repr__(self) -> str:
        return f"NeuronSubGroup({self.size} of {self.BaseNeuronGroup!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "BaseNeuronGroup" not in self.__dict__:
            raise AttributeError(name)
        base = self.BaseNeuronGroup
        value = getattr(base, name)
        index = self._index(value)
        if index is None:
            return value
        found = value[index]
        if not isinstance(found, np.ndarray):
            return found

        def write(new: Any) -> None:
            getattr(base, name)[index] = new

        traced = echoing(found, write)
        return Gathered.of(found, base, name, index) if traced is None else traced

    def __setattr__(self, name: str, value: Any) -> None:
        base = self.BaseNeuronGroup
        if name in self._own:
            raise TemplateError(f"{self!r}: {name} cannot be changed; make another sub-group.")
        if name not in vars(base):
            known = [n for n, v in vars(base).items() if self._index(v) is not None]
            raise TemplateError(unknown("variable", name, known, f"{self!r}; make it in the whole group first"))
        index = self._index(vars(base)[name])
        if index is None:
            raise TemplateError(f"{self!r}: {name} has no value for each neuron; set it on the group itself.")
        target = vars(base)[name]
        target[index] = plain(value)

    def _index(self, value: Any) -> Any:
        """Return the index of the neurons' share in an array of the base, or `None` if it has none."""
        shape = getattr(value, "shape", None)
        if not isinstance(shape, tuple) or not shape:
            return None
        size = self.BaseNeuronGroup.size
        if shape[0] == size:
            return self.mask
        return (..., self.mask) if shape[-1] == size else None

    @property
    def tag(self) -> str:
        """Give the first tag of the group."""
        return self.tags[0]

    def vector(self, mode: Any = "zeros()", scale: Any = None, density: Any = None, plot: bool = False) -> Any:
        """Make an array with one number for each neuron of the sub-group; see :meth:`NeuronGroup.vector`."""
        return self.BaseNeuronGroup.make_array(mode, (self.size,), scale, density, plot, self)

    get_neuron_vec = vec = vector

    def array_of(self, mode: Any, *, plot: bool = False, where: str = "") -> Any:
        """Make an array with one number for each neuron of the sub-group; `where` is for messages."""
        return self.BaseNeuronGroup.make_array(mode, (self.size,), plot=plot, where=where)

    def vector_buffer(self, size: int) -> np.ndarray:
        """Return zeros for the last `size` values of each neuron: `(size, neurons)`."""
        return self.BaseNeuronGroup.get_buffer_mat((self.size,), size)

    def subGroup(self, mask: Any) -> NeuronSubGroup:
        """Return some of its neurons.

        Arguments:
            mask: `(size,)`, a truth value for each neuron of this sub-group.

        Raises:
            ShapeError: the mask is no such array.
        """
        found = np.asarray(mask)
        if found.dtype != bool or found.shape != (self.size,):
            raise ShapeError(f"{self!r}.subGroup: the mask must be an array of {self.size} truth values.")
        whole = np.zeros(self.BaseNeuronGroup.size, bool)
        whole[self.id[found]] = True
        return NeuronSubGroup(self.BaseNeuronGroup, whole)


class Gathered(np.ndarray):
    """Hold the values of a sub-group; what is written into it is written into the whole group too.

    What is computed from it, and its parts, are plain arrays.
    """

    _base: Any
    _name: str
    _where: Any

    @classmethod
    def of(cls, values: np.ndarray, base: Any, name: str, where: Any) -> Gathered:
        """Make one of values that were just read."""
        found = np.asarray(values).view(cls)
        found._base, found._name, found._where = base, name, where
        return found

    def _write(self) -> None:
        getattr(self._base, self._name)[self._where] = self.view(np.ndarray)

    def __array_finalize__(self, obj: Any) -> None:
        self._base = None

    def __getitem__(self, key: Any) -> Any:
        return self.view(np.ndarray)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.view(np.ndarray)[key] = plain(value)
        if self._base is not None:
            self._write()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        if out:
            kwargs["out"] = tuple(plain(o) for o in out)
        result = getattr(ufunc, method)(*(plain(i) for i in inputs), **kwargs)
        if method == "at" and isinstance(inputs[0], Gathered):
            inputs[0]._write()
        for target in out:
            if isinstance(target, Gathered) and target._base is not None:
                target._write()
        return out[0] if len(out) == 1 else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        written = [args[0]] if func.__name__ in _WRITING else [kwargs.get("out")]
        result = func(*_plain_all(args), **{k: _plain_all(v) for k, v in kwargs.items()})
        for target in written:
            if isinstance(target, Gathered) and target._base is not None:
                target._write()
        return result

    def fill(self, value: Any) -> None:
        """Set all values."""
        self[...] = value

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """Sort the values in place."""
        self[...] = np.sort(self.view(np.ndarray), *args, **kwargs)

    def copy(self, order: Any = "C") -> np.ndarray:
        """Return a plain copy."""
        return self.view(np.ndarray).copy(order)


def plain(value: Any) -> Any:
    """Return the plain array of gathered values, and anything else as it is."""
    return value.view(np.ndarray) if isinstance(value, Gathered) else value


def _plain_all(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_plain_all(v) for v in value)
    return plain(value)

