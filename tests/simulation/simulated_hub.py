"""A hub that dies and comes back in a virtual world: a real node and supervisor, on a disk that outlives them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from memory_disk import MemoryDisk
from memory_wire import MemoryListener
from observed_supervision import ObservedSupervision
from virtual_world import Process, Violation, World

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import Node, Supervisor, Surroundings
from hcs_mesh.supervisors.shift import KILL_S
from hcs_mesh.transport import Link, Principal

SETTLES_S = KILL_S + 1.0
"""Within which a child that was restarted is down, up again or given up."""

USER = Principal(name="ada", role="administrator")


class Hub:
    """The process that holds the tree; what makes the tree is the scenario's."""

    def __init__(
        self,
        world: World,
        tree: Callable[[Hub], Supervisor],
        *,
        make_link: Callable[..., Link] = Link,
        make_node: Callable[[], Node] = lambda: Node("hub"),
        principal: Principal = USER,
    ) -> None:
        self.world = world
        self.disk = MemoryDisk(world)
        self.n_lives = 0
        self.leaving = False
        self.settled_at = 0.0
        """When what somebody asked of the tree has shown all that comes of it."""
        self.process: Process
        self.node: Node
        self.inner: MemoryListener | None = None
        self.front: MemoryListener | None = None
        self.top: Supervisor | None = None
        self.supervision: ObservedSupervision
        self._tree = tree
        self._make_link = make_link
        self._make_node = make_node
        self._principal = principal
        self.begin()

    @property
    def up(self) -> bool:
        return not self.process.dead and self.top is not None and self.top.state == "running"

    def begin(self) -> None:
        """Start the process anew."""
        self.n_lives += 1
        self.process = self.world.process(f"hub{self.n_lives}")
        self.disk.belongs_to(self.process)
        self.inner = self.front = self.top = None
        self.process.on_death.append(self._again)
        self.process.run(self._live(self.process))

    def crash(self, *, power: bool) -> None:
        """Kill the process; with ``power`` the machine loses what was not synced, too."""
        if self.process.dead:
            return
        self.process.kill()
        if power:
            self.world.note("the power fails")
            self.disk.lose_power()

    def restart(self, *names: str) -> None:
        """Have somebody restart one of these children, and see for as long as it takes what comes of it."""
        if self.up and not self.supervision.leaving:
            self.settled_at = max(self.settled_at, self.world.now + SETTLES_S)
            self.process.run(self.supervision.restart(self.world.random.choice(names)))

    def _again(self) -> None:
        if not self.leaving:
            if self.disk.crash_at is None and self.world.random.random() < 0.3:
                self.disk.lose_power()
            self.world.later(0.05 + self.world.random.random(), self.begin)

    async def _live(self, process: Process) -> None:
        world = self.world
        self.node = node = self._make_node()
        self.inner = MemoryListener(world, process, node._deliver, make_link=self._make_link)
        self.front = MemoryListener(world, process, node._deliver, principal=self._principal, make_link=self._make_link)
        node.inner = self.inner  # type: ignore[assignment]
        node.fronts.append(self.front)  # type: ignore[arg-type]
        self.supervision = ObservedSupervision(world)
        self.top = self._tree(self)
        try:
            await self.top.start()
        except MeshError as error:
            world.note(f"the hub does not start: {error}")
            process.kill()
            return
        ended = await self.top.wait()
        if not self.leaving:
            world.note(f"the hub ends: {ended.error}")
            process.kill()

    def surroundings(self) -> Surroundings:
        """The world as supervision sees it."""
        return Surroundings(
            now_s=self.process.time,
            sleep=asyncio.sleep,
            chance=self.world.random.random,
            unix_s=self.world.unix_s,
            reporter=self.supervision,
        )

    def run_whole(self, work: Callable[[], Coroutine[Any, Any, None]], *, within_s: float = 30.0) -> None:
        """Do something in one life of the process, from its beginning in the next one if it dies meanwhile."""
        while not self._run_in_one_life(work, within_s):
            pass

    def _run_in_one_life(self, work: Callable[[], Coroutine[Any, Any, None]], within_s: float) -> bool:
        if not self.world.run_until(lambda: self.up, 30.0):
            raise Violation("the hub does not come up, although the faults are over")
        process = self.process
        doing = process.run(work())
        if not self.world.run_until(lambda: doing.done() or process.dead, within_s):
            raise Violation(f"the hub is deaf: {unfinished(process)}")
        if process.dead:
            return False
        doing.result()
        return True

    def stop(self, *, within_s: float = 60.0) -> None:
        """Stop in order, and see that nothing is left over."""
        self.leaving = self.supervision.leaving = True
        assert self.top is not None

        async def leave() -> None:
            assert self.top is not None
            await self.top.stop()
            await self.node.close()

        leaving = self.process.run(leave())
        if not self.world.run_until(leaving.done, within_s):
            raise Violation(f"the hub has not stopped after {within_s:g} s: {unfinished(self.process)}")
        leaving.result()


def unfinished(process: Process) -> str:
    """What a process is still at."""
    return "; ".join(repr(task.get_coro()) for task in process.tasks if not task.done())


def comes_to_rest(world: World, processes: list[Process], *, within_s: float = 30.0) -> None:
    """See that nothing goes on for ever, and that nobody was left waiting."""
    if not world.run_dry(within_s):
        raise Violation("something goes on although everything was stopped")
    left = [f"{process.name}: {unfinished(process)}" for process in processes if not process.dead]
    left = [one for one in left if not one.endswith(": ")]
    if left:
        raise Violation(f"left waiting for good: {'; '.join(left)}")
    if world.complaints:
        raise Violation(f"nobody took this up: {world.complaints[0]}")
