"""What Prometheus reads of a mesh."""

import asyncio
import json
import re
import selectors
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh import Mesh, Settings
from hcs_mesh.config import DeviceSettings, MetricsSettings
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.metrics import LONGEST_S, MOST_AT_ONCE, MeshCollector, MetricsPortInUse, MetricsServer, families
from hcs_mesh.transport import descriptors

pytestmark = pytest.mark.anyio
ROWS = (
    ActorRow(name="mesh", parent="", kind="supervisor", pid=1, state="running", memory_bytes=5, loop_lag_s=0.5),
    ActorRow(name="imports", parent="mesh", kind="actor", pid=1, state="paused", mailbox=3, handled=7, restarts=2),
    ActorRow(name="executor.cuda0", parent="mesh", kind="process", pid=2, state="running", gpu_used_bytes=9),
)
STATISTICS = {"imports": {"imports_open": 4, "busy": "import-0001 settling", "mailbox": 3, "expired": 2}}


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def test_every_row_and_statistic_becomes_a_metric() -> None:
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(ROWS, STATISTICS)
        for sample in family.samples
    }
    assert told["hcs_mesh_mailbox_messages", "imports", "actor"] == 3
    assert told["hcs_mesh_handled_total", "imports", "actor"] == 7
    assert told["hcs_mesh_restarts_total", "imports", "actor"] == 2
    assert told["hcs_mesh_running", "imports", "actor"] == 0
    assert told["hcs_mesh_loop_lag_seconds", "mesh", "supervisor"] == 0.5
    assert told["hcs_mesh_gpu_used_bytes", "executor.cuda0", "process"] == 9
    assert told["hcs_mesh_statistic", "imports", "imports_open"] == 4
    assert told["hcs_mesh_statistic", "imports", "expired"] == 2
    assert not [key for key in told if "busy" in key], "text is no metric"
    assert ("hcs_mesh_statistic", "imports", "mailbox") not in told, "nothing is told twice"


async def test_a_scrape_reads_what_holds_at_that_moment() -> None:
    server = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0)
    try:
        text = await asyncio.to_thread(scraped, server.port)
    finally:
        await server.close()
    assert 'hcs_mesh_mailbox_messages{kind="actor",name="imports"} 3.0' in text


class StillClock:
    """A clock that goes on when it is told to."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def connected(port: int, n: int, stack: ExitStack, says: bytes = b"") -> list[socket.socket]:
    """That many connections that ask nothing."""
    peers = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(n)]
    for peer in peers:
        peer.sendall(says)
    return peers


def hung_up_on(peers: list[socket.socket], n: int) -> int:
    """Wait until so many of them at least have been hung up on, and say how many have been."""
    seen: set[int] = set()
    until_s = time.monotonic() + 60
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer, selectors.EVENT_READ)
        while len(seen) < n and time.monotonic() < until_s:
            for key, _ in selector.select(timeout=1):
                seen.add(key.fd)
                selector.unregister(key.fileobj)
    return len(seen)


def n_serving_threads() -> int:
    """The threads that socketserver has made for connections."""
    return sum("process_request_thread" in one.name for one in threading.enumerate())


async def test_few_connections_that_ask_nothing_are_served_at_once_and_none_for_long() -> None:
    clock = StillClock()
    server = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0, now=clock)
    try:
        with ExitStack() as stack:
            silent = await asyncio.to_thread(connected, server.port, MOST_AT_ONCE, stack)
            await eventually(lambda: server.n_connections == MOST_AT_ONCE, within_s=60)
            others = await asyncio.to_thread(connected, server.port, 50, stack)
            assert await asyncio.to_thread(hung_up_on, others, len(others)) == len(others)
            assert server.n_connections == MOST_AT_ONCE
            await eventually(lambda: n_serving_threads() <= MOST_AT_ONCE, within_s=60)

            clock.now_s += LONGEST_S
            assert await asyncio.to_thread(hung_up_on, silent, len(silent)) == len(silent)
            await eventually(lambda: server.n_connections == 0, within_s=60)
            # Whoever says a little now and then has no longer than whoever says nothing.
            slow = await asyncio.to_thread(connected, server.port, MOST_AT_ONCE, stack, b"GET /met")
            await eventually(lambda: server.n_connections == MOST_AT_ONCE, within_s=60)
            clock.now_s += LONGEST_S
            assert await asyncio.to_thread(hung_up_on, slow, len(slow)) == len(slow)
            await eventually(lambda: server.n_connections == 0 and n_serving_threads() == 0, within_s=60)
        assert "hcs_mesh_running" in await asyncio.to_thread(scraped, server.port)
    finally:
        await server.close()


async def test_the_descriptors_that_no_connection_may_have_are_no_scrapers_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: 4)
    server = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0)
    try:
        with ExitStack() as stack:
            peers = await asyncio.to_thread(connected, server.port, 1, stack)
            assert await asyncio.to_thread(hung_up_on, peers, 1) == 1
        assert server.n_connections == 0
    finally:
        await server.close()


async def test_a_server_that_is_closed_hangs_up_on_who_has_asked_nothing() -> None:
    server = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0, now=StillClock())
    with ExitStack() as stack:
        silent = await asyncio.to_thread(connected, server.port, 3, stack)
        await eventually(lambda: server.n_connections == len(silent), within_s=60)
        await server.close()
        assert await asyncio.to_thread(hung_up_on, silent, len(silent)) == len(silent)
        await eventually(lambda: server.n_connections == 0, within_s=60)


async def test_a_port_in_use_is_told() -> None:
    first = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0)
    try:
        with pytest.raises(MetricsPortInUse, match=str(first.port)):
            MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), first.port)
    finally:
        await first.close()


def statistics_of_the_dashboard(checkout: Path) -> set[str]:
    board = json.loads((checkout / "docs" / "grafana" / "hcs-mesh.json").read_text(encoding="utf-8"))
    asked = "".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    return {name for names in re.findall(r'statistic=~?"([^"]+)"', asked) for name in names.split("|")}


async def test_a_mesh_serves_the_metrics_of_the_dashboard_where_its_settings_say(
    tmp_path: Path, checkout: Path
) -> None:
    port = free_port()
    settings = Settings(devices=DeviceSettings(cpu_slots=0, gpu="off"), metrics=MetricsSettings(port=port))
    async with Mesh(settings, data=tmp_path):
        text = await asyncio.to_thread(scraped, port)
    assert statistics_of_the_dashboard(checkout) - set(re.findall(r'statistic="(\w+)"', text)) == set()
    assert 'hcs_mesh_running{kind="actor",name="imports"} 1.0' in text
    assert 'hcs_mesh_statistic{name="imports",statistic="journal_n_records"}' in text
    assert 'hcs_mesh_memory_bytes{kind="supervisor",name="mesh"}' in text
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_the_dashboard_asks_for_metrics_that_exist(checkout: Path) -> None:
    board = json.loads((checkout / "docs" / "grafana" / "hcs-mesh.json").read_text(encoding="utf-8"))
    names = {sample for family in families(ROWS, STATISTICS) for sample in (family.name, f"{family.name}_total")}
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert asked
    assert [expression for expression in asked if not any(name in expression for name in names)] == []
