"""Tracing: compile the user's own Python update rules, which change attributes of plain objects, into JAX."""

from recurra.tracing.ahead import table
from recurra.tracing.asking import ask, session_of
from recurra.tracing.boxes import echoing, packed
from recurra.tracing.escapes import Untraceable, refuse
from recurra.tracing.leaves import Body
from recurra.tracing.randomness import Addressed
from recurra.tracing.smooth import Smooth
from recurra.tracing.tracer import Traced, trace
from recurra.tracing.watching import Access, memory_links, named_slots, watch
from recurra.tracing.writes import joined

__all__ = ["Access", "Addressed", "Body", "Smooth", "Traced", "Untraceable", "ask", "echoing", "joined", "memory_links",
           "named_slots", "packed", "refuse", "session_of", "table", "trace", "watch"]  # fmt: skip
