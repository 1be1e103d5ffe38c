"""The mesh's own side of the executors of other hosts: an actor for each that was ever heard of."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...supervisors import Child, DuplicateChild, Node, Supervisor, SupervisorNotRunning
from ..nodes.joined_nodes import RemoteNode
from .remote_executor import RemoteExecutor


class ExecutorsElsewhere:
    """Makes executors of other hosts actors of this node, and has them back when their branch is started again."""

    def __init__(self, node: Node, supervisor: Supervisor) -> None:
        """Start none yet; ``supervisor`` is planted in the tree of ``node``, and theirs alone."""
        self.supervisor = supervisor
        self._node = node
        self._names: set[str] = set()
        self._starting: set[asyncio.Task[None]] = set()

    def appear(self, name: str, at: RemoteNode) -> None:
        """Make an executor one of this mesh's actors, by its name there and its host's."""
        if name in self._names:
            return
        self._names.add(name)
        child = self._node.actor(name, lambda: RemoteExecutor(name, at), kind=RemoteExecutor)
        # The mailbox opens at once; its supervisor has it running in a moment.
        self._node.open_mailbox(name, RemoteExecutor)
        # A branch that is started again has what it was planted with: its host is joined still, and says nothing anew.
        self.supervisor.children = (*self.supervisor.children, child)
        task = self._node.loop.create_task(self._start(child), name=f"appear {name}")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, child: Child) -> None:
        # It comes up with its branch, or has.
        with suppress(DuplicateChild, SupervisorNotRunning):
            await self.supervisor.start_child(child)
