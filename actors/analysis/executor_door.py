"""The door to an executor, on the node that it runs on: asked again after a partition, it answers as it has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, assert_never

from ...messages.compute import CancelWell, CompilePipeline, RunWell
from ...plates.repository import StoredResult
from ...supervisors import Actor
from ...transport import PeerGone
from .remote_executor import COMPILE_TIMEOUT_S, WELL_TIMEOUT_S

N_KEPT = 256
"""Results, and deaths over a well, kept for a mesh that has not heard of them."""

Inbox = CompilePipeline | RunWell | CancelWell
Key = tuple[str, str, int, str]


class ExecutorDoor(Actor[Inbox]):
    """Hands what the mesh asks on to the executor, and keeps what came of it in case the answer is lost."""

    def __init__(self, executor: str) -> None:
        self._executor = executor
        self._kept: OrderedDict[Key, StoredResult | PeerGone] = OrderedDict()

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case CompilePipeline():
                return self.defer(self._compile(message))
            case RunWell():
                # The folder tells one mesh's attempt from another's of the same number.
                key = (message.job, message.well, message.attempt, message.folder)
                kept = self._kept.get(key)
                if isinstance(kept, PeerGone):
                    # Not tried again: a well that takes its executor down and breaks the link would never be charged.
                    # Another each time: raised again it grows by a traceback, and keeps all that this leads to.
                    raise PeerGone(str(kept), hint=kept.hint)
                return kept if kept is not None else self.defer_once(key, lambda _: self._run(message, key))
            case CancelWell():
                self.context.find(self._executor).tell(message)
                return None
            case _:
                assert_never(message)

    async def _compile(self, message: CompilePipeline) -> str:
        return await self.context.find(self._executor).ask(message, timeout_s=COMPILE_TIMEOUT_S)

    async def _run(self, message: RunWell, key: Key) -> StoredResult:
        try:
            result = await self.context.find(self._executor).ask(message, timeout_s=WELL_TIMEOUT_S)
        except PeerGone as death:
            self._keep(key, PeerGone(str(death), hint=death.hint))
            raise
        self._keep(key, result)
        return result

    def _keep(self, key: Key, outcome: StoredResult | PeerGone) -> None:
        self._kept[key] = outcome
        while len(self._kept) > N_KEPT:
            self._kept.popitem(last=False)
