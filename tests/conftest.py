"""Settings of every test: double precision, no silent broadcasting over ranks, repeatable hypothesis."""

from __future__ import annotations

import itertools
import os
import signal

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("recurra", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("recurra")


# Most of the time of the tests goes into compiling, so they compile in quicker ways than users do. These two hold for
# the whole process and those that it starts; `XLA_FLAGS=" " make test` is without them.
QUICKER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__ < (0, 11):
    os.environ.setdefault("XLA_FLAGS", QUICKER)

# The optimiser is left out but for what is long or asks for bits: these have what users have.
OPTIMISED = ("engine_counts", "engine_invariances", "engine_resume", "engine_run", "examples")
MODULES = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def optimiser(request):
    """Switch the optimiser off for most modules; nothing that was compiled in one way is used in the other."""
    name = request.module.__name__.removeprefix("test_")
    now = not name.startswith(OPTIMISED) and "golden" not in name
    before = jax.config.values["jax_disable_most_optimizations"]
    if now != before or next(MODULES) % 15 == 0:  # compiled code is never given back by itself
        jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", now)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(now))  # for processes that a test starts
    yield


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
