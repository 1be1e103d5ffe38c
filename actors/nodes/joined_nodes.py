"""The nodes of other hosts: which are joined, over which link, and what of them is up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from ...messages.control import ActorRow
from ...messages.joining import EndExecutor
from ...transport import ActorUnknown, Link

UPLINK = "uplink"
"""The actor by which a node stays joined."""


def name_elsewhere(name: str, node: str) -> str:
    """How an actor of another host is called in the mesh."""
    return f"{name}@{node}"


def door_of(executor: str) -> str:
    """The actor on a node that hands on to its executor."""
    return f"door.{executor.removeprefix('executor.')}"


@dataclass
class RemoteNode:
    """One host that has joined, whether it can be reached just now or not."""

    name: str
    link: Link | None = None
    heard_s: float = 0.0
    lost_s: float = 0.0
    executors: dict[str, int] = field(default_factory=dict)
    stood_for: set[str] = field(default_factory=set)
    """The executors for which an actor of the mesh itself has stood already."""
    rows: tuple[ActorRow, ...] = ()
    """Its tree as it was told last, under the names that it has there."""
    away_because: str = ""
    n_joins: int = 0
    refused: str = ""
    """The life that was refused last, because another one was there."""
    life: str = ""
    """What tells this life of its process from the one before; a break leaves it, a death does not."""
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def stirred(self) -> None:
        """Let who waits for the node look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def reached(self) -> Link:
        """The link to the node, as soon as there is one: a break that heals is waited for.

        Raises:
            ActorUnknown: the node has been away for too long, or has left.
        """
        while self.link is None or self.link.gone:
            if self.gone:
                raise self.away()
            await self.changed.wait()
        return self.link

    async def joined_anew(self, since: Link) -> None:
        """Return as soon as it has joined over another link than ``since``, also where it has left meanwhile."""
        while self.link is None or self.link is since:
            await self.changed.wait()

    def away(self) -> ActorUnknown:
        """The error for whoever needs it now."""
        because = f" ({self.away_because})" if self.away_because else ""
        return ActorUnknown(
            f"the node {self.name} is away{because}", hint="hcs-mesh up --join on that host brings it back"
        )

    def row(self, name: str) -> ActorRow | None:
        """The line of its tree that has this name there."""
        return next((row for row in self.rows if row.name == name), None)


class Place(NamedTuple):
    """A node, and the name that something has there."""

    node: RemoteNode
    name: str


class JoinedNodes:
    """All of them; what an actor's next life takes over from the one before."""

    def __init__(self) -> None:
        self.nodes: dict[str, RemoteNode] = {}

    def node(self, name: str) -> RemoteNode:
        """The node of this name, made when it is first heard of."""
        return self.nodes.setdefault(name, RemoteNode(name))

    def place(self, name: str) -> Place | None:
        """Where a name of the mesh is looked for; None when it names nothing of another host."""
        there, _, node = name.rpartition("@")
        known = self.nodes.get(node)
        return Place(known, there) if there and known is not None else None

    def running(self) -> tuple[tuple[str, int], ...]:
        """The executors of every node that can be reached: name in the mesh and pid there."""
        return tuple(
            (name_elsewhere(executor, node.name), pid)
            for node in self.nodes.values()
            if node.link is not None
            for executor, pid in node.executors.items()
        )

    def end(self, name: str, why: str) -> bool:
        """Let an executor elsewhere be ended; False when the name is none of theirs."""
        executor, _, at = name.partition("@")
        node = self.nodes.get(at)
        if node is None or node.link is None:
            return bool(at)
        node.link.tell(UPLINK, EndExecutor(executor=executor, why=why))
        return True
