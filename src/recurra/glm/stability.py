"""Will coupled neurons stay quiet? The linearised coupling of a GLM, its spectral radius and its branching ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.links import InverseLink, find_inverse_link

DENSE = 400  # states up to which all eigenvalues are computed


@dataclass(frozen=True, eq=False)
class StabilityReport:
    """Hold what the linearised coupling says.

    Attributes:
        spectral_radius: factor by which a small deviation of the rates grows or shrinks in a bin, in the long run; the
            activity is stable below 1.
        branching_ratio: spectral radius of `offspring`: how many spikes follow, in the long run, from one spike,
            counted by generations.
        offspring: `(receiver, sender)`, how many spikes of the receiver one spike of the sender adds in all.
        rates: the mean counts in a bin around which the coupling was linearised, `(neurons,)`.
        gains: slope of the inverse link there, `(neurons,)`.
        fixed_point: whether `rates` reproduce themselves through the coupling; if not, they are those without it.

    >>> weights = np.array([[0.0, 0.9], [0.4, 0.0]])[:, :, None]  # one basis function, one bin long
    >>> report = analyse_stability(weights, np.ones((1, 1)), [1.0, 1.0], "identity")
    >>> report.offspring.tolist(), round(report.branching_ratio, 6), report.stable  # sqrt(0.9 * 0.4)
    ([[0.0, 0.9], [0.4, 0.0]], 0.6, True)
    """

    spectral_radius: float
    branching_ratio: float
    offspring: np.ndarray
    rates: np.ndarray
    gains: np.ndarray
    fixed_point: bool

    __repr__ = brief

    @property
    def stable(self) -> bool:
        """Whether small deviations die out around rates that reproduce themselves."""
        return self.fixed_point and self.spectral_radius < 1

    def __str__(self) -> str:
        around = "self-consistent rates" if self.fixed_point else "the rates without coupling (no others were found)"
        verdict = "stable" if self.stable else "not stable: activity may run away"
        return (f"{verdict}. Around {around}, spectral radius {self.spectral_radius:.4g} a bin, branching ratio "
                f"{self.branching_ratio:.4g}.")  # fmt: skip


def analyse_stability(
    coupling_coef: ArrayLike,
    coupling_basis_matrix: ArrayLike,
    intercepts: ArrayLike,
    inverse_link_function: str | InverseLink = jax.nn.softplus,
    *,
    drive: ArrayLike = 0.0,
    rates: ArrayLike | None = None,
) -> StabilityReport:
    """Linearise coupled neurons around their mean rates, and say whether deviations grow.

    A deviation obeys `x_i(t) = g_i * sum over j, l of F_ij(l) x_j(t-l)`, with the filters F and the slopes g of the
    inverse link: the rates of a Hawkes process for the identity link (Hawkes 1971), in discrete time a vector
    autoregression, whose companion matrix has the spectral radius (Luetkepohl 2005). Fluctuations are left out: a link
    that bends upwards, like exp, can run away through them although this report says stable.

    Arguments:
        coupling_coef: `(receiver, sender, functions)`.
        coupling_basis_matrix: `(window, functions)`; row 0 is a lag of one bin.
        intercepts: `(neurons,)`.
        inverse_link_function: as for :func:`simulate_recurrent`.
        drive: what is added to the linear predictors, a number or `(neurons,)`.
        rates: the mean rates, if they are known (`spikes.mean(axis=0)`); found from the model if None.

    Returns:
        A :class:`StabilityReport`.

    Raises:
        ShapeError: shapes do not agree.
        OptionError: numbers are not finite.
        CapabilityError: the eigenvalues of a large coupling could not be found.

    >>> report = analyse_stability(0.5 * np.ones((1, 1, 1)), np.ones((1, 1)), [1.0], "identity")
    >>> round(report.spectral_radius, 6), round(report.branching_ratio, 6), report.rates.tolist()
    (0.5, 0.5, [2.0])
    """
    coupling, basis, offset = (np.asarray(a, float) for a in (coupling_coef, coupling_basis_matrix, intercepts))
    neurons = coupling.shape[0] if coupling.ndim == 3 else -1
    if coupling.ndim != 3 or basis.ndim != 2 or coupling.shape != (neurons, neurons, basis.shape[1]):
        raise ShapeError(f"expected coupling_coef (n, n, functions) and coupling_basis_matrix (window, functions), got "
                         f"{coupling.shape} and {basis.shape}.")  # fmt: skip
    if offset.shape != (neurons,) or np.shape(drive) not in ((), (neurons,)):
        raise ShapeError(f"expected intercepts ({neurons},) and a drive that is a number or ({neurons},), got "
                         f"{offset.shape} and {np.shape(drive)}.")  # fmt: skip
    offset = offset + np.asarray(drive, float)
    if not all(np.all(np.isfinite(a)) for a in (coupling, basis, offset)):
        raise OptionError("coupling_coef, coupling_basis_matrix, intercepts and drive must be finite.")
    filters = np.einsum("lm,ijm->lij", basis, coupling)
    total = filters.sum(axis=0)
    link = find_inverse_link(inverse_link_function)
    settled = True
    if rates is None:
        rates, settled = _settle(link, total, offset)
    else:
        rates = np.asarray(rates, float)
        if rates.shape != (neurons,):
            raise ShapeError(f"rates: expected ({neurons},), got {rates.shape}.")
    predictor = offset + (total @ rates if settled else 0.0)
    gains = _slope(link, predictor)
    offspring = gains[:, None] * total
    return StabilityReport(
        _radius(gains[None, :, None] * filters), float(np.abs(np.linalg.eigvals(offspring)).max()), offspring,
        np.asarray(rates), gains, settled,
    )  # fmt: skip


def _value(link: InverseLink, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(link(jnp.asarray(x, float)), float)


def _slope(link: InverseLink, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(jax.grad(link))(jnp.asarray(x, float)), float)


def _settle(link: InverseLink, total: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, bool]:
    """Find rates that reproduce themselves, by Newton steps that are halved while they do not help."""
    start = _value(link, offset)
    rates, miss = start, _value(link, offset + total @ start) - start
    for _ in range(100):
        size = np.abs(miss).max()
        if not np.isfinite(size) or size <= 1e-13 * max(1.0, np.abs(rates).max()):
            break
        jacobian = np.eye(len(rates)) - _slope(link, offset + total @ rates)[:, None] * total
        step = np.linalg.lstsq(jacobian, miss, rcond=None)[0]
        for _ in range(30):
            trial = rates + step
            off = _value(link, offset + total @ trial) - trial
            if np.abs(off).max() < size:
                break
            step = step / 2
        else:
            break
        rates, miss = trial, off
    fine = bool(np.all(np.isfinite(rates)) and np.abs(miss).max() <= 1e-9 * max(1.0, np.abs(rates).max()))
    return (rates, True) if fine else (start, False)


def _radius(filters: np.ndarray) -> float:
    """Return the spectral radius of the companion matrix of `x(t) = sum over l of filters[l-1] @ x(t-l)`."""
    window, neurons, _ = filters.shape
    if not np.any(filters):
        return 0.0
    wide = filters.transpose(1, 0, 2).reshape(neurons, window * neurons)

    def apply(x: Any) -> np.ndarray:
        return np.concatenate([wide @ x, x[:-neurons]]) if window > 1 else wide @ x

    size = window * neurons
    if size <= DENSE:
        matrix = np.column_stack([apply(column) for column in np.eye(size)])
        return float(np.abs(np.linalg.eigvals(matrix)).max())
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    # A fixed start makes the same report every time.
    start = np.random.default_rng(0).normal(size=size)
    operator = LinearOperator((size, size), matvec=apply, dtype=float)  # pyright: ignore[reportCallIssue]
    try:
        found = eigs(operator, k=1, which="LM", v0=start, ncv=60, maxiter=5000, return_eigenvectors=False)
    except ArpackNoConvergence as problem:
        raise CapabilityError(f"the eigenvalues of the coupling, {neurons} neurons by {window} lags, were not found; "
                              "use a shorter window or fewer neurons.") from problem  # fmt: skip
    return float(np.abs(found).max())
