"""A folder of recorded planes: whole files under their virtual paths, and one index of what came when."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..messages.planes import PROJECTION, PlaneHeader
from ..plates.virtual_paths import VirtualPath, format_path
from .errors import OutputUnusable

INDEX = "index.jsonl"


class Recording:
    """Writes planes so that a kill at any moment leaves whole files and a whole index.

    A plane is written beside its name and renamed, then its line is added to ``index.jsonl``. A plane
    that comes again with the same pixels adds no second line; one with other pixels replaces its file.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder, new or from an earlier recording; a line that a kill cut short is cut off.

        Raises:
            OutputUnusable: the folder cannot be made or written.
        """
        self.folder = folder
        self.n_written = 0
        self._sha1: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._index = os.open(folder / INDEX, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise OutputUnusable(f"Cannot record into {folder}: {error}.", hint="Name another folder.") from error
        self._read_index()

    def plane(self, plate_id: int, job: str, header: PlaneHeader, pixels: NDArray[Any]) -> Path:
        """Write one plane (Y, X), whole or not at all, and return its file.

        Raises:
            OutputUnusable: the disk refuses.
        """
        name = recorded_name(plate_id, job, header)
        path = self.folder / name
        digest = hashlib.sha1(np.ascontiguousarray(pixels).data, usedforsecurity=False).hexdigest()
        if self._sha1.get(name) == digest and path.exists():
            return path
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        metadata: dict[str, Any] = {"axes": "YX"}
        if header.pixel_size_um is not None:
            metadata |= {"PhysicalSizeX": header.pixel_size_um, "PhysicalSizeY": header.pixel_size_um}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(part, pixels, ome=True, photometric="minisblack", metadata=metadata)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputUnusable(f"Cannot write {path}: {error}.", hint="Is the disk full?") from error
        self._sha1[name] = digest
        self.n_written += 1
        address = header.address
        self._line(
            {
                "path": name,
                "plate": plate_id,
                "job": job,
                "step": address.step,
                "channel": address.channel,
                "well": address.well,
                "field": address.field,
                "z": address.z,
                "t": address.t,
                "kind": header.kind,
                "shape": [header.height, header.width],
                "dtype": header.dtype,
                "sha1": digest,
            }
        )
        return path

    def fact(self, what: dict[str, Any]) -> None:
        """Add a line that stands for no file: a well's state, the end of a job.

        Raises:
            OutputUnusable: the disk refuses.
        """
        self._line(what)

    def close(self) -> None:
        """Let go of the index."""
        os.close(self._index)

    def _line(self, what: dict[str, Any]) -> None:
        # One write of one line in append mode: a kill falls before it or after it.
        try:
            os.write(self._index, json.dumps(what, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise OutputUnusable(f"Cannot write {self.folder / INDEX}: {error}.", hint="Is the disk full?") from error

    def _read_index(self) -> None:
        text = (self.folder / INDEX).read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole != len(text):
            os.ftruncate(self._index, whole)
        for line in text[:whole].splitlines():
            entry = json.loads(line)
            if "sha1" in entry:
                self._sha1[entry["path"]] = entry["sha1"]


def recorded_name(plate_id: int, job: str, header: PlaneHeader) -> str:
    """Where in a recording a plane lies: acquired planes under their virtual path, results below their job."""
    address = header.address
    if address.well:
        name = format_path(
            VirtualPath(
                plate_id,
                address.well,
                address.field,
                address.z,
                header.c,
                address.t or None,
                "projection" if address.step == PROJECTION else "plane",
            )
        )
    else:
        z = "proj" if address.step == PROJECTION else f"{address.z:03d}"
        t = f"_t{address.t:03d}" if address.t else ""
        name = f"image_{plate_id}/s{address.field:03d}_z{z}_c{header.c:03d}{t}.tif"
    return name if address.step in ("", PROJECTION) else f"results/{_safe(job)}/{_safe(address.step)}/{name}"


def _safe(name: str) -> str:
    kept = "".join(one if one.isalnum() or one in "-_. " else "_" for one in name)
    return kept.lstrip(".") or "_"
