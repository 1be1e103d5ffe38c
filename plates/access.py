"""Who may have which folder imported, as files and permissions stand now; the rules are in ``permissions``."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.errors import MeshError
from ..config.import_settings import Accounts, RootSettings
from .errors import SourceNotFound, unreadable
from .permissions import Account, Node, may, may_delete, parse_acl, within
from .reach import Reach
from .repository import SourceFile

if sys.platform != "win32":
    import grp
    import pwd

_ACL = "system.posix_acl_access"
_NAMED = 3
_NO_ENTRY = "no permission to enter"
_CLOSED = "no import from"


class PathNotAllowed(MeshError, PermissionError):
    """A path leads to where this requester may not have anything imported from."""


class NoSuchAccount(MeshError, LookupError):
    """The system has no account of the requester's name, so that nobody can say what he may read."""


class Allowed(NamedTuple):
    """Where a path leads once every link is followed, and the root below which that is."""

    path: Path
    root: RootSettings | None


def resolve_allowed(path: Path | str, roots: Sequence[RootSettings], *, requester: str, administrator: bool) -> Allowed:
    """Follow a path that somebody named to where it leads, which must lie below an allowed root.

    Without any root only administrators name paths; with roots they too keep to them, whoever the root is for.

    Raises:
        PathNotAllowed: it is no absolute path, or leads to where the requester may not import from.
        SourceNotFound: there is nothing; said only of places below a root of his.
        SourceUnreadable: it cannot be looked at.
    """
    named = Path(path)
    if not named.is_absolute() or "\0" in str(path):
        raise PathNotAllowed(f"{str(path)!r} is no absolute path.", hint="Give the whole path, from the root on.")
    if not roots and not administrator:
        raise PathNotAllowed(
            f"{requester} may not import {path}: no folder is set from which users may import.",
            hint="Ask the administrator for an [[imports.roots]] with the path of the folder in the settings.",
        )
    real = Path(os.path.realpath(named))
    chosen = _root_of(real, roots)
    if roots and (chosen is None or not (administrator or not chosen.users or requester in chosen.users)):
        mine = [root.path for root in roots if administrator or not root.users or requester in root.users]
        # Whether there is anything is no business of his.
        raise PathNotAllowed(
            f"{requester} may not import {path}"
            + (f", which leads to {real}" if real != named and chosen is not None else "")
            + ": it does not lie below a folder from which he may import.",
            hint=f"Those folders are: {', '.join(mine)}." if mine else "Ask the administrator for [[imports.roots]].",
        )
    try:
        real.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFound(f"there is nothing at {path}", hint="give the path of a folder or image file") from error
    except (OSError, ValueError) as error:
        raise unreadable(
            f"{path} cannot be looked at: {getattr(error, 'strerror', error)}",
            error,
            hint="give the account that the mesh runs under the right to enter the folders above it",
        ) from error
    return Allowed(real, chosen)


def refuse_own_data(source: Path, data: Path) -> None:
    """Promise that a source without links neither lies in the mesh's own folder nor holds it.

    Raises:
        PathNotAllowed: it does: its keys, journals and repository are no source.
    """
    own = os.path.realpath(data)
    if within(str(source), own) or within(own, str(source)):
        where = "lies in" if within(str(source), own) else "holds"
        raise PathNotAllowed(
            f"{source} {where} the mesh's own data folder, from which nothing is imported.",
            hint="Give the plate's own folder; an administrator keeps plates and the data folder apart.",
        )


def root_above(path: Path | str, roots: Sequence[RootSettings]) -> RootSettings | None:
    """The innermost root that a path leads into, whether there is anything or not."""
    return _root_of(Path(os.path.realpath(path)), roots)


def accounts_count(setting: Accounts, *, administrator: bool) -> bool:
    """Whether a requester's own permissions are to be looked at: an administrator's word is enough."""
    if sys.platform != "win32" and not administrator:
        return setting == "same-name" or (setting == "auto" and os.geteuid() == 0)
    return False


def account_named(name: str) -> Account:
    """The system's account of this name, with all its groups.

    Raises:
        NoSuchAccount: there is none.
        PathNotAllowed: it is root's, who may read everything: a name must not do for that.
    """
    if sys.platform != "win32":
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            pass
        else:
            if entry.pw_uid == 0:
                raise PathNotAllowed(
                    f"Nothing is imported for {name!r}, whose account may read everything.",
                    hint="Give the key the name of a person's account; an administrator's key is believed without one.",
                )
            groups = {one.gr_gid for one in grp.getgrall() if name in one.gr_mem}
            groups.update(os.getgrouplist(name, entry.pw_gid))
            return Account(name, entry.pw_uid, tuple(sorted(groups)))
    raise NoSuchAccount(
        f"This system has no account {name!r}, so that nobody can say what its holder may read.",
        hint="Give the key the name of the person's account, or set imports.accounts to 'off'.",
    )


def reach_below(
    roots: Sequence[RootSettings],
    account: Account | None,
    *,
    requester: str,
    administrator: bool,
    data: Path | None = None,
) -> Reach:
    """What may be opened for somebody: below the roots that are his, but for those inside of them that are not.

    The mesh's own ``data`` folder is nobody's, where anything is bounded.
    """
    mine = [root for root in roots if administrator or not root.users or requester in root.users]
    closed = [os.path.realpath(root.path) for root in roots if root not in mine]
    # No folder at all would be every folder.
    everything = [os.path.abspath(os.sep)] if roots and not mine else []  # noqa: PTH100
    if data is not None and (roots or account is not None):
        closed.append(os.path.realpath(data))
    return Reach(
        account=account,
        inside=tuple(os.path.realpath(root.path) for root in mine),
        closed=(*everything, *closed),
    )


def check_readable(
    source: Path,
    files: Iterable[SourceFile],
    reach: Reach,
    *,
    may_be_gone: bool = False,
) -> None:
    """Promise that the requester could read each file himself, and that none lies, nor a link leads, out of his roots.

    What is looked at is the very file that was found when the source had settled, by its inode and file system: a
    link that is laid in its place between this look and the reading is another file, and found out there. With
    ``may_be_gone`` a file that went away is no matter. Of what is in a folder that he cannot enter, only the folder
    is named.

    Raises:
        PathNotAllowed: a file or a folder on the way is not for him, or a link leads out; the first ones are named.
        SourceNotFound, SourceUnreadable: a file is gone or cannot be looked at.
    """
    look, named = _Look(reach, os.path.realpath(source)), str(source).rstrip("/")
    refused: list[str] = []
    n_refused = 0
    for file in files:
        try:
            why = look.refusal(f"{named}/{file.path}", file)
        except SourceNotFound:
            if may_be_gone:
                continue
            raise
        if why:
            n_refused += 1
            told = f"what is there ({why})" if why.startswith((_NO_ENTRY, _CLOSED)) else f"{file.path} ({why})"
            if len(refused) < _NAMED and told not in refused:
                refused.append(told)
    if n_refused:
        more = f" and {n_refused - len(refused)} more" if n_refused > len(refused) else ""
        whom = reach.account.name if reach.account else "The requester"
        raise PathNotAllowed(
            f"{whom} may not have {'; '.join(refused)}{more} imported from {source}.",
            hint="Give that person read permission on the files and the folders above them, or leave them out.",
        )


class DeletionRight:
    """Says what an account may delete itself; everything where no account counts."""

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._look = _Look(Reach(account=account), "/")

    def refusal(self, folder: str, owner: int | None = None) -> str:
        """Why nothing may be deleted in a folder, or not the file whose ``owner`` this is; empty if it may be.

        Raises:
            SourceNotFound, SourceUnreadable: it cannot be looked at.
        """
        if self._account is None:
            return ""
        why = self._look.folder_refusal(folder)
        if why:
            return why
        try:
            node = node_of(folder, os.lstat(folder))
        except OSError as error:
            raise _gone(Path(folder), error) from error
        name = self._account.name
        return "" if may_delete(self._account, node, owner) else f"{name} has no permission to delete it from {folder}"


class _Look:
    """Looks at files and at each folder on their way once."""

    def __init__(self, reach: Reach, source: str) -> None:
        self._account = reach.account
        # The source itself was allowed when it was ordered.
        self._reach = Reach(inside=(source, *reach.inside), closed=reach.closed)
        self._real: dict[str, str] = {}
        self._entered: dict[str, str] = {}

    def refusal(self, path: str, file: SourceFile) -> str:
        """Why a file is not for the requester; empty if it is."""
        try:
            above, _, last = path.rpartition("/")
            # Once for all that lie in it, as its permissions: a file in what is put there meanwhile is another one.
            folder = self._real.get(above) or self._real.setdefault(above, os.path.realpath(above or "/"))
            name = f"{folder}/{last}"
            found = os.lstat(name)
            if stat.S_ISLNK(found.st_mode):
                name = os.path.realpath(name)
                folder = os.path.dirname(name)  # noqa: PTH120 - one of many thousand
                found = os.lstat(name)
        except OSError as error:
            raise _gone(path, error) from error
        if self._reach.refuses_path(name):
            closed = self._reach.closed_above(name)
            return f"{_CLOSED} {closed}" if closed else "a link leads out of the folders from which imports may come"
        if file.inode not in (0, found.st_ino) or file.device not in (0, found.st_dev):
            return "it is not the file that had settled"
        if self._account is None:
            return ""
        return self.folder_refusal(folder) or (
            "" if may(self._account, node_of(name, found), read=True) else "no permission to read it"
        )

    def folder_refusal(self, folder: str) -> str:
        """Why a folder cannot be entered, with all those above it."""
        if folder not in self._entered:
            assert self._account is not None
            above = os.path.dirname(folder)  # noqa: PTH120
            why = self.folder_refusal(above) if above != folder else ""
            if not why:
                try:
                    node = node_of(folder, os.lstat(folder))
                except OSError as error:
                    raise _gone(Path(folder), error) from error
                why = "" if may(self._account, node, enter=True) else f"{_NO_ENTRY} {folder}"
            self._entered[folder] = why
        return self._entered[folder]


def _root_of(real: Path, roots: Sequence[RootSettings]) -> RootSettings | None:
    """The innermost root that holds a path: what is said of it counts before what is said of those around it."""
    holding = [(len(at), root) for root in roots if within(str(real), at := os.path.realpath(root.path))]
    return max(holding, key=lambda one: one[0])[1] if holding else None


def node_of(path: str | int, found: os.stat_result, *, follow_symlinks: bool = False) -> Node:
    """What is written down of who may do what with a file or folder that was looked at, by its path or descriptor.

    Raises:
        SourceNotFound, SourceUnreadable: its access control list cannot be looked at.
    """
    acl = b""
    if hasattr(os, "getxattr"):
        try:
            acl = os.getxattr(path, _ACL, follow_symlinks=follow_symlinks)
        except OSError as error:
            # No list, or a file system that has none: then the mode says everything.
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise _gone(path, error) from error
    return Node(mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid, acl=parse_acl(acl))


def _gone(path: str | int | Path, error: OSError) -> MeshError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceNotFound(f"{path} is not there (any more)", hint="put it back and retry the import")
    return unreadable(
        f"{path} cannot be looked at: {error.strerror}", error, hint="check the path, its disk and its permissions"
    )
