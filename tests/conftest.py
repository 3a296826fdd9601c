"""Settings of every test: double precision, no silent broadcasting over ranks, repeatable hypothesis."""

from __future__ import annotations

import signal

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("recurra", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("recurra")


# Most of the time of the tests goes into XLA's optimiser. Tests of what Python makes of models, which ask for no single
# bits, leave it out; the engine, the goldens, the corpus of behaviors, examples and pages have what users have.
PARTS = "analysis behaviors glm_determined glm_fit glm_observations glm_offset glm_recordings groups interchange"
QUICK = tuple(f"{PARTS} interrupts network rate tracing training".split())


@pytest.fixture(scope="module", autouse=True)
def optimiser(request):
    """Switch the optimiser off for some modules; nothing that was compiled in one way is used in the other."""
    name = request.module.__name__.removeprefix("test_")
    # Goldens ask for bits, and so do runs that go on in another process, which has the optimiser.
    quick = name.startswith(QUICK) and not name.endswith(("golden", "checkpoints"))
    if quick:
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", True)
    yield
    if quick:
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Let Ctrl-C be what it is in a terminal; in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def compile(request):
    """Say whether a network of behaviors must be compiled or runs in NumPy."""
    return request.param
