"""One life of an actor: its mailbox loop, its deferred work, its end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from collections.abc import Coroutine, Hashable, Mapping
from math import inf
from typing import Any, cast

from ..config.errors import MeshError
from ..config.tracing import ACTOR, TRACE
from ..transport.errors import BadMessage, PeerGone
from ..transport.link import Link
from ..transport.messages import INNER, Message, Principal
from ..transport.refs import Ref
from .actor import Actor, Deferred
from .cell import Cell
from .child import Exit, exit_of
from .child import Kind as ChildKind
from .letters import Answer, Letter, TracedLetter, portable, wrong_answer

BATCH = 64
"""Messages an actor handles before the loop's other work gets its turn, if none of them waits."""
LOOK_AHEAD_S = 1.0
"""A deadline further away is held against no clock until the actor waits, yields or has handled 32 messages more.

An actor that waits in ``receive`` meanwhile has its mailbox swept by the node: only one that computes for longer than
this without a pause can work on a message that expired during that pause.
"""


class Life:
    """What a supervisor holds of an actor, and what the actor has as its context, from start to end."""

    kind: ChildKind = "actor"

    def __init__(self, cell: Cell, actor: Actor[Any]) -> None:
        self.actor = actor
        self.idle: asyncio.Future[None] | None = None
        self._cell = cell
        self._loop = cell.loop
        self._letter: Letter | None = None
        self._stopping = False
        self._interrupted = False
        self._deferred: dict[asyncio.Task[Any], list[Letter]] = {}
        self._once: dict[Hashable, asyncio.Task[Any]] = {}
        self._children: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._fault: BaseException | None = None
        self._task: asyncio.Task[Exit] | None = None
        actor.context = self

    # -- what the supervisor sees -----------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The process the actor lives in."""
        return os.getpid()

    async def start(self) -> None:
        """Run the actor's ``started``, then its mailbox; after a failed start, its ``ended``."""
        # Everything that this life starts inherits the name, so that a line in the log says whose it is.
        token = ACTOR.set(self._cell.name)
        try:
            await self.actor.started()
            if self._fault is not None:
                raise self._fault
            self._cell.life = self
            self._task = self._loop.create_task(self._run(), name=self._cell.name)
        except BaseException:
            self._end("the actor did not start")
            await self.actor.ended()
            raise
        finally:
            ACTOR.reset(token)

    async def wait(self) -> Exit:
        """How the actor ended."""
        assert self._task is not None, "wait before start"
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return Exit(reason="killed")
        error = self._task.exception()
        # What escapes from the loop is what ``ended`` raised.
        return self._task.result() if error is None else exit_of(error)

    async def stop(self) -> None:
        """End after the message in hand."""
        self._stopping = True
        self.interrupt()

    async def kill(self) -> None:
        """End now, in the middle of whatever it is doing."""
        if self._task is not None:
            self._task.cancel()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return self._cell.statistics()

    def own_statistics(self) -> Mapping[str, int | float | str]:
        """What the actor counts itself."""
        return self.actor.statistics()

    # -- what the actor sees: its context ---------------------------------------------------------

    @property
    def me(self) -> Ref:
        """The reference to this actor."""
        return self._cell.me

    @property
    def principal(self) -> Principal:
        """Who sent the message in hand."""
        return self._letter.principal if self._letter is not None else INNER

    @property
    def caller(self) -> Link | None:
        """The link over which the message in hand came; None from this process."""
        return self._letter.caller if self._letter is not None else None

    def find(self, name: str) -> Ref:
        """The reference to an actor, by name."""
        return self._cell.find(name)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def after(self, delay_s: float, message: Message) -> None:
        """Hand this actor a message later."""

        def due() -> None:
            self._timers.discard(handle)
            self._cell.post_own(message)

        handle = self._loop.call_later(delay_s, due)
        self._timers.add(handle)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a child task."""
        task = self._loop.create_task(work, name=f"{self._cell.name}: spawned")
        self._children.add(task)
        task.add_done_callback(self._child_done)

    # -- the mailbox loop -------------------------------------------------------------------------

    @property
    def n_deferred(self) -> int:
        """How much deferred work is running."""
        return len(self._deferred)

    def in_hand(self) -> list[Letter]:
        """The letters whose answer is being worked on."""
        letters = [letter for group in self._deferred.values() for letter in group]
        return [self._letter, *letters] if self._letter is not None else letters

    def interrupt(self) -> None:
        """There is something to look at that is no message."""
        self._interrupted = True
        self.wake()

    def wake(self) -> None:
        """There is something to look at."""
        idle, self.idle = self.idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _run(self) -> Exit:
        try:
            await self._read_mail()
            await self.actor.stopping()
        except asyncio.CancelledError:
            if self._fault is None:
                self._end("the actor was killed")
                raise
            return self._failed(self._fault)
        except Exception as error:  # noqa: BLE001 - the mailbox loop: a fault ends this life, and the supervisor decides
            return self._failed(error)
        else:
            self._end("the actor stopped")
            return Exit(reason="shutdown")
        finally:
            await self.actor.ended()

    async def _read_mail(self) -> None:
        cell = self._cell
        while not self._stopping:
            if cell.paused:
                cell.answer_pings()
                await self._idle()
            else:
                self._interrupted = False
                await self._read_on()

    async def _read_on(self) -> None:  # noqa: C901 - one function: each call in it would cost every message
        """Handle what comes until the actor is to stop or to pause."""
        cell, time, receive = self._cell, self._loop.time, self.actor.receive
        box, pings, replies = cell.box, cell.pings, cell.replies
        queued = box.queued
        next_letter, take = queued.popleft, box.take
        soon = inf
        while not self._interrupted:
            if pings:
                cell.answer_pings()
            if not queued:
                self._letter = None
                await self._idle()
                soon = inf
                continue
            if box.plain:
                letter = next_letter()
                box.n_bytes -= letter.n_bytes
            else:
                letter = cast("Letter", take())
            answer, message = letter.answer, letter.message
            if answer is not None:
                if answer.done():
                    continue
                if letter.deadline <= soon:
                    now = time()
                    soon = now + LOOK_AHEAD_S
                    if letter.deadline <= now and cell.timed_out(letter):
                        continue
            self._letter = letter
            try:
                # One in 32 is timed: a clock costs as much as a small message.
                if letter.__class__ is Letter and cell.n_handled & 31:
                    result = await receive(message)
                else:
                    result = await self._watched(letter)
                    soon = inf
                kind = result.__class__
                if kind is Deferred:
                    self._defer(result, letter)
                elif answer is not None:
                    expected = replies[message.__class__]
                    if kind is not expected and not isinstance(result, expected) and not answer.done():
                        raise wrong_answer(cell.name, message, result)
                    try:  # noqa: SIM105 - a context manager would cost every message
                        answer.set_result(result)
                    except asyncio.InvalidStateError:
                        # The asker's time ran out meanwhile, or it gave up.
                        pass
            except MeshError as error:
                # A MeshError is an answer: what the asker should know. Without an asker it is a fault.
                if answer is None:
                    raise
                if not answer.done():
                    answer.set_exception(portable(error, cell.name))
            cell.n_handled = n_handled = cell.n_handled + 1
            if not n_handled % BATCH:
                self._letter = None
                await asyncio.sleep(0)
                soon = inf
        self._letter = None

    async def _watched(self, letter: Letter) -> Any:
        """Receive a message with a clock running, and with its trace where somebody follows it."""
        began_s = time.perf_counter()
        if isinstance(letter, TracedLetter):
            result = await self._followed(letter)
        else:
            result = await self.actor.receive(letter.message)
        if result.__class__ is not Deferred:
            self._cell.took(time.perf_counter() - began_s)
        return result

    async def _followed(self, letter: TracedLetter) -> Any:
        """Receive a message, and note it in the trace that it belongs to."""
        cell = self._cell
        letter.hop = hop = cell.traces.begin(letter.trace, cell.name, str(letter.message.__struct_config__.tag))
        token = TRACE.set(hop.trace)
        try:
            result = await self.actor.receive(letter.message)
        except BaseException as error:
            hop.end(f"{type(error).__name__}: {error}")
            raise
        finally:
            TRACE.reset(token)
        if result.__class__ is not Deferred:
            hop.end("answered" if letter.answer is not None else "taken in")
        return result

    async def _idle(self) -> None:
        self.idle = idle = self._loop.create_future()
        await idle

    def _defer(self, deferred: Deferred[Any], letter: Letter) -> None:
        key = deferred.key
        running = self._once.get(key) if key is not None else None
        if running is not None:
            self._deferred[running].append(letter)
            return
        # The coroutine itself becomes the task: one that is cancelled before its first step is closed all the same.
        context = contextvars.copy_context()
        if isinstance(letter, TracedLetter) and letter.hop is not None:
            context.run(TRACE.set, letter.hop.trace)
        began_s = time.perf_counter()
        task = self._loop.create_task(deferred.work(), name=f"{self._cell.name}: deferred", context=context)
        self._deferred[task] = [letter]
        if key is not None:
            self._once[key] = task

        def done(task: asyncio.Task[Any]) -> None:
            if key is not None and self._once.get(key) is task:
                del self._once[key]
            self._cell.took(time.perf_counter() - began_s)
            self._deferred_done(task, self._deferred.pop(task, []))

        task.add_done_callback(done)

    def _deferred_done(self, task: asyncio.Task[Any], letters: list[Letter]) -> None:
        cell = self._cell
        error = PeerGone("the work was cancelled") if task.cancelled() else task.exception()
        for letter in letters:
            if isinstance(letter, TracedLetter) and letter.hop is not None:
                letter.hop.end("answered" if error is None else f"{type(error).__name__}: {error}")
        asked = [letter for letter in letters if letter.answer is not None]
        for letter in asked:
            answer = letter.answer
            assert answer is not None
            if error is None:
                error = self._settled(answer, task.result(), letter.message)
            if error is not None and not answer.done():
                answer.set_exception(portable(error, cell.name))
        if error is None or task.cancelled():
            return
        if not asked:
            self._fail_with(error)
        elif not isinstance(error, MeshError):
            # The work had a task of its own, so the actor's state is not in question: one wrong question
            # must not take away what everybody else asks for.
            cell.note_fault(type(letters[0].message).__name__, error)

    def _settled(self, answer: Answer, result: Any, message: Message) -> Exception | None:
        if answer.done():
            return None
        if not isinstance(result, self._cell.replies[message.__class__]):
            return wrong_answer(self._cell.name, message, result)
        try:
            answer.set_result(result)
        except BadMessage as error:
            return error
        return None

    def _child_done(self, task: asyncio.Task[None]) -> None:
        self._children.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail_with(error)

    def _fail_with(self, error: BaseException) -> None:
        if self._fault is None and (self._task is None or not self._task.done()):
            # Without a task the actor is starting still, and its start looks at the fault.
            self._fault = error
            if self._task is not None:
                self._task.cancel()

    def _failed(self, error: BaseException) -> Exit:
        self._cell.last_error = f"{type(error).__name__}: {error}"
        letter = self._letter
        if letter is not None and letter.answer is not None and not letter.answer.done():
            letter.answer.set_exception(portable(error, self._cell.name))
        self._end(f"the actor failed: {self._cell.last_error}")
        return exit_of(error)

    def _end(self, why: str) -> None:
        if self._cell.life is self:
            self._cell.life = None
        for timer in self._timers:
            timer.cancel()
        gone = PeerGone(f"{self._cell.name} ended before it answered: {why}", hint="ask again")
        for letter in self.in_hand():
            if letter.answer is not None and not letter.answer.done():
                letter.answer.set_exception(gone)
        self._letter = None
        for task in (*self._deferred, *self._children):
            task.cancel()
        self._deferred.clear()
