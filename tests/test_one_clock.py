"""One step, one convention of rows and one time axis for nodes, groups, ready behaviors and whatever becomes a node."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, sweep
from recurra.behaviors import LeakyIntegrateAndFire, SpikeGenerator
from recurra.engine import Clock, Graph, Node, Operator, Snapshot, Variable, as_function, lower, simulate
from recurra.engine.loop import split_step
from recurra.equations import parse_equation
from recurra.errors import RecurraError, TemplateError, TimeError
from recurra.glm import PopulationGLM, basis
from recurra.groups import GroupNetwork
from recurra.rate.model import FR_RNN_dale
from recurra.spiking import convert
from recurra.training import fit_bptt

DT = 0.1


class Decay(Behavior):
    """Decay by a tenth in each step."""

    def initialize(self, n):
        n.x = n.vector(np.linspace(1.0, 2.0, n.size))

    def iteration(self, n):
        n.x *= 0.9


def cells(behavior=None, **options) -> Network:
    net = Network(**options)
    NeuronGroup(net=net, size=3, tag="c", behavior={5: Decay()} if behavior is None else behavior)
    net.initialize()
    return net


# How long a step is


def test_a_network_of_groups_keeps_time_in_its_step():
    net = cells({1: LeakyIntegrateAndFire(I_ext=20.0), 2: Recorder("v"), 3: EventRecorder("spike")}, dt=DT)
    net.simulate_iterations(200, progress=False)
    assert net.snapshot.dt == DT and net.observer().meta["dt"] == DT
    assert np.abs(net.observer().time - DT * np.arange(1, 201)).max() < 1e-12
    obs = net.run(steps=1000, record_vars={"s": "c/spike"})
    assert obs.meta["dt"] == obs.final.dt == DT
    assert np.abs(obs.time - DT * np.arange(200, 1200)).max() < 1e-9
    # Lapicque: from the reset to the threshold it takes tau ln(20 / (20 - 15)), in whole steps.
    interval = np.diff(obs.time[obs["s"][:, 0] > 0])
    assert np.abs(interval - np.ceil(20 * np.log(4) / DT) * DT).max() < 1e-9


@pytest.mark.parametrize("make", [GroupNetwork, Network])
def test_without_a_step_an_iteration_is_one(make):
    net = make()
    NeuronGroup(net, 3, tag="c", behavior={5: Decay(), 9: Recorder("x")})
    net.initialize()
    net.simulate_iterations(4, progress=False)
    assert net.dt == 1.0 and net.observer().time.tolist() == [1, 2, 3, 4]
    if make is Network:
        assert net.run(steps=3).time.tolist() == [4, 5, 6]


def test_a_network_of_nodes_has_a_thousandth_by_default():
    net = Network()
    assert net.dt == 1e-3
    net.add_diffeq_node("a", "x' = -x", variables={"x": "output(1.0)"})
    assert net.dt == 1e-3 and net.run(steps=2).time.tolist() == [0.0, 1e-3]


def both(**options) -> Network:
    net = Network(**options)
    net.add_diffeq_node("a", "x' = -x", variables={"x": "output(1.0)"})
    NeuronGroup(net=net, size=3, tag="c", behavior={5: Decay()})
    return net


ASKS = r"must be told how long a step of both is: Network\(dt=...\)"


def test_nodes_and_groups_ask_for_their_step():
    net = both()
    assert "1 node(s)" in repr(net)
    with pytest.raises(TimeError, match=ASKS):
        net.initialize()
    with pytest.raises(TimeError, match=ASKS):
        print(net.dt)


@pytest.mark.parametrize("use", ["program", "run", "simulate_iterations", "snapshot"])
def test_nodes_that_join_groups_later_ask_for_their_step(use):
    net = cells()
    net.add_diffeq_node("a", "x' = -x", variables={"x": "output(1.0)"})
    with pytest.raises(TimeError, match=ASKS):
        asked = getattr(net, use)
        asked(steps=3) if use == "run" else asked(3)


def test_nodes_and_groups_share_their_step():
    net = both(dt=DT)
    net.initialize()
    obs = net.run(steps=30, record_vars={"c": "c/x"})
    k = np.arange(30)
    assert np.abs(obs["out"][:, 0] - (1 - DT) ** k).max() < 1e-12
    assert np.abs(obs["c"][:, 0] - 0.9**k).max() < 1e-12
    assert np.abs(obs.time - DT * k).max() < 1e-12


# What is written for one step


@cache
def glm(bin_size: float | None = None) -> PopulationGLM:
    counts = np.random.default_rng(1).random((400, 2)) < 0.3
    return PopulationGLM("Bernoulli").fit_spikes(
        counts, basis.RaisedCosineLogConv(2, window_size=5), bin_size=bin_size
    )


@cache
def dale() -> FR_RNN_dale:
    rng = np.random.default_rng(2)
    return FR_RNN_dale(8, 0.2, 0.5, rng.normal(size=(8, 1)), 0, "gaus", 1.5, True, rng.normal(size=(1, 8)), seed=1)


WRITTEN = {
    "groups": (lambda: cells(dt=DT).program, DT),
    "groups without a step": (lambda: cells().program, 1.0),
    "nodes and groups": (lambda: ready(both(dt=DT)).program, DT),
    "groups with derivatives": (lambda: cells(dt=DT).program_with("fast_sigmoid"), DT),
    "GLM": (lambda: lower(glm(0.01).to_graph()), 0.01),
    "spiking network": (lambda: convert(dale(), 20.0).to_program(), 0.05),
    "Dale network with the noise of its step": (lambda: dale().to_program(noise="kim", step=2.0), 2.0),
}


def ready(net: Network) -> Network:
    net.initialize()
    return net


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_for_a_step_refuses_another(name):
    make, dt = WRITTEN[name]
    program, message = make(), f"written for steps of {dt:g} and cannot take steps of {dt / 2:g}"
    assert simulate(program, 2 * dt, dt=dt, record=[]).final.step == 2
    state = program.init(dt)
    for call in (
        lambda: simulate(program, dt, dt=dt / 2),
        lambda: as_function(program, dt, dt=dt / 2),
        lambda: program.init(dt / 2),
        lambda: program.step(state, program.params, None, Clock(0, 0.0, dt / 2)),
    ):
        with pytest.raises(TimeError, match=message):
            call()


def test_a_sweep_in_another_step_is_refused():
    net = cells({1: LeakyIntegrateAndFire(I_ext=20.0)}, dt=DT)
    currents = {"c/LeakyIntegrateAndFire/I_ext": [10.0, 20.0]}
    found = sweep(net, currents, 2.0, dt=DT, record={"v": "c/v"}, progress=False)
    assert np.abs(found["v"].values[:, -1, 0] - (-65 + np.array([10, 20]) * (1 - np.exp(-1.9 / 20)))).max() < 1e-12
    with pytest.raises(RecurraError, match=r"written for steps of 0\.1"):
        sweep(net, currents, 2.0, dt=0.5, record={"v": "c/v"}, progress=False)


def test_equations_take_any_step():
    assert dale().to_graph(noise="none").dt is None
    assert dale().to_graph(noise="ou").dt == 1.0  # so that the noise has its level exactly
    assert glm().to_graph().dt is None  # nobody has said how long its bins are


@pytest.mark.parametrize(
    ("node", "dt"),
    [
        (lambda: glm(0.01), 0.001),
        (lambda: glm().to_graph(bin_size=1.0), 0.1),
        (lambda: convert(dale(), 20.0), 0.1),
        (lambda: dale(), 0.5),
    ],
)
def test_a_node_written_for_another_step_is_refused(node, dt):
    net = Network(dt=dt)
    with pytest.raises(TimeError, match=rf"node 'n' is written for steps of .* and cannot take steps of {dt:g}"):
        net.add_node("n", node())
    assert not net.nodes


def test_a_bin_is_a_step_in_the_unit_of_the_network():
    net = Network(dt=10.0)
    glm(0.01).to_node(net, "pop", bin_size=10.0)  # 0.01 s are 10 ms
    assert net.program.graph.dt == 10.0
    with pytest.raises(TimeError, match="written for steps of 10"):
        simulate(net, 10.0, dt=5.0)
    outer = Network(dt=1.0)
    with pytest.raises(TemplateError, match=r"the inner network has dt=10, this one 1\."):
        outer.add_node("sub", net)


def test_a_training_in_another_step_is_refused():
    net = cells(dt=DT)
    with pytest.raises(TimeError, match=r"written for steps of 0\.1"):
        fit_bptt(net.program, None, np.zeros((4, 3)), output="c/x", train=["c/x"], dt=1.0, progress=False)


def test_a_state_of_another_step_is_refused():
    slow = cells(dt=1.0)
    with pytest.raises(TimeError, match=r"made with dt=1, this run has dt=0\.1"):
        cells(dt=DT).run(steps=3, state=slow.snapshot, record_vars=["c/x"])


def test_a_saved_program_keeps_its_step(tmp_path):
    dale().to_program(noise="kim", step=2.0).save(tmp_path / "dale.npz")
    from recurra.engine import load

    with pytest.raises(TimeError, match="written for steps of 2"):
        simulate(load(tmp_path / "dale.npz"), 2.0, dt=1.0)
    net = Network(dt=2.0)
    net.add_node("d", dale().to_graph(noise="kim", step=2.0))
    net.save(tmp_path / "net.npz")
    assert Network.load(tmp_path / "net.npz").to_graph().dt == 2.0


# Rows


@pytest.mark.parametrize("key", [1, 9])
@pytest.mark.parametrize("every", [1, 3])
def test_recorders_and_variables_have_the_same_rows(key, every):
    net = cells({5: Decay(), key: Recorder(["x", "np.sum(x)"], gapwidth=2)}, dt=DT)
    obs = net.run(steps=12, record_vars={"x": "c/x"}, sampling_steps=every)
    rows = np.linspace(1.0, 2.0, 3) * 0.9 ** np.arange(0, 12, every)[:, None]
    assert np.abs(obs["x"] - rows).max() < 1e-15
    assert np.array_equal(obs["c/x"], obs["x"])
    assert np.abs(obs["c/np.sum(x)"][:, 0] - rows.sum(axis=1)).max() < 1e-14
    both = simulate(net, 12 * DT, dt=DT, record=["c/x", "c/Recorder/x"], every=every)
    assert np.array_equal(both["c/x"], both["c/Recorder/x"])
    # The recorder itself has what its number says: the first row is of step 1, before or after the decay.
    net.simulate_iterations(12, progress=False)
    kept = np.linspace(1.0, 2.0, 3) * 0.9 ** (np.arange(2, 13, 2) - (key < 5))[:, None]
    assert np.abs(net["x", 0] - kept).max() < 1e-14


def test_recorders_go_on_with_their_rows():
    net = cells({5: Decay(), 9: Recorder("x")}, dt=DT)
    whole = net.run(steps=8)
    first = net.run(steps=3)
    rest = net.run(steps=5, state=first.final)
    assert np.array_equal(np.concatenate([first["c/x"], rest["c/x"]]), whole["c/x"])
    assert np.array_equal(np.concatenate([first.time, rest.time]), whole.time)


def test_a_variable_of_the_first_step_needs_that_step():
    class Late(Behavior):
        def iteration(self, n):
            n.y = 2.0 * n.x

    net = cells({5: Decay(), 6: Late(), 9: Recorder("y")}, dt=DT)
    net.simulate_iterations(1, progress=False)
    obs = net.run(steps=4, record_vars={"x": "c/x"})
    assert np.array_equal(obs["c/y"], 2.0 * obs["x"])


def test_rows_of_several_steps_are_those_of_their_first():
    net = Network(dt=1.0, seed=2)
    net.add_node("pop", glm())
    spikes = np.random.default_rng(0).random((30, 1)) < 0.3
    rule = SpikeGenerator(times=np.flatnonzero(spikes), indices=np.zeros(spikes.sum(), int))
    NeuronGroup(net=net, size=1, tag="c", behavior={1: rule, 9: EventRecorder("spike"), 10: Recorder("spike")})
    net.initialize()
    record = {"rate": "pop/glm/rate", "spikes": "pop/glm/spikes", "c": "c/Recorder/spike"}
    record["e"] = "c/EventRecorder/spike:packed"
    every = simulate(net, 30.0, dt=1.0, record=record, seed=2)
    fewer = simulate(net, 30.0, dt=1.0, record=record, seed=2, every=3)
    assert np.array_equal(every["e"][:, 0] > 0, spikes[:, 0])  # an event of step k is in row k
    for name in record:
        assert np.array_equal(fewer[name], every[name][::3]), name


def test_a_spike_of_a_step_has_the_time_at_its_beginning():
    net = cells({1: SpikeGenerator(times=[0.0, 0.3], indices=[0, 2]), 9: EventRecorder("spike")}, dt=DT)
    net.simulate_iterations(6, progress=False)
    assert np.abs((net["spike.t", 0] - 1) * net.dt - [0.0, 0.3]).max() < 1e-12


# Time in float32


def clock_program():
    equations = (parse_equation("x' = 0*x"), parse_equation("y = t"))
    operator = Operator(equations, {"x": Variable("state"), "y": Variable("algebraic")})
    return lower(Graph({"n": Node({"op": operator})}))


@pytest.mark.parametrize(("t0", "dt"), [(0.0, 0.1), (123.456, 0.1), (0.0, 1e-3), (0.0, 1 / 3)])
def test_time_in_float32_is_right_to_its_last_bit(t0, dt):
    program = clock_program()
    for first in (0, 4090, 10_000_000, 2**24 - 20, 2**25 + 1):
        state = {key: value.astype(np.float32) for key, value in program.state.items()}
        start = Snapshot(state, first, t0, dt)
        found = simulate(
            program, 100 * dt, dt=dt, record={"t": "n/op/y"}, state=start, precision="float32", progress=False
        )
        exact = t0 + (first + np.arange(100)) * dt
        assert found["t"].dtype == np.float32
        assert np.abs(found["t"][:, 0] - exact).max() <= 0.52 * np.spacing(np.float32(exact.max()))
        assert np.abs(found.time - exact).max() == 0.0


def test_time_in_float32_does_not_depend_on_how_a_run_is_cut():
    program = clock_program()
    whole = simulate(program, 900.0, dt=0.1, record={"t": "n/op/y"}, precision="float32", progress=False)
    first = simulate(program, 412.3, dt=0.1, record={"t": "n/op/y"}, precision="float32", progress=False)
    rest = simulate(
        program, 900.0 - 412.3, dt=0.1, record={"t": "n/op/y"}, precision="float32", state=first.final, progress=False
    )
    assert np.array_equal(np.concatenate([first["t"], rest["t"]]), whole["t"])


@pytest.mark.parametrize("dt", [0.1, 1e-3, 1 / 3, 7.0, 1.0])
def test_a_step_is_split_without_loss(dt):
    coarse, fine, _ = split_step(0.0, dt).astype(float)
    assert abs(coarse + fine - dt) < 2.0**-28 * dt
    assert float(np.float32((2**19 - 1) * 4096.0) * np.float32(coarse)) == (2**19 - 1) * 4096.0 * coarse


def test_synapses_and_delays_follow_the_step():
    from recurra.behaviors import CreateWeights, ExponentialSynapse, SynapticDelay

    net = Network(dt=0.5)
    source = NeuronGroup(net=net, size=1, tag="s", behavior={1: SpikeGenerator(times=[1.0], indices=[0])})
    target = NeuronGroup(net=net, size=1, tag="t", behavior={9: Recorder("I")})
    start = CreateWeights(distribution=1.0, normalize=False)
    rules = {2: start, 3: SynapticDelay(delay=2.0), 4: ExponentialSynapse(tau=5.0), 5: Recorder("g", tag="g")}
    SynapseGroup(net=net, src=source, dst=target, tag="syn", behavior=rules)
    net.initialize()
    net.simulate_iterations(20, progress=False)
    time = net.observer().time - net.dt  # of the beginning of each step
    expected = np.where(time >= 3.0, np.exp(-(time - 3.0) / 5.0), 0.0)
    assert np.abs(net.observer()["syn/g"][:, 0] - expected).max() < 1e-12
