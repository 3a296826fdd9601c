"""Look into a rate network: principal components of its trajectories, fixed and slow points, their stability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError
from recurra.rate.connectivity import generator
from recurra.rate.lowering import CEILING
from recurra.rate.model import FR_RNN_dale


@dataclass(frozen=True, eq=False)
class Components:
    """Hold principal components.

    Arguments:
        mean: `(units,)`.
        axes: `(components, units)`, orthonormal, the one with the largest variance first.
        explained: part of the variance along each axis.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def project(self, rates: ArrayLike) -> np.ndarray:
        """Return coordinates `(..., components)` of rates `(..., units)`."""
        return (np.asarray(rates, float) - self.mean) @ self.axes.T


def principal_components(rates: ArrayLike, count: int = 3) -> Components:
    """Find the directions in which trajectories vary most (Pearson 1901).

    Arguments:
        rates: `(time, units)` or `(trials, time, units)`.
        count: number of components.

    Returns:
        The components; each axis has its largest entry positive.

    Raises:
        ShapeError: no such array.
        OptionError: more components than units or rows.

    >>> found = principal_components([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0]], 1)
    >>> found.axes.round(3), found.explained
    (array([[0.6, 0.8]]), array([1.]))
    """
    array = np.asarray(rates, float)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ShapeError(f"rates: got shape {array.shape}, expected (time, units) or (trials, time, units).")
    rows = array.reshape(-1, array.shape[-1])
    if not 1 <= count <= min(rows.shape):
        raise OptionError(f"count must be from 1 to {min(rows.shape)}, got {count!r}.")
    mean = rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    total = float(np.sum(sizes**2)) or 1.0
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return Components(mean, (axes * np.where(largest < 0, -1.0, 1.0))[:count], sizes[:count] ** 2 / total)


@dataclass(frozen=True, eq=False)
class Points:
    """Hold points at which a network moves slowly or not at all.

    Arguments:
        x: `(points, N)`.
        speed: length of dx/dt at each, `(points,)`, per step of 5 ms.
        eigenvalues: of the linearised dynamics, `(points, N)` complex, per step of 5 ms, the largest real part first.
    """

    x: np.ndarray
    speed: np.ndarray
    eigenvalues: np.ndarray

    @property
    def stable(self) -> np.ndarray:
        """Say of each point whether all eigenvalues have a negative real part."""
        return np.real(self.eigenvalues[:, 0]) < 0

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Points({len(self)}, {int(self.stable.sum())} stable, speed up to {self.speed.max(initial=0):.2g})"


SLOPES: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "sigmoid": lambda x: (_logistic(x), _logistic(x) * _logistic(-x)),
    "softplus": lambda x: (np.minimum(np.logaddexp(x, 0), CEILING), _logistic(x) * (np.logaddexp(x, 0) < CEILING)),
    "clipped_relu": lambda x: (np.clip(x, 0, CEILING), ((x > 0) & (x < CEILING)).astype(float)),
}


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def flow(net: FR_RNN_dale, x: ArrayLike, u: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return dx/dt without noise and its derivative by x, at one point.

    Arguments:
        net: the network.
        x: `(N,)`.
        u: `(inputs,)`, a constant input; 0 if `None`.

    Returns:
        `(N,)` and `(N, N)`, per step of 5 ms.
    """
    w, tau = net.effective_w, net.tau
    now, drive = np.asarray(x, float), np.zeros(net.w_in.shape[1]) if u is None else np.asarray(u, float).reshape(-1)
    if now.shape != (net.N,) or drive.shape != (net.w_in.shape[1],):
        raise ShapeError(f"x and u: got shapes {now.shape} and {drive.shape}, expected ({net.N},) and"
                         f" ({net.w_in.shape[1]},).")  # fmt: skip
    rates, slopes = SLOPES[net.activation](now)
    return (w @ rates + net.w_in @ drive - now) / tau, (w * slopes - np.eye(net.N)) / tau[:, None]


def fixed_points(
    net: FR_RNN_dale,
    starts: ArrayLike | int = 50,
    *,
    u: ArrayLike | None = None,
    slow: float = 0.0,
    apart: float = 1e-3,
    seed: int = 0,
) -> Points:
    """Find where a network rests, from many starts, by Newton-like steps (Sussillo & Barak 2013).

    Arguments:
        net: the network.
        starts: `(starts, N)` values of x, such as those of trajectories, or how many to draw.
        u: a constant input.
        slow: also keep points where half the square of the speed has a minimum, if their speed is below this.
        apart: points nearer than this are one.
        seed: of the starts.

    Returns:
        The points, the slowest first.

    Raises:
        ShapeError: starts of another size.
    """
    from scipy.optimize import least_squares

    if isinstance(starts, (int, np.integer)):
        begin = generator(seed, "start").normal(scale=2.0, size=(int(starts), net.N))
    else:
        begin = np.atleast_2d(np.asarray(starts, float))
    if begin.ndim != 2 or begin.shape[1] != net.N:
        raise ShapeError(f"starts: got shape {begin.shape}, expected (starts, {net.N}).")
    found: list[tuple[float, np.ndarray]] = []
    for start in begin:
        # The scale by tau turns the speed into a distance, which conditions the steps better.
        ended = least_squares(
            lambda x: flow(net, x, u)[0] * net.tau, start,
            lambda x: flow(net, x, u)[1] * net.tau[:, None],  # type: ignore[arg-type]
            method="lm" if net.activation == "sigmoid" else "trf", xtol=1e-12, ftol=1e-12, gtol=1e-12,
        )  # fmt: skip
        speed = float(np.linalg.norm(flow(net, ended.x, u)[0]))
        known = any(np.linalg.norm(ended.x - other) < apart * np.sqrt(net.N) for _, other in found)
        if speed < max(slow, 1e-8) and not known:
            found.append((speed, ended.x))
    found.sort(key=lambda pair: pair[0])
    values = [np.linalg.eigvals(flow(net, x, u)[1]) for _, x in found]
    ordered = [v[np.argsort(-v.real, kind="stable")] for v in values]
    return Points(
        np.array([x for _, x in found]).reshape(-1, net.N),
        np.array([speed for speed, _ in found]),
        np.array(ordered).reshape(-1, net.N),
    )
