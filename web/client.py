"""What the web pages need of a running mesh; ``hcs_mesh.Client`` answers to it."""

from __future__ import annotations

from typing import Protocol

from ..messages.compute import JobStatus, JobSummary
from ..messages.control import ActorRow, MeshStatus
from ..plates.model import Plate, PlateSummary
from ..plates.survey import PlateSurvey


class MeshClient(Protocol):
    """Asks a running mesh; what cannot be answered is a MeshError with its hint."""

    async def status(self) -> MeshStatus:
        """What the mesh is, and since when it is up."""
        ...

    async def tree(self) -> tuple[ActorRow, ...]:
        """The supervision tree, parents before children."""
        ...

    async def plates(self) -> tuple[PlateSummary, ...]:
        """One line for each plate."""
        ...

    async def survey_plates(self) -> PlateSurvey:
        """The plates that can be listed, and the places that cannot list theirs."""
        ...

    async def plate(self, plate_id: int) -> Plate:
        """What one plate holds."""
        ...

    async def jobs(self) -> tuple[JobSummary, ...]:
        """The newest jobs, the newest first."""
        ...

    async def job(self, job: str) -> JobStatus:
        """One job with the state of its wells."""
        ...
