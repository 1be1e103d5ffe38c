"""The repository that needs no server: a folder of filesets, their results, and a catalogue beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from ...config.errors import MeshError
from ..checksums import Algorithm
from ..import_outline import ImportOutline
from ..labels import UNLABELLED, Labels, Target
from ..model import Plate, PlateSummary
from ..plate_source import THROUGH_THE_MESH, Freshness, Stamped
from ..repository import (
    NO_TARGET,
    Annotation,
    ImportStanding,
    JobOrigin,
    SourceFile,
    SourceReader,
    StoredFile,
    StoredFileset,
    StoredResult,
    Taken,
    ignore_bytes,
    ignore_files,
    ignore_linked,
    never,
    wait_on,
)
from .catalogue import Catalogue
from .disk import make_folders
from .errors import RepositoryReadOnly, repository_errors
from .import_shelf import ImportShelf
from .label_rows import labels_of_plates
from .numbering import number_elsewhere
from .plate_rows import get_plate, list_files, list_plates, place_of_plate
from .result_rows import insert_annotation, list_annotations
from .result_shelf import ResultShelf
from .transfer import N_THREADS
from .writer_lock import WriterLock


class LocalRepository:
    """Keeps plates below ``DATA/repository``; usable from several threads, written to by one process."""

    kind = "local"
    compatible_results: tuple[str, ...] = ("local",)

    def __init__(
        self,
        data: Path,
        *,
        read_only: bool = False,
        transfer_threads: int = N_THREADS,
        checksum: Algorithm = "sha1",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the repository below a data folder, making it where there is none.

        ``transfer_threads`` files of an import are copied at the same time, and hashed with ``checksum``.

        Raises:
            RepositoryInUse: another process writes to it (reading beside a writer is always possible).
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
            CatalogueDamaged: the catalogue is not one that this version reads.
        """
        self.folder = data.absolute() / "repository"
        self._read_only = read_only
        self._clock = clock
        self._lock: WriterLock | None = None
        if not read_only:
            with repository_errors(self.folder):
                make_folders(self.folder / "imports")
            self._lock = WriterLock(self.folder / "writer.lock")
        try:
            self._catalogue = Catalogue(self.folder / "catalogue.sqlite", read_only=read_only)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise
        self._imports = ImportShelf(
            self.folder / "imports", self._catalogue, clock, n_threads=transfer_threads, algorithm=checksum
        )
        self._results = ResultShelf(self.folder, self._catalogue, clock)
        if not read_only:
            # On a disk that is full, say, the mesh comes up all the same: the planes of those plates alone are refused.
            with suppress(MeshError):
                self._imports.record_links()

    def for_import(self, outline: ImportOutline) -> LocalRepository:
        """The repository itself: it is nobody's in particular, and hears of plates when they are there."""
        return self

    def files_folder(self, import_id: str) -> Path:
        """Where an import's files lie, whether they are there yet or not.

        Raises:
            BadName: the id cannot be a folder's name.
        """
        return self._imports.files_folder(import_id)

    def import_ids(self) -> frozenset[str]:
        """The imports of which anything is here, registered or begun.

        Raises:
            RepositoryFailed: the disk refuses to list them.
        """
        return self._imports.ids()

    def links_into(self, folder: str) -> Mapping[str, str]:
        """The files below a folder, without links on the way, that imports have in place, each with one of them."""
        return self._imports.links_into(folder)

    def has_in_place(self, files: Sequence[SourceFile]) -> str:
        """A registered import that has one of these files in place, by whatever path; empty if none has."""
        return self._imports.has_in_place(files)

    def reconcile(self, import_id: str) -> ImportStanding:
        """Say what is here of an import; a name without ``.part`` means that the whole file is on the disk.

        Raises:
            RepositoryFailed: the disk refuses to list it.
        """
        return self._imports.standing(import_id)

    def transfer(
        self,
        import_id: str,
        source: SourceReader,
        files: Sequence[SourceFile],
        *,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Take files over, continuing where an earlier call stopped, and return them once they are durable.

        Raises:
            BadName, ImportRegistered: the call makes no sense.
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: what is wrong with the repository.
            TransferCancelled: ``cancelled`` answered True.
        """
        self._must_write()
        return self._imports.transfer(
            import_id, source, files, known=known, on_bytes=on_bytes, on_files=on_files, cancelled=cancelled
        )

    def adopt(
        self,
        import_id: str,
        source: Path,
        files: Sequence[SourceFile],
        *,
        reader: SourceReader | None = None,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Take files over in place: each is read and hashed once, and a link to it is kept in its stead.

        Raises:
            BadName, ImportRegistered: the call makes no sense.
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: what is wrong with the repository.
            TransferCancelled: ``cancelled`` answered True.
        """
        self._must_write()
        return self._imports.adopt(
            import_id,
            source,
            files,
            reader=reader,
            known=known,
            on_bytes=on_bytes,
            on_files=on_files,
            cancelled=cancelled,
        )

    def verify(
        self,
        import_id: str,
        files: Sequence[StoredFile],
        *,
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_linked: Callable[[], None] = ignore_linked,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Read every file again from the disk and compare it with its checksum.

        While an import is not registered, a file that does not match is in transit again, so that the
        next transfer mends it; what is registered is reported and left as it is.

        Raises:
            ChecksumMismatch: some do not match.
            TransferCancelled: ``cancelled`` answered True.
            RepositoryFailed: the disk refuses.
        """
        self._imports.verify(
            import_id, files, on_bytes=on_bytes, on_linked=on_linked, cancelled=cancelled, mend=not self._read_only
        )

    def register(
        self,
        import_id: str,
        filesets: Sequence[StoredFileset],
        *,
        name: str = "",
        source: str = "",
        owner: str = "",
        target: Target = NO_TARGET,
        while_waiting: Callable[[str], None] = wait_on,
    ) -> tuple[int, ...]:
        """Make an import's plates appear all at once and return their ids; the same ids when it is repeated.

        Where they belong and what is said of them appears in the same transaction; the owner is its author. Nothing
        is waited for.

        Raises:
            FilesDoNotMatch: a plate names a file that is not in its fileset; nothing was registered.
            RepositoryFull, RepositoryFailed: the disk refuses; nothing was registered.
        """
        return self._imports.register(import_id, filesets, name=name, source=source, owner=owner, target=target)

    def off_plates(self, import_id: str) -> str:
        """Nothing: an image without a plate is listed like one."""
        return ""

    def discard(self, import_id: str) -> None:
        """Remove the files of an import that was never registered; a link goes, what it leads to stays.

        Raises:
            ImportRegistered: its plates exist.
            RepositoryNotWritable, RepositoryFailed: the disk refuses.
        """
        self._must_write()
        self._imports.discard(import_id)

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate, oldest first."""
        with self._catalogue.reading() as connection:
            return list_plates(connection)

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds, its root being the absolute folder of its files.

        Raises:
            PlateNotFound: no plate has this id.
        """
        with self._catalogue.reading() as connection:
            import_id, root = place_of_plate(connection, plate_id)
            plate = get_plate(connection, plate_id)
        folder = self.files_folder(import_id)
        return msgspec.structs.replace(plate, id=plate_id, root=str(folder / root if root else folder))

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        """Return what one plate holds; its stamp says nothing.

        Raises:
            PlateNotFound: no plate has this id.
        """
        return Stamped(self.plate(plate_id, requester), self.stamp(plate_id, requester))

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where a plate belongs and what people said of it.

        Raises:
            PlateNotFound: no plate has this id.
        """
        with self._catalogue.reading() as connection:
            place_of_plate(connection, plate_id)
            return labels_of_plates(connection, plate_id).get(plate_id, UNLABELLED)

    def freshness(self, plate_id: int = 0) -> Freshness:
        """Plates change through the mesh alone, and everybody sees every one."""
        return THROUGH_THE_MESH

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """Empty: the mesh itself says what has changed."""
        return ""

    def number_elsewhere(self, span: int, address: str, name: str) -> int:
        """The number of a plate that lies elsewhere, for good: its results are kept here by it.

        Raises:
            RepositoryFull, RepositoryFailed: the disk refuses.
        """
        self._must_write()
        with self._catalogue.writing() as connection:
            return number_elsewhere(connection, span, address, name, now_s=self._clock())

    def files(self, plate_id: int) -> tuple[StoredFile, ...]:
        """List the files of the fileset that a plate belongs to.

        Raises:
            PlateNotFound: no plate has this id.
        """
        with self._catalogue.reading() as connection:
            place_of_plate(connection, plate_id)
            return list_files(connection, plate_id)

    def taken(self, import_id: str, *, owner: str = "", root: str = "") -> Taken:
        """Say what is here of an import, whoever had it made.

        Raises:
            RepositoryFailed: the disk refuses to list it.
        """
        standing = self.reconcile(import_id)
        found = {file.path: file.size for plate_id in standing.plate_ids for file in self.files(plate_id)}
        folder = self.files_folder(import_id)
        with repository_errors(folder):
            # Filesets without plates are only files.
            found.update((path, (folder / path).stat().st_size) for path in standing.complete if path not in found)
        return Taken(standing.registered, found)

    def rest(self, import_id: str) -> None:
        """Nothing: nobody waits for what an import has here."""

    def away(self, person: str = "", *, sends: str = "") -> str:
        """Empty: it is here, and nobody's in particular."""
        return ""

    def job_taken(self, origin: JobOrigin) -> None:
        """Take note of nothing: the journal of the jobs lies beside the results."""

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        """Make and return the empty folder into which this attempt writes its files, then seals them.

        Raises:
            PlateNotFound, BadName: there is no such plate or well name.
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
        """
        self._must_write()
        return self._results.begin(self._import_of(plate_id), plate_id, job, well, attempt)

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        """Publish a sealed attempt, once for each job and well: a later attempt gets the first one's result.

        Raises:
            PlateNotFound: no plate has this id.
            ResultNotSealed: the attempt's folder is missing or unfinished, and no earlier one is there.
            RepositoryFull, RepositoryFailed: the disk refuses; the next call finishes what this one began.
        """
        self._must_write()
        return self._results.commit(self._import_of(plate_id), plate_id, job, well, attempt)

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        """List the finished wells of a job."""
        return self._results.of_job(job)

    def well_result(self, job: str, well: str, *, requester: str = "") -> StoredResult:
        """Return one finished well of a job.

        Raises:
            ResultNotFound: the well is not finished, or nobody knows the job.
        """
        return self._results.of_well(job, well)

    def sweep(
        self, job: str, *, alive: Collection[tuple[str, int]] = (), requester: str = ""
    ) -> tuple[StoredResult, ...]:
        """Finish the commits that a crash cut short and remove attempts that are not ``alive`` (well, attempt).

        Raises:
            RepositoryFull, RepositoryFailed: the disk refuses.
        """
        self._must_write()
        return self._results.sweep(job, alive)

    def annotate(
        self, plate_id: int, *, key: str, namespace: str, name: str, value: str, well: str = "", author: str = ""
    ) -> Annotation:
        """Attach text to a plate or well, once for each ``key``.

        Raises:
            PlateNotFound: no plate has this id.
            RepositoryFull, RepositoryFailed: the disk refuses.
        """
        self._import_of(plate_id)
        wanted = Annotation(
            id=0,
            plate_id=plate_id,
            namespace=namespace,
            name=name,
            value=value,
            well=well,
            author=author,
            created_at_s=self._clock(),
        )
        with self._catalogue.writing() as connection:
            return insert_annotation(connection, key, wanted)

    def annotations(self, plate_id: int) -> tuple[Annotation, ...]:
        """List what is attached to a plate and its wells, oldest first."""
        with self._catalogue.reading() as connection:
            return list_annotations(connection, plate_id)

    def close(self) -> None:
        """Let go of files and locks; nothing more may be asked."""
        self._catalogue.close()
        if self._lock is not None:
            self._lock.close()

    def _import_of(self, plate_id: int) -> str:
        with self._catalogue.reading() as connection:
            return place_of_plate(connection, plate_id)[0]

    def _must_write(self) -> None:
        if self._read_only:
            raise RepositoryReadOnly(
                f"{self.folder} was opened for reading only.", hint="Ask the mesh that runs there instead."
            )
