"""Links between processes in memory: the real batches of real links, in the order of their sending, with faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from virtual_world import Process, World

from hcs_mesh.transport import INNER, Hello, Kind, Link, PeerGone, Principal
from hcs_mesh.transport.deliveries import Deliver

REDIAL_S = 0.05


class Faults:
    """How bad a connection is: shares of batches, from 0 to 1."""

    def __init__(self, *, lost: float = 0.0, doubled: float = 0.0, slowest_s: float = 0.01) -> None:
        self.lost = lost
        self.doubled = doubled
        self.slowest_s = slowest_s

    def heal(self) -> None:
        """Lose and double nothing any more."""
        self.lost = self.doubled = 0.0


class MemoryListener:
    """The answering side: a link for each peer, which stays the peer's when it comes back."""

    def __init__(
        self,
        world: World,
        process: Process,
        deliver: Deliver,
        *,
        principal: Principal = INNER,
        make_link: Callable[..., Link] = Link,
    ) -> None:
        self.world = world
        self.process = process
        self.links: dict[str, Link] = {}
        self.dialers: dict[str, MemoryDialer] = {}
        self.closed = False
        self._deliver = deliver
        self._principal = principal
        self._make_link = make_link

    def hear(self, dialer: MemoryDialer, batch: bytes) -> None:
        link = self.links.get(dialer.name)
        if link is None:
            principal = msgspec.structs.replace(self._principal, name=dialer.key) if dialer.key else self._principal
            link = self.links[dialer.name] = self._make_link(
                dialer.name, self._writer(dialer.name), self._deliver, principal=principal
            )
            link.here = True
        self.dialers[dialer.name] = dialer
        link.hear(batch)

    def forget(self, link: Link, why: str) -> None:
        for name, known in list(self.links.items()):
            if known is link:
                del self.links[name]
                self.dialers.pop(name, None)
        link.lost(why)

    def close(self) -> None:
        self.closed = True
        for link in list(self.links.values()):
            link.lost("the endpoint was closed")
        self.links.clear()

    def look_for_lost(self, now: float) -> None:
        """Nobody is silent here without being dead."""

    def is_stalled(self) -> bool:
        """Nobody here takes nothing."""
        return False

    def statistics(self) -> dict[str, int | float | str]:
        return {"peers": len(self.links)}

    def _writer(self, name: str) -> Callable[[Sequence[bytes], bool], bool]:
        def write(frames: Sequence[bytes], bulk: bool) -> bool:
            dialer = self.dialers.get(name)
            if dialer is None or self.process.dead or dialer.listener is not self:
                return False
            dialer.carry(frames[0], dialer.process, dialer.link.hear, "down")
            return True

        return write


class MemoryDialer:
    """The asking side: says what it has to say once it is connected, and dials again after a break."""

    def __init__(
        self,
        world: World,
        process: Process,
        name: str,
        find: Callable[[], MemoryListener | None],
        deliver: Deliver,
        faults: Faults | None = None,
        *,
        key: str = "",
    ) -> None:
        """Dial with the key that the listener knows everybody by, or with one of its own."""
        self.world = world
        self.process = process
        self.name = name
        self.key = key
        self.listener: MemoryListener | None = None
        self.faults = faults or Faults()
        self.link = Link(f"to {name}", self._write, deliver)
        self.broken_at = 0.0
        """When this side learned last that the connection had broken."""
        self._hello = Hello(name=name, pid=process.pid)
        self._find = find
        self._unsent: list[bytes] = []
        self._generation = 0
        self._last = {"up": 0.0, "down": 0.0}
        self._introduce()
        self._dial()

    def break_off(self) -> None:
        """Break the connection: what is on its way is lost, and both sides learn it."""
        if self.listener is None or self.process.dead:
            return
        self.world.note(f"the connection of {self.name} breaks")
        self.listener = None
        self._generation += 1
        self.process.call_later(0.001, self._broken)

    def carry(self, batch: bytes, to: Process, hear: Callable[[bytes], None], way: str) -> None:
        """Bring a batch to the other side, behind what was sent before."""
        chance, generation = self.world.random.random, self._generation
        if self.process.dead or chance() < self.faults.lost:
            return

        def arrive() -> None:
            if generation == self._generation and not self.process.dead:
                hear(batch)

        for _ in range(2 if chance() < self.faults.doubled else 1):
            self._last[way] = max(self.world.now + chance() * self.faults.slowest_s, self._last[way] + 1e-7)
            to.call_at(self._last[way], arrive)

    def beat(self, busy: str = "", loop_lag_s: float = 0.0) -> None:
        """Heartbeats are not judged here: processes hang and die by the seed."""

    def close(self) -> None:
        if not self.link.gone:
            self.link.say(Kind.BYE)
            self.link.flush()
            self.link.lost("this side hung up")

    def _introduce(self) -> None:
        self.link.say(Kind.HELLO, body=self._hello)

    def _write(self, frames: Sequence[bytes], bulk: bool) -> bool:
        if self.listener is None or self.listener.process.dead:
            self._unsent.append(frames[0])
        else:
            self._send(frames[0])
        return True

    def _send(self, batch: bytes) -> None:
        listener = self.listener
        assert listener is not None
        self.carry(batch, listener.process, lambda one: None if listener.closed else listener.hear(self, one), "up")

    def _dial(self) -> None:
        if self.link.gone:
            return
        found = self._find()
        if found is None or found.process.dead or found.closed:
            self.process.call_later(REDIAL_S, self._dial)
            return
        self.listener = found
        found.process.on_death.append(self._peer_died)
        unsent, self._unsent = self._unsent, []
        for batch in unsent:
            self._send(batch)

    def _peer_died(self) -> None:
        if self.listener is not None and self.listener.process.dead:
            self.break_off()

    def _broken(self) -> None:
        if self.link.gone:
            return
        self.broken_at = self.world.now
        self.link.fail_asks(PeerGone(f"{self.name}: the connection broke before the answer came"))
        self._introduce()
        self._dial()


def no_mail(link: Any, envelope: Any) -> None:
    """Deliver nothing: for a side that only asks."""
