"""What the stand-in leaves to Bio-Formats: real microscopes' folders, read as an OMERO.server reads them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from companions import outlined
from numpy.typing import NDArray
from omero.gateway import BlitzGateway
from omero_filesets import Upload, companion_plate, metaxpress_plate, ome_tiff_plate, planes
from omero_people import SETUP
from omero_plates import some_planes, write_ome_plate

from hcs_mesh.plates import plan
from hcs_mesh.plates.omero.companion import with_companions
from omero_server.bioformats import BioFormats
from omero_server.importing import read
from omero_server.ome_tiff import UNITS
from omero_server.plane_files import ImportedPlanes, NoPlane, Place, PlaneMap, Shape
from omero_server.read_fileset import ReadFileset, ReadLength, Unreadable
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("bioformats"), pytest.mark.timeout(180)]

METAXPRESS = "metaxpress-htd-9987/9987_Plate_3433"
FLAT = "metaxpress-htd-9987/9987_Plate_3420"
OPERETTA = "operetta-ball/operetta_plate/Images"
CELLVOYAGER = "yokogawa-cv8000-minimal/CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839"


@pytest.fixture(scope="module")
def bioformats(bioformats_jar: Path) -> Iterator[BioFormats]:
    """One Java machine for all tests of this module."""
    one = BioFormats(bioformats_jar)
    yield one
    one.close()


def wells(found: ReadFileset) -> dict[tuple[int, int], list[int]]:
    """The images of each well that has some."""
    [plate] = found.plates
    return {(one.row, one.column): [image for image, _ in one.samples] for one in plate.wells if one.samples}


def as_tiff(pixels: bytes) -> NDArray[np.uint16]:
    return np.frombuffer(pixels, ">u2")


def test_z_planes_of_metaxpress_are_those_of_its_folders_and_projections_are_none(
    bioformats: BioFormats, shared_data: Path
) -> None:
    folder = shared_data / METAXPRESS
    described = folder / "9987.HTD"
    found = read([described, *folder.rglob("*.TIF")], bioformats)
    assert (found.format, found.plates[0].name, len(found.plates[0].wells)) == ("MetaxpressTiff", "9987", 96)
    assert wells(found) == {(1, 1): [0, 1], (1, 2): [2, 3]}
    assert {tuple(image.sizes.values()) for image in found.images} == {(256, 256, 3, 2, 1)}
    assert [channel.name for channel in found.images[0].channels] == ["DAPI", "FITC"]
    for series, (well, site) in enumerate([("B02", 1), ("B02", 2), ("B03", 1), ("B03", 2)]):
        for z, c in np.ndindex(3, 2):
            file = folder / "TimePoint_1" / f"ZStep_{z + 1}" / f"9987_{well}_s{site}_w{c + 1}.TIF"
            pixels = as_tiff(bioformats.plane(described, series, z, c, 0))
            np.testing.assert_array_equal(pixels, tifffile.imread(file).ravel())


def test_a_plate_of_metaxpress_is_one_as_soon_as_it_counts_a_z_step(
    bioformats: BioFormats, shared_data: Path, tmp_path: Path
) -> None:
    described = shutil.copytree(shared_data / FLAT, tmp_path / "9987_Plate_3420") / "9987.HTD"
    for reader in (bioformats.read, read):
        with pytest.raises(Unreadable):
            reader([described, *described.parent.rglob("*.TIF")])
    described.write_bytes(described.read_bytes().replace(b'"ZSteps", 0', b'"ZSteps", 1'))
    assert wells(bioformats.read([described])) == {(1, 1): [0]}


@pytest.mark.parametrize("unit", ["µm", "pixel", "reference frame"])
def test_the_size_of_a_pixel_keeps_a_unit_that_is_no_length(bioformats: BioFormats, tmp_path: Path, unit: str) -> None:
    file = write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(1, 1, 1, 16, 16), pixel_size=(2.0, unit))
    kept = {"X": ReadLength(2.0, UNITS[unit])}
    assert [one.images[0].pixel_size for one in (read([file]), bioformats.read([file]))] == [kept, kept]


@pytest.mark.parametrize(
    ("name", "is_plate"), [("9987-Plate-3420", True), ("9987", True), ("plate_1", True), ("9987_Plate_3420", False)]
)
def test_a_plate_of_metaxpress_that_counts_no_z_step_is_one_by_a_companion_not_named_like_an_image_of_it(
    bioformats: BioFormats, shared_data: Path, tmp_path: Path, name: str, is_plate: bool
) -> None:
    folder = shutil.copytree(shared_data / FLAT, tmp_path / "9987_Plate_3420")
    [added] = with_companions(outlined(plan(folder)), "k")[1].values()
    (folder / f"{name}.companion.ome").write_bytes(added.data)
    files = [folder / f"{name}.companion.ome", folder / "9987.HTD", *folder.rglob("*.TIF")]
    if not is_plate:
        for reader in (bioformats.read, read):
            with pytest.raises(Unreadable):
                reader(files)
        return
    ours, theirs = read(files), bioformats.read(files)
    assert wells(ours) == wells(theirs) == {(1, 1): [0]}
    assert ours.images[0].places == [Place(2, 0)]
    np.testing.assert_array_equal(as_tiff(bioformats.plane(files[0], 0, 0, 0, 0)), tifffile.imread(files[2]).ravel())


def test_plates_of_harmony_and_of_cellvoyager_have_their_wells_and_fields(
    bioformats: BioFormats, shared_data: Path
) -> None:
    harmony = read([shared_data / OPERETTA / "Index.idx.xml"], bioformats)
    assert (harmony.plates[0].name, wells(harmony)) == ("Test_Sample_BALL", {(2, 2): [0, 1]})
    assert harmony.images[0].pixel_size["X"].value == pytest.approx(1.19595, rel=1e-4)
    [described] = (shared_data / CELLVOYAGER).rglob("*.wpi")
    voyager = read([described], bioformats)
    assert wells(voyager) == {(3, 7): [0, 1, 2, 3], (4, 2): [4, 5, 6, 7], (5, 7): [8, 9, 10, 11]}
    assert {tuple(image.sizes.values()) for image in voyager.images} == {(2000, 2000, 4, 2, 1)}


@pytest.mark.parametrize("write", [metaxpress_plate, ome_tiff_plate, companion_plate])
def test_what_the_stand_in_knows_itself_bio_formats_reads_alike(
    bioformats: BioFormats, tmp_path: Path, write: Callable[..., list[Path]]
) -> None:
    files = write(tmp_path, planes(2, 2, 8, 9))
    ours, theirs = read(files), bioformats.read(files)
    assert wells(theirs) == wells(ours)
    assert [one.sizes for one in theirs.images] == [one.sizes for one in ours.images]
    for number, image in enumerate(ours.images):
        shape = Shape(1, 2, 1, 8, 9, ">u2")
        decoded = ImportedPlanes(
            tmp_path, PlaneMap([file.relative_to(tmp_path).as_posix() for file in files], image.places), shape
        )
        for c in range(2):
            pixels = as_tiff(bioformats.plane(files[0], number, 0, c, 0))
            np.testing.assert_array_equal(pixels, planes(2, 2, 8, 9)[number, c].ravel())
            np.testing.assert_array_equal(decoded.plane(0, c, 0).ravel(), pixels)
        decoded.close()


def test_what_bio_formats_does_not_know_either_is_an_error(bioformats: BioFormats, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    with pytest.raises(Unreadable, match=r"no reader knows a\.txt; Bio-Formats: a\.txt: .*Unknown file format"):
        read([tmp_path / "a.txt"], bioformats)
    with pytest.raises(NoPlane):
        bioformats.plane(tmp_path / "a.txt", 0, 0, 0, 0)


@pytest.mark.needs("omero")
def test_a_server_serves_such_planes_after_a_kill_too_and_leaves_no_process(
    tmp_path: Path, bioformats_jar: Path, shared_data: Path, connect: Callable[..., BlitzGateway]
) -> None:
    files = sorted((shared_data / OPERETTA).iterdir())
    with running_server(tmp_path / "omero", SETUP | {"bioformats_jar": str(bioformats_jar)}) as server:
        response = Upload(connect("ada", server=server), files).whole()
        assert [kind.__class__.__name__ for kind in response.objects] == ["PlateI", "ImageI", "ImageI"]
        check_pixels(connect("ada", server=server), response.pixels, files[1:])
        [java] = psutil.Process(server.pid).children()
        server.kill()
        java.wait(60)
        server.start()
        check_pixels(connect("ada", server=server), response.pixels, files[1:])
        [java] = psutil.Process(server.pid).children()
        assert server.stop() == 0
        assert not java.is_running()


@pytest.mark.needs("omero")
def test_a_server_without_the_jar_refuses_what_it_would_have_to_guess(
    own_server: RunningServer, shared_data: Path, connect: Callable[..., BlitzGateway]
) -> None:
    refused = Upload(connect("ada", server=own_server), sorted((shared_data / OPERETTA).iterdir())).whole()
    assert (
        "Index.idx.xml; Bio-Formats: Index.idx.xml: setup.json names no bioformats_jar" in refused.parameters["message"]
    )


def check_pixels(connection: BlitzGateway, made: list[object], files: list[Path]) -> None:
    store = connection.c.sf.createRawPixelsStore()
    for one, file in zip(made, files, strict=True):
        store.setPixelsId(one.id.val, True)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(as_tiff(store.getPlane(0, 0, 0)), tifffile.imread(file).ravel())
    store.close()
