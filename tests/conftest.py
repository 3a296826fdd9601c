"""Settings of every test: double precision, no silent broadcasting over ranks, repeatable hypothesis."""

from __future__ import annotations

import jax
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("recurra", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("recurra")
