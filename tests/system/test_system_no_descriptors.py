"""Real processes that may open nothing more for a while: who asks is answered, nothing is ended, and all goes on."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from free_ports import free_port
from waiting import eventually

from hcs_mesh import Client
from hcs_mesh.config import MeshError
from hcs_mesh.messages.control import ActorRow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set by prlimit")

EXECUTOR = "executor.cpu0"


@contextmanager
def no_descriptors(*pids: int) -> Iterator[None]:
    """Let processes open nothing more; what they have open they keep."""
    processes = [psutil.Process(pid) for pid in pids]
    limits = [one.rlimit(psutil.RLIMIT_NOFILE) for one in processes]
    for one, (_, hard) in zip(processes, limits, strict=True):
        one.rlimit(psutil.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        for one, both in zip(processes, limits, strict=True):
            if one.is_running():
                one.rlimit(psutil.RLIMIT_NOFILE, both)


async def row(client: Client, name: str) -> ActorRow | None:
    return next((one for one in await client.tree() if one.name == name), None)


async def until(client: Client, name: str, is_so: Callable[[ActorRow], bool], what: str) -> None:
    """Look until a line of the tree is so."""

    async def found() -> bool:
        seen = await row(client, name)
        return seen is not None and is_so(seen)

    await eventually(found, 90.0, what)


def lives(rows: tuple[ActorRow, ...]) -> dict[str, tuple[int | None, str, int]]:
    return {one.name: (one.pid, one.state, one.restarts) for one in rows}


async def paused_and_resumed(client: Client, name: str, seen_by: Client, seen_as: str) -> None:
    """What a process is comes by its signs of life alone."""
    await client.pause(name)
    await until(seen_by, seen_as, lambda one: one.state == "paused", f"{seen_as} paused")
    await client.resume(name)
    await until(seen_by, seen_as, lambda one: one.state == "running", f"{seen_as} resumed")


@pytest.mark.timeout(240)
def test_a_mesh_that_may_open_nothing_answers_whoever_looks_and_ends_nobody(mesh_up: Callable[..., Any]) -> None:
    async def look(data: Path) -> None:
        async with Client.at(data) as client:
            before = await client.tree()
            hub, executor = before[0].pid, next(one.pid for one in before if one.name == EXECUTOR)
            assert hub
            assert executor
            with no_descriptors(hub, executor):
                # More often than any branch may be started anew.
                for _ in range(6):
                    rows = await client.tree()
                    assert lives(rows) == lives(before)
                    assert rows[0].memory_bytes > 0
                    assert (await client.status()).pid == hub
                    with pytest.raises(MeshError, match="cannot look into the folder of the journals") as told:
                        await client.journals()
                    assert "descriptor" in told.value.hint
                    with pytest.raises(MeshError, match="cannot look into the folder of the journals"):
                        await client.tail_journal("jobs")
                    with pytest.raises(MeshError, match="cannot read the log"):
                        await client.tail_log("control")
                    with pytest.raises(MeshError, match="cannot be loaded"):
                        await client.try_mail("ada@example.org")
                await paused_and_resumed(client, EXECUTOR, client, EXECUTOR)
            assert "jobs" in await client.journals()
            assert lives(await client.tree()) == lives(before)

    with mesh_up() as mesh:
        asyncio.run(look(mesh.data))


@pytest.mark.timeout(240)
def test_a_joined_node_that_may_open_nothing_stays_joined_and_joins_again(
    mesh_up: Callable[..., Any], tmp_path: Path
) -> None:
    port = free_port()

    async def break_off(mesh: Path, node: Path) -> None:
        async with Client.at(mesh) as there, Client.at(node) as here:
            there_as = f"{EXECUTOR}@hostb"
            await until(there, there_as, lambda one: one.state == "running", "the node")
            root = (await here.tree())[0]
            assert root.pid
            with no_descriptors(root.pid):
                await paused_and_resumed(here, EXECUTOR, there, there_as)
                # Its next life has to dial.
                await here.restart("uplink")
                await until(here, "uplink", lambda one: "cannot be dialled" in one.busy, "a dial without descriptors")
                assert not (await row(here, "uplink") or root).last_error
            await until(there, there_as, lambda one: one.state == "running", "the node again")
            assert (await here.tree())[0].pid == root.pid
            # By whoever asked for it, and by nothing else.
            assert lives(await here.tree())["uplink"] == (root.pid, "running", 1)

    with mesh_up(more_settings=f'\n[front]\ntcp_host = "127.0.0.1"\ntcp_port = {port}\n') as mesh:
        secret, card, config = tmp_path / "hostb.secret", tmp_path / "mesh.toml", tmp_path / "node.toml"
        assert mesh("keys", "new", "hostb", "--role", "node", "--out", secret).code == 0
        public = mesh("keys", "show").value["public"]
        card.write_text(f"address = '127.0.0.1:{port}'\npublic = '{public}'\n", encoding="utf-8")
        config.write_text('[devices]\ncpu_slots = 1\ngpu = "off"\n', encoding="utf-8")
        node = type(mesh)(tmp_path / "node", {**mesh.environment, "HCS_MESH_CONFIG": str(config)})
        where = ("--data", node.data)
        assert node("up", "--detach", *where, "--join", card, "--key", secret).code == 0
        try:
            asyncio.run(break_off(mesh.data, node.data))
        finally:
            down = node("down", *where)
        assert down.code == 0, down.err
