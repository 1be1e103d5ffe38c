"""Plates brought into an OMERO.server with omero-py alone, as any program would: imported, or put together."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from omero_lab import Server, account

Planes = NDArray[Any]


@contextmanager
def logged_in(server: Server, user: str) -> Iterator[Any]:
    """A client of omero-py, logged in."""
    from hcs_mesh.plates.omero.library import omero_py

    client = omero_py().omero.client(server.host, server.port)
    client.createSession(*account(server, user))
    try:
        yield client
    finally:
        client.closeSession()


def save_plate(client: Any, name: str, *, n_rows: int, n_columns: int, n_fields: int, n_channels: int = 4) -> int:
    """A plate whose images have no pixels yet, in as few calls as it takes; its id."""
    import omero.model as model
    from omero.rtypes import rint, rstring

    session = client.getSession()
    types = session.getTypesService()
    kind = types.getEnumeration("PixelsType", "uint16")
    order = types.getEnumeration("DimensionOrder", "XYCZT")

    def image(well: str, field: int) -> Any:
        one, pixels = model.ImageI(), model.PixelsI()
        one.setName(rstring(f"{well} [Field {field + 1}]"))
        pixels.setPixelsType(kind)
        pixels.setDimensionOrder(order)
        pixels.setSha1(rstring("Pending..."))
        for axis, size in zip("XYZCT", (32, 24, 1, n_channels, 1), strict=True):
            getattr(pixels, f"setSize{axis}")(rint(size))
        for number in range(n_channels):
            channel, known_as = model.ChannelI(), model.LogicalChannelI()
            known_as.setName(rstring(f"channel {number}"))
            channel.setLogicalChannel(known_as)
            pixels.addChannel(channel)
        one.addPixels(pixels)
        return one

    plate = model.PlateI()
    plate.setName(rstring(name))
    plate.setRows(rint(n_rows))
    plate.setColumns(rint(n_columns))
    for at_row in range(n_rows):
        for at_column in range(n_columns):
            well = model.WellI()
            well.setRow(rint(at_row))
            well.setColumn(rint(at_column))
            for field in range(n_fields):
                sample = model.WellSampleI()
                sample.setImage(image(f"{at_row}:{at_column}", field))
                well.addWellSample(sample)
            plate.addWell(well)
    return int(session.getUpdateService().saveAndReturnObject(plate).getId().getValue())


def add_well(client: Any, plate_id: int, *, row: int | None, column: int | None, image_id: int) -> None:
    """A further well of a plate, which OMERO takes without a place as well, with an image that is there."""
    import omero.model as model
    from omero.rtypes import rint

    well, sample = model.WellI(), model.WellSampleI()
    well.setPlate(model.PlateI(plate_id, False))
    well.setRow(None if row is None else rint(row))
    well.setColumn(None if column is None else rint(column))
    sample.setImage(model.ImageI(image_id, False))
    well.addWellSample(sample)
    client.getSession().getUpdateService().saveObject(well)


def set_sizes(client: Any, plate_id: int, **sizes: int) -> None:
    """Claim sizes of every image of a plate, ``Z=3`` say, as any program may: the server keeps whatever it is told."""
    from omero.rtypes import rint
    from omero.sys import ParametersI

    session = client.getSession()
    hql = "select p from Pixels p join p.image i join i.wellSamples ws join ws.well w where w.plate.id = :pid"
    parameters = ParametersI().addLong("pid", plate_id)
    for pixels in session.getQueryService().findAllByQuery(hql, parameters, {"omero.group": "-1"}):
        for axis, size in sizes.items():
            getattr(pixels, f"setSize{axis}")(rint(size))
        session.getUpdateService().saveObject(pixels)


def import_files(client: Any, files: Sequence[Path], root: Path) -> list[tuple[str, int]]:
    """Import files as one fileset; the kinds and ids of what they became, plates first."""
    import omero
    from omero.callbacks import CmdCallbackI
    from omero.rtypes import rbool, rstring

    fileset = omero.model.FilesetI()
    for file in files:
        entry = omero.model.FilesetEntryI()
        entry.setClientPath(rstring(file.relative_to(root.parent).as_posix()))
        fileset.addFilesetEntry(entry)
    fileset.linkJob(omero.model.UploadJobI())
    repository = client.getManagedRepository()
    algorithm = omero.model.ChecksumAlgorithmI()
    algorithm.setValue(rstring("SHA1-160"))
    settings = omero.grid.ImportSettings(
        doThumbnails=rbool(False),
        noStatsInfo=rbool(True),
        checksumAlgorithm=repository.suggestChecksumAlgorithm([algorithm]),
    )
    process = repository.importFileset(fileset, settings)
    hashes = []
    for number, file in enumerate(files):
        content, upload = file.read_bytes(), process.getUploader(number)
        upload.write(content, 0, len(content))
        upload.close()
        hashes.append(hashlib.sha1(content).hexdigest())
    callback = CmdCallbackI(client, process.verifyUpload(hashes))
    callback.loop(100, 500)
    answer = callback.getResponse()
    assert isinstance(answer, omero.grid.ImportResponse), answer
    callback.close(True)
    process.close()
    return [(one.ice_id().rpartition("::")[2], one.getId().getValue()) for one in answer.objects]


def write_ome_plate(
    path: Path, planes: Planes, *, compression: str | None = None, pixel_size: tuple[float, str] = (0.65, "µm")
) -> Path:
    """An OME-TIFF of a plate with one row; planes as (well, field, channel, y, x), and the width of their pixels."""
    n_wells, n_fields, n_channels = planes.shape[:3]
    names = [f"channel {c}" for c in range(n_channels)]
    with tifffile.TiffWriter(path, ome=True) as tif:
        for well in range(n_wells):
            for field in range(n_fields):
                tif.write(
                    planes[well, field],
                    photometric="minisblack",
                    compression=compression,
                    metadata={
                        "axes": "CYX",
                        "Channel": {"Name": names},
                        "PhysicalSizeX": pixel_size[0],
                        "PhysicalSizeXUnit": pixel_size[1],
                    },
                )
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata
    assert xml is not None
    wells = "".join(
        f'<Well ID="Well:0:{well}" Row="0" Column="{well}">'
        + "".join(
            f'<WellSample ID="WellSample:0:{well}:{field}" Index="{well * n_fields + field}">'
            f'<ImageRef ID="Image:{well * n_fields + field}"/></WellSample>'
            for field in range(n_fields)
        )
        + "</Well>"
        for well in range(n_wells)
    )
    at = xml.index("<Image ")
    plate = f'<Plate ID="Plate:0" Name="a plate" Rows="1" Columns="{n_wells}">{wells}</Plate>'
    tifffile.tiffcomment(path, (xml[:at] + plate + xml[at:]).encode())
    return path


def some_planes(*shape: int, seed: int = 0, dtype: str = "uint16") -> Planes:
    """Pixels that no two planes share."""
    numbers = np.random.default_rng(seed)
    return numbers.integers(0, 65535, shape).astype(dtype)
