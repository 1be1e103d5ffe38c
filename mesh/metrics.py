"""Metrics for Prometheus on a port of this host, from the same statistics that the console shows."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .config import MeshError
from .messages.control import ActorRow
from .transport import descriptors

ANSWER_S = 5.0
"""How long a scrape waits for the mesh's loop: when that hangs, a metric that is absent says so."""
MOST_AT_ONCE = 16
"""Connections that are served at once: each takes a thread and a descriptor of the mesh."""
LONGEST_S = 10.0
"""How long one connection may take altogether, whatever it says meanwhile."""
LOOPBACK = "127.0.0.1"
_NAMED = frozenset(
    (
        *("mailbox", "handled", "refused", "handling_s", "slowest_s", "deferred"),
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

    def __init__(self, collector: MeshCollector, port: int, *, now: Callable[[], float] = time.monotonic) -> None:
        """Listen on a port of this host; 0 takes any free one. ``now`` is a clock in seconds.

        Raises:
            MetricsPortInUse: another process listens there.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        app = make_wsgi_app(registry)
        try:
            self._server = make_server(LOOPBACK, port, app, _BoundedServer, _SilentHandler)
        except OSError as error:
            raise MetricsPortInUse(
                f"port {port} for metrics cannot be used: {error.strerror}", hint="choose another with metrics.port"
            ) from error
        self._server.now = now
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def n_connections(self) -> int:
        """The connections that are served just now."""
        return len(self._server.since_s)

    async def close(self) -> None:
        """Stop serving; a scrape at work is answered first, and who has asked nothing yet is hung up on."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)
        self._server.hang_up(socket.SHUT_RD)


class _SilentHandler(WSGIRequestHandler):
    """Answers a scrape without a line on standard error."""

    def log_message(self, *said: Any, **named: Any) -> None:
        """Log nothing."""


class _BoundedServer(ThreadingMixIn, WSGIServer):
    """A thread for each connection, of which there are few at once, and none for long.

    Anybody on this host may connect, and no key is asked for. A time-out for each read alone would let whoever says one
    byte now and then stay for good.
    """

    daemon_threads = True

    def __init__(self, *args: Any, **options: Any) -> None:
        self.now: Callable[[], float] = time.monotonic
        self.since_s: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._most_descriptors = descriptors.most(descriptors.limit())
        super().__init__(*args, **options)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more; the descriptors that no connection may have stay free of these too."""
        with self._lock:
            if len(self.since_s) >= MOST_AT_ONCE or request.fileno() >= self._most_descriptors:
                return False
            self.since_s[request] = self.now()
        return True

    def service_actions(self) -> None:
        """Hang up on who has been here for too long; called twice a second."""
        self.hang_up(socket.SHUT_RDWR, before_s=self.now() - LONGEST_S)

    def hang_up(self, how: int, *, before_s: float = float("inf")) -> None:
        """End all that have come no later than that; their threads see it, and close them."""
        # Under the lock: a descriptor that its thread closes meanwhile may be somebody else's by then.
        with self._lock:
            for request, since_s in self.since_s.items():
                if since_s <= before_s:
                    # It may be gone already.
                    with suppress(OSError):
                        request.shutdown(how)

    def close_request(self, request: Any) -> None:
        """Close a connection, and have its place free again."""
        with self._lock:
            self.since_s.pop(request, None)
            super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a connection that breaks off is no fault of the mesh, and there may be any number."""
