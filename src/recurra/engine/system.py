"""The static half of a Program: which numbers are combined with which, in what order.

Everything here is frozen and hashable, holds no array and no user-given number, and names variables by *storage
keys* (`group/operator/variable`): a storage key stands for one array that holds a variable of all the nodes with
equal equations. Two programs with equal systems share their compiled code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from recurra.courtesy import brief
from recurra.equations import Expr, Past

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Assign:
    """Set `target` to an expression; `names` maps the names in it to storage keys."""

    target: str
    expression: Expr
    names: Names
    pasts: tuple[tuple[Past, str], ...] = ()


@dataclass(frozen=True)
class Collect:
    """Sum what arrives at an input: signals of the same node, projections, and the drive from outside.

    `base` says what the input is where no drive is given: `"open"` its default, `"wired"` nothing, `"mixed"` its
    default for the units that nothing feeds.
    """

    target: str
    base: Literal["open", "wired", "mixed"]
    signals: tuple[str, ...]
    projections: tuple[int, ...]


Delivery = Literal["dense", "sparse", "one_to_one", "gather", "all_to_all", "pairs"]


@dataclass(frozen=True)
class Projection:
    """Carry a source variable to a target input through weights.

    `weights` and `delays` are keys of parameters (empty: weight 1, no delay); `rows` and `columns` are keys of
    index tables where the delivery needs them. `source_slice` and `target_slice` narrow an all-to-all projection.
    `present` says that delays may be 0: those entries see the source as it is now.
    """

    label: str
    source: str
    target: str
    delivery: Delivery
    shape: tuple[int, int]
    weights: str = ""
    delays: str = ""
    ring: int = -1
    rows: str = ""
    columns: str = ""
    source_slice: tuple[int, int] | None = None
    target_slice: tuple[int, int] | None = None
    present: bool = False

    @property
    def reads_now(self) -> bool:
        """Say whether its target depends on its source at the same moment."""
        return self.ring < 0 or self.present


@dataclass(frozen=True)
class Chain:
    """Delay a signal by a gamma-distributed time: a cascade of `order` equal low-pass stages.

    The linear chain trick (MacDonald 1978): stage i follows dz_i/dt = rate (z_(i-1) - z_i), rate = order / delay. Delay
    and spread decide about the order, so `spreads` are numbers that only lowering reads.
    """

    state: str
    output: str
    source: str
    order: int
    delays: str
    spreads: str
    columns: str = ""


@dataclass(frozen=True)
class Ring:
    """Remember a variable's past; `prefill` says what it was before the start."""

    source: str
    prefill: Literal["zero", "initial"]


@dataclass(frozen=True)
class PastRead:
    """Read `source` as it was a time `delay` ago; `delay` is an expression of parameters."""

    target: str
    source: str
    delay: Expr
    names: Names
    ring: int


@dataclass(frozen=True)
class Noise:
    """Draw unit white noise, one stream for each node of the group: `streams` nodes of `size` units."""

    target: str
    seeds: str
    streams: int
    size: int


@dataclass(frozen=True)
class SpikeRule:
    """Compare `variable` with a threshold before the step, and reset it after the step.

    `signal` is the key of the spikes, 1/dt where a unit spikes; `threshold`, `reset` (empty: no reset), `refractory`,
    `slope` and `scale` are parameters. The others are states, which some rules do without (empty):
    `countdown` is the time for which a unit is still refractory; `above` is 1 where a unit without reset was above its
    threshold when it was compared last; `fired` is 1 where a unit has crossed the threshold in the step before and was
    reset within it.
    """

    variable: str
    signal: str
    threshold: str
    reset: str
    slope: str
    surrogate: str
    scale: str
    refractory: str = ""
    countdown: str = ""
    above: str = ""
    fired: str = ""

    @property
    def memory(self) -> tuple[str, ...]:
        """List the keys of the states that the rule itself keeps from step to step."""
        return tuple(key for key in (self.countdown, self.above, self.fired) if key)


@dataclass(frozen=True)
class RuleStep:
    """Call `update` once a step; the names that it uses, and the storage keys they stand for.

    What it emits has a type, too, and a row of several steps has that of the first (early) or of the last.
    Two of them are equal if they call the same function.
    """

    label: str
    update: Callable[..., tuple[dict, dict]]
    state: Names
    params: Names
    inputs: Names
    emits: tuple[tuple[str, str, str, bool], ...]
    derive: Callable[[dict], dict] | None
    text: str

    @property
    def derived_key(self) -> str:
        """Return the key among the parameters of what is derived from them."""
        return f"derived:{self.label}"


@dataclass(frozen=True)
class GroupInfo:
    """Say which nodes were merged, for explanations: label, number of units and nodes, and why not more."""

    label: str
    units: int
    nodes: int
    note: str = ""


@dataclass(frozen=True)
class System:
    """Hold the whole computation of one step, up to the numbers."""

    groups: tuple[GroupInfo, ...]
    schedule: tuple[Assign | Collect, ...]
    derivatives: tuple[Assign, ...]
    projections: tuple[Projection, ...]
    chains: tuple[Chain, ...]
    rings: tuple[Ring, ...]
    past_reads: tuple[PastRead, ...]
    noises: tuple[Noise, ...]
    spikes: tuple[SpikeRule, ...]
    rules: tuple[RuleStep, ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    complex_keys: frozenset[str]

    __repr__ = brief

    @cached_property
    def shape_of(self) -> dict[str, tuple[int, ...]]:
        """Map each storage key to the shape of its array."""
        return dict(self.shapes)

    @cached_property
    def rule_state(self) -> frozenset[str]:
        """Hold the keys of the states that rules advance, and not the solver."""
        return frozenset(key for rule in self.rules for _, key in rule.state)

    @cached_property
    def rule_keys(self) -> frozenset[str]:
        """Hold the keys of all arrays that belong to rules, which have types of their own."""
        found = {key for rule in self.rules for _, key in rule.params} | {rule.derived_key for rule in self.rules}
        return self.rule_state | found

    @cached_property
    def text(self) -> str:
        """Hold a text that is equal for systems that compute the same."""
        rules = [(rule.label, rule.text) for rule in self.rules]
        static = (self.schedule, self.derivatives, self.projections, self.chains, self.past_reads, self.shapes)
        return repr((*static, rules))

    @cached_property
    def _hash(self) -> int:
        parts = (self.groups, self.schedule, self.derivatives, self.projections, self.chains, self.rules, self.shapes)
        return hash(parts)

    def __hash__(self) -> int:
        # The trees are deep and a system is looked up at every run: hash them once.
        return self._hash

    @property
    def has_ring(self) -> bool:
        """Say whether the system remembers its past in ring buffers, so that it is no plain ODE."""
        return bool(self.rings)
