"""CURVE keys on disk: pairs, and the files that hold them."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from contextlib import suppress
from pathlib import Path

import msgspec
import zmq

from ..config.errors import MeshError

PUBLIC = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
"""What a public key looks like in Z85."""


class KeyFileError(MeshError, ValueError):
    """A key file is missing, unreadable or not a key."""


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE key pair, both halves in Z85."""

    public: str
    secret: str


class ServerKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of a mesh's key: what a client must know beforehand to be sure whom it talks to."""

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
    text = read_key_file(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    try:
        return msgspec.convert(tomllib.loads(text), KeyPair)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise KeyFileError(f"{path} is no key file: {error}", hint="restore it from a copy") from error


def load_or_create_pair(path: Path) -> KeyPair:
    """The key pair of a file, made with mode 0600 on first use; of several that make it at once one counts."""
    if not path.exists():
        # Whoever was quicker has made the one that counts.
        with suppress(FileExistsError):
            write_key_file(path, _pair_text(new_pair()), mode=0o600, new=True)
    return load_pair(path)


def save_pair(path: Path, pair: KeyPair) -> None:
    """Write a secret file with mode 0600.

    Raises:
        KeyFileError: there is a file already: a key is never overwritten.
    """
    try:
        write_key_file(path, _pair_text(pair), mode=0o600, new=True)
    except FileExistsError as error:
        raise KeyFileError(f"{path} exists already", hint="name another file, or remove this key first") from error


def check_public(public: str) -> None:
    """Accept what has the form of a public key.

    Raises:
        KeyFileError: it has not.
    """
    if not PUBLIC.fullmatch(public):
        raise KeyFileError(f"{public!r} is no public key", hint="a public key is 40 characters of Z85")


def _pair_text(pair: KeyPair) -> str:
    return f"public = '{pair.public}'\nsecret = '{pair.secret}'\n"


def read_key_file(path: Path) -> str:
    """The text of a file of keys.

    Raises:
        KeyFileError: there is none, or it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"cannot read the key {path}: {error}", hint="is this the mesh's data folder?") from error


def _own_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, those above it that are made with it as well."""
    if not folder.is_dir():
        _own_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_names(folder.parent)


def write_key_file(path: Path, text: str, *, mode: int, new: bool = False) -> None:
    """Have a file of keys appear whole, in a folder that nobody else can enter, and return when it is on the disk.

    Raises:
        FileExistsError: it was to be a ``new`` one, and there is a file of that name, however lately it was made.
    """
    _own_folder(path.parent)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(made, text, mode)
        if not new:
            made.replace(path)
        elif not _linked(path, made):
            _write(path, text, mode)
    finally:
        made.unlink(missing_ok=True)
    sync_names(path.parent)


def sync_names(folder: Path) -> None:
    """Return when the names in a folder are on the disk: what was removed there is not back after a power cut."""
    # A folder of Windows needs no such call.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _linked(path: Path, made: Path) -> bool:
    """Give a file a second name that nothing has; whether its disk knows second names (a memory stick's may not)."""
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _write(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
