"""A workstation with its agent, and the cable between it and the mesh: processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fault_bugs

from hcs_mesh.actors.agents import uplink as uplinks
from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.actors.imports.serving_agents import FOLDERS
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import InspectorSettings
from hcs_mesh.messages.agents import AgentOffer
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.supervisors import Backoff, Node, RestartIntensity, Supervisor
from hcs_mesh.transport import Dialer, KeyPair, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair

NAME = "scope"
"""The name of its key, and so its own."""
SILENCE_S = 0.5
QUICKLY = Backoff(first_s=0.005, max_s=0.02)


class Keys:
    """The keys of the mesh and of the workstation; one set for all schedules."""

    def __init__(self, folder: Path) -> None:
        self.mesh: KeyPair = new_pair()
        self.workstation: KeyPair = new_pair()
        self.folder = folder
        KeyRing(folder).allow(Principal(name=NAME, role="agent"), self.workstation.public)


def forked(work: Callable[[], None]) -> int:
    """The id of a process that does this, and nothing else."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            logging.disable(logging.CRITICAL)
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def killed(pid: int) -> None:
    """End a process, and see it gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Workstation:
    """The agent that serves the folder of the source, and its cable."""

    def __init__(self, keys: Keys, sockets: Path, scope: Path, data: Path, bug: str) -> None:
        self._keys = keys
        self._sockets = sockets
        self._scope = scope
        self._data = data
        self._bug = bug
        self.may_delete = True
        self._agent = self._cable = 0

    def up(self) -> None:
        """Have the agent run."""
        if not self._agent:
            self._agent = forked(lambda: asyncio.run(self._serve()))

    def down(self) -> None:
        """Kill the agent."""
        if self._agent:
            killed(self._agent)
        self._agent = 0

    def plug(self) -> None:
        """Have the cable in its place, and whole."""
        if not self._cable:
            self._cable = forked(lambda: asyncio.run(carry(self._sockets)))
        os.kill(self._cable, signal.SIGCONT)

    def cut(self, *, silently: bool) -> None:
        """Take the cable away, in the middle of whatever it carries; ``silently`` neither side hears of it."""
        if self._cable and silently:
            os.kill(self._cable, signal.SIGSTOP)
        elif self._cable:
            killed(self._cable)
            self._cable = 0

    def signal(self, number: int) -> None:
        """Send the agent a signal, if there is one."""
        if self._agent:
            os.kill(self._agent, number)

    def close(self) -> None:
        """Take everything down."""
        self.down()
        if self._cable:
            killed(self._cable)
        self._cable = 0

    async def _serve(self) -> None:
        """Be the agent; never returns."""
        uplinks.AGAIN_S = 0.01
        if self._bug:
            fault_bugs.plant(self._bug)
        node, keys = Node("workstation"), self._keys
        folders = ServedFolders((ServedFolder(name="scope", path=str(self._scope)),))
        offer = AgentOffer(
            folders=folders.folders, may_delete=self.may_delete, host="workstation", place=str(self._data)
        )

        def dial() -> Dialer:
            server = ServerKey(public=keys.mesh.public)
            return node.dial(ipc_endpoint(self._sockets, "cable"), keys.workstation, server, silence_s=SILENCE_S)

        source = ServedSource(folders, self._data)

        def agent() -> FolderAgent:
            return FolderAgent(
                source,
                inspector=InspectorSettings(),
                end_inspector=lambda why: None,
                may_delete=self.may_delete,
            )

        tree = Supervisor(
            "agent",
            [
                node.actor("inspector", Inspector, kind=Inspector, backoff=QUICKLY),
                node.actor(FOLDERS, agent, kind=FolderAgent, backoff=QUICKLY),
                node.actor("uplink", lambda: AgentUplink(dial, offer, ""), kind=AgentUplink, backoff=QUICKLY),
            ],
            intensity=RestartIntensity(max_restarts=10_000, window_s=1.0),
        )
        await tree.start()
        await asyncio.Event().wait()


async def carry(sockets: Path) -> None:
    """Be the cable: what comes in at its end leaves at the mesh's; never returns."""
    near, far = ipc_endpoint(sockets, "cable"), ipc_endpoint(sockets, "front")
    for here, there in ((near.control, far.control), (near.data, far.data)):
        path = here.removeprefix("ipc://")
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - as a path it is made of text all the same
        await asyncio.start_unix_server(_splice_to(there.removeprefix("ipc://")), path)
    await asyncio.Event().wait()


def _splice_to(path: str) -> Any:
    async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(path)
        except OSError:
            # The mesh is down: whoever dials hears it, and dials again.
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))

    return splice


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
