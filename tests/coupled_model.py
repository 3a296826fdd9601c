"""A small coupled model, and the loop over lags that its rates are held against."""

from __future__ import annotations

import numpy as np

LINKS = {"exp": np.exp, "softplus": lambda x: np.logaddexp(0, x), "identity": lambda x: x,
         "logistic": lambda x: 1 / (1 + np.exp(-x))}  # fmt: skip
N, W, B, T, K = 3, 5, 2, 40, 2


def model(seed=0, size=0.1):
    random = np.random.default_rng(seed)
    return {
        "coupling_coef": size * random.normal(size=(N, N, B)),
        "feedforward_coef": random.normal(size=(N, K)),
        "intercepts": -1.5 * np.ones(N),
        "feedforward_input": random.normal(size=(T, N, K)),
        "coupling_basis_matrix": random.uniform(size=(W, B)),
        "init_y": random.poisson(0.5, size=(W, N)).astype(float),
    }


def loop_rates(m, y, link):
    """Compute the rates lag by lag from given observations: the independent reference."""
    window = len(m["coupling_basis_matrix"])
    past, rates = np.concatenate([m["init_y"], np.asarray(y, float)]), []
    for t in range(len(y)):
        eta = np.array(m["intercepts"], float)
        for lag in range(1, window + 1):
            weights = m["coupling_coef"] @ m["coupling_basis_matrix"][lag - 1]
            eta += weights @ past[window + t - lag]
        rates.append(LINKS[link](eta + (m["feedforward_coef"] * m["feedforward_input"][t]).sum(axis=1)))
    return np.array(rates)


def difference(a, b):
    assert np.shape(a) == np.shape(b)
    return float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))))
