"""What people decide about an import after it was accepted: once more, no more, off the list."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from ...config import MeshError, get_logger
from ...messages.imports import ImportStatus
from ...transport import Principal
from ...transport.errors import AskTimedOut
from ..errors import ImportEnded, ImportNotFound, NotTheirs, OnlyCopyHeld, SourceSilent
from .holds import only_copies
from .life import REOPENABLE, ImportLife
from .means import ImportMeans
from .places import is_administrator
from .records import Cancelled, Forgotten, Retried
from .serving_agents import AgentAway

log = get_logger(__name__)


class Drives(Protocol):
    """What the decisions need of the driver."""

    def drive(self, life: ImportLife) -> None:
        """Run the import on."""

    async def stop(self, life: ImportLife) -> None:
        """Let go of it."""


class ImportDecisions:
    """Carries them out, one after the other for each import: two retries must not drive it twice."""

    def __init__(self, means: ImportMeans, driver: Drives) -> None:
        self._means = means
        self._driver = driver
        self._deciding: dict[str, asyncio.Lock] = {}

    def status(self, import_id: str) -> ImportStatus:
        """How an import stands.

        Raises:
            ImportNotFound: there is none of this id.
        """
        found = self._means.book.find(import_id)
        if found is None:
            raise ImportNotFound(f"there is no import {import_id}", hint="hcs-mesh imports lists them")
        return found.status()

    async def retry(self, import_id: str, asker: Principal) -> ImportStatus:
        """Take it up again where it stopped.

        Raises:
            ImportNotFound, NotTheirs, ImportEnded: it cannot be.
            ImportedAlready: its files are in the repository by now, or on their way to it.
        """
        async with self._decision(import_id):
            status = self._theirs(import_id, asker)
            life = self._means.book.lives.get(import_id)
            if life is None or status.state not in REOPENABLE:
                raise ImportEnded(
                    f"import {import_id} is {status.state}: there is nothing to retry",
                    hint="only a failed, cancelled or waiting import can be retried",
                )
            async with self._means.one_of_twins:
                if status.state == "failed":
                    # While it had failed, the same files may have come in with another order.
                    self._means.refuse_twin(life, life.digest)
                await self._driver.stop(life)
                try:
                    await self._means.ledger.write(Retried(import_id=import_id, at_unix_s=time.time(), by=asker.name))
                finally:
                    self._driver.drive(life)
            return life.status()

    async def cancel(self, import_id: str, asker: Principal, *, discard_held: bool = False) -> ImportStatus:
        """Stop it for good and take away what it had stored.

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
            await self._driver.stop(life)
            try:
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
                self._driver.drive(life)
                raise
            await self.remove(life)
            return life.status()

    async def forget(self, import_id: str, asker: Principal, *, discard_held: bool = False) -> None:
        """Take it off the list; what it stored without coming to its end is removed.

        Raises:
            ImportNotFound, NotTheirs, ImportEnded: it cannot be.
            OnlyCopyHeld: what is held for it would be lost, or may be, and nobody said ``discard_held``.
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
                if status.state == "failed" and not discard_held:
                    await self._refuse_loss(life)
                await self.remove(life)
            await self._means.ledger.write(Forgotten(import_id=import_id, at_unix_s=time.time(), by=asker.name))
        self._deciding.pop(import_id, None)

    async def clear_up(self, life: ImportLife) -> None:
        """Take away what a cancelled import had stored, unless somebody has taken it up again meanwhile."""
        async with self._decision(life.import_id):
            if life.state == "cancelled":
                await self.remove(life)

    async def remove(self, life: ImportLife) -> None:
        """Take away what an import had stored, and let its source go; what cannot be now is at the next start."""
        means = self._means
        try:
            standing = await means.threads.run(lambda: means.repository_of(life).reconcile(life.import_id))
            if not standing.registered:
                await means.threads.run(lambda: means.repository_of(life).discard(life.import_id), group=life.import_id)
            if life.hold is not None:
                await means.open_source(life).release(life.hold)
        except MeshError as error:
            log.warning("files of an ended import stay", import_id=life.import_id, reason=str(error))

    async def _refuse_loss(self, life: ImportLife) -> None:
        try:
            told = await only_copies(self._means, life)
        except (AgentAway, AskTimedOut, SourceSilent) as away:
            raise OnlyCopyHeld(
                f"nobody can say whether what is held for {life.import_id} lies anywhere else: {away}",
                hint="ask again when it answers; or give up what is held with --discard-held",
            ) from away
        if told:
            raise OnlyCopyHeld(
                f"{told}, and would be gone",
                hint="retry the import; or copy them out of there as an administrator, then give them up with "
                "--discard-held",
            )

    def _theirs(self, import_id: str, asker: Principal) -> ImportStatus:
        status = self.status(import_id)
        if status.owner not in ("", asker.name) and not is_administrator(asker):
            raise NotTheirs(
                f"import {import_id} is {status.owner}'s, and {asker.name} decides about no other's",
                hint=f"ask {status.owner} or an administrator",
            )
        return status

    def _decision(self, import_id: str) -> asyncio.Lock:
        return self._deciding.setdefault(import_id, asyncio.Lock())
