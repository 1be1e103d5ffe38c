"""``hcs-mesh up`` in this process: the mesh until a signal or ``hcs-mesh down``."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..config import Settings, start_logging
from ..joined_node import JoinedNode
from ..layout import DataLayout
from ..mesh import Mesh
from ..messages.control import ActorRow, MeshStatus
from ..service_manager import ServiceManager
from ..transport import MeshCard
from .descriptors import raise_descriptor_limit
from .errors import CommandFailed


class Joining(NamedTuple):
    """The mesh that this host joins, and the key of the role "node" to join it with."""

    card: MeshCard
    key: Path


COLLECT_EVERY = 50_000
"""New objects between two looks for cycles. A mesh that comes up with ten thousand imports makes many that all stay: at
Python's 700, looking through them again and again took a third of the time."""

Announce = Callable[[MeshStatus, Sequence[ActorRow]], None]


def run_mesh(
    settings: Settings, data: Path, announce: Announce, *, quiet: bool = False, join: Joining | None = None
) -> None:
    """Run a mesh on the data folder, or with ``join`` a node of one elsewhere.

    ``announce`` is called once it is up; ``quiet`` logs to the file alone.

    Raises:
        MeshError: it cannot come up, or it gave up.
    """

    def make() -> Mesh:
        return (
            Mesh(settings, data=data) if join is None else JoinedNode(settings, data=data, card=join.card, key=join.key)
        )

    run_node(settings, data, make, announce, quiet=quiet)


def run_node(
    settings: Settings, data: Path, make: Callable[[], Mesh], announce: Announce, *, quiet: bool = False
) -> None:
    """Run what ``make`` makes on the running loop, until a signal; it keeps its own things in ``data``.

    Raises:
        MeshError: it cannot come up, or it gave up.
    """
    layout = DataLayout(data)
    gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
    raise_descriptor_limit()
    try:
        # On a terminal people want to see what happens; the file has the same as JSON, and is kept within bounds.
        terminal = Path(os.devnull).open("w", encoding="utf-8") if quiet else None  # noqa: SIM115
        start_logging(settings.log, file=layout.logs / "hub.log", terminal=terminal)
    except OSError as error:
        raise CommandFailed(
            f"the data folder {data} cannot be written: {error.strerror}",
            hint="choose another with --data, or make it writable for this user",
        ) from error
    if sys.platform == "win32":
        asyncio.run(_serve(data, make, announce))
    else:
        import uvloop

        uvloop.run(_serve(data, make, announce))


async def _serve(data: Path, make: Callable[[], Mesh], announce: Announce) -> None:
    loop = asyncio.get_running_loop()
    manager = ServiceManager.of_this_process()
    mesh = make()
    for number in (signal.SIGINT, signal.SIGTERM):
        if os.name == "posix":
            loop.add_signal_handler(number, mesh.stop_asked.set)
        else:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(mesh.stop_asked.set))
    async with mesh:
        announce(await mesh.status(), mesh.rows())
        watched = loop.create_task(manager.watch(mesh.status))
        gave_up = loop.create_task(mesh.wait())
        stopped = loop.create_task(mesh.stop_asked.wait())
        await asyncio.wait((gave_up, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        watched.cancel()
        manager.tell("STOPPING=1", "STATUS=stopping in order")
        if gave_up.done() and not mesh.stop_asked.is_set():
            end = gave_up.result()
            raise CommandFailed(
                f"the mesh gave up: {end.error or end.reason}",
                hint=f"{DataLayout(data).logs / 'hub.log'} holds the history; hcs-mesh up takes the work up again",
            )
        gave_up.cancel()
