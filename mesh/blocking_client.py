"""A running mesh for scripts and notebooks: the calls of ``Client``, each of which waits for its answer."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from .asker import PATIENCE_S
from .client import MESSAGE_BYTES, Client
from .messages.compute import JobState, JobStatus, JobSummary, WellStatus
from .messages.console import ActorDetail, Hop, JournalLine, LogTail
from .messages.control import ActorRow, MeshStatus
from .messages.imports import ImportOrder, ImportPreview, ImportState, ImportStatus
from .messages.listing import LISTED
from .messages.notices import MailTried, NoticeStatus
from .messages.omero import SessionHeld
from .messages.viewing import ViewerInfo
from .messages.watches import WatchStatus
from .own_loop import OwnLoop
from .plates.labels import Labels
from .plates.model import Plate, PlateSummary
from .plates.survey import PlateSurvey
from .transport import ASK_TIMEOUT_S, MeshCard, NodeMissing, Principal, Request

R = TypeVar("R")
T = TypeVar("T")


class BlockingClient:
    """A connection to one mesh that needs no loop, and works beside one that runs, as in a notebook.

    >>> with BlockingClient.at(Path("data")) as mesh:
    ...     print(mesh.plates())

    A notebook keeps it open over its cells: ``mesh = BlockingClient.at(Path("data")).open()``, and ``mesh.close()``
    at the end. Every thread may call it; one that waits keeps no other from calling.
    """

    def __init__(self, client: Client) -> None:
        """Prepare to dial as ``client`` would; ``with`` or ``open`` dials."""
        self._client = client
        self._own_loop: OwnLoop | None = None
        # One client cannot be entered twice: who opens waits for another thread that opens, or closes. Reentrant,
        # since a signal's handler may close what its own thread is opening.
        self._opening = threading.RLock()

    @classmethod
    def at(cls, data: Path, *, key: Path | None = None, max_message_bytes: int = MESSAGE_BYTES) -> Self:
        """The client of the mesh that is up on a data folder of this host.

        Raises:
            NodeMissing: no mesh is up there.
            KeyFileError: the key cannot be read.
        """
        return cls(Client.at(data, key=key, max_message_bytes=max_message_bytes))

    @classmethod
    def to(cls, card: MeshCard, *, key: Path, max_message_bytes: int = MESSAGE_BYTES) -> Self:
        """The client of a mesh on another host.

        Raises:
            AddressError: the card's address is none.
            KeyFileError: the key cannot be read.
        """
        return cls(Client.to(card, key=key, max_message_bytes=max_message_bytes))

    def open(self) -> Self:
        """Dial, unless that was done; the connection stays until ``close``, or until the program ends."""
        with self._opening:
            if self._own_loop is None:
                self._own_loop = OwnLoop(self._client, name="hcs-mesh-client")
        return self

    def close(self) -> None:
        """Hang up; closing again does nothing."""
        with self._opening:
            own_loop, self._own_loop = self._own_loop, None
            if own_loop is not None:
                own_loop.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, actor: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> R:
        """Ask an actor of the mesh.

        Raises:
            AskFailed: the actor's answer is a failure; its text and hint are for the user.
            AskTimedOut, PeerGone, KeyRefused, NotPermitted: there is no answer.
        """
        return self._run(self._client.ask(actor, request, timeout_s=timeout_s))

    def status(self) -> MeshStatus:
        """What the mesh is."""
        return self._run(self._client.status())

    def tree(self) -> tuple[ActorRow, ...]:
        """Its supervision tree, parents before children."""
        return self._run(self._client.tree())

    def viewers(self) -> tuple[ViewerInfo, ...]:
        """The viewers that are attached."""
        return self._run(self._client.viewers())

    def stop(self) -> None:
        """Begin its ordered stop."""
        self._run(self._client.stop())

    def who_am_i(self) -> Principal:
        """Whom the mesh takes this key for."""
        return self._run(self._client.who_am_i())

    def inspect(self, actor: str) -> ActorDetail:
        """Everything that is known of one name of the tree."""
        return self._run(self._client.inspect(actor))

    def tail_log(self, actor: str, *, n_lines: int = 100, since: int = -1) -> LogTail:
        """The last lines of the log that concern one name of the tree."""
        return self._run(self._client.tail_log(actor, n_lines=n_lines, since=since))

    def journals(self) -> tuple[str, ...]:
        """The names of the journals that the mesh keeps."""
        return self._run(self._client.journals())

    def tail_journal(self, journal: str, *, n_records: int = 100) -> tuple[JournalLine, ...]:
        """The last records of a journal."""
        return self._run(self._client.tail_journal(journal, n_records=n_records))

    def trace(self, message: str = "") -> tuple[Hop, ...]:
        """The way of a message through every process, or the first hops of the latest."""
        return self._run(self._client.trace(message))

    def restart(self, actor: str) -> None:
        """Stop one and start it afresh; for administrators."""
        self._run(self._client.restart(actor))

    def pause(self, actor: str) -> None:
        """Let an actor's mailbox be unread; for administrators."""
        self._run(self._client.pause(actor))

    def resume(self, actor: str) -> None:
        """Let a paused actor read its mailbox again; for administrators."""
        self._run(self._client.resume(actor))

    def plates(self) -> tuple[PlateSummary, ...]:
        """Every plate.

        Raises:
            AskFailed: a place cannot list its plates; ``survey_plates`` answers with those of the others.
        """
        return self._run(self._client.plates())

    def survey_plates(self) -> PlateSurvey:
        """Every plate that can be listed now, and the places that cannot list theirs.

        Raises:
            AskFailed: there is one place alone, and it cannot.
        """
        return self._run(self._client.survey_plates())

    def plate(self, plate_id: int) -> Plate:
        """What one plate holds.

        Raises:
            PlateNotFound: no plate can have this id.
        """
        return self._run(self._client.plate(plate_id))

    def labels(self, plate_id: int) -> Labels:
        """Where a plate belongs, and what people said of it.

        Raises:
            PlateNotFound: no plate can have this id.
        """
        return self._run(self._client.labels(plate_id))

    def watches(self) -> tuple[WatchStatus, ...]:
        """Every watched folder, in the order of the settings."""
        return self._run(self._client.watches())

    def hand_in_session(self, session: str, *, user: str = "") -> SessionHeld:
        """Let the mesh act at OMERO in the session of this key: one's own, or ``user``'s for those who may.

        Raises:
            AskFailed: it is over or somebody else's, OMERO cannot be asked, or the mesh has none.
        """
        return self._run(self._client.hand_in_session(session, user=user))

    def take_back_session(self, *, user: str = "") -> bool:
        """Let the mesh act in one's own session no longer; whether it had one."""
        return self._run(self._client.take_back_session(user=user))

    def notices(self) -> tuple[NoticeStatus, ...]:
        """Every notice that is kept, oldest first."""
        return self._run(self._client.notices())

    def retry_notices(self, *notice_ids: str) -> tuple[NoticeStatus, ...]:
        """Try again now what waits or has failed: these, or all; for administrators."""
        return self._run(self._client.retry_notices(*notice_ids))

    def try_mail(self, address: str) -> MailTried:
        """Send one test mail now, and learn what happened; for administrators."""
        return self._run(self._client.try_mail(address))

    def submit_job(
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
        return self._run(
            self._client.submit_job(plate_id, source, source_name=source_name, wells=wells, results_in=results_in)
        )

    def jobs(self, *, limit: int = LISTED, state: JobState | Literal[""] = "") -> tuple[JobSummary, ...]:
        """The newest jobs, the newest first, those in ``state`` or all; ``limit`` 0 is every one that is known."""
        return self._run(self._client.jobs(limit=limit, state=state))

    def job(self, job: str) -> JobStatus:
        """How one job stands."""
        return self._run(self._client.job(job))

    def fetch_well(self, job: str, well: str) -> WellStatus:
        """A finished well with its files in a folder of the mesh's host: they may have been let go of to make room.

        Raises:
            AskFailed: it is not finished, or the place that keeps it does not hand it out to the asker now.
        """
        return self._run(self._client.fetch_well(job, well))

    def cancel_job(self, job: str) -> JobStatus:
        """Stop a job."""
        return self._run(self._client.cancel_job(job))

    def retry_job(self, job: str) -> str:
        """Run the wells of a job that are not done once more, as a new job; returns its id.

        Raises:
            NothingToRetry: it is running, or all its wells are done.
        """
        return self._run(self._client.retry_job(job))

    def follow_job(self, job: str, *, patience_s: float = PATIENCE_S) -> Iterator[JobStatus]:
        """Every change of a job, until it is done, failed or cancelled; outlives restarts of the mesh."""
        return self._follow(self._client.follow_job(job, patience_s=patience_s))

    def submit_import(self, path: Path, *, name: str = "", pattern: str = "") -> str:
        """Hand a folder or file over; returns the import's id.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            AskFailed: the path is not there, or this key may not import it.
        """
        return self._run(self._client.submit_import(path, name=name, pattern=pattern))

    def submit_order(self, order: ImportOrder, *, on_behalf_of: str = "") -> str:
        """Hand over what an order names, by an absolute path; returns the import's id.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            NoAddress: mail cannot be sent where the order says.
            AskFailed: it cannot be meant, its path is not there, or this key may not import it, or not for another.
        """
        return self._run(self._client.submit_order(order, on_behalf_of=on_behalf_of))

    def preview_import(self, order: ImportOrder, *, on_behalf_of: str = "") -> ImportPreview:
        """What an order would do if it were given; nothing is taken over.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            AskFailed: nothing could be imported, and why, or this key may not import it, or not for somebody else.
        """
        return self._run(self._client.preview_import(order, on_behalf_of=on_behalf_of))

    def imports(self, *, limit: int = LISTED, state: ImportState | Literal[""] = "") -> tuple[ImportStatus, ...]:
        """The newest imports, the newest first, those in ``state`` or all; ``limit`` 0 is every one that is known."""
        return self._run(self._client.imports(limit=limit, state=state))

    def get_import(self, import_id: str) -> ImportStatus:
        """How one import stands."""
        return self._run(self._client.get_import(import_id))

    def retry_import(self, import_id: str) -> ImportStatus:
        """Take an import up again.

        Raises:
            AskFailed: it runs or is done, or is somebody else's.
        """
        return self._run(self._client.retry_import(import_id))

    def cancel_import(self, import_id: str, *, discard_held: bool = False) -> ImportStatus:
        """Stop an import for good; with ``discard_held`` also where the mesh holds the only copy of a file.

        Raises:
            AskFailed: its plates are registered already, it is somebody else's, or a file would be lost.
        """
        return self._run(self._client.cancel_import(import_id, discard_held=discard_held))

    def forget_import(self, import_id: str, *, discard_held: bool = False) -> None:
        """Take an import that has ended off the list; its plates and its certificate stay.

        Raises:
            AskFailed: it has not ended, is somebody else's, or a file would be lost and ``discard_held`` is not given.
        """
        self._run(self._client.forget_import(import_id, discard_held=discard_held))

    def follow_import(self, import_id: str, *, patience_s: float = PATIENCE_S) -> Iterator[ImportStatus]:
        """Every change of an import, until it is done, failed or cancelled; outlives restarts of the mesh."""
        return self._follow(self._client.follow_import(import_id, patience_s=patience_s))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        # Another thread may close it at any time.
        own_loop = self._own_loop
        if own_loop is None:
            work.close()
            raise _not_open()
        return own_loop.run(work)

    def _follow(self, following: AsyncIterator[T]) -> Iterator[T]:
        own_loop = self._own_loop
        if own_loop is None:
            raise _not_open()
        return own_loop.iterate(following)


def _not_open() -> NodeMissing:
    return NodeMissing("this client is not connected", hint="use it as `with BlockingClient.at(data) as mesh:`")
