"""Memory of backpropagation through time: how it grows with the number of steps."""

from __future__ import annotations

import itertools

TITLE = "Memory of backpropagation through time, 200 tanh units with a readout"
TEXT = (
    "The gradient with respect to the 200 x 200 weights, in float32. The numbers are what the compiler plans for "
    "intermediate results (`memory_analysis()`, without inputs and gradients). Times are those of one gradient. Up to "
    "65,536 numbers of state a trial (327 steps here) everything is kept; beyond, segments are computed again."
)
LENGTHS = (125, 500, 2000, 8000)
FEW, MANY = 8, 64
TASKS = {f"{steps:,} steps, {FEW} trials": (steps, FEW) for steps in LENGTHS}
LARGE = f"2,000 steps, {MANY} trials"
GROUPS = [[*TASKS], [LARGE]]
N, DT = 200, 0.1
TEMPLATE = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"


def ours():
    """Make the tasks of our side."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    from recurra import Network
    from recurra.engine import as_function

    rng, kept = np.random.default_rng(0), {}
    net = Network(dt=DT)
    net.add_diffeq_node(
        "p", TEMPLATE, weights=rng.standard_normal((N, N)) / np.sqrt(N), source_var="tanh_op/r",
        target_var="li_op/r_in", input_var="li_op/I_ext", output_var="li_op/v",
    )  # fmt: skip
    net.add_func_node("out", 1, "identity")
    net.add_edge("p", "out", rng.standard_normal((1, N)) / N)
    weights = jnp.asarray(net.get_var("p", "weights"), "float32")

    def make(steps, trials):
        run = as_function(net.program, steps * DT, dt=DT, record={"y": "out/func/y"}, precision="float32")

        def loss(weights, drive):
            one = lambda rows: run({"p->p/weight": weights}, {"p/li_op/I_ext": rows})["y"]  # noqa: E731
            return jnp.mean(jax.vmap(one)(drive) ** 2)

        drive = jnp.asarray(rng.standard_normal((trials, steps, 1)), "float32")
        return jax.jit(jax.grad(loss)).lower(weights, drive).compile(), drive

    def gradient(steps, trials):
        if (steps, trials) not in kept:
            kept[steps, trials] = make(steps, trials)
        compiled, drive = kept[steps, trials]
        begun = time.perf_counter()
        jax.block_until_ready(compiled(weights, drive))
        return time.perf_counter() - begun, compiled.memory_analysis().temp_size_in_bytes

    tasks = TASKS | {LARGE: (2000, MANY)}
    return {name: lambda size=size: gradient(*size) for name, size in tasks.items()}


def peer():
    """There is nobody to compare with."""
    return {}


def agree(values):
    """Check that memory grows with the square root of the steps at most, and that the large update fits in 2 GB."""
    found = [f"{task}: {float(value) / 1e6:.3g} MB." for task, value in values.items()]
    sizes = [float(values[task]) for task in TASKS]
    growth = max(b / a for a, b in itertools.pairwise(sizes))
    if growth > 2.2 or not float(values[LARGE]) < 2e9:
        raise SystemExit(f"error: memory is not as promised: {' '.join(found)}")
    return [*found, f"Four times the steps need at most {growth:.2f} times the memory (square root: 2)."]
