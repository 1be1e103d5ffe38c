"""ImageXpress as the MetaXpress database lays it out: no .HTD, a GUID in every file name (pure).

``<plate>_<well>_s<site>_w<wavelength>[_thumb]<GUID>.tif``, below ``TimePoint_n`` and ``ZStep_n`` folders
where there are several. Checked against two real acquisitions (faim-ipa test resources). Nothing in this layout
says how many images there will be: that the files come to rest is the only sign of its end.
"""

from __future__ import annotations

import re

from ..model import Plate
from ..wells import plate_format
from .acquired_files import AcquiredFile, acquired_files, claim_files
from .folder import Folder
from .metaseries import channel_names, describe
from .plan import THUMBNAIL, Fileset, LeftOut, Plan, planned_files
from .plane_table import PlaneTable

_NAME = re.compile(
    r"(?P<plate>.+?)_(?P<well>[A-Z]{1,2}\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d{1,2}))?(?P<thumb>_thumb)?"
    r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\.tiff?",
    re.ASCII | re.IGNORECASE,
)


def plan_imagexpress(folder: Folder) -> Plan:
    """One fileset for each folder and plate name; thumbnails stay behind.

    Raises:
        DuplicatePlane: two files are the same plane.
    """
    groups: dict[tuple[str, str], list[AcquiredFile]] = {}
    thumbs: list[str] = []
    for file in acquired_files(folder.files, _NAME):
        if file.is_thumbnail:
            thumbs.append(file.path)
        else:
            groups.setdefault((file.steps.folder, file.plate), []).append(file)
    return Plan(
        filesets=tuple(
            Fileset(
                planner="imagexpress",
                root=key[0],
                files=planned_files(folder, (file.path for file in files)),
                plates=(_plate(folder, key[1], files),),
            )
            for key, files in groups.items()
        ),
        left_out=tuple(LeftOut(path, THUMBNAIL) for path in thumbs),
    )


def _plate(folder: Folder, name: str, files: list[AcquiredFile]) -> Plate:
    waves = sorted({file.wave for file in files})
    table = PlaneTable(folder)
    claim_files(table, files, waves)
    described = [describe(folder, table.first_file(c)) for c in range(len(waves))]
    n_rows, n_columns = plate_format(file.well for file in files)
    notes = [f"plate format {n_rows} x {n_columns} is the smallest usual one: this layout does not write it"]
    return table.plate(
        name=name,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=channel_names({wave: one.channel for wave, one in zip(waves, described, strict=True)}),
        pixel_size_um=next((one.pixel_size_um for one in described if one.pixel_size_um), None),
        notes=notes,
    )
