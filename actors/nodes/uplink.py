"""The uplink: joins this node to a mesh on another host, and joins again whenever the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...config import MeshError, get_logger
from ...messages.control import ActorRow
from ...messages.joining import AskTerms, EndExecutor, JoinMesh, JoinTerms, LeaveMesh, NodeBeat, RunningExecutor
from ...supervisors import Actor
from ...transport import AskFailed, Dialer, KeyRefused, Link, NotPermitted, TransportError
from .standing import Standing

log = get_logger(__name__)

DESK = "nodes"
"""The actor that lets nodes in."""
ASK_S = 3.0
AGAIN_S = 0.5
LEAVE_S = 1.0


class NotMounted(MeshError, FileNotFoundError):
    """The mesh's data folder is not there, or cannot be written, on this host."""


async def answer_terms(terms: JoinTerms) -> str:
    """Show that this host shares the mesh's data folder: read the token, write it back; returns it.

    Raises:
        NotMounted: the folder or the token is not there, or the folder cannot be written.
    """
    data = Path(terms.data)

    def answer() -> str:
        try:
            token = (data / terms.token_file).read_text(encoding="ascii")
            (data / terms.answer_file).write_text(token, encoding="ascii")
        except OSError as error:
            raise NotMounted(
                f"the mesh's data folder {data} is not here as it is on its own host: {error.strerror}"
                f" ({error.filename})",
                hint=f"mount it at {data} on this host, writable for this user; executors read planes and write "
                "results there",
            ) from error
        return token

    return await asyncio.to_thread(answer)


class Uplink(Actor[EndExecutor]):
    """Keeps this node joined. A new connection each time: an old one may hang half open behind a partition."""

    def __init__(
        self,
        dial: Callable[[], Dialer],
        running: Callable[[], tuple[tuple[str, int], ...]],
        end: Callable[[str, str], None],
        rows: Callable[[], tuple[ActorRow, ...]] = tuple,
        n_reports: Callable[[], int] = int,
        life: str = "",
        standing: Standing | None = None,
    ) -> None:
        """Dial by ``dial``, and tell which executors are ``running`` and how the ``rows`` of this node's tree stand.

        ``end`` ends an executor, charged to nobody; ``n_reports`` counts what happened to the node's children, of
        which the mesh hears at once. ``life`` is the process's own, and the same for every uplink that it has;
        ``standing`` is this uplink's, by which others see whether it has joined.
        """
        self._dial = dial
        self._running = running
        self._end = end
        self._rows = rows
        self._n_reports = n_reports
        self._life = life
        self._link: Link | None = None
        self._standing = standing or Standing()
        self._n_joins = 0
        self._refusal, self._n_refusals = "", 0

    async def started(self) -> None:
        """Join."""
        self.context.spawn(self._stay_joined())

    async def stopping(self) -> None:
        """Say goodbye, so that nobody waits for this node to come back."""
        if self._link is not None:
            # A mesh that is away learns it by the silence.
            with suppress(TransportError):
                await self._link.ask(DESK, LeaveMesh(), timeout_s=LEAVE_S)

    async def receive(self, message: EndExecutor) -> None:
        """End an executor that the mesh wants ended."""
        self._end(message.executor, message.why)

    def statistics(self) -> dict[str, int | float | str]:
        """Whether this node is joined, and how often it has been."""
        state = self._standing.state
        return {"state": state, "joins": self._n_joins, "busy": "" if self._link is not None else state}

    async def _stay_joined(self) -> None:
        while True:
            try:
                await self._one_session()
                reason = "the mesh knows this node no more"
            except MeshError as error:
                reason = str(error)
                if isinstance(error, KeyRefused | NotPermitted | NotMounted | AskFailed):
                    # Somebody has to mend this; a break mends itself.
                    self._tell_refusal(reason, error.hint)
            self._standing.leave(f"joining again: {reason}")
            # Deliberate: a mesh that is away does not say when it is back.
            await asyncio.sleep(AGAIN_S)

    def _tell_refusal(self, reason: str, hint: str) -> None:
        """Log a refusal when it is new, and then once for each power of two: it may last for weeks."""
        self._n_refusals = self._n_refusals + 1 if reason == self._refusal else 1
        self._refusal = reason
        if self._n_refusals & (self._n_refusals - 1) == 0:
            log.warning("cannot join the mesh", reason=reason, hint=hint, so_far=self._n_refusals)

    async def _one_session(self) -> None:
        dialer = self._dial()
        try:
            await self._join_over(dialer.link)
        finally:
            if self._link is not None:
                self._link = None
                self._standing.leave("not joined any more")
            dialer.close()

    async def _join_over(self, link: Link) -> None:
        terms = await link.ask(DESK, AskTerms(), timeout_s=ASK_S)
        token = await answer_terms(terms)
        await link.ask(DESK, JoinMesh(token=token, life=self._life, executors=self._executors()), timeout_s=ASK_S)
        self._link = link
        self._n_joins += 1
        self._standing.join(terms.node)
        self._refusal = ""
        log.info("joined the mesh", node=terms.node, data=terms.data)
        told = self._executors(), self._n_reports()
        until_s = 0.0
        while True:
            now = executors, _ = self._executors(), self._n_reports()
            if now != told or self.context.now() >= until_s:
                if not await link.ask(DESK, NodeBeat(executors=executors, rows=self._rows()), timeout_s=ASK_S):
                    return
                told, until_s = now, self.context.now() + terms.beat_s
            await asyncio.sleep(min(0.1, terms.beat_s))

    def _executors(self) -> tuple[RunningExecutor, ...]:
        return tuple(RunningExecutor(executor=name, pid=pid) for name, pid in self._running())
