"""What Yokogawa's CellVoyager writes beside its images: .mlf records, .mrf detail, .mes setting (pure).

All three are XML in the namespace of BTS. Read against a CV8000 measurement, Bio-Formats' CV7000Reader, and the
records of autofocus errors in github.com/fmi-faim/faim-ipa/issues/41, which bear a place in the well and no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import MetadataError
from ..wells import well_label
from .folder import Folder
from .xml_stream import attributes, elements, finite, local, whole


class ImageRecord(NamedTuple):
    """One image that was acquired: z and t count from 0, ``file`` is relative to the records' folder."""

    file: str
    well: str
    field: int
    channel: int
    z: int
    t: int
    timeline: int
    action: int
    is_projection: bool
    place_um: tuple[float, float] | None


class ErrorRecord(NamedTuple):
    """One thing that the microscope could not do; what it does not say of it is None."""

    text: str
    well: str
    t: int
    timeline: int
    field: int | None
    channel: int | None
    z: int | None
    place_um: tuple[float, float] | None


class Detail(NamedTuple):
    """What a MeasurementDetail.mrf says; 0 and empty where it does not."""

    name: str = ""
    n_rows: int = 0
    n_columns: int = 0
    has_ended: bool = False
    setting_file: str = ""
    pixel_sizes_um: Mapping[int, float] = {}
    correction_files: frozenset[str] = frozenset()


def read_records(folder: Folder, path: str) -> tuple[list[ImageRecord], list[ErrorRecord]] | None:
    """The records of a MeasurementData.mlf, or None where it is some other software's file.

    Raises:
        NotYetComplete: it is not closed.
        MetadataError: it is damaged, or an image's record lacks its place.
    """
    images: list[ImageRecord] = []
    errors: list[ErrorRecord] = []
    is_measurement = False
    with folder.stream(path) as stream:
        for element in elements(stream, ("MeasurementRecord", "MeasurementData"), source=path):
            if local(element.tag) == "MeasurementData":
                is_measurement = True
                continue
            values, text = attributes(element), (element.text or "").strip()
            try:
                if values["Type"] == "IMG":
                    images.append(_image(values, text))
                elif values["Type"] == "ERR":
                    errors.append(_error(values, text))
            except (KeyError, ValueError) as error:
                raise MetadataError(
                    f"{path}: the record of '{text}' has no usable {error}", hint="Copy the file again."
                ) from error
    return (images, errors) if is_measurement else None


def read_detail(folder: Folder, path: str) -> Detail:
    """A MeasurementDetail.mrf.

    Raises:
        NotYetComplete: it is not closed.
        MetadataError: it is damaged.
    """
    name = ""
    sizes: dict[int, float] = {}
    corrections: set[str] = set()
    root: dict[str, str] = {}
    n_rows = n_columns = 0
    tags = ("MeasurementDetail", "MeasurementSamplePlate", "MeasurementChannel")
    with folder.stream(path) as stream:
        for element in elements(stream, tags, source=path):
            values = attributes(element)
            try:
                match local(element.tag):
                    case "MeasurementSamplePlate":
                        name = values.get("Name", "")
                    case "MeasurementChannel":
                        sizes[whole(values["Ch"])] = finite(values.get("HorizontalPixelDimension") or "0")
                        corrections.add(values.get("ShadingCorrectionSource", ""))
                    case _:
                        root = values
                        n_rows, n_columns = (_count(root.get(key)) for key in ("RowCount", "ColumnCount"))
            except (KeyError, ValueError) as error:
                raise MetadataError(
                    f"{path}: {local(element.tag)} has no usable {error}", hint="Copy the file again."
                ) from error
    return Detail(
        name or root.get("Title", ""),
        n_rows,
        n_columns,
        bool(root.get("EndTime")),
        root.get("MeasurementSettingFileName", ""),
        sizes,
        frozenset(corrections - {""}),
    )


def read_channels(folder: Folder, path: str) -> dict[int, str]:
    """The names of the channels of a .mes: what was stained, else what is looked for, else the filter.

    Raises:
        NotYetComplete: it is not closed.
        MetadataError: it is damaged.
    """
    names: dict[int, str] = {}
    with folder.stream(path) as stream:
        for element in elements(stream, ("Channel",), source=path):
            values = attributes(element)
            if not values.get("Ch", "").isdecimal():
                continue
            wanted = (values.get(key) for key in ("Fluorophore", "Target", "Acquisition"))
            try:
                names[whole(values["Ch"])] = next((name for name in wanted if name), "")
            except ValueError as error:
                raise MetadataError(f"{path}: a channel has no usable {error}", hint="Copy the file again.") from error
    return names


def _image(values: Mapping[str, str], text: str) -> ImageRecord:
    return ImageRecord(
        text,
        _well(values),
        whole(values["FieldIndex"]),
        whole(values["Ch"]),
        whole(values.get("ZIndex") or "1") - 1,
        whole(values.get("TimePoint") or "1") - 1,
        whole(values.get("TimelineIndex") or "1"),
        whole(values.get("ActionIndex") or "1"),
        values.get("ZImageProcessing", "") not in ("", "None"),
        _place(values),
    )


def _error(values: Mapping[str, str], text: str) -> ErrorRecord:
    z = _maybe(values, "ZIndex")
    return ErrorRecord(
        text or "no reason given",
        _well(values) if "Row" in values and "Column" in values else "",
        whole(values.get("TimePoint") or "1") - 1,
        whole(values.get("TimelineIndex") or "1"),
        _maybe(values, "FieldIndex"),
        _maybe(values, "Ch"),
        None if z is None else z - 1,
        _place(values),
    )


def _well(values: Mapping[str, str]) -> str:
    return well_label(whole(values["Row"]) - 1, whole(values["Column"]) - 1)


def _place(values: Mapping[str, str]) -> tuple[float, float] | None:
    if not values.get("X") or not values.get("Y"):
        return None
    # Whole micrometres: where the stage stood is not the same twice in the digits after them.
    return round(finite(values["X"])), round(finite(values["Y"]))


def _maybe(values: Mapping[str, str], key: str) -> int | None:
    return whole(values[key]) if values.get(key) else None


def _count(text: str | None) -> int:
    return whole(text) if text and text.isdecimal() else 0
