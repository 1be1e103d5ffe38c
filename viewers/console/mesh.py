"""What the console needs of a running mesh; ``hcs_mesh.Client`` answers to it."""

from __future__ import annotations

from typing import Protocol

from ...messages.compute import JobStatus, JobSummary
from ...messages.console import ActorDetail, Hop, JournalLine, LogTail
from ...messages.control import ActorRow, MeshStatus
from ...messages.imports import ImportStatus
from ...transport import Principal


class ConsoleMesh(Protocol):
    """Asks a running mesh; what cannot be answered is a MeshError with its hint."""

    async def status(self) -> MeshStatus:
        """What the mesh is."""
        ...

    async def who_am_i(self) -> Principal:
        """Whom the mesh takes this key for."""
        ...

    async def tree(self) -> tuple[ActorRow, ...]:
        """The supervision tree, parents before children."""
        ...

    async def imports(self) -> tuple[ImportStatus, ...]:
        """The newest imports, the newest first."""
        ...

    async def jobs(self) -> tuple[JobSummary, ...]:
        """The newest jobs, the newest first."""
        ...

    async def inspect(self, actor: str) -> ActorDetail:
        """Everything that is known of one name of the tree."""
        ...

    async def tail_log(self, actor: str, *, n_lines: int = 100, since: int = -1) -> LogTail:
        """The last lines of the log that concern one name of the tree."""
        ...

    async def journals(self) -> tuple[str, ...]:
        """The names of the journals that are kept."""
        ...

    async def tail_journal(self, journal: str, *, n_records: int = 100) -> tuple[JournalLine, ...]:
        """The last records of a journal."""
        ...

    async def trace(self, message: str = "") -> tuple[Hop, ...]:
        """The way of a message, or the first hops of the latest."""
        ...

    async def restart(self, actor: str) -> None:
        """Stop one and start it afresh."""
        ...

    async def pause(self, actor: str) -> None:
        """Let an actor's mailbox be unread."""
        ...

    async def resume(self, actor: str) -> None:
        """Let a paused actor read its mailbox again."""
        ...

    async def retry_import(self, import_id: str) -> ImportStatus:
        """Take an import up again."""
        ...

    async def cancel_import(self, import_id: str) -> ImportStatus:
        """Stop an import for good."""
        ...

    async def retry_job(self, job: str) -> str:
        """Run what is not done of a job once more."""
        ...

    async def cancel_job(self, job: str) -> JobStatus:
        """Stop a job."""
        ...
