"""Where imports work: the data folder, the roots that may be imported from, and the pace that a guest keeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ...config import GuestSettings, ImportSettings, RootSettings
from ...messages.imports import ImportOrder
from ...messages.workstations import Workstation
from ...plates.access import (
    DeletionRight,
    account_named,
    accounts_count,
    check_readable,
    reach_below,
    refuse_own_data,
    resolve_allowed,
    root_above,
)
from ...plates.holding import homes_of
from ...plates.pace_kept import RATE_FILE
from ...plates.pace_reader import Pace
from ...plates.permissions import Account
from ...plates.reach import Reach
from ...plates.repository import SourceFile, SourceReader
from ...plates.source_names import HELD_FOLDER
from ...transport import INNER, Principal
from ...transport.messages import ROLES, Role
from ..errors import NotAllowed, NotTheirs
from ..ownership import administers, is_administrator
from ..sweeps import Sweeps
from .looks import SourceLooks
from .scanning import check_source, look_error
from .serving_agents import ServingAgents


class ImportPlaces:
    """What is settled of the places that imports read from and write to; every call blocks."""

    def __init__(
        self,
        data: Path,
        settings: ImportSettings,
        guest: GuestSettings | None = None,
        agents: ServingAgents | None = None,
        role_of: Callable[[str], Role | None] | None = None,
        sweeps: Sweeps | None = None,
    ) -> None:
        """Keep what must survive in ``data``, and work as a ``guest`` does; without it, as fast as can be.

        ``agents`` are the workstations from which may be imported beside this host. ``role_of`` says what a name's key
        may do here, None of a name without a key; without it, nobody's key is asked for. ``sweeps`` are those of this
        process: a release that was left at a disk which hangs outlives the proxy that asked for it.

        Raises:
            ConfigError: the hours of the guest are not written as they should be.
        """
        self.data = data
        self.agents = agents or ServingAgents()
        self.sweeps = sweeps or Sweeps()
        self._settings = settings
        self._role_of = role_of
        self._pace = Pace(guest, data, kept=data / RATE_FILE) if guest is not None else None

    def looks(self, *, patient: bool = True) -> SourceLooks:
        """What sources are looked at with."""
        return SourceLooks(self._settings.silent_s, patient=patient)

    def check(self, order: ImportOrder, asker: Principal, owner: str) -> None:
        """Promise that somebody may give this order, and that it may be given for its owner.

        Raises:
            NotTheirs: the owner has no key here, or one that may do more than the asker's.
            PathNotAllowed: the path leads to where he may not import from.
            NoSuchAgent: nothing is known of the workstation.
            NotAllowed: he may not import from that workstation, or the source may not be deleted from there.
            NoSuchSource, SourceNotFound, SourceUnreadable: there is nothing, or nothing that can be looked at.
        """
        role = self._role_of_owner(owner, asker)
        others = owner if owner != asker.name and role is not None and not administers(role) else ""
        if order.agent:
            self.agents.check(order, asker, others)
            return
        if is_administrator(asker):
            check_source(order.path)
        allowed = resolve_allowed(
            order.path, self._settings.roots, requester=asker.name, administrator=is_administrator(asker)
        )
        refuse_own_data(allowed.path, self.data)
        if others and self._settings.roots:
            resolve_allowed(order.path, self._settings.roots, requester=others, administrator=False)
        if not order.delete_source:
            return
        self.check_deletion(allowed.path)
        account = self.account_of(owner, administrator=is_administrator(asker))
        try:
            folder = allowed.path if allowed.path.is_dir() else allowed.path.parent
        except OSError as error:
            raise look_error(error, order.path) from error
        refusal = DeletionRight(account).refusal(str(folder))
        if refusal:
            raise NotAllowed(
                f"the source may not be deleted for {owner}: {refusal}",
                hint="give that person the right to delete there, or leave --delete-source out",
            )

    def check_deletion(self, path: Path) -> None:
        """Promise that sources are deleted from there, by the settings of today.

        Raises:
            NotAllowed: they are not.
        """
        root = root_above(path, self._settings.roots)
        if root is None or not root.delete_source:
            raise NotAllowed(
                f"sources below {root.path if root else path} are not deleted by the mesh",
                hint="an administrator enables it for a folder: delete_source = true in its [[imports.roots]]",
            )

    def _role_of_owner(self, owner: str, asker: Principal) -> Role | None:
        """What an owner's key may do; None where that is no matter: the mesh's own word is believed."""
        if owner == asker.name or asker == INNER or self._role_of is None:
            return None
        role = self._role_of(owner)
        if role is None or ROLES.index(role) > ROLES.index(asker.role):
            why = f"whose key is a {role}'s" if role else "who has no key here"
            raise NotTheirs(
                f"{asker.name} ({asker.role}) may not import for {owner}, {why}",
                hint=f"an administrator lets a key in: hcs-mesh keys allow {owner}"
                if role is None
                else "an administrator imports for administrators",
            )
        return role

    def workstation_of(self, order: ImportOrder) -> Workstation:
        """Which workstation an order means that was just checked; none for what lies here."""
        return self.agents.agent(order.agent).offer.workstation if order.agent else Workstation()

    async def look_elsewhere(self, order: ImportOrder) -> None:
        """Promise that a workstation serves the path, as far as it can be asked now.

        Raises:
            AskFailed: it does not.
        """
        if order.agent:
            await self.agents.look_at(order)

    def check_files(
        self, owner: str, root: Path, files: Sequence[SourceFile], *, administrator: bool, may_be_gone: bool = False
    ) -> None:
        """Promise that the owner could read each file himself, and that no link leads out of the roots.

        With ``may_be_gone`` files that went away are no matter.

        Raises:
            PathNotAllowed: one is not for him; the first ones are named.
            NoSuchAccount: nobody knows what he may read.
        """
        reach = self.reach_of(owner, administrator=administrator)
        if reach.is_bounded:
            check_readable(root, files, reach, may_be_gone=may_be_gone)

    def reach_of(self, owner: str, *, administrator: bool) -> Reach:
        """What may be opened for the owner: what he could read himself, below his roots where there are any.

        Raises:
            NoSuchAccount, PathNotAllowed: nobody knows what he may do.
        """
        account = self.account_of(owner, administrator=administrator)
        return reach_below(self._settings.roots, account, requester=owner, administrator=administrator, data=self.data)

    def deletable_for(self, owner: str, *, administrator: bool) -> Reach:
        """What may be deleted for the owner: what he could delete himself, below his roots that allow it.

        Raises:
            NoSuchAccount, PathNotAllowed: nobody knows what he may do.
        """
        reach = self.reach_of(owner, administrator=administrator)
        kept = tuple(os.path.realpath(root.path) for root in self._settings.roots if not root.delete_source)
        open_ = tuple(folder for folder in reach.inside if folder not in kept)
        return Reach(account=reach.account, inside=open_, closed=(*reach.closed, *kept, os.path.realpath(self.data)))

    def account_of(self, owner: str, *, administrator: bool) -> Account | None:
        """The account whose own permissions count for an import; None where they do not.

        Raises:
            NoSuchAccount, PathNotAllowed: nobody knows what he may do.
        """
        return account_named(owner) if accounts_count(self._settings.accounts, administrator=administrator) else None

    def stagings(self) -> tuple[Path, ...]:
        """The folders in which this mesh may hold sources, whether they are there or not.

        Raises:
            StagingFailed: the name of those that are its own cannot be read.
        """
        above = [Path(root.staging or Path(root.path, HELD_FOLDER)) for root in self._settings.roots]
        return homes_of(self.data, (*above, self.data / HELD_FOLDER))

    def root_of(self, path: Path) -> RootSettings | None:
        """The root that a source lies below, if any is set."""
        if not self._settings.roots:
            return None
        return resolve_allowed(path, self._settings.roots, requester="", administrator=True).root

    def expect(self, source: Path) -> None:
        """Look who else writes to a source's disk before it is read."""
        if self._pace is not None:
            self._pace.expect(source)

    def paced(
        self,
        reader: SourceReader,
        source: Path | None,
        cancelled: Callable[[], bool],
        *,
        import_id: str,
        writes: bool = True,
    ) -> SourceReader:
        """The reader at a guest's pace, until ``unpaced`` ends it for its import.

        ``source`` is the folder that it reads from, if it is on this host.

        ``writes`` says whether the repository takes the bytes, as it does not where they stay in place.
        """
        if self._pace is None:
            return reader
        return self._pace.reader(reader, source, cancelled=cancelled, import_id=import_id, writes=writes)

    def wait_for_hours(self, cancelled: Callable[[], bool]) -> None:
        """Have the calling thread wait until a guest may read sources."""
        if self._pace is not None:
            self._pace.wait_for_hours(cancelled)

    def closed_s(self, since_unix_s: float) -> float:
        """For how many seconds since then a guest might not read sources."""
        return 0.0 if self._pace is None else self._pace.closed_s(since_unix_s)

    def unpaced(self, source: Path, import_id: str) -> None:
        """Look no longer at the disk of a source for an import that is over."""
        if self._pace is not None:
            self._pace.forget(source, import_id)

    def count(self, n_bytes: int, cancelled: Callable[[], bool]) -> None:
        """Count bytes that a thread has read from the repository, and wait until it may read on."""
        if self._pace is not None:
            self._pace.lower_thread()
            self._pace.take(n_bytes, cancelled, writes=False)

    def why_slow(self) -> str:
        """Why nothing is read just now, or slowly; empty when it is as fast as can be."""
        return "" if self._pace is None else self._pace.why()
