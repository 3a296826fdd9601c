"""A rate network as a graph of the engine: three nodes, three edges, and the equations of Kim et al. 2019."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.engine import Edge, Graph, Node, Operator, Variable
from recurra.equations import parse_equation
from recurra.errors import OptionError, ShapeError, TimeError, unknown

KIM_NOISE = 0.1  # standard deviation added in each step of the published model
STEP_MS = 5.0  # one step of the published model, the unit of its time constants
CEILING = 20.0

#: Transfer functions; the two without a bound are cut off at 20, as in the published model.
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "sigmoid": "r = sigmoid(x)",
        "clipped_relu": f"r = where(x < {CEILING}, relu(x), {CEILING})",
        # softplus reaches 20 at log(expm1(20)).
        "softplus": f"r = where(x < {float(np.log(np.expm1(CEILING)))!r}, softplus(x), {CEILING})",
    }
)

#: Noise: `kim` adds the same to every step and takes no account of dt and tau (Kim, Li & Sejnowski 2019); `ou` leaves
#: x with the standard deviation sigma when nothing else drives it (Ornstein & Uhlenbeck 1930). For that the noise of
#: steps of finite length is smaller than the sqrt(2/tau) of continuous time (Song, Yang & Wang 2016), which would leave
#: sigma / sqrt(1 - step / (2 tau)).
NOISES: Mapping[str, str] = MappingProxyType(
    {"kim": " + sigma*xi", "ou": " + sigma*sqrt((2 - step/tau)/tau)*xi", "none": ""}
)

#: Name of a number of the model -> its path in the program.
PATHS: Mapping[str, str] = MappingProxyType(
    {
        "w": "w/weight",
        "w_in": "w_in/weight",
        "w_out": "w_out/weight",
        "b_out": "output/op/b",
        "tau": "units/op/tau",
        "sigma": "units/op/sigma",
        "x": "units/op/x",
    }
)
STIMULUS, OUTPUT, PERTURBATION = "input/op/u", "output/op/o", "units/op/perturbation"


def rate_graph(
    weights: Mapping[str, np.ndarray], activation: str, noise: str, name: str, dt: float | None = None
) -> Graph:
    """Describe a rate network to the engine.

    Arguments:
        weights: effective `w` `(N, N)`, `w_in` `(N, inputs)`, `w_out` `(outputs, N)`, `b_out` `(outputs,)`, `tau`
            `(N,)` in the unit of time, `sigma` and `x` `(N,)`, and for `ou` noise the `step`.
        activation: a name in `ACTIVATIONS`.
        noise: a name in `NOISES`.
        name: of the network, for people.
        dt: the step that it is for; any if `None`.

    Returns:
        The graph: `input`, `units` and `output`.

    Raises:
        OptionError: an unknown name.
    """
    if activation not in ACTIVATIONS:
        raise OptionError(unknown("activation", activation, ACTIVATIONS))
    if noise not in NOISES:
        raise OptionError(unknown("noise", noise, NOISES))
    current = f"x' = (drive - x)/tau{NOISES[noise]} + perturbation"
    variables = {
        "x": Variable("state", unit="mV"),
        "r": Variable("algebraic"),
        "drive": Variable("input"),
        "perturbation": Variable("input"),
        "tau": Variable("parameter", 1.0),
    }
    values: dict[str, Any] = {"op/tau": weights["tau"], "op/x": weights["x"]}
    if NOISES[noise]:
        variables["sigma"] = Variable("parameter", 0.0)
        values["op/sigma"] = weights["sigma"]
    if noise == "ou":
        variables["step"] = Variable("parameter", 1.0)
        values["op/step"] = weights["step"]
    units = Operator((parse_equation(current), parse_equation(ACTIVATIONS[activation])), variables)
    entry = Operator((parse_equation("s = u"),), {"s": Variable("algebraic"), "u": Variable("input")})
    readout = Operator(
        (parse_equation("o = y + b"),),
        {"o": Variable("algebraic"), "y": Variable("input"), "b": Variable("parameter", 0.0)},
    )
    outputs, size = weights["w_out"].shape
    nodes = {
        "input": Node({"op": entry}, weights["w_in"].shape[1]),
        "units": Node({"op": units}, size, values),
        "output": Node({"op": readout}, outputs, {"op/b": weights["b_out"]}),
    }
    edges = (
        Edge("input/op/s", "units/op/drive", weights["w_in"], label="w_in"),
        Edge("units/op/r", "units/op/drive", weights["w"], label="w"),
        Edge("units/op/r", "output/op/y", weights["w_out"], label="w_out"),
    )
    return Graph(nodes, edges, name, STIMULUS, OUTPUT, dt)


def effective_weights(w: Any, signs: Any, som_mask: Any, apply_dale: bool) -> Any:
    """Return the weights that act, W = relu(w) D * M (Kim, Li & Sejnowski 2019, after Song, Yang & Wang 2016).

    Arguments:
        w: `(N, N)`, what is trained, of any sign.
        signs: `(N,)`, +1 or -1 for each presynaptic unit: the diagonal of D.
        som_mask: `(N, N)` M, 0 where there may be no connection.
        apply_dale: whether the sign of a presynaptic unit is kept.

    >>> effective_weights(np.array([[0.5, 2.0], [-1.0, 3.0]]), np.array([1, -1]), np.ones((2, 2)), True)
    array([[ 0.5, -2. ],
           [ 0. , -3. ]])
    """
    if isinstance(w, np.ndarray):
        # Adding 0 turns the -0 of a silent inhibitory connection into 0.
        return (np.maximum(w, 0.0) if apply_dale else w) * signs[None, :] * som_mask + 0.0
    # The derivative of relu at 0 is 0, so that absent connections stay absent; without it `where` sees to that.
    acting = jax.nn.relu(w) if apply_dale else jnp.where(w == 0, 0.0, w)
    return acting * signs[None, :] * som_mask


def time_constants(taus: ArrayLike, taus_gaus: Any) -> Any:
    """Return the time constant of every unit: sigmoid(g) (max - min) + min, or the only one.

    Arguments:
        taus: one number, or lowest and highest.
        taus_gaus: `(N, 1)` or `(N,)`, what is trained.

    >>> time_constants([4, 20], np.zeros((2, 1)))
    array([12., 12.])
    """
    low, high = check_taus(taus)
    own = np if isinstance(taus_gaus, np.ndarray) else jnp
    flat = taus_gaus.reshape(-1)
    if low == high:
        return own.full(flat.shape, low, flat.dtype)
    logistic = 1.0 / (1.0 + np.exp(-flat)) if own is np else jax.nn.sigmoid(flat)
    return logistic * (high - low) + low


def check_taus(taus: ArrayLike) -> tuple[float, float]:
    """Return lowest and highest time constant, equal if one number was given.

    Raises:
        ShapeError: neither one nor two numbers.
        OptionError: a time constant is not positive, or the lowest is above the highest.
    """
    found = np.asarray(taus, float).reshape(-1)
    if found.size not in (1, 2):
        raise ShapeError(f"taus: expected one time constant or [lowest, highest], got {found.size} numbers.")
    low, high = float(found[0]), float(found[-1])
    if not 0 < low <= high < np.inf:
        raise OptionError(f"taus: expected 0 < lowest <= highest, got {low:g} and {high:g}.")
    return low, high


def check_noise(noise: object, level: object, step: object) -> None:
    """Refuse noise that is unknown, a level or step out of range, and a level that would have no effect.

    Raises:
        OptionError: one of these.
    """
    if noise not in NOISES:
        raise OptionError(unknown("noise", noise, NOISES))
    for name, value, low in (("level", level, "level >= 0"), ("step", step, "step > 0")):
        fine = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and np.isfinite(value)
        if not fine or value < 0 or (name == "step" and value == 0):  # type: ignore[operator]
            raise OptionError(f"noise: expected a number {low}, got {value!r}.")
    if noise == "none" and level not in (0, KIM_NOISE):
        raise OptionError(
            f'noise: level={level!r} has no effect with noise="none"; take "kim" or "ou", or leave it out.'
        )


def check_step(step: float, shortest: float, where: str) -> None:
    """Refuse a step longer than a time constant, with which x would swing from step to step and grow without bound.

    x + step/tau (drive - x) overshoots what it leaks to as soon as step > tau, and runs away from step = 2 tau on.

    Arguments:
        step: duration of a step, in units of 5 ms.
        shortest: the shortest time constant, in the same unit.
        where: how the message begins.

    Raises:
        TimeError: the step is longer.

    >>> check_step(4.0, 4.0, "train")
    """
    if step > shortest * (1 + 1e-9):
        raise TimeError(
            f"{where}: a step of {step * STEP_MS:g} ms is longer than the shortest time constant,"
            f" {shortest * STEP_MS:g} ms. Use steps of at most that (dt of the task, DeltaT), or longer time"
            f" constants: taus from {step:g} on, in units of {STEP_MS:g} ms."
        )
