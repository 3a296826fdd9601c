"""Runs over two devices, in one process or two, against one device; devices are chosen when Python starts."""

from __future__ import annotations

import os
import sys

import numpy as np


def build():
    """Return a rate network with weights that two devices can share."""
    from recurra import Network

    net = Network(dt=0.1)
    weights = np.random.default_rng(1).normal(size=(40, 40)) / 6
    net.add_diffeq_node(
        "n", ["x' = (-x + s + u)/tau + 0.1*xi", "r = tanh(x)"], weights=weights, source_var="r", target_var="s",
        input_var="u", output_var="x",
        variables={"x": "variable(0.1)", "r": "output", "s": "input(0.0)", "u": "input(0.0)", "tau": 2.0},
        edge_attr={"delay": 0.5},
    )  # fmt: skip
    return net


def numbers(device, **options):
    """Return what a run records."""
    from recurra import simulate

    drive = np.sin(np.arange(300))[:, None]
    return simulate(
        build().program, 30.0, dt=0.1, seed=3, inputs={"n/op/u": drive}, device=device, progress=False, **options
    )


def check() -> None:
    """Compare runs over all devices with runs on one."""
    import jax

    from recurra import sweep
    from recurra.engine.devices import Placement

    several = jax.devices()
    assert len(several) == 2, several
    one = jax.local_devices()[0]
    program = build().program
    with jax.enable_x64(True):
        params, _ = Placement(several).spread(dict(program.params), program.state, None)
    parts = {k: v.sharding.shard_shape(v.shape) for k, v in params.items() if v.ndim == 2}
    assert set(parts.values()) == {(20, 40)}, parts
    alone, spread = numbers(one), numbers(several)
    error = np.abs(spread["n/op/x"] - alone["n/op/x"]).max()
    assert error < 1e-12, error
    assert np.abs(np.asarray(spread.final.state["n/op/x"]) - alone.final.state["n/op/x"]).max() < 1e-12
    batch = {"n/op/tau": np.linspace(1.0, 4.0, 6)}
    alone, spread = numbers(one, batch=batch), numbers(several, batch=batch)
    assert spread["n/op/x"].shape == (6, 300, 40)
    assert np.abs(spread["n/op/x"] - alone["n/op/x"]).max() < 1e-12
    values = {"n/op/tau": np.linspace(1.0, 4.0, 5)}
    swept = [sweep(build(), values, 3.0, dt=0.1, device=device)["n/op/x"].values for device in (one, several)]
    assert np.abs(swept[0] - swept[1]).max() < 1e-12
    print("equal")


if __name__ == "__main__":
    words = sys.argv[1:]
    if words:
        import jax

        jax.distributed.initialize(f"127.0.0.1:{words[0]}", num_processes=2, process_id=int(words[1]))
    else:
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    check()
