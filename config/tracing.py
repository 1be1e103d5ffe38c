"""Which message the work at hand belongs to, and whose work it is: carried along by the context of a task."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

TRACE: ContextVar[str] = ContextVar("hcs_mesh_trace", default="")
"""The id of the message from outside that led to this work; empty where nobody follows it."""
ACTOR: ContextVar[str] = ContextVar("hcs_mesh_actor", default="")
"""The actor whose work this is."""

followed = TRACE.get
"""Whether somebody follows the work at hand: the id, or nothing."""

MAX_TRACE = 100
"""Characters of what travels of a trace; a peer that sends more is not followed."""


def carried() -> str:
    """What a message takes along: the id and the sender, or nothing."""
    trace = TRACE.get()
    return f"{trace} {ACTOR.get()}" if trace else ""


def new_trace(sender: str) -> str:
    """What a message takes along with which a trace begins."""
    return f"{secrets.token_hex(6)} {sender}"
