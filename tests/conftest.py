"""Settings of every test: double precision, no silent broadcasting over ranks, repeatable hypothesis."""

from __future__ import annotations

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("recurra", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("recurra")


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def compile(request):
    """Say whether a network of behaviors must be compiled or runs in NumPy."""
    return request.param
