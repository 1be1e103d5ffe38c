"""The composition root: which actors a mesh has, under which supervisors, and what each is given."""

from __future__ import annotations

from collections.abc import Callable

from .actors.agents.desk import AgentDesk
from .actors.analysis.executors_elsewhere import ExecutorsElsewhere
from .actors.analysis.result_desk import ResultDesk
from .actors.analysis.scheduler import Scheduler
from .actors.console.audit_trail import AuditTrail
from .actors.console.auditor import SEGMENT_BYTES, Auditor
from .actors.console.console_desk import ConsoleDesk, Inside
from .actors.console.control_desk import ControlDesk
from .actors.imports.places import ImportPlaces
from .actors.imports.proxy import ImportProxy
from .actors.imports.serving_agents import ServingAgents
from .actors.inspector_line import InspectorLine
from .actors.metadata_cache import MetadataCache
from .actors.nodes.join_desk import JoinDesk
from .actors.notices.notifier import Notifier
from .actors.omero.login_desk import LoginDesk
from .actors.retention import Retention
from .actors.sweeps import Sweeps
from .actors.viewing.plane_history import PlaneHistory
from .actors.viewing.publisher import Publisher
from .actors.viewing.ring_keeper import RingKeeper
from .actors.viewing.viewer_bridge import ViewerBridge
from .actors.watching.watcher import Watcher
from .config import Settings
from .devices import devices
from .home import Home
from .layout import DataLayout
from .mesh_node import MeshNode
from .messages.compute import ExecutorDown, ExecutorUp
from .messages.control import ActorRow, MeshStatus
from .plates.places import Places
from .plates.structure_shelf import StructureShelf
from .processes import Processes
from .supervisors.child import Child
from .supervisors.intensity import RestartIntensity
from .supervisors.reports import Reporter
from .supervisors.supervisor import Supervisor
from .transport import ActorUnknown
from .transport.key_ring import role_in
from .transport.whereabouts import OWNER


def mesh_tree(
    settings: Settings,
    layout: DataLayout,
    node: MeshNode,
    home: Home,
    places: Places,
    processes: Processes,
    *,
    describe: Callable[[], MeshStatus],
    rows: Callable[[], tuple[ActorRow, ...]],
    stop: Callable[[], None],
    inside: Inside,
    reporter: Reporter | None = None,
    lending: tuple[Child, ...] = (),
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

    joined = node.joined
    is_private = home.source.freshness().is_private
    inspector_line = InspectorLine()
    agents = ServingAgents(layout.data / "agents.json")
    sweeps = Sweeps()
    elsewhere = ExecutorsElsewhere(node, Supervisor("executors elsewhere", on_exhausted="quarantine"))
    rings = RingKeeper(slot_bytes=settings.streams.slot_bytes, n_slots=settings.streams.ring_slots, owner=OWNER)
    history = PlaneHistory(places)
    trail = AuditTrail(node.find)
    return Supervisor(
        "mesh",
        [
            # First, so that it ends last: that the mesh was stopped in order is written once all else has ended.
            Supervisor(
                "trail",
                [
                    node.actor(
                        "audit",
                        lambda: Auditor(
                            layout.journal("audit"), segment_bytes=min(SEGMENT_BYTES, settings.journal.segment_bytes)
                        ),
                        kind=Auditor,
                    )
                ],
                on_exhausted="quarantine",
            ),
            node.actor("control", lambda: ControlDesk(describe, rows, stop, trail=trail), kind=ControlDesk),
            node.actor("console", lambda: ConsoleDesk(inside, is_private=is_private, trail=trail), kind=ConsoleDesk),
            Supervisor(
                "catalogue",
                [
                    node.actor(
                        "metadata",
                        lambda: MetadataCache(places, shelf=StructureShelf(layout.structure)),
                        kind=MetadataCache,
                    ),
                    node.actor(
                        "logins",
                        lambda: LoginDesk(home.identities, server=home.server, rest_s=settings.omero.rest_after_s),
                        kind=LoginDesk,
                    ),
                    node.actor("results", lambda: ResultDesk(places.fetch_well), kind=ResultDesk),
                    *lending,
                ],
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
            # Before the imports, so that it ends after them: what they say last is kept as well.
            Supervisor(
                "notices",
                [
                    node.actor(
                        "notifier",
                        lambda: Notifier(
                            layout.journal("notices"),
                            settings.notices,
                            settings.mail,
                            settings.webhook,
                            segment_bytes=settings.journal.segment_bytes,
                        ),
                        kind=Notifier,
                        shutdown_s=settings.shutdown_s,
                    )
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
                            home.imports,
                            layout.journal("imports"),
                            settings.imports,
                            inspector=settings.inspector,
                            places=ImportPlaces(
                                layout.data,
                                settings.imports,
                                settings.guest,
                                agents,
                                role_in(layout.allowed_keys),
                                sweeps,
                            ),
                            is_private=is_private,
                            prover=home.prover,
                            segment_bytes=settings.journal.segment_bytes,
                            end_inspector=lambda why: processes.end("inspector", why),
                            inspector_line=inspector_line,
                        ),
                        kind=ImportProxy,
                        # A running copy is given time to come to the end of its file.
                        shutdown_s=settings.shutdown_s,
                    ),
                    node.actor(
                        "watches",
                        lambda: Watcher(
                            settings.watch,
                            layout.journal("watches"),
                            home.imports,
                            data=layout.data,
                            inspector=settings.inspector,
                            end_inspector=lambda why: processes.end("inspector", why),
                            inspector_line=inspector_line,
                            segment_bytes=settings.journal.segment_bytes,
                        ),
                        kind=Watcher,
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
                    elsewhere.supervisor,
                    # Behind them, so that it ends first: a well that an ordered stop cuts short is nobody's fault.
                    node.actor(
                        "scheduler",
                        lambda: Scheduler(
                            places,
                            layout.journal("jobs"),
                            attempts_per_well=settings.executors.attempts_per_well,
                            segment_bytes=settings.journal.segment_bytes,
                            running_executors=executors,
                            end_executor=end_executor,
                            charge_executor=processes.charge,
                            check_results=places.check_results,
                            away=places.away,
                            is_private=places.is_private,
                            job_taken=places.job_taken,
                            retention=Retention(
                                settings.jobs.keep_days, settings.jobs.keep_ended, settings.jobs.keep_keys_days
                            ),
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
                        lambda: JoinDesk(
                            layout.data,
                            joined,
                            hang_up=node.hang_up,
                            appear=elsewhere.appear,
                            silence_s=settings.front.silence_s,
                            grace_s=settings.front.node_grace_s,
                        ),
                        kind=JoinDesk,
                    ),
                    node.actor(
                        "agents",
                        lambda: AgentDesk(agents, hang_up=node.hang_up, silence_s=settings.front.silence_s),
                        kind=AgentDesk,
                    ),
                ],
                on_exhausted="quarantine",
            ),
            *extra,
        ],
        reporter=reporter,
    )


def _tell(node: MeshNode, event: ExecutorUp | ExecutorDown) -> None:
    try:
        node.find("scheduler").tell(event)
    except ActorUnknown:
        # It asks at its start who is up.
        return
