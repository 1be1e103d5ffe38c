"""The other end of the process that keeps sessions alive: started when it is needed, and again when it died."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from .address import OmeroAddress, SessionKey
from .keeper import News, Order, Start

COMMAND = (sys.executable, "-P", "-m", f"{__package__}.keeper")
# A process that cannot live is not started in a circle.
_PAUSE_S = 1.0


def ignore_end(_: SessionKey) -> None:
    """Take note of nothing: for a caller that finds out by itself."""


class SessionKeeper:
    """Keeps sessions alive from a process of its own."""

    def __init__(
        self, address: OmeroAddress, *, every_s: float = 60.0, on_ended: Callable[[SessionKey], None] = ignore_end
    ) -> None:
        """Keep sessions at one server; ``on_ended`` is called from a thread with those that are over."""
        self._start = Start(address=address, every_s=every_s)
        self._on_ended = on_ended
        self._lock = threading.Lock()
        self._keys: dict[int, SessionKey] = {}
        self._kept: set[int] = set()
        self._n_given = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()

    @property
    def pid(self) -> int:
        """The process, or 0 while there is none."""
        with self._lock:
            return self._process.pid if self._process is not None else 0

    @property
    def n_kept(self) -> int:
        """How many sessions were seen alive by the process that runs now."""
        with self._lock:
            return len(self._kept)

    def keep(self, key: SessionKey) -> None:
        """Keep a session alive from now on."""
        with self._lock:
            self._n_given += 1
            self._keys[self._n_given] = key
            if self._process is None:
                self._start_process()
            else:
                self._send(Order(keep=self._n_given, uuid=key.uuid.reveal()))

    def leave(self, key: SessionKey) -> None:
        """Let a session end when it does."""
        with self._lock:
            for number in [number for number, one in self._keys.items() if one == key]:
                del self._keys[number]
                self._kept.discard(number)
                self._send(Order(leave=number))

    def close(self) -> None:
        """End the process."""
        self._closing.set()
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _close_input(process)
            process.wait()

    def _start_process(self) -> None:
        self._process = process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._kept.clear()
        self._write(msgspec.json.encode(self._start))
        for number, key in self._keys.items():
            self._send(Order(keep=number, uuid=key.uuid.reveal()))
        threading.Thread(target=self._listen, args=(process,), name="omero-keeper", daemon=True).start()

    def _send(self, order: Order) -> None:
        self._write(msgspec.json.encode(order))

    def _write(self, line: bytes) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # It has died, and who listens to it starts the next one with all there is to keep.
            return

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._hear(msgspec.json.decode(line, type=News))
        process.wait()
        self._closing.wait(_PAUSE_S)
        with self._lock:
            _close_input(process)
            if self._process is process:
                self._start_process()

    def _hear(self, news: News) -> None:
        with self._lock:
            if news.kept in self._keys:
                self._kept.add(news.kept)
            self._kept.discard(news.ended)
            ended = self._keys.pop(news.ended, None)
        if ended is not None:
            self._on_ended(ended)


def _close_input(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # What it had not read yet is lost with it.
    with suppress(BrokenPipeError):
        process.stdin.close()
