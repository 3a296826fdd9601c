"""What all readers of files share: the file is a file, its size is bounded, and whatever goes wrong is one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recurra.errors import RecurraError, StoreError, cut

MAX_BYTES = 2_000_000_000  # of numbers that a file of another format may unpack to
FREE_BYTES = 64_000_000  # that any file may unpack to
MAX_RATIO = 1100  # zlib packs zeros 1,030 times; what claims more is made up
_LONGEST = 300


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, cut to a readable length, or its kind if it has no text.

    >>> reason(ValueError("odd\\nand more")), reason(MemoryError())
    ('odd', 'MemoryError')
    """
    lines = str(error).strip().splitlines()
    if isinstance(error, KeyError) and not isinstance(error, RecurraError):
        lines = [f"{lines[0]} is missing"]
    return cut(lines[0], _LONGEST) if lines else type(error).__name__


@contextmanager
def refusing(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged or foreign file makes the code inside do into one error.

    Arguments:
        path: the file, for the message.
        what: what is wrong then: `"not a complete network"`.

    Raises:
        StoreError: the code inside raised an error of any kind; its first line is in the message.

    >>> with refusing("a.npz", "not a complete network"):
    ...     {}["weights"]
    Traceback (most recent call last):
        ...
    recurra.errors.StoreError: a.npz: not a complete network ('weights' is missing).
    """
    try:
        yield
    except Exception as error:  # a file may hold anything: KeyError, MemoryError and RecursionError among the rest
        text = reason(error)
        if isinstance(error, StoreError) and text.startswith(str(path)):
            raise
        raise StoreError(f"{path}: {what} ({text.rstrip('.')}).") from None


def find_file(path: str | Path) -> Path:
    """Return the path of a regular file: no folder, no device, no pipe.

    Raises:
        StoreError: there is none.
    """
    try:
        found = Path(path)
        if found.is_file():
            return found
        what = "not a file" if found.exists() else "no such file"
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{cut(str(path), _LONGEST)}: no such file ({reason(error)}).") from None
    raise StoreError(f"{path}: {what}.")


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
        StoreError: there is no such file, it cannot be read, or it is larger.
    """
    found = find_file(path)
    try:
        with found.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({reason(error)}).") from None
    if len(data) > most:
        raise StoreError(f"{path}: larger than {most / 1e6:.0f} MB, which is more than is read.")
    return data


def allowance(size: int) -> int:
    """Return how many bytes of numbers a file of this size may unpack to."""
    return min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * size))
