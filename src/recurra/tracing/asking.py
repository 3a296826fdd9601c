"""Let Python do a part of a compiled step: what it needs is handed to it, and the step goes on with what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from recurra.tracing import operations
from recurra.tracing.session import Session, as_value
from recurra.tracing.slots import kind_of
from recurra.tracing.words import from_words, from_words_now, to_words, to_words_now, words_shape

STOPPED = "stopped"  # whether an earlier step went past a guard, among what is computed ahead


def session_of(stand_in: object) -> Session | None:
    """Return the pass in which a value is a stand-in; None if it is none."""
    return stand_in._session if operations.is_box(stand_in) else None


def ask(
    session: Session,
    function: Callable[[int, bool, dict[str, np.ndarray]], Mapping[str, Any]],
    values: Mapping[str, Any],
    models: Mapping[str, Any],
) -> dict[str, Any]:
    """Let a step call a Python function, in order, where it has come to when it runs.

    Arguments:
        session: the pass.
        function: number of the step, whether the step counts, what it is handed, by path -> what it gives, by path.
        values: what it is handed: stand-ins or numbers, by path.
        models: what it gives is of the types and shapes of these, by path.

    Returns:
        Stand-ins for what it gives, by path.
    """
    if not session.facts.speaks:
        session.facts.speaks = session.facts.changed = True
    paths = list(values)
    given = [jnp.asarray(operations.value_of(session, values[p])) for p in paths]
    shapes = {p: jax.ShapeDtypeStruct(np.shape(v), as_value(v).dtype) for p, v in models.items()}

    forms = [(v.shape, v.dtype) for v in given]

    def call(k: Any, counts: Any, *words: Any) -> dict[str, np.ndarray]:
        handed = {p: from_words_now(w, *form) for p, w, form in zip(paths, words, forms, strict=True)}
        found = function(int(k), bool(counts), handed)
        return {p: to_words_now(np.asarray(found[p], s.dtype).reshape(s.shape)) for p, s in shapes.items()}

    stopped = session.given.get(STOPPED)
    counts = session.past == 0 if stopped is None else (session.past == 0) & ~stopped["value"]
    words = {p: words_shape(s.shape, s.dtype) for p, s in shapes.items()}
    got = io_callback(call, words, session.step, counts, *map(to_words, given), ordered=True)
    session.note("call of Python")
    values = {p: from_words(got[p], shapes[p].dtype) for p in models}
    return {p: operations.wrap(session, values[p], frozenset({""}), kind_of(models[p])) for p in models}
