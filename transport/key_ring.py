"""Who may come in: one file for each key that is allowed, with its name and its role."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from .keys import PUBLIC, KeyFileError, read_key_file, sync_names, write_key_file
from .messages import INNER, ROLES, Principal, Role

_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,63}")

_Seen = tuple[str, int, int, int]
_Look = tuple[_Seen, ...]
"""A folder's files: their names, times, sizes and inodes."""


class _Allowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    role: Role
    public: str


def check_name(name: str) -> None:
    """Accept what does for the name of a key and of its file.

    Raises:
        KeyFileError: it does not.
    """
    if not _NAME.fullmatch(name):
        raise KeyFileError(f"{name!r} is no name for a key", hint="it has letters, digits and . _ @ - only, 64 at most")
    _check_not_the_mesh(name)


def _check_not_the_mesh(name: str) -> None:
    # What the mesh hands over by itself is known by this name: nobody else's must be taken for it.
    if name == INNER.name:
        raise KeyFileError(f"{name!r} is no name for a key", hint="the mesh itself goes by it: choose another")


def check_node_name(name: str) -> None:
    """Accept what does for the name of a node's key, which stands behind the names of all that runs there.

    Raises:
        KeyFileError: it has an @, which is what parts the two.
    """
    if "@" in name:
        raise KeyFileError(
            f"{name!r} is no name for the key of a node: an @ parts it from the names of its actors",
            hint="hcs-mesh keys new NAME --role node, with letters, digits and . _ - only",
        )


class KeyRing:
    """Who may come in: the keys of a folder, each with a name and a role."""

    def __init__(self, folder: Path, *, lenient: bool = False) -> None:
        """Read every ``*.toml`` of the folder; a lenient ring keeps in ``wrong`` what another one raises.

        Raises:
            KeyFileError: one of them is no key.
        """
        self._folder = folder
        self._lenient = lenient
        self.wrong: tuple[KeyFileError, ...] = ()
        """What the files that are no keys have for faults; they let nobody in, and the others hold."""
        self._by_public: dict[str, Principal] = {}
        self._names: dict[str, str] = {}
        self._shut_out: dict[str, Principal] = {}
        self._found: frozenset[str] = frozenset()
        """The files that there were when it was read last, whatever they hold."""
        self._seen: _Look = ()
        self._read: dict[_Seen, _Allowed] = {}
        """What each file said when it looked as it does now."""
        self.reload()

    def reload(self) -> None:
        """Read the folder again; a key whose file is gone is refused from now on.

        Raises:
            KeyFileError: one of them is no key; the others hold all the same.
        """
        by_public: dict[str, Principal] = {}
        names: dict[str, str] = {}
        wrong: list[KeyFileError] = []
        seen = self._look()
        self._let_in_whose_file_changed(seen)
        unread: set[str] = set()
        read = self._read
        self._read = {}
        for one in seen:
            name = one[0]
            try:
                allowed = _allowed(self._folder / name)
            except KeyFileError as error:
                wrong.append(error)
                if not isinstance(error.__cause__, OSError):
                    continue
                # For want of descriptors, say: it is looked at again, although nothing about it will have changed,
                # and holds until then what it held.
                unread.add(name)
                if one not in read:
                    continue
                allowed = read[one]
            self._read[one] = allowed
            by_public[allowed.public] = Principal(name=allowed.name, role=allowed.role)
            names[name] = allowed.name
        self._seen = tuple(one for one in seen if one[0] not in unread)
        self._found = frozenset(name for name, *_ in seen)
        self._by_public, self._names, self.wrong = by_public, names, tuple(wrong)
        if wrong and not self._lenient:
            raise wrong[0]

    def refresh(self) -> tuple[KeyFileError, ...]:
        """Reload if a file of the folder was added, changed or removed; what of it is wrong that was not before.

        Raises:
            KeyFileError: one of them is no key, or the folder cannot be read; the others hold all the same, those of
                files that are gone or changed do not.
        """
        try:
            seen = self._look()
        except KeyFileError:
            self._drop_what_changed()
            raise
        if seen == self._seen:
            return ()
        known = {str(error) for error in self.wrong}
        self.reload()
        return tuple(error for error in self.wrong if str(error) not in known)

    def _look(self) -> _Look:
        try:
            # Path.glob would say of a folder that cannot be listed that nothing is in it.
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == ".toml")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise KeyFileError(
                f"cannot look at the keys in {self._folder}: {error}", hint="those that were known before hold"
            ) from error
        seen = []
        for path in paths:
            try:
                one = _seen(path)
            except OSError:
                # Whatever it is, reading it says so.
                one = (path.name, 0, 0, 0)
            if one is not None:
                seen.append(one)
        return tuple(seen)

    def _drop_what_changed(self) -> None:
        """Let in no longer whose file is gone or another one, which is seen without a descriptor to list the folder."""
        for one, allowed in list(self._read.items()):
            try:
                if _seen(self._folder / one[0]) == one:
                    continue
            except OSError:
                # What cannot be told holds.
                continue
            del self._read[one]
            if all(other.public != allowed.public for other in self._read.values()):
                self._by_public.pop(allowed.public, None)
        self._seen = tuple(one for one in self._seen if one in self._read)

    def allow(self, principal: Principal, public: str) -> None:
        """Let a key in, from now on and after every restart, in place of the file that the ring found by this name.

        Raises:
            KeyFileError: the name does not do for a file or for a node, is the mesh's own, or has been taken since the
                ring was read.
        """
        _check_not_the_mesh(principal.name)
        if principal.role == "node":
            check_node_name(principal.name)
        if not _NAME.fullmatch(principal.name) or not PUBLIC.fullmatch(public):
            raise KeyFileError(
                f"{principal.name!r} with the key {public!r} cannot be let in",
                hint="a name has letters, digits and . _ @ - only; a public key is 40 characters of Z85",
            )
        # Literal strings: Z85 knows no quote, and no escape must be read in it.
        text = f"name = '{principal.name}'\nrole = '{principal.role}'\npublic = '{public}'\n"
        path = self._folder / f"{principal.name}.toml"
        try:
            # Of several who find a name free at the same moment, one has it: the disk decides.
            write_key_file(path, text, mode=0o644, new=path.name not in self._found)
        except FileExistsError as error:
            raise KeyFileError(
                f"the name {principal.name} has just been taken: {path} is there by now",
                hint=f"hcs-mesh keys revoke {principal.name} first, or choose another name",
            ) from error
        self.reload()

    def revoke(self, name: str) -> Principal:
        """Let a key in no longer, also after a power cut; a mesh that is up notices within a second.

        Raises:
            KeyFileError: nobody of this name is let in.
        """
        principal = next((one for one, _ in self.allowed() if one.name == name), None)
        if principal is None:
            damaged = "".join(f"; {error}" for error in self.wrong)
            raise KeyFileError(f"no key of the name '{name}' is let in", hint=f"hcs-mesh keys list shows them{damaged}")
        # Whatever a file is called: one that was copied by hand must not let its key in any longer either.
        for file in [file for file, named in self._names.items() if named == name]:
            (self._folder / file).unlink(missing_ok=True)
        sync_names(self._folder)
        self.reload()
        return principal

    def allowed(self) -> tuple[tuple[Principal, str], ...]:
        """Everybody who may come in, with their public keys, by name."""
        return tuple(sorted(((one, public) for public, one in self._by_public.items()), key=lambda one: one[0].name))

    def by_public(self, public: str) -> Principal | None:
        """Who holds this key; None for a stranger, and for a key that is shut out."""
        return self._by_public.get(public) if public not in self._shut_out else None

    def shut_out(self, public: str) -> None:
        """Let a key in no longer, until its file is written anew or it is let in again."""
        principal = self._by_public.get(public)
        if principal is not None:
            self._shut_out[public] = principal

    def is_shut_out(self, public: str) -> bool:
        """Whether a key that is allowed is not let in for now."""
        return public in self._shut_out and public in self._by_public

    def let_in_again(self, public: str) -> None:
        """Shut a key out no more."""
        self._shut_out.pop(public, None)

    def _let_in_whose_file_changed(self, seen: _Look) -> None:
        """Whoever's file was written anew since has been allowed again."""
        if self._shut_out:
            changed = {self._names.get(name, "") for name, *_ in set(seen).symmetric_difference(self._seen)}
            self._shut_out = {public: one for public, one in self._shut_out.items() if one.name not in changed}


def role_in(folder: Path) -> Callable[[str], Role | None]:
    """What a name's key may do that a folder of keys lets in just now; None of a name without one."""

    def role_of(name: str) -> Role | None:
        found = [one.role for one, _ in KeyRing(folder, lenient=True).allowed() if one.name == name]
        return max(found, key=ROLES.index, default=None)

    return role_of


def _seen(path: Path) -> _Seen | None:
    """How a file looks now; None where it is not there (any more).

    Raises:
        OSError: that cannot be told.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    # The inode too: a file that takes another's place may have its size, and within a tick its time.
    return path.name, status.st_mtime_ns, status.st_size, status.st_ino


def _allowed(path: Path) -> _Allowed:
    try:
        allowed = msgspec.convert(tomllib.loads(read_key_file(path)), _Allowed)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise KeyFileError(
            f"{path} is no key: {error}", hint=f"it needs name, public and role (one of {', '.join(ROLES)})"
        ) from error
    if allowed.name == INNER.name:
        raise KeyFileError(
            f"{path} is no key: the mesh itself goes by the name {allowed.name!r}",
            hint="give the key another name, in the file as well",
        )
    return allowed
