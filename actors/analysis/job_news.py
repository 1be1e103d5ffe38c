"""The news of jobs, told to viewers by way of the publisher; no analysis waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ...config import get_logger
from ...messages.frames import JobStateChanged, NewsMissed, PlanesCommitted, WellStateChanged
from ...messages.planes import acquired_planes, result_planes
from ...plates.model import Plate
from ...plates.repository import StoredResult
from ...transport import ActorUnknown, Event, MailboxFull, Ref

log = get_logger(__name__)

PUBLISHER = "publisher"
AGAIN_S = 0.5
"""The wait before a publisher that had no room is told again that it missed something."""


class JobNews:
    """Tells the publisher what becomes of jobs and wells."""

    def __init__(self, find: Callable[[str], Ref], spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """Tell whoever ``find`` names the publisher just then; what it had no room for is made up for by ``spawn``."""
        self._find = find
        self._spawn = spawn
        self._makes_up = False
        self.n_unheard = 0

    def tell(self, event: Event) -> None:
        """Tell one event; nobody may be there to hear it.

        Analysis does not depend on viewing: the results are in the repository all the same.
        """
        try:
            self._find(PUBLISHER).tell(event)
        except ActorUnknown as error:
            # Whoever attaches to its next life is shown everything.
            self._note_unheard(event, error)
        except MailboxFull as error:
            self._note_unheard(event, error)
            if not self._makes_up:
                self._makes_up = True
                self._spawn(self._make_up())

    async def _make_up(self) -> None:
        """Have viewers shown what the publisher had no room for: once it has, it is told to look everything up."""
        while self._makes_up:
            # Deliberate: a mailbox does not say when it has room again.
            await asyncio.sleep(AGAIN_S)
            with suppress(MailboxFull):  # It is told once there is room.
                self._tell_missed()
                self._makes_up = False

    def _tell_missed(self) -> None:
        # One that is gone has no streams, and its next life none that missed anything.
        with suppress(ActorUnknown):
            self._find(PUBLISHER).tell(NewsMissed())

    def _note_unheard(self, event: Event, error: MailboxFull | ActorUnknown) -> None:
        self.n_unheard += 1
        log.warning("viewers will not see this now", what=type(event).__name__, reason=str(error))

    def running(self, job: str, plate: Plate, wells: tuple[str, ...]) -> None:
        """A job has begun, or goes on: its state, and the planes it looks at."""
        self.tell(JobStateChanged(plate_id=plate.id, plate_name=plate.name, job=job, state="running"))
        self.tell(
            PlanesCommitted(plate_id=plate.id, plate_name=plate.name, job=job, planes=acquired_planes(plate, wells))
        )

    def result(self, plate: Plate, result: StoredResult) -> None:
        """A well is done: its planes, and what was found in it."""
        planes = result_planes(result, plate)
        if planes:
            self.tell(PlanesCommitted(plate_id=plate.id, plate_name=plate.name, job=result.job, planes=planes))
        self.tell(
            WellStateChanged(
                plate_id=plate.id,
                job=result.job,
                well=result.well,
                state="done",
                n_objects=result.n_objects,
                measurements=result.measurements,
            )
        )
