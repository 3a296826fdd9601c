"""A fit is whole or leaves the estimator as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recurra.engine.interrupts import interruptible


@contextmanager
def whole_fit(model: Any) -> Iterator[None]:
    """Put the attributes of an estimator back if its fit ends in an error or is interrupted.

    Arguments:
        model: the estimator.

    Raises:
        KeyboardInterrupt: Ctrl-C came; the solvers look for it after every step.

    >>> class Model:
    ...     coef_ = 1
    >>> model = Model()
    >>> try:
    ...     with whole_fit(model):
    ...         model.coef_ = 2
    ...         raise KeyboardInterrupt
    ... except KeyboardInterrupt:
    ...     print(model.coef_)
    1
    """
    before = dict(vars(model))
    with interruptible():
        try:
            yield
        except BaseException:
            vars(model).clear()
            vars(model).update(before)
            raise
