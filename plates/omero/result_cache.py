"""Folders of finished wells on a disk of this host: what OMERO holds, where programs that open files find it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from ..local.disk import make_folders
from ..local.errors import repository_errors
from ..local.names import checked_id, well_folder
from .result_keys import ResultKey
from .turns import Turns

USUAL_BYTES = 20 * 2**30
MAKING = ".making"
GOING = ".going"


class ResultCache:
    """Keeps the folders that were used last, within a number of bytes; one that is gone is made again."""

    def __init__(self, folder: Path, *, n_bytes: int = USUAL_BYTES) -> None:
        """Keep folders below ``folder``; the one used last stays, however large it is."""
        self._folder = folder
        self._n_bytes = n_bytes
        self._turns = Turns()
        self._trimming = threading.Lock()

    def take(self, key: ResultKey, files: Path) -> Path:
        """Move a well's folder in here, and say where it is now.

        Raises:
            RepositoryFailed: the disk refuses.
        """
        place = self._place(key)
        with self._turns.of(place), repository_errors(place):
            make_folders(place.parent)
            with self._trimming:
                shutil.rmtree(place, ignore_errors=True)
            files.rename(place)
            os.utime(place)
            self._trim(place)
        return place

    def find(self, key: ResultKey, make: Callable[[Path], None]) -> Path:
        """The folder of a well; where it is not here, ``make`` fills an empty one.

        Raises:
            RepositoryFull, RepositoryFailed: the disk refuses.
        """
        place = self._place(key)
        with self._turns.of(place), repository_errors(place):
            if not place.is_dir():
                begun = place.with_name(f"{place.name}{MAKING}")
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir(parents=True)
                make(begun)
                begun.rename(place)
                self._trim(place)
            os.utime(place)
        return place

    def _place(self, key: ResultKey) -> Path:
        # Apart by whose results they are: what was fetched of one's is never another's.
        whose = hashlib.sha1(key.owner.encode(), usedforsecurity=False).hexdigest() if key.owner else "nobody"
        return self._folder / f"plate_{key.plate_id}_{whose}" / checked_id(key.job) / well_folder(key.well)

    def _trim(self, kept: Path) -> None:
        """Remove the folders that were used longest ago, until the rest fits."""
        with self._trimming:
            for half_gone in self._folder.glob(f"plate_*/*/*{GOING}"):
                shutil.rmtree(half_gone)
            here = (well for well in self._folder.glob("plate_*/*/*") if not well.name.endswith(MAKING))
            wells = sorted(here, key=lambda well: well.stat().st_mtime_ns)
            sizes = {well: sum(file.stat().st_size for file in well.rglob("*") if file.is_file()) for well in wells}
            surplus = sum(sizes.values()) - self._n_bytes
            for well in wells:
                if surplus > 0 and well != kept:
                    # At once for whoever looks: half a folder would pass for a whole one.
                    gone = well.rename(well.with_name(f"{well.name}{GOING}"))
                    shutil.rmtree(gone)
                    surplus -= sizes[well]
