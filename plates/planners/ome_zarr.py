"""OME-Zarr 0.4 and 0.5: plates and single images, each a folder of which every file is part (pure).

A plane is named by its array's metadata file and its number, which counts over t, c and z (z the fastest). A plane
of which no chunk is there is missing; docs/decisions says what an absent chunk means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import MetadataError, PlatePathError
from ..model import Plate
from ..wells import normalise_well, well_label, well_order, well_position
from .folder import Folder, join, split
from .plan import Fileset, Plan, planned_files
from .zarr_fields import FieldTable, read_field
from .zarr_hierarchy import Hierarchy, ZarrHierarchy
from .zarr_metadata import Json


def plan_ome_zarr(folder: Folder) -> Plan:
    """One fileset for each outermost Zarr folder with a plate or an image in it.

    Raises:
        NotYetComplete: a single image's metadata names arrays that are not there, or ends before its end.
        MetadataError: a plate's or a single image's metadata is damaged.
    """
    zarr = ZarrHierarchy(folder)
    claimed: set[str] = set()
    plates: dict[str, list[Plate]] = {}
    pending: list[str] = []
    for group in zarr.groups():
        if any(above in claimed for above in _with_parents(group)):
            continue
        try:
            found = _found(zarr, group)
        except MetadataError as error:
            error.culprit = zarr.apart(group)
            raise
        if found is None:
            continue
        made, table = found
        pending += table.pending(group or folder.name)
        claimed.add(group)
        plates.setdefault(zarr.outermost(group), []).append(made)
    return Plan(
        filesets=tuple(
            Fileset(planner="ome-zarr", root=root, files=planned_files(folder, zarr.below(root)), plates=tuple(held))
            for root, held in plates.items()
        ),
        pending=tuple(pending),
    )


def _found(zarr: ZarrHierarchy, group: str) -> tuple[Plate, FieldTable] | None:
    """The plate or image that a group is, None where it is neither."""
    ome = zarr.ome(group)
    if "plate" in ome:
        return _plate(zarr, group, ome["plate"])
    return _image(zarr, group) if "multiscales" in ome and "image-label" not in ome else None


def read_plate(zarr: Hierarchy) -> Plate:
    """The plate that a whole hierarchy is.

    Raises:
        MetadataError: it is none, or one whose metadata is damaged.
    """
    ome = zarr.ome("")
    if "plate" not in ome:
        raise MetadataError(f"{zarr.name} is no OME-Zarr plate", hint="Name the folder of the plate itself.")
    return _plate(zarr, "", ome["plate"])[0]


def _image(zarr: Hierarchy, group: str) -> tuple[Plate, FieldTable]:
    table = FieldTable()
    field = read_field(zarr, group)
    table.claim(field)
    return table.plate(name=_title(zarr, group, field.scale.name), kind="image"), table


def _plate(zarr: Hierarchy, group: str, declared: Any) -> tuple[Plate, FieldTable]:
    table = FieldTable()
    wells = wells_of(declared, group or zarr.name, table)
    for well, path in sorted(wells.items(), key=lambda one: well_order(one[0])):
        place = join(group, path) or ""
        try:
            fields = fields_of(zarr, place)
        except MetadataError as error:
            table.miss(well, 1, place, error)
            continue
        for number, image in enumerate(fields, 1):
            try:
                field = read_field(zarr, image)
            except MetadataError as error:
                table.miss(well, number, image, error)
            else:
                table.claim(field, well, number)
    positions = [well_position(well) for well in wells]
    plate = table.plate(
        name=_title(zarr, group, declared.get("name")),
        kind="plate",
        n_rows=max(_count(declared.get("rows")), *(row + 1 for row, _ in positions)),
        n_columns=max(_count(declared.get("columns")), *(column + 1 for _, column in positions)),
    )
    return plate, table


def wells_of(declared: Any, source: str, table: FieldTable) -> dict[str, str]:
    """Path of every well by its label.

    Raises:
        MetadataError: they are not named as the format wants.
    """
    wells = declared.get("wells") if isinstance(declared, dict) else None
    if not isinstance(wells, list) or not wells:
        raise MetadataError(f"{source}: the plate lists no well")
    rows, columns = ([_name(one) for one in _list(declared.get(key))] for key in ("rows", "columns"))
    found: dict[str, str] = {}
    for one in wells:
        path = one.get("path") if isinstance(one, dict) else None
        if not isinstance(path, str) or not path.strip("/"):
            raise MetadataError(f"{source}: a well without a path")
        path = path.strip("/")
        label = _label(path, one, source)
        if label in found:
            raise MetadataError(f"{source}: two wells are {label}: {found[label]} and {path}")
        found[label] = path
        row, _, column = path.partition("/")
        place = one.get("rowIndex"), one.get("columnIndex")
        if row in rows and column in columns and place not in ((rows.index(row), columns.index(column)), (None, None)):
            table.note("wells have other indexes than their paths, which were used", f"{path} at {place}")
    return found


def _label(path: str, one: Json, source: str) -> str:
    try:
        return normalise_well(path.replace("/", ""))
    except PlatePathError:
        # Rows and columns may be called anything: then their places in the lists say where the well lies.
        row, column = one.get("rowIndex"), one.get("columnIndex")
        if not isinstance(row, int) or not isinstance(column, int):
            raise MetadataError(f"{source}: neither name nor indexes say which well {path} is") from None
        try:
            return well_label(row, column)
        except PlatePathError as error:
            raise MetadataError(f"{source}: well {path}: {error}") from error


def fields_of(zarr: Hierarchy, well: str) -> list[str]:
    """The groups of a well's images, in the order in which it lists them.

    Raises:
        MetadataError: the well lists none, or is damaged.
    """
    declared = zarr.ome(well).get("well")
    images = _list(declared.get("images")) if isinstance(declared, dict) else []
    paths = [one.get("path") if isinstance(one, dict) else None for one in images]
    found = [group for path in paths if isinstance(path, str) and (group := join(well, path)) is not None]
    if not found or len(found) < len(images):
        raise MetadataError(f"{well} lists no image, or one without a path", hint="Has the copy finished?")
    return found


def _title(zarr: Hierarchy, group: str, named: Any) -> str:
    """What a plate or image is called: as its metadata says, or as its folder is."""
    # Writers put the group's path where the name belongs.
    if isinstance(named, str) and named.strip() and "/" not in named:
        return named
    name = split(group)[1] or zarr.name
    return name.removesuffix(".zarr").removesuffix(".ome") or name


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    return len(_list(value))


def _name(one: Any) -> str:
    return str(one.get("name")) if isinstance(one, dict) else ""


def _with_parents(group: str) -> Iterator[str]:
    while group:
        yield group
        group = split(group)[0]
    yield ""
