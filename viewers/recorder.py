"""The recorder: a viewer without a screen, which writes what it receives."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq
from numpy.typing import NDArray

from ..config.errors import MeshError
from ..messages.frames import Fact, Frame, JobStateChanged, PlaneUnreadable
from ..messages.viewing import Contents, Subject
from ..transport import MeshCard
from .dialling import dial
from .follower import Follower
from .mesh_arguments import add_mesh_arguments, given_mesh
from .recording import Recording


class Recorder:
    """Keeps every plane of a stream in a folder, and knows when everything there is has come."""

    def __init__(self, recording: Recording, *, once: bool = False) -> None:
        """Record; with ``once`` the recorder is ``complete`` when the snapshot has come and the job has ended."""
        self._recording = recording
        self._once = once
        self._waiting = 0
        self._running = False
        self.complete = asyncio.Event()
        self.stirred = asyncio.Event()
        self.n_planes = 0

    def begin(self, contents: Contents) -> None:
        """Note what is being recorded."""
        self._recording.fact({"contents": msgspec.to_builtins(contents)})
        self._waiting = contents.n_planes
        self._running = contents.job_state == "running"
        self._look()

    def plane(self, frame: Frame, pixels: NDArray[Any]) -> None:
        """Write a plane."""
        self._recording.plane(frame.plate_id, frame.job, frame.header, pixels)
        self.n_planes += 1
        self._waiting = frame.n_waiting
        self._look()

    def unreadable(self, report: PlaneUnreadable) -> None:
        """Note a plane that could not be read."""
        address = msgspec.to_builtins(report.header.address)
        self._recording.fact({"unreadable": {**address, "reason": report.reason}})
        self._waiting = report.n_waiting
        self._look()

    def fact(self, fact: Fact, *, n_waiting: int) -> None:
        """Note a fact."""
        self._recording.fact({"fact": msgspec.to_builtins(fact)})
        self._waiting = n_waiting
        if isinstance(fact, JobStateChanged):
            self._running = fact.state == "running"
        self._look()

    def state(self, text: str) -> None:
        """Say on stderr how the connection is."""
        print(text, file=sys.stderr, flush=True)

    def _look(self) -> None:
        self.stirred.set()
        if self._once and self._waiting == 0 and not self._running:
            self.complete.set()

    async def idle(self, idle_s: float) -> None:
        """Return once everything known has come and nothing more did for ``idle_s``."""
        while True:
            try:
                await asyncio.wait_for(self.stirred.wait(), idle_s)
            except TimeoutError:
                if self._waiting == 0:
                    return
            self.stirred.clear()


async def record(
    mesh: Path | MeshCard,
    out: Path,
    subject: Subject,
    *,
    once: bool = False,
    idle_s: float | None = None,
    key: Path | None = None,
) -> int:
    """Record a subject until it is complete, idle or a signal comes, and return how many planes came.

    Raises:
        MeshError: there is no mesh, it knows no such subject, or the folder cannot be written.
    """
    recording = Recording(out)
    recorder = Recorder(recording, once=once)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    reach = functools.partial(dial, context, mesh, name="recorder", key=key)
    follower = Follower(reach, recorder, kind="recorder", subject=subject, title=str(out))
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers: there Ctrl-C arrives as an exception.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    following = asyncio.create_task(follower.run())
    ends: list[asyncio.Task[object]] = [
        asyncio.create_task(recorder.complete.wait()),
        asyncio.create_task(stopped.wait()),
    ]
    if idle_s is not None:
        ends.append(asyncio.create_task(recorder.idle(idle_s)))
    try:
        await asyncio.wait([following, *ends], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
    finally:
        for task in (following, *ends):
            task.cancel()
        await asyncio.gather(following, *ends, return_exceptions=True)
        recording.close()
        context.term()
    return recorder.n_planes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hcs_mesh.viewers.recorder", description=__doc__)
    add_mesh_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="where the recording goes")
    parser.add_argument("--job", default="", help="record this job instead of the latest")
    parser.add_argument("--plate", type=int, default=0, help="record this plate instead of the latest")
    parser.add_argument("--once", action="store_true", help="end when everything is recorded and the job has ended")
    parser.add_argument("--until-idle", type=float, metavar="SECONDS", help="end when nothing came for so long")
    given = parser.parse_args(arguments)
    subject = Subject(plate_id=given.plate, job=given.job)
    try:
        n_planes = asyncio.run(
            record(given_mesh(given), given.out, subject, once=given.once, idle_s=given.until_idle, key=given.key)
        )
    except MeshError as error:
        print(f"{error}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    print(f"{n_planes} planes recorded in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
