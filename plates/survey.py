"""What there is of plates where not every place can say: those that are listed, and who lists none (pure)."""

from __future__ import annotations

import msgspec

from ..config.errors import MeshError
from .model import PlateSummary


class UnlistedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place whose plates cannot be listed now, or not for this person, and what can be done about it."""

    place: str
    error: str
    hint: str = ""


class PlateSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """Every plate that could be listed, and the places of which that is not known."""

    plates: tuple[PlateSummary, ...] = ()
    unlisted: tuple[UnlistedPlace, ...] = ()


class PlatesIncomplete(MeshError, LookupError):
    """Some places list their plates, and others cannot now, or not for this person; ``survey`` holds what is known."""

    def __init__(self, survey: PlateSurvey) -> None:
        """Say which places those are, and why."""
        super().__init__(
            "; ".join(f"the plates of '{one.place}' cannot be listed: {one.error}" for one in survey.unlisted),
            hint=next((one.hint for one in survey.unlisted if one.hint), ""),
        )
        self.survey = survey
