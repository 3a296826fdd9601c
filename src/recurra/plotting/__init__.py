"""Draw results: traces, heat maps, weights and phase portraits.

Every function draws on the axes it is given, or on a new figure of its own, and returns the axes; none calls
``show()`` or changes the settings of matplotlib. Matplotlib is loaded when the first figure is drawn.
"""

from recurra.plotting.matrices import plot_heatmap, plot_weights
from recurra.plotting.traces import plot_phase, plot_traces

__all__ = ["plot_heatmap", "plot_phase", "plot_traces", "plot_weights"]
