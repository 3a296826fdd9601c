"""Neurons with ionic conductances, of one compartment or of many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurra.behaviors.conventions import (
    close_channels,
    not_negative,
    open_channels,
    positive,
    take_conductance,
    time_step,
    whole_number,
)
from recurra.errors import ShapeError
from recurra.groups import Behavior


class HodgkinHuxley(Behavior):
    """Let sodium, potassium and a leak make the action potential, in one compartment or along a cable.

    `C dv/dt = I - g_Na m^3 h (v - E_Na) - g_K n^4 (v - E_K) - g_L (v - E_L) + axial current`,
    `dx/dt = phi (alpha_x (1 - x) - beta_x x)` for m, h and n. Source: Hodgkin and Huxley (1952), potentials counted
    from the outside and the rest at -65 mV. Gates and membrane are advanced by exponential Euler (Rush and Larsen
    1978), the axial current exactly (Lie splitting).

    With `compartments` > 1 the group holds cells of so many compartments one behind the other: neuron i is
    compartment `i % compartments` of cell `i // compartments`.

    Arguments (texts such as `"normal(120, 5)"` give each compartment its own):
        C: capacitance (uF/cm^2).
        g_Na, g_K, g_L: conductances (mS/cm^2).
        E_Na, E_K, E_L: reversal potentials (mV).
        temperature: in degrees Celsius; the rates grow three-fold for 10 degrees above 6.3.
        I_ext: constant input (uA/cm^2), added to `neurons.I`.
        v_init: potential at the beginning (mV); the gates begin at what they are there in the long run.
        compartments: number of compartments of each cell.
        parents: for a tree, the parent of each compartment of a cell, -1 for the first; a chain by default.
        diameter: of the cable (um).
        length: of one compartment (um).
        resistivity: of its inside (Ohm cm).
        substeps: in how many parts a step is computed; so many that one is 0.025 ms at most, by default.
        dt: step (ms).

    Variables: `v`, `m`, `h`, `n`, `spike` (where v has passed 0 mV upwards), `I` (uA/cm^2).

    >>> from recurra.groups import GroupNetwork, NeuronGroup, Recorder
    >>> net = GroupNetwork()
    >>> cell = NeuronGroup(net, 1, behavior={1: HodgkinHuxley(I_ext=10.0, dt=0.1), 2: Recorder(["v", "spike"])})
    >>> net.initialize()
    >>> net.simulate_iterations(500)
    >>> int(net["spike", 0].sum()), bool(35 < net["v", 0].max() < 45)
    (4, True)
    """

    def initialize(self, neurons: Any) -> None:
        """Set membrane and gates to their beginning."""
        dt = time_step(self, neurons)
        self.substeps = whole_number(self, "substeps", self.parameter("substeps", max(1, math.ceil(dt / 0.025))), 1)
        self.dt = dt / self.substeps
        self.C = positive(self, "C", self.parameter("C", 1.0, neurons))
        self.g_Na = not_negative(self, "g_Na", self.parameter("g_Na", 120.0, neurons))
        self.g_K = not_negative(self, "g_K", self.parameter("g_K", 36.0, neurons))
        self.g_L = positive(self, "g_L", self.parameter("g_L", 0.3, neurons))
        self.E_Na = self.parameter("E_Na", 50.0, neurons)
        self.E_K = self.parameter("E_K", -77.0, neurons)
        self.E_L = self.parameter("E_L", -54.387, neurons)
        self.phi = 3.0 ** ((self.parameter("temperature", 6.3) - 6.3) / 10)
        self.I_ext = self.parameter("I_ext", 0.0, neurons)
        self._set_up_cable(neurons)
        take_conductance(neurons)
        neurons.v = neurons.vector(self.parameter("v_init", -65.0, neurons))
        for gate, (alpha, beta) in self.rates(neurons.v).items():
            setattr(neurons, gate, neurons.vector(alpha / (alpha + beta)))
        neurons.spike = neurons.vector(bool)
        neurons.I = neurons.vector()

    def _set_up_cable(self, neurons: Any) -> None:
        self.compartments = whole_number(self, "compartments", self.parameter("compartments", 1), 1)
        parents = self.parameter("parents", None)
        diameter = positive(self, "diameter", self.parameter("diameter", 476.0))
        length = positive(self, "length", self.parameter("length", 500.0))
        resistivity = positive(self, "resistivity", self.parameter("resistivity", 35.4))
        if neurons.size % self.compartments:
            raise ShapeError(
                f"HodgkinHuxley: {neurons.size} neurons cannot be cells of {self.compartments} compartments;"
                " make the size of the group a multiple of it."
            )
        tree = np.arange(self.compartments) - 1 if parents is None else np.asarray(parents)
        if tree.shape != (self.compartments,) or np.any(tree >= np.arange(self.compartments)) or np.any(tree < -1):
            raise ShapeError(
                f"HodgkinHuxley: parents must be {self.compartments} numbers, each that of an earlier compartment"
                f" or -1, got {parents!r}."
            )
        # Cable equation (Hodgkin and Rushton 1946): d / (4 R_i dx^2), lengths in cm, in mS/cm^2.
        axial = 1e3 * diameter * 1e-4 / (4 * resistivity * (length * 1e-4) ** 2)
        laplacian = np.zeros((self.compartments, self.compartments))
        for child, parent in enumerate(tree):
            if parent >= 0:
                pair = np.array([child, parent])
                laplacian[np.ix_(pair, pair)] += [[1, -1], [-1, 1]]
        if self.compartments > 1 and np.ndim(self.C):
            raise ShapeError("HodgkinHuxley: with several compartments C must be one number.")
        values, vectors = np.linalg.eigh(laplacian)
        rate = self.dt * axial / float(self.C) if self.compartments > 1 else 0.0
        self.axial = ((vectors * np.exp(-rate * values)) @ vectors.T).astype(neurons.def_dtype)

    def rates(self, v: Any) -> dict[str, tuple[Any, Any]]:
        """Return the rates of opening and closing (1/ms at 6.3 degrees) of each gate at the potential v (mV)."""
        return {
            "m": (_linoid((v + 40) / 10), 4 * np.exp(-(v + 65) / 18)),
            "h": (0.07 * np.exp(-(v + 65) / 20), 1 / (1 + np.exp(-(v + 35) / 10))),
            "n": (0.1 * _linoid((v + 55) / 10), 0.125 * np.exp(-(v + 65) / 80)),
        }

    def iteration(self, neurons: Any) -> None:
        """Advance gates, membrane and axial current."""
        below = neurons.v < 0
        current = neurons.I + self.I_ext
        synaptic = 0.0
        if open_channels(neurons):
            current, synaptic = current + neurons.conductance_v, neurons.conductance.copy()
            close_channels(neurons)
        for _ in range(self.substeps):
            for gate, (alpha, beta) in self.rates(neurons.v).items():
                x = getattr(neurons, gate)
                goal = alpha / (alpha + beta)
                x[:] = goal + (x - goal) * np.exp(-self.dt * self.phi * (alpha + beta))
            g_Na = self.g_Na * neurons.m**3 * neurons.h
            g_K = self.g_K * neurons.n**4
            total = g_Na + g_K + self.g_L + synaptic
            goal = (current + g_Na * self.E_Na + g_K * self.E_K + self.g_L * self.E_L) / total
            neurons.v[:] = goal + (neurons.v - goal) * np.exp(-self.dt * total / self.C)
            if self.compartments > 1:
                cells = neurons.v.reshape(-1, self.compartments)
                neurons.v[:] = cells.dot(self.axial).reshape(-1)
        neurons.spike = below & (neurons.v >= 0)
        neurons.I.fill(0)


def _linoid(x: Any) -> Any:
    """Return x / (1 - exp(-x)), and 1 + x / 2 where that is 0 / 0."""
    small = np.abs(x) < 1e-3
    safe = np.where(small, 1, x)
    return np.where(small, 1 + x / 2, safe / -np.expm1(-safe))
