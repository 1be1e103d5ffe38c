"""Process children: an OS process whose exit, signal or silence is a failure like any other."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .child import Exit, Kind, Reason
from .health import Health, HealthLimits, HeartWatch

GIVEN_UP_S = 11.0
"""How long a killed process may still be there before it counts as ended; longer than a stop waits for it.

One that hangs in the system, in a driver or on a disk that does not answer, cannot be killed, and its work must go on.
"""
TAIL_BYTES = 4096
"""How much of a child's last output goes into its exit's error text."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start one process; the child's side is in ``lifeline``."""

    argv: tuple[str, ...]
    spec: bytes = b""
    """The one line that the child reads from stdin: JSON, say, which holds no newline."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to our own environment."""
    folder: Path | None = None
    log: Path | None = None
    """Where stdout and stderr are appended; without it only the tail is kept for the error."""
    memory_bytes: int | None = None
    """A limit to the address space (Linux). Not for CUDA, which reserves far more than it uses."""
    ready_s: float = 60.0
    health: HealthLimits | None = None
    """Without limits nobody judges the heartbeats."""


class ProcessChild:
    """A running process, in a session and process group of its own."""

    kind: Kind = "process"

    def __init__(
        self,
        spec: ProcessSpec,
        process: asyncio.subprocess.Process,
        output: BinaryIO,
        *,
        output_from: int,
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._spec = spec
        self._process = process
        self._output = output
        self._output_from = output_from
        self._now_s = now_s
        self._sleep = sleep
        self._pulse = HeartWatch(spec.health or HealthLimits(), now_s())
        self._health = Health.ALIVE
        self._reason: Reason | None = None
        self._n_beats = 0
        self._blame = "child"
        self._watching: asyncio.Task[None] | None = None
        self._given_up: asyncio.Task[None] | None = None
        self._unkillable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ending = asyncio.create_task(self._end(), name=f"process {process.pid}")

    @property
    def pid(self) -> int | None:
        """The process id, which is also that of its group."""
        return self._process.pid

    @property
    def health(self) -> Health:
        """What the heartbeats said when last looked at."""
        return self._health

    def charge(self, blame: str) -> None:
        """Say who pays if it dies now: "child", "nobody", or the work in flight; no more once its end is decided."""
        if self._reason is None and self._process.returncode is None:
            self._blame = blame

    def beat(self, now_s: float, state: str = "idle") -> None:
        """Take a heartbeat of the child's main loop; ``state`` is "idle" or names its work."""
        self._n_beats += 1
        self._pulse.beat(now_s, state)

    async def wait(self) -> Exit:
        """Return how it ended, once it has, its whole group with it; or that it cannot be killed."""
        await asyncio.wait([self._ending, self._unkillable], return_when=asyncio.FIRST_COMPLETED)
        if not self._ending.done():
            error = f"process {self.pid} is still there {GIVEN_UP_S:g} s after SIGKILL: it hangs in the system"
            return Exit(reason=self._reason or "killed", error=error, blame=self._blame)
        if self._ending.cancelled():
            return Exit(reason="killed", error="the loop that watched it was torn down", blame=self._blame)
        self._ending.result()
        return self._exit()

    async def stop(self) -> None:
        """Send SIGTERM, which asks it to end in order."""
        self._mark("shutdown")
        # One that has just ended has nothing left to end.
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def kill(self) -> None:
        """Kill it and its whole group."""
        self._mark("killed")
        self._kill()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return its health and the age of its last heartbeat."""
        silence_s = round(self._pulse.silence_s(self._now_s()), 3)
        return {"health": self._health.value, "beats": self._n_beats, "silence_s": silence_s}

    def watch(self) -> None:
        """Begin to judge the heartbeats, if the specification sets limits."""
        if self._spec.health is not None and not self._ending.done():
            self._pulse = HeartWatch(self._spec.health, self._now_s())
            self._watching = asyncio.create_task(self._look_on(self._spec.health))

    def tail(self) -> str:
        """Return the end of what this process wrote."""
        if self._output.closed:
            return self._last_words
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(self._output_from, end - TAIL_BYTES))
        return self._output.read(TAIL_BYTES).decode("utf-8", "replace").strip()

    async def _look_on(self, limits: HealthLimits) -> None:
        while not self._ending.done():
            await self._sleep(limits.look_every_s)
            self._health = self._pulse.look(self._now_s())
            if self._health is Health.HUNG:
                self._mark("hung")
                self._kill()  # SIGTERM would wait for the very loop that does not answer.
                return

    def _kill(self) -> None:
        self._kill_group()
        if self._given_up is None and not self._ending.done():
            self._given_up = asyncio.create_task(self._give_up())

    async def _give_up(self) -> None:
        await self._sleep(GIVEN_UP_S)
        self._unkillable.set_result(None)

    async def _end(self) -> None:
        try:
            await self._process.wait()
        except asyncio.CancelledError:
            # The loop is being torn down: nobody will be there to watch it.
            self._kill_group()
            # One that cannot be killed is left behind.
            with suppress(TimeoutError):
                async with asyncio.timeout(GIVEN_UP_S):
                    await self._process.wait()
            raise
        finally:
            # What the child started must not outlive it. While any of them lives the kernel does
            # not give the group's number to anyone else.
            self._kill_group()
            for task in (self._watching, self._given_up):
                if task is not None:
                    task.cancel()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._last_words = self.tail()
            self._output.close()

    def _mark(self, reason: Reason) -> None:
        if not self._ending.done() and self._reason != "hung":
            self._reason = reason

    def _kill_group(self) -> None:
        # Its group may be gone, or (on macOS) hold nothing but zombies, which may not be signalled.
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _exit(self) -> Exit:
        code = self._process.returncode or 0
        name = _signal_name(-code) if code < 0 else ""
        if self._reason is not None:
            reason: Reason = self._reason
        else:
            reason = "failed" if code else "normal"
        error = ""
        if reason in ("failed", "hung", "killed"):
            how = f"ended by {name}" if name else f"ended with exit code {code}"
            silent = (
                f"no heartbeat for {self._spec.health.silence_s:g} s; "
                if reason == "hung" and self._spec.health
                else ""
            )
            error = f"{silent}process {self._process.pid} {how}"
            if self._last_words:
                error += f"; its last output:\n{self._last_words}"
        exit_code = code if code >= 0 else None
        return Exit(reason=reason, error=error, exit_code=exit_code, signal=name, blame=self._blame)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
