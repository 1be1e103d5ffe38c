"""An agent on a workstation: serves chosen folders to a mesh elsewhere, with an inspector of its own beside it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .actors.agents.folder_agent import FolderAgent
from .actors.agents.served_source import ServedSource
from .actors.agents.uplink import AgentUplink, Standing, offer_folders
from .actors.console.console_desk import ConsoleDesk
from .actors.console.control_desk import ControlDesk
from .actors.imports.serving_agents import FOLDERS
from .actors.nodes.joined_nodes import UPLINK
from .config import Settings
from .inside import Incidents, MeshInside
from .layout import DataLayout
from .mesh import Mesh
from .mesh_node import MeshNode
from .messages.agents import AgentOffer
from .plates.pace import MIB
from .plates.pace_kept import RATE_FILE
from .plates.pace_reader import Pace
from .plates.served_folders import ServedFolder, ServedFolders
from .processes import Processes
from .served_mesh import bind_to_mesh, check_mesh
from .supervisors import RestartIntensity
from .supervisors.child import Exit
from .supervisors.supervisor import Supervisor
from .transport import Dialer, MeshCard, ServerKey, load_pair


class FolderNode(Mesh):
    """A workstation's agent: its folders are imported from by a mesh elsewhere, which it dials itself.

    >>> async with FolderNode(card=card, key=key, serve=(ServedFolder(name="plates", path="/data/plates"),)) as agent:
    ...     await agent.wait()
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        data: Path | None = None,
        card: MeshCard,
        key: Path,
        serve: Sequence[ServedFolder],
        label: str = "",
        users: tuple[str, ...] = (),
        limit_mib_s: float = 0.0,
        may_delete: bool = False,
    ) -> None:
        """Prepare to serve folders to the mesh of ``card`` with a key of the role "agent".

        ``data`` is this agent's own folder, ``users`` may import from here (all who have a key, if nobody is named),
        ``label`` tells several agents with one key apart, ``limit_mib_s`` bounds what is read, as ``guest.limit_mib_s``
        of the settings does: it reads as a guest beside the acquisition.

        Raises:
            ConfigError: a setting is wrong.
            KeyFileError: the key cannot be read.
            NotServed: there is nothing to serve, or two folders have one name.
        """
        super().__init__(settings, data=data)
        guest = self.settings.guest
        # The option is the more particular word.
        self._guest = msgspec.structs.replace(guest, limit_mib_s=limit_mib_s or guest.limit_mib_s)
        self._card = card
        self._pair = load_pair(key)
        self._folders = ServedFolders(serve, own=self.data)
        self._label = label
        self._offer = AgentOffer(
            folders=self._folders.folders,
            users=users,
            may_delete=may_delete,
            limit_mib_s=self._guest.limit_mib_s,
            host=socket.gethostname(),
            place=str(self.data),
        )
        self._standing = Standing()

    async def wait(self) -> Exit:
        """Return when the agent gives up; it does not end by itself otherwise.

        Raises:
            AskFailed: another agent came under its name at the same moment, and was taken.
        """
        gave_up = asyncio.ensure_future(super().wait())
        refused = asyncio.ensure_future(self._standing.refused())
        try:
            await asyncio.wait((gave_up, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise refused.result()
            return gave_up.result()
        finally:
            gave_up.cancel()
            refused.cancel()

    async def _plant(
        self, node: MeshNode, layout: DataLayout, processes: Processes, inside: MeshInside, incidents: Incidents
    ) -> Supervisor:
        settings = self.settings

        def dial() -> Dialer:
            return node.dial(
                self._card.endpoint,
                self._pair,
                ServerKey(public=self._card.public),
                max_message_bytes=settings.limits.message_bytes,
                silence_s=settings.front.silence_s,
            )

        await asyncio.to_thread(check_mesh, self.data, self._card.public)
        # Whether the mesh takes these folders is known before anything is started.
        first = dial()
        try:
            terms = await offer_folders(first.link, self._offer, self._label, trial=True)
        finally:
            first.close()
        # Only now: a card that leads to no mesh binds to none; and before anything can be held for this one.
        await asyncio.to_thread(bind_to_mesh, self.data, self._card.public)
        self._repository_kind = f"none: agent {terms.name} of the mesh at {self._card.address}"

        # For all lives of the agent: what one was sweeping goes on in its thread, and spares what the next one holds.
        pace = Pace(self._guest, self.data, free_rate=self._guest.limit_mib_s * MIB, kept=self.data / RATE_FILE)
        source = ServedSource(self._folders, self.data, pace)

        def agent() -> FolderAgent:
            return FolderAgent(
                source,
                inspector=settings.inspector,
                end_inspector=lambda why: processes.end("inspector", why),
                may_delete=self._offer.may_delete,
                silent_s=settings.imports.silent_s,
            )

        return Supervisor(
            "agent",
            [
                node.actor(
                    "control", lambda: ControlDesk(self.describe, self.rows, self.stop_asked.set), kind=ControlDesk
                ),
                node.actor("console", lambda: ConsoleDesk(inside), kind=ConsoleDesk),
                # A damaged file may end the inspector again and again: that must not end the agent.
                Supervisor(
                    "inspectors",
                    [
                        processes.child(
                            processes.spec("inspector", "inspector"),
                            memory_bytes=settings.inspector.memory_mib << 20,
                        )
                    ],
                    intensity=RestartIntensity(max_restarts=100, window_s=60.0),
                    on_exhausted="quarantine",
                ),
                node.actor(FOLDERS, agent, kind=FolderAgent),
                # Last, so that the mesh hears of folders that can be asked for, and that this agent leaves before.
                node.actor(
                    UPLINK,
                    lambda: AgentUplink(dial, self._offer, self._label, self._standing),
                    kind=AgentUplink,
                ),
            ],
            reporter=incidents.add,
        )
