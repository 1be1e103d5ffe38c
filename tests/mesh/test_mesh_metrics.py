"""What Prometheus reads of a mesh."""

import asyncio
import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest

from hcs_mesh import Mesh, Settings
from hcs_mesh.config import DeviceSettings, MetricsSettings
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.metrics import MeshCollector, MetricsPortInUse, MetricsServer, families

pytestmark = pytest.mark.anyio
ROWS = (
    ActorRow(name="mesh", parent="", kind="supervisor", pid=1, state="running", memory_bytes=5, loop_lag_s=0.5),
    ActorRow(name="imports", parent="mesh", kind="actor", pid=1, state="paused", mailbox=3, handled=7, restarts=2),
    ActorRow(name="executor.cuda0", parent="mesh", kind="process", pid=2, state="running", gpu_used_bytes=9),
)
STATISTICS = {"imports": {"imports_open": 4, "busy": "import-0001 settling", "mailbox": 3}}


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
    assert not [key for key in told if "busy" in key], "text is no metric"
    assert ("hcs_mesh_statistic", "imports", "mailbox") not in told, "nothing is told twice"


async def test_a_scrape_reads_what_holds_at_that_moment() -> None:
    server = MetricsServer(MeshCollector(lambda: ROWS, lambda: STATISTICS), 0)
    try:
        text = await asyncio.to_thread(scraped, server.port)
    finally:
        await server.close()
    assert 'hcs_mesh_mailbox_messages{kind="actor",name="imports"} 3.0' in text


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
