"""Updates of a Dale rate network through time, beside a plain PyTorch loop of the same equations.

Both sides begin with the same numbers; without noise their losses and gradients must agree before anything is timed.
"""

from __future__ import annotations

TITLE = "Training a Dale rate network: one update of 200 units over 200 steps"
TEXT = (
    "Go-NoGo with noise in every step: forwards, backwards through time, and Adam over weights, readout and time "
    "constants, in float32. The PyTorch loop computes the effective weights once an update, not once a step. The "
    "published code (spikeRNN), which does so once a step, was measured at 0.122 s an update."
)
OURS, TORCH = "Recurra, {} trials an update", "PyTorch loop, {} trials an update"
CHECK, PEER_CHECK = "Recurra: loss and gradient without noise", "PyTorch: loss and gradient without noise"
GROUPS = [[OURS.format(n), TORCH.format(n)] for n in (1, 64)]
N, T = 200, 200


def numbers():
    """Return the numbers both sides begin with."""
    import numpy as np

    rng = np.random.default_rng(0)
    present = rng.random((N, N)) < 0.2
    w = np.abs(rng.normal(size=(N, N))) * present * 1.5 / np.sqrt(N * 0.2)
    signs = np.where(rng.random(N) < 0.2, -1.0, 1.0)
    gaus, w_in, w_out = rng.normal(size=(N, 1)), rng.normal(size=(N, 1)), rng.normal(size=(1, N)) / 100
    return w, signs, gaus, w_in, w_out


def trials(count):
    """Return inputs `(count, T, 1)` and targets `(count, T - 1, 1)`: every second trial is a Go trial."""
    import numpy as np

    u, z = np.zeros((count, T, 1)), np.zeros((count, T - 1, 1))
    u[::2, 50:75], z[::2, 75:] = 1.0, 1.0
    return u, z


def ours():
    """Update a network of ours."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from recurra.rate.model import FR_RNN_dale
    from recurra.rate.running import fixed_numbers, free_numbers
    from recurra.rate.tasks import GoNoGo
    from recurra.rate.training import Rules, choose_optimizer, make_functions

    w, signs, gaus, w_in, w_out = numbers()
    net = FR_RNN_dale(N, 0.2, 0.2, w_in, 0, "gaus", 1.5, True, w_out)
    net.w, net.mask, net.taus_gaus = w, np.diag(signs), gaus

    def updater(count, noise, optimizer, lr):
        rules = Rules("l2", noise, 0.1, count, 100, 0, "float32", ())
        transform, _ = choose_optimizer(optimizer, lr, None)
        update, _ = make_functions([net], GoNoGo(), rules, transform)
        free = {name: jnp.asarray(value)[None] for name, value in free_numbers(net, "float32").items()}
        fixed = {name: jnp.asarray(value)[None] for name, value in fixed_numbers(net, "float32").items()}
        u, z = trials(count)
        data = tuple(jnp.asarray(a, jnp.float32)[None] for a in (u, z, np.ones_like(z)))
        kept = {"free": free, "momenta": jax.vmap(transform.init)(free), "at": 0}

        def go():
            kept["free"], kept["momenta"], loss, _ = update(
                kept["free"], kept["momenta"], fixed, jnp.ones(1, bool), data, 0, kept["at"]
            )
            kept["at"] += 1
            return float(jax.block_until_ready(loss)[0]), kept["free"]

        return go

    def check():
        loss, after = updater(2, "none", "sgd", 1.0)()
        moved = np.float32(w) - np.asarray(after["w"][0])
        return np.concatenate([[loss], moved.ravel()])

    def task(go):
        return lambda: np.array([go()[0] > 0])

    tasks = {OURS.format(n): task(updater(n, "kim", "adam", 0.01)) for n in (1, 64)}
    return {**tasks, CHECK: check}


def peer():
    """Update the same network in a loop of PyTorch."""
    import numpy as np
    import torch

    torch.set_num_threads(1)

    def updater(count, noise, optimizer, lr):
        w, signs, gaus, w_in, w_out = (torch.tensor(a, dtype=torch.float32) for a in numbers())
        trained = [torch.nn.Parameter(a) for a in (w, gaus, w_out, torch.zeros(()))]
        rule = getattr(torch.optim, optimizer)(trained, lr=lr)
        u, z = (torch.tensor(a, dtype=torch.float32).permute(1, 2, 0) for a in trials(count))

        def go():
            w, gaus, w_out, b = trained
            effective, part = torch.relu(w) * signs, 1 / (torch.sigmoid(gaus) * 16 + 4)
            x = torch.randn(N, count) / 100 if noise else torch.zeros(N, count)
            r, outputs = torch.sigmoid(x), []
            for k in range(1, T):
                x = (1 - part) * x + part * (effective @ r + w_in @ u[k - 1])
                if noise:
                    x = x + torch.randn(N, count) / 10
                r = torch.sigmoid(x)
                outputs.append(w_out @ r + b)
            loss = ((torch.stack(outputs) - z) ** 2).sum((0, 1)).sqrt().mean()
            rule.zero_grad()
            loss.backward()
            rule.step()
            return float(loss), trained

        return go

    def check():
        loss, after = updater(2, False, "SGD", 1.0)()
        moved = np.float32(numbers()[0]) - after[0].detach().numpy()
        return np.concatenate([[loss], moved.ravel()])

    def task(go):
        return lambda: np.array([go()[0] > 0])

    tasks = {TORCH.format(n): task(updater(n, True, "Adam", 0.01)) for n in (1, 64)}
    return {**tasks, PEER_CHECK: check}


def agree(values):
    """Check that both sides compute the same loss and the same gradient."""
    import numpy as np

    one, other = values[CHECK], values[PEER_CHECK]
    error = float(np.abs(one - other).max() / np.abs(other).max())
    if not error < 1e-3:
        raise SystemExit(f"error: loss and gradient differ by {error:.3g} of the largest")
    return [f"Loss and gradient without noise agree to {error:.1g} of the largest entry (float32)."]
