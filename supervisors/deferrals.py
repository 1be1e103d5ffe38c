"""The deferred work of one life of an actor, and who waits for which of it."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Hashable
from typing import Any

from ..config.bounded_text import told
from ..config.errors import MeshError
from ..config.tracing import TRACE
from ..transport.errors import BadMessage, MailboxFull, PeerGone
from ..transport.failures import exception_of, failure_of
from ..transport.messages import INNER, Message
from .actor import Deferred
from .cell import Cell
from .letters import Answer, Letter, TracedLetter, portable, too_busy, too_many_of_one, wrong_answer
from .mailbox import KEPT_FOR_MESH, MailboxLimits
from .shares import SHARES, Shares
from .traces import LONGEST_OUTCOME

KEPT_FOR_WORK = 10
"""One in so many of the deferred is no mere wait: however many people look on, what they look at can be asked for."""


class Deferrals:
    """Runs what ``receive`` put off, as much as the actor's limits allow, and answers whoever waits when it ends."""

    def __init__(self, cell: Cell, limits: MailboxLimits, fault: Callable[[BaseException], None]) -> None:
        """Run nothing yet; ``fault`` hears of work that failed and that nobody waits for."""
        self._cell = cell
        self._fault = fault
        self._running: dict[asyncio.Task[Any], list[Letter]] = {}
        self._once: dict[Hashable, asyncio.Task[Any]] = {}
        self._waits: dict[asyncio.Task[Any], Answer] = {}
        self._max_letters, self._max_bytes = limits.max_deferred, limits.max_bytes
        self._max_waits = limits.max_deferred - limits.max_deferred // KEPT_FOR_WORK
        # As of a mailbox, a part is the mesh's own: four keys that ask for much at once must not have all of it.
        self._max_outside = limits.max_deferred - limits.max_deferred // KEPT_FOR_MESH
        self._n_letters = self._n_bytes = self._n_outside = 0
        self._shares = Shares()
        self._max_share = limits.max_deferred // SHARES or 1, limits.max_bytes // SHARES

    def __len__(self) -> int:
        return len(self._running)

    def letters(self) -> list[Letter]:
        """The letters whose answer is being worked on."""
        return [letter for group in self._running.values() for letter in group]

    def begin(self, deferred: Deferred[Any], letter: Letter) -> None:
        """Run the work that a letter led to, or wait for the same that is running already; or refuse it."""
        key = deferred.key
        running = self._once.get(key) if key is not None else None
        full = self._full_for(deferred, letter)
        if full is not None and self._refuse(letter, full):
            if running is None:
                deferred.drop()
            return
        self._n_letters += 1
        self._n_bytes += letter.n_bytes
        if letter.principal is not INNER:
            self._n_outside += 1
            self._shares.add(letter.principal.name, letter.n_bytes)
        if running is not None:
            self._running[running].append(letter)
            return
        # The coroutine itself becomes the task: one that is cancelled before its first step is closed all the same.
        context = contextvars.copy_context()
        if isinstance(letter, TracedLetter) and letter.hop is not None:
            context.run(TRACE.set, letter.hop.trace)
        began_s = time.perf_counter()
        task = self._cell.loop.create_task(deferred.work(), name=f"{self._cell.name}: deferred", context=context)
        self._running[task] = [letter]
        if key is not None:
            self._once[key] = task
        elif deferred.only_waits and letter.answer is not None:
            self._waits[task] = letter.answer

        def done(task: asyncio.Task[Any]) -> None:
            if key is not None and self._once.get(key) is task:
                del self._once[key]
            self._waits.pop(task, None)
            self._cell.took(time.perf_counter() - began_s)
            self._done(task, self._running.pop(task, []))

        task.add_done_callback(done)

    def let_go(self) -> None:
        """Cancel what only waits, and whose asker is gone or has no time left."""
        for task in [task for task, answer in self._waits.items() if answer.done()]:
            del self._waits[task]
            task.cancel()

    def cancel(self) -> tuple[asyncio.Task[Any], ...]:
        """Stop all of it, and return what has yet to end; who waits has been told."""
        tasks = tuple(self._running)
        for task in tasks:
            task.cancel()
        for letter in self.letters():
            if isinstance(letter, TracedLetter) and letter.hop is not None:
                letter.hop.end("the actor ended before it answered")
        self._running.clear()
        return tasks

    def _full_for(self, deferred: Deferred[Any], letter: Letter) -> MailboxFull | None:
        """Why there is no room for a letter's work; None where there is."""
        # As in a mailbox, one message alone always fits.
        has_room = self._n_bytes + letter.n_bytes <= self._max_bytes or not self._n_letters
        if deferred.only_waits and len(self._waits) >= self._max_waits:
            has_room = False
        if letter.principal is not INNER and self._n_outside >= self._max_outside:
            has_room = False
        if self._n_letters >= self._max_letters or not has_room:
            return too_busy(self._cell.name, self._n_letters, self._n_bytes)
        name, (max_messages, max_bytes) = letter.principal.name, self._max_share
        if self._shares.has_room(name, letter.n_bytes, max_messages=max_messages, max_bytes=max_bytes):
            return None
        return too_many_of_one(self._cell.name, name)

    def _refuse(self, letter: Letter, error: MailboxFull) -> bool:
        """Say so to who wants it; False when there is nobody: it is this process's own business, and is done."""
        if letter.answer is not None:
            if not letter.answer.done():
                letter.answer.set_exception(error)
        elif letter.caller is not None:
            letter.caller.refuse(error, self._cell.name)
        else:
            return False
        if isinstance(letter, TracedLetter) and letter.hop is not None:
            letter.hop.end(f"{type(error).__name__}: {error}")
        self._cell.box.n_refused += 1
        return True

    def _done(self, task: asyncio.Task[Any], letters: list[Letter]) -> None:
        cell = self._cell
        self._n_letters -= len(letters)
        self._n_bytes -= sum(letter.n_bytes for letter in letters)
        for letter in letters:
            self._n_outside -= letter.principal is not INNER
            self._shares.remove(letter.principal.name, letter.n_bytes)
        error = PeerGone("the work was cancelled") if task.cancelled() else task.exception()
        outcome = "answered" if error is None else told(error, LONGEST_OUTCOME)
        for letter in letters:
            if isinstance(letter, TracedLetter) and letter.hop is not None:
                letter.hop.end(outcome)
        asked = [letter for letter in letters if letter.answer is not None]
        # Put together once: thousands may wait for the same.
        failure = failure_of(error, where=cell.name) if error is not None and asked else None
        last = error
        for letter in asked:
            answer = letter.answer
            assert answer is not None
            if failure is not None:
                if not answer.done():
                    answer.set_exception(exception_of(failure))
                continue
            # One answer may be too large for who asked over a link, and none for the others.
            wrong = self._settled(answer, task.result(), letter.message)
            if wrong is not None and not answer.done():
                answer.set_exception(portable(wrong, cell.name))
            last = last or wrong
        error = last
        if error is None or task.cancelled():
            return
        if not asked:
            self._fault(error)
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
