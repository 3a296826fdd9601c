"""Twelve models of the library, each by itself."""

import matplotlib.pyplot as plt
import numpy as np

from recurra import CircuitTemplate

MASSES = "model_templates.neural_mass_models."
WAVES = "model_templates.oscillators."
CELLS = "model_templates.conductance_based."

# title, template, variable, duration, step, input and its value, time before which nothing is shown
MODELS = [
    (
        "Hodgkin-Huxley (mV, ms)",
        CELLS + "hodgkinhuxley.hodgkinhuxley",
        "hh_op/V",
        100,
        0.01,
        ("hh_op/I_ext", 10),
    ),
    ("Wang-Buzsaki (mV, ms)", CELLS + "wangbuzsaki.wangbuzsaki", "wb_op/V", 100, 0.01, ("wb_op/I_ext", 1)),
    ("Hindmarsh-Rose, bursting", WAVES + "hindmarshrose.HR", "hr_op/x", 1000, 0.02, None),
    ("FitzHugh-Nagumo", WAVES + "fitzhughnagumo.FHN", "fhn_op/v", 200, 0.02, None),
    ("Van der Pol", WAVES + "vanderpol.vdp", "vdp_op/x", 40, 0.01, None),
    ("Stuart-Landau", WAVES + "stuartlandau.sl", "sl_op/x", 20, 0.01, None),
    ("Lorenz", WAVES + "lorenz.lorenz", "lorenz_op/x", 40, 0.005, None),
    ("Jansen-Rit alpha rhythm (1/s, s)", MASSES + "jansenrit.JRC2", "jrc_op/m", 2, 1e-3, None),
    ("QIF mean field, pulse of input", MASSES + "qif.qif", "qif_op/r", 60, 0.01, ("qif_op/I_ext", "pulse")),
    (
        "QIF with adaptation, same",
        MASSES + "qif.qif_sfa",
        "qif_sfa_op/r",
        60,
        0.01,
        ("qif_sfa_op/I_ext", "pulse"),
    ),
    ("Epileptor, seizures", MASSES + "epileptor.epileptor", "epileptor_op/lfp", 6000, 0.05, None),
    ("Larter-Breakspear", MASSES + "larterbreakspear.larterbreakspear", "lb_op/V", 500, 0.05, None),
]

figure, axes = plt.subplots(4, 3, figsize=(12, 9), layout="constrained")
steps_done = 0
for ax, (title, path, variable, duration, dt, drive) in zip(axes.flat, MODELS, strict=True):
    model = CircuitTemplate.from_yaml(path)
    (node,) = model.nodes
    steps = round(duration / dt)
    inputs = None
    if drive is not None:
        name, value = drive
        wave = np.zeros(steps)
        if value == "pulse":
            wave[steps // 6 : steps // 2] = 3.0
        else:
            wave[:] = value
        inputs = {f"{node}/{name}": wave}
    result = model.run(
        simulation_time=duration,
        step_size=dt,
        sampling_step_size=dt * max(1, steps // 5000),
        outputs={"y": f"{node}/{variable}"},
        inputs=inputs,
        solver="rk4",
    )
    steps_done += steps
    ax.plot(result.index, result["y"], color="#0072B2", linewidth=1)
    ax.set_title(title, fontsize=10.5)
    ax.set_ylabel(variable.split("/")[1])
    ax.margins(x=0)
figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
for ax in axes[-1]:
    ax.set_xlabel("time")

numbers = {"models": len(MODELS), "steps of the fourth-order Runge-Kutta method": f"{steps_done:,}"}
plt.show()
