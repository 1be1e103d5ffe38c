"""The check of a pipeline before its job is taken: an executor compiles it, since only it knows what it can run."""

from __future__ import annotations

import asyncio

from ...config import MeshError
from ...messages.compute import CompilePipeline
from ...supervisors import Context
from ...transport import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ..errors import NoExecutor
from .scheduling import Scheduling

COMPILE_TIMEOUT_S = 60.0
NO_EXECUTOR_S = 30.0
ANSWER_S = 3.0
"""How long those that were asked may be silent before others are asked as well: they may be paused, or hang."""
AGAIN_S = 1.0
"""The wait before one is asked again that was gone: of a host that is back in the same life nobody hears."""


class PipelineCheck:
    """Finds an executor to compile with, or waits for one."""

    def __init__(self, context: Context, scheduling: Scheduling) -> None:
        """Ask by way of ``context`` one of the executors that ``scheduling`` knows."""
        self._context = context
        self._some_executor = scheduling.some_executor
        self._up: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def executor_up(self) -> None:
        """Let who waits for an executor look again."""
        self._up.set_result("")
        self._up = asyncio.get_running_loop().create_future()

    async def compile(self, request: CompilePipeline) -> str:
        """The pipeline as its executor names it; others are asked if one dies over it, or does not answer.

        Raises:
            NoExecutor: none is up, or comes up in time; or none of those that are up answers.
            AskFailed: the pipeline does not compile; it says everything that is wrong with it.
            MailboxFull: none that is up has room for it.
        """
        asks: dict[asyncio.Future[str], str] = {}
        try:
            return await self._first_answer(request, asks)
        finally:
            for ask in asks:
                if not ask.cancel() and not ask.cancelled():
                    # Another answer was taken, whatever this one is.
                    ask.exception()

    async def _first_answer(self, request: CompilePipeline, asks: dict[asyncio.Future[str], str]) -> str:
        until = self._context.now() + NO_EXECUTOR_S
        gone: dict[str, float] = {}
        silent: dict[str, MeshError] = {}
        up = self._up
        while True:
            if up.done():
                up = self._up
                gone.clear()
            now = self._context.now()
            gone = {executor: since for executor, since in gone.items() if now < since + AGAIN_S}
            left_s = until - now
            # Each time as many again: of however many that are silent, one that is not is soon found.
            for _ in range(max(1, len(asks)) if left_s > 0 else 0):
                executor = self._some_executor(but={*gone, *silent, *asks.values()})
                if executor is not None:
                    ask = self._context.find(executor).ask(request, timeout_s=COMPILE_TIMEOUT_S)
                    asks[asyncio.ensure_future(ask)] = executor
            if not asks and (silent or left_s <= 0):
                raise _nobody(silent)
            done, _ = await asyncio.wait(asks or {up: ""}, timeout=ANSWER_S if asks else min(left_s, AGAIN_S))
            for ask in asks.keys() & done:
                executor = asks.pop(ask)
                try:
                    return ask.result()
                except (PeerGone, ActorUnknown):
                    gone[executor] = self._context.now()
                except (AskTimedOut, MailboxFull) as error:
                    silent[executor] = error


def _nobody(silent: dict[str, MeshError]) -> MeshError:
    """Why no executor has checked a pipeline, ``silent`` being those that are up."""
    if not silent:
        return NoExecutor(
            f"no executor has come up within {NO_EXECUTOR_S:g} s", hint="hcs-mesh ps shows why; hcs-mesh doctor checks"
        )
    full = next((error for error in silent.values() if isinstance(error, MailboxFull)), None)
    return full or NoExecutor(
        f"no executor that is up has answered within {COMPILE_TIMEOUT_S:g} s: {', '.join(sorted(silent))}",
        hint="hcs-mesh ps shows which are paused, and which are busy; hcs-mesh resume NAME lets a paused one go on",
    )
