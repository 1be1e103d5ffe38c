"""Filesets to import, made on the spot, and the import itself as omero-py's protocol has it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import omero
import omero.callbacks
import omero.grid
import omero.model
import tifffile
from numpy.typing import NDArray
from omero.gateway import BlitzGateway
from omero.rtypes import rstring

OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def planes(*shape: int, seed: int = 1) -> NDArray[Any]:
    """Pixels of which no two planes are alike."""
    return np.random.default_rng(seed).integers(0, 60_000, shape).astype("uint16")


def ome_xml(n_wells: int, n_channels: int, height: int, width: int, places: list[str]) -> str:
    """A plate of one row, one field per well; ``places`` is the TiffData of each image."""
    wells = "".join(
        f'<Well ID="Well:{n}" Row="0" Column="{n}"><WellSample ID="WellSample:{n}" Index="{n}">'
        f'<ImageRef ID="Image:{n}"/></WellSample></Well>'
        for n in range(n_wells)
    )
    refs = "".join(f'<WellSampleRef ID="WellSample:{n}"/>' for n in range(n_wells))
    channels = "".join(
        f'<Channel ID="Channel:N:{c}" Name="C{c}" EmissionWavelength="46{c}"/>' for c in range(n_channels)
    )
    images = "".join(
        f'<Image ID="Image:{n}" Name="well {n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="{width}" SizeY="{height}" SizeZ="1" SizeC="{n_channels}" SizeT="1" PhysicalSizeX="0.5" '
        f'PhysicalSizeXUnit="µm">{channels.replace(":N:", f":{n}:")}{place}</Pixels></Image>'
        for n, place in enumerate(places)
    )
    run = f'<PlateAcquisition ID="PlateAcquisition:0" Name="Run">{refs}</PlateAcquisition>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}">'
        f'<Plate ID="Plate:0" Name="made" Rows="1" Columns="{n_wells}">{wells}{run}</Plate>{images}</OME>'
    )


def ome_tiff_plate(folder: Path, pixels: NDArray[Any]) -> list[Path]:
    """One OME-TIFF file per well of ``pixels`` (well, C, Y, X); the first one tells of all."""
    folder.mkdir(parents=True, exist_ok=True)
    n_wells, n_channels, height, width = pixels.shape
    files = [folder / f"well{n}.ome.tiff" for n in range(n_wells)]
    places = [
        f'<TiffData IFD="0" FirstC="0" PlaneCount="{n_channels}">'
        f'<UUID FileName="{one.name}">urn:uuid:{n}</UUID></TiffData>'
        for n, one in enumerate(files)
    ]
    xml = ome_xml(n_wells, n_channels, height, width, places)
    for file, well in zip(files, pixels, strict=True):
        with tifffile.TiffWriter(file) as writer:
            for c, plane in enumerate(well):
                writer.write(plane, description=xml.encode() if c == 0 else None, metadata=None)
    return files


def companion_plate(folder: Path, pixels: NDArray[Any]) -> list[Path]:
    """A plain TIFF per well of ``pixels`` (well, C, Y, X), each in a folder of its own, and a companion that tells."""
    n_wells, n_channels, height, width = pixels.shape
    files = [folder / f"well{n}" / "same.tif" for n in range(n_wells)]
    places = []
    for n, (file, planes) in enumerate(zip(files, pixels, strict=True)):
        file.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(file, planes, photometric="minisblack", metadata=None)
        said = f'<UUID FileName="well{n}/same.tif">urn:uuid:00000000-0000-4000-8000-00000000000{n}</UUID>'
        places += [
            "".join(
                f'<TiffData IFD="{c}" FirstC="{c}" FirstZ="0" FirstT="0" PlaneCount="1">{said}</TiffData>'
                for c in range(n_channels)
            )
        ]
    companion = folder / "plate.companion.ome"
    companion.write_text(ome_xml(n_wells, n_channels, height, width, places), encoding="utf-8")
    return [companion, *files]


def metaxpress_plate(folder: Path, pixels: NDArray[Any]) -> list[Path]:
    """A MetaXpress plate of one well with the sites and wavelengths of ``pixels`` (site, wave, Y, X)."""
    folder.mkdir(parents=True, exist_ok=True)
    described = folder / "made.HTD"
    lines = ['"HTSInfoFile", Version 1.0', '"Description", "made"', '"TimePoints", 1', '"ZSteps", 1', '"XWells", 3',
             '"YWells", 2', '"WellsSelection1", FALSE, FALSE, FALSE', '"WellsSelection2", FALSE, TRUE, FALSE',
             f'"XSites", {len(pixels)}', '"YSites", 1', f'"SiteSelection1"{", TRUE" * len(pixels)}',
             '"NWavelengths", 2', '"WaveName1", "DAPI"', '"WaveName2", "FITC"', '"EndFile"']  # fmt: skip
    described.write_text("\r\n".join(lines))
    files = [described]
    for site, waves in enumerate(pixels):
        for wave, plane in enumerate(waves):
            file = folder / f"made_B02_s{site + 1}_w{wave + 1}.TIF"
            tifffile.imwrite(file, plane)
            files.append(file)
    return files


class Upload:
    """One import, step by step."""

    def __init__(
        self, connection: BlitzGateway, files: list[Path], *, group_id: int | None = None, **settings: Any
    ) -> None:
        self.connection = connection
        self.files = files
        self.repository = connection.c.getManagedRepository()
        offered = self.repository.listChecksumAlgorithms()
        self.settings = omero.grid.ImportSettings()
        self.settings.checksumAlgorithm = self.repository.suggestChecksumAlgorithm(offered)
        for name, value in settings.items():
            setattr(self.settings, name, value)
        # A context of one's own takes the place of the client's, by which the repository knows who calls.
        self.process = self.repository.importFileset(self.fileset(), self.settings, connection.c.getContext(group_id))

    def fileset(self) -> Any:
        fileset = omero.model.FilesetI()
        for file in self.files:
            entry = omero.model.FilesetEntryI()
            entry.setClientPath(rstring(str(file)))
            fileset.addFilesetEntry(entry)
        fileset.linkJob(omero.model.UploadJobI())
        return fileset

    def send(self, n: int, first: int = 0) -> None:
        """One file, from a byte on."""
        data = self.files[n].read_bytes()
        store = self.process.getUploader(n)
        store.write(data[first:], first, len(data) - first)
        store.close()

    def hashes(self) -> list[str]:
        return [hashlib.sha1(file.read_bytes()).hexdigest() for file in self.files]

    def finish(self) -> Any:
        """What the server makes of it."""
        handle = self.process.verifyUpload(self.hashes())
        callback = omero.callbacks.CmdCallbackI(self.connection.c, handle)
        try:
            callback.loop(120, 500)
            return callback.getResponse()
        finally:
            callback.close(True)

    def whole(self) -> Any:
        """All of it at once."""
        for n in range(len(self.files)):
            self.send(n)
        response = self.finish()
        self.process.close()
        return response
