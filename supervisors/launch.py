"""Starts a process child and waits until it is ready."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import BinaryIO

from .backoff import Backoff
from .child import Child
from .errors import ProcessStartFailed
from .lifeline import PARENT_PID, READY_FD
from .process import ProcessChild, ProcessSpec
from .strategy import Restart

Ready = Callable[[ProcessChild], Awaitable[None]]


async def start_process(
    spec: ProcessSpec,
    *,
    ready: Ready | None = None,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ProcessChild:
    """Start a process and return it once it is ready.

    It is ready when ``ready(child)`` returns, or, without that, when the child calls
    ``lifeline.tell_ready``.

    Raises:
        ProcessStartFailed: it could not be executed, ended, or was not ready within ``ready_s``.
    """
    env = {**os.environ, **spec.env, PARENT_PID: str(os.getpid())}
    ready_end, child_end = (None, None) if ready else os.pipe()
    if child_end is not None:
        env[READY_FD] = str(child_end)
    output: BinaryIO = spec.log.open("a+b") if spec.log else tempfile.TemporaryFile("a+b")  # noqa: SIM115
    # Asked before it starts: it may have ended, with its last words said, before we are on again.
    output_from = output.seek(0, os.SEEK_END)
    try:
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=env,
            cwd=spec.folder,
            start_new_session=True,
            pass_fds=() if child_end is None else (child_end,),
        )
    except BaseException as error:
        output.close()
        _close(ready_end)
        if isinstance(error, OSError):
            raise ProcessStartFailed(f"{spec.argv[0]} cannot be executed: {error}") from error
        raise
    finally:
        _close(child_end)
    child = ProcessChild(spec, process, output, output_from=output_from, now_s=now_s, sleep=sleep)
    try:
        _limit_memory(process.pid, spec.memory_bytes)
        assert process.stdin is not None
        process.stdin.write(spec.spec + b"\n")
        await _until_ready(child, ready(child) if ready else _says_ready(ready_end), spec.ready_s, sleep)
    except BaseException:
        await child.kill()
        await child.wait()
        raise
    finally:
        _close(ready_end)
    child.watch()
    return child


def process_child(
    name: str,
    spec: ProcessSpec,
    *,
    ready: Ready | None = None,
    restart: Restart = Restart.PERMANENT,
    shutdown_s: float = 5.0,
    backoff: Backoff | None = None,
) -> Child:
    """Return a child specification that starts this process anew each time."""
    return Child(
        name,
        lambda: start_process(spec, ready=ready),
        restart=restart,
        shutdown_s=shutdown_s,
        backoff=backoff or Backoff(),
        kind="process",
    )


async def _until_ready(
    child: ProcessChild, ready: Awaitable[object], ready_s: float, sleep: Callable[[float], Awaitable[None]]
) -> None:
    told: asyncio.Future[object] = asyncio.ensure_future(ready)
    ended: asyncio.Future[object] = asyncio.ensure_future(child.wait())
    late: asyncio.Future[object] = asyncio.ensure_future(sleep(ready_s))
    racing = {told, ended, late}
    try:
        await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        if told.done() and not ended.done():
            told.result()
            return
        if not ended.done():
            raise ProcessStartFailed(
                f"process {child.pid} was not ready within {ready_s:g} s. {child.tail()}".strip(),
                hint="Look into its log, or allow it more time.",
            )
        raise ProcessStartFailed(f"it ended before it was ready: {(await child.wait()).error or 'exit code 0'}")
    finally:
        for future in racing:
            future.cancel()


async def _says_ready(descriptor: int | None) -> None:
    """Return when the child has written a line; never, if it closes the pipe without one."""
    assert descriptor is not None
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def look() -> None:
        loop.remove_reader(descriptor)
        if os.read(descriptor, 64) and not told.done():
            told.set_result(None)

    loop.add_reader(descriptor, look)
    try:
        await told
    finally:
        loop.remove_reader(descriptor)


def _limit_memory(pid: int, memory_bytes: int | None) -> None:
    if memory_bytes is None or sys.platform != "linux":
        return
    import resource

    # From outside, so that it holds for any program; preexec_fn is not safe beside threads.
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)
