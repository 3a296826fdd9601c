"""Running circuits: rows, columns, inputs, back-ends, grids, vector fields; against loops and formulas."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from recurra.circuits import (
    CircuitTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
    circuit_from_yaml,
    from_yaml,
    grid_search,
    integrate,
)
from recurra.engine import trace_count
from recurra.errors import CapabilityError, OptionError, PathError, ShapeError, TimeError

QIF = "model_templates.neural_mass_models.qif.qif"
VDP = "model_templates.oscillators.vanderpol.vdp"
WC = "model_templates.neural_mass_models.wilsoncowan.WC"
RAMP = OperatorTemplate("ramp", "x' = u", {"x": "output(1.0)", "u": "input(2.0)"})
LEAK = OperatorTemplate(
    "leak", ["v' = -v/tau + u", "m = 2*v"], {"v": "output(1.0)", "m": "variable", "tau": 2.0, "u": "input"}
)


def one(operator=RAMP):
    return CircuitTemplate("one", nodes={"p": NodeTemplate("cell", operator)})


def pair(**more):
    cell = NodeTemplate("cell", LEAK)
    return CircuitTemplate("pair", nodes={"a": cell, "b": cell}, edges=[("a/leak/v", "b/leak/u")], **more)


def test_row_k_is_the_state_before_step_k():
    table = one().run(1.0, 0.1, outputs={"x": "p/ramp/x"})
    assert isinstance(table, pandas.DataFrame)
    assert table.index.name == "time"
    assert np.abs(table.index.to_numpy() - 0.1 * np.arange(10)).max() < 1e-12
    assert np.abs(table["x"].to_numpy() - (1.0 + 0.2 * np.arange(10))).max() < 1e-12


def test_sampling_takes_every_nth_row():
    fine = one().run(1.0, 0.05, outputs={"x": "p/ramp/x"})
    coarse = one().run(1.0, 0.05, outputs={"x": "p/ramp/x"}, sampling_step_size=0.2)
    assert len(coarse) == 5
    np.testing.assert_array_equal(coarse["x"], fine["x"][::4])
    np.testing.assert_array_equal(coarse.index, fine.index[::4])


def test_cutoff_drops_rows():
    full = one().run(1.0, 0.1, outputs={"x": "p/ramp/x"})
    cut = one().run(1.0, 0.1, outputs={"x": "p/ramp/x"}, cutoff=0.5)
    pandas.testing.assert_frame_equal(cut, full.iloc[5:])


@pytest.mark.parametrize("shape", [(), (10,), (10, 1)])
def test_inputs(shape):
    table = one().run(1.0, 0.1, outputs={"x": "p/ramp/x"}, inputs={"p/ramp/u": np.full(shape, 3.0)})
    assert np.abs(table["x"].to_numpy() - (1.0 + 0.3 * np.arange(10))).max() < 1e-12


def test_inputs_of_several_nodes():
    drive = np.stack([np.arange(10.0), 2 * np.arange(10.0)], axis=1)
    circuit = CircuitTemplate("two", nodes=dict.fromkeys("ab", NodeTemplate("cell", RAMP)))
    table = circuit.run(1.0, 0.1, outputs={"x": "all/ramp/x"}, inputs={"all/ramp/u": drive})
    expected = 1.0 + 0.1 * (np.cumsum(drive, axis=0) - drive)
    assert table.columns.tolist() == [("x", "a", "ramp/x"), ("x", "b", "ramp/x")]
    assert np.abs(table.to_numpy() - expected).max() < 1e-12


def columns(circuit, outputs):
    return circuit.run(0.2, 0.1, outputs=outputs).columns.tolist()


def test_columns():
    cell = NodeTemplate("cell", LEAK)
    nested = CircuitTemplate("nested", circuits={"c": pair()}, nodes={"top": cell})
    mixed = pair(populations={"p": PopulationTemplate("p", cell, 2)})
    assert columns(pair(), None) == ["a/leak/v", "b/leak/v"]
    assert columns(pair(), ["b/leak/v", "a/leak/m"]) == ["b/leak/v", "a/leak/m"]
    assert columns(pair(), "a/leak/v") == ["a/leak/v"]
    assert columns(pair(), {"v": "a/leak/v", "m": "b/leak/m"}) == ["v", "m"]
    assert columns(pair(), {"v": "all/leak/v"}) == [("v", "a", "leak/v"), ("v", "b", "leak/v")]
    assert columns(pair(), {"v": "all/leak/v", "one": "a/leak/m"})[2] == ("one", "", "")
    assert columns(nested, {"v": "c/all/leak/v"}) == [("v", "c", "a", "leak/v"), ("v", "c", "b", "leak/v")]
    assert columns(mixed, {"p": "p/leak/v"}) == [("p", 0), ("p", 1)]
    assert columns(mixed, {"p": "p/leak/v", "a": "a/leak/v"}) == [("p", 0), ("p", 1), ("a", "")]


def test_a_single_output_of_a_mixed_table_is_found_by_its_name():
    table = pair().run(0.2, 0.1, outputs={"v": "all/leak/v", "one": "a/leak/m"})
    assert isinstance(table["one"], pandas.Series)
    np.testing.assert_array_equal(table["one"].to_numpy(), 2 * table["v", "a", "leak/v"].to_numpy())


def test_complex_and_real_outputs_in_one_table():
    circuit = circuit_from_yaml("model_templates.neural_mass_models.theta.kmo_theta")
    table = circuit.run(0.1, 0.01, outputs={"z": "p/theta_op/z", "r": "p/theta_op/r"})
    assert table["z"].dtype == complex and table["r"].dtype == float
    assert table["z"].iloc[0] == -0.6 - 0.8j
    size = np.abs(table["z"]) ** 2
    rate = (1 - size) / (np.pi * (1 + 2 * table["z"].to_numpy().real + size))
    assert np.abs(rate - table["r"]).max() < 1e-12


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("path", [WC, QIF, "model_templates.neural_mass_models.wilsoncowan.WC_stp"])
def test_numpy_backend_gives_the_same(path, solver):
    circuit = from_yaml(path)
    fast = circuit.run(1.0, 0.01, solver=solver)
    slow = circuit.run(1.0, 0.01, solver=solver, backend="numpy")
    assert fast.columns.tolist() == slow.columns.tolist()
    assert np.abs(fast.to_numpy() - slow.to_numpy()).max() < 1e-12


def test_backends_of_one_meaning():
    circuit = from_yaml(VDP)
    plain = circuit.run(1.0, 0.1)
    for backend in ("default", "jax", None):
        pandas.testing.assert_frame_equal(circuit.run(1.0, 0.1, backend=backend), plain)
    exact = circuit.run(1.0, 0.1, backend="scipy", method="DOP853", rtol=1e-10, atol=1e-12)
    also = circuit.run(1.0, 0.1, solver="scipy", method="DOP853", rtol=1e-10, atol=1e-12)
    pandas.testing.assert_frame_equal(exact, also)
    close = circuit.run(1.0, 0.001, solver="rk4", sampling_step_size=0.1)
    assert np.abs(close.to_numpy() - exact.to_numpy()).max() < 1e-8


@pytest.mark.parametrize("backend", ["default", "numpy"])
def test_initial_values_for_one_run(backend):
    circuit = one()
    table = circuit.run(0.3, 0.1, outputs={"x": "p/ramp/x"}, initial={"p/ramp/x": 5.0}, backend=backend)
    assert np.abs(table["x"].to_numpy() - [5.0, 5.2, 5.4]).max() < 1e-12
    assert circuit.run(0.3, 0.1)["p/ramp/x"].iloc[0] == 1.0


def test_running_twice_gives_the_same_bits_and_compiles_once():
    # In the original the second run of a template is an error.
    circuit = from_yaml(QIF)
    first = circuit.run(1.0, 0.01)
    counted = trace_count()
    pandas.testing.assert_frame_equal(circuit.run(1.0, 0.01), first, check_exact=True)
    pandas.testing.assert_frame_equal(
        circuit.update_var({"p/qif_op/eta": -4.0}).update_var({"p/qif_op/eta": -5.0}).run(1.0, 0.01), first
    )
    assert trace_count() == counted


def test_loading_twice_gives_independent_templates():
    # In the original an update leaks into what is loaded later.
    first = from_yaml(QIF)
    first.update_var({"p/qif_op/eta": 3.0})
    second = from_yaml(QIF)
    assert first == second and first is not second
    assert second["p"].get_var("qif_op", "eta") == -5.0


def test_integrate():
    expected = from_yaml(VDP).run(simulation_time=1.0, step_size=0.1)
    pandas.testing.assert_frame_equal(integrate(VDP, simulation_time=1.0, step_size=0.1), expected)
    pandas.testing.assert_frame_equal(integrate(from_yaml(VDP), simulation_time=1.0, step_size=0.1), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"vectorize": False}, OptionError, "'vectorize' is no option here: nodes with equal equations"),
        ({"verbose": False}, OptionError, "use progress=False"),
        ({"clear": True}, OptionError, "nothing is kept between runs"),
        ({"in_place": False}, OptionError, "a template never changes"),
        ({"float_precision": "float64"}, OptionError, "use precision='float64'"),
        ({"backend": "numba"}, OptionError, "unknown backend 'numba'. Did you mean 'numpy'"),
        ({"backend": "tensorflow"}, OptionError, "unknown backend"),
        ({"backend": "scipy", "solver": "euler"}, OptionError, "has the solver 'scipy' only"),
        ({"backend": "numpy", "precision": "float32"}, OptionError, "computes in float64 only"),
        ({"backend": "numpy", "device": "cpu"}, OptionError, "unknown option 'device'"),
        ({"solver": "eulr"}, OptionError, "Did you mean 'euler'"),
        ({"tolerance": 1e-3}, OptionError, "unknown option 'tolerance'"),
        ({"sampling_step_size": 0.15}, TimeError, "use 0.1 or 0.2"),
        ({"sampling_step_size": 0.01}, TimeError, "sampling_step_size"),
        ({"outputs": {"x": "p/ramp/y"}}, PathError, "unknown variable 'y'"),
        ({"outputs": {"x": "q/ramp/x"}}, PathError, "unknown node 'q'"),
        ({"outputs": ["ramp/x"]}, PathError, "no full path"),
        ({"inputs": {"p/ramp/uu": 1.0}}, PathError, "unknown variable 'uu'"),
        ({"inputs": {"p/ramp/x": 1.0}}, PathError, "is of kind state"),
        ({"inputs": {"p/ramp/u": np.ones(7)}}, ShapeError, "7"),
        ({"initial": {"p/ramp/u": 1.0}}, PathError, "only a state has an initial value"),
        ({"initial": {"p/ramp/z": 1.0}}, PathError, "unknown variable 'z'"),
        ({"initial": 3}, ValueError, "expected a mapping"),
        ({"step_size": 0.3}, TimeError, "use 0.9 or 1.2"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error) as caught:
        one().run(**{"simulation_time": 1.0, "step_size": 0.1, **options})
    assert message in str(caught.value)


def qif_jacobian(r, v):
    return np.array([[2 * v, 2 * r], [15.0 - 2 * np.pi**2 * r, 2 * v]])


def test_vector_field_and_jacobian_of_the_qif():
    # tau = Delta = 1, J = 15, eta = -5: derivatives by hand from Montbrió, Pazó, Roxin (2015).
    circuit = from_yaml(QIF)
    func, args, names, index = circuit.get_run_func("qif_rhs", 0.01)
    assert func.__name__ == "qif_rhs"
    assert names[:2] == ("t", "y") and len(args) == len(names)
    assert index == {"p/qif_op/r": 0, "p/qif_op/v": 1}
    y = np.array([0.01, -2.0])
    expected = [1 / np.pi + 2 * y[0] * y[1], y[1] ** 2 - 5.0 + 15 * y[0] - (np.pi * y[0]) ** 2]
    assert np.abs(np.asarray(func(0.0, y, *args[2:])) - expected).max() < 1e-13
    jacobian, args, names, index = circuit.get_jacobian_func("qif_jac", 0.01)
    assert np.abs(np.asarray(jacobian(0.0, y, *args[2:])) - qif_jacobian(*y)).max() < 1e-12
    np.testing.assert_allclose(jacobian(*args), [[-4, 0.02], [14.8026079, -4]], rtol=1e-8)


def test_vector_field_follows_its_parameters():
    func, args, names, _ = from_yaml(QIF).get_run_func("rhs", 0.01)
    values = list(args)
    values[names.index("p/qif_op/eta")] = 3.0
    values[names.index("p/qif_op/r->p/qif_op/r_in/weight")] = 10.0
    moved = np.asarray(func(*values)) - np.asarray(func(*args))
    assert np.abs(moved - [0.0, 8.0 - 5.0 * 0.01]).max() < 1e-13


def test_vector_field_with_a_sampled_input():
    drive = np.array([0.0, 1.0, 4.0, 9.0])
    func, args, names, _ = one().get_run_func("rhs", 0.5, inputs={"p/ramp/u": drive})
    assert "p/ramp/u" not in names
    found = [float(func(t, args[1])[0]) for t in (-1.0, 0.0, 0.25, 0.5, 0.75, 1.5, 9.0)]
    assert np.abs(np.array(found) - [0.0, 0.0, 0.5, 1.0, 2.5, 9.0, 9.0]).max() < 1e-13


def test_complex_jacobian_is_that_of_real_and_imaginary_parts():
    circuit = from_yaml("model_templates.neural_mass_models.theta.kmo_theta")
    func, args, *_ = circuit.get_run_func("rhs", 0.01)
    jacobian = np.asarray(circuit.get_jacobian_func("jac", 0.01)[0](*args))
    z, h = args[1][0], 1e-6
    slope = [
        (np.asarray(func(0.0, [z + step])) - np.asarray(func(0.0, [z - step])))[0] / (2 * h) for step in (h, 1j * h)
    ]
    expected = np.array([[s.real for s in slope], [s.imag for s in slope]])
    assert np.abs(jacobian - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "fortran"}, OptionError, "unknown backend 'fortran'"),
        ({"backend": "numpy"}, OptionError, "has no compiled function"),
        ({"vectorize": True}, OptionError, "'vectorize' is no option here"),
        ({"auto": True}, OptionError, "unknown option 'auto'"),
        ({"func_name": "not a name"}, OptionError, "func_name must be a name"),
        ({"inputs": {"p/ramp/x": 1.0}}, PathError, "is of kind state"),
        ({"inputs": {"p/ramp/u": np.ones((2, 2, 2))}}, ShapeError, "(steps, nodes)"),
    ],
)
def test_bad_options_of_functions(options, error, message):
    for method in ("get_run_func", "get_jacobian_func"):
        with pytest.raises(error) as caught:
            getattr(one(), method)(**{"func_name": "f", "step_size": 0.1, **options})
        assert message in str(caught.value)


def test_functions_refuse_wrong_states_and_delays():
    func, *_ = one().get_run_func("f", 0.1)
    with pytest.raises(ShapeError, match=r"y must have shape \(1,\), got \(2,\)"):
        func(0.0, [1.0, 2.0])
    with pytest.raises(ShapeError, match="got 5 parameters"):
        func(0.0, [1.0], 1, 2, 3, 4, 5)
    delayed = pair().update_var(edge_vars=[("a", "b", {"delay": 0.5})])
    with pytest.raises(CapabilityError, match="delay"):
        delayed.get_run_func("f", 0.1)


GRID = {"eta": [-5.0, -4.0, -3.0], "J": [15.0, 10.0, 12.0]}
MAP = {
    "eta": {"vars": ["qif_op/eta"], "nodes": ["p"]},
    "J": {"vars": ["weight"], "edges": [("p/qif_op/r", "p/qif_op/r_in")]},
}


def singly(eta, weight):
    circuit = from_yaml(QIF).update_var({"p/qif_op/eta": eta}, [("p/qif_op/r", "p/qif_op/r_in", {"weight": weight})])
    return circuit.run(2.0, 0.01, outputs={"r": "p/qif_op/r", "v": "p/qif_op/v"}, inputs={"p/qif_op/I_ext": 1.0})


def search(grid=None, mapping=None, **options):
    arguments = {
        "step_size": 0.01,
        "simulation_time": 2.0,
        "outputs": {"r": "p/qif_op/r", "v": "p/qif_op/v"},
        "inputs": {"p/qif_op/I_ext": 1.0},
    }
    return grid_search(QIF, GRID if grid is None else grid, mapping or MAP, **{**arguments, **options})


def test_grid_search_equals_single_runs():
    inputs, grid, mapping = {"p/qif_op/I_ext": 1.0}, {k: list(v) for k, v in GRID.items()}, dict(MAP)
    results, sets = search(grid, mapping, inputs=inputs)
    assert (inputs, grid, mapping) == ({"p/qif_op/I_ext": 1.0}, GRID, MAP)
    assert sets.index.tolist() == ["qif_0", "qif_1", "qif_2"]
    assert sets.columns.tolist() == ["eta", "J"]
    assert results.columns.tolist()[:2] == [("r", "qif_0", "p", "qif_op/r"), ("r", "qif_1", "p", "qif_op/r")]
    for name, (eta, weight) in sets.iterrows():
        expected = singly(eta, weight)
        for output in ("r", "v"):
            found = results[output, name, "p", f"qif_op/{output}"]
            assert np.abs(found - expected[output]).max() < 1e-12
    pandas.testing.assert_frame_equal(search(pandas.DataFrame(GRID))[0], results)


def test_grid_search_permuted():
    _, sets = search({"eta": [-5.0, -4.0], "J": [15.0, 10.0, 5.0]}, permute_grid=True)
    expected = [(-5, 15), (-5, 10), (-5, 5), (-4, 15), (-4, 10), (-4, 5)]
    np.testing.assert_array_equal(sets.to_numpy(), expected)


def test_grid_search_of_parallel_edges_and_initial_values():
    edges = [("p/leak/v", "p/leak/u", None, {"weight": w}) for w in (0.1, 0.2)]
    circuit = CircuitTemplate("loop", nodes={"p": NodeTemplate("cell", LEAK)}, edges=edges)
    mapping = {
        "w": {"vars": ["weight"], "edges": [("p/leak/v", "p/leak/u", 1)]},
        "v0": {"vars": ["leak/v"], "nodes": ["p"]},
    }
    results, _ = grid_search(circuit, {"w": [0.2, 0.4], "v0": [1.0, 2.0]}, mapping, 0.1, 1.0, ["p/leak/v"])
    steps = np.arange(10)
    expected = [v0 * (1 + 0.1 * (-0.5 + 0.1 + w)) ** steps for w, v0 in ((0.2, 1.0), (0.4, 2.0))]
    assert np.abs(results.to_numpy() - np.array(expected).T).max() < 1e-12


@pytest.mark.parametrize(
    ("grid", "mapping", "options", "error", "message"),
    [
        ({"eta": [1.0], "J": [1.0, 2.0]}, None, {}, ShapeError, "all lists must have the same length"),
        ({"eta": [1.0]}, None, {}, OptionError, "param_map: unknown parameter 'J'"),
        ({**GRID, "etta": [1.0] * 3}, None, {}, OptionError, "Did you mean 'eta'"),
        ({}, None, {}, ShapeError, "is empty"),
        (None, {**MAP, "eta": {"vars": ["qif_op/etta"], "nodes": ["p"]}}, {}, PathError, "Did you mean 'eta'"),
        (None, {**MAP, "eta": {"vars": ["qif_op/eta"], "nodes": ["q"]}}, {}, PathError, "unknown node 'q'"),
        (None, {**MAP, "eta": {"vars": ["qif_op/eta"]}}, {}, OptionError, "needs `vars`, and `nodes` or `edges`"),
        (None, {**MAP, "eta": {"var": ["qif_op/eta"]}}, {}, OptionError, "Did you mean 'vars'"),
        (None, {**MAP, "J": {"vars": ["weight"], "edges": [("p/qif_op/r", "p/x")]}}, {}, PathError, "unknown edge"),
        (
            None,
            {**MAP, "J": {"vars": ["weight"], "edges": [("p/qif_op/r", "p/qif_op/r_in", 1)]}},
            {},
            PathError,
            "no edge",
        ),
        (None, {**MAP, "J": MAP["eta"]}, {}, OptionError, "is changed by another parameter"),
        (None, None, {"backend": "numpy"}, OptionError, "runs one set at a time"),
        (None, None, {"verbose": False}, OptionError, "use progress=False"),
    ],
)
def test_bad_grids(grid, mapping, options, error, message):
    with pytest.raises(error) as caught:
        search(grid, mapping, **options)
    assert message in str(caught.value)
