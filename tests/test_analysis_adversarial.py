"""Models with known answers on which analyses of dynamics are tempted to give a wrong one without a word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate
from recurra.analysis import continuation, fixed_points, limit_cycle, lyapunov_exponents, phase_plane
from recurra.errors import CapabilityError, OptionError, ShapeError

JR = "model_templates.neural_mass_models.jansenrit.JRC2"


def circuit(*equations: str, **values) -> CircuitTemplate:
    """Return a node of equations; a name without a value is a state that begins at 0.3."""
    states = [e.split("'")[0] for e in equations if "'" in e]
    found = {s: "output(0.3)" if i == 0 else "variable(0.3)" for i, s in enumerate(states)}
    return CircuitTemplate(
        "c", nodes={"p": NodeTemplate("p", OperatorTemplate("op", list(equations), found | values))}
    )


def rotor(x: str, y: str, growth: str, turn: str) -> list[str]:
    return [
        f"{x}' = ({growth} - {x}^2 - {y}^2)*{x} - {turn}*{y}", f"{y}' = ({growth} - {x}^2 - {y}^2)*{y} + {turn}*{x}"
    ]  # fmt: skip


# --- fixed points ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equation", "points", "kinds"),
    [
        ("x' = exp(-x)", [], []),  # slows down for ever
        ("x' = 1/(1 + x^2)", [], []),
        ("x' = 1.0", [], []),
        ("x' = x^2 + 1e-10", [], []),  # just beyond a fold
        ("x' = x^2 - 1e-10", [-1e-5, 1e-5], ["stable node", "unstable node"]),
        ("x' = -(x - 2)/1e9", [2.0], ["stable node"]),  # slow everywhere
        ("x' = x - x^3", [-1.0, 0.0, 1.0], ["stable node", "unstable node", "stable node"]),
        ("x' = x^2", [0.0], ["non-hyperbolic"]),
        ("x' = -x^3", [0.0], ["non-hyperbolic"]),
        ("x' = -x^5", [0.0], ["non-hyperbolic"]),
        ("x' = -x + tanh(x)", [0.0], ["non-hyperbolic"]),
        ("x' = -x^3 + 3*x^2 - 3*x + 1", [1.0], ["non-hyperbolic"]),  # (1 - x)^3 with its rounding errors
    ],
)
def test_fixed_points_of_one_equation(equation, points, kinds):
    found = fixed_points(circuit(equation), 20)
    assert found.kinds == kinds and found.fixed.all() and found.starts == 20
    assert found.values[:, 0] == pytest.approx(points, abs=1e-5, rel=1e-9)
    assert found.stable.tolist() == [k.startswith("stable") for k in kinds]
    assert points or found.missed == 20
    assert ("came to none" in repr(found)) == (found.missed > 0)


def test_fixed_points_in_small_units():
    found = fixed_points(circuit("x' = (x - 1e-12)*(x - 3e-12)*1e12"), np.linspace(0, 5e-12, 9)[:, None])
    assert found.values[:, 0] == pytest.approx([1e-12, 3e-12], rel=1e-9)


def test_a_centre_and_a_line_of_rest_are_not_stable():
    centre = fixed_points(circuit("x' = y", "y' = -x"), 5)
    assert centre.kinds == ["non-hyperbolic"] and not centre.stable.any()
    line = fixed_points(circuit("x' = y - x", "y' = x - y"), 5)
    assert set(line.kinds) == {"non-hyperbolic"} and np.abs(line.values @ [1, -1]).max() < 1e-12


def test_the_three_resting_states_of_jansen_and_rit():
    found = fixed_points(CircuitTemplate.from_yaml(JR), 30, scale=0.01, params={"jrc/jrc_op/u": 100.0})
    # The potential y solves a scalar equation (Grimbert & Faugeras 2006); its roots on a fine grid.
    gain = lambda v: 5 / (1 + np.exp(560 * (0.006 - v)))  # noqa: E731
    y = np.linspace(-0.01, 0.03, 400_001)
    wrong = 3.25e-5 * (100 + 108 * gain(3.25e-5 * 135 * gain(y))) - 4.4e-4 * 33.75 * gain(3.25e-5 * 33.75 * gain(y)) - y
    roots = y[np.flatnonzero(np.diff(np.sign(wrong)))]
    excited, inhibited = found.values[:, 0], found.values[:, 2]
    assert len(found) == len(roots) == 3 and np.abs(np.sort(excited - inhibited) - roots).max() < 2e-7


# --- branches -------------------------------------------------------------------------------------------------------

CUSP, CLOSE = 2 * (2 / 3) ** 1.5, 2 * (1e-4 / 3) ** 1.5
BRANCHES = {
    "pitchfork": (["x' = mu*x - x^3"], 0.0, (-1, 1), {}, [("branch point", 0.0, 0.0, 1)]),
    "pitchfork stepped onto": (["x' = mu*x - x^3"], 0.0, (-1, 1), {"step": 0.5}, [("branch point", 0.0, 0.0, 1)]),
    "pitchfork from its side": (["x' = mu*x - x^3"], 1.0, (1, -1), {}, [("branch point", 0.0, 0.0, 0)]),
    "transcritical": (["x' = mu*x - x^2"], 0.0, (-1, 1), {}, [("branch point", 0.0, 0.0, 1)]),
    "two pitchforks at once": (["x' = mu*x - x^3", "y' = mu*y - y^3"], 0.0, (-1, 1), {}, [("branch point", 0, 0, 2)]),
    "saddle-node": (["x' = mu - x^2"], 1.0, (1, -1), {}, [("fold", 0.0, 0.0, 1)]),
    "cusp": (["x' = mu + 2*x - x^3"], -1.77, (-2, 2), {}, [("fold", CUSP, 0.0, 1), ("fold", -CUSP, 0.0, -1)]),
    "cusp in large units": (
        ["x' = mu/1e6 + 2*x - x^3"], -1.77, (-2e6, 2e6), {}, [("fold", CUSP * 1e6, 0, 1), ("fold", -CUSP * 1e6, 0, -1)],
    ),
    "cusp in small units": (
        ["x' = mu*1e6 + 2*x - x^3*1e12"], -1.77e-6, (-2e-12, 2e-12), {},
        [("fold", CUSP * 1e-12, 0, 1), ("fold", -CUSP * 1e-12, 0, -1)],
    ),
    "two folds in a step": (
        ["x' = mu - x^3 + 1e-4*x"], -1.0, (-1, 1), {}, [("fold", CLOSE, 0.0, 1), ("fold", -CLOSE, 0.0, -1)],
    ),
    "Hopf": (rotor("x", "y", "mu", "2"), 0.0, (-1, 1), {}, [("Hopf", 0.0, 2.0, 2)]),
    "two equal Hopfs": (
        rotor("x", "y", "mu", "2") + rotor("u", "v", "mu", "2"), 0.0, (-1, 1.1), {}, [("Hopf", 0.0, 2.0, 4)],
    ),
    "two Hopfs at once": (
        rotor("x", "y", "mu", "2") + rotor("u", "v", "mu", "3"), 0.0, (-1, 1), {},
        [("Hopf", 0.0, 2.0, 2), ("Hopf", 0.0, 3.0, 2)],
    ),
    "two Hopfs in a step": (
        rotor("x", "y", "mu", "2") + rotor("u", "v", "(mu - 0.003)", "3"), 0.0, (-1, 1), {},
        [("Hopf", 0.0, 2.0, 2), ("Hopf", 0.003, 3.0, 2)],
    ),
    "in and out in a step": (
        rotor("x", "y", "(1e-6 - mu^2)", "2"), 0.0, (-1, 1.07), {}, [("Hopf", -1e-3, 2.0, 2), ("Hopf", 1e-3, 2.0, -2)],
    ),
    "Hopf beside a fold": (  # unfolding of Bogdanov and Takens
        ["x' = y", "y' = mu + 0.005*y + x^2 + x*y"], (-1.0, 0.0), (-1, 0.5), {},
        [("Hopf", -2.5e-5, 0.1, 2), ("fold", 0.0, 0.0, -1)],
    ),
    "neutral saddle": (["x' = x*(1 + mu)", "y' = -y"], 0.0, (-0.5, 0.5), {}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_has_its_bifurcations(name):
    equations, begin, span, more, wanted = BRANCHES[name]
    model = circuit(*equations, mu=0.0)
    start = np.broadcast_to(begin, len(equations))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        branch = continuation(model, "p/op/mu", span, start=start, **more)
    unit = abs(span[1] - span[0])
    assert [b.kind for b in branch.bifurcations] == [kind for kind, *_ in wanted]
    for met, (_, value, frequency, change) in zip(branch.bifurcations, wanted, strict=True):
        assert abs(met.value - value) < 1e-9 * unit and abs(met.frequency - frequency) < 1e-6
        assert met.change == change
    assert branch.complete and not branch.unresolved and branch.ended.startswith("reached the end of the span")
    assert branch.values[0] == span[0] and branch.values[-1] in span
    assert branch.unstable[-1] - branch.unstable[0] == sum(b.change for b in branch.bifurcations)


def test_the_diagram_of_jansen_and_rit():
    branch = continuation(CircuitTemplate.from_yaml(JR), "jrc/jrc_op/u", (-50.0, 400.0))
    met = sorted((b.kind, b.value) for b in branch.bifurcations)
    # Grimbert & Faugeras 2006; the folds from the scalar equation of the equilibria.
    wanted = [("Hopf", -12.1475), ("Hopf", 89.8291), ("Hopf", 315.6964), ("fold", -41.3014), ("fold", 113.5863)]
    assert [k for k, _ in met] == [k for k, _ in wanted]
    assert np.abs(np.array([v for _, v in met]) - [v for _, v in wanted]).max() < 1e-4
    assert branch.values[-1] == 400.0 and branch.complete


@pytest.mark.parametrize(
    ("equation", "begin", "span", "more", "says"),
    [
        ("x' = mu*x - x^3", 0.0, (-1, 1), {"most": 10}, "after most=10 points"),
        ("x' = 1/mu - x", 1.0, (1, -1), {"most": 100}, "stopped at"),  # runs to infinity as mu goes to 0
        ("x' = sqrt(mu) - x", 1.0, (1, -1), {}, "stopped at"),  # not defined beyond 0
        ("x' = mu - abs(x)", -1.0, (1, -1), {}, "stopped at"),  # a kink turns the branch back
    ],
)
def test_a_branch_that_is_given_up_says_so(equation, begin, span, more, says):
    with pytest.warns(RuntimeWarning, match=says):
        branch = continuation(circuit(equation, mu=0.5), "p/op/mu", span, start=[begin], **more)
    assert not branch.complete and says in branch.ended and says in repr(branch)
    assert np.all(np.diff(branch.values) * (span[1] - span[0]) >= 0)


def test_an_eigenvalue_that_jumps_over_the_axis_is_unresolved():
    model = circuit("x' = (where(mu > 0.305, 1.0, -1.0))*x", mu=0.0)
    with pytest.warns(RuntimeWarning, match="unresolved between 0.305"):
        branch = continuation(model, "p/op/mu", (-1.0, 1.0), start=[0.0])
    ((low, high, change),) = branch.unresolved
    assert low <= 0.305 <= high and high - low < 1e-9 and change == 1 and "unresolved" in repr(branch)


def test_a_span_that_ends_at_a_bifurcation_says_so():
    branch = continuation(circuit("x' = mu*x - x^3", mu=0.0), "p/op/mu", (-1.0, 0.0), start=[0.0])
    assert branch.values[-1] == 0.0 and branch.ended.endswith("with an eigenvalue on the imaginary axis")
    assert not branch.stable[-1]


# --- what is no autonomous differential equation ---------------------------------------------------------------------


ANALYSES = {
    "fixed_points": lambda m: fixed_points(m, 2),
    "limit_cycle": lambda m: limit_cycle(m, transient=1.0, longest=1.0),
    "lyapunov_exponents": lambda m: lyapunov_exponents(m, 1.0, dt=0.1),
    "phase_plane": lambda m: phase_plane(m, "p/op/x", "p/op/y", x_range=(0, 1), y_range=(0, 1), points=3),
    "continuation": lambda m: continuation(m, "p/op/a", (0.0, 1.0)),
}


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize(
    ("equations", "more", "says"),
    [
        (["x' = -a*x + sin(t)", "y' = -y"], {}, "'p/op/x' depends on the time"),
        (["x' = -a*x + s", "y' = -y", "s = t"], {"s": "variable(0.0)"}, "'p/op/x' depends on the time"),
        (["x' = -a*past(x, 0.5)", "y' = -y"], {}, "delay"),
        (["z' = a*1j*z", "x' = -x", "y' = -y"], {"z": "output(1.0 + 0.5j)", "x": "variable(0.3)"}, "complex"),
    ],
)
def test_what_is_no_plain_equation_is_refused(analysis, equations, more, says):
    with pytest.raises(CapabilityError, match=says):
        ANALYSES[analysis](circuit(*equations, a=1.0, **more))


def test_a_time_that_reaches_no_state_does_no_harm():
    model = circuit("x' = 1 - x", "y' = -y", "s = sin(t)", s="variable(0.0)")
    assert fixed_points(model, 3).values[0] == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("value", [np.ones(5), np.nan, [[1.0]], "one"])
def test_inputs_are_held(value):
    model = circuit("x' = u - x", u="input(0.0)")
    with pytest.raises(ShapeError, match="p/op/u"):
        fixed_points(model, 2, inputs={"p/op/u": value})


# --- Lyapunov exponents ----------------------------------------------------------------------------------------------


def test_exponents_that_have_not_converged_are_warned_of():
    lorenz = circuit("x' = 10*(y - x)", "y' = x*(28 - z) - y", "z' = x*y - 8/3*z")
    with pytest.warns(RuntimeWarning, match="not converged after 2"):
        lyapunov_exponents(lorenz, 2.0, dt=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lyapunov_exponents(circuit("x' = -2*x"), 5.0, dt=0.01)[0] == pytest.approx(-2.0, abs=1e-6)
    with pytest.raises(OptionError, match="3 states"):
        lyapunov_exponents(lorenz, 2.0, dt=0.01, count=4)


@pytest.mark.parametrize("parameter", ["a/op/k", "a/k", "all/op/k"])
def test_a_branch_follows_a_number_that_all_units_share(parameter):
    """Equal units under their mean, `v' = -v + k tanh(mean v)`: the pitchfork is at k = 1."""
    net = Network(dt=0.01)
    net.add_diffeq_node(
        "a", "v' = -v + k*tanh(u)", N=5, variables={"v": "output", "u": "input", "k": 1.0},
        weights=np.ones((5, 5)) / 5, source_var="v", target_var="u",
    )  # fmt: skip
    found = continuation(net, parameter, (0.5, 2.0)).bifurcations
    assert [one.kind for one in found] == ["branch point"] and abs(found[0].value - 1) < 1e-9
    net.set_var("a", "k", np.linspace(0.9, 1.1, 5))
    with pytest.raises(ShapeError, match=r"has 5 values, from 0.9 to 1.1; a branch follows one"):
        continuation(net, parameter, (0.5, 2.0))
