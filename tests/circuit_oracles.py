"""Vector fields of published models, written by hand in plain Python, and a plain Euler loop.

Every field is a function ``field(y, u)`` of a list of states and a drive; it returns the list of derivatives.
None of them shares a line with the library or with its templates.
"""

from __future__ import annotations

from cmath import pi
from collections.abc import Callable, Sequence
from math import exp, sin, tanh

import numpy as np

Field = Callable[[Sequence, float], Sequence]


def euler(field: Field, start: Sequence, dt: float, steps: int, every: int = 1, drive=None) -> np.ndarray:
    """Integrate a field by forward Euler; row k is the state before step k * every."""
    y, rows = list(start), []
    for k in range(steps):
        if k % every == 0:
            rows.append(list(y))
        dy = field(y, 0.0 if drive is None else float(drive[k]))
        y = [a + dt * b for a, b in zip(y, dy, strict=True)]
    return np.array(rows)


def accurate(field: Field, start: Sequence, times: Sequence[float], drive: float = 0.0) -> np.ndarray:
    """Integrate a smooth field with DOP853 to a relative error of about 1e-11; one row per time."""
    from scipy.integrate import solve_ivp

    solution = solve_ivp(
        lambda t, y: field(y, drive),
        (0.0, float(times[-1])),
        start,
        "DOP853",
        list(times),
        rtol=1e-11,
        atol=1e-12,
    )
    return solution.y.T


def pulse(steps: int, dt: float, on: float, off: float, height: float) -> np.ndarray:
    """Return a rectangular pulse on the time grid."""
    drive = np.zeros(steps)
    drive[round(on / dt) : round(off / dt)] = height
    return drive


def logistic(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x > 0 else exp(x) / (1.0 + exp(x))


# models of the template catalogue


def li(y, u):
    return [-y[0] + u]


def wilson_cowan(y, u):
    e, i = y
    m_e = logistic(15 * e - 15 * i + u - 2) - logistic(-2)
    m_i = logistic(2 * (15 * e - 4 * i - 2.5)) - logistic(-5)
    return [(-e + (1 - e) * m_e) / 10, (-i + (1 - i) * m_i) / 10]


def wilson_cowan_stp(y, u):
    e, i, *synapses = y
    effective, d_synapses = [], []
    for rate, x, s in ((e, *synapses[0:2]), (e, *synapses[2:4]), (i, *synapses[4:6]), (i, *synapses[6:8])):
        effective.append(rate * x * s)
        d_synapses += [(1 - x) / 100 - 0.1 * x * s * rate, (0.6 - s) / 200 + 0.6 * (1 - s) * rate]
    ee, ei, ie, ii = effective
    m_e = logistic(5 * ee - 5 * ie + u - 2) - logistic(-2)
    m_i = logistic(2 * (10 * ei - 5 * ii - 2.5)) - logistic(-5)
    return [(-e + (1 - e) * m_e) / 10, (-i + (1 - i) * m_i) / 10, *d_synapses]


def jansen_rit(y, u):
    """States: v, x of pc/rpo_e_in, pc/rpo_i, ein/rpo_e, iin/rpo_e; the drive is added to 220."""
    ve, xe, vi, xi, vn, xn, vm, xm = y

    def rate(v):
        return 5 / (1 + exp(560 * (0.006 - v)))

    def synapse(v, x, gain, tau, m):
        return [x, gain * m / tau - 2 * x / tau - v / tau**2]

    m_pc = rate(ve + vi)
    return [
        *synapse(ve, xe, 3.25e-3, 0.01, 108 * rate(vn) + 220 + u),
        *synapse(vi, xi, -22e-3, 0.02, 33.75 * rate(vm)),
        *synapse(vn, xn, 3.25e-3, 0.01, 135 * m_pc),
        *synapse(vm, xm, 3.25e-3, 0.01, 33.75 * m_pc),
    ]


def qif(y, u, eta=-5.0, J=15.0):
    r, v = y
    return [1 / pi + 2 * r * v, v * v + eta + u + J * r - (pi * r) ** 2]


def qif_sfa(y, u):
    r, v, a, x = y
    return [
        1 / pi + 2 * r * v,
        v * v - 5 + u + 15 * r - a - (pi * r) ** 2,
        x / 10,
        0.5 * r - 2 * x / 10 - a / 10,
    ]


def qif_conduct(y, u, g=5.0):
    r, v, s = y
    return [1 / pi + r * (2 * v - g * s), v * v - 5 + u + g * s * (1 - v) - (pi * r) ** 2, -s / 2 + r]


def theta(y, u):
    (z,) = y
    r = ((1 - abs(z) ** 2) / (pi * (1 + z + z.conjugate() + abs(z) ** 2))).real
    return [((z + 1) ** 2 * (1j * (-5 + u + 15 * r) - 1) - 1j * (z - 1) ** 2) / 2]


def ik_nodim(y, u):
    r, v, w, s = y
    return [
        0.02 / pi + r * (2 * v - 0.6 - 0.5 * s),
        v * v - 0.6 * v + u - w + 0.5 * s * (1 - v) - (pi * r) ** 2,
        0.008 * (-0.01 * v - w) + 0.02 * r,
        -s / 2.6 + r,
    ]


def kuramoto_pair(y, u):
    a, b = y
    return [10 - 4 * sin(b - a) + u, 10 - 4 * sin(a - b)]


def order_parameter(y, u, K=1.0):
    (z,) = y
    return [(10j - 1) * z + K / 2 * (z - z.conjugate() * z * z)]


def stuart_landau(y, u):
    x, z = y
    return [z + x * (1 - x * x - z * z), -x + z * (1 - x * x - z * z)]


def stuart_landau_shipped(y, u):
    x, z = y
    return [z + z * (1 - x * x - z * z), -x + z * (1 - x * x - z * z)]


def van_der_pol(y, u, mu=1.0):
    x, z = y
    return [z, mu * z * (1 - x * x) - x + u]


def gamma_pair(y, u):
    """Two tanh units joined by gamma kernels of order 6, means 2 and 1: two states, then the two chains."""
    a, b, *chain = y
    fast, slow = chain[:6], chain[6:]
    d_fast = [3 * (p - q) for p, q in zip([tanh(a), *fast[:5]], fast, strict=True)]
    d_slow = [6 * (p - q) for p, q in zip([tanh(b), *slow[:5]], slow, strict=True)]
    return [(a - a * a + 2 * slow[5] + u) / 10, b - b * b + fast[5], *d_fast, *d_slow]


# further models of the library


def lorenz(y, u):
    x, w, z = y
    return [10 * (w - x), x * (28 - z) - w, x * w - 8 / 3 * z]


def fitzhugh_nagumo(y, u, current=0.5):
    v, w = y
    return [v - v**3 / 3 - w + current + u, (v + 0.7 - 0.8 * w) / 12.5]


def hopf(y, u):
    z = complex(y[0], y[1])
    d = (1 + 1j - abs(z) ** 2) * z + u
    return [d.real, d.imag]


def hindmarsh_rose(y, u, current=2.0):
    x, w, z = y
    return [w - x**3 + 3 * x * x - z + current + u, 1 - 5 * x * x - w, 0.006 * (4 * (x + 1.6) - z)]


def wong_wang_rate(current):
    """Firing rate in Hz for a current in nA, by the formula of the paper (0/0 where 270 current = 108)."""
    drive = 270 * current - 108
    return drive / (1 - exp(-0.154 * drive))


def wong_wang(y, u):
    (s,) = y
    return [-s / 0.1 + 0.641 * (1 - s) * wong_wang_rate(0.9 * 0.2609 * s + 0.3 + u)]


def wong_wang_decision(y, u):
    """The drive is the difference between the stimuli from their mean of 30 Hz."""
    a, b = y
    rate_a = wong_wang_rate(0.2609 * a - 0.0497 * b + 0.3255 + 5.2e-4 * (30 + u))
    rate_b = wong_wang_rate(0.2609 * b - 0.0497 * a + 0.3255 + 5.2e-4 * (30 - u))
    return [-a / 0.1 + 0.641 * (1 - a) * rate_a, -b / 0.1 + 0.641 * (1 - b) * rate_b]


def larter_breakspear(y, u):
    V, W, Z = y

    def gate(v, threshold, width):
        return (1 + tanh((v - threshold) / width)) / 2

    rate_v, rate_z = gate(V, 0.0, 0.65), gate(Z, 0.0, 0.7)
    calcium = (1.1 + 0.25 * 0.4 * rate_v) * gate(V, -0.01, 0.15) * (V - 1)
    sodium = (6.7 * gate(V, 0.3, 0.15) + 0.4 * rate_v) * (V - 0.53)
    current = 0.3 + u
    return [
        -calcium - sodium - 2 * W * (V + 0.7) - 0.5 * (V + 0.5) - 2 * Z * rate_z + current,
        0.7 * (gate(V, 0.0, 0.3) - W),
        0.1 * (0.4 * current + 2 * V * rate_v),
    ]


def epileptor(y, u, x0=-1.6):
    x1, y1, z, x2, y2, g = y
    f1 = x1**3 - 3 * x1**2 if x1 < 0 else (x2 - 0.6 * (z - 4) ** 2) * x1
    f2 = 0.0 if x2 < -0.25 else 6 * (x2 + 0.25)
    return [
        y1 - f1 - z + 3.1 + u,
        1 - 5 * x1 * x1 - y1,
        (4 * (x1 - x0) - z) / 2857,
        -y2 + x2 - x2**3 + 0.45 + 0.002 * g - 0.3 * (z - 3.5),
        (-y2 + f2) / 10,
        x1 - 0.01 * g,
    ]


def opening(u, slope, width):
    """slope * u / (1 - exp(-u / width)), with its limit at 0."""
    return slope * width if u == 0 else slope * u / (1 - exp(-u / width))


def hodgkin_huxley(y, u):
    V, m, h, n = y
    a_m, b_m = opening(V + 40, 0.1, 10), 4 * exp(-(V + 65) / 18)
    a_h, b_h = 0.07 * exp(-(V + 65) / 20), 1 / (1 + exp(-(V + 35) / 10))
    a_n, b_n = opening(V + 55, 0.01, 10), 0.125 * exp(-(V + 65) / 80)
    return [
        u - 120 * m**3 * h * (V - 50) - 36 * n**4 * (V + 77) - 0.3 * (V + 54.387),
        a_m * (1 - m) - b_m * m,
        a_h * (1 - h) - b_h * h,
        a_n * (1 - n) - b_n * n,
    ]


def wang_buzsaki(y, u):
    V, h, n, s = y
    a_m, b_m = opening(V + 35, 0.1, 10), 4 * exp(-(V + 60) / 18)
    a_h, b_h = 0.07 * exp(-(V + 58) / 20), 1 / (1 + exp(-0.1 * (V + 28)))
    a_n, b_n = opening(V + 34, 0.01, 10), 0.125 * exp(-(V + 44) / 80)
    m = a_m / (a_m + b_m)
    return [
        u - 35 * m**3 * h * (V - 55) - 9 * n**4 * (V + 90) - 0.1 * (V + 65),
        5 * (a_h * (1 - h) - b_h * h),
        5 * (a_n * (1 - n) - b_n * n),
        12 * logistic(V / 2) * (1 - s) - 0.1 * s,
    ]


def elliptic_burster(y, u):
    x, z, p = y
    rho = x * x + z * z
    gain = p + 2 * rho - rho**2
    return [3 * z + gain * x, -3 * x + gain * z, 0.1 * (0.8 - rho)]
