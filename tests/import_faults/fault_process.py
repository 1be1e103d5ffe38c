"""A life of the import branch as the world sees it: a process that says where it stands, and can be killed."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress

import fault_life
import msgspec
from fault_gate import GO
from fault_schedules import Going, Report


class Life:
    """A process, and the two pipes between it and the world."""

    def __init__(self, going: Going) -> None:
        heard, tell = os.pipe()
        hear, said = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(heard)
            os.close(said)
            fault_life.live(going, tell, hear)
        os.close(tell)
        os.close(hear)
        self._heard, self._said = heard, said
        self._lines: list[bytes] = []
        self._rest = b""
        self._status: int | None = None
        self._decode = msgspec.json.Decoder(Report).decode

    def report(self, wait_s: float) -> Report | None:
        """What it says next; None after ``wait_s`` of silence. EOFError when it has ended."""
        while not self._lines:
            if not select.select([self._heard], [], [], wait_s)[0]:
                return None
            data = os.read(self._heard, 1 << 20)
            if not data:
                raise EOFError
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines += lines
        return self._decode(self._lines.pop(0))

    def go(self, word: bytes = GO) -> None:
        """Let it on."""
        with suppress(BrokenPipeError):
            os.write(self._said, word)

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def gone(self) -> int:
        """How it ended, once it has."""
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status)

    def end(self) -> int:
        """Let go of it; how it ended."""
        for descriptor in (self._heard, self._said):
            os.close(descriptor)
        return self.gone()
