"""Where a mesh on this host is found: what it leaves in its data folder while it is up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

import msgspec

from ..config.errors import MeshError
from .addresses import Endpoint
from .errors import NodeMissing

if os.name == "posix":
    import fcntl


LOOKS = 10
LOOK_S = 0.02


class MeshRunning(MeshError, FileExistsError):
    """Another mesh is up on the same data."""


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """What a client must know to dial in: where, and whose key must answer."""

    pid: int
    endpoints: tuple[Endpoint, ...]
    public_key: str
    version: str = ""
    started_at_unix_s: float = 0.0


def _file(data: Path) -> Path:
    return data / "run" / "mesh.json"


OWNER = "owner"
"""The name of the key that a mesh makes for whoever owns its data folder."""


def owner_secret(data: Path) -> Path:
    """The key of whoever owns the data folder; it has the administrator's role."""
    return data / "keys" / "owner.secret"


def publish(data: Path, whereabouts: Whereabouts) -> None:
    """Say where the mesh is; called once it answers."""
    path = _file(data)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".mesh.json.{os.getpid()}")
    new.write_bytes(msgspec.json.encode(whereabouts))
    new.replace(path)


def withdraw(data: Path) -> None:
    """The mesh is about to end."""
    _file(data).unlink(missing_ok=True)


def find_mesh(data: Path) -> Whereabouts:
    """Where the mesh of a data folder is.

    Raises:
        NodeMissing: none is up there.
    """
    try:
        found = msgspec.json.decode(_file(data).read_bytes(), type=Whereabouts)
    except FileNotFoundError:
        raise NodeMissing(f"no mesh is up on {data}", hint=f"hcs-mesh up --detach --data {data}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise NodeMissing(
            f"cannot read where the mesh on {data} is: {error}", hint="is this the mesh's data folder, and yours?"
        ) from error
    if not holds_lock(data):
        raise NodeMissing(
            f"the mesh on {data} (process {found.pid}) ended without being stopped",
            hint=f"hcs-mesh up --detach --data {data} takes its work up again",
        )
    return found


class DataLock:
    """Held by the one mesh that is up on a data folder; the system lets go of it however the process ends."""

    def __init__(self, data: Path) -> None:
        """Take the lock.

        Raises:
            MeshRunning: another process holds it.
            MeshError: the folder cannot be written.
        """
        self._path = data / "mesh.lock"
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._file = _opened(self._path)
        except OSError as error:
            raise MeshError(
                f"the data folder {data} cannot be written: {error.strerror}",
                hint="choose another with --data, or make it writable for this user",
            ) from error
        if os.name == "posix":
            try:
                _lock(self._file)
            except BlockingIOError:
                self._file.seek(0)
                holder = _living(self._file.read())
                self._file.close()
                raise MeshRunning(
                    f"a mesh is up on {data} already ({holder})",
                    hint=f"use it as it is, stop it with hcs-mesh down --data {data}, or choose another --data",
                ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let go."""
        self._file.close()


def holds_lock(data: Path) -> bool:
    """Whether some living process holds the data folder."""
    if os.name != "posix":
        return True
    try:
        with (data / "mesh.lock").open("rb") as file:
            # Shared, so that those who look do not take each other for the mesh.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        # Somebody else's lock cannot be looked at: whether its mesh is up, dialling shows.
        return True
    except OSError:
        return False
    return False


def _opened(path: Path) -> IO[str]:
    """The lock's file, which nobody else can open: whoever can may hold its lock, and with it keep the mesh down."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
    if os.name == "posix" and os.fstat(descriptor).st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "a+", encoding="utf-8")


def _living(written: str) -> str:
    """The process that wrote this number, if it lives; another one may hold what it left."""
    try:
        os.kill(int(written), 0)
    except PermissionError:
        pass
    except (ValueError, OverflowError, ProcessLookupError):
        return "by a process that does not say its number"
    return f"process {int(written)}"


def _lock(file: IO[str]) -> None:
    """Take the lock for ourselves.

    Raises:
        BlockingIOError: a mesh holds it. Somebody who only looks does so for a moment, which is waited for.
    """
    for _ in range(LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_S)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
