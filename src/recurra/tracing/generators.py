"""What NumPy's generators of random numbers tell about themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.engine.anatomy import shared

DRAWN_SEEDS = 1 << 96


def is_generator(value: object) -> bool:
    """Tell whether a value is one of NumPy's generators of random numbers."""
    return isinstance(value, np.random.Generator | np.random.RandomState)


def is_seeded(generator: Any) -> bool:
    """Tell whether somebody has given a generator its seed; NumPy's own, which all share, has none.

    What NumPy draws for a generator without one has 128 bits. A seed of the user's of as many cannot be told from it.

    >>> [is_seeded(np.random.default_rng(seed)) for seed in (None, 3, [1, 2])]
    [False, True, True]
    >>> is_seeded(np.random.RandomState()), is_seeded(np.random.RandomState(3))
    (False, True)
    """
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator._bit_generator
    entropy = getattr(getattr(bits, "seed_seq", None), "entropy", None)
    return not shared(generator) and not (isinstance(entropy, int) and entropy >= DRAWN_SEEDS)
