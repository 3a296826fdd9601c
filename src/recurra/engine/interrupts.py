"""Ctrl-C as something that long calls ask for, so that they end between two pieces of work and never within one.

While a long call goes on in the main thread, the first SIGINT only leaves a mark here. The call looks for it between
its pieces, so that no store, network or table is left half-changed, and a signal cannot be lost where Python swallows
what is raised (in garbage collection, in callbacks). The second SIGINT raises KeyboardInterrupt at once, wherever the
call is. Another handler than Python's own is left in its place, and what it raises comes out of the call.

Calls contain each other: a sweep runs simulations. Only the outermost may return a part of its work, marked as such;
every other one raises KeyboardInterrupt, so that nothing partial reaches whoever called it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PIECE_SECONDS = 0.1  # how long a piece between two looks takes, about


class Stop:
    """Ask calls in other threads to end; another process gets one of its own.

    >>> stop = Stop()
    >>> with interruptible(stop):
    ...     stop.set()
    ...     try:
    ...         check()
    ...     except KeyboardInterrupt:
    ...         print("stopped")
    stopped
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set, self.is_set = self._event.set, self._event.is_set

    def __reduce__(self) -> tuple[type[Stop], tuple[()]]:
        return Stop, ()


class _Watch:
    """Hold whether a SIGINT came while the outermost call of a thread goes on."""

    def __init__(self, stop: Stop | None):
        self.process, self.stop = os.getpid(), stop
        self.heard = self.told = self.at_once = self.parts = self.held = False

    @property
    def came(self) -> bool:
        return not self.held and (self.heard or (self.stop is not None and self.stop.is_set()))

    def hear(self, number: int, frame: FrameType | None) -> None:
        again, self.heard = self.heard, True
        # A process that was forked within the call is another's affair.
        if again or self.at_once or os.getpid() != self.process:
            signal.default_int_handler(number, frame)


class _Here(threading.local):
    watch: _Watch | None = None


_here = _Here()


def _watching() -> _Watch | None:
    watch = _here.watch
    return watch if watch is not None and watch.process == os.getpid() else None


@contextmanager
def interruptible(stop: Stop | None = None) -> Iterator[bool]:
    """Let Ctrl-C wait until this call looks for it.

    Arguments:
        stop: another thread's way to end this call.

    Yields:
        Whether what this call returns may be a part, marked as such; else it raises KeyboardInterrupt.

    Raises:
        KeyboardInterrupt: at the end of the outermost call, if a SIGINT came that nobody has looked for.

    >>> with interruptible() as outer, interruptible() as inner:
    ...     print(outer, inner)
    True False
    """
    watch = _watching()
    if watch is not None:
        parts, watch.parts = watch.parts, False
        try:
            yield parts
        finally:
            watch.parts = parts
        return
    _here.watch = watch = _Watch(stop)
    ours = threading.current_thread() is threading.main_thread() and _is_pythons(signal.getsignal(signal.SIGINT))
    try:
        if ours:
            signal.signal(signal.SIGINT, watch.hear)
        yield True
    except KeyboardInterrupt:
        watch.told = True
        raise
    finally:
        _here.watch = None
        if ours:
            last = signal.signal(signal.SIGINT, signal.default_int_handler)
            if last != watch.hear:  # somebody has set another one meanwhile
                signal.signal(signal.SIGINT, last)
        if watch.heard and not watch.told:
            raise KeyboardInterrupt


def _is_pythons(handler: Any) -> bool:
    """Tell whether a handler is Python's own, or ours from before a fork."""
    return handler is signal.default_int_handler or isinstance(getattr(handler, "__self__", None), _Watch)


def came() -> bool:
    """Tell whether Ctrl-C came during the outermost call of this thread."""
    watch = _watching()
    return watch is not None and watch.came


def take() -> None:
    """Say that the outermost call ends because of Ctrl-C, or tells its caller of it."""
    watch = _watching()
    if watch is not None:
        watch.told = True


def check(message: str = "interrupted") -> None:
    """End the call here if Ctrl-C came.

    Raises:
        KeyboardInterrupt: it came.
    """
    if came():
        take()
        raise KeyboardInterrupt(message)


@contextmanager
def at_once() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt wherever it falls: around functions of users, which may take long."""
    watch = _watching()
    if watch is None:
        yield
        return
    check()
    before, watch.at_once = watch.at_once, True
    try:
        yield
    finally:
        watch.at_once = before
    check()  # what was raised may have been lost


@contextmanager
def taking_parts() -> Iterator[None]:
    """Let the next call within this one return a part, as if it were the outermost."""
    watch = _watching()
    if watch is None:
        yield
        return
    watch.parts = True
    try:
        yield
    finally:
        watch.parts = False


@contextmanager
def holding() -> Iterator[None]:
    """Let Ctrl-C wait until this is over: around short work that cannot stop half-way."""
    watch = _watching()
    if watch is None:
        yield
        return
    before, watch.held = watch.held, True
    try:
        yield
    finally:
        watch.held = before


def next_size(size: int, seconds: float, most: int) -> int:
    """Return how large the next piece of a long call is; pieces grow until they take as long as they may.

    Arguments:
        size: of the last piece.
        seconds: how long it took; the first may have been compiled.
        most: beyond which none is of use.

    >>> next_size(100, 0.01, 10_000), next_size(100, 1e-9, 10_000), next_size(100, 1e-9, 999)
    (1000, 6400, 999)
    """
    return min(int(size * min(max(PIECE_SECONDS / max(seconds, 1e-9), 1.0), 64.0)), most)
