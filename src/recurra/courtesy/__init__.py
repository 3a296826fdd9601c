"""What is owed to people at a prompt: short reprs, near names for keywords, a word where a result is thrown away."""

from recurra.courtesy.calls import guard, returns_changed
from recurra.courtesy.reprs import brief
from recurra.courtesy.warning import warn

__all__ = ["brief", "guard", "returns_changed", "warn"]
