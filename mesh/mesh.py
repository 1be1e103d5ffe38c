"""The mesh in this process: brought up and down as an async context manager."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .actors.apart import run_apart
from .actors.nodes.joined_nodes import JoinedNodes
from .actors.watching.wishes import check_wishes
from .added_names import check_form, check_taken
from .commands import Commands
from .config import Settings, check_settings, data_folder, get_logger
from .config.watch_settings import check_watches
from .home import Home, open_home
from .inside import Incidents, MeshInside
from .layout import DataLayout
from .mesh_node import MeshNode
from .messages.control import ActorRow, MeshStatus
from .plates.omero.address import reading_of
from .plates.places import Places
from .plates_elsewhere import places_elsewhere
from .processes import Processes
from .supervisors import Actor, Node
from .supervisors.child import Child, Exit
from .supervisors.supervisor import Supervisor
from .transport import (
    ASK_TIMEOUT_S,
    Endpoint,
    KeyRing,
    Principal,
    Ref,
    Request,
    ServerKey,
    ipc_endpoint,
    load_or_create_pair,
    tcp_endpoint,
)
from .transport.whereabouts import OWNER, DataLock, Whereabouts, owner_secret, publish, withdraw
from .tree import mesh_tree

log = get_logger(__name__)

R = TypeVar("R")


class Mesh(Commands):
    """A whole mesh inside an asyncio program; the program's loop and signals stay its own.

    >>> async with Mesh(data=Path("data")) as mesh:
    ...     import_id = await mesh.submit_import(Path("plate"))
    """

    def __init__(self, settings: Settings | None = None, *, data: Path | None = None) -> None:
        """Prepare a mesh on a data folder; ``async with`` starts it.

        Raises:
            ConfigError: a setting is wrong.
        """
        self.settings = check_settings(settings or Settings())
        self.data = data.absolute() if data is not None else data_folder(self.settings)
        check_watches(self.settings.watch, str(self.data))
        check_wishes(self.settings.watch)
        self.endpoints: tuple[Endpoint, ...] = ()
        self.stop_asked = asyncio.Event()
        self._extra: list[tuple[str, Callable[[], Actor[Any]]]] = []
        self._stack = AsyncExitStack()
        self._node: MeshNode | None = None
        self._root: Supervisor | None = None
        self._started_at_unix_s = 0.0
        self._inside: MeshInside | None = None
        self._repository_kind = "local"
        # Once: to look it up takes a descriptor, and whoever asks for the status is told it where none is free too.
        self._version = importlib.metadata.version("hcs-mesh")
        self._leave_off: Callable[[], None] = lambda: None

    def add(self, name: str, factory: Callable[[], Actor[Any]]) -> Self:
        """Run an actor of the embedder's own beside the mesh's, restarted like them; before ``async with``.

        ``async with`` raises DuplicateChild where the name is one of the mesh's own, as ``hcs-mesh ps`` lists them.

        Raises:
            WrongActorName: the name is empty, or has other characters than letters, digits, '_', '-' and '.'.
        """
        check_form(name)
        self._extra.append((name, factory))
        return self

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def find(self, name: str) -> Ref:
        """The reference to an actor by name."""
        return self._up.find(name)

    async def ask(self, actor: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> R:
        """Ask an actor of the mesh."""
        return await self._up.find(actor).ask(request, timeout_s=timeout_s)

    async def wait(self) -> Exit:
        """Return when the mesh gives up; it does not end by itself otherwise."""
        assert self._root is not None, "the mesh is not up"
        return await self._root.wait()

    def rows(self) -> tuple[ActorRow, ...]:
        """The supervision tree, parents before children."""
        assert self._inside is not None, "the mesh is not up"
        return self._inside.rows()

    def describe(self) -> MeshStatus:
        """What the mesh is, but for its viewers, which only their bridge can count: ``status()`` asks it."""
        rows = self.rows()
        return MeshStatus(
            version=self._version,
            pid=os.getpid(),
            data=str(self.data),
            endpoints=self.endpoints,
            started_at_unix_s=self._started_at_unix_s,
            repository=self._repository_kind,
            n_actors=sum(row.kind == "actor" for row in rows),
            n_processes=sum(row.kind == "process" for row in rows),
            n_restarts=sum(row.restarts for row in rows),
        )

    @property
    def _up(self) -> Node:
        if self._node is None:
            raise RuntimeError("the mesh is not up: use it as `async with Mesh(...) as mesh:`")
        return self._node

    async def _settled(self) -> None:
        """Return when the tree that was started may be told of."""

    async def _stop_tree(self) -> None:
        assert self._root is not None
        self._leave_off()
        await self._root.stop()
        await self._root.wait()

    def _lending(self, home: Home, node: MeshNode, closing: ExitStack) -> tuple[Child, ...]:
        """Whoever lends people's sessions to the executors, where there are any."""
        reading = reading_of(self.settings.omero)
        if home.identities is None or reading is None:
            return ()
        # Imported where it is wanted: most meshes have their plates here.
        from .omero_planes import omero_planes

        return (omero_planes(reading, home.identities, node, closing.enter_context),)

    async def _close_home(self, closing: ExitStack) -> None:
        """Let go of the plates' home; a server that does not answer is not waited for longer than anything else."""
        # Its connections go with the process then.
        with suppress(TimeoutError):
            await asyncio.wait_for(run_apart(closing.close, "close home"), self.settings.shutdown_s)

    async def _plant(
        self, node: MeshNode, layout: DataLayout, processes: Processes, inside: MeshInside, incidents: Incidents
    ) -> Supervisor:
        """Everything that runs, not started yet."""
        closing = ExitStack()
        self._stack.push_async_callback(self._close_home, closing)
        home = await asyncio.to_thread(open_home, self.settings, layout, closing.callback)
        self._repository_kind, self._leave_off = home.where, home.leave_off
        elsewhere = await asyncio.to_thread(places_elsewhere, self.settings, home.local, self._stack.callback)
        return mesh_tree(
            self.settings,
            layout,
            node,
            home,
            Places(home.source, elsewhere, stores=home.stores),
            processes,
            describe=self.describe,
            rows=self.rows,
            stop=self.stop_asked.set,
            inside=inside,
            reporter=incidents.add,
            lending=self._lending(home, node, closing),
            extra=tuple(node.actor(name, factory) for name, factory in self._extra),
        )

    async def _start(self) -> None:
        lock = await asyncio.to_thread(DataLock, self.data)
        self._stack.callback(lock.release)
        layout = DataLayout(self.data)
        layout.logs.mkdir(exist_ok=True)
        mesh_key = load_or_create_pair(layout.mesh_secret)
        owner_key = load_or_create_pair(owner_secret(self.data))
        # One file that is no key must not keep everybody from their work: it lets nobody in, and is told.
        ring = KeyRing(layout.allowed_keys, lenient=True)
        for wrong in ring.wrong:
            log.warning("a file among the allowed keys lets nobody in", fault=str(wrong), hint=wrong.hint)
        if ring.by_public(owner_key.public) is None:
            ring.allow(Principal(name=OWNER, role="administrator"), owner_key.public)
        sockets = layout.sockets
        self._stack.callback(_remove_sockets, sockets, self.data)
        joined = JoinedNodes()
        node = self._node = MeshNode("hub", joined)
        self._stack.push_async_callback(node.close)
        limit = self.settings.limits.message_bytes
        inner = ipc_endpoint(sockets, "inner")
        node.listen_inner(inner, max_message_bytes=limit)
        fronts = [ipc_endpoint(sockets, "front")]
        if self.settings.front.tcp_host:
            fronts.append(tcp_endpoint(self.settings.front.tcp_host, self.settings.front.tcp_port))
        self.endpoints = tuple(fronts)
        processes = Processes(node, inner, layout, self.settings)
        self._stack.push_async_callback(processes.abandon)
        incidents = Incidents()
        self._inside = inside = MeshInside(node, processes, layout, incidents, joined, lambda: self._root)
        self._root = await self._plant(node, layout, processes, inside, incidents)
        check_taken([name for name, _ in self._extra], self._root.tree())
        self._started_at_unix_s = time.time()
        await self._root.start()
        self._stack.push_async_callback(self._stop_tree)
        await self._settled()
        if self.settings.metrics.port:
            # Imported where it is wanted: it brings a web server of its own.
            from .metrics import MeshCollector, MetricsServer

            metrics = MetricsServer(MeshCollector(self.rows, inside.statistics), self.settings.metrics.port)
            self._stack.push_async_callback(metrics.close)
        # Only now: a client of the life before dials again by itself, and must find every actor.
        for front in fronts:
            node.listen_front(front, mesh_key, ring, max_message_bytes=limit, silence_s=self.settings.front.silence_s)
        publish(
            self.data,
            Whereabouts(
                pid=os.getpid(),
                endpoints=self.endpoints,
                public_key=ServerKey(public=mesh_key.public).public,
                version=self._version,
                started_at_unix_s=self._started_at_unix_s,
            ),
        )
        self._stack.callback(withdraw, self.data)


def _remove_sockets(folder: Path, data: Path) -> None:
    """Take away what libzmq leaves of its Unix sockets, and the folder too if it is a stand-in outside the data."""
    for path in folder.iterdir():
        if path.is_socket():
            path.unlink(missing_ok=True)
    if not folder.is_relative_to(data):
        # Whatever else lies there is not ours to remove.
        with suppress(OSError):
            folder.rmdir()
