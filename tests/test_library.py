"""Load every template of the library, run every circuit and node, and look at what they say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import recurra
from recurra.circuits import CircuitTemplate, EdgeTemplate, NodeTemplate, OperatorTemplate, from_yaml

LIBRARY = Path(recurra.__file__).parent / "library"
KINDS = {
    "OperatorTemplate": OperatorTemplate,
    "NodeTemplate": NodeTemplate,
    "EdgeTemplate": EdgeTemplate,
    "CircuitTemplate": CircuitTemplate,
}
# the catalogue of the originals: every one of these must load
CATALOGUE = {
    "model_templates.base_templates": (
        "li_op sigmoid_op tanh_op monoexp_op biexp_op alpha_op li_node tanh_node nonlinear_li_node"
        " sigmoid_node sigmoid_edge"
    ),
    "model_templates.neural_mass_models.wilsoncowan": "se_op si_op rate_op exc_pop inh_pop WC WC_stp",
    "model_templates.neural_mass_models.jansenrit": (
        "rpo_e rpo_i rpo_e_in pro jrc_op PC IN jrc_pop JRC JRC2 JRC_2delaycoupled"
    ),
    "model_templates.neural_mass_models.qif": (
        "qif_op qif_sfa_op qif_gap_op qif qif_sfa qif_gap qif_conduct qif_alpha_syn qif_sd qif_tsodyks"
    ),
    "model_templates.neural_mass_models.synaptic_plasticity": (
        "tsodyks_op depression_op facilitation_op tsodyks_edge depression_edge facilitation_edge"
    ),
    "model_templates.neural_mass_models.theta": ("theta_op kmo_theta conductance_op conductance_pop kmo_conductance"),
    "model_templates.neural_mass_models.ik": "ik_nodim ik_eta ik_theta",
    "model_templates.oscillators.kuramoto": (
        "phase_op coupling_op sin_edge sin_op kmo sin_pop kmo_2coupled kmo_op kmo_mf kmo_mf_2coupled"
    ),
    "model_templates.oscillators.stuartlandau": "sl_op sl sl_burst_pop",
    "model_templates.oscillators.vanderpol": "vdp_op vdp_pop vdp",
    "neuron_model_templates.rate_neurons.leaky_integrator": "tanh sigmoid",
    "neuron_model_templates.spiking_neurons.lif": "lif",
    "neuron_model_templates.spiking_neurons.qif": "qif qif_sfa qif_reset_op",
    "neuron_model_templates.spiking_neurons.ik": "ik iku ik_biexp",
}


def templates() -> dict[str, dict]:
    """Return the raw entries of every file of the library by the path that loads them."""
    found = {}
    for file in sorted(LIBRARY.rglob("*.yaml")):
        package = ".".join(file.relative_to(LIBRARY).with_suffix("").parts)
        content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        found |= {f"{package}.{name}": entry for name, entry in content.items() if name != "aliases"}
    return found


RAW = templates()


def kind_of(path: str) -> str:
    """Follow the bases of an entry to the kind of template that it is."""
    base = RAW[path]["base"]
    return base if base in KINDS else kind_of(base if "." in base else f"{path.rsplit('.', 1)[0]}.{base}")


OF_KIND = {kind: [path for path in RAW if kind_of(path) == kind] for kind in KINDS}


def test_the_library_has_the_catalogue_of_the_originals():
    named = [f"{module}.{name}" for module, names in CATALOGUE.items() for name in names.split()]
    assert [path for path in named if path not in RAW] == []


@pytest.mark.parametrize("path", RAW)
def test_a_template_loads_and_says_where_it_comes_from(path):
    template = from_yaml(path)
    assert isinstance(template, KINDS[kind_of(path)])
    assert template.name == path.rsplit(".", 1)[1]
    entry = RAW[path]
    assert len(entry["description"]) > 10
    assert re.search(r"\((19|20)\d\d\)", entry["reference"])
    text = " ".join(template.describe().split())
    assert " ".join(entry["reference"].split()) in text
    assert entry["description"].split()[0] in text


@pytest.mark.parametrize("path", OF_KIND["OperatorTemplate"])
def test_an_operator_declares_what_it_uses_and_uses_what_it_declares(path):
    from recurra.equations import names, parse_equations

    entry = RAW[path]
    assert set(entry.get("units", {})) <= set(entry["variables"])
    if "equations" not in entry:
        return
    used = set()
    for equation in parse_equations(entry["equations"], path):
        used |= {equation.target} | set(names(equation.expression))
    assert used - {"pi", "t"} == set(entry["variables"])


@pytest.mark.parametrize("path", OF_KIND["CircuitTemplate"])
def test_a_circuit_runs_and_stays_finite(path):
    circuit = CircuitTemplate.from_yaml(path)
    frame = circuit.run(simulation_time=0.1, step_size=1e-3)
    assert len(frame) == 100
    assert frame.shape[1] > 0
    assert np.isfinite(frame.to_numpy()).all()


@pytest.mark.parametrize("path", OF_KIND["NodeTemplate"])
def test_a_node_runs_by_itself(path):
    circuit = CircuitTemplate("alone", nodes={"p": NodeTemplate.from_yaml(path)})
    if path.endswith(".sigmoid_node"):
        # no state: the output follows from the parameters alone
        frame = circuit.run(simulation_time=0.1, step_size=1e-3, outputs=["p/sigmoid_op/m"])
        assert np.max(np.abs(frame.to_numpy() - 0.5)) < 1e-15
    else:
        frame = circuit.run(simulation_time=0.1, step_size=1e-3)
    assert len(frame) == 100
    assert np.isfinite(frame.to_numpy()).all()


@pytest.mark.parametrize("path", OF_KIND["EdgeTemplate"])
def test_an_edge_carries_a_signal(path):
    node = "model_templates.base_templates.li_node"
    attributes: dict[str, object] = {"weight": 2.0}
    if path.endswith(".sin_edge"):
        attributes |= {"sin_edge/coupling_op/theta_s": "source", "sin_edge/coupling_op/theta_t": "b/li_op/r"}
    circuit = CircuitTemplate(
        "joined",
        nodes={"a": NodeTemplate.from_yaml(node), "b": NodeTemplate.from_yaml(node)},
        edges=[("a/li_op/r", "b/li_op/m_in", path, attributes)],
    )
    frame = circuit.run(1.0, 1e-2, outputs=["b/li_op/r"], inputs={"a/li_op/u": 1.0})
    assert np.isfinite(frame.to_numpy()).all()
    assert frame.to_numpy()[-1, 0] > 1e-3


SPIKING = {
    "lif.lif": "s v tau k eta tau_s s_in I_ext spike s_ext",
    "qif.qif": "s v tau k eta tau_s s_in I_ext spike",
    "qif.qif_sfa": "s v x tau k eta tau_s alpha tau_x s_in I_ext spike",
    "ik.ik": "s v u C k v_r v_theta eta g E_r b tau_u kappa tau_s s_in I_ext spike",
    "ik.iku": "s v u C k v_r v_theta eta g E_r b tau_u kappa tau_s s_in I_ext spike",
    "ik.ik_biexp": "s v u x C k v_r v_theta eta g E_r b tau_u kappa tau_r tau_d s_in I_ext spike",
}


@pytest.mark.parametrize("path", SPIKING)
def test_spiking_neurons_have_the_variables_of_the_original(path):
    operator = NodeTemplate.from_yaml(f"neuron_model_templates.spiking_neurons.{path}").get_op(
        f"{path.split('.')[1]}_op"
    )
    assert set(operator.variables) == set(SPIKING[path].split())
