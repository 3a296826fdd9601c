"""Limit cycles against SciPy's Radau, and what is refused because it is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate
from recurra.analysis import limit_cycle
from recurra.errors import CapabilityError

VDP = "model_templates.oscillators.vanderpol.vdp"
JR = "model_templates.neural_mass_models.jansenrit.JRC2"


def circuit(*equations: str, **values) -> CircuitTemplate:
    """Return a node of equations; a name without a value is a state that begins at 0.3."""
    states = [e.split("'")[0] for e in equations if "'" in e]
    found = {s: "output(0.3)" if i == 0 else "variable(0.3)" for i, s in enumerate(states)}
    return CircuitTemplate(
        "c", nodes={"p": NodeTemplate("p", OperatorTemplate("op", list(equations), found | values))}
    )


def period_of(rate, start, span, level=0.0) -> float:
    """Return the time between the last two upward crossings of a level by the first state, by SciPy's Radau."""
    crossing = lambda t, y: y[0] - level  # noqa: E731
    crossing.direction = 1
    done = solve_ivp(rate, (0, span), start, "Radau", rtol=1e-8, atol=1e-10, events=crossing)
    return float(np.diff(done.t_events[0])[-1])


@pytest.mark.parametrize(("mu", "transient"), [(0.2, 15.0), (1.0, 100.0), (2.0, 15.0), (10.0, 15.0)])
def test_cycles_of_van_der_pol(mu, transient):
    span = 100 if mu < 1 else 40 + 2 * mu
    want = period_of(lambda t, y: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], span)
    cycle = limit_cycle(
        CircuitTemplate.from_yaml(VDP), transient=transient, longest=2.5 * want, params={"p/vdp_op/mu": mu}
    )
    assert abs(cycle.period / want - 1) < 1e-7 and cycle.stable and cycle.gap < 1e-6
    assert "stable" in repr(cycle) and np.abs(cycle.multipliers - 1).min() < 1e-6


CYCLES = {
    "Brusselator": (
        ["x' = 1 + x^2*y - 4*x", "y' = 3*x - x^2*y"], (1.2, 1.0), 1.0,
        lambda t, y: [1 + y[0] ** 2 * y[1] - 4 * y[0], 3 * y[0] - y[0] ** 2 * y[1]],
    ),
    "FitzHugh-Nagumo": (
        ["v' = v - v^3/3 - w + 0.5", "w' = 0.08*(v + 0.7 - 0.8*w)"], (0.0, 0.0), 0.0,
        lambda t, y: [y[0] - y[0] ** 3 / 3 - y[1] + 0.5, 0.08 * (y[0] + 0.7 - 0.8 * y[1])],
    ),
    "Wilson-Cowan": (
        ["e' = -e + 1/(1 + exp(-(16*e - 12*i - 3.7 + 1.25)))", "i' = (-i + 1/(1 + exp(-(15*e - 3*i - 6.7))))/2"],
        (0.2, 0.1), 0.2,
        lambda t, y: [
            -y[0] + 1 / (1 + np.exp(-(16 * y[0] - 12 * y[1] - 2.45))),
            (-y[1] + 1 / (1 + np.exp(-(15 * y[0] - 3 * y[1] - 6.7)))) / 2,
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CYCLES)
def test_cycles_of_ordinary_models(name):
    equations, start, level, rate = CYCLES[name]
    cycle = limit_cycle(circuit(*equations), transient=50.0, longest=60.0, start=list(start))
    assert abs(cycle.period / period_of(rate, start, 100.0, level) - 1) < 1e-6 and cycle.stable


def test_bursts_of_a_mean_field_with_adaptation():
    # Gast, Schmidt & Knoesche 2020, as the library has it: Delta = tau = 1, J = 15, alpha = 0.5, tau_a = 10.
    def rate(t, y):
        r, v, a, x = y
        dv = v**2 - 2.1 + 15 * r - a - (np.pi * r) ** 2
        return [1 / np.pi + 2 * r * v, dv, x / 10, 0.5 * r - 2 * x / 10 - a / 10]

    model = CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif_sfa")
    values = {"p/qif_sfa_op/eta": -2.1, "p/qif_sfa_op/alpha": 0.5}
    cycle = limit_cycle(model, transient=300.0, longest=100.0, params=values)
    assert abs(cycle.period / period_of(rate, [0.01, -2.0, 0.0, 0.0], 300.0, 0.5) - 1) < 1e-6 and cycle.stable


@pytest.mark.parametrize(("growth", "transient"), [(1.0, 10.0), (0.01, 10.0), (0.001, 3000.0)])
def test_the_normal_form_of_a_hopf_point_however_slowly_it_settles(growth, transient):
    # r' = e r (1 - r^2): radius 1, period 2 pi, multiplier exp(-2 e 2 pi).
    model = circuit("x' = e*x*(1 - x^2 - y^2) - y", "y' = e*y*(1 - x^2 - y^2) + x", e=growth)
    cycle = limit_cycle(model, transient=transient, longest=10.0)
    assert abs(cycle.period - 2 * np.pi) < 1e-8
    assert np.abs(np.hypot(*cycle.values.T) - 1).max() < 1e-6
    assert abs(np.sort(np.abs(cycle.multipliers))[0] - np.exp(-4 * np.pi * growth)) < 1e-6


def test_jansen_and_rit_have_an_alpha_rhythm():
    # 10.94 Hz: upward crossings of an own integration of the column, 0.09142 s.
    for transient in (2.0, 5.0):
        cycle = limit_cycle(CircuitTemplate.from_yaml(JR), transient=transient, longest=1.0)
        assert abs(cycle.period - 0.09142) < 1e-5 and cycle.stable


@pytest.mark.parametrize(("c", "turns"), [(2.5, 1), (3.5, 2)])
def test_cycles_of_roessler_before_and_after_their_period_doubles(c, turns):
    rate = lambda t, y: [-y[1] - y[2], y[0] + 0.2 * y[1], 0.2 + y[2] * (y[0] - c)]  # noqa: E731
    section = lambda t, y: y[1]  # noqa: E731
    section.direction = 1
    times = solve_ivp(rate, (0, 500), [1, 1, 0], "DOP853", rtol=1e-10, atol=1e-11, events=section).t_events[0]
    cycle = limit_cycle(
        circuit("x' = -y - z", "y' = x + 0.2*y", "z' = 0.2 + z*(x - c)", c=c), transient=400.0, longest=40.0,
        start=[1.0, 1.0, 0.0],
    )  # fmt: skip
    assert abs(cycle.period - (times[-1] - times[-1 - turns])) < 1e-5 and cycle.stable


def test_chaos_has_no_stable_cycle():
    model = circuit("x' = -y - z", "y' = x + 0.2*y", "z' = 0.2 + z*(x - 5.7)")
    try:
        with pytest.warns(RuntimeWarning, match="unstable"):
            cycle = limit_cycle(model, transient=300.0, longest=30.0)
    except CapabilityError:
        return
    assert not cycle.stable and cycle.period > 5 and cycle.gap < 1e-6


@pytest.mark.parametrize(
    ("equations", "more", "says"),
    [
        (["x' = y", "y' = -0.9*y - x"], {}, "comes to rest on a fixed point at p/op/x = "),
        (["x' = -x"], {}, "comes to rest"),
        (["x' = y", "y' = -0.01*y - x"], {}, "no cycle was found near the trajectory.*fixed point"),
        (["x' = y", "y' = -x"], {}, "one of a family"),
        (["x' = x*(1 - y)", "y' = y*(x - 1)"], {}, "one of a family"),
        (["x' = exp(-x)"], {}, "does not return within longest=10"),
        (["x' = x^2"], {}, "runs to infinity"),
        (["x' = 1.0", "y' = -y"], {}, "does not return"),
    ],
)
def test_what_is_no_limit_cycle_is_refused(equations, more, says):
    with pytest.raises(CapabilityError, match=says):
        limit_cycle(circuit(*equations), transient=20.0, longest=10.0, **more)
