"""The planes of one plate while it is planned: each claimed by one file, and checked against that file (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..errors import DuplicatePlane, MetadataError, UnreadableImage
from ..model import Image, ImageKind, Missing, Plate, PlateKind, build_plate
from ..wells import well_order
from .folder import Folder, TiffHead

# What a column of a plate holds.
_MAX_NUMBER = 2**31 - 1


class PlaneKey(NamedTuple):
    """Where a plane lies on its plate, in the order in which planes are listed."""

    well: str
    field: int
    t: int
    c: int
    kind: ImageKind
    z: int


class PlaneTable:
    """Collects which file holds which plane; a file that cannot be read leaves its plane missing."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._claims: dict[PlaneKey, tuple[str, int, TiffHead | None]] = {}
        self._missing: list[Missing] = []
        self._heads: dict[str, TiffHead | UnreadableImage] = {}

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def keys(self) -> frozenset[PlaneKey]:
        """Every plane that a file claims."""
        return frozenset(self._claims)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of all claims, in order of appearance."""
        return tuple(dict.fromkeys(file for file, _, _ in self._claims.values()))

    def head(self, file: str) -> TiffHead | None:
        """Size, type and page count of a file, read once; None where it cannot be read."""
        head = self._head(file)
        return None if isinstance(head, UnreadableImage) else head

    def first_file(self, c: int) -> str | None:
        """The first file of a channel, None where it has none."""
        return next((file for key, (file, _, _) in sorted(self._claims.items()) if key.c == c), None)

    def claim(
        self,
        well: str,
        file: str,
        *,
        field: int = 1,
        c: int = 0,
        z: int = 0,
        t: int = 0,
        kind: ImageKind = "plane",
        page: int = 0,
        head: TiffHead | None = None,
    ) -> None:
        """Note that this page of this file is this plane; ``head`` where the metadata knows size and type.

        Raises:
            DuplicatePlane: another file is the same plane.
            MetadataError: a number is negative, or larger than any plate's.
        """
        _check(file, field=field, c=c, z=z, t=t, page=page)
        key = PlaneKey(well, field, t, c, kind, 0 if kind == "projection" else z)
        other = self._claims.setdefault(key, (file, page, head))
        if other[:2] != (file, page):
            where = f"well {well or '-'}, field {field}, channel {c + 1}, z {z}, t {t}"
            raise DuplicatePlane(
                f"two files are the same plane ({where}): {other[0]} and {file}",
                hint="Move one of them away, leave it out with --exclude, or give a --pattern that tells them apart.",
            )

    def miss(self, missing: Missing) -> None:
        """Note a plane that is declared and that no file holds.

        Raises:
            MetadataError: a number is negative, or larger than any plate's.
        """
        _check(missing.file, field=missing.field, c=missing.c, z=missing.z, t=missing.t)
        self._missing.append(missing)

    def plate(
        self,
        *,
        name: str,
        kind: PlateKind = "plate",
        n_rows: int = 0,
        n_columns: int = 0,
        channels: Sequence[str] = (),
        pixel_size_um: float | None = None,
        notes: Sequence[str] = (),
    ) -> Plate:
        """Read the headers and build the plate, its planes in the order of wells, fields, t, c and z."""
        images: list[Image] = []
        missing = list(self._missing)
        order = {well: well_order(well) for well in {key.well for key in self._claims}}
        for key, (file, page, known) in sorted(self._claims.items(), key=lambda claim: (order[claim[0].well], claim)):
            head = self._head(file)
            if isinstance(head, UnreadableImage) or page >= head.n_pages * head.n_samples:
                missing.append(
                    Missing(well=key.well, field=key.field, c=key.c, z=key.z, t=key.t, file=file, kind=key.kind)
                )
                continue
            # Metadata speaks for one series of several; where it means the first page, the file knows better.
            if known is not None and (known.width, known.height) != (head.width, head.height):
                head = known
            images.append(
                Image(
                    key.well,
                    key.field,
                    key.c,
                    key.z,
                    key.t,
                    key.kind,
                    file,
                    page,
                    head.height,
                    head.width,
                    head.dtype,
                )
            )
        plain = all(
            isinstance(head := self._head(file), UnreadableImage)
            or (head.n_samples == 1 and not (head.is_stack and page))
            for file, page, _ in self._claims.values()
        )
        broken = [str(head) for head in self._heads.values() if isinstance(head, UnreadableImage)]
        return build_plate(
            images,
            id=0,
            name=name,
            kind=kind,
            n_rows=n_rows,
            n_columns=n_columns,
            channels=tuple(channels),
            pixel_size_um=pixel_size_um,
            pages_are_directories=plain,
            missing=tuple(
                sorted(missing, key=lambda one: (well_order(one.well), one.field, one.t, one.c, one.z, one.file))
            ),
            notes=(*notes, *_broken_notes(broken)),
        )

    def _head(self, file: str) -> TiffHead | UnreadableImage:
        if file not in self._heads:
            try:
                # Texts are dropped: a plate has thousands of files, and OME-XML makes some of them megabytes.
                self._heads[file] = msgspec.structs.replace(self._folder.tiff(file), description="", ome_xml="")
            except UnreadableImage as error:
                self._heads[file] = error
        return self._heads[file]


def _check(file: str, **numbers: int) -> None:
    for name, number in numbers.items():
        if not 0 <= number <= _MAX_NUMBER:
            raise MetadataError(f"{file or 'an image'} would be {name} {number}, which no plate has")


def _broken_notes(broken: Sequence[str]) -> tuple[str, ...]:
    if not broken:
        return ()
    n = len(broken)
    return (f"{n} file{'s' if n > 1 else ''} cannot be read as images; the first: {broken[0]}",)
