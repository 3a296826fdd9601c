"""Fits of coupled neurons: recovery of what was simulated, and simulation of what was fitted."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from recurra.engine import lower, simulate
from recurra.errors import OptionError, ShapeError
from recurra.glm import PopulationGLM, basis, simulate_recurrent

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def coupled():
    filters = basis.RaisedCosineLogConv(3, window_size=20)
    rng = np.random.default_rng(5)
    coupling = 0.3 * rng.standard_normal((3, 3, 3))
    coupling[range(3), range(3)] -= 0.3
    y, _ = simulate_recurrent(
        coupling, None, np.full(3, -2.0), 0, None, filters.kernel_, np.zeros((20, 3)), "exp", n_time_bins=20_000
    )
    return filters, coupling, np.asarray(y), PopulationGLM().fit_spikes(y, filters)


def test_simulated_couplings_are_recovered_within_three_standard_errors(coupled):
    filters, truth, y, model = coupled
    features = np.asarray(filters.compute_features(y.astype(float))).reshape(len(y), -1)
    errors = model.posterior({"coupling": features}, y).coef_errors["coupling"].T.reshape(3, 3, 3)
    distance = np.abs(model.coupling() - truth) / errors
    assert np.mean(distance < 3) >= 0.99 and distance.max() < 4


def test_a_fit_runs_by_itself(coupled):
    _, _, y, model = coupled
    spikes, rates = model.simulate(20_000, seed=3)
    assert spikes.shape == rates.shape == (20_000, 3)
    assert np.abs(spikes.mean(axis=0) - y.mean(axis=0)).max() < 0.02
    again, _ = model.simulate(20_000, seed=3)
    assert np.array_equal(again, spikes)
    trials, _ = model.simulate(50, trials=2, history=np.ones((20, 3)))
    assert trials.shape == (2, 50, 3)
    assert model.stability().stable
    expected = np.einsum("lm,ijm->ij", model.coupling_basis_, model.coupling())
    assert np.abs(model.coupling_weights() - expected).max() < 1e-12


def test_a_fit_is_a_graph_of_the_engine(coupled):
    _, _, y, model = coupled
    program = lower(model.to_graph())
    result = simulate(program, 8000, dt=1.0, record={"spikes": "glm/spikes", "rate": "glm/rate"}, seed=1)
    assert np.abs(result["spikes"].mean(axis=0) - y.mean(axis=0)).max() < 0.03
    driven = simulate(program, 2000, dt=1.0, inputs={"glm/drive": np.full((2000, 3), 1.0)}, record={"s": "glm/spikes"})
    assert driven["s"].mean() > 1.5 * y.mean()


def test_inputs_are_part_of_the_fit_and_of_the_simulation():
    rng = np.random.default_rng(6)
    drive = rng.standard_normal((4000, 2))
    y = rng.poisson(np.exp(drive @ [[0.5, 0.0], [0.0, -0.5]] - 1.0))
    model = PopulationGLM().fit_spikes(y, basis.HistoryConv(2), inputs=drive)
    assert np.abs(model.coef_["inputs"] - [[0.5, 0.0], [0.0, -0.5]]).max() < 0.12
    _, rates = model.simulate(4000, inputs=drive, seed=1)
    assert np.corrcoef(np.log(rates[:, 0]), drive[:, 0])[0, 1] > 0.95
    with pytest.raises(OptionError, match="the fit had some"):
        model.simulate(10)
    with pytest.raises(ShapeError, match=r"expected \(steps, inputs\) = \(10, 2\)"):
        model.simulate(10, inputs=drive)


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_the_example_recovers_what_it_simulates():
    matplotlib.use("agg")
    names = runpy.run_path(str(EXAMPLES / "glm_recovery.py"), init_globals={"SMALL": True})
    plt.close("all")
    assert np.mean(names["distance"] < 3) > 0.95
    assert abs(names["spikes"].mean() - names["again"].mean()) < 0.1 * names["spikes"].mean()
