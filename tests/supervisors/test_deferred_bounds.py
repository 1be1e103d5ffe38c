"""How much an actor has deferred at once, and what becomes of it when its askers are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import zmq
from waiting import eventually

from hcs_mesh.supervisors import Actor, Deferred, MailboxLimits, Node
from hcs_mesh.transport import (
    AskTimedOut,
    Dialer,
    Event,
    KeyRing,
    MailboxFull,
    PeerGone,
    PeerRef,
    Principal,
    Ref,
    Request,
    Role,
    ServerKey,
    ipc_endpoint,
    new_pair,
)

pytestmark = pytest.mark.anyio

LIMIT = 20
N_WAITS = 18
"""What is left of it to those that only wait."""
SHARE = 5
"""What is one key's at most."""


class Look(Request[str], frozen=True, kw_only=True, tag="bounds.look"):
    """Wait for the gate, and do nothing."""

    audience: ClassVar[Role | None] = "viewer"


class Make(Request[str], frozen=True, kw_only=True, tag="bounds.make"):
    """Have an effect once the gate opens; asks of one key share it."""

    audience: ClassVar[Role | None] = "viewer"
    key: str = ""
    n_bytes: int = 1

    @property
    def nominal_bytes(self) -> int:
        return self.n_bytes


class Begin(Event, frozen=True, kw_only=True, tag="bounds.begin"):
    """Have an effect once the gate opens, and tell nobody."""


class HowMany(Request[int], frozen=True, kw_only=True, tag="bounds.how_many"):
    """Is answered at once."""


class Workshop(Actor[Look | Make | Begin | HowMany]):
    """Defers whatever it is asked until its gate opens."""

    mailbox = MailboxLimits(max_deferred=LIMIT, max_bytes=1 << 20)

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.n_made = 0
        self.n_looking = 0
        self.n_looked = 0

    async def receive(self, message: Look | Make | Begin | HowMany) -> Deferred[str] | int:
        match message:
            case Look():
                return self.defer_wait(self._look())
            case Make(key=key):
                return self.defer_once(key, lambda _: self._make()) if key else self.defer(self._make())
            case Begin():
                return self.defer(self._make())
            case HowMany():
                return self.n_made

    async def _look(self) -> str:
        self.n_looking += 1
        self.n_looked += 1
        try:
            await self.gate.wait()
        finally:
            self.n_looking -= 1
        return "seen"

    async def _make(self) -> str:
        await self.gate.wait()
        self.n_made += 1
        return "made"


class Scene:
    """A workshop, and a reference to it from near or far."""

    def __init__(self, home: Node, away: Node) -> None:
        self.home = home
        self.away = away
        self.workshop = Workshop()
        self.ref: Ref = away.find("workshop")

    @property
    def n_deferred(self) -> int:
        return int(self.home.cells["workshop"].statistics()["deferred"])

    async def asked(self, *requests: Request[Any]) -> list[asyncio.Future[Any]]:
        """Ask all this, and return once it is worked on, or refused."""
        cell = self.home.cells["workshop"]
        goal = cell.n_handled + len(requests)
        asked = [asyncio.ensure_future(self.ref.ask(request, timeout_s=60.0)) for request in requests]
        await eventually(lambda: cell.n_handled >= goal, what="the arrival of what was asked")
        return asked


@asynccontextmanager
async def scene(folder: Path, how: str = "here") -> AsyncIterator[Scene]:
    home = Node("home")
    away = Node("away") if how == "sockets" else home
    if away is not home:
        endpoint = ipc_endpoint(folder, "s")
        home.listen_inner(endpoint)
        away.dial_parent(endpoint)
    there = Scene(home, away)
    life = await home.start_actor("workshop", lambda: there.workshop)
    try:
        yield there
    finally:
        there.workshop.gate.set()
        await life.stop()
        await life.wait()
        await home.close()
        if away is not home:
            await away.close()


@pytest.mark.parametrize("how", ["here", "sockets"])
async def test_what_is_deferred_beyond_the_limit_is_refused_and_taken_again_once_there_is_room(
    how: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, how) as there:
        asked = await there.asked(*(Make() for _ in range(LIMIT)))
        for request in (Make(), Make(key="shared"), Look()):
            with pytest.raises(MailboxFull, match=f"workshop has deferred {LIMIT} messages") as caught:
                await there.ref.ask(request)
            assert caught.value.retry_after_s > 0
        assert await there.ref.ask(HowMany()) == 0, "what is answered at once is not held up"
        assert there.home.cells["workshop"].statistics()["refused"] == 3
        there.workshop.gate.set()
        assert await asyncio.gather(*asked) == ["made"] * LIMIT
        assert await there.ref.ask(Make()) == "made"
        assert there.workshop.n_made == LIMIT + 1, "what was refused never began"


async def test_who_joins_what_is_at_work_already_counts_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        asked = await there.asked(*(Make(key="shared") for _ in range(LIMIT)))
        with pytest.raises(MailboxFull):
            await there.ref.ask(Make(key="shared"))
        there.workshop.gate.set()
        assert await asyncio.gather(*asked) == ["made"] * LIMIT
        assert there.workshop.n_made == 1


async def test_large_messages_that_are_deferred_count_by_their_bytes(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        (alone,) = await there.asked(Make(n_bytes=2 << 20))
        with pytest.raises(MailboxFull, match="2097152 bytes"):
            await there.ref.ask(Make(n_bytes=1))
        there.workshop.gate.set()
        assert await alone == "made", "one alone always fits"
        both = await there.asked(Make(n_bytes=1), Make(n_bytes=1))
        assert await asyncio.gather(*both) == ["made"] * 2, "and leaves its room to others"


async def test_however_many_look_on_there_is_room_for_work(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        looking = await there.asked(*(Look() for _ in range(LIMIT)))
        refused = [one for one in looking if one.done()]
        assert refused == looking[N_WAITS:]
        for one in refused:
            with pytest.raises(MailboxFull):
                await one
        making = await there.asked(*(Make() for _ in range(LIMIT - N_WAITS)))
        there.workshop.gate.set()
        assert await asyncio.gather(*making) == ["made"] * len(making)
        assert await asyncio.gather(*looking[:N_WAITS]) == ["seen"] * N_WAITS


async def test_what_is_told_beyond_the_limit_is_refused_to_a_peer_and_done_for_oneself(tmp_path: Path) -> None:
    async with scene(tmp_path, "sockets") as there:
        asked = await there.asked(*(Make() for _ in range(LIMIT)))
        there.ref.tell(Begin())
        await there.ref.ask(HowMany())
        assert there.n_deferred == LIMIT
        assert there.away.parent is not None
        link = there.away.parent.link
        await eventually(lambda: link.n_refused == 1, what="the news that it was not taken")
        there.home.find("workshop").tell(Begin())
        await there.ref.ask(HowMany())
        assert there.n_deferred == LIMIT + 1
        there.workshop.gate.set()
        await asyncio.gather(*asked)
        await eventually(lambda: there.workshop.n_made == LIMIT + 1, what="what it told itself")


async def test_when_the_asker_is_gone_its_wait_ends_and_its_work_goes_on(tmp_path: Path) -> None:
    async with scene(tmp_path, "sockets") as there:
        asked = await there.asked(*(Look() for _ in range(5)), *(Make(key=key) for key in ("a", "a", "b")), Make())
        here = asyncio.ensure_future(there.home.find("workshop").ask(Make(key="a")))
        await eventually(lambda: there.workshop.n_looking == 5, what="the beginning of the waits")
        assert there.away.parent is not None
        there.away.parent.close()
        assert {type(error) for error in await asyncio.gather(*asked, return_exceptions=True)} == {PeerGone}
        await eventually(lambda: there.n_deferred == 3, what="the end of the waits")
        assert there.workshop.n_looking == 0
        there.workshop.gate.set()
        assert await here == "made"
        await eventually(lambda: there.n_deferred == 0, what="the end of the work")
        assert there.workshop.n_made == 3


async def test_who_gives_up_or_has_no_time_left_is_waited_for_no_longer(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        impatient = asyncio.ensure_future(there.ref.ask(Look(), timeout_s=1.0))
        leaving, patient = await there.asked(Look(), Look())
        await eventually(lambda: there.workshop.n_looked == 3, what="the beginning of the waits")
        with pytest.raises(AskTimedOut):
            await impatient
        leaving.cancel()
        await eventually(lambda: there.n_deferred == 1, what="the end of two waits")
        there.workshop.gate.set()
        assert await patient == "seen"


@pytest.mark.parametrize("request_", [Look(), Make(), Make(key="shared")], ids=["waits", "work", "shared work"])
async def test_one_key_has_its_share_of_what_is_deferred_and_the_others_are_answered(
    tmp_path: Path, request_: Look | Make
) -> None:
    async with scene(tmp_path) as there, keys_of(there, tmp_path, "greedy", "modest") as (greedy, modest):
        asked = [greedy.ask(request_, timeout_s=60.0) for _ in range(LIMIT)]
        await eventually(lambda: sum(one.done() for one in asked) == LIMIT - SHARE, what="the refusals")
        for one in asked[SHARE:]:
            with pytest.raises(MailboxFull, match="as many messages of greedy as one key may have") as caught:
                await one
            assert caught.value.retry_after_s > 0
        others = [modest.ask(request_, timeout_s=60.0), *await there.asked(request_)]
        await eventually(lambda: there.home.cells["workshop"].n_handled == LIMIT + 2, what="the others")
        there.workshop.gate.set()
        assert len(set(await asyncio.gather(*asked[:SHARE], *others))) == 1
        assert await greedy.ask(request_), "and has its share again"


async def test_however_many_keys_ask_a_quarter_of_what_is_deferred_is_the_mesh_s_own(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    async with scene(tmp_path) as there, keys_of(there, tmp_path, *names) as keys:
        asked = [key.ask(Make(), timeout_s=60.0) for key in keys for _ in range(SHARE)]
        await eventually(lambda: there.home.cells["workshop"].n_handled == LIMIT, what="the arrival of all of it")
        # Who is refused hears of it over a link, a moment after.
        await eventually(lambda: sum(one.done() for one in asked) == LIMIT // 4, what="the refusals")
        own = await there.asked(*(Make() for _ in range(LIMIT // 4)))
        there.workshop.gate.set()
        assert await asyncio.gather(*own) == ["made"] * (LIMIT // 4)
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(one == "made" for one in told) == LIMIT - LIMIT // 4


async def test_one_key_has_its_share_by_bytes_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as there, keys_of(there, tmp_path, "greedy", "modest") as (greedy, modest):
        alone = greedy.ask(Make(n_bytes=(1 << 20) // 2), timeout_s=60.0)
        with pytest.raises(MailboxFull, match="of greedy"):
            await greedy.ask(Make(n_bytes=1), timeout_s=60.0)
        other = modest.ask(Make(n_bytes=1), timeout_s=60.0)
        await eventually(lambda: there.n_deferred == 2, what="the other's work")
        there.workshop.gate.set()
        assert await asyncio.gather(alone, other) == ["made"] * 2


@asynccontextmanager
async def keys_of(there: Scene, folder: Path, *names: str) -> AsyncIterator[list[Ref]]:
    """References to the workshop, each under a key of its own."""
    server, endpoint = new_pair(), ipc_endpoint(folder, "front")
    (folder / "keys").mkdir()
    ring = KeyRing(folder / "keys")
    there.home.listen_front(endpoint, server, ring)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dialers = []
    for name in names:
        pair = new_pair()
        ring.allow(Principal(name=name, role="user"), pair.public)
        known = ServerKey(public=server.public)
        dialers.append(Dialer(context, endpoint, lambda link, envelope: None, name=name, key=pair, server=known))
    yield [PeerRef(dialer.link, "workshop") for dialer in dialers]
    for dialer in dialers:
        dialer.close()
    context.destroy(linger=0)
