"""What people at a prompt meet: keywords that do not exist, results thrown away, reprs, keys, kinds of errors."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra import CircuitTemplate, Network, NeuronGroup, NodeTemplate, OperatorTemplate, Result, simulate, sweep
from recurra.courtesy import warn
from recurra.engine import Edge, Graph, Snapshot, as_program, load
from recurra.errors import (
    CallError,
    CapabilityError,
    DiscardedResult,
    MissingPackageError,
    PathError,
    RecurraError,
    StoreError,
    UnknownTag,
)
from recurra.glm import PopulationGLM, basis
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import GoNoGo
from recurra.spiking import convert
from recurra.training import fit_bptt

VDP = "model_templates.oscillators.vanderpol.vdp"
PACKAGES = (
    "analysis circuits engine equations glm glm.basis groups interchange network plotting rate.tasks spiking sweeping"
    " training"
)


@pytest.fixture(scope="module")
def vdp() -> CircuitTemplate:
    return CircuitTemplate.from_yaml(VDP)


@pytest.fixture(scope="module")
def net() -> Network:
    net = Network(dt=0.1, seed=0)
    net.add_diffeq_node("a", "x' = -k*x + u", variables={"x": "output", "u": "input", "k": 1.0}, N=20)
    net.add_func_node("f", 20, "tanh")
    net.add_edge("a", "f", np.eye(20))
    return net


@pytest.fixture(scope="module")
def result(vdp) -> Result:
    return simulate(vdp, 1.0, dt=0.1, record={"x": "p/vdp_op/x"}, progress=False)


# -- calls --------------------------------------------------------------------------------------------------------


def public() -> dict[str, types.FunctionType]:
    """Map names to all public functions and methods that are written in Python."""
    found: dict[str, types.FunctionType] = {}
    for package in PACKAGES.split():
        module = importlib.import_module(f"recurra.{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            kinds = thing.__mro__ if isinstance(thing, type) and not issubclass(thing, BaseException) else ()
            if isinstance(thing, types.FunctionType):
                found[f"{package}.{name}"] = thing
            for kind in (kind for kind in kinds if kind.__module__.startswith("recurra.")):
                for method, member in vars(kind).items():
                    function = getattr(member, "__func__", member)
                    if isinstance(function, types.FunctionType) and (method[0] != "_" or method == "__init__"):
                        found[f"{package}.{name}.{method}"] = function
    return found


def test_everything_public_answers_calls_that_do_not_fit():
    functions = public()
    assert len(functions) > 400
    assert [name for name, function in functions.items() if not hasattr(function, "_guarded")] == []


def test_a_keyword_that_does_not_exist_gets_near_names_everywhere():
    """Every function that passes no keywords on is called with one that is misspelled by a letter."""
    for name, function in public().items():
        parameters = inspect.signature(function).parameters.values()
        named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        named = [n for n in named if n not in ("self", "cls") and len(n) > 3]
        passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if passed_on or not named:
            continue
        with pytest.raises(CallError) as caught:
            function(**{f"{named[0]}x": 1})
        assert "unknown keyword" in str(caught.value) and repr(named[0]) in str(caught.value), name


def calls():
    vdp = CircuitTemplate.from_yaml(VDP)
    net = Network(dt=0.1)
    net.add_diffeq_node("a", "x' = -k*x + u", variables={"x": "output", "u": "input", "k": 1.0}, N=2)
    x, y = np.ones((5, 2)), np.ones((5, 2))
    rate = FR_RNN_dale(6, 0.2, 0.5, np.ones((6, 1)), 0, "gaus", 1.5, True, np.ones((1, 6)))
    return {
        "record": lambda: simulate(vdp, 1.0, dt=0.1, recrod=["p/vdp_op/x"]),
        "inputs": lambda: sweep(vdp, {"p/vdp_op/mu": [1.0]}, 1.0, dt=0.1, input={}),
        "outputs": lambda: vdp.run(1.0, 0.1, output={"x": "p/vdp_op/x"}),
        "epochs": lambda: net.fit_bptt(x, y, train=["a/k"], epoch=1),
        "optimizer": lambda: net.fit_bptt(x, y, train=["a/k"], optimiser="adam"),
        "progress": lambda: net.run(x, progres=False),
        "weights": lambda: net.add_edge("a", "a", weight=1.0),
        "N": lambda: net.add_diffeq_node("b", "x' = -x", variables={"x": "output"}, n=2),
        "behavior": lambda: NeuronGroup(Network(), 2, behaviour={}),
        "regularizer": lambda: PopulationGLM(regularizr="Ridge"),
        "n_basis_funcs": lambda: basis.RaisedCosineLogConv(n_basis_func=3, window_size=10),
        "apply_dale": lambda: FR_RNN_dale(6, 0.2, 0.5, 1, 0, "gaus", 1.5, aply_dale=True, w_out=1),
        "noise": lambda: convert(rate, 40.0).simulate(np.ones((1, 4)), nois=None),
        "equations": lambda: OperatorTemplate("o", equation="x' = 1", variables={}),
        "operators": lambda: NodeTemplate(name="n", operator=[]),
        "param_grid": lambda: recurra.grid_search(vdp, param_gird={}, param_map={}, step_size=0.1, simulation_time=1.0),
        "lr": lambda: fit_bptt(vdp.program, {}, y, output="p/vdp_op/x", train=["p/vdp_op/mu"], dt=0.1, l_r=0.1),
    }


@pytest.mark.parametrize("keyword", calls())
def test_misspelled_keywords_of_the_ways_in(keyword):
    with pytest.raises(RecurraError) as caught:
        calls()[keyword]()
    assert f"'{keyword}'" in str(caught.value)


def test_arguments_in_wrong_number_are_answered_with_what_is_expected(vdp):
    expected = r"simulate\(\) missing 1 required .*'dt'; expected simulate\(program, duration, \*, dt, "
    with pytest.raises(TypeError, match=expected):
        simulate(vdp, 1.0)
    with pytest.raises(RecurraError, match=r"Snapshot\(\) .*; expected Snapshot\(state, step, t0, dt, origin=.*\)"):
        Snapshot({}, 1)


def test_errors_inside_of_a_call_stay_what_they_are(vdp):
    class Model:
        @property
        def program(self):
            return "a" + 1

    with pytest.raises(TypeError, match="can only concatenate") as caught:
        as_program(Model())
    assert not isinstance(caught.value, CallError)
    assert inspect.signature(simulate).parameters["dt"].name == "dt"


# -- results that are thrown away -----------------------------------------------------------------------------------


def lost(*actions) -> list[str]:
    """Run each action, as a statement of its own or not, and return what is told."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for action in actions:
            action()
    assert all(w.filename == __file__ for w in told if w.category is DiscardedResult)
    return [str(w.message).split(" leaves")[0] for w in told if w.category is DiscardedResult]


def test_a_changed_copy_that_is_thrown_away_is_told(vdp):
    node, program = next(iter(vdp.leaves.values())), vdp.program
    trials = GoNoGo().trials(2)
    twin = convert(FR_RNN_dale(6, 0.2, 0.5, np.ones((6, 1)), 0, "gaus", 1.5, True, np.ones((1, 6))), 40.0)

    def script():
        vdp.update_var({"p/vdp_op/mu": 0.0})
        vdp.update_template(name="other")
        vdp.add_node_template("q", node)
        node.update_var("vdp_op", "mu", 2.0)
        program.update({"p/vdp_op/mu": 2.0})
        (vdp.update_var({"p/vdp_op/mu": 0.0})
            .update_var({"p/vdp_op/mu": 1.0}))  # fmt: skip
        trials.take([0])
        twin.with_scale(20.0)

    assert lost(script) == [
        "CircuitTemplate.update_var", "CircuitTemplate.update_template", "CircuitTemplate.add_node_template",
        "NodeTemplate.update_var", "Program.update", "CircuitTemplate.update_var", "Trials.take",
        "SpikingNetwork.with_scale",
    ]  # fmt: skip


def test_a_changed_copy_that_is_used_is_not(vdp):
    def uses():
        changed = vdp.update_var({"p/vdp_op/mu": 0.0})
        changed = changed.update_var({"p/vdp_op/mu": 1.0}).update_template(name="o")
        _ = [changed.update_var({"p/vdp_op/mu": v}) for v in (1.0, 2.0)]
        print(repr(changed.update_var({"p/vdp_op/mu": 2.0}))[:0], end="")
        kept = []
        kept.extend(map(vdp.update_var, [{"p/vdp_op/mu": 3.0}]))  # the statement ends with another call
        kept.append(
            *map(changed.update_var, [{"p/vdp_op/mu": 4.0}]),
        )
        return changed.program.update({"p/vdp_op/mu": 2.0}).get("p/vdp_op/mu")

    assert lost(uses, lambda: vdp.update_var({"p/vdp_op/mu": 0.0})) == []


# -- reprs ----------------------------------------------------------------------------------------------------------


def test_reprs_are_short_however_much_there_is(vdp, net, result):
    rng = np.random.default_rng(0)
    wide = NodeTemplate("n", OperatorTemplate("o", "x' = -x + w", {"x": "output", "w": np.zeros(5000)}))
    many = CircuitTemplate("c", nodes={f"n{i}": next(iter(vdp.leaves.values())) for i in range(300)})
    glm = PopulationGLM().fit_spikes(rng.poisson(0.5, (60, 3)), basis.RaisedCosineLogConv(3, window_size=10))
    group = NeuronGroup(Network(), 5000, tag="cells")
    group.v = group.vector("uniform")
    fit = fit_bptt(vdp.program, {}, np.zeros((5, 1)), output="p/vdp_op/x", train=["p/vdp_op/mu"], dt=0.1, epochs=40)
    things = [
        many, many.program, many.program.graph, many.program.system, vdp.program, net, net.program, net.program.graph,
        net.program.system, net["a"], result, result.final,
        GoNoGo(), GoNoGo().trials(50), wide, glm, group, group.network, fit, fit.history,
        Edge("a/op/x", "b/op/u", rng.normal(size=(50, 50))), Graph({}), basis.RaisedCosineLogConv(3, window_size=10),
        FR_RNN_dale(60, 0.2, 0.5, np.ones((60, 1)), 0, "gaus", 1.5, True, np.ones((1, 60))),
    ]  # fmt: skip
    for thing in things:
        assert len(repr(thing)) <= 1000 and repr(thing).count("\n") < 20, (type(thing), len(repr(thing)))


def test_the_repr_of_a_program_does_not_grow(vdp):
    node = next(iter(vdp.leaves.values()))
    few, many = (CircuitTemplate("c", nodes={f"n{i}": node for i in range(n)}).program for n in (2, 300))
    assert len(repr(many)) < len(repr(few)) + 10
    assert repr(few).startswith("Program('c', 2 node(s) of 2 unit(s) in 1 group(s), 0 edge(s), ")


# -- keys -----------------------------------------------------------------------------------------------------------


def test_a_result_is_a_mapping_of_recordings(result):
    assert len(result) == 1 and list(result) == ["x"] == result.keys() and bool(result)
    ((name, rows),) = result.items()
    assert name == "x" and np.array_equal(rows, result["x"]) and np.array_equal(result.values()[0], rows)
    assert result.get("nope") is None and result.get("nope", 3) == 3 and np.array_equal(result.get("x"), rows)


ROWS = [(0, "result['x'][0]"), (slice(0, 10), "result['x'][0:10]"), (2.5, "Known: x")]


@pytest.mark.parametrize(("key", "text"), ROWS)
def test_a_row_of_a_result_is_answered_with_how_to_get_it(result, key, text):
    with pytest.raises(KeyError) as caught:
        result[key]
    assert text in str(caught.value)


def test_names_that_do_not_exist_are_key_errors_with_a_readable_message(vdp, net, result):
    looked_up = {
        "recording": lambda: result["nope"],
        "state": lambda: result.final["nope"],
        "node": lambda: vdp["nope"],
        "operator": lambda: vdp["p"]["nope"],
        "variable": lambda: vdp["p"]["vdp_op"]["nope"],
        "a, f": lambda: net["nope"],
        "path": lambda: vdp.program.get("nope"),
        "template": lambda: CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.nope"),
    }
    for what, look_up in looked_up.items():
        with pytest.raises(KeyError) as caught:
            look_up()
        assert isinstance(caught.value, PathError | UnknownTag) and isinstance(caught.value, ValueError)
        text = str(caught.value)
        assert ("nope" in text and what in text and text[0] not in "\"'") or what == "path", text
        assert "\\" not in text


# -- kinds of errors --------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path, result):
    for call in (lambda: load(tmp_path / "no.npz"), lambda: Snapshot.load(tmp_path / "no.npz"),
                 lambda: result.save(tmp_path / "no" / "no.npz")):  # fmt: skip
        with pytest.raises(OSError) as caught:
            call()
        assert isinstance(caught.value, StoreError) and "no.npz" in str(caught.value)
        assert "None" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_an_import_error(monkeypatch, net, result, tmp_path):
    from recurra.interchange import to_nir

    calls = {
        "optax": lambda: net.fit_bptt(np.ones((5, 20)), np.ones((5, 20)), train=["a/k"], epochs=1, progress=False),
        "diffrax": lambda: simulate(CircuitTemplate.from_yaml(VDP), 1.0, dt=0.1, solver="tsit5", progress=False),
        "zarr": lambda: simulate(CircuitTemplate.from_yaml(VDP), 1.0, dt=0.1, store=tmp_path / "s", progress=False),
        "h5netcdf": lambda: result.save(tmp_path / "a.nc"),
        "nir": lambda: to_nir(net),
    }
    for package, call in calls.items():
        with monkeypatch.context() as gone:
            gone.setitem(sys.modules, package, None)
            with pytest.raises(ImportError, match="pip install") as caught:
                call()
        assert isinstance(caught.value, MissingPackageError) and isinstance(caught.value, CapabilityError), package


def test_warnings_name_the_line_of_the_user():
    with pytest.warns(UserWarning, match="late") as told:
        warn("late", UserWarning)
    assert told[0].filename == __file__


def test_type_hints_are_shipped():
    assert (Path(recurra.__file__).parent / "py.typed").is_file()
