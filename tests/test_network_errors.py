"""Bad input to networks: each message says where, what was got, what was expected."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse

from recurra import EdgeTemplate, Network, NodeTemplate, OperatorTemplate
from recurra.errors import RecurraError

TANH = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
LIF = "neuron_model_templates.spiking_neurons.lif.lif"
J = np.eye(3)
ENDS = {"source_var": "tanh_op/r", "target_var": "li_op/r_in", "input_var": "li_op/I_ext", "output_var": "li_op/v"}
CELL = {"variables": {"v": "output", "u": "input"}}


def net() -> Network:
    """Two nodes: `r` of three rate units, and the function `f` of two that reads them."""
    made = Network(dt=0.1)
    made.add_diffeq_node("r", TANH, weights=J, **ENDS)
    made.add_func_node("f", 2, "tanh")
    made.add_edge("r", "f", np.ones((2, 3)))
    return made


def node(label="n", template=TANH, **options):
    return lambda: net().add_diffeq_node(label, template, **options)


def lif(**options):
    return node(template=LIF, N=2, **options)


def edge(source="r", target="f", *arguments, **options):
    return lambda: net().add_edge(source, target, *arguments, **options)


def run(*arguments, **options):
    return lambda: net().run(*arguments, **options)


def on(what):
    return lambda: what(net())


def circle():
    made = Network(dt=0.1)
    for label in "abc":
        made.add_func_node(label, 1, "tanh")
    for source, target in ("ab", "bc", "ca"):
        made.add_edge(source, target, 1.0)
    made.run({"a": 1.0}, steps=2, record_output=False, record_vars=["a/func/y"])


def closed():
    made = Network(dt=0.1)
    made.add_diffeq_node("a", "v' = u", **CELL)
    made.add_edge("a", "a", 1.0)
    made.run(np.ones((2, 1)))


def open_circle():
    made = Network(dt=0.1)
    made.add_diffeq_node("a", "v' = u", **CELL)
    made.add_edge("a", "a", 1.0)
    made.run({"a": np.ones((2, 1))})


def two_sources():
    made = net()
    made.add_func_node("g", 1, "tanh")
    made.run(np.ones((3, 3)))


def two_edges():
    made = net()
    made.add_edge("r", "f", np.ones((2, 3)))
    made.get_edge("r", "f")


def other_step():
    made = Network(dt=0.2)
    made.add_node("inner", net())


def other_state():
    made = Network(dt=0.1)
    made.add_func_node("f", 1, "tanh")
    made.run(np.ones((2, 1)), state=net().run(np.ones((2, 3))).final)


WEIGHTED = {"weights": J, **ENDS}
ERRORS = {
    # settings
    "dt of zero": (lambda: Network(dt=0), "dt must be a finite number > 0, got 0"),
    "dt of text": (lambda: Network(dt="1"), "dt must be a finite number > 0, got '1'"),
    "precision": (lambda: Network(precision="float16"), "unknown precision 'float16'. Did you mean"),
    "seed": (lambda: Network(seed=-1), "seed must be a whole number >= 0, got -1"),
    "device": (lambda: on_device("gpux"), "unknown device 'gpux'"),
    "empty": (lambda: Network().run(np.ones((2, 1))), "the network has no node: add one with add_diffeq_node"),
    # nodes
    "label taken": (node("r"), "there is a node 'r' already"),
    "label with a slash": (node("a/b"), "must not hold '/'"),
    "label all": (node("all"), "stands for every node in paths"),
    "label no text": (node(None), "must be a text, got None"),
    "template misspelled": (node(template=TANH + "h"), "Did you mean"),
    "node of a number": (node(template=3), "node 'n': cannot be made of int; give equations, the path of a template"),
    "edge as node": (
        node(template=EdgeTemplate("e", OperatorTemplate("o", "y = x", {"y": "output", "x": "input"}))),
        "'e' is an EdgeTemplate; it belongs into edge_template=",
    ),
    "variables of a template": (node(variables={"x": 1}), "variables= is for equations; use node_vars="),
    "equations undeclared": (node(template="v' = -v + u", variables={"v": "output"}), "unknown variable 'u'"),
    "no target_var": (
        node(weights=J, source_var="tanh_op/r"),
        "node 'n': target_var is not given, and 2 variables could be meant: li_op/r_in, li_op/I_ext. Write for example"
        " target_var='li_op/r_in'.",
    ),
    "input_var misspelled": (
        node(**{**WEIGHTED, "input_var": "li_op/I_exd"}),
        "node 'n', input_var: unknown name 'li_op/I_exd'. Did you mean 'li_op/I_ext'",
    ),
    "input_var no input": (
        node(**{**WEIGHTED, "input_var": "li_op/tau"}),
        "node 'n', input_var: 'li_op/tau' is of kind parameter, expected input: li_op/r_in, li_op/I_ext",
    ),
    "output_var no variable": (
        node(**{**WEIGHTED, "output_var": "li_op/tau"}),
        "node 'n', output_var: 'li_op/tau' is of kind parameter, expected state or algebraic",
    ),
    "source_var no variable": (node(**{**WEIGHTED, "source_var": 3}), "source_var: expected a name such as"),
    "name of several": (
        node(template=["v' = -v + u"], variables=CELL["variables"], output_var="w"),
        "output_var: unknown name 'w'. Known: v",
    ),
    "weights not square": (node(**{**WEIGHTED, "weights": np.ones((3, 2))}), "weights have shape (3, 2), expected a s"),
    "weights not finite": (
        node(**{**WEIGHTED, "weights": np.diag([1, np.nan])}),
        "node 'n': weights must be finite, entry (1, 1) is nan",
    ),
    "weights of text": (node(**{**WEIGHTED, "weights": "abc"}), "weights must be real numbers, got str"),
    "N and weights": (node(**WEIGHTED, N=4), "weights have shape (3, 3), expected (target units, source units) = (4,"),
    "N of zero": (node(N=0), "N must be a whole number >= 1, got 0"),
    "ends without weights": (node(source_var="tanh_op/r"), "source_var is given, but no weights"),
    "node_vars unknown": (node(N=2, node_vars={"taw": 1.0}), "node_vars: unknown name 'taw'. Did you mean 'tau'"),
    "node_vars computed": (node(N=2, node_vars={"tanh_op/r": 1.0}), "'tanh_op/r' is of kind algebraic, expected"),
    "node_vars of wrong length": (
        node(N=2, node_vars={"tau": [1, 2, 3]}),
        "node 'n', tau: got shape (3,), expected a number or (2,), one for each unit",
    ),
    "node_vars of text": (node(N=2, node_vars={"tau": "ten"}), "node 'n', tau: expected numbers, got 'ten'"),
    "train_params unknown": (node(N=2, train_params=["tan"]), "train_params: unknown name 'tan'"),
    "train_params of text": (node(N=2, train_params="tau"), "train_params must be a list of names, got the text 'tau'"),
    "train no weights": (node(N=2, train_params=["weights"]), "train_params names the weights, but the node has none"),
    "record_vars unknown": (node(N=2, record_vars=["x"]), "record_vars: unknown name 'x'"),
    "edge_attr unknown": (node(**WEIGHTED, edge_attr={"dealy": 1.0}), "unknown edge attribute 'dealy'. Did you mean"),
    "edge_attr negative": (node(**WEIGHTED, edge_attr={"delay": -1.0}), "a delay must be a finite time >= 0"),
    "edge_template of number": (node(**WEIGHTED, edge_template=3), "expected an EdgeTemplate or the path of one, got"),
    # spikes
    "no reset_var": (
        lif(spike_var="spike"),
        "node 'n': a spiking node needs reset_var, the variable that is compared with spike_threshold and set to"
        " spike_reset. Its states: lif_op/s, lif_op/v.",
    ),
    "no spike_var": (lif(reset_var="v"), "a spiking node needs spike_var, the input that gets 1/dt"),
    "threshold alone": (lif(spike_threshold=1.0), "a spiking node needs reset_var"),
    "reset_var no state": (lif(spike_var="spike", reset_var="tau"), "reset_var: 'tau' is of kind parameter, expected"),
    "spike_var no input": (lif(spike_var="v", reset_var="v"), "spike_var: 'v' is of kind state, expected input"),
    "reset above": (
        lif(spike_var="spike", reset_var="v", spike_reset=200.0),
        "spike_reset 200 must be below spike_threshold 100, or the unit spikes at every step",
    ),
    "threshold text": (
        lif(spike_var="spike", reset_var="v", spike_threshold="high"),
        "node 'n', spike_threshold: expected a finite number, got 'high'",
    ),
    "surrogate": (
        lif(spike_var="spike", reset_var="v", surrogate="fast"),
        "unknown surrogate 'fast'",
    ),
    "refractory": (lif(spike_var="spike", reset_var="v", refractory=-1.0), "refractory must be a time >= 0, got -1"),
    "spike lists": (
        lif(spike_var=["spike", "s_ext", "s_in"], reset_var=["v", "s"]),
        "3 spike_var and 2 reset_var are given; give one reset_var, or as many",
    ),
    # function nodes
    "function": (on(lambda n: n.add_func_node("g", 2, "tanhh")), "unknown activation function 'tanhh'. Did you mean"),
    "function of two": (on(lambda n: n.add_func_node("g", 2, "maximum")), "unknown activation function 'maximum'"),
    "units": (on(lambda n: n.add_func_node("g", 0, "tanh")), "node 'g': n must be a whole number >= 1, got 0"),
    # edges
    "source": (edge("x"), "unknown node 'x'. Known: r, f"),
    "target variable": (edge("r", "r/li_op/x"), "node 'r', input_var: unknown name 'r/li_op/x'. Did you mean"),
    "edge to a state": (edge("r", "r/li_op/v"), "'r/li_op/v' is of kind state, expected input"),
    "shape": (edge("r", "f", np.ones((3, 2))), "have shape (3, 2), expected (target units, source units) = (2, 3). Th"),
    "sparse shape": (edge("r", "f", scipy.sparse.eye_array(3)), "weights have shape (3, 3), expected (target units"),
    "train": (edge(train="gdd"), "edge r->f#1: unknown way to train weights 'gdd'. Did you mean 'gd'?"),
    "mask shape": (edge(mask=np.ones(3)), "edge r->f#1: mask has shape (3,), expected (target units, source units)"),
    "mask values": (edge(mask=np.full((2, 3), 0.5)), "a mask holds 0 (no connection) and 1 (connection) only"),
    "mask of sparse": (edge("r", "f", scipy.sparse.csr_array((2, 3)), mask=np.ones((2, 3))), "are a mask of their own"),
    "delays fraction": (edge(delays=1.5), "a delay is a whole number of steps >= 0, got 1.5. Divide a time by the"),
    "delays negative": (edge(delays=[0, -1, 2]), "a delay is a whole number of steps >= 0, got -1"),
    "delays shape": (edge(delays=[1, 2]), "delays have shape (2,), expected a number, one for each source unit (3,)"),
    "delays text": (edge(delays="long"), "delays must be whole numbers of steps, got 'long'"),
    "filter shape": (edge(filter_weights=[1, 2]), "filter_weights have shape (2,), expected a number, one for each so"),
    "edge label": (edge(label="r"), "there is a node or an edge called 'r' already"),
    "edge label marks": (edge(label="a[1]"), "must be a text without any of [ ] #"),
    "unclear end": (
        lambda: unclear().add_edge("a", "r", np.ones((1, 1))),
        "node 'r': input_var is not given, and 2 variables could be meant: li_op/r_in, li_op/I_ext",
    ),
    "circle": (circle, "algebraic variables depend on each other in a circle: "),
    "circle, mended": (circle, "feedback=True in a Network"),
    # looking
    "get node": (on(lambda n: n["rr"]), "unknown node 'rr'. Did you mean 'r'?"),
    "get edge": (on(lambda n: n.get_edge("f", "r")), "unknown edge 'f->r'. Known: r->f"),
    "edge of several": (two_edges, "there are 2 edges from 'r' to 'f'; name one: r->f, r->f#1"),
    "get var": (on(lambda n: n.get_var("r", "li_op/tua")), "unknown name 'li_op/tua'. Did you mean 'li_op/tau'"),
    "get computed": (on(lambda n: n.get_var("r", "tanh_op/r")), "is computed by an equation"),
    "get weights": (on(lambda n: n.get_var("f", "weights")), "node 'f' has no recurrent weights"),
    "get of edge": (on(lambda n: n.get_var("r->f", "tau")), "edge r->f: unknown number of an edge 'tau'. Known: weigh"),
    "set shape": (on(lambda n: n.set_var("r", "tau", [1.0, 2.0])), "got shape (2,), expected a number or (3,)"),
    "set weights shape": (on(lambda n: n.set_var("r", "weights", np.ones((2, 2)))), "weights have shape (2, 2), expec"),
    "set nan": (on(lambda n: n.set_var("r", "tau", np.nan)), "expected finite numbers"),
    "way": (on(lambda n: n.parameters("all")), "unknown way to train weights 'all'"),
    "pop": (on(lambda n: n.pop_node("g")), "unknown node 'g'"),
    # runs
    "no inputs": (run(), "nothing tells the number of steps: give inputs of shape (steps, units), or steps=1000"),
    "columns": (run(np.ones((5, 4))), "inputs of 'r' have shape (5, 4), expected (steps, 3), or 1 in place of 3"),
    "axes": (run(np.ones((5, 4, 3))), "inputs of 'r' have shape (5, 4, 3), expected (steps, 3)"),
    "text": (run({"r": "loud"}), "inputs of 'r' must be numbers, got str"),
    "not finite": (run([[1.0, np.nan, 0.0]]), "values that are not finite"),
    "unknown input": (run({"x": np.ones((5, 3))}), "unknown node 'x'. Known: r, f"),
    "input no input": (run({"r/li_op/v": np.ones((5, 3))}), "'r/li_op/v' is of kind state, expected input"),
    "fed twice": (run({"r": np.ones((5, 3)), "r/li_op/I_ext": np.ones((5, 3))}), "'r/li_op/I_ext' is fed twice"),
    "lengths": (run({"r": np.ones((5, 3)), "f": np.ones((4, 2))}), "same number of steps >= 1: 'r' has 5, 'f' has 4"),
    "steps": (run(np.ones((5, 3)), steps=6), "same number of steps >= 1: 'r' has 5; steps=6"),
    "sampling": (run(np.ones((5, 3)), sampling_steps=2), "5 steps are not a whole number of rows of sampling_steps=2"),
    "sampling of zero": (run(np.ones((5, 3)), sampling_steps=0), "sampling_steps must be a whole number of steps >= 1"),
    "cutoff": (run(np.ones((5, 3)), cutoff=5), "cutoff=5 leaves nothing of 5 steps"),
    "record text": (run(np.ones((5, 3)), record_vars="r/v"), "record_vars: expected a list such as"),
    "record entry": (run(np.ones((5, 3)), record_vars=[3]), "record_vars: expected ('node', 'operator/variable')"),
    "record node": (run(np.ones((5, 3)), record_vars=[("g", "v")]), "unknown node 'g'"),
    "record variable": (run(np.ones((5, 3)), record_vars=[("r", "li_op/w")]), "unknown name 'r/li_op/w'. Did you mean"),
    "record nothing": (run(np.ones((5, 3)), record_output=False), "nothing is recorded: give record_vars"),
    "solver": (run(np.ones((5, 3)), solver="eulr"), "unknown solver 'eulr'. Did you mean 'euler'?"),
    "state": (run(np.ones((5, 3)), state=3), "state: expected the `final` of an earlier result, got int"),
    "set state": (on(lambda n: setattr(n, "state", 3)), "state: expected the `final` of an earlier run, got int"),
    "state of another": (other_state, "state: it belongs to another network"),
    "closed circle": (closed, "every node of the network is on a circle, so there is none that no edge feeds; give"),
    "open circle": (open_circle, "none that no edge reads; run with record_output=False and record_vars"),
    "two sources": (two_sources, "inputs: the network has 2 sources, r, g; give a dict such as {'r': values}"),
    "recording": (on(lambda n: n.run(np.ones((2, 3)))["oot"]), "unknown recording 'oot'. Did you mean 'out'?"),
    "step of inner": (other_step, "node 'inner': the inner network has dt=0.1, this one 0.2"),
    # training
    "nothing to train": (on(lambda n: n.fit_bptt(np.ones((5, 3)), np.ones((5, 2)))), "nothing is there to be trained"),
    "no rls edge": (on(lambda n: n.fit_rls(np.ones((5, 3)), np.ones((5, 2)))), "fit_rls: no edge is there to be learn"),
    "short targets": (
        on(lambda n: n.fit_bptt(np.ones((5, 3)), np.ones((4, 2)), train=["r/tau"])),
        "targets are shorter than inputs",
    ),
    "loss": (
        on(lambda n: n.fit_bptt(np.ones((5, 3)), np.ones((5, 2)), train=["r/tau"], loss="msee")),
        "unknown loss 'msee'. Did you mean 'mse'?",
    ),
    "optimizer": (
        on(lambda n: n.fit_bptt(np.ones((5, 3)), np.ones((5, 2)), train=["r/tau"], optimizer="adan")),
        "unknown optimizer 'adan'. Did you mean 'adam'",
    ),
    "readout taken": (
        on(lambda n: n.fit_ridge(np.ones((5, 3)), np.ones((5, 2)), label="r")),
        "there is a node 'r' already",
    ),
    "e-prop into tanh": (
        on(lambda n: n.fit_eprop(np.ones((5, 3)), np.ones((5, 2)), train=["r/weights"])),
        "the readout is linear, so the edge r->f must lead to a node that passes on what it gets",
    ),
    "test columns": (on(lambda n: n.test(np.ones((5, 3)), np.ones((5, 3)))), "targets: got shape (5, 3), expected"),
}


def on_device(name):
    made = Network(device=name)
    made.add_func_node("f", 1, "tanh")
    made.run(np.ones((2, 1)))


def unclear() -> Network:
    made = Network(dt=0.1)
    made.add_func_node("a", 1, "tanh")
    made.add_diffeq_node("r", TANH)
    return made


@pytest.mark.parametrize(("action", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(action, message):
    with pytest.raises(RecurraError, match=re.escape(message)):
        action()


def test_a_circle_is_named():
    with pytest.raises(RecurraError) as caught:
        circle()
    for label in "abc":
        assert f"{label}/func/y" in str(caught.value)


def test_a_failed_change_leaves_the_network_as_it_was():
    made = net()
    before = made.explain()
    for attempt in (
        lambda: made.add_diffeq_node("n", TANH, weights=J),
        lambda: made.add_edge("r", "f", np.ones((3, 3))),
        lambda: made.set_var("r", "tau", [1.0]  * 5),
        lambda: made.set_var("r->f", "weights", np.ones(5)),
        lambda: made.pop_node("g"),
    ):
        with pytest.raises(RecurraError):
            attempt()
    assert made.explain() == before


def test_divergence_names_the_node():
    made = Network(dt=1.0)
    made.add_diffeq_node("boom", "v' = v^3", variables={"v": "output(2)"})
    with pytest.raises(RecurraError, match="boom/op/v is not finite after step"):
        made.run(steps=50)


def test_a_node_template_as_edge_template():
    template = NodeTemplate("cell", OperatorTemplate("o", "v' = -v", {"v": "output"}))
    with pytest.raises(RecurraError, match="expected an EdgeTemplate"):
        net().add_diffeq_node("n", TANH, edge_template=template, **WEIGHTED)
