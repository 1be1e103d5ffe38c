"""Asks and tells, the same in one process, in wire mode, and over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import Actor, Deferred, MailboxLimits, Node, Supervisor, WhenFull
from hcs_mesh.transport import (
    ActorUnknown,
    AskFailed,
    AskTimedOut,
    BadMessage,
    Event,
    MailboxFull,
    PeerGone,
    Ping,
    Ref,
    Request,
    ipc_endpoint,
)

pytestmark = pytest.mark.anyio


class Double(Request[int], frozen=True, kw_only=True, tag="talk.double"):
    number: int


class Wrong(Request[int], frozen=True, kw_only=True, tag="talk.wrong"):
    """Is answered with text."""


class Unsayable(Request[Any], frozen=True, kw_only=True, tag="talk.unsayable"):
    """Is answered with what cannot travel."""


class Refuse(Request[int], frozen=True, kw_only=True, tag="talk.refuse"):
    """Is answered with a MeshError."""


class Break(Request[int], frozen=True, kw_only=True, tag="talk.break"):
    """Meets a fault."""


class Hold(Request[str], frozen=True, kw_only=True, tag="talk.hold"):
    """Is answered when the gate opens; asks under one key share the work."""

    key: str = ""


class Stall(Event, frozen=True, kw_only=True, tag="talk.stall"):
    """Keeps the actor until the gate opens."""


class Noted(Event, frozen=True, kw_only=True, tag="talk.noted"):
    text: str


class ListNotes(Request[tuple[str, ...]], frozen=True, kw_only=True, tag="talk.notes"):
    """What was noted."""


class Unknown(Request[int], frozen=True, kw_only=True, tag="talk.unknown"):
    """Is in nobody's inbox."""


class UnknownEvent(Event, frozen=True, kw_only=True, tag="talk.unknown_event"):
    """Is in nobody's inbox."""


class Forgery(Request[int], frozen=True, kw_only=True, tag="talk.double"):
    """Has the tag of another, and a field of another type."""

    number: str


Inbox = Double | Wrong | Unsayable | Refuse | Break | Hold | Stall | Noted | ListNotes


class Refused(MeshError, ValueError):
    """Said no."""


class Talker(Actor[Inbox]):
    """Does each thing that an actor can do."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.stalled = asyncio.Event()
        self.notes: list[str] = []
        self.n_held = 0
        self.n_doubled = 0

    async def receive(self, message: Inbox) -> Any:
        match message:
            case Double(number=number):
                self.n_doubled += 1
                return 2 * number
            case Wrong():
                return "text"
            case Unsayable():
                return object()
            case Refuse():
                raise Refused("no", hint="ask another")
            case Break():
                raise ZeroDivisionError("a planted fault")
            case Hold(key=key):
                return self.defer_once(key, self._hold) if key else self.defer(self._hold(key))
            case Stall():
                self.stalled.set()
                await self.gate.wait()
            case Noted(text=text):
                self.notes.append(text)
            case ListNotes():
                return tuple(self.notes)
        return None

    async def _hold(self, key: str) -> str:
        self.n_held += 1
        await self.gate.wait()
        return "held"


class Narrow(Talker, Actor[Inbox]):
    """Has room for two."""

    mailbox = MailboxLimits(max_messages=2)


class Patient(Talker, Actor[Inbox]):
    """Has room for two, and senders wait."""

    mailbox = MailboxLimits(max_messages=2, when_full=WhenFull.WAIT)


class Scene:
    """One actor, and a reference to it from near or far."""

    def __init__(self, home: Node, ref: Ref, actors: list[Talker], how: str) -> None:
        self.home = home
        self.ref = ref
        self.actors = actors
        self.how = how

    @property
    def actor(self) -> Talker:
        return self.actors[-1]

    async def stall(self) -> None:
        """Keep the actor at one message until its gate opens."""
        self.ref.tell(Stall())
        await self.actor.stalled.wait()

    async def ask_later(self, request: Request[Any], **options: Any) -> asyncio.Future[Any]:
        """Ask, and return once the request has arrived."""
        future = asyncio.ensure_future(self.ref.ask(request, **options))
        if self.how == "sockets":
            await self.arrived(1)
        else:
            await asyncio.sleep(0)
        return future

    async def expired(self) -> None:
        """Wait until the time of one message is over at home as well, where it begins when it arrives."""
        cell = self.home.cells["talker"]
        await eventually(lambda: cell.n_expired, what="the end of its time")

    async def arrived(self, n: int) -> None:
        """Wait until the home node has heard as much more."""
        assert self.home.inner is not None
        link = next(iter(self.home.inner.links.values()))
        goal = link.n_in + n
        await eventually(lambda: link.n_in >= goal, what="the request's arrival")


@asynccontextmanager
async def scene(how: str, folder: Path, kind: type[Talker] = Talker) -> AsyncIterator[Scene]:
    home = Node("home", wire=how == "wire")
    away = Node("away") if how == "sockets" else home
    if away is not home:
        endpoint = ipc_endpoint(folder, "s")
        home.listen_inner(endpoint)
        away.dial_parent(endpoint)
        await eventually(lambda: home.inner.links, what="the other node's hello")  # type: ignore[union-attr]
    actors: list[Talker] = []

    def make() -> Talker:
        actors.append(kind())
        return actors[-1]

    root = Supervisor("root", [home.actor("talker", make, kind=kind)])
    await root.start()
    try:
        yield Scene(home, away.find("talker"), actors, how)
    finally:
        for actor in actors:
            actor.gate.set()
        await root.stop()
        await root.wait()
        if away is not home:
            await away.close()
        await home.close()


@pytest.fixture(params=["local", "wire", "sockets"])
def how(request: pytest.FixtureRequest) -> str:
    """Each way that a message can take."""
    return str(request.param)


async def test_an_ask_is_answered(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        assert await talk.ref.ask(Double(number=21)) == 42
        assert await asyncio.gather(*(talk.ref.ask(Double(number=n)) for n in range(300))) == [
            2 * n for n in range(300)
        ]


async def test_what_is_told_arrives_in_order(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        for number in range(500):
            talk.ref.tell(Noted(text=str(number)))
        assert await talk.ref.ask(ListNotes()) == tuple(str(number) for number in range(500))


async def test_an_answer_of_the_wrong_type_is_a_fault_that_the_asker_learns_of(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        with pytest.raises(AskFailed, match="answered Wrong with str"):
            await talk.ref.ask(Wrong())
        assert await talk.ref.ask(Double(number=1)) == 2


async def test_an_answer_that_cannot_travel_is_told_to_the_asker(tmp_path: Path) -> None:
    for way in ("wire", "sockets"):
        folder = tmp_path / way
        folder.mkdir()
        async with scene(way, folder) as talk:
            with pytest.raises(BadMessage, match="cannot travel"):
                await talk.ref.ask(Unsayable(), timeout_s=5.0)


async def test_a_mesh_error_is_an_answer_with_its_hint_and_blame(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        with pytest.raises(AskFailed, match=r"^no$") as caught:
            await talk.ref.ask(Refuse())
        failure = caught.value.failure
        assert (failure.kind, failure.hint, failure.blame) == ("Refused", "ask another", "caller")
        assert len(talk.actors) == 1


async def test_a_fault_fails_its_asker_with_the_traceback_and_keeps_the_mailbox(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        broken, behind = talk.ref.ask(Break()), talk.ref.ask(Double(number=4))
        with pytest.raises(AskFailed, match="a planted fault") as caught:
            await broken
        assert caught.value.failure.blame == "actor"
        assert "ZeroDivisionError" in caught.value.failure.traceback
        assert await behind == 8
        assert len(talk.actors) == 2


async def test_deferred_work_lets_other_messages_pass(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        held = await talk.ask_later(Hold())
        assert await talk.ref.ask(Double(number=1)) == 2
        assert not held.done()
        talk.actor.gate.set()
        assert await held == "held"


async def test_work_under_one_key_runs_once_for_all_its_askers(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        held = [talk.ref.ask(Hold(key="plate 7")) for _ in range(20)]
        await talk.ref.ask(Double(number=1))
        talk.actor.gate.set()
        assert await asyncio.gather(*held) == ["held"] * 20
        assert talk.actor.n_held == 1


async def test_an_expired_ask_is_not_worked_on(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        await talk.stall()
        with pytest.raises(AskTimedOut, match="Double to talker"):
            await talk.ref.ask(Double(number=1), timeout_s=0.05)
        await talk.expired()
        talk.actor.gate.set()
        assert await talk.ref.ask(Double(number=1)) == 2
        assert talk.actor.n_doubled == 1


async def test_a_late_answer_goes_to_nobody(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        with pytest.raises(AskTimedOut):
            await talk.ref.ask(Hold(), timeout_s=0.05)
        talk.actor.gate.set()
        assert await talk.ref.ask(Hold()) == "held"


async def test_an_asker_who_is_cancelled_is_not_worked_for_in_this_process(tmp_path: Path) -> None:
    async with scene("local", tmp_path) as talk:
        await talk.stall()
        asked = asyncio.ensure_future(talk.ref.ask(Double(number=1)))
        await asyncio.sleep(0)
        asked.cancel()
        talk.actor.gate.set()
        assert await talk.ref.ask(Double(number=2)) == 4
        assert talk.actor.n_doubled == 1


async def test_what_an_actor_does_not_take_is_refused_and_harms_nobody(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        with pytest.raises(BadMessage):
            await talk.ref.ask(Unknown())
        with pytest.raises(BadMessage):
            await talk.ref.ask(Forgery(number="one"))
        with pytest.raises(BadMessage):
            await talk.ref.send(UnknownEvent())
        assert await talk.ref.ask(Double(number=1)) == 2
        assert len(talk.actors) == 1


async def test_an_event_that_is_not_taken_is_told_to_its_sender_in_this_process(tmp_path: Path) -> None:
    async with scene("local", tmp_path) as talk:
        with pytest.raises(BadMessage):
            talk.ref.tell(UnknownEvent())


async def test_an_event_that_is_not_taken_is_counted_where_it_came_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene("sockets", tmp_path) as talk:
        parent_link = talk.ref._link_to("talker")  # type: ignore[attr-defined]
        for _ in range(100):
            talk.ref.tell(UnknownEvent())
            talk.ref.tell(Noted(text="beside it"))
        assert len(await talk.ref.ask(ListNotes())) == 100
        assert parent_link.n_refused == 7
        assert sum("Invalid value" in record.message for record in caplog.records) <= 2 * 7


async def test_a_name_that_nobody_has_is_refused_with_those_there_are(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        nobody = type(talk.ref)("nobody", {}, talk.ref._link_to, talk.home.unknown)  # type: ignore[attr-defined,call-arg]
        with pytest.raises(ActorUnknown, match="talker"):
            await nobody.ask(Double(number=1))


async def test_a_full_mailbox_refuses_and_says_when_to_come_again(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path, Narrow) as talk:
        await talk.stall()
        asked = [asyncio.ensure_future(talk.ref.ask(Double(number=n))) for n in range(8)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        talk.actor.gate.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, MailboxFull)]
        assert refused
        assert all(one.retry_after_s > 0 for one in refused)
        assert [answer for answer in answers if not isinstance(answer, MailboxFull)]


async def test_senders_wait_for_room_and_keep_their_order(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path, Patient) as talk:
        await talk.stall()
        first = [asyncio.ensure_future(talk.ref.send(Noted(text=str(n)))) for n in range(4)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        assert not all(one.done() for one in first)
        talk.actor.gate.set()
        await asyncio.gather(*first)
        for number in range(4, 50):
            await talk.ref.send(Noted(text=str(number)))
        assert await talk.ref.ask(ListNotes()) == tuple(str(n) for n in range(50))


async def test_a_mailbox_whose_senders_wait_is_bounded_all_the_same(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path, Patient) as talk:
        await talk.stall()
        sent = [asyncio.ensure_future(talk.ref.send(Noted(text=str(n)))) for n in range(100)]
        await asyncio.wait(sent, return_when=asyncio.FIRST_EXCEPTION)
        assert len(talk.home.cells["talker"].box) <= 4
        talk.actor.gate.set()
        done = await asyncio.gather(*sent, return_exceptions=True)
        n_taken = sum(one is None for one in done)
        assert all(one is None or isinstance(one, MailboxFull) for one in done)
        assert len(await talk.ref.ask(ListNotes())) == n_taken


async def test_who_tells_cannot_wait_and_is_refused(tmp_path: Path) -> None:
    async with scene("local", tmp_path, Patient) as talk:
        await talk.stall()
        for _ in range(2):
            talk.ref.tell(Noted(text="fits"))
        with pytest.raises(MailboxFull, match="2 messages"):
            talk.ref.tell(Noted(text="does not"))


async def test_an_event_whose_sender_gave_up_waiting_is_not_delivered(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path, Patient) as talk:
        await talk.stall()
        await talk.ref.send(Noted(text="1"))
        await talk.ref.send(Noted(text="2"))
        with pytest.raises(AskTimedOut):
            await talk.ref.send(Noted(text="too late"), timeout_s=0.2)
        await talk.expired()
        talk.actor.gate.set()
        await talk.ref.send(Noted(text="4"))
        assert "too late" not in await talk.ref.ask(ListNotes())


async def test_a_ping_gets_through_a_full_mailbox(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path, Narrow) as talk:
        await talk.stall()
        asked = [asyncio.ensure_future(talk.ref.ask(Double(number=n))) for n in range(50)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        ping = await talk.ask_later(Ping())
        talk.actor.gate.set()
        pulse = await ping
        assert pulse.waiting == 2
        assert pulse.refused == 48
        await asyncio.gather(*asked, return_exceptions=True)


async def test_an_actor_that_is_stuck_does_not_answer_pings(how: str, tmp_path: Path) -> None:
    async with scene(how, tmp_path) as talk:
        assert (await talk.ref.ask(Ping())).waiting == 0
        await talk.stall()
        with pytest.raises(AskTimedOut):
            await talk.ref.ask(Ping(), timeout_s=0.05)


class AskBack(Request[int], frozen=True, kw_only=True, tag="talk.ask_back"):
    depth: int


class Mirror(Actor[AskBack]):
    """Asks the other before it answers."""

    def __init__(self, other: str) -> None:
        self.other = other

    async def receive(self, message: AskBack) -> int | Deferred[int]:
        return self.defer(self._ask(message.depth)) if message.depth else 0

    async def _ask(self, depth: int) -> int:
        return 1 + await self.context.find(self.other).ask(AskBack(depth=depth - 1))


async def test_two_actors_that_ask_each_other_do_not_deadlock() -> None:
    node = Node("mirrors")
    lives = [await node.start_actor(a, lambda b=b: Mirror(b)) for a, b in (("left", "right"), ("right", "left"))]  # type: ignore[misc]
    async with asyncio.timeout(10):
        asked = [node.find("left").ask(AskBack(depth=50)), node.find("right").ask(AskBack(depth=50))]
        assert await asyncio.gather(*asked) == [50, 50]
    for life in lives:
        await life.stop()
    await node.close()


async def test_asks_that_wait_when_the_node_closes_fail_at_once(tmp_path: Path) -> None:
    node = Node("closing")
    life = await node.start_actor("talker", Talker)
    node.find("talker").tell(Stall())
    asked = node.find("talker").ask(Double(number=1))
    await asyncio.sleep(0)
    await node.close()
    with pytest.raises(PeerGone, match="the node is closing"):
        await asked
    await life.kill()
    await life.wait()
