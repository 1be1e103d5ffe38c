"""The agent on a workstation: serves the chosen folders to a mesh elsewhere, and nothing beside them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, assert_never

from ...config import ImportSettings, InspectorSettings, MeshError
from ...messages.agents import (
    CHUNK_BYTES,
    AskFreeSpace,
    AskHeldSpace,
    AskUnwritten,
    ChunkSum,
    CloseFile,
    CompareFiles,
    DeleteFiles,
    FindChanged,
    HoldFiles,
    LetGoFiles,
    ListFiles,
    LookAtFile,
    LookAtSource,
    OpenedFile,
    OpenFile,
    PlanFolder,
    ProbeFolder,
    ReadChunk,
    ReleaseFiles,
    ScanFolder,
    SumChunk,
    SweepHeld,
    WhichDevice,
)
from ...messages.agents import Chunk as SentChunk
from ...messages.imports import DecodedPlane, PlanSource
from ...plates.holding import NeedsReading
from ...plates.planners import Plan
from ...plates.repository import SourceFile
from ...supervisors import Actor, Deferred
from ..errors import NotAllowed
from ..inspection import Inspection
from .folder_threads import FolderThreads
from .letting_go import release_apart, sweep_apart
from .served_file import ServedFile
from .served_source import ServedSource

R = TypeVar("R", SentChunk, ChunkSum)

MAX_OPEN = 64
"""Files that are open at the same time; the one that was not asked for longest is closed, and opened again if it is."""
MAX_SUMS = 200_000
"""Checksums that are remembered; others are found out again."""

OfSource = LookAtSource | ScanFolder | PlanFolder | ProbeFolder | ListFiles | WhichDevice | AskUnwritten | DeleteFiles
OfHold = HoldFiles | AskHeldSpace | AskFreeSpace | LetGoFiles | ReleaseFiles | SweepHeld | CompareFiles | FindChanged
OfFile = OpenFile | ReadChunk | SumChunk | LookAtFile | CloseFile
Inbox = OfSource | OfHold | OfFile


class NotOpen(MeshError, LookupError):
    """The agent has no such file open (any more): it was started anew, or has closed it."""


class FolderAgent(Actor[Inbox]):
    """Answers one mesh for the folders that it was told to serve."""

    def __init__(
        self,
        source: ServedSource,
        *,
        inspector: InspectorSettings,
        end_inspector: Callable[[str], None],
        may_delete: bool = False,
        silent_s: float = ImportSettings().silent_s,
    ) -> None:
        """Serve ``source``; a folder whose disk does not answer for ``silent_s`` is told to be silent."""
        self._source = source
        self._limits = inspector
        self._end_inspector = end_inspector
        self._may_delete = may_delete
        self._threads = FolderThreads(source.folders, silent_s)
        self._open: dict[int, ServedFile] = {}
        self._sums: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._n_bytes = 0
        self._ended = False

    async def started(self) -> None:
        """Have the inspector of this workstation at hand."""
        self._inspection = Inspection(self.context, self._end_inspector, self._limits)

    async def ended(self) -> None:
        """Close what is open."""
        # Whoever waits for a guest's turn at the disk reads on, and is done.
        self._ended = True
        await self._threads.close()
        for file in self._open.values():
            file.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """What was sent, and what is open."""
        return {"bytes_sent": self._n_bytes, "files_open": len(self._open), "slow": self._source.guest.why_slow()}

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        if isinstance(message, OfFile):
            return self._of_file(message)
        if isinstance(message, OfHold):
            return self._of_hold(message)
        return self._of_source(message)

    def _of_source(self, message: OfSource) -> Deferred[Any]:
        at, source = self._threads.look, self._source
        match message:
            case LookAtSource(path=path, reads=reads):
                if reads:
                    source.guest.check_hours()
                return self.defer(at(path, lambda: str(source.folders.resolve(path))))
            case ScanFolder(path=path, only=only, exclude=exclude, depth=depth):
                return self.defer(at(path, lambda: source.scan(path, only, exclude, depth)))
            case PlanFolder():
                return self.defer(self._plan(message))
            case ProbeFolder():
                return self.defer(self._probe(message))
            case ListFiles(root=root, plan=plan):
                return self.defer(at(root, lambda: source.files(root, plan)))
            case WhichDevice(root=root):
                return self.defer(at(root, lambda: source.device(root)))
            case AskUnwritten(import_id=import_id, root=root):
                return self.defer(at(root, lambda: source.unwritten_only(import_id, root)))
            case DeleteFiles(path=path, root=root, files=stored, device=device):
                if not self._may_delete:
                    raise NotAllowed(
                        "this workstation's agent deletes nothing", hint="it was not started with --may-delete"
                    )
                return self.defer(at(root, lambda: source.delete(path, root, stored, device), group=path))
            case _:
                assert_never(message)

    def _of_hold(self, message: OfHold) -> Deferred[Any]:
        at, source = self._threads.look, self._source
        match message:
            case HoldFiles(import_id=import_id, root=root, files=files):
                return self.defer(at(root, lambda: source.hold(import_id, root, files), group=import_id))
            case AskHeldSpace(hold=hold):
                return self.defer(at(hold.source, lambda: source.held_space(hold)))
            case AskFreeSpace(root=root):
                return self.defer(at(root, lambda: source.free_bytes(root)))
            case LetGoFiles(hold=hold):
                return self.defer(at(hold.source, lambda: source.let_go(hold), group=hold.import_id))
            case ReleaseFiles(hold=hold):
                self._forget(hold.import_id)
                # Once however often it is asked for, as where its disk does not answer.
                return self.defer_once(hold, lambda hold: release_apart(source, hold))
            case SweepHeld(over=over):
                return self.defer(sweep_apart(source, over))
            case CompareFiles():
                return self.defer(self._compare(message))
            case FindChanged():
                # Who asks again, as after a break, waits for the look that is under way: it may read for hours.
                return self.defer_once(message, self._changed)
            case _:
                assert_never(message)

    def _of_file(self, message: OfFile) -> Deferred[Any] | None:
        if isinstance(message, OpenFile | ReadChunk | SumChunk):
            # Told and not waited for: the mesh would take a workstation that is silent for hours for one that is away.
            self._source.guest.check_hours()
        match message:
            case OpenFile():
                return self.defer(self._opened(message))
            case ReadChunk(handle=handle, offset=offset, n_bytes=n_bytes):
                return self.defer(self._sent(self._file(handle), lambda file: file.read(offset, _bounded(n_bytes))))
            case SumChunk(handle=handle, offset=offset, n_bytes=n_bytes):
                return self.defer(self._in_turn(self._file(handle), lambda file: file.sum(offset, _bounded(n_bytes))))
            case LookAtFile(handle=handle):
                return self.defer(self._look(self._file(handle)))
            case CloseFile(handle=handle):
                self._close(handle)
                return None
            case _:
                assert_never(message)

    async def _plan(self, message: PlanFolder) -> Plan:
        path = await self._threads.look(message.path, lambda: self._source.folders.resolve(message.path))
        question = PlanSource(
            path=str(path),
            pattern=message.pattern,
            name=message.name,
            as_files=message.as_files,
            depth=message.depth,
            exclude=message.exclude,
            only=message.only,
            reach=self._source.folders.reach,
        )
        return await self._inspection.plan(question, message.import_id, lambda reason: None)

    async def _probe(self, message: ProbeFolder) -> tuple[DecodedPlane, ...]:
        root = await self._threads.look(message.plan.root, lambda: self._source.planned_root(message.plan))
        return await self._inspection.probe(
            message.plan,
            root,
            message.path,
            message.import_id,
            lambda reason: None,
            follow_links=True,
            reach=self._source.folders.reach,
        )

    async def _opened(self, message: OpenFile) -> OpenedFile:
        def open_it() -> tuple[ServedFile, SourceFile]:
            opened = self._source.open(
                message.import_id,
                message.root,
                message.path,
                message.staging,
                message.held,
                lambda: self._ended,
                in_hours=False,
            )
            file = ServedFile(opened, message.import_id, message.root, message.path, message.algorithm)
            try:
                return file, file.look()
            except MeshError:
                file.close()
                raise

        file, now = await self._threads.look(message.root, open_it)
        while len(self._open) >= MAX_OPEN:
            self._close(next(iter(self._open)))
        # By chance: a handle of the life before names nothing in this one.
        handle = secrets.randbits(62)
        self._open[handle] = file
        n_bytes = _bounded(message.n_bytes)
        chunk = await self._sent(file, lambda file: file.read(0, n_bytes)) if n_bytes else None
        return OpenedFile(handle=handle, file=now, chunk=chunk)

    async def _sent(self, file: ServedFile, work: Callable[[ServedFile], SentChunk]) -> SentChunk:
        chunk = await self._in_turn(file, work)
        self._n_bytes += len(chunk.data)
        self._source.guest.sent(len(chunk.data))
        return chunk

    async def _in_turn(self, file: ServedFile, work: Callable[[ServedFile], R]) -> R:
        # In the order of the asks: the file is hashed as it is read.
        async with file.turn:
            return await self._threads.read(file.root, lambda: work(file))

    async def _look(self, file: ServedFile) -> SourceFile:
        async with file.turn:
            now = await self._threads.read(file.root, file.look)
        checksum = file.checksum(now.size)
        if checksum and len(self._sums) < MAX_SUMS:
            self._sums[file.import_id, file.path, file.algorithm] = now.size, checksum
        return now

    async def _compare(self, message: CompareFiles) -> tuple[str, ...]:
        held = {one.path: one for one in message.held}

        def differs(path: str, size: int, checksum: str, known: tuple[int, str] | None) -> bool:
            if known is None:
                known = self._source.checksum(
                    message.import_id, message.root, path, message.staging, held.get(path), algorithms[path]
                )
            return known != (size, checksum)

        algorithms = {one.path: one.algorithm for one in message.files}
        sums = [self._sums.get((message.import_id, one.path, one.algorithm)) for one in message.files]

        def compare() -> tuple[str, ...]:
            return tuple(
                one.path
                for one, known in zip(message.files, sums, strict=True)
                if differs(one.path, one.size, one.checksum, known)
            )

        if None in sums:
            self._source.guest.check_hours()
        return await self._threads.look(message.root, compare, reads=None in sums)

    async def _changed(self, message: FindChanged) -> tuple[str, ...]:
        hold, source = message.hold, self._source

        def look(*, reads: bool) -> tuple[str, ...]:
            return source.changed(hold, message.files, message.device, reads=reads)

        # It only reads: left behind where the disk hangs, it does no harm.
        try:
            return await self._threads.look(hold.source, lambda: look(reads=False))
        except NeedsReading:
            self._source.guest.check_hours()
            return await self._threads.look(hold.source, lambda: look(reads=True), reads=True)

    def _file(self, handle: int) -> ServedFile:
        file = self._open.pop(handle, None)
        if file is None:
            raise NotOpen(f"the file {handle} is not open here", hint="open it again")
        # Last again: those that nobody reads any more are closed first.
        self._open[handle] = file
        return file

    def _close(self, handle: int) -> None:
        file = self._open.pop(handle, None)
        if file is not None:
            self.context.spawn(self._let_close(file))

    async def _let_close(self, file: ServedFile) -> None:
        async with file.turn:
            file.close()

    def _forget(self, import_id: str) -> None:
        for key in [key for key in self._sums if key[0] == import_id]:
            del self._sums[key]


def _bounded(n_bytes: int) -> int:
    return max(0, min(n_bytes, CHUNK_BYTES))
