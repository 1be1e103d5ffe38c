"""Where imports work: the data folder, the roots that may be imported from, and the pace that a guest keeps."""

from __future__ import annotations

from pathlib import Path

from ..plates.repository import SourceReader


class ImportPlaces:
    """What is settled of the places that imports read from and write to."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def paced(self, reader: SourceReader, root: Path) -> SourceReader:
        """The reader at the pace that is allowed for what lies below ``root``."""
        return reader
