"""A node: one OS process with one asyncio loop, its actors by name, and its links to other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import zmq

from ..config.errors import MeshError
from ..transport import (
    ASK_TIMEOUT_S,
    INNER,
    ROLES,
    ActorUnknown,
    BadMessage,
    Beat,
    Dialer,
    Endpoint,
    Envelope,
    Event,
    Hello,
    KeyPair,
    KeyRing,
    KeyRingAuthenticator,
    Kind,
    Link,
    Listener,
    Message,
    NotPermitted,
    Ref,
    Request,
)
from ..transport import codec
from .actor import Actor
from .backoff import Backoff
from .cell import Cell, Letter, Life, RemoteAnswer
from .child import Child, Running
from .strategy import Restart

R = TypeVar("R")

SWEEP_S = 0.1


class NamedRef:
    """An actor by name, looked up at every message: it may live here, in a child process or at the parent."""

    __slots__ = ("_node", "name")

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self.name = name

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request; the future is its answer."""
        node = self._node
        cell = node.cells.get(self.name)
        if cell is not None:
            if node.wire:
                return node.ask_by_wire(cell, request, timeout_s)
            loop = node.loop
            future: asyncio.Future[R] = loop.create_future()
            cell.post(Letter(request, future, loop.time() + timeout_s))
            return future
        link = node.link_to(self.name)
        if link is None:
            future = node.loop.create_future()
            future.set_exception(node.unknown(self.name))
            return future
        return link.ask(self.name, request, timeout_s=timeout_s)

    def tell(self, event: Event) -> None:
        """Send an event."""
        node = self._node
        cell = node.cells.get(self.name)
        if cell is not None:
            cell.post(Letter(node.by_wire(cell, event) if node.wire else event))
            return
        link = node.link_to(self.name)
        if link is None:
            raise node.unknown(self.name)
        link.tell(self.name, event)


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
        self.on_beat: dict[str, Callable[[Beat], None]] = {}
        self._links: dict[str, Link] = {}
        self._expected: dict[str, asyncio.Future[Link]] = {}
        self._authenticator: KeyRingAuthenticator | None = None
        self._sweep: asyncio.TimerHandle | None = self.loop.call_later(SWEEP_S, self._expire)

    # -- actors -----------------------------------------------------------------------------------

    def find(self, name: str) -> Ref:
        """The reference to an actor by name; it need not be up yet."""
        return NamedRef(self, name)

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

        return Child(name, start, restart=restart, shutdown_s=shutdown_s, backoff=backoff or Backoff())

    async def start_actor(
        self, name: str, factory: Callable[[], Actor[Any]], *, kind: type[Actor[Any]] | None = None
    ) -> Life:
        """Start an actor under a name; its mailbox is kept from one life to the next."""
        cell = self.cells.get(name)
        if cell is None and kind is not None:
            # The mailbox opens before the actor is up, so that nobody who asks early is turned away.
            cell = self.cells[name] = Cell(name, kind, self.find, self.find(name))
        actor = factory()
        if cell is None:
            cell = self.cells[name] = Cell(name, type(actor), self.find, self.find(name))
        life = Life(cell, actor)
        await life.start()
        return life

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
        self, endpoint: Endpoint, key: KeyPair, ring: KeyRing, *, max_message_bytes: int = 64 << 20
    ) -> Listener:
        """Listen for users, viewers and other nodes; each must hold a key of the ring."""
        if self._authenticator is None:
            self._authenticator = KeyRingAuthenticator(self.context, ring)
            self._authenticator.start()
        front = Listener(self.context, endpoint, self._deliver, key=key, ring=ring, max_message_bytes=max_message_bytes)
        self.fronts.append(front)
        return front

    def dial_parent(self, endpoint: Endpoint) -> Dialer:
        """Connect to the node that started this one."""
        self.parent = Dialer(self.context, endpoint, self._deliver, name=self.name)
        return self.parent

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

    def peer_died(self, name: str, why: str) -> None:
        """A child process is proven dead: whoever waits for its answers learns it now."""
        link = self._links.pop(name, None)
        if link is not None and self.inner is not None:
            self.inner.forget(link, why)

    def unknown(self, name: str) -> ActorUnknown:
        """The error for a name that nobody has."""
        return ActorUnknown(
            f"no actor {name!r} on node {self.name} (there are: {', '.join(sorted(self.cells)) or 'none'})",
            hint="hcs-mesh ps lists the actors",
        )

    async def close(self) -> None:
        """Hang up on everybody; what waits fails."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for cell in self.cells.values():
            cell.hang_up("the node is closing")
        if self.parent is not None:
            self.parent.close()
        for listener in [*self.fronts, *([self.inner] if self.inner is not None else [])]:
            listener.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        # Lingering sockets may hold the context for a moment: that wait is not for the loop.
        await asyncio.to_thread(self.context.term)

    # -- what arrives -----------------------------------------------------------------------------

    def ask_by_wire(self, cell: Cell, request: Request[R], timeout_s: float) -> asyncio.Future[R]:
        """As an ask that travels: request and answer are encoded and decoded."""
        future: asyncio.Future[R] = self.loop.create_future()
        inner: asyncio.Future[Any] = self.loop.create_future()

        def answered(done: asyncio.Future[Any]) -> None:
            if future.done() or done.cancelled():
                return
            error = done.exception()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(codec.decode(codec.encode(done.result()), codec.reply_decoder(type(request))))

        inner.add_done_callback(answered)
        cell.post(Letter(self.by_wire(cell, request), inner, self.loop.time() + timeout_s))
        return future

    @staticmethod
    def by_wire(cell: Cell, message: Message) -> Message:
        """The message as the actor would get it from another process."""
        decoded: Message = codec.decode(codec.encode(message), cell.decoder)
        return decoded

    def _deliver(self, link: Link, envelope: Envelope) -> None:
        kind = envelope.kind
        if kind == Kind.ASK:
            self._deliver_ask(link, envelope)
        elif kind == Kind.TELL:
            try:
                self._post(link, envelope, None)
            except MeshError as error:
                raise BadMessage(f"an event for {envelope.target} from {link.principal.name}: {error}") from error
        elif kind == Kind.BEAT:
            heard = self.on_beat.get(link.name)
            if heard is not None and link.principal is INNER:
                heard(codec.decode(envelope.body, codec.decoder(Beat)))
        elif kind == Kind.HELLO:
            self._hello(link, codec.decode(envelope.body, codec.decoder(Hello)))
        elif kind == Kind.PING:
            link.reply(envelope.id, None)
        elif kind == Kind.BYE:
            for listener in [*self.fronts, *([self.inner] if self.inner is not None else [])]:
                listener.forget(link, "it said goodbye")
        else:
            raise BadMessage(f"an envelope of the unknown kind {kind}")

    def _deliver_ask(self, link: Link, envelope: Envelope) -> None:
        answer = RemoteAnswer(link, envelope.id, f"{self.name}/{envelope.target}")
        try:
            self._post(link, envelope, answer)
        except MeshError as error:
            answer.set_exception(error)

    def _post(self, link: Link, envelope: Envelope, answer: RemoteAnswer | None) -> None:
        cell = self.cells.get(envelope.target)
        if cell is None:
            raise self.unknown(envelope.target)
        message: Message = codec.decode(envelope.body, cell.decoder)
        if link.principal is not INNER:
            audience = message.audience
            if audience is None or ROLES.index(link.principal.role) < ROLES.index(audience):
                raise NotPermitted(
                    f"{type(message).__name__} is not for {link.principal.name} ({link.principal.role})",
                    hint="ask the administrator of this mesh for a key with the role that it needs"
                    if audience is not None
                    else "this message is spoken inside the mesh only",
                )
        if isinstance(message, Request) != (answer is not None):
            raise BadMessage(f"{type(message).__name__} was sent as {'an ask' if answer else 'a tell'}")
        cell.post(Letter(message, answer, self.loop.time() + envelope.ttl_s, link.principal, link))

    def _hello(self, link: Link, hello: Hello) -> None:
        link.pid = hello.pid
        if link.principal is not INNER:
            return
        self._links[hello.name] = link
        expected = self._expected.pop(hello.name, None)
        if expected is not None and not expected.done():
            expected.set_result(link)

    def _expire(self) -> None:
        now = self.loop.time()
        for cell in self.cells.values():
            cell.expire(now)
        self._sweep = self.loop.call_later(SWEEP_S, self._expire)
