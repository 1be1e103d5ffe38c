"""What comes from outside counts for as much as it came with, so that a mailbox holds no more bytes than it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import zmq
from waiting import eventually

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import Actor, MailboxLimits, Node
from hcs_mesh.supervisors.traces import LONGEST_OUTCOME
from hcs_mesh.transport import (
    AskFailed,
    Dialer,
    Event,
    KeyRing,
    MailboxFull,
    PeerRef,
    Principal,
    Request,
    Role,
    ServerKey,
    ipc_endpoint,
    new_pair,
)

pytestmark = pytest.mark.anyio

MAX_BYTES = 16 << 20
ONE = 1 << 20
N_OF_ONE_KEY = 6
"""Messages of a mebibyte and a little: half of the twelve for which outsiders have room."""
N_DEFERRED = 3
"""The same of a quarter of what may be deferred."""


class Said(Event, frozen=True, kw_only=True, tag="weight.said"):
    audience: ClassVar[Role | None] = "viewer"
    text: str = "x" * ONE


class Weighed(Event, frozen=True, kw_only=True, tag="weight.weighed"):
    """Says of itself that it is nothing."""

    audience: ClassVar[Role | None] = "viewer"
    text: str = "x" * ONE

    @property
    def nominal_bytes(self) -> int:
        return 1


class Asked(Request[int], frozen=True, kw_only=True, tag="weight.asked"):
    audience: ClassVar[Role | None] = "viewer"
    text: str = "x" * ONE


class Awaited(Request[int], frozen=True, kw_only=True, tag="weight.awaited"):
    """Is answered once the gate opens."""

    audience: ClassVar[Role | None] = "viewer"
    text: str = "x" * ONE


class Refused(Request[int], frozen=True, kw_only=True, tag="weight.refused"):
    """Is refused with all that was said."""

    audience: ClassVar[Role | None] = "viewer"
    text: str = "x" * ONE
    later: bool = False


class Desk(Actor[Said | Weighed | Asked | Awaited | Refused]):
    """Keeps what it defers until its gate opens."""

    mailbox = MailboxLimits(max_bytes=MAX_BYTES)

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def receive(self, message: Said | Weighed | Asked | Awaited | Refused) -> Any:
        match message:
            case Asked():
                return 0
            case Awaited():
                return self.defer(self._wait())
            case Refused(text=text, later=later):
                return self.defer(self._refuse(text)) if later else await self._refuse(text)
        return None

    async def _wait(self) -> int:
        await self.gate.wait()
        return 0

    async def _refuse(self, text: str) -> int:
        raise MeshError(f"no {text}")


class Scene:
    """A desk, and the means to speak to it from outside."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.node, self.desk = Node("hub"), desk
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ring, self._endpoint, self._server = KeyRing(folder / "keys"), ipc_endpoint(folder, "front"), new_pair()
        self._dialers: list[Dialer] = []
        self.node.listen_front(self._endpoint, self._server, self._ring)

    @property
    def cell(self) -> Any:
        return self.node.cells["desk"]

    def outside(self, name: str, role: Role = "user") -> PeerRef:
        pair, server = new_pair(), ServerKey(public=self._server.public)
        self._ring.allow(Principal(name=name, role=role), pair.public)
        dialer = Dialer(self._context, self._endpoint, lambda link, envelope: None, name=name, key=pair, server=server)
        self._dialers.append(dialer)
        return PeerRef(dialer.link, "desk")

    async def close(self) -> None:
        for dialer in self._dialers:
            dialer.close()
        await self.node.close()
        self._context.term()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    here = Scene(folder, Desk())
    life = await here.node.start_actor("desk", lambda: here.desk)
    try:
        yield here
    finally:
        await life.stop()
        await life.wait()
        await here.close()


@pytest.mark.parametrize("how", ["tell", "send", "ask", "tell weighed"])
async def test_one_key_has_as_many_bytes_in_a_mailbox_as_it_leaves_free(tmp_path: Path, how: str) -> None:
    async with scene(tmp_path) as here:
        here.cell.pause()
        anna, said = here.outside("anna"), []
        for _ in range(12):
            if how.startswith("tell"):
                anna.tell(Weighed() if how == "tell weighed" else Said())
            else:
                said.append(anna.ask(Asked(), timeout_s=60.0) if how == "ask" else anna.send(Said(), timeout_s=60.0))
        await eventually(lambda: here.cell.box.n_refused == 12 - N_OF_ONE_KEY, within_s=30.0)
        assert here.cell.box.held.of("anna")[0] == N_OF_ONE_KEY
        assert N_OF_ONE_KEY * ONE < here.cell.box.n_bytes < MAX_BYTES // 2
        here.cell.resume()
        answers = await asyncio.gather(*said, return_exceptions=True)
        assert sum(isinstance(one, MailboxFull) for one in answers) == (12 - N_OF_ONE_KEY if said else 0)
        await eventually(lambda: not here.cell.box)
        assert here.cell.box.n_bytes == 0


async def test_what_hosts_that_have_joined_say_counts_as_well(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.cell.pause()
        host = here.outside("other-host", "node")
        for _ in range(18):
            host.tell(Said())
        # They have all of the room, and no more than there is.
        await eventually(lambda: here.cell.box.n_refused == 3, within_s=30.0)
        assert 15 * ONE < here.cell.box.n_bytes <= MAX_BYTES


async def test_what_the_mesh_says_itself_counts_for_what_it_says(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.cell.pause()
        inner = here.node.find("desk")
        for _ in range(20):
            inner.tell(Said())
            inner.tell(Weighed())
        assert here.cell.box.n_bytes == 20 * (512 + 1)


async def test_one_key_has_its_share_of_the_bytes_that_may_be_deferred(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        anna = here.outside("anna")
        waiting = [anna.ask(Awaited(), timeout_s=60.0) for _ in range(6)]
        await eventually(lambda: sum(one.done() for one in waiting) == 6 - N_DEFERRED, within_s=30.0)
        with pytest.raises(MailboxFull, match="as many messages of anna as one key may have"):
            await next(one for one in waiting if one.done())
        here.desk.gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(one == 0 for one in answers) == N_DEFERRED


@pytest.mark.parametrize("later", [False, True])
async def test_of_how_a_followed_message_ended_the_words_are_kept_that_say_it(tmp_path: Path, later: bool) -> None:
    async with scene(tmp_path) as here:
        with pytest.raises(AskFailed, match="no xxx"):
            await here.outside("anna").ask(Refused(later=later), timeout_s=60.0)
        (hop,) = here.node.traces.latest(1)
        assert hop.outcome.startswith("MeshError: no xxx")
        assert len(hop.outcome) <= LONGEST_OUTCOME
