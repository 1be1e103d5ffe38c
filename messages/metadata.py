"""The conversation about plates: what there is and what each holds."""

from __future__ import annotations

from typing import ClassVar

from ..plates.labels import Labels
from ..plates.model import Plate, PlateSummary
from ..transport.messages import Event, Request, Role


class GetPlate(Request[Plate], frozen=True, kw_only=True, tag="metadata.get_plate"):
    """Ask what a plate holds, without its pixels; ``requester`` is believed of the mesh's own parts alone."""

    audience: ClassVar[Role | None] = "viewer"

    plate_id: int
    requester: str = ""


class GetLabels(Request[Labels], frozen=True, kw_only=True, tag="metadata.get_labels"):
    """Ask where a plate belongs and what people said of it, ``requester`` as in ``GetPlate``."""

    audience: ClassVar[Role | None] = "viewer"

    plate_id: int
    requester: str = ""


class ListPlates(Request[tuple[PlateSummary, ...]], frozen=True, kw_only=True, tag="metadata.list_plates"):
    """Ask for every plate and plate-less image, oldest first, ``requester`` as in ``GetPlate``."""

    audience: ClassVar[Role | None] = "viewer"

    requester: str = ""


class PlatesStored(Event, frozen=True, kw_only=True, tag="metadata.plates_stored"):
    """New plates are in the repository, or known ones have changed."""

    plate_ids: tuple[int, ...]
