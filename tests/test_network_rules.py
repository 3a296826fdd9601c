"""Rules as nodes of a Network: GLMs, spiking and Dale networks, held against themselves alone and NumPy loops."""

from __future__ import annotations

from functools import cache

import jax
import numpy as np
import pytest

from recurra import Network
from recurra.engine import Edge, Emission, Graph, Rule, Snapshot, as_function, load, lower, simulate
from recurra.errors import CapabilityError, PathError, RecurraError, ShapeError, StoreError, TemplateError
from recurra.glm import PopulationGLM, basis
from recurra.rate.model import FR_RNN_dale
from recurra.spiking import convert
from small_networks import TANH, close, series

WINDOW, N = 10, 3
RNG = np.random.default_rng(0)
TO_TANH, TO_GLM = RNG.normal(size=(2, N)), RNG.normal(size=(N, 2))


@cache
def fitted() -> PopulationGLM:
    counts = np.random.default_rng(1).random((2000, N)) < 0.3
    return PopulationGLM("Bernoulli").fit_spikes(counts, basis.RaisedCosineLogConv(3, window_size=WINDOW))


def alone(label: str, steps: int, drive=None, seed: int = 0):
    """Run the GLM by the engine, under a label."""
    program = lower(Graph({label: fitted().to_graph().nodes["glm"]}))
    record = {"spikes": f"{label}/spikes", "rate": f"{label}/rate"}
    inputs = None if drive is None else {f"{label}/drive": drive}
    return simulate(program, float(steps), dt=1.0, record=record, inputs=inputs, seed=seed)


def rates_given(seen: np.ndarray, drive: np.ndarray) -> np.ndarray:
    """Compute the means of all bins but the last from the spikes: `seen[t]` is what was observed before bin t."""
    model, filters = fitted(), fitted().coupling_filters()
    found = []
    for t in range(len(seen) - 1):
        predictor = model.intercept_ + drive[t]
        for lag in range(1, min(t, WINDOW) + 1):
            predictor = predictor + filters[lag - 1] @ seen[t + 1 - lag]
        found.append(1 / (1 + np.exp(-predictor)))
    return np.array(found)


def pair(weights=TO_GLM, **edge) -> Network:
    """Return a GLM that drives two rate neurons, which drive another GLM."""
    net = Network(dt=1.0, seed=4)
    fitted().to_node(net, "a")
    net.add_diffeq_node("r", TANH, N=2, input_var="I_ext", output_var="tanh_op/r", op="li_op", node_vars={"tau": 5.0})
    net.add_node("b", fitted())
    net.add_edge("a", "r", TO_TANH)
    net.add_edge("r", "b", weights, **edge)
    return net


def test_a_glm_in_a_network_draws_what_the_engine_draws_under_its_path():
    drive = 0.5 * series(80, N)
    net = Network(dt=1.0, seed=7)
    fitted().to_node(net, "pop")
    obs = net.run(drive, record_vars=[("pop", "rate")])
    expected = alone("pop/glm", 80, drive, seed=7)
    assert np.array_equal(obs["out"], expected["spikes"]) and expected["spikes"].sum() > 20
    assert np.array_equal(obs["pop", "rate"], expected["rate"])
    close(obs["pop", "rate"][:-1], rates_given(obs["out"], drive))


def test_a_network_of_rates_and_glms_is_that_of_a_loop():
    for delay in (0, 1, 3):
        net = pair(delays=delay)
        obs = net.run(steps=60, record_vars=[("a", "spikes"), ("a", "rate"), ("b", "rate"), ("r", "li_op/v")])
        seen, v, felt = obs["a", "spikes"], np.zeros(2), []
        for k in range(60):
            close(obs["r", "li_op/v"][k], v)
            v = v + (-v / 5.0 + TO_TANH @ seen[k])
            felt.append(np.tanh(v))
        drive = np.array([TO_GLM @ felt[k - delay] if k >= delay else np.zeros(N) for k in range(60)])
        close(obs["a", "rate"][:-1], rates_given(seen, np.zeros((60, N))))
        close(obs["b", "rate"][:-1], rates_given(obs["out"], drive))
        assert np.abs(obs["b", "rate"] - obs["a", "rate"]).max() > 0.1


def test_a_delay_between_rules_is_felt_so_many_steps_later():
    for delay in (0, 1, 3):
        net = Network(dt=1.0)
        net.add_node("a", fitted())
        net.add_node("b", fitted())
        net.add_edge("a", "b", np.eye(N), delays=delay)
        obs = net.run(steps=50, record_vars=[("a", "spikes"), ("b", "rate")])
        drive = np.concatenate([np.zeros((delay, N)), obs["a", "spikes"]])[:50]
        close(obs["b", "rate"][:-1], rates_given(obs["out"], drive))


def test_weight_zero_is_no_edge_and_parallel_edges_add():
    silent = pair(0.0).run(steps=50)
    assert np.array_equal(silent["out"], alone("b/glm", 50, seed=4)["spikes"])
    two = pair(0.5 * TO_GLM)
    two.add_edge("r", "b", 0.5 * TO_GLM)
    assert np.array_equal(two.run(steps=50)["out"], pair().run(steps=50)["out"])


def test_numbers_of_a_glm_are_got_and_set_by_path_and_reset():
    net = pair()
    before = net.run(steps=40)["out"]
    close(net.get_var("b", "intercepts"), fitted().intercept_)
    assert net["b"]["glm/filters_twice"].shape == (N, 2 * WINDOW, N)
    net.set_var("b", "intercepts", [-9.0, -9.0, 3.0])
    net["b"]["filters_twice"] = np.zeros((N, 2 * WINDOW, N))
    net.set_var("b/glm/drive", None, 0.0)
    after = net.run(steps=40)["out"]
    assert after[:, :2].sum() == 0 and after[:, 2].mean() > 0.8
    net.set_var("a", "spikes", [1.0, 0.0, 2.0])
    close(net.run(steps=1, record_vars=[("a", "spikes")])["a", "spikes"], [[1.0, 0.0, 2.0]])
    net.pop_edge("r", "b")
    close(net.get_var("b", "intercepts"), [-9.0, -9.0, 3.0])
    net.reset()
    close(net.get_var("a", "spikes"), np.zeros(N))
    net.pop_node("a")
    net.set_var("b", "intercepts", fitted().intercept_)
    net.set_var("b", "filters_twice", fitted().to_graph().nodes["glm"].params["filters_twice"])
    assert before.shape == net.run(steps=40, record_vars=[("b", "spikes")])["b", "spikes"].shape
    assert net["b"].n_in == net["b"].n_out == N
    assert "glm/rate" in net["b"].variable_names and "glm/scale" in net["b"].parameter_names


def test_a_sweep_runs_each_value_as_it_would_run_alone():
    values = np.array([-3.0, -1.0, 0.5])
    record = {"b": "b/glm/spikes", "v": "r/li_op/v"}
    batch = simulate(pair().program, 40.0, dt=1.0, record=record, batch={"a/glm/intercepts": values}, seed=4)
    for i, value in enumerate(values):
        net = pair()
        net.set_var("a", "intercepts", value)
        single = net.run(steps=40, record_vars={"b": "b/glm/spikes", "v": "r/li_op/v"})
        assert np.array_equal(batch["b"][i], single["b"])
        close(batch["v"][i], single["v"])
    assert np.abs(batch["v"][0] - batch["v"][2]).max() > 0.1


def test_half_and_resumed_is_the_whole_bit_for_bit(tmp_path):
    net = pair(delays=2)
    whole = net.run(steps=50)
    first = net.run(steps=20)
    second = net.run(steps=30, state=first.final)
    assert np.array_equal(whole["out"], np.concatenate([first["out"], second["out"]]))
    first.final.save(tmp_path / "state.npz")
    again = pair(delays=2)
    again.state = Snapshot.load(tmp_path / "state.npz")
    assert np.array_equal(again.run(steps=30)["out"], second["out"])


def test_files_of_networks_with_rules_hold_numbers(tmp_path):
    net, path = pair(delays=2), tmp_path / "net.npz"
    net.set_var("b", "intercepts", -0.5)
    net.set_var("a->r", "weights", 2 * TO_TANH)
    net.set_var("r", "li_op/v", [0.1, 0.2])
    net.state = net.run(steps=20).final
    net.save(path)
    again = pair(delays=2)
    again.load_values(path)
    assert np.array_equal(again.run(steps=30)["out"], net.run(steps=30)["out"])
    again.reset()
    net.reset()
    assert np.array_equal(again.run(steps=30)["out"], net.run(steps=30)["out"])
    other = pair(delays=2)
    other.add_func_node("more", 1, "tanh")
    other.add_edge("b", "more", 1.0)
    with pytest.raises(StoreError, match="another network: the file has no 'b->more/weights'"):
        other.load_values(path)
    late = pair(delays=5)
    with pytest.raises(StoreError, match="its state does not fit the network"):
        late.load_values(path)
    close(late.get_var("b", "intercepts"), fitted().intercept_)
    with pytest.raises(StoreError, match="build the network again, and call its load_values"):
        Network.load(path)
    equations = Network(dt=1.0)
    equations.add_func_node("f", 2, "tanh")
    equations.save(path)
    assert Network.load(path)["f"].n_in == 2
    with pytest.raises(StoreError, match=r"expected a recurra\.Network\.values"):
        net.load_values(path)


def test_rules_inside_a_network_inside_a_network():
    inner = Network(dt=1.0)
    inner.add_node("pop", fitted())
    outer = Network(dt=1.0, seed=3)
    outer.add_node("sub", inner)
    drive = series(30, N)
    assert np.array_equal(outer.run(drive)["out"], alone("sub/pop/glm", 30, drive, seed=3)["spikes"])
    outer.set_var("sub", "pop/glm/intercepts", 1.0)
    close(outer.get_var("sub/pop/glm/intercepts"), np.ones(N))
    close(inner.get_var("pop", "intercepts"), fitted().intercept_)


def test_changing_numbers_of_rules_compiles_nothing():
    from recurra.engine import trace_count

    net = pair()
    net.run(steps=20)
    before = trace_count()
    net.set_var("b", "intercepts", 0.3)
    net.run(steps=20, seed=9)
    assert trace_count() == before


# Dale networks


def dale(inputs: int = 2) -> FR_RNN_dale:
    rng = np.random.default_rng(2)
    return FR_RNN_dale(
        20, 0.2, 0.5, rng.normal(size=(20, inputs)), 0, "gaus", 1.5, True, rng.normal(size=(1, 20)), seed=1
    )


def test_a_dale_network_in_a_network_is_that_alone():
    net, stim = Network(dt=1.0), series(40, 2)
    noise = series(39, 20, 5)
    net.add_node("dale", dale().to_graph(noise="none"))
    pushes = 0.1 * np.concatenate([noise, noise[-1:]])
    obs = net.run({"dale": stim, "dale/units/op/perturbation": pushes}, record_vars={"x": "dale/units/op/x"})
    expected = dale().simulate(stim.T, noise=noise, x0=np.zeros(20))
    close(obs["out"], expected["o"])
    close(obs["x"], expected["x"])
    whole = Network(dt=1.0)
    whole.add_node("dale", dale())
    assert whole["dale"].n_in == 2 and whole["dale"].n_out == 1
    assert whole.run(stim)["out"].shape == (40, 1)


def test_a_dale_network_drives_a_glm():
    net, stim = Network(dt=1.0), series(40, 2)
    net.add_node("dale", dale().to_graph(noise="none"))
    net.add_node("pop", fitted())
    net.add_edge("dale", "pop", np.ones((N, 1)))
    obs = net.run({"dale": stim}, record_vars=[("pop", "rate"), ("dale", "output/op/o")])
    o = dale().simulate(stim.T, noise="none")["o"]
    close(obs["dale", "output/op/o"], o)
    # A rule sees what equations have become in the same step.
    close(obs["pop", "rate"][:-1], rates_given(obs["out"], o[1:]))
    assert np.abs(o).max() > 0.5


def test_a_program_in_a_file_keeps_the_ends_of_its_graph(tmp_path):
    dale().to_program().save(tmp_path / "dale.npz")
    graph = load(tmp_path / "dale.npz").graph
    assert (graph.input, graph.output) == ("input/op/u", "output/op/o")


# Spiking networks


def test_a_spiking_network_in_a_network_is_that_alone_spike_for_spike():
    spiking = convert(dale(), 20.0)
    dt, steps = spiking.parameters.dt, 400
    noise, stim = series(steps, 20, 3), np.abs(series(steps, 2)) * 60
    net = Network(dt=dt)
    net.add_node("cells", spiking.to_graph(given=True, precision="float64"))
    fed = {"cells": stim, "cells/cells/noise": noise}
    obs = net.run(fed, record_vars={name: f"cells/cells/{name}" for name in ("spikes", "voltage", "o")})
    program = spiking.to_program(given=True, precision="float64")
    expected = simulate(
        program, steps * dt, dt=dt, inputs={"cells/u": stim, "cells/noise": noise},
        record={name: f"cells/{name}" for name in ("spikes", "voltage", "o", "r")},
    )  # fmt: skip
    assert np.array_equal(obs["spikes"], expected["spikes"]) and expected["spikes"].sum() > 20
    assert np.array_equal(obs["voltage"], expected["voltage"])
    assert np.array_equal(obs["out"], expected["r"])
    # Its output is w_out/scale times what it sends, one row later.
    close(obs["out"][1:] @ (spiking.w_out / spiking.scale).T, obs["o"][:-1], 1e-9)


def test_a_spiking_network_draws_its_noise_under_its_path_and_drives_others():
    spiking = convert(dale(), 20.0)
    net = Network(dt=spiking.parameters.dt, seed=5)
    net.add_node("cells", spiking)
    net.add_func_node("read", 1, "identity")
    net.add_edge("cells", "read", spiking.w_out / spiking.scale)
    record = {name: f"cells/cells/{name}" for name in ("spikes", "r")}
    obs = net.run({"cells": np.full((300, 2), 40.0)}, record_vars=record)
    program = lower(Graph({"cells/cells": spiking.to_graph().nodes["cells"]}))
    expected = simulate(
        program, 300 * net.dt, dt=net.dt, inputs={"cells/cells/u": np.full((300, 2), 40.0)}, seed=5,
        record={"spikes": "cells/cells/spikes"},
    )  # fmt: skip
    assert np.array_equal(obs["spikes"], expected["spikes"]) and obs["spikes"].any()
    close(obs["out"], obs["r"] @ (spiking.w_out / spiking.scale).T, 1e-5 * np.abs(obs["out"]).max())


# Gradients


def test_gradients_pass_equations_beside_a_glm_whose_spikes_are_held():
    net = pair()
    run = as_function(net.program, 15.0, dt=1.0, record={"v": "r/li_op/v"}, seed=4)

    def loss(weights):
        return (run({"a->r/weight": weights})["v"] ** 2).sum()

    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(loss)(TO_TANH))
        for index in np.ndindex(*TO_TANH.shape):
            step = np.zeros_like(TO_TANH)
            step[index] = 1e-6
            difference = float(loss(TO_TANH + step) - loss(TO_TANH - step)) / 2e-6
            assert abs(slope[index] - difference) < 1e-5 * np.abs(slope).max() and slope[index] != 0


def test_bptt_and_ridge_learn_in_a_network_with_a_glm():
    net, goal = pair(), pair()
    for one in (net, goal):  # each epoch draws anew, so what is drawn is made certain
        one.set_var("a", "filters_twice", 0.0)
        one.set_var("a", "intercepts", [40.0, -40.0, 40.0])
    goal.set_var("a->r", "weights", 1.5 * TO_TANH)
    targets = goal.run(steps=30, record_vars={"v": "r/li_op/v"})["v"]
    before = net.test(None, targets, output="r/li_op/v")[1]
    fit = net.fit_bptt(None, targets, train=["a->r/weights"], output="r/li_op/v", epochs=60, lr=0.02, progress=False)
    after = net.test(None, targets, output="r/li_op/v")[1]
    assert after < 0.1 * before and fit.history["loss"][0] == pytest.approx(before)
    close(net.get_var("a->r", "weights"), fit.params["a->r/weight"])
    drive = series(100, 2)
    v = net.run({"r": drive}, record_vars={"v": "r/li_op/v"})["v"]
    readout = net.fit_ridge({"r": drive}, v @ [[1.0], [2.0]], output="r/li_op/v", alpha=1e-9)
    close(readout.weights, [[1.0, 2.0]], 1e-6)
    close(net.run({"r": drive})["readout"], v @ [[1.0], [2.0]], 1e-5)


def test_a_parameter_that_no_gradient_reaches_is_told():
    net = pair()
    with pytest.warns(RuntimeWarning, match="nothing was learned about a/glm/filters_twice"):
        net.fit_bptt(None, np.ones((9, 2)), train=["a/glm/filters_twice"], output="r", epochs=1, progress=False)


# Wrong use


def hum(**arrays) -> Rule:
    def update(state, params, inputs, clock):
        return state, {"loud": state["x"]}

    emits = {"loud": Emission((2,), np.dtype(float))}
    return Rule(update, {"x": np.zeros(2), "W": np.zeros((2, 2))}, **arrays, emits=emits)


def hums(label="hum", **ends) -> Network:
    net = Network(dt=1.0)
    net.add_node("n", Graph({label: hum(inputs={"i": np.zeros(2)})}, **ends))
    return net


def doubling() -> Network:
    """Return a network of a rule that doubles its state as often as it takes, which has no gradient backwards."""

    def update(state, params, inputs, clock):
        return {"x": jax.lax.while_loop(lambda x: x[0] < 8.0, lambda x: 2 * x, params["k"] * state["x"])}, {}

    net = Network(dt=1.0)
    net.add_node("n", Graph({"d": Rule(update, {"x": np.ones(1)}, {"k": np.ones(1)}, {"i": np.zeros(1)})}))
    return net


WRONG = [
    (lambda: hums(""), "its rule has no label", TemplateError),
    (lambda: hums(output="hum/W"), "has the shape (2, 2); only a vector is sent", PathError),
    (lambda: hums(output="hum/y"), "unknown name 'hum/y'", PathError),
    (lambda: hums(output="hum/loud"), "is of kind emitted", PathError),
    (lambda: hums().add_edge("n/hum/W", "n"), "only a vector is sent", PathError),
    (lambda: hums().get_var("n", "loud"), "put out by a rule at every step", PathError),
    (lambda: hums().set_var("n", "W", np.zeros(2)), "got shape (2,), expected a number or shape (2, 2)", ShapeError),
    (lambda: hums().set_var("n", "W", np.nan), "a number is NaN", ShapeError),
    (lambda: hums().set_var("n", "W", "a"), "expected real numbers", ShapeError),
    (lambda: hums().set_var("n", "w", 1.0), "Did you mean 'W'", PathError),
    (lambda: doubling().fit_bptt(None, np.zeros((9, 1)), train=["n/d/k"], output="n", epochs=1, progress=False),
     "a rule on the way (n/d) has a loop", CapabilityError),
    (lambda: pair().fit_eprop(None, np.zeros((9, 2))), "fit_eprop is for nodes of equations", CapabilityError),
    (lambda: pair().run(steps=2, solver="scipy"), "a rule is called once a step", CapabilityError),
    (lambda: Network().add_diffeq_node("n", Graph({"hum": hum()}), spike_var="a", reset_var="x"),
     "a rule says itself when it spikes", CapabilityError),
    (lambda: hums().save("nowhere/at/all.npz"), "cannot write there", StoreError),
    (lambda: lower(Graph({"h": hum(inputs={"i": np.zeros(2)})}, (Edge("h/loud", "h/i"),))), "of kind emitted",
     TemplateError),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message", "kind"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_use_is_told(wrong, message: str, kind: type[RecurraError]) -> None:
    with pytest.raises(kind) as caught:
        wrong()
    assert message in str(caught.value)
