"""Where imports work: the data folder, the roots that may be imported from, and the pace that a guest keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..config import GuestSettings, ImportSettings, RootSettings
from ..messages.imports import ImportOrder
from ..plates.access import account_named, accounts_count, check_readable, resolve_allowed
from ..plates.holding import staging_of
from ..plates.pace_reader import Pace
from ..plates.repository import SourceFile, SourceReader
from ..plates.source_names import HELD_FOLDER
from ..transport import Principal
from ..transport.messages import ROLES
from .errors import NotAllowed
from .serving_agents import ServingAgents
from .settling import check_source


class ImportPlaces:
    """What is settled of the places that imports read from and write to; every call blocks."""

    def __init__(
        self,
        data: Path,
        settings: ImportSettings,
        guest: GuestSettings | None = None,
        agents: ServingAgents | None = None,
    ) -> None:
        """Keep what must survive in ``data``, and work as a ``guest`` does; without it, as fast as can be.

        ``agents`` are the workstations from which may be imported beside this host.

        Raises:
            ConfigError: the hours of the guest are not written as they should be.
        """
        self.data = data
        self.agents = agents or ServingAgents()
        self._settings = settings
        self._pace = Pace(guest, data) if guest is not None else None

    def check(self, order: ImportOrder, asker: Principal) -> None:
        """Promise that somebody may give this order.

        Raises:
            PathNotAllowed: the path leads to where he may not import from.
            NoSuchAgent: nothing is known of the workstation.
            NotAllowed: he may not import from that workstation, or the source may not be deleted from there.
            NoSuchSource, SourceNotFound, SourceUnreadable: there is nothing, or nothing that can be looked at.
        """
        if order.agent:
            self.agents.check(order, asker)
            return
        if is_administrator(asker):
            check_source(order.path)
        allowed = resolve_allowed(
            order.path, self._settings.roots, requester=asker.name, administrator=is_administrator(asker)
        )
        if not order.delete_source:
            return
        if order.mode == "in-place":
            raise NotAllowed(
                "what is imported in place is not deleted: the repository has nothing but links to it",
                hint="import by upload, or leave --delete-source out",
            )
        if allowed.root is None or not allowed.root.delete_source:
            raise NotAllowed(
                f"sources below {allowed.root.path if allowed.root else allowed.path} are not deleted by the mesh",
                hint="an administrator enables it for a folder: delete_source = true in its [[imports.roots]]",
            )

    async def look_elsewhere(self, order: ImportOrder) -> None:
        """Promise that a workstation serves the path, as far as it can be asked now.

        Raises:
            AskFailed: it does not.
        """
        if order.agent:
            await self.agents.look_at(order)

    def check_files(self, owner: str, root: Path, files: Sequence[SourceFile], *, administrator: bool) -> None:
        """Promise that the owner could read each file himself, and that no link leads out of the roots.

        Raises:
            PathNotAllowed: one is not for him; the first ones are named.
            NoSuchAccount: nobody knows what he may read.
        """
        counts = accounts_count(self._settings.accounts, administrator=administrator)
        if counts or self._settings.roots:
            check_readable(root, files, self._settings.roots, account_named(owner) if counts else None)

    def stagings(self) -> tuple[Path, ...]:
        """The folders in which this mesh may hold sources, whether they are there or not."""
        above = [Path(root.staging or Path(root.path, HELD_FOLDER)) for root in self._settings.roots]
        return tuple(staging_of(self.data, one) for one in (*above, self.data / HELD_FOLDER))

    def root_of(self, path: Path) -> RootSettings | None:
        """The root that a source lies below, if any is set."""
        if not self._settings.roots:
            return None
        return resolve_allowed(path, self._settings.roots, requester="", administrator=True).root

    def paced(self, reader: SourceReader, source: Path | None, cancelled: Callable[[], bool]) -> SourceReader:
        """The reader at a guest's pace; ``source`` is the folder that it reads from, if it is on this host."""
        return reader if self._pace is None else self._pace.reader(reader, source, cancelled=cancelled)

    def unpaced(self, source: Path) -> None:
        """Look no longer at the disk of a source whose import is over."""
        if self._pace is not None:
            self._pace.forget(source)

    def count(self, n_bytes: int, cancelled: Callable[[], bool]) -> None:
        """Count bytes that a thread has read from the repository, and wait until it may read on."""
        if self._pace is not None:
            self._pace.lower_thread()
            self._pace.take(n_bytes, cancelled)

    def why_slow(self) -> str:
        """Why nothing is read just now, or slowly; empty when it is as fast as can be."""
        return "" if self._pace is None else self._pace.why()


def is_administrator(asker: Principal) -> bool:
    """Whether a key may do what only administrators may."""
    return ROLES.index(asker.role) >= ROLES.index("administrator")
