"""The bound on a message holds between a node and its children as its settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import BadMessage, Request, ipc_endpoint

pytestmark = pytest.mark.anyio


class Measure(Request[int], frozen=True, kw_only=True, tag="bounds.measure"):
    body: bytes


class Scale(Actor[Measure]):
    async def receive(self, message: Measure) -> int:
        return len(message.body)


@pytest.mark.parametrize("bound", [50_000, 200_000])
async def test_a_child_says_what_its_parents_bound_lets_it_and_no_more(tmp_path: Path, bound: int) -> None:
    endpoint = ipc_endpoint(tmp_path, "inner")
    parent, child = Node("hub"), Node("child")
    parent.listen_inner(endpoint, max_message_bytes=bound)
    life = await parent.start_actor("scale", Scale)
    link = child.dial_parent(endpoint, max_message_bytes=bound).link
    try:
        assert await link.ask("scale", Measure(body=bytes(bound - 1_000)), timeout_s=5.0) == bound - 1_000
        with pytest.raises(BadMessage, match=r"limits\.message_bytes|at most"):
            await link.ask("scale", Measure(body=bytes(bound)), timeout_s=5.0)
    finally:
        await life.stop()
        await life.wait()
        await child.close()
        await parent.close()
