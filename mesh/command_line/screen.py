"""A terminal that shows names as they are written, and never does what they say."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ..config.written_out import shown


class Screen(Console):
    """A console on which every text is shown with its control characters written out."""

    def print(self, *objects: Any, lines: bool = False, **options: Any) -> None:
        """Print; a line end in a text is written out too, unless ``lines`` says that it has several."""
        super().print(*(shown(one, lines=lines) if isinstance(one, str) else one for one in objects), **options)
