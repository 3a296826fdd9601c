"""Fixed points, continuation, cycles, Lyapunov exponents and planes, against analysis by hand and published numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate
from recurra.analysis import (
    continuation,
    fixed_points,
    jacobian,
    limit_cycle,
    lyapunov_exponents,
    phase_plane,
)
from recurra.errors import CapabilityError, DivergenceError, OptionError, PathError, ShapeError
from recurra.rate.model import FR_RNN_dale

QIF = "model_templates.neural_mass_models.qif.qif"
VDP = "model_templates.oscillators.vanderpol.vdp"


def circuit(*equations: str, **values) -> CircuitTemplate:
    return CircuitTemplate("c", nodes={"p": NodeTemplate("p", OperatorTemplate("op", list(equations), values))})


def lorenz(rho: float = 28.0) -> CircuitTemplate:
    return circuit(
        "x' = s*(y - x)", "y' = x*(rho - z) - y", "z' = x*y - beta*z",
        x="output(1.0)", y="variable(1.0)", z="variable(20.0)", s=10.0, rho=rho, beta=8 / 3,
    )  # fmt: skip


def dale(size: int = 6, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(3)
    return FR_RNN_dale(
        size, 0.3, 0.6, rng.normal(size=(size, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, size)), seed=3, **more
    )


def test_fixed_points_of_the_lorenz_system():
    found = fixed_points(lorenz(), 30, scale=10.0)
    side = np.sqrt(8 / 3 * 27)
    assert len(found) == 3
    assert np.abs(found.values - [[-side, -side, 27], [0, 0, 0], [side, side, 27]]).max() < 1e-9
    # The origin: -beta and the roots of a^2 + 11 a - 270 = 0.
    root = np.sqrt(11**2 + 4 * 270)
    assert np.abs(found.eigenvalues[1] - np.array([(-11 + root) / 2, -8 / 3, (-11 - root) / 2])).max() < 1e-9
    assert found.kinds == ["saddle", "saddle", "saddle"] and not found.stable.any()
    table = found.to_dataframe()
    assert table.columns.tolist() == ["p/op/x", "p/op/y", "p/op/z", "speed", "kind", "leading_eigenvalue"]
    assert table["speed"].max() < 1e-11


def test_fixed_points_of_the_quadratic_mean_field_are_those_of_the_reference():
    found = fixed_points(CircuitTemplate.from_yaml(QIF), [[0.1, -2.0], [0.5, -0.3], [1.0, -0.2]])
    published = [[0.08113444, -1.96161999], [0.47298034, -0.33649378], [1.0305968, -0.15442988]]
    assert np.abs(found.values - published).max() < 1e-7
    assert found.kinds == ["stable node", "saddle", "stable focus"]
    leading = [-2.4487, 1.6417, -0.30886 + 3.31863j]
    assert np.abs(found.eigenvalues[:, 0] - leading).max() < 6e-5


def test_inputs_and_parameters_move_the_points():
    model = circuit("x' = -x/tau + I", x="output(0.0)", tau=2.0, I="input(0.0)")
    there = fixed_points(model, 3, inputs={"p/op/I": 1.5}, params={"p/op/tau": 4.0})
    assert np.abs(there.values - [[6.0]]).max() < 1e-12 and np.abs(there.eigenvalues - [[-0.25]]).max() < 1e-12


def test_slow_points_are_found_where_asked_for():
    # Just beyond a fold there is no fixed point; the speed has its minimum 0.01 at x = 0.
    model = circuit("x' = x^2 + 0.01", x="output(0.5)")
    assert len(fixed_points(model, 4)) == 0
    slow = fixed_points(model, 4, slow=0.02)
    assert len(slow) == 1 and abs(slow.values[0, 0]) < 1e-3 and slow.speed[0] == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "clipped_relu"])
def test_a_rate_network_stays_at_its_fixed_points(activation):
    net = dale(activation=activation)
    found = fixed_points(net, 5, seed=1, scale=2.0, inputs={"input/op/u": 0.3})
    assert len(found) >= 1 and found.names[2] == "units/op/x[2]"
    for x in found.values[found.stable]:
        stays = net.simulate(np.full((1, 50), 0.3), x0=x, noise="none")["x"]
        assert np.abs(stays - x).max() < 1e-6


def test_one_unit_that_excites_itself_has_the_fixed_points_of_the_scalar_equation():
    net = dale(1, taus=10.0)
    # x = w sigmoid(x) + w_in u with w = 10, w_in u = -5: by symmetry x = 0 is a root, unstable as 10/4 > 1.
    net.w, net.mask, net.w_in = np.array([[10.0]]), np.eye(1), np.array([[-5.0]])
    found = fixed_points(net, np.linspace(-8, 8, 17)[:, None], inputs={"input/op/u": 1.0})
    assert found.stable.tolist() == [True, False, True]
    assert abs(found.values[1, 0]) < 1e-8
    assert found.values[0, 0] == pytest.approx(-found.values[2, 0])
    assert found.eigenvalues[1, 0] == pytest.approx((10 / 4 - 1) / 10)
    high = found.values[2, 0]
    assert high == pytest.approx(10 / (1 + np.exp(-high)) - 5)


def test_jacobian_of_a_network_of_nodes():
    weights = np.random.default_rng(1).normal(size=(4, 4))
    net = Network(dt=1e-3)
    net.add_diffeq_node(
        "n", "neuron_model_templates.rate_neurons.leaky_integrator.tanh", weights=weights,
        source_var="tanh_op/r", target_var="li_op/r_in", output_var="li_op/v",
    )  # fmt: skip
    state = np.random.default_rng(2).normal(size=4)
    found = jacobian(net, state)
    tau = net.program.get("n/li_op/tau")[0]
    assert np.abs(found.to_numpy() - (weights * (1 - np.tanh(state) ** 2) - np.eye(4) / tau)).max() < 1e-12
    assert found.index.tolist() == [f"n/li_op/v[{i}]" for i in range(4)]


def test_folds_of_the_quadratic_mean_field():
    branch = continuation(CircuitTemplate.from_yaml(QIF), "p/qif_op/eta", (-10.0, 0.0))
    first, second = branch.bifurcations
    assert (first.kind, second.kind) == ("fold", "fold")
    # v = -1/(2 pi r) leaves eta = pi^2 r^2 - 15 r - 1/(2 pi r)^2, whose derivative by r is 0 at a fold.
    turns = np.roots([2 * np.pi**2, -15, 0, 0, 1 / (2 * np.pi**2)])
    turns = np.sort(turns[(turns.imag == 0) & (turns.real > 0)].real)
    expected = np.pi**2 * turns**2 - 15 * turns - 1 / (2 * np.pi * turns) ** 2
    assert np.abs([first.state[0], second.state[0]] - turns).max() < 1e-7
    assert np.abs([first.value, second.value] - expected).max() < 1e-9
    assert np.abs(expected - [-3.136134, -5.743527]).max() < 1e-6
    # Every point rests, and between the folds the branch is unstable.
    table = branch.to_dataframe()
    r, v, eta = (table[n].to_numpy() for n in ("p/qif_op/r", "p/qif_op/v", "p/qif_op/eta"))
    assert np.abs(1 / np.pi + 2 * r * v).max() < 1e-8
    assert np.abs(v**2 + eta + 15 * r - (np.pi * r) ** 2).max() < 1e-7
    assert (~branch.stable).sum() > 10 and branch.stable[0] and branch.stable[-1]


def test_hopf_point_of_the_lorenz_system():
    branch = continuation(lorenz(), "p/op/rho", (1.5, 30.0), start=[1.0, 1.0, 0.5], step=0.5)
    (hopf,) = branch.bifurcations
    # rho = s (s + beta + 3)/(s - beta - 1), frequency^2 = beta (s + rho) (Sparrow 1982).
    rho = 10 * (10 + 8 / 3 + 3) / (10 - 8 / 3 - 1)
    assert hopf.kind == "Hopf" and abs(hopf.value - rho) < 1e-7
    assert abs(hopf.frequency - np.sqrt(8 / 3 * (10 + rho))) < 1e-6


def test_a_pitchfork_is_a_branch_point():
    branch = continuation(circuit("x' = mu*x - x^3", x="output(0.0)", mu=0.0), "p/op/mu", (-1.0, 1.0))
    (point,) = branch.bifurcations
    assert point.kind == "branch point" and abs(point.value) < 1e-9
    assert np.abs(branch.states).max() < 1e-9


def test_a_branch_may_run_downwards():
    branch = continuation(CircuitTemplate.from_yaml(QIF), "p/qif_op/eta", (0.0, -10.0), start=[1.3, -0.1])
    assert [round(b.value, 5) for b in branch.bifurcations] == [-5.74353, -3.13613]


def test_limit_cycle_of_van_der_pol():
    cycle = limit_cycle(
        CircuitTemplate.from_yaml(VDP), transient=50.0, longest=20.0, params={"p/vdp_op/mu": 1.0}, rows=50
    )
    # Period and amplitude: Amore, Boyd & Fernandez 2018; the multiplier by Liouville's formula below.
    assert abs(cycle.period - 6.6632868593231) < 1e-7
    assert abs(cycle.multipliers[0] - 1) < 1e-6 and cycle.stable
    fine = limit_cycle(
        CircuitTemplate.from_yaml(VDP), transient=50.0, longest=20.0, params={"p/vdp_op/mu": 1.0}, rows=4001
    )
    assert abs(fine.values[:, 0].max() - 2.00861986087) < 1e-6
    trace = np.trapezoid(1.0 - fine.values[:, 0] ** 2, fine.time)
    assert abs(np.prod(cycle.multipliers) / np.exp(trace) - 1) < 1e-3
    assert np.abs(fine.values[0] - fine.values[-1]).max() < 1e-8


def test_lyapunov_exponents_of_lorenz():
    found = lyapunov_exponents(lorenz(), 400.0, dt=0.005, transient=20.0)
    # Sprott 2003: 0.9056, 0, -14.5723; the sum is exactly -(s + 1 + beta).
    assert np.abs(found - [0.9056, 0.0, -14.5723]).max() < 0.02
    assert abs(found.sum() + 10 + 1 + 8 / 3) < 1e-4
    assert lyapunov_exponents(lorenz(), 400.0, dt=0.005, transient=20.0, count=1) == pytest.approx(found[:1])


def test_lyapunov_exponents_of_a_linear_system_are_the_real_parts():
    model = circuit("x' = -0.5*x + 2*y", "y' = -2*x - 0.5*y", x="output(1.0)", y="variable(0.0)")
    assert np.abs(lyapunov_exponents(model, 50.0, dt=0.01) - [-0.5, -0.5]).max() < 1e-6


def test_phase_plane_and_its_nullclines():
    plane = phase_plane(
        CircuitTemplate.from_yaml(VDP), "p/vdp_op/x", "p/vdp_op/z", x_range=(-3, 3), y_range=(-4, 4),
        params={"p/vdp_op/mu": 2.0},
    )  # fmt: skip
    x, z = np.meshgrid(plane.x, plane.y)
    assert np.abs(plane.dx - z).max() < 1e-12
    assert np.abs(plane.dy - (2.0 * (1 - x**2) * z - x)).max() < 1e-12
    first, second = plane.nullclines()
    assert all(np.abs(line[:, 1]).max() < 1e-12 for line in first)
    inside = np.concatenate(second)
    inside = inside[np.abs(np.abs(inside[:, 0]) - 1) > 0.3]
    assert np.abs(inside[:, 1] - inside[:, 0] / (2 * (1 - inside[:, 0] ** 2))).max() < 0.05


def test_states_that_are_not_drawn_are_held():
    plane = phase_plane(lorenz(), "p/op/x", "p/op/y", x_range=(0, 1), y_range=(0, 1), points=3, at={"p/op/z": 5.0})
    x, y = np.meshgrid(plane.x, plane.y)
    assert np.abs(plane.dy - (x * 23 - y)).max() < 1e-12


def delayed() -> Network:
    net = Network(dt=1e-3)
    net.add_diffeq_node(
        "n", "neuron_model_templates.rate_neurons.leaky_integrator.tanh", weights=np.eye(2),
        source_var="tanh_op/r", target_var="li_op/r_in", edge_attr={"delay": 5e-3},
    )  # fmt: skip
    return net


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda: fixed_points(3), OptionError, "expected a Network, a CircuitTemplate"),
        (lambda: fixed_points(lorenz(), [[1.0, 2.0]]), ShapeError, "p/op/x, p/op/y, p/op/z"),
        (lambda: fixed_points(lorenz(), [[1.0, 2.0, np.nan]]), ShapeError, "finite"),
        (lambda: fixed_points(lorenz(), 0), OptionError, "starts: expected a whole number of at least 1"),
        (lambda: fixed_points(lorenz(), slow=-1.0), OptionError, "slow: expected a speed >= 0"),
        (lambda: fixed_points(lorenz(), params={"p/op/rh": 1.0}), PathError, "Did you mean 'rho'"),
        (lambda: jacobian(lorenz(), {"p/op/w": 1.0}), PathError, "unknown state"),
        (lambda: continuation(lorenz(), "p/op/rh", (0, 1)), PathError, "p/op/rho"),
        (lambda: continuation(lorenz(), "p/op/rho", (1, 1)), OptionError, "two different finite numbers"),
        (lambda: continuation(lorenz(), "p/op/rho", (1, 2), step=0), OptionError, "step: expected a number > 0"),
        (
            lambda: continuation(circuit("x' = mu + x^2 + 1", x="output(0.0)", mu=0.0), "p/op/mu", (0, 1)),
            CapabilityError, "no resting state was found",
        ),
        (
            lambda: continuation(dale(), "units/op/tau", (1, 2)), ShapeError, "a branch follows one number",
        ),
        (lambda: limit_cycle(lorenz(0.5), transient=50.0, longest=5.0), CapabilityError, "comes to rest"),
        (
            lambda: limit_cycle(CircuitTemplate.from_yaml(VDP), transient=50.0, longest=1.0),
            CapabilityError, "does not return within longest=1",
        ),
        (lambda: limit_cycle(lorenz(), transient=-1.0, longest=1.0), OptionError, "transient"),
        (
            lambda: lyapunov_exponents(circuit("x' = x^2", x="output(1.0)"), 5.0, dt=0.01),
            DivergenceError, "not finite",
        ),
        (lambda: phase_plane(lorenz(), "p/op/x", "p/op/q", x_range=(0, 1), y_range=(0, 1)), PathError, "p/op/x"),
        (lambda: phase_plane(lorenz(), "p/op/x", "p/op/y", x_range=(1, 0), y_range=(0, 1)), OptionError, "x_range"),
        (lambda: fixed_points(delayed()), CapabilityError, "delay"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(wrong, kind, says):
    with pytest.raises(kind, match=says):
        wrong()


def test_steps_too_long_for_exponents_are_told():
    """x' = -x + 2y, y' = -3y has the exponents -1 and -3; a step of 1 is outside of where Runge-Kutta is stable."""
    op = OperatorTemplate("op", ["x' = -x + 2*y", "y' = -3*y"], {"x": "output(1.0)", "y": "variable(1.0)"})
    model = CircuitTemplate("linear", nodes={"p": NodeTemplate("n", op)})
    with pytest.warns(RuntimeWarning, match=r"the step dt=1 is too long: .* add up to -0.662, .* says -4"):
        lyapunov_exponents(model, 20.0, dt=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(lyapunov_exponents(model, 20.0, dt=0.1) - [-1, -3]).max() < 1e-3
