"""One life of an actor: its start, its mailbox loop, its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from math import inf
from typing import Any, cast

from ..config import get_logger
from ..config.bounded_text import told
from ..config.errors import MeshError
from ..config.tracing import ACTOR
from ..transport.errors import PeerGone
from ..transport.link import Link
from ..transport.messages import INNER, Message, Principal
from ..transport.refs import Ref
from ..transport.wakes import Nap, wakes_of
from .actor import Actor, Deferred
from .cell import Cell
from .child import Exit, exit_of
from .child import Kind as ChildKind
from .deferrals import Deferrals
from .errands import Errands
from .letters import Letter, portable, wrong_answer
from .watching import watched

BATCH = 64
"""Messages an actor handles before the loop's other work gets its turn, if none of them waits."""
LOOK_AHEAD_S = 1.0
"""A deadline further away is held against no clock until the actor waits, yields or has handled 32 messages more.

An actor that waits in ``receive`` meanwhile has its mailbox swept by the node: only one that computes for longer than
this without a pause can work on a message that expired during that pause.
"""
ENDED_S = 5.0
"""A killed actor's ``ended`` may take so long, from the kill or from its beginning; then it is cancelled, and told of.

With ``WIND_UP_S`` before it less than ``KILL_S``: its supervisor waits for it, and begins no life beside it.
"""

log = get_logger(__name__)


class Life:
    """What a supervisor holds of an actor, and what the actor has as its context, from start to end."""

    __slots__ = (
        "_begun",
        "_cell",
        "_deferrals",
        "_errands",
        "_fault",
        "_interrupted",
        "_killed",
        "_letter",
        "_limit",
        "_loop",
        "_over",
        "_stopping",
        "_task",
        "_wakes",
        "actor",
        "idle",
    )

    kind: ChildKind = "actor"

    def __init__(self, cell: Cell, actor: Actor[Any]) -> None:
        self.actor = actor
        self.idle: Nap | None = None
        self._cell = cell
        self._loop = cell.loop
        self._wakes = wakes_of(cell.loop)
        self._letter: Letter | None = None
        self._stopping = False
        self._interrupted = False
        self._begun = False
        self._killed = False
        self._limit: asyncio.Timeout | None = None
        """Of the time for ``ended``, while that runs."""
        self._deferrals = Deferrals(cell, actor.mailbox, self._fail_with)
        self._errands = Errands(cell, self._fail_with)
        self._over = False
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
            await self._ended()
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
        """End now, in the middle of whatever it is doing; what is laid down then has its time, and so has ``ended``."""
        self._killed = True
        if not self._over:
            self._interrupt_task()
        elif self._limit is not None and self._limit.when() is None:
            # Cut short at once it would leave to the next life what that stumbles over, as a lock or a thread.
            self._limit.reschedule(self._loop.time() + ENDED_S)

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
        self._errands.remind(delay_s, message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a child task."""
        self._errands.spawn(work)

    # -- the mailbox loop -------------------------------------------------------------------------

    @property
    def n_deferred(self) -> int:
        """How much deferred work is running."""
        return len(self._deferrals)

    def in_hand(self) -> list[Letter]:
        """The letters whose answer is being worked on."""
        letters = self._deferrals.letters()
        return [self._letter, *letters] if self._letter is not None else letters

    def let_go(self) -> None:
        """Cancel what only waits for the sake of askers who are gone."""
        self._deferrals.let_go()

    def interrupt(self) -> None:
        """There is something to look at that is no message."""
        self._interrupted = True
        self.wake()

    def wake(self) -> None:
        """There is something to look at."""
        idle, self.idle = self.idle, None
        if idle is not None:
            self._wakes.wake(idle)

    async def _run(self) -> Exit:
        self._begun = True
        try:
            if self._killed or self._fault is not None:
                raise asyncio.CancelledError
            # Here, not in a function of its own: every message wakes up each frame that waits for it.
            while not self._stopping:
                if self._cell.paused:
                    self._cell.answer_pings()
                    self.idle = nap = Nap(self._loop)
                    await nap
                else:
                    self._interrupted = False
                    await self._read_on()
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
            await self._ended()

    async def _ended(self) -> None:
        """Wait until nothing of this life is at work any more, and run the actor's ``ended``."""
        try:
            await self._errands.wind_up()
        finally:
            self._limit = limit = asyncio.timeout(ENDED_S if self._killed else None)
            try:
                async with limit:
                    await self.actor.ended()
            except TimeoutError:
                if not limit.expired():
                    raise
                log.exception("the end of a killed actor took too long and was cut short", actor=self._cell.name)
            finally:
                self._limit = None

    def _interrupt_task(self) -> None:
        # A task that is cancelled before its first step never takes it, and would lay nothing down: that step looks
        # itself at what has happened before, and so does the start while there is no task.
        if self._begun and self._task is not None:
            self._task.cancel()

    async def _read_on(self) -> None:  # noqa: C901 - one function: each call in it would cost every message
        """Handle what comes until the actor is to stop or to pause."""
        cell, loop, receive = self._cell, self._loop, self.actor.receive
        box, pings, replies = cell.box, cell.pings, cell.replies
        queued = box.queued
        next_letter, take, time = queued.popleft, box.take, loop.time
        soon = inf
        while not self._interrupted:
            if pings:
                cell.answer_pings()
            if not queued:
                self._letter = None
                self.idle = nap = Nap(loop)
                await nap
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
                    result = await watched(cell, receive, letter)
                    soon = inf
                kind = result.__class__
                if kind is Deferred:
                    self._deferrals.begin(result, letter)
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

    def _fail_with(self, error: BaseException) -> None:
        if self._over:
            # What it was to end with is settled; this is the way in which its work did.
            log.error("work of an actor failed at its end", actor=self._cell.name, exc_info=error)
        elif self._fault is None:
            self._fault = error
            self._interrupt_task()

    def _failed(self, error: BaseException) -> Exit:
        self._cell.last_error = told(error)
        letter = self._letter
        if letter is not None and letter.answer is not None and not letter.answer.done():
            letter.answer.set_exception(portable(error, self._cell.name))
        self._end(f"the actor failed: {self._cell.last_error}")
        return exit_of(error)

    def _end(self, why: str) -> None:
        if self._cell.life is self:
            self._cell.life = None
        gone = PeerGone(f"{self._cell.name} ended before it answered: {why}", hint="ask again")
        for letter in self.in_hand():
            if letter.answer is not None and not letter.answer.done():
                letter.answer.set_exception(gone)
        self._letter = None
        self._over = True
        self._errands.end(self._deferrals.cancel())
