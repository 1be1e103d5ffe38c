"""An OMERO.server looked at, started with docker compose where that is asked for, and stopped again."""

from __future__ import annotations

from .examination import Check, Examination, examine
from .instance import OmeroInstance, stop_started
from .life import STAGES, Standing
from .started_here import StartedHere

__all__ = ["STAGES", "Check", "Examination", "OmeroInstance", "Standing", "StartedHere", "examine", "stop_started"]
