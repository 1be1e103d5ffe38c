"""What a mesh looks like at one moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from ...messages.compute import JobSummary
from ...messages.control import ActorRow, MeshStatus
from ...messages.imports import ImportStatus
from ...transport import AskFailed, TransportError
from .mesh import ConsoleMesh

T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The mesh, its tree, imports and jobs, as they were told at one moment; what did not answer is named."""

    at_s: float
    mesh: MeshStatus
    rows: tuple[ActorRow, ...]
    imports: tuple[ImportStatus, ...]
    jobs: tuple[JobSummary, ...]
    silent: tuple[str, ...] = ()


async def snapshot(mesh: ConsoleMesh) -> Snapshot:
    """Ask for all of it at once; a branch that is down leaves its part empty.

    Raises:
        MeshError: the mesh itself does not answer.
    """
    silent: list[str] = []

    async def part(name: str, ask: Callable[[], Awaitable[tuple[T, ...]]]) -> tuple[T, ...]:
        try:
            # Asked in here: a screen that goes before this begins leaves no question behind.
            return await asyncio.wait_for(ask(), PART_S)
        except (TransportError, AskFailed, TimeoutError):
            silent.append(name)
            return ()

    status, rows, imports, jobs = await asyncio.gather(
        mesh.status(), mesh.tree(), part("imports", mesh.imports), part("scheduler", mesh.jobs)
    )
    return Snapshot(
        at_s=time.monotonic(), mesh=status, rows=rows, imports=imports, jobs=jobs, silent=tuple(sorted(silent))
    )


PART_S = 2.0
"""How long a list may take: an actor that is paused or stuck must not blind the console to the others."""
