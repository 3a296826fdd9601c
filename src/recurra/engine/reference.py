"""The oracle: run a graph slowly and obviously in NumPy, node by node, edge by edge, without lowering.

It shares nothing with the compiled engine but the parsed equations, the checks of the user's arguments and the random
numbers, so that agreement of the two means something. For small networks and short runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import jax
import numpy as np

from recurra.engine.graph import Edge, Graph, Node, Sparse, Spike
from recurra.engine.lowering import lower
from recurra.engine.outcome import cut_off, make_result
from recurra.engine.randomness import seed_key, stream_address, stream_key
from recurra.engine.results import Result
from recurra.engine.rules import split_rules
from recurra.engine.run import Run, prepare
from recurra.engine.solvers import TABLEAUS
from recurra.engine.streaming import Rows
from recurra.equations import Past, evaluate_numpy, noises
from recurra.equations import names as names_in
from recurra.errors import CapabilityError, DivergenceError, TemplateError

Key = tuple[str, str, str]


def simulate(
    graph: Graph,
    duration: float,
    *,
    dt: float,
    solver: str | None = None,
    inputs: Mapping[str, object] | None = None,
    record: object = None,
    every: int = 1,
    cutoff: float = 0.0,
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    history: Mapping[str, object] | None = None,
) -> Result:
    """Simulate a graph in NumPy; arguments and result as for :func:`recurra.engine.simulate`.

    Raises:
        CapabilityError: the solver is not one of the Runge-Kutta methods.
        DivergenceError: a variable stopped being finite.
    """
    run = prepare(lower(graph), duration, dt, solver, inputs, record, every, params, None, None, seed, history)
    if run.solver not in TABLEAUS:
        raise CapabilityError(f"the NumPy oracle has no solver {run.solver!r}; it has {', '.join(TABLEAUS)}.")
    oracle = _Oracle(graph, run, history or {})
    rows, done = oracle.run()
    names = run.recording.labels
    data = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)} if rows else {}
    empty = make_result(run, {}, Rows(run.recording, 0).data(0), 0, {"backend": "numpy"})
    time = np.arange(len(rows)) * run.every * dt
    result = cut_off(replace(empty, time=time, data=data), cutoff)
    if done < run.steps:
        raise DivergenceError(f"not finite after step {done}", oracle.bad, done, done * dt, result)
    return result


class _Oracle:
    def __init__(self, graph: Graph, run: Run, history: Mapping[str, object]):
        self.run_, self.dt, self.history = run, run.start.dt, history
        self.nodes, rules = split_rules(graph.nodes)
        if rules:
            raise CapabilityError("this back-end runs equations only; the network has a rule.")
        self.edges: list[tuple[str, Edge]] = []
        for edge in graph.edges:
            stem = edge.label or f"{edge.source}->{edge.target}"
            taken = [label for label, _ in self.edges]
            count = sum(label == stem or label.startswith(stem + "#") for label in taken)
            self.edges.append((f"{stem}#{count}" if count else stem, edge))
        for label, edge in self.edges:
            if edge.node is not None:
                pairs = self._size(edge.source) * self._size(edge.target)
                self.nodes[label] = Node(edge.node.operators, pairs, edge.node.values)
        self.state: dict[Key, np.ndarray] = {}
        self.past: dict[Key, list[np.ndarray]] = {}
        self.left: dict[tuple[str, int], np.ndarray] = {}  # of refractory times
        self.above: dict[tuple[str, int], np.ndarray] = {}  # of thresholds without reset, at the last comparison
        self.crossed: dict[tuple[str, int], np.ndarray] = {}  # in the step before, of thresholds that reset at once
        self._start()

    def _size(self, path: str) -> int:
        return self._length(tuple(path.rsplit("/", 2)))  # type: ignore[arg-type]

    def _start(self) -> None:
        for label, node in self.nodes.items():
            for name, operator in node.operators.items():
                for variable, declared in operator.variables.items():
                    if declared.kind == "state":
                        self.state[label, name, variable] = self._number(label, name, variable) + 0.0
        for label, edge in self.edges:
            if edge.spread:
                source = self._source(label, edge)
                order = max(1, math.floor((float(edge.delay) / edge.spread) ** 2 + 0.5))  # type: ignore[arg-type]
                for stage in range(order):
                    self.state[label, "chain", str(stage)] = np.zeros(self._length(source))
        for key, value in self.state.items():
            if f"{'/'.join(key)}" in self.run_.program.layout.names(("state",)):
                target = self.run_.program.layout.one("/".join(key))
                self.state[key] = np.array(self.run_.program.state[target.key][target.index]) + 0 * value

    def _length(self, key: Key) -> int:
        label, name, variable = key
        shape = np.shape(self.nodes[label].operators[name].variables[variable].value)
        return shape[0] if shape and self.nodes[label].size == 1 else self.nodes[label].size

    def _number(self, label: str, name: str, variable: str) -> np.ndarray:
        """A parameter, initial value or default as the user set it."""
        node = self.nodes[label]
        default = node.operators[name].variables[variable].value
        value = np.asarray(node.values.get(f"{name}/{variable}", default))
        path = f"{label}/{name}/{variable}"
        target = self.run_.program.layout.one(path)
        if target.kind != "state":
            value = self.run_.program.params[target.key][target.index]
        return np.broadcast_to(value, (node.size,)) if np.ndim(value) == 0 else np.asarray(value)

    def _source(self, label: str, edge: Edge) -> Key:
        """What enters the delay of an edge."""
        path = edge.source if edge.node is None or edge.old_inputs else f"{label}/{edge.output}"
        node, operator, variable = path.rsplit("/", 2)
        return node, operator, variable

    def run(self) -> tuple[list[list[np.ndarray]], int]:
        """Take all steps; stop where something is not finite."""
        run, rows = self.run_, []
        remembered = [self._source(label, e) for label, e in self.edges if _delayed(e)]
        remembered += [key for key in self.state if key[1] != "chain"]
        tableau = TABLEAUS[run.solver]
        self.bad = ""
        for k in range(run.steps):
            self.noise, self.spikes = self._draw(k), self._find_spikes()
            now = _Moment(self, k, 0.0, self.state)
            if k % run.every == 0:
                rows.append([self._record(now, name) for name in run.recording.labels])
            for key in remembered:
                self.past.setdefault(key, [])
                if len(self.past[key]) == k:
                    self.past[key].append(np.array(now.get(key)))
            slopes: list[dict[Key, np.ndarray]] = []
            for row, node in zip(tableau.a, tableau.nodes, strict=True):
                slopes.append(_Moment(self, k, node, self._moved(row, slopes)).slopes())
            self.state = self._moved(tableau.b, slopes)
            self._reset()
            for key, value in self.state.items():
                if not np.isfinite(value).all():
                    self.bad = "/".join(key)
                    return rows, k + 1
        return rows, run.steps

    def _find_spikes(self) -> dict[tuple[str, int], np.ndarray]:
        """Which units have reached the thresholds of their node, and are not refractory; by node and rule."""
        found = {}
        for label, node in self.nodes.items():
            for i, rule in enumerate(node.spikes):
                if rule.prompt:
                    found[label, i] = self.crossed.get((label, i), np.zeros(node.size, bool))
                else:
                    found[label, i] = self._crosses(label, i, rule, self.state)
        return found

    def _crosses(self, label: str, i: int, rule: Spike, state: Mapping[Key, np.ndarray]) -> np.ndarray:
        """Which units are above a threshold, are not refractory, and were not above it all the time if none resets."""
        operator, variable = rule.variable.split("/")
        reached = state[label, operator, variable] >= self._of_spike(label, i, "threshold")
        fires = reached & ~(self.left.get((label, i), 0.0) > 0)
        if rule.reset is None:
            fires, self.above[label, i] = fires & ~self.above.get((label, i), np.zeros_like(reached)), reached
        return fires

    def _reset(self) -> None:
        """Reset what has spiked, and hold what is refractory."""
        for (label, i), fired in self.spikes.items():
            rule = self.nodes[label].spikes[i]
            if rule.prompt:
                fired = self.crossed[label, i] = self._crosses(label, i, rule, self.state)
            held = fired
            if np.any(rule.refractory):
                before = self.left.get((label, i), np.zeros(len(fired)))
                left = np.where(fired, self._of_spike(label, i, "refractory"), before) - self.dt
                # Half a step of grace: a whole number of steps may be a little more or less than that.
                self.left[label, i], held = np.where(left > self.dt / 2, left, 0.0), fired | (before > 0)
            if rule.reset is not None:
                key = (label, *rule.variable.split("/"))
                self.state[key] = np.where(held, self._of_spike(label, i, "reset"), self.state[key])

    def _of_spike(self, label: str, i: int, name: str) -> np.ndarray:
        return self.run_.program.get(f"{label}/spike{i or ''}/{name}")

    def _moved(self, weights: tuple[float, ...], slopes: list[dict[Key, np.ndarray]]) -> dict[Key, np.ndarray]:
        moved = dict(self.state)
        for key, value in self.state.items():
            total = sum(w * s[key] for w, s in zip(weights, slopes, strict=False) if w)
            moved[key] = value + self.dt * total
        return moved

    def _record(self, now: _Moment, name: str) -> np.ndarray:
        parts = []
        for label in self.run_.recording.labels[name]:
            path, _, unit = label.partition("[")
            node, operator, variable = path.rsplit("/", 2)
            value = np.ravel(now.get((node, operator, variable)))
            parts.append(value[int(unit[:-1]) if unit and len(value) > 1 else 0])
        return np.array(parts)

    def _draw(self, k: int) -> dict[tuple[str, str, str], np.ndarray]:
        found = {}
        for label, node in self.nodes.items():
            for name, operator in node.operators.items():
                for equation in operator.equations:
                    for noise in sorted(noises(equation.expression, operator.variables)):
                        stream = f"{noise}@{equation.target}" if noise == "xi" else noise
                        with jax.enable_x64(True):
                            address = stream_address(f"{label}/{name}/{stream}")
                            key = stream_key(seed_key(self.run_.seed), address)
                            size = self._length((label, name, equation.target)) if noise == "xi" else node.size
                            draw = jax.random.normal(jax.random.fold_in(key, k), (size,), float)
                        found[label, name, stream] = np.asarray(draw) / math.sqrt(self.dt)
        return found


class _Moment:
    """All variables at step k + offset, each computed when it is asked for."""

    def __init__(self, oracle: _Oracle, k: int, offset: float, state: Mapping[Key, np.ndarray]):
        self.o, self.k, self.offset, self.state = oracle, k, offset, state
        self.known: dict[Key, np.ndarray] = {}
        self.asked: set[Key] = set()

    def get(self, key: Key) -> np.ndarray:
        if key in self.state:
            return self.state[key]
        if key not in self.known:
            if key in self.asked:
                raise TemplateError(f"algebraic variables depend on each other in a circle at {'/'.join(key)}.")
            self.asked.add(key)
            label, name, variable = key
            operator = self.o.nodes[label].operators[name]
            kind = operator.variables[variable].kind
            if kind == "algebraic":
                equation = next(e for e in operator.equations if e.target == variable)
                self.known[key] = self._evaluate(equation, label, name)
            elif kind == "input":
                self.known[key] = self._input(key)
            else:
                self.known[key] = self.o._number(*key)
        return self.known[key]

    def slopes(self) -> dict[Key, np.ndarray]:
        found: dict[Key, np.ndarray] = {}
        for label, node in self.o.nodes.items():
            for name, operator in node.operators.items():
                for equation in operator.equations:
                    if equation.derivative:
                        key = (label, name, equation.target)
                        value = self._evaluate(equation, label, name)
                        found[key] = np.broadcast_to(value, np.shape(self.state[key]))
        for label, edge in self.o.edges:
            stage = 0
            before = self.get(self.o._source(label, edge))
            while (label, "chain", str(stage)) in self.state:
                key = (label, "chain", str(stage))
                order = sum(k[0] == label and k[1] == "chain" for k in self.state)
                found[key] = order / float(edge.delay) * (before - self.state[key])  # type: ignore[arg-type]
                before, stage = self.state[key], stage + 1
        return found

    def _evaluate(self, equation: object, label: str, name: str) -> np.ndarray:
        operator = self.o.nodes[label].operators[name]
        expression = equation.expression  # type: ignore[attr-defined]
        env: dict[str, object] = {
            local: self.get((label, name, local)) for local in sorted(names_in(expression, operator.variables))
        }
        for noise in sorted(noises(expression, operator.variables)):
            stream = f"{noise}@{equation.target}" if noise == "xi" else noise  # type: ignore[attr-defined]
            env[noise] = self.o.noise[label, name, stream]
        env.setdefault("t", (self.k + self.offset) * self.o.dt)

        def past(node: Past) -> np.ndarray:
            values = {n: self.get((label, name, n)) for n in sorted(names_in(node.delay))}
            delays = np.broadcast_to(evaluate_numpy(node.delay, values), np.shape(self.get((label, name, node.name))))
            return np.array([
                self.get((label, name, node.name))[i] if d == 0 else self._back((label, name, node.name), d, False)[i]
                for i, d in enumerate(delays)
            ])

        return np.asarray(evaluate_numpy(expression, env, past))

    def _input(self, key: Key) -> np.ndarray:
        label, name, variable = key
        node = self.o.nodes[label]
        fed = [(n, op.output) for n, op in node.operators.items() if n != name and op.output == variable]
        edges = [(lab, e) for lab, e in self.o.edges if e.target == "/".join(key)]
        wires = [e.inputs.get(f"{name}/{variable}") for lab, e in self.o.edges if lab == label and e.node is not None]
        spikes = [i for i, rule in enumerate(node.spikes) if rule.input == f"{name}/{variable}"]
        total = self._driven(key, bool(fed or edges or spikes or any(wires)))
        for i in spikes:
            total = total + self.o.spikes[label, i] / self.o.dt
        for other, output in fed:
            total = total + self.get((label, other, output))  # type: ignore[arg-type]
        for lab, edge in edges:
            total = total + self._arriving(lab, edge)
        for lab, edge in self.o.edges:
            path = edge.inputs.get(f"{name}/{variable}") if lab == label and edge.node is not None else None
            if path is not None:
                total = total + self._picked(edge, path, f"{name}/{variable}" in edge.old_inputs, lab)
        return total

    def _picked(self, edge: Edge, path: str, old: bool, label: str) -> np.ndarray:
        """What an input of an edge's operators reads, for every pair (target unit, source unit)."""
        n_source, n_target = self.o._size(edge.source), self.o._size(edge.target)
        read = edge.source if path == "source" else path
        node, operator, variable = read.rsplit("/", 2)
        if old:
            if edge.spread:
                raise CapabilityError(f"edge {label}: this back-end delays what operators see without a spread only.")
            delays = np.broadcast_to(np.asarray(edge.delay), (n_target, n_source))
            return np.array([
                np.broadcast_to(self._seen((node, operator, variable), float(d)), (n_source,))[j]
                for i in range(n_target) for j, d in enumerate(delays[i])
            ])
        value = self.get((node, operator, variable))
        by_target = path != "source" and node == edge.target.rsplit("/", 2)[0]
        if by_target:
            return np.repeat(np.broadcast_to(value, (n_target,)), n_source)
        return np.tile(np.broadcast_to(value, (n_source,)), n_target)

    def _seen(self, key: Key, delay: float) -> np.ndarray:
        return self._back(key, delay, True) if delay > 0 else self.get(key)

    def _driven(self, key: Key, wired: bool) -> np.ndarray:
        """What the user feeds in, else the default if nothing else arrives."""
        size = self.o._length(key)
        target = self.o.run_.program.layout.one("/".join(key))
        value = np.zeros(size) if wired else np.array(np.broadcast_to(self.o._number(*key), (size,)))
        for feed in self.o.run_.feeds:
            for unit in feed.index:
                if feed.key == target.key and target.index.start <= unit < target.index.stop:  # type: ignore
                    rows = feed.rows[:, feed.columns[unit]]
                    at = min(self.k + self.offset, len(rows) - 1) if feed.series else 0
                    low, high = math.floor(at), math.ceil(at)
                    value = value.astype(np.result_type(value, rows))
                    value[unit - target.index.start] = rows[low] + (at - low) * (rows[high] - rows[low])  # type: ignore
        return value

    def _arriving(self, label: str, edge: Edge) -> np.ndarray:
        source: Key = tuple((f"{label}/{edge.output}" if edge.node else edge.source).rsplit("/", 2))  # type: ignore
        n_target = self.o._length(tuple(edge.target.rsplit("/", 2)))  # type: ignore[arg-type]
        n_source = self.o._length(tuple(edge.source.rsplit("/", 2)))  # type: ignore[arg-type]
        matrix = edge.weight.dense() if isinstance(edge.weight, Sparse) else edge.weight
        weights = np.broadcast_to(np.asarray(matrix, float), (n_target, n_source))
        total = 0.0
        for i in range(n_target):
            row = []
            for j in range(n_source):
                unit = i * n_source + j if edge.node is not None else j
                behind = 0.0 if edge.delay is None or edge.old_inputs else edge.delay
                delay = np.broadcast_to(behind, weights.shape)[i, j]
                if edge.spread:
                    order = sum(k[0] == label and k[1] == "chain" for k in self.state)
                    signal = self.state[label, "chain", str(order - 1)]
                elif delay > 0:
                    signal = self._back(source, float(delay), True)
                else:
                    signal = self.get(source)
                row.append(weights[i, j] * np.ravel(signal)[unit if np.size(signal) > 1 else 0])
            total = total + np.eye(n_target)[i] * sum(row)
        return np.asarray(total)

    def _back(self, key: Key, delay: float, edge: bool) -> np.ndarray:
        """The value of a variable a time ago; before the start nothing, the initial value, or the history."""
        begin = self.k - delay / self.o.dt
        if abs(begin - round(begin)) < 1e-6:
            begin = float(round(begin))
        at, moved = begin + self.offset, 0.0
        given = self.o.history.get("/".join(key))
        if begin < 0 and (edge if given is None else np.ndim(given) < 2):  # type: ignore[arg-type]
            # There is a jump at step 0. A stage sees what was before it; if it comes within the step, the mean.
            since, at = max(at, 0.0) if begin > -1 else 0.0, min(at, max(begin, -1.0))
            if since:
                moved = since * (self._row(key, 1, edge) - self._row(key, 0, edge))
        low, high = math.floor(at), math.ceil(at)
        return moved + self._row(key, low, edge) * (1 - (at - low)) + self._row(key, high, edge) * (at - low)

    def _row(self, key: Key, step: int, edge: bool) -> np.ndarray:
        rows = self.o.past.get(key, [])
        if step >= 0:
            return rows[step] if step < len(rows) else np.zeros(self.o._length(key))
        given = self.o.history.get("/".join(key))
        if given is not None:
            array = np.asarray(given)
            return array[step] if array.ndim == 2 else np.broadcast_to(array, (self.o._length(key),))
        return np.zeros(self.o._length(key)) if edge else rows[0] if rows else self.state[key]


def _delayed(edge: Edge) -> bool:
    return edge.delay is not None and bool(np.any(np.asarray(edge.delay) > 0)) and not edge.spread
