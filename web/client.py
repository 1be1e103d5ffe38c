"""What the web pages need of a running mesh; the mesh's own client answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..plates.model import Plate, PlateSummary


class MeshClient(Protocol):
    """Asks a running mesh.

    A question about a plate or job that does not exist raises a MeshError that is also a LookupError; a mesh
    that is not up, one that is also a ConnectionError; a mesh that is too slow, one that is also a TimeoutError.
    """

    async def status(self) -> msgspec.Struct:
        """Whether the mesh is up, and since when."""
        ...

    async def ps(self) -> Sequence[msgspec.Struct]:
        """The supervision tree, one entry for each actor, process and supervisor."""
        ...

    async def plates(self) -> Sequence[PlateSummary]:
        """One line for each plate."""
        ...

    async def plate(self, plate_id: int) -> Plate:
        """What one plate holds."""
        ...

    async def jobs(self) -> Sequence[msgspec.Struct]:
        """One line for each job."""
        ...

    async def job(self, job_id: str) -> msgspec.Struct:
        """One job with the state of its wells."""
        ...
