"""Spiking twins of rate networks: conversion, the search for the scaling factor, light, lesions, rasters."""

from recurra.spiking.network import SpikingNetwork, convert, firing_rates, spike_times
from recurra.spiking.parameters import SpikingParameters, Stimulation, quadratic

__all__ = [
    "SpikingNetwork",
    "SpikingParameters",
    "Stimulation",
    "convert",
    "firing_rates",
    "quadratic",
    "spike_times",
]
