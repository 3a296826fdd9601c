"""Ctrl-C in long calls: what comes out is whole, marked, or nothing; what is kept goes on to the same bits.

Where Ctrl-C is noticed is said by the number of the look for it, so every test does the same each time. Real signals at
random moments, and kills, are sent by `benchmarks/kill_and_interrupt.py`, of which a little runs here.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from recurra import CircuitTemplate, Network, analysis, glm, grid_search, simulate
from recurra.engine import interrupts
from recurra.engine import run as run_module
from recurra.glm.hmm import GLMHMM
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import GoNoGo
from recurra.rate.training import train
from recurra.spiking import scaling_search
from recurra.training import fit_rls, rls

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import kill_and_interrupt

VDP = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
RNG = np.random.default_rng(0)
DRIVE, GOAL = RNG.standard_normal((60, 3)), RNG.standard_normal((60, 3))
X = RNG.standard_normal((400, 3))
Y = RNG.poisson(np.exp(0.3 * X))


@pytest.fixture
def ctrl_c_at(monkeypatch):
    """Return a function that lets Ctrl-C be there from the n-th look for it on."""

    def at(look: int) -> None:
        looks = itertools.count(1)
        came = property(lambda watch: not watch.held and next(looks) >= look)
        monkeypatch.setattr(interrupts._Watch, "came", came)

    monkeypatch.setattr(run_module, "CHUNK_SECONDS", 1e-6)  # many windows
    yield at


def network() -> Network:
    net = Network(dt=0.1, seed=1)
    net.add_diffeq_node(
        "a", "v' = -v + tanh(r) + u", variables={"v": "output(0.1)", "r": "input", "u": "input"}, N=3,
        weights=np.eye(3)[::-1], source_var="v", target_var="r", input_var="u", output_var="v",
        train_params=["weights"],
    )  # fmt: skip
    return net


def rates() -> FR_RNN_dale:
    return FR_RNN_dale(8, 0.2, 0.5, np.ones((8, 1)), 0, "gaus", 1.5, True, np.ones((1, 8)) * 0.1, seed=1)


def no_readout():
    return network().fit_ridge({"a": DRIVE}, GOAL, add_readout_node=False).weights


NOTHING = {
    "grid_search": lambda: grid_search(
        VDP, {"mu": [1.0, 2.0]}, {"mu": {"vars": ["vdp_op/mu"], "nodes": ["p"]}}, 0.1, 10.0, {"x": "p/vdp_op/x"}
    )[0].to_numpy(),
    "fit_ridge": no_readout,
    "fit_rls": lambda: fit_rls(network().program, {"a/op/u": DRIVE}, GOAL, output="a/op/v", dt=0.1).outputs,
    "rls": lambda: rls(X, Y.astype(float)).outputs,
    "test": lambda: network().test({"a": DRIVE}, GOAL)[0]["out"],
    "forward": lambda: rates().forward(np.ones((1, 20)), [4, 20], {"activation": "sigmoid"}, {"T": 20, "DeltaT": 1})[3],
    "scaling_search": lambda: scaling_search(rates(), GoNoGo(), factors=[20, 40], trials=2).accuracy,
    "lyapunov_exponents": lambda: analysis.lyapunov_exponents(VDP, 100.0, dt=0.1),
    "fixed_points": lambda: analysis.fixed_points(VDP, 3).values,
    "continuation": lambda: analysis.continuation(VDP, "p/vdp_op/mu", (-1.0, -0.5), step=0.1).values,
    "limit_cycle": lambda: analysis.limit_cycle(VDP, transient=10.0, longest=20.0).values,
    "cross_validate": lambda: glm.cross_validate(glm.GLM(regularizer="Ridge"), X, Y[:, 0], [0.1, 1.0]).scores,
}


@pytest.mark.parametrize("name", NOTHING)
def test_calls_that_have_no_part_to_give(name, ctrl_c_at, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "CHUNK_SECONDS", 1e-6)
        ctrl_c_at(1 if name in ("grid_search", "rls") else 2)
        with pytest.raises(KeyboardInterrupt):
            NOTHING[name]()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_windows_change_no_number(monkeypatch):
    whole = {name: NOTHING[name]() for name in ("fit_ridge", "fit_rls", "test", "scaling_search")}
    monkeypatch.setattr(run_module, "CHUNK_SECONDS", 1e-6)
    monkeypatch.setattr(sys.modules["recurra.training.rls"], "WINDOW", 9.0 * 50)
    for name, value in whole.items():
        assert np.array_equal(NOTHING[name](), value), name
    assert np.abs(rls(X, Y.astype(float)).weights - np.linalg.lstsq(
        np.vstack([X, np.eye(3)]), np.vstack([Y, np.zeros((3, 3))]), rcond=None)[0].T).max() < 1e-9  # fmt: skip


ESTIMATORS = {
    "GLM": (glm.GLM(regularizer_strength=0.1, regularizer="Ridge"), X, Y[:, 0]),
    "PopulationGLM": (glm.PopulationGLM(), X, Y),
    "ClassifierGLM": (glm.ClassifierGLM(), X, Y[:, 0] > 0),
    "GLMHMM": (GLMHMM(2, maxiter=3, n_init=1), X, Y[:, 0] > 0),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_interrupted_fit_leaves_the_estimator_as_it_was(name, ctrl_c_at, monkeypatch):
    model, x, y = ESTIMATORS[name]
    model.fit(x, y)
    before, predicted = dict(vars(model)), model.predict(x)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "CHUNK_SECONDS", 1e-6)
        ctrl_c_at(2)
        with pytest.raises(KeyboardInterrupt):
            model.fit(x[:, :2], y)
    assert vars(model).keys() == before.keys() and all(vars(model)[k] is v for k, v in before.items())
    assert np.array_equal(model.predict(x), predicted)


@pytest.mark.parametrize("solver", ["scipy", "tsit5", "heun"])
def test_ctrl_c_before_the_first_step_has_no_part_to_give(solver, monkeypatch):
    monkeypatch.setattr(interrupts._Watch, "came", property(lambda watch: True))
    with pytest.raises(KeyboardInterrupt, match="interrupted after 0 of 500 rows"):
        simulate(VDP, 50.0, dt=0.1, solver=solver)


@pytest.mark.parametrize("solver", ["scipy", "tsit5"])
def test_a_solver_with_steps_of_its_own_gives_the_rows_so_far(solver, monkeypatch):
    whole = simulate(VDP, 50.0, dt=0.1, solver=solver)
    looks = itertools.count(1)
    monkeypatch.setattr(interrupts._Watch, "came", property(lambda w: next(looks) >= (20 if solver == "scipy" else 2)))
    with pytest.warns(RuntimeWarning, match="interrupted after .* of 500 rows"):
        part = simulate(VDP, 50.0, dt=0.1, solver=solver)
    rows = len(part.time)
    assert part.interrupted and 0 < rows < 500 and part.final.step == rows
    assert np.array_equal(part["p/vdp_op/x"], whole["p/vdp_op/x"][:rows])
    assert part.final.state["p/vdp_op/x"] == pytest.approx(whole["p/vdp_op/x"][rows])


def fit(folder, **options):
    net = network()
    found = net.fit_bptt(
        {"a": DRIVE}, GOAL, epochs=9, checkpoint=folder / "fit.npz", resume=True, checkpoint_every=4, progress=False,
        seed=2, truncate=20, **options,
    )  # fmt: skip
    return found, np.asarray(net.get_var("a", "weights"))


@pytest.mark.parametrize("look", [5, 14, 22])
def test_an_interrupted_training_goes_on_to_the_same_bits(look, tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole, weights = fit(tmp_path / "whole")
    looks = itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(interrupts._Watch, "came", property(lambda w: next(looks) == look))
        with pytest.warns(RuntimeWarning, match="interrupted in epoch"):
            part, _ = fit(tmp_path)
    kept = np.load(tmp_path / "fit.npz")["column:loss"]
    assert part.stopped == "interrupted" and len(part.history) == len(kept) == (look - 1) // 3
    again, found = fit(tmp_path)
    assert again.stopped == "" and np.array_equal(found, weights)
    assert np.array_equal(again.history["loss"], whole.history["loss"])


def test_an_interrupted_training_of_rates_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    def go(folder):
        return train(rates(), GoNoGo(), updates=12, evaluate_every=4, progress=False, checkpoint=folder, resume=True)

    whole = go(tmp_path / "whole.npz")
    looks = itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(interrupts._Watch, "came", property(lambda w: next(looks) == 7))
        with pytest.warns(RuntimeWarning, match="interrupted after 6 updates"):
            part = go(tmp_path / "part.npz")
    assert part.stopped == "interrupted" and part.updates == 6
    again = go(tmp_path / "part.npz")
    assert np.array_equal(again.net.w, whole.net.w) and np.array_equal(again.history["loss"], whole.history["loss"])


def test_a_table_and_a_file_say_that_they_are_a_part(tmp_path, monkeypatch):
    looks = itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(interrupts._Watch, "came", property(lambda w: next(looks) >= 4))
        patch.setattr(run_module, "CHUNK_ROWS", 16)
        with pytest.warns(RuntimeWarning, match="interrupted"):
            table = VDP.run(10.0, 0.1, outputs={"x": "p/vdp_op/x"})
    assert table.attrs == {"interrupted": True} and len(table) < 100
    assert VDP.run(1.0, 0.1, outputs={"x": "p/vdp_op/x"}).attrs == {}


def test_a_thread_is_not_interrupted():
    found = []

    def work():
        found.append(simulate(VDP, 10.0, dt=0.1))

    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        thread = threading.Thread(target=work)
        signal.raise_signal(signal.SIGINT)
        thread.start()
        thread.join()
    assert len(found[0].time) == 100 and not found[0].interrupted


def test_a_signal_that_is_lost_where_it_is_raised_is_found_again():
    class Lost:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)  # what is raised here Python only prints

    seen = []
    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        seen.append(1)
        Lost()
        interrupts.check()
        seen.append(2)
    assert seen == [1]


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_that_was_forked_within_a_call_has_a_ctrl_c_of_its_own():
    with interrupts.interruptible():
        child = os.fork()
        if child == 0:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                os._exit(7)
            os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert not interrupts.came()


def test_kills_and_interrupts_at_random_moments(capsys):
    words = ["--kills", "2", "--interrupts", "2", "--calls", "simulate, store"]
    assert kill_and_interrupt.main(words) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert "2 SIGKILL" in lines[0] and "2 SIGINT" in lines[1]
