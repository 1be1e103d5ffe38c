"""What the row of an actor elsewhere tells of its life: whether it is another one by now."""

from __future__ import annotations

from ...messages.control import ActorRow
from ...transport import ActorUnknown
from .joined_nodes import RemoteNode

STARTED_ANEW = "it was started anew"
_UP = ("running", "paused")


def went_down(before: ActorRow | None, now: ActorRow) -> bool:
    """Whether one that ran does not, or is another one by now."""
    if before is None or now.kind == "supervisor":
        return False
    return before.state in _UP and (now.state not in _UP or now.restarts > before.restarts or now.pid != before.pid)


def life_of(node: RemoteNode, row: ActorRow) -> str:
    """What tells this life of an actor from every other, on whichever host."""
    # A process that is started anew may get the pid that another one had, on a host that was.
    return f"{node.life}:{row.pid}:{row.restarts}"


def is_in(life: str, node: RemoteNode, row: ActorRow) -> bool:
    """Whether an actor is up in the life that was named."""
    return life_of(node, row) == life and (row.kind == "supervisor" or row.state in _UP)


def why_down(life: str, node: RemoteNode, row: ActorRow) -> str:
    """Why one went down that was in ``life``, or in one that nobody named, as far as its row tells of it."""
    if life and not life.startswith(f"{node.life}:"):
        # The whole host is another one by now, and what its row says happened to a later life.
        return STARTED_ANEW
    return row.last_error or (STARTED_ANEW if row.state in _UP else row.state)


def no_actor(node: RemoteNode, name: str) -> ActorUnknown:
    """The error for an actor that a node does not have."""
    return ActorUnknown(f"{node.name} has no actor {name!r}", hint="hcs-mesh ps lists the actors")
