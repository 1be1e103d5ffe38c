"""How whoever opens a link learns what it led to when it was imported, and what is refused without that."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from linked_plates import PIXELS, SECRET, adopted, write_tiff

from hcs_mesh.plates import UnreadableImage, read_image, read_plane
from hcs_mesh.plates.errors import NoLongerAsImported
from hcs_mesh.plates.link_records import RECORDS
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def test_a_link_that_no_import_recorded_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    real = write_tiff(tmp_path / "real", PIXELS)
    (tmp_path / "b.tif").symlink_to(real)
    with pytest.raises(UnreadableImage, match="no import recorded what it led to"):
        read_plane(tmp_path, "b.tif")
    np.testing.assert_array_equal(read_plane(tmp_path, "b.tif", follow_links=True), PIXELS)


def test_a_file_of_the_import_that_is_called_as_the_records_records_nothing(
    tmp_path: Path, repository: LocalRepository
) -> None:
    """A person who writes records of his own could have any file read."""
    source, secret = tmp_path / "anna", write_tiff(tmp_path / "ben", SECRET)
    write_tiff(source / "files", PIXELS)
    theirs = LocalRepository(tmp_path / "theirs")
    adopted(theirs, secret.parent, "i1")
    theirs.close()
    shutil.copyfile(theirs.files_folder("i1").with_name(RECORDS), source / RECORDS)
    adopted(repository, source)
    files = [SourceFile(path=name, size=(source / name).stat().st_size) for name in (RECORDS, "files/a.tif")]
    repository.adopt("i2", source, files)
    np.testing.assert_array_equal(read_plane(repository.files_folder("i2") / "files", "a.tif"), PIXELS)
    (source / "files" / "a.tif").unlink()
    (source / "files" / "a.tif").symlink_to(secret)
    with pytest.raises(NoLongerAsImported):
        read_plane(repository.files_folder("i2") / "files", "a.tif")


def test_a_link_inside_of_the_source_is_kept_as_what_it_leads_to(tmp_path: Path, repository: LocalRepository) -> None:
    real = write_tiff(tmp_path / "anna", PIXELS)
    real.rename(real.with_name("kept"))
    real.symlink_to("kept")
    plate = adopted(repository, real.parent)
    assert {file.links_to for file in repository.files(plate.id)} >= {str(real.with_name("kept"))}
    np.testing.assert_array_equal(read_image(plate, plate.image(0)), PIXELS)


def test_records_that_an_older_version_did_not_keep_come_from_the_catalogue(tmp_path: Path) -> None:
    source = tmp_path / "anna"
    pixels = write_tiff(source, PIXELS)
    with_records = LocalRepository(tmp_path / "data")
    plate = adopted(with_records, source)
    with_records.close()
    with_records.files_folder("i1").with_name(RECORDS).unlink()
    with pytest.raises(UnreadableImage, match="no import recorded"):
        read_image(plate, plate.image(0))

    LocalRepository(tmp_path / "data").close()

    np.testing.assert_array_equal(read_image(plate, plate.image(0)), PIXELS)
    pixels.write_bytes(pixels.read_bytes())
    with pytest.raises(NoLongerAsImported):
        read_image(plate, plate.image(0))


READER = """
import os, sys
from pathlib import Path
from hcs_mesh.plates import UnreadableImage, read_plane
os.setgroups([]); os.setgid(4001); os.setuid(4001)
try:
    print(read_plane(Path(sys.argv[1]), "a.tif")[0, 1])
except UnreadableImage as refused:
    print(refused)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-linked-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.needs("root")
def test_a_mesh_without_root_reads_what_it_can_reach_and_is_told_what_it_cannot(open_folder: Path) -> None:
    """It may enter the folders above the file, and list none of them."""
    repository = LocalRepository(open_folder / "data")
    pixels = write_tiff(open_folder / "anna" / "plate", PIXELS)
    adopted(repository, pixels.parent)
    repository.close()
    for folder in ("anna/plate", "anna"):
        (open_folder / folder).chmod(0o711)
    files = repository.files_folder("i1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def read_as_service() -> str:
        command = [sys.executable, "-c", READER, str(files)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert read_as_service() == str(PIXELS[0, 1])
    pixels.chmod(0o600)
    assert f"imported in place, and {pixels} cannot be opened: Permission denied" in read_as_service()
    pixels.chmod(0o644)
    pixels.unlink()
    pixels.symlink_to("/proc/self/status")
    assert f"{pixels} is a link by now" in read_as_service()


def test_pixels_behind_the_first_page_are_not_looked_for_in_files_that_the_metadata_name(tmp_path: Path) -> None:
    write_tiff(tmp_path / "ben", SECRET)
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeY="64" SizeZ="2"'
        ' SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="../ben/a.tif">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    (tmp_path / "anna").mkdir()
    tifffile.imwrite(tmp_path / "anna" / "a.tif", PIXELS, description=xml, metadata=None)
    assert read_plane(tmp_path / "anna", "a.tif", 0)[0, 1] == 1
    with pytest.raises(UnreadableImage, match="holds 1 page"):
        read_plane(tmp_path / "anna", "a.tif", 1)
