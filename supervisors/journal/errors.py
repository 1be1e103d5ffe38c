"""What can go wrong with a journal, and whose fault it is."""

import errno

from ...config.errors import MeshError


class JournalError(MeshError):
    """Something is wrong with a journal."""


class JournalDamaged(JournalError, ValueError):
    """Bytes that were once durable are not what was written; names the file and the offset."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        super().__init__(
            f"journal file {file} is damaged at byte {offset}: {reason}",
            hint="Nothing was changed. Restore the folder from a copy, or move it away to start empty; "
            "`hcs-mesh journal check` lists what can still be read.",
        )
        self.file = file
        self.offset = offset
        self.reason = reason


class JournalFull(JournalError, OSError):
    """The disk has no room for a record: it was not written, and later appends may succeed."""

    def __init__(self, folder: str, needed_bytes: int) -> None:
        super().__init__(
            f"no room for {needed_bytes} bytes in the journal {folder}",
            hint="Free disk space and try again; nothing was written and the journal stays usable.",
        )
        self.errno = errno.ENOSPC


class JournalPoisoned(JournalError, OSError):
    """The disk failed while syncing, so what it holds is unknown until the journal is opened again."""

    def __init__(self, folder: str, cause: str) -> None:
        super().__init__(
            f"the disk failed under the journal {folder}: {cause}",
            hint="A failed sync cannot be retried (the kernel forgets the dirty pages). "
            "Check the disk, then restart: opening replays what is really there.",
        )
        self.errno = errno.EIO


class CheckpointSuperseded(JournalError, ValueError):
    """An earlier checkpoint stands for more than this one would: nothing was changed."""

    def __init__(self, folder: str, through: int, earlier: int) -> None:
        super().__init__(
            f"cannot checkpoint the journal {folder} through {through}: one through {earlier} stands already",
            hint="Checkpoint through what the records really hold, and never through less than before.",
        )


class JournalInUse(JournalError, BlockingIOError):
    """Another process writes this journal."""


class JournalClosed(JournalError, ValueError):
    """The journal was closed before this call."""


class NetworkFileSystem(JournalError, OSError):
    """The folder lies on a network file system, whose locks and syncs promise too little."""


class RecordRefused(JournalError, ValueError):
    """A record's tag is unknown to this program, or its fields do not fit."""


class RecordTooLarge(JournalError, ValueError):
    """A record is larger than any record may be."""
