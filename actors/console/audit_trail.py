"""The audit trail as the desks use it: what is asked is written before it is done, and how it ended behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from ...config import MeshError, get_logger
from ...config.bounded_text import bounded, told
from ...messages.audit import Act, NoteAsked, NoteEnded
from ...transport import Principal, Ref

log = get_logger(__name__)

T = TypeVar("T")

AUDITOR = "audit"
NOTE_S = 5.0
"""How long an act waits for its record: a disk that does not answer must not keep anybody from a restart."""
LONGEST_NAME = 200
LONGEST_ERROR = 2_000


class Asking(NamedTuple):
    """Who asks for what."""

    by: Principal
    what: Act
    actor: str = ""
    """Empty for the whole mesh."""


class AuditTrail:
    """Sees to it that acts are written down; those that cannot be are done all the same, and the log tells of them.

    Otherwise nobody could restart or stop anything on a full disk, which is when it is most needed.
    """

    def __init__(self, find: Callable[[str], Ref] | None = None) -> None:
        """Have it written by this node's auditor; without ``find``, on hosts that keep no journal, by the log alone."""
        self._find = find
        self._endings: set[asyncio.Task[None]] = set()

    async def asked(self, asking: Asking) -> int:
        """Return once it is durable that something was asked; 0 where that cannot be written."""
        log.warning("asked from outside", **_fields(asking))
        if self._find is None:
            return 0
        note = NoteAsked(
            by=asking.by.name, role=asking.by.role, what=asking.what, actor=bounded(asking.actor, LONGEST_NAME)
        )
        try:
            return await self._find(AUDITOR).ask(note, timeout_s=NOTE_S)
        except MeshError as error:
            _say_lacking("the audit trail lacks what was asked", error, **_fields(asking))
            return 0

    async def over(
        self, asking: Asking, doing: Callable[[], Coroutine[Any, Any, T]], *, answers_first: bool = False
    ) -> T | None:
        """Do what was asked, and return how it ended once both are written; ``answers_first`` once it has begun.

        Cancelled while it is done, it is done all the same, and its end written.
        """
        number = await self.asked(asking)
        # Tasks of their own: who asked may end over it, and with it the work that it has deferred.
        work = asyncio.create_task(doing(), name=f"{asking.what} {asking.actor}")
        ending = asyncio.create_task(self._write_end(asking, number, work))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        if answers_first:
            return None
        await asyncio.shield(ending)
        return work.result()

    async def _write_end(self, asking: Asking, number: int, work: asyncio.Task[Any]) -> None:
        await asyncio.wait([work])
        if work.cancelled():
            return
        failed = work.exception()
        error = told(failed, LONGEST_ERROR) if failed is not None else ""
        if self._find is None or not number:
            return
        try:
            await self._find(AUDITOR).ask(NoteEnded(number=number, error=error), timeout_s=NOTE_S)
        except MeshError as lacking:
            _say_lacking("the audit trail lacks how it ended", lacking, **_fields(asking), outcome=error or "done")


def _fields(asking: Asking) -> dict[str, str]:
    return {"what": asking.what, "child": asking.actor, "by": asking.by.name}


def _say_lacking(event: str, error: MeshError, **fields: str) -> None:
    log.error(event, **fields, reason=str(error), hint=error.hint)
