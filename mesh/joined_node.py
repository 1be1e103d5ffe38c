"""A node of a mesh that runs on another host: executors of its own, addressable from there by name."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from .actors.analysis.executor_door import ExecutorDoor
from .actors.console.console_desk import ConsoleDesk
from .actors.console.control_desk import ControlDesk
from .actors.nodes.joined_nodes import UPLINK, door_of
from .actors.nodes.standing import Standing
from .actors.nodes.uplink import ASK_S, DESK, Uplink, answer_terms
from .config import MeshError, Settings
from .devices import devices
from .inside import Incidents, MeshInside
from .layout import DataLayout
from .mesh import Mesh
from .mesh_node import MeshNode
from .messages.control import MeshStatus
from .messages.joining import AskTerms, JoinTerms
from .processes import Processes
from .supervisors import RestartIntensity
from .supervisors.child import Child
from .supervisors.supervisor import Supervisor
from .transport import Dialer, MeshCard, ServerKey, load_pair

FIRST_JOIN_S = 8.0
"""How long a start waits to be joined: a mesh may take ``front.silence_s`` to give up the life before."""


class HoldsAMesh(MeshError, FileExistsError):
    """The folder that a node would keep its own things in is a mesh's data."""


class JoinedNode(Mesh):
    """A node of a mesh elsewhere: its executors compute on the data folder that both hosts share.

    It holds no repository and takes no imports: commands about plates and jobs go to the mesh itself.
    """

    def __init__(
        self, settings: Settings | None = None, *, data: Path | None = None, card: MeshCard, key: Path
    ) -> None:
        """Prepare to join the mesh of ``card`` with a key of the role "node"; ``data`` is this node's own folder.

        Raises:
            ConfigError: a setting is wrong.
            KeyFileError: the key cannot be read.
            HoldsAMesh: ``data`` holds a mesh's repository.
        """
        super().__init__(settings, data=data)
        if (self.data / "repository").exists():
            raise HoldsAMesh(
                f"{self.data} holds a mesh's repository", hint="give this node a folder of its own with --data"
            )
        self._card = card
        self._pair = load_pair(key)
        self._standing = Standing()
        self._called = ""

    def describe(self) -> MeshStatus:
        """What this node is, and whether the mesh has let it in."""
        told = super().describe()
        if self._standing.joined.is_set():
            return told
        apart = f"none: node {self._called}, not in the mesh at {self._card.address} ({self._standing.state})"
        return msgspec.structs.replace(told, repository=apart)

    async def _settled(self) -> None:
        # Whoever reads "up" shall not take it for "in": who is refused says so, and goes on trying.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._standing.joined.wait(), FIRST_JOIN_S)

    async def _plant(
        self, node: MeshNode, layout: DataLayout, processes: Processes, inside: MeshInside, incidents: Incidents
    ) -> Supervisor:
        def dial() -> Dialer:
            return node.dial(
                self._card.endpoint,
                self._pair,
                ServerKey(public=self._card.public),
                max_message_bytes=self.settings.limits.message_bytes,
                silence_s=self.settings.front.silence_s,
            )

        terms = await self._first_contact(dial())
        self._called = terms.node
        self._repository_kind = f"none: node {terms.node} of the mesh at {self._card.address}, data in {terms.data}"
        slots = devices(self.settings)
        limits = self.settings.executors

        def door(name: str) -> Child:
            return node.actor(door_of(name), lambda: ExecutorDoor(name), kind=ExecutorDoor)

        def slot(name: str, device: str) -> Supervisor:
            spec = processes.spec("executor", name, device=device, n_threads=self.settings.devices.threads_per_slot)
            return Supervisor(
                name.replace("executor", "slot"),
                [processes.child(spec)],
                intensity=RestartIntensity(max_restarts=limits.max_restarts, window_s=limits.window_s),
                on_exhausted="quarantine",
            )

        life = secrets.token_hex(8)

        def uplink() -> Uplink:
            # Each has its own: one that was abandoned says nothing of the next one.
            self._standing = Standing()
            return Uplink(dial, processes.running, processes.end, self.rows, lambda: incidents.n, life, self._standing)

        return Supervisor(
            "node",
            [
                node.actor(
                    "control", lambda: ControlDesk(self.describe, self.rows, self.stop_asked.set), kind=ControlDesk
                ),
                node.actor("console", lambda: ConsoleDesk(inside), kind=ConsoleDesk),
                Supervisor("executors", [slot(*one) for one in slots], on_exhausted="quarantine"),
                Supervisor("doors", [door(name) for name, _ in slots]),
                *self._extra_children(node),
                # Last, so that the mesh hears of what is up, and that this node leaves before any of it ends.
                node.actor(UPLINK, uplink, kind=Uplink),
            ],
            reporter=incidents.add,
        )

    def _extra_children(self, node: MeshNode) -> list[Any]:
        return [node.actor(name, factory) for name, factory in self._extra]

    async def _first_contact(self, dialer: Dialer) -> JoinTerms:
        """Find out under which name this node joins, and that the data folder is shared, before anything is started.

        Raises:
            KeyRefused, NotPermitted, AskTimedOut, PeerGone: the mesh cannot be reached, or does not let this key join.
            NotMounted: its data folder is not here.
        """
        try:
            terms = await dialer.link.ask(DESK, AskTerms(), timeout_s=3 * ASK_S)
            await answer_terms(terms)
        finally:
            dialer.close()
        return terms
