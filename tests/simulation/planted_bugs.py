"""Small deliberate faults in the real code, each of which the simulation must find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from hcs_mesh.actors.analysis import job_records, remote_executor, scheduler
from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.analysis.executors_elsewhere import ExecutorsElsewhere
from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.analysis.job_resumption import JobResumption
from hcs_mesh.actors.analysis.remote_executor import RemoteExecutor
from hcs_mesh.actors.analysis.scheduling import Scheduling
from hcs_mesh.actors.analysis.well_runs import WellRuns
from hcs_mesh.actors.ledger import Ledger
from hcs_mesh.actors.nodes import join_desk
from hcs_mesh.actors.nodes.join_desk import JoinDesk
from hcs_mesh.actors.viewing.stream_pump import BRIDGE, StreamPump
from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.actors.viewing.viewer_stream import ViewerStream
from hcs_mesh.messages.compute import ExecutorDown, ExecutorUp, RunWell
from hcs_mesh.messages.streaming import BeginStream
from hcs_mesh.supervisors import errands, roster, shift
from hcs_mesh.supervisors.cell import Cell
from hcs_mesh.supervisors.deferrals import Deferrals
from hcs_mesh.supervisors.errands import Errands
from hcs_mesh.supervisors.journal import Journal, JournalFull, segments
from hcs_mesh.supervisors.journal.writer import Writer
from hcs_mesh.supervisors.life import Life
from hcs_mesh.supervisors.mailbox import Mailbox
from hcs_mesh.supervisors.roster import Roster
from hcs_mesh.supervisors.shift import KILL_S, Shift
from hcs_mesh.supervisors.slot import ChildLife, Slot
from hcs_mesh.transport import Link, PeerGone
from hcs_mesh.transport.planes.allocator import SlotAllocator
from hcs_mesh.transport.questions import Questions
from hcs_mesh.transport.wakes import Nap

Patches = tuple[tuple[Any, str, Any], ...]


class Planted(NamedTuple):
    """A fault: the scenario that finds it, what it puts in place of what, and what is said of it, as a pattern."""

    scenario: str
    patches: Callable[[], Patches]
    must_say: str


@contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """Have the fault in the code for a while."""
    patches = bug.patches()
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in patches]
    for owner, name, faulty in patches:
        setattr(owner, name, faulty)
    try:
        yield
    finally:
        for owner, name, real in before:
            setattr(owner, name, real)


class _Without:
    """A disk of which one call does nothing."""

    def __init__(self, disk: Any, call: str) -> None:
        self._disk = disk
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return (lambda *arguments: None) if name == self._call else getattr(self._disk, name)


def _acknowledge_before_append() -> Patches:
    async def append(self: Any, record: Any) -> int:
        done = self._submit((self._encoded(record),))
        done.add_done_callback(lambda one: one.cancelled() or one.exception())
        self._acknowledged += 1
        return int(self._acknowledged)

    return ((Journal, "append", append),)


def _acknowledge_before_sync() -> Patches:
    real = Writer._write_durably

    def write_durably(self: Any, data: bytes) -> None:
        disk, self.disk = self.disk, _Without(self.disk, "sync_data")
        try:
            real(self, data)
        finally:
            self.disk = disk

    return ((Writer, "_write_durably", write_durably),)


def _name_not_synced() -> Patches:
    real = segments.create_segment

    def create_segment(folder: Any, head: Any, *, n_bytes: int, parts: Any = (), disk: Any) -> int:
        hasty: Any = _Without(disk, "sync_folder")
        return real(folder, head, n_bytes=n_bytes, parts=parts, disk=hasty)

    from hcs_mesh.supervisors.journal import writer

    return ((writer, "create_segment", create_segment),)


def _checkpoint_drops_pending() -> Patches:
    real = Journal.checkpoint

    async def checkpoint(self: Any, records: Any, *, through: int | None = None) -> int:
        pending = len(self._gathered) + self._writer.next_sequence - 1
        self._acknowledged = max(self._acknowledged, pending)
        return await real(self, records, through=through)

    return ((Journal, "checkpoint", checkpoint),)


def _lost_wake_up() -> Patches:
    slot = vars(Life)["idle"]

    def seen_late(self: Any, nap: Nap | None) -> None:
        if nap is None:
            slot.__set__(self, None)
        else:
            self._loop.call_soon(slot.__set__, self, nap)

    return ((Life, "idle", property(slot.__get__, seen_late)),)


def _letter_lost_on_restart() -> Patches:
    real = Life._failed

    def failed(self: Any, error: BaseException) -> Any:
        self._cell.box.take()
        return real(self, error)

    return ((Life, "_failed", failed),)


def _stale_reply() -> Patches:
    real = Questions.add

    def add(self: Any, question: Any) -> int:
        if not len(self):
            self._last = 0
        return real(self, question)

    return ((Questions, "add", add),)


def _asks_never_expire() -> Patches:
    return ((Questions, "_expire", lambda self: None), (Cell, "expire", lambda self, now: None))


def _restart_count_reset() -> Patches:
    real = Roster.started

    def started(self: Any, name: str, now_s: float) -> Any:
        self.restarts_s.clear()
        return real(self, name, now_s)

    return ((Roster, "started", started),)


def _lost_key_check() -> Patches:
    # The scheduler's book alone: whoever reads the journal afterwards looks keys up as well.
    class Forgetful(JobBook):
        def by_key(self, owner: str, key: str) -> str | None:
            return None

    return ((scheduler, "JobBook", Forgetful),)


def _companions_left_running() -> Patches:
    return ((Roster, "_companions", lambda self, row: []),)


def _one_companion_too_many() -> Patches:
    return ((Roster, "_companions", lambda self, row: [other for other in self.rows if other is not row]),)


def _stopped_in_the_order_of_start() -> Patches:
    real = Roster._settle

    def settle(self: Any) -> Any:
        if not any(row.due for row in self.rows):
            return real(self)
        self.rows.reverse()
        try:
            return real(self)
        finally:
            self.rows.reverse()

    return ((Roster, "_settle", settle),)


def _next_life_taken_for_this() -> Patches:
    real = Shift._stop

    class Latest:
        """What a stop reads of the life that it ends, when it reads the slot again after each wait."""

        def __init__(self, slot: Slot, life: ChildLife) -> None:
            self.running = life.running
            self._slot = slot
            self._life = life

        def __getattr__(self, name: str) -> Any:
            return getattr(self._slot.life or self._life, name)

    async def stop(self: Any, slot: Slot, life: Any) -> None:
        await real(self, slot, Latest(slot, life))  # type: ignore[arg-type]

    return ((Shift, "_stop", stop),)


def _deferred_work_lives_on() -> Patches:
    return ((Deferrals, "cancel", lambda self: ()),)


def _spawned_tasks_live_on() -> Patches:
    real = Errands.end

    def end(self: Any, deferred: Any) -> None:
        tasks, self._tasks = self._tasks, set()
        real(self, deferred)
        tasks.update(self._tasks)
        self._tasks = tasks

    return ((Errands, "end", end),)


def _reminders_live_on() -> Patches:
    real = Errands.end

    def end(self: Any, deferred: Any) -> None:
        self._timers.clear()
        real(self, deferred)

    return ((Errands, "end", end),)


def _ended_is_not_last() -> Patches:
    async def wind_up(self: Any) -> None:
        pass

    return ((Errands, "wind_up", wind_up),)


def _kill_cuts_short() -> Patches:
    async def kill(self: Any) -> None:
        if self._task is not None:
            self._task.cancel()

    return ((Life, "kill", kill),)


def _waited_for_beyond_the_kill() -> Patches:
    return ((errands, "WIND_UP_S", 2 * KILL_S),)


def _kill_cuts_the_end_short() -> Patches:
    real = Life.kill

    async def kill(self: Any) -> None:
        await real(self)
        if self._limit is not None:
            self._task.cancel()

    return ((Life, "kill", kill),)


def _no_time_for_the_end() -> Patches:
    return ((shift, "KILL_S", errands.WIND_UP_S),)


def _kill_forgotten() -> Patches:
    real = Life.kill

    async def kill(self: Any) -> None:
        if not self._over or self._limit is not None:
            await real(self)

    return ((Life, "kill", kill),)


def _cancelled_before_its_first_step() -> Patches:
    real = Life._fail_with

    def fail_with(self: Any, error: BaseException) -> None:
        real(self, error)
        if self._task is not None and not self._begun:
            self._task.cancel()

    return ((Life, "_fail_with", fail_with),)


def _begun_while_laid_down() -> Patches:
    def spawn(self: Any, work: Any) -> None:
        task = self._cell.loop.create_task(work, name=f"{self._cell.name}: spawned")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    return ((Errands, "spawn", spawn),)


def _askers_not_told_at_the_end() -> Patches:
    real = Life._end

    def end(self: Any, why: str) -> None:
        self._deferrals.letters = list
        real(self, why)

    return ((Life, "_end", end),)


def _window_never_forgets() -> Patches:
    def grant(restarts_s: Any, intensity: Any, now_s: float) -> bool:
        restarts_s.append(now_s)
        return len(restarts_s) <= int(intensity.max_restarts)

    return ((roster, "grant", grant),)


def _no_room_kept_for_the_mesh() -> Patches:
    real = Mailbox.offer

    def offer(self: Any, letter: Any, key: Any = None, *, may_wait: bool = False, from_outside: bool = False) -> Any:
        return real(self, letter, key, may_wait=may_wait)

    return ((Mailbox, "offer", offer),)


def _settling_events_refused() -> Patches:
    return ((ExecutorUp, "always_taken", False), (ExecutorDown, "always_taken", False))


def _flood_passed_on() -> Patches:
    real = ViewerBridge._pass_on

    def pass_on(self: Any, message: Any) -> None:
        self._sessions[message.viewer].begun = False
        real(self, message)

    return ((ViewerBridge, "_pass_on", pass_on), (BeginStream, "always_taken", False))


def _lost_words_not_made_up_for() -> Patches:
    return ((ViewerBridge, "_make_up_for_what_was_lost", lambda self, session, let_go_through: None),)


def _pump_dies_of_the_bridge() -> Patches:
    def say(self: Any, message: Any) -> None:
        self._context.find(BRIDGE).tell(message)

    return ((StreamPump, "_say", say),)


def _asks_outlive_the_connection() -> Patches:
    return ((Link, "fail_asks", lambda self, error: None),)


def _door_computes_again() -> Patches:
    async def receive(self: Any, message: Any) -> Any:
        if not isinstance(message, RunWell):
            return await real(self, message)
        return self.defer(self._run(message, (message.job, message.well, message.attempt, message.folder)))

    real = ExecutorDoor.receive
    return ((ExecutorDoor, "receive", receive),)


def _effect_twice_after_replay() -> Patches:
    real = JobResumption._take_up

    async def take_up(self: Any, job: Any) -> None:
        for result in self._results.results(job.job):
            await self._ledger.write(
                job_records.Kept(job=job.job, at_unix_s=0.0, result=result, executor="", duration_s=0.0)
            )
        await real(self, job)

    return ((JobResumption, "_take_up", take_up),)


def _attempt_not_written() -> Patches:
    real = Ledger.write_surely

    async def write_surely(self: Any, record: Any) -> None:
        if isinstance(record, job_records.Attempted):
            self._take_in(record)
        else:
            await real(self, record)

    return ((Ledger, "write_surely", write_surely),)


def _refused_record_dropped() -> Patches:
    async def write_surely(self: Any, record: Any) -> None:
        try:
            await self.write(record)
        except JournalFull:
            return

    return ((Ledger, "write_surely", write_surely),)


def _cancelled_well_committed() -> Patches:
    async def stop_well(self: Any, job: str, well: str, executor: str) -> None:
        pass

    return (
        (WellRuns, "cancel_well", lambda self, executor, job, well: None),
        (WellRuns, "_stop_well", stop_well),
        (WellRuns, "_is_wanted", lambda self, job: True),
    )


def _death_forgotten() -> Patches:
    async def lost(self: Any, *arguments: Any) -> None:
        pass

    return ((WellRuns, "_lost", lost),)


def _faults_not_counted() -> Patches:
    real = Scheduling._failed

    def failed(self: Any, name: str, well: str, error: str, *, final: bool, charged: bool) -> Any:
        return real(self, name, well, error, final=final, charged=False)

    return ((Scheduling, "_failed", failed),)


def _over_before_it_is_kept() -> Patches:
    def well_done(self: Any, job: str, well: str, executor: str) -> Any:
        self._free(executor, job, well)
        if job in self._jobs:
            self._jobs[job].running.discard(well)
        return self._ended(job) + self._dispatch()

    return ((Scheduling, "well_done", well_done),)


def _slot_reused_early() -> Patches:
    return (
        (SlotAllocator, "hold", lambda self, lease, consumer: None),
        (SlotAllocator, "acknowledge", lambda self, lease, consumer: None),
    )


def _credit_leak() -> Patches:
    real = StreamPump.close

    def close(self: Any, viewer: str) -> None:
        ring, self._ring = self._ring, SimpleNamespace(release_all=lambda viewer: 0)
        try:
            self.streams.pop(viewer, None)
            real(self, viewer)
        finally:
            self._ring = ring

    return ((StreamPump, "close", close),)


def _credits_without_bound() -> Patches:
    real = ViewerStream.may_load

    def may_load(self: Any) -> bool:
        unacknowledged, self._unacknowledged = self._unacknowledged, set()
        try:
            return real(self)
        finally:
            self._unacknowledged = unacknowledged

    return ((ViewerStream, "may_load", may_load),)


def _starved_stream_forgotten() -> Patches:
    return ((StreamPump, "_feed_the_starved", lambda self: self._starved.clear()),)


def _news_lost_during_a_look_up() -> Patches:
    real = ViewerStream.adopt

    def adopt(self: Any, snapshot: Any, *, announce: bool) -> Any:
        real(self, snapshot, announce=announce)
        return ()

    return ((ViewerStream, "adopt", adopt),)


def _new_life_asked_as_the_old_one() -> Patches:
    async def run(self: Any, request: Any) -> Any:
        while True:
            link = await self._node.reached()
            try:
                return await link.ask(self._door, request, timeout_s=remote_executor.WELL_TIMEOUT_S)
            except PeerGone:
                if not link.gone:
                    raise

    return ((RemoteExecutor, "_run", run),)


def _asked_again_for_nobody() -> Patches:
    real = RemoteExecutor.receive

    async def receive(self: Any, message: Any) -> Any:
        return self.defer(self._run(message)) if isinstance(message, RunWell) else await real(self, message)

    return ((RemoteExecutor, "receive", receive),)


def _cancelled_once() -> Patches:
    async def stop_well(self: Any, job: str, well: str, executor: str) -> None:
        self.cancel_well(executor, job, well)

    return ((WellRuns, "_stop_well", stop_well),)


def _nobody_looks_before_a_commit() -> Patches:
    return ((WellRuns, "_is_wanted", lambda self, job: True),)


def _hosts_always_spared() -> Patches:
    return ((Scheduling, "spares", lambda self, job, well, executor: True),)


def _next_life_is_the_baseline() -> Patches:
    return ((join_desk, "is_in", lambda life, node, row: True),)


def _back_and_not_told() -> Patches:
    real = JoinDesk._away

    def away(self: Any, node: Any, reason: str) -> None:
        executors = node.executors
        real(self, node, reason)
        node.executors = executors

    return ((JoinDesk, "_away", away),)


def _not_planted_again() -> Patches:
    async def start(self: Any, child: Any) -> None:
        self.supervisor.children = ()
        await self.supervisor.start_child(child)

    return ((ExecutorsElsewhere, "_start", start),)


def _started_again_unnoticed() -> Patches:
    async def started(self: Any) -> None:
        pass

    return ((RemoteExecutor, "started", started),)


PLANTED: dict[str, Planted] = {
    "acknowledge before append": Planted("tills", _acknowledge_before_append, r"was acknowledged as"),
    "acknowledge before sync": Planted(
        "tills", _acknowledge_before_sync, r"is damaged at byte|was acknowledged as number"
    ),
    "segment's name not synced": Planted("tills", _name_not_synced, r"was acknowledged as number .*, which holds None"),
    "checkpoint drops a pending record": Planted(
        "tills", _checkpoint_drops_pending, r"was acknowledged as number .*, which holds None"
    ),
    "lost wake-up": Planted("tills", _lost_wake_up, r"does not wake up"),
    "mailbox loses a letter on restart": Planted("tills", _letter_lost_on_restart, r"was told .* and heard"),
    "stale reply delivered": Planted("tills", _stale_reply, r"the answer to .* was given to who asked for"),
    "asks never expire": Planted("tills", _asks_never_expire, r"an ask of .* s had no answer after"),
    "restart count reset": Planted("tills", _restart_count_reset, r"restarted \d+ times within"),
    "companions are not restarted": Planted("tills", _companions_left_running, r"is started again while .* still runs"),
    "a companion too many is restarted": Planted(
        "tills", _one_companion_too_many, r"is stopped, and nothing happened that asks for it"
    ),
    "stopped in the order of start": Planted(
        "tills", _stopped_in_the_order_of_start, r"is stopped before .*, which was started after it"
    ),
    "a stop takes the next life for its own": Planted(
        "tills", _next_life_taken_for_this, r"two lives of .* are running"
    ),
    "the window of restarts never forgets": Planted("tills", _window_never_forgets, r"gives up at \d restarts within"),
    "deferred work outlives its actor": Planted(
        "tills", _deferred_work_lives_on, r"is still at work: .*(deferred|wait|several)"
    ),
    "spawned tasks outlive their actor": Planted(
        "tills", _spawned_tasks_live_on, r"is still at work: .*a spawned task"
    ),
    "reminders outlive their actor": Planted("tills", _reminders_live_on, r"is reminded of what life \d+ had to do"),
    "an actor's end does not wait for its work": Planted(
        "tills", _ended_is_not_last, r"has ended, and life \d+ is still"
    ),
    "a kill cuts the laying down short": Planted("tills", _kill_cuts_short, r"has ended, and life \d+ is still"),
    "an end is waited for beyond the kill": Planted(
        "tills", _waited_for_beyond_the_kill, r"two lives of .* are running"
    ),
    "a kill cuts an actor's end short": Planted("tills", _kill_cuts_the_end_short, r"the end of life \d+ of .* is cut"),
    "a kill leaves an actor's end no time": Planted(
        "tills", _no_time_for_the_end, r"has begun, and life \d+ is still at work: .*its end"
    ),
    "a kill is forgotten while work is laid down": Planted(
        "tills", _kill_forgotten, r"is still at work: .*its end|two lives of packer are running"
    ),
    "a life that fails before its first step is not laid down": Planted(
        "tills", _cancelled_before_its_first_step, r"has begun, and life \d+ is still at work: .*a spawned task"
    ),
    "work begun while work is laid down": Planted(
        "tills", _begun_while_laid_down, r"is still at work: .*a spawned task"
    ),
    "askers are not told at an actor's end": Planted("tills", _askers_not_told_at_the_end, r"hears nothing, though"),
    "no room is kept for the mesh": Planted("tills", _no_room_kept_for_the_mesh, r"has no room for the mesh's own"),
    "asks are not failed on a break": Planted(
        "tills", _asks_outlive_the_connection, r"asked over a connection that broke"
    ),
    "a well asked for again is computed again": Planted("analysis", _door_computes_again, r"is computed twice"),
    "lost key check": Planted("analysis", _lost_key_check, r"was taken as .* and as"),
    "effect twice after replay": Planted("analysis", _effect_twice_after_replay, r"the journal holds 2 records Kept"),
    "attempt handed out before it is written": Planted("analysis", _attempt_not_written, r"is handed out twice"),
    "a refused record is dropped": Planted("analysis", _refused_record_dropped, r"a job is never over"),
    "cancelled well committed": Planted("analysis", _cancelled_well_committed, r"is committed .* after its end"),
    "an executor's death is forgotten": Planted("analysis", _death_forgotten, r"a job is never over"),
    "faults of a well are not counted": Planted("analysis", _faults_not_counted, r"a job is never over"),
    "a job is over before its last well is kept": Planted(
        "analysis", _over_before_it_is_kept, r"is (done|failed) and has .*'running'"
    ),
    "an executor's death finds no room": Planted("analysis", _settling_events_refused, r"is not told of Executor"),
    "a flood is passed on within the mesh": Planted("streaming", _flood_passed_on, r"viewers dies of a full mailbox"),
    "a full mailbox ends who speaks to it": Planted(
        "streaming", _pump_dies_of_the_bridge, r"publisher dies of a full mailbox"
    ),
    "lost words are not made up for": Planted(
        "streaming", _lost_words_not_made_up_for, r"planes are (never shown|held)"
    ),
    "slot reused early": Planted("streaming", _slot_reused_early, r"shows -?\d+, not \d+"),
    "credit leak on a viewer's death": Planted("streaming", _credit_leak, r"of 5 slots \d are free"),
    "credits without bound": Planted("streaming", _credits_without_bound, r"a viewer with \d credits holds"),
    "a starved stream is forgotten": Planted("streaming", _starved_stream_forgotten, r"planes are never shown"),
    "news lost while a snapshot is looked up": Planted(
        "streaming", _news_lost_during_a_look_up, r"planes are never shown"
    ),
    "a host's next life is asked as the one before": Planted(
        "hosts", _new_life_asked_as_the_old_one, r"is asked of two lives"
    ),
    "a well is asked for again for nobody": Planted(
        "hosts", _asked_again_for_nobody, r"is asked for again, and attempt|is kept, and computed again"
    ),
    "a cancellation is said once": Planted("hosts", _cancelled_once, r"is still at well .* was cancelled long ago"),
    "nobody looks before a commit": Planted("hosts", _nobody_looks_before_a_commit, r"is committed .* after its end"),
    "the death of a host is never charged": Planted("hosts", _hosts_always_spared, r"a job is never over"),
    "a watch takes the next life for its own": Planted("hosts", _next_life_is_the_baseline, r"a death is never heard"),
    "an executor that is back is not told of": Planted(
        "hosts", _back_and_not_told, r"a job is never over|does not know it"
    ),
    "a branch loses what was added to it": Planted(
        "hosts", _not_planted_again, r"a job is never over|no answer in time"
    ),
    "what stands for an executor is back and does not say so": Planted(
        "hosts", _started_again_unnoticed, r"a job is never over|the scheduler does not know it"
    ),
}
