"""Results of wells on disk: written under a temporary name by an executor, published by one rename."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..repository import ResultFile, StoredResult
from .disk import make_folders, sync_file, sync_folder
from .errors import ResultNotSealed, repository_errors
from .names import attempt_folder, checked_id, checked_path, parse_attempt, well_folder

RECORD = "result.msgpack"
"""The file that says what a result's folder holds; written last, so its presence seals the folder."""


class JobFolder:
    """Where the results of one job on one plate lie."""

    def __init__(self, import_folder: Path, plate_id: int, job: str) -> None:
        self._plate_id = plate_id
        self._job = checked_id(job)
        self._path = import_folder / "results" / f"plate_{plate_id}" / job

    def begin(self, well: str, attempt: int) -> Path:
        """Make an empty folder for an attempt, whatever an earlier life of the same attempt left there.

        Raises:
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the folder cannot be made.
        """
        folder = self._path / attempt_folder(well, attempt)
        with repository_errors(folder):
            make_folders(self._path)
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        return folder

    def publish(self, well: str, attempt: int) -> StoredResult:
        """Rename a sealed attempt to the well's name, or adopt what an earlier commit left under that name.

        Raises:
            ResultNotSealed: neither is there, or it says that it belongs to something else.
            RepositoryFailed: the disk refused.
        """
        final = self._path / well_folder(well)
        folder = self._path / attempt_folder(well, attempt)
        if final.exists():
            self.drop(well, attempt)
        else:
            self._read(folder, well)
            with repository_errors(final):
                folder.rename(final)
        with repository_errors(final):
            # Before the catalogue says so; an adopted name may not have reached the disk either.
            sync_folder(self._path)
        return msgspec.structs.replace(self._read(final, well), folder=str(final))

    def drop(self, well: str, attempt: int) -> None:
        """Remove what an attempt wrote, if anything.

        Raises:
            RepositoryFailed: the disk refused.
        """
        folder = self._path / attempt_folder(well, attempt)
        with repository_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def drop_finished(self, well: str) -> None:
        """Remove what was published of a well, for who keeps it elsewhere.

        Raises:
            RepositoryFailed: the disk refused.
        """
        folder = self._path / well_folder(well)
        with repository_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def attempts(self) -> Iterator[tuple[str, int]]:
        """The wells and attempts that have a temporary folder here."""
        for name in self._names():
            found = parse_attempt(name)
            if found is not None:
                yield found

    def finished(self) -> Iterator[str]:
        """The wells whose result has its final name here."""
        for name in self._names():
            if not name.startswith("."):
                yield "" if name == well_folder("") else name

    def _names(self) -> list[str]:
        with repository_errors(self._path):
            return sorted(path.name for path in self._path.iterdir()) if self._path.is_dir() else []

    def _read(self, folder: Path, well: str) -> StoredResult:
        record = read_record(folder)
        if (record.job, record.plate_id, record.well) != (self._job, self._plate_id, well):
            raise ResultNotSealed(
                f"{folder} holds well {record.well!r} of plate {record.plate_id} and job {record.job},"
                f" not well {well!r} of plate {self._plate_id} and job {self._job}."
            )
        return record


def seal_well(folder: Path, result: StoredResult) -> StoredResult:
    """Make a well's files durable and add the record that says what they are, sizes and SHA-1 filled in.

    Called by whoever wrote the files; nothing may be written there afterwards.

    Raises:
        ResultNotSealed: the result names a file that is not there.
        RepositoryFull, RepositoryFailed: the disk refused.
    """
    sealed = msgspec.structs.replace(result, folder="", files=tuple(_measured(folder, file) for file in result.files))
    record = folder / RECORD
    with repository_errors(record):
        for below, _, names in os.walk(folder):
            for name in names:
                sync_file(Path(below, name))
            sync_folder(Path(below))
        begun = folder / f"{RECORD}.part"
        begun.write_bytes(msgspec.msgpack.encode(sealed))
        sync_file(begun)
        begun.rename(record)
        sync_folder(folder)
    return sealed


def read_record(folder: Path) -> StoredResult:
    """Return what a sealed folder says it holds.

    Raises:
        ResultNotSealed: there is no record, or not a whole one.
    """
    try:
        return msgspec.msgpack.decode((folder / RECORD).read_bytes(), type=StoredResult)
    except (OSError, msgspec.DecodeError) as error:
        raise ResultNotSealed(
            f"{folder} holds no finished result ({error}).", hint="The well has to be computed again."
        ) from error


def _measured(folder: Path, file: ResultFile) -> ResultFile:
    path = folder / checked_path(file.path)
    try:
        with path.open("rb") as reader:
            digest = hashlib.file_digest(reader, lambda: hashlib.sha1(usedforsecurity=False))
            return msgspec.structs.replace(file, size=reader.tell(), sha1=digest.hexdigest())
    except FileNotFoundError as error:
        raise ResultNotSealed(f"The result names {file.path}, which is not in {folder}.") from error
