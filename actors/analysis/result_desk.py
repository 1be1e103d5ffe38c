"""The desk of results: has the files of finished wells brought back here that were let go of to make room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import msgspec

from ...messages.compute import FetchWell, GetJob, WellStatus
from ...plates.local.errors import ResultNotFound
from ...plates.repository import StoredResult
from ...supervisors import Actor
from ...transport import Principal
from ..threads import Threads

Inbox = FetchWell


class ResultDesk(Actor[Inbox]):
    """Answers with a folder that holds a well's files, as the person who asks may read them where they are kept."""

    def __init__(self, fetch: Callable[[int, str, str, str], StoredResult]) -> None:
        """``fetch`` gets a well by plate, job, well and person; it blocks, and is called in threads."""
        self._fetch = fetch
        # Few: each brings whole wells, and others use the same connections meanwhile.
        self._threads = Threads("results", n_threads=2)
        self._n_fetched = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case FetchWell():
                return self.defer(self._well(message, self.context.principal))
            case _:
                assert_never(message)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    def statistics(self) -> dict[str, int | float | str]:
        """How many wells were asked for."""
        return {"fetched": self._n_fetched}

    async def _well(self, message: FetchWell, asker: Principal) -> WellStatus:
        job = await self.context.find("scheduler").ask(GetJob(job=message.job, asker=asker))
        found = next((one for one in job.wells if one.well == message.well and one.state == "done"), None)
        if found is None:
            raise ResultNotFound(
                f"{job.job} has no finished result for {f'well {message.well}' if message.well else 'the image'}",
                hint=f"hcs-mesh jobs {job.job} shows its wells",
            )
        stored = await self._threads.run(lambda: self._fetch(job.plate_id, job.job, message.well, asker.name))
        self._n_fetched += 1
        return msgspec.structs.replace(found, folder=stored.folder)
