"""What every basis can do, and how bases are added and multiplied."""

from __future__ import annotations

import copy
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError, ShapeError, unknown
from recurra.glm.numbers import as_numbers
from recurra.glm.pynapple_series import common_series, is_pynapple, like, values_of

if TYPE_CHECKING:
    from recurra.glm.basis.transformer import TransformerBasis

Shape = tuple[int, ...]


class Basis(ABC):
    """Turn inputs into features: every sample of an input into the values of some functions.

    Bases are added (features side by side) and multiplied (products of every two features). A basis remembers the
    shapes of the inputs it has met last, which :meth:`split_by_feature` needs, and nothing else of them.

    >>> from recurra.glm.basis import BSplineEval, MSplineEval
    >>> place, speed = BSplineEval(5, label="place"), MSplineEval(4, label="speed")
    >>> x, v = np.linspace(0, 1, 100), np.linspace(0, 2, 100)
    >>> (place + speed).compute_features(x, v).shape, (place * speed).compute_features(x, v).shape
    ((100, 9), (100, 20))
    """

    label: str
    n_basis_funcs: int
    is_complex: bool = False

    # What a kind of basis defines.

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """How many inputs it takes."""

    @property
    @abstractmethod
    def block_shape(self) -> Shape | None:
        """The channels of its features, `(*channels,)`, or None while no input has been seen."""

    @property
    @abstractmethod
    def n_output_features(self) -> int | None:
        """The number of columns of its features, or None while no input has been seen."""

    @abstractmethod
    def leaves(self) -> Iterator[Leaf]:
        """Yield the bases that are neither sums nor products, in the order of their inputs."""

    @abstractmethod
    def terms(self) -> Iterator[Basis]:
        """Yield the bases whose features lie side by side, in order."""

    @abstractmethod
    def block(self, *x: Any) -> Array:
        """Return the features `(time, *channels, functions)` of inputs that have been checked."""

    @abstractmethod
    def evaluate(self, *x: Any) -> Array:
        """Evaluate the functions where the inputs are.

        Arguments:
            x: one array for each input, all of one shape.

        Returns:
            `(*shape, functions)`.
        """

    @abstractmethod
    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        """Return the points of each input, and the values `(*counts, functions)`."""

    # What follows from it.

    def compute_features(self, *x: Any) -> Any:
        """Compute the features of a model: columns go input by input, channel by channel, function by function.

        Arguments:
            x: one array `(time, ...)` for each input, or series of pynapple. Where an evaluated basis has no
                `bounds`, the range is that of the very samples given here; a transformer keeps that of its fit.

        Returns:
            `(time, features)`, in the ambient precision of JAX; a TsdFrame if a series of pynapple was given.

        Raises:
            TypeError: the number of inputs is wrong, or one of them holds no numbers.
            ShapeError: the inputs differ in length.

        >>> from recurra.glm.basis import HistoryConv
        >>> HistoryConv(2).compute_features([1.0, 2.0, 3.0])[2:].tolist()
        [[2.0, 1.0]]
        """
        self._count(x, "compute_features")
        series = common_series(x)
        checked, place = [], 0
        for leaf in self.leaves():
            mine = [leaf.checked(value) for value in x[place : place + leaf.n_inputs]]
            place += leaf.n_inputs
            leaf.set_input_shape(*mine)
            if series is not None and leaf.convolves:
                mine = [m if is_pynapple(m) else like(series, m) for m in mine]
            checked += mine
        lengths = [np.shape(values_of(c))[0] for c in checked]
        if len(set(lengths)) > 1:
            raise ShapeError(f"{self.label}: the inputs differ in their number of samples: {lengths}.")
        blocks = []
        for term in self.terms():
            block = term.block(*checked[: term.n_inputs])
            checked = checked[term.n_inputs :]
            blocks.append(block.reshape(block.shape[0], math.prod(block.shape[1:])))
        features = jnp.concatenate(blocks, axis=1)
        return features if series is None else like(series, features)

    def evaluate_on_grid(self, *n_samples: int) -> tuple[Array, ...]:
        """Evaluate the functions on a grid over the range of each input: its bounds, or 0 to 1.

        Arguments:
            n_samples: number of points for each input.

        Returns:
            The coordinates of the points, one array `(*n_samples)` for each input, and the values
            `(*n_samples, functions)`.

        Raises:
            TypeError: the number of arguments is wrong.
            OptionError: a number is not above zero.
        """
        self._count(n_samples, "evaluate_on_grid")
        for count in n_samples:
            if not isinstance(count, int | np.integer) or count < 1:
                raise OptionError(f"{self.label}: evaluate_on_grid needs whole numbers above zero, got {count!r}.")
        points, values = self._on_grid(n_samples)
        return (*jnp.meshgrid(*points, indexing="ij"), values)

    def split_by_feature(self, x: Any, axis: int = 1) -> dict[str, Any]:
        """Split an axis of features into its terms, by label.

        Arguments:
            x: features or coefficients; `axis` has the length of the features.
            axis: which axis to split.

        Returns:
            label -> array in which `axis` has become `(*channels, functions)`.

        Raises:
            ShapeError: the axis has another length than the features.

        >>> from recurra.glm.basis import HistoryConv, MSplineEval
        >>> both = HistoryConv(2) + MSplineEval(4)
        >>> {k: v.shape for k, v in both.split_by_feature(np.ones((3, 6))).items()}
        {'HistoryConv': (3, 2), 'MSplineEval': (3, 4)}
        """
        shape = np.shape(x)
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"{self.label}: there is no axis {axis} in an array of shape {shape}.")
        axis, terms = axis % len(shape), list(self.terms())
        channels = [term.block_shape for term in terms]
        if len(terms) == 1 and channels[0] is None and terms[0].n_basis_funcs:
            many = shape[axis] // terms[0].n_basis_funcs
            channels = [() if many <= 1 else (many,)]
        blocks = [(*(c or ()), term.n_basis_funcs) for c, term in zip(channels, terms, strict=True)]
        ends = np.cumsum([math.prod(b) for b in blocks])
        if shape[axis] != ends[-1]:
            raise ShapeError(
                f"{self.label}: axis {axis} has the length {shape[axis]}, but there are {ends[-1]} features: "
                + ", ".join(f"{t.label} {b}" for t, b in zip(terms, blocks, strict=True))
                + ". Call set_input_shape if the inputs have channels."
            )
        parts = np.split(x, ends[:-1], axis) if isinstance(x, np.ndarray) else jnp.split(x, ends[:-1], axis)
        return {
            term.label: part.reshape(shape[:axis] + block + shape[axis + 1 :])
            for term, part, block in zip(terms, parts, blocks, strict=True)
        }

    def set_input_shape(self, *shapes: Any) -> Basis:
        """Tell the channels of the inputs before any of them is seen.

        Arguments:
            shapes: for each input the number of channels, their shape, or an array `(time, ...)` that has them.

        Returns:
            The basis itself.
        """
        self._count(shapes, "set_input_shape")
        place = 0
        for leaf in self.leaves():
            leaf.set_input_shape(*shapes[place : place + leaf.n_inputs])
            place += leaf.n_inputs
        return self

    def setup_basis(self, *x: Any) -> Basis:
        """Tell the channels of the inputs; the same as :meth:`set_input_shape`."""
        return self.set_input_shape(*x)

    def to_transformer(self) -> TransformerBasis:
        """Return a transformer of scikit-learn that computes the features of this basis.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        from recurra.glm.basis.transformer import TransformerBasis

        return TransformerBasis(copy.deepcopy(self))

    def __getitem__(self, label: str) -> Basis:
        if not isinstance(label, str):
            raise IndexError(f"{self.label}: a part of a basis is found by its label, got {label!r}.")
        parts = {part.label: part for part in self._parts()}
        if label not in parts:
            raise IndexError(unknown("label", label, parts, self.label))
        return parts[label]

    def _parts(self) -> Iterator[Basis]:
        yield self

    def _count(self, given: Sequence[object], method: str) -> None:
        if len(given) != self.n_inputs:
            raise TypeError(f"{self.label}: {method} takes {self.n_inputs} argument(s), got {len(given)}.")

    def __add__(self, other: Basis) -> AdditiveBasis:
        if not isinstance(other, Basis):
            return NotImplemented
        return AdditiveBasis(self, other)

    def __mul__(self, other: Basis | int) -> Basis:
        if isinstance(other, int | np.integer):
            return self._repeated(int(other), AdditiveBasis)
        return MultiplicativeBasis(self, other) if isinstance(other, Basis) else NotImplemented

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Basis:
        if not isinstance(exponent, int | np.integer):
            return NotImplemented
        return self._repeated(int(exponent), MultiplicativeBasis)

    def _repeated(self, times: int, kind: type[Composite]) -> Basis:
        if times < 1:
            raise OptionError(f"{self.label}: repeat a basis at least once, got {times}.")
        named = [leaf.label for leaf in self.leaves() if not leaf.has_default_label]
        if named and times > 1:
            raise OptionError(f"{self.label}: a repeated basis would have the label {named[0]!r} more than once; "
                              "repeat it first, set labels after.")  # fmt: skip
        made = copy.deepcopy(self)
        for _ in range(times - 1):
            made = kind(made, self)
        return made

    def __sklearn_clone__(self) -> Basis:
        # scikit-learn would call the constructor, which copies the parts of a sum, and complain of the copies.
        return copy.deepcopy(self)

    @abstractmethod
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; those of a part of a sum or product as `label__name`."""

    @abstractmethod
    def set_params(self, **params: Any) -> Basis:
        """Set parameters by name; those of a part of a sum or product as `label__name`."""


class Leaf(Basis):
    """Be a basis that is neither a sum nor a product. Its fields are those of a dataclass."""

    convolves: bool = False
    _shape: Shape | None = None

    @property
    def n_inputs(self) -> int:
        """One, unless the kind of basis says otherwise."""
        return 1

    @property
    def input_shape(self) -> Shape | None:
        """The channels of the inputs, or None while none has been seen."""
        return self._shape

    @property
    def block_shape(self) -> Shape | None:
        """The channels of the features are those of the inputs."""
        return self._shape

    @property
    def n_output_features(self) -> int | None:
        """The number of columns, or None while no input has been seen."""
        return None if self.block_shape is None else math.prod(self.block_shape) * self.n_basis_funcs

    @property
    def has_default_label(self) -> bool:
        """Whether the label is the name of the class, with or without a number."""
        return re.fullmatch(rf"{type(self).__name__}(_\d+)?", self.label) is not None

    def leaves(self) -> Iterator[Leaf]:
        """Yield itself."""
        yield self

    def terms(self) -> Iterator[Basis]:
        """Yield itself."""
        yield self

    def set_input_shape(self, *shapes: Any) -> Basis:
        """Tell the channels of the inputs; see :meth:`Basis.set_input_shape`."""
        self._count(shapes, "set_input_shape")
        found = {_channels(shape, self.label) for shape in shapes}
        if len(found) > 1:
            raise ShapeError(f"{self.label}: its inputs must have the same channels, got {sorted(found)}.")
        self._shape = found.pop()
        return self

    def checked(self, x: Any) -> Any:
        """Return an input as an array of numbers, or as the series of pynapple it is."""
        values = values_of(x)
        array = values if hasattr(values, "aval") else np.asarray(values)
        if array.dtype.kind == "O":
            array = as_numbers(array, self.label)
        if array.dtype.kind not in "biuf" and array.dtype != jnp.bfloat16:
            raise TypeError(f"{self.label}: an input must hold real numbers, got {array.dtype}.")
        if array.ndim == 0 or array.size == 0:
            raise ShapeError(f"{self.label}: an input must be (time, ...) and not empty, got the shape {array.shape}.")
        return x if is_pynapple(x) else array

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments the basis was made with."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def set_params(self, **params: Any) -> Basis:
        """Set arguments by name, and check them together."""
        known = self.get_params()
        for name in params:
            if name not in known:
                raise OptionError(unknown("parameter", name, known, self.label))
        trial = copy.copy(self)
        for name, value in params.items():
            setattr(trial, name, value)
        trial.check()
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dataclass_fields__ and not name.startswith("_"):  # type: ignore[attr-defined]
            raise AttributeError(unknown("parameter", name, self.__dataclass_fields__, type(self).__name__))  # type: ignore
        object.__setattr__(self, name, value)

    @abstractmethod
    def check(self) -> None:
        """Raise OptionError unless the parameters fit together."""

    def __post_init__(self) -> None:
        self.check()


def _channels(shape: Any, label: str) -> Shape:
    if isinstance(shape, bool) or (isinstance(shape, int | np.integer) and shape < 1):
        raise OptionError(f"{label}: a number of channels is a whole number above zero, got {shape!r}.")
    if isinstance(shape, int | np.integer):
        return () if shape == 1 else (int(shape),)
    if isinstance(shape, tuple):
        if not all(isinstance(n, int | np.integer) and n >= 1 for n in shape):
            raise OptionError(f"{label}: a shape of channels holds whole numbers above zero, got {shape!r}.")
        return tuple(int(n) for n in shape)
    return tuple(np.shape(values_of(shape)))[1:]


class Composite(Basis):
    """Join two bases; they are copied, so that neither changes with the other."""

    sign: str

    def __init__(self, basis1: Basis, basis2: Basis, label: str | None = None):
        self.basis1, self.basis2 = copy.deepcopy(basis1), copy.deepcopy(basis2)
        self._label = label
        _number(list(self.leaves()))

    @property
    def label(self) -> str:  # type: ignore[override]
        """The label given, or one made of those of the parts."""
        return self._label or f"({self.basis1.label} {self.sign} {self.basis2.label})"

    @label.setter
    def label(self, label: str) -> None:
        self._label = label

    @property
    def n_inputs(self) -> int:
        """The inputs of both parts."""
        return self.basis1.n_inputs + self.basis2.n_inputs

    @property
    def input_shape(self) -> list[Shape | None]:
        """The channels of each input."""
        return [leaf.input_shape for leaf in self.leaves() for _ in range(leaf.n_inputs)]

    def leaves(self) -> Iterator[Leaf]:
        """Yield those of both parts."""
        yield from self.basis1.leaves()
        yield from self.basis2.leaves()

    def _parts(self) -> Iterator[Basis]:
        yield self
        yield from self.basis1._parts()
        yield from self.basis2._parts()

    def _pair(self, method: str, x: Sequence[Any]) -> tuple[Any, Any]:
        first = self.basis1.n_inputs
        return getattr(self.basis1, method)(*x[:first]), getattr(self.basis2, method)(*x[first:])

    def block(self, *x: Any) -> Array:
        """Return the features of both parts, joined channel by channel."""
        one, two = self._pair("block", x)
        if one.shape[:-1] != two.shape[:-1]:
            raise ShapeError(f"{self.label}: the inputs must have the same channels, got {one.shape[1:-1]} for "
                             f"{self.basis1.label} and {two.shape[1:-1]} for {self.basis2.label}.")  # fmt: skip
        return self._join(one, two)

    def evaluate(self, *x: Any) -> Array:
        """Evaluate both parts; see :meth:`Basis.evaluate`."""
        self._count(x, "evaluate")
        return self._join(*self._pair("evaluate", x))

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        first = self.basis1.n_inputs
        (points, one), (more, two) = self.basis1._on_grid(counts[:first]), self.basis2._on_grid(counts[first:])
        one = one.reshape(*counts[:first], *(1 for _ in counts[first:]), -1)
        two = two.reshape(*(1 for _ in counts[:first]), *counts[first:], -1)
        both = [jnp.broadcast_to(v, (*counts, v.shape[-1])) for v in (one, two)]
        return points + more, self._join(*both)

    @staticmethod
    @abstractmethod
    def _join(one: Array, two: Array) -> Array:
        """Join `(..., functions)` and `(..., functions)`."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parts by label, and their parameters as `label__name`."""
        found: dict[str, Any] = {"label": self._label}
        for leaf in self.leaves():
            found[leaf.label] = leaf
            if deep:
                found |= {f"{leaf.label}__{name}": value for name, value in leaf.get_params().items()}
        return found

    def set_params(self, **params: Any) -> Basis:
        """Set parameters of parts as `label__name`, or replace a whole part by its label."""
        labels = {leaf.label: leaf for leaf in self.leaves()}
        for key in params:
            if key != "label" and key.split("__")[0] not in labels:
                raise OptionError(unknown("parameter", key, self.get_params(), self.label))
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if rest:
                labels[name].set_params(**{rest: value})
            elif key == "label":
                self._label = value
            elif isinstance(value, Basis):
                self._replace(labels[name], value)
            else:
                raise OptionError(f"{self.label}: {key!r} can be replaced by a basis only, got {value!r}.")
        _number(list(self.leaves()))
        return self

    def _replace(self, old: Leaf, new: Basis) -> None:
        for name in ("basis1", "basis2"):
            part = getattr(self, name)
            if part is old:
                setattr(self, name, copy.deepcopy(new))
            elif isinstance(part, Composite):
                part._replace(old, new)

    def __repr__(self) -> str:
        return f"{self.basis1!r} {self.sign} {self.basis2!r}"


class AdditiveBasis(Composite):
    """Lay the features of two bases side by side.

    Arguments:
        basis1, basis2: the two.
        label: a name for the sum; made of those of its parts by default.

    >>> from recurra.glm.basis import BSplineEval, HistoryConv
    >>> (BSplineEval(5) + HistoryConv(3)).n_basis_funcs
    8
    """

    sign = "+"

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """The functions of both parts."""
        return self.basis1.n_basis_funcs + self.basis2.n_basis_funcs

    @property
    def block_shape(self) -> Shape | None:
        """The channels, if both parts have the same."""
        one, two = self.basis1.block_shape, self.basis2.block_shape
        return one if one == two else None

    @property
    def n_output_features(self) -> int | None:
        """The columns of both parts, or None while an input has not been seen."""
        one, two = self.basis1.n_output_features, self.basis2.n_output_features
        return None if one is None or two is None else one + two

    def terms(self) -> Iterator[Basis]:
        """Yield those of both parts."""
        yield from self.basis1.terms()
        yield from self.basis2.terms()

    @staticmethod
    def _join(one: Array, two: Array) -> Array:
        return jnp.concatenate([one, two], axis=-1)


class MultiplicativeBasis(Composite):
    """Multiply every function of one basis with every one of another: function `i * n2 + j` is the product of i and j.

    Arguments:
        basis1, basis2: the two; their inputs must have the same channels.
        label: a name for the product; made of those of its parts by default.

    Raises:
        OptionError: both are made of cosines and sines, whose product this is not.

    >>> from recurra.glm.basis import BSplineEval
    >>> (BSplineEval(5) * BSplineEval(4)).n_basis_funcs
    20
    """

    sign = "*"

    def __init__(self, basis1: Basis, basis2: Basis, label: str | None = None):
        super().__init__(basis1, basis2, label)
        pair = [any(leaf.is_complex for leaf in part.leaves()) for part in (basis1, basis2)]
        if all(pair):
            raise OptionError(f"{self.label}: two bases of cosines and sines cannot be multiplied; use one "
                              "FourierEval with ndim=2.")  # fmt: skip

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """The product of the numbers of functions."""
        return self.basis1.n_basis_funcs * self.basis2.n_basis_funcs

    @property
    def block_shape(self) -> Shape | None:
        """The channels of the inputs."""
        return self.basis1.block_shape

    @property
    def n_output_features(self) -> int | None:
        """The number of columns, or None while no input has been seen."""
        return None if self.block_shape is None else math.prod(self.block_shape) * self.n_basis_funcs

    def terms(self) -> Iterator[Basis]:
        """Yield itself."""
        yield self

    @staticmethod
    def _join(one: Array, two: Array) -> Array:
        return (one[..., :, None] * two[..., None, :]).reshape(*one.shape[:-1], one.shape[-1] * two.shape[-1])


def _number(leaves: list[Leaf]) -> None:
    """Number the default labels that occur more than once; complain of given ones that do."""
    taken: set[str] = {leaf.label for leaf in leaves if not leaf.has_default_label}
    if len(taken) < sum(not leaf.has_default_label for leaf in leaves):
        names = [leaf.label for leaf in leaves]
        raise OptionError(f"the labels of a sum or product must differ, got {names}; set other labels.")
    counts: dict[str, int] = {}
    for leaf in leaves:
        if leaf.has_default_label:
            name = type(leaf).__name__
            number = counts.get(name, 0)
            counts[name] = number + 1
            leaf.label = f"{name}_{number}" if number else name
