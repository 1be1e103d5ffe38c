"""The conversation about plates: what there is and what each holds."""

from __future__ import annotations

from typing import ClassVar

from ..plates.labels import Labels
from ..plates.model import Plate, PlateSummary
from ..plates.survey import PlateSurvey
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
    """Ask for every plate and plate-less image, oldest first, ``requester`` as in ``GetPlate``.

    It fails where one of several places cannot list its plates: ``SurveyPlates`` asks for what there is.
    """

    audience: ClassVar[Role | None] = "viewer"

    requester: str = ""


class SurveyPlates(Request[PlateSurvey], frozen=True, kw_only=True, tag="metadata.survey_plates"):
    """Ask for the plates that can be listed now, and which places list none, ``requester`` as in ``GetPlate``."""

    audience: ClassVar[Role | None] = "viewer"

    requester: str = ""


class PlatesStored(Event, frozen=True, kw_only=True, tag="metadata.plates_stored"):
    """New plates are in the repository, or known ones have changed."""

    plate_ids: tuple[int, ...]
