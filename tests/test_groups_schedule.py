"""The order of behaviors, what changes it, and the random numbers of a network."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.errors import OptionError, TemplateError
from recurra.groups import GroupNetwork, run_step


class Logged(Behavior):
    """Write its name down whenever it is called."""

    def initialize(self, obj):
        self.log = self.parameter("log")
        self.name = self.parameter("name", "")
        self.log.append(f"init {self.name}")

    def iteration(self, obj):
        self.log.append(self.name)


class OnInit(Logged):
    initialize_on_init = True


class Last(Logged):
    initialize_last = True


@pytest.fixture(params=[Network, GroupNetwork])
def Net(request):
    return request.param


def logging_network(Net, log):
    net = Net(behavior={2: Logged(log=log, name="net2")})
    a = NeuronGroup(net, 1, tag="a", behavior={
        0.5: OnInit(log=log, name="a0.5"), 1: Logged(log=log, name="a1"),
        3: Logged(log=log, name="a3"), 5: Last(log=log, name="a5"),
    })  # fmt: skip
    b = NeuronGroup(net, 1, tag="b", behavior={
        -1: Logged(log=log, name="b-1"), 1: Logged(log=log, name="b1"), 2: Logged(log=log, name="b2"),
    })  # fmt: skip
    s = SynapseGroup(net, a, b, behavior={1: Logged(log=log, name="s1"), 2: Logged(log=log, name="s2")})
    return net, a, b, s


def test_order_of_construction_initialisation_and_iteration(Net):
    log = []
    net, a, _, _ = logging_network(Net, log)
    assert log == ["init a0.5"]
    log.clear()
    net.initialize()
    assert log == [f"init {name}" for name in ["b-1", "a1", "b1", "s1", "net2", "b2", "s2", "a3", "a5"]]
    log.clear()
    net.simulate_iteration(compile=False)
    assert log == ["b-1", "a0.5", "a1", "b1", "s1", "net2", "b2", "s2", "a3", "a5"]
    log.clear()
    a.add_behavior(2, Logged(log=log, name="a2"))
    assert log == ["init a2"]
    log.clear()
    net.simulate_iterations(1, compile=False)
    assert log == ["b-1", "a0.5", "a1", "b1", "s1", "net2", "b2", "s2", "a2", "a3", "a5"]


def test_order_of_the_dict_does_not_matter(Net):
    log = []
    net = Net()
    NeuronGroup(net, 1, behavior={3: Logged(log=log, name="3"), 1: Logged(log=log, name="1")})
    net.initialize()
    net.simulate_iterations(1, compile=False)
    assert log == ["init 1", "init 3", "1", "3"]


def test_behaviors_as_a_list_are_numbered_from_0(Net):
    log = []
    net = Net()
    group = NeuronGroup(net, 1, behavior=[Logged(log=log, name="x"), Logged(log=log, name="y")])
    assert list(group.behavior) == [0, 1]
    net.initialize()
    net.simulate_iterations(2, compile=False)
    assert log[2:] == ["x", "y", "x", "y"]


def test_the_first_step_is_1_and_is_counted_before_the_first_behavior(Net):
    seen = []

    class Look(Behavior):
        def iteration(self, network):
            seen.append((network.iteration, network.network.iteration))

    net = Net(behavior={-5: Look()})
    assert net.iteration == 0
    net.initialize()
    net.simulate_iterations(3, compile=False)
    assert seen == [(1, 1), (2, 2), (3, 3)]
    net.initialize()
    assert net.iteration == 3


def test_within_a_step_later_behaviors_see_what_earlier_ones_did(Net):
    class Add(Behavior):
        def initialize(self, n):
            n.x = n.vector()

        def iteration(self, n):
            for s in n.synapses(afferent):
                n.x += s.src.x + 1

    net = Net()
    a, b = NeuronGroup(net, 1, {1: Add()}, "a"), NeuronGroup(net, 1, {1: Add()}, "b")
    SynapseGroup(net, b, a), SynapseGroup(net, a, b)
    net.initialize()
    net.simulate_iterations(2, compile=False)
    # a <- a + b + 1, then b <- b + a + 1 with the new a
    assert (a.x[0], b.x[0]) == (4.0, 7.0)


def test_disabled_behaviors_are_skipped_and_behaviors_without_iteration_too(Net):
    log = []

    class Silent(Behavior):
        def initialize(self, n):
            log.append("init silent")

    net = Net()
    group = NeuronGroup(net, 1, {
        1: Logged(log=log, name="one", tag="x"), 2: Logged(log=log, name="two", behavior_enabled=False),
        3: Silent(), 4: Logged(log=log, name="four", tag="x,y"),
    })  # fmt: skip
    net.initialize()
    assert log == ["init one", "init two", "init silent", "init four"]
    assert [e.active for e in net.schedule] == [True, False, False, True]
    log.clear()
    net.simulate_iterations(1, compile=False)
    net.deactivate_behaviors("x")
    net.simulate_iterations(1, compile=False)
    group.activate_behaviors("y")
    net.set_behaviors("Logged", True)
    net["y", 0].behavior_enabled = False
    net.simulate_iterations(1, compile=False)
    assert log == ["one", "four", "one", "two"]


@pytest.mark.parametrize("which", [2, "second", "instance", "class"])
def test_behaviors_are_removed_by_number_tag_instance_or_class(Net, which):
    class Second(Logged):
        pass

    log = []
    net = Net()
    second = Second(log=log, name="2", tag="second")
    group = NeuronGroup(net, 1, {1: Logged(log=log, name="1"), 2: second})
    net.initialize()
    assert group.Second is second and "second" in group
    group.remove_behavior({"instance": second, "class": Second}.get(which, which))
    net.simulate_iterations(1, compile=False)
    assert log[2:] == ["1"]
    assert not hasattr(group, "Second") and "second" not in net
    group.add_behavior(2, second)
    net.simulate_iterations(1, compile=False)
    assert log[3:] == ["init 2", "1", "2"]


def test_what_a_step_adds_is_executed_from_the_next_one_on(Net):
    log = []

    class Grow(Behavior):
        def iteration(self, n):
            if n.iteration == 1:
                n.add_behavior(5, Logged(log=log, name="new"))

    net = Net()
    NeuronGroup(net, 1, {1: Grow()})
    net.initialize()
    net.simulate_iterations(3, compile=False)
    assert log == ["init new", "new", "new"]


def test_one_instance_in_two_groups_shares_its_own_state(Net):
    class Count(Behavior):
        def initialize(self, n):
            self.count = 0

        def iteration(self, n):
            self.count += 1
            n.seen = self.count

    shared, net = Count(), Net()
    a, b = NeuronGroup(net, 1, {1: shared}), NeuronGroup(net, 1, {1: shared})
    net.initialize()
    net.simulate_iterations(2, compile=False)
    assert (a.seen, b.seen, shared.count) == (3, 4, 4)
    assert net["Count"] == [shared]
    a.remove_behavior(1)
    net.simulate_iterations(1, compile=False)
    assert (a.seen, b.seen) == (3, 5)


def test_add_behavior_waits_for_the_network_and_initialize_false_never_initialises(Net):
    log = []
    net = Net()
    group = NeuronGroup(net, 1)
    group.add_behavior(1, Logged(log=log, name="1"))
    assert log == []
    net.initialize()
    net.initialize()
    assert log == ["init 1", "init 1"]

    class Plain(Behavior):
        def initialize(self, n):
            log.append("never")

        def iteration(self, n):
            log.append("plain")

    log.clear()
    group.add_behavior(2, Plain(), initialize=False)
    net.simulate_iterations(1, compile=False)
    assert log == ["1", "plain"]


def test_a_group_made_after_initialize_waits_for_another_one(Net):
    log = []
    net = Net()
    net.initialize()
    NeuronGroup(net, 1, {1: Logged(log=log, name="late")}, "cells")
    with pytest.raises(TemplateError, match="behavior 1: Logged of 'cells': not initialised yet"):
        net.simulate_iterations(1, compile=False)
    assert log == [] and net.iteration == 0
    net.initialize()
    net.simulate_iterations(1, compile=False)
    assert log == ["init late", "late"]


def test_all_that_is_executed_goes_through_one_list(Net):
    net, a, b, s = logging_network(Net, [])
    assert [(e.key, e.parent) for e in net.schedule] == [
        (-1, b), (0.5, a), (1, a), (1, b), (1, s), (2, net), (2, b), (2, s), (3, a), (5, a),
    ]  # fmt: skip
    assert net.sorted_behavior_execution_list[0] == (-1, b, b.behavior[-1])
    assert net.all_behaviors()[-1] is a.behavior[5]
    assert net.behavior_timesteps == [-1, 0.5, 1, 2, 3, 5]
    net.initialize()
    run_step(net.schedule, net)
    assert net.iteration == 1
    assert net.all_objects() == [net, a, b, s]


def test_a_group_that_cannot_be_made_leaves_nothing_behind(Net):
    net = Net()
    with pytest.raises(OptionError, match="number 0 is that of the grid"):
        NeuronGroup(net, Behavior(), {0: Behavior()})
    with pytest.raises(OptionError, match="must be a Behavior"):
        NeuronGroup(net, 3, {1: 5})

    class Bad(Behavior):
        initialize_on_init = True

        def initialize(self, n):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        NeuronGroup(net, 3, {1: Behavior(), 2: Bad()})
    assert net.NeuronGroups == [] and len(net.schedule) == 0


def test_an_error_in_a_behavior_keeps_its_type_and_says_where_it_was(Net):
    class Bad(Behavior):
        def iteration(self, n):
            raise KeyError("x")

    net = Net()
    NeuronGroup(net, 1, {4: Bad()}, tag="cells")
    net.initialize()
    with pytest.raises(KeyError) as caught:
        net.simulate_iterations(3, compile=False)
    assert caught.value.__notes__ == ["in iteration() of behavior 4: Bad of 'cells', iteration 1"]


def test_the_behaviors_of_a_group_can_be_read_but_are_changed_by_methods(Net):
    group = NeuronGroup(Net(), 1, {1: Behavior()})
    with pytest.raises(TypeError):
        group.behavior[2] = Behavior()
    with pytest.raises(TypeError):
        list(group)


# Steps


def test_steps_in_one_piece_or_in_many_give_the_same(Net):
    def run(*pieces):
        net = Net(seed=3)
        NeuronGroup(net, 5, {1: Noisy(), 2: Recorder("x")})
        net.initialize()
        for piece in pieces:
            net.simulate_iterations(piece, batch_size=3, compile=False)
        return net["x", 0]

    whole = run(10)
    assert whole.shape == (10, 5)
    assert np.array_equal(whole, run(4, 0, 6))
    assert np.array_equal(whole, run(*[1] * 10))


@pytest.mark.parametrize(("batch", "expected"), [(4, [40.0, 80.0, 100.0]), (-1, [100.0]), (100, [100.0])])
def test_progress_function_is_called_after_each_block(Net, batch, expected):
    net, seen = Net(), []
    net.initialize()
    out = net.simulate_iterations(10, batch, batch_progress_update_func=lambda done, n: seen.append((done, n is net)))
    assert seen == [(done, True) for done in expected]
    assert out is None
    assert net.simulate_iterations(1, measure_block_time=True, compile=False) >= 0


def test_nothing_is_printed_unless_it_is_asked_for(Net, capsys):
    net, *_ = logging_network(Net, [])
    net.initialize()
    net.simulate_iterations(3, compile=False)
    net.deactivate_behaviors("Logged")
    net.clear_recorder()
    assert capsys.readouterr().out == ""
    net.initialize(info=True)
    assert capsys.readouterr().out == str(net) + "\n"
    assert "a: 1 neurons" in str(net) and "2 neurons, 1 synapses" in str(net)


# Random numbers


class Noisy(Behavior):
    """Draw through the library and through numpy.random."""

    def initialize(self, n):
        n.x = n.vector("uniform") + np.random.uniform(size=n.size)  # noqa: NPY002

    def iteration(self, n):
        n.x = n.vector("normal") + np.random.normal(size=n.size) + np.random.rand()  # noqa: NPY002


def noisy_run(Net, seed):
    net = Net(seed=seed)
    group = NeuronGroup(net, 3, {1: Noisy()})
    net.initialize()
    first = group.x
    net.simulate_iterations(4, compile=False)
    return first, group.x


def test_both_kinds_of_draws_come_from_one_stream(Net):
    oracle = np.random.RandomState(7)
    first, last = noisy_run(Net, 7)
    assert np.array_equal(first, oracle.uniform(size=3) + oracle.uniform(size=3))
    for _ in range(4):
        x = oracle.normal(size=3) + oracle.normal(size=3) + oracle.rand()
    assert np.array_equal(last, x)


def test_the_global_stream_is_left_alone(Net):
    np.random.seed(5)  # noqa: NPY002
    np.random.normal()  # noqa: NPY002  leaves a second normal number waiting inside
    before = np.random.get_state()  # noqa: NPY002
    noisy_run(Net, 7)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_the_global_stream_changes_nothing(Net):
    np.random.seed(1)  # noqa: NPY002
    one = noisy_run(Net, 0)
    np.random.seed(2)  # noqa: NPY002
    assert all(np.array_equal(x, y) for x, y in zip(one, noisy_run(Net, 0), strict=True))


def test_the_global_stream_comes_back_after_an_error(Net):
    class Bad(Behavior):
        def iteration(self, n):
            np.random.rand()  # noqa: NPY002
            raise RuntimeError("no")

    net = Net()
    NeuronGroup(net, 1, {1: Bad()})
    net.initialize()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(RuntimeError):
        net.simulate_iteration(compile=False)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_seeds_matter_and_the_default_is_0(Net):
    def draw(**seed):
        return NeuronGroup(Net(**seed), 4).vector("uniform").tolist()

    assert draw() == draw(seed=0) != draw(seed=1)
    assert draw(seed=2**40) != draw(seed=2**40 + 1)
    assert draw() == np.random.RandomState(0).uniform(size=4).tolist()


def test_two_networks_side_by_side_do_not_disturb_each_other(Net):
    alone = noisy_run(Net, 1)[1]
    nets = [Net(seed=1), Net(seed=2)]
    groups = [NeuronGroup(net, 3, {1: Noisy()}) for net in nets]
    for net in nets:
        net.initialize()
    for _ in range(4):
        for net in nets:
            net.simulate_iteration(compile=False)
    assert np.array_equal(groups[0].x, alone)
    assert not np.array_equal(groups[1].x, alone)


def test_the_source_of_random_numbers_can_be_replaced(Net):
    class Half:
        def uniform(self, low=0.0, high=1.0, size=None):
            return np.full(size, (low + high) / 2)

        def random_sample(self, size):
            return np.full(size, 0.25)

    net = Net()
    group = NeuronGroup(net, 2)
    net.random = Half()
    assert group.vector("uniform(0, 3)", density=0.3).tolist() == [1.5, 1.5]
    assert group.vector("uniform(0, 3)", density=0.2).tolist() == [0.0, 0.0]
    net.initialize()
    net.simulate_iterations(1, compile=False)


def test_a_copy_of_a_network_goes_on_by_itself(Net):
    net = Net(seed=4)
    group = NeuronGroup(net, 3, {1: Noisy(), 2: Recorder("x")}, tag="cells")
    net.initialize()
    net.simulate_iterations(2, compile=False)
    twin = copy.deepcopy(net)
    net.simulate_iterations(2, compile=False)
    twin.simulate_iterations(2, compile=False)
    assert twin.cells is not group
    assert np.array_equal(twin["x", 0], net["x", 0]) and len(net["x", 0]) == 4
