"""The Wilson-Cowan model, driven by a step of input.

This is the introductory example of PyRates' documentation with one line changed: the import.
Wilson, H. R., & Cowan, J. D. (1972). Excitatory and inhibitory interactions in localized
populations of model neurons. Biophysical Journal 12.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import CircuitTemplate

wc = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")

# simulation parameters
T = 125.0
dt = 5e-4
dts = 1e-2
steps = int(np.round(T / dt))
inp = np.zeros((steps,))
inp[int(25 / dt) : int(100 / dt)] = 1.0

# perform simulation
results = wc.run(
    simulation_time=T,
    step_size=dt,
    sampling_step_size=dts,
    outputs={"E": "e/rate_op/r", "I": "i/rate_op/r"},
    inputs={"e/se_op/r_ext": inp},
    backend="default",
    solver="euler",
)

plt.plot(results)
plt.show()
