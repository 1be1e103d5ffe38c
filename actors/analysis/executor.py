"""The executor: owns one device, computes one well at a time, and leaves its sealed result in the repository."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

import cv2
import numpy as np
from numpy.typing import NDArray

from ...config import MeshError
from ...messages.compute import CancelWell, CompilePipeline, RunWell
from ...pipelines import (
    Compiled,
    Device,
    KeptPlane,
    ObjectTable,
    compile_pipeline,
    open_device,
    parse,
    run_well,
)
from ...plates.local import seal_well, write_ome_tiff
from ...plates.local.errors import repository_errors
from ...plates.model import Image, Plate
from ...plates.plane_readers import is_read_here_only, plane_counts, read_any_plane
from ...plates.repository import ResultFile, StoredResult
from ...supervisors import Actor
from ..threads import Threads

Inbox = CompilePipeline | RunWell | CancelWell


class WellCancelled(MeshError, RuntimeError):
    """Nobody wants the well any more."""


class Executor(Actor[Inbox]):
    """Runs pipelines on one device; what takes long runs in a thread, so that the loop answers meanwhile."""

    def __init__(self, device: str, *, n_threads: int = 1) -> None:
        """Own ``device``: "cpu" or "cuda:0", "cuda:1"..."""
        self._device_name = device
        self._n_threads = n_threads
        self._device: Device | None = None
        self._computing = Threads("compute", n_threads=1)
        self._compiling = Threads("compile", n_threads=1)
        self._running: set[tuple[str, str, int]] = set()
        self._cancelled: set[tuple[str, str, int]] = set()
        self._busy = ""
        self._n_wells = 0

    async def started(self) -> None:
        """Open the device.

        Raises:
            DeviceUnavailable: it does not exist here.
        """
        cv2.setNumThreads(self._n_threads)
        self._device = open_device(self._device_name)

    @property
    def busy(self) -> str:
        """What is being computed, in the facility's words; empty when idle."""
        return self._busy

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case CompilePipeline():
                return self.defer(self._compiling.run(lambda: self._compile(message)))
            case RunWell():
                return self.defer(self._run(message))
            case CancelWell(job=job, well=well):
                # Only what it is at: the same well may come again.
                self._cancelled |= {run for run in self._running if run[:2] == (job, well)}
                return None
            case _:
                assert_never(message)

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {"device": self._device_name, "wells": self._n_wells, "busy": self._busy, **plane_counts()}

    def _compile(self, message: CompilePipeline) -> str:
        return _compiled(message.source, message.source_name, message.plate, message.wells).pipeline.name

    async def _run(self, message: RunWell) -> StoredResult:
        run = message.job, message.well, message.attempt
        self._running.add(run)
        self._busy = busy_with(message)
        try:
            result = await self._computing.run(lambda: self._compute(message))
        except OSError as error:
            if run in self._cancelled:
                # Whoever cancelled it may have removed its folder as well.
                raise WellCancelled(f"well {message.well} of {message.job} was cancelled") from error
            raise
        finally:
            self._running.discard(run)
            self._cancelled.discard(run)
            self._busy = ""
        self._n_wells += 1
        return result

    def _compute(self, message: RunWell) -> StoredResult:
        assert self._device is not None, "the device is opened in started()"
        plate, folder = message.plate, Path(message.folder)
        compiled = _compiled(message.source, message.source_name, plate, plate.declared_wells)
        writer = _ResultWriter(folder, plate)

        def still_wanted() -> None:
            if (message.job, message.well, message.attempt) in self._cancelled:
                raise WellCancelled(f"well {message.well} of {message.job} was cancelled")

        def read(image: Image) -> NDArray[Any]:
            still_wanted()
            return read_any_plane(plate.root, image.file, image.page, requester=message.owner)

        def keep(plane: KeptPlane) -> None:
            still_wanted()
            writer.write_plane(plane)

        result = run_well(compiled, message.well, read, self._device, on_plane=keep)
        for table in result.tables:
            writer.write_table(table)
        return seal_well(
            folder,
            StoredResult(
                job=message.job,
                plate_id=plate.id,
                well=message.well,
                attempt=message.attempt,
                n_objects=result.n_objects,
                measurements=tuple((name, float(value)) for name, value in result.measurements.items()),
                files=tuple(writer.files),
                notes=(*map(str, result.failures), *result.notes),
            ),
        )


def busy_with(message: RunWell) -> str:
    """What everybody is told of a well that is computed: not everybody sees each plate of OMERO, so none is named."""
    whose = f" for {message.owner}" if message.owner else ""
    plate = "" if is_read_here_only(message.plate.root) else f" of plate {message.plate.name}"
    return f"well {message.well or 'image'}{plate}, {message.job}{whose}"


class _ResultWriter:
    """Writes a well's files into the folder of an attempt."""

    def __init__(self, folder: Path, plate: Plate) -> None:
        self.files: list[ResultFile] = []
        self._folder = folder
        self._plate = plate

    def write_plane(self, plane: KeptPlane) -> None:
        place = f"{plane.well or 'image'}_s{plane.field:03d}_z{plane.z:03d}_t{plane.t:03d}"
        name = f"{place}_{plane.name}.ome.tiff"
        labels = plane.kind == "labels"
        stored = write_ome_tiff(
            self._folder / name,
            np.asarray(plane.array),
            name=plane.name,
            pixel_size_um=self._plate.pixel_size_um,
            labels=labels,
        )
        self.files.append(
            ResultFile(
                path=name,
                kind="label" if labels else "plane",
                output=plane.name,
                field=plane.field,
                c=plane.channel,
                z=plane.z,
                t=plane.t,
                height=stored.shape[0],
                width=stored.shape[1],
                dtype=stored.dtype.name,
            )
        )

    def write_table(self, table: ObjectTable) -> None:
        path = self._folder / f"{table.name}.csv"
        with repository_errors(path), path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(table.columns)
            rows.writerows(zip(*(column.tolist() for column in table.columns.values()), strict=True))
        self.files.append(ResultFile(path=path.name, kind="table", output=table.name))


def _compiled(source: str, source_name: str, plate: Plate, wells: tuple[str, ...]) -> Compiled:
    return compile_pipeline(_parsed(source, source_name), plate, wells=wells)


@functools.lru_cache(maxsize=16)
def _parsed(source: str, source_name: str) -> Any:
    return parse(source, source_name)
