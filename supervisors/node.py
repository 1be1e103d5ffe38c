"""A node: one OS process with one asyncio loop, its actors by name, and its links to other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import zmq

from ..transport import (
    INNER,
    SILENCE_S,
    ActorGivenUp,
    ActorUnknown,
    Beat,
    Dialer,
    Endpoint,
    Hello,
    KeyPair,
    KeyRing,
    KeyRingAuthenticator,
    Link,
    Listener,
    PeerGone,
    Ref,
    ServerKey,
)
from ..transport.contexts import end_context
from ..transport.newcomers import Newcomers
from ..transport.silence import LAST_WORDS_S
from ..transport.turns import most_waiting_bytes
from .actor import Actor
from .backoff import Backoff
from .cell import Cell
from .child import Child, Running
from .inbound import Inbound
from .life import Life
from .local_refs import NamedRef, WireRef
from .strategy import Restart
from .traces import Traces

SWEEP_S = 0.1
SWEEPS_PER_LOOK = 5
"""Keys are looked at again every so many sweeps: a revoked one is refused within a second."""
LAG_FADES = 0.95
"""What is left of the worst loop lag at the next sweep."""


class Node:
    """Holds actors, listens for and dials other nodes; closed once, at the end."""

    def __init__(self, name: str, *, wire: bool = False) -> None:
        """Make a node on the running loop; with ``wire`` local messages are encoded and decoded too."""
        self.name = name
        self.wire = wire
        self.loop = asyncio.get_running_loop()
        self.cells: dict[str, Cell] = {}
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.inner: Listener | None = None
        self.fronts: list[Listener] = []
        self.parent: Dialer | None = None
        self._dialled: list[Dialer] = []
        self._closing = False
        self.on_beat: dict[str, Callable[[Beat], None]] = {}
        self.traces = Traces()
        self.loop_lag_s = 0.0
        self._links: dict[str, Link] = {}
        self._given_up: dict[str, ActorGivenUp] = {}
        self._expected: dict[str, asyncio.Future[Link]] = {}
        self._authenticator: KeyRingAuthenticator | None = None
        self._newcomers: Newcomers | None = None
        self._n_sweeps = 0
        self._sweep_due_s = self.loop.time() + SWEEP_S
        self._sweep: asyncio.TimerHandle | None = self.loop.call_later(SWEEP_S, self._expire)
        self._deliver = Inbound(
            name, self.cells, self.loop.time, unknown=self.unknown, hello=self._hello, beat=self._beat, bye=self._bye
        )

    # -- actors -----------------------------------------------------------------------------------

    def find(self, name: str) -> Ref:
        """The reference to an actor by name; it need not be up yet."""
        kind = WireRef if self.wire else NamedRef
        return kind(name, self.cells, self.link_to, self.unknown)

    def actor(
        self,
        name: str,
        factory: Callable[[], Actor[Any]],
        *,
        kind: type[Actor[Any]] | None = None,
        restart: Restart = Restart.PERMANENT,
        shutdown_s: float = 5.0,
        backoff: Backoff | None = None,
    ) -> Child:
        """The child specification of an actor; ``kind`` is its class where the factory is no class itself."""

        async def start() -> Running:
            return await self.start_actor(name, factory, kind=kind)

        return Child(
            name,
            start,
            restart=restart,
            shutdown_s=shutdown_s,
            backoff=backoff or Backoff(),
            given_up=lambda why: self.give_up(name, why),
        )

    async def start_actor(
        self, name: str, factory: Callable[[], Actor[Any]], *, kind: type[Actor[Any]] | None = None
    ) -> Life:
        """Start an actor under a name; its mailbox is kept from one life to the next."""
        cell = self.cells.get(name)
        if cell is None and kind is not None:
            # The mailbox opens before the actor is up, so that nobody who asks early is turned away.
            cell = self.open_mailbox(name, kind)
        actor = factory()
        if cell is None:
            cell = self.cells[name] = Cell(name, type(actor), self.find, self.find(name), self.traces)
        life = Life(cell, actor)
        await life.start()
        cell.given_up = None
        self._given_up.pop(name, None)
        return life

    def open_mailbox(self, name: str, kind: type[Actor[Any]]) -> Cell:
        """Take messages for an actor that is about to be started."""
        cell = self.cells.get(name)
        if cell is None:
            cell = self.cells[name] = Cell(name, kind, self.find, self.find(name), self.traces)
        return cell

    def give_up(self, name: str, why: str) -> None:
        """An actor here or behind a link does not come back by itself: whoever asks it is told at once."""
        error = self._given_up[name] = ActorGivenUp(
            f"{name} is down and does not come back by itself: {why}",
            hint="hcs-mesh inspect shows its last error; mend the cause, then start it with hcs-mesh restart",
        )
        cell = self.cells.get(name)
        if cell is not None:
            cell.give_up(error)

    def remove_actor(self, name: str) -> None:
        """Forget a name; what waits there fails."""
        cell = self.cells.pop(name, None)
        if cell is not None:
            cell.hang_up("the actor was removed")

    # -- other nodes ------------------------------------------------------------------------------

    def listen_inner(self, endpoint: Endpoint, *, max_message_bytes: int = 64 << 20) -> Listener:
        """Listen for this node's own children."""
        self.inner = Listener(self.context, endpoint, self._deliver, max_message_bytes=max_message_bytes)
        return self.inner

    def listen_front(
        self,
        endpoint: Endpoint,
        key: KeyPair,
        ring: KeyRing,
        *,
        max_message_bytes: int = 64 << 20,
        silence_s: float = SILENCE_S,
    ) -> Listener:
        """Listen for users, viewers and other nodes; each must hold a key of the ring, one for all fronts.

        Raises:
            EndpointInUse: another process listens there.
        """
        if self._authenticator is not None and self._authenticator.ring is not ring:
            raise ValueError("the fronts of a node share one key ring")
        if self._newcomers is None:
            # One for all fronts: they share the descriptors.
            self._newcomers = Newcomers(most_bytes=most_waiting_bytes(max_message_bytes))
        if self._authenticator is None:
            most_unheard = self._newcomers.most_unheard_of_key
            self._authenticator = KeyRingAuthenticator(self.context, ring, most_unheard=most_unheard)
            self._authenticator.start()
        front = Listener(
            self.context,
            endpoint,
            self._deliver,
            key=key,
            ring=ring,
            max_message_bytes=max_message_bytes,
            silence_s=silence_s,
            newcomers=self._newcomers,
            on_heard=self._authenticator.unheard.heard,
        )
        self.fronts.append(front)
        return front

    def dial_parent(self, endpoint: Endpoint, *, max_message_bytes: int = 64 << 20) -> Dialer:
        """Connect to the node that started this one."""
        self.parent = Dialer(self.context, endpoint, self._deliver, name=self.name, max_message_bytes=max_message_bytes)
        return self.parent

    def dial(
        self,
        endpoint: Endpoint,
        key: KeyPair,
        server: ServerKey,
        *,
        max_message_bytes: int = 64 << 20,
        silence_s: float = SILENCE_S,
    ) -> Dialer:
        """Connect to a mesh on another host, which may then ask this node's actors.

        Raises:
            PeerGone: this node is being closed, or has no descriptor free.
        """
        if self._closing:
            # Whoever stays connected dials as soon as it is hung up on; a socket made now would be closed by nobody,
            # and the end of the context waits for all of them.
            raise PeerGone(f"{endpoint.control}: this node is closing, and dials nobody any more")
        dialer = Dialer(
            self.context,
            endpoint,
            self._deliver,
            name=self.name,
            key=key,
            server=server,
            max_message_bytes=max_message_bytes,
            silence_s=silence_s,
        )
        self._dialled = [*(one for one in self._dialled if not one.link.gone), dialer]
        return dialer

    def hang_up(self, link: Link, why: str) -> None:
        """End a conversation with a peer of the fronts: what waits for it fails now."""
        for front in self.fronts:
            front.forget(link, why)

    def link_to(self, name: str) -> Link | None:
        """The link behind which an actor of this name is looked for."""
        link = self._links.get(name)
        if link is not None:
            return link
        return self.parent.link if self.parent is not None else None

    def expect(self, name: str) -> Awaitable[Link]:
        """The link of a child, once it has said hello."""
        future = self._expected.get(name)
        if future is None or future.done():
            future = self._expected[name] = self.loop.create_future()
        return future

    def child_links(self) -> Mapping[str, Link]:
        """The links to the children that have said hello, by name."""
        return {name: link for name, link in self._links.items() if not link.gone}

    def statistics(self) -> dict[str, int | float | str]:
        """Counts of the node itself and of its endpoints, for console and metrics."""
        told: dict[str, int | float | str] = {
            "loop_lag_s": self.loop_lag_s,
            "actors": len(self.cells),
            "children": len(self._links),
            "traced_hops": self.traces.n_hops,
        }
        for listener in self._listeners():
            for name, value in listener.statistics().items():
                told[name] = int(told.get(name, 0)) + int(value)
        if self._newcomers is not None:
            told["offences"] = int(told.get("offences", 0)) + self._newcomers.offences.n
            told["unheard"] = len(self._newcomers)
        return told

    def peer_died(self, name: str, why: str) -> None:
        """A child process is proven dead: whoever waits for its answers learns it now."""
        link = self._links.pop(name, None)
        if link is not None and self.inner is not None:
            self.inner.forget(link, why)

    def unknown(self, name: str) -> ActorUnknown:
        """The error for a name that nobody has, or nobody any more."""
        given_up = self._given_up.get(name)
        if given_up is not None:
            return given_up
        return ActorUnknown(
            f"no actor {name!r} on node {self.name} (there are: {', '.join(sorted(self.cells)) or 'none'})",
            hint="hcs-mesh ps lists the actors",
        )

    async def close(self) -> None:
        """Hang up on everybody; what waits fails."""
        self._closing = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for cell in self.cells.values():
            cell.hang_up("the node is closing")
        if self.parent is not None:
            self.parent.close()
        for dialer in self._dialled:
            dialer.close()
        try:
            if any(listener.is_stalled() for listener in self.fronts):
                await asyncio.sleep(LAST_WORDS_S)
        finally:
            # First: until its questions to the authenticator are taken back, libzmq keeps a connection whose socket is
            # closed, and aborts when that breaks.
            if self._authenticator is not None:
                self._authenticator.stop()
            for listener in self._listeners():
                listener.close()
            await end_context(self.context)

    # -- what concerns the node itself ------------------------------------------------------------

    def _listeners(self) -> list[Listener]:
        return [*self.fronts, *([self.inner] if self.inner is not None else [])]

    def _beat(self, link: Link, beat: Beat) -> None:
        heard = self.on_beat.get(link.name)
        if heard is not None and link.principal is INNER:
            heard(beat)

    def _bye(self, link: Link) -> None:
        for listener in self._listeners():
            listener.forget(link, "it said goodbye")

    def _hello(self, link: Link, hello: Hello) -> None:
        link.pid = hello.pid
        if link.principal is not INNER:
            return
        self._links[hello.name] = link
        self._given_up.pop(hello.name, None)
        expected = self._expected.pop(hello.name, None)
        if expected is not None and not expected.done():
            expected.set_result(link)

    def _expire(self) -> None:
        now = self.loop.time()
        # The worst of the last seconds, fading: a look once a second must not miss what froze the loop between two.
        self.loop_lag_s = max(now - self._sweep_due_s, self.loop_lag_s * LAG_FADES, 0.0)
        self._sweep_due_s = now + SWEEP_S
        self._sweep = self.loop.call_later(SWEEP_S, self._expire)
        for cell in self.cells.values():
            cell.expire(now)
        self._look_at_newcomers()
        self._n_sweeps += 1
        if self._n_sweeps % SWEEPS_PER_LOOK == 0:
            for front in self.fronts:
                front.look_for_lost(now)
            self._look_at_keys()

    def _look_at_newcomers(self) -> None:
        if self._authenticator is None or self._newcomers is None:
            return
        if self._newcomers.look():
            self._authenticator.unheard.suspect()
        self._authenticator.look_at_unheard()

    def _look_at_keys(self) -> None:
        if self._authenticator is None:
            return
        self._authenticator.look_at_keys()
        # Always: a stranger's handshake makes the ring look too, and may have been the first to see the change.
        for front in self.fronts:
            front.hang_up_on_revoked()
