"""Simulate a GLM as a recurrent network."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.custom_batching import sequential_vmap
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import warn
from recurra.engine.counts import draw_poisson, prepare_poisson
from recurra.engine.interrupts import check, interruptible
from recurra.engine.loop import scan_rows
from recurra.errors import DivergenceError, OptionError, ShapeError, unknown
from recurra.glm.coupled import Coupled
from recurra.glm.links import InverseLink, find_inverse_link
from recurra.glm.observations import ObservationModel, Poisson, find_observation_model

BLOCK = 1024  # steps whose random numbers are drawn at a time
PIECE = 2e8  # nanoseconds, roughly, of a piece between two looks for Ctrl-C
COUNT_LIMIT, VALUE_LIMIT = 1e6, 1e30
RUNAWAY = ("warn", "raise", "ignore")


def simulate_recurrent(
    coupling_coef: ArrayLike,
    feedforward_coef: ArrayLike | None,
    intercepts: ArrayLike,
    random_key: Any,
    feedforward_input: Any = None,
    coupling_basis_matrix: Any = None,
    init_y: Any = None,
    inverse_link_function: str | InverseLink = jax.nn.softplus,
    *,
    observation_model: str | ObservationModel = "Poisson",
    scale: ArrayLike = 1.0,
    n_time_bins: int | None = None,
    trials: int | None = None,
    on_runaway: str = "warn",
    max_rate: float | None = None,
) -> tuple[Array, Array]:
    """Simulate neural activity using the GLM as a recurrent network.

    The linear predictor of neuron i in bin t is the sum over senders j, functions m and lags l = 1 ... window of
    `coupling_coef[i, j, m] * coupling_basis_matrix[l-1, m] * y[t-l, j]`, plus that over k of `feedforward_coef[i, k] *
    feedforward_input[t, i, k]`, plus `intercepts[i]` (Truccolo et al. 2005; Pillow et al. 2008). Bin t is drawn with
    the t-th of `jax.random.split(random_key, n_time_bins)`.

    It compiles once for the shapes, the link and the model, works under `jax.jit` and `jax.vmap`, and the rates can be
    differentiated with respect to every array, with the observations held fixed. The precision is that of the arrays
    and of JAX's setting.

    Arguments:
        coupling_coef: `(n_neurons (receiver), n_neurons (sender), n_basis_coupling)`.
        feedforward_coef: `(n_neurons, n_basis_input)`; may be None without an input.
        intercepts: `(n_neurons,)`.
        random_key: a key of JAX, of either kind, or a whole number.
        feedforward_input: `(n_time_bins, n_neurons, n_basis_input)`; None for coupling only.
        coupling_basis_matrix: `(window_size, n_basis_coupling)`; row 0 is a lag of one bin.
        init_y: what was observed before, `(window_size, n_neurons)`, oldest row first; zeros if None.
        inverse_link_function: from the linear predictor to the mean count in a bin; a function of JAX or its name. A
            new function object (a lambda in a loop) compiles anew.
        observation_model: `"Poisson"`, `"Bernoulli"`, `"NegativeBinomial"`, `"Gamma"`, `"Gaussian"`, or an object.
        scale: the scale of the observation model, a number or one for each neuron.
        n_time_bins: how many bins; needed without an input.
        trials: number of independent trials; adds a first axis to both results.
        on_runaway: `"warn"`, `"raise"` or `"ignore"` when a mean passes `max_rate`. Traced calls do not report.
        max_rate: where means are cut off; 1e6 counts in a bin, 1e30 for models that do not count.

    Returns:
        The simulated activity and the firing rates (means), both `(n_time_bins, n_neurons)`.

    Raises:
        ShapeError: the numbers of neurons, functions or lags do not agree.
        OptionError: a number is not finite, or an option is unknown.
        DivergenceError: activity has run away and `on_runaway="raise"`; or a mean is not a number or below zero.
        TypeError: `coupling_basis_matrix` is missing, or the key is none.

    >>> spikes, rates = simulate_recurrent(
    ...     np.zeros((2, 2, 1)), np.ones((2, 1)), -2 * np.ones(2), jax.random.key(0), np.zeros((50, 2, 1)),
    ...     np.ones((5, 1)), np.zeros((5, 2)))
    >>> spikes.shape, rates.shape
    ((50, 2), (50, 2))
    """
    if on_runaway not in RUNAWAY:
        raise OptionError(unknown("value of on_runaway", on_runaway, RUNAWAY))
    observation = find_observation_model(observation_model)
    given = (coupling_coef, feedforward_coef, intercepts, feedforward_input, coupling_basis_matrix, init_y, scale)
    if coupling_basis_matrix is None:
        raise TypeError("simulate_recurrent: coupling_basis_matrix is missing; give (window_size, n_basis_coupling).")
    arrays = _arrays(given, n_time_bins)
    traced = any(isinstance(a, Tracer) for a in (*arrays.values(), random_key))
    limit = max_rate
    if limit is None:
        limit = COUNT_LIMIT if Coupled(jnp.exp, observation, 0.0).counts else VALUE_LIMIT
    plan = Coupled(find_inverse_link(inverse_link_function), observation, float(limit))
    key = _key(random_key)
    if trials is not None:
        if isinstance(trials, bool) or not isinstance(trials, int | np.integer) or trials < 1:
            raise OptionError(f"simulate_recurrent: trials must be a whole number above zero or None, got {trials!r}.")
        key = jax.random.split(key, int(trials))
    if traced or (size := _piece_steps(plan, arrays)) >= len(arrays["feedforward_input"]):
        y, rates = _simulate(plan, key, arrays)
    else:
        y, rates = _simulate_in_pieces(plan, key, arrays, size)
    if not traced:
        _report(plan, y, rates, on_runaway)
    return y, rates


def _piece_steps(plan: Coupled, arrays: dict[str, Array]) -> int:
    """Return how many steps take no longer than someone waits who has pressed Ctrl-C."""
    neurons, _, functions = arrays["coupling_coef"].shape
    cost = neurons * (20 if plan.counts else 20 + neurons * functions)
    return BLOCK * max(1, int(PIECE / (cost * BLOCK)))


def _simulate_in_pieces(plan: Coupled, key: Array, arrays: dict[str, Array], size: int) -> tuple[Array, Array]:
    """Do what :func:`_simulate` does, in the same numbers, and look for Ctrl-C between pieces of some blocks."""
    a = arrays
    with interruptible():
        fixed, trials = (a["coupling_coef"], a["coupling_basis_matrix"]), []
        drive, begin = _begin(plan, arrays)
        for one in key if key.ndim else [key]:
            keys, state, found = jax.random.split(one, len(drive)), begin, []
            for at in range(0, len(drive), size):
                check()
                part = slice(at, at + size)
                state, y, rates = _piece(plan, state, keys[part], *fixed, drive[part], a["scale"])
                found.append(jax.block_until_ready((y, rates)))
            trials.append(tuple(jnp.concatenate(parts) for parts in zip(*found, strict=True)))
    return tuple(jnp.stack(p) for p in zip(*trials, strict=True)) if key.ndim else trials[0]  # type: ignore


@jax.jit
def _drive(coef: Array, given: Array, intercepts: Array) -> Array:
    return jnp.einsum("ik,tik->ti", coef, given) + intercepts[None, :]


@partial(jax.jit, static_argnums=0)
def _begin(plan: Coupled, arrays: dict[str, Array]) -> tuple[Array, Any]:
    a = arrays
    drive = _drive(a["feedforward_coef"], a["feedforward_input"], a["intercepts"])
    return drive, plan.start(a["coupling_coef"], a["coupling_basis_matrix"], a["init_y"])


@partial(jax.jit, static_argnums=0)
def _simulate(plan: Coupled, key: Array, arrays: dict[str, Array]) -> tuple[Array, Array]:
    a = arrays
    drive = _drive(a["feedforward_coef"], a["feedforward_input"], a["intercepts"])
    numbers = (a["coupling_coef"], a["coupling_basis_matrix"], drive, a["init_y"], a["scale"])
    if drive.shape[0] == 0:
        whole = jnp.result_type(int) if plan.counts else drive.dtype
        return jnp.zeros((*key.shape, *drive.shape), whole), jnp.zeros((*key.shape, *drive.shape), drive.dtype)
    if key.ndim:
        return jax.vmap(lambda k: _run(plan, k, *numbers))(key)
    return _run(plan, key, *numbers)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _run(plan: Coupled, key: Array, coupling: Array, basis: Array, drive: Array, history: Array, scale: Array) -> Any:
    # Loops over events take each element of a batch in turn: together they would all wait for the busiest.
    return sequential_vmap(partial(_loop, plan))(key, coupling, basis, drive, history, scale)


@_run.defjvp
def _run_jvp(plan: Coupled, primals: tuple, tangents: tuple) -> tuple:
    y, rates = _run(plan, *primals)
    _, coupling, basis, drive, history, _ = primals
    _, *directions, _ = tangents
    held = lax.stop_gradient(y)
    _, moved = jax.jvp(partial(plan.given, held), (coupling, basis, drive, history), tuple(directions))
    whole = jnp.issubdtype(y.dtype, jnp.integer)
    still = np.zeros(y.shape, jax.dtypes.float0) if whole else jnp.zeros_like(y)
    return (y, rates), (still, moved)


def _loop(
    plan: Coupled, key: Array, coupling: Array, basis: Array, drive: Array, history: Array, scale: Array
) -> tuple[Array, Array]:
    keys = jax.random.split(key, drive.shape[0])
    return _steps(plan, plan.start(coupling, basis, history), keys, coupling, basis, drive, scale)[1:]


@partial(jax.jit, static_argnums=0)
def _piece(
    plan: Coupled, state: Any, keys: Array, coupling: Array, basis: Array, drive: Array, scale: Array
) -> tuple[Any, Array, Array]:
    return _steps(plan, state, keys, coupling, basis, drive, scale)


def _steps(
    plan: Coupled, state: Any, keys: Array, coupling: Array, basis: Array, drive: Array, scale: Array
) -> tuple[Any, Array, Array]:
    """Return the state after some steps, and what was observed and its means; whole blocks leave the right state."""
    steps, neurons = drive.shape
    blocks = -(-steps // BLOCK)
    size = -(-steps // blocks)
    missing = blocks * size - steps  # steps after the last one, simulated and thrown away
    keys = jnp.concatenate([keys, keys[:1].repeat(missing)]) if missing else keys
    drive = jnp.pad(drive, ((0, missing), (0, 0)))
    params = plan.parameters(coupling, basis, jnp.zeros((neurons,), drive.dtype), scale)
    poisson = isinstance(plan.observation, Poisson)

    def block(state: Any, b: Array) -> tuple[Any, tuple[Array, Array]]:
        mine = lax.dynamic_slice_in_dim(keys, b * size, size)
        prepared = prepare_poisson(mine, neurons) if poisson else mine

        def row(state: Any, j: Array) -> tuple[Any, tuple[Array, Array]]:
            now = jax.tree.map(lambda p: lax.dynamic_index_in_dim(p, j, 0, keepdims=False), prepared)

            def draw(mean: Array) -> Array:
                mean = plan.drawable(mean)
                return draw_poisson(now, mean) if poisson else plan.observation.sample(now, mean, scale)

            here = lax.dynamic_index_in_dim(drive, b * size + j, 0, keepdims=False)
            state, y, mean = plan.advance(state, params, here, draw)
            return state, (y, mean)

        return scan_rows(row, state, size)

    state, found = scan_rows(block, state, blocks)
    y, rates = (f.reshape(blocks * size, neurons)[:steps] for f in found)
    return state, y, rates


def _key(random_key: Any) -> Array:
    if isinstance(random_key, bool):
        raise TypeError("random_key: expected a key such as jax.random.key(0), or a whole number, got a truth value.")
    if isinstance(random_key, int | np.integer):
        return jax.random.key(int(random_key))
    array = random_key if isinstance(random_key, jax.Array) else jnp.asarray(random_key)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) and array.ndim == 0:
        return array
    if array.dtype == jnp.uint32 and array.shape == (2,):
        return jax.random.wrap_key_data(array)
    raise TypeError(f"random_key: expected a key such as jax.random.key(0), or a whole number, got {random_key!r}.")


WANTED = {
    "coupling_coef": ("n_neurons (receiver)", "n_neurons (sender)", "n_basis_coupling"),
    "feedforward_coef": ("n_neurons", "n_basis_input"),
    "intercepts": ("n_neurons",),
    "feedforward_input": ("n_time_bins", "n_neurons", "n_basis_input"),
    "coupling_basis_matrix": ("window_size", "n_basis_coupling"),
    "init_y": ("window_size", "n_neurons"),
}


def _arrays(given: tuple, n_time_bins: int | None) -> dict[str, Any]:
    """Return the arrays by name, in one precision, with checked shapes and numbers."""
    *values, scale = given
    found = {n: _array(n, v) for n, v in zip(WANTED, values, strict=True) if v is not None}
    for name, array in found.items():
        if np.ndim(array) != len(WANTED[name]):
            raise ShapeError(f"{name}: expected ({', '.join(WANTED[name])}), got the shape {np.shape(array)}.")
    neurons = found["coupling_coef"].shape[0]
    window = found["coupling_basis_matrix"].shape[0]
    found.setdefault("init_y", np.zeros((window, neurons), int))
    _fill_input(found, n_time_bins, neurons)
    _agree(found, n_time_bins)
    found["scale"] = _array("scale", scale)
    if np.shape(found["scale"]) not in ((), (neurons,)):
        raise ShapeError(f"scale: expected a number or one for each of {neurons} neurons, got {np.shape(scale)}.")
    if found["coupling_coef"].shape[2] == 0:  # no functions are as good as one whose weights are zero
        found["coupling_coef"] = np.zeros((neurons, neurons, 1), int)
        found["coupling_basis_matrix"] = np.zeros((window, 1), int)
    floats = [a for n, a in found.items() if n != "scale" and a.dtype.kind not in "biu"]
    dtype = jnp.result_type(*floats) if floats else jnp.result_type(float)
    # NumPy arrays are converted here, because each conversion by JAX would compile a program of its own.
    return {n: a.astype(dtype) if isinstance(a, jax.Array) else np.asarray(a, dtype) for n, a in found.items()}


def _fill_input(found: dict[str, Any], n_time_bins: int | None, neurons: int) -> None:
    if "feedforward_input" in found:
        if "feedforward_coef" not in found:
            raise ShapeError("feedforward_coef: a feedforward_input needs coefficients (n_neurons, n_basis_input).")
        return
    if n_time_bins is None or isinstance(n_time_bins, bool) or not isinstance(n_time_bins, int | np.integer):
        raise OptionError(f"n_time_bins: without feedforward_input give the number of bins, got {n_time_bins!r}.")
    if n_time_bins < 0:
        raise OptionError(f"n_time_bins: expected zero or above, got {n_time_bins}.")
    coefficients = found.setdefault("feedforward_coef", np.zeros((neurons, 0), int))
    if coefficients.shape[0] == neurons:  # without an input there is nothing to weight; a wrong shape is told below
        found["feedforward_coef"] = np.zeros((neurons, 0), int)
    found["feedforward_input"] = np.zeros((n_time_bins, neurons, 0), int)


def _array(name: str, value: Any) -> Any:
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype.kind not in "biuf" and array.dtype != jnp.bfloat16:
        raise TypeError(f"{name}: expected an array of real numbers, got {array.dtype} ({type(value).__name__}).")
    if not isinstance(array, Tracer):
        bad = ~np.isfinite(np.asarray(array))
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise OptionError(f"{name}: {np.asarray(array)[place]} at {place} is not finite; "
                              f"{int(bad.sum())} such number(s).")  # fmt: skip
    return array


def _agree(found: dict[str, Any], n_time_bins: int | None) -> None:
    sizes: dict[str, dict[str, int]] = {}
    for name, axes in WANTED.items():
        for axis, size in zip(axes, np.shape(found[name]), strict=True):
            sizes.setdefault(axis.split(" ")[0], {})[f"{name} ({axis})"] = size
    what = {"n_neurons": "The number of neurons is", "n_basis_coupling": "The number of coupling functions is",
            "n_basis_input": "The number of feedforward functions is", "window_size": "The window size is"}  # fmt: skip
    for axis, text in what.items():
        if len(set(sizes[axis].values())) > 1:
            told = ", ".join(f"{place}: {size}" for place, size in sizes[axis].items())
            raise ShapeError(f"simulate_recurrent: {text} inconsistent: {told}.")
    for axis in ("window_size", "n_neurons"):
        if 0 in sizes[axis].values():
            raise ShapeError(f"simulate_recurrent: {axis} must be above zero.")
    bins = np.shape(found["feedforward_input"])[0]
    if n_time_bins is not None and n_time_bins != bins:
        raise ShapeError(f"n_time_bins: got {n_time_bins}, but feedforward_input has {bins}; leave it out.")


def _report(plan: Coupled, y: Array, rates: ArrayLike, on_runaway: str) -> None:
    """Say which neuron ran away first, and when; refuse means that no count can be drawn with."""
    rates = np.asarray(rates)
    if rates.size == 0:
        return
    low, high = float(rates.min()), float(rates.max())
    if plan.counts and low < 0:
        where, text = _first(rates < 0)
        raise DivergenceError(
            f"simulate_recurrent: the mean of {text} is {float(rates[where]):.4g}; counts need one of zero or above. "
            "Choose an inverse link such as exp or softplus.", f"neuron {where[-1]}", where[-2], float(where[-2]),
            (y, rates),
        )  # fmt: skip
    if np.isnan(low) or np.isnan(high):
        where, text = _first(np.isnan(rates))
        raise DivergenceError(f"simulate_recurrent: the mean of {text} is not a number; check the inverse link.",
                              f"neuron {where[-1]}", where[-2], float(where[-2]), (y, rates))  # fmt: skip
    limit = float(np.asarray(plan.limit, rates.dtype))
    if on_runaway == "ignore" or (high < limit and -low < limit):
        return
    where, text = _first(np.abs(rates) >= limit)
    message = (
        f"simulate_recurrent: activity ran away: the mean of {text} reached the limit of {limit:.3g}, and was cut off "
        "there from then on. The coupling amplifies activity: weaken it, or see recurra.glm.analyse_stability."
    )
    if on_runaway == "raise":
        raise DivergenceError(message, f"neuron {where[-1]}", where[-2], float(where[-2]), (y, rates))
    warn(message, RuntimeWarning)


def _first(bad: np.ndarray) -> tuple[tuple[int, ...], str]:
    # In time first: the bin in which any neuron of any trial is bad, then the place in it.
    found = np.argwhere(bad)
    place = tuple(int(i) for i in found[np.argmin(found[:, -2])])
    text = f"neuron {place[-1]} in bin {place[-2]}"
    return place, text if len(place) == 2 else f"{text} of trial {place[0]}"
