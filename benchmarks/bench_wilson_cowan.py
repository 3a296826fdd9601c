"""The introductory example: 250,000 Euler steps of the Wilson-Cowan model, every 20th recorded."""

from __future__ import annotations

TITLE = "Wilson-Cowan, 250,000 Euler steps"
TEXT = (
    "The published example, in float64 throughout. Warm: the second and later runs of a loaded template "
    "(PyRates must load and compile again, because a template cannot be run twice; its second row leaves "
    "loading and compiling out by calling the function it generated). The numba row is a hand-written "
    "loop, compiled before."
)
WARM, PEER_WARM, PEER_LOOP, NUMBA = (
    "Recurra: warm `run`",
    "PyRates 1.2.3: `run`, default backend, imports warm",
    "PyRates 1.2.3: time loop only",
    "numba: hand-written loop",
)
FRESH = "fresh process, after import: Recurra from `from_yaml` to DataFrame"
PEER_FRESH = "fresh process, after import: PyRates from `from_yaml` to DataFrame"
GROUPS = [[WARM, NUMBA, PEER_LOOP, PEER_WARM], [FRESH, PEER_FRESH]]

PATH = "model_templates.neural_mass_models.wilsoncowan.WC"
T, DT, DTS = 125.0, 5e-4, 1e-2
OUTPUTS = {"E": "e/rate_op/r", "I": "i/rate_op/r"}


def drive():
    """Return the input of the example."""
    import numpy as np

    wave = np.zeros(round(T / DT))
    wave[int(25 / DT) : int(100 / DT)] = 1.0
    return wave


def ours():
    """Make the tasks of our side."""
    from recurra import CircuitTemplate

    wave, loaded = drive(), []

    def run(circuit):
        return circuit.run(
            simulation_time=T,
            step_size=DT,
            sampling_step_size=DTS,
            outputs=OUTPUTS,
            inputs={"e/se_op/r_ext": wave},
            backend="default",
            solver="euler",
        ).to_numpy()

    def warm():
        if not loaded:
            loaded.append(CircuitTemplate.from_yaml(PATH))
        return run(loaded[0])

    return {WARM: warm, FRESH: lambda: run(CircuitTemplate.from_yaml(PATH))}


def peer():
    """Make the tasks of the other side."""
    import numba
    import numpy as np
    from pyrates import CircuitTemplate, clear_frontend_caches

    wave, kept = drive(), {}

    def run():
        clear_frontend_caches()
        return (
            CircuitTemplate.from_yaml(PATH)
            .run(
                simulation_time=T,
                step_size=DT,
                sampling_step_size=DTS,
                outputs=OUTPUTS,
                inputs={"e/se_op/r_ext": wave.copy()},
                backend="default",
                solver="euler",
                float_precision="float64",
                verbose=False,
            )
            .to_numpy()
        )

    def loop():
        if not kept:
            clear_frontend_caches()
            kept["made"] = CircuitTemplate.from_yaml(PATH).get_run_func(
                "wc", DT, inputs={"e/se_op/r_ext": wave.copy()}, backend="default", solver="euler",
                float_precision="float64", verbose=False,
            )  # fmt: skip
        function, arguments, _, _ = kept["made"]  # the two rates are merged into one vector
        y, dy, rest = np.zeros(2), arguments[2], arguments[3:]
        rows = np.empty((round(T / DTS), 2))
        every = round(DTS / DT)
        for k in range(len(wave)):
            if k % every == 0:
                rows[k // every] = y
            y += DT * function(k, y, dy, *rest)
        return rows

    @numba.njit
    def hand(wave, dt, every):
        rows = np.empty((len(wave) // every, 2))
        base_e, base_i = 1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(5.0))
        e = i = 0.0
        for k in range(len(wave)):
            if k % every == 0:
                rows[k // every, 0], rows[k // every, 1] = e, i
            m_e = 1 / (1 + np.exp(-(15 * e - 15 * i + wave[k] - 2.0))) - base_e
            m_i = 1 / (1 + np.exp(-2 * (15 * e - 4 * i - 2.5))) - base_i
            e, i = e + dt * (-e + (1 - e) * m_e) / 10, i + dt * (-i + (1 - i) * m_i) / 10
        return rows

    return {
        NUMBA: lambda: hand(wave, DT, round(DTS / DT)),
        PEER_LOOP: loop,
        PEER_WARM: run,
        PEER_FRESH: run,
    }


def agree(values):
    """Check that everyone computes the same rows."""
    import numpy as np

    found = []
    for task, value in values.items():
        error = float(np.abs(value - values[NUMBA]).max())
        if not error < 1e-11:
            raise SystemExit(f"error: {task} differs from the hand-written loop by {error:.3g}")
        found.append(f"{task}: agrees with the hand-written loop to {error:.1g}.")
    return found
