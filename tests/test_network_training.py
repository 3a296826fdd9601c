"""Training of networks: names become paths, masks hold, the network has what was learned."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Network
from recurra.errors import CapabilityError, TrainingError
from recurra.training import Bounds, fit_bptt

pytest.importorskip("optax")

TANH = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
LIF = "neuron_model_templates.spiking_neurons.lif.lif"
DT = 0.1


def series(steps, n, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, n))


def close(got, expected, tolerance):
    error = np.max(np.abs(np.asarray(got) - np.asarray(expected)))
    assert error <= tolerance, f"largest error {error:g}"


def reservoir(n=8, outputs=0, **edge) -> Network:
    net = Network(dt=DT)
    J = series(n, n, 1) / np.sqrt(n)
    net.add_diffeq_node("r", TANH, weights=J, target_var="r_in", input_var="I_ext", output_var="tanh_op/r", op="li_op",
                        node_vars={"tau": 2.0})  # fmt: skip
    if outputs:
        net.add_func_node("y", outputs, "identity")
        net.add_edge("r", "y", **edge)
    return net


def test_ridge_without_penalty_recovers_the_readout():
    """Fact 27."""
    x, W = series(300, 8, 3), series(2, 8, 2)
    goal = reservoir(outputs=2, weights=W).run(x)["out"]
    net = reservoir()
    found = net.fit_ridge(x, goal, alpha=0.0)
    close(found.weights, W, 1e-9)
    close(net.get_var("r->readout", "weights"), W, 1e-9)
    close(net.run(x)["out"], goal, 1e-9)
    assert net.sinks == ["readout"]


def test_ridge_with_intercept_on_several_sinks_and_every_other_row():
    net = reservoir()
    net.add_func_node("z", 2, "sigmoid")
    net.add_edge("r", "z", series(2, 8, 5))
    net.add_func_node("y", 1, "tanh")
    net.add_edge("r", "y", series(1, 8, 6))
    x = series(200, 8)
    both = net.run(x)["out"]
    goal = both @ np.array([[1.0], [2.0], [-1.0]]) + 0.7
    net.fit_ridge(x, goal[::2], sampling_steps=2, alpha=0.0, intercept=True, label="read")
    assert list(net.edges) == ["r->z", "r->y", "z->read", "y->read"]
    close(net.run(x)["out"], goal, 1e-9)
    close(net.get_var("read", "b"), [0.7], 1e-9)


def test_ridge_without_a_node_changes_nothing():
    net = reservoir()
    before = net.explain()
    x = series(50, 8)
    found = net.fit_ridge(x, series(50, 1), alpha=[0.1, 10.0], add_readout_node=False)
    assert set(found.errors) == {0.1, 10.0}
    assert net.explain() == before


def test_rls_ends_where_ridge_does():
    x, goal = series(200, 8, 3), series(200, 2, 4)
    net = reservoir(outputs=2, weights=np.zeros((2, 8)), train="rls")
    learned = net.fit_rls(x, goal, alpha=0.5)
    expected = reservoir().fit_ridge(x, goal, alpha=0.5, add_readout_node=False)
    close(learned.weights, expected.weights, 1e-8)
    close(net.get_var("r->y", "weights"), expected.weights, 1e-8)


def test_rls_outputs_are_those_of_the_growing_readout():
    x, goal = series(60, 4, 3), series(60, 1, 4)
    net = reservoir(4, outputs=1, weights=np.full((1, 4), 0.1), train="rls")
    features = reservoir(4).run(x)["out"]
    learned = net.fit_rls(x, goal, alpha=2.0)
    w, P = np.full((1, 4), 0.1), np.eye(4) / 2.0
    for k in range(60):
        r = features[k]
        close(learned.outputs[k], w @ r, 1e-10)
        g = P @ r / (1 + r @ P @ r)
        w = w - np.outer(w @ r - goal[k], g)
        P = P - np.outer(g, r @ P)
    close(net.get_var("r->y", "weights"), w, 1e-9)


def test_force_learning_closes_the_loop():
    """The learned readout feeds the reservoir while it is learned; then the network goes on by itself."""
    net = Network(dt=DT)
    n = 60
    J = 1.2 * series(n, n, 1) / np.sqrt(n)
    net.add_diffeq_node("r", TANH, weights=J, target_var="r_in", input_var="I_ext", output_var="tanh_op/r", op="li_op",
                        node_vars={"tau": 1.0, "li_op/v": 0.5 * series(1, n, 9)[0]})  # fmt: skip
    net.add_func_node("y", 1, "identity")
    net.add_edge("r", "y", np.zeros((1, n)), train="rls")
    net.add_edge("y", "r", np.random.default_rng(3).uniform(-1, 1, (n, 1)))
    time = np.arange(1500) * DT
    goal = np.sin(2 * np.pi * time / 6.0)[:, None]
    drive = {"r": 0.0}
    learned = net.fit_rls(drive, goal, alpha=1.0)
    net.state = learned.final
    free = net.run(drive, steps=100, record_output=False, record_vars={"y": "y/func/y"})["y"]
    expected = np.sin(2 * np.pi * (1500 + np.arange(100)) * DT / 6.0)[:, None]
    assert np.sqrt(np.mean((free - expected) ** 2)) < 0.1


def test_bptt_recovers_a_readout_and_updates_the_network():
    """Fact 27: the readout is found again."""
    x, W = series(80, 8, 3), 0.5 * series(2, 8, 2)
    goal = reservoir(outputs=2, weights=W).run(x)["out"]
    net = reservoir(outputs=2, train="gd")
    fit = net.fit_bptt(x, goal, optimizer="adam", lr=0.05, epochs=300, progress=False)
    assert fit.history["loss"][-1] < 1e-2 * fit.history["loss"][0]
    assert np.array_equal(net.get_var("r->y", "weights"), fit.params["r->y/weight"])
    obs, loss = net.test(x, goal)
    close(obs["out"], net.run(x)["out"], 1e-12)
    assert loss == pytest.approx(np.mean((obs["out"] - goal) ** 2), rel=1e-9)
    assert loss < 0.01


def test_bptt_is_that_of_the_program():
    x, goal = series(20, 8), series(20, 2)
    options = {"epochs": 3, "lr": 0.01, "precision": "float64", "progress": False}
    net = reservoir(outputs=2, weights=series(2, 8))
    plain = fit_bptt(net.program, {"r/li_op/I_ext": x}, goal, output="y/func/y", dt=DT,
                     train=["r->r/weight", "r/li_op/tau"], **options)  # fmt: skip
    mine = net.fit_bptt(x, goal, train=["r/weights", "r/tau"], **options)
    assert np.array_equal(mine.history["loss"], plain.history["loss"])
    for path, value in plain.params.items():
        assert np.array_equal(mine.params[path], value)
    close(net["r"]["tau"], plain.params["r/li_op/tau"], 0)


def test_declared_parameters_are_trained_and_masks_hold():
    mask = np.array([[1, 0, 1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1, 0, 1]])
    net = Network(dt=DT)
    net.add_diffeq_node("r", TANH, weights=0.3 * series(8, 8, 1), target_var="r_in", input_var="I_ext",
                        output_var="v", op="li_op", train_params=["weights", "li_op/tau"])  # fmt: skip
    net.add_func_node("y", 2, "identity")
    net.add_edge("r", "y", series(2, 8), mask=mask, train="gd")
    before = net.parameters()
    fit = net.fit_bptt(series(20, 8), series(20, 2), epochs=3, lr=0.05, progress=False)
    after = net.parameters()
    assert list(fit.params) == list(before) == list(after)
    assert all(not np.array_equal(before[path], after[path]) for path in before)
    kept = after["r->y/weight"]
    assert np.array_equal(kept != 0, mask == 1)


def test_constraints_by_name():
    net = reservoir(outputs=1, weights=series(1, 8))
    net.fit_bptt(series(20, 8), series(20, 1), train={"r/tau": Bounds(1.9, 2.1)}, lr=1.0, epochs=20, progress=False)
    tau = net["r"]["tau"]
    assert tau.min() >= 1.9 and tau.max() <= 2.1 and np.ptp(tau) > 0.05


def test_trials_inputs_by_node_and_batches():
    net = reservoir(outputs=1, weights=np.zeros((1, 8)), train="gd")
    x, goal = np.random.default_rng(0).standard_normal((6, 15, 8)), np.ones((6, 15, 1))
    fit = net.fit_bptt({"r": x}, goal, epochs=4, batch_size=2, progress=False)
    assert fit.updates == 12
    obs, loss = net.test({"r": x}, goal, loss="l1")
    assert obs["out"].shape == (6, 15, 1)
    for trial in range(6):
        close(obs["out"][trial], net.run(x[trial])["out"], 1e-12)
    assert loss == pytest.approx(np.mean(np.abs(obs["out"] - 1)), rel=1e-9)
    listed = net.test(list(x), goal)[1]
    assert listed == pytest.approx(net.test(x, goal)[1])


def test_sparse_weights_are_trained_as_they_are():
    import scipy.sparse

    W = scipy.sparse.random_array((40, 40), density=0.1, rng=np.random.default_rng(0))
    net = Network(dt=DT)
    net.add_diffeq_node("r", TANH, weights=W, target_var="r_in", input_var="I_ext", output_var="v", op="li_op",
                        train_params=["weights"])  # fmt: skip
    fit = net.fit_bptt(series(10, 40), series(10, 40), epochs=2, lr=0.1, progress=False)
    assert fit.params["r->r/weight"].shape == (W.nnz,)
    close(net["r"]["weights"], fit.params["r->r/weight"], 0)
    assert not np.allclose(net["r"]["weights"], W.tocsr().data)


def test_surrogate_gradients_train_a_spiking_network():
    net = Network(dt=1.0)
    net.add_diffeq_node("n", LIF, N=5, input_var="I_ext", output_var="s", spike_var="spike", reset_var="v", op="lif_op",
                        spike_threshold=1.0, spike_reset=0.0, spike_slope=2.0, node_vars={"tau_s": 5.0})  # fmt: skip
    net.add_func_node("x", 3, "identity")
    net.add_edge("x", "n", 0.3 * np.abs(series(5, 3)), train="gd")
    x = np.abs(series(40, 3))
    goal = np.full((40, 5), 0.6)
    before = net.test(x, goal)[1]
    net.fit_bptt(x, goal, epochs=40, lr=0.02, progress=False)
    assert net.test(x, goal)[1] < 0.7 * before


def test_eprop_trains_readout_and_recurrent_weights():
    x, goal = series(60, 8), np.sin(np.arange(60) * 0.3)[:, None]
    net = Network(dt=DT)
    net.add_diffeq_node("r", TANH, weights=0.3 * series(8, 8, 1), target_var="r_in", input_var="I_ext",
                        output_var="tanh_op/r", op="li_op", train_params=["weights"])  # fmt: skip
    net.add_func_node("y", 1, "identity")
    net.add_edge("r", "y", 0.1 * series(1, 8), train="gd")
    before = net.parameters()
    fit = net.fit_eprop(x, goal, epochs=60, lr=0.02, progress=False)
    after = net.parameters()
    assert not np.array_equal(before["r->r/weight"], after["r->r/weight"])
    close(after["r->y/weight"], fit.params["readout"], 0)
    obs, loss = net.test(x, goal)
    assert loss < 0.5 * fit.history["loss"][0]
    close(obs["out"], net.run(x)["out"], 1e-12)


def test_a_failed_training_leaves_the_last_good_parameters():
    net = Network(dt=1.0)
    net.add_diffeq_node("n", "v' = k*v*v + u", variables={"v": "output(1)", "k": 0.1, "u": "input"}, op="o")
    with pytest.raises(TrainingError, match="not finite") as caught:
        net.fit_bptt(np.zeros((10, 1)), np.full((10, 1), 100.0), train=["n/k"], lr=50.0, optimizer="sgd", epochs=20,
                     progress=False)  # fmt: skip
    assert np.isfinite(net.get_var("n", "k")).all()
    close(net.get_var("n", "k"), caught.value.result.params["n/o/k"], 0)


def test_edges_that_cannot_be_trained_say_why():
    net = reservoir(outputs=1, delays=[0, 1, 0, 1, 0, 1, 0, 1], train="gd")
    net.fit_bptt(series(5, 8), series(5, 1), progress=False)  # some of its delays are 0, others not
    with pytest.raises(CapabilityError, match="its delay cannot be trained, since it has none"):
        net.fit_bptt(series(5, 8), series(5, 1), train=["r/delay"])
