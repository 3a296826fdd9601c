"""The examples of behaviors run at small sizes and find what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.filterwarnings("ignore:.*non-interactive.*")


def run(name: str) -> dict:
    names = runpy.run_path(str(EXAMPLES / f"{name}.py"), init_globals={"SMALL": True})
    assert plt.get_fignums()
    plt.close("all")
    return names


def test_izhikevich_network_fires_at_a_few_hertz():
    names = run("izhikevich_network")
    assert 3 < names["rates"]["excitatory"] < 20 and 3 < names["rates"]["inhibitory"] < 30
    assert names["population"].max() > 4 * names["population"].mean()  # waves of many neurons at once


def test_brunel_states_have_the_rates_of_the_theory():
    names = run("brunel")
    theory = {name: names["theory"](*state) for name, state in names["STATES"].items()}
    assert names["rates"]["asynchronous irregular"] == pytest.approx(theory["asynchronous irregular"], rel=0.2)
    assert names["rates"]["synchronous regular"] == pytest.approx(theory["synchronous regular"], rel=0.15)
    assert names["variations"]["asynchronous irregular"] > 0.8 > 0.3 > names["variations"]["synchronous regular"]


def test_synfire_chain_carries_a_strong_volley_and_loses_a_weak_one():
    sizes = run("synfire_chain")["sizes"]
    assert sizes["strong"][-1][0] > 90 and sizes["strong"][-1][1] < 0.6
    assert sizes["weak"][-1][0] < 30
    assert sizes["wide"][-1][0] > sizes["wide"][0][0] and sizes["wide"][-1][1] < sizes["wide"][0][1]


def test_hopfield_network_recalls_what_is_not_too_much():
    names = run("hopfield")
    assert all(overlap[0] < 0.7 and overlap[-1] > 0.99 for overlap in names["overlaps"])
    assert names["final"][0] > 0.99 and names["final"][-1] < 0.7


def test_plastic_network_keeps_its_rate_and_its_weights():
    names = run("plastic_network")
    late = {name: rate[-10:].mean() for name, rate in names["rates"].items()}
    assert late["all three rules"] == pytest.approx(20.0, rel=0.35)
    assert late["without IntrinsicHomeostasis"] > 2 * late["all three rules"]
    connected = names["sums"][names["sums"] > 0]
    assert np.max(np.abs(connected - names["TOTAL"])) < 0.01
    assert names["synapses"].W[~names["synapses"].enabled].max() == 0


def test_sorn_learns_to_count():
    names = run("sorn")
    plastic, static = names["plastic_score"], names["static_score"]
    assert plastic[1] > 0.9 and plastic[1] > static[1]


def test_digits_are_told_apart_without_labels():
    pytest.importorskip("sklearn")
    names = run("digits")
    assert names["correct"] > 0.45 > 3 * names["before"] / 2
