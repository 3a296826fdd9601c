"""Randomness by address: draw j of a body at step k has the key fold(stream(seed, body), j, k).

The same numbers come out while a body runs on arrays and while it is traced, so both can be compared.

A generator that the user has seeded keeps the numbers of its seed, which only NumPy can draw: what uses it is not
traced. The same goes for everything after `numpy.random.seed`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurra.engine.randomness import (
    fold_in,
    fold_in_now,
    normal,
    seed_key,
    stream_address,
    stream_key,
    stream_key_now,
    uniform,
    uniform_now,
    words_of,
)
from recurra.errors import CapabilityError
from recurra.tracing import callers, operations
from recurra.tracing.escapes import Untraceable, refuse, user_site
from recurra.tracing.generators import is_seeded
from recurra.tracing.session import Session, as_value
from recurra.tracing.slots import attributes_of_kind


def _uniform(key: Any, shape: tuple, low: Any, high: Any) -> Any:
    return low + (high - low) * uniform(key, shape, np.float64)


def _normal(key: Any, shape: tuple, loc: Any, scale: Any) -> Any:
    return loc + scale * normal(key, shape, np.float64)


def _integers(key: Any, shape: tuple, low: Any, high: Any) -> Any:
    return jax.random.randint(key, shape, jnp.asarray(low, np.int64), jnp.asarray(high, np.int64), np.int64)


def _binomial(key: Any, shape: tuple, n: Any, p: Any) -> Any:
    drawn = jax.random.binomial(key, jnp.asarray(n, np.float64), jnp.asarray(p, np.float64), shape, np.float64)
    return drawn.astype(np.int64)


_DRAWS: dict[str, Callable] = {
    "uniform": _uniform,
    "normal": _normal,
    "lognormal": lambda key, shape, mean, sigma: jnp.exp(_normal(key, shape, mean, sigma)),
    "exponential": lambda key, shape, scale: scale * jax.random.exponential(key, shape, np.float64),
    "poisson": lambda key, shape, lam: jax.random.poisson(key, lam, shape, np.int64),
    "integers": _integers,
    "binomial": _binomial,
    "gamma": lambda key, shape, k, scale: scale * jax.random.gamma(key, jnp.asarray(k, np.float64), shape, np.float64),
    "beta": lambda key, shape, a, b: jax.random.beta(
        key, jnp.asarray(a, np.float64), jnp.asarray(b, np.float64), shape, np.float64
    ),
}


def _draw_kind(kind: str, key: Any, shape: tuple, *parameters: Any) -> Any:
    return _DRAWS[kind](key, shape, *parameters)


# Step by step, one call of compiled code is quicker than a call for every operation.
_draw_at_once = jax.jit(_draw_kind, static_argnums=(0, 2))
_choose_at_once = jax.jit(jax.random.choice, static_argnums=(1, 2, 3))
_permute_at_once = jax.jit(jax.random.permutation, static_argnums=1)


class Addressed:
    """Draw random numbers by address; stands in for `numpy.random` and for a Generator without a seed.

    Arguments:
        seed: an int, or a `jax.random.key`.

    Attributes:
        given_up: whether a body has set or asked for the state of `numpy.random`, whose own numbers are drawn since.

    >>> numbers = Addressed(0)
    >>> with numbers.at("noise", 3):
    ...     first = numbers.rand(2)
    >>> with numbers.at("noise", 3):
    ...     bool((numbers.rand(2) == first).all())
    True
    """

    def __init__(self, seed: object = 0):
        self._seed = seed
        self._place: tuple[Any, str, Any] | None = None
        self._draws = 0
        self.given_up = False
        self._session: Session | None = None
        self._root = words_of(seed_key(seed)) if not isinstance(seed, Tracer) else None

    @contextlib.contextmanager
    def at(
        self,
        name: str,
        step: Any,
        key: Any = None,
        session: Session | None = None,
        roots: Mapping[str, object] | None = None,
    ) -> Iterator[Addressed]:
        """Let all draws of a block come from an address.

        Arguments:
            name: the body's name.
            step: the step's number.
            key: the key to use instead of the seed's.
            session: the pass, while a body is traced.
            roots: objects whose Generators without a seed are replaced during the block; while tracing the tracer
                does it.

        Returns:
            A context manager; inside it `numpy.random`'s functions draw from here.
        """
        before = self._place, self._draws, self._session
        self._place, self._draws, self._session = (key, name, step), 0, session
        with contextlib.ExitStack() as stack:
            stack.callback(self._return_to, before)
            stack.enter_context(self._patched())
            if roots is not None:
                stack.enter_context(self._standing_in(roots.values()))
            yield self

    def _return_to(self, before: tuple) -> None:
        self._place, self._draws, self._session = before

    @contextlib.contextmanager
    def _standing_in(self, roots: Iterable[object]) -> Iterator[None]:
        found = attributes_of_kind(roots, (np.random.Generator, np.random.RandomState))
        found = [entry for entry in found if not is_seeded(entry[2])]
        for space, name, _, _ in found:
            space[name] = self
        try:
            yield
        finally:
            for space, name, original, inherited in found:
                if inherited:
                    del space[name]
                else:
                    space[name] = original

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        originals = {name: getattr(np.random, name) for name in (*_METHODS, *_OTHERS) if hasattr(np.random, name)}
        try:
            for name, original in originals.items():
                setattr(np.random, name, self._patch(name, original))
            yield
        finally:
            for name, original in originals.items():
                setattr(np.random, name, original)

    def _patch(self, name: str, original: Callable) -> Callable:
        """Return what stands in `numpy.random`: ours, except for callers that are libraries."""
        ours = getattr(self, name) if hasattr(type(self), name) else None

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            frame = callers.caller()
            if callers.is_library(frame):
                return original(*args, **kwargs)
            if self._session is not None and not callers.calls_by_name(frame, np.random, name):
                return original(*args, **kwargs)
            if name in _OF_STATE and self._session is not None:
                why = f"after numpy.random.{name} the numbers are those of a state that only NumPy has"
                raise self._session.leave(refuse(why, whole=True))
            self.given_up = self.given_up or name in _OF_STATE
            if self.gives_way:
                return original(*args, **kwargs)
            return (ours or self._rare(name))(*args, **kwargs)

        return stand_in

    def _rare(self, name: str) -> Any:
        """Return a method of NumPy's generators that has no form of ours: of one that is seeded with an address."""
        if self._session is not None:
            raise self._session.refuse(f"numpy.random.{name} draws what only NumPy knows to draw")
        words = self._words()
        seed = words_of(self._key()) if words is None else words
        own = np.random.RandomState(seed)
        return getattr(own if hasattr(own, name) else np.random.default_rng(seed), name)

    def __getattr__(self, name: str) -> Any:
        known = (np.random.Generator, np.random.RandomState)
        if name.startswith("_") or not any(hasattr(kind, name) for kind in known):
            raise AttributeError(f"a generator of random numbers has no {name!r}.", name=name, obj=self)
        if name in (*_OF_STATE, "bit_generator"):
            raise CapabilityError(
                f"{name}: a generator without a seed has no state of its own, since it draws the numbers of the"
                " network's seed. Make it with a seed, as in default_rng(1) or RandomState(1), or run with"
                " compile=False."
            )
        return self._rare(name)

    @property
    def gives_way(self) -> bool:
        """Tell whether the numbers of `numpy.random` itself are to be drawn now."""
        return self.given_up and self._session is None

    # -- one draw -----------------------------------------------------------------------------------------------

    def _key(self) -> Any:
        if self._place is None:
            filename, line = user_site()
            raise Untraceable("randomness", filename, line, "a draw outside of `with addressed.at(name, step)`")
        (key, name, step), number = self._place, self._draws
        key = seed_key(self._seed) if key is None else key
        self._draws += 1

        def make() -> Any:
            if self._session is not None:
                self._session.note("random draw")
            return fold_in(fold_in(stream_key(key, stream_address(name, "behavior")), number), step)

        return make() if self._session is None else self._session.draw(("key", name, number), (), make)

    def _words(self) -> np.ndarray | None:
        """Do what `_key` does in NumPy; None while a body is traced."""
        if self._place is None or self._session is not None or self._place[0] is not None or self._root is None:
            return None
        _, name, step = self._place
        if not isinstance(step, int | np.integer):
            return None
        words = stream_key_now(self._root, stream_address(name, "behavior"))
        for part in (self._draws, int(step)):
            words = fold_in_now(words, part)
        self._draws += 1
        return words

    def _drawn(self, kind: str, shape: tuple, parameters: list) -> Any:
        words = self._words()
        if words is None:
            key = self._key()
            if self._session is None:
                return _DRAWS[kind](key, shape, *parameters)
            asked = tuple(map(_of_parameter, parameters))
            make = partial(_DRAWS[kind], key, shape, *parameters)
            return self._session.draw((kind, id(key), shape, asked), (key, *parameters), make)
        if kind == "uniform":
            low, high = (np.asarray(p, np.float64) for p in parameters)
            return low + (high - low) * uniform_now(words, shape)
        return _draw_at_once(kind, jax.random.wrap_key_data(jnp.asarray(words)), shape, *parameters)

    def _operand(self, value: Any) -> tuple[Any, frozenset[str]]:
        if operations.is_ours(value) or isinstance(value, list | tuple):
            session = self._session
            if session is None:
                return np.asarray(value), frozenset()
            found = operations.operand(session, value)
            return as_value(found.value), found.sources
        return np.asarray(value), frozenset()

    def _draw(self, kind: str, size: Any, *parameters: Any, dtype: Any = None, weak: bool = True) -> Any:
        with jax.enable_x64(True):
            found = [self._operand(p) for p in parameters]
            shape = np.broadcast_shapes(*(np.shape(f[0]) for f in found)) if size is None else _shape(size)
            drawn = self._drawn(kind, shape, [f[0] for f in found])
            return self._give(drawn, dtype, weak and size is None and not shape)

    def _give(self, drawn: Any, dtype: Any = None, number: bool = False) -> Any:
        drawn = drawn if dtype is None else drawn.astype(dtype)
        if self._session is not None:
            return operations.wrap(self._session, drawn, frozenset({""}), "python" if number else None)
        made = np.array(drawn)
        return made.item() if number else made[()] if not made.ndim else made

    # -- NumPy's names ------------------------------------------------------------------------------------------

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return self._draw("uniform", size, low, high)

    def random(self, size: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None:
            out[...] = self._draw("uniform", np.shape(out), 0.0, 1.0, dtype=dtype)
            return out
        return self._draw("uniform", size, 0.0, 1.0, dtype=dtype)

    def random_sample(self, size: Any = None) -> Any:
        return self._draw("uniform", size, 0.0, 1.0)

    ranf = sample = random_sample

    def rand(self, *shape: Any) -> Any:
        return self._draw("uniform", shape or None, 0.0, 1.0)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return self._draw("normal", size, loc, scale)

    def randn(self, *shape: Any) -> Any:
        return self._draw("normal", shape or None, 0.0, 1.0)

    def standard_normal(self, size: Any = None, dtype: Any = None) -> Any:
        return self._draw("normal", size, 0.0, 1.0, dtype=dtype)

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Any:
        return self._draw("lognormal", size, mean, sigma)

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Any:
        return self._draw("exponential", size, scale)

    def standard_exponential(self, size: Any = None) -> Any:
        return self._draw("exponential", size, 1.0)

    def poisson(self, lam: Any = 1.0, size: Any = None) -> Any:
        return self._draw("poisson", size, lam)

    def binomial(self, n: Any, p: Any, size: Any = None) -> Any:
        return self._draw("binomial", size, n, p)

    def gamma(self, shape: Any, scale: Any = 1.0, size: Any = None) -> Any:
        return self._draw("gamma", size, shape, scale)

    def standard_gamma(self, shape: Any, size: Any = None) -> Any:
        return self._draw("gamma", size, shape, 1.0)

    def beta(self, a: Any, b: Any, size: Any = None) -> Any:
        return self._draw("beta", size, a, b)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        bounds = (0, low) if high is None else (low, high)
        return self._draw("integers", size, *bounds, dtype=dtype, weak=dtype is int)

    def random_integers(self, low: Any, high: Any = None, size: Any = None) -> Any:
        return self.randint(1 if high is None else low, (low if high is None else high) + 1, size)

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        low, high = (0, low) if high is None else (low, high)
        return self._draw("integers", size, low, high + 1 if endpoint else high, dtype=dtype, weak=False)

    def choice(
        self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0, shuffle: bool = True
    ) -> Any:
        with jax.enable_x64(True):
            whole = isinstance(a, int | np.integer) or (operations.is_box(a) and not a.shape)
            array = np.arange(int(a)) if whole else a if operations.is_box(a) else np.asarray(a)
            chances = None if p is None else jnp.asarray(self._operand(p)[0])
            shape = () if size is None else _shape(size)
            words = self._words()
            key = self._key() if words is None else jax.random.wrap_key_data(jnp.asarray(words))
            choose = jax.random.choice if words is None else _choose_at_once
            picked = choose(key, array.shape[axis], shape, bool(replace), chances).astype(np.int64)
            if whole:
                return self._give(picked, None, size is None)
            picked = self._give(picked) if self._session is not None else np.asarray(picked)
            if self._session is not None and not operations.is_box(array):
                array = operations.build_array(self._session, array)
            return array[(slice(None),) * axis + (picked,)]

    def permutation(self, x: Any, axis: int = 0) -> Any:
        with jax.enable_x64(True):
            words = self._words()
            key = self._key() if words is None else jax.random.wrap_key_data(jnp.asarray(words))
            permute = jax.random.permutation if words is None else _permute_at_once
            if isinstance(x, int | np.integer):
                return self._give(permute(key, int(x)))
            array = x if operations.is_box(x) else np.asarray(x)
            order = self._give(permute(key, array.shape[axis]))
            if self._session is not None and not operations.is_box(array):
                array = operations.build_array(self._session, array)
            return array[(slice(None),) * axis + (order,)]

    def permuted(self, x: Any, axis: Any = None) -> Any:
        if axis is not None or np.ndim(x) != 1:
            raise TypeError(f"permuted is known for vectors without axis, got axis={axis!r} and {np.ndim(x)} axes")
        return self.permutation(x)

    def shuffle(self, x: Any, axis: int = 0) -> None:
        if isinstance(x, list):
            raise TypeError("shuffle is known for arrays, got a list; use np.random.permutation")
        x[...] = self.permutation(x, axis)

    def default_rng(self, seed: object = None) -> Any:
        if seed is None:
            return self
        if self._session is not None and operations.holds_ours(seed):
            raise self._session.refuse("a generator gets a seed that is only known when the model runs")
        return np.random.Generator(np.random.PCG64(seed))  # type: ignore[arg-type]

    def __deepcopy__(self, memo: dict) -> Addressed:
        return self


def _of_parameter(value: Any) -> object:
    """Return what tells a parameter of a draw from others while both are kept."""
    few = isinstance(value, np.ndarray | np.generic) and value.size <= MOST_COMPARED
    return (value.dtype.str, value.shape, value.tobytes()) if few else id(value)


def _shape(size: Any) -> tuple[int, ...]:
    if isinstance(size, tuple | list):
        return tuple(int(s.__index__()) for s in size)
    return (int(size.__index__()),)


MOST_COMPARED = 16  # numbers of a parameter
_OF_STATE = ("seed", "get_state", "set_state")

_METHODS = [
    "uniform",
    "random",
    "random_sample",
    "ranf",
    "sample",
    "rand",
    "normal",
    "randn",
    "standard_normal",
    "lognormal",
    "exponential",
    "standard_exponential",
    "poisson",
    "binomial",
    "gamma",
    "standard_gamma",
    "beta",
    "randint",
    "random_integers",
    "choice",
    "permutation",
    "shuffle",
    "default_rng",
]
_OTHERS = [
    "seed",
    "bytes",
    "chisquare",
    "dirichlet",
    "f",
    "geometric",
    "get_state",
    "gumbel",
    "hypergeometric",
    "laplace",
    "logistic",
    "logseries",
    "multinomial",
    "multivariate_normal",
    "negative_binomial",
    "noncentral_chisquare",
    "noncentral_f",
    "pareto",
    "power",
    "rayleigh",
    "set_state",
    "standard_cauchy",
    "standard_t",
    "triangular",
    "vonmises",
    "wald",
    "weibull",
    "zipf",
]
