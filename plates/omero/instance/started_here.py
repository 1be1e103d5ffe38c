"""What was started from a data folder, written down before it is: so that it can be stopped, that and nothing else."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import msgspec

from ...local.disk import sync_file, sync_folder
from ..secret import Secret
from .errors import InstanceInUse, InstanceUnusable

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt

_ROOT = "HCS_MESH_OMERO_ROOT_PASSWORD"
_DATABASE = "HCS_MESH_OMERO_DATABASE_PASSWORD"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was started: by docker's name of it, where it listens, and whether it is to run."""

    project: str
    start: str
    """Which start it was, of all that there were: another's is not mine to stop."""
    port: int
    web_port: int
    runs: bool


class StartedHere:
    """The folder ``omero`` of a data folder."""

    def __init__(self, data: Path) -> None:
        self.folder = data.absolute() / "omero"
        self.compose_file = self.folder / "compose.yaml"
        self.settings_file = self.folder / "compose.env"
        self.certificate = self.folder / "server.pem"
        self._record = self.folder / "started.json"

    def record(self) -> Record | None:
        """What was started from here; None where nothing ever was, or nothing is left of it.

        Raises:
            InstanceUnusable: the record cannot be read.
        """
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise InstanceUnusable(
                f"What was started of OMERO is not known: {self._record} cannot be read ({error}).",
                hint="docker compose ls --all shows what there is; its names begin with hcs-mesh-omero.",
            ) from error

    def begin(self, *, port: int, web_port: int) -> Record:
        """Write down what is about to be started, on the disk before it is; passwords are made once and kept.

        Raises:
            InstanceUnusable: the folder cannot be written, or the passwords of kept volumes are gone.
        """
        before = self.record()
        project = before.project if before is not None else f"hcs-mesh-omero-{secrets.token_hex(4)}"
        record = Record(project=project, start=secrets.token_hex(8), port=port, web_port=web_port, runs=True)
        with self._writing():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            passwords = self._passwords()
            if before is not None and not passwords:
                raise InstanceUnusable(
                    f"The passwords of the server that was started from here are gone: {self.settings_file}.",
                    hint="Bring the file back; or hcs-mesh omero down --volumes removes that server with all its data.",
                )
            # Digits and letters alone: the images hand them to programs that take a leading dash for an option.
            passwords = passwords or {_DATABASE: secrets.token_hex(24), _ROOT: secrets.token_hex(16)}
            lines = passwords | {"HCS_MESH_OMERO_PORT": str(port), "HCS_MESH_OMERO_WEB_PORT": str(web_port)}
            self._write(self.settings_file, "".join(f"{name}={value}\n" for name, value in lines.items()).encode())
            self._write(self.compose_file, files(__package__).joinpath("compose.yaml").read_bytes())
            self._keep(record)
        return record

    def take_back(self, before: Record | None) -> None:
        """Write down again what there was before ``begin``: it came to nothing.

        Raises:
            InstanceUnusable: the folder cannot be written.
        """
        if before is None:
            self.forget()
            return
        with self._writing():
            self._keep(before)

    def stopped(self) -> None:
        """Write down that it runs no more; its volumes and passwords are kept.

        Raises:
            InstanceUnusable: the folder cannot be written.
        """
        if (record := self.record()) is not None:
            with self._writing():
                self._keep(msgspec.structs.replace(record, runs=False))

    def forget(self) -> None:
        """Remove everything that was written down, once nothing is left of what was started.

        Raises:
            InstanceUnusable: the folder cannot be written.
        """
        with self._writing():
            # The record last: as long as it is there, stopping can be asked for again.
            for file in (self.certificate, self.compose_file, self.settings_file, self._record):
                file.unlink(missing_ok=True)

    def keep_certificate(self, told: str) -> bool:
        """Keep what a server shows as its certificate, and nothing else of what was told; False where there is none.

        Raises:
            InstanceUnusable: the folder cannot be written.
        """
        found = _CERTIFICATE.findall(told)
        if found:
            with self._writing():
                self._write(self.certificate, "".join(found).encode())
        return bool(found)

    def without_passwords(self, text: str) -> str:
        """A text that may be shown: what containers say when they fail may repeat what they were given."""
        with self._writing():
            for secret in self._passwords().values():
                text = text.replace(secret, "…")
        return text

    def root_password(self) -> Secret | None:
        """The password of the server's root, where it was started from here."""
        with self._writing():
            found = self._passwords().get(_ROOT)
        return Secret(found) if found else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts or stops it meanwhile; the system lets go of this when the process dies.

        Raises:
            InstanceInUse: somebody does.
            InstanceUnusable: the folder cannot be written.
        """
        with self._writing():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError) as error:
            os.close(descriptor)
            raise InstanceInUse(
                f"Another process is starting or stopping the OMERO.server of {self.folder.parent}.",
                hint="Wait for it, or end that hcs-mesh omero up first.",
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def _passwords(self) -> dict[str, str]:
        try:
            lines = self.settings_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        found = dict(line.partition("=")[::2] for line in lines)
        return {name: found[name] for name in (_DATABASE, _ROOT) if found.get(name)}

    def _keep(self, record: Record) -> None:
        self._write(self._record, msgspec.json.encode(record) + b"\n")

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file that its owner alone can read, whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        sync_file(new)
        new.replace(path)
        sync_folder(path.parent)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except InstanceUnusable:
            raise
        except OSError as error:
            raise InstanceUnusable(
                f"{error.filename or self.folder} cannot be used: {error.strerror}.",
                hint="Make the folder writable for this user, or choose another data folder with --data.",
            ) from error


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
