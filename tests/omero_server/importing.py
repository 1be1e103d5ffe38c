"""What the server does with a fileset once it is whole: images, plates, and links to where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import omero.grid

from omero_server.bioformats import BioFormats
from omero_server.call import Call
from omero_server.graph import Graph, Row
from omero_server.merging import Merge
from omero_server.metaxpress import read_metaxpress
from omero_server.ome_tiff import read_ome_tiff
from omero_server.plain_tiff import read_plain_tiff
from omero_server.plane_files import PlaneMap
from omero_server.raw_files import path_of
from omero_server.read_fileset import ReadFileset, ReadImage, ReadPlate, Unreadable
from omero_server.refusals import BadData, NotKnown
from omero_server.wire import Loaded, Wire

NOT_THERE = BioFormats(None)
READERS = (read_metaxpress, read_ome_tiff, read_plain_tiff)
TARGETS = {"Dataset": ("DatasetImageLink", "image"), "Screen": ("ScreenPlateLink", "plate")}


def read(files: list[Path], bioformats: BioFormats = NOT_THERE) -> ReadFileset:
    """What the first reader that knows the files makes of them, else Bio-Formats.

    Raises:
        Unreadable: none does.
    """
    unknown = f"no reader knows {files[0].name}"
    for reader in READERS:
        try:
            if found := reader(files):
                return found
        except Unreadable as wrong:
            unknown = str(wrong)
            break
    try:
        return bioformats.read(files)
    except Unreadable as wrong:
        raise Unreadable(f"{unknown}; {wrong}") from None


class Import:
    """One fileset that becomes images; inside one change."""

    def __init__(self, call: Call, fileset: Row, settings: Any) -> None:
        self._call = call
        self._graph: Graph = call.graph
        self._fileset = fileset
        self._settings = settings
        entries = self._graph.collection(fileset, "usedFiles")
        self._files = [entry["originalFile"] for entry in entries]

    def paths(self) -> list[Path]:
        return [path_of(self._call.server, file) for file in self._files]

    def keep(self, found: ReadFileset) -> tuple[list[Row], list[Row]]:
        """The plates and images, plates first, and the pixels of the images."""
        if self._graph.find("Fileset", self._fileset.id) is None:
            raise BadData(f"{self._fileset} was removed while images were made of it")
        images = [self._image(found, one) for one in found.images]
        plates = [self._plate(one, images) for one in found.plates]
        self._link_to_target(plates or images)
        self._annotate(plates or images)
        return [*plates, *images], [self._graph.collection(image, "pixels")[0] for image in images]

    def tell_series(self, pixels: list[Row]) -> None:
        """Say which of the files' images each is: with a server a later step than the images themselves."""
        for number, one in enumerate(pixels):
            self._graph.put(one["image"], "series", number)

    def _image(self, found: ReadFileset, image: ReadImage) -> Row:
        make, server = self._call.make, self._call.server
        named = self._settings.userSpecifiedName
        row = make(
            "Image",
            name=image.name if named is None or found.plates else named.val,
            description=_text(self._settings.userSpecifiedDescription) if not found.plates else None,
            acquisitionDate=server.now_ms(),
            fileset=self._fileset,
            format=server.enumeration("Format", found.format),
            archived=False,
            partial=False,
            version=0,
        )
        pixels = make(
            "Pixels",
            image=row,
            pixelsType=server.enumeration("PixelsType", image.type),
            dimensionOrder=server.enumeration("DimensionOrder", image.order),
            significantBits=server.enumeration("PixelsType", image.type)["bitSize"],
            sha1="Pending...",
            version=0,
            **{f"size{axis}": size for axis, size in image.sizes.items()},
        )
        for axis, size in image.pixel_size.items():
            self._graph.put(pixels, f"physicalSize{axis}", size._asdict())
        for channel in image.channels:
            wave = channel.emission_nm
            known_as = make("LogicalChannel", name=channel.name, version=0)
            if wave is not None:
                self._graph.put(known_as, "emissionWave", {"value": wave, "unit": "NANOMETER"})
            color = _rgba(channel.color)
            make("Channel", pixels=pixels, logicalChannel=known_as, version=0, **color)
        names = [file["path"] + file["name"] for file in self._files]
        PlaneMap(names, image.places, image.series).write(server.folder / "Planes" / f"{pixels.id}.json")
        return row

    def _plate(self, plate: ReadPlate, images: list[Row]) -> Row:
        make, named = self._call.make, self._settings.userSpecifiedName
        row = make(
            "Plate",
            name=plate.name if named is None else named.val,
            description=_text(self._settings.userSpecifiedDescription),
            rows=plate.n_rows,
            columns=plate.n_columns,
            version=0,
        )
        runs = [make("PlateAcquisition", plate=row, name=name, version=0) for name in plate.acquisitions]
        for well in plate.wells:
            held = make("Well", plate=row, row=well.row, column=well.column, version=0)
            for image, run in well.samples:
                acquired = None if run is None else runs[run]
                make("WellSample", well=held, image=images[image], plateAcquisition=acquired, version=0)
        return row

    def _link_to_target(self, objects: list[Row]) -> None:
        target = self._settings.userSpecifiedTarget
        if target is None:
            return
        held = Merge(self._call).object(target)
        if held.of not in TARGETS:
            raise NotKnown(f"an import into a {held.of}")
        link, child = TARGETS[held.of]
        for one in objects:
            if one.of.lower() == child:
                self._call.may("link", held)
                self._call.make(link, parent=held, child=one, version=0)

    def _annotate(self, objects: list[Row]) -> None:
        merge = Merge(self._call)
        for sent in self._settings.userSpecifiedAnnotationList or []:
            annotation = merge.object(sent)
            for one in objects:
                self._call.make(f"{one.of}AnnotationLink", parent=one, child=annotation, version=0)


def response(call: Call, objects: list[Row], pixels: list[Row]) -> Any:
    """What an importer is told: what was made, plates before images."""
    graph = call.graph
    loaded = Loaded({graph.key(one[name]) for one in pixels for name in ("image", "pixelsType", "dimensionOrder")})
    wire = Wire(call, loaded)
    told = wire.roots(pixels)
    return omero.grid.ImportResponse(told, wire.roots(objects))


def _text(said: Any) -> str | None:
    return None if said is None else said.val


def _rgba(color: int | None) -> dict[str, int]:
    if color is None:
        return {}
    red, green, blue, alpha = (color & 0xFFFFFFFF).to_bytes(4, "big")
    return {"red": red, "green": green, "blue": blue, "alpha": alpha}
