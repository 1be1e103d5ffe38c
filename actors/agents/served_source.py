"""What an agent does with the folders that it serves; every call blocks, and none leaves them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from ...config import get_logger
from ...messages.agents import ScannedFolder
from ...plates.certificate import Device
from ...plates.checksums import Algorithm, new_digest
from ...plates.devices import device_of
from ...plates.errors import SourceNotFound
from ...plates.exclusion import Exclusion
from ...plates.holding import (
    HeldReader,
    HeldSpace,
    Hold,
    StagingFailed,
    StagingNotOurs,
    Swept,
    changed_since_held,
    check_home,
    choose_staging,
    held_space,
    hold,
    homes_of,
    is_of_the_original,
    let_go,
    look_only,
    release,
    sweep,
    unwritten_only,
)
from ...plates.holding.deletion import delete_source
from ...plates.holding.guarantees import STAGED, HeldFile
from ...plates.local import FolderReader
from ...plates.local.disk import free_bytes
from ...plates.local.disk_file import disk_buffer
from ...plates.local.names import checked_id, checked_path
from ...plates.pace_reader import Pace
from ...plates.planners import Plan
from ...plates.repository import OpenSource, SourceFile, SourceReader, StoredFile, never
from ...plates.served_folders import NotServed, ServedFolders
from ...plates.source_names import HELD_FOLDER
from ..imports.scanning import look_error, manifest, scan_source
from ..sweeps import Sweeps
from .guest_reading import GuestReading

log = get_logger(__name__)


class ServedSource:
    """The folders of one workstation; links that hold files lie on their disks, or in ``data``."""

    def __init__(self, folders: ServedFolders, data: Path, pace: Pace | None = None) -> None:
        """Serve ``folders`` at a ``pace``; without it, as fast as can be."""
        self.folders = folders
        self.sweeps = Sweeps()
        self._data = data
        self.guest = GuestReading(pace)

    def scan(self, path: str, only: Sequence[str] = (), exclude: Sequence[str] = (), depth: int = 0) -> ScannedFolder:
        """Every file of a source as it looks now, or those right in it that ``only`` names; not what ``exclude`` does.

        Of a source with a ``depth`` what lies deeper is no matter.

        Raises:
            NotServed: the path leads elsewhere.
            PatternError: what is to be left out is written wrongly.
            SourceNotFound, SourceUnreadable, BadSourceName: it cannot be looked at.
        """
        found = self.folders.resolve(path)
        self.guest.expect(found)
        seen = scan_source(found, only, exclude=Exclusion(exclude), depth=depth)
        files = tuple(
            SourceFile(path=path, size=size, mtime_ns=mtime_ns, inode=inode)
            for path, (size, mtime_ns, inode) in seen.files.items()
        )
        return ScannedFolder(files=files, came_ns=seen.came_ns)

    def files(self, root: str, plan: Plan) -> tuple[SourceFile, ...]:
        """Every file of a plan as it looks now.

        Raises:
            NotServed, PathNotAllowed: the root, or a link among the files, leads elsewhere.
            SourceNotFound, SourceUnreadable: one cannot be looked at.
        """
        folder = self.folders.resolve(root)
        for fileset in plan.filesets:
            for file in fileset.files:
                checked_path(file.path)
        files = manifest(msgspec.structs.replace(plan, root=str(folder)))
        self.folders.check_files(folder, files)
        return files

    def planned_root(self, plan: Plan) -> Path:
        """The folder of a plan whose images may be opened.

        Raises:
            NotServed: it, or an image of its plates, leads elsewhere.
            SourceNotFound, SourceUnreadable: it cannot be looked at.
        """
        root = self.folders.resolve(plan.root)
        for file in {plate.image(n).file for plate in plan.plates if plate.n_images for n in (0, plate.n_images - 1)}:
            if not self.folders.serves(Path(os.path.realpath(root / file))):
                raise NotServed(f"{file} leads out of what this workstation serves")
        return root

    def device(self, root: str) -> Device:
        """What a folder lies on.

        Raises:
            NotServed: the path leads elsewhere.
            SourceNotFound, SourceUnreadable: it cannot be looked at.
        """
        folder = self.folders.resolve(root)
        try:
            return device_of(folder)
        except OSError as error:
            raise look_error(error, folder) from error

    def hold(self, import_id: str, root: str, files: Sequence[SourceFile]) -> Hold:
        """Guard files as well as can be here.

        Raises:
            NotServed, PathNotAllowed: the root, or a link among the files, leads elsewhere.
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: a file is not what had settled.
        """
        folder = self.folders.resolve(root)
        if self.sweeps.spare(import_id):
            self.sweeps.wait(import_id)
        served = self.folders.holding(folder)
        staging = choose_staging(folder, data=self._data, root=Path(served.path) if served is not None else None)
        held = hold(files, folder, staging.folder, import_id, why=staging.reason, reach=self.folders.reach)
        # What has gone since is in its link, which was checked when it was made.
        watched = {file.path for file in held.files if file.guarantee not in STAGED}
        self.folders.check_files(folder, [file for file in files if file.path in watched])
        return held

    def held_space(self, held: Hold) -> HeldSpace:
        """What a hold costs now.

        Raises:
            NotServed: it is none of this agent's.
        """
        return held_space(self._own(held))

    def unwritten_only(self, import_id: str, root: str) -> str:
        """Say what lies nowhere else but in links to a source of which no hold was written down.

        Raises:
            NotServed: the path leads elsewhere.
        """
        # The source itself may be gone, as where only its links are there.
        folder = Path(os.path.realpath(root))
        served = self.folders.holding(folder)
        if served is None or not self.folders.serves(folder):
            raise NotServed(f"{root} is not served by this workstation")
        homes = homes_of(self._data, [above / HELD_FOLDER for above in (Path(served.path), self._data)])
        return unwritten_only(homes, checked_id(import_id), str(folder))

    def free_bytes(self, root: str) -> int:
        """How many bytes are free on the disk of a source.

        Raises:
            NotServed: the path leads elsewhere.
            SourceUnreadable: its disk cannot be looked at.
        """
        folder = self.folders.holding(Path(os.path.realpath(root)))
        if folder is None:
            raise NotServed(f"{root} is not served by this workstation")
        try:
            # The source itself may be gone: only its links are there then.
            return free_bytes(Path(folder.path))
        except OSError as error:
            raise look_error(error, folder.path) from error

    def let_go(self, held: Hold) -> Hold:
        """Give up what can be read again from the source.

        Raises:
            NotServed: it is none of this agent's.
            SourceMissing, SourceFailed: a file went away just now, or the disk refuses.
        """
        return let_go(self._own(held), data=self._data)

    def release(self, held: Hold) -> None:
        """Let everything go; links whose folder is not where it was made stay, wherever that is now.

        Raises:
            NotServed: it is none of this agent's.
            StagingFailed: the disk refuses.
        """
        if held.staging:
            self._check_staging(held.import_id, held.staging)
        try:
            with self.sweeps.from_now_on()(held.import_id) as is_spared:
                if not is_spared:
                    release(held, data=self._data)
        except StagingNotOurs as error:
            log.warning("held files stay", import_id=held.import_id, reason=str(error))
        finally:
            self.guest.forget(Path(held.source), held.import_id)

    def sweep(self, home: Path, over_ids: Collection[str]) -> Swept:
        """Let go of what one of ``homes`` holds for these imports: none asks for it any more. See ``sweep``.

        What is held while this takes its time is kept, whoever is on the list.
        """
        with self.sweeps.of(home) as spared:
            try:
                return sweep(home, over_ids, data=self._data, spared=spared)
            except (StagingNotOurs, StagingFailed) as error:
                log.warning("held files of ended imports stay", staging=str(home), reason=str(error))
                return Swept()

    def open(
        self,
        import_id: str,
        root: str,
        path: str,
        staging: str,
        held: HeldFile | None,
        cancelled: Callable[[], bool] = never,
        *,
        in_hours: bool = True,
    ) -> OpenSource:
        """Open one file of a source, by its link where it is held; it is read at the pace that a guest keeps.

        ``cancelled`` ends every wait of its reads; one that is not ``in_hours`` waits for no hours.

        Raises:
            NotServed: it lies elsewhere.
            StagingFailed: its link is not where it was made.
            SourceMissing, SourceUnreadable, SourceFailed: it cannot be opened.
        """
        checked_path(path)
        folder = Path(os.path.realpath(root))
        if not self.folders.serves(folder):
            raise NotServed(f"{root} is not served by this workstation")
        if held is None:
            reader: SourceReader = FolderReader(folder)
        else:
            hold = Hold(import_id=import_id, source=str(folder), staging=staging, files=(held,))
            if held.path != path:
                raise NotServed(f"{held.path} is held, and {path} was asked for")
            if held.guarantee in STAGED:
                self._check_staging(import_id, staging)
                check_home(Path(staging).parent)
            reader = HeldReader(hold)
        opened = self.guest.reader(reader, folder, import_id, cancelled, in_hours=in_hours).open(path)
        if held is None or held.guarantee not in STAGED:
            self._check_inside(folder / path, opened)
        return opened

    def checksum(
        self, import_id: str, root: str, path: str, staging: str, held: HeldFile | None, algorithm: Algorithm
    ) -> tuple[int, str]:
        """Read a whole file here and return its size and checksum.

        Raises:
            MeshError: it cannot be read, or is not what was held any more.
        """
        digest = new_digest(algorithm)
        buffer = disk_buffer()
        size = 0
        with closing(self.open(import_id, root, path, staging, held)) as opened:
            before = opened.look()
            while size < before.size and (n := opened.read_into(buffer)):
                digest.update(buffer[:n])
                size += n
            opened.look()
        return size, digest.hexdigest()

    def changed(
        self, held: Hold, stored: Sequence[StoredFile], device: Device, *, reads: bool = True
    ) -> tuple[str, ...]:
        """The files of a hold whose names lead to other bytes by now than were stored.

        Raises:
            NeedsReading: it cannot be told by a look, and the call ``reads`` nothing.
            NotServed: its source is not served.
            SourceFailed, SourceUnreadable: it cannot be looked at, or the ``device`` is away on which it lay.
        """
        for file in stored:
            checked_path(file.path)
        folder = Path(os.path.realpath(held.source))
        if not self.folders.serves(folder):
            raise NotServed(f"{held.source} is not served by this workstation")
        held = msgspec.structs.replace(held, source=str(folder))

        def reader() -> SourceReader:
            # Only what has to be read has a pace.
            return self.guest.reader(FolderReader(folder, self.folders.reach), folder, held.import_id)

        return changed_since_held(held, stored, reader if reads else look_only, device)

    def delete(self, path: str, root: str, files: Sequence[HeldFile], device: Device) -> int:
        """Delete a source that is certified, and lay on a ``device`` when it was held.

        Raises:
            NotServed: it lies elsewhere.
            SourceStays: a file is not what was stored any more, or the disk refuses.
        """
        for file in files:
            checked_path(file.path)
        folder = Path(os.path.realpath(root))
        source = folder
        if not self.folders.serves(folder):
            raise NotServed(f"{root} is not served by this workstation")
        # Deleted by an earlier call, nothing of it is left to look for.
        with suppress(SourceNotFound):
            source = self.folders.resolve(path)
        return delete_source(source, folder, files, self.folders.reach, device=device)

    def _own(self, held: Hold) -> Hold:
        """The hold, if it is one that this agent can have made."""
        if held.staging:
            self._check_staging(held.import_id, held.staging)
        for file in held.files:
            checked_path(file.path)
        if not self.folders.serves(Path(os.path.realpath(held.source))):
            raise NotServed(f"{held.source} is not served by this workstation")
        return held

    def _check_staging(self, import_id: str, staging: str) -> None:
        folder = Path(staging)
        home = folder.parent
        is_known = home in self.homes() or (home.parent in self._above() and is_of_the_original(home, self._data))
        if folder.name != checked_id(import_id) or not is_known:
            raise NotServed(f"{staging} is no folder in which this agent holds files")

    def homes(self) -> set[Path]:
        """The folders in which this agent may hold files, whether they are there or not; no served disk is asked.

        Raises:
            StagingFailed: the name of those that are its own cannot be read.
        """
        return set(homes_of(self._data, self._above()))

    def _above(self) -> list[Path]:
        return [one / HELD_FOLDER for one in (*(Path(one.path) for one in self.folders.folders), self._data)]

    def _check_inside(self, path: Path, opened: OpenSource) -> None:
        """Promise that the very file that was opened lies in a served folder, and not in the agent's own.

        Raises:
            NotServed: it does not, or a link led out of them.
        """
        inside = False
        try:
            real = Path(os.path.realpath(path))
            seen, found = real.lstat(), opened.look()
            same = (seen.st_dev, seen.st_ino) == (found.device, found.inode)
            inside = same and self.folders.serves(real)
        except FileNotFoundError as error:
            raise NotServed(f"{path} went away while it was opened") from error
        finally:
            if not inside:
                opened.close()
        if not inside:
            raise NotServed(f"{path} leads out of what this workstation serves")
