"""Which trials of a seed belong to what, so that no network is judged by trials that it was trained or chosen with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from recurra.errors import OptionError

SPAN = 2**31  # seeds that users may give; those beyond belong to other purposes
PURPOSES: Mapping[str, int] = MappingProxyType({"training": 0, "criterion": 1, "search": 2, "evaluation": 3})


def seed_for(purpose: str, seed: object) -> int:
    """Return the seed of trials and noise for a purpose; those of different purposes are never the same.

    Arguments:
        purpose: one of `PURPOSES`: to train, to see whether a training may stop, to choose a scaling factor, to test.
        seed: what the user said.

    Raises:
        OptionError: the seed is no whole number from 0 to 2^31 - 1.

    >>> seed_for("training", 7), seed_for("evaluation", 7)
    (7, 6442450951)
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < SPAN:
        raise OptionError(f"seed must be a whole number from 0 to {SPAN - 1}, got {seed!r}.")
    return PURPOSES[purpose] * SPAN + int(seed)
