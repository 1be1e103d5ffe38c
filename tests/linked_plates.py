"""Plates that are imported in place, as small as they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from hcs_mesh.plates import Plate, plan
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile, StoredFileset

PIXELS = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
SECRET = np.full((64, 64), 4711, np.uint16)


def write_tiff(folder: Path, pixels: NDArray[Any]) -> Path:
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", pixels, ome=True)
    return folder / "a.tif"


def write_zarr(folder: Path, pixels: NDArray[Any]) -> Path:
    """Two chunks, each a file; the second is returned."""
    group = zarr.open_group(str(folder / "one.zarr"), mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"version": "0.4", **_multiscale()}]
    array = group.create_array("0", shape=pixels.shape, chunks=(32, 64), dtype=pixels.dtype, compressors=None)
    array[:] = pixels
    return folder / "one.zarr" / "0" / "1.0"


def write_sharded_zarr(folder: Path, pixels: NDArray[Any]) -> Path:
    """Two chunks in one file, of which parts are read; it is returned."""
    group = zarr.open_group(str(folder / "one.zarr"), mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [_multiscale()]}
    array = group.create_array(
        "0", shape=pixels.shape, shards=pixels.shape, chunks=(32, 64), dtype=pixels.dtype, compressors=None
    )
    array[:] = pixels
    return folder / "one.zarr" / "0" / "c" / "0" / "0"


def _multiscale() -> dict[str, Any]:
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    return {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}


def adopted(repository: LocalRepository, source: Path, import_id: str = "i1") -> Plate:
    """The plate that a folder holds, imported in place."""
    planned = plan(source)
    looks = [(file.path, (source / file.path).stat()) for fileset in planned.filesets for file in fileset.files]
    files = [
        SourceFile(path=path, size=look.st_size, mtime_ns=look.st_mtime_ns, inode=look.st_ino) for path, look in looks
    ]
    stored = repository.adopt(import_id, Path(planned.root), files)
    (plate_id,) = repository.register(
        import_id, [StoredFileset(planner="any", files=stored, plates=planned.filesets[0].plates)]
    )
    return repository.plate(plate_id)
