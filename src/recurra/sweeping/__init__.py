"""Run a model for many parameter sets at once: here, on several devices, or on other machines."""

from recurra.courtesy import guard
from recurra.sweeping.running import sweep

__all__ = ["sweep"]

guard(globals(), __all__)
