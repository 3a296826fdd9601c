"""Several constraints at once, all of them exactly, in whatever order they are given; or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import OptionError
from recurra.training.constraints import Bounds, Constraint, Dale, Fixed, LowRank, Mask, Shared, like
from recurra.training.factors import SignedLowRank

ENTRYWISE = (Dale, Mask, Bounds, Fixed)


@dataclass(frozen=True, eq=False)
class Entries(Constraint):
    """Hold constraints of single entries together: each entry has an interval, or one value.

    The value goes through the bounds first, which are the same for all entries, then through the signs, and is 0, or
    what it was, where it is held. So each entry lies in the intersection of all intervals.

    Arguments:
        parts: constraints of `ENTRYWISE`.
        absent_apart: whether bounds are for the entries that a mask leaves, and not for the zeros of the others.

    >>> both = Entries((Bounds(-0.5, 2.0), Dale([1, -1])))
    >>> both.value(both.free(np.array([[1.0, -0.25]]), "w"), None).round(3).tolist()
    [[1.0, -0.25]]
    """

    parts: tuple[Constraint, ...]
    absent_apart: bool = False

    __repr__ = brief

    @property
    def bounds(self) -> Bounds | None:
        """The intersection of all bounds; `None` if there are none."""
        if not any(isinstance(part, Bounds) for part in self.parts):
            return None
        low, high = self.low, self.high
        if not low < high:
            raise OptionError(f"Compose: the bounds contradict: nothing is above {low:g} and below {high:g}.")
        return Bounds(low if np.isfinite(low) else None, high if np.isfinite(high) else None)

    @property
    def low(self) -> float:
        return max((part.low for part in self.parts), default=-np.inf)

    @property
    def high(self) -> float:
        return min((part.high for part in self.parts), default=np.inf)

    def signs(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return +1 or -1 for each entry, `None` if no part asks for signs."""
        found = [np.broadcast_to(np.asarray(p.signs), shape) for p in self.parts if isinstance(p, Dale)]
        if any((other != found[0]).any() for other in found[1:]):
            raise OptionError("Compose: two Dale ask for different signs of the same unit.")
        return found[0] if found else None

    def held(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return which entries are absent, and which are fixed."""
        absent, fixed = np.zeros(shape, bool), np.zeros(shape, bool)
        for part in self.parts:
            if isinstance(part, Mask):
                absent = absent | ~np.broadcast_to(np.asarray(part.present, bool), shape)
            elif isinstance(part, Fixed):
                fixed = fixed | np.broadcast_to(np.asarray(part.entries, bool), shape)
        return absent, fixed

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        self._check_shapes(value, where)
        self._check_together(value, where)
        absent, fixed = self.held(np.shape(value))
        for part in self.parts:
            if isinstance(part, Mask | Dale):
                part._check(value, where)
        bounds = self.bounds
        if bounds is None:
            return np.where(absent, 0.0, value)
        outside = fixed & ~absent & ~((value >= bounds.low) & (value <= bounds.high))
        if outside.any():
            raise OptionError(f"{where}: {int(outside.sum())} fixed entries are not within {bounds}.")
        # What is held has no number of its own; anything that the bounds can be inverted for will do.
        inside = bounds.project(np.zeros_like(value, float))
        return bounds.free(np.where(absent | fixed, inside, value), where)

    def value(self, free: Array, origin: Array) -> Array:
        bounds, shape = self.bounds, np.shape(free)
        found = free if bounds is None else bounds.value(free, origin)
        signs = self.signs(shape)
        if signs is not None:
            # 0 minus it makes +0 of the -0 of a silent inhibitory synapse.
            found = jnp.where(signs > 0, jax.nn.relu(found), 0 - jax.nn.relu(-found))
        absent, fixed = self.held(shape)
        if fixed.any():
            found = jnp.where(fixed, origin, found)
        return jnp.where(absent, 0, found) if absent.any() else found

    def project(self, value: ArrayLike) -> np.ndarray:
        found = np.asarray(value, float)
        self._check_shapes(found, "Compose")
        absent, fixed = self.held(found.shape)
        bounds, signs = self.bounds, self.signs(found.shape)
        moved = found if bounds is None else bounds.project(found)
        if signs is not None:
            moved = np.where(moved * signs > 0, moved, 0.0)
            if bounds is not None and not bounds.low < 0 < bounds.high:
                moved = np.where(moved == 0, np.clip(0.0, *bounds.project([-np.inf, np.inf])), moved)
        # A fixed entry that the others do not allow is moved as the others are.
        allowed = (found == moved) | (np.zeros(found.shape, bool) if bounds is None else
                                      (found >= bounds.low) & (found <= bounds.high))  # fmt: skip
        if signs is not None:
            allowed &= found * signs >= 0
        return np.where(absent, 0.0, np.where(fixed & allowed, found, moved))

    def stuck(self, value: np.ndarray) -> np.ndarray:
        absent, fixed = self.held(np.shape(value))
        sticks = reduce(np.logical_or, (part.stuck(value) for part in self.parts), np.zeros(np.shape(value), bool))
        return sticks & ~absent & ~fixed

    def _check_shapes(self, value: np.ndarray, where: str) -> None:
        for part in self.parts:
            if isinstance(part, Dale):
                part._signs(value, where)
            elif isinstance(part, Mask):
                like(part.present, value, "the mask", where)
            elif isinstance(part, Fixed):
                like(part.entries, value, "the fixed entries", where)

    def _check_together(self, value: np.ndarray, where: str) -> None:
        """Refuse parts that no value can obey together, or none but one."""
        shape = np.shape(value)
        absent, fixed = self.held(shape)
        signs, low, high = self.signs(shape), self.low, self.high
        if absent.any() and not low <= 0 <= high and not self.absent_apart:
            raise OptionError(
                f"{where}: Mask holds {int(absent.sum())} entries at 0, and Bounds asks for {low:g} to {high:g}: they"
                " contradict. Give the mask to the edge (add_edge(mask=)), where bounds are for what is there."
            )
        if signs is not None:
            nothing = ~absent & ~fixed & np.where(signs > 0, high <= 0, low >= 0)
            if nothing.any():
                at = tuple(int(i) for i in np.argwhere(nothing)[0])
                raise OptionError(
                    f"{where}: Dale asks for the sign {'+' if signs[at] > 0 else '-'} at {at}, and Bounds for {low:g}"
                    f" to {high:g}: they contradict in {int(nothing.sum())} entries."
                )


@dataclass(frozen=True, eq=False)
class SharedEntries(Constraint):
    """Keep one number for all units, within an interval.

    Arguments:
        entries: what each unit must obey; it holds none of them.
    """

    entries: Entries

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        Shared().free(value, where)
        self.entries._check_together(value, where)
        return np.asarray(np.ravel(self.entries.free(value, where))[0])

    def value(self, free: Array, origin: Array) -> Array:
        return self.entries.value(jnp.broadcast_to(free, origin.shape), origin)

    def project(self, value: ArrayLike) -> np.ndarray:
        return self.entries.project(Shared().project(self.entries.project(value)))

    def stuck(self, value: np.ndarray) -> np.ndarray:
        return self.entries.stuck(value)


@dataclass(frozen=True, eq=False)
class Compose(Constraint):
    """Obey several constraints: `Compose(Dale(signs), Mask(present))`. Their order does not matter.

    Constraints of entries (`Dale`, `Mask`, `Bounds`, `Fixed`) go with each other and with `Shared`, as long as
    something is left. `LowRank` goes with `Dale` up to rank 2, by factors without negative numbers, and with masks of
    whole rows and columns. Those of your own are applied in their place in the order, to what the earlier ones give;
    where this breaks one of them, it is refused.

    Arguments:
        *parts: constraints.

    Raises:
        OptionError: there is none, or something else is among them; and where it is used, if they contradict.

    >>> Compose(Bounds(-1.0, 1.0), Mask([[1, 0]])).project([[2.0, 2.0]]).round(3)
    array([[1., 0.]])
    """

    parts: tuple[Constraint, ...]
    absent_apart: bool = False

    def __init__(self, *parts: Constraint, absent_apart: bool = False):
        for part in parts:
            if not isinstance(part, Constraint):
                raise OptionError(f"Compose: expected constraints, got {type(part).__name__}.")
        flat = tuple(p for part in parts for p in (part.parts if isinstance(part, Compose) else (part,)))
        if not flat:
            raise OptionError("Compose: needs at least one constraint.")
        object.__setattr__(self, "parts", flat)
        object.__setattr__(self, "absent_apart", absent_apart)

    @property
    def stages(self) -> tuple[Constraint, ...]:
        """What is applied one after the other, so that all parts hold.

        Raises:
            OptionError: the parts contradict.
        """
        return _stages(self.parts, self.absent_apart)

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.parts))})"

    def __identity__(self) -> object:
        return self.parts, self.absent_apart

    @property
    def low(self) -> float:
        return max(part.low for part in self.parts)

    @property
    def high(self) -> float:
        return min(part.high for part in self.parts)

    def free(self, value: np.ndarray, where: str) -> Any:
        free = value
        for stage in reversed(self.stages):
            free = stage.free(free, where)
        if any(_is_own(part) for part in self.parts):
            self._try(free, value, where)
        return free

    def value(self, free: Any, origin: Array) -> Array:
        for stage in self.stages:
            free = stage.value(free, origin)
        return free

    def project(self, value: ArrayLike) -> np.ndarray:
        for stage in self.stages:
            value = stage.project(value)
        return np.asarray(value)

    def stuck(self, value: np.ndarray) -> np.ndarray:
        return reduce(np.logical_or, (stage.stuck(value) for stage in self.stages))

    def _try(self, free: Any, value: np.ndarray, where: str) -> None:
        """Refuse constraints of the user's own that break others, or are broken by them, by trying some numbers."""
        rng = np.random.default_rng(0)
        for spread in (0.0, 0.1, 1.0, 10.0):
            moved = jax.tree.map(lambda leaf, s=spread: leaf + s * rng.standard_normal(np.shape(leaf)), free)
            with jax.enable_x64(True):
                found = np.asarray(self.value(jax.tree.map(jnp.asarray, moved), jnp.asarray(value)), float)
                broken = [part for part in self.parts if not _obeys(part, found, value)]
            if broken:
                names = ", ".join(type(part).__name__ for part in self.parts)
                raise OptionError(
                    f"{where}: {type(broken[0]).__name__} does not hold where {names} are applied one after the other:"
                    " they contradict, or need another order."
                )


def _obeys(part: Constraint, value: np.ndarray, origin: np.ndarray) -> bool:
    """Say whether a value obeys: whether it comes out again as it went in."""
    if isinstance(part, Bounds):
        return bool(np.all((value >= part.low) & (value <= part.high)))
    try:
        free = jax.tree.map(jnp.asarray, part.free(value, ""))
        again = np.asarray(part.value(free, jnp.asarray(origin)))
    except (OptionError, ValueError):
        return False
    return bool(np.allclose(again, value, rtol=1e-6, atol=1e-9 * (1 + np.abs(value).max(initial=0))))


def _is_own(part: Constraint) -> bool:
    return not isinstance(part, (*ENTRYWISE, LowRank, Shared, Present))


def _stages(parts: tuple[Constraint, ...], absent_apart: bool) -> tuple[Constraint, ...]:
    """Return what is applied one after the other; each stage keeps what the earlier ones give."""
    structures = [part for part in parts if isinstance(part, LowRank | Shared)]
    own = [part for part in parts if _is_own(part) or isinstance(part, Present)]
    if not own:
        entries = Entries(tuple(part for part in parts if isinstance(part, ENTRYWISE)), absent_apart)
        if entries.parts:
            _ = entries.bounds  # which contradict or do not
        if not structures:
            return (entries,)
        return (_structured(structures, entries),)
    stages: list[Constraint] = []
    for part in parts:
        if isinstance(part, ENTRYWISE) and stages and isinstance(stages[-1], Entries):
            stages[-1] = Entries((*stages[-1].parts, part), absent_apart)
        else:
            stages.append(Entries((part,), absent_apart) if isinstance(part, ENTRYWISE) else part)
    if any(isinstance(part, LowRank | Shared) for part in stages[1:]):
        raise OptionError("Compose: with a constraint of your own, LowRank and Shared can only be the first.")
    return tuple(stages)


def _structured(structures: Sequence[Constraint], entries: Entries) -> Constraint:
    """Join LowRank or Shared with constraints of entries, or refuse."""
    names = ", ".join(sorted({type(part).__name__ for part in entries.parts}))
    if any(isinstance(part, Shared) for part in structures):  # whose rank is 1
        for part in entries.parts:
            if isinstance(part, Mask | Fixed):
                held = ~np.asarray(part.present, bool) if isinstance(part, Mask) else np.asarray(part.entries, bool)
                if held.any():
                    raise OptionError(
                        f"Compose: Shared and {type(part).__name__} contradict: one number for all units, some of which"
                        " are held. Give the mask to the edge (add_edge(mask=)), and what is there shares a number."
                    )
            if isinstance(part, Dale) and np.unique(np.asarray(part.signs)).size > 1:
                raise OptionError("Compose: Shared and Dale contradict: one number cannot have both signs.")
        return SharedEntries(entries) if entries.parts else Shared()
    rank = min(part.rank for part in structures if isinstance(part, LowRank))
    if not entries.parts:
        return LowRank(rank)
    if any(isinstance(part, Bounds | Fixed) for part in entries.parts):
        raise OptionError(
            f"Compose: LowRank goes with Dale, and with a Mask of whole rows and columns, but not with {names}: no"
            " product of thin matrices keeps single entries while it learns. Penalise what should be small instead."
        )
    return SignedLowRank(rank, entries.signs, tuple(p for p in entries.parts if isinstance(p, Mask)))


@dataclass(frozen=True, eq=False)
class Present(Constraint):
    """Keep a constraint for the entries that there are; the others are no parameters, and stay at 0.

    Arguments:
        inner: the constraint, of entries or :class:`Shared`.
        present: boolean, of the parameter's shape.
    """

    inner: Constraint
    present: np.ndarray

    __repr__ = brief

    def __identity__(self) -> object:
        return self.inner, np.asarray(self.present, bool)

    def free(self, value: np.ndarray, where: str) -> Any:
        Mask(self.present).free(value, where)
        if not self.present.any():
            raise OptionError(f"{where}: there is no entry to be trained.")
        filled = np.where(self.present, value, value[self.present][0])
        return self.inner.free(np.where(self.present, value, self.inner.project(filled)), where)

    def value(self, free: Any, origin: Array) -> Array:
        return jnp.where(self.present, self.inner.value(free, origin), 0)

    def project(self, value: ArrayLike) -> np.ndarray:
        value = np.asarray(value, float)
        some = value[self.present][0] if self.present.any() else 0.0
        return np.where(self.present, self.inner.project(np.where(self.present, value, some)), 0.0)

    def stuck(self, value: np.ndarray) -> np.ndarray:
        return self.inner.stuck(value) & self.present


def present_only(constraint: Constraint | None, present: np.ndarray) -> Constraint:
    """Return the constraint of a matrix of weights of which some do not exist.

    Arguments:
        constraint: what is asked of the weights, if anything.
        present: boolean, which weights there are.
    """
    if constraint is None:
        return Mask(present)
    if isinstance(constraint, Compose) and all(isinstance(part, (*ENTRYWISE, Shared)) for part in constraint.parts):
        return Present(constraint, present)
    if isinstance(constraint, (*ENTRYWISE, Shared)):
        return Present(constraint, present)
    return Compose(constraint, Mask(present), absent_apart=True) if isinstance(constraint, Constraint) else constraint
