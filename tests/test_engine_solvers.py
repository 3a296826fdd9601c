"""Measured orders of the solvers, and the statistics of the stochastic ones."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import networks as nets
from recurra.engine import Edge, Graph, Node, lower, simulate
from recurra.engine.solvers import TABLEAUS

# x' = -x^2 + cos(t) + sin(t)^2 with x(0) = 0 is solved by x = sin(t): nonlinear and non-autonomous.
NONLINEAR = nets.program(nets.operator("x' = -x^2 + cos(t) + sin(t)^2", {"x": 0.0}))


def end_error(program, solver: str, dt: float, duration: float, exact: float) -> float:
    """Return the error at the end of the run, which the final state holds."""
    result = simulate(program, duration, dt=dt, solver=solver)
    return abs(float(next(iter(result.final.state.values())).ravel()[0]) - exact)


def measured_order(error, dts) -> float:
    errors = [error(dt) for dt in dts]
    return float(np.polyfit(np.log(dts), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    ("solver", "order"),
    [("euler", 1), ("euler_maruyama", 1), ("heun", 2), ("stochastic_heun", 2), ("rk4", 4), ("exponential_euler", 1)],
)
def test_order_on_a_nonlinear_problem(solver, order):
    dts = [0.1, 0.05, 0.025, 0.0125] if order > 2 else [0.01, 0.005, 0.0025, 0.00125]
    found = measured_order(lambda dt: end_error(NONLINEAR, solver, dt, 2.0, np.sin(2.0)), dts)
    assert abs(found - order) < 0.15


@pytest.mark.parametrize("name", list(TABLEAUS))
def test_tableaus_are_consistent(name):
    """Order conditions of Butcher (2008), up to four: sums over the weights, and the triangle's shape."""
    tableau = TABLEAUS[name]
    a = np.zeros((len(tableau.b), len(tableau.b)))
    for i, row in enumerate(tableau.a):
        assert len(row) <= i
        a[i, : len(row)] = row
    b, c = np.array(tableau.b), a.sum(1)
    assert tuple(c) == pytest.approx(tableau.nodes)
    conditions = {1: [(b.sum(), 1)], 2: [(b @ c, 1 / 2)], 3: [(b @ c**2, 1 / 3), (b @ a @ c, 1 / 6)],
                  4: [(b @ c**3, 1 / 4), ((b * c) @ a @ c, 1 / 8), (b @ a @ c**2, 1 / 12), (b @ a @ a @ c, 1 / 24)]}
    for order in range(1, tableau.order + 1):
        for got, expected in conditions[order]:
            assert got == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("solver", ["heun", "rk4"])
def test_order_with_a_delay(solver):
    """x' = -x(t-1), x = 1 before: on [1, 2] the method of steps gives 1 - t + (t-1)^2/2, then a cubic.

    The delay is read between the grid's points by a straight line at half steps, so all methods have order 2 at most.
    """
    program = nets.program(nets.operator("x' = -past(x, 1.0)*(1 + x)", {"x": 0.5}))
    reference = simulate(program, 3.0, dt=1 / 2048, solver="heun").final.state["n/op/x"][0]
    found = measured_order(lambda dt: end_error(program, solver, dt, 3.0, reference), [1 / 8, 1 / 16, 1 / 32, 1 / 64])
    assert abs(found - 2) < 0.15 or (solver == "rk4" and found > 1.85)


def test_order_of_heun_with_an_edge_off_the_grid():
    op = nets.operator("x' = -x + tanh(u) + sin(t)", {"x": 0.0}, inputs={"u": 0.0})
    graph = Graph({"a": Node({"op": op}), "b": Node({"op": op})},
                  (Edge("a/op/x", "b/op/u", 1.5, delay=1 / 3), Edge("b/op/x", "a/op/u", -2.0, delay=0.4)))
    program = lower(graph)
    reference = simulate(program, 4.0, dt=1 / 2048, solver="heun").final.state["a..b/op/x"][0]
    found = measured_order(lambda dt: end_error(program, "heun", dt, 4.0, reference), [1 / 16, 1 / 32, 1 / 64, 1 / 128])
    assert abs(found - 2) < 0.3  # the kink after a delay lies within a step, anywhere in it


def test_exponential_euler_is_exact_on_linear_units():
    op = nets.operator("x' = -x/tau + u", {"x": 1.0}, {"tau": 0.3}, {"u": 2.0})
    tau, x0 = np.array([0.1, 1.0, 10.0]), np.array([1.0, 0.0, -1.0])
    graph = nets.single(op, 3, tau=tau, x=x0)
    result = simulate(lower(graph), 5.0, dt=0.5, solver="exponential_euler")
    exact = 2 * tau + (x0 - 2 * tau) * np.exp(-result.time[:, None] / tau)
    assert np.abs(result["n/op/x"] - exact).max() < 1e-13


def test_exponential_euler_is_exact_on_complex_rotations():
    op = nets.operator("z' = (i*w - 0.2)*z", {"z": 1.0 + 0j}, {"i": 1j, "w": 40.0})
    result = simulate(nets.program(op), 2.0, dt=0.25, solver="exponential_euler")
    assert np.abs(result["n/op/z"][:, 0] - np.exp((40j - 0.2) * result.time)).max() < 1e-12


def test_exponential_euler_is_stable_on_a_stiff_gate():
    """A gate of Hodgkin & Huxley type, a hundred times as fast as the step: Euler explodes, this does not."""
    op = nets.operator(
        "m' = (1/(1 + exp(-(v + 40)/5)) - m)/tau\nv' = -20*(v + 65) + 400*m*(50 - v)",
        {"m": 0.05, "v": -65.0}, {"tau": 0.001},
    )
    program = nets.program(op)
    result = simulate(program, 10.0, dt=0.1, solver="exponential_euler")
    m, v = result["n/op/m"], result["n/op/v"]
    assert ((m >= 0) & (m <= 1)).all()
    assert ((v > -66) & (v < 51)).all()
    fine = simulate(program, 10.0, dt=1e-4, solver="rk4", every=1000)
    assert v[-1, 0] == pytest.approx(fine["n/op/v"][-1, 0], abs=1e-3)
    with pytest.raises(Exception, match="not finite"):
        simulate(program, 100.0, dt=0.1, solver="euler")


@pytest.mark.parametrize(
    ("solver", "options"),
    [("tsit5", {}), ("dopri8", {}), ("kvaerno5", {}), ("scipy", {}), ("scipy", {"method": "DOP853"}),
     ("scipy", {"method": "LSODA"})],
)
def test_adaptive_solvers_keep_their_tolerance(solver, options):
    if solver != "scipy":
        pytest.importorskip("diffrax")
    errors = []
    for rtol in (1e-4, 1e-9):
        result = simulate(NONLINEAR, 5.0, dt=0.5, solver=solver, rtol=rtol, atol=rtol, **options)
        errors.append(np.abs(result["n/op/x"][:, 0] - np.sin(result.time)).max())
        assert errors[-1] < 200 * rtol  # between its steps a solver interpolates
    assert errors[1] < errors[0] or errors[0] < 1e-9


@pytest.mark.parametrize("solver", ["scipy", "tsit5"])
def test_adaptive_solvers_see_short_pulses_and_go_on(solver):
    """A pulse of one sample into a slow unit is not jumped over; halves join to the whole within the tolerance."""
    program = nets.program(nets.operator("x' = -x/50 + u", {"x": 0.0}, inputs={"u": 0.0}))
    pulse = np.zeros(400)
    pulse[200] = 1.0
    options = {"dt": 0.25, "solver": solver, "rtol": 1e-8, "atol": 1e-10}
    if solver != "scipy":
        pytest.importorskip("diffrax")
    result = simulate(program, 100.0, inputs={"n/op/u": pulse}, **options)
    # The response to a triangle of height 1 and half-width 0.25 around t = 50, once it is over.
    k = 2 / 0.25 * 50 * (np.cosh(0.25 / 50) - 1) * 50
    late = result.time >= 50.25
    exact = k * np.exp(-(result.time[late] - 50) / 50)
    assert np.abs(result["n/op/x"][late, 0] - exact).max() < 1e-6
    assert np.abs(result["n/op/x"][result.time <= 49.75]).max() < 1e-12
    if solver == "tsit5":
        return
    first = simulate(program, 40.0, inputs={"n/op/u": pulse[:160]}, **options)
    second = simulate(program, 60.0, inputs={"n/op/u": pulse[160:]}, state=first.final, **options)
    assert np.abs(second["n/op/x"][-1] - result["n/op/x"][-1]).max() < 1e-6


def geometric(units: int):
    """Geometric Brownian motion y beside the Brownian motion w that drives it."""
    op = nets.operator("y' = a*y + b*y*xi_w\nw' = xi_w", {"y": 1.0, "w": 0.0}, {"a": 0.3, "b": 0.8})
    return lower(Graph({"n": Node({"op": op}, units)}))


UNITS = 4000


def strong_and_weak_errors(solver: str, exact, dt: float) -> tuple[float, float]:
    """Run many units to t = 1 and compare each with the closed form on its own Brownian path."""
    final = simulate(geometric(UNITS), 1.0, dt=dt, solver=solver, record=[], seed=1).final.state
    y, truth = final["n/op/y"], exact(final["n/op/w"])
    return float(np.abs(y - truth).mean()), float(abs((y - truth).mean()))


def ito(w):
    return np.exp((0.3 - 0.8**2 / 2) + 0.8 * w)


def stratonovich(w):
    return np.exp(0.3 + 0.8 * w)


def test_euler_maruyama_converges_to_ito_with_order_one_half():
    dts = [1 / 16, 1 / 64, 1 / 256]
    errors = np.array([strong_and_weak_errors("euler_maruyama", ito, dt) for dt in dts])
    strong, weak = (np.polyfit(np.log(dts), np.log(errors[:, i]), 1)[0] for i in (0, 1))
    assert abs(strong - 0.5) < 0.1
    assert weak > 0.7  # order 1, seen through the sampling error of the mean
    assert strong_and_weak_errors("euler_maruyama", stratonovich, 1 / 256)[0] > 0.3


def test_stochastic_heun_converges_to_stratonovich_with_order_one():
    dts = [1 / 16, 1 / 64, 1 / 256]
    errors = [strong_and_weak_errors("stochastic_heun", stratonovich, dt)[0] for dt in dts]
    assert abs(np.polyfit(np.log(dts), np.log(errors), 1)[0] - 1) < 0.15
    assert strong_and_weak_errors("stochastic_heun", ito, 1 / 256)[0] > 0.3


def test_euler_maruyama_has_strong_order_one_for_additive_noise():
    """x' = -x + w', driven by the increments of one fine path, summed for the coarse ones."""
    op = nets.operator("x' = -x + 0.5*u", {"x": 1.0}, inputs={"u": 0.0})
    program = lower(Graph({"n": Node({"op": op}, 500)}))
    rng = np.random.default_rng(3)
    fine = rng.normal(size=(4096, 500)) * np.sqrt(1 / 4096)

    def run(steps: int) -> np.ndarray:
        increments = fine.reshape(steps, -1, 500).sum(1)
        result = simulate(program, 1.0, dt=1 / steps, solver="euler_maruyama", inputs={"n/op/u": increments * steps})
        return result.final.state["n/op/x"]

    truth = run(4096)
    dts = np.array([1 / 16, 1 / 32, 1 / 64])
    errors = [np.abs(run(round(1 / dt)) - truth).mean() for dt in dts]
    assert abs(np.polyfit(np.log(dts), np.log(errors), 1)[0] - 1) < 0.15


def test_ornstein_uhlenbeck_statistics():
    """Stationary variance of Euler-Maruyama: s^2 tau / (2 - dt/tau) (exact for the scheme), correlation (1-dt)^k."""
    program = lower(Graph({"p": Node({"op": nets.noisy()}, 2000)}))
    v = simulate(program, 40.0, dt=0.1, every=10, cutoff=10.0, seed=2)["p/op/v"]
    variance = 0.25 / (2 - 0.1)
    samples = v.size / 4  # rows one time constant apart are correlated
    assert abs(v.var() / variance - 1) < 5 * np.sqrt(2 / samples)
    assert abs(v.mean()) < 5 * np.sqrt(variance / samples)
    assert abs((v[1:] * v[:-1]).mean() / variance - 0.9**10) < 0.02
    # Units are independent of each other.
    c = np.corrcoef(v[:, :50].T) - np.eye(50)
    assert np.abs(c).max() < 5.5 * np.sqrt(3 / len(v))


def test_noise_is_standard_normal_and_addressed():
    """w' = xi sums up draws that the same keys give outside of the engine."""
    from recurra.engine.randomness import stream_address, stream_key

    program = lower(Graph({"a": Node({"op": nets.operator("w' = xi", {"w": 0.0})}, 5)}))
    dt = 0.25
    w = simulate(program, 2.0, dt=dt, seed=11)["a/op/w"]
    key = stream_key(jax.random.key(11), stream_address("a/op/xi@w"))
    draws = np.array([jax.random.normal(jax.random.fold_in(key, k), (5,), float) for k in range(7)])
    assert np.abs(np.diff(w, axis=0) - draws * np.sqrt(dt)).max() < 1e-14
