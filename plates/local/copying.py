"""One file from the source into the repository, hashed on its way."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.errors import MeshError
from ..checksums import Algorithm, new_digest
from ..repository import OpenSource, SmallFileReader, SourceFile, SourceReader, StoredFile
from .disk import free_bytes
from .disk_file import BUFFER_BYTES, disk_buffer
from .errors import SourceChanged, TransferCancelled, repository_error, repository_errors
from .names import PART
from .small_files import SMALL_BYTES

if TYPE_CHECKING:
    import hashlib

_OPEN = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
"""Never through a link: what an import in place left under this name leads to somebody's only copy."""

_UTIME_BY_HANDLE = os.utime in os.supports_fd


class Copier:
    """Copies files one after another through buffers of its own."""

    def __init__(
        self,
        source: SourceReader,
        target: Path,
        algorithm: Algorithm,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._source = source
        self._read_small = source.read_small if isinstance(source, SmallFileReader) else None
        # A string, not a path: joining paths costs more than copying a small file.
        self._target = str(target)
        self._algorithm = algorithm
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._buffer = disk_buffer()
        self._there = disk_buffer()

    def copy_all(self, handful: Sequence[SourceFile]) -> list[StoredFile]:
        """Copy a large file or some small ones as ``copy`` does; small ones that nothing has touched, with fewer calls.

        Raises:
            MeshError: as ``copy`` says.
        """
        if self._read_small is None or handful[0].size > SMALL_BYTES:
            return [self.copy(file) for file in handful]
        self._check_wanted()
        stored = [self._kept(file, content) for file, content in zip(handful, self._read_small(handful), strict=True)]
        self._on_bytes(sum(one.size for one in stored if one is not None))
        return [one or self.copy(file) for file, one in zip(handful, stored, strict=True)]

    def _kept(self, file: SourceFile, content: bytes | None) -> StoredFile | None:
        """Write a small file that is new here; None of one that cannot be had so, or of which some is here already."""
        if content is None:
            return None
        part = f"{self._target}/{file.path}{PART}"
        try:
            descriptor = os.open(part, _OPEN | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None
        except OSError as error:
            raise repository_error(error, part) from error
        try:
            self._write(descriptor, part, content)
            self._finish(descriptor, part, file.size, file, fresh=True)
        finally:
            os.close(descriptor)
        digest = new_digest(self._algorithm)
        digest.update(content)
        return self._stored(file, digest.hexdigest())

    def copy(self, file: SourceFile) -> StoredFile:
        """Leave the file's bytes under its ``.part`` name and return their checksum.

        The bytes need not be on the disk yet.

        Raises:
            SourceChanged: the file is not as it was when it settled, or changed while it was read.
            SourceMissing, SourceUnreadable, SourceFailed: the source cannot be read.
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the repository cannot be written.
            TransferCancelled: the caller wanted no more.
        """
        with closing(self._source.open(file.path)) as reader:
            before = reader.look()
            check_settled(file, before, reader.name)
            checksum = self._fill(reader, f"{self._target}/{file.path}{PART}", before)
            after = reader.look()
            if after != before:
                raise source_changed(reader.name, before.size, after.size)
        return self._stored(before, checksum)

    def _stored(self, file: SourceFile, checksum: str) -> StoredFile:
        return StoredFile(
            path=file.path,
            size=file.size,
            checksum=checksum,
            algorithm=self._algorithm,
            mtime_ns=file.mtime_ns,
            inode=file.inode,
        )

    def _fill(self, reader: OpenSource, part: str, before: SourceFile) -> str:
        descriptor, fresh = _opened(part)
        try:
            digest = new_digest(self._algorithm)
            position = 0 if fresh else self._compare(reader, descriptor, digest, part, before.size)
            # No read finds the end: that the file has not grown is what the look after it says.
            while position < before.size and (n := self._read(reader, position, before.size)):
                digest.update(self._buffer[:n])
                self._write(descriptor, part, self._buffer[:n])
                position += n
                self._on_bytes(n)
            self._finish(descriptor, part, position, before, fresh=fresh)
        finally:
            os.close(descriptor)
        if position != before.size:
            raise source_changed(reader.name, before.size, position)
        return digest.hexdigest()

    def _finish(self, descriptor: int, part: str, position: int, before: SourceFile, *, fresh: bool) -> None:
        try:
            if not fresh and os.fstat(descriptor).st_size != position:
                os.ftruncate(descriptor, position)
            if before.mtime_ns:
                os.utime(descriptor if _UTIME_BY_HANDLE else part, ns=(before.mtime_ns, before.mtime_ns))
        except OSError as error:
            raise repository_error(error, part) from error

    def _compare(self, reader: OpenSource, descriptor: int, digest: hashlib._Hash, part: str, size: int) -> int:
        """Hash what is there already as long as it equals the source, and return where copying goes on.

        Comparing costs one more read and finds what a power cut left and a source that changed since.
        """
        position = 0
        with repository_errors(part):
            # A second handle on the same open file: what it reads, the writing goes on behind.
            writer = FileIO(descriptor, "r+b", closefd=False)
            n_there = os.fstat(descriptor).st_size
            while position < min(n_there, size):
                here = writer.readinto(self._there) or 0
                n = self._read(reader, position, size)
                same = min(here, n)
                if not same or bytes(self._there[:same]) != bytes(self._buffer[:same]):
                    break
                digest.update(self._buffer[:same])
                position += same
                self._on_bytes(same)
                if here != n:
                    break
            writer.seek(position)
            reader.seek(position)
        return position

    def _check_wanted(self) -> None:
        if self._cancelled():
            raise TransferCancelled("The transfer was cancelled; what is there is continued by the next one.")

    def _read(self, reader: OpenSource, position: int, size: int) -> int:
        self._check_wanted()
        return reader.read_into(self._buffer[: size - position] if size - position < BUFFER_BYTES else self._buffer)

    def _write(self, descriptor: int, part: str, content: bytes | memoryview) -> None:
        try:
            n_written = os.write(descriptor, content)
            while n_written < len(content):
                n_written += os.write(descriptor, memoryview(content)[n_written:])
        except OSError as error:
            raise repository_error(error, part, n_bytes_free=_free(part)) from error


def _opened(part: str) -> tuple[int, bool]:
    """Open a file in transit and say whether it is a new one."""
    try:
        try:
            return os.open(part, _OPEN | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            # Never truncated here: what an earlier call left is compared and continued.
            return os.open(part, _OPEN), False
    except OSError as error:
        raise repository_error(error, part) from error


def _free(part: str) -> int | None:
    try:
        return free_bytes(Path(part).parent)
    except OSError:
        return None


def check_settled(file: SourceFile, now: SourceFile, name: str) -> None:
    """Refuse a file that is not as it was when its source had settled.

    Raises:
        SourceChanged: its size, time, inode or file system is another one.
    """
    if (
        now.size != file.size
        or (file.mtime_ns and now.mtime_ns != file.mtime_ns)
        or (file.inode and now.inode != file.inode)
        or (file.device and now.device and now.device != file.device)
    ):
        raise source_changed(name, file.size, now.size)


def source_changed(path: str, n_before: int, n_after: int) -> MeshError:
    """The error for a file that did not stay as it was."""
    how = f"{n_before:,} bytes became {n_after:,}" if n_before != n_after else f"it still has {n_after:,} bytes"
    return SourceChanged(
        f"{path} changed after it had settled ({how}).",
        hint="Something still writes to it: the import waits until the file is quiet, then reads it again.",
    )
