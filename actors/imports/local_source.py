"""A source on the mesh's own host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...config import get_logger
from ...messages.imports import DecodedPlane, PlanSource
from ...plates.certificate import Device
from ...plates.devices import device_of, mount_above
from ...plates.exclusion import Exclusion
from ...plates.holding import (
    HeldReader,
    HeldSpace,
    Hold,
    NeedsReading,
    StagingNotOurs,
    changed_since_held,
    choose_staging,
    held_space,
    hold,
    let_go,
    look_only,
    release,
    sweep,
    unwritten_only,
)
from ...plates.holding.deletion import delete_source
from ...plates.holding.guarantees import HeldFile
from ...plates.local import FolderReader
from ...plates.local.disk import free_bytes
from ...plates.planners import Plan
from ...plates.reach import Reach
from ...plates.repository import SourceFile, SourceReader, StoredFile
from ..apart import run_apart
from ..inspection import Inspection
from .life import ImportLife
from .looks import LooksAt
from .places import ImportPlaces
from .readiness import Scan
from .scanning import look_error, manifest, scan_source

log = get_logger(__name__)


class LocalSource:
    """A folder or file that this host's file system names; its files are opened by the inspector alone."""

    def __init__(self, life: ImportLife, *, threads: LooksAt, inspection: Inspection, places: ImportPlaces) -> None:
        self._life = life
        self._order = life.order
        self._import_id = life.import_id
        self._threads = threads
        self._inspection = inspection
        self._places = places
        self._allowed: Scan | None = None

    async def reachable(self) -> None:
        """Return once its disk answers."""
        await self._threads.answered()

    def closed_s(self, since_unix_s: float) -> float:
        """By the hours that a guest keeps here."""
        return self._places.closed_s(since_unix_s)

    async def scan(self) -> Scan:
        """Look at every file, each one that its owner could read himself: nothing is told of others."""
        order = self._order
        exclude = Exclusion(order.exclude)

        def look() -> Scan:
            self._places.expect(self._folder())
            scan = scan_source(Path(order.path), order.only, exclude=exclude, depth=order.depth)
            self._check(scan)
            return scan

        return await self._threads.run(look)

    def _check(self, scan: Scan) -> None:
        """Refuse what is not for the owner; a file that was looked at is looked at again once it is in the plan."""
        known = self._allowed.files if self._allowed is not None else {}
        new = [
            SourceFile(path=path, size=size, mtime_ns=mtime_ns, inode=inode)
            for path, (size, mtime_ns, inode) in scan.files.items()
            if path not in known or known[path][2] != inode
        ]
        self._places.check_files(
            self._life.owner,
            self._folder(),
            new,
            administrator=self._life.administrator,
            may_be_gone=True,
        )
        self._allowed = scan

    def _folder(self) -> Path:
        """The folder that the order names, or that the file lies in which it names.

        Raises:
            SourceUnreadable, SourceFailing: it cannot be looked at, or not now.
        """
        named = Path(self._order.path)
        try:
            return named if named.is_dir() else named.parent
        except OSError as error:
            # As from a folder above it that is closed, or a mount that has gone stale.
            raise look_error(error, named) from error

    async def plan(self, say: Callable[[str], None]) -> Plan:
        """Ask the inspector what it holds, never of what its owner could not read."""
        order = self._order
        if self._allowed is None:
            await self.scan()
        question = PlanSource(
            path=order.path,
            only=order.only,
            pattern=order.pattern,
            name=order.name,
            as_files=order.as_files,
            depth=order.depth,
            exclude=order.exclude,
            # Between the look at the source and the opening of its files its owner may put others there.
            reach=await self._reach(),
        )
        return await self._inspection.plan(question, self._import_id, say, asker=self._life.owner)

    async def probe(self, plan: Plan, say: Callable[[str], None]) -> tuple[DecodedPlane, ...]:
        """Have the inspector open the first and last plane of every plate."""
        return await self._inspection.probe(
            plan,
            Path(plan.root),
            self._order.path,
            self._import_id,
            say,
            follow_links=True,
            reach=await self._reach(),
            asker=self._life.owner,
        )

    async def _reach(self) -> Reach:
        return await self._threads.run(self._reach_now)

    def _reach_now(self) -> Reach:
        return self._places.reach_of(self._life.owner, administrator=self._life.administrator)

    async def manifest(self, plan: Plan) -> tuple[SourceFile, ...]:
        """Every file of a plan as it looks now, each one that its owner could read himself."""

        def look() -> tuple[SourceFile, ...]:
            files = manifest(plan)
            self._places.check_files(self._life.owner, Path(plan.root), files, administrator=self._life.administrator)
            return files

        return await self._threads.run(look)

    async def device(self, plan: Plan) -> Device:
        """What the source lies on."""

        def look() -> Device:
            try:
                return device_of(Path(plan.root))
            except OSError as error:
                raise look_error(error, plan.root) from error

        return await self._threads.run(look)

    async def hold(self, files: tuple[SourceFile, ...], plan: Plan, say: Callable[[str], None]) -> Hold:
        """Link or clone the files where that can be done, watch them where it cannot.

        What takes links of an earlier life away has come to its end before: left behind at a disk that hung, it would
        take these.
        """
        sweeps = self._places.sweeps
        if sweeps.spare(self._import_id):
            say("what was held for it before is still being let go of")
            # In no place of its mount: the disk may be slow, and others are to be looked at there.
            await run_apart(lambda: sweeps.wait(self._import_id), f"hold {self._import_id}")

        def take_hold() -> Hold:
            root = Path(plan.root)
            allowed = self._places.root_of(root)
            staging = choose_staging(
                root,
                data=self._places.data,
                staging=Path(allowed.staging) if allowed is not None and allowed.staging else None,
                root=Path(allowed.path) if allowed is not None else None,
            )
            reach = self._reach_now()
            return hold(files, root, staging.folder, self._import_id, why=staging.reason, reach=reach)

        return await self._threads.run(take_hold, group=self._import_id)

    async def held_space(self, held: Hold) -> HeldSpace:
        """What the hold costs now."""
        return await self._threads.run(lambda: held_space(held))

    async def free_bytes(self, held: Hold) -> int:
        """How many bytes are free on the disk of the links, or of the source where there are none."""
        return await self._threads.run(lambda: free_bytes(Path(held.staging or held.source)))

    async def let_go(self, held: Hold) -> Hold:
        """Give up what can be read again from the source."""
        return await self._threads.run(lambda: let_go(held, data=self._places.data), group=self._import_id)

    async def release(self, held: Hold) -> None:
        """Let the files go; links whose folder is not where it was made stay, wherever that is now."""
        spared = self._places.sweeps.from_now_on()

        def let_all_go() -> None:
            with spared(self._import_id) as is_spared:
                if not is_spared:
                    release(held, data=self._places.data)

        try:
            await self._threads.run(let_all_go)
        except StagingNotOurs as error:
            # Tried again it would be the same; what somebody has put there is no reason to fail what is stored.
            log.warning("held files stay", import_id=held.import_id, reason=str(error))
        finally:
            # Also where its disk is silent, and the files stay for now: nothing is read there any more.
            self._places.unpaced(Path(held.source), self._import_id)

    async def unwritten_only(self, plan: Plan) -> str:
        """Say what lies nowhere else but in links of which no hold was written down."""
        return await self._threads.run(lambda: unwritten_only(self._stagings(), self._import_id, plan.root))

    async def release_unwritten(self) -> None:
        """Let links go of which no hold was written down."""
        data, mine, spared = self._places.data, (self._import_id,), self._places.sweeps.from_now_on()
        await self._threads.run(
            lambda: [sweep(staging, mine, data=data, spared=spared) for staging in self._stagings()]
        )

    def _stagings(self) -> list[Path]:
        """Where links to this source may lie: on its own file system, and no other disk is asked."""
        mount = mount_above(self._order.path)
        return [one for one in self._places.stagings() if mount_above(str(one)) == mount]

    async def confirm(self, files: tuple[StoredFile, ...]) -> None:
        """Say nothing: what was stored is what was read in the same process."""

    async def changed(
        self,
        held: Hold,
        files: tuple[StoredFile, ...],
        cancelled: Callable[[], bool],
        say: Callable[[str], None],
    ) -> tuple[str, ...]:
        """The files that are others by now; they are read at the pace that a guest keeps."""

        def reader() -> SourceReader:
            # Only what has to be read has a pace.
            return self.reader(self._life.plan, None, cancelled)

        def look(reader: Callable[[], SourceReader]) -> tuple[str, ...]:
            return changed_since_held(held, files, reader, self._life.source_device)

        # It only reads: left behind where the disk hangs, it does no harm.
        try:
            return await self._threads.run(lambda: look(look_only))
        except NeedsReading:
            slow = self._places.why_slow()
            say(f"its source is read again before its certificate{f': {slow}' if slow else ''}")
            return await self._threads.run(lambda: look(reader), reads=True)

    async def delete(self, plan: Plan, files: tuple[HeldFile, ...]) -> int:
        """Delete the files that are certified, as far as that is (still) allowed, and their owner could himself."""
        source, root = Path(self._order.path), Path(plan.root)

        def delete() -> int:
            # The order may be days old, and the administrator may have thought better of it.
            self._places.check_deletion(source)
            reach = self._places.deletable_for(self._life.owner, administrator=self._life.administrator)
            return delete_source(source, root, files, reach, device=self._life.source_device)

        return await self._threads.run(delete, group=self._import_id)

    def reader(self, plan: Plan, held: Hold | None, cancelled: Callable[[], bool]) -> SourceReader:
        """Read what is held, for the import's owner, at the pace that a guest keeps."""
        reach, root = self._reach_now(), Path(plan.root)
        reader: SourceReader = HeldReader(held, reach) if held is not None else FolderReader(root, reach)
        return self._places.paced(
            reader, root, cancelled, import_id=self._import_id, writes=self._order.mode == "upload"
        )

    def why_slow(self) -> str:
        """Why nothing is read just now, or slowly; empty when it is as fast as can be."""
        return self._places.why_slow()

    def local_root(self, plan: Plan) -> Path | None:
        """The folder that a plan's files are relative to."""
        return Path(plan.root)
