"""Bad input to groups, and what it is told; and the faults that programs of this kind had."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import (
    Behavior,
    EventRecorder,
    Network,
    NeuronDimension,
    NeuronGroup,
    Recorder,
    SynapseGroup,
    afferent,
    get_squared_dim,
)
from recurra.errors import RecurraError
from recurra.groups import (
    Box_Receptive_Fields,
    Circle_Receptive_Fields,
    Partition,
    Receptive_Fields,
    set_partitioned_synapse_matrix,
)


class Cell(Behavior):
    def initialize(self, n):
        n.voltage = n.vector()
        self.threshold = self.parameter("threshold", 0.5, n)

    def iteration(self, n):
        n.spike = n.voltage > self.threshold


class Needs(Behavior):
    def initialize(self, n):
        self.parameter("tau", required=True)


class Same(Behavior):
    def initialize(self, n):
        self.parameter("x", 0.0, n)


class Old(Behavior):
    def new_iteration(self, n):
        pass


class NoSuper(Behavior):
    def __init__(self):
        pass


class WrongMask(Receptive_Fields):
    def get_enabled_mat(self, synapses):
        return np.ones((2, 2), bool)


def cells(*extra, size=3, **kwargs):
    net = Network()
    return NeuronGroup(net, size, {1: Cell(**kwargs), **dict(enumerate(extra, start=2))}, "cells")


def ready(*extra, steps=0, **kwargs):
    group = cells(*extra, **kwargs)
    group.network.initialize()
    group.network.simulate_iterations(steps, compile=False)
    return group.network


def synapses(**kwargs):
    group = NeuronGroup(Network(), kwargs.pop("size", 3), tag="cells")
    return SynapseGroup(group.network, group, group, "GLU", **kwargs)


CASES = {
    # networks
    "setting": (lambda: Network(settings={"dtpye": float}), "Network: unknown setting 'dtpye'. Did you mean 'dtype'"),
    "syn_dim": (lambda: Network(settings={"syn_dim": "sxd"}), "syn_dim must be 'DxS' (W[dst, src]) or 'SxD'"),
    "two orders": (lambda: Network(settings={"syn_dim": 0, "synapse_mode": 1}), "two names of one setting"),
    "dtype": (lambda: Network(dtype="flaot"), "dtype must be a NumPy type such as np.float32, got 'flaot'"),
    "complex dtype": (lambda: Network(dtype=complex), "dtype must be a type of real numbers, got complex128"),
    "two dtypes": (lambda: Network(dtype=int, settings={"dtype": float}), "differ"),
    "seed": (lambda: Network(seed=-1), "seed must be a whole number >= 0, got -1"),
    "tag of a network": (lambda: Network(tag=5), "tag must be a text such as 'a' or 'a,b', or a list of texts, got 5"),
    "steps": (lambda: ready(steps=1.5), "iterations must be a whole number >= 0, got 1.5"),
    "text as steps": (lambda: ready(steps="10*ms"), "iterations must be a whole number >= 0, got '10*ms'"),
    "negative steps": (lambda: ready(steps=-1), "iterations must be a whole number >= 0, got -1"),
    "batch": (lambda: ready().simulate_iterations(1, batch_size=0), "batch_size must be a whole number > 0, or -1"),
    "not initialised": (
        lambda: cells().network.simulate_iterations(1, compile=False),
        "behavior 1: Cell of 'cells': not initialised yet; call initialize() of the network first",
    ),
    "run": (lambda: cells().network.run(steps=1), "not initialised yet; call initialize() of the network first"),
    "save": (lambda: cells().network.save("x.npz"), "not initialised yet; call initialize() of the network first"),
    "fit": (lambda: cells().network.fit_eprop([[0]], [[0]]), "fit_eprop() learns from equations step by step"),
    "as a node": (lambda: Network().add_node("inner", ready()), "the inner network has groups, which cannot be a node"),
    # groups
    "no network": (lambda: NeuronGroup(100, 3), "NeuronGroup: net must be a Network, got 100"),
    "synapses without network": (lambda: SynapseGroup("a", "b", None), "SynapseGroup: net must be a Network, got 'a'"),
    "size 0": (lambda: NeuronGroup(Network(), 0), "size must be a whole number >= 1, got 0"),
    "size 1.5": (lambda: NeuronGroup(Network(), 1.5), "size must be a whole number >= 1, got 1.5"),
    "size text": (lambda: NeuronGroup(Network(), "3"), "size must be a whole number >= 1, got '3'"),
    "size True": (lambda: NeuronGroup(Network(), True), "size must be a whole number >= 1, got True"),
    "size is no grid": (lambda: NeuronGroup(Network(), Cell()), "use NeuronDimension"),
    "grid and number 0": (lambda: NeuronGroup(Network(), NeuronDimension(2), {0: Cell()}), "number 0 is that of the"),
    "empty tag": (lambda: NeuronGroup(Network(), 1, tag="a,,b"), "a tag is empty in 'a,,b'"),
    "side": (lambda: cells().synapses(2), "write synapses(afferent, ...) or synapses(efferent, ...), got 2"),
    "tag as side": (lambda: cells().synapses("GLU"), "write synapses(afferent, ...)"),
    "tag of synapses": (
        lambda: synapses().dst.synapses(afferent, "GLUT"),
        "unknown tag of synapses 'GLUT'. Did you mean 'GLU'",
    ),
    "src": (
        lambda: SynapseGroup(cells().network, "cels", "cells").src,
        "src: unknown group 'cels'. Did you mean 'cells'",
    ),
    "src at initialize": (
        lambda: [SynapseGroup(g.network, "cells", "cels") and g.network.initialize() for g in [cells()]],
        "dst: unknown group 'cels'. Did you mean 'cells'",
    ),
    "ambiguous src": (
        lambda: [SynapseGroup(s.network, NeuronGroup(s.network, 1), "ng").dst for s in [synapses()]],
        "2 groups have the tag 'ng'; give the group itself",
    ),
    "src is no group": (lambda: SynapseGroup(Network(), 3, "a"), "src must be a NeuronGroup, a sub-group or the tag"),
    "src of another network": (lambda: SynapseGroup(Network(), cells(), cells()), "'cells' belongs to another network"),
    "mask of another size": (lambda: cells().subGroup([True]), "the mask must be an array of 3 truth values, got bool"),
    "indices as mask": (lambda: cells().subGroup([0, 1, 2]), "of indices make one with np.isin(cells.id, indices)"),
    "new variable of a part": (
        lambda: setattr(ready().cells.subGroup(), "voltag", 1),
        "unknown variable 'voltag'. Did you mean 'voltage'",
    ),
    "number of a part": (lambda: setattr(cells().subGroup(), "color", 1), "color has no value for each neuron"),
    "size of a part": (lambda: setattr(cells().subGroup(), "size", 1), "size cannot be changed"),
    # behaviors
    "key": (lambda: NeuronGroup(Network(), 1, {"1": Cell()}), "number of a behavior must be a finite number, got '1'"),
    "key nan": (lambda: NeuronGroup(Network(), 1, {np.nan: Cell()}), "must be a finite number, got nan"),
    "key True": (lambda: NeuronGroup(Network(), 1, {True: Cell()}), "must be a finite number, got True"),
    "class": (lambda: NeuronGroup(Network(), 1, {1: Cell}), "behavior 1 is the class Cell; write Cell()"),
    "function": (lambda: NeuronGroup(Network(), 1, {1: print}), "behavior 1 must be a Behavior, got"),
    "behavior alone": (lambda: NeuronGroup(Network(), 1, Cell()), "must be a dict {number: behavior} or a list, got"),
    "taken": (lambda: cells().add_behavior(1, Cell()), "number 1 is taken by Cell(); choose another"),
    "remove": (lambda: cells().remove_behavior("Cel"), "unknown behavior 'Cel'. Did you mean 'Cell'"),
    "remove number": (lambda: cells().remove_behavior(7), "unknown behavior '7'"),
    "activate": (lambda: ready().activate_behaviors("Cel"), "unknown tag of a behavior 'Cel'. Did you mean 'Cell'"),
    "keyword": (
        lambda: ready(treshold=1),
        "behavior 1: Cell of 'cells': unknown keyword 'treshold'. Did you mean 'threshold'? Known: threshold.",
    ),
    "positional": (
        lambda: ready(Cell(5)),
        "5 was given without a name; the parameters of Cell are given by name, for example threshold=5",
    ),
    "keyword of none": (lambda: ready(Behavior(tau=1)), "A keyword is read by self.parameter('tau', default)."),
    "required": (lambda: ready(Needs(Tau=1)), "Needs, parameter 'tau': it is required; write Needs(tau=...). Did you"),
    "no number": (lambda: ready(Same(x="GLU"), threshold=1), "unknown distribution 'GLU'"),
    "same tag": (lambda: ready(Same(x="same(cels, voltage)")), "Did you mean 'cells'"),
    "same variable": (lambda: ready(Same(x="same(cells, voltag)")), "unknown variable 'voltag'"),
    "same form": (lambda: ready(Same(x="same(cells)")), "write same(tag, name of a variable), got 'same(cells)'"),
    "twice": (lambda: Recorder("v", variables="w"), "Recorder: variables is given twice"),
    "enabled": (lambda: Cell(behavior_enabled="yes"), "behavior_enabled must be True or False, got 'yes'"),
    "old method": (lambda: Old(), "Old: the method new_iteration is called iteration now; rename it"),
    "no super": (lambda: NeuronGroup(Network(), 1, {1: NoSuper()}), "NoSuper.__init__ must call super().__init__"),
    "diversity of a network": (lambda: Network(behavior={1: Same(x="uniform(0,1)")}).initialize(), "no units to draw"),
    "random": (lambda: Network().random_lent and Network(seed="a"), "seed must be a whole number >= 0, got 'a'"),
    # initialisers
    "distribution": (lambda: cells().vector("unifrom(0,1)"), "unknown distribution 'unifrom'. Did you mean 'uniform'"),
    "argument": (lambda: cells().vector("normal(mu=1)"), "normal: unknown argument 'mu'"),
    "arguments": (lambda: cells().vector("uniform(0,1,2)"), "uniform takes low, high; got 3 arguments"),
    "argument twice": (lambda: cells().vector("uniform(0,low=1)"), "uniform got low twice"),
    "missing argument": (lambda: cells().vector("beta(1)"), "beta needs b; write beta(a, b)"),
    "numbers": (lambda: cells().vector("normal(0,-1)"), "normal does not take these numbers (scale < 0)"),
    "nested": (lambda: cells().vector("normal(uniform(0,1),1)"), "an argument of a distribution must be a number"),
    "code": (lambda: cells().vector("__import__('os').system('ls')"), "only numbers, distributions, + - * / **"),
    "code 2": (lambda: cells().vector("open('x')"), "unknown distribution 'open'"),
    "code 3": (lambda: cells().vector("(lambda: 1)()"), "only numbers, distributions"),
    "code 4": (lambda: cells().vector("[x for x in (1,2)]"), "only numbers, distributions"),
    "code 5": (lambda: cells().vector("uniform.__class__"), "only numbers, distributions"),
    "no text": (lambda: cells().vector("uniform("), "this is no initialiser"),
    "gene": (lambda: cells().vector("normal([0.3#mu],1)"), "this is no initialiser"),
    "empty": (lambda: cells().vector(""), "this is no initialiser"),
    "huge": (lambda: cells().vector("9**9**9"), "this has no finite value"),
    "infinite": (lambda: cells().vector("1e999"), "this has no finite value"),
    "long": (lambda: cells().vector("1+" * 2000 + "1"), "the text has 4001 characters, more than 1000"),
    "none": (lambda: cells().vector(None), "expected a text such as 'uniform(0, 1)', a number or an array, got None"),
    "object": (lambda: cells().vector(Cell), "expected a text, a number or an array, got the type Cell"),
    "shape": (lambda: cells().vector([1, 2]), "the values must have the shape (3,), got (2,)"),
    "density": (lambda: cells().vector("ones", density=1.5), "density must be a probability from 0 to 1"),
    "density text": (lambda: cells().vector("ones", density="a"), "density must be a probability from 0 to 1"),
    "density shape": (lambda: cells().vector("ones", density=[1, 1]), "the density must have the shape (3,), got (2,)"),
    "density rows": (lambda: synapses().matrix(density=[1, 1]), "the shape (3, 3), or (3,) for its rows, got (2,)"),
    "rm": (lambda: cells().vector("lognormal_rm(-1, 1)"), "lognormal_real_mean needs a mean > 0, got -1"),
    "buffer": (lambda: cells().vector_buffer(0), "the size of a buffer must be a whole number >= 1, got 0"),
    # recorders
    "typo": (
        lambda: ready(Recorder("voltag")),
        "Recorder 'Recorder' of 'cells', 'voltag': unknown variable 'voltag'. Did you mean 'voltage'",
    ),
    "typo of events": (lambda: ready(EventRecorder("spik")), "unknown variable 'spik'. Did you mean 'spike'"),
    "typo in a call": (lambda: ready(Recorder("np.mean(n.voltag)")), "unknown variable 'voltag'"),
    "unknown function": (lambda: ready(Recorder("np.maen(voltage)")), "unknown function of NumPy 'maen'. Did you mean"),
    "file function": (lambda: ready(Recorder("np.load('x')")), "unknown function of NumPy 'load'"),
    "forbidden function": (lambda: ready(Recorder("np.fromfile(voltage)")), "unknown function of NumPy 'fromfile'"),
    "private": (lambda: ready(Recorder("voltage.__class__")), "'__class__' is private and cannot be recorded"),
    "code in a recorder": (lambda: ready(Recorder("__import__('os')")), "only functions of NumPy can be called"),
    "method": (lambda: ready(Recorder("voltage.tofile('x')")), "unknown method 'tofile'"),
    "method of a group": (lambda: ready(Recorder("n.vector()")), "unknown method 'vector'"),
    "written to": (lambda: ready(Recorder("np.exp(voltage, voltage)")), "exp takes at most 1 argument(s)"),
    "out": (lambda: ready(Recorder("np.exp(voltage, out=voltage)")), "unknown keyword 'out'"),
    "chain": (lambda: ready(Recorder("0 < voltage < 1")), "write two comparisons joined by &, as in (0 < v) & (v < 1)"),
    "and": (lambda: ready(Recorder("voltage > 0 and voltage < 1")), "join arrays by & and |, with brackets"),
    "ternary": (lambda: ready(Recorder("1 if size else 2")), "write np.where(condition, a, b)"),
    "text": (lambda: ready(Recorder("'voltage'")), "this cannot stand here"),
    "assignment": (lambda: ready(Recorder("voltage = 1")), "this is no expression"),
    "nothing": (lambda: ready(Recorder([])), "variables must be a text or a list of texts, got []"),
    "number": (lambda: ready(Recorder([5])), "a recorded variable must be a text such as 'voltage', got 5"),
    "without variables": (lambda: ready(Recorder()), "it is required; write Recorder(variables=...)"),
    "np": (lambda: ready(Recorder("np")), "np must be followed by the name of a function"),
    "gap": (lambda: ready(Recorder("voltage", gapwidth=-1)), "gapwidth must be a whole number >= 0, got -1"),
    "length": (lambda: ready(Recorder("voltage", max_length=0)), "max_length must be a whole number >= 1, got 0"),
    "recorder's keyword": (lambda: ready(Recorder("voltage", gap_width=2)), "Did you mean 'gapwidth'"),
    "index": (lambda: ready(Recorder("voltage[7]"), steps=1), "'voltage[7]': it has no value now (index 7 is out of"),
    "no number to record": (lambda: ready(Recorder("network"), steps=1), "only numbers can be recorded"),
    "object to record": (lambda: ready(Recorder("tags"), steps=1), "only numbers can be recorded, got ['cells'"),
    "clear": (lambda: ready(Recorder("voltage", tag="rec")).clear_recorder("rek"), "Did you mean 'rec'"),
    "recorder of two": (
        lambda: [NeuronGroup(n, 1, {2: n["Recorder", 0]}) and n.initialize() for n in [ready(Recorder("voltage"))]],
        "make another recorder for",
    ),
    # look-ups
    "tag": (lambda: ready()["cels"], "unknown tag or recorded variable 'cels'. Did you mean 'cells'"),
    "tag and index": (lambda: ready()["cels", 0], "unknown tag or recorded variable 'cels'"),
    "variable": (lambda: ready(Recorder("voltage"))["n.voltag", 0, "np"], "Did you mean 'voltage'"),
    "not recorded": (lambda: ready()["voltage", 0], "unknown tag or recorded variable 'voltage'"),
    "class without object": (lambda: ready()[Recorder], "unknown class 'Recorder'"),
    "number without behavior": (lambda: ready()[7], "unknown behavior number '7'. Known: 1."),
    "second match": (lambda: ready()["cells", 1], "['cells', 1]: there is only 1 of this; the last is ['cells', 0]"),
    "np in second place": (lambda: ready()["cells", "np"], "write ['cells', 0, 'np']"),
    "third place": (lambda: ready()["cells", 0, "list"], "the third place can only be 'np'"),
    "four places": (lambda: ready()["cells", 0, "np", 1], "the third place can only be 'np'"),
    "array of a group": (lambda: ready()["cells", 0, "np"], "is a tag of NeuronGroup('cells', 3 neurons), not"),
    "list": (lambda: ready()[[1]], "expected a tag, a recorded variable, a class or a behavior's number"),
    "nothing asked": (lambda: ready()[()], "expected a tag, a recorded variable"),
    "third column": (lambda: ready(EventRecorder("spike"), steps=1)["spike.j", 0], "only events of a matrix have"),
    # grids and fields
    "side of a grid": (lambda: NeuronGroup(Network(), NeuronDimension(width=0)), "NeuronDimension: width must be a"),
    "keyword of a grid": (lambda: NeuronGroup(Network(), NeuronDimension(witdh=2)), "Did you mean 'width'"),
    "squared": (lambda: get_squared_dim(2.5), "get_squared_dim: n must be a whole number >= 1, got 2.5"),
    "layers": (lambda: get_squared_dim(7, depth=2), "7 neurons do not fill 2 layers; choose a multiple of 2"),
    "axis": (lambda: cells(size=NeuronDimension(2)).shape.rotate("w", 1), "the axis must be 'x', 'y' or 'z', got 'w'"),
    "no positions": (lambda: synapses(behavior={1: Box_Receptive_Fields(1)}), "'cells' has no positions; give it"),
    "range": (
        lambda: synapses(size=NeuronDimension(3), behavior={1: Box_Receptive_Fields(-1)}),
        "range: expected a number >= 0, or three of them for x, y and z, got -1",
    ),
    "radius": (
        lambda: synapses(size=NeuronDimension(3), behavior={1: Circle_Receptive_Fields("wide")}),
        "radius: expected a number >= 0",
    ),
    "no range": (lambda: synapses(size=NeuronDimension(3), behavior={1: Box_Receptive_Fields()}), "it is required"),
    "own mask": (lambda: synapses(behavior={1: WrongMask()}), "must give the shape (dst, src) = (3, 3), got (2, 2)"),
    "split": (lambda: synapses(size=NeuronDimension(3), behavior={1: Partition("x")}), "split_size must be 'auto' or"),
    "boxes": (lambda: cells(size=NeuronDimension(2)).partition_masks(3), "steps must be [x, y, z], numbers of boxes"),
    "split 0": (lambda: synapses(size=NeuronDimension(3), behavior={1: Partition([0, 1, 1])}), "whole numbers >= 1"),
    "lost": (lambda: synapses(size=NeuronDimension(3), behavior={0: Cell(), 1: Partition()}), "would be lost"),
    "lost 2": (lambda: synapses(size=NeuronDimension(3), behavior={1: Partition(), 2: Cell()}), "has left the network"),
    "whole matrix": (
        lambda: set_partitioned_synapse_matrix(synapses().dst, "GLU", "W", [[1]]),
        "W must have the shape (3, 3), got (1, 1)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_what_is_wrong(name):
    make, expected = CASES[name]
    with pytest.raises(RecurraError) as caught:
        make()
    assert expected in str(caught.value)


def test_the_error_of_a_text_points_at_the_spot():
    with pytest.raises(RecurraError) as caught:
        cells().vector("1 + unifrom(0, 1)")
    assert str(caught.value).splitlines()[-2:] == ["  1 + unifrom(0, 1)", "      ^^^^^^^^^^^^^"]


# Faults that were found in other programs: each of them as it should be.


def test_an_unknown_variable_that_is_only_read_by_code_is_an_error_in_the_first_step():
    class Reads(Behavior):
        def iteration(self, n):
            getattr(n, "phantom", None)

    with pytest.raises(RecurraError, match="unknown variable 'phantom'"):
        ready(Reads(), Recorder("phantom"), steps=1)


def test_an_error_of_a_recorder_in_the_first_step_has_near_names():
    class Reads(Behavior):
        def iteration(self, n):
            getattr(n, "voltagee", None)

    with pytest.raises(RecurraError, match=r"unknown variable 'voltagee'\. Did you mean 'voltage'"):
        ready(Reads(), Recorder("voltagee"), steps=1)


def test_a_failed_initialisation_is_repaired_by_another_one():
    net = cells(Recorder("voltage"), treshold=1).network
    with pytest.raises(RecurraError):
        net.initialize()
    net.cells.remove_behavior(1)
    net.cells.add_behavior(1, Cell(threshold=1))
    net.initialize()
    net.simulate_iterations(2, compile=False)
    assert net["voltage", 0].shape == (2, 3)


def test_attributes_of_behaviors_and_groups_that_do_not_exist_are_attribute_errors():
    net = ready()
    for obj, name in ((net, "cels"), (net.cells, "voltag"), (net.cells.Cell, "x"), (net.random, "unifrom")):
        assert not hasattr(obj, name)
        with pytest.raises(AttributeError, match=name):
            getattr(obj, name)
    assert net.cells.subGroup().voltage.shape == (3,)
    with pytest.raises(AttributeError, match="voltag"):
        net.cells.subGroup().voltag


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("initialise", "initialize"), ("init", "initialize"), ("initalize", "initialize"), ("step", "iteration"),
     ("iterate", "iteration"), ("update", "iteration"), ("itteration", "iteration")],
)  # fmt: skip
def test_a_method_that_is_almost_a_hook_is_refused(wrong, right):
    kind = type("Grow", (Behavior,), {wrong: lambda self, neurons: None})
    with pytest.raises(RecurraError, match=rf"Grow: .* never {wrong}\(\); did you mean {right}\?"):
        kind()


def test_helpers_may_have_any_name():
    class Grow(Behavior):
        def iteration(self, neurons):
            self.step(neurons)

        def step(self, neurons):
            neurons.x = 1

    class Still(Behavior):
        def initialize(self, neurons):
            self.update(neurons, 2)

        def update(self, neurons, value):
            neurons.y = value

    net = Network()
    cells = NeuronGroup(net, 1, {1: Grow(), 2: Still()})
    net.initialize()
    net.simulate_iterations(1)
    assert (cells.x, cells.y) == (1, 2)


def test_a_hook_that_would_never_run_is_refused():
    class Lazy(Behavior):
        def iteration(self, n):
            n.v += 1
            yield

    class Later(Behavior):
        async def initialize(self, n):
            n.v = n.vector()

    with pytest.raises(RecurraError, match="Lazy: iteration would never run, because of its `yield`"):
        Lazy()
    with pytest.raises(RecurraError, match="Later: initialize would never run, because of its `async`"):
        Later()


def test_a_helper_that_the_class_calls_may_have_any_name():
    class Still(Behavior):
        def initialize(self, n):
            self.update(n)

        def update(self, n):
            n.v = n.vector(2.0)

    net = Network()
    cells = NeuronGroup(net, 2, behavior={1: Still()})
    net.initialize()
    assert cells.v.tolist() == [2.0, 2.0]
