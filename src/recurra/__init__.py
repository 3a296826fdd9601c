"""Simulate, train, fit and explain recurrent neural networks on one compiled engine."""

__version__ = "0.1.0"
