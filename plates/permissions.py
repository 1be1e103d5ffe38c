"""What an account may do with a file or folder by its mode and its access control list (pure).

POSIX.1e draft 17, section 23.1.5, as Linux does it (acl(5)).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from .errors import SourceUnreadable

_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_READ, _WRITE, _ENTER = 4, 2, 1
_STICKY = 0o1000


class Account(msgspec.Struct, frozen=True):
    """Somebody whom the operating system knows, with all the groups he is in."""

    name: str
    uid: int
    gids: tuple[int, ...]


class AclEntry(NamedTuple):
    """One line of an access control list."""

    tag: int
    permissions: int
    qualifier: int


class Node(NamedTuple):
    """A file or folder: what is written down of who may do what with it."""

    mode: int
    uid: int
    gid: int
    acl: tuple[AclEntry, ...] = ()


def may(account: Account, node: Node, *, read: bool = False, write: bool = False, enter: bool = False) -> bool:
    """Whether an account may read it, write to it, or enter it where it is a folder; root may."""
    if account.uid == 0:
        return True
    wanted = _READ * read | _WRITE * write | _ENTER * enter
    return _granted(account, node, wanted)


def may_delete(account: Account, folder: Node, owner: int | None = None) -> bool:
    """Whether an account may delete in a folder, of a file the one whose ``owner`` this is (unlink(2))."""
    if not may(account, folder, write=True, enter=True):
        return False
    kept = owner is not None and folder.mode & _STICKY and account.uid not in (0, owner, folder.uid)
    return not kept


def _granted(account: Account, node: Node, wanted: int) -> bool:
    if account.uid == node.uid:
        # The owner's own bits alone count for him, also where the others' grant more.
        return _has(node.mode >> 6, wanted)
    mask = next((entry.permissions for entry in node.acl if entry.tag == _MASK), 7)
    for entry in node.acl:
        if entry.tag == _USER and entry.qualifier == account.uid:
            return _has(entry.permissions & mask, wanted)
    if not node.acl:
        return _has(node.mode >> 3 if node.gid in account.gids else node.mode, wanted)
    groups = [
        entry.permissions & mask
        for entry in node.acl
        if (entry.tag == _GROUP_OBJ and node.gid in account.gids)
        or (entry.tag == _GROUP and entry.qualifier in account.gids)
    ]
    if groups:
        # One entry must grant all of it; several that grant parts do not add up.
        return any(_has(permissions, wanted) for permissions in groups)
    return _has(node.mode, wanted)


def _has(permissions: int, wanted: int) -> bool:
    return permissions & wanted == wanted


def parse_acl(value: bytes) -> tuple[AclEntry, ...]:
    """Read the extended attribute ``system.posix_acl_access``; none of an empty one.

    Raises:
        SourceUnreadable: it is of another version, or cut short.
    """
    if not value:
        return ()
    if len(value) < _HEADER.size or (len(value) - _HEADER.size) % _ENTRY.size:
        raise SourceUnreadable(f"an access control list of {len(value)} bytes is cut short")
    (version,) = _HEADER.unpack_from(value)
    if version != _VERSION:
        raise SourceUnreadable(f"an access control list has version {version} and not {_VERSION}")
    return tuple(AclEntry(*entry) for entry in _ENTRY.iter_unpack(value[_HEADER.size :]))


def within(path: str, folder: str) -> bool:
    """Whether an absolute path is a folder or lies below it; both without links and '..'."""
    return path == folder or path.startswith(folder.rstrip("/\\") + ("\\" if "\\" in folder else "/"))
