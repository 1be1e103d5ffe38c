"""The conversation with the audit trail: what somebody asked for, and how it ended."""

from __future__ import annotations

from typing import Literal

from ..transport.messages import Request, Role

Act = Literal["restart", "pause", "resume", "stop"]


class NoteAsked(Request[int], frozen=True, kw_only=True, tag="audit.note_asked"):
    """Have it written who asked for what; the answer is its number, and comes once it is durable.

    ``actor`` is empty for what is asked of the whole mesh.
    """

    by: str
    role: Role
    what: Act
    actor: str = ""


class NoteEnded(Request[None], frozen=True, kw_only=True, tag="audit.note_ended"):
    """Have it written how it ended; without an error it was done."""

    number: int
    error: str = ""
