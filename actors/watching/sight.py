"""What is asked of a look at a watched folder, and what it found (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Mark(NamedTuple):
    """Which folder it is that has a unit's name: its inode, and when it was made, in ns since 1970; 0 is not known.

    Neither is enough alone. A file system may give a new folder the inode of one that was deleted, and others have
    new inodes for old folders each time they are mounted.
    """

    inode: int = 0
    born_ns: int = 0

    def is_other(self, before: Mark) -> bool:
        """Whether it is known to be another than ``before``."""
        if not self.inode or not before.inode:
            return False
        return self.inode != before.inode or (0 != self.born_ns != before.born_ns != 0)


class Seen(NamedTuple):
    """A unit as a look found it: what tells its names and sizes from others, how many files it has, and their newest.

    ``newest_ns`` is the time of the latest file; 0 where nobody looked. ``mark`` is that of a folder.
    """

    digest: str
    n_files: int
    newest_ns: int = 0
    mark: Mark = Mark()


class Wish(NamedTuple):
    """What a look is to find out.

    ``folders`` were handed over: their own times are enough. ``loose`` are the files of each loose fileset that was,
    ``taken`` all of them. ``restless`` are units among both whose files are to be looked at in any case, ``aside``
    loose files that are no images. As long as nothing changes it is the same object.
    """

    folders: frozenset[str] = frozenset()
    loose: Mapping[str, tuple[str, ...]] = {}
    taken: frozenset[str] = frozenset()
    restless: frozenset[str] = frozenset()
    aside: frozenset[str] = frozenset()


class Sight(NamedTuple):
    """What a look found; with ``missing`` nothing can be concluded from it, and that is why.

    ``names`` is everything that lies in the folder itself, folders with "/" behind. ``units`` holds what was looked
    at closely, ``loose`` the sizes of the loose files that no unit has.
    """

    missing: str = ""
    names: frozenset[str] = frozenset()
    units: Mapping[str, Seen] = {}
    loose: Mapping[str, int] = {}
    trouble: Mapping[str, str] = {}


def seen(files: Iterable[tuple[str, int]]) -> Seen:
    """What tells these names and sizes from others; neither times nor permissions do."""
    digest = hashlib.blake2b(digest_size=16)
    n_files = 0
    for name, size in sorted(files):
        digest.update(f"{name}\0{size}\n".encode())
        n_files += 1
    return Seen(digest.hexdigest(), n_files)
