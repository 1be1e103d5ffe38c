"""The composition root: which actors a mesh has, under which supervisors, and what each is given."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable

import msgspec

from .actors.console_desk import ConsoleDesk, Inside
from .actors.control_desk import ControlDesk
from .actors.import_proxy import ImportProxy
from .actors.join_desk import JoinDesk
from .actors.joined_nodes import JoinedNodes, RemoteNode
from .actors.metadata_cache import MetadataCache
from .actors.plane_history import PlaneHistory
from .actors.publisher import Publisher
from .actors.remote_executor import RemoteExecutor
from .actors.ring_keeper import RingKeeper
from .actors.scheduler import Scheduler
from .actors.viewer_bridge import ViewerBridge
from .child import ChildSpec
from .config import Settings
from .layout import DataLayout
from .messages.compute import ExecutorDown, ExecutorUp
from .messages.control import ActorRow, MeshStatus
from .plates.repository import Repository
from .supervisors import Node
from .supervisors.backoff import Backoff
from .supervisors.child import Child, Running
from .supervisors.health import HealthLimits
from .supervisors.intensity import RestartIntensity
from .supervisors.launch import start_process
from .supervisors.process import ProcessChild, ProcessSpec
from .supervisors.reports import Reporter
from .supervisors.supervisor import Supervisor
from .transport import ActorUnknown, Beat, Endpoint, MailboxFull

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


def mesh_tree(
    settings: Settings,
    layout: DataLayout,
    node: Node,
    repository: Repository,
    processes: Processes,
    *,
    describe: Callable[[], MeshStatus],
    rows: Callable[[], tuple[ActorRow, ...]],
    stop: Callable[[], None],
    inside: Inside,
    reporter: Reporter | None = None,
    extra: tuple[Child | Supervisor, ...] = (),
) -> Supervisor:
    """Everything that runs, and who watches over it. Branches fail alone: a bad analysis never stops an import."""

    def executors() -> tuple[tuple[str, int], ...]:
        return tuple(one for one in processes.running() if one[0].startswith("executor.")) + joined.running()

    def end_executor(name: str, why: str) -> None:
        if not joined.end(name, why):
            processes.end(name, why)

    def executor_up(name: str, pid: int) -> None:
        _tell(node, ExecutorUp(executor=name, pid=pid))

    def executor_down(name: str, pid: int) -> None:
        _tell(node, ExecutorDown(executor=name, pid=pid))

    joined = JoinedNodes()
    elsewhere = Supervisor("executors elsewhere", on_exhausted="quarantine")
    appearing: set[asyncio.Task[object]] = set()

    def appear(name: str, at: RemoteNode) -> None:
        """Make an executor of another host one of this mesh's actors, by its name there and its host's."""
        if name not in node.cells:
            child = node.actor(name, lambda: RemoteExecutor(name, at), kind=RemoteExecutor)
            # The mailbox opens at once; its supervisor has it running in a moment.
            node.open_mailbox(name, RemoteExecutor)
            task: asyncio.Task[object] = node.loop.create_task(elsewhere.start_child(child), name=f"appear {name}")
            appearing.add(task)
            task.add_done_callback(appearing.discard)

    rings = RingKeeper(slot_bytes=settings.streams.slot_bytes, n_slots=settings.streams.ring_slots)
    history = PlaneHistory(repository)
    return Supervisor(
        "mesh",
        [
            node.actor("control", lambda: ControlDesk(describe, rows, stop), kind=ControlDesk),
            node.actor("console", lambda: ConsoleDesk(inside), kind=ConsoleDesk),
            Supervisor(
                "catalogue",
                [node.actor("metadata", lambda: MetadataCache(repository), kind=MetadataCache)],
                on_exhausted="quarantine",
            ),
            Supervisor(
                "viewing",
                [
                    node.actor(
                        "publisher",
                        lambda: Publisher(rings.renew, history, n_credits=settings.streams.credits_per_viewer),
                        kind=Publisher,
                    ),
                    node.actor("viewers", ViewerBridge, kind=ViewerBridge),
                ],
                on_exhausted="quarantine",
            ),
            Supervisor(
                "importing",
                [
                    # A damaged file may end the inspector again and again: that must not end the branch.
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
                    node.actor(
                        "imports",
                        lambda: ImportProxy(
                            repository,
                            layout.journal("imports"),
                            settings.imports,
                            inspection_s=settings.inspector.time_limit_s,
                            segment_bytes=settings.journal.segment_bytes,
                            end_inspector=lambda why: processes.end("inspector", why),
                        ),
                        kind=ImportProxy,
                        # A running copy is given time to come to the end of its file.
                        shutdown_s=settings.shutdown_s,
                    ),
                ],
                on_exhausted="quarantine",
            ),
            Supervisor(
                "analysis",
                [
                    Supervisor(
                        "executors",
                        [
                            # Each is given up alone: the others go on with what it leaves.
                            Supervisor(
                                name.replace("executor", "slot"),
                                [
                                    processes.child(
                                        processes.spec(
                                            "executor", name, device=device, n_threads=settings.devices.threads_per_slot
                                        ),
                                        on_up=executor_up,
                                        on_down=executor_down,
                                    )
                                ],
                                # A CUDA process takes seconds to come up: its deaths are counted over minutes.
                                intensity=RestartIntensity(
                                    max_restarts=settings.executors.max_restarts, window_s=settings.executors.window_s
                                ),
                                on_exhausted="quarantine",
                            )
                            for name, device in devices(settings)
                        ],
                        on_exhausted="quarantine",
                    ),
                    elsewhere,
                    # Behind them, so that it ends first: a well that an ordered stop cuts short is nobody's fault.
                    node.actor(
                        "scheduler",
                        lambda: Scheduler(
                            repository,
                            layout.journal("jobs"),
                            attempts_per_well=settings.executors.attempts_per_well,
                            segment_bytes=settings.journal.segment_bytes,
                            running_executors=executors,
                            end_executor=end_executor,
                            charge_executor=processes.charge,
                        ),
                        kind=Scheduler,
                        shutdown_s=settings.shutdown_s,
                    ),
                ],
                on_exhausted="quarantine",
            ),
            Supervisor(
                "joining",
                [
                    node.actor(
                        "nodes",
                        lambda: JoinDesk(layout.data, joined, hang_up=node.hang_up, appear=appear),
                        kind=JoinDesk,
                    )
                ],
                on_exhausted="quarantine",
            ),
            *extra,
        ],
        reporter=reporter,
    )


def devices(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The executors to start: name and device, one for each CPU slot and each CUDA device."""
    n_slots = settings.devices.n_cpu_slots(os.cpu_count() or 1)
    cpus = tuple((f"executor.cpu{number}", "cpu") for number in range(n_slots))
    return cpus + tuple((f"executor.cuda{number}", f"cuda:{number}") for number in cuda_devices(settings))


def cuda_devices(settings: Settings) -> tuple[int, ...]:
    """The CUDA devices to use: those that the settings name, or every one that CuPy finds."""
    chosen = settings.devices.gpu
    if chosen == "off":
        return ()
    if chosen != "auto":
        return chosen
    if importlib.util.find_spec("cupy") is None:
        return ()
    import cupy

    try:
        return tuple(range(cupy.cuda.runtime.getDeviceCount()))
    except cupy.cuda.runtime.CUDARuntimeError:
        # CuPy without a driver or a card: a machine that only has CPUs.
        return ()


def _tell(node: Node, event: ExecutorUp | ExecutorDown) -> None:
    try:
        node.find("scheduler").tell(event)
    except ActorUnknown:
        # It asks at its start who is up.
        return
    except MailboxFull as full:
        raise RuntimeError(f"the scheduler does not hear that an executor came or went: {full}") from full
