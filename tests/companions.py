"""Plates that names alone tell of, and what is announced of them."""

from pathlib import Path

import numpy as np
import tifffile

from hcs_mesh.plates.import_outline import ImportOutline, OutlinedFileset
from hcs_mesh.plates.planners import Plan

NF1 = ("nf1-cellpainting", "{well}_01_{channel}_{field}_{_}_001.tif")
"""Real fields of three wells in three channels, in a folder below their source."""
TRANSLOCATION = ("sbs-translocation", "Channel{channel}-{_}-{row}-{column}.tif")
"""A real plate of four wells and two channels."""
STACKS = "t{t}/{well}_s{field}_{channel}.tif"
"""What ``write_stacks`` writes."""


def write_stacks(folder: Path) -> Path:
    """A plate of 2 wells x 2 fields x 2 channels x 2 t, of which each file has 3 z; no two planes are alike."""
    pixels = np.random.default_rng(7).integers(0, 4096, (2, 2, 2, 2, 3, 12, 16)).astype("uint16")
    for t in range(2):
        (folder / f"t{t + 1}").mkdir(parents=True)
        for w, well in enumerate(("B2", "H12")):
            for f in range(2):
                for c, channel in enumerate(("DAPI", "GFP")):
                    name = f"{well}_s{f + 5}_{channel}.tif"
                    tifffile.imwrite(
                        folder / f"t{t + 1}" / name,
                        pixels[t, w, f, c],
                        photometric="minisblack",
                        compression="zlib" if f else None,
                        metadata=None,
                    )
    return folder


def outlined(found: Plan, import_id: str = "import-1") -> ImportOutline:
    """What a repository is told of a plan."""
    filesets = tuple(
        OutlinedFileset(
            planner=one.planner,
            files=tuple(file.path for file in one.files),
            plates=one.plates,
            misleads=one.misleads,
        )
        for one in found.filesets
    )
    return ImportOutline(import_id=import_id, owner="ada", root=found.root, filesets=filesets)
