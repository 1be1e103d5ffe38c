"""Plates of other formats, written again as OME-Zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from hcs_mesh.plates import plan, read_plane


def as_zarr(source: Path, folder: Path) -> None:
    """The same plate as OME-Zarr 0.5: every field an array (C, Y, X), in chunks smaller than its planes."""
    found = plan(source)
    (plate,) = found.plates
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    paths = {well: f"{well[0]}/{int(well[1:])}" for well in plate.wells}
    wells = [{"path": path, "rowIndex": 0, "columnIndex": int(path[2:]) - 1} for path in paths.values()]
    columns = [{"name": str(column)} for column in range(1, 13)]
    root.attrs["ome"] = {
        "version": "0.5",
        "plate": {"name": "Zarred", "rows": [{"name": "A"}], "columns": columns, "wells": wells},
    }
    for well, path in paths.items():
        fields = plate.fields(well)
        group = root.require_group(path)
        group.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": str(field)} for field in fields]}}
        for field in fields:
            images = sorted(plate.images(well=well, field=field), key=lambda image: image.c)
            planes = np.stack([read_plane(Path(found.root), image.file, image.page) for image in images])
            image = group.require_group(str(field))
            axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
            image.attrs["ome"] = {
                "version": "0.5",
                "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}],
                "omero": {"channels": [{"label": channel} for channel in plate.channels]},
            }
            image.create_array("0", data=planes, chunks=(1, 100, 128))
