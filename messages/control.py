"""The conversation with the mesh itself: what runs, where it listens, stop."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ..transport.addresses import Endpoint
from ..transport.messages import Request, Role


class ActorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the supervision tree; the root's parent is empty.

    ``busy`` says in the facility's words what it is at. What is measured of a whole process (lag of its loop,
    memory) stands at the process, and for the mesh's own process at the root.
    """

    name: str
    parent: str
    kind: Literal["actor", "process", "supervisor"]
    pid: int | None
    state: str
    restarts: int = 0
    mailbox: int = 0
    last_error: str = ""
    busy: str = ""
    handled: int = 0
    deferred: int = 0
    refused: int = 0
    handling_s: float = 0.0
    slowest_s: float = 0.0
    loop_lag_s: float = 0.0
    memory_bytes: int = 0
    gpu_used_bytes: int = 0
    gpu_total_bytes: int = 0


class MeshStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one mesh is and since when it has been up; ``n_viewers`` is None where viewing itself is down."""

    version: str
    pid: int
    data: str
    endpoints: tuple[Endpoint, ...]
    started_at_unix_s: float
    repository: str
    n_actors: int
    n_processes: int
    n_restarts: int
    n_viewers: int | None = None


class GetStatus(Request[MeshStatus], frozen=True, kw_only=True, tag="control.status"):
    """Ask whether the mesh is up, and what it is."""

    audience: ClassVar[Role | None] = "viewer"
    looks_only: ClassVar[bool] = True


class GetTree(Request[tuple[ActorRow, ...]], frozen=True, kw_only=True, tag="control.tree"):
    """Ask for the supervision tree, parents before children."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class StopMesh(Request[None], frozen=True, kw_only=True, tag="control.stop"):
    """Stop the mesh in order; the answer says that the stop has begun."""

    audience: ClassVar[Role | None] = "administrator"
