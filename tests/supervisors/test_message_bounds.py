"""The bound on a message holds between a node and its children as its settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import BadMessage, KeyRing, Principal, Request, Role, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio


class Measure(Request[int], frozen=True, kw_only=True, tag="bounds.measure"):
    audience: ClassVar[Role | None] = "viewer"
    body: bytes


class Fill(Request[bytes], frozen=True, kw_only=True, tag="bounds.fill"):
    audience: ClassVar[Role | None] = "viewer"
    n_bytes: int


class Scale(Actor[Measure | Fill]):
    async def receive(self, message: Measure | Fill) -> int | bytes:
        return len(message.body) if isinstance(message, Measure) else bytes(message.n_bytes)


async def test_what_is_within_the_bound_by_a_byte_passes_an_encrypted_connection_too(tmp_path: Path) -> None:
    bound = 5_000
    server, pair, endpoint, ring = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front"), KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="anna", role="user"), pair.public)
    hub, asker = Node("hub"), Node("asker")
    hub.listen_front(endpoint, server, ring, max_message_bytes=bound)
    life = await hub.start_actor("scale", Scale)
    link = asker.dial(endpoint, pair, ServerKey(public=server.public), max_message_bytes=bound).link
    told = []
    try:
        for n_bytes in range(bound - 100, bound + 1):
            for request in (Measure(body=bytes(n_bytes)), Fill(n_bytes=n_bytes)):
                [answer] = await asyncio.gather(link.ask("scale", request, timeout_s=20.0), return_exceptions=True)
                # Whoever asks too much, or for too much, is told so; nobody is hung up on for it.
                assert answer in (n_bytes, bytes(n_bytes)) or isinstance(answer, BadMessage), (n_bytes, answer)
                told.append(type(answer))
        assert {int, bytes, BadMessage} == set(told)
    finally:
        await life.stop()
        await life.wait()
        await asker.close()
        await hub.close()


@pytest.mark.parametrize("bound", [50_000, 200_000])
async def test_a_child_says_what_its_parents_bound_lets_it_and_no_more(tmp_path: Path, bound: int) -> None:
    endpoint = ipc_endpoint(tmp_path, "inner")
    parent, child = Node("hub"), Node("child")
    parent.listen_inner(endpoint, max_message_bytes=bound)
    life = await parent.start_actor("scale", Scale)
    link = child.dial_parent(endpoint, max_message_bytes=bound).link
    try:
        assert await link.ask("scale", Measure(body=bytes(bound - 1_000)), timeout_s=20.0) == bound - 1_000
        with pytest.raises(BadMessage, match=r"limits\.message_bytes|at most"):
            await link.ask("scale", Measure(body=bytes(bound)), timeout_s=20.0)
    finally:
        await life.stop()
        await life.wait()
        await child.close()
        await parent.close()
