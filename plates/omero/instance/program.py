"""Running a program to its end without holding up the loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from .unhurried import to_the_end

_GRACE_S = 10.0
_OURS = ("HCS_MESH_OMERO_", "COMPOSE_")


class Ended(NamedTuple):
    """How a program has ended, and what it said."""

    code: int
    out: str
    err: str


class Runs(Protocol):
    """Runs a program: what the instance needs of the outside world."""

    async def __call__(self, words: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None] = ...) -> Ended:
        """Run ``words`` to the end; ``on_line`` is called with each line of its standard error."""


def ignore(_: object) -> None:
    """Take note of nothing."""


async def run_program(words: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None] = ignore) -> Ended:
    """Run a program to its end; ``on_line`` is called with each line of its standard error.

    Raises:
        OSError: it cannot be run.
        TimeoutError: it took longer than ``timeout_s``, and was ended; so it is where the caller is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=_environment(os.environ),
        limit=1 << 20,
        # Ctrl-C is for us: docker is told to end when we are done with it.
        start_new_session=sys.platform != "win32",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []

    async def listen(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            said.append(line.decode(errors="replace"))
            on_line(said[-1].strip())

    try:
        async with asyncio.timeout(timeout_s):
            out, _, code = await asyncio.gather(process.stdout.read(), listen(process.stderr), process.wait())
    except BaseException:
        await to_the_end(_end(process))
        raise
    return Ended(code, out.decode(errors="replace"), "".join(said))


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Without what would take the place of the file of settings that docker is given."""
    return {name: value for name, value in ours.items() if not name.startswith(_OURS)}


async def _end(process: Process) -> None:
    """End a program and what it has started; with force when it does not go."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    waiting = asyncio.ensure_future(process.wait())
    await asyncio.wait((waiting,), timeout=_GRACE_S)
    if not waiting.done():
        _signal(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        await asyncio.wait((waiting,))


def _signal(process: Process, number: int) -> None:
    try:
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)
    except ProcessLookupError:
        # It has ended meanwhile, which is all that is wanted.
        return
