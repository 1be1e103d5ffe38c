"""OME-XML: the images, their planes and their plates, read as a stream (pure).

OME model 2016-06; older schemas use the same names (docs.openmicroscopy.org/ome-model).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import IO, NamedTuple

from ..errors import MetadataError
from .xml_stream import elements, local, root_attributes

_TYPES = {
    "float": "float32",
    "double": "float64",
    "complex": "complex64",
    "double-complex": "complex128",
    "bit": "bool",
}
_UM_PER = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
_MAX_PLANES = 50_000_000


class TiffData(NamedTuple):
    """Where a run of planes lies; ``file`` is empty for the file that holds the XML, a count of None means all.

    ``is_own`` where its UUID is that of the XML itself: it means the file that holds it, whatever its name is.
    """

    file: str
    ifd: int
    n_planes: int | None
    first_c: int
    first_z: int
    first_t: int
    is_own: bool = False


class OmeImage(NamedTuple):
    """One Image with its Pixels; ``samples`` are the channels that one plane of a file holds."""

    id: str
    name: str
    order: str
    dtype: str
    width: int
    height: int
    n_c: int
    n_z: int
    n_t: int
    samples: int
    pixel_size_um: float | None
    channels: tuple[str, ...]
    tiff_data: tuple[TiffData, ...]


class OmePlate(NamedTuple):
    """One Plate: the image ids of every well's fields, by row and column counted from 0."""

    name: str
    n_rows: int
    n_columns: int
    wells: dict[tuple[int, int], tuple[str, ...]]


class Ome(NamedTuple):
    """What one OME-XML says; ``metadata_file`` names the companion that says it instead."""

    images: tuple[OmeImage, ...]
    plates: tuple[OmePlate, ...]
    metadata_file: str = ""

    @property
    def files(self) -> frozenset[str]:
        """Every other file that it names."""
        names = {data.file for image in self.images for data in image.tiff_data}
        return frozenset(names | {self.metadata_file}) - {""}


def parse_ome(stream: IO[bytes], *, source: str) -> Ome:
    """Read OME-XML.

    Raises:
        MetadataError: the XML is damaged, or its numbers are impossible.
    """
    images: list[OmeImage] = []
    plates: list[OmePlate] = []
    metadata_file = ""
    own_uuid = root_attributes(stream, source=source).get("UUID", "").strip()
    for element in elements(stream, ("Image", "Plate", "BinaryOnly"), source=source):
        try:
            match local(element.tag):
                case "BinaryOnly":
                    metadata_file = element.get("MetadataFile", "")
                case "Image":
                    image = _image(element, own_uuid)
                    if image is not None:
                        images.append(image)
                case _:
                    plates.append(_plate(element))
        except (ValueError, OverflowError) as error:
            where = element.get("ID", "")
            raise MetadataError(f"{source}: {local(element.tag)} {where} cannot be used: {error}") from error
    return Ome(tuple(images), tuple(plates), metadata_file)


def planes(image: OmeImage, data: TiffData, n_in_file: int) -> Iterator[tuple[int, int, int, int]]:
    """Directory number and channel, z and t of every plane that a TiffData places, in the image's order."""
    sizes = {"C": max(1, image.n_c // image.samples), "Z": image.n_z, "T": image.n_t}
    first = {"C": data.first_c // image.samples, "Z": data.first_z, "T": data.first_t}
    axes = [axis for axis in image.order if axis in sizes]
    start, stride = 0, 1
    for axis in axes:
        start += first[axis] * stride
        stride *= sizes[axis]
    wanted = n_in_file - data.ifd if data.n_planes is None else data.n_planes
    for step in range(min(wanted, stride - start)):
        rest, place = start + step, {}
        for axis in axes:
            rest, place[axis] = divmod(rest, sizes[axis])
        yield data.ifd + step, place["C"] * image.samples, place["Z"], place["T"]


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in element if local(child.tag) == name)


def _image(element: ET.Element, own_uuid: str) -> OmeImage | None:
    pixels = next(_children(element, "Pixels"), None)
    if pixels is None:
        return None
    n_x, n_y, n_c, n_z, n_t = (int(pixels.get(f"Size{axis}", "1")) for axis in "XYCZT")
    if min(n_x, n_y, n_c, n_z, n_t) < 1 or n_c * n_z * n_t > _MAX_PLANES:
        raise ValueError(f"sizes {n_x} x {n_y}, {n_c} channels, {n_z} z and {n_t} t are not possible")
    order = pixels.get("DimensionOrder", "XYCZT")
    if sorted(order) != sorted("XYCZT"):
        raise ValueError(f"'{order}' is no order of dimensions")
    names: list[str] = []
    samples = 1
    for channel in _children(pixels, "Channel"):
        own = int(channel.get("SamplesPerPixel") or 1)
        samples = max(samples, own)
        name = channel.get("Name") or ""
        names += [name] if own == 1 else [f"{name} {'RGBA'[i] if own <= 4 else i}".strip() for i in range(own)]
    if n_c % samples:
        raise ValueError(f"{n_c} channels are no multiple of {samples} samples a pixel")
    names = [*names, *[""] * n_c][:n_c]
    size = pixels.get("PhysicalSizeX")
    per = _UM_PER.get(pixels.get("PhysicalSizeXUnit", "µm"))
    return OmeImage(
        element.get("ID", ""),
        element.get("Name") or next((child.text or "" for child in _children(element, "Name")), ""),
        order,
        _TYPES.get(kind := pixels.get("Type") or pixels.get("PixelType") or "", kind),
        n_x,
        n_y,
        n_c,
        n_z,
        n_t,
        samples,
        float(size) * per if size and per else None,
        tuple(name or f"c{c}" for c, name in enumerate(names)),
        tuple(_tiff_data(data, own_uuid) for data in _children(pixels, "TiffData")),
    )


def _tiff_data(element: ET.Element, own_uuid: str) -> TiffData:
    uuid = next(_children(element, "UUID"), None)
    ifd, count = element.get("IFD"), element.get("PlaneCount") or element.get("NumPlanes")
    first_c, first_z, first_t = (int(element.get(f"First{axis}") or 0) for axis in "CZT")
    n_planes = int(count) if count else (1 if ifd is not None else None)
    if min(first_c, first_z, first_t, int(ifd or 0), n_planes or 0) < 0:
        raise ValueError("a TiffData counts below 0")
    is_own = bool(own_uuid) and uuid is not None and (uuid.text or "").strip() == own_uuid
    file = "" if uuid is None else uuid.get("FileName", "")
    return TiffData(file, int(ifd or 0), n_planes, first_c, first_z, first_t, is_own)


def _plate(element: ET.Element) -> OmePlate:
    wells: dict[tuple[int, int], tuple[str, ...]] = {}
    for well in _children(element, "Well"):
        samples: list[tuple[int, str]] = []
        for sample in _children(well, "WellSample"):
            reference = next(_children(sample, "ImageRef"), None)
            if reference is not None:
                samples.append((int(sample.get("Index") or len(samples)), reference.get("ID", "")))
        place = (int(well.get("Row", "0")), int(well.get("Column", "0")))
        if min(place) < 0:
            raise ValueError("a well lies outside")
        if samples:
            wells[place] = tuple(image for _, image in sorted(samples))
    return OmePlate(
        element.get("Name") or element.get("ID") or "",
        int(element.get("Rows") or 1 + max((row for row, _ in wells), default=-1)),
        int(element.get("Columns") or 1 + max((column for _, column in wells), default=-1)),
        wells,
    )
