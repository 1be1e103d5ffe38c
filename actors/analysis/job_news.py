"""The news of jobs, told to viewers by way of the publisher; no analysis waits for it."""

from __future__ import annotations

from collections.abc import Callable

from ...config import get_logger
from ...messages.frames import JobStateChanged, PlanesCommitted, WellStateChanged
from ...messages.planes import acquired_planes, result_planes
from ...plates.model import Plate
from ...plates.repository import StoredResult
from ...transport import ActorUnknown, Event, MailboxFull, Ref

log = get_logger(__name__)


class JobNews:
    """Tells the publisher what becomes of jobs and wells."""

    def __init__(self, find: Callable[[str], Ref]) -> None:
        """Tell whoever ``find`` names the publisher just then."""
        self._find = find
        self.n_unheard = 0

    def tell(self, event: Event) -> None:
        """Tell one event; nobody may be there to hear it."""
        try:
            self._find("publisher").tell(event)
        except (MailboxFull, ActorUnknown) as error:
            # Analysis does not depend on viewing: the results are in the repository all the same.
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
