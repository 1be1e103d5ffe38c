"""Yokogawa CellVoyager (CV7000, CV8000, CQ1): MeasurementData.mlf names every image that was acquired (pure).

MeasurementDetail.mrf, which the microscope writes when it has ended, says how large the plate is, and the .mes that it
names what the channels are called. A record of an error is a field that the microscope could not image: it is missing
from the plate, and the plate is whole without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import MetadataError, NotYetComplete
from ..model import ImageKind, Missing, Plate
from ..wells import plate_format
from .cellvoyager_files import Detail, ErrorRecord, ImageRecord, read_channels, read_detail, read_records
from .folder import Folder, is_settled, is_tiff, join, split
from .plan import Fileset, LeftOut, Plan, planned_files, still_due
from .plane_table import PlaneKey, PlaneTable

UNLISTED = "an image that MeasurementData.mlf does not list"
_RECORDS = "measurementdata.mlf"
_DETAIL = "measurementdetail.mrf"
# Dark and shading corrections of the cameras, which belong to the measurement and are no images of the plate.
_CORRECTIONS = ("dc_", "sc_")


class _Channel(NamedTuple):
    """A channel of the plate; timeline and action are 0 unless the same channel was taken in several."""

    number: int
    timeline: int = 0
    action: int = 0


def plan_cellvoyager(folder: Folder) -> Plan:
    """One fileset for each folder with records.

    Raises:
        NotYetComplete: records or their detail are not closed.
        MetadataError: they are damaged.
        DuplicatePlane: two images are the same plane.
    """
    measurements: dict[str, dict[str, str]] = {}
    for path in folder.files:
        above, name = split(path)
        if name.lower() in (_RECORDS, _DETAIL) or name.lower().endswith(".wpi"):
            measurements.setdefault(above, {})[name.lower()] = path
    beside: dict[str, list[str]] = {above: [] for above in measurements}
    for path in folder.files if measurements else ():
        if (above := split(path)[0]) in beside:
            beside[above].append(path)
    filesets: list[Fileset] = []
    left_out: list[LeftOut] = []
    pending: list[str] = []
    for above, found in measurements.items():
        if _RECORDS not in found:
            pending.append(f"{_beside(above, 'MeasurementData.mlf')} is not there yet")
            continue
        records = read_records(folder, found[_RECORDS])
        if records is None:
            continue
        here = beside[above]
        detail = Detail()
        unended = f"{_beside(above, 'MeasurementDetail.mrf')} is not there yet"
        if _DETAIL in found:
            detail = read_detail(folder, found[_DETAIL])
            unended = "" if detail.has_ended else f"{found[_DETAIL]} does not say yet when the measurement ended"
        plate, files, due = _plate(folder, found[_RECORDS], records, detail, here)
        pending += (*filter(None, (unended,)), *due)
        kept = {path for path in here if not is_tiff(path) or _is_correction(split(path)[1], detail)}
        left_out += [LeftOut(path, UNLISTED) for path in here if path not in kept and path not in files]
        filesets.append(
            Fileset(
                planner="cellvoyager",
                root=above,
                files=planned_files(folder, kept | files),
                plates=(plate,),
                unended=tuple(filter(None, (unended,))),
            )
        )
    return Plan(filesets=tuple(filesets), left_out=tuple(left_out), pending=tuple(pending))


def _plate(
    folder: Folder,
    source: str,
    records: tuple[list[ImageRecord], list[ErrorRecord]],
    detail: Detail,
    here: Sequence[str],
) -> tuple[Plate, set[str], tuple[str, ...]]:
    """The plate, the files of its images, and why to wait for more."""
    images, errors = records
    above = split(source)[0]
    channels = _channels(images, errors)
    place_of = {channel: c for c, channel in enumerate(channels)}
    table = PlaneTable(folder)
    n_there = 0
    for one in images:
        channel = _Channel(one.channel, one.timeline, one.action)
        c = place_of.get(channel, place_of.get(_Channel(one.channel), 0))
        kind: ImageKind = "projection" if one.is_projection else "plane"
        file = join(above, one.file) if one.file else None
        n_there += is_settled(folder, file)
        if file is not None and file in folder.files:
            table.claim(one.well, file, field=one.field, c=c, z=one.z, t=one.t, kind=kind)
        else:
            z = 0 if one.is_projection else one.z
            table.miss(Missing(well=one.well, field=one.field, c=c, z=z, t=one.t, file=file or one.file, kind=kind))
    for missing in _failed(images, errors, channels, place_of):
        table.miss(missing)
    names, notes, due = _names(folder, above, detail, here)
    notes += _error_notes(errors)
    n_rows, n_columns = detail.n_rows, detail.n_columns
    if not n_rows or not n_columns:
        n_rows, n_columns = plate_format({*(one.well for one in images), *(one.well for one in errors)} - {""})
        notes.append(f"plate format {n_rows} x {n_columns} is the smallest usual one: no .mrf writes it")
    sizes = (detail.pixel_sizes_um.get(channel.number) for channel in channels)
    plate = table.plate(
        name=detail.name or above.rpartition("/")[2] or folder.name,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=_labels(channels, names),
        pixel_size_um=next((size for size in sizes if size), None),
        notes=notes,
    )
    return plate, set(table.files), (*due, *still_due(source, len(images), n_there))


def _channels(images: Sequence[ImageRecord], errors: Sequence[ErrorRecord]) -> list[_Channel]:
    """The channels in the order of their numbers; several of one number where two images would be the same plane."""
    seen: dict[tuple[str, int, int, int, int, bool], tuple[int, int]] = {}
    split_up: set[int] = set()
    for one in images:
        key = (one.well, one.field, one.channel, one.z, one.t, one.is_projection)
        if seen.setdefault(key, (one.timeline, one.action)) != (one.timeline, one.action):
            split_up.add(one.channel)
    found = {
        _Channel(one.channel, one.timeline, one.action) if one.channel in split_up else _Channel(one.channel)
        for one in images
    }
    named = {channel.number for channel in found}
    found |= {_Channel(one.channel) for one in errors if one.channel is not None and one.channel not in named}
    return sorted(found)


def _failed(
    images: Sequence[ImageRecord],
    errors: Sequence[ErrorRecord],
    channels: Sequence[_Channel],
    place_of: dict[_Channel, int],
) -> Iterator[Missing]:
    """The planes that errors left out: of the field that an error names or stands at, else of those the well lacks."""
    if not errors:
        return
    held: set[PlaneKey] = set()
    usual: dict[int, set[tuple[int, ImageKind, int]]] = {}
    field_at: dict[tuple[int, tuple[float, float] | None], int] = {}
    fields_of: dict[tuple[str, int], set[int]] = {}
    for one in images:
        channel = _Channel(one.channel, one.timeline, one.action)
        c = place_of.get(channel, place_of.get(_Channel(one.channel), 0))
        kind: ImageKind = "projection" if one.is_projection else "plane"
        z = 0 if one.is_projection else one.z
        held.add(PlaneKey(one.well, one.field, one.t, c, kind, z))
        usual.setdefault(one.timeline, set()).add((c, kind, z))
        field_at.setdefault((one.timeline, one.place_um), one.field)
        fields_of.setdefault((one.well, one.t), set()).add(one.field)
    every_field = set().union(*fields_of.values()) if fields_of else {1}
    for error in errors:
        if not error.well:
            continue
        at = field_at.get((error.timeline, error.place_um)) if error.place_um is not None else None
        field = error.field if error.field is not None else at
        lacking = every_field - fields_of.get((error.well, error.t), set())
        alone = place_of.get(_Channel(error.channel or 0), 0)
        planes = usual.get(error.timeline) or {(alone, "plane", error.z or 0)}
        for number in sorted(lacking if field is None else {field}):
            for c, kind, z in sorted(planes):
                key = PlaneKey(error.well, number, error.t, c, kind, z)
                is_meant = error.channel in (None, channels[c].number if channels else None)
                if key not in held and is_meant and error.z in (None, z):
                    held.add(key)
                    yield Missing(well=error.well, field=number, c=c, z=z, t=error.t, kind=kind)


def _error_notes(errors: Sequence[ErrorRecord]) -> list[str]:
    if not errors:
        return []
    n = len(errors)
    return [f"the microscope recorded {n} error{'s' if n > 1 else ''}; the first: {errors[0].text}"]


def _names(
    folder: Folder, above: str, detail: Detail, here: Sequence[str]
) -> tuple[dict[int, str], list[str], list[str]]:
    """The channels' names by number, what is to be noted of them, and why to wait."""
    settings = [path for path in here if path.lower().endswith(".mes")]
    named = join(above, detail.setting_file) if detail.setting_file else None
    if named not in folder.files:
        named = settings[0] if len(settings) == 1 else None
    if named is None:
        missing = detail.setting_file or "a .mes"
        return {}, [f"{missing} is not there: the channels bear their numbers alone"], []
    try:
        return read_channels(folder, named), [], []
    except NotYetComplete as error:
        return {}, [], [str(error)]
    except MetadataError as error:
        return {}, [f"{error}: the channels bear their numbers alone"], []


def _labels(channels: Sequence[_Channel], names: dict[int, str]) -> list[str]:
    numbers = {channel.number for channel in channels}
    used = [names.get(number, "") for number in numbers]
    labels: list[str] = []
    for channel in channels:
        name = names.get(channel.number, "")
        label = name if name and used.count(name) == 1 else f"C{channel.number:02d} {name}".strip()
        labels.append(f"{label} L{channel.timeline:02d}A{channel.action:02d}" if channel.timeline else label)
    return labels


def _is_correction(name: str, detail: Detail) -> bool:
    return name in detail.correction_files or name.lower().startswith(_CORRECTIONS)


def _beside(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name
