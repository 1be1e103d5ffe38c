"""Where a plane belongs and where its pixels lie: what viewers, publisher and scheduler agree on."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..plates.model import Plate
from ..plates.repository import StoredResult

PlaneKind = Literal["image", "labels"]
PROJECTION = "projection"


class PlaneAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one plane in what a viewer shows: each component is a layer or an axis there.

    ``step`` is empty for what the microscope acquired, "projection" for its own projections, else the
    result's name. ``channel`` is empty where a result belongs to none. ``well`` is empty for an
    image that lies on no plate.
    """

    well: str
    field: int
    z: int = 0
    t: int = 0
    channel: str = ""
    step: str = ""


class PlaneHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer learns of a plane (Y, X) beside its pixels.

    ``dtype`` is NumPy's name of the pixel type, ``c`` the channel's index on its plate.
    """

    address: PlaneAddress
    kind: PlaneKind
    height: int
    width: int
    dtype: str
    c: int = 0
    pixel_size_um: float | None = None


class PlaneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One committed plane: its header, and the file that the repository keeps it in.

    ``file`` is relative to ``root`` (an absolute folder), ``page`` counts the planes inside that file.
    """

    header: PlaneHeader
    root: str
    file: str
    page: int = 0


def acquired_planes(plate: Plate, wells: tuple[str, ...] | None = None) -> tuple[PlaneRecord, ...]:
    """The planes that the microscope wrote, of these wells or of the whole plate, in stored order."""
    chosen = None if wells is None else frozenset(wells)
    return tuple(
        PlaneRecord(
            header=PlaneHeader(
                address=PlaneAddress(
                    well=image.well,
                    field=image.field,
                    z=image.z,
                    t=image.t,
                    channel=_channel(plate, image.c),
                    step=PROJECTION if image.kind == "projection" else "",
                ),
                kind="image",
                height=image.height,
                width=image.width,
                dtype=image.dtype,
                c=image.c,
                pixel_size_um=plate.pixel_size_um,
            ),
            root=plate.root,
            file=image.file,
            page=image.page,
        )
        for image in plate.images()
        if chosen is None or image.well in chosen
    )


def _channel(plate: Plate, c: int) -> str:
    return plate.channels[c] if c < len(plate.channels) else f"channel {c}"


def result_planes(result: StoredResult, plate: Plate) -> tuple[PlaneRecord, ...]:
    """The labels and processed planes of a finished well; labels belong to no channel."""
    return tuple(
        PlaneRecord(
            header=PlaneHeader(
                address=PlaneAddress(
                    well=result.well,
                    field=file.field,
                    z=file.z,
                    t=file.t,
                    channel="" if file.kind == "label" else _channel(plate, file.c),
                    step=file.output or file.kind,
                ),
                kind="labels" if file.kind == "label" else "image",
                height=file.height,
                width=file.width,
                dtype=file.dtype,
                c=file.c,
                pixel_size_um=plate.pixel_size_um,
            ),
            root=result.folder,
            file=file.path,
        )
        for file in result.files
        if file.kind in ("label", "plane")
    )
