"""What people are told of jobs: where plates are private, of another's nothing to who may not see its plate."""

from __future__ import annotations

from collections.abc import Callable

from ...config import MeshError
from ...messages.compute import AwaitJob, JobStatus, JobSummary, ListJobs
from ...messages.metadata import GetPlate
from ...supervisors import Context
from ...transport import Principal
from ..errors import JobNotFound
from ..ledger import Ledger
from ..ownership import insist_theirs, is_theirs
from .job_book import JobBook
from .job_records import Record


class JobAnswers:
    """Answers from the book, each person for what is theirs to see."""

    def __init__(
        self, context: Context, book: JobBook, ledger: Ledger[Record], is_private: Callable[[int], bool]
    ) -> None:
        """``is_private`` says of a plate by its number whether its place decides for each person who sees it."""
        self._context = context
        self._book = book
        self._ledger = ledger
        self._is_private = is_private

    def at_once(self, job: str, asker: Principal) -> JobStatus | None:
        """How a job stands; None where it has to be asked first whether this person may see its plate.

        Raises:
            JobNotFound: there is none of this id.
        """
        status = self.known(job)
        return status if self._is_open(status.owner, status.plate_id, asker) else None

    async def status(self, job: str, asker: Principal) -> JobStatus:
        """How a job stands.

        Raises:
            JobNotFound: there is none of this id, or none for this person.
        """
        status = self.at_once(job, asker)
        if status is None:
            await self._insist_seen(self.known(job), asker)
        return self.known(job)

    async def awaited(self, message: AwaitJob, asker: Principal) -> JobStatus:
        """How it stands once it has changed, or the time is over.

        Raises:
            JobNotFound: there is none of this id, or none for this person.
        """
        status = await self.status(message.job, asker)
        if status.revision != message.revision:
            return status
        await self._ledger.changes.wait(message.job, message.wait_s)
        return await self.status(message.job, asker)

    def listed(self, message: ListJobs, asker: Principal) -> tuple[JobSummary, ...]:
        """The newest jobs; of private plates one's own alone: no server is asked about each line of a list."""
        return self._book.listed(
            limit=message.limit,
            before=message.before,
            state=message.state,
            shown=lambda owner, plate_id: self._is_open(owner, plate_id, asker),
        )

    async def decided_by(self, job: str, asker: Principal) -> JobStatus:
        """How a job stands about which somebody may decide.

        Raises:
            JobNotFound: there is none of this id, or none for this person.
            NotTheirs: only its owner or an administrator may.
        """
        status = await self.status(job, asker)
        insist_theirs(status.job, status.owner, asker)
        return status

    def known(self, job: str) -> JobStatus:
        """How a job stands, whoever asks.

        Raises:
            JobNotFound: there is none of this id.
        """
        status = self._book.status(job)
        if status is None:
            raise _not_found(job)
        return status

    def _is_open(self, owner: str, plate_id: int, asker: Principal) -> bool:
        return is_theirs(owner, asker) or not self._is_private(plate_id)

    async def _insist_seen(self, status: JobStatus, asker: Principal) -> None:
        try:
            await self._context.find("metadata").ask(GetPlate(plate_id=status.plate_id, requester=asker.name))
        except MeshError as error:
            # Also where the server cannot say it now: nothing is told of what may be private.
            raise _not_found(status.job) from error


def _not_found(job: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job}", hint="hcs-mesh jobs --all lists every one that is still known")
