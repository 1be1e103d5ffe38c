"""What people decide about an import after it was accepted: once more, no more, off the list."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Protocol

from ...config import MeshError, get_logger
from ...messages.imports import ImportStatus
from ...transport import Principal
from ...transport.errors import AskTimedOut
from ..errors import ImportEnded, ImportNotFound, MeshFault, OnlyCopyHeld, SourceSilent
from ..mishaps import faults_as_errors
from ..ownership import insist_theirs, is_theirs
from .book import EndedImport
from .holds import only_copies
from .life import REOPENABLE, ImportLife
from .means import ImportMeans
from .records import Cancelled, Forgotten, Retried
from .serving_agents import AgentAway

log = get_logger(__name__)

REMOVAL_S = 10.0
"""How long who cancels waits until all is gone; that it is to go is written down, and what is left goes by itself."""


class Drives(Protocol):
    """What the decisions need of the driver."""

    def drive(self, life: ImportLife) -> None:
        """Run the import on."""

    async def leave(self, life: ImportLife) -> None:
        """Let go of it, at which threads may still be at work."""

    def has_stopped(self, import_id: str) -> bool:
        """Whether it was let go of, and not driven since."""


class ImportDecisions:
    """Carries them out, one after the other for each import: two retries must not drive it twice."""

    def __init__(self, means: ImportMeans, driver: Drives, *, is_private: bool = False) -> None:
        """``is_private`` says that it is decided for each person who sees a plate, and so who hears of an import."""
        self._means = means
        self._is_private = is_private
        self._driver = driver
        self._deciding: dict[str, asyncio.Lock] = {}

    def is_shown(self, found: ImportLife | EndedImport, asker: Principal) -> bool:
        """Whether somebody is told of an import: its owner is, and who handed it over."""
        return not self._is_private or found.asker == asker.name or is_theirs(found.owner, asker)

    def status(self, import_id: str, asker: Principal) -> ImportStatus:
        """How an import stands.

        Raises:
            ImportNotFound: there is none of this id, or none for this person.
        """
        found = self._means.book.find(import_id)
        if found is None or not self.is_shown(found, asker):
            raise ImportNotFound(f"there is no import {import_id}", hint="hcs-mesh imports lists them")
        return found.status()

    async def retry(self, import_id: str, asker: Principal) -> ImportStatus:
        """Take it up again where it stopped.

        Raises:
            ImportNotFound, NotTheirs, ImportEnded: it cannot be.
            ImportedAlready: its files are in the repository by now, or on their way to it.
            SourceSilent: a disk does not answer at which it is still at work; one that waits goes on after that.
            MeshError: the repository refuses to remove what a cancelled one stored, and it stays cancelled.
        """
        async with self._decision(import_id):
            status = self._theirs(import_id, asker)
            life = self._means.book.lives.get(import_id)
            if life is None or status.state not in REOPENABLE:
                raise ImportEnded(
                    f"import {import_id} is {status.state}: there is nothing to retry",
                    hint="only a failed, cancelled or waiting import can be retried",
                )
            await self._driver.leave(life)
            # Before the lock that every import needs to settle: it may be for hours that a disk does not answer.
            if not await self._means.finished(import_id, within_s=self._means.settings.silent_s):
                self._means.context.spawn(self._drive_once_idle(life))
                raise _at_work(life, "retry it once that disk answers; one that waits goes on by itself then")
            if life.state == "cancelled":
                # Who asks at once gets in before the clearing, which leaves alone what is taken up again.
                await self._discard(life)
                await self._release(life)
            async with self._means.one_of_twins:
                # As it is now: what waited may have failed for good while it was let go of.
                if life.state == "failed":
                    # While it had failed, the same files may have come in with another order.
                    self._means.refuse_twin(life, life.digest)
                try:
                    await self._means.ledger.write(Retried(import_id=import_id, at_unix_s=time.time(), by=asker.name))
                finally:
                    self._driver.drive(life)
            return life.status()

    async def cancel(self, import_id: str, asker: Principal, *, discard_held: bool = False) -> ImportStatus:
        """Stop it for good and take away what it had stored; where its source hangs, once that answers.

        Raises:
            ImportNotFound, NotTheirs, ImportEnded: it cannot be.
            OnlyCopyHeld: what is held for it would be lost, or may be, and nobody said ``discard_held``.
        """
        means = self._means
        async with self._decision(import_id):
            status = self._theirs(import_id, asker)
            life = means.book.lives.get(import_id)
            if life is None or status.state in ("done", "cancelled"):
                over = "is cancelled already" if status.state == "cancelled" else "is done: nothing is left to cancel"
                raise ImportEnded(
                    f"import {import_id} {over}",
                    hint=f"hcs-mesh imports {import_id} shows its history",
                )
            if not discard_held:
                await self._refuse_loss(life)
            await self._driver.leave(life)
            is_idle = await means.finished(import_id, within_s=means.settings.silent_s)
            try:
                with faults_as_errors(import_id=import_id):
                    standing = await means.threads.run(lambda: means.repository_of(life).reconcile(import_id))
                    if standing.registered:
                        raise ImportEnded(
                            f"the plates of import {import_id} are in the repository already",
                            hint=f"hcs-mesh imports {import_id} shows which",
                        )
                    if not discard_held:
                        # Once more: until it stopped, somebody may have relied on it.
                        await self._refuse_loss(life)
                    await means.ledger.write(Cancelled(import_id=import_id, at_unix_s=time.time(), by=asker.name))
            except MeshError:
                if is_idle:
                    self._driver.drive(life)
                else:
                    means.context.spawn(self._drive_once_idle(life))
                raise
        if is_idle:
            await self._cleared_soon(life)
        else:
            means.context.spawn(self._clear_up_once_idle(life))
        return life.status()

    async def forget(self, import_id: str, asker: Principal, *, discard_held: bool = False) -> None:
        """Take it off the list; what it stored without coming to its end is removed.

        Raises:
            ImportNotFound, NotTheirs, ImportEnded: it cannot be.
            OnlyCopyHeld: what is held for it would be lost, or may be, and nobody said ``discard_held``.
            MeshError: the repository refuses to remove what it stored, and it stays on the list.
        """
        async with self._decision(import_id):
            status = self._theirs(import_id, asker)
            if status.state not in ("done", "failed", "cancelled"):
                raise ImportEnded(
                    f"import {import_id} is {status.state}: it is not forgotten before it has ended",
                    hint=f"hcs-mesh imports cancel {import_id} ends it",
                )
            life = self._means.book.lives.get(import_id)
            if life is not None:
                if not await self._means.finished(import_id, within_s=self._means.settings.silent_s):
                    raise _at_work(life, "forget it once that disk answers, or the mesh was started anew")
                if status.state == "failed" and not discard_held:
                    await self._refuse_loss(life)
                # Once it is off the list nobody would look for its files any more.
                await self._discard(life)
                await self._release(life)
            await self._means.ledger.write(Forgotten(import_id=import_id, at_unix_s=time.time(), by=asker.name))
        self._deciding.pop(import_id, None)

    async def _clear_up_once_idle(self, life: ImportLife) -> None:
        log.warning("a cancelled import is cleared up once its source answers", import_id=life.import_id)
        await self._means.finish(life.import_id)
        await self.clear_up(life)

    async def _drive_once_idle(self, life: ImportLife) -> None:
        if life.next_phase is not None:
            self._means.waits(life, f"the disk of {life.order.path} does not answer")
        # Not before: two threads must not write one file.
        await self._means.finish(life.import_id)
        async with self._decision(life.import_id):
            # Each decision that could not be carried out has left one of these waiting: the first to come drives.
            if life.next_phase is not None and self._driver.has_stopped(life.import_id):
                self._driver.drive(life)

    async def clear_up(self, life: ImportLife) -> None:
        """Take away what a cancelled import had stored, unless somebody has taken it up again meanwhile."""
        async with self._decision(life.import_id):
            if life.state == "cancelled":
                await self.remove(life)

    async def remove(self, life: ImportLife) -> None:
        """Take away what an import had stored, and let its source go; what cannot be now is at the next start."""
        try:
            with faults_as_errors(import_id=life.import_id):
                await self._discard(life)
        except MeshError as error:
            log.warning("files of an ended import stay", import_id=life.import_id, reason=str(error))
        await self._release(life)

    async def _discard(self, life: ImportLife) -> None:
        means = self._means
        standing = await means.threads.run(lambda: means.repository_of(life).reconcile(life.import_id))
        if not standing.registered:
            await means.threads.run(lambda: means.repository_of(life).discard(life.import_id), group=life.import_id)

    async def _release(self, life: ImportLife) -> None:
        try:
            with faults_as_errors(import_id=life.import_id):
                if life.hold is not None:
                    await self._means.open_source(life).release(life.hold)
                elif life.phase == "held":
                    # It was cut short before it was written down what it holds.
                    await self._means.open_source(life).release_unwritten()
        except MeshError as error:
            # Swept at the next start: it is over.
            log.warning("held files of an ended import stay", import_id=life.import_id, reason=str(error))

    async def _cleared_soon(self, life: ImportLife) -> None:
        """Have it taken away what was stored, and wait for that a little: a server may be long at it."""
        done = asyncio.Event()

        async def clear() -> None:
            await self.clear_up(life)
            done.set()

        self._means.context.spawn(clear())
        # It goes on by itself: that it is cancelled is true already.
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), REMOVAL_S)

    async def _refuse_loss(self, life: ImportLife) -> None:
        try:
            with faults_as_errors(import_id=life.import_id):
                told = await only_copies(self._means, life)
        except (AgentAway, AskTimedOut, SourceSilent, MeshFault) as away:
            raise OnlyCopyHeld(
                f"nobody can say whether what is held for {life.import_id} lies anywhere else: {away}",
                hint="ask again when it answers, or look there by hand; or give up what is held with --discard-held",
            ) from away
        if told:
            raise OnlyCopyHeld(
                f"{told}, and would be gone",
                hint="retry the import; or copy them out of there as an administrator, then give them up with "
                "--discard-held",
            )

    def _theirs(self, import_id: str, asker: Principal) -> ImportStatus:
        status = self.status(import_id, asker)
        insist_theirs(f"import {import_id}", status.owner, asker)
        return status

    def _decision(self, import_id: str) -> asyncio.Lock:
        return self._deciding.setdefault(import_id, asyncio.Lock())


def _at_work(life: ImportLife, hint: str) -> SourceSilent:
    return SourceSilent(
        f"the disk of {life.order.path} does not answer, at which import {life.import_id} is still at work", hint=hint
    )
