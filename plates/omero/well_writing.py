"""The files of one well's result, each written to OMERO as what it is: table, labels, image or file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import tifffile

from ..repository import ResultFile, StoredResult
from ..wells import well_position
from .connection import Connection
from .derived_plates import derived_plate, fill_well
from .file_annotations import attach_file
from .image_plans import ImagePlan, images_of
from .masks import MaskTooLarge
from .new_images import NewImage, make_image
from .plates import describe
from .regions import PlaneOfImage, attach_labels
from .result_keys import FILE, PIPELINE, Provenance, ResultKey
from .saving import Target
from .tables import attach_table
from .targets import WellTargets
from .thumbnails import make_thumbnails
from .well_records import WellRecord

TABLE_SUFFIXES = (".csv", ".tsv")


class WellWriting:
    """Writes one well; done again it writes what is missing."""

    def __init__(self, connection: Connection, wells: WellTargets, record: WellRecord, folder: Path) -> None:
        """Write the files of ``folder`` through a connection, as what ``record`` tells of."""
        self._connection = connection
        self._wells = wells
        self._record = record
        self._folder = folder
        self._pixels: list[int] = []
        self._plate: Target | None = None

    def write_pipeline(self, provenance: Provenance) -> None:
        """Attach the pipeline's source to the plate, once for each job.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        if not provenance.source:
            return
        key = msgspec.structs.replace(self._record.key, well="", path="pipeline.py")
        source = self._folder / ".pipeline.py"
        source.write_text(provenance.source, encoding="utf-8")
        attach_file(self._connection, self._wells.plate, key, source, namespace=PIPELINE, record=self._record)

    def find_plate(self, result: StoredResult) -> None:
        """Find or make the plate for a result's images, if it has any; the wells of a job share it.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        if not self._plans(result):
            return
        plate, job = self._wells.plate, self._record.key.job
        key = msgspec.structs.replace(self._record.key, well="")
        pairs = [pair for pair in self._record.pairs if pair[0] not in ("well", "attempt")]
        pairs.append(("source plate", str(plate.id)))
        name = f"{self._wells.plate_name} ({job})"
        number = derived_plate(self._connection, plate, key, name=name, pairs=tuple(pairs))
        self._plate = Target("Plate", number, plate.group_id)

    def write_files(self, result: StoredResult) -> tuple[str, ...]:
        """Write every file of a result; what could not be written as what it is has a note that says why.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        notes = [note for file in result.files if (note := self._write(file))]
        if self._plate is not None:
            self._write_images(self._plate, self._plans(result))
        return tuple(notes)

    def make_thumbnails(self) -> int:
        """Have thumbnails of the new images made, and say of how many.

        Raises:
            OmeroError: the connection is of no more use.
        """
        return make_thumbnails(self._connection, self._pixels, group_id=self._record.group_id)

    def _write(self, file: ResultFile) -> str:
        to, key, path = self._wells.of(file.field), self._key(file.path), self._folder / file.path
        match file.kind:
            case "table" if path.suffix.lower() in TABLE_SUFFIXES:
                made = attach_table(self._connection, to, key, path, wells=self._wells, record=self._record)
                return made.note
            case "label" if to.kind == "Image" and (labels := tifffile.imread(path)).ndim == 2:
                plane = PlaneOfImage(c=file.c, z=file.z, t=file.t)
                try:
                    attach_labels(self._connection, to, key, labels, plane, record=self._record)
                except MaskTooLarge as error:
                    attach_file(self._connection, to, key, path, namespace=FILE, record=self._record)
                    return f"{file.path} is stored as a file: {error}"
            case "plane" if to.kind == "Image":
                pass
            case _:
                attach_file(self._connection, to, key, path, namespace=FILE, record=self._record)
        return ""

    def _plans(self, result: StoredResult) -> list[ImagePlan]:
        """The images of a well's processed planes; without a well there is no place for any."""
        return [plan for plan in images_of(result.files) if plan.field and self._wells.well.kind == "Well"]

    def _write_images(self, plate: Target, plans: Iterable[ImagePlan]) -> None:
        pixel_size_um = describe(self._connection, self._wells.pixels_id).pixel_size_um
        images = [self._image(plan, pixel_size_um) for plan in plans]
        fill_well(self._connection, plate, well_position(self._record.key.well), [one.image_id for one in images])
        self._pixels = [one.pixels_id for one in images]

    def _image(self, plan: ImagePlan, pixel_size_um: float | None) -> NewImage:
        source = self._wells.of(plan.field)
        return make_image(
            self._connection,
            self._key(plan.path),
            plan,
            lambda c, z, t: np.asarray(tifffile.imread(self._folder / plan.planes[c, z, t].path)),
            name=f"{self._record.key.well} {plan.name}",
            pairs=(*self._record.pairs, ("source image", str(source.id)), ("field", str(plan.field))),
            group_id=self._record.group_id,
            pixel_size_um=pixel_size_um,
        )

    def _key(self, path: str) -> ResultKey:
        return msgspec.structs.replace(self._record.key, path=path)
