"""A stand-in in a process of its own, for tests: started, told things, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from free_ports import free_port

SERVE = Path(__file__).resolve().parent / "serve.py"
START_S = 60.0
"""A loaded machine takes its time."""


class Told(Exception):
    """The control refused a request."""


class ControlLine:
    """Requests to the server's control, one at a time."""

    def __init__(self, port: int) -> None:
        self._port = port

    def tell(self, do: str, **request: Any) -> dict[str, Any]:
        """Ask the control for something; its answer.

        Raises:
            Told: it knows no such thing.
        """
        with (
            socket.create_connection(("127.0.0.1", self._port), timeout=START_S) as line,
            line.makefile("rwb") as lines,
        ):
            lines.write(json.dumps({"do": do, **request}).encode() + b"\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
        if not answer.pop("ok"):
            raise Told(answer["error"])
        return answer

    def counts(self) -> dict[str, int]:
        """How often each operation was called since the counts were last forgotten."""
        counts: dict[str, int] = self.tell("counts")["counts"]
        return counts


class RunningServer:
    """One server on one folder, whatever process it runs in."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = free_port()
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    @property
    def managed(self) -> Path:
        return self.folder / "ManagedRepository"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def start(self, *, kill_at: str = "") -> None:
        """Serve, on the port of before if there was one; until ``kill_at``, an operation, is first called.

        Whoever has waited for the server may call it before the control can be told anything.
        """
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._python, "-u", str(SERVE), str(self.folder), "--port", str(self.port), "--kill-at", kill_at],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the server did not start: {(self.folder / 'server.log').read_text()[-3000:]}"
        where = json.loads(line)
        self.port, self.pid = where["port"], where["pid"]
        self.control = ControlLine(where["control"])

    def kill(self) -> None:
        """End it with nothing said, as a power cut would."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def has_died(self) -> bool:
        """Whether it has ended by itself, or was killed by somebody else."""
        assert self._process is not None
        return self._process.poll() is not None

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._ended()

    def wait_until_dead(self, timeout_s: float = START_S) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        self._process.wait(timeout_s)
        return self._ended()

    def _ended(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        code = self._process.wait(START_S)
        self._process.stdout.close()
        self._process = None
        return code

    @property
    def is_running(self) -> bool:
        return self._process is not None


@contextmanager
def running_server(
    folder: Path, setup: dict[str, Any] | None = None, python: str = sys.executable
) -> Iterator[RunningServer]:
    """A stand-in on a folder, which is ended at the latest when the block is."""
    folder.mkdir(parents=True, exist_ok=True)
    if setup is not None:
        (folder / "setup.json").write_text(json.dumps(setup))
    server = RunningServer(folder, python)
    server.start()
    try:
        yield server
    finally:
        if server.is_running:
            server.kill()
