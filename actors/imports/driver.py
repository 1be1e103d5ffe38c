"""The driver of imports: runs each through its phases, and decides after a failure whether it goes on."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError
from ...messages.imports import ImportPhase
from ...plates.local.errors import ChecksumMismatch
from ...plates.omero.errors import BROKEN, OmeroAwaitsLogin, OmeroError, OmeroPlacesTaken, OmeroUploadLost
from ...supervisors.journal import JournalError, JournalFull
from ...transport.errors import AskTimedOut
from ..errors import MeshFault, SourceSilent
from ..mishaps import faults_as_errors
from .faults import Blame, blame
from .holds import only_copies
from .life import ImportLife
from .means import ImportMeans
from .news import ImportNews
from .phases import ImportPhases
from .records import Failed, Returned, Stumbled
from .serving_agents import AgentAway

KEPT = (
    "They are kept there until 'hcs-mesh imports forget --discard-held': have an administrator copy them back, give "
    "the import up so, and hand the folder over again."
)
SENDING: tuple[ImportPhase, ...] = ("transferring", "verifying", "importing")
"""The phases in which an import may have to keep something at a repository from one call to the next."""
LONGEST_LOOK_S = 10.0
"""How often it is looked at whether what is away is there again: a server, a workstation, somebody's login."""


class ImportDriver:
    """Drives imports, each in a task of its own, which can be stopped and started anew."""

    def __init__(self, means: ImportMeans, phases: ImportPhases, news: ImportNews) -> None:
        """Drive by child tasks of the actor that the means are of: they fail with it and end with it."""
        self._means = means
        self._phases = phases
        self._news = news
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[str] = set()

    def has_stopped(self, import_id: str) -> bool:
        """Whether an import was let go of by a person, and is not driven since."""
        return import_id in self._stopped

    @property
    def n_driving(self) -> int:
        """Imports that are being driven."""
        return len(self._driving)

    def drive(self, life: ImportLife) -> None:
        """Run the import's phases from where it stands, until it has ended or is stopped."""
        self._stopped.discard(life.import_id)
        self._means.context.spawn(self._drive(life))

    async def leave(self, life: ImportLife) -> None:
        """Let go of an import, at which threads may still be at work."""
        self._stopped.add(life.import_id)
        task = self._driving.get(life.import_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _drive(self, life: ImportLife) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._driving[life.import_id] = task
        try:
            while (phase := life.next_phase) is not None:
                await self._run_phase(life, phase)
            self._news.tell(life.import_id)
        except asyncio.CancelledError:
            # Stopped by a person the task just ends; anything else that cancels it ends the actor.
            if life.import_id not in self._stopped:
                raise
        finally:
            self._driving.pop(life.import_id, None)

    async def _run_phase(self, life: ImportLife, phase: ImportPhase) -> None:
        try:
            try:
                with faults_as_errors(import_id=life.import_id, phase=phase):
                    await self._attempt(life, phase)
            except JournalError:
                # What is not written down is nobody's fault but the journal's, which only the next life opens anew.
                raise
            except MeshError as error:
                if self._means.copying_threads.finishing:
                    # This life is at its end, and takes the threads away.
                    raise
                # What nobody had thought of, or what came of a failure. The first may pass, as memory that was short:
                # it is tried again, and not for ever, since the next life would meet it as well.
                judged = Blame.TRANSIENT if isinstance(error, MeshFault) else Blame.PERMANENT
                await self._fail_or_wait(life, judged, 1 + life.attempts, str(error), error.hint)
        except JournalFull as full:
            # Nothing can be written down, so nothing is done: it goes on by itself once there is room.
            self._means.waits(life, str(full))
            await asyncio.sleep(self._means.settings.first_retry_s)

    async def _attempt(self, life: ImportLife, phase: ImportPhase) -> None:
        """Run a phase once, and do what follows from how it ended."""
        try:
            await self._phases.run(life, phase)
        except JournalFull:
            # No stumble: that would be a record as well.
            raise
        except (AgentAway, SourceSilent) as away:
            # Nobody's fault, and no number of tries is too many: a workstation may be off for the weekend,
            # a server as well.
            self._means.waits(life, str(away))
            await self._means.open_source(life).reachable()
            # One that comes and goes is not asked without a pause.
            await asyncio.sleep(self._means.settings.first_retry_s)
        except (OmeroAwaitsLogin, OmeroPlacesTaken, *BROKEN) as away:
            # Its own place is wanted by an import that has files to send, and by no other.
            if not await self._is_home_again(life, away, sends=life.import_id if phase in SENDING else ""):
                await self._not_away(life, away)
        except OmeroUploadLost as lost:
            # The source is held still: what it takes is its bytes once more, and not another look at it.
            await self._means.enter(life, "transferring", str(lost))
            await asyncio.sleep(self._means.settings.first_retry_s)
        except MeshError as error:
            await self._recover(life, error)

    async def _is_home_again(self, life: ImportLife, error: OmeroError, *, sends: str) -> bool:
        """Wait for as long as nothing can be done in the owner's name: people go home, and servers are mended.

        Or the owner's other imports have all connections, where it ``sends`` files: it has given back whatever those
        may wait for.

        Whether there was anything to wait for.
        """
        means, n_waits = self._means, 0
        while reason := await means.threads.run(
            lambda: means.repository.away(life.owner, sends=sends), group=life.import_id
        ):
            # The first time as the error has it, which says what was not done.
            means.waits(life, reason if n_waits else str(error))
            # No record each time, nor a thread all the time: it may be for weeks.
            await asyncio.sleep(min(means.settings.first_retry_s * _grown(n_waits), LONGEST_LOOK_S))
            n_waits += 1
        return n_waits > 0

    async def _not_away(self, life: ImportLife, error: OmeroError) -> None:
        """It answers by now: either it has only just come back, or only this could not be done."""
        if isinstance(error, OmeroAwaitsLogin | OmeroPlacesTaken):
            self._means.waits(life, str(error))
            await asyncio.sleep(self._means.settings.first_retry_s)
        else:
            await self._recover(life, error)

    async def _recover(self, life: ImportLife, error: MeshError) -> None:
        """Do what follows from a failure; what that needs may be away as well."""
        try:
            await self._stumble(life, error)
        except JournalFull:
            raise
        except (AgentAway, AskTimedOut, SourceSilent, OmeroAwaitsLogin, OmeroPlacesTaken, *BROKEN) as away:
            # The phase runs again after that, and fails again: then it may be there.
            self._means.waits(life, f"{error} {away}")
            await asyncio.sleep(LONGEST_LOOK_S)
        except MeshError as kept:
            # What had been held or stored cannot be given up: tried again, and not for ever.
            await self._fail_or_wait(life, Blame.TRANSIENT, 1 + life.attempts, f"{error} {kept}", kept.hint)

    async def _stumble(self, life: ImportLife, error: MeshError) -> None:
        if isinstance(error, ChecksumMismatch) and life.hold is not None:
            await self._copy_anew(life, error)
            return
        judged = blame(error)
        n_tries = 1 + (life.n_returns if judged is Blame.SOURCE_CHANGED else life.attempts)
        if judged is not Blame.SOURCE_CHANGED or n_tries >= self._means.settings.max_attempts:
            await self._fail_or_wait(life, judged, n_tries, str(error), error.hint)
            return
        told = await only_copies(self._means, life)
        if told:
            # To look at the source again is to let go of what is held, and with it of the only copy.
            await self._fail_or_wait(life, Blame.PERMANENT, n_tries, f"{error} {told}.", KEPT)
            return
        if life.hold is not None:
            await self._means.open_source(life).release(life.hold)
        repository = self._means.repository_of(life)
        await self._means.threads.run(lambda: repository.discard(life.import_id), group=life.import_id)
        await self._means.ledger.write(
            Returned(import_id=life.import_id, at_unix_s=time.time(), reason=str(error), hint=error.hint)
        )
        # Longer each time: of two imports of one folder each sees the files touched by the other's links.
        wait_s = self._means.settings.settle_s * _grown(life.n_returns - 1)
        await asyncio.sleep(min(wait_s, self._means.settings.longest_retry_s))

    async def _copy_anew(self, life: ImportLife, error: ChecksumMismatch) -> None:
        """Have what is not stored as it was read copied from what is held: the source may be gone by now."""
        n_tries, repository = 1 + life.n_copies, self._means.repository_of(life)
        if n_tries >= self._means.settings.max_attempts:
            await self._fail_or_wait(life, Blame.TRANSIENT, n_tries, str(error), error.hint)
            return
        if repository.kind != "local":
            # A server puts nothing in the place of what it has.
            await self._means.threads.run(lambda: repository.discard(life.import_id), group=life.import_id)
        await self._means.enter(life, "transferring", str(error))
        wait_s = self._means.settings.first_retry_s * _grown(life.n_copies - 1)
        await asyncio.sleep(min(wait_s, self._means.settings.longest_retry_s))

    async def _fail_or_wait(self, life: ImportLife, judged: Blame, n_tries: int, reason: str, hint: str) -> None:
        """Write down that it has failed for good, or that it is tried again, and wait until then."""
        settings, now = self._means.settings, time.time()
        if judged is not Blame.PERMANENT and n_tries >= settings.max_attempts:
            judged = Blame.PERMANENT
            reason = f"{reason} (given up after {n_tries} attempts)"
        if judged is Blame.PERMANENT:
            await self._means.ledger.write(Failed(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint))
            repository = self._means.repository_of(life)
            await self._means.threads.run(lambda: repository.rest(life.import_id), group=life.import_id)
            return
        wait_s = min(settings.first_retry_s * _grown(life.attempts), settings.longest_retry_s)
        await self._means.ledger.write(
            Stumbled(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint, wait_s=wait_s)
        )
        await asyncio.sleep(wait_s)


def _grown(n: int) -> float:
    """How many times longer the n-th wait is than the first; beyond a bound no longer, as numbers have one too."""
    return 2.0 ** min(n, 32)
