"""Spiking twins of rate networks: conversion, the search for the scaling factor, light, lesions, rasters."""

from recurra.courtesy import guard
from recurra.spiking.network import SpikingNetwork, convert, firing_rates, spike_times
from recurra.spiking.parameters import SpikingParameters, Stimulation, quadratic
from recurra.spiking.search import ScalingSearch, guess_scale, rate_curve, scaling_search

__all__ = [
    "ScalingSearch",
    "SpikingNetwork",
    "SpikingParameters",
    "Stimulation",
    "convert",
    "firing_rates",
    "guess_scale",
    "quadratic",
    "rate_curve",
    "scaling_search",
    "spike_times",
]

guard(globals(), __all__)
