"""The conversation between a viewer and the mesh: attach to a subject, see what it holds, leave."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from ..transport.messages import Event, Request, Role
from .compute import JobState

ViewerKind = Literal["napari", "recorder", "fiji", "browser"]

PROTOCOL = 1
"""Raised when a viewer of the release before could not follow the stream."""


LONGEST_ID = 128
"""Characters of what a job is called."""
LONGEST_TITLE = 4_096
"""Characters of what a viewer calls itself; a recorder's folder is one."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer wants to see: a job, a plate, or (both left empty) whatever the mesh worked on last."""

    plate_id: int = 0
    job: Annotated[str, msgspec.Meta(max_length=LONGEST_ID)] = ""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject is known to hold, so that a viewer makes room before the planes come.

    ``job_state`` is empty where no job is shown; ``n_planes`` counts what is committed so far and will
    be sent, ``n_left_out`` what did not fit the snapshot that the viewer asked for.
    """

    plate_id: int = 0
    plate_name: str = ""
    job: str = ""
    job_state: JobState | Literal[""] = ""
    wells: tuple[str, ...] = ()
    fields: tuple[int, ...] = ()
    z: tuple[int, ...] = ()
    t: tuple[int, ...] = ()
    n_planes: int = 0
    n_left_out: int = 0


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is open: what it will show, and where its planes lie on this host; elsewhere ``ring`` is empty."""

    viewer: str
    contents: Contents
    ring: str
    credits: int


class Attach(Request[Attached], frozen=True, kw_only=True, tag="viewing.attach"):
    """Open a stream to the viewer that asks: first what is there already, then what comes.

    ``snapshot_bytes`` bounds the pixels of what is there already, whole wells at a time; 0 means all of it.
    A viewer that is ``elsewhere`` cannot open the mesh's shared memory: its planes come over the link. So they do to
    every viewer that dialled from another host, whatever it says. Of planes with more than ``most_plane_bytes`` it is
    told there, and is not sent them: it could not hear them. 0 stands for a viewer that does not say.
    """

    audience: ClassVar[Role | None] = "viewer"

    kind: ViewerKind
    snapshot_bytes: int = 0
    subject: Subject = Subject()
    protocol: int = PROTOCOL
    title: Annotated[str, msgspec.Meta(max_length=LONGEST_TITLE)] = ""
    pid: int = 0
    elsewhere: bool = False
    most_plane_bytes: int = 0


class StartStream(Event, frozen=True, kw_only=True, tag="viewing.start"):
    """The viewer has opened the ring: planes may come."""

    audience: ClassVar[Role | None] = "viewer"

    viewer: str


class StillAttached(Request[bool], frozen=True, kw_only=True, tag="viewing.still_attached"):
    """Ask whether the mesh still knows this viewer; after a restart it does not.

    Who asks has opened the ring, and holds no plane up to the number ``let_go_through``: what it said of that before
    may have been lost for want of room.
    """

    audience: ClassVar[Role | None] = "viewer"
    looks_only: ClassVar[bool] = True

    viewer: str
    let_go_through: int = 0


class Detach(Event, frozen=True, kw_only=True, tag="viewing.detach"):
    """The viewer leaves; nothing more is sent to it."""

    audience: ClassVar[Role | None] = "viewer"

    viewer: str


class ViewerGone(Event, frozen=True, kw_only=True, tag="viewing.gone"):
    """A viewer's process has ended, or its link was closed."""

    always_taken: ClassVar[bool] = True

    viewer: str
    reason: str


class ViewerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One attached viewer, for ps and status."""

    viewer: str
    kind: ViewerKind
    title: str
    principal: str
    pid: int
    subject: Subject
    n_sent: int
    n_waiting: int
    n_skipped: int
    n_unacknowledged: int
    elsewhere: bool = False
    compressed: bool = False


class ListViewers(Request[tuple[ViewerInfo, ...]], frozen=True, kw_only=True, tag="viewing.list"):
    """Ask which viewers are attached."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True
