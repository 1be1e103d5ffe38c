"""Runs a compiled pipeline on one well, one field at a time: planes in, labels, tables and numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..plates.model import Image, Missing
from .compilation import Call, Compiled
from .devices import Device, open_device
from .errors import StepFailed, WellFailed
from .sources import Source, incomplete, place

ReadPlane = Callable[[Image], NDArray[Any]]


@dataclass(frozen=True)
class KeptPlane:
    """One result plane (Y, X); ``channel`` is the index of the channel that it was made from.

    Labels are uint16, or uint32 beyond 65,535 objects; a mask is an image of 0 and 255.
    """

    name: str
    kind: Literal["labels", "image"]
    well: str
    field: int
    z: int
    t: int
    channel: int
    array: NDArray[Any]


@dataclass(frozen=True)
class ObjectTable:
    """Columns of equal length, a row an object: well, field, t, then what was measured."""

    name: str
    columns: dict[str, NDArray[Any]]

    @property
    def n_rows(self) -> int:
        """How many objects there are."""
        return len(next(iter(self.columns.values()), ()))


@dataclass(frozen=True)
class FieldFailure:
    """A field that gave nothing, and why."""

    field: int
    t: int
    reason: str

    def __str__(self) -> str:
        return f"{place('', self.field, self.t)}: not analysed: {self.reason}"


@dataclass(frozen=True)
class WellResult:
    """What a well gave. A number that has no value (no objects, no ring) is left out and noted."""

    well: str
    n_objects: int
    n_fields: int
    measurements: dict[str, float] = field(default_factory=dict)
    tables: tuple[ObjectTable, ...] = ()
    planes: tuple[KeptPlane, ...] = ()
    failures: tuple[FieldFailure, ...] = ()
    notes: tuple[str, ...] = ()


def run_well(
    compiled: Compiled,
    well: str,
    read_plane: ReadPlane,
    device: Device | str = "cpu",
    *,
    on_plane: Callable[[KeptPlane], None] | None = None,
) -> WellResult:
    """Run every step on every field of a well; the same input gives the same result.

    A field of which anything that is read is missing gives no numbers and is among the ``failures``.
    Memory holds one field at a time; with ``on_plane`` the kept planes are handed over as they appear
    and the result carries none.

    Raises:
        WellFailed: no field of the well holds all that the pipeline reads.
        StepFailed: a step cannot be computed on what was read.
        DeviceUnavailable: the device does not exist here.
    """
    if isinstance(device, str):
        device = open_device(device)
    kept: list[KeptPlane] = []
    hand_over = kept.append if on_plane is None else on_plane
    fields: dict[tuple[int, int], list[Image]] = {}
    missing: dict[tuple[int, int], list[Missing]] = {}
    for image in compiled.plate.images(well=well):
        fields.setdefault((image.field, image.t), []).append(image)
    for one in compiled.plate.missing:
        if one.well == well:
            fields.setdefault((one.field, one.t), [])
            missing.setdefault((one.field, one.t), []).append(one)
    failures: list[FieldFailure] = []
    parts: dict[str, list[tuple[int, int, dict[str, NDArray[Any]]]]] = {
        call.step.to: [] for call in compiled.per_field if call.function.gives == "table"
    }
    n_objects = 0
    for (number, t), images in sorted(fields.items()):
        why = incomplete(compiled.sources, images, missing.get((number, t), ()), compiled.plate)
        if why:
            failures.append(FieldFailure(number, t, why))
            continue
        made = _run_field(compiled, images, read_plane, device, place(well, number, t))
        for name, rows in parts.items():
            rows.append((number, t, {column: device.fetch(values) for column, values in made[name].items()}))
        if compiled.count is not None:
            n_objects += int(made[compiled.count].max(initial=0))
        for name in compiled.keep:
            _keep(compiled, name, device.fetch(made[name]), (well, number, t), images, hand_over)
    if len(failures) == len(fields):
        why = failures[0].reason if failures else "it has no images"
        why += f", and {len(failures) - 1} more of its fields give none either" if len(failures) > 1 else ""
        raise WellFailed(
            f"{f'well {well}' if well else 'the image'} gives no result: {why}",
            hint="image the well again, or leave it out with --wells",
        )
    tables = tuple(ObjectTable(name, _joined(well, rows)) for name, rows in parts.items())
    measurements, notes = _measure_well(compiled, {table.name: table for table in tables})
    return WellResult(
        well=well,
        n_objects=n_objects,
        n_fields=len(fields) - len(failures),
        measurements=measurements,
        tables=tables,
        planes=tuple(kept),
        failures=tuple(failures),
        notes=tuple(notes),
    )


def _run_field(
    compiled: Compiled, images: list[Image], read_plane: ReadPlane, device: Device, where: str
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for source in compiled.sources:
        made[source.name] = _read(compiled, source, images, read_plane, device, where)
    for position, call in enumerate(compiled.per_field):
        made[call.step.to] = _compute(call, made, device, where)
        _forget(compiled, position, made)
    return made


def _read(
    compiled: Compiled, source: Source, images: list[Image], read_plane: ReadPlane, device: Device, where: str
) -> Any:
    chosen = sorted((image for image in images if source.takes(image)), key=lambda image: image.z)
    planes = [device.put(read_plane(image)) for image in chosen]
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise StepFailed(
            f"{where}: channel {source.c} has planes of sizes {sorted(shapes)}", hint="planes are (Y, X) and alike"
        )
    return planes[0] if compiled.kinds[source.name] == "image" else device.stack(planes)


def _compute(call: Call, made: dict[str, Any], device: Device, where: str) -> Any:
    inputs: dict[str, Any] = {}
    for argument, name in call.step.inputs:
        value = made[name]
        if dict(call.function.inputs)[argument] == "stack" and value.ndim == 2:
            value = value[None]
        inputs[argument] = value
    sizes = {value.shape[-2:] for value in inputs.values() if hasattr(value, "shape")}
    what = f"{where}: {call.step.to} = {call.function.name}({', '.join(name for _, name in call.step.inputs)})"
    if len(sizes) > 1:
        raise StepFailed(f"{what} joins planes of different sizes: {sorted(sizes)}", hint="give it planes of one size")
    try:
        return device.run(call.function, inputs, dict(call.step.parameters))
    except (cv2.error, ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as wrong:
        raise StepFailed(
            f"{what} failed: {type(wrong).__name__}: {wrong}", hint="look at the planes of this field"
        ) from wrong


def _forget(compiled: Compiled, position: int, made: dict[str, Any]) -> None:
    """Let go of what no later step reads, so that a long pipeline holds few planes."""
    later = compiled.per_field[position + 1 :]
    wanted = {name for call in later for _, name in call.step.inputs} | set(compiled.keep) | {compiled.count}
    for name in [name for name in made if name not in wanted and compiled.kinds[name] != "table"]:
        del made[name]


def _keep(
    compiled: Compiled,
    name: str,
    array: NDArray[Any],
    at: tuple[str, int, int],
    images: list[Image],
    hand_over: Callable[[KeptPlane], None],
) -> None:
    well, number, t = at
    kind = compiled.kinds[name]
    origin = next((one for one in compiled.per_field if one.step.to == name), None)
    source = next((one for one in compiled.sources if one.name == name), None)
    channel = origin.c if origin is not None else source.c if source is not None else 0
    if kind == "labels":
        array = array.astype(np.uint16 if array.max(initial=0) <= 0xFFFF else np.uint32)
    elif kind == "mask":
        array = array.astype(np.uint8) * np.uint8(255)
    zs = sorted(image.z for image in images if source is not None and source.takes(image))
    planes = zip(zs, array, strict=True) if array.ndim == 3 else [(zs[0] if zs else 0, array)]
    for z, plane in planes:
        hand_over(KeptPlane(name, "labels" if kind == "labels" else "image", well, number, z, t, channel, plane))


def _joined(well: str, rows: list[tuple[int, int, dict[str, NDArray[Any]]]]) -> dict[str, NDArray[Any]]:
    lengths = [len(next(iter(columns.values()))) for _, _, columns in rows]
    joined: dict[str, NDArray[Any]] = {
        "well": np.full(sum(lengths), well, dtype=f"<U{max(len(well), 1)}"),
        "field": np.repeat(np.array([number for number, _, _ in rows]), lengths),
        "t": np.repeat(np.array([t for _, t, _ in rows]), lengths),
    }
    for column in rows[0][2]:
        joined[column] = np.concatenate([columns[column] for _, _, columns in rows])
    return joined


def _measure_well(compiled: Compiled, tables: dict[str, ObjectTable]) -> tuple[dict[str, float], list[str]]:
    measurements: dict[str, float] = {}
    notes: list[str] = []
    for call in compiled.per_well:
        inputs = {argument: tables[name].columns for argument, name in call.step.inputs}
        value = float(call.function.on_cpu(**inputs, **dict(call.step.parameters)))
        if math.isfinite(value):
            measurements[call.step.to] = value
        else:
            notes.append(
                f"{call.step.to} has no value: {sum(tables[name].n_rows for _, name in call.step.inputs)} objects"
            )
    return measurements, notes
