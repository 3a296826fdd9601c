"""How long an import takes."""

from __future__ import annotations

TITLE = "Import"
TEXT = "In a fresh process, with files warm in memory. `import recurra` loads the rest when it is first used."
NAME, USE, PEER = (
    "fresh process: `import recurra`",
    "fresh process: `from recurra import CircuitTemplate, simulate`",
    "fresh process: `import pyrates` (1.2.3)",
)
GROUPS = [[NAME, USE, PEER]]


def ours():
    """Make the tasks of our side."""

    def bare():
        import recurra  # noqa: F401

    def use():
        from recurra import CircuitTemplate, simulate  # noqa: F401

    return {NAME: bare, USE: use}


def peer():
    """Make the tasks of the other side."""

    def bare():
        import pyrates  # noqa: F401

    return {PEER: bare}


def agree(values):
    """There is nothing to compare."""
    return []
