"""A terminal that shows names as they are written, and never does what they say."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from .written_out import shown


class Screen(Console):
    """A console on which every text is shown with its control characters written out."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; line ends stay, since errors of many lines are told in many."""
        super().print(*(shown(one, lines=True) if isinstance(one, str) else one for one in objects), **options)
