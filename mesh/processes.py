"""The child processes of a node: started, tied to their links, told apart by pid."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import msgspec

from .child import ChildSpec
from .config import Settings
from .layout import DataLayout
from .plates.omero.address import reading_of
from .supervisors import Node
from .supervisors.backoff import Backoff
from .supervisors.child import Child, Running
from .supervisors.health import HealthLimits
from .supervisors.launch import start_process
from .supervisors.process import ProcessChild, ProcessSpec
from .transport import Beat, Endpoint

QUICK = Backoff(first_s=0.05, factor=2.0, max_s=0.2)
"""A process takes longer to come up than this; how often it may is the intensity's to say."""
SILENCE = HealthLimits(silence_s=15.0)


class Processes:
    """The child processes of a node: started, tied to their links, and told apart by pid."""

    def __init__(self, node: Node, endpoint: Endpoint, layout: DataLayout, settings: Settings) -> None:
        self._node = node
        self._endpoint = endpoint
        self._layout = layout
        self._settings = settings
        self._running: dict[str, ProcessChild] = {}
        self._early: dict[str, asyncio.Task[ProcessChild]] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self.beats: dict[str, Beat] = {}
        """The latest sign of life of each process that is up."""

    def child(
        self,
        spec: ChildSpec,
        *,
        memory_bytes: int | None = None,
        on_up: Callable[[str, int], None] = lambda name, pid: None,
        on_down: Callable[[str, int], None] = lambda name, pid: None,
    ) -> Child:
        """The specification of one process; ``on_up`` and ``on_down`` hear its name and pid."""
        loop = self._node.loop

        async def launch() -> ProcessChild:
            expected = self._node.expect(spec.name)

            async def ready(child: ProcessChild) -> None:
                await expected

            child = await start_process(
                ProcessSpec(
                    argv=(sys.executable, "-P", "-m", f"{__package__}.child"),
                    spec=msgspec.json.encode(spec),
                    log=self._layout.logs / f"{spec.name}.out",
                    memory_bytes=memory_bytes,
                    health=SILENCE,
                ),
                ready=ready,
            )

            def heard(beat: Beat) -> None:
                self.beats[spec.name] = beat
                child.beat(loop.time(), beat.busy or "idle")

            self._node.on_beat[spec.name] = heard
            return child

        async def start() -> Running:
            child = await (self._early.pop(spec.name, None) or loop.create_task(launch()))
            pid = child.pid or 0
            self._running[spec.name] = child
            try:
                on_up(spec.name, pid)
            except RuntimeError:
                # Nobody would give it work: the next one may be luckier.
                await child.kill()
                raise

            async def watch() -> None:
                ended = await child.wait()
                if self._running.get(spec.name) is child:
                    del self._running[spec.name]
                    self.beats.pop(spec.name, None)
                # First whoever waits for its answers, which nothing else would ever tell them.
                self._node.peer_died(spec.name, ended.error or ended.reason)
                on_down(spec.name, pid)

            task = loop.create_task(watch(), name=f"watch {spec.name}")
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)
            return child

        # All of them load their libraries side by side, while the supervisors start one child after the other.
        self._early[spec.name] = loop.create_task(launch(), name=f"launch {spec.name}")
        return Child(
            spec.name,
            start,
            kind="process",
            backoff=QUICK,
            shutdown_s=3.0,
            given_up=lambda why: self._node.give_up(spec.name, why),
        )

    async def abandon(self) -> None:
        """End what was started ahead and never asked for, because the tree did not come up."""
        for task in self._early.values():
            task.cancel()
        for launched in await asyncio.gather(*self._early.values(), return_exceptions=True):
            if isinstance(launched, ProcessChild):
                await launched.kill()
                await launched.wait()

    def spec(self, role: str, name: str, **fields: object) -> ChildSpec:
        """What a process of this mesh is told."""
        return msgspec.convert(
            {
                "role": role,
                "name": name,
                "endpoint": self._endpoint,
                "log_file": str(self._layout.logs / f"{name}.log"),
                "log": self._settings.log,
                "message_bytes": self._settings.limits.message_bytes,
                "bioformats": self._settings.bioformats,
                "omero": reading_of(self._settings.omero) if role == "executor" else None,
                **fields,
            },
            ChildSpec,
        )

    def running(self) -> tuple[tuple[str, int], ...]:
        """The processes that are up: name and pid."""
        return tuple((name, child.pid or 0) for name, child in self._running.items())

    def charge(self, name: str, blame: str) -> None:
        """Say who pays if this one dies now: "child", or the work in flight."""
        child = self._running.get(name)
        if child is not None:
            child.charge(blame)

    def end(self, name: str, why: str) -> None:
        """Kill one, charged to nobody; its supervisor starts another."""
        child = self._running.get(name)
        if child is not None:

            async def kill() -> None:
                child.charge("nobody")
                await child.kill()

            task = self._node.loop.create_task(kill(), name=f"end {name}: {why}")
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)
