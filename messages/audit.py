"""The conversation with the audit trail: what somebody asked for, and how it ended."""

from __future__ import annotations

from typing import Literal

from ..transport.messages import Request, Role

Act = Literal["restart", "pause", "resume", "stop"]
Outcome = Literal["done", "failed", "begun"]
"""Of the stop of the whole mesh, which ends who keeps the trail, it is known here that it was begun."""


class NoteAsked(Request[None], frozen=True, kw_only=True, tag="audit.note_asked"):
    """Have it written who asked for what; the answer comes once it is durable.

    Said again under the same ``key`` it is the same act. ``actor`` is empty for what is asked of the whole mesh.
    """

    key: str
    by: str
    role: Role
    what: Act
    actor: str = ""


class NoteEnded(Request[bool], frozen=True, kw_only=True, tag="audit.note_ended"):
    """Have it written how it ended; the answer is whether the trail knows that it was asked."""

    key: str
    outcome: Outcome
    error: str = ""
