"""The plate: what was imaged where, as columns, so that its size costs bytes and not objects (pure).

A plate of 13,824 planes is a dozen byte strings. It is built, sent, stored and opened in
milliseconds; one :class:`Image` is made when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    # Loaded by what computes, and not by a command that only lists: it takes a tenth of a second.
    import numpy as np
    from numpy.typing import NDArray

from .labels import Labels
from .wells import well_order

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
    """An image that is declared, by metadata or by its file's name, and that no readable file holds."""

    well: str
    field: int
    c: int
    z: int
    t: int
    file: str = ""
    kind: ImageKind = "plane"


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
    metadata: tuple[tuple[str, str], ...] = ()
    """What a facility's own functions read of it, by name."""
    pages_are_directories: bool = True
    """Whether a page of a TIFF file is the directory of that number; not so of colours and of ImageJ's stacks."""
    more_missing: tuple[tuple[str, int], ...] = ()
    """Wells, and how many images are missing of each beyond those that ``missing`` names."""

    @property
    def n_images(self) -> int:
        """How many images the plate really holds; missing ones are not counted."""
        return len(self.c_column) // 4

    @property
    def n_fields(self) -> int:
        """How many fields hold at least one image, over all wells."""
        import numpy as np

        pairs = _column(self.well_column).astype(np.int64) << 32 | _column(self.field_column)
        return int(np.unique(pairs).size)

    @property
    def n_missing(self) -> int:
        """How many images are declared and not there, named or not."""
        return len(self.missing) + sum(n for _, n in self.more_missing)

    @property
    def declared_wells(self) -> tuple[str, ...]:
        """The wells in plate order, those of which every image is missing among them."""
        lost = {one.well for one in self.missing}.union(well for well, _ in self.more_missing) - set(self.wells)
        return tuple(sorted((*self.wells, *lost), key=well_order)) if lost else self.wells

    def image(self, row: int) -> Image:
        """The image in one row of the columns, counted from 0."""
        return next(self._images(slice(row, row + 1)))

    def images(self, *, well: str | None = None, field: int | None = None) -> Iterator[Image]:
        """Yield the images in stored order, of one well or one field where asked."""
        if well is None and field is None:
            return self._images(slice(None))
        import numpy as np

        chosen = np.ones(self.n_images, dtype=bool)
        if well is not None:
            chosen &= _column(self.well_column) == (self.wells.index(well) if well in self.wells else -1)
        if field is not None:
            chosen &= _column(self.field_column) == field
        return self._images(chosen)

    def _images(self, chosen: slice | NDArray[np.bool_]) -> Iterator[Image]:
        columns = [
            _column(column)[chosen].tolist()
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
        wells, files, dtypes = self.wells, self.files, self.dtypes
        for w, f, c, z, t, kind, file, page, height, width, dtype in zip(*columns, strict=True):
            yield Image(wells[w], f, c, z, t, IMAGE_KINDS[kind], files[file], page, height, width, dtypes[dtype])

    def fields(self, well: str) -> tuple[int, ...]:
        """The field numbers of one well, ascending."""
        if well not in self.wells:
            return ()
        import numpy as np

        chosen = _column(self.well_column) == self.wells.index(well)
        return tuple(int(field) for field in np.unique(_column(self.field_column)[chosen]))

    def only(self, wells: Iterable[str]) -> Plate:
        """The same plate with the images, and the missing ones, of these wells alone: what travels to an executor."""
        import numpy as np

        wanted = set(wells)
        kept = [index for index, well in enumerate(self.wells) if well in wanted]
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
            missing=tuple(one for one in self.missing if one.well in wanted),
            more_missing=tuple(one for one in self.more_missing if one[0] in wanted),
        )


class PlateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of plates."""

    id: int
    name: str
    n_wells: int
    n_fields: int
    n_images: int
    kind: PlateKind = "plate"
    labels: Labels = Labels()


def build_plate(
    images: Iterable[Image],
    *,
    id: int,  # noqa: A002
    name: str,
    kind: PlateKind = "plate",
    n_rows: int = 0,
    n_columns: int = 0,
    channels: tuple[str, ...] = (),
    pixel_size_um: float | None = None,
    root: str = "",
    missing: tuple[Missing, ...] = (),
    notes: tuple[str, ...] = (),
    pages_are_directories: bool = True,
) -> Plate:
    """Turn images into columns; wells, files and pixel types are numbered in order of appearance."""
    # Flattened, then cut into columns that C code numbers: eight times faster than image by image.
    flat: list[Any] = list(chain.from_iterable(images))
    table = [flat[index :: len(Image._fields)] for index in range(len(Image._fields))]
    wells, well_column = _numbered(table[0])
    files, file_column = _numbered(table[6])
    dtypes, dtype_column = _numbered(table[10])
    kind_numbers = {kind: number for number, kind in enumerate(IMAGE_KINDS)}
    kind_column = _integers([kind_numbers[kind] for kind in table[5]])
    return Plate(
        id=id,
        name=name,
        kind=kind,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=channels,
        pixel_size_um=pixel_size_um,
        root=root,
        wells=wells,
        files=files,
        dtypes=dtypes,
        well_column=well_column,
        field_column=_integers(table[1]),
        c_column=_integers(table[2]),
        z_column=_integers(table[3]),
        t_column=_integers(table[4]),
        kind_column=kind_column,
        file_column=file_column,
        page_column=_integers(table[7]),
        height_column=_integers(table[8]),
        width_column=_integers(table[9]),
        dtype_column=dtype_column,
        missing=missing,
        notes=notes,
        pages_are_directories=pages_are_directories,
    )


def _column(column: bytes) -> NDArray[np.int32]:
    import numpy as np

    return np.frombuffer(column, dtype="<i4")


def _integers(values: list[int]) -> bytes:
    import numpy as np

    if values and values.count(values[0]) == len(values):
        return np.full(len(values), values[0], dtype="<i4").tobytes()
    try:
        # Nearly every column counts below 256, and bytes() takes a list of those four times faster than numpy.
        return np.frombuffer(bytes(values), np.uint8).astype("<i4").tobytes()
    except ValueError:
        return np.array(values, dtype="<i4").tobytes()


def _numbered(names: list[str]) -> tuple[tuple[str, ...], bytes]:
    import numpy as np

    if names and names.count(names[0]) == len(names):
        return (names[0],), bytes(4 * len(names))
    distinct = tuple(dict.fromkeys(names))
    if len(distinct) == len(names):
        return distinct, np.arange(len(names), dtype="<i4").tobytes()
    numbers = dict(zip(distinct, range(len(distinct)), strict=True))
    return distinct, _integers([numbers[name] for name in names])
