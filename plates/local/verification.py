"""Reading a stored fileset again from the disk, to prove that it is what was read from the source."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from ..checksums import TITLES, new_digest
from ..errors import NoLongerAsImported
from ..linked_file import open_linked
from ..repository import StoredFile, ignore_bytes, ignore_linked, never
from .crew import handfuls, work_through
from .disk_file import DiskFile, disk_buffer, fetch
from .errors import ChecksumMismatch, TransferCancelled, repository_error

N_THREADS = 3
"""One more than cores that hash: while one waits for the disk, the others are not idle."""
NAMED_FILES = 3
_NO_LINK = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Verifier:
    """Hashes stored files one after another through a buffer of its own."""

    def __init__(
        self,
        folder: Path,
        on_bytes: Callable[[int], None],
        on_linked: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._on_bytes = on_bytes
        self._on_linked = on_linked
        self._cancelled = cancelled
        self._buffer = disk_buffer()

    def check_all(self, handful: Sequence[StoredFile]) -> list[tuple[str, str]]:
        """Return the files' paths, each with what is wrong with it, or an empty string.

        Raises:
            TransferCancelled: the caller wanted no more.
            RepositoryFailed, RepositoryNotWritable: the disk does not hand a file out.
        """
        if len(handful) == 1:
            return [(file.path, self.check(file)) for file in handful]
        fetched: list[int | bool] = []
        try:
            fetched.extend(map(self._fetched, handful))
            self._check_wanted()
            good = {
                file.path
                for opened, file in zip(fetched, handful, strict=True)
                if not isinstance(opened, bool) and _is_good(opened, file)
            }
            self._on_bytes(sum(file.size for file in handful if file.path in good))
            return [
                (file.path, "" if file.path in good else self.check(file, fetched=opened is not False))
                for opened, file in zip(fetched, handful, strict=True)
            ]
        finally:
            for descriptor in fetched:
                if not isinstance(descriptor, bool):
                    os.close(descriptor)

    def _fetched(self, file: StoredFile) -> int | bool:
        """A descriptor of a file that comes from the disk by now; of a linked one only whether it does."""
        # A string, not a path: joining paths costs more than reading a small file.
        path = f"{self._folder}/{file.path}"
        try:
            if file.links_to:
                # The very file and no other: what somebody put in its place is not his to have read.
                self._on_linked()
                with open_linked(path, file) as descriptor:
                    return fetch(descriptor)
            opened = os.open(path, _NO_LINK)
        except (OSError, NoLongerAsImported):
            # Whether it is missing or cannot be read is told when it is its turn.
            return False
        try:
            comes = fetch(opened)
        except OSError:
            comes = False
        if not comes:
            os.close(opened)
        return opened if comes else False

    def _check_wanted(self) -> None:
        if self._cancelled():
            raise TransferCancelled("The verification was cancelled; the next one starts again.")

    def check(self, file: StoredFile, *, fetched: bool = False) -> str:
        """Return what is wrong with a file, or an empty string; ``fetched`` that it has just come from the disk.

        Raises:
            TransferCancelled: the caller wanted no more.
            RepositoryFailed, RepositoryNotWritable: the disk does not hand the file out.
        """
        path = f"{self._folder}/{file.path}"
        if not file.links_to:
            if os.path.islink(path):  # noqa: PTH114 - see ``_fetched``
                return "is a link, and no copy"
            return self._compare(path, file, path, fetched=fetched)
        self._on_linked()
        try:
            with open_linked(path, file) as descriptor:
                wrong = self._compare(os.dup(descriptor), file, path, fetched=fetched)
        except NoLongerAsImported as error:
            return error.reason
        return wrong and f"was imported in place and has changed since: it {wrong}"

    def _compare(self, opened: str | int, file: StoredFile, path: str, *, fetched: bool) -> str:
        digest = new_digest(file.algorithm)
        n_bytes = 0
        try:
            with closing(DiskFile(opened, fetched=fetched)) as reader:
                while n := reader.read_into(self._buffer):
                    self._check_wanted()
                    digest.update(self._buffer[:n])
                    n_bytes += n
                    self._on_bytes(n)
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            raise repository_error(error, path) from error
        if n_bytes != file.size:
            return f"has {n_bytes:,} bytes instead of {file.size:,}"
        if digest.hexdigest() != file.checksum:
            title = TITLES[file.algorithm]
            return f"has {title} {digest.hexdigest()} instead of {file.checksum or 'one that was recorded'}"
        return ""


def _is_good(descriptor: int, file: StoredFile) -> bool:
    """Whether a small file that was fetched is what its checksum stands for; what is wrong, a closer look tells."""
    try:
        # One byte more than it should have, to see that it has none.
        content = os.read(descriptor, file.size + 1)
    except OSError:
        return False
    digest = new_digest(file.algorithm)
    digest.update(content)
    return len(content) == file.size and digest.hexdigest() == file.checksum


def examine(
    folder: Path,
    files: Sequence[StoredFile],
    *,
    on_bytes: Callable[[int], None] = ignore_bytes,
    on_linked: Callable[[], None] = ignore_linked,
    cancelled: Callable[[], bool] = never,
) -> list[tuple[str, str]]:
    """Read every file again and return those that are not what their checksum stands for, each with the reason.

    Raises:
        TransferCancelled: ``cancelled`` answered True.
        RepositoryFailed: the disk does not hand a file out.
    """

    def worker() -> Callable[[tuple[StoredFile, ...]], list[tuple[str, str]]]:
        return Verifier(folder, on_bytes, on_linked, cancelled).check_all

    with closing(work_through(handfuls(files, N_THREADS), worker, min(N_THREADS, len(files)) or 1)) as checked:
        return sorted((path, reason) for some in checked for path, reason in some if reason)


def verify(
    folder: Path,
    files: Sequence[StoredFile],
    *,
    on_bytes: Callable[[int], None] = ignore_bytes,
    on_linked: Callable[[], None] = ignore_linked,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Promise that every file lies on the disk with the bytes that its checksum stands for.

    ``on_linked`` is called, from the working threads, before a file is opened that lies in place.

    Raises:
        ChecksumMismatch: one or more do not; all of them are looked at first.
        TransferCancelled: ``cancelled`` answered True.
        RepositoryFailed: the disk does not hand a file out.
    """
    wrong = examine(folder, files, on_bytes=on_bytes, on_linked=on_linked, cancelled=cancelled)
    if wrong:
        told = "; ".join(f"{path} {reason}" for path, reason in wrong[:NAMED_FILES])
        more = f"; and {len(wrong) - NAMED_FILES} more" if len(wrong) > NAMED_FILES else ""
        raise ChecksumMismatch(
            f"{len(wrong)} of {len(files)} stored files are not what was read: {told}{more}.",
            hint="What is held is copied again, also when the import is retried; if it repeats, check disk and memory.",
            files=tuple(path for path, _ in wrong),
        )
