"""The desk of a child process: says what it knows of a trace, and pauses its actor."""

from __future__ import annotations

import os
from typing import assert_never

from ...messages.console import Hop, ReadHops, SetPaused
from ...supervisors import Actor, Node
from ...supervisors.traces import Hop as KeptHop

Inbox = ReadHops | SetPaused


class NodeDesk(Actor[Inbox]):
    """Answers the hub for the node that it stands on."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def receive(self, message: Inbox) -> tuple[Hop, ...] | None:
        """Handle one message."""
        match message:
            case ReadHops(trace=trace):
                return told_hops(self._node.name, self._node.traces.of(trace))
            case SetPaused(actor=actor, paused=paused):
                set_paused(self._node, actor, paused=paused)
                return None
            case _:
                assert_never(message)


def set_paused(node: Node, actor: str, *, paused: bool) -> None:
    """Pause or resume an actor of a node.

    Raises:
        ActorUnknown: there is none of that name.
    """
    cell = node.cells.get(actor)
    if cell is None:
        raise node.unknown(actor)
    if paused:
        cell.pause()
    else:
        cell.resume()


def told_hops(node: str, kept: list[KeptHop]) -> tuple[Hop, ...]:
    """Hops as they travel."""
    return tuple(
        Hop(
            trace=one.trace,
            at_unix_s=one.at_unix_s,
            node=node,
            pid=os.getpid(),
            actor=one.actor,
            sender=one.sender,
            message=one.message,
            took_s=one.took_s,
            outcome=one.outcome,
        )
        for one in kept
    )
