"""Reads OME-TIFF filesets as Bio-Formats does: the XML of the first file speaks for all."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

import tifffile

from omero_server.plane_files import Place
from omero_server.read_fileset import ReadChannel, ReadFileset, ReadImage, ReadLength, ReadPlate, ReadWell, Unreadable

AXES = "XYZCT"
COMPANIONS = (".companion.ome", ".ome.xml")
UNITS = {
    "µm": "MICROMETER",
    "\u03bcm": "MICROMETER",
    "nm": "NANOMETER",
    "mm": "MILLIMETER",
    "pixel": "PIXEL",
    "reference frame": "REFERENCEFRAME",
}


def read_ome_tiff(files: list[Path]) -> ReadFileset | None:
    """The images and plates of the files, or None where neither a companion nor the first one says anything of OME.

    Raises:
        Unreadable: it says something that the stand-in has not learnt.
    """
    speaks = next(filter(is_companion, files), files[0])
    xml = speaks.read_text(encoding="utf-8") if is_companion(speaks) else _xml(speaks)
    if xml is None:
        return None
    root = _Element(ET.fromstring(xml))
    if root.one("BinaryOnly") is not None:
        raise Unreadable(f"{speaks.name} leaves the word to a companion that is not there")
    by_name = {path.name: number for number, path in enumerate(files)}
    # Where it says a folder too, that is what counts: two of them may hold files of one name.
    by_name |= {
        path.relative_to(speaks.parent).as_posix(): number
        for number, path in enumerate(files)
        if path.is_relative_to(speaks.parent)
    }
    images = {one.said("ID"): _image(one, by_name, speaks.name) for one in root.all("Image")}
    numbers = {id: number for number, id in enumerate(images)}
    plates = [_plate(one, numbers) for one in root.all("Plate")]
    return ReadFileset("OMETiff", list(images.values()), plates)


def is_companion(path: Path) -> bool:
    """Whether a file is one of OME-XML alone, by its name."""
    return path.name.lower().endswith(COMPANIONS)


def _xml(path: Path) -> str | None:
    if not path.name.lower().endswith((".tif", ".tiff")):
        return None
    try:
        with tifffile.TiffFile(path) as file:
            return file.ome_metadata
    except tifffile.TiffFileError:
        return None


class _Element:
    """An element of OME-XML, whatever its schema's date."""

    def __init__(self, element: ET.Element) -> None:
        self._element = element

    def all(self, name: str) -> list[_Element]:
        return [_Element(one) for one in self._element if one.tag.rpartition("}")[2] == name]

    def one(self, name: str) -> _Element | None:
        return next(iter(self.all(name)), None)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._element.get(name, default)

    def said(self, name: str) -> str:
        value = self._element.get(name)
        if value is None:
            raise Unreadable(f"{self._element.tag} has no {name}")
        return value


def _image(image: _Element, files: dict[str, int], first: str) -> ReadImage:
    pixels = image.one("Pixels")
    if pixels is None:
        raise Unreadable(f"{image.get('ID')} has no Pixels")
    sizes = {axis: int(pixels.said(f"Size{axis}")) for axis in AXES}
    channels = [_channel(one) for one in pixels.all("Channel")]
    if any(one.get("SamplesPerPixel", "1") != "1" for one in pixels.all("Channel")):
        raise Unreadable("several samples per pixel")
    channels += [ReadChannel()] * (sizes["C"] - len(channels))
    order = pixels.said("DimensionOrder")
    return ReadImage(
        name=image.get("Name") or PurePosixPath(first).name,
        sizes=sizes,
        type=pixels.said("Type"),
        order=order,
        channels=channels,
        places=_places(pixels.all("TiffData"), sizes, order, files, first),
        pixel_size=_pixel_sizes(pixels),
    )


def _channel(channel: _Element) -> ReadChannel:
    wave = channel.get("EmissionWavelength")
    color = channel.get("Color")
    return ReadChannel(
        channel.get("Name"), None if wave is None else float(wave), None if color is None else int(color)
    )


def _pixel_sizes(pixels: _Element) -> dict[str, ReadLength]:
    found = {}
    for axis in "XYZ":
        size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        if size is not None:
            if unit not in UNITS:
                raise Unreadable(f"PhysicalSize{axis} in {unit}")
            found[axis] = ReadLength(float(size), UNITS[unit])
    return found


def _places(
    said: list[_Element], sizes: dict[str, int], order: str, files: dict[str, int], first: str
) -> list[Place | None]:
    """Every TiffData's planes, counted on in the image's own order of dimensions."""
    n = sizes["Z"] * sizes["C"] * sizes["T"]
    places: list[Place | None] = [None] * n
    for one in said:
        name = one.one("UUID")
        file = first if name is None else (name.get("FileName") or first)
        number = files.get(file, files.get(PurePosixPath(file).name))
        if number is None:
            raise Unreadable(f"the fileset has no {file}")
        start = {axis: int(one.get(f"First{axis}", "0") or 0) for axis in "ZCT"}
        page = int(one.get("IFD", "0") or 0)
        is_bare = one.get("IFD") is None and all(one.get(f"First{axis}") is None for axis in "ZCT")
        count = int(one.get("PlaneCount") or (n if is_bare and name is None else 1))
        at = _rank(start, sizes, order)
        for k in range(min(count, n - at)):
            where = _unrank(at + k, sizes, order)
            places[where["Z"] + sizes["Z"] * (where["C"] + sizes["C"] * where["T"])] = Place(number, page + k)
    return places


def _rank(at: dict[str, int], sizes: dict[str, int], order: str) -> int:
    rank, each = 0, 1
    for axis in order[2:]:
        rank += at[axis] * each
        each *= sizes[axis]
    return rank


def _unrank(rank: int, sizes: dict[str, int], order: str) -> dict[str, int]:
    at = {}
    for axis in order[2:]:
        rank, at[axis] = divmod(rank, sizes[axis])
    return at


def _plate(plate: _Element, images: dict[str, int]) -> ReadPlate:
    runs = plate.all("PlateAcquisition")
    of_run = {ref.said("ID"): number for number, run in enumerate(runs) for ref in run.all("WellSampleRef")}
    wells = []
    for well in plate.all("Well"):
        samples = []
        for sample in sorted(well.all("WellSample"), key=lambda one: int(one.get("Index", "0") or 0)):
            image = sample.one("ImageRef")
            if image is not None:
                samples.append((images[image.said("ID")], of_run.get(sample.said("ID"))))
        wells.append(ReadWell(int(well.said("Row")), int(well.said("Column")), samples))
    return ReadPlate(
        name=plate.get("Name") or "Plate",
        wells=wells,
        n_rows=int(plate.get("Rows") or 1 + max((well.row for well in wells), default=-1)),
        n_columns=int(plate.get("Columns") or 1 + max((well.column for well in wells), default=-1)),
        acquisitions=[run.get("Name") or f"Run {number + 1}" for number, run in enumerate(runs)],
    )
