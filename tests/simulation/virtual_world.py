"""A world without time of its own: processes whose loops, clocks, threads and deaths one seed decides."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import heapq
import itertools
import random
import sys
import time
import traceback as tracebacks
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

MAX_STEPS = 200_000
"""More than any schedule needs: one that takes so many turns of a loop does not come to rest."""


class Violation(AssertionError):
    """An invariant does not hold; the seed says how to see it again.

    It counts wherever it is raised: inside an actor a supervisor would catch it.
    """

    raised: ClassVar[list[str]] = []

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.raised.append(what)


class OrderedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    _numbers = itertools.count()

    def __init__(self, *args: Any, **named: Any) -> None:
        self._number = 0
        super().__init__(*args, **named)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class Process(asyncio.AbstractEventLoop):
    """A process of the world, which is its event loop: killed, nothing of it ever runs again."""

    def __init__(self, world: World, name: str, pid: int) -> None:
        self.world = world
        self.name = name
        self.pid = pid
        self.dead = False
        self.frozen_until = 0.0
        self.on_death: list[Callable[[], None]] = []
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[OrderedTask] = []

    def __hash__(self) -> int:
        return self.pid

    # -- what asyncio asks of a loop --------------------------------------------------------------

    def time(self) -> float:
        return self.world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self.world.add_timer(when, when, self, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        task = OrderedTask(coro, loop=self, name=name or "task", context=context)
        task._number = self.world.next_number()
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.world.complaints.append(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        return asyncio.wrap_future(self.world.pool(self).submit(func, *args), loop=self)

    # -- what befalls a process -------------------------------------------------------------------

    def kill(self) -> None:
        """End in the middle of whatever it is doing; no code of it runs any more."""
        if self.dead:
            return
        self.dead = True
        self.ready.clear()
        self.world.note(f"{self.name} dies")
        callbacks, self.on_death = self.on_death, []
        for callback in callbacks:
            callback()

    def freeze(self, for_s: float) -> None:
        """Run nothing for so long: swapped out, stopped, or at a long computation."""
        self.frozen_until = max(self.frozen_until, self.world.now + for_s)

    def run(self, work: Coroutine[Any, Any, Any], name: str = "main") -> asyncio.Task[Any]:
        """Begin work in this process."""
        with _running(self):
            return self.create_task(work, name=name)


class VirtualPool(concurrent.futures.Executor):
    """Threads of a process: what they do takes a while, and is done even if nobody waits any more."""

    def __init__(self, process: Process, longest_s: Callable[[], float]) -> None:
        self._process = process
        self._longest_s = longest_s

    def submit(self, work: Any, /, *args: Any, **named: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def do() -> None:
            try:
                result = work(*args, **named)
            except BaseException as error:  # noqa: BLE001 - as a thread pool does
                future.set_exception(error)
            else:
                future.set_result(result)

        self._process.call_later(self._longest_s(), do)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to let go."""


class World:
    """All processes, one clock, one source of chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.unix_ahead_s = 1.7e9
        self.processes: list[Process] = []
        self.complaints: list[str] = []
        self.diary: list[str] = []
        self.digest = 0
        self._is_buried = False
        self.n_steps = 0
        self._timers: list[tuple[float, float, float, int, Process, asyncio.TimerHandle]] = []
        self._numbers = itertools.count(1)
        self._pids = itertools.count(100)
        self.outside = self.process("world")

    def next_number(self) -> int:
        return next(self._numbers)

    def process(self, name: str) -> Process:
        """Start a process that does nothing yet."""
        process = Process(self, name, next(self._pids))
        self.processes.append(process)
        return process

    def pool(self, process: Process, slowest_s: float = 0.02) -> VirtualPool:
        return VirtualPool(process, lambda: self.random.random() * slowest_s)

    def unix_s(self) -> float:
        """The wall clock, which may jump."""
        return self.now + self.unix_ahead_s

    def note(self, what: str) -> None:
        """Write down what happened, for whoever looks at a failure, and for telling two runs apart."""
        if self._is_buried:
            # How code ends that is thrown away is no part of the schedule, and other each time.
            return
        line = f"{self.now:.6f} {what}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        self.diary.append(line)

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Let something befall the world."""
        self.outside.call_later(delay_s, callback)

    def add_timer(self, due: float, when: float, process: Process, handle: asyncio.TimerHandle) -> None:
        # Which of two timers of one moment goes off first is not promised: chance decides.
        heapq.heappush(self._timers, (due, when, self.random.random(), next(self._numbers), process, handle))

    def run_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Let the world go on until something holds; False if it does not within so many of its seconds."""
        end = self.now + limit_s
        while not done():
            if self.now > end or not self._turn():
                return done()
        return True

    def run_dry(self, limit_s: float) -> bool:
        """Let the world go on until nothing is left to do; False if something still is."""
        end = self.now + limit_s
        while self._turn():
            if self.now > end:
                return False
        return True

    def bury(self) -> None:
        """Throw away what the processes were at, however little their code expects it."""
        self._is_buried = True
        self._timers.clear()
        for process in self.processes:
            process.dead = True
            process.ready.clear()
            process.on_death.clear()
            tasks, process.tasks = process.tasks, []
            # Code that ends asks for its loop, and would be given a real one that nobody closes.
            asyncio.set_event_loop(process)
            for task in tasks:
                if not task.done():
                    _throw_away(task.get_coro())
        asyncio.set_event_loop(None)

    def _turn(self) -> bool:
        """Run one turn of one process's loop, or let time pass to the next timer; False when there is none."""
        if Violation.raised:
            raise AssertionError(Violation.raised[0])
        self.n_steps += 1
        if self.n_steps > MAX_STEPS:
            raise Violation(f"it does not come to rest within {MAX_STEPS} turns")
        timers, now = self._timers, self.now
        while timers and timers[0][0] <= now:
            _, when, _, _, process, handle = heapq.heappop(timers)
            if handle._cancelled or process.dead:
                continue
            if process.frozen_until > now:
                self.add_timer(process.frozen_until, when, process, handle)
            else:
                process.ready.append(handle)
        able = [one for one in self.processes if one.ready and one.frozen_until <= now]
        if able:
            _run_once(able[0] if len(able) == 1 else able[int(self.random.random() * len(able))])
            return True
        thawing = [one.frozen_until for one in self.processes if one.ready]
        while timers and (timers[0][5]._cancelled or timers[0][4].dead):
            heapq.heappop(timers)
        if timers:
            thawing.append(timers[0][0])
        if not thawing:
            return False
        self.now = max(now, min(thawing))
        return True


def _run_once(process: Process) -> None:
    ready = process.ready
    asyncio._set_running_loop(process)
    try:
        for _ in range(len(ready)):
            if not ready:
                return
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
    finally:
        asyncio._set_running_loop(None)


@contextmanager
def _running(process: Process) -> Iterator[None]:
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(process)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)


def _throw_away(work: Any) -> None:
    for _ in range(50):
        try:
            work.close()
        except BaseException:  # noqa: BLE001 - whatever dying code raises
            continue  # it waits for something in a ``finally``
        return


class Outcome(NamedTuple):
    """How a schedule went: what it violated, if anything, and what happened in it."""

    seed: int
    violation: str
    traceback: str
    diary: tuple[str, ...]
    digest: int
    ended_at_s: float


def run_schedule(seed: int, play: Callable[[World], None]) -> Outcome:
    """Play one schedule in a world of its own."""
    real_time, real_hook, collecting = time.time, sys.unraisablehook, gc.isenabled()
    gc.disable()
    sys.unraisablehook = lambda unraisable: None
    try:
        with warnings.catch_warnings():
            # What a killed process had begun is thrown away half-way, and some of it would say so.
            warnings.simplefilter("ignore")
            outcome = _play(seed, play)
            gc.collect(0)
        return outcome
    finally:
        time.time, sys.unraisablehook = real_time, real_hook
        if collecting:
            gc.enable()


def _play(seed: int, play: Callable[[World], None]) -> Outcome:
    world = World(seed)
    time.time = world.unix_s  # the one clock that is asked for by name everywhere
    violation = traceback = ""
    Violation.raised.clear()
    try:
        play(world)
    except Exception as error:  # noqa: BLE001 - a fault that nobody foresaw is a finding too
        violation = f"{type(error).__name__}: {error}"
        traceback = "".join(tracebacks.format_exception(error))
        error.__traceback__ = None
    if Violation.raised:
        violation = Violation.raised[0]
    world.bury()
    return Outcome(seed, violation, traceback, tuple(world.diary), world.digest, world.now)
