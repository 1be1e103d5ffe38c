"""Jobs, their wells and executors: the real scheduler and its journal under deaths, hangs and full disks."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crowd import Crowd, heard
from memory_wire import Faults, MemoryDialer, no_mail
from simulated_hub import SETTLES_S, USER, Hub, comes_to_rest
from virtual_world import Process, Violation, VirtualPool, World

from hcs_mesh.actors.analysis import job_records, scheduler, well_runs
from hcs_mesh.actors.analysis.executor import Executor, WellCancelled
from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.analysis.scheduler import Scheduler
from hcs_mesh.actors.threads import Threads
from hcs_mesh.config.errors import MeshError
from hcs_mesh.messages.compute import (
    CancelJob,
    ExecutorDown,
    ExecutorUp,
    GetJob,
    JobStatus,
    ListJobs,
    RunWell,
    SubmitJob,
)
from hcs_mesh.messages.listing import MOST_LISTED
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.plates.local.errors import RepositoryFull, ResultNotSealed
from hcs_mesh.plates.model import Image, Plate, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import (
    Actor,
    Backoff,
    Child,
    Exit,
    MailboxLimits,
    Node,
    OnExhausted,
    RestartIntensity,
    Supervisor,
)
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import INNER, AskFailed, Event, Link, MailboxFull, Request, TransportError

FAULTS_S = 6.0
QUICK = Backoff(first_s=0.05, max_s=0.5)
FOLDER = Path("/journals/jobs")
ATTEMPTS = 3
COMMIT_GRACE_S = well_runs.CANCEL_GRACE_S + 1.0
WELLS = ("A01", "A02", "A03", "B01", "B02", "B03")
PLATE = build_plate(
    [Image(well, 1, 0, 0, 0, "plane", f"{well}.tif", 0, 8, 8, "uint16") for well in WELLS],
    id=1,
    name="plate 1",
    channels=("DNA",),
    root="/plates/1",
)


class MemoryRepository:
    """Keeps results as the local repository does: sealed by executors, published once."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.attempts: dict[tuple[str, str, int], bool] = {}
        self.kept: dict[tuple[str, str], StoredResult] = {}

    def plate(self, plate_id: int) -> Plate:
        return PLATE

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        self._lab.may_be_full()
        self.attempts[job, well, attempt] = False
        return Path("/results", job, well, str(attempt))

    def seal(self, job: str, well: str, attempt: int) -> None:
        if (job, well, attempt) not in self.attempts:
            raise FileNotFoundError(f"{job}/{well}/{attempt}")
        if self.attempts[job, well, attempt]:
            raise Violation(f"attempt {attempt} of well {well} of {job} is computed twice")
        self.attempts[job, well, attempt] = True

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        self._lab.may_be_full()
        sealed = self.attempts.pop((job, well, attempt), False)
        if (job, well) not in self.kept:
            if not sealed:
                raise ResultNotSealed(f"{job}/{well}/{attempt} holds no finished result")
            self._lab.commits(job, well)
            self.kept[job, well] = StoredResult(job=job, plate_id=plate_id, well=well, attempt=attempt, folder="/r")
        return self.kept[job, well]

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        return tuple(result for (of, _), result in self.kept.items() if of == job)

    def sweep(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        self._lab.may_be_full()
        for one in [one for one in self.attempts if one[0] == job]:
            del self.attempts[one]
        return self.results(job)


class SmallScheduler(Scheduler):
    """Has room for little, so that a few messages are a flood."""

    mailbox = MailboxLimits(max_messages=8)


class Plates(Actor[GetPlate]):
    """The metadata cache, as far as the scheduler knows it."""

    async def receive(self, message: GetPlate) -> Plate:
        return PLATE


class OneThread(VirtualPool):
    """One thread: what it is given is done one after the other."""

    def __init__(self, process: Process, longest_s: Callable[[], float]) -> None:
        super().__init__(process, self._wait_s)
        self._each_s = longest_s
        self._busy_until = 0.0
        self._world = process.world

    def _wait_s(self) -> float:
        self._busy_until = max(self._busy_until, self._world.now) + self._each_s()
        return self._busy_until - self._world.now


class SimulatedExecutor(Executor):
    """The real executor, whose device takes as long, and fails as often, as the seed says."""

    def __init__(self, lab: Lab, process: Process) -> None:
        super().__init__("cpu")
        self._lab = lab
        self._process = process
        self._computing = Threads("compute", pool=OneThread(process, lab.well_s))
        self._compiling = Threads("compile", pool=lab.world.pool(process, 0.1))

    async def started(self) -> None:
        pass

    def _compile(self, message: Any) -> str:
        return "pipeline"

    def _compute(self, message: RunWell) -> StoredResult:
        if (message.job, message.well, message.attempt) in self._cancelled:
            raise WellCancelled(f"well {message.well} of {message.job} was cancelled")
        fate = self._lab.world.random.random() if not self._lab.calm else 1.0
        if fate < 0.03 or message.well == self._lab.cursed:
            self._lab.strike(self._process)
        elif fate < 0.06:
            raise RuntimeError("a fault of the executor")
        elif fate < 0.1:
            raise RepositoryFull("no room")
        self._lab.repository.seal(message.job, message.well, message.attempt)
        return StoredResult(job=message.job, plate_id=1, well=message.well, attempt=message.attempt)


class SimulatedChild:
    """An executor's process, as its supervisor holds it."""

    kind = "process"

    def __init__(self, lab: Lab, hub: Hub, name: str) -> None:
        self._lab = lab
        self._hub = hub.process
        self.process = lab.world.process(name)
        self.exit: asyncio.Future[Exit] = hub.process.create_future()
        self._blame = "child"
        self._reason: Any = "failed"
        self.process.on_death.append(lambda: self._hub.call_later(0.01, self._ended))
        # It ends with its parent, whose pipe it watches.
        hub.process.on_death.append(lambda: self.process.call_later(0.05, self.process.kill))
        inner = hub.inner
        self.process.run(self._live(name, lambda: inner))

    @property
    def pid(self) -> int:
        return self.process.pid

    def charge(self, blame: str) -> None:
        self._blame = blame

    async def wait(self) -> Exit:
        return await asyncio.shield(self.exit)

    async def stop(self) -> None:
        self._reason = "shutdown"
        if not self.process.dead:
            self.process.run(self._life.stop())

    async def kill(self) -> None:
        self._reason = "killed"
        self.process.kill()

    def statistics(self) -> dict[str, Any]:
        return {}

    async def _live(self, name: str, find: Callable[[], Any]) -> None:
        lab, process = self._lab, self.process
        await asyncio.sleep(lab.world.random.random() * 0.2)
        node = Node(name)
        device = "device" if lab.joined else name
        self._life = await node.start_actor(device, lambda: SimulatedExecutor(lab, process))
        if lab.joined:
            await node.start_actor(name, lambda: ExecutorDoor(device))
        dialer = MemoryDialer(lab.world, process, name, find, node._deliver, lab.executor_faults)
        node.parent = dialer  # type: ignore[assignment]
        lab.dialers.append(dialer)
        await self._life.wait()
        process.kill()

    def _ended(self) -> None:
        if not self.exit.done():
            self.exit.set_result(Exit(reason=self._reason, error="it is gone", blame=self._blame))


class ObservedLink(Link):
    """A link of the hub, over which the scenario sees which wells are handed out."""

    on_run: Callable[[RunWell, asyncio.Future[Any]], None]

    def ask(self, target: str, request: Request[Any], **named: Any) -> Any:
        answer = super().ask(target, request, **named)
        if isinstance(request, RunWell):
            self.on_run(request, answer)
        return answer


class Lab:
    """One schedule."""

    commit_grace_s = COMMIT_GRACE_S
    """After a job is cancelled what was under way may still be committed for so long."""
    n_troubles = 4
    cancels = 0.3
    hangs = 0.02
    """Shares of the jobs that are cancelled, and of the wells that never end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calm = False
        self.repository = MemoryRepository(self)
        self.acknowledged: dict[str, str] = {}
        self.wells_of: dict[str, int] = {}
        self.cancelled_at: dict[str, float] = {}
        self.handed_out: dict[tuple[str, str, int], asyncio.Future[Any]] = {}
        self.n_commits: Counter[tuple[str, str]] = Counter()
        self.dialers: list[MemoryDialer] = []
        self.children: dict[str, SimulatedChild] = {}
        # Executors of another host stand behind a door, because what is asked of them may come twice: it is asked again
        # after a break. On a host's own sockets nothing is lost or doubled without a break.
        self.joined = world.random.random() < 0.5
        self.executor_faults = Faults(doubled=0.4 if self.joined else 0.0, slowest_s=0.02)
        self.client_faults = Faults(lost=world.random.choice((0, 0.1)), doubled=world.random.choice((0, 0.2)))
        self.frozen_until = 0.0
        # A well that ends whoever computes it.
        self.cursed = world.random.choice((*WELLS[2:], *[""] * 16))
        self.hub = Hub(world, self._tree, make_link=self._link, make_node=self._node)
        self.crowd = Crowd(world, self.hub)
        self.clients = [self._client(number) for number in range(2)]

    def _link(self, *arguments: Any, **named: Any) -> Link:
        link = ObservedLink(*arguments, **named)
        link.on_run = self._handed_out
        return link

    def _node(self) -> Node:
        return Node("hub")

    def _tree(self, hub: Hub) -> Supervisor:
        self.children = {}
        watch = hub.supervision.watch

        def scheduling() -> Scheduler:
            return SmallScheduler(
                self.repository,  # type: ignore[arg-type]
                FOLDER,
                attempts_per_well=ATTEMPTS,
                segment_bytes=4096,
                running_executors=lambda: tuple((name, child.pid) for name, child in self.children.items()),
                end_executor=self._end_executor,
                disk=hub.disk,
                threads=Threads("scheduler", pool=self.world.pool(hub.process, 0.1)),
            )

        executors = watch(
            Supervisor(
                "executors",
                [
                    Child(
                        f"executor.{n}",
                        self._starter(hub, f"executor.{n}"),
                        kind="process",
                        backoff=QUICK,
                        shutdown_s=3.0,
                    )
                    for n in range(2)
                ],
                intensity=RestartIntensity(max_restarts=20, window_s=10.0),
                on_exhausted=OnExhausted.QUARANTINE,
            )
        )
        analysis = watch(
            Supervisor(
                "analysis",
                [
                    executors,
                    hub.node.actor("scheduler", scheduling, kind=SmallScheduler, backoff=QUICK, shutdown_s=5.0),
                ],
            )
        )
        plates = hub.node.actor("metadata", Plates, kind=Plates, backoff=QUICK)
        return watch(Supervisor("top", [plates, analysis], surroundings=hub.surroundings()))

    def _starter(self, hub: Hub, name: str) -> Callable[[], Any]:
        # As ``Processes`` in mesh/processes.py does it, but for the operating system's part.
        async def start() -> SimulatedChild:
            expected = hub.node.expect(name)
            child = SimulatedChild(self, hub, name)
            try:
                hello = asyncio.ensure_future(expected)
                await asyncio.wait([hello, child.exit], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                child.process.kill()
                raise
            if child.exit.done():
                raise RuntimeError("it ended before it was ready")
            self.children[name] = child
            self._tell(ExecutorUp(executor=name, pid=child.pid))

            async def watch() -> None:
                await child.wait()
                if self.children.get(name) is child:
                    del self.children[name]
                hub.node.peer_died(name, "it is gone")
                self._tell(ExecutorDown(executor=name, pid=child.pid))

            hub.process.create_task(watch())
            return child

        return start

    def _end_executor(self, name: str, why: str) -> None:
        child = self.children.get(name)
        if child is not None:
            self.world.note(f"{name} is ended: {why}")
            child.charge("nobody")
            self.hub.process.create_task(child.kill())

    def _client(self, number: int) -> asyncio.Task[None]:
        process = self.world.process(f"client{number}")

        async def live() -> None:
            dialer = MemoryDialer(
                self.world, process, f"client{number}", lambda: self.hub.front, no_mail, self.client_faults
            )
            self.dialers.append(dialer)
            try:
                for n in range(self.world.random.randrange(1, 3)):
                    await self._job(dialer, f"{number}-{n}")
            finally:
                dialer.close()

        return process.run(live())

    async def _job(self, dialer: MemoryDialer, key: str) -> None:
        chance = self.world.random
        wells = tuple(chance.sample(WELLS, chance.randrange(1, 5)))
        for _ in range(chance.choice((1, 1, 2))):
            job = await self._asked(dialer, SubmitJob(plate_id=1, source="", key=key, wells=wells))
            if self.acknowledged.setdefault(key, job) != job:
                raise Violation(f"{key} was taken as {self.acknowledged[key]} and as {job}")
        self.wells_of[job] = len(wells)
        if chance.random() < self.cancels:
            await asyncio.sleep(chance.random() * 2.0)
            try:
                status = await self._asked(dialer, CancelJob(job=job))
            except MeshError:
                pass  # it was over
            else:
                if status.state == "cancelled":
                    self._cancelled(job)
        while (await self._asked(dialer, GetJob(job=job))).state == "running":  # noqa: ASYNC110 - as people ask
            await asyncio.sleep(0.5)

    async def _asked(self, dialer: MemoryDialer, request: Request[Any]) -> Any:
        while True:
            try:
                return await dialer.link.ask("scheduler", request, timeout_s=self.world.random.choice((0.5, 5.0)))
            except TransportError as error:
                self.world.note(f"{type(request).__name__}: {type(error).__name__}")
            except MeshError as error:
                if getattr(getattr(error, "failure", None), "kind", "") == "JobEnded":
                    raise
                if getattr(getattr(error, "failure", None), "kind", "") == "JobNotFound":
                    raise Violation(f"a job that was acknowledged is unknown: {error}") from error
                self.world.note(f"{type(request).__name__}: {error}")
            await asyncio.sleep(0.1 + self.world.random.random() * 0.3)

    def _cancelled(self, job: str) -> None:
        self.world.note(f"{job} is cancelled")
        self.cancelled_at[job] = self.world.now

    # -- what the world does, and what it sees ----------------------------------------------------

    def strike(self, process: Process) -> None:
        """Let a well end who computes it."""
        process.kill()

    def well_s(self) -> float:
        """How long a device takes over a well."""
        fate = self.world.random.random()
        if not self.calm and fate < self.hangs:
            return 1e6
        return self.world.random.random() * (6.0 if fate < 0.12 else 0.6)

    def may_be_full(self) -> None:
        if not self.calm and self.world.random.random() < 0.02:
            raise RepositoryFull("no room")

    def commits(self, job: str, well: str) -> None:
        self.n_commits[job, well] += 1
        cancelled_at = self.cancelled_at.get(job)
        if cancelled_at is not None and self.world.now > max(cancelled_at, self.frozen_until) + self.commit_grace_s:
            raise Violation(f"well {well} of {job} is committed {self.world.now - cancelled_at:.1f} s after its end")

    def _handed_out(self, request: RunWell, answer: asyncio.Future[Any]) -> None:
        one = request.job, request.well, request.attempt
        self.world.note(f"well {one} is handed out")
        before = self.handed_out.get(one)
        # An attempt that its executor gave back, for want of room, is made again in the same folder.
        if before is not None and not given_back(before):
            raise Violation(f"attempt {request.attempt} of well {request.well} of {request.job} is handed out twice")
        self.handed_out[one] = answer
        if request.job in self.cancelled_at:
            raise Violation(f"well {request.well} of {request.job} is handed out after the job was cancelled")
        if (request.job, request.well) in self.repository.kept:
            raise Violation(f"well {request.well} of {request.job} is kept, and computed again")

    def _tell(self, event: Event) -> None:
        try:
            self.hub.node.find("scheduler").tell(event)
        except MailboxFull as error:
            raise Violation(f"the scheduler is not told of {event}: {error}") from error
        except TransportError:
            return

    def play(self) -> None:
        world = self.world
        for _ in range(world.random.randrange(self.n_troubles + 1)):
            world.later(world.random.random() * FAULTS_S, world.random.choice(self._troubles()))
        world.later(FAULTS_S, self._heal)
        world.run_until(lambda: self.calm and all(client.done() for client in self.clients), 300.0)
        world.run_until(lambda: world.now >= self.hub.settled_at, SETTLES_S)
        for client in self.clients:
            if not client.done():
                raise Violation("a job is never over, although the faults are")
            client.result()
        world.run_until(lambda: not self.crowd.keeps_waiting, SETTLES_S)
        statuses: list[JobStatus] = []

        async def look() -> None:
            ask = self.hub.node.find("scheduler").ask
            n = self.hub.n_lives
            job = await ask(SubmitJob(plate_id=1, source="", key=f"calm-{n}", wells=("A01", "A02")))
            self.acknowledged[f"calm-{n}"] = job
            self.wells_of[job] = 2
            while (await ask(GetJob(job=job))).state == "running":  # noqa: ASYNC110 - as people ask
                await asyncio.sleep(0.2)
            for line in await ask(ListJobs(limit=MOST_LISTED)):
                statuses.append(await ask(GetJob(job=line.job)))  # noqa: PERF401 - the list is the outer one's

        self.hub.run_whole(look, within_s=60.0)
        self._adds_up({status.job: status for status in statuses})
        world.run_until(lambda: False, 0.5)  # the end of the last job is written
        self._rests()
        self.hub.stop()
        comes_to_rest(world, world.processes)
        self._audit()

    def _rests(self) -> None:
        """See what must hold while everything is up and nobody wants anything."""

    def _troubles(self) -> tuple[Callable[[], None], ...]:
        return (
            self._kill_executor,
            self._kill_executor,
            self._freeze,
            self._break,
            self._kill_scheduler,
            self._kill_scheduler,
            self._flood,
            lambda: self.hub.restart("scheduler", "metadata", "executor.0", "executors", "analysis"),
            lambda: self.hub.crash(power=True),
            self._fill_disk,
            self._fail_sync,
            self._crash_in_call,
            self._jump,
        )

    def _kill_executor(self) -> None:
        if self.children:
            self.children[self.world.random.choice(sorted(self.children))].process.kill()

    def _freeze(self) -> None:
        one = self.world.random.choice([one for one in self.world.processes[1:] if not one.dead])
        one.freeze(self.world.random.random() * 2.0)
        self.frozen_until = max(self.frozen_until, one.frozen_until)

    def _break(self) -> None:
        if self.dialers:
            self.world.random.choice(self.dialers).break_off()

    def _kill_scheduler(self) -> None:
        cell = self.hub.node.cells.get("scheduler") if self.hub.up else None
        if cell is not None and cell.life is not None:
            self.world.note("the scheduler is killed")
            self.hub.process.run(cell.life.kill())  # type: ignore[attr-defined]

    def _flood(self) -> None:
        def say(link: Link, wave: int) -> None:
            for n in range(8):
                heard(link.ask("scheduler", GetJob(job="job-0001") if n % 2 else ListJobs(), timeout_s=2.0))

        self.crowd.flood("scheduler", say)
        # What it must learn all the same.
        for n in range(2):
            self.world.later(0.2 + n * 0.1, self._kill_executor)

    def _fill_disk(self) -> None:
        self.hub.disk.full = True
        self.world.later(self.world.random.random() * 2.0, self._empty_disk)

    def _empty_disk(self) -> None:
        self.hub.disk.full = False

    def _fail_sync(self) -> None:
        self.hub.disk.failing_syncs = 1

    def _crash_in_call(self) -> None:
        self.hub.disk.crash_at = self.hub.disk.n_calls + self.world.random.randrange(1, 20)

    def _jump(self) -> None:
        self.world.unix_ahead_s += self.world.random.uniform(-1e5, 1e5)

    def _heal(self) -> None:
        self.calm = True
        self.crowd.leave()
        self._empty_disk()
        self.hub.disk.failing_syncs = 0
        self.hub.disk.crash_at = None
        self.client_faults.heal()
        self.executor_faults.heal()

    # -- what must hold ---------------------------------------------------------------------------

    def _adds_up(self, statuses: dict[str, JobStatus]) -> None:
        for key, job in self.acknowledged.items():
            status = statuses.get(job)
            if status is None:
                raise Violation(f"{key} was acknowledged as {job}, which is gone")
            states = Counter(well.state for well in status.wells)
            if status.state == "running" or states["queued"] or states["running"]:
                raise Violation(f"{job} is {status.state} and has {dict(states)}")
            if job in self.cancelled_at and status.state != "cancelled":
                raise Violation(f"{job} was cancelled, and is {status.state}")
            if status.state == "done" and states["done"] != self.wells_of[job]:
                raise Violation(f"{job} is done with {dict(states)} of {self.wells_of[job]} wells")
            for well in status.wells:
                kept = (job, well.well) in self.repository.kept
                if (well.state == "done") != kept and status.state != "cancelled":
                    raise Violation(
                        f"{well.well} of {job} is {well.state}, and its result is {'' if kept else 'not '}there"
                    )

    def _audit(self) -> None:
        if any(n > 1 for n in self.n_commits.values()):
            raise Violation(f"published twice: {self.n_commits.most_common(1)}")
        disk = self.hub.disk
        process = self.world.process("auditor")
        self.hub.process.kill()
        disk.lose_power()
        disk.belongs_to(process)

        async def read() -> list[job_records.Record]:
            opened = await Journal[job_records.Record].open(
                FOLDER, record_type=job_records.Record, segment_bytes=4096, disk=disk
            )
            async with opened as journal:
                return list(journal.replay())

        reading = process.run(read())
        self.world.run_dry(10.0)
        book = JobBook()
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in reading.result():
            book.apply(record)
            kind = type(record).__name__
            what = getattr(record, "well", "") or (record.result.well if isinstance(record, job_records.Kept) else "")
            seen[kind][f"{record.job} {what}"] += 1
        for kind in ("Submitted", "Kept", "SetAside", "Ended"):
            for what, n in seen[kind].items():
                if n > 1:
                    raise Violation(f"the journal holds {n} records {kind} of {what}")
        for what, n in seen["Faulted"].items():
            if n > ATTEMPTS:
                raise Violation(f"{what} was charged {n} faults, and {ATTEMPTS} are allowed")
        for key, job in self.acknowledged.items():
            kept = book.by_key(INNER.name if key.startswith("calm-") else USER.name, key)
            if kept != job:
                raise Violation(f"{key} was acknowledged as {job}, and the journal has {kept}")


def given_back(answer: asyncio.Future[Any]) -> bool:
    """Whether an executor said of a well that it cannot do it."""
    return answer.done() and not answer.cancelled() and isinstance(answer.exception(), AskFailed)


def play(world: World) -> None:
    """Run one schedule.

    Raises:
        Violation: something that must hold does not.
    """
    before = well_runs.WELL_TIMEOUT_S, scheduler.COMPACT_RECORDS
    # A well that hangs is given up after seconds, and the journal is shortened while little is in it.
    well_runs.WELL_TIMEOUT_S, scheduler.COMPACT_RECORDS = 15.0, world.random.choice((10, 5000))
    try:
        Lab(world).play()
    finally:
        well_runs.WELL_TIMEOUT_S, scheduler.COMPACT_RECORDS = before
