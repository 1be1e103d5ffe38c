"""Planes streamed to viewers: the real publisher, pump, streams, slots and bridge under deaths and stand-stills."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from crowd import Crowd, heard, mesh_was_refused
from memory_wire import Faults, MemoryDialer
from simulated_hub import SETTLES_S, Hub, comes_to_rest
from virtual_world import Process, Violation, World

from hcs_mesh.actors.analysis.job_news import JobNews
from hcs_mesh.actors.viewing.plane_history import PlaneHistory
from hcs_mesh.actors.viewing.publisher import Publisher
from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.config.errors import MeshError
from hcs_mesh.messages.compute import GetJob, JobStatus, ListJobs, WellStatus
from hcs_mesh.messages.frames import (
    FactTold,
    Frame,
    FrameTaken,
    PlanesCommitted,
    PlaneUnreadable,
    StreamEnded,
    WellStateChanged,
)
from hcs_mesh.messages.metadata import GetPlate, ListPlates
from hcs_mesh.messages.planes import PlaneAddress, acquired_planes, result_planes
from hcs_mesh.messages.streaming import ListStreams
from hcs_mesh.messages.viewing import Attach, Attached, StartStream, StillAttached, Subject
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.repository import ResultFile, StoredResult
from hcs_mesh.supervisors import Actor, Backoff, MailboxLimits, Node, RestartIntensity, Supervisor
from hcs_mesh.transport import Event, Link, MailboxFull, Principal
from hcs_mesh.transport.planes import Ring
from hcs_mesh.transport.planes.allocator import SlotAllocator
from hcs_mesh.transport.planes.layout import GENERATION, Layout, PlaneRef, plane_at
from hcs_mesh.viewers.let_go import LetGo

FAULTS_S = 4.0
QUICK = Backoff(first_s=0.02, max_s=0.5)
WELLS = ("A01", "A02", "A03", "B01")
JOB = "job-0001"
N_SLOTS, N_CREDITS = 5, 2
# A key has at most three of five: more than the credits of one viewer, which must be what bounds it.
SIDE = 2
VIEWER = Principal(name="eve", role="viewer")
PLATE = build_plate(
    [Image(well, 1, c, 0, 0, "plane", f"{well}_{c}.tif", 0, SIDE, SIDE, "uint16") for well in WELLS for c in range(2)],
    id=1,
    name="plate 1",
    channels=("DNA", "GFP"),
    root="/plates/1",
)

ACQUIRED = {record.header.address for record in acquired_planes(PLATE)}


class Unreadable(MeshError, OSError):
    """The disk would not give a plane."""


class MemoryRing(Ring):
    """A ring whose memory is no file; its slots, generations and holds are the real ones."""

    def __init__(self, name: str) -> None:
        self.layout = Layout(n_slots=N_SLOTS, slot_bytes=SIDE * SIDE * 2)
        self._allocator = SlotAllocator(N_SLOTS)
        self._map = bytearray(self.layout.file_bytes)  # type: ignore[assignment]
        self._name = name
        self.path = Path("/rings", name)
        self._n_swept = self._n_planes = self._n_bytes = self._n_full = 0
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def value(self, ref: PlaneRef) -> int:
        """What a viewer sees in a slot; -1 if the slot is another plane's by now."""
        [generation] = GENERATION.unpack_from(self._map, self.layout.generation_start(ref.slot))
        pixels = plane_at(self._map, ref.shape, np.dtype(ref.dtype), ref.offset)
        return int(pixels[0, 0]) if generation == ref.generation and (pixels == pixels[0, 0]).all() else -1


class Tables(Actor[GetJob | ListJobs | GetPlate | ListPlates]):
    """Scheduler and metadata cache, as far as the publisher knows them."""

    async def receive(self, message: GetJob | ListJobs | GetPlate | ListPlates) -> Any:
        match message:
            case GetJob():
                return JobStatus(job=JOB, plate_id=1, wells=tuple(WellStatus(well=well) for well in WELLS))
            case GetPlate():
                return PLATE
            case _:
                return ()


class Take(Event, frozen=True, kw_only=True, tag="screen.take"):
    sequence: int
    viewer: str


class Screen(Actor[Frame | FactTold | PlaneUnreadable | StreamEnded | Take]):
    """A viewer's window: looks at each plane for a while, then lets it go."""

    def __init__(self, cinema: Cinema, process: Process) -> None:
        self.seen: set[PlaneAddress] = set()
        self.wells_done: set[str] = set()
        self.viewer = ""
        self.subject = cinema.world.random.choice((Subject(job=JOB), Subject(job=JOB), Subject(plate_id=1)))
        self.ended = False
        self.let_go = LetGo()
        self.dialer: MemoryDialer
        self._cinema = cinema
        self._process = process
        self._last = 0
        self._held: dict[int, tuple[PlaneRef, int]] = {}

    def follow(self, viewer: str) -> None:
        """Show this stream from now on."""
        self.viewer, self._last, self.ended, self.let_go = viewer, 0, False, LetGo()
        self._held.clear()

    async def receive(self, message: Frame | FactTold | PlaneUnreadable | StreamEnded | Take) -> None:
        if message.viewer != self.viewer:
            return
        match message:
            case StreamEnded():
                self.ended = True
            case Take(sequence=sequence):
                self._take(sequence)
            case _:
                if message.sequence != self._last + 1:
                    raise Violation(f"number {message.sequence} of a stream came after number {self._last}")
                self._last = message.sequence
                self._show(message)
                if not isinstance(message, Frame):
                    self.let_go.note(message.sequence)

    def _show(self, message: Frame | FactTold | PlaneUnreadable) -> None:
        match message:
            case Frame(sequence=sequence, ref=ref, header=header):
                value = self._cinema.rings[ref.ring].value(ref)
                wrong = value != self._cinema.value_of(header.address)
                # A bridge that fails closes every stream: what it had sent by then may be overtaken.
                if wrong and self._cinema.still_holds(self.viewer, sequence):
                    raise Violation(f"{header.address} shows {value}, not {self._cinema.value_of(header.address)}")
                self._held[sequence] = ref, value
                if len(self._held) > N_CREDITS:
                    raise Violation(f"a viewer with {N_CREDITS} credits holds {len(self._held)} planes")
                self.seen.add(header.address)
                self.context.after(self._cinema.look_s(), Take(sequence=sequence, viewer=self.viewer))
            case PlaneUnreadable(header=header):
                self.seen.add(header.address)
            case FactTold(fact=WellStateChanged(well=well)):
                self.wells_done.add(well)

    def _take(self, sequence: int) -> None:
        ref, value = self._held.pop(sequence)
        held = self._cinema.still_holds(self.viewer, sequence)
        if held and self._cinema.rings[ref.ring].value(ref) != value:
            raise Violation(f"slot {ref.slot} was given to another plane while a viewer held it")
        self.let_go.note(sequence)
        self.dialer.link.tell("viewers", FrameTaken(viewer=self.viewer, sequence=sequence))


class SmallBridge(ViewerBridge):
    """Has room for little, so that a few messages are a flood."""

    mailbox = MailboxLimits(max_messages=14, max_deferred=16)


class SmallPublisher(Publisher):
    """The same, whom outsiders reach by way of the bridge only."""

    mailbox = MailboxLimits(max_messages=24)


class News(JobNews):
    """What the scheduler of one life of the hub tells, whatever becomes of that life's publishers."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub.node.find, lambda work: hub.process.run(work) and None)
        self.of = hub.process


class Watch:
    """Proof that a viewer's process has ended."""

    def __init__(self, hub: Process, watched: Process, on_death: Callable[[], None]) -> None:
        self._on_death: Callable[[], None] | None = on_death
        if watched.dead:
            raise ProcessLookupError(watched.pid)
        delay_s = hub.world.random.random() * 0.2
        watched.on_death.append(lambda: hub.call_later(delay_s, self._died) and None)

    def stop(self) -> None:
        self._on_death = None

    def _died(self) -> None:
        if self._on_death is not None:
            self._on_death()


class Cinema:
    """One schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calm = self.closing = False
        self.rings: dict[str, MemoryRing] = {}
        self.stored: dict[str, StoredResult] = {}
        self.results_kept: set[PlaneAddress] = set()
        self.screens: dict[Process, Screen] = {}
        self._values: dict[str, int] = {}
        self._news: News | None = None
        self.hub = Hub(world, self._tree, principal=VIEWER)
        self.crowd = Crowd(world, self.hub)
        self.crowd_viewer = ""
        self.n_viewers = 0
        for _ in range(world.random.randrange(1, 4)):
            self._open_viewer()

    # -- the hub ----------------------------------------------------------------------------------

    def _tree(self, hub: Hub) -> Supervisor:
        node = hub.node
        viewing = hub.supervision.watch(
            Supervisor(
                "viewing",
                [
                    node.actor("publisher", self._publisher, kind=SmallPublisher, backoff=QUICK),
                    node.actor("viewers", self._bridge, kind=SmallBridge, backoff=QUICK),
                ],
                intensity=RestartIntensity(max_restarts=10, window_s=5.0),
            )
        )
        tables = [node.actor(name, Tables, kind=Tables) for name in ("scheduler", "metadata")]
        return hub.supervision.watch(Supervisor("top", [*tables, viewing], surroundings=hub.surroundings()))

    def _publisher(self) -> Publisher:
        return SmallPublisher(self._renew, PlaneHistory(self), n_credits=N_CREDITS, read=self._read)

    def _bridge(self) -> ViewerBridge:
        hub = self.hub.process
        return SmallBridge(lambda pid, on_death: Watch(hub, self._process(pid), on_death))  # type: ignore[arg-type,return-value]

    def _process(self, pid: int) -> Process:
        return next(process for process in self.world.processes if process.pid == pid)

    def _renew(self) -> MemoryRing:
        ring = MemoryRing(f"ring{len(self.rings)}")
        self.rings[f"ring{len(self.rings)}"] = ring
        return ring

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        if self.world.random.random() < 0.3:
            # Just when a viewer's snapshot is looked up.
            self.world.later(0.0, self._commit)
        return tuple(self.stored.values())

    def _read(self, root: str, file: str, page: int = 0, *, out: Any = None, requester: str = "") -> Any:
        if not self.calm and self.world.random.random() < 0.03:
            raise Unreadable(f"{file} cannot be read")
        out[...] = self._values.setdefault(f"{root}/{file}", len(self._values) + 1)
        return out

    def value_of(self, address: PlaneAddress) -> int:
        """What a plane shows."""
        if address.step:
            return self._values[f"/results/{address.well}/{address.step}.tif"]
        return self._values[f"/plates/1/{address.well}_{PLATE.channels.index(address.channel)}.tif"]

    def look_s(self) -> float:
        """How long a viewer looks at a plane."""
        return self.world.random.random() * (0.1 if self.calm else 0.4)

    # -- viewers ----------------------------------------------------------------------------------

    def _open_viewer(self) -> None:
        if self.closing:
            return
        self.n_viewers += 1
        process = self.world.process(f"viewer{self.n_viewers}")
        screen = self.screens[process] = Screen(self, process)
        process.run(self._watch(process, screen))

    async def _watch(self, process: Process, screen: Screen) -> None:
        node = Node(process.name)
        await node.start_actor("viewer", lambda: screen)
        # A viewer's link breaks with one of its processes only: on one host nothing else is between them.
        screen.dialer = MemoryDialer(
            self.world, process, process.name, lambda: self.hub.front, node._deliver, Faults(slowest_s=0.02)
        )
        ask = screen.dialer.link.ask
        while True:  # as the follower in viewers/ does it
            try:
                attach = Attach(kind="recorder", subject=screen.subject, pid=process.pid)
                attached = await ask("viewers", attach, timeout_s=2.0)
                screen.follow(attached.viewer)
                screen.dialer.link.tell("viewers", StartStream(viewer=attached.viewer))
                while not screen.ended:
                    still = StillAttached(viewer=attached.viewer, let_go_through=screen.let_go.through)
                    # A bridge that has too much to do is there, and is asked again.
                    with suppress(MailboxFull):
                        if not await ask("viewers", still, timeout_s=2.0):
                            break
                    await asyncio.sleep(0.5)
            except MeshError as error:
                self.world.note(f"{process.name}: {error}")
            await asyncio.sleep(0.1)

    # -- the schedule -----------------------------------------------------------------------------

    def play(self) -> None:
        world = self.world
        for _ in range(world.random.randrange(len(WELLS) + 1)):
            world.later(world.random.random() * FAULTS_S, self._commit)
        for _ in range(world.random.randrange(5)):
            world.later(world.random.random() * FAULTS_S, world.random.choice(self._troubles()))
        world.later(FAULTS_S, self._heal)
        world.run_until(lambda: self.calm and self.hub.up and not self._missing(), 60.0)
        world.run_until(lambda: world.now >= self.hub.settled_at, SETTLES_S)
        if self._missing():
            raise Violation(f"planes are never shown, although the faults are over: {self._missing()}")
        self.hub.run_whole(self._comes_to_rest)
        self.closing = True
        for process in self.screens:
            process.kill()
        self.screens.clear()
        self.hub.run_whole(self._comes_to_rest)
        self.hub.stop()
        comes_to_rest(world, [self.hub.process])

    def _commit(self) -> None:
        if len(self.stored) == len(WELLS):
            return
        well = WELLS[len(self.stored)]
        files = tuple(
            ResultFile(path=f"{name}.tif", kind="label", output=name, field=1, height=SIDE, width=SIDE, dtype="uint16")
            for name in ("nuclei", "cells")
        )
        result = StoredResult(job=JOB, plate_id=1, well=well, attempt=1, files=files, folder=f"/results/{well}")
        self.stored[well] = result
        self.results_kept |= {record.header.address for record in result_planes(result, PLATE)}
        self._tell(PlanesCommitted(plate_id=1, job=JOB, planes=result_planes(result, PLATE)))
        self._tell(WellStateChanged(plate_id=1, job=JOB, well=well, state="done"))

    def _tell(self, event: Event) -> None:
        if self.hub.process.dead or self.hub.top is None:
            return
        hub = self.hub
        if self._news is None or self._news.of is not hub.process:
            self._news = News(hub)
        n_unheard = self._news.n_unheard
        try:
            asyncio._set_running_loop(hub.process)
            self._news.tell(event)
            if self._news.n_unheard > n_unheard and "publisher" in hub.node.cells:
                mesh_was_refused(hub.node.cells["publisher"])
        finally:
            asyncio._set_running_loop(self.world.outside)

    def _troubles(self) -> tuple[Callable[[], None], ...]:
        return (
            self._kill_viewer,
            self._kill_viewer,
            self._freeze,
            self._freeze,
            lambda: self._kill_life("publisher"),
            lambda: self._kill_life("viewers"),
            self._flood,
            self._flood,
            lambda: self.hub.restart("publisher", "viewers", "viewing", "metadata"),
            lambda: self.hub.crash(power=False),
        )

    def _kill_viewer(self) -> None:
        living = [process for process in self.screens if not process.dead]
        if living:
            process = self.world.random.choice(living)
            process.kill()
            del self.screens[process]
            self.world.later(self.world.random.random(), self._open_viewer)

    def _freeze(self) -> None:
        living = [process for process in (*self.screens, self.hub.process) if not process.dead]
        if living:
            self.world.random.choice(living).freeze(self.world.random.random() * 2.0)

    def _kill_life(self, name: str) -> None:
        cell = self.hub.node.cells.get(name) if self.hub.up else None
        if cell is not None and cell.life is not None:
            self.world.note(f"{name} is killed")
            self.hub.process.run(cell.life.kill())  # type: ignore[attr-defined]

    def _flood(self) -> None:
        chance = self.world.random

        what = chance.choice(("start", "taken", "still"))

        def attached(answer: asyncio.Future[Attached]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                self.crowd_viewer = answer.result().viewer

        def say(link: Link, wave: int) -> None:
            assert self.crowd.process is not None
            if not wave:
                attach = Attach(kind="recorder", subject=Subject(job=JOB), pid=self.crowd.process.pid)
                link.ask("viewers", attach, timeout_s=2.0).add_done_callback(attached)
            for n in range(12):
                match what:
                    case "start":
                        link.tell("viewers", StartStream(viewer=self.crowd_viewer))
                    case "taken":
                        link.tell("viewers", FrameTaken(viewer=self.crowd_viewer, sequence=n))
                    case _:
                        heard(link.ask("viewers", StillAttached(viewer=self.crowd_viewer), timeout_s=2.0))

        self.crowd.flood(chance.choice(("viewers", "viewers", "publisher")), say)
        # What viewers are to see all the same.
        for n in range(3):
            self.world.later(0.2 + n * 0.05, self._commit)

    def _heal(self) -> None:
        self.calm = True
        self.crowd.leave()

    # -- what must hold ---------------------------------------------------------------------------

    def _missing(self) -> dict[str, Any]:
        """What living viewers have not been shown of what they look at: a job's results, too, or a plate alone."""
        missing: dict[str, Any] = {}
        for process, screen in self.screens.items():
            expected = ACQUIRED | self.results_kept if screen.subject.job else ACQUIRED
            unseen = expected - screen.seen
            untold = set(self.stored) - screen.wells_done if screen.subject.job else set()
            if unseen or untold:
                missing[process.name] = len(unseen), sorted(untold)
        return missing

    def still_holds(self, viewer: str, sequence: int) -> bool:
        """Whether the publisher knows that this viewer holds this plane; one that failed has forgotten it."""
        cell = self.hub.node.cells.get("publisher")
        if self.hub.process.dead or cell is None or cell.life is None:
            return False
        stream = cell.life.actor._pump.streams.get(viewer)  # type: ignore[attr-defined]
        return stream is not None and sequence in stream.held

    async def _comes_to_rest(self) -> None:
        """Within a while every plane is taken, and nobody but living viewers has a stream."""
        for _ in range(40):
            complaint = await self._unrest()
            if not complaint:
                return
            await asyncio.sleep(0.5)
        raise Violation(complaint)

    async def _unrest(self) -> str:
        try:
            streams = await self.hub.node.find("publisher").ask(ListStreams())
        except MailboxFull as full:
            # Paused in a flood, it is read again when that is over.
            return str(full)
        living = {screen.viewer for screen in self.screens.values()}
        for stream in streams:
            if stream.viewer not in living:
                return f"the stream of a dead viewer is open, with {stream.n_unacknowledged} planes held"
            if stream.n_unacknowledged or stream.n_waiting:
                return f"{stream.n_unacknowledged} planes are held, {stream.n_waiting} wait, and nothing moves"
        ring = list(self.rings.values())[-1].statistics()
        if (ring.n_free, ring.n_filling, ring.n_held) != (N_SLOTS, 0, 0):
            return f"of {N_SLOTS} slots {ring.n_free} are free, {ring.n_filling} filling, {ring.n_held} held"
        return ""


def play(world: World) -> None:
    """Run one schedule.

    Raises:
        Violation: something that must hold does not.
    """
    Cinema(world).play()
