"""CURVE keys on disk: one secret of the mesh, one file for each key that is allowed in, and its role."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from ..config.errors import MeshError
from .messages import INNER, ROLES, Principal, Role

_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,63}")
_PUBLIC = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class KeyFileError(MeshError, ValueError):
    """A key file is missing, unreadable or not a key."""


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE key pair, both halves in Z85."""

    public: str
    secret: str


class ServerKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of a mesh's key: what a client must know beforehand to be sure whom it talks to."""

    public: str


_Look = tuple[tuple[str, int, int, int], ...]
"""A folder's files: their names, times, sizes and inodes."""


class _Allowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    role: Role
    public: str


def new_pair() -> KeyPair:
    """A fresh key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public=public.decode(), secret=secret.decode())


def load_pair(path: Path) -> KeyPair:
    """Read a secret file.

    Raises:
        KeyFileError: missing, readable by others, or no key pair.
    """
    text = _read(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    try:
        return msgspec.convert(tomllib.loads(text), KeyPair)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise KeyFileError(f"{path} is no key file: {error}", hint="restore it from a copy") from error


def load_or_create_pair(path: Path) -> KeyPair:
    """The key pair of a file, made with mode 0600 on first use."""
    if path.exists():
        return load_pair(path)
    pair = new_pair()
    _write(path, _pair_text(pair), mode=0o600)
    return pair


def save_pair(path: Path, pair: KeyPair) -> None:
    """Write a secret file with mode 0600.

    Raises:
        KeyFileError: there is a file already: a key is never overwritten.
    """
    if path.exists():
        raise KeyFileError(f"{path} exists already", hint="name another file, or remove this key first")
    _write(path, _pair_text(pair), mode=0o600)


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


def check_public(public: str) -> None:
    """Accept what has the form of a public key.

    Raises:
        KeyFileError: it has not.
    """
    if not _PUBLIC.fullmatch(public):
        raise KeyFileError(f"{public!r} is no public key", hint="a public key is 40 characters of Z85")


def _pair_text(pair: KeyPair) -> str:
    return f"public = '{pair.public}'\nsecret = '{pair.secret}'\n"


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
        self._seen: _Look = ()
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
        self._let_in_again(seen)
        unread: set[str] = set()
        for name, *_ in seen:
            try:
                allowed = _allowed(self._folder / name)
            except KeyFileError as error:
                wrong.append(error)
                if isinstance(error.__cause__, OSError):
                    # For want of descriptors, say: it is looked at again, although nothing about it will have changed.
                    unread.add(name)
                continue
            by_public[allowed.public] = Principal(name=allowed.name, role=allowed.role)
            names[name] = allowed.name
        self._seen = tuple(one for one in seen if one[0] not in unread)
        self._by_public, self._names, self.wrong = by_public, names, tuple(wrong)
        if wrong and not self._lenient:
            raise wrong[0]

    def refresh(self) -> tuple[KeyFileError, ...]:
        """Reload if a file of the folder was added, changed or removed; what of it is wrong that was not before.

        Raises:
            KeyFileError: one of them is no key, or the folder cannot be read; the others hold all the same.
        """
        if self._look() == self._seen:
            return ()
        known = {str(error) for error in self.wrong}
        self.reload()
        return tuple(error for error in self.wrong if str(error) not in known)

    def _look(self) -> _Look:
        try:
            paths = sorted(self._folder.glob("*.toml"))
        except OSError as error:
            raise KeyFileError(
                f"cannot look at the keys in {self._folder}: {error}", hint="those that were known before hold"
            ) from error
        seen = []
        for path in paths:
            try:
                status = path.stat()
            except FileNotFoundError:
                # One that is taken away between the two looks is a key that is not there.
                continue
            except OSError:
                # Whatever it is, reading it says so.
                seen.append((path.name, 0, 0, 0))
                continue
            # The inode too: a file that takes another's place may have its size, and within a tick its time.
            seen.append((path.name, status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(seen)

    def allow(self, principal: Principal, public: str) -> None:
        """Let a key in, from now on and after every restart.

        Raises:
            KeyFileError: the name does not do for a file, or is the mesh's own.
        """
        _check_not_the_mesh(principal.name)
        if not _NAME.fullmatch(principal.name) or not _PUBLIC.fullmatch(public):
            raise KeyFileError(
                f"{principal.name!r} with the key {public!r} cannot be let in",
                hint="a name has letters, digits and . _ @ - only; a public key is 40 characters of Z85",
            )
        # Literal strings: Z85 knows no quote, and no escape must be read in it.
        text = f"name = '{principal.name}'\nrole = '{principal.role}'\npublic = '{public}'\n"
        _write(self._folder / f"{principal.name}.toml", text, mode=0o644)
        self.reload()

    def revoke(self, name: str) -> Principal:
        """Let a key in no longer; a mesh that is up notices within a second.

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
        self.reload()
        return principal

    def allowed(self) -> tuple[tuple[Principal, str], ...]:
        """Everybody who may come in, with their public keys, by name."""
        return tuple(sorted(((one, public) for public, one in self._by_public.items()), key=lambda one: one[0].name))

    def by_public(self, public: str) -> Principal | None:
        """Who holds this key; None for a stranger, and for a key that is shut out."""
        return self._by_public.get(public) if public not in self._shut_out else None

    def shut_out(self, public: str) -> None:
        """Let a key in no longer, until its file is written anew or this process ends."""
        principal = self._by_public.get(public)
        if principal is not None:
            self._shut_out[public] = principal

    def _let_in_again(self, seen: _Look) -> None:
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


def _allowed(path: Path) -> _Allowed:
    try:
        allowed = msgspec.convert(tomllib.loads(_read(path)), _Allowed)
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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot read the key {path}: {error}", hint="is this the mesh's data folder?") from error


def _own_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, those above it that are made with it as well."""
    if not folder.is_dir():
        _own_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _write(path: Path, text: str, *, mode: int) -> None:
    _own_folder(path.parent)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
