"""Derivatives through the truth values of a traced step: what compares floats gets a surrogate derivative.

The step, as JAX's program, is evaluated operation by operation. Beside a truth value, or a whole number that is
computed from truth values, goes its *twin*: a float of the same value that has a derivative. Where a truth value turns
into a float, the float gets the derivative of the twin; everything else is computed as before, so no value changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax import core as jax_core
from jax import lax

from recurra.engine.spiking import check_surrogate, differentiated_as, truth
from recurra.engine.taming import do_alone
from recurra.errors import OptionError
from recurra.tracing.tracer import TROUBLE, Traced

COUNT = np.dtype(np.float64)  # twins of whole numbers


class Part(NamedTuple):
    """One value of the step, its twin if it has one, and whether it is the same in all steps."""

    value: Any
    twin: Any = None
    fixed: bool = False


class Smooth:
    """One step of all bodies with derivatives through spikes, in the form of :class:`recurra.tracing.Traced`.

    Truth values and whole numbers that are remembered and come of comparisons of floats are floats in the state, and so
    are those that are emitted.

    Arguments:
        traced: the step, traced with `smooth=True`.
        surrogate: the derivative that stands in for that of a comparison, a name in `recurra.engine.SURROGATES`.
        slope: how steep it is, per unit of what is compared.
        scale: the derivative where both sides are equal.

    Raises:
        OptionError: there is no such surrogate, or slope or scale is no finite number > 0.

    >>> from recurra.tracing import Body, trace
    >>> class Cell:
    ...     def __init__(self):
    ...         self.v, self.threshold, self.rate = np.array([0.5]), 1.0, np.array([0.0])
    >>> def fire(cell):
    ...     cell.rate = 2.0 * (cell.v > cell.threshold)
    >>> cell = Cell()
    >>> step = Smooth(trace([Body("fire", lambda: fire(cell))], {"cell": cell}, smooth=True), "fast_sigmoid", 2.0)
    >>> def rate(threshold):
    ...     params = {**step.params, "cell/threshold": threshold}
    ...     return step.update(step.state, params, {}, 0, jax.random.key(0))[0]["cell/rate"][0]
    >>> with jax.enable_x64(True):
    ...     slope = jax.grad(rate)(1.0)  # - 2 / (1 + 2 * |0.5 - 1|)**2
    >>> float(slope)
    -0.5
    """

    def __init__(self, traced: Traced, surrogate: str, slope: float, scale: float = 1.0):
        for name, value in (("slope", slope), ("scale", scale)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
                raise OptionError(f"{name} must be a finite number > 0, got {value!r}.")
        self.traced, self.steps = traced, Steps(check_surrogate(surrogate), float(slope), float(scale))
        self.params, self.inputs, self.derive = traced.params, traced.inputs, traced.derive
        self._carried, self._put_out = self._find_twins()
        self.state = self._as_floats(traced.state)
        self.emitted = {
            name: jax.ShapeDtypeStruct(spec.shape, self._put_out.get(name, spec.dtype))
            for name, spec in traced.emitted.items()
        }

    def update(
        self, state: Mapping[str, Any], params: Mapping[str, Any], inputs: Mapping[str, Any], k: Any, key: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Do one step; see :meth:`recurra.tracing.Traced.update`."""
        with jax.enable_x64(True):
            after, emitted = self._step(self._carried, state, params, inputs, k, key)
            floats = {**after, **emitted}
            wanted = {**self._carried, **self._put_out}
            found = {p: _as_float(part, wanted[p]) if p in wanted else part.value for p, part in floats.items()}
        return {p: found[p] for p in after}, {p: found[p] for p in emitted}

    def __identity__(self) -> tuple:
        """Return what tells this step from others."""
        return self.traced, self.steps.surrogate, self.steps.slope, self.steps.scale

    def kinds(self) -> dict[str, type]:
        """Return the classes of the objects; see :meth:`recurra.tracing.Traced.kinds`."""
        return self.traced.kinds()

    def current(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return state and parameters as the objects hold them now."""
        state, params = self.traced.current()
        return self._as_floats(state), params

    def _as_floats(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {p: v.astype(self._carried[p]) if p in self._carried else v for p, v in state.items()}

    def _step(
        self, carried: Mapping[str, np.dtype], state: Mapping, params: Mapping, inputs: Mapping, k: Any, key: Any
    ) -> tuple[dict[str, Part], dict[str, Part]]:
        exact = {p: _as_exact(v, self.traced.state[p].dtype) if p in carried else v for p, v in state.items()}
        arguments = self.traced.arguments(exact, params, inputs, k, key)
        twins = [jnp.asarray(state[p], carried[p]) if p in carried else None for p in sorted(self.traced.state)]
        parts = [Part(value) for value in arguments]
        parts[: len(twins)] = [Part(part.value, twin) for part, twin in zip(parts, twins, strict=False)]
        new, emitted = jax.tree.unflatten(self.traced.tree, self.steps.evaluate(self.traced.jaxpr, parts))
        emitted.pop(TROUBLE, None)
        return new, emitted

    def _find_twins(self) -> tuple[dict[str, np.dtype], dict[str, np.dtype]]:
        """Find out which truth values and whole numbers get derivatives, over any number of steps."""
        carried: dict[str, np.dtype] = {}
        while True:
            found: list[dict[str, np.dtype]] = []

            def look(state: dict, params: dict, inputs: dict, key: Any, now: dict = carried, to: list = found) -> int:
                to += [_kinds(parts) for parts in self._step(now, state, params, inputs, np.int32(0), key)]
                return 0

            traced = self.traced
            state = {p: v.astype(carried[p]) if p in carried else v for p, v in traced.state.items()}
            with jax.enable_x64(True):
                jax.eval_shape(look, state, dict(traced.params), dict(traced.inputs), jax.random.key(0))
            after, emitted = found
            if after == carried:
                return carried, emitted
            carried = {p: np.promote_types(kind, carried.get(p, kind)) for p, kind in after.items()} | {
                p: kind for p, kind in carried.items() if p not in after
            }


class Steps:
    """Evaluate programs of JAX with twins.

    Arguments:
        surrogate: a name in `recurra.engine.SURROGATES`.
        slope, scale: how steep it is, and how high where both sides are equal.
    """

    def __init__(self, surrogate: str, slope: float, scale: float):
        self.surrogate, self.slope, self.scale = surrogate, slope, scale

    def evaluate(self, closed: Any, given: Sequence[Part]) -> list[Part]:
        """Evaluate a program on its arguments."""
        jaxpr = closed.jaxpr
        known = {v: Part(c, fixed=True) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}
        known |= dict(zip(jaxpr.invars, given, strict=True))

        def read(atom: Any) -> Part:
            return Part(atom.val, fixed=True) if _is_number(atom) else known[atom]

        for equation in jaxpr.eqns:
            results = self._apply(equation, [read(atom) for atom in equation.invars], jaxpr)
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: Any, parts: list[Part], whole: Any) -> list[Part]:
        name, params = equation.primitive.name, equation.params
        if name in ("jit", "pjit"):
            return self.evaluate(params["jaxpr"], parts)
        if name == "cond":
            return self._branches(params["branches"], parts)
        made = do_alone(equation, [part.value for part in parts], whole)
        fixed = bool(parts) and all(part.fixed for part in parts)
        if len(made) != 1:
            return [Part(value, fixed=fixed) for value in made]
        return [self._with_twin(name, params, parts, made[0])._replace(fixed=fixed)]

    def _with_twin(self, name: str, params: dict, parts: list[Part], made: Any) -> Part:
        kind = made.dtype.kind if isinstance(made.dtype, np.dtype) else ""
        if name in _COMPARISONS and parts[0].value.dtype.kind == "f":
            larger, smaller = (parts[i].value for i in _COMPARISONS[name])
            return Part(made, truth(self.surrogate, self.slope, self.scale, made, larger, smaller))
        if kind not in ("b", "i", "f") or all(part.twin is None for part in parts):
            return Part(made)
        if name == "convert_element_type":
            return _convert(parts[0], made, kind)
        if name == "select_n":
            return _choose(parts, made, kind)
        if name in _SIGNS and parts[0].twin is not None and _is_zero(parts[1].value):
            return _against_zero(parts[0].twin, made, _SIGNS[name])
        of_truths = all(part.value.dtype == bool for part in parts)
        rule = (_LOGIC if kind == "b" and of_truths else {}).get(name) or (_WHOLE if kind == "i" else {}).get(name)
        if rule is not None:
            return Part(made, rule(params, *_twins(parts, kind)))
        if name in _MOVES and kind != "f":
            moved = [t if i in _MOVES[name] or not _MOVES[name] else p.value
                     for i, (t, p) in enumerate(zip(_twins(parts, kind), parts, strict=True))]  # fmt: skip
            return Part(made, _move(name, params, moved))
        return Part(made)

    def _branches(self, branches: Sequence[Any], parts: list[Part]) -> list[Part]:
        """Evaluate what is decided when the model runs; a result has a twin if it has one in any branch."""
        values, twins = [part.value for part in parts[1:]], [part.twin for part in parts[1:]]

        def run(closed: Any, values: list, twins: list) -> list[Part]:
            made = self.evaluate(closed, [Part(v, t) for v, t in zip(values, twins, strict=True)])
            return [part._replace(fixed=None) for part in made]  # type: ignore[arg-type]

        shapes = [jax.eval_shape(lambda v, t, c=c: run(c, v, t), values, twins) for c in branches]
        wanted = [_common([part.twin for part in found]) for found in zip(*shapes, strict=True)]

        def complete(closed: Any) -> Callable[[list, list], list]:
            def branch(values: list, twins: list) -> list:
                found = run(closed, values, twins)
                return [(p.value, None if k is None else _as_float(p, k)) for p, k in zip(found, wanted, strict=True)]

            return branch

        made = lax.switch(parts[0].value, [complete(closed) for closed in branches], values, twins)
        return [Part(value, twin) for value, twin in made]


def _is_number(atom: Any) -> bool:
    return isinstance(atom, jax.extend.core.Literal)


def _kinds(parts: Mapping[str, Part]) -> dict[str, np.dtype]:
    return {p: np.dtype(part.twin.dtype) for p, part in parts.items() if part.twin is not None}


def _common(twins: Sequence[Any]) -> Any:
    kinds = [twin.dtype for twin in twins if twin is not None]
    return jnp.result_type(*kinds) if kinds else None


def _as_float(part: Part, kind: Any) -> Any:
    """Return a truth value or a whole number as a float, with the derivative of its twin."""
    value = jnp.asarray(part.value).astype(kind)
    return value if part.twin is None else differentiated_as(value, part.twin.astype(kind))


def _as_exact(value: Any, kind: np.dtype) -> Any:
    return jnp.asarray(value) != 0 if kind.kind == "b" else jnp.asarray(value).astype(kind)


def _twins(parts: Sequence[Part], kind: str) -> list[Any]:
    """Return all inputs as floats of one type, twins where there are some."""
    common = COUNT if kind == "i" else _common([part.twin for part in parts])
    return [jnp.asarray(p.value if p.twin is None else p.twin).astype(common) for p in parts]


def _convert(part: Part, made: Any, kind: str) -> Part:
    if kind == "f":
        return Part(differentiated_as(made, part.twin.astype(made.dtype)))
    if kind == "i":
        return Part(made, part.twin.astype(COUNT))
    return Part(made, part.twin if part.value.dtype == bool else None)


def _is_zero(value: Any) -> bool:
    return not isinstance(value, jax_core.Tracer) and np.ndim(value) == 0 and value == 0


def _against_zero(count: Any, made: Any, sign: int) -> Part:
    """Compare a number of spikes with 0: a truth value that was made a number becomes one again."""
    one = jnp.where(count <= 1, count, 1.0)
    return Part(made, differentiated_as(made.astype(COUNT), (sign * one).astype(COUNT)))


def _choose(parts: list[Part], made: Any, kind: str) -> Part:
    """Choose between twins as between values; what chooses has a derivative only between two constants."""
    which, cases = parts[0], parts[1:]
    if any(case.twin is not None for case in cases):
        return Part(made, lax.select_n(which.value, *_twins(cases, kind)))
    if len(cases) != 2 or not all(case.fixed for case in cases):
        return Part(made)
    type_of = made.dtype if kind == "f" else COUNT if kind == "i" else which.twin.dtype
    no, yes = (jnp.asarray(case.value).astype(type_of) for case in cases)
    twin = no + which.twin.astype(type_of) * (yes - no)
    return Part(differentiated_as(made, twin)) if kind == "f" else Part(made, twin)


def _move(name: str, params: dict, inputs: list[Any]) -> Any:
    if name == "scatter":  # its parameters hold a function of truth values
        keep = {k: v for k, v in params.items() if k not in ("update_jaxpr", "update_consts")}
        return lax.scatter(*inputs, **keep)
    primitive: Any = getattr(lax, f"{name}_p")
    return primitive.bind(*inputs, **params)


def _rebind(name: str) -> Callable[..., Any]:
    def rule(params: dict, *inputs: Any) -> Any:
        primitive: Any = getattr(lax, f"{name}_p")
        own = {"preferred_element_type": COUNT} if "preferred_element_type" in params else {}
        return primitive.bind(*inputs, **{**params, **own})

    return rule


def _differ(params: dict, a: Any, b: Any) -> Any:
    return a + b - 2 * a * b


# Whether a number of spikes makes a comparison with 0 true or false.
_SIGNS = {"ne": 1, "gt": 1, "eq": -1, "le": -1}
# The positions of the larger and of the smaller side.
_COMPARISONS = {"gt": (0, 1), "ge": (0, 1), "lt": (1, 0), "le": (1, 0)}
_LOGIC: dict[str, Callable[..., Any]] = {
    "and": lambda params, a, b: a * b,
    "or": lambda params, a, b: 1 - (1 - a) * (1 - b),
    "not": lambda params, a: 1 - a,
    "xor": _differ,
    "ne": _differ,
    "eq": lambda params, a, b: 1 - _differ(params, a, b),
    "reduce_and": lambda params, a: jnp.prod(a, params["axes"]),
    "reduce_or": lambda params, a: 1 - jnp.prod(1 - a, params["axes"]),
}
_WHOLE = {name: _rebind(name) for name in ("add", "sub", "mul", "neg", "reduce_sum", "cumsum", "dot_general")}
# Which inputs are moved; the others say where. None are named where all are moved.
_MOVES: dict[str, tuple[int, ...]] = {
    "reshape": (0,), "broadcast_in_dim": (0,), "transpose": (0,), "squeeze": (0,), "slice": (0,), "rev": (0,),
    "copy": (0,), "concatenate": (), "pad": (), "dynamic_slice": (0,), "dynamic_update_slice": (0, 1), "gather": (0,),
    "scatter": (0, 2),
}  # fmt: skip
