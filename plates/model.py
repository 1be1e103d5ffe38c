"""The plate: what was imaged where, as columns, so that its size costs bytes and not objects.

A plate of 13,824 planes is a dozen byte strings. It is built, sent, stored and opened in
milliseconds; one :class:`Image` is made when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

PlateKind = Literal["plate", "image"]
ImageKind = Literal["plane", "projection"]
IMAGE_KINDS: tuple[ImageKind, ...] = ("plane", "projection")


class Image(NamedTuple):
    """One two-dimensional image (Y, X) of a plate: an acquired plane, or a projection the microscope made.

    ``well`` is written A01 and is empty for an image that lies on no plate. ``field`` is the
    vendor's number, ``c``, ``z`` and ``t`` count from 0. A projection has z 0. ``file`` is relative to
    the plate's root, with '/' between folders; ``page`` counts the planes inside that file.
    """

    well: str
    field: int
    c: int
    z: int
    t: int
    kind: ImageKind
    file: str
    page: int
    height: int
    width: int
    dtype: str


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the vendor's metadata declares and that no file holds."""

    well: str
    field: int
    c: int
    z: int
    t: int
    file: str = ""


class Plate(msgspec.Struct, frozen=True, kw_only=True):
    """What one plate holds: ragged by nature, one row of the columns for each image.

    Every ``*_column`` is little-endian int32, one value an image; ``well_column``, ``file_column``,
    ``kind_column`` and ``dtype_column`` index into ``wells``, ``files``, IMAGE_KINDS and ``dtypes``.
    """

    id: int
    name: str
    kind: PlateKind = "plate"
    n_rows: int = 0
    n_columns: int = 0
    channels: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    root: str = ""
    wells: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    well_column: bytes = b""
    field_column: bytes = b""
    c_column: bytes = b""
    z_column: bytes = b""
    t_column: bytes = b""
    kind_column: bytes = b""
    file_column: bytes = b""
    page_column: bytes = b""
    height_column: bytes = b""
    width_column: bytes = b""
    dtype_column: bytes = b""
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        """How many images the plate really holds; missing ones are not counted."""
        return len(self.c_column) // 4

    @property
    def n_fields(self) -> int:
        """How many fields hold at least one image, over all wells."""
        pairs = _column(self.well_column).astype(np.int64) << 32 | _column(self.field_column)
        return int(np.unique(pairs).size)

    def images(self, *, well: str | None = None, field: int | None = None) -> Iterator[Image]:
        """Yield the images in stored order, of one well or one field where asked."""
        rows: NDArray[np.intp] | range
        if well is None and field is None:
            rows = range(self.n_images)
        else:
            chosen = np.ones(self.n_images, dtype=bool)
            if well is not None:
                index = self.wells.index(well) if well in self.wells else -1
                chosen &= _column(self.well_column) == index
            if field is not None:
                chosen &= _column(self.field_column) == field
            rows = np.flatnonzero(chosen)
        columns = [
            _column(column)
            for column in (
                self.well_column,
                self.field_column,
                self.c_column,
                self.z_column,
                self.t_column,
                self.kind_column,
                self.file_column,
                self.page_column,
                self.height_column,
                self.width_column,
                self.dtype_column,
            )
        ]
        for row in rows:
            w, f, c, z, t, kind, file, page, height, width, dtype = (int(column[row]) for column in columns)
            yield Image(
                self.wells[w],
                f,
                c,
                z,
                t,
                IMAGE_KINDS[kind],
                self.files[file],
                page,
                height,
                width,
                self.dtypes[dtype],
            )

    def fields(self, well: str) -> tuple[int, ...]:
        """The field numbers of one well, ascending."""
        if well not in self.wells:
            return ()
        chosen = _column(self.well_column) == self.wells.index(well)
        return tuple(int(field) for field in np.unique(_column(self.field_column)[chosen]))

    def only(self, wells: Iterable[str]) -> Plate:
        """The same plate with the images of these wells alone: what travels to an executor."""
        kept = [index for index, well in enumerate(self.wells) if well in set(wells)]
        renumber = np.full(len(self.wells), -1, dtype=np.int32)
        renumber[kept] = np.arange(len(kept), dtype=np.int32)
        old = _column(self.well_column)
        rows = np.isin(old, kept)
        files, file_column = np.unique(_column(self.file_column)[rows], return_inverse=True)

        def cut(column: bytes) -> bytes:
            return _column(column)[rows].tobytes()

        return msgspec.structs.replace(
            self,
            wells=tuple(self.wells[index] for index in kept),
            files=tuple(self.files[index] for index in files),
            well_column=renumber[old[rows]].tobytes(),
            field_column=cut(self.field_column),
            c_column=cut(self.c_column),
            z_column=cut(self.z_column),
            t_column=cut(self.t_column),
            kind_column=cut(self.kind_column),
            file_column=file_column.astype("<i4").tobytes(),
            page_column=cut(self.page_column),
            height_column=cut(self.height_column),
            width_column=cut(self.width_column),
            dtype_column=cut(self.dtype_column),
            missing=tuple(one for one in self.missing if one.well in self.wells),
        )


class PlateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of plates."""

    id: int
    name: str
    n_wells: int
    n_fields: int
    n_images: int
    kind: PlateKind = "plate"


def build_plate(
    images: Iterable[Image],
    *,
    id: int,
    name: str,
    kind: PlateKind = "plate",
    n_rows: int = 0,
    n_columns: int = 0,
    channels: tuple[str, ...] = (),
    pixel_size_um: float | None = None,
    root: str = "",
    missing: tuple[Missing, ...] = (),
    notes: tuple[str, ...] = (),
) -> Plate:
    """Turn images into columns; wells, files and pixel types are numbered in order of appearance."""
    wells: dict[str, int] = {}
    files: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    rows = [
        (
            wells.setdefault(image.well, len(wells)),
            image.field,
            image.c,
            image.z,
            image.t,
            IMAGE_KINDS.index(image.kind),
            files.setdefault(image.file, len(files)),
            image.page,
            image.height,
            image.width,
            dtypes.setdefault(image.dtype, len(dtypes)),
        )
        for image in images
    ]
    table = np.array(rows, dtype="<i4").reshape(len(rows), 11)
    columns = [np.ascontiguousarray(table[:, index]).tobytes() for index in range(11)]
    return Plate(
        id=id,
        name=name,
        kind=kind,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=channels,
        pixel_size_um=pixel_size_um,
        root=root,
        wells=tuple(wells),
        files=tuple(files),
        dtypes=tuple(dtypes),
        well_column=columns[0],
        field_column=columns[1],
        c_column=columns[2],
        z_column=columns[3],
        t_column=columns[4],
        kind_column=columns[5],
        file_column=columns[6],
        page_column=columns[7],
        height_column=columns[8],
        width_column=columns[9],
        dtype_column=columns[10],
        missing=missing,
        notes=notes,
    )


def _column(column: bytes) -> NDArray[np.int32]:
    return np.frombuffer(column, dtype="<i4")
