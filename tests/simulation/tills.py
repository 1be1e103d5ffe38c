"""Payments to actors that journal them: node, cells, lives, mailboxes, supervisors, links and journal under faults."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from crowd import Crowd, heard, mesh_was_refused
from memory_wire import Faults, MemoryDialer, no_mail
from observed_lives import ObservedLives
from packer import Pack, Packer, Upset
from simulated_hub import SETTLES_S, Hub, comes_to_rest
from virtual_world import Violation, World

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import (
    Actor,
    Backoff,
    MailboxLimits,
    OnExhausted,
    RestartIntensity,
    Strategy,
    Supervisor,
)
from hcs_mesh.supervisors.journal import Journal, JournalPoisoned
from hcs_mesh.transport import AskTimedOut, Event, Link, MailboxFull, PeerGone, Request, Role, TransportError

FAULTS_S = 4.0
QUICK = Backoff(first_s=0.02, max_s=0.5)
SEGMENT_BYTES = 2048


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    number: int


class Pay(Request[Receipt], frozen=True, kw_only=True, tag="till.pay"):
    audience: ClassVar[Role | None] = "user"
    key: str


class Note(Event, frozen=True, kw_only=True, tag="till.note"):
    number: int


class Compact(Event, frozen=True, kw_only=True, tag="till.compact"):
    pass


class Nod(Event, frozen=True, kw_only=True, tag="till.nod"):
    audience: ClassVar[Role | None] = "user"


class Paid(msgspec.Struct, frozen=True, kw_only=True, tag="paid"):
    key: str
    number: int
    padding: bytes = b""


class Till(Actor[Pay | Note | Compact | Nod | Upset]):
    """Takes each payment once, whatever is lost, doubled or killed."""

    mailbox = MailboxLimits(max_messages=64)

    def __init__(self, shop: Shop, name: str) -> None:
        self._shop = shop
        self._name = name
        self._book: dict[str, int] = {}
        self._n = 0
        self._journal: Journal[Paid] | None = None

    async def started(self) -> None:
        self._journal = journal = await Journal[Paid].open(
            Path("/journals", self._name), record_type=Paid, segment_bytes=SEGMENT_BYTES, disk=self._shop.hub.disk
        )
        for record in journal.replay():
            self._take_in(record)

    async def ended(self) -> None:
        if self._journal is not None:
            await self._journal.close()

    async def receive(self, message: Pay | Note | Compact | Nod | Upset) -> Any:
        match message:
            case Pay(key=key):
                return self.defer_once(key, self._pay)
            case Note(number=number):
                self._shop.heard[self._name].append(number)
            case Compact():
                self.context.spawn(self._compact())
            case Upset():
                raise RuntimeError("upset")
        return None

    async def _pay(self, key: str) -> Receipt:
        chance = self._shop.world.random
        if chance.random() < self._shop.slow:
            await asyncio.sleep(chance.random() * 1.5)
        if key not in self._book:
            assert self._journal is not None
            self._n += 1
            record = Paid(key=key, number=self._n, padding=bytes(chance.randrange(300)))
            try:
                await self._journal.append(record)
            except JournalPoisoned as error:
                self.context.spawn(_fail(error))
                raise
            self._take_in(record)
        return Receipt(key=key, number=self._book[key])

    async def _compact(self) -> None:
        assert self._journal is not None
        records = [Paid(key=key, number=number) for key, number in self._book.items()]
        try:
            await self._journal.checkpoint(records)
        except JournalPoisoned:
            raise
        except MeshError:
            return

    def _take_in(self, record: Paid) -> None:
        if record.key in self._book:
            raise Violation(f"{record.key} was paid twice: {self._book[record.key]} and {record.number}")
        self._book[record.key] = record.number
        self._n = max(self._n, record.number)


async def _fail(error: Exception) -> None:
    raise error


class Flaky(Actor[Upset]):
    """Fails when told to."""

    async def receive(self, message: Upset) -> None:
        raise RuntimeError("upset")


class Shop:
    """One schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calm = False
        self.n_calm = 0
        self.slow = world.random.choice((0.0, 0.2))
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.told: defaultdict[str, list[int]] = defaultdict(list)
        self.acknowledged: dict[str, tuple[str, int]] = {}
        self.tills = ("till.a", "till.b")
        self.actors = (*self.tills, "packer")
        self.stubborn = world.random.choice((0.0, 0.0, 0.0, 0.1))
        self.strategy = world.random.choice(list(Strategy))
        self.hub = Hub(world, self._tree)
        self.crowd = Crowd(world, self.hub)
        self.dialers: list[MemoryDialer] = []
        self.faults = [
            Faults(lost=world.random.choice((0, 0, 0.1)), doubled=world.random.choice((0, 0, 0.2)), slowest_s=0.03)
            for _ in range(2)
        ]
        self.clients = [self._client(number) for number in range(2)]

    def _tree(self, hub: Hub) -> Supervisor:
        self.heard.clear()
        self.told.clear()
        self.lives = lives = ObservedLives(self.world, "packer")
        watch = hub.supervision.watch
        tills = watch(
            Supervisor(
                "tills",
                [
                    hub.node.actor(name, self._maker(name), kind=Till, backoff=QUICK, shutdown_s=1.0)
                    for name in self.tills
                ]
                + [
                    hub.node.actor(
                        "packer",
                        lambda: Packer(self.world, lives, stubborn=self.stubborn),
                        kind=Packer,
                        backoff=QUICK,
                        shutdown_s=1.0,
                    )
                ],
                strategy=self.strategy,
                intensity=RestartIntensity(max_restarts=3, window_s=3.0),
            )
        )
        extras = watch(
            Supervisor(
                "extras",
                [hub.node.actor("flaky", Flaky, backoff=QUICK)],
                intensity=RestartIntensity(max_restarts=2, window_s=2.0),
                on_exhausted=OnExhausted.QUARANTINE,
            )
        )
        return watch(Supervisor("top", [tills, extras], surroundings=hub.surroundings()))

    def _maker(self, name: str) -> Callable[[], Till]:
        return lambda: Till(self, name)

    def _client(self, number: int) -> asyncio.Task[None]:
        process = self.world.process(f"client{number}")

        async def live() -> None:
            dialer = MemoryDialer(
                self.world, process, f"client{number}", lambda: self.hub.front, no_mail, self.faults[number]
            )
            self.dialers.append(dialer)
            try:
                for n in range(6):
                    await self._pay(dialer, f"{number}-{n}")
                    await asyncio.sleep(self.world.random.random() * 0.4)
            finally:
                dialer.close()

        return process.run(live())

    async def _pay(self, dialer: MemoryDialer, key: str) -> None:
        chance = self.world.random
        till = chance.choice(self.tills)
        again = chance.random() < 0.4
        while True:
            timeout_s = chance.choice((0.3, 1.0, 3.0))
            asked_at = self.world.now
            try:
                receipt = await asyncio.wait_for(
                    dialer.link.ask(till, Pay(key=key), timeout_s=timeout_s), timeout_s + 1.0
                )
            except MeshError as error:
                self.world.note(f"{key} fails: {type(error).__name__}")
                if isinstance(error, AskTimedOut) and asked_at < dialer.broken_at < asked_at + timeout_s - 0.1:
                    raise Violation(
                        f"{key} was asked over a connection that broke, and hears of it too late"
                    ) from error
                await asyncio.sleep(chance.random() * 0.3)
                continue
            except TimeoutError as error:
                raise Violation(f"an ask of {timeout_s} s had no answer after {timeout_s + 1.0} s") from error
            self.world.note(f"{key} is paid: {receipt.number}")
            if receipt.key != key:
                raise Violation(f"the answer to {receipt.key} was given to who asked for {key}")
            if self.acknowledged.setdefault(key, (till, receipt.number)) != (till, receipt.number):
                raise Violation(f"{key} was acknowledged as {self.acknowledged[key]} and as {receipt.number}")
            if not again:
                return
            again = False

    # -- the schedule -----------------------------------------------------------------------------

    def play(self) -> None:
        world = self.world
        for _ in range(world.random.randrange(1, 7)):
            world.later(world.random.random() * FAULTS_S, world.random.choice(self._troubles()))
        for _ in range(8):
            world.later(world.random.random() * FAULTS_S, self._tell_a_note)
        for _ in range(2):
            world.later(world.random.random() * FAULTS_S, self._compact)
        for _ in range(6):
            world.later(world.random.random() * FAULTS_S, self._ask_the_packer)
        world.later(FAULTS_S, self._heal)
        world.run_until(lambda: self.calm and all(client.done() for client in self.clients), 90.0)
        world.run_until(lambda: world.now >= self.hub.settled_at, SETTLES_S)
        for client in self.clients:
            if not client.done():
                raise Violation("a payment is never taken, although the faults are over")
            client.result()
        # What still upsets a till is heard first, and each time its companions are given the time to end.
        world.run_until(self._everybody_is_up, 5 * SETTLES_S)
        self._all_is_well()
        self.hub.stop()
        comes_to_rest(world, world.processes)
        self._nothing_is_lost()

    def _troubles(self) -> tuple[Callable[[], None], ...]:
        return (
            self._upset,
            self._upset,
            self._upset_flaky,
            self._kill_life,
            self._flood,
            lambda: self.hub.restart(*self.actors, "flaky", "tills", "extras"),
            self._freeze,
            self._break,
            lambda: self.hub.crash(power=True),
            lambda: self.hub.crash(power=False),
            self._fill_disk,
            self._fail_sync,
            self._crash_in_call,
            self._jump,
        )

    def _tell(self, name: str, event: Event) -> bool:
        if not self.hub.up or self.hub.process.frozen_until > self.world.now:
            return False
        try:
            asyncio._set_running_loop(self.hub.process)
            self.hub.node.find(name).tell(event)
        except MailboxFull:
            mesh_was_refused(self.hub.node.cells[name])
            return False
        except TransportError:
            return False
        finally:
            asyncio._set_running_loop(self.world.outside)
        return True

    def _tell_a_note(self) -> None:
        name = self.world.random.choice(self.tills)
        for _ in range(self.world.random.randrange(1, 4)):
            number = len(self.told[name])
            if self._tell(name, Note(number=number)):
                self.told[name].append(number)

    def _ask_the_packer(self) -> None:
        if not self.hub.up or self.hub.process.frozen_until > self.world.now:
            return
        number = len(self.lives.asked)
        try:
            asyncio._set_running_loop(self.hub.process)
            answer = self.hub.node.find("packer").ask(
                Pack(number=number), timeout_s=self.world.random.choice((0.5, 9.0))
            )
        finally:
            asyncio._set_running_loop(self.world.outside)
        self.lives.asked[number] = answer
        answer.add_done_callback(self._packer_answers)

    def _packer_answers(self, answer: asyncio.Future[int]) -> None:
        refused = answer.exception()
        # Of what it may defer nothing is kept for the mesh, and four keys may have all of it.
        if isinstance(refused, MailboxFull) and "has deferred" not in str(refused):
            mesh_was_refused(self.hub.node.cells["packer"])

    def _flood(self) -> None:
        name = self.world.random.choice(self.actors)

        def say(link: Link, wave: int) -> None:
            for _ in range(60 if name in self.tills else 20):
                if name in self.tills:
                    link.tell(name, Nod())
                else:
                    heard(link.ask(name, Pack(), timeout_s=2.0))

        self.crowd.flood(name, say)
        for n in range(3):
            self.world.later(n * 0.2, self._ask_the_packer if name == "packer" else self._tell_a_note)

    def _compact(self) -> None:
        self._tell(self.world.random.choice(self.tills), Compact())

    def _upset(self) -> None:
        name = self.world.random.choice(self.actors)
        for _ in range(self.world.random.choice((1, 1, 5))):
            self._tell(name, Upset())
            self._tell_a_note()

    def _upset_flaky(self) -> None:
        # More often than is granted, or as often as is granted and for longer than the window.
        every_s = self.world.random.choice((0.3, 1.1))
        for n in range(6 if every_s < 1.0 else 4):
            self.world.later(n * every_s, lambda: self._tell("flaky", Upset()) and None)

    def _kill_life(self) -> None:
        cell = self.hub.node.cells.get(self.world.random.choice(self.actors)) if self.hub.up else None
        if cell is not None and cell.life is not None:
            self.hub.process.run(cell.life.kill())  # type: ignore[attr-defined]

    def _freeze(self) -> None:
        live = [one for one in self.world.processes[1:] if not one.dead]
        self.world.random.choice(live).freeze(self.world.random.random() * 2.0)

    def _break(self) -> None:
        if self.dialers:
            self.world.random.choice(self.dialers).break_off()

    def _fill_disk(self) -> None:
        self.hub.disk.full = True
        self.world.later(self.world.random.random(), self._empty_disk)

    def _empty_disk(self) -> None:
        self.hub.disk.full = False

    def _fail_sync(self) -> None:
        self.hub.disk.failing_syncs = 1

    def _crash_in_call(self) -> None:
        self.hub.disk.crash_at = self.hub.disk.n_calls + self.world.random.randrange(1, 12)

    def _jump(self) -> None:
        self.world.unix_ahead_s += self.world.random.uniform(-1e5, 1e5)

    def _heal(self) -> None:
        self.calm = True
        self.slow = 0.0
        self.crowd.leave()
        self._empty_disk()
        self.hub.disk.failing_syncs = 0
        self.hub.disk.crash_at = None
        for faults in self.faults:
            faults.heal()

    # -- what must hold ---------------------------------------------------------------------------

    def _everybody_is_up(self) -> bool:
        cells = self.hub.node.cells
        up = self.hub.up and all(
            name in cells and cells[name].life is not None and not cells[name].box for name in self.actors
        )
        return up and not self.crowd.keeps_waiting

    def _all_is_well(self) -> None:
        """Everybody answers at once, now that nothing is wrong."""

        async def ask() -> None:
            chance = self.world.random
            for name in self.tills:
                for _ in range(3):
                    asking = []
                    for _ in range(3):
                        self.n_calm += 1
                        asking.append(asyncio.ensure_future(self._paid_at_once(name, f"calm-{self.n_calm}")))
                        # In the very moment when the actor is done with the one before, or shortly after.
                        for _ in range(chance.randrange(4)):
                            await asyncio.sleep(0)
                    await asyncio.gather(*asking)

        self.hub.run_whole(ask)

    async def _paid_at_once(self, name: str, key: str) -> None:
        while True:
            try:
                receipt = await self.hub.node.find(name).ask(Pay(key=key), timeout_s=4.0)
            except AskTimedOut as error:
                raise Violation(f"{name} does not wake up: {error}") from error
            except PeerGone:
                continue  # it was killed before the faults were over, and dies only now
            self.acknowledged[key] = (name, receipt.number)
            return

    def _nothing_is_lost(self) -> None:
        for name in self.tills:
            if self.heard[name] != self.told[name]:
                raise Violation(f"{name} was told {self.told[name]} and heard {self.heard[name]}")
        disk = self.hub.disk
        process = self.world.process("auditor")
        self.hub.process.kill()
        disk.lose_power()
        disk.belongs_to(process)

        async def read() -> dict[str, dict[str, int]]:
            found: dict[str, dict[str, int]] = {}
            for name in self.tills:
                journal = await Journal[Paid].open(
                    Path("/journals", name), record_type=Paid, segment_bytes=SEGMENT_BYTES, disk=disk
                )
                async with journal:
                    records = list(journal.replay())
                found[name] = {record.key: record.number for record in records}
                if len(found[name]) != len(records):
                    raise Violation(f"{name}'s journal holds a payment twice")
            return found

        reading = process.run(read())
        self.world.run_dry(10.0)
        books = reading.result()
        for key, (name, number) in self.acknowledged.items():
            if books[name].get(key) != number:
                raise Violation(
                    f"{key} was acknowledged as number {number} of {name}, which holds {books[name].get(key)}"
                )


def play(world: World) -> None:
    """Run one schedule.

    Raises:
        Violation: something that must hold does not.
    """
    Shop(world).play()
