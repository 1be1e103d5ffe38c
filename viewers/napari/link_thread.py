"""The link to the mesh on a thread and loop of its own, so that drawing never delays an acknowledgement."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path

import zmq

from ...config.errors import MeshError
from ...messages.viewing import Subject
from ...transport import MeshCard
from ..dialling import dial
from ..follower import Follower
from ..screen import Screen


class LinkThread:
    """Runs a follower until it is stopped; what ends it for good goes to ``on_failure``."""

    def __init__(
        self,
        mesh: Path | MeshCard,
        screen: Screen,
        subject: Subject,
        *,
        title: str,
        key: Path | None,
        snapshot_bytes: int,
        on_failure: Callable[[MeshError], None],
    ) -> None:
        """Prepare to follow ``subject`` on the mesh of a data folder or a card."""
        self._mesh = mesh
        self._screen = screen
        self._subject = subject
        self._title = title
        self._key = key
        self._snapshot_bytes = snapshot_bytes
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="mesh link", daemon=True)

    def start(self) -> None:
        """Dial."""
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Detach and hang up."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except asyncio.CancelledError:
            return
        except MeshError as error:
            self._on_failure(error)

    async def _follow(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            reach = functools.partial(dial, context, self._mesh, name="napari", key=self._key)
            follower = Follower(
                reach,
                self._screen,
                kind="napari",
                subject=self._subject,
                title=self._title,
                snapshot_bytes=self._snapshot_bytes,
            )
            await follower.run()
        finally:
            context.term()
