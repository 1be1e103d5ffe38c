"""What a held source promises, file by file, and what to let go of when the disk fills (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from ..repository import SourceFile

Guarantee = Literal["deny-delete", "reflink", "hard link", "watched only"]

GUARANTEES: tuple[Guarantee, ...] = ("deny-delete", "reflink", "hard link", "watched only")
"""Best first: nobody can change it; a copy of its own; deletion and rename are survived; changes are detected."""

STAGED: frozenset[Guarantee] = frozenset({"reflink", "hard link"})
"""Those that read from the staging folder and not from the source."""


CLONE = ".clone"
CLONING = ".cloning"
"""What a clone is called until it is the settled file's."""


class HeldFile(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """One file as it is to be read from now on; ``ctime_ns`` and ``n_links`` as they were once it was held.

    ``origin``, ``origin_ctime_ns`` and ``device`` are those of the source's own file, which a reflink does not have;
    0 where they are not known.
    """

    path: str
    guarantee: Guarantee
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0
    n_links: int = 1
    origin: int = 0
    origin_ctime_ns: int = 0
    device: int = 0

    @property
    def expected(self) -> SourceFile:
        """What a reader of it must find."""
        # A link lies where only the mesh puts files, and may be the only copy: a file system that is numbered anew
        # when the host starts again does not make another file of it.
        device = 0 if self.guarantee in STAGED else self.device
        return SourceFile(path=self.path, size=self.size, mtime_ns=self.mtime_ns, inode=self.inode, device=device)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """How a source is guarded while it is imported; ``reason`` says why not better.

    ``staging`` is the absolute folder that holds this import's links, or empty where there are none;
    ``staging_inode`` tells it from another that somebody puts there.
    """

    import_id: str
    source: str
    staging: str = ""
    staging_inode: int = 0
    files: tuple[HeldFile, ...] = ()
    reason: str = ""

    @property
    def guarantee(self) -> Guarantee:
        """The weakest of its files' guarantees: what can be promised of the whole."""
        return weakest(file.guarantee for file in self.files)

    @property
    def n_files(self) -> tuple[tuple[Guarantee, int], ...]:
        """How many files have which guarantee, best first."""
        counts = Counter(file.guarantee for file in self.files)
        return tuple((one, counts[one]) for one in GUARANTEES if counts[one])

    @property
    def expected(self) -> tuple[SourceFile, ...]:
        """The files as a transfer through a reader of this hold finds them."""
        return tuple(file.expected for file in self.files)

    def path_of(self, file: HeldFile) -> str:
        """Where one of its files is read: its link, its clone, or the source's own."""
        match file.guarantee:
            case "hard link":
                return f"{self.staging}/{file.path}"
            case "reflink":
                return clone_path(f"{self.staging}/{file.path}", file.origin)
            case _:
                return f"{self.source}/{file.path}"

    def __str__(self) -> str:
        """For people: "hard link (96 files), watched only (2 files): why not better"."""
        told = ", ".join(f"{one} ({n} file{'s' if n != 1 else ''})" for one, n in self.n_files) or "nothing to hold"
        return f"{told}: {self.reason}" if self.reason else told


def watched(file: HeldFile) -> HeldFile:
    """The same file, its link or clone given up: read by the name that the source has for it, and by that alone."""
    return msgspec.structs.replace(
        file, guarantee="watched only", inode=file.origin, ctime_ns=file.origin_ctime_ns or file.ctime_ns
    )


def clone_path(staged: str, origin: int) -> str:
    """The name of a reflink: it says of which file, since its size and time could be those of another."""
    return f"{staged}.{origin}{CLONE}"


def weakest(guarantees: Iterable[Guarantee]) -> Guarantee:
    """The last of the guarantees in the order best first; "watched only" of none."""
    ranks = [GUARANTEES.index(one) for one in guarantees]
    return GUARANTEES[max(ranks)] if ranks else "watched only"


class HeldSpace(msgspec.Struct, frozen=True, kw_only=True):
    """The disk space that one hold costs: bytes that would be free without it.

    ``n_bytes_again`` of them can be read again from a source that still exists, the others, of ``n_files_only`` files,
    from nowhere.
    """

    import_id: str
    n_bytes: int = 0
    n_bytes_again: int = 0
    n_files_only: int = 0

    @property
    def n_bytes_only(self) -> int:
        """The bytes of which this hold has the only copy."""
        return self.n_bytes - self.n_bytes_again


class Swept(msgspec.Struct, frozen=True):
    """The imports whose links a sweep took away, and those of which it found links that nobody had called over."""

    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class Relief(NamedTuple):
    """What to let go of: the imports in order, the bytes that come free, and a sentence for people."""

    let_go: tuple[str, ...]
    n_bytes: int
    message: str


def pressure(spaces: Sequence[HeldSpace], n_bytes_free: int, floor_bytes: int) -> Relief:
    """Decide what is let go of so that ``floor_bytes`` are free again, largest first.

    Only what can be read again from its source is ever given up: of a file whose name is gone, the hold has
    the only copy, and a full disk is the lesser loss.
    """
    if n_bytes_free >= floor_bytes:
        return Relief((), 0, "")
    chosen: list[str] = []
    n_freed = 0
    for space in sorted(spaces, key=lambda one: (-one.n_bytes_again, one.import_id)):
        if not space.n_bytes_again or n_bytes_free + n_freed >= floor_bytes:
            break
        chosen.append(space.import_id)
        n_freed += space.n_bytes_again
    n_only = sum(space.n_bytes_only for space in spaces)
    parts = [f"{n_bytes_free:,} bytes are free where {floor_bytes:,} should be"]
    if chosen:
        parts.append(
            f"{n_freed:,} held bytes of {', '.join(chosen)} are let go of, which are read from their source again"
        )
    if n_only and n_bytes_free + n_freed < floor_bytes:
        parts.append(f"{n_only:,} held bytes are the only copy and are kept until their imports are done")
    return Relief(tuple(chosen), n_freed, "; ".join(parts))
