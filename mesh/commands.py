"""What can be asked of a mesh, whether it is reached through a socket or lives in this process."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Literal

from .asker import PATIENCE_S
from .config import MeshError
from .import_calls import ImportCalls
from .messages.compute import (
    AwaitJob,
    CancelJob,
    FetchWell,
    GetJob,
    JobState,
    JobStatus,
    JobSummary,
    ListJobs,
    SubmitJob,
    WellStatus,
)
from .messages.console import (
    RESTART_S,
    ActorDetail,
    GetTrace,
    Hop,
    InspectActor,
    JournalLine,
    ListJournals,
    LogTail,
    PauseActor,
    RestartActor,
    ResumeActor,
    TailJournal,
    TailLog,
    WhoAmI,
)
from .messages.control import ActorRow, GetStatus, GetTree, MeshStatus, StopMesh
from .messages.listing import LISTED
from .messages.metadata import GetLabels, GetPlate, ListPlates, SurveyPlates
from .messages.notices import ListNotices, MailTried, NoticeStatus, RetryNotices, TryMail
from .messages.omero import HandInSession, SessionHeld, TakeBackSession
from .messages.viewing import ListViewers, ViewerInfo
from .messages.watches import ListWatches, WatchStatus
from .pages import paged
from .plates.labels import Labels
from .plates.local.errors import check_plate_id
from .plates.model import Plate, PlateSummary
from .plates.survey import PlateSurvey
from .transport import Principal

TRY_MAIL_S = 720.0
"""How long a mail server may take over a test mail: ten minutes once it has it, and what comes before."""
FETCH_S = 900.0
"""How long it may take until a well's files are here again: planes by the gigabyte, from a server that others use."""
HAND_IN_S = 120.0
"""How long OMERO may take to say whose a session is."""


class NothingToRetry(MeshError, ValueError):
    """A job is still running, or has done all its wells."""


class Commands(ImportCalls):
    """The calls of a user or embedder, each one ask to one actor."""

    # -- the mesh ---------------------------------------------------------------------------------

    async def status(self) -> MeshStatus:
        """What the mesh is."""
        return await self.ask("control", GetStatus())

    async def tree(self) -> tuple[ActorRow, ...]:
        """Its supervision tree, parents before children."""
        return await self.ask("control", GetTree())

    async def viewers(self) -> tuple[ViewerInfo, ...]:
        """The viewers that are attached."""
        return await self.ask("viewers", ListViewers())

    async def stop(self) -> None:
        """Begin its ordered stop."""
        await self.ask("control", StopMesh())

    # -- its inside -------------------------------------------------------------------------------

    async def who_am_i(self) -> Principal:
        """Whom the mesh takes this key for."""
        return await self.ask("console", WhoAmI())

    async def inspect(self, actor: str) -> ActorDetail:
        """Everything that is known of one name of the tree."""
        return await self.ask("console", InspectActor(actor=actor))

    async def tail_log(self, actor: str, *, n_lines: int = 100, since: int = -1) -> LogTail:
        """The last lines of the log that concern one name of the tree."""
        return await self.ask("console", TailLog(actor=actor, n_lines=n_lines, since=since))

    async def journals(self) -> tuple[str, ...]:
        """The names of the journals that the mesh keeps."""
        return await self.ask("console", ListJournals())

    async def tail_journal(self, journal: str, *, n_records: int = 100) -> tuple[JournalLine, ...]:
        """The last records of a journal."""
        return await self.ask("console", TailJournal(journal=journal, n_records=n_records))

    async def trace(self, message: str = "") -> tuple[Hop, ...]:
        """The way of a message through every process, or the first hops of the latest."""
        return await self.ask("console", GetTrace(trace=message))

    async def restart(self, actor: str) -> None:
        """Stop one and start it afresh; for administrators."""
        await self.ask("console", RestartActor(actor=actor), timeout_s=RESTART_S)

    async def pause(self, actor: str) -> None:
        """Let an actor's mailbox be unread; for administrators."""
        await self.ask("console", PauseActor(actor=actor))

    async def resume(self, actor: str) -> None:
        """Let a paused actor read its mailbox again; for administrators."""
        await self.ask("console", ResumeActor(actor=actor))

    # -- plates (the calls about imports are in import_calls.py) --------------------------------------

    async def plates(self) -> tuple[PlateSummary, ...]:
        """Every plate.

        Raises:
            AskFailed: a place cannot list its plates; ``survey_plates`` answers with those of the others.
        """
        return await self.ask("metadata", ListPlates())

    async def survey_plates(self) -> PlateSurvey:
        """Every plate that can be listed now, and the places that cannot list theirs.

        Raises:
            AskFailed: there is one place alone, and it cannot.
        """
        return await self.ask("metadata", SurveyPlates())

    async def plate(self, plate_id: int) -> Plate:
        """What one plate holds.

        Raises:
            PlateNotFound: no plate can have this id.
        """
        check_plate_id(plate_id)
        return await self.ask("metadata", GetPlate(plate_id=plate_id))

    async def labels(self, plate_id: int) -> Labels:
        """Where a plate belongs, and what people said of it.

        Raises:
            PlateNotFound: no plate can have this id.
        """
        check_plate_id(plate_id)
        return await self.ask("metadata", GetLabels(plate_id=plate_id))

    async def watches(self) -> tuple[WatchStatus, ...]:
        """Every watched folder, in the order of the settings."""
        return await self.ask("watches", ListWatches())

    # -- sessions at OMERO ------------------------------------------------------------------------

    async def hand_in_session(self, session: str, *, user: str = "") -> SessionHeld:
        """Let the mesh act at OMERO in the session of this key: one's own, or ``user``'s for those who may.

        Raises:
            AskFailed: it is over or somebody else's, OMERO cannot be asked, or the mesh has none.
        """
        request = HandInSession(session=session, user=user)
        return await self.ask("logins", request, timeout_s=HAND_IN_S)

    async def take_back_session(self, *, user: str = "") -> bool:
        """Let the mesh act in one's own session no longer; whether it had one."""
        return await self.ask("logins", TakeBackSession(user=user), timeout_s=HAND_IN_S)

    # -- notices ----------------------------------------------------------------------------------

    async def notices(self) -> tuple[NoticeStatus, ...]:
        """Every notice that is kept, oldest first."""
        return await self.ask("notifier", ListNotices())

    async def retry_notices(self, *notice_ids: str) -> tuple[NoticeStatus, ...]:
        """Try again now what waits or has failed: these, or all; for administrators."""
        return await self.ask("notifier", RetryNotices(notice_ids=notice_ids))

    async def try_mail(self, address: str) -> MailTried:
        """Send one test mail now, and learn what happened; for administrators."""
        return await self.ask("notifier", TryMail(address=address), timeout_s=TRY_MAIL_S)

    # -- analysis ---------------------------------------------------------------------------------

    async def submit_job(
        self,
        plate_id: int,
        source: str,
        *,
        source_name: str = "pipeline.py",
        wells: tuple[str, ...] = (),
        results_in: str = "",
    ) -> str:
        """Run a pipeline on a plate; returns the job's id. ``results_in`` is refused where they go to another place.

        Raises:
            AskFailed: the pipeline does not fit, and the text holds every error; or results go elsewhere.
            PlateNotFound: no plate can have this id.
        """
        check_plate_id(plate_id)
        request = SubmitJob(
            plate_id=plate_id,
            source=source,
            source_name=source_name,
            wells=wells,
            results_in=results_in,
            key=uuid.uuid4().hex,
        )
        return await self._patiently(
            lambda timeout_s: self.ask("scheduler", request, timeout_s=timeout_s), 30.0, ask_s=120.0
        )

    async def jobs(self, *, limit: int = LISTED, state: JobState | Literal[""] = "") -> tuple[JobSummary, ...]:
        """The newest jobs, the newest first, those in ``state`` or all; ``limit`` 0 is every one that is known."""

        async def ask(n: int, before: str) -> tuple[JobSummary, ...]:
            return await self.ask("scheduler", ListJobs(limit=n, before=before, state=state))

        return await paged(ask, limit, name_of=lambda one: one.job)

    async def job(self, job: str) -> JobStatus:
        """How one job stands."""
        return await self.ask("scheduler", GetJob(job=job))

    async def fetch_well(self, job: str, well: str) -> WellStatus:
        """A finished well with its files in a folder of the mesh's host: they may have been let go of to make room.

        Raises:
            AskFailed: it is not finished, or the place that keeps it does not hand it out to the asker now.
        """
        return await self.ask("results", FetchWell(job=job, well=well), timeout_s=FETCH_S)

    async def cancel_job(self, job: str) -> JobStatus:
        """Stop a job."""
        return await self.ask("scheduler", CancelJob(job=job))

    async def retry_job(self, job: str) -> str:
        """Run the wells of a job that are not done once more, as a new job; returns its id.

        Raises:
            NothingToRetry: it is running, or all its wells are done.
        """
        status = await self.job(job)
        again = tuple(one.well for one in status.wells if one.state != "done")
        if status.state == "running" or not again:
            raise NothingToRetry(
                f"{job} is {status.state}: there is nothing to retry", hint=f"hcs-mesh jobs {job} shows its wells"
            )
        wells = again if any(again) else ()
        return await self.submit_job(status.plate_id, status.source, source_name=status.source_name, wells=wells)

    async def follow_job(self, job: str, *, patience_s: float = PATIENCE_S) -> AsyncIterator[JobStatus]:
        """Every change of a job, until it is done, failed or cancelled; outlives restarts of the mesh."""
        revision = -1
        while True:
            request = AwaitJob(job=job, revision=revision)
            status = await self._patiently(
                lambda timeout_s, request=request: self.ask("scheduler", request, timeout_s=timeout_s),  # type: ignore[misc]
                patience_s,
            )
            if status.revision != revision:
                revision = status.revision
                yield status
            if status.state != "running":
                return
