"""A program of somebody's own that joins a mesh as a node, and an actor of it that the mesh finds by name."""

from __future__ import annotations

import asyncio
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from waiting import eventually

from hcs_mesh import Actor, Event, JoinedNode, Mesh, Request, Settings
from hcs_mesh.config import DeviceSettings, MeshError, MetricsSettings
from hcs_mesh.config.settings import FrontSettings
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.console import TailLog
from hcs_mesh.messages.joining import WatchActor
from hcs_mesh.supervisors import DuplicateChild
from hcs_mesh.transport import ActorUnknown, KeyRing, MeshCard, Principal, load_or_create_pair

NO_DEVICES = DeviceSettings(cpu_slots=0, gpu="off")


class Add(Request[int], frozen=True, kw_only=True, tag="joined.add"):
    number: int


class Fall(Event, frozen=True, kw_only=True, tag="joined.fall"):
    """Fail in a way that nobody foresaw."""


class Adder(Actor[Add | Fall]):
    def __init__(self) -> None:
        self._sum = 0

    async def receive(self, message: Add | Fall) -> Any:
        if isinstance(message, Fall):
            raise ZeroDivisionError("told to fall")
        self._sum += message.number
        return self._sum

    async def stopping(self) -> None:
        # Longer than it is between two looks at the tree: whoever watches must hear first that the host leaves.
        await asyncio.sleep(2.5)

    def statistics(self) -> dict[str, int | float | str]:
        return {"added": self._sum}


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


class Passing(Actor[Add]):
    """An actor of the mesh that has another host's do its work."""

    async def receive(self, message: Add) -> Any:
        return self.defer(self._pass_on(message))

    async def _pass_on(self, message: Add) -> int:
        return await self.context.find("adder@hostb").ask(message, timeout_s=30.0)


@pytest.mark.timeout(120)
def test_an_actor_of_a_joined_program_is_found_watched_and_restarted_by_its_own_supervisor(tmp_path: Path) -> None:
    port = free_port()
    front = FrontSettings(tcp_host="127.0.0.1", tcp_port=port)

    async def program() -> None:
        mesh = Mesh(Settings(devices=NO_DEVICES, front=front), data=tmp_path / "mesh").add("passing", Passing)
        async with mesh:
            layout = DataLayout(tmp_path / "mesh")
            pair = load_or_create_pair(tmp_path / "hostb.secret")
            KeyRing(layout.allowed_keys).allow(Principal(name="hostb", role="node"), pair.public)
            card = MeshCard(address=f"127.0.0.1:{port}", public=load_or_create_pair(layout.mesh_secret).public)
            with pytest.raises(MeshError):
                await mesh.ask("passing", Add(number=1))
            for taken in ("uplink", "node", "executor.cpu0", "door.cpu0"):
                devices = DeviceSettings(cpu_slots=1, gpu="off")
                with pytest.raises(DuplicateChild, match=taken):
                    async with JoinedNode(
                        Settings(devices=devices), data=tmp_path / "node", card=card, key=tmp_path / "hostb.secret"
                    ).add(taken, Adder):
                        pass
            metrics = MetricsSettings(port=free_port())
            settings = Settings(devices=NO_DEVICES, metrics=metrics)
            node = JoinedNode(settings, data=tmp_path / "node", card=card, key=tmp_path / "hostb.secret")
            node.add("adder", Adder)
            async with node:
                await eventually(lambda: "adder@hostb" in {row.name for row in mesh.rows()}, what="the node's tree")
                adder = mesh.find("adder@hostb")
                assert await adder.ask(Add(number=2)) == 2
                assert await mesh.ask("passing", Add(number=3)) == 5
                death = asyncio.ensure_future(mesh.ask("nodes", WatchActor(actor="adder@hostb")))
                await eventually(lambda: bool(mesh._node and mesh._node.cells["nodes"].statistics()["deferred"]))
                adder.tell(Fall())
                assert "told to fall" in (await asyncio.wait_for(death, 30)).reason
                assert await adder.ask(Add(number=1)) == 1, "it is a new life of it"

                def shown() -> list[tuple[str, int]]:
                    return [(row.parent, row.restarts) for row in mesh.rows() if row.name == "adder@hostb"]

                await eventually(lambda: shown() == [("node@hostb", 1)], what="its restart in the mesh's tree")
                text = await asyncio.to_thread(scraped, metrics.port)
                assert 'hcs_mesh_statistic{name="adder",statistic="added"} 1.0' in text, "what it counts itself, there"
                detail = await mesh.inspect("adder@hostb")
                assert any("ZeroDivisionError" in one.traceback for one in detail.incidents)
                assert isinstance(await mesh.ask("console", TailLog(actor="adder@hostb")), object)
                assert await node.journals() == ()
                left = asyncio.ensure_future(mesh.ask("nodes", WatchActor(actor="adder@hostb")))
                await eventually(lambda: bool(mesh._node and mesh._node.cells["nodes"].statistics()["deferred"]))
            assert (await asyncio.wait_for(left, 30)).reason == "it has left"
            assert "adder@hostb" not in {row.name for row in mesh.rows()}
            with pytest.raises(ActorUnknown, match="hostb is away"):
                await adder.ask(Add(number=1))

    asyncio.run(program())


@pytest.mark.timeout(120)
def test_a_host_that_is_not_let_in_says_so_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    front = FrontSettings(tcp_host="127.0.0.1", tcp_port=port)

    def program_of(name: str, card: MeshCard) -> JoinedNode:
        return JoinedNode(Settings(devices=NO_DEVICES), data=tmp_path / name, card=card, key=tmp_path / "hostb.secret")

    async def program() -> None:
        async with Mesh(Settings(devices=NO_DEVICES, front=front), data=tmp_path / "mesh"):
            layout = DataLayout(tmp_path / "mesh")
            pair = load_or_create_pair(tmp_path / "hostb.secret")
            KeyRing(layout.allowed_keys).allow(Principal(name="hostb", role="node"), pair.public)
            card = MeshCard(address=f"127.0.0.1:{port}", public=load_or_create_pair(layout.mesh_secret).public)
            # The first one is in as soon as it says that it is up, however long that takes.
            monkeypatch.setattr("hcs_mesh.joined_node.FIRST_JOIN_S", 60.0)
            async with AsyncExitStack() as stack:
                first = await stack.enter_async_context(program_of("first", card))
                joined = (await first.status()).repository
                assert joined.startswith(f"none: node hostb of the mesh at {card.address}")
                monkeypatch.setattr("hcs_mesh.joined_node.FIRST_JOIN_S", 0.1)
                async with program_of("second", card) as second:
                    apart = f"none: node hostb, not in the mesh at {card.address}"
                    assert (await second.status()).repository.startswith(apart)
                    why = "another host has joined under the key of hostb"
                    await eventually(lambda: why in second.describe().repository, within_s=30, what="the reason")
                    assert (await first.status()).repository == joined
                    await stack.aclose()
                    await eventually(lambda: second.describe().repository == joined, within_s=30, what="its joining")

    asyncio.run(program())
