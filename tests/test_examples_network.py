"""The examples of networks run at small sizes and find what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

pytest.importorskip("optax")

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.filterwarnings("ignore:.*non-interactive.*")


def run(name: str) -> dict:
    names = runpy.run_path(str(EXAMPLES / f"{name}.py"), init_globals={"SMALL": True})
    assert plt.get_fignums()
    plt.close("all")
    return names


def test_leaky_integrator_has_the_published_numbers():
    out = run("leaky_integrator")["obs"]["out"]
    assert out[1000].mean() == pytest.approx(1.3055615478, abs=5e-11)


def test_leaky_integrator_differs_from_the_document_in_its_import_only():
    source = (EXAMPLES / "leaky_integrator.py").read_text("utf-8")
    assert [line for line in source.splitlines() if "recurra" in line] == ["from recurra import Network"]


def test_reservoir_is_well_above_chance():
    assert run("reservoir")["accuracy"] > 0.5


def test_force_learns_while_it_learns():
    names = run("force")
    outputs, goal = names["learned"].outputs, names["goal"]
    last = len(names["wave"])
    # Few neurons and rounds: it follows while it learns; going on by itself takes the full size.
    assert abs(outputs - goal)[-last:].mean() < 0.5 * goal.std()


def test_delayed_task_is_learned():
    names = run("delayed_task")
    assert names["fit"].history["loss"][-1] < 0.3 * names["fit"].history["loss"][0]
    assert names["correct"] > 0.9


def test_spiking_network_is_well_above_chance():
    assert run("spiking_training")["correct"] > 0.6


def test_neuron_is_found_again():
    names = run("fit_neuron")
    assert names["found"] == pytest.approx(names["TRUE"], rel=0.02)


def test_mixed_network_is_one_network():
    names = run("mixed_network")
    assert names["same"]
    history = names["fit"].history["loss"]
    assert history[-1] < history[0] and float(names["net"].get_var("kick/weights")) != 1.0
    assert abs(names["net"].get_var("IN/W") - 0.4).min() > 1e-3  # trained through the spikes of the cells
    # One of the values that are swept is the one that the network has.
    own = names["rates"][names["thetas"].tolist().index(2.0)]
    assert own == pytest.approx(1000 * names["after"]["spikes"][names["late"]].mean(), rel=1e-12)
    assert len(set(names["rates"])) > 1


def test_two_nodes_drive_each_other():
    assert run("two_nodes")["spikes"] > 10


def test_bifurcations_are_where_they_were_published():
    numbers = run("bifurcations")["numbers"]
    assert numbers["folds of the mean field (eta)"] == "-3.13613 and -5.74353"
    assert numbers["period of the oscillator"] == "6.663287"
