"""The door to an executor, on the node that it runs on: asked again after a partition, it computes nothing twice."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, assert_never

from ...messages.compute import CancelWell, CompilePipeline, RunWell
from ...plates.repository import StoredResult
from ...supervisors import Actor
from .remote_executor import COMPILE_TIMEOUT_S, WELL_TIMEOUT_S

N_KEPT = 256
"""Results kept for a mesh that has not heard of them."""

Inbox = CompilePipeline | RunWell | CancelWell
Key = tuple[str, str, int, str]


class ExecutorDoor(Actor[Inbox]):
    """Hands what the mesh asks on to the executor, and keeps its results in case the answer is lost."""

    def __init__(self, executor: str) -> None:
        self._executor = executor
        self._results: OrderedDict[Key, StoredResult] = OrderedDict()

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case CompilePipeline():
                return self.defer(self._compile(message))
            case RunWell():
                # The folder tells one mesh's attempt from another's of the same number.
                key = (message.job, message.well, message.attempt, message.folder)
                kept = self._results.get(key)
                return kept if kept is not None else self.defer_once(key, lambda _: self._run(message, key))
            case CancelWell():
                self.context.find(self._executor).tell(message)
                return None
            case _:
                assert_never(message)

    async def _compile(self, message: CompilePipeline) -> str:
        return await self.context.find(self._executor).ask(message, timeout_s=COMPILE_TIMEOUT_S)

    async def _run(self, message: RunWell, key: Key) -> StoredResult:
        result = await self.context.find(self._executor).ask(message, timeout_s=WELL_TIMEOUT_S)
        self._results[key] = result
        while len(self._results) > N_KEPT:
            self._results.popitem(last=False)
        return result
