"""The check of a pipeline before its job is taken: an executor compiles it, since only it knows what it can run."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...messages.compute import CompilePipeline
from ...supervisors import Context
from ...transport import ActorUnknown, PeerGone
from ..errors import NoExecutor
from .scheduling import Scheduling

COMPILE_TIMEOUT_S = 60.0
NO_EXECUTOR_S = 30.0


class PipelineCheck:
    """Finds an executor to compile with, or waits for one."""

    def __init__(self, context: Context, scheduling: Scheduling) -> None:
        """Ask by way of ``context`` one of the executors that ``scheduling`` knows."""
        self._context = context
        self._some_executor = scheduling.some_executor
        self._up = asyncio.Event()

    def executor_up(self) -> None:
        """Let who waits for an executor look again."""
        self._up.set()
        self._up = asyncio.Event()

    async def compile(self, request: CompilePipeline) -> str:
        """The pipeline as its executor names it; another executor is asked if one dies over it.

        Raises:
            NoExecutor: none is up, or comes up in time.
            AskFailed: the pipeline does not compile; it says everything that is wrong with it.
            AskTimedOut: an executor took too long.
        """
        until = self._context.now() + NO_EXECUTOR_S
        dead: set[str] = set()
        while self._context.now() < until:
            up = self._up
            executor = self._some_executor(but=dead)
            if executor is None:
                # The loop's own condition says that the time is over.
                with suppress(TimeoutError):
                    await asyncio.wait_for(up.wait(), until - self._context.now())
                dead.clear()
                continue
            try:
                return await self._context.find(executor).ask(request, timeout_s=COMPILE_TIMEOUT_S)
            except (PeerGone, ActorUnknown):
                dead.add(executor)
        raise NoExecutor(
            f"no executor has come up within {NO_EXECUTOR_S:g} s", hint="hcs-mesh ps shows why; hcs-mesh doctor checks"
        )
