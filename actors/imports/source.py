"""Where an import's files come from: what its phases ask of a source, on this host or behind an agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...messages.imports import DecodedPlane
from ...plates.certificate import Device
from ...plates.holding import HeldSpace, Hold
from ...plates.holding.guarantees import HeldFile
from ...plates.planners import Plan
from ...plates.repository import SourceFile, SourceReader, StoredFile
from .readiness import Scan

Say = Callable[[str], None]
"""Told why nothing moves just now."""


class ImportSource(Protocol):
    """One source of one import; every call may be repeated after a crash."""

    async def reachable(self) -> None:
        """Return once the source's host is there."""

    def closed_s(self, since_unix_s: float) -> float:
        """For how many seconds since then it might not be read by a timetable that is known here."""

    async def scan(self) -> Scan:
        """Look at every file.

        Raises:
            SourceNotFound, SourceUnreadable, SourceFailing: it is not there, or cannot be looked at, or not now.
        """

    async def plan(self, say: Say) -> Plan:
        """Say what it holds.

        Raises:
            PlanError: nothing that can be imported.
            NotYetComplete: its metadata end in the middle.
        """

    async def probe(self, plan: Plan, say: Say) -> tuple[DecodedPlane, ...]:
        """Open the first and last plane of every plate, and return those that were decoded here.

        Raises:
            UnreadableImage: one does not open.
        """

    async def manifest(self, plan: Plan) -> tuple[SourceFile, ...]:
        """Every file of a plan as it looks now, each once."""

    async def device(self, plan: Plan) -> Device:
        """What the source lies on."""

    async def hold(self, files: tuple[SourceFile, ...], plan: Plan, say: Say) -> Hold:
        """Keep the files from vanishing as well as can be; what takes away what was held before is waited for."""

    async def held_space(self, held: Hold) -> HeldSpace:
        """Ask what a hold costs now: bytes that are there only because they are held."""

    async def free_bytes(self, held: Hold) -> int:
        """Ask how many bytes are free on the disk that holds them."""

    async def let_go(self, held: Hold) -> Hold:
        """Give up what can be read again from the source; what has its only copy in the hold stays."""

    async def release(self, held: Hold) -> None:
        """Let the files go."""

    async def unwritten_only(self, plan: Plan) -> str:
        """Say what lies nowhere else but in links of which no hold was written down; empty if nothing does."""

    async def release_unwritten(self) -> None:
        """Let such links go: a hold that was cut short."""

    async def confirm(self, files: tuple[StoredFile, ...]) -> None:
        """Have what was stored compared with what the source's own host has read.

        Raises:
            SourceChanged: a file has another checksum there.
        """

    async def changed(
        self,
        held: Hold,
        files: tuple[StoredFile, ...],
        cancelled: Callable[[], bool],
        say: Callable[[str], None],
    ) -> tuple[str, ...]:
        """The files whose names lead to other bytes by now than were stored; what is gone is none of them.

        ``say`` is told why where this takes long.

        Raises:
            AgentAway, SourceSilent, SourceFailed: it cannot be looked at just now.
            SourceUnreadable, NotServed, NoSuchAccount, PathNotAllowed: it may not be looked at.
        """

    async def delete(self, plan: Plan, files: tuple[HeldFile, ...]) -> int:
        """Delete the files of a source that is certified, as they were held, and return how many were there.

        Raises:
            SourceStays: some are not what was stored any more, or cannot be deleted.
            NotAllowed, PathNotAllowed, NoSuchAccount: nothing is deleted from there (any more), or not for the owner.
        """

    def reader(self, plan: Plan, held: Hold | None, cancelled: Callable[[], bool]) -> SourceReader:
        """What the files are read through; used from threads, whose waits end once ``cancelled`` says so."""

    def why_slow(self) -> str:
        """Why its host reads nothing of it just now, as far as it says so; empty while it does."""

    def local_root(self, plan: Plan) -> Path | None:
        """The folder that a plan's files are relative to, if it is on this host."""
