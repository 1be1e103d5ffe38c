"""Who may come in, who is speaking, and what strangers cannot do to a node."""

import asyncio
import os
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest
import zmq
from waiting import eventually

from hcs_mesh.config.tracing import TRACE
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    AddressError,
    AskTimedOut,
    BadMessage,
    Dialer,
    Endpoint,
    EndpointInUse,
    Envelope,
    Event,
    KeyFileError,
    KeyPair,
    KeyRefused,
    KeyRing,
    Kind,
    Link,
    Listener,
    NotPermitted,
    PeerGone,
    Principal,
    Request,
    Role,
    ServerKey,
    codec,
    ipc_endpoint,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.anyio

SERVER = new_pair()
LOOKS_OF_A_SECOND = 100
"""At the most, and fewer where the computer stands still, in which time the mesh does not look either."""


async def n_looks_until(condition: Callable[[], Any]) -> int:
    """How often a condition was looked at until it was true."""
    n_looks = 0

    def look() -> Any:
        nonlocal n_looks
        n_looks += 1
        return condition()

    await eventually(look, 30.0)
    return n_looks


class WhoAmI(Request[str], frozen=True, kw_only=True, tag="front.who"):
    audience: ClassVar[Role | None] = "viewer"


class Submit(Request[int], frozen=True, kw_only=True, tag="front.submit"):
    audience: ClassVar[Role | None] = "user"


class Within(Request[int], frozen=True, kw_only=True, tag="front.within"):
    """Is spoken inside the mesh only."""


class Echo(Request[bytes], frozen=True, kw_only=True, tag="front.echo"):
    audience: ClassVar[Role | None] = "viewer"

    body: bytes


class Follow(Request[None], frozen=True, kw_only=True, tag="front.follow"):
    audience: ClassVar[Role | None] = "viewer"


class Hold(Request[None], frozen=True, kw_only=True, tag="front.hold"):
    """Is never answered."""

    audience: ClassVar[Role | None] = "viewer"


class Pushed(Event, frozen=True, kw_only=True, tag="front.pushed"):
    bulk: ClassVar[bool] = True

    number: int


class Desk(Actor[WhoAmI | Submit | Within | Echo | Follow | Hold]):
    """Says who is speaking."""

    def __init__(self) -> None:
        self.followers: list[Link] = []
        self.lost: list[str] = []

    async def receive(self, message: WhoAmI | Submit | Within | Echo | Follow | Hold) -> Any:
        match message:
            case WhoAmI():
                return f"{self.context.principal.name} {self.context.principal.role}"
            case Submit() | Within():
                return 1
            case Echo(body=body):
                return body
            case Follow():
                assert self.context.caller is not None
                self.followers.append(self.context.caller)
                self.context.caller.on_lost["desk"] = self.lost.append
            case Hold():
                return self.defer(asyncio.Event().wait())
        return None


class Front:
    """A node with a front, and the means to dial it."""

    def __init__(self, node: Node, listener: Listener, ring: KeyRing, folder: Path, desk: Desk) -> None:
        self.node = node
        self.listener = listener
        self.ring = ring
        self.folder = folder
        self.desk = desk
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.dialers: list[Dialer] = []
        self.heard: list[Envelope] = []

    def key(self, name: str, role: Role = "user") -> KeyPair:
        pair = new_pair()
        self.ring.allow(Principal(name=name, role=role), pair.public)
        return pair

    def dial(self, key: KeyPair, *, server: str = SERVER.public, **options: Any) -> Dialer:
        def hear(link: Link, envelope: Envelope) -> None:
            self.heard.append(envelope)

        dialer = Dialer(
            self.context, self.listener.endpoint, hear, name="test", key=key, server=ServerKey(public=server), **options
        )
        self.dialers.append(dialer)
        return dialer

    async def ask(self, dialer: Dialer, request: Request[Any], timeout_s: float = 20.0) -> Any:
        return await dialer.link.ask("desk", request, timeout_s=timeout_s)

    def raw(self, key: KeyPair, identity: bytes = b"", *, data: bool = False) -> zmq.Socket[bytes]:
        """A bare socket that says what it likes."""
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 500)
        if identity:
            socket.setsockopt(zmq.ROUTING_ID, identity)
        socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
        socket.curve_serverkey = SERVER.public.encode()
        socket.connect(self.listener.endpoint.data if data else self.listener.endpoint.control)
        return socket


def free_port() -> int:
    """A port below 64535 whose neighbour 1000 above is free as well."""
    while True:
        with sockets.socket() as low, sockets.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            try:
                high.bind(("127.0.0.1", port + 1000))
            except (OSError, OverflowError):
                continue
            return int(port)


@asynccontextmanager
async def front(folder: Path, *, tcp: bool = False, max_message_bytes: int = 1 << 20) -> AsyncIterator[Front]:
    endpoint = tcp_endpoint("127.0.0.1", free_port()) if tcp else ipc_endpoint(folder, "front")
    keys = folder / "keys"
    keys.mkdir()
    ring = KeyRing(keys)
    node = Node("hub")
    listener = node.listen_front(endpoint, SERVER, ring, max_message_bytes=max_message_bytes)
    desk = Desk()
    life = await node.start_actor("desk", lambda: desk)
    scene = Front(node, listener, ring, keys, desk)
    try:
        yield scene
    finally:
        for dialer in scene.dialers:
            dialer.close()
        scene.context.destroy(linger=0)
        await life.stop()
        await life.wait()
        await node.close()


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
async def test_the_key_says_who_is_speaking(tmp_path: Path, tcp: bool) -> None:
    async with front(tmp_path, tcp=tcp) as mesh:
        anna, bert = mesh.dial(mesh.key("anna")), mesh.dial(mesh.key("bert", "viewer"))
        assert await mesh.ask(anna, WhoAmI()) == "anna user"
        assert await mesh.ask(bert, WhoAmI()) == "bert viewer"


async def test_a_role_may_do_what_its_own_and_the_lesser_ones_may(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        viewer, user = mesh.dial(mesh.key("v", "viewer")), mesh.dial(mesh.key("u", "administrator"))
        with pytest.raises(NotPermitted, match=r"Submit is not for v \(viewer\)"):
            await mesh.ask(viewer, Submit())
        assert await mesh.ask(user, Submit()) == 1
        with pytest.raises(NotPermitted):
            await mesh.ask(user, Within())


async def test_another_host_orders_nothing(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        node = mesh.dial(mesh.key("gpu7", "node"))
        assert await mesh.ask(node, WhoAmI()) == "gpu7 node"
        with pytest.raises(NotPermitted, match=r"Submit is not for gpu7 \(node\)"):
            await mesh.ask(node, Submit())


async def test_nobody_from_outside_says_whose_work_a_message_belongs_to(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        token = TRACE.set("bert-1 scheduler")
        try:
            assert await mesh.ask(mesh.dial(mesh.key("anna")), Submit()) == 1
            assert await mesh.ask(mesh.dial(mesh.key("gpu7", "node")), WhoAmI()) == "gpu7 node"
        finally:
            TRACE.reset(token)
        # A host of the mesh passes on what its own actors follow.
        assert [hop.message for hop in mesh.node.traces.of("bert-1")] == ["front.who"]
        (begun,) = (hop for hop in mesh.node.traces.latest(8) if not hop.trace.startswith("bert"))
        assert begun.sender == "anna"


async def test_a_stranger_is_refused_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with front(tmp_path) as mesh:
        stranger = new_pair()
        with pytest.raises(KeyRefused, match="refused the handshake"):
            await mesh.ask(mesh.dial(stranger), WhoAmI())
        assert any(stranger.public in record.message for record in caplog.records)
        assert await mesh.ask(mesh.dial(mesh.key("anna")), WhoAmI()) == "anna user"


async def test_who_expects_another_server_does_not_speak_to_this_one(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        with pytest.raises((KeyRefused, AskTimedOut)):
            await mesh.ask(mesh.dial(mesh.key("anna"), server=new_pair().public), WhoAmI(), timeout_s=2.0)
        assert not mesh.listener.links


async def test_frames_of_a_revoked_key_are_dropped_within_a_second(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        anna, bert = mesh.dial(mesh.key("anna")), mesh.dial(mesh.key("bert"))
        await mesh.ask(anna, WhoAmI())
        (mesh.folder / "anna.toml").unlink()
        assert await n_looks_until(lambda: len(mesh.ring._by_public) == 1) < LOOKS_OF_A_SECOND
        # The connection from before is ended at its next word, and is not let in again.
        with pytest.raises((PeerGone, KeyRefused)):
            await mesh.ask(anna, WhoAmI(), timeout_s=10.0)
        with pytest.raises(KeyRefused):
            await mesh.ask(anna, WhoAmI(), timeout_s=10.0)
        assert mesh.listener.offences.n > 0
        assert await mesh.ask(bert, WhoAmI()) == "bert user"


async def test_strangers_who_knock_do_not_keep_a_revoked_key_connected(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        anna = mesh.dial(mesh.key("anna"))
        await mesh.ask(anna, Follow())
        (link,) = mesh.desk.followers
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        async def knock() -> None:
            while not over.is_set():
                # Each handshake of an unknown key has the ring look at its folder, before the node's own look.
                stranger = mesh.raw(new_pair())
                await asyncio.sleep(0.01)
                stranger.close(0)

        knocking = loop.create_task(knock())
        try:
            await eventually(lambda: mesh.node._authenticator is not None and mesh.node._authenticator.refusals.n > 3)
            (mesh.folder / "anna.toml").unlink()
            assert await n_looks_until(lambda: link.gone) < LOOKS_OF_A_SECOND
            n_refused = mesh.node._authenticator.refusals.n
        finally:
            over.set()
            await knocking
        assert n_refused > 3
        assert mesh.desk.lost == ["its key was revoked"]
        n_sent, n_heard = mesh.listener.statistics()["sent"], len(mesh.heard)
        link.tell("viewer", Pushed(number=1))
        assert not link.tell_with("viewer", Pushed(number=2), [b"a plane"])
        await asyncio.sleep(0)
        assert (mesh.listener.statistics()["sent"], len(mesh.heard)) == (n_sent, n_heard)


async def test_the_old_key_of_a_name_does_not_come_in_as_the_new_one(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        old = mesh.dial(mesh.key("anna", "viewer"))
        assert await mesh.ask(old, WhoAmI()) == "anna viewer"
        new = mesh.dial(mesh.key("anna", "administrator"))
        assert await mesh.ask(new, WhoAmI()) == "anna administrator"
        with pytest.raises((PeerGone, KeyRefused)):
            await mesh.ask(old, WhoAmI(), timeout_s=10.0)


async def test_a_role_that_changes_holds_for_connections_there_are(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        key = mesh.key("anna", "viewer")
        anna = mesh.dial(key)
        assert await mesh.ask(anna, WhoAmI()) == "anna viewer"
        mesh.ring.allow(Principal(name="anna", role="user"), key.public)
        assert await mesh.ask(anna, WhoAmI()) == "anna user"


async def test_a_damaged_key_file_does_not_keep_a_revoked_key_alive(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        mesh.key("anna")
        mesh.key("bert")
        (mesh.folder / "anna.toml").unlink()
        (mesh.folder / "broken.toml").write_text("not = [a key")
        with pytest.raises(KeyFileError, match=r"broken\.toml"):
            mesh.ring.reload()
        assert [one.name for one in mesh.ring._by_public.values()] == ["bert"]


@pytest.mark.parametrize("name", ["../anna", "a/b", "", ".hidden", "a'b", "a\nb"])
def test_a_name_that_does_not_do_for_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="cannot be let in"):
        KeyRing(tmp_path).allow(Principal(name=name, role="user"), new_pair().public)
    assert not list(tmp_path.iterdir())


async def test_nobody_speaks_or_listens_under_the_routing_id_of_another(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        identity = b"anna's routing id"
        annas, berts = mesh.raw(mesh.key("anna"), identity), None
        ask = codec.join([codec.seal(Kind.ASK, 7, "desk", 5.0, WhoAmI())])
        annas.send(ask)
        await eventually(lambda: annas.poll(0))
        assert b"anna user" in annas.recv()
        berts = mesh.raw(mesh.key("bert"), identity)
        for _ in range(3):
            berts.send(ask)
        annas.send(ask)
        await eventually(lambda: annas.poll(0))
        assert b"anna user" in annas.recv()
        assert not berts.poll(50)


async def test_a_key_on_the_data_channel_does_not_speak_for_another_on_the_control_channel(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        identity = b"anna's routing id"
        ask = codec.join([codec.seal(Kind.ASK, 7, "desk", 5.0, WhoAmI())])
        annas = mesh.raw(mesh.key("anna"), identity)
        annas.send(ask)
        await eventually(lambda: annas.poll(0))
        assert b"anna user" in annas.recv()
        # The two channels are two sockets: there her id is free, and what is answered would go to her.
        berts = mesh.raw(mesh.key("bert", "administrator"), identity, data=True)
        berts.send(ask)
        await eventually(lambda: mesh.listener.statistics()["received"] == 2)
        assert mesh.listener.offences.n > 0
        (link,) = mesh.listener.links.values()
        assert link.principal == Principal(name="anna", role="user")
        assert not annas.poll(50)
        assert not berts.poll(0)


async def test_a_message_over_the_bound_is_refused_where_it_is_written(tmp_path: Path) -> None:
    async with front(tmp_path, max_message_bytes=100_000) as mesh:
        key = mesh.key("anna")
        anna = mesh.dial(key, max_message_bytes=100_000)
        with pytest.raises(BadMessage, match="at most 99995"):
            await mesh.ask(anna, Echo(body=bytes(100_001)))
        body = os.urandom(90_000)
        # Together they are more than one message may hold.
        assert await asyncio.gather(*(mesh.ask(anna, Echo(body=body)) for _ in range(5))) == [body] * 5


async def test_a_frame_over_the_bound_costs_its_sender_the_connection_and_nobody_else(tmp_path: Path) -> None:
    async with front(tmp_path, max_message_bytes=100_000) as mesh:
        anna = mesh.dial(mesh.key("anna"))
        await mesh.ask(anna, WhoAmI())
        careless = mesh.dial(mesh.key("bert"), max_message_bytes=10 << 20)
        await mesh.ask(careless, WhoAmI())
        with pytest.raises(PeerGone, match="the connection broke"):
            await mesh.ask(careless, Echo(body=bytes(200_000)))
        assert await mesh.ask(anna, WhoAmI()) == "anna user"
        assert await mesh.ask(careless, WhoAmI()) == "bert user"


async def test_garbage_is_counted_and_a_few_lines_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with front(tmp_path) as mesh:
        socket = mesh.raw(mesh.key("anna"))
        for number in range(100):
            socket.send(b"\xc1garbage" if number % 2 else os.urandom(50))
        await eventually(lambda: mesh.listener.offences.n >= 100)
        assert sum("refused on" in record.message for record in caplog.records) == 7
        assert await mesh.ask(mesh.dial(mesh.key("bert")), WhoAmI()) == "bert user"


async def test_what_lies_behind_a_bad_envelope_is_heard_all_the_same(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        socket = mesh.raw(mesh.key("anna"))
        bad = [
            codec.seal(99, 0, "desk", 0.0),
            codec.seal(Kind.HELLO, 0, "", 0.0, 7),
            codec.seal(Kind.TELL, 0, "desk", 0.0, 7),
            codec.seal(Kind.REPLY, 5, "", 0.0, 7),
            codec.seal(Kind.FAIL, 0, "", 0.0, 7),
        ]
        socket.send(codec.join([*bad, codec.seal(Kind.ASK, 7, "desk", 5.0, WhoAmI())]))
        await eventually(lambda: socket.poll(0))
        heard = b""
        while b"anna user" not in heard:
            await eventually(lambda: socket.poll(0))
            heard += socket.recv()


@pytest.mark.parametrize("ttl_s", [float("nan"), float("inf"), -1.0, 1e300])
async def test_an_ask_that_would_wait_for_ever_has_a_deadline_too(tmp_path: Path, ttl_s: float) -> None:
    async with front(tmp_path) as mesh:
        socket = mesh.raw(mesh.key("anna"))
        socket.send(codec.join([codec.seal(Kind.ASK, 7, "desk", ttl_s, WhoAmI())]))
        await eventually(lambda: socket.poll(0))
        assert b"anna" in socket.recv()


@hypothesis.given(st.binary(max_size=80))
def test_any_bytes_are_a_batch_or_a_bad_message(garbage: bytes) -> None:
    for batch in (garbage, b"\xdd\x00\x00\x00\x01\x95" + garbage, b"\x91" * 5000 + garbage):
        try:
            for envelope in codec.split(batch):
                codec.decode(envelope.body, codec.decoder(Envelope))
        except BadMessage:
            pass


@hypothesis.given(
    st.integers(0, 2**63 - 1), st.text(), st.floats(allow_nan=False), st.binary(), st.sampled_from(list(Kind))
)
def test_a_batch_comes_back_as_it_went(number: int, target: str, ttl_s: float, body: bytes, kind: Kind) -> None:
    sealed = codec.seal(kind, number, target, ttl_s, Echo(body=body))
    for envelope in codec.split(codec.join([sealed] * 3)):
        assert (envelope.kind, envelope.id, envelope.target, envelope.ttl_s) == (kind, number, target, ttl_s)
        assert codec.decode(envelope.body, codec.decoder(Echo)) == Echo(body=body)


async def test_the_actor_is_told_when_a_peer_hangs_up(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        anna = mesh.dial(mesh.key("anna"))
        await mesh.ask(anna, Follow())
        anna.close()
        await eventually(lambda: mesh.desk.lost)
        assert mesh.desk.lost == ["it said goodbye"]
        assert not mesh.listener.links


async def test_what_comes_over_the_data_channel_behind_a_goodbye_makes_no_peer(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        key = mesh.key("anna")
        control = mesh.raw(key, b"anna-1")
        control.send(codec.join([codec.seal(Kind.ASK, 7, "desk", 5.0, Follow())]))
        await eventually(lambda: mesh.desk.followers)
        control.send(codec.join([codec.seal(Kind.BYE, 0, "", 0.0)]))
        await eventually(lambda: mesh.desk.lost)
        heard_before = mesh.listener.statistics()["received"]
        data = mesh.raw(key, b"anna-1", data=True)
        data.send(codec.join([codec.seal(Kind.BEAT, 0, "", 0.0)]))
        await eventually(lambda: mesh.listener.statistics()["received"] > heard_before)
        assert not mesh.listener.links
        data.close(0)
        control.close(0)


async def test_a_peer_that_vanished_without_a_word_is_found_out(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        key = mesh.key("anna")
        socket = mesh.raw(key)
        socket.send(codec.join([codec.seal(Kind.ASK, 7, "desk", 5.0, Follow())]))
        await eventually(lambda: mesh.desk.followers)
        socket.close(0)

        def lost() -> bool:
            mesh.listener.look_for_lost(asyncio.get_running_loop().time() + 60.0)
            return bool(mesh.desk.lost)

        await eventually(lost)
        assert not mesh.listener.links
        with pytest.raises(PeerGone):
            await mesh.desk.followers[0].ask("viewer", WhoAmI())


async def test_an_actor_pushes_to_a_peer_that_asked_for_it(tmp_path: Path) -> None:
    async with front(tmp_path) as mesh:
        anna = mesh.dial(mesh.key("anna"))
        await mesh.ask(anna, Follow())
        for number in range(100):
            mesh.desk.followers[0].tell("viewer", Pushed(number=number))
        await eventually(lambda: len(mesh.heard) == 100)
        numbers = [msgspec.msgpack.decode(one.body, type=Pushed).number for one in mesh.heard]
        assert numbers == list(range(100))


async def test_an_address_in_use_is_one_clear_error(tmp_path: Path) -> None:
    port = free_port()
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", port + 1000))
        taken.listen()
        node = Node("hub")
        (tmp_path / "keys").mkdir()
        with pytest.raises(EndpointInUse, match=f"{port + 1000} is in use"):
            node.listen_front(tcp_endpoint("127.0.0.1", port), SERVER, KeyRing(tmp_path / "keys"))
        await node.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
async def test_tcp_without_keys_is_refused(host: str) -> None:
    node = Node("hub")
    with pytest.raises(AddressError, match="open to everybody"):
        node.listen_inner(tcp_endpoint(host, 7777))
    with pytest.raises(AddressError, match="open to everybody"):
        node.listen_inner(Endpoint(control="ipc:///tmp/x", data="tcp://127.0.0.1:7777"))
    await node.close()


async def test_asks_fail_when_the_mesh_goes_and_work_when_it_is_back(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    ring = KeyRing(keys)
    pair = new_pair()
    ring.allow(Principal(name="anna", role="user"), pair.public)
    endpoint = ipc_endpoint(tmp_path, "front")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    async def up() -> Node:
        node = Node("hub")
        node.listen_front(endpoint, SERVER, ring)
        await node.start_actor("desk", Desk)
        return node

    node = await up()
    anna = Dialer(
        context, endpoint, lambda link, envelope: None, name="anna", key=pair, server=ServerKey(public=SERVER.public)
    )
    assert await anna.link.ask("desk", WhoAmI()) == "anna user"
    held = anna.link.ask("desk", Hold())
    await anna.link.ask("desk", WhoAmI())
    await node.close()
    with pytest.raises(PeerGone):
        await held
    # Asked before the break was seen, it would have been asked over the connection that broke.
    await eventually(lambda: not anna.connected, what="the break")
    waits = anna.link.ask("desk", WhoAmI(), timeout_s=20.0)
    node = await up()
    assert await waits == "anna user"
    anna.close()
    context.term()
    await node.close()


async def test_a_key_has_so_many_connections_and_those_of_the_others_are_heard_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcs_mesh.transport.newcomers.MAX_CONNECTIONS", 3)
    async with front(tmp_path) as there:
        anna, bert = there.key("anna"), there.key("bert")
        dialers = [there.dial(anna) for _ in range(3)]
        for dialer in dialers:
            assert await there.ask(dialer, WhoAmI()) == "anna user"
        one_more = there.raw(anna)
        one_more.send(codec.join([codec.seal(Kind.ASK, 1, "desk", 5.0, WhoAmI())]))
        await eventually(lambda: one_more.poll(0))
        (failed,) = codec.split(one_more.recv())
        assert failed.kind == Kind.FAIL
        assert b"its key has 3 connections already" in bytes(failed.body)
        one_more.close(0)
        assert await there.ask(there.dial(bert), WhoAmI()) == "bert user"
        dialers[0].close()
        await eventually(lambda: len(there.listener.links) == 3)
        assert await there.ask(there.dial(anna), WhoAmI()) == "anna user"
