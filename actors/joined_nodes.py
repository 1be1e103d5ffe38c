"""The nodes of other hosts: which are joined, over which link, and which of their executors are up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ..messages.joining import EndExecutor
from ..transport import ActorUnknown, Link

UPLINK = "uplink"
"""The actor by which a node stays joined."""


def name_elsewhere(executor: str, node: str) -> str:
    """How an executor of another host is called in the mesh."""
    return f"{executor}@{node}"


@dataclass
class RemoteNode:
    """One host that has joined, whether it can be reached just now or not."""

    name: str
    link: Link | None = None
    heard_s: float = 0.0
    lost_s: float = 0.0
    executors: dict[str, int] = field(default_factory=dict)
    n_joins: int = 0
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
                raise ActorUnknown(
                    f"the node {self.name} is away", hint="hcs-mesh up --join on that host brings it back"
                )
            await self.changed.wait()
        return self.link


class JoinedNodes:
    """All of them; what an actor's next life takes over from the one before."""

    def __init__(self) -> None:
        self.nodes: dict[str, RemoteNode] = {}

    def node(self, name: str) -> RemoteNode:
        """The node of this name, made when it is first heard of."""
        return self.nodes.setdefault(name, RemoteNode(name))

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
