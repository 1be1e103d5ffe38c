"""The inspector: opens what others wrote, in a process of its own, since damaged files end or stall readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_never

from ..messages.imports import DecodedPlane, PlanSource, ProbePlane, ProbePlanes
from ..plates.errors import UnreadableImage
from ..plates.local.certifying import decode_plane
from ..plates.planners import Plan
from ..plates.planning import plan
from ..plates.reach import Reach
from ..supervisors import Actor
from .threads import Threads

Inbox = PlanSource | ProbePlanes


class Inspector(Actor[Inbox]):
    """Says what a source holds and whether its planes open."""

    def __init__(self) -> None:
        self._threads = Threads("inspect", n_threads=1)

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case PlanSource():
                return self.defer(self._threads.run(lambda: _plan(message)))
            case ProbePlanes():
                return self.defer(self._threads.run(lambda: _probe(message)))
            case _:
                assert_never(message)


def _plan(message: PlanSource) -> Plan:
    return plan(
        Path(message.path),
        pattern=message.pattern or None,
        name=message.name or None,
        depth=message.depth,
        as_files=message.as_files,
        exclude=message.exclude,
        only=message.only,
        reach=message.reach,
    )


def _probe(message: ProbePlanes) -> tuple[DecodedPlane, ...]:
    return tuple(_decoded(one, message.reach) for one in message.planes)


def _decoded(one: ProbePlane, reach: Reach) -> DecodedPlane:
    plane = decode_plane(Path(one.root), one.file, one.page, follow_links=one.follow_links, reach=reach)
    if (plane.height, plane.width, plane.dtype) != (one.height, one.width, one.dtype):
        raise UnreadableImage(
            f"{one.file} holds {plane.width} x {plane.height} {plane.dtype} where the plate has "
            f"{one.width} x {one.height} {one.dtype}",
            hint="was the file replaced after the acquisition?",
        )
    return DecodedPlane(
        file=plane.file,
        page=plane.page,
        height=plane.height,
        width=plane.width,
        dtype=plane.dtype,
        checksum=plane.checksum,
    )
