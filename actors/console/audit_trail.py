"""The audit trail as the desks use it: what is asked is written before it is done, and how it ended behind it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from ...config import MeshError, get_logger
from ...config.bounded_text import bounded, told
from ...messages.audit import Act, NoteAsked, NoteEnded, Outcome
from ...transport import PeerGone, Principal, Ref, Request

log = get_logger(__name__)

T = TypeVar("T")

AUDITOR = "audit"
NOTE_S = 5.0
"""How long an act waits for its record: a disk that does not answer must not keep anybody from a restart."""
AGAIN_S = 0.05
"""The wait before an auditor that ended is told again, in its next life."""
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

    async def over(
        self, asking: Asking, doing: Callable[[], Coroutine[Any, Any, T]], *, answers_first: bool = False
    ) -> T | None:
        """Do what was asked, and return how it ended once both are written; ``answers_first`` once it has begun.

        Cancelled while it is done, it is done all the same, and its end written.
        """
        log.warning("asked from outside", **_fields(asking))
        key = uuid.uuid4().hex
        await self._write_asked(asking, key)
        # Tasks of their own: who asked may end over it, and with it the work that it has deferred.
        work = asyncio.create_task(doing(), name=f"{asking.what} {asking.actor}")
        ending = asyncio.create_task(self._write_end(asking, key, work))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        if answers_first:
            return None
        await asyncio.shield(ending)
        return work.result()

    async def _write_asked(self, asking: Asking, key: str) -> None:
        actor = bounded(asking.actor, LONGEST_NAME)
        note = NoteAsked(key=key, by=asking.by.name, role=asking.by.role, what=asking.what, actor=actor)
        try:
            await self._write(note)
        except MeshError as error:
            # It may be there all the same: a disk that is slow has it later.
            _say_lacking("the audit trail may lack what was asked", error, **_fields(asking))

    async def _write_end(self, asking: Asking, key: str, work: asyncio.Task[Any]) -> None:
        await asyncio.wait([work])
        if work.cancelled():
            return
        failed = work.exception()
        error = told(failed, LONGEST_ERROR) if failed is not None else ""
        outcome: Outcome = "failed" if error else "begun" if asking.what == "stop" else "done"
        try:
            await self._write(NoteEnded(key=key, outcome=outcome, error=error))
        except MeshError as lacking:
            _say_lacking("the audit trail may lack how it ended", lacking, **_fields(asking), outcome=error or outcome)

    async def _write(self, note: Request[Any]) -> None:
        """Have the auditor write it, in its next life if this one ends over it: who has it restarted is written, too.

        Raises:
            MeshError: it may not be written.
        """
        if self._find is None:
            return
        loop = asyncio.get_running_loop()
        until_s = loop.time() + NOTE_S
        while True:
            try:
                await self._find(AUDITOR).ask(note, timeout_s=until_s - loop.time())
            except PeerGone:
                if loop.time() + AGAIN_S >= until_s:
                    raise
                await asyncio.sleep(AGAIN_S)
            else:
                return


def _fields(asking: Asking) -> dict[str, str]:
    return {"what": asking.what, "child": asking.actor, "by": asking.by.name}


def _say_lacking(event: str, error: MeshError, **fields: str) -> None:
    log.error(event, **fields, reason=str(error), hint=error.hint)
