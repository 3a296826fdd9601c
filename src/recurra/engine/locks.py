"""One writer at a time: locks that the system takes back when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path
from typing import Any

from recurra.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FAR = 1 << 30
# Descriptors of locked files. A child that was forked has copies of them, which would hold the locks after its parent's
# death; nothing is computed with them.
_held: set[int] = set()


def _let_go() -> None:
    for handle in sorted(_held):
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def try_lock(handle: int) -> bool | None:
    """Lock an open file until it is closed or the process ends; return `None` where the file system has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(handle, FAR, os.SEEK_SET)  # what is locked nobody else can read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    _held.add(handle)
    return True


def unlock(handle: int) -> None:
    """Close a locked file, if it is still open."""
    _held.discard(handle)
    with contextlib.suppress(OSError):
        os.close(handle)


class Lock:
    """Hold a lock file beside something that is written.

    It is a lock of the system, so a process that is killed leaves it open. Where the file system has none (some network
    drives) the file says who holds it; of a process of this machine that is dead it is taken over.

    Arguments:
        path: what is written; the lock is `path.lock`.

    Raises:
        StoreError: somebody else writes, or the file cannot be made.
    """

    def __init__(self, path: Path):
        self._what, self._handle = path, -1
        self.path = path.with_name(f"{path.name}.lock")
        self._handle = self._open()

    def _open(self) -> int:
        while True:
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise StoreError(f"{self._what}: cannot write there ({error.strerror}).") from None
            locked = try_lock(handle)
            if locked is False:
                told = _owner(handle)
                os.close(handle)
                raise StoreError(self._taken(told))
            if locked is None:
                self._take_by_name(handle)
            if _is_at(handle, self.path):  # else its holder has just removed it
                break
            unlock(handle)
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, json.dumps({"process": os.getpid(), "machine": platform.node()}).encode())
        return handle

    def _take_by_name(self, handle: int) -> None:
        told = _owner(handle)
        if told and (told.get("machine") != platform.node() or _is_alive(told.get("process"))):
            os.close(handle)
            raise StoreError(f"{self._taken(told)} If that process is no more, delete {self.path}.")

    def _taken(self, told: dict[str, Any]) -> str:
        who = f" (process {told['process']} on {told['machine']})" if {"process", "machine"} <= told.keys() else ""
        return (
            f"{self._what}: another call writes there at this moment{who}. Wait for it, or choose another store=;"
            " two calls never share one."
        )

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let others write; the lock file is removed."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                if fcntl is not None:
                    os.unlink(self.path)
            unlock(self._handle)
            self._handle = -1


def _owner(handle: int) -> dict[str, Any]:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        found = json.loads(os.read(handle, 1000))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _is_alive(process: object) -> bool:
    if os.name == "nt" or not isinstance(process, int):  # there, asking would be a signal
        return os.name == "nt"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
