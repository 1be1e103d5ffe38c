"""Somebody who watches executors of other hosts: each death is heard, once, and no life is taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from simulated_host import EXECUTOR, Host
from simulated_hub import Hub
from virtual_world import Violation, World

from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes, RemoteNode, name_elsewhere
from hcs_mesh.config.errors import MeshError
from hcs_mesh.messages.joining import ActorDown, WatchActor, WhichLife

LOOKS_AGAIN_S = 0.2
DOWN = ":None:"
"""Part of what stands for the life of an executor that has no process."""


class DeathWatch:
    """Asks the desk which life an executor has, and then when that one ends, again and again."""

    def __init__(self, world: World, hosts: Sequence[Host]) -> None:
        self._world = world
        self._hosts = hosts
        self._watched: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, hub: Hub, joined: JoinedNodes) -> None:
        """Watch in this life of the hub."""
        self._watched = {}
        self._tasks = [hub.process.create_task(self._watch(hub, joined.node(host.name))) for host in self._hosts]

    def end(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()

    def missed(self) -> str:
        """What is watched instead of what lives; empty where both are the same."""
        watched, living = sorted(self._watched.values()), sorted(self._living())
        return "" if watched == living else f"watched are {watched}, and there live {living}"

    async def _watch(self, hub: Hub, node: RemoteNode) -> None:
        desk, actor, heard = hub.node.find("nodes"), name_elsewhere(EXECUTOR, node.name), ""
        while True:
            try:
                life = await desk.ask(WhichLife(actor=actor), timeout_s=1.0)
                if DOWN in life:
                    await asyncio.sleep(LOOKS_AGAIN_S)
                    continue
                if life == heard:
                    raise Violation(f"the death of {actor} is told twice: {life}")
                self._watched[actor], n_joins = life, node.n_joins
                # It may die between two questions.
                await asyncio.sleep(self._world.random.choice((0.0, 1.0, 3.0)))
                down: ActorDown = await desk.ask(WatchActor(actor=actor, life=life), timeout_s=1e6)
            except MeshError:
                # Its host is away, or the desk is.
                await asyncio.sleep(LOOKS_AGAIN_S)
                continue
            finally:
                self._watched.pop(actor, None)
            if node.link is not None and node.n_joins == n_joins:
                # It is said of the executor, and not of the way to it.
                self._world.note(f"{actor} is down")
                heard = life
                if life in self._living():
                    raise Violation(f"{actor} is told to be down, and lives: {down.reason}")

    def _living(self) -> set[str]:
        found = set()
        for host in self._hosts:
            for row in host.rows() if host.up else ():
                if row.name == EXECUTOR and row.state == "running":
                    found.add(f"{host.life}:{row.pid}:{row.restarts}")
        return found
