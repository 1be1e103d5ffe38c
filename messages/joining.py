"""The conversation by which another host joins a mesh as a node, and stays one."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Event, Request, Role
from .control import ActorRow


class RunningExecutor(msgspec.Struct, frozen=True, kw_only=True):
    """An executor of a node: its name there, and the process that tells one life of it from the next."""

    executor: str
    pid: int


class JoinTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a host must do to be a node: read ``token_file`` in the data folder, and write ``answer_file`` beside it.

    ``node`` is the name that its key gives it.
    """

    node: str
    data: str
    token_file: str
    answer_file: str
    beat_s: float


class AskTerms(Request[JoinTerms], frozen=True, kw_only=True, tag="joining.terms"):
    """Ask what it takes to join; who cannot join asks again and again."""

    audience: ClassVar[Role | None] = "node"
    looks_only: ClassVar[bool] = True


class JoinMesh(Request[None], frozen=True, kw_only=True, tag="joining.join"):
    """Join, or come back after a break: ``token`` stood in the file, and has been written into the answer.

    ``life`` tells one life of the node's process from the next.
    """

    audience: ClassVar[Role | None] = "node"
    # Who is refused asks again and again: the traces of what people did are not to be forgotten over it.
    looks_only: ClassVar[bool] = True

    token: str
    life: str = ""
    executors: tuple[RunningExecutor, ...] = ()


class NodeBeat(Request[bool], frozen=True, kw_only=True, tag="joining.beat"):
    """The node is there, these of its executors are up and so its tree stands; False means that it must join again."""

    audience: ClassVar[Role | None] = "node"
    looks_only: ClassVar[bool] = True

    executors: tuple[RunningExecutor, ...] = ()
    rows: tuple[ActorRow, ...] = ()
    """Its supervision tree, under the names that it has there."""


class ActorDown(msgspec.Struct, frozen=True, kw_only=True):
    """An actor of another host is down, or was and is up anew, or cannot be reached; why, as far as it is known."""

    actor: str
    reason: str


class WhichLife(Request[str], frozen=True, kw_only=True, tag="joining.life"):
    """Ask what tells the present life of an actor of another host from the next one."""

    looks_only: ClassVar[bool] = True

    actor: str


class WatchActor(Request[ActorDown], frozen=True, kw_only=True, tag="joining.watch"):
    """Ask to be told when an actor of another host goes down: the answer is that it did.

    With a ``life`` that is over already the answer comes at once, so that nothing is missed between two questions.
    """

    actor: str
    life: str = ""


class LeaveMesh(Request[None], frozen=True, kw_only=True, tag="joining.leave"):
    """The node is about to stop, in order."""

    audience: ClassVar[Role | None] = "node"


class LookForSilence(Event, frozen=True, kw_only=True, tag="joining.look"):
    """It is time to look which nodes have not been heard of."""


class NodeLost(Event, frozen=True, kw_only=True, tag="joining.lost"):
    """The link that a node has had since its ``n_joins``-th joining has broken."""

    always_taken: ClassVar[bool] = True

    node: str
    n_joins: int
    reason: str


class EndExecutor(Event, frozen=True, kw_only=True, tag="joining.end_executor"):
    """Ask a node to end an executor, charged to nobody; its supervisor there starts another."""

    executor: str
    why: str
