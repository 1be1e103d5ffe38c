"""A mesh in a process of its own: started, waited for until it answers, stopped until it is really gone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from ..client import Client
from ..config import MeshError
from ..layout import DataLayout
from ..messages.control import ActorRow, MeshStatus
from ..transport import AskTimedOut, MailboxFull, NodeMissing, PeerGone, TransportError
from ..transport.whereabouts import find_mesh
from .errors import CommandFailed

PACKAGE = __package__.partition(".")[0]
START_S = 60.0
LOOK_EVERY_S = 0.05


class Started(NamedTuple):
    """A mesh that is up: what it is and, unless ``untold`` says why not, what runs in it."""

    status: MeshStatus
    rows: tuple[ActorRow, ...]
    untold: str = ""


async def start_detached(
    data: Path, *, config: Path | None = None, listen: str = "", join: Sequence[str] = ()
) -> Started:
    """Start a mesh that outlives this command, and return what it is once it answers; ``config`` is absolute.

    Raises:
        CommandFailed: it ended at once, with its own words, does not say what it is, or does not answer in time.
    """
    output = DataLayout(data).logs / "hub.out"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        file = output.open("w+b")
    except OSError as error:
        raise CommandFailed(
            f"the data folder {data} cannot be written: {error.strerror}",
            hint="choose another with --data, or make it writable for this user",
        ) from error
    command = [sys.executable, "-P", "-m", PACKAGE, "up", "--json", "--quiet", "--data", str(data)]
    command += ["--config", str(config)] if config is not None else []
    command += ["--listen", listen] if listen else []
    command += join
    with file:
        process = spawn(command, file, folder=data)
        try:
            return await _answering(process, data, file, output)
        except asyncio.CancelledError:
            # Nobody has learnt of it yet: whoever gives up waiting does not want it.
            process.terminate()
            raise


def spawn(command: list[str], output: IO[bytes], *, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that no terminal takes it along."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder
    )


async def _answering(process: subprocess.Popen[bytes], data: Path, file: IO[bytes], output: Path) -> Started:
    until = time.monotonic() + START_S
    not_yet: MeshError | str = "it has not said where it listens"
    while True:
        if process.poll() is not None:
            file.seek(0)
            raise _last_words(file.read().decode(errors="replace"), output, process.returncode)
        try:
            if find_mesh(data).pid == process.pid:
                async with Client.at(data) as mesh:
                    return await _told(mesh)
        except (NodeMissing, PeerGone, AskTimedOut, MailboxFull) as error:
            # Not yet: it says where it listens only when it does.
            not_yet = error
        except MeshError as error:
            # It will say the same however long it is asked.
            process.terminate()
            raise CommandFailed(
                f"the mesh does not say what it is, and was stopped: {error}", hint=error.hint or f"see {output}"
            ) from error
        if time.monotonic() >= until:
            process.terminate()
            raise CommandFailed(
                f"the mesh did not answer within {START_S:g} s and was stopped: {not_yet}", hint=f"see {output}"
            )
        # Deliberate: another process's coming up is seen by looking.
        await asyncio.sleep(LOOK_EVERY_S)


async def _told(mesh: Client) -> Started:
    status = await mesh.status()
    try:
        return Started(status, await mesh.tree())
    except PeerGone:
        # It ended after all, or is about to: its exit says why.
        raise
    except TransportError as error:
        # A mesh that has said what it is is up, whatever keeps it from saying what runs in it.
        return Started(status, (), str(error))


def _last_words(text: str, output: Path, code: int) -> CommandFailed:
    for line in reversed(text.splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "error" in said and "hint" in said:
            return CommandFailed(str(said["error"]), hint=str(said["hint"]))
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return CommandFailed(f"the mesh ended while it came up ({how})", hint=f"see {output}")


async def stop_mesh(data: Path, *, key: Path | None = None, timeout_s: float) -> int | None:
    """Stop the mesh of a data folder and wait until its processes are gone; returns its pid, None when none is up.

    Raises:
        CommandFailed: processes remain after ``timeout_s``.
        KeyRefused, NotPermitted: the key may not do this.
    """
    try:
        pid = find_mesh(data).pid
    except NodeMissing:
        return None
    family = _family(pid)
    try:
        async with Client.at(data, key=key) as mesh:
            await mesh.stop()
    except (PeerGone, NodeMissing):
        # It went away over the question: whether it is gone is what the processes say.
        pass
    until = time.monotonic() + timeout_s
    while remaining := [one for one in family if _alive(one)]:
        if time.monotonic() >= until:
            named = ", ".join(f"{one.pid} ({' '.join(one.cmdline()[-4:])})" for one in remaining if _alive(one))
            raise CommandFailed(
                f"after {timeout_s:g} s these processes of the mesh on {data} still run: {named}",
                hint=f"kill -9 {' '.join(str(one.pid) for one in remaining)} ends them; nothing accepted is lost",
            )
        # Deliberate: processes that are not our children end without telling us.
        await asyncio.sleep(LOOK_EVERY_S)
    return pid


def _family(pid: int) -> list[psutil.Process]:
    try:
        hub = psutil.Process(pid)
        return [hub, *hub.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
