"""Wrong uses of the engine: each is an error that says what is wrong and how to mend it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import networks as nets
from recurra.engine import (
    Clock,
    Edge,
    Graph,
    Node,
    Operator,
    Variable,
    as_function,
    lower,
    reference,
    simulate,
    vector_field,
)
from recurra.equations import Equation, parse_equations, parse_expression
from recurra.errors import (
    CapabilityError,
    EquationError,
    OptionError,
    PathError,
    ShapeError,
    TemplateError,
    TimeError,
)

DECAY = nets.program(nets.decay())
PAIR = Graph({"a": Node({"op": nets.decay()}, 2), "b": Node({"op": nets.decay()}, 3)},
             (Edge("a/op/x", "b/op/u", np.ones((3, 2))),))
WEIGHT = "a/op/x->b/op/u/weight"
STATE = simulate(DECAY, 1.0, dt=0.1).final
DELAYED = lower(Graph({"n": Node({"op": nets.decay()})}, (Edge("n/op/x", "n/op/u", -1.0, delay=0.2, label="e"),)))
NOISE = nets.program(nets.noisy())


def run(program=DECAY, duration=1.0, **options):
    return lambda: simulate(program, duration, **{"dt": 0.1, **options})


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        # time
        (run(dt=0.0), TimeError, "dt must be a finite number > 0, got 0.0"),
        (run(dt="fast"), TimeError, "dt must be a finite number > 0, got 'fast'"),
        (run(dt=True), TimeError, "dt must be a finite number > 0, got True"),
        (run(dt=float("nan")), TimeError, "got nan"),
        (run(duration=-1.0), TimeError, "duration must be a finite number > 0, got -1.0"),
        (run(duration=np.inf), TimeError, "got inf"),
        (run(duration=1.03), TimeError, "1.03 is not a whole number of steps of 0.1: use 1 or 1.1"),
        (run(duration=1e-9), TimeError, "is not a whole number of steps of 0.1: use 0.1"),
        (run(duration=1e300, dt=1e-300), TimeError, "has more than 2147483646 steps"),
        (run(every=3), TimeError, "use a duration of 0.9 or 1.2, or another `every`"),
        (run(every=0), TimeError, "every must be a whole number of steps >= 1, got 0"),
        (run(every=True), TimeError, "got True"),
        (run(every=2.0), TimeError, "got 2.0"),
        (run(cutoff=-0.1), TimeError, "cutoff must be a time >= 0"),
        (run(cutoff=1.0), TimeError, "shorter than the duration 1, got 1.0"),
        (run(cutoff="late"), TimeError, "got 'late'"),
        # options
        (run("a program"), OptionError, "anything with a `program`; got str"),
        (run(SimpleNamespace(graph=PAIR)), OptionError, "anything with a `program`; got SimpleNamespace"),
        (run(solver="eulr"), OptionError, "unknown solver 'eulr'. Did you mean 'euler'"),
        (run(solver=4), OptionError, "unknown solver '4'"),
        (run(rtol=1e-3), OptionError, "unknown option 'rtol'"),
        (run(prgress=False), OptionError, "Did you mean 'progress'"),
        (run(solver="scipy", rtl=1e-3), OptionError, "unknown option 'rtl'. Did you mean 'rtol'"),
        (run(solver="scipy", rtol=-1), OptionError, "rtol must be a number > 0, got -1"),
        (run(solver="scipy", max_step=0), OptionError, "max_step must be a number > 0"),
        (run(solver="scipy", method="RK4"), OptionError, "unknown method 'RK4'"),
        (run(solver="tsit5", max_steps="many"), OptionError, "max_steps must be a number > 0, got 'many'"),
        (run(precision="float16"), OptionError, "unknown precision 'float16'"),
        (run(precision=64), OptionError, "unknown precision '64'"),
        (run(device="gppu"), OptionError, "unknown device 'gppu'"),
        (run(device="cpu:99"), OptionError, "Known: cpu:0"),
        (run(device="cpu:-1"), OptionError, "unknown device 'cpu:-1'"),
        (run(seed="0"), OptionError, "seed must be an integer"),
        (run(seed=True), OptionError, "got True"),
        (run(seed=2**70), OptionError, "must fit into 64 bits"),
        # paths and numbers
        (run(params={"n/op/tua": 1.0}), PathError, "unknown variable 'tua'. Did you mean 'tau'"),
        (run(params={"m/op/tau": 1.0}), PathError, "unknown node 'm'"),
        (run(params={"n/opp/tau": 1.0}), PathError, "unknown operator 'opp'. Did you mean 'op'"),
        (run(params={"tau": 1.0}), PathError, "write 'node/operator/variable'"),
        (run(params={3: 1.0}), PathError, "a path is a text"),
        (run(params={"n/op/tau[1]": 1.0}), PathError, "has 1 units, counted from 0"),
        (run(params={"n/op/tau": np.ones(3)}), ShapeError, "got shape (3,), expected a number or shape (1,)"),
        (run(params={"n/op/tau": "1"}), ShapeError, "n/op/tau: expected numbers, got '1'"),
        (run(params={"n/op/tau": None}), ShapeError, "expected numbers, got None"),
        (run(params={"n/op/tau": np.nan}), ShapeError, "n/op/tau: the value is NaN"),
        (run(params={"n/op/tau": 1j}), ShapeError, "the variable is real"),
        (run(params=[1.0]), ShapeError, "expected a dict of path -> value"),
        (run(lower(PAIR), params={WEIGHT: np.ones((2, 3))}), ShapeError, "expected a number or shape (3, 2)"),
        (run(lower(PAIR), params={WEIGHT: np.ones(6)}), ShapeError, "got shape (6,)"),
        (run(lower(PAIR), params={WEIGHT: np.nan}), ShapeError, "a/op/x->b/op/u/weight: the value is NaN"),
        (run(lower(PAIR), params={WEIGHT.replace("weight", "delay"): 1.0}), PathError, "this edge has no delay"),
        (run(lower(PAIR), params={"all/op/tau": np.ones(4)}), ShapeError, "got shape (4,)"),
        # inputs
        (run(inputs={"n/op/x": 1.0}), PathError, "'n/op/x' is of kind state"),
        (run(inputs={"n/op/v": 1.0}), PathError, "unknown variable 'v'"),
        (run(inputs={"n/op/u": np.ones(9)}), ShapeError, "too short: it has 9 samples, the run has 10 steps"),
        (run(inputs={"n/op/u": np.ones(12)}), ShapeError, "too long"),
        (run(inputs={"n/op/u": np.ones((10, 2))}), ShapeError, "has shape (10, 2), expected a number, (10,)"),
        (run(inputs={"n/op/u": np.ones((10, 1, 1))}), ShapeError, "expected a number"),
        (run(inputs={"n/op/u": [0.0, np.nan] * 5}), ShapeError, "not finite (the first at sample 1)"),
        (run(inputs={"n/op/u": "sine"}), ShapeError, "expected numbers, got 'sine'"),
        (run(inputs={"n/op/u": [[1.0], [1.0, 2.0]]}), ShapeError, "rows of different lengths"),
        (run(inputs={"n/op/u": 1j}), ShapeError, "is complex, the input is real"),
        (run(inputs={"n/op/u": 1.0, "all/op/u": 2.0}), PathError, "drive the same unit"),
        (run(inputs=[1.0]), ShapeError, "inputs: expected a dict"),
        # recordings
        (run(record="n/op/y"), PathError, "unknown variable 'y'"),
        (run(record=["n/op/x", "n/op/x"]), OptionError, "a path is given twice"),
        (run(record=3), OptionError, "record: expected None, a path, a list"),
        (run(record={"x": 3}), OptionError, "'x' must name a path or a list of paths"),
        (run(record={"x": []}), OptionError, "'x' must name a path"),
        (run(lower(PAIR), record=WEIGHT), OptionError, "is of kind weight and does not change with time"),
        # batches
        (run(batch={"n/op/tau": 1.0}), ShapeError, "same number of runs"),
        (run(batch={"n/op/tau": [1.0, 2.0], "n/op/x": [1.0]}), ShapeError, "{'n/op/tau': 2, 'n/op/x': 1}"),
        (run(batch={"n/op/tau": []}), ShapeError, "same number of runs"),
        (run(batch={"n/op/tau": [1.0, np.nan]}), ShapeError, "n/op/tau: the value is NaN"),
        (run(batch={"n/op/tau": [1j, 2.0]}), ShapeError, "the variable is real"),
        (run(batch={"n/op/tau": ["a", "b"]}), ShapeError, "expected numbers"),
        (run(batch=[1.0, 2.0]), ShapeError, "batch: expected a dict"),
        (run(solver="scipy", batch={"n/op/tau": [1.0, 2.0]}), CapabilityError, "cannot run a batch"),
        # going on
        (run(state=1.0), OptionError, "expected the `final` of an earlier result, got float"),
        (run(state=STATE, dt=0.2), TimeError, "made with dt=0.1, this run has dt=0.2"),
        (run(lower(PAIR), state=STATE), PathError, "belongs to another network"),
        (run(state=STATE, history={"n/op/x": 1.0}), OptionError, "has it already"),
        (run(state=STATE, params={"n/op/x": 1.0}), OptionError, "takes its states from `state`"),
        (run(state=STATE, batch={"n/op/x": [1.0, 2.0]}), OptionError, "takes its states from `state`"),
        (run(DELAYED, state=simulate(DELAYED, 1.0, dt=0.1).final, params={"e/delay": 0.5}), TimeError, "same delays"),
        # what goes together
        (run(NOISE, solver="rk4"), CapabilityError, "cannot integrate noise (xi in 'n/op/xi@v'). Use 'euler_maruyama'"),
        (run(NOISE, solver="scipy"), CapabilityError, "cannot integrate noise"),
        (run(DELAYED, solver="tsit5"), CapabilityError, "cannot read the delay of 'n/op/x'. Use a fixed step"),
        (lambda: vector_field(DELAYED), CapabilityError, "it has no plain vector field"),
        (lambda: vector_field(DECAY).function(0.0, np.ones(1), {"n/op/tua": 1.0}), OptionError, "'n/op/tau'"),
        (lambda: DELAYED.flow(0.0, DELAYED.state, DELAYED.params), CapabilityError, "no ordinary"),
        (lambda: as_function(DECAY, 1.0, dt=0.1, solver="scipy"), CapabilityError, "cannot be differentiated"),
        (lambda: as_function(DECAY, 1.0, dt=0.1)({"n/op/tua": 1.0}), PathError, "Did you mean 'tau'"),
        (lambda: as_function(DECAY, 1.0, dt=0.1)({"n/op/tau": np.ones(2)}), ShapeError, "got shape (2,)"),
        (lambda: as_function(DECAY, 1.0, dt=0.1)([1.0]), ShapeError, "expected a dict"),
        (lambda: as_function(DECAY, 1.0, dt=0.1, state=STATE)({"n/op/x": 1.0}), OptionError, "from `state`"),
        (lambda: as_function(DELAYED, 1.0, dt=0.1)({"e/delay": 0.4}), TimeError, "longer than what the run"),
        (lambda: as_function(DELAYED, 1.0, dt=0.1)({"e/delay": 0.04}), TimeError, "shorter than a step"),
        (lambda: DECAY.step(DECAY.init(0.1), DECAY.params, {"n/op/x": 1.0}, Clock(0, 0.0, 0.1)), PathError, "state"),
        (lambda: DECAY.get("n/op/y"), PathError, "unknown variable 'y'"),
        (lambda: DECAY.update([1.0]), ShapeError, "expected a dict"),
        (lambda: reference.simulate(PAIR, 1.0, dt=0.1, solver="exponential_euler"), CapabilityError, "oracle has no"),
    ],
)
def test_wrong_runs(use, error, message):
    with pytest.raises(error) as caught:
        use()
    assert message in str(caught.value)


def edge(*args, **options):
    return lambda: lower(Graph(PAIR.nodes, (Edge(*args, **options),)))


UP = ("a/op/x", "b/op/u")
LINK = Node({"e": nets.product()})


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (edge("a/op/y", "b/op/u"), PathError, "edge a/op/y->b/op/u: 'a/op/y': unknown variable 'y'"),
        (edge("c/op/x", "b/op/u"), PathError, "unknown node 'c'"),
        (edge("a/op/x", "b/opp/u"), PathError, "Did you mean 'op'"),
            (edge("x", "b/op/u"), PathError, "'x' is no full path"),
        (edge("all/op/x", "b/op/u"), PathError, "addresses 2 nodes, one was expected"),
        (edge("a/op/x", "b/op/tau"), TemplateError, "must end at an input, 'b/op/tau' is of kind parameter"),
        (edge("a/op/x", "b/op/x"), TemplateError, "'b/op/x' is of kind state"),
        (edge("a/op/tau", "b/op/u"), TemplateError, "must start at a state or algebraic variable"),
        (edge("a/op/u", "b/op/u"), TemplateError, "'a/op/u' is of kind input"),
        (edge(*UP, np.ones((2, 3))), ShapeError, "(2, 3), expected (target units, source units) = (3, 2)"),
        (edge(*UP, [1.0, 2.0]), ShapeError, "the weight has shape (2,)"),
        (edge(*UP, [[1.0, 2.0], [3.0]]), ShapeError, "rows of different lengths"),
        (edge(*UP, "strong"), ShapeError, "weight: expected numbers, got 'strong'"),
        (edge(*UP, None), ShapeError, "weight: expected numbers, got None"),
        (edge(*UP, 1j), ShapeError, "weight: expected real numbers"),
        (edge(*UP, np.ones((3, 2)), delay=np.ones((2, 3))), ShapeError, "the delay has shape (2, 3)"),
        (edge(*UP, delay="long"), ShapeError, "delay: expected numbers"),
        (edge(*UP, delay=0.1, spread=np.ones(2)), ShapeError, "the spread has shape (2,), expected a number"),
        (edge(*UP, inputs={"e/u": "source"}), TemplateError, "it has inputs or an output but no operators"),
        (edge(*UP, node=LINK, inputs={"e/u": "source"}), TemplateError, "must name the output"),
        (edge(*UP, node=LINK, output="e/q"), PathError, "unknown variable 'q'"),
        (edge(*UP, node=LINK, output="e/z", inputs={"e/v": "source"}), PathError, "unknown variable 'v'"),
        (edge(*UP, node=LINK, output="e/z", inputs={"e/u": "sorce"}), PathError, "unknown node 'sorce'"),
        (edge(*UP, np.ones((2, 3)), node=LINK, output="e/z"), ShapeError, "expected (target units, source units)"),
        (edge(*UP, node=Node(LINK.operators, values={"e/k": 1.0}), output="e/z"), PathError, "unknown variable 'k'"),
        (
            lambda: lower(Graph({**PAIR.nodes, "c": Node({"op": nets.decay()}, 4)},
                                (Edge(*UP, node=LINK, output="e/z", inputs={"e/u": "c/op/x"}),))),
            TemplateError,
            "belongs neither to the source (2 units) nor to the target (3 units)",
        ),
        (
            lambda: lower(Graph(PAIR.nodes, (Edge(*UP, label="e"), Edge(*UP, label="e"), Edge(*UP, label="e#1")))),
            TemplateError,
            "something else has this label",
        ),
    ],
)
def test_wrong_edges(use, error, message):
    with pytest.raises(error) as caught:
        use()
    assert message in str(caught.value)


def declared(equations, output=None, **variables):
    made = {k: Variable(*v) if isinstance(v, tuple) else Variable(v) for k, v in variables.items()}
    return lambda: lower(nets.single(Operator(parse_equations(equations), made, output)))


X2 = Equation("x", True, parse_expression("x"))


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (declared("x' = -k*x", x="state"), EquationError, "unknown name 'k'"),
        (declared("x' = -x", x="state", y="state"), EquationError, "'y' is declared as state and has no equation"),
        (declared("x' = m", x="state", m="algebraic"), EquationError, "write `m = ...`, or declare it as parameter"),
        (declared("x' = 1\ny' = 1", x="state"), EquationError, "unknown name 'y'"),
        (declared("x' = -k*x\nk = 2", x="state", k="parameter"), EquationError, "'k' is declared as parameter"),
        (declared("x = 2", x="state"), EquationError, "declare it as algebraic"),
        (declared("x' = 2", x="algebraic"), EquationError, "declare it as state"),
        (declared("x' = 2", x="stat"), TemplateError, "unknown kind of variable 'stat'. Did you mean 'state'"),
        (declared("x' = 2", x=("state", "0")), ShapeError, "n/op/x: expected numbers, got '0'"),
        (declared("x' = 2", x=("state", np.ones((2, 2)))), ShapeError, "a variable is a number or a vector"),
        (declared("x' = 2", x=("state", np.ones(0))), ShapeError, "got shape (0,)"),
        (declared("x' = 2", "y", x="state"), EquationError, "unknown output 'y'"),
        (declared("x' = past(m, 1)\nm = x", x="state", m="algebraic"), EquationError, "needs a state variable"),
        (declared("x' = past(x, x)", x="state"), EquationError, "must be made of numbers and parameters"),
        (declared("a = b\nb = 2*a", a="algebraic", b="algebraic"), TemplateError, "n/op/a -> n/op/b -> n/op/a"),
        (
            lambda: lower(nets.single(Operator((X2, X2), {"x": Variable("state")}))),
            EquationError,
            "'x' has two equations",
        ),
        (lambda: lower(Graph({})), TemplateError, "has no node"),
        (lambda: lower(Graph({"all": Node({"op": nets.decay()})})), TemplateError, "cannot be called 'all'"),
        (lambda: lower(Graph({"n": Node({"o/p": nets.decay()})})), TemplateError, "cannot be called 'o/p'"),
        (lambda: lower(nets.single(nets.decay(), 0)), ShapeError, "at least one unit, got size 0"),
        (lambda: lower(nets.single(nets.decay(), 2.0)), ShapeError, "is a whole number, got 2.0"),
        (lambda: lower(nets.single(nets.decay(), True)), ShapeError, "is a whole number, got True"),
        (lambda: lower(nets.single(nets.decay(), 2, tau=np.ones(3))), ShapeError, "n/op/tau: got shape (3,)"),
        (lambda: lower(nets.single(nets.decay(), 2, tau="slow")), ShapeError, "n/op/tau: expected numbers"),
        (lambda: lower(nets.single(nets.decay(), tua=1.0)), PathError, "unknown variable 'tua'. Did you mean 'tau'"),
        (lambda: lower(Graph({"n": Node({"op": nets.decay()}, values={"po/tau": 1.0})})), PathError, "operator 'po'"),
    ],
)
def test_wrong_nodes(use, error, message):
    with pytest.raises(error) as caught:
        use()
    assert message in str(caught.value)


def test_vectors_that_do_not_fit_are_found_when_they_run():
    op = nets.operator("x' = -x\nm = tanh(x)", {"x": np.ones(3)}, algebraic={"m": 0.0})
    with pytest.raises(ShapeError, match=r"n/op/m: its equation has the shape \(3,\), the variable \(1,\)"):
        simulate(nets.program(op), 1.0, dt=0.1)
    op = nets.operator("x' = y", {"x": 0.0}, {"y": np.ones(3)})
    with pytest.raises(ShapeError, match="Declare a vector with a vector"):
        simulate(nets.program(op), 1.0, dt=0.1)


def test_the_circle_through_two_nodes_is_named():
    op = nets.operator("m = 2*u", inputs={"u": 0.0}, algebraic={"m": 0.0})
    edges = (Edge("a/op/m", "b/op/u"), Edge("b/op/m", "a/op/u"))
    with pytest.raises(TemplateError) as error:
        lower(Graph({"a": Node({"op": op}), "b": Node({"op": op})}, edges))
    for name in ("a/op/m -> a/op/u", "b/op/u", "b/op/m"):
        assert name.split(" -> ")[0] in str(error.value)
    assert "Break it with a differential equation, or a delay" in str(error.value)
    delayed = (edges[0], Edge("b/op/m", "a/op/u", delay=0.1))
    lower(Graph({"a": Node({"op": op}), "b": Node({"op": op})}, delayed))


def test_step_needs_a_solver_with_steps():
    from dataclasses import replace

    program = replace(DECAY, solver="scipy")
    with pytest.raises(CapabilityError, match="has no single steps"):
        program.step(program.init(0.1), program.params, {}, Clock(0, 0.0, 0.1))
