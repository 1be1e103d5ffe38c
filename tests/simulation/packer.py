"""An actor that works beside its messages, in every way there is, and needs a while to lay down what it was at."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from observed_lives import ObservedLives
from virtual_world import World

from hcs_mesh.supervisors import Actor, MailboxLimits
from hcs_mesh.supervisors.errands import WIND_UP_S
from hcs_mesh.supervisors.life import ENDED_S
from hcs_mesh.supervisors.shift import KILL_S
from hcs_mesh.transport import Event, Request, Role

BY_ITSELF = -1
"""The number of work that nobody has asked for."""


class Pack(Request[int], frozen=True, kw_only=True, tag="packer.pack"):
    audience: ClassVar[Role | None] = "user"
    number: int = BY_ITSELF


class Remind(Event, frozen=True, kw_only=True, tag="packer.remind"):
    life: int
    due_at: float


class Upset(Event, frozen=True, kw_only=True, tag="packer.upset"):
    pass


class Packer(Actor[Pack | Remind | Upset]):
    """Never has two lives at work, nor anybody waiting for what is over."""

    mailbox = MailboxLimits(max_messages=24, max_deferred=24)

    def __init__(self, world: World, lives: ObservedLives, *, stubborn: float) -> None:
        """Have ``stubborn`` be the share of work, and of ends, that do not keep to the time there is for them."""
        self._chance = world.random.random
        self._lives = lives
        self._stubborn = stubborn

    async def started(self) -> None:
        self._life = self._lives.begin()
        self.context.spawn(self._pack_on())
        self._remind()
        if self._chance() < 0.05:
            # It fails when the start is done, and the mailbox has yet to be looked at.
            self.context.spawn(self._fail())
            await asyncio.sleep(0)

    async def _fail(self) -> None:
        raise RuntimeError("upset from the beginning")

    async def ended(self) -> None:
        self._life.ended()
        with self._life.at_work("its end"):
            if self._chance() < self._stubborn:
                # Until somebody cancels it.
                await asyncio.sleep(2 * KILL_S)
                return
            try:
                await asyncio.sleep(0.6 * ENDED_S if self._chance() > 0.6 else 0.2 * self._chance())
            except asyncio.CancelledError:
                self._life.cut_short()

    async def receive(self, message: Pack | Remind | Upset) -> Any:
        match message:
            case Upset():
                raise RuntimeError("upset")
            case Remind(life=life, due_at=due_at):
                self._lives.reminded(self._life.number, life, due_at)
                self._remind()
                return None
            case Pack(number=number):
                self._life.takes_up(number)
        way = self._chance()
        if way < 0.3:
            return self.defer(self._pack("deferred work", number))
        if way < 0.6:
            return self.defer_wait(self._pack("a wait", number))
        if way < 0.9:
            return self.defer_once(int(way * 10), lambda _: self._pack("work for several", number))
        return number

    async def _pack_on(self) -> None:
        while True:
            await self._pack("a spawned task", BY_ITSELF)

    async def _pack(self, what: str, number: int) -> int:
        if self._chance() < self._stubborn:
            return await self._stay(number)
        with self._life.at_work(what):
            try:
                await asyncio.sleep(self._chance())
            except asyncio.CancelledError:
                self._life.cancelled(number)
                await self._lay_down()
                raise
        return number

    async def _lay_down(self) -> None:
        fate = self._chance()
        if fate < 0.2:
            # Nobody is there any more who would end it.
            self.context.spawn(self._pack_on())
            self._remind()
        # Now and then longer than its supervisor waits before it kills.
        await asyncio.sleep(0.6 * WIND_UP_S if fate > 0.85 else 0.2 * fate)

    async def _stay(self, number: int) -> int:
        try:
            await asyncio.sleep(self._chance())
        except asyncio.CancelledError:
            await asyncio.sleep(2 * KILL_S)
            raise
        return number

    def _remind(self) -> None:
        delay_s = self._chance() * 2.0
        self.context.after(delay_s, Remind(life=self._life.number, due_at=self.context.now() + delay_s))
