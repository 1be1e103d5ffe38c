"""Imports between two worlds: their files on the disk and, once all are there, their rows in the catalogue."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..checksums import Algorithm
from ..labels import Target
from ..link_records import RECORDS
from ..repository import ImportStanding, PartialFile, SourceFile, SourceReader, StoredFile, StoredFileset
from .adoption import adopt, record_links
from .catalogue import Catalogue
from .disk import sync_folder
from .errors import ChecksumMismatch, ImportRegistered, repository_errors
from .link_rows import imports_in_place, link_marks, linked_files, links_into
from .names import PART, checked_id
from .registration import insert_import, registered_imports, registered_plates
from .transfer import take_back, transfer
from .verification import verify


class ImportShelf:
    """Takes the files of imports over; those of a registered import stay as they are."""

    def __init__(
        self, folder: Path, catalogue: Catalogue, clock: Callable[[], float], *, n_threads: int, algorithm: Algorithm
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._clock = clock
        self._n_threads = n_threads
        self._algorithm = algorithm

    def files_folder(self, import_id: str) -> Path:
        """Where an import's files lie, whether they are there yet or not.

        Raises:
            BadName: the id cannot be a folder's name.
        """
        return self._import_folder(import_id) / "files"

    def ids(self) -> frozenset[str]:
        """The imports of which anything is here.

        Raises:
            RepositoryFailed: the disk refuses to list them.
        """
        with repository_errors(self._folder):
            begun = [one.name for one in self._folder.iterdir()] if self._folder.exists() else []
        with self._catalogue.reading() as connection:
            return frozenset(begun) | registered_imports(connection)

    def links_into(self, folder: str) -> dict[str, str]:
        """The files below a folder that registered imports have in place, each with one of them."""
        with self._catalogue.reading() as connection:
            return dict(links_into(connection, folder))

    def has_in_place(self, files: Sequence[SourceFile]) -> str:
        """A registered import that has one of these files in place, by whatever path; empty if none has."""
        marks = {file.mark for file in files if file.mark}
        with self._catalogue.reading() as connection:
            return next((import_id for mark, import_id in link_marks(connection) if mark in marks), "")

    def standing(self, import_id: str) -> ImportStanding:
        """What is here of an import.

        Raises:
            RepositoryFailed: the disk refuses to list it.
        """
        folder = self.files_folder(import_id)
        complete: list[str] = []
        partial: list[PartialFile] = []
        n_bytes = 0
        with repository_errors(folder):
            for path, size in _files_below(folder):
                n_bytes += size
                if path.endswith(PART):
                    partial.append(PartialFile(path=path.removesuffix(PART), size=size))
                else:
                    complete.append(path)
        plate_ids = self._registered(import_id)
        return ImportStanding(
            import_id=import_id,
            registered=plate_ids is not None,
            plate_ids=plate_ids or (),
            complete=tuple(sorted(complete)),
            partial=tuple(sorted(partial, key=lambda file: file.path)),
            n_bytes=n_bytes,
        )

    def transfer(
        self,
        import_id: str,
        source: SourceReader,
        files: Sequence[SourceFile],
        *,
        known: Sequence[StoredFile],
        on_bytes: Callable[[int], None],
        on_files: Callable[[tuple[StoredFile, ...]], None],
        cancelled: Callable[[], bool],
    ) -> tuple[StoredFile, ...]:
        """Take files over, continuing where an earlier call stopped.

        Raises:
            ImportRegistered: its plates exist.
            MeshError: as ``transfer`` says.
        """
        self._must_not_be_registered(import_id)
        return transfer(
            source,
            self.files_folder(import_id),
            files,
            algorithm=self._algorithm,
            known=known,
            on_bytes=on_bytes,
            on_files=on_files,
            cancelled=cancelled,
            n_threads=self._n_threads,
        )

    def adopt(
        self,
        import_id: str,
        source: Path,
        files: Sequence[SourceFile],
        *,
        reader: SourceReader | None,
        known: Sequence[StoredFile],
        on_bytes: Callable[[int], None],
        on_files: Callable[[tuple[StoredFile, ...]], None],
        cancelled: Callable[[], bool],
    ) -> tuple[StoredFile, ...]:
        """Link to files where they lie, each hashed once.

        Raises:
            ImportRegistered: its plates exist.
            MeshError: as ``adopt`` says.
        """
        self._must_not_be_registered(import_id)
        return adopt(
            source,
            self.files_folder(import_id),
            files,
            reader=reader,
            algorithm=self._algorithm,
            known=known,
            on_bytes=on_bytes,
            on_files=on_files,
            cancelled=cancelled,
            n_threads=self._n_threads,
        )

    def record_links(self) -> None:
        """See to it that beside the links of every import in place stands what they led to.

        An older version kept it in the catalogue alone, and a copy of the repository may have lost it.

        Raises:
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
        """
        with self._catalogue.reading() as connection:
            for import_id in imports_in_place(connection):
                folder = self.files_folder(import_id)
                if folder.is_dir() and not folder.with_name(RECORDS).exists():
                    record_links(folder, linked_files(connection, import_id))

    def verify(
        self,
        import_id: str,
        files: Sequence[StoredFile],
        *,
        on_bytes: Callable[[int], None],
        on_linked: Callable[[], None],
        cancelled: Callable[[], bool],
        mend: bool,
    ) -> None:
        """Compare every file with its checksum; with ``mend`` what differs before registration is in transit again.

        Raises:
            ChecksumMismatch: some do not match.
            TransferCancelled: ``cancelled`` answered True.
            RepositoryFailed: the disk refuses.
        """
        folder = self.files_folder(import_id)
        try:
            verify(folder, files, on_bytes=on_bytes, on_linked=on_linked, cancelled=cancelled)
        except ChecksumMismatch as mismatch:
            if mend and self._registered(import_id) is None:
                with repository_errors(folder):
                    for path in (folder / file for file in mismatch.files):
                        take_back(path)
            raise

    def register(
        self, import_id: str, filesets: Sequence[StoredFileset], *, name: str, source: str, owner: str, target: Target
    ) -> tuple[int, ...]:
        """Make an import's plates appear all at once; the same ids when it is repeated.

        Raises:
            FilesDoNotMatch: a plate names a file that is not in its fileset.
            RepositoryFull, RepositoryFailed: the disk refuses.
        """
        checked_id(import_id)
        with self._catalogue.writing() as connection:
            there = registered_plates(connection, import_id)
            if there is not None:
                return there
            return insert_import(
                connection,
                import_id,
                filesets,
                name=name,
                source=source,
                owner=owner,
                target=target,
                now_s=self._clock(),
            )

    def discard(self, import_id: str) -> None:
        """Remove the files of an import that was never registered; a link goes, what it leads to stays.

        Raises:
            ImportRegistered: its plates exist.
            RepositoryNotWritable, RepositoryFailed: the disk refuses.
        """
        self._must_not_be_registered(import_id)
        folder = self._import_folder(import_id)
        with repository_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)
                sync_folder(folder.parent)

    def _import_folder(self, import_id: str) -> Path:
        return self._folder / checked_id(import_id)

    def _registered(self, import_id: str) -> tuple[int, ...] | None:
        with self._catalogue.reading() as connection:
            return registered_plates(connection, import_id)

    def _must_not_be_registered(self, import_id: str) -> None:
        plates = self._registered(import_id)
        if plates is not None:
            raise ImportRegistered(
                f"Import {import_id} is finished: its files belong to {len(plates)} plates and stay as they are.",
                hint="Import the folder anew if it has changed.",
            )


def _files_below(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file in a folder and below it by its relative path, with its size."""
    # Strings, not paths: an import of a hundred thousand small files is looked at several times.
    prefixes = [""]
    while prefixes:
        prefix = prefixes.pop()
        try:
            entries = os.scandir(f"{folder}/{prefix}")
        except FileNotFoundError:
            continue  # Nothing of it is here yet.
        with entries:
            for entry in entries:
                if entry.is_symlink() and not Path(entry.path).exists():
                    continue  # Imported in place, and no longer there: nothing of it is complete.
                if not entry.is_dir():
                    yield prefix + entry.name, entry.stat().st_size
                elif not entry.is_symlink():
                    prefixes.append(f"{prefix}{entry.name}/")
