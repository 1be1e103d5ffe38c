"""Metrics for Prometheus on a port of this host, from the same statistics that the console shows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .config import MeshError
from .messages.control import ActorRow

ANSWER_S = 5.0
"""How long a scrape waits for the mesh's loop: when that hangs, a metric that is absent says so."""
LOOPBACK = "127.0.0.1"
_NAMED = frozenset(
    (
        *("mailbox", "handled", "refused", "expired", "handling_s", "slowest_s", "deferred"),
        *("loop_lag_s", "memory_bytes", "paused", "last_error"),
    )
)
"""Statistics that have a metric of their own, or none."""

Statistics = Mapping[str, Mapping[str, int | float | str]]


class MetricsPortInUse(MeshError, OSError):
    """Another process listens on the port for metrics."""


class MeshCollector(Collector):
    """Turns the tree and its statistics into metrics whenever somebody asks."""

    def __init__(self, rows: Callable[[], tuple[ActorRow, ...]], statistics: Callable[[], Statistics]) -> None:
        self._rows = rows
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()

    def describe(self) -> list[Metric]:
        """Nothing ahead: registering must not wait for the loop that it runs on."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; called in the server's thread, read in the loop's."""
        gathered = asyncio.run_coroutine_threadsafe(self._gather(), self._loop)
        try:
            rows, statistics = gathered.result(ANSWER_S)
        except TimeoutError:
            gathered.cancel()
            return iter(())
        return iter(families(rows, statistics))

    async def _gather(self) -> tuple[tuple[ActorRow, ...], Statistics]:
        return self._rows(), self._statistics()


def families(rows: tuple[ActorRow, ...], statistics: Statistics) -> list[Metric]:
    """The tree and its statistics as metrics; times are in seconds."""

    def gauge(name: str, says: str, value: Callable[[ActorRow], float | None]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"hcs_mesh_{name}", says, labels=("name", "kind"))
        for row in rows:
            if (found := value(row)) is not None:
                family.add_metric((row.name, row.kind), found)
        return family

    def counter(name: str, says: str, value: Callable[[ActorRow], float | None]) -> CounterMetricFamily:
        family = CounterMetricFamily(f"hcs_mesh_{name}", says, labels=("name", "kind"))
        for row in rows:
            if (found := value(row)) is not None:
                family.add_metric((row.name, row.kind), found)
        return family

    def works(value: float, row: ActorRow) -> float | None:
        return value if row.kind != "supervisor" else None

    others = GaugeMetricFamily(
        "hcs_mesh_statistic", "Whatever else an actor, a process or the node counts.", labels=("name", "statistic")
    )
    for name, counts in statistics.items():
        for statistic, value in counts.items():
            if statistic not in _NAMED and isinstance(value, int | float):
                others.add_metric((name, statistic), float(value))
    return [
        gauge("running", "1 while it runs, 0 while it is down or paused.", lambda row: float(row.state == "running")),
        counter("restarts", "Starts after the first.", lambda row: row.restarts),
        gauge("mailbox_messages", "Messages that wait.", lambda row: works(row.mailbox, row)),
        counter("handled", "Messages handled.", lambda row: works(row.handled, row)),
        counter("refused", "Messages refused because the mailbox was full.", lambda row: works(row.refused, row)),
        gauge("deferred", "Answers being worked on.", lambda row: works(row.deferred, row)),
        gauge("handling_seconds", "Mean time of handling a message.", lambda row: works(row.handling_s, row)),
        gauge("slowest_seconds", "Longest time of handling a message.", lambda row: works(row.slowest_s, row)),
        gauge(
            "loop_lag_seconds",
            "How late the loop of a process is.",
            lambda row: row.loop_lag_s if _measured(row) else None,
        ),
        gauge("memory_bytes", "Memory of a process.", lambda row: row.memory_bytes if _measured(row) else None),
        gauge("gpu_used_bytes", "Memory in use on a process's card.", lambda row: row.gpu_used_bytes or None),
        gauge("gpu_total_bytes", "Memory of a process's card.", lambda row: row.gpu_total_bytes or None),
        others,
    ]


def _measured(row: ActorRow) -> bool:
    return row.kind == "process" or not row.parent or row.memory_bytes > 0


class MetricsServer:
    """Serves the metrics until it is closed."""

    def __init__(self, collector: MeshCollector, port: int) -> None:
        """Listen on a port of this host; 0 takes any free one.

        Raises:
            MetricsPortInUse: another process listens there.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=registry)
        except OSError as error:
            raise MetricsPortInUse(
                f"port {port} for metrics cannot be used: {error.strerror}", hint="choose another with metrics.port"
            ) from error
        self.port = int(self._server.server_port)

    async def close(self) -> None:
        """Stop serving; a scrape at work is answered first."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)
