"""The place of an actor on its node: the mailbox outlives the actor's failures, one life follows another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Hashable, Mapping
from typing import Any, Protocol

from ..config.errors import MeshError
from ..transport import (
    INNER,
    AskTimedOut,
    Link,
    MailboxFull,
    Message,
    PeerGone,
    Principal,
    Ref,
    exception_of,
    failure_of,
)
from ..transport.codec import union_decoder
from ..transport.messages import reply_class
from .actor import Actor, Deferred
from .child import Exit, exit_of
from .child import Kind as ChildKind
from .mailbox import Mailbox, Offer

BATCH = 64
"""Messages an actor handles before the loop's other work gets its turn, if none of them waits."""


class Answer(Protocol):
    """Where an answer goes: a future in this process, or a link to another."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Answer."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """Answer with a failure."""
        ...


class RemoteAnswer:
    """The answer to an ask that came over a link."""

    __slots__ = ("_done", "_id", "_link", "_where")

    def __init__(self, link: Link, id: int, where: str) -> None:
        self._link = link
        self._id = id
        self._where = where
        self._done = False

    def done(self) -> bool:
        """Whether it was answered, or the peer is gone."""
        return self._done or bool(self._link.gone)

    def set_result(self, result: Any, /) -> None:
        """Send the answer."""
        self._done = True
        self._link.reply(self._id, result)

    def set_exception(self, error: BaseException, /) -> None:
        """Send the failure."""
        self._done = True
        self._link.fail(self._id, failure_of(error, where=self._where))


class Letter:
    """A message in a mailbox: who wants the answer, until when, and who is speaking."""

    __slots__ = ("answer", "caller", "deadline", "message", "principal")

    def __init__(
        self,
        message: Message,
        answer: Answer | None = None,
        deadline: float = 0.0,
        principal: Principal = INNER,
        caller: Link | None = None,
    ) -> None:
        self.message = message
        self.answer = answer
        self.deadline = deadline
        self.principal = principal
        self.caller = caller


class Cell:
    """A named actor of a node, whichever life of it is running."""

    def __init__(self, name: str, kind: type[Actor[Any]], find: Callable[[str], Ref], me: Ref) -> None:
        self.name = name
        self.decoder = union_decoder(kind.inbox)
        self.inbox = kind.inbox
        self.limits = kind.mailbox
        self.box: Mailbox[Letter] = Mailbox(kind.mailbox)
        self.life: Life | None = None
        self.find = find
        self.me = me
        self.loop = asyncio.get_running_loop()
        self.n_handled = 0
        self.n_expired = 0
        self.last_error = ""

    def post(self, letter: Letter) -> None:
        """Take a letter in, or refuse it by the mailbox's policy.

        Raises:
            MailboxFull: the policy is to refuse, and nobody waits for the answer.
        """
        message = letter.message
        if self.box.offer(letter, message.nominal_bytes, getattr(message, "supersedes", None)) is Offer.REJECTED:
            full = MailboxFull(
                f"{self.name} has {len(self.box)} messages ({self.box.n_bytes} bytes) waiting and takes no more",
                hint="ask again in a moment; hcs-mesh ps shows the mailboxes",
            )
            if letter.answer is None:
                raise full
            letter.answer.set_exception(full)
            return
        life = self.life
        if life is not None and life.idle is not None:
            life.wake()

    def expire(self, now: float) -> None:
        """Fail every ask whose time is over."""
        letters = self.box.letters() if len(self.box) else []
        if self.life is not None:
            letters += self.life.in_hand()
        for letter in letters:
            answer = letter.answer
            if answer is not None and letter.deadline <= now and not answer.done():
                self.n_expired += 1
                answer.set_exception(
                    AskTimedOut(
                        f"{type(letter.message).__name__} to {self.name}: no answer in time "
                        f"({len(self.box)} messages are waiting)",
                        hint="hcs-mesh ps shows whether the actor is up and how much it has waiting",
                    )
                )

    def hang_up(self, why: str) -> None:
        """Nobody will sit here again: fail everything that waits."""
        while (letter := self.box.take()) is not None:
            if letter.answer is not None and not letter.answer.done():
                letter.answer.set_exception(PeerGone(f"{type(letter.message).__name__} to {self.name}: {why}"))

    def statistics(self) -> dict[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "mailbox": len(self.box),
            "mailbox_bytes": self.box.n_bytes,
            "handled": self.n_handled,
            "expired": self.n_expired,
            "refused": self.box.n_refused,
            "superseded": self.box.n_superseded,
            "deferred": self.life.n_deferred if self.life is not None else 0,
            "last_error": self.last_error,
            **(self.life.actor.statistics() if self.life is not None else {}),
        }


class Life:
    """One life of an actor, from ``started`` to its end; what its supervisor holds."""

    kind: ChildKind = "actor"

    def __init__(self, cell: Cell, actor: Actor[Any]) -> None:
        self.actor = actor
        self.idle: asyncio.Future[None] | None = None
        self._cell = cell
        self._loop = cell.loop
        self._letter: Letter | None = None
        self._stopping = False
        self._deferred: dict[asyncio.Task[Any], list[Letter]] = {}
        self._once: dict[Hashable, asyncio.Task[Any]] = {}
        self._children: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._fault: BaseException | None = None
        self._task: asyncio.Task[Exit] | None = None
        self._exit: Exit | None = None
        actor.context = self

    # -- what the supervisor sees -----------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The process the actor lives in."""
        return os.getpid()

    async def start(self) -> None:
        """Run the actor's ``started``, then its mailbox."""
        try:
            await self.actor.started()
            if self._fault is not None:
                raise self._fault
        except BaseException:
            # Half a start may hold what the next one needs: a journal's lock, threads at work.
            self._end("the actor did not start")
            await self.actor.ended()
            raise
        self._cell.life = self
        self._task = self._loop.create_task(self._run(), name=self._cell.name)

    async def wait(self) -> Exit:
        """How the actor ended."""
        assert self._task is not None, "wait before start"
        done, _ = await asyncio.wait([self._task])
        task = done.pop()
        return Exit(reason="killed") if task.cancelled() else task.result()

    async def stop(self) -> None:
        """End after the message in hand."""
        self._stopping = True
        self.wake()

    async def kill(self) -> None:
        """End now, in the middle of whatever it is doing."""
        if self._task is not None:
            self._task.cancel()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return self._cell.statistics()

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
            self._cell.post(Letter(message))

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

    def wake(self) -> None:
        """There is something to look at."""
        idle = self.idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _run(self) -> Exit:
        try:
            await self._read_mail()
            await self.actor.stopping()
            # Before ``ended`` closes what they would still write to.
            self._end("the actor stopped")
        except asyncio.CancelledError:
            if self._fault is None:
                self._end("the actor was killed")
                raise
            return self._failed(self._fault)
        except Exception as error:  # the mailbox loop: a fault ends this life, and the supervisor decides
            return self._failed(error)
        finally:
            await self.actor.ended()
        return Exit(reason="shutdown")

    async def _read_mail(self) -> None:
        cell, loop = self._cell, self._loop
        box, receive = cell.box, self.actor.receive
        n_in_row = 0
        while not self._stopping:
            letter = box.take()
            if letter is None:
                n_in_row = 0
                self.idle = loop.create_future()
                await self.idle
                self.idle = None
                continue
            answer = letter.answer
            if answer is not None and answer.done():
                continue
            self._letter = letter
            message = letter.message
            try:
                result = await receive(message)
                if type(result) is Deferred:
                    self._defer(result, letter)
                elif answer is not None and not answer.done():
                    if not isinstance(result, reply_class(type(message))):
                        raise TypeError(f"{cell.name} answered {type(message).__name__} with {type(result).__name__}")
                    answer.set_result(result)
            except MeshError as error:
                # A MeshError is an answer: what the asker should know. Without an asker it is a fault.
                if answer is None:
                    raise
                if not answer.done():
                    answer.set_exception(_portable(error, cell.name))
            self._letter = None
            cell.n_handled += 1
            n_in_row += 1
            if n_in_row >= BATCH:
                n_in_row = 0
                await asyncio.sleep(0)

    def _defer(self, deferred: Deferred[Any], letter: Letter) -> None:
        key = deferred.key
        running = self._once.get(key) if key is not None else None
        if running is not None:
            self._deferred[running].append(letter)
            return
        task = self._loop.create_task(_as_coroutine(deferred), name=f"{self._cell.name}: deferred")
        self._deferred[task] = [letter]
        if key is not None:
            self._once[key] = task

        def done(task: asyncio.Task[Any]) -> None:
            if key is not None:
                self._once.pop(key, None)
            self._deferred_done(task)

        task.add_done_callback(done)

    def _deferred_done(self, task: asyncio.Task[Any]) -> None:
        letters = self._deferred.pop(task, [])
        if task.cancelled():
            return
        error = task.exception()
        asked = False
        for letter in letters:
            answer = letter.answer
            if answer is None:
                continue
            asked = True
            if answer.done():
                continue
            if error is not None:
                answer.set_exception(_portable(error, self._cell.name))
            elif isinstance(task.result(), reply_class(type(letter.message))):
                answer.set_result(task.result())
            else:
                wrong = TypeError(
                    f"{self._cell.name} answered {type(letter.message).__name__} with {type(task.result()).__name__}"
                )
                answer.set_exception(_portable(wrong, self._cell.name))
        if error is not None and not (asked and isinstance(error, MeshError)):
            self._fail_with(error)

    def _child_done(self, task: asyncio.Task[None]) -> None:
        self._children.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail_with(error)

    def _fail_with(self, error: BaseException) -> None:
        if self._fault is None and (self._task is None or not self._task.done()):
            # Without a task the actor is still starting, and ``start`` looks at the fault.
            self._fault = error
            if self._task is not None:
                self._task.cancel()

    def _failed(self, error: BaseException) -> Exit:
        self._cell.last_error = f"{type(error).__name__}: {error}"
        letter = self._letter
        if letter is not None and letter.answer is not None and not letter.answer.done():
            letter.answer.set_exception(_portable(error, self._cell.name))
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
        for task in (*self._deferred, *self._children):
            task.cancel()
        self._deferred.clear()


async def _as_coroutine(deferred: Deferred[Any]) -> Any:
    return await deferred.work()


def _portable(error: BaseException, where: str) -> MeshError:
    """The same exception on the asker's side, whether the asker is in this process or in another."""
    return exception_of(failure_of(error, where=where))
